//! The collector of one account: decides what to ask next, asks, and hands the answers to the ledger.
//!
//! Here belong order, backoff and time. Here do not belong: JSON, SQL, metric names, and rules about counting.
//!
//! Everything that decides is pure and has tables of cases beside it; [`engine`] holds it together, and [`collector`] alone
//! does I/O: it sends what the engine asks for, writes what the engine wants committed, and hands both results back.
//!
//! | file | holds |
//! |---|---|
//! | `collector` | the loop: requests, commits, publication |
//! | `engine` | the state of one account, and how an answer changes it (`engine/`: one file per kind of work) |
//! | `fair` | which class of work gets the next request |
//! | `sweep`, `full_listing`, `read`, `recheck` | one kind of work each, as a state machine |
//! | `backoff`, `server_clock` | policies |
//! | `id_map` | the API's own ids, in memory only, and their keyed hashes |
//! | `conditions` | one log line when a condition begins and one when it ends |

pub mod backoff;
pub mod collector;
pub mod conditions;
pub mod engine;
pub mod fair;
pub mod full_listing;
pub mod id_map;
pub mod pages;
pub mod read;
pub mod recheck;
pub mod server_clock;
pub mod sweep;

use std::time::Duration;

pub use collector::{Collector, Ended, Watch};
pub use engine::Engine;
pub use id_map::IdHasher;

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
    /// Messages of ours that follow each other within this share a turn; zero: each is a turn of its own.
    pub conversation_turn: Duration,
    /// Between two probes of a line's device; zero for none.
    pub probe_interval: Duration,
    /// Chats to probe with, before any other of their line.
    pub probe_chats: Vec<String>,
    /// Most requests per second over all endpoints.
    pub budget: f64,
}

impl Options {
    /// Between two requests for the list of lines.
    pub fn lines_interval(&self) -> Duration {
        match self.probe_interval {
            Duration::ZERO => self.full_interval,
            probes => probes,
        }
    }

    /// The part of the settings that the ledger follows.
    pub fn policy(&self) -> Policy {
        Policy {
            window: millis(self.window),
            horizon: millis(self.horizon),
            retention: millis(self.retention),
            audit_interval: millis(self.audit_interval),
            interval: millis(self.interval),
            full_interval: millis(self.full_interval),
            lookback: millis(self.lookback),
            turn: millis(self.conversation_turn),
        }
    }
}

/// Longest time that settings can ask for, in ms: sums of a few of them must not overflow.
const LONGEST: i64 = i64::MAX / 64;

/// A duration in the ledger's unit.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}
