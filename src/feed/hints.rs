//! The hand-over between the receiver of events and the collector: bounded, in memory only, one entry per chat. What a
//! crash loses of it, polling finds.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::event::{Event, EventKind, PrivateId};

/// The set is full: the event must be sent again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What was announced of one message, or of a chat where the message has no id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// What happened, by the event's name.
    pub kind: EventKind,
    /// The message that the event is about, where it names one.
    pub message: Option<PrivateId>,
    /// When the event arrived first, by the host's clock, unix ms.
    pub arrived: i64,
}

/// What was announced of one chat since hints were last taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The chat, as the API's paths name it; `None` where the events named none.
    pub chat: Option<PrivateId>,
    /// What was announced, in the order of arrival, each message and kind once.
    pub events: Vec<Announced>,
}

#[derive(Default)]
struct Set {
    of_chat: BTreeMap<Option<PrivateId>, Vec<Announced>>,
    held: usize,
}

/// Events that the collector has not taken yet.
pub struct Hints {
    capacity: usize,
    set: Mutex<Set>,
    filled: Notify,
}

impl Hints {
    /// An empty set that holds at most so many events.
    pub fn new(capacity: usize) -> Hints {
        Hints { capacity, set: Mutex::default(), filled: Notify::new() }
    }

    /// Takes in an event that arrived at `arrived`, by the host's clock, unix ms. One that repeats another, or that is no
    /// reason to read anything, takes no space.
    ///
    /// # Errors
    ///
    /// [`Full`] when there is no room for it.
    pub fn offer(&self, event: Event, arrived: i64) -> Result<(), Full> {
        let chat = event.chat().cloned();
        let Event { kind, message, .. } = event;
        if !kind.is_hint() || chat.is_none() && message.is_none() {
            return Ok(());
        }
        {
            let mut set = self.set.lock();
            let known = set.of_chat.get(&chat);
            if known.is_some_and(|events| events.iter().any(|e| e.kind == kind && e.message == message)) {
                return Ok(());
            }
            if set.held >= self.capacity {
                return Err(Full);
            }
            set.held += 1;
            set.of_chat.entry(chat).or_default().push(Announced { kind, message, arrived });
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until there is something to take. For one waiter; it may be cancelled at any time.
    pub async fn wait(&self) {
        loop {
            let filled = self.filled.notified();
            if !self.is_empty() {
                return;
            }
            filled.await;
        }
    }

    /// Takes everything that is there.
    pub fn take(&self) -> Vec<Hint> {
        let set = std::mem::take(&mut *self.set.lock());
        set.of_chat.into_iter().map(|(chat, events)| Hint { chat, events }).collect()
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.set.lock().held == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, message: &str, chat: &str) -> Event {
        Event::new(kind, Some(message), Some(chat), None, false)
    }

    #[test]
    fn events_of_a_chat_are_one_hint_and_repeated_ones_take_no_room() {
        let hints = Hints::new(3);
        let sent = || event(EventKind::MessageSent, "m1", "+1");
        assert_eq!(hints.offer(sent(), 5), Ok(()));
        assert_eq!(hints.offer(sent(), 6), Ok(()));
        assert_eq!(hints.offer(event(EventKind::MessageDelivered, "m1", "+1"), 7), Ok(()));
        assert_eq!(hints.offer(event(EventKind::MessageReceived, "m2", "+2"), 8), Ok(()));
        assert_eq!(hints.offer(event(EventKind::MessageReceived, "m3", "+3"), 9), Err(Full));
        assert_eq!(hints.offer(sent(), 10), Ok(()), "known already");
        assert_eq!(hints.offer(event(EventKind::TypingStarted, "", "+3"), 10), Ok(()), "no reason to read");
        let taken = hints.take();
        assert_eq!(taken.len(), 2);
        let arrived: Vec<i64> = taken[0].events.iter().map(|event| event.arrived).collect();
        assert_eq!(arrived, [5, 7], "the first arrival counts");
        assert!(hints.is_empty() && hints.take().is_empty());
        assert_eq!(hints.offer(event(EventKind::MessageReceived, "m3", "+3"), 11), Ok(()));
    }

    #[tokio::test]
    async fn a_waiter_wakes_for_what_came_before_and_after_it_began_to_wait() {
        let hints = std::sync::Arc::new(Hints::new(8));
        hints.offer(event(EventKind::MessageSent, "m1", "+1"), 0).unwrap();
        hints.wait().await;
        hints.take();
        let waiting = tokio::spawn({
            let hints = std::sync::Arc::clone(&hints);
            async move { hints.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        hints.offer(event(EventKind::MessageSent, "m2", "+1"), 0).unwrap();
        waiting.await.unwrap();
    }
}
