//! What the receiver counts: deliveries that were taken, and those that were not. In memory, from the start of the process.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::event::EventKind;

/// Why a delivery is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No path of an account, or no signature that one of its secrets gives.
    Signature,
    /// Signed too long ago, or ahead of our clock.
    Timestamp,
    /// A body that is too large.
    Size,
    /// A body that is encoded, broken off, or not JSON.
    Syntax,
    /// Another method than POST.
    Method,
    /// More deliveries than are taken in a while.
    Rate,
    /// A body that did not arrive in time.
    Timeout,
    /// Hints cannot be queued: Blooio sends it again.
    Unavailable,
}

impl Reason {
    /// Every reason, in the order of the page.
    pub const ALL: [Reason; 8] = [
        Reason::Signature,
        Reason::Timestamp,
        Reason::Size,
        Reason::Syntax,
        Reason::Method,
        Reason::Rate,
        Reason::Timeout,
        Reason::Unavailable,
    ];

    /// The value of the label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Reason::Signature => "signature",
            Reason::Timestamp => "timestamp",
            Reason::Size => "size",
            Reason::Syntax => "syntax",
            Reason::Method => "method",
            Reason::Rate => "rate",
            Reason::Timeout => "timeout",
            Reason::Unavailable => "unavailable",
        }
    }

    /// What to do when deliveries of one's own are rejected for it.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Reason::Signature => "does the secret file hold the webhook's current signing secret?",
            Reason::Timestamp => "check this machine's clock; or something replays old deliveries",
            Reason::Size | Reason::Syntax => {
                "a proxy in front may change bodies; the receiver needs them as they were sent"
            }
            Reason::Method => "only POST is answered; something else uses the address",
            Reason::Rate => "something floods the receiver; restrict who reaches it",
            Reason::Timeout => "a proxy in front may pass bodies on too slowly",
            Reason::Unavailable => "the collector does not keep up; Blooio sends these again",
        }
    }
}

/// The counters of one account.
#[derive(Debug, Default)]
pub struct Counts {
    events: [AtomicU64; EventKind::ALL.len()],
    rejected: [AtomicU64; Reason::ALL.len()],
    /// Unix ms; 0 before the first.
    last_event: AtomicI64,
}

/// The counters at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Events by kind, every kind.
    pub events: Vec<(&'static str, u64)>,
    /// Rejected deliveries by reason, every reason.
    pub rejected: Vec<(&'static str, u64)>,
    /// When the newest event was taken, unix ms.
    pub last_event: Option<i64>,
}

impl Counts {
    /// An event was taken at `now`, unix ms.
    pub(super) fn took(&self, kind: EventKind, now: i64) {
        let kinds = EventKind::ALL.iter().zip(&self.events);
        kinds.filter(|(known, _)| **known == kind).for_each(|(_, count)| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        self.last_event.fetch_max(now, Ordering::Relaxed);
    }

    /// A delivery was rejected. Whether it was the first for this reason.
    pub(super) fn rejected(&self, reason: Reason) -> bool {
        self.rejected[reason as usize].fetch_add(1, Ordering::Relaxed) == 0
    }

    /// The counters as of now.
    pub fn now(&self) -> Received {
        let events = EventKind::ALL.iter().zip(&self.events);
        let rejected = Reason::ALL.iter().zip(&self.rejected);
        let last = self.last_event.load(Ordering::Relaxed);
        Received {
            events: events.map(|(kind, count)| (kind.label(), count.load(Ordering::Relaxed))).collect(),
            rejected: rejected
                .map(|(reason, count)| (reason.label(), count.load(Ordering::Relaxed)))
                .collect(),
            last_event: (last > 0).then_some(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let counts = Counts::default();
        for (times, reason) in (1..).zip(Reason::ALL) {
            (0..times).for_each(|at| assert_eq!(counts.rejected(reason), at == 0));
        }
        let rejected: Vec<u64> = counts.now().rejected.iter().map(|(_, count)| *count).collect();
        assert_eq!(rejected, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn an_event_counts_under_its_kind_and_the_newest_arrival_stands() {
        let counts = Counts::default();
        assert_eq!(counts.now().last_event, None);
        counts.took(EventKind::MessageRead, 5_000);
        counts.took(EventKind::MessageRead, 4_000);
        counts.took(EventKind::Other, 1);
        let now = counts.now();
        assert_eq!(now.last_event, Some(5_000));
        let seen: Vec<_> = now.events.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [(EventKind::MessageRead.label(), 2), (EventKind::Other.label(), 1)]);
    }
}
