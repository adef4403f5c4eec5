//! The live chain: simulator, exporter, Debian's Prometheus and Alertmanager, a webhook. A fault is switched on
//! and its notification arrives; the fault is cleared and the resolution arrives.
//!
//! Every window, waiting time and age of the rules is divided by 60, and so are the exporter's intervals: ten
//! minutes are ten seconds. Faults that disturb each other have a chain of their own; the chains run side by side.

#![allow(clippy::print_stdout, reason = "the figures are what the test is read for")]

mod chain;
pub(crate) mod processes;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blooio_exporter::simulator::{
    self, Campaign, Chats, Conversations, Endpoint, Setup, Shares, Tuning, Upheavals, World,
};

use self::chain::{Chain, Expected};
use crate::support::{eventually, wall_clock};

/// Ten minutes at 1/60.
const TEN_MINUTES: Duration = Duration::from_secs(10);

/// What the rules are generated with, besides the scale: a bucket of the latency that a message of these worlds
/// can be slower than.
const SLOW: &[&str] = &["LATENCY_SECONDS=0.5"];

/// The alerts that came and went.
type Seen = Mutex<BTreeSet<String>>;

/// A world in which nothing goes wrong by itself, and in which a message is delivered within half a second.
fn healthy(outbound_per_minute: f64) -> World {
    let shares = Shares {
        failed: 0.0,
        cancelled: 0.0,
        sms: 0.0,
        rcs: 0.0,
        fallback: 0.0,
        unresolved: 0.0,
        long_tail: 0.0,
        late: 0.0,
        negative_latency: 0.0,
        no_line: 0.0,
        new_chat: 0.0,
        sms_stay_sent: 0.0,
        ..Shares::default()
    };
    World::new(Setup {
        start_ms: wall_clock(),
        chats: 12,
        history_messages: 60,
        email_share: 0.0,
        group_share: 0.0,
        inbound_per_minute: outbound_per_minute / 4.0,
        outbound_per_minute,
        pace: 100.0,
        shares,
        upheavals: Upheavals { outages_per_hour: 0.0, ..Upheavals::default() },
        ..Setup::default()
    })
}

/// Waits for the notification of a fault, clears it, waits for the resolution.
fn fires_and_ends(
    chain: &Chain,
    seen: &Seen,
    since: Instant,
    expected: &Expected<'_>,
    repair: impl FnOnce(),
) {
    let fired = chain.arrival("firing", since, expected);
    let cleared = Instant::now();
    repair();
    let resolved = chain.arrival("resolved", cleared, expected);
    note(seen, expected, (since, fired), (cleared, resolved));
}

fn note(seen: &Seen, expected: &Expected<'_>, fired: (Instant, Instant), ended: (Instant, Instant)) {
    let seconds = |(from, to): (Instant, Instant)| to.duration_since(from).as_secs_f64();
    let (fired, ended) = (seconds(fired), seconds(ended));
    println!(
        "{:<30} fault to notification {fired:5.1} s, clearing to resolution {ended:5.1} s",
        expected.alert
    );
    seen.lock().unwrap().insert(expected.alert.to_owned());
}

/// Without traffic nothing fires; then the sweeps stop, and at last the exporter itself.
fn without_traffic(seen: &Seen) {
    let mut chain = Chain::start(healthy(0.0), SLOW);
    chain.assert_calm(TEN_MINUTES);

    let since = Instant::now();
    chain.fault("http-503", Tuning::endpoint(Endpoint::ListChats));
    let expected = Expected::account("BlooioCollectorStale", "warning");
    fires_and_ends(&chain, seen, since, &expected, || chain.repair("http-503"));

    let since = Instant::now();
    chain.exporter.kill();
    let instance = chain.target.to_string();
    let expected = Expected::of("BlooioExporterDown", "critical", &[("instance", &instance)]);
    let fired = chain.arrival("firing", since, &expected);
    let cleared = Instant::now();
    chain.exporter.launch();
    let resolved = chain.arrival("resolved", cleared, &expected);
    note(seen, &expected, (since, fired), (cleared, resolved));
}

/// The API refuses: first the key, then one request in three.
fn refusals(seen: &Seen) {
    let chain = Chain::start(healthy(60.0), SLOW);

    let since = Instant::now();
    chain.fault("unauthorized", Tuning::default());
    let expected = Expected::account("BlooioApiAuthFailing", "critical");
    fires_and_ends(&chain, seen, since, &expected, || chain.repair("unauthorized"));

    let since = Instant::now();
    chain.fault("rate-limit-seconds", Tuning { share: Some(0.33), ..Tuning::value(1.0) });
    let expected = Expected::account("BlooioRateLimited", "warning");
    fires_and_ends(&chain, seen, since, &expected, || chain.repair("rate-limit-seconds"));
}

/// One chat cannot be read. That is one notification, which names the cause: no complete sweep, no watermark and
/// deferred chats follow from it, and fire nothing.
fn one_broken_chat(seen: &Seen) {
    let chain = Chain::start(healthy(240.0), SLOW);
    let since = Instant::now();
    let broken = Tuning { endpoint: Some(Endpoint::ListMessages), ..Tuning::chats(Chats::Nth(0)) };
    chain.fault("not-found", broken);
    let expected = Expected::account("BlooioChatsUnreadable", "warning");
    let fired = chain.arrival("firing", since, &expected);
    // Longer than BlooioCollectorStale would take: 5 s and 2 s.
    std::thread::sleep(TEN_MINUTES);
    assert_eq!(chain.exporter.page().sum("blooio_up"), 0.0, "no sweep is complete");
    let cleared = Instant::now();
    chain.repair("not-found");
    let resolved = chain.arrival("resolved", cleared, &expected);
    chain.assert_only(&expected);
    println!("BlooioChatsUnreadable is the only notification of one broken chat");
    note(seen, &expected, (since, fired), (cleared, resolved));
}

/// Three failing lines at once: one without its device, one that hands nothing over, one without a number.
/// What the first one's device explains is muted, on that line and no other.
fn devices(seen: &Seen) {
    let chain = Chain::start(healthy(120.0), SLOW);
    let lines = chain.simulated.world().lines();
    let [away, stuck, none] = &lines[..] else { panic!("three lines") };
    // Nothing is sent until the device is known to be away, so that its alert is there before what it mutes.
    chain.fault("silent", Tuning::default());

    let since = Instant::now();
    chain.fault("device-down", Tuning::line(away));
    chain.fault("no-active-device", Tuning::line(none));
    let down = Expected::line("BlooioDeviceDown", "critical", away);
    let no_device = Expected::line("BlooioNoActiveDevice", "critical", none);
    let down_at = chain.arrival("firing", since, &down);
    let no_device_at = chain.arrival("firing", since, &no_device);

    chain.fault("stuck", Tuning::line(stuck));
    let stuck_since = Instant::now();
    chain.repair("silent");
    let muted = Expected::line("BlooioMessagesStuck", "warning", away);
    let heard = Expected::line("BlooioMessagesStuck", "warning", stuck);
    let heard_at = chain.arrival("firing", stuck_since, &heard);
    let source = eventually("Alertmanager mutes what the device explains", || {
        chain.inhibited_by(&muted).filter(|by| !by.is_empty())
    });
    // The line is listed as inactive without its device: of the two, Alertmanager names either.
    let inactive = Expected::line("BlooioLineInactive", "critical", away);
    let explained = [&down, &inactive].map(|alert| chain.fingerprint(alert));
    assert!(source.iter().all(|by| explained.contains(&Some(by.clone()))), "muted by the missing device");
    for muted in [&muted, &inactive] {
        assert!(chain.received("firing", since, muted).is_none(), "a muted alert was notified");
    }
    println!("BlooioDeviceDown mutes BlooioMessagesStuck of its line, and of no other");

    let cleared = Instant::now();
    for fault in ["device-down", "no-active-device", "stuck"] {
        chain.repair(fault);
    }
    for (expected, fired) in
        [(&down, (since, down_at)), (&no_device, (since, no_device_at)), (&heard, (stuck_since, heard_at))]
    {
        let resolved = chain.arrival("resolved", cleared, expected);
        note(seen, expected, fired, (cleared, resolved));
    }
}

/// Healthy traffic fires nothing; then one line fails, one leaves iMessage, one is slow.
fn delivery(seen: &Seen) {
    let chain = Chain::start(healthy(240.0), SLOW);
    chain.assert_calm(TEN_MINUTES);
    let delivered = chain.exporter.page().sum("blooio_outbound_delivered_messages_total");
    assert!(delivered >= 20.0, "the healthy phase had traffic: {delivered}");

    let lines = chain.simulated.world().lines();
    let fast = [("account", "default"), ("window", "1h")];
    let on = |line| [&fast[..], &[("line", line)]].concat();
    let (fails, leaves, slow) = (on(&*lines[0]), &*lines[1], on(&*lines[2]));
    let since = Instant::now();
    chain.fault("all-fail", Tuning::line(&lines[0]));
    chain.fault("all-fallback", Tuning::line(&lines[1]));
    chain.fault("slow", Tuning { value: Some(100.0), ..Tuning::line(&lines[2]) });
    std::thread::scope(|scope| {
        for (expected, fault) in [
            (Expected::of("BlooioDeliveryErrorBudgetBurn", "critical", &fails), "all-fail"),
            (Expected::line("BlooioProtocolFallbackHigh", "warning", leaves), "all-fallback"),
            (Expected::of("BlooioLatencyBudgetBurn", "warning", &slow), "slow"),
        ] {
            let chain = &chain;
            scope.spawn(move || fires_and_ends(chain, seen, since, &expected, || chain.repair(fault)));
        }
    });
}

/// A few messages, all of which fail, and then none: an empty short window is no recovery.
fn low_volume(seen: &Seen) {
    // Nothing is sent before the fault, so that no delivery is in the windows.
    let mut world = healthy(180.0);
    world.switch_on("silent", Tuning::default()).unwrap();
    let chain = Chain::start(world, &[]);
    let line = chain.simulated.world().lines()[0].clone();
    let since = Instant::now();
    chain.fault("all-fail", Tuning::line(&line));
    chain.repair("silent");
    let failed = format!("account_line:blooio_outbound_bad_messages:increase1h{{line=\"{line}\"}}");
    eventually("a few failures", || chain.query(&failed).filter(|failed| *failed >= 6.0));
    chain.fault("silent", Tuning::default());
    let labels = [("account", "default"), ("window", "1h"), ("line", &*line)];
    let expected = Expected::of("BlooioDeliveryErrorBudgetBurn", "critical", &labels);
    fires_and_ends(&chain, seen, since, &expected, || {
        chain.repair("all-fail");
        chain.repair("silent");
    });
}

/// Nothing fails, and three lines decay: no receipts and replies, slow, and away from iMessage. On a fourth, a campaign
/// starts many conversations.
fn signs(seen: &Seen) {
    let line = Conversations {
        started_per_day: 0.0,
        outbound_per_day: 86_400.0,
        inbound_per_day: 3_000.0,
        inbound_new: 0.0,
        reply_ms: 2_000,
        patience: usize::MAX,
        android: 0.0,
        ..Conversations::default()
    };
    let campaign =
        Campaign { first_ms: 30_000, every_ms: 86_400_000, over_ms: 10_000, messages: 30, new: 1.0 };
    let starts = Conversations { campaign: Some(campaign), outbound_per_day: 3_000.0, ..line.clone() };
    let healthy = healthy(0.0);
    let setup = Setup { lines: 4, chats: 40, history_messages: 80, ..healthy.setup().clone() };
    let world = World::new(Setup { conversations: vec![line.clone(), line.clone(), line, starts], ..setup });
    let lines = world.lines();
    let began = Instant::now();
    // The window of what is lost is six hours: six minutes here, which its end would take.
    // Slow is what the latency's own alert still takes for usual: that one would mute BlooioLineSlowed.
    let chain = Chain::start(world, &["SLOWED_SECONDS=0.5", "LOST_WINDOW=\"1h\""]);
    let since = Instant::now();
    chain.fault("shadow-limited", Tuning::line(&lines[0]));
    chain.fault("slow", Tuning { value: Some(100.0), ..Tuning::line(&lines[1]) });
    chain.fault("imessage-share", Tuning { value: Some(0.2), ..Tuning::line(&lines[2]) });
    let on = |line: usize, window| [("account", "default"), ("window", window), ("line", &*lines[line])];
    let (limited, starts) = (on(0, "2h"), on(3, "1h"));
    std::thread::scope(|scope| {
        for (expected, fault, since) in [
            (Expected::of("BlooioReceiptsMissing", "critical", &limited), "shadow-limited", since),
            (Expected::line("BlooioLineSlowed", "warning", &lines[1]), "slow", since),
            (Expected::line("BlooioLostIMessage", "warning", &lines[2]), "imessage-share", since),
            (Expected::of("BlooioNewConversationsHigh", "warning", &starts), "", began),
        ] {
            let chain = &chain;
            scope.spawn(move || {
                fires_and_ends(chain, seen, since, &expected, || {
                    if !fault.is_empty() {
                        chain.repair(fault);
                    }
                });
            });
        }
    });
}

/// Nothing fails, and each of six lines shows one of the signs that compare with what was before: with yesterday and last
/// week, which are backfilled, or with what a contact did since.
fn against_history(seen: &Seen) {
    let idle = Conversations {
        started_per_day: 0.0,
        outbound_per_day: 0.0,
        inbound_per_day: 0.0,
        inbound_new: 0.0,
        answered: 1.0,
        replies: 1.0,
        reply_ms: 1_000,
        reply_spread: 0.3,
        responses: 0.0,
        patience: usize::MAX,
        android: 0.0,
        ..Conversations::default()
    };
    let healthy = healthy(0.0);
    let conversations = vec![
        Conversations { inbound_per_day: 40_000.0, ..idle.clone() },
        Conversations { inbound_per_day: 40_000.0, outbound_per_day: 20_000.0, ..idle.clone() },
        Conversations { outbound_per_day: 200_000.0, ..idle.clone() },
        idle.clone(),
        Conversations { started_per_day: 43_200.0, ..idle.clone() },
        Conversations { outbound_per_day: 86_400.0, ..idle },
    ];
    let setup = Setup { lines: 6, chats: 24, history_messages: 80, ..healthy.setup().clone() };
    let mut world = World::new(Setup { conversations, ..setup });
    let lines = world.lines();
    let [mute, stopped, spike, vanished, unanswered, streaks] = &lines[..] else { panic!("six lines") };
    // From the start: what came before would be in the newest windows.
    for (fault, line) in [("inbound-silent", mute), ("outbound-silent", stopped), ("outbound-silent", spike)]
    {
        world.switch_on(fault, Tuning::line(line)).unwrap();
    }
    for line in [unanswered, streaks] {
        world.switch_on("replies", Tuning { value: Some(0.0), ..Tuning::line(line) }).unwrap();
    }
    let recorded = |name: &str, line: &str, value: u32| {
        format!("{name}{{job=\"blooio\",account=\"default\",line=\"{line}\"}} {value}")
    };
    let history = [
        recorded("account_line:blooio_inbound_messages:increase4h", mute, 40),
        recorded("account_line:blooio_outbound_accepted_messages:increase4h", stopped, 40),
        recorded("account_line:blooio_outbound_accepted_messages:increase1h", spike, 8),
        recorded("blooio_line_active", vanished, 1),
    ];
    // Conversations have ten minutes instead of four hours to be answered, streaks are looked for in an hour instead of a day,
    // and both wait for half an hour instead of one: the chain need not last for longer than the others.
    let thresholds =
        ["REPLIES_DELAY=\"10m\"", "REPLIES_FOR=\"30m\"", "STREAK_WINDOW=\"1h\"", "STREAK_FOR=\"30m\""];
    let began = Instant::now();
    let chain = Chain::with(world, &thresholds, &["--conversation.turn", "1s"], &history);
    let since = Instant::now();
    chain.fault("vanished-line", Tuning::line(vanished));
    std::thread::scope(|scope| {
        for (alert, severity, line, fault, since) in [
            ("BlooioInboundSilent", "warning", mute, "inbound-silent", began),
            ("BlooioLineVanished", "critical", vanished, "vanished-line", since),
        ] {
            let chain = &chain;
            let expected = Expected::line(alert, severity, line);
            scope.spawn(move || fires_and_ends(chain, seen, since, &expected, || chain.repair(fault)));
        }
        scope.spawn(|| {
            // What the second line resumes with is usual; the third one sends far more than it did in any hour.
            let expected = Expected::line("BlooioOutboundStopped", "warning", stopped);
            fires_and_ends(&chain, seen, began, &expected, || chain.repair("outbound-silent"));
            let resumed = Instant::now();
            let expected = Expected::line("BlooioOutboundSpike", "warning", spike);
            fires_and_ends(&chain, seen, resumed, &expected, || {
                chain.fault("outbound-silent", Tuning::line(spike));
            });
        });
        scope.spawn(|| {
            // One fault on two lines: it ends when both have fired.
            let both = [("BlooioRepliesDryUp", unanswered), ("BlooioUnansweredStreaks", streaks)];
            let both = both.map(|(alert, line)| Expected::line(alert, "warning", line));
            let fired = both.each_ref().map(|expected| chain.arrival("firing", began, expected));
            let cleared = Instant::now();
            chain.repair("replies");
            for (expected, fired) in both.iter().zip(fired) {
                let resolved = chain.arrival("resolved", cleared, expected);
                note(seen, expected, (began, fired), (cleared, resolved));
            }
        });
    });
}

/// A receiver that is cut off: messages come, and not one event. What Blooio stops sending again is counted 16 minutes later,
/// which cannot be shortened here: tests of the rule have that.
fn cut_off(seen: &Seen) {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (token, key) = (secret("token", "5b8f0c2a9d7e4416"), secret("secret", simulator::WEBHOOK_SECRET));
    let address = processes::free_address().to_string();
    let chain = Chain::with(
        healthy(60.0),
        SLOW,
        &[
            "--webhook.listen-address",
            &address,
            "--webhook.token-file",
            &token,
            "--webhook.secret-file",
            &key,
        ],
        &[],
    );
    let manner = Arc::new(Mutex::new(simulator::Manner::default()));
    chain.simulated.feed(&format!("http://{address}/webhooks/5b8f0c2a9d7e4416"), &manner);
    // The feed began after the exporter, and may have been missed until then.
    eventually("the feed is heard and calm", || {
        let heard = chain.exporter.page().sum("blooio_webhook_events_total") > 0.0;
        let calm = chain.query("count(ALERTS{alertname=\"BlooioWebhookSilent\"}) or vector(0)") == Some(0.0);
        (heard && calm).then_some(())
    });
    let since = Instant::now();
    manner.lock().unwrap().unreachable = true;
    let expected = Expected::account("BlooioWebhookSilent", "warning");
    fires_and_ends(&chain, seen, since, &expected, || manner.lock().unwrap().unreachable = false);
    chain.assert_only(&expected);
}

#[test]
fn every_fault_notifies_and_every_mending_resolves() {
    let seen = Seen::default();
    std::thread::scope(|scope| {
        for chain in [
            without_traffic,
            refusals,
            one_broken_chat,
            devices,
            delivery,
            low_volume,
            signs,
            against_history,
            cut_off,
        ] {
            let seen = &seen;
            scope.spawn(move || chain(seen));
        }
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 22, "{seen:?}");
}
