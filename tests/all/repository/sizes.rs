//! Files and functions stay small enough to read at once.

use std::path::PathBuf;

use super::architecture::sources;
use crate::support::in_repository;

const MOST_LINES_OF_A_FILE: usize = 500;
const MOST_LINES_OF_A_FUNCTION: usize = 60;

/// Longer ones, and why.
const LONGER: [(&str, &str); 6] = [
    ("crates/blooio-simulator/src/scenario.rs all", "a table of scenarios"),
    ("src/collect/engine/mod.rs new", "a table of fields"),
    ("src/app/fleet.rs apply", "its parts are in the order in which a reload must take effect"),
    ("src/store/sqlite.rs", "its next layout splits it"),
    ("src/store/sqlite.rs restore", "one statement per table"),
    ("src/store/sqlite.rs write", "one statement per table"),
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

/// Every source with its path in the repository and its code, without the tests at its end.
fn code() -> Vec<(String, String)> {
    let root = in_repository("");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["src", "crates"] {
        sources(&in_repository(folder), &mut files);
    }
    files.retain(|file| !file.file_name().unwrap().to_string_lossy().starts_with("tests"));
    files
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().to_owned();
            (file.strip_prefix(&root).unwrap().display().to_string(), code)
        })
        .collect()
}

#[test]
fn files_and_functions_are_short() {
    let (mut found, mut counted) = (Vec::new(), 0);
    for (path, code) in code() {
        let lines = code.lines().count();
        if lines > MOST_LINES_OF_A_FILE {
            found.push((path.clone(), lines));
        }
        for (name, lines) in functions(&code) {
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
}
