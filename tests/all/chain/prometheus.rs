//! With Debian's Prometheus: it scrapes the program that watches the simulator, and its queries say what the
//! simulator's ledger says. Where Prometheus is missing these tests fail; `./check` installs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use blooio_exporter::simulator;

use crate::support::{Answer, Exporter, Simulated, eventually, get, wall_clock};

pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Prometheus {
        Prometheus::scraping(&format!("job_name: blooio, static_configs: [{{targets: ['{target}']}}]"))
    }

    /// Starts it with one scrape configuration, given as the inside of a YAML flow mapping.
    pub(crate) fn scraping(job: &str) -> Prometheus {
        Prometheus::configured(&format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{{job}}}]\n"
        ))
    }

    /// Starts it with a configuration.
    pub(crate) fn configured(text: &str) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prometheus.yml"), text).unwrap();
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = launch(folder.path(), address);
        Prometheus { child, address, folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder with its blocks.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops it in order, and says where its blocks are.
    pub(crate) fn stop(&mut self) -> PathBuf {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap();
        self.data()
    }

    /// Starts it again with what it held.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.folder.path(), self.address);
    }

    /// The values of an instant query at a time (unix ms), by the values of these labels.
    pub(crate) fn query_all(&self, expression: &str, at: i64, labels: &[&str]) -> BTreeMap<Vec<String>, f64> {
        let query: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/query?query={query}&time={}.{:03}", at / 1_000, at % 1_000);
        let answer = get(self.address, &path, &["Accept-Encoding: identity"]);
        let body: serde_json::Value = serde_json::from_str(&whole(&answer)).unwrap();
        assert_eq!(body["status"], "success", "{expression}: {body}");
        let results = body["data"]["result"].as_array().unwrap().iter().map(|result| {
            let label = |name: &&str| result["metric"][*name].as_str().unwrap_or_default().to_owned();
            (labels.iter().map(label).collect(), result["value"][1].as_str().unwrap().parse().unwrap())
        });
        results.collect()
    }

    /// When the oldest sample of a series within the last day was taken, unix ms.
    pub(crate) fn first_sample(&self, series: &str, until: i64) -> i64 {
        let query = format!("min(min_over_time(timestamp({series})[1d:1s]))");
        let seconds = self.query_all(&query, until, &[]).into_values().next();
        (seconds.unwrap_or_else(|| panic!("no sample of {series}")) * 1_000.0).round() as i64
    }

    /// The value of an instant query that gives one.
    pub(crate) fn query(&self, expression: &str) -> Option<f64> {
        let query: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer =
            get(self.address, &format!("/api/v1/query?query={query}"), &["Accept-Encoding: identity"]);
        let body: serde_json::Value = serde_json::from_str(unchunked(&answer.body)).unwrap();
        assert_eq!(body["status"], "success", "{expression}: {body}");
        body["data"]["result"][0]["value"][1].as_str().map(|value| value.parse().unwrap())
    }
}

/// Starts Prometheus with the configuration and the blocks of a folder, and waits until it answers.
fn launch(folder: &Path, address: SocketAddr) -> Child {
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg("--storage.tsdb.retention.time=1y")
        .arg(format!("--web.listen-address={address}"))
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian's prometheus; ./check installs it");
    eventually("Prometheus is ready", || {
        std::net::TcpStream::connect(address).ok()?;
        (get(address, "/-/ready", &[]).status == 200).then_some(())
    });
    child
}

/// A body, put together if it came in chunks.
fn whole(answer: &Answer) -> String {
    if !answer.head.to_lowercase().contains("transfer-encoding: chunked") {
        return answer.body.clone();
    }
    let (mut rest, mut body) = (answer.body.as_str(), String::new());
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        if length == 0 {
            break;
        }
        body.push_str(&after[..length]);
        rest = after[length..].trim_start_matches("\r\n");
    }
    body
}

/// A body with its JSON, whether it came in one piece or as a single chunk.
fn unchunked(body: &str) -> &str {
    let start = body.find('{').unwrap();
    let end = body.rfind('}').unwrap();
    &body[start..=end]
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn queries_say_what_the_ledger_says() {
    let scenario = simulator::scenario("demo").unwrap();
    let simulated = Simulated::start(scenario.world(11, wall_clock()));
    let exporter = Exporter::start(&simulated, &[]);
    let prometheus = Prometheus::start(exporter.address());
    eventually("some of everything", || {
        let page = exporter.page();
        let shown = |end: &str| page.sum(&format!("blooio_outbound_{end}_messages_total")) > 0.0;
        ["delivered", "failed", "cancelled", "fallback"].into_iter().all(shown).then_some(())
    });
    simulated.come_to_rest("default", || Some(exporter.page()));
    let baseline =
        (exporter.page().sum("blooio_collection_baseline_timestamp_seconds") * 1000.0).round() as i64;
    let truth = simulated.world().truth().summary(baseline);
    for (expression, expected) in [
        ("sum(blooio_inbound_messages_total)", truth.inbound.values().sum::<u64>()),
        ("sum(blooio_outbound_messages_total)", truth.outbound.values().sum::<u64>()),
        ("sum(blooio_outbound_delivered_messages_total)", truth.delivered.values().sum::<u64>()),
        ("sum(blooio_outbound_failed_messages_total)", truth.failed.values().sum::<u64>()),
        ("sum(blooio_outbound_cancelled_messages_total)", truth.cancelled.values().sum::<u64>()),
        ("sum(blooio_outbound_fallback_messages_total)", truth.fallback.values().sum::<u64>()),
        (
            "sum(blooio_outbound_open_messages) - sum(blooio_outbound_open_history_messages)",
            truth.open.values().sum::<u64>(),
        ),
        (
            "sum(blooio_delivery_latency_seconds_count)",
            truth.latency.values().map(|(count, _)| count).sum::<u64>(),
        ),
    ] {
        assert!(expected > 0, "{expression}: the scenario has nothing to compare");
        eventually(&format!("{expression} = {expected}"), || {
            // Old open messages are asked for again by the world's clock.
            simulated.skip(Duration::from_secs(60));
            (prometheus.query(expression) == Some(expected as f64)).then_some(())
        });
    }
    assert_eq!(prometheus.query("sum(up{job=\"blooio\"})"), Some(1.0));
    let law = "sum by (account, line) (blooio_outbound_messages_total) \
               - sum by (account, line) (blooio_outbound_delivered_messages_total) \
               - sum by (account, line) (blooio_outbound_failed_messages_total) \
               - sum by (account, line) (blooio_outbound_cancelled_messages_total) \
               - sum by (account, line) (blooio_outbound_unconfirmed_messages_total) \
               - sum by (account, line) (blooio_outbound_open_messages) \
               + sum by (account, line) (blooio_outbound_open_history_messages) != 0";
    assert_eq!(prometheus.query(law), None, "the conservation law holds for every line");
}

#[test]
fn promtool_accepts_the_page() {
    let simulated = Simulated::start(simulator::scenario("demo").unwrap().world(3, wall_clock()));
    let exporter = Exporter::start(&simulated, &[]);
    eventually("traffic", || {
        (exporter.page().sum("blooio_outbound_failed_messages_total") > 0.0).then_some(())
    });
    let page = get(exporter.address(), "/metrics", &[]).body;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's promtool; ./check installs it");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && complaints.is_empty(), "{}", String::from_utf8_lossy(&complaints));
}
