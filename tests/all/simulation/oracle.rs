//! Compares what the collector commits and shows with what really happened, and calls each breach by the name
//! of its invariant.

use std::collections::{BTreeMap, HashMap, HashSet};

use blooio_exporter::api::MessageRef;
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{IdHasher, Options};
use blooio_exporter::domain::ids::BuildKeyedHasher;
use blooio_exporter::domain::{
    Chat, ChatKey, Counter, Delta, Direction, LineId, MessageId, Progress, Protocol, Reason, Restored,
    Status, Tracked, View,
};
use blooio_exporter::simulator::{Entry, World};

/// A message may appear this much less late than the retention, and still be sure to be counted: the grain of
/// `Date`, the lag of replicas, and the time an audit is dated back.
const MARGIN: i64 = 20_000;

/// What the oracle knows of one message.
#[derive(Clone, Copy, Debug)]
struct Held {
    now: Option<Tracked>,
    last: Tracked,
    open: bool,
    counted: u32,
    ended: u32,
    counted_at: i64,
    ended_at: i64,
}

/// Figures of one life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    /// Requests sent.
    pub(crate) requests: u64,
    /// Commits made.
    pub(crate) commits: u64,
    /// Processes killed.
    pub(crate) crashes: u64,
    /// Messages that had to be counted.
    pub(crate) messages: u64,
    /// Messages counted.
    pub(crate) counted: u64,
    /// From becoming visible to the commit, ms, of messages that were on time.
    pub(crate) fresh: Vec<i64>,
    /// The same of messages late by no more than the lookback.
    pub(crate) late: Vec<i64>,
    /// From the end to the commit that counted it, ms.
    pub(crate) ends: Vec<i64>,
}

/// The oracle of one life.
pub(crate) struct Oracle {
    /// Breaches, by the invariant's name.
    pub(crate) violations: Vec<String>,
    /// Figures.
    pub(crate) stats: Stats,
    /// Disks are whole from here on.
    pub(crate) quiet: bool,
    /// The world's clock minus the collector's.
    pub(crate) world_ahead: i64,
    /// About how many pages a read may need.
    pub(crate) messages_hint: u32,
    clock: Clock,
    messages: HashMap<MessageId, Held, BuildKeyedHasher>,
    counters: BTreeMap<Counter, u64>,
    shown: BTreeMap<Counter, u64>,
    shown_version: u64,
    chats: HashMap<ChatKey, Chat, BuildKeyedHasher>,
    lines: BTreeMap<LineId, String>,
    progress: Progress,
    observed: [u64; 2],
    ended: u64,
    unseen_ends: bool,
    /// Messages that came and went between two commits.
    passed: HashSet<MessageId>,
    /// How many of them are not yet accounted for.
    unseen: u64,
}

impl Oracle {
    /// Knows nothing yet.
    pub(crate) fn new(clock: Clock, world_ahead: i64) -> Oracle {
        Oracle {
            violations: Vec::new(),
            stats: Stats::default(),
            quiet: false,
            world_ahead,
            messages_hint: 200,
            clock,
            messages: HashMap::default(),
            counters: BTreeMap::new(),
            shown: BTreeMap::new(),
            shown_version: 0,
            chats: HashMap::default(),
            lines: BTreeMap::new(),
            progress: Progress::default(),
            observed: [0, 0],
            ended: 0,
            unseen_ends: false,
            passed: HashSet::new(),
            unseen: 0,
        }
    }

    /// Notes a breach. The first few tell the story.
    pub(crate) fn violated(&mut self, name: &str, what: String) {
        if self.violations.len() < 20 {
            let at = self.now() as f64 / 1000.0;
            self.violations.push(format!("{name} at {at:.3}: {what}"));
        }
    }

    /// The world's time.
    fn now(&self) -> i64 {
        self.clock.now() + self.world_ahead
    }

    /// A commit reached the disk.
    pub(crate) fn committed(&mut self, delta: &Delta) {
        self.stats.commits += 1;
        let now = self.now();
        let (old, new) = (self.progress, delta.progress);
        let falls = new.floor < old.floor
            || new.listed_at < old.listed_at
            || new.watermark < old.watermark
            || new.last_success < old.last_success
            || (old.baseline != 0 && new.baseline != old.baseline);
        if falls || new.floor < new.baseline {
            self.violated("I6", format!("progress went from {old:?} to {new:?}"));
        }
        self.progress = new;
        self.lines.extend(delta.lines.iter().cloned());
        for (key, chat) in &delta.chats {
            let before = match chat {
                Some(chat) => self.chats.insert(*key, *chat),
                None => self.chats.remove(key),
            };
            if let (Some(before), Some(after)) = (before, chat)
                // One that was missing may have been taken as deleted and listed again, all in one commit.
                && before.absence.listings == 0
                && (after.cursor < before.cursor || after.audited_at < before.audited_at)
            {
                self.violated("I6", format!("a chat went from {before:?} to {after:?}"));
            }
        }
        for (id, held) in &delta.messages {
            self.moved(*id, *held, now);
        }
        for (counter, value) in &delta.counters {
            let before = self.counters.insert(*counter, *value).unwrap_or(0);
            if *value < before {
                self.violated("I2", format!("{counter:?} fell from {before} to {value} on the disk"));
            }
        }
        self.check_conservation();
    }

    fn moved(
        &mut self,
        id: MessageId,
        held: Option<(Tracked, Option<blooio_exporter::domain::Open>)>,
        now: i64,
    ) {
        let before = self.messages.get(&id).copied();
        let Some((tracked, open)) = held else {
            let Some(before) = before else {
                // Seen and forgotten between two commits: late by nearly the retention, when the floor rose.
                if !self.passed.insert(id) {
                    self.violated("I3", "a message came and went twice".into());
                }
                self.unseen += 1;
                return;
            };
            let counts = !before.last.is_history();
            if counts && before.last.sent_at > self.progress.floor {
                self.violated(
                    "I6",
                    format!("forgotten too early: {before:?}, floor {}", self.progress.floor),
                );
            }
            let mut after = Held { now: None, open: false, ..before };
            if before.open && counts {
                // It ended and left in one commit: how it ended is not to be seen from here.
                after.ended += 1;
                self.ended += 1;
                self.unseen_ends = true;
            }
            self.messages.insert(id, after);
            return;
        };
        let counts = !tracked.is_history();
        let mut after = before.unwrap_or(Held {
            now: None,
            last: tracked,
            open: false,
            counted: 0,
            ended: 0,
            counted_at: now,
            ended_at: 0,
        });
        // New, or of history until the server rewrote its time.
        if after.now.is_none_or(|now| now.is_history()) && counts {
            after.counted += 1;
            self.observed[tracked.direction() as usize] += 1;
            if after.counted > 1 {
                self.violated("I3", format!("counted again: {tracked:?}"));
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
                self.violated("I3", format!("ended again: {tracked:?}"));
            }
        }
        if was_ended && !tracked.is_ended() {
            self.violated("I3", format!("an end was taken back: {tracked:?}"));
        }
        after.open = open.is_some();
        (after.now, after.last) = (Some(tracked), tracked);
        self.messages.insert(id, after);
    }

    /// I1: what the counters say is what happened to single messages.
    fn check_conservation(&mut self) {
        let (mut inbound, mut outbound, mut ended) = (0, 0, 0);
        for (counter, value) in &self.counters {
            match counter {
                Counter::Inbound { .. } => inbound += value,
                Counter::Outbound { .. } => outbound += value,
                Counter::Delivered { .. }
                | Counter::Failed { .. }
                | Counter::Cancelled { .. }
                | Counter::Unconfirmed { .. } => ended += value,
                _ => {}
            }
        }
        let unseen = (inbound + outbound).saturating_sub(self.observed.iter().sum());
        if unseen > 0 && unseen <= self.unseen && inbound >= self.observed[0] && outbound >= self.observed[1]
        {
            self.unseen -= unseen;
            // What its labels were is not to be seen from here.
            self.unseen_ends = true;
            self.observed = [inbound, outbound];
            self.ended += ended.saturating_sub(self.ended).min(unseen);
        }
        if [inbound, outbound] != self.observed || ended != self.ended {
            let (observed, ends) = (self.observed, self.ended);
            self.violated(
                "I1",
                format!(
                    "counters say {inbound} in, {outbound} out, {ended} ended; messages {observed:?}, {ends}"
                ),
            );
        }
    }

    /// A page is up: nothing on it ever falls, nothing on it is not committed, and it balances.
    pub(crate) fn published(&mut self, view: &View) {
        if view.version == self.shown_version {
            return;
        }
        self.shown_version = view.version;
        let mut balance: BTreeMap<LineId, i64> = BTreeMap::new();
        let mut breaches = Vec::new();
        for (counter, value) in &view.snapshot.counters {
            if *value == 0 {
                continue;
            }
            let shown = self.shown.insert(*counter, *value).unwrap_or(0);
            if *value < shown {
                breaches.push(format!("{counter:?} fell from {shown} to {value} on the page"));
            }
            let committed = self.counters.get(counter).copied().unwrap_or(0);
            if *value > committed {
                breaches.push(format!("{counter:?} shows {value}, committed is {committed}"));
            }
            let sign = match counter {
                Counter::Outbound { .. } => 1,
                Counter::Delivered { .. }
                | Counter::Failed { .. }
                | Counter::Cancelled { .. }
                | Counter::Unconfirmed { .. } => -1,
                _ => 0,
            };
            if let Some(line) = counter.line() {
                *balance.entry(line).or_default() += sign * *value as i64;
            }
        }
        for breach in breaches {
            self.violated("I2", breach);
        }
        let snapshot = &view.snapshot;
        for ((line, _), group) in &snapshot.open {
            *balance.entry(*line).or_default() -= group.count as i64;
        }
        for (line, history) in &snapshot.open_history {
            *balance.entry(*line).or_default() += *history as i64;
        }
        if let Some((line, off)) = balance.iter().find(|(_, off)| **off != 0) {
            self.violated("I1", format!("the page is off by {off} on line {line:?}"));
        }
    }

    /// I12: a process starts with exactly what was committed.
    pub(crate) fn started(&mut self, restored: &Restored, view: &View) {
        self.shown_version = 0;
        let nonzero = |counters: &[(Counter, u64)]| {
            counters.iter().copied().filter(|(_, value)| *value != 0).collect::<BTreeMap<_, _>>()
        };
        let committed: Vec<_> = self.counters.iter().map(|(counter, value)| (*counter, *value)).collect();
        if nonzero(&view.snapshot.counters) != nonzero(&committed) || restored.progress != self.progress {
            self.violated("I12", "a restart shows something else than was committed".into());
        }
        self.published(view);
    }

    /// After quiet and time enough: nothing is lost, everything is closed, every label is right.
    pub(crate) fn settled(&mut self, world: &World, keyring: &IdHasher, options: &Options, calm: bool) {
        let now = self.now();
        let (horizon, retention) = (options.horizon.as_millis() as i64, options.retention.as_millis() as i64);
        let interval = options.interval.as_millis() as i64;
        let (baseline, setup) = (self.progress.baseline, world.setup().clone());
        let regressing = setup.shares.regress > 0.0;
        let mut expected: BTreeMap<Counter, u64> = BTreeMap::new();
        let line_ids: BTreeMap<String, LineId> =
            self.lines.iter().map(|(id, name)| (name.clone(), *id)).collect();
        for entry in world.truth().entries() {
            let direction = Direction::from_label(&entry.direction).unwrap();
            let id = keyring.message(direction, &MessageRef::parse(&entry.id).unwrap());
            let held = self.messages.get(&id).copied();
            let lateness = entry.visible_from_ms - entry.time_sent_ms;
            if let Some(held) = held
                && held.counted > 0
            {
                self.stats.counted += 1;
                let line = line_ids.get(&entry.line).copied().unwrap_or(LineId::NONE);
                self.expect(&mut expected, &entry, &held, line);
            }
            let in_scope = entry.time_sent_ms > baseline && entry.ever_visible && !entry.unusable;
            if !in_scope || entry.deleted_at_ms.is_some() || lateness > retention - MARGIN {
                continue;
            }
            let Some(held) = held.filter(|held| held.counted > 0 || held.last.is_history()) else {
                self.stats.messages += 1;
                self.violated(
                    "I4",
                    format!("lost, late by {lateness} ms, floor {}: {entry:?}", self.progress.floor),
                );
                continue;
            };
            if held.last.is_history() {
                // Its time was rewritten from before the baseline to after it.
                if !setup.knobs.rewrite_time_sent {
                    self.violated("I4", format!("taken for history: {entry:?}"));
                }
                continue;
            }
            self.stats.messages += 1;
            if entry.direction == "outbound" {
                self.check_end(&entry, &held, horizon, regressing);
            }
            // The first read of a chat has no count to miss what a lagging replica holds back.
            let first_moments = baseline + setup.knobs.replica_lag_ms + 2_000;
            if calm && entry.visible_from_ms > first_moments {
                self.check_freshness(&entry, &held, lateness, options);
            }
        }
        for held in self.messages.values().copied().collect::<Vec<_>>() {
            if held.open && now - held.last.sent_at > horizon + 4 * interval {
                self.violated("I7", format!("still open: {held:?}"));
            }
        }
        self.check_labels(&expected, regressing);
        let distinct = world.truth().messages();
        if self.messages.len() > distinct {
            self.violated("I6", format!("{} messages held of {distinct}", self.messages.len()));
        }
    }

    fn check_end(&mut self, entry: &Entry, held: &Held, horizon: i64, regressing: bool) {
        let (last, status) = (held.last, held.last.status.as_str());
        if !last.is_ended() {
            if self.now() - last.sent_at > horizon {
                self.violated("I4", format!("without an end: {entry:?}"));
            }
            return;
        }
        let right = match &entry.terminal {
            Some(terminal) => {
                // Its time may have been rewritten after it was given up.
                let in_time = terminal.at_ms <= last.sent_at.min(entry.visible_from_ms) + horizon;
                status == terminal.status && !last.is_given_up()
                    || regressing && status == entry.status
                    || !in_time && last.is_given_up()
            }
            None => last.is_given_up(),
        };
        if !right {
            self.violated("I4", format!("ended as {last:?}: {entry:?}"));
        }
    }

    /// I9. The limits are those of the schedule: a sweep finds a message within an interval and reads it at
    /// once; a late one may stand so far down the list that only the full listing finds it; an open one is
    /// asked for again after half its age.
    fn check_freshness(&mut self, entry: &Entry, held: &Held, lateness: i64, options: &Options) {
        let millis = |duration: std::time::Duration| duration.as_millis() as i64;
        let (interval, horizon) = (millis(options.interval), millis(options.horizon));
        if lateness > millis(options.lookback) {
            return;
        }
        let visible = entry.visible_from_ms.max(self.progress.baseline);
        let delay = held.counted_at - visible;
        let is_late = lateness > 2_000;
        let delays = if is_late { &mut self.stats.late } else { &mut self.stats.fresh };
        delays.push(delay);
        let found = interval * 5 / 2 + if is_late { millis(options.full_interval) } else { 0 };
        if delay > found {
            let what = format!("counted {delay} ms after it could be, late by {lateness}: {entry:?}");
            self.violated("I9", what);
        }
        let Some(terminal) = &entry.terminal else { return };
        if held.last.is_given_up() || terminal.at_ms > held.last.sent_at + horizon {
            return;
        }
        let delay = held.ended_at - terminal.at_ms.max(visible);
        self.stats.ends.push(delay.max(0));
        let age = (terminal.at_ms - held.last.sent_at).max(0);
        if delay > age * 3 / 4 + 2 * interval + found {
            self.violated("I9", format!("its end was counted {delay} ms late: {entry:?}"));
        }
    }

    /// The counters that this message must have moved.
    fn expect(&self, expected: &mut BTreeMap<Counter, u64>, entry: &Entry, held: &Held, line: LineId) {
        let protocol = |label: &str| Protocol::from_label(label).unwrap_or(Protocol::Other);
        let mut add = |counter| *expected.entry(counter).or_default() += 1;
        if entry.direction == "inbound" {
            add(Counter::Inbound { line, protocol: protocol(&entry.protocol) });
            return;
        }
        add(Counter::Outbound { line });
        let Tracked { protocol: last, status, .. } = held.last;
        if held.ended == 0 {
            return;
        }
        if held.last.is_given_up() {
            return add(Counter::Unconfirmed { line, protocol: last, status });
        }
        match (&entry.terminal, status) {
            (Some(terminal), Status::Failed) => add(Counter::Failed {
                line,
                protocol: protocol(&terminal.protocol),
                reason: Reason::from_label(&terminal.reason).unwrap_or(Reason::Other),
            }),
            (Some(terminal), Status::Delivered) => {
                add(Counter::Delivered { line, protocol: protocol(&terminal.protocol) });
            }
            _ => add(Counter::Cancelled { line }),
        }
    }

    /// I4: every counter of messages is the sum over single messages, label by label.
    fn check_labels(&mut self, expected: &BTreeMap<Counter, u64>, regressing: bool) {
        let counted = |counter: &Counter| {
            matches!(
                counter,
                Counter::Inbound { .. }
                    | Counter::Outbound { .. }
                    | Counter::Delivered { .. }
                    | Counter::Failed { .. }
                    | Counter::Cancelled { .. }
                    | Counter::Unconfirmed { .. }
            )
        };
        let is: BTreeMap<Counter, u64> = self
            .counters
            .iter()
            .filter(|(counter, value)| counted(counter) && **value > 0)
            .map(|(counter, value)| (*counter, *value))
            .collect();
        if regressing || self.unseen_ends || is == *expected {
            return;
        }
        for counter in is.keys().chain(expected.keys()).copied().collect::<std::collections::BTreeSet<_>>() {
            let (is, should) = (is.get(&counter), expected.get(&counter));
            if is != should {
                self.violated("I4", format!("{counter:?} is {is:?} and should be {should:?}"));
            }
        }
    }
}
