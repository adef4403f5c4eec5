//! The full listing, what follows from its end, and chats that it lacks.

use std::time::Duration;

use super::chats::rejected_rows;
use super::{Engine, Note, Now};
use crate::api::{ApiError, ChatRow, Page};
use crate::collect::full_listing::Progress;
use crate::domain::view::RejectedRows;
use crate::domain::{ChatKey, Endpoint};

/// Chats that one step of a conclusion looks at: it must not hold up the next request.
const SLICE: usize = 500;
/// Between two answers of a chat itself that count as evidence of its deletion, at least.
const CONFIRMED_AGAIN: Duration = Duration::from_secs(600);

/// What follows from a complete listing: every chat is looked at, some at a time.
#[derive(Debug)]
pub(super) struct Conclusion {
    generation: u32,
    started: i64,
    after: Option<ChatKey>,
}

impl Engine {
    /// Takes a page of the full listing.
    pub(super) fn listing_answered(&mut self, page: &Page<ChatRow>, asked_at: Option<i64>, now: Now) {
        let Some(asked_at) = asked_at.filter(|_| self.ledger.progress().baseline > 0) else {
            self.listing = None;
            return;
        };
        if self.listing.as_ref().is_some_and(|listing| listing.started().is_none()) {
            self.listing_generation += 1;
        }
        let applied = self.apply_chats(page, asked_at, now);
        let listed = self.listed_page(&applied, page, asked_at);
        self.listing_rejected.malformed += rejected_rows(page).malformed;
        self.listing_rejected.identifier += rejected_rows(page).identifier;
        let Some(mut listing) = self.listing.take() else { return };
        let started = listing.started().unwrap_or(asked_at);
        match listing.absorb(&listed) {
            Progress::More => {
                if listing.offset() == 0 {
                    self.listing_rejected = RejectedRows::default();
                }
                self.listing = Some(listing);
            }
            Progress::Done { complete } => {
                self.listings_done += 1;
                self.rejected_listed = std::mem::take(&mut self.listing_rejected);
                self.listing_due = self.listing_due.max(self.listing_began + self.until_next_listing());
                self.show_rejected_rows(now);
                if complete && self.listings_done == 1 {
                    self.notes.push(self.first_listing());
                }
                if complete {
                    let generation = self.listing_generation;
                    self.conclusion = Some(Conclusion { generation, started, after: None });
                }
            }
        }
    }

    /// From the beginning of one full listing to that of the next. Where rows could not be used, the next one comes soon: until it
    /// finds them whole, nothing looks healthy. While they stay as they are, the wait doubles.
    fn until_next_listing(&mut self) -> Duration {
        self.listings_with_rejections = match self.rejected_listed.count() {
            0 => 0,
            _ => self.listings_with_rejections + 1,
        };
        let Some(doublings) = self.listings_with_rejections.checked_sub(1) else {
            return self.options.full_interval;
        };
        let soon = self.options.interval.saturating_mul(3).saturating_mul(1 << doublings.min(20));
        soon.min(self.options.full_interval)
    }

    /// A page of the full listing could not be read: it goes on there.
    pub(super) fn listing_failed(&mut self, error: &ApiError, now: Now) {
        let wait = if error.is_auth() { self.options.full_interval } else { self.options.interval };
        self.listing_due = self.listing_due.max(now.mono + wait.min(self.options.full_interval));
    }

    /// Looks at some more chats after a complete listing; at its end the floor may rise.
    pub(super) fn conclude_listing(&mut self, now: Now) {
        let Some(mut conclusion) = self.conclusion.take() else { return };
        let slice = self.ledger.chats().slice_after(conclusion.after, SLICE);
        for key in &slice {
            let seen =
                self.ledger.chats().get(*key).is_some_and(|chat| chat.listed_in >= conclusion.generation);
            if !seen {
                self.record_absent(*key, now);
            }
        }
        conclusion.after = slice.last().copied();
        if slice.len() == SLICE {
            self.conclusion = Some(conclusion);
            return;
        }
        self.ledger.record_full_listing(conclusion.started);
        if let Some(server) = self.clock.cautious_at(now.mono) {
            self.ledger.advance_floor(server);
            self.ledger.close_missing(server);
        }
        self.forget_ended_ids();
    }

    /// What the log says once after a start, about the first full listing.
    fn first_listing(&self) -> Note {
        let chats = self.ledger.chats();
        let to_read = chats.waiting_count() + chats.unread_count();
        Note::Listed {
            lines: self.ledger.lines().count(),
            chats: chats.len(),
            to_read,
            // A request each, at least, beside everything else.
            reading: Duration::from_secs_f64((to_read as f64 / self.options.budget.max(0.001)).min(1e9)),
            counting_since: self.ledger.progress().baseline,
        }
    }

    fn record_absent(&mut self, key: ChatKey, now: Now) {
        let server = self.server_now(now.mono).unwrap_or(0);
        if self.ids.chats.contains_key(&key) {
            self.ledger.record_absent(key, server, false);
            if self.ledger.is_gone_from_list(key) {
                self.confirmations.entry(key).or_insert(now.mono);
            }
            return;
        }
        // It cannot be asked itself, and may be in one of the rows that cannot be used.
        let may_hide = self.rejected_listed.count() > 0;
        self.ledger.record_absent(key, server, may_hide);
        if self.clock.is_settled(now.mono) {
            let started = server.saturating_sub(i64::try_from(now.mono.as_millis()).unwrap_or(i64::MAX));
            if self.ledger.remove_if_long_absent(key, started, server, may_hide) {
                self.forget_chat(key);
            }
        }
    }

    /// Ids of messages that were given up are dropped when they are many: dropping them costs no more than they did.
    fn forget_ended_ids(&mut self) {
        let messages = self.ledger.messages();
        if self.ids.messages.len() > 2 * messages.open_count() + 1_000 {
            self.ids.messages.retain(|id, _| messages.is_open(*id));
        }
    }

    /// The next chat that the list lacks and that is to be asked for itself.
    pub(super) fn due_confirmation(&mut self, now: Duration) -> Option<ChatKey> {
        while let Some((chat, due)) = self.confirmations.iter().min_by_key(|(_, due)| **due) {
            let (chat, due) = (*chat, *due);
            if due > now {
                return None;
            }
            if self.ids.chats.contains_key(&chat) && self.ledger.is_gone_from_list(chat) {
                self.confirmations.insert(chat, Duration::MAX);
                return Some(chat);
            }
            // Listed again, or not listed since this process started: then nothing can be asked.
            self.confirmations.remove(&chat);
        }
        None
    }

    fn confirm_again(&mut self, chat: ChatKey, now: Now) {
        let wait = CONFIRMED_AGAIN.min(self.options.audit_interval).max(self.options.full_interval);
        self.confirmations.insert(chat, now.mono + wait);
    }

    /// A chat that the list lacks answered: it is there, whatever the list says.
    pub(super) fn confirm_answered(&mut self, chat: ChatKey, page: &Page<ChatRow>, now: Now) {
        // The row of another chat says nothing of this one.
        let row = page.rows.first().filter(|row| self.hasher.chat(&row.id) == chat);
        let Some(row) = row else { return self.confirm_again(chat, now) };
        self.ledger.record_found(chat);
        self.confirmations.remove(&chat);
        // The list would not show what it got meanwhile.
        let listed = self.hasher.listing(row);
        if self.ledger.record_row(chat, row.kind, listed) {
            self.ledger.mark_changed(chat, self.sweeps.listed_through());
            self.refresh_read(chat, now.mono);
        }
    }

    /// It did not: where the server does not know it, that is evidence of its deletion.
    pub(super) fn confirm_failed(&mut self, chat: ChatKey, error: &ApiError, now: Now) {
        if !error.denies() {
            return self.confirm_again(chat, now);
        }
        let server = self.server_now(now.mono).unwrap_or(0);
        self.ledger.record_not_found(chat, server);
        if !self.clock.is_settled(now.mono) || !self.ledger.remove_if_gone(chat, server) {
            return self.confirm_again(chat, now);
        }
        self.forget_chat(chat);
        self.settle_sweeps(now);
    }

    fn forget_chat(&mut self, chat: ChatKey) {
        self.confirmations.remove(&chat);
        self.ids.chats.remove(&chat);
        self.backoff.ended(chat);
        self.unfit_for_probes.remove(&chat);
        for endpoint in [Endpoint::ListMessages, Endpoint::GetMessage] {
            self.limited_chats.remove(&(chat, endpoint));
        }
        self.interrupted.remove(&chat);
        self.reads.remove(chat);
    }
}
