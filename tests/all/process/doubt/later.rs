//! Sequences that were found after the first nineteen.

use super::api::{Api, State, now, row_with};
use super::{DEFERRED, OUTBOUND, UNCONFIRMED, UNREADABLE, assert_held};
use super::{outbound, several_listings, start, wait_asked};

/// New messages come in two chats while the fault is on: nothing looks healthy, and once it ended, all of them count.
fn holds_until_it_ends(bend: fn(&mut State), unbend: fn(&mut State)) {
    let api = Api::start(3);
    let run = start(&api, &["--collector.audit-interval=1h"]);
    run.ready();
    let since = now();
    api.with(bend);
    std::thread::sleep(std::time::Duration::from_millis(5));
    for chat in [0, 1, 1] {
        api.push(chat, |_| {});
    }
    let page = run.wait("two unreadable chats", |page| page.sum(UNREADABLE) == 2.0);
    assert_eq!(page.sum_where(UNREADABLE, &["reason=\"rejected\""]), 2.0);
    for _ in 0..3 {
        several_listings(&api);
        let page = run.exporter.page();
        assert_eq!((page.sum("blooio_up"), page.sum(DEFERRED), outbound(&page)), (0.0, 2.0, 0.0));
        assert_held(&page, since);
    }
    // Another chat is read as ever.
    api.push(2, |message| message.sent_at = since - 1);
    run.wait_sum(OUTBOUND, 1.0);
    api.with(unbend);
    let page = run.wait_sum(OUTBOUND, 4.0);
    assert_eq!(page.sum(UNCONFIRMED), 0.0);
    let page = run.ready();
    assert_eq!((page.sum(UNREADABLE), page.sum(DEFERRED)), (0.0, 0.0));
}

#[test]
fn row_20_messages_that_lag_behind_the_list_hold_the_watermark_until_they_are_shown() {
    holds_until_it_ends(|state| state.frozen = Some(now()), |state| state.frozen = None);
}

#[test]
fn row_20_messages_that_lag_behind_a_list_without_last_message_are_not_taken_as_read() {
    let rows_without = |state: &mut State| {
        state.frozen = Some(now());
        state.chat_row = |chat| row_with(chat, "id", "");
    };
    holds_until_it_ends(rows_without, |state| state.frozen = None);
}

#[test]
fn row_21_messages_whose_time_is_in_seconds_do_not_pass_for_history() {
    holds_until_it_ends(|state| state.seconds_from = Some(now()), |state| state.seconds_from = None);
}

#[test]
fn row_22_a_pause_for_a_probe_or_the_lines_pauses_nothing_else() {
    for status in [429, 503] {
        let api = Api::start(1);
        api.with(|state| state.aside = Some((status, 600)));
        let run = start(&api, &["--probe.interval=1s"]);
        run.ready();
        for count in 1..=5 {
            api.push(0, |_| {});
            run.wait_sum(OUTBOUND, f64::from(count));
            wait_asked(&api, "/background", 1);
        }
        let code = format!("code=\"{status}\"");
        assert!(run.exporter.page().sum_where("blooio_device_probes_total", &[&code]) > 0.0);
    }
}

#[test]
fn row_22_a_list_that_asks_for_a_long_pause_is_on_the_page_at_once() {
    for status in [429, 503] {
        let api = Api::start(1);
        let run = start(&api, &[]);
        run.ready();
        api.with(|state| (state.list_status, state.list_pause) = (Some(status), Some(600)));
        let code = format!("code=\"{status}\"");
        run.wait("the list that failed, on the page", |page| {
            let failed = page.sum_where("blooio_api_requests_total", &["endpoint=\"list_chats\"", &code]);
            failed > 0.0 && page.sum("blooio_up") == 0.0
        });
        // What was under way is answered first.
        std::thread::sleep(std::time::Duration::from_secs(1));
        let asked = api.requests();
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(api.requests(), asked, "asked within the pause");
    }
}
