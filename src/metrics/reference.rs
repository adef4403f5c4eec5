//! The catalogue as a document: `docs/metrics.md`.

use std::fmt::Write as _;

use super::catalogue::CHAPTERS;
use crate::domain::Kind;

/// The catalogue as Markdown. `note` stands below the title.
pub fn markdown(note: &str) -> String {
    let mut text = format!("# Metrics\n\n{note}");
    text.push_str(
        "Series that can be expected of a known line exist from the start at 0; rare label values appear when they\n\
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
        for family in chapter.families() {
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
