//! Every scenario of the simulator: traffic, three crashes, quiet, and then the page must say exactly what
//! the simulator's ledger of the truth says.

use std::collections::BTreeMap;
use std::time::Duration;

use blooio_exporter::api::{ChatId, MessageRef};
use blooio_exporter::collect::IdHasher;
use blooio_exporter::domain::Direction;
use blooio_exporter::simulator::{self, Summary};
use blooio_exporter::store::State;
use blooio_exporter::store::sqlite::StateFile;

use crate::process::truth::{differences, expected, shown};
use crate::support::{Exporter, Page, Simulated, eventually, wall_clock};

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const CRASHES: u32 = 3;

/// Runs one scenario with one seed to its quiet end, through crashes.
fn run(name: &str, seed: u64) {
    let scenario = simulator::scenario(name).unwrap();
    let mut setup = scenario.setup.clone();
    (setup.seed, setup.start_ms) = (seed, wall_clock());
    // The same mixture in a shorter time.
    let lines = setup.conversations.len().max(1);
    let per_day =
        setup.conversations.iter().map(|line| line.outbound_per_day + line.inbound_per_day).sum::<f64>();
    let conversing = per_day * setup.lines as f64 / lines as f64 / 1_440.0;
    let busier = 900.0 / (setup.inbound_per_minute + setup.outbound_per_minute + conversing).max(1.0);
    setup.inbound_per_minute *= busier;
    setup.outbound_per_minute *= busier;
    for line in &mut setup.conversations {
        *line = line.faster(busier);
    }
    setup.pace = setup.pace.max(10.0);
    setup.chats = setup.chats.min(200);
    setup.history_messages = setup.history_messages.min(500);
    // What is deleted before anyone reads it is in no page; that has a test of its own.
    setup.upheavals.message_deletes_per_hour = 0.0;
    setup.upheavals.chat_deletes_per_hour = 0.0;
    let simulated = Simulated::start(scenario.world_from(setup));
    // Audits and the full listing within the seconds that a test has.
    let mut exporter = Exporter::start(&simulated, &["--api.timeout", "1s"]);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut newest = Page::default();
    let look = |exporter: &Exporter, newest: &mut Page| {
        let page = exporter.page();
        page.assert_not_behind(newest);
        page.assert_conserved();
        *newest = page;
    };
    for _ in 0..CRASHES {
        for _ in 0..rng.u32(2..8) {
            std::thread::sleep(Duration::from_millis(rng.u64(50..300)));
            look(&exporter, &mut newest);
        }
        exporter.kill();
        exporter.launch();
        look(&exporter, &mut newest);
    }
    std::thread::sleep(Duration::from_secs(1));
    simulated.come_to_rest("default", || {
        look(&exporter, &mut newest);
        Some(newest.clone())
    });
    let baseline = eventually("a first sweep", || {
        look(&exporter, &mut newest);
        let baseline = newest.sum("blooio_collection_baseline_timestamp_seconds");
        (baseline > 0.0).then_some((baseline * 1000.0).round() as i64)
    });
    let truth = simulated.world().truth().summary(baseline);
    let expected = expected(&truth);
    let until = std::time::Instant::now() + crate::support::LONGEST_WAIT;
    loop {
        look(&exporter, &mut newest);
        let differ = differences(&expected, &shown(&newest, "default"));
        if differ.is_empty() {
            break;
        }
        if std::time::Instant::now() > until {
            exporter.kill();
            let unknown = unknown_messages(&simulated, &exporter, baseline);
            panic!("{name}, seed {seed}: page and truth differ:\n{}\n{unknown}", differ.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(100));
        // A re-check of an old message is an hour away by the world's clock.
        simulated.skip(Duration::from_secs(60));
    }
    for (line, (at_least, at_most)) in handed_over(&truth) {
        let sent: f64 = newest
            .family("blooio_outbound_sent_messages_total")
            .iter()
            .filter(|(labels, _)| labels[1] == line)
            .map(|(_, value)| value)
            .sum();
        assert!(at_least <= sent && sent <= at_most, "{name}, seed {seed}: sent on {line}: {sent}");
    }
    assert!(
        newest.sum("blooio_outbound_messages_total") > 0.0 || name == "quiet",
        "{name}: nothing was sent"
    );
    no_private_values(&simulated, &exporter, &newest);
}

/// The messages of the truth that the state of a stopped exporter does not hold, for the reader of a failure.
fn unknown_messages(simulated: &Simulated, exporter: &Exporter, baseline: i64) -> String {
    let file = StateFile::open(&exporter.folder.path().join("state.db"), [0; 32]).unwrap();
    let hasher = IdHasher::new(&file.key(), "default");
    let restored = file.account("default", 0, None).unwrap().restored;
    let held: std::collections::HashSet<_> = restored.messages.iter().map(|(id, _, _)| *id).collect();
    let chats: BTreeMap<_, _> = restored.chats.into_iter().collect();
    let world = simulated.world();
    let mut text = format!("progress {:?}\n", restored.progress);
    for entry in world.truth().entries().filter(|entry| entry.time_sent_ms > baseline && entry.visible) {
        let Some(id) = MessageRef::parse(&entry.id) else { continue };
        let direction = Direction::from_label(&entry.direction).unwrap();
        if !held.contains(&hasher.message(direction, &id)) {
            let chat = ChatId::parse(&entry.chat).and_then(|chat| chats.get(&hasher.chat(&chat)));
            text += &format!(
                "unknown: {} {} sent {} ms after the baseline, visible {} ms later; chat {chat:?}\n",
                entry.direction,
                entry.status,
                entry.time_sent_ms - baseline,
                entry.visible_from_ms - entry.time_sent_ms,
            );
        }
    }
    text
}

/// What failed after it was handed over may or may not have been seen as `sent`.
fn handed_over(truth: &Summary) -> BTreeMap<String, (f64, f64)> {
    let at_most = |line: &String| truth.handed_over.get(line).copied().unwrap_or(0) as f64;
    truth.sent.iter().map(|(line, at_least)| (line.clone(), (*at_least as f64, at_most(line)))).collect()
}

/// Neither page nor log nor state holds a contact, a name, a text, an id or the key.
fn no_private_values(simulated: &Simulated, exporter: &Exporter, page: &Page) {
    let world = simulated.world();
    let mut private = world.private_values();
    private.push(world.setup().key.clone());
    let mut places =
        vec![("page".to_owned(), page.samples.keys().fold(String::new(), |all, s| all + s).into_bytes())];
    for entry in std::fs::read_dir(exporter.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        places.push((path.display().to_string(), std::fs::read(&path).unwrap()));
    }
    let private: std::collections::HashSet<&[u8]> =
        private.iter().map(String::as_bytes).filter(|value| value.len() >= 6).collect();
    let lengths: std::collections::BTreeSet<usize> = private.iter().map(|value| value.len()).collect();
    for (place, bytes) in &places {
        for length in &lengths {
            for window in bytes.windows(*length) {
                assert!(!private.contains(window), "{place} holds {}", String::from_utf8_lossy(window));
            }
        }
    }
}

/// Runs a scenario with every seed, two at a time.
fn run_all(name: &str) {
    let work = std::sync::Mutex::new(SEEDS.to_vec());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = work.lock().unwrap().pop();
                    let Some(seed) = next else { return };
                    run(name, seed);
                }
            });
        }
    });
}

macro_rules! scenarios {
    ($($test:ident $name:literal)+) => {
        $(#[test] fn $test() { run_all($name); })+

        #[test]
        fn no_scenario_is_left_out() {
            let tested = [$($name),+];
            // The first has a test of its own; in the second nothing new happens, it is there to be read as history.
            let others = ["regressions", "month"];
            for scenario in simulator::all() {
                assert!(tested.contains(&scenario.name) || others.contains(&scenario.name), "{}", scenario.name);
            }
        }
    };
}

scenarios! {
    demo "demo"
    steady "steady"
    healthy "healthy"
    decay "decay"
    many_lines "many-lines"
    quiet "quiet"
    year "year"
    busy "busy"
    legacy "legacy"
    late "late"
    bursts "bursts"
    shifting "shifting"
    device_outage "device-outage"
    failures "failures"
    fallback "fallback"
    rate_limited "rate-limited"
    flaky "flaky"
    odd_values "odd-values"
    inclusive "inclusive"
    merges "merges-and-deletes"
}
