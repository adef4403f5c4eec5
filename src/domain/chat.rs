//! A chat as the ledger holds it: what the list last said of it, and how far it has been read.

use super::ids::{LineId, MessageId};
use super::vocabulary::{Unreadable, vocabulary};

vocabulary! {
    /// The API's `type` of a chat.
    ChatKind {
        /// One contact, by phone number.
        Phone = 0 "phone",
        /// One contact, by e-mail address.
        Email = 1 "email",
        /// A group with several contacts.
        Group = 2 "group",
        /// A type that is not known.
        Other = 3 "other",
    }
}

/// What a row of the chat list says that can change. Two rows that differ in any of it mean that the chat
/// must be read: time alone would miss a message that arrives late, or two in one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `last_message_time`, unix ms. Where the API gives none, the time of the newest message that was read since the row
    /// changed; `None` before that.
    pub last_at: Option<i64>,
    /// `last_message.message_id`, where given. Its direction is not part of it: the row may not say which.
    pub last_id: Option<MessageId>,
    /// How many messages it has (`message_count`), where given.
    pub messages: Option<u32>,
    /// How many of them were received (`inbound_count`), where given.
    pub inbound: Option<u32>,
    /// How many of them were sent (`outbound_count`), where given.
    pub outbound: Option<u32>,
    /// `last_inbound_time` and `last_outbound_time` in one number, only good for telling rows apart: where a message
    /// dated ahead stands for the newest, and one was deleted while another came, nothing else differs.
    pub times: Option<i64>,
}

impl Listing {
    /// One number for both times; `None` unless both are given. A chat whose messages all went one way has one of them, which
    /// is the time of its newest message and says nothing more; where a row leaves one out now and then, it says nothing new.
    pub fn times_of(inbound_at: Option<i64>, outbound_at: Option<i64>) -> Option<i64> {
        Some(inbound_at?.rotate_left(32) ^ outbound_at?)
    }

    /// The same row, with what it leaves out as it was before: what the API leaves out, or an earlier version did not
    /// keep, says nothing. A row without a time that says something new is of an unknown time, and one without the id of its
    /// newest message names another one when its time is another.
    #[must_use]
    pub fn completed_by(self, before: &Listing) -> Listing {
        let completed = Listing {
            last_at: self.last_at.or(before.last_at),
            last_id: self.last_id.or(before.last_id),
            messages: self.messages.or(before.messages),
            inbound: self.inbound.or(before.inbound),
            outbound: self.outbound.or(before.outbound),
            times: self.times.or(before.times),
        };
        if completed == *before {
            return completed;
        }
        let same = self.last_at.is_some() && self.last_at == before.last_at;
        Listing {
            last_at: self.last_at,
            last_id: self.last_id.or(before.last_id.filter(|_| same)),
            ..completed
        }
    }

    /// A row from which every other one differs: the chat counts as changed when it is listed again.
    pub const UNLIKE_ANY: Listing = Listing {
        last_at: Some(-1),
        last_id: Some(MessageId(u128::MAX)),
        messages: Some(u32::MAX),
        inbound: Some(u32::MAX),
        outbound: Some(u32::MAX),
        times: Some(-1),
    };

    /// Time of the newest message for ordering chats: the start of time where the API gives none.
    pub fn newest(&self) -> i64 {
        self.last_at.unwrap_or(0)
    }
}

/// Since when, and why, a listed chat cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Why the newest attempt failed.
    pub reason: Unreadable,
    /// When the first attempt in a row failed, unix ms.
    pub since: i64,
}

/// Evidence that a chat was deleted. It takes the list and the chat's own answer to decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Absence {
    /// Complete full listings in a row that lacked it.
    pub listings: u8,
    /// When the first of them ended, unix ms; meaningless while `listings` is 0.
    pub since: i64,
    /// Times that its own `GET` answered 404 meanwhile.
    pub not_found: u8,
    /// When that first happened, unix ms; meaningless while `not_found` is 0.
    pub not_found_since: i64,
}

/// What is known of a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chat {
    /// The chat's `type` as it was last listed.
    pub kind: ChatKind,
    /// The newest row of the list.
    pub listed: Listing,
    /// Every message with `time_sent` at or before this was read; a normal read starts a lookback before it.
    pub cursor: i64,
    /// When the last complete deep read started; `None` before the first.
    pub audited_at: Option<i64>,
    /// It changed and must be read. Holds the moment of the newest list that did not show the change: what was sent
    /// after it may not be counted, so until the chat is read the account's watermark does not pass it.
    pub changed_since: Option<i64>,
    /// The next read reaches back to the floor.
    pub deep: bool,
    /// `message_count` that is explained by what was read; `None` before the first read of a chat that may hold history.
    pub explained: Option<i64>,
    /// The line of its newest message, to probe that line's device with.
    pub line: Option<LineId>,
    /// Set while it is listed and cannot be read.
    pub outage: Option<Outage>,
    /// What speaks for its deletion.
    pub absence: Absence,
    /// Gauges reach further back than its first read did: it is read again.
    pub unshown: bool,
    /// Generation of the newest full listing that showed it. Not stored.
    pub listed_in: u32,
    /// When the newest list that showed its row was asked for, unix ms; 0 before the first one of a process.
    pub shown_at: i64,
}

impl Chat {
    /// A chat that was listed for the first time.
    pub fn new(kind: ChatKind, listed: Listing, cursor: i64) -> Chat {
        Chat {
            kind,
            listed,
            cursor,
            audited_at: None,
            changed_since: None,
            deep: false,
            explained: None,
            line: None,
            outage: None,
            absence: Absence::default(),
            unshown: false,
            listed_in: 0,
            shown_at: 0,
        }
    }

    /// Whether gauges may lack messages of it.
    pub fn is_unread(&self) -> bool {
        self.audited_at.is_none() || self.unshown
    }

    /// Whether it may hold messages sent after `time`. Where the list gives no time, its count decides.
    pub fn may_hold_after(&self, time: i64) -> bool {
        match self.listed.last_at {
            Some(last_at) => last_at > time,
            None => self.listed.messages != Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_differ_in_either_time_are_told_apart() {
        let now = 1_800_000_000_000;
        let times = now..now + 32;
        let pairs = times.clone().flat_map(|inbound| times.clone().map(move |outbound| (inbound, outbound)));
        let mut seen = std::collections::BTreeMap::new();
        for (inbound, outbound) in pairs {
            let number = Listing::times_of(Some(inbound), Some(outbound)).unwrap();
            assert_eq!(seen.insert(number, (inbound, outbound)), None, "{inbound}, {outbound}");
        }
    }

    #[test]
    fn a_row_that_leaves_one_of_its_times_out_is_the_same_row() {
        let row = |inbound, outbound| Listing {
            last_at: Some(2),
            messages: Some(2),
            last_id: None,
            inbound: Some(1),
            outbound: Some(1),
            times: Listing::times_of(inbound, outbound),
        };
        let whole = row(Some(1), Some(2));
        for partial in [row(None, Some(2)), row(Some(1), None), row(None, None)] {
            assert_eq!(partial.completed_by(&whole), whole);
        }
        assert_ne!(row(Some(0), Some(2)).completed_by(&whole), whole);
    }

    #[test]
    fn a_row_that_leaves_out_the_id_of_its_newest_message_names_the_one_before_only_while_its_time_stays() {
        let row = |last_at, last_id, messages| Listing {
            last_at,
            last_id,
            messages: Some(messages),
            inbound: None,
            outbound: None,
            times: None,
        };
        let (one, other) = (Some(MessageId(2)), Some(MessageId(4)));
        let before = row(Some(10), one, 1);
        assert_eq!(row(Some(10), None, 1).completed_by(&before), before);
        // A late message below it.
        assert_eq!(row(Some(10), None, 2).completed_by(&before), row(Some(10), one, 2));
        for (after, id) in [
            (row(Some(11), None, 2), None),
            (row(Some(9), None, 1), None),
            (row(None, None, 2), None),
            (row(Some(11), other, 2), other),
        ] {
            assert_eq!(after.completed_by(&before), Listing { last_id: id, ..after });
        }
    }

    #[test]
    fn a_chat_may_hold_what_is_older_than_its_newest_message_or_anything_where_no_time_is_given() {
        for (last_at, messages, holds) in [
            (Some(101), Some(1), true),
            (Some(100), Some(1), false),
            (Some(99), None, false),
            (None, None, true),
            (None, Some(1), true),
            (None, Some(0), false),
        ] {
            let listed =
                Listing { last_at, messages, last_id: None, inbound: None, outbound: None, times: None };
            let chat = Chat::new(ChatKind::Phone, listed, 0);
            assert_eq!(chat.may_hold_after(100), holds, "{last_at:?}, {messages:?}");
        }
    }

    #[test]
    fn a_chat_that_counts_as_changed_shows_nothing_of_its_own_until_it_is_listed() {
        let chat = Chat::new(ChatKind::Phone, Listing::UNLIKE_ANY, 0);
        assert!(!chat.may_hold_after(0) && chat.listed.newest() < 0);
        for (inbound, outbound) in [(None, Some(1)), (Some(1), None), (Some(0), Some(1)), (Some(1), Some(1))]
        {
            assert_ne!(Listing::times_of(inbound, outbound), Listing::UNLIKE_ANY.times);
        }
    }
}
