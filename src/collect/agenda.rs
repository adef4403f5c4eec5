//! What to do next. Pure: the ledger and the time are arguments.
//!
//! Requests are scarce, so they go where freshness gains most: the first page of the list, then chats that
//! changed (most recent first), then open messages, then probes, then the full listing and the audits.
//! What does not fit waits; nothing is dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::directory::Directory;
use super::{Options, millis};
use crate::domain::{ChatKey, Ledger, LineId, MessageId, SweepResult};
use crate::mutant::{self, Mutant};

/// Requests under way at a time: enough that one that hangs does not stop the others.
const PARALLEL: usize = 4;
/// Of those, how many may be background work.
const BACKGROUND: usize = 2;
/// Longest wait before a message that stays open is asked for again.
const LONGEST_RECHECK: i64 = 6 * 3600 * 1000;
/// Longest wait before a chat that fails is read again.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);
/// Longest time between two looks at which open messages are due.
const LOOK: Duration = Duration::from_secs(5);
/// Most ids that one re-check asks for.
const RECHECK: usize = 100;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// List the most recent chats.
    Sweep,
    /// End the sweep: commit and show it.
    Close(SweepResult),
    /// Read a chat that changed.
    Read(ChatKey),
    /// Read a chat back to the floor.
    Audit(ChatKey),
    /// Ask for open messages of a chat.
    Recheck(ChatKey, Vec<MessageId>),
    /// Ask for the lines.
    Numbers,
    /// List one more page of all chats.
    Walk,
    /// Probe the device of a line, with a chat of it.
    Probe(LineId, ChatKey),
}

/// How a read of a chat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// Everything was read.
    Done,
    /// It was read, but is not yet what the list says: a replica lags, or a row is broken.
    Behind,
    /// It was read, but the list counts other messages than were found: some came late, were deleted, or
    /// are held back by a replica. It is read again, deeply, when a replica has had time to catch up.
    Doubtful,
    /// The account was told to pause, which says nothing of the chat.
    Paused,
    /// It could not be read.
    Failed,
}

struct Backoff {
    failures: u32,
    until: Duration,
}

enum Phase {
    Idle,
    Listing,
    Reading { troubled: bool },
    Closing,
}

/// The schedule of one account. Times are since the collector's start.
pub struct Agenda {
    options: Options,
    phase: Phase,
    next_sweep: Duration,
    refused_in_a_row: u32,
    blocked: bool,
    reading: BTreeSet<ChatKey>,
    running: usize,
    backoff: BTreeMap<ChatKey, Backoff>,
    rechecks: VecDeque<(ChatKey, Vec<MessageId>)>,
    rechecking: BTreeSet<ChatKey>,
    next_look: Duration,
    audits: VecDeque<ChatKey>,
    audits_left: u64,
    next_walk: Duration,
    walking: bool,
    next_numbers: Option<Duration>,
    asking_numbers: bool,
    probes: BTreeMap<LineId, Duration>,
    probing: bool,
    unfit_for_probes: BTreeSet<ChatKey>,
}

impl Agenda {
    /// Everything is due.
    pub fn new(options: Options) -> Agenda {
        Agenda {
            options,
            phase: Phase::Idle,
            next_sweep: Duration::ZERO,
            refused_in_a_row: 0,
            blocked: true,
            reading: BTreeSet::new(),
            running: 0,
            backoff: BTreeMap::new(),
            rechecks: VecDeque::new(),
            rechecking: BTreeSet::new(),
            next_look: Duration::ZERO,
            audits: VecDeque::new(),
            audits_left: 0,
            next_walk: Duration::ZERO,
            walking: false,
            next_numbers: Some(Duration::ZERO),
            asking_numbers: false,
            probes: BTreeMap::new(),
            probing: false,
            unfit_for_probes: BTreeSet::new(),
        }
    }

    /// The next thing to do at `now` (`server_now` in unix ms), if there is one. It counts as begun.
    pub fn next(
        &mut self,
        now: Duration,
        server_now: i64,
        ledger: &Ledger,
        directory: &Directory,
    ) -> Option<Job> {
        let sweep_due = now >= self.next_sweep;
        match self.phase {
            Phase::Idle if sweep_due => {
                self.phase = Phase::Listing;
                self.next_sweep = now + self.options.interval;
                self.running += 1;
                return Some(Job::Sweep);
            }
            Phase::Reading { .. } if sweep_due => return Some(self.close(SweepResult::Partial)),
            _ => {}
        }
        if self.blocked || self.running >= PARALLEL {
            return None;
        }
        if let Some(key) = self.most_recent_changed(now, ledger, directory) {
            self.reading.insert(key);
            self.running += 1;
            return Some(Job::Read(key));
        }
        if let Phase::Reading { troubled } = self.phase
            && !ledger.changed().iter().any(|key| self.reading.contains(key))
        {
            let result = if troubled { SweepResult::Partial } else { SweepResult::Complete };
            return Some(self.close(result));
        }
        if self.running >= BACKGROUND {
            return None;
        }
        let job = self.background(now, server_now, ledger, directory);
        self.running += usize::from(job.is_some());
        job
    }

    /// When [`Agenda::next`] may have something without anything having finished before.
    pub fn wake(&self, now: Duration) -> Duration {
        let mut wake = now + LOOK;
        if !matches!(self.phase, Phase::Listing | Phase::Closing) {
            wake = wake.min(self.next_sweep);
        }
        if !self.blocked && self.running < BACKGROUND {
            let due = [self.next_look, self.next_walk].into_iter();
            let due = due.chain(self.next_numbers).chain(self.probes.values().copied());
            let due = due.chain(self.backoff.values().map(|backoff| backoff.until));
            wake = due.filter(|due| *due > now).fold(wake, Duration::min);
        }
        wake
    }

    fn close(&mut self, result: SweepResult) -> Job {
        self.phase = Phase::Closing;
        self.running += 1;
        Job::Close(result)
    }

    fn is_ready(&self, key: ChatKey, now: Duration, directory: &Directory) -> bool {
        !self.reading.contains(&key)
            && directory.chats.contains_key(&key)
            && self.backoff.get(&key).is_none_or(|backoff| backoff.until <= now)
    }

    fn most_recent_changed(&self, now: Duration, ledger: &Ledger, directory: &Directory) -> Option<ChatKey> {
        let ready = ledger.changed().iter().copied().filter(|key| self.is_ready(*key, now, directory));
        ready.max_by_key(|key| ledger.chats().get(key).map(|chat| chat.listed.last_at))
    }

    fn background(
        &mut self,
        now: Duration,
        server_now: i64,
        ledger: &Ledger,
        directory: &Directory,
    ) -> Option<Job> {
        if self.rechecks.is_empty() && now >= self.next_look {
            self.next_look = now + self.options.interval.min(LOOK);
            self.rechecks = due_rechecks(server_now, ledger, directory, &self.rechecking);
        }
        if let Some((chat, ids)) = self.rechecks.pop_front() {
            self.rechecking.insert(chat);
            return Some(Job::Recheck(chat, ids));
        }
        if !self.asking_numbers && self.next_numbers.is_some_and(|due| now >= due) {
            self.asking_numbers = true;
            return Some(Job::Numbers);
        }
        if let Some(job) = self.next_probe(now, ledger, directory) {
            return Some(job);
        }
        if !self.walking && now >= self.next_walk && !mutant::is(Mutant::NoFullSweep) {
            self.walking = true;
            return Some(Job::Walk);
        }
        while let Some(key) = self.audits.pop_front() {
            let unread = ledger.chats().get(&key).is_some_and(|chat| chat.audited_at == 0);
            if !self.is_ready(key, now, directory) || !wants_audit(&self.options, server_now, ledger, key) {
                continue;
            }
            if !unread && self.audits_left == 0 {
                self.audits.push_front(key);
                break;
            }
            self.audits_left -= u64::from(!unread);
            self.reading.insert(key);
            return Some(Job::Audit(key));
        }
        None
    }

    fn next_probe(&mut self, now: Duration, ledger: &Ledger, directory: &Directory) -> Option<Job> {
        if self.probing || self.options.probe_interval.is_zero() {
            return None;
        }
        for (line, _) in ledger.lines() {
            let stagger = Duration::from_secs(self.probes.len() as u64);
            self.probes.entry(line).or_insert(now + stagger);
        }
        let (line, due) = self.probes.iter_mut().min_by_key(|(_, due)| **due)?;
        if *due > now {
            return None;
        }
        *due = now + self.options.probe_interval;
        let line = *line;
        let of_line = ledger.chats().iter().filter(|(key, chat)| {
            chat.line == Some(line)
                && directory.chats.contains_key(key)
                && !self.unfit_for_probes.contains(key)
        });
        let chosen = |key: &ChatKey| {
            directory
                .chats
                .get(key)
                .is_some_and(|id| self.options.probe_chats.iter().any(|c| c == id.expose()))
        };
        let chat = of_line.max_by_key(|(key, chat)| (chosen(key), chat.listed.last_at)).map(|(key, _)| *key);
        match chat {
            Some(chat) => {
                self.probing = true;
                Some(Job::Probe(line, chat))
            }
            None => {
                // No chat of the line is known yet: look again with the next sweep.
                self.probes.insert(line, now + self.options.interval);
                None
            }
        }
    }

    /// The list was read.
    pub fn listed(&mut self, server_now: i64, ledger: &Ledger) {
        self.running -= 1;
        self.blocked = false;
        self.refused_in_a_row = 0;
        self.phase = Phase::Reading { troubled: false };
        let active =
            ledger.chats().values().filter(|chat| chat.may_hold_after(ledger.progress().floor)).count();
        let share = self.options.interval.as_secs_f64() / self.options.audit_interval.as_secs_f64();
        self.audits_left = 1 + (2.0 * active as f64 * share) as u64;
        if self.audits.is_empty() && !mutant::is(Mutant::NoAudit) {
            self.audits = due_audits(&self.options, server_now, ledger);
        }
    }

    /// The list could not be read. Nothing else is asked until it can.
    pub fn not_listed(&mut self, now: Duration, refused: bool) -> Job {
        self.running -= 1;
        self.blocked = true;
        if refused {
            // A refused key mends only by a person: ask ever more rarely, but find out within minutes.
            let longest = (self.options.interval * 10).clamp(self.options.interval, Duration::from_secs(300));
            let factor = 2u32.pow(self.refused_in_a_row.min(8));
            self.refused_in_a_row += 1;
            self.next_sweep = now + (self.options.interval * factor).min(longest.max(self.options.interval));
        }
        self.close(SweepResult::Failed)
    }

    /// The sweep was committed.
    pub fn closed(&mut self) {
        self.running -= 1;
        self.phase = Phase::Idle;
    }

    /// A read or an audit of a chat ended.
    pub fn read(&mut self, key: ChatKey, end: ReadEnd, now: Duration) {
        self.running -= 1;
        self.reading.remove(&key);
        if end == ReadEnd::Done {
            self.backoff.remove(&key);
            return;
        }
        let failures = self.failures(key) + u32::from(end != ReadEnd::Paused);
        // A replica that lags is seldom behind twice: what it holds back must not wait ever longer for it.
        let doublings = if end == ReadEnd::Failed { failures.saturating_sub(1).min(10) } else { 0 };
        let wait = self.options.interval * 2u32.pow(doublings);
        let wait = wait.min(LONGEST_BACKOFF.max(self.options.interval));
        // A little less than the interval, so that the next sweep finds it ready.
        let until = now + wait.mul_f64(0.9);
        self.backoff.insert(key, Backoff { failures, until });
        if let Phase::Reading { troubled } = &mut self.phase
            && end != ReadEnd::Doubtful
        {
            *troubled = true;
        }
    }

    /// How often in a row a chat was not read to its end.
    pub fn failures(&self, key: ChatKey) -> u32 {
        self.backoff.get(&key).map_or(0, |backoff| backoff.failures)
    }

    /// A re-check ended.
    pub fn rechecked(&mut self, chat: ChatKey) {
        self.running -= 1;
        self.rechecking.remove(&chat);
    }

    /// A page of the full listing was read, or the whole of it, or it failed.
    pub fn walked(&mut self, now: Duration, step: WalkEnd) {
        self.running -= 1;
        self.walking = false;
        self.next_walk = match step {
            WalkEnd::More => now,
            WalkEnd::Done => now + self.options.full_interval,
            WalkEnd::Failed => now + self.options.interval.min(self.options.full_interval),
        };
    }

    /// The lines were asked for. `served` is false when the server does not know the endpoint.
    pub fn numbers_asked(&mut self, now: Duration, served: bool) {
        self.running -= 1;
        self.asking_numbers = false;
        let every = match self.options.probe_interval {
            Duration::ZERO => self.options.full_interval,
            probes => probes,
        };
        self.next_numbers = served.then_some(now + every);
    }

    /// A probe ended. `fit` is false when the chat turned out not to be there any more.
    pub fn probed(&mut self, line: LineId, chat: ChatKey, fit: bool, now: Duration) {
        self.running -= 1;
        self.probing = false;
        if !fit {
            self.unfit_for_probes.insert(chat);
            self.probes.insert(line, now + self.options.interval);
        }
    }

    /// Forgets a chat that is gone.
    pub fn forget(&mut self, key: ChatKey) {
        self.backoff.remove(&key);
        self.unfit_for_probes.remove(&key);
    }
}

/// How a step of the full listing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// There are more pages.
    More,
    /// It is over.
    Done,
    /// It failed and starts anew.
    Failed,
}

/// When an open message of this age is asked for again, in ms: young ones often, old ones rarely, and once
/// more at the horizon, where it is given up.
pub fn recheck_after(age: i64, interval: i64, horizon: i64) -> i64 {
    let wait = (age / 2).clamp(interval, LONGEST_RECHECK.max(interval));
    if age < horizon { wait.min((horizon - age).max(1)) } else { wait }
}

/// The open messages that are due, by chat, the youngest first.
fn due_rechecks(
    server_now: i64,
    ledger: &Ledger,
    directory: &Directory,
    rechecking: &BTreeSet<ChatKey>,
) -> VecDeque<(ChatKey, Vec<MessageId>)> {
    let mut due: BTreeMap<ChatKey, (i64, Vec<(i64, MessageId)>)> = BTreeMap::new();
    for (id, open) in ledger.open() {
        let known = directory.chats.contains_key(&open.chat) && !rechecking.contains(&open.chat);
        if open.due > server_now || !known {
            continue;
        }
        let Some(sent_at) = ledger.tracked(*id).map(|tracked| tracked.sent_at) else { continue };
        let (youngest, ids) = due.entry(open.chat).or_default();
        *youngest = (*youngest).max(sent_at);
        ids.push((sent_at, *id));
    }
    let mut due: Vec<_> = due.into_iter().collect();
    due.sort_by_key(|(key, (youngest, _))| (std::cmp::Reverse(*youngest), *key));
    let ids = |mut ids: Vec<(i64, MessageId)>| {
        ids.sort_unstable();
        ids.truncate(RECHECK);
        ids.into_iter().map(|(_, id)| id).collect()
    };
    due.into_iter().map(|(key, (_, due))| (key, ids(due))).collect()
}

/// The chats that want a deep read: those never read whose messages the gauges should show, most recent
/// first; then the active ones whose last deep read is oldest.
fn due_audits(options: &Options, server_now: i64, ledger: &Ledger) -> VecDeque<ChatKey> {
    let due = ledger.chats().iter().filter(|(key, _)| wants_audit(options, server_now, ledger, **key));
    let mut due: Vec<_> =
        due.map(|(key, chat)| (chat.audited_at, std::cmp::Reverse(chat.listed.last_at), *key)).collect();
    due.sort_unstable();
    due.into_iter().map(|(_, _, key)| key).collect()
}

fn wants_audit(options: &Options, server_now: i64, ledger: &Ledger, key: ChatKey) -> bool {
    ledger.chats().get(&key).is_some_and(|chat| {
        let is_old = server_now - chat.audited_at >= millis(options.audit_interval);
        let is_active = chat.may_hold_after(ledger.progress().floor);
        chat.changed_since.is_none() && (is_unread(options, server_now, chat) || (is_active && is_old))
    })
}

/// A chat that was never read and may hold messages that the gauges should show.
pub fn is_unread(options: &Options, server_now: i64, chat: &crate::domain::Chat) -> bool {
    chat.audited_at == 0 && chat.may_hold_after(server_now - options.history())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_messages_are_asked_for_ever_more_rarely_and_once_more_at_the_horizon() {
        let (interval, horizon) = (30_000, 72 * 3_600_000);
        let (mut age, mut asked) = (0, 0);
        while age < horizon {
            age += recheck_after(age, interval, horizon);
            asked += 1;
        }
        assert_eq!(age, horizon);
        assert!(asked < 35, "{asked} requests for a message that never ends");
        assert_eq!(recheck_after(10_000, interval, horizon), interval);
    }
}
