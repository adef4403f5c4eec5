//! What was counted, by series and step. Pure.
//!
//! Memory follows from how many steps of how many series hold something, not from how many messages there are. Sums are whole
//! milliseconds, so that adding, and taking back what was added, is exact in any order.

use std::collections::BTreeMap;

use crate::domain::{Count, Counter, HistogramKey};

/// The observations of one histogram in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many fell into each bucket, without those that hold none.
    pub counts: BTreeMap<u8, u64>,
    /// Their sum, in ms.
    pub sum: u64,
}

/// What was counted, by series and step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// How often each counter grew, by the step of the range.
    pub counters: BTreeMap<(Counter, u32), u64>,
    /// What each histogram observed, by the step of the range.
    pub histograms: BTreeMap<(HistogramKey, u32), Spread>,
}

impl Buckets {
    /// Counts something in a step.
    pub fn count(&mut self, count: Count, step: u32) {
        match count {
            Count::One(counter) => *self.counters.entry((counter, step)).or_default() += 1,
            Count::Took(key, millis) => {
                let millis = u64::try_from(millis).unwrap_or(0);
                let bucket = key.bucket(millis as f64 / 1_000.0) as u8;
                let spread = self.histograms.entry((key, step)).or_default();
                *spread.counts.entry(bucket).or_default() += 1;
                spread.sum += millis;
            }
        }
    }

    /// Adds what another one holds.
    pub fn add(&mut self, other: &Buckets) {
        for (key, value) in &other.counters {
            *self.counters.entry(*key).or_default() += value;
        }
        for (key, more) in &other.histograms {
            let spread = self.histograms.entry(*key).or_default();
            for (bucket, value) in &more.counts {
                *spread.counts.entry(*bucket).or_default() += value;
            }
            spread.sum += more.sum;
        }
    }

    /// Takes back what was added.
    pub fn take_back(&mut self, other: &Buckets) {
        for (key, value) in &other.counters {
            if let Some(held) = self.counters.get_mut(key) {
                *held = held.saturating_sub(*value);
            }
        }
        for (key, less) in &other.histograms {
            let Some(spread) = self.histograms.get_mut(key) else { continue };
            for (bucket, value) in &less.counts {
                if let Some(held) = spread.counts.get_mut(bucket) {
                    *held = held.saturating_sub(*value);
                }
            }
            spread.counts.retain(|_, held| *held > 0);
            spread.sum = spread.sum.saturating_sub(less.sum);
        }
        self.counters.retain(|_, held| *held > 0);
        self.histograms.retain(|_, spread| !spread.counts.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LineId;

    #[test]
    fn what_is_taken_back_leaves_what_was_there() {
        let (outbound, delay) =
            (Counter::Outbound { line: LineId(1) }, HistogramKey::ReplyDelay { line: LineId(1) });
        let mut one = Buckets::default();
        one.count(Count::One(outbound), 3);
        one.count(Count::Took(delay, 61_000), 3);
        let mut other = one.clone();
        other.count(Count::One(outbound), 4);
        other.count(Count::Took(delay, -5), 3);
        let mut both = one.clone();
        both.add(&other);
        assert_eq!((both.counters[&(outbound, 3)], both.counters[&(outbound, 4)]), (2, 1));
        assert_eq!(both.histograms[&(delay, 3)].counts, BTreeMap::from([(0, 1), (1, 2)]));
        assert_eq!(both.histograms[&(delay, 3)].sum, 122_000);
        both.take_back(&other);
        assert_eq!(both, one);
        both.take_back(&one);
        assert_eq!(both, Buckets::default());
    }
}
