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
