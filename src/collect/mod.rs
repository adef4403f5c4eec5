//! The collector of one account: decides what to ask next, asks, and hands what it heard to the ledger.
//!
//! Here belong order, patience and time: sweeps, reads, re-checks, audits, probes, back-off, the log lines
//! about conditions. Here do not belong: JSON, SQL, metric names, and rules about counting.
//!
//! | file | holds |
//! |---|---|
//! | `agenda` | what to do next (pure) |
//! | `walk` | a full listing of the chats, page by page (pure) |
//! | `collector` | the loop, and sweeps |
//! | `reading` | one chat's messages, re-checks of open ones, probes, lines |
//! | `recorder` | the ledger, its commits, and the published view |
//! | `directory` | the API's own ids, in memory only, and their keyed hashes |
//! | `conditions` | one log line when a trouble begins and one when it ends |

pub mod agenda;
pub mod collector;
pub mod conditions;
pub mod directory;
mod reading;
pub mod recorder;
pub mod walk;

use std::time::Duration;

pub use collector::Collector;
pub use directory::Keyring;
pub use recorder::Recorder;

use crate::domain::Policy;

/// How one account is collected.
#[derive(Clone, Debug)]
pub struct Options {
    /// Between the starts of two sweeps.
    pub interval: Duration,
    /// Between two full listings.
    pub full_interval: Duration,
    /// Trailing window of the `recent` gauges.
    pub window: Duration,
    /// How far a normal read reaches behind its cursor.
    pub lookback: Duration,
    /// How late a message may appear and still be counted.
    pub retention: Duration,
    /// Between two deep reads of an active chat.
    pub audit_interval: Duration,
    /// Age at which an open message is given up.
    pub horizon: Duration,
    /// Between two probes of a line's device; zero for none.
    pub probe_interval: Duration,
    /// Chats to probe with, before any other of their line.
    pub probe_chats: Vec<String>,
    /// Requests per second, shown as a gauge.
    pub budget: f64,
}

impl Options {
    /// The ledger's rules.
    pub fn policy(&self) -> Policy {
        Policy {
            window: millis(self.window),
            horizon: millis(self.horizon),
            retention: millis(self.retention),
        }
    }

    /// How far back a first read of a chat looks for messages that only gauges show.
    pub(crate) fn history(&self) -> i64 {
        millis(self.window.max(self.horizon))
    }
}

/// A duration in the ledger's unit.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
