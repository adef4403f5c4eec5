//! Which series exist before anything is counted in them, and how many there may be.

use std::collections::BTreeSet;

use super::{Ledger, MAX_CODES};
use crate::domain::{
    Author, Cause, Code, Counter, Endpoint, Field, HistogramKey, LineId, Position, Protocol, Reason,
    Rejection, Status, SweepResult, Work,
};

impl Ledger {
    /// The code itself, or `overflow` when this series would be new and the account has too many statuses.
    pub(super) fn bounded(&mut self, code: Code, series: impl Fn(Code) -> Counter) -> Code {
        let Code::Status(_) = code else { return code };
        if self.totals.has(series(code)) {
            return code;
        }
        let codes: BTreeSet<Code> = self
            .totals
            .counters()
            .filter_map(|(counter, _)| match counter {
                Counter::Requests { code, .. } | Counter::Probes { code, .. } => Some(code),
                _ => None,
            })
            .collect();
        if codes.contains(&code) || codes.len() < MAX_CODES {
            return code;
        }
        self.totals.add(Counter::OverflowingCode, 1);
        Code::Overflow
    }

    pub(super) fn has_series(&self, line: LineId) -> bool {
        self.totals.has(Counter::Outbound { line })
    }

    pub(super) fn declare_account(&mut self) {
        let totals = &mut self.totals;
        for counter in [
            Counter::ClockSkew,
            Counter::Regressions,
            Counter::Late,
            Counter::UnplacedMessages,
            Counter::OverflowingLine,
            Counter::OverflowingCode,
        ] {
            totals.declare(counter);
        }
        for &cause in Cause::ALL {
            totals.declare(Counter::Throttled { cause });
        }
        for &result in SweepResult::ALL {
            totals.declare(Counter::Sweeps { result });
        }
        for &field in Field::ALL {
            totals.declare(Counter::UnknownValues { field });
        }
        for &endpoint in Endpoint::ALL {
            totals.declare(Counter::Requests { endpoint, code: Code::Status(200) });
            totals.declare_histogram(HistogramKey::RequestDuration { endpoint });
        }
        for work in Work::ALL {
            totals.declare(Counter::WorkRequests { work: *work });
        }
        for &reason in Rejection::ALL {
            totals.declare(Counter::Rejected { endpoint: Endpoint::ListMessages, reason });
        }
        for reason in [Rejection::Malformed, Rejection::Id] {
            totals.declare(Counter::Rejected { endpoint: Endpoint::ListChats, reason });
            totals.declare(Counter::Rejected { endpoint: Endpoint::ListNumbers, reason });
        }
        for key in [
            HistogramKey::ProbeDuration,
            HistogramKey::SweepDuration,
            HistogramKey::Delay,
            HistogramKey::CommitDuration,
        ] {
            totals.declare_histogram(key);
        }
    }

    pub(super) fn declare_line(&mut self, line: LineId) {
        let totals = &mut self.totals;
        totals.declare(Counter::Outbound { line });
        totals.declare(Counter::Cancelled { line });
        for protocol in Protocol::USUAL {
            totals.declare(Counter::Inbound { line, protocol });
            totals.declare(Counter::Sent { line, protocol });
            totals.declare(Counter::Delivered { line, protocol });
            totals.declare_histogram(HistogramKey::Latency { line, protocol });
            if protocol.is_fallback() {
                totals.declare(Counter::Fallback { line, protocol });
            }
            for reason in Reason::ALL {
                totals.declare(Counter::Failed { line, protocol, reason: *reason });
            }
            for status in Status::USUAL_OPEN {
                totals.declare(Counter::Unconfirmed { line, protocol, status });
            }
        }
        for by in Author::ALL {
            totals.declare(Counter::ConversationsStarted { line, by: *by });
        }
        totals.declare(Counter::ConversationsAnswered { line });
        totals.declare(Counter::LostImessage { line });
        for position in Position::ALL {
            totals.declare(Counter::UnansweredMessages { line, position: *position });
        }
        totals.declare_histogram(HistogramKey::ReplyDelay { line });
        for code in [200, 502, 503] {
            totals.declare(Counter::Probes { line, code: Code::Status(code) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ApiEvent;
    use crate::domain::ledger::tests::{START, count, ledger};

    /// One request of an endpoint with each of these statuses.
    fn request(ledger: &mut Ledger, endpoint: Endpoint, codes: impl IntoIterator<Item = u16>) {
        for code in codes.into_iter().map(Code::Status) {
            ledger.record_api(ApiEvent::Attempted { endpoint, work: Work::Read, code, seconds: 0.1 });
        }
    }

    fn requests(ledger: &Ledger, endpoint: Endpoint, code: Code) -> u64 {
        count(ledger, Counter::Requests { endpoint, code })
    }

    #[test]
    fn statuses_past_the_cap_share_one_series() {
        let (endpoint, other) = (Endpoint::GetChat, Endpoint::ListChats);
        let mut ledger = ledger();
        // 200 is one of them, whatever happens.
        let most = 200 + MAX_CODES as u16;
        request(&mut ledger, endpoint, 201..most);
        assert_eq!(count(&ledger, Counter::OverflowingCode), 0);
        request(&mut ledger, endpoint, [most, most, most + 1]);
        assert_eq!(count(&ledger, Counter::OverflowingCode), 3);
        assert_eq!(requests(&ledger, endpoint, Code::Overflow), 3);
        assert_eq!(requests(&ledger, endpoint, Code::Status(most)), 0);
        // A status that another endpoint answered with before is not a new one.
        request(&mut ledger, other, [201, 201]);
        assert_eq!(requests(&ledger, other, Code::Status(201)), 2);
        ledger.record_api(ApiEvent::Attempted {
            endpoint,
            work: Work::Read,
            code: Code::Timeout,
            seconds: 1.0,
        });
        assert_eq!(requests(&ledger, endpoint, Code::Timeout), 1);
        assert_eq!(count(&ledger, Counter::OverflowingCode), 3);
    }

    #[test]
    fn statuses_of_probes_and_of_requests_share_the_cap() {
        let endpoint = Endpoint::GetChat;
        let mut ledger = ledger();
        let line = ledger.line(Some("+1"));
        // With the line, 200, 502 and 503 are there.
        let most = 200 + MAX_CODES as u16 - 2;
        request(&mut ledger, endpoint, 201..most);
        for code in [502, 300] {
            ledger.record_probe(line, Code::Status(code), 0.1, START);
            request(&mut ledger, endpoint, [code]);
        }
        assert_eq!(requests(&ledger, endpoint, Code::Status(502)), 1);
        assert_eq!(count(&ledger, Counter::Probes { line, code: Code::Status(502) }), 1);
        assert_eq!(requests(&ledger, endpoint, Code::Overflow), 1);
        assert_eq!(count(&ledger, Counter::Probes { line, code: Code::Overflow }), 1);
    }

    #[test]
    fn a_series_that_was_stored_goes_on_though_there_are_too_many_statuses() {
        let endpoint = Endpoint::GetChat;
        let stored = |code| (Counter::Requests { endpoint, code: Code::Status(code) }, 1);
        let counters = (300..300 + 2 * MAX_CODES as u16).map(stored).collect();
        let mut ledger =
            Ledger::new(ledger().policy(), crate::domain::Restored { counters, ..Default::default() });
        request(&mut ledger, endpoint, [300]);
        assert_eq!(requests(&ledger, endpoint, Code::Status(300)), 2);
    }

    #[test]
    fn what_may_be_counted_has_a_series_from_the_start() {
        let mut ledger = ledger();
        let line = ledger.line(Some("+1"));
        let (protocol, endpoint) = (Protocol::Sms, Endpoint::ListNumbers);
        for counter in [
            Counter::Late,
            Counter::Throttled { cause: Cause::Budget },
            Counter::Sweeps { result: SweepResult::Failed },
            Counter::UnknownValues { field: Field::ChatType },
            Counter::Requests { endpoint, code: Code::Status(200) },
            Counter::WorkRequests { work: Work::Listing },
            Counter::Rejected { endpoint: Endpoint::ListMessages, reason: Rejection::TimeSent },
            Counter::Rejected { endpoint, reason: Rejection::Id },
            Counter::Outbound { line },
            Counter::Inbound { line, protocol },
            Counter::Fallback { line, protocol },
            Counter::Failed { line, protocol, reason: Reason::Timeout },
            Counter::Unconfirmed { line, protocol, status: Status::Queued },
            Counter::ConversationsStarted { line, by: Author::Them },
            Counter::UnansweredMessages { line, position: Position::Later },
            Counter::Probes { line, code: Code::Status(503) },
        ] {
            assert!(ledger.totals().has(counter), "{counter:?}");
            assert_eq!(count(&ledger, counter), 0);
        }
        for counter in [
            Counter::Fallback { line, protocol: Protocol::Imessage },
            Counter::Inbound { line, protocol: Protocol::Other },
            Counter::Outbound { line: LineId::NONE },
        ] {
            assert!(!ledger.totals().has(counter), "{counter:?}");
        }
        let histograms: Vec<HistogramKey> = ledger.totals().histograms().map(|(key, _)| key).collect();
        for key in [
            HistogramKey::Latency { line, protocol },
            HistogramKey::ReplyDelay { line },
            HistogramKey::RequestDuration { endpoint },
            HistogramKey::Delay,
        ] {
            assert!(histograms.contains(&key), "{key:?}");
        }
    }
}
