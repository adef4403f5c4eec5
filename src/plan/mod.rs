//! What an account will ask of the exporter, before it is deployed: requests by class of work, freshness, memory, state.
//!
//! Here belongs arithmetic over the scheduler's own rules. Nothing here repeats one of its numbers: lists are paged by
//! the state machines of `collect`, waits and batches are those of `recheck`, shares those of `fair`.
//!
//! The mix of messages is assumed: see [`chat`] for receipts; a quarter of the chats gets half of the messages.

pub mod chat;
mod lists;
mod report;
mod size;

use std::time::Duration;

pub use size::Size;

use crate::api::PAGE_LIMIT;
use crate::collect::engine::listing_pace;
use crate::collect::{Options, fair};
use crate::domain::Work;

/// Kinds of chats, by how busy they are, for which a life is drawn.
const STRATA: u64 = 44;
/// Share of the budget above which waiting times grow quickly: a budget suffices while less than this is needed.
const SUFFICES_BELOW: f64 = 0.9;
/// Largest budget that is proposed, requests per second: `--api.budget` accepts no more.
const LARGEST_BUDGET: f64 = 100.0;

/// Requests per second, by `Work::ALL`.
pub type ByWork = [f64; Work::ALL.len()];

/// An account, as far as it is known before its deployment.
#[derive(Clone, Debug)]
pub struct Account {
    /// How many chats the account has.
    pub chats: u64,
    /// Messages per second, both directions, on average.
    pub messages_per_second: f64,
    /// How many lines the account has.
    pub lines: u64,
    /// Messages that travel as SMS, as a share of all.
    pub sms_share: f64,
}

/// Chats that are equally busy.
#[derive(Clone, Copy, Debug)]
struct Stratum {
    /// How many there are.
    chats: f64,
    /// Messages per second of each.
    rate: f64,
}

/// An account's traffic, by chat.
#[derive(Clone, Debug)]
struct Traffic(Vec<Stratum>);

impl Traffic {
    /// Strata with the same traffic each: the share `u` of the messages goes to the share `u * u` of the chats.
    fn of(account: &Account) -> Traffic {
        let strata = STRATA.min((account.chats as f64).sqrt() as u64);
        if strata == 0 || account.messages_per_second <= 0.0 {
            return Traffic(Vec::new());
        }
        let (chats, strata) = (account.chats as f64, strata as f64);
        let stratum = |at: u64| {
            let chats = chats * (2.0 * at as f64 + 1.0) / (strata * strata);
            Stratum { chats, rate: account.messages_per_second / strata / chats }
        };
        Traffic((0..strata as u64).map(stratum).collect())
    }

    /// The same traffic per chat, of fewer chats.
    fn fewer_chats(&self, factor: f64) -> Traffic {
        Traffic(self.0.iter().map(|s| Stratum { chats: s.chats / factor, ..*s }).collect())
    }

    /// How many chats get a message within a time.
    fn changed_within(&self, seconds: f64) -> f64 {
        self.0.iter().map(|stratum| stratum.chats * -(-stratum.rate * seconds).exp_m1()).sum()
    }
}

/// How fresh the page is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Freshness {
    /// Mean age of the watermark: messages that were sent before it are counted.
    pub watermark_lag_seconds: f64,
    /// Longest time after which a deleted chat is noticed to be missing from the list.
    pub full_listing_seconds: f64,
}

/// What is to be expected.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The budget it was made for, requests per second.
    pub budget: f64,
    /// What each class of work needs to be on time.
    pub needed: ByWork,
    /// What each class of work gets.
    pub granted: ByWork,
    /// How fresh the page is.
    pub freshness: Freshness,
    /// The least budget that suffices; `None` when none does that can be configured.
    pub sufficient_budget: Option<f64>,
    /// From the first start until every chat is read.
    pub first_start: Duration,
    /// Open messages at a time.
    pub open_messages: f64,
    /// What it takes of memory, disk and Prometheus.
    pub size: Size,
}

impl Prediction {
    /// Whether the budget suffices.
    pub fn suffices(&self) -> bool {
        self.total_needed() <= self.budget * SUFFICES_BELOW
    }

    /// What all work together needs, requests per second.
    pub fn total_needed(&self) -> f64 {
        self.needed.iter().sum()
    }
}

/// Predicts what an account costs with these settings.
pub fn predict(account: &Account, options: &Options) -> Prediction {
    let traffic = Traffic::of(account);
    let Needs { mut needed, audits_as_reads, open_messages } = needs(account, &traffic, options);
    let at = usize::from(Work::Listing.number());
    needed[at] = listing_rate(account.chats, options, options.budget);
    let granted = grant(&needed, audits_as_reads, options.budget);
    // A sum of nothing may be a negative zero.
    let [needed, granted] = [needed, granted].map(|rates| rates.map(|rate| rate + 0.0));
    let without_listing = needed.iter().sum::<f64>() - needed[at];
    let suffices = |budget: &f64| {
        without_listing + listing_rate(account.chats, options, *budget) <= budget * SUFFICES_BELOW
    };
    let tenths = 1..=(LARGEST_BUDGET * 10.0) as u32;
    Prediction {
        budget: options.budget,
        needed,
        granted,
        freshness: Freshness {
            watermark_lag_seconds: watermark_lag(&traffic, options, &needed, &granted),
            full_listing_seconds: lists::full_listing_pages(account.chats) as f64 / granted[at].max(1e-9),
        },
        sufficient_budget: tenths.map(|tenth| f64::from(tenth) / 10.0).find(suffices),
        first_start: first_start(account, &traffic, options, &needed),
        open_messages,
        size: Size::of(account, options, open_messages),
    }
}

/// What an account needs to be on time.
struct Needs {
    /// Requests per second of each class but the listing.
    needed: ByWork,
    /// Of the audits, those that are done by a read that was due anyway.
    audits_as_reads: f64,
    open_messages: f64,
}

fn needs(account: &Account, traffic: &Traffic, options: &Options) -> Needs {
    let interval = options.interval.as_secs_f64();
    let mut needed = [0.0; Work::ALL.len()];
    let mut need = |work: Work, rate: f64| needed[usize::from(work.number())] += rate;
    need(Work::Lines, 1.0 / options.lines_interval().as_secs_f64());
    need(Work::Sweep, lists::sweep_pages(account.chats, traffic, options) as f64 / interval);
    if !options.probe_interval.is_zero() {
        need(Work::Probe, account.lines as f64 / options.probe_interval.as_secs_f64());
    }
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut open_messages, mut audits_as_reads) = (0.0, 0.0);
    for Stratum { chats, rate } in traffic.0.iter().copied() {
        let cost = chat::cost(rate, account.sms_share, options, &mut rng);
        let reads = -(-rate * interval).exp_m1() / interval;
        let shallow = (reads - cost.audits_as_reads).max(0.0);
        need(Work::Read, chats * shallow * pages(rate, options.lookback + options.interval));
        let deep = chats * pages(rate, options.retention + options.audit_interval);
        need(Work::Audit, deep * cost.audits);
        need(Work::Recheck, chats * cost.rechecks);
        audits_as_reads += deep * cost.audits_as_reads;
        open_messages += chats * cost.open;
    }
    Needs { needed, audits_as_reads, open_messages }
}

/// Pages that a read of so long a time takes.
fn pages(rate: f64, time: Duration) -> f64 {
    (rate * time.as_secs_f64() / f64::from(PAGE_LIMIT)).ceil().max(1.0)
}

/// Full listings begin once per their interval, or as fast as their share of the budget allows.
fn listing_rate(chats: u64, options: &Options, budget: f64) -> f64 {
    let pages = lists::full_listing_pages(chats) as f64;
    pages / options.full_interval.as_secs_f64().max(pages * listing_pace(budget).as_secs_f64())
}

/// What each class gets. A chat that changed and whose audit is due is read once: reads pay for it, and it is an audit.
/// Where reads come late, that is how audits are done that would otherwise have been done alone.
fn grant(needed: &ByWork, audits_as_reads: f64, budget: f64) -> ByWork {
    let (read, audit) = (usize::from(Work::Read.number()), usize::from(Work::Audit.number()));
    let mut wanted = *needed;
    wanted[read] += audits_as_reads;
    wanted[audit] -= audits_as_reads;
    let mut granted = share_out(&wanted, budget);
    let paid_by_reads = (needed[audit] - granted[audit]).min(granted[read]);
    granted[read] -= paid_by_reads;
    granted[audit] += paid_by_reads;
    granted
}

/// What each class gets: what it wants, or its share of what the others leave.
fn share_out(wanted: &ByWork, budget: f64) -> ByWork {
    let mut granted = [0.0; Work::ALL.len()];
    let mut unserved: Vec<Work> = Work::ALL.to_vec();
    let mut left = budget;
    loop {
        let shares: f64 = unserved.iter().map(|work| fair::least_share(*work)).sum();
        let fair_share = |work: Work| left * fair::least_share(work) / shares;
        let want = |work: Work| wanted[usize::from(work.number())];
        let (served, others): (Vec<Work>, Vec<Work>) =
            unserved.iter().partition(|work| want(**work) <= fair_share(**work));
        if served.is_empty() {
            for work in others {
                granted[usize::from(work.number())] = fair_share(work);
            }
            return granted;
        }
        for work in served {
            granted[usize::from(work.number())] = want(work);
            left -= want(work);
        }
        unserved = others;
    }
}

/// Whether a class gets less than it needs, rounding aside.
fn is_short(granted: f64, needed: f64) -> bool {
    granted < needed * (1.0 - 1e-6)
}

/// Mean age of the watermark. It moves on when everything that a sweep named is read.
fn watermark_lag(traffic: &Traffic, options: &Options, needed: &ByWork, granted: &ByWork) -> f64 {
    let interval = options.interval.as_secs_f64();
    let read = usize::from(Work::Read.number());
    let audit = usize::from(Work::Audit.number());
    if is_short(granted[read], needed[read]) {
        // Every chat that changed waits for its turn. The longer a turn takes, the more messages one read counts.
        let served = granted[read] + granted[audit];
        let (mut low, mut high) = (interval, 366.0 * 86_400.0);
        while high - low > 1.0 {
            let turn = (low + high) / 2.0;
            if traffic.changed_within(turn) / turn > served { low = turn } else { high = turn }
        }
        return high + interval / 2.0;
    }
    let others = granted.iter().sum::<f64>() - granted[read];
    let reads = needed[read] * interval;
    interval / 2.0 + (1.0 + reads) / (options.budget - others).max(granted[read]).max(1e-9)
}

/// From the first start until every chat with something to show is read: a whole listing, then one read each.
fn first_start(account: &Account, traffic: &Traffic, options: &Options, needed: &ByWork) -> Duration {
    let history = options.window.max(options.horizon).as_secs_f64();
    let spare = (options.budget - needed.iter().sum::<f64>())
        .max(options.budget * fair::least_share(Work::FirstRead))
        .max(1e-9);
    let listing = lists::full_listing_pages(account.chats) as f64 / options.budget.max(1e-9);
    let seconds = listing + traffic.changed_within(history) / spare;
    Duration::from_secs_f64(seconds.min(1e9))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn options() -> Options {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        Options {
            interval: Duration::from_secs(30),
            full_interval: Duration::from_secs(600),
            window: hours(1),
            lookback: Duration::from_secs(600),
            retention: hours(168),
            audit_interval: hours(24),
            horizon: hours(72),
            conversation_turn: Duration::from_secs(60),
            probe_interval: Duration::from_secs(300),
            probe_chats: Vec::new(),
            budget: 2.0,
        }
    }

    fn account(chats: u64, messages_per_second: f64) -> Account {
        Account { chats, messages_per_second, lines: 3, sms_share: 0.3 }
    }

    fn of(prediction: &ByWork, work: Work) -> f64 {
        prediction[usize::from(work.number())]
    }

    #[test]
    fn an_idle_account_costs_its_sweeps_probes_and_listings() {
        let prediction = predict(&account(2_000, 0.0), &options());
        assert_eq!(of(&prediction.needed, Work::Sweep), 1.0 / 30.0);
        assert_eq!(of(&prediction.needed, Work::Probe), 3.0 / 300.0);
        assert_eq!(of(&prediction.needed, Work::Read) + of(&prediction.needed, Work::Recheck), 0.0);
        assert!(prediction.suffices());
        assert_eq!(prediction.granted, prediction.needed);
    }

    #[test]
    fn the_traffic_is_what_was_said() {
        for (chats, rate) in [(1, 0.5), (7, 0.1), (2_000, 1.0), (1_000_000, 20.0)] {
            let Traffic(strata) = Traffic::of(&account(chats, rate));
            let sum = |of: &dyn Fn(&Stratum) -> f64| strata.iter().map(of).sum::<f64>();
            assert!((sum(&|s| s.chats) - chats as f64).abs() < 1e-6 * chats as f64);
            assert!((sum(&|s| s.chats * s.rate) - rate).abs() < 1e-6 * rate);
        }
    }

    #[test]
    fn what_is_granted_is_within_the_budget_and_no_more_than_needed() {
        for rate in [0.1, 1.0, 5.0, 50.0] {
            let prediction = predict(&account(500, rate), &options());
            let total: f64 = prediction.granted.iter().sum();
            assert!(total <= prediction.budget + 1e-9, "{total} at {rate}");
            for (granted, needed) in prediction.granted.iter().zip(prediction.needed) {
                assert!(*granted <= needed + 1e-9);
            }
            let expected = prediction.total_needed().min(prediction.budget);
            assert!(total > expected * 0.95, "{total} of {expected} at {rate}");
        }
    }

    #[test]
    fn the_proposed_budget_suffices_and_a_smaller_one_does_not() {
        let account = account(500, 4.0);
        let prediction = predict(&account, &options());
        assert!(!prediction.suffices());
        let budget = prediction.sufficient_budget.unwrap();
        let with = |budget: f64| predict(&account, &Options { budget, ..options() });
        assert!(with(budget).suffices());
        assert!(!with(budget - 0.1).suffices());
        assert!(with(budget).freshness.watermark_lag_seconds < 60.0);
    }

    #[test]
    fn listings_take_a_tenth_of_the_budget_however_many_chats_there_are() {
        for chats in [100_000, 1_000_000] {
            let prediction = predict(&account(chats, 0.0), &options());
            assert!(of(&prediction.needed, Work::Listing) <= 0.1001 * prediction.budget);
        }
    }

    #[test]
    fn the_lag_grows_with_the_load() {
        let lag = |rate: f64| predict(&account(2_000, rate), &options()).freshness.watermark_lag_seconds;
        let lags = [lag(0.0), lag(0.5), lag(5.0), lag(50.0)];
        assert!(lags.is_sorted(), "{lags:?}");
        assert!(lags[0] < 20.0 && lags[3] > 60.0, "{lags:?}");
    }
}
