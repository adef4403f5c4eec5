//! The lists of chats: what their rows change, and when a sweep is done.

use std::collections::btree_map::Entry;
use std::time::Duration;

use super::{Engine, Note, Now, Recurring};
use crate::api::{ChatRow, Page};
use crate::collect::full_listing::Listed;
use crate::collect::sweep::{Sweep, SweepPage, Unread};
use crate::domain::view::RejectedRows;
use crate::domain::{ChatKey, Endpoint, Rejection, SweepResult, Unreadable};

/// Intervals without a sweep that ended after which `up` falls: a list that takes longer may still be read to its end, and until
/// then nothing says that it is.
const SILENT: u32 = 6;
/// Age of the oldest sweep that is not done before the budget is called exhausted, at least.
const EXHAUSTED_AFTER: Duration = Duration::from_secs(15);

/// A usable row of the list, as it was applied.
pub(super) struct Applied {
    pub(super) key: ChatKey,
    pub(super) newest: i64,
    /// The chat must be read because of it.
    pub(super) marked: bool,
    /// The full listing under way sees it for the first time.
    pub(super) fresh: bool,
}

impl Engine {
    /// A time of the server's clock, or what the more cautious clock says, while they differ.
    fn cautious(&self, at: i64, now: Now) -> i64 {
        self.clock.cautious_at(now.mono).map_or(at, |cautious| at.min(cautious))
    }

    /// Applies rows of a chat list that was asked for at `asked_at`, the server's time.
    pub(super) fn apply_chats(&mut self, page: &Page<ChatRow>, asked_at: i64, now: Now) -> Vec<Applied> {
        for rejection in &page.rejected {
            self.ledger.record_rejection(Endpoint::ListChats, *rejection);
        }
        for field in &page.unknown {
            self.ledger.record_unknown(*field, 1);
        }
        // By the same order as lists: a list that showed a chat must not seem to be a later one that lacks it. `Date` has a grain
        // of a second, so that lists may seem to go back in time.
        let shown_at = self.cautious(self.sweeps.ordered(asked_at), now);
        page.rows.iter().map(|row| self.apply_chat(row, shown_at, now)).collect()
    }

    fn apply_chat(&mut self, row: &ChatRow, shown_at: i64, now: Now) -> Applied {
        let key = self.hasher.chat(&row.id);
        let listed = self.hasher.listing(row);
        let floor = self.ledger.progress().floor;
        let is_new = self.ledger.chats().get(key).is_none();
        let changed = self.ledger.record_listed(key, row.kind, listed);
        let generation = self.listing_generation;
        let seen_in = self.ledger.chats().get(key).map_or(0, |chat| chat.listed_in);
        self.ledger.mark_listed(key, generation, shown_at);
        let may_count = self.ledger.chats().get(key).is_some_and(|chat| chat.may_hold_after(floor));
        let newest = self.ledger.chats().get(key).map_or(0, |chat| chat.listed.newest());
        // A row without counts does not show a message that came since the list before, if its newest one is dated later.
        let is_masked = listed.messages.is_none() && newest > self.sweeps.listed_through();
        let counted = changed && !is_new && self.is_counted_already(key);
        // What is new since all chats were listed is read once, whatever its row says: one field of it may be wrong.
        let is_read = may_count || self.ledger.progress().listed_at > 0;
        let marked = is_masked || changed && (!is_new || is_read) && !counted;
        self.row_shown(key);
        if marked {
            self.ledger.mark_changed(key, self.sweeps.listed_through());
            self.marked_lately[0].insert(key);
            self.wait_for_event(key, now.mono);
        }
        if let Entry::Vacant(unknown) = self.ids.chats.entry(key) {
            unknown.insert(row.id.clone());
            if self.parked.remove(&key) || is_new {
                self.put_back(key);
            }
        }
        self.refresh_read(key, now.mono);
        Applied { key, newest, marked, fresh: seen_in != generation }
    }

    /// Takes a page of a sweep.
    pub(super) fn sweep_answered(
        &mut self,
        mut sweep: Sweep,
        page: &Page<ChatRow>,
        asked_at: Option<i64>,
        now: Now,
    ) {
        let Some(asked_at) = asked_at else { return self.clock_unknown(sweep, now) };
        self.rejected_in_a_row = 0;
        // The baseline is the server's time at our start: what came between that and the first answer counts.
        if let Some(baseline) = self.clock.cautious_at(Duration::ZERO) {
            self.ledger.begin(baseline);
        }
        let applied = self.apply_chats(page, asked_at, now);
        if let Some(listing) = &mut self.listing {
            listing.also(applied.iter().filter(|row| row.fresh).count());
        }
        self.health.chats = page.total.or(self.health.chats);
        let more = sweep.absorb(&SweepPage {
            rows: applied.iter().map(|row| (row.key, row.newest, self.reaches_down(row))).collect(),
            rejected: rejected_rows(page),
            total: page.total,
            limit: self.page_limit as usize,
            asked_at: self.sweeps.ordered(asked_at),
            counts_from: self.ledger.progress().baseline,
        });
        if more {
            let task = super::Task::Sweep(sweep);
            return self.waiting.go_on(super::task::Attempted { task, attempt: 1 });
        }
        self.sweep = self.next_sweep(sweep.began, now.mono);
        self.listed(sweep, now);
    }

    /// Whether rows below this one may be news. Where rows have no time, one that was news since the sweep before began may
    /// have been listed in between, and stand above one that was not. Once it is read, its time is known.
    fn reaches_down(&self, row: &Applied) -> bool {
        row.marked || row.newest == 0 && self.marked_lately.iter().any(|marked| marked.contains(&row.key))
    }

    /// Before the server's time is believed nothing can be told apart from history: the list is asked for again soon.
    fn clock_unknown(&mut self, sweep: Sweep, now: Now) {
        self.sweep = Recurring::Due((sweep.began + self.options.interval).max(now.mono));
        self.take_down(String::from(
            "the server's clock and this machine's differ by more than five minutes; counting begins when several \
             answers over a minute confirm the server's; check this machine's clock",
        ));
        let seconds = now.mono.saturating_sub(sweep.began).as_secs_f64();
        self.end_sweep(SweepResult::Failed, None, seconds, now);
    }

    /// A list was read as far down as it had to be.
    fn listed(&mut self, sweep: Sweep, now: Now) {
        let asked_at = sweep.asked_at.unwrap_or_else(|| self.sweeps.ordered(0));
        let chats = self.ledger.chats();
        let doubtful = sweep.is_doubtful(chats.active(), chats.len());
        let lacked_before = |newest: i64, key: ChatKey| {
            chats.get(key).is_some_and(|chat| self.lists.lacked_before(newest, chat.shown_at))
        };
        let lacking = !doubtful && sweep.lacks_any(chats.active(), lacked_before);
        if !doubtful {
            self.ledger.record_list(self.cautious(asked_at, now));
        }
        self.rejected_swept = sweep.rejected;
        self.show_rejected_rows(now);
        let whole = !doubtful && self.health.rejected_rows.count() == 0;
        let sound = whole && !lacking;
        self.notes.push(Note::ListDoubted(!sound));
        let cautious = self.cautious(asked_at, now);
        self.sweeps.listed(asked_at, sweep.began, sound.then_some(cautious));
        if whole {
            self.lists.ended(cautious, sweep.oldest());
            self.leave_unasked();
        }
        self.list_trouble = if sweep.is_torn() {
            Some(String::from("rows of the list of chats changed places while its pages were read"))
        } else if lacking {
            Some(String::from("the list of chats lacks one that was active a moment ago"))
        } else if doubtful {
            Some(String::from("the list of chats lacks many that were active a moment ago"))
        } else if !sound {
            Some(String::from("the list of chats has rows that cannot be used"))
        } else {
            None
        };
        self.settle_sweeps(now);
    }

    /// Rows without a usable chat hide its messages: they count as chats that cannot be read.
    pub(super) fn show_rejected_rows(&mut self, now: Now) {
        let rejected = self.rejected_swept.max(self.rejected_listed);
        self.health.rejected_rows = rejected;
        self.health.rejected_since = match rejected.count() {
            0 => None,
            _ => self.health.rejected_since.or(self.server_now(now.mono)),
        };
    }

    /// Ends the sweeps that are done.
    pub(super) fn settle_sweeps(&mut self, now: Now) {
        loop {
            let chats = self.ledger.chats();
            let unread = Unread { readable: chats.waiting_since(), any: chats.held_since() };
            let Some(settled) = self.sweeps.settle(unread, now.mono, self.options.interval) else { break };
            let cautious = self.clock.cautious_at(now.mono);
            let covered = settled.covered.zip(cautious).map(|(covered, cautious)| covered.min(cautious));
            let seconds = now.mono.saturating_sub(settled.began).as_secs_f64();
            self.end_sweep(settled.result, covered, seconds, now);
            match settled.result {
                SweepResult::Complete => self.is_up = true,
                _ => self.take_down(self.list_trouble.clone().unwrap_or_else(|| self.unread_trouble())),
            }
        }
        self.judge_silence(now);
        self.judge_budget(now);
    }

    /// Chats that denied themselves before this process began, and that its lists lack: they cannot be asked again, because their ids
    /// are not known, and list and chat agree as it is.
    fn leave_unasked(&mut self) {
        let chats = self.ledger.chats();
        let denied = |key: &ChatKey| {
            chats.get(*key).and_then(|chat| chat.outage).is_some_and(|it| it.reason == Unreadable::NotFound)
        };
        let gone: Vec<ChatKey> = chats
            .unreadable()
            .filter(|key| !self.ids.chats.contains_key(key) && denied(key) && self.has_left_the_list(*key))
            .collect();
        for key in gone {
            self.left(key);
        }
    }

    /// Between two sweeps that end, everything may have stopped: a list that is interrupted by pauses may take for ever.
    fn judge_silence(&mut self, now: Now) {
        let silent = now.mono.saturating_sub(self.swept_at);
        if self.is_up && silent >= self.options.interval.saturating_mul(SILENT) {
            self.take_down(format!("no list of chats was read to its end for {} s", silent.as_secs()));
            self.must_publish = true;
        }
    }

    /// Not everything that the list names is read.
    pub(super) fn take_down(&mut self, problem: String) {
        (self.is_up, self.health.up) = (false, false);
        self.health.problem = Some(problem);
    }

    fn unread_trouble(&self) -> String {
        let (by_reason, _) = self.ledger.chats().outages();
        let (deferred, unreadable) = (self.health.deferred, by_reason.iter().sum::<u64>());
        match unreadable {
            0 => format!("{deferred} chats are still to be read"),
            n => format!("{deferred} chats are still to be read, of which {n} cannot be read"),
        }
    }

    /// Says once, in one sentence, when the budget does not suffice, and when it does again.
    fn judge_budget(&mut self, now: Now) {
        let interval = self.options.interval;
        let age = self.sweeps.oldest().map_or(Duration::ZERO, |began| now.mono.saturating_sub(began));
        let late = age > interval.saturating_mul(3).max(EXHAUSTED_AFTER);
        let exhausted = if self.exhausted { age > interval } else { late && !self.reads.is_empty() };
        if exhausted == self.exhausted {
            return;
        }
        self.exhausted = exhausted;
        let (budget, chats) = (self.options.budget, self.reads.len());
        self.health.exhausted = exhausted.then(|| {
            format!(
                "the budget of {budget} requests per second is exhausted: {chats} chats wait to be read; \
                 raise --api.budget, or accept that messages are counted later"
            )
        });
        self.notes.push(Note::Exhausted(self.health.exhausted.clone()));
        self.must_publish = true;
    }

    /// What a page of the full listing shows, for its own bookkeeping.
    pub(super) fn listed_page(&self, applied: &[Applied], page: &Page<ChatRow>, asked_at: i64) -> Listed {
        Listed {
            chats: applied.iter().map(|row| (row.key, row.fresh)).collect(),
            rejected: page.rejected.len(),
            total: page.total,
            limit: self.page_limit as usize,
            asked_at,
        }
    }
}

/// Why rows of a page of chats cannot be used.
pub(super) fn rejected_rows(page: &Page<ChatRow>) -> RejectedRows {
    let identifier = page.rejected.iter().filter(|rejection| **rejection == Rejection::Id).count() as u64;
    RejectedRows { malformed: page.rejected.len() as u64 - identifier, identifier }
}
