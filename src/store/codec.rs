//! Keys of the totals as text, so that a state file can be read by people and by later versions.
//!
//! The words are those of the contract's labels. A key that this version does not know is damage: schema
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
    use crate::domain::{LineId, Protocol, Reason};

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
