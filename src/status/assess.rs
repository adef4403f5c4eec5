//! From views to what the status page tells.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::figures::{quantile, seconds, share, span};
use super::history::{Cumulated, History, step};
use super::render::{AccountStatus, Fact, Level, LineStatus, Shade, Status};
use super::signs::{Signs, failing, leaving};
use super::webhooks;
use crate::domain::view::Traffic;
use crate::domain::{
    Counter, Direction, Histogram, HistogramKey, LineId, Protocol, Status as MessageStatus, SweepResult, View,
};
use crate::metrics::Board;
use crate::metrics::exposition::Received;

// When a figure is worth a look: as the alerts have it. A test below holds these against alerts/thresholds.py.
/// Ages of a message that waits for its hand-over: worth a look, and bad; in minutes.
const STUCK: [i64; 2] = [5, 15];
/// How many messages must wait.
const STUCK_MESSAGES: u64 = 2;
const MINUTE: i64 = 60_000;
/// The least span that a rate is told of, in milliseconds.
const RATE_LEAST: i64 = 60_000;
/// Ages of the newest complete sweep: worth a look, and bad; in minutes.
const STALE: [i64; 2] = [5, 30];
/// Up to so many unreadable chats, and up to this share of all, do not make the account stale.
const UNREADABLE_FEW: u64 = 10;
const UNREADABLE_FEW_SHARE: f64 = 0.5;
/// From this age on, messages in an unreadable chat are about to be lost; in days.
const EXPIRING: i64 = 12;
/// Age of the newest complete full listing that is worth a look, in hours.
const LISTING: i64 = 6;
/// Difference between the host's clock and the server's that is worth a look, in seconds.
const CLOCK: i64 = 30;

/// What the page says at this moment (local unix ms). `version` is the exporter's.
pub fn status(version: &str, board: &Board, history: &History, now: i64, received: &[Received]) -> Status {
    let display = board.display();
    let window = (display.window_seconds * 1000.0) as i64;
    let mut problems = Vec::new();
    if !display.configured {
        problems.push(
            "The configuration could not be read again; the one before stays in force. The log says why."
                .to_owned(),
        );
    }
    let views = display.views();
    if views.iter().any(|view| !view.health.state_writable) {
        problems.push(
            "The state cannot be written; the figures stay at the last commit. The log says why.".to_owned(),
        );
    }
    let taken_at = Duration::from_millis(now.max(0) as u64);
    let accounts = views.iter().map(|view| {
        let mut account =
            account(view, |line| display.line_name(view, line).into_owned(), history, now, window);
        let received = received.iter().find(|received| received.account == view.account);
        account.facts.extend(webhooks::facts(view, received, now));
        account
    });
    Status {
        version: version.to_owned(),
        taken_at: humantime::format_rfc3339_seconds(UNIX_EPOCH + taken_at).to_string(),
        window: span(window),
        looks_back: views
            .iter()
            .map(|view| looks_back(view, history, now))
            .min()
            .map(span)
            .unwrap_or_default(),
        problems,
        accounts: accounts.collect(),
    }
}

/// How far back the signs of an account's lines look at present, ms.
fn looks_back(view: &View, history: &History, now: i64) -> i64 {
    history.reach(&view.account, now + view.health.clock_offset.unwrap_or(0)).min(24 * 60 * MINUTE)
}

fn account(
    view: &View,
    name: impl Fn(LineId) -> String,
    history: &History,
    now: i64,
    window: i64,
) -> AccountStatus {
    let (snapshot, health) = (&view.snapshot, &view.health);
    let server_now = now + health.clock_offset.unwrap_or(0);
    let (before, covered) = history.before(&view.account, server_now, window);
    let cumulated = Cumulated::of(view, now);
    let age = server_now - snapshot.last_success;
    let (level, verdict) = match (&health.problem, snapshot.last_success) {
        (None, _) if health.up => (Level::Good, "collecting".to_owned()),
        (Some(problem), _) => (Level::Bad, problem.clone()),
        (None, _) => (Level::Unknown, "the first sweep is under way".to_owned()),
    };
    let settles = cumulated.settled > history.before(&view.account, server_now, STALE[0] * MINUTE).0.settled;
    let explained = settles && few_are_unreadable(view);
    let level = if level == Level::Bad && health.swept && (age < STALE[0] * MINUTE || explained) {
        Level::Warning
    } else {
        level
    };
    let warnings = warnings(view, server_now);
    let level = if warnings.is_empty() { level } else { level.max(Level::Warning) };
    let verdict = [vec![verdict], warnings].concat().join("; ");
    let mut facts = vec![fact(
        "Last complete sweep",
        match snapshot.last_success {
            0 => "none yet".to_owned(),
            _ => format!("{} ago", span(age)),
        },
        match by_age(age, STALE) {
            _ if snapshot.last_success == 0 => Level::Good,
            Level::Bad if explained => Level::Warning,
            level => level,
        },
    )];
    if snapshot.watermark > 0 {
        facts.push(fact(
            "Counted up to",
            format!("{} ago", span(server_now - snapshot.watermark)),
            Level::Good,
        ));
    }
    if let Some(delay) = &cumulated.delay {
        let recent = difference(delay, before.delay.as_ref());
        if let Some(p95) = quantile(&recent, HistogramKey::Delay, 0.95) {
            facts.push(fact("Counted after, p95", seconds(p95), Level::Good));
        }
    }
    // The first requests come in a row: a rate of the first seconds would say nothing.
    if covered >= RATE_LEAST {
        let requests = cumulated.requests.saturating_sub(before.requests);
        let rate = requests as f64 / (covered as f64 / 1000.0);
        facts.push(fact("Requests per second", format!("{rate:.2} of {}", health.budget), Level::Good));
        let waited = cumulated.throttled.saturating_sub(before.throttled);
        facts.push(fact("Throttled", seconds(waited as f64 / 1000.0), Level::Good));
    }
    let is_behind = health.deferred > 0 && health.swept;
    facts.push(fact(
        "Chats left for later",
        health.deferred.to_string(),
        if is_behind { Level::Warning } else { Level::Good },
    ));
    facts.extend(unreadable(view, server_now));
    if let Some(chats) = health.chats {
        facts.push(fact("Chats", chats.to_string(), Level::Good));
    }
    facts.push(fact(
        "Last full listing",
        match snapshot.listed_at {
            0 => "none yet".to_owned(),
            at => format!("{} ago", span(server_now - at)),
        },
        if is_overdue(view, server_now) { Level::Warning } else { Level::Good },
    ));
    let sweeps = |result: SweepResult| {
        let found = snapshot.counters.iter().find(|(counter, _)| *counter == Counter::Sweeps { result });
        found.map_or(0, |(_, count)| *count)
    };
    facts.push(fact(
        "Sweeps whole, partial, failed",
        format!(
            "{}, {}, {}",
            sweeps(SweepResult::Complete),
            sweeps(SweepResult::Partial),
            sweeps(SweepResult::Failed)
        ),
        Level::Good,
    ));
    let mut lines: Vec<LineStatus> = snapshot
        .lines
        .keys()
        .map(|id| {
            let recent = cumulated.latency.get(id).map(|latency| difference(latency, before.latency.get(id)));
            let now = cumulated.lines.get(id).copied().unwrap_or_default();
            let past = |ago| history.line_before(&view.account, *id, server_now, ago).unwrap_or((now, 0));
            let device = snapshot.devices.get(id).copied().unwrap_or_default();
            let probed = device.probed_at.map(|at| server_now - at);
            let signs = Signs { now, past: &past, latency: recent.as_ref(), probed }.found(*id);
            line(view, *id, name(*id), (recent, signs), (covered, window), server_now)
        })
        .collect();
    lines.sort_by(|one, other| other.level.cmp(&one.level).then_with(|| one.name.cmp(&other.name)));
    AccountStatus { name: view.account.clone(), level, verdict, facts, lines }
}

/// Whether unreadable chats explain that no sweep completes, while the rest of the account is read.
fn few_are_unreadable(view: &View) -> bool {
    let unreadable: u64 = view.unreadable().map(|(_, chats)| chats).sum();
    let share = unreadable as f64 / view.health.chats.unwrap_or(0) as f64;
    (1..=UNREADABLE_FEW).contains(&unreadable) && share <= UNREADABLE_FEW_SHARE
}

/// Chats that are listed and cannot be read; `None` without one.
fn unreadable(view: &View, now: i64) -> Option<Fact> {
    let reasons = view.unreadable().filter(|(_, chats)| *chats > 0);
    let reasons: Vec<String> =
        reasons.map(|(reason, chats)| format!("{chats} {}", reason.as_str())).collect();
    let since = view.unreadable_since().filter(|_| !reasons.is_empty())?;
    let age = now - since;
    let level = if age > EXPIRING * 24 * 60 * MINUTE { Level::Bad } else { Level::Warning };
    let value = format!("{}; the oldest for {}", reasons.join(", "), span(age));
    Some(fact("Unreadable chats", value, level))
}

fn is_overdue(view: &View, now: i64) -> bool {
    view.snapshot.listed_at > 0 && now - view.snapshot.listed_at > LISTING * 60 * MINUTE
}

/// What is wrong besides the result of the newest sweep, a sentence each.
fn warnings(view: &View, now: i64) -> Vec<String> {
    let exhausted = view.health.exhausted.clone();
    let overdue = is_overdue(view, now).then(|| {
        format!("the newest complete listing of all chats is {} old", span(now - view.snapshot.listed_at))
    });
    let clock = view.health.clock_offset.filter(|offset| offset.abs() > CLOCK * 1000).map(|offset| {
        let direction = if offset > 0 { "behind" } else { "ahead of" };
        format!("this host's clock is {} {direction} the API's", span(offset.abs()))
    });
    exhausted.into_iter().chain(overdue).chain(clock).collect()
}

fn line(
    view: &View,
    id: LineId,
    name: String,
    (latency, signs): (Option<Histogram>, Vec<(Level, String)>),
    (covered, window): (i64, i64),
    now: i64,
) -> LineStatus {
    let snapshot = &view.snapshot;
    let device = snapshot.devices.get(&id).copied().unwrap_or_default();
    let recent = snapshot
        .recent
        .iter()
        .filter(|((line, direction, ..), _)| *line == id && *direction == Direction::Outbound);
    let mut by_status: BTreeMap<MessageStatus, u64> = BTreeMap::new();
    let (mut protocol_known, mut fell_back) = (0, 0);
    for ((_, _, protocol, status), count) in recent {
        *by_status.entry(*status).or_default() += count;
        if *protocol == Protocol::Imessage || protocol.is_fallback() {
            protocol_known += count;
        }
        if protocol.is_fallback() {
            fell_back += count;
        }
    }
    let sent: u64 = by_status.values().sum();
    let failed = by_status.get(&MessageStatus::Failed).copied().unwrap_or(0);
    let ended = failed + by_status.get(&MessageStatus::Delivered).copied().unwrap_or(0);

    let mut problems: Vec<(Level, String)> = Vec::new();
    let mut facts = Vec::new();

    let (device_level, device) = match (device.active, device.answered) {
        _ if matches!(id, LineId::NONE | LineId::OVERFLOW) => (Level::Good, "not a line of its own"),
        (_, Some(false)) => (Level::Bad, "the device does not answer"),
        (Some(false), _) => (Level::Bad, "Blooio says that it is inactive"),
        (_, Some(true)) => (Level::Good, "the device answers"),
        (Some(true), None) => (Level::Good, "the line is active"),
        (None, None) => (Level::Unknown, "not probed yet"),
    };
    if device_level == Level::Bad {
        problems.push((Level::Bad, device.to_owned()));
    }
    facts.push(fact("Device", device.trim_start_matches("the ").to_owned(), device_level));

    let level = failing(failed, ended);
    if level != Level::Good {
        problems.push((level, format!("messages fail too often: {}", share(failed, ended))));
    }
    facts.push(fact("Failed", share(failed, ended), level));

    let level = leaving(fell_back, protocol_known);
    if level != Level::Good {
        problems.push((level, format!("many messages leave iMessage: {}", share(fell_back, protocol_known))));
    }
    facts.push(fact("Left iMessage", share(fell_back, protocol_known), level));

    let key = HistogramKey::Latency { line: id, protocol: Protocol::Imessage };
    let quantiles = latency
        .as_ref()
        .and_then(|latency| Some((quantile(latency, key, 0.5)?, quantile(latency, key, 0.95)?)));
    let step = step(window as f64 / 1000.0).as_millis() as i64;
    let reach =
        if covered + 2 * step >= window { String::new() } else { format!(" (last {})", span(covered)) };
    facts.push(fact(
        "Latency p50, p95",
        match quantiles {
            Some((p50, p95)) => format!("{}, {}{reach}", seconds(p50), seconds(p95)),
            None => format!("nothing delivered{reach}"),
        },
        Level::Good,
    ));

    let open = snapshot.open.iter().filter(|((line, _), group)| *line == id && group.count > 0);
    let waits = |status: MessageStatus| matches!(status, MessageStatus::Pending | MessageStatus::Queued);
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
    add_signs(&mut problems, signs);
    let age = |at: Option<i64>| at.map_or("none".to_owned(), |at| span(now - at));
    facts.push(fact("Oldest waiting message", age(waiting), stuck));
    facts.push(fact("Oldest sent, no receipt", age(oldest), Level::Good));

    let shade = |status: MessageStatus| match status {
        MessageStatus::Delivered => Shade::Delivered,
        MessageStatus::Sent => Shade::Sent,
        MessageStatus::Pending | MessageStatus::Queued => Shade::Waiting,
        MessageStatus::Failed => Shade::Failed,
        _ => Shade::Other,
    };
    let mut mix: Vec<_> =
        by_status.into_iter().map(|(status, count)| (status.as_str(), shade(status), count)).collect();
    mix.sort_by_key(|(_, shade, _)| *shade as u8);

    if device_level == Level::Bad {
        // Everything else follows from it.
        problems.truncate(1);
    }
    let level = problems.iter().map(|(level, _)| *level).max();
    let level = level.unwrap_or(if device_level == Level::Unknown && sent == 0 {
        Level::Unknown
    } else {
        Level::Good
    });
    let said: Vec<String> = problems.into_iter().map(|(_, problem)| problem).collect();
    let verdict = match (said.is_empty(), level) {
        (false, _) => said.join("; "),
        (true, Level::Unknown) => "nothing is known of it yet".to_owned(),
        (true, _) => "nothing stands out".to_owned(),
    };
    let Traffic { inbound, outbound, failed } = snapshot.traffic.get(&id).cloned().unwrap_or_default();
    let steps = (0..inbound.len()).map(|at| [inbound[at], outbound[at], failed[at]]).collect();
    LineStatus { name, level, verdict, steps, mix, facts }
}

/// Adds signs; of two that say the same of different spans, the worse one stays.
fn add_signs(problems: &mut Vec<(Level, String)>, signs: Vec<(Level, String)>) {
    let words = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    for sign in signs {
        match problems.iter_mut().find(|said| words(&said.1) == words(&sign.1)) {
            Some(said) if said.0 >= sign.0 => {}
            Some(said) => *said = sign,
            None => problems.push(sign),
        }
    }
}

/// How an age in milliseconds is to be taken, with limits in minutes.
fn by_age(age: i64, [look, bad]: [i64; 2]) -> Level {
    match age / MINUTE {
        minutes if minutes >= bad => Level::Bad,
        minutes if minutes >= look => Level::Warning,
        _ => Level::Good,
    }
}

fn fact(term: &'static str, value: String, level: Level) -> Fact {
    Fact { term, value, level }
}

/// What was observed since.
fn difference(now: &Histogram, before: Option<&Histogram>) -> Histogram {
    let mut difference = now.clone();
    if let Some(before) = before {
        for (now, before) in difference.counts.iter_mut().zip(&before.counts) {
            *now = now.saturating_sub(*before);
        }
        difference.sum -= before.sum;
    }
    difference
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_limits_are_those_of_the_alerts() {
        let thresholds = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/thresholds.py"));
        for limit in [
            format!("STUCK = [(\"{}m\", \"warning\"), (\"{}m\", \"critical\")]\n", STUCK[0], STUCK[1]),
            format!("STUCK_MESSAGES = {STUCK_MESSAGES}\n"),
            format!("STALE = [(\"{}m\", \"warning\"), (\"{}m\", \"critical\")]\n", STALE[0], STALE[1]),
            format!("UNREADABLE_FEW = {UNREADABLE_FEW}\n"),
            format!("UNREADABLE_FEW_RATIO = {UNREADABLE_FEW_SHARE}\n"),
            format!("UNREADABLE_EXPIRING_AGE = \"{EXPIRING}d\"\n"),
            format!("LISTING_AGE = \"{LISTING}h\"\n"),
            format!("CLOCK_OFFSET_SECONDS = {CLOCK}\n"),
        ] {
            assert!(thresholds.contains(&limit), "alerts/thresholds.py has no {limit}");
        }
        assert_eq!(
            [4, 5, 15].map(|minutes| by_age(minutes * MINUTE, STUCK)),
            [Level::Good, Level::Warning, Level::Bad]
        );
    }

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        for (millis, told) in
            [(-5, "0 s"), (999, "0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h"), (90_061_000, "1 d 1 h")]
        {
            assert_eq!(span(millis), told);
        }
    }

    /// A view of an account whose newest complete sweep ended an hour before `NOW`.
    fn view(change: impl FnOnce(&mut View)) -> View {
        let mut view = View { account: "a".to_owned(), ..View::default() };
        (view.snapshot.last_success, view.snapshot.listed_at) = (NOW - HOUR, NOW);
        (view.health.swept, view.health.chats) = (true, Some(20));
        change(&mut view);
        view
    }

    const HOUR: i64 = 60 * MINUTE;
    const NOW: i64 = 1000 * HOUR;

    fn shown(view: &View, history: &History) -> AccountStatus {
        account(view, |_| String::new(), history, NOW, HOUR)
    }

    fn told(status: &AccountStatus, term: &str) -> Option<(String, Level)> {
        let fact = status.facts.iter().find(|fact| fact.term == term)?;
        Some((fact.value.clone(), fact.level))
    }

    fn partial_sweeps(count: u64) -> Vec<(Counter, u64)> {
        vec![(Counter::Sweeps { result: SweepResult::Partial }, count)]
    }

    #[test]
    fn a_few_unreadable_chats_are_a_warning_and_say_why() {
        let broken = |chats: u64| {
            view(|view| {
                view.health.problem = Some("1 chats are still to be read".to_owned());
                view.snapshot.unreadable[0] = chats;
                view.snapshot.unreadable_since = Some(NOW - 10 * MINUTE);
                view.snapshot.counters = partial_sweeps(8);
            })
        };
        let history = History::default();
        let status = shown(&broken(1), &history);
        assert_eq!(status.level, Level::Warning, "the other chats are read");
        assert_eq!(
            told(&status, "Unreadable chats"),
            Some(("1 not_found; the oldest for 10 min".to_owned(), Level::Warning))
        );
        assert_eq!(told(&status, "Last complete sweep").unwrap().1, Level::Warning);
        assert_eq!(shown(&broken(10), &history).level, Level::Warning);
        assert_eq!(shown(&broken(11), &history).level, Level::Bad, "an outage");
        let mut half = broken(1);
        half.health.chats = Some(1);
        assert_eq!(shown(&half, &history).level, Level::Bad, "all of the chats");
        assert_eq!(told(&shown(&view(|_| ()), &history), "Unreadable chats"), None);

        let earlier = Arc::new(broken(1));
        history.sample(std::slice::from_ref(&earlier), NOW - 2 * MINUTE);
        assert_eq!(shown(&broken(1), &history).level, Level::Bad, "no sweep ended in the meantime");
    }

    #[test]
    fn an_unreadable_chat_whose_messages_are_about_to_be_lost_is_bad() {
        let status = |age: i64| {
            let view = view(|view| {
                view.snapshot.unreadable[2] = 1;
                view.snapshot.unreadable_since = Some(NOW - age);
            });
            told(&shown(&view, &History::default()), "Unreadable chats").unwrap()
        };
        assert_eq!(status(12 * 24 * HOUR).1, Level::Warning);
        assert_eq!(
            status(12 * 24 * HOUR + HOUR),
            ("1 server_error; the oldest for 12 d 1 h".to_owned(), Level::Bad)
        );
    }

    #[test]
    fn a_line_without_receipts_says_so_and_a_dead_one_says_only_that() {
        let line = LineId(1);
        let counted = |sent: u64, delivered: u64, answered: bool| {
            view(|view| {
                view.snapshot.lines.insert(line, "+1".to_owned());
                let device = view.snapshot.devices.entry(line).or_default();
                device.answered = Some(answered);
                view.snapshot.counters = vec![
                    (Counter::Sent { line, protocol: Protocol::Imessage }, sent),
                    (Counter::Delivered { line, protocol: Protocol::Imessage }, delivered),
                ];
            })
        };
        let history = History::default();
        history.sample(&[Arc::new(counted(100, 100, true))], NOW - HOUR);
        history.sample(&[Arc::new(counted(130, 101, true))], NOW - 10 * MINUTE);
        let verdict = |view: &View| shown(view, &history).lines.remove(0).verdict;
        assert_eq!(
            verdict(&counted(140, 102, true)),
            "iMessages get no receipts: 7 % (2 of 30) over 50 min",
            "what was handed over within ten minutes may still get one"
        );
        assert_eq!(verdict(&counted(140, 130, true)), "nothing stands out");
        assert_eq!(verdict(&counted(140, 102, false)), "the device does not answer");
        let fresh = shown(&counted(140, 102, true), &History::default()).lines.remove(0).verdict;
        assert_eq!(
            fresh, "nothing stands out",
            "what was counted before the first sample is of an unknown time"
        );
    }

    #[test]
    fn of_two_spans_the_worse_is_told() {
        let sign = |level, text: &str| (level, text.to_owned());
        let mut problems = vec![sign(Level::Warning, "messages fail too often: 9 %")];
        add_signs(&mut problems, vec![sign(Level::Warning, "messages fail too often: 8 % over 1 d")]);
        assert_eq!(problems, [sign(Level::Warning, "messages fail too often: 9 %")]);
        let worse = sign(Level::Bad, "messages fail too often: 8 % over 6 h");
        add_signs(&mut problems, vec![worse.clone(), sign(Level::Warning, "nothing is sent over 4 h")]);
        assert_eq!(problems, [worse, sign(Level::Warning, "nothing is sent over 4 h")]);
    }

    #[test]
    fn the_verdict_names_an_exhausted_budget_an_overdue_listing_and_a_wrong_clock() {
        let verdict = |change: &dyn Fn(&mut View)| {
            let view = view(|view| {
                view.health.up = true;
                change(view);
            });
            let status = shown(&view, &History::default());
            (status.verdict, status.level)
        };
        let warned = |text: &str| (format!("collecting; {text}"), Level::Warning);
        assert_eq!(verdict(&|_| ()), ("collecting".to_owned(), Level::Good));
        assert_eq!(
            verdict(&|view| view.health.exhausted = Some("the budget is exhausted".to_owned())),
            warned("the budget is exhausted")
        );
        assert_eq!(
            verdict(&|view| view.snapshot.listed_at = NOW - 6 * HOUR),
            ("collecting".to_owned(), Level::Good)
        );
        assert_eq!(
            verdict(&|view| view.snapshot.listed_at = NOW - 7 * HOUR),
            warned("the newest complete listing of all chats is 7 h old")
        );
        for (offset, text) in [
            (31_000, "this host's clock is 31 s behind the API's"),
            (-120_000, "this host's clock is 2 min ahead of the API's"),
        ] {
            assert_eq!(verdict(&|view| view.health.clock_offset = Some(offset)), warned(text));
        }
        assert_eq!(
            verdict(&|view| view.health.clock_offset = Some(-30_000)),
            ("collecting".to_owned(), Level::Good)
        );
    }
}
