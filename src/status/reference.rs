//! The page that says what the metrics mean, from the catalogue. `docs/metrics.md` says the same as Markdown.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::render::{ICON, STYLE};
use crate::domain::{Family, Kind};
use crate::metrics::catalogue::CHAPTERS;

/// The whole page. It needs no script and nothing from elsewhere.
pub fn page() -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Metrics of the Blooio exporter" }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Metrics" }
                    nav aria-label="Pages" { ul { li { a href="./" { "Status" } } } }
                }
                main {
                    p {
                        "For every account and line, on every page: outbound = delivered + failed + cancelled + \
                         unconfirmed + (sum over status of open) - open_history. Series that can be expected of a known \
                         line exist from the start at 0; rare label values appear when they are first seen. Counters \
                         continue across restarts and crashes, those of the process excepted."
                    }
                    @for chapter in CHAPTERS {
                        section {
                            h2 { (chapter.title) }
                            dl class="families" { @for family in chapter.families() { (entry(family)) } }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// A family: name, type and labels, then its meaning. The name is an anchor.
fn entry(family: &Family) -> Markup {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let name = family.sample_name();
    html! {
        div id=(name) {
            dt {
                code { (name) } " " (kind)
                @if !family.labels.is_empty() { " by " (family.labels.join(", ")) }
            }
            dd { (family.help) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue;

    #[test]
    fn every_family_has_an_entry_and_nothing_comes_from_elsewhere() {
        let html = page();
        for family in catalogue::all() {
            assert!(
                html.contains(&format!("<div id=\"{}\">", family.sample_name())),
                "{}",
                family.sample_name()
            );
        }
        for outside in ["src=", "<script", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
