//! What of a message enters which counter and histogram: the rules that the ledger applies to what it observes now, and the
//! backfill to what history shows.

use super::conversation::Event;
use super::families::{Counter, HistogramKey};
use super::ids::LineId;
use super::message::{Direction, Observation, Protocol, Reason, Status};

/// One entry in the totals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    /// A counter rises by one.
    One(Counter),
    /// A histogram takes a duration, in ms.
    Took(HistogramKey, i64),
}

/// How an outbound message ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// The counter of that end.
    pub counter: Counter,
    /// Where it was delivered and the API says when: the histogram, and the time from `time_sent`, in ms. Negative where the
    /// two clocks contradict each other.
    pub latency: Option<(HistogramKey, i64)>,
}

impl Observation {
    /// The counter that the message enters when it is first observed.
    pub fn accepted(&self) -> Counter {
        let (line, protocol) = (self.line, self.protocol);
        match self.direction {
            Direction::Inbound => Counter::Inbound { line, protocol },
            Direction::Outbound => Counter::Outbound { line },
        }
    }

    /// The counter of messages handed over on `line`, where this one was.
    pub fn handed_over(&self, line: LineId) -> Option<Counter> {
        self.status.is_handed_over().then_some(Counter::Sent { line, protocol: self.protocol })
    }

    /// The counter of messages that fell back on `line`, where this one did.
    pub fn fell_back(&self, line: LineId) -> Option<Counter> {
        self.protocol.is_fallback().then_some(Counter::Fallback { line, protocol: self.protocol })
    }

    /// How the message ended on `line`; `None` while it is open.
    pub fn end(&self, line: LineId) -> Option<End> {
        let protocol = self.protocol;
        let counter = match self.status {
            Status::Failed => Counter::Failed { line, protocol, reason: self.reason },
            Status::Cancelled => Counter::Cancelled { line },
            Status::Delivered => Counter::Delivered { line, protocol },
            _ => return None,
        };
        let delivered_at = self.delivered_at.filter(|_| self.status == Status::Delivered);
        let latency = delivered_at.map(|at| (HistogramKey::Latency { line, protocol }, at - self.sent_at));
        Some(End { counter, latency })
    }

    /// Whether the message left iMessage: it fell back, or failed because the contact is not there.
    pub fn left_imessage(&self) -> bool {
        let is_unknown = self.status == Status::Failed && self.reason == Reason::NotOnImessage;
        self.protocol.is_fallback() || is_unknown
    }

    /// Whether it was delivered by iMessage.
    pub fn is_delivered_by_imessage(&self) -> bool {
        self.status == Status::Delivered && self.protocol == Protocol::Imessage
    }
}

impl Event {
    /// What a message's part in its conversation counts as.
    pub fn count(self) -> Count {
        match self {
            Event::Started { line, by } => Count::One(Counter::ConversationsStarted { line, by }),
            Event::Answered { line } => Count::One(Counter::ConversationsAnswered { line }),
            Event::Wrote { line, position } => Count::One(Counter::UnansweredMessages { line, position }),
            Event::Replied { line, after } => Count::Took(HistogramKey::ReplyDelay { line }, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::MessageId;

    const LINE: LineId = LineId(3);

    /// A message as it was seen on another line than the one it counts on.
    fn observed(status: Status, protocol: Protocol, reason: Reason) -> Observation {
        Observation {
            id: MessageId(1),
            direction: Direction::Outbound,
            line: LineId(4),
            sent_at: 1_000,
            delivered_at: Some(2_500),
            status,
            protocol,
            reason,
        }
    }

    #[test]
    fn a_message_counts_by_what_its_status_and_protocol_say() {
        use Protocol::{Imessage, NonImessage, Pending, Rcs, Sms};
        use Reason::{NotOnImessage, Timeout};
        use Status::{CancellationRequested, Cancelled, Delivered, Failed, Queued, Sent};
        // (status, protocol, reason, handed over, fell back, left iMessage, delivered by iMessage)
        for (status, protocol, reason, handed_over, fell_back, left, delivered) in [
            (Queued, Pending, Timeout, false, false, false, false),
            (Queued, Imessage, NotOnImessage, false, false, false, false),
            (Queued, Sms, Timeout, false, true, true, false),
            (CancellationRequested, Rcs, Timeout, false, true, true, false),
            (Sent, Imessage, Timeout, true, false, false, false),
            (Sent, NonImessage, Timeout, true, true, true, false),
            (Delivered, Imessage, Timeout, true, false, false, true),
            (Delivered, Imessage, NotOnImessage, true, false, false, true),
            (Delivered, Sms, Timeout, true, true, true, false),
            (Failed, Imessage, Timeout, false, false, false, false),
            (Failed, Imessage, NotOnImessage, false, false, true, false),
            (Failed, Sms, NotOnImessage, false, true, true, false),
            (Cancelled, Imessage, NotOnImessage, false, false, false, false),
        ] {
            let message = observed(status, protocol, reason);
            let sent = handed_over.then_some(Counter::Sent { line: LINE, protocol });
            assert_eq!(message.handed_over(LINE), sent, "{message:?}");
            let fallback = fell_back.then_some(Counter::Fallback { line: LINE, protocol });
            assert_eq!(message.fell_back(LINE), fallback, "{message:?}");
            assert_eq!(message.left_imessage(), left, "{message:?}");
            assert_eq!(message.is_delivered_by_imessage(), delivered, "{message:?}");
        }
    }

    #[test]
    fn only_a_delivery_took_a_time() {
        let (line, protocol, reason) = (LINE, Protocol::Imessage, Reason::Timeout);
        let end = |status| observed(status, protocol, reason).end(line).map(|end| (end.counter, end.latency));
        let latency = Some((HistogramKey::Latency { line, protocol }, 1_500));
        assert_eq!(end(Status::Delivered), Some((Counter::Delivered { line, protocol }, latency)));
        assert_eq!(end(Status::Failed), Some((Counter::Failed { line, protocol, reason }, None)));
        assert_eq!(end(Status::Cancelled), Some((Counter::Cancelled { line }, None)));
        for status in [Status::Queued, Status::Sent, Status::CancellationRequested, Status::Other] {
            assert_eq!(end(status), None, "{status:?} is no end");
        }
        let undated = Observation { delivered_at: None, ..observed(Status::Delivered, protocol, reason) };
        assert_eq!(undated.end(line).map(|end| end.latency), Some(None));
    }
}
