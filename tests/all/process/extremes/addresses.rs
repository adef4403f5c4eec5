//! The same for the addresses that the program listens on, and for the path of its webhooks.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{ADDRESSES, api};
use crate::process::doubt::write_private;
use crate::support::{Process, ask, eventually, get, program};

/// Addresses that every host has.
const USABLE: [&str; 5] = ["127.0.0.1:0", "127.255.255.254:0", "0.0.0.0:0", ":0", "[::1]:0"];
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn command(folder: &Path, base_url: &str, arguments: &[String]) -> Command {
    let mut command = program();
    command
        .args(["--blooio.base-url", base_url, "--state.path"])
        .arg(folder.join("state.db"))
        .args(arguments);
    command.env("BLOOIO_API_KEY", "bl_live_SIMULATED").stdout(Stdio::null());
    command
}

/// What a run with these arguments shows: its page was served, or it ended with a sentence.
fn is_served(arguments: &[String], base_url: &str, look: impl FnOnce(&Process)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.replace("FOLDER", &folder.path().display().to_string()))
        .collect();
    write_private(&folder.path().join("token"), TOKEN);
    write_private(&folder.path().join("secret"), "whsec_canary");
    match Process::try_start(&mut command(folder.path(), base_url, &arguments)) {
        Ok(process) => {
            let log = process.log();
            assert_eq!(get(process.address, "/metrics", &[]).status, 200, "{arguments:?}: {log}");
            look(&process);
            assert!(!process.log().contains("panicked"), "{arguments:?}: {}", process.log());
            process.stop();
            true
        }
        Err((code, log)) => {
            let says_why = log.lines().any(|line| line.starts_with("blooio-exporter: "));
            assert!(
                code == Some(1) && says_why && !log.contains("panicked"),
                "{arguments:?}: {code:?}\n{log}"
            );
            false
        }
    }
}

#[test]
fn extreme_addresses_of_the_page_are_refused_or_served() {
    let works = api(false);
    for address in ADDRESSES {
        let served = is_served(&[format!("--web.listen-address={address}")], &works.fake.base_url(), |_| {});
        assert!(served || !USABLE.contains(address), "{address} is refused");
    }
    // Repeated, and on the same port as another one.
    let all: Vec<String> = USABLE.iter().map(|address| format!("--web.listen-address={address}")).collect();
    assert!(is_served(&all, &works.fake.base_url(), |_| {}));
}

/// The flags of a receiver.
fn receiver(more: &[String]) -> Vec<String> {
    let files = ["--webhook.token-file=FOLDER/token", "--webhook.secret-file=FOLDER/secret"];
    let page = ["--web.listen-address=127.0.0.1:0"];
    page.iter().chain(&files).map(|word| (*word).to_owned()).chain(more.iter().cloned()).collect()
}

fn received_at(process: &Process) -> SocketAddr {
    eventually("the receiver listens", || {
        let log = process.log();
        let (_, rest) = log.split_once("message=\"receiving webhooks\" address=")?;
        rest.split_whitespace().next()?.parse().ok()
    })
}

#[test]
fn extreme_addresses_of_the_webhook_receiver_are_refused_or_served() {
    let works = api(false);
    for address in ADDRESSES {
        let arguments = receiver(&[format!("--webhook.listen-address={address}")]);
        let served = is_served(&arguments, &works.fake.base_url(), |process| {
            let answer = ask("GET", received_at(process), "/", &[]).expect("an answer");
            assert!((400..500).contains(&answer.status), "{address}: {}", answer.status);
        });
        assert!(served || !USABLE.contains(address), "{address} is refused");
    }
}

#[test]
fn extreme_paths_of_webhooks_are_refused_or_served() {
    let works = api(false);
    let (long, longer) = (format!("/{}", "a".repeat(200)), format!("/{}", "a/".repeat(20_000)));
    let mut valid = 0;
    for prefix in [
        "/",
        "/a",
        "/a/b/c/d/e/f/g/h",
        &long,
        &longer,
        "/metrics",
        "/-/healthy",
        "/webhooks/",
        "//",
        "",
        "a",
        "/{a}",
        "/*",
        "/\u{e4}",
        "/%2F",
        "/a b",
        "/..",
        "/a?b",
        "/a#b",
    ] {
        let listens = "--webhook.listen-address=127.0.0.1:0".to_owned();
        let arguments = receiver(&[listens, format!("--webhook.path-prefix={prefix}")]);
        valid += u32::from(is_served(&arguments, &works.fake.base_url(), |process| {
            // Without a signature: rejected, and not because of its path.
            let path = format!("{}/{TOKEN}", prefix.trim_end_matches('/'));
            let headers = ["Content-Length: 0"];
            let answer = ask("POST", received_at(process), &path, &headers).expect("an answer");
            assert!(
                (400..500).contains(&answer.status) && answer.status != 404,
                "{prefix}: {}",
                answer.status
            );
        }));
    }
    assert!(valid >= 4, "{valid} paths are valid");
}
