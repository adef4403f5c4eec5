//! Chats that cannot be read, and chats that never rest: what the page shows of them, and what they cost the others.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::api::{Api, now};
use super::clocks::start_off;
use super::{DELIVERED, FLOOR, OUTBOUND, UNCONFIRMED, UNREADABLE, UNREADABLE_OLDEST};
use super::{outbound, several_listings, start, wait_asked};
use crate::support::LONGEST_WAIT;

const TRACKED: &str = "blooio_collection_tracked_messages";

#[test]
fn row_02_thirty_unreadable_chats_leave_the_budget_to_the_others() {
    let api = Api::start(0);
    for n in 0..30 {
        let chat = api.add_chat(&format!("+4930{n:06}"));
        api.push(chat, |message| message.sent_at -= 3_600_000);
    }
    let well = api.add_chat("+14155550000");
    api.push(well, |message| message.sent_at -= 3_600_000);
    api.with(|state| state.below = Some(("+49".into(), 404)));
    let options = ["--collector.interval=1s", "--collector.full-interval=1h", "--api.budget=10"];
    let run = start(&api, &options);
    wait_asked(&api, "/chats?", 2);
    for chat in 0..30 {
        api.push(chat, |_| {});
    }
    // Six failures of each chat: from then on the waits are as long as they are meant to stay.
    wait_asked(&api, "%2B49", 180);
    let (place, unreadable) = (api.requests(), api.asked("%2B49"));
    for count in 1..=5 {
        api.push(well, |_| {});
        run.wait_sum(OUTBOUND, f64::from(count));
        wait_asked(&api, "/chats?", 4);
    }
    // A sweep a second: the budget is ten requests for each of them.
    let sweeps = api.log_from(place).iter().filter(|asked| asked.list_offset().is_some()).count();
    let spent = api.asked("%2B49") - unreadable;
    assert!(spent <= 2 * sweeps, "{spent} requests for chats that cannot be read, within {sweeps} sweeps");
    assert_eq!(run.exporter.page().sum(UNREADABLE), 30.0);
}

#[test]
fn row_06_a_chat_that_fails_for_ever_stops_nothing_elsewhere() {
    let api = Api::start(4);
    let begun = now();
    let run = start(&api, &["--collector.retention=5s", "--collector.horizon=4s", "--collector.window=2s"]);
    run.ready();
    api.with(|state| state.below = Some(("+14155550000".into(), 500)));
    api.push(0, |_| {});
    api.push_open(1);
    run.wait_sum(UNCONFIRMED, 1.0);
    let page = run.wait("a floor that rises", |page| page.sum(FLOOR) * 1000.0 > begun as f64 + 2_000.0);
    assert_eq!(page.sum("blooio_up"), 0.0);
    assert_eq!(page.sum(UNREADABLE), 1.0);
    api.push(2, |_| {});
    run.wait_sum(DELIVERED, 1.0);
}

#[test]
fn row_06_beside_a_chat_that_fails_a_deleted_message_ends_and_its_id_is_forgotten() {
    const HOUR: i64 = 3_600;
    let options = ["--collector.retention=5s", "--collector.horizon=4s", "--collector.window=2s"];
    let api = Api::start(4);
    let run = start(&api, &options);
    run.ready();
    api.with(|state| state.below = Some(("+14155550000".into(), 500)));
    api.push(0, |_| {});
    run.wait("an unreadable chat", |page| page.sum(UNREADABLE) == 1.0);
    let open = api.push_open(1);
    run.wait_sum(OUTBOUND, 1.0);
    api.with(|state| state.chats[1].messages[open].visible = false);
    for count in 0..40 {
        api.push(2 + count % 2, |_| {});
    }
    let counted = run.wait_sum(OUTBOUND, 41.0);
    assert_eq!(counted.sum(UNREADABLE), 1.0);
    let ended = run.wait_sum(UNCONFIRMED, 1.0);
    assert!(ended.sum(TRACKED) >= 40.0, "{} ids", ended.sum(TRACKED));
    run.exporter.stop();
    // Ids are forgotten by the ten minutes, once the floor has passed all of them: an hour later by every clock.
    api.with(|state| state.date_ahead = HOUR * 1_000);
    let run = start_off(&api, run.folder, HOUR, &options);
    let end =
        run.wait("ids that are forgotten", |page| page.sum(TRACKED) <= 4.0 && page.sum(UNREADABLE) > 0.0);
    assert_eq!((end.sum(UNREADABLE), end.sum("blooio_up")), (1.0, 0.0), "the chat fails all the while");
    assert_eq!((outbound(&end), end.sum(DELIVERED), end.sum(UNCONFIRMED)), (41.0, 40.0, 1.0));
}

#[test]
fn row_06_the_messages_of_a_chat_that_failed_count_once_it_can_be_read() {
    let api = Api::start(4);
    let run = start(&api, &[]);
    run.ready();
    let begun = now();
    api.with(|state| state.below = Some(("+14155550000".into(), 500)));
    for _ in 0..3 {
        api.push(0, |_| {});
    }
    let open = api.push_open(0);
    api.push(1, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    let during = run.wait("an unreadable chat", |page| {
        page.sum_where(UNREADABLE, &["reason=\"server_error\""]) == 1.0 && page.sum("blooio_up") == 0.0
    });
    assert_eq!(outbound(&during), 1.0);
    let since = during.sum(UNREADABLE_OLDEST) * 1000.0;
    // `Date` has a grain of a second.
    assert!(since > begun as f64 - 2_000.0 && since < now() as f64 + 2_000.0, "unreadable since {since}");
    several_listings(&api);
    let later = run.exporter.page().sum(UNREADABLE_OLDEST) * 1000.0;
    assert_eq!(later, since, "the time stays that of the first failure");
    api.deliver(0, open);
    api.with(|state| state.below = None);
    run.wait_sum(OUTBOUND, 5.0);
    let after = run.wait("recovery", |page| page.sum("blooio_up") == 1.0 && page.sum(UNREADABLE) == 0.0);
    assert_eq!((after.sum(DELIVERED), after.sum(UNCONFIRMED)), (5.0, 0.0));
    assert_eq!(after.sum(UNREADABLE_OLDEST), 0.0);
}

#[test]
fn row_06_chats_that_never_answer_stop_no_other() {
    let api = Api::start(4);
    // A budget of 4 has eight slots, with those of stalled requests; one is kept for what is no read. Of the other seven, the
    // chats that hang take all but one, and are not given up.
    for n in 0..6 {
        let chat = api.add_chat(&format!("+4930{n:06}"));
        api.push(chat, |message| message.sent_at -= 3_600_000);
    }
    let run = start(&api, &["--api.timeout=5m", "--api.budget=4"]);
    run.ready();
    // For longer than the test waits for the others.
    api.with(|state| state.delay = Some(("%2B49", 2 * LONGEST_WAIT)));
    for chat in 4..10 {
        api.push(chat, |_| {});
    }
    several_listings(&api);
    for chat in 0..4 {
        api.push(chat, |_| {});
        api.push(chat, |_| {});
    }
    let during = run.wait_sum(OUTBOUND, 8.0);
    assert_eq!(during.sum_where("blooio_api_requests_total", &["code=\"timeout\""]), 0.0);
}

#[test]
fn row_11_the_first_success_ends_the_backoff_of_all_chats() {
    let api = Api::start(12);
    // A budget at which the backoff of a chat may grow to 24 seconds, and which twelve chats that fail do not use up.
    let options = ["--collector.interval=1s", "--collector.full-interval=1h", "--api.budget=10"];
    let run = start(&api, &options);
    run.ready();
    wait_asked(&api, "/chats?", 2);
    api.with(|state| state.below = Some((String::new(), 503)));
    // They begin to fail one after the other, so that their backoffs end at different times.
    for chat in 0..12 {
        api.push(chat, |_| {});
        wait_asked(&api, "/chats?", 2);
    }
    wait_asked(&api, "/chats?", 36);
    assert_eq!(outbound(&run.exporter.page()), 0.0);
    let asked = api.asked("/chats?");
    api.with(|state| state.below = None);
    run.wait_sum(OUTBOUND, 12.0);
    // In sweeps, which a busy machine slows down as much as everything else.
    let sweeps = api.asked("/chats?") - asked;
    assert!(sweeps <= 15, "the fault ended {sweeps} sweeps before everything was counted");
}

/// Runs `test` while the first chat gets messages more often than it is listed, and while a read of it takes longer than the
/// next sweep: it has something new whenever a read of it ends.
fn while_a_chat_is_busy(api: &Api, test: impl FnOnce()) {
    api.with(|state| state.delay = Some(("5550000/messages?", Duration::from_millis(600))));
    let talking = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while talking.load(Ordering::Relaxed) {
                api.push(0, |message| message.inbound = true);
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        let ended = catch_unwind(AssertUnwindSafe(test));
        talking.store(false, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

#[test]
fn row_18_a_chat_that_never_rests_is_audited_in_its_turn() {
    let api = Api::start(2);
    let begun = now();
    let run = start(&api, &["--collector.retention=4s", "--collector.window=2s"]);
    run.ready();
    while_a_chat_is_busy(&api, || {
        run.wait("a floor that rises", |page| page.sum(FLOOR) * 1000.0 > begun as f64 + 2_000.0);
    });
}

#[test]
fn row_18_a_message_that_vanished_from_a_chat_that_never_rests_ends() {
    let api = Api::start(2);
    let run = start(&api, &["--collector.retention=20s", "--collector.horizon=4s", "--collector.window=2s"]);
    run.ready();
    while_a_chat_is_busy(&api, || {
        let open = api.push_open(0);
        run.wait_sum(OUTBOUND, 1.0);
        api.with(|state| state.chats[0].messages[open].visible = false);
        let end = run.wait_sum(UNCONFIRMED, 1.0);
        assert_eq!(end.sum("blooio_outbound_open_messages"), 0.0);
    });
}
