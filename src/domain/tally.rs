//! What happened on the way to the messages: requests, waits, sweeps. Facts, named in the past tense;
//! the ledger turns them into totals.

use super::vocabulary::{Code, Endpoint, Work, vocabulary};

vocabulary! {
    /// Why a request had to wait before it was sent.
    Cause {
        /// The configured ceiling of requests per second.
        Budget = 0 "budget",
        /// The API asked for a pause (429).
        RetryAfter = 1 "retry_after",
    }
}

vocabulary! {
    /// How a sweep ended.
    SweepResult {
        /// The list was read and every changed chat in it too.
        Complete = 0 "complete",
        /// The list was read; some of what it named could not be, or not in time.
        Partial = 1 "partial",
        /// The list could not be read, or the state could not be written.
        Failed = 2 "failed",
    }
}

vocabulary! {
    /// What of a message the webhook feed did not announce.
    Unannounced {
        /// That there is one.
        Message = 0 "message",
        /// How a message ended.
        End = 1 "end",
    }
}

/// What the client did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ApiEvent {
    /// One attempt of a request ended.
    Attempted {
        /// The endpoint that was asked.
        endpoint: Endpoint,
        /// What it was for.
        work: Work,
        /// How the request ended.
        code: Code,
        /// Seconds from sending until the body was read.
        seconds: f64,
    },
    /// A request waited before it was sent.
    Waited {
        /// Why the request waited.
        cause: Cause,
        /// How long, in milliseconds.
        millis: u64,
    },
}
