//! Every question that the dashboards ask is answered by Debian's Prometheus, which scrapes the program that watches
//! the simulator, in a world in which everything happens.

use std::process::Command;
use std::time::Duration;

use blooio_exporter::simulator::{Knobs, Setup, Shares, Tuning, Upheavals, World};

use crate::alerting::processes::Server;
use crate::harness::{Exporter, Simulated, eventually, in_repository, wall_clock};

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
        unusable: 0.02,
        regress: 0.1,
        ..Shares::default()
    };
    World::new(Setup {
        start_ms: wall_clock(),
        chats: 20,
        history_messages: 100,
        inbound_per_minute: 120.0,
        outbound_per_minute: 360.0,
        pace: 50.0,
        shares,
        upheavals: Upheavals::default(),
        knobs: Knobs { extra_fields: 0.2, ..Knobs::default() },
        ..Setup::default()
    })
}

fn python(script: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("python3")
        .arg(in_repository(script))
        .args(arguments)
        .output()
        .expect("python3; ./check installs it");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[test]
fn every_question_has_an_answer() {
    let simulated = Simulated::start(eventful());
    let exporter = Exporter::start(&simulated, &[]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    // An hour is half a minute: even the budgets of 30 days, which look at each full hour, have a value soon.
    python("alerts/generate.py", &["--scale", "1/120", "-o", &path("rules")]).unwrap();
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
    eventually("something is rejected, late, leaves its end", || {
        let page = exporter.page();
        let needed = [
            "blooio_collection_rejected_items_total",
            "blooio_collection_late_messages_total",
            "blooio_status_regressions_total",
            "blooio_clock_skew_messages_total",
            "blooio_line_active",
        ];
        needed.iter().all(|family| page.sum(family) > 0.0).then_some(())
    });
    let line = simulated.world().lines()[0].clone();
    let url = format!("http://{}", prometheus.address);
    let mut said = String::new();
    // The first line works for a while, so that its messages end, and is ill for a while, so that alerts fire. Asked
    // is at the end of each illness. By the third every window has been full; the others are for a slow machine.
    for _ in 0..8 {
        std::thread::sleep(Duration::from_secs(6));
        simulated.world().switch_on("device-down", Tuning::line(&line)).unwrap();
        std::thread::sleep(Duration::from_secs(10));
        match python("dashboards/query.py", &[&url, "--span", "60", "--scrape", "1"]) {
            Ok(answer) => return println!("{answer}"),
            Err(problems) => said = problems,
        }
        simulated.world().switch_off("device-down");
    }
    panic!("{said}");
}
