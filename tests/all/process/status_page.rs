//! The status page in a browser: an hour of traffic, once healthy and once with a dead line and another that fails.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use blooio_exporter::simulator::{self, Conversations, Tuning};

use crate::support::{Exporter, Simulated, eventually, get, in_repository, wall_clock};

/// The lines under the names that an operator gives them; the pictures are read by people who know no numbers.
const ALIASES: [&str; 3] = ["sales", "support", "clinic"];

/// Three lines with an hour of traffic behind them; `befall` is called at every minute.
fn an_hour(befall: impl Fn(&Simulated, u32)) -> (Simulated, Exporter) {
    let scenario = simulator::scenario("steady").unwrap();
    let mut setup = scenario.setup.clone();
    // It ends now: a clock that is an hour ahead would be a remark on the page.
    let hour = Duration::from_secs(3_600);
    (setup.seed, setup.start_ms) = (4, wall_clock() - hour.as_millis() as i64);
    (setup.inbound_per_minute, setup.outbound_per_minute) = (0.0, 0.0);
    setup.conversations = vec![Conversations {
        outbound_per_day: 3_600.0,
        inbound_per_day: 2_000.0,
        inbound_new: 0.0,
        ..Conversations::default()
    }];
    (setup.history_messages, setup.knobs.background_ms) = (60, (1, 5));
    (setup.shares.fallback, setup.shares.no_line) = (0.003, 0.0);
    let simulated = Simulated::start_behind(scenario.world_from(setup), hour);
    let mut config = tempfile::NamedTempFile::new().unwrap();
    let names = simulated.world().lines().into_iter().zip(ALIASES);
    let names: String = names.map(|(line, alias)| format!("  \"{line}\": {alias}\n")).collect();
    write!(config, "lines:\n{names}").unwrap();
    let path = config.path().to_str().unwrap();
    let exporter = Exporter::start(&simulated, &["--probe.interval", "500ms", "--config.file", path]);
    for minute in 0..60 {
        befall(&simulated, minute);
        simulated.skip(Duration::from_secs(60));
        let swept = complete_sweeps(&exporter);
        eventually("a sweep of this minute", || (complete_sweeps(&exporter) > swept).then_some(()));
    }
    let swept = complete_sweeps(&exporter);
    eventually("two more sweeps", || (complete_sweeps(&exporter) > swept + 1.0).then_some(()));
    (simulated, exporter)
}

fn complete_sweeps(exporter: &Exporter) -> f64 {
    let sweeps = exporter.page().family("blooio_collection_sweeps_total");
    sweeps.iter().filter(|(labels, _)| labels[1] == "complete").map(|(_, count)| count).sum()
}

/// Opens the page in Chromium: see tests/browser/status.mjs for what it must pass.
fn look(exporter: &Exporter, name: &str) {
    let modules = in_repository("tests/browser/node_modules");
    assert!(modules.exists(), "run `npm ci` in tests/browser first, as ./check does");
    let pictures = in_repository("target/status-page");
    std::fs::create_dir_all(&pictures).unwrap();
    let output = Command::new("node")
        .arg(in_repository("tests/browser/status.mjs"))
        .arg(format!("http://{}/", exporter.address()))
        .args([pictures.to_str().unwrap(), name])
        .output()
        .expect("node is installed, as ./check does");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{name}:\n{said}");
    assert!(output.status.success(), "{name}: {said}");
}

/// The cards of the lines: their text from the name to the end.
fn cards(exporter: &Exporter) -> Vec<String> {
    let html = get(exporter.address(), "/", &[]).body;
    html.split("<article").skip(1).map(|card| card.split("</article>").next().unwrap().to_owned()).collect()
}

/// A card without its drawings.
fn words(card: &str) -> String {
    card.lines().filter(|line| !line.starts_with("<rect")).collect::<Vec<_>>().join("\n")
}

#[test]
fn healthy_lines_look_healthy() {
    let (simulated, exporter) = an_hour(|_, _| {});
    let cards = cards(&exporter);
    assert_eq!(cards.len(), 3);
    for card in &cards {
        assert!(card.contains("class=\"verdict good\""), "{}", words(card));
        assert!(card.contains("nothing stands out"), "{}", words(card));
        let bars = card.matches("<rect class=\"outbound\"").count();
        assert!(bars > 30, "an hour of bars: {bars}");
    }
    let html = get(exporter.address(), "/", &[]).body;
    assert!(html.contains("● collecting</span>"), "nothing is wrong with the account");
    look(&exporter, "healthy");
    let world = simulated.world();
    let lines = world.lines();
    assert!(lines.iter().all(|line| !html.contains(line)), "the page shows the number behind a name");
    for private in world.private_values() {
        // Two digits of a name or so are anywhere by chance.
        if private.len() >= 6 {
            assert!(!html.contains(&private), "the page shows {private}");
        }
    }
}

#[test]
fn a_dead_line_and_a_failing_one_stand_first_and_say_what_is_wrong() {
    let (_simulated, exporter) = an_hour(|simulated, minute| {
        let lines = simulated.world().lines();
        let on = |line: usize, value| Tuning { line: Some(lines[line].clone()), value, ..Tuning::default() };
        match minute {
            35 => simulated.world().switch_on("device-down", on(2, None)).unwrap(),
            40 => simulated.world().switch_on("all-fail", on(1, Some(0.9))).unwrap(),
            _ => {}
        }
    });
    let cards = cards(&exporter);
    let card = |line: &str| {
        cards.iter().position(|card| card.contains(&format!("<h3><bdi>{line}</bdi></h3>"))).unwrap()
    };
    let [well, failing, dead] = ALIASES.map(card);
    assert!(dead < well && failing < well, "what needs a look comes first");
    for (at, expected) in [
        (dead, ["class=\"verdict bad\"", "the device does not answer", "Oldest waiting message"]),
        (failing, ["class=\"verdict bad\"", "messages fail too often: ", "<rect class=\"failed\""]),
        (well, ["class=\"verdict good\"", "nothing stands out", "device answers"]),
    ] {
        for word in expected {
            assert!(cards[at].contains(word), "{word} in {}", words(&cards[at]));
        }
    }
    assert!(!cards[dead].contains("handed over"), "one problem: {}", words(&cards[dead]));
    look(&exporter, "ill");
}
