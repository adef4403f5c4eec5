//! The scheduler: which request is sent next, and how many are under way at a time.

use std::time::Duration;

use super::pace::{LOOK, Recurring};
use super::task::{Attempted, Task, Ticket};
use super::{Engine, Now};
use crate::api::{ChatId, Request};
use crate::collect::full_listing::FullListing;
use crate::collect::read::{Range, Read};
use crate::collect::recheck::{self, Ask, Recheck};
use crate::collect::sweep::{LONGEST, Sweep};
use crate::collect::{millis, recheck::Candidate};
use crate::domain::{ApiEvent, Cause, Chat, ChatKey, LineId, SweepResult, Work};

/// Requests under way at a time that have not stalled, at least and at most. Between them, one for each request per second of the
/// budget.
pub const PARALLEL: (usize, usize) = (4, 32);
/// How many more may be under way, when as many have stalled: few enough that the answers of all fit into memory together.
pub const STALLED_BESIDE: usize = 4;
/// Probes under way at a time, beside those: a device that sleeps takes long to answer.
const PROBES: usize = 2;
/// Failures in a row, over all endpoints, after which little but the list is asked for until something succeeds.
const BREAKER: u32 = 5;
/// Candidates that are looked at for one request: those at the front may be busy or waiting.
const LOOKED_AT: usize = 64;
/// Share of the budget that full listings may take, after the first one of a process.
const LISTING_SHARE: f64 = 0.1;
/// A chat that has waited for so many intervals is late.
const LATE: i64 = 3;

/// Least time between two pages of full listings, after the first listing of a process.
pub(crate) fn listing_pace(budget: f64) -> Duration {
    Duration::from_secs_f64(1.0 / (budget.max(0.001) * LISTING_SHARE))
}

impl Engine {
    /// The next request to send at this moment, if there is one. Its answer goes to [`Engine::absorb`].
    pub fn next(&mut self, now: Now) -> Option<(Ticket, Request)> {
        self.wake_up(now);
        if let Some(cause) = self.hindrance(now.mono) {
            if self.is_anything_due(now.mono) {
                self.block(now.mono, cause);
            }
            if cause == Cause::RetryAfter {
                self.skip_sweep(now);
            }
            return None;
        }
        for work in self.fair.order() {
            if !self.may_begin(work, now.mono) {
                continue;
            }
            let begun = self
                .waiting
                .take(work)
                .or_else(|| self.begin(work, now).map(|task| Attempted { task, attempt: 1 }));
            let Some(attempted) = begun else { continue };
            let Some(request) = self.request_of(&attempted.task) else {
                self.drop_task(attempted.task);
                continue;
            };
            self.unblock(now.mono);
            self.fair.charge(work);
            self.budget.reserve(now.mono);
            return Some((self.in_flight.begin(attempted, now.mono), request));
        }
        None
    }

    /// When [`Engine::next`], [`Engine::take_commit`] or [`Engine::take_view`] may have something although nothing was
    /// answered before.
    pub fn wake(&self, now: Now) -> Duration {
        let mono = now.mono;
        let server = self.server_now(mono);
        let rechecks =
            self.due.next().zip(server).map(|(due, server)| {
                mono + Duration::from_millis((due - server).clamp(0, millis(LOOK)) as u64)
            });
        let settles = self.sweeps.oldest().map(|began| began + self.options.interval.saturating_mul(LONGEST));
        let conclusion = self.conclusion.as_ref().map(|_| mono + Duration::from_millis(1));
        [
            self.waiting.next(),
            self.in_flight.next_stall(),
            self.backoff.next(),
            self.sweep.next(),
            self.lines.next(),
            self.webhooks.next(),
            Some(self.listing_due),
            self.probes.values().min().copied(),
            self.confirmations.values().min().copied(),
            rechecks,
            settles,
            conclusion,
            Some(self.budget.next()),
            self.budget.paused(mono),
            Some(self.commit_not_before),
            self.feed_next(),
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > mono)
        .fold(mono + LOOK, Duration::min)
    }

    fn wake_up(&mut self, now: Now) {
        self.waiting.wake(now.mono);
        self.in_flight.age(now.mono);
        while let Some(chat) = self.backoff.take_due(now.mono) {
            self.refresh_read(chat, now.mono);
        }
        self.conclude_listing(now);
        self.settle_sweeps(now);
        self.judge_feed(now);
    }

    fn hindrance(&self, now: Duration) -> Option<Cause> {
        if self.budget.paused(now).is_some() {
            return Some(Cause::RetryAfter);
        }
        (self.budget.next() > now).then_some(Cause::Budget)
    }

    fn is_anything_due(&self, now: Duration) -> bool {
        self.sweep.is_due(now)
            || !self.reads.is_empty()
            || self.is_hint_due(now)
            || Work::ALL.iter().any(|work| self.waiting.is_ready(*work))
    }

    /// A sweep that is due in a pause fails, and so does one that cannot go on until it is too old: for up to a quarter of an
    /// hour nothing would show that nothing is read.
    fn skip_sweep(&mut self, now: Now) {
        let interval = self.options.interval;
        let until = self.budget.paused(now.mono).unwrap_or(now.mono);
        let too_old = |task: &Task| matches!(task, Task::Sweep(sweep) if sweep.began + interval.saturating_mul(LONGEST) <= until);
        let began = match self.waiting.take_out(too_old) {
            Some(Task::Sweep(sweep)) => sweep.began,
            _ if self.sweep.is_due(now.mono) => now.mono,
            _ => return,
        };
        let left = until.saturating_sub(now.mono).as_secs();
        self.sweep = Recurring::Due((now.mono + interval).min(until));
        self.take_down(format!("the API asked for a pause (429 or Retry-After); {left} s of it are left"));
        self.end_sweep(SweepResult::Failed, None, now.mono.saturating_sub(began).as_secs_f64(), now);
    }

    fn block(&mut self, now: Duration, cause: Cause) {
        match self.blocked_since {
            Some((_, before)) if before == cause => {}
            _ => {
                self.unblock(now);
                self.blocked_since = Some((now, cause));
            }
        }
    }

    /// Counts how long requests had to wait.
    fn unblock(&mut self, now: Duration) {
        if let Some((since, cause)) = self.blocked_since.take() {
            let millis = now.saturating_sub(since).as_millis() as u64;
            if millis > 0 {
                self.ledger.record_api(ApiEvent::Waited { cause, millis });
            }
        }
    }

    pub(super) fn parallel(&self) -> usize {
        let (least, most) = PARALLEL;
        (self.options.budget as usize).clamp(least, most)
    }

    /// Whether a request of this class may be sent at all. The first few that hang keep no slot from the others: a handful of chats
    /// that never answer would stop the account. One slot in all is kept for what is no read.
    fn may_begin(&self, work: Work, now: Duration) -> bool {
        let parallel = self.parallel();
        let (under_way, fresh) = (self.in_flight.common(), self.in_flight.fresh_of(work));
        let most = parallel + STALLED_BESIDE;
        let has_slot = under_way - self.in_flight.stalled() < parallel && under_way < most;
        let open = match work {
            Work::Sweep => return self.in_flight.of(Work::Sweep) == 0,
            Work::Probe => self.in_flight.of(Work::Probe) < PROBES,
            Work::Lines | Work::Listing => self.in_flight.of(work) == 0 && has_slot,
            Work::Read => fresh < parallel - 1 && under_way < most - 1 && has_slot,
            _ => fresh < parallel.div_ceil(2) && has_slot,
        };
        let reads_messages = !matches!(work, Work::Lines | Work::Probe | Work::Listing);
        let is_known = self.clock.at(now).is_some() && self.rejected_in_a_row == 0;
        open
            && (is_known || work == Work::Lines && self.rejected_in_a_row == 0)
            // So that the series of every line exist before its first message is counted.
            && (self.lines_asked || !reads_messages)
            && (self.failures_in_a_row < BREAKER || self.breaker_trial <= now)
    }

    fn begin(&mut self, work: Work, now: Now) -> Option<Task> {
        let task = match work {
            Work::Lines => self.begin_lines(now).or_else(|| self.begin_webhooks(now)),
            Work::Sweep => self.begin_sweep(now),
            Work::Probe => self.begin_probe(now),
            Work::Read => self.begin_changed(now),
            Work::Recheck => self.begin_recheck(now),
            Work::FirstRead => self.begin_first_read(now),
            Work::Audit => self.begin_audit(now),
            Work::Listing => self.begin_listing(now),
        }?;
        if self.failures_in_a_row >= BREAKER && work != Work::Sweep {
            self.breaker_trial = now.mono + self.options.interval;
        }
        Some(task)
    }

    fn begin_lines(&mut self, now: Now) -> Option<Task> {
        if !self.lines.is_due(now.mono) {
            return None;
        }
        self.lines = Recurring::Running;
        Some(Task::Lines)
    }

    fn begin_sweep(&mut self, now: Now) -> Option<Task> {
        if !self.sweep.is_due(now.mono) {
            return None;
        }
        self.sweep = Recurring::Running;
        self.marked_lately[1] = std::mem::take(&mut self.marked_lately[0]);
        let (through, known) = (self.sweeps.listed_through(), self.ledger.chats().len());
        Some(Task::Sweep(Sweep::new(now.mono, through, self.interval(), known)))
    }

    fn begin_probe(&mut self, now: Now) -> Option<Task> {
        let every = self.options.probe_interval;
        if every.is_zero() {
            return None;
        }
        for (line, _) in self.ledger.lines() {
            let stagger = Duration::from_secs(self.probes.len() as u64).min(every / 2);
            self.probes.entry(line).or_insert(now.mono + stagger);
        }
        let (line, due) = self.probes.iter().min_by_key(|(_, due)| **due).map(|(line, due)| (*line, *due))?;
        if due > now.mono {
            return None;
        }
        let Some(chat) = self.probe_chat(line) else {
            // No chat of the line is known yet: look again with the next sweep.
            self.probes.insert(line, now.mono + self.options.interval.min(every));
            return None;
        };
        // From when it was due, so that delays do not add up; but never twice for what was missed.
        self.probes.insert(line, (due + every).max(now.mono + every / 2));
        Some(Task::Probe { line, chat })
    }

    /// A chat of the line to probe its device with: one that was configured, else the one with the newest message.
    pub(super) fn probe_chat(&self, line: LineId) -> Option<ChatKey> {
        let chats = self.ledger.chats();
        let configured = self.options.probe_chats.iter().filter_map(|id| ChatId::parse(id));
        let configured = configured
            .map(|id| self.hasher.chat(&id))
            .filter(|key| chats.get(*key).is_some_and(|chat| chat.line == Some(line)));
        let candidates = configured.chain(chats.of_line(line)).filter(|key| self.ids.chats.contains_key(key));
        // The first that serves; where none does, the one that did not for the longest: all of them may again.
        candidates.min_by_key(|key| self.unfit_for_probes.get(key).copied())
    }

    fn begin_changed(&mut self, now: Now) -> Option<Task> {
        let late = self.server_now(now.mono)? - LATE * self.interval();
        if let Some(chat) = self.take_hinted(now.mono) {
            return self.begin_read(chat, Work::Read, now);
        }
        let chat = self.reads.take(late)?;
        self.begin_read(chat, Work::Read, now)
    }

    fn begin_first_read(&mut self, now: Now) -> Option<Task> {
        let unread = self.ledger.chats().unread().take(LOOKED_AT).find(|key| self.is_idle(*key, now.mono))?;
        self.begin_read(unread, Work::FirstRead, now)
    }

    fn begin_audit(&mut self, now: Now) -> Option<Task> {
        if let Some(chat) = self.due_confirmation(now.mono) {
            return Some(Task::Confirm(chat));
        }
        let server = self.server_now(now.mono)?;
        let every = millis(self.options.audit_interval);
        let chats = self.ledger.chats();
        let (_, chat) = chats
            .audits()
            .take(LOOKED_AT)
            .take_while(|(at, _)| server - at >= every)
            // One that changed is read for that, and deeply if it was never.
            .filter(|(_, key)| chats.get(*key).is_some_and(|chat| chat.changed_since.is_none()))
            .find(|(_, key)| self.is_idle(*key, now.mono))?;
        let countable = chats.countable();
        if !self.audits.take(now.mono, countable, self.options.audit_interval) {
            return None;
        }
        self.begin_read(chat, Work::Audit, now)
    }

    /// Whether the chat can be asked for now: its id is known, nothing else asks for it, and it does not wait.
    pub(super) fn is_idle(&self, key: ChatKey, now: Duration) -> bool {
        self.ids.chats.contains_key(&key) && !self.busy.contains(&key) && !self.backoff.holds(key, now)
    }

    fn begin_read(&mut self, key: ChatKey, work: Work, now: Now) -> Option<Task> {
        let chat = *self.ledger.chats().get(key)?;
        let server = self.server_now(now.mono)?;
        // A chat that changes all the time would never be idle: its audit is done with the read that is due anyway.
        let audit_is_due =
            chat.audited_at.is_none_or(|at| server - at >= millis(self.options.audit_interval));
        let deep = chat.deep || audit_is_due || work != Work::Read;
        let work =
            if work == Work::Read && audit_is_due && chat.audited_at.is_some() { Work::Audit } else { work };
        let interrupted = self.interrupted.remove(&key).filter(|read| read.deep || !deep);
        let ahead = self.ahead_of(key, &chat.listed);
        let read = match interrupted {
            Some(read) => read.resumed(&chat),
            None => {
                let is_of_news = !deep && work == Work::Read && chat.changed_since.is_none();
                let since = match is_of_news {
                    true => self.news_since(key, &chat, server),
                    false => self.read_since(&chat, deep, server),
                };
                let began_at = self.clock.cautious_at(now.mono).unwrap_or(server);
                Read::new(key, &chat, deep, since, began_at, self.sweeps.listed_through())
            }
        };
        // No list names it: a hint does.
        let hinted = work == Work::Read && chat.changed_since.is_none();
        let read = read.compared_with(ahead, hinted);
        self.begins_to_read(key, read.is_of_news());
        self.busy.insert(key);
        self.reads.remove(key);
        Some(Task::Read { read: Box::new(read), work })
    }

    /// Where a read starts. The boundary itself is read again: whether `since` includes it is not documented.
    pub(super) fn read_since(&self, chat: &Chat, deep: bool, server: i64) -> i64 {
        let floor = self.ledger.progress().floor;
        let since = if !deep {
            floor.max(chat.cursor - millis(self.options.lookback))
        } else if chat.is_unread() {
            floor.min(server - self.ledger.policy().history())
        } else {
            floor
        };
        (since - 1).max(0)
    }

    fn begin_recheck(&mut self, now: Now) -> Option<Task> {
        let server = self.server_now(now.mono)?;
        for _ in 0..LOOKED_AT {
            let chat = self.due.take(server)?;
            if !self.ids.chats.contains_key(&chat) {
                // The full listing with which every process starts will show it.
                self.parked.insert(chat);
                continue;
            }
            if self.busy.contains(&chat) {
                // What asks for it now puts it back.
                continue;
            }
            if self.backoff.holds(chat, now.mono) {
                self.due.add(chat, server + self.interval(), true);
                continue;
            }
            if self.is_hinted(chat) {
                self.postpone_recheck(chat, server);
                continue;
            }
            let candidates: Vec<Candidate> = self
                .ledger
                .messages()
                .open_of(chat)
                .map(|(id, tracked, due)| {
                    let urgent = recheck::is_urgent(tracked.status);
                    Candidate { id, sent_at: tracked.sent_at, due, urgent }
                })
                .collect();
            let chosen = recheck::choose(&candidates, server);
            if chosen.is_empty() {
                self.put_back(chat);
                continue;
            }
            let own_id = match chosen.as_slice() {
                [(id, _)] => self.ids.messages.get(id).cloned(),
                _ => None,
            };
            self.busy.insert(chat);
            return Some(Task::Recheck(Recheck::new(chat, chosen, own_id)));
        }
        None
    }

    fn begin_listing(&mut self, now: Now) -> Option<Task> {
        if self.listing_due > now.mono || self.conclusion.is_some() || self.waiting.holds(Work::Listing) {
            return None;
        }
        if self.listing.is_none() {
            self.raise_page_limit(now.mono);
            self.listing = Some(FullListing::default());
            self.listing_began = now.mono;
        }
        // The first one of a process finds the ids of all chats: nothing is read before it has seen them.
        let pace = listing_pace(self.options.budget);
        self.listing_due = if self.listings_done == 0 { now.mono } else { now.mono + pace };
        Some(Task::Listing)
    }

    /// The request that a task asks for. `None` when the chat is not there any more.
    fn request_of(&self, task: &Task) -> Option<Request> {
        let limit = self.page_limit;
        let chat = |key: &ChatKey| self.ids.chats.get(key).cloned();
        let messages = |chat: ChatId, Range { since, until, offset }: Range| Request::ListMessages {
            chat,
            since,
            until,
            offset,
            limit,
        };
        Some(match task {
            Task::Lines => Request::ListNumbers,
            Task::Webhooks => Request::ListWebhooks,
            Task::Sweep(sweep) => Request::ListChats { offset: sweep.offset(), limit },
            Task::Probe { chat: key, .. } => Request::GetBackground { chat: chat(key)? },
            Task::Read { read, .. } => messages(chat(&read.chat)?, read.next()),
            Task::Recheck(recheck) => match recheck.next() {
                Ask::Message(message) => Request::GetMessage { chat: chat(&recheck.chat)?, message },
                Ask::Range(range) => messages(chat(&recheck.chat)?, range),
            },
            Task::Listing => Request::ListChats { offset: self.listing.as_ref()?.offset(), limit },
            Task::Confirm(key) => Request::GetChat { chat: chat(key)? },
        })
    }

    fn drop_task(&mut self, task: Task) {
        match task {
            Task::Read { read, .. } => self.release(read.chat),
            Task::Recheck(recheck) => self.release(recheck.chat),
            Task::Confirm(chat) => drop(self.confirmations.remove(&chat)),
            Task::Sweep(_) | Task::Lines | Task::Webhooks | Task::Listing | Task::Probe { .. } => {}
        }
    }

    /// The chat is asked for no more: its open messages come up again when they are due.
    pub(super) fn release(&mut self, chat: ChatKey) {
        self.busy.remove(&chat);
        self.put_back(chat);
    }

    /// Puts the open messages of a chat back into the order of re-checks.
    pub(super) fn put_back(&mut self, chat: ChatKey) {
        for (_, tracked, due) in self.ledger.messages().open_of(chat) {
            self.due.add(chat, due, recheck::is_urgent(tracked.status));
        }
    }

    /// Puts a chat into the queue of reads, or takes it out, as its state wants it.
    pub(super) fn refresh_read(&mut self, key: ChatKey, now: Duration) {
        match self.ledger.chats().get(key) {
            Some(chat) if self.is_idle(key, now) && !self.is_hinted(key) => match chat.changed_since {
                Some(since) => {
                    // One that could not be read had its turn, and waits again, behind those that may answer: however many hang,
                    // they are not what keeps the others waiting.
                    let again = self.backoff.outage_until(key).and_then(|until| self.clock.at(until));
                    let (newest, since) = again.map_or((chat.listed.newest(), since), |again| (since, again));
                    self.reads.put(key, newest, since);
                }
                None => self.reads.remove(key),
            },
            _ => self.reads.remove(key),
        }
    }
}
