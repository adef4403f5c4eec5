//! The real collector against a simulated account under load, in virtual time. Shared by the test of predictions and by
//! `cargo bench --bench load`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::api::{Fault, Reply, Transport};
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, IdHasher, Options, Watch};
use blooio_exporter::domain::{Counter, Ledger, View, Work};
use blooio_exporter::feed::{Hints, trust::WINDOW};
use blooio_exporter::metrics::Slot;
use blooio_exporter::simulator::{Request, Setup, Shares, World};
use blooio_exporter::store::{MemoryStore, Store};
use tokio::time::{Instant, sleep};

/// Requests by `Work::ALL`, or requests per second.
pub(crate) type ByWork = [f64; Work::ALL.len()];

/// How long the network takes for a request.
const LATENCY: Duration = Duration::from_millis(40);
const YEAR: i64 = 365 * 24 * 3_600_000;

/// An account with so many chats, 30 % SMS of which 90 % never get a receipt, and 40 % inbound.
pub(crate) fn account(chats: usize, messages_per_second: f64) -> Setup {
    Setup {
        lines: 3,
        chats,
        history_messages: chats,
        history_ms: 10 * YEAR,
        inbound_per_minute: messages_per_second * 60.0 * 0.4,
        outbound_per_minute: messages_per_second * 60.0 * 0.6,
        shares: Shares {
            sms: 0.3,
            rcs: 0.0,
            fallback: 0.0,
            unresolved: 0.0,
            sms_stay_sent: 0.9,
            new_chat: 0.0,
            ..Shares::default()
        },
        ..Setup::default()
    }
}

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

/// Runs a future with the clock paused: time passes when everything waits.
pub(crate) fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

/// What was asked for, and when.
#[derive(Default)]
struct Log {
    sent: Vec<i64>,
    probes: BTreeMap<String, Vec<i64>>,
}

/// An account that lives in virtual time, and the state of the exporter that watches it.
#[derive(Clone)]
pub(crate) struct Live {
    world: Arc<Mutex<World>>,
    log: Arc<Mutex<Log>>,
    clock: Clock,
    slot: Slot,
    store: MemoryStore,
    options: Options,
    account: &'static str,
}

impl Live {
    /// An account as of now.
    pub(crate) fn new(setup: Setup, options: Options) -> Live {
        let clock = Clock::Simulated { start: setup.start_ms, origin: Instant::now() };
        let world = Arc::new(Mutex::new(World::new(setup)));
        let (log, slot, store) = (Arc::default(), Slot::default(), MemoryStore::default());
        Live { world, log, clock, slot, store, options, account: "load" }
    }

    /// The same account under a name that an operator gave it.
    pub(crate) fn named(self, account: &'static str) -> Live {
        Live { account, ..self }
    }

    /// Watches the account with a process of its own until the script ends.
    pub(crate) async fn watch<T>(&self, script: impl Future<Output = T>) -> T {
        self.watch_with(self.store.clone(), None, script).await
    }

    /// The same with another store, and a webhook feed that may be trusted after an hour.
    pub(crate) async fn watch_with<T, S: Store>(
        &self,
        store: S,
        hints: Option<Arc<Hints>>,
        script: impl Future<Output = T>,
    ) -> T {
        let mut collector = self.collector(store).following(hints, WINDOW);
        tokio::select! {
            result = script => result,
            _ = collector.run(std::future::pending()) => unreachable!("a collector runs until it is dropped"),
        }
    }

    /// A collector of the account.
    pub(crate) fn collector<S: Store>(&self, store: S) -> Collector<Live, S> {
        let ledger = Ledger::new(self.options.policy(), self.store.restore());
        let hasher = IdHasher::new(&[7; 32], self.account);
        let (clock, slot, options) = (self.clock, self.slot.clone(), self.options.clone());
        let watch = Watch { account: self.account, clock, slot, hasher, options };
        Collector::new(watch, self.clone(), ledger, store)
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The clock of the account, and of the exporter's host.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// A counter, summed over its series that are `wanted`.
    pub(crate) fn count(&self, wanted: impl Fn(&Counter) -> bool) -> u64 {
        let view = self.view();
        view.snapshot.counters.iter().filter(|(counter, _)| wanted(counter)).map(|(_, value)| value).sum()
    }

    /// Where the view of the account is published.
    pub(crate) fn slot(&self) -> Slot {
        self.slot.clone()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.slot.view()
    }

    /// No new messages from now on.
    pub(crate) fn silence(&self) {
        self.world.lock().unwrap().quiet();
    }

    /// Requests so far, by class of work.
    pub(crate) fn requests(&self) -> ByWork {
        let mut requests = [0.0; Work::ALL.len()];
        for (counter, value) in &self.view().snapshot.counters {
            if let Counter::WorkRequests { work } = counter {
                requests[usize::from(work.number())] = *value as f64;
            }
        }
        requests
    }

    /// Requests per second by class of work over a time, and the mean and the longest age of the watermark.
    pub(crate) async fn measure(&self, time: Duration) -> Measured {
        let (began, before) = (Instant::now(), self.requests());
        let (mut sum, mut longest, mut samples) = (0.0, 0.0f64, 0.0);
        while began.elapsed() < time {
            sleep(Duration::from_secs(7)).await;
            let lag = (self.now() - self.view().snapshot.watermark) as f64 / 1_000.0;
            (sum, longest, samples) = (sum + lag, longest.max(lag), samples + 1.0);
        }
        let (seconds, after) = (began.elapsed().as_secs_f64(), self.requests());
        let mut rates = after;
        for (rate, before) in rates.iter_mut().zip(before) {
            *rate = (*rate - before) / seconds;
        }
        Measured { rates, mean_lag: sum / samples, longest_lag: longest, seconds }
    }

    /// Requests sent from `from` to `to`.
    pub(crate) fn sent_between(&self, from: i64, to: i64) -> usize {
        let log = self.log.lock().unwrap();
        log.sent.partition_point(|at| *at < to) - log.sent.partition_point(|at| *at < from)
    }

    /// The longest time, seconds, in which some line was not probed, between `from` and `to`.
    pub(crate) fn longest_without_probe(&self, from: i64, to: i64) -> f64 {
        let log = self.log.lock().unwrap();
        let lines = self.world.lock().unwrap().lines().len();
        let longest = |probes: &Vec<i64>| {
            let within = probes.iter().copied().filter(|at| (from..to).contains(at));
            let times: Vec<i64> = std::iter::once(from).chain(within).chain([to]).collect();
            times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
        };
        let longest = match log.probes.len() == lines {
            true => log.probes.values().map(longest).max().unwrap_or(0),
            false => to - from,
        };
        longest as f64 / 1_000.0
    }
}

/// What was measured over a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) rates: ByWork,
    pub(crate) mean_lag: f64,
    pub(crate) longest_lag: f64,
    pub(crate) seconds: f64,
}

impl Transport for Live {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        sleep(LATENCY / 2).await;
        let reply = {
            let (mut world, now) = (self.world.lock().unwrap(), self.now());
            let request = Request::get(target, &world.setup().key.clone());
            let mut log = self.log.lock().unwrap();
            log.sent.push(now);
            if let Some(chat) =
                target.strip_prefix("/chats/").and_then(|rest| rest.strip_suffix("/background"))
            {
                let chat = percent_encoding::percent_decode_str(chat).decode_utf8_lossy().into_owned();
                let line = world.line_of_chat(&chat).unwrap_or_default();
                log.probes.entry(line).or_default().push(now);
            }
            world.respond(now, &request)
        };
        sleep(LATENCY / 2).await;
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let (date, retry_after) = (header("date"), header("retry-after"));
        Ok(Reply { status: reply.status, date, retry_after, body: reply.body.to_vec() })
    }
}
