//! Every fault, seen in the replies or in what becomes of messages.

use serde_json::Value;

use super::setup::{RateLimit, RetryAfter};
use super::tests::{body, encoded, get, run, settle};
use super::*;

#[test]
fn a_device_that_is_away_keeps_its_messages_queued() {
    let mut world = World::new(Setup { lines: 1, pace: 10.0, ..Setup::default() });
    let line = world.lines()[0].clone();
    run(&mut world, 1);
    world.switch_on("device-down", Tuning::line(&line)).unwrap();
    run(&mut world, 5);
    let chat = encoded(&world.chat_ids()[0]);
    assert_eq!(get(&mut world, &format!("/chats/{chat}/background")).status, 502);
    let numbers = body(&get(&mut world, "/me/numbers"));
    assert_eq!(numbers["numbers"][0]["is_active"], false);
    let queued = |w: &World| {
        w.truth().summary(0).open.iter().filter(|(k, _)| k.1 == "queued").map(|(_, n)| n).sum::<u64>()
    };
    assert!(queued(&world) > 20);
    let frozen = numbers["numbers"][0]["last_active"].clone();
    run(&mut world, 1);
    assert_eq!(body(&get(&mut world, "/me/numbers"))["numbers"][0]["last_active"], frozen);
    assert!(world.switch_off("device-down"));
    run(&mut world, 2);
    assert_eq!(get(&mut world, &format!("/chats/{chat}/background")).status, 200);
    assert!(queued(&world) < 10);
    settle(&mut world);
}

#[test]
fn devices_go_away_by_themselves_in_the_outage_scenario() {
    let mut world = scenario("device-outage").unwrap().world(2, 1_700_000_000_000);
    let mut away = 0;
    for _ in 0..40 {
        run(&mut world, 1);
        let numbers = body(&get(&mut world, "/me/numbers"));
        away += numbers["numbers"].as_array().unwrap().iter().filter(|n| n["is_active"] == false).count();
    }
    assert!(away > 3);
    settle(&mut world);
}

#[test]
fn faults_of_requests_show() {
    let expected = [
        ("http-500", 500),
        ("http-502", 502),
        ("http-503", 503),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("rate-limit-bare", 429),
        ("rate-limit-code", 429),
        ("html-200", 200),
        ("empty-200", 200),
        ("error-object-200", 200),
        ("truncated-json", 200),
        ("truncated-close", 200),
        ("truncated-no-length", 200),
        ("slow-head", 200),
        ("slow-body", 200),
        ("reset", 0),
        ("hang", 0),
    ];
    let mut world = World::new(Setup::default());
    for (name, status) in expected {
        world.switch_on(name, Tuning::endpoint(Endpoint::ListChats)).unwrap();
        let reply = get(&mut world, "/chats");
        assert_eq!(world.requests().last().unwrap().status, status, "{name}");
        let usable = serde_json::from_slice::<Value>(&reply.body).is_ok_and(|v| v.get("chats").is_some());
        match name {
            "truncated-close" => assert_eq!(reply.wire, Wire::TruncateAt(reply.body.len() / 2)),
            "truncated-no-length" => assert!(matches!(reply.wire, Wire::CloseDelimitedTruncated(_))),
            "slow-head" => assert_eq!(reply.wire, Wire::DelayHead(5_000)),
            "slow-body" => assert_eq!(reply.wire, Wire::DelayBody(5_000)),
            "reset" => assert_eq!(reply.wire, Wire::Reset),
            "hang" => assert_eq!(reply.wire, Wire::Hang),
            _ => assert!(!usable && reply.wire == Wire::Normal, "{name}"),
        }
        assert_eq!(get(&mut world, "/me/numbers").status, 200, "{name} was meant for one endpoint");
        assert!(world.switch_off(name));
        body(&get(&mut world, "/chats"));
    }
    assert!(world.switch_on("no-such-fault", Tuning::default()).is_err());
    world.switch_on("http-500", Tuning::share(0.3)).unwrap();
    let hits = (0..1_000).filter(|_| get(&mut world, "/chats?limit=1").status == 500).count();
    assert!((200..400).contains(&hits), "{hits}");
}

#[test]
fn faults_of_the_world_show() {
    let mut world = World::new(Setup { pace: 20.0, ..Setup::default() });
    let line = world.lines()[1].clone();
    let chat = world.chats.iter().find(|c| c.line == 1).unwrap().id.clone();
    let background = format!("/chats/{}/background", encoded(&chat));
    world.switch_on("no-active-device", Tuning::line(&line)).unwrap();
    assert_eq!(get(&mut world, &background).status, 503);
    world.switch_on("no-numbers", Tuning::default()).unwrap();
    assert_eq!(get(&mut world, "/me/numbers").status, 404);
    world.switch_off("no-numbers");
    world.switch_on("vanished-line", Tuning::line(&line)).unwrap();
    assert_eq!(body(&get(&mut world, "/me/numbers"))["numbers"].as_array().unwrap().len(), 2);

    let ends = |w: &World, from: i64, status: &str| {
        let new: Vec<Entry> =
            w.truth().entries().filter(|e| e.direction == "outbound" && e.time_sent_ms > from).collect();
        let hits = new.iter().filter(|e| e.terminal.as_ref().is_some_and(|t| t.status == status)).count();
        (hits, new.len())
    };
    for (name, status, all_of_them) in [("all-fail", "failed", true), ("no-receipts", "delivered", false)] {
        let from = world.now_ms() + 60_000;
        run(&mut world, 1);
        world.switch_on(name, Tuning::default()).unwrap();
        run(&mut world, 5);
        let next = world.now_ms() + 1;
        world.switch_on("silent", Tuning::default()).unwrap();
        run(&mut world, 10);
        let (hits, new) = ends(&world, from, status);
        assert!(new > 50 && if all_of_them { hits == new } else { hits < 5 }, "{name}: {hits} of {new}");
        assert_eq!(world.truth().entries().filter(|e| e.time_sent_ms > next).count(), 0, "silent");
        world.switch_off(name);
        world.switch_off("silent");
    }
    let from = world.now_ms();
    world.switch_on("all-fallback", Tuning::default()).unwrap();
    world.switch_on("stuck", Tuning::line(&line)).unwrap();
    run(&mut world, 5);
    let new: Vec<Entry> =
        world.truth().entries().filter(|e| e.time_sent_ms > from && e.direction == "outbound").collect();
    let fell = new.iter().filter(|e| e.fell_back.is_some()).count();
    assert!(fell * 2 > new.len(), "{fell} of {}", new.len());
    let stuck = new.iter().filter(|e| e.line == line && e.handed_over_at_ms.is_some()).count();
    assert_eq!(stuck, 0);
    world.switch_on("slow", Tuning::value(10_000.0)).unwrap();
    let from = world.now_ms();
    run(&mut world, 1);
    assert_eq!(
        world.truth().entries().filter(|e| e.time_sent_ms > from && e.handed_over_at_ms.is_some()).count(),
        0
    );
}

#[test]
fn requests_inside_a_pause_are_counted() {
    for (name, header) in [("rate-limit-seconds", "10"), ("rate-limit-date", "Tue, 14 Nov 2023 22:13:31 GMT")]
    {
        let mut world = World::new(Setup { start_ms: 1_700_000_000_000, ..Setup::default() });
        world.switch_on(name, Tuning::default()).unwrap();
        let reply = get(&mut world, "/chats");
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some(header)));
        assert_eq!(reply.header("date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
        world.switch_off(name);
        assert_eq!(world.violations(), 0);
        world.step(1_700_000_009_999);
        body(&get(&mut world, "/chats"));
        assert_eq!(world.violations(), 1);
        world.step(1_700_000_011_000);
        body(&get(&mut world, "/chats"));
        assert_eq!(world.violations(), 1);
    }
    let limit = RateLimit { per_second: 1.0, burst: 3.0, pause_seconds: 2, retry_after: RetryAfter::Seconds };
    let knobs = Knobs { rate_limit: Some(limit), ..Knobs::default() };
    let mut world = World::new(Setup { knobs, ..Setup::default() });
    let statuses: Vec<u16> = (0..5).map(|_| get(&mut world, "/me/numbers").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(world.violations(), 1);
    let later = world.now_ms() + 2_000;
    world.step(later);
    assert_eq!(get(&mut world, "/me/numbers").status, 200);
}

#[test]
fn a_line_falls_silent_alone_in_both_directions_or_in_one() {
    for (name, directions) in [
        ("silent", &["inbound", "outbound"][..]),
        ("inbound-silent", &["inbound"]),
        ("outbound-silent", &["outbound"]),
    ] {
        let mut world = scenario("steady").unwrap().world(7, 1_700_000_000_000);
        let line = world.lines()[0].clone();
        run(&mut world, 2);
        world.switch_on(name, Tuning::line(&line)).unwrap();
        let from = world.now_ms();
        run(&mut world, 20);
        let new: Vec<Entry> = world.truth().entries().filter(|e| e.time_sent_ms > from).collect();
        for direction in ["inbound", "outbound"] {
            let of = |own: bool| {
                let is_its = |e: &&Entry| e.direction == direction && (e.line == line) == own;
                new.iter().filter(is_its).count()
            };
            assert_eq!(of(true) == 0, directions.contains(&direction), "{name}: {direction} of the line");
            assert!(of(false) > 20, "{name}: {direction} of the others: {}", of(false));
        }
    }
}
