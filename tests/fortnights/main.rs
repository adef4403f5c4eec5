//! Fortnights on a virtual clock: lines decay next to healthy ones, and the shipped rules must warn before the first
//! page about failures.
//!
//! `BLOOIO_FORTNIGHTS=1001..1100 cargo test --test fortnights -- --nocapture decay` prints the tables of
//! docs/early-warning.md for these seeds; without the variable a few seeds are tried.
//!
//! The simulator's account of what happened becomes the exporter's series (`series`, compared with the real collector),
//! and these are evaluated under the rules as shipped (`rules`, `promql`, `evaluate`, compared with promtool).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: a panic is its failure, and the tables are what it is read for"
)]

mod decay;
mod evaluate;
#[allow(dead_code, reason = "shared with the benchmark of load")]
#[path = "../all/support/load.rs"]
mod load;
mod promql;
mod proof;
mod rules;
mod series;
