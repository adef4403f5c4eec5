//! A webhook event, as far as it is used. Pure.

use std::fmt;

/// Longest id that is kept, in bytes: as long as one that is put into a path of the API. Longer ones are taken for none.
pub const MAX_ID: usize = 256;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal,)+) => {
        /// What an event says that happened. The words are those of the API's reference (DOC); they are the values of the
        /// label `event`, with `other` for every word that is not among them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $variant,)+
            /// A kind that is not known.
            Other,
        }

        impl EventKind {
            /// Every kind, in the order of the contract.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$variant,)+ EventKind::Other];

            /// The value of the label `event`.
            pub const fn label(self) -> &'static str {
                match self {
                    $(EventKind::$variant => $word,)+
                    EventKind::Other => "other",
                }
            }

            /// The kind that a body's `event` names.
            pub fn parse(word: &str) -> EventKind {
                match word {
                    $($word => EventKind::$variant,)+
                    _ => EventKind::Other,
                }
            }
        }
    };
}

kinds! {
    /// A contact wrote a message.
    MessageReceived "message.received",
    /// A message of ours was handed over.
    MessageSent "message.sent",
    /// A message of ours arrived.
    MessageDelivered "message.delivered",
    /// A message of ours failed.
    MessageFailed "message.failed",
    /// A message of ours was opened.
    MessageRead "message.read",
    /// A reaction was set.
    ReactionAdded "reaction.added",
    /// A reaction was taken back.
    ReactionRemoved "reaction.removed",
    /// A group came to be.
    GroupCreated "group.created",
    /// A group's name or picture changed.
    GroupUpdated "group.updated",
    /// Someone joined a group.
    GroupMemberAdded "group.member_added",
    /// Someone left a group.
    GroupMemberRemoved "group.member_removed",
    /// A contact began to type.
    TypingStarted "typing.started",
    /// A contact stopped typing.
    TypingStopped "typing.stopped",
    /// A contact came to be.
    ContactCreated "contact.created",
    /// The data of a contact changed.
    ContactUpdated "contact.updated",
    /// A poll was sent.
    PollCreated "poll.created",
    /// Someone voted in a poll.
    PollVoted "poll.voted",
}

impl EventKind {
    /// Whether there is something to read because of it. What is counted are messages, so only events of messages are.
    pub const fn is_hint(self) -> bool {
        self.announces().is_some()
    }

    /// What of a message it announces, as far as that is counted.
    pub const fn announces(self) -> Option<Announces> {
        match self {
            EventKind::MessageReceived | EventKind::MessageSent => Some(Announces::Message),
            EventKind::MessageDelivered | EventKind::MessageFailed | EventKind::MessageRead => {
                Some(Announces::End)
            }
            _ => None,
        }
    }
}

/// What of a message an event announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Announces {
    /// That there is one.
    Message,
    /// How it ended; and with it, that there is one.
    End,
}

/// An id that names a person or a message. It cannot be printed, and is held only until it is hashed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateId(Box<str>);

impl PrivateId {
    /// Takes an id of usable length; `None` for an empty or overlong one.
    pub fn new(id: &str) -> Option<PrivateId> {
        (!id.is_empty() && id.len() <= MAX_ID).then(|| PrivateId(id.into()))
    }

    /// The id itself, to be hashed. Not for logs, labels or files.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateId(private)")
    }
}

/// An event: what happened, to which message, in which chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened, by the event's name.
    pub kind: EventKind,
    /// The id of the message, `message_id` in the documentation.
    pub message: Option<PrivateId>,
    /// `external_id` (DOC): phone number, e-mail address or group id of the other side.
    pub external: Option<PrivateId>,
    /// The id of the group, `group_id` in the documentation.
    pub group: Option<PrivateId>,
    /// Whether the chat is a group, `is_group` in the documentation.
    pub is_group: bool,
}

impl Event {
    /// The event of these fields of a body. An id that is empty or overlong counts as absent.
    pub fn new(
        kind: EventKind,
        message_id: Option<&str>,
        external_id: Option<&str>,
        group_id: Option<&str>,
        is_group: bool,
    ) -> Event {
        let id = |id: Option<&str>| id.and_then(PrivateId::new);
        Event { kind, message: id(message_id), external: id(external_id), group: id(group_id), is_group }
    }

    /// The id of the chat in the API's paths: the group where it is one, else the other side.
    pub fn chat(&self) -> Option<&PrivateId> {
        match (&self.group, self.is_group) {
            (Some(group), true) => Some(group),
            _ => self.external.as_ref().or(self.group.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_known_by_its_word_and_any_other_word_is_other() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.label()), *kind);
        }
        for word in ["", "message", "message.received ", "MESSAGE.SENT", "pigeon.released"] {
            assert_eq!(EventKind::parse(word), EventKind::Other, "{word:?}");
        }
    }

    #[test]
    fn nothing_private_is_printed() {
        let event =
            Event::new(EventKind::MessageSent, Some("msg_1234"), Some("+15551234567"), Some("grp_77"), false);
        let printed = format!("{event:?}");
        assert!(!printed.contains("1234") && !printed.contains("grp_77"), "{printed}");
    }

    #[test]
    fn the_chat_is_the_group_where_there_is_one() {
        let chat = |external: Option<&str>, group: Option<&str>, is_group| {
            let event = Event::new(EventKind::MessageReceived, None, external, group, is_group);
            event.chat().map(|id| id.expose().to_owned())
        };
        assert_eq!(chat(Some("+1555"), None, false).as_deref(), Some("+1555"));
        assert_eq!(chat(Some("+1555"), Some("grp_1"), true).as_deref(), Some("grp_1"));
        assert_eq!(chat(Some("grp_1"), None, true).as_deref(), Some("grp_1"));
        assert_eq!(chat(None, Some("grp_1"), false).as_deref(), Some("grp_1"));
        assert_eq!(chat(None, None, true), None);
        assert_eq!(chat(Some(&"9".repeat(MAX_ID + 1)), None, false), None);
        assert_eq!(chat(Some(""), None, false), None);
    }
}
