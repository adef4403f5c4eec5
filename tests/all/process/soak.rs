//! Seven days and a million messages in minutes: what the program holds does not grow with what it has seen.
//!
//! ```text
//! BLOOIO_SOAK=1 cargo test --test all soak -- --nocapture
//! ```
//!
//! The API of this test is a function of time and holds nothing, so that what the process holds is the
//! collector's. The retention is half a day and the audits come every two hours, so that the state has its
//! final size before the first tenth is over; with the default of seven days it would grow for seven days.

use std::fs;
use std::time::Duration;

use blooio_exporter::api::{Fault, Reply, Transport};
use blooio_exporter::clock::Clock;
use blooio_exporter::collect::{Collector, IdHasher, Options, Watch};
use blooio_exporter::domain::{Counter, Ledger};
use blooio_exporter::metrics::Slot;
use blooio_exporter::store::State;
use blooio_exporter::store::sqlite::StateFile;
use tokio::time::{Instant, sleep};

const START: i64 = 1_791_208_800_000;
const DAY: i64 = 24 * 3_600_000;
const CHATS: i64 = 200;
/// Messages that a chat gets at a time, a second apart.
const BATCH: i64 = 10;
/// Between two batches of one chat.
const PERIOD: i64 = 7 * DAY / 500;

/// A million messages that nobody stores.
struct Formula {
    clock: Clock,
}

impl Formula {
    /// How many messages of a chat were sent by `now`, and the time of each.
    fn count(chat: i64, now: i64) -> i64 {
        let since = now - START - Self::offset(chat);
        if since < 0 { 1 } else { 1 + since / PERIOD * BATCH + (since % PERIOD / 1_000 + 1).min(BATCH) }
    }

    fn offset(chat: i64) -> i64 {
        60_000 + chat * PERIOD / CHATS
    }

    fn sent_at(chat: i64, n: i64) -> i64 {
        match n {
            0 => START - 3_600_000 - chat,
            n => START + Self::offset(chat) + (n - 1) / BATCH * PERIOD + (n - 1) % BATCH * 1_000,
        }
    }

    fn chats(offset: i64, now: i64) -> String {
        let mut rows: Vec<(i64, i64)> = (0..CHATS).map(|chat| (Self::count(chat, now), chat)).collect();
        rows.sort_by_key(|(count, chat)| (-Self::sent_at(*chat, count - 1), *chat));
        let rows = rows.iter().skip(offset as usize).take(200);
        let rows: Vec<String> = rows
            .map(|(count, chat)| {
                let (last, at) = (count - 1, Self::sent_at(*chat, count - 1));
                format!(
                    r#"{{"id":"+1415555{chat:04}","type":"phone","message_count":{count},"last_message_time":{at},"last_message":{{"message_id":"msg_{chat}_{last}"}}}}"#
                )
            })
            .collect();
        format!(r#"{{"chats":[{}],"pagination":{{"total":{CHATS}}}}}"#, rows.join(","))
    }

    fn row(chat: i64, n: i64, now: i64) -> String {
        let at = Self::sent_at(chat, n);
        let status = match now - at {
            ..2_000 => "queued",
            2_000..5_000 => "sent",
            _ if n % 50 == 7 => "failed",
            _ => "delivered",
        };
        let direction = if n % 2 == 0 { "outbound" } else { "inbound" };
        let line = chat % 4;
        format!(
            r#"{{"message_id":"msg_{chat}_{n}","direction":"{direction}","internal_id":"+1310555010{line}","time_sent":{at},"time_delivered":{},"status":"{status}","protocol":"imessage","text":"hello"}}"#,
            at + 5_000
        )
    }

    fn messages(chat: i64, since: i64, until: i64, now: i64) -> String {
        let count = Self::count(chat, now);
        // The first message, by number, that was sent after `time`.
        let first_after = |time: i64| {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = (low + high) / 2;
                if Self::sent_at(chat, middle) <= time { low = middle + 1 } else { high = middle }
            }
            low
        };
        let (from, to) = (first_after(since), first_after(until - 1));
        let rows: Vec<String> = (from..to).take(200).map(|n| Self::row(chat, n, now)).collect();
        format!(r#"{{"messages":[{}],"pagination":{{"total":{}}}}}"#, rows.join(","), (to - from).max(0))
    }
}

impl Transport for Formula {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        sleep(Duration::from_millis(20)).await;
        let now = self.clock.now();
        let value = |name: &str, otherwise: i64| {
            let value = target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name));
            value.and_then(|value| value.parse().ok()).unwrap_or(otherwise)
        };
        let chat = || target.get(17..21).and_then(|chat| chat.parse().ok()).unwrap_or(0);
        let body = if target.starts_with("/chats?") {
            Self::chats(value("offset=", 0), now)
        } else if let Some((_, n)) = target.rsplit_once("/msg_") {
            let n = n.rsplit_once('_').and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
            Self::row(chat(), n, now)
        } else if target.contains("/messages?") {
            Self::messages(chat(), value("since=", 0), value("until=", i64::MAX), now)
        } else {
            return Ok(Reply { status: 404, ..Reply::default() });
        };
        Ok(Reply { status: 200, body: body.into_bytes(), ..Reply::default() })
    }
}

fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn a_week_and_a_million_messages_leave_no_more_behind_than_a_day() {
    if std::env::var_os("BLOOIO_SOAK").is_none() {
        println!("not run: it takes minutes; set BLOOIO_SOAK=1");
        return;
    }
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let options = Options {
        interval: Duration::from_secs(30),
        full_interval: Duration::from_secs(600),
        window: hours(1),
        lookback: Duration::from_secs(600),
        retention: hours(12),
        audit_interval: hours(2),
        horizon: hours(6),
        conversation_turn: Duration::from_secs(60),
        probe_interval: Duration::ZERO,
        probe_chats: Vec::new(),
        budget: 5.0,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let clock = Clock::Simulated { start: START, origin: Instant::now() };
        let file = StateFile::open(&path, [7; 32]).unwrap();
        let account = file.account("soak", clock.now(), None).unwrap();
        let slot = Slot::default();
        let ledger = Ledger::new(options.policy(), account.restored);
        let hasher = IdHasher::new(&file.key(), "soak");
        let watch = Watch { account: "soak", clock, slot: slot.clone(), hasher, options };
        let mut collector = Collector::new(watch, Formula { clock }, ledger, account.store);
        let mut figures = Vec::new();
        let watch = async {
            for tenth in 1..=10 {
                sleep(Duration::from_millis(7 * DAY as u64 / 10)).await;
                let view = slot.view();
                let counted: u64 = view
                    .snapshot
                    .counters
                    .iter()
                    .filter(|(counter, _)| matches!(counter, Counter::Inbound { .. } | Counter::Outbound { .. }))
                    .map(|(_, value)| value)
                    .sum();
                let (memory, bytes, held) = (resident(), view.health.state_bytes, view.snapshot.tracked);
                println!(
                    "day {:.1}: {counted} messages, {memory:.1} MB of memory, state {:.1} MB, {held} ids held",
                    tenth as f64 * 0.7,
                    bytes as f64 / 1e6
                );
                figures.push((counted, memory, bytes, held));
            }
            // What is under way comes to its end.
            sleep(Duration::from_secs(120)).await;
        };
        tokio::select! {
            () = watch => {}
            _ = collector.run(std::future::pending()) => unreachable!("a collector runs until it is dropped"),
        }
        let (first, last) = (figures[0], figures[9]);
        let sent: i64 = (0..CHATS).map(|chat| Formula::count(chat, START + 7 * DAY) - 1).sum();
        assert!(sent >= 999_000 && last.0 as i64 >= sent - 100, "{} of {sent} counted", last.0);
        assert!(last.1 <= first.1 + 5.0, "memory grew from {:.1} to {:.1} MB", first.1, last.1);
        assert!(last.2 <= first.2 * 3 / 2, "the state grew from {} to {} bytes", first.2, last.2);
    });
}
