//! One chain from simulator to webhook, and what is asked of it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use blooio_exporter::simulator::{Tuning, World};
use serde_json::Value;

use super::processes::{Received, Server, Webhook, free_address};
use crate::support::{Exporter, Simulated, eventually, get, in_repository, wall_clock};

/// What a notification must say.
pub(super) struct Expected<'a> {
    pub(super) alert: &'a str,
    severity: &'a str,
    labels: Vec<(&'a str, &'a str)>,
}

impl<'a> Expected<'a> {
    pub(super) fn of(alert: &'a str, severity: &'a str, labels: &[(&'a str, &'a str)]) -> Expected<'a> {
        Expected { alert, severity, labels: labels.to_vec() }
    }

    pub(super) fn account(alert: &'a str, severity: &'a str) -> Expected<'a> {
        Expected::of(alert, severity, &[("account", "default")])
    }

    pub(super) fn line(alert: &'a str, severity: &'a str, line: &'a str) -> Expected<'a> {
        Expected::of(alert, severity, &[("account", "default"), ("line", line)])
    }

    fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let always = [("alertname", self.alert), ("severity", self.severity), ("job", "blooio")];
        always.into_iter().chain(self.labels.iter().copied())
    }

    /// Exactly these labels, and no others.
    fn fits(&self, alert: &Value) -> bool {
        let labels = alert["labels"].as_object().unwrap();
        self.labels().count() == labels.len()
            && self.labels().all(|(name, value)| labels.get(name).is_some_and(|found| found == value))
    }

    fn assert_annotated(&self, alert: &Value) {
        let annotation = |name: &str| {
            let text = alert["annotations"][name].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{} has no {name}", self.alert);
            assert!(!text.contains("{{") && !text.contains("no value"), "{}: {text}", self.alert);
            text.to_owned()
        };
        annotation("description");
        let summary = annotation("summary");
        if let Some((_, line)) = self.labels.iter().find(|(name, _)| *name == "line") {
            assert!(summary.contains(line), "{summary} names {line}");
        }
        let chapter = format!("#{}", self.alert.to_lowercase());
        let runbook = annotation("runbook_url");
        assert!(runbook.ends_with(&chapter), "{runbook} leads to {chapter}");
    }
}

pub(super) struct Chain {
    // Those who ask are dropped before those who answer.
    prometheus: Server,
    alertmanager: Server,
    webhook: Webhook,
    pub(super) exporter: Exporter,
    pub(super) target: SocketAddr,
    pub(super) simulated: Simulated,
    _folder: tempfile::TempDir,
}

impl Chain {
    /// Starts everything, and waits until the exporter knows the account and the Watchdog has come through.
    pub(super) fn start(world: World, thresholds: &[&str]) -> Chain {
        Chain::with(world, thresholds, &[], &[])
    }

    /// The same with more flags of the exporter, and with series that Prometheus recorded yesterday and a week ago.
    pub(super) fn with(world: World, thresholds: &[&str], more: &[&str], history: &[String]) -> Chain {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let webhook = Webhook::start();
        std::fs::write(path("alertmanager.yml"), alertmanager_config(webhook.address)).unwrap();
        let alertmanager = Server::start(
            "prometheus-alertmanager",
            &[
                format!("--config.file={}", path("alertmanager.yml").display()),
                format!("--storage.path={}", path("alertmanager").display()),
                // No cluster: one Alertmanager that listens to nobody else.
                "--cluster.listen-address=".to_owned(),
            ],
            &path("alertmanager.log"),
        );

        let simulated = Simulated::start(world);
        // A port that stays the same when the exporter is started again.
        let target = free_address();
        let intervals = [
            ("--web.listen-address", target.to_string()),
            ("--collector.interval", "500ms".to_owned()),
            ("--collector.full-interval", "10s".to_owned()),
            ("--collector.lookback", "10s".to_owned()),
            ("--probe.interval", "1s".to_owned()),
        ];
        let flags: Vec<&str> = intervals
            .iter()
            .flat_map(|(flag, value)| [*flag, value.as_str()])
            .chain(more.iter().copied())
            .collect();
        let exporter = Exporter::start(&simulated, &flags);
        eventually("the exporter knows the account", || {
            let page = exporter.page();
            (page.sum("blooio_up") == 1.0 && !page.family("blooio_device_probe_success").is_empty())
                .then_some(())
        });

        std::fs::write(
            path("prometheus.yml"),
            format!(
                "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
                 rule_files: [{}]\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
                 scrape_configs: [{{job_name: blooio, static_configs: [{{targets: ['{target}']}}]}}]\n",
                path("rules/*.yml").display(),
                alertmanager.address,
            ),
        )
        .unwrap();
        backfill(&path("prometheus"), history);
        let prometheus = Server::start(
            "prometheus",
            &[
                format!("--config.file={}", path("prometheus.yml").display()),
                format!("--storage.tsdb.path={}", path("prometheus").display()),
            ],
            &path("prometheus.log"),
        );
        let rules = path("rules");
        let chain = Chain { prometheus, alertmanager, webhook, exporter, target, simulated, _folder: folder };
        // Prometheus takes its first targets after five seconds, at any scale. With the rules loaded by then, the
        // job would be absent for as long as a scaled alert waits.
        eventually("the exporter is scraped", || (chain.query("up") == Some(1.0)).then_some(()));
        generate_rules(&rules, thresholds);
        chain.prometheus.reload();
        eventually("the Watchdog comes through", || {
            chain.webhook.received().iter().any(is_watchdog).then_some(())
        });
        chain
    }

    pub(super) fn fault(&self, name: &str, tuning: Tuning) {
        self.simulated.world().switch_on(name, tuning).unwrap();
    }

    pub(super) fn repair(&self, name: &str) {
        assert!(self.simulated.world().switch_off(name), "{name} was on");
    }

    /// Lets time pass; from the start until its end nothing may fire but the Watchdog.
    pub(super) fn assert_calm(&self, period: Duration) {
        std::thread::sleep(period);
        let others = |r: &Received| !is_watchdog(r) && !is_of_the_machine(r);
        let others: Vec<_> = self.webhook.received().into_iter().filter(others).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// Nothing fired since the start but this, and the Watchdog.
    pub(super) fn assert_only(&self, expected: &Expected<'_>) {
        let others = |r: &Received| !is_watchdog(r) && !is_of_the_machine(r) && !expected.fits(&r.alert);
        let others: Vec<_> = self.webhook.received().into_iter().filter(others).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// When the first such notification since then came, if one did.
    pub(super) fn received(&self, status: &str, since: Instant, expected: &Expected<'_>) -> Option<Received> {
        let fits = |r: &Received| r.at >= since && r.alert["status"] == status && expected.fits(&r.alert);
        self.webhook.received().into_iter().find(fits)
    }

    /// Waits for a notification, which must have everything a person needs.
    pub(super) fn arrival(&self, status: &str, since: Instant, expected: &Expected<'_>) -> Instant {
        let what = format!("{} is {status} at the receiver", expected.alert);
        let received = eventually(&what, || self.received(status, since, expected));
        expected.assert_annotated(&received.alert);
        received.at
    }

    /// The value of an instant query that gives one.
    pub(super) fn query(&self, expression: &str) -> Option<f64> {
        let answer = get(
            self.prometheus.address,
            &format!("/api/v1/query?query={}", encoded(expression)),
            &["Accept-Encoding: identity"],
        );
        let (start, end) = (answer.body.find('{')?, answer.body.rfind('}')?);
        let body: Value = serde_json::from_str(&answer.body[start..=end]).unwrap();
        body["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Fingerprint of such an alert in Alertmanager.
    pub(super) fn fingerprint(&self, expected: &Expected<'_>) -> Option<String> {
        self.known(expected)?["fingerprint"].as_str().map(str::to_owned)
    }

    /// Fingerprints of the alerts that mute such an alert, once Alertmanager knows it.
    pub(super) fn inhibited_by(&self, expected: &Expected<'_>) -> Option<Vec<String>> {
        let alert = self.known(expected)?;
        let by = alert["status"]["inhibitedBy"].as_array()?.iter();
        Some(by.filter_map(|id| id.as_str().map(str::to_owned)).collect())
    }

    fn known(&self, expected: &Expected<'_>) -> Option<Value> {
        // Asked for one alert by its labels, so that the answer is short and comes in one piece.
        let labels = expected.labels().map(|(name, value)| format!("{name}=\"{value}\""));
        let filters: Vec<String> = labels.map(|label| format!("filter={}", encoded(&label))).collect();
        let answer = get(
            self.alertmanager.address,
            &format!("/api/v2/alerts?{}", filters.join("&")),
            &["Accept-Encoding: identity"],
        );
        let (start, end) = (answer.body.find('[')?, answer.body.rfind(']')?);
        let alerts: Value = serde_json::from_str(&answer.body[start..=end]).ok()?;
        alerts.as_array()?.iter().find(|alert| expected.fits(alert)).cloned()
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// With every window divided by 60, a machine that does not run the exporter for a few seconds uses up its freshness budget.
/// The rule tests hold this alert to what it says.
fn is_of_the_machine(received: &Received) -> bool {
    received.alert["labels"]["alertname"] == "BlooioFreshnessBudgetBurn"
}

fn is_watchdog(received: &Received) -> bool {
    received.alert["labels"]["alertname"] == "BlooioWatchdog"
}

/// Writes each series, `name{labels} value`, as blocks: from a minute before this time yesterday and a week ago, both
/// divided by 60 like the rules, for longer than a chain lasts.
fn backfill(data: &Path, history: &[String]) {
    if history.is_empty() {
        return;
    }
    const MINUTE: i64 = 60;
    const DAY: i64 = 24 * MINUTE;
    let now = wall_clock() / 1_000;
    let moments = [now - 7 * DAY, now - DAY]
        .into_iter()
        .flat_map(|then| (then - MINUTE..then + 10 * MINUTE).step_by(30))
        .collect::<Vec<_>>();
    let samples = history.iter().flat_map(|series| moments.iter().map(move |at| format!("{series} {at}\n")));
    let file = data.with_extension("om");
    std::fs::write(&file, samples.chain(["# EOF\n".to_owned()]).collect::<String>()).unwrap();
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([&*file, data])
        .output()
        .expect("Debian's promtool; ./check installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The rules with all times divided by 60.
fn generate_rules(folder: &Path, thresholds: &[&str]) {
    let output = Command::new("python3")
        .current_dir(in_repository(""))
        .args(["-m", "mixin", "generate", "--scale", "1/60"])
        .args(thresholds.iter().flat_map(|threshold| ["--set", threshold]))
        .arg("-o")
        .arg(folder)
        .output()
        .expect("python3; ./check installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The shipped example: its routes and inhibitions as they are, but sent to the webhook and without waiting.
fn alertmanager_config(webhook: SocketAddr) -> String {
    let example = std::fs::read_to_string(in_repository("alerts/alertmanager/alertmanager.yml")).unwrap();
    let replaced = example.lines().map(|line| {
        let indented = |text: &str| {
            let start = line.len() - line.trim_start().len();
            format!("{}{text}", &line[..start])
        };
        match line.trim_start().split(':').next() {
            Some("group_wait") => indented("group_wait: 0s"),
            Some("group_interval") => indented("group_interval: 1s"),
            Some("repeat_interval") => indented("repeat_interval: 4h"),
            Some("- url") => indented(&format!("- url: http://{webhook}/")),
            _ => line.to_owned(),
        }
    });
    let config = replaced.collect::<Vec<_>>().join("\n");
    assert!(!config.contains(".invalid"), "every receiver is replaced");
    config
}
