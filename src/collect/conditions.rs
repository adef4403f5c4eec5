//! One log line when a condition begins and one when it ends, instead of a line per request.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use super::engine::Note;
use crate::api::{ApiError, Fault};
use crate::domain::{Endpoint, LineId};
use crate::store::StoreError;

/// The conditions of one account that are on.
pub struct Conditions {
    account: String,
    on: BTreeMap<Subject, Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Api(Endpoint),
    Key,
    Webhooks,
    Device(LineId),
    State,
    Clock,
    Unreadable,
    List,
}

/// A condition that goes on with another cause is logged again after this at the earliest.
const LOGGED_AGAIN: Duration = Duration::from_secs(300);

struct Condition {
    since: Instant,
    logged: Instant,
    times: u64,
    fault: Option<Fault>,
}

/// What a condition's newest event is.
enum Begun {
    /// The condition was not on before.
    Now,
    /// It goes on, with another cause.
    Changed,
}

impl Conditions {
    /// Starts without a condition that is on.
    pub fn new(account: &str) -> Conditions {
        Conditions { account: account.to_owned(), on: BTreeMap::new() }
    }

    /// Logs what is worth a line.
    pub fn tell(&mut self, note: &Note) {
        match note {
            Note::Failed(error) => self.api_failed(error),
            Note::Succeeded(endpoint) => self.api_succeeded(*endpoint),
            Note::ProbeFailed(line, number, error) => self.probe_failed(*line, number, error),
            Note::ProbeSucceeded(line, number) => self.probe_succeeded(*line, number),
            Note::NoNumbers => {
                let account = &self.account;
                tracing::info!(account, "no GET /me/numbers on this server: blooio_line_active stays empty");
            }
            Note::NoWebhooks => {
                if self.begin(Subject::Webhooks, None).is_some() {
                    let advice = "a key that may list webhooks shows the status of your receivers; nothing else is affected";
                    tracing::info!(account = self.account, advice, "the key may not list webhooks");
                }
            }
            Note::Feed { trusted: true, .. } => {
                tracing::info!(account = self.account, "webhook feed trusted: polling is less frequent");
            }
            Note::Feed { trusted: false, missed } => {
                let account = &self.account;
                tracing::warn!(account, missed, "webhook feed not trusted any more: polling as without it");
            }
            Note::ClockDoubted(by) => self.clock_doubted(*by),
            Note::ClockMoved(by) => self.clock_moved(*by),
            Note::Unreadable(chats) => self.unreadable(*chats),
            Note::ListDoubted(doubted) => self.list_doubted(*doubted),
            Note::Exhausted(sentence) => self.exhausted(sentence.as_deref()),
            Note::PageLimit(limit) => {
                let account = &self.account;
                tracing::warn!(account, limit, "the API rejects larger pages; using smaller ones");
            }
            Note::Listed { lines, chats, to_read, reading, counting_since } => {
                let since = UNIX_EPOCH + Duration::from_millis(u64::try_from(*counting_since).unwrap_or(0));
                let since = humantime::format_rfc3339_seconds(since);
                let reading = humantime::format_duration(Duration::from_secs(reading.as_secs()));
                let account = &self.account;
                tracing::info!(account, lines, chats, to_read, %reading, counting_since = %since, "account listed");
            }
            Note::Swept(result, seconds, deferred) => {
                tracing::debug!(account = self.account, result, seconds, deferred, "sweep");
            }
        }
    }

    fn api_failed(&mut self, error: &ApiError) {
        // A rejected key is one condition, whatever it was asked for.
        if error.fault == Fault::Status(401) {
            return self.key_rejected(error);
        }
        let message = match self.begin(Subject::Api(error.endpoint), Some(error.fault)) {
            Some(Begun::Now) => "API requests failing",
            Some(Begun::Changed) => "API requests now failing with a different error",
            None => return,
        };
        let (account, endpoint) = (&self.account, error.endpoint.as_str());
        tracing::warn!(account, endpoint, cause = %error.fault, advice = error.advice(), "{message}");
    }

    fn key_rejected(&mut self, error: &ApiError) {
        if self.begin(Subject::Key, Some(error.fault)).is_some() {
            let (account, endpoint) = (&self.account, error.endpoint.as_str());
            let advice = "check the API key; a changed key file is read again by itself";
            tracing::error!(account, endpoint, cause = %error.fault, advice, "Blooio rejects the API key");
        }
    }

    fn api_succeeded(&mut self, endpoint: Endpoint) {
        if endpoint == Endpoint::ListWebhooks {
            self.end(Subject::Webhooks);
        }
        let ended = self.end(Subject::Key).or(self.end(Subject::Api(endpoint)));
        if let Some((lasted, times)) = ended {
            let (account, endpoint) = (&self.account, endpoint.as_str());
            tracing::info!(account, endpoint, lasted = %lasted, times, "API recovered");
        }
    }

    fn probe_failed(&mut self, line: LineId, number: &str, error: &ApiError) {
        if self.begin(Subject::Device(line), Some(error.fault)).is_some() {
            let account = &self.account;
            tracing::warn!(account, line = number, cause = %error.fault, advice = error.advice(), "device probe failed");
        }
    }

    fn probe_succeeded(&mut self, line: LineId, number: &str) {
        if let Some((lasted, times)) = self.end(Subject::Device(line)) {
            let account = &self.account;
            tracing::info!(account, line = number, lasted = %lasted, times, "device recovered");
        }
    }

    fn clock_doubted(&mut self, by: i64) {
        if self.begin(Subject::Clock, None).is_some() {
            let account = &self.account;
            let advice = "check this machine's clock; answers that agree over some minutes are accepted";
            tracing::warn!(account, milliseconds = by, advice, "server clock jumped; awaiting confirmation");
        }
    }

    fn clock_moved(&mut self, by: i64) {
        self.end(Subject::Clock);
        tracing::warn!(account = self.account, milliseconds = by, "server clock moved");
    }

    fn unreadable(&mut self, chats: u64) {
        if chats == 0 {
            if let Some((lasted, _)) = self.end(Subject::Unreadable) {
                tracing::info!(account = self.account, lasted = %lasted, "all listed chats are readable again");
            }
        } else if self.begin(Subject::Unreadable, None).is_some() {
            let advice = "see blooio_collection_unreadable_chats for the reason";
            tracing::warn!(account = self.account, chats, advice, "chats are listed but cannot be read");
        }
    }

    fn list_doubted(&mut self, doubted: bool) {
        if doubted {
            if self.begin(Subject::List, None).is_some() {
                let advice = "the watermark is held until the list is consistent";
                tracing::warn!(account = self.account, advice, "chat list inconsistent");
            }
        } else if let Some((lasted, times)) = self.end(Subject::List) {
            tracing::info!(account = self.account, lasted = %lasted, times, "chat list consistent again");
        }
    }

    fn exhausted(&self, sentence: Option<&str>) {
        match sentence {
            Some(sentence) => tracing::warn!(account = self.account, "{sentence}"),
            None => tracing::info!(account = self.account, "the request budget suffices again"),
        }
    }

    /// The state could not be written.
    pub fn commit_failed(&mut self, error: &StoreError) {
        if self.begin(Subject::State, None).is_some() {
            let account = &self.account;
            tracing::error!(account, cause = %error, "state write failed; the page stays at the last commit");
        }
    }

    /// The state was written.
    pub fn commit_succeeded(&mut self) {
        if let Some((lasted, times)) = self.end(Subject::State) {
            tracing::info!(account = self.account, lasted = %lasted, times, "state writes recovered");
        }
    }

    /// `None` when it goes on as before.
    fn begin(&mut self, subject: Subject, fault: Option<Fault>) -> Option<Begun> {
        let now = Instant::now();
        match self.on.get_mut(&subject) {
            Some(condition) => {
                condition.times += 1;
                // Two faults that take turns are one condition, not a line each time.
                if condition.fault == fault || condition.logged.elapsed() < LOGGED_AGAIN {
                    return None;
                }
                (condition.fault, condition.logged) = (fault, now);
                Some(Begun::Changed)
            }
            None => {
                self.on.insert(subject, Condition { since: now, logged: now, times: 1, fault });
                Some(Begun::Now)
            }
        }
    }

    fn end(&mut self, subject: Subject) -> Option<(humantime::FormattedDuration, u64)> {
        let condition = self.on.remove(&subject)?;
        let lasted = Duration::from_secs(condition.since.elapsed().as_secs().max(1));
        Some((humantime::format_duration(lasted), condition.times))
    }
}
