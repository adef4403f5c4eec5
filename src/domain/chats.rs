//! The chats of an account, in the orders in which they are needed.
//!
//! Every question that is asked between two requests (which chat has waited longest, whose deep read is oldest, how many
//! are active) is answered from an order that is kept up with each change: nothing iterates over all chats.

use std::collections::{BTreeMap, BTreeSet};

use super::chat::{Chat, ChatKind};
use super::ids::{ChatKey, LineId};
use super::vocabulary::Unreadable;

/// The chats of an account, and the orders in which they are needed. Nothing here iterates over all chats.
#[derive(Clone, Debug, Default)]
pub struct Chats {
    all: BTreeMap<ChatKey, Chat>,
    orders: Orders,
    bounds: Bounds,
}

/// Times that decide which chats an order includes. They only rise, so what falls out of an order is dropped when it
/// comes to its front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Chats with a message after this may still hold countable messages.
    pub floor: i64,
    /// Chats with a message after this are active in the trailing window.
    pub window: i64,
    /// Chats with a message after this have something to show in gauges.
    pub history: i64,
}

type Order = BTreeSet<(i64, ChatKey)>;

/// Sets of chats, each sorted by a time of theirs. Which sets a chat is in follows from the chat alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Orders {
    /// Changed chats that can be read, by `changed_since`.
    waiting: Order,
    /// Changed chats that cannot be read, by `changed_since`.
    held: Order,
    /// Chats that cannot be read, by the beginning of the outage.
    outages: Order,
    /// How many there are by reason.
    outages_by_reason: [u64; Unreadable::ALL.len()],
    /// Readable chats that may hold countable messages, by their newest deep read.
    audits: Order,
    /// The same of unreadable ones.
    unreadable_audits: Order,
    /// Chats that were never read and have something to show in gauges, by their newest message.
    unread: Order,
    /// Chats with a message in the trailing window, by their newest message.
    active: Order,
    /// How many there are by kind.
    active_by_kind: [u64; ChatKind::ALL.len()],
    /// Chats that the newest complete listings lacked.
    absent: BTreeSet<ChatKey>,
    /// The chats of each line with the newest messages, as many as probes need.
    of_line: BTreeMap<LineId, Order>,
}

/// Chats of each line that are kept in order for probes: when the newest one turns out to be gone, the next serves.
const PROBE_CANDIDATES: usize = 16;

/// Whether the floor may rise only behind the chat's audits. It may where all of its messages are below the floor already, as
/// far as a list shows; one that the newest listings lacked may hold a message that none of them could show.
fn must_be_audited(chat: &Chat, floor: i64) -> bool {
    chat.may_hold_after(floor) || chat.changed_since.is_some() || chat.absence.listings > 0
}

impl Orders {
    fn insert(&mut self, key: ChatKey, chat: &Chat, bounds: &Bounds) {
        let newest = chat.listed.newest();
        let audited_at = chat.audited_at.unwrap_or(0);
        let counts = must_be_audited(chat, bounds.floor);
        match (chat.outage, chat.changed_since) {
            (None, Some(since)) => drop(self.waiting.insert((since, key))),
            (Some(_), Some(since)) => drop(self.held.insert((since, key))),
            (_, None) => {}
        }
        match chat.outage {
            Some(outage) => {
                self.outages.insert((outage.since, key));
                self.outages_by_reason[usize::from(outage.reason.number())] += 1;
                if counts {
                    self.unreadable_audits.insert((audited_at, key));
                }
            }
            None if counts => drop(self.audits.insert((audited_at, key))),
            None => {}
        }
        if chat.is_unread()
            && chat.outage.is_none()
            && chat.changed_since.is_none()
            && chat.may_hold_after(bounds.history)
        {
            self.unread.insert((newest, key));
        }
        if newest > bounds.window {
            self.active.insert((newest, key));
            self.active_by_kind[usize::from(chat.kind.number())] += 1;
        }
        if chat.absence.listings > 0 {
            self.absent.insert(key);
        }
        if let Some(line) = chat.line {
            let order = self.of_line.entry(line).or_default();
            order.insert((newest, key));
            if order.len() > PROBE_CANDIDATES {
                order.pop_first();
            }
        }
    }

    fn remove(&mut self, key: ChatKey, chat: &Chat) {
        let newest = chat.listed.newest();
        let audited_at = chat.audited_at.unwrap_or(0);
        if let Some(since) = chat.changed_since {
            self.waiting.remove(&(since, key));
            self.held.remove(&(since, key));
        }
        if let Some(outage) = chat.outage {
            self.outages.remove(&(outage.since, key));
            self.outages_by_reason[usize::from(outage.reason.number())] -= 1;
            self.unreadable_audits.remove(&(audited_at, key));
        } else {
            self.audits.remove(&(audited_at, key));
        }
        self.unread.remove(&(newest, key));
        if self.active.remove(&(newest, key)) {
            self.active_by_kind[usize::from(chat.kind.number())] -= 1;
        }
        self.absent.remove(&key);
        if let Some(order) = chat.line.and_then(|line| self.of_line.get_mut(&line)) {
            order.remove(&(newest, key));
        }
    }
}

impl Chats {
    /// The chats that the store held.
    pub fn restore(chats: Vec<(ChatKey, Chat)>, bounds: Bounds) -> Chats {
        let mut restored = Chats { bounds, ..Chats::default() };
        for (key, chat) in chats {
            // No list of this process showed it yet.
            let chat = Chat { listed_in: 0, shown_at: 0, ..chat };
            restored.orders.insert(key, &chat, &bounds);
            restored.all.insert(key, chat);
        }
        restored
    }

    /// The chat under a key; `None` when it is not known.
    pub fn get(&self, key: ChatKey) -> Option<&Chat> {
        self.all.get(&key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The chats with keys above `after`, in the order of their keys, for work that is done in slices.
    pub fn slice_after(&self, after: Option<ChatKey>, most: usize) -> Vec<ChatKey> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.all.range((from, Bound::Unbounded)).take(most).map(|(key, _)| *key).collect()
    }

    /// Every chat, by key. Only for starts, tests and the check of the orders.
    pub fn iter(&self) -> impl Iterator<Item = (ChatKey, &Chat)> {
        self.all.iter().map(|(key, chat)| (*key, chat))
    }

    pub(super) fn insert(&mut self, key: ChatKey, chat: Chat) {
        if let Some(before) = self.all.insert(key, chat) {
            self.orders.remove(key, &before);
        }
        self.orders.insert(key, &chat, &self.bounds);
    }

    /// Changes a chat. False when there is none of that key, or nothing of it changed.
    pub(super) fn update(&mut self, key: ChatKey, change: impl FnOnce(&mut Chat)) -> bool {
        let Some(chat) = self.all.get_mut(&key) else { return false };
        let before = *chat;
        change(chat);
        if *chat == before {
            return false;
        }
        let after = *chat;
        self.orders.remove(key, &before);
        self.orders.insert(key, &after, &self.bounds);
        true
    }

    pub(super) fn remove(&mut self, key: ChatKey) -> Option<Chat> {
        let chat = self.all.remove(&key)?;
        self.orders.remove(key, &chat);
        Some(chat)
    }

    /// Marks a chat as shown by the listing of this generation. Changes no order and nothing durable.
    pub(super) fn mark_listed(&mut self, key: ChatKey, generation: u32, asked_at: i64) {
        if let Some(chat) = self.all.get_mut(&key) {
            chat.listed_in = generation;
            chat.shown_at = chat.shown_at.max(asked_at);
        }
    }

    /// Raises the bounds, and drops what fell out of the orders.
    pub(super) fn advance(&mut self, bounds: Bounds) {
        self.bounds = Bounds {
            floor: self.bounds.floor.max(bounds.floor),
            window: self.bounds.window.max(bounds.window),
            history: self.bounds.history.max(bounds.history),
        };
        while let Some((newest, key)) = self.orders.active.first().copied()
            && newest <= self.bounds.window
        {
            self.orders.active.pop_first();
            if let Some(chat) = self.all.get(&key) {
                self.orders.active_by_kind[usize::from(chat.kind.number())] -= 1;
            }
        }
        while let Some((_, key)) = self.orders.unread.first().copied()
            && self.all.get(&key).is_none_or(|chat| !chat.may_hold_after(self.bounds.history))
        {
            self.orders.unread.pop_first();
        }
        for order in [&mut self.orders.audits, &mut self.orders.unreadable_audits] {
            while let Some((_, key)) = order.first().copied()
                && self.all.get(&key).is_none_or(|chat| !must_be_audited(chat, self.bounds.floor))
            {
                order.pop_first();
            }
        }
    }

    /// Applies other bounds, which may lie further back: for a changed configuration.
    pub(super) fn rebuild(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.orders = Orders::default();
        for (key, chat) in &self.all {
            self.orders.insert(*key, chat, &bounds);
        }
    }

    /// Changed chats that can be read, the one that has waited longest first.
    pub fn waiting(&self) -> impl DoubleEndedIterator<Item = (i64, ChatKey)> + '_ {
        self.orders.waiting.iter().copied()
    }

    /// How many changed chats wait to be read, readable or not.
    pub fn waiting_count(&self) -> usize {
        self.orders.waiting.len() + self.orders.held.len()
    }

    /// How many chats were never read and have something to show.
    pub fn unread_count(&self) -> usize {
        self.orders.unread.len()
    }

    /// Up to where every change is counted, as far as readable chats go; `None` when none of them waits.
    pub fn waiting_since(&self) -> Option<i64> {
        self.orders.waiting.first().map(|(since, _)| *since)
    }

    /// The same over readable and unreadable chats.
    pub fn held_since(&self) -> Option<i64> {
        let held = self.orders.held.first().map(|(since, _)| *since);
        self.waiting_since().into_iter().chain(held).min()
    }

    /// Chats that may hold countable messages, the one whose deep read is oldest first. Time 0 stands for never.
    pub fn audits(&self) -> impl Iterator<Item = (i64, ChatKey)> + '_ {
        self.orders.audits.iter().copied()
    }

    /// How many chats may hold countable messages.
    pub fn countable(&self) -> usize {
        self.orders.audits.len() + self.orders.unreadable_audits.len()
    }

    /// The oldest of the newest deep reads among chats that can be read: `Some(None)` when one was never read deeply.
    pub(super) fn oldest_audit(&self) -> Option<i64> {
        self.orders.audits.first().map(|(at, _)| *at)
    }

    /// The same among chats that cannot be read.
    pub(super) fn oldest_unreadable_audit(&self) -> Option<i64> {
        self.orders.unreadable_audits.first().map(|(at, _)| *at)
    }

    /// Chats that were never read and have something to show, the most recent first.
    pub fn unread(&self) -> impl Iterator<Item = ChatKey> + '_ {
        self.orders.unread.iter().rev().map(|(_, key)| *key)
    }

    /// Chats of a line to probe its device with, the most recent first.
    pub fn of_line(&self, line: LineId) -> impl Iterator<Item = ChatKey> + '_ {
        self.orders.of_line.get(&line).into_iter().flat_map(|order| order.iter().rev()).map(|(_, key)| *key)
    }

    /// Chats with a message in the trailing window, the most recent first.
    pub fn active(&self) -> impl Iterator<Item = (i64, ChatKey)> + '_ {
        self.orders.active.iter().rev().copied()
    }

    /// How many there are, by `ChatKind::ALL`.
    pub fn active_by_kind(&self) -> [u64; ChatKind::ALL.len()] {
        self.orders.active_by_kind
    }

    /// Chats that cannot be read, by reason, and since when the oldest outage lasts.
    pub fn outages(&self) -> ([u64; Unreadable::ALL.len()], Option<i64>) {
        (self.orders.outages_by_reason, self.orders.outages.first().map(|(since, _)| *since))
    }

    /// Chats that cannot be read, the longest outage first.
    pub fn unreadable(&self) -> impl Iterator<Item = ChatKey> + '_ {
        self.orders.outages.iter().map(|(_, key)| *key)
    }

    /// Chats that the newest complete listing lacked.
    pub fn absent(&self) -> &BTreeSet<ChatKey> {
        &self.orders.absent
    }

    /// What the orders should be, built again from every chat. `Err` says which differs.
    pub(super) fn verify(&self) -> Result<(), String> {
        let mut fresh = Chats { all: self.all.clone(), ..Chats::default() };
        fresh.rebuild(self.bounds);
        let (is, should) = (&self.orders, &fresh.orders);
        let same = is.waiting == should.waiting
            && is.held == should.held
            && is.outages == should.outages
            && is.outages_by_reason == should.outages_by_reason
            && is.active == should.active
            && is.active_by_kind == should.active_by_kind
            && is.absent == should.absent
            // These two are cleaned only at their front.
            && is.audits.is_superset(&should.audits)
            && is.unread.is_superset(&should.unread);
        if same {
            Ok(())
        } else {
            Err(format!("the orders of the chats are {is:?} and should be {should:?}"))
        }
    }
}

#[cfg(test)]
mod tests;
