//! The end of a life: every message and every family against the world's ledger.

use std::collections::{BTreeMap, BTreeSet};

use blooio_exporter::domain::{Counter, Direction, HistogramKey, SweepResult, View};
use blooio_exporter::simulator::Entry;

use super::expected::{Expected, is_of_messages};
use super::violation::Harm;
use super::{GRAIN, Held, Oracle};
use crate::simulation::case::Kind;
use crate::simulation::plug;

/// A message may appear this much less late than the retention, and still be sure to be counted.
const LATEST: i64 = 1_000;
/// An answer that takes longer, ms, is not waited for.
const SLOWEST: i64 = 10_000;
/// Upper bounds of the buckets of `blooio_delivery_latency_seconds`, as docs/metrics.md names them.
const LATENCY_BUCKETS: [f64; 16] = [
    0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21_600.0, 86_400.0,
];
/// Requests take their time, and so do commits.
const MARGIN: i64 = 20_000;

impl Oracle {
    /// After quiet and time enough: nothing is lost, everything is closed, every family is right.
    pub(crate) fn settled(&mut self, view: &View) {
        let entries: Vec<Entry> = self.world.lock().unwrap().truth().entries().collect();
        for entry in entries.iter().filter(|entry| entry.ever_visible) {
            let began = self.began.entry(entry.chat_number).or_insert(i64::MAX);
            *began = entry.visible_from_ms.min(*began);
        }
        let mut expected = Expected::default();
        let (mut unread, mut broken) = (BTreeSet::new(), BTreeSet::new());
        let mut known = BTreeSet::new();
        for entry in &entries {
            let direction =
                if entry.direction == "inbound" { Direction::Inbound } else { Direction::Outbound };
            let id = plug::message_id(&self.hasher, direction, &entry.id);
            known.insert(id);
            let held = self.messages.get(&id).copied();
            if let Some(held) = held.filter(|held| held.counted > 0) {
                self.stats.counted += 1;
                self.check_line(entry, &held);
                expected.add(entry, &held);
            }
            if self.is_broken(entry.chat_number) {
                broken.insert(entry.chat_number);
                let given_up = self.is_given_up_unread(
                    &self.world.lock().unwrap(),
                    entry.chat_number,
                    entry.time_sent_ms,
                );
                let uncounted =
                    !given_up && held.is_none_or(|held| held.counted == 0 && !held.last.is_history());
                let new = entry.time_sent_ms > self.progress.baseline + GRAIN;
                if uncounted && new && entry.visible && !entry.unusable {
                    unread.insert(entry.chat_number);
                }
                continue;
            }
            self.check_entry(entry, held.as_ref());
        }
        self.check_closed(&entries);
        self.check_counters(&expected);
        self.check_histograms(&expected);
        self.check_talk(&entries, view);
        self.check_requests();
        if self.messages.len() > known.len() {
            let held = self.messages.len();
            self.violated("I6", format!("{held} messages held of {}", known.len()));
        }
        self.check_floor();
        self.check_health(view, unread.len());
        self.check_unreadable(view, unread.len() as u64, broken.len() as u64);
        self.check_families(view);
    }

    /// After an overload, once it is quiet for long enough: everything is counted.
    pub(crate) fn caught_up(&mut self) {
        let entries: Vec<Entry> = self.world.lock().unwrap().truth().entries().collect();
        for entry in entries {
            let direction =
                if entry.direction == "inbound" { Direction::Inbound } else { Direction::Outbound };
            let id = plug::message_id(&self.hasher, direction, &entry.id);
            let held = self.messages.get(&id).copied();
            self.stats.counted += u64::from(held.is_some_and(|held| held.counted > 0));
            if !self.is_broken(entry.chat_number) {
                self.check_counted(&entry, held.as_ref());
            }
        }
    }

    /// I4 and I9 of one message.
    fn check_entry(&mut self, entry: &Entry, held: Option<&Held>) {
        let Some(held) = self.check_counted(entry, held) else { return };
        if entry.direction == "outbound" {
            self.check_end(entry, &held);
        }
        // The first read of a chat has no count to miss what a lagging replica holds back.
        let first_moments = self.progress.baseline + self.terms.api_lag + 2_000;
        if self.terms.kind == Kind::Calm && entry.visible_from_ms > first_moments {
            self.check_freshness(entry, &held);
        }
    }

    /// I4: a message in scope was counted. Gives what is known of it, where it was.
    fn check_counted(&mut self, entry: &Entry, held: Option<&Held>) -> Option<Held> {
        let retention = self.terms.options.retention.as_millis() as i64;
        let lateness = self.shown_from(entry) - entry.time_sent_ms;
        let in_scope = entry.time_sent_ms > self.progress.baseline && entry.ever_visible && !entry.unusable;
        if !in_scope || entry.deleted_at_ms.is_some() || lateness > retention - LATEST {
            return None;
        }
        self.stats.messages += 1;
        let Some(held) = held.filter(|held| held.counted > 0 || held.last.is_history()) else {
            let floor = self.progress.floor;
            let what = format!("lost, late by {lateness} ms, floor {floor}: {entry:?}");
            self.harmed("I4", Harm::Lost, what);
            return None;
        };
        if held.last.is_history() {
            // Its time was rewritten from before the baseline to after it, which a later reading shows.
            let rewritten = self.world.lock().unwrap().setup().knobs.rewrite_time_sent;
            if !rewritten || entry.time_sent_ms > self.progress.baseline + GRAIN {
                self.harmed("I4", Harm::Lost, format!("taken for history: {entry:?}"));
            }
            return None;
        }
        Some(*held)
    }

    /// Whether lists lacked the chat for as long as an audit takes, and a process started meanwhile: it does not know the
    /// chat's id and cannot ask for it, so that the lists are all it has to go by.
    fn was_left_out_over_a_start(&self, chat_number: u32) -> bool {
        let audit = self.terms.options.audit_interval.as_millis() as i64;
        self.omissions_of(chat_number).any(|omission| {
            self.starts.iter().any(|start| (omission.from..omission.to - audit).contains(start))
        })
    }

    /// When the API showed the message in a chat that could be known: one that began while the list lacked it could not.
    fn shown_from(&self, entry: &Entry) -> i64 {
        let began = self.began.get(&entry.chat_number).copied().unwrap_or(i64::MIN);
        let hides = |omission: &&super::Omission| {
            // A moment before is too short to have been listed.
            let from = omission.from - 2 * self.terms.options.interval.as_millis() as i64;
            (from..omission.to).contains(&began)
        };
        let hidden = self.omissions_of(entry.chat_number).find(hides);
        hidden.map_or(entry.visible_from_ms, |omission| entry.visible_from_ms.max(omission.to))
    }

    /// I4: the line is the one that the API shows, or none where it was assigned late.
    fn check_line(&mut self, entry: &Entry, held: &Held) {
        let line = self.lines.get(&held.last.line).map_or("none", String::as_str);
        let may_be_none = self.terms.lines_vary || self.terms.kind == Kind::Odd;
        if line != entry.line && !(may_be_none && line == "none") {
            self.violated("I4", format!("counted on line {line}: {entry:?}"));
        }
    }

    /// I4: the end is the first one that the API showed, and no message is given up before the horizon.
    fn check_end(&mut self, entry: &Entry, held: &Held) {
        let horizon = self.horizon_at(held.ended_at);
        let (last, status) = (held.last, held.last.status.as_str());
        // The age of a message that is dated ahead begins when it is first seen.
        let age_from = last.sent_at.min(held.counted_at);
        if !last.is_ended() && held.ended > 0 {
            // It ended and left in one commit. Where the API showed no end until then, it was given up.
            let shown = entry.terminal.as_ref().is_some_and(|end| end.at_ms <= held.ended_at);
            if !shown && held.ended_at < age_from + horizon - GRAIN {
                self.harmed("I4", Harm::Lost, format!("given up early and forgotten: {last:?}, {entry:?}"));
            }
            return;
        }
        if !last.is_ended() {
            if self.now() - age_from > self.horizon_at(self.now()) + MARGIN {
                self.violated("I4", format!("without an end: {entry:?}"));
            }
            return;
        }
        if last.is_given_up() {
            let sent_at = entry.time_sent_ms.min(held.counted_sent_at).min(entry.visible_from_ms);
            // Where the server's clock goes back, a message looks younger at first than it does later.
            let horizon = horizon - (-self.terms.date_error).max(0);
            // A clock that a slow answer set is behind by as long as the answer took.
            let behind = if self.terms.kind == Kind::Calm { 0 } else { SLOWEST };
            let early = held.ended_at < sent_at + horizon - GRAIN - behind;
            // One that went back to a status without an end may never have been seen at its end.
            let shown = entry.terminal.as_ref().filter(|end| end.status == entry.status);
            let missed = shown.is_some_and(|end| end.at_ms + MARGIN < sent_at + horizon);
            if (early || missed) && !self.was_left_out_over_a_start(entry.chat_number) {
                let age = held.ended_at - sent_at;
                self.harmed(
                    "I4",
                    Harm::Lost,
                    format!("given up at the age of {age} ms, horizon {horizon}: {last:?}, {entry:?}"),
                );
            }
            return;
        }
        let regressing = self.world.lock().unwrap().setup().shares.regress > 0.0;
        let first = entry.terminal.as_ref().is_some_and(|end| end.status == status);
        if !(first || regressing && status == entry.status) {
            self.violated("I4", format!("ended as {last:?}: {entry:?}"));
        }
    }

    /// I7: what the API shows is closed at the horizon; what it does not show any more, two audits later.
    fn check_closed(&mut self, entries: &[Entry]) {
        let millis = |duration: std::time::Duration| duration.as_millis() as i64;
        let options = &self.terms.options;
        let (horizon, interval) = (millis(options.horizon), millis(options.interval));
        let mut gone = 2 * millis(options.audit_interval) + millis(options.full_interval);
        if self.terms.kind == Kind::Vanishing {
            // Where many chats went while no process ran, the loss of each takes a retention to believe.
            gone += millis(options.retention);
        }
        // In a chat that cannot be read, or that shows rows that cannot be used, any of which may be it: a retention later.
        let broken = millis(options.retention) + 3 * millis(options.audit_interval);
        let now = self.now();
        let unusable = entries.iter().filter(|entry| entry.unusable && entry.visible);
        let odd: BTreeSet<u32> = unusable.map(|entry| entry.chat_number).collect();
        for entry in entries.iter().filter(|entry| entry.direction == "outbound") {
            let id = plug::message_id(&self.hasher, Direction::Outbound, &entry.id);
            let Some(held) = self.messages.get(&id).copied().filter(|held| held.open) else { continue };
            let from = held.last.sent_at.min(held.counted_at);
            let mut wait = horizon + 6 * interval + if entry.visible { 0 } else { gone };
            if self.is_broken(entry.chat_number) || !entry.visible && odd.contains(&entry.chat_number) {
                wait += broken;
            }
            if now - from > wait {
                self.violated("I7", format!("still open: {held:?}, {entry:?}"));
            }
        }
    }

    /// I6: ids do not accumulate: the floor follows at the distance of two retentions and some audits, even where a
    /// chat cannot be read.
    fn check_floor(&mut self) {
        let millis = |duration: std::time::Duration| duration.as_millis() as i64;
        let options = &self.terms.options;
        let audits = 3 * millis(options.audit_interval) + 4 * millis(options.full_interval);
        let distance = 2 * millis(options.retention) + audits;
        let (now, floor) = (self.now(), self.progress.floor);
        if self.progress.baseline > 0 && now - floor.max(self.progress.baseline) > distance {
            let listed = (now - self.progress.listed_at) / 1000;
            let what =
                format!("the floor is {} s behind, the newest listing {listed} s", (now - floor) / 1000);
            self.violated("I6", what);
        }
    }

    /// How long it takes at the budget to read everything that there ever was, ms: on pages of a few rows, a busy account is
    /// never read at once.
    pub(super) fn reading(&self) -> i64 {
        let world = self.world.lock().unwrap();
        let pages = world.truth().messages() as f64 / (world.setup().page_cap.max(2) - 1) as f64;
        (pages / self.terms.options.budget * 1_000.0) as i64
    }

    /// I9. The limits are those of the schedule: a sweep finds a message within an interval and reads it at
    /// once; a late one may stand so far down the list that only the full listing finds it; an open one is
    /// asked for again after half its age.
    fn check_freshness(&mut self, entry: &Entry, held: &Held) {
        let millis = |duration: std::time::Duration| duration.as_millis() as i64;
        let options = self.terms.options.clone();
        let (interval, horizon) = (millis(options.interval), millis(options.horizon));
        let lateness = entry.visible_from_ms - entry.time_sent_ms;
        if lateness > millis(options.lookback) {
            return;
        }
        let visible = entry.visible_from_ms.max(self.progress.baseline);
        let delay = held.counted_at - visible;
        let is_late = lateness > 2_000;
        let delays = if is_late { &mut self.stats.late } else { &mut self.stats.fresh };
        delays.push(delay);
        // One that is late by no more than an interval is found like one on time, where no replica lags.
        let is_found_at_once = lateness <= interval && self.terms.api_lag == 0;
        let found = match (is_late, is_found_at_once) {
            (_, true) => interval * 3 / 2,
            (false, _) => interval * 5 / 2,
            (true, _) => interval * 5 / 2 + millis(options.full_interval),
        } + 2 * self.reading();
        if delay > found {
            let what = format!("counted {delay} ms after it could be, late by {lateness}: {entry:?}");
            self.violated("I9", what);
        }
        let Some(terminal) = &entry.terminal else { return };
        if held.last.is_given_up() || terminal.at_ms > held.last.sent_at + horizon {
            return;
        }
        // A receipt that comes long after an SMS or RCS is found by a rare request; the contract promises less.
        let rare = entry.protocol != "imessage" && terminal.at_ms - held.last.sent_at > 10 * 60_000;
        if rare {
            return;
        }
        let delay = held.ended_at - terminal.at_ms.max(visible);
        self.stats.ends.push(delay.max(0));
        // A date ahead makes no message younger than its first appearance.
        let age = (terminal.at_ms - held.last.sent_at.min(entry.visible_from_ms)).max(0);
        if delay > age * 3 / 4 + 2 * interval + found {
            self.violated("I9", format!("its end was counted {delay} ms late: {entry:?}"));
        }
    }

    /// I4: every counter of messages is the sum over single messages, label by label.
    fn check_counters(&mut self, expected: &Expected) {
        let shown: BTreeMap<Counter, u64> = self
            .counters
            .iter()
            .filter(|(counter, value)| is_of_messages(**counter) && **value > 0)
            .map(|(counter, value)| (*counter, *value))
            .collect();
        let keys: BTreeSet<Counter> = shown.keys().chain(expected.counters.keys()).copied().collect();
        // What came and went between two commits has labels that cannot be seen from here.
        let mut unseen = self.unseen_in_all * 2;
        for counter in keys {
            let is = shown.get(&counter).copied().unwrap_or(0);
            let (least, most) = expected.counters.get(&counter).copied().unwrap_or((0, 0));
            let off = least.saturating_sub(is) + is.saturating_sub(most);
            if off > unseen {
                self.violated("I4", format!("{counter:?} is {is} and should be {least} to {most}"));
            }
            unseen = unseen.saturating_sub(off);
        }
        let mut sent: BTreeMap<_, u64> = BTreeMap::new();
        for (counter, value) in &self.counters {
            if let Counter::Sent { line, .. } = counter {
                *sent.entry(*line).or_default() += value;
            }
        }
        for (line, (least, most)) in &expected.sent {
            let is = sent.get(line).copied().unwrap_or(0);
            if is + self.unseen_in_all < *least || is > most + self.unseen_in_all {
                self.violated("I4", format!("sent on {line:?} is {is} and should be {least} to {most}"));
            }
        }
        let regressions = self.counters.get(&Counter::Regressions).copied().unwrap_or(0);
        // A replica that lags shows an older status as well.
        let exact = self.world.lock().unwrap().setup().knobs.replica_lag_ms == 0 && !self.terms.shows_old;
        if exact && regressions > expected.regressions {
            let most = expected.regressions;
            self.violated("I4", format!("{regressions} regressions, the API showed {most}"));
        }
    }

    /// I4: histograms hold every value, in its bucket, and the sum.
    fn check_histograms(&mut self, expected: &Expected) {
        if self.world.lock().unwrap().setup().knobs.dropped_keys > 0.0 {
            // The row that showed the end may have lacked its time.
            return;
        }
        let unseen = self.unseen_in_all;
        for (key, histogram) in self.histograms.clone() {
            let HistogramKey::Latency { .. } = key else { continue };
            let values = expected.latencies.get(&key).map_or(&[][..], Vec::as_slice);
            let mut buckets = vec![0; histogram.counts.len()];
            for value in values {
                buckets[LATENCY_BUCKETS.partition_point(|bound| bound < value)] += 1;
            }
            let sum: f64 = values.iter().sum();
            let off = (histogram.sum - sum).abs() > 0.001 * (values.len() + 1) as f64;
            if unseen == 0 && (histogram.counts[..] != buckets[..] || off) {
                let what = format!("{key:?} holds {histogram:?} and should hold {buckets:?}, sum {sum}");
                self.violated("I4", what);
            }
        }
        let Some(delay) = self.histograms.get(&HistogramKey::Delay).cloned() else { return };
        let (count, values) = (delay.count(), expected.delays.len() as u64);
        if count.abs_diff(values) > 2 * unseen {
            self.violated("I4", format!("{count} delays, of {values} counts and deliveries"));
        }
        let sum: f64 = expected.delays.iter().map(|seconds| seconds.max(0.0)).sum();
        // A commit comes after what it commits, by as much as a read of several pages takes.
        let slack = 60.0 * (values + 1) as f64;
        let wrong_clock = self.terms.kind == Kind::Clocks;
        if !wrong_clock && unseen == 0 && (delay.sum > sum + slack / 12.0 || delay.sum < sum - slack / 6.0) {
            self.violated("I4", format!("delays add up to {} s and should be about {sum}", delay.sum));
        }
    }

    /// How many of so many sweeps may be partial in a calm life.
    fn partial_sweeps_allowed(&self, sweeps: u64) -> u64 {
        // Where a deep read takes as long as the next messages take to come, and of a busy chat below a message dated ahead, a count
        // that moves with every read is all there is to go by.
        let reads_slowly = 2 * self.reading() > self.terms.options.interval.as_millis() as i64;
        let world = self.world.lock().unwrap();
        if reads_slowly || world.setup().shares.future > 0.0 {
            return sweeps / 10;
        }
        // After a short page, a chat may move up in the moment in which the page is read again that it was on.
        u64::from(world.setup().knobs.short_pages > 0.0)
    }

    /// I11: requests are counted as they were sent, and each has a duration.
    fn check_requests(&mut self) {
        let mut counted: BTreeMap<&'static str, u64> = BTreeMap::new();
        let (mut probes, mut sweeps) = (0, 0);
        for (counter, value) in &self.counters {
            match counter {
                Counter::Requests { endpoint, .. } => *counted.entry(endpoint.as_str()).or_default() += value,
                Counter::Probes { .. } => probes += value,
                Counter::Sweeps { .. } => sweeps += value,
                _ => {}
            }
        }
        let mut breaches = Vec::new();
        // What a process that died had not committed is nowhere, nor is what was under way when it committed last.
        let under_way = 40 * self.stats.crashes + 40;
        if self.terms.kind == Kind::Calm && self.terms.breaks_chats.is_none() {
            let allowed = self.partial_sweeps_allowed(sweeps);
            let incomplete = self.counters.iter().filter(|(counter, value)| {
                matches!(counter, Counter::Sweeps { result } if *result != SweepResult::Complete)
                    && **value > allowed
            });
            breaches.extend(incomplete.map(|(counter, n)| format!("{n} of {counter:?} without a fault")));
        }
        for (endpoint, asked) in &self.asked {
            let is = counted.get(endpoint).copied().unwrap_or(0);
            // A long read that finds nothing new commits nothing before its end.
            let committed = self.asked_before_commit.get(endpoint).copied().unwrap_or(0);
            let in_vain = self.asked_in_vain.get(endpoint).copied().unwrap_or(0);
            if is > *asked || is + in_vain + under_way < committed {
                breaches.push(format!("{is} requests of {endpoint} counted, {asked} sent"));
            }
        }
        for (key, histogram) in &self.histograms {
            let count = histogram.count();
            let events = match key {
                HistogramKey::RequestDuration { endpoint } => {
                    counted.get(endpoint.as_str()).copied().unwrap_or(0)
                }
                HistogramKey::ProbeDuration => probes,
                HistogramKey::SweepDuration => sweeps,
                _ => continue,
            };
            if count != events {
                breaches.push(format!("{key:?} holds {count} values of {events} events"));
            }
        }
        for breach in breaches {
            self.violated("I11", breach);
        }
    }
}
