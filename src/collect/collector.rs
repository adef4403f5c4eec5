//! The loop of one account, and its sweeps.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::agenda::{Agenda, Job, ReadEnd, WalkEnd, is_unread};
use super::conditions::Conditions;
use super::directory::{Directory, Keyring};
use super::reading::Read;
use super::recorder::{NotCommitted, Recorder};
use super::walk::{self, Step, Walk};
use super::{Options, millis};
use crate::api::{ChatRow, Client, Page, Transport};
use crate::domain::{ChatKey, Endpoint, LineId, Listing, SweepResult};
use crate::mutant::{self, Mutant};
use crate::store::Store;

/// Collects one account, for as long as [`Collector::run`] is polled.
pub struct Collector<T, S> {
    pub(super) client: Client<T>,
    pub(super) recorder: Recorder<S>,
    pub(super) keyring: Keyring,
    pub(super) options: Options,
    pub(super) conditions: Conditions,
    pub(super) directory: Mutex<Directory>,
    walk: Mutex<Option<Walk>>,
    unfinished: Mutex<BTreeMap<ChatKey, Read>>,
    /// When the newest sweep of this process asked for its list; 0 before the first.
    swept_at: AtomicI64,
    account: String,
    first_start: i64,
    epoch: Instant,
}

/// What a job found out.
enum Finished {
    Swept { asked_at: i64, began: Instant },
    NotSwept { refused: bool, trouble: String, began: Instant },
    Closed,
    Read(ChatKey, ReadEnd),
    Rechecked(ChatKey),
    Walked(WalkEnd, Vec<ChatKey>),
    Numbers { served: bool },
    Probed { line: LineId, chat: ChatKey, fit: bool },
}

/// The sweep under way.
struct Sweep {
    asked_at: i64,
    began: Instant,
    trouble: Option<String>,
}

impl<T: Transport, S: Store> Collector<T, S> {
    /// A collector that starts with everything due. `first_start` is when the account was started for the
    /// first time ever, by the local clock, unix ms.
    pub fn new(
        account: &str,
        client: Client<T>,
        recorder: Recorder<S>,
        keyring: Keyring,
        options: Options,
        first_start: i64,
    ) -> Collector<T, S> {
        recorder.health(|health| health.budget = options.budget);
        recorder.publish();
        Collector {
            client,
            recorder,
            keyring,
            options,
            conditions: Conditions::new(account),
            directory: Mutex::new(Directory::default()),
            walk: Mutex::new(None),
            unfinished: Mutex::new(BTreeMap::new()),
            swept_at: AtomicI64::new(0),
            account: account.to_owned(),
            first_start,
            epoch: Instant::now(),
        }
    }

    /// The same collector with another client and other options: nothing that it knows is lost, and everything is due.
    #[must_use]
    pub fn reconfigured(
        mut self,
        client: impl FnOnce(Client<T>) -> Client<T>,
        options: Options,
    ) -> Collector<T, S> {
        self.client = client(self.client);
        self.recorder.with(|ledger| ledger.set_policy(options.policy()));
        self.recorder.health(|health| health.budget = options.budget);
        self.recorder.publish();
        self.options = options;
        self.walk = Mutex::new(None);
        self
    }

    /// Collects until `stop` completes; it can then be run again. Dropping it at any moment is safe as well, when it is
    /// not run again: what is not committed is read again after the next start.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut agenda = Agenda::new(self.options.clone());
        let mut sweep = None;
        let mut work: FuturesUnordered<BoxFuture<'_, Finished>> = FuturesUnordered::new();
        loop {
            while let Some(job) = self.next(&mut agenda) {
                work.push(self.perform(job, &mut sweep, &agenda));
            }
            let wake = self.epoch + agenda.wake(self.epoch.elapsed());
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(finished) = work.next(), if !work.is_empty() => {
                    if let Some(job) = self.settle(&mut agenda, &mut sweep, finished) {
                        work.push(self.perform(job, &mut sweep, &agenda));
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
        // A commit under way comes to its end: a ledger that goes on must know whether it was written.
        poll_fn(|context| {
            while self.recorder.is_committing() {
                if work.poll_next_unpin(context).is_pending() && self.recorder.is_committing() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    fn next(&self, agenda: &mut Agenda) -> Option<Job> {
        let (now, server_now) = (self.epoch.elapsed(), self.client.server_now());
        let directory = self.directory();
        self.recorder.with(|ledger| agenda.next(now, server_now, ledger, &directory))
    }

    fn perform(&self, job: Job, sweep: &mut Option<Sweep>, agenda: &Agenda) -> BoxFuture<'_, Finished> {
        match job {
            Job::Sweep => Box::pin(self.sweep()),
            Job::Close(result) => {
                let sweep = sweep.take();
                Box::pin(self.close(result, sweep))
            }
            Job::Read(key) => {
                let failures = agenda.failures(key);
                Box::pin(async move { Finished::Read(key, self.read(key, false, failures).await) })
            }
            Job::Audit(key) => {
                let failures = agenda.failures(key);
                Box::pin(async move { Finished::Read(key, self.read(key, true, failures).await) })
            }
            Job::Recheck(key, ids) => Box::pin(async move {
                self.recheck(key, ids).await;
                Finished::Rechecked(key)
            }),
            Job::Walk => Box::pin(self.walk_on()),
            Job::Numbers => Box::pin(async move { Finished::Numbers { served: self.ask_numbers().await } }),
            Job::Probe(line, chat) => Box::pin(async move {
                let fit = self.probe(line, chat).await;
                Finished::Probed { line, chat, fit }
            }),
        }
    }

    /// Tells the agenda what was found out; what must follow at once is returned.
    fn settle(&self, agenda: &mut Agenda, sweep: &mut Option<Sweep>, finished: Finished) -> Option<Job> {
        let now = self.epoch.elapsed();
        match finished {
            Finished::Swept { asked_at, began } => {
                *sweep = Some(Sweep { asked_at, began, trouble: None });
                let server_now = self.client.server_now();
                self.recorder.with(|ledger| agenda.listed(server_now, ledger));
            }
            Finished::NotSwept { refused, trouble, began } => {
                *sweep = Some(Sweep { asked_at: 0, began, trouble: Some(trouble) });
                return Some(agenda.not_listed(now, refused));
            }
            Finished::Closed => agenda.closed(),
            Finished::Read(key, end) => agenda.read(key, end, now),
            Finished::Rechecked(key) => agenda.rechecked(key),
            Finished::Walked(end, gone) => {
                for key in gone {
                    agenda.forget(key);
                }
                agenda.walked(now, end);
            }
            Finished::Numbers { served } => agenda.numbers_asked(now, served),
            Finished::Probed { line, chat, fit } => agenda.probed(line, chat, fit, now),
        }
        None
    }

    /// Lists the most recent chats, as far down as they changed.
    async fn sweep(&self) -> Finished {
        let began = Instant::now();
        let (mut offset, mut first_asked_at) = (0, None);
        let recent = self.listed_through() - 2 * self.interval();
        loop {
            let answer = match offset {
                0 => self.client.newest_chats().await,
                _ => self.client.list_chats(offset).await,
            };
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.conditions.failed(&error);
                    let trouble = format!("{error}; {}", error.advice());
                    return Finished::NotSwept { refused: error.is_auth(), trouble, began };
                }
            };
            self.conditions.succeeded(Endpoint::ListChats);
            self.begin();
            let asked_at = *first_asked_at.get_or_insert(answer.asked_at);
            let page = answer.value;
            let (keys, changed) = self.take_in(Endpoint::ListChats, &page);
            if let Some(walk) = self.walk().as_mut() {
                walk.also(keys.iter().copied());
            }
            self.recorder.health(|health| health.chats = page.total.or(health.chats));
            let end = page.is_empty() || page.total.is_some_and(|total| offset + page.len() as u64 >= total);
            // Changed chats stand at the top. Only where they reach down to the page's end may there be
            // more on the next one; and where the page's end is as recent as the sweep before, because rows
            // that are dated ahead, or were seen in time, may stand above one that was not. What hides
            // further down is found by the full listing.
            let tail = changed.len().saturating_sub(walk::OVERLAP);
            let is_recent = page.rows.last().is_some_and(|row| row.last_at > recent);
            let stops = mutant::is(Mutant::StopAtFirstUnchanged) && changed.contains(&false);
            if end || stops || !(is_recent || changed[tail..].contains(&true)) {
                self.swept_at.store(asked_at, Ordering::Relaxed);
                return Finished::Swept { asked_at, began };
            }
            offset += walk::stride(page.len());
        }
    }

    /// When the newest sweep asked for its list.
    fn listed_through(&self) -> i64 {
        match self.swept_at.load(Ordering::Relaxed) {
            0 => self.recorder.with(|ledger| ledger.progress().last_success),
            at => at,
        }
    }

    /// Fixes what is history, at the first answer ever: it tells how the server's clock stands to ours.
    fn begin(&self) {
        let offset = self.client.clock_offset().unwrap_or(0);
        self.recorder.with(|ledger| ledger.begin(self.first_start + offset));
    }

    /// Hands rows of the chat list to the ledger. Returns their keys, and which of them say something new.
    pub(super) fn take_in(&self, endpoint: Endpoint, page: &Page<ChatRow>) -> (Vec<ChatKey>, Vec<bool>) {
        let mut directory = self.directory();
        self.recorder.with(|ledger| {
            for refusal in &page.refused {
                ledger.note_refusal(endpoint, *refusal);
            }
            for field in &page.unknown {
                ledger.note_unknown(*field, 1);
            }
            let floor = ledger.progress().floor;
            page.rows
                .iter()
                .map(|row| {
                    let key = self.keyring.chat(&row.id);
                    let listed = Listing {
                        last_at: row.last_at,
                        last_id: row.last_message.as_ref().map(|id| self.keyring.message(id)),
                        messages: row.messages,
                        inbound: row.inbound,
                        outbound: row.outbound,
                    };
                    let is_new = !ledger.chats().contains_key(&key);
                    let changed = ledger.note_listed(key, row.kind, listed);
                    let may_count = ledger.chats().get(&key).is_some_and(|chat| chat.may_hold_after(floor));
                    if changed && (!is_new || may_count) {
                        ledger.mark_changed(key, is_new);
                    }
                    directory.chats.entry(key).or_insert_with(|| row.id.clone());
                    (key, changed)
                })
                .unzip()
        })
    }

    /// Ends a sweep: commits what the list said and shows it.
    async fn close(&self, result: SweepResult, sweep: Option<Sweep>) -> Finished {
        let now = self.client.server_now();
        let Some(sweep) = sweep else { return Finished::Closed };
        let seconds = sweep.began.elapsed().as_secs_f64();
        let deferred = self.recorder.with(|ledger| {
            ledger.note_sweep(result, sweep.asked_at, now, seconds);
            let unread = ledger
                .chats()
                .iter()
                .filter(|(key, chat)| is_unread(&self.options, now, chat) && !ledger.changed().contains(key));
            (ledger.changed().len() + unread.count()) as u64
        });
        self.recorder.health(|health| {
            health.up = result == SweepResult::Complete;
            health.deferred = deferred;
            health.clock_offset = self.client.clock_offset().unwrap_or(0);
            health.trouble = match result {
                SweepResult::Complete => None,
                SweepResult::Partial => Some(format!("{deferred} chats are still to be read")),
                SweepResult::Failed => sweep.trouble,
            };
        });
        let committed = self.commit().await;
        if committed.is_ok() && result != SweepResult::Failed {
            self.recorder.health(|health| health.swept = true);
            self.recorder.publish();
        }
        tracing::debug!(
            account = self.account,
            result = if committed.is_ok() { result.as_str() } else { "not committed" },
            seconds,
            deferred,
            "sweep"
        );
        Finished::Closed
    }

    /// Lists one more page of all chats, and draws the conclusions when it was the last one.
    async fn walk_on(&self) -> Finished {
        let offset = self.walk().get_or_insert_default().offset();
        let answer = match self.client.list_chats(offset).await {
            Ok(answer) => answer,
            Err(error) => {
                self.conditions.failed(&error);
                *self.walk() = None;
                return Finished::Walked(WalkEnd::Failed, Vec::new());
            }
        };
        let page = answer.value;
        let (keys, _) = self.take_in(Endpoint::ListChats, &page);
        let (step, started, listed) = {
            let mut walk = self.walk();
            let Some(under_way) = walk.as_mut() else {
                return Finished::Walked(WalkEnd::Failed, Vec::new());
            };
            let step = under_way.absorb(&keys, page.refused.len(), page.total, answer.asked_at);
            if step == Step::Continue {
                return Finished::Walked(WalkEnd::More, Vec::new());
            }
            let started = under_way.started().unwrap_or(answer.asked_at);
            let listed = under_way.listed().clone();
            *walk = None;
            (step, started, listed)
        };
        let mut gone = Vec::new();
        if step == (Step::Done { complete: true }) {
            let now = self.client.server_now();
            let mut directory = self.directory();
            gone = self.recorder.with(|ledger| {
                let gone = ledger.note_full_listing(&listed, started);
                ledger.advance_floor(now);
                directory.messages.retain(|id, _| ledger.open().contains_key(id));
                gone
            });
            for key in &gone {
                directory.chats.remove(key);
                self.unfinished().remove(key);
            }
        }
        Finished::Walked(WalkEnd::Done, gone)
    }

    pub(super) async fn commit(&self) -> Result<(), NotCommitted> {
        let (events, now) = (self.client.drain_events(), self.client.server_now());
        self.recorder.commit(events, now, &self.conditions).await
    }

    pub(super) fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads that an error interrupted.
    pub(super) fn unfinished(&self) -> MutexGuard<'_, BTreeMap<ChatKey, Read>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn walk(&self) -> MutexGuard<'_, Option<Walk>> {
        self.walk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn interval(&self) -> i64 {
        millis(self.options.interval)
    }
}
