//! I16: the families of requests, of devices and of the collection itself against the world, at the end of a life.

use std::collections::BTreeMap;

use blooio_exporter::domain::{Cause, Code, Counter, Endpoint, View, Work};
use blooio_exporter::simulator::World;
use blooio_exporter::simulator::setup::{DateHeader, InboundStatus, Totals};

use super::{GRAIN, Oracle};
use crate::simulation::case::Kind;

/// Requests that are under way when a process commits for the last time, or dies.
const UNDER_WAY: u64 = 40;
/// An answer that takes longer, ms, is not waited for: a clock that it set may be behind by as much.
const SLOWEST: i64 = 30_000;
/// Broken rows of which at least one is sure to have been counted by each process.
const SURELY_COUNTED: u64 = 50;

impl Oracle {
    /// After quiet and time enough.
    pub(super) fn check_families(&mut self, view: &View) {
        self.check_listing(6);
        let world = std::sync::Arc::clone(&self.world);
        let world = world.lock().unwrap();
        let mut breaches = self.check_codes(&world);
        breaches.extend(self.check_work());
        breaches.extend(self.check_rejected(&world));
        breaches.extend(self.check_clock(&world, view));
        breaches.extend(self.check_chats_and_lines(&world, view));
        drop(world);
        for breach in breaches {
            self.violated("I16", breach);
        }
    }

    /// Requests are counted under the status that the API answered; without faults, all of them.
    fn check_codes(&self, world: &World) -> Vec<String> {
        let mut answered: BTreeMap<(&str, u16), u64> = BTreeMap::new();
        for ((endpoint, status), number) in world.request_totals() {
            *answered.entry((endpoint.name(), *status)).or_default() += number;
        }
        let mut counted: BTreeMap<(&str, u16), u64> = BTreeMap::new();
        for (counter, value) in &self.counters {
            if let Counter::Requests { endpoint, code: Code::Status(status) } = counter {
                *counted.entry((endpoint.as_str(), *status)).or_default() += value;
            }
        }
        let is_whole = self.terms.kind == Kind::Calm && self.terms.breaks_chats.is_none();
        let keys = answered.keys().chain(counted.keys());
        let wrong = keys.filter_map(|key| {
            let [is, most] = [&counted, &answered].map(|counts| counts.get(key).copied().unwrap_or(0));
            let least = if is_whole { most.saturating_sub(UNDER_WAY) } else { 0 };
            (!(least..=most).contains(&is)).then(|| format!("{is} of {key:?} counted, {most} answered"))
        });
        wrong.collect()
    }

    /// What requests were for adds up to the requests; and without a pause asked for, none is shown.
    fn check_work(&self) -> Vec<String> {
        // Requests by endpoint and by what they were for, of lists, of lines and webhooks, of devices, and of messages and chats.
        let (mut requests, mut works, mut paused) = ([0; 4], [0; 4], 0);
        for (counter, value) in &self.counters {
            match counter {
                Counter::Requests { endpoint, .. } => {
                    requests[match endpoint {
                        Endpoint::ListChats => 0,
                        Endpoint::ListNumbers | Endpoint::ListWebhooks => 1,
                        Endpoint::GetBackground => 2,
                        _ => 3,
                    }] += value;
                }
                Counter::WorkRequests { work } => {
                    works[match work {
                        Work::Sweep | Work::Listing => 0,
                        Work::Lines => 1,
                        Work::Probe => 2,
                        _ => 3,
                    }] += value;
                }
                Counter::Throttled { cause: Cause::RetryAfter } => paused += value,
                _ => {}
            }
        }
        let mut breaches = Vec::new();
        if requests != works {
            breaches.push(format!("{requests:?} requests by endpoint, {works:?} by what they were for"));
        }
        if self.paused_until == 0 && paused > 0 && self.terms.kind == Kind::Calm {
            breaches.push(format!("paused for {paused}, and nothing asked for a pause"));
        }
        breaches
    }

    /// Rows that cannot be used are counted where there are any, and only there; so are values that no schema names.
    fn check_rejected(&self, world: &World) -> Vec<String> {
        let (mut rejected, mut unknown, mut of_messages) = (0, 0, 0);
        for (counter, value) in &self.counters {
            match counter {
                Counter::Rejected { endpoint, .. } => {
                    rejected += value;
                    of_messages += if *endpoint == Endpoint::ListMessages { *value } else { 0 };
                }
                Counter::UnknownValues { .. } => unknown += value,
                _ => {}
            }
        }
        let shares = &world.setup().shares;
        let is_clean = shares.odd + shares.unusable == 0.0;
        let mut breaches = Vec::new();
        let misleads = matches!(self.terms.kind, Kind::Misled | Kind::Odd);
        // `received` is in no schema.
        let names_others =
            matches!(world.setup().knobs.inbound_status, InboundStatus::Mixed | InboundStatus::Received);
        let unknown = if names_others { 0 } else { unknown };
        if is_clean && !misleads && (rejected > 0 || unknown > 0) {
            breaches
                .push(format!("{rejected} rows rejected and {unknown} values unknown, and all are usual"));
        }
        let served = self.broken_rows.served;
        let surely = served > SURELY_COUNTED * (self.stats.crashes + 1);
        if is_clean && (of_messages > served || surely && of_messages == 0) && self.terms.kind != Kind::Odd {
            breaches.push(format!("{of_messages} rows of messages rejected, {served} were broken"));
        }
        breaches
    }

    /// The clock offset is how far the two clocks are apart.
    fn check_clock(&self, world: &World, view: &View) -> Option<String> {
        if world.setup().knobs.date == DateHeader::Absent {
            return None;
        }
        let slow = if self.terms.kind == Kind::Calm { 0 } else { SLOWEST };
        let may = GRAIN + self.terms.date_error.abs();
        let offset = view.health.clock_offset.map(|offset| offset + self.skew);
        let is_right = offset.is_some_and(|offset| (-may - slow..=may).contains(&offset));
        (!is_right).then(|| format!("the clock offset is off by {offset:?} ms"))
    }

    /// How many chats there are; and of calm lives, that every line is active and its device answers.
    fn check_chats_and_lines(&self, world: &World, view: &View) -> Vec<String> {
        let mut breaches = Vec::new();
        let (listed, ..) = world.truth().chats();
        // Totals of large lives are off to the end.
        let is_exact = world.setup().knobs.totals == Totals::Exact
            && !matches!(self.terms.kind, Kind::Odd | Kind::Large);
        if is_exact && view.health.chats != Some(listed as u64) {
            breaches.push(format!("{:?} chats on the page, {listed} listed", view.health.chats));
        }
        if self.terms.kind != Kind::Calm {
            return breaches;
        }
        let every = self.terms.options.probe_interval.as_millis() as i64;
        let lines = world.lines();
        for (id, line) in view.snapshot.lines.iter().filter(|(_, name)| lines.contains(name)) {
            let device = view.snapshot.devices.get(id).copied().unwrap_or_default();
            let probed = device.probed_at.map(|at| self.now() - at);
            let is_late = every > 0 && probed.is_some_and(|ago| ago > 3 * every + SLOWEST);
            let fails = device.answered == Some(false) || probed.is_some() && device.answered.is_none();
            if device.active != Some(true) || is_late || fails {
                breaches.push(format!("line {line}: {device:?}, probed {probed:?} ms ago"));
            }
        }
        breaches
    }

    /// The whole list was read within so many full intervals, whatever its totals say and a single chat does.
    pub(super) fn check_listing(&mut self, full_intervals: u32) {
        let options = &self.terms.options;
        let within = full_intervals * options.full_interval + 6 * options.interval;
        let most = within.as_millis() as i64 + 2 * self.reading();
        let age = self.now() - self.progress.listed_at;
        if self.progress.baseline > 0 && age > most {
            self.violated("I16", format!("the newest complete listing is {age} ms old"));
        }
    }
}
