//! What was counted at earlier moments: in detail over the window of the status page, and for each line over a day. It is
//! held in memory: after a start it fills again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::signs::Counts;
use crate::domain::{Counter, Histogram, HistogramKey, LineId, SweepResult, View};
use crate::metrics::Registry;

/// Samples of what only grows that a window is divided by; one more is kept.
const SAMPLES: u32 = 60;
/// The least time between two of them.
const LEAST_STEP: Duration = Duration::from_secs(10);
/// Between two samples of the day, ms.
const DAY_STEP: i64 = 600_000;
/// How far back they reach, ms: the longest that a sign looks back, and a step.
pub const REACH: i64 = 28 * 3_600_000 + DAY_STEP;

/// Samples, the oldest first.
#[derive(Default)]
pub struct History(Mutex<Samples>);

#[derive(Default)]
struct Samples {
    /// Of the window, by account.
    window: VecDeque<BTreeMap<String, Cumulated>>,
    /// Of the day, by account.
    day: BTreeMap<String, VecDeque<Sample>>,
}

/// When, by the server's clock, unix ms, and what each line had counted.
type Sample = (i64, BTreeMap<LineId, Counts>);

/// One moment of an account.
#[derive(Clone, Default)]
pub(super) struct Cumulated {
    /// When, by the server's clock, unix ms.
    pub(super) at: i64,
    pub(super) latency: BTreeMap<LineId, Histogram>,
    pub(super) lines: BTreeMap<LineId, Counts>,
    pub(super) delay: Option<Histogram>,
    pub(super) requests: u64,
    pub(super) throttled: u64,
    /// Sweeps that could read the list, complete or partial.
    pub(super) settled: u64,
}

impl Cumulated {
    /// What a view has counted, at `now` (local unix ms).
    pub(super) fn of(view: &View, now: i64) -> Cumulated {
        let mut cumulated =
            Cumulated { at: now + view.health.clock_offset.unwrap_or(0), ..Cumulated::default() };
        for (key, histogram) in &view.snapshot.histograms {
            match key {
                HistogramKey::Latency { line, .. } => match cumulated.latency.get_mut(line) {
                    Some(sum) => sum.add(histogram),
                    None => drop(cumulated.latency.insert(*line, histogram.clone())),
                },
                HistogramKey::Delay => cumulated.delay = Some(histogram.clone()),
                _ => {}
            }
        }
        for (counter, value) in &view.snapshot.counters {
            if let Some(line) = counter.line() {
                cumulated.lines.entry(line).or_default().add(*counter, *value);
            }
            match counter {
                Counter::Requests { .. } => cumulated.requests += value,
                Counter::Throttled { .. } => cumulated.throttled += value,
                Counter::Sweeps { result: SweepResult::Complete | SweepResult::Partial } => {
                    cumulated.settled += value;
                }
                _ => {}
            }
        }
        for ((line, status), group) in &view.snapshot.open {
            cumulated.lines.entry(*line).or_default().add_open(*status, group.count);
        }
        cumulated
    }
}

impl History {
    /// Takes samples for ever.
    pub async fn keep(&self, registry: &Registry, now: impl Fn() -> i64) {
        loop {
            self.sample(&registry.views(), now());
            tokio::time::sleep(step(registry.display().window_seconds)).await;
        }
    }

    pub(super) fn sample(&self, views: &[Arc<View>], now: i64) {
        let sample: BTreeMap<String, Cumulated> =
            views.iter().map(|view| (view.account.clone(), Cumulated::of(view, now))).collect();
        let mut samples = self.lock();
        samples.day.retain(|account, _| sample.contains_key(account));
        for (account, Cumulated { at, lines, .. }) in &sample {
            let day = samples.day.entry(account.clone()).or_default();
            // A server whose clock is set back begins a new day.
            day.retain(|(then, _)| *then <= *at);
            if day.back().is_none_or(|(then, _)| at - then >= DAY_STEP) {
                day.push_back((*at, lines.clone()));
            }
            while day.front().is_some_and(|(then, _)| at - then > REACH) {
                day.pop_front();
            }
        }
        samples.window.push_back(sample);
        if samples.window.len() > SAMPLES as usize + 1 {
            samples.window.pop_front();
        }
    }

    /// What an account had counted at the start of the window that ends at `now` (server's unix ms), and how many ms
    /// ago that was: the whole window, or as far back as samples reach.
    pub(super) fn before(&self, account: &str, now: i64, window: i64) -> (Cumulated, i64) {
        let samples = self.lock();
        let mut known = samples.window.iter().filter_map(|sample| sample.get(account));
        let newest = known.clone().next_back();
        match known.find(|sample| sample.at >= now - window).or(newest) {
            Some(sample) => (sample.clone(), (now - sample.at).clamp(0, window)),
            None => (Cumulated::default(), 0),
        }
    }

    /// The same of a line over up to a day. `None` before the first sample of the account.
    pub(super) fn line_before(
        &self,
        account: &str,
        line: LineId,
        now: i64,
        ago: i64,
    ) -> Option<(Counts, i64)> {
        let samples = self.lock();
        let day = samples.day.get(account)?;
        let from = day.partition_point(|(at, _)| *at < now - ago);
        let earliest =
            samples.window.iter().filter_map(|sample| sample.get(account)).find(|one| one.at >= now - ago);
        let found = day.get(from).map(|(at, lines)| (*at, lines));
        let finer = earliest.map(|one| (one.at, &one.lines));
        // The earlier of both: the window is sampled more often, the day reaches further back.
        let newest = day.back().map(|(at, lines)| (*at, lines));
        let (at, lines) = found.into_iter().chain(finer).min_by_key(|(at, _)| *at).or(newest)?;
        Some((lines.get(&line).copied().unwrap_or_default(), (now - at).clamp(0, ago)))
    }

    /// How far back the day of an account reaches, ms.
    pub(super) fn reach(&self, account: &str, now: i64) -> i64 {
        let samples = self.lock();
        let oldest = samples.day.get(account).and_then(|day| day.front());
        oldest.map_or(0, |(at, _)| (now - at).max(0))
    }

    fn lock(&self) -> MutexGuard<'_, Samples> {
        self.0.lock()
    }
}

/// The time between two samples of the window.
pub(super) fn step(window_seconds: f64) -> Duration {
    (Duration::from_secs_f64(window_seconds.max(0.0)) / SAMPLES).max(LEAST_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_window_begins_where_samples_do_when_they_do_not_reach_back() {
        let history = History::default();
        let view = Arc::new(View { account: "a".to_owned(), ..View::default() });
        assert_eq!(history.before("a", 1_000, 60_000).1, 0);
        history.sample(std::slice::from_ref(&view), 1_000);
        history.sample(std::slice::from_ref(&view), 61_000);
        history.sample(&[], 121_000);
        assert_eq!(history.before("a", 61_000, 3_600_000).1, 60_000, "the first sample");
        assert_eq!(history.before("a", 121_000, 70_000).1, 60_000, "the oldest inside of the window");
        assert_eq!(history.before("b", 121_000, 70_000).1, 0, "an account that was not there");
    }

    /// A view whose line 1 has accepted so many messages.
    fn accepted(messages: i64) -> Arc<View> {
        let mut view = View { account: "a".to_owned(), ..View::default() };
        view.snapshot.counters = vec![(Counter::Outbound { line: LineId(1) }, messages as u64)];
        Arc::new(view)
    }

    #[test]
    fn a_day_of_a_line_outlasts_the_window_and_is_forgotten_after_it() {
        let history = History::default();
        let at = |now: i64, ago: i64| {
            let (counts, age) = history.line_before("a", LineId(1), now, ago)?;
            Some((counts.accepted as i64, age))
        };
        assert_eq!(at(0, HOUR), None, "no sample");
        for minute in 0..=40 * 60 {
            history.sample(&[accepted(minute)], minute * 60_000);
        }
        let now = 40 * HOUR;
        assert_eq!(at(now, 24 * HOUR), Some((16 * 60, 24 * HOUR)));
        assert_eq!(at(now, 24 * HOUR + 60_000), Some((16 * 60, 24 * HOUR)), "the oldest inside");
        assert_eq!(at(now, 30 * 60_000), Some((40 * 60 - 30, 30 * 60_000)), "by the samples of the window");
        assert_eq!(at(now, 33 * HOUR).unwrap().1, REACH, "no further");
        assert_eq!(history.reach("a", now), REACH);
        let other = history.line_before("a", LineId(2), now, HOUR).unwrap();
        assert_eq!(other.0.accepted, 0, "a line that was not there had counted nothing");
        history.sample(&[accepted(1)], now - 5 * HOUR);
        assert_eq!(history.reach("a", now), REACH, "a clock that is set back keeps what lies before");
        history.sample(&[], now);
        assert_eq!(at(now, HOUR), None, "an account that is gone");
    }
}
