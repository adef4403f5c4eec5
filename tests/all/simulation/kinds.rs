//! Lives beyond the classic ones: an API that misleads, chats that stay broken, clocks that are wrong, odd content,
//! large accounts, and more messages than the budget can read.

use std::time::Duration;

use blooio_exporter::collect::Options;
use blooio_exporter::simulator::setup::{Order, Totals};
use blooio_exporter::simulator::{Chats, Endpoint, Knobs, Setup, Shares, Tuning, Upheavals};

use super::case::{Case, Event, Kind, MINUTE, SECOND, TIMEOUT, brings, downtime, one};

/// Settings of which the lives change a few.
pub(super) fn options() -> Options {
    Options {
        interval: Duration::from_secs(15),
        full_interval: Duration::from_secs(60),
        window: Duration::from_secs(600),
        lookback: Duration::from_secs(60),
        retention: Duration::from_secs(1_800),
        audit_interval: Duration::from_secs(300),
        horizon: Duration::from_secs(700),
        conversation_turn: Duration::from_secs(60),
        probe_interval: Duration::from_secs(60),
        probe_chats: Vec::new(),
        budget: 20.0,
    }
}

fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ 0x0d0b_7ed1)
}

/// A small account with some traffic and nothing odd about it.
fn account(seed: u64, rng: &mut fastrand::Rng) -> Setup {
    let rate = 1.0 + rng.f64() * 3.0;
    Setup {
        seed,
        lines: rng.usize(1..4),
        chats: rng.usize(4..18),
        history_messages: rng.usize(0..120),
        history_ms: 2 * 3_600_000,
        inbound_per_minute: rate,
        outbound_per_minute: rate,
        pace: one(rng, &[1.0, 10.0, 30.0]),
        page_cap: rng.usize(5..9),
        shares: Shares {
            late: 0.0,
            failed: 0.1,
            cancelled: 0.05,
            fallback: 0.1,
            long_tail: if rng.bool() { 0.1 } else { 0.0 },
            new_chat: if rng.bool() { 0.1 } else { 0.0 },
            ..Shares::default()
        },
        ..Setup::default()
    }
}

fn case(kind: Kind, setup: Setup, options: Options, mut events: Vec<(i64, Event)>) -> Case {
    events.sort_by_key(|(at, _)| *at);
    Case {
        kind,
        setup,
        options,
        timeout: TIMEOUT,
        clock_skews: vec![0],
        events,
        fragile: false,
        full: 0.0,
        date_error: 0,
        broken_rows: 0.0,
        breaks_chats: None,
        feed: None,
    }
}

fn lasting(events: &mut Vec<(i64, Event)>, name: &'static str, tuning: Tuning, from: i64, lasts: i64) {
    events.push((from, Event::On(name, tuning)));
    events.push((from + lasts, Event::Off(name)));
}

/// Answers that are valid and wrong, with how they are narrowed down.
fn lie(rng: &mut fastrand::Rng) -> (&'static str, Tuning) {
    let some_chats = Tuning::chats(Chats::Share(0.1 + rng.f64() * 0.9));
    let share = Tuning::share(0.1 + rng.f64() * 0.9);
    match rng.u8(0..16) {
        0 => ("empty-list", Tuning::default()),
        1 => ("empty-list", share),
        2 => ("hidden-chats", some_chats),
        3 => ("not-found", Tuning::default()),
        4 => ("not-found", some_chats),
        5 => ("not-found", Tuning::endpoint(one(rng, &[Endpoint::ListMessages, Endpoint::GetMessage]))),
        6 => (one(rng, &["renamed-id", "null-id"]), some_chats),
        7 => (one(rng, &["last-message-text", "no-last-message"]), some_chats),
        8 => (one(rng, &["no-times", "no-counts"]), some_chats),
        9 => ("empty-messages", some_chats),
        10 => ("totals-off", Tuning { value: Some(2.0), ..share }),
        11 => (one(rng, &["totals-wild", "totals-capped"]), share),
        12 => ("deep-offset", Tuning::value(4.0)),
        13 => ("list-page", Tuning::value(rng.f64() * 12.0)),
        14 => ("http-500", Tuning::endpoint(Endpoint::ListMessages)),
        _ => ("page-limit", Tuning::value(one(rng, &[100.0, 50.0]))),
    }
}

/// The API misleads for seconds or minutes, several times, while traffic goes on to the end.
pub(super) fn misled(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let mut setup = account(seed, rng);
    setup.knobs.totals = one(rng, &[Totals::Exact, Totals::Stale]);
    setup.knobs.list_lag_ms = one(rng, &[0, 0, 3_000]);
    setup.knobs.reused_ids = if rng.u8(0..4) == 0 { 0.5 } else { 0.0 };
    if setup.knobs.reused_ids > 0.0 {
        setup.upheavals.chat_deletes_per_hour = 6.0;
    }
    let end = rng.i64(20..30) * MINUTE;
    let mut events = vec![(end + 6 * MINUTE, Event::Quiet)];
    let mut options = options();
    match rng.u8(0..6) {
        0 => denied(&mut setup, &mut options, end, rng, &mut events),
        1 => healed(&setup, &mut options, end, rng, &mut events),
        _ => lies(end, rng, &mut events),
    }
    if rng.u8(0..3) == 0 {
        events.push((rng.i64(0..end), Event::Kill(downtime(rng).min(5 * MINUTE))));
    }
    if rng.u8(0..3) == 0 {
        // A longer window after a restart: the gauges are filled from the API again. Whatever else changes is drawn apart, so
        // that the rest of the life stays what it was.
        let window = Duration::from_secs(rng.u64(900..3_600));
        let restarted = other_settings(Options { window, ..options.clone() }, seed);
        events.push((rng.i64(0..end / 2), Event::Restart(Box::new(restarted))));
    }
    let broken_rows = if rng.u8(0..4) == 0 { 0.1 + rng.f64() * 0.2 } else { 0.0 };
    old_messages(seed, end, &options, &mut events);
    odd_rows(seed, end, &mut events);
    old_list(seed, end, &mut events);
    Case { broken_rows, ..case(Kind::Misled, setup, options, events) }
}

/// Other settings than before: all of them may change with a restart, and what was stored was made under the old ones.
fn other_settings(options: Options, seed: u64) -> Options {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let mut times = |duration: Duration, factors: &[f64]| duration.mul_f64(one(&mut rng, factors));
    Options {
        interval: times(options.interval, &[0.5, 1.0, 2.0]),
        full_interval: times(options.full_interval, &[0.5, 1.0, 2.0]),
        lookback: times(options.lookback, &[0.5, 1.0, 2.0]),
        retention: times(options.retention, &[1.0, 1.5]),
        audit_interval: times(options.audit_interval, &[0.5, 1.0, 1.5]),
        horizon: times(options.horizon, &[0.5, 1.0, 2.0]),
        probe_interval: times(options.probe_interval, &[1.0, 2.0]),
        ..options
    }
}

fn lies(end: i64, rng: &mut fastrand::Rng, events: &mut Vec<(i64, Event)>) {
    for _ in 0..rng.usize(1..4) {
        let (name, tuning) = lie(rng);
        let lasts = if rng.bool() { rng.i64(MINUTE..10 * MINUTE) } else { rng.i64(5 * SECOND..MINUTE) };
        // A list that is empty at the very first start is an account without chats.
        let from = rng.i64(2 * MINUTE..end - lasts);
        lasting(events, name, tuning, from, lasts);
    }
}

/// One chat, or a share of them.
fn one_or_some(rng: &mut fastrand::Rng) -> Chats {
    if rng.bool() { Chats::Nth(rng.u32(0..4)) } else { Chats::Share(0.1 + rng.f64() * 0.9) }
}

/// Messages are shown as they were a while before, for less than the time after which they are taken as they are. Drawn
/// apart, so that the rest of the life stays what it was.
fn old_messages(seed: u64, end: i64, options: &Options, events: &mut Vec<(i64, Event)>) {
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x01d0);
    if rng.u8(0..3) > 0 {
        return;
    }
    let chats = one_or_some(rng);
    let tuning = Tuning { value: Some(5.0 + rng.f64() * 175.0), ..Tuning::chats(chats) };
    let restarted = events.iter().find_map(|(_, event)| match event {
        Event::Restart(options) => Some(options.audit_interval),
        _ => None,
    });
    let patience = restarted.map_or(options.audit_interval, |later| later.min(options.audit_interval));
    let lasts = rng.i64(10 * SECOND..patience.as_millis() as i64 * 4 / 5);
    lasting(events, "old-messages", tuning, rng.i64(2 * MINUTE..end - lasts), lasts);
}

/// The list is as it was a while before. Drawn apart, so that the rest of the life stays what it was.
fn old_list(seed: u64, end: i64, events: &mut Vec<(i64, Event)>) {
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x011d);
    if rng.u8(0..6) > 0 {
        return;
    }
    let by = Tuning::value(5.0 + rng.f64() * 175.0);
    let lasts = rng.i64(10 * SECOND..6 * MINUTE);
    lasting(events, "old-list", by, rng.i64(2 * MINUTE..end - lasts), lasts);
}

/// Rows of the list whose parts contradict each other. Drawn apart, so that the rest of the life stays what it was.
fn odd_rows(seed: u64, end: i64, events: &mut Vec<(i64, Event)>) {
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x0dd0);
    if rng.u8(0..3) > 0 {
        return;
    }
    let chats = one_or_some(rng);
    let share = if rng.bool() { 1.0 } else { rng.f64() };
    let name = one(rng, &["counts-off", "old-last-message"]);
    // Messages of a while ago show the one that such a row names, and not the newest: two faults at once.
    if name == "old-last-message" && brings(events, "old-messages") {
        return;
    }
    let value = (name == "counts-off").then(|| one(rng, &[1.0, 3.0]));
    let lasts = rng.i64(10 * SECOND..6 * MINUTE);
    let tuning = Tuning { value, chats: Some(chats), ..Tuning::share(share) };
    lasting(events, name, tuning, rng.i64(2 * MINUTE..end - lasts), lasts);
}

/// Messages that are open for longer than the retention, in chats that nothing is heard of meanwhile, deny themselves once,
/// for too short a time to believe it.
fn denied(
    setup: &mut Setup,
    options: &mut Options,
    end: i64,
    rng: &mut fastrand::Rng,
    events: &mut Vec<(i64, Event)>,
) {
    setup.chats = 17;
    (setup.inbound_per_minute, setup.outbound_per_minute) = (0.2, 1.0);
    (setup.shares.long_tail, setup.pace) = (0.6, 2.0);
    options.retention = Duration::from_secs(600);
    options.horizon = Duration::from_secs(2_400);
    let from = rng.i64(14 * MINUTE..end - 3 * MINUTE);
    lasting(events, "not-found", Tuning::endpoint(Endpoint::GetMessage), from, 50 * SECOND);
}

/// A chat that cannot be read for longer than the retention, but for no more than two of them.
fn healed(
    setup: &Setup,
    options: &mut Options,
    end: i64,
    rng: &mut fastrand::Rng,
    events: &mut Vec<(i64, Event)>,
) {
    options.retention = Duration::from_secs(600);
    let chats = match rng.bool() {
        true => Chats::Share(0.3),
        false => Chats::Nth(rng.u32(0..setup.chats as u32)),
    };
    let lasts = rng.i64(13 * MINUTE..17 * MINUTE);
    let name = one(rng, &["http-500", "forbidden", "truncated-json"]);
    lasting(events, name, Tuning::chats(chats), rng.i64(MINUTE..end - lasts), lasts);
}

/// Answers of no use, most of them with 200. Drawn apart, so that the other lives stay what they were.
fn lasting_nonsense(seed: u64) -> Option<&'static str> {
    let rng = &mut fastrand::Rng::with_seed(seed ^ 0x0200);
    let kinds = ["html-200", "empty-200", "error-object-200", "truncated-close", "empty-messages", "reset"];
    (rng.u8(0..3) == 0).then(|| one(rng, &kinds))
}

/// Some chats are broken from some moment until the end.
pub(super) fn broken(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let mut setup = account(seed, rng);
    if rng.bool() {
        setup.upheavals.message_deletes_per_hour = 40.0;
        setup.shares.long_tail = 0.2;
    }
    let chats = match rng.u8(0..3) {
        0 => Chats::Share(0.1 + rng.f64() * 0.3),
        _ => Chats::Nth(rng.u32(0..setup.chats as u32)),
    };
    let name = one(rng, &["http-500", "http-503", "forbidden", "not-found", "truncated-json", "hang"]);
    let name = lasting_nonsense(seed).unwrap_or(name);
    let from = if rng.bool() { 0 } else { rng.i64(0..15 * MINUTE) };
    let end = rng.i64(40..55) * MINUTE;
    let mut events = vec![(from, Event::On(name, Tuning::chats(chats))), (end, Event::Quiet)];
    if rng.bool() {
        events.push((rng.i64(0..end), Event::Kill(downtime(rng).min(MINUTE))));
    }
    let options = Options { retention: Duration::from_secs(900), ..options() };
    Case { breaks_chats: Some(name), ..case(Kind::Broken, setup, options, events) }
}

/// Most of fifty busy chats begin to fail, or to hang: the others are read as if nothing had happened.
pub(super) fn mostly_broken(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let setup = Setup {
        chats: 50,
        inbound_per_minute: 10.0,
        outbound_per_minute: 5.0,
        page_cap: 200,
        ..account(seed, rng)
    };
    let name = one(rng, &["hang", "hang", "http-500", "truncated-json", "reset"]);
    let broken = Tuning::chats(Chats::Share(0.4 + rng.f64() * 0.3));
    let events = vec![(3 * MINUTE, Event::On(name, broken)), (20 * MINUTE, Event::Quiet)];
    Case { breaks_chats: Some(name), ..case(Kind::Broken, setup, options(), events) }
}

/// The host's clock is wrong at the start and right later, or the server's `Date` is wrong for a while.
pub(super) fn clocks(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let mut setup = account(seed, rng);
    setup.shares.long_tail = 0.3;
    let end = rng.i64(20..30) * MINUTE;
    let mut events = vec![(end + 6 * MINUTE, Event::Quiet)];
    let day = 86_400;
    let (mut date_error, mut clock_skews) = (0, vec![0]);
    match rng.u8(0..4) {
        0 => {
            events.push((rng.i64(0..end), Event::Kill(rng.i64(SECOND..2 * MINUTE))));
            let by = one(rng, &[-30 * day, -day, -7_200, 7_200, day]) * SECOND;
            clock_skews = if rng.bool() { vec![by, 0] } else { vec![by] };
        }
        1 => {
            // What holds for longer than a few minutes is the server's time: nothing is decided by it before it has held for
            // longer.
            let by = one(rng, &[-400.0, 400.0]);
            date_error = by as i64 * SECOND;
            let lasts = rng.i64(4 * MINUTE..8 * MINUTE);
            let from = rng.i64(4 * MINUTE..end - lasts);
            lasting(&mut events, "date-skew", Tuning::value(by), from, lasts);
            let chat = Tuning::chats(Chats::Nth(rng.u32(0..setup.chats as u32)));
            lasting(&mut events, "http-500", chat, from + 3 * MINUTE, rng.i64(MINUTE..8 * MINUTE));
        }
        _ => false_dates(end, rng, &mut events),
    }
    Case { clock_skews, date_error, ..case(Kind::Clocks, setup, options(), events) }
}

/// Dates that are too short a time wrong to be believed.
fn false_dates(end: i64, rng: &mut fastrand::Rng, events: &mut Vec<(i64, Event)>) {
    let day = 86_400;
    let far = |rng: &mut fastrand::Rng| {
        one(rng, &[30 * day, 30 * day, day, 3_600, -3_600, -30 * day, 400, -400]) as f64
    };
    if rng.bool() {
        // The very first answers: the host's clock is right.
        lasting(events, "date-skew", Tuning::value(far(rng)), 0, rng.i64(SECOND..45 * SECOND));
    }
    for _ in 0..rng.usize(1..4) {
        let by = far(rng);
        let lasts = rng.i64(2 * SECOND..150 * SECOND);
        let from = rng.i64(2 * MINUTE..end - lasts);
        let share = Tuning { value: Some(by), ..Tuning::share(0.3) };
        match rng.u8(0..5) {
            0 => lasting(events, "date-absent", Tuning::default(), from, lasts * 4),
            1 => lasting(events, "date-jumps", Tuning::share(rng.f64()), from, lasts),
            2 => lasting(events, "date-skew", share, from, lasts),
            _ => lasting(events, "date-skew", Tuning::value(by), from, lasts),
        }
    }
}

/// New chats that begin with a message dated ahead, on replicas that lag by seconds.
fn ahead(seed: u64, rng: &mut fastrand::Rng) -> Case {
    let base = account(seed, rng);
    let setup = Setup {
        chats: 4,
        inbound_per_minute: 5.0,
        outbound_per_minute: 5.0,
        shares: Shares { future: 0.5, new_chat: 0.6, ..base.shares.clone() },
        knobs: Knobs { replica_lag_ms: 15_000, ..Knobs::default() },
        ..base
    };
    case(Kind::Odd, setup, options(), vec![(rng.i64(20..30) * MINUTE, Event::Quiet)])
}

/// More messages in one millisecond than a page holds, where rows have no counts and totals are off by two now and then.
fn uncounted(seed: u64, rng: &mut fastrand::Rng) -> Case {
    let base = account(seed, rng);
    let setup = Setup {
        knobs: Knobs { totals: Totals::Stale, ..Knobs::default() },
        upheavals: Upheavals {
            bursts_per_hour: 120.0,
            burst_size: base.page_cap + rng.usize(1..3),
            ..Upheavals::default()
        },
        ..base
    };
    let quiet = (rng.i64(20..30) * MINUTE, Event::Quiet);
    // A row that lacks its id now and then: nothing but the row itself says that there is a message.
    let broken_rows = one(rng, &[0.0, 0.05]);
    let events = vec![(0, Event::On("no-counts", Tuning::default())), quiet];
    Case { broken_rows, ..case(Kind::Odd, setup, options(), events) }
}

/// Content and identities that are hard to handle, all the time.
pub(super) fn odd(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    match seed / 16 % 4 {
        0 => return ahead(seed, rng),
        2 => return uncounted(seed, rng),
        _ => {}
    }
    let base = account(seed, rng);
    let some = |rng: &mut fastrand::Rng, share: f64| if rng.bool() { share } else { 0.0 };
    let setup = Setup {
        email_share: 0.5,
        group_share: 0.2,
        shares: Shares {
            both_sides: some(rng, 0.2),
            read: some(rng, 0.3),
            lone_surrogate: some(rng, 0.2),
            huge_number: some(rng, 0.2),
            far_future: some(rng, 0.02),
            late: some(rng, 0.2),
            late_ms: (100, 10 * MINUTE),
            ..base.shares.clone()
        },
        knobs: Knobs {
            order: one(rng, &[Order::Sent, Order::Arrival]),
            totals: one(rng, &[Totals::Exact, Totals::Stale]),
            late_lines: rng.bool(),
            awkward_ids: some(rng, 0.7),
            time_grain_ms: one(rng, &[1, 1_000]),
            unstable_ties: rng.bool(),
            ..Knobs::default()
        },
        upheavals: Upheavals {
            group_chatter_per_minute: some(rng, 12.0),
            bursts_per_hour: some(rng, 24.0),
            burst_size: rng.usize(2..25),
            message_deletes_per_hour: some(rng, 60.0),
            ..Upheavals::default()
        },
        ..base
    };
    let mut events = vec![(rng.i64(20..30) * MINUTE, Event::Quiet)];
    let rows = one(rng, &["no-last-message", "no-times", "no-counts", "null-lines", "last-message-text"]);
    if rng.bool() {
        events.push((0, Event::On(rows, Tuning::default())));
    }
    case(Kind::Odd, setup, options(), events)
}

/// Messages that come as late as they may, in a long list of chats of which some are new, while the floor follows closely.
pub(super) fn tardy(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let retention = 600 * SECOND;
    // A single chat, whose own reads decide how far the floor rises.
    let is_single = rng.u8(0..3) == 0;
    let full = if is_single { 30 } else { one(rng, &[30, 60, 200]) };
    // Without a total a listing cannot tell that it missed a chat that moved past it: the next one sees it.
    let totals = one(rng, &[Totals::Exact, Totals::Exact, Totals::Stale, Totals::Absent]);
    let totals = if is_single { Totals::Exact } else { totals };
    // Many chats share one time, and stand in another order each time.
    let grain = if totals == Totals::Exact && !is_single { one(rng, &[1, 15 * SECOND]) } else { 1 };
    let latest = retention - if totals == Totals::Exact { SECOND + grain } else { (2 * full + 60) * SECOND };
    let least = one(rng, &[latest - 2 * SECOND, latest - 2 * SECOND, latest - 90 * SECOND, MINUTE]);
    let base = account(seed, rng);
    let mut setup = Setup {
        chats: rng.usize(20..40),
        history_messages: rng.usize(40..120),
        inbound_per_minute: 3.0,
        outbound_per_minute: 3.0,
        shares: Shares {
            late: 0.5,
            late_ms: (least.max(MINUTE), latest),
            new_chat: 0.2,
            ..base.shares.clone()
        },
        knobs: Knobs {
            replica_lag_ms: one(rng, &[0, 2_500]),
            list_lag_ms: one(rng, &[0, 2_500]),
            totals,
            shift: one(rng, &[0.0, 0.3]),
            time_grain_ms: grain,
            unstable_ties: grain > 1,
            ..Knobs::default()
        },
        ..base
    };
    if is_single {
        (setup.chats, setup.shares.new_chat, setup.shares.late) = (1, 0.0, 0.9);
        setup.shares.late_ms.0 = latest - 2 * SECOND;
        setup.knobs.replica_lag_ms = 2_500;
    }
    let end = rng.i64(25..35) * MINUTE;
    let mut events = vec![(end, Event::Quiet)];
    if rng.bool() {
        let lasts = rng.i64(MINUTE..10 * MINUTE);
        let (name, tuning) = match rng.u8(0..3) {
            0 => ("totals-capped", Tuning::value(10.0)),
            1 => ("totals-wild", Tuning::share(0.5)),
            _ => ("list-page", Tuning::value(rng.f64() * 20.0)),
        };
        lasting(&mut events, name, tuning, rng.i64(2 * MINUTE..end - lasts), lasts);
    }
    let options = Options {
        retention: Duration::from_millis(retention as u64),
        audit_interval: Duration::from_secs(one(rng, &[120, 300])),
        full_interval: Duration::from_secs(full as u64),
        budget: one(rng, &[8.0, 20.0]),
        ..options()
    };
    case(Kind::Tardy, setup, options, events)
}

/// Chats that the list lacks although they are there, for longer than the retention or all at once; and chats that are
/// merged while the exporter is down.
pub(super) fn vanishing(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let base = account(seed, rng);
    let mut setup = Setup {
        chats: rng.usize(12..30),
        pace: one(rng, &[1.0, 10.0]),
        shares: Shares { long_tail: 0.3, ..base.shares.clone() },
        ..base
    };
    let mut events = Vec::new();
    let options = match rng.u8(0..4) {
        0 => incident(&mut setup, rng, &mut events),
        1 => moved(&mut setup, rng, &mut events),
        _ => hidden(rng, &mut events),
    };
    case(Kind::Vanishing, setup, options, events)
}

/// The list lacks some chats for longer than the retention, and now and then they deny themselves, for less than it takes to
/// believe it.
fn hidden(rng: &mut fastrand::Rng, events: &mut Vec<(i64, Event)>) -> Options {
    let chats = Chats::Share(0.1 + rng.f64() * 0.3);
    let denied = Tuning { chats: Some(chats), ..Tuning::endpoint(Endpoint::GetChat) };
    let (audit, full) = one(rng, &[(300, 60), (200, 120)]);
    let mut from = rng.i64(3..6) * MINUTE;
    if rng.bool() {
        // It lacks them for a while, shows them, and lacks them again.
        let lasts = rng.i64(4 * full * SECOND..6 * full * SECOND);
        lasting(events, "hidden-chats", Tuning::chats(chats), from, lasts);
        lasting(events, "not-found", denied.clone(), from, lasts);
        from += lasts + rng.i64(2 * full * SECOND..3 * full * SECOND);
    }
    let lasts = rng.i64(24 * MINUTE..30 * MINUTE);
    lasting(events, "hidden-chats", Tuning::chats(chats), from, lasts);
    let end = from + lasts;
    let longest = if full == 60 { 280 } else { 350 };
    let mut at = from + rng.i64(0..4 * full * SECOND);
    for _ in 0..rng.usize(0..3) {
        let lasts = rng.i64(20..longest) * SECOND;
        lasting(events, "not-found", denied.clone(), at, lasts);
        at += lasts + rng.i64(400..500) * SECOND;
    }
    events.retain(|(at, _)| *at <= end);
    events.push((end + 5 * MINUTE, Event::Quiet));
    Options {
        retention: Duration::from_secs(600),
        audit_interval: Duration::from_secs(audit),
        full_interval: Duration::from_secs(full as u64),
        ..options()
    }
}

/// Most chats are gone for a quarter of an hour, by the list and by their own word.
fn incident(setup: &mut Setup, rng: &mut fastrand::Rng, events: &mut Vec<(i64, Event)>) -> Options {
    setup.chats = 30;
    let chats = Chats::Share(one(rng, &[0.7, 1.0]));
    let (from, lasts) = (rng.i64(3..8) * MINUTE, rng.i64(13 * MINUTE..18 * MINUTE));
    lasting(events, "hidden-chats", Tuning::chats(chats), from, lasts);
    lasting(events, "not-found", Tuning::chats(chats), from, lasts);
    events.push((from + lasts + 6 * MINUTE, Event::Quiet));
    Options { audit_interval: Duration::from_secs(1_200), horizon: Duration::from_secs(2_400), ..options() }
}

/// Chats are merged, and messages deleted, also while the exporter is down for longer than the horizon.
fn moved(setup: &mut Setup, rng: &mut fastrand::Rng, events: &mut Vec<(i64, Event)>) -> Options {
    setup.upheavals.merges_per_hour = 40.0;
    setup.upheavals.message_deletes_per_hour = 10.0;
    let at = rng.i64(8..15) * MINUTE;
    let down = rng.i64(20..28) * MINUTE;
    events.push((at, Event::Kill(down)));
    events.push((at + down + 8 * MINUTE, Event::Quiet));
    Options { horizon: Duration::from_secs(480), ..options() }
}

/// Thousands of chats on pages of real size, with totals that are off until it is quiet.
pub(super) fn large(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let setup = Setup {
        chats: one(rng, &[1_500, 2_000, 3_000, 5_000]),
        history_messages: 2_000,
        history_ms: 20 * 3_600_000,
        inbound_per_minute: 10.0,
        outbound_per_minute: 10.0,
        page_cap: 200,
        ..account(seed, rng)
    };
    let end = 15 * MINUTE;
    let off = Tuning { value: Some(2.0), ..Tuning::share(0.2) };
    let mut events = vec![(0, Event::On("totals-off", off)), (end, Event::Quiet)];
    if rng.bool() {
        let (name, tuning) = one(rng, &[("list-page", 600.0), ("deep-offset", 150.0), ("page-limit", 100.0)]);
        lasting(&mut events, name, Tuning::value(tuning), 0, rng.i64(MINUTE..6 * MINUTE));
    }
    let options = Options {
        full_interval: Duration::from_secs(180),
        retention: Duration::from_secs(900),
        horizon: Duration::from_secs(480),
        ..options()
    };
    case(Kind::Large, setup, options, events)
}

/// Twice as many messages as there are requests in the budget, then silence.
pub(super) fn overloaded(seed: u64) -> Case {
    let mut rng = rng(seed);
    let rng = &mut rng;
    let budget = one(rng, &[1.0, 2.0]);
    let base = account(seed, rng);
    let setup = Setup {
        lines: 3,
        chats: rng.usize(220..320),
        history_messages: 400,
        inbound_per_minute: budget * 60.0 * 0.6,
        outbound_per_minute: budget * 60.0 * 1.4,
        page_cap: 200,
        shares: Shares { sms: 0.3, sms_stay_sent: 0.9, new_chat: 0.0, ..base.shares.clone() },
        ..base
    };
    let options = Options {
        interval: Duration::from_secs(30),
        full_interval: Duration::from_secs(600),
        conversation_turn: Duration::from_secs(60),
        probe_interval: Duration::from_secs(120),
        audit_interval: Duration::from_secs(1_800),
        retention: Duration::from_secs(3_600),
        horizon: Duration::from_secs(3_600),
        budget,
        ..options()
    };
    case(Kind::Overloaded, setup, options, vec![(20 * MINUTE, Event::Quiet)])
}
