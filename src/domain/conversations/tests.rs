//! The orders over conversations and waiting messages, and what a store must be told of them.

use super::*;

const NONE: LineId = LineId::NONE;

fn id(n: u128) -> MessageId {
    MessageId(n)
}

fn place(chat: u128, sent_at: i64) -> Place {
    Place { chat: ChatKey(chat), sent_at, line: LineId(chat as u16) }
}

/// What a store holds that wrote every commit.
#[derive(Default)]
struct Store {
    conversations: BTreeMap<ChatKey, Conversation>,
    waiting: BTreeMap<MessageId, Place>,
    lost: BTreeMap<MessageId, Place>,
}

fn write<K: Ord, V>(stored: &mut BTreeMap<K, V>, told: Vec<(K, Option<V>)>) {
    for (key, value) in told {
        match value {
            Some(value) => drop(stored.insert(key, value)),
            None => drop(stored.remove(&key)),
        }
    }
}

fn all<K: Copy, V: Copy>(stored: &BTreeMap<K, V>) -> Vec<(K, Option<V>)> {
    stored.iter().map(|(key, value)| (*key, Some(*value))).collect()
}

impl Store {
    fn commit(&mut self, told: Told) {
        write(&mut self.conversations, told.conversations);
        write(&mut self.waiting, told.waiting);
        write(&mut self.lost, told.lost);
    }

    fn told(&self) -> Told {
        Told { conversations: all(&self.conversations), waiting: all(&self.waiting), lost: all(&self.lost) }
    }
}

/// The same, found by a walk over all conversations.
fn unanswered(store: &Store) -> BTreeMap<(LineId, Position), u64> {
    let mut counts = BTreeMap::new();
    for conversation in store.conversations.values().filter(|conversation| conversation.streak > 0) {
        let position = Position::ALL[(conversation.streak as usize).min(Position::ALL.len()) - 1];
        *counts.entry((conversation.line, position)).or_insert(0) += 1;
    }
    counts
}

fn compare(conversations: &Conversations, store: &Store) {
    assert_eq!(conversations.len(), store.conversations.len());
    assert_eq!(conversations.is_empty(), store.conversations.is_empty());
    let shown = conversations.unanswered().iter().filter(|(_, count)| **count > 0);
    assert_eq!(shown.map(|(key, count)| (*key, *count)).collect::<BTreeMap<_, _>>(), unanswered(store));
    for chat in (0..9).map(ChatKey) {
        assert_eq!(conversations.get(chat), store.conversations.get(&chat));
        let waits = store.waiting.values().filter(|place| place.chat == chat).count();
        assert_eq!(conversations.count_waiting(chat), waits);
        assert_eq!(conversations.knows(chat), waits > 0 || store.conversations.contains_key(&chat));
    }
}

#[test]
fn a_store_that_writes_what_it_is_told_holds_everything() {
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..30 {
        let mut conversations = Conversations::default();
        let mut store = Store::default();
        for round in 0..120 {
            let (n, chat, at) = (rng.u128(0..20), rng.u128(0..8), rng.i64(1..100));
            match rng.u8(0..8) {
                0..3 => _ = conversations.wait(id(n), place(chat, at), round),
                3 => {
                    let key = ChatKey(chat);
                    let mut after = conversations.get(key).copied().unwrap_or_default();
                    for message in conversations.take(key, at) {
                        after.add(message, false, 0);
                        conversations.set(key, Some(after));
                    }
                }
                4 => _ = conversations.leave_imessage(id(n), place(chat, at)),
                5 => _ = conversations.deliver_by_imessage(ChatKey(chat), at),
                6 => _ = conversations.shift(id(n), 100),
                _ => conversations.forget(rng.i64(1..60), 2),
            }
            assert_eq!(conversations.verify(), Ok(()));
            if rng.bool() {
                continue;
            }
            let changed = conversations.is_changed();
            let mut told = conversations.take_told();
            assert_eq!(changed, told != Told::default());
            assert!(!conversations.is_changed());
            if rng.u8(0..4) == 0 {
                // The commit fails, and the next one has it again.
                conversations.mark_changed(&told);
                assert_eq!(conversations.is_changed(), changed);
                told = conversations.take_told();
            }
            store.commit(told);
            compare(&conversations, &store);
        }
        store.commit(conversations.take_told());
        let mut restored = Conversations::restore(store.told(), 500);
        assert!(!restored.is_changed(), "what the store held is no news to it");
        compare(&restored, &store);
        assert_eq!(restored.verify(), Ok(()));
        restored.mark_everything_changed();
        assert_eq!(restored.take_told(), store.told());
    }
}

#[test]
fn each_kind_of_change_alone_must_be_stored() {
    let mut conversations = Conversations::default();
    let changes: [fn(&mut Conversations); 3] = [
        |conversations| {
            conversations.set(ChatKey(1), Some(Conversation { newest: 5, ..Conversation::default() }))
        },
        |conversations| assert!(conversations.wait(id(1), place(1, 6), 0)),
        |conversations| assert!(!conversations.leave_imessage(id(2), place(1, 6))),
    ];
    for change in changes {
        assert!(!conversations.is_changed());
        change(&mut conversations);
        assert!(conversations.is_changed());
        assert_ne!(conversations.take_told(), Told::default());
    }
}

#[test]
fn only_messages_sent_after_one_that_was_delivered_by_imessage_are_lost() {
    // (when one was delivered, when another left iMessage, lost)
    for (delivered, left, lost) in [(5, 4, false), (5, 5, false), (5, 6, true)] {
        let mut conversations = Conversations::default();
        assert_eq!(conversations.deliver_by_imessage(ChatKey(1), delivered), []);
        assert_eq!(conversations.leave_imessage(id(1), place(1, left)), lost, "learnt afterwards: {left}");
        let mut conversations = Conversations::default();
        assert!(!conversations.leave_imessage(id(1), place(1, left)));
        let found = conversations.deliver_by_imessage(ChatKey(1), delivered);
        assert_eq!(!found.is_empty(), lost, "learnt before: {left}");
        assert_eq!(conversations.deliver_by_imessage(ChatKey(1), delivered), [], "and once");
    }
}

#[test]
fn the_earliest_delivery_by_imessage_stands() {
    let mut conversations = Conversations::default();
    let since = |conversations: &Conversations| conversations.get(ChatKey(1)).unwrap().imessage_since;
    for (delivered, known) in [(50, 50), (70, 50), (50, 50), (30, 30)] {
        conversations.deliver_by_imessage(ChatKey(1), delivered);
        assert_eq!(since(&conversations), Some(known));
    }
}

#[test]
fn a_rewritten_time_moves_a_message_to_its_new_place() {
    let mut conversations = Conversations::default();
    assert!(conversations.wait(id(1), place(1, 10), 0));
    assert!(conversations.wait(id(2), place(1, 20), 0));
    assert_eq!(conversations.shift(id(1), 30), None, "it waits, and has not left iMessage");
    assert_eq!(conversations.due(19, 9), []);
    assert_eq!(conversations.due(20, 9), [ChatKey(1)]);
    let order: Vec<i64> = conversations.take(ChatKey(1), 99).into_iter().map(|turn| turn.sent_at).collect();
    assert_eq!(order, [20, 30]);
    assert!(!conversations.leave_imessage(id(3), place(1, 5)));
    conversations.deliver_by_imessage(ChatKey(1), 6);
    assert_eq!(conversations.shift(id(3), 6), None, "no later than the one that was delivered");
    let lost = conversations.shift(id(3), 7);
    assert_eq!(lost.map(|place| place.line), Some(LineId(1)), "it was sent after that one");
    assert_eq!(conversations.shift(id(3), 8), None, "and is lost once");
}

#[test]
fn what_left_imessage_below_the_floor_is_forgotten() {
    let mut conversations = Conversations::default();
    for n in [4, 5, 6] {
        assert!(!conversations.leave_imessage(id(n), place(1, n as i64)));
    }
    conversations.forget(5, 9);
    let found = conversations.deliver_by_imessage(ChatKey(1), 1);
    assert_eq!(found.iter().map(|place| place.sent_at).collect::<Vec<_>>(), [6]);
}

#[test]
fn a_conversation_with_a_waiting_message_is_not_forgotten() {
    let mut conversations = Conversations::default();
    for chat in 1..=2 {
        conversations.set(ChatKey(chat), Some(Conversation { newest: 5, ..Conversation::default() }));
    }
    assert!(conversations.wait(id(1), place(1, 6), 0));
    conversations.forget(5, 9);
    assert!(conversations.get(ChatKey(1)).is_some() && conversations.get(ChatKey(2)).is_none());
}

#[test]
fn a_difference_in_any_order_is_found() {
    type Change = (&'static str, fn(&mut Conversations));
    let changes: [Change; 5] = [
        ("unanswered", |conversations| {
            *conversations.unanswered.entry((NONE, Position::First)).or_insert(0) += 1
        }),
        ("by_newest", |conversations| _ = conversations.by_newest.pop_first()),
        ("due", |conversations| _ = conversations.due.insert((1, ChatKey(9)))),
        ("waiting", |conversations| _ = conversations.waiting.by_id.pop_first()),
        ("observed_at", |conversations| _ = conversations.observed_at.insert(ChatKey(9), (1, 1))),
    ];
    for (what, change) in changes {
        let mut conversations = Conversations::default();
        conversations.set(ChatKey(1), Some(Conversation { newest: 5, streak: 1, ..Conversation::default() }));
        assert!(conversations.wait(id(1), place(2, 6), 0));
        assert_eq!(conversations.verify(), Ok(()));
        change(&mut conversations);
        let error = conversations.verify().unwrap_err();
        assert!(error.ends_with(&format!(": {what}")), "{error}");
    }
}
