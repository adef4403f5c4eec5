//! The local wall clock, as a value that is handed in, so that tests can hand in another.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Tells the local time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// Starts at `start` (unix ms) at the moment `origin`, and goes as tokio's own clock goes, paused or not.
    Simulated {
        /// Unix ms at `origin`.
        start: i64,
        /// The moment it started.
        origin: Instant,
    },
}

impl Clock {
    /// Unix ms.
    pub fn now(self) -> i64 {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Clock::Simulated { start, origin } => {
                start + i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX)
            }
        }
    }
}
