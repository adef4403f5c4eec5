//! When messages take their places in the conversations of their chats, and what is counted then.

use super::Ledger;
use crate::domain::chat::ChatKind;
use crate::domain::conversation::Event;
use crate::domain::conversations::Place;
use crate::domain::{ChatKey, Count, Counter, MessageId, Observation, Tracked};

/// Chats that one call works on, at most: it must not hold up the next request.
const SLICE: usize = 1_000;
/// Lookbacks within which the first messages of a chat must come to rest; after that it counts as old.
const LOOKBACKS_TO_REST: i64 = 24;

/// What is known of the beginning of a chat.
enum Origin {
    /// It is newer than the first start, and everything in it was observed.
    New,
    /// It is older, or that cannot be told.
    Old,
    /// A list must show it once more.
    Open,
}

impl Ledger {
    /// A list that was asked for at `asked_at` was read, and the chats that it shows to have changed are marked.
    pub fn record_list(&mut self, asked_at: i64) {
        self.listed_through = self.listed_through.max(asked_at);
    }

    /// Gives places to the messages behind which nothing is to come that is late by no more than the lookback.
    pub fn place_messages(&mut self) {
        let until = self.listed_through - self.policy.lookback;
        for chat in self.conversations.due(until, SLICE) {
            if self.chats.get(chat).is_some_and(|chat| chat.changed_since.is_some()) {
                self.conversations.withhold(chat);
                continue;
            }
            let conversation = self.conversations.get(chat).copied().unwrap_or_default();
            let origin = if conversation.is_empty() { self.origin(chat, until) } else { Origin::Old };
            if matches!(origin, Origin::Open) {
                continue;
            }
            let mut is_new = matches!(origin, Origin::New);
            let mut after = conversation;
            for message in self.conversations.take(chat, until) {
                let events = after.add(message, is_new, self.policy.turn);
                events.into_iter().flatten().for_each(|event| self.count_event(event));
                is_new = false;
            }
            self.conversations.set(chat, Some(after));
        }
        self.conversations.forget(self.progress.floor, SLICE);
    }

    /// A chat is new when it has no other messages than those that were observed since the first start. A list that was
    /// asked for after the newest of them was observed must say so: the one before may be of an earlier moment.
    fn origin(&self, chat: ChatKey, until: i64) -> Origin {
        let Some((known, listed)) = self.chats.get(chat).and_then(|chat| Some((chat, chat.listed.messages?)))
        else {
            return Origin::Old;
        };
        // Asked with each commit until a list answers it: only then are the messages counted. A list that was read only as
        // far down as it had to be need not have shown the chat: then its row is of an earlier moment.
        let (first_at, newest_at) = self.conversations.observed_at(chat);
        if newest_at < known.shown_at && known.explained.is_none_or(|n| n == i64::from(listed)) {
            let is_all = listed as usize == self.conversations.count_waiting(chat);
            return if is_all { Origin::New } else { Origin::Old };
        }
        if first_at < until - LOOKBACKS_TO_REST * self.policy.lookback { Origin::Old } else { Origin::Open }
    }

    fn count_event(&mut self, event: Event) {
        match event.count() {
            Count::One(counter) => self.totals.add(counter, 1),
            Count::Took(key, millis) => self.totals.observe(key, millis as f64 / 1000.0),
        }
    }

    fn is_conversation(&self, chat: ChatKey) -> bool {
        self.chats.get(chat).is_some_and(|chat| chat.kind != ChatKind::Group)
    }

    /// A message was counted: it waits for its place.
    pub(super) fn converse(&mut self, chat: ChatKey, observation: &Observation, now: i64) {
        if self.is_conversation(chat) {
            let place = Place { chat, sent_at: observation.sent_at, line: observation.line };
            if !self.conversations.wait(observation.id, place, now) {
                self.totals.add(Counter::UnplacedMessages, 1);
            }
        }
    }

    /// The server rewrote the time of a counted message.
    pub(super) fn shift_place(&mut self, id: MessageId, sent_at: i64) {
        if let Some(lost) = self.conversations.shift(id, sent_at) {
            self.totals.add(Counter::LostImessage { line: lost.line }, 1);
        }
    }

    /// A counted message fell back, or failed because the contact is not on iMessage.
    pub(super) fn leave_imessage(&mut self, chat: ChatKey, id: MessageId, tracked: &mut Tracked) {
        if tracked.first_to_leave_imessage() && self.is_conversation(chat) {
            let place = Place { chat, sent_at: tracked.sent_at, line: tracked.line };
            if self.conversations.leave_imessage(id, place) {
                self.totals.add(Counter::LostImessage { line: tracked.line }, 1);
            }
        }
    }

    /// A counted message was delivered by iMessage.
    pub(super) fn deliver_by_imessage(&mut self, chat: ChatKey, sent_at: i64) {
        if self.is_conversation(chat) && self.conversations.knows(chat) {
            for lost in self.conversations.deliver_by_imessage(chat, sent_at) {
                self.totals.add(Counter::LostImessage { line: lost.line }, 1);
            }
        }
    }
}
