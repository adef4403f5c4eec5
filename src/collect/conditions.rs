//! One log line when a trouble begins and one when it ends, instead of a line per request.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::api::{ApiError, Fault};
use crate::domain::{Endpoint, LineId};

/// The troubles of one account that are on.
pub struct Conditions {
    account: String,
    on: Mutex<BTreeMap<Subject, Trouble>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Api(Endpoint),
    Device(LineId),
    State,
}

/// A trouble that goes on with another fault is told again after this at the earliest.
const TOLD_AGAIN: Duration = Duration::from_secs(300);

struct Trouble {
    since: Instant,
    told: Instant,
    times: u64,
    fault: Option<Fault>,
}

impl Conditions {
    /// None is on.
    pub fn new(account: &str) -> Conditions {
        Conditions { account: account.to_owned(), on: Mutex::new(BTreeMap::new()) }
    }

    /// A request failed.
    pub fn failed(&self, error: &ApiError) {
        let fault = Some(error.fault);
        let Some(before) = self.begin(Subject::Api(error.endpoint), fault) else { return };
        let (account, endpoint) = (&self.account, error.endpoint.as_str());
        let what = if before { "the API's trouble is another now" } else { "the API is in trouble" };
        tracing::warn!(account, endpoint, cause = %error.fault, advice = error.advice(), "{what}");
    }

    /// A request to the endpoint succeeded.
    pub fn succeeded(&self, endpoint: Endpoint) {
        if let Some((lasted, times)) = self.end(Subject::Api(endpoint)) {
            let (account, endpoint) = (&self.account, endpoint.as_str());
            tracing::info!(account, endpoint, lasted = %lasted, times, "the API answers again");
        }
    }

    /// A line's device did not answer its probe. The line is told by the number that the page shows too.
    pub fn probe_failed(&self, line: LineId, number: &str, error: &ApiError) {
        if self.begin(Subject::Device(line), Some(error.fault)).is_some() {
            let account = &self.account;
            tracing::warn!(account, line = number, cause = %error.fault, advice = error.advice(), "a device probe failed");
        }
    }

    /// A line's device answered its probe.
    pub fn probe_succeeded(&self, line: LineId, number: &str) {
        if let Some((lasted, times)) = self.end(Subject::Device(line)) {
            let account = &self.account;
            tracing::info!(account, line = number, lasted = %lasted, times, "the device answers again");
        }
    }

    /// The state could not be written.
    pub fn commit_failed(&self, error: &crate::store::StoreError) {
        if self.begin(Subject::State, None).is_some() {
            let account = &self.account;
            tracing::error!(account, cause = %error, "the state cannot be written; the page stays at the last commit");
        }
    }

    /// The state was written.
    pub fn commit_succeeded(&self) {
        if let Some((lasted, times)) = self.end(Subject::State) {
            let account = &self.account;
            tracing::info!(account, lasted = %lasted, times, "the state is written again");
        }
    }

    /// `None` when it goes on as before; else whether there was another trouble with it.
    fn begin(&self, subject: Subject, fault: Option<Fault>) -> Option<bool> {
        let mut on = self.on.lock().unwrap_or_else(PoisonError::into_inner);
        match on.get_mut(&subject) {
            Some(trouble) => {
                trouble.times += 1;
                // Two faults that take turns are one trouble, not a line each time.
                if trouble.fault == fault || trouble.told.elapsed() < TOLD_AGAIN {
                    return None;
                }
                (trouble.fault, trouble.told) = (fault, Instant::now());
                Some(true)
            }
            None => {
                let now = Instant::now();
                on.insert(subject, Trouble { since: now, told: now, times: 1, fault });
                Some(false)
            }
        }
    }

    fn end(&self, subject: Subject) -> Option<(humantime::FormattedDuration, u64)> {
        let trouble = self.on.lock().unwrap_or_else(PoisonError::into_inner).remove(&subject)?;
        let lasted = Duration::from_secs(trouble.since.elapsed().as_secs().max(1));
        Some((humantime::format_duration(lasted), trouble.times))
    }
}
