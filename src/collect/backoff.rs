//! When a chat that could not be read is tried again. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::read::Doubts;
use crate::domain::{ChatKey, Unreadable};

/// Longest wait for one chat that cannot be read: whatever was wrong may have ended.
const LONGEST: Duration = Duration::from_secs(60);
/// Requests' worth of budget between two attempts at chats that cannot be read, when there are many.
const SPACING: f64 = 20.0;

/// Why a chat waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It cannot be read.
    Outage(Unreadable),
    /// It was read, and does not show yet what the list says: a replica is soon up to date. With what its reads left open.
    Doubt(Doubts),
    /// A re-check failed: one of its messages cannot be read, or none of them.
    Recheck,
    /// The account was told to pause, which says nothing of the chat.
    Pause,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    cause: Cause,
    failures: u32,
    doubts: Doubts,
    until: Duration,
}

/// The chats that wait.
#[derive(Debug, Default)]
pub struct Backoff {
    of_chat: BTreeMap<ChatKey, Waiting>,
    order: BTreeSet<(Duration, ChatKey)>,
    outages: usize,
}

impl Backoff {
    /// A chat could not be read to its end at `now`.
    pub fn failed(&mut self, chat: ChatKey, cause: Cause, now: Duration, interval: Duration, budget: f64) {
        let failures = self.failures(chat) + u32::from(cause != Cause::Pause);
        let before = self.of_chat.get(&chat).map(|waiting| waiting.cause);
        let (cause, doubts) = match (cause, before) {
            (Cause::Doubt(doubts), _) => (cause, doubts),
            // Neither says that the chat can be read again.
            (Cause::Recheck | Cause::Pause, Some(outage @ Cause::Outage(_))) => (outage, self.doubts(chat)),
            _ => (cause, self.doubts(chat)),
        };
        self.ended(chat);
        self.outages += usize::from(matches!(cause, Cause::Outage(_)));
        let until = now + wait(cause, failures, doubts, self.outages, interval, budget);
        self.of_chat.insert(chat, Waiting { cause, failures, doubts, until });
        self.order.insert((until, chat));
    }

    /// A chat was read, or is gone. Whether it had been in an outage, and of which kind.
    pub fn ended(&mut self, chat: ChatKey) -> Option<Unreadable> {
        let waiting = self.of_chat.remove(&chat)?;
        self.order.remove(&(waiting.until, chat));
        let Cause::Outage(reason) = waiting.cause else { return None };
        self.outages -= 1;
        Some(reason)
    }

    /// A re-check of the chat was answered: those before it no longer count.
    pub fn answered(&mut self, chat: ChatKey) {
        if self.of_chat.get(&chat).is_some_and(|waiting| waiting.cause == Cause::Recheck) {
            self.ended(chat);
        }
    }

    /// What kept chats from being read has ended: those that wait because of it are due at `now`. Those that wait for another
    /// reason share the budget among fewer, and wait no longer than that takes.
    pub fn recovered(&mut self, reason: Unreadable, now: Duration, interval: Duration, budget: f64) {
        let outages = self.outages;
        for (chat, waiting) in self.of_chat.iter_mut().filter(|(_, waiting)| waiting.until > now) {
            let until = match waiting.cause {
                Cause::Outage(same) if same == reason => now,
                Cause::Outage(_) | Cause::Recheck => {
                    let Waiting { cause, failures, doubts, .. } = *waiting;
                    waiting.until.min(now + wait(cause, failures, doubts, outages, interval, budget))
                }
                _ => continue,
            };
            if until < waiting.until {
                self.order.remove(&(waiting.until, *chat));
                waiting.until = until;
                self.order.insert((until, *chat));
            }
        }
    }

    /// How often in a row the chat was not read to its end.
    pub fn failures(&self, chat: ChatKey) -> u32 {
        self.of_chat.get(&chat).map_or(0, |waiting| waiting.failures)
    }

    /// What it was read for since then and did not show. Failed requests are no such readings: however
    /// many there were, the first answer after them may come from a replica that lags.
    pub fn doubts(&self, chat: ChatKey) -> Doubts {
        self.of_chat.get(&chat).map(|waiting| waiting.doubts).unwrap_or_default()
    }

    /// What reads of a chat that waits left open.
    pub fn record_doubts(&mut self, chat: ChatKey, doubts: Doubts) {
        if let Some(waiting) = self.of_chat.get_mut(&chat) {
            waiting.doubts = doubts;
        }
    }

    /// Until when the chat waits or waited because it cannot be read.
    pub fn outage_until(&self, chat: ChatKey) -> Option<Duration> {
        let waiting = self.of_chat.get(&chat)?;
        matches!(waiting.cause, Cause::Outage(_)).then_some(waiting.until)
    }

    /// Whether the chat waits at `now`.
    pub fn holds(&self, chat: ChatKey, now: Duration) -> bool {
        self.of_chat.get(&chat).is_some_and(|waiting| waiting.until > now)
    }

    /// Takes a chat whose wait is over. Its failures are remembered.
    pub fn take_due(&mut self, now: Duration) -> Option<ChatKey> {
        let (until, chat) = *self.order.first()?;
        if until > now {
            return None;
        }
        self.order.pop_first();
        Some(chat)
    }

    /// When the next wait ends.
    pub fn next(&self) -> Option<Duration> {
        self.order.first().map(|(until, _)| *until)
    }
}

fn wait(
    cause: Cause,
    failures: u32,
    doubts: Doubts,
    outages: usize,
    interval: Duration,
    budget: f64,
) -> Duration {
    // A little less than the interval, so that the next sweep finds the chat ready.
    let first = interval.mul_f64(0.9).min(interval);
    let (Cause::Outage(_) | Cause::Recheck) = cause else { return first };
    let spaced = Duration::from_secs_f64((SPACING / budget.max(0.001) * outages as f64).min(86_400.0));
    // A chat that was read several times, and does not show what the list says, may show it with the next sweep.
    let most = if doubts.insist() { first } else { LONGEST.min(interval.saturating_mul(10)) };
    let longest = most.max(spaced).max(first);
    first.saturating_mul(2u32.pow(failures.saturating_sub(1).min(10))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::read::Lacking;

    const INTERVAL: Duration = Duration::from_secs(30);
    const OUTAGE: Cause = Cause::Outage(Unreadable::ServerError);

    fn after(failures: u32, outages: usize) -> f64 {
        wait(OUTAGE, failures, Doubts::default(), outages, INTERVAL, 2.0).as_secs_f64()
    }

    #[test]
    fn a_chat_that_answers_and_contradicts_the_list_is_read_with_every_sweep_or_shares_the_budget() {
        let doubts = Doubts { times: 5, ..Doubts::default() };
        let after = |failures, outages| wait(OUTAGE, failures, doubts, outages, INTERVAL, 2.0).as_secs_f64();
        assert_eq!([after(1, 1), after(2, 1), after(40, 1)], [27.0; 3]);
        assert_eq!(after(40, 30), 300.0);
    }

    #[test]
    fn one_chat_is_tried_every_minute_and_many_share_a_twentieth_of_the_budget() {
        assert_eq!([after(1, 1), after(2, 1), after(3, 1), after(20, 1)], [27.0, 54.0, 60.0, 60.0]);
        assert_eq!(after(20, 30), 300.0);
        assert_eq!(after(1, 30), 27.0);
        assert_eq!(
            wait(Cause::Doubt(Doubts::default()), 9, Doubts::default(), 0, INTERVAL, 2.0),
            INTERVAL.mul_f64(0.9)
        );
    }

    #[test]
    fn every_setting_gives_a_bounded_wait() {
        for interval in [1, 1_000, 86_400_000, u64::MAX / 1_000_000] {
            for budget in [0.0, 0.001, 2.0, 1e9] {
                let interval = Duration::from_millis(interval);
                for failures in [0, 1, 40, u32::MAX] {
                    assert!(
                        wait(OUTAGE, failures, Doubts::default(), 1_000_000, interval, budget)
                            <= Duration::MAX
                    );
                }
            }
        }
    }

    #[test]
    fn a_recheck_that_fails_waits_longer_each_time_and_is_no_outage() {
        let mut backoff = Backoff::default();
        let mut until = Duration::ZERO;
        for expected in [27, 54, 60] {
            backoff.failed(ChatKey(1), Cause::Recheck, until, INTERVAL, 2.0);
            until += Duration::from_secs(expected);
            assert_eq!(backoff.next(), Some(until));
        }
        backoff.answered(ChatKey(1));
        assert_eq!((backoff.next(), backoff.failures(ChatKey(1))), (None, 0));
        // Nor does it end one.
        backoff.failed(ChatKey(1), OUTAGE, until, INTERVAL, 2.0);
        backoff.failed(ChatKey(1), Cause::Recheck, until, INTERVAL, 2.0);
        backoff.answered(ChatKey(1));
        assert_eq!(backoff.ended(ChatKey(1)), Some(Unreadable::ServerError));
    }

    #[test]
    fn requests_that_fail_are_no_readings_in_doubt() {
        let mut backoff = Backoff::default();
        let lacking = Some(Lacking { messages: 1, began_at: 0 });
        let doubts = Doubts { times: 2, lacking, behind: Some(((None, 5), 2)), ..Doubts::default() };
        backoff.failed(ChatKey(1), Cause::Doubt(doubts), Duration::ZERO, INTERVAL, 2.0);
        for cause in [OUTAGE, Cause::Recheck, Cause::Pause, OUTAGE] {
            backoff.failed(ChatKey(1), cause, Duration::ZERO, INTERVAL, 2.0);
            assert_eq!(backoff.doubts(ChatKey(1)), doubts, "{cause:?}");
        }
    }

    #[test]
    fn what_reads_left_open_is_kept_for_chats_that_wait() {
        let mut backoff = Backoff::default();
        let doubts = Doubts { times: 3, ..Doubts::default() };
        backoff.failed(ChatKey(1), OUTAGE, Duration::ZERO, INTERVAL, 2.0);
        for chat in [1, 2] {
            backoff.record_doubts(ChatKey(chat), doubts);
        }
        assert_eq!([1, 2].map(|chat| backoff.doubts(ChatKey(chat))), [doubts, Doubts::default()]);
    }

    #[test]
    fn the_first_success_ends_the_waits_of_the_same_kind() {
        let mut backoff = Backoff::default();
        let now = Duration::from_secs(100);
        for n in 0..3 {
            backoff.failed(ChatKey(n), OUTAGE, now, INTERVAL, 2.0);
        }
        backoff.failed(ChatKey(9), Cause::Outage(Unreadable::NotFound), now, INTERVAL, 2.0);
        assert_eq!(backoff.take_due(now), None);
        let reason = backoff.ended(ChatKey(0)).unwrap();
        backoff.recovered(reason, now, INTERVAL, 2.0);
        assert!(!backoff.holds(ChatKey(1), now) && backoff.holds(ChatKey(9), now));
        assert_eq!(
            [backoff.take_due(now), backoff.take_due(now), backoff.take_due(now)],
            [Some(ChatKey(1)), Some(ChatKey(2)), None]
        );
        assert_eq!(backoff.failures(ChatKey(1)), 1);
    }

    #[test]
    fn a_chat_that_fails_for_another_reason_waits_no_longer_than_those_that_are_left_make_it() {
        let mut backoff = Backoff::default();
        let now = Duration::from_secs(100);
        for n in 1..100 {
            backoff.failed(ChatKey(n), OUTAGE, now, INTERVAL, 2.0);
        }
        for _ in 0..10 {
            backoff.failed(ChatKey(200), Cause::Outage(Unreadable::NotFound), now, INTERVAL, 2.0);
            backoff.failed(ChatKey(201), Cause::Recheck, now, INTERVAL, 2.0);
        }
        let last = |backoff: &Backoff| backoff.order.last().unwrap().0 - now;
        assert_eq!(last(&backoff), Duration::from_secs(1_000));
        let mut waits = Vec::new();
        for n in 1..100 {
            let reason = backoff.ended(ChatKey(n)).unwrap();
            backoff.recovered(reason, now, INTERVAL, 2.0);
            waits.push(last(&backoff));
        }
        assert!(waits.is_sorted_by(|before, after| before >= after), "{waits:?}");
        assert_eq!(last(&backoff), Duration::from_secs(60));
    }

    #[test]
    fn the_budget_that_failing_chats_share_grows_again_as_they_recover() {
        let mut backoff = Backoff::default();
        let now = Duration::from_secs(100);
        let failed = |backoff: &mut Backoff| {
            for _ in 0..20 {
                backoff.failed(ChatKey(0), OUTAGE, now, INTERVAL, 2.0);
            }
            backoff.next()
        };
        assert_eq!((backoff.next(), backoff.failures(ChatKey(0))), (None, 0));
        for n in 1..30 {
            backoff.failed(ChatKey(n), OUTAGE, Duration::from_secs(1_000), INTERVAL, 2.0);
        }
        assert_eq!(failed(&mut backoff), Some(now + Duration::from_secs(300)));
        for n in 1..30 {
            assert_eq!(backoff.ended(ChatKey(n)), Some(Unreadable::ServerError));
        }
        assert_eq!(failed(&mut backoff), Some(now + Duration::from_secs(60)));
        assert_eq!(backoff.failures(ChatKey(0)), 40);
        backoff.failed(ChatKey(0), Cause::Pause, now, INTERVAL, 2.0);
        assert_eq!(backoff.failures(ChatKey(0)), 40, "a pause says nothing of the chat");
    }
}
