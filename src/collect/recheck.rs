//! Open messages: when each is asked for again, and what an answer says of those that were asked for. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::read::{Ids, OffsetPass, Range, Shown, Step};
use crate::api::MessageRef;
use crate::domain::{ChatKey, MessageId, Protocol, Status};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Longest wait before a message that is expected to move is asked for again.
const LONGEST: i64 = 6 * HOUR;
/// Ages at which a message is asked for that was handed over to a carrier: most of these never show a receipt.
const CARRIER_AGES: [i64; 3] = [HOUR, 6 * HOUR, 24 * HOUR];
/// Until this age such a message is asked for like any other, whenever its age has doubled.
const CARRIER_DOUBLING: i64 = 10 * MINUTE;
/// Most messages that one re-check asks for.
const MOST: usize = 100;
/// A message whose re-check falls due this soon is taken along with others of its chat, as a share of its wait.
const TAKEN_ALONG: i64 = 4;

/// What the wait for an open message depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// How long ago it was sent, in ms.
    pub age: i64,
    /// The status seen last.
    pub status: Status,
    /// The protocol seen last.
    pub protocol: Protocol,
    /// Its line has never shown a receipt for this protocol, over thousands of messages.
    pub is_silent: bool,
    /// What becomes of it will be announced by a feed that is trusted.
    pub is_announced: bool,
}

impl Facts {
    /// Handed over to a carrier, which rarely says what became of it.
    fn is_with_carrier(&self) -> bool {
        self.status == Status::Sent && self.protocol.is_fallback()
    }
}

/// How long to wait before asking for an open message again, ms: young ones often, old ones rarely, and once more at the
/// horizon, where it is given up.
pub fn wait(facts: &Facts, interval: i64, horizon: i64) -> i64 {
    let age = facts.age.clamp(0, i64::MAX / 8);
    let wait = if facts.is_with_carrier() && facts.is_silent {
        24 * HOUR
    } else if !facts.is_with_carrier() {
        (age / 2).clamp(interval, LONGEST.max(interval))
    } else {
        let doubled = age.saturating_add(age.max(interval));
        // One that was taken along early is not asked for again at the age that it was taken along for.
        let later = CARRIER_AGES.iter().find(|at| **at > age + age / TAKEN_ALONG).copied().unwrap_or(3 * age);
        let next = if doubled < CARRIER_DOUBLING { doubled } else { later };
        (next - age).max(interval)
    };
    let wait = match (facts.is_announced, facts.is_with_carrier()) {
        (true, true) => wait.max(24 * HOUR),
        (true, false) => wait.max(LONGEST),
        (false, _) => wait,
    };
    // Where an end would be announced, a read of the chat soon after the horizon may serve as the last question.
    let horizon = if facts.is_announced { horizon.saturating_add((horizon / 8).min(HOUR)) } else { horizon };
    if age < horizon {
        wait.min((horizon - age).max(1))
    } else {
        // It is given up as soon as it may be: while the clock is in doubt it is only seen.
        wait.min(interval.max(MINUTE))
    }
}

/// Whether a message of this status is likely to move soon: such ones are asked for first.
pub fn is_urgent(status: Status) -> bool {
    !matches!(status, Status::Sent)
}

/// The chats with open messages, by when one of them is due. A time kept here is never later than the true one: it is
/// corrected when the chat comes up, so that moving a message costs nothing.
#[derive(Debug, Default)]
pub struct Due {
    of_chat: [BTreeMap<ChatKey, i64>; 2],
    order: [BTreeSet<(i64, ChatKey)>; 2],
    turn: u8,
}

impl Due {
    /// A message of the chat is due then.
    pub fn add(&mut self, chat: ChatKey, due: i64, urgent: bool) {
        let at = usize::from(!urgent);
        match self.of_chat[at].get(&chat) {
            Some(known) if *known <= due => {}
            Some(known) => {
                self.order[at].remove(&(*known, chat));
                self.insert(at, chat, due);
            }
            None => self.insert(at, chat, due),
        }
    }

    fn insert(&mut self, at: usize, chat: ChatKey, due: i64) {
        self.order[at].insert((due, chat));
        self.of_chat[at].insert(chat, due);
    }

    /// Takes the chat that comes up next, if one is due at `now`: urgent ones first, but every fourth time the others.
    pub fn take(&mut self, now: i64) -> Option<ChatKey> {
        self.turn = (self.turn + 1) % 4;
        let order = if self.turn == 0 { [1, 0] } else { [0, 1] };
        for at in order {
            if let Some((due, chat)) = self.order[at].first().copied()
                && due <= now
            {
                self.forget(chat);
                return Some(chat);
            }
        }
        None
    }

    /// Takes a chat out.
    pub fn forget(&mut self, chat: ChatKey) {
        for at in [0, 1] {
            if let Some(due) = self.of_chat[at].remove(&chat) {
                self.order[at].remove(&(due, chat));
            }
        }
    }

    /// When the next chat comes up.
    pub fn next(&self) -> Option<i64> {
        self.order.iter().filter_map(|order| order.first()).map(|(due, _)| *due).min()
    }
}

/// An open message, as far as it matters for choosing which ones to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The message to ask for.
    pub id: MessageId,
    /// When it was sent (`time_sent`), unix ms.
    pub sent_at: i64,
    /// When it is due.
    pub due: i64,
    /// Whether an answer is due soon, as [`is_urgent`] decides.
    pub urgent: bool,
}

/// Of a chat's open messages, those to ask for together at `now`: urgent ones if any is due, for they lie close together
/// in time; else the others. Ones that are soon due are taken along, but the range begins with one that is due: a page
/// that does not reach further must still bring the work on.
pub fn choose(open: &[Candidate], now: i64) -> Vec<(MessageId, i64)> {
    let oldest_due =
        |urgent: bool| open.iter().filter(|m| m.urgent == urgent && m.due <= now).map(|m| m.sent_at).min();
    let (urgent, from) = match (oldest_due(true), oldest_due(false)) {
        (Some(from), _) => (true, from),
        (None, Some(from)) => (false, from),
        (None, None) => return Vec::new(),
    };
    let soon = |m: &&Candidate| m.due - now <= (now - m.sent_at).max(0) / TAKEN_ALONG;
    let mut chosen: Vec<(MessageId, i64)> = open
        .iter()
        .filter(|m| m.urgent == urgent && m.sent_at >= from)
        .filter(soon)
        .map(|m| (m.id, m.sent_at))
        .collect();
    chosen.sort_unstable_by_key(|(id, sent_at)| (*sent_at, *id));
    chosen.truncate(MOST);
    chosen
}

/// How far an answer reaches: messages that were asked for, sent within it and not shown, are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covered {
    /// The answer does not show whether the message is there.
    Nothing,
    /// Everything sent up to here.
    UpTo(i64),
    /// Everything that was asked for.
    Everything,
}

impl Covered {
    /// Whether a message sent then must have been shown.
    pub fn reaches(self, sent_at: i64) -> bool {
        match self {
            Covered::Nothing => false,
            Covered::UpTo(time) => sent_at <= time,
            Covered::Everything => true,
        }
    }
}

#[derive(Debug)]
enum Mode {
    One(MessageRef),
    Range {
        since: i64,
        until: i64,
    },
    /// The oldest millisecond fills the page: it is gone through by itself.
    Tie(OffsetPass, i64),
}

/// What a re-check asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One message by its id.
    Message(MessageRef),
    /// A range of the chat's messages.
    Range(Range),
}

/// A re-check of open messages of one chat under way.
#[derive(Debug)]
pub struct Recheck {
    /// The chat that the messages are in.
    pub chat: ChatKey,
    /// Which messages, and when they were sent.
    pub wanted: Vec<(MessageId, i64)>,
    mode: Mode,
    seen: Ids,
    rejected: bool,
}

impl Recheck {
    /// Asks for `wanted`, sorted by time: one by its own id where that is known, several by a page of the list.
    pub fn new(chat: ChatKey, wanted: Vec<(MessageId, i64)>, own_id: Option<MessageRef>) -> Recheck {
        let mode = match (wanted.as_slice(), own_id) {
            ([_], Some(id)) => Mode::One(id),
            (wanted, _) => {
                let time = |at: Option<&(MessageId, i64)>| at.map_or(0, |(_, sent_at)| *sent_at);
                Mode::Range { since: (time(wanted.first()) - 1).max(0), until: time(wanted.last()) + 1 }
            }
        };
        Recheck { chat, wanted, mode, seen: Ids::default(), rejected: false }
    }

    /// What to ask for next.
    pub fn next(&self) -> Ask {
        match &self.mode {
            Mode::One(id) => Ask::Message(id.clone()),
            Mode::Range { since, until } => {
                Ask::Range(Range { since: *since, until: Some(*until), offset: 0 })
            }
            Mode::Tie(pass, _) => Ask::Range(pass.next()),
        }
    }

    /// Whether it asks for one message by its own id.
    pub fn asks_for_one(&self) -> bool {
        matches!(self.mode, Mode::One(_))
    }

    /// Takes a page. `None` when more must be asked for.
    pub fn absorb(&mut self, page: &Shown) -> Option<Covered> {
        self.seen.extend(page.rows.iter().map(|row| row.id));
        self.rejected |= page.rejected > 0;
        match &mut self.mode {
            Mode::One(_) => Some(Covered::Everything),
            Mode::Range { since, .. } => {
                let distinct = page.rows.iter().map(|row| row.id).collect::<Ids>().len() + page.rejected;
                if page.is_empty() || page.total.is_some_and(|total| distinct as u64 == total) {
                    return Some(Covered::Everything);
                }
                let oldest = *since + 1;
                match page.newest() {
                    // The page's last millisecond may go on behind it.
                    Some(newest) if newest > oldest => Some(Covered::UpTo(newest - 1)),
                    _ => {
                        self.mode = Mode::Tie(OffsetPass::new(oldest - 1, Some(oldest + 1)), oldest);
                        None
                    }
                }
            }
            Mode::Tie(pass, oldest) => match pass.absorb(page) {
                Step::More => None,
                Step::Drained => Some(Covered::UpTo(*oldest)),
                Step::Confused => Some(Covered::Nothing),
            },
        }
    }

    /// Whether a page had rows that cannot be used: what it did not show may be one of them.
    pub fn has_rejected(&self) -> bool {
        self.rejected
    }

    /// The wanted messages that no page showed.
    pub fn unseen(&self) -> impl Iterator<Item = (MessageId, i64)> + '_ {
        self.wanted.iter().copied().filter(|(id, _)| !self.seen.contains(id))
    }
}

#[cfg(test)]
mod tests;
