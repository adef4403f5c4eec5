//! Open messages: the order in which they are asked for again, and what an answer settles.

use super::*;
use crate::collect::read::ShownRow;
use crate::domain::LineId;

const INTERVAL: i64 = 30_000;
const HORIZON: i64 = 72 * HOUR;

fn asked(status: Status, protocol: Protocol, is_silent: bool) -> (usize, i64) {
    let (mut age, mut asked) = (0, 0);
    while age < HORIZON {
        let facts = Facts { age, status, protocol, is_silent, is_announced: false };
        age += wait(&facts, INTERVAL, HORIZON);
        asked += 1;
    }
    (asked, age)
}

#[test]
fn messages_that_are_expected_to_move_are_asked_for_often_and_once_more_at_the_horizon() {
    for (status, protocol) in [
        (Status::Queued, Protocol::Sms),
        (Status::Sent, Protocol::Imessage),
        (Status::Sent, Protocol::Pending),
    ] {
        let (asked, age) = asked(status, protocol, false);
        assert_eq!(age, HORIZON);
        assert!((20..35).contains(&asked), "{asked} requests for {status:?} {protocol:?}");
    }
}

#[test]
fn a_text_message_without_a_receipt_costs_nine_requests_and_a_silent_line_three() {
    for protocol in [Protocol::Sms, Protocol::Rcs] {
        let (requests, age) = asked(Status::Sent, protocol, false);
        assert_eq!(age, HORIZON);
        assert!(requests <= 9, "{requests}");
        assert_eq!(asked(Status::Sent, protocol, true), (3, HORIZON));
    }
}

#[test]
fn a_trusted_feed_leaves_one_request_a_day_for_a_text_message_without_a_receipt() {
    let (mut age, mut asked) = (0, 0);
    while age < HORIZON + HOUR {
        let (status, protocol) = (Status::Sent, Protocol::Sms);
        age +=
            wait(&Facts { age, status, protocol, is_silent: false, is_announced: true }, INTERVAL, HORIZON);
        asked += 1;
    }
    // After 24 and 48 hours, and when it is given up.
    assert_eq!((asked, age), (3, HORIZON + HOUR));
}

#[test]
fn what_was_handed_over_is_given_up_no_later_than_an_eighth_of_the_horizon_after_it() {
    let (status, protocol) = (Status::Sent, Protocol::Imessage);
    for horizon in [1, 80_000, HOUR, 72 * HOUR] {
        let facts = Facts { age: horizon - 1, status, protocol, is_silent: false, is_announced: true };
        assert!(wait(&facts, INTERVAL, horizon) <= 1 + horizon / 8);
    }
}

#[test]
fn settings_of_any_size_give_a_wait_that_is_positive() {
    for interval in [1, 1_000, 30_000, HOUR, 1_000 * HOUR] {
        for horizon in [1, 1_000, HOUR, 10_000 * HOUR] {
            for age in [i64::MIN / 4, -1, 0, 1, HOUR, 100_000 * HOUR] {
                for is_announced in [false, true] {
                    let (status, protocol) = (Status::Sent, Protocol::Sms);
                    let facts = Facts { age, status, protocol, is_silent: false, is_announced };
                    assert!(wait(&facts, interval, horizon) > 0, "{interval} {horizon} {age}");
                }
            }
        }
    }
}

#[test]
fn chats_come_up_when_due_and_patient_ones_are_not_starved() {
    let mut due = Due::default();
    for n in 0..20 {
        due.add(ChatKey(n), 100, true);
    }
    due.add(ChatKey(99), 50, false);
    assert_eq!(due.next(), Some(50));
    assert_eq!(due.take(40), None);
    let first: Vec<_> = (0..4).filter_map(|_| due.take(200)).collect();
    assert!(first.contains(&ChatKey(99)), "{first:?}");
    due.add(ChatKey(7), 300, true);
    due.add(ChatKey(7), 30, true);
    assert_eq!(due.next(), Some(30));
}

#[test]
fn urgent_messages_are_asked_for_apart_from_old_ones() {
    let message = |n: u128, sent_at, due, urgent| Candidate { id: MessageId(n), sent_at, due, urgent };
    let open = [message(1, 0, 900, false), message(2, 900, 1_000, true), message(3, 950, 1_010, true)];
    let ids = |now| choose(&open, now).into_iter().map(|(id, _)| id.0).collect::<Vec<u128>>();
    assert_eq!(ids(800), Vec::<u128>::new());
    assert_eq!(ids(950), [1]);
    assert_eq!(ids(1_000), [2, 3]);
}

fn page(rows: &[(u128, i64)], total: u64) -> Shown {
    let row = |&(n, sent_at): &(u128, i64)| ShownRow {
        id: MessageId(n),
        sent_at,
        line: LineId::NONE,
        counted: false,
    };
    Shown { rows: rows.iter().map(row).collect(), rejected: 0, total: Some(total) }
}

#[test]
fn an_answer_reaches_as_far_as_its_page() {
    let wanted = vec![(MessageId(1), 10), (MessageId(2), 20), (MessageId(3), 30)];
    let covered = |answer: &Shown| Recheck::new(ChatKey(1), wanted.clone(), None).absorb(answer);
    assert_eq!(covered(&page(&[(1, 10), (3, 30)], 2)), Some(Covered::Everything));
    assert_eq!(covered(&page(&[(1, 10), (9, 15)], 5)), Some(Covered::UpTo(14)));
    assert_eq!(covered(&page(&[], 5)), Some(Covered::Everything));
    assert_eq!(covered(&page(&[(7, 10), (8, 10)], 5)), None, "the oldest millisecond fills the page");
}

#[test]
fn a_tie_is_gone_through_by_offset() {
    let mut recheck = Recheck::new(ChatKey(1), vec![(MessageId(1), 10), (MessageId(2), 20)], None);
    assert_eq!(recheck.absorb(&page(&[(7, 10), (8, 10)], 4)), None);
    assert!(matches!(recheck.next(), Ask::Range(Range { since: 9, until: Some(11), offset: 0 })));
    assert_eq!(recheck.absorb(&page(&[(7, 10), (8, 10)], 3)), None);
    assert_eq!(recheck.absorb(&page(&[(1, 10)], 3)), None);
    assert_eq!(recheck.absorb(&page(&[(7, 10)], 3)), Some(Covered::UpTo(10)));
    assert_eq!(recheck.unseen().map(|(id, _)| id.0).collect::<Vec<u128>>(), [2]);
}

#[test]
fn the_wait_grows_with_the_age_of_the_message() {
    use Protocol::{Imessage, Sms};
    const SECOND: i64 = 1_000;
    // Status, protocol, whether the line is silent, whether a feed announces it; age and wait in seconds.
    for (status, protocol, is_silent, is_announced, age, expected) in [
        (Status::Sent, Imessage, false, false, 0, 30),
        (Status::Sent, Imessage, false, false, 60, 30),
        (Status::Sent, Imessage, false, false, 100, 50),
        (Status::Sent, Imessage, false, false, 3_600, 1_800),
        (Status::Sent, Imessage, false, false, 43_200, 21_600),
        (Status::Sent, Imessage, false, false, 86_400, 21_600),
        (Status::Sent, Imessage, true, false, 100, 50),
        (Status::Queued, Sms, true, false, 100, 50),
        // Whether a carrier took it over is soon known; from then on it is asked for after one, six and 24 hours.
        (Status::Sent, Sms, false, false, 0, 30),
        (Status::Sent, Sms, false, false, 100, 100),
        (Status::Sent, Sms, false, false, 299, 299),
        (Status::Sent, Sms, false, false, 300, 3_300),
        (Status::Sent, Sms, false, false, 599, 3_001),
        (Status::Sent, Sms, false, false, 600, 3_000),
        (Status::Sent, Sms, false, false, 2_879, 721),
        (Status::Sent, Sms, false, false, 2_880, 18_720),
        (Status::Sent, Sms, false, false, 3_600, 18_000),
        (Status::Sent, Sms, false, false, 21_600, 64_800),
        (Status::Sent, Sms, false, false, 69_120, 138_240),
        (Status::Sent, Sms, false, false, 86_400, 172_800),
        (Status::Sent, Sms, true, false, 100, 86_400),
        (Status::Sent, Sms, true, false, 200_000, 59_200),
        // What a feed announces is asked for in case that it does not.
        (Status::Sent, Imessage, false, true, 100, 21_600),
        (Status::Sent, Sms, false, true, 100, 86_400),
        (Status::Sent, Sms, false, true, 259_200, 3_600),
        (Status::Sent, Sms, false, true, 262_800, 60),
        // At the horizon, and soon again while it is not given up.
        (Status::Sent, Imessage, false, false, 259_199, 1),
        (Status::Sent, Imessage, false, false, 259_200, 60),
        (Status::Sent, Imessage, false, false, 300_000, 60),
    ] {
        let facts = Facts { age: age * SECOND, status, protocol, is_silent, is_announced };
        let wait = wait(&facts, INTERVAL, HORIZON);
        assert_eq!(wait, expected * SECOND, "{facts:?}");
    }
    let old = Facts {
        age: HORIZON,
        status: Status::Sent,
        protocol: Imessage,
        is_silent: false,
        is_announced: false,
    };
    assert_eq!(wait(&old, HOUR, HORIZON), HOUR, "no more often than anything else is asked for");
}

#[test]
fn what_was_not_sent_yet_is_expected_to_move_soon() {
    assert!(is_urgent(Status::Queued) && is_urgent(Status::Pending));
    assert!(!is_urgent(Status::Sent));
}

#[test]
fn of_the_urgent_and_the_others_every_fourth_turn_is_of_the_others() {
    let mut due = Due::default();
    for n in 0..9 {
        due.add(ChatKey(n), n as i64, true);
        due.add(ChatKey(100 + n), n as i64, false);
    }
    let order: Vec<u128> = (0..8).filter_map(|_| due.take(50)).map(|key| key.0).collect();
    assert_eq!(order, [0, 1, 2, 100, 3, 4, 5, 101]);
}

#[test]
fn a_chat_comes_up_once_and_at_its_earliest_time() {
    let mut due = Due::default();
    due.add(ChatKey(1), 50, true);
    due.add(ChatKey(1), 70, true);
    assert_eq!(due.next(), Some(50), "a later message does not put it off");
    due.add(ChatKey(1), 30, true);
    assert_eq!(due.next(), Some(30));
    assert_eq!((due.take(29), due.take(30), due.take(100), due.next()), (None, Some(ChatKey(1)), None, None));
    due.add(ChatKey(2), 10, true);
    due.add(ChatKey(2), 20, false);
    due.forget(ChatKey(2));
    assert_eq!((due.take(100), due.next()), (None, None));
}

#[test]
fn messages_that_are_soon_due_are_taken_along_from_the_oldest_that_is_due() {
    let message = |n: u128, sent_at, due, urgent| Candidate { id: MessageId(n), sent_at, due, urgent };
    // At 1,000 the second is due. The third is due within a quarter of its age, the fourth is not.
    let open = [
        message(1, 100, 1_001, true),
        message(2, 200, 1_000, true),
        message(3, 600, 1_100, true),
        message(4, 600, 1_101, true),
        message(5, 2_000, 1_000, true),
        message(6, 500, 900, false),
    ];
    let chosen = choose(&open, 1_000);
    assert_eq!(chosen, [(MessageId(2), 200), (MessageId(3), 600), (MessageId(5), 2_000)]);
    let others = [message(1, 300, 900, false), message(2, 400, 2_000, true), message(3, 500, 1_100, false)];
    assert_eq!(choose(&others, 1_000), [(MessageId(1), 300), (MessageId(3), 500)]);
}

#[test]
fn no_more_are_asked_for_together_than_a_page_holds() {
    let open: Vec<Candidate> = (0..150)
        .map(|n| Candidate { id: MessageId(n), sent_at: 200 - n as i64, due: 0, urgent: true })
        .collect();
    let chosen = choose(&open, 1_000);
    assert_eq!((chosen.len(), chosen[0].1, chosen[99].1), (100, 51, 150), "the oldest of them");
}

#[test]
fn what_an_answer_covers_reaches_as_far_as_it_says() {
    assert!(!Covered::Nothing.reaches(0));
    assert!(Covered::UpTo(10).reaches(10) && !Covered::UpTo(10).reaches(11));
    assert!(Covered::Everything.reaches(i64::MAX));
}

#[test]
fn one_message_is_asked_for_by_its_own_id_and_several_by_a_range() {
    let own = || MessageRef::parse("msg-1");
    let (one, two) = (vec![(MessageId(1), 10)], vec![(MessageId(1), 10), (MessageId(2), 20)]);
    let range = |since, until| Ask::Range(Range { since, until: Some(until), offset: 0 });
    for (wanted, id, ask) in [
        (one.clone(), own(), Ask::Message(own().unwrap())),
        (one, None, range(9, 11)),
        (two, own(), range(9, 21)),
        (vec![(MessageId(1), 0)], None, range(0, 1)),
    ] {
        let recheck = Recheck::new(ChatKey(1), wanted, id);
        assert_eq!((recheck.next(), recheck.asks_for_one()), (ask.clone(), matches!(ask, Ask::Message(_))));
    }
    let mut one = Recheck::new(ChatKey(1), vec![(MessageId(1), 10)], own());
    assert_eq!(one.absorb(&page(&[], 0)), Some(Covered::Everything));
    assert!(!one.has_rejected());
}

#[test]
fn a_row_that_cannot_be_used_may_be_any_of_the_messages() {
    let wanted = vec![(MessageId(1), 10), (MessageId(2), 20)];
    let mut recheck = Recheck::new(ChatKey(1), wanted, None);
    // With it, the page has as many as the range holds.
    let rows = Shown { rejected: 1, ..page(&[(1, 10)], 2) };
    assert_eq!(recheck.absorb(&rows), Some(Covered::Everything));
    assert!(recheck.has_rejected());
    assert_eq!(recheck.absorb(&page(&[(1, 10)], 1)), Some(Covered::Everything));
    assert!(recheck.has_rejected(), "an earlier page had one");
}

#[test]
fn a_tie_that_contradicts_itself_covers_nothing() {
    let mut recheck = Recheck::new(ChatKey(1), vec![(MessageId(1), 10), (MessageId(2), 20)], None);
    let covered = (100..).find_map(|n| recheck.absorb(&page(&[(n, 10)], 9)));
    assert_eq!(covered, Some(Covered::Nothing));
}
