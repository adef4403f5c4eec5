//! The webhook receiver of the real program: what arrives, what is rejected, rotation of secrets, and an attack.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blooio_exporter::simulator;
use ring::hmac;

use crate::support::{Exporter, Simulated, eventually, get, wall_clock};

const TOKEN: &str = "5b8f0c2a9d7e4416";
const EVENT: &str =
    r#"{"event":"message.received","message_id":"msg_canary","external_id":"+15550001111","text":"canary"}"#;

/// The program with a receiver, and where that listens.
struct Receiver {
    simulated: Simulated,
    exporter: Exporter,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Receiver {
    fn start(secrets: &[&str]) -> Receiver {
        Receiver::with(secrets, &[])
    }

    fn with(secrets: &[&str], more: &[&str]) -> Receiver {
        let folder = tempfile::tempdir().unwrap();
        let simulated = Simulated::start(simulator::scenario("steady").unwrap().world(7, wall_clock()));
        write(folder.path().join("webhook.token"), TOKEN);
        let mut arguments = vec!["--webhook.listen-address".to_owned(), "127.0.0.1:0".to_owned()];
        let path = |name: &str| folder.path().join(name).display().to_string();
        arguments.extend(["--webhook.token-file".to_owned(), path("webhook.token")]);
        for (n, secret) in secrets.iter().enumerate() {
            let name = format!("{n}.key");
            write(folder.path().join(&name), secret);
            arguments.extend(["--webhook.secret-file".to_owned(), path(&name)]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let exporter = Exporter::start(&simulated, &arguments);
        let address = eventually("the receiver listens", || {
            let log = exporter.log();
            let (_, rest) = log.split_once("message=\"receiving webhooks\" address=")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        Receiver { simulated, exporter, folder, address }
    }

    fn secret(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("{n}.key"))
    }

    fn deliver(&self, secret: &str, body: &str) -> u16 {
        let header = signature(secret, wall_clock() / 1000, body);
        send(self.address, "POST", &format!("/webhooks/{TOKEN}"), &[&header], body.as_bytes())
    }

    fn rejected(&self, account: &str, reason: &str) -> f64 {
        let page = self.exporter.page();
        page.family("blooio_webhook_rejected_total")[&vec![account.to_owned(), reason.to_owned()]]
    }
}

fn write(path: PathBuf, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// The header as Blooio signs.
fn signature(secret: &str, at: i64, body: &str) -> String {
    let tag =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), format!("{at}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X-Blooio-Signature: t={at},v1={hex}")
}

/// The status of the answer; 0 when there was none.
fn send(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> u16 {
    let Ok(mut stream) = TcpStream::connect(address) else { return 0 };
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: hooks.example.com\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    // A rejected body may not be taken to its end.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    status(&mut stream)
}

fn status(stream: &mut TcpStream) -> u16 {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[test]
fn a_signed_delivery_is_taken_and_shown_and_nothing_private_is_logged() {
    let receiver = Receiver::start(&["whsec_canary"]);
    let before = wall_clock() as f64 / 1000.0;
    assert_eq!(receiver.exporter.page().sum("blooio_webhook_events_total"), 0.0);
    assert!(receiver.exporter.page().family("blooio_webhook_last_event_timestamp_seconds").is_empty());
    assert_eq!(receiver.deliver("whsec_canary", EVENT), 200);
    assert_eq!(receiver.deliver("whsec_canary", r#"{"event":"pigeon.released"}"#), 200);
    let page = eventually("the events are shown", || {
        let page = receiver.exporter.page();
        (page.sum("blooio_webhook_events_total") == 2.0).then_some(page)
    });
    let event =
        |name: &str| page.family("blooio_webhook_events_total")[&vec!["default".to_owned(), name.to_owned()]];
    assert_eq!((event("message.received"), event("other")), (1.0, 1.0));
    let last = page.family("blooio_webhook_last_event_timestamp_seconds")[&vec!["default".to_owned()]];
    assert!((before..=wall_clock() as f64 / 1000.0).contains(&last), "{last}");
    // The metrics page is not served there, nor webhooks here.
    assert_eq!(send(receiver.address, "GET", "/metrics", &[], b""), 405);
    let header = signature("whsec_canary", wall_clock() / 1000, EVENT);
    let path = format!("/webhooks/{TOKEN}");
    assert_eq!(
        send(receiver.exporter.address(), "POST", &path, &[&header, "Host: localhost"], EVENT.as_bytes()),
        421
    );
    let log = receiver.exporter.log();
    for private in ["canary", TOKEN, "+15550001111"] {
        assert!(!log.contains(private), "{private}");
        assert!(!get(receiver.exporter.address(), "/", &[]).body.contains(private), "{private}");
    }
}

#[test]
fn what_is_rejected_is_counted_by_its_reason_and_learns_nothing() {
    let receiver = Receiver::start(&["whsec_one"]);
    let (address, path) = (receiver.address, format!("/webhooks/{TOKEN}"));
    let now = wall_clock() / 1000;
    let good = signature("whsec_one", now, EVENT);
    let wrong = signature("whsec_two", now, EVENT);
    let (old, ahead) = (signature("whsec_one", now - 400, EVENT), signature("whsec_one", now + 400, EVENT));
    let large = vec![b' '; 5 << 20];
    let not_json = signature("whsec_one", now, "event=1");
    /// Method, path, headers and body; the status, and the account and reason that are counted.
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [u8], u16, &'a str, &'a str);
    let cases: [Case<'_>; 10] = [
        ("GET", &path, &[&good], b"", 405, "default", "method"),
        ("POST", &path, &[&wrong], EVENT.as_bytes(), 401, "default", "signature"),
        ("POST", &path, &[], EVENT.as_bytes(), 401, "default", "signature"),
        ("POST", &path, &[&good, &good], EVENT.as_bytes(), 401, "default", "signature"),
        ("POST", &path, &[&old], EVENT.as_bytes(), 401, "default", "timestamp"),
        ("POST", &path, &[&ahead], EVENT.as_bytes(), 401, "default", "timestamp"),
        ("POST", &path, &[&good], &large, 413, "default", "size"),
        ("POST", &path, &[&good, "Content-Encoding: gzip"], EVENT.as_bytes(), 415, "default", "syntax"),
        ("POST", &path, &[&not_json], b"event=1", 400, "default", "syntax"),
        ("POST", "/webhooks/guess", &[&good], EVENT.as_bytes(), 401, "none", "signature"),
    ];
    for (n, (method, path, headers, body, expected, account, reason)) in cases.into_iter().enumerate() {
        let before = receiver.rejected(account, reason);
        let status = send(address, method, path, headers, body);
        // A client that is still sending 5 MiB may be reset before it reads the answer.
        assert!(status == expected || status == 0 && expected == 413, "case {n}: {status}, not {expected}");
        eventually("the rejection is shown", || {
            (receiver.rejected(account, reason) == before + 1.0).then_some(())
        });
    }
    // A body that does not end.
    let mut slow = TcpStream::connect(address).unwrap();
    write!(slow, "POST {path} HTTP/1.1\r\nHost: x\r\n{good}\r\nContent-Length: 10\r\n\r\n{{").unwrap();
    assert_eq!(status(&mut slow), 408);
    eventually("it is shown", || (receiver.rejected("default", "timeout") == 1.0).then_some(()));
    // Two requests, one behind the other: each is judged by itself.
    let mut both = TcpStream::connect(address).unwrap();
    let length = EVENT.len();
    let one = |header: &str, more: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: {length}\r\n{more}\r\n{EVENT}"
        )
    };
    write!(both, "{}{}", one(&good, ""), one(&signature("whsec_one", now, EVENT), "Connection: close\r\n"))
        .unwrap();
    let mut answers = String::new();
    both.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    assert_eq!(receiver.exporter.page().sum("blooio_webhook_events_total"), 2.0);
    let log = receiver.exporter.log();
    let told = log.matches("webhook delivery rejected").count();
    assert_eq!(told, 6, "once for each reason of an account: {log}");
}

#[test]
fn a_secret_is_rotated_without_a_rejected_delivery() {
    let mut receiver = Receiver::start(&["whsec_old", "whsec_old"]);
    assert_eq!(receiver.deliver("whsec_old", EVENT), 200);
    // The new secret beside the old one: both are taken from then on.
    write(receiver.secret(1), "whsec_new");
    eventually("the new secret is taken", || (receiver.deliver("whsec_new", EVENT) == 200).then_some(()));
    assert_eq!(receiver.deliver("whsec_old", EVENT), 200, "the old one still is");
    // The old one goes. What cannot be used changes nothing.
    write(receiver.secret(0), "");
    eventually("a file that cannot be used is reported", || {
        receiver.exporter.log().contains("webhook secrets cannot be read").then_some(())
    });
    assert_eq!((receiver.deliver("whsec_new", EVENT), receiver.deliver("whsec_old", EVENT)), (200, 200));
    write(receiver.secret(0), "whsec_new");
    eventually("the old secret is dropped", || (receiver.deliver("whsec_old", EVENT) == 401).then_some(()));
    assert_eq!(receiver.deliver("whsec_new", EVENT), 200);
    assert_eq!(receiver.exporter.terminate().0, Some(0));
}

/// 64 clients that send a body byte by byte, and as many as one machine makes that sign wrongly.
#[test]
fn an_attack_on_the_receiver_stops_neither_scrapes_nor_sweeps_nor_deliveries() {
    let receiver = Receiver::start(&["whsec_one"]);
    eventually("readiness", || {
        (get(receiver.exporter.address(), "/-/ready", &[]).status == 200).then_some(())
    });
    let sweeps = || receiver.exporter.page().sum("blooio_collection_sweeps_total");
    let round = |what: &str| {
        let (before, began) = (sweeps(), Instant::now());
        let mut scrapes = Vec::new();
        while scrapes.len() < 100 || began.elapsed() < Duration::from_secs(5) {
            let asked = Instant::now();
            assert_eq!(get(receiver.exporter.address(), "/metrics", &[]).status, 200);
            scrapes.push(asked.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
        scrapes.sort();
        let p99 = scrapes[scrapes.len() * 99 / 100];
        let per_second = (sweeps() - before) / began.elapsed().as_secs_f64();
        println!("{what}: {} scrapes, p99 {p99:?}, {per_second:.2} sweeps/s", scrapes.len());
        assert!(per_second > 0.0, "{what}: no sweep ended");
    };
    round("calm");
    // Of strangers, and of somebody who knows the account's path and so can use up its rate.
    for path in ["/webhooks/guess", &format!("/webhooks/{TOKEN}")] {
        let (stop, flooded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let address = receiver.address;
        let attackers: Vec<_> = (0..66)
        .map(|n| {
            let (stop, flooded, path) = (Arc::clone(&stop), Arc::clone(&flooded), path.to_owned());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                    if n < 64 {
                        // A slow sender must know a path: another one is answered at once.
                        let head = format!("POST /webhooks/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n");
                        let mut sent = stream.write_all(head.as_bytes());
                        while sent.is_ok() && !stop.load(Ordering::Relaxed) {
                            std::thread::sleep(Duration::from_millis(200));
                            sent = stream.write_all(b" ");
                        }
                    } else {
                        let wrong = signature("whsec_guess", wall_clock() / 1000, EVENT);
                        let request = format!(
                            "POST {path} HTTP/1.1\r\nHost: x\r\n{wrong}\r\nContent-Length: {}\r\n\r\n{EVENT}",
                            EVENT.len()
                        );
                        let mut answer = [0; 1024];
                        while !stop.load(Ordering::Relaxed) && stream.write_all(request.as_bytes()).is_ok() {
                            match stream.read(&mut answer) {
                                Ok(1..) => flooded.fetch_add(1, Ordering::Relaxed),
                                _ => break,
                            };
                        }
                    }
                }
            })
        })
        .collect();
        round(if path == "/webhooks/guess" { "attacked by strangers" } else { "attacked on its path" });
        let taken = (0..50).filter(|_| receiver.deliver("whsec_one", EVENT) == 200).count();
        stop.store(true, Ordering::Relaxed);
        attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
        println!(
            "{} deliveries with bad signatures; {taken} of 50 good ones were taken",
            flooded.load(Ordering::Relaxed)
        );
        assert!(flooded.load(Ordering::Relaxed) > 0);
        assert!(taken > 0 || path != "/webhooks/guess", "strangers keep every delivery out");
    }
    eventually("a good delivery is taken after the attack", || {
        (receiver.deliver("whsec_one", EVENT) == 200).then_some(())
    });
    assert!(receiver.simulated.world().request_totals().values().sum::<u64>() > 0);
}

#[test]
fn your_own_receivers_are_shown_and_a_key_that_may_not_list_them_is_told_once() {
    let start = |fault: Option<&str>| {
        let simulated = Simulated::start(simulator::scenario("steady").unwrap().world(7, wall_clock()));
        let tuning = simulator::Tuning::parse(fault.unwrap_or_default()).unwrap();
        simulated
            .world()
            .switch_on(if fault.is_some() { "forbidden" } else { "webhook-fails" }, tuning)
            .unwrap();
        let exporter = Exporter::start(&simulated, &[]);
        (simulated, exporter)
    };
    let (allowed, forbidden) = (start(None), start(Some("endpoint=list_webhooks")));
    let page = eventually("webhooks are listed", || {
        let page = allowed.1.page();
        (!page.family("blooio_webhook_failures").is_empty()).then_some(page)
    });
    let series = vec!["default".to_owned(), "wh_31b".to_owned()];
    assert!(page.family("blooio_webhook_failures")[&series] >= 1.0);
    assert_eq!(page.family("blooio_webhook_active")[&series], 1.0);
    assert!(page.family("blooio_webhook_last_triggered_timestamp_seconds")[&series] > 1.6e9);
    // A URL, which may hold a secret, is nowhere.
    let status = get(allowed.1.address(), "/", &[]).body;
    assert!(status.contains("Your webhooks") && !status.contains("hooks.example"));
    assert!(!page.samples.keys().any(|series| series.contains("hooks.example")));
    assert!(!allowed.1.log().contains("hooks.example"));
    eventually("the missing permission is told", || {
        forbidden.1.log().contains("the key may not list webhooks").then_some(())
    });
    let page = forbidden.1.page();
    assert!(page.family("blooio_webhook_failures").is_empty(), "what is not known is absent");
    assert_eq!(forbidden.1.log().matches("the key may not list webhooks").count(), 1);
    assert!(!forbidden.1.log().contains("API requests failing"), "nothing else is affected");
    let up = page.family("blooio_up");
    assert!(up.values().all(|up| *up == 1.0), "{up:?}");
}

#[test]
fn a_simulated_feed_arrives_and_its_faults_are_rejected_by_their_reason() {
    let receiver = Receiver::start(&[simulator::WEBHOOK_SECRET, simulator::WEBHOOK_SECRET]);
    let manner = Arc::new(Mutex::new(simulator::Manner::default()));
    let answers = receiver.simulated.feed(&format!("http://{}/webhooks/{TOKEN}", receiver.address), &manner);
    let taken = || receiver.exporter.page().sum("blooio_webhook_events_total");
    let more = |what: &str, count: &dyn Fn() -> f64| {
        let before = count();
        eventually(what, || (count() > before).then_some(()));
    };
    more("events arrive", &taken);
    for (change, reason) in [
        ((|manner| manner.wrong_secret = 1.0) as fn(&mut simulator::Manner), "signature"),
        (|manner| (manner.wrong_secret, manner.clock_ahead) = (0.0, 600), "timestamp"),
        (|manner| (manner.clock_ahead, manner.slow) = (0, 1.0), "timeout"),
    ] {
        change(&mut manner.lock().unwrap());
        more(reason, &|| receiver.rejected("default", reason));
    }
    // Rotated: the new secret signs from now on, and its file follows. What was rejected meanwhile is sent again.
    *manner.lock().unwrap() = simulator::Manner { secret: "whsec_rotated".to_owned(), ..Default::default() };
    more("deliveries with the new secret are rejected", &|| receiver.rejected("default", "signature"));
    write(receiver.secret(1), "whsec_rotated");
    more("and taken once the file holds it", &taken);
    let answers = answers.lock().unwrap().clone();
    println!("answers to simulated deliveries, by status: {answers:?}");
    assert!(answers.get(&200).is_some_and(|taken| *taken > 0) && answers.contains_key(&401), "{answers:?}");
}

#[test]
fn an_event_puts_its_message_on_the_page_long_before_the_next_sweep() {
    let secrets = [simulator::WEBHOOK_SECRET];
    let receiver =
        Receiver::with(&secrets, &["--collector.interval", "10m", "--collector.full-interval", "30m"]);
    eventually("the first sweep is complete", || {
        (receiver.exporter.page().sum("blooio_up") == 1.0).then_some(())
    });
    let counted = || {
        let page = receiver.exporter.page();
        page.sum("blooio_inbound_messages_total") + page.sum("blooio_outbound_messages_total")
    };
    let before = counted();
    let manner = Arc::new(Mutex::new(simulator::Manner::default()));
    receiver.simulated.feed(&format!("http://{}/webhooks/{TOKEN}", receiver.address), &manner);
    eventually("messages are counted without a sweep", || (counted() >= before + 10.0).then_some(()));
    let page = receiver.exporter.page();
    assert!(page.sum("blooio_webhook_lag_seconds_count") >= 1.0);
    assert_eq!(page.sum("blooio_webhook_feed_trusted"), 0.0, "trust takes an hour");
    assert_eq!(page.sum("blooio_webhook_missed_messages_total"), 0.0);
}
