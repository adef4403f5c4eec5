//! What people read is written in the field's terms: no private vocabulary, no comment that only repeats a name.

use std::path::{Path, PathBuf};

use super::architecture::sources;
use crate::support::in_repository;

/// Words and phrases that nobody searches for, and what to write in their place.
const AVOIDED: [(&str, &str); 27] = [
    ("seat", "connection slot"),
    ("seats", "connection slots"),
    ("gate", "the name of what decides"),
    ("gates", "the names of what decides"),
    ("house", "architecture"),
    ("houses", "networks, or whatever is meant"),
    ("agenda", "schedule"),
    ("keyring", "hasher"),
    ("trouble", "what fails, and how"),
    ("troubles", "what fails, and how"),
    ("whoever", "the component, or the client"),
    ("somebody", "a person, a client, a process"),
    ("anew", "again"),
    ("otherwise than", "differently from"),
    ("mend", "repair, fix, recover"),
    ("mends", "repairs, fixes, recovers"),
    ("vouch", "guarantee"),
    ("vouches", "guarantees"),
    ("knows", "has, holds, accepts, recognises"),
    ("tells", "reports, shows, distinguishes"),
    ("is ill", "fails, and how"),
    ("is right", "is correct, is used"),
    ("counts no more", "is ignored"),
    ("what is held of", "the state of"),
    ("wants to know", "requires"),
    ("refused", "rejected; of a connection, `connection refused`"),
    ("refuses", "rejects"),
];

/// Where such a word is the field's own.
const OF_THE_FIELD: [&str; 3] = ["connection was refused", "connection refused", "tells apart"];

/// Files in which such a word stays.
const STAYS: [(&str, &str); 4] = [
    // A phrase in Blooio's texts, which is matched.
    ("src/api/reason.rs", "refused"),
    ("src/api/error.rs", "is right"),
    ("crates/blooio-simulator/src/fault.rs", "is right"),
    ("crates/blooio-simulator/src/http.rs", "tells"),
];

/// A comment of so few words repeats the name below it.
const FEWEST_WORDS_OF_A_COMMENT: usize = 4;

/// Files below a folder whose names end in one of `ends`. What tools build and fetch is left out.
pub(super) fn files(folder: &Path, ends: &[&str], found: &mut Vec<PathBuf>) {
    const NOT_WRITTEN_HERE: [&str; 5] = ["target", "node_modules", ".git", "__pycache__", "corpus"];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !NOT_WRITTEN_HERE.contains(&name.as_str()) {
                files(&path, ends, found);
            }
        } else if ends.iter().any(|end| name.ends_with(end)) {
            found.push(path);
        }
    }
}

/// A text in lower case, with one space between two words and without what stands between backticks: that is quoted.
fn plain(text: &str) -> String {
    let unquoted: Vec<&str> = text.split('`').step_by(2).collect();
    let words = unquoted.join(" `` ").to_lowercase();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The avoided words in a text.
fn avoided(text: &str) -> Vec<(&'static str, &'static str)> {
    let mut text = plain(text);
    for phrase in OF_THE_FIELD {
        text = text.replace(phrase, "");
    }
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let holds = |word: &str| {
        text.match_indices(word).any(|(at, _)| {
            !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next())
        })
    };
    AVOIDED.into_iter().filter(|(word, _)| holds(word)).collect()
}

/// The comments and the string literals of a source, as far as a line shows them.
fn prose_of(line: &str) -> String {
    let (code, comment) = line.split_once("//").unwrap_or((line, ""));
    let is_comment_alone = code.trim().is_empty();
    let literals = line.split('"').skip(1).step_by(2);
    match is_comment_alone {
        true => comment.to_owned(),
        false => literals.collect::<Vec<_>>().join(" \n "),
    }
}

#[test]
fn what_people_read_has_no_private_vocabulary() {
    let mut found = Vec::new();
    let mut report = |path: &Path, number: usize, text: &str| {
        for (word, better) in avoided(text) {
            if STAYS.iter().any(|(file, stays)| path.ends_with(file) && *stays == word) {
                continue;
            }
            found.push(format!("{}:{number}: `{word}`: write {better}", path.display()));
        }
    };
    let mut rust = Vec::new();
    for folder in ["src", "crates", "benches"] {
        sources(&in_repository(folder), &mut rust);
    }
    rust.push(in_repository("build.rs"));
    rust.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with("tests"));
    assert!(rust.len() > 150, "{} sources", rust.len());
    for path in &rust {
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
        for (n, line) in code.lines().enumerate() {
            report(path, n + 1, &prose_of(line));
        }
    }
    let mut others = Vec::new();
    files(&in_repository(""), &[".md", ".yml", ".yaml", ".toml", ".py"], &mut others);
    assert!(others.len() > 60, "{} documents", others.len());
    for path in others {
        for (n, line) in std::fs::read_to_string(&path).unwrap().lines().enumerate() {
            report(&path, n + 1, line);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn an_avoided_word_is_found() {
    let words = |text: &str| avoided(text).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(words("The page Knows its seats"), ["seats", "knows"]);
    assert_eq!(words("`the seat` was aggregated; connection refused"), [""; 0]);
    assert_eq!(prose_of("let a = \"it tells\"; // knows"), "it tells");
    assert_eq!(prose_of("    /// It knows"), "/ It knows");
}

/// The documentation comments of a source, each as the number of its first line and its words.
fn documentation(code: &str) -> Vec<(usize, Vec<&str>)> {
    let mut found: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut last = None;
    for (n, line) in code.lines().enumerate() {
        let line = line.trim_start();
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else { continue };
        if last.is_none_or(|last| last + 1 != n) {
            found.push((n + 1, Vec::new()));
        }
        found.last_mut().unwrap().1.extend(text.split_whitespace());
        last = Some(n);
    }
    found
}

#[test]
fn no_comment_only_repeats_a_name() {
    let mut rust = Vec::new();
    for folder in ["src", "crates", "benches"] {
        sources(&in_repository(folder), &mut rust);
    }
    let (mut found, mut read) = (Vec::new(), 0);
    for path in rust {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{}: the first line says what the module is", path.display());
        for (number, words) in documentation(&text) {
            read += 1;
            if words.len() < FEWEST_WORDS_OF_A_COMMENT {
                found.push(format!("{}:{number}: {}", path.display(), words.join(" ")));
            }
        }
    }
    assert!(read > 1000, "{read} comments");
    assert!(found.is_empty(), "say more, or delete it:\n{}", found.join("\n"));
}

#[test]
fn a_short_comment_is_found() {
    let found = documentation("//! As shown.\n\n    /// Which\n    /// way.\n    fn a() {}\n");
    assert_eq!(found, [(1, vec!["As", "shown."]), (3, vec!["Which", "way."])]);
}
