//! The status page: how each account and line is doing, for a person who opens the exporter's address in a browser.
//!
//! It needs no script and nothing from elsewhere. It shows no configuration, no contact, no text and no id.

use std::fmt::Write;

/// How something is doing. It is told by a word and a shape as well as by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Nothing can be said yet.
    #[default]
    Unknown,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
}

/// What the status page shows. Everyone who can open the page can read all of it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The exporter's version, such as `0.1.0`.
    pub version: String,
    /// The moment that it tells of, as people write it.
    pub taken_at: String,
    /// Length of the trailing window, such as `1 h`.
    pub window: String,
    /// How far back warnings look at present, such as `3 h`; a day is the most.
    pub looks_back: String,
    /// What is wrong with the exporter itself; empty when nothing is.
    pub problems: Vec<String>,
    /// The accounts, in the order of the configuration.
    pub accounts: Vec<AccountStatus>,
}

/// One account.
#[derive(Clone, Debug, Default)]
pub struct AccountStatus {
    /// Its name.
    pub name: String,
    /// How its collection is doing.
    pub level: Level,
    /// The same in words, such as `collecting`.
    pub verdict: String,
    /// Figures of its collection.
    pub facts: Vec<Fact>,
    /// Its lines; those that need a look come first.
    pub lines: Vec<LineStatus>,
}

/// One line.
#[derive(Clone, Debug, Default)]
pub struct LineStatus {
    /// The value of its label: an alias, or its number.
    pub name: String,
    /// How it is doing.
    pub level: Level,
    /// The same in words, such as `the device does not answer`.
    pub verdict: String,
    /// Its messages over the trailing window: any number of steps of equal length, the oldest first. Inbound,
    /// outbound, and how many of the outbound ones failed.
    pub steps: Vec<[u32; 3]>,
    /// Outbound messages of the window by status: its label, what it is drawn as, and how many.
    pub mix: Vec<(&'static str, Shade, u64)>,
    /// Further figures.
    pub facts: Vec<Fact>,
}

/// A figure: what it is, what it says, and whether that is worth a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// Such as `Failed`.
    pub term: &'static str,
    /// Such as `2 % (3 of 140)`.
    pub value: String,
    /// How to take it.
    pub level: Level,
}

/// What a part of the status mix is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Arrived.
    Delivered,
    /// Handed over.
    Sent,
    /// Still to be handed over.
    Waiting,
    /// Failed.
    Failed,
    /// Anything else.
    Other,
}

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

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Blooio exporter</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='3.5' fill='%231a73c9'/%3E%3C/svg%3E">
<style>
"#;

/// What the process cannot say: it holds a day.
const WEEK: &str = "Only the alerts compare with a week: whether nothing arrives, less goes by iMessage, or far more \
    than usual is sent.";

const STYLE: &str = include_str!("status.css");

/// The whole page. Links are relative, so that they hold behind a proxy that adds a prefix.
pub fn page(status: &Status, telemetry_path: &str) -> String {
    let mut html = String::with_capacity(16 * 1024);
    html.push_str(HEAD);
    html.push_str(STYLE);
    html.push_str("</style>\n</head>\n<body>\n");
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        html,
        "<header>\n<h1>Blooio exporter <small>{}</small></h1>\n<nav aria-label=\"Pages\">\n<ul>\n\
         <li><a href=\"{}\">Metrics</a></li>\n<li><a href=\"-/ready\">Ready</a></li>\n\
         <li><a href=\"-/healthy\">Healthy</a></li>\n\
         <li><a href=\"reference\">What the metrics mean</a></li>\n\
         </ul>\n</nav>\n</header>\n<main>\n",
        escape(&status.version),
        escape(telemetry_path.trim_start_matches('/')),
    );
    let _ = writeln!(
        html,
        "<p class=\"taken\">As of {}. Charts and shares cover the last {}; warnings look back up to a day, at present {}. {WEEK} \
         <a href=\"\">Refresh</a></p>",
        escape(&status.taken_at),
        escape(&status.window),
        escape(&status.looks_back),
    );
    for problem in &status.problems {
        let _ = writeln!(
            html,
            "<p class=\"problem bad\">{} <bdi>{}</bdi></p>",
            Level::Bad.sign(),
            escape(problem)
        );
    }
    for account in &status.accounts {
        write_account(&mut html, account, &status.window);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn write_account(html: &mut String, account: &AccountStatus, window: &str) {
    let _ = write!(
        html,
        "<section>\n<h2><bdi>{}</bdi> <span class=\"{}\">{} {}</span></h2>\n",
        escape(&account.name),
        account.level.class(),
        account.level.sign(),
        escape(&account.verdict),
    );
    write_facts(html, &account.facts);
    if account.lines.is_empty() {
        html.push_str("<p>No line is known yet.</p>\n");
    } else {
        html.push_str(
            "<p class=\"key\"><span class=\"swatch outbound\"></span> outbound, upwards \
             <span class=\"swatch failed\"></span> of them failed \
             <span class=\"swatch inbound\"></span> inbound, downwards</p>\n",
        );
    }
    html.push_str("<div class=\"lines\">\n");
    for line in &account.lines {
        write_line(html, line, window);
    }
    html.push_str("</div>\n</section>\n");
}

fn write_line(html: &mut String, line: &LineStatus, window: &str) {
    let _ = write!(
        html,
        "<article class=\"line {}\">\n<h3><bdi>{}</bdi></h3>\n<p class=\"verdict {}\">{} {}</p>\n",
        line.level.class(),
        escape(&line.name),
        line.level.class(),
        line.level.sign(),
        escape(&line.verdict),
    );
    write_chart(html, line, window);
    write_mix(html, line);
    write_facts(html, &line.facts);
    html.push_str("</article>\n");
}

fn write_facts(html: &mut String, facts: &[Fact]) {
    html.push_str("<dl>\n");
    for fact in facts {
        let (class, sign) = match fact.level {
            Level::Warning | Level::Bad => (fact.level.class(), format!("{} ", fact.level.sign())),
            Level::Good | Level::Unknown => ("", String::new()),
        };
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd class=\"{class}\">{sign}{}</dd></div>",
            fact.term,
            escape(&fact.value)
        );
    }
    html.push_str("</dl>\n");
}

/// Height of half a chart, in the chart's own unit; a step is 4 wide.
const HALF: u64 = 30;

/// Outbound messages upwards, inbound ones downwards, to one scale.
fn write_chart(html: &mut String, line: &LineStatus, window: &str) {
    let sum = |at: usize| line.steps.iter().map(|step| u64::from(step[at])).sum::<u64>();
    let (inbound, outbound, failed) = (sum(0), sum(1), sum(2));
    let highest = line.steps.iter().map(|step| step[0].max(step[1])).max().unwrap_or(0);
    let width = 4 * line.steps.len().max(1);
    let _ = writeln!(
        html,
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {width} {}\" preserveAspectRatio=\"none\" \
         aria-label=\"Last {}: {outbound} outbound, {failed} of them failed, {inbound} inbound\">",
        2 * HALF + 1,
        escape(window),
    );
    let height = |count: u32| match highest {
        0 => 0.0,
        // Whatever is there can be seen.
        _ if count > 0 => (HALF as f64 * f64::from(count) / f64::from(highest)).max(1.0),
        _ => 0.0,
    };
    let half = HALF as f64;
    for (at, [inbound, outbound, failed]) in line.steps.iter().copied().enumerate() {
        let x = 4 * at;
        let mut bar = |class: &str, y: f64, height: f64| {
            if height > 0.0 {
                let _ = writeln!(
                    html,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{y:.1}\" width=\"3\" height=\"{height:.1}\"/>"
                );
            }
        };
        let (sent, lost) = (height(outbound), height(failed));
        bar("outbound", half - sent, sent);
        bar("failed", half - lost, lost);
        bar("inbound", half + 1.0, height(inbound));
    }
    let _ = write!(
        html,
        "<rect class=\"axis\" x=\"0\" y=\"{HALF}\" width=\"{width}\" height=\"1\"/>\n</svg>\n\
         <p class=\"scale\"><span>{} ago</span><span>highest bar: {highest}</span><span>now</span></p>\n",
        escape(window)
    );
}

/// The outbound messages of the window by status: a bar, and the same in words.
fn write_mix(html: &mut String, line: &LineStatus) {
    let total: u64 = line.mix.iter().map(|(.., count)| count).sum();
    if total == 0 {
        html.push_str("<p class=\"mix\">Nothing was sent.</p>\n");
        return;
    }
    html.push_str(
        "<svg class=\"mix\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\n",
    );
    let mut x = 0.0;
    for (_, shade, count) in &line.mix {
        let width = 1000.0 * *count as f64 / total as f64;
        let class = shade.class();
        let _ = writeln!(
            html,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"0\" width=\"{width:.1}\" height=\"10\"/>"
        );
        x += width;
    }
    html.push_str("</svg>\n<ul class=\"mix\">\n");
    for (label, shade, count) in line.mix.iter().filter(|(.., count)| *count > 0) {
        let class = shade.class();
        let _ = writeln!(html, "<li><span class=\"swatch {class}\"></span> {count} {}</li>", escape(label));
    }
    html.push_str("</ul>\n");
}

/// Control characters, and those that turn the direction of writing or break lines. Names come from the API.
fn is_format(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What turns the direction of writing, or is not visible, is shown and not followed.
            c if is_format(c) => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
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
            &Status { window, problems, accounts: vec![account], ..Status::default() },
            "/metrics\"><script>",
        );
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;").count(), 6);
        assert!(html.contains("aria-label=\"Last &quot;1h&quot;: 0 outbound"));
    }

    #[test]
    fn a_name_cannot_turn_the_rest_of_the_page_around() {
        let name = "sales\u{202e}\u{2066}\u{1b}[31m".to_owned();
        let line = LineStatus { name, ..LineStatus::default() };
        let account = AccountStatus { lines: vec![line], ..AccountStatus::default() };
        let html = page(&Status { accounts: vec![account], ..Status::default() }, "/metrics");
        assert!(html.contains("<bdi>sales\\u{202e}\\u{2066}\\u{1b}[31m</bdi>"), "{html}");
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = page(&Status::default(), "/blooio/metrics");
        assert!(html.contains("href=\"blooio/metrics\"") && html.contains("href=\"-/ready\""));
        for outside in ["src=", "<script", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
        // The icon is inside the page.
        assert_eq!(html.matches("<link").count(), 1);
        assert!(html.contains("<link rel=\"icon\" href=\"data:"));
    }

    #[test]
    fn a_chart_is_drawn_to_one_scale_and_says_the_same_in_words() {
        let line = LineStatus { steps: vec![[0, 10, 5], [1, 0, 0]], ..LineStatus::default() };
        let mut html = String::new();
        write_chart(&mut html, &line, "1h");
        assert!(html.contains("aria-label=\"Last 1h: 10 outbound, 5 of them failed, 1 inbound\""));
        assert!(html.contains("<rect class=\"outbound\" x=\"0\" y=\"0.0\" width=\"3\" height=\"30.0\"/>"));
        assert!(html.contains("<rect class=\"failed\" x=\"0\" y=\"15.0\" width=\"3\" height=\"15.0\"/>"));
        assert!(html.contains("<rect class=\"inbound\" x=\"4\" y=\"31.0\" width=\"3\" height=\"3.0\"/>"));
        assert_eq!(html.matches("<rect").count(), 4);
    }
}
