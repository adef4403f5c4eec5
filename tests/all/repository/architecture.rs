//! The boundaries of the architecture, checked in the sources.

use std::path::{Path, PathBuf};

use crate::support::in_repository;

pub(super) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source line of code that holds `word`, outside comments and the given files.
fn lines_with(word: &str, folder: &str, except: &[&str]) -> Vec<String> {
    let root = in_repository("src");
    let mut files = Vec::new();
    let start = root.join(folder);
    if start.is_file() {
        files.push(start);
    } else {
        sources(&start, &mut files);
    }
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        if except.iter().any(|allowed| name.starts_with(allowed)) {
            continue;
        }
        for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
            if line.contains(word) && !line.trim_start().starts_with("//") {
                found.push(format!("src/{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

fn wall(word: &str, folder: &str, except: &[&str], why: &str) {
    let found = lines_with(word, folder, except);
    assert!(found.is_empty(), "{why}\n{}", found.join("\n"));
}

#[test]
fn reqwest_stays_behind_its_seam() {
    wall(
        "reqwest",
        "",
        &["api/http.rs", "logging.rs"],
        "Only api/http.rs names reqwest, so that tests can put a world in its place.",
    );
}

#[test]
fn tls_stays_at_the_edges() {
    wall(
        "rustls",
        "",
        &["main.rs", "logging.rs", "api/http.rs", "store/postgres/tls.rs"],
        "Only the clients of the API and of the database name rustls, as exporter-web does for the server; main.rs chooses \
         its cryptography.",
    );
}

#[test]
fn the_database_stays_in_the_store() {
    wall(
        "rusqlite",
        "",
        &["store/sqlite/"],
        "Only store/sqlite/ names the database, so that it can be another.",
    );
}

#[test]
fn the_driver_of_postgresql_stays_in_one_file() {
    wall(
        "tokio_postgres",
        "",
        &["store/postgres/driver.rs"],
        "Only store/postgres/driver.rs names the driver, so that it can be another.",
    );
}

#[test]
fn the_core_is_pure() {
    for word in ["tokio", "SystemTime", "Instant", "serde", "async", "std::fs", "std::net"] {
        wall(
            word,
            "domain",
            &[],
            "domain/ uses only std and itself: no clock, no I/O, no async, no serialisation.",
        );
    }
}

#[test]
fn the_core_imports_only_itself() {
    for line in lines_with("crate::", "domain", &[]) {
        assert!(line.contains("crate::domain"), "domain/ depends on std and itself.\n{line}");
    }
}

#[test]
fn policies_take_the_time_as_an_argument() {
    let policies = [
        "api/budget.rs",
        "api/retry.rs",
        "backfill/baseline.rs",
        "backfill/buckets.rs",
        "backfill/history.rs",
        "backfill/lines.rs",
        "backfill/openmetrics.rs",
        "backfill/range.rs",
        "backfill/readme.rs",
        "collect/backoff.rs",
        "collect/engine",
        "collect/fair.rs",
        "collect/full_listing.rs",
        "collect/read",
        "collect/read.rs",
        "collect/recheck.rs",
        "collect/server_clock.rs",
        "collect/sweep.rs",
        "feed/body.rs",
        "feed/event.rs",
        "feed/signature.rs",
        "feed/trust.rs",
        "lease",
    ];
    for file in policies {
        for word in ["::now()", "tokio", ".elapsed()", "async ", "Mutex", "tracing", "std::fs", "std::net"] {
            wall(
                word,
                file,
                // An answer carries the moments at which the client sent and received, whoever makes it up.
                &["collect/engine/tests.rs"],
                "What decides is pure: `now` and facts are arguments, and nothing is logged.",
            );
        }
    }
}

#[test]
fn every_module_imports_what_the_table_says_and_no_more() {
    // The table of ARCHITECTURE.md.
    for (module, allowed) in [
        ("api", &["domain", "clock", "secret"][..]),
        ("store", &["domain", "lease", "files", "privacy", "secret"]),
        ("lease", &[]),
        ("metrics", &["domain", "lease", "terminal"]),
        ("feed", &["web", "clock", "secret"]),
        ("collect", &["api", "store", "metrics", "domain", "lease", "clock", "feed"]),
        ("status", &["clock", "domain", "metrics"]),
        ("config", &["secret", "files", "paths", "privacy", "terminal"]),
        ("files.rs", &["privacy"]),
        ("terminal.rs", &[]),
        ("inspect.rs", &["api", "clock", "domain", "terminal"]),
        ("plan", &["collect", "api", "domain", "metrics"]),
        ("backfill", &["api", "clock", "collect", "store", "metrics", "domain", "privacy"]),
    ] {
        for line in lines_with("crate::", module, &[]) {
            let of_line = line.split("crate::").skip(1);
            for named in of_line.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()) {
                let named = named.unwrap_or_default();
                let own = module.trim_end_matches(".rs");
                assert!(
                    named == own || allowed.contains(&named),
                    "{module} must not import {named}: what they share goes through collect/ or app/.\n{line}"
                );
            }
        }
    }
}

#[test]
fn only_the_demo_starts_the_simulator() {
    wall(
        "simulator",
        "",
        &["app/demo.rs", "lib.rs", "logging.rs", "config/"],
        "Only app/demo.rs starts the simulator.",
    );
}
