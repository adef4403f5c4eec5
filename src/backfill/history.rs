//! What the messages of one chat count as, and when. Pure.
//!
//! The rules are those of the ledger (`domain::counts`, `domain::conversation`). What is added here is the time: the API
//! says when a message was sent and when it was delivered, and of everything else only that it happened. So a message fails, is
//! cancelled, is handed over and falls back when it was sent, and is given up when it reached the horizon.

use super::buckets::Buckets;
use super::range::Range;
use crate::domain::conversation::Turn;
use crate::domain::{ChatKind, Conversation, Count, Counter, Direction, Observation};

/// The parameters of the rules, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Age at which an open message is given up.
    pub horizon: i64,
    /// Messages of ours that follow each other within this share a turn.
    pub turn: i64,
    /// The moment as of which ages are judged, unix ms.
    pub as_of: i64,
}

/// The history of one chat, as far as it was told.
#[derive(Debug)]
pub struct History {
    range: Range,
    rules: Rules,
    kind: ChatKind,
    conversation: Conversation,
    /// The first message that is told is the first of the chat.
    is_new: bool,
}

impl History {
    /// The history of a chat before its first message. `is_new` when the range holds the first message of the chat.
    pub fn new(range: Range, rules: Rules, kind: ChatKind, is_new: bool) -> History {
        History { range, rules, kind, conversation: Conversation::default(), is_new }
    }

    /// Counts the next messages of the chat, which are later than those before. Messages outside of the range count as
    /// nothing. Returns how many were counted.
    pub fn tell(&mut self, mut messages: Vec<Observation>, into: &mut Buckets) -> u64 {
        messages.retain(|message| self.range.contains(message.sent_at));
        messages.sort_unstable_by_key(|message| (message.sent_at, message.id));
        let by_imessage = messages
            .iter()
            .filter(|message| message.direction == Direction::Outbound && message.is_delivered_by_imessage());
        let first = by_imessage.map(|message| message.sent_at).next();
        self.conversation.imessage_since = self.conversation.imessage_since.or(first);
        for message in &messages {
            self.message(message, into);
            if self.kind != ChatKind::Group {
                self.converse(message, into);
            }
        }
        messages.len() as u64
    }

    fn count(&self, count: Count, at: i64, into: &mut Buckets) {
        into.count(count, self.range.step_of(at));
    }

    fn message(&self, message: &Observation, into: &mut Buckets) {
        let (line, sent_at) = (message.line, message.sent_at);
        self.count(Count::One(message.accepted()), sent_at, into);
        if message.direction == Direction::Inbound {
            return;
        }
        for counter in [message.fell_back(line), message.handed_over(line)].into_iter().flatten() {
            self.count(Count::One(counter), sent_at, into);
        }
        let Some(end) = message.end(line) else {
            let given_up_at = sent_at.saturating_add(self.rules.horizon);
            if given_up_at <= self.rules.as_of {
                let (protocol, status) = (message.protocol, message.status);
                let counter = Counter::Unconfirmed { line, protocol, status };
                self.count(Count::One(counter), given_up_at, into);
            }
            return;
        };
        let latency = end.latency.map_or(0, |(_, latency)| latency);
        let ended_at = sent_at.saturating_add(latency.max(0));
        self.count(Count::One(end.counter), ended_at, into);
        if let Some((key, latency)) = end.latency {
            self.count(Count::Took(key, latency), ended_at, into);
            if latency < 0 {
                self.count(Count::One(Counter::ClockSkew), ended_at, into);
            }
        }
    }

    fn converse(&mut self, message: &Observation, into: &mut Buckets) {
        let Observation { direction, sent_at, line, .. } = *message;
        let is_new = std::mem::take(&mut self.is_new);
        let events = self.conversation.add(Turn { direction, sent_at, line }, is_new, self.rules.turn);
        for event in events.into_iter().flatten() {
            self.count(event.count(), sent_at, into);
        }
        let since = self.conversation.imessage_since;
        let is_lost = message.left_imessage() && since.is_some_and(|since| since < sent_at);
        if direction == Direction::Outbound && is_lost {
            self.count(Count::One(Counter::LostImessage { line }), sent_at, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Author, HistogramKey, LineId, MessageId, Position, Protocol, Reason, Status};

    const MINUTE: i64 = 60_000;
    const LINE: LineId = LineId(1);

    fn message(n: u128, minute: i64, status: Status, protocol: Protocol) -> Observation {
        Observation {
            id: MessageId::new(n << 1, Direction::Outbound),
            direction: Direction::Outbound,
            line: LINE,
            sent_at: minute * MINUTE,
            delivered_at: (status == Status::Delivered).then_some(minute * MINUTE + 90_000),
            status,
            protocol,
            reason: Reason::Timeout,
        }
    }

    fn inbound(n: u128, minute: i64) -> Observation {
        let id = MessageId::new(n << 1, Direction::Inbound);
        let direction = Direction::Inbound;
        Observation { id, direction, ..message(n, minute, Status::None, Protocol::Imessage) }
    }

    fn told(kind: ChatKind, is_new: bool, parts: Vec<Vec<Observation>>) -> Buckets {
        let range = Range::new(10 * MINUTE, 100 * MINUTE, i64::MAX, MINUTE).unwrap();
        let rules = Rules { horizon: 60 * MINUTE, turn: MINUTE, as_of: 120 * MINUTE };
        let mut history = History::new(range, rules, kind, is_new);
        let mut buckets = Buckets::default();
        for part in parts {
            history.tell(part, &mut buckets);
        }
        buckets
    }

    fn of(buckets: &Buckets, counter: Counter) -> Vec<(u32, u64)> {
        let steps = buckets.counters.iter().filter(|((key, _), _)| *key == counter);
        steps.map(|((_, step), value)| (*step, *value)).collect()
    }

    #[test]
    fn each_message_is_counted_when_it_was_sent_and_ends_when_that_is_known() {
        let protocol = Protocol::Sms;
        let buckets = told(
            ChatKind::Group,
            true,
            vec![vec![
                message(1, 20, Status::Delivered, protocol),
                message(2, 99, Status::Delivered, protocol),
                message(3, 30, Status::Failed, protocol),
                message(4, 20, Status::Sent, protocol),
                message(5, 61, Status::Sent, protocol),
                inbound(6, 40),
                message(7, 10, Status::Failed, protocol),
                message(8, 101, Status::Failed, protocol),
            ]],
        );
        assert_eq!(of(&buckets, Counter::Outbound { line: LINE }), [(10, 2), (20, 1), (51, 1), (89, 1)]);
        // Delivered after the end: counted at the end.
        assert_eq!(of(&buckets, Counter::Delivered { line: LINE, protocol }), [(12, 1), (90, 1)]);
        let failed = Counter::Failed { line: LINE, protocol, reason: Reason::Timeout };
        assert_eq!(of(&buckets, failed), [(20, 1)]);
        // The one of minute 61 was an hour old only after `as_of`.
        let status = Status::Sent;
        assert_eq!(of(&buckets, Counter::Unconfirmed { line: LINE, protocol, status }), [(70, 1)]);
        assert_eq!(of(&buckets, Counter::Inbound { line: LINE, protocol: Protocol::Imessage }), [(30, 1)]);
        assert_eq!(of(&buckets, Counter::Fallback { line: LINE, protocol }).len(), 4);
        assert_eq!(of(&buckets, Counter::Sent { line: LINE, protocol }).len(), 3);
        assert_eq!(buckets.histograms[&(HistogramKey::Latency { line: LINE, protocol }, 12)].sum, 90_000);
        let talk = buckets.counters.keys().any(|(c, _)| matches!(c, Counter::UnansweredMessages { .. }));
        assert!(!talk, "groups are in no family of conversations");
    }

    #[test]
    fn conversations_go_on_from_part_to_part() {
        let messages = [
            message(1, 20, Status::Delivered, Protocol::Imessage),
            message(2, 40, Status::Delivered, Protocol::Sms),
            inbound(3, 50),
            message(4, 60, Status::Sent, Protocol::Sms),
        ];
        let whole = told(ChatKind::Phone, true, vec![messages.to_vec()]);
        let parts = told(ChatKind::Phone, true, vec![messages[..1].to_vec(), messages[1..].to_vec()]);
        assert_eq!(whole, parts);
        let by = Author::Us;
        assert_eq!(of(&whole, Counter::ConversationsStarted { line: LINE, by }), [(10, 1)]);
        assert_eq!(of(&whole, Counter::ConversationsAnswered { line: LINE }), [(40, 1)]);
        assert_eq!(of(&whole, Counter::LostImessage { line: LINE }), [(30, 1), (50, 1)]);
        let at = |position| of(&whole, Counter::UnansweredMessages { line: LINE, position });
        assert_eq!((at(Position::First).len(), at(Position::Second).len()), (2, 1));
        let old = told(ChatKind::Phone, false, vec![messages.to_vec()]);
        assert_eq!(of(&old, Counter::ConversationsStarted { line: LINE, by }), []);
    }

    #[test]
    fn a_receipt_dated_before_its_message_counts_as_clock_skew() {
        let mut skewed = message(1, 20, Status::Delivered, Protocol::Imessage);
        skewed.delivered_at = Some(20 * MINUTE - 1);
        let buckets = told(ChatKind::Phone, false, vec![vec![skewed]]);
        assert_eq!(of(&buckets, Counter::ClockSkew), [(10, 1)]);
        let key = HistogramKey::Latency { line: LINE, protocol: Protocol::Imessage };
        assert_eq!(buckets.histograms[&(key, 10)].sum, 0);
    }
}
