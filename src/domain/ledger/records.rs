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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::tests::{CHAT, HOUR, START, audited, count, histogram, ledger, outbound};
    use crate::domain::{Cause, Code, Protocol, Status, Work};

    #[test]
    fn an_outage_of_a_chat_has_its_first_time_and_its_newest_reason() {
        let mut ledger = ledger();
        audited(&mut ledger, 7..8, START, START);
        assert_eq!(ledger.record_readable(CHAT), None);
        for (reason, now) in [(Unreadable::ServerError, START + 5), (Unreadable::NotFound, START + 9)] {
            ledger.record_unreadable(CHAT, reason, now);
            let outage = ledger.chats().get(CHAT).and_then(|chat| chat.outage);
            assert_eq!(outage, Some(Outage { reason, since: START + 5 }));
        }
        assert_eq!(ledger.record_readable(CHAT), Some(Unreadable::NotFound));
        assert_eq!(ledger.record_readable(CHAT), None);
        assert_eq!(ledger.record_readable(ChatKey(99)), None);
    }

    #[test]
    fn a_sweep_raises_the_watermark_and_a_complete_one_the_time_of_the_last_success() {
        let mut ledger = ledger();
        // (result, covered up to, ended at, watermark, last success), in ms after the start
        for (n, (result, covered, ended, watermark, last_success)) in [
            (SweepResult::Complete, Some(100), 110, 100, 110),
            (SweepResult::Partial, Some(90), 120, 100, 110),
            (SweepResult::Partial, Some(130), 140, 130, 110),
            (SweepResult::Failed, None, 150, 130, 110),
            (SweepResult::Complete, Some(130), 105, 130, 110),
            (SweepResult::Complete, None, 160, 130, 160),
        ]
        .into_iter()
        .enumerate()
        {
            ledger.delta();
            let before = count(&ledger, Counter::Sweeps { result });
            ledger.record_sweep(result, covered.map(|at| START + at), START + ended, 1.5);
            let progress = ledger.progress();
            assert_eq!(progress.watermark, START + watermark, "sweep {n}");
            assert_eq!(progress.last_success, START + last_success, "sweep {n}");
            assert_eq!(count(&ledger, Counter::Sweeps { result }), before + 1);
            assert!(ledger.is_changed());
        }
        assert_eq!(histogram(&ledger, HistogramKey::SweepDuration), (6, 9.0));
    }

    #[test]
    fn an_attempt_counts_by_its_code_and_its_work_and_a_wait_by_its_cause() {
        let (endpoint, work, code) = (Endpoint::ListChats, Work::Sweep, Code::Status(503));
        let mut ledger = ledger();
        ledger.record_api(ApiEvent::Attempted { endpoint, work, code, seconds: 0.5 });
        ledger.record_api(ApiEvent::Waited { cause: Cause::RetryAfter, millis: 700 });
        assert_eq!(count(&ledger, Counter::Requests { endpoint, code }), 1);
        assert_eq!(count(&ledger, Counter::WorkRequests { work }), 1);
        assert_eq!(histogram(&ledger, HistogramKey::RequestDuration { endpoint }), (1, 0.5));
        assert_eq!(count(&ledger, Counter::Throttled { cause: Cause::RetryAfter }), 700);
    }

    #[test]
    fn what_cannot_be_used_or_is_not_documented_is_counted() {
        let (endpoint, reason, field) = (Endpoint::ListMessages, Rejection::TimeSent, Field::Protocol);
        let mut ledger = ledger();
        (0..2).for_each(|_| ledger.record_rejection(endpoint, reason));
        ledger.record_unknown(field, 3);
        assert_eq!(count(&ledger, Counter::Rejected { endpoint, reason }), 2);
        assert_eq!(count(&ledger, Counter::UnknownValues { field }), 3);
    }

    #[test]
    fn what_a_feed_missed_has_series_only_where_there_is_a_feed() {
        let mut ledger = ledger();
        let missed = |ledger: &Ledger| {
            Unannounced::ALL
                .iter()
                .map(|&kind| Counter::Missed { kind })
                .filter(|counter| ledger.totals().has(*counter))
                .count()
        };
        let has_lag = |ledger: &Ledger| ledger.totals().histograms().any(|(key, _)| key == HistogramKey::Lag);
        assert_eq!((missed(&ledger), has_lag(&ledger)), (0, false));
        ledger.declare_feed();
        assert_eq!((missed(&ledger), has_lag(&ledger)), (Unannounced::ALL.len(), true));
        ledger.delta();
        let kind = Unannounced::End;
        for (amount, total) in [(0, 0), (2, 2), (1, 3)] {
            ledger.record_missed(kind, amount);
            assert_eq!(count(&ledger, Counter::Missed { kind }), total);
            assert_eq!(ledger.is_changed(), amount > 0);
            ledger.delta();
        }
        ledger.record_lag(4.0);
        assert_eq!(histogram(&ledger, HistogramKey::Lag), (1, 4.0));
    }

    #[test]
    fn a_commit_is_observed_with_its_duration() {
        let mut ledger = ledger();
        ledger.record_commit(0.25);
        assert_eq!(histogram(&ledger, HistogramKey::CommitDuration), (1, 0.25));
    }

    #[test]
    fn a_chat_that_turns_out_to_be_unreadable_gives_up_what_is_too_old_to_be_confirmed() {
        let mut ledger = ledger();
        audited(&mut ledger, 7..8, START, START);
        ledger.observe(CHAT, &outbound(1, START + 1, Status::Queued, Protocol::Sms), START + 1);
        for (hours, open) in [(287, 1), (289, 0)] {
            ledger.record_unreadable(CHAT, Unreadable::Forbidden, START + hours * HOUR);
            assert_eq!(ledger.messages().open_count(), open, "after {hours} h");
        }
    }
}
