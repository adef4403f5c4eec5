//! Answers that are valid and wrong, and the knobs behind them.

use serde_json::Value;
use std::collections::BTreeSet;

use super::setup::Order;
use super::tests::{KEY, body, encoded, get, run, settle};
use super::*;

/// A world in which nothing happens by itself.
fn quiet(setup: Setup) -> World {
    World::new(Setup { inbound_per_minute: 0.0, outbound_per_minute: 0.0, ..setup })
}

fn rows(page: &Value, list: &str) -> Vec<Value> {
    page[list].as_array().unwrap().clone()
}

fn percent(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[test]
fn a_tuning_that_a_fault_does_not_heed_is_an_error_that_names_it() {
    let mut world = World::new(Setup::small(1));
    let line = world.lines()[0].clone();
    for (name, tuning, word) in [
        ("http-500", Tuning::value(3.0), "value"),
        ("silent", Tuning::share(0.5), "share"),
        ("date-skew", Tuning::line(&line), "line"),
        ("empty-list", Tuning::endpoint(Endpoint::ListChats), "endpoint"),
        ("totals-off", Tuning::chats(Chats::Nth(1)), "chats"),
        ("rate-limit-seconds", Tuning::value(-1.0), "value"),
        ("http-500", Tuning::share(1.5), "share"),
        ("http-500", Tuning::line("+4900000"), "line"),
    ] {
        let error = world.switch_on(name, tuning).unwrap_err();
        assert!(error.contains(word), "{name}: {error}");
        assert!(world.faults_on().is_empty());
    }
    world.switch_on("date-skew", Tuning::value(-60.0)).unwrap();
}

#[test]
fn a_share_of_the_chats_contains_every_smaller_share() {
    let chosen =
        |share: f64| (0..2_000).filter(|c| Chats::Share(share).contains(*c)).collect::<BTreeSet<_>>();
    assert!((120..280).contains(&chosen(0.1).len()), "{}", chosen(0.1).len());
    assert!(chosen(0.1).is_subset(&chosen(0.3)) && chosen(0.0).is_empty() && chosen(1.0).len() == 2_000);
    assert_eq!(Chats::parse("3"), Some(Chats::Nth(3)));
    assert_eq!(Chats::parse("0.25"), Some(Chats::Share(0.25)));
    assert_eq!((Chats::parse("1.5"), Chats::parse("all")), (None, None));
}

#[test]
fn a_fault_can_be_limited_to_one_chat() {
    let mut world = quiet(Setup::small(2));
    let (first, second) = (encoded(&world.chats[0].id), encoded(&world.chats[1].id));
    for (name, status) in [("http-500", 500), ("forbidden", 403), ("not-found", 404)] {
        world.switch_on(name, Tuning::chats(Chats::Nth(0))).unwrap();
        assert_eq!(get(&mut world, &format!("/chats/{first}/messages")).status, status);
        assert_eq!(get(&mut world, &format!("/chats/{second}/messages")).status, 200);
        assert_eq!(get(&mut world, "/chats").status, 200, "{name}: the list is about no chat");
        assert!(world.is_hit(name, 0) && !world.is_hit(name, 1));
        assert!(world.switch_off(name));
    }
    world.switch_on("not-found", Tuning::default()).unwrap();
    assert_eq!(get(&mut world, "/chats").status, 200);
    assert_eq!(get(&mut world, "/me/numbers").status, 200);
    assert_eq!(get(&mut world, &format!("/chats/{second}")).status, 404);
}

#[test]
fn a_list_can_lack_all_chats_or_some() {
    let mut world = quiet(Setup { page_cap: 200, ..Setup::small(3) });
    let whole = rows(&body(&get(&mut world, "/chats")), "chats").len();
    world.switch_on("empty-list", Tuning::default()).unwrap();
    let empty = body(&get(&mut world, "/chats"));
    assert_eq!((rows(&empty, "chats").len(), &empty["pagination"]["total"]), (0, &Value::from(0)));
    world.switch_off("empty-list");
    world.switch_on("hidden-chats", Tuning::chats(Chats::Share(0.4))).unwrap();
    let less = body(&get(&mut world, "/chats"));
    let shown = rows(&less, "chats").len();
    assert!(shown > 0 && shown < whole);
    assert_eq!(less["pagination"]["total"], shown);
    let hidden = (0..20).find(|c| Chats::Share(0.4).contains(*c)).unwrap();
    let hidden = encoded(&world.chats[hidden as usize].id);
    assert_eq!(get(&mut world, &format!("/chats/{hidden}/messages")).status, 200);
    world.switch_off("hidden-chats");
    world.switch_on("empty-messages", Tuning::default()).unwrap();
    let page = body(&get(&mut world, &format!("/chats/{hidden}/messages")));
    assert_eq!((rows(&page, "messages").len(), &page["pagination"]["total"]), (0, &Value::from(0)));
}

/// The first row of the list.
fn first_row(world: &mut World) -> Value {
    rows(&body(&get(world, "/chats")), "chats")[0].clone()
}

/// The path of the messages of a row's chat.
fn messages_of(row: &Value) -> String {
    format!("/chats/{}/messages", encoded(row["id"].as_str().unwrap()))
}

#[test]
fn the_list_or_the_messages_can_be_those_of_a_while_ago() {
    let mut world = quiet(Setup { page_cap: 200, ..Setup::small(6) });
    let newest = first_row(&mut world);
    let messages = messages_of(&newest);
    let shown = |world: &mut World| rows(&body(&get(world, &messages)), "messages");
    let all = shown(&mut world);
    let second = world.now - newest["last_message_time"].as_i64().unwrap() + 1_000;
    let old = all.iter().filter(|row| row["time_sent"].as_i64().unwrap() <= world.now - second).count();
    assert!(old > 0 && old < all.len());
    let ago = Tuning::value(second as f64 / 1_000.0);
    world.switch_on("old-messages", ago.clone()).unwrap();
    assert_eq!((shown(&mut world).len(), first_row(&mut world)), (old, newest.clone()));
    world.switch_off("old-messages");
    world.switch_on("old-list", ago).unwrap();
    assert_eq!(shown(&mut world), all);
    let listed = rows(&body(&get(&mut world, "/chats")), "chats");
    let row = listed.iter().find(|row| row["id"] == newest["id"]).unwrap();
    assert_eq!(row["message_count"], old);
    world.switch_off("old-list");
    assert_eq!(first_row(&mut world), newest);
}

#[test]
fn rows_of_the_list_can_contradict_themselves() {
    let mut world = quiet(Setup { page_cap: 200, ..Setup::small(7) });
    let whole = first_row(&mut world);
    let before = rows(&body(&get(&mut world, &messages_of(&whole))), "messages")[1]["message_id"].clone();
    world.switch_on("old-last-message", Tuning::default()).unwrap();
    let bent = first_row(&mut world);
    assert_eq!(bent["last_message"]["message_id"], before);
    assert_eq!(bent["last_message_time"], whole["last_message_time"]);
    world.switch_off("old-last-message");
    world.switch_on("counts-off", Tuning::value(1.0)).unwrap();
    let counts: BTreeSet<i64> =
        (0..60).map(|_| first_row(&mut world)["message_count"].as_i64().unwrap()).collect();
    let count = whole["message_count"].as_i64().unwrap();
    assert_eq!(counts, BTreeSet::from([count - 1, count, count + 1]));
}

#[test]
fn rows_of_the_list_can_lack_what_a_reader_needs() {
    let mut world = quiet(Setup::small(4));
    let whole = first_row(&mut world);
    type Shows = fn(&Value) -> bool;
    let changes: [(&str, Shows); 6] = [
        ("renamed-id", |row| row.get("id").is_none() && row["chat_id"].is_string()),
        ("null-id", |row| row["id"].is_null()),
        ("last-message-text", |row| row["last_message"].is_string()),
        ("no-last-message", |row| row.get("last_message").is_none()),
        ("no-times", |row| row.get("last_message_time").is_none() && row.get("last_inbound_time").is_none()),
        ("no-counts", |row| row.get("message_count").is_none() && row.get("outbound_count").is_none()),
    ];
    for (name, shows) in changes {
        assert!(!shows(&whole), "{name}");
        world.switch_on(name, Tuning::default()).unwrap();
        assert!(shows(&first_row(&mut world)), "{name}");
        world.switch_off(name);
    }
    world.switch_on("null-lines", Tuning::default()).unwrap();
    let page = body(&get(&mut world, &messages_of(&whole)));
    assert!(rows(&page, "messages").iter().all(|row| row["internal_id"].is_null()));
}

#[test]
fn totals_can_be_off_wild_or_capped() {
    let mut world = quiet(Setup::small(5));
    let total = |world: &mut World| body(&get(world, "/chats"))["pagination"]["total"].as_i64().unwrap();
    let truth = total(&mut world);
    let mut seen = |name: &str, value: Option<f64>| {
        world.switch_on(name, Tuning { value, ..Tuning::default() }).unwrap();
        let totals: BTreeSet<i64> = (0..60).map(|_| total(&mut world)).collect();
        world.switch_off(name);
        totals
    };
    assert_eq!(seen("totals-off", Some(1.0)), BTreeSet::from([truth - 1, truth, truth + 1]));
    assert_eq!(seen("totals-capped", Some(7.0)), BTreeSet::from([7]));
    assert!(seen("totals-wild", None).iter().any(|total| *total > truth * 10));
}

#[test]
fn pages_can_be_rejected_by_limit_and_by_offset_and_one_can_fail() {
    let mut world = quiet(Setup { page_cap: 5, ..Setup::small(6) });
    world.switch_on("page-limit", Tuning::value(100.0)).unwrap();
    assert_eq!(get(&mut world, "/chats?limit=200").status, 400);
    assert_eq!(get(&mut world, "/chats?limit=100").status, 200);
    world.switch_off("page-limit");
    world.switch_on("deep-offset", Tuning::value(4.0)).unwrap();
    assert_eq!(get(&mut world, "/chats?limit=5&offset=4").status, 200);
    assert_eq!(get(&mut world, "/chats?limit=5&offset=5").status, 400);
    world.switch_off("deep-offset");
    world.switch_on("list-page", Tuning::value(7.0)).unwrap();
    for (offset, status) in [(0, 200), (2, 200), (3, 500), (7, 500), (8, 200)] {
        assert_eq!(get(&mut world, &format!("/chats?limit=5&offset={offset}")).status, status, "{offset}");
    }
}

#[test]
fn dates_can_be_ahead_jump_and_be_missing() {
    let mut world = quiet(Setup::small(7));
    let date = |world: &mut World| {
        let reply = get(world, "/chats?limit=1");
        let date = reply.header("date").map(|date| httpdate::parse_http_date(date).unwrap());
        date.map(|date| date.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64)
    };
    let now = world.now_ms() / 1_000;
    world.switch_on("date-skew", Tuning::value(-7_200.0)).unwrap();
    assert_eq!(date(&mut world), Some(now - 7_200));
    world.switch_off("date-skew");
    world.switch_on("date-jumps", Tuning::value(100.0)).unwrap();
    let dates: BTreeSet<i64> = (0..40).map(|_| date(&mut world).unwrap() - now).collect();
    assert!(dates.len() > 20 && dates.iter().all(|off| off.abs() <= 101), "{dates:?}");
    world.switch_off("date-jumps");
    world.switch_on("date-absent", Tuning::share(0.5)).unwrap();
    let absent = (0..100).filter(|_| date(&mut world).is_none()).count();
    assert!((20..80).contains(&absent), "{absent}");
}

#[test]
fn a_message_between_two_lines_has_one_id_on_both_sides() {
    let shares = Shares { both_sides: 1.0, late: 0.0, ..Shares::default() };
    let mut world = World::new(Setup { shares, history_messages: 0, ..Setup::small(8) });
    run(&mut world, 10);
    settle(&mut world);
    let mut sides = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
    let entries: Vec<Entry> = world.truth().entries().collect();
    for entry in entries {
        sides.entry(entry.id.clone()).or_default().insert(entry.direction.clone());
        let target = format!("/chats/{}/messages/{}", encoded(&entry.chat), entry.id);
        assert_eq!(body(&get(&mut world, &target))["direction"], entry.direction.as_str());
    }
    assert!(sides.values().filter(|sides| sides.len() == 2).count() > 10);
}

#[test]
fn half_an_emoji_and_an_impossible_number_stand_in_the_body() {
    let shares = Shares { lone_surrogate: 1.0, huge_number: 1.0, failed: 1.0, ..Shares::default() };
    let mut world = World::new(Setup { shares, ..Setup::small(9) });
    let chat = encoded(&world.chat_ids()[0]);
    let reply = get(&mut world, &format!("/chats/{chat}/messages"));
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(text.contains("\\ud83d") && text.contains("\"x_weight\":1e400"), "{text}");
    assert!(serde_json::from_str::<Value>(&text).is_err(), "a strict reader rejects the page");
}

#[test]
fn a_read_message_counts_as_delivered_in_the_truth() {
    let shares = Shares { read: 1.0, ..Shares::default() };
    let mut world = World::new(Setup { shares, pace: 20.0, ..Setup::small(10) });
    run(&mut world, 20);
    settle(&mut world);
    let read = world.messages.iter().filter(|m| m.status == super::message::Status::Read).count();
    assert!(read > 20);
    assert!(!world.messages.iter().any(|m| m.status == super::message::Status::Delivered && !m.inbound));
    assert!(world.truth().entries().all(|e| e.status != "read"));
}

#[test]
fn lists_by_arrival_keep_to_the_filter_by_time() {
    let knobs = Knobs { order: Order::Arrival, ..Knobs::default() };
    let shares = Shares { late: 0.5, late_ms: (1_000, 60_000), ..Shares::default() };
    let mut world = World::new(Setup { knobs, shares, chats: 2, page_cap: 200, ..Setup::small(11) });
    run(&mut world, 30);
    let chat = encoded(&world.chat_ids()[0]);
    let since = world.now_ms() - 20 * 60_000;
    let page = body(&get(&mut world, &format!("/chats/{chat}/messages?sort=asc&since={since}&limit=200")));
    let times: Vec<i64> =
        rows(&page, "messages").iter().map(|row| row["time_sent"].as_i64().unwrap()).collect();
    assert!(times.len() > 10 && times.iter().all(|time| *time > since));
    assert!(!times.is_sorted());
}

#[test]
fn lines_are_assigned_at_hand_over() {
    let knobs = Knobs { late_lines: true, ..Knobs::default() };
    let mut world = World::new(Setup { knobs, inbound_per_minute: 0.0, ..Setup::default() });
    world.switch_on("stuck", Tuning::default()).unwrap();
    run(&mut world, 5);
    let chats = world.chat_ids();
    let (mut waiting, mut handed_over) = (0, 0);
    for chat in chats {
        let page = body(&get(&mut world, &format!("/chats/{}/messages?limit=200", encoded(&chat))));
        for row in rows(&page, "messages").iter().filter(|row| row["direction"] == "outbound") {
            match row["status"].as_str() {
                Some("pending" | "queued" | "cancellation_requested") => {
                    assert!(row["internal_id"].is_null());
                    waiting += 1;
                }
                Some("sent") => handed_over += usize::from(row["internal_id"].is_string()),
                _ => {}
            }
        }
    }
    assert!(waiting > 20 && handed_over > 5, "{waiting} {handed_over}");
}

#[test]
fn ids_can_need_encoding_and_come_back_after_a_deletion() {
    let knobs = Knobs { awkward_ids: 1.0, reused_ids: 0.5, ..Knobs::default() };
    let upheavals = Upheavals { chat_deletes_per_hour: 60.0, ..Upheavals::default() };
    let shares = Shares { new_chat: 0.2, ..Shares::default() };
    let mut world = World::new(Setup { knobs, upheavals, shares, email_share: 0.8, ..Setup::default() });
    run(&mut world, 60);
    let awkward = world.chat_ids().into_iter().find(|id| id.contains('/')).unwrap();
    assert!(awkward.contains('%') && awkward.contains(' '));
    assert_eq!(get(&mut world, &format!("/chats/{}/messages", percent(&awkward))).status, 200);
    let ids: Vec<String> = world.chats.iter().map(|chat| chat.id.clone()).collect();
    let distinct: BTreeSet<&String> = ids.iter().collect();
    assert!(distinct.len() < ids.len(), "an id was used twice");
    let listed: Vec<String> = world.chat_ids();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "but not at the same time");
}

#[test]
fn the_list_comes_from_a_replica_that_lags() {
    let knobs = Knobs { list_lag_ms: 60_000, ..Knobs::default() };
    let mut world = World::new(Setup { knobs, page_cap: 200, ..Setup::small(12) });
    let mut old = 0;
    for _ in 0..60 {
        run(&mut world, 1);
        let newest = world.chats.iter().filter_map(|chat| chat.listed_at).max();
        let page = body(&get(&mut world, "/chats?limit=200"));
        let times: Vec<i64> =
            rows(&page, "chats").iter().filter_map(|c| c["last_message_time"].as_i64()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        old += usize::from(times.first().copied() < newest);
        for chat in rows(&page, "chats") {
            let sum = chat["inbound_count"].as_i64().unwrap() + chat["outbound_count"].as_i64().unwrap();
            assert_eq!(chat["message_count"], sum);
        }
    }
    assert!(old > 10, "{old}");
}

#[test]
fn times_are_tied_across_chats_and_can_lie_years_ahead() {
    let knobs = Knobs { time_grain_ms: 1_000, ..Knobs::default() };
    let shares = Shares { far_future: 0.2, late: 0.0, ..Shares::default() };
    let mut world = World::new(Setup { knobs, shares, ..Setup::default() });
    run(&mut world, 20);
    let year = 365 * 86_400_000;
    let now = world.now_ms();
    assert!(world.truth().entries().any(|e| e.time_sent_ms > now + year));
    let mut chats_by_time = std::collections::BTreeMap::<i64, BTreeSet<String>>::new();
    for entry in world.truth().entries().filter(|e| e.time_sent_ms < now) {
        chats_by_time.entry(entry.time_sent_ms).or_default().insert(entry.chat);
    }
    assert!(chats_by_time.values().any(|chats| chats.len() > 1));
}

#[test]
fn one_group_never_rests() {
    let upheavals = Upheavals { group_chatter_per_minute: 30.0, ..Upheavals::default() };
    let mut world = quiet(Setup { upheavals, ..Setup::default() });
    let before = world.truth().messages();
    run(&mut world, 10);
    let new: BTreeSet<String> = world.truth().entries().skip(before).map(|e| e.chat).collect();
    assert_eq!(new.len(), 1);
    assert!(new.iter().all(|chat| chat.starts_with("grp_")));
    assert!(world.truth().messages() > before + 200);
}

#[test]
fn a_lying_world_is_the_same_for_the_same_seed() {
    let setup = || Setup {
        shares: Shares {
            both_sides: 0.3,
            read: 0.3,
            lone_surrogate: 0.3,
            far_future: 0.1,
            ..Shares::default()
        },
        knobs: Knobs { list_lag_ms: 5_000, awkward_ids: 0.5, reused_ids: 0.3, ..Knobs::default() },
        ..Setup::small(13)
    };
    let (mut a, mut b) = (World::new(setup()), World::new(setup()));
    for world in [&mut a, &mut b] {
        world.switch_on("totals-wild", Tuning::share(0.5)).unwrap();
        world.switch_on("date-jumps", Tuning::default()).unwrap();
    }
    run(&mut a, 10);
    b.step(a.now_ms());
    for _ in 0..20 {
        let now = a.now_ms();
        let request = Request::get("/chats", KEY);
        assert_eq!(a.respond(now, &request), b.respond(now, &request));
    }
    assert!(a.truth().entries().eq(b.truth().entries()));
}
