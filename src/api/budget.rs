//! The request budget: at most so many requests per second, evenly spaced, and none during a pause.
//! Pure: time is a `Duration` since any fixed moment.

use std::time::Duration;

/// Least requests per second: a rate of 0 would never ask again.
const SLOWEST: f64 = 0.001;

/// Spaces the requests of one account.
#[derive(Debug)]
pub struct Budget {
    spacing: Duration,
    next: Duration,
    paused_until: Duration,
}

impl Budget {
    /// Allows `rate` requests per second.
    pub fn new(rate: f64) -> Budget {
        Budget {
            spacing: Duration::from_secs_f64(1.0 / rate.max(SLOWEST)),
            next: Duration::ZERO,
            paused_until: Duration::ZERO,
        }
    }

    /// Allows another rate from now on. What is reserved and what is paused stays.
    pub fn set_rate(&mut self, rate: f64) {
        self.spacing = Budget::new(rate).spacing;
    }

    /// Reserves the next free moment, at `now` or later. There is no credit for idle time: a burst after a
    /// quiet night would hit the limit that the customer's senders share.
    pub fn reserve(&mut self, now: Duration) -> Duration {
        let at = self.next.max(now);
        self.next = at + self.spacing;
        at
    }

    /// The next free moment.
    pub fn next(&self) -> Duration {
        self.next
    }

    /// Pauses everything until `until`; a shorter pause never cuts a longer one.
    pub fn pause(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    /// The end of the pause, when one is on at `now`.
    pub fn paused(&self, now: Duration) -> Option<Duration> {
        (self.paused_until > now).then_some(self.paused_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spaced_and_idle_time_earns_nothing() {
        let mut budget = Budget::new(2.0);
        let ms = Duration::from_millis;
        assert_eq!(budget.reserve(ms(0)), ms(0));
        assert_eq!(budget.reserve(ms(0)), ms(500));
        assert_eq!(budget.reserve(ms(10_000)), ms(10_000));
        assert_eq!(budget.reserve(ms(10_001)), ms(10_500));
    }

    #[test]
    fn a_shorter_pause_never_cuts_a_longer_one() {
        let mut budget = Budget::new(1.0);
        let s = Duration::from_secs;
        budget.pause(s(10));
        budget.pause(s(5));
        assert_eq!(budget.paused(s(9)), Some(s(10)));
        assert_eq!(budget.paused(s(10)), None);
    }
}
