//! What PostgreSQL costs in comparison with a SQLite file. The figures stand in docs/performance.md:
//!
//! ```text
//! cargo test --test all stores::figures -- --ignored --nocapture --test-threads 1
//! ```

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use blooio_exporter::domain::{
    Chat, ChatKey, ChatKind, Counter, Delta, Histogram, HistogramKey, LineId, Listing, MessageId, Open,
    Progress, Tracked,
};
use blooio_exporter::lease::{Grant, Holder, Timing};
use blooio_exporter::store::postgres::Options;
use blooio_exporter::store::sqlite::StateFile;
use blooio_exporter::store::{PostgresState, State, Store};

use super::kinds::{block, fastrand_key, options, take};
use super::server::{Pooler, Server};
use crate::support::{Process, program};

const NOW: i64 = 1_800_000_000_000;

fn id(n: u64) -> u128 {
    u128::from(fastrand::Rng::with_seed(n).u64(..)) << 64 | u128::from(n) << 1
}

fn chat(n: u64, round: i64) -> (ChatKey, Option<Chat>) {
    let listed = Listing {
        last_at: Some(NOW + round),
        last_id: Some(MessageId(id(n)).undirected()),
        messages: Some(round as u32),
        inbound: None,
        outbound: None,
        times: None,
    };
    (ChatKey(id(n)), Some(Chat::new(ChatKind::ALL[0], listed, NOW)))
}

fn message(n: u64) -> (MessageId, Option<(Tracked, Option<Open>)>) {
    let tracked = Tracked::unpack(NOW + n as i64, 1 << 24).unwrap();
    // One in ten is open.
    let open = n.is_multiple_of(10).then(|| Open::new(ChatKey(id(n % 1_000))));
    (MessageId(id(1 << 40 | n)), Some((tracked, open)))
}

/// What a read of a chat with three new messages changes.
fn usual(n: u64) -> Delta {
    let line = LineId(1);
    let latency = HistogramKey::ReplyDelay { line };
    let counts = vec![n; latency.bounds().len() + 1].into();
    Delta {
        progress: Progress { baseline: 1, watermark: NOW + n as i64, ..Progress::default() },
        chats: vec![chat(n % 1_000, n as i64)],
        messages: (0..3).map(|nth| message(3 * n + nth)).collect(),
        counters: vec![(Counter::Outbound { line }, n), (Counter::Late, n)],
        histograms: vec![(latency, Histogram { counts, sum: n as f64 })],
        ..Delta::default()
    }
}

/// A store on a disk, with one account.
struct Measured {
    name: &'static str,
    store: Box<dyn Store>,
    /// The processes of the database that work for it.
    backends: Vec<u32>,
    commits: Vec<Duration>,
    cpu: Duration,
}

/// CPU time of a process, or of this thread and what it started.
fn cpu_of(path: &str) -> Duration {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // Fields 14 and 15, of which the first two stand before the closing parenthesis. A tick is 10 ms.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

impl Measured {
    fn new(name: &'static str, store: Box<dyn Store>, backends: Vec<u32>) -> Measured {
        Measured { name, store, backends, commits: Vec::new(), cpu: Duration::ZERO }
    }

    fn cpu(&self) -> Duration {
        let own = cpu_of("/proc/self/stat");
        own + self.backends.iter().map(|pid| cpu_of(&format!("/proc/{pid}/stat"))).sum::<Duration>()
    }

    fn commit(&mut self, deltas: std::ops::Range<u64>) {
        let before = self.cpu();
        for n in deltas {
            let delta = usual(n);
            let began = Instant::now();
            self.store.commit(&delta).unwrap();
            self.commits.push(began.elapsed());
        }
        self.cpu += self.cpu() - before;
    }

    fn percentile(&self, share: f64) -> Duration {
        let mut commits = self.commits.clone();
        commits.sort_unstable();
        commits[((commits.len() - 1) as f64 * share) as usize]
    }
}

fn options_of(url: &str) -> Options {
    Options { timing: Timing { ttl: Duration::from_secs(300) }, ..options(url) }
}

fn database(url: &str) -> (PostgresState, Grant) {
    let state = PostgresState::open(options_of(url), fastrand_key()).unwrap();
    let grant = take(&state, Holder::new(fastrand::u128(..)), "a").unwrap();
    (state, grant)
}

fn backends(server: &Server, database: &str) -> Vec<u32> {
    let query =
        format!("SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()");
    server.sql("postgres", &query).lines().map(|pid| pid.parse().unwrap()).collect()
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[test]
#[ignore = "measures; its figures stand in docs/performance.md"]
fn commits_and_sizes() {
    const ROUNDS: u64 = 20;
    const COMMITS: u64 = 100;
    let server = Server::start_on_disk();
    let pooler = Pooler::start(&server, "");
    let folder = tempfile::tempdir().unwrap();
    let file = StateFile::open(&folder.path().join("state.db"), fastrand_key()).unwrap();
    let (direct, pooled) = (server.database(), server.database());
    let (one, grant) = database(&server.url("postgres", &direct));
    let (other, other_grant) = database(&pooler.url(&pooled));
    let mut all = [
        Measured::new("SQLite", file.account("a", NOW, None).unwrap().store, Vec::new()),
        Measured::new(
            "PostgreSQL",
            one.account("a", NOW, Some(grant)).unwrap().store,
            backends(&server, &direct),
        ),
        Measured::new(
            "PostgreSQL behind pgbouncer",
            other.account("a", NOW, Some(other_grant)).unwrap().store,
            backends(&server, &pooled),
        ),
    ];
    // They take turns, so that what else runs on the machine disturbs all of them.
    for round in 0..ROUNDS {
        for measured in &mut all {
            measured.commit(round * COMMITS..(round + 1) * COMMITS);
        }
    }
    let (p50, cpu) = (all[0].percentile(0.5), all[0].cpu);
    for measured in &all {
        let (median, commits) = (measured.percentile(0.5), ROUNDS * COMMITS);
        println!(
            "{:<28} commit p50 {median:>7.2?} ({:.1} x), p99 {:>7.2?}; CPU per commit, exporter and database, {:>7.2?} ({:.1} x); \
             {:.0} commits/s one after the other",
            measured.name,
            median.as_secs_f64() / p50.as_secs_f64(),
            measured.percentile(0.99),
            measured.cpu / commits as u32,
            measured.cpu.as_secs_f64() / cpu.as_secs_f64(),
            commits as f64 / measured.commits.iter().sum::<Duration>().as_secs_f64()
        );
    }
    drop(all);
    sizes(folder.path(), &server);
}

/// 10,000 chats and 100,000 messages, and what becomes of that when every chat changes ten times.
fn sizes(folder: &Path, server: &Server) {
    let file = StateFile::open(&folder.join("large.db"), fastrand_key()).unwrap();
    let name = server.database();
    let (state, grant) = database(&server.url("postgres", &name));
    let mut stores =
        [file.account("a", NOW, None).unwrap().store, state.account("a", NOW, Some(grant)).unwrap().store];
    let progress = Progress { baseline: 1, ..Progress::default() };
    for store in &mut stores {
        let chats = (0..10_000).map(|n| chat(n, 0)).collect();
        let messages = (0..100_000).map(message).collect();
        store.commit(&Delta { progress, chats, messages, ..Delta::default() }).unwrap();
    }
    let bytes = || {
        let on_disk = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
        let tables = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
                      WHERE relnamespace = 'blooio_exporter'::regnamespace AND relkind = 'r'";
        (on_disk("large.db").max(on_disk("large.db-wal")), server.sql(&name, tables).parse::<u64>().unwrap())
    };
    let say = |what: &str| {
        let (file, tables) = bytes();
        println!(
            "{what}: SQLite {:.1} MB, PostgreSQL {:.1} MB ({:.1} x)",
            megabytes(file),
            megabytes(tables),
            tables as f64 / file as f64
        );
    };
    say("10,000 chats, 100,000 messages");
    for round in 1..=10 {
        for store in &mut stores {
            for first in (0..10_000).step_by(100) {
                let chats = (first..first + 100).map(|n| chat(n, round)).collect();
                store.commit(&Delta { progress, chats, ..Delta::default() }).unwrap();
            }
        }
        // What autovacuum does on a server that runs for more than seconds.
        server.sql(&name, "VACUUM blooio_exporter.chat, blooio_exporter.account");
    }
    say("the same after each chat changed ten times");
}

#[test]
#[ignore = "measures; its figures stand in docs/performance.md"]
fn heartbeats() {
    let server = Server::start_on_disk();
    for accounts in [1_usize, 100, 1_000] {
        let name = server.database();
        let (state, _) = database(&server.url("postgres", &name));
        let holder = Holder::new(7);
        let names: Vec<String> = (0..accounts).map(|n| format!("account-{n}")).collect();
        block(state.beat(holder, String::new(), names.clone(), Vec::new())).unwrap();
        let grants: Vec<(String, Grant)> = names
            .iter()
            .map(|name| {
                let grant = block(state.take(name.clone(), holder, String::new())).unwrap().unwrap();
                (name.clone(), grant)
            })
            .collect();
        let mut took: Vec<Duration> = (0..40)
            .map(|_| {
                let began = Instant::now();
                let beat = block(state.beat(holder, String::new(), names.clone(), grants.clone())).unwrap();
                assert_eq!(beat.renewed.len(), accounts);
                began.elapsed()
            })
            .collect();
        took.sort_unstable();
        println!("a heartbeat that renews {accounts} leases: p50 {:.2?}, longest {:.2?}", took[20], took[39]);
    }
}

#[test]
#[ignore = "measures; its figures stand in docs/performance.md"]
fn an_idle_replica() {
    const WATCHED: Duration = Duration::from_secs(60);
    let server = Server::start_on_disk();
    let name = server.database();
    let url = server.url("postgres", &name);
    // The lease of the account is held for longer than the measurement.
    let (state, _) = database(&url);
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command
        .args(["--web.listen-address=127.0.0.1:0", "--blooio.base-url=http://127.0.0.1:1/v2/api"])
        .arg("--config.file")
        .arg(folder.path().join("config.yml"))
        .stdout(Stdio::null());
    std::fs::write(folder.path().join("a.key"), "bl_live_SIMULATED").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("a.key"), mode).unwrap();
    let config = format!(
        "state: {{url: \"{url}&application_name=idle\"}}\naccounts: [{{name: a, api_key_file: a.key}}]\n"
    );
    std::fs::write(folder.path().join("config.yml"), config).unwrap();
    let replica = Process::start(command);
    std::thread::sleep(Duration::from_secs(10));
    let backends = || -> Vec<u32> {
        let query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'idle'";
        server.sql("postgres", query).lines().map(|pid| pid.parse().unwrap()).collect()
    };
    let look = || {
        let of_database: Duration = backends().iter().map(|pid| cpu_of(&format!("/proc/{pid}/stat"))).sum();
        let query =
            format!("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{name}'");
        let transactions: f64 = server.sql("postgres", &query).parse().unwrap();
        (cpu_of(&format!("/proc/{}/stat", replica.id())), of_database, transactions)
    };
    let before = look();
    std::thread::sleep(WATCHED);
    let after = look();
    let status = std::fs::read_to_string(format!("/proc/{}/status", replica.id())).unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    let share = |time: Duration| time.as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
    println!(
        "an idle replica: {:.2} transactions/s, {:.2} % of a core, and {:.2} % in the database on {} connections; {}",
        (after.2 - before.2) / WATCHED.as_secs_f64(),
        share(after.0 - before.0),
        share(after.1 - before.1),
        backends().len(),
        resident.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    assert_eq!(replica.page().family("blooio_up").len(), 0, "it holds the account");
    drop(state);
}
