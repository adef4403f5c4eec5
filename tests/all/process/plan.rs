//! Predictions of `blooio-exporter plan`, compared with the real collector against the simulator in virtual time.

use std::time::Duration;

use blooio_exporter::collect::Options;
use blooio_exporter::domain::Work;
use blooio_exporter::plan::{Account, Prediction, predict};
use blooio_exporter::simulator::Setup;

use crate::support::load::{self, Live, Measured};
use crate::support::program;

/// How far a prediction may be off.
const TOLERANCE: f64 = 0.2;
/// Requests of a class below which chance alone may be larger than that.
const ENOUGH: f64 = 100.0;

/// Settings with which an account reaches its steady state within an hour.
fn options(budget: f64) -> Options {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    Options {
        window: minutes(10),
        retention: minutes(10),
        audit_interval: minutes(15),
        horizon: minutes(20),
        budget,
        ..load::options()
    }
}

/// Predicts, and measures for so many minutes once the account is in its steady state.
fn compare(chats: usize, messages_per_second: f64, options: Options, minutes: u64) -> (Prediction, Measured) {
    let account = Account { chats: chats as u64, messages_per_second, lines: 3, sms_share: 0.3 };
    let predicted = predict(&account, &options);
    let is_idle = messages_per_second == 0.0;
    let settled = if is_idle { options.full_interval } else { options.horizon + options.audit_interval };
    // All chats are read at the start, unless they are idle for ever.
    let idle = load::account(chats, messages_per_second);
    let history_ms = if is_idle { idle.history_ms } else { options.horizon.as_millis() as i64 / 2 };
    let measured = load::in_virtual_time(async {
        let live = Live::new(Setup { history_ms, ..idle }, options);
        live.watch(async {
            tokio::time::sleep(settled).await;
            live.measure(Duration::from_secs(minutes * 60)).await
        })
        .await
    });
    for (at, work) in Work::ALL.iter().enumerate() {
        let (predicted, measured_rate) = (predicted.granted[at], measured.rates[at]);
        println!("{:<12} predicted {predicted:.4}, measured {measured_rate:.4}", work.as_str());
    }
    let lag = predicted.freshness.watermark_lag_seconds;
    println!("lag          predicted {lag:.1}, measured {:.1}", measured.mean_lag);
    (predicted, measured)
}

fn assert_close(what: &str, predicted: f64, measured: f64) {
    let off = (predicted - measured).abs();
    assert!(off <= TOLERANCE * measured.max(predicted), "{what}: predicted {predicted}, measured {measured}");
}

fn assert_predicted(predicted: &Prediction, measured: &Measured) {
    assert_close("total", predicted.granted.iter().sum(), measured.rates.iter().sum());
    let mut compared = 0;
    for (at, work) in Work::ALL.iter().enumerate() {
        if measured.rates[at].max(predicted.granted[at]) * measured.seconds >= ENOUGH {
            assert_close(work.as_str(), predicted.granted[at], measured.rates[at]);
            compared += 1;
        }
    }
    assert!(compared > 0, "nothing was asked for");
}

#[test]
fn an_idle_account_costs_what_was_predicted() {
    let (predicted, measured) = compare(2_000, 0.0, load::options(), 240);
    assert_predicted(&predicted, &measured);
    assert_close("lag", predicted.freshness.watermark_lag_seconds, measured.mean_lag);
}

#[test]
fn an_account_with_little_traffic_costs_what_was_predicted() {
    let (predicted, measured) = compare(500, 0.2, options(2.0), 60);
    assert!(predicted.suffices());
    assert_predicted(&predicted, &measured);
    assert_close("lag", predicted.freshness.watermark_lag_seconds, measured.mean_lag);
}

#[test]
fn a_busy_account_costs_what_was_predicted() {
    let (predicted, measured) = compare(500, 1.0, options(4.0), 30);
    assert!(predicted.suffices());
    assert_predicted(&predicted, &measured);
    assert_close("lag", predicted.freshness.watermark_lag_seconds, measured.mean_lag);
}

#[test]
fn an_overloaded_account_shares_its_budget_as_was_predicted() {
    let (predicted, measured) = compare(300, 4.0, options(1.0), 20);
    assert!(!predicted.suffices());
    assert_predicted(&predicted, &measured);
}

#[test]
fn the_command_needs_no_key_and_speaks_to_people_and_programs() {
    let plan = |more: &[&str]| {
        let mut command = program();
        command.args(["plan", "--chats=2000", "--messages-per-second=4"]).args(more);
        command.output().unwrap()
    };
    let table = plan(&[]);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(table.status.success() && text.contains("does not suffice"), "{text}");
    let json = plan(&["--json", "--api.budget=100", "--replicas=2"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json["suffices"].as_bool(), json["replicas"].as_u64()), (Some(true), Some(2)));
    let wrong = plan(&["--collector.interval=soon"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--collector.interval"));
}
