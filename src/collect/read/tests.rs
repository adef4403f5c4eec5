//! Reads of one chat: which ranges they ask for, and when what came back is accepted.

use super::doubts::CONFIRMATIONS;
use super::*;
use crate::domain::{ChatKind, Direction, Outage};

/// How long what list and chat contradict each other in is doubted, ms.
const PATIENCE: i64 = 1_000;
/// What an earlier deep read did not find.
const LACKS_ONE: Lacking = Lacking { messages: 1, began_at: 49_000 };

/// The conclusion of a deep read that [`absorbed`] made, and that did not find so many messages.
fn lacks(messages: i64) -> Conclusion {
    Conclusion::Doubtful { lacking: Some(Lacking { messages, began_at: 50_000 }) }
}

fn id(n: u128) -> MessageId {
    MessageId::new(n << 1, Direction::Inbound)
}

/// Messages in the order in which the server has them: number and time.
type World = Vec<(u128, i64)>;

fn shown(rows: &[(u128, i64)], total: Option<u64>) -> Shown {
    let row =
        |&(n, sent_at): &(u128, i64)| ShownRow { id: id(n), sent_at, line: LineId::NONE, counted: true };
    Shown { rows: rows.iter().map(row).collect(), rejected: 0, total }
}

fn chat(last: Option<(u128, i64)>, messages: Option<u32>) -> Chat {
    let listed = Listing {
        last_at: last.map(|(_, at)| at),
        last_id: last.map(|(n, _)| id(n)),
        messages,
        inbound: None,
        outbound: None,
        times: None,
    };
    Chat::new(ChatKind::Phone, listed, 0)
}

/// Reads a world with pages of three rows, and returns how many requests that took, how it ended, and the read.
fn read(
    world: &World,
    inclusive: bool,
    mut answer: impl FnMut(usize, Shown) -> Shown,
) -> (usize, Step, Read) {
    let known = chat(world.iter().copied().max_by_key(|(_, at)| *at), Some(world.len() as u32));
    let mut read = Read::new(ChatKey(1), &known, true, 0, 10_000, 0);
    for requests in 1..200 {
        let range = read.next();
        let fits = |at: i64| if inclusive { at >= range.since } else { at > range.since };
        let matching: World = world
            .iter()
            .copied()
            .filter(|(_, at)| fits(*at) && range.until.is_none_or(|until| *at < until))
            .collect();
        let from = (range.offset as usize).min(matching.len());
        let page = &matching[from..(from + 3).min(matching.len())];
        let page = answer(requests, shown(page, Some(matching.len() as u64)));
        match read.absorb(&page) {
            Step::More => {}
            step => return (requests, step, read),
        }
    }
    panic!("the read did not end");
}

#[test]
fn whatever_the_order_and_the_bounds_every_message_is_seen() {
    let plain: World = (1..=10).map(|n| (n, n as i64 * 10)).collect();
    let one: World = vec![(1, 10)];
    let ties: World = (1..=9).map(|n| (n, if n < 8 { 50 } else { 60 })).collect();
    let by_arrival: World = vec![(1, 10), (2, 20), (3, 30), (4, 40), (5, 15), (6, 50), (7, 60)];
    let newest_first: World = plain.iter().copied().rev().collect();
    let shared: World = [(1, 19), (2, 19), (3, 20), (4, 20), (5, 20), (6, 20), (7, 30)].into();
    for (name, world, expected) in [
        ("nothing", World::new(), [1, 1]),
        ("one", one, [1, 1]),
        ("several pages", plain, [5, 5]),
        ("more in a millisecond than a page holds", ties, [7, 8]),
        ("two milliseconds that share a page", shared, [6, 6]),
        ("a late message behind a page boundary", by_arrival, [7, 7]),
        ("sort ignored", newest_first, [6, 6]),
    ] {
        for inclusive in [false, true] {
            let (requests, step, read) = read(&world, inclusive, |_, page| page);
            assert_eq!(step, Step::Drained, "{name}");
            assert!(world.iter().all(|(n, _)| read.saw(id(*n))), "{name}, inclusive {inclusive}");
            assert_eq!(requests, expected[usize::from(inclusive)], "{name}, inclusive {inclusive}");
        }
    }
}

#[test]
fn a_chat_whose_page_says_it_all_takes_one_request() {
    let world: World = vec![(1, 10), (2, 20)];
    assert_eq!(read(&world, false, |_, page| page).0, 1);
}

#[test]
fn totals_that_lag_or_lack_lose_nothing() {
    let world: World = (1..=10).map(|n| (n, n as i64 * 10)).collect();
    let no_total = |_, page: Shown| Shown { total: None, ..page };
    let low =
        |n: usize, page: Shown| Shown { total: page.total.map(|t| if n == 1 { t - 1 } else { t }), ..page };
    for answer in [&no_total as &dyn Fn(usize, Shown) -> Shown, &low] {
        let (_, step, read) = read(&world, false, answer);
        assert_eq!(step, Step::Drained);
        assert!(world.iter().all(|(n, _)| read.saw(id(*n))));
    }
}

#[test]
fn where_neither_order_nor_total_can_be_relied_on_every_message_is_seen() {
    let by_arrival: World = vec![(1, 10), (2, 50), (3, 20), (4, 30), (5, 40), (6, 60), (7, 15)];
    for inclusive in [false, true] {
        let (_, step, read) = read(&by_arrival, inclusive, |_, page| Shown { total: None, ..page });
        assert_eq!(step, Step::Drained);
        assert!(by_arrival.iter().all(|(n, _)| read.saw(id(*n))), "inclusive {inclusive}");
    }
}

#[test]
fn a_full_millisecond_is_gone_through_once_where_since_includes_it() {
    let ties: World = (1..=9).map(|n| (n, if n < 8 { 50 } else { 60 })).collect();
    let requests = |inclusive| read(&ties, inclusive, |_, page| page).0;
    // One more, which shows that the boundary belongs to the range.
    assert_eq!(requests(true), requests(false) + 1);
}

#[test]
fn a_server_that_never_agrees_with_itself_ends_in_confusion() {
    let world: World = (1..=9).map(|n| (n, 50)).collect();
    let high = |_, page: Shown| Shown { total: page.total.map(|total| total + 7), ..page };
    let empty = |n: usize, page: Shown| {
        if n > 3 { high(n, shown(&[(n as u128 + 100, 50)], Some(9))) } else { page }
    };
    let (requests, step, _) = read(&world, false, empty);
    assert_eq!(step, Step::Confused);
    assert!(requests < 150, "{requests}");
}

fn concluded(read: &Read, chat: &mut Chat, times: u32) -> Conclusion {
    let doubts = Doubts { times, lacking: None, behind: Some((read.sought(), times)), ..Doubts::default() };
    read.conclude(chat, true, doubts, 100_000, PATIENCE)
}

/// A read of a chat whose messages share one millisecond, and of which each page shows none of one message.
fn hiding(total: Option<u64>) -> Read {
    let world: World = (1..=9).map(|n| (n, 50)).collect();
    // In place of the message that is hidden, another one comes twice.
    let hide = |_, page: Shown| {
        let another = |row: &ShownRow| if row.id == id(7) { ShownRow { id: id(6), ..*row } } else { *row };
        Shown { rows: page.rows.iter().map(another).collect(), total: page.total.and(total), ..page }
    };
    let (requests, step, read) = read(&world, false, hide);
    assert_eq!(step, Step::Drained, "{total:?}");
    assert!(requests < 70 && !read.saw(id(7)), "{total:?}: {requests} requests");
    read
}

#[test]
fn a_range_that_showed_fewer_messages_than_it_holds_is_read_again_unless_the_count_tallies() {
    for total in [None, Some(9)] {
        let read = hiding(total);
        let mut known = chat(Some((9, 50)), Some(9));
        (known.explained, known.audited_at) = (Some(8), Some(1));
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Behind { row: read.sought() }, "{total:?}");
        known.explained = Some(9);
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done, "{total:?}: the total is wrong");
    }
}

#[test]
fn the_row_of_a_chat_that_may_hide_messages_explains_no_count() {
    let read = hiding(Some(9));
    let mut known = chat(Some((9, 50)), Some(9));
    for times in 0..CONFIRMATIONS {
        assert_eq!(concluded(&read, &mut known, times), behind(&read), "the hidden message is still sought");
        assert_eq!(known.explained, None);
    }
}

/// A read that did not reach the newest message of the list's row.
fn behind(read: &Read) -> Conclusion {
    Conclusion::Behind { row: read.sought() }
}

fn absorbed(known: &Chat, deep: bool, rows: &[(u128, i64)]) -> Read {
    let mut read = Read::new(ChatKey(1), known, deep, 0, 50_000, 40_000);
    read.absorb(&shown(rows, Some(rows.len() as u64)));
    read
}

#[test]
fn a_read_that_shows_what_the_list_names_settles_the_chat() {
    let mut known = chat(Some((2, 20)), Some(2));
    known.changed_since = Some(5);
    let read = absorbed(&known, true, &[(1, 10), (2, 20)]);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    assert_eq!((known.changed_since, known.cursor, known.explained), (None, 20, Some(2)));
    assert_eq!(known.audited_at, Some(50_000 - AUDIT_MARGIN));
}

#[test]
fn a_page_with_rows_that_cannot_be_used_may_hide_messages() {
    for (explained, listed, done) in [
        (None, None, false),
        (None, Some(2), false),
        (Some(1), Some(2), false),
        (Some(3), Some(2), false),
        (Some(2), Some(2), true),
    ] {
        let mut known = chat(Some((2, 20)), listed);
        (known.explained, known.changed_since) = (explained, Some(5));
        let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
        read.absorb(&Shown { rejected: 1, ..shown(&[(1, 10), (2, 20)], Some(2)) });
        let expected = if done { Conclusion::Done } else { behind(&read) };
        assert_eq!(concluded(&read, &mut known, 0), expected, "{explained:?} of {listed:?}");
        assert_eq!(known.explained, explained, "what was not read explains no count");
    }
}

#[test]
fn a_row_without_times_says_that_there_are_messages_by_its_count_or_its_id() {
    for (last_id, messages, expects) in
        [(None, Some(3), true), (Some(id(2)), None, true), (None, Some(0), false), (None, None, false)]
    {
        let mut known = chat(None, messages);
        (known.listed.last_id, known.changed_since) = (last_id, Some(5));
        let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
        let step = read.absorb(&shown(&[], Some(0)));
        assert_eq!(
            step == Step::More,
            expects,
            "{last_id:?}, {messages:?}: whether it shows anything at all"
        );
    }
}

/// Unreadable because list and chat contradict each other, since so many ms before a read concludes.
fn contradicted(chat: &mut Chat, ago: i64) {
    chat.outage = Some(Outage { reason: Unreadable::Rejected, since: 100_000 - ago });
}

#[test]
fn a_chat_that_never_shows_what_the_list_names_is_unreadable_until_the_patience_is_over() {
    let mut known = chat(Some((2, 20)), None);
    known.changed_since = Some(5);
    let read = absorbed(&known, false, &[(1, 10)]);
    assert_eq!(concluded(&read, &mut known, 0), behind(&read));
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS - 1), behind(&read));
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Contradicted);
    contradicted(&mut known, PATIENCE - 1);
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Contradicted);
    assert_eq!(known.changed_since, Some(5));
    contradicted(&mut known, PATIENCE);
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Done);
    // One that shows it is read, whatever was before.
    contradicted(&mut known, 0);
    let read = absorbed(&known, false, &[(1, 10), (2, 20)]);
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Done);
}

#[test]
fn rows_that_cannot_be_used_make_a_chat_unreadable_until_the_patience_is_over_or_the_count_tallies() {
    let mut known = chat(Some((1, 10)), Some(2));
    let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
    assert_eq!(read.absorb(&Shown { rejected: 1, ..shown(&[(1, 10)], Some(2)) }), Step::Drained);
    known.explained = Some(1);
    assert_eq!(concluded(&read, &mut known, 0), behind(&read));
    assert_eq!(concluded(&read, &mut { known }, CONFIRMATIONS), Conclusion::Contradicted);
    contradicted(&mut known, PATIENCE);
    assert_ne!(concluded(&read, &mut { known }, CONFIRMATIONS), Conclusion::Contradicted);
    (known.explained, known.outage) = (Some(2), None);
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Done);
}

#[test]
fn rows_that_cannot_be_used_for_ever_do_not_stand_for_a_message_that_a_list_has_only_just_named() {
    let mut known = chat(Some((1, 10)), Some(2));
    contradicted(&mut known, PATIENCE);
    let mut doubts = Doubts { times: 500, ..Doubts::default() }.and_behind((Some(id(1)), 10), true);
    known.listed = Listing { last_at: Some(30), last_id: Some(id(3)), messages: Some(3), ..known.listed };
    let named = Some(id(3).undirected());
    known.listed.last_id = named;
    let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
    assert_eq!(read.absorb(&Shown { rejected: 1, ..shown(&[(1, 10)], Some(2)) }), Step::Drained);
    let mut times = 0;
    while read.conclude(&mut known, true, doubts, 100_000, PATIENCE) == Conclusion::Contradicted {
        doubts = doubts.and_behind(read.sought(), read.has_reached());
        times += 1;
    }
    assert_eq!((times, read.sought()), (CONFIRMATIONS, (named, 30)));
}

#[test]
fn a_row_that_changes_while_it_is_doubted_is_doubted_from_the_start() {
    let mut known = chat(Some((2, 20)), None);
    let before = absorbed(&known, false, &[(1, 10)]);
    let mut doubts = Doubts::default();
    for _ in 0..CONFIRMATIONS {
        doubts = doubts.and(before.conclude(&mut known, true, doubts, 100_000, PATIENCE), false);
    }
    let concluded = before.conclude(&mut { known }, true, doubts, 100_000, PATIENCE);
    assert_eq!(concluded, Conclusion::Contradicted);
    known.listed = Listing { last_at: Some(30), last_id: Some(id(3)), ..known.listed };
    let after = absorbed(&known, false, &[(1, 10)]);
    // Once the chat is unreadable for this, another row changes nothing.
    let mut unreadable = known;
    contradicted(&mut unreadable, 0);
    let concluded = after.conclude(&mut unreadable, true, doubts, 100_000, PATIENCE);
    assert_eq!(concluded, Conclusion::Contradicted);
    let mut times = 0;
    while after.conclude(&mut known, true, doubts, 100_000, PATIENCE) == behind(&after) {
        doubts = doubts.and(behind(&after), false);
        times += 1;
    }
    assert_eq!(times, CONFIRMATIONS, "as many reads as the row before had");
    // A list that names another message each time does not keep the chat waiting for ever: after thirty reads it is unreadable,
    // stays so whatever the list names next, and is believed when that has lasted.
    let mut conclude = |known: &mut Chat, n: u128| {
        known.listed.last_id = Some(id(n));
        let named = absorbed(known, false, &[(1, 10)]);
        let conclusion = named.conclude(known, true, doubts, 100_000, PATIENCE);
        doubts = doubts.and(conclusion, false);
        conclusion
    };
    let unreadable = (4..).find(|n| conclude(&mut known, *n) == Conclusion::Contradicted);
    assert_eq!(unreadable, Some(24), "after thirty reads in doubt");
    contradicted(&mut known, 0);
    assert_eq!(conclude(&mut known, 25), Conclusion::Contradicted);
    contradicted(&mut known, PATIENCE);
    assert_eq!(conclude(&mut known, 26), Conclusion::Done);
}

#[test]
fn reads_that_showed_nothing_say_nothing_of_what_a_chat_shows_afterwards() {
    let doubts =
        Doubts { times: 4, lacking: Some(LACKS_ONE), behind: Some(((None, 5), 4)), ..Doubts::default() };
    let empty = doubts.of(true);
    assert_eq!(empty, Doubts { empty: true, ..doubts }, "they count as those before");
    assert_eq!(empty.of(true), empty);
    assert_eq!(empty.of(false), Doubts::default());
    assert_eq!(doubts.of(false), doubts);
}

#[test]
fn below_a_message_dated_ahead_the_count_of_the_first_read_is_the_one_to_go_by() {
    let mut known = chat(Some((2, 60_000)), Some(2));
    let first = absorbed(&known, true, &[(1, 10), (2, 60_000)]);
    assert_eq!(concluded(&first, &mut known, 0), Conclusion::Behind { row: first.sought() });
    assert_eq!(known.explained, Some(2));
    // A message came that a replica hides, and the reads have been in doubt for long.
    known.listed.messages = Some(3);
    let last = absorbed(&known, true, &[(1, 10), (2, 60_000)]);
    assert_eq!(concluded(&last, &mut known, CONFIRMATIONS), lacks(1));
}

#[test]
fn below_a_message_dated_ahead_what_the_first_count_includes_does_not_stand_for_what_comes_next() {
    let mut known = chat(Some((2, 60_000)), Some(3));
    let first = absorbed(&known, true, &[(1, 10), (2, 60_000)]);
    concluded(&first, &mut known, 0);
    // The third message, which a replica held back, is shown and counted, and the list says the same.
    known.explained = known.explained.map(|explained| explained + 1);
    let second = absorbed(&known, true, &[(1, 10), (2, 60_000), (3, 30)]);
    assert_eq!(concluded(&second, &mut known, 1), Conclusion::Behind { row: second.sought() });
    assert_eq!(known.explained, Some(3));
}

#[test]
fn below_a_message_dated_ahead_a_change_without_a_new_message_is_doubted() {
    let mut known = chat(Some((2, 60_000)), Some(2));
    (known.explained, known.audited_at) = (Some(2), Some(1));
    // One was deleted and another one came: the count is the same.
    let nothing = Read { found: None, ..absorbed(&known, false, &[(2, 60_000)]) };
    assert_eq!(concluded(&nothing, &mut known, 0), Conclusion::Doubtful { lacking: None });
    let deep = Read { found: None, ..absorbed(&known, true, &[(2, 60_000)]) };
    assert_eq!(concluded(&deep, &mut known, 1), Conclusion::Done);
    // One that came, was found and counted explains the change.
    (known.explained, known.listed.messages) = (Some(3), Some(3));
    let found = absorbed(&known, false, &[(3, 30), (2, 60_000)]);
    assert_eq!(concluded(&found, &mut known, 0), Conclusion::Done);
}

#[test]
fn a_row_without_last_message_is_confirmed_by_its_time() {
    let mut known = chat(Some((2, 20)), None);
    known.listed.last_id = None;
    known.changed_since = Some(5);
    let read = absorbed(&known, false, &[(1, 10), (2, 20)]);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
}

#[test]
fn a_count_that_the_new_messages_do_not_explain_asks_for_a_deep_read() {
    let mut known = chat(Some((9, 20)), Some(7));
    (known.explained, known.changed_since) = (Some(5), Some(5));
    let read = absorbed(&known, false, &[(9, 20)]);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Doubtful { lacking: None });
    assert!(known.deep && known.changed_since.is_some());
    assert_eq!(known.explained, Some(5), "what was not found is not explained");
}

#[test]
fn what_two_deep_reads_lack_is_taken_as_gone() {
    let mut known = chat(Some((9, 20)), Some(7));
    (known.explained, known.changed_since) = (Some(5), Some(5));
    let read = absorbed(&known, true, &[(9, 20)]);
    let again = |lacking: Option<Lacking>, known: &mut Chat| {
        read.conclude(known, true, Doubts { times: 1, lacking, ..Doubts::default() }, 100_000, PATIENCE)
    };
    assert_eq!(again(None, &mut known), lacks(2));
    assert_eq!((known.audited_at, known.changed_since, known.deep), (None, Some(5), true));
    // A message came to light meanwhile, but not both.
    known.explained = Some(6);
    assert_eq!(again(Some(Lacking { messages: 2, began_at: 50_000 }), &mut known), lacks(1));
    assert_eq!(again(Some(LACKS_ONE), &mut known), Conclusion::Done);
    assert_eq!((known.changed_since, known.deep, known.explained), (None, false, Some(7)));
    assert!(known.audited_at.is_some());
    // Fewer than are known is no question to a deep read: some were deleted.
    let mut known = chat(Some((9, 20)), Some(3));
    known.explained = Some(5);
    assert_eq!(concluded(&absorbed(&known, true, &[(9, 20)]), &mut known, 0), Conclusion::Done);
    assert_eq!(known.explained, Some(3));
}

#[test]
fn two_deep_reads_that_lack_the_same_prove_nothing_when_one_between_them_was_behind() {
    let mut known = chat(Some((9, 20)), Some(7));
    (known.explained, known.changed_since) = (Some(5), Some(5));
    let read = absorbed(&known, true, &[(9, 20)]);
    let mut again = |doubts| read.conclude(&mut known, true, doubts, 100_000, PATIENCE);
    let first = Doubts::default().and(lacks(2), true);
    assert_eq!(again(first.and(behind(&read), false)), lacks(2), "a replica lagged meanwhile");
    assert_eq!(again(first), Conclusion::Done);
}

#[test]
fn what_reads_in_a_row_have_in_common_ends_with_one_that_ends_otherwise() {
    let (row, another) = ((Some(id(2)), 20), (Some(id(3)), 30));
    let doubts = Doubts { times: 4, lacking: Some(LACKS_ONE), behind: Some((row, 4)), ..Doubts::default() };
    for (conclusion, lacking, behind) in [
        (Conclusion::Behind { row }, None, Some((row, 5))),
        (Conclusion::Behind { row: another }, None, Some((another, 1))),
        (Conclusion::Doubtful { lacking: Some(LACKS_ONE) }, Some(LACKS_ONE), None),
        (Conclusion::Doubtful { lacking: None }, None, None),
        (Conclusion::Contradicted, None, None),
        (Conclusion::Done, None, None),
    ] {
        let after = doubts.and(conclusion, true);
        assert_eq!(after, Doubts { times: 5, lacking, behind, ..doubts }, "{conclusion:?}");
    }
}

#[test]
fn where_each_list_names_another_message_thirty_reads_must_lack_theirs_before_none_is_waited_for() {
    for (unreached, expected) in [(29, Conclusion::Contradicted), (30, Conclusion::Done)] {
        let mut known = chat(Some((2, 20)), None);
        contradicted(&mut known, PATIENCE);
        let read = absorbed(&known, false, &[(1, 10)]);
        // In some of the reads, rows could not be used.
        let doubts = Doubts { times: 100, unreached, ..Doubts::default() };
        let conclusion = read.conclude(&mut known, true, doubts, 100_000, PATIENCE);
        assert_eq!(conclusion, expected, "{unreached}");
    }
}

#[test]
fn where_rows_have_no_times_the_newest_message_that_was_read_gives_it() {
    let mut known = chat(Some((2, 20)), Some(2));
    known.listed.last_at = None;
    known.changed_since = Some(5);
    let read = absorbed(&known, true, &[(1, 10), (2, 20)]);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    assert_eq!(known.listed.last_at, Some(20));
    // The same row again has that time, and another one has none.
    let row = Listing { last_at: None, ..known.listed };
    assert_eq!(row.completed_by(&known.listed), known.listed);
    let news = Listing { messages: Some(3), ..row };
    assert_eq!(news.completed_by(&known.listed).last_at, None);
}

#[test]
fn a_chat_that_changed_during_its_read_waits_on_from_the_list_before() {
    let mut known = chat(Some((2, 20)), None);
    known.changed_since = Some(5);
    let read = absorbed(&known, false, &[(1, 10), (2, 20)]);
    known.listed.last_at = Some(30);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    assert_eq!(known.changed_since, Some(40_000));
}

/// The row of the list names message 2, sent at 20, and counts two.
fn known() -> Chat {
    chat(Some((2, 20)), Some(2))
}

#[test]
fn a_read_that_goes_on_is_compared_with_the_newest_row() {
    let mut known = known();
    let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
    assert_eq!(read.absorb(&shown(&[(1, 10), (3, 30)], Some(3))), Step::More);
    (known.listed.last_at, known.listed.last_id, known.listed.messages) = (Some(30), Some(id(3)), Some(3));
    known.explained = Some(3);
    let mut read = read.resumed(&known);
    assert_eq!(read.absorb(&shown(&[(4, 25), (3, 30)], Some(2))), Step::Drained);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    assert_eq!(known.explained, Some(3), "message 3 is not newer than this row");
}

#[test]
fn messages_that_are_newer_than_the_row_do_not_count_against_it() {
    // Two were counted before the read and one by it.
    let mut known = known();
    (known.explained, known.listed.messages) = (Some(5), Some(2));
    let mut read = Read::new(ChatKey(1), &known, false, 0, 50_000, 40_000).compared_with(2, true);
    read.absorb(&shown(&[(1, 10), (2, 20), (3, 30)], Some(3)));
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    assert_eq!(known.explained, Some(5));
    assert_eq!(known.listed.last_at, Some(20), "the row stays as the list has it");
    known.explained = Some(4);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Doubtful { lacking: None });
}

#[test]
fn messages_that_were_counted_before_are_not_news() {
    let mut known = known();
    known.explained = Some(2);
    let mut read = Read::new(ChatKey(1), &known, false, 0, 50_000, 40_000);
    let page = shown(&[(2, 20), (3, 30)], Some(2));
    let rows = page.rows.iter().map(|row| ShownRow { counted: false, ..*row }).collect();
    read.absorb(&Shown { rows, ..page });
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    assert_eq!(known.explained, Some(2));
}

#[test]
fn a_read_that_no_list_asked_for_looks_for_news_unless_it_is_deep() {
    for (deep, hinted, is_of_news) in
        [(false, false, false), (false, true, true), (true, false, false), (true, true, false)]
    {
        let read = Read::new(ChatKey(1), &known(), deep, 0, 50_000, 40_000).compared_with(0, hinted);
        assert_eq!((read.is_hinted(), read.is_of_news()), (hinted, is_of_news), "deep {deep}");
    }
}

#[test]
fn the_line_of_a_chat_is_that_of_its_newest_message_with_one() {
    let row = |n, sent_at, line| ShownRow { id: id(n), sent_at, line: LineId(line), counted: true };
    for (rows, line) in [
        (vec![row(1, 10, 1), row(2, 30, 2), row(3, 20, 1)], 2),
        (vec![row(1, 30, 1), row(2, 30, 2)], 2),
        (vec![row(1, 30, 1), ShownRow { line: LineId::NONE, ..row(2, 40, 0) }], 1),
    ] {
        let mut known = known();
        let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
        read.absorb(&Shown { rows, rejected: 0, total: None });
        assert_eq!(read.newest_line(), Some(LineId(line)));
        concluded(&read, &mut known, 0);
        assert_eq!(known.line, Some(LineId(line)));
    }
    let read = absorbed(&known(), true, &[(1, 10)]);
    assert_eq!(read.newest_line(), None);
}

#[test]
fn a_range_that_was_shown_in_whole_by_offset_hides_nothing() {
    let mut known = chat(Some((4, 40)), None);
    let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
    // The newest come first: pages go by offset.
    let pages: [&[(u128, i64)]; 4] = [&[(4, 40), (3, 30)], &[(4, 40), (3, 30)], &[(2, 20), (1, 10)], &[]];
    let steps = pages.map(|page| read.absorb(&shown(page, Some(4))));
    assert_eq!(steps, [Step::More, Step::More, Step::More, Step::Drained]);
    assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
}

#[test]
fn a_range_that_was_not_shown_in_whole_by_offset_may_hide_messages() {
    let mut known = chat(Some((4, 40)), None);
    let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
    let mut requests = 0;
    // Of four messages it shows three, whatever the offset, and then nothing.
    while read.absorb(&if requests % 2 == 0 {
        shown(&[(4, 40), (3, 30), (2, 20)], Some(4))
    } else {
        shown(&[], Some(4))
    }) == Step::More
    {
        requests += 1;
        if requests == 1 {
            assert_eq!(read.absorb(&shown(&[(4, 40), (3, 30), (2, 20)], Some(4))), Step::More);
        }
    }
    assert_eq!(concluded(&read, &mut known, 0), behind(&read));
    assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Done, "what is wrong lasts");
}

#[test]
fn a_chat_that_shows_nothing_is_asked_from_the_beginning_of_time() {
    // A message from before the range says that the chat is there, one within it that a replica was behind.
    for (page, step, is_empty) in [
        (vec![], Step::Drained, true),
        (vec![(1, 10)], Step::Drained, false),
        (vec![(1, 15)], Step::Drained, false),
        (vec![(2, 20)], Step::More, false),
    ] {
        let mut read = Read::new(ChatKey(1), &known(), false, 15, 50_000, 40_000);
        assert_eq!(read.absorb(&shown(&[], Some(0))), Step::More);
        assert_eq!(read.next(), Range { since: 0, until: None, offset: 0 });
        assert_eq!(read.absorb(&shown(&page, Some(page.len() as u64))), step, "{page:?}");
        assert_eq!(read.is_empty(), is_empty, "{page:?}");
        if step == Step::More {
            assert_eq!(read.next(), Range { since: 15, until: None, offset: 0 });
        }
    }
}

#[test]
fn a_row_that_ends_where_the_read_began_promises_nothing() {
    for (since, step) in [(19, Step::More), (20, Step::Drained)] {
        let mut read = Read::new(ChatKey(1), &known(), false, since, 50_000, 40_000);
        assert_eq!(read.absorb(&shown(&[], Some(0))), step);
        assert_eq!(read.has_reached(), step == Step::Drained);
    }
}

#[test]
fn a_chat_that_denies_what_the_list_counts_is_contradicted_after_five_reads() {
    for (messages, times, expected) in [
        (Some(2), CONFIRMATIONS, Some(Conclusion::Contradicted)),
        (None, CONFIRMATIONS, Some(Conclusion::Contradicted)),
        (Some(2), CONFIRMATIONS - 1, None),
        (Some(0), CONFIRMATIONS, None),
    ] {
        let mut known = Chat { ..chat(Some((2, 20)), messages) };
        let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
        read.absorb(&shown(&[], Some(0)));
        read.absorb(&shown(&[], Some(0)));
        let conclusion =
            read.conclude(&mut known, true, Doubts { times, ..Doubts::default() }, 100_000, PATIENCE);
        assert_eq!(conclusion, expected.unwrap_or(behind(&read)), "{messages:?} after {times}");
    }
}

#[test]
fn rows_that_cannot_be_used_account_for_what_a_total_counts_beyond_those_that_can() {
    for (rejected, step) in [(0, Step::More), (1, Step::Drained)] {
        let mut read = Read::new(ChatKey(1), &known(), true, 0, 50_000, 40_000);
        assert_eq!(read.absorb(&Shown { rejected, ..shown(&[(1, 10), (2, 20)], Some(5)) }), Step::More);
        assert_eq!(read.next().since, 19);
        assert_eq!(read.absorb(&shown(&[], Some(0))), step);
        assert_eq!(read.next().since, if rejected == 0 { 0 } else { 19 });
        assert_eq!(read.has_rejected(), rejected > 0);
    }
}

#[test]
fn a_total_without_messages_asks_for_no_pass_by_offset_at_the_start_of_a_range() {
    let mut read = Read::new(ChatKey(1), &chat(None, Some(0)), true, 0, 50_000, 40_000);
    assert_eq!(read.absorb(&shown(&[], Some(5))), Step::Drained);
}

#[test]
fn a_millisecond_that_brings_something_new_each_time_ends_in_confusion() {
    let mut read = Read::new(ChatKey(1), &known(), true, 49, 50_000, 40_000);
    let mut passes = 0;
    let mut n = 0;
    loop {
        // Something new at 50 with each request of the range, and nothing but what is known where it is gone through.
        let is_tie = read.next().until.is_some();
        n += u128::from(!is_tie);
        let step = read.absorb(&shown(&[(n, 50)], is_tie.then_some(1)));
        passes += u32::from(is_tie && step == Step::More && read.next().until.is_none());
        if step != Step::More {
            assert_eq!((step, n, passes), (Step::Confused, 4, 3));
            return;
        }
    }
}

#[test]
fn a_message_dated_when_the_read_began_is_not_dated_ahead() {
    for (at, expected) in [(50_000, Some(Conclusion::Done)), (50_001, None)] {
        let mut known = chat(Some((2, at)), Some(2));
        (known.explained, known.changed_since) = (None, Some(5));
        let read = absorbed(&known, true, &[(1, 10), (2, at)]);
        assert_eq!(concluded(&read, &mut known, 0), expected.unwrap_or(behind(&read)), "{at}");
    }
}

#[test]
fn below_a_message_dated_ahead_one_that_was_found_does_not_stand_for_one_that_came_meanwhile() {
    // (newest message, found at, conclusion); the read before began at 49000, this one at 50000.
    for (newest, found, conclusion) in [
        (60_000, &[10][..], lacks(1)),
        (60_000, &[49_000], lacks(1)),
        (60_000, &[49_001, 50_000], Conclusion::Done),
        (60_000, &[49_001, 50_001], lacks(1)),
        (60_000, &[48_999, 49_500], lacks(1)),
        (60_000, &[], Conclusion::Done),
        (50_000, &[10], Conclusion::Done),
    ] {
        let mut known = chat(Some((9, newest)), Some(7));
        (known.explained, known.audited_at) = (Some(6), Some(5));
        let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
        let ids = found.iter().zip(1..).map(|(at, id)| (id, *at)).chain([(9, newest)]);
        let page = shown(&ids.collect::<Vec<_>>(), None);
        let rows = page.rows.iter().map(|row| ShownRow { counted: row.sent_at != newest, ..*row }).collect();
        read.absorb(&Shown { rows, ..page });
        let doubts = Doubts { times: 1, lacking: Some(LACKS_ONE), ..Doubts::default() };
        let concluded = read.conclude(&mut known, true, doubts, 100_000, PATIENCE);
        assert_eq!(concluded, conclusion, "{newest}, {found:?}");
    }
}

#[test]
fn below_a_message_dated_ahead_the_first_count_includes_what_is_newer_than_the_row() {
    let mut known = chat(Some((2, 60_000)), Some(2));
    let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000).compared_with(3, false);
    read.absorb(&shown(&[(1, 10), (2, 60_000)], Some(2)));
    assert_eq!(concluded(&read, &mut known, 0), behind(&read));
    assert_eq!(known.explained, Some(5));
}

#[test]
fn a_count_that_moves_with_every_deep_read_is_not_waited_for_for_ever() {
    for (times, expected) in [(9, lacks(2)), (10, Conclusion::Done)] {
        let mut known = chat(Some((2, 20)), Some(4));
        (known.explained, known.changed_since) = (Some(2), Some(5));
        let read = absorbed(&known, true, &[(1, 10), (2, 20)]);
        let doubts = Doubts { times, lacking: Some(LACKS_ONE), ..Doubts::default() };
        assert_eq!(read.conclude(&mut known, true, doubts, 100_000, PATIENCE), expected);
    }
}

#[test]
fn where_rows_have_no_count_a_total_that_fits_a_full_page_ends_no_read() {
    // The total is too low by what does not fit on the page.
    for (messages, since) in [(Some(4), None), (None, Some(29))] {
        let known = chat(Some((4, 40)), messages);
        let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
        let step = read.absorb(&shown(&[(1, 10), (2, 20), (3, 30)], Some(3)));
        assert_eq!((step == Step::More).then(|| read.next().since), since);
        if since.is_some() {
            assert_eq!(read.absorb(&shown(&[(3, 30), (4, 40)], Some(2))), Step::Drained);
        }
    }
    let mut read = Read::new(ChatKey(1), &chat(Some((1, 10)), None), true, 0, 50_000, 40_000);
    assert_eq!(read.absorb(&shown(&[(1, 10)], Some(1))), Step::Drained, "no page holds a single row");
}

#[test]
fn behind_a_page_without_a_usable_row_a_read_goes_on_by_offset_where_it_is() {
    let mut read = Read::new(ChatKey(1), &known(), true, 0, 50_000, 40_000);
    assert_eq!(read.absorb(&shown(&[(1, 10), (2, 20)], None)), Step::More);
    assert_eq!(read.absorb(&Shown { rejected: 1, ..shown(&[], None) }), Step::More);
    assert_eq!(read.next(), Range { since: 19, until: None, offset: 0 });
}

#[test]
fn a_read_that_never_comes_to_an_end_does_not_wait_for_ever() {
    for (times, expected) in [(4, None), (5, Some(Conclusion::Contradicted))] {
        let mut known = known();
        let read = absorbed(&known, true, &[(1, 10), (2, 20)]);
        let doubts = Doubts { times, behind: Some((read.sought(), times)), ..Doubts::default() };
        let concluded = read.conclude(&mut known, false, doubts, 100_000, PATIENCE);
        assert_eq!(concluded, expected.unwrap_or(behind(&read)));
    }
}

#[test]
fn below_a_message_dated_ahead_a_read_whose_row_changed_while_it_was_interrupted_is_repeated() {
    // One of three was deleted: the read is to explain that. It has passed the present when another one comes.
    for (newest, deep, conclusion) in [
        (60_000, true, lacks(0)),
        (60_000, false, Conclusion::Doubtful { lacking: None }),
        (50_000, true, Conclusion::Done),
    ] {
        let mut known = chat(Some((2, newest)), Some(2));
        (known.explained, known.audited_at, known.changed_since) = (Some(3), Some(1), Some(40_000));
        let mut read = Read::new(ChatKey(1), &known, deep, 0, 50_000, 40_000);
        let page = shown(&[(1, 10), (2, newest)], Some(3));
        let rows = page.rows.iter().map(|row| ShownRow { counted: false, ..*row }).collect();
        read.absorb(&Shown { rows, ..page });
        known.listed.messages = Some(3);
        let read = read.resumed(&known);
        assert_eq!(concluded(&read, &mut known, 0), conclusion, "{newest}, {deep}");
        if conclusion != Conclusion::Done {
            assert_eq!((known.explained, known.changed_since), (Some(3), Some(40_000)));
        }
    }
}

#[test]
fn a_row_that_was_never_read_is_not_believed_because_of_those_before_it() {
    let newest = (Some(id(2)), 20);
    for (before, times, insists) in [
        (None, 2 * CONFIRMATIONS, false),
        (Some(((Some(id(1)), 10), 4)), MOST_DOUBTS, false),
        (Some((newest, 1)), MOST_DOUBTS - 1, false),
        (Some((newest, 1)), MOST_DOUBTS, true),
        (Some((newest, CONFIRMATIONS)), CONFIRMATIONS, true),
        (None, 3 * MOST_DOUBTS, true),
    ] {
        let doubts = Doubts { times, behind: before, ..Doubts::default() };
        assert_eq!(doubts.insist_on(newest), insists, "{before:?}, {times}");
    }
}
