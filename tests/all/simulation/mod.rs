//! The real collector lives through days that never were: paused time, a seeded world behind the transport, a
//! disk that can die at any commit, and an oracle that knows what really happened.
//!
//! ```text
//! cargo test --test all simulation                                   # what CI runs
//! BLOOIO_SEEDS=200000 BLOOIO_FIRST_SEED=1 cargo test --test all simulation::many
//! BLOOIO_KIND=Misled BLOOIO_SEEDS=20000 cargo test --test all simulation::many   # lives of one kind
//! BLOOIO_TRACE=1 BLOOIO_SEEDS=1 BLOOIO_FIRST_SEED=55 cargo test --test all simulation::many -- --nocapture
//! ```
//!
//! The same seed lives the same life; the last command prints each of its requests. A seed that failed once belongs into [`REGRESSIONS`].

mod case;
mod disk;
mod feed;
mod figures;
mod hunt;
mod kinds;
mod network;
mod oracle;
mod plug;
mod work;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::clock::Clock;
use blooio_exporter::collect::IdHasher;
use blooio_exporter::feed::Hints;
use blooio_exporter::metrics::Slot;
use blooio_exporter::simulator::{Chats, Tuning, World};
use blooio_exporter::store::MemoryStore;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use case::{Case, Event, Kind, downtime};
use disk::Disk;
use feed::Feed;
use figures::Figures;
use network::Network;
use oracle::violation::Violations;
use oracle::{Oracle, Stats};
use plug::Parts;

/// Seeds of classic lives that found something once. They keep their meaning only as long as [`Case::classic`] draws
/// the same.
const REGRESSIONS: &[u64] = &[
    9, 16, 60, 76, 95, 98, 124, 143, 224, 288, 344, 496, 1018, 1285, 1519, 501_575, 504_847, 506_338,
    600_093, 601_463, 601_797, 604_754, 606_422,
];

/// Longest that a world may take to come to rest.
const LONGEST_REST: i64 = 100 * 60_000;
/// Of later ones, which are lives of every kind.
const LATER_REGRESSIONS: &[u64] = &[
    1_008, 501_000, 501_911, 502_922, 503_789, 504_311, 504_629, 504_983, 2_583, 3_645, 6_132, 7_625, 7_911,
    8_541, 9_001, 12_240, 13_229, 14_183, 14_360, 15_581, 16_162, 16_311, 16_321, 18_284, 18_656, 501_857,
    502_797, 500_745, 507_889, 10_535, 14_621, 501_940, 505_415, 601_278, 603_805, 605_113, 606_045, 606_254,
    607_835, 546, 97, 119, 3_597, 506_730, 503_106, 605_200, 605_317, 605_764, 23_444, 29_866, 6_803, 11_627,
    601_739,
];
/// Time between two looks at what is not counted yet, ms.
const LOOK: i64 = 20_000;
/// Gauges are compared with the world when nothing was broken for this long, ms.
const SETTLED_FOR: i64 = 6 * 60_000;
/// After an overload, everything is counted within half an hour.
const CATCHES_UP: i64 = 30 * 60_000;

/// How a life went.
pub(crate) struct Life {
    pub(crate) violations: Violations,
    pub(crate) stats: Stats,
}

/// Lives the life of a seed.
pub(crate) fn live(seed: u64) -> Life {
    live_case(seed, Case::of(seed))
}

fn live_case(seed: u64, case: Case) -> Life {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Living::new(seed, case).live().await })
}

struct Living {
    case: Case,
    clock: Clock,
    origin: Instant,
    processes: usize,
    world: Arc<Mutex<World>>,
    oracle: Arc<Mutex<Oracle>>,
    feed: Option<Arc<Mutex<Feed>>>,
    store: MemoryStore,
    hasher: IdHasher,
    rng: fastrand::Rng,
    latency: Arc<Mutex<fastrand::Rng>>,
    quiet: bool,
    restarted_at: i64,
}

/// Why a process ended.
enum End {
    /// It is dead for so many ms.
    Down(i64),
    /// The life is over.
    Over,
}

impl Living {
    fn new(seed: u64, case: Case) -> Living {
        let origin = Instant::now();
        let clock = Clock::Simulated { start: case.setup.start_ms, origin };
        let mut rng = fastrand::Rng::with_seed(!seed);
        let world = Arc::new(Mutex::new(World::new(case.setup.clone())));
        let hasher = IdHasher::new(&[7; 32], "sim");
        let oracle = Oracle::new(clock, &world, &hasher, &case);
        let feed = case.feed.clone().map(|terms| Feed::new(seed, terms, &mut world.lock().unwrap(), &hasher));
        Living {
            clock,
            origin,
            processes: 0,
            world,
            oracle: Arc::new(Mutex::new(oracle)),
            feed: feed.map(|feed| Arc::new(Mutex::new(feed))),
            store: MemoryStore::default(),
            hasher,
            latency: Arc::new(Mutex::new(rng.fork())),
            rng,
            case,
            quiet: false,
            restarted_at: 0,
        }
    }

    /// World time since the start, ms.
    fn elapsed(&self) -> i64 {
        self.clock.now() - self.case.setup.start_ms
    }

    /// The host's clock, as the current process sees it.
    fn host_clock(&self) -> Clock {
        let skews = &self.case.clock_skews;
        let skew = skews[self.processes.min(skews.len() - 1)];
        Clock::Simulated { start: self.case.setup.start_ms + skew, origin: self.origin }
    }

    async fn live(mut self) -> Life {
        let mut events = std::mem::take(&mut self.case.events).into_iter().peekable();
        let mut rest_until = None;
        loop {
            let slot = Slot::default();
            let end = self.process(&slot, &mut events, &mut rest_until).await;
            self.oracle.lock().unwrap().published(&slot.view());
            let End::Down(down) = end else {
                self.judge(&slot);
                break;
            };
            self.oracle.lock().unwrap().stats.crashes += 1;
            sleep_until(Instant::now() + Duration::from_millis(down as u64)).await;
            self.processes += 1;
        }
        let mut oracle = self.oracle.lock().unwrap();
        Life { violations: std::mem::take(&mut oracle.violations), stats: std::mem::take(&mut oracle.stats) }
    }

    /// Runs one process to its end.
    async fn process(
        &mut self,
        slot: &Slot,
        events: &mut std::iter::Peekable<impl Iterator<Item = (i64, Event)>>,
        rest_until: &mut Option<i64>,
    ) -> End {
        let died = Arc::new(Notify::new());
        let restored = self.store.restore();
        let hints = Arc::new(Hints::new(feed::CAPACITY));
        self.oracle.lock().unwrap().terms.options = feed::stretched(&self.case);
        let collector = plug::collector(self.parts(slot, &died, &hints));
        let skew = self.host_clock().now() - self.clock.now();
        {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.skew = skew;
            oracle.started(&restored, &slot.view());
        }
        self.record_clear();
        let mut running = Box::pin(plug::run(collector));
        let mut delivering = Box::pin(self.delivering(slot, hints));
        loop {
            let look = self.elapsed() + LOOK;
            let next = events.peek().map_or(look, |(at, _)| *at).min(look);
            let wait = Duration::from_millis((next - self.elapsed()).max(0) as u64);
            tokio::select! {
                biased;
                () = died.notified() => return End::Down(downtime(&mut self.rng)),
                () = sleep_until(Instant::now() + wait) => {}
                () = &mut running => unreachable!("a collector runs until it is dropped"),
                () = &mut delivering => unreachable!("events are delivered for ever"),
            }
            match events.next_if(|(at, _)| *at <= self.elapsed()) {
                Some((_, Event::Kill(down))) => return End::Down(down),
                Some((_, Event::Restart(options))) => {
                    (self.case.options, self.restarted_at) = (*options, self.elapsed());
                    return End::Down(0);
                }
                Some((_, event)) => self.befall(event, slot),
                None => {
                    self.oracle.lock().unwrap().check_freshness_now(&slot.view());
                    self.compare_open_with_world(slot);
                    if events.peek().is_none() && self.is_over(rest_until) {
                        return End::Over;
                    }
                }
            }
        }
    }

    /// What the next process is made of.
    fn parts(&mut self, slot: &Slot, died: &Arc<Notify>, hints: &Arc<Hints>) -> Parts {
        let faults = self.case.disk_faults(&mut self.rng, self.quiet);
        Parts {
            disk: Disk::new(&self.store, &self.oracle, slot, died, faults, self.rng.fork()),
            network: Network::new(&self.world, &self.oracle, self.clock, &self.latency, self.case.timeout)
                .breaking(self.case.broken_rows),
            store: self.store.clone(),
            slot: slot.clone(),
            hasher: self.hasher.clone(),
            options: self.case.options.clone(),
            clock: self.host_clock(),
            feed: self.case.feed.as_ref().map(|terms| (Arc::clone(hints), terms.window)),
        }
    }

    /// Delivers the events of the world to one process.
    fn delivering(&self, slot: &Slot, hints: Arc<Hints>) -> impl Future<Output = ()> + use<> {
        let (feed, world, oracle) = (self.feed.clone(), Arc::clone(&self.world), Arc::clone(&self.oracle));
        let (clock, host, slot) = (self.clock, self.host_clock(), slot.clone());
        async move {
            match feed {
                Some(feed) => feed::deliver(&feed, &world, &oracle, [clock, host], &slot, &hints).await,
                None => std::future::pending().await,
            }
        }
    }

    fn befall(&mut self, event: Event, slot: &Slot) {
        match event {
            Event::On(name, tuning) => self.switch_on(name, tuning),
            Event::Off(name) => {
                self.world.lock().unwrap().switch_off(name);
                self.oracle.lock().unwrap().record_omission(name, None);
                self.record_clear();
            }
            Event::Quiet => {
                self.quiet = true;
                self.compare_with_world(slot);
                self.oracle.lock().unwrap().quiet = true;
                self.world.lock().unwrap().quiet();
            }
            Event::Kill(_) | Event::Restart(_) => {}
        }
    }

    fn switch_on(&self, name: &'static str, tuning: Tuning) {
        let chats = match name {
            "hidden-chats" => tuning.chats,
            "old-list" => Some(Chats::Share(1.0)),
            _ => None,
        };
        self.world.lock().unwrap().switch_on(name, tuning).unwrap();
        if chats.is_some() {
            self.oracle.lock().unwrap().record_omission(name, chats);
        }
        self.record_clear();
    }

    /// Remembers since when nothing is broken that concerns more than some chats.
    fn record_clear(&self) {
        let lasting = |name: &str| match self.case.kind {
            Kind::Odd => true,
            Kind::Large if name == "totals-off" => true,
            _ => self.case.breaks_chats == Some(name),
        };
        let clear = self.world.lock().unwrap().faults_on().iter().all(|(kind, _)| lasting(kind.name()));
        self.oracle.lock().unwrap().clear_since = if clear { self.clock.now() } else { i64::MAX };
    }

    /// Whether nothing was broken for long enough, in a life that is otherwise orderly.
    fn is_settled(&self, oracle: &Oracle) -> bool {
        let tidy = matches!(self.case.kind, Kind::Misled | Kind::Broken | Kind::Clocks | Kind::Large);
        tidy && self.clock.now() - oracle.clear_since >= SETTLED_FOR - 1
    }

    /// While traffic still goes on: the gauges against the world, where nothing was broken for long enough.
    fn compare_with_world(&self, slot: &Slot) {
        // A gauge of a longer window is refilled within two audits.
        let mut oracle = self.oracle.lock().unwrap();
        let refilled = self.restarted_at == 0
            || self.elapsed() - self.restarted_at > 2 * self.case.options.audit_interval.as_millis() as i64;
        if self.is_settled(&oracle) && refilled {
            oracle.compare_with_world(&slot.view(), SETTLED_FOR);
        }
    }

    /// Now and then: the open messages against the world.
    fn compare_open_with_world(&self, slot: &Slot) {
        if self.elapsed() / LOOK % 6 != 0 {
            return;
        }
        let mut oracle = self.oracle.lock().unwrap();
        if self.case.kind == Kind::Calm {
            oracle.compare_open_with_world(&slot.view(), 0);
        } else if self.is_settled(&oracle) {
            oracle.compare_open_with_world(&slot.view(), SETTLED_FOR);
        }
    }

    /// The end of the life.
    fn judge(&self, slot: &Slot) {
        let mut oracle = self.oracle.lock().unwrap();
        if let Some(feed) = &self.feed
            && self.case.kind != Kind::Clocks
        {
            oracle.judge_feed(&feed.lock().unwrap(), self.processes == 0);
        }
        if self.case.kind == Kind::Overloaded {
            oracle.caught_up();
        } else {
            oracle.settled(&slot.view());
        }
    }

    /// Whether the world has been at rest for long enough that everything must have been found and closed.
    fn is_over(&self, rest_until: &mut Option<i64>) -> bool {
        let now = self.elapsed();
        let limited = self.oracle.lock().unwrap().limited_until > self.clock.now();
        let at_rest = self.world.lock().unwrap().settled() && !limited;
        if rest_until.is_none() && (at_rest || now > LONGEST_REST || self.case.kind == Kind::Overloaded) {
            let options = &self.case.options;
            let rest = options.horizon + 2 * options.audit_interval + 4 * options.full_interval;
            // Where many chats vanished at once, one that cannot be asked after a restart is kept for a retention.
            let kept = if self.case.kind == Kind::Vanishing { options.retention } else { Duration::ZERO };
            let rest = (rest + kept + 4 * options.interval).as_millis() as i64;
            *rest_until = Some(now + if self.case.kind == Kind::Overloaded { CATCHES_UP } else { rest });
        }
        rest_until.is_some_and(|until| now >= until)
    }
}

/// Lives many lives on every core, and says how they went.
fn live_many(seeds: impl Iterator<Item = u64> + Send, draw: fn(u64) -> Case) -> Figures {
    let seeds = Mutex::new(seeds);
    let figures = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        // A life waits for its disk's thread at every commit: two lives per core keep the cores busy.
        for _ in 0..2 * std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else { return };
                    let case = draw(seed);
                    let drawn = (seed, case.kind, case.faults());
                    let began = std::time::Instant::now();
                    let life = std::panic::catch_unwind(|| live_case(seed, case)).ok();
                    figures.lock().unwrap().add(drawn, life, began.elapsed());
                }
            });
        }
    });
    figures.into_inner().unwrap()
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number of seeds"))
}

/// The seeds that `BLOOIO_FIRST_SEED` and `BLOOIO_SEEDS` ask for, or the first so many.
fn seeds_of_environment(otherwise: u64) -> std::ops::Range<u64> {
    let first = from_environment("BLOOIO_FIRST_SEED", 1);
    first..first + from_environment("BLOOIO_SEEDS", otherwise)
}

#[test]
fn many_lives_hold_every_invariant() {
    let seeds = seeds_of_environment(2_000);
    let kind = std::env::var("BLOOIO_KIND").unwrap_or_default();
    let is_wanted = |seed: &u64| kind.is_empty() || format!("{:?}", Case::of(*seed).kind) == kind;
    live_many(seeds.filter(is_wanted), Case::of).check();
}

/// The time after which everything is counted again is promised for the default settings.
#[test]
fn at_default_settings_counting_goes_on_within_two_minutes_of_a_fault() {
    let has_faults = |seed: &u64| matches!(Case::of(*seed).kind, Kind::Stormy | Kind::Misled | Kind::Broken);
    live_many(seeds_of_environment(400).filter(has_faults), Case::at_default_settings).check();
}

/// However many chats fail or hang, the others are counted in time.
#[test]
fn at_default_settings_many_chats_that_cannot_be_read_hold_up_no_other() {
    live_many(seeds_of_environment(12), Case::mostly_broken).check();
}

/// Whatever befalls the other chats: one that cannot be read at all takes nothing from them.
#[test]
fn with_one_chat_broken_for_good_every_other_guarantee_holds() {
    live_many(seeds_of_environment(200), Case::beside_a_broken_chat).check();
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    live_many(REGRESSIONS.iter().copied(), Case::classic).check();
    live_many(LATER_REGRESSIONS.iter().copied(), Case::of).check();
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in [0, 1, 2, 3, 6, 7] {
        let (one, other) = (live(seed), live(seed));
        assert_eq!(one.violations, other.violations, "seed {seed}");
        assert_eq!(format!("{:?}", one.stats), format!("{:?}", other.stats), "seed {seed}");
    }
}
