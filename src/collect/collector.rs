//! The loop of one account: sends what the engine asks for, writes what it wants committed, shows what is committed.
//!
//! It decides nothing. Requests that finish while a commit is being written share the next one.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::conditions::Conditions;
use super::engine::{Commit, Engine, Now, Ticket, Timing};
use super::{IdHasher, Options};
use crate::api::{Attempt, Request, Transport, attempt};
use crate::clock::Clock;
use crate::domain::Ledger;
use crate::feed::Hints;
use crate::lease::LeaseCheck;
use crate::metrics::Slot;
use crate::store::{Store, StoreError};

/// Collects one account, for as long as [`Collector::run`] is polled.
pub struct Collector<T, S> {
    transport: T,
    clock: Clock,
    engine: Engine,
    conditions: Conditions,
    /// Absent while a commit has it.
    store: Option<S>,
    slot: Slot,
    epoch: Instant,
    hints: Option<Arc<Hints>>,
    lease: LeaseCheck,
}

/// Why [`Collector::run`] came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop.
    Stopped,
    /// Another replica holds the account: nothing that this collector holds may be used again.
    Fenced,
    /// The writer of a commit ended without an answer.
    Failed,
    /// The lease cannot be relied on at the moment.
    Lapsed,
}

/// Longest time between two looks at whether a lease is still valid: the wall clock can be set.
const LEASE_LOOK: Duration = Duration::from_millis(250);

/// Least time between two looks at what events announced: a flood of them is taken in together.
const LISTEN: Duration = Duration::from_millis(50);

/// What is watched, and how.
pub struct Watch<'a> {
    /// The name of the account, as labels and logs have it.
    pub account: &'a str,
    /// The host's clock, which tests replace.
    pub clock: Clock,
    /// Where views are shown.
    pub slot: Slot,
    /// Hashes the API's ids.
    pub hasher: IdHasher,
    /// How it is collected.
    pub options: Options,
}

/// A commit under way.
struct Writing<S> {
    commit: Commit,
    began: Instant,
    written: JoinHandle<(S, Result<(), StoreError>)>,
}

impl<T: Transport, S: Store> Collector<T, S> {
    /// A collector that starts with everything due, and shows the state as it was restored.
    pub fn new(watch: Watch<'_>, transport: T, ledger: Ledger, store: S) -> Collector<T, S> {
        let Watch { account, clock, slot, hasher, options } = watch;
        let engine = Engine::new(account, options, hasher, ledger, store.size());
        let conditions = Conditions::new(account);
        let epoch = Instant::now();
        let mut collector = Collector {
            transport,
            clock,
            engine,
            conditions,
            store: Some(store),
            slot,
            epoch,
            hints: None,
            lease: LeaseCheck::unlimited(),
        };
        collector.publish();
        collector
    }

    /// The same collector, which also follows the webhook feed whose events wait in `hints`, or follows none. A feed is trusted
    /// after it announced, for as long as `window`, everything that polling found; one that was followed before stays as trusted as it
    /// is.
    #[must_use]
    pub fn following(mut self, hints: Option<Arc<Hints>>, window: Duration) -> Collector<T, S> {
        let now = self.now();
        match (self.hints.is_some(), hints.is_some()) {
            (false, true) => self.engine.follow(window, now),
            (true, false) => self.engine.unfollow(now),
            (true, true) | (false, false) => {}
        }
        self.hints = hints;
        self.publish();
        self
    }

    /// The same collector, which works only while a lease is valid.
    #[must_use]
    pub fn under(mut self, lease: LeaseCheck) -> Collector<T, S> {
        self.lease = lease;
        self
    }

    /// The same collector with another transport and other options: nothing that it holds is lost, and everything is due.
    #[must_use]
    pub fn reconfigured(mut self, transport: T, options: Options) -> Collector<T, S> {
        self.transport = transport;
        let now = self.now();
        self.engine.reconfigure(options, now);
        self.publish();
        self
    }

    /// Collects until `stop` completes; it can then be run again. While the lease cannot be relied on, nothing is requested and
    /// nothing committed. Dropping it at any moment is safe as well, when it is not run again: what is not committed is read
    /// again after the next start.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> Ended {
        let mut stop = pin!(stop);
        loop {
            let ended = self.work(stop.as_mut()).await;
            if ended != Ended::Lapsed {
                return ended;
            }
            let lease = self.lease.clone();
            tokio::select! {
                biased;
                () = &mut stop => return Ended::Stopped,
                () = valid_again(&lease) => {}
            }
        }
    }

    async fn work(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Ended {
        let lease = self.lease.clone();
        let mut requests = FuturesUnordered::new();
        let mut writing: Option<Writing<S>> = None;
        let hints = self.hints.clone();
        let mut listen_at = Instant::now();
        let mut ended = loop {
            let now = now(self.clock, self.epoch);
            if !lease.is_valid() {
                break Ended::Lapsed;
            }
            while let Some((ticket, request)) = self.engine.next(now) {
                requests.push(send(&self.transport, &lease, self.clock, self.epoch, ticket, request));
            }
            // What was committed is shown before more is written.
            publish(&mut self.engine, &self.slot, now);
            if writing.is_none() {
                writing = begin_commit(&mut self.engine, &mut self.store, now);
            }
            for note in self.engine.take_notes() {
                self.conditions.tell(&note);
            }
            let wake = self.epoch + self.engine.wake(now);
            tokio::select! {
                biased;
                () = &mut stop => break Ended::Stopped,
                () = lapsed(&lease) => break Ended::Lapsed,
                written = finish(&mut writing) => {
                    let Some(written) = written else { break Ended::Failed };
                    if end_commit(&mut self.engine, &mut self.store, &mut self.conditions, written, self.clock, self.epoch) {
                        break Ended::Fenced;
                    }
                }
                Some((ticket, answer, timing)) = requests.next(), if !requests.is_empty() => {
                    self.engine.absorb(ticket, answer, timing, self::now(self.clock, self.epoch));
                }
                () = heard(hints.as_deref(), listen_at) => {
                    listen_at = Instant::now() + LISTEN;
                    let taken = hints.as_ref().map(|hints| hints.take()).unwrap_or_default();
                    self.engine.hint(taken, self::now(self.clock, self.epoch));
                }
                () = sleep_until(wake) => {}
            }
        };
        drop(requests);
        self.engine.abandon();
        // A commit under way comes to its end: an engine that goes on depends on whether it was written.
        if writing.is_some()
            && let Some(written) = finish(&mut writing).await
        {
            let (clock, epoch) = (self.clock, self.epoch);
            if end_commit(&mut self.engine, &mut self.store, &mut self.conditions, written, clock, epoch) {
                ended = Ended::Fenced;
            }
            self.publish();
        }
        ended
    }

    fn now(&self) -> Now {
        now(self.clock, self.epoch)
    }

    fn publish(&mut self) {
        let now = self.now();
        publish(&mut self.engine, &self.slot, now);
    }
}

fn now(clock: Clock, epoch: Instant) -> Now {
    Now { mono: epoch.elapsed(), host: clock.now() }
}

fn publish(engine: &mut Engine, slot: &Slot, now: Now) {
    if let Some(view) = engine.take_view(now) {
        slot.publish(view);
    }
}

/// Waits until events announced something, and not before `from`.
async fn heard(hints: Option<&Hints>, from: Instant) {
    let Some(hints) = hints else { return pending().await };
    sleep_until(from).await;
    hints.wait().await;
}

/// Waits until a lease cannot be relied on any more.
async fn lapsed(lease: &LeaseCheck) {
    while let Some(remaining) = lease.remaining() {
        if remaining.is_zero() {
            return;
        }
        sleep(remaining.min(LEASE_LOOK)).await;
    }
    pending().await
}

/// Waits until a lease can be relied on again.
async fn valid_again(lease: &LeaseCheck) {
    while !lease.is_valid() {
        sleep(LEASE_LOOK).await;
    }
}

async fn send<T: Transport>(
    transport: &T,
    lease: &LeaseCheck,
    clock: Clock,
    epoch: Instant,
    ticket: Ticket,
    request: Request,
) -> (Ticket, Attempt, Timing) {
    if !lease.is_valid() {
        // Two holders would request at twice the rate. The loop notices the same and drops this.
        return pending().await;
    }
    let answer = attempt(transport, clock, &request).await;
    let since = |moment: Instant| moment.saturating_duration_since(epoch);
    let timing = Timing { sent: since(answer.sent), received: since(answer.received) };
    (ticket, answer, timing)
}

/// Begins to write what changed. The write runs to its end even if the collector is dropped: a commit is never left half
/// done.
fn begin_commit<S: Store>(engine: &mut Engine, store: &mut Option<S>, now: Now) -> Option<Writing<S>> {
    let mut held = store.take()?;
    let Some(commit) = engine.take_commit(now) else {
        *store = Some(held);
        return None;
    };
    let delta = commit.delta.clone();
    let written = tokio::task::spawn_blocking(move || {
        let result = held.commit(&delta);
        (held, result)
    });
    Some(Writing { commit, began: Instant::now(), written })
}

/// A commit that was written, or not.
struct Written<S> {
    commit: Commit,
    took: Duration,
    store: S,
    result: Result<(), StoreError>,
}

/// Waits for the commit under way. `None` when its writer ended without an answer: the store is lost with it, and the
/// loop must end rather than look healthy.
async fn finish<S>(writing: &mut Option<Writing<S>>) -> Option<Written<S>> {
    let Some(under_way) = writing.as_mut() else { return pending().await };
    let ended = (&mut under_way.written).await;
    let Writing { commit, began, .. } = writing.take()?;
    let (store, result) = ended.ok()?;
    Some(Written { commit, took: began.elapsed(), store, result })
}

/// Takes in how a commit went. True when another replica holds the account.
fn end_commit<S: Store>(
    engine: &mut Engine,
    store: &mut Option<S>,
    conditions: &mut Conditions,
    written: Written<S>,
    clock: Clock,
    epoch: Instant,
) -> bool {
    let Written { commit, took, store: returned, result } = written;
    let size = returned.size();
    *store = Some(returned);
    match &result {
        Ok(()) => conditions.commit_succeeded(),
        Err(error) => conditions.commit_failed(error),
    }
    let is_fenced = matches!(result, Err(StoreError::Fenced { .. }));
    let is_lost = matches!(result, Err(StoreError::LostCommits { .. }));
    engine.committed(commit, result.map(|()| size).map_err(|_| ()), took.as_secs_f64(), now(clock, epoch));
    if is_lost {
        engine.record_lost_commits();
    }
    is_fenced
}
