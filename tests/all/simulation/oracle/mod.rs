//! Compares what the collector commits and shows with what really happened, and calls each breach by the name of
//! its invariant. It uses neither the collector's times nor its constants nor its schedule: only the options that an
//! operator sets, and the world's own clock.
//!
//! | file | what it compares |
//! |---|---|
//! | `mod` | each commit with the one before, and the counters with single messages |
//! | `waiting` | the watermark, `up` and freshness with what the API shows and is not counted yet |
//! | `page` | the published view with the committed messages and with the world |
//! | `open` | open messages and their status with the world, while traffic goes on |
//! | `ends` | every message and what messages add up to with the world's ledger, at the end of a life |
//! | `families` | requests, devices and the collection itself with the world, at the end of a life |
//! | `expected` | what single messages add up to in each family |
//! | `conversations` | the families of conversations with the order of the world's messages |
//! | `violation` | breaches, counted by kind |

mod conversations;
mod ends;
mod expected;
mod families;
mod feed;
mod open;
mod page;
pub(crate) mod violation;
mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{IdHasher, Options};
use blooio_exporter::domain::ids::BuildKeyedHasher;
use blooio_exporter::domain::{
    ChatKey, Counter, Delta, Direction, Histogram, HistogramKey, LineId, MessageId, Progress, Restored,
    Tracked, View,
};
use blooio_exporter::simulator::{Chats, World};

use super::case::{Case, Kind};
use violation::{Harm, Violations};
use waiting::{BrokenRows, Waiting};

/// The grain of `Date`, and what the host's clock and the server's may differ without being told apart.
const GRAIN: i64 = 4_000;

/// What the oracle knows of one message.
#[derive(Clone, Copy, Debug)]
struct Held {
    now: Option<Tracked>,
    last: Tracked,
    open: bool,
    counted: u32,
    ended: u32,
    counted_at: i64,
    /// Its `time_sent` at that moment: a server may rewrite it later.
    counted_sent_at: i64,
    ended_at: i64,
}

/// Figures of one life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) requests: u64,
    pub(crate) commits: u64,
    pub(crate) crashes: u64,
    /// Messages that had to be counted.
    pub(crate) messages: u64,
    pub(crate) counted: u64,
    /// Times that the watermark rose and was compared with the world.
    pub(crate) watermarks: u64,
    /// Open messages whose status was compared with the world's.
    pub(crate) open: u64,
    /// From becoming visible to the commit, ms, of messages that were on time.
    pub(crate) fresh: Vec<i64>,
    /// The same of messages late by no more than the lookback.
    pub(crate) late: Vec<i64>,
    /// From the end to the commit that counted it, ms.
    pub(crate) ends: Vec<i64>,
}

/// Chats that the list left out for a while.
#[derive(Clone, Copy, Debug)]
struct Omission {
    fault: &'static str,
    chats: Chats,
    from: i64,
    to: i64,
}

/// What the oracle knows of the life itself.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) kind: Kind,
    pub(crate) options: Options,
    /// How much later than its arrival a message may be seen by a request.
    pub(crate) api_lag: i64,
    /// How long after the end of the last fault a message may wait to be counted; none where it is not promised.
    pub(crate) resumes_within: Option<i64>,
    /// How far the server's clock is off for long enough to be believed, ms.
    pub(crate) date_error: i64,
    /// Whether a row of the list may hide that its chat has another message.
    pub(crate) may_mask: bool,
    /// The fault that some chats cannot be read for until the end.
    pub(crate) breaks_chats: Option<&'static str>,
    /// Whether messages are shown as they were before for a while.
    pub(crate) shows_old: bool,
    /// Whether rows of one life may show another line later than at first.
    pub(crate) lines_vary: bool,
}

/// The oracle of one life.
pub(crate) struct Oracle {
    pub(crate) violations: Violations,
    pub(crate) stats: Stats,
    /// Disks are whole from here on.
    pub(crate) quiet: bool,
    pub(crate) terms: Terms,
    /// Requests by endpoint, as the network saw them.
    pub(crate) asked: BTreeMap<&'static str, u64>,
    /// The same up to the newest commit.
    asked_before_commit: BTreeMap<&'static str, u64>,
    /// Requests of processes that died before they committed anything more.
    asked_in_vain: BTreeMap<&'static str, u64>,
    /// World time of the newest request for the top of the list.
    pub(crate) listed_at: i64,
    /// The same of the one before.
    pub(crate) listed_before_at: i64,
    /// World times at which messages of each chat were shown, in lives whose rows may hide some.
    pub(crate) reads: BTreeMap<String, Vec<i64>>,
    /// World time since which nothing is broken that concerns all chats.
    pub(crate) clear_since: i64,
    /// World time until which the API asked for a pause, as far as a pause is heeded.
    pub(crate) paused_until: i64,
    /// World time until which the API answers nothing else.
    pub(crate) limited_until: i64,
    /// The host's clock minus the world's, of the process that runs, ms.
    pub(crate) skew: i64,
    /// When the page last said that everything is read.
    well_at: i64,
    /// World times at which processes started.
    pub(crate) starts: Vec<i64>,
    /// The horizon of each of them, ms.
    horizons: Vec<i64>,
    /// Of each start, when the process before it last asked for the top of the list.
    listed_before_start: Vec<i64>,
    world: Arc<Mutex<World>>,
    hasher: IdHasher,
    clock: Clock,
    messages: HashMap<MessageId, Held, BuildKeyedHasher>,
    counters: BTreeMap<Counter, u64>,
    histograms: BTreeMap<HistogramKey, Histogram>,
    shown: BTreeMap<Counter, u64>,
    shown_version: u64,
    committed_at: i64,
    /// When the commit before it was made: a page of that one has the same counters where nothing was counted between.
    committed_before_at: i64,
    compared: u64,
    lines: BTreeMap<LineId, String>,
    progress: Progress,
    /// Of each chat, how far it was read and when it was last read deeply, as committed.
    read: BTreeMap<ChatKey, (i64, Option<i64>)>,
    observed: [u64; 2],
    ended: u64,
    /// Fewest and most messages that may count as late.
    late: (u64, u64),
    waiting: Waiting,
    broken_rows: BrokenRows,
    omissions: Vec<Omission>,
    /// When the first message of each chat became visible.
    began: BTreeMap<u32, i64>,
    talk: conversations::Talk,
    /// Messages that came and went between two commits.
    passed: HashSet<MessageId>,
    /// How many of them are not yet accounted for.
    unseen: u64,
    /// How many messages, or ends of messages, came and went between two commits in all.
    unseen_in_all: u64,
}

impl Oracle {
    /// Knows nothing yet. `clock` is the world's.
    pub(crate) fn new(clock: Clock, world: &Arc<Mutex<World>>, hasher: &IdHasher, case: &Case) -> Oracle {
        let resumes_within = waiting::resumes_within(case);
        Oracle {
            violations: Violations::default(),
            stats: Stats::default(),
            quiet: false,
            terms: Terms {
                kind: case.kind,
                options: case.options.clone(),
                api_lag: case.api_lag(),
                resumes_within,
                date_error: case.date_error,
                may_mask: waiting::may_mask(case),
                breaks_chats: case.breaks_chats,
                shows_old: case.brings("old-messages"),
                lines_vary: case.setup.knobs.late_lines || case.setup.knobs.dropped_keys > 0.0,
            },
            asked: BTreeMap::new(),
            asked_before_commit: BTreeMap::new(),
            asked_in_vain: BTreeMap::new(),
            listed_at: 0,
            listed_before_at: 0,
            reads: BTreeMap::new(),
            clear_since: 0,
            paused_until: 0,
            limited_until: 0,
            skew: 0,
            well_at: 0,
            starts: Vec::new(),
            horizons: Vec::new(),
            listed_before_start: Vec::new(),
            world: Arc::clone(world),
            hasher: hasher.clone(),
            clock,
            messages: HashMap::default(),
            counters: BTreeMap::new(),
            histograms: BTreeMap::new(),
            shown: BTreeMap::new(),
            shown_version: 0,
            committed_at: 0,
            committed_before_at: 0,
            compared: 0,
            lines: BTreeMap::new(),
            progress: Progress::default(),
            read: BTreeMap::new(),
            observed: [0, 0],
            ended: 0,
            late: (0, 0),
            waiting: Waiting::default(),
            broken_rows: BrokenRows::default(),
            omissions: Vec::new(),
            began: BTreeMap::new(),
            talk: conversations::Talk::default(),
            passed: HashSet::new(),
            unseen: 0,
            unseen_in_all: 0,
        }
    }

    /// The horizon of the process that ran then, ms.
    fn horizon_at(&self, time: i64) -> i64 {
        let process = self.starts.partition_point(|start| *start <= time).max(1) - 1;
        self.horizons[process]
    }

    /// Notes a breach that costs no message.
    pub(crate) fn violated(&mut self, invariant: &'static str, what: String) {
        self.harmed(invariant, Harm::Other, what);
    }

    fn harmed(&mut self, invariant: &'static str, harm: Harm, what: String) {
        let now = self.now();
        self.violations.add(invariant, harm, now, what);
    }

    fn now(&self) -> i64 {
        self.clock.now()
    }

    /// The list leaves these chats out from now on, or shows nothing new of them, because of a fault; or does no more.
    pub(crate) fn record_omission(&mut self, fault: &'static str, chats: Option<Chats>) {
        let now = self.now();
        for omission in self.omissions.iter_mut().filter(|omission| omission.fault == fault) {
            omission.to = omission.to.min(now);
        }
        self.omissions.extend(chats.map(|chats| Omission { fault, chats, from: now, to: i64::MAX }));
    }

    /// When lists left out this chat.
    fn omissions_of(&self, chat: u32) -> impl Iterator<Item = &Omission> {
        self.omissions.iter().filter(move |omission| omission.chats.contains(chat))
    }

    /// A commit reached the disk.
    pub(crate) fn committed(&mut self, delta: &Delta) {
        self.stats.commits += 1;
        let now = self.now();
        self.record_commit(now);
        let (old, new) = (self.progress, delta.progress);
        self.check_progress(old, new);
        self.check_chats(delta);
        self.progress = new;
        self.lines.extend(delta.lines.iter().cloned());
        let mut counted = Vec::new();
        for (id, held) in &delta.messages {
            let before = self.messages.get(id).map_or(0, |held| held.counted);
            self.moved(*id, *held, old.watermark);
            if self.messages.get(id).is_some_and(|held| held.counted > before) {
                counted.push(*id);
            }
        }
        self.talked(delta, &counted);
        for (counter, value) in &delta.counters {
            let before = self.counters.insert(*counter, *value).unwrap_or(0);
            if *value < before {
                self.violated("I2", format!("{counter:?} fell from {before} to {value}"));
            }
        }
        self.histograms.extend(delta.histograms.iter().cloned());
        self.check_conservation();
        self.check_late();
        if new.watermark > old.watermark {
            self.check_watermark();
        }
    }

    fn check_progress(&mut self, old: Progress, new: Progress) {
        let falls = new.floor < old.floor
            || new.listed_at < old.listed_at
            || new.watermark < old.watermark
            || new.last_success < old.last_success
            || (old.baseline != 0 && new.baseline != old.baseline);
        if falls || new.floor < new.baseline {
            self.violated("I6", format!("progress went from {old:?} to {new:?}"));
        }
        let now = self.now();
        let ahead = GRAIN + self.terms.date_error.abs();
        for (name, time) in [("floor", new.floor), ("watermark", new.watermark), ("listing", new.listed_at)] {
            if time > now + ahead {
                self.harmed("I14", Harm::FalsePromise, format!("the {name} is {} ms ahead", time - now));
            }
        }
        if old.baseline == 0 && new.baseline != 0 {
            let off = self.starts.iter().map(|start| (new.baseline - start).abs()).min().unwrap_or(0);
            if off > ahead {
                self.violated("I5", format!("the baseline is {off} ms from every start of a process"));
            }
        }
    }

    /// I6: how far a chat was read, and when it was last read deeply, never falls while the chat is held.
    fn check_chats(&mut self, delta: &Delta) {
        for (key, chat) in &delta.chats {
            let Some(chat) = chat else {
                self.read.remove(key);
                continue;
            };
            let now = (chat.cursor, chat.audited_at);
            if let Some(before) = self.read.insert(*key, now)
                && (now.0 < before.0 || now.1 < before.1)
            {
                self.violated("I6", format!("a chat that was read up to {before:?} is read up to {now:?}"));
            }
        }
    }

    /// One message changed in a commit.
    fn moved(&mut self, id: MessageId, held: Option<blooio_exporter::domain::Held>, watermark: i64) {
        let before = self.messages.get(&id).copied();
        let Some((tracked, open)) = held else {
            return self.forgotten(id, before);
        };
        let now = self.now();
        let counts = !tracked.is_history();
        let mut after = before.unwrap_or(Held {
            now: None,
            last: tracked,
            open: false,
            counted: 0,
            ended: 0,
            counted_at: now,
            counted_sent_at: tracked.sent_at,
            ended_at: 0,
        });
        // New, or of history until the server rewrote its time.
        if after.now.is_none_or(|now| now.is_history()) && counts {
            (after.counted, after.counted_at) = (after.counted + 1, now);
            after.counted_sent_at = tracked.sent_at;
            self.observed[tracked.direction() as usize] += 1;
            self.late.0 += u64::from(tracked.sent_at <= watermark);
            self.late.1 += u64::from(tracked.sent_at <= self.progress.watermark);
            if after.counted > 1 {
                self.harmed("I3", Harm::Doubled, format!("counted again: {tracked:?}"));
            }
            if tracked.sent_at <= self.progress.baseline {
                self.violated("I5", format!("history was counted: {tracked:?}"));
            }
        }
        let was_ended = after.now.is_some_and(|now| now.is_ended());
        if !was_ended && tracked.is_ended() && counts {
            after.ended += 1;
            after.ended_at = now;
            self.ended += u64::from(tracked.direction() == Direction::Outbound);
            if after.ended > 1 {
                self.harmed("I3", Harm::Doubled, format!("ended again: {tracked:?}"));
            }
        }
        if was_ended && !tracked.is_ended() {
            self.violated("I3", format!("an end was taken back: {tracked:?}"));
        }
        after.open = open.is_some();
        (after.now, after.last) = (Some(tracked), tracked);
        self.messages.insert(id, after);
    }

    /// A message is no longer held.
    fn forgotten(&mut self, id: MessageId, before: Option<Held>) {
        let Some(before) = before else {
            // Counted and forgotten between two commits: late by nearly the retention, when the floor rose.
            if !self.passed.insert(id) {
                self.harmed("I3", Harm::Doubled, "a message came and went twice".into());
            }
            self.unseen += 1;
            self.unseen_in_all += 1;
            return;
        };
        let counts = !before.last.is_history();
        if counts && before.last.sent_at > self.progress.floor {
            let floor = self.progress.floor;
            self.violated("I6", format!("forgotten too early: {before:?}, floor {floor}"));
        }
        let mut after = Held { now: None, open: false, ..before };
        if before.open && counts {
            // It ended and left in one commit: how it ended is not to be seen from here.
            after.ended += 1;
            after.ended_at = self.now();
            self.ended += 1;
            self.unseen_in_all += 1;
        }
        self.messages.insert(id, after);
    }

    /// I1: what the counters say is what happened to single messages.
    fn check_conservation(&mut self) {
        let (mut inbound, mut outbound, mut ended) = (0, 0, 0);
        for (counter, value) in &self.counters {
            match counter {
                Counter::Inbound { .. } => inbound += value,
                Counter::Outbound { .. } => outbound += value,
                _ if is_end(*counter) => ended += value,
                _ => {}
            }
        }
        let unseen = (inbound + outbound).saturating_sub(self.observed.iter().sum());
        if unseen > 0 && unseen <= self.unseen && inbound >= self.observed[0] && outbound >= self.observed[1]
        {
            self.unseen -= unseen;
            self.late.1 += unseen;
            self.observed = [inbound, outbound];
            self.ended += ended.saturating_sub(self.ended).min(unseen);
        }
        if [inbound, outbound] != self.observed || ended != self.ended {
            let (observed, ends) = (self.observed, self.ended);
            self.violated(
                "I1",
                format!(
                    "counters: {inbound} in, {outbound} out, {ended} ended; messages {observed:?}, {ends}"
                ),
            );
            (self.observed, self.ended) = ([inbound, outbound], ended);
        }
    }

    /// A message is late when it is counted although its time lies before the watermark.
    fn check_late(&mut self) {
        let (least, most) = self.late;
        let late = self.counters.get(&Counter::Late).copied().unwrap_or(0);
        if !(least..=most).contains(&late) {
            self.violated("I1", format!("{late} late messages; messages say {least} to {most}"));
            self.late = (late, late);
        }
    }

    /// Remembers when the newest commit of this process was made, 0 for none yet, and the one before.
    fn record_commit(&mut self, at: i64) {
        if self.committed_at > 0 {
            self.committed_before_at = self.committed_at;
        }
        self.committed_at = at;
        self.asked_before_commit.clone_from(&self.asked);
    }

    /// I12: a process starts with exactly what was committed.
    pub(crate) fn started(&mut self, restored: &Restored, view: &View) {
        self.starts.push(self.now());
        self.horizons.push(self.terms.options.horizon.as_millis() as i64);
        self.listed_before_start.push(self.listed_at);
        self.shown_version = 0;
        for (endpoint, asked) in &self.asked {
            let committed = self.asked_before_commit.get(endpoint).copied().unwrap_or(0);
            *self.asked_in_vain.entry(endpoint).or_default() += asked - committed;
        }
        self.record_commit(0);
        let nonzero = |counters: &[(Counter, u64)]| {
            counters.iter().copied().filter(|(_, value)| *value != 0).collect::<BTreeMap<_, _>>()
        };
        let committed: Vec<_> = self.counters.iter().map(|(counter, value)| (*counter, *value)).collect();
        if nonzero(&view.snapshot.counters) != nonzero(&committed) || restored.progress != self.progress {
            self.violated("I12", "a restart shows something else than was committed".into());
        }
        self.talk_restored(&restored.told.waiting);
        self.published(view);
    }
}

/// Whether a counter counts ends of messages.
fn is_end(counter: Counter) -> bool {
    matches!(
        counter,
        Counter::Delivered { .. }
            | Counter::Failed { .. }
            | Counter::Cancelled { .. }
            | Counter::Unconfirmed { .. }
    )
}
