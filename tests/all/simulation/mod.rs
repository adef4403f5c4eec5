//! The real collector lives through days that never were: paused time, a seeded world behind the transport, a
//! disk that can die at any commit, and an oracle that knows what really happened.
//!
//! ```text
//! cargo test --test all simulation                                   # what CI runs
//! BLOOIO_SEEDS=200000 BLOOIO_FIRST_SEED=1 cargo test --test all simulation::many
//! BLOOIO_TRACE=1 BLOOIO_SEEDS=1 BLOOIO_FIRST_SEED=55 cargo test --test all simulation::many -- --nocapture
//! ```
//!
//! The same seed lives the same life; the last command prints each of its requests. A seed that failed once belongs into [`REGRESSIONS`].

mod case;
mod disk;
mod network;
mod oracle;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, IdHasher, Watch};
use blooio_exporter::domain::Ledger;
use blooio_exporter::metrics::Slot;
use blooio_exporter::simulator::World;
use blooio_exporter::store::MemoryStore;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use case::{Case, Event, downtime};
use disk::Disk;
use network::Network;
use oracle::{Oracle, Stats};

/// Seeds that found something once. They keep their meaning only as long as [`Case::of`] draws the same.
const REGRESSIONS: &[u64] = &[9, 16, 60, 76, 95, 98, 124, 143, 224, 288, 344, 496, 1018, 1285, 1519];

/// Longest that a world may take to come to rest.
const LONGEST_REST: i64 = 100 * 60_000;

/// How a life went.
pub(crate) struct Life {
    /// Breaches of invariants.
    pub(crate) violations: Vec<String>,
    /// Its figures.
    pub(crate) stats: Stats,
}

/// Lives the life of a seed.
pub(crate) fn live(seed: u64) -> Life {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Living::new(seed).live().await })
}

struct Living {
    case: Case,
    clock: Clock,
    world: Arc<Mutex<World>>,
    oracle: Arc<Mutex<Oracle>>,
    store: MemoryStore,
    keyring: IdHasher,
    rng: fastrand::Rng,
    latency: Arc<Mutex<fastrand::Rng>>,
    quiet: bool,
}

impl Living {
    fn new(seed: u64) -> Living {
        let case = Case::of(seed);
        let start = case.setup.start_ms + case.clock_skew;
        let clock = Clock::Simulated { start, origin: Instant::now() };
        let mut rng = fastrand::Rng::with_seed(!seed);
        Living {
            clock,
            world: Arc::new(Mutex::new(World::new(case.setup.clone()))),
            oracle: Arc::new(Mutex::new(Oracle::new(clock, -case.clock_skew))),
            store: MemoryStore::default(),
            keyring: IdHasher::new(&[7; 32], "sim"),
            latency: Arc::new(Mutex::new(rng.fork())),
            rng,
            case,
            quiet: false,
        }
    }

    /// World time since the start, ms.
    fn elapsed(&self) -> i64 {
        self.clock.now() - self.case.clock_skew - self.case.setup.start_ms
    }

    async fn live(mut self) -> Life {
        let mut events = std::mem::take(&mut self.case.events).into_iter().peekable();
        let mut rest_until = None;
        let mut born = true;
        while born {
            let slot = Slot::default();
            let restored = self.store.restore();
            let died = Arc::new(Notify::new());
            let troubles = self.case.troubles(&mut self.rng, self.quiet);
            let disk = Disk::new(&self.store, &self.oracle, &slot, &died, troubles, self.rng.fork());
            let options = self.case.options.clone();
            let ledger = Ledger::new(options.policy(), self.store.restore());
            let watch = Watch {
                account: "sim",
                clock: self.clock,
                slot: slot.clone(),
                hasher: self.keyring.clone(),
                options: options.clone(),
            };
            let network = Network::new(&self.world, &self.oracle, self.clock, options.budget, &self.latency);
            let mut collector = Collector::new(watch, network, ledger, disk);
            self.oracle.lock().unwrap().started(&restored, &slot.view());
            let mut running = Box::pin(collector.run(std::future::pending()));
            let down = loop {
                let next = events.peek().map_or(self.elapsed() + 30_000, |(at, _)| *at);
                let wait = Duration::from_millis((next - self.elapsed()).max(0) as u64);
                tokio::select! {
                    biased;
                    () = died.notified() => break Some(downtime(&mut self.rng)),
                    () = sleep_until(Instant::now() + wait) => {}
                    () = &mut running => unreachable!("a collector runs until it is dropped"),
                }
                match events.next() {
                    Some((_, Event::Kill(down))) => break Some(down),
                    Some((_, event)) => self.befall(event),
                    None if self.is_over(&mut rest_until) => break None,
                    None => {}
                }
            };
            drop(running);
            self.oracle.lock().unwrap().published(&slot.view());
            match down {
                Some(down) => {
                    self.oracle.lock().unwrap().stats.crashes += 1;
                    sleep_until(Instant::now() + Duration::from_millis(down as u64)).await;
                }
                None => born = false,
            }
        }
        let mut oracle = self.oracle.lock().unwrap();
        let world = self.world.lock().unwrap();
        oracle.settled(&world, &self.keyring, &self.case.options, self.case.calm);
        Life { violations: std::mem::take(&mut oracle.violations), stats: std::mem::take(&mut oracle.stats) }
    }

    fn befall(&mut self, event: Event) {
        let mut world = self.world.lock().unwrap();
        match event {
            Event::On(name, tuning) => world.switch_on(name, tuning).unwrap(),
            Event::Off(name) => {
                world.switch_off(name);
            }
            Event::Quiet => {
                self.quiet = true;
                self.oracle.lock().unwrap().quiet = true;
                world.quiet();
            }
            Event::Kill(_) => {}
        }
    }

    /// Whether the world has been at rest for long enough that everything must have been found and closed.
    fn is_over(&self, rest_until: &mut Option<i64>) -> bool {
        let now = self.elapsed();
        let at_rest = self.world.lock().unwrap().settled();
        if rest_until.is_none() && (at_rest || now > LONGEST_REST) {
            let options = &self.case.options;
            let rest = options.horizon + 2 * options.audit_interval + 4 * options.full_interval;
            *rest_until = Some(now + rest.as_millis() as i64);
        }
        rest_until.is_some_and(|until| now >= until)
    }
}

/// Lives many lives on every core, and says how they went.
pub(crate) fn live_many(seeds: impl Iterator<Item = u64> + Send) -> Figures {
    let seeds = Mutex::new(seeds);
    let figures = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        // A life waits for its disk's thread at every commit: two lives per core keep the cores busy.
        for _ in 0..2 * std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else { return };
                    let life = std::panic::catch_unwind(|| live(seed));
                    figures.lock().unwrap().add(seed, life.map_err(|_| "panicked".to_owned()));
                }
            });
        }
    });
    figures.into_inner().unwrap()
}

/// What many lives add up to.
#[derive(Default)]
pub(crate) struct Figures {
    lives: u64,
    total: Stats,
    failed: Vec<(u64, Vec<String>)>,
}

impl Figures {
    fn add(&mut self, seed: u64, life: Result<Life, String>) {
        self.lives += 1;
        match life {
            Ok(life) => {
                let (total, stats) = (&mut self.total, life.stats);
                total.requests += stats.requests;
                total.commits += stats.commits;
                total.crashes += stats.crashes;
                total.messages += stats.messages;
                total.counted += stats.counted;
                total.fresh.extend(stats.fresh);
                total.late.extend(stats.late);
                total.ends.extend(stats.ends);
                if !life.violations.is_empty() {
                    self.failed.push((seed, life.violations));
                }
            }
            Err(why) => self.failed.push((seed, vec![why])),
        }
    }

    /// Prints the figures, and fails when there was a breach.
    pub(crate) fn check(mut self) {
        let total = &mut self.total;
        let lost: usize =
            self.failed.iter().flat_map(|(_, why)| why).filter(|why| why.contains("lost")).count();
        let doubled: usize =
            self.failed.iter().flat_map(|(_, why)| why).filter(|why| why.contains("again")).count();
        println!(
            "seeds {}, messages {} ({} counted), requests {}, commits {}, crashes {}, lost {lost}, doubled {doubled}",
            self.lives, total.messages, total.counted, total.requests, total.commits, total.crashes
        );
        let interval = 15_000.0;
        for (name, delays) in
            [("on time", &mut total.fresh), ("late", &mut total.late), ("ends", &mut total.ends)]
        {
            delays.sort_unstable();
            let at = |share: f64| {
                let place = (delays.len() as f64 * share) as usize;
                delays.get(place.min(delays.len().saturating_sub(1))).map_or(0.0, |ms| *ms as f64 / interval)
            };
            println!(
                "freshness, {name}: p50 {:.2} p99 {:.2} p99.9 {:.2} worst {:.2} intervals of {}",
                at(0.5),
                at(0.99),
                at(0.999),
                at(1.0),
                delays.len()
            );
        }
        self.failed.sort_by_key(|(seed, _)| *seed);
        let mut report = String::new();
        for (seed, violations) in self.failed.iter().take(10) {
            report += &format!("\nseed {seed}:\n  {}", violations[..violations.len().min(4)].join("\n  "));
        }
        let seeds: Vec<u64> = self.failed.iter().map(|(seed, _)| *seed).collect();
        assert!(seeds.is_empty(), "{} of {} seeds failed: {seeds:?}{report}", seeds.len(), self.lives);
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number of seeds"))
}

#[test]
fn many_lives_hold_every_invariant() {
    let first = from_environment("BLOOIO_FIRST_SEED", 1);
    let seeds = from_environment("BLOOIO_SEEDS", 2_000);
    live_many(first..first + seeds).check();
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    live_many(REGRESSIONS.iter().copied()).check();
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in 1..5 {
        let (one, other) = (live(seed), live(seed));
        assert_eq!(one.violations, other.violations, "seed {seed}");
        assert_eq!(format!("{:?}", one.stats), format!("{:?}", other.stats), "seed {seed}");
    }
}
