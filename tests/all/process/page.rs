//! The metrics page: both syntaxes, compression, order, first values, health, and stopping.

use std::io::Read;
use std::time::Duration;

use blooio_exporter::metrics::catalogue;
use blooio_exporter::simulator::{self, Tuning};

use crate::support::{Exporter, Simulated, eventually, get, wall_clock};

fn steady() -> Simulated {
    Simulated::start(simulator::scenario("steady").unwrap().world(7, wall_clock()))
}

fn ready(exporter: &Exporter) {
    eventually("readiness", || (get(exporter.address(), "/-/ready", &[]).status == 200).then_some(()));
}

#[test]
fn both_syntaxes_hold_every_family_and_compress() {
    let simulated = steady();
    let exporter = Exporter::start(&simulated, &[]);
    ready(&exporter);
    let text = get(exporter.address(), "/metrics", &[]);
    assert!(text.head.contains("text/plain; version=0.0.4; charset=utf-8"), "{}", text.head);
    let open = get(exporter.address(), "/metrics", &["Accept: application/openmetrics-text;version=1.0.0"]);
    assert!(
        open.head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        open.head
    );
    assert!(open.body.ends_with("# EOF\n"));
    for chapter in catalogue::CHAPTERS {
        // The state is a file here: there is no lease.
        let is_there = chapter.title != "Replicas";
        for family in chapter.families() {
            let (in_text, in_open) =
                (format!("# TYPE {} ", family.sample_name()), format!("# TYPE {} ", family.name));
            assert_eq!(text.body.contains(&in_text), is_there, "{}", family.name);
            assert_eq!(open.body.contains(&in_open), is_there, "{}", family.name);
        }
    }
    let packed = get(exporter.address(), "/metrics", &["Accept-Encoding: gzip"]);
    assert!(packed.head.contains("content-encoding: gzip"), "{}", packed.head);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(packed.bytes.as_slice()).read_to_string(&mut unpacked).unwrap();
    assert!(unpacked.contains("# TYPE blooio_up gauge"));
}

#[test]
fn known_series_stand_at_zero_from_the_start_and_in_the_same_order_in_every_run() {
    let quiet = simulator::scenario("quiet").unwrap();
    let simulated = Simulated::start(quiet.world(7, wall_clock()));
    let exporter = Exporter::start(&simulated, &[]);
    let first = exporter.page();
    assert_eq!(first.sum("blooio_up"), 0.0);
    assert!(first.samples.contains_key("blooio_up{account=\"default\"}"), "present from the first byte");
    ready(&exporter);
    eventually("the lines", || (exporter.page().family("blooio_line_active").len() == 3).then_some(()));
    let page = exporter.page();
    for line in simulated.world().lines() {
        for series in [
            format!("blooio_outbound_messages_total{{account=\"default\",line=\"{line}\"}}"),
            format!("blooio_inbound_messages_total{{account=\"default\",line=\"{line}\",protocol=\"rcs\"}}"),
            format!(
                "blooio_outbound_failed_messages_total{{account=\"default\",line=\"{line}\",protocol=\"sms\",reason=\"attachment\"}}"
            ),
            format!("blooio_outbound_open_messages{{account=\"default\",line=\"{line}\",status=\"queued\"}}"),
            format!("blooio_device_probes_total{{account=\"default\",line=\"{line}\",code=\"502\"}}"),
        ] {
            assert!(page.samples.contains_key(&series), "{series}");
        }
    }
    let order = |exporter: &Exporter| -> Vec<String> {
        let body = get(exporter.address(), "/metrics", &[]).body;
        body.lines().filter_map(|line| line.strip_prefix("# TYPE ").map(str::to_owned)).collect()
    };
    let again = Exporter::start(&simulated, &[]);
    assert_eq!(order(&exporter), order(&again));
}

#[test]
fn it_says_that_it_is_not_ready_and_why() {
    let simulated = steady();
    simulated.world().switch_on("unauthorized", Tuning::default()).unwrap();
    let exporter = Exporter::start(&simulated, &[]);
    eventually("the reason", || {
        let answer = get(exporter.address(), "/-/ready", &[]);
        assert_eq!(answer.status, 503);
        answer.body.contains("401").then_some(())
    });
    assert_eq!(
        get(exporter.address(), "/-/healthy", &[]).status,
        200,
        "a problem of Blooio's is not its own"
    );
    let page = exporter.page();
    let refused = "blooio_api_requests_total{account=\"default\",endpoint=\"list_chats\",code=\"401\"}";
    assert!(page.samples[refused] >= 1.0);
    assert_eq!(page.sum("blooio_up"), 0.0);
    simulated.world().switch_off("unauthorized");
    ready(&exporter);
    let log = exporter.log();
    assert_eq!(log.matches("Blooio rejects the API key").count(), 1, "one line when it begins:\n{log}");
    assert_eq!(log.matches("API recovered").count(), 1, "one line when it ends:\n{log}");
}

#[test]
fn a_server_without_lines_is_normal_and_said_once() {
    let simulated = steady();
    simulated.world().switch_on("no-numbers", Tuning::default()).unwrap();
    let exporter = Exporter::start(&simulated, &["--probe.interval", "300ms"]);
    eventually("some probes", || (exporter.page().sum("blooio_device_probes_total") > 6.0).then_some(()));
    let log = exporter.log();
    assert_eq!(log.matches("no GET /me/numbers").count(), 1, "{log}");
    assert_eq!(exporter.page().sum("blooio_up"), 1.0);
}

#[test]
fn a_device_that_goes_away_shows_and_comes_back() {
    let simulated = steady();
    let line = simulated.world().lines()[0].clone();
    let exporter = Exporter::start(&simulated, &["--probe.interval", "300ms"]);
    let state = |exporter: &Exporter| {
        exporter
            .page()
            .family("blooio_device_probe_success")
            .get(&vec!["default".to_owned(), line.clone()])
            .copied()
    };
    eventually("a probe that succeeds", || (state(&exporter) == Some(1.0)).then_some(()));
    simulated.world().switch_on("device-down", Tuning::line(&line)).unwrap();
    eventually("a probe that fails", || (state(&exporter) == Some(0.0)).then_some(()));
    simulated.world().switch_off("device-down");
    eventually("a probe that succeeds again", || (state(&exporter) == Some(1.0)).then_some(()));
}

#[test]
fn it_stops_within_five_seconds_with_a_scraper_that_does_not_read() {
    let simulated = steady();
    let mut exporter = Exporter::start(&simulated, &[]);
    ready(&exporter);
    let _silent = std::net::TcpStream::connect(exporter.address()).unwrap();
    let (code, took) = exporter.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
