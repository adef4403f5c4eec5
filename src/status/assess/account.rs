//! The card of one account on the status page: how its collection is doing, in facts with levels.

use super::super::content::{AccountStatus, Fact, Level, LineStatus};
use super::super::figures::{quantile, seconds, span};
use super::super::history::{Cumulated, History};
use super::super::signs::Signs;
use super::super::thresholds::{
    CLOCK_OFFSET_SECONDS, LISTING_AGE, STALE, UNREADABLE_EXPIRING_AGE, UNREADABLE_FEW, UNREADABLE_FEW_RATIO,
};
use super::{RATE_LEAST, by_age, difference, fact, line};
use crate::domain::{Counter, HistogramKey, LineId, SweepResult, View};

/// What is said of an account at `now` (local unix ms), over the trailing `window`.
pub(super) fn assess(
    view: &View,
    name: impl Fn(LineId) -> String,
    history: &History,
    now: i64,
    window: i64,
) -> AccountStatus {
    let server_now = now + view.health.clock_offset.unwrap_or(0);
    let cumulated = Cumulated::of(view, now);
    let (before, covered) = history.before(&view.account, server_now, window);
    let settled = history.before(&view.account, server_now, STALE[0]).0.settled;
    let is_explained = cumulated.settled > settled && few_are_unreadable(view);
    let is_blind = view.snapshot.last_success > 0
        && !is_explained
        && server_now - view.snapshot.last_success >= STALE[0];
    let (level, verdict) = verdict(view, server_now, is_explained);
    let mut facts = vec![newest_sweep(view, server_now, is_explained)];
    facts.extend(delays(view, &cumulated, &before, server_now));
    facts.extend(requests(view, &cumulated, &before, covered));
    facts.extend(chats(view, server_now));
    facts.push(sweeps(view));
    let mut lines: Vec<LineStatus> = view
        .snapshot
        .lines
        .keys()
        .map(|id| {
            let recent = cumulated.latency.get(id).map(|latency| difference(latency, before.latency.get(id)));
            let now = cumulated.lines.get(id).copied().unwrap_or_default();
            let past = |ago| history.line_before(&view.account, *id, server_now, ago).unwrap_or((now, 0));
            let device = view.snapshot.devices.get(id).copied().unwrap_or_default();
            let probed = device.probed_at.map(|at| server_now - at);
            let signs = Signs { now, past: &past, latency: recent.as_ref(), probed }.found(*id);
            let status = line::assess(view, *id, name(*id), (recent, signs), (covered, window), server_now);
            if is_blind { line::unseen(status, view.snapshot.last_success) } else { status }
        })
        .collect();
    lines.sort_by(|one, other| other.level.cmp(&one.level).then_with(|| one.name.cmp(&other.name)));
    AccountStatus { name: view.account.clone(), level, verdict, facts, lines }
}

/// How the collection is doing. `is_explained`: unreadable chats explain that no sweep completes.
fn verdict(view: &View, now: i64, is_explained: bool) -> (Level, String) {
    let (snapshot, health) = (&view.snapshot, &view.health);
    let age = now - snapshot.last_success;
    let (level, verdict) = match (&health.problem, snapshot.last_success) {
        (None, _) if health.up => (Level::Good, "collecting".to_owned()),
        (Some(problem), _) => (Level::Bad, problem.clone()),
        (None, _) if !health.state_writable => (Level::Bad, "what is counted cannot be stored".to_owned()),
        (None, _) => (Level::Unknown, "the first sweep is under way".to_owned()),
    };
    let is_recent = health.swept && (age < STALE[0] || is_explained);
    let level = if level == Level::Bad && is_recent { Level::Warning } else { level };
    let warnings = warnings(view, now);
    let level = if warnings.is_empty() { level } else { level.max(Level::Warning) };
    (level, [vec![verdict], warnings].concat().join("; "))
}

fn newest_sweep(view: &View, now: i64, is_explained: bool) -> Fact {
    let (age, level) = match view.snapshot.last_success {
        0 => ("none yet".to_owned(), Level::Good),
        at => (format!("{} ago", span(now - at)), by_age(now - at, STALE)),
    };
    let level = if level == Level::Bad && is_explained { Level::Warning } else { level };
    fact("Last complete sweep", age, level)
}

/// How far counting has come, and how long after a message it is counted.
fn delays(view: &View, cumulated: &Cumulated, before: &Cumulated, now: i64) -> Vec<Fact> {
    let mut facts = Vec::new();
    if view.snapshot.watermark > 0 {
        let age = format!("{} ago", span(now - view.snapshot.watermark));
        facts.push(fact("Counted up to", age, Level::Good));
    }
    if let Some(delay) = &cumulated.delay {
        let recent = difference(delay, before.delay.as_ref());
        if let Some(p95) = quantile(&recent, HistogramKey::Delay, 0.95) {
            facts.push(fact("Counted after, p95", seconds(p95), Level::Good));
        }
    }
    facts
}

fn requests(view: &View, cumulated: &Cumulated, before: &Cumulated, covered: i64) -> Vec<Fact> {
    // The first requests come in a row: a rate of the first seconds would say nothing.
    if covered < RATE_LEAST {
        return Vec::new();
    }
    let requests = cumulated.requests.saturating_sub(before.requests);
    let rate = requests as f64 / (covered as f64 / 1000.0);
    let waited = cumulated.throttled.saturating_sub(before.throttled);
    vec![
        fact("Requests per second", format!("{rate:.2} of {}", view.health.budget), Level::Good),
        fact("Throttled", seconds(waited as f64 / 1000.0), Level::Good),
    ]
}

fn chats(view: &View, now: i64) -> Vec<Fact> {
    let health = &view.health;
    let is_behind = health.deferred > 0 && health.swept;
    let level = if is_behind { Level::Warning } else { Level::Good };
    let mut facts = vec![fact("Chats left for later", health.deferred.to_string(), level)];
    facts.extend(unreadable(view, now));
    facts.extend(health.chats.map(|chats| fact("Chats", chats.to_string(), Level::Good)));
    let listed = match view.snapshot.listed_at {
        0 => "none yet".to_owned(),
        at => format!("{} ago", span(now - at)),
    };
    let level = if is_overdue(view, now) { Level::Warning } else { Level::Good };
    facts.push(fact("Last full listing", listed, level));
    facts
}

fn sweeps(view: &View) -> Fact {
    let count = |result: SweepResult| {
        let counters = &view.snapshot.counters;
        let found = counters.iter().find(|(counter, _)| *counter == Counter::Sweeps { result });
        found.map_or(0, |(_, count)| *count)
    };
    let [complete, partial, failed] =
        [SweepResult::Complete, SweepResult::Partial, SweepResult::Failed].map(count);
    fact("Sweeps whole, partial, failed", format!("{complete}, {partial}, {failed}"), Level::Good)
}

/// Whether unreadable chats explain that no sweep completes, while the rest of the account is read.
fn few_are_unreadable(view: &View) -> bool {
    let unreadable: u64 = view.unreadable().map(|(_, chats)| chats).sum();
    let share = unreadable as f64 / view.health.chats.unwrap_or(0) as f64;
    (1..=UNREADABLE_FEW).contains(&unreadable) && share <= UNREADABLE_FEW_RATIO
}

/// Chats that are listed and cannot be read; `None` without one.
fn unreadable(view: &View, now: i64) -> Option<Fact> {
    let reasons = view.unreadable().filter(|(_, chats)| *chats > 0);
    let reasons: Vec<String> =
        reasons.map(|(reason, chats)| format!("{chats} {}", reason.as_str())).collect();
    let since = view.unreadable_since().filter(|_| !reasons.is_empty())?;
    let age = now - since;
    let level = if age > UNREADABLE_EXPIRING_AGE { Level::Bad } else { Level::Warning };
    let value = format!("{}; the oldest for {}", reasons.join(", "), span(age));
    Some(fact("Unreadable chats", value, level))
}

fn is_overdue(view: &View, now: i64) -> bool {
    view.snapshot.listed_at > 0 && now - view.snapshot.listed_at > LISTING_AGE
}

/// What is wrong besides the result of the newest sweep, a sentence each.
fn warnings(view: &View, now: i64) -> Vec<String> {
    let exhausted = view.health.exhausted.clone();
    let overdue = is_overdue(view, now).then(|| {
        format!("the newest complete listing of all chats is {} old", span(now - view.snapshot.listed_at))
    });
    let clock =
        view.health.clock_offset.filter(|offset| offset.unsigned_abs() > CLOCK_OFFSET_SECONDS * 1000).map(
            |offset| {
                let direction = if offset > 0 { "behind" } else { "ahead of" };
                format!("this host's clock is {} {direction} the API's", span(offset.abs()))
            },
        );
    exhausted.into_iter().chain(overdue).chain(clock).collect()
}
