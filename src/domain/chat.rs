//! A chat as the ledger knows it: what the list last said of it, and how far it has been read.

use super::ids::{LineId, MessageId};

/// The API's `type` of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChatKind {
    /// One contact, by phone number.
    Phone,
    /// One contact, by e-mail address.
    Email,
    /// A group.
    Group,
    /// Anything else.
    Other,
}

impl ChatKind {
    /// Every kind.
    pub const ALL: [ChatKind; 4] = [ChatKind::Phone, ChatKind::Email, ChatKind::Group, ChatKind::Other];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChatKind::Phone => "phone",
            ChatKind::Email => "email",
            ChatKind::Group => "group",
            ChatKind::Other => "other",
        }
    }
}

/// What a row of the chat list says that can change. Two rows that differ in any of it mean that the chat
/// must be read: time alone would miss a message that arrives late, or two in one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `last_message_time`, unix ms; 0 where the API gives none.
    pub last_at: i64,
    /// `last_message.message_id`, where given.
    pub last_id: Option<MessageId>,
    /// `message_count`, -1 where the API gives none.
    pub messages: i64,
    /// `inbound_count`, -1 where the API gives none.
    pub inbound: i64,
    /// `outbound_count`, -1 where the API gives none.
    pub outbound: i64,
}

/// What is known of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Its `type`.
    pub kind: ChatKind,
    /// The newest row of the list.
    pub listed: Listing,
    /// Every message with `time_sent` at or before this was read; a normal read starts a lookback before it.
    pub cursor: i64,
    /// When the last complete deep read started; 0 before the first.
    pub audited_at: i64,
    /// How many complete full listings in a row did not have it.
    pub absent: u8,
    /// It changed and must be read. Holds the watermark at the moment it was noticed: until the chat is
    /// read the account's watermark does not pass it.
    pub changed_since: Option<i64>,
    /// The next read reaches back to the floor.
    pub deep: bool,
    /// `message_count` that is explained by what was read; -1 before the first read.
    pub explained: i64,
    /// The line of its newest message, to probe that line's device with.
    pub line: Option<LineId>,
}

impl Chat {
    /// A chat that was listed for the first time.
    pub fn new(kind: ChatKind, listed: Listing, cursor: i64) -> Chat {
        Chat {
            kind,
            listed,
            cursor,
            audited_at: 0,
            absent: 0,
            changed_since: None,
            deep: false,
            explained: -1,
            line: None,
        }
    }

    /// Whether it may hold messages sent after `time`. Where the list gives no time, its count decides.
    pub fn may_hold_after(&self, time: i64) -> bool {
        self.listed.last_at > time || (self.listed.last_at == 0 && self.listed.messages != 0)
    }
}
