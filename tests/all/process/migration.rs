//! State files of released versions: each opens, is migrated once, and every count continues.

use std::collections::BTreeMap;

use crate::process::hardening::FakeApi;
use crate::support::{Page, Process, command, in_repository};

/// Families that move although nothing is read: what the exporter itself does.
const MOVING: [&str; 6] = [
    "blooio_api_requests_total",
    "blooio_api_request_duration_seconds",
    "blooio_api_throttled_seconds_total",
    "blooio_collection_sweeps_total",
    "blooio_collection_duration_seconds",
    "blooio_state_commit_duration_seconds",
];

/// What must be the same before and after: every counter and histogram, and the gauges of open messages.
fn lasting(page: &Page) -> BTreeMap<String, f64> {
    let kept = |name: &str| {
        let family = name.split('{').next().unwrap();
        let counted = ["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| family.ends_with(suffix));
        let open =
            ["blooio_outbound_open_messages", "blooio_outbound_open_history_messages"].contains(&family);
        family.starts_with("blooio_")
            && (counted || open)
            && !MOVING.iter().any(|moving| family.starts_with(moving))
    };
    page.samples.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), *value)).collect()
}

/// The state file and the page were written by the released 0.1.0, at the same moment.
#[test]
fn a_state_of_version_0_1_opens_is_migrated_once_and_every_count_continues() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    std::fs::copy(in_repository("tests/fixtures/state-0.1.0.db"), &state).unwrap();
    let before = std::fs::read_to_string(in_repository("tests/fixtures/state-0.1.0.metrics")).unwrap();
    let before = lasting(&Page::parse(&before));
    assert!(before.len() > 400, "{} series", before.len());
    // It fails every request, so that nothing but the state file fills the page.
    let api = FakeApi::start(|_| {
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
    });
    for start in 1..=2 {
        let exporter = Process::start(command(&api.base_url(), &state, &[]));
        let page = exporter.page();
        let now = lasting(&page);
        for (name, value) in &before {
            // A sum of floating-point numbers is written as it is held: nothing is rounded on the way.
            assert_eq!(now.get(name), Some(value), "start {start}: {name}");
        }
        assert_eq!(exporter.log().contains("state file migrated"), start == 1, "{}", exporter.log());
        exporter.stop();
    }
}
