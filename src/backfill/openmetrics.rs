//! The files: OpenMetrics text with a sample for each step. Pure, as far as a writer can be.
//!
//! A series stands in one piece, its samples in the order of time. There is no `_created`: Prometheus would take it for a series
//! of its own. Between its changes a series is written at every fifth minute, so that Prometheus does not take it for gone; and
//! at the step before each change, so that every range of whole steps holds exactly the changes within it. What comes before the
//! first message of an account, but for the last day of it, is one sample of 0 at the start: a range may begin years before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::buckets::{Buckets, Spread};
use super::range::{DAY, Range, SECOND};
use crate::domain::{Counter, Family, Group, HistogramKey, Kind, LabelValue, View};
use crate::metrics::registry::Display;

/// The groups of families that history shows.
const GROUPS: [Group; 2] = [Group::Messages, Group::Conversations];

/// Whether history shows the counter: whether an end was taken back, and in which order messages appeared, it does not.
fn is_shown(counter: Counter) -> bool {
    !matches!(counter, Counter::Regressions | Counter::UnplacedMessages)
}

/// One account as it was read.
pub struct Account<'a> {
    /// Its name, its lines, and the series that exist from the start.
    pub view: &'a View,
    /// The time range that the samples cover.
    pub range: Range,
    /// The counts that become samples.
    pub buckets: &'a Buckets,
    /// The first step, after step 0, at which a series is written that does not change.
    begins: u32,
}

impl<'a> Account<'a> {
    /// An account that was read.
    pub fn new(view: &'a View, range: Range, buckets: &'a Buckets) -> Account<'a> {
        let counters = buckets.counters.keys().map(|(_, step)| *step);
        let first = counters.chain(buckets.histograms.keys().map(|(_, step)| *step)).min();
        let begins = first.map_or(u32::MAX, |first| range.step_of(range.time_of(first) - DAY));
        Account { view, range, buckets, begins }
    }

    /// Whether the day holds a sample.
    fn shows(&self, day: i64) -> bool {
        let holds = |(first, last): (u32, u32)| first == 0 || last >= self.begins;
        self.range.ends_on(day) || self.range.steps_of_day(day).is_some_and(holds)
    }

    /// The steps of a day at which a series is written that changes at these steps of it.
    fn steps(&self, (first, last): (u32, u32), changes: Vec<u32>) -> impl Iterator<Item = u32> {
        let (range, begins) = (self.range, self.begins);
        let changes_at = move |step: u32| changes.binary_search(&step).is_ok();
        (first..=last).filter(move |step| {
            let is_written = *step == last || range.is_written_at_rest(*step);
            let is_change = changes_at(*step) || changes_at(*step + 1);
            *step == 0 || *step >= begins && is_written || is_change
        })
    }
}

/// The value of a series at the last step that was written.
struct Running<K, V> {
    account: usize,
    key: K,
    labels: String,
    value: V,
}

/// The values of a histogram's buckets, and its sum in ms.
struct Totals {
    counts: Vec<u64>,
    sum: u64,
}

/// Everything of one family.
struct Block<K, V> {
    family: &'static Family,
    series: Vec<Running<K, V>>,
}

/// Writes the files, one day after the other.
pub struct Writer<'a> {
    accounts: Vec<Account<'a>>,
    counters: Vec<Block<Counter, u64>>,
    histograms: Vec<Block<HistogramKey, Totals>>,
    /// Bytes of the file that is being written.
    text: String,
}

impl<'a> Writer<'a> {
    /// A writer of these accounts. `display` gives lines their names, `labels` are those that Prometheus attaches to scrapes.
    pub fn new(
        accounts: Vec<Account<'a>>,
        display: &Display,
        labels: &BTreeMap<String, String>,
    ) -> Writer<'a> {
        let mut writer =
            Writer { accounts, counters: Vec::new(), histograms: Vec::new(), text: String::new() };
        for group in GROUPS {
            for family in group.counters() {
                let series = writer.series(display, labels, family, counters, Counter::labels, |_| 0);
                writer.counters.push(Block { family, series });
            }
            for family in group.histograms() {
                let zero = |key: HistogramKey| Totals { counts: vec![0; key.bounds().len() + 1], sum: 0 };
                let series = writer.series(display, labels, family, histograms, HistogramKey::labels, zero);
                writer.histograms.push(Block { family, series });
            }
        }
        writer.counters.retain(|block| !block.series.is_empty());
        writer.histograms.retain(|block| !block.series.is_empty());
        writer
    }

    /// The series of a family: those that exist from the start, and those in which something was counted.
    fn series<K: Copy + Ord, V>(
        &self,
        display: &Display,
        extra: &BTreeMap<String, String>,
        family: &'static Family,
        keys: fn(&Account<'_>, &'static Family) -> Vec<K>,
        labels: fn(K) -> Vec<LabelValue>,
        zero: impl Fn(K) -> V,
    ) -> Vec<Running<K, V>> {
        let mut series = Vec::new();
        for (account, of) in self.accounts.iter().enumerate() {
            for key in keys(of, family) {
                let values = labels(key).into_iter().map(|label| match label {
                    LabelValue::Line(line) => display.line_name(of.view, line),
                    LabelValue::Word(word) => word,
                });
                let values = [Cow::Borrowed(of.view.account.as_str())].into_iter().chain(values);
                let own = family.labels.iter().copied().zip(values);
                let extra = extra.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
                let labels = own.chain(extra).map(|(name, value)| format!("{name}=\"{}\"", escaped(&value)));
                let labels = labels.collect::<Vec<_>>().join(",");
                series.push(Running { account, key, labels, value: zero(key) });
            }
        }
        // Lines are numbered as they appear, which is by chance.
        series.sort_by(|one, other| (one.account, &one.labels).cmp(&(other.account, &other.labels)));
        series
    }

    /// The days that hold samples.
    pub fn days(&self) -> Vec<i64> {
        let days = || self.accounts.iter().map(|account| account.range.days());
        let first = days().map(|days| *days.start()).min().unwrap_or(0);
        let last = days().map(|days| *days.end()).max().unwrap_or(-1);
        (first..=last).filter(|day| self.accounts.iter().any(|account| account.shows(*day))).collect()
    }

    /// Writes the samples of a day. Days must be asked for in order, each once.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn day(&mut self, day: i64, to: &mut impl Write) -> io::Result<()> {
        for group in GROUPS {
            for block in self.counters.iter_mut().filter(|block| is_of(group.counters(), block.family)) {
                head(block.family, &mut self.text);
                for series in &mut block.series {
                    counter_day(&self.accounts[series.account], block.family, series, day, &mut self.text);
                    flush(&mut self.text, to)?;
                }
            }
            for block in self.histograms.iter_mut().filter(|block| is_of(group.histograms(), block.family)) {
                head(block.family, &mut self.text);
                for series in &mut block.series {
                    histogram_day(&self.accounts[series.account], block.family, series, day, &mut self.text);
                    flush(&mut self.text, to)?;
                }
            }
        }
        to.write_all(b"# EOF\n")
    }
}

fn is_of(mut families: impl Iterator<Item = &'static Family>, family: &'static Family) -> bool {
    families.any(|of| std::ptr::eq(of, family))
}

fn flush(text: &mut String, to: &mut impl Write) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    text.clear();
    Ok(())
}

fn counters(account: &Account<'_>, family: &'static Family) -> Vec<Counter> {
    let declared = account.view.snapshot.counters.iter().map(|(counter, _)| *counter);
    let counted = account.buckets.counters.keys().map(|(counter, _)| *counter);
    let of_family =
        |counter: &Counter| is_shown(*counter) && counter.family().is_some_and(|of| std::ptr::eq(of, family));
    let mut keys: Vec<Counter> = declared.chain(counted).filter(of_family).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn histograms(account: &Account<'_>, family: &'static Family) -> Vec<HistogramKey> {
    let declared = account.view.snapshot.histograms.iter().map(|(key, _)| *key);
    let counted = account.buckets.histograms.keys().map(|(key, _)| *key);
    let of_family = |key: &HistogramKey| key.family().is_some_and(|of| std::ptr::eq(of, family));
    let mut keys: Vec<HistogramKey> = declared.chain(counted).filter(of_family).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn head(family: &Family, text: &mut String) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    *text += &format!("# HELP {} {}\n# TYPE {} {kind}\n", family.name, escaped(family.help), family.name);
}

fn counter_day(
    account: &Account<'_>,
    family: &Family,
    series: &mut Running<Counter, u64>,
    day: i64,
    text: &mut String,
) {
    let (range, key, name) = (&account.range, series.key, family.sample_name());
    let labels = &series.labels;
    if let Some(of_day) = range.steps_of_day(day) {
        let changes = account.buckets.counters.range((key, of_day.0)..=(key, of_day.1));
        let at = changes.clone().map(|((_, step), _)| *step).collect();
        let mut changes = changes.peekable();
        for step in account.steps(of_day, at) {
            while let Some((_, more)) = changes.next_if(|((_, at), _)| *at <= step) {
                series.value += more;
            }
            *text += &format!("{name}{{{labels}}} {} {}\n", series.value, range.time_of(step) / SECOND);
        }
    }
    if range.ends_on(day) {
        *text += &format!("{name}{{{labels}}} 0 {}\n", range.end / SECOND);
    }
}

fn histogram_day(
    account: &Account<'_>,
    family: &Family,
    series: &mut Running<HistogramKey, Totals>,
    day: i64,
    text: &mut String,
) {
    let (range, key) = (&account.range, series.key);
    let bounds: Vec<String> = key.bounds().iter().map(|bound| format!("{bound:?}")).collect();
    let point = |totals: &Totals, at: i64, text: &mut String| {
        let (name, labels, at) = (family.name, &series.labels, at / SECOND);
        let mut count = 0;
        let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
        for (bound, more) in bounds.zip(&totals.counts) {
            count += more;
            *text += &format!("{name}_bucket{{{labels},le=\"{bound}\"}} {count} {at}\n");
        }
        *text += &format!("{name}_sum{{{labels}}} {} {at}\n", totals.sum as f64 / 1_000.0);
        *text += &format!("{name}_count{{{labels}}} {count} {at}\n");
    };
    if let Some(of_day) = range.steps_of_day(day) {
        let changes = account.buckets.histograms.range((key, of_day.0)..=(key, of_day.1));
        let at = changes.clone().map(|((_, step), _)| *step).collect();
        let mut changes = changes.peekable();
        for step in account.steps(of_day, at) {
            while let Some((_, more)) = changes.next_if(|((_, at), _)| *at <= step) {
                add(&mut series.value, more);
            }
            point(&series.value, range.time_of(step), text);
        }
    }
    if range.ends_on(day) {
        let zero = Totals { counts: vec![0; bounds.len() + 1], sum: 0 };
        point(&zero, range.end, text);
    }
}

fn add(totals: &mut Totals, more: &Spread) {
    for (bucket, value) in &more.counts {
        if let Some(count) = totals.counts.get_mut(usize::from(*bucket)) {
            *count += value;
        }
    }
    totals.sum += more.sum;
}

fn escaped(text: &str) -> Cow<'_, str> {
    match text.contains(['\\', '"', '\n']) {
        true => Cow::Owned(text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::lines::Lines;
    use crate::domain::{Count, LineId, Protocol};

    const MINUTE: i64 = 60_000;
    const DAY: i64 = super::super::range::DAY;

    fn files(from: i64, to: i64, step: i64, buckets: &Buckets) -> Vec<String> {
        let mut lines = Lines::default();
        lines.line(Some("+1310555\"\\"));
        let view = lines.view("a");
        let range = Range::new(from, to, i64::MAX, step).unwrap();
        let labels = BTreeMap::from([("job".to_owned(), "blooio".to_owned())]);
        let account = Account::new(&view, range, buckets);
        let mut writer = Writer::new(vec![account], &Display::default(), &labels);
        let files = writer.days().into_iter().map(|day| {
            let mut file = Vec::new();
            writer.day(day, &mut file).unwrap();
            String::from_utf8(file).unwrap()
        });
        files.collect()
    }

    /// The samples of a series in a file, as (second, value).
    fn samples(file: &str, series: &str) -> Vec<(i64, f64)> {
        let lines = file.lines().filter_map(|line| line.strip_prefix(series));
        let pairs = lines.map(|line| line.trim_start().split_once(' ').unwrap());
        pairs.map(|(value, at)| (at.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn counters_go_on_over_midnight_and_fall_to_zero_at_the_end() {
        let (line, protocol) = (LineId(1), Protocol::Imessage);
        let mut buckets = Buckets::default();
        for step in [2, 2, 4] {
            buckets.count(Count::One(Counter::Inbound { line, protocol }), step);
        }
        let files = files(DAY - 2 * MINUTE, DAY + 3 * MINUTE, MINUTE, &buckets);
        let name = "blooio_inbound_messages_total{account=\"a\",line=\"+1310555\\\"\\\\\\\\\",protocol=\"imessage\",job=\"blooio\"}";
        let day = DAY / SECOND;
        assert_eq!(samples(&files[0], name), [(day - 120, 0.0), (day - 60, 0.0)]);
        let second = [(day, 2.0), (day + 60, 2.0), (day + 120, 3.0), (day + 179, 3.0), (day + 180, 0.0)];
        assert_eq!(samples(&files[1], name), second);
        assert_eq!(files.len(), 2);
        assert!(files.iter().all(|file| file.ends_with("# EOF\n") && !file.contains("_created")));
        assert!(files.iter().all(|file| !file.contains("regressions") && !file.contains("unplaced")));
    }

    #[test]
    fn a_series_has_a_sample_at_every_fifth_minute_at_each_change_and_before_it() {
        let mut buckets = Buckets::default();
        buckets.count(Count::One(Counter::ClockSkew), 9);
        let files = files(DAY - 12 * MINUTE, DAY + 7 * MINUTE, MINUTE, &buckets);
        let name = "blooio_clock_skew_messages_total{account=\"a\",job=\"blooio\"}";
        let minutes = |file: &str| {
            samples(file, name).iter().map(|(at, _)| *at as f64 / 60.0 - 1_440.0).collect::<Vec<_>>()
        };
        assert_eq!(minutes(&files[0]), [-12.0, -10.0, -5.0, -4.0, -3.0, -1.0]);
        assert_eq!(minutes(&files[1])[..2], [0.0, 5.0]);
        assert_eq!(samples(&files[1], name).last().unwrap().0, (DAY + 7 * MINUTE) / SECOND);
    }

    #[test]
    fn what_comes_before_the_first_message_is_one_sample_and_a_day() {
        let mut buckets = Buckets::default();
        buckets.count(Count::One(Counter::ClockSkew), 400 * 1_440 + 7);
        let name = "blooio_clock_skew_messages_total{account=\"a\",job=\"blooio\"}";
        let shown = |buckets: &Buckets| {
            let files = files(0, 402 * DAY - SECOND, MINUTE, buckets);
            let all = files.iter().flat_map(|file| samples(file, name)).collect::<Vec<_>>();
            (files.len(), all)
        };
        let (files, all) = shown(&buckets);
        let day = DAY / SECOND;
        assert_eq!((files, all[0], all[1]), (4, (0, 0.0), (399 * day + 600, 0.0)));
        assert!(all[1..].windows(2).all(|pair| pair[1].0 - pair[0].0 <= 300), "no gap from there on");
        let (files, all) = shown(&Buckets::default());
        assert_eq!((files, all), (2, vec![(0, 0.0), (402 * day - 1, 0.0)]));
    }

    #[test]
    fn histograms_are_cumulative_in_both_directions() {
        let key = HistogramKey::Latency { line: LineId(1), protocol: Protocol::Sms };
        let mut buckets = Buckets::default();
        buckets.count(Count::Took(key, 1_500), 1);
        buckets.count(Count::Took(key, 100_000_000), 2);
        let file = files(0, 3 * MINUTE, MINUTE, &buckets).remove(0);
        let labels = "account=\"a\",line=\"+1310555\\\"\\\\\\\\\",protocol=\"sms\",job=\"blooio\"";
        let name = "blooio_delivery_latency_seconds";
        let of = |suffix: &str| {
            samples(&file, &format!("{name}{suffix}")).iter().map(|(_, value)| *value).collect::<Vec<_>>()
        };
        assert_eq!(of(&format!("_bucket{{{labels},le=\"1.0\"}}")), [0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(of(&format!("_bucket{{{labels},le=\"2.0\"}}")), [0.0, 1.0, 1.0, 1.0, 0.0]);
        assert_eq!(of(&format!("_bucket{{{labels},le=\"+Inf\"}}")), [0.0, 1.0, 2.0, 2.0, 0.0]);
        assert_eq!(of(&format!("_sum{{{labels}}}")), [0.0, 1.5, 100_001.5, 100_001.5, 0.0]);
        assert_eq!(of(&format!("_count{{{labels}}}")), [0.0, 1.0, 2.0, 2.0, 0.0]);
    }
}
