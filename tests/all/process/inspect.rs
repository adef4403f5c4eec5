//! `inspect` on a simulated account: what it shows, what it hides, and how it refuses.

use std::process::{Output, Stdio};

use blooio_exporter::simulator;

use crate::support::{Simulated, program, wall_clock};

const KEY: &str = "bl_live_SIMULATED";

fn simulated() -> Simulated {
    Simulated::start(simulator::scenario("demo").unwrap().world(5, wall_clock()))
}

fn inspect(simulated: &Simulated, key: &str, arguments: &[&str]) -> Output {
    program()
        .arg("inspect")
        .args(arguments)
        .env("BLOOIO_API_KEY", key)
        .env("BLOOIO_BASE_URL", simulated.base_url())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn shown(simulated: &Simulated, arguments: &[&str]) -> String {
    let output = inspect(simulated, KEY, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn assert_masked(simulated: &Simulated, text: &str) {
    for value in simulated.world().private_values() {
        // Shorter ones would be found in any text.
        assert!(value.len() <= 6 || !text.contains(&value), "{value} is in {text}");
    }
}

#[test]
fn a_table_for_people_and_json_for_programs_mask_what_is_private() {
    let simulated = simulated();
    let chat = simulated.world().chat_ids()[0].clone();

    let table = shown(&simulated, &[&chat]);
    for word in ["chat ", "device ", "the newest messages", "direction", "status", "latency", "outbound"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    assert_masked(&simulated, &table);

    let json = shown(&simulated, &["--json", &chat]);
    assert_masked(&simulated, &json);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let messages = report["messages"].as_array().unwrap();
    assert!(!messages.is_empty() && messages.len() <= 20, "{json}");
    assert!(messages.iter().all(|message| message.get("text").is_none()), "{json}");
    assert!(report["chat"]["messages"].as_i64().unwrap() >= messages.len() as i64, "{json}");
    assert!(report["device"]["answered"].is_boolean() && report.get("message").is_none(), "{json}");
}

#[test]
fn what_is_private_is_shown_when_asked_for_and_one_message_by_itself() {
    let simulated = simulated();
    let chat = simulated.world().chat_ids()[0].clone();
    let report: serde_json::Value =
        serde_json::from_str(&shown(&simulated, &["--json", "--show", &chat])).unwrap();
    assert_eq!(report["chat"]["id"], *chat);
    let messages = report["messages"].as_array().unwrap();
    let with_text = messages.iter().find(|message| message["text"].is_string()).unwrap();
    let (id, text) = (with_text["id"].as_str().unwrap(), with_text["text"].as_str().unwrap());
    assert!(simulated.world().private_values().iter().any(|value| value == text), "{text}");

    let table = shown(&simulated, &["--show", &chat, id]);
    for word in [&*chat, id, text, "the message\n"] {
        assert!(table.contains(word), "{word} in {table}");
    }
    let masked = shown(&simulated, &[&chat, id]);
    assert!(masked.contains("the message\n"), "{masked}");
    assert_masked(&simulated, &masked);
}

#[test]
fn the_newest_chats_of_a_line_are_found_by_its_name() {
    let simulated = simulated();
    let line = simulated.world().lines()[0].clone();
    let table = shown(&simulated, &["--line", &line]);
    assert!(table.matches("chat    ").count() >= 1 && table.contains("device  "), "{table}");
    let list: serde_json::Value =
        serde_json::from_str(&shown(&simulated, &["--line", &line, "--json"])).unwrap();
    let reports = list.as_array().unwrap();
    assert!((1..=3).contains(&reports.len()), "{list}");
    for report in reports {
        assert_eq!(report["messages"][0]["line"], line.as_str(), "{report}");
    }
    let output = inspect(&simulated, KEY, &["--line", "nowhere"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("none of the 20 most recent chats of account default uses this line"), "{said}");
}

#[test]
fn what_cannot_be_looked_at_gets_one_clear_line() {
    let simulated = simulated();
    let chat = simulated.world().chat_ids()[0].clone();
    let line = simulated.world().lines()[0].clone();
    for (key, arguments, says) in [
        (KEY, &["+19995550000"][..], "no such chat in account default"),
        (
            KEY,
            &[&*line],
            "CHAT is the number of a line of account default; name a contact or a group, or pass",
        ),
        (KEY, &[&*chat, "msg_00000000000000"], "no such chat or message in account default"),
        (KEY, &[".."], "CHAT: cannot be an id"),
        (KEY, &[&*chat, ".."], "MESSAGE: cannot be an id"),
        ("bl_live_REVOKED", &[&*chat], "401"),
    ] {
        let output = inspect(&simulated, key, arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(output.stdout.is_empty(), "{text}");
        assert_eq!(text.lines().count(), 1, "one line: {text}");
        assert!(text.starts_with("blooio-exporter: ") && text.contains(says), "`{says}` in: {text}");
        assert!(!text.contains(key), "{text}");
        assert_masked(&simulated, &text);
    }
}
