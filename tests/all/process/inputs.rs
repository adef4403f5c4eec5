//! docs/errors.md: every bad input of its tables, run and compared with the message that the page quotes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::process::replicas::problems;
use crate::support::{in_repository, outcome, program};

/// An input, its exit code and what was said.
struct Row {
    section: String,
    input: String,
    outcome: String,
}

/// Splits an input into words, of which quotes hold spaces together.
fn words(input: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in input.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'', None) => quote = Some(c),
            (' ', None) => words.push(String::new()),
            (c, _) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.key", "b.key"] {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("bl_live_{name}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let others = [
        ("hook.token", "0123456789abcdef", 0o600),
        ("hook.key", "whsec_a", 0o600),
        ("open.key", "whsec_a", 0o644),
        (
            "users.yml",
            "basic_auth_users: {a: $2b$04$A7lJ8iG0dNBWmM5ZlKqZ3uVtn.3JNPBVXBmkYi/jgHdS1Hw3iNJbi}",
            0o600,
        ),
    ];
    for (name, text, mode) in others {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

/// The line with which the program ends, without its log.
fn of_program(text: &str) -> String {
    let ends: Vec<&str> = text.lines().filter(|line| line.starts_with("blooio-exporter: ")).collect();
    assert_eq!(ends.len(), 1, "one line says why it ended: {text}");
    ends[0].to_owned()
}

/// Runs the program with the input of a row; the rest of the row in the form of the page.
fn run(section: &str, input: &str, folder: &Path) -> String {
    let mut command = program();
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = if input == "(empty)" { "" } else { input };
    match section {
        "Command line" => {
            let words = words(input);
            let names_command = words.iter().any(|word| {
                ["inspect", "plan", "simulate", "demo", "healthcheck", "serve", "start"]
                    .contains(&word.as_str())
            });
            command.args((!names_command).then_some("--config.check")).args(words);
            command.env("BLOOIO_API_KEY", "bl_live_SIMULATED");
        }
        "Environment" => {
            for word in words(input).iter().filter(|_| input != "(nothing)") {
                let (name, value) = word.split_once('=').unwrap();
                command.env(name, value);
            }
            command.arg("--config.check");
        }
        "Configuration file" => {
            std::fs::write(folder.join("config.yml"), input.replace("\\n", "\n").replace("\\t", "\t"))
                .unwrap();
            command.args(["--config.check", "--config.file=config.yml"]);
            if !input.contains("accounts") {
                command.env("BLOOIO_API_KEY", "bl_live_SIMULATED");
            }
        }
        "Web configuration file" => {
            std::fs::write(folder.join("web.yml"), input.replace("\\n", "\n")).unwrap();
            command.args(["--config.check", "--web.config.file=web.yml"]);
            command.env("BLOOIO_API_KEY", "bl_live_SIMULATED");
        }
        "State database" => problems::meet(input, &mut command, folder),
        other => panic!("no section is called {other}"),
    }
    let output = outcome(command.spawn().unwrap(), Duration::from_secs(30), &input);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let text = if section == "State database" { problems::plain(&of_program(&text)) } else { text };
    let code = output.status.code().unwrap_or_else(|| panic!("{input}: {}", output.status));
    let said = text.trim_start_matches("blooio-exporter: ").split("\n\nUsage:").next().unwrap();
    let said = said.split("\n\nFor more information").next().unwrap().trim();
    format!("{code} | {} |", said.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn every_bad_input_gets_the_message_that_the_page_quotes() {
    let path = in_repository("docs/errors.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (mut section, mut written, mut rows) = (String::new(), String::new(), Vec::new());
    let folder = folder();
    for line in page.lines() {
        section = line.strip_prefix("## ").map_or(section, str::to_owned);
        let cells = line.strip_prefix("| ").filter(|cells| !cells.starts_with("input |"));
        let Some((cell, quoted)) = cells.and_then(|cells| cells.split_once(" | ")) else {
            written += &format!("{line}\n");
            continue;
        };
        let input = cell.trim_start_matches("`` ").trim_end_matches(" ``");
        let outcome = run(&section, input, folder.path());
        written += &format!("| {cell} | {outcome}\n");
        rows.push((Row { section: section.clone(), input: input.to_owned(), outcome }, quoted.to_owned()));
    }
    if std::env::var_os("BLESS").is_some() {
        return std::fs::write(&path, written).unwrap();
    }
    for (row, quoted) in &rows {
        assert_eq!(
            row.outcome, *quoted,
            "{}: {}; run with BLESS=1 and read the difference",
            row.section, row.input
        );
    }
    assert!(rows.len() >= 300, "{} rows", rows.len());
    println!("bad inputs: {} tried, each with the message of docs/errors.md", rows.len());
}
