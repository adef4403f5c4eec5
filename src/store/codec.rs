//! Keys of the totals as text, so that a state file can be read by people and by later versions.
//!
//! The words are those of the contract's labels. A key that this version does not know is damage: schema
//! versions, not guesses, carry changes.

use crate::domain::{
    Cause, Code, Counter, Endpoint, Field, HistogramKey, LineId, Protocol, Reason, Refusal, Status,
    SweepResult, Work,
};

/// The key of a counter: its kind, then its labels.
pub fn counter_key(counter: Counter) -> String {
    match counter {
        Counter::Inbound { line, protocol } => format!("inbound {} {}", line.0, protocol.as_str()),
        Counter::Outbound { line } => format!("outbound {}", line.0),
        Counter::Sent { line, protocol } => format!("sent {} {}", line.0, protocol.as_str()),
        Counter::Delivered { line, protocol } => format!("delivered {} {}", line.0, protocol.as_str()),
        Counter::Failed { line, protocol, reason } => {
            format!("failed {} {} {}", line.0, protocol.as_str(), reason.as_str())
        }
        Counter::Cancelled { line } => format!("cancelled {}", line.0),
        Counter::Unconfirmed { line, protocol, status } => {
            format!("unconfirmed {} {} {}", line.0, protocol.as_str(), status.as_str())
        }
        Counter::Fallback { line, protocol } => format!("fallback {} {}", line.0, protocol.as_str()),
        Counter::ClockSkew => "clock_skew".into(),
        Counter::Regressions => "regressions".into(),
        Counter::Probes { line, code } => format!("probes {} {}", line.0, code.label()),
        Counter::Requests { endpoint, code } => format!("requests {} {}", endpoint.as_str(), code.label()),
        Counter::WorkRequests { work } => format!("work {}", work.as_str()),
        Counter::Throttled { cause } => format!("throttled {}", cause.as_str()),
        Counter::Sweeps { result } => format!("sweeps {}", result.as_str()),
        Counter::Late => "late".into(),
        Counter::Rejected { endpoint, refusal } => {
            format!("rejected {} {}", endpoint.as_str(), refusal.as_str())
        }
        Counter::UnknownValues { field } => format!("unknown_values {}", field.as_str()),
        Counter::OverflowingLine => "overflowing_line".into(),
        Counter::OverflowingCode => "overflowing_code".into(),
    }
}

/// The counter of a key.
pub fn parse_counter(key: &str) -> Option<Counter> {
    let mut words = Words(key.split(' '));
    let counter = match words.0.next()? {
        "inbound" => Counter::Inbound { line: words.line()?, protocol: words.protocol()? },
        "outbound" => Counter::Outbound { line: words.line()? },
        "sent" => Counter::Sent { line: words.line()?, protocol: words.protocol()? },
        "delivered" => Counter::Delivered { line: words.line()?, protocol: words.protocol()? },
        "failed" => {
            let (line, protocol) = (words.line()?, words.protocol()?);
            Counter::Failed { line, protocol, reason: Reason::from_label(words.0.next()?)? }
        }
        "cancelled" => Counter::Cancelled { line: words.line()? },
        "unconfirmed" => {
            let (line, protocol) = (words.line()?, words.protocol()?);
            Counter::Unconfirmed { line, protocol, status: Status::from_label(words.0.next()?)? }
        }
        "fallback" => Counter::Fallback { line: words.line()?, protocol: words.protocol()? },
        "clock_skew" => Counter::ClockSkew,
        "regressions" => Counter::Regressions,
        "probes" => Counter::Probes { line: words.line()?, code: words.code()? },
        "requests" => Counter::Requests { endpoint: words.endpoint()?, code: words.code()? },
        "work" => Counter::WorkRequests { work: Work::from_label(words.0.next()?)? },
        "throttled" => Counter::Throttled { cause: Cause::from_label(words.0.next()?)? },
        "sweeps" => Counter::Sweeps { result: SweepResult::from_label(words.0.next()?)? },
        "late" => Counter::Late,
        "rejected" => {
            let endpoint = words.endpoint()?;
            Counter::Rejected { endpoint, refusal: Refusal::from_label(words.0.next()?)? }
        }
        "unknown_values" => Counter::UnknownValues { field: Field::from_label(words.0.next()?)? },
        "overflowing_line" => Counter::OverflowingLine,
        "overflowing_code" => Counter::OverflowingCode,
        _ => return None,
    };
    words.0.next().is_none().then_some(counter)
}

/// The key of a histogram.
pub fn histogram_key(key: HistogramKey) -> String {
    match key {
        HistogramKey::Latency { line, protocol } => format!("latency {} {}", line.0, protocol.as_str()),
        HistogramKey::ProbeDuration => "probe_duration".into(),
        HistogramKey::RequestDuration { endpoint } => format!("request_duration {}", endpoint.as_str()),
        HistogramKey::SweepDuration => "sweep_duration".into(),
        HistogramKey::Delay => "delay".into(),
        HistogramKey::CommitDuration => "commit_duration".into(),
    }
}

/// The histogram of a key.
pub fn parse_histogram(key: &str) -> Option<HistogramKey> {
    let mut words = Words(key.split(' '));
    let histogram = match words.0.next()? {
        "latency" => HistogramKey::Latency { line: words.line()?, protocol: words.protocol()? },
        "probe_duration" => HistogramKey::ProbeDuration,
        "request_duration" => HistogramKey::RequestDuration { endpoint: words.endpoint()? },
        "sweep_duration" => HistogramKey::SweepDuration,
        "delay" => HistogramKey::Delay,
        "commit_duration" => HistogramKey::CommitDuration,
        _ => return None,
    };
    words.0.next().is_none().then_some(histogram)
}

struct Words<'a>(std::str::Split<'a, char>);

impl Words<'_> {
    fn line(&mut self) -> Option<LineId> {
        self.0.next()?.parse().ok().map(LineId)
    }

    fn protocol(&mut self) -> Option<Protocol> {
        Protocol::from_label(self.0.next()?)
    }

    fn endpoint(&mut self) -> Option<Endpoint> {
        Endpoint::from_label(self.0.next()?)
    }

    fn code(&mut self) -> Option<Code> {
        Code::from_label(self.0.next()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_survives() {
        let (line, protocol) = (LineId(3), Protocol::NonImessage);
        for counter in [
            Counter::Inbound { line, protocol },
            Counter::Outbound { line },
            Counter::Sent { line, protocol },
            Counter::Delivered { line, protocol },
            Counter::Failed { line, protocol, reason: Reason::DeviceOffline },
            Counter::Cancelled { line },
            Counter::Unconfirmed { line, protocol, status: Status::CancellationRequested },
            Counter::Fallback { line, protocol },
            Counter::ClockSkew,
            Counter::Regressions,
            Counter::Probes { line: LineId::OVERFLOW, code: Code::Status(502) },
            Counter::Requests { endpoint: Endpoint::GetBackground, code: Code::Body },
            Counter::WorkRequests { work: Work::FirstRead },
            Counter::Throttled { cause: Cause::RetryAfter },
            Counter::Sweeps { result: SweepResult::Partial },
            Counter::Late,
            Counter::Rejected { endpoint: Endpoint::ListNumbers, refusal: Refusal::TimeSent },
            Counter::UnknownValues { field: Field::ChatType },
            Counter::OverflowingLine,
            Counter::OverflowingCode,
        ] {
            assert_eq!(parse_counter(&counter_key(counter)), Some(counter));
        }
        for key in [
            HistogramKey::Latency { line, protocol },
            HistogramKey::ProbeDuration,
            HistogramKey::RequestDuration { endpoint: Endpoint::GetChat },
            HistogramKey::SweepDuration,
            HistogramKey::Delay,
            HistogramKey::CommitDuration,
        ] {
            assert_eq!(parse_histogram(&histogram_key(key)), Some(key));
        }
        assert_eq!(parse_counter("outbound 3 4"), None);
        assert_eq!(parse_counter("inbound x imessage"), None);
    }
}
