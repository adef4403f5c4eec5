//! What can be broken while the world runs.
//!
//! A fault is switched on by name and stays until it is switched off. Faults of the API hit requests; faults of the
//! world change what happens to messages and lines.

use super::answer::Endpoint;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each kind is described by its sentence")]
pub enum FaultKind {
    RateLimitSeconds,
    RateLimitDate,
    RateLimitBare,
    RateLimitCode,
    Http500,
    Http502,
    Http503,
    Unauthorized,
    Forbidden,
    Html200,
    Empty200,
    ErrorObject200,
    TruncatedJson,
    TruncatedClose,
    TruncatedNoLength,
    Reset,
    SlowHead,
    SlowBody,
    Hang,
    NoNumbers,
    VanishedLine,
    DeviceDown,
    NoActiveDevice,
    AllFail,
    AllFallback,
    SlowDelivery,
    NoReceipts,
    Stuck,
    Silent,
}

use FaultKind as F;

/// Every kind with its name, what `value` means for it, and what it does.
const TABLE: &[(FaultKind, &str, &str, &str)] = &[
    (
        F::RateLimitSeconds,
        "rate-limit-seconds",
        "seconds, default 10",
        "Answers 429 with Retry-After as a number.",
    ),
    (F::RateLimitDate, "rate-limit-date", "seconds, default 10", "Answers 429 with Retry-After as a date."),
    (F::RateLimitBare, "rate-limit-bare", "", "Answers 429 and does not say when to come back."),
    (
        F::RateLimitCode,
        "rate-limit-code",
        "",
        "Answers 429 with a code that is about sending and says nothing about reading.",
    ),
    (F::Http500, "http-500", "", "Answers 500."),
    (F::Http502, "http-502", "", "Answers 502."),
    (F::Http503, "http-503", "", "Answers 503."),
    (
        F::Unauthorized,
        "unauthorized",
        "",
        "Answers 401 although the key is right, as if it had been revoked.",
    ),
    (F::Forbidden, "forbidden", "", "Answers 403."),
    (F::Html200, "html-200", "", "Answers 200 with an HTML page, as a captive proxy does."),
    (F::Empty200, "empty-200", "", "Answers 200 with an empty body."),
    (F::ErrorObject200, "error-object-200", "", "Answers 200 with the object that describes an error."),
    (F::TruncatedJson, "truncated-json", "", "Answers 200 with a complete body that holds half of the JSON."),
    (
        F::TruncatedClose,
        "truncated-close",
        "",
        "Announces the full length, sends half of it and closes the connection.",
    ),
    (
        F::TruncatedNoLength,
        "truncated-no-length",
        "",
        "Announces no length, sends half of the body and closes the connection.",
    ),
    (F::Reset, "reset", "", "Resets the connection instead of answering."),
    (F::SlowHead, "slow-head", "seconds, default 5", "Waits before it sends the head of the answer."),
    (
        F::SlowBody,
        "slow-body",
        "seconds, default 5",
        "Sends the head at once and the body in drops over this time.",
    ),
    (F::Hang, "hang", "", "Never answers and keeps the connection open."),
    (F::NoNumbers, "no-numbers", "", "Answers 404 on /me/numbers, as an API without this path would."),
    (F::VanishedLine, "vanished-line", "", "Leaves the line (or all lines) out of /me/numbers."),
    (
        F::DeviceDown,
        "device-down",
        "",
        "The line's device is away: backgrounds answer 502, its messages stay queued, last_active freezes.",
    ),
    (F::NoActiveDevice, "no-active-device", "", "Backgrounds answer 503."),
    (F::AllFail, "all-fail", "share, default 1", "New outbound messages end failed."),
    (F::AllFallback, "all-fallback", "share, default 1", "New outbound messages fall back from iMessage."),
    (
        F::SlowDelivery,
        "slow-delivery",
        "factor, default 10",
        "Everything a message does takes so many times longer.",
    ),
    (F::NoReceipts, "no-receipts", "", "What is handed over stays at sent: no receipt ever comes."),
    (F::Stuck, "stuck", "", "Messages of the line stay queued although its device seems well."),
    (F::Silent, "silent", "", "No new messages, in either direction."),
];

/// Every fault: its name, what its `value` means (empty when it has none), and one sentence.
pub fn faults() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABLE.iter().map(|&(_, name, value, sentence)| (name, value, sentence))
}

impl FaultKind {
    /// The fault of this name.
    pub fn named(name: &str) -> Option<FaultKind> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The name it is switched on by.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// Whether it hits requests, rather than messages and lines.
    fn hits_requests(self) -> bool {
        self < FaultKind::NoNumbers
    }
}

/// How a fault is narrowed down. The default hits everything, always, with the value its sentence names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// What it means depends on the fault: seconds, a share, a factor.
    pub value: Option<f64>,
    /// Share of requests that are hit (0 to 1); everything when absent. Of the faults of the world only
    /// `no-active-device` heeds it, and those whose value is a share take it for the value.
    pub share: Option<f64>,
    /// Only this line of the organisation. For faults of requests: only requests about chats of this line.
    pub line: Option<String>,
    /// Only this endpoint. Faults of the world do not heed it.
    pub endpoint: Option<Endpoint>,
}

impl Tuning {
    /// Only a share of the requests.
    pub fn share(share: f64) -> Tuning {
        Tuning { share: Some(share), ..Tuning::default() }
    }

    /// With this value.
    pub fn value(value: f64) -> Tuning {
        Tuning { value: Some(value), ..Tuning::default() }
    }

    /// Only this line.
    pub fn line(line: &str) -> Tuning {
        Tuning { line: Some(line.to_owned()), ..Tuning::default() }
    }

    /// Only this endpoint.
    pub fn endpoint(endpoint: Endpoint) -> Tuning {
        Tuning { endpoint: Some(endpoint), ..Tuning::default() }
    }
}

/// The faults that are on.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    on: Vec<(FaultKind, Tuning)>,
}

impl Faults {
    /// Switches one on; the same kind for the same line and endpoint is replaced.
    pub(super) fn switch_on(&mut self, kind: FaultKind, tuning: Tuning) {
        self.on.retain(|(k, t)| *k != kind || t.line != tuning.line || t.endpoint != tuning.endpoint);
        self.on.push((kind, tuning));
        self.on.sort_by_key(|(k, _)| *k);
    }

    /// Switches every fault of the kind off, and says whether there was one.
    pub(super) fn switch_off(&mut self, kind: FaultKind) -> bool {
        let before = self.on.len();
        self.on.retain(|(k, _)| *k != kind);
        before != self.on.len()
    }

    /// What is on, in the order of the table.
    pub(super) fn on(&self) -> &[(FaultKind, Tuning)] {
        &self.on
    }

    /// The fault of a request, if one hits it.
    pub(super) fn of_request(
        &self,
        endpoint: Endpoint,
        line: Option<&str>,
        rng: &mut fastrand::Rng,
    ) -> Option<(FaultKind, Option<f64>)> {
        let hit = self.on.iter().filter(|(kind, _)| kind.hits_requests()).find(|(_, t)| {
            t.endpoint.is_none_or(|e| e == endpoint)
                && t.line.as_deref().is_none_or(|l| Some(l) == line)
                && t.share.is_none_or(|share| rng.f64() < share)
        });
        hit.map(|(kind, t)| (*kind, t.value))
    }

    /// The tuning under which a fault of the world concerns this line, if it is on.
    pub(super) fn of_line(&self, kind: FaultKind, line: &str) -> Option<&Tuning> {
        let concerned = |t: &Tuning| t.line.as_deref().is_none_or(|l| l == line);
        self.on.iter().find(|(k, t)| *k == kind && concerned(t)).map(|(_, t)| t)
    }

    /// Whether this fault of the world is on for anything.
    pub(super) fn is_on(&self, kind: FaultKind) -> bool {
        self.on.iter().any(|(k, _)| *k == kind)
    }
}
