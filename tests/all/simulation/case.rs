//! A life, drawn from its seed: the world, the collector's settings, and what befalls both.

use std::time::Duration;

use blooio_exporter::collect::Options;
use blooio_exporter::config::{Api, CollectorSettings};
use blooio_exporter::simulator::setup::{
    Bounds, DateHeader, Era, InboundDelivered, InboundStatus, RateLimit, RetryAfter, Totals,
};
use blooio_exporter::simulator::{Chats, FaultKind, Knobs, Setting, Setup, Shares, Tuning, Upheavals};

use super::disk::{Death, Faults};
use super::feed::Terms;
use super::kinds;

pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
const HOUR: f64 = 60.0;
/// After which a request fails, unless a life is of the default settings.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// Faults of requests that a storm may bring.
const FAULTS: &[&str] = &[
    "rate-limit-seconds",
    "rate-limit-date",
    "rate-limit-bare",
    "rate-limit-code",
    "http-500",
    "http-502",
    "http-503",
    "unauthorized",
    "forbidden",
    "html-200",
    "empty-200",
    "error-object-200",
    "truncated-json",
    "truncated-close",
    "truncated-no-length",
    "reset",
    "slow-head",
    "slow-body",
    "hang",
    "device-down",
    "stuck",
    "no-receipts",
];

/// What happens at a moment of the world.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    On(&'static str, Tuning),
    Off(&'static str),
    /// The process is killed, and another starts after so many ms.
    Kill(i64),
    /// The process is stopped, and another starts at once with other options.
    Restart(Box<Options>),
    /// Nothing new happens from here on.
    Quiet,
}

/// What a life is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// No faults and no crashes: freshness is asserted.
    Calm,
    /// Failing requests, crashes, full disks, until it is quiet.
    Stormy,
    /// Valid and wrong answers for a while; traffic goes on.
    Misled,
    /// Some chats are broken until the end of the life.
    Broken,
    /// The host's clock and the server's `Date` are wrong.
    Clocks,
    /// Content that no schema would expect, and identities that are hard to keep apart.
    Odd,
    /// Messages that come as late as they may, in chats that nothing else shows to have changed.
    Tardy,
    /// Chats that the list lacks for long, that deny themselves for a while, or that are merged.
    Vanishing,
    /// Thousands of chats on pages of real size.
    Large,
    /// More messages than the budget can read.
    Overloaded,
}

pub(crate) struct Case {
    /// What it is about.
    pub(crate) kind: Kind,
    pub(crate) setup: Setup,
    pub(crate) options: Options,
    /// After which a request that is not answered has failed.
    pub(crate) timeout: Duration,
    /// The host's clock minus the world's, by process; the last one stays.
    pub(crate) clock_skews: Vec<i64>,
    /// What happens, by ms from the start.
    pub(crate) events: Vec<(i64, Event)>,
    /// How often commits kill or fail, until it is quiet.
    pub(crate) fragile: bool,
    /// Share of commits that fail.
    pub(crate) full: f64,
    /// The server's clock is off by this much, ms, for long enough to be believed.
    pub(crate) date_error: i64,
    /// Share of pages of messages of which one row lacks its id, until it is quiet.
    pub(crate) broken_rows: f64,
    /// The fault that some chats cannot be read for from some moment until the end.
    pub(crate) breaks_chats: Option<&'static str>,
    /// The webhook feed, where there is one.
    pub(crate) feed: Option<Terms>,
}

pub(super) fn one<T: Copy>(rng: &mut fastrand::Rng, of: &[T]) -> T {
    of[rng.usize(0..of.len())]
}

impl Case {
    /// The life of this seed. Whether it has a webhook feed is drawn apart, so that the rest of the life stays what it was.
    pub(crate) fn of(seed: u64) -> Case {
        let case = Case::without_feed(seed);
        Case { feed: Terms::draw(seed, &case), ..case }
    }

    /// The same life at those default settings that decide how soon counting goes on after a fault. The others say how
    /// long things take for which a life has no time. Rows that break at random until the end are no fault that ends.
    pub(crate) fn at_default_settings(seed: u64) -> Case {
        Case::without_feed(seed).settled_by_default()
    }

    /// A life at those settings in which most chats cannot be read from some moment on.
    pub(crate) fn mostly_broken(seed: u64) -> Case {
        kinds::mostly_broken(seed).settled_by_default()
    }

    fn settled_by_default(self) -> Case {
        let collector = CollectorSettings::default();
        let options = Options {
            interval: collector.interval,
            full_interval: collector.full_interval,
            budget: Api::default().budget,
            ..self.options
        };
        let events =
            self.events.into_iter().filter(|(_, event)| !matches!(event, Event::Restart(_))).collect();
        Case { options, events, timeout: Api::default().timeout, broken_rows: 0.0, ..self }
    }

    /// The same life, in which one chat cannot be read from the start to the end. Drawn apart, so that the rest of the life stays
    /// what it was.
    pub(crate) fn beside_a_broken_chat(seed: u64) -> Case {
        let case = Case::of(seed);
        if case.breaks_chats.is_some() {
            return case;
        }
        let rng = &mut fastrand::Rng::with_seed(seed ^ 0xb40c);
        let names = ["http-500", "http-503", "forbidden", "html-200", "truncated-json", "hang"];
        let unused: Vec<_> = names.into_iter().filter(|name| !case.brings(name)).collect();
        let (name, chat) = (one(rng, &unused), rng.u32(0..case.setup.chats as u32));
        let broken = Event::On(name, Tuning::chats(Chats::Nth(chat)));
        let events = std::iter::once((0, broken)).chain(case.events).collect();
        Case { events, breaks_chats: Some(name), ..case }
    }

    fn without_feed(seed: u64) -> Case {
        match seed % 64 {
            33 if seed % 128 == 33 => kinds::large(seed),
            50 => kinds::overloaded(seed),
            n if n % 4 < 2 => Case::classic(seed),
            n if n % 8 == 2 => kinds::misled(seed),
            n if n % 32 == 27 => kinds::clocks(seed),
            n if n % 8 == 3 => kinds::broken(seed),
            n if n % 16 == 6 => kinds::clocks(seed),
            n if n % 16 == 7 => kinds::odd(seed),
            n if n % 16 == 14 => kinds::tardy(seed),
            _ => kinds::vanishing(seed),
        }
    }

    /// A calm life (every fourth seed) or a stormy one. Seeds that found something with these keep their meaning.
    pub(crate) fn classic(seed: u64) -> Case {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0b10_010b);
        let calm = seed.is_multiple_of(4);
        let rng = &mut rng;
        let setup = setup(seed, calm, rng);
        let budget = if !calm && rng.u8(0..4) == 0 { 3.0 } else { 20.0 };
        let options = Options {
            // A full listing heals what a sweep overlooks; seldom ones leave time to notice.
            full_interval: Duration::from_secs(if calm { 120 } else { 60 }),
            horizon: Duration::from_secs(rng.u64(480..1_000)),
            conversation_turn: Duration::from_secs(60),
            probe_interval: Duration::from_secs(one(rng, &[0, 60])),
            budget,
            ..kinds::options()
        };
        let quiet_at = rng.i64(16..32) * MINUTE;
        let mut events = vec![(quiet_at, Event::Quiet)];
        if !calm {
            storms(quiet_at, rng, &mut events);
        }
        events.sort_by_key(|(at, _)| *at);
        let absent_date = setup.knobs.date == DateHeader::Absent;
        let skew = if absent_date { 0 } else { one(rng, &[0, 0, 700, -1_500, 90_000, -240_000]) };
        Case {
            kind: if calm { Kind::Calm } else { Kind::Stormy },
            setup,
            options,
            timeout: TIMEOUT,
            clock_skews: vec![skew],
            events,
            fragile: !calm && rng.bool(),
            full: if !calm && rng.u8(0..4) == 0 { 0.1 } else { 0.0 },
            date_error: 0,
            broken_rows: 0.0,
            breaks_chats: None,
            feed: None,
        }
    }

    /// What goes wrong with the commits of the next process.
    pub(crate) fn disk_faults(&self, rng: &mut fastrand::Rng, quiet: bool) -> Faults {
        let death = one(rng, &[Death::BeforeCommit, Death::BeforePublish]);
        Faults {
            death: (self.fragile && !quiet).then(|| (1 + rng.u64(0..=rng.clone().u64(1..400)), death)),
            full: if quiet { 0.0 } else { self.full },
        }
    }

    /// Whether this fault is switched on in it.
    pub(crate) fn brings(&self, fault: &str) -> bool {
        brings(&self.events, fault)
    }

    /// What happens in it, for a reader of a failure.
    pub(crate) fn faults(&self) -> String {
        let told = self.events.iter().map(|(at, event)| {
            let at = at / SECOND;
            match event {
                Event::On(name, t) => {
                    format!("{at} s {name} {:?} {:?} {:?} {:?}", t.value, t.share, t.endpoint, t.chats)
                }
                Event::Off(name) => format!("{at} s not {name}"),
                Event::Kill(down) => format!("{at} s killed for {down} ms"),
                Event::Restart(_) => format!("{at} s restarted"),
                Event::Quiet => format!("{at} s quiet"),
            }
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// How much later than its arrival a message may be seen by the luckiest request, ms.
    pub(crate) fn api_lag(&self) -> i64 {
        let knobs = &self.setup.knobs;
        knobs.replica_lag_ms + knobs.list_lag_ms + knobs.time_grain_ms.max(1) - 1
    }
}

/// Whether events switch this fault on.
pub(super) fn brings(events: &[(i64, Event)], fault: &str) -> bool {
    events.iter().any(|(_, event)| matches!(event, Event::On(name, _) if *name == fault))
}

/// How long the next process waits to be started, ms.
pub(crate) fn downtime(rng: &mut fastrand::Rng) -> i64 {
    match rng.u8(0..20) {
        0 => rng.i64(31..40) * MINUTE,
        1..4 => rng.i64(MINUTE..5 * MINUTE),
        4..8 => rng.i64(SECOND..MINUTE),
        _ => rng.i64(0..500),
    }
}

fn storms(quiet_at: i64, rng: &mut fastrand::Rng, events: &mut Vec<(i64, Event)>) {
    for _ in 0..rng.usize(0..4) {
        let (name, from) = (one(rng, FAULTS), rng.i64(0..quiet_at));
        let lasts =
            if rng.u8(0..5) == 0 { rng.i64(MINUTE..20 * MINUTE) } else { rng.i64(SECOND..2 * MINUTE) };
        // One pause in eight is longer than any that is heeded; drawn from the time alone, so that the rest stays what it was.
        let long = (from % 8 == 0).then_some(900.0 + (from % 900) as f64);
        let short = name.starts_with("rate-limit").then(|| rng.f64() * 40.0);
        let value = short.map(|short| long.unwrap_or(short));
        let share = rng.bool().then(|| rng.f64());
        let kind = FaultKind::named(name).unwrap();
        let tuning = Tuning {
            value: value.filter(|_| kind.takes(Setting::Value)),
            share: share.filter(|_| kind.takes(Setting::Share)),
            ..Tuning::default()
        };
        events.push((from, Event::On(name, tuning)));
        events.push(((from + lasts).min(quiet_at), Event::Off(name)));
    }
    if rng.bool() {
        // Some errors all the time.
        let share = rng.f64() * 0.15;
        events.push((0, Event::On("http-500", Tuning::share(share))));
        events.push((quiet_at, Event::Off("http-500")));
    }
    for _ in 0..rng.usize(0..6) {
        events.push((rng.i64(0..quiet_at), Event::Kill(downtime(rng))));
    }
}

fn setup(seed: u64, calm: bool, rng: &mut fastrand::Rng) -> Setup {
    let share = |rng: &mut fastrand::Rng, most: f64| if rng.bool() { rng.f64() * most } else { 0.0 };
    let rewrites = rng.u8(0..5) == 0;
    let most_late = match rng.u8(0..4) {
        0 if !rewrites => 45 * MINUTE,
        1 => 20 * MINUTE,
        _ => 50 * SECOND,
    };
    let strange = !calm && rng.u8(0..4) == 0;
    let rate = 3.0;
    Setup {
        seed,
        lines: rng.usize(1..4),
        chats: rng.usize(1..18),
        history_messages: rng.usize(0..120),
        history_ms: 2 * 3_600_000,
        inbound_per_minute: rng.f64() * rate,
        outbound_per_minute: rng.f64() * rate,
        pace: one(rng, &[1.0, 10.0, 30.0]),
        page_cap: rng.usize(5..7),
        shares: Shares {
            late: share(rng, 0.3),
            late_ms: (100, most_late),
            long_tail: share(rng, 0.1),
            failed: share(rng, 0.2),
            cancelled: share(rng, 0.1),
            fallback: share(rng, 0.2),
            future: if rng.u8(0..6) == 0 { 0.03 } else { 0.0 },
            new_chat: share(rng, 0.1),
            odd: if strange { 0.1 } else { 0.0 },
            unusable: if strange { 0.02 } else { 0.0 },
            regress: if strange { 0.1 } else { 0.0 },
            ..Shares::default()
        },
        upheavals: Upheavals {
            // One that goes while another comes late leaves the list's row as it was: only an audit can tell.
            message_deletes_per_hour: if calm { 0.0 } else { share(rng, 30.0) },
            chat_deletes_per_hour: if calm { 0.0 } else { share(rng, 3.0) },
            merges_per_hour: if calm { 0.0 } else { share(rng, 6.0) },
            bursts_per_hour: share(rng, HOUR / 5.0),
            burst_size: rng.usize(2..25),
            outages_per_hour: if calm { 0.0 } else { share(rng, 2.0) },
            outage_ms: rng.i64(MINUTE..20 * MINUTE),
            ..Upheavals::default()
        },
        knobs: knobs(calm, strange, rewrites, rng),
        ..Setup::default()
    }
}

fn knobs(calm: bool, strange: bool, rewrites: bool, rng: &mut fastrand::Rng) -> Knobs {
    let share = |rng: &mut fastrand::Rng, most: f64| if rng.bool() { rng.f64() * most } else { 0.0 };
    let limited = !calm && rng.u8(0..8) == 0;
    Knobs {
        era: one(rng, &[Era::Legacy, Era::Current, Era::Mixed]),
        inbound_status: one(rng, &[InboundStatus::Null, InboundStatus::Delivered, InboundStatus::Mixed]),
        inbound_delivered: one(rng, &[InboundDelivered::Null, InboundDelivered::Later]),
        bounds: one(rng, &[Bounds::Exclusive, Bounds::Inclusive]),
        rewrite_time_sent: rewrites,
        totals: if calm {
            Totals::Exact
        } else {
            one(rng, &[Totals::Exact, Totals::Exact, Totals::Exact, Totals::Stale, Totals::Absent])
        },
        shift: share(rng, 0.3),
        unstable_ties: rng.bool(),
        short_pages: share(rng, 0.2),
        duplicate_rows: share(rng, 0.2),
        replica_lag_ms: if rng.bool() { 0 } else { rng.i64(100..3_000) },
        fresh_404_ms: if calm || rng.bool() { 0 } else { rng.i64(100..5_000) },
        date: if rng.u8(0..8) == 0 { DateHeader::Absent } else { DateHeader::Exact },
        rate_limit: limited.then(|| RateLimit {
            per_second: 10.0,
            burst: 20.0,
            pause_seconds: rng.i64(1..20),
            retry_after: one(rng, &[RetryAfter::Seconds, RetryAfter::Date, RetryAfter::Absent]),
        }),
        extra_fields: if strange { 0.1 } else { 0.0 },
        dropped_keys: if strange { 0.1 } else { 0.0 },
        ..Knobs::default()
    }
}
