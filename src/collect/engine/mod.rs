//! The state of one account's collection. Pure: time comes in, requests come out, answers change it. It does no I/O.
//!
//! [`Engine::next`] says what to ask for, [`Engine::absorb`] takes the answer, [`Engine::take_commit`] says what to write
//! and [`Engine::committed`] takes how that went. Work under way is a [`Task`]: a state machine that asks for one request
//! at a time, so that classes of work share the budget request by request.

mod ahead;
mod answers;
mod chats;
mod credit;
mod feed;
mod listing;
mod messages;
mod pace;
mod queue;
mod schedule;
mod task;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

pub use answers::{LONGEST_REJECTED, Timing};
pub(crate) use schedule::listing_pace;
pub use schedule::{PARALLEL, STALLED_BESIDE};
pub use task::Ticket;

use super::backoff::Backoff;
use super::fair::FairQueue;
use super::full_listing::FullListing;
use super::id_map::{IdHasher, IdMap};
use super::read::Read;
use super::recheck;
use super::server_clock::ServerClock;
use super::sweep::{Lists, Sweeps};
use super::{Options, millis};
use crate::api::budget::Budget;
use crate::api::{ApiError, PAGE_LIMIT};
use crate::domain::view::{Health, RejectedRows, Snapshot};
use crate::domain::{Cause, ChatKey, Delta, Endpoint, Ledger, LineId, View};
use pace::{AuditPace, Recurring};
use queue::ReadQueue;
use task::{InFlight, Task, Waiting};

/// A moment, by the two clocks that there are.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the collector was made; never goes back.
    pub mono: Duration,
    /// The host's clock, unix ms.
    pub host: i64,
}

/// Something that a person may want to read in the log.
#[derive(Clone, Debug)]
pub enum Note {
    /// A request failed after its last attempt.
    Failed(ApiError),
    /// A request to the endpoint succeeded.
    Succeeded(Endpoint),
    /// A line's device did not answer its probe. The line as the page shows it.
    ProbeFailed(LineId, String, ApiError),
    /// A line's device answered its probe.
    ProbeSucceeded(LineId, String),
    /// The server has no `GET /me/numbers`.
    NoNumbers,
    /// The key may not list webhooks, or the server does not.
    NoWebhooks,
    /// The webhook feed is trusted from now on, or not any more.
    Feed {
        /// Whether trust was gained; false when it was lost.
        trusted: bool,
        /// Messages and outcomes that it turned out, at this moment, not to have announced.
        missed: u64,
    },
    /// The server's clock contradicts what is known of it, by so many ms.
    ClockDoubted(i64),
    /// The server's clock moved by so many ms, and that was confirmed.
    ClockMoved(i64),
    /// A chat is listed and cannot be read, or can be read again: how many such chats there are now.
    Unreadable(u64),
    /// The list lacks chats that must be in it, or holds rows that cannot be used; or it is sound again.
    ListDoubted(bool),
    /// The budget does not suffice, with a sentence about it; `None` when it does again.
    Exhausted(Option<String>),
    /// The server rejects pages of the size asked for: they are smaller from now on.
    PageLimit(u32),
    /// The first full listing of the process is complete.
    Listed {
        /// Lines that have series.
        lines: usize,
        /// Chats that are known.
        chats: usize,
        /// Chats that are still to be read.
        to_read: usize,
        /// How long that takes at the budget, at least.
        reading: Duration,
        /// Messages sent after this are counted, unix ms.
        counting_since: i64,
    },
    /// A sweep ended; logged at debug level.
    Swept(&'static str, f64, u64),
}

/// What is to be committed and then shown.
pub struct Commit {
    /// The changes since the last commit, for the store.
    pub delta: Delta,
    /// For the page, once the delta is durable.
    pub snapshot: Snapshot,
    /// Everything that the newest list named is in it.
    is_up: bool,
}

/// The state of one account's collection.
pub struct Engine {
    account: String,
    options: Options,
    hasher: IdHasher,
    ledger: Ledger,
    ids: IdMap,
    clock: ServerClock,
    fair: FairQueue,
    budget: Budget,
    blocked_since: Option<(Duration, Cause)>,
    limited_in_a_row: u32,
    /// Chats of which the newest answer to such a request was a rate limit, and how many requests had been answered by then.
    limited_chats: BTreeMap<(ChatKey, Endpoint), u64>,
    answers: u64,
    failures_in_a_row: u32,
    /// The newest request for the top of the list was not answered.
    list_fails: bool,
    breaker_trial: Duration,
    rejected_in_a_row: u32,
    page_limit: u32,
    /// The newest one that was answered, and when a smaller one was asked for.
    accepted_limit: u32,
    page_limit_since: Duration,
    in_flight: InFlight,
    waiting: Waiting,
    busy: BTreeSet<ChatKey>,
    interrupted: HashMap<ChatKey, Read>,
    sweeps: Sweeps,
    sweep: Recurring,
    lines: Recurring,
    webhooks: Recurring,
    lines_asked: bool,
    /// Answers in a row that say that there is no list of them.
    lines_denied: u32,
    listing: Option<FullListing>,
    listing_due: Duration,
    listing_began: Duration,
    listing_generation: u32,
    listings_done: u32,
    /// How many of the newest ones in a row had rows that could not be used.
    listings_with_rejections: u32,
    conclusion: Option<listing::Conclusion>,
    confirmations: BTreeMap<ChatKey, Duration>,
    reads: ReadQueue,
    backoff: Backoff,
    due: recheck::Due,
    parked: BTreeSet<ChatKey>,
    audits: AuditPace,
    probes: BTreeMap<LineId, Duration>,
    unfit_for_probes: BTreeMap<ChatKey, Duration>,
    /// What sweeps showed last.
    lists: Lists,
    /// Chats whose rows were news since the newest sweep began, and during the one before.
    marked_lately: [BTreeSet<ChatKey>; 2],
    rejected_swept: RejectedRows,
    rejected_listed: RejectedRows,
    listing_rejected: RejectedRows,
    list_trouble: Option<String>,
    health: Health,
    /// The newest sweep was complete. Shown with the commit that holds what it found.
    is_up: bool,
    /// When the newest sweep ended, since the engine's start.
    swept_at: Duration,
    shown: Snapshot,
    version: u64,
    must_publish: bool,
    committing: bool,
    commit_not_before: Duration,
    exhausted: bool,
    notes: Vec<Note>,
    /// The webhook feed, where one is followed.
    feed: Option<Box<feed::Following>>,
}

impl Engine {
    /// The state as the store held it, with everything due.
    pub fn new(
        account: &str,
        options: Options,
        hasher: IdHasher,
        mut ledger: Ledger,
        state_bytes: u64,
    ) -> Engine {
        if options.probe_interval.is_zero() {
            ledger.forget_probes();
        }
        let (progress, now) = (ledger.progress(), ledger.shown_at());
        let shown = ledger.snapshot(now);
        let health =
            Health { budget: options.budget, state_bytes, state_writable: true, ..Health::default() };
        let mut engine = Engine {
            account: account.to_owned(),
            hasher,
            ids: IdMap::default(),
            clock: ServerClock::default(),
            fair: FairQueue::default(),
            budget: Budget::new(options.budget),
            blocked_since: None,
            limited_in_a_row: 0,
            limited_chats: BTreeMap::new(),
            answers: 0,
            failures_in_a_row: 0,
            list_fails: false,
            breaker_trial: Duration::ZERO,
            rejected_in_a_row: 0,
            page_limit: PAGE_LIMIT,
            accepted_limit: PAGE_LIMIT,
            page_limit_since: Duration::ZERO,
            in_flight: InFlight::default(),
            waiting: Waiting::default(),
            busy: BTreeSet::new(),
            interrupted: HashMap::new(),
            sweeps: Sweeps::new(progress.watermark),
            sweep: Recurring::due_now(),
            lines: Recurring::due_now(),
            webhooks: webhooks::first(),
            lines_asked: false,
            lines_denied: 0,
            listing: None,
            listing_due: Duration::ZERO,
            listing_began: Duration::ZERO,
            listing_generation: 0,
            listings_done: 0,
            listings_with_rejections: 0,
            conclusion: None,
            confirmations: BTreeMap::new(),
            reads: ReadQueue::default(),
            backoff: Backoff::default(),
            due: recheck::Due::default(),
            parked: BTreeSet::new(),
            audits: AuditPace::default(),
            probes: BTreeMap::new(),
            unfit_for_probes: BTreeMap::new(),
            lists: Lists::default(),
            marked_lately: Default::default(),
            rejected_swept: RejectedRows::default(),
            rejected_listed: RejectedRows::default(),
            listing_rejected: RejectedRows::default(),
            list_trouble: None,
            health,
            is_up: false,
            swept_at: Duration::ZERO,
            shown,
            version: 0,
            must_publish: true,
            committing: false,
            commit_not_before: Duration::ZERO,
            exhausted: false,
            notes: Vec::new(),
            feed: None,
            ledger,
            options,
        };
        engine.restore_rechecks(now);
        engine.refresh_health();
        engine
    }

    /// Follows other options from now on. Nothing that is known is lost, and everything is due.
    pub fn reconfigure(&mut self, options: Options, now: Now) {
        self.abandon();
        let server = self.server_now(now.mono).unwrap_or_else(|| self.ledger.shown_at());
        self.ledger.set_policy(options.policy(), server);
        if options.probe_interval.is_zero() {
            self.ledger.forget_probes();
        }
        self.budget.set_rate(options.budget);
        self.health.budget = options.budget;
        self.options = options;
        self.listing = None;
        self.conclusion = None;
        self.sweep = Recurring::due_now();
        self.lines = Recurring::due_now();
        self.listing_due = now.mono;
        self.probes.clear();
        self.rejected_in_a_row = 0;
        (self.page_limit, self.accepted_limit) = (PAGE_LIMIT, PAGE_LIMIT);
        self.restore_rechecks(server);
        self.must_publish = true;
    }

    /// Requests under way will not be answered: what they were for goes back to where it came from.
    pub fn abandon(&mut self) {
        let tasks: Vec<Task> = self.in_flight.drain().chain(self.waiting.drain()).collect();
        for task in tasks {
            match task {
                Task::Read { read, .. } => {
                    let chat = read.chat;
                    self.interrupted.insert(chat, *read);
                    self.release(chat);
                }
                Task::Recheck(recheck) => {
                    let chat = recheck.chat;
                    self.due.add(chat, 0, true);
                    self.release(chat);
                }
                Task::Confirm(chat) => drop(self.confirmations.insert(chat, Duration::ZERO)),
                Task::Sweep(_) => self.sweep = Recurring::due_now(),
                Task::Lines => self.lines = Recurring::due_now(),
                Task::Webhooks => self.webhooks = Recurring::due_now(),
                Task::Listing | Task::Probe { .. } => {}
            }
        }
        self.blocked_since = None;
    }

    /// The name of the account, as labels and logs have it.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The ledger, to look at.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is to be logged.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    fn interval(&self) -> i64 {
        millis(self.options.interval)
    }

    fn server_now(&self, mono: Duration) -> Option<i64> {
        self.clock.at(mono)
    }

    /// What is to be written now, if anything changed and nothing is being written. The caller must answer with
    /// [`Engine::committed`].
    pub fn take_commit(&mut self, now: Now) -> Option<Commit> {
        if self.committing || now.mono < self.commit_not_before || !self.ledger.is_changed() {
            return None;
        }
        let server = self.server_now(now.mono).unwrap_or_else(|| self.ledger.shown_at());
        self.ledger.prune(server);
        self.ledger.place_messages();
        let snapshot = self.ledger.snapshot(server);
        let delta = self.ledger.delta();
        // It builds every sum from scratch, which costs more than the commit: one in eight will do.
        debug_assert!(server % 8 != 0 || self.ledger.verify() == Ok(()), "{:?}", self.ledger.verify());
        self.committing = true;
        Some(Commit { delta, snapshot, is_up: self.is_up })
    }

    /// How a commit went. What it held is shown only now, or written again with the next one.
    pub fn committed(&mut self, commit: Commit, result: Result<u64, ()>, seconds: f64, now: Now) {
        self.committing = false;
        match result {
            Ok(bytes) => {
                self.ledger.record_commit(seconds);
                self.shown = commit.snapshot;
                (self.health.state_writable, self.health.state_bytes) = (true, bytes);
                if commit.is_up && self.is_up {
                    (self.health.up, self.health.problem) = (true, None);
                }
            }
            Err(()) => {
                self.ledger.restore_delta(&commit.delta);
                (self.health.state_writable, self.health.up) = (false, false);
                // The disk is not hammered: what is to be written only grows meanwhile.
                self.commit_not_before = now.mono + self.options.interval.min(Duration::from_secs(5));
            }
        }
        self.must_publish = true;
    }

    /// Earlier commits are not in the store any more: the next one holds everything.
    pub fn record_lost_commits(&mut self) {
        self.ledger.record_lost_commits();
        self.commit_not_before = Duration::ZERO;
    }

    /// Whether a commit was taken that has not been answered.
    pub fn is_committing(&self) -> bool {
        self.committing
    }

    /// The view to show, if there is a newer one.
    pub fn take_view(&mut self, now: Now) -> Option<View> {
        if !std::mem::take(&mut self.must_publish) {
            return None;
        }
        self.refresh_health();
        self.health.clock_offset = self.clock.offset_from(now.host, now.mono);
        self.version += 1;
        Some(View {
            account: self.account.clone(),
            version: self.version,
            snapshot: self.shown.clone(),
            health: self.health.clone(),
        })
    }

    fn refresh_health(&mut self) {
        let chats = self.ledger.chats();
        let deferred = chats.waiting_count() + chats.unread_count();
        self.health.deferred = deferred as u64 + self.health.rejected_rows.count();
    }
}

#[cfg(test)]
mod tests;
