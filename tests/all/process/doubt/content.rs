//! Odd content, identities that are hard to keep apart, and limits that change.

use super::api::{Api, LINE, now, row_with};
use super::{DEFERRED, DELIVERED, OUTBOUND, UNCONFIRMED, UNREADABLE, WATERMARK};
use super::{outbound, several_listings, start, wait_asked};
use crate::support::Page;

#[test]
fn row_12_odd_content_outside_the_keys_rejects_no_message() {
    let api = Api::start(1);
    let run = start(&api, &[]);
    run.ready();
    api.push(0, |message| {
        (message.status, message.delivered_at) = ("failed", None);
        message.error = r#""Recipient could not be reached \ud83d""#.into();
    });
    api.push(0, |message| message.more = r#","size":1e400,"sender":[{"x":"\udc00"}]"#.into());
    let page = run.wait_sum(OUTBOUND, 2.0);
    assert_eq!(page.sum("blooio_outbound_failed_messages_total"), 1.0);
    assert_eq!(page.sum(DELIVERED), 1.0);
    assert_eq!(page.sum("blooio_collection_rejected_items_total"), 0.0);
}

#[test]
fn row_13_rows_without_a_last_message_and_lines_cost_one_read_per_message() {
    let api = Api::start(3);
    api.with(|state| state.chat_row = |chat| row_with(chat, "id", ""));
    let run = start(&api, &["--collector.full-interval=1h", "--collector.audit-interval=1h"]);
    run.ready();
    wait_asked(&api, "/chats?", 10);
    let before = api.asked("/messages");
    for count in 1..=5 {
        api.push(0, |message| message.line = "null".into());
        run.wait_sum(OUTBOUND, f64::from(count));
        // A further read would come with one of the next sweeps.
        wait_asked(&api, "/chats?", 8);
    }
    let reads = api.asked("/messages") - before;
    assert!(reads <= 6, "{reads} reads for 5 messages");
    run.ready();
    let watermark = run.exporter.page().sum(WATERMARK) * 1000.0;
    assert!((now() as f64 - watermark) < 10_000.0, "the watermark is {} ms behind", now() as f64 - watermark);
}

#[test]
fn row_14_a_message_between_two_lines_is_counted_on_both_sides() {
    let api = Api::start(2);
    let run = start(&api, &[]);
    run.ready();
    for n in 0..5 {
        let id = format!("msg_shared{n}");
        let copy = id.clone();
        api.push(0, |message| {
            (message.id, message.inbound) = (copy, true);
        });
        api.push(1, |message| {
            (message.id, message.status, message.delivered_at) = (id, "failed", None);
        });
    }
    let page = run
        .wait("both sides", |page| outbound(page) == 5.0 && page.sum("blooio_inbound_messages_total") == 5.0);
    assert_eq!(page.sum("blooio_outbound_failed_messages_total"), 5.0);
    assert_eq!(page.sum(DELIVERED), 0.0);
}

#[test]
fn row_16_chat_ids_that_need_encoding_are_read() {
    let api = Api::start(1);
    let ids =
        ["sales/eu@mail.example", "100%@mail.example", "a%2Fb c@mail.example", "tag+x?y#z@mail.example"];
    // Dots are path segments only where they are all of the id; `é` and the ideographs take two and three bytes each.
    let more = ["...", "a/../b@mail.example", "jos\u{e9}@m\u{fc}ller.example", "\u{8a71}/\u{1f600}%"];
    let longest = format!("{}@mail.example", "x".repeat(243));
    let ids = ids.into_iter().chain(more).chain([longest.as_str()]);
    let chats: Vec<usize> = ids.map(|id| api.add_chat(id)).collect();
    let run = start(&api, &[]);
    run.ready();
    for (count, chat) in chats.into_iter().enumerate() {
        api.push(chat, |_| {});
        run.wait_sum(OUTBOUND, count as f64 + 1.0);
    }
    assert_eq!(run.exporter.page().sum("blooio_collection_rejected_items_total"), 0.0);
}

#[test]
fn row_16_an_id_that_no_path_can_hold_is_counted_as_unreadable() {
    let api = Api::start(1);
    let chat = api.add_chat("..");
    api.push(chat, |_| {});
    let run = start(&api, &[]);
    let page = run.wait("the rejected row", |page| {
        page.sum_where("blooio_collection_rejected_items_total", &["endpoint=\"list_chats\""]) > 0.0
    });
    assert_eq!(page.sum("blooio_up"), 0.0);
    run.wait("a deferred chat", |page| page.sum(DEFERRED) >= 1.0);
}

#[test]
fn row_16_ids_that_would_change_a_path_are_rejected_and_the_others_read() {
    let api = Api::start(1);
    let oversize = "x".repeat(257);
    let ids = [".", "..", "a\u{1}b@mail.example", "a\r\nb@mail.example", "\u{7f}", &oversize];
    for id in ids {
        let chat = api.add_chat(id);
        api.push(chat, |_| {});
    }
    let run = start(&api, &[]);
    let all = ids.len() as f64;
    let page = run.wait("unreadable chats", |page| {
        page.sum_where(UNREADABLE, &["reason=\"identifier\""]) == all && page.sum(DEFERRED) == all
    });
    assert_eq!((page.sum(UNREADABLE), page.sum("blooio_up")), (all, 0.0));
    let rejected = "blooio_collection_rejected_items_total";
    let labels = ["endpoint=\"list_chats\"", "reason=\"id\""];
    assert!(page.sum_where(rejected, &labels) >= all);
    assert_eq!(page.sum(rejected), page.sum_where(rejected, &labels));
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    several_listings(&api);
    let strange = api.with(|state| {
        let known =
            |target: &str| ["/chats?", "/me/", "/chats/%2B1415555"].iter().any(|at| target.starts_with(at));
        state.log.iter().map(|asked| asked.target.clone()).find(|target| !known(target))
    });
    assert_eq!(strange, None, "a request for an id that must not stand in a path");
    api.with(|state| state.chats.truncate(1));
    run.ready();
    assert_eq!(run.exporter.page().sum(UNREADABLE), 0.0);
}

#[test]
fn row_17_a_line_that_is_set_at_hand_over_stays_under_none() {
    let api = Api::start(1);
    let run = start(&api, &[]);
    run.ready();
    let message = api.push(0, |message| {
        (message.status, message.delivered_at, message.line) = ("queued", None, "null".into());
    });
    run.wait_sum(OUTBOUND, 1.0);
    api.with(|state| state.chats[0].messages[message].line = format!("\"{LINE}\""));
    api.deliver(0, message);
    let page = run.wait_sum(DELIVERED, 1.0);
    for family in [OUTBOUND, DELIVERED] {
        assert_eq!(page.sum_where(family, &["line=\"none\""]), 1.0, "{family}");
    }
}

#[test]
fn row_17_read_counts_as_delivered() {
    let api = Api::start(1);
    let run = start(&api, &[]);
    run.ready();
    api.push(0, |message| message.status = "read");
    let page = run.wait_sum(DELIVERED, 1.0);
    assert_eq!(page.sum("blooio_outbound_open_messages"), 0.0);
}

#[test]
fn row_17_a_lower_page_limit_is_no_outage() {
    let api = Api::start(250);
    let run = start(&api, &[]);
    run.ready();
    for limit in [100, 50] {
        api.with(|state| state.limit = limit);
        api.push(0, |_| {});
        run.wait_sum(OUTBOUND, if limit == 100 { 1.0 } else { 2.0 });
    }
    run.ready();
}

#[test]
fn row_17_chats_below_a_capped_total_are_not_gone() {
    let api = Api::start(450);
    let run = start(&api, &[]);
    run.ready();
    let deep = api.add_chat("+14155559999");
    let open = api.push(deep, |message| {
        (message.status, message.delivered_at) = ("sent", None);
    });
    run.wait_sum(OUTBOUND, 1.0);
    for chat in 0..450 {
        api.push(chat, |message| (message.inbound, message.sent_at) = (true, now() + 1));
    }
    api.with(|state| state.total = |_, total| total.min(100));
    several_listings(&api);
    several_listings(&api);
    assert_eq!(run.exporter.page().sum(UNCONFIRMED), 0.0);
    run.wait_sum("blooio_inbound_messages_total", 450.0);
    api.deliver(deep, open);
    run.wait_sum(DELIVERED, 1.0);
}

#[test]
fn row_19_the_series_of_a_line_are_on_the_page_before_its_first_message() {
    let api = Api::start(2);
    api.with(|state| state.below = Some((String::new(), 503)));
    let run = start(&api, &[]);
    let of_line = |page: &Page, family: &str| -> Vec<f64> {
        let series = page.family(family).into_iter();
        series.filter(|(labels, _)| labels[1] == LINE).map(|(_, value)| value).collect()
    };
    let families = [
        OUTBOUND,
        DELIVERED,
        UNCONFIRMED,
        "blooio_outbound_sent_messages_total",
        "blooio_outbound_failed_messages_total",
        "blooio_inbound_messages_total",
    ];
    let first = run.wait("a page with the line", |page| !of_line(page, OUTBOUND).is_empty());
    for family in families {
        let values = of_line(&first, family);
        assert!(!values.is_empty(), "{family} has no series of the line");
        assert!(values.iter().all(|value| *value == 0.0), "{family}: {values:?}");
    }
    api.push(0, |_| {});
    api.with(|state| state.below = None);
    let counted = run.wait_sum(OUTBOUND, 1.0);
    let is_new = |series: &String| {
        families.iter().any(|family| series.starts_with(family)) && !first.samples.contains_key(series)
    };
    let new: Vec<&String> = counted.samples.keys().filter(|series| is_new(series)).collect();
    assert!(new.is_empty(), "series that begin with their first increment: {new:?}");
}

#[test]
fn row_17_a_message_dated_years_ahead_is_given_up_at_its_horizon() {
    let api = Api::start(1);
    let run = start(&api, &["--collector.horizon=3s"]);
    run.ready();
    api.push(0, |message| {
        (message.status, message.delivered_at) = ("sent", None);
        message.sent_at += 5 * 365 * 86_400_000;
    });
    run.wait_sum(OUTBOUND, 1.0);
    run.wait_sum(UNCONFIRMED, 1.0);
}
