//! Named worlds, one sentence each.

use super::decay;
use super::setup::{
    Bounds, Conversations, Era, ErrorBody, InboundDelivered, InboundStatus, Knobs, LastActive, LimitRule,
    RateLimit, RetryAfter, Setup, Shares, Totals, Upheavals,
};
use super::tuning::Tuning;
use super::world::{World, line_number};

/// A setup with a name, and the faults that are on from the beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The name it is chosen by.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub sentence: &'static str,
    /// How the world is built.
    pub setup: Setup,
    /// Faults that are on from the start, by name.
    pub faults: Vec<(&'static str, Tuning)>,
}

impl Scenario {
    /// Its world, with another seed and start (unix milliseconds), and its faults switched on.
    pub fn world(&self, seed: u64, start_ms: i64) -> World {
        self.world_from(Setup { seed, start_ms, ..self.setup.clone() })
    }

    /// The same over a setup of the caller's own, which the caller derived from `self.setup`.
    pub fn world_from(&self, setup: Setup) -> World {
        let mut world = World::new(setup);
        for (name, tuning) in &self.faults {
            let known = world.switch_on(name, tuning.clone());
            debug_assert!(known.is_ok(), "scenario {} names a fault that does not exist", self.name);
        }
        world
    }
}

/// How many times the traffic of a real line: a person does not wait for days.
const DECAY_FASTER: f64 = 20.0;

fn decay_lines() -> Vec<Conversations> {
    let healthy = decay::controls().into_iter().map(|control| control.conversations);
    let decaying = decay::DECAYS.iter().map(|_| decay::before());
    healthy.chain(decaying).map(|line| line.faster(DECAY_FASTER)).collect()
}

fn decay_faults() -> Vec<(&'static str, Tuning)> {
    let first = decay::controls().len();
    let tuned = |(n, decay): (usize, &decay::Decay)| {
        (decay.fault, Tuning { value: decay.value, ..Tuning::line(&line_number(first + n)) })
    };
    decay::DECAYS.iter().enumerate().map(tuned).collect()
}

/// The scenario of this name.
pub fn scenario(name: &str) -> Option<Scenario> {
    all().into_iter().find(|s| s.name == name)
}

/// Every scenario that `simulate` can play.
pub fn all() -> Vec<Scenario> {
    let calm = Setup::default;
    let faults = |list: &[(&'static str, Tuning)]| list.to_vec();
    let knobs = Knobs::default;
    let shares = Shares::default;
    let plain = |name, sentence, setup| Scenario { name, sentence, setup, faults: Vec::new() };
    vec![
        plain("steady", "Some of everything, at a pace a person can follow.", calm()),
        plain(
            "demo",
            "Enough of everything that one minute shows it: statuses move twenty times faster than usual.",
            Setup {
                inbound_per_minute: 60.0,
                outbound_per_minute: 120.0,
                pace: 20.0,
                upheavals: Upheavals { outages_per_hour: 30.0, outage_ms: 30_000, ..Upheavals::default() },
                shares: Shares { failed: 0.08, cancelled: 0.06, fallback: 0.12, ..shares() },
                ..calm()
            },
        ),
        plain(
            "healthy",
            "Eight lines of a team whose messages arrive: the ground on which one switched-on fault stands out.",
            Setup {
                chats: 240,
                history_messages: 1_500,
                email_share: 0.15,
                group_share: 0.05,
                ..decay::setup(vec![Conversations::default().faster(120.0); 8])
            },
        ),
        Scenario {
            name: "decay",
            sentence: "Five healthy lines of different uses, and five that decay while nothing fails.",
            setup: decay::setup(decay_lines()),
            faults: decay_faults(),
        },
        plain(
            "many-lines",
            "A hundred healthy lines with a message a minute each: as many as an exporter tells apart in one account.",
            Setup {
                history_messages: 2_000,
                ..decay::setup(vec![Conversations::default().faster(12.0); 100])
            },
        ),
        plain(
            "quiet",
            "Conversations with a history, and nothing new.",
            Setup { inbound_per_minute: 0.0, outbound_per_minute: 0.0, ..calm() },
        ),
        plain(
            "year",
            "A year of messages with business hours, weekends and seasons, and little that is new.",
            Setup {
                chats: 400,
                history_messages: 30_000,
                history_ms: 365 * 86_400_000,
                seasons: true,
                inbound_per_minute: 1.0,
                outbound_per_minute: 1.5,
                ..calm()
            },
        ),
        plain(
            "month",
            "A month of 100,000 messages in 2,000 conversations, with business hours and weekends, and nothing new.",
            Setup {
                chats: 2_000,
                history_messages: 100_000,
                history_ms: 30 * 86_400_000,
                seasons: true,
                inbound_per_minute: 0.0,
                outbound_per_minute: 0.0,
                ..calm()
            },
        ),
        plain(
            "busy",
            "Two thousand conversations on eight lines and twenty messages a second.",
            Setup {
                lines: 8,
                chats: 2_000,
                history_messages: 20_000,
                inbound_per_minute: 500.0,
                outbound_per_minute: 700.0,
                upheavals: Upheavals { bursts_per_hour: 20.0, burst_size: 30, ..Upheavals::default() },
                ..calm()
            },
        ),
        plain(
            "legacy",
            "The older words: non-imessage, null protocols, and inbound messages with any status.",
            Setup {
                knobs: Knobs {
                    era: Era::Mixed,
                    inbound_status: InboundStatus::Mixed,
                    inbound_delivered: InboundDelivered::Later,
                    last_active: LastActive::Millis,
                    line_status_fields: true,
                    ..knobs()
                },
                shares: Shares { sms: 0.2, fallback: 0.1, ..shares() },
                ..calm()
            },
        ),
        plain(
            "late",
            "Three messages in ten become visible minutes to half an hour after they were sent.",
            Setup { shares: Shares { late: 0.3, late_ms: (2_000, 1_800_000), ..shares() }, ..calm() },
        ),
        plain(
            "bursts",
            "Many messages of one conversation within the same millisecond, more than fit on a page.",
            Setup {
                page_cap: 20,
                upheavals: Upheavals { bursts_per_hour: 120.0, burst_size: 45, ..Upheavals::default() },
                knobs: Knobs { unstable_ties: true, ..knobs() },
                ..calm()
            },
        ),
        plain(
            "shifting",
            "Lists move while they are read, ties come in any order, pages are short and totals wrong.",
            Setup {
                page_cap: 10,
                knobs: Knobs {
                    shift: 0.5,
                    unstable_ties: true,
                    totals: Totals::Stale,
                    short_pages: 0.1,
                    duplicate_rows: 0.1,
                    replica_lag_ms: 3_000,
                    fresh_404_ms: 500,
                    ..knobs()
                },
                shares: Shares { future: 0.005, ..shares() },
                upheavals: Upheavals { bursts_per_hour: 30.0, burst_size: 15, ..Upheavals::default() },
                ..calm()
            },
        ),
        plain(
            "device-outage",
            "Devices go away for three minutes and come back; their messages wait in the queue meanwhile.",
            Setup {
                upheavals: Upheavals { outages_per_hour: 15.0, outage_ms: 180_000, ..Upheavals::default() },
                knobs: Knobs { background_ms: (100, 1_500), ..knobs() },
                ..calm()
            },
        ),
        plain(
            "failures",
            "A third of what is sent fails, for every reason there is and for none.",
            Setup { shares: Shares { failed: 0.33, cancelled: 0.05, ..shares() }, ..calm() },
        ),
        plain(
            "fallback",
            "Most messages are tried on iMessage and then go by SMS or RCS.",
            Setup {
                shares: Shares { fallback: 0.6, unresolved: 0.05, ..shares() },
                knobs: Knobs { error_on_unresolved: true, ..knobs() },
                ..calm()
            },
        ),
        plain(
            "rate-limited",
            "The server allows one request a second and asks for pauses when it gets more.",
            Setup {
                knobs: Knobs {
                    rate_limit: Some(RateLimit {
                        per_second: 1.0,
                        burst: 5.0,
                        pause_seconds: 4,
                        retry_after: RetryAfter::Seconds,
                    }),
                    ..knobs()
                },
                ..calm()
            },
        ),
        Scenario {
            name: "flaky",
            sentence: "About one request in seven goes wrong: 5xx, resets, hangs, slow and broken bodies.",
            setup: Setup { knobs: Knobs { error_body: ErrorBody::Html, ..knobs() }, ..calm() },
            faults: faults(&[
                ("http-500", Tuning::share(0.02)),
                ("http-502", Tuning::share(0.02)),
                ("http-503", Tuning::share(0.02)),
                ("html-200", Tuning::share(0.01)),
                ("empty-200", Tuning::share(0.01)),
                ("error-object-200", Tuning::share(0.01)),
                ("truncated-json", Tuning::share(0.01)),
                ("truncated-close", Tuning::share(0.01)),
                ("truncated-no-length", Tuning::share(0.01)),
                ("reset", Tuning::share(0.02)),
                ("slow-head", Tuning { value: Some(2.0), ..Tuning::share(0.01) }),
                ("hang", Tuning::share(0.005)),
                ("no-active-device", Tuning::share(0.1)),
            ]),
        },
        plain(
            "odd-values",
            "Undocumented words and fields, missing keys, nulls, and a few rows that cannot be used.",
            Setup {
                shares: Shares { odd: 0.1, unusable: 0.01, no_line: 0.1, negative_latency: 0.05, ..shares() },
                knobs: Knobs {
                    era: Era::Mixed,
                    inbound_status: InboundStatus::Mixed,
                    error_on_unresolved: true,
                    extra_fields: 0.2,
                    dropped_keys: 0.2,
                    nameless_device: true,
                    last_active: LastActive::Seconds,
                    ..knobs()
                },
                ..calm()
            },
        ),
        plain(
            "inclusive",
            "The other readings of what is open: inclusive bounds, clamped limits, time_sent set at hand-over.",
            Setup {
                page_cap: 50,
                knobs: Knobs {
                    bounds: Bounds::Inclusive,
                    chats_limit: LimitRule::Refuse,
                    messages_limit: LimitRule::Clamp,
                    rewrite_time_sent: true,
                    inbound_delivered: InboundDelivered::Same,
                    last_active: LastActive::Null,
                    totals: Totals::Absent,
                    raw_plus: false,
                    ..knobs()
                },
                shares: Shares { sms_stay_sent: 0.0, ..shares() },
                ..calm()
            },
        ),
        plain(
            "merges-and-deletes",
            "Conversations are merged and deleted, and single messages vanish.",
            Setup {
                chats: 120,
                upheavals: Upheavals {
                    message_deletes_per_hour: 240.0,
                    chat_deletes_per_hour: 20.0,
                    merges_per_hour: 40.0,
                    ..Upheavals::default()
                },
                shares: Shares { new_chat: 0.05, ..shares() },
                ..calm()
            },
        ),
        plain(
            "regressions",
            "One ended message in ten shows another status some minutes later.",
            Setup { pace: 5.0, shares: Shares { regress: 0.1, ..shares() }, ..calm() },
        ),
    ]
}
