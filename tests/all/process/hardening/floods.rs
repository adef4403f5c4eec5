//! Crowds: passwords, reloads, and the time that a wrong password takes.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::simulated;
use crate::support::{Exporter, Simulated, post};

fn with_passwords(cost: u32, users: &[&str]) -> (Simulated, Exporter, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    let hash = bcrypt::hash("right", cost).unwrap();
    let users: String = users.iter().map(|user| format!("  {user}: {hash}\n")).collect();
    std::fs::write(&path, format!("basic_auth_users:\n{users}")).unwrap();
    let simulated = simulated();
    let exporter = Exporter::start(&simulated, &["--web.config.file", &super::show(&path)]);
    (simulated, exporter, folder)
}

/// Asks once with a password, from a local address; the status, or nothing when there was no answer within `patience`.
fn ask(from: &str, to: SocketAddr, user: &str, password: &str, patience: Duration) -> Option<u16> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::new(from.parse::<IpAddr>().unwrap(), 0).into()).ok()?;
    socket.connect(&to.into()).ok()?;
    let mut stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(patience)).ok()?;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    write!(
        stream,
        "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Basic {credentials}\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

/// How long a scraper with the right password needs to get in: less than 10 s.
fn get_in(from: &str, address: SocketAddr, user: &str) -> Duration {
    let began = Instant::now();
    let status = loop {
        let status = ask(from, address, user, "right", Duration::from_secs(10));
        if status == Some(200) || began.elapsed() > Duration::from_secs(10) {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let took = began.elapsed();
    assert!(status == Some(200) && took < Duration::from_secs(10), "{status:?} after {took:?}");
    took
}

/// 64 clients, each trying one wrong password after the other.
fn scraper_beside_a_crowd(crowd_from: &'static str, patience: Duration) {
    let (_simulated, exporter, _folder) = with_passwords(12, &["prometheus"]);
    let address = exporter.address();
    let (stop, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let crowd: Vec<_> = (0..64)
        .map(|n| {
            let (stop, tried) = (Arc::clone(&stop), Arc::clone(&tried));
            std::thread::spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let status =
                        ask(crowd_from, address, "prometheus", &format!("wrong-{n}-{round}"), patience);
                    assert!(!matches!(status, Some(200)), "a wrong password was accepted");
                    tried.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(3));
    let took = get_in("127.0.0.1", address, "prometheus");
    println!("crowd from {crowd_from}, patience {patience:?}: {tried:?} tries, new scraper after {took:.1?}");
    // Verified once, it does not wait any more.
    let began = Instant::now();
    assert_eq!(ask("127.0.0.1", address, "prometheus", "right", Duration::from_secs(10)), Some(200));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    stop.store(true, Ordering::Relaxed);
    drop(exporter);
    for one in crowd {
        one.join().unwrap();
    }
}

#[test]
fn a_new_scraper_gets_in_beside_64_wrong_passwords_from_its_own_address() {
    scraper_beside_a_crowd("127.0.0.1", Duration::from_secs(60));
}

#[test]
fn a_new_scraper_gets_in_beside_64_clients_that_give_up_and_come_back() {
    scraper_beside_a_crowd("127.0.0.1", Duration::from_millis(300));
}

#[test]
fn a_new_scraper_gets_in_beside_64_wrong_passwords_from_another_address() {
    scraper_beside_a_crowd("127.0.0.9", Duration::from_secs(60));
}

const USERS: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

/// 300 addresses, each trying one wrong password after the other: more than there are connections, so that every one that
/// comes evicts another.
#[test]
fn new_scrapers_get_in_beside_wrong_passwords_from_300_addresses() {
    let (_simulated, exporter, _folder) = with_passwords(12, &USERS);
    let address = exporter.address();
    let mut users = USERS.iter();
    for patience in [Duration::from_secs(15), Duration::from_millis(500)] {
        let (stop, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let one = |n: usize| {
            let (stop, tried) = (Arc::clone(&stop), Arc::clone(&tried));
            let from = format!("127.0.{}.{}", 1 + n / 250, 1 + n % 250);
            let client = move || {
                while !stop.load(Ordering::Relaxed) {
                    let round = tried.fetch_add(1, Ordering::Relaxed);
                    let status = ask(&from, address, "one", &format!("wrong-{n}-{round}"), patience);
                    assert!(!matches!(status, Some(200)), "a wrong password was accepted");
                }
            };
            std::thread::Builder::new().stack_size(64 * 1024).spawn(client).unwrap()
        };
        let crowd: Vec<_> = (0..300).map(one).collect();
        std::thread::sleep(Duration::from_secs(2));
        // Each from an address of its own, with a user name of its own, so that no verdict is known.
        for (scraper, user) in (1..).zip(users.by_ref().take(USERS.len() / 2)) {
            let from = format!("127.9.{}.{scraper}", patience.as_secs());
            let took = get_in(&from, address, user);
            println!(
                "300 addresses, patience {patience:?}: {tried:?} tries, scraper {scraper} after {took:.1?}"
            );
        }
        stop.store(true, Ordering::Relaxed);
        for one in crowd {
            let _ = one.join();
        }
    }
}

#[test]
fn the_time_of_a_wrong_password_does_not_tell_whether_the_user_exists() {
    let (_simulated, exporter, _folder) = with_passwords(9, &["one", "two"]);
    // A difference that is ours is there every time; one of a busy machine is not.
    let ratios: Vec<f64> = (0..6).map(|round| known_to_unknown(exporter.address(), round)).collect();
    println!("time of a known user / time of an unknown user: {ratios:.4?}");
    assert!(ratios.iter().any(|ratio| (0.95..1.05).contains(ratio)), "{ratios:?}");
}

/// How long a wrong password of a known user takes, as a share of what one of an unknown user takes.
fn known_to_unknown(address: SocketAddr, round: usize) -> f64 {
    let mut took = [const { Vec::new() }; 2];
    for n in 0..10 {
        for (user, took) in ["one", "nobody"].iter().zip(&mut took) {
            let began = Instant::now();
            let password = format!("wrong-{round}-{n}");
            assert_eq!(ask("127.0.0.1", address, user, &password, Duration::from_secs(60)), Some(401));
            took.push(began.elapsed());
        }
    }
    // Other programs only ever add to the time: the fastest ones show what is ours.
    let [known, unknown] = took.map(|mut took| {
        took.sort();
        took[..3].iter().sum::<Duration>().as_secs_f64()
    });
    known / unknown
}

#[test]
fn a_flood_of_reloads_is_one_a_second_and_does_not_fill_the_log() {
    let simulated = simulated();
    let exporter = Exporter::start(&simulated, &["--web.enable-lifecycle"]);
    let address = exporter.address();
    let until = Instant::now() + Duration::from_secs(5);
    let before = exporter.log().len();
    let counted: Vec<[usize; 2]> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50)
            .map(|_| {
                scope.spawn(move || {
                    let mut counted = [0; 2];
                    while Instant::now() < until {
                        match post(address, "/-/reload", &[]).status {
                            200 => counted[0] += 1,
                            429 => counted[1] += 1,
                            other => panic!("{other}"),
                        }
                    }
                    counted
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let sum = |at: usize| counted.iter().map(|counted| counted[at]).sum::<usize>();
    println!("reloads: {} applied, {} too soon", sum(0), sum(1));
    assert!((1..=7).contains(&sum(0)) && sum(1) > 50, "{} {}", sum(0), sum(1));
    let log = exporter.log().split_off(before);
    assert!(log.matches("configuration read again").count() <= 1, "{log}");
}
