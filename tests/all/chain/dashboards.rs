//! Every question that the dashboards ask is answered by Debian's Prometheus, which scrapes the program that watches
//! the simulator, in a world in which everything happens; and the
//! example that starts all of it is wired.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use blooio_exporter::simulator::{Conversations, Knobs, Setup, Shares, Tuning, Upheavals, World};
use serde_json::Value;

use crate::chain::alerting::processes::Server;
use crate::support::{Exporter, Simulated, eventually, in_repository, wall_clock};

/// The example that starts everything with `docker compose`.
const EXAMPLE: &str = "examples/compose";

/// Everything that can become of a message, within seconds.
fn eventful() -> World {
    let shares = Shares {
        failed: 0.2,
        cancelled: 0.05,
        sms: 0.15,
        rcs: 0.1,
        fallback: 0.2,
        negative_latency: 0.05,
        late: 0.1,
        odd: 0.1,
        regress: 0.5,
        ..Shares::default()
    };
    World::new(Setup {
        start_ms: wall_clock(),
        chats: 20,
        history_messages: 100,
        inbound_per_minute: 120.0,
        outbound_per_minute: 360.0,
        conversations: vec![Conversations {
            started_per_day: 20_000.0,
            outbound_per_day: 50_000.0,
            inbound_per_day: 20_000.0,
            reply_ms: 2_000,
            ..Conversations::default()
        }],
        pace: 50.0,
        shares,
        upheavals: Upheavals::default(),
        knobs: Knobs { extra_fields: 0.2, ..Knobs::default() },
        ..Setup::default()
    })
}

fn mixin(tool: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("python3")
        .current_dir(in_repository(""))
        .args(["-m", "mixin", tool])
        .args(arguments)
        .output()
        .expect("python3; ./check installs it");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// Has rows rejected, only for a moment: while any are, the watermark is held, and no message is late.
fn rejects(simulated: &Simulated, exporter: &Exporter) {
    let rejected = || exporter.page().sum("blooio_collection_rejected_items_total");
    let before = rejected();
    simulated.world().switch_on("null-id", Tuning::default()).unwrap();
    eventually("rows are rejected", || (rejected() > before).then_some(()));
    simulated.world().switch_off("null-id");
}

#[test]
fn every_question_has_an_answer() {
    let simulated = Simulated::start(eventful());
    // Messages take their places in conversations after the lookback.
    let exporter = Exporter::start(&simulated, &["--collector.lookback", "10s"]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // An hour is half a minute: even the budgets of 30 days, which look at each full hour, have a value soon.
    mixin("generate", &["--scale", "1/120", "-o", &path("rules")]).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: ['{}']\n\
         scrape_configs: [{{job_name: blooio, static_configs: [{{targets: ['{}']}}]}}]\n",
        path("rules/*.yml"),
        exporter.address(),
    );
    std::fs::write(path("prometheus.yml"), config).unwrap();
    let prometheus = Server::start(
        "prometheus",
        &[
            format!("--config.file={}", path("prometheus.yml")),
            format!("--storage.tsdb.path={}", path("data")),
        ],
        &folder.path().join("prometheus.log"),
    );
    eventually("something is late, leaves its end", || {
        let page = exporter.page();
        let needed = [
            "blooio_collection_late_messages_total",
            "blooio_status_regressions_total",
            "blooio_clock_skew_messages_total",
            "blooio_line_active",
        ];
        needed.iter().all(|family| page.sum(family) > 0.0).then_some(())
    });
    let line = simulated.world().lines()[0].clone();
    let url = format!("http://{}", prometheus.address);
    // The first line works for a while, so that its messages end, and fails for a while, so that alerts fire. Asked
    // is at the end of each illness. By the third every window has been full; the others are for a slow machine.
    for _ in 0..8 {
        rejects(&simulated, &exporter);
        std::thread::sleep(Duration::from_secs(6));
        simulated.world().switch_on("device-down", Tuning::line(&line)).unwrap();
        std::thread::sleep(Duration::from_secs(10));
        match mixin("query", &[&url, "--span", "60", "--scrape", "1"]) {
            Ok(answer) => return println!("{answer}"),
            Err(problems) => println!("{problems}"),
        }
        simulated.world().switch_off("device-down");
    }
    panic!("questions without an answer in every round, see above");
}

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(in_repository(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// What a service of the example sees at its paths: path in the container, file or folder of the repository.
fn mounts(service: &Value) -> Vec<(String, PathBuf)> {
    let binds = texts(&service["volumes"]).into_iter().filter(|volume| volume.starts_with('.'));
    let mounts = binds.map(|volume| {
        let (from, to) = volume.strip_suffix(":ro").unwrap().split_once(':').unwrap();
        (to.to_owned(), in_repository(EXAMPLE).join(from))
    });
    mounts.collect()
}

/// What lies at a path in the container.
fn mounted(mounts: &[(String, PathBuf)], path: &str) -> PathBuf {
    let (at, from) = mounts
        .iter()
        .find(|(at, _)| path == at || path.starts_with(&format!("{at}/")))
        .unwrap_or_else(|| panic!("nothing is mounted at {path}"));
    match path[at.len()..].trim_start_matches('/') {
        "" => from.clone(),
        below => from.join(below),
    }
}

fn accepted(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// There is no container engine where this is developed: what can be said of the example without one.
#[test]
fn the_example_is_wired() {
    let compose = yaml(&format!("{EXAMPLE}/compose.yml"));
    let services = compose["services"].as_object().unwrap();
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    for (name, service) in services {
        for needed in service["depends_on"].as_array().into_iter().flatten() {
            assert!(names.contains(&needed.as_str().unwrap()), "{name} depends on {needed}");
        }
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is reachable from other machines: {port}");
        }
        if !service["volumes"].is_null() {
            for (at, from) in mounts(service) {
                assert!(from.exists(), "{name}: {} for {at} does not exist", from.display());
            }
        }
    }
    let build = services["exporter"]["build"].as_str().unwrap();
    assert!(in_repository(EXAMPLE).join(build).join("Dockerfile").exists());

    // Without one of these the image is not built.
    let ignored = std::fs::read_to_string(in_repository(".dockerignore")).unwrap();
    for needed in ["Cargo.toml", "Cargo.lock", "build.rs", "src", "crates", "benches", "tests"] {
        let line = format!("!{needed}");
        assert!(ignored.lines().any(|kept| kept == line), ".dockerignore keeps {needed} out of the build");
        assert!(in_repository(needed).exists(), "{needed}");
    }

    // Prometheus with its files as it finds them in its container.
    let prometheus = mounts(&services["prometheus"]);
    let root = tempfile::tempdir().unwrap();
    for (at, from) in &prometheus {
        let to = root.path().join(Path::new(at).file_name().unwrap());
        std::fs::copy(from, to).unwrap();
    }
    accepted("promtool", &["check", "config", &root.path().join("prometheus.yml").display().to_string()]);
    let config = yaml(&format!("{EXAMPLE}/prometheus.yml"));
    for (rule, (at, _)) in texts(&config["rule_files"]).iter().zip(prometheus.iter().skip(1)) {
        assert_eq!(at, &format!("/etc/prometheus/{rule}"), "rules lie beside the configuration");
    }
    let targets = |value: &Value| texts(&value["static_configs"][0]["targets"]).join(",");
    let scraped = targets(&config["scrape_configs"][0]);
    let alerted = targets(&config["alerting"]["alertmanagers"][0]);
    for target in [&scraped, &alerted] {
        let (service, port) = target.split_once(':').unwrap();
        let ports = texts(&services[service]["ports"]);
        assert!(
            ports.iter().any(|published| published.ends_with(&format!(":{port}"))),
            "{target}: {ports:?}"
        );
    }
    let listens = texts(&services["exporter"]["command"]);
    assert!(listens.contains(&format!("0.0.0.0:{}", scraped.rsplit(':').next().unwrap()).as_str()));

    let alertmanager = mounts(&services["alertmanager"]);
    let config = mounted(&alertmanager, "/etc/alertmanager/alertmanager.yml");
    accepted("amtool", &["check-config", &config.display().to_string()]);

    // Grafana finds the dashboards where their provisioning says, and Prometheus where its own says.
    let grafana = &services["grafana"];
    let mounts = mounts(grafana);
    let provisioned = mounted(&mounts, "/etc/grafana/provisioning");
    assert!(
        provisioned.join("dashboards/blooio.yml").exists()
            && provisioned.join("datasources/blooio.yml").exists()
    );
    let provider = yaml("dashboards/provisioning/dashboards/blooio.yml");
    let folder = mounted(&mounts, provider["providers"][0]["options"]["path"].as_str().unwrap());
    for name in ["overview", "line", "objectives", "api", "exporter"] {
        assert!(folder.join(format!("{name}.json")).exists(), "{name} in {}", folder.display());
    }
    let environment = &grafana["environment"];
    assert!(
        mounted(&mounts, environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().unwrap()).exists()
    );
    let source = &yaml("dashboards/provisioning/datasources/blooio.yml")["datasources"][0];
    assert_eq!(source["type"], "prometheus");
    assert_eq!(source["url"], "$PROMETHEUS_URL");
    assert_eq!(environment["PROMETHEUS_URL"], "http://prometheus:9090");
    assert!(texts(&services["prometheus"]["ports"])[0].ends_with(":9090"));
}
