//! The ledger of one account: counts every message once and gives it one end.
//!
//! Invariants, by the names of RELIABILITY.md:
//! * a message is counted only when its id is inserted, with `sent_at` above the floor (I3, I5);
//! * an id leaves only when the floor has passed its `sent_at`, and the floor never falls (I3, I6);
//! * the floor rises only behind deep reads of every active chat (I4);
//! * observed = ended + open, per line, after every call (I1).
//!
//! No call iterates over all messages or all chats: the cost of a call follows from what it changes.

mod conversations;
mod devices;
mod gone;
mod lines;
mod records;
mod series;
mod snapshot;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::chat::{Chat, ChatKind, Listing};
use super::chats::{Bounds, Chats};
use super::conversations::Conversations;
use super::counts::End;
use super::families::{Counter, HistogramKey};
use super::ids::{ChatKey, LineId, MessageId};
use super::message::{Direction, Observation, Status, Tracked};
use super::messages::{Messages, Missing, Open};
use super::totals::Totals;
use super::view::Device;
pub use lines::{MAX_LINE_NAME, MAX_LINES};
pub use values::{Delta, Outcome, Policy, Progress, Restored};

/// Distinct HTTP statuses past which further ones share `overflow`.
const MAX_CODES: usize = 40;

/// What changed since the newest commit.
#[derive(Default)]
struct Changed {
    /// Commits were lost: everything must be stored again.
    everything: bool,
    progress: bool,
    lines: Vec<LineId>,
    devices: BTreeSet<LineId>,
    chats: BTreeSet<ChatKey>,
    messages: BTreeSet<MessageId>,
}

/// The ledger of one account.
pub struct Ledger {
    policy: Policy,
    progress: Progress,
    lines: Vec<String>,
    line_ids: HashMap<String, LineId>,
    devices: BTreeMap<LineId, Device>,
    messages: Messages,
    chats: Chats,
    conversations: Conversations,
    /// When the newest list was asked for that named every change before it.
    listed_through: i64,
    /// Since when lists have been read without a gap that is longer than a lookback.
    listed_since: i64,
    totals: Totals,
    changed: Changed,
    /// Whether the server's clock has been steady for long enough to decide by it what cannot be taken back.
    settled: bool,
}

impl Ledger {
    /// Takes up where the store left off; an empty [`Restored`] is a first start. `now` is the time of the newest
    /// commit as far as known: gauges of the trailing window are filled as of it.
    pub fn new(policy: Policy, restored: Restored) -> Ledger {
        let progress = restored.progress;
        let now = progress.shown_at.max(progress.watermark).max(progress.last_success);
        let mut ledger = Ledger {
            policy,
            progress,
            lines: vec![String::from("none")],
            line_ids: HashMap::new(),
            devices: restored.devices.into_iter().collect(),
            messages: Messages::restore(restored.messages, policy.window, now),
            chats: Chats::restore(restored.chats, bounds(policy, progress, now)),
            conversations: Conversations::restore(restored.told, now),
            listed_through: progress.watermark,
            listed_since: 0,
            totals: Totals::default(),
            changed: Changed::default(),
            settled: true,
        };
        for (counter, value) in restored.counters {
            ledger.totals.restore(counter, value);
        }
        for (key, histogram) in restored.histograms {
            ledger.totals.restore_histogram(key, histogram);
        }
        ledger.extend_history(now);
        ledger.declare_account();
        let mut lines = restored.lines;
        lines.sort();
        for (id, name) in lines {
            if !matches!(id, LineId::NONE | LineId::OVERFLOW) {
                ledger.line_ids.insert(name.clone(), id);
                ledger.lines.push(name);
            }
            ledger.declare_line(id);
        }
        ledger
    }

    /// The parameters of the rules, which are those of the settings.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Where the account stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Fixes the baseline, once, at the first start: what was sent before is history.
    pub fn begin(&mut self, baseline: i64) {
        if self.progress.baseline == 0 && baseline > 0 {
            self.progress.baseline = baseline;
            self.progress.floor = baseline;
            self.progress.watermark = baseline;
            self.changed.progress = true;
            self.advance_clock(baseline);
        }
    }

    /// The chats that are known.
    pub fn chats(&self) -> &Chats {
        &self.chats
    }

    /// The messages that are held.
    pub fn messages(&self) -> &Messages {
        &self.messages
    }

    /// The conversations, and the messages that wait for their places.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// The totals of all counters and histograms, which survive restarts.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The server's time as of which gauges were shown last.
    pub fn shown_at(&self) -> i64 {
        let progress = self.progress;
        progress.shown_at.max(progress.watermark).max(progress.last_success)
    }

    /// Moves gauges of the trailing window on to `now`, and forgets what only they still showed.
    pub fn advance_clock(&mut self, now: i64) {
        self.progress.shown_at = self.progress.shown_at.max(now);
        for (sent_at, id) in self.messages.advance(now) {
            if sent_at <= self.progress.floor {
                self.forget_if_passed(id, now);
            }
        }
        self.chats.advance(bounds(self.policy, self.progress, now));
    }

    /// Applies what one reading says of one message of `chat`. `now` is the server's time.
    pub fn observe(&mut self, chat: ChatKey, observation: &Observation, now: i64) -> Outcome {
        let id = observation.id;
        if let Some(tracked) = self.messages.get(id) {
            if !tracked.is_history() || observation.sent_at <= self.progress.baseline {
                self.refresh(chat, observation, now);
                return Outcome::Known;
            }
            // A server may rewrite `time_sent` at hand-over: what was history is not any more.
            self.messages.remove(id);
            self.changed.messages.insert(id);
        }
        let history = observation.sent_at <= self.progress.baseline;
        if history {
            let open = !observation.is_final() && now - observation.sent_at < self.policy.horizon;
            if !open && observation.sent_at <= now - self.policy.window {
                return Outcome::History;
            }
        } else if observation.sent_at <= self.progress.floor {
            return Outcome::Passed;
        }
        if !history {
            self.count(observation, now);
            self.converse(chat, observation, now);
        }
        let tracked = Tracked::new(observation, history);
        let outbound = observation.direction == Direction::Outbound;
        let ahead = (observation.sent_at > now).then_some(now);
        let open = outbound.then_some(Open { seen_at: ahead, ..Open::new(chat) });
        self.messages.insert(id, tracked, open);
        self.changed.messages.insert(id);
        self.move_on(chat, observation, now);
        if history { Outcome::History } else { Outcome::Counted }
    }

    /// Whether the server's clock has been steady for long enough. While it has not, nothing is given up and the floor
    /// stays where it is.
    pub fn set_settled(&mut self, settled: bool) {
        self.settled = settled;
    }

    /// When to ask for an open message again.
    pub fn reschedule(&mut self, id: MessageId, due: i64) {
        self.messages.set_due(id, due);
    }

    /// Applies a row of the chat list. True when it says something new, so that the chat must be read.
    pub fn record_listed(&mut self, key: ChatKey, kind: ChatKind, listed: Listing) -> bool {
        let changed = self.record_row(key, kind, listed);
        self.update_chat(key, |chat| chat.absence = super::chat::Absence::default());
        changed
    }

    /// Applies what the list, or the chat's own answer, says of it. True when that is new.
    pub fn record_row(&mut self, key: ChatKey, kind: ChatKind, listed: Listing) -> bool {
        let Some(known) = self.chats.get(key) else {
            // Once all chats were listed, what a new one counts came since: a first read that finds less is doubted.
            let explained = (self.progress.listed_at > 0).then_some(0);
            self.chats.insert(key, Chat { explained, ..Chat::new(kind, listed, self.progress.floor) });
            self.changed.chats.insert(key);
            return true;
        };
        // Times that version 0.1 did not keep are no change.
        let known_times = known.listed.times.or(listed.times);
        let listed = listed.completed_by(&known.listed);
        let changed = Listing { times: known_times, ..known.listed } != listed;
        self.update_chat(key, |chat| {
            if changed && chat.audited_at.is_none() && chat.listed != Listing::UNLIKE_ANY {
                // What the row before counted was there before: a first read is compared with what came since. A message of
                // those that is counted all the same makes it seem to have found too much, which one more read settles.
                chat.explained = chat.explained.or(chat.listed.messages.map(i64::from));
            }
            chat.kind = kind;
            chat.listed = listed;
        });
        changed
    }

    /// The chat must be read: a list that was asked for at `unchanged_at` was the newest that did not show the change.
    pub fn mark_changed(&mut self, key: ChatKey, unchanged_at: i64) {
        self.update_chat(key, |chat| chat.changed_since = Some(chat.changed_since.unwrap_or(unchanged_at)));
    }

    /// Changes what is known of a chat.
    pub fn update_chat(&mut self, key: ChatKey, change: impl FnOnce(&mut Chat)) {
        if self.chats.update(key, change) {
            self.changed.chats.insert(key);
            if self.chats.get(key).is_some_and(|chat| chat.changed_since.is_none()) {
                self.conversations.reconsider(key);
            }
        }
    }

    /// Whether something changed that a commit must store. What the client did is not reason enough: it is stored
    /// with the next commit that has one.
    pub fn is_changed(&self) -> bool {
        let changed = &self.changed;
        changed.progress
            || !changed.lines.is_empty()
            || !changed.devices.is_empty()
            || !changed.chats.is_empty()
            || !changed.messages.is_empty()
            || self.conversations.is_changed()
    }

    /// Earlier commits are not in the store any more: the next delta holds everything and replaces what is stored.
    pub fn record_lost_commits(&mut self) {
        self.changed.everything = true;
        self.changed.progress = true;
    }

    fn mark_everything_changed(&mut self) {
        let special = [LineId::NONE, LineId::OVERFLOW].into_iter().filter(|line| self.has_series(*line));
        self.changed.lines = special.chain((1..self.lines.len()).map(|at| LineId(at as u16))).collect();
        self.changed.devices.extend(self.devices.keys());
        self.changed.chats = self.chats.iter().map(|(key, _)| key).collect();
        self.changed.messages = self.messages.ids().collect();
        self.conversations.mark_everything_changed();
        self.totals.mark_everything_changed();
    }

    /// Takes what a commit must store.
    pub fn delta(&mut self) -> Delta {
        if self.changed.everything {
            self.mark_everything_changed();
        }
        let (counters, histograms) = self.totals.take_changed();
        let changed = std::mem::take(&mut self.changed);
        let device = |line: LineId| self.devices.get(&line).copied().unwrap_or_default();
        let held = |id: MessageId| self.messages.get(id).map(|tracked| (*tracked, self.messages.open(id)));
        Delta {
            is_whole: changed.everything,
            progress: self.progress,
            lines: changed.lines.into_iter().map(|id| (id, self.line_name(id).to_owned())).collect(),
            devices: changed.devices.into_iter().map(|line| (line, device(line))).collect(),
            chats: changed.chats.into_iter().map(|key| (key, self.chats.get(key).copied())).collect(),
            messages: changed.messages.into_iter().map(|id| (id, held(id))).collect(),
            told: self.conversations.take_told(),
            counters,
            histograms,
        }
    }

    /// Takes back what a failed commit did not store; the next delta has it again.
    pub fn restore_delta(&mut self, delta: &Delta) {
        self.totals.mark_changed(&delta.counters, &delta.histograms);
        self.changed.progress = true;
        self.changed.everything |= delta.is_whole;
        self.changed.lines.extend(delta.lines.iter().map(|(id, _)| *id));
        self.changed.devices.extend(delta.devices.iter().map(|(line, _)| *line));
        self.changed.chats.extend(delta.chats.iter().map(|(key, _)| *key));
        self.conversations.mark_changed(&delta.told);
        self.changed.messages.extend(delta.messages.iter().map(|(id, _)| *id));
    }

    /// Follows other rules from now on. What was decided stays decided: the floor does not come down again. Where gauges
    /// now show a longer time, stored messages fill them at once, and chats whose older messages are not stored are read
    /// again.
    pub fn set_policy(&mut self, policy: Policy, now: i64) {
        self.policy = policy;
        self.messages.set_window(policy.window);
        self.chats.rebuild(bounds(policy, self.progress, now));
        self.extend_history(now);
    }

    /// Where gauges reach further back than before, chats that may hold such messages are read again.
    fn extend_history(&mut self, now: i64) {
        let (before, window) = (self.progress.history, self.policy.window);
        self.progress.history = before.max(window);
        if window <= before || before == 0 || now - window >= self.progress.floor {
            return;
        }
        self.changed.progress = true;
        let chats = self.chats.iter().filter(|(_, chat)| chat.may_hold_after(now - window));
        for key in chats.map(|(key, _)| key).collect::<Vec<_>>() {
            self.update_chat(key, |chat| chat.unshown = true);
        }
    }

    /// Compares every sum and order that is kept up incrementally with one that is built from scratch.
    pub fn verify(&self) -> Result<(), String> {
        self.messages.verify()?;
        self.chats.verify()?;
        self.conversations.verify()
    }

    fn count(&mut self, observation: &Observation, now: i64) {
        self.totals.add(observation.accepted(), 1);
        if observation.line == LineId::OVERFLOW {
            self.totals.add(Counter::OverflowingLine, 1);
        }
        self.totals.observe(HistogramKey::Delay, (now - observation.sent_at) as f64 / 1000.0);
        if observation.sent_at <= self.progress.watermark {
            self.totals.add(Counter::Late, 1);
        }
    }

    fn refresh(&mut self, chat: ChatKey, observation: &Observation, now: i64) {
        let id = observation.id;
        let moved = self.messages.update(id, |tracked| {
            tracked.sent_at = tracked.sent_at.max(observation.sent_at);
        });
        if moved {
            self.shift_place(id, observation.sent_at);
        }
        if moved | self.messages.seen_in(id, chat) {
            self.changed.messages.insert(id);
        }
        self.move_on(chat, observation, now);
    }

    /// Moves a held message on to what the observation says of it.
    fn move_on(&mut self, chat: ChatKey, observation: &Observation, now: i64) {
        let id = observation.id;
        let Some(before) = self.messages.get(id).copied() else { return };
        let mut after = before;
        if before.direction() == Direction::Inbound {
            after.status = observation.status;
            after.protocol = observation.protocol;
            after.end();
        } else if before.is_ended() {
            let left = observation.status != before.status && !before.is_given_up();
            if left && after.first_regression() && !before.is_history() {
                self.totals.add(Counter::Regressions, 1);
            }
        } else {
            self.move_open(chat, observation, &mut after, now);
        }
        if self.messages.update(id, |tracked| *tracked = after) {
            self.changed.messages.insert(id);
        }
        let gave_up = self.settled
            && !after.is_ended()
            && self.messages.born_at(id).is_some_and(|born_at| now - born_at >= self.policy.horizon);
        if gave_up {
            self.give_up(id);
        }
        self.forget_if_passed(id, now);
    }

    /// The same for an open message.
    fn move_open(&mut self, chat: ChatKey, observation: &Observation, tracked: &mut Tracked, now: i64) {
        let (line, counted) = (tracked.line, !tracked.is_history());
        tracked.status = observation.status;
        tracked.protocol = observation.protocol;
        if let Some(fell_back) = observation.fell_back(line)
            && tracked.first_fallback()
            && counted
        {
            self.totals.add(fell_back, 1);
        }
        if let Some(handed_over) = observation.handed_over(line)
            && tracked.first_sent()
            && counted
        {
            self.totals.add(handed_over, 1);
        }
        if let Some(end) = observation.end(line) {
            tracked.end();
            if counted {
                self.count_end(end, observation, now);
            }
        }
        if !counted {
            return;
        }
        if observation.left_imessage() {
            self.leave_imessage(chat, observation.id, tracked);
        }
        if observation.is_delivered_by_imessage() {
            self.deliver_by_imessage(chat, tracked.sent_at);
        }
    }

    fn count_end(&mut self, end: End, observation: &Observation, now: i64) {
        self.totals.add(end.counter, 1);
        let Some((key, latency)) = end.latency else { return };
        if latency < 0 {
            self.totals.add(Counter::ClockSkew, 1);
        }
        self.totals.observe(key, latency as f64 / 1000.0);
        let delivered_at = observation.sent_at + latency;
        self.totals.observe(HistogramKey::Delay, (now - delivered_at) as f64 / 1000.0);
    }

    fn give_up(&mut self, id: MessageId) {
        let mut given_up = None;
        self.messages.update(id, |tracked| {
            tracked.give_up();
            given_up = Some(*tracked);
        });
        let Some(tracked) = given_up else { return };
        let Tracked { line, protocol, status, .. } = tracked;
        if !tracked.is_history() {
            self.totals.add(Counter::Unconfirmed { line, protocol, status }, 1);
        }
        self.changed.messages.insert(id);
    }

    /// An ended message below the floor is held only as long as the window shows it.
    fn forget_if_passed(&mut self, id: MessageId, now: i64) {
        let Some(tracked) = self.messages.get(id) else { return };
        if tracked.is_ended()
            && tracked.sent_at <= self.progress.floor
            && tracked.sent_at <= now - self.policy.window
        {
            self.messages.remove(id);
            self.changed.messages.insert(id);
        }
    }
}

fn bounds(policy: Policy, progress: Progress, now: i64) -> Bounds {
    Bounds { floor: progress.floor, window: now - policy.window, history: now - policy.history() }
}

#[cfg(test)]
mod tests;
