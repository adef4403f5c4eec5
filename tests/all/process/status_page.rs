//! The status page in a browser: six hours of traffic in virtual time, once healthy and once with a dead line and another
//! that fails.

use std::future::pending;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use blooio_exporter::domain::{Counter, SweepResult};
use blooio_exporter::metrics::Registry;
use blooio_exporter::simulator::{Conversations, Setup, Shares, Tuning, decay};
use blooio_exporter::status::{assess, history::History, render};
use blooio_exporter::web::{
    self, AllowedHosts, Format, PageError, ReloadOutcome, Security, Site, WebOptions,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::support::in_repository;
use crate::support::load::{Live, in_virtual_time, options};

/// The lines under the names that an operator gives them; the pictures are read by people who know no numbers.
const ALIASES: [&str; 3] = ["sales", "support", "clinic"];

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// 2026-11-29T12:00:00Z: the pictures are the same every time.
const START: i64 = 1_795_953_600_000;

/// Three lines that are used a lot.
fn account() -> Setup {
    let line = Conversations {
        outbound_per_day: 2_400.0,
        inbound_per_day: 1_200.0,
        inbound_new: 0.0,
        ..Conversations::default()
    };
    // At this pace even the few contacts that leave iMessage on a healthy line are a warning sign.
    let shares = Shares { fallback: 0.0, long_tail: 0.0, ..decay::well() };
    Setup { seed: 4, start_ms: START, shares, ..decay::setup(vec![line; ALIASES.len()]) }
}

/// The page at the end of six hours; `befall` is called at every minute of its last hour. The world and the host share a
/// clock, and the exporter runs with its defaults: what the page says of the collection is what an operator sees.
fn after_six_hours(befall: impl Fn(&Live, u32)) -> (Live, String) {
    in_virtual_time(async {
        let live = Live::new(account(), options()).named("default");
        let (registry, history) = (Registry::default(), History::default());
        let names = live.world().lines().into_iter().zip(ALIASES.map(str::to_owned)).collect();
        registry.change(|display| {
            display.slots = vec![live.slot()];
            display.aliases.insert("default".to_owned(), names);
            display.window_seconds = HOUR.as_secs_f64();
            display.configured = true;
        });
        let traffic = async {
            sleep(5 * HOUR).await;
            for minute in 0..60 {
                befall(&live, minute);
                sleep(MINUTE).await;
            }
        };
        tokio::select! {
            biased;
            // In one order: where a sample and a sweep meet, chance would decide what the page says.
            () = history.keep(&registry, || live.now()) => unreachable!("samples are taken for ever"),
            () = live.watch(traffic) => {}
        }
        let status = assess::status(env!("CARGO_PKG_VERSION"), &registry, &history, live.now(), &[]);
        let html = render::page(&status, "/metrics");
        (live, html)
    })
}

/// A site that shows one page.
struct Shown(String);

impl Site for Shown {
    fn page(&self, _: Format) -> Result<Bytes, PageError> {
        Ok(Bytes::new())
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn healthy(&self) -> Result<(), String> {
        Ok(())
    }
    fn status(&self) -> String {
        self.0.clone()
    }
    fn reference(&self) -> String {
        String::new()
    }
    fn reload(&self) -> BoxFuture<'_, ReloadOutcome> {
        Box::pin(async { ReloadOutcome::NotApplied })
    }
}

/// Serves a page, with the headers of the exporter, until a command that is given its address ends.
fn served(html: &str, command: impl FnOnce(&str) -> Command + Send + 'static) -> Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let looking = tokio::task::spawn_blocking(move || command(&url).output());
        let security = Arc::new(Security::none(AllowedHosts::default()).unwrap());
        let site = Arc::new(Shown(html.to_owned()));
        tokio::select! {
            ended = web::run(vec![listener], site, WebOptions::default(), security, pending()) => {
                unreachable!("the server ended: {ended:?}")
            }
            output = looking => output.unwrap().expect("node is installed, as ./check does"),
        }
    })
}

/// Opens the page in Chromium: see tests/browser/status.mjs for what it must pass.
fn look(html: &str, name: &str) {
    let modules = in_repository("tests/browser/node_modules");
    assert!(modules.exists(), "run `npm ci` in tests/browser first, as ./check does");
    let pictures = in_repository("target/status-page");
    std::fs::create_dir_all(&pictures).unwrap();
    let named = name.to_owned();
    let output = served(html, move |url| {
        let mut command = Command::new("node");
        command.arg(in_repository("tests/browser/status.mjs")).arg(url).arg(pictures).arg(named);
        command
    });
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{name}:\n{said}");
    assert!(output.status.success(), "{name}: {said}");
}

/// Sweeps that were not complete.
fn broken_sweeps(live: &Live) -> u64 {
    live.count(|counter| {
        matches!(counter, Counter::Sweeps { result: SweepResult::Partial | SweepResult::Failed })
    })
}

/// The cards of the lines: their text from the name to the end.
fn cards(html: &str) -> Vec<String> {
    html.split("<article").skip(1).map(|card| card.split("</article>").next().unwrap().to_owned()).collect()
}

/// The words of a card, without its drawings.
fn words(card: &str) -> String {
    let texts = card.split('<').filter_map(|tag| Some(tag.split_once('>')?.1.trim()));
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" | ")
}

#[test]
fn healthy_lines_look_healthy() {
    let (live, html) = after_six_hours(|_, _| {});
    let cards = cards(&html);
    assert_eq!(cards.len(), 3);
    for card in &cards {
        assert!(card.contains("class=\"verdict good\""), "{}", words(card));
        assert!(card.contains("nothing stands out"), "{}", words(card));
        let bars = card.matches("<rect class=\"outbound\"").count();
        assert!(bars > 30, "an hour of bars: {bars}");
    }
    assert!(html.contains("● collecting</span>"), "nothing is wrong with the account");
    assert_eq!(broken_sweeps(&live), 0);
    look(&html, "healthy");
    let world = live.world();
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
    let (live, html) = after_six_hours(|live, minute| {
        let mut world = live.world();
        let lines = world.lines();
        let on = |line: usize, value| Tuning { line: Some(lines[line].clone()), value, ..Tuning::default() };
        match minute {
            35 => world.switch_on("device-down", on(2, None)).unwrap(),
            40 => world.switch_on("all-fail", on(1, Some(0.9))).unwrap(),
            _ => {}
        }
    });
    let cards = cards(&html);
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
    assert!(html.contains("● collecting</span>"), "the lines fail, and not the collection");
    assert_eq!(broken_sweeps(&live), 0);
    look(&html, "ill");
}
