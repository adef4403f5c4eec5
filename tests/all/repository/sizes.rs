//! Files and functions stay small enough to read at once.

use std::path::PathBuf;

use super::prose::files;
use crate::support::in_repository;

const MOST_LINES_OF_A_FILE: usize = 500;
const MOST_LINES_OF_A_FUNCTION: usize = 60;

/// Longer ones, and why.
const LONGER: [(&str, &str); 7] = [
    ("crates/blooio-simulator/src/scenario.rs all", "a table of scenarios"),
    ("src/collect/engine/mod.rs new", "a table of fields"),
    ("src/app/fleet.rs apply", "its parts are in the order in which a reload must take effect"),
    ("mixin/alerts/exporter_alerts.py exporter", "a table of alerts"),
    ("mixin/alerts/exporter_alerts.py collection", "a table of alerts"),
    ("mixin/alerts/line_alerts.py devices", "a table of alerts"),
    ("mixin/dashboards/structure.py breakages", "a table of faults"),
];

/// The functions of a text, with how many lines each has. A closing brace in the column of its `fn` ends one.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.contains('{')).collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        let is_signature =
            words[..at].iter().all(|word| word.starts_with("pub") || ["async", "const", "in"].contains(word));
        if !is_signature || line.trim_end().ends_with(';') {
            continue;
        }
        let name = words[at + 1].split(['(', '<']).next().unwrap().to_owned();
        let end = format!("{}}}", " ".repeat(indent));
        let is_one_line = line.trim_end().ends_with('}');
        let length =
            if is_one_line { Some(0) } else { lines[n..].iter().position(|line| line.starts_with(&end)) };
        found.extend(length.map(|length| (name, length + 1)));
    }
    found
}

/// The functions of a Python module, with how many lines each has: up to the last line that is indented further or stands
/// in a text of several lines.
fn python_functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(signature) = line.trim_start().strip_prefix("def ") else { continue };
        let mut is_text = false;
        let body = lines[n + 1..].iter().take_while(|next| {
            let belongs = is_text
                || next.trim().is_empty()
                || indent(next) > indent(line)
                || next.trim_start().starts_with(')');
            is_text ^= next.matches("\"\"\"").count() % 2 == 1;
            belongs
        });
        let last = body.enumerate().filter(|(_, next)| !next.trim().is_empty()).map(|(at, _)| at + 1).last();
        found.push((signature.split('(').next().unwrap().to_owned(), last.unwrap_or(0) + 1));
    }
    found
}

/// Every file of these folders with its path in the repository and its text.
fn texts(folders: &[&str], ends: &[&str]) -> Vec<(String, String)> {
    let root = in_repository("");
    let mut found = Vec::new();
    for folder in folders {
        files(&in_repository(folder), ends, &mut found);
    }
    let named = |file: &PathBuf| file.strip_prefix(&root).unwrap().display().to_string();
    found.iter().map(|file| (named(file), std::fs::read_to_string(file).unwrap())).collect()
}

/// Every source with its path in the repository and its code, without the tests at its end.
fn code() -> Vec<(String, String)> {
    let mut found = texts(&["src", "crates"], &[".rs"]);
    found.retain(|(path, _)| !path.rsplit('/').next().unwrap().starts_with("tests"));
    for (_, text) in &mut found {
        text.truncate(text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len()));
    }
    found
}

#[test]
fn files_and_functions_are_short() {
    let (mut found, mut counted) = (Vec::new(), 0);
    let scripts = texts(&["mixin", "packaging", "tests/browser", "tests/mutants"], &[".py", ".mjs", ".js"]);
    assert!(scripts.len() > 20, "{} scripts", scripts.len());
    for (path, code) in code().into_iter().chain(scripts) {
        let lines = code.lines().count();
        if lines > MOST_LINES_OF_A_FILE {
            found.push((path.clone(), lines));
        }
        let functions = if path.ends_with(".py") { python_functions(&code) } else { functions(&code) };
        for (name, lines) in functions {
            counted += 1;
            if lines > MOST_LINES_OF_A_FUNCTION {
                found.push((format!("{path} {name}"), lines));
            }
        }
    }
    assert!(counted > 1000, "{counted} functions");
    let unexplained: Vec<_> =
        found.iter().filter(|(what, _)| !LONGER.iter().any(|(longer, _)| longer == what)).collect();
    assert!(
        unexplained.is_empty(),
        "split by meaning what has more than {MOST_LINES_OF_A_FILE} lines of code in a file, or \
         {MOST_LINES_OF_A_FUNCTION} in a function: {unexplained:?}"
    );
    let stale: Vec<_> =
        LONGER.iter().filter(|(longer, _)| !found.iter().any(|(what, _)| what == longer)).collect();
    assert!(stale.is_empty(), "short by now: {stale:?}");
}

#[test]
fn functions_are_measured() {
    let code = "impl A {\n    pub(super) async fn one(\n        a: u8,\n    ) {\n    }\n}\nfn two<T>() {}\ntrait B {\n    fn three();\n}\n";
    assert_eq!(functions(code), [("one".to_owned(), 4), ("two".to_owned(), 1)]);

    let code = "def one(\n    a,\n):\n    def inner():\n        return a\n\n    return inner\n\n\ndef two():\n    pass\n";
    let expected = [("one", 7), ("inner", 2), ("two", 2)];
    assert_eq!(python_functions(code), expected.map(|(name, lines)| (name.to_owned(), lines)));
}
