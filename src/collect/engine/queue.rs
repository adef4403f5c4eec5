//! The chats that changed, can be read now, and wait for it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ChatKey;

/// One pick in so many goes to the chat that has waited longest, while none has waited for long.
const OLDEST_EVERY: u8 = 4;

/// The queue of changed chats: the one with the newest message comes first, so that the page is fresh where it matters;
/// but the one that has waited longest has its turn, so that what is counted lags no further than the queue is long.
#[derive(Debug, Default)]
pub(super) struct ReadQueue {
    of_chat: BTreeMap<ChatKey, (i64, i64)>,
    by_newest: BTreeSet<(i64, ChatKey)>,
    by_wait: BTreeSet<(i64, ChatKey)>,
    turn: u8,
}

impl ReadQueue {
    /// Puts a chat in, with the time of its newest message and that since which it waits, or moves it.
    pub(super) fn put(&mut self, chat: ChatKey, newest: i64, since: i64) {
        if self.of_chat.get(&chat) == Some(&(newest, since)) {
            return;
        }
        self.remove(chat);
        self.of_chat.insert(chat, (newest, since));
        self.by_newest.insert((newest, chat));
        self.by_wait.insert((since, chat));
    }

    /// Takes a chat out.
    pub(super) fn remove(&mut self, chat: ChatKey) {
        if let Some((newest, since)) = self.of_chat.remove(&chat) {
            self.by_newest.remove(&(newest, chat));
            self.by_wait.remove(&(since, chat));
        }
    }

    /// Whether a chat is ready to be read.
    pub(super) fn is_empty(&self) -> bool {
        self.of_chat.is_empty()
    }

    /// How many chats are ready to be read.
    pub(super) fn len(&self) -> usize {
        self.of_chat.len()
    }

    /// Takes the chat to read next. Where one has waited since before `late`, those that wait longest come first three
    /// times in four: reading a chat once counts all that it got meanwhile, so that this is also the cheapest order.
    pub(super) fn take(&mut self, late: i64) -> Option<ChatKey> {
        self.turn = (self.turn + 1) % OLDEST_EVERY;
        let lags = self.by_wait.first().is_some_and(|(since, _)| *since < late);
        let oldest = (self.turn == 0) != lags;
        let (_, chat) = *if oldest { self.by_wait.first() } else { self.by_newest.last() }?;
        self.remove(chat);
        Some(chat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> ReadQueue {
        let mut queue = ReadQueue::default();
        for n in 0..8 {
            // The higher the number, the newer the message and the longer the wait.
            queue.put(ChatKey(n), n as i64, 100 - n as i64);
        }
        queue.put(ChatKey(50), 0, 1);
        queue
    }

    #[test]
    fn the_newest_come_first_and_every_fourth_is_the_one_that_waits_longest() {
        let mut queue = queue();
        let order: Vec<u128> = (0..4).filter_map(|_| queue.take(0)).map(|chat| chat.0).collect();
        assert_eq!(order, [7, 6, 5, 50]);
    }

    #[test]
    fn when_one_has_waited_too_long_three_in_four_go_by_wait() {
        let mut queue = ReadQueue::default();
        for n in 0..8 {
            queue.put(ChatKey(n), n as i64, n as i64);
        }
        let order: Vec<u128> = (0..8).filter_map(|_| queue.take(1_000)).map(|chat| chat.0).collect();
        assert_eq!(order, [0, 1, 2, 7, 3, 4, 5, 6]);
        assert!(queue.is_empty() && queue.take(0).is_none());
    }

    #[test]
    fn a_chat_that_changes_again_keeps_its_wait() {
        let mut queue = queue();
        queue.put(ChatKey(0), 1_000, 100);
        assert_eq!(queue.len(), 9);
        assert_eq!(queue.take(0), Some(ChatKey(0)));
    }

    #[test]
    fn a_chat_has_waited_too_long_when_it_waits_since_before_the_limit() {
        for (late, first) in [(1, 7), (2, 50)] {
            assert_eq!(queue().take(late), Some(ChatKey(first)), "{late}");
        }
    }

    #[test]
    fn a_chat_that_is_taken_out_is_not_read() {
        let mut queue = ReadQueue::default();
        queue.put(ChatKey(1), 5, 5);
        queue.put(ChatKey(1), 5, 5);
        assert_eq!((queue.is_empty(), queue.len()), (false, 1));
        queue.remove(ChatKey(2));
        queue.remove(ChatKey(1));
        assert_eq!((queue.is_empty(), queue.len(), queue.take(9)), (true, 0, None));
    }
}
