//! Keys of the totals as text, so that a state file can be read by people and by later versions.
//!
//! The words are those of the contract's labels. A key that this version does not recognise is damage: schema
//! versions, not guesses, carry changes.

use crate::domain::{Counter, HistogramKey, LabelValue};

/// The key of a counter: its word, then its labels.
pub fn counter_key(counter: Counter) -> String {
    key(counter.word(), counter.labels())
}

/// The counter of a key.
pub fn parse_counter(key: &str) -> Option<Counter> {
    Counter::parse(key.split(' '))
}

/// The key of a histogram.
pub fn histogram_key(histogram: HistogramKey) -> String {
    key(histogram.word(), histogram.labels())
}

/// The histogram of a key.
pub fn parse_histogram(key: &str) -> Option<HistogramKey> {
    HistogramKey::parse(key.split(' '))
}

fn key(word: &str, labels: Vec<LabelValue>) -> String {
    labels.into_iter().fold(word.to_owned(), |key, label| match label {
        LabelValue::Line(line) => format!("{key} {}", line.0),
        LabelValue::Word(word) => format!("{key} {word}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Author, Cause, Code, Endpoint, Field, LineId, Position, Protocol, Reason, Rejection, Status,
        SweepResult, Work,
    };

    #[test]
    fn every_key_survives() {
        let (line, protocol) = (LineId(3), Protocol::NonImessage);
        for counter in [
            Counter::Inbound { line, protocol },
            Counter::Outbound { line },
            Counter::Sent { line, protocol },
            Counter::Delivered { line, protocol },
            Counter::Failed { line, protocol, reason: Reason::DeviceOffline },
            Counter::Cancelled { line },
            Counter::Unconfirmed { line, protocol, status: Status::CancellationRequested },
            Counter::Fallback { line, protocol },
            Counter::ClockSkew,
            Counter::Regressions,
            Counter::Probes { line: LineId::OVERFLOW, code: Code::Status(502) },
            Counter::Requests { endpoint: Endpoint::GetBackground, code: Code::Body },
            Counter::WorkRequests { work: Work::FirstRead },
            Counter::Throttled { cause: Cause::RetryAfter },
            Counter::Sweeps { result: SweepResult::Partial },
            Counter::Late,
            Counter::Rejected { endpoint: Endpoint::ListNumbers, reason: Rejection::TimeSent },
            Counter::UnknownValues { field: Field::ChatType },
            Counter::ConversationsStarted { line, by: Author::Them },
            Counter::ConversationsAnswered { line },
            Counter::UnansweredMessages { line, position: Position::Later },
            Counter::LostImessage { line },
            Counter::UnplacedMessages,
            Counter::OverflowingLine,
            Counter::OverflowingCode,
        ] {
            assert_eq!(parse_counter(&counter_key(counter)), Some(counter));
        }
        for key in [
            HistogramKey::Latency { line, protocol },
            HistogramKey::ReplyDelay { line },
            HistogramKey::ProbeDuration,
            HistogramKey::RequestDuration { endpoint: Endpoint::GetChat },
            HistogramKey::SweepDuration,
            HistogramKey::Delay,
            HistogramKey::CommitDuration,
        ] {
            assert_eq!(parse_histogram(&histogram_key(key)), Some(key));
        }
        assert_eq!(parse_counter("outbound 3 4"), None);
        assert_eq!(parse_counter("inbound x imessage"), None);
    }

    #[test]
    fn keys_are_words_with_spaces_between_and_are_read_again() {
        let counter = Counter::Failed {
            line: LineId(3),
            protocol: Protocol::NonImessage,
            reason: Reason::DeviceOffline,
        };
        assert_eq!(counter_key(counter), "failed 3 non-imessage device_offline");
        assert_eq!(parse_counter("failed 3 non-imessage device_offline"), Some(counter));
        assert_eq!(histogram_key(HistogramKey::Delay), "delay");
        assert_eq!(parse_histogram("delay"), Some(HistogramKey::Delay));
        assert_eq!(parse_histogram("delay 3"), None);
    }
}
