//! The crate, seen from outside: through `respond`, through sockets, and against its own answer key.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::setup::{Bounds, LastActive};
use super::*;

pub(super) const KEY: &str = "bl_live_SIMULATED";

pub(super) fn get(world: &mut World, target: &str) -> Reply {
    let now = world.now_ms();
    world.respond(now, &Request::get(target, KEY))
}

pub(super) fn body(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    serde_json::from_slice(&reply.body).unwrap()
}

pub(super) fn encoded(id: &str) -> String {
    id.replace('+', "%2B").replace('@', "%40").replace(',', "%2C")
}

/// Runs the world for so many minutes, in steps of seconds.
pub(super) fn run(world: &mut World, minutes: i64) {
    for _ in 0..minutes * 12 {
        let next = world.now_ms() + 5_000;
        world.step(next);
    }
}

pub(super) fn settle(world: &mut World) {
    world.quiet();
    for _ in 0..100_000 {
        if world.settled() {
            return;
        }
        let next = world.now_ms() + 60_000;
        world.step(next);
    }
    panic!("never settled");
}

#[test]
fn the_same_seed_gives_the_same_bytes_however_the_steps_are_cut() {
    for scenario in all() {
        let (mut a, mut b) = (scenario.world(7, 1_700_000_000_000), scenario.world(7, 1_700_000_000_000));
        run(&mut a, 5);
        b.step(a.now_ms());
        for target in ["/chats", "/me/numbers", "/chats?limit=3&offset=2"] {
            assert_eq!(get(&mut a, target), get(&mut b, target), "{} {target}", scenario.name);
        }
        assert!(a.truth().entries().eq(b.truth().entries()), "{}", scenario.name);
        let other = scenario.world(8, 1_700_000_000_000);
        assert!(!a.truth().entries().eq(other.truth().entries()), "{}", scenario.name);
    }
}

#[test]
fn reading_does_not_change_what_happens() {
    let (mut a, mut b) = (World::new(Setup::small(3)), World::new(Setup::small(3)));
    for _ in 0..50 {
        let next = a.now_ms() + 1_000;
        a.step(next);
        get(&mut a, "/chats?q=canary");
    }
    b.step(a.now_ms());
    assert!(a.truth().entries().eq(b.truth().entries()));
}

#[test]
fn documented_fields_are_there() {
    let mut world = World::new(Setup::default());
    run(&mut world, 10);
    let page = body(&get(&mut world, "/chats"));
    assert_eq!(page["pagination"]["limit"], 50);
    let mut kinds = BTreeSet::new();
    for chat in page["chats"].as_array().unwrap() {
        kinds.insert(chat["type"].as_str().unwrap().to_owned());
        for key in [
            "id",
            "type",
            "is_group",
            "group_id",
            "group_name",
            "contact",
            "message_count",
            "inbound_count",
            "outbound_count",
            "background_url",
            "background_id",
            "last_message_time",
            "last_inbound_time",
            "last_outbound_time",
            "last_message",
        ] {
            assert!(chat.get(key).is_some(), "{key}");
        }
        let id = encoded(chat["id"].as_str().unwrap());
        let one = body(&get(&mut world, &format!("/chats/{id}")));
        assert!(one["first_message_time"].as_i64() <= one["last_message_time"].as_i64());
        let list = body(&get(&mut world, &format!("/chats/{id}/messages?limit=2")));
        let row = &list["messages"][0];
        assert_eq!(row["message_id"], chat["last_message"]["message_id"]);
        for key in [
            "message_id",
            "direction",
            "external_id",
            "internal_id",
            "text",
            "attachments",
            "sender",
            "reactions",
            "time_sent",
            "time_delivered",
            "status",
            "protocol",
            "error",
        ] {
            assert!(row.get(key).is_some(), "{key}");
        }
        let mid = row["message_id"].as_str().unwrap();
        let single = body(&get(&mut world, &format!("/chats/{id}/messages/{mid}")));
        assert!(single.get("external_id").is_none() && single["chat_id"] == chat["id"]);
        assert_eq!(single["status"], row["status"]);
        let background = body(&get(&mut world, &format!("/chats/{id}/background")));
        assert_eq!(background["chat_id"], chat["id"]);
    }
    assert_eq!(kinds.len(), 3);
    let numbers = body(&get(&mut world, "/me/numbers"));
    assert_eq!(numbers["numbers"][0]["phone_number"], "+13105550101");
    assert!(numbers["numbers"][0]["last_active"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn errors_are_told_as_documented() {
    let mut world = World::new(Setup::default());
    let now = world.now_ms();
    let anonymous = Request { authorization: None, ..Request::get("/chats", KEY) };
    let reply = world.respond(now, &anonymous);
    assert_eq!(reply.status, 401);
    let error: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(error["message"], "Missing API key or ID token");
    assert_eq!(world.respond(now, &Request::get("/chats", "wrong")).status, 401);
    for (target, status) in [
        ("/chats?limit=0", 200),
        ("/chats?limit=x", 400),
        ("/chats/nonsense", 400),
        ("/chats/%2B19995550000", 404),
        ("/chats/grp_nobody", 404),
        ("/chats/%2B14155550000%2C%2B14155550001", 404),
        ("/nowhere", 404),
    ] {
        assert_eq!(get(&mut world, target).status, status, "{target}");
    }
    let chat = encoded(&world.chat_ids()[0]);
    for (rest, status) in [
        ("messages?limit=201", 400),
        ("messages?sort=up", 400),
        ("messages?since=x", 400),
        ("messages/msg_nothing", 404),
        ("messages/17", 400),
    ] {
        assert_eq!(get(&mut world, &format!("/chats/{chat}/{rest}")).status, status, "{rest}");
    }
    let raw = world.chat_ids().into_iter().find(|id| id.starts_with('+')).unwrap();
    assert_eq!(get(&mut world, &format!("/chats/{raw}")).status, 200);
    let mut strict =
        World::new(Setup { knobs: Knobs { raw_plus: false, ..Knobs::default() }, ..Setup::default() });
    assert_eq!(get(&mut strict, &format!("/chats/{raw}")).status, 400);
}

#[test]
fn a_group_is_found_by_the_people_in_it() {
    let mut world = World::new(Setup::default());
    let group = world.chats.iter().find(|c| !c.members.is_empty()).unwrap().clone();
    let mut people = group.members.clone();
    people.reverse();
    let found = body(&get(&mut world, &format!("/chats/{}", encoded(&people.join(",")))));
    assert_eq!(found["id"], group.id.as_str());
    assert_eq!(found["member_count"], group.members.len());
}

#[test]
fn since_and_until_have_both_readings() {
    for (bounds, at_the_bound) in [(Bounds::Exclusive, 0), (Bounds::Inclusive, 1)] {
        let mut world = World::new(Setup { knobs: Knobs { bounds, ..Knobs::default() }, ..Setup::small(4) });
        let chat = encoded(&world.chat_ids()[0]);
        let all = body(&get(&mut world, &format!("/chats/{chat}/messages?sort=asc")));
        let time = all["messages"][2]["time_sent"].as_i64().unwrap();
        let total = |world: &mut World, query: &str| {
            body(&get(world, &format!("/chats/{chat}/messages?{query}")))["pagination"]["total"]
                .as_i64()
                .unwrap()
        };
        assert_eq!(total(&mut world, &format!("until={time}")), 2 + at_the_bound);
        let everything = total(&mut world, "");
        assert_eq!(total(&mut world, &format!("since={time}")), everything - 3 + at_the_bound);
        let around = format!("since={}&until={}", time - 1, time + 1);
        assert!(total(&mut world, &around) >= 1);
        let split = total(&mut world, "direction=inbound") + total(&mut world, "direction=outbound");
        assert_eq!(split, everything);
    }
}

#[test]
fn a_list_shifts_between_two_pages() {
    let knobs = Knobs { shift: 1.0, ..Knobs::default() };
    let setup = Setup { knobs, inbound_per_minute: 0.0, outbound_per_minute: 0.0, ..Setup::small(11) };
    let shares = Shares { late: 0.0, new_chat: 0.0, ..Shares::default() };
    let mut world = World::new(Setup { shares, ..setup });
    let before = world.truth().messages();
    let first = body(&get(&mut world, "/chats?limit=5"));
    let mut repeated = 0;
    for _ in 0..10 {
        let first: Vec<Value> = body(&get(&mut world, "/chats?limit=5"))["chats"].as_array().unwrap().clone();
        let second = body(&get(&mut world, "/chats?limit=5&offset=5"));
        repeated += second["chats"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| first.iter().any(|f| f["id"] == c["id"]))
            .count();
    }
    assert!(repeated > 0);
    assert_eq!(world.truth().messages(), before + 10);
    let later = body(&get(&mut world, "/chats?limit=5"));
    assert_ne!(first, later);
}

#[test]
fn ties_come_in_any_order_and_bursts_exceed_a_page() {
    let mut world = scenario("bursts").unwrap().world(2, 1_700_000_000_000);
    run(&mut world, 10);
    settle(&mut world);
    let mut times: BTreeMap<(String, i64), usize> = BTreeMap::new();
    for e in world.truth().entries().filter(|e| e.visible) {
        *times.entry((e.chat, e.time_sent_ms)).or_default() += 1;
    }
    let (key, count) = times.into_iter().max_by_key(|(_, n)| *n).unwrap();
    assert!(count > 20, "{count}");
    let target = format!("/chats/{}/messages?since={}&until={}", encoded(&key.0), key.1 - 1, key.1 + 1);
    let one = body(&get(&mut world, &target));
    let two = body(&get(&mut world, &target));
    assert_eq!(one["pagination"]["total"], count);
    assert_eq!(one["messages"].as_array().unwrap().len(), 20);
    assert_ne!(one["messages"], two["messages"]);
}

#[test]
fn late_messages_appear_later_and_before_others() {
    let mut world = scenario("late").unwrap().world(2, 1_700_000_000_000);
    run(&mut world, 10);
    assert!(world.truth().entries().any(|e| !e.visible && e.visible_from_ms > world.now_ms()));
    settle(&mut world);
    assert!(world.truth().entries().all(|e| e.visible));
}

#[test]
fn bodies_are_compressed_when_asked_for() {
    let mut world = World::new(Setup::default());
    let plain = get(&mut world, "/chats?limit=5");
    let now = world.now_ms();
    let request =
        Request { accept_encoding: Some("br, gzip;q=1.0".to_owned()), ..Request::get("/chats?limit=5", KEY) };
    let reply = world.respond(now, &request);
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
}

#[test]
fn private_values_are_found_in_the_api_and_lines_are_not_among_them() {
    let mut world = World::new(Setup::small(9));
    let private = world.private_values();
    let page = String::from_utf8(get(&mut world, "/chats").body.to_vec()).unwrap();
    assert!(private.iter().filter(|v| page.contains(v.as_str())).count() > 10);
    assert!(world.lines().iter().all(|l| !private.contains(l)));
}

#[test]
fn last_active_has_all_its_forms() {
    for (form, text) in [
        (LastActive::Iso, "\"2023-11-14T22:13:20.000Z\""),
        (LastActive::Millis, "1700000000000"),
        (LastActive::Seconds, "1700000000"),
        (LastActive::Null, "null"),
    ] {
        let knobs = Knobs { last_active: form, ..Knobs::default() };
        let mut world = World::new(Setup { knobs, start_ms: 1_700_000_000_000, ..Setup::default() });
        assert_eq!(body(&get(&mut world, "/me/numbers"))["numbers"][0]["last_active"].to_string(), text);
    }
}

#[test]
fn merged_and_deleted_chats_answer_404_and_their_messages_move() {
    let mut world = scenario("merges-and-deletes").unwrap().world(3, 1_700_000_000_000);
    run(&mut world, 60);
    let (listed, deleted, merged) = world.truth().chats();
    assert!(listed > 20 && deleted > 5 && merged > 10);
    let alive: BTreeSet<String> = world.chat_ids().into_iter().collect();
    let gone: Vec<String> =
        world.chats.iter().map(|c| c.id.clone()).filter(|id| !alive.contains(id)).collect();
    for id in gone {
        assert_eq!(get(&mut world, &format!("/chats/{}", encoded(&id))).status, 404);
    }
}

#[test]
fn lists_are_sorted_and_counts_add_up_after_upheavals() {
    for name in ["merges-and-deletes", "late", "inclusive"] {
        let mut world = scenario(name).unwrap().world(4, 1_700_000_000_000);
        run(&mut world, 60);
        let times: Vec<i64> = world.order.iter().map(|r| r.0).collect();
        assert!(times.is_sorted());
        for (c, chat) in world.chats.iter().enumerate() {
            let of = |n: &u32| &world.messages[*n as usize];
            assert!(chat.visible.is_sorted_by_key(|n| (of(n).time_sent, *n)), "{name}");
            assert!(chat.visible.iter().all(|n| of(n).chat as usize == c && of(n).visible));
            assert_eq!(chat.visible.iter().filter(|n| of(n).inbound).count(), chat.inbound as usize);
            let newest = |inbound| {
                chat.visible.iter().map(of).filter(|m| m.inbound == inbound).map(|m| m.time_sent).max()
            };
            assert_eq!((newest(true), newest(false)), (chat.last_inbound, chat.last_outbound));
        }
        let visible: usize = world.chats.iter().map(|c| c.visible.len()).sum();
        assert_eq!(visible, world.messages.iter().filter(|m| m.visible).count());
    }
}

#[test]
fn pages_can_be_short_doubled_stale_and_wrong_about_the_total() {
    let mut world = scenario("shifting").unwrap().world(4, 1_700_000_000_000);
    let (mut short, mut doubled, mut totals, mut stale, mut missing) = (0, 0, BTreeSet::new(), 0, 0);
    for _ in 0..200 {
        let next = world.now_ms() + 300;
        world.step(next);
        let page = body(&get(&mut world, "/chats?limit=10"));
        let rows = page["chats"].as_array().unwrap();
        let ids: BTreeSet<&str> = rows.iter().filter_map(|c| c["id"].as_str()).collect();
        short += usize::from(rows.len() < 10);
        doubled += usize::from(ids.len() < rows.len());
        totals.insert(page["pagination"]["total"].as_i64().unwrap() - world.order.len() as i64);
        // Rows on top may be dated into the future; what matters here is what has just been sent.
        let just_now = world.now_ms() - 1_000..=world.now_ms();
        let newest = rows.iter().find(|c| just_now.contains(&c["last_message_time"].as_i64().unwrap()));
        if let Some(newest) = newest {
            let target = format!("/chats/{}/messages?limit=1", encoded(newest["id"].as_str().unwrap()));
            let list = body(&get(&mut world, &target));
            stale += usize::from(list["messages"][0]["message_id"] != newest["last_message"]["message_id"]);
            let id = newest["last_message"]["message_id"].as_str().unwrap();
            let target = format!("/chats/{}/messages/{id}", encoded(newest["id"].as_str().unwrap()));
            missing += usize::from(get(&mut world, &target).status == 404);
        }
    }
    assert!(short > 5 && doubled > 5 && stale > 5 && missing > 5, "{short} {doubled} {stale} {missing}");
    assert_eq!(totals, BTreeSet::from([-2, -1, 0, 1, 2]));
}

#[test]
fn worlds_are_cheap() {
    let start = Instant::now();
    for seed in 0..200 {
        std::hint::black_box(World::new(Setup::small(seed)));
    }
    let small = start.elapsed() / 200;
    let setup = Setup { chats: 10_000, history_messages: 500_000, ..Setup::default() };
    let start = Instant::now();
    let mut world = World::new(setup);
    let built = start.elapsed();
    let start = Instant::now();
    get(&mut world, "/chats?limit=200&offset=9000");
    let chat = encoded(&world.chat_ids()[0]);
    get(&mut world, &format!("/chats/{chat}/messages?limit=200&sort=asc&since=5"));
    let pages = start.elapsed();
    // Generous: these are unoptimised builds on shared machines.
    assert!(small < Duration::from_millis(50), "small world {small:?}");
    assert!(built < Duration::from_secs(60), "large world {built:?}");
    assert!(pages < Duration::from_secs(2), "pages {pages:?}");
    std::io::stderr()
        .write_all(format!("small {small:?}, large {built:?}, two pages {pages:?}\n").as_bytes())
        .unwrap();
}
