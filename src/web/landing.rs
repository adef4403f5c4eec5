//! The landing page: what this is and where to go on. It shows no configuration.

use std::fmt::Write;

/// What the landing page tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landing {
    /// The exporter's version, such as `0.1.0`.
    pub version: String,
    /// For each account its name and one line on how it is doing, such as `up, last success 12 s ago`. Shown to whoever
    /// can open the page: neither keys nor numbers belong in it.
    pub accounts: Vec<(String, String)>,
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Blooio exporter</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
small, dd { opacity: .75; }
small { font-weight: normal; }
ul { padding: 0; list-style: none; }
li a { display: block; padding: .6rem 0; }
dt { font-weight: 600; overflow-wrap: anywhere; }
dd { margin: 0 0 .75rem; overflow-wrap: anywhere; }
</style>
</head>
<body>
"#;

/// The whole page. Links are relative, so that they hold behind a proxy that adds a prefix.
pub(super) fn page(landing: &Landing, telemetry_path: &str) -> String {
    let mut html = String::from(HEAD);
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<h1>Blooio exporter <small>{}</small></h1>\n\
         <p>Prometheus metrics about the iMessage, RCS and SMS traffic of a Blooio account.</p>\n\
         <ul>\n\
         <li><a href=\"{}\">Metrics</a></li>\n\
         <li><a href=\"-/healthy\">Healthy</a></li>\n\
         <li><a href=\"-/ready\">Ready</a></li>\n\
         </ul>\n",
        escape(&landing.version),
        escape(telemetry_path.trim_start_matches('/')),
    );
    if !landing.accounts.is_empty() {
        html.push_str("<h2>Accounts</h2>\n<dl>\n");
        for (name, state) in &landing.accounts {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(state));
        }
        html.push_str("</dl>\n");
    }
    html.push_str("</body>\n</html>\n");
    html
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
        let landing = Landing {
            version: "0.1.0".to_owned(),
            accounts: vec![("<script>alert('1')</script>".to_owned(), "up & \"well\"".to_owned())],
        };
        let html = page(&landing, "/metrics");
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains(
            "<dt>&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;</dt><dd>up &amp; &quot;well&quot;</dd>"
        ));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let html = page(&Landing::default(), "/blooio/metrics");
        assert!(html.contains("href=\"blooio/metrics\"") && html.contains("href=\"-/ready\""));
        for outside in ["http:", "https:", "src=", "<script", "<link", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(!html.contains("Accounts"));
    }
}
