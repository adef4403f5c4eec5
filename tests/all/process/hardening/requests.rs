//! Strangers on the network and web pages in an operator's browser: reloads, host names, paths, malformed requests. Also
//! the table of attempts that SECURITY.md shows:
//!
//! ```text
//! cargo test --test all hardening::requests -- --nocapture --test-threads 1
//! ```

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::simulated;
use crate::support::{Exporter, ask, eventually, get, post};

/// Longer than any answer takes.
const LONG: Duration = Duration::from_secs(20);

/// Sends bytes as they are, and reads until the other end closes or says nothing for `patience`. The status of the first
/// answer, or 0 for none.
fn raw(address: SocketAddr, bytes: &[u8], patience: Duration) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    let _ = stream.set_read_timeout(Some(patience));
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
}

fn with_host(address: SocketAddr, method: &str, target: &str, host: &str) -> (u16, String) {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    raw(address, request.as_bytes(), LONG)
}

#[test]
fn reload_is_off_until_it_is_asked_for_and_says_nothing_to_strangers() {
    let simulated = simulated();
    let closed = Exporter::start(&simulated, &[]);
    let answer = post(closed.address(), "/-/reload", &[]);
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("--web.enable-lifecycle"), "{}", answer.body);
    assert_eq!(get(closed.address(), "/-/reload", &[]).status, 405);
    assert!(!closed.log().contains("configuration read again"));
    closed.signal("-HUP");
    eventually("SIGHUP still reloads", || closed.log().contains("configuration read again").then_some(()));

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    std::fs::write(&config, "log: {level: debug}\n").unwrap();
    let open =
        Exporter::start(&simulated, &["--web.enable-lifecycle", "--config.file", &super::show(&config)]);
    std::fs::write(&config, "collector: {horizon: canary}\n").unwrap();
    let answer = post(open.address(), "/-/reload", &[]);
    assert_eq!((answer.status, answer.body.trim()), (500, "not applied, see the log"));
    eventually("the reason in the log", || {
        open.log().contains("config.yml:1: collector.horizon").then_some(())
    });
    // Nor can a reload switch the endpoint on, or open a host.
    for weaker in ["web: {enable_lifecycle: true}\n", "web: {allowed_host: [evil.example]}\n"] {
        std::fs::write(folder.path().join("closed.yml"), "{}\n").unwrap();
        let path = super::show(&folder.path().join("closed.yml"));
        let closed = Exporter::start(&simulated, &["--config.file", &path]);
        std::fs::write(&path, weaker).unwrap();
        closed.signal("-HUP");
        eventually("a refusal", || {
            closed.log().contains("cannot change while the exporter runs").then_some(())
        });
        assert_eq!(post(closed.address(), "/-/reload", &[]).status, 403);
        assert_eq!(with_host(closed.address(), "GET", "/metrics", "evil.example").0, 421);
    }
}

#[test]
fn a_page_in_a_browser_cannot_read_a_loopback_listener_under_its_own_name() {
    let simulated = simulated();
    let exporter =
        Exporter::start(&simulated, &["--web.enable-lifecycle", "--web.allowed-host", "metrics.example"]);
    let address = exporter.address();
    let port = address.port();
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "metrics.example".to_owned(),
        "[::1]".to_owned(),
    ] {
        let (status, text) = with_host(address, "GET", "/metrics", &host);
        assert!(status == 200 && text.contains("blooio_up"), "{host}: {status}");
    }
    for host in
        [format!("evil.example:{port}"), "evil.example".to_owned(), "localhost.evil.example".to_owned()]
    {
        for (method, target) in [
            ("GET", "/metrics"),
            ("GET", "/"),
            ("GET", "/-/healthy"),
            ("POST", "/-/reload"),
            ("GET", "/nothing"),
        ] {
            let (status, text) = with_host(address, method, target, &host);
            assert!(status == 421 && !text.contains("blooio_"), "{host} {target}: {status}");
        }
    }
    assert_eq!(with_host(address, "GET", "http://evil.example/metrics", &format!("127.0.0.1:{port}")).0, 421);
    assert!(!exporter.log().contains("configuration read again"));
    let answer = get(address, "/", &[]);
    for part in ["frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'", "x-frame-options: deny"] {
        assert!(answer.head.to_lowercase().contains(part), "{part}: {}", answer.head);
    }
}

/// Everything that names another path than it seems to, made of parts.
fn path_tricks() -> Vec<String> {
    let ups =
        ["..", ".", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..;", "..%00", "..%2f", "..\\", "%c0%ae%c0%ae"];
    let slashes = ["/", "//", "/./", "%2f", "%2F", "\\", "%5c", "/%09/", ";/", "%00/"];
    let starts = ["/-/ready", "/-/healthy", "/-", "", "/metrics", "/reference"];
    let ends = ["metrics", "-/reload", "metrics/", "METRICS", "metrics%00", "metrics%20", "m%65trics"];
    let mut tricks = Vec::new();
    for start in starts {
        for slash in slashes {
            for up in ups {
                for end in ends {
                    tricks.push(format!("{start}{slash}{up}{slash}{end}"));
                }
            }
        }
    }
    tricks
}

#[test]
fn paths_that_seem_to_be_others_reach_nothing() {
    let simulated = simulated();
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    let hash = bcrypt::hash("right", 4).unwrap();
    std::fs::write(
        &web,
        format!("basic_auth_users: {{one: {hash}}}\nauth_excluded_paths: [/-/ready, /-/healthy]\n"),
    )
    .unwrap();
    let exporter = Exporter::start(&simulated, &["--web.config.file", &super::show(&web)]);
    let mut outcomes: BTreeMap<u16, usize> = BTreeMap::new();
    for path in path_tricks() {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (status, text) = raw(exporter.address(), request.as_bytes(), LONG);
        assert!(!text.contains("blooio_") && matches!(status, 400 | 401 | 404), "{path}: {status}");
        *outcomes.entry(status).or_default() += 1;
    }
    println!("path tricks: {} tried, by status {outcomes:?}", path_tricks().len());
}

#[test]
fn malformed_requests_end_nothing_and_get_nothing() {
    let simulated = simulated();
    let exporter = Exporter::start(&simulated, &[]);
    let address = exporter.address();
    let good =
        b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/plain\r\n\r\n";
    let mut random = fastrand::Rng::with_seed(12);
    let mut outcomes: BTreeMap<u16, usize> = BTreeMap::new();
    const TRIES: usize = 5_000;
    for _ in 0..TRIES {
        let mut bytes = good.to_vec();
        for _ in 0..random.usize(1..6) {
            if bytes.len() < 2 {
                break;
            }
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.u8(..)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        *outcomes.entry(raw(address, &bytes, Duration::from_millis(30)).0).or_default() += 1;
    }
    println!("mutated requests: {TRIES} tried, by status {outcomes:?} (0: closed without an answer)");
    assert_eq!(get(address, "/-/healthy", &[]).status, 200);
    assert!(!exporter.log().contains("panicked"), "{}", exporter.log());
}

#[test]
fn requests_cannot_be_smuggled_behind_one_another() {
    let simulated = simulated();
    let exporter = Exporter::start(&simulated, &["--web.enable-lifecycle"]);
    let inner = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = inner.len();
    let tries = [
        format!(
            "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!(
            "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!(
            "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{inner}"
        ),
        format!("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n{inner}"),
        format!(
            "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"
        ),
        format!("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: +{length}\r\n\r\n{inner}"),
        format!("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x10\r\n\r\n{inner}"),
        format!("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{inner}"),
        format!(
            "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b: c\r\nContent-Length: {length}\r\n\r\n{inner}"
        ),
        format!(
            "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nX: a\rContent-Length: {length}\r\n\r\n{inner}"
        ),
    ];
    let mut served = 0;
    for request in &tries {
        let (_, text) = raw(exporter.address(), request.as_bytes(), Duration::from_millis(500));
        // What follows a request that ends where it says is a request of its own, and no stranger's.
        served += usize::from(text.contains("configuration read again"));
    }
    println!("smuggled requests: {} tried, {served} served as a second request", tries.len());
    // Two framings in one request are an error, or the request ends where chunked says: never both answers.
    assert!(served <= 1, "{served}");
    assert!(ask("GET", exporter.address(), "/-/healthy", &[]).is_some());
}
