//! `tests/golden/page.metrics`: the whole page of a simulated account after an hour. A change of any family, label, bucket or
//! value shows as a difference of that file; `BLESS=1 cargo test --test all golden` writes it again.

use std::time::Duration;

use blooio_exporter::metrics::exposition::About;
use blooio_exporter::metrics::{MetricsPage, Registry, Syntax};
use blooio_exporter::simulator::Setup;
use tokio::time::sleep;

use crate::support::in_repository;
use crate::support::load::{Live, in_virtual_time, options};

const HOUR: Duration = Duration::from_secs(3_600);

/// A small account: two lines, everything that can become of a message, and devices that answer.
fn account() -> Setup {
    Setup {
        lines: 2,
        chats: 12,
        history_messages: 60,
        inbound_per_minute: 1.0,
        outbound_per_minute: 2.0,
        ..Setup::small(7)
    }
}

/// The page without what depends on the machine: the families of the process.
async fn page() -> String {
    let live = Live::new(account(), options());
    live.watch(sleep(HOUR)).await;
    let registry = Registry::default();
    registry.change(|display| {
        display.slots = vec![live.slot()];
        display.window_seconds = HOUR.as_secs_f64();
        display.configured = true;
    });
    let about = About { version: "0.0.0", revision: "golden", rustc: "1.0.0" };
    let page = MetricsPage::new(registry, about).encode(Syntax::Text, live.now(), None).unwrap();
    let text = String::from_utf8(page.to_vec()).unwrap();
    let of_process = |line: &&str| {
        line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with("process_")
    };
    text.lines().filter(|line| !of_process(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_page_is_the_committed_one() {
    let (first, second) = (in_virtual_time(page()), in_virtual_time(page()));
    assert!(first == second, "the same world gives the same page");
    let path = in_repository("tests/golden/page.metrics");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &first).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(first.lines()).find(|(committed, now)| committed != now);
    assert!(
        committed == first,
        "the page changed; if that is intended, run `BLESS=1 cargo test --test all golden` and read the difference: {differs:?}"
    );
}
