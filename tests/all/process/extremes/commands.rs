//! The same for every other command: each of its flags with extreme values, one at a time. The kind of value that the help
//! names decides what is tried, so that a new flag is tried without being listed here.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{DURATIONS, api};
use crate::support::program;

/// A command by its words.
type Words = &'static [&'static str];

const SIGTERM: i32 = 15;
/// What a command that goes on is given time for, before it is asked to stop.
const RUNNING: Duration = Duration::from_millis(400);
/// Longest time until it has ended after that.
const ENDING: Duration = Duration::from_secs(60);

/// Every command but the program itself, with what it needs to run beside the flag that is tried.
fn commands() -> BTreeMap<Words, Vec<[&'static str; 2]>> {
    let address = ["--simulator.listen-address", "127.0.0.1:0"];
    let page = ["--web.listen-address", "127.0.0.1:0"];
    BTreeMap::from([
        (&["plan"][..], vec![["--chats", "10"], ["--messages-per-second", "1"]]),
        (&["simulate"], vec![address, ["--simulator.webhook-url", "http://127.0.0.1:9/webhooks/a"]]),
        (&["demo"], vec![address, page]),
        (&["healthcheck"], vec![["--web.listen-address", "127.0.0.1:9"]]),
        (&["backfill"], vec![["--from", "2h"], ["--to", "1h"], ["--to-directory", "files"]]),
        (&["inspect"], vec![["+13105550100", ""]]),
        (&["state", "copy"], vec![["state.db", "copy.db"]]),
    ])
}

/// What a flag is tried with, by the name of its value in the help. A flag without a value is given alone.
fn values(kind: Option<&str>) -> &'static [&'static str] {
    match kind {
        None => &[""],
        Some("DURATION") => DURATIONS,
        Some("NUMBER") => &[
            "0",
            "1",
            "2",
            "1000",
            "1000000",
            "18446744073709551615",
            "0.000001",
            "0.1",
            "1e308",
            "1e400",
            "-1",
            "NaN",
            "inf",
        ],
        Some("SHARE") => &["0", "1", "0.5", "1e-300", "1.0000001", "-0", "-1", "NaN"],
        Some("ADDRESS") => super::ADDRESSES,
        Some("LEVEL") => &["debug", "info", "warn", "error", "all"],
        Some("FORMAT") => &["logfmt", "json", "text"],
        Some("TIME") => &[
            "1ns",
            "0s",
            "1h",
            "5years",
            "584542046years",
            "1970-01-01",
            "1969-12-31",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59Z",
            "999999-01-01T00:00:00Z",
            "",
        ],
        Some("NAME") => &["", "a", "default", "steady", "http-500", "drop", "\u{e4}", "{}", "a\nb"],
        Some("NAME=VALUE") => &["a=b", "a=", "=b", "=", "a", "__name__=b", "job=b", "\u{e4}=b", "a=b=c"],
        Some("PATH") => &["", ".", "/", "-", "/dev/null", "/nowhere/at/all", "\u{e4}", "a\nb"],
        Some("URL") => &[
            "",
            "http://127.0.0.1:9",
            "https://[::1]:9/",
            "http://localhost:0",
            "ftp://a",
            "http://",
            "postgres://a@127.0.0.1:9/b",
            "postgres://",
            "http://127.0.0.1:9/webhooks/0123456789abcdef0123456789abcdef",
        ],
        Some(other) => panic!("say what a flag of the kind {other} is tried with"),
    }
}

fn help(words: &[&str]) -> String {
    String::from_utf8(program().args(words).arg("--help").output().unwrap().stdout).unwrap()
}

/// The flags that a command's help names, with the kind of their value.
fn flags(words: &[&str]) -> BTreeMap<String, Option<String>> {
    let mut found = BTreeMap::new();
    for line in help(words).lines() {
        let mut words = line.split_whitespace().skip_while(|word| *word == "-h," || *word == "-V,");
        let Some(flag) = words.next().filter(|word| word.starts_with("--")) else { continue };
        let kind = words.next().and_then(|word| word.strip_prefix('<')?.strip_suffix('>'));
        found.insert(flag.to_owned(), kind.map(str::to_owned));
    }
    found.retain(|flag, _| !["--help", "--version"].contains(&flag.as_str()));
    found
}

/// The commands that a help lists.
fn listed(words: &[&str]) -> BTreeSet<String> {
    let text = help(words);
    let lines = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    // What is indented further goes on with the line before.
    let names = lines.take_while(|line| line.starts_with("  ")).filter_map(|line| {
        let name = line.strip_prefix("  ")?;
        (!name.starts_with(' ')).then(|| name.split(' ').next().unwrap())
    });
    names.filter(|name| !["help", "serve"].contains(name)).map(str::to_owned).collect()
}

#[test]
fn no_command_is_forgotten() {
    let known = commands();
    let first: BTreeSet<String> = known.keys().map(|words| words[0].to_owned()).collect();
    assert_eq!(listed(&[]), first, "say in the table what it needs to run");
    for name in &first {
        let below = listed(&[name]);
        let known: BTreeSet<String> = known
            .keys()
            .filter(|words| words[0] == name)
            .flat_map(|words| &words[1..])
            .map(|word| (*word).to_owned())
            .collect();
        assert_eq!(below, known, "{name}");
    }
}

/// How a run of a command went.
struct Ended {
    code: Option<i32>,
    /// It was asked to stop, and has no handler for that.
    stopped: bool,
    said: String,
}

/// Runs the command to its end, or until it has gone on for a while.
fn run(arguments: &[String], folder: &Path, base_url: &str) -> Ended {
    let log = folder.join("said");
    let mut command: Command = program();
    command.args(arguments).current_dir(folder).env("TMPDIR", folder).env("BLOOIO_BASE_URL", base_url);
    command.env("BLOOIO_API_KEY", "bl_live_SIMULATED").stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let (began, mut asked) = (Instant::now(), false);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > RUNNING && !asked {
            asked = Command::new("kill").arg(child.id().to_string()).status().unwrap().success();
        }
        if began.elapsed() > ENDING {
            let _ = child.kill();
            panic!("{arguments:?} does not end:\n{}", std::fs::read_to_string(&log).unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    Ended { code: status.code(), stopped: asked && status.signal() == Some(SIGTERM), said }
}

/// A value of a flag with everything else that its command needs.
fn arguments(words: Words, needs: &[[&'static str; 2]], flag: &str, value: &str, alone: bool) -> Vec<String> {
    // A line is inspected in place of a chat.
    let is_replaced = |name: &str| name == flag || (flag == "--line" && !name.starts_with("--"));
    let needed = needs.iter().filter(|[name, _]| !is_replaced(name)).flatten();
    let tried = if alone { flag.to_owned() } else { format!("{flag}={value}") };
    let words = words.iter().chain(needed).filter(|word| !word.is_empty());
    words.map(|word| (*word).to_owned()).chain([tried]).collect()
}

#[test]
fn extreme_values_of_the_flags_of_every_command_panic_nowhere() {
    let works = api(false);
    let base_url = works.fake.base_url();
    let mut cases = Vec::new();
    for (words, needs) in commands() {
        for (flag, kind) in flags(words) {
            for value in values(kind.as_deref()) {
                let arguments = arguments(words, &needs, &flag, value, kind.is_none());
                cases.push((format!("{} {flag}", words.join(" ")), kind.clone(), arguments));
            }
        }
    }
    assert!(cases.len() > 400, "{} cases", cases.len());
    let (cases, valid) = (Mutex::new(cases), Mutex::new(BTreeMap::<String, (Option<String>, usize)>::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((flag, kind, arguments)) = cases.lock().unwrap().pop() else { return };
                    let folder = tempfile::tempdir().unwrap();
                    let ended = run(&arguments, folder.path(), &base_url);
                    let well = (matches!(ended.code, Some(0..=2)) || ended.stopped)
                        && !ended.said.contains("panicked");
                    assert!(well, "{arguments:?} ended with {:?}:\n{}", ended.code, ended.said);
                    let mut valid = valid.lock().unwrap();
                    valid.entry(flag).or_insert((kind, 0)).1 += usize::from(ended.code != Some(2));
                }
            });
        }
    });
    for (flag, (kind, valid)) in valid.into_inner().unwrap() {
        // What the parser of the arguments rejects never meets the command.
        let least =
            if matches!(kind.as_deref(), Some("DURATION" | "NUMBER" | "SHARE" | "ADDRESS")) { 2 } else { 1 };
        assert!(valid >= least, "{flag}: {valid} values are valid");
    }
}
