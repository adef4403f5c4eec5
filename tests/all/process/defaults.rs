//! A scenario of the simulator and a collector at the settings that both have by default, without faults.

use std::collections::BTreeMap;
use std::time::Duration;

use blooio_exporter::collect::Options;
use blooio_exporter::config::{Api, CollectorSettings, Conversation, Probe};
use blooio_exporter::domain::{Counter, SweepResult};
use blooio_exporter::simulator::{self, Setup};
use tokio::time::sleep;

use crate::support::load::{Live, in_virtual_time};

const START: i64 = 1_800_000_000_000;
/// What a run lasts.
const MINUTES: u64 = 60;

/// What an exporter collects by when it is given no option.
fn options() -> Options {
    let collector = CollectorSettings::default();
    Options {
        interval: collector.interval,
        full_interval: collector.full_interval,
        window: collector.window,
        lookback: collector.lookback,
        retention: collector.retention,
        audit_interval: collector.audit_interval,
        horizon: collector.horizon,
        conversation_turn: Conversation::default().turn,
        probe_interval: Probe::default().interval,
        probe_chats: Probe::default().chats,
        budget: Api::default().budget,
    }
}

/// Sweeps of a first hour, by result.
fn sweeps(name: &str, seed: u64) -> BTreeMap<SweepResult, u64> {
    let scenario = simulator::scenario(name).unwrap();
    assert!(scenario.faults.is_empty(), "{name} has faults");
    in_virtual_time(async {
        let live = Live::new(Setup { seed, start_ms: START, ..scenario.setup }, options());
        live.watch(sleep(Duration::from_secs(60 * MINUTES))).await;
        let of = |result| live.count(|counter| *counter == Counter::Sweeps { result });
        SweepResult::ALL.iter().map(|result| (*result, of(*result))).collect()
    })
}

#[test]
fn the_healthy_scenario_completes_its_sweeps_at_default_settings() {
    for seed in [1, 2, 3] {
        let by_result = sweeps("healthy", seed);
        let (all, complete) = (by_result.values().sum::<u64>(), by_result[&SweepResult::Complete]);
        // One every 30 seconds, or close to it.
        assert!(all >= MINUTES * 2 * 9 / 10, "seed {seed}: {by_result:?}");
        assert!(complete * 10 >= all * 9, "seed {seed}: {by_result:?}");
    }
}
