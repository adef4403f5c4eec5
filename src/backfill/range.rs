//! The range that is filled, and the steps that it is divided into. Pure.
//!
//! Counters begin with a sample of 0 at the start and are written at every step. The last step ends a second before the end,
//! and holds everything that belongs to the range and is dated later than that. At the end stands a 0 again: the value that
//! the exporter's own counters have there. With it every counter falls visibly before the exporter's own samples begin, even
//! where their first value is not lower than the last one here, so that `increase()` sees the reset.

use std::time::Duration;

/// A second, in ms. All samples stand at whole seconds, which text and floating point both hold exactly.
pub const SECOND: i64 = 1_000;
/// A day, in ms.
pub const DAY: i64 = 86_400_000;
/// Shortest step, in ms: more samples than a scrape gives are of no use.
const SHORTEST_STEP: i64 = 15_000;
/// Longest time between two samples of a series, in ms: Prometheus takes a series for gone after five minutes.
const LONGEST_STEP: i64 = 300_000;

/// Messages sent after `from`, up to and including `to`, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Messages sent at or before this are left out, unix ms; a multiple of the step.
    pub from: i64,
    /// Messages sent after this are left out, unix ms.
    pub to: i64,
    /// Time of the last sample, unix ms; a whole second, at `to` or before.
    pub end: i64,
    /// Length of a step, in ms.
    pub step: i64,
}

/// The range holds no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is shorter than a step")]
pub struct TooShort;

/// The length of a step, in ms.
///
/// # Errors
/// When it is too short, too long, or no whole seconds; the text says so.
pub fn step(length: Duration) -> Result<i64, &'static str> {
    let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let is_whole = length.subsec_nanos() == 0;
    if is_whole && (SHORTEST_STEP..=LONGEST_STEP).contains(&millis) {
        return Ok(millis);
    }
    Err(
        "is not a number of whole seconds from 15s to 5m; Prometheus takes a series for gone after five minutes",
    )
}

/// The first time at or after `from` that is a multiple of the step.
pub fn whole_steps(from: i64, step: i64) -> i64 {
    (from + step - 1).div_euclid(step) * step
}

impl Range {
    /// The range after `from`, rounded up to a step, up to `to`. No sample is later than `latest`.
    ///
    /// # Errors
    /// When no step fits into it.
    pub fn new(from: i64, to: i64, latest: i64, step: i64) -> Result<Range, TooShort> {
        let from = whole_steps(from, step);
        let end = to.min(latest).div_euclid(SECOND) * SECOND;
        if end - SECOND <= from { Err(TooShort) } else { Ok(Range { from, to, end, step }) }
    }

    /// Whether a message sent at this time belongs to the range.
    pub fn contains(&self, sent_at: i64) -> bool {
        self.from < sent_at && sent_at <= self.to
    }

    /// Number of the last step, from 0.
    pub fn last(&self) -> u32 {
        let steps = (self.end - SECOND - self.from + self.step - 1) / self.step;
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// The first step at whose time something that happened at `at` is in the past.
    pub fn step_of(&self, at: i64) -> u32 {
        let steps = (at - self.from + self.step - 1).div_euclid(self.step);
        u32::try_from(steps).unwrap_or(if at < self.from { 0 } else { u32::MAX }).clamp(1, self.last())
    }

    /// The time of a step, unix ms. Step 0 is the start.
    pub fn time_of(&self, step: u32) -> i64 {
        (self.from + i64::from(step) * self.step).min(self.end - SECOND)
    }

    /// The days that hold samples, counted from 1970-01-01.
    pub fn days(&self) -> std::ops::RangeInclusive<i64> {
        self.from.div_euclid(DAY)..=self.end.div_euclid(DAY)
    }

    /// The first and the last step of a day, if it has any.
    pub fn steps_of_day(&self, day: i64) -> Option<(u32, u32)> {
        let (begin, next) = (day * DAY, (day + 1) * DAY);
        let end = self.time_of(self.last());
        let first = u32::try_from((begin - self.from + self.step - 1).div_euclid(self.step)).unwrap_or(0);
        // The last step is dated back to the end, which may be on the day before.
        let last = match end < next {
            true => self.last(),
            false => u32::try_from((next - 1 - self.from).div_euclid(self.step)).ok()?,
        };
        (begin <= end && self.from < next).then_some((first.min(last), last))
    }

    /// Whether the 0 at the end is dated on this day.
    pub fn ends_on(&self, day: i64) -> bool {
        self.end.div_euclid(DAY) == day
    }

    /// Whether a series that does not change is written at a step: at those whose time is a multiple of five minutes, or
    /// of less where that is no multiple of the step.
    pub fn is_written_at_rest(&self, step: u32) -> bool {
        let rest = (LONGEST_STEP / self.step).max(1);
        (self.from / self.step + i64::from(step)) % rest == 0
    }
}

/// A day since 1970-01-01 as a date.
pub(super) fn date(day: i64) -> String {
    moment(day * DAY)[..10].to_owned()
}

/// A time as it is written, in UTC.
pub(super) use crate::clock::rfc3339 as moment;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn days_and_moments_are_written_in_utc() {
        assert_eq!(date(20_785), "2026-11-28");
        assert_eq!(moment(1_795_790_000_123), "2026-11-27T14:33:20Z");
    }

    #[test]
    fn a_step_is_whole_seconds_and_not_longer_than_prometheus_waits_for_a_sample() {
        let step = |millis| step(Duration::from_millis(millis)).ok();
        for good in [15_000, 60_000, 300_000] {
            assert_eq!(step(good), Some(good as i64));
        }
        for bad in [0, 14_000, 30_500, 300_001, 301_000, u64::MAX] {
            assert_eq!(step(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_happened_shows_at_the_first_step_at_or_after_it() {
        let range = Range::new(5 * MINUTE, 10 * MINUTE + 7, i64::MAX, MINUTE).unwrap();
        assert_eq!(
            (range.end, range.last(), range.time_of(range.last())),
            (10 * MINUTE, 5, 10 * MINUTE - SECOND)
        );
        assert!(!range.contains(5 * MINUTE) && range.contains(5 * MINUTE + 1));
        assert!(range.contains(10 * MINUTE + 7) && !range.contains(10 * MINUTE + 8));
        for (at, step) in [
            (5 * MINUTE + 1, 1),
            (6 * MINUTE, 1),
            (6 * MINUTE + 1, 2),
            (10 * MINUTE + 7, 5),
            (i64::MAX / 4, 5),
            (0, 1),
        ] {
            assert_eq!(range.step_of(at), step, "{at}");
        }
    }

    #[test]
    fn the_start_is_rounded_up_and_a_range_without_a_step_is_none() {
        assert_eq!(Range::new(1, 10 * MINUTE, i64::MAX, MINUTE).unwrap().from, MINUTE);
        assert_eq!(Range::new(9 * MINUTE + 1, 10 * MINUTE + 900, i64::MAX, MINUTE), Err(TooShort));
        assert_eq!(Range::new(9 * MINUTE, 9 * MINUTE + 1_999, i64::MAX, MINUTE), Err(TooShort));
        assert_eq!(Range::new(9 * MINUTE, 9 * MINUTE + 2_000, i64::MAX, MINUTE).unwrap().last(), 1);
        assert_eq!(Range::new(9 * MINUTE, 8 * MINUTE, i64::MAX, MINUTE), Err(TooShort));
        let cut = Range::new(0, 10 * MINUTE, 7 * MINUTE, MINUTE).unwrap();
        assert!(cut.contains(10 * MINUTE));
        assert_eq!((cut.end, cut.step_of(10 * MINUTE)), (7 * MINUTE, 7));
    }

    #[test]
    fn every_step_is_on_one_day_and_the_days_follow_each_other() {
        for (from, to, step) in [
            (0, 3 * DAY, MINUTE),
            (DAY - MINUTE, 2 * DAY + 1, MINUTE),
            (DAY - MINUTE, 2 * DAY + 1_000, 5 * MINUTE),
            (DAY + 17 * MINUTE, DAY + 40 * MINUTE + 12_345, 7_000),
            (DAY - 20_000, DAY + 1_000, 7_000),
            (DAY - 70_000, DAY, 7_000),
        ] {
            let range = Range::new(from, to, i64::MAX, step).unwrap();
            let mut steps = Vec::new();
            for day in range.days() {
                if let Some((first, last)) = range.steps_of_day(day) {
                    for step in first..=last {
                        assert_eq!(range.time_of(step).div_euclid(DAY), day, "{range:?} {step}");
                        steps.push(step);
                    }
                }
            }
            assert_eq!(steps, (0..=range.last()).collect::<Vec<_>>(), "{range:?}");
            assert!(range.days().any(|day| range.ends_on(day)));
            assert!(range.time_of(range.last()) < range.end && range.end <= range.to);
            assert!(range.time_of(range.last() - 1) < range.time_of(range.last()));
        }
    }
}
