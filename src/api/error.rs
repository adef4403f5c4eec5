//! Errors that answer questions: what happened, to what, and whether to try again.
//!
//! They carry an operation, a class and a place; never a payload, and never a URL, which may hold a number.

use std::time::Duration;

use super::decode::BodyFault;
use crate::domain::{Code, Endpoint};

/// Why there was no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Answered with a status other than 200.
    #[error("answered {0}")]
    Status(u16),
    /// Answered 429; `coded` when the body names a cause that is about sending, not about reading.
    #[error("answered 429{}", if *coded { " with a cause that is about sending" } else { ", too many requests" })]
    RateLimited {
        /// Whether the body carries a `code`.
        coded: bool,
    },
    /// No complete answer in time.
    #[error("did not answer in time")]
    Timeout,
    /// No connection, or it ended before the answer began.
    #[error("could not be reached: {0}")]
    Connection(#[source] ConnectionFault),
    /// Answered 200 with something else than documented.
    #[error("answered 200 with {0}")]
    Body(#[source] BodyFault),
}

/// At which step a connection failed. Without data, so that a fault stays cheap to copy and to compare: the log is
/// deduplicated by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionFault {
    /// The host name could not be resolved.
    #[error("its host name could not be resolved")]
    NameResolution,
    /// Nothing listens at the address, or a firewall rejects the connection.
    #[error("the connection was refused")]
    Refused,
    /// There is no route to the address.
    #[error("there is no route to it")]
    Unreachable,
    /// The server's certificate has expired.
    #[error("its certificate has expired")]
    CertificateExpired,
    /// The server's certificate is not valid yet: one of the two clocks is wrong.
    #[error("its certificate is not valid yet")]
    CertificateNotYetValid,
    /// The server's certificate is not signed by a known authority.
    #[error("its certificate is not signed by a known authority")]
    CertificateUnknown,
    /// The server's certificate is for another host name.
    #[error("its certificate is for another host name")]
    CertificateName,
    /// The server's certificate cannot be used for another reason.
    #[error("its certificate is invalid")]
    CertificateOther,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls,
    /// The connection was reset or closed before the answer began.
    #[error("the connection was closed before the answer began")]
    Closed,
    /// The connection failed in a way that has no class of its own.
    #[error("the connection failed")]
    Other,
}

impl ConnectionFault {
    /// Every fault, for tables and tests.
    pub const ALL: [ConnectionFault; 11] = [
        ConnectionFault::NameResolution,
        ConnectionFault::Refused,
        ConnectionFault::Unreachable,
        ConnectionFault::CertificateExpired,
        ConnectionFault::CertificateNotYetValid,
        ConnectionFault::CertificateUnknown,
        ConnectionFault::CertificateName,
        ConnectionFault::CertificateOther,
        ConnectionFault::Tls,
        ConnectionFault::Closed,
        ConnectionFault::Other,
    ];

    /// The value of the field `cause` in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConnectionFault::NameResolution => "name_resolution",
            ConnectionFault::Refused => "connection_refused",
            ConnectionFault::Unreachable => "network_unreachable",
            ConnectionFault::CertificateExpired => "certificate_expired",
            ConnectionFault::CertificateNotYetValid => "certificate_not_yet_valid",
            ConnectionFault::CertificateUnknown => "certificate_unknown_issuer",
            ConnectionFault::CertificateName => "certificate_wrong_name",
            ConnectionFault::CertificateOther => "certificate_invalid",
            ConnectionFault::Tls => "tls_handshake",
            ConnectionFault::Closed => "connection_closed",
            ConnectionFault::Other => "connection",
        }
    }

    /// What a person can do about it.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            ConnectionFault::NameResolution => "check DNS and the host name in --blooio.base-url",
            ConnectionFault::Refused => "check the port in --blooio.base-url, and firewalls",
            ConnectionFault::Unreachable => "check the network and the route to the API",
            ConnectionFault::CertificateExpired | ConnectionFault::CertificateNotYetValid => {
                "check this machine's clock; if it is right, the API's certificate has to be renewed"
            }
            ConnectionFault::CertificateUnknown => {
                "check --blooio.base-url; a proxy that intercepts TLS may be answering"
            }
            ConnectionFault::CertificateName => "check the host name in --blooio.base-url",
            ConnectionFault::CertificateOther | ConnectionFault::Tls => {
                "check --blooio.base-url; something other than the Blooio API may be answering"
            }
            ConnectionFault::Closed => {
                "check the network between here and the API; proxies often close connections"
            }
            ConnectionFault::Other => "check the network, DNS and --blooio.base-url",
        }
    }
}

/// A request that failed, after its last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {fault}", endpoint.as_str())]
pub struct ApiError {
    /// The endpoint that was asked.
    pub endpoint: Endpoint,
    /// The class of the failure.
    #[source]
    pub fault: Fault,
    /// How long the API asked to wait, where it did.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// The value of the label `code`.
    pub fn code(self) -> Code {
        match self {
            Fault::Status(status) => Code::Status(status),
            Fault::RateLimited { .. } => Code::Status(429),
            Fault::Timeout => Code::Timeout,
            Fault::Connection(_) => Code::Connection,
            Fault::Body(_) => Code::Body,
        }
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_retryable(self) -> bool {
        match self {
            Fault::Status(status) => matches!(status, 408 | 500 | 502 | 503 | 504),
            Fault::RateLimited { .. } | Fault::Timeout | Fault::Connection(_) | Fault::Body(_) => true,
        }
    }
}

impl Fault {
    /// The value of the field `cause` in a log line: one word for what failed, without data.
    pub fn cause(self) -> &'static str {
        match self {
            Fault::Status(401 | 403) => "key_rejected",
            Fault::Status(_) => "status",
            Fault::RateLimited { .. } => "rate_limited",
            Fault::Timeout => "timeout",
            Fault::Connection(fault) => fault.as_str(),
            Fault::Body(fault) => fault.as_str(),
        }
    }
}

impl ApiError {
    /// The key was rejected.
    pub fn is_auth(&self) -> bool {
        matches!(self.fault, Fault::Status(401 | 403))
    }

    /// There were too many requests.
    pub fn is_rate_limit(&self) -> bool {
        matches!(self.fault, Fault::RateLimited { .. })
    }

    /// What was asked for is not there, or not any more.
    pub fn is_not_found(&self) -> bool {
        matches!(self.fault, Fault::Status(404 | 410))
    }

    /// The server does not know what was asked for, as far as it says: a list may have named what never was a chat, and not every
    /// server answers 404 to that.
    pub fn denies(&self) -> bool {
        self.is_not_found() || matches!(self.fault, Fault::Status(400 | 422))
    }

    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        match self.fault {
            Fault::Status(401) => "check the API key",
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
            Fault::Connection(fault) => fault.advice(),
            Fault::Body(BodyFault::TooLarge | BodyFault::TooManyRows) => {
                "the answer exceeds a limit of SECURITY.md; check --blooio.base-url"
            }
            Fault::Body(_) => "check --blooio.base-url; something other than the Blooio API may be answering",
            Fault::Status(500..) => "Blooio returned a server error; retrying",
            Fault::Status(404) => "Blooio has nothing under this id; it may have been deleted",
            Fault::Status(_) => "Blooio did not accept the request; check --blooio.base-url",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_cause_has_its_own_word_and_sentence() {
        let faults: Vec<Fault> =
            ConnectionFault::ALL.into_iter().map(Fault::Connection).chain([Fault::Timeout]).collect();
        let words: BTreeSet<_> = faults.iter().map(|fault| fault.cause()).collect();
        let sentences: BTreeSet<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!((words.len(), sentences.len()), (faults.len(), faults.len()));
    }
}
