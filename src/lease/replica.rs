//! What one replica holds, until when it may rely on that, and what it takes or releases next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Beat, Grant, Holder, LeaseRow, Timing};

/// A moment on two clocks. The monotonic one stops while a machine sleeps; the wall clock can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the start of the process.
    pub mono: Duration,
    /// The wall clock, unix ms.
    pub wall: i64,
}

/// Until when a lease can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Moment);

impl Deadline {
    /// Of a renewal that began at this moment. The database may have executed it at any time since then, so that only its
    /// beginning counts.
    pub fn of_renewal(began: Moment, timing: Timing) -> Deadline {
        let valid = timing.ttl.saturating_sub(timing.margin());
        let millis = i64::try_from(valid.as_millis()).unwrap_or(i64::MAX);
        Deadline(Moment { mono: began.mono.saturating_add(valid), wall: began.wall.saturating_add(millis) })
    }

    /// Whether it has passed on either clock.
    pub fn is_past(&self, now: Moment) -> bool {
        now.mono >= self.0.mono || now.wall >= self.0.wall
    }

    /// When it passes, unix ms.
    pub fn wall(&self) -> i64 {
        self.0.wall
    }

    /// How long until it passes, by the clock on which that is sooner.
    pub fn remaining(&self, now: Moment) -> Duration {
        let wall = u64::try_from(self.0.wall.saturating_sub(now.wall)).unwrap_or(0);
        self.0.mono.saturating_sub(now.mono).min(Duration::from_millis(wall))
    }
}

#[derive(Clone, Copy, Debug)]
struct Held {
    grant: Grant,
    deadline: Deadline,
}

/// The leases of one replica.
#[derive(Clone, Debug)]
pub struct Replica {
    holder: Holder,
    timing: Timing,
    accounts: BTreeMap<String, Option<Held>>,
    live: usize,
    rows: Vec<LeaseRow>,
}

impl Replica {
    /// A replica that competes for these accounts.
    pub fn new(holder: Holder, timing: Timing, accounts: impl IntoIterator<Item = String>) -> Replica {
        let accounts = accounts.into_iter().map(|account| (account, None)).collect();
        Replica { holder, timing, accounts, live: 1, rows: Vec::new() }
    }

    /// Competes for other accounts from now on. Leases of other accounts are kept until they are released.
    pub fn compete_for(&mut self, accounts: &[String]) {
        self.accounts.retain(|account, held| held.is_some() || accounts.contains(account));
        for account in accounts {
            self.accounts.entry(account.clone()).or_insert(None);
        }
    }

    /// The id under which this replica holds leases.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// The accounts that it competes for.
    pub fn accounts(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// What it holds, expired or not.
    pub fn held(&self) -> Vec<(String, Grant)> {
        let held =
            self.accounts.iter().filter_map(|(account, held)| Some((account.clone(), held.as_ref()?.grant)));
        held.collect()
    }

    /// The grant under which it holds an account.
    pub fn grant(&self, account: &str) -> Option<Grant> {
        Some(self.accounts.get(account)?.as_ref()?.grant)
    }

    /// Until when it may rely on a lease.
    pub fn deadline(&self, account: &str) -> Option<Deadline> {
        Some(self.accounts.get(account)?.as_ref()?.deadline)
    }

    /// All leases, as the newest heartbeat found them.
    pub fn rows(&self) -> &[LeaseRow] {
        &self.rows
    }

    /// How many replicas are alive, as the newest heartbeat found it.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether requests may be sent for the account.
    pub fn may_request(&self, account: &str, now: Moment) -> bool {
        self.deadline(account).is_some_and(|deadline| !deadline.is_past(now))
    }

    /// Whether the account may be on a page.
    pub fn may_show(&self, account: &str, now: Moment) -> bool {
        self.deadline(account).is_some_and(|deadline| !deadline.is_past(now))
    }

    /// A heartbeat that was sent at `began` was answered. Returns the accounts whose leases are gone.
    pub fn record_beat(&mut self, began: Moment, beat: Beat) -> Vec<String> {
        let deadline = Deadline::of_renewal(began, self.timing);
        let mut fenced = Vec::new();
        for (account, held) in &mut self.accounts {
            let Some(lease) = held else { continue };
            if beat.renewed.iter().any(|(name, epoch)| name == account && *epoch == lease.grant.epoch) {
                lease.deadline = deadline;
            } else {
                *held = None;
                fenced.push(account.clone());
            }
        }
        (self.live, self.rows) = (beat.live.max(1), beat.rows);
        fenced
    }

    /// A look at the leases between two heartbeats. It renews nothing and ends nothing.
    pub fn record_look(&mut self, live: usize, rows: Vec<LeaseRow>) {
        (self.live, self.rows) = (live.max(1), rows);
    }

    /// An attempt to take the lease of an account did not succeed, or must not be made now. The next look shows it again.
    pub fn record_missed_take(&mut self, account: &str) {
        self.rows.retain(|row| row.account != account);
    }

    /// The lease of an account was taken, by a request that was sent at `began`.
    pub fn record_take(&mut self, account: &str, grant: Grant, began: Moment) {
        let deadline = Deadline::of_renewal(began, self.timing);
        self.accounts.insert(account.to_owned(), Some(Held { grant, deadline }));
        self.rows.retain(|row| row.account != account);
    }

    /// The lease of an account was lost or is being released.
    pub fn drop_lease(&mut self, account: &str) {
        if let Some(held) = self.accounts.get_mut(account) {
            *held = None;
        }
    }

    /// Most accounts that it holds: those of all replicas shared evenly.
    pub fn quota(&self) -> usize {
        self.accounts.len().div_ceil(self.live)
    }

    fn count(&self) -> usize {
        self.accounts.values().flatten().count()
    }

    /// An account whose lease has expired and which this replica has room for. The start of the search depends on the
    /// replica, so that replicas that start together do not all try the same one.
    pub fn wanted(&self) -> Option<String> {
        if self.count() >= self.quota() {
            return None;
        }
        let free: Vec<&LeaseRow> = self
            .rows
            .iter()
            .filter(|row| row.has_expired && self.accounts.get(&row.account).is_some_and(Option::is_none))
            .collect();
        let start = usize::try_from(self.holder.0 >> 80 & 0xffff).unwrap_or(0);
        free.get(start % free.len().max(1)).map(|row| row.account.clone())
    }

    /// An account to release, because other replicas have room for it.
    pub fn surplus(&self) -> Option<String> {
        let mut held = self.accounts.iter().filter(|(_, held)| held.is_some());
        (self.count() > self.quota()).then(|| held.next_back().map(|(account, _)| account.clone())).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { mono: Duration::from_secs(seconds), wall: 1_000_000 + seconds as i64 * 1000 }
    }

    fn replica(accounts: &[&str]) -> Replica {
        Replica::new(Holder::new(7), Timing::default(), accounts.iter().map(|name| (*name).to_owned()))
    }

    fn hold(replica: &mut Replica, account: &str, epoch: i64, began: Moment) {
        replica.record_take(account, Grant { holder: replica.holder(), epoch }, began);
    }

    fn beat(renewed: &[(&str, i64)], live: usize) -> Beat {
        let renewed = renewed.iter().map(|(account, epoch)| ((*account).to_owned(), *epoch)).collect();
        Beat { renewed, live, rows: Vec::new() }
    }

    #[test]
    fn a_lease_is_relied_on_until_ten_seconds_after_its_renewal_began() {
        let mut replica = replica(&["a"]);
        assert!(!replica.may_request("a", at(0)) && !replica.may_show("a", at(0)));
        hold(&mut replica, "a", 1, at(100));
        assert!(replica.may_request("a", at(109)) && !replica.may_request("a", at(110)));
        assert!(replica.record_beat(at(105), beat(&[("a", 1)], 1)).is_empty());
        assert!(replica.may_show("a", at(114)) && !replica.may_show("a", at(115)));
        assert_eq!(replica.deadline("a").unwrap().remaining(at(114)), Duration::from_secs(1));
    }

    #[test]
    fn either_clock_ends_a_lease() {
        let mut replica = replica(&["a"]);
        hold(&mut replica, "a", 1, at(100));
        let slept = Moment { mono: at(101).mono, wall: at(3_600).wall };
        let set_back = Moment { mono: at(111).mono, wall: at(0).wall };
        assert!(!replica.may_request("a", slept) && !replica.may_request("a", set_back));
    }

    #[test]
    fn a_lease_that_was_not_renewed_is_gone() {
        let mut replica = replica(&["a", "b"]);
        hold(&mut replica, "a", 3, at(0));
        hold(&mut replica, "b", 8, at(0));
        assert_eq!(replica.record_beat(at(5), beat(&[("a", 2), ("b", 8)], 1)), ["a"]);
        assert_eq!(replica.held().len(), 1);
        assert!(!replica.may_show("a", at(5)) && replica.may_show("b", at(5)));
    }

    #[test]
    fn an_expired_lease_that_is_renewed_is_relied_on_again() {
        let mut replica = replica(&["a"]);
        hold(&mut replica, "a", 1, at(0));
        assert!(!replica.may_show("a", at(60)));
        assert!(replica.record_beat(at(60), beat(&[("a", 1)], 1)).is_empty());
        assert!(replica.may_show("a", at(69)) && !replica.may_show("a", at(70)));
    }

    #[test]
    fn accounts_are_shared_evenly_and_one_is_released_at_a_time() {
        let mut replica = replica(&["a", "b", "c", "d"]);
        for account in ["a", "b", "c", "d"] {
            hold(&mut replica, account, 1, at(0));
        }
        assert_eq!((replica.quota(), replica.surplus()), (4, None));
        let all: &[(&str, i64)] = &[("a", 1), ("b", 1), ("c", 1), ("d", 1)];
        replica.record_beat(at(1), beat(all, 3));
        assert_eq!((replica.quota(), replica.surplus().as_deref()), (2, Some("d")));
        replica.drop_lease("d");
        assert_eq!(replica.surplus().as_deref(), Some("c"));
        replica.drop_lease("c");
        assert_eq!((replica.surplus(), replica.wanted()), (None, None));
    }

    #[test]
    fn only_an_expired_lease_within_the_quota_is_wanted() {
        let mut replica = replica(&["a", "b"]);
        let row = |account: &str, has_expired| LeaseRow {
            account: account.to_owned(),
            holder: None,
            epoch: 0,
            has_expired,
            address: String::new(),
        };
        let rows = vec![row("a", false), row("b", true), row("unknown", true)];
        replica.record_beat(at(0), Beat { live: 2, rows, ..Beat::default() });
        assert_eq!(replica.wanted().as_deref(), Some("b"));
        hold(&mut replica, "b", 1, at(0));
        assert_eq!(replica.wanted(), None);
    }
}
