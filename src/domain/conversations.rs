//! The conversations of all chats, the messages that have no place in them yet, and what gauges show of both.
//!
//! A message waits until the lists show that nothing earlier of its chat is still to come, and then takes its place in
//! the order of time. What it is to its conversation is decided then, once, whatever the order of observation was.

use std::collections::{BTreeMap, BTreeSet};

use super::conversation::{Conversation, Position, Turn};
use super::ids::{ChatKey, LineId, MessageId};

/// A message that waits for something, and all that must be known of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The chat that it was first seen in.
    pub chat: ChatKey,
    /// When it was sent (`time_sent`), unix ms.
    pub sent_at: i64,
    /// The line that received or sent it.
    pub line: LineId,
}

/// Messages that wait, by chat and time.
#[derive(Debug, Default)]
pub struct Places {
    by_id: BTreeMap<MessageId, Place>,
    of_chat: BTreeSet<(ChatKey, i64, MessageId)>,
    by_time: BTreeSet<(i64, MessageId)>,
    changed: BTreeSet<MessageId>,
}

impl Places {
    fn insert(&mut self, id: MessageId, place: Place) {
        self.remove(id);
        self.by_id.insert(id, place);
        self.of_chat.insert((place.chat, place.sent_at, id));
        self.by_time.insert((place.sent_at, id));
        self.changed.insert(id);
    }

    fn remove(&mut self, id: MessageId) -> Option<Place> {
        let place = self.by_id.remove(&id)?;
        self.of_chat.remove(&(place.chat, place.sent_at, id));
        self.by_time.remove(&(place.sent_at, id));
        self.changed.insert(id);
        Some(place)
    }

    /// The messages of a chat, the earliest first.
    fn of(&self, chat: ChatKey) -> impl Iterator<Item = (i64, MessageId)> + '_ {
        let (least, most) = (MessageId(0), MessageId(u128::MAX));
        self.of_chat.range((chat, i64::MIN, least)..=(chat, i64::MAX, most)).map(|(_, at, id)| (*at, *id))
    }

    fn take_changed(&mut self) -> Vec<(MessageId, Option<Place>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|id| (id, self.by_id.get(&id).copied())).collect()
    }
}

/// What a commit must store of the conversations: whole values, and `None` for what is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Conversations that changed; `None` for those that were removed.
    pub conversations: Vec<(ChatKey, Option<Conversation>)>,
    /// Messages without a place.
    pub waiting: Vec<(MessageId, Option<Place>)>,
    /// Messages that left iMessage, in chats in which none before them is known to be delivered by iMessage.
    pub lost: Vec<(MessageId, Option<Place>)>,
}

/// The conversations of an account.
#[derive(Debug, Default)]
pub struct Conversations {
    all: BTreeMap<ChatKey, Conversation>,
    by_newest: BTreeSet<(i64, ChatKey)>,
    waiting: Places,
    lost: Places,
    /// Chats with waiting messages, by the earliest of them; without those that are still to be read.
    due: BTreeSet<(i64, ChatKey)>,
    /// When the first and the newest message were observed, of chats in which none has its place yet.
    observed_at: BTreeMap<ChatKey, (i64, i64)>,
    unanswered: BTreeMap<(LineId, Position), u64>,
    changed: BTreeSet<ChatKey>,
}

impl Conversations {
    /// Takes up what the store held, as of `now`.
    pub(super) fn restore(stored: Told, now: i64) -> Conversations {
        let mut restored = Conversations::default();
        for (key, conversation) in stored.conversations {
            restored.set(key, conversation);
        }
        for (id, place) in stored.waiting {
            if let Some(place) = place {
                restored.wait(id, place, now);
            }
        }
        for (id, place) in stored.lost {
            if let Some(place) = place {
                restored.lost.insert(id, place);
            }
        }
        restored.take_told();
        restored
    }

    /// What is known of a chat's conversation.
    pub fn get(&self, chat: ChatKey) -> Option<&Conversation> {
        self.all.get(&chat)
    }

    /// How many conversations are known.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Chats whose newest message is ours, by its line and the position of its turn.
    pub fn unanswered(&self) -> &BTreeMap<(LineId, Position), u64> {
        &self.unanswered
    }

    pub(super) fn set(&mut self, chat: ChatKey, conversation: Option<Conversation>) {
        let before = match conversation {
            Some(after) => self.all.insert(chat, after),
            None => self.all.remove(&chat),
        };
        if before == conversation {
            return;
        }
        self.changed.insert(chat);
        if let Some(before) = before {
            self.by_newest.remove(&(before.newest, chat));
            if let Some(key) = before.unanswered()
                && let Some(count) = self.unanswered.get_mut(&key)
            {
                *count -= 1;
            }
        }
        if let Some(after) = conversation {
            self.by_newest.insert((after.newest, chat));
            if let Some(key) = after.unanswered() {
                *self.unanswered.entry(key).or_insert(0) += 1;
            }
        }
    }

    /// A message was observed at `now` and waits for its place. False when its place is passed already.
    pub(super) fn wait(&mut self, id: MessageId, place: Place, now: i64) -> bool {
        let conversation = self.all.get(&place.chat).copied().unwrap_or_default();
        if conversation.newest >= place.sent_at {
            return false;
        }
        if conversation.is_empty() {
            let (_, newest) = self.observed_at.entry(place.chat).or_insert((now, now));
            *newest = now.max(*newest);
        }
        self.move_to(id, place);
        true
    }

    fn move_to(&mut self, id: MessageId, place: Place) {
        let before = self.waiting.by_id.get(&id).map(|before| before.chat);
        let chats = [before, Some(place.chat)];
        chats.iter().flatten().for_each(|chat| self.withhold(*chat));
        self.waiting.insert(id, place);
        chats.iter().flatten().for_each(|chat| self.reconsider(*chat));
        if let Some(before) = before
            && self.waiting.of(before).next().is_none()
        {
            self.observed_at.remove(&before);
        }
    }

    /// The server rewrote the time of a message. Where that makes it lost, its place.
    pub(super) fn shift(&mut self, id: MessageId, sent_at: i64) -> Option<Place> {
        if let Some(place) = self.waiting.by_id.get(&id).copied() {
            self.move_to(id, Place { sent_at, ..place });
        }
        let place = self.lost.by_id.get(&id).copied()?;
        self.lost.remove(id);
        self.leave_imessage(id, Place { sent_at, ..place }).then_some(place)
    }

    /// Whether anything is known of the chat's messages.
    pub(super) fn knows(&self, chat: ChatKey) -> bool {
        self.all.contains_key(&chat) || self.waiting.of(chat).next().is_some()
    }

    /// A message left iMessage. True when an earlier one of its chat is known to be delivered by iMessage; else it waits.
    pub(super) fn leave_imessage(&mut self, id: MessageId, place: Place) -> bool {
        let since = self.all.get(&place.chat).and_then(|conversation| conversation.imessage_since);
        let is_lost = since.is_some_and(|since| since < place.sent_at);
        if !is_lost {
            self.lost.insert(id, place);
        }
        is_lost
    }

    /// A message that was sent at `sent_at` was delivered by iMessage. Later ones that had left iMessage before that was known.
    pub(super) fn deliver_by_imessage(&mut self, chat: ChatKey, sent_at: i64) -> Vec<Place> {
        let conversation = self.all.get(&chat).copied().unwrap_or_default();
        if conversation.imessage_since.is_some_and(|since| since <= sent_at) {
            return Vec::new();
        }
        self.set(chat, Some(Conversation { imessage_since: Some(sent_at), ..conversation }));
        let later: Vec<MessageId> =
            self.lost.of(chat).filter(|(at, _)| *at > sent_at).map(|(_, id)| id).collect();
        later.into_iter().filter_map(|id| self.lost.remove(id)).collect()
    }

    /// Chats with messages that wait and were sent at or before `until`, at most so many.
    pub(super) fn due(&self, until: i64, most: usize) -> Vec<ChatKey> {
        self.due.iter().take_while(|(at, _)| *at <= until).take(most).map(|(_, key)| *key).collect()
    }

    /// The chat is still to be read: its messages wait until it is considered again.
    pub(super) fn withhold(&mut self, chat: ChatKey) {
        if let Some((earliest, _)) = self.waiting.of(chat).next() {
            self.due.remove(&(earliest, chat));
        }
    }

    /// The chat is not to be read any more.
    pub(super) fn reconsider(&mut self, chat: ChatKey) {
        if let Some((earliest, _)) = self.waiting.of(chat).next() {
            self.due.insert((earliest, chat));
        }
    }

    /// How many messages of a chat wait. It iterates over them.
    pub(super) fn count_waiting(&self, chat: ChatKey) -> usize {
        self.waiting.of(chat).count()
    }

    /// When the first and the newest of them were observed, of a chat in which no message has its place yet.
    pub(super) fn observed_at(&self, chat: ChatKey) -> (i64, i64) {
        self.observed_at.get(&chat).copied().unwrap_or_default()
    }

    /// Takes the messages of a chat that wait and were sent at or before `until`, in the order of time.
    pub(super) fn take(&mut self, chat: ChatKey, until: i64) -> Vec<Turn> {
        self.withhold(chat);
        let ids: Vec<MessageId> =
            self.waiting.of(chat).take_while(|(at, _)| *at <= until).map(|(_, id)| id).collect();
        let turns = ids.into_iter().filter_map(|id| {
            let Place { sent_at, line, .. } = self.waiting.remove(id)?;
            Some(Turn { direction: id.direction(), sent_at, line })
        });
        let turns = turns.collect();
        self.observed_at.remove(&chat);
        self.reconsider(chat);
        turns
    }

    /// Forgets conversations in which nothing happened after `floor`, some at a time.
    pub(super) fn forget(&mut self, floor: i64, most: usize) {
        let old = self.by_newest.iter().take_while(|(newest, _)| *newest <= floor).take(most);
        let old: Vec<ChatKey> = old.map(|(_, key)| *key).collect();
        for chat in old {
            if self.waiting.of(chat).next().is_none() {
                self.set(chat, None);
            }
        }
        let lost = self.lost.by_time.iter().take_while(|(at, _)| *at <= floor).take(most);
        for id in lost.map(|(_, id)| *id).collect::<Vec<_>>() {
            self.lost.remove(id);
        }
    }

    /// Whether something changed that a commit must store.
    pub(super) fn is_changed(&self) -> bool {
        !(self.changed.is_empty() && self.waiting.changed.is_empty() && self.lost.changed.is_empty())
    }

    /// Takes what a commit must store.
    pub(super) fn take_told(&mut self) -> Told {
        let changed = std::mem::take(&mut self.changed);
        Told {
            conversations: changed.into_iter().map(|key| (key, self.all.get(&key).copied())).collect(),
            waiting: self.waiting.take_changed(),
            lost: self.lost.take_changed(),
        }
    }

    /// Marks as changed again what a failed commit did not store.
    pub(super) fn mark_changed(&mut self, told: &Told) {
        self.changed.extend(told.conversations.iter().map(|(key, _)| *key));
        self.waiting.changed.extend(told.waiting.iter().map(|(id, _)| *id));
        self.lost.changed.extend(told.lost.iter().map(|(id, _)| *id));
    }

    /// Marks everything as changed: the next commit stores all of it again.
    pub(super) fn mark_everything_changed(&mut self) {
        self.changed = self.all.keys().copied().collect();
        for places in [&mut self.waiting, &mut self.lost] {
            places.changed = places.by_id.keys().copied().collect();
        }
    }

    /// Builds every sum and order again and compares. `Err` says which differs.
    pub(super) fn verify(&self) -> Result<(), String> {
        let mut unanswered: BTreeMap<(LineId, Position), u64> = BTreeMap::new();
        for key in self.all.values().filter_map(Conversation::unanswered) {
            *unanswered.entry(key).or_insert(0) += 1;
        }
        let counted = self.unanswered.iter().filter(|(_, count)| **count > 0);
        let counted: BTreeMap<_, _> = counted.map(|(key, count)| (*key, *count)).collect();
        let earliest = |chat| self.waiting.of(chat).next().map(|(at, _)| at);
        let checks = [
            ("unanswered", counted == unanswered),
            ("by_newest", self.by_newest == self.all.iter().map(|(key, c)| (c.newest, *key)).collect()),
            ("due", self.due.iter().all(|(at, key)| earliest(*key) == Some(*at))),
            ("waiting", self.waiting.by_id.len() == self.waiting.of_chat.len()),
            ("observed_at", self.observed_at.keys().all(|key| earliest(*key).is_some())),
        ];
        match checks.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(format!("the orders of the conversations are wrong: {what}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
