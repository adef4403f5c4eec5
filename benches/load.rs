//! How the collector shares its budget under load, in virtual time against the simulator, at the default settings.
//!
//! ```text
//! cargo bench --bench load                    # everything, some minutes
//! cargo bench --bench load -- overload silent # what is named
//! BLOOIO_HOURS=72 cargo bench --bench load -- sustained
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark fails by panicking, and says what it found"
)]

use std::time::{Duration, Instant};

use blooio_exporter::collect::Options;
use blooio_exporter::domain::{Counter, Work};
use blooio_exporter::plan;
use blooio_exporter::simulator::{Setup, Shares};
use tokio::time::sleep;

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/all/support/load.rs"]
mod load;

use load::{Live, Measured, in_virtual_time, options};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: i64 = 365 * 24 * 3_600_000;
/// A slot of the budget in so many that is not used: then no class of work waits.
const SPARE: usize = 20;

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let rows: [(&str, fn()); 8] = [
        ("sustained", sustained),
        ("double", double),
        ("overload", overload),
        ("restart", restart),
        ("silent", silent),
        ("idle", idle),
        ("first", first_start),
        ("plan", predictions),
    ];
    for (name, row) in rows {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            let began = Instant::now();
            row();
            println!("{name}: {:.0?}", began.elapsed());
        }
    }
}

fn figure(what: &str, measured: &str, target: &str) {
    println!("{what:<66} {measured:>18}   (target: {target})");
}

fn show(measured: &Measured) {
    for (work, rate) in Work::ALL.iter().zip(measured.rates) {
        println!("    {:<12} {rate:.4} requests/s", work.as_str());
    }
    let total: f64 = measured.rates.iter().sum();
    println!("    {:<12} {total:.4} requests/s", "total");
    println!(
        "    watermark    {:.0} s old on average, {:.0} s at most",
        measured.mean_lag, measured.longest_lag
    );
}

/// The longest time between two probes of a line since `from`.
fn probes(live: &Live, from: i64) -> String {
    format!("{:.0} s between two", live.longest_without_probe(from, live.now()))
}

/// How long it takes until the budget has slots to spare, which is when no class of work waits.
async fn until_nothing_waits(live: &Live, most: Duration) -> Duration {
    let began = live.now();
    let slots = (options().budget * MINUTE.as_secs_f64()) as usize;
    sleep(MINUTE).await;
    while Duration::from_millis((live.now() - began) as u64) < most {
        sleep(MINUTE / 6).await;
        let now = live.now();
        if live.sent_between(now - MINUTE.as_millis() as i64, now) + slots / SPARE < slots {
            // It was so for all of this minute.
            return Duration::from_millis((now - began) as u64).saturating_sub(MINUTE);
        }
    }
    most
}

fn sustained() {
    let hours = std::env::var("BLOOIO_HOURS").ok().and_then(|hours| hours.parse().ok()).unwrap_or(24);
    let live_hours = HOUR * hours;
    in_virtual_time(async {
        let live = Live::new(load::account(2_000, 1.0), options());
        live.watch(async {
            sleep(HOUR).await;
            let from = live.now();
            let measured = live.measure(live_hours.saturating_sub(HOUR)).await;
            println!("1 message/s over 2,000 chats for {hours} h:");
            show(&measured);
            figure("  probes", &probes(&live, from), "300 s");
            let listed = (live.now() - live.view().snapshot.listed_at) / 1_000;
            figure("  age of the newest full listing", &format!("{listed} s"), "at most 1200 s");
            figure("  watermark lag at most", &format!("{:.0} s", measured.longest_lag), "on time");
            let last = live.measure(HOUR).await;
            let total: f64 = last.rates.iter().sum();
            figure("  requests per second in the last hour", &format!("{total:.2} of 2"), "below 2");
        })
        .await;
    });
}

fn double() {
    in_virtual_time(async {
        let live = Live::new(load::account(2_000, 2.0), options());
        live.watch(async {
            sleep(10 * MINUTE).await;
            let from = live.now();
            let measured = live.measure(110 * MINUTE).await;
            println!("2 messages/s over 2,000 chats for 2 h:");
            show(&measured);
            figure("  probes", &probes(&live, from), "300 s");
            figure("  watermark lag at most", &format!("{:.0} s", measured.longest_lag), "600 s");
        })
        .await;
    });
}

fn overload() {
    in_virtual_time(async {
        let live = Live::new(load::account(2_000, 20.0), options());
        live.watch(async {
            sleep(10 * MINUTE).await;
            let from = live.now();
            let measured = live.measure(50 * MINUTE).await;
            println!("20 messages/s over 2,000 chats for 1 h, then silence:");
            show(&measured);
            figure("  probes during the hour", &probes(&live, from), "300 s");
            live.silence();
            let from = live.now();
            let mut counted = Duration::ZERO;
            while live.now() - live.view().snapshot.watermark > 60_000 && counted < 4 * HOUR {
                sleep(MINUTE / 4).await;
                counted = Duration::from_millis((live.now() - from) as u64);
            }
            figure("  silence until every message is counted", &format!("{:.0?}", counted), "30 min");
            let spare = counted + until_nothing_waits(&live, 4 * HOUR).await;
            figure("  silence until nothing waits", &format!("{:.0?}", spare), "30 min");
            figure("  probes during the silence", &probes(&live, from), "300 s");
            let open: u64 = live.view().snapshot.open.values().map(|group| group.count).sum();
            println!("    {open} messages are open");
        })
        .await;
    });
}

fn restart() {
    let open = |live: &Live| live.view().snapshot.open.values().map(|group| group.count).sum::<u64>();
    // Sent over the last day: 0.6 are outbound, of which 0.3 are SMS and 0.27 stay open.
    let setup = Setup { history_messages: 57_000, history_ms: 24 * 3_600_000, ..load::account(2_000, 0.2) };
    in_virtual_time(async {
        let live = Live::new(setup, options());
        live.watch(sleep(2 * HOUR)).await;
        let (before, from) = (open(&live), live.now());
        sleep(2 * MINUTE).await;
        live.watch(async {
            let took = until_nothing_waits(&live, 4 * HOUR).await;
            println!("a restart with {before} open messages:");
            figure("  until nothing waits", &format!("{took:.0?}"), "5 min");
            sleep(HOUR).await;
            figure("  probes", &probes(&live, from), "300 s and the 2 min");
        })
        .await;
    });
}

/// An account on which messages are seldom and all are SMS without a receipt, until every one is given up.
fn silent() {
    let shares =
        Shares { sms: 1.0, sms_stay_sent: 1.0, failed: 0.0, cancelled: 0.0, ..load::account(1, 0.0).shares };
    let base = load::account(2_000, 0.0);
    let setup = Setup { outbound_per_minute: 0.3, shares, ..base };
    in_virtual_time(async {
        let live = Live::new(setup, options());
        live.watch(async {
            sleep(HOUR).await;
            let at = usize::from(Work::Recheck.number());
            let before = live.requests()[at];
            sleep(24 * HOUR).await;
            live.silence();
            sleep(80 * HOUR).await;
            let snapshot = &live.view().snapshot;
            let messages: u64 = snapshot
                .counters
                .iter()
                .filter(|(counter, _)| matches!(counter, Counter::Unconfirmed { .. }))
                .map(|(_, count)| count)
                .sum();
            let each = (live.requests()[at] - before) / messages as f64;
            let what = format!("re-checks per SMS that never ends ({messages} of them)");
            figure(&what, &format!("{each:.2}"), "at most 9");
        })
        .await;
    });
}

fn idle() {
    in_virtual_time(async {
        let live = Live::new(load::account(100_000, 0.0), options());
        live.watch(async {
            sleep(2 * HOUR).await;
            let measured = live.measure(3 * HOUR).await;
            println!("100,000 idle chats:");
            show(&measured);
            let share = measured.rates[usize::from(Work::Listing.number())] / options().budget * 100.0;
            figure("  full listings, share of the budget", &format!("{share:.1} %"), "10 %");
        })
        .await;
    });
}

fn first_start() {
    let chats = 100_000;
    let setup = Setup { history_ms: 71 * 3_600_000, ..load::account(chats, 0.0) };
    in_virtual_time(async {
        let live = Live::new(setup, options());
        live.watch(async {
            let from = live.now();
            let bound = chats as f64 * (1.0 + 1.0 / 190.0) / options().budget / 3_600.0;
            sleep(10 * MINUTE).await;
            while live.view().health.deferred > 0 && live.now() - from < YEAR / 100 {
                sleep(MINUTE).await;
            }
            let took = (live.now() - from) as f64 / 3_600_000.0;
            println!("a first start with {chats} chats that all had a message in the last 72 h:");
            let target = format!("1.2 x {bound:.1} h");
            figure("  until every chat is read", &format!("{took:.1} h, {:.2} x", took / bound), &target);
            figure("  probes", &probes(&live, from + 600_000), "300 s");
        })
        .await;
    });
}

/// Predictions at the default settings, after the time they are made for.
fn predictions() {
    for (chats, rate, hours) in [(2_000, 0.0, 4), (2_000, 0.2, 96), (2_000, 0.5, 96), (500, 0.5, 96)] {
        let planned = plan::Account { chats, messages_per_second: rate, lines: 3, sms_share: 0.3 };
        let predicted = plan::predict(&planned, &options());
        in_virtual_time(async {
            let live = Live::new(load::account(chats as usize, rate), Options { ..options() });
            live.watch(async {
                sleep(HOUR * hours / 4 * 3).await;
                let measured = live.measure(HOUR * hours / 4).await;
                println!("{rate} messages/s over {chats} chats, after {hours} h (predicted, measured):");
                for (at, work) in Work::ALL.iter().enumerate() {
                    println!(
                        "    {:<12} {:.4} {:.4}",
                        work.as_str(),
                        predicted.granted[at],
                        measured.rates[at]
                    );
                }
                let lag = predicted.freshness.watermark_lag_seconds;
                println!("    lag          {lag:.1} {:.1} s", measured.mean_lag);
                let open: u64 = live.view().snapshot.open.values().map(|group| group.count).sum();
                println!("    open         {:.0} {open}", predicted.open_messages);
            })
            .await;
        });
    }
}
