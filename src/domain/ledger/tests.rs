use super::*;
use crate::domain::{Protocol, Reason};

const START: i64 = 1_000_000_000;
const HOUR: i64 = 3_600_000;
const CHAT: ChatKey = ChatKey(7);

fn ledger() -> Ledger {
    let policy = Policy { window: HOUR, horizon: 72 * HOUR, retention: 168 * HOUR };
    let mut ledger = Ledger::new(policy, Restored::default());
    ledger.begin(START);
    ledger
}

fn outbound(id: u128, sent_at: i64, status: Status, protocol: Protocol) -> Observation {
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

fn count(ledger: &Ledger, counter: Counter) -> u64 {
    ledger.totals().get(counter)
}

const ACCEPTED: Counter = Counter::Outbound { line: LineId::NONE };
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
    assert_eq!(ledger.open().len(), 1);
    for _ in 0..3 {
        ledger.observe(CHAT, &outbound(1, at, Status::Delivered, Protocol::Imessage), at + 9000);
    }
    assert_eq!((count(&ledger, DELIVERED), count(&ledger, Counter::Regressions)), (1, 0));
    assert!(ledger.open().is_empty());
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
    assert!(ledger.open().is_empty());
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
    assert!(ledger.open().is_empty());
}

#[test]
fn the_floor_waits_for_the_oldest_audit_and_what_it_passes_is_never_counted_again() {
    let mut ledger = ledger();
    let at = START + 1000;
    let listed = Listing { last_at: at, last_id: None, messages: 1, inbound: 0, outbound: 1 };
    ledger.note_listed(CHAT, ChatKind::Phone, listed);
    let message = outbound(1, at, Status::Delivered, Protocol::Imessage);
    ledger.observe(CHAT, &message, at);
    let much_later = at + 400 * HOUR;
    ledger.note_full_listing(&BTreeSet::from([CHAT]), much_later);
    ledger.advance_floor(much_later);
    assert_eq!(ledger.progress().floor, START, "the chat was never read deeply");
    ledger.update_chat(CHAT, |chat| chat.audited_at = much_later);
    ledger.advance_floor(much_later);
    assert_eq!(ledger.progress().floor, much_later - 168 * HOUR);
    assert_eq!(ledger.tracked(message.id), None);
    assert_eq!(ledger.observe(CHAT, &message, much_later), Outcome::Passed);
    assert_eq!(count(&ledger, ACCEPTED), 1);
}

#[test]
fn the_watermark_does_not_pass_a_chat_that_is_still_to_be_read() {
    let mut ledger = ledger();
    ledger.note_sweep(SweepResult::Complete, START + 1000, START + 1100, 0.1);
    let listed = Listing { last_at: START + 1500, last_id: None, messages: 1, inbound: 0, outbound: 1 };
    ledger.note_listed(CHAT, ChatKind::Phone, listed);
    ledger.mark_changed(CHAT, true);
    ledger.note_sweep(SweepResult::Partial, START + 2000, START + 2100, 0.1);
    assert_eq!(ledger.progress().watermark, START + 1000);
    ledger.update_chat(CHAT, |chat| chat.changed_since = None);
    ledger.note_sweep(SweepResult::Complete, START + 3000, START + 3100, 0.1);
    assert_eq!(ledger.progress().watermark, START + 3000);
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
    ledger.begin(0);
    let now = 2 * HOUR;
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
    assert_eq!(steps(&traffic.outbound), [(0, 1), (29, 1), (59, 2)]);
    assert_eq!(steps(&traffic.failed), [(0, 1), (59, 1)]);
    assert_eq!(steps(&traffic.inbound), []);
    assert_eq!(snapshot.recent.values().sum::<u64>(), 4);
}
