//! I10: nothing private is in a log line, on a page or in the state, whatever goes wrong.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use blooio_exporter::simulator::{FaultKind, Knobs, Setting, Setup, Shares, Tuning, faults};

use crate::process::crashes::serve;
use crate::process::fault_matrix::bytes_in;
use crate::support::{Process, command};

/// Fails when one of the private values is in one of the texts or in a file of the folder.
pub(crate) fn assert_no_leak<'a>(
    name: &str,
    texts: &[&str],
    folder: &Path,
    private: impl Iterator<Item = &'a str>,
) {
    let bytes = bytes_in(folder);
    let state = String::from_utf8_lossy(&bytes);
    for value in private {
        for (n, text) in texts.iter().enumerate() {
            assert!(!text.contains(value), "{name}: {value} is in text {n}");
        }
        assert!(!state.contains(value), "{name}: {value} is in the state");
    }
}

#[test]
fn no_fault_of_the_simulator_brings_anything_private_out() {
    let served = serve(Setup {
        chats: 25,
        history_messages: 300,
        inbound_per_minute: 300.0,
        outbound_per_minute: 300.0,
        pace: 20.0,
        shares: Shares { failed: 0.3, odd: 0.05, unusable: 0.05, ..Shares::default() },
        knobs: Knobs { extra_fields: 0.1, dropped_keys: 0.1, ..Knobs::default() },
        ..Setup::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--collector.interval=200ms",
        "--collector.full-interval=1s",
        "--api.budget=100",
        "--api.timeout=300ms",
        "--probe.interval=500ms",
    ];
    let exporter = Process::start(command(&served.base_url, &folder.path().join("state.db"), &options));
    exporter.wait_for("a sweep", |page| page.sum("blooio_up") == 1.0);
    let mut pages = String::new();
    for (name, _, _) in faults() {
        // Half of the requests fail, so that good answers and bad ones meet. Pauses would take too long.
        let kind = FaultKind::named(name).unwrap();
        let half = |setting| kind.takes(setting).then_some(0.5);
        let (share, value) = (half(Setting::Share), half(Setting::Value));
        let tuning = Tuning { share, value, ..Tuning::default() };
        served.world.lock().unwrap().switch_on(name, tuning).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        pages += &exporter.get("/metrics").unwrap();
        pages += &exporter.get("/").unwrap();
        served.world.lock().unwrap().switch_off(name);
    }
    let log = exporter.kill();
    let world = served.world.lock().unwrap();
    let key = world.setup().key.clone();
    // Two that are too short to be looked for would be found in any text.
    let private: HashSet<String> =
        world.private_values().into_iter().filter(|value| value.len() > 6).collect();
    assert!(private.len() > 1_000);
    assert!(!log.contains("panicked"), "{log}");
    let values = private.iter().map(String::as_str).chain([key.as_str()]);
    assert_no_leak("the simulator's faults", &[&pages, &log], folder.path(), values);
    println!("{} private values, none seen", private.len() + 1);
}
