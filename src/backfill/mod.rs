//! The history of accounts as OpenMetrics text, for Prometheus and its relatives to import.
//!
//! The exporter's counters hold the messages sent after the account's baseline, and these files those sent up to it: the two
//! never overlap. What a message counts as is decided by the ledger's own rules.
//!
//! | file | holds |
//! |---|---|
//! | `range`, `buckets`, `history`, `lines`, `openmetrics`, `baseline`, `readme` | what decides: pure |
//! | `reader` | asks the API, chat by chat |
//! | `outage` | how long an API that does not answer is waited for |
//! | `journal` | the resume file |
//! | `directory` | the files that are made |
//! | `progress` | the bar, or log lines |
//! | `run` | all of it together |
//!
//! Here does not belong: flags, and where a baseline is read from (`app`).

pub mod baseline;
pub mod buckets;
pub mod directory;
pub mod history;
pub mod journal;
pub mod lines;
pub mod openmetrics;
pub mod outage;
pub mod progress;
pub mod range;
pub mod reader;
pub mod readme;
pub mod run;

pub use run::{Job, JobAccount, Report, run};

/// Why there are no files: one line for the person who asked for them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);
