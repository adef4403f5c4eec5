//! The files as a reader of OpenMetrics sees them, and what they must hold by the simulator's ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blooio_exporter::simulator::World;

/// A day, in ms.
pub(super) const DAY: i64 = 86_400_000;
/// Age at which an open message is given up, in ms.
pub(super) const HORIZON: i64 = 72 * 3_600_000;

/// The samples of every series, as (second, value). A series is its name and its labels in alphabetical order.
pub(super) type Samples = BTreeMap<String, Vec<(i64, f64)>>;

/// The files with samples, in order.
pub(super) fn days(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut days: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "om")).collect();
    days.sort();
    days
}

/// The series with its labels in alphabetical order.
fn sorted(series: &str) -> String {
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
    let mut labels: Vec<&str> =
        labels.split_inclusive("\",").map(|label| label.trim_end_matches(',')).collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

/// Reads every file and checks its form.
pub(super) fn samples(directory: &Path) -> Samples {
    let mut samples = Samples::new();
    for path in days(directory) {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{name}");
        assert!(!text.contains("_created"), "{name}");
        let midnight = format!("{name}T00:00:00Z");
        let midnight = humantime::parse_rfc3339(&midnight).unwrap();
        let midnight = midnight.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        // What a histogram writes for one moment belongs together, so its own series alternate.
        let mut of_day = Samples::new();
        let mut metrics: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, rest) = line.rsplit_once("} ").unwrap();
            let (value, second) = rest.split_once(' ').unwrap();
            let (value, second): (f64, i64) = (value.parse().unwrap(), second.parse().unwrap());
            assert!((midnight..midnight + 86_400).contains(&second), "{name}: {line}");
            let metric = match series.split_once('{') {
                Some((name, labels)) => {
                    let name =
                        ["_bucket", "_sum", "_count"].iter().fold(name, |n, end| n.trim_end_matches(end));
                    format!("{name}{}", labels.split(",le=").next().unwrap())
                }
                None => series.to_owned(),
            };
            if metrics.last() != Some(&metric) {
                assert!(!metrics.contains(&metric), "{name}: {metric} stands in two pieces");
                metrics.push(metric);
            }
            let of_series = of_day.entry(sorted(&format!("{series}}}"))).or_default();
            assert!(of_series.last().is_none_or(|(before, _)| *before < second), "{name}: {line}");
            of_series.push((second, value));
        }
        for (series, of_day) in of_day {
            let all: &mut Vec<(i64, f64)> = samples.entry(series).or_default();
            assert!(all.last().is_none_or(|(before, _)| *before < of_day[0].0), "days follow each other");
            all.extend(of_day);
        }
    }
    samples
}

/// A counter with its resets taken out: a fall is one.
pub(super) struct Rise(Vec<(i64, f64)>);

impl Rise {
    pub(super) fn of(samples: &[(i64, f64)]) -> Rise {
        let (mut last, mut sum) = (samples[0].1, 0.0);
        let risen = samples.iter().map(|(at, value)| {
            sum += if *value < last { *value } else { value - last };
            last = *value;
            (*at, sum)
        });
        Rise(risen.collect())
    }

    fn at(&self, second: i64) -> f64 {
        let next = self.0.partition_point(|(at, _)| *at <= second);
        next.checked_sub(1).map_or(0.0, |at| self.0[at].1)
    }

    /// How much it rose after one second, up to and including another.
    pub(super) fn within(&self, after: i64, until: i64) -> f64 {
        self.at(until) - self.at(after)
    }
}

/// When what is counted in each series happened, in ms: labels of the account and of the target left aside.
pub(super) type Events = BTreeMap<String, Happened>;

/// When, in ms, and how much.
pub(super) type Happened = Vec<(i64, f64)>;

/// The events of the messages sent after `from`, up to and including `to`, by the simulator's ledger.
pub(super) fn truth(world: &World, from: i64, to: i64, as_of: i64) -> Events {
    let mut events = Events::new();
    let mut add = |family: &str, labels: &[(&str, &str)], at: i64, amount: f64| {
        let mut labels: Vec<String> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        labels.sort();
        let series = format!("blooio_{family}{{{}}}", labels.join(","));
        events.entry(series).or_default().push((at.min(to), amount));
    };
    for entry in world.truth().entries() {
        if !entry.visible || entry.unusable || entry.time_sent_ms <= from || entry.time_sent_ms > to {
            continue;
        }
        let (line, sent) = (entry.line.as_str(), entry.time_sent_ms);
        let protocol = entry.protocol.as_str();
        if entry.direction == "inbound" {
            add("inbound_messages_total", &[("line", line), ("protocol", protocol)], sent, 1.0);
            continue;
        }
        add("outbound_messages_total", &[("line", line)], sent, 1.0);
        if let Some(to) = &entry.fell_back {
            add("outbound_fallback_messages_total", &[("line", line), ("protocol", to)], sent, 1.0);
        }
        if ["sent", "delivered"].contains(&entry.status.as_str()) {
            add("outbound_sent_messages_total", &[("line", line), ("protocol", protocol)], sent, 1.0);
        }
        let Some(end) = &entry.terminal else {
            if sent + HORIZON <= as_of {
                let labels = [("line", line), ("protocol", protocol), ("status", entry.status.as_str())];
                add("outbound_unconfirmed_messages_total", &labels, sent + HORIZON, 1.0);
            }
            continue;
        };
        let by = [("line", line), ("protocol", end.protocol.as_str())];
        match end.status.as_str() {
            "delivered" => {
                let latency = entry.time_delivered_ms.map(|at| at - sent);
                let at = sent + latency.unwrap_or(0).max(0);
                add("outbound_delivered_messages_total", &by, at, 1.0);
                if let Some(latency) = latency {
                    add("delivery_latency_seconds_count", &by, at, 1.0);
                    add("delivery_latency_seconds_sum", &by, at, latency.max(0) as f64 / 1_000.0);
                    for le in [0.5, 1.0, 2.0, 5.0, 30.0, 3_600.0, 86_400.0_f64] {
                        if latency.max(0) as f64 <= le * 1_000.0 {
                            let le = format!("{le:?}");
                            let by = [by[0], by[1], ("le", le.as_str())];
                            add("delivery_latency_seconds_bucket", &by, at, 1.0);
                        }
                    }
                    if latency < 0 {
                        add("clock_skew_messages_total", &[], at, 1.0);
                    }
                }
            }
            "failed" => {
                let by = [by[0], by[1], ("reason", end.reason.as_str())];
                add("outbound_failed_messages_total", &by, sent, 1.0);
            }
            _ => add("outbound_cancelled_messages_total", &[("line", line)], sent, 1.0),
        }
    }
    for told in world.truth().told_within(from, to, 60_000) {
        use blooio_exporter::simulator::What;
        let line = ("line", told.line.as_str());
        let at = told.at_ms;
        match told.what {
            What::Started(by) => add("conversations_started_total", &[line, ("by", by)], at, 1.0),
            What::Answered => add("conversations_answered_total", &[line], at, 1.0),
            What::Wrote(position) => {
                let labels = [line, ("position", position.label())];
                add("outbound_unanswered_messages_total", &labels, at, 1.0);
            }
            What::Replied(seconds) => {
                add("reply_delay_seconds_count", &[line], at, 1.0);
                add("reply_delay_seconds_sum", &[line], at, seconds);
            }
            // The API does not say when a message left iMessage.
            What::LostImessage => add("outbound_lost_imessage_messages_total", &[line], from, 1.0),
            What::Unanswered(_) => {}
        }
    }
    events
}

/// The series of one account, without its label and those of the target.
pub(super) fn of_account(samples: &Samples, account: &str) -> Samples {
    let own = format!("account=\"{account}\"");
    let of_account = samples.iter().filter(|(series, _)| series.contains(&own));
    let stripped = of_account.map(|(series, samples)| {
        let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
        let kept = labels
            .split_inclusive("\",")
            .map(|label| label.trim_end_matches(','))
            .filter(|label| *label != own && !label.starts_with("job=") && !label.starts_with("instance="));
        (format!("{name}{{{}}}", kept.collect::<Vec<_>>().join(",")), samples.clone())
    });
    stripped.collect()
}

/// Asserts that the files say what happened: in all, and within every day and some odd ranges.
pub(super) fn assert_true(samples: &Samples, events: &Events) {
    let (first, end) = {
        let any = samples.values().next().unwrap();
        (any[0].0, any.last().unwrap().0)
    };
    let mut ranges = vec![(first, end), (first + 7 * 60, first + 26 * 3_600)];
    let mut midnight = (first * 1_000 / DAY + 1) * DAY / 1_000;
    while midnight + 86_400 < end {
        ranges.push((midnight, midnight + 86_400));
        ranges.push((midnight + 61_200, midnight + 61_200 + 3_600));
        midnight += 86_400;
    }
    for (series, of_series) in samples {
        assert_eq!(of_series[0], (first, 0.0), "{series} begins at 0");
        assert_eq!(of_series.last(), Some(&(end, 0.0)), "{series} ends at 0");
    }
    let rises: BTreeMap<&String, Rise> = samples.iter().map(|(name, of)| (name, Rise::of(of))).collect();
    let is_left_out = |series: &str, is_all: bool| {
        let is_bucket = series.contains("_seconds_bucket") && !events.contains_key(series);
        is_bucket || series.contains("lost_imessage") && !is_all
    };
    for (after, until) in ranges {
        let is_all = (after, until) == (first, end);
        // What is dated in the last step shows a second before the end.
        let within = |at: i64| is_all || at > after * 1_000 && (at <= until * 1_000 || until == end);
        let series = samples.keys().chain(events.keys()).filter(|series| !is_left_out(series, is_all));
        for series in series {
            let happened = events.get(series).into_iter().flatten();
            let truth: f64 = happened.filter(|(at, _)| within(*at)).map(|(_, n)| n).sum();
            let shown = rises.get(series).map_or(0.0, |rise| rise.within(after, until));
            assert!(
                (truth - shown).abs() < 1e-6,
                "{series} after {after} until {until}: {truth}, shown {shown}"
            );
        }
    }
}
