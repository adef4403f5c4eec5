//! The real program is killed at random moments, over real sockets and a real disk, and starts again. Nothing
//! that a page showed is ever taken back, and in the end the page says what really happened.
//!
//! `BLOOIO_CRASHES` sets the number of rounds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blooio_exporter::simulator::{
    self, BASE_PATH, Conversations, Knobs, Setup, Shares, Talk, Tuning, Upheavals, World,
};

use crate::support::{LONGEST_WAIT, Page, Process, command};

/// Fast enough that every moment of the program's life comes up within seconds.
const HURRY: &[&str] = &[
    "--collector.interval=150ms",
    "--collector.full-interval=700ms",
    "--collector.audit-interval=2s",
    "--collector.lookback=20s",
    "--collector.retention=20m",
    "--collector.horizon=10m",
    "--conversation.turn=300ms",
    "--probe.interval=0s",
    "--api.budget=100",
    "--api.timeout=2s",
];

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// The same as in [`HURRY`].
const TURN_MS: i64 = 300;

/// A world behind a socket, for as long as the value lives.
pub(crate) struct Served {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) base_url: String,
    _runtime: tokio::runtime::Runtime,
}

pub(crate) fn serve(setup: Setup) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let world = Arc::new(Mutex::new(World::new(Setup { start_ms: now(), ..setup })));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let base_url = format!("http://{}{BASE_PATH}", listener.local_addr().unwrap());
    let served = Arc::clone(&world);
    runtime.spawn(simulator::serve(listener, served, Arc::new(now), std::future::pending()));
    Served { world, base_url, _runtime: runtime }
}

fn lively() -> Setup {
    Setup {
        chats: 30,
        history_messages: 0,
        inbound_per_minute: 800.0,
        outbound_per_minute: 800.0,
        conversations: vec![conversing()],
        pace: 60.0,
        page_cap: 25,
        shares: Shares { long_tail: 0.0, late: 0.1, late_ms: (50, 5_000), failed: 0.1, ..Shares::default() },
        upheavals: Upheavals { bursts_per_hour: 400.0, burst_size: 40, ..Upheavals::default() },
        knobs: Knobs { ordered: true, ..Knobs::default() },
        ..Setup::default()
    }
}

/// Replies within seconds, and on each line one new conversation per second.
fn conversing() -> Conversations {
    Conversations {
        started_per_day: 80_000.0,
        outbound_per_day: 400_000.0,
        inbound_per_day: 300_000.0,
        reply_ms: 2_000,
        patience: 6,
        ..Conversations::default()
    }
}

/// What only ever grows has not become less than it was on any page before. A series at 0 may be gone after a crash.
fn compare(highest: &mut Page, page: &Page) {
    highest.samples.retain(|_, value| *value > 0.0);
    page.assert_not_behind(highest);
    highest.clone_from(page);
}

fn by_labels(page: &Page, family: &str, labels: &[&str]) -> BTreeMap<Vec<String>, u64> {
    let label = |key: &str, name: &str| {
        let from = key.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
        from.split('"').next().unwrap_or_default().to_owned()
    };
    let of_family =
        page.samples.iter().filter(|(key, value)| key.split('{').next() == Some(family) && **value > 0.0);
    of_family
        .map(|(key, value)| (labels.iter().map(|name| label(key, name)).collect(), *value as u64))
        .collect()
}

fn pairs(map: &BTreeMap<(String, String), u64>) -> BTreeMap<Vec<String>, u64> {
    map.iter().map(|((a, b), n)| (vec![a.clone(), b.clone()], *n)).collect()
}

fn singles(map: &BTreeMap<String, u64>) -> BTreeMap<Vec<String>, u64> {
    map.iter().map(|(a, n)| (vec![a.clone()], *n)).collect()
}

/// Every family of conversations is on the page what the answer key says, label by label.
fn compare_talk(page: &Page, talk: &Talk) {
    let of = |family: &str, labels: &[&str]| by_labels(page, family, labels);
    assert_eq!(of("blooio_conversations_started_total", &["line", "by"]), pairs(&talk.started));
    assert_eq!(of("blooio_conversations_answered_total", &["line"]), singles(&talk.answered));
    assert_eq!(
        of("blooio_outbound_unanswered_messages_total", &["line", "position"]),
        pairs(&talk.unanswered_messages)
    );
    assert_eq!(of("blooio_unanswered_chats", &["line", "streak"]), pairs(&talk.unanswered_chats));
    assert_eq!(of("blooio_outbound_lost_imessage_messages_total", &["line"]), singles(&talk.lost_imessage));
    let shown = of("blooio_reply_delay_seconds_bucket", &["line", "le"]);
    let mut buckets = BTreeMap::new();
    for (line, delays) in &talk.reply_delays {
        for bound in ["60.0", "300.0", "900.0", "3600.0", "14400.0", "86400.0", "259200.0", "+Inf"] {
            let most = bound.parse().unwrap_or(f64::INFINITY);
            let count = delays.iter().filter(|delay| **delay <= most).count() as u64;
            buckets.insert(vec![line.clone(), bound.to_owned()], count);
        }
        let seconds: f64 = delays.iter().sum();
        let sum = page.sum_where("blooio_reply_delay_seconds_sum", &[&format!("line=\"{line}\"")]);
        assert!((sum - seconds).abs() < 0.001 * (delays.len() + 1) as f64, "{line}: {sum} and not {seconds}");
    }
    buckets.retain(|_, count| *count > 0);
    assert_eq!(shown, buckets);
    let (started, replies) = (talk.started.len(), talk.reply_delays.values().map(Vec::len).sum::<usize>());
    assert!(started >= 6 && replies > 100 && talk.lost_imessage.len() > 2, "{talk:?}");
    assert_eq!(page.sum("blooio_conversation_unplaced_messages_total"), 0.0);
}

#[test]
fn killed_at_any_moment_it_takes_nothing_back_and_ends_with_the_truth() {
    let rounds = std::env::var("BLOOIO_CRASHES").map_or(150, |rounds| rounds.parse().unwrap());
    let served = serve(lively());
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let start = |_: u32| Process::start(command(&served.base_url, &state, HURRY));
    // What is sent before the first start is history. Nothing is, so that the truth is simple.
    served.world.lock().unwrap().switch_on("silent", Tuning::default()).unwrap();
    let first = start(0);
    first.wait_for("a sweep", |page| page.sum("blooio_up") == 1.0);
    first.kill();
    let begun = now();
    {
        let mut world = served.world.lock().unwrap();
        // What was due while it was silent must not be sent afterwards, dated back to before the truth begins.
        world.step(begun);
        world.switch_off("silent");
    }
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut highest, mut pages) = (Page::default(), 0);
    for round in 0..rounds {
        let exporter = start(round);
        for _ in 0..rng.u8(1..5) {
            compare(&mut highest, &exporter.page());
            pages += 1;
            std::thread::sleep(Duration::from_millis(rng.u64(0..120)));
        }
        exporter.kill();
    }
    served.world.lock().unwrap().quiet();
    let exporter = start(rounds);
    let truth = || {
        let world = served.world.lock().unwrap();
        world.settled().then(|| world.truth().summary(begun))
    };
    exporter.wait_for("every message", |page| {
        truth().is_some_and(|truth| {
            by_labels(page, "blooio_outbound_messages_total", &["line"]).values().sum::<u64>()
                >= truth.outbound.values().sum::<u64>()
                && page.sum("blooio_outbound_open_messages") as u64 <= truth.open.values().sum::<u64>()
                && by_labels(page, "blooio_inbound_messages_total", &["line"]).values().count() > 0
        })
    });
    // Messages take their places when nothing late can come before them any more.
    let talk = served.world.lock().unwrap().truth().talk(begun, TURN_MS);
    let placed = talk.unanswered_messages.values().sum::<u64>() as f64;
    exporter.wait_for("every message in its place", |page| {
        page.sum("blooio_outbound_unanswered_messages_total") >= placed
            && page.sum("blooio_reply_delay_seconds_count")
                >= talk.reply_delays.values().map(Vec::len).sum::<usize>() as f64
    });
    // One more deep read of everything must change nothing.
    let sweeps = |page: &Page| page.sum("blooio_collection_sweeps_total");
    let until = sweeps(&exporter.page()) + 40.0;
    let page = exporter.wait_for("forty more sweeps", |page| sweeps(page) >= until);
    compare(&mut highest, &page);
    let truth = truth().unwrap();
    let failed =
        truth.failed.iter().map(|((a, b, c), n)| (vec![a.clone(), b.clone(), c.clone()], *n)).collect();
    let (of_line, protocol) = (&["line"][..], &["line", "protocol"][..]);
    assert_eq!(by_labels(&page, "blooio_inbound_messages_total", protocol), pairs(&truth.inbound));
    assert_eq!(by_labels(&page, "blooio_outbound_messages_total", of_line), singles(&truth.outbound));
    assert_eq!(
        by_labels(&page, "blooio_outbound_delivered_messages_total", protocol),
        pairs(&truth.delivered)
    );
    assert_eq!(
        by_labels(&page, "blooio_outbound_cancelled_messages_total", of_line),
        singles(&truth.cancelled)
    );
    assert_eq!(
        by_labels(&page, "blooio_outbound_failed_messages_total", &["line", "protocol", "reason"]),
        failed
    );
    compare_talk(&page, &talk);
    let messages: u64 = truth.inbound.values().chain(truth.outbound.values()).sum();
    println!("kills {}, pages {pages}, messages {messages}, lost 0, doubled 0", rounds + 1);
}

/// A state file with something in it, and the highest page that was shown of it.
fn used_state(served: &Served, state: &Path) -> Page {
    let exporter = Process::start(command(&served.base_url, state, HURRY));
    let page = exporter.wait_for("some messages", |page| {
        page.sum("blooio_outbound_messages_total") > 20.0 && page.sum("blooio_up") == 1.0
    });
    exporter.kill();
    page
}

/// Whether it is refused clearly, or goes on from what was there: never a silent reset.
fn is_refused(served: &Served, state: &Path, before: &Page, what: &str) -> bool {
    match Process::try_start(&mut command(&served.base_url, state, HURRY)) {
        Ok(exporter) => {
            compare(&mut before.clone(), &exporter.page());
            false
        }
        Err((code, said)) => {
            assert_eq!(code, Some(1), "{what}: {said}");
            assert!(said.contains("state file"), "{what}: {said}");
            true
        }
    }
}

#[test]
fn a_damaged_state_file_is_refused_or_continued_but_never_reset() {
    let served = serve(lively());
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    let before = used_state(&served, &whole);
    let wal =
        |path: &Path| path.with_file_name(format!("{}-wal", path.file_name().unwrap().to_str().unwrap()));
    // A clean stop brings everything into the one file.
    let exporter = Process::start(command(&served.base_url, &whole, HURRY));
    exporter.stop();
    let (bytes, log) = (fs::read(&whole).unwrap(), fs::read(wal(&whole)).unwrap_or_default());
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut refused, mut cases) = (0, 0);
    let mut damage = |name: &str, bytes: Vec<u8>, log: Vec<u8>, before: &Page| {
        let state = folder.path().join(format!("damaged-{cases}.db"));
        fs::write(&state, bytes).unwrap();
        fs::write(wal(&state), log).unwrap();
        refused += u32::from(is_refused(&served, &state, before, name));
        cases += 1;
    };
    for part in [1, 100, 4_096, bytes.len() / 2, bytes.len() - 4_096, bytes.len() - 1] {
        damage("truncated", bytes[..part.min(bytes.len())].to_vec(), log.clone(), &before);
    }
    // A bit inside of a number cannot be told from another number; that the file was used can.
    let mut used = before.clone();
    used.samples.retain(|series, _| series.starts_with("blooio_collection_sweeps_total"));
    used.samples.values_mut().for_each(|value| *value = value.min(1.0));
    for _ in 0..12 {
        let mut bent = bytes.clone();
        let at = rng.usize(0..bent.len());
        bent[at] ^= 1 << rng.u8(0..8);
        damage("bit-flipped", bent, log.clone(), &used);
    }
    damage("emptied", Vec::new(), Vec::new(), &before);
    damage("foreign", b"not a database, but long enough to look at".to_vec(), Vec::new(), &Page::default());
    damage("whole", bytes.clone(), log.clone(), &before);
    println!("{cases} state files, {refused} refused, the others continued");
    assert!(refused >= 4, "only {refused} of {cases} were refused");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let served = serve(Setup::small(1));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    for state in [file.join("state.db"), Path::new("/proc/state.db").to_owned(), folder.path().to_owned()] {
        assert!(is_refused(&served, &state, &Page::default(), "not writable"), "{}", state.display());
    }
}

#[test]
fn a_full_disk_stops_the_page_and_not_the_program() {
    let served = serve(lively());
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let before = used_state(&served, &state);
    // A limit on the size of files stands in for the full disk: it needs no rights and no mount.
    let inner = command(&served.base_url, &state, HURRY);
    let mut limited = std::process::Command::new("sh");
    limited.arg("-c").arg("trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\"").arg(inner.get_program());
    limited.args(inner.get_args()).env("BLOOIO_API_KEY", "bl_live_SIMULATED");
    limited.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    limited.stderr(std::process::Stdio::piped());
    let mut exporter = Process::start(limited);
    let mut highest = before;
    let deadline = std::time::Instant::now() + LONGEST_WAIT;
    while !exporter.log().contains("state write failed") {
        compare(&mut highest, &exporter.page());
        assert!(std::time::Instant::now() < deadline, "the disk never filled up:\n{}", exporter.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(exporter.is_running());
    let stuck = exporter.wait_for("the problem on the page", |page| page.sum("blooio_up") == 0.0);
    compare(&mut highest, &stuck);
    exporter.kill();
    // With room again it goes on from the last commit.
    let exporter = Process::start(command(&served.base_url, &state, HURRY));
    compare(&mut highest, &exporter.page());
    let until = highest.sum("blooio_outbound_messages_total") + 1.0;
    let page = exporter.wait_for("news", |page| page.sum("blooio_outbound_messages_total") >= until);
    compare(&mut highest, &page);
}
