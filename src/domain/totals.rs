//! The durable totals: every counter and histogram of an account, as committed with the cursors.
//!
//! They live here and not in a metrics registry because they must be part of the same transaction as
//! the ids and cursors they were counted from, and continue where they stood after a crash.

use std::collections::BTreeMap;

use super::families::{Counter, HistogramKey};

/// Delivery latency: sub-second to a minute is what a person waits for; the hours are phones that were off.
const LATENCY: &[f64] =
    &[0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0];
/// A request: from a fast answer to the default time limit of 30 s.
const REQUEST: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A probe wakes a device: seconds are normal.
const PROBE: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0];
/// A sweep: one request, up to what fills the default interval of 30 s, and beyond.
const SWEEP: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Freshness: one or two default intervals are normal; the rest are outages and late arrivals.
const DELAY: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0];
/// A webhook event: seconds are normal; the minutes are those after which it is sent again.
const LAG: &[f64] = &[0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 480.0, 960.0];
/// A durable commit: tenths of a millisecond on a good disk, seconds on a failing one.
const COMMIT: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// A reply: from a minute to what a weekend takes.
const REPLY: &[f64] = &[60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 259200.0];

impl HistogramKey {
    /// Upper bounds of the buckets, in seconds, without the infinite one.
    ///
    /// They stand here, and not with the names, because the buckets are durable: changing them is a
    /// change of the state's schema.
    pub const fn bounds(self) -> &'static [f64] {
        match self {
            HistogramKey::Latency { .. } => LATENCY,
            HistogramKey::ReplyDelay { .. } => REPLY,
            HistogramKey::ProbeDuration => PROBE,
            HistogramKey::RequestDuration { .. } => REQUEST,
            HistogramKey::SweepDuration => SWEEP,
            HistogramKey::Delay => DELAY,
            HistogramKey::Lag => LAG,
            HistogramKey::CommitDuration => COMMIT,
        }
    }

    /// The bucket that so many seconds fall into; the last one has no upper bound.
    pub fn bucket(self, seconds: f64) -> usize {
        self.bounds().partition_point(|bound| *bound < seconds)
    }
}

/// A histogram's buckets (not cumulative, the last one infinite) and sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Observations per bucket, the last without an upper bound; not cumulated.
    pub counts: Box<[u64]>,
    /// Sum of the observations, in seconds.
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Histogram {
        Histogram { counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Number of observations in all buckets.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Takes in the observations of another one with the same buckets.
    pub fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    /// Takes out the observations of an earlier state of it.
    pub fn subtract(&mut self, earlier: &Histogram) {
        self.counts
            .iter_mut()
            .zip(&earlier.counts)
            .for_each(|(count, less)| *count = count.saturating_sub(*less));
        self.sum = (self.sum - earlier.sum).max(0.0);
    }
}

/// Counters and histograms with their values.
pub(super) type Values = (Vec<(Counter, u64)>, Vec<(HistogramKey, Histogram)>);

struct Cell<T> {
    value: T,
    changed: bool,
}

/// All counters and histograms of an account, and which of them changed since they were last taken.
#[derive(Default)]
pub struct Totals {
    counters: BTreeMap<Counter, Cell<u64>>,
    histograms: BTreeMap<HistogramKey, Cell<Histogram>>,
}

impl Totals {
    /// Makes the series exist at 0, so that its first increment is visible to `increase()`.
    pub fn declare(&mut self, counter: Counter) {
        self.counters.entry(counter).or_insert(Cell { value: 0, changed: false });
    }

    /// The same for a histogram.
    pub fn declare_histogram(&mut self, key: HistogramKey) {
        self.histogram(key);
    }

    /// Adds to a counter.
    pub fn add(&mut self, counter: Counter, amount: u64) {
        let cell = self.counters.entry(counter).or_insert(Cell { value: 0, changed: false });
        cell.value = cell.value.saturating_add(amount);
        cell.changed = true;
    }

    /// Observes seconds in a histogram. Negative and non-finite values count as 0.
    pub fn observe(&mut self, key: HistogramKey, seconds: f64) {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        let bucket = key.bucket(seconds);
        let cell = self.histogram(key);
        cell.value.counts[bucket] += 1;
        cell.value.sum += seconds;
        cell.changed = true;
    }

    fn histogram(&mut self, key: HistogramKey) -> &mut Cell<Histogram> {
        self.histograms
            .entry(key)
            .or_insert_with(|| Cell { value: Histogram::new(key.bounds()), changed: false })
    }

    /// Whether a series is there already.
    pub fn has(&self, counter: Counter) -> bool {
        self.counters.contains_key(&counter)
    }

    /// Sets a counter to what the store held.
    pub fn restore(&mut self, counter: Counter, value: u64) {
        self.counters.insert(counter, Cell { value, changed: false });
    }

    /// Sets a histogram to what the store held. One with other buckets is not ours and is left out.
    pub fn restore_histogram(&mut self, key: HistogramKey, histogram: Histogram) {
        if histogram.counts.len() == key.bounds().len() + 1 {
            self.histograms.insert(key, Cell { value: histogram, changed: false });
        }
    }

    /// The value of a counter, 0 where there is none.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.get(&counter).map_or(0, |cell| cell.value)
    }

    /// Every counter, in a stable order.
    pub fn counters(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        self.counters.iter().map(|(counter, cell)| (*counter, cell.value))
    }

    /// Every histogram, in a stable order.
    pub fn histograms(&self) -> impl Iterator<Item = (HistogramKey, &Histogram)> + '_ {
        self.histograms.iter().map(|(key, cell)| (*key, &cell.value))
    }

    /// What changed since the last call.
    pub(super) fn take_changed(&mut self) -> Values {
        let take = |changed: &mut bool| std::mem::replace(changed, false);
        let counters = self.counters.iter_mut();
        let counters = counters
            .filter_map(|(key, cell)| take(&mut cell.changed).then_some((*key, cell.value)))
            .collect();
        let histograms = self.histograms.iter_mut();
        let histograms = histograms
            .filter_map(|(key, cell)| take(&mut cell.changed).then(|| (*key, cell.value.clone())))
            .collect();
        (counters, histograms)
    }

    /// Marks everything as changed: the next commit stores all of it again.
    pub(super) fn mark_everything_changed(&mut self) {
        self.counters.values_mut().for_each(|cell| cell.changed = true);
        self.histograms.values_mut().for_each(|cell| cell.changed = true);
    }

    /// Marks as changed again what a failed commit did not store.
    pub(super) fn mark_changed(
        &mut self,
        counters: &[(Counter, u64)],
        histograms: &[(HistogramKey, Histogram)],
    ) {
        for (counter, _) in counters {
            if let Some(cell) = self.counters.get_mut(counter) {
                cell.changed = true;
            }
        }
        for (key, _) in histograms {
            if let Some(cell) = self.histograms.get_mut(key) {
                cell.changed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: HistogramKey = HistogramKey::Lag;

    /// How many of the observations were no longer than each bound, as a page shows it.
    fn cumulated(histogram: &Histogram) -> Vec<u64> {
        let mut sum = 0;
        let counts = histogram.counts.iter().map(|count| {
            sum += count;
            sum
        });
        counts.collect()
    }

    fn of(observed: &[f64]) -> Histogram {
        let mut totals = Totals::default();
        totals.declare_histogram(KEY);
        observed.iter().for_each(|seconds| totals.observe(KEY, *seconds));
        totals.histograms().next().unwrap().1.clone()
    }

    #[test]
    fn a_bucket_holds_what_took_no_longer_than_its_bound() {
        // At, a little below and a little above every bound, and beyond all of them.
        let near = |bound: &f64| [bound * 0.99, *bound, bound * 1.01];
        let observed: Vec<f64> = LAG.iter().flat_map(near).chain([1e6, 0.0]).collect();
        let histogram = of(&observed);
        let no_longer = |bound: &f64| observed.iter().filter(|seconds| *seconds <= bound).count() as u64;
        let all = observed.len() as u64;
        assert_eq!(cumulated(&histogram), LAG.iter().map(no_longer).chain([all]).collect::<Vec<_>>());
        assert_eq!(histogram.count(), all);
        assert!((histogram.sum - observed.iter().sum::<f64>()).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_time_counts_as_none() {
        assert_eq!(of(&[-5.0, f64::NAN, f64::INFINITY, 0.0]), of(&[0.0; 4]));
        assert_eq!(of(&[-5.0]).sum, 0.0);
    }

    #[test]
    fn histograms_add_up_and_an_earlier_state_is_taken_out_again() {
        let (early, late) = ([0.2, 3.0, 3.5], [3.0, 50.0, 2_000.0]);
        let both = of(&[early, late].concat());
        let mut sum = of(&early);
        sum.add(&of(&late));
        assert_eq!(sum, both);
        let mut rest = both.clone();
        rest.subtract(&of(&early));
        assert_eq!(rest, of(&late));
        rest.subtract(&both);
        assert_eq!(rest, of(&[]), "what was never there takes nothing away");
    }

    #[test]
    fn what_changed_is_taken_once_and_again_after_a_failed_commit() {
        let (late, skew) = (Counter::Late, Counter::ClockSkew);
        let mut totals = Totals::default();
        for counter in [late, skew] {
            totals.declare(counter);
        }
        totals.declare_histogram(KEY);
        assert_eq!(totals.take_changed(), (vec![], vec![]), "a series at 0 need not be stored");
        totals.restore(skew, 9);
        totals.add(late, 2);
        totals.add(late, 3);
        totals.observe(KEY, 1.0);
        let failed = totals.take_changed();
        assert_eq!(failed, (vec![(late, 5)], vec![(KEY, of(&[1.0]))]));
        assert_eq!(totals.take_changed(), (vec![], vec![]));
        totals.mark_changed(&failed.0, &failed.1);
        assert_eq!(totals.take_changed(), failed);
        totals.declare(late);
        assert_eq!(totals.get(late), 5, "it was there already");
        totals.mark_everything_changed();
        let (counters, histograms) = totals.take_changed();
        assert_eq!((counters, histograms), (totals.counters().collect(), failed.1));
        assert_eq!((totals.get(skew), totals.has(skew), totals.get(Counter::Regressions)), (9, true, 0));
        assert!(!totals.has(Counter::Regressions));
    }

    #[test]
    fn a_stored_histogram_with_other_buckets_is_not_taken_up() {
        let stored = of(&[1.0, 7.0]);
        for (buckets, taken_up) in [(LAG.len(), false), (LAG.len() + 1, true), (LAG.len() + 2, false)] {
            let mut counts = stored.counts.to_vec();
            counts.resize(buckets, 0);
            let mut totals = Totals::default();
            totals.restore_histogram(KEY, Histogram { counts: counts.into(), sum: stored.sum });
            assert_eq!(totals.histograms().count() == 1, taken_up, "{buckets}");
        }
    }
}
