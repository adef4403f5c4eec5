//! What single messages add up to: for each counter the fewest and most that are right.

use std::collections::BTreeMap;

use blooio_exporter::domain::{Counter, HistogramKey, LineId, Protocol, Reason, Status};
use blooio_exporter::simulator::Entry;

use super::Held;

/// Counts with bounds, and histograms of which every value is known.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) counters: BTreeMap<Counter, (u64, u64)>,
    pub(super) latencies: BTreeMap<HistogramKey, Vec<f64>>,
    /// Values of the delay histogram as commits show them, seconds.
    pub(super) delays: Vec<f64>,
    /// Messages handed over, by line: the fewest and most that may have been seen so.
    pub(super) sent: BTreeMap<LineId, (u64, u64)>,
    pub(super) regressions: u64,
}

fn protocol(label: &str) -> Protocol {
    Protocol::from_label(label).unwrap_or(Protocol::Other)
}

impl Expected {
    fn exactly(&mut self, counter: Counter) {
        self.between(counter, true);
    }

    fn between(&mut self, counter: Counter, surely: bool) {
        let bounds = self.counters.entry(counter).or_default();
        *bounds = (bounds.0 + u64::from(surely), bounds.1 + 1);
    }

    /// Adds what one counted message must have moved.
    pub(super) fn add(&mut self, entry: &Entry, held: &Held) {
        let (last, line) = (held.last, held.last.line);
        self.delays.push((held.counted_at - held.counted_sent_at) as f64 / 1000.0);
        if entry.direction == "inbound" {
            self.exactly(Counter::Inbound { line, protocol: protocol(&entry.protocol) });
            return;
        }
        self.exactly(Counter::Outbound { line });
        // One that ended and left in one commit: how it ended is not to be seen.
        let ended = held.ended > 0 && last.is_ended();
        // One that was given up and forgotten in one commit was not seen to end.
        let surely_read = last.is_ended() && !last.is_given_up() && entry.deleted_at_ms.is_none();
        if let Some(fell_back) = &entry.fell_back {
            // Where it ended by another protocol, the one in between may have come and gone unseen.
            let seen = surely_read && entry.terminal.as_ref().is_some_and(|end| end.protocol == *fell_back);
            self.between(Counter::Fallback { line, protocol: protocol(fell_back) }, seen);
        }
        let seen_sent = last.status.is_handed_over();
        let handed_over = entry.handed_over_at_ms.is_some();
        let sent = self.sent.entry(line).or_default();
        *sent = (sent.0 + u64::from(seen_sent), sent.1 + u64::from(handed_over || seen_sent));
        self.regressions += u64::from(entry.terminal.as_ref().is_some_and(|end| end.status != entry.status));
        if ended {
            self.add_end(entry, held);
        }
    }

    fn add_end(&mut self, entry: &Entry, held: &Held) {
        let (last, line) = (held.last, held.last.line);
        if last.is_given_up() {
            return self.exactly(Counter::Unconfirmed { line, protocol: last.protocol, status: last.status });
        }
        let shown = entry.terminal.as_ref().filter(|end| end.status == last.status.as_str());
        let route = shown.map_or(last.protocol, |end| protocol(&end.protocol));
        match last.status {
            Status::Failed => {
                let reason = shown.and_then(|end| Reason::from_label(&end.reason)).unwrap_or(Reason::Other);
                self.exactly(Counter::Failed { line, protocol: route, reason });
            }
            Status::Cancelled => self.exactly(Counter::Cancelled { line }),
            _ => {
                self.exactly(Counter::Delivered { line, protocol: route });
                if let Some(delivered) = entry.time_delivered_ms {
                    let latency = (delivered - entry.time_sent_ms) as f64 / 1000.0;
                    if latency < 0.0 {
                        // One that was dated later after its end was counted was delivered in time by then; a row that
                        // went back to a status without an end may not have had the time of its delivery any more.
                        let stayed = entry.status == last.status.as_str();
                        self.between(
                            Counter::ClockSkew,
                            stayed && held.counted_sent_at == entry.time_sent_ms,
                        );
                    }
                    let key = HistogramKey::Latency { line, protocol: route };
                    self.latencies.entry(key).or_default().push(latency.max(0.0));
                    self.delays.push((held.ended_at - delivered) as f64 / 1000.0);
                }
            }
        }
    }
}

/// Whether a counter is made of single messages, so that its bounds are known.
pub(super) fn is_of_messages(counter: Counter) -> bool {
    super::is_end(counter)
        || matches!(
            counter,
            Counter::Inbound { .. }
                | Counter::Outbound { .. }
                | Counter::Fallback { .. }
                | Counter::ClockSkew
        )
}
