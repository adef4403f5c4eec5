//! What is tested from outside: one binary, one module per question.

mod simulation;
