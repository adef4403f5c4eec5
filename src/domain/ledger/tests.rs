//! What the ledger counts, how messages end, and what a commit holds.

use super::lines::{MAX_LINE_NAME, MAX_LINES};
use super::*;
use crate::domain::Code;
use crate::domain::{ApiEvent, Author, Cause, Position, Protocol, Reason, SweepResult, Unreadable};

pub(super) const START: i64 = 1_000_000_000;
pub(super) const HOUR: i64 = 3_600_000;
pub(super) const CHAT: ChatKey = ChatKey(7);

pub(super) fn ledger() -> Ledger {
    let policy = Policy {
        window: HOUR,
        horizon: 72 * HOUR,
        retention: 168 * HOUR,
        audit_interval: 24 * HOUR,
        interval: 30_000,
        full_interval: 600_000,
        lookback: 600_000,
        turn: 60_000,
    };
    let mut ledger = Ledger::new(policy, Restored::default());
    ledger.begin(START);
    ledger
}

pub(super) fn outbound(id: u128, sent_at: i64, status: Status, protocol: Protocol) -> Observation {
    Observation {
        id: MessageId(id),
        direction: Direction::Outbound,
        line: LineId::NONE,
        sent_at,
        delivered_at: (status == Status::Delivered).then_some(sent_at + 1500),
        status,
        protocol,
        reason: Reason::Other,
    }
}

pub(super) fn count(ledger: &Ledger, counter: Counter) -> u64 {
    ledger.totals().get(counter)
}

pub(super) const ACCEPTED: Counter = Counter::Outbound { line: LineId::NONE };
const DELIVERED: Counter = Counter::Delivered { line: LineId::NONE, protocol: Protocol::Imessage };
const SENT_PENDING: Counter = Counter::Sent { line: LineId::NONE, protocol: Protocol::Pending };

#[test]
fn a_message_is_counted_once_and_ends_once() {
    let mut ledger = ledger();
    let at = START + 1000;
    for status in [Status::Queued, Status::Queued, Status::Sent, Status::Sent] {
        ledger.observe(CHAT, &outbound(1, at, status, Protocol::Pending), at + 5000);
    }
    assert_eq!((count(&ledger, ACCEPTED), count(&ledger, SENT_PENDING)), (1, 1));
    assert_eq!(ledger.messages().open_count(), 1);
    for _ in 0..3 {
        ledger.observe(CHAT, &outbound(1, at, Status::Delivered, Protocol::Imessage), at + 9000);
    }
    assert_eq!((count(&ledger, DELIVERED), count(&ledger, Counter::Regressions)), (1, 0));
    assert_eq!(ledger.messages().open_count(), 0);
}

#[test]
fn the_first_end_stands_and_a_regression_is_counted_once() {
    let mut ledger = ledger();
    let at = START + 1000;
    ledger.observe(CHAT, &outbound(1, at, Status::Delivered, Protocol::Imessage), at + 5000);
    for status in [Status::Failed, Status::Queued, Status::Failed] {
        ledger.observe(CHAT, &outbound(1, at, status, Protocol::Imessage), at + 6000);
    }
    assert_eq!((count(&ledger, DELIVERED), count(&ledger, Counter::Regressions)), (1, 1));
}

#[test]
fn history_fills_gauges_and_no_counter() {
    let mut ledger = ledger();
    let before = START - HOUR / 2;
    ledger.observe(CHAT, &outbound(1, before, Status::Queued, Protocol::Pending), START);
    ledger.observe(CHAT, &outbound(2, before, Status::Delivered, Protocol::Imessage), START);
    ledger.observe(CHAT, &outbound(3, START - 10 * HOUR, Status::Delivered, Protocol::Imessage), START);
    let shown = ledger.snapshot(START);
    assert_eq!(shown.recent.values().sum::<u64>(), 2, "the window shows what is in it");
    assert_eq!(shown.open_history.values().sum::<u64>(), 1);
    ledger.observe(CHAT, &outbound(1, before, Status::Failed, Protocol::Imessage), START + 1000);
    assert_eq!(ledger.totals().counters().map(|(_, value)| value).sum::<u64>(), 0);
    assert_eq!(ledger.messages().open_count(), 0);
}

#[test]
fn a_time_that_is_rewritten_past_the_baseline_is_history_no_more() {
    let mut ledger = ledger();
    ledger.observe(CHAT, &outbound(1, START - 5, Status::Queued, Protocol::Pending), START);
    ledger.observe(CHAT, &outbound(1, START + 5, Status::Sent, Protocol::Pending), START + 10);
    assert_eq!((count(&ledger, ACCEPTED), count(&ledger, SENT_PENDING)), (1, 1));
}

#[test]
fn an_open_message_is_given_up_only_when_it_is_seen_open_past_the_horizon() {
    let mut ledger = ledger();
    let at = START + 1000;
    let unconfirmed =
        Counter::Unconfirmed { line: LineId::NONE, protocol: Protocol::Sms, status: Status::Sent };
    ledger.observe(CHAT, &outbound(1, at, Status::Sent, Protocol::Sms), at + 71 * HOUR);
    assert_eq!(count(&ledger, unconfirmed), 0);
    ledger.observe(CHAT, &outbound(1, at, Status::Sent, Protocol::Sms), at + 72 * HOUR);
    ledger.observe(CHAT, &outbound(1, at, Status::Delivered, Protocol::Sms), at + 73 * HOUR);
    assert_eq!((count(&ledger, unconfirmed), count(&ledger, Counter::Regressions)), (1, 0));
    assert_eq!(ledger.messages().open_count(), 0);
}

pub(super) fn listed(last_at: i64, messages: u32) -> Listing {
    Listing {
        last_at: Some(last_at),
        last_id: None,
        messages: Some(messages),
        inbound: None,
        outbound: None,
        times: None,
    }
}

/// Chats `keys`, each with a message at `at`, read deeply at `audited_at`.
pub(super) fn audited(ledger: &mut Ledger, keys: std::ops::Range<u128>, at: i64, audited_at: i64) {
    for key in keys {
        ledger.record_listed(ChatKey(key), ChatKind::Phone, listed(at, 1));
        ledger.update_chat(ChatKey(key), |chat| chat.audited_at = Some(audited_at));
    }
}

#[test]
fn the_floor_waits_for_the_oldest_audit_and_what_it_passes_is_never_counted_again() {
    let mut ledger = ledger();
    let at = START + 1000;
    ledger.record_listed(CHAT, ChatKind::Phone, listed(at, 1));
    let message = outbound(1, at, Status::Delivered, Protocol::Imessage);
    ledger.observe(CHAT, &message, at);
    let much_later = at + 400 * HOUR;
    ledger.record_full_listing(much_later);
    ledger.advance_floor(much_later);
    assert_eq!(ledger.progress().floor, START, "the chat was never read deeply");
    ledger.update_chat(CHAT, |chat| chat.audited_at = Some(much_later));
    ledger.set_settled(false);
    ledger.advance_floor(much_later);
    assert_eq!(ledger.progress().floor, START, "the clock is not settled");
    ledger.set_settled(true);
    ledger.advance_floor(much_later);
    ledger.prune(much_later);
    assert_eq!(ledger.progress().floor, much_later - 5_000 - 168 * HOUR);
    ledger.snapshot(much_later);
    assert_eq!(ledger.messages().get(message.id), None);
    assert_eq!(ledger.observe(CHAT, &message, much_later), Outcome::Passed);
    assert_eq!(count(&ledger, ACCEPTED), 1);
}

#[test]
fn what_came_since_a_chat_was_first_listed_is_what_its_first_read_must_find() {
    let explained = |ledger: &Ledger, key| ledger.chats().get(ChatKey(key)).unwrap().explained;
    let mut ledger = ledger();
    for key in 1..=4 {
        ledger.record_listed(ChatKey(key), ChatKind::Phone, listed(START, 5));
        assert!(!ledger.record_listed(ChatKey(key), ChatKind::Phone, listed(START, 5)));
        assert_eq!(explained(&ledger, key), None);
    }
    ledger.record_listed(ChatKey(1), ChatKind::Phone, listed(START + 10, 7));
    assert_eq!(explained(&ledger, 1), Some(5));
    ledger.record_listed(ChatKey(1), ChatKind::Phone, listed(START + 20, 8));
    assert_eq!(explained(&ledger, 1), Some(5), "none of them was read yet");
    // Once it was read, that is what counts.
    ledger.update_chat(ChatKey(2), |chat| chat.audited_at = Some(START));
    ledger.record_listed(ChatKey(2), ChatKind::Phone, listed(START + 10, 7));
    assert_eq!(explained(&ledger, 2), None);
    ledger.update_chat(ChatKey(3), |chat| chat.listed = Listing::UNLIKE_ANY);
    ledger.record_listed(ChatKey(3), ChatKind::Phone, listed(START + 10, 7));
    assert_eq!(explained(&ledger, 3), None, "that row counts nothing");
    let uncounted = Listing { messages: None, ..listed(START + 10, 0) };
    ledger.update_chat(ChatKey(4), |chat| chat.listed = uncounted);
    ledger.record_listed(ChatKey(4), ChatKind::Phone, listed(START + 10, 7));
    assert_eq!(explained(&ledger, 4), None);
}

#[test]
fn what_a_chat_counts_that_is_new_since_all_were_listed_came_since() {
    let mut ledger = ledger();
    ledger.record_listed(ChatKey(1), ChatKind::Phone, listed(START, 5));
    ledger.record_full_listing(START + HOUR);
    ledger.record_listed(ChatKey(2), ChatKind::Phone, listed(START + 2 * HOUR, 5));
    let explained = |key| ledger.chats().get(ChatKey(key)).unwrap().explained;
    assert_eq!((explained(1), explained(2)), (None, Some(0)));
}

#[test]
fn a_chat_that_cannot_be_read_holds_the_floor_for_one_retention_and_no_longer() {
    let mut ledger = ledger();
    let retention = 168 * HOUR;
    let broken = START + HOUR;
    audited(&mut ledger, 1..2, START + 2 * HOUR, broken);
    ledger.record_unreadable(ChatKey(1), Unreadable::ServerError, broken);
    for (hours, floor) in [(300, broken - retention), (400, START + 400 * HOUR - 2 * retention)] {
        let now = START + hours * HOUR;
        audited(&mut ledger, 2..5, now, now - HOUR);
        ledger.record_full_listing(now);
        ledger.advance_floor(now);
        assert_eq!(ledger.progress().floor, floor.max(START), "after {hours} h");
    }
}

#[test]
fn a_chat_is_gone_only_when_the_list_and_the_chat_agree_over_time() {
    let now = START + 100 * HOUR;
    let minute = 60_000;
    for (name, listings, not_found, minutes, gone) in [
        ("only the list", 9, 0, 60, false),
        ("only the chat", 0, 9, 60, false),
        ("both, once", 3, 1, 60, false),
        ("a single listing beside the chat", 1, 2, 30, false),
        ("both, within a minute", 3, 2, 1, false),
        ("both, over half an hour", 3, 2, 30, true),
    ] {
        let mut ledger = ledger();
        audited(&mut ledger, 0..100, now, now);
        (0..listings).for_each(|_| ledger.record_absent(ChatKey(7), now, false));
        (0..not_found).for_each(|_| ledger.record_not_found(ChatKey(7), now));
        assert_eq!(ledger.is_gone_from_list(ChatKey(7)), listings >= 3, "{name}");
        assert_eq!(ledger.remove_if_gone(ChatKey(7), now + minutes * minute), gone, "{name}");
    }
}

#[test]
fn a_chat_that_is_listed_again_is_absent_from_the_start() {
    let mut ledger = ledger();
    let now = START + 100 * HOUR;
    audited(&mut ledger, 0..100, now, now);
    let key = ChatKey(7);
    (0..2).for_each(|_| ledger.record_absent(key, now, false));
    ledger.record_listed(key, ChatKind::Phone, listed(now, 1));
    for gone in [false, false, true] {
        ledger.record_absent(key, now, false);
        assert_eq!(ledger.is_gone_from_list(key), gone);
    }
}

#[test]
fn a_chat_that_cannot_be_asked_is_gone_when_listings_lacked_it_for_a_day_of_this_process() {
    let absent_at = START + 100 * HOUR;
    // (name, listings, whether they may hide it, hours from the first of them to the start, hours from there, gone)
    for (name, listings, may_hide, before, after, gone) in [
        ("a moment ago", 3, false, 0, 1, false),
        ("for long, but it could be asked then", 3, false, 30, 23, false),
        ("for a day", 3, false, 0, 24, true),
        ("for a day of this process", 3, false, 30, 24, true),
        ("twice", 2, false, 0, 48, false),
        ("for a day, in listings with rows that cannot be used", 30, true, 0, 24, false),
        ("for a retention, in listings with rows that cannot be used", 30, true, 0, 168, true),
    ] {
        let mut ledger = ledger();
        audited(&mut ledger, 0..100, absent_at, absent_at);
        (0..listings).for_each(|_| ledger.record_absent(ChatKey(7), absent_at, may_hide));
        let started = absent_at + before * HOUR;
        assert_eq!(
            ledger.remove_if_long_absent(ChatKey(7), started, started + after * HOUR, may_hide),
            gone,
            "{name}"
        );
    }
}

#[test]
fn listings_that_may_hide_a_chat_are_no_more_than_one_when_it_could_be_told_again() {
    let mut ledger = ledger();
    let now = START + 100 * HOUR;
    audited(&mut ledger, 0..100, now, now);
    for (may_hide, gone) in [(true, false), (true, false), (true, false), (false, false), (false, true)] {
        ledger.record_absent(ChatKey(7), now, may_hide);
        assert_eq!(ledger.is_gone_from_list(ChatKey(7)), gone);
    }
}

#[test]
fn the_loss_of_many_chats_at_once_is_an_incident_for_a_day() {
    let mut ledger = ledger();
    let now = START + 100 * HOUR;
    audited(&mut ledger, 0..100, now, now);
    for key in 0..50 {
        (0..3).for_each(|_| ledger.record_absent(ChatKey(key), now, false));
        (0..3).for_each(|_| ledger.record_not_found(ChatKey(key), now));
    }
    assert!(!ledger.remove_if_gone(ChatKey(7), now + HOUR));
    assert!(ledger.remove_if_gone(ChatKey(7), now + 24 * HOUR));
}

#[test]
fn a_missing_message_is_given_up_only_on_evidence_of_its_own_and_of_every_chat() {
    let missing_at = START + HOUR;
    let minute = 60_000;
    // (name, misses, minutes between them, all chats audited afterwards, one of them unreadable, given up)
    for (name, misses, apart, audit_after, broken, gone) in [
        ("missing once", 1, 5, true, false, false),
        ("missing twice at once", 2, 0, true, false, false),
        ("missing twice, not looked for elsewhere", 2, 5, false, false, false),
        ("missing twice, one chat cannot be read", 2, 5, true, true, false),
        ("missing twice, and nowhere else", 2, 5, true, false, true),
    ] {
        let mut ledger = ledger();
        ledger.observe(CHAT, &outbound(1, missing_at, Status::Queued, Protocol::Pending), missing_at);
        let audited_at = if audit_after { missing_at + HOUR } else { missing_at - 1 };
        audited(&mut ledger, 1..4, missing_at, audited_at);
        if broken {
            ledger.record_unreadable(ChatKey(1), Unreadable::NotFound, missing_at);
        }
        for n in 0..misses {
            ledger.record_missing(MessageId(1), missing_at + n * apart * minute);
        }
        let now = missing_at + 2 * HOUR;
        ledger.record_full_listing(now);
        ledger.close_missing(now);
        assert_eq!(ledger.messages().open_count() == 0, gone, "{name}");
    }
}

#[test]
fn a_missing_message_is_closed_two_audits_after_the_horizon_whatever_cannot_be_read() {
    let mut ledger = ledger();
    ledger.observe(CHAT, &outbound(1, START + 1, Status::Queued, Protocol::Pending), START + 1);
    audited(&mut ledger, 1..2, START + HOUR, START + HOUR);
    ledger.record_unreadable(ChatKey(1), Unreadable::NotFound, START);
    ledger.record_missing(MessageId(1), START + HOUR);
    audited(&mut ledger, 2..3, START + 100 * HOUR, START + 100 * HOUR);
    ledger.record_full_listing(START + 101 * HOUR);
    ledger.close_missing(START + 119 * HOUR);
    assert_eq!(ledger.messages().open_count(), 1);
    ledger.close_missing(START + 121 * HOUR);
    assert_eq!(ledger.messages().open_count(), 0);
}

#[test]
fn a_missing_message_is_not_closed_before_every_chat_was_audited_however_late() {
    let mut ledger = ledger();
    ledger.observe(CHAT, &outbound(1, START + 1, Status::Queued, Protocol::Pending), START + 1);
    audited(&mut ledger, 1..2, START + HOUR, START + HOUR);
    ledger.record_missing(MessageId(1), START + 2 * HOUR);
    ledger.record_full_listing(START + 200 * HOUR);
    ledger.close_missing(START + 201 * HOUR);
    assert_eq!(ledger.messages().open_count(), 1, "the audit is from before it was missing");
    audited(&mut ledger, 1..2, START + HOUR, START + 200 * HOUR);
    ledger.close_missing(START + 201 * HOUR);
    assert_eq!(ledger.messages().open_count(), 0);
}

#[test]
fn a_message_dated_ahead_is_given_up_by_the_time_it_was_first_seen() {
    let mut ledger = ledger();
    let ahead = START + 10_000 * HOUR;
    ledger.observe(CHAT, &outbound(1, ahead, Status::Sent, Protocol::Sms), START + 1);
    ledger.observe(CHAT, &outbound(1, ahead, Status::Sent, Protocol::Sms), START + 71 * HOUR);
    assert_eq!(ledger.messages().open_count(), 1);
    ledger.observe(CHAT, &outbound(1, ahead, Status::Sent, Protocol::Sms), START + 72 * HOUR + 1);
    assert_eq!(ledger.messages().open_count(), 0);
}

#[test]
fn a_longer_window_is_filled_with_what_is_held() {
    let mut ledger = ledger();
    let now = START + 10 * HOUR;
    for (id, hours) in [(1, 1), (2, 3), (3, 9)] {
        let sent_at = START + hours * HOUR;
        ledger.observe(CHAT, &outbound(id, sent_at, Status::Delivered, Protocol::Imessage), sent_at);
    }
    assert_eq!(ledger.snapshot(now).recent.values().sum::<u64>(), 0);
    ledger.set_policy(Policy { window: 8 * HOUR, ..ledger.policy() }, now);
    assert_eq!(ledger.snapshot(now).recent.values().sum::<u64>(), 2);
    assert_eq!(ledger.verify(), Ok(()));
}

#[test]
fn a_message_between_two_lines_counts_on_both_sides() {
    let mut ledger = ledger();
    let at = START + 1000;
    let (out, mut back) = (
        outbound(2, at, Status::Failed, Protocol::Imessage),
        outbound(2, at, Status::Delivered, Protocol::Imessage),
    );
    back.direction = Direction::Inbound;
    for (chat, mut side) in [(1, out), (2, back)] {
        side.id = MessageId::new(side.id.0, side.direction);
        assert_eq!(ledger.observe(ChatKey(chat), &side, at), Outcome::Counted);
    }
    let inbound = Counter::Inbound { line: LineId::NONE, protocol: Protocol::Imessage };
    assert_eq!((count(&ledger, ACCEPTED), count(&ledger, inbound)), (1, 1));
}

#[test]
fn sums_and_orders_are_those_of_a_ledger_built_from_scratch_whatever_happens() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut ledger = ledger();
    let mut now = START;
    for round in 0..4_000 {
        now += rng.i64(0..600_000);
        let (key, id) = (ChatKey(rng.u128(0..20)), rng.u128(0..300));
        let status = Status::ALL[rng.usize(0..Status::ALL.len())];
        let protocol = Protocol::ALL[rng.usize(0..Protocol::ALL.len())];
        let sent_at = now - rng.i64(-HOUR..200 * HOUR);
        match rng.u8(0..12) {
            0..5 => drop(ledger.observe(key, &outbound(id, sent_at, status, protocol), now)),
            5 => drop(ledger.record_listed(
                key,
                ChatKind::ALL[rng.usize(0..4)],
                listed(sent_at, rng.u32(0..9)),
            )),
            6 => ledger.mark_changed(key, now - 60_000),
            7 => ledger.update_chat(key, |chat| (chat.changed_since, chat.audited_at) = (None, Some(now))),
            8 => ledger.record_unreadable(key, Unreadable::ALL[rng.usize(0..4)], now),
            9 => drop(ledger.record_readable(key)),
            10 => ledger.record_missing(MessageId(id), now),
            _ => {
                ledger.record_full_listing(now);
                ledger.advance_floor(now);
                ledger.close_missing(now);
                ledger.prune(now);
            }
        }
        if round % 50 == 0 {
            ledger.snapshot(now);
        }
        assert_eq!(ledger.verify(), Ok(()), "round {round}");
    }
    assert!(ledger.messages().len() <= 300 && ledger.progress().floor > START);
}

#[test]
fn what_a_failed_commit_did_not_store_is_in_the_next_delta() {
    let mut ledger = ledger();
    ledger.observe(CHAT, &outbound(1, START + 1, Status::Sent, Protocol::Sms), START + 2);
    let failed = ledger.delta();
    ledger.restore_delta(&failed);
    let again = ledger.delta();
    assert_eq!((again.messages, again.counters), (failed.messages, failed.counters));
    assert!(ledger.delta().messages.is_empty());
}

#[test]
fn after_lost_commits_one_delta_holds_everything() {
    let mut ledger = ledger();
    let line = ledger.line(Some("+13105550101"));
    ledger.record_listed(CHAT, ChatKind::Phone, listed(START + 5, 1));
    ledger.record_lines(&[(line, (Some(true), None))].into());
    for (id, status) in [(1, Status::Sent), (2, Status::Delivered)] {
        let observation = Observation { line, ..outbound(id, START + 1, status, Protocol::Sms) };
        ledger.observe(CHAT, &observation, START + 2);
    }
    let lost = ledger.delta();
    ledger.record_lost_commits();
    assert!(ledger.is_changed());
    let failed = ledger.delta();
    ledger.restore_delta(&failed);
    let whole = ledger.delta();
    assert!(whole.is_whole && failed.is_whole && !lost.is_whole);
    assert_eq!((&whole.lines, &whole.devices), (&lost.lines, &lost.devices));
    assert_eq!((&whole.chats, &whole.messages, &whole.told), (&lost.chats, &lost.messages, &lost.told));
    assert!(lost.counters.iter().all(|counter| whole.counters.contains(counter)));
    assert!(lost.histograms.iter().all(|histogram| whole.histograms.contains(histogram)));
    assert!(!ledger.delta().is_whole);
}

#[test]
fn lines_past_the_cap_and_names_that_cannot_be_labels_share_one_series() {
    let mut ledger = ledger();
    for n in 0..MAX_LINES {
        assert_ne!(ledger.line(Some(&format!("+1{n}"))), LineId::OVERFLOW);
    }
    assert_eq!(ledger.line(Some("+1999")), LineId::OVERFLOW);
    assert_eq!(ledger.line(Some(&"x".repeat(MAX_LINE_NAME + 1))), LineId::OVERFLOW);
    assert_eq!(ledger.line(None), LineId::NONE);
}

#[test]
fn traffic_over_time_adds_up_to_the_window() {
    let mut ledger = ledger();
    // Steps are whole minutes.
    let now = (START / 60_000 + 121) * 60_000;
    for (id, sent_at, status) in [
        (1, now - HOUR, Status::Delivered),
        (2, now - HOUR + 1, Status::Failed),
        (3, now - 30 * 60_000, Status::Delivered),
        (4, now - 1, Status::Sent),
        (5, now, Status::Failed),
        (6, now + 1, Status::Queued),
    ] {
        ledger.observe(ChatKey(1), &outbound(id, sent_at, status, Protocol::Imessage), now);
    }
    let snapshot = ledger.snapshot(now);
    let traffic = &snapshot.traffic[&LineId::NONE];
    let steps = |steps: &[u32]| -> Vec<(usize, u32)> {
        steps.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect()
    };
    // The first is just too old, the last one is dated ahead.
    assert_eq!(steps(&traffic.outbound), [(0, 1), (29, 1), (58, 1), (59, 1)]);
    assert_eq!(steps(&traffic.failed), [(0, 1), (59, 1)]);
    assert_eq!(steps(&traffic.inbound), []);
    assert_eq!(snapshot.recent.values().sum::<u64>(), 4);
}

#[test]
fn what_is_not_handed_over_is_overdue_after_a_quarter_of_an_hour_and_no_more_once_it_is() {
    use super::super::messages::OVERDUE;
    let mut ledger = ledger();
    let overdue = |ledger: &mut Ledger, now| ledger.snapshot(now).overdue[&LineId::NONE];
    ledger.line(None);
    for id in 1..=3 {
        ledger.observe(CHAT, &outbound(id, START + id as i64, Status::Queued, Protocol::Imessage), START + 9);
    }
    assert_eq!(overdue(&mut ledger, START + OVERDUE), 0);
    assert_eq!(overdue(&mut ledger, START + OVERDUE + 2), 2);
    for status in [Status::Sent, Status::Queued] {
        ledger.observe(CHAT, &outbound(1, START + 1, status, Protocol::Imessage), START + OVERDUE + 3);
        assert_eq!(overdue(&mut ledger, START + OVERDUE + 3), 2, "one of three was handed over: {status:?}");
    }
    ledger.observe(CHAT, &outbound(2, START + 2, Status::Failed, Protocol::Imessage), START + OVERDUE + 4);
    ledger.observe(CHAT, &outbound(4, START + 4, Status::Pending, Protocol::Imessage), START + OVERDUE + 5);
    assert_eq!(overdue(&mut ledger, START + OVERDUE + 5), 2);
    assert_eq!(ledger.verify(), Ok(()));
}

#[test]
fn a_probe_that_says_nothing_of_the_device_leaves_what_is_known_of_it() {
    let mut ledger = ledger();
    let line = ledger.line(Some("+1"));
    let device = |ledger: &mut Ledger| ledger.snapshot(START).devices[&line];
    for (code, now, answered) in
        [(200, 1, true), (502, 2, false), (403, 3, false), (404, 4, false), (200, 5, true)]
    {
        ledger.record_probe(line, Code::Status(code), 0.1, START + now);
        let expected = Device { probed_at: Some(START + now), answered: Some(answered), ..Device::default() };
        assert_eq!(device(&mut ledger), expected, "{code}");
    }
    ledger.record_lines(&BTreeMap::from([(line, (Some(true), Some(7)))]));
    assert_eq!((device(&mut ledger).active, device(&mut ledger).last_active), (Some(true), Some(7)));
    ledger.record_lines(&BTreeMap::new());
    assert_eq!((device(&mut ledger).active, device(&mut ledger).answered), (None, Some(true)));
    ledger.forget_probes();
    assert_eq!(device(&mut ledger), Device::default());
}

/// A message of `CHAT` (id, minutes after the start): even ids come from the contact.
pub(super) fn said(id: u128, minute: i64) -> Observation {
    let direction = if id.is_multiple_of(2) { Direction::Inbound } else { Direction::Outbound };
    let message = outbound(id, START + minute * 60_000, Status::Sent, Protocol::Imessage);
    Observation { id: MessageId::new(id << 1, direction), direction, ..message }
}

/// What is told of conversations.
pub(super) fn told(ledger: &Ledger) -> Vec<(Counter, u64)> {
    use super::super::families::Group;
    let is_told = |counter: &Counter| {
        Group::Conversations
            .counters()
            .any(|family| counter.family().is_some_and(|of| std::ptr::eq(of, family)))
    };
    ledger.totals().counters().filter(|(counter, value)| *value > 0 && is_told(counter)).collect()
}

/// Observes messages of a chat that the list says to hold so many, in this order, a commit after each, then rests.
fn converse(mut ledger: Ledger, order: &[(u128, i64)], messages: u32) -> Ledger {
    let now = START + HOUR;
    ledger.record_listed(CHAT, ChatKind::Phone, listed(now, messages));
    ledger.record_list(START + 5 * 60_000);
    ledger.mark_listed(CHAT, 1, START + 5 * 60_000);
    for (id, minute) in order {
        ledger.observe(CHAT, &said(*id, *minute), now);
        ledger.place_messages();
        ledger.delta();
        assert_eq!(ledger.verify(), Ok(()));
    }
    ledger.record_list(now + 2 * ledger.policy().lookback);
    ledger.mark_listed(CHAT, 1, now + 2 * ledger.policy().lookback);
    ledger.place_messages();
    assert_eq!(ledger.verify(), Ok(()));
    ledger
}

#[test]
fn conversations_are_the_same_in_whatever_order_messages_are_observed() {
    let (line, one) = (LineId::NONE, Position::First);
    let messages = [(1, 6), (3, 7), (5, 20), (2, 30), (7, 31), (4, 40), (9, 41)];
    let expected = [
        (Counter::ConversationsStarted { line, by: Author::Us }, 1),
        (Counter::ConversationsAnswered { line }, 1),
        (Counter::UnansweredMessages { line, position: one }, 4),
        (Counter::UnansweredMessages { line, position: Position::Second }, 1),
    ];
    let mut order = messages;
    let mut seed = 7u64;
    for _ in 0..200 {
        let ended = converse(ledger(), &order, 7);
        assert_eq!(told(&ended), expected, "{order:?}");
        let replies = HistogramKey::ReplyDelay { line };
        let sum = ended.totals().histograms().find(|(key, _)| *key == replies).map(|(_, h)| h.sum);
        assert_eq!(sum, Some((10.0 + 9.0) * 60.0));
        assert_eq!(ended.conversations().unanswered()[&(line, one)], 1);
        for at in (1..order.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(at, (seed >> 33) as usize % (at + 1));
        }
    }
}

#[test]
fn a_chat_that_holds_more_than_was_observed_is_not_new_and_a_group_is_no_conversation() {
    let started =
        |ledger: &Ledger| told(ledger).iter().any(|(c, _)| matches!(c, Counter::ConversationsStarted { .. }));
    assert!(started(&converse(ledger(), &[(1, 6)], 1)));
    assert!(!started(&converse(ledger(), &[(1, 6)], 2)));
    let mut group = ledger();
    group.record_listed(CHAT, ChatKind::Group, listed(START + HOUR, 1));
    group.observe(CHAT, &said(1, 6), START + HOUR);
    group.record_list(START + 2 * HOUR);
    group.mark_listed(CHAT, 1, START + 2 * HOUR);
    group.place_messages();
    assert_eq!(told(&group), []);
}

#[test]
fn a_message_behind_one_that_has_its_place_has_none_and_counts_so() {
    let mut ended = converse(ledger(), &[(1, 6), (2, 9)], 2);
    let before = told(&ended);
    ended.observe(CHAT, &said(3, 8), START + 2 * HOUR);
    ended.place_messages();
    assert_eq!(ended.totals().get(Counter::UnplacedMessages), 1);
    assert_eq!(told(&ended).len(), before.len() + 1, "and nothing else changed");
}

#[test]
fn nothing_takes_its_place_while_its_chat_is_still_to_be_read() {
    let mut ledger = ledger();
    ledger.record_listed(CHAT, ChatKind::Phone, listed(START + HOUR, 1));
    ledger.observe(CHAT, &said(1, 6), START + HOUR);
    ledger.mark_changed(CHAT, START + HOUR);
    ledger.record_list(START + 9 * HOUR);
    ledger.mark_listed(CHAT, 1, START + 9 * HOUR);
    ledger.place_messages();
    assert_eq!(told(&ledger), []);
    ledger.update_chat(CHAT, |chat| chat.changed_since = None);
    ledger.place_messages();
    assert_eq!(told(&ledger).len(), 2);
}

#[test]
fn a_chat_is_judged_by_a_row_that_is_newer_than_its_messages_and_counts_them_all() {
    let now = START + HOUR;
    let later = now + 2 * HOUR;
    // (name, when the row was listed, messages that reads found, messages that the row counts, places)
    for (name, listed_at, explained, messages, places) in [
        ("a row from before the message was observed", now - 1, None, 1, false),
        ("a row that counts fewer than were read", now + 1, Some(2), 1, false),
        ("a row that counts more than were read", now + 1, Some(1), 2, false),
        ("a row that says it all", now + 1, Some(1), 1, true),
    ] {
        let mut ledger = ledger();
        ledger.record_listed(CHAT, ChatKind::Phone, listed(now, messages));
        ledger.update_chat(CHAT, |chat| chat.explained = explained);
        ledger.mark_listed(CHAT, 1, listed_at);
        ledger.observe(CHAT, &said(1, 50), now);
        ledger.record_list(later);
        ledger.place_messages();
        assert_eq!(!told(&ledger).is_empty(), places, "{name}");
    }
}

#[test]
fn a_conversation_in_which_nothing_happened_for_the_retention_is_forgotten() {
    let mut ledger = converse(ledger(), &[(1, 6), (2, 9)], 2);
    let newest = START + 9 * 60_000;
    for (floor, known) in [(newest - 1, 1), (newest, 0)] {
        ledger.progress.floor = floor;
        ledger.place_messages();
        assert_eq!(ledger.conversations().len(), known);
    }
}

#[test]
fn a_message_that_left_imessage_is_lost_whichever_of_the_two_is_learnt_first() {
    let line = LineId::NONE;
    let delivered = Observation { status: Status::Delivered, ..said(1, 6) };
    let lost = Observation { protocol: Protocol::Sms, ..said(3, 7) };
    let unknown = Observation { status: Status::Failed, reason: Reason::NotOnImessage, ..said(5, 8) };
    let early = Observation { protocol: Protocol::Rcs, ..said(7, 5) };
    let mut orders = vec![[delivered, lost, unknown, early], [lost, early, delivered, unknown]];
    orders.push([early, unknown, lost, delivered]);
    for order in orders {
        let mut ledger = ledger();
        ledger.record_listed(CHAT, ChatKind::Phone, listed(START + HOUR, 4));
        for observation in order.iter().chain(&order) {
            ledger.observe(CHAT, observation, START + HOUR);
        }
        assert_eq!(ledger.totals().get(Counter::LostImessage { line }), 2, "{order:?}");
        assert_eq!(ledger.verify(), Ok(()));
    }
}

pub(super) fn histogram(ledger: &Ledger, key: HistogramKey) -> (u64, f64) {
    let found = ledger.totals().histograms().find(|(found, _)| *found == key);
    found.map_or((0, 0.0), |(_, histogram)| (histogram.count(), histogram.sum))
}

#[test]
fn the_baseline_is_fixed_once_by_a_time_that_is_known() {
    let mut ledger = Ledger::new(Policy::default(), Restored::default());
    ledger.begin(0);
    assert!(!ledger.is_changed(), "the time is not known yet");
    for (baseline, shown_at) in [(START, START), (START + 5, START)] {
        ledger.begin(baseline);
        let Progress { baseline, floor, watermark, .. } = ledger.progress();
        assert_eq!([baseline, floor, watermark, ledger.shown_at()], [START, START, START, shown_at]);
    }
}

#[test]
fn gauges_are_as_of_the_latest_time_that_the_store_knows() {
    for (shown_at, watermark, last_success) in [(7, 5, 6), (5, 7, 6), (5, 6, 7)] {
        let progress = Progress { shown_at, watermark, last_success, ..Progress::default() };
        let ledger = Ledger::new(Policy::default(), Restored { progress, ..Restored::default() });
        assert_eq!(ledger.shown_at(), 7);
    }
}

#[test]
fn a_message_below_the_floor_is_held_until_the_window_has_passed_it() {
    let mut ledger = ledger();
    ledger.set_policy(Policy { window: 300 * HOUR, ..ledger.policy() }, START);
    let (at, now) = (START + HOUR, START + 250 * HOUR);
    ledger.observe(CHAT, &outbound(1, at, Status::Delivered, Protocol::Imessage), at);
    ledger.record_full_listing(now);
    ledger.advance_floor(now);
    ledger.prune(now);
    assert!(ledger.progress().floor > at);
    for (now, held) in [(at + 300 * HOUR - 1, 1), (at + 300 * HOUR, 0)] {
        assert_eq!(ledger.snapshot(now).tracked, held);
    }
}

#[test]
fn history_is_held_while_it_is_open_within_the_horizon_or_shown_in_the_window() {
    let horizon = 72 * HOUR;
    // (direction, status, age, held)
    for (direction, status, age, held) in [
        (Direction::Outbound, Status::Queued, horizon - 1, true),
        (Direction::Outbound, Status::Queued, horizon, false),
        (Direction::Outbound, Status::Queued, horizon + 1, false),
        (Direction::Outbound, Status::Delivered, HOUR - 1, true),
        (Direction::Outbound, Status::Delivered, HOUR, false),
        (Direction::Outbound, Status::Delivered, 2 * HOUR, false),
        (Direction::Inbound, Status::Queued, HOUR - 1, true),
        (Direction::Inbound, Status::Queued, HOUR, false),
    ] {
        for is_settled in [true, false] {
            let mut ledger = ledger();
            ledger.set_settled(is_settled);
            ledger.delta();
            let message = outbound(1, START - age, status, Protocol::Imessage);
            let message = Observation { direction, ..message };
            assert_eq!(ledger.observe(CHAT, &message, START), Outcome::History);
            assert_eq!(ledger.messages().len() == 1, held, "{direction:?}, {status:?}, {age} ms old");
            assert_eq!(ledger.messages().is_open(message.id), held && !message.is_final());
            assert_eq!(ledger.is_changed(), held, "what is not held is not stored");
        }
    }
}

#[test]
fn when_a_message_was_first_seen_is_kept_only_where_it_is_dated_ahead() {
    let now = START + HOUR;
    for (sent_at, seen_at) in [(now - 1, None), (now, None), (now + 1, Some(now))] {
        let mut ledger = ledger();
        ledger.observe(CHAT, &outbound(1, sent_at, Status::Queued, Protocol::Imessage), now);
        ledger.reschedule(MessageId(1), now + 77);
        let open = ledger.messages().open(MessageId(1)).unwrap();
        assert_eq!((open.seen_at, open.due), (seen_at, now + 77));
    }
}

#[test]
fn times_that_an_earlier_version_did_not_keep_are_no_change() {
    let mut ledger = ledger();
    let row = |times| Listing { times, ..listed(START, 5) };
    for (times, changed) in [(None, true), (Some(3), false), (Some(3), false), (None, false), (Some(4), true)]
    {
        assert_eq!(ledger.record_row(CHAT, ChatKind::Phone, row(times)), changed, "{times:?}");
    }
}

#[test]
fn each_kind_of_change_alone_is_a_reason_to_commit() {
    let mut ledger = ledger();
    let line = ledger.line(Some("+1"));
    ledger.record_listed(CHAT, ChatKind::Phone, listed(START, 1));
    ledger.observe(CHAT, &outbound(1, START + 1, Status::Queued, Protocol::Pending), START + 1);
    ledger.delta();
    assert!(!ledger.is_changed());
    ledger.record_api(ApiEvent::Waited { cause: Cause::Budget, millis: 5 });
    assert!(!ledger.is_changed(), "what the client did is none");
    let now = START + 5 * HOUR;
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Ledger));
    let changes: [Change; 6] = [
        ("progress", &|ledger| ledger.record_full_listing(now)),
        ("a line", &|ledger| _ = ledger.line(Some("+2"))),
        ("a device", &|ledger| ledger.record_lines(&BTreeMap::from([(line, (Some(true), None))]))),
        ("a chat", &|ledger| ledger.update_chat(CHAT, |chat| chat.deep = true)),
        ("a message", &|ledger| ledger.record_missing(MessageId(1), now)),
        ("a conversation", &|ledger| {
            ledger.record_list(now);
            ledger.mark_listed(CHAT, 1, now);
            ledger.place_messages();
        }),
    ];
    for (what, change) in changes {
        change(&mut ledger);
        assert!(ledger.is_changed(), "{what}");
        ledger.delta();
        assert!(!ledger.is_changed(), "{what}");
    }
}

#[test]
fn a_longer_window_makes_chats_be_read_again_that_may_hold_what_it_shows() {
    let now = START + 100 * HOUR;
    // (hours of the window before and after, hours since the newest messages of the chats that are read again)
    let cases: [(i64, i64, &[i64]); 5] =
        [(1, 50, &[49]), (1, 99, &[49, 51]), (1, 300, &[49, 51]), (50, 50, &[]), (50, 10, &[])];
    for (before, after, expected) in cases {
        let mut ledger = ledger();
        ledger.set_policy(Policy { window: before * HOUR, ..ledger.policy() }, now);
        assert!(ledger.chats().iter().all(|(_, chat)| !chat.unshown));
        // Everything after the floor was counted, and so is held.
        ledger.progress.floor = now - 20 * HOUR;
        for hours in [49, 51] {
            let row = listed(now - hours * HOUR, 1);
            ledger.record_listed(ChatKey(hours as u128), ChatKind::Phone, row);
        }
        ledger.delta();
        ledger.set_policy(Policy { window: after * HOUR, ..ledger.policy() }, now);
        let again = ledger.chats().iter().filter(|(_, chat)| chat.unshown).map(|(key, _)| key.0 as i64);
        let mut again: Vec<i64> = again.collect();
        again.sort_unstable();
        let expected: Vec<i64> = expected.iter().copied().filter(|hours| *hours < after).collect();
        assert_eq!(again, expected, "from {before} h to {after} h");
        assert_eq!(ledger.is_changed(), !expected.is_empty());
        assert_eq!(ledger.progress().history, before.max(after) * HOUR);
    }
}

#[test]
fn a_longer_window_that_ends_above_the_floor_shows_what_is_held_already() {
    let now = START + 100 * HOUR;
    for (beyond, again) in [(-1, false), (0, false), (1, true)] {
        let mut ledger = ledger();
        ledger.record_listed(CHAT, ChatKind::Phone, listed(now, 1));
        ledger.progress.floor = now - 20 * HOUR;
        ledger.set_policy(Policy { window: 20 * HOUR + beyond, ..ledger.policy() }, now);
        assert_eq!(ledger.chats().get(CHAT).unwrap().unshown, again, "{beyond}");
    }
}

#[test]
fn sums_that_are_wrong_are_found() {
    let mut ledger = ledger();
    let message = outbound(1, START, Status::Sent, Protocol::Sms);
    for (times, right) in [(1, true), (2, false)] {
        // Against what it asks of its callers: the message is held already.
        let held = Tracked::new(&message, false);
        ledger.messages.insert(message.id, held, Some(Open::new(CHAT)));
        assert_eq!(ledger.verify().is_ok(), right, "{times}");
    }
}

#[test]
fn a_message_is_late_when_the_watermark_had_passed_it_and_its_delay_is_observed() {
    let (watermark, now) = (START + HOUR, START + HOUR + 1_000);
    for (sent_at, late, delay) in [(watermark - 500, 1, 1.5), (watermark, 1, 1.0), (watermark + 500, 0, 0.5)]
    {
        let mut ledger = ledger();
        ledger.record_sweep(SweepResult::Complete, Some(watermark), watermark, 0.1);
        ledger.observe(CHAT, &outbound(1, sent_at, Status::Queued, Protocol::Pending), now);
        assert_eq!(count(&ledger, Counter::Late), late, "{sent_at}");
        assert_eq!(histogram(&ledger, HistogramKey::Delay), (1, delay));
    }
}

#[test]
fn messages_of_lines_past_the_cap_are_counted_as_such() {
    for (line, overflowing) in [(LineId::NONE, 0), (LineId(1), 0), (LineId::OVERFLOW, 1)] {
        let mut ledger = ledger();
        let message = outbound(1, START + 1, Status::Queued, Protocol::Pending);
        ledger.observe(CHAT, &Observation { line, ..message }, START + 1);
        assert_eq!(count(&ledger, Counter::OverflowingLine), overflowing);
    }
}

#[test]
fn a_message_that_moved_in_time_or_to_another_chat_is_stored_again() {
    for (chat, later, stored) in
        [(CHAT, 0, false), (CHAT, 9, true), (ChatKey(8), 0, true), (ChatKey(8), 9, true)]
    {
        let mut ledger = ledger();
        let message = outbound(1, START + 1, Status::Queued, Protocol::Pending);
        ledger.observe(CHAT, &message, START + 50);
        ledger.delta();
        let message = Observation { sent_at: message.sent_at + later, ..message };
        assert_eq!(ledger.observe(chat, &message, START + 50), Outcome::Known);
        let delta = ledger.delta();
        let found =
            delta.messages.iter().map(|(_, held)| held.map(|(t, open)| (t.sent_at, open.unwrap().chat)));
        let expected = stored.then_some(Some((message.sent_at, chat)));
        assert_eq!(found.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_delivery_is_observed_with_its_latency_and_how_late_it_was_counted() {
    let (sent_at, now) = (START + 10_000, START + 20_000);
    // (ms from sending to delivery, seconds of latency, clocks that contradict each other)
    for (after, latency, skewed) in [(1_500, 1.5, 0), (0, 0.0, 0), (-500, 0.0, 1)] {
        let mut ledger = ledger();
        let message = outbound(1, sent_at, Status::Delivered, Protocol::Imessage);
        ledger.observe(CHAT, &Observation { delivered_at: Some(sent_at + after), ..message }, now);
        let key = HistogramKey::Latency { line: LineId::NONE, protocol: Protocol::Imessage };
        assert_eq!(histogram(&ledger, key), (1, latency));
        assert_eq!(count(&ledger, Counter::ClockSkew), skewed, "{after}");
        // Once since it was sent, and once since it was delivered.
        let delays = 10.0 + (10_000 - after) as f64 / 1_000.0;
        assert_eq!(histogram(&ledger, HistogramKey::Delay), (2, delays));
    }
}

#[test]
fn chats_are_active_within_the_window_and_read_first_within_the_horizon() {
    let mut ledger = ledger();
    let now = START + 10 * HOUR;
    let ages = [HOUR - 1, HOUR, 72 * HOUR - 1, 72 * HOUR, 73 * HOUR];
    for (n, age) in ages.into_iter().enumerate() {
        ledger.record_listed(ChatKey(n as u128), ChatKind::Phone, listed(now - age, 1));
    }
    let snapshot = ledger.snapshot(now);
    assert_eq!(snapshot.active_chats.iter().sum::<u64>(), 1);
    // Below the floor nothing is counted: only gauges show it, back to the horizon.
    assert_eq!(ledger.chats().unread().map(|key| key.0).collect::<Vec<_>>(), [0, 1, 2]);
}
