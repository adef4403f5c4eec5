//! The API's own ids. They are needed to ask for things, name people, and live in memory only; everything
//! else is identified by keyed hashes.

use std::collections::{BTreeMap, HashMap};

use ring::hmac;

use crate::api::{ChatId, ChatRow, MessageRef, MessageRow};
use crate::domain::ids::BuildKeyedHasher;
use crate::domain::{ChatKey, Direction, LineId, Listing, MessageId, Observation};

/// Hashes ids with the state's key (HMAC-SHA-256, first 16 bytes), apart by account and kind: equal ids of
/// two accounts have nothing in common at rest.
#[derive(Clone)]
pub struct IdHasher {
    chats: hmac::Key,
    messages: hmac::Key,
}

impl IdHasher {
    /// The keys of one account, derived from the state's.
    pub fn new(state_key: &[u8; 32], account: &str) -> IdHasher {
        let root = hmac::Key::new(hmac::HMAC_SHA256, state_key);
        let derive = |kind: &str| {
            let mut context = hmac::Context::with_key(&root);
            context.update(kind.as_bytes());
            context.update(&[0]);
            context.update(account.as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())
        };
        IdHasher { chats: derive("chat"), messages: derive("message") }
    }

    /// The key of a chat.
    pub fn chat(&self, id: &ChatId) -> ChatKey {
        ChatKey(first_16(&hmac::sign(&self.chats, id.expose().as_bytes())))
    }

    /// The identity of a message that went this way.
    pub fn message(&self, direction: Direction, id: &MessageRef) -> MessageId {
        MessageId::new(first_16(&hmac::sign(&self.messages, id.expose().as_bytes())), direction)
    }

    /// What a row of the list of chats says that can change.
    pub fn listing(&self, row: &ChatRow) -> Listing {
        let count = |count: i64| u32::try_from(count).ok();
        // The row may not say which way its message went.
        let newest = row.last_message.as_ref().map(|id| self.message(Direction::Inbound, id).undirected());
        Listing {
            last_at: (row.last_at > 0).then_some(row.last_at),
            last_id: newest,
            messages: count(row.messages),
            inbound: count(row.inbound),
            outbound: count(row.outbound),
            times: Listing::times_of(row.last_inbound_at, row.last_outbound_at),
        }
    }

    /// What a row of a list of messages says of a message of `line`.
    pub fn observation(&self, row: &MessageRow, line: LineId) -> Observation {
        Observation {
            id: self.message(row.direction, &row.id),
            direction: row.direction,
            line,
            sent_at: row.sent_at,
            delivered_at: row.delivered_at,
            status: row.status,
            protocol: row.protocol,
            reason: row.reason,
        }
    }
}

fn first_16(tag: &hmac::Tag) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    u128::from_be_bytes(bytes)
}

/// Which id a hash stands for, as far as this process has seen it.
#[derive(Default)]
pub struct IdMap {
    /// Of every listed chat.
    pub chats: BTreeMap<ChatKey, ChatId>,
    /// The ids of open messages by their hashes.
    pub messages: HashMap<MessageId, MessageRef, BuildKeyedHasher>,
}
