//! The local wall clock, as a value that is handed in, so that tests can hand in another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The source of the local time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The clock of the machine.
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
    /// The current time, unix ms.
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

/// A time in unix ms as people write it, in UTC and whole seconds. What lies outside the years 1970 to 9999 is shown as their end.
pub fn rfc3339(millis: i64) -> String {
    // humantime panics beyond.
    let millis = u64::try_from(millis).unwrap_or(0).min(253_402_300_799_999);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}
