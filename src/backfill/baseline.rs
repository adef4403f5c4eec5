//! The baseline of each account, as the metrics page of the exporter shows it. Pure.

use std::collections::BTreeMap;

use crate::metrics::catalogue::BASELINE;

/// The baselines on a metrics page in either syntax, unix ms, by account; without those that are 0.
pub fn on_page(page: &str) -> BTreeMap<String, i64> {
    let mut baselines = BTreeMap::new();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(BASELINE.name) else { continue };
        let Some((labels, value)) =
            rest.strip_prefix("{account=\"").and_then(|rest| rest.rsplit_once("\"} "))
        else {
            continue;
        };
        let seconds = value.split(' ').next().and_then(|value| value.parse::<f64>().ok());
        let millis = seconds.filter(|seconds| (1.0..1e11).contains(seconds)).map(|s| (s * 1_000.0).round());
        if let Some(millis) = millis {
            baselines.insert(unescaped(labels), millis as i64);
        }
    }
    baselines
}

fn unescaped(label: &str) -> String {
    let mut text = String::with_capacity(label.len());
    let mut chars = label.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => {}
            },
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baselines_are_read_to_the_millisecond() {
        let page = "# HELP blooio_collection_baseline_timestamp_seconds x\n\
                    blooio_collection_baseline_timestamp_seconds{account=\"a \\\"b\\\\\"} 1795790000.123\n\
                    blooio_collection_baseline_timestamp_seconds{account=\"new\"} 0\n\
                    blooio_collection_baseline_timestamp_seconds{account=\"odd\"} NaN\n\
                    blooio_up{account=\"c\"} 1\n";
        assert_eq!(on_page(page), BTreeMap::from([("a \"b\\".to_owned(), 1_795_790_000_123)]));
    }
}
