//! The exporter's series of a line, from what happened: each count appears with the first sweep after its event.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use blooio_exporter::simulator::{Entry, Told, What, World};

use crate::evaluate::{Labels, Vector};
use crate::load;

/// Seconds from one sample to the next.
pub(crate) const STEP: u32 = 60;
const STEP_MS: i64 = STEP as i64 * 1_000;
/// The bounds of `blooio_delivery_latency_seconds`.
pub(crate) const LATENCIES: [&str; 17] = [
    "0.5", "1.0", "2.0", "3.0", "5.0", "10.0", "20.0", "30.0", "60.0", "120.0", "300.0", "600.0", "1800.0",
    "3600.0", "21600.0", "86400.0", "+Inf",
];

/// The series of one line, by family, while they are made.
struct Series {
    start: i64,
    steps: usize,
    found: BTreeMap<&'static str, BTreeMap<Labels, Vec<f64>>>,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Series {
    fn step(&self, at_ms: i64) -> usize {
        ((at_ms - self.start).max(0) as u64).div_ceil(STEP_MS as u64) as usize
    }

    /// Makes a series exist.
    fn of(&mut self, family: &'static str, pairs: &[(&str, &str)]) -> &mut Vec<f64> {
        let all = self.found.entry(family).or_default();
        all.entry(labels(pairs)).or_insert_with(|| vec![0.0; self.steps])
    }

    /// Counts one at a time.
    fn add(&mut self, family: &'static str, pairs: &[(&str, &str)], at_ms: i64) {
        let step = self.step(at_ms);
        if let Some(value) = self.of(family, pairs).get_mut(step) {
            *value += 1.0;
        }
    }

    fn message(&mut self, entry: &Entry, settings: &Settings) {
        let seen = entry.visible_from_ms + settings.interval;
        let protocol = entry.protocol.as_str();
        if entry.direction == "inbound" {
            return self.add("blooio_inbound_messages_total", &[("protocol", protocol)], seen);
        }
        self.add("blooio_outbound_messages_total", &[], seen);
        let end = entry.terminal.as_ref();
        let left = entry.handed_over_at_ms.or(end.map(|end| end.at_ms));
        self.wait(entry.visible_from_ms, left.unwrap_or(i64::MAX));
        if let Some(at) = entry.handed_over_at_ms {
            let first = entry.fell_back.as_deref().unwrap_or(protocol);
            self.add("blooio_outbound_sent_messages_total", &[("protocol", first)], at + settings.interval);
            if let Some(to) = &entry.fell_back {
                self.add(
                    "blooio_outbound_fallback_messages_total",
                    &[("protocol", to)],
                    at + settings.interval,
                );
            }
        }
        let given_up = entry.time_sent_ms + settings.horizon;
        match end.filter(|end| end.at_ms < given_up) {
            None => {
                let pairs = [("protocol", protocol), ("status", entry.status.as_str())];
                self.add("blooio_outbound_unconfirmed_messages_total", &pairs, given_up);
            }
            Some(end) if end.status == "delivered" => {
                let at = end.at_ms + settings.interval;
                let by = [("protocol", end.protocol.as_str())];
                self.add("blooio_outbound_delivered_messages_total", &by, at);
                if let Some(delivered) = entry.time_delivered_ms {
                    let latency = (delivered - entry.time_sent_ms).max(0) as f64 / 1_000.0;
                    self.add("blooio_delivery_latency_seconds_count", &by, at);
                    for le in LATENCIES {
                        let pairs = [by[0], ("le", le)];
                        if latency <= le.parse().unwrap_or(f64::INFINITY) {
                            self.add("blooio_delivery_latency_seconds_bucket", &pairs, at);
                        } else {
                            self.of("blooio_delivery_latency_seconds_bucket", &pairs);
                        }
                    }
                }
            }
            Some(end) if end.status == "failed" => {
                let pairs = [("protocol", end.protocol.as_str()), ("reason", end.reason.as_str())];
                self.add("blooio_outbound_failed_messages_total", &pairs, end.at_ms + settings.interval);
            }
            Some(end) => {
                self.add("blooio_outbound_cancelled_messages_total", &[], end.at_ms + settings.interval)
            }
        }
    }

    /// A message waits from one time until another.
    fn wait(&mut self, from: i64, until: i64) {
        let (first, last) = (self.step(from), self.step(until).min(self.steps));
        for step in first..last {
            let age = (self.start + step as i64 * STEP_MS - from) as f64 / 1_000.0;
            self.of("blooio_outbound_open_messages", &[("status", "queued")])[step] += 1.0;
            let oldest =
                &mut self.of("blooio_outbound_open_oldest_age_seconds", &[("status", "queued")])[step];
            *oldest = oldest.max(age);
        }
    }

    fn told(&mut self, told: &Told, settings: &Settings) {
        // A message takes its place when nothing earlier can come any more; what leaves iMessage is counted at once.
        let placed = told.at_ms + settings.lookback + settings.interval;
        match told.what {
            What::Started(by) => self.add("blooio_conversations_started_total", &[("by", by)], placed),
            What::Answered => self.add("blooio_conversations_answered_total", &[], placed),
            What::Wrote(position) => {
                let pairs = [("position", position.label())];
                self.add("blooio_outbound_unanswered_messages_total", &pairs, placed);
            }
            What::LostImessage => {
                let at = told.at_ms + settings.interval;
                self.add("blooio_outbound_lost_imessage_messages_total", &[], at);
            }
            // In no rule.
            What::Replied(_) | What::Unanswered(_) => {}
        }
    }
}

/// The exporter's settings, in milliseconds.
struct Settings {
    interval: i64,
    lookback: i64,
    horizon: i64,
    turn: i64,
}

/// The series of each line of a world, over all steps from its start until now.
pub(crate) fn of(world: &World) -> BTreeMap<String, HashMap<String, Vector>> {
    let options = load::options();
    let settings = Settings {
        interval: options.interval.as_millis() as i64,
        lookback: options.lookback.as_millis() as i64,
        horizon: options.horizon.as_millis() as i64,
        turn: options.conversation_turn.as_millis() as i64,
    };
    let start = world.setup().start_ms;
    let steps = ((world.now_ms() - start) / STEP_MS + 1) as usize;
    let empty = || Series { start, steps, found: BTreeMap::new() };
    let mut lines: BTreeMap<String, Series> = world.lines().into_iter().map(|line| (line, empty())).collect();
    for series in lines.values_mut() {
        exist(series);
    }
    for entry in world.truth().entries().filter(|entry| entry.time_sent_ms > start) {
        lines.get_mut(&entry.line).unwrap().message(&entry, &settings);
    }
    for told in world.truth().told(start, settings.turn) {
        lines.get_mut(&told.line).unwrap().told(&told, &settings);
    }
    lines.into_iter().map(|(line, series)| (line, summed(series))).collect()
}

/// The series that exist from the start.
fn exist(series: &mut Series) {
    series.of("blooio_outbound_messages_total", &[]);
    series.of("blooio_conversations_answered_total", &[]);
    series.of("blooio_outbound_lost_imessage_messages_total", &[]);
    series.of("blooio_outbound_open_messages", &[("status", "queued")]);
    series.of("blooio_outbound_open_oldest_age_seconds", &[("status", "queued")]);
    for by in ["us", "them"] {
        series.of("blooio_conversations_started_total", &[("by", by)]);
    }
    for position in ["1", "2", "3", "4", "5plus"] {
        series.of("blooio_outbound_unanswered_messages_total", &[("position", position)]);
    }
    for family in [
        "blooio_inbound_messages_total",
        "blooio_outbound_sent_messages_total",
        "blooio_outbound_delivered_messages_total",
        "blooio_outbound_fallback_messages_total",
        "blooio_delivery_latency_seconds_count",
    ] {
        series.of(family, &[("protocol", "imessage")]);
    }
    series.of("blooio_outbound_failed_messages_total", &[("protocol", "imessage"), ("reason", "none")]);
    series.of("blooio_outbound_unconfirmed_messages_total", &[("protocol", "imessage"), ("status", "sent")]);
    for le in LATENCIES {
        series.of("blooio_delivery_latency_seconds_bucket", &[("protocol", "imessage"), ("le", le)]);
    }
}

/// Counts become totals; gauges stay.
fn summed(series: Series) -> HashMap<String, Vector> {
    let total = |family: &str, mut values: Vec<f64>| -> Rc<Vec<f64>> {
        if !family.starts_with("blooio_outbound_open_") {
            let mut sum = 0.0;
            for value in &mut values {
                sum += *value;
                *value = sum;
            }
        }
        Rc::new(values)
    };
    let families = series.found.into_iter();
    families
        .map(|(family, all)| {
            let all = all.into_iter().map(|(labels, values)| (labels, total(family, values)));
            (family.to_owned(), all.collect())
        })
        .collect()
}
