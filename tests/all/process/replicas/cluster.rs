//! The replicas, their database, and the worlds of their accounts.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blooio_exporter::simulator::{self, Knobs, RateLimit, RetryAfter};

use super::TTL;
use super::watch::{Addresses, Watched, Watcher, accounts_of, scrape};
use crate::chain::prometheus::Prometheus;
use crate::process::truth::{differences, expected, shown};
use crate::stores::server::{Pooler, Server};
use crate::support::{LONGEST_WAIT, Page, Process, Simulated, eventually, program, wall_clock};

pub(super) const ACCOUNTS: [&str; 4] = ["one", "two", "three", "four"];

/// Requests per second of each account.
const BUDGET: f64 = 40.0;

/// Several replicas of the program.
pub(super) struct Cluster {
    pub(super) replicas: Vec<Process>,
    numbers: Vec<usize>,
    started: usize,
    addresses: Addresses,
    watcher: Watcher,
    worlds: Vec<Simulated>,
    prometheus: Prometheus,
    folder: tempfile::TempDir,
    _pooler: Pooler,
    // Ends last.
    pub(super) server: Server,
}

/// A world with steady traffic, which rejects requests above the budget. Twice the rate for half a second is above it.
fn world(name: &str, seed: u64) -> Simulated {
    let scenario = simulator::scenario("steady").unwrap();
    let mut setup = scenario.setup.clone();
    (setup.seed, setup.start_ms, setup.key) = (seed, wall_clock(), key_of(name));
    (setup.inbound_per_minute, setup.outbound_per_minute, setup.pace) = (150.0, 300.0, 10.0);
    (setup.chats, setup.history_messages) = (40, 100);
    let limit = RateLimit {
        per_second: BUDGET * 1.05,
        burst: BUDGET / 2.0,
        retry_after: RetryAfter::Seconds,
        pause_seconds: 1,
    };
    setup.knobs = Knobs { rate_limit: Some(limit), ..setup.knobs };
    Simulated::start(scenario.world_from(setup))
}

/// The scrape configuration of the example, which finds the replicas in a file.
fn scrapes(targets: &Path) -> String {
    let example = include_str!("../../../../examples/replicas/prometheus.yml");
    let named = "    static_configs:\n      - targets: [\"replica-1:12566\", \"replica-2:12566\", \"replica-3:12566\"]\n";
    let found = format!(
        "    file_sd_configs: [{{files: [\"{}\"], refresh_interval: 1s}}]\n    scrape_timeout: 1s\n",
        targets.display()
    );
    let changes = [
        (named, found.as_str()),
        ("scrape_interval: 3s", "scrape_interval: 1s"),
        ("rule_files: [blooio.rules.yml]\n", ""),
    ];
    changes.iter().fold(example.to_owned(), |text, (before, after)| {
        assert!(text.contains(before), "the example lacks {before}");
        text.replace(before, after)
    })
}

fn key_of(name: &str) -> String {
    format!("bl_live_{name}")
}

impl Cluster {
    /// Starts the database, the worlds and so many replicas.
    pub(super) fn start(replicas: usize, seed: u64) -> Cluster {
        let server = Server::start(&[]);
        let pooler = Pooler::start(&server, "server_login_retry = 1");
        let folder = tempfile::tempdir().unwrap();
        let worlds: Vec<Simulated> =
            ACCOUNTS.iter().zip(seed..).map(|(name, seed)| world(name, seed)).collect();
        let mut text = format!(
            "collector: {{interval: 300ms, full_interval: 2s}}\nprobe: {{interval: 2s}}\napi: {{budget: {BUDGET}, timeout: 3s}}\n\
             state: {{url: \"{}\", lease_ttl: {}s}}\naccounts:\n",
            pooler.url("postgres"),
            TTL.as_secs()
        );
        for (name, world) in ACCOUNTS.iter().zip(&worlds) {
            let path = folder.path().join(format!("{name}.key"));
            let file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            writeln!(file.unwrap(), "{}", key_of(name)).unwrap();
            writeln!(
                text,
                "  - {{name: {name}, base_url: \"{}\", api_key_file: {name}.key}}",
                world.base_url()
            )
            .unwrap();
        }
        std::fs::write(folder.path().join("config.yml"), text).unwrap();
        let prometheus = Prometheus::configured(&scrapes(&folder.path().join("targets.json")));
        let addresses = Addresses::default();
        let watcher = Watcher::start(Arc::clone(&addresses));
        let mut cluster = Cluster {
            replicas: Vec::new(),
            numbers: Vec::new(),
            started: 0,
            addresses,
            watcher,
            worlds,
            prometheus,
            folder,
            _pooler: pooler,
            server,
        };
        (0..replicas).for_each(|_| cluster.add());
        cluster
    }

    fn command(&self) -> Command {
        let mut command = program();
        command
            .arg("--config.file")
            .arg(self.folder.path().join("config.yml"))
            .args(["--web.listen-address", "127.0.0.1:0"])
            .stdout(std::process::Stdio::null());
        command
    }

    /// Starts a replica, and starts it again when it ends because the database cannot be reached, as the example's `restart`
    /// does: pgbouncer rejects logins for a second after it found the server away.
    pub(super) fn add(&mut self) {
        let mut command = self.command();
        let replica = eventually("a replica starts", || match Process::try_start(&mut command) {
            Ok(replica) => Some(replica),
            Err((Some(1), log)) if log.contains("/postgres: cannot be reached (") => None,
            Err((code, log)) => panic!("ended with {code:?}:\n{log}"),
        });
        self.started += 1;
        self.addresses.lock().unwrap().insert(self.started, replica.address);
        self.name_targets();
        self.numbers.push(self.started);
        self.replicas.push(replica);
    }

    /// Takes a replica out of the cluster, for the caller to end.
    pub(super) fn remove(&mut self, nth: usize) -> Process {
        let number = self.numbers.remove(nth);
        self.addresses.lock().unwrap().remove(&number);
        self.name_targets();
        self.replicas.remove(nth)
    }

    /// Tells Prometheus which replicas there are.
    fn name_targets(&self) {
        let addresses: Vec<String> =
            self.addresses.lock().unwrap().values().map(ToString::to_string).collect();
        let written = self.folder.path().join("targets.new");
        std::fs::write(&written, serde_json::json!([{"targets": addresses}]).to_string()).unwrap();
        std::fs::rename(written, self.folder.path().join("targets.json")).unwrap();
    }

    /// The accounts on the page of a replica.
    pub(super) fn held_by(&self, nth: usize) -> Vec<String> {
        scrape(self.replicas[nth].address).map(|page| accounts_of(&page)).unwrap_or_default()
    }

    fn logs(&self) -> String {
        self.replicas.iter().map(|replica| format!("{}\n--\n", replica.log())).collect()
    }

    /// Waits until each of these accounts is on a page.
    pub(super) fn wait_until_shown(&self, accounts: &[String]) {
        let until = Instant::now() + LONGEST_WAIT;
        loop {
            let shown: Vec<String> = (0..self.replicas.len()).flat_map(|nth| self.held_by(nth)).collect();
            if accounts.iter().all(|account| shown.contains(account)) {
                return;
            }
            assert!(Instant::now() < until, "only {shown:?} of {accounts:?} are shown\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn wait_until_all_shown(&self) {
        self.wait_until_shown(&ACCOUNTS.map(str::to_owned));
    }

    /// Waits until every account stays where it is: one that moves while the clocks of the worlds are set forward would start
    /// with a clock that contradicts the one before.
    fn wait_until_nothing_moves(&self) {
        let held = || -> Vec<Vec<String>> { (0..self.replicas.len()).map(|nth| self.held_by(nth)).collect() };
        eventually("no account moves", || {
            self.wait_until_all_shown();
            let before = held();
            std::thread::sleep(Duration::from_secs(4));
            (held() == before && before.iter().flatten().count() == ACCOUNTS.len()).then_some(())
        });
    }

    /// Ends every connection of the replicas to the database.
    pub(super) fn cut_connections(&self) {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.server.sql("postgres", cut);
    }

    /// Lets the worlds come to rest, and waits until the pages say what the truth says. Returns how many messages there were.
    pub(super) fn settle(&self) -> u64 {
        self.wait_until_nothing_moves();
        std::thread::scope(|scope| {
            let accounts = ACCOUNTS.iter().zip(&self.worlds);
            let settling: Vec<_> =
                accounts.map(|(name, world)| scope.spawn(|| self.settle_account(name, world))).collect();
            settling.into_iter().map(|account| account.join().unwrap()).sum()
        })
    }

    /// The page that shows an account.
    fn page_of(&self, name: &str) -> Option<Page> {
        let mut pages = self.replicas.iter().filter_map(|replica| scrape(replica.address));
        pages.find(|page| accounts_of(page).iter().any(|account| account == name))
    }

    fn settle_account(&self, name: &str, world: &Simulated) -> u64 {
        world.come_to_rest(name, || self.page_of(name));
        let messages = self.compare(name, world);
        let totals = world.world().request_totals().clone();
        let rejected: u64 = totals.iter().filter(|((_, status), _)| *status == 429).map(|(_, n)| n).sum();
        assert_eq!(rejected, 0, "{name}: requests above the budget");
        messages
    }

    fn compare(&self, name: &str, world: &Simulated) -> u64 {
        let until = Instant::now() + LONGEST_WAIT;
        let mut differ = Vec::new();
        loop {
            if let Some(page) = self.page_of(name) {
                page.assert_conserved();
                let baseline =
                    page.of(name, "blooio_collection_baseline_timestamp_seconds")[&vec![name.to_owned()]];
                let truth = world.world().truth().summary((baseline * 1000.0).round() as i64);
                differ = differences(&expected(&truth), &shown(&page, name));
                let messages = truth.outbound.values().chain(truth.inbound.values()).sum();
                assert!(messages > 0, "{name}: nothing was sent");
                if differ.is_empty() {
                    return messages;
                }
            }
            assert!(
                Instant::now() < until,
                "{name}: page and truth differ:\n{}\n{}",
                differ.join("\n"),
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(100));
            world.skip(Duration::from_secs(60));
        }
    }

    /// What Prometheus holds of each account is what its page grew by since the first scrape: no end, no beginning and no reset
    /// shows that accounts moved. To be called once everything has come to rest.
    pub(super) fn assert_scraped(&self) {
        let settled = wall_clock();
        let newest = eventually("Prometheus has scraped every account", || {
            let oldest =
                self.prometheus.query("min(timestamp(blooio_up)) and count(blooio_up) == 4")? * 1_000.0;
            (oldest > settled as f64).then_some(oldest as i64)
        });
        for family in [
            "blooio_inbound_messages_total",
            "blooio_outbound_messages_total",
            "blooio_outbound_delivered_messages_total",
        ] {
            for account in ACCOUNTS {
                let series = format!("{family}{{account=\"{account}\"}}");
                let value = |query: &str, at| self.prometheus.query_all(query, at, &[]).into_values().next();
                let first = self.prometheus.first_sample(&series, newest);
                let range = newest - first + 1;
                let began = value(&format!("sum({series})"), first).unwrap();
                let ended = value(&format!("sum({series})"), newest).unwrap();
                let increase = value(&format!("sum(increase({series}[{range}ms]))"), newest).unwrap();
                let resets = value(&format!("sum(resets({series}[{range}ms]))"), newest).unwrap();
                assert_eq!(resets, 0.0, "{series} began again");
                assert!(
                    ended - began > 50.0,
                    "{series} grew from {began} to {ended}: too little to say anything"
                );
                // What `increase()` adds for the time between the ends of the range and the nearest samples is below a scrape's worth.
                let scrape = (ended - began) / range as f64 * 1_000.0;
                assert!(
                    (increase - (ended - began)).abs() <= 1.0 + scrape,
                    "{series} grew from {began} to {ended}, and increase() says {increase}"
                );
                let kinds = value(
                    &format!("count(count by (instance) (last_over_time({series}[{range}ms])))"),
                    newest,
                );
                assert_eq!(kinds, Some(1.0), "{series} has one instance, wherever the account was");
            }
        }
    }

    /// Ends everything, and checks what was watched meanwhile.
    pub(super) fn stop(self) -> Watched {
        let watched = self.watcher.stop();
        self.replicas.into_iter().for_each(Process::stop);
        watched
    }
}
