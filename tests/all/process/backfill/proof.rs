//! The proof: Debian's promtool imports the files into Debian's Prometheus beside live scrapes, and `increase()` says what the
//! simulator's ledger says, before, over and after the baseline.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::files::{DAY, Events, Happened, days, of_account, samples, truth};
use super::{HOUR, RUN_LIMIT, kill_at, state, world};
use crate::chain::prometheus::Prometheus;
use crate::process::truth::{differences, expected, shown};
use crate::support::{Exporter, Simulated, eventually, get, outcome, program, wall_clock};

/// Families in which live counters and history are compared, with the labels that the comparison keeps.
const FAMILIES: [(&str, &[&str]); 9] = [
    ("blooio_inbound_messages_total", &["line", "protocol"]),
    ("blooio_outbound_messages_total", &["line"]),
    ("blooio_outbound_sent_messages_total", &["line", "protocol"]),
    ("blooio_outbound_delivered_messages_total", &["line", "protocol"]),
    ("blooio_outbound_failed_messages_total", &["line", "protocol", "reason"]),
    ("blooio_outbound_cancelled_messages_total", &["line"]),
    ("blooio_outbound_fallback_messages_total", &["line", "protocol"]),
    ("blooio_outbound_unconfirmed_messages_total", &["line", "protocol", "status"]),
    ("blooio_delivery_latency_seconds_count", &["line", "protocol"]),
];

#[test]
fn prometheus_counts_each_message_once_before_over_and_after_the_baseline() {
    let worlds = [
        world(21, |setup| setup.shares.unresolved = 0.0),
        world(22, |setup| {
            (setup.lines, setup.group_share) = (2, 0.4);
            setup.shares.unresolved = 0.0;
        }),
    ];
    let simulated = worlds.map(Simulated::start);
    let baselines = [wall_clock() - 4 * HOUR, wall_clock() - 4 * HOUR - 433_217];
    let accounts = ["one", "two"];
    let mut exporter = Exporter::configured(|folder| {
        state(&folder.join("state.db"), &[(accounts[0], baselines[0]), (accounts[1], baselines[1])]);
        let mut text = "collector: {interval: 300ms}\napi: {budget: 100}\naccounts:\n".to_owned();
        for (account, world) in accounts.iter().zip(&simulated) {
            let key = folder.join(format!("{account}.key"));
            std::fs::write(&key, format!("{}\n", world.world().setup().key)).unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            text += &format!(
                "- {{name: {account}, base_url: \"{}\", api_key_file: {account}.key",
                world.base_url()
            );
            text += ", lines: {\"+13105550101\": sales}}\n";
        }
        text
    });
    let target = exporter.address();
    let job = format!("job_name: blooio, static_configs: [{{targets: ['{target}']}}]");
    let mut prometheus = Prometheus::scraping(&job);
    eventually("every message after the baselines is counted", || {
        let page = exporter.page();
        let wrong =
            accounts.iter().zip(&simulated).zip(baselines).flat_map(|((account, world), baseline)| {
                let truth = named(expected(&world.world().truth().summary(baseline)));
                differences(&truth, &shown(&page, account))
            });
        (wrong.count() == 0).then_some(())
    });
    let page = exporter.page();
    // Every family stands still by now, which no sum of one family says: only a scrape that began after the page shows it.
    let shown_at = wall_clock();
    let scraped = eventually("Prometheus has scraped that", || {
        let newest = prometheus.query("min(timestamp(blooio_up))")? * 1_000.0;
        (newest > shown_at as f64).then_some(newest.round() as i64)
    });

    // The exporter goes on meanwhile; the first run dies.
    let directory = exporter.folder.path().join("history");
    let command = |budget: &str| {
        let mut command = program();
        command.arg("backfill").args(["--from", "10d", "--label", "job=blooio", "--api.budget", budget]);
        command.arg("--label").arg(format!("instance={target}")).arg("--to-directory").arg(&directory);
        command.arg("--config.file").arg(exporter.folder.path().join("config.yml"));
        command.arg("--state.path").arg(exporter.folder.path().join("state.db"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    kill_at(command("20").spawn().unwrap(), &directory, 30);
    let mut rest = command("100");
    let output = outcome(rest.spawn().unwrap(), RUN_LIMIT, &rest);
    assert!(output.status.success(), "{}", super::said(&output));
    assert_same_series(&page, &samples(&directory));

    exporter.terminate();
    let data = prometheus.stop();
    for day in days(&directory) {
        let output = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .arg(&day)
            .arg(&data)
            .output()
            .expect("Debian's promtool; ./check installs it");
        assert!(output.status.success(), "{}: {}", day.display(), String::from_utf8_lossy(&output.stderr));
    }
    prometheus.start_again();

    let first = samples(&directory).values().next().unwrap()[0].0 * 1_000;
    for ((account, world), baseline) in accounts.iter().zip(&simulated).zip(baselines) {
        let events = truth(&world.world(), first, baseline, wall_clock());
        let midnight = (baseline / DAY - 1) * DAY;
        // Five days of history; an hour of it; a day over the baseline up to the last scrape; everything.
        for (after, until) in [
            (midnight - 6 * DAY, midnight - DAY),
            (midnight - DAY + 17 * HOUR, midnight - DAY + 18 * HOUR),
            (midnight, scraped),
            (first, scraped),
        ] {
            compare(&prometheus, account, (after, until), &events, baseline, &page);
        }
    }
}

/// The ledger's lines under the alias that the configuration gives one of them.
fn named(counts: BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    counts.into_iter().map(|(key, value)| (key.replace("+13105550101", "sales"), value)).collect()
}

/// Every series of history that the page can have is on the page, with the same labels.
fn assert_same_series(page: &crate::support::Page, history: &super::files::Samples) {
    for account in ["one", "two"] {
        let live: Vec<String> = page
            .samples
            .keys()
            .map(|series| {
                let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
                let mut labels: Vec<&str> =
                    labels.split_inclusive("\",").map(|label| label.trim_end_matches(',')).collect();
                labels.sort_unstable();
                let own = format!("account=\"{account}\"");
                let kept =
                    labels.iter().filter(|label| **label != own).copied().collect::<Vec<_>>().join(",");
                if labels.contains(&own.as_str()) { format!("{name}{{{kept}}}") } else { String::new() }
            })
            .collect();
        let rare = ["protocol=\"unknown\"", "protocol=\"pending\"", "line=\"none\"", "status=\"none\""];
        for series in of_account(history, account).keys() {
            let is_rare = rare.iter().any(|label| series.contains(label));
            assert!(is_rare || live.contains(series), "{series} is not on the page of {account}");
        }
    }
}

fn compare(
    prometheus: &Prometheus,
    account: &str,
    (after, until): (i64, i64),
    events: &Events,
    baseline: i64,
    page: &crate::support::Page,
) {
    for (family, labels) in FAMILIES {
        let mut wanted: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        for (series, happened) in named_events(events, family) {
            let count =
                happened.iter().filter(|(at, _)| *at > after && *at <= until).map(|(_, n)| n).sum::<f64>();
            *wanted.entry(series).or_default() += count;
        }
        if until > baseline {
            for (values, value) in page.of(account, family) {
                *wanted.entry(values[1..].to_vec()).or_default() += value;
            }
        }
        // A live series with a rare label begins with its first event, of which `increase()` sees nothing.
        let protocol = labels.iter().position(|label| *label == "protocol").filter(|_| until > baseline);
        let usual = ["imessage", "sms", "rcs"];
        let is_usual = |series: &Vec<String>| protocol.is_none_or(|at| usual.contains(&series[at].as_str()));
        wanted.retain(|series, value| *value != 0.0 && is_usual(series));
        let by = labels.join(", ");
        let range = until - after;
        let query = format!(
            "sum by ({by}) (increase({family}{{account=\"{account}\", job=\"blooio\"}}[{range}ms])) != 0"
        );
        let mut found = prometheus.query_all(&query, until, labels);
        found.retain(|series, value| *value != 0.0 && is_usual(series));
        let rounded = |map: &BTreeMap<Vec<String>, f64>| {
            map.iter().map(|(key, value)| (key.clone(), format!("{value:.6}"))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(rounded(&found), rounded(&wanted), "{account}: {query} at {until}");
        let is_rare = family.contains("unconfirmed") || family.contains("cancelled") || range == HOUR;
        assert!(is_rare || !wanted.is_empty(), "{family}: nothing to compare");
    }
}

/// The events of a family by the values of its labels, in the order of the page.
fn named_events(events: &Events, family: &str) -> Vec<(Vec<String>, Happened)> {
    let of_family = events.iter().filter(|(series, _)| series.split('{').next() == Some(family));
    let parsed = of_family.map(|(series, happened)| {
        let labels = series.trim_end_matches('}').split_once('{').unwrap().1;
        let values =
            labels.split("\",").map(|label| label.split_once("=\"").unwrap().1.trim_end_matches('"'));
        (values.map(|value| value.replace("+13105550101", "sales")).collect(), happened.clone())
    });
    parsed.collect()
}

#[test]
fn a_running_prometheus_finds_the_blocks_by_itself() {
    let setting = super::Setting::new(world(23, |setup| setup.chats = 10));
    let directory = setting.fill("out", &["--from", "3d"]);
    let prometheus = Prometheus::scraping("job_name: other, static_configs: [{targets: ['127.0.0.1:1']}]");
    let blocks = setting.path("blocks");
    for day in days(&directory) {
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .arg(&day)
            .arg(&blocks)
            .status();
        assert!(made.unwrap().success());
    }
    for block in std::fs::read_dir(&blocks).unwrap() {
        let block = block.unwrap();
        std::fs::rename(block.path(), prometheus.data().join(block.file_name())).unwrap();
    }
    eventually("the history can be queried", || {
        let sum = prometheus.query("sum(increase(blooio_outbound_messages_total[3d]))");
        sum.filter(|sum| *sum > 0.0)
    });
    assert_eq!(get(prometheus.address(), "/-/healthy", &[]).status, 200);
}
