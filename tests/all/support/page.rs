//! A page of metrics as the tests read it: the only place that parses one.

use std::collections::BTreeMap;

/// A page, by series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub(crate) samples: BTreeMap<String, f64>,
    pub(crate) types: BTreeMap<String, String>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Page {
        let mut page = Page::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(page.types.insert(name.into(), kind.into()).is_none(), "{name} declared twice");
            } else if !line.starts_with('#') && !line.is_empty() {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap();
                assert!(page.samples.insert(series.into(), value).is_none(), "{series} twice");
            }
        }
        page
    }

    /// The series of a family, as label values in the page's order.
    pub(crate) fn family(&self, name: &str) -> BTreeMap<Vec<String>, f64> {
        let series = self.samples.iter().filter_map(|(series, value)| {
            let (family, labels) = series.split_once('{').unwrap_or((series, "}"));
            (family == name).then(|| (labels.trim_end_matches('}'), *value))
        });
        series
            .map(|(labels, value)| {
                let values = labels.split("\",").filter(|label| !label.is_empty());
                let values = values.map(|label| label.split_once("=\"").unwrap().1.trim_end_matches('"'));
                (values.map(str::to_owned).collect(), value)
            })
            .collect()
    }

    /// The same of one account.
    pub(crate) fn of(&self, account: &str, name: &str) -> BTreeMap<Vec<String>, f64> {
        let mut series = self.family(name);
        series.retain(|labels, _| labels[0] == account);
        series
    }

    /// The sum of a family's series.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, &[])
    }

    /// The sum of those whose labels contain all of these.
    pub(crate) fn sum_where(&self, name: &str, labels: &[&str]) -> f64 {
        let is_meant = |series: &str| {
            series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
        };
        self.samples.iter().filter(|(series, _)| is_meant(series)).map(|(_, value)| value).sum()
    }

    /// The series that only grow.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (&String, f64)> {
        self.samples.iter().filter_map(|(series, value)| {
            let name = series.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                name.strip_suffix(suffix)
                    .filter(|family| self.types.get(*family).is_some_and(|t| t == "histogram"))
            });
            let is_counter =
                self.types.get(name).is_some_and(|kind| kind == "counter") || of_histogram.is_some();
            (is_counter && !name.starts_with("process_")).then_some((series, *value))
        })
    }

    /// Fails when a counter is smaller here than on an earlier page, or missing.
    pub(crate) fn assert_not_behind(&self, earlier: &Page) {
        for (series, before) in earlier.counters() {
            let now = self.samples.get(series).copied();
            assert!(now.is_some_and(|now| now >= before - 1e-9), "{series} fell from {before} to {now:?}");
        }
    }

    /// outbound = delivered + failed + cancelled + unconfirmed + open - open history, for every line.
    pub(crate) fn assert_conserved(&self) {
        let per_line = |name: &str| {
            let mut lines: BTreeMap<Vec<String>, f64> = BTreeMap::new();
            for (labels, value) in self.family(name) {
                *lines.entry(labels[..2].to_vec()).or_default() += value;
            }
            lines
        };
        let ended = ["delivered", "failed", "cancelled", "unconfirmed"]
            .map(|end| per_line(&format!("blooio_outbound_{end}_messages_total")));
        let (open, history) =
            (per_line("blooio_outbound_open_messages"), per_line("blooio_outbound_open_history_messages"));
        for (line, accepted) in per_line("blooio_outbound_messages_total") {
            let of = |map: &BTreeMap<Vec<String>, f64>| map.get(&line).copied().unwrap_or(0.0);
            let explained = ended.iter().map(of).sum::<f64>() + of(&open) - of(&history);
            assert_eq!(accepted, explained, "conservation on {line:?}");
        }
    }
}
