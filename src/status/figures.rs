//! Formats numbers, durations and moments for the status page.

use crate::domain::{Histogram, HistogramKey};

/// The quantile as Prometheus' `histogram_quantile` has it; `None` when nothing was observed. What lies beyond the
/// last bound is told as that bound.
pub(super) fn quantile(histogram: &Histogram, key: HistogramKey, q: f64) -> Option<f64> {
    let bounds = key.bounds();
    let rank = q * histogram.count() as f64;
    let mut below = 0.0;
    for (at, count) in histogram.counts.iter().enumerate() {
        let count = *count as f64;
        if count > 0.0 && below + count >= rank {
            let (Some(upper), lower) = (bounds.get(at), if at == 0 { 0.0 } else { bounds[at - 1] }) else {
                return bounds.last().copied();
            };
            return Some(lower + (upper - lower) * (rank - below) / count);
        }
        below += count;
    }
    None
}

pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", 100.0 * part as f64 / whole.max(1) as f64)
}

pub(super) fn share(part: u64, whole: u64) -> String {
    match whole {
        0 => "none".to_owned(),
        _ => format!("{} ({part} of {whole})", percent(part, whole)),
    }
}

pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => span((s * 1000.0) as i64),
    }
}

/// A span of time in its two largest units.
pub(super) fn span(millis: i64) -> String {
    let s = (millis / 1000).max(0);
    let (d, h, m, s) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    let parts = [(d, "d"), (h, "h"), (m, "min"), (s, "s")];
    let from = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown = parts[from..].iter().take(2).filter(|(count, _)| *count > 0);
    let shown: Vec<String> = shown.map(|(count, unit)| format!("{count} {unit}")).collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let key = HistogramKey::Delay;
        let empty = Histogram { counts: vec![0; key.bounds().len() + 1].into(), sum: 0.0 };
        assert_eq!(quantile(&empty, key, 0.5), None);
        let mut some = empty.clone();
        // 10 up to 1 s, 10 between 1 and 2.5 s.
        (some.counts[0], some.counts[1]) = (10, 10);
        assert_eq!(quantile(&some, key, 0.25), Some(0.5));
        assert_eq!(quantile(&some, key, 0.75), Some(1.75));
        let mut beyond = empty;
        beyond.counts[key.bounds().len()] = 1;
        assert_eq!(quantile(&beyond, key, 0.5), key.bounds().last().copied());
    }
}
