//! The two halves of the way from an account to an alert, each against the real thing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use blooio_exporter::domain::{Counter, LabelValue, View};
use blooio_exporter::simulator::{Conversations, Setup, Tuning, decay};

use crate::decay::account;
use crate::evaluate::{Labels, Line, Vector};
use crate::load::{self, Live};
use crate::rules::Rules;
use crate::series::{self, STEP};

const DAY: i64 = 86_400_000;

/// Seconds between two samples of what promtool evaluates: coarse, for the sake of its time.
const COARSE: u32 = 600;

fn coarse(series: HashMap<String, Vector>) -> HashMap<String, Vector> {
    let every = (COARSE / STEP) as usize;
    let thin = |values: &[f64]| Rc::new(values.iter().copied().step_by(every).collect::<Vec<f64>>());
    let all = series.into_iter();
    all.map(|(name, vector)| (name, vector.into_iter().map(|(l, values)| (l, thin(&values))).collect()))
        .collect()
}

/// Values as promtool reads them: `0x3 2` for 0 0 0 0 2.
fn written(values: &[f64]) -> String {
    let runs = values.chunk_by(|a, b| a == b).map(|run| format!("{}x{}", run[0], run.len() - 1));
    runs.collect::<Vec<_>>().join(" ")
}

fn labels(labels: &Labels) -> String {
    labels.iter().map(|(name, value)| format!(",{name}=\"{value}\"")).collect()
}

#[test]
fn alerts_fire_as_promtool_says() {
    let rules = Rules::shipped();
    let time = 15 * DAY;
    let account = account(7, 9 * DAY, 1, time);
    let (mut input, mut expected) = (String::new(), BTreeMap::new());
    // The counts up to each of these times tell when an alert fired, not only for how long.
    let ends: Vec<usize> = [9, 10, 11, 13, 15].iter().map(|day| day * 86_400 / COARSE as usize).collect();
    for (number, series) in series::of(&account.world) {
        let series = coarse(series);
        for (name, vector) in &series {
            for (more, values) in vector {
                let more = labels(more);
                writeln!(
                    input,
                    "      - {{series: '{name}{{job=\"blooio\",instance=\"a\",account=\"x\",line=\"{number}\"{more}}}', \
                     values: '{}'}}",
                    written(values)
                )
                .unwrap();
            }
        }
        let line = Line::new(COARSE, series, &rules.records);
        for alert in &rules.alerts {
            let firing = alert.firing(&line);
            for end in &ends {
                let count = firing[..=*end].iter().filter(|fires| **fires).count();
                let key = (alert.name.clone(), number.clone(), alert.severity.clone(), alert.window.clone());
                // Alerts that differ in nothing else share their series.
                if count > 0 {
                    expected.insert((*end, key), count);
                }
            }
        }
    }
    let kinds: std::collections::BTreeSet<&String> = expected.keys().map(|(_, key)| &key.0).collect();
    assert!(kinds.len() >= 6, "only {kinds:?} fire");
    let names: std::collections::BTreeSet<&str> =
        rules.alerts.iter().map(|alert| alert.name.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join("|");
    let mut checks = String::new();
    for end in ends {
        let minutes = end * COARSE as usize / 60;
        writeln!(
            checks,
            "      - expr: sum by (alertname, line, severity, window) (count_over_time(ALERTS{{alertstate=\"firing\", \
             alertname=~\"{names}\"}}[{minutes}m]))\n        eval_time: {minutes}m\n        exp_samples:"
        )
        .unwrap();
        for ((_, (name, line, severity, window)), count) in expected.iter().filter(|((at, _), _)| *at == end)
        {
            let window = if window.is_empty() { String::new() } else { format!(",window=\"{window}\"") };
            writeln!(
                checks,
                "          - {{labels: '{{alertname=\"{name}\",line=\"{line}\",severity=\"{severity}\"{window}}}', \
                 value: {count}}}"
            )
            .unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fortnight.yml");
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/blooio.rules.yml");
    let text = format!(
        "rule_files: ['{}']\nevaluation_interval: {COARSE}s\ngroup_eval_order: [blooio-recording, blooio-totals, \
         blooio-recording-slow, blooio-delivery, blooio-early-warning]\ntests:\n  - interval: {COARSE}s\n    \
         input_series:\n{input}    promql_expr_test:\n{checks}",
        rules.display()
    );
    std::fs::write(&file, text).unwrap();
    let promtool = Command::new("promtool").args(["test", "rules"]).arg(&file).output().expect("promtool");
    assert!(
        promtool.status.success(),
        "{}{}",
        String::from_utf8_lossy(&promtool.stdout),
        String::from_utf8_lossy(&promtool.stderr)
    );
}

/// The counters and buckets of each line, as the series name them.
fn counted(view: &View) -> BTreeMap<(String, String), f64> {
    let mut found = BTreeMap::new();
    let mut add = |line: &str, name: String, labels: String, value: f64| {
        if value > 0.0 {
            found.insert((line.to_owned(), format!("{name}{labels}")), value);
        }
    };
    let of_line = |values: Vec<LabelValue>, names: &[&str]| {
        let LabelValue::Line(line) = values.first()? else { return None };
        let line = view.snapshot.lines.get(line)?;
        let rest = names[2..].iter().zip(&values[1..]).map(|(name, value)| match value {
            LabelValue::Word(word) => ((*name).to_owned(), word.clone().into_owned()),
            LabelValue::Line(_) => unreachable!("a second line"),
        });
        Some((line.as_str(), rest.collect::<Labels>()))
    };
    for (counter, value) in &view.snapshot.counters {
        let Some(family) = counter.family().filter(|_| !matches!(counter, Counter::Probes { .. })) else {
            continue;
        };
        if let Some((line, more)) = of_line(counter.labels(), family.labels) {
            add(line, family.sample_name(), labels(&more), *value as f64);
        }
    }
    for (key, histogram) in &view.snapshot.histograms {
        let Some(family) = key.family().filter(|family| family.name == "blooio_delivery_latency_seconds")
        else {
            continue;
        };
        let Some((line, mut more)) = of_line(key.labels(), family.labels) else { continue };
        add(line, format!("{}_count", family.name), labels(&more), histogram.count() as f64);
        let mut below = 0;
        for (count, bound) in histogram.counts.iter().zip(series::LATENCIES) {
            below += count;
            more.insert("le".to_owned(), bound.to_owned());
            add(line, format!("{}_bucket", family.name), labels(&more), below as f64);
        }
    }
    found
}

/// The newest values of the series that are made from what happened.
fn made(live: &Live) -> BTreeMap<(String, String), f64> {
    let mut found = BTreeMap::new();
    for (line, all) in series::of(&live.world()) {
        for (name, vector) in all.into_iter().filter(|(name, _)| !name.starts_with("blooio_outbound_open_")) {
            for (more, values) in vector {
                let value = values.last().copied().unwrap_or(0.0);
                if value > 0.0 {
                    found.insert((line.clone(), format!("{name}{}", labels(&more))), value);
                }
            }
        }
    }
    found
}

/// Without what tells by which protocol a message seemed to travel when it was first seen.
fn comparable(all: BTreeMap<(String, String), f64>) -> BTreeMap<(String, String), f64> {
    let mut result = BTreeMap::new();
    for ((line, name), value) in all {
        let short = name.split(",protocol").next().unwrap_or_default();
        let name = if short == "blooio_outbound_sent_messages_total" { short.to_owned() } else { name };
        *result.entry((line, name)).or_default() += value;
    }
    result
}

#[test]
fn the_series_are_what_the_collector_counts() {
    let lines: Vec<Conversations> = decay::DECAYS.iter().map(|_| decay::before().faster(4.0)).collect();
    let setup = Setup { seed: 5, ..decay::setup(lines) };
    let (known, counted) = load::in_virtual_time(async {
        let live = Live::new(setup, load::options());
        let script = async {
            let lines = live.world().lines();
            for (line, decay) in lines.iter().zip(&decay::DECAYS) {
                live.world()
                    .switch_on(decay.fault, Tuning { value: decay.value, ..Tuning::line(line) })
                    .unwrap();
            }
            tokio::time::sleep(Duration::from_secs(10 * 3_600)).await;
            live.silence();
            // Until everything has its end and its place.
            tokio::time::sleep(Duration::from_secs(80 * 3_600)).await;
        };
        live.watch(script).await;
        let now = live.now();
        live.world().step(now);
        (comparable(made(&live)), comparable(counted(&live.view())))
    });
    let names: Vec<_> = known.keys().chain(counted.keys()).collect();
    let differing: Vec<String> = names
        .into_iter()
        .filter(|key| known.get(*key) != counted.get(*key))
        .map(|key| format!("{key:?}: happened {:?}, counted {:?}", known.get(key), counted.get(key)))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(known.len() > 100, "{}", known.len());
}
