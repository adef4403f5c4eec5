//! What is tested from outside: one binary, one module per question.

mod child;
mod crashes;
#[cfg(feature = "mutants")]
mod mutants;
mod simulation;
