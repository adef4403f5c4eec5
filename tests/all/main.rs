//! What is tested from outside: one binary, one module per question.

#[cfg(feature = "mutants")]
mod mutants;
mod simulation;
