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
        if asked_at - self.listed_through > self.policy.lookback {
            self.listed_since = asked_at;
        }
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
        // While no list was read, none could show that the chat rests.
        let waits_since = first_at.max(self.listed_since);
        if waits_since < until - LOOKBACKS_TO_REST * self.policy.lookback {
            Origin::Old
        } else {
            Origin::Open
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::tests::{CHAT, HOUR, START, count, ledger, listed, outbound, said, told};
    use crate::domain::{Author, LineId, Protocol, Status};

    const NOW: i64 = START + HOUR;
    const LOOKBACK: i64 = 600_000;
    const LINE: LineId = LineId::NONE;

    /// A ledger with a chat of this kind that holds so many messages, one of which was observed at `NOW`.
    fn observed(kind: ChatKind, messages: u32) -> Ledger {
        let mut ledger = ledger();
        ledger.record_listed(CHAT, kind, listed(NOW, messages));
        ledger.observe(CHAT, &said(1, 60), NOW);
        ledger
    }

    fn lost(ledger: &Ledger) -> u64 {
        count(ledger, Counter::LostImessage { line: LINE })
    }

    #[test]
    fn a_message_takes_its_place_a_lookback_behind_the_newest_list() {
        for (asked_at, places) in [(NOW + LOOKBACK - 1, 0), (NOW + LOOKBACK, 1)] {
            let mut ledger = observed(ChatKind::Phone, 1);
            ledger.mark_listed(CHAT, 1, asked_at);
            ledger.record_list(asked_at);
            ledger.record_list(START);
            ledger.place_messages();
            assert_eq!(ledger.conversations().len(), places, "{asked_at}");
        }
    }

    #[test]
    fn a_list_proves_a_chat_new_only_if_it_was_asked_for_after_its_messages_were_observed() {
        for (shown_at, is_decided) in [(NOW - 1, false), (NOW, false), (NOW + 1, true)] {
            let mut ledger = observed(ChatKind::Phone, 1);
            ledger.mark_listed(CHAT, 1, shown_at);
            ledger.record_list(NOW + LOOKBACK);
            ledger.place_messages();
            let started = count(&ledger, Counter::ConversationsStarted { line: LINE, by: Author::Us });
            assert_eq!(started, u64::from(is_decided), "{shown_at}");
            assert_eq!(ledger.conversations().len(), usize::from(is_decided));
        }
    }

    /// Lists that do not show the chat, a lookback apart, and the last one at `until`.
    fn lists(ledger: &mut Ledger, from: i64, until: i64) {
        let lookbacks = (until - from - 1) / LOOKBACK;
        (0..=lookbacks).for_each(|n| ledger.record_list(from + n * LOOKBACK));
        ledger.record_list(until);
        ledger.place_messages();
    }

    #[test]
    fn a_chat_that_no_list_shows_again_is_old_after_a_day_of_lookbacks() {
        let rested = NOW + LOOKBACK + 24 * LOOKBACK;
        for (asked_at, places) in [(rested, 0), (rested + 1, 1)] {
            let mut ledger = observed(ChatKind::Phone, 1);
            lists(&mut ledger, NOW, asked_at);
            assert_eq!(ledger.conversations().len(), places, "{asked_at}");
            assert_eq!(count(&ledger, Counter::ConversationsStarted { line: LINE, by: Author::Us }), 0);
        }
    }

    #[test]
    fn while_no_list_is_read_no_chat_grows_old() {
        let (gap, day) = (100 * LOOKBACK, LOOKBACK + 24 * LOOKBACK);
        for (resumed_at, until, places) in [
            (NOW + gap, NOW + gap, 0),
            (NOW + gap, NOW + gap + day, 0),
            (NOW + gap, NOW + gap + day + 1, 1),
            (NOW + LOOKBACK, NOW + day + 1, 1),
            (NOW + LOOKBACK + 1, NOW + day + 1, 0),
        ] {
            let mut ledger = observed(ChatKind::Phone, 1);
            ledger.record_list(NOW);
            lists(&mut ledger, resumed_at, until);
            assert_eq!(ledger.conversations().len(), places, "{} {}", resumed_at - NOW, until - NOW);
        }
    }

    #[test]
    fn a_chat_without_a_count_is_old() {
        let mut ledger = ledger();
        let row = crate::domain::Listing { messages: None, ..listed(NOW, 1) };
        ledger.record_listed(CHAT, ChatKind::Phone, row);
        ledger.observe(CHAT, &said(1, 60), NOW);
        ledger.record_list(NOW + LOOKBACK);
        ledger.place_messages();
        assert_eq!(
            (ledger.conversations().len(), told(&ledger).len()),
            (1, 1),
            "a message of ours, not a start"
        );
    }

    #[test]
    fn a_group_is_no_conversation_and_loses_no_imessage() {
        for (kind, conversations, losses) in [(ChatKind::Phone, 1, 1), (ChatKind::Group, 0, 0)] {
            let mut ledger = observed(kind, 3);
            let delivered = outbound(1, NOW + 1, Status::Delivered, Protocol::Imessage);
            ledger.observe(CHAT, &delivered, NOW + 1);
            ledger.observe(CHAT, &outbound(2, NOW + 2, Status::Sent, Protocol::Sms), NOW + 2);
            assert_eq!((ledger.conversations().len(), lost(&ledger)), (conversations, losses), "{kind:?}");
        }
    }

    #[test]
    fn a_late_receipt_does_not_bring_back_a_conversation_that_was_forgotten() {
        let mut ledger = observed(ChatKind::Phone, 1);
        ledger.mark_listed(CHAT, 1, NOW + 1);
        ledger.record_list(NOW + LOOKBACK);
        ledger.place_messages();
        assert_eq!(ledger.conversations().len(), 1);
        // It is forgotten when the floor passes it.
        let later = NOW + 400 * HOUR;
        ledger.record_full_listing(later);
        ledger.update_chat(CHAT, |chat| chat.audited_at = Some(later));
        ledger.advance_floor(later);
        ledger.place_messages();
        assert_eq!(ledger.conversations().len(), 0);
        let delivered = Observation { status: Status::Delivered, delivered_at: Some(NOW + 5), ..said(1, 60) };
        ledger.observe(CHAT, &delivered, later);
        assert_eq!(ledger.conversations().len(), 0);
    }

    #[test]
    fn a_message_whose_time_is_rewritten_past_a_delivery_by_imessage_is_lost() {
        let mut ledger = observed(ChatKind::Phone, 3);
        ledger.observe(CHAT, &outbound(1, NOW + 9, Status::Delivered, Protocol::Imessage), NOW + 20);
        for (sent_at, losses) in [(NOW + 8, 0), (NOW + 9, 0), (NOW + 10, 1), (NOW + 11, 1)] {
            ledger.observe(CHAT, &outbound(2, sent_at, Status::Sent, Protocol::Sms), NOW + 20);
            assert_eq!(lost(&ledger), losses, "{sent_at}");
        }
    }
}
