//! A page against the simulator's ledger of the truth.

use std::collections::BTreeMap;

use blooio_exporter::simulator::Summary;

use crate::support::Page;

/// What a page must show, or what it shows: series with their counts, without those at 0.
pub(crate) type Counts = BTreeMap<String, f64>;

fn put(counts: &mut Counts, family: &str, labels: &[&str], value: f64) {
    if value != 0.0 {
        *counts.entry(format!("{family} {}", labels.join(" "))).or_default() += value;
    }
}

/// What a page must show of the messages after a baseline.
pub(crate) fn expected(truth: &Summary) -> Counts {
    let mut counts = Counts::new();
    for ((line, protocol), value) in &truth.inbound {
        put(&mut counts, "inbound", &[line, protocol], *value as f64);
    }
    for (line, value) in &truth.outbound {
        put(&mut counts, "outbound", &[line], *value as f64);
    }
    for ((line, protocol), value) in &truth.delivered {
        put(&mut counts, "delivered", &[line, protocol], *value as f64);
    }
    for ((line, protocol, reason), value) in &truth.failed {
        put(&mut counts, "failed", &[line, protocol, reason], *value as f64);
    }
    for (line, value) in &truth.cancelled {
        put(&mut counts, "cancelled", &[line], *value as f64);
    }
    for ((line, protocol), value) in &truth.fallback_by_protocol {
        put(&mut counts, "fallback", &[line, protocol], *value as f64);
    }
    for ((line, _), value) in &truth.open {
        put(&mut counts, "open", &[line], *value as f64);
    }
    for ((line, protocol), (count, sum)) in &truth.latency {
        put(&mut counts, "latency count", &[line, protocol], *count as f64);
        put(&mut counts, "latency sum", &[line, protocol], (sum * 1000.0).round());
    }
    put(&mut counts, "clock skew", &[], truth.negative_latency as f64);
    counts
}

/// What a page shows of an account.
pub(crate) fn shown(page: &Page, account: &str) -> Counts {
    let mut counts = Counts::new();
    let mut family = |name: &str, metric: &str, labels: usize, sign: f64| {
        for (values, value) in page.of(account, metric) {
            let labels: Vec<&str> = values[1..=labels].iter().map(String::as_str).collect();
            put(&mut counts, name, &labels, sign * value);
        }
    };
    family("inbound", "blooio_inbound_messages_total", 2, 1.0);
    family("outbound", "blooio_outbound_messages_total", 1, 1.0);
    family("delivered", "blooio_outbound_delivered_messages_total", 2, 1.0);
    family("failed", "blooio_outbound_failed_messages_total", 3, 1.0);
    family("cancelled", "blooio_outbound_cancelled_messages_total", 1, 1.0);
    family("unconfirmed", "blooio_outbound_unconfirmed_messages_total", 3, 1.0);
    family("fallback", "blooio_outbound_fallback_messages_total", 2, 1.0);
    family("open", "blooio_outbound_open_messages", 1, 1.0);
    family("open", "blooio_outbound_open_history_messages", 1, -1.0);
    family("latency count", "blooio_delivery_latency_seconds_count", 2, 1.0);
    for (values, value) in page.of(account, "blooio_delivery_latency_seconds_sum") {
        put(&mut counts, "latency sum", &[&values[1], &values[2]], (value * 1000.0).round());
    }
    put(&mut counts, "clock skew", &[], page.of(account, "blooio_clock_skew_messages_total").values().sum());
    counts.retain(|_, value| *value != 0.0);
    counts
}

/// Where two differ, in words.
pub(crate) fn differences(expected: &Counts, shown: &Counts) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = expected.keys().chain(shown.keys()).collect();
    let value = |counts: &Counts, key: &str| counts.get(key).copied().unwrap_or(0.0);
    let differ = keys.into_iter().filter(|key| value(expected, key) != value(shown, key));
    differ.map(|key| format!("{key}: truth {}, page {}", value(expected, key), value(shown, key))).collect()
}
