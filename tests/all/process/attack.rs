//! The web server under attack: scrapers that behave, beside crowds that do not.
//!
//! The test asserts what does not depend on the machine's speed. The figures of docs/performance.md come from the same crowds:
//!
//! ```text
//! cargo test --test all attack::figures -- --ignored --nocapture --test-threads 1
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blooio_exporter::domain::{Ledger, Policy, Restored, View};
use blooio_exporter::metrics::exposition::About;
use blooio_exporter::metrics::{MetricsPage, Registry, Slot, Syntax};
use blooio_exporter::simulator;
use blooio_exporter::store::State;
use blooio_exporter::store::sqlite::StateFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Exporter, Process, Simulated, command, eventually, get, wall_clock};

const GOOD: usize = 64;
/// Bad clients of each kind: slow readers, half-open connections, dribblers of heads.
const CROWD: [usize; 3] = [64, 64, 32];
/// As many lines as make a page of some 10,000 series.
const LINES: usize = 64;

/// What the good ones saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    /// Scrapes that were not answered in full, each with what went wrong.
    failed: Vec<String>,
    bytes: usize,
}

impl Seen {
    fn quantile(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort();
        took[((took.len() - 1) as f64 * share) as usize]
    }
}

/// A scraper that behaves: once a second, over a connection that it keeps.
async fn scraper(address: SocketAddr, n: usize, until: Instant) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    let mut next = Instant::now() + Duration::from_millis(1000 * n as u64 / GOOD as u64);
    while next < until {
        tokio::time::sleep_until(next.into()).await;
        let began = Instant::now();
        // One that was closed while idle is tried again on a new connection, as every HTTP client does.
        let reused = connection.is_some();
        let mut scraped = scrape(address, &mut connection).await;
        if reused && scraped.is_err() {
            scraped = scrape(address, &mut connection).await;
        }
        match scraped {
            Ok(bytes) => {
                seen.took.push(began.elapsed());
                seen.bytes = bytes;
            }
            Err(error) => seen.failed.push(error.to_string()),
        }
        next += Duration::from_secs(1);
    }
    seen
}

/// Length of the body of one complete answer.
async fn scrape(address: SocketAddr, connection: &mut Option<TcpStream>) -> std::io::Result<usize> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n").await?;
    let mut answer = Vec::with_capacity(256 * 1024);
    let cut = || std::io::Error::other("cut short");
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(cut());
        }
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
        if !text.starts_with("http/1.1 200") {
            return Err(std::io::Error::other(text));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).ok_or_else(cut)?;
        let length: usize = length.parse().map_err(|_| cut())?;
        let missing = (head + 4 + length).saturating_sub(answer.len());
        let read = answer.len();
        answer.resize(read + missing, 0);
        stream.read_exact(&mut answer[read..]).await?;
        if !text.contains("connection: close") {
            *connection = Some(stream);
        }
        return Ok(length);
    }
}

/// One of a crowd: behaves badly on one connection after the other, and counts how often the server ended one.
async fn bad(kind: usize, address: SocketAddr, stop: Arc<AtomicBool>, ended: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().unwrap();
        // A small window: the kernel takes little of the answer for us.
        socket.set_recv_buffer_size(4096).unwrap();
        let Ok(mut stream) = socket.connect(address).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (first, pause): (&[u8], u64) = match kind {
            0 => (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 100),
            1 => (b"GET /metrics HT", 200),
            _ => (b"GET /metrics HTTP/1.1\r\nX-Slow: ", 50),
        };
        // Slow readers ask often enough that no socket buffer can hold the answers.
        for _ in 0..if kind == 0 { 16 } else { 1 } {
            let _ = stream.write_all(first).await;
        }
        while !stop.load(Ordering::Relaxed) {
            let pause = Duration::from_millis(pause);
            // Slow, but fast enough to get through its own kernel's buffer to the end of the connection.
            let mut bytes = [0; 256];
            let over = match kind {
                2 => {
                    tokio::time::sleep(pause).await;
                    stream.write_all(b"x").await.is_err()
                }
                0 => {
                    tokio::time::sleep(pause).await;
                    !matches!(stream.read(&mut bytes).await, Ok(1..))
                }
                _ => matches!(tokio::time::timeout(pause, stream.read(&mut bytes)).await, Ok(Ok(0) | Err(_))),
            };
            if over {
                ended.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
    }
}

/// An exporter whose page has some 10,000 series, and what it watches.
struct Stage {
    _simulated: Simulated,
    exporter: Exporter,
    runtime: tokio::runtime::Runtime,
}

/// A crowd at work, until it is dropped.
struct Crowd {
    stop: Arc<AtomicBool>,
    ended: [Arc<AtomicUsize>; 3],
    _tasks: JoinSet<()>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Stage {
    fn new() -> Stage {
        let scenario = simulator::scenario("steady").unwrap();
        let mut setup = scenario.setup.clone();
        (setup.seed, setup.start_ms, setup.lines) = (7, wall_clock(), LINES);
        let simulated = Simulated::start(scenario.world_from(setup));
        let exporter = Exporter::start(&simulated, &[]);
        eventually("the lines", || {
            (exporter.page().family("blooio_line_active").len() == LINES).then_some(())
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Stage { _simulated: simulated, exporter, runtime }
    }

    fn crowd(&self, times: usize) -> Crowd {
        let (stop, ended) = (Arc::new(AtomicBool::new(false)), [(); 3].map(|()| Arc::default()));
        let mut tasks = JoinSet::new();
        for (kind, count) in CROWD.into_iter().enumerate() {
            for _ in 0..count * times {
                let one = bad(kind, self.exporter.address(), Arc::clone(&stop), Arc::clone(&ended[kind]));
                tasks.spawn_on(one, self.runtime.handle());
            }
        }
        Crowd { stop, ended, _tasks: tasks }
    }

    /// Scrapes for a while; also says how many sweeps were completed meanwhile, and the most memory seen, in bytes.
    fn scrape(&self, length: Duration) -> (Seen, f64, f64) {
        let address = self.exporter.address();
        let before = self.exporter.page().sum("blooio_collection_sweeps_total");
        let until = Instant::now() + length;
        let scrapers: Vec<_> = (0..GOOD).map(|n| self.runtime.spawn(scraper(address, n, until))).collect();
        let mut memory = 0f64;
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(500));
            memory = memory.max(self.memory());
        }
        let mut all = Seen::default();
        for scraper in scrapers {
            let seen = self.runtime.block_on(scraper).unwrap();
            all.took.extend(seen.took);
            all.failed.extend(seen.failed);
            all.bytes = all.bytes.max(seen.bytes);
        }
        (all, self.exporter.page().sum("blooio_collection_sweeps_total") - before, memory)
    }

    fn memory(&self) -> f64 {
        self.exporter.page().sum("process_resident_memory_bytes")
    }
}

#[test]
fn crowds_that_misbehave_hurt_nobody_but_themselves() {
    let mut stage = Stage::new();
    let (calm, _, before) = stage.scrape(Duration::from_secs(3));
    assert!(calm.failed.is_empty(), "{:?}", calm.failed);
    let crowd = stage.crowd(1);
    // Longer than a head or an answer may take.
    let (seen, sweeps, memory) = stage.scrape(Duration::from_secs(16));
    assert!(
        seen.failed.is_empty(),
        "{} of {}: {:?}",
        seen.failed.len(),
        seen.took.len(),
        seen.failed.first()
    );
    assert!(seen.took.len() >= GOOD && seen.bytes > 10_000);
    assert!(sweeps >= 2.0 && stage.exporter.page().sum("blooio_up") == 1.0, "{sweeps} sweeps");
    // The page is about a megabyte: with a copy for each slow reader this would be far more.
    assert!(memory - before < 32.0 * 1024.0 * 1024.0, "memory grew from {before} to {memory}");
    eventually("every kind of connection is ended", || {
        let ended = crowd.ended.iter().zip(CROWD);
        ended.into_iter().all(|(ended, count)| ended.load(Ordering::Relaxed) >= count).then_some(())
    });
    let (code, took) = stage.exporter.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A ledger with some 10,000 series and its store, as the collector commits and shows them.
struct Writer<S> {
    ledger: Ledger,
    store: S,
    slot: Slot,
}

/// A page of some 10,000 series over a real state file.
fn page_and_writer(
    folder: &tempfile::TempDir,
) -> (Registry, MetricsPage, Writer<impl blooio_exporter::store::Store + use<>>) {
    let file = StateFile::open(&folder.path().join("state.db"), [1; 32]).unwrap();
    let state = file.account("default", 0, None).unwrap();
    let policy = Policy {
        window: 3_600_000,
        horizon: 259_200_000,
        retention: 604_800_000,
        audit_interval: 86_400_000,
        interval: 30_000,
        full_interval: 600_000,
        lookback: 600_000,
        turn: 60_000,
    };
    let mut ledger = Ledger::new(policy, Restored::default());
    ledger.begin(0);
    for line in 0..LINES {
        ledger.line(Some(&format!("+1310555{line:04}")));
    }
    let registry = Registry::default();
    let slot = Slot::default();
    let mut writer = Writer { ledger, store: state.store, slot: slot.clone() };
    commits(&mut writer, 1);
    registry.change(|display| display.slots = vec![slot]);
    let about = About { version: "", revision: "", rustc: "" };
    (registry.clone(), MetricsPage::new(registry, about), writer)
}

fn commits(writer: &mut Writer<impl blooio_exporter::store::Store>, count: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for n in 0..count {
        let began = Instant::now();
        writer.ledger.record_commit(0.001);
        let snapshot = writer.ledger.snapshot(n as i64);
        writer.store.commit(&writer.ledger.delta()).unwrap();
        writer.slot.publish(View { version: writer.slot.view().version + 1, snapshot, ..View::default() });
        took.push(began.elapsed());
    }
    took.sort();
    took
}

#[test]
fn few_file_descriptors_are_no_reason_to_lock_scrapers_out() {
    let simulated = Simulated::start(simulator::scenario("quiet").unwrap().world(1, wall_clock()));
    let folder = tempfile::tempdir().unwrap();
    let whole = command(&simulated.base_url(), &folder.path().join("state.db"), &[]);
    let mut limited = std::process::Command::new("sh");
    limited.arg("-c").arg("ulimit -n 64; exec \"$0\" \"$@\"").arg(whole.get_program());
    limited.args(whole.get_args()).env("BLOOIO_API_KEY", &simulated.world().setup().key);
    let exporter = Process::start(limited);
    // More than there are descriptors for, and none of them says a word.
    let silent: Vec<_> = (0..100).map(|_| std::net::TcpStream::connect(exporter.address).unwrap()).collect();
    for _ in 0..10 {
        assert_eq!(get(exporter.address, "/metrics", &[]).status, 200);
    }
    drop(silent);
    assert!(!exporter.log().contains("cannot be accepted"), "{}", exporter.log());
}

#[test]
fn a_scrape_holds_nothing_that_a_commit_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, page, mut writer) = page_and_writer(&folder);
    // What a scrape holds on to while it is encoded, held for ever.
    let held = registry.views();
    let before = held[0].version;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for syntax in [Syntax::Text, Syntax::OpenMetrics] {
            let (stop, page) = (&stop, &page);
            scope.spawn(move || {
                let mut now = 0;
                while !stop.load(Ordering::Relaxed) {
                    now += 1;
                    assert!(page.encode(syntax, now, None).unwrap().len() > 500_000);
                }
            });
        }
        commits(&mut writer, 100);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(held[0].version, before);
    assert_eq!(registry.views()[0].version, before + 100);
}

#[test]
#[ignore = "measures; its figures stand in docs/performance.md"]
fn figures() {
    let length = Duration::from_secs(30);
    let mut stage = Stage::new();
    let page = stage.exporter.page();
    println!("page: {} series", page.samples.len());
    let show = |what: &str, (seen, sweeps, memory): (Seen, f64, f64)| {
        println!(
            "{what}: {} scrapes, {} failed, p50 {:.1?}, p99 {:.1?}, slowest {:.1?}; {sweeps} sweeps; {:.1} MiB",
            seen.took.len(),
            seen.failed.len(),
            seen.quantile(0.5),
            seen.quantile(0.99),
            seen.quantile(1.0),
            memory / 1024.0 / 1024.0
        );
    };
    show("alone", stage.scrape(length));
    for times in [1, 4] {
        let crowd = stage.crowd(times);
        show(&format!("beside {} bad clients", CROWD.iter().sum::<usize>() * times), stage.scrape(length));
        println!("  connections ended by kind: {:?}", crowd.ended);
        if times == 4 {
            let (code, took) = stage.exporter.terminate();
            println!("SIGTERM amid them: exit code {code:?} after {took:.2?}");
        }
    }
}

#[test]
#[ignore = "measures; its figures stand in docs/performance.md"]
fn figures_of_commits() {
    let folder = tempfile::tempdir().unwrap();
    let (_, page, mut writer) = page_and_writer(&folder);
    let show = |what: &str, took: &[Duration]| {
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!("{what}: {} commits, p50 {:.2?}, p99 {:.2?}", took.len(), at(0.5), at(0.99));
    };
    show("commits alone", &commits(&mut writer, 1000));
    let (stop, scrapes) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut now = 0;
            while !stop.load(Ordering::Relaxed) {
                // Each in a second of its own: none is a copy of the one before.
                now += 1000;
                page.encode(Syntax::Text, now, None).unwrap();
                scrapes.fetch_add(1, Ordering::Relaxed);
            }
        });
        show("commits beside a scraper that never pauses", &commits(&mut writer, 1000));
        stop.store(true, Ordering::Relaxed);
    });
    println!("  scrapes meanwhile: {}", scrapes.load(Ordering::Relaxed));
}
