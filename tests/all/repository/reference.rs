//! `docs/metrics.md`, `docs/metrics.json` and the page say the same as the catalogue.

use blooio_exporter::metrics::{catalogue, reference};

use crate::support::in_repository;

#[test]
fn docs_metrics_md_is_what_the_catalogue_says() {
    let path = in_repository("docs/metrics.md");
    let text = reference::markdown(
        "Generated from `src/metrics/catalogue.rs` by `BLESS=1 cargo test --test all reference`; do not edit.\n\n",
    );
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "docs/metrics.md is stale: run `BLESS=1 cargo test --test all reference`");
}

#[test]
fn docs_metrics_json_says_the_same_for_programs() {
    let path = in_repository("docs/metrics.json");
    let text = reference::json();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, text, "docs/metrics.json is stale: run `BLESS=1 cargo test --test all reference`");
}

#[test]
fn the_contract_is_whole() {
    // Dashboards, alerts and users' own rules rely on these.
    const CONTRACT: &str = include_str!("contract.txt");
    for line in CONTRACT.lines().filter(|line| !line.is_empty()) {
        let (name, labels) = line.split_once(' ').unwrap_or((line, ""));
        let family = catalogue::all().find(|family| family.sample_name() == name);
        let family = family.unwrap_or_else(|| panic!("{name} is missing from the catalogue"));
        assert_eq!(family.labels.join(" "), labels, "labels of {name}");
    }
}
