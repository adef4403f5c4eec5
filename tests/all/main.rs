//! What is tested from outside, against a simulated API: one binary, so that it links once.
//!
//! `support` has the harness, `simulation` lives in virtual time, `process` runs the program, `chain` runs it with Prometheus,
//! Alertmanager and dashboards, `repository` reads the sources, the documents and the packages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it found"
)]

mod chain;
mod process;
mod repository;
mod simulation;
mod stores;
mod support;
