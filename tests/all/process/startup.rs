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
    let check = |state: &str| {
        ["--config.check", "--web.listen-address=127.0.0.1:0", "--state.path", &path(state)]
            .map(str::to_owned)
    };
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
fn the_check_lists_the_settings_that_apply_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, text: &str| {
        std::fs::write(path(name), text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path(name), mode).unwrap();
    };
    write("a.key", "bl_live_secret");
    write("hook.token", "canarycanarycanary");
    write("hook.secret", "whsec_canary");
    write(
        "config.yml",
        "accounts:\n  - name: clinic\n    api_key_file: a.key\n    lines: {\"+13105550102\": front desk}\n    \
         webhook: {token_file: hook.token, secret_files: [hook.secret]}\n\
         probe: {chats: [\"+14155550123\"]}\napi: {budget: 1}\n\
         webhook: {listen_address: \"127.0.0.1:0\"}\nlog: {level: warn}\n",
    );
    let config = path("config.yml");
    let flags = ["--config.check", "--config.file", &config, "--web.listen-address=127.0.0.1:0"];
    let more = ["--collector.interval=1m", "--state.path", "state.db"];
    let output = run(&[&flags[..], &more].concat(), &[("BLOOIO_BASE_URL", "https://api.example.com/v2/api")]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    let values: Vec<(&str, &str)> =
        said.lines().filter_map(|line| line.trim().split_once(' ')).map(|(n, v)| (n, v.trim())).collect();
    for (name, value, source) in [
        ("account", "clinic", ""),
        ("blooio.base-url", "https://api.example.com/v2/api", " BLOOIO_BASE_URL"),
        ("collector.interval", "1m", " --collector.interval"),
        ("collector.horizon", "3days", " default"),
        ("api.budget", "1 requests/s", "config.yml:7"),
        ("lines", "front desk", " the configuration file"),
        ("probe.chats", "1 (private)", " the configuration file"),
        ("state.path", "state.db", " --state.path"),
        ("web.listen-address", "127.0.0.1:0", " --web.listen-address"),
        ("webhook.path-prefix", "/webhooks", " default"),
        ("log.level", "warn", "config.yml:9"),
    ] {
        let is_listed = |(n, v): &(&str, &str)| *n == name && v.starts_with(value) && v.ends_with(source);
        assert!(values.iter().any(is_listed), "{name} {value} {source}: {said}");
    }
    assert!(said.ends_with("the configuration can be used; accounts: clinic\n"), "{said}");
    for secret in ["bl_live", "canary", "5550102", "5550123"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[test]
fn an_address_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = folder.path().join("state.db");
    let state = path.display().to_string();
    let (token, secret) = (folder.path().join("token"), folder.path().join("secret"));
    for (file, text) in [(&token, "0123456789abcdef"), (&secret, "whsec_a")] {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let (token, secret) = (token.display().to_string(), secret.display().to_string());
    let pages = ["--state.path", &state, "--web.listen-address", &address];
    let receiver = [
        ["--state.path", &state],
        ["--web.listen-address", "127.0.0.1:0"],
        ["--webhook.listen-address", &address],
        ["--webhook.token-file", &token],
        ["--webhook.secret-file", &secret],
    ]
    .concat();
    for (arguments, flag) in [(&pages[..], pages[2]), (&receiver, "--webhook.listen-address")] {
        for check in [&["--config.check"][..], &[]] {
            refused(&[check, arguments].concat(), &[KEY], &[flag, &address, "stop what uses it"]);
            assert!(!path.exists(), "a start that cannot listen leaves no state behind");
        }
    }
    // Where a process has the state in use, that one is the exporter whose reload is being checked.
    let holder = blooio_exporter::store::sqlite::StateFile::open(&path, [1; 32]).unwrap();
    let output = run(&[&["--config.check"][..], &pages].concat(), &[KEY]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let warning = format!("warning: --web.listen-address: {address} is in use");
    assert!(said.contains(&warning), "{said}");
    drop(holder);
    refused(&[&["--config.check"][..], &pages].concat(), &[KEY], &[&address]);
    // An address of another machine is none of the running exporter either.
    refused(
        &["--config.check", "--web.listen-address=192.0.2.1:1"],
        &[KEY],
        &["192.0.2.1:1", "this machine"],
    );
}

#[test]
fn a_demo_without_a_temporary_directory_says_which_variable_to_set() {
    for folder in ["/nonexistent/temporary", "/proc"] {
        let free = ["--web.listen-address", "127.0.0.1:0"];
        refused(&[&["demo"], &free[..]].concat(), &[("TMPDIR", folder)], &["temporary directory", "TMPDIR"]);
    }
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
