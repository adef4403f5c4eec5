//! The webhook feed of a simulated life: it delivers, refuses what it cannot hand over, and remembers what was announced.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{IdHasher, Options};
use blooio_exporter::domain::{Counter, Direction, MessageId};
use blooio_exporter::feed::{Announces, Event, EventKind, Hints};
use blooio_exporter::metrics::Slot;
use blooio_exporter::simulator::{EventFaults, Events, World};
use tokio::time::sleep;

use super::case::{Case, Kind, one};
use super::oracle::Oracle;
use super::plug;

/// Events that a process holds.
pub(super) const CAPACITY: usize = 64;
/// Between two looks at what is to be delivered.
const TICK: Duration = Duration::from_millis(250);
/// Longest time between two sweeps of a collector that trusts its feed.
const LONGEST_SWEEP: Duration = Duration::from_secs(240);

/// What a feed is like, and after which time it may be trusted.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) faults: EventFaults,
    pub(crate) window: Duration,
}

impl Terms {
    /// A feed for three lives in eight: good ones, which may be trusted within the life, lossy, lying and dead ones.
    pub(super) fn draw(seed: u64, case: &Case) -> Option<Terms> {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xfeed_feed);
        let none = EventFaults::NONE;
        let hour = Duration::from_secs(3_600);
        if rng.u8(0..8) > 2 {
            return None;
        }
        let harmless = EventFaults { duplicated: rng.f64() * 0.2, replayed: rng.f64() * 0.2, ..none.clone() };
        let start = case.setup.start_ms;
        let (faults, window) = match rng.u8(0..6) {
            0 | 1 if case.kind == Kind::Overloaded => (harmless, hour),
            0 | 1 => (harmless, Duration::from_secs(one(&mut rng, &[180, 300, 600]))),
            2 => {
                let lost = rng.f64() * 0.5 + 0.1;
                (EventFaults { lost, late: 0.2, reordered: 0.2, burst: rng.f64(), ..harmless }, hour)
            }
            3 => (EventFaults { lying: rng.f64() * 3.0, ..harmless }, hour),
            4 => (EventFaults { dead: Some((0, i64::MAX)), ..none }, hour),
            _ => {
                let from = start + rng.i64(0..1_200_000);
                (EventFaults { dead: Some((from, from + rng.i64(60_000..1_200_000))), ..harmless }, hour)
            }
        };
        Some(Terms { faults, window })
    }
}

/// The options by which a life is judged: a collector that trusts its feed sweeps less often.
pub(super) fn stretched(case: &Case) -> Options {
    let options = case.options.clone();
    match &case.feed {
        Some(terms) if terms.window < Duration::from_secs(3_600) => {
            let interval = (options.interval * 8).min(LONGEST_SWEEP).max(options.interval);
            Options { interval, ..options }
        }
        _ => options,
    }
}

/// The feed of a life.
pub(crate) struct Feed {
    window: Duration,
    events: Events,
    hasher: IdHasher,
    /// When some process first took in an event of a message, by the world's clock.
    pub(super) announced: HashMap<MessageId, i64>,
    /// The same of its end.
    pub(super) ended: HashMap<MessageId, i64>,
    /// What was missed as far as shown, and when it was last shown to have grown.
    missed: u64,
    missed_at: Option<i64>,
}

impl Feed {
    pub(super) fn new(seed: u64, terms: Terms, world: &mut World, hasher: &IdHasher) -> Feed {
        Feed {
            window: terms.window,
            events: Events::of(world, seed, terms.faults),
            hasher: hasher.clone(),
            announced: HashMap::new(),
            ended: HashMap::new(),
            missed: 0,
            missed_at: None,
        }
    }

    fn took(&mut self, kind: EventKind, message: &str, now: i64) {
        let way = if kind == EventKind::MessageReceived { Direction::Inbound } else { Direction::Outbound };
        let id = plug::message_id(&self.hasher, way, message);
        self.announced.entry(id).or_insert(now);
        if kind.announces() == Some(Announces::End) {
            self.ended.entry(id).or_insert(now);
        }
    }

    /// A page that shows that something was missed does not show a feed that is trusted, for nearly as long as it takes to
    /// gain trust.
    fn check_trust(&mut self, now: i64, slot: &Slot) -> Option<String> {
        let view = slot.view();
        let counters = &view.snapshot.counters;
        let missed = counters.iter().filter(|(counter, _)| matches!(counter, Counter::Missed { .. }));
        let missed = missed.map(|(_, value)| value).sum();
        if missed > self.missed {
            (self.missed, self.missed_at) = (missed, Some(now));
        }
        // A full disk shows it later.
        let since = now - self.missed_at?;
        let trusted = view.health.feed_trusted == Some(true);
        (trusted && since < self.window.as_millis() as i64 - 60_000)
            .then(|| format!("the feed is trusted {since} ms after a miss"))
    }
}

/// Delivers what the world tells, for ever. `clocks` are the world's and the host's.
pub(super) async fn deliver(
    feed: &Mutex<Feed>,
    world: &Mutex<World>,
    oracle: &Arc<Mutex<Oracle>>,
    clocks: [Clock; 2],
    slot: &Slot,
    hints: &Hints,
) {
    let began = clocks[0].now();
    loop {
        sleep(TICK).await;
        let mut feed = feed.lock().unwrap();
        let now = clocks[0].now();
        let delivered = {
            let mut world = world.lock().unwrap();
            world.step(now);
            feed.events.take(&mut world)
        };
        for delivery in delivered {
            let kind = EventKind::parse(delivery.kind);
            let group = delivery.group_id.as_deref();
            let (message, external) = (Some(&*delivery.message_id), Some(&*delivery.external_id));
            let event = Event::new(kind, message, external, group, delivery.is_group);
            // Before the process was there, nobody took it in.
            if delivery.at < began || hints.offer(event, clocks[1].now()).is_err() {
                feed.events.refused(delivery);
            } else {
                feed.took(kind, &delivery.message_id, now);
            }
        }
        if let Some(breach) = feed.check_trust(now, slot) {
            oracle.lock().unwrap().violated("I15", breach);
        }
    }
}
