//! Writes a family: its name, help and unit, then its series with their labels.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::registry::Display;
use crate::domain::{Counter, Family, Group, Histogram, HistogramKey, Kind, LabelValue, LineId, View};

/// How the page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics text format, version 1.0.0.
    OpenMetrics,
}

pub(super) type Labels<'a> = Vec<Cow<'a, str>>;
pub(super) type Series<'a> = Vec<(Labels<'a>, f64)>;

/// Writes families in one of the two syntaxes.
pub(super) struct Writer<'a, 'e> {
    pub(super) encoder: DescriptorEncoder<'e>,
    pub(super) syntax: Syntax,
    pub(super) display: &'a Display,
}

impl<'a> Writer<'a, '_> {
    pub(super) fn family(
        &mut self,
        family: &'static Family,
        write: impl FnOnce(&mut FamilyWriter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let (name, kind) = match (self.syntax, family.kind) {
            // The older syntax has the suffix in the family's name too; a gauge is what adds none to it.
            (Syntax::Text, Kind::Counter) => (family.sample_name(), MetricType::Counter),
            (_, Kind::Counter) => (family.name.to_owned(), MetricType::Counter),
            (_, Kind::Gauge) => (family.name.to_owned(), MetricType::Gauge),
            (_, Kind::Histogram) => (family.name.to_owned(), MetricType::Histogram),
        };
        let encoder = self.encoder.encode_descriptor(&name, family.help, None, kind)?;
        write(&mut FamilyWriter { encoder, family, syntax: self.syntax })
    }

    pub(super) fn line(&self, view: &'a View, line: LineId) -> Cow<'a, str> {
        self.display.line_name(view, line)
    }

    /// The counters and histograms of a group.
    pub(super) fn durable(&mut self, views: &'a [Arc<View>], group: Group) -> fmt::Result {
        for family in group.counters() {
            let of_family = |counter: Counter| is_same(counter.family(), family).then(|| counter.labels());
            let series = self.series(views, |view| &view.snapshot.counters, of_family);
            self.family(family, |writer| {
                series.iter().try_for_each(|(labels, counter, value)| match counter {
                    Counter::Throttled { .. } => writer.seconds(labels, **value as f64 / 1000.0),
                    _ => writer.counter(labels, **value),
                })
            })?;
        }
        for family in group.histograms() {
            let of_family = |key: HistogramKey| is_same(key.family(), family).then(|| key.labels());
            let series = self.series(views, |view| &view.snapshot.histograms, of_family);
            self.family(family, |writer| {
                series
                    .iter()
                    .try_for_each(|(labels, key, histogram)| writer.histogram(labels, *key, histogram))
            })?;
        }
        Ok(())
    }

    /// The series of those for which `labels` gives labels.
    pub(super) fn series<K: Copy + 'a, V: 'a>(
        &self,
        views: &'a [Arc<View>],
        all: impl Fn(&'a View) -> &'a Vec<(K, V)>,
        labels: impl Fn(K) -> Option<Vec<LabelValue>>,
    ) -> Vec<(Labels<'a>, K, &'a V)> {
        let mut series = Vec::new();
        for view in views {
            for (key, value) in all(view) {
                if let Some(labels) = labels(*key) {
                    let labels = labels.into_iter().map(|label| match label {
                        LabelValue::Line(line) => self.line(view, line),
                        LabelValue::Word(word) => word,
                    });
                    series.push((account(view, labels.collect()), *key, value));
                }
            }
        }
        series
    }

    /// One gauge per account, where there is a value.
    pub(super) fn accounts(
        &mut self,
        views: &[Arc<View>],
        family: &'static Family,
        value: impl Fn(&View) -> Option<f64>,
    ) -> fmt::Result {
        self.family(family, |writer| {
            for view in views {
                if let Some(value) = value(view) {
                    writer.gauge(&[Cow::Borrowed(view.account.as_str())], value)?;
                }
            }
            Ok(())
        })
    }

    pub(super) fn gauges(&mut self, family: &'static Family, series: Series<'_>) -> fmt::Result {
        self.family(family, |writer| {
            series.iter().try_for_each(|(labels, value)| writer.gauge(labels, *value))
        })
    }
}

/// Whether a series is of this family.
pub(super) fn is_same(of: Option<&'static Family>, family: &'static Family) -> bool {
    of.is_some_and(|of| std::ptr::eq(of, family))
}

pub(super) fn account<'a>(view: &'a View, rest: Labels<'a>) -> Labels<'a> {
    let mut labels = Vec::with_capacity(rest.len() + 1);
    labels.push(Cow::Borrowed(view.account.as_str()));
    labels.extend(rest);
    labels
}

/// One value per line, of those lines that have one.
pub(super) fn of_lines<'a>(
    w: &Writer<'a, '_>,
    views: &'a [Arc<View>],
    values: impl Fn(&View) -> Vec<(LineId, f64)>,
) -> Series<'a> {
    let mut series = Vec::new();
    for view in views {
        for (line, value) in values(view) {
            series.push((account(view, vec![w.line(view, line)]), value));
        }
    }
    series
}

pub(super) struct FamilyWriter<'e> {
    pub(super) encoder: MetricEncoder<'e>,
    pub(super) family: &'static Family,
    pub(super) syntax: Syntax,
}

impl FamilyWriter<'_> {
    pub(super) fn series(
        &mut self,
        labels: &[Cow<'_, str>],
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if labels.is_empty() {
            return write(&mut self.encoder);
        }
        let pairs: Vec<(&str, &str)> =
            self.family.labels.iter().copied().zip(labels.iter().map(Cow::as_ref)).collect();
        write(&mut self.encoder.encode_family(&pairs)?)
    }

    /// A 1, with labels beyond those of the family.
    pub(super) fn info(
        &mut self,
        labels: &[Cow<'_, str>],
        more: Option<&BTreeMap<String, String>>,
    ) -> fmt::Result {
        let own = self.family.labels.iter().copied().zip(labels.iter().map(Cow::as_ref));
        let more = more.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<(&str, &str)> = own.chain(more).collect();
        self.encoder.encode_family(&pairs)?.encode_gauge(&1i64)
    }

    pub(super) fn counter(&mut self, labels: &[Cow<'_, str>], value: u64) -> fmt::Result {
        let syntax = self.syntax;
        self.series(labels, |encoder| match syntax {
            Syntax::Text => encoder.encode_gauge(&value),
            Syntax::OpenMetrics => encoder.encode_counter::<NoLabelSet, _, u64>(&value, None),
        })
    }

    pub(super) fn seconds(&mut self, labels: &[Cow<'_, str>], value: f64) -> fmt::Result {
        let syntax = self.syntax;
        self.series(labels, |encoder| match syntax {
            Syntax::Text => encoder.encode_gauge(&value),
            Syntax::OpenMetrics => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
        })
    }

    pub(super) fn gauge(&mut self, labels: &[Cow<'_, str>], value: f64) -> fmt::Result {
        self.series(labels, |encoder| {
            if value.fract() == 0.0 && value.abs() < 9e15 {
                encoder.encode_gauge(&(value as i64))
            } else {
                encoder.encode_gauge(&value)
            }
        })
    }

    pub(super) fn histogram(
        &mut self,
        labels: &[Cow<'_, str>],
        key: HistogramKey,
        histogram: &Histogram,
    ) -> fmt::Result {
        let bounds = key.bounds().iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts.iter().copied()).collect();
        self.series(labels, |encoder| {
            encoder.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &buckets, None)
        })
    }
}

pub(super) fn label(value: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(value)
}

pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

pub(super) fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
