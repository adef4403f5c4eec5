//! The card of one line on the status page: what it says, and at which level.

use std::collections::BTreeMap;

use super::super::content::{Fact, Level, LineStatus, Shade};
use super::super::figures::{quantile, seconds, share, span};
use super::super::history::step;
use super::super::signs::{failing, leaving};
use super::super::thresholds::{STUCK, STUCK_MESSAGES};
use super::{by_age, fact};
use crate::clock::rfc3339;
use crate::domain::view::Traffic;
use crate::domain::{Direction, Histogram, HistogramKey, LineId, Protocol, Status, View};

/// Something worth a look, in words.
type Problem = (Level, String);

/// What is said of a line: `latency` and `signs` are those of the trailing `window`, of which `covered` is known (ms).
pub(super) fn assess(
    view: &View,
    id: LineId,
    name: String,
    (latency, signs): (Option<Histogram>, Vec<Problem>),
    (covered, window): (i64, i64),
    now: i64,
) -> LineStatus {
    let outbound = Outbound::of(view, id);
    let mut problems = Vec::new();
    let device = device(view, id, &mut problems);
    let device_level = device.level;
    let mut facts = vec![device];
    facts.extend(outbound.rates(&mut problems));
    facts.push(latencies(id, latency.as_ref(), covered, window));
    facts.extend(waiting(view, id, now, &mut problems));
    add_signs(&mut problems, signs);
    if device_level == Level::Bad {
        // Everything else follows from it.
        problems.truncate(1);
    }
    let is_silent = device_level == Level::Unknown && outbound.sent() == 0;
    let least = if is_silent { Level::Unknown } else { Level::Good };
    let level = problems.iter().map(|(level, _)| *level).max().unwrap_or(least);
    let said: Vec<String> = problems.into_iter().map(|(_, problem)| problem).collect();
    let verdict = match (said.is_empty(), level) {
        (false, _) => said.join("; "),
        (true, Level::Unknown) => "nothing is known of it yet".to_owned(),
        (true, _) => "nothing stands out".to_owned(),
    };
    let Traffic { inbound, outbound: sent, failed } =
        view.snapshot.traffic.get(&id).cloned().unwrap_or_default();
    let steps = (0..inbound.len()).map(|at| [inbound[at], sent[at], failed[at]]).collect();
    LineStatus { name, level, verdict, steps, mix: outbound.mix(), facts }
}

/// The same while the account is not read, since its newest complete sweep: what is not seen does not look well.
pub(super) fn unseen(status: LineStatus, since: i64) -> LineStatus {
    let seen = rfc3339(since);
    let unseen = format!("not seen since {} UTC", seen.get(11..16).unwrap_or(&seen));
    match status.level {
        Level::Good | Level::Unknown => LineStatus { level: Level::Unknown, verdict: unseen, ..status },
        Level::Warning | Level::Bad => {
            LineStatus { verdict: format!("{}; {unseen}", status.verdict), ..status }
        }
    }
}

/// What the line's device answered last.
fn device(view: &View, id: LineId, problems: &mut Vec<Problem>) -> Fact {
    let device = view.snapshot.devices.get(&id).copied().unwrap_or_default();
    let (level, said) = match (device.active, device.answered) {
        _ if matches!(id, LineId::NONE | LineId::OVERFLOW) => (Level::Good, "not a line of its own"),
        (_, Some(false)) => (Level::Bad, "the device does not answer"),
        (Some(false), _) => (Level::Bad, "Blooio says that it is inactive"),
        (_, Some(true)) => (Level::Good, "the device answers"),
        (Some(true), None) => (Level::Good, "the line is active"),
        (None, None) => (Level::Unknown, "not probed yet"),
    };
    if level == Level::Bad {
        problems.push((level, said.to_owned()));
    }
    fact("Device", said.trim_start_matches("the ").to_owned(), level)
}

/// The outbound messages of the window.
struct Outbound {
    by_status: BTreeMap<Status, u64>,
    /// Those whose protocol is iMessage or what it falls back to.
    routed: u64,
    fell_back: u64,
}

impl Outbound {
    fn of(view: &View, id: LineId) -> Outbound {
        let mut found = Outbound { by_status: BTreeMap::new(), routed: 0, fell_back: 0 };
        for ((line, direction, protocol, status), count) in &view.snapshot.recent {
            if *line != id || *direction != Direction::Outbound {
                continue;
            }
            *found.by_status.entry(*status).or_default() += count;
            if *protocol == Protocol::Imessage || protocol.is_fallback() {
                found.routed += count;
            }
            if protocol.is_fallback() {
                found.fell_back += count;
            }
        }
        found
    }

    fn sent(&self) -> u64 {
        self.by_status.values().sum()
    }

    /// The shares of failed messages and of those that left iMessage.
    fn rates(&self, problems: &mut Vec<Problem>) -> [Fact; 2] {
        let count = |status| self.by_status.get(&status).copied().unwrap_or(0);
        let failed = count(Status::Failed);
        let ended = failed + count(Status::Delivered);
        let level = failing(failed, ended);
        if level != Level::Good {
            problems.push((level, format!("messages fail too often: {}", share(failed, ended))));
        }
        let failures = fact("Failed", share(failed, ended), level);

        let left = share(self.fell_back, self.routed);
        let level = leaving(self.fell_back, self.routed);
        if level != Level::Good {
            problems.push((level, format!("many messages leave iMessage: {left}")));
        }
        [failures, fact("Left iMessage", left, level)]
    }

    fn mix(self) -> Vec<(&'static str, Shade, u64)> {
        let shade = |status: Status| match status {
            Status::Delivered => Shade::Delivered,
            Status::Sent => Shade::Sent,
            Status::Pending | Status::Queued => Shade::Waiting,
            Status::Failed => Shade::Failed,
            _ => Shade::Other,
        };
        let by_status = self.by_status.into_iter();
        let mut mix: Vec<_> =
            by_status.map(|(status, count)| (status.as_str(), shade(status), count)).collect();
        mix.sort_by_key(|(_, shade, _)| *shade as u8);
        mix
    }
}

fn latencies(id: LineId, latency: Option<&Histogram>, covered: i64, window: i64) -> Fact {
    let key = HistogramKey::Latency { line: id, protocol: Protocol::Imessage };
    let quantiles =
        latency.and_then(|latency| Some((quantile(latency, key, 0.5)?, quantile(latency, key, 0.95)?)));
    let step = step(window as f64 / 1000.0).as_millis() as i64;
    let reach =
        if covered + 2 * step >= window { String::new() } else { format!(" (last {})", span(covered)) };
    let value = match quantiles {
        Some((p50, p95)) => format!("{}, {}{reach}", seconds(p50), seconds(p95)),
        None => format!("nothing delivered{reach}"),
    };
    fact("Latency p50, p95", value, Level::Good)
}

/// The oldest messages that are not handed over yet, and those that were and have no receipt.
fn waiting(view: &View, id: LineId, now: i64, problems: &mut Vec<Problem>) -> [Fact; 2] {
    let open = view.snapshot.open.iter().filter(|((line, _), group)| *line == id && group.count > 0);
    let waits = |status: Status| matches!(status, Status::Pending | Status::Queued);
    let (mut oldest, mut waiting, mut count) = (None, None, 0);
    for ((_, status), group) in open {
        count += if waits(*status) { group.count } else { 0 };
        let slot = if waits(*status) { &mut waiting } else { &mut oldest };
        *slot = Some(slot.map_or(group.oldest, |at: i64| at.min(group.oldest)));
    }
    // A single one may have been forgotten by the API.
    let several = waiting.filter(|_| count >= STUCK_MESSAGES);
    let stuck = several.map_or(Level::Good, |at| by_age(now - at, STUCK));
    if let Some(at) = several.filter(|_| stuck != Level::Good) {
        problems.push((stuck, format!("messages are not handed over, the oldest for {}", span(now - at))));
    }
    let age = |at: Option<i64>| at.map_or("none".to_owned(), |at| span(now - at));
    [
        fact("Oldest waiting message", age(waiting), stuck),
        fact("Oldest sent, no receipt", age(oldest), Level::Good),
    ]
}

/// Adds signs; of two that say the same of different spans, the worse one stays.
pub(super) fn add_signs(problems: &mut Vec<(Level, String)>, signs: Vec<(Level, String)>) {
    let words = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    for sign in signs {
        match problems.iter_mut().find(|said| words(&said.1) == words(&sign.1)) {
            Some(said) if said.0 >= sign.0 => {}
            Some(said) => *said = sign,
            None => problems.push(sign),
        }
    }
}
