//! One fortnight per seed, and what the alerts of its lines did.

use std::collections::BTreeMap;

use blooio_exporter::simulator::decay::{self, DECAYS};
use blooio_exporter::simulator::{Setup, Tuning, World};

use crate::evaluate::Line;
use crate::load;
use crate::rules::{Alert, Rules};
use crate::series::{self, STEP};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The rules compare with the week before: no line decays before so many days.
const HISTORY: i64 = 8 * DAY;
const FORTNIGHT: i64 = 14 * DAY;
/// Half of everything fails so long after a line began to decay, except on the shadow-limited one.
const FAILS_AFTER: i64 = 3 * DAY;
/// Hours of the day in which the lines have traffic.
const TRAFFIC: (i64, i64) = (8, 20);
const STEPS_PER_DAY: usize = (86_400 / STEP) as usize;

/// One alert that began to fire.
#[derive(Clone, Debug)]
struct Firing {
    step: usize,
    alert: String,
    is_page: bool,
    /// Whether it says that messages fail.
    is_failure: bool,
}

/// What happened on one line.
struct Outcome {
    /// Its use, or the fault by which it decays.
    name: &'static str,
    /// When it begins to decay, where it does.
    decays_at: Option<usize>,
    firings: Vec<Firing>,
}

/// The lines of an account that lived for so long, and when those that decay began to.
pub(crate) struct Account {
    pub(crate) world: World,
    /// For each line its use or the fault by which it decays, and when that began.
    pub(crate) lines: Vec<(&'static str, Option<i64>)>,
}

/// Healthy lines next to some that begin to decay after `history` ms, for `time` ms in all.
pub(crate) fn account(seed: u64, history: i64, days: i64, time: i64) -> Account {
    let controls = decay::controls();
    let first = controls.len();
    let mut lines: Vec<_> = controls.iter().map(|control| (control.name, None)).collect();
    let conversations = controls.into_iter().map(|control| control.conversations);
    let conversations = conversations.chain(DECAYS.iter().map(|_| decay::before())).collect();
    // A Monday at midnight.
    let setup = Setup { seed, start_ms: 1_791_158_400_000, ..decay::setup(conversations) };
    let start = setup.start_ms;
    let mut world = World::new(setup);
    let numbers = world.lines();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut events: Vec<(i64, usize, bool)> = Vec::new();
    for (n, decay) in DECAYS.iter().enumerate() {
        // Within the hours of traffic: the time without traffic says nothing.
        let begin = history + rng.i64(0..days) * DAY + rng.i64(TRAFFIC.0 * HOUR..TRAFFIC.1 * HOUR);
        lines.push((decay.fault, Some(begin)));
        events.extend([(start + begin, n, true), (start + begin + FAILS_AFTER, n, false)]);
    }
    events.sort_unstable();
    for (at, n, begins) in events.into_iter().filter(|(at, ..)| *at < start + time) {
        world.step(at);
        let (decay, line) = (&DECAYS[n], &numbers[first + n]);
        if begins {
            world.switch_on(decay.fault, Tuning { value: decay.value, ..Tuning::line(line) }).unwrap();
        } else if decay.fault != "shadow-limited" {
            world.switch_on("all-fail", Tuning { value: Some(0.5), ..Tuning::line(line) }).unwrap();
        }
    }
    world.step(start + time);
    Account { world, lines }
}

/// A fortnight after eight days of history.
fn fortnight(seed: u64, rules: &Rules) -> Vec<Outcome> {
    let Account { world, lines } = account(seed, HISTORY, 4, HISTORY + FORTNIGHT);
    let mut all = series::of(&world, &load::options());
    let outcomes = world.lines().into_iter().zip(lines).map(|(number, (name, begin))| {
        let line = Line::new(STEP, all.remove(&number).unwrap(), &rules.records);
        let decays_at = begin.map(|begin| (begin / 1_000 / i64::from(STEP)) as usize);
        Outcome { name, decays_at, firings: firings(rules, &line) }
    });
    outcomes.collect()
}

/// When each alert began to fire. Firings of one alert within a day are one.
fn firings(rules: &Rules, line: &Line<'_>) -> Vec<Firing> {
    let mut found = Vec::new();
    for alert in &rules.alerts {
        let mut newest: Option<usize> = None;
        for (step, fires) in alert.firing(line).into_iter().enumerate() {
            if fires && newest.is_none_or(|newest| step - newest > STEPS_PER_DAY) {
                found.push(Firing {
                    step,
                    alert: label(alert),
                    is_page: alert.severity == "critical",
                    is_failure: alert.name == "BlooioDeliveryErrorBudgetBurn",
                });
            }
            newest = if fires { Some(step) } else { newest };
        }
    }
    found.sort_by_key(|firing| firing.step);
    found
}

fn label(alert: &Alert) -> String {
    let name = alert.name.trim_start_matches("Blooio");
    if alert.window.is_empty() { name.to_owned() } else { format!("{name} {}", alert.window) }
}

/// Hours between two steps.
fn hours(from: usize, to: usize) -> f64 {
    (to as f64 - from as f64) * f64::from(STEP) / 3_600.0
}

/// Hours of traffic between two steps.
fn hours_of_traffic(from: usize, to: usize) -> f64 {
    let has_traffic = |step: &usize| {
        let hour = (*step as i64 * i64::from(STEP) / 3_600) % 24;
        hour >= TRAFFIC.0 && hour < TRAFFIC.1
    };
    (from..to).filter(has_traffic).count() as f64 * f64::from(STEP) / 3_600.0
}

/// What became of the lines that decay in one way.
#[derive(Default)]
struct Decayed {
    seeds: usize,
    /// Hours from the beginning to the first warning, and how many of them had traffic.
    warned: Vec<(f64, f64)>,
    /// Hours from the first warning to the first page about failures.
    leads: Vec<f64>,
    by: BTreeMap<String, usize>,
}

/// What became of the healthy lines of one use.
#[derive(Default)]
struct Healthy {
    days: f64,
    warnings: usize,
    pages: usize,
    by: BTreeMap<String, usize>,
}

/// The tables over all seeds.
#[derive(Default)]
struct Tables {
    decayed: BTreeMap<&'static str, Decayed>,
    healthy: BTreeMap<&'static str, Healthy>,
}

impl Tables {
    fn add(&mut self, outcome: Outcome) {
        let until = outcome.decays_at.unwrap_or(usize::MAX);
        // The first day after a first start compares with nothing.
        let name = if outcome.decays_at.is_some() { "before it decays" } else { outcome.name };
        let healthy = self.healthy.entry(name).or_default();
        let end = ((HISTORY + FORTNIGHT) / DAY) as f64;
        healthy.days += outcome.decays_at.map_or(end, |at| at as f64 / STEPS_PER_DAY as f64) - 1.0;
        for firing in
            outcome.firings.iter().filter(|firing| firing.step < until && firing.step >= STEPS_PER_DAY)
        {
            healthy.warnings += usize::from(!firing.is_page);
            healthy.pages += usize::from(firing.is_page);
            *healthy.by.entry(firing.alert.clone()).or_default() += 1;
        }
        let Some(began) = outcome.decays_at else { return };
        let decayed = self.decayed.entry(outcome.name).or_default();
        decayed.seeds += 1;
        let since = || outcome.firings.iter().filter(|firing| firing.step >= began);
        let failed = since().find(|firing| firing.is_page && firing.is_failure).map(|firing| firing.step);
        let Some(warning) = since().find(|firing| !firing.is_failure) else { return };
        if failed.is_some_and(|failed| failed <= warning.step) {
            return;
        }
        decayed.warned.push((hours(began, warning.step), hours_of_traffic(began, warning.step)));
        decayed.leads.extend(failed.map(|failed| hours(warning.step, failed)));
        *decayed.by.entry(warning.alert.clone()).or_default() += 1;
    }

    fn print(&self) {
        println!(
            "| decay | warned first | first warning after (median) | 95 of 100 | of it with traffic, 95 of 100 | lead over the first page about failures (median) | least | first warning |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for decay in &DECAYS {
            let Some(found) = self.decayed.get(decay.fault) else { continue };
            let all: Vec<f64> = found.warned.iter().map(|(hours, _)| *hours).collect();
            let traffic: Vec<f64> = found.warned.iter().map(|(_, hours)| *hours).collect();
            println!(
                "| `{}` | {} of {} | {} | {} | {} | {} | {} | {} |",
                decay.fault,
                found.warned.len(),
                found.seeds,
                text(&all, 0.5),
                text(&all, 0.95),
                text(&traffic, 0.95),
                text(&found.leads, 0.5),
                text(&found.leads, 0.0),
                most(&found.by),
            );
        }
        println!("\n| healthy line | line-months | warnings per line and month | pages | which |");
        println!("|---|---|---|---|---|");
        for (name, healthy) in &self.healthy {
            let months = healthy.days / 30.0;
            let rate = healthy.warnings as f64 / months;
            println!("| {name} | {months:.1} | {rate:.2} | {} | {} |", healthy.pages, most(&healthy.by));
        }
    }
}

/// A quantile of hours, as text.
fn text(hours: &[f64], quantile: f64) -> String {
    let mut sorted = hours.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (quantile * sorted.len() as f64) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .map_or("never fails".to_owned(), |hours| format!("{hours:.1} h"))
}

/// The alerts by how often they were meant.
fn most(by: &BTreeMap<String, usize>) -> String {
    let mut sorted: Vec<_> = by.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let words: Vec<String> =
        sorted.iter().take(3).map(|(alert, count)| format!("{alert} ({count})")).collect();
    words.join(", ")
}

/// The seeds to try: `1001..1100`, or a few.
fn seeds() -> std::ops::RangeInclusive<u64> {
    let chosen = std::env::var("BLOOIO_FORTNIGHTS").unwrap_or_else(|_| "1..3".to_owned());
    let (first, last) = chosen.split_once("..").expect("BLOOIO_FORTNIGHTS is FIRST..LAST");
    first.parse().unwrap()..=last.parse().unwrap()
}

#[test]
fn decay_is_warned_of_before_the_first_page_about_failures() {
    let rules = Rules::shipped();
    let mut tables = Tables::default();
    let seeds = seeds();
    let count = seeds.clone().count();
    for seed in seeds {
        fortnight(seed, &rules).into_iter().for_each(|outcome| tables.add(outcome));
    }
    tables.print();
    for (name, decayed) in &tables.decayed {
        assert!(
            decayed.warned.len() * 100 >= decayed.seeds * 95,
            "{name}: {} of {count}",
            decayed.warned.len()
        );
    }
    let limited = &tables.decayed["shadow-limited"].warned;
    let in_time = limited.iter().filter(|(_, traffic)| *traffic <= 4.0).count();
    assert!(in_time * 100 >= count * 95, "shadow-limited: {in_time} of {count} within 4 hours of traffic");
    for (name, healthy) in &tables.healthy {
        assert_eq!(healthy.pages, 0, "{name}: {:?}", healthy.by);
        // Of a few seeds one chance event would already be one per month.
        let most = (healthy.days / 30.0).max(3.0);
        assert!((healthy.warnings as f64) < most, "{name}: {:?}", healthy.by);
    }
}
