//! Pages of messages: what they change, and how reads and re-checks end.

use super::task::{Attempted, Task};
use super::{Engine, Note, Now};
use crate::api::{ApiError, Fault, MessageRow, Page};
use crate::collect::backoff::Cause;
use crate::collect::millis;
use crate::collect::read::{Conclusion, Read, Shown, ShownRow, Step};
use crate::collect::recheck::{self, Covered, Facts, Recheck};
use crate::domain::{ChatKey, Endpoint, Listing, MessageId, Outcome, Tracked, Unreadable, Work};

/// What makes a chat unreadable, by the fault of the request.
fn reason(fault: Fault) -> Unreadable {
    match fault {
        Fault::Status(404 | 410) => Unreadable::NotFound,
        Fault::Status(401 | 403) => Unreadable::Forbidden,
        Fault::Status(400 | 422) => Unreadable::Rejected,
        Fault::Body(_) => Unreadable::Rejected,
        fault if fault.is_retryable() => Unreadable::ServerError,
        _ => Unreadable::Other,
    }
}

impl Engine {
    /// Hands a page of messages of a chat to the ledger.
    fn apply_messages(
        &mut self,
        chat: ChatKey,
        endpoint: Endpoint,
        page: &Page<MessageRow>,
        now: Now,
    ) -> Shown {
        for rejection in &page.rejected {
            self.ledger.record_rejection(endpoint, *rejection);
        }
        for field in &page.unknown {
            self.ledger.record_unknown(*field, 1);
        }
        let server = self.server_now(now.mono).unwrap_or(0);
        let rows: Vec<ShownRow> =
            page.rows.iter().map(|row| self.apply_message(chat, row, server, now)).collect();
        let counted = rows.iter().filter(|row| row.counted).count() as i64;
        self.record_ahead(chat, rows.iter().filter(|row| row.counted).map(|row| (row.id, row.sent_at)));
        if !rows.is_empty() {
            self.ledger.record_found(chat);
        }
        if counted > 0 {
            self.ledger.update_chat(chat, |chat| {
                chat.explained = chat.explained.map(|explained| explained + counted);
            });
        }
        Shown { rows, rejected: page.rejected.len(), total: page.total }
    }

    fn apply_message(&mut self, chat: ChatKey, row: &MessageRow, server: i64, now: Now) -> ShownRow {
        let line = self.ledger.line(row.line.as_deref());
        let observation = self.hasher.observation(row, line);
        let id = observation.id;
        let before = self.ledger.messages().get(id).copied();
        let outcome = self.ledger.observe(chat, &observation, server);
        self.found(id, before, observation.delivered_at, now);
        if self.ledger.messages().is_open(id) {
            self.ids.messages.insert(id, row.id.clone());
            self.reschedule(id, server);
        } else {
            self.ids.messages.remove(&id);
        }
        ShownRow { id, sent_at: row.sent_at, line, counted: outcome == Outcome::Counted }
    }

    /// Sets when an open message that was just asked for is asked for again.
    fn reschedule(&mut self, id: MessageId, server: i64) {
        let Some((tracked, open)) =
            self.ledger.messages().get(id).copied().zip(self.ledger.messages().open(id))
        else {
            return;
        };
        let due = server + self.recheck_wait(id, &tracked, server);
        self.ledger.reschedule(id, due);
        if !self.busy.contains(&open.chat) {
            self.due.add(open.chat, due, recheck::is_urgent(tracked.status));
        }
    }

    fn recheck_wait(&self, id: MessageId, tracked: &Tracked, server: i64) -> i64 {
        let facts = Facts {
            age: server - self.ledger.messages().born_at(id).unwrap_or(server),
            status: tracked.status,
            protocol: tracked.protocol,
            is_silent: self.ledger.never_shows_receipts(tracked.line, tracked.protocol),
            is_announced: self.is_left_to_the_feed(id, tracked),
        };
        recheck::wait(&facts, self.interval(), millis(self.options.horizon))
    }

    /// After a start every open message is due when its age says, counted from the last commit; what would be overdue is
    /// spread over its wait, so that a restart is no burst.
    pub(super) fn restore_rechecks(&mut self, now: i64) {
        let open: Vec<(MessageId, Tracked, ChatKey)> =
            self.ledger.messages().iter_open().map(|(id, tracked, chat)| (id, *tracked, chat)).collect();
        for (id, tracked, chat) in open {
            let wait = self.recheck_wait(id, &tracked, now);
            // Ids are hashes: as good as random, and the same after every start.
            let share = (id.0 >> 64) as u64 as f64 / u64::MAX as f64;
            let due = now + (wait as f64 * share) as i64;
            self.ledger.reschedule(id, due);
            self.due.add(chat, due, recheck::is_urgent(tracked.status));
        }
    }

    /// Takes a page of a read.
    pub(super) fn read_answered(
        &mut self,
        mut read: Box<Read>,
        work: Work,
        page: &Page<MessageRow>,
        now: Now,
    ) {
        let shown = self.apply_messages(read.chat, Endpoint::ListMessages, page, now);
        match read.absorb(&shown) {
            Step::More => {
                let task = Task::Read { read, work };
                self.waiting.go_on(Attempted { task, attempt: 1 });
            }
            step => self.conclude_read(&read, step == Step::Drained, now),
        }
    }

    fn conclude_read(&mut self, read: &Read, drained: bool, now: Now) {
        let key = read.chat;
        if read.is_of_news() {
            return self.conclude_news(read, now);
        }
        let doubts = self.backoff.doubts(key).of(read.is_empty());
        let server = self.clock.cautious_at(now.mono).unwrap_or(0);
        let patience = millis(self.options.audit_interval);
        let mut conclusion = Conclusion::Done;
        self.ledger.update_chat(key, |chat| {
            conclusion = read.conclude(chat, drained, doubts, server, patience);
        });
        let (interval, budget) = (self.options.interval, self.options.budget);
        match conclusion {
            Conclusion::Done => {
                self.recovered(key, now);
                self.backoff.ended(key);
                self.miss_open(read, server);
            }
            Conclusion::Behind { .. } | Conclusion::Doubtful { .. } => {
                self.recovered(key, now);
                let cause = Cause::Doubt(doubts.and(conclusion, read.has_reached()));
                self.backoff.failed(key, cause, now.mono, interval, budget);
            }
            // A list named it once, and no answer of its own shows a message.
            Conclusion::Contradicted if read.is_empty() && self.has_left_the_list(key) => self.left(key),
            Conclusion::Contradicted => {
                let reason = Unreadable::Rejected;
                self.backoff.failed(key, Cause::Outage(reason), now.mono, interval, budget);
                self.backoff.record_doubts(key, doubts.and_behind(read.sought(), read.has_reached()));
                self.ledger.record_unreadable(key, reason, server);
                self.record_unreadable();
            }
        }
        self.release(key);
        self.refresh_read(key, now.mono);
        self.settle_sweeps(now);
        self.must_publish = true;
    }

    /// A read of news ends with what it showed: no row of the list stands behind it, so it proves nothing more.
    fn conclude_news(&mut self, read: &Read, now: Now) {
        let key = read.chat;
        self.recovered(key, now);
        self.ledger.update_chat(key, |chat| chat.line = read.newest_line().or(chat.line));
        self.hinted_read_ended(key, now.mono);
        self.release(key);
        self.refresh_read(key, now.mono);
        self.must_publish = true;
    }

    /// Open messages of the chat that a complete read did not show are missing.
    fn miss_open(&mut self, read: &Read, server: i64) {
        if read.has_rejected() {
            return;
        }
        let open = self.ledger.messages().open_of(read.chat);
        let missing: Vec<MessageId> = open
            .filter(|(id, tracked, _)| tracked.sent_at > read.since + 1 && !read.saw(*id))
            .map(|(id, ..)| id)
            .collect();
        for id in missing {
            self.ledger.record_missing(id, server);
            self.reschedule(id, server);
        }
    }

    /// A chat can be read: those that could not be for the same reason are tried at once.
    fn recovered(&mut self, key: ChatKey, now: Now) {
        let Some(reason) = self.ledger.record_readable(key) else { return };
        self.backoff.ended(key);
        self.backoff.recovered(reason, now.mono, self.options.interval, self.options.budget);
        self.record_unreadable();
    }

    fn record_unreadable(&mut self) {
        let (by_reason, _) = self.ledger.chats().outages();
        self.notes.push(Note::Unreadable(by_reason.iter().sum()));
        self.must_publish = true;
    }

    /// A read could not go on. It is kept, and goes on where it was: over a long history, on a server that fails every
    /// tenth request, none would ever end otherwise.
    pub(super) fn read_failed(&mut self, read: Box<Read>, work: Work, error: &ApiError, now: Now) {
        let key = read.chat;
        let read_is_hinted = read.is_hinted();
        self.interrupted.insert(key, *read);
        if error.is_rate_limit() {
            let (interval, budget) = (self.options.interval, self.options.budget);
            self.backoff.failed(key, Cause::Pause, now.mono, interval, budget);
        } else {
            self.unreadable(key, error, work == Work::Read && !read_is_hinted, now);
        }
        self.release(key);
        self.refresh_read(key, now.mono);
        self.settle_sweeps(now);
    }

    /// A chat's messages could not be read. Whether that holds up the account depends on whether the list names the chat.
    fn unreadable(&mut self, key: ChatKey, error: &ApiError, named: bool, now: Now) {
        let reason = reason(error.fault);
        let (interval, budget) = (self.options.interval, self.options.budget);
        self.backoff.failed(key, Cause::Outage(reason), now.mono, interval, budget);
        let server = self.server_now(now.mono).unwrap_or(0);
        if error.denies() && self.has_left_the_list(key) {
            return self.left(key);
        }
        if !error.is_not_found() || named || self.was_listed_lately(key) {
            self.ledger.record_unreadable(key, reason, server);
        }
        self.record_unreadable();
    }

    /// List and chat agree that there is nothing to read. Should it be listed again, it counts as changed.
    pub(super) fn left(&mut self, key: ChatKey) {
        self.ledger.update_chat(key, |chat| {
            chat.changed_since = None;
            chat.outage = None;
            chat.deep = true;
            chat.listed = Listing::UNLIKE_ANY;
        });
        self.record_unreadable();
    }

    /// Whether the newest lists should have shown the chat, and did not.
    pub(super) fn has_left_the_list(&self, key: ChatKey) -> bool {
        let chat = self.ledger.chats().get(key);
        chat.is_none_or(|chat| self.lists.lack(chat.listed.newest(), chat.shown_at))
    }

    /// Whether the newest complete full listing, or a later list, showed the chat.
    fn was_listed_lately(&self, key: ChatKey) -> bool {
        let complete = self.listing_generation.saturating_sub(u32::from(self.is_listing()));
        self.ledger
            .chats()
            .get(key)
            .is_some_and(|chat| chat.absence.listings == 0 && complete > 1 && chat.listed_in >= complete)
    }

    /// Whether a full listing has shown its first page and not its last.
    fn is_listing(&self) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.started().is_some())
    }

    /// Takes an answer to a re-check.
    pub(super) fn recheck_answered(&mut self, mut recheck: Recheck, page: &Page<MessageRow>, now: Now) {
        let endpoint = if recheck.asks_for_one() { Endpoint::GetMessage } else { Endpoint::ListMessages };
        let shown = self.apply_messages(recheck.chat, endpoint, page, now);
        match recheck.absorb(&shown) {
            None => {
                let task = Task::Recheck(recheck);
                self.waiting.go_on(Attempted { task, attempt: 1 });
            }
            Some(covered) => {
                self.recovered(recheck.chat, now);
                self.backoff.answered(recheck.chat);
                self.end_recheck(&recheck, covered, now);
            }
        }
    }

    fn end_recheck(&mut self, recheck: &Recheck, covered: Covered, now: Now) {
        let server = self.clock.cautious_at(now.mono).unwrap_or(0);
        let unseen: Vec<(MessageId, i64)> = recheck.unseen().collect();
        let hides = recheck.has_rejected();
        for (id, sent_at) in unseen {
            if hides {
                self.reschedule(id, server);
            } else if covered.reaches(sent_at) {
                self.ledger.record_missing(id, server);
                self.reschedule(id, server);
            } else if covered == Covered::Nothing {
                self.ledger.reschedule(id, server + self.interval());
            }
        }
        if hides {
            self.ledger.close_unreadable(recheck.chat, server);
        }
        self.ledger.close_missing(server);
        self.release(recheck.chat);
        self.refresh_read(recheck.chat, now.mono);
    }

    /// A re-check was not answered, or with a 404: the message, or its chat, is not where it was.
    pub(super) fn recheck_failed(&mut self, recheck: &Recheck, error: &ApiError, now: Now) {
        if error.is_not_found() {
            if !recheck.asks_for_one() {
                self.unreadable(recheck.chat, error, false, now);
            }
            return self.end_recheck(recheck, Covered::Everything, now);
        }
        self.end_recheck(recheck, Covered::Nothing, now);
        let limited = error.is_rate_limit();
        if !limited && !error.is_auth() {
            let (interval, budget) = (self.options.interval, self.options.budget);
            self.backoff.failed(recheck.chat, Cause::Recheck, now.mono, interval, budget);
            self.refresh_read(recheck.chat, now.mono);
            self.ledger.close_unreadable(recheck.chat, self.server_now(now.mono).unwrap_or(0));
        }
    }
}
