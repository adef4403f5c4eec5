//! What strangers write, on the operator's terminal, in the log and on the status page.

use std::process::Stdio;

use super::{FakeApi, ok};
use crate::support::{Process, command, program};

const EVIL: &str =
    r"a\u001b]52;c;aGk=\u0007\r\nb\u009b31m\u202e\u2066c\u200b\ud83d d\\u001b \u007f\u115f\u3164 \u0301";

/// An API all of whose texts are hostile. Its one chat and its one line bear hostile names too.
fn hostile() -> FakeApi {
    FakeApi::start(|target| {
        let evil = EVIL;
        if target.starts_with("/me/numbers") {
            return ok(
                format!(
                    r#"{{"numbers":[{{"phone_number":"{evil}","is_active":true}},
                    {{"phone_number":"odd \u202e\u200b\u2028\ue000","is_active":true}}]}}"#
                )
                .as_bytes(),
                "",
            );
        }
        let at = crate::support::wall_clock() - 60_000;
        let message = |n: u32, text: &str| {
            format!(
                r#"{{"message_id":"m{n}","direction":"outbound","internal_id":"line \u202e\u001b[2J","text":"{text}",
                "time_sent":{at},"status":"{evil}","protocol":"{evil}","error":"{evil}"}}"#
            )
        };
        let long = "x".repeat(100_000);
        let body = match target {
            _ if target.contains("/messages/") => message(1, evil),
            _ if target.contains("/messages") => format!(
                r#"{{"messages":[{{"text":"no id"}},{},{}],"pagination":{{"total":3}}}}"#,
                message(1, evil),
                message(2, &long)
            ),
            _ if target.contains("/background") => r#"{"has_background":false}"#.to_owned(),
            _ if target.starts_with("/chats?") => format!(
                r#"{{"chats":[{{"id":"+1","message_count":2,"last_message_time":{at},"last_message":{{"message_id":"m2"}}}}],
                "pagination":{{"total":1}}}}"#
            ),
            _ => format!(r#"{{"id":"+1","type":"{evil}","message_count":2,"last_message_time":{at}}}"#),
        };
        ok(body.as_bytes(), "")
    })
}

/// No byte that a terminal acts on, and no character that turns lines around.
#[track_caller]
fn assert_inert(text: &[u8]) {
    let text = std::str::from_utf8(text).expect("UTF-8");
    for c in text.chars() {
        let acts = (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{115f}' | '\u{3164}');
        assert!(!acts, "{c:?} in {text:?}");
    }
}

#[test]
fn inspect_shows_hostile_text_as_text() {
    let api = hostile();
    for more in [&["--show"][..], &[], &["--json", "--show"], &["--json"]] {
        let output = program()
            .args(["inspect", "+1", "m1"])
            .args(more)
            .env("BLOOIO_API_KEY", "bl_live_SIMULATED")
            .env("BLOOIO_BASE_URL", api.base_url())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_inert(&output.stdout);
        let text = String::from_utf8(output.stdout).unwrap();
        if more.contains(&"--json") {
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(report["rejected_rows"], 1);
            assert_eq!(report["messages"][0]["line"], "line \u{202e}\u{1b}[2J", "JSON carries what was said");
        } else {
            assert!(text.contains(r"line \u{202e}\u{1b}[2J"), "{text}");
            assert!(text.contains("not shown: 1 rows"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() < 1_000), "a cell is cut");
            assert_eq!(
                text.contains(r"a\u{1b}]52;c;aGk=\u{7}\r\nb\u{9b}31m"),
                more.contains(&"--show"),
                "{text}"
            );
        }
    }
}

#[test]
fn what_a_person_types_is_not_sent_back_raw_either() {
    for arguments in [
        &["inspect", "\u{1b}]0;x\u{7}"][..],
        &["inspect", "+1", "--account", "\u{1b}[2J\u{202e}"],
        &["inspect", "+1", "--config.file", "/nowhere/\u{1b}[2J\u{202e}"],
        &["--blooio.api-key-file", "/nowhere/\u{1b}[2J\u{202e}"],
        &["--web.config.file", "/nowhere/\u{1b}[2J\u{202e}"],
        &["--state.path", "/nowhere/\u{1b}[2J\u{202e}"],
        &["--log.level", "\u{1b}[2J"],
        &["--\u{1b}[2J"],
        &["\u{1b}[2J"],
        &["simulate", "--simulator.scenario", "\u{1b}[2J"],
        &["simulate", "--simulator.fault", "\u{1b}[2J"],
    ] {
        let output = program().args(arguments).env("BLOOIO_API_KEY", "k").output().unwrap();
        assert!(!output.status.success());
        assert_inert(&output.stderr);
    }
}

#[test]
fn lines_with_hostile_names_stay_on_their_own_line_of_every_page() {
    let api = hostile();
    let folder = tempfile::tempdir().unwrap();
    let more = ["--collector.interval", "200ms", "--api.budget", "50"];
    let exporter = Process::start(command(&api.base_url(), &folder.path().join("state.db"), &more));
    exporter.wait_for("a sweep", |page| page.sum("blooio_collection_sweeps_total") >= 3.0);
    let page = exporter.get("/").unwrap();
    assert_inert(page.as_bytes());
    assert!(page.contains("<bdi>"), "{page}");
    let metrics = exporter.get("/metrics").unwrap();
    crate::support::Page::parse(&metrics);
    assert_inert(metrics.as_bytes());
    let lines: Vec<&str> = metrics.lines().filter(|line| line.contains("line=\"")).collect();
    assert!(
        lines.iter().any(|line| line.contains("line=\"odd \\\\u{202e}\\\\u{200b}\\\\u{2028}\\\\u{e000}\"")),
        "{lines:#?}"
    );
    assert_inert(exporter.log().as_bytes());
}
