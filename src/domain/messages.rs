//! The messages that are held, in the orders in which they are needed, and the sums over them that gauges show.
//!
//! Every sum is kept up with each change: nothing iterates over all messages. [`Messages::verify`] builds them again from
//! scratch and compares, in tests and debug builds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ids::{BuildKeyedHasher, ChatKey, LineId, MessageId};
use super::message::{Direction, Protocol, Status, Tracked};
use super::view::{OpenGroup, TRAFFIC_STEPS, Traffic};

/// Steps of `time_sent` by which messages are grouped until they are forgotten, ms.
const SHELF: i64 = 600_000;
/// Age from which a message that is not handed over counts as overdue, ms.
pub const OVERDUE: i64 = 900_000;

/// An open outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The chat it was last seen in.
    pub chat: ChatKey,
    /// When to ask for it again. Not stored: after a start it is derived from the message's age.
    pub due: i64,
    /// Its age counts from here where the API dates it ahead: when it was first seen.
    pub seen_at: Option<i64>,
    /// Set while the API does not show it where it was seen.
    pub missing: Option<Missing>,
}

impl Open {
    /// A message that is open in `chat`, seen where it was expected.
    pub fn new(chat: ChatKey) -> Open {
        Open { chat, due: 0, seen_at: None, missing: None }
    }
}

/// What speaks for an open message being gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// When it was first not there.
    pub since: i64,
    /// When that was last seen.
    pub last: i64,
}

/// A message that is held, and what is open about it.
pub type Held = (Tracked, Option<Open>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OpenMessage {
    tracked: Tracked,
    chat: ChatKey,
    due: i64,
}

/// All messages that are held.
#[derive(Default)]
pub struct Messages {
    ended: HashMap<MessageId, Tracked, BuildKeyedHasher>,
    open: BTreeMap<MessageId, OpenMessage>,
    open_of_chat: BTreeSet<(ChatKey, MessageId)>,
    /// Of the few that are dated ahead: when they were first seen.
    seen_at: BTreeMap<MessageId, i64>,
    missing: BTreeMap<MessageId, Missing>,
    missing_by_since: BTreeSet<(i64, MessageId)>,
    /// Messages by the ten minutes they were sent in. One that moved on is still on its old shelf, and skipped there.
    shelves: BTreeMap<i64, Vec<MessageId>>,
    sums: Sums,
}

/// What gauges show, and the orders that keep it true.
#[derive(Default)]
struct Sums {
    window: i64,
    now: i64,
    /// Messages of the trailing window, by time.
    recent: BTreeSet<(i64, MessageId)>,
    /// Messages dated ahead of `now`.
    ahead: BTreeSet<(i64, MessageId)>,
    mix: BTreeMap<(LineId, Direction, Protocol, Status), u64>,
    traffic: BTreeMap<(LineId, i64), [u32; 3]>,
    open: BTreeMap<(LineId, Status), BTreeSet<(i64, MessageId)>>,
    open_history: BTreeMap<LineId, u64>,
    /// Open messages that are not handed over and not overdue yet, by time.
    in_time: BTreeSet<(i64, MessageId)>,
    overdue: BTreeMap<LineId, u64>,
}

impl Sums {
    fn step(&self) -> i64 {
        (self.window / TRAFFIC_STEPS as i64).max(1)
    }

    fn count_recent(&mut self, tracked: &Tracked, sign: i64) {
        let key = (tracked.line, tracked.direction(), tracked.protocol, tracked.status);
        let count = self.mix.entry(key).or_insert(0);
        *count = count.saturating_add_signed(sign);
        if *count == 0 {
            self.mix.remove(&key);
        }
        let step = self.step();
        let key = (tracked.line, tracked.sent_at.div_euclid(step));
        let counts = self.traffic.entry(key).or_insert([0; 3]);
        let outbound = tracked.direction() == Direction::Outbound;
        for (at, counted) in
            [(0, !outbound), (1, outbound), (2, outbound && tracked.status == Status::Failed)]
        {
            if counted {
                counts[at] = counts[at].saturating_add_signed(sign as i32);
            }
        }
        if *counts == [0; 3] {
            self.traffic.remove(&key);
        }
    }

    fn add(&mut self, id: MessageId, tracked: &Tracked, open: bool) {
        if tracked.sent_at > self.now {
            self.ahead.insert((tracked.sent_at, id));
        } else if tracked.sent_at > self.now - self.window {
            self.recent.insert((tracked.sent_at, id));
            self.count_recent(tracked, 1);
        }
        if open {
            self.open.entry((tracked.line, tracked.status)).or_default().insert((tracked.sent_at, id));
            *self.open_history.entry(tracked.line).or_insert(0) += u64::from(tracked.is_history());
            if !tracked.was_handed_over() {
                match tracked.sent_at > self.now - OVERDUE {
                    true => drop(self.in_time.insert((tracked.sent_at, id))),
                    false => *self.overdue.entry(tracked.line).or_insert(0) += 1,
                }
            }
        }
    }

    fn remove(&mut self, id: MessageId, tracked: &Tracked, open: bool) {
        self.ahead.remove(&(tracked.sent_at, id));
        if self.recent.remove(&(tracked.sent_at, id)) {
            self.count_recent(tracked, -1);
        }
        if open {
            let key = (tracked.line, tracked.status);
            if let Some(group) = self.open.get_mut(&key) {
                group.remove(&(tracked.sent_at, id));
                if group.is_empty() {
                    self.open.remove(&key);
                }
            }
            if let Some(history) = self.open_history.get_mut(&tracked.line) {
                *history -= u64::from(tracked.is_history());
            }
            let is_overdue = !tracked.was_handed_over() && !self.in_time.remove(&(tracked.sent_at, id));
            if is_overdue && let Some(overdue) = self.overdue.get_mut(&tracked.line) {
                *overdue -= 1;
            }
        }
    }
}

impl Messages {
    /// Takes up what the store held, as of `now`, with a trailing window of so many ms.
    pub(super) fn restore(
        messages: Vec<(MessageId, Tracked, Option<Open>)>,
        window: i64,
        now: i64,
    ) -> Messages {
        let mut restored = Messages {
            ended: HashMap::with_capacity_and_hasher(messages.len(), BuildKeyedHasher::default()),
            sums: Sums { window, now, ..Sums::default() },
            ..Messages::default()
        };
        for (id, tracked, open) in messages {
            restored.insert(id, tracked, open);
        }
        restored
    }

    /// How many messages are held.
    pub fn len(&self) -> usize {
        self.ended.len() + self.open.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every message held, in no particular order.
    pub(super) fn ids(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.ended.keys().chain(self.open.keys()).copied()
    }

    /// What is remembered of a message.
    pub fn get(&self, id: MessageId) -> Option<&Tracked> {
        self.open.get(&id).map(|open| &open.tracked).or_else(|| self.ended.get(&id))
    }

    /// Whether the message is open.
    pub fn is_open(&self, id: MessageId) -> bool {
        self.open.contains_key(&id)
    }

    /// How many messages are open.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// What is open about a message.
    pub fn open(&self, id: MessageId) -> Option<Open> {
        let open = self.open.get(&id)?;
        Some(Open {
            chat: open.chat,
            due: open.due,
            seen_at: self.seen_at.get(&id).copied(),
            missing: self.missing.get(&id).copied(),
        })
    }

    /// The open messages of a chat.
    pub fn open_of(&self, chat: ChatKey) -> impl Iterator<Item = (MessageId, &Tracked, i64)> + '_ {
        let range = (chat, MessageId(0))..=(chat, MessageId(u128::MAX));
        self.open_of_chat.range(range).filter_map(|(_, id)| {
            let open = self.open.get(id)?;
            Some((*id, &open.tracked, open.due))
        })
    }

    /// Whether a chat has open messages.
    pub fn has_open(&self, chat: ChatKey) -> bool {
        let range = (chat, MessageId(0))..=(chat, MessageId(u128::MAX));
        self.open_of_chat.range(range).next().is_some()
    }

    /// Every open message. Only for starts and tests.
    pub fn iter_open(&self) -> impl Iterator<Item = (MessageId, &Tracked, ChatKey)> + '_ {
        self.open.iter().map(|(id, open)| (*id, &open.tracked, open.chat))
    }

    /// From when an open message's age counts: `time_sent`, or when it was first seen if that is earlier.
    pub fn born_at(&self, id: MessageId) -> Option<i64> {
        let sent_at = self.open.get(&id)?.tracked.sent_at;
        Some(self.seen_at.get(&id).map_or(sent_at, |seen_at| sent_at.min(*seen_at)))
    }

    /// Messages that the API does not show where they were seen, the one that is missing longest first.
    pub fn missing(&self) -> impl Iterator<Item = (MessageId, Missing)> + '_ {
        self.missing_by_since.iter().filter_map(|(_, id)| Some((*id, *self.missing.get(id)?)))
    }

    /// Holds a message that is not held yet.
    pub(super) fn insert(&mut self, id: MessageId, tracked: Tracked, open: Option<Open>) {
        self.sums.add(id, &tracked, open.is_some());
        self.shelves.entry(tracked.sent_at.div_euclid(SHELF)).or_default().push(id);
        match open {
            Some(open) => {
                self.open.insert(id, OpenMessage { tracked, chat: open.chat, due: open.due });
                self.open_of_chat.insert((open.chat, id));
                if let Some(seen_at) = open.seen_at {
                    self.seen_at.insert(id, seen_at);
                }
                if let Some(missing) = open.missing {
                    self.missing.insert(id, missing);
                    self.missing_by_since.insert((missing.since, id));
                }
            }
            None => drop(self.ended.insert(id, tracked)),
        }
    }

    /// Changes what is remembered of a message. False when nothing changed or it is not held. A message that is
    /// ended by the change is open no more.
    pub(super) fn update(&mut self, id: MessageId, change: impl FnOnce(&mut Tracked)) -> bool {
        let was_open = self.open.contains_key(&id);
        let Some(tracked) = (match self.open.get_mut(&id) {
            Some(open) => Some(&mut open.tracked),
            None => self.ended.get_mut(&id),
        }) else {
            return false;
        };
        let before = *tracked;
        change(tracked);
        let after = *tracked;
        if before == after {
            return false;
        }
        let closes = was_open && after.is_ended();
        self.sums.remove(id, &before, was_open);
        self.sums.add(id, &after, was_open && !closes);
        if after.sent_at.div_euclid(SHELF) != before.sent_at.div_euclid(SHELF) {
            self.shelves.entry(after.sent_at.div_euclid(SHELF)).or_default().push(id);
        }
        if closes {
            self.drop_open(id);
            self.ended.insert(id, after);
        }
        true
    }

    fn drop_open(&mut self, id: MessageId) -> Option<OpenMessage> {
        let open = self.open.remove(&id)?;
        self.open_of_chat.remove(&(open.chat, id));
        self.seen_at.remove(&id);
        self.found(id);
        Some(open)
    }

    /// Forgets a message, open or not.
    pub(super) fn remove(&mut self, id: MessageId) -> bool {
        if let Some(open) = self.drop_open(id) {
            self.sums.remove(id, &open.tracked, true);
            return true;
        }
        match self.ended.remove(&id) {
            Some(tracked) => {
                self.sums.remove(id, &tracked, false);
                true
            }
            None => false,
        }
    }

    /// An open message was seen in this chat. True when that is news.
    pub(super) fn seen_in(&mut self, id: MessageId, chat: ChatKey) -> bool {
        let found = self.found(id);
        let Some(open) = self.open.get_mut(&id) else { return found };
        if open.chat == chat {
            return found;
        }
        self.open_of_chat.remove(&(open.chat, id));
        open.chat = chat;
        self.open_of_chat.insert((chat, id));
        true
    }

    fn found(&mut self, id: MessageId) -> bool {
        let Some(missing) = self.missing.remove(&id) else { return false };
        self.missing_by_since.remove(&(missing.since, id));
        true
    }

    /// Sets what speaks for an open message being gone.
    pub(super) fn set_missing(&mut self, id: MessageId, missing: Missing) {
        if self.open.contains_key(&id) {
            self.found(id);
            self.missing_by_since.insert((missing.since, id));
            self.missing.insert(id, missing);
        }
    }

    /// Sets when to ask for an open message again.
    pub(super) fn set_due(&mut self, id: MessageId, due: i64) {
        if let Some(open) = self.open.get_mut(&id) {
            open.due = due;
        }
    }

    /// Moves the trailing window on to `now`, and returns what left it.
    pub(super) fn advance(&mut self, now: i64) -> Vec<(i64, MessageId)> {
        self.sums.now = self.sums.now.max(now);
        let (now, since) = (self.sums.now, self.sums.now - self.sums.window);
        while let Some((sent_at, id)) = self.sums.ahead.first().copied()
            && sent_at <= now
        {
            self.sums.ahead.pop_first();
            if sent_at > since
                && let Some(tracked) = self.get(id).copied()
            {
                self.sums.recent.insert((sent_at, id));
                self.sums.count_recent(&tracked, 1);
            }
        }
        while let Some((sent_at, id)) = self.sums.in_time.first().copied()
            && sent_at <= now - OVERDUE
        {
            self.sums.in_time.pop_first();
            if let Some(open) = self.open.get(&id) {
                *self.sums.overdue.entry(open.tracked.line).or_insert(0) += 1;
            }
        }
        let mut left = Vec::new();
        while let Some((sent_at, id)) = self.sums.recent.first().copied()
            && sent_at <= since
        {
            self.sums.recent.pop_first();
            if let Some(tracked) = self.get(id).copied() {
                self.sums.count_recent(&tracked, -1);
            }
            left.push((sent_at, id));
        }
        left
    }

    /// Applies another trailing window, for a changed configuration.
    pub(super) fn set_window(&mut self, window: i64) {
        if window == self.sums.window {
            return;
        }
        self.sums = self.fresh_sums(window, self.sums.now);
    }

    /// Messages sent at or before `floor`, at most `most` of them, each once: candidates to be forgotten.
    pub(super) fn passed(&mut self, floor: i64, most: usize) -> Vec<MessageId> {
        let mut passed = Vec::new();
        while passed.len() < most
            && let Some(mut shelf) = self.shelves.first_entry()
            && (*shelf.key() + 1) * SHELF - 1 <= floor
        {
            let ids = shelf.get_mut();
            let from = ids.len().saturating_sub(most - passed.len());
            passed.extend(ids.drain(from..));
            if ids.is_empty() {
                shelf.remove();
            }
        }
        passed
    }

    fn fresh_sums(&self, window: i64, now: i64) -> Sums {
        let mut sums = Sums { window, now, ..Sums::default() };
        for (id, tracked) in &self.ended {
            sums.add(*id, tracked, false);
        }
        for (id, open) in &self.open {
            sums.add(*id, &open.tracked, true);
        }
        sums
    }

    /// The delivery status mix of the trailing window.
    pub fn mix(&self) -> &BTreeMap<(LineId, Direction, Protocol, Status), u64> {
        &self.sums.mix
    }

    /// Adds the traffic of the trailing window to `lines`, the oldest step first.
    pub fn traffic(&self, lines: &mut BTreeMap<LineId, Traffic>) {
        let newest = self.sums.now.div_euclid(self.sums.step());
        let oldest = newest - (TRAFFIC_STEPS as i64 - 1);
        for ((line, step), [inbound, outbound, failed]) in &self.sums.traffic {
            // The window begins within a step; what is left of that one goes to the first.
            let at = (step - oldest).clamp(0, TRAFFIC_STEPS as i64 - 1) as usize;
            let traffic = lines.entry(*line).or_default();
            traffic.inbound[at] += inbound;
            traffic.outbound[at] += outbound;
            traffic.failed[at] += failed;
        }
    }

    /// Open messages by line and status.
    pub fn open_groups(&self) -> impl Iterator<Item = ((LineId, Status), OpenGroup)> + '_ {
        self.sums.open.iter().map(|(key, group)| {
            let oldest = group.first().map_or(0, |(sent_at, _)| *sent_at);
            (*key, OpenGroup { count: group.len() as u64, oldest })
        })
    }

    /// How many open messages are history, by line.
    pub fn open_history(&self) -> &BTreeMap<LineId, u64> {
        &self.sums.open_history
    }

    /// How many open messages are overdue, by line.
    pub fn overdue(&self) -> &BTreeMap<LineId, u64> {
        &self.sums.overdue
    }

    /// Builds every sum and order again from the messages and compares. `Err` says which differs.
    pub(super) fn verify(&self) -> Result<(), String> {
        let fresh = self.fresh_sums(self.sums.window, self.sums.now);
        let sums = &self.sums;
        let nonzero = |history: &BTreeMap<LineId, u64>| {
            history.iter().filter(|(_, count)| **count > 0).map(|(l, c)| (*l, *c)).collect::<Vec<_>>()
        };
        let checks = [
            ("recent", sums.recent == fresh.recent),
            ("ahead", sums.ahead == fresh.ahead),
            ("mix", sums.mix == fresh.mix),
            ("traffic", sums.traffic == fresh.traffic),
            ("open", sums.open == fresh.open),
            ("in_time", sums.in_time == fresh.in_time),
            ("overdue", nonzero(&sums.overdue) == nonzero(&fresh.overdue)),
            ("open_history", nonzero(&sums.open_history) == nonzero(&fresh.open_history)),
            ("open_of_chat", self.open_of_chat == self.open.iter().map(|(id, o)| (o.chat, *id)).collect()),
            (
                "missing_by_since",
                self.missing_by_since == self.missing.iter().map(|(id, m)| (m.since, *id)).collect(),
            ),
            ("missing", self.missing.keys().all(|id| self.open.contains_key(id))),
            ("ended", self.ended.keys().all(|id| !self.open.contains_key(id))),
        ];
        match checks.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(format!("the sums over messages are wrong: {what}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
