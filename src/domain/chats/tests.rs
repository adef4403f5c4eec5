//! The orders, compared with what a walk over all chats finds.

use std::cmp::Reverse;

use super::*;
use crate::domain::chat::{Listing, Outage};

const LINES: u16 = 3;

fn drawn(rng: &mut fastrand::Rng) -> Chat {
    let last_at = (rng.u8(0..8) > 0).then(|| rng.i64(0..100));
    let messages = [None, Some(0), Some(3)][rng.usize(0..3)];
    let listed = Listing { last_at, last_id: None, messages, inbound: None, outbound: None, times: None };
    let mut chat = Chat::new(ChatKind::ALL[rng.usize(0..ChatKind::ALL.len())], listed, 0);
    redraw(&mut chat, rng);
    chat
}

fn redraw(chat: &mut Chat, rng: &mut fastrand::Rng) {
    chat.audited_at = rng.bool().then(|| rng.i64(1..100));
    chat.changed_since = rng.bool().then(|| rng.i64(1..100));
    chat.line = rng.bool().then(|| LineId(rng.u16(1..=LINES)));
    chat.unshown = rng.u8(0..4) == 0;
    chat.absence.listings = rng.u8(0..3);
    let reason = Unreadable::ALL[rng.usize(0..Unreadable::ALL.len())];
    chat.outage = (rng.u8(0..3) == 0).then(|| Outage { reason, since: rng.i64(1..100) });
    if rng.bool() {
        chat.listed.last_at = Some(rng.i64(0..100));
    }
}

/// What the answers should be, found the slow way.
fn compare(chats: &Chats, bounds: Bounds) {
    let all: Vec<(ChatKey, Chat)> = chats.iter().map(|(key, chat)| (key, *chat)).collect();
    let sorted = |mut found: Vec<(i64, ChatKey)>| {
        found.sort_unstable();
        found
    };
    let of = |wanted: &dyn Fn(&Chat) -> Option<i64>| {
        sorted(all.iter().filter_map(|(key, chat)| Some((wanted(chat)?, *key))).collect())
    };
    let count = |wanted: &dyn Fn(&Chat) -> bool| all.iter().filter(|(_, chat)| wanted(chat)).count();
    let newest = |chat: &Chat| chat.listed.last_at.unwrap_or(0);
    let holds = |chat: &Chat, after: i64| match chat.listed.last_at {
        Some(at) => at > after,
        None => chat.listed.messages != Some(0),
    };

    assert_eq!((chats.len(), chats.is_empty()), (all.len(), all.is_empty()));
    let waiting = of(&|chat| chat.changed_since.filter(|_| chat.outage.is_none()));
    assert_eq!(chats.waiting().collect::<Vec<_>>(), waiting);
    assert_eq!(chats.waiting_since(), waiting.first().map(|(since, _)| *since));
    let changed = of(&|chat| chat.changed_since);
    assert_eq!(
        (chats.waiting_count(), chats.held_since()),
        (changed.len(), changed.first().map(|(at, _)| *at))
    );

    // What fell below the bounds is dropped when it comes to the front.
    let counts =
        |chat: &Chat| holds(chat, bounds.floor) || chat.changed_since.is_some() || chat.absence.listings > 0;
    let audits = of(&|chat| (counts(chat) && chat.outage.is_none()).then(|| chat.audited_at.unwrap_or(0)));
    assert_eq!(chats.oldest_audit(), audits.first().map(|(at, _)| *at));
    assert!(audits.iter().all(|audit| chats.audits().any(|found| found == *audit)));
    let unreadable =
        of(&|chat| (counts(chat) && chat.outage.is_some()).then(|| chat.audited_at.unwrap_or(0)));
    assert_eq!(chats.oldest_unreadable_audit(), unreadable.first().map(|(at, _)| *at));
    assert!(chats.countable() >= audits.len() + unreadable.len() && chats.countable() <= all.len());

    let is_unread = |chat: &Chat| {
        (chat.audited_at.is_none() || chat.unshown)
            && chat.outage.is_none()
            && chat.changed_since.is_none()
            && holds(chat, bounds.history)
    };
    let unread = of(&|chat| is_unread(chat).then(|| newest(chat)));
    let found: Vec<ChatKey> = chats.unread().filter(|key| is_unread(chats.get(*key).unwrap())).collect();
    assert_eq!(found, unread.iter().rev().map(|(_, key)| *key).collect::<Vec<_>>());
    assert!(chats.unread_count() >= unread.len() && chats.unread_count() <= all.len());

    let mut active = of(&|chat| (newest(chat) > bounds.window).then(|| newest(chat)));
    active.sort_unstable_by_key(|found| Reverse(*found));
    assert_eq!(chats.active().collect::<Vec<_>>(), active);
    let by_kind = std::array::from_fn(|kind| {
        count(&|chat| chat.kind == ChatKind::ALL[kind] && newest(chat) > bounds.window) as u64
    });
    assert_eq!(chats.active_by_kind(), by_kind);

    let outages = of(&|chat| chat.outage.map(|outage| outage.since));
    assert_eq!(
        chats.unreadable().collect::<Vec<_>>(),
        outages.iter().map(|(_, key)| *key).collect::<Vec<_>>()
    );
    let by_reason = std::array::from_fn(|reason| {
        count(&|chat| chat.outage.is_some_and(|outage| outage.reason == Unreadable::ALL[reason])) as u64
    });
    assert_eq!(chats.outages(), (by_reason, outages.first().map(|(since, _)| *since)));
    let absent: BTreeSet<ChatKey> =
        all.iter().filter(|(_, chat)| chat.absence.listings > 0).map(|(key, _)| *key).collect();
    assert_eq!(*chats.absent(), absent);
    for line in (1..=LINES).map(LineId) {
        let mut newest_first = of(&|chat| (chat.line == Some(line)).then(|| newest(chat)));
        newest_first.sort_unstable_by_key(|found| Reverse(*found));
        let shown: Vec<ChatKey> = chats.of_line(line).collect();
        let expected: Vec<ChatKey> = newest_first.iter().map(|(_, key)| *key).collect();
        // Others may have been left out while there were more than are kept.
        assert!(shown.len() <= PROBE_CANDIDATES);
        let mut among = expected.iter().filter(|key| shown.contains(key));
        assert!(shown.iter().all(|key| among.next() == Some(key)), "{shown:?} of {expected:?}");
    }
    assert_eq!(chats.verify(), Ok(()));
}

#[test]
fn the_orders_are_what_a_walk_over_all_chats_finds() {
    let mut rng = fastrand::Rng::with_seed(11);
    for _ in 0..40 {
        let mut bounds = Bounds { floor: rng.i64(0..50), window: rng.i64(0..50), history: rng.i64(0..50) };
        let mut chats = Chats::restore(Vec::new(), bounds);
        compare(&chats, bounds);
        for _ in 0..60 {
            let key = ChatKey(rng.u128(0..30));
            match rng.u8(0..10) {
                0..4 => chats.insert(key, drawn(&mut rng)),
                4..7 => {
                    let before = chats.get(key).copied();
                    let changed = chats.update(key, |chat| redraw(chat, &mut rng));
                    assert_eq!(changed, chats.get(key).copied() != before);
                }
                7 => {
                    let before = chats.get(key).copied();
                    assert_eq!(chats.remove(key), before);
                }
                8 => {
                    // None of them ever goes back.
                    let to =
                        Bounds { floor: rng.i64(0..70), window: rng.i64(0..70), history: rng.i64(0..70) };
                    chats.advance(to);
                    bounds = Bounds {
                        floor: bounds.floor.max(to.floor),
                        window: bounds.window.max(to.window),
                        history: bounds.history.max(to.history),
                    };
                }
                _ => {
                    bounds =
                        Bounds { floor: rng.i64(0..50), window: rng.i64(0..50), history: rng.i64(0..50) };
                    chats.rebuild(bounds);
                }
            }
            // What a change of one chat or of the bounds leaves is dropped with the next advance.
            chats.advance(bounds);
            compare(&chats, bounds);
        }
        let all: Vec<(ChatKey, Chat)> = chats.iter().map(|(key, chat)| (key, *chat)).collect();
        let restored = Chats::restore(all.clone(), bounds);
        compare(&restored, bounds);
        assert_eq!(restored.iter().map(|(key, chat)| (key, *chat)).collect::<Vec<_>>(), all);
    }
}

#[test]
fn what_a_list_showed_is_forgotten_with_the_process() {
    let mut chats = Chats::default();
    chats.insert(ChatKey(1), drawn(&mut fastrand::Rng::with_seed(1)));
    chats.mark_listed(ChatKey(1), 7, 500);
    chats.mark_listed(ChatKey(1), 8, 400);
    let marked = *chats.get(ChatKey(1)).unwrap();
    assert_eq!((marked.listed_in, marked.shown_at), (8, 500), "the newest list stands");
    let restored = Chats::restore(vec![(ChatKey(1), marked)], Bounds::default());
    let chat = restored.get(ChatKey(1)).unwrap();
    assert_eq!((chat.listed_in, chat.shown_at), (0, 0));
}

#[test]
fn chats_are_gone_through_in_slices() {
    let mut chats = Chats::default();
    for n in [5, 1, 9, 3] {
        chats.insert(ChatKey(n), drawn(&mut fastrand::Rng::with_seed(1)));
    }
    let slice = |after, most| chats.slice_after(after, most).into_iter().map(|key| key.0).collect::<Vec<_>>();
    assert_eq!(slice(None, 3), [1, 3, 5]);
    assert_eq!(slice(Some(ChatKey(5)), 3), [9]);
    assert_eq!(slice(Some(ChatKey(9)), 3), [0; 0]);
}

#[test]
fn as_many_chats_of_a_line_are_kept_as_probes_need() {
    let mut chats = Chats::default();
    for n in 0..20 {
        let mut chat = drawn(&mut fastrand::Rng::with_seed(1));
        (chat.listed.last_at, chat.line) = (Some(n as i64), Some(LineId(1)));
        chats.insert(ChatKey(n), chat);
    }
    let kept: Vec<u128> = chats.of_line(LineId(1)).map(|key| key.0).collect();
    assert_eq!(kept, (4..20).rev().collect::<Vec<u128>>());
    assert_eq!(chats.of_line(LineId(2)).count(), 0);
}

#[test]
fn a_difference_in_any_order_is_found() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut chats = Chats::default();
    for n in 0..10 {
        chats.insert(ChatKey(n), drawn(&mut rng));
    }
    assert_eq!(chats.verify(), Ok(()));
    let other = (1_000, ChatKey(99));
    type Change = fn(&mut Orders, (i64, ChatKey));
    let changes: [Change; 9] = [
        |orders, other| _ = orders.waiting.insert(other),
        |orders, other| _ = orders.held.insert(other),
        |orders, other| _ = orders.outages.insert(other),
        |orders, _| orders.outages_by_reason[0] += 1,
        |orders, other| _ = orders.active.insert(other),
        |orders, _| orders.active_by_kind[0] += 1,
        |orders, other| _ = orders.absent.insert(other.1),
        |orders, _| _ = orders.audits.pop_first(),
        |orders, _| _ = orders.unread.pop_first(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut wrong = chats.clone();
        change(&mut wrong.orders, other);
        assert_ne!(wrong.orders, chats.orders, "{n}");
        assert!(wrong.verify().is_err(), "{n}");
    }
}
