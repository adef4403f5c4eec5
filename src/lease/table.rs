//! What a database does with leases. The SQL of a store does the same; a test compares the two.

use std::collections::BTreeMap;

use super::{Beat, Grant, Holder, LeaseRow};

/// The leases and heartbeats of all replicas. Times are milliseconds of the database's clock.
#[derive(Clone, Debug, Default)]
pub struct Table {
    leases: BTreeMap<String, Lease>,
    replicas: BTreeMap<Holder, i64>,
}

#[derive(Clone, Debug, Default)]
struct Lease {
    holder: Option<Holder>,
    epoch: i64,
    /// `None`: it has expired.
    expires: Option<i64>,
    address: String,
}

impl Lease {
    fn has_expired(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| expires <= now)
    }
}

impl Table {
    /// A heartbeat: the replica is alive until `now + ttl`, and so are its leases that are held under these grants.
    pub fn beat(
        &mut self,
        holder: Holder,
        accounts: &[String],
        held: &[(String, Grant)],
        (now, ttl): (i64, i64),
    ) -> Beat {
        self.replicas.insert(holder, now + ttl);
        for account in accounts {
            self.leases.entry(account.clone()).or_default();
        }
        let mut renewed = Vec::new();
        for (account, grant) in held {
            if grant.holder == holder
                && self.is_held(account, *grant)
                && let Some(lease) = self.leases.get_mut(account)
            {
                lease.expires = Some(now + ttl);
                renewed.push((account.clone(), grant.epoch));
            }
        }
        let live = self.replicas.values().filter(|expires| **expires > now).count();
        let row = |(account, lease): (&String, &Lease)| LeaseRow {
            account: account.clone(),
            holder: lease.holder.map(|holder| holder.to_string()),
            epoch: lease.epoch,
            has_expired: lease.has_expired(now),
            address: lease.address.clone(),
        };
        let rows = self.leases.iter().filter(|(account, _)| accounts.contains(account)).map(row).collect();
        Beat { renewed, live, rows }
    }

    /// Takes a lease that has expired. Each time it is taken, its epoch is another one.
    pub fn take(
        &mut self,
        account: &str,
        holder: Holder,
        address: &str,
        (now, ttl): (i64, i64),
    ) -> Option<Grant> {
        let lease = self.leases.get_mut(account)?;
        if !lease.has_expired(now) {
            return None;
        }
        let epoch = lease.epoch + 1;
        *lease = Lease { holder: Some(holder), epoch, expires: Some(now + ttl), address: address.to_owned() };
        Some(Grant { holder, epoch })
    }

    /// Gives a lease up. The row stays, because its epoch must never be issued again.
    pub fn release(&mut self, account: &str, grant: Grant) {
        if !self.is_held(account, grant) {
            return;
        }
        if let Some(lease) = self.leases.get_mut(account) {
            *lease = Lease { epoch: lease.epoch, ..Lease::default() };
        }
    }

    /// Gives up all leases of a replica that stops, and ends its heartbeat.
    pub fn leave(&mut self, holder: Holder) {
        self.replicas.remove(&holder);
        for lease in self.leases.values_mut().filter(|lease| lease.holder == Some(holder)) {
            *lease = Lease { epoch: lease.epoch, ..Lease::default() };
        }
    }

    /// Whether a lease is still held under a grant, expired or not. Every commit depends on it.
    pub fn is_held(&self, account: &str, grant: Grant) -> bool {
        self.leases
            .get(account)
            .is_some_and(|lease| lease.holder == Some(grant.holder) && lease.epoch == grant.epoch)
    }
}
