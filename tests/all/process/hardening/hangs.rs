//! Files, the state and name lookups that hang: they stop nothing but themselves.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{FakeApi, show, simulated};
use crate::process::security::{Folder, TLS};
use crate::support::{Page, Process, ask, command, eventually, in_repository, post};

/// A page must come within this. Without a hang it takes milliseconds.
const PROMPT: Duration = Duration::from_secs(5);

/// The library that makes calls hang, compiled once.
fn library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &BUILT
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("hang.so");
            let source = in_repository("tests/all/process/hardening/hang.c");
            let mut compile = Command::new("cc");
            compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl");
            assert!(compile.status().expect("a C compiler; ./check installs it").success());
            (folder, path)
        })
        .1
}

/// A hang that lasts while a file exists.
struct Hang {
    flag: PathBuf,
}

impl Hang {
    fn of(command: &mut Command, folder: &Path, variable: &str, value: &str) -> Hang {
        let flag = folder.join("hang-while-this-exists");
        command.env("LD_PRELOAD", library()).env("HANG_WHILE", &flag).env(variable, value);
        Hang { flag }
    }

    fn begin(&self) {
        std::fs::write(&self.flag, "").unwrap();
    }

    fn end(&self) {
        std::fs::remove_file(&self.flag).unwrap();
    }
}

/// Stops the exporter and says how long that took. It must end by itself, with success.
fn stop(exporter: Process) -> Duration {
    let asked = Instant::now();
    exporter.stop();
    asked.elapsed()
}

/// Scrapes for a while: every page comes promptly, and sweeps go on.
fn assert_prompt(exporter: &Process) {
    let sweeps =
        |exporter: &Process| exporter.page().sum_where("blooio_collection_sweeps_total", &["complete"]);
    let before = sweeps(exporter);
    for _ in 0..20 {
        let asked = Instant::now();
        exporter.page();
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    eventually("sweeps go on", || (sweeps(exporter) > before).then_some(()));
}

#[test]
fn a_web_configuration_file_that_hangs_delays_neither_pages_nor_collection_nor_the_end() {
    let folder = Folder::new();
    let limit =
        |burst: u32| folder.write("web.yml", &format!("rate_limit: {{interval: 1ms, burst: {burst}}}\n"));
    limit(1000);
    let simulated = simulated();
    let (state, web) = (folder.path("state.db"), show(&folder.path("web.yml")));
    let more = [
        "--web.config.file",
        &web,
        "--web.enable-lifecycle",
        "--collector.interval",
        "200ms",
        "--api.budget",
        "50",
    ];
    let mut command = command(&simulated.base_url(), &state, &more);
    let hang = Hang::of(&mut command, &folder.path(""), "HANG_PATH", "web.yml");
    let exporter = Process::start(command);
    assert_prompt(&exporter);
    hang.begin();
    // A change has it read.
    limit(999);
    assert_prompt(&exporter);
    let successful = |exporter: &Process, value: f64| {
        exporter.wait_for("the hang on the page", |page| {
            page.sum("blooio_exporter_web_config_last_reload_successful") == value
        })
    };
    successful(&exporter, 0.0);
    let asked = Instant::now();
    let answer = post(exporter.address, "/-/reload", &[]);
    assert_eq!((answer.status, answer.body.trim()), (500, "not applied, see the log"));
    assert!(asked.elapsed() < Duration::from_secs(16), "{:?}", asked.elapsed());
    std::thread::sleep(Duration::from_millis(1100));
    let asked = Instant::now();
    assert_eq!(post(exporter.address, "/-/reload", &[]).status, 500);
    assert!(asked.elapsed() < PROMPT, "a second reading beside one that hangs");
    assert_prompt(&exporter);
    hang.end();
    successful(&exporter, 1.0);
    hang.begin();
    limit(998);
    std::thread::sleep(Duration::from_secs(2));
    let took = stop(exporter);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_certificate_file_that_hangs_delays_neither_scrapes_nor_the_end() {
    let folder = Folder::new();
    folder.write("web.yml", TLS);
    let simulated = simulated();
    let (state, web) = (folder.path("state.db"), show(&folder.path("web.yml")));
    let more = ["--web.config.file", &web, "--collector.interval", "200ms"];
    let mut command = command(&simulated.base_url(), &state, &more);
    let hang = Hang::of(&mut command, &folder.path(""), "HANG_PATH", "server.pem");
    let exporter = Process::start(command);
    let url = format!("https://{}/metrics", exporter.address);
    let ca = show(&folder.path("ca.pem"));
    let scrape = || {
        let asked = Instant::now();
        let answer = crate::process::security::curl(&["--cacert", &ca, &url]);
        assert_eq!(answer.status, 200, "{}", answer.said);
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        answer.body
    };
    let sweeps = |page: &str| crate::support::Page::parse(page).sum("blooio_collection_sweeps_total");
    let before = sweeps(&scrape());
    hang.begin();
    folder.pair("server", &folder.authority, crate::process::security::SERVER, false);
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        scrape();
        std::thread::sleep(Duration::from_millis(200));
    }
    let page = scrape();
    assert!(sweeps(&page) > before + 2.0);
    assert!(page.contains("blooio_exporter_web_config_last_reload_successful 0\n"));
    let expiry = "blooio_exporter_web_certificate_expiry_timestamp_seconds{role=\"server\",position=\"1\"}";
    assert!(page.contains(expiry), "{page}");
    let took = stop(exporter);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_configuration_file_that_hangs_delays_nothing_but_its_reload() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    std::fs::write(&config, "collector: {interval: 200ms}\napi: {budget: 50}\n").unwrap();
    let (state, config) = (folder.path().join("state.db"), show(&config));
    let mut command = command(&simulated.base_url(), &state, &["--config.file", &config]);
    let hang = Hang::of(&mut command, folder.path(), "HANG_PATH", "config.yml");
    let exporter = Process::start(command);
    hang.begin();
    exporter.signal("-HUP");
    assert_prompt(&exporter);
    exporter.signal("-HUP");
    let took = stop(exporter);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_state_file_that_hangs_stops_counting_and_not_the_pages_or_the_end() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let mut command =
        command(&simulated.base_url(), &state, &["--collector.interval", "200ms", "--api.budget", "50"]);
    let hang = Hang::of(&mut command, folder.path(), "HANG_SYNC", "yes");
    let exporter = Process::start(command);
    assert_prompt(&exporter);
    hang.begin();
    for _ in 0..20 {
        let asked = Instant::now();
        exporter.page();
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = stop(exporter);
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn a_name_lookup_that_hangs_costs_a_bounded_number_of_threads_and_delays_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--collector.interval", "100ms", "--api.budget", "100", "--api.timeout", "200ms"];
    let mut command = command("https://api.hangs.invalid", &folder.path().join("state.db"), &more);
    let hang = Hang::of(&mut command, folder.path(), "HANG_HOST", "hangs.invalid");
    hang.begin();
    let exporter = Process::start(command);
    exporter
        .wait_for("many lookups", |page| page.sum_where("blooio_api_requests_total", &["timeout"]) > 10.0);
    assert!(exporter.threads() < 16, "{} threads", exporter.threads());
    let took = stop(exporter);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_reader_of_the_log_that_stalls_delays_neither_pages_nor_collection_nor_the_end() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let more = ["--collector.interval", "20ms", "--api.budget", "100"];
    let mut command = command(&simulated.base_url(), &folder.path().join("state.db"), &more);
    let (log, said) = std::io::pipe().unwrap();
    let mut running = command.stderr(said).spawn().unwrap();
    // The command holds an end for writing as well.
    drop(command);
    let mut log = std::io::BufReader::new(log);
    let address = loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "ended before it listened");
        let address = line.split_once("message=listening address=").map(|(_, rest)| rest.trim());
        if let Some(address) = address.and_then(|rest| rest.split(' ').next()) {
            break address.parse::<std::net::SocketAddr>().unwrap();
        }
    };
    // Nobody reads from here on. A pipe holds 64 KiB; the last line may not fit.
    let waiting = || rustix::io::ioctl_fionread(log.get_ref()).unwrap();
    eventually("the log is full", || (waiting() > 60_000).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    let sweeps = || {
        let asked = Instant::now();
        let page = ask("GET", address, "/metrics", &[]).expect("a page").body;
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
        Page::parse(&page).sum_where("blooio_collection_sweeps_total", &["complete"])
    };
    let before = sweeps();
    eventually("sweeps go on", || (sweeps() > before + 10.0).then_some(()));
    let asked = Instant::now();
    assert!(Command::new("kill").arg(running.id().to_string()).status().unwrap().success());
    let status = running.wait().unwrap();
    // It waits for the reader for about a second.
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_state_that_hangs_at_the_start_can_be_stopped() {
    let api = FakeApi::start(|_| super::ok(b"{}", ""));
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&api.base_url(), &folder.path().join("state.db"), &[]);
    let hang = Hang::of(&mut command, folder.path(), "HANG_PATH", "state.db");
    hang.begin();
    let mut running = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let asked = Instant::now();
    assert!(Command::new("kill").arg(running.id().to_string()).status().unwrap().success());
    let status = running.wait().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0));
}
