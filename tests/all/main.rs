//! What is tested from outside: one binary, one module per question.

mod child;
mod crashes;
mod fault_matrix;
mod fuzz_corpus;
#[cfg(feature = "mutants")]
mod mutants;
mod privacy_under_faults;
mod simulation;
mod soak;
