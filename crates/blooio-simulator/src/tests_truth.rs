//! The answer key against what a reader finds, who has nothing but the JSON.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::tests::{body, encoded, get, run, settle};
use super::*;

#[test]
fn the_truth_is_what_a_full_read_shows_once_everything_has_settled() {
    let misread = ["shifting", "rate-limited", "flaky", "regressions", "busy"];
    for scenario in all().into_iter().filter(|s| !misread.contains(&s.name)) {
        for seed in 0..3 {
            let start = 1_700_000_000_000;
            let mut setup = Setup { seed, start_ms: start, ..scenario.setup.clone() };
            // The naive reader pages by offset, which is wrong while ties change places.
            setup.knobs.unstable_ties = false;
            let mut world = scenario.world_from(setup);
            run(&mut world, 30);
            settle(&mut world);
            for after in [start, 0] {
                let truth = world.truth().summary(after);
                let read = naive(&mut world, after);
                assert_eq!(rounded(read), rounded(truth), "{} seed {seed} after {after}", scenario.name);
            }
        }
    }
}

#[test]
fn every_reason_and_every_end_occurs() {
    let mut world = scenario("failures").unwrap().world(5, 1_700_000_000_000);
    run(&mut world, 240);
    settle(&mut world);
    let sum = world.truth().summary(0);
    let reasons: BTreeSet<&str> = sum.failed.keys().map(|k| k.2.as_str()).collect();
    assert_eq!(reasons.len(), 9, "{reasons:?}");
    assert!(!sum.cancelled.is_empty() && !sum.delivered.is_empty() && !sum.fallback.is_empty());
    assert!(sum.open.keys().all(|(_, status)| status == "sent"), "{:?}", sum.open);
    let ends = sum.failed.values().sum::<u64>() + sum.cancelled.values().sum::<u64>();
    let others = sum.delivered.values().sum::<u64>() + sum.open.values().sum::<u64>();
    assert_eq!(ends + others, sum.outbound.values().sum::<u64>());
}

#[test]
fn a_regression_does_not_change_the_first_end() {
    let mut world = scenario("regressions").unwrap().world(5, 1_700_000_000_000);
    run(&mut world, 30);
    settle(&mut world);
    let turned =
        world.truth().entries().filter(|e| e.terminal.as_ref().is_some_and(|t| t.status != e.status));
    assert!(turned.count() > 5);
}

#[test]
fn every_scenario_comes_to_rest() {
    for scenario in all() {
        let mut world = scenario.world(6, 1_700_000_000_000);
        run(&mut world, 2);
        assert_eq!(world.settled(), scenario.name == "quiet" && world.moving == 0, "{}", scenario.name);
        settle(&mut world);
        let before: Vec<Entry> = world.truth().entries().collect();
        let later = world.now_ms() + 86_400_000;
        world.step(later);
        assert!(world.truth().entries().eq(before), "{}", scenario.name);
    }
}

/// Reads everything once, without thinking, and adds it up from the JSON alone.
fn naive(world: &mut World, after_ms: i64) -> Summary {
    let mut chats = BTreeSet::new();
    let mut offset = 0;
    loop {
        let page = body(&get(world, &format!("/chats?limit=200&offset={offset}")));
        let rows = page["chats"].as_array().unwrap();
        if rows.is_empty() {
            break;
        }
        offset += rows.len();
        chats.extend(rows.iter().map(|c| c["id"].as_str().unwrap().to_owned()));
    }
    let mut sum = Summary::default();
    let mut ids = BTreeSet::new();
    for chat in chats {
        let mut offset = 0;
        loop {
            let target = format!("/chats/{}/messages?limit=200&offset={offset}", encoded(&chat));
            let page = body(&get(world, &target));
            assert_eq!(page["chat_id"], chat.as_str());
            let rows = page["messages"].as_array().unwrap();
            if rows.is_empty() {
                break;
            }
            offset += rows.len();
            for row in rows {
                add(&mut sum, row, after_ms, &mut ids);
            }
        }
    }
    sum
}

fn add(sum: &mut Summary, row: &Value, after_ms: i64, ids: &mut BTreeSet<String>) {
    let (Some(id), Some(time)) = (row["message_id"].as_str(), row["time_sent"].as_i64()) else {
        return;
    };
    let Some(direction) = row["direction"].as_str() else { return };
    if time <= after_ms || !ids.insert(id.to_owned()) {
        return;
    }
    let line = row["internal_id"].as_str().unwrap_or("none").to_owned();
    let protocol = match row["protocol"].as_str() {
        None => "none",
        Some("carrier-pigeon") => "other",
        Some(known) => known,
    };
    let key = (line.clone(), protocol.to_owned());
    if direction == "inbound" {
        *sum.inbound.entry(key).or_default() += 1;
        return;
    }
    *sum.outbound.entry(line.clone()).or_default() += 1;
    let status = row["status"].as_str().unwrap_or("none");
    if matches!(status, "sent" | "delivered") {
        *sum.sent.entry(line.clone()).or_default() += 1;
    }
    if matches!(protocol, "sms" | "rcs" | "non-imessage") {
        *sum.fallback.entry(line.clone()).or_default() += 1;
        *sum.fallback_by_protocol.entry(key.clone()).or_default() += 1;
    }
    match status {
        "delivered" => {
            *sum.delivered.entry(key.clone()).or_default() += 1;
            if let Some(delivered) = row["time_delivered"].as_i64() {
                let latency = sum.latency.entry(key).or_default();
                latency.0 += 1;
                latency.1 += (delivered - time).max(0) as f64 / 1_000.0;
                sum.negative_latency += u64::from(delivered < time);
            }
        }
        "failed" => {
            let text = row["error"].as_str().unwrap_or("").to_lowercase();
            let words = [
                ("imessage", "not_on_imessage"),
                ("reach", "unreachable"),
                ("time", "timeout"),
                ("reject", "rejected"),
                ("rate limit", "rate_limited"),
                ("offline", "device_offline"),
                ("attachment", "attachment"),
                ("flux", "other"),
            ];
            let reason = words.iter().find(|(word, _)| text.contains(word)).map_or("none", |w| w.1);
            *sum.failed.entry((line, protocol.to_owned(), reason.to_owned())).or_default() += 1;
        }
        "cancelled" => *sum.cancelled.entry(line).or_default() += 1,
        open => *sum.open.entry((line, open.to_owned())).or_default() += 1,
    }
}

/// Sums of floats depend on their order; the naive reader's order is another.
fn rounded(mut sum: Summary) -> Summary {
    for (_, seconds) in sum.latency.values_mut() {
        *seconds = seconds.round();
    }
    Summary { handed_over: BTreeMap::new(), unusable: 0, ..sum }
}
