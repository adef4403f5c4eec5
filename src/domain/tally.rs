//! What happened on the way to the messages: requests, waits, sweeps. Facts, named in the past tense;
//! the ledger turns them into totals.

use super::vocabulary::{Code, Endpoint};

/// Why a request had to wait before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The configured ceiling of requests per second.
    Budget,
    /// The API asked for a pause (429).
    RetryAfter,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 2] = [Cause::Budget, Cause::RetryAfter];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Budget => "budget",
            Cause::RetryAfter => "retry_after",
        }
    }
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SweepResult {
    /// The list was read and every changed chat in it too.
    Complete,
    /// The list was read; some changed chats could not be, or were left for later by the budget.
    Partial,
    /// The list could not be read, or the state could not be written.
    Failed,
}

impl SweepResult {
    /// Every result.
    pub const ALL: [SweepResult; 3] = [SweepResult::Complete, SweepResult::Partial, SweepResult::Failed];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            SweepResult::Complete => "complete",
            SweepResult::Partial => "partial",
            SweepResult::Failed => "failed",
        }
    }
}

/// What the client did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ApiEvent {
    /// One attempt of a request ended.
    Attempted {
        /// Of what.
        endpoint: Endpoint,
        /// How.
        code: Code,
        /// Seconds from sending until the body was read.
        seconds: f64,
    },
    /// A request waited before it was sent.
    Waited {
        /// Why.
        cause: Cause,
        /// How long, in milliseconds.
        millis: u64,
    },
}
