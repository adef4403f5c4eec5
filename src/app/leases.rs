//! The leases of this replica: heartbeats, takes and releases, on a schedule that waits for nothing else. The rules are those of
//! `lease`; what follows from them for accounts happens in the fleet, which receives an [`Event`] for each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::{Failure, random};
use crate::clock::Clock;
use crate::lease::{Grant, Holder, LeaseCheck, Moment, Replica};
use crate::metrics::exposition;
use crate::store::{PostgresState, StoreError};

/// How long an account that could not be restored is left to other replicas.
const AVOIDED: Duration = Duration::from_secs(30);

/// What happened to a lease, or must happen.
#[derive(Debug)]
pub(super) enum Event {
    /// This replica took it: the account is to be watched.
    Taken(String, Grant),
    /// Another replica can take it, or has: nothing of the account may be used again.
    Lost(String, Grant),
    /// Other replicas have room for the account: it is to be given up.
    Surplus(String, Grant),
}

/// Why a lease began or ended, as the label of its counter says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Transition {
    Taken,
    Released,
    Fenced,
    Expired,
}

impl Transition {
    const ALL: [Transition; 4] =
        [Transition::Taken, Transition::Released, Transition::Fenced, Transition::Expired];

    fn as_str(self) -> &'static str {
        match self {
            Transition::Taken => "taken",
            Transition::Released => "released",
            Transition::Fenced => "fenced",
            Transition::Expired => "expired",
        }
    }
}

/// The leases of this replica. Clones share them.
#[derive(Clone)]
pub(super) struct Leases(Arc<Shared>);

struct Shared {
    database: PostgresState,
    holder: Holder,
    address: String,
    started: Instant,
    known: Mutex<Known>,
    events: UnboundedSender<Event>,
}

struct Known {
    replica: Replica,
    /// The account that the fleet is giving up. One at a time: the others have to take it first.
    releasing: Option<String>,
    /// Accounts that could not be restored here, and until when they are left to others.
    avoided: BTreeMap<String, Instant>,
    /// Accounts that are held, and whose leases could not be renewed in time.
    expired: BTreeSet<String>,
    transitions: BTreeMap<Transition, u64>,
    is_failing: bool,
}

impl Known {
    fn count(&mut self, transition: Transition) {
        *self.transitions.entry(transition).or_default() += 1;
    }
}

impl Leases {
    /// Those of a process that competes for these accounts, and where its events arrive. `address` shows people which replica it
    /// is.
    pub(super) fn new(
        database: PostgresState,
        address: &[SocketAddr],
        accounts: Vec<String>,
    ) -> Result<(Leases, UnboundedReceiver<Event>), Failure> {
        let holder = random::holder()?;
        let replica = Replica::new(holder, database.timing(), accounts);
        let known = Known {
            replica,
            releasing: None,
            avoided: BTreeMap::new(),
            expired: BTreeSet::new(),
            transitions: BTreeMap::new(),
            is_failing: false,
        };
        let (events, received) = unbounded_channel();
        let (started, known) = (Instant::now(), Mutex::new(known));
        let address = name_of_this_replica(address);
        Ok((Leases(Arc::new(Shared { database, holder, address, started, known, events })), received))
    }

    fn now(&self) -> Moment {
        Moment { mono: self.0.started.elapsed(), wall: Clock::System.now() }
    }

    /// Whether the account may be worked on under this grant.
    pub(super) fn check(&self, account: &str, grant: Grant) -> LeaseCheck {
        let (leases, account) = (self.clone(), account.to_owned());
        LeaseCheck::new(move || {
            let now = leases.now();
            let known = leases.0.known.lock();
            match known.replica.grant(&account) == Some(grant) {
                true => known.replica.deadline(&account).map_or(Duration::ZERO, |until| until.remaining(now)),
                false => Duration::ZERO,
            }
        })
    }

    /// Whether an account is held.
    pub(super) fn holds_any(&self) -> bool {
        let (now, known) = (self.now(), self.0.known.lock());
        known.replica.held().iter().any(|(account, _)| known.replica.may_show(account, now))
    }

    /// Competes for other accounts from now on.
    pub(super) fn compete_for(&self, accounts: &[String]) {
        self.0.known.lock().replica.compete_for(accounts);
    }

    /// A commit was rejected by the fence.
    pub(super) fn record_fenced(&self, account: &str, grant: Grant) {
        let mut known = self.0.known.lock();
        if known.replica.grant(account) == Some(grant) {
            known.replica.drop_lease(account);
            self.end(&mut known, account, grant);
        }
    }

    fn end(&self, known: &mut Known, account: &str, grant: Grant) {
        known.count(Transition::Fenced);
        known.expired.remove(account);
        tracing::warn!(
            account,
            epoch = grant.epoch,
            "account lease lost; another replica can take the account"
        );
        // The fleet may have ended.
        let _ = self.0.events.send(Event::Lost(account.to_owned(), grant));
    }

    /// Gives a lease up. The account must not be worked on any more. With `avoid`, other replicas get it for a while.
    pub(super) async fn release(&self, account: &str, grant: Grant, avoid: bool) {
        {
            let mut known = self.0.known.lock();
            if known.releasing.as_deref() == Some(account) {
                known.releasing = None;
            }
            if avoid {
                known.avoided.insert(account.to_owned(), Instant::now() + AVOIDED);
            }
            if known.replica.grant(account) == Some(grant) {
                known.replica.drop_lease(account);
                known.expired.remove(account);
                known.count(Transition::Released);
            }
        }
        match self.0.database.release(account.to_owned(), grant).await {
            Ok(()) => tracing::info!(account, epoch = grant.epoch, "account lease released"),
            Err(error) => tracing::warn!(account, %error, "account lease not released; it expires"),
        }
    }

    /// Gives everything up at the end of the process. No account may be worked on any more.
    pub(super) async fn leave(&self) {
        if let Err(error) = self.0.database.leave(self.0.holder).await {
            tracing::warn!(%error, "leases not released; they expire");
        }
    }

    /// The leases as the metrics page shows them.
    pub(super) fn report(&self) -> exposition::Leases {
        let (now, known) = (self.now(), self.0.known.lock());
        let replica = &known.replica;
        let lease = |account: String| {
            let row = replica.rows().iter().find(|row| row.account == account);
            let deadline = replica.deadline(&account);
            let own = replica.grant(&account).map(|grant| grant.epoch);
            let other = row.filter(|row| row.holder.is_some() && !row.has_expired);
            exposition::Lease {
                epoch: own.or(row.map(|row| row.epoch)).unwrap_or(0),
                held_until: deadline.map(|deadline| deadline.wall() as f64 / 1000.0),
                is_held: replica.may_show(&account, now),
                holder: match own {
                    Some(_) => self.0.address.clone(),
                    None => other.map(|row| row.address.clone()).unwrap_or_default(),
                },
                account,
            }
        };
        let count = |reason: &Transition| known.transitions.get(reason).copied().unwrap_or(0);
        exposition::Leases {
            accounts: replica.accounts().into_iter().map(lease).collect(),
            transitions: Transition::ALL.iter().map(|reason| (reason.as_str(), count(reason))).collect(),
            lost_commits: self.0.database.lost_commits(),
        }
    }

    async fn run(&self) {
        let timing = self.0.database.timing();
        let mut beat_at = Instant::now();
        loop {
            let began = Instant::now();
            let is_due = began >= beat_at;
            let done = match is_due {
                true => self.beat().await,
                false => self.look().await,
            };
            let done = match done {
                Ok(()) => self.take().await,
                failed => failed,
            };
            match &done {
                Ok(()) if is_due => beat_at = began + timing.renewal(),
                Ok(()) => {}
                Err(_) => beat_at = began,
            }
            self.report_condition(done.err());
            self.record_expired();
            self.shed();
            sleep(timing.attempt().saturating_sub(began.elapsed()).max(timing.attempt() / 4)).await;
        }
    }

    async fn beat(&self) -> Result<(), StoreError> {
        let (accounts, held) = {
            let known = self.0.known.lock();
            (known.replica.accounts(), known.replica.held())
        };
        let began = self.now();
        let beat =
            self.0.database.beat(self.0.holder, self.0.address.clone(), accounts, held.clone()).await?;
        let mut known = self.0.known.lock();
        for account in known.replica.record_beat(began, beat) {
            if let Some((_, grant)) = held.iter().find(|(name, _)| *name == account) {
                self.end(&mut known, &account, *grant);
            }
        }
        let now = self.now();
        let Known { expired, replica, .. } = &mut *known;
        expired.retain(|account| !replica.may_show(account, now));
        Ok(())
    }

    /// Sees between two heartbeats whether an account has become free.
    async fn look(&self) -> Result<(), StoreError> {
        let accounts = self.0.known.lock().replica.accounts();
        let beat = self.0.database.look(accounts).await?;
        self.0.known.lock().replica.record_look(beat.live, beat.rows);
        Ok(())
    }

    async fn take(&self) -> Result<(), StoreError> {
        loop {
            let wanted = {
                let mut known = self.0.known.lock();
                known.avoided.retain(|_, until| *until > Instant::now());
                let Known { avoided, replica, .. } = &mut *known;
                avoided.keys().for_each(|account| replica.record_missed_take(account));
                replica.wanted()
            };
            let Some(account) = wanted else { return Ok(()) };
            let began = self.now();
            let taken = self.0.database.take(account.clone(), self.0.holder, self.0.address.clone()).await?;
            let mut known = self.0.known.lock();
            let Some(grant) = taken else {
                known.replica.record_missed_take(&account);
                continue;
            };
            known.replica.record_take(&account, grant, began);
            known.count(Transition::Taken);
            tracing::info!(account, epoch = grant.epoch, "account lease taken");
            let _ = self.0.events.send(Event::Taken(account, grant));
        }
    }

    /// Has the fleet give up one account, when other replicas have room for it.
    fn shed(&self) {
        let mut known = self.0.known.lock();
        if known.releasing.is_some() || known.is_failing {
            return;
        }
        let Some(account) = known.replica.surplus() else { return };
        let Some(grant) = known.replica.grant(&account) else { return };
        known.releasing = Some(account.clone());
        let _ = self.0.events.send(Event::Surplus(account, grant));
    }

    /// Counts leases that could not be renewed in time: their accounts are off the page, and come back when a renewal succeeds.
    fn record_expired(&self) {
        let (now, mut known) = (self.now(), self.0.known.lock());
        for (account, _) in known.replica.held() {
            if !known.replica.may_show(&account, now) && known.expired.insert(account.clone()) {
                known.count(Transition::Expired);
                tracing::warn!(account, "account lease not renewed in time; the account is off the page");
            }
        }
    }

    fn report_condition(&self, error: Option<StoreError>) {
        let is_failing = error.is_some();
        let was_failing = std::mem::replace(&mut self.0.known.lock().is_failing, is_failing);
        match error {
            Some(error) if !was_failing => tracing::warn!(%error, "leases cannot be renewed"),
            None if was_failing => tracing::info!("leases can be renewed again"),
            _ => {}
        }
    }
}

/// Renews, takes and sheds leases, for ever; does nothing where there are none.
pub(super) async fn run(leases: Option<&Leases>) {
    match leases {
        Some(leases) => leases.run().await,
        None => std::future::pending().await,
    }
}

/// What people find this replica by: the name of its machine or container, and its first address.
fn name_of_this_replica(addresses: &[SocketAddr]) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    match addresses.first() {
        Some(address) => format!("{host}:{}", address.port()),
        None => host,
    }
}
