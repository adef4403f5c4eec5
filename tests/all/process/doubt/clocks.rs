//! A wrong host clock at the first start, and a server whose `Date` leaps.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::api::{Api, State, now};
use super::{DELIVERED, FLOOR, LISTED, OFFSET, OUTBOUND, Run, UNCONFIRMED, WATERMARK};
use super::{outbound, program, several_listings, start, start_in, wait_asked};
use crate::support::{Page, Process, in_repository};

const BASELINE: &str = "blooio_collection_baseline_timestamp_seconds";
const DAY: i64 = 86_400;

/// Compiles the library that sets one process's wall clock off.
fn clock_library(folder: &Path) -> PathBuf {
    let library = folder.join("clock.so");
    let source = in_repository("tests/all/process/doubt/clock.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(compiled.unwrap().success());
    library
}

/// Starts an exporter whose host clock is off by as many seconds as the file `clock` in the folder says.
pub(super) fn start_off(api: &Api, folder: tempfile::TempDir, seconds: i64, more: &[&str]) -> Run {
    std::fs::write(folder.path().join("clock"), seconds.to_string()).unwrap();
    let mut program = program(api, folder.path(), more);
    program.env("LD_PRELOAD", clock_library(folder.path()));
    program.env("TEST_CLOCK_FILE", folder.path().join("clock"));
    Run { exporter: Process::start(program), folder }
}

/// Sets the host's clock of a run right.
fn correct_clock(run: &Run) {
    std::fs::write(run.folder.path().join("clock"), "0").unwrap();
}

/// Fails when the baseline is not about this time, unix ms.
fn assert_baseline(page: &Page, expected: i64) {
    let off = page.sum(BASELINE) * 1000.0 - expected as f64;
    assert!(off.abs() < 120_000.0, "the baseline is off by {off} ms");
}

/// The host's clock is off by `seconds` at the very first start, at which nothing useful answers, and correct before the
/// first answer that says anything.
fn first_start_with_a_wrong_clock(seconds: i64, fail: fn(&mut State), recover: fn(&mut State)) {
    let api = Api::start(3);
    api.with(fail);
    let begun = now();
    let run = start_off(&api, tempfile::tempdir().unwrap(), seconds, &[]);
    wait_asked(&api, "/chats?", 1);
    api.push(0, |_| {});
    correct_clock(&run);
    api.with(recover);
    let first = run.ready();
    assert_eq!(outbound(&run.wait("the message", |s| outbound(s) > 0.0)), 1.0, "history is in no counter");
    assert_baseline(&first, begun);
}

fn fails(state: &mut State) {
    state.list_status = Some(503);
}

fn succeeds(state: &mut State) {
    state.list_status = None;
}

#[test]
fn row_04_a_clock_behind_at_the_first_start_counts_no_history() {
    first_start_with_a_wrong_clock(-7 * DAY, fails, succeeds);
}

#[test]
fn row_04_a_clock_ahead_at_the_first_start_counts_what_is_new() {
    first_start_with_a_wrong_clock(7 * DAY, fails, succeeds);
}

#[test]
fn row_04_a_clock_behind_while_connections_break_counts_no_history() {
    first_start_with_a_wrong_clock(-7 * DAY, |state| state.resets = true, |state| state.resets = false);
}

#[test]
fn row_04_a_clock_ahead_while_connections_break_counts_what_is_new() {
    first_start_with_a_wrong_clock(7 * DAY, |state| state.resets = true, |state| state.resets = false);
}

fn fails_undated(state: &mut State) {
    (state.list_status, state.aside, state.dated) = (Some(503), Some((503, 1)), false);
}

fn succeeds_dated(state: &mut State) {
    (state.list_status, state.aside, state.dated) = (None, None, true);
}

#[test]
fn row_04_a_clock_behind_while_errors_have_no_date_counts_no_history() {
    first_start_with_a_wrong_clock(-7 * DAY, fails_undated, succeeds_dated);
}

#[test]
fn row_04_a_clock_ahead_while_errors_have_no_date_counts_what_is_new() {
    first_start_with_a_wrong_clock(7 * DAY, fails_undated, succeeds_dated);
}

/// The process is killed before the first answer: nothing of its clock may be in the state.
fn crash_before_the_first_answer(seconds: i64) {
    let api = Api::start(3);
    api.with(fails);
    let run = start_off(&api, tempfile::tempdir().unwrap(), seconds, &[]);
    wait_asked(&api, "/chats?", 2);
    run.exporter.kill();
    api.push(1, |message| message.sent_at -= 10_000);
    let begun = now();
    let run = start_off(&api, run.folder, 0, &[]);
    wait_asked(&api, "/chats?", 1);
    api.push(0, |_| {});
    api.with(succeeds);
    let first = run.ready();
    run.wait_sum(OUTBOUND, 1.0);
    several_listings(&api);
    assert_eq!(outbound(&run.exporter.page()), 1.0, "what was sent before the second start is history");
    assert_baseline(&first, begun);
}

#[test]
fn row_04_a_crash_before_the_first_answer_leaves_no_baseline_of_a_clock_behind() {
    crash_before_the_first_answer(-7 * DAY);
}

#[test]
fn row_04_a_crash_before_the_first_answer_leaves_no_baseline_of_a_clock_ahead() {
    crash_before_the_first_answer(7 * DAY);
}

/// Fails when the page follows a `Date` that is days off.
fn assert_offset_is_small(page: &Page) {
    let offset = page.sum(OFFSET);
    assert_eq!(page.family(OFFSET).len(), 1, "the offset is shown");
    assert!(offset.abs() < 5.0, "the clock used is {offset} s off");
}

#[test]
fn row_05_a_date_far_ahead_for_seconds_moves_nothing() {
    let api = Api::start(3);
    let mut run = start(&api, &[]);
    run.ready();
    api.with(|state| state.date_ahead = 30 * DAY * 1_000);
    several_listings(&api);
    let during = run.exporter.page();
    assert_offset_is_small(&during);
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
fn row_05_a_date_far_behind_for_seconds_takes_nothing_back() {
    let api = Api::start(3);
    let run = start(&api, &[]);
    run.ready();
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 1.0);
    let open = api.push_open(1);
    run.wait_sum(OUTBOUND, 2.0);
    let before = run.wait("a full listing", |page| page.sum(LISTED) > 0.0 && page.sum("blooio_up") == 1.0);
    api.with(|state| state.date_ahead = -30 * DAY * 1_000);
    several_listings(&api);
    api.push(2, |_| {});
    let during = run.wait_sum(OUTBOUND, 3.0);
    several_listings(&api);
    let later = run.exporter.page();
    for page in [&during, &later] {
        assert_offset_is_small(page);
        assert_eq!((outbound(page), page.sum(UNCONFIRMED)), (3.0, 0.0));
        for family in [WATERMARK, FLOOR, LISTED, BASELINE] {
            assert!(page.sum(family) >= before.sum(family), "{family} fell");
        }
    }
    api.deliver(1, open);
    api.with(|state| state.date_ahead = 0);
    run.wait_sum(DELIVERED, 3.0);
    let after = run.wait("a watermark that moves", |page| page.sum(WATERMARK) > later.sum(WATERMARK));
    assert_eq!((outbound(&after), after.sum(UNCONFIRMED)), (3.0, 0.0));
    run.ready();
}

#[test]
fn row_05_a_host_clock_that_stays_off_is_the_offset_on_the_page() {
    for ahead in [240, -240] {
        let api = Api::start(2);
        let run = start_off(&api, tempfile::tempdir().unwrap(), ahead, &[]);
        let page = run.ready();
        // The server's clock minus the host's.
        let offset = page.sum(OFFSET);
        assert!((offset + ahead as f64).abs() < 5.0, "{offset} s at {ahead} s");
        assert_baseline(&page, now());
    }
}
