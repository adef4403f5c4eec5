//! Sequences in which an API misleads its reader, each against the real program: what the page must say meanwhile,
//! and how it recovers. The numbers are those of RELIABILITY.md's table.

mod accounts;
mod api;
mod chats;
mod clocks;
mod content;
mod later;
mod lists;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{Page, Process, command};
use api::{Api, now, row_with};

const OUTBOUND: &str = "blooio_outbound_messages_total";
const DELIVERED: &str = "blooio_outbound_delivered_messages_total";
const UNCONFIRMED: &str = "blooio_outbound_unconfirmed_messages_total";
const DEFERRED: &str = "blooio_collection_deferred_chats";
const WATERMARK: &str = "blooio_collection_watermark_timestamp_seconds";
const FLOOR: &str = "blooio_collection_floor_timestamp_seconds";
const LISTED: &str = "blooio_collection_full_listing_timestamp_seconds";
const UNREADABLE: &str = "blooio_collection_unreadable_chats";
const UNREADABLE_OLDEST: &str = "blooio_collection_unreadable_oldest_timestamp_seconds";
const OFFSET: &str = "blooio_api_clock_offset_seconds";

/// Short intervals, so that a sequence of minutes takes seconds.
const OPTIONS: &[&str] = &[
    "--collector.interval=300ms",
    "--collector.full-interval=1s",
    "--collector.audit-interval=2s",
    "--probe.interval=0s",
    "--api.budget=100",
    "--api.timeout=2s",
];

/// A running exporter and the folder of its state.
struct Run {
    exporter: Process,
    folder: tempfile::TempDir,
}

fn start(api: &Api, more: &[&str]) -> Run {
    start_in(api, tempfile::tempdir().unwrap(), more)
}

fn start_in(api: &Api, folder: tempfile::TempDir, more: &[&str]) -> Run {
    let exporter = Process::start(program(api, folder.path(), more));
    Run { exporter, folder }
}

fn program(api: &Api, folder: &Path, more: &[&str]) -> Command {
    let name = |option: &str| option.split('=').next().unwrap().to_owned();
    let given: Vec<String> = more.iter().map(|option| name(option)).collect();
    let mut options: Vec<&str> =
        OPTIONS.iter().copied().filter(|option| !given.contains(&name(option))).collect();
    options.extend(more);
    command(&format!("http://{}", api.address), &folder.join("state.db"), &options)
}

impl Run {
    fn wait(&self, what: &str, wanted: impl Fn(&Page) -> bool) -> Page {
        self.exporter.wait_for(what, wanted)
    }

    /// Waits until the page shows a complete sweep.
    fn ready(&self) -> Page {
        self.wait("a complete sweep", |page| page.sum("blooio_up") == 1.0)
    }

    /// Waits until a family adds up to this.
    fn wait_sum(&self, family: &str, value: f64) -> Page {
        self.wait(&format!("{family} at {value}"), |page| page.sum(family) == value)
    }
}

fn outbound(page: &Page) -> f64 {
    page.sum(OUTBOUND)
}

/// Waits until the server was asked so many more times for something.
fn wait_asked(api: &Api, part: &str, more: usize) {
    let from = api.asked(part);
    crate::support::eventually(&format!("{more} requests with {part}"), || {
        (api.asked(part) >= from + more).then_some(())
    });
}

/// Fails when the page claims that messages sent well after `since` are counted.
fn assert_held(page: &Page, since: i64) {
    let ahead = page.sum(WATERMARK) * 1000.0 - since as f64;
    assert!(ahead <= 2_000.0, "the watermark moved on by {ahead} ms");
}

/// Lets the exporter list all chats several times.
fn several_listings(api: &Api) {
    wait_asked(api, "/chats?", 30);
}

#[test]
fn row_01_a_rejected_key_stops_no_collection_at_any_interval() {
    let api = Api::start(1);
    api.with(|state| state.list_status = Some(401));
    let mut run = start(&api, &["--collector.interval=6m"]);
    let code = "code=\"401\"";
    let page =
        run.wait("the rejected key", |page| page.sum_where("blooio_api_requests_total", &[code]) > 0.0);
    assert_eq!(page.sum("blooio_up"), 0.0);
    std::thread::sleep(Duration::from_millis(500));
    assert!(run.exporter.is_running());
    assert!(run.exporter.get("/metrics").is_some());
    assert!(!run.exporter.log().contains("panicked"), "{}", run.exporter.log());
}

#[test]
fn row_02_a_listed_chat_that_answers_404_holds_the_watermark_and_is_read_later() {
    let api = Api::start(3);
    let run = start(&api, &[]);
    run.ready();
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    api.with(|state| state.below = Some((String::new(), 404)));
    let hidden_since = now();
    for chat in 0..3 {
        api.push(chat, |_| {});
    }
    let during =
        run.wait("a page that says so", |page| page.sum(DEFERRED) >= 3.0 && page.sum("blooio_up") == 0.0);
    assert_eq!(outbound(&during), 1.0);
    several_listings(&api);
    let during = run.exporter.page();
    assert_eq!(during.sum("blooio_up"), 0.0);
    assert_eq!(during.sum_where(UNREADABLE, &["reason=\"not_found\""]), 3.0);
    assert_eq!(during.sum(UNREADABLE), 3.0);
    assert_held(&during, hidden_since);
    api.with(|state| state.below = None);
    let after = run.wait_sum(OUTBOUND, 4.0);
    assert_eq!(after.sum(UNCONFIRMED), 0.0);
    run.wait("recovery", |page| {
        page.sum("blooio_up") == 1.0 && page.sum(DEFERRED) == 0.0 && page.sum(UNREADABLE) == 0.0
    });
}

/// An open message, then `mislead` over several full listings, then its receipt.
fn keeps_an_open_message(mislead: fn(&mut api::State), recover: fn(&mut api::State), reported: bool) {
    let api = Api::start(6);
    let run = start(&api, &[]);
    run.ready();
    let open = api.push_open(0);
    run.wait("an open message", |page| page.sum("blooio_outbound_open_messages") == 1.0);
    let since = now();
    api.with(mislead);
    several_listings(&api);
    several_listings(&api);
    let during = run.exporter.page();
    assert_eq!(during.sum(UNCONFIRMED), 0.0, "given up without being asked for");
    if reported {
        assert_eq!(during.sum("blooio_up"), 0.0, "everything looks healthy");
        assert_held(&during, since);
    }
    api.deliver(0, open);
    api.with(recover);
    api.push(1, |_| {});
    let after = run.wait_sum(DELIVERED, 2.0);
    assert_eq!((outbound(&after), after.sum(UNCONFIRMED)), (2.0, 0.0));
    run.ready();
}

#[test]
fn row_03_an_empty_list_ends_no_message() {
    keeps_an_open_message(|state| state.empty = true, |state| state.empty = false, true);
}

#[test]
fn row_03_rows_with_a_renamed_id_end_no_message() {
    keeps_an_open_message(
        |state| state.chat_row = |chat| row_with(chat, "chat_id", ""),
        |state| state.chat_row = api::plain_row,
        true,
    );
}

#[test]
fn row_03_a_last_message_of_another_type_hides_no_chat() {
    let api = Api::start(2);
    let run = start(&api, &[]);
    run.ready();
    let open = api.push_open(0);
    run.wait_sum(OUTBOUND, 1.0);
    api.with(|state| state.chat_row = |chat| row_with(chat, "id", r#","last_message":"hello""#));
    several_listings(&api);
    api.push(1, |_| {});
    let during = run.wait_sum(OUTBOUND, 2.0);
    assert_eq!(during.sum(UNCONFIRMED), 0.0);
    api.deliver(0, open);
    run.wait_sum(DELIVERED, 2.0);
}

#[test]
fn row_07_a_message_that_moved_to_an_unreadable_chat_is_not_given_up() {
    let api = Api::start(4);
    let run = start(&api, &[]);
    run.ready();
    let open = api.push_open(0);
    run.wait("an open message", |page| page.sum("blooio_outbound_open_messages") == 1.0);
    let merged = api.add_chat("+4930000001");
    api.with(|state| {
        state.below = Some(("+49".into(), 500));
        state.chats[0].listed = false;
        state.chats[merged].messages = state.chats[0].messages.clone();
    });
    several_listings(&api);
    several_listings(&api);
    assert_eq!(run.exporter.page().sum(UNCONFIRMED), 0.0);
    api.deliver(merged, open);
    api.with(|state| state.below = None);
    let after = run.wait_sum(DELIVERED, 1.0);
    assert_eq!((outbound(&after), after.sum(UNCONFIRMED)), (1.0, 0.0));
}

/// More than a page of messages at once, and behind it one whose time lies before the others.
fn counts_a_late_message_behind_a_page_boundary(by_arrival: bool) {
    let api = Api::start(1);
    api.with(|state| state.by_arrival = by_arrival);
    let run = start(&api, &[]);
    run.ready();
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    let late = now();
    std::thread::sleep(Duration::from_millis(5));
    let batch = now();
    api.with(|state| state.list_status = Some(503));
    for n in 0..250 {
        api.push(0, |message| message.sent_at = batch + n);
    }
    api.push(0, |message| message.sent_at = late);
    api.with(|state| state.list_status = None);
    run.wait_sum(OUTBOUND, 252.0);
}

#[test]
fn row_10_a_late_message_behind_a_page_boundary_is_counted_in_order_of_time() {
    counts_a_late_message_behind_a_page_boundary(false);
}

#[test]
fn row_10_a_late_message_behind_a_page_boundary_is_counted_in_order_of_arrival() {
    counts_a_late_message_behind_a_page_boundary(true);
}

#[test]
fn row_15_a_longer_window_is_filled_after_a_reload() {
    use crate::support::{Exporter, eventually};
    let api = Api::start(2);
    let config = |window: &str| {
        format!(
            "collector: {{interval: 300ms, full_interval: 1s, audit_interval: 2s, window: {window}}}\n\
             probe: {{interval: 0s}}\napi: {{budget: 100}}\n\
             accounts:\n  - {{name: default, base_url: \"http://{}\", api_key_file: key}}\n",
            api.address
        )
    };
    let exporter = Exporter::configured(|folder| {
        write_private(&folder.join("key"), "bl_live_SIMULATED\n");
        config("2s")
    });
    eventually("a sweep", || (exporter.page().sum("blooio_up") == 1.0).then_some(()));
    for _ in 0..3 {
        api.push(0, |_| {});
    }
    eventually("three messages", || (exporter.page().sum(OUTBOUND) == 3.0).then_some(()));
    eventually("an empty window", || (exporter.page().sum("blooio_recent_messages") == 0.0).then_some(()));
    std::fs::write(exporter.folder.path().join("config.yml"), config("3h")).unwrap();
    exporter.signal("-HUP");
    // Three new ones, and the old one of each chat.
    eventually("a full window", || (exporter.page().sum("blooio_recent_messages") == 5.0).then_some(()));
    assert_eq!(exporter.page().sum(OUTBOUND), 3.0, "a gauge that is filled counts nothing again");
}

pub(crate) fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[test]
fn row_19_the_lines_are_listed_before_the_first_read() {
    let api: Arc<Api> = Api::start(2);
    // Whatever does not wait for the lines is answered before them.
    api.with(|state| state.delay = Some(("/me/numbers", Duration::from_secs(1))));
    api.push(0, |message| message.sent_at += 60_000);
    let run = start(&api, &[]);
    run.wait("the first count", |page| outbound(page) > 0.0);
    let log = api.with(|state| state.log.clone());
    let at = |part: &str| log.iter().position(|asked| asked.target.contains(part));
    let (lines, read) = (at("/me/numbers"), at("/messages").unwrap());
    assert!(lines.is_some_and(|lines| lines < read), "{:?}", &log[..log.len().min(6)]);
}
