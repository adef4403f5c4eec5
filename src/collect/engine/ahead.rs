//! What hints brought before a list showed it: counted messages that are newer than the row of their chat.

use super::Engine;
use crate::domain::{ChatKey, Listing, MessageId};

/// Messages of a chat that are newer than its row of the list and are told apart from others.
const MOST_AHEAD: usize = 256;

impl Engine {
    /// Messages of the chat were counted.
    pub(super) fn record_ahead(&mut self, chat: ChatKey, counted: impl Iterator<Item = (MessageId, i64)>) {
        let newest = self.ledger.chats().get(chat).map_or(i64::MAX, |chat| chat.listed.newest());
        let Some(feed) = &mut self.feed else { return };
        for message in counted.filter(|(_, sent_at)| *sent_at > newest) {
            let ahead = feed.ahead.entry(chat).or_default();
            if ahead.len() < MOST_AHEAD {
                ahead.push(message);
            }
        }
    }

    /// How many counted messages of the chat are newer than its row of the list.
    pub(super) fn ahead_of(&self, chat: ChatKey, row: &Listing) -> i64 {
        let ahead = self.feed.as_ref().and_then(|feed| feed.ahead.get(&chat));
        ahead.map_or(0, |ahead| ahead.iter().filter(|(_, sent_at)| *sent_at > row.newest()).count() as i64)
    }

    /// Whether everything that the chat's new row shows is counted already, because a hint brought it: the newest message
    /// was read in this chat, and the count tallies. That it is known is not enough: a message between two lines of the
    /// account is in the chats of both, and each side counts for itself.
    pub(super) fn is_counted_already(&self, key: ChatKey) -> bool {
        let Some(ahead) = self.feed.as_ref().and_then(|feed| feed.ahead.get(&key)) else { return false };
        let Some(chat) = self.ledger.chats().get(key) else { return false };
        let row = chat.listed;
        let Some(((messages, explained), last)) = row.messages.zip(chat.explained).zip(row.last_id) else {
            return false;
        };
        let is_last = |(id, sent_at): &(MessageId, i64)| {
            id.undirected() == last.undirected() && row.last_at == Some(*sent_at)
        };
        !chat.deep
            && !chat.is_unread()
            && ahead.iter().any(is_last)
            && i64::from(messages) == explained - self.ahead_of(key, &row)
    }

    /// A list showed the chat's row.
    pub(super) fn row_shown(&mut self, key: ChatKey) {
        let newest = self.ledger.chats().get(key).map_or(0, |chat| chat.listed.newest());
        if let Some(feed) = &mut self.feed
            && let Some(ahead) = feed.ahead.get_mut(&key)
        {
            ahead.retain(|(_, sent_at)| *sent_at > newest);
            if ahead.is_empty() {
                feed.ahead.remove(&key);
            }
        }
    }
}
