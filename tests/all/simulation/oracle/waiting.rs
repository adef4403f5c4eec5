//! What the API shows and the collector has not counted: it decides whether the watermark and `up` are true, and
//! whether counting resumes in time after a fault.

use std::collections::{HashMap, HashSet};

use blooio_exporter::domain::{Direction, MessageId, View};
use blooio_exporter::simulator::setup::Era;
use blooio_exporter::simulator::{Brief, Endpoint, World};

use super::{GRAIN, Oracle, violation::Harm};
use crate::simulation::case::{Case, Kind};
use crate::simulation::{LOOK, plug};

/// A message that becomes visible no later than this after its `time_sent` is on time.
const ON_TIME: i64 = 2_000;
/// Counting resumes within two minutes of the end of a fault, or four intervals if they are longer.
const RESUMES_WITHIN: i64 = 120_000;
/// `up` may lag behind the truth by this many intervals.
const UP_LAGS: i64 = 13;

/// Messages that were not counted when they were last looked at.
#[derive(Default)]
pub(super) struct Waiting {
    known: usize,
    messages: Vec<(usize, MessageId)>,
    /// Until when those that stood in a broken chat could not be read, at most: a merge may take them out of it.
    unreadable_until: HashMap<usize, i64>,
}

/// Rows without an id.
#[derive(Default)]
pub(super) struct BrokenRows {
    /// How many were shown.
    pub(super) served: u64,
    /// When the first one was shown.
    since: Option<i64>,
    /// The messages whose rows were broken whenever they were shown.
    never_whole: HashSet<String>,
}

/// How long after a fault a message may wait, in lives that promise it.
pub(super) fn resumes_within(case: &Case) -> Option<i64> {
    let knobs = &case.setup.knobs;
    let least = RESUMES_WITHIN.max(case.options.interval.as_millis() as i64 * 4);
    let lags = knobs.replica_lag_ms + knobs.list_lag_ms;
    // The end of these lives is compared instead: their disk fails, their server limits requests or sleeps all the time, or the
    // budget is too small for what happens.
    let is_battered = case.fragile
        || case.full > 0.0
        || knobs.rate_limit.is_some()
        || case.setup.upheavals.outages_per_hour > 0.0;
    match case.kind {
        Kind::Overloaded => None,
        Kind::Stormy if is_battered => None,
        _ => Some(least + lags),
    }
}

/// Whether rows of the list may hide messages in this life: see [`Oracle::is_masked`].
pub(super) fn may_mask(case: &Case) -> bool {
    let shares = &case.setup.shares;
    case.brings("no-counts") || shares.future + shares.far_future > 0.0
}

impl Oracle {
    /// Looks at new messages of the world, and forgets those that were counted.
    fn refresh_waiting(&mut self, world: &World) {
        let truth = world.truth();
        for n in self.waiting.known..truth.messages() {
            let Some(brief) = truth.brief(n).filter(|brief| !brief.unusable) else { continue };
            let direction = if brief.inbound { Direction::Inbound } else { Direction::Outbound };
            self.waiting.messages.push((n, plug::message_id(&self.hasher, direction, &truth.id(n))));
        }
        self.waiting.known = truth.messages();
        let (messages, baseline) = (&self.messages, self.progress.baseline);
        let rewritten = world.setup().knobs.rewrite_time_sent;
        self.waiting.messages.retain(|(n, id)| {
            let counted = messages.get(id).is_some_and(|held| held.counted > 0 || held.last.is_history());
            let history = !rewritten
                && baseline > 0
                && truth.brief(*n).is_some_and(|brief| brief.time_sent_ms <= baseline);
            !counted && !history
        });
    }

    /// The messages that a reader of the API could have counted at `time`, but that are not counted.
    fn overlooked(&mut self, time: impl Fn(&Brief) -> i64, at_most: i64) -> Vec<(usize, Brief)> {
        let world = std::sync::Arc::clone(&self.world);
        let world = world.lock().unwrap();
        self.refresh_waiting(&world);
        let truth = world.truth();
        let known = self.waiting.messages.iter().filter_map(|(n, _)| Some((*n, truth.brief(*n)?)));
        let found = known.filter(|(_, brief)| {
            let late = brief.visible_from_ms - brief.time_sent_ms > ON_TIME + self.terms.api_lag;
            brief.visible
                && !late
                && time(brief) <= at_most
                && self.progress.baseline > 0
                && brief.time_sent_ms > self.progress.baseline + GRAIN
                && !self.is_omitted(brief)
                && !self.is_absent(&world, brief.chat_number)
                && !self.is_masked(&world, brief)
        });
        let found = found.filter(|(n, _)| !self.is_never_whole(|| truth.id(*n)));
        found
            .filter(|(_, brief)| !self.is_given_up_unread(&world, brief.chat_number, brief.time_sent_ms))
            .collect()
    }

    /// A page showed messages without their ids, and others whole.
    pub(crate) fn record_rows<'a>(
        &mut self,
        broken: impl Iterator<Item = &'a str>,
        whole: impl Iterator<Item = &'a str>,
    ) {
        let now = self.now();
        for id in broken {
            self.broken_rows.served += 1;
            self.broken_rows.since.get_or_insert(now);
            self.broken_rows.never_whole.insert(id.to_owned());
        }
        for id in whole {
            self.broken_rows.never_whole.remove(id);
        }
    }

    /// Whether the message was never shown with an id, and such rows have been there for longer than an audit interval: then the rest
    /// of a chat is taken as read.
    fn is_never_whole(&self, id: impl Fn() -> String) -> bool {
        let patience = self.terms.options.audit_interval.as_millis() as i64;
        self.broken_rows.since.is_some_and(|since| self.now() - since >= patience)
            && self.broken_rows.never_whole.contains(&id())
    }

    /// Whether no list could reveal the message: its row was left out when it became visible. The API shows such a
    /// chat again later; only the promise about the time in between is excused.
    fn is_omitted(&self, brief: &Brief) -> bool {
        let soon = self.terms.options.interval.as_millis() as i64 * 4;
        self.omissions_of(brief.chat_number).any(|omission| {
            brief.visible_from_ms > self.looked_before(omission.from) - soon
                && brief.visible_from_ms < omission.to
        })
    }

    /// Whether several lists lack the chat, and what asks for its messages is told that it is not there: then there is nothing to
    /// read in it.
    fn is_absent(&self, world: &World, chat: u32) -> bool {
        let (now, interval) = (self.now(), self.terms.options.interval.as_millis() as i64);
        let is_hidden = self.omissions_of(chat).any(|omission| {
            omission.fault == "hidden-chats" && (omission.from + 2 * interval..omission.to).contains(&now)
        });
        is_hidden
            && world.faults_on().iter().any(|(kind, tuning)| {
                kind.name() == "not-found"
                    && tuning.endpoint.is_none_or(|endpoint| endpoint == Endpoint::ListMessages)
                    && tuning.chats.is_none_or(|chats| chats.contains(chat))
            })
    }

    /// When a list was last asked for before that time. While no process ran, nothing was looked at.
    fn looked_before(&self, at: i64) -> i64 {
        let soon = self.terms.options.interval.as_millis() as i64 * 4;
        let away = self.starts.iter().zip(&self.listed_before_start);
        away.filter(|(start, _)| (at - soon..at + soon).contains(*start))
            .map(|(_, listed)| *listed)
            .fold(at, i64::min)
    }

    /// When the chat was last read before that time.
    fn read_before(&self, chat: &str, at: i64) -> i64 {
        let reads = self.reads.get(chat).map_or(&[][..], Vec::as_slice);
        reads[..reads.partition_point(|read| *read < at)].last().copied().unwrap_or(0)
    }

    /// Whether no list could reveal the message because its row did not change, or its count tallied by chance. Either the
    /// newest message of the chat and of its direction is dated ahead, and another one of that direction was deleted between the
    /// two lists, or since the chat was read; or rows carry no counts, and the message came after a later one of its chat.
    fn is_masked(&self, world: &World, brief: &Brief) -> bool {
        if !self.terms.may_mask {
            return false;
        }
        let direction = if brief.inbound { "inbound" } else { "outbound" };
        let is_on = |fault: &str| world.faults_on().iter().any(|(kind, _)| kind.name() == fault);
        // Rows of older servers do not say when the newest message of each direction was sent.
        let untimed = world.setup().knobs.era != Era::Current || is_on("no-times");
        let soon = self.terms.options.interval.as_millis() as i64 * 4;
        let before = self.looked_before(brief.visible_from_ms) - soon;
        let (mut deleted, mut ahead, mut newer) = (false, false, false);
        for entry in world.truth().entries().filter(|entry| entry.chat_number == brief.chat_number) {
            // One that is dated ahead of the list before is told by its time.
            newer |= entry.visible_from_ms <= brief.visible_from_ms
                && entry.time_sent_ms > brief.time_sent_ms
                && entry.time_sent_ms <= brief.visible_from_ms + self.terms.api_lag;
            let deleted_at = entry.deleted_at_ms.unwrap_or(i64::MIN);
            // What was deleted before the chat was last read is explained.
            deleted |= entry.direction == direction && deleted_at > before
                || deleted_at > self.read_before(&entry.chat, brief.visible_from_ms);
            ahead |= (entry.direction == direction || untimed)
                && entry.visible_from_ms < brief.visible_from_ms
                && entry.time_sent_ms > brief.visible_from_ms;
        }
        deleted && ahead || is_on("no-counts") && newer
    }

    /// Whether the message was sent before the floor, in a chat that answers as if it had no messages: what cannot be read for two
    /// retentions is not promised, and then nothing contradicts that answer any more.
    pub(super) fn is_given_up_unread(&self, world: &World, chat: u32, sent_at: i64) -> bool {
        self.terms.breaks_chats == Some("empty-messages")
            && sent_at <= self.progress.floor
            && self.is_broken_in(world, chat)
    }

    fn forget_waiting(&mut self, n: usize) {
        self.waiting.messages.retain(|(waiting, _)| *waiting != n);
    }

    /// I14: every message that the API shows with `time_sent` at or before the watermark, and that was visible
    /// before the request of the list, is counted.
    pub(super) fn check_watermark(&mut self) {
        self.stats.watermarks += 1;
        let watermark = self.progress.watermark;
        let promised = watermark.min(self.listed_at);
        let lag = self.terms.api_lag + GRAIN;
        let time = |brief: &Brief| (brief.visible_from_ms + lag).max(brief.time_sent_ms);
        for (n, brief) in self.overlooked(time, promised) {
            let behind = promised - brief.visible_from_ms;
            let what =
                format!("the watermark passed a message that was visible {behind} ms before: {n} {brief:?}");
            self.harmed("I14", Harm::FalsePromise, what);
            if std::env::var_os("BLOOIO_TRACE").is_some() {
                let world = self.world.lock().unwrap();
                for entry in world.truth().entries().filter(|entry| entry.chat_number == brief.chat_number) {
                    println!("of its chat: {entry:?}");
                }
            }
            self.forget_waiting(n);
        }
    }

    /// I15: counting resumes in time after the last fault, for every chat that is not broken itself. I14: `up` is 1
    /// only while everything that the list named is read.
    pub(crate) fn check_freshness_now(&mut self, view: &View) {
        if self.progress.baseline == 0 {
            return;
        }
        let now = self.now();
        let interval = self.terms.options.interval.as_millis() as i64;
        if view.health.up && view.health.deferred == 0 {
            self.well_at = now;
        }
        if view.health.up {
            let wait = UP_LAGS * interval + self.terms.api_lag;
            let time = |brief: &Brief| brief.visible_from_ms + wait;
            if let Some((n, brief)) = self.overlooked(time, now).into_iter().next() {
                let what = format!("up is 1 while a message waits: {n} {brief:?}");
                self.harmed("I14", Harm::FalsePromise, what);
            }
        }
        self.record_broken();
        let Some(within) = self.terms.resumes_within else { return };
        if self.clear_since == i64::MAX {
            return;
        }
        // A pause that the API asked for goes on when its reason has ended.
        let clear_since = self.clear_since.max(self.paused_until);
        let reading = if self.terms.kind == Kind::Stormy { 2 * self.reading() } else { 0 };
        let within = within + reading;
        let time = |brief: &Brief| brief.visible_from_ms.max(clear_since) + within;
        for (n, brief) in self.overlooked(time, now) {
            if self.is_broken(brief.chat_number) {
                continue;
            }
            let readable = self.waiting.unreadable_until.get(&n).copied().unwrap_or(0);
            let after = now - brief.visible_from_ms.max(clear_since).max(readable);
            if after < within {
                continue;
            }
            self.violated("I15", format!("not counted {after} ms after it could be: {n} {brief:?}"));
            self.forget_waiting(n);
        }
    }

    /// Remembers which waiting messages stand in a chat that cannot be read.
    fn record_broken(&mut self) {
        if self.terms.breaks_chats.is_none() {
            return;
        }
        let world = std::sync::Arc::clone(&self.world);
        let world = world.lock().unwrap();
        self.refresh_waiting(&world);
        let until = self.now() + LOOK;
        let chat_of = |n: usize| world.truth().brief(n).map(|brief| brief.chat_number);
        let broken = self.waiting.messages.iter().map(|(n, _)| *n);
        let broken = broken.filter(|n| chat_of(*n).is_some_and(|chat| self.is_broken_in(&world, chat)));
        let broken: Vec<_> = broken.map(|n| (n, until)).collect();
        self.waiting.unreadable_until.extend(broken);
    }

    /// Whether the chat is one of those that a fault breaks until the end.
    pub(super) fn is_broken(&self, chat: u32) -> bool {
        self.is_broken_in(&self.world.lock().unwrap(), chat)
    }

    /// The same, of a world that is already locked.
    pub(super) fn is_broken_in(&self, world: &World, chat: u32) -> bool {
        self.terms.breaks_chats.is_some_and(|fault| world.is_hit(fault, chat))
    }
}
