//! Sequences in which an API misleads its reader, each against the real program: what the page must say meanwhile,
//! and how it recovers. The numbers are those of RELIABILITY.md's table.

mod api;
mod content;

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
    assert!(during.sum(WATERMARK) * 1000.0 <= hidden_since as f64 + 2_000.0, "the watermark moved on");
    api.with(|state| state.below = None);
    let after = run.wait_sum(OUTBOUND, 4.0);
    assert_eq!(after.sum(UNCONFIRMED), 0.0);
    run.wait("recovery", |page| page.sum("blooio_up") == 1.0 && page.sum(DEFERRED) == 0.0);
}

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
    let run = start(&api, &["--api.budget=10"]);
    wait_asked(&api, "/chats?", 5);
    for chat in 0..30 {
        api.push(chat, |_| {});
    }
    wait_asked(&api, "/chats?", 5);
    for count in 1..=5 {
        api.push(well, |_| {});
        run.wait_sum(OUTBOUND, f64::from(count));
    }
    let (from, at) = (api.asked("%2B49"), std::time::Instant::now());
    std::thread::sleep(Duration::from_secs(4));
    let spent = (api.asked("%2B49") - from) as f64 / at.elapsed().as_secs_f64();
    assert!(spent < 8.0, "{spent} of 10 requests per second go to chats that cannot be read");
}

/// An open message, then `mislead` over several full listings, then its receipt.
fn keeps_an_open_message(mislead: fn(&mut api::State), recover: fn(&mut api::State), reported: bool) {
    let api = Api::start(6);
    let run = start(&api, &[]);
    run.ready();
    let open = api.push_open(0);
    run.wait("an open message", |page| page.sum("blooio_outbound_open_messages") == 1.0);
    api.with(mislead);
    several_listings(&api);
    several_listings(&api);
    let during = run.exporter.page();
    assert_eq!(during.sum(UNCONFIRMED), 0.0, "given up without being asked for");
    if reported {
        assert_eq!(during.sum("blooio_up"), 0.0, "everything looks healthy");
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

/// Compiles the library that sets one process's wall clock off.
fn clock_library(folder: &Path) -> std::path::PathBuf {
    let library = folder.join("clock.so");
    let source = crate::support::in_repository("tests/all/process/doubt/clock.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    library
}

/// The host's clock is off by `seconds` at the very first start, and right before the first answer.
fn first_start_with_a_wrong_clock(seconds: i64) {
    let api = Api::start(3);
    api.with(|state| state.list_status = Some(503));
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("clock");
    std::fs::write(&clock, seconds.to_string()).unwrap();
    let mut program = program(&api, folder.path(), &[]);
    program.env("LD_PRELOAD", clock_library(folder.path())).env("TEST_CLOCK_FILE", &clock);
    let run = Run { exporter: Process::start(program), folder };
    wait_asked(&api, "/chats?", 1);
    api.push(0, |_| {});
    std::fs::write(&clock, "0").unwrap();
    api.with(|state| state.list_status = None);
    let first = run.ready();
    assert_eq!(outbound(&run.wait("the message", |s| outbound(s) > 0.0)), 1.0, "history is in no counter");
    let baseline = first.sum("blooio_collection_baseline_timestamp_seconds");
    assert!((baseline * 1000.0 - now() as f64).abs() < 120_000.0, "the baseline is {baseline}");
    drop(run.folder);
}

#[test]
fn row_04_a_clock_behind_at_the_first_start_counts_no_history() {
    first_start_with_a_wrong_clock(-7 * 86_400);
}

#[test]
fn row_04_a_clock_ahead_at_the_first_start_counts_what_is_new() {
    first_start_with_a_wrong_clock(7 * 86_400);
}

#[test]
fn row_05_a_date_far_ahead_for_seconds_moves_nothing() {
    let api = Api::start(3);
    let mut run = start(&api, &[]);
    run.ready();
    api.with(|state| state.date_ahead = 30 * 86_400_000);
    several_listings(&api);
    let during = run.exporter.page();
    for family in [WATERMARK, FLOOR, LISTED] {
        let time = during.sum(family) * 1000.0;
        assert!(time < (now() + 300_000) as f64, "{family} is {time}");
    }
    api.with(|state| state.date_ahead = 0);
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    run.exporter.stop();
    run = start_in(&api, run.folder, &[]);
    api.push(1, |_| {});
    let after = run.wait_sum(OUTBOUND, 2.0);
    let watermark = after.sum(WATERMARK) * 1000.0;
    assert!(watermark < (now() + 300_000) as f64, "the watermark is {watermark}");
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
    assert_eq!(page.sum("blooio_collection_unreadable_chats"), 1.0);
    api.push(2, |_| {});
    run.wait_sum(DELIVERED, 1.0);
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

#[test]
fn row_08_a_listing_of_many_chats_completes_although_totals_are_off() {
    let api = Api::start(3_000);
    api.with(|state| {
        state.total = |count, total| match count % 5 {
            0 => total - 2 + 4 * i64::from(count % 2 == 0),
            _ => total,
        };
    });
    let run = start(&api, &["--collector.interval=1s"]);
    let listed = |page: &Page| page.sum(LISTED);
    let first = listed(&run.wait("a full listing", |page| listed(page) > 0.0));
    let second = listed(&run.wait("another full listing", |page| listed(page) > first));
    api.with(|state| state.deep_status = Some(500));
    wait_asked(&api, "/chats?", 5);
    api.with(|state| state.deep_status = None);
    run.wait("a listing after an error", |page| listed(page) > second);
}

/// A first start at which only the first page of the list can be read.
fn first_start_without_deep_pages(status: u16) {
    let api = Api::start(450);
    api.with(|state| state.deep_status = Some(status));
    let run = start(&api, &[]);
    wait_asked(&api, "/chats?", 2);
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    api.push(7, |_| {});
    run.wait_sum(OUTBOUND, 2.0);
    api.with(|state| state.deep_status = None);
    run.ready();
}

#[test]
fn row_09_the_first_page_is_read_while_deep_offsets_are_rejected() {
    first_start_without_deep_pages(400);
}

#[test]
fn row_09_the_first_page_is_read_while_another_page_fails() {
    first_start_without_deep_pages(500);
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
fn row_11_the_first_success_ends_the_backoff_of_all_chats() {
    let api = Api::start(12);
    let run = start(&api, &[]);
    run.ready();
    api.with(|state| state.below = Some((String::new(), 503)));
    // They begin to fail one after the other, so that their backoffs end at different times.
    for chat in 0..12 {
        api.push(chat, |_| {});
        std::thread::sleep(Duration::from_millis(1_500));
    }
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(outbound(&run.exporter.page()), 0.0);
    api.with(|state| state.below = None);
    run.wait("a first success", |page| outbound(page) > 0.0);
    let first = std::time::Instant::now();
    run.wait_sum(OUTBOUND, 12.0);
    assert!(first.elapsed() < Duration::from_secs(6), "the others followed after {:?}", first.elapsed());
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

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[test]
fn row_18_a_chat_that_never_rests_is_audited_in_its_turn() {
    let api = Api::start(2);
    let begun = now();
    let run = start(&api, &["--collector.retention=4s", "--collector.window=2s"]);
    run.ready();
    let talking = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while talking.load(std::sync::atomic::Ordering::Relaxed) {
                api.push(0, |message| message.inbound = true);
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        let risen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.wait("a floor that rises", |page| page.sum(FLOOR) * 1000.0 > begun as f64 + 2_000.0)
        }));
        talking.store(false, std::sync::atomic::Ordering::Relaxed);
        risen.unwrap();
    });
}

#[test]
fn row_19_the_lines_are_listed_before_the_first_read() {
    let api: Arc<Api> = Api::start(2);
    api.push(0, |message| message.sent_at += 60_000);
    let run = start(&api, &[]);
    run.wait("the first count", |page| outbound(page) > 0.0);
    let log = api.with(|state| state.log.clone());
    let at = |part: &str| log.iter().position(|target| target.contains(part)).unwrap();
    assert!(at("/me/numbers") < at("/messages"), "{:?}", &log[..log.len().min(6)]);
}
