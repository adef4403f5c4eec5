//! The documents of the repository name what exists: files, links and metrics.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use blooio_exporter::config::Cli;
use clap::CommandFactory as _;

use crate::support::in_repository;

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The documents for people, as paths.
fn documents() -> Vec<PathBuf> {
    let files = |folder: &str| {
        let entries = std::fs::read_dir(in_repository(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "md"))
    };
    [".", "docs", "alerts", "dashboards"].into_iter().flat_map(files).collect()
}

/// What stands between backticks on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for document in documents() {
        let text = read(&document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if link.starts_with("http") || file.is_empty() {
                continue;
            }
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link}", document.display());
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed} links");
}

#[test]
fn every_file_that_the_map_names_exists() {
    let map = read(&in_repository("ARCHITECTURE.md"));
    let roots = ["src/", "crates/", "tests/", "alerts/", "dashboards/", "packaging/", "benches/", "docs/"];
    let named: Vec<&str> = quoted(&map)
        .filter(|word| roots.iter().any(|root| word.starts_with(root)) && !word.contains(' '))
        .collect();
    let missing: Vec<_> = named.iter().filter(|path| !in_repository(path).exists()).collect();
    assert!(missing.is_empty() && named.len() > 40, "{missing:?} of {}", named.len());
}

#[test]
fn every_metric_that_a_page_names_is_in_the_reference() {
    let reference = read(&in_repository("docs/metrics.md"));
    let mut named = 0;
    for page in [
        "README.md",
        "SECURITY.md",
        "docs/limits.md",
        "docs/troubleshooting.md",
        "docs/configuration.md",
        "docs/sizing.md",
    ] {
        for word in quoted(&read(&in_repository(page))) {
            let name: &str = word.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            if name.starts_with("blooio_") && !name.ends_with('_') {
                assert!(reference.contains(&format!("`{name}`")), "{page}: {name}");
                named += 1;
            }
        }
    }
    assert!(named > 15, "{named} names");
}

#[test]
fn every_command_that_a_document_names_exists() {
    let cli = Cli::command();
    let mut named = 0;
    for document in documents() {
        let text = read(&document);
        let words = quoted(&text).filter_map(|words| words.strip_prefix("blooio-exporter "));
        for word in words.filter_map(|words| words.split(' ').next()) {
            let is_known = match word.strip_prefix("--") {
                Some(flag) => flag_names(&cli).any(|known| known == flag),
                None => cli.find_subcommand(word).is_some(),
            };
            assert!(is_known, "{}: blooio-exporter {word}", document.display());
            named += 1;
        }
    }
    assert!(named > 15, "{named} commands");
}

/// The long names of the flags of `serve`, which need no command before them.
fn flag_names(cli: &clap::Command) -> impl Iterator<Item = &str> {
    let serve = cli.find_subcommand("serve").unwrap();
    serve.get_arguments().filter_map(clap::Arg::get_long)
}

#[test]
fn the_readme_is_short() {
    let lines = read(&in_repository("README.md")).lines().count();
    assert!(lines <= 200, "{lines} lines; details belong in docs/");
}

/// Every test of a sequence in which the API misleads stands in the table of them, and the table names no other.
#[test]
fn every_test_of_a_misleading_sequence_is_in_the_table() {
    let folder = in_repository("tests/all/process/doubt");
    let modules = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources: String =
        modules.chain([in_repository("tests/all/process/doubt.rs")]).map(|p| read(&p)).collect();
    let written: BTreeSet<&str> = sources
        .split("fn row_")
        .skip(1)
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    let text = read(&in_repository("RELIABILITY.md"));
    let named: BTreeSet<&str> = quoted(&text).filter_map(|name| name.strip_prefix("row_")).collect();
    assert!(written.len() > 40, "{written:?}");
    assert_eq!(written.symmetric_difference(&named).collect::<Vec<_>>(), [&""; 0]);
}
