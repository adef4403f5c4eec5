//! What is claimed to be fast and small, measured: `cargo bench --bench figures`.
//!
//! Each figure is printed with the bound that the project promises. Nothing here decides over a test: it is
//! for the reader of the README, and for engineers who change a hot path.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program, not a product")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blooio_exporter::api::{self, Fault, Reply, Transport};
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, IdHasher, Options, Watch};
use blooio_exporter::domain::{
    ChatKey, ChatKind, Ledger, Listing, MessageId, Observation, Policy, Restored, View,
};
use blooio_exporter::metrics::exposition::About;
use blooio_exporter::metrics::process::Usage;
use blooio_exporter::metrics::{MetricsPage, Registry, Slot, Syntax};
use blooio_exporter::store::State;
use blooio_exporter::store::sqlite::StateFile;
use blooio_exporter::store::{MemoryStore, Store};

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

fn main() {
    requests();
    ingest();
    page();
    memory();
    start();
}

fn figure(what: &str, measured: &str, promised: &str) {
    println!("{what:<58} {measured:>22}   (promised: {promised})");
}

fn policy() -> Policy {
    options().policy()
}

fn options() -> Options {
    Options {
        interval: Duration::from_secs(30),
        full_interval: Duration::from_secs(10 * 24 * 3600),
        window: Duration::from_secs(3600),
        lookback: Duration::from_secs(600),
        retention: Duration::from_secs(7 * 24 * 3600),
        audit_interval: Duration::from_secs(24 * 3600),
        horizon: Duration::from_secs(72 * 3600),
        conversation_turn: Duration::from_secs(60),
        probe_interval: Duration::ZERO,
        probe_chats: Vec::new(),
        budget: 100.0,
    }
}

/// A server with many idle chats, of which the first so many get a message when told.
#[derive(Clone)]
struct Idle {
    chats: usize,
    changed: usize,
    round: Arc<AtomicI64>,
    requests: Arc<AtomicU64>,
}

impl Transport for Idle {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let round = self.round.load(Ordering::Relaxed);
        let body = if target.starts_with("/chats?") {
            let offset: usize = target.rsplit('=').next().unwrap().parse().unwrap();
            let mut body = String::from("{\"chats\":[");
            for n in (0..self.chats).skip(offset).take(200) {
                let round = if n < self.changed { round } else { 0 };
                let comma = if n == offset { "" } else { "," };
                // Long before the first start, except for what changed.
                let at = if round == 0 {
                    NOW - 800 * HOUR - n as i64
                } else {
                    NOW + HOUR + round * 1000 - n as i64
                };
                let _ = write!(
                    body,
                    "{comma}{{\"id\":\"+1{n:010}\",\"type\":\"phone\",\"message_count\":{round},\
                     \"last_message_time\":{at},\"last_message\":{{\"message_id\":\"m{n}-{round}\"}}}}"
                );
            }
            let _ = write!(body, "],\"pagination\":{{\"total\":{}}}}}", self.chats);
            body
        } else if target.contains("/messages") {
            let n: usize = target.split("%2B1").nth(1).unwrap()[..10].parse().unwrap();
            let at = NOW + HOUR + round * 1000 - n as i64;
            format!(
                "{{\"messages\":[{{\"message_id\":\"m{n}-{round}\",\"direction\":\"inbound\",\
                 \"internal_id\":\"+13105550101\",\"time_sent\":{at}}}],\"pagination\":{{\"total\":1}}}}"
            )
        } else {
            return Ok(Reply { status: 404, ..Reply::default() });
        };
        Ok(Reply { status: 200, body: body.into_bytes(), ..Reply::default() })
    }
}

/// Requests per sweep, once everything is known.
fn requests() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    for (chats, changed) in [(100, 0), (10_000, 0), (10_000, 1), (10_000, 10)] {
        let per_sweep = runtime.block_on(async {
            let server = Idle { chats, changed, round: Arc::default(), requests: Arc::default() };
            let clock = Clock::Simulated { start: NOW, origin: tokio::time::Instant::now() };
            let ledger = Ledger::new(options().policy(), Restored::default());
            let hasher = IdHasher::new(&[1; 32], "default");
            let (account, slot, options) = ("default", Slot::default(), options());
            let watch = Watch { account, clock, slot, hasher, options };
            let mut collector = Collector::new(watch, server.clone(), ledger, MemoryStore::default());
            let script = async {
                // Changes come halfway between two sweeps.
                tokio::time::sleep(Duration::from_secs(315)).await;
                let before = server.requests.load(Ordering::Relaxed);
                for _ in 0..100 {
                    server.round.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
                (server.requests.load(Ordering::Relaxed) - before) as f64 / 100.0
            };
            tokio::select! {
                per_sweep = script => per_sweep,
                _ = collector.run(std::future::pending()) => unreachable!(),
            }
        });
        let what = format!("requests per sweep, {chats} chats, {changed} changed");
        figure(&what, &format!("{per_sweep:.2}"), &format!("{}", 1 + changed));
    }
}

fn message_pages(pages: usize) -> Vec<Vec<u8>> {
    let page = |page: usize| {
        let rows: Vec<String> = (0..200)
            .map(|row| {
                let n = page * 200 + row;
                format!(
                    "{{\"message_id\":\"msg_{n:016x}\",\"direction\":\"outbound\",\"external_id\":\"+14155550123\",\
                     \"internal_id\":\"+1310555{:04}\",\"text\":\"A text of ordinary length, as people write it to a \
                     dentist: yes, Thursday at four works.\",\"attachments\":[],\"sender\":null,\"reactions\":[],\
                     \"time_sent\":{},\"time_delivered\":{},\"status\":\"delivered\",\"protocol\":\"imessage\",\
                     \"error\":null}}",
                    n % 20,
                    NOW + n as i64,
                    NOW + n as i64 + 1740
                )
            })
            .collect();
        format!("{{\"chat_id\":\"x\",\"messages\":[{}],\"pagination\":{{\"total\":200}}}}", rows.join(","))
            .into_bytes()
    };
    (0..pages).map(page).collect()
}

/// From the bytes of a page to the ledger.
fn take_in(ledger: &mut Ledger, hasher: &IdHasher, body: &[u8]) -> usize {
    let page = api::decode::messages(body).unwrap();
    for row in &page.rows {
        let observation = Observation {
            id: hasher.message(row.direction, &row.id),
            direction: row.direction,
            line: ledger.line(row.line.as_deref()),
            sent_at: row.sent_at,
            delivered_at: row.delivered_at,
            status: row.status,
            protocol: row.protocol,
            reason: row.reason,
        };
        ledger.observe(ChatKey(1), &observation, NOW + HOUR);
    }
    page.rows.len()
}

fn ingest() {
    let pages = message_pages(1000);
    let hasher = IdHasher::new(&[1; 32], "default");
    let mut ledger = Ledger::new(policy(), Restored::default());
    ledger.begin(NOW - 1);
    let began = Instant::now();
    let messages: usize = pages.iter().map(|page| take_in(&mut ledger, &hasher, page)).sum();
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    figure("ingest, page bytes to totals, one core", &format!("{:.0} messages/s", rate), "300,000");

    let folder = tempfile::tempdir().unwrap();
    let file = StateFile::open(&folder.path().join("state.db"), [1; 32]).unwrap();
    let mut state = file.account("default", NOW, None).unwrap();
    let mut ledger = Ledger::new(policy(), state.restored);
    ledger.begin(NOW - 1);
    let began = Instant::now();
    let mut messages = 0;
    for page in &pages {
        messages += take_in(&mut ledger, &hasher, page);
        state.store.commit(&ledger.delta()).unwrap();
    }
    let rate = messages as f64 / began.elapsed().as_secs_f64();
    figure("the same with a durable commit per page of 200", &format!("{:.0} messages/s", rate), "50,000");
}

fn page() {
    let mut ledger = Ledger::new(policy(), Restored::default());
    ledger.begin(NOW - 1);
    for line in 0..64 {
        ledger.line(Some(&format!("+1310555{line:04}")));
    }
    let registry = Registry::default();
    let slot = Slot::default();
    registry.change(|display| display.slots = vec![slot.clone()]);
    let snapshot = ledger.snapshot(NOW);
    let version = AtomicU64::new(0);
    let publish = || {
        let version = version.fetch_add(1, Ordering::Relaxed) + 1;
        let account = String::from("default");
        slot.publish(View { account, version, snapshot: snapshot.clone(), ..View::default() });
    };
    publish();
    let about = About { version: "", revision: "", rustc: "" };
    let page = MetricsPage::new(registry, about);
    // No two scrapes of the same second, in which the page would be the same memory.
    let second = AtomicI64::new(NOW);
    let scrape = || page.encode(Syntax::Text, second.fetch_add(1000, Ordering::Relaxed), None).unwrap();
    let text = scrape();
    let series = String::from_utf8_lossy(&text).lines().filter(|line| !line.starts_with('#')).count();
    let time = |rounds: u32, mut work: Box<dyn FnMut() + '_>| {
        let began = Instant::now();
        (0..rounds).for_each(|_| work());
        began.elapsed() / rounds
    };
    let fresh = time(
        50,
        Box::new(|| {
            publish();
            black_box(scrape());
        }),
    );
    let per_10k = fresh.mul_f64(10_000.0 / series as f64);
    let what = format!("page of {series} series after a change, per 10,000 series");
    figure(&what, &format!("{per_10k:.2?}"), "5 ms");
    let again = time(
        50,
        Box::new(|| {
            black_box(scrape());
        }),
    );
    let copy = time(
        50,
        Box::new(|| {
            black_box(text.to_vec());
        }),
    );
    let ratio = again.as_secs_f64() / fresh.as_secs_f64();
    let what = format!("the same unchanged ({} KiB; a bare copy takes {copy:.0?})", text.len() / 1024);
    figure(&what, &format!("{again:.2?}, {:.0} %", ratio * 100.0), "little more than a copy");
}

fn memory() {
    const MESSAGES: u128 = 1_000_000;
    let mut ledger = Ledger::new(policy(), Restored::default());
    ledger.begin(NOW - 1);
    let line = ledger.line(Some("+13105550101"));
    let before = Usage::now().resident_bytes.unwrap();
    for n in 0..MESSAGES {
        let row = api::decode::one_message(
            br#"{"message_id":"m","direction":"inbound","time_sent":1800000000001,"protocol":"imessage"}"#,
        );
        let row = row.unwrap().rows.remove(0);
        let observation = Observation {
            id: MessageId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
            direction: row.direction,
            line,
            sent_at: NOW + n as i64,
            delivered_at: None,
            status: row.status,
            protocol: row.protocol,
            reason: row.reason,
        };
        // Seen a week later: what the window no longer shows is the usual case.
        ledger.observe(ChatKey(1), &observation, NOW + 160 * HOUR);
        if n % 1000 == 0 {
            ledger.delta();
        }
    }
    ledger.delta();
    let each = (Usage::now().resident_bytes.unwrap() - before) / MESSAGES as f64;
    figure(
        "resident memory per tracked message (1,000,000 of them)",
        &format!("{each:.0} bytes"),
        "150 bytes",
    );
}

/// Start of the program with 100,000 tracked messages, and its memory.
fn start() {
    let folder = tempfile::tempdir().unwrap();
    for tracked in [0u128, 100_000] {
        let path = folder.path().join(format!("{tracked}.db"));
        fill(&path, tracked);
        let (mut took, mut resident) = (Vec::new(), 0.0);
        for _ in 0..5 {
            let began = Instant::now();
            let mut child = Command::new(env!("CARGO_BIN_EXE_blooio-exporter"))
                .args([
                    "--web.listen-address",
                    "127.0.0.1:0",
                    "--blooio.base-url",
                    "http://127.0.0.1:9/v2/api",
                ])
                .arg("--state.path")
                .arg(&path)
                .env("BLOOIO_API_KEY", "bl_live_bench")
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
            let address = lines.find_map(|line| {
                let rest = line.split_once("message=listening address=")?.1;
                Some(rest.split(' ').next()?.to_owned())
            });
            let mut stream = TcpStream::connect(address.unwrap()).unwrap();
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let mut page = String::new();
            stream.read_to_string(&mut page).unwrap();
            took.push(began.elapsed());
            assert!(page.contains(&format!("tracked_messages{{account=\"default\"}} {tracked}\n")));
            std::thread::sleep(Duration::from_millis(500));
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
            resident = rss.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0;
            child.kill().unwrap();
            child.wait().unwrap();
        }
        took.sort();
        let what = format!("start to first answered /metrics, {tracked} tracked messages");
        figure(&what, &format!("{:.0?} (median of 5)", took[2]), "100 ms");
        let promised = if tracked == 0 { "15 MiB" } else { "15 MiB + 150 bytes each" };
        figure("resident memory at idle", &format!("{resident:.1} MiB"), promised);
    }
}

fn fill(path: &std::path::Path, tracked: u128) {
    let file = StateFile::open(path, [1; 32]).unwrap();
    let mut state = file.account("default", NOW, None).unwrap();
    let mut ledger = Ledger::new(policy(), state.restored);
    ledger.begin(NOW - 1);
    let line = ledger.line(Some("+13105550101"));
    let listed = Listing {
        last_at: Some(NOW),
        last_id: None,
        messages: Some(1),
        inbound: Some(1),
        outbound: Some(0),
        times: None,
    };
    ledger.record_listed(ChatKey(1), ChatKind::Phone, listed);
    for n in 0..tracked {
        let id = MessageId(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let observation = Observation {
            id,
            direction: blooio_exporter::domain::Direction::Inbound,
            line,
            sent_at: NOW + n as i64,
            delivered_at: None,
            status: blooio_exporter::domain::Status::None,
            protocol: blooio_exporter::domain::Protocol::Imessage,
            reason: blooio_exporter::domain::Reason::None,
        };
        ledger.observe(ChatKey(1), &observation, NOW + 160 * HOUR);
    }
    state.store.commit(&ledger.delta()).unwrap();
}
