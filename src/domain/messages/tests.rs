//! The orders and sums, compared with what a walk over all messages finds.

use std::collections::btree_map::Entry;

use super::*;
use crate::domain::message::{Observation, Reason};

/// Messages by id, as a plain list would hold them.
type All = BTreeMap<MessageId, Held>;

const LINES: u16 = 3;
const CHATS: u128 = 4;
const IDS: u128 = 40;
/// Times are multiples of it, give or take a millisecond, so that many stand exactly at a boundary.
const GRAIN: i64 = 100_000;

fn time(rng: &mut fastrand::Rng, from: i64, to: i64) -> i64 {
    rng.i64(from / GRAIN..to / GRAIN) * GRAIN + rng.i64(-1..2)
}

fn drawn(rng: &mut fastrand::Rng, now: i64) -> Tracked {
    let observation = Observation {
        id: MessageId(0),
        direction: Direction::ALL[rng.usize(0..2)],
        line: LineId(rng.u16(0..LINES)),
        sent_at: time(rng, now - 3_000_000, now + 500_000),
        delivered_at: None,
        status: Status::ALL[rng.usize(0..Status::ALL.len())],
        protocol: Protocol::ALL[rng.usize(0..Protocol::ALL.len())],
        reason: Reason::Other,
    };
    let mut tracked = Tracked::new(&observation, rng.bool());
    if rng.u8(0..3) == 0 {
        tracked.first_sent();
    }
    tracked
}

/// How many of them fall under each key.
fn tally<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_insert(0) += 1);
    counts
}

/// Without lines that count nothing: whether such a line is there makes no difference.
fn counted(counts: &BTreeMap<LineId, u64>) -> BTreeMap<LineId, u64> {
    counts.iter().filter(|(_, count)| **count > 0).map(|(line, count)| (*line, *count)).collect()
}

/// What the answers should be, found the slow way.
fn compare(messages: &Messages, all: &All, window: i64, now: i64) {
    let open: BTreeMap<MessageId, (Tracked, Open)> =
        all.iter().filter_map(|(id, (tracked, open))| Some((*id, (*tracked, (*open)?)))).collect();
    assert_eq!((messages.len(), messages.is_empty()), (all.len(), all.is_empty()));
    let mut ids: Vec<MessageId> = messages.ids().collect();
    ids.sort_unstable();
    assert_eq!(ids, all.keys().copied().collect::<Vec<_>>());
    for id in (0..IDS).map(MessageId) {
        let held = all.get(&id);
        assert_eq!(messages.get(id), held.map(|(tracked, _)| tracked));
        let is_open = held.and_then(|(_, open)| *open);
        assert_eq!((messages.is_open(id), messages.open(id)), (is_open.is_some(), is_open));
        let born_at = is_open.map(|open| {
            let sent_at = held.unwrap().0.sent_at;
            open.seen_at.unwrap_or(sent_at).min(sent_at)
        });
        assert_eq!(messages.born_at(id), born_at);
    }
    assert_eq!(messages.open_count(), open.len());
    let every: Vec<_> = open.iter().map(|(id, (tracked, open))| (*id, tracked, open.chat)).collect();
    assert_eq!(messages.iter_open().collect::<Vec<_>>(), every);
    for chat in (0..=CHATS).map(ChatKey) {
        let of_chat: Vec<_> = open
            .iter()
            .filter(|(_, (_, open))| open.chat == chat)
            .map(|(id, (tracked, open))| (*id, tracked, open.due))
            .collect();
        assert_eq!(messages.has_open(chat), !of_chat.is_empty());
        assert_eq!(messages.open_of(chat).collect::<Vec<_>>(), of_chat);
    }
    let mut missing: Vec<_> = open.iter().filter_map(|(id, (_, open))| Some((open.missing?, *id))).collect();
    missing.sort_unstable_by_key(|(missing, id)| (missing.since, *id));
    let found: Vec<_> = messages.missing().map(|(id, missing)| (missing, id)).collect();
    assert_eq!(found, missing);

    let recent = || all.values().map(|(t, _)| t).filter(|t| t.sent_at > now - window && t.sent_at <= now);
    let mix = tally(recent().map(|t| (t.line, t.direction(), t.protocol, t.status)));
    assert_eq!(*messages.mix(), mix);
    let step = (window / TRAFFIC_STEPS as i64).max(1);
    let mut traffic: BTreeMap<LineId, Traffic> = BTreeMap::new();
    for t in recent() {
        let steps_ago = now.div_euclid(step) - t.sent_at.div_euclid(step);
        let at = TRAFFIC_STEPS.saturating_sub(1 + steps_ago as usize);
        let line = traffic.entry(t.line).or_default();
        let outbound = t.direction() == Direction::Outbound;
        line.inbound[at] += u32::from(!outbound);
        line.outbound[at] += u32::from(outbound);
        line.failed[at] += u32::from(outbound && t.status == Status::Failed);
    }
    let mut found = BTreeMap::new();
    messages.traffic(&mut found);
    assert_eq!(found, traffic);

    let groups = tally(open.values().map(|(t, _)| (t.line, t.status)));
    let groups: BTreeMap<_, _> = groups
        .into_iter()
        .map(|(key, count)| {
            let oldest = open.values().filter(|(t, _)| (t.line, t.status) == key).map(|(t, _)| t.sent_at);
            (key, OpenGroup { count, oldest: oldest.min().unwrap() })
        })
        .collect();
    assert_eq!(messages.open_groups().collect::<BTreeMap<_, _>>(), groups);
    let history = tally(open.values().filter(|(t, _)| t.is_history()).map(|(t, _)| t.line));
    assert_eq!(counted(messages.open_history()), history);
    let is_overdue = |t: &Tracked| !t.was_handed_over() && t.sent_at <= now - OVERDUE;
    let overdue = tally(open.values().filter(|(t, _)| is_overdue(t)).map(|(t, _)| t.line));
    assert_eq!(counted(messages.overdue()), overdue);
    assert_eq!(messages.verify(), Ok(()));
}

#[test]
fn the_orders_and_sums_are_what_a_walk_over_all_messages_finds() {
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..40 {
        let (mut window, mut now) = (20 * GRAIN, 100 * GRAIN);
        let mut messages = Messages::restore(Vec::new(), window, now);
        let mut all = All::new();
        for _ in 0..150 {
            let id = MessageId(rng.u128(0..IDS));
            let chat = ChatKey(rng.u128(0..CHATS));
            match rng.u8(0..16) {
                0..5 => {
                    if let Entry::Vacant(unknown) = all.entry(id) {
                        let mut tracked = drawn(&mut rng, now);
                        let open = rng.bool().then(|| Open {
                            due: rng.i64(0..100),
                            seen_at: (rng.u8(0..4) == 0).then(|| time(&mut rng, now - 1_000_000, now)),
                            missing: (rng.u8(0..4) == 0).then(|| Missing { since: rng.i64(0..9), last: 9 }),
                            ..Open::new(chat)
                        });
                        if open.is_none() {
                            tracked.end();
                        }
                        messages.insert(id, tracked, open);
                        unknown.insert((tracked, open));
                    }
                }
                5..9 => {
                    let before = all.get(&id).copied();
                    let mut after = before.map_or_else(|| drawn(&mut rng, now), |(tracked, _)| tracked);
                    match rng.u8(0..5) {
                        0 => after.sent_at = time(&mut rng, now - 3_000_000, now + 500_000),
                        1 => after.status = Status::ALL[rng.usize(0..Status::ALL.len())],
                        2 => drop(after.first_sent()),
                        3 => after.end(),
                        _ => {}
                    }
                    let changed = before.is_some_and(|(tracked, _)| tracked != after);
                    assert_eq!(messages.update(id, |tracked| *tracked = after), changed);
                    if let Some((tracked, open)) = all.get_mut(&id) {
                        *tracked = after;
                        *open = open.filter(|_| !after.is_ended());
                    }
                }
                9 => assert_eq!(messages.remove(id), all.remove(&id).is_some()),
                10 => {
                    let open = all.get_mut(&id).and_then(|(_, open)| open.as_mut());
                    let news = open.is_some_and(|open| {
                        let news = open.missing.take().is_some() | (open.chat != chat);
                        open.chat = chat;
                        news
                    });
                    assert_eq!(messages.seen_in(id, chat), news);
                }
                11 => {
                    let missing = Missing { since: rng.i64(0..9), last: rng.i64(9..20) };
                    messages.set_missing(id, missing);
                    if let Some((_, Some(open))) = all.get_mut(&id) {
                        open.missing = Some(missing);
                    }
                }
                12 => {
                    let due = rng.i64(0..100);
                    messages.set_due(id, due);
                    if let Some((_, Some(open))) = all.get_mut(&id) {
                        open.due = due;
                    }
                }
                13..15 => {
                    // A clock that goes back moves nothing.
                    let to = time(&mut rng, now - 200_000, now + 1_500_000);
                    let was_shown = |t: &Tracked| t.sent_at > now - window && t.sent_at <= now;
                    let mut left: Vec<(i64, MessageId)> = all
                        .iter()
                        .filter(|(_, (t, _))| was_shown(t) && t.sent_at <= to - window)
                        .map(|(id, (t, _))| (t.sent_at, *id))
                        .collect();
                    left.sort_unstable();
                    let shown = messages.advance(to);
                    // What was dated ahead may pass through the window at once.
                    let shown: Vec<_> = shown.into_iter().filter(|(_, id)| was_shown(&all[id].0)).collect();
                    assert_eq!(shown, left);
                    now = now.max(to);
                }
                _ => {
                    window = [GRAIN, 20 * GRAIN, 25 * GRAIN, 30][rng.usize(0..4)];
                    messages.set_window(window);
                }
            }
            compare(&messages, &all, window, now);
        }
        let stored: Vec<_> = all.iter().map(|(id, (tracked, open))| (*id, *tracked, *open)).collect();
        compare(&Messages::restore(stored, window, now), &all, window, now);
    }
}

/// Messages that ended, one at each of these times, with ids in their order.
fn ended_at(times: &[i64]) -> Messages {
    let mut tracked = drawn(&mut fastrand::Rng::with_seed(1), 0);
    tracked.end();
    let held = times.iter().enumerate();
    let held = held.map(|(n, at)| {
        tracked.sent_at = *at;
        (MessageId(n as u128), tracked, None)
    });
    Messages::restore(held.collect(), 0, 0)
}

#[test]
fn what_the_floor_passed_is_named_once_and_a_slice_at_a_time() {
    let mut rng = fastrand::Rng::with_seed(2);
    let times: Vec<i64> = (0..200).map(|_| rng.i64(-3 * SHELF..6 * SHELF)).collect();
    for most in [1, 7, 1_000] {
        let mut messages = ended_at(&times);
        let mut named = BTreeSet::new();
        for floor in [-4 * SHELF, -SHELF, 2 * SHELF - 2, 2 * SHELF - 1, 3 * SHELF, 7 * SHELF] {
            loop {
                let slice = messages.passed(floor, most);
                assert!(slice.len() <= most);
                for id in &slice {
                    assert!(times[id.0 as usize] <= floor, "not passed");
                    assert!(named.insert(*id), "named twice");
                }
                if slice.len() < most {
                    break;
                }
            }
            // Those of a shelf are passed together, with the last moment of it.
            let ends = (floor + 1).div_euclid(SHELF) * SHELF;
            let passed = times.iter().filter(|at| **at < ends).count();
            assert_eq!(named.len(), passed, "at {floor}, {most} at a time");
        }
        assert_eq!(named.len(), times.len());
    }
}

#[test]
fn a_message_whose_time_was_rewritten_is_named_again_when_the_floor_passes_the_new_one() {
    let mut messages = ended_at(&[5]);
    let id = MessageId(0);
    assert!(messages.update(id, |tracked| tracked.sent_at = SHELF - 1));
    assert_eq!(messages.passed(SHELF, 9), [id], "the same ten minutes");
    assert_eq!(messages.passed(SHELF, 9), []);
    assert!(messages.update(id, |tracked| tracked.sent_at = 5 * SHELF));
    assert_eq!(messages.passed(6 * SHELF - 2, 9), []);
    assert_eq!(messages.passed(6 * SHELF - 1, 9), [id]);
}

#[test]
fn a_difference_in_any_sum_or_order_is_found() {
    let (now, window) = (100 * GRAIN, 20 * GRAIN);
    let other = (now, MessageId(99));
    type Change = (&'static str, fn(&mut Messages, (i64, MessageId)));
    let changes: [Change; 12] = [
        ("recent", |messages, other| _ = messages.sums.recent.insert(other)),
        ("ahead", |messages, other| _ = messages.sums.ahead.insert(other)),
        ("mix", |messages, _| *messages.sums.mix.values_mut().next().unwrap() += 1),
        ("traffic", |messages, _| messages.sums.traffic.values_mut().next().unwrap()[0] += 1),
        ("open", |messages, _| _ = messages.sums.open.pop_first()),
        ("in_time", |messages, other| _ = messages.sums.in_time.insert(other)),
        ("overdue", |messages, _| *messages.sums.overdue.entry(LineId(9)).or_insert(0) += 1),
        ("open_history", |messages, _| *messages.sums.open_history.entry(LineId(9)).or_insert(0) += 1),
        ("open_of_chat", |messages, other| _ = messages.open_of_chat.insert((ChatKey(1), other.1))),
        ("missing_by_since", |messages, other| _ = messages.missing_by_since.insert(other)),
        ("missing", |messages, (_, id)| {
            messages.missing.insert(id, Missing { since: 1, last: 1 });
            messages.missing_by_since.insert((1, id));
        }),
        // As long as it stands beside the open one, it counts with it.
        ("recent", |messages, _| {
            let (id, mut open) = messages.open.first_key_value().map(|(id, open)| (*id, *open)).unwrap();
            open.tracked.sent_at = 99 * GRAIN;
            messages.ended.insert(id, open.tracked);
        }),
    ];
    for (what, change) in changes {
        let mut rng = fastrand::Rng::with_seed(4);
        let mut messages = Messages::restore(Vec::new(), window, now);
        for n in 0..30 {
            let open = (n % 2 == 0).then(|| Open::new(ChatKey(n % CHATS)));
            messages.insert(MessageId(n), drawn(&mut rng, now), open);
        }
        assert_eq!(messages.verify(), Ok(()));
        change(&mut messages, other);
        let error = messages.verify().unwrap_err();
        assert!(error.ends_with(&format!(": {what}")), "{error}");
    }
}

#[test]
fn what_was_dated_ahead_and_passes_the_window_at_once_was_never_shown_in_it() {
    let (now, window, ahead) = (100 * GRAIN, 20 * GRAIN, 101 * GRAIN);
    for (to, shown) in [(ahead - 1, 0), (ahead, 1), (ahead + window - 1, 1), (ahead + window, 0)] {
        let mut tracked = drawn(&mut fastrand::Rng::with_seed(1), now);
        tracked.sent_at = ahead;
        let mut messages = Messages::restore(vec![(MessageId(1), tracked, None)], window, now);
        assert_eq!(messages.advance(to), [], "{to}");
        assert_eq!(messages.mix().values().sum::<u64>(), shown, "{to}");
        let left = messages.advance(to + 2 * window);
        assert_eq!(left.len() as u64, shown, "what was shown leaves the window");
    }
}
