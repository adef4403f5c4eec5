//! Every way in which an HTTP server can fail, from a raw listener: the right code is counted, nothing moves,
//! the next good answer is used, memory stays bounded, and nobody asks inside a pause.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flate2::{Compression, write::GzEncoder};

use crate::process::privacy_under_faults::assert_no_leak;
use crate::support::{Page, Process, command};

/// More than the program needs for a body of 8 MiB; far less than what is thrown at it.
const MEMORY: u64 = 200 << 20;

const OPTIONS: &[&str] = &[
    "--collector.interval=200ms",
    "--collector.full-interval=1s",
    "--collector.audit-interval=5s",
    "--probe.interval=0s",
    "--api.budget=10",
    "--api.timeout=700ms",
];

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends these, one every so many milliseconds.
    Drip(Vec<u8>, u64),
    /// Sends a head, then zeros until the other side has had enough.
    Endless(String),
    /// Says nothing for this long.
    Silence(Duration),
    Reset,
    /// Does not listen at all.
    Refuse,
    /// Answers well, then closes without a word.
    Stale,
}

/// What must be seen of a fault.
pub(crate) enum Sign {
    /// This `code` of `list_chats`.
    Code(&'static str),
    /// A rejected item of this `reason`.
    Rejected(&'static str),
    /// Nothing: it is none.
    Nothing,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    fault: Mutex<Option<Answer>>,
    messages: Mutex<Vec<i64>>,
    asked_at: Mutex<Vec<Instant>>,
    told_at: Mutex<Option<Instant>>,
    open: AtomicBool,
    visitors: AtomicUsize,
}

/// What must never be seen outside of the program.
pub(crate) const CANARIES: &[&str] = &[
    "14155550199",
    "canary-text",
    "Canaryname",
    "canary-attachment",
    "canary-error",
    "msg_canary",
    "bl_live_SIMULATED",
];

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn ok(body: &str) -> Vec<u8> {
    with_status("200 OK", "", body)
}

fn with_status(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(SystemTime::now());
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

impl Server {
    pub(crate) fn start() -> Arc<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Arc::new(Server {
            address: listener.local_addr().unwrap(),
            fault: Mutex::default(),
            messages: Mutex::new(vec![now() - 3_600_000]),
            asked_at: Mutex::default(),
            told_at: Mutex::default(),
            open: AtomicBool::new(true),
            visitors: AtomicUsize::new(0),
        });
        server.listen(listener);
        server
    }

    fn listen(self: &Arc<Server>, listener: TcpListener) {
        let server = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !server.open.load(Ordering::SeqCst) {
                    return;
                }
                let (server, Ok(stream)) = (Arc::clone(&server), stream) else { continue };
                server.visitors.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || while server.talk(&stream).is_some() {});
            }
        });
    }

    /// Answers one request; `None` when the connection is done.
    fn talk(&self, mut stream: &TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let target = head.split(' ').nth(1)?.to_owned();
        self.asked_at.lock().unwrap().push(Instant::now());
        let fault = self.fault.lock().unwrap().clone().filter(|_| target.starts_with("/chats"));
        match fault {
            None => stream.write_all(&self.well(&target)).ok(),
            Some(Answer::Stale) => {
                let _ = stream.write_all(&self.well(&target));
                None
            }
            Some(Answer::Bytes(bytes)) => {
                self.told_at.lock().unwrap().get_or_insert(Instant::now());
                let _ = stream.write_all(&bytes);
                None
            }
            Some(Answer::Drip(bytes, pause)) => {
                for byte in bytes {
                    stream.write_all(&[byte]).ok()?;
                    std::thread::sleep(Duration::from_millis(pause));
                }
                None
            }
            Some(Answer::Endless(head)) => {
                stream.write_all(head.as_bytes()).ok()?;
                let block = vec![b' '; 1 << 20];
                for _ in 0..1_024 {
                    stream.write_all(&block).ok()?;
                }
                None
            }
            Some(Answer::Silence(how_long)) => {
                std::thread::sleep(how_long);
                None
            }
            Some(Answer::Reset) => {
                // Closing with something unread in the buffer resets.
                stream.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
                let _ = stream.shutdown(std::net::Shutdown::Read);
                None
            }
            Some(Answer::Refuse) => None,
        }
    }

    /// The answer of a server in good health.
    fn well(&self, target: &str) -> Vec<u8> {
        let messages = self.messages.lock().unwrap();
        let count = messages.len();
        if target.starts_with("/chats?") {
            return ok(&format!(
                r#"{{"chats":[{{"id":"+14155550199","type":"phone","contact":{{"name":"Canaryname"}},
                "message_count":{count},"inbound_count":0,"outbound_count":{count},
                "last_message_time":{},"last_message":{{"message_id":"msg_canary{}","text":"canary-text"}}}}],
                "pagination":{{"limit":200,"offset":0,"total":1}}}}"#,
                messages[count - 1],
                count - 1
            ));
        }
        if !target.contains("/messages") {
            return with_status("404 Not Found", "", r#"{"error":"canary-error"}"#);
        }
        let value = |name: &str| {
            let value = target.split(['?', '&']).find_map(|pair| pair.strip_prefix(name));
            value.and_then(|value| value.parse::<i64>().ok())
        };
        let (since, until) = (value("since=").unwrap_or(0), value("until=").unwrap_or(i64::MAX));
        let rows = messages.iter().enumerate().filter(|(_, at)| **at > since && **at < until);
        let rows: Vec<String> = rows
            .map(|(n, at)| {
                format!(
                    r#"{{"message_id":"msg_canary{n}","direction":"outbound","internal_id":"+13105550101",
                    "text":"canary-text","attachments":[{{"url":"https://cdn.example/canary-attachment"}}],
                    "time_sent":{at},"time_delivered":{at},"status":"delivered","protocol":"imessage",
                    "error":"canary-error"}}"#
                )
            })
            .collect();
        ok(&format!(
            r#"{{"messages":[{}],"pagination":{{"limit":200,"offset":0,"total":{}}}}}"#,
            rows.join(","),
            rows.len()
        ))
    }

    pub(crate) fn begin(self: &Arc<Server>, answer: Answer) {
        if matches!(answer, Answer::Refuse) {
            self.open.store(false, Ordering::SeqCst);
            let _ = TcpStream::connect(self.address);
        }
        *self.told_at.lock().unwrap() = None;
        *self.fault.lock().unwrap() = Some(answer);
    }

    pub(crate) fn end(self: &Arc<Server>) {
        let refused = matches!(self.fault.lock().unwrap().take(), Some(Answer::Refuse));
        if refused {
            self.open.store(true, Ordering::SeqCst);
            self.listen(TcpListener::bind(self.address).unwrap());
        }
    }
}

fn outbound(page: &Page) -> f64 {
    page.sum("blooio_outbound_messages_total")
}

/// Whether nothing was asked between the answer that asked for a pause and its end.
fn assert_pause(server: &Server, pause: Duration, name: &str) {
    let Some(told_at) = *server.told_at.lock().unwrap() else { return };
    let asked = server.asked_at.lock().unwrap();
    let early = asked.iter().find(|at| **at > told_at && **at < told_at + pause);
    assert!(early.is_none(), "{name}: asked {:?} after a pause was asked for", early.map(|at| *at - told_at));
}

/// Lets one exporter see good answers, then the fault, then good answers again.
fn survive(name: &str, answer: Answer, sign: &Sign, pause: Option<Duration>) {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.db");
    let exporter = Process::start(command(&format!("http://{}", server.address), &state, OPTIONS));
    exporter.wait_for("the first sweep", |page| page.sum("blooio_up") == 1.0);
    server.messages.lock().unwrap().push(now());
    let before = exporter.wait_for("the first message", |page| outbound(page) == 1.0);
    let count = |page: &Page| match sign {
        Sign::Code(code) => {
            let code = format!("code=\"{code}\"");
            page.sum_where("blooio_api_requests_total", &["endpoint=\"list_chats\"", &code])
        }
        Sign::Rejected(reason) => {
            page.sum_where("blooio_collection_rejected_items_total", &[&format!("reason=\"{reason}\"")])
        }
        Sign::Nothing => page.sum("blooio_collection_sweeps_total"),
    };
    server.begin(answer);
    let seen = count(&before);
    exporter.wait_for(&format!("{name} in the counters"), |page| count(page) > seen);
    server.messages.lock().unwrap().push(now());
    std::thread::sleep(Duration::from_millis(500));
    let during = exporter.page();
    if !matches!(sign, Sign::Nothing) {
        assert_eq!(outbound(&during), 1.0, "{name}: something was counted");
        assert_eq!(during.sum("blooio_outbound_delivered_messages_total"), 1.0, "{name}");
    }
    server.end();
    match pause {
        Some(pause) if pause > Duration::from_secs(60) => {
            std::thread::sleep(Duration::from_secs(2));
            assert_pause(&server, pause, name);
        }
        _ => {
            let after = exporter.wait_for(&format!("{name} over"), |page| outbound(page) == 2.0);
            assert_eq!(after.sum("blooio_outbound_delivered_messages_total"), 2.0, "{name}");
            assert_pause(&server, pause.unwrap_or_default(), name);
        }
    }
    let memory = exporter.peak_memory();
    assert!(memory < MEMORY, "{name}: {memory} bytes of memory");
    let pages = exporter.get("/metrics").unwrap() + &exporter.get("/").unwrap();
    let log = exporter.kill();
    assert!(!log.contains("panicked"), "{name}: {log}");
    assert_no_leak(name, &[&pages, &log], folder.path(), CANARIES.iter().copied());
}

fn gzip_bomb() -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let block = vec![b' '; 1 << 20];
    for _ in 0..256 {
        packed.write_all(&block).unwrap();
    }
    let packed = packed.finish().unwrap();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
    [head.into_bytes(), packed].concat()
}

/// A fault: its name, what the server does, what is seen of it, and for how long nobody must ask.
pub(crate) type Case = (&'static str, Answer, Sign, Option<Duration>);

/// Every fault; one of them sends its visitors to `elsewhere`.
pub(crate) fn cases(elsewhere: SocketAddr) -> Vec<Case> {
    let status = |line: &str| Answer::Bytes(with_status(line, "", r#"{"error":"canary-error"}"#));
    let limited = |value: &str| {
        Answer::Bytes(with_status("429 Too Many Requests", &format!("Retry-After: {value}\r\n"), "{}"))
    };
    let body = |body: &str| Answer::Bytes(ok(body));
    let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(8));
    let nested = format!("{{\"chats\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let whole = r#"{"chats":[{"id":"+14155550199"}],"pagination":{"total":1}}"#;
    let cut =
        |length: &str| Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{length}\r\n{}", &whole[..30]).into_bytes());
    let redirect = |to: String| Answer::Bytes(with_status("302 Found", &format!("Location: {to}\r\n"), ""));
    let row = |row: &str| body(&format!(r#"{{"chats":[{row}],"pagination":{{"total":1}}}}"#));
    vec![
        ("refused", Answer::Refuse, Sign::Code("connection"), None),
        ("reset", Answer::Reset, Sign::Code("connection"), None),
        ("401", status("401 Unauthorized"), Sign::Code("401"), None),
        ("403", status("403 Forbidden"), Sign::Code("403"), None),
        ("404", status("404 Not Found"), Sign::Code("404"), None),
        ("429", Answer::Bytes(with_status("429 Too Many Requests", "", "{}")), Sign::Code("429"), seconds(5)),
        ("429 in seconds", limited("2"), Sign::Code("429"), seconds(2)),
        ("429 with a date", limited(&date), Sign::Code("429"), seconds(1)),
        ("429 negative", limited("-1"), Sign::Code("429"), seconds(5)),
        ("429 in words", limited("soon"), Sign::Code("429"), seconds(5)),
        ("429 for years", limited("999999999999"), Sign::Code("429"), seconds(900)),
        ("500", status("500 Internal Server Error"), Sign::Code("500"), None),
        ("502", status("502 Bad Gateway"), Sign::Code("502"), None),
        ("503", status("503 Service Unavailable"), Sign::Code("503"), None),
        ("html", body("<html>canary-text</html>"), Sign::Code("body"), None),
        ("empty", body(""), Sign::Code("body"), None),
        ("error object", body(r#"{"error":"canary-error","status":500}"#), Sign::Code("body"), None),
        ("cut by length", cut("Content-Length: 5000\r\n"), Sign::Code("body"), None),
        ("cut by close", cut("Connection: close\r\n"), Sign::Code("body"), None),
        ("slow head", Answer::Silence(Duration::from_secs(2)), Sign::Code("timeout"), None),
        ("a byte per 100 ms", Answer::Drip(ok(whole), 100), Sign::Code("timeout"), None),
        (
            "1 GB announced",
            Answer::Endless("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".into()),
            Sign::Code("body"),
            None,
        ),
        (
            "1 GB unannounced",
            Answer::Endless("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".into()),
            Sign::Code("body"),
            None,
        ),
        ("gzip bomb", Answer::Bytes(gzip_bomb()), Sign::Code("body"), None),
        ("nested arrays", body(&nested), Sign::Rejected("id"), None),
        ("NaN", row(r#"{"id":"+14155550199","message_count":NaN}"#), Sign::Code("body"), None),
        ("1e400", row(r#"{"id":1e400,"message_count":1e400}"#), Sign::Rejected("id"), None),
        ("null list", body(r#"{"chats":null,"pagination":null}"#), Sign::Code("body"), None),
        ("null row", row("null"), Sign::Rejected("malformed"), None),
        ("nulls in a row", row(r#"{"id":null,"type":null,"contact":null}"#), Sign::Rejected("id"), None),
        ("redirect loop", redirect("/chats?sort=recent".into()), Sign::Code("302"), None),
        ("redirect away", redirect(format!("http://{elsewhere}/chats")), Sign::Code("302"), None),
        ("stale keep-alive", Answer::Stale, Sign::Nothing, None),
    ]
}

#[test]
fn every_fault_of_the_wire_is_counted_and_survived() {
    let elsewhere = Server::start();
    let cases = cases(elsewhere.address);
    let (count, cases) = (cases.len(), Mutex::new(cases.into_iter()));
    let failed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().unwrap().next();
                    let Some((name, answer, sign, pause)) = next else { return };
                    let survived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        survive(name, answer, &sign, pause);
                    }));
                    if survived.is_err() {
                        println!("not survived: {name}");
                        failed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(elsewhere.visitors.load(Ordering::SeqCst), 0, "a redirect was followed");
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {count} faults");
    println!("{count} faults tried, {count} survived");
}

/// The bytes of every file in a folder.
pub(crate) fn bytes_in(folder: &std::path::Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).flat_map(|path| fs::read(path).unwrap()).collect()
}
