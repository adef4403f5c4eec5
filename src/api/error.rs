//! Errors that answer questions: what happened, to what, and whether to try again.
//!
//! They carry an operation, a class and a place; never a payload, and never a URL, which may hold a number.

use std::fmt;
use std::time::Duration;

use super::decode::BodyFault;
use crate::domain::{Code, Endpoint};

/// Why there was no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with a status other than 200.
    Status(u16),
    /// Answered 429; `coded` when the body names a cause that is about sending, not about reading.
    RateLimited {
        /// Whether the body carries a `code`.
        coded: bool,
    },
    /// No complete answer in time.
    Timeout,
    /// No connection, or it ended before the answer began.
    Connection,
    /// Answered 200 with something else than documented.
    Body(BodyFault),
}

/// A request that failed, after its last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What was asked.
    pub endpoint: Endpoint,
    /// How it failed.
    pub fault: Fault,
    /// How long the API asked to wait, where it did.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// The `code` label.
    pub fn code(self) -> Code {
        match self {
            Fault::Status(status) => Code::Status(status),
            Fault::RateLimited { .. } => Code::Status(429),
            Fault::Timeout => Code::Timeout,
            Fault::Connection => Code::Connection,
            Fault::Body(_) => Code::Body,
        }
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_retryable(self) -> bool {
        match self {
            Fault::Status(status) => matches!(status, 408 | 500 | 502 | 503 | 504),
            Fault::RateLimited { .. } | Fault::Timeout | Fault::Connection | Fault::Body(_) => true,
        }
    }
}

impl ApiError {
    /// The key was refused.
    pub fn is_auth(&self) -> bool {
        matches!(self.fault, Fault::Status(401 | 403))
    }

    /// What was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        self.fault == Fault::Status(404)
    }

    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        match self.fault {
            Fault::Status(401) => "check the API key; a changed key file is read again by itself",
            Fault::Status(403) => "the key may not read this; check its scope",
            Fault::Status(404) if self.endpoint == Endpoint::ListChats => "check --blooio.base-url",
            // Only a probe goes on to a device; of everything else these speak of the API itself.
            Fault::Status(502) if self.endpoint == Endpoint::GetBackground => {
                "the device of the line did not answer; it may be asleep or offline"
            }
            Fault::Status(503) if self.endpoint == Endpoint::GetBackground => {
                "no active number; check the line in the dashboard of Blooio"
            }
            Fault::RateLimited { .. } => "requests pause; lower --api.budget if this goes on",
            Fault::Timeout => "raise --api.timeout if the API is merely slow",
            Fault::Connection => "check the network, DNS and --blooio.base-url",
            Fault::Body(_) => "check --blooio.base-url; something else than the Blooio API may be answering",
            Fault::Status(500..) => "Blooio is in trouble; it is tried again",
            Fault::Status(_) => "it is tried again",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Status(status) => write!(f, "answered {status}"),
            Fault::RateLimited { coded: false } => f.write_str("answered 429, too many requests"),
            Fault::RateLimited { coded: true } => {
                f.write_str("answered 429 with a cause that is about sending")
            }
            Fault::Timeout => f.write_str("did not answer in time"),
            Fault::Connection => f.write_str("could not be reached"),
            Fault::Body(fault) => write!(f, "answered 200 with {fault}"),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.endpoint.as_str(), self.fault)
    }
}

impl std::error::Error for ApiError {}
