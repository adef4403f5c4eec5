//! How far the feed is trusted: what polling finds is compared with what events announced. Pure.
//!
//! A message or an end that polling finds before its event is *waited for*. If an event about it arrives within the time in
//! which Blooio sends it again and again, it was late; if none does, it was *missed*. A feed is trusted only while, for a
//! whole window, nothing was late by more than moments, nothing was missed, and hardly anything was announced that the API
//! does not show; and only on evidence: a window in which nothing happens proves nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::event::Announces;

/// The window in which nothing may speak against the feed.
pub const WINDOW: Duration = Duration::from_secs(3_600);
/// How long after polling found something its event may still arrive before it counts as missed. Blooio sends an event that
/// was not accepted again after 30 s and 1, 2, 4 and 8 min (DOC, v4 text): 15.5 min in all.
pub const GRACE: Duration = Duration::from_secs(16 * 60);
/// The same before it speaks against the feed: an event takes a moment, and polling may be faster.
const CONFIRMATION_TIME: Duration = Duration::from_secs(10);
/// Of so many announcements that proved true, one may be of something that the API does not show, or shows late.
const ONE_IN: u64 = 20;
/// How long the API may need to show what was announced.
const UNFOUND: Duration = Duration::from_secs(120);
/// Announcements within the window that must have proved true.
const EVIDENCE: u64 = 20;
/// Messages that are remembered, and things that are waited for. Beyond that the oldest give way.
const CAPACITY: usize = 1 << 16;
/// Parts of the window by which what proved true is counted.
const STEPS: u32 = 60;

/// Both things that can be announced of a message.
const BOTH: [Announces; 2] = [Announces::Message, Announces::End];

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// When it was announced first, by kind.
    announced: [Option<Duration>; 2],
    /// Whether the API showed it, by kind.
    found: [bool; 2],
}

/// What was missed since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Messages that no event had announced.
    pub messages: u64,
    /// Ends of messages that no event had announced.
    pub ends: u64,
}

/// What is known of the feed. `K` identifies a message.
#[derive(Debug)]
pub struct Trust<K> {
    window: Duration,
    began: Duration,
    known: BTreeMap<K, Known>,
    order: VecDeque<K>,
    /// What polling found and no event announced, with the time of the API that a late event is compared with.
    waited_for: BTreeMap<(K, Announces), (Duration, Option<i64>)>,
    by_grace: VecDeque<(Duration, K, Announces)>,
    by_deadline: VecDeque<(Duration, K, Announces)>,
    /// What was announced and is to be shown.
    to_show: VecDeque<(Duration, K, Announces)>,
    /// When something last spoke against the feed.
    failed_at: Option<Duration>,
    /// How many announcements proved true, and how many did not, by part of the window.
    proved: Steps,
    unshown: Steps,
}

/// How often something happened, by part of the window.
#[derive(Debug, Default)]
struct Steps(VecDeque<(u64, u64)>);

impl Steps {
    fn add(&mut self, step: u64) {
        match self.0.back_mut() {
            Some((at, count)) if *at == step => *count += 1,
            _ => self.0.push_back((step, 1)),
        }
    }

    fn forget_before(&mut self, step: u64) {
        while self.0.front().is_some_and(|(at, _)| *at < step) {
            self.0.pop_front();
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }
}

fn at(what: Announces) -> usize {
    match what {
        Announces::Message => 0,
        Announces::End => 1,
    }
}

impl<K: Ord + Copy> Trust<K> {
    /// A feed of which nothing is known yet. Times are those of one clock that never goes back.
    pub fn new(window: Duration, began: Duration) -> Trust<K> {
        Trust {
            window,
            began,
            known: BTreeMap::new(),
            order: VecDeque::new(),
            waited_for: BTreeMap::new(),
            by_grace: VecDeque::new(),
            by_deadline: VecDeque::new(),
            to_show: VecDeque::new(),
            failed_at: None,
            proved: Steps::default(),
            unshown: Steps::default(),
        }
    }

    fn entry(&mut self, key: K) -> &mut Known {
        if !self.known.contains_key(&key) {
            while self.known.len() >= CAPACITY
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.known.entry(key).or_default()
    }

    /// An event about a message arrived. Returns the time of the API of what had been found before it, of each thing that it
    /// announces too late. An end announces its message as well.
    pub fn announce(&mut self, key: K, what: Announces, arrived: Duration) -> Vec<(Announces, Option<i64>)> {
        let mut late = Vec::new();
        for announced in BOTH.into_iter().filter(|one| *one <= what) {
            let entry = self.entry(key);
            let first = entry.announced[at(announced)].is_none();
            entry.announced[at(announced)].get_or_insert(arrived);
            let found = entry.found[at(announced)];
            if let Some((_, api_time)) = self.waited_for.remove(&(key, announced)) {
                late.push((announced, api_time));
                self.prove(arrived);
            } else if first && !found && announced == what {
                self.to_show.push_back((arrived, key, announced));
                self.to_show.truncate(CAPACITY);
            }
        }
        late
    }

    /// Polling found a message, or its end, for the first time. When its event arrived, if one did; `api_time` is handed back
    /// if it arrives later.
    pub fn find(
        &mut self,
        key: K,
        what: Announces,
        api_time: Option<i64>,
        now: Duration,
    ) -> Option<Duration> {
        let entry = self.entry(key);
        entry.found[at(what)] = true;
        if let Some(arrived) = entry.announced[at(what)] {
            self.prove(now);
            return Some(arrived);
        }
        self.waited_for.insert((key, what), (now, api_time));
        self.by_grace.push_back((now + GRACE, key, what));
        self.by_deadline.push_back((now + CONFIRMATION_TIME, key, what));
        None
    }

    /// The API shows a message, and whether it ended: what was announced of it need not be looked for any more.
    pub fn show(&mut self, key: K, ended: bool) {
        if let Some(known) = self.known.get_mut(&key) {
            known.found[0] = true;
            known.found[1] |= ended;
        }
    }

    /// Whether an end of the message was announced that the API does not show yet.
    pub fn awaits_end(&self, key: K) -> bool {
        self.known.get(&key).is_some_and(|known| known.announced[1].is_some() && !known.found[1])
    }

    /// Whether the API showed what was announced.
    pub fn is_shown(&self, key: K, what: Announces) -> bool {
        self.known.get(&key).is_none_or(|known| known.found[at(what)])
    }

    fn prove(&mut self, now: Duration) {
        self.proved.add(self.step(now));
    }

    fn step(&self, now: Duration) -> u64 {
        (now.as_millis() / (self.window / STEPS).as_millis().max(1)) as u64
    }

    /// Draws the conclusions of time: what was missed since the last call.
    pub fn settle(&mut self, now: Duration) -> Missed {
        let is_due =
            |queue: &VecDeque<(Duration, K, Announces)>| queue.front().is_some_and(|due| due.0 <= now);
        while is_due(&self.by_deadline)
            && let Some((_, key, what)) = self.by_deadline.pop_front()
        {
            if self.waited_for.contains_key(&(key, what)) {
                self.failed_at = Some(now);
            }
        }
        while self.to_show.front().is_some_and(|(arrived, ..)| *arrived + UNFOUND <= now)
            && let Some((_, key, what)) = self.to_show.pop_front()
        {
            if self.known.get(&key).is_some_and(|known| !known.found[at(what)]) {
                self.unshown.add(self.step(now));
            }
        }
        let mut missed = Missed::default();
        while (is_due(&self.by_grace) || self.waited_for.len() > CAPACITY)
            && let Some((_, key, what)) = self.by_grace.pop_front()
        {
            if self.waited_for.remove(&(key, what)).is_none() {
                continue;
            }
            self.failed_at = Some(now);
            match what {
                Announces::Message => missed.messages += 1,
                Announces::End => missed.ends += 1,
            }
        }
        let oldest = self.step(now.saturating_sub(self.window));
        self.proved.forget_before(oldest);
        self.unshown.forget_before(oldest);
        missed
    }

    /// Whether the feed is trusted, as of the last [`Trust::settle`].
    pub fn is_trusted(&self, now: Duration) -> bool {
        let for_long = |since: Duration| now.saturating_sub(since) >= self.window;
        for_long(self.began)
            && self.failed_at.is_none_or(for_long)
            && self.proved.sum() >= EVIDENCE
            && self.unshown.sum() * ONE_IN <= self.proved.sum()
    }

    /// When time next changes something.
    pub fn next(&self) -> Option<Duration> {
        let fronts = [self.by_grace.front(), self.by_deadline.front()].into_iter().flatten();
        let shows = self.to_show.front().map(|(arrived, ..)| *arrived + UNFOUND);
        fronts.map(|due| due.0).chain(shows).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Announces::{End, Message};

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A feed that announced everything, one message a minute, until `until`.
    fn good(until: u64) -> Trust<u64> {
        let mut trust = Trust::new(WINDOW, s(0));
        for minute in 0..until / 60 {
            trust.announce(minute, Message, s(minute * 60));
            assert_eq!(trust.find(minute, Message, None, s(minute * 60 + 3)), Some(s(minute * 60)));
            assert_eq!(trust.settle(s(minute * 60 + 3)), Missed::default());
        }
        trust
    }

    #[test]
    fn a_feed_is_trusted_after_a_window_without_a_fault_and_not_before() {
        assert!(!good(3_540).is_trusted(s(3_599)));
        assert!(good(3_600).is_trusted(s(3_600)));
    }

    #[test]
    fn an_idle_window_proves_nothing() {
        let mut trust = good(3_600);
        trust.settle(s(7_000));
        assert!(!trust.is_trusted(s(7_000)), "what proved true an hour ago is no evidence");
        assert!(!Trust::<u64>::new(WINDOW, s(0)).is_trusted(s(90_000)));
    }

    #[test]
    fn what_no_event_announced_ends_trust_within_seconds_and_counts_as_missed_after_the_last_retry() {
        let mut trust = good(3_600);
        assert_eq!(trust.find(999, End, None, s(3_600)), None);
        trust.settle(s(3_609));
        assert!(trust.is_trusted(s(3_609)), "an event takes a moment");
        trust.settle(s(3_610));
        assert!(!trust.is_trusted(s(3_610)));
        assert_eq!(trust.settle(s(3_600 + 959)), Missed::default());
        assert_eq!(trust.settle(s(3_600 + 960)), Missed { messages: 0, ends: 1 });
        assert_eq!(trust.settle(s(90_000)), Missed::default(), "once");
    }

    #[test]
    fn trust_comes_back_a_window_after_the_miss_was_counted() {
        let mut trust = good(3_600);
        trust.find(999, Message, None, s(3_600));
        let missed_at = 3_600 + 960;
        for minute in 61..140 {
            trust.announce(minute, Message, s(minute * 60));
            trust.find(minute, Message, None, s(minute * 60));
            trust.settle(s(minute * 60));
            let is_long_ago = minute * 60 >= missed_at + 3_600;
            assert_eq!(trust.is_trusted(s(minute * 60)), is_long_ago, "minute {minute}");
        }
    }

    #[test]
    fn an_event_that_a_retry_brought_is_late_and_not_missed() {
        let mut trust = good(3_600);
        trust.find(999, Message, Some(77), s(3_600));
        trust.settle(s(4_000));
        assert_eq!(trust.announce(999, Message, s(4_000)), [(Message, Some(77))]);
        assert_eq!(trust.settle(s(9_000)), Missed::default());
        assert!(!trust.is_trusted(s(4_000)));
    }

    #[test]
    fn an_end_announces_its_message_too() {
        let mut trust = Trust::new(WINDOW, s(0));
        trust.find(1, Message, None, s(0));
        assert_eq!(trust.announce(1, End, s(5)), [(Message, None)]);
        assert_eq!(trust.find(1, End, None, s(6)), Some(s(5)));
        assert_eq!(trust.settle(s(5_000)), Missed::default());
    }

    #[test]
    fn when_much_of_what_was_announced_is_never_shown_trust_ends() {
        let mut trust = good(3_600);
        for n in 0..4 {
            trust.announce(990 + n, Message, s(3_600 + n));
        }
        // The first two of the hour's sixty have left the window by then: one in twenty of the rest is two.
        trust.settle(s(3_721));
        assert!(trust.is_trusted(s(3_721)));
        assert_eq!(trust.settle(s(3_722)), Missed::default());
        assert!(!trust.is_trusted(s(3_722)));
        let mut shown = good(3_600);
        shown.announce(999, End, s(3_600));
        assert!(shown.awaits_end(999));
        shown.show(999, true);
        shown.settle(s(3_720));
        assert!(shown.is_trusted(s(3_720)) && !shown.awaits_end(999));
    }

    #[test]
    fn repeated_events_prove_nothing_and_memory_is_bounded() {
        let mut trust = good(60);
        for _ in 0..100 {
            trust.announce(0, Message, s(70));
        }
        assert_eq!(trust.proved.sum(), 1);
        for n in 0..2 * CAPACITY as u64 {
            trust.announce(1_000 + n, End, s(100));
        }
        assert!(trust.known.len() <= CAPACITY && trust.order.len() <= CAPACITY);
        assert!(trust.to_show.len() <= CAPACITY);
    }
}
