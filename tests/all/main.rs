//! What is tested from outside: one binary, one module per question.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it found"
)]

mod child;
mod crashes;
mod fault_matrix;
mod fuzz_corpus;
#[cfg(feature = "mutants")]
mod mutants;
mod privacy_under_faults;
mod simulation;
mod soak;
