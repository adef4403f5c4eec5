//! No valid combination of settings may panic: every flag with extreme values, alone and together, against an API that
//! works and one that rejects the key.

mod addresses;
mod commands;

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::hardening::{FakeApi, ok};
use crate::stores::server::SHARED;
use crate::support::{ask, eventually, program, wall_clock};

/// Answers that a run is given time to collect, so that the setting meets the collector and not only its check.
const ANSWERS: usize = 4;
/// Runs with a value drawn for every flag.
const COMBINATIONS: u64 = 40;

const DURATIONS: &[&str] = &[
    "0s",
    "1ns",
    "9ms",
    "10ms",
    "1M",
    "1ms",
    "100ms",
    "1s",
    "59s",
    "1h",
    "30days",
    "365days",
    "1000years",
    "18446744073709551615s",
    "584542046years",
];

/// Addresses to listen on. The port is the system's choice, where the address has one.
const ADDRESSES: &[&str] = &[
    "127.0.0.1:0",
    "127.255.255.254:0",
    "0.0.0.0:0",
    ":0",
    "[::1]:0",
    "[::]:0",
    "[::ffff:127.0.0.1]:0",
    "[::1%lo]:0",
    "192.0.2.1:0",
    "localhost:0",
    "127.0.0.1",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    ":",
    "",
];

/// What each flag is tried with; valid or not is for the program to say.
fn table() -> BTreeMap<&'static str, &'static [&'static str]> {
    let durations = [
        "--collector.interval",
        "--collector.full-interval",
        "--collector.window",
        "--collector.lookback",
        "--collector.retention",
        "--collector.audit-interval",
        "--collector.horizon",
        "--conversation.turn",
        "--probe.interval",
        "--api.timeout",
    ];
    let others: [(&str, &[&str]); 5] = [
        (
            "--api.budget",
            &[
                "0", "0.000001", "0.001", "0.1", "1", "100", "1000", "1e3", "1e308", "1e400", "NaN", "inf",
                "-1",
            ],
        ),
        (
            "--web.telemetry-path",
            &["/", "/m", "/a/b/c/d/e/f/g/h", "/metrics/", "/-/healthy", "/reference", "//", "/{a}", "/ä", ""],
        ),
        ("--web.allowed-host", &["a", "localhost", "*", "xn--bcher-kva.example", "", "a:1", "[::1]"]),
        ("--log.level", &["debug", "info", "warn", "error"]),
        ("--log.format", &["logfmt", "json"]),
    ];
    durations.into_iter().map(|flag| (flag, DURATIONS)).chain(others).collect()
}

/// Flags that name files, addresses and modes: what they may hold is tested where they are read, that of addresses and of the
/// path of webhooks in the modules below.
const ELSEWHERE: [&str; 17] = [
    "--config.file",
    "--config.check",
    "--blooio.base-url",
    "--blooio.api-key-file",
    "--state.path",
    "--state.url",
    "--state.password-file",
    "--state.ca-file",
    "--state.lease-ttl",
    "--web.listen-address",
    "--web.config.file",
    "--web.enable-lifecycle",
    "--webhook.listen-address",
    "--webhook.path-prefix",
    "--webhook.config.file",
    "--webhook.token-file",
    "--webhook.secret-file",
];

/// An API with one chat, or one that rejects the key, which counts what it was asked.
struct Api {
    fake: FakeApi,
    asked: &'static AtomicUsize,
}

fn api(rejects: bool) -> Api {
    // Shared with the threads of the server, which live as long as the test.
    let asked: &'static AtomicUsize = Box::leak(Box::default());
    let at = wall_clock();
    let fake = FakeApi::start(move |target| {
        asked.fetch_add(1, Ordering::Relaxed);
        if rejects {
            return b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
        }
        let message = format!(
            r#"{{"message_id":"m1","direction":"outbound","internal_id":"+13105550101","time_sent":{at},"status":"sent"}}"#
        );
        let body = if target.contains("/messages?") {
            format!(r#"{{"messages":[{message}],"pagination":{{"total":1}}}}"#)
        } else if target.starts_with("/chats?") {
            format!(
                r#"{{"chats":[{{"id":"+1","message_count":1,"outbound_count":1,"last_message_time":{at}}}],
                "pagination":{{"total":1}}}}"#
            )
        } else if target.starts_with("/me/numbers") {
            r#"{"numbers":[{"phone_number":"+13105550101","is_active":true}]}"#.to_owned()
        } else {
            message
        };
        ok(body.as_bytes(), "")
    });
    Api { fake, asked }
}

/// How a run with these settings went: refused with a sentence, or it served pages until it was stopped.
#[derive(Debug, PartialEq)]
enum Outcome {
    Refused,
    Served,
}

fn run(settings: &[(&str, &str)], api: &Api) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let log = folder.path().join("log");
    let mut command = program();
    command.args(["--blooio.base-url", &api.fake.base_url(), "--web.listen-address", &address.to_string()]);
    if settings.iter().all(|(flag, _)| *flag != "--state.url") {
        command.arg("--state.path").arg(folder.path().join("state.db"));
    }
    command.args(settings.iter().map(|(flag, value)| format!("{flag}={value}")));
    command.env("BLOOIO_API_KEY", "bl_live_SIMULATED").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(std::fs::File::create(&log).unwrap());
    let before = api.asked.load(Ordering::Relaxed);
    let mut child = command.spawn().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    // With some of the settings its log does not say where it listens.
    let ended = eventually("the program listens or ends", || match child.try_wait().unwrap() {
        Some(status) => Some(Some(status)),
        None => TcpStream::connect(address).is_ok().then_some(None),
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(1), "{settings:?}: {}", said());
        assert!(said().lines().any(|line| line.starts_with("blooio-exporter: ")), "{settings:?}: {}", said());
        return Outcome::Refused;
    }
    // Slow settings ask little: they get a moment, not all of the answers.
    let until = Instant::now() + Duration::from_millis(200);
    while Instant::now() < until && api.asked.load(Ordering::Relaxed) < before + ANSWERS {
        std::thread::sleep(Duration::from_millis(10));
    }
    let path = settings.iter().rev().find(|(flag, _)| *flag == "--web.telemetry-path");
    for path in [path.map_or("/metrics", |(_, path)| path), "/"] {
        let answer = ask("GET", address, path, &[]);
        assert_eq!(answer.map(|answer| answer.status), Some(200), "{settings:?} {path}: {}", said());
    }
    let stopped = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(stopped.success(), "{settings:?}: {}", said());
    let status = child.wait().unwrap();
    assert!(status.success() && !said().contains("panicked"), "{settings:?}: {status}\n{}", said());
    Outcome::Served
}

/// Every flag of the program itself.
pub(crate) fn known_flags() -> impl Iterator<Item = &'static str> {
    table().into_keys().chain(ELSEWHERE)
}

/// The flags that the help names.
fn flags() -> Vec<String> {
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    let words = help.lines().filter_map(|line| line.split_whitespace().next());
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

#[test]
fn no_flag_is_forgotten() {
    let known: Vec<&str> = known_flags().collect();
    let forgotten: Vec<String> = flags().into_iter().filter(|flag| !known.contains(&flag.as_str())).collect();
    assert!(forgotten.is_empty(), "give them extreme values in the table: {forgotten:?}");
}

/// It means something with a database alone.
#[test]
fn extreme_validities_of_a_lease_are_refused_or_served() {
    let (works, url) = (api(false), SHARED.url("postgres", &SHARED.database()));
    let limits = [
        ("2999ms", Outcome::Refused),
        ("3s", Outcome::Served),
        ("5m", Outcome::Served),
        ("301s", Outcome::Refused),
    ];
    for (value, expected) in limits {
        assert_eq!(run(&[("--state.url", &url), ("--state.lease-ttl", value)], &works), expected, "{value}");
    }
    for value in DURATIONS {
        run(&[("--state.url", &url), ("--state.lease-ttl", value)], &works);
        assert_eq!(
            run(&[("--state.lease-ttl", value)], &works),
            Outcome::Refused,
            "{value} without a database"
        );
    }
}

#[test]
fn extreme_values_of_every_flag_are_refused_or_served() {
    let (works, rejects) = (api(false), api(true));
    let mut valid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (flag, values) in table() {
        for value in values {
            let outcome = run(&[(flag, value)], &works);
            assert_eq!(outcome, run(&[(flag, value)], &rejects), "{flag}={value}");
            if outcome == Outcome::Served {
                valid.entry(flag).or_default().push(value);
            }
        }
        assert!(valid.get(flag).is_some_and(|valid| valid.len() > 1), "{flag}: {:?}", valid.get(flag));
    }
    let mut rng = fastrand::Rng::with_seed(1);
    let mut served = 0;
    for number in 0..COMBINATIONS {
        let drawn: Vec<(&str, &str)> =
            valid.iter().map(|(flag, values)| (*flag, values[rng.usize(..values.len())])).collect();
        let api = if number % 2 == 0 { &works } else { &rejects };
        // Settings that are valid alone may contradict each other.
        served += u64::from(run(&drawn, api) == Outcome::Served);
    }
    assert!(served * 2 >= COMBINATIONS, "{served} of {COMBINATIONS} combinations are valid");
}
