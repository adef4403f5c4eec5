//! What is decided from absence: chats that are gone, open messages that are given up, and the floor.
//!
//! Each of these is irrevocable, so none of them rests on one kind of evidence.

use super::{Counter, Ledger, Missing, Status};
use crate::domain::chat::Absence;
use crate::domain::ids::{ChatKey, MessageId};

/// Complete listings in a row that must lack a chat before it can be gone.
const LISTINGS: u8 = 3;
/// Answers 404 of the chat itself that it takes besides.
const NOT_FOUND: u8 = 2;
/// The time over which these must be spread, at least.
const SPREAD: i64 = 600_000;
/// Absent chats above which their loss is an incident and not a deletion: at least so many, and so large a share.
const INCIDENT: (usize, f64) = (10, 0.05);
/// The time over which several answers must say that an open message is missing where it was seen, at least, before it can
/// be given up early.
const MISSES_SPREAD: i64 = 60_000;
/// A full listing is dated back by this: the replica that answered may lag.
const LISTING_MARGIN: i64 = 5_000;
/// Messages that one call forgets or gives up, at most: it must not hold up the next request.
const SLICE: usize = 1_000;

impl Ledger {
    /// A complete listing, which ended at `now`, did not show the chat. Where it `may_hide` it, because it had rows that cannot be
    /// used, such listings count as one.
    pub fn record_absent(&mut self, key: ChatKey, now: i64, may_hide: bool) {
        self.update_chat(key, |chat| {
            if chat.absence.listings == 0 {
                chat.absence.since = now;
            }
            let one_more = chat.absence.listings.saturating_add(1);
            chat.absence.listings = if may_hide { chat.absence.listings.max(1) } else { one_more };
        });
    }

    /// A complete full listing started at `started`.
    pub fn record_full_listing(&mut self, started: i64) {
        if started > self.progress.listed_at {
            self.progress.listed_at = started;
            self.changed.progress = true;
        }
    }

    /// Marks a chat as shown by the listing of this generation, by a list that was asked for at `asked_at`.
    pub fn mark_listed(&mut self, key: ChatKey, generation: u32, asked_at: i64) {
        self.chats.mark_listed(key, generation, asked_at);
    }

    /// The chat's own `GET` answered 404 at `now`.
    pub fn record_not_found(&mut self, key: ChatKey, now: i64) {
        self.update_chat(key, |chat| {
            if chat.absence.not_found == 0 {
                chat.absence.not_found_since = now;
            }
            chat.absence.not_found = chat.absence.not_found.saturating_add(1);
        });
    }

    /// The chat's own `GET` found it, or it showed messages: whatever the list says, it is there.
    pub fn record_found(&mut self, key: ChatKey) {
        if self.absence(key).is_some_and(|absence| absence.not_found > 0) {
            self.update_chat(key, |chat| chat.absence.not_found = 0);
        }
    }

    /// Whether the list lacked the chat often enough that it is worth a request of its own.
    pub fn is_gone_from_list(&self, key: ChatKey) -> bool {
        self.chats.get(key).is_some_and(|chat| chat.absence.listings >= LISTINGS)
    }

    /// Removes the chat if list and chat agree that it is gone. True when it was removed.
    pub fn remove_if_gone(&mut self, key: ChatKey, now: i64) -> bool {
        let policy = self.policy;
        let spread = SPREAD.min(policy.audit_interval).max(3 * policy.full_interval);
        let spread = if self.is_incident() { spread.max(policy.audit_interval) } else { spread };
        let Some(Absence { listings, not_found, not_found_since, .. }) = self.absence(key) else {
            return false;
        };
        let gone = listings >= LISTINGS && not_found >= NOT_FOUND && now - not_found_since >= spread;
        if gone {
            self.remove_chat(key, not_found_since, now);
        }
        gone
    }

    /// Removes a chat that was not listed since the process started at `started`, so that its id is not known and it cannot be
    /// asked itself. What it lacks in kinds of evidence it makes up for in time; until that start its own answers counted.
    /// Where listings `may_hide` it, it takes as long as where many chats are absent, and not for ever: it holds the floor.
    /// True when it was removed.
    pub fn remove_if_long_absent(&mut self, key: ChatKey, started: i64, now: i64, may_hide: bool) -> bool {
        let spread = match self.is_incident() || may_hide {
            true => self.policy.retention.max(self.policy.audit_interval),
            false => self.policy.audit_interval,
        };
        let Some(Absence { listings, since, .. }) = self.absence(key) else { return false };
        let gone = (listings >= LISTINGS || may_hide) && now - since.max(started) >= spread;
        if gone {
            self.remove_chat(key, since, now);
        }
        gone
    }

    fn absence(&self, key: ChatKey) -> Option<Absence> {
        self.chats.get(key).map(|chat| chat.absence)
    }

    /// Whether so many chats are absent, or all of them, that it is an incident and not a deletion.
    fn is_incident(&self) -> bool {
        let (least, share) = INCIDENT;
        let absent = self.chats.absent().len();
        absent == self.chats.len() || absent > least && absent as f64 > self.chats.len() as f64 * share
    }

    /// What was shown of a chat, since then, was shown of its messages.
    fn remove_chat(&mut self, key: ChatKey, since: i64, now: i64) {
        self.chats.remove(key);
        self.conversations.reconsider(key);
        self.changed.chats.insert(key);
        let open: Vec<MessageId> = self.messages.open_of(key).map(|(id, ..)| id).collect();
        for id in open {
            self.messages.set_missing(id, Missing { since, last: now });
            self.changed.messages.insert(id);
        }
    }

    /// The API says at `now` that an open message is not where it was seen: its own 404, or a complete read of its time
    /// without it. Not an end: this happens right after sending, and when chats are merged.
    pub fn record_missing(&mut self, id: MessageId, now: i64) {
        let Some(open) = self.messages.open(id) else { return };
        let since = open.missing.map_or(now, |missing| missing.since);
        self.messages.set_missing(id, Missing { since, last: now });
        self.changed.messages.insert(id);
    }

    /// The time before which every active chat that can be read has been read completely: the start of the oldest of
    /// their newest deep reads. `None` when one of them was never read deeply.
    fn audited_through(&self) -> Option<i64> {
        let listed = self.progress.listed_at - LISTING_MARGIN;
        match self.chats.oldest_audit() {
            None => Some(listed),
            Some(0) => None,
            Some(at) => Some(at.min(listed)),
        }
    }

    /// Raises the floor behind the audits. To be called after a complete full listing, while the clock is settled.
    ///
    /// A chat that cannot be read holds the floor for one further retention, and not for ever: then memory would grow
    /// with it. What that costs is in RELIABILITY.md.
    pub fn advance_floor(&mut self, now: i64) {
        if self.progress.baseline == 0 || !self.settled {
            return;
        }
        let Some(audited) = self.audited_through() else { return };
        let retention = self.policy.retention;
        let held = self.chats.oldest_unreadable_audit().map(|at| at.max(now - retention));
        let audited = held.map_or(audited, |held| audited.min(held));
        let floor = audited - retention;
        if floor > self.progress.floor {
            self.progress.floor = floor;
            self.changed.progress = true;
            self.chats.advance(super::bounds(self.policy, self.progress, now));
        }
    }

    /// Gives up open messages of which enough is known. To be called while the clock is settled.
    pub fn close_missing(&mut self, now: i64) {
        if !self.settled {
            return;
        }
        let policy = self.policy;
        let audited = self.audited_through();
        let proven = match self.chats.oldest_unreadable_audit() {
            None if self.chats.unread_count() == 0 => audited,
            // A message may have moved to a chat that has not been read yet.
            _ => None,
        };
        let spread = MISSES_SPREAD.max(2 * policy.interval);
        let given_up = self.messages.missing().take(SLICE).filter(|(id, missing)| {
            let evident =
                missing.last - missing.since >= spread && proven.is_some_and(|proven| proven > missing.since);
            let born_at = self.messages.born_at(*id).unwrap_or(now);
            let is_late = now - born_at >= policy.horizon + 2 * policy.audit_interval;
            evident || is_late && audited.is_some_and(|audited| audited > missing.since)
        });
        for id in given_up.map(|(id, _)| id).collect::<Vec<_>>() {
            self.give_up(id);
            self.forget_if_passed(id, now);
        }
    }

    /// Gives up messages of a chat that cannot be read, or that re-checks cannot ask for, long after the horizon: nothing
    /// says any more what became of them.
    pub fn close_unreadable(&mut self, chat: ChatKey, now: i64) {
        if !self.settled {
            return;
        }
        let limit = self.policy.horizon + self.policy.retention + 2 * self.policy.audit_interval;
        let open = self.messages.open_of(chat).map(|(id, ..)| id);
        let old = open.filter(|id| self.messages.born_at(*id).is_some_and(|born_at| now - born_at >= limit));
        for id in old.take(SLICE).collect::<Vec<_>>() {
            self.give_up(id);
            self.forget_if_passed(id, now);
        }
    }

    /// Forgets ended messages below the floor, some at a time.
    pub fn prune(&mut self, now: i64) {
        for id in self.messages.passed(self.progress.floor, SLICE) {
            self.forget_if_passed(id, now);
        }
    }

    /// Whether a line and protocol has never shown a receipt in so many messages that none is expected.
    pub fn never_shows_receipts(
        &self,
        line: crate::domain::LineId,
        protocol: crate::domain::Protocol,
    ) -> bool {
        const MANY: u64 = 2_000;
        self.totals.get(Counter::Delivered { line, protocol }) == 0
            && self.totals.get(Counter::Unconfirmed { line, protocol, status: Status::Sent }) >= MANY
    }
}
