//! The catalogue as a document, `docs/metrics.md`, and for programs, `docs/metrics.json`.

use std::fmt::Write as _;

use super::catalogue::CHAPTERS;
use crate::domain::Kind;

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

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
            let kind = name_of(family.kind);
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

/// The catalogue as JSON, one metric per line: what alerts and dashboards are checked against.
pub fn json() -> String {
    let families = CHAPTERS.iter().flat_map(|chapter| chapter.families());
    let lines: Vec<String> = families
        .map(|family| {
            // Names and labels hold nothing that JSON would escape.
            let labels: Vec<String> = family.labels.iter().map(|label| format!("\"{label}\"")).collect();
            let (name, kind, labels) = (family.sample_name(), name_of(family.kind), labels.join(", "));
            format!("  {{\"name\": \"{name}\", \"type\": \"{kind}\", \"labels\": [{labels}]}}")
        })
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}
