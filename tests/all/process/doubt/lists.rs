//! Lists of thousands of chats, pages of them that fail, and lists that lack chats.

use super::api::{Api, State};
use super::{DEFERRED, DELIVERED, LISTED, OUTBOUND, Run, UNCONFIRMED, WATERMARK};
use super::{assert_held, now, outbound, several_listings, start, wait_asked};
use crate::support::{Page, eventually};

/// Chats of a long list.
const CHATS: usize = 3_000;
/// Pages that they fill: each one repeats ten rows of the page before.
const PAGES: usize = CHATS.div_ceil(190);

fn listed(page: &Page) -> f64 {
    page.sum(LISTED)
}

/// Waits for the end of another full listing.
fn next_listing(run: &Run) {
    let before = listed(&run.exporter.page());
    run.wait("a full listing", |page| listed(page) > before);
}

#[test]
fn row_08_a_listing_of_many_chats_completes_although_totals_are_off() {
    const LISTINGS: usize = 3;
    let api = Api::start(CHATS);
    api.with(|state| {
        state.total = |count, total| match count % 5 {
            0 => total - 2 + 4 * i64::from(count % 2 == 0),
            _ => total,
        };
    });
    let run = start(&api, &["--collector.interval=1s"]);
    next_listing(&run);
    let place = api.requests();
    for _ in 0..LISTINGS {
        next_listing(&run);
    }
    let pages = api.deep_pages_from(place);
    assert!(pages <= 2 * LISTINGS * PAGES, "{pages} pages for {LISTINGS} listings of {PAGES} pages each");
}

#[test]
fn row_08_a_listing_goes_on_at_the_page_that_failed() {
    let api = Api::start(CHATS);
    let run = start(&api, &["--collector.interval=1s"]);
    next_listing(&run);
    let place = api.requests();
    api.with(|state| (state.deep_from, state.deep_status) = (1_500, Some(500)));
    let failed = || api.log_from(place).iter().filter(|asked| asked.status == 500).count();
    // A request is tried three times: with the fourth failure the listing was taken up again.
    eventually("a listing that is taken up again", || (failed() >= 4).then_some(()));
    api.with(|state| state.deep_status = None);
    next_listing(&run);
    let log = api.log_from(place);
    let deep: Vec<(i64, bool)> = log
        .iter()
        .filter_map(|asked| Some((asked.list_offset().filter(|offset| *offset > 0)?, asked.status == 500)))
        .collect();
    let first = deep.iter().position(|(_, failed)| *failed).unwrap();
    let last = deep.iter().rposition(|(_, failed)| *failed).unwrap();
    let offset = deep[first].0;
    assert!(
        deep[first..=last].iter().all(|(at, failed)| *at == offset && *failed),
        "the listing left the page at {offset}: {:?}",
        &deep[first..=last]
    );
    assert_eq!(deep[last + 1], (offset, false), "what follows the failure");
    let rest = deep[last + 1..].iter().take_while(|(at, _)| *at >= offset).count();
    assert!(rest > (CHATS - offset as usize) / 200, "{rest} pages from {offset} on");
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
    let failed = || api.log_from(0).iter().filter(|asked| asked.status == status).count();
    eventually("pages that fail", || (failed() >= 4).then_some(()));
    // What is new stands on the first page, and is counted; the page shows that the whole list was never read.
    let during = run.ready();
    assert_eq!(listed(&during), 0.0);
    assert_eq!(outbound(&during), 2.0);
    api.with(|state| state.deep_status = None);
    run.wait("a full listing", |page| listed(page) > 0.0 && page.sum("blooio_up") == 1.0);
}

#[test]
fn row_09_deep_pages_that_fail_later_hold_the_time_of_the_listing_and_nothing_else() {
    let api = Api::start(450);
    let run = start(&api, &[]);
    next_listing(&run);
    run.ready();
    let place = api.requests();
    api.with(|state| state.deep_status = Some(500));
    let failed = || api.log_from(place).iter().filter(|asked| asked.status == 500).count();
    eventually("a page that fails", || (failed() > 0).then_some(()));
    let before = run.exporter.page();
    for count in 1..=3 {
        api.push(440, |_| {});
        run.wait_sum(OUTBOUND, f64::from(count));
        several_listings(&api);
    }
    let during = run.wait("a healthy page", |page| (page.sum("blooio_up"), page.sum(DEFERRED)) == (1.0, 0.0));
    assert_eq!(listed(&during), listed(&before), "the time of a listing that did not end");
    assert!(during.sum(WATERMARK) > before.sum(WATERMARK));
    api.with(|state| state.deep_status = None);
    next_listing(&run);
}

#[test]
fn row_09_the_first_page_is_read_while_deep_offsets_are_rejected() {
    first_start_without_deep_pages(400);
}

#[test]
fn row_09_the_first_page_is_read_while_another_page_fails() {
    first_start_without_deep_pages(500);
}

#[test]
fn row_09_a_sweep_stops_above_the_chats_that_have_nothing_new() {
    let api = Api::start(CHATS);
    let run = start(&api, &["--collector.full-interval=1h"]);
    next_listing(&run);
    run.ready();
    wait_asked(&api, "/chats?", 4);
    let place = api.requests();
    for count in 1..=5 {
        // Of the first page, and of pages that no sweep reads.
        api.push(if count % 2 == 0 { 3 } else { CHATS - count }, |_| {});
        run.wait_sum(OUTBOUND, count as f64);
        wait_asked(&api, "/chats?", 4);
    }
    assert_eq!(api.deep_pages_from(place), 0, "sweeps went below the first page");
}

#[test]
fn row_09_a_first_sweep_stops_below_the_baseline() {
    let api = Api::start(CHATS);
    let run = start(&api, &["--collector.full-interval=1h"]);
    next_listing(&run);
    run.ready();
    let pages = api.deep_pages_from(0);
    assert!(pages <= PAGES + 2, "{pages} pages below the first for one listing of {PAGES} pages");
}

/// A list that names half of the chats, with 200, for several full listings.
fn half_a_list_ends_nothing(shrink: fn(&mut State), restore: fn(&mut State)) {
    const HALF: usize = 12;
    let api = Api::start(2 * HALF);
    let run = start(&api, &["--collector.audit-interval=1h"]);
    run.ready();
    for chat in 0..2 * HALF {
        api.push(chat, |_| {});
    }
    let open = api.push_open(HALF);
    run.wait_sum(OUTBOUND, 25.0);
    run.ready();
    let since = now();
    api.with(shrink);
    several_listings(&api);
    api.push(0, |_| {});
    run.wait_sum(OUTBOUND, 26.0);
    several_listings(&api);
    let during = run.exporter.page();
    assert_eq!(during.sum(UNCONFIRMED), 0.0);
    assert_eq!(during.sum("blooio_up"), 0.0, "half a list looks healthy");
    assert_held(&during, since);
    api.push(HALF + 1, |_| {});
    api.deliver(HALF, open);
    api.with(restore);
    let after = run.wait_sum(DELIVERED, 27.0);
    assert_eq!((outbound(&after), after.sum(UNCONFIRMED)), (27.0, 0.0));
    run.ready();
}

#[test]
fn row_03_half_a_list_ends_no_message() {
    half_a_list_ends_nothing(
        |state| state.left_out = |chat| chat.id.as_str() >= "+14155550012",
        |state| state.left_out = |_| false,
    );
}

#[test]
fn row_03_half_a_list_whose_other_chats_answer_404_ends_no_message() {
    half_a_list_ends_nothing(
        |state| state.chats[12..].iter_mut().for_each(|chat| chat.listed = false),
        |state| state.chats.iter_mut().for_each(|chat| chat.listed = true),
    );
}
