//! The ledger of one account: counts every message once and gives it one end.
//!
//! Invariants, by the names of RELIABILITY.md:
//! * a message is counted only when its id is inserted, with `sent_at` above the floor (I3, I5);
//! * an id leaves only when the floor has passed its `sent_at`, and the floor never falls (I3, I6);
//! * the floor rises only behind deep reads of every active chat (I4);
//! * observed = ended + open, per line, after every call (I1).

mod series;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::chat::{Chat, ChatKind, Listing};
use super::ids::{BuildKeyedHasher, ChatKey, LineId, MessageId};
use super::message::{Direction, Observation, Status, Tracked};
use super::tally::{ApiEvent, SweepResult};
use super::totals::{Counter, Histogram, HistogramKey, Totals};
use super::vocabulary::{Code, Endpoint, Field, Refusal};
use crate::mutant::{self, Mutant};

/// Lines of one account past which further ones share `overflow`.
const MAX_LINES: usize = 100;
/// Longest name of a line that becomes a label.
const MAX_LINE_NAME: usize = 64;
/// Distinct HTTP statuses past which further ones share `overflow`.
const MAX_CODES: usize = 40;
/// Full listings in a row without a chat after which it is taken as deleted.
const ABSENT_LIMIT: u8 = 3;

/// The rules' parameters, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Trailing window of the `recent` gauges.
    pub window: i64,
    /// Age after which an open message is given up.
    pub horizon: i64,
    /// How late a message may appear and still be counted.
    pub retention: i64,
}

/// How far the account has come. Nothing in it ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages sent at or before this are history. 0 until the first answer tells the server's time.
    pub baseline: i64,
    /// Ids with `sent_at` at or before this are never counted any more.
    pub floor: i64,
    /// When the newest complete full listing started.
    pub listed_at: i64,
    /// Every message that the API shows with `time_sent` at or before this is counted.
    pub watermark: i64,
    /// End of the newest complete sweep.
    pub last_success: i64,
}

/// An open outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The chat it was last seen in.
    pub chat: ChatKey,
    /// When the API first said that it is not there; `None` while it is.
    pub missing_since: Option<i64>,
    /// When to ask for it again. Not stored: after a start every open message is due.
    pub due: i64,
}

/// What one observation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Counted now.
    Counted,
    /// Seen before.
    Known,
    /// From before the baseline: in no counter.
    History,
    /// Below the floor: counted long ago, or too late to be.
    Passed,
}

/// A message that is held, and what is open about it.
pub type Held = (Tracked, Option<Open>);

/// What a commit must store: whole values, to be written over older ones.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Where the account stands.
    pub progress: Progress,
    /// Lines that were added to the register.
    pub lines: Vec<(LineId, String)>,
    /// Chats that changed; `None` for deleted ones.
    pub chats: Vec<(ChatKey, Option<Chat>)>,
    /// Messages that changed, with what is open about them; `None` for those no longer held.
    pub messages: Vec<(MessageId, Option<Held>)>,
    /// Counters that changed.
    pub counters: Vec<(Counter, u64)>,
    /// Histograms that changed.
    pub histograms: Vec<(HistogramKey, Histogram)>,
}

/// What the store held.
#[derive(Default)]
pub struct Restored {
    /// See [`Progress`].
    pub progress: Progress,
    /// The register of lines.
    pub lines: Vec<(LineId, String)>,
    /// Every chat.
    pub chats: Vec<(ChatKey, Chat)>,
    /// Every message held.
    pub messages: Vec<(MessageId, Tracked, Option<Open>)>,
    /// Every counter.
    pub counters: Vec<(Counter, u64)>,
    /// Every histogram.
    pub histograms: Vec<(HistogramKey, Histogram)>,
}

/// The ledger of one account.
pub struct Ledger {
    policy: Policy,
    progress: Progress,
    lines: Vec<String>,
    line_ids: HashMap<String, LineId>,
    tracked: HashMap<MessageId, Tracked, BuildKeyedHasher>,
    open: BTreeMap<MessageId, Open>,
    /// Messages by time, as far back as the window reaches.
    recent: BTreeSet<(i64, MessageId)>,
    chats: BTreeMap<ChatKey, Chat>,
    /// The chats that must be read.
    changed: BTreeSet<ChatKey>,
    totals: Totals,
    changed_lines: Vec<LineId>,
    changed_chats: BTreeSet<ChatKey>,
    changed_messages: BTreeSet<MessageId>,
}

impl Ledger {
    /// Takes up where the store left off; an empty [`Restored`] is a first start.
    pub fn new(policy: Policy, restored: Restored) -> Ledger {
        let mut ledger = Ledger {
            policy,
            progress: restored.progress,
            lines: vec![String::from("none")],
            line_ids: HashMap::new(),
            tracked: HashMap::with_capacity_and_hasher(restored.messages.len(), BuildKeyedHasher::default()),
            open: BTreeMap::new(),
            recent: BTreeSet::new(),
            chats: restored.chats.into_iter().collect(),
            changed: BTreeSet::new(),
            totals: Totals::default(),
            changed_lines: Vec::new(),
            changed_chats: BTreeSet::new(),
            changed_messages: BTreeSet::new(),
        };
        let since = ledger.progress.watermark - policy.window;
        for (id, tracked, open) in restored.messages {
            ledger.tracked.insert(id, tracked);
            if let Some(open) = open {
                ledger.open.insert(id, open);
            }
            if tracked.sent_at > since {
                ledger.recent.insert((tracked.sent_at, id));
            }
        }
        for (counter, value) in restored.counters {
            ledger.totals.restore(counter, value);
        }
        for (key, histogram) in restored.histograms {
            ledger.totals.restore_histogram(key, histogram);
        }
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
        ledger.changed =
            ledger.chats.iter().filter(|(_, chat)| chat.changed_since.is_some()).map(|(k, _)| *k).collect();
        ledger
    }

    /// Where the account stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Fixes the baseline, once, at the first start: what was sent before is history.
    pub fn begin(&mut self, baseline: i64) {
        if self.progress.baseline == 0 {
            self.progress.baseline = baseline;
            self.progress.floor = baseline;
            self.progress.watermark = baseline;
        }
    }

    /// Every chat, by key.
    pub fn chats(&self) -> &BTreeMap<ChatKey, Chat> {
        &self.chats
    }

    /// The chats that changed and must be read.
    pub fn changed(&self) -> &BTreeSet<ChatKey> {
        &self.changed
    }

    /// Every open message, by id.
    pub fn open(&self) -> &BTreeMap<MessageId, Open> {
        &self.open
    }

    /// What is remembered of a message.
    pub fn tracked(&self, id: MessageId) -> Option<&Tracked> {
        self.tracked.get(&id)
    }

    /// The durable totals.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The lines of the register, by id.
    pub fn lines(&self) -> impl Iterator<Item = (LineId, &str)> {
        self.lines.iter().enumerate().skip(1).map(|(at, name)| (LineId(at as u16), name.as_str()))
    }

    /// The name of a line, as it stands in the label.
    pub fn line_name(&self, line: LineId) -> &str {
        match line {
            LineId::OVERFLOW => "overflow",
            line => self.lines.get(usize::from(line.0)).map_or("none", String::as_str),
        }
    }

    /// The id of a line, registering it when it is new. Null is a line of its own; what cannot be a label,
    /// or comes past the cap, is `overflow`.
    pub fn line(&mut self, name: Option<&str>) -> LineId {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return self.special_line(LineId::NONE);
        };
        if let Some(id) = self.line_ids.get(name) {
            return *id;
        }
        let usable = name.len() <= MAX_LINE_NAME && name.chars().all(|c| !c.is_control());
        if !usable || self.lines.len() > MAX_LINES {
            return self.special_line(LineId::OVERFLOW);
        }
        let id = LineId(self.lines.len() as u16);
        self.lines.push(name.to_owned());
        self.line_ids.insert(name.to_owned(), id);
        self.changed_lines.push(id);
        self.declare_line(id);
        id
    }

    /// A line without a number. It is registered like any other, so that its series survive a restart.
    fn special_line(&mut self, line: LineId) -> LineId {
        if !self.has_series(line) {
            self.changed_lines.push(line);
            self.declare_line(line);
        }
        line
    }

    /// Takes in what one reading says of one message of `chat`. `now` is the server's time.
    pub fn observe(&mut self, chat: ChatKey, observation: &Observation, now: i64) -> Outcome {
        let id = observation.id;
        if let Some(tracked) = self.tracked.get(&id)
            && !mutant::is(Mutant::CounterWithoutId)
        {
            if !tracked.is_history() || observation.sent_at <= self.progress.baseline {
                self.refresh(chat, observation, now);
                return Outcome::Known;
            }
            // A server may rewrite `time_sent` at hand-over: what was history is not any more.
            self.open.remove(&id);
            self.forget(id);
        }
        let history = observation.sent_at <= self.progress.baseline;
        if history {
            let open = !observation.is_final() && now - observation.sent_at < self.policy.horizon;
            if !open && observation.sent_at <= now - self.policy.window {
                return Outcome::History;
            }
        } else if observation.sent_at <= self.floor_of(chat) {
            return Outcome::Passed;
        }
        let tracked = Tracked::new(observation, history);
        if !history {
            self.count(observation, now);
        }
        if observation.sent_at > now - self.policy.window {
            self.recent.insert((observation.sent_at, id));
        }
        self.tracked.insert(id, tracked);
        self.changed_messages.insert(id);
        if observation.direction == Direction::Outbound && !mutant::is(Mutant::NoPending) {
            self.open.insert(id, Open { chat, missing_since: None, due: now });
        }
        self.advance(observation, now);
        if history { Outcome::History } else { Outcome::Counted }
    }

    /// The API says that the message is not where it was seen. Not an end: this happens right after
    /// sending, and when chats are merged.
    pub fn note_missing(&mut self, id: MessageId, now: i64) {
        if mutant::is(Mutant::VanishAtFirst404) && self.open.contains_key(&id) {
            return self.give_up(id);
        }
        if let Some(open) = self.open.get_mut(&id)
            && open.missing_since.is_none()
        {
            open.missing_since = Some(now);
            self.changed_messages.insert(id);
        }
    }

    /// When to ask for an open message again.
    pub fn reschedule(&mut self, id: MessageId, due: i64) {
        if let Some(open) = self.open.get_mut(&id) {
            open.due = due;
        }
    }

    /// Takes in a row of the chat list. True when it says something new, so that the chat must be read.
    pub fn note_listed(&mut self, key: ChatKey, kind: ChatKind, listed: Listing) -> bool {
        let Some(chat) = self.chats.get_mut(&key) else {
            self.chats.insert(key, Chat::new(kind, listed, self.progress.floor));
            self.changed_chats.insert(key);
            return true;
        };
        let changed = match mutant::is(Mutant::TimeOnlyChange) {
            false => chat.listed != listed,
            true => chat.listed.last_at < listed.last_at,
        };
        if changed || chat.kind != kind || chat.absent != 0 {
            chat.kind = kind;
            chat.listed = listed;
            chat.absent = 0;
            self.changed_chats.insert(key);
        }
        changed
    }

    /// The chat must be read; `deep` when it must be read back to the floor.
    pub fn mark_changed(&mut self, key: ChatKey, deep: bool) {
        let watermark = self.progress.watermark;
        if let Some(chat) = self.chats.get_mut(&key) {
            chat.changed_since = Some(chat.changed_since.unwrap_or(watermark));
            chat.deep |= deep;
            self.changed.insert(key);
            self.changed_chats.insert(key);
        }
    }

    /// Changes what is known of a chat after a read of it.
    pub fn update_chat(&mut self, key: ChatKey, change: impl FnOnce(&mut Chat)) {
        if let Some(chat) = self.chats.get_mut(&key) {
            change(chat);
            if chat.changed_since.is_none() {
                self.changed.remove(&key);
            }
            self.changed_chats.insert(key);
        }
    }

    /// A full listing that started at `started` showed every chat there is. Chats that several of them in a
    /// row did not have are deleted; returns those.
    pub fn note_full_listing(&mut self, listed: &BTreeSet<ChatKey>, started: i64) -> Vec<ChatKey> {
        self.progress.listed_at = self.progress.listed_at.max(started);
        let mut gone = Vec::new();
        for (key, chat) in &mut self.chats {
            if !listed.contains(key) {
                chat.absent += 1;
                self.changed_chats.insert(*key);
                if chat.absent >= ABSENT_LIMIT {
                    gone.push(*key);
                }
            }
        }
        for key in &gone {
            self.chats.remove(key);
            self.changed.remove(key);
        }
        for (id, open) in &mut self.open {
            if open.missing_since.is_none() && gone.contains(&open.chat) {
                open.missing_since = Some(started);
                self.changed_messages.insert(*id);
            }
        }
        gone
    }

    /// The floor, which is one for all chats: messages can move from one to another.
    fn floor_of(&self, chat: ChatKey) -> i64 {
        if mutant::is(Mutant::PerChatFloor) {
            return self.chats.get(&chat).map_or(0, |chat| chat.cursor);
        }
        self.progress.floor
    }

    /// The time before which every active chat has been read completely: the start of the oldest of the
    /// newest deep reads. It never passes a chat that was never read deeply.
    fn audited_through(&self) -> i64 {
        let floor = self.progress.floor;
        let active =
            self.chats.values().filter(|chat| chat.may_hold_after(floor) || chat.changed_since.is_some());
        let audits = active.map(|chat| match chat.audited_at {
            0 => floor + self.policy.retention,
            at => at,
        });
        audits.min().unwrap_or(i64::MAX).min(self.progress.listed_at)
    }

    /// Raises the floor behind the audits, forgets the ids below it, and gives up messages that no chat has.
    /// To be called only after a complete full listing without errors.
    pub fn advance_floor(&mut self, now: i64) {
        let in_limbo = self.chats.values().any(|chat| chat.absent > 0);
        if in_limbo || self.progress.baseline == 0 {
            return;
        }
        let audited = self.audited_through();
        let vanished = self.open.iter();
        let vanished = vanished.filter(|(_, open)| open.missing_since.is_some_and(|since| since <= audited));
        for id in vanished.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.give_up(id);
        }
        self.progress.floor = self.progress.floor.max(audited - self.policy.retention);
        let (floor, since) = (self.progress.floor, now - self.policy.window);
        let floor = if mutant::is(Mutant::PruneWithoutFloor) { now - self.policy.retention } else { floor };
        let passed = self.tracked.iter();
        let passed = passed.filter(|(_, tracked)| tracked.sent_at <= floor && tracked.sent_at <= since);
        for id in passed.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.forget(id);
        }
    }

    /// A sweep ended at `now`; its list was asked for at `started`. Moves the watermark as far as is true.
    pub fn note_sweep(&mut self, result: SweepResult, started: i64, now: i64, seconds: f64) {
        self.totals.add(Counter::Sweeps { result }, 1);
        self.totals.observe(HistogramKey::SweepDuration, seconds);
        if result != SweepResult::Failed {
            let held = self.changed.iter().filter_map(|key| self.chats.get(key)?.changed_since).min();
            self.progress.watermark = self.progress.watermark.max(held.unwrap_or(started).min(started));
        }
        if result == SweepResult::Complete {
            self.progress.last_success = self.progress.last_success.max(now);
        }
    }

    /// Counts what the client did.
    pub fn note_api(&mut self, event: ApiEvent) {
        match event {
            ApiEvent::Attempted { endpoint, code, seconds } => {
                let code = self.bounded(code, |code| Counter::Requests { endpoint, code });
                self.totals.add(Counter::Requests { endpoint, code }, 1);
                self.totals.observe(HistogramKey::RequestDuration { endpoint }, seconds);
            }
            ApiEvent::Waited { cause, millis } => self.totals.add(Counter::Throttled { cause }, millis),
        }
    }

    /// Counts a device probe.
    pub fn note_probe(&mut self, line: LineId, code: Code, seconds: f64) {
        let code = self.bounded(code, |code| Counter::Probes { line, code });
        self.totals.add(Counter::Probes { line, code }, 1);
        self.totals.observe(HistogramKey::ProbeDuration, seconds);
    }

    /// Counts an item that could not be used.
    pub fn note_refusal(&mut self, endpoint: Endpoint, refusal: Refusal) {
        self.totals.add(Counter::Rejected { endpoint, refusal }, 1);
    }

    /// Counts values outside the known enums.
    pub fn note_unknown(&mut self, field: Field, amount: u64) {
        self.totals.add(Counter::UnknownValues { field }, amount);
    }

    /// Observes how long a commit took.
    pub fn note_commit(&mut self, seconds: f64) {
        self.totals.observe(HistogramKey::CommitDuration, seconds);
    }

    /// Takes what a commit must store.
    pub fn delta(&mut self) -> Delta {
        let (counters, histograms) = self.totals.take_changed();
        let lines = std::mem::take(&mut self.changed_lines);
        let chats = std::mem::take(&mut self.changed_chats);
        let messages = std::mem::take(&mut self.changed_messages);
        let held =
            |id: MessageId| self.tracked.get(&id).map(|tracked| (*tracked, self.open.get(&id).copied()));
        Delta {
            progress: self.progress,
            lines: lines.into_iter().map(|id| (id, self.line_name(id).to_owned())).collect(),
            chats: chats.into_iter().map(|key| (key, self.chats.get(&key).copied())).collect(),
            messages: messages.into_iter().map(|id| (id, held(id))).collect(),
            counters,
            histograms,
        }
    }

    /// Follows other rules from now on. What was decided stays decided: the floor does not come down again.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes back what a failed commit did not store; the next delta has it again.
    pub fn restore_delta(&mut self, delta: &Delta) {
        self.totals.mark_changed(&delta.counters, &delta.histograms);
        self.changed_lines.extend(delta.lines.iter().map(|(id, _)| *id));
        self.changed_chats.extend(delta.chats.iter().map(|(key, _)| *key));
        self.changed_messages.extend(delta.messages.iter().map(|(id, _)| *id));
    }

    fn count(&mut self, observation: &Observation, now: i64) {
        let line = observation.line;
        let counter = match observation.direction {
            Direction::Inbound => Counter::Inbound { line, protocol: observation.protocol },
            Direction::Outbound => Counter::Outbound { line },
        };
        self.totals.add(counter, 1);
        if line == LineId::OVERFLOW {
            self.totals.add(Counter::OverflowingLine, 1);
        }
        self.totals.observe(HistogramKey::Delay, (now - observation.sent_at) as f64 / 1000.0);
        if observation.sent_at <= self.progress.watermark {
            self.totals.add(Counter::Late, 1);
        }
    }

    fn refresh(&mut self, chat: ChatKey, observation: &Observation, now: i64) {
        let id = observation.id;
        let Some(tracked) = self.tracked.get_mut(&id) else { return };
        if observation.sent_at > tracked.sent_at {
            let moved = self.recent.remove(&(tracked.sent_at, id));
            tracked.sent_at = observation.sent_at;
            if moved || observation.sent_at > now - self.policy.window {
                self.recent.insert((observation.sent_at, id));
            }
            self.changed_messages.insert(id);
        }
        if let Some(open) = self.open.get_mut(&id)
            && (open.chat != chat || open.missing_since.is_some())
        {
            open.chat = chat;
            open.missing_since = None;
            self.changed_messages.insert(id);
        }
        self.advance(observation, now);
    }

    /// Moves a tracked message on to what the observation says of it.
    fn advance(&mut self, observation: &Observation, now: i64) {
        let id = observation.id;
        let Some(tracked) = self.tracked.get_mut(&id) else { return };
        let before = *tracked;
        if tracked.direction() == Direction::Inbound {
            tracked.status = observation.status;
            tracked.protocol = observation.protocol;
            tracked.end();
        } else if tracked.is_ended() && !mutant::is(Mutant::TerminalReopened) {
            let left = observation.status != tracked.status;
            if left && !tracked.is_given_up() && tracked.first_regression() && !tracked.is_history() {
                self.totals.add(Counter::Regressions, 1);
            }
        } else {
            let (line, protocol, counted) = (tracked.line, observation.protocol, !tracked.is_history());
            tracked.status = observation.status;
            tracked.protocol = protocol;
            if protocol.is_fallback() && tracked.first_fallback() && counted {
                self.totals.add(Counter::Fallback { line, protocol }, 1);
            }
            if observation.status.is_handed_over() && tracked.first_sent() && counted {
                self.totals.add(Counter::Sent { line, protocol }, 1);
            }
            if observation.status.is_end() {
                tracked.end();
                self.open.remove(&id);
                if counted {
                    self.count_end(line, observation, now);
                }
            } else if now - self.tracked[&id].sent_at >= self.policy.horizon {
                self.give_up(id);
            }
        }
        if self.tracked.get(&id) != Some(&before) {
            self.changed_messages.insert(id);
        }
        self.forget_if_passed(id, now);
    }

    fn count_end(&mut self, line: LineId, observation: &Observation, now: i64) {
        let protocol = observation.protocol;
        match observation.status {
            Status::Failed => {
                self.totals.add(Counter::Failed { line, protocol, reason: observation.reason }, 1);
            }
            Status::Cancelled => self.totals.add(Counter::Cancelled { line }, 1),
            _ => {
                self.totals.add(Counter::Delivered { line, protocol }, 1);
                if let Some(delivered_at) = observation.delivered_at {
                    let latency = delivered_at - observation.sent_at;
                    if latency < 0 {
                        self.totals.add(Counter::ClockSkew, 1);
                    }
                    let key = HistogramKey::Latency { line, protocol };
                    self.totals.observe(key, latency.max(0) as f64 / 1000.0);
                    self.totals.observe(HistogramKey::Delay, (now - delivered_at) as f64 / 1000.0);
                }
            }
        }
    }

    fn give_up(&mut self, id: MessageId) {
        self.open.remove(&id);
        let Some(tracked) = self.tracked.get_mut(&id) else { return };
        tracked.give_up();
        let Tracked { line, protocol, status, .. } = *tracked;
        if !tracked.is_history() {
            self.totals.add(Counter::Unconfirmed { line, protocol, status }, 1);
        }
        self.changed_messages.insert(id);
    }

    /// An ended message below the floor is held only as long as the window shows it.
    fn forget_if_passed(&mut self, id: MessageId, now: i64) {
        let Some(tracked) = self.tracked.get(&id) else { return };
        if tracked.sent_at <= self.progress.floor && tracked.sent_at <= now - self.policy.window {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: MessageId) {
        if self.open.contains_key(&id) {
            return;
        }
        if let Some(tracked) = self.tracked.remove(&id) {
            self.recent.remove(&(tracked.sent_at, id));
            self.changed_messages.insert(id);
        }
    }
}

#[cfg(test)]
mod tests;
