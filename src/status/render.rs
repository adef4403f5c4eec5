//! Draws the content of the status page as HTML.
//!
//! It needs no script and nothing from elsewhere. maud escapes what is spliced in; [`visible`] adds what escaping does not cover:
//! names come from the API, and a character that turns the direction of writing would reorder the rest of the page.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::content::{AccountStatus, Fact, Holder, Level, LineStatus, Shade, StatusPage};

impl Shade {
    fn class(self) -> &'static str {
        match self {
            Shade::Delivered => "delivered",
            Shade::Sent => "sent",
            Shade::Waiting => "waiting",
            Shade::Failed => "failed",
            Shade::Other => "other",
        }
    }
}

impl Level {
    fn class(self) -> &'static str {
        match self {
            Level::Good => "good",
            Level::Unknown => "unknown",
            Level::Warning => "warning",
            Level::Bad => "bad",
        }
    }

    /// A shape beside the colour, for those who cannot tell colours apart.
    fn sign(self) -> &'static str {
        match self {
            Level::Good => "●",
            Level::Unknown => "○",
            Level::Warning => "▲",
            Level::Bad => "■",
        }
    }
}

pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E\
    %3Ccircle cx='4' cy='4' r='3.5' fill='%231a73c9'/%3E%3C/svg%3E";

/// The label of messages for which no line is known.
const NO_LINE: &str = "none";

/// What the process cannot say: it holds a day.
const WEEK: &str = "Only the alerts compare with a week: whether nothing arrives, less goes by iMessage, or far more \
    than usual is sent.";

pub(super) const STYLE: &str = include_str!("status.css");

/// The whole page. Links are relative, so that they hold behind a proxy that adds a prefix.
pub fn page(status: &StatusPage, telemetry_path: &str) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Blooio exporter" }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(&status.version, telemetry_path))
                main {
                    p class="taken" {
                        "As of " (visible(&status.taken_at)) ". Charts and shares cover the last " (visible(&status.window))
                        "; warnings look back up to a day, at present " (visible(&status.looks_back)) ". " (WEEK) " "
                        a href="" { "Refresh" }
                    }
                    @for problem in &status.problems {
                        p class="problem bad" { (Level::Bad.sign()) " " bdi { (visible(problem)) } }
                    }
                    (holders(&status.holders))
                    @for one in &status.accounts { (account(one, &status.window)) }
                }
            }
        }
    }
    .into_string()
}

fn header(version: &str, telemetry_path: &str) -> Markup {
    html! {
        header {
            h1 { "Blooio exporter " small { (visible(version)) } }
            nav aria-label="Pages" {
                ul {
                    li { a href=(telemetry_path.trim_start_matches('/')) { "Metrics" } }
                    li { a href="-/ready" { "Ready" } }
                    li { a href="-/healthy" { "Healthy" } }
                    li { a href="reference" { "What the metrics mean" } }
                }
            }
        }
    }
}

fn holders(holders: &[Holder]) -> Markup {
    html! {
        @if !holders.is_empty() {
            section {
                h2 { "Replicas" }
                dl {
                    @for holder in holders {
                        div {
                            dt { bdi { (visible(&holder.account)) } }
                            dd class=(holder.level.class()) { (holder.level.sign()) " " bdi { (visible(&holder.replica)) } }
                        }
                    }
                }
            }
        }
    }
}

fn account(account: &AccountStatus, window: &str) -> Markup {
    html! {
        section {
            h2 {
                bdi { (visible(&account.name)) } " "
                span class=(account.level.class()) { (account.level.sign()) " " (visible(&account.verdict)) }
            }
            (facts(&account.facts))
            @if account.lines.is_empty() {
                p { "No line is known yet." }
            } @else {
                p class="key" {
                    span { span class="swatch outbound" {} " outbound, upwards" } " "
                    span { span class="swatch failed" {} " of them failed" } " "
                    span { span class="swatch inbound" {} " inbound, downwards" }
                }
            }
            div class="lines" {
                @for one in &account.lines { (line(one, window)) }
            }
        }
    }
}

fn line(line: &LineStatus, window: &str) -> Markup {
    let class = line.level.class();
    html! {
        article class={ "line " (class) } {
            h3 title=[(line.name == NO_LINE).then_some("Messages for which no line is known")] {
                bdi { (visible(&line.name)) }
            }
            p class={ "verdict " (class) } { (line.level.sign()) " " (visible(&line.verdict)) }
            (chart(line, window))
            (mix(line))
            (facts(&line.facts))
        }
    }
}

/// What a term means, where it does not say so itself.
fn explanation(term: &str) -> Option<&'static str> {
    Some(match term {
        "Last complete sweep" => {
            "A sweep lists what changed and reads it; it is complete when all of it was read"
        }
        "Counted up to" => "Messages sent before this time are counted, except those in unreadable chats",
        "Counted after, p95" => {
            "95 % of the messages of the window were counted within this time after they were sent"
        }
        "Requests per second" => "Requests to the API, of the budget that --api.budget allows",
        "Throttled" => {
            "How long requests waited within the window, for the budget or because the API asked for a pause"
        }
        "Chats left for later" => {
            "Changed chats that are still to be read, because the budget did not suffice"
        }
        "Last full listing" => "When the list of all chats was last read to its end",
        "Sweeps whole, partial, failed" => {
            "How sweeps ended since the first start: all was read, a part of it, or nothing"
        }
        "Latency p50, p95" => {
            "From sending to delivery: half of the messages took at most the first, 95 % at most the second"
        }
        "Left iMessage" => "Messages that travelled as SMS or RCS instead of iMessage",
        "Oldest waiting message" => "Age of the oldest message that still waits to be sent",
        "Oldest sent, no receipt" => "Age of the oldest message that was sent and has no receipt yet",
        _ => return None,
    })
}

fn facts(facts: &[Fact]) -> Markup {
    html! {
        dl {
            @for fact in facts {
                div {
                    dt title=[explanation(fact.term)] { (fact.term) }
                    @match fact.level {
                        Level::Warning | Level::Bad => {
                            dd class=(fact.level.class()) { (fact.level.sign()) " " (visible(&fact.value)) }
                        }
                        Level::Good | Level::Unknown => dd { (visible(&fact.value)) },
                    }
                }
            }
        }
    }
}

/// Height of half a chart, in the chart's own unit; a step is 4 wide.
const HALF: u64 = 30;

/// Outbound messages upwards, inbound ones downwards, to one scale.
fn chart(line: &LineStatus, window: &str) -> Markup {
    let sum = |at: usize| line.steps.iter().map(|step| u64::from(step[at])).sum::<u64>();
    let (inbound, outbound, failed) = (sum(0), sum(1), sum(2));
    let highest = line.steps.iter().map(|step| step[0].max(step[1])).max().unwrap_or(0);
    let width = 4 * line.steps.len().max(1);
    let label = format!("Last {window}: {outbound} outbound, {failed} of them failed, {inbound} inbound");
    html! {
        svg class="chart" role="img" viewBox={ "0 0 " (width) " " (2 * HALF + 1) } preserveAspectRatio="none"
            aria-label=(visible(&label)) {
            @for (at, step) in line.steps.iter().enumerate() { (bars(4 * at, *step, highest)) }
            rect class="axis" x="0" y=(HALF) width=(width) height="1" {}
        }
        p class="scale" {
            span { (visible(window)) " ago" }
            span { "highest bar: " (highest) }
            span { "now" }
        }
    }
}

/// The bars of one step; a count that is not zero is visible, however small.
fn bars(x: usize, [inbound, outbound, failed]: [u32; 3], highest: u32) -> Markup {
    let half = HALF as f64;
    let height = |count: u32| match count {
        0 => 0.0,
        count => (half * f64::from(count) / f64::from(highest)).max(1.0),
    };
    let (sent, lost, received) = (height(outbound), height(failed), height(inbound));
    let drawn =
        [("outbound", half - sent, sent), ("failed", half - lost, lost), ("inbound", half + 1.0, received)];
    html! {
        @for (class, y, height) in drawn.into_iter().filter(|(.., height)| *height > 0.0) {
            rect class=(class) x=(x) y=(format_args!("{y:.1}")) width="3" height=(format_args!("{height:.1}")) {}
        }
    }
}

/// The outbound messages of the window by status: a bar, and the same in words.
fn mix(line: &LineStatus) -> Markup {
    let total: u64 = line.mix.iter().map(|(.., count)| count).sum();
    if total == 0 {
        return html! { p class="mix" { "Nothing was sent." } };
    }
    let widths = line.mix.iter().map(|(.., count)| 1000.0 * *count as f64 / total as f64);
    let starts = widths.clone().scan(0.0, |x, width| {
        let start = *x;
        *x += width;
        Some(start)
    });
    html! {
        svg class="mix" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            @for (((_, shade, _), x), width) in line.mix.iter().zip(starts).zip(widths) {
                rect class=(shade.class()) x=(format_args!("{x:.1}")) y="0" width=(format_args!("{width:.1}")) height="10" {}
            }
        }
        ul class="mix" {
            @for (label, shade, count) in line.mix.iter().filter(|(.., count)| *count > 0) {
                li { span class={ "swatch " (shade.class()) } {} " " (count) " " (visible(label)) }
            }
        }
    }
}

/// Whether a character is not visible itself: control characters, and those that turn the direction of writing or break lines.
fn is_format(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Text with such characters shown by their numbers instead of followed.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_format) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if is_format(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        let evil = "<script>alert('1')</script>".to_owned();
        let line = LineStatus { name: evil.clone(), verdict: evil.clone(), ..LineStatus::default() };
        let account = AccountStatus {
            name: evil.clone(),
            verdict: evil.clone(),
            facts: vec![Fact { term: "Chats", value: evil.clone(), level: Level::Good }],
            lines: vec![line],
            ..AccountStatus::default()
        };
        let (window, problems) = ("\"1h\"".to_owned(), vec![evil]);
        let html = page(
            &StatusPage { window, problems, accounts: vec![account], ..StatusPage::default() },
            "/metrics\"><script>",
        );
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert('1')&lt;/script&gt;").count(), 6);
        assert!(html.contains("aria-label=\"Last &quot;1h&quot;: 0 outbound"));
    }

    #[test]
    fn a_name_cannot_turn_the_rest_of_the_page_around() {
        let name = "sales\u{202e}\u{2066}\u{1b}[31m".to_owned();
        let line = LineStatus { name, ..LineStatus::default() };
        let account = AccountStatus { lines: vec![line], ..AccountStatus::default() };
        let html = page(&StatusPage { accounts: vec![account], ..StatusPage::default() }, "/metrics");
        assert!(html.contains("<bdi>sales\\u{202e}\\u{2066}\\u{1b}[31m</bdi>"), "{html}");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = page(&StatusPage::default(), "/blooio/metrics");
        assert!(html.contains("href=\"blooio/metrics\"") && html.contains("href=\"-/ready\""));
        for outside in ["src=", "<script", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
        // Nor does it load itself again: who reads it, or has it read out, would lose the place.
        assert!(!html.contains("http-equiv=\"refresh\""));
        // The icon is inside the page.
        assert_eq!(html.matches("<link").count(), 1);
        assert!(html.contains("<link rel=\"icon\" href=\"data:"));
    }

    #[test]
    fn terms_and_the_line_of_no_line_are_explained_where_they_appear() {
        let fact = |term| Fact { term, ..Fact::default() };
        let html = facts(&[fact("Counted after, p95"), fact("Chats")]).into_string();
        assert!(html.contains("<dt title=\"95 % of the messages"), "{html}");
        assert!(html.contains("<dt>Chats</dt>"), "{html}");
        let named = |name: &str| line(&LineStatus { name: name.to_owned(), ..LineStatus::default() }, "1h");
        assert!(named("none").into_string().contains("<h3 title=\"Messages for which no line is known\">"));
        assert!(named("sales").into_string().contains("<h3><bdi>sales"));
    }

    #[test]
    fn a_chart_is_drawn_to_one_scale_and_says_the_same_in_words() {
        let line = LineStatus { steps: vec![[0, 10, 5], [1, 0, 0]], ..LineStatus::default() };
        let html = chart(&line, "1h").into_string();
        assert!(html.contains("aria-label=\"Last 1h: 10 outbound, 5 of them failed, 1 inbound\""));
        assert!(
            html.contains("<rect class=\"outbound\" x=\"0\" y=\"0.0\" width=\"3\" height=\"30.0\"></rect>")
        );
        assert!(
            html.contains("<rect class=\"failed\" x=\"0\" y=\"15.0\" width=\"3\" height=\"15.0\"></rect>")
        );
        assert!(
            html.contains("<rect class=\"inbound\" x=\"4\" y=\"31.0\" width=\"3\" height=\"3.0\"></rect>")
        );
        assert_eq!(html.matches("<rect ").count(), 4);
    }
}
