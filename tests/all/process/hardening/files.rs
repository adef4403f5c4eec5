//! Another user on the machine: files that are not files, files of others, and the memory of the process.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{show, simulated};
use crate::support::{Process, command, eventually, outcome, program};

/// Runs the program to its end, which must come soon.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    ends_with_key("bl_live_SIMULATED", arguments)
}

fn ends_with_key(key: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let child = program()
        .args(arguments)
        .env("BLOOIO_API_KEY", key)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let output = outcome(child, Duration::from_secs(20), &arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn whatever_is_not_a_regular_file_is_rejected_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    std::fs::create_dir(path("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    symlink("/dev/zero", path("device")).unwrap();
    symlink(path("fifo"), path("link")).unwrap();
    let state = show(&path("state.db"));
    let mut tried = 0;
    for kind in ["fifo", "folder", "socket", "device", "link"] {
        let file = show(&path(kind));
        let web = show(&path("web.yml"));
        std::fs::write(&web, format!("tls_server_config: {{cert_file: {kind}, key_file: {kind}}}\n"))
            .unwrap();
        let (beside, journal) = (show(&path("beside.db")), path("beside.db-journal"));
        let _ = std::fs::remove_file(&journal);
        symlink(&file, &journal).unwrap();
        for (flag, value) in [
            ("--state.path", &beside),
            ("--state.path", &file),
            ("--config.file", &file),
            ("--blooio.api-key-file", &file),
            ("--web.config.file", &file),
            ("--web.config.file", &web),
        ] {
            for check in [&["--config.check"][..], &[]] {
                let mut arguments = vec![flag, value.as_str(), "--web.listen-address", "127.0.0.1:0"];
                if flag != "--state.path" {
                    arguments.extend(["--state.path", &state]);
                }
                let (code, complaint) = ends(&[check, &arguments].concat());
                assert_eq!(code, Some(1), "{flag} {kind}: {complaint}");
                assert!(
                    ["not a regular file", "is a ", "must name"].iter().any(|why| complaint.contains(why)),
                    "{flag} {kind}: {complaint}"
                );
                tried += 1;
            }
        }
    }
    println!("files that are none: {tried} tried, 0 opened");
}

#[test]
fn a_file_of_the_system_that_waits_for_news_does_not_hang_the_start() {
    for file in ["/proc/kmsg", "/proc/sys/kernel/hostname", "/proc/self/status"] {
        if std::fs::metadata(file).is_err() {
            continue;
        }
        for flag in ["--state.path", "--config.file", "--blooio.api-key-file", "--web.config.file"] {
            for check in [&["--config.check"][..], &[]] {
                let (code, said) =
                    ends(&[check, &[flag, file, "--web.listen-address", "127.0.0.1:0"]].concat());
                assert_eq!(code, Some(1), "{flag} {file}: {said}");
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let dangling = folder.path().join("state.db");
    symlink("/nowhere/state.db", &dangling).unwrap();
    for check in [&["--config.check"][..], &[]] {
        let (code, said) = ends(&[check, &["--state.path", &show(&dangling)]].concat());
        assert!(code == Some(1) && said.contains("symbolic link to a file that is not there"), "{said}");
    }
}

/// Whether a check succeeds or a start comes as far as listening, and what was said. A start is stopped again.
fn is_accepted(command: &mut Command) -> (bool, String) {
    match Process::try_start(command) {
        Ok(process) => {
            process.stop();
            (true, String::new())
        }
        Err((code, said)) => (code == Some(0), said),
    }
}

#[test]
fn the_check_and_the_start_accept_the_same_state_files() {
    if !is_root() {
        return println!("NOT TRIED: this needs root, to give files away");
    }
    let simulated = simulated();
    let (folder, copy) = shared();
    let state = folder.path().join("state.db");
    Process::start(command(&simulated.base_url(), &state, &[])).stop();
    let run = |user: u32, check: bool| {
        let mut command = Command::new(&copy);
        command.args(check.then_some("--config.check")).args(["--web.listen-address", "127.0.0.1:0"]);
        command.arg("--state.path").arg(&state).env_clear().env("BLOOIO_API_KEY", "bl_live_SIMULATED");
        command.args(["--blooio.base-url", &simulated.base_url()]).uid(user).gid(user);
        is_accepted(command.stdout(Stdio::null()))
    };
    for (owner, mode, folder_mode, user, accepted) in [
        (0, 0o600, 0o755, 0, true),
        (USER, 0o600, 0o777, USER, true),
        (USER, 0o644, 0o777, USER, true),
        (USER, 0o600, 0o777, 0, false),
        (USER, 0o666, 0o777, 0, false),
        (0, 0o666, 0o777, USER, false),
        (USER, 0o600, 0o755, USER, false),
    ] {
        chown(&state, Some(owner), Some(owner)).unwrap();
        for check in [true, false] {
            std::fs::set_permissions(&state, std::fs::Permissions::from_mode(mode)).unwrap();
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(folder_mode)).unwrap();
            let (is_accepted, said) = run(user, check);
            assert_eq!(is_accepted, accepted, "{owner} {mode:o} {folder_mode:o} {user} {check}: {said}");
        }
    }
}

/// What can be wrong with a state file besides its header.
const DAMAGES: [&str; 13] = [
    "DROP TABLE conversation",
    "DROP TABLE counter",
    "DROP TABLE state_key",
    "DELETE FROM state_key",
    "UPDATE state_key SET key = x'00'",
    "UPDATE state_key SET key = 'a text'",
    "ALTER TABLE chat DROP COLUMN times",
    "ALTER TABLE account RENAME COLUMN floor TO ceiling",
    "PRAGMA user_version = 0",
    "PRAGMA user_version = 99",
    "PRAGMA user_version = 1",
    "INSERT INTO counter VALUES (1, 'nonsense', 1)",
    "INSERT INTO histogram VALUES (1, 'nonsense', x'00', 1)",
];

#[test]
fn the_check_finds_what_the_start_finds_in_a_state_file() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let (state, damaged) = (folder.path().join("state.db"), folder.path().join("damaged.db"));
    Process::start(command(&simulated.base_url(), &state, &[])).stop();
    let whole = std::fs::read(&state).unwrap();
    let mut tried = 0;
    let mut run = |what: &str, refused: Option<bool>| {
        let before = std::fs::read(&damaged).unwrap();
        let mut answers = Vec::new();
        for check in [&["--config.check"][..], &[]] {
            let (is_accepted, said) = is_accepted(&mut command(&simulated.base_url(), &damaged, check));
            let is_refused = !is_accepted;
            assert!(!is_refused || said.contains("damaged.db"), "{what}: {said}");
            if check.is_empty() && !is_refused {
                continue;
            }
            assert_eq!(std::fs::read(&damaged).unwrap(), before, "{what}: not left as it was");
            let beside = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
            let names: Vec<String> = beside.map(|name| name.to_string_lossy().into_owned()).collect();
            assert!(!names.iter().any(|name| name.starts_with("damaged.db-")), "{what}: {names:?}");
            answers.push(is_refused);
        }
        let is_refused = answers.len() == 2;
        assert!(answers.iter().all(|answer| *answer == is_refused), "{what}: the check and the start differ");
        assert!(refused.is_none_or(|refused| refused == is_refused), "{what}: {is_refused}");
        tried += 1;
    };
    std::fs::write(&damaged, &whole).unwrap();
    run("nothing", Some(false));
    for statement in DAMAGES {
        std::fs::write(&damaged, &whole).unwrap();
        let connection = rusqlite::Connection::open(&damaged).unwrap();
        connection.execute_batch(statement).unwrap();
        drop(connection);
        run(statement, Some(true));
    }
    for part in 1..12 {
        std::fs::write(&damaged, &whole[..whole.len() * part / 12]).unwrap();
        run(&format!("{part}/12 of it"), Some(true));
    }
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(0);
        std::fs::write(&damaged, &bytes).unwrap();
        run(&format!("page {page} of zeros"), None);
    }
    println!("damaged state files: {tried} tried, the check and the start agree");
}

#[test]
fn the_check_leaves_a_log_of_a_crash_and_a_file_in_use_as_they_are() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let exporter = Process::start(command(&simulated.base_url(), &state, &[]));
    let log = folder.path().join("state.db-wal");
    eventually("something in the log", || {
        std::fs::metadata(&log).is_ok_and(|log| log.len() > 0).then_some(())
    });
    let check = || {
        let (code, said) =
            ends(&["--config.check", "--web.listen-address=127.0.0.1:0", "--state.path", &show(&state)]);
        assert_eq!(code, Some(0), "{said}");
    };
    check();
    exporter.kill();
    let bytes = || (std::fs::read(&state).unwrap(), std::fs::read(&log).unwrap());
    let before = bytes();
    assert!(!before.1.is_empty());
    check();
    assert!(bytes() == before, "the check changed the state file or its log");
}

#[test]
fn a_log_without_its_state_file_is_accepted_by_neither_the_check_nor_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    std::fs::write(folder.path().join("state.db-wal"), "").unwrap();
    for check in [&["--config.check"][..], &[]] {
        let arguments = ["--state.path", &show(&state), "--web.listen-address", "127.0.0.1:0"];
        let (code, said) = ends(&[check, &arguments].concat());
        assert!(code == Some(1) && said.contains("its write-ahead log is there"), "{check:?}: {said}");
    }
}

#[test]
fn a_state_file_that_is_open_to_others_is_closed_to_them() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let start = || Process::start(command(&simulated.base_url(), &state, &[]));
    start().stop();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o666)).unwrap();
    let exporter = start();
    assert_eq!(std::fs::metadata(&state).unwrap().mode() & 0o777, 0o600);
    assert!(exporter.log().contains("accessible to other users"), "{}", exporter.log());
    exporter.stop();
}

#[test]
fn the_permissions_of_files_that_are_not_ours_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (notes, link, state) =
        (folder.path().join("notes.txt"), folder.path().join("link.db"), folder.path().join("state.db"));
    std::fs::write(&notes, "not a database, and long enough to have a header ".repeat(3)).unwrap();
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&notes, open).unwrap();
    symlink(&notes, &link).unwrap();
    for path in [&notes, &link] {
        let (code, said) = ends(&["--state.path", &show(path), "--web.listen-address", "127.0.0.1:0"]);
        assert!(code == Some(1) && said.contains("not a state file"), "{said}");
        assert_eq!(std::fs::metadata(&notes).unwrap().mode() & 0o777, 0o644, "{}", path.display());
    }
    // Beside a state file too.
    let simulated = simulated();
    Process::start(command(&simulated.base_url(), &state, &[])).stop();
    for suffix in ["-journal", "-wal", "-shm"] {
        let beside = folder.path().join(format!("state.db{suffix}"));
        let _ = std::fs::remove_file(&beside);
        symlink(&notes, &beside).unwrap();
        for check in [&["--config.check"][..], &[]] {
            let arguments = ["--state.path", &show(&state), "--web.listen-address", "127.0.0.1:0"];
            let (code, said) = ends(&[check, &arguments].concat());
            assert!(code == Some(1) && said.contains("is a symbolic link"), "{suffix} {check:?}: {said}");
        }
        assert_eq!(std::fs::metadata(&notes).unwrap().mode() & 0o777, 0o644, "{suffix}");
        std::fs::remove_file(&beside).unwrap();
    }
}

/// A folder that another user can enter, with a copy of the program that it can run.
fn shared() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let copy = folder.path().join("blooio-exporter");
    std::fs::copy(env!("CARGO_BIN_EXE_blooio-exporter"), &copy).unwrap();
    (folder, copy)
}

const USER: u32 = 65_532;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_mounted_secret_is_accepted_and_a_file_of_others_is_not() {
    if !is_root() {
        return println!("NOT TRIED: this needs root, to give files away");
    }
    let (folder, copy) = shared();
    let key = folder.path().join("key");
    std::fs::write(&key, "bl_live_SIMULATED").unwrap();
    let accepts = |owner: u32, group: u32, mode: u32| {
        chown(&key, Some(owner), Some(group)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new(&copy);
        command.args(["--config.check", "--web.listen-address=127.0.0.1:0", "--blooio.api-key-file"]);
        command.arg(&key).arg("--state.path");
        let output =
            command.arg(folder.path().join("state.db")).env_clear().uid(USER).gid(USER).output().unwrap();
        output.status.code() == Some(0)
    };
    assert!(accepts(0, USER, 0o440), "a mounted secret");
    assert!(accepts(USER, USER, 0o400) && accepts(USER, USER, 0o600));
    for (owner, group, mode) in [
        (0, USER, 0o444),
        (0, USER, 0o460),
        (0, USER, 0o441),
        (USER, USER, 0o440),
        (1, USER, 0o440),
        (USER, USER, 0o604),
    ] {
        assert!(!accepts(owner, group, mode), "{owner}:{group} {mode:o}");
    }
}

#[test]
fn the_memory_of_the_process_is_dumped_by_nobody() {
    let simulated = simulated();
    let (folder, copy) = shared();
    let whole = command(&simulated.base_url(), &folder.path().join("state.db"), &[]);
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\"")
        .arg(&copy)
        .args(whole.get_args());
    command.current_dir(folder.path()).env("BLOOIO_API_KEY", "bl_live_SIMULATED");
    if is_root() {
        command.uid(USER).gid(USER);
    }
    let exporter = Process::start(command);
    let proc = |name: &str| format!("/proc/{}/{name}", exporter.id());
    let limits = std::fs::read_to_string(proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // The kernel gives what shows the memory of a process that cannot be dumped to root.
    if is_root() {
        assert_eq!(std::fs::metadata(proc("mem")).unwrap().uid(), 0);
        let page = exporter.page();
        assert!(page.samples.contains_key("process_open_fds"), "the process still sees itself");
        let read = Command::new("cat").arg(proc("environ")).uid(USER).gid(USER).output().unwrap();
        assert!(!read.status.success(), "its own user reads its environment, with the key in it");
    }
    exporter.signal("-ABRT");
    std::thread::sleep(Duration::from_millis(500));
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().starts_with("core")), "a core dump");
}

/// Keys as they may look: with the usual beginning, as digits and letters alone, as base64 with slashes, and short.
const KEYS: [&str; 4] =
    ["bl_live_4f9AkQ0sZ7", "9c1E4f9AkQ0sZ7uVxY2wLmN8pQ", "aB3d/4f9AkQ0s/Z7+uVxY2w/LmN8pQ==", "4f9AkQ0sZ7uV"];

#[test]
fn a_key_in_the_wrong_place_is_in_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (config, web) = (folder.path().join("config.yml"), folder.path().join("web.yml"));
    let mut tried = 0;
    for key in KEYS {
        let mut assert_silent = |yaml: &str, codes: &[i32], arguments: &[&str]| {
            // Where the file names the key itself, the environment must not.
            let names_keys = yaml.contains("account") || yaml.contains("api_key_file");
            let (code, said) = ends_with_key(if names_keys { "" } else { key }, arguments);
            assert!(code.is_some_and(|code| codes.contains(&code)), "{yaml} {arguments:?}: {code:?} {said}");
            assert!(!said.contains(key) && !said.contains("4f9AkQ0s"), "{yaml} {arguments:?}: {said}");
            tried += 1;
        };
        for yaml in [
            "blooio: {base_url: KEY}",
            "blooio: {base_url: \"https://api.example/KEY\"}",
            "blooio: {api_key_file: KEY}",
            "KEY: x",
            "web: {config_file: KEY}",
            "web: {telemetry_path: KEY}",
            "web: {telemetry_path: /KEY}",
            "web: {allowed_host: [KEY]}",
            "web: {listen_address: [KEY]}",
            "collector: {interval: KEY}",
            "api: {budget: KEY}",
            "api: {timeout: KEY}",
            "log: {level: KEY}",
            "lines: {\"+1\": KEY}",
            "lines: {\"+1\": KEY, \"+2\": KEY}",
            "accounts: [{name: KEY}]",
            "accounts: [{name: KEY, api_key_file: key.txt}]",
            "accounts: [{name: a, api_key_file: key.txt, lines: {\"+1\": my KEY}}]",
            "accounts: [{name: KEY, api_key_file: key.txt}, {name: b, api_key_file: key.txt}]",
            "accounts: [{name: a, api_key_file: key.txt, labels: {team: KEY}}]",
            "labels: {KEY: x}",
            "labels: {team: \"of KEY\"}",
            "line_labels: {\"+1\": {KEY: x}}",
            "line_labels: {\"+1\": {team: KEY}}",
            "accounts: KEY",
            "[KEY]",
        ] {
            let file = folder.path().join("key.txt");
            std::fs::write(&file, key).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::write(&config, yaml.replace("KEY", key)).unwrap();
            assert_silent(yaml, &[1], &["--config.check", "--config.file", &show(&config)]);
        }
        for yaml in [
            "tls_server_config: {cert_file: KEY, key_file: KEY}",
            "tls_server_config: {cert_file: KEY/cert.pem, key_file: KEY/key.pem}",
            "basic_auth_users: {one: KEY}",
            "KEY: x",
            "rate_limit: {interval: KEY, burst: 1}",
            "auth_excluded_paths: [KEY]",
            "KEY",
            "tls_server_config: {KEY: x}",
            "http_server_config: {headers: {Content-Security-Policy: KEY}}",
            "http_server_config: {headers: {X-XSS-Protection: \"1; report=https://reports.example/KEY\"}}",
            "http_server_config: {headers: {X-Frame-Options: KEY}}",
            "http_server_config: {headers: {KEY: deny}}",
        ] {
            std::fs::write(&web, yaml.replace("KEY", key)).unwrap();
            assert_silent(yaml, &[1], &["--config.check", "--web.config.file", &show(&web)]);
        }
        for flag in [
            "--state.path=KEY/state.db",
            "--state.path=/nowhere/KEY",
            "--config.file=KEY",
            "--config.file=./KEY/config.yml",
            "--web.config.file=KEY",
            "--web.config.file=./KEY/x",
            "--web.config.file=./KEY/web.yml",
            "--blooio.base-url=KEY",
            "--collector.interval=KEY",
            "--collector.retention=KEY",
            "--api.budget=KEY",
            "--web.listen-address=KEY",
            "--web.telemetry-path=/KEY",
            "--web.allowed-host=KEY",
        ] {
            assert_silent(flag, &[1], &["--config.check", &flag.replace("KEY", key)]);
        }
        for words in [
            "--log.level KEY",
            "--log.format KEY",
            "--log.format=KEY",
            "KEY",
            "--KEY",
            "healthcheck KEY",
            "healthcheck --healthcheck.timeout KEY",
            "plan --chats KEY --messages-per-second 1",
            "plan --chats 1 --messages-per-second KEY",
            "plan --chats 1 --messages-per-second 1 --collector.interval KEY",
            "demo KEY",
            "demo --simulator.seed KEY",
            "simulate KEY",
            "simulate --simulator.scenario KEY",
            "simulate --simulator.fault KEY",
            "simulate --simulator.pace KEY",
            "inspect +1 --account KEY",
            "inspect +1 m1 KEY",
            "inspect +1 --KEY",
            "help KEY",
            "help --flag=KEY",
            "help -k=KEY",
            "--help=KEY",
            "--version=KEY",
            "inspect +1 --show=KEY",
        ] {
            let words = words.replace("KEY", key);
            assert_silent(&words, &[1, 2], &words.split(' ').collect::<Vec<_>>());
        }
        for argument in ["--log.level KEY", "--flag KEY", "-- KEY", "-k KEY", "--flag=x KEY", "plan KEY"] {
            let argument = argument.replace("KEY", key);
            assert_silent(&argument, &[2], &[&argument]);
            assert_silent(&argument, &[1, 2], &["inspect", "+1", "m1", &argument]);
        }
    }
    // A key that is that of no account: only its looks tell.
    let digest = "c2a1f0e94b7d4e6fa3b95d08e17f6a2c";
    for key in [KEYS[0], KEYS[1], digest] {
        let ends = |arguments: &[&str]| {
            let (code, said) = ends_with_key("of-another-kind", arguments);
            assert!(code == Some(1) && !said.contains(key), "{key} {arguments:?}: {said}");
        };
        let file = folder.path().join("other.txt");
        std::fs::write(&file, "of-another-kind").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        ends(&["--config.check", &format!("--web.telemetry-path=/{key}")]);
        ends(&["--config.check", &format!("--web.allowed-host={key}")]);
        for yaml in [
            "lines: {\"+1\": KEY}",
            "labels: {xKEY: x}",
            "labels: {team: \"of KEY\"}",
            "line_labels: {\"+1\": {team: KEY}}",
        ] {
            std::fs::write(&config, yaml.replace("KEY", key)).unwrap();
            ends(&["--config.check", "--config.file", &show(&config)]);
            tried += 1;
        }
        let named = format!("accounts: [{{name: {key}, api_key_file: other.txt}}]");
        std::fs::write(&config, named).unwrap();
        let (code, said) = ends_with_key("", &["--config.check", "--config.file", &show(&config)]);
        assert!(code == Some(1) && !said.contains(key), "{key}: {said}");
        tried += 3;
    }
    let state = folder.path().join("s.db");
    for check in [&["--config.check"][..], &[]] {
        let two = format!("--state.path={} --key={}", show(&state), KEYS[1]);
        let (code, said) = ends(&[check, &[&two, "--web.listen-address", "127.0.0.1:0"]].concat());
        assert!(code == Some(2) && said.contains("a second one") && !said.contains(KEYS[1]), "{said}");
        let folder = folder.path().join(KEYS[0]);
        std::fs::create_dir_all(&folder).unwrap();
        let (code, said) = ends(
            &[
                check,
                &["--state.path", &show(&folder.join("state.db")), "--web.listen-address", "127.0.0.1:0"],
            ]
            .concat(),
        );
        assert!(code == Some(1) && said.contains("--state.path: holds an API key"), "{said}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let file = folder.path().join(KEYS[0]);
    std::fs::write(&file, "neither empty nor a state file, and long enough to have a header ".repeat(3))
        .unwrap();
    let (code, said) = ends(&["--state.path", &show(&file)]);
    assert!(code == Some(1) && !said.contains(KEYS[0]), "{said}");
    println!("keys in the wrong place: {} tried, 0 repeated", tried + 1);
}
