//! What is counted besides messages: sweeps, requests, rejected rows, and chats that cannot be read.

use super::Ledger;
use crate::domain::{
    ApiEvent, ChatKey, Counter, Endpoint, Field, HistogramKey, Outage, Rejection, SweepResult, Unannounced,
    Unreadable,
};

impl Ledger {
    /// The chat is listed and could not be read.
    pub fn record_unreadable(&mut self, key: ChatKey, reason: Unreadable, now: i64) {
        self.update_chat(key, |chat| {
            let since = chat.outage.map_or(now, |outage| outage.since);
            chat.outage = Some(Outage { reason, since });
        });
        self.close_unreadable(key, now);
    }

    /// The chat can be read. The reason for which it could not be, if there was one.
    pub fn record_readable(&mut self, key: ChatKey) -> Option<Unreadable> {
        let reason = self.chats.get(key)?.outage?.reason;
        self.update_chat(key, |chat| chat.outage = None);
        Some(reason)
    }

    /// A sweep ended at `now`, and everything that was sent up to `covered` is counted.
    pub fn record_sweep(&mut self, result: SweepResult, covered: Option<i64>, now: i64, seconds: f64) {
        self.totals.add(Counter::Sweeps { result }, 1);
        self.totals.observe(HistogramKey::SweepDuration, seconds);
        if let Some(covered) = covered {
            self.progress.watermark = self.progress.watermark.max(covered);
        }
        if result == SweepResult::Complete {
            self.progress.last_success = self.progress.last_success.max(now);
        }
        self.changed.progress = true;
    }

    /// Counts what the client did.
    pub fn record_api(&mut self, event: ApiEvent) {
        match event {
            ApiEvent::Attempted { endpoint, work, code, seconds } => {
                let code = self.bounded(code, |code| Counter::Requests { endpoint, code });
                self.totals.add(Counter::Requests { endpoint, code }, 1);
                self.totals.add(Counter::WorkRequests { work }, 1);
                self.totals.observe(HistogramKey::RequestDuration { endpoint }, seconds);
            }
            ApiEvent::Waited { cause, millis } => self.totals.add(Counter::Throttled { cause }, millis),
        }
    }

    /// Counts an item that could not be used.
    pub fn record_rejection(&mut self, endpoint: Endpoint, reason: Rejection) {
        self.totals.add(Counter::Rejected { endpoint, reason }, 1);
    }

    /// Counts values outside the known enums.
    pub fn record_unknown(&mut self, field: Field, amount: u64) {
        self.totals.add(Counter::UnknownValues { field }, amount);
    }

    /// There is a webhook feed: its series exist from now on.
    pub fn declare_feed(&mut self) {
        for &kind in Unannounced::ALL {
            self.totals.declare(Counter::Missed { kind });
        }
        self.totals.declare_histogram(HistogramKey::Lag);
    }

    /// Counts what no webhook event announced.
    pub fn record_missed(&mut self, kind: Unannounced, amount: u64) {
        if amount > 0 {
            self.totals.add(Counter::Missed { kind }, amount);
            self.changed.progress = true;
        }
    }

    /// Observes how long after the API's time of it an event arrived.
    pub fn record_lag(&mut self, seconds: f64) {
        self.totals.observe(HistogramKey::Lag, seconds);
    }

    /// Observes how long a commit took.
    pub fn record_commit(&mut self, seconds: f64) {
        self.totals.observe(HistogramKey::CommitDuration, seconds);
    }
}
