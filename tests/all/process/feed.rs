//! The webhook feed in virtual time: the real collector, a simulated account with 1,000 active chats, and its events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::api::MessageRef;
use blooio_exporter::collect::{IdHasher, Options};
use blooio_exporter::domain::{Counter, Delta, Direction, HistogramKey, MessageId, Unannounced, Work};
use blooio_exporter::feed::{Event, EventKind, Hints, trust};
use blooio_exporter::simulator::{Delivery, EventFaults, Events, Setup, Shares};
use blooio_exporter::store::{MemoryStore, Store, StoreError};
use tokio::time::sleep;

use crate::support::load::{self, Live};

const MINUTE: u64 = 60;
/// Time until a feed may be trusted, and a little more.
const TRUSTED_AFTER: Duration = Duration::from_secs(65 * MINUTE);
/// Messages per second of the whole account.
const TRAFFIC: f64 = 0.3;
/// Age at which an open message is given up: short, so that as many are given up as come within hours. With the default,
/// polling asks twice more for each text message that never gets a receipt.
const HORIZON: Duration = Duration::from_secs(8 * 60 * MINUTE);
/// When that is so.
const STEADY_AFTER: Duration = Duration::from_secs(9 * 60 * MINUTE);

/// When each message was first committed as counted, handed over and ended, by the account's clock.
type Shown = Arc<Mutex<BTreeMap<MessageId, [Option<i64>; 3]>>>;

/// A store that remembers when it was told what.
struct Watched {
    store: MemoryStore,
    live: Live,
    shown: Shown,
}

impl Store for Watched {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        self.store.commit(delta)?;
        let now = self.live.now();
        let mut shown = self.shown.lock().unwrap();
        for (id, held) in &delta.messages {
            let Some((tracked, _)) = held else { continue };
            let times = shown.entry(*id).or_default();
            let is = [true, tracked.was_handed_over(), tracked.is_ended()];
            for (time, _) in times.iter_mut().zip(is).filter(|(_, is)| *is) {
                time.get_or_insert(now);
            }
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.store.size()
    }
}

/// Which of the times of [`Shown`] an event tells of.
fn told(kind: EventKind) -> usize {
    match kind {
        EventKind::MessageReceived => 0,
        EventKind::MessageSent => 1,
        _ => 2,
    }
}

fn id_of(way: Direction, message: &str) -> MessageId {
    IdHasher::new(&[7; 32], "load").message(way, &MessageRef::parse(message).unwrap())
}

fn identity(delivery: &Delivery) -> MessageId {
    let way = match EventKind::parse(delivery.kind) {
        EventKind::MessageReceived => Direction::Inbound,
        _ => Direction::Outbound,
    };
    id_of(way, &delivery.message_id)
}

/// An account with its events: what is sent to its receiver, and what its store is told.
struct Fed {
    live: Live,
    hints: Arc<Hints>,
    events: Mutex<Events>,
    taken: Mutex<Taken>,
    shown: Shown,
}

impl Fed {
    fn new() -> Fed {
        let live = Live::new(setup(), options());
        let events = Mutex::new(Events::of(&mut live.world(), 1, EventFaults::NONE));
        let (taken, shown) = (Mutex::default(), Shown::default());
        Fed { live, hints: Arc::new(Hints::new(4_096)), events, taken, shown }
    }

    fn store(&self) -> Watched {
        let (live, shown) = (self.live.clone(), Arc::clone(&self.shown));
        Watched { store: MemoryStore::default(), live, shown }
    }

    /// Delivers the events for ever; `is_up` says whether the receiver answers at a time.
    async fn deliver(&self, is_up: impl Fn(i64) -> bool) {
        deliver(&self.live, &self.hints, &self.events, &self.taken, is_up).await;
    }
}

/// What a receiver was sent: what it took in, and when.
#[derive(Default)]
struct Taken {
    accepted: Vec<(i64, Delivery)>,
}

/// Delivers the account's events for ever; `is_up` says whether the receiver answers at a time.
async fn deliver(
    live: &Live,
    hints: &Hints,
    events: &Mutex<Events>,
    taken: &Mutex<Taken>,
    is_up: impl Fn(i64) -> bool,
) {
    loop {
        sleep(Duration::from_millis(100)).await;
        let now = live.now();
        let mut events = events.lock().unwrap();
        let delivered = {
            let mut world = live.world();
            world.step(now);
            events.take(&mut world)
        };
        for delivery in delivered {
            let (message, external) = (Some(&*delivery.message_id), Some(&*delivery.external_id));
            let kind = EventKind::parse(delivery.kind);
            let event = Event::new(kind, message, external, delivery.group_id.as_deref(), delivery.is_group);
            match is_up(now) && hints.offer(event, now).is_ok() {
                true => taken.lock().unwrap().accepted.push((now, delivery)),
                false => events.refused(delivery),
            }
        }
    }
}

/// An account whose API shows every message at once: what it shows later than it announces it, no feed can make fresh.
fn setup() -> Setup {
    let setup = load::account(1_000, TRAFFIC);
    Setup { shares: Shares { late: 0.0, ..setup.shares.clone() }, ..setup }
}

fn options() -> Options {
    Options { horizon: HORIZON, ..load::options() }
}

fn counted(live: &Live) -> u64 {
    live.count(|counter| matches!(counter, Counter::Inbound { .. } | Counter::Outbound { .. }))
}

fn missed(live: &Live, wanted: Unannounced) -> u64 {
    live.count(|counter| matches!(counter, Counter::Missed { kind } if *kind == wanted))
}

/// Requests and counted messages in an hour of the account, once it runs.
struct Hour {
    requests: f64,
    rechecks: f64,
    counted: f64,
    outbound: f64,
}

async fn hour(live: &Live) -> Hour {
    sleep(STEADY_AFTER).await;
    let outbound = || live.count(|counter| matches!(counter, Counter::Outbound { .. }));
    let (before, sent_before) = (counted(live), outbound());
    let measured = live.measure(Duration::from_secs(60 * MINUTE)).await;
    let of = |rate: f64| rate * measured.seconds;
    for (at, work) in Work::ALL.iter().enumerate() {
        println!("{:<12} {:.0}", work.as_str(), of(measured.rates[at]));
    }
    Hour {
        requests: of(measured.rates.iter().sum()),
        rechecks: of(measured.rates[usize::from(Work::Recheck.number())]),
        counted: (counted(live) - before) as f64,
        outbound: (outbound() - sent_before) as f64,
    }
}

fn percentile(sorted: &[i64], share: f64) -> i64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

#[test]
fn a_good_feed_is_followed_within_three_seconds_and_costs_far_fewer_requests() {
    let polled = load::in_virtual_time(async {
        let live = Live::new(setup(), options());
        live.watch(hour(&live)).await
    });
    let (followed, mut delays, trusted) = load::in_virtual_time(async {
        let fed = Fed::new();
        let live = &fed.live;
        let script = async {
            tokio::select! {
                hour = hour(live) => hour,
                () = fed.deliver(|_| true) => unreachable!(),
            }
        };
        let hour = live.watch_with(fed.store(), Some(Arc::clone(&fed.hints)), script).await;
        let (shown, taken) = (fed.shown.lock().unwrap(), fed.taken.lock().unwrap());
        // The newest ones may not have been read yet.
        let judged = taken.accepted.iter().filter(|(at, _)| *at < live.now() - 60_000);
        let delays: Vec<i64> = judged
            .filter_map(|(at, delivery)| {
                let times = shown.get(&identity(delivery))?;
                let at_last = times[told(EventKind::parse(delivery.kind))].unwrap_or(i64::MAX);
                Some(at_last.saturating_sub(*at)).filter(|delay| *delay >= 0)
            })
            .collect();
        let lag = live
            .view()
            .snapshot
            .histograms
            .iter()
            .any(|(key, lag)| *key == HistogramKey::Lag && lag.count() > 0);
        assert!(lag, "the lag is shown");
        assert_eq!([missed(live, Unannounced::Message), missed(live, Unannounced::End)], [0, 0]);
        (hour, delays, live.view().health.feed_trusted)
    });
    delays.sort_unstable();
    let (p50, p99) = (percentile(&delays, 0.5), percentile(&delays, 0.99));
    let cost = |hour: &Hour| hour.requests / hour.counted;
    let share = cost(&followed) / cost(&polled);
    let rechecks = followed.rechecks / followed.outbound;
    println!(
        "polled {:.2}, followed {:.2} requests per message: {share:.2}; {rechecks:.2} re-checks per message of ours \
         (polled {:.2}); from event to commit p50 {p50} ms, p99 {p99} ms of {}",
        cost(&polled),
        cost(&followed),
        polled.rechecks / polled.outbound,
        delays.len()
    );
    assert_eq!(trusted, Some(true));
    assert!(followed.counted > 1_000.0 && delays.len() > 1_000);
    assert!(p99 < 3_000, "p99 from event to commit: {p99} ms");
    assert!(share <= 0.6, "{share:.3} of the requests of polling");
    assert!(rechecks < 1.0, "{rechecks:.2} re-checks per message");
}

#[test]
fn after_twenty_minutes_without_a_receiver_the_missed_events_are_told_and_nothing_is_lost() {
    load::in_virtual_time(async {
        let fed = Fed::new();
        let live = &fed.live;
        let start = live.now();
        let cut = start + TRUSTED_AFTER.as_millis() as i64;
        let back = cut + 20 * 60_000;
        let script = async {
            sleep(TRUSTED_AFTER).await;
            assert_eq!(live.view().health.feed_trusted, Some(true));
            // Long enough that the first message of the outage has been found.
            sleep(Duration::from_secs(6 * MINUTE)).await;
            assert_eq!(live.view().health.feed_trusted, Some(false), "polling is back to normal");
            sleep(Duration::from_secs(44 * MINUTE)).await;
            live.silence();
            // Until the last end was found, and Blooio would have sent its event for the last time.
            sleep(Duration::from_secs(4 * 60 * MINUTE)).await;
        };
        let script = async {
            tokio::select! {
                () = script => {}
                () = fed.deliver(|at| !(cut..back).contains(&at)) => {}
            }
        };
        live.watch_with(fed.store(), Some(Arc::clone(&fed.hints)), script).await;
        let taken = fed.taken.lock().unwrap();
        let heard = |ends: bool| -> BTreeSet<MessageId> {
            let accepted = taken.accepted.iter();
            let of_kind = accepted.filter(|(_, d)| !ends || told(EventKind::parse(d.kind)) == 2);
            of_kind.map(|(_, delivery)| identity(delivery)).collect()
        };
        let (messages, ends) = (heard(false), heard(true));
        let shown = fed.shown.lock().unwrap();
        let (mut truth, mut lost) = (0, [0, 0]);
        for entry in live.world().truth().entries().filter(|entry| entry.time_sent_ms > start) {
            let inbound = entry.direction == "inbound";
            let way = if inbound { Direction::Inbound } else { Direction::Outbound };
            let id = id_of(way, &entry.id);
            truth += 1;
            // One that failed before polling saw it handed over is judged by its end alone.
            let is_there = inbound || shown.get(&id).is_some_and(|times| times[1].is_some());
            lost[0] += u64::from(is_there && !messages.contains(&id));
            let ended = entry.terminal.as_ref().is_some_and(|end| end.status != "cancelled");
            lost[1] += u64::from(!inbound && ended && !ends.contains(&id));
        }
        println!(
            "{truth} messages; {lost:?} lost; {} events refused for good",
            fed.events.lock().unwrap().lost()
        );
        assert_eq!(counted(live), truth, "nothing is lost");
        assert!(lost[0] > 20 && lost[1] > 20, "{lost:?}");
        assert_eq!([missed(live, Unannounced::Message), missed(live, Unannounced::End)], lost);
    });
}

#[test]
fn a_trusted_feed_that_a_reload_takes_away_leaves_no_end_on_its_slow_schedule() {
    load::in_virtual_time(async {
        let fed = Fed::new();
        let live = &fed.live;
        let start = live.now();
        let mut collector =
            live.collector(fed.store()).following(Some(Arc::clone(&fed.hints)), trust::WINDOW);
        let script = async {
            collector.run(sleep(TRUSTED_AFTER)).await;
            assert_eq!(live.view().health.feed_trusted, Some(true));
            collector = collector.reconfigured(live.clone(), options()).following(None, trust::WINDOW);
            assert_eq!(live.view().health.feed_trusted, None);
            let reloaded = live.now();
            collector.run(sleep(Duration::from_secs(2 * 60 * MINUTE))).await;
            reloaded
        };
        let reloaded = tokio::select! {
            reloaded = script => reloaded,
            () = fed.deliver(|_| true) => unreachable!(),
        };
        let shown = fed.shown.lock().unwrap();
        let world = live.world();
        let ended = world.truth().entries().filter_map(|entry| {
            let end = entry.terminal.as_ref().map(|end| end.at_ms)?;
            let is_judged = entry.direction != "inbound" && entry.time_sent_ms > start;
            // Those of the minutes after the reload were open when it came.
            (is_judged && (reloaded..reloaded + 10 * 60_000).contains(&end)).then_some((entry, end))
        });
        let delays: Vec<i64> = ended
            .map(|(entry, end)| {
                let id = id_of(Direction::Outbound, &entry.id);
                shown.get(&id).and_then(|times| times[2]).map_or(i64::MAX, |at| at - end)
            })
            .collect();
        let worst = delays.iter().max().copied().unwrap_or(0);
        println!("{} ends, the last {} s late", delays.len(), worst / 1_000);
        assert!(delays.len() > 50, "{}", delays.len());
        assert!(worst < 60 * 60_000, "an end was {} s late", worst / 1_000);
    });
}
