//! Leases: which replica holds an account, and for how long it may rely on that.
//!
//! Here belong the rules, as pure state machines: `now` and answers are arguments. Here do not belong: SQL, clocks, tasks.
//!
//! | file | holds |
//! |---|---|
//! | `replica` | what one replica holds, until when, and what it takes or releases next |
//! | `sequence` | which commits may follow which, when answers are lost or the database goes back in time |
//! | `table` | what the database does with a lease: the reference for the SQL |

mod replica;
mod sequence;
mod table;
#[cfg(test)]
mod tests_lives;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use replica::{Deadline, Moment, Replica};
pub use sequence::{Sequence, Verdict};
pub use table::Table;

/// A replica: a random UUID of its process, never the name of a machine, which a successor can have as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(u128);

impl Holder {
    /// A random (version 4) UUID.
    pub fn new(random: u128) -> Holder {
        Holder(random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// A lease that was taken. Every commit is fenced by it: the holder alone does not suffice, because the same replica can
/// take the lease again, and the epoch alone does not, because a database that went back in time can issue it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The replica that took the lease.
    pub holder: Holder,
    /// Incremented each time the lease is taken.
    pub epoch: i64,
}

/// A lease as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The account that the lease is for.
    pub account: String,
    /// The UUID of the replica that holds it; `None` when it was released or never taken.
    pub holder: Option<String>,
    /// How often it was taken.
    pub epoch: i64,
    /// Whether it has expired, by the database's clock.
    pub has_expired: bool,
    /// Where the replica can be reached, for people.
    pub address: String,
}

/// What the database answers to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Accounts whose leases were renewed, with their epochs.
    pub renewed: Vec<(String, i64)>,
    /// How many replicas are alive.
    pub live: usize,
    /// The leases of all accounts that were asked for.
    pub rows: Vec<LeaseRow>,
}

/// Whether an account may be worked on, as of the moment that is asked for: requests are sent and the account is on a page only
/// while it may.
#[derive(Clone, Default)]
pub struct LeaseCheck(Option<Arc<dyn Fn() -> Duration + Send + Sync>>);

impl LeaseCheck {
    /// For accounts that no other process can work on: their state is locked as a whole.
    pub fn unlimited() -> LeaseCheck {
        LeaseCheck(None)
    }

    /// For a lease. `remaining` is for how much longer it can be relied on; zero once it cannot.
    pub fn new(remaining: impl Fn() -> Duration + Send + Sync + 'static) -> LeaseCheck {
        LeaseCheck(Some(Arc::new(remaining)))
    }

    /// For how much longer the account may be worked on; `None` when there is no limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.0.as_ref().map(|remaining| remaining())
    }

    /// Whether the account may be worked on.
    pub fn is_valid(&self) -> bool {
        self.remaining().is_none_or(|remaining| !remaining.is_zero())
    }
}

impl fmt::Debug for LeaseCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeaseCheck").field(&self.remaining()).finish()
    }
}

/// How long a lease is valid, and everything that follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Validity of a lease from each renewal on.
    pub ttl: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { ttl: Duration::from_secs(15) }
    }
}

impl Timing {
    /// Time between the beginnings of two renewals.
    pub fn renewal(self) -> Duration {
        self.ttl / 3
    }

    /// How long before its end a holder stops to rely on a lease: clocks of machines differ, and an answer to a scrape takes
    /// time.
    pub fn margin(self) -> Duration {
        self.ttl / 3
    }

    /// Between two attempts to take leases that have expired.
    pub fn attempt(self) -> Duration {
        self.ttl / 15
    }

    /// Limit of an operation on leases.
    pub fn lease_limit(self) -> Duration {
        self.ttl / 3
    }

    /// Limit of a statement, of waiting for a lock, and of a transaction that was abandoned.
    pub fn statement_limit(self) -> Duration {
        self.ttl / 2
    }

    /// Limit of a whole commit.
    pub fn commit_limit(self) -> Duration {
        self.ttl * 2 / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_a_uuid() {
        assert_eq!(Holder::new(0).to_string(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Holder::new(u128::MAX).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn the_default_timing_is_that_of_the_documentation() {
        let timing = Timing::default();
        let seconds = [timing.ttl, timing.renewal(), timing.margin(), timing.attempt()].map(|d| d.as_secs());
        assert_eq!(seconds, [15, 5, 5, 1]);
        assert!(timing.statement_limit() < timing.ttl && timing.commit_limit() < timing.ttl);
    }
}
