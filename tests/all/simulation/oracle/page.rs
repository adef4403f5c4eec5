//! The published view against the committed messages, and against what the world shows.

use std::collections::{BTreeMap, BTreeSet};

use blooio_exporter::domain::{Counter, Direction, LineId, View};

use super::{GRAIN, Oracle, is_end, violation::Harm};
use crate::simulation::case::Kind;

/// Intervals that it takes to confirm that a row of the list and its chat contradict each other, at most.
const CONFIRMING: i64 = 8;
/// Age from which a message that is not handed over is overdue, ms, as docs/metrics.md says.
const OVERDUE: i64 = 15 * 60_000;
/// Every so many pages, the gauges are rebuilt from single messages.
const COMPARED: u64 = 40;

impl Oracle {
    /// A page is up: nothing on it ever falls, nothing on it is not committed, and it balances.
    pub(crate) fn published(&mut self, view: &View) {
        if view.version == self.shown_version {
            return;
        }
        self.shown_version = view.version;
        let mut breaches = Vec::new();
        for (counter, value) in view.snapshot.counters.iter().filter(|(_, value)| *value != 0) {
            let shown = self.shown.insert(*counter, *value).unwrap_or(0);
            if *value < shown {
                breaches.push(format!("{counter:?} fell from {shown} to {value} on the page"));
            }
            let committed = self.counters.get(counter).copied().unwrap_or(0);
            if *value > committed {
                breaches.push(format!("{counter:?} shows {value}, committed is {committed}"));
            }
        }
        for breach in breaches {
            self.violated("I2", breach);
        }
        self.check_balance(view);
        self.compared += 1;
        if self.compared.is_multiple_of(COMPARED) {
            self.compare_gauges(view);
        }
    }

    /// I1: outbound = ended + open - open history, on each line of the page.
    fn check_balance(&mut self, view: &View) {
        let mut balance: BTreeMap<LineId, i64> = BTreeMap::new();
        let snapshot = &view.snapshot;
        for (counter, value) in &snapshot.counters {
            let sign = match counter {
                Counter::Outbound { .. } => 1,
                counter if is_end(*counter) => -1,
                _ => continue,
            };
            if let Some(line) = counter.line() {
                *balance.entry(line).or_default() += sign * *value as i64;
            }
        }
        for ((line, _), group) in &snapshot.open {
            *balance.entry(*line).or_default() -= group.count as i64;
        }
        for (line, history) in &snapshot.open_history {
            *balance.entry(*line).or_default() += *history as i64;
        }
        if let Some((line, off)) = balance.iter().find(|(_, off)| **off != 0) {
            self.violated("I1", format!("the page is off by {off} on line {line:?}"));
        }
    }

    /// The open messages by status with the oldest of each, and the recent mix, rebuilt from what was committed.
    pub(super) fn compare_gauges(&mut self, view: &View) {
        let shown_all: BTreeMap<&Counter, u64> =
            view.snapshot.counters.iter().map(|(c, v)| (c, *v)).filter(|(_, v)| *v > 0).collect();
        let committed_all: BTreeMap<&Counter, u64> =
            self.counters.iter().map(|(c, v)| (c, *v)).filter(|(_, v)| *v > 0).collect();
        if shown_all != committed_all || self.committed_at == 0 {
            // The page is of an earlier commit: a later one failed, or is under way. The first page of a process
            // goes by the host's clock.
            return;
        }
        let mut open: BTreeMap<_, (u64, i64)> = BTreeMap::new();
        let mut history: BTreeMap<LineId, u64> = BTreeMap::new();
        let window = self.terms.options.window.as_millis() as i64;
        // Until a server answers a process, its gauges stay as of the commit before its start.
        let (before, at) = (self.committed_before_at.min(self.progress.shown_at), self.committed_at);
        // And where one gave no time, they went by the host's clock, and do not come back.
        let latest = at.max(self.progress.shown_at);
        let mut recent: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        let (mut tracked, mut overdue) = (0, BTreeMap::<LineId, (u64, u64)>::new());
        for held in self.messages.values() {
            let Some(now) = held.now else { continue };
            tracked += 1;
            if held.open && !now.was_handed_over() {
                let counts = overdue.entry(now.line).or_default();
                counts.0 += u64::from(before - now.sent_at > OVERDUE + GRAIN);
                counts.1 += u64::from(latest - now.sent_at > OVERDUE - GRAIN);
            }
            if held.open {
                let group = open.entry((now.line, now.status)).or_insert((0, i64::MAX));
                *group = (group.0 + 1, group.1.min(now.sent_at));
                *history.entry(now.line).or_default() += u64::from(now.is_history());
            }
            let (least_age, age) = (before - now.sent_at, latest - now.sent_at);
            let key = (now.line, now.direction(), now.protocol, now.status);
            let counts = recent.entry(key).or_default();
            counts.0 += u64::from(least_age > GRAIN && age < window - GRAIN && !now.is_history());
            counts.1 += u64::from(age > -GRAIN && least_age < window + GRAIN);
        }
        let shown: BTreeMap<_, (u64, i64)> = view
            .snapshot
            .open
            .iter()
            .filter(|(_, group)| group.count > 0)
            .map(|(key, group)| (*key, (group.count, group.oldest)))
            .collect();
        if shown != open {
            self.violated("I1", format!("open messages are {shown:?} on the page and {open:?} in the state"));
        }
        if view.snapshot.tracked != tracked {
            let shown = view.snapshot.tracked;
            self.violated("I16", format!("{shown} tracked messages on the page, {tracked} in the state"));
        }
        if self.terms.kind == Kind::Clocks {
            return;
        }
        for line in overdue.keys().chain(view.snapshot.overdue.keys()) {
            let shown = view.snapshot.overdue.get(line).copied().unwrap_or(0);
            let (least, most) = overdue.get(line).copied().unwrap_or((0, 0));
            if !(least..=most).contains(&shown) {
                let what = format!("{shown} overdue messages on the page and {least} to {most} in the state");
                return self.violated("I16", what);
            }
        }
        for key in recent.keys().chain(view.snapshot.recent.keys()) {
            let shown = view.snapshot.recent.get(key).copied().unwrap_or(0);
            let (least, most) = recent.get(key).copied().unwrap_or((0, 0));
            if !(least..=most).contains(&shown) {
                let what =
                    format!("recent {key:?} is {shown} on the page and {least} to {most} in the state");
                return self.violated("I1", what);
            }
        }
    }

    /// The window's gauges, the active chats and the age of the listing against the world, at a moment when everything was readable
    /// for long enough: nothing that the API shows within the window is missing, and nothing else is there.
    pub(crate) fn compare_with_world(&mut self, view: &View, settled_for: i64) {
        self.check_listing(3);
        let world = std::sync::Arc::clone(&self.world);
        let world = world.lock().unwrap();
        let (now, window) = (self.now(), self.terms.options.window.as_millis() as i64);
        let mut bounds = [(0u64, 0u64); 2];
        // Chats that have or had a message within the window.
        let mut lately_active = BTreeSet::new();
        let truth = world.truth();
        for brief in (0..truth.messages()).filter_map(|n| truth.brief(n)) {
            let (age, seen_for) = (now - brief.time_sent_ms, now - brief.visible_from_ms);
            let is_recent = seen_for > -GRAIN && age < window + settled_for;
            if is_recent {
                lately_active.insert(brief.chat_number);
            }
            if brief.unusable {
                continue;
            }
            let is_broken = self.is_broken_in(&world, brief.chat_number);
            let lasts = !is_broken
                && brief.visible
                && seen_for > settled_for
                && age < window - settled_for
                && age > GRAIN;
            let may = is_recent && age > -GRAIN;
            let bound = &mut bounds[usize::from(!brief.inbound)];
            *bound = (bound.0 + u64::from(lasts), bound.1 + u64::from(may));
        }
        let mut shown = [0u64; 2];
        for ((_, direction, ..), count) in &view.snapshot.recent {
            shown[usize::from(*direction == Direction::Outbound)] += count;
        }
        for (direction, (shown, (least, most))) in
            ["inbound", "outbound"].iter().zip(shown.iter().zip(bounds))
        {
            if !(least..=most).contains(shown) {
                let what =
                    format!("recent {direction} is {shown} on the page; the API shows {least} to {most}");
                self.violated("I16", what);
            }
        }
        let sum = |after: i64| truth.active_chats(after).values().sum::<u64>();
        // A chat that was deleted or merged, or lost all of its messages, is taken as gone only after several listings.
        let (_, deleted, merged) = truth.chats();
        let (least, most) = (sum(now - window + settled_for), lately_active.len() + deleted + merged);
        let active: u64 = view.snapshot.active_chats.iter().sum();
        let fresh = sum(now - settled_for);
        if active + fresh < least || active > most as u64 {
            let what = format!("{active} active chats on the page; the API shows {least} to {most}");
            self.violated("I16", what);
        }
    }

    /// I14: chats that cannot be read are shown with the reason and the time. Where nothing else may be wrong with a chat, no others
    /// are.
    pub(super) fn check_unreadable(&mut self, view: &View, least: u64, most: u64) {
        let Some(fault) = self.terms.breaks_chats else { return };
        let expected = match fault {
            "not-found" => "not_found",
            "forbidden" => "forbidden",
            "truncated-json" | "truncated-close" | "html-200" | "empty-200" | "error-object-200"
            | "empty-messages" => "rejected",
            _ => "server_error",
        };
        let shown: Vec<(&str, u64)> =
            view.unreadable().map(|(reason, chats)| (reason.as_str(), chats)).collect();
        let of = |is_expected: bool| {
            let chosen = shown.iter().filter(|(reason, _)| (*reason == expected) == is_expected);
            chosen.map(|(_, chats)| chats).sum::<u64>()
        };
        let since = view.unreadable_since();
        let is_dated = since.is_some_and(|since| since > 0 && since <= self.now() + GRAIN);
        let most = if self.terms.kind == Kind::Broken { most } else { u64::MAX };
        let is_clean = self.terms.kind != Kind::Broken || of(false) == 0;
        let are_shown = shown.iter().any(|(_, chats)| *chats > 0);
        if !(least..=most).contains(&of(true)) || !is_clean || is_dated != are_shown {
            let what = format!("{least} to {most} chats are {expected}; shown: {shown:?} since {since:?}");
            self.violated("I14", what);
        }
    }

    /// At rest and with nothing broken, the page says so, or did a moment ago: a row of the list that contradicts its chat
    /// is confirmed by reading the chat again; with a chat that cannot be read, it says that.
    pub(super) fn check_health(&mut self, view: &View, unread: usize) {
        let (up, deferred) = (view.health.up, view.health.deferred);
        if unread > 0 && (up || deferred == 0) {
            let what = format!("{unread} chats cannot be read, but up is {up} and deferred {deferred}");
            self.harmed("I14", Harm::FalsePromise, what);
        }
        let interval = self.terms.options.interval.as_millis() as i64;
        let well = self.now() - self.well_at <= interval * CONFIRMING + 8 * self.reading();
        if unread == 0 && self.terms.breaks_chats.is_none() && !well {
            self.violated("I14", format!("everything is read, but up is {up} and deferred {deferred}"));
        }
    }
}
