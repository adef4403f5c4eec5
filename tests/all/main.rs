//! What is tested from outside, against a simulated API: one binary, one module per question.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it found"
)]

mod accounts;
mod alerting;
mod architecture;
mod attack;
mod backfill;
mod child;
mod crashes;
mod dashboards;
mod documents;
mod doubt;
mod extremes;
mod fault_matrix;
mod feed;
mod fuzz_corpus;
mod hardening;
mod harness;
mod inputs;
mod inspect;
#[allow(dead_code, reason = "shared with benches/load.rs")]
mod load;
mod migration;
mod output;
mod packaging;
mod page;
mod plan;
mod privacy_under_faults;
mod prometheus;
mod reference;
mod runbooks;
mod scenarios;
mod security;
mod simulation;
mod soak;
mod startup;
mod status_page;
mod stores;
mod truth;
mod webhooks;
