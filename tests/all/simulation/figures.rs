//! Sums over many simulated lives: what was counted, and what befell them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Life;
use super::case::Kind;
use super::oracle::Stats;
use super::oracle::violation::Violations;

/// What many lives add up to.
#[derive(Default)]
pub(super) struct Figures {
    lives: u64,
    total: Stats,
    violations: [u64; 4],
    by_kind: BTreeMap<Kind, (u64, u64, Duration)>,
    /// Breaches and the first seed that found one, by kind of life and invariant.
    by_invariant: BTreeMap<(Kind, &'static str), (u64, u64)>,
    /// Seed, kind, what befell it, and what was breached; none where it panicked.
    failed: Vec<(u64, Kind, String, Option<Violations>)>,
}

impl Figures {
    /// Adds the life of a seed; none where it panicked.
    pub(super) fn add(
        &mut self,
        (seed, kind, faults): (u64, Kind, String),
        life: Option<Life>,
        took: Duration,
    ) {
        self.lives += 1;
        let of_kind = self.by_kind.entry(kind).or_default();
        (of_kind.0, of_kind.2) = (of_kind.0 + 1, of_kind.2 + took);
        let Some(life) = life else {
            of_kind.1 += 1;
            return self.failed.push((seed, kind, faults, None));
        };
        let (total, stats, found) = (&mut self.total, life.stats, life.violations);
        total.requests += stats.requests;
        total.commits += stats.commits;
        total.crashes += stats.crashes;
        total.messages += stats.messages;
        total.counted += stats.counted;
        total.watermarks += stats.watermarks;
        total.open += stats.open;
        total.fresh.extend(stats.fresh);
        total.late.extend(stats.late);
        total.ends.extend(stats.ends);
        let counts = [found.lost, found.doubled, found.false_promises, found.others];
        self.violations.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        for (invariant, count) in &found.by_invariant {
            let of = self.by_invariant.entry((kind, invariant)).or_insert((0, seed));
            *of = (of.0 + count, of.1.min(seed));
        }
        if !found.is_empty() {
            of_kind.1 += 1;
            self.failed.push((seed, kind, faults, Some(found)));
        }
    }

    /// Prints the figures, and fails when there was a breach.
    pub(super) fn check(mut self) {
        let (total, [lost, doubled, false_promises, others]) = (&mut self.total, self.violations);
        println!(
            "seeds {}, messages {} ({} counted), requests {}, commits {}, crashes {}, watermarks {}, \
             open messages compared {}, \
             lost {lost}, doubled {doubled}, false watermarks {false_promises}, other breaches {others}",
            self.lives,
            total.messages,
            total.counted,
            total.requests,
            total.commits,
            total.crashes,
            total.watermarks,
            total.open
        );
        for (kind, (lives, failed, took)) in &self.by_kind {
            println!(
                "{kind:?}: {lives} lives, {failed} failed, {:.0} ms each",
                took.as_secs_f64() * 1e3 / *lives as f64
            );
        }
        for ((kind, invariant), (count, seed)) in &self.by_invariant {
            println!("{kind:?}: {invariant} was breached {count} times, first by seed {seed}");
        }
        for (name, delays) in
            [("on time", &mut total.fresh), ("late", &mut total.late), ("ends", &mut total.ends)]
        {
            print_delays(name, delays);
        }
        self.failed.sort_by_key(|(seed, ..)| *seed);
        let mut report = String::new();
        for (seed, kind, faults, violations) in self.failed.iter().take(12) {
            let told = violations.as_ref().map_or_else(
                || vec!["panicked".to_owned()],
                |found| found.told().iter().take(4).map(ToString::to_string).collect(),
            );
            report += &format!("\nseed {seed} ({kind:?}; {faults}):\n  {}", told.join("\n  "));
        }
        let seeds: Vec<u64> = self.failed.iter().map(|(seed, ..)| *seed).collect();
        println!("{} of {} seeds failed: {seeds:?}{report}", seeds.len(), self.lives);
        assert!(seeds.is_empty(), "{} seeds failed", seeds.len());
    }
}

fn print_delays(name: &str, delays: &mut [i64]) {
    let interval = 15_000.0;
    delays.sort_unstable();
    let at = |share: f64| {
        let place = (delays.len() as f64 * share) as usize;
        delays.get(place.min(delays.len().saturating_sub(1))).map_or(0.0, |ms| *ms as f64 / interval)
    };
    println!(
        "freshness, {name}: p50 {:.2} p99 {:.2} p99.9 {:.2} worst {:.2} intervals of {}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        delays.len()
    );
}
