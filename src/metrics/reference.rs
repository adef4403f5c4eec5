//! The catalogue as a document: `docs/metrics.md`.

use std::fmt::Write as _;

use super::catalogue::{CHAPTERS, Kind};

/// The text of `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         Generated from `src/metrics/catalogue.rs` by `BLESS=1 cargo test --test all reference`; do not edit.\n\n\
         Series that can be expected of a known line exist from the start at 0; rare label values appear when they\n\
         are first seen. For every account and line, on every page:\n\
         `outbound = delivered + failed + cancelled + unconfirmed + (sum over status of open) - open_history`.\n\
         Counters continue where they stood across restarts and crashes, those of the process excepted.\n",
    );
    for chapter in CHAPTERS {
        let _ = write!(
            text,
            "\n## {}\n\n| family | type | labels | meaning |\n|---|---|---|---|\n",
            chapter.title
        );
        for family in chapter.families {
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                text,
                "| `{}` | {kind} | {} | {} |",
                family.sample_name(),
                labels.join(", "),
                family.help
            );
        }
    }
    text
}
