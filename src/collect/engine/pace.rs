//! When recurring work happens, and how deep reads are spread over their interval. Pure.

use std::time::Duration;

/// Longest time between two looks at what is due.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// When something happens that happens again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recurring {
    /// At this time, or as soon as possible after it.
    Due(Duration),
    /// It is under way.
    Running,
}

impl Recurring {
    pub(super) fn due_now() -> Recurring {
        Recurring::Due(Duration::ZERO)
    }

    pub(super) fn is_due(self, now: Duration) -> bool {
        matches!(self, Recurring::Due(at) if at <= now)
    }

    pub(super) fn next(self) -> Option<Duration> {
        match self {
            Recurring::Due(at) => Some(at),
            Recurring::Running => None,
        }
    }
}

/// How many deep reads may begin: twice as many as their interval needs, so that they are spread over it.
#[derive(Debug, Default)]
pub(super) struct AuditPace {
    tokens: f64,
    at: Duration,
}

impl AuditPace {
    /// Whether one may begin, with so many chats to read within an interval.
    pub(super) fn take(&mut self, now: Duration, chats: usize, audit_interval: Duration) -> bool {
        let rate = 2.0 * chats as f64 / audit_interval.as_secs_f64().max(1e-3);
        let earned = now.saturating_sub(self.at).as_secs_f64() * rate;
        self.tokens = (self.tokens + earned).min(1.0 + rate * LOOK.as_secs_f64());
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audits_are_spread_over_their_interval_and_idle_time_earns_no_burst() {
        let mut pace = AuditPace::default();
        let day = Duration::from_secs(86_400);
        let began = (0..86_400).filter(|s| pace.take(Duration::from_secs(*s), 1_000, day)).count();
        assert!((1_990..=2_010).contains(&began), "{began}");
        let burst = (0..100).filter(|_| pace.take(Duration::from_secs(200_000), 1_000, day)).count();
        assert!(burst <= 2, "{burst}");
    }

    #[test]
    fn an_audit_begins_as_soon_as_its_share_of_the_interval_is_over() {
        let mut pace = AuditPace::default();
        let began: Vec<u64> =
            (0..=8).filter(|s| pace.take(Duration::from_secs(*s), 1, Duration::from_secs(8))).collect();
        assert_eq!(began, [4, 8], "twice in 8 s");
    }
}
