//! A broken or hostile API: names that collide, ids that look like paths, and failures that have different causes.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use super::{FakeApi, ok};
use crate::process::security::{Folder, TLS};
use crate::support::{Page, Process, command, program, wall_clock};

#[test]
fn no_two_series_are_identical_whatever_the_api_calls_its_lines() {
    let names = ["none", "other", "overflow", "sales", "api:sales", "api:none", "+13105550101", ""];
    let at = wall_clock() - 60_000;
    let api = FakeApi::start(move |target| {
        let list = |row: &dyn Fn(usize, &str) -> String| {
            names.iter().enumerate().map(|(n, name)| row(n, name)).collect::<Vec<_>>().join(",")
        };
        let body = if target.starts_with("/me/numbers") {
            format!(
                r#"{{"numbers":[{}]}}"#,
                list(&|_, name| format!(
                    r#"{{"phone_number":"{name}","is_active":true,"last_active":{at}}}"#
                ))
            )
        } else if target.contains("/messages?") {
            format!(
                r#"{{"messages":[{}],"pagination":{{"total":{}}}}}"#,
                list(&|n, name| format!(
                    r#"{{"message_id":"m{n}","direction":"outbound","internal_id":"{name}","time_sent":{at},"status":"sent"}}"#
                )),
                names.len()
            )
        } else if target.starts_with("/chats?") {
            format!(
                r#"{{"chats":[{{"id":"+1","message_count":8,"outbound_count":8,"last_message_time":{at},
                "last_message":{{"message_id":"m7"}}}}],"pagination":{{"total":1}}}}"#
            )
        } else {
            r#"{"has_background":false}"#.to_owned()
        };
        ok(body.as_bytes(), "")
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    std::fs::write(
        &config,
        "lines: {\"+13105550101\": sales}\ncollector: {interval: 200ms}\napi: {budget: 50}\n",
    )
    .unwrap();
    let more = ["--config.file", &super::show(&config)];
    let exporter = Process::start(command(&api.base_url(), &folder.path().join("state.db"), &more));
    exporter.wait_for("the lines", |page| {
        page.sum("blooio_outbound_open_messages") + page.sum("blooio_line_active") >= 7.0
    });
    // Parsing fails on a series that comes twice.
    let page = Page::parse(&exporter.get("/metrics").unwrap());
    let lines: BTreeSet<String> =
        page.family("blooio_line_active").into_keys().map(|labels| labels[1].clone()).collect();
    assert!(
        lines.contains("sales") && lines.contains("api:sales") && lines.contains("api:none"),
        "{lines:?}"
    );
    assert!(!lines.contains("overflow") && !lines.contains("other"), "{lines:?}");
}

#[test]
fn ids_with_slashes_and_percent_signs_are_one_segment_of_the_path() {
    let asked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let api = FakeApi::start(move |target| {
        seen.lock().unwrap().insert(target.split('?').next().unwrap().to_owned());
        let at = wall_clock() - 60_000;
        let body = match target.starts_with("/chats?") {
            true => {
                let ids = ["a/../b@example.com", "50%@example.com", "%2e%2e", "a b", "..", "\\u0007", "."];
                let rows: Vec<String> = ids
                    .iter()
                    .map(|id| format!(r#"{{"id":"{id}","message_count":1,"last_message_time":{at}}}"#))
                    .collect();
                format!(r#"{{"chats":[{}],"pagination":{{"total":7}}}}"#, rows.join(","))
            }
            false => r#"{"messages":[],"pagination":{"total":0}}"#.to_owned(),
        };
        ok(body.as_bytes(), "")
    });
    let folder = tempfile::tempdir().unwrap();
    let more = ["--collector.interval", "200ms", "--api.budget", "50"];
    let exporter = Process::start(command(&api.base_url(), &folder.path().join("state.db"), &more));
    exporter.wait_for("unusable ids", |page| {
        page.sum_where("blooio_collection_rejected_items_total", &["reason=\"id\""]) >= 3.0
    });
    crate::support::eventually("every usable chat is read", || {
        let asked = asked.lock().unwrap();
        ["a%2F..%2Fb%40example.com", "50%25%40example.com", "%252e%252e", "a%20b"]
            .iter()
            .all(|id| asked.contains(&format!("/chats/{id}/messages")))
            .then_some(())
    });
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|path| !path.contains("..") || path.contains("%2F..%2F")), "{asked:?}");
}

#[test]
fn every_cause_of_a_failed_connection_has_a_sentence_of_its_own() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hanging_up = FakeApi::start(|_| Vec::new());
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let no_tls = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    });
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let (_simulated, tls) = folder.start(TLS);
    let mut sentences = BTreeSet::new();
    for (base_url, says) in [
        (format!("http://{closed}/v2/api"), "the connection was refused"),
        ("https://name.invalid/v2/api".to_owned(), "its host name could not be resolved"),
        (hanging_up.base_url(), "the connection was closed before the answer began"),
        (format!("https://{}/v2/api", tls.address()), "its certificate is not signed by a known authority"),
        (format!("https://{no_tls}/v2/api"), "the TLS handshake failed"),
        (format!("http://{}/v2/api", silent.local_addr().unwrap()), "did not answer in time"),
    ] {
        let output = program()
            .args(["inspect", "+13105550199", "--api.timeout", "2s"])
            .env("BLOOIO_API_KEY", "bl_live_SIMULATED")
            .env("BLOOIO_BASE_URL", &base_url)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(says), "{base_url}: {text}");
        // Logged at the first attempt, before the retries that the last line reports.
        let first = text.lines().next().unwrap();
        assert!(first.contains("level=warn") && first.contains(says), "{base_url}: {text}");
        assert!(first.contains("retrying") && first.contains("account=default advice="), "{text}");
        assert_eq!(text.matches("retrying").count(), 1, "{text}");
        for private in ["127.0.0.1", "invalid/", "310555", "bl_live"] {
            assert!(!text.contains(private), "{text}");
        }
        sentences.insert(text);
    }
    assert_eq!(sentences.len(), 6);
}
