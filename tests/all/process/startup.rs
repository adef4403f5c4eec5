//! What bad input gets: one clear line and exit code 1.

use std::process::{Output, Stdio};

use crate::process::extremes::known_flags;
use crate::support::program;

/// Runs the program with arguments and environment to its end.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = program();
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn refused(arguments: &[&str], environment: &[(&str, &str)], says: &[&str]) {
    let output = run(arguments, environment);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let complaint: Vec<&str> = text.lines().filter(|line| line.starts_with("blooio-exporter: ")).collect();
    assert_eq!(complaint.len(), 1, "one line: {text}");
    for word in says {
        assert!(complaint[0].contains(word), "`{word}` in: {text}");
    }
    assert!(!text.contains("bl_live_secret"), "{text}");
}

const KEY: (&str, &str) = ("BLOOIO_API_KEY", "bl_live_secret");

#[test]
fn settings_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = path("config.yml");
    std::fs::write(&config, "collector:\n  interval: 30s\n  intervall: 10s\n").unwrap();
    let open_key = path("key");
    std::fs::write(&open_key, "bl_live_secret").unwrap();
    std::fs::set_permissions(&open_key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();

    refused(&[], &[], &["no API key", "BLOOIO_API_KEY", "--blooio.api-key-file"]);
    refused(&["--blooio.api-key-file", &path("nowhere")], &[], &["nowhere"]);
    refused(&["--blooio.api-key-file", &open_key], &[], &["chmod"]);
    refused(&["--blooio.base-url", "http://api.example.com/v2/api"], &[KEY], &["--blooio.base-url", "https"]);
    refused(&["--collector.interval", "abc"], &[KEY], &["--collector.interval", "`abc`", "30s"]);
    // A key in the wrong place is not repeated.
    refused(&["--api.budget", "bl_live_secret"], &[KEY], &["--api.budget", "is not a budget"]);
    refused(&["--config.file", &config], &[KEY], &["config.yml:3", "intervall"]);
}

#[test]
fn what_needs_no_network_is_checked_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("letter.db"), "to a friend, long enough to be taken for a header ".repeat(3))
        .unwrap();
    let check = |state: &str| ["--config.check".to_owned(), "--state.path".to_owned(), path(state)];
    for (state, says) in [("nowhere/state.db", "No such file"), ("letter.db", "not a state file")] {
        let arguments = check(state);
        refused(&arguments.each_ref().map(String::as_str), &[KEY], &["state", says]);
    }
    let arguments = check("new.db");
    let output = run(&arguments.each_ref().map(String::as_str), &[KEY]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!folder.path().join("new.db").exists());
}

#[test]
fn an_address_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let state = folder.path().join("state.db").display().to_string();
    refused(
        &["--state.path", &state, "--web.listen-address", &address],
        &[KEY],
        &["--web.listen-address", &address],
    );
}

#[test]
fn a_state_file_that_is_locked_damaged_foreign_or_of_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = path.display().to_string();
    let arguments = ["--state.path", &state, "--web.listen-address", "127.0.0.1:0"];

    let holder = blooio_exporter::store::sqlite::StateFile::open(&path, [1; 32]).unwrap();
    refused(&arguments, &[KEY], &["state.db", "another process"]);
    drop(holder);

    let whole = std::fs::read(&path).unwrap();
    for (content, says) in [
        (b"not a database, but a letter to a friend, which someone put here by mistake, and which is long enough to have a header".to_vec(), "not a state file"),
        (whole[..whole.len() / 2].to_vec(), "damaged"),
        (Vec::new(), "damaged"),
        (changed(&whole, 60, 99), "schema version"),
    ] {
        std::fs::write(&path, &content).unwrap();
        refused(&arguments, &[KEY], &["state.db", says]);
        assert_eq!(std::fs::read(&path).unwrap(), content, "left untouched ({says})");
    }
}

/// The file with the big-endian word at `offset` set: 60 is SQLite's user version.
fn changed(whole: &[u8], offset: usize, word: u8) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    bytes[offset + 3] = word;
    bytes
}

#[test]
fn usage_errors_exit_with_2_and_help_tells_every_setting() {
    assert_eq!(run(&["--no-such-flag"], &[]).status.code(), Some(2));
    let help = run(&["--help"], &[]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for setting in known_flags().chain(["BLOOIO_API_KEY", "127.0.0.1:12566"]) {
        assert!(help.contains(setting), "{setting}");
    }
    let version = run(&["--version"], &[]);
    assert!(String::from_utf8(version.stdout).unwrap().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_log_says_once_what_was_found_and_how_long_reading_it_takes() {
    let world = blooio_exporter::simulator::scenario("quiet").unwrap().world(3, crate::support::wall_clock());
    let simulated = crate::support::Simulated::start(world);
    let folder = tempfile::tempdir().unwrap();
    let exporter = crate::support::Process::start(crate::support::command(
        &simulated.base_url(),
        &folder.path().join("state.db"),
        &["--collector.full-interval=1s", "--collector.interval=1s"],
    ));
    exporter.wait_for("some sweeps", |page| {
        page.samples["blooio_collection_sweeps_total{account=\"default\",result=\"complete\"}"] > 3.0
    });
    let log = exporter.log();
    let found: Vec<&str> = log.lines().filter(|line| line.contains("account listed")).collect();
    assert_eq!(found.len(), 1, "{log}");
    for field in ["account=default", "lines=", "chats=60", "to_read=", "reading=", "counting_since=\"20"] {
        assert!(
            found[0].contains(field) || found[0].contains(&field.replace('"', "")),
            "{field}: {}",
            found[0]
        );
    }
}
