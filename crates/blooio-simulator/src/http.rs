//! Real sockets around a world.
//!
//! The server is written by hand because most of what it is for is to break HTTP: bodies shorter than announced,
//! bodies that end nowhere, resets, silence. It understands what clients send to a read-only API (one request at a
//! time per connection, small heads, small bodies of a known length) and rejects the rest.
//!
//! Outside the base path lie the control paths, for people with curl. They are no part of the API.

use serde_json::json;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::fault::{FaultKind, faults};
use super::request::{Reply, Request, Wire, parse_query};
use super::tuning::{Chats, Tuning};
use super::world::World;
use super::{BASE_PATH, scenario};

/// The server's time, in unix milliseconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 64 * 1024;
const CONNECTIONS_MAX: usize = 512;
/// How long a connection may stay silent between requests, and how long one head may take.
const WAIT_LIMIT: Duration = Duration::from_secs(75);
const TICK: Duration = Duration::from_millis(100);
const DROPS: usize = 10;

/// Serves the world until `shutdown` completes, then drops every connection. The world is stepped to the clock's
/// time ten times a second, and before each request.
pub async fn serve(
    listener: TcpListener,
    world: Arc<Mutex<World>>,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            _ = ticks.tick() => {
                let now = clock();
                lock(&world).step(now);
                while connections.try_join_next().is_some() {}
            }
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let talk = Connection { stream, world: world.clone(), clock: clock.clone(), unread: Vec::new() };
                    connections.spawn(talk.run());
                }
                // Out of descriptors, or the peer is gone already: neither ends the server.
                Err(_) => sleep(TICK).await,
            }
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Connection {
    stream: TcpStream,
    world: Arc<Mutex<World>>,
    clock: Clock,
    unread: Vec<u8>,
}

/// A request, and whether the client wants to go on afterwards.
struct Asked {
    request: Request,
    keep_alive: bool,
}

impl Connection {
    async fn run(mut self) {
        let _ = self.stream.set_nodelay(true);
        loop {
            let asked = match timeout(WAIT_LIMIT, self.ask()).await {
                Ok(Ok(Some(asked))) => asked,
                Ok(Err(Refused(status))) => {
                    let _ = self.send(&plain(status, "cannot read this request\n"), false, false).await;
                    return;
                }
                Ok(Ok(None)) | Err(_) => return,
            };
            let reply = self.reply(&asked.request);
            let head_only = asked.request.method == "HEAD";
            match self.send(&reply, asked.keep_alive, head_only).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    fn reply(&self, request: &Request) -> Reply {
        let now = (self.clock)();
        let mut world = lock(&self.world);
        let below = request.path.strip_prefix(BASE_PATH);
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            world.respond(now, request)
        } else {
            world.step(now);
            control(&mut world, request)
        }
    }

    /// Reads one request; `None` when the client is done.
    async fn ask(&mut self) -> Result<Option<Asked>, Refused> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at;
            }
            if self.unread.len() > HEAD_MAX {
                return Err(Refused(431));
            }
            if !self.more().await {
                return Ok(None);
            }
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).map_err(|_| Refused(400))?;
        self.unread.drain(..end + 4);
        let (asked, length) = parse_head(&head)?;
        if length > BODY_MAX {
            return Err(Refused(413));
        }
        while self.unread.len() < length {
            if !self.more().await {
                return Ok(None);
            }
        }
        self.unread.drain(..length);
        Ok(Some(asked))
    }

    /// Waits for more bytes; false when there will be none.
    async fn more(&mut self) -> bool {
        let mut piece = [0_u8; 4096];
        loop {
            if self.stream.readable().await.is_err() {
                return false;
            }
            match self.stream.try_read(&mut piece) {
                Ok(0) => return false,
                Ok(n) => {
                    self.unread.extend_from_slice(&piece[..n]);
                    return true;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            timeout(WAIT_LIMIT, self.stream.writable()).await.map_err(|_| io::ErrorKind::TimedOut)??;
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Sends a reply the way its wire says; true when the connection can go on.
    async fn send(&mut self, reply: &Reply, keep_alive: bool, head_only: bool) -> io::Result<bool> {
        let body: &[u8] = if head_only { &[] } else { &reply.body };
        let whole = !matches!(reply.wire, Wire::TruncateAt(_) | Wire::CloseDelimitedTruncated(_));
        let keep_alive = keep_alive && whole;
        let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, phrase(reply.status));
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !matches!(reply.wire, Wire::CloseDelimitedTruncated(_)) {
            head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
        }
        head.push_str(if keep_alive { "\r\n" } else { "connection: close\r\n\r\n" });
        match reply.wire {
            Wire::Reset => {
                let _ = self.stream.set_zero_linger();
                return Ok(false);
            }
            Wire::Hang => {
                // Until the client goes away. What it still sends is of no interest.
                while self.more().await {
                    self.unread.clear();
                }
                return Ok(false);
            }
            Wire::DelayBody(ms) => {
                self.write(head.as_bytes()).await?;
                for drop in body.chunks(body.len().div_ceil(DROPS).max(1)) {
                    sleep(Duration::from_millis(ms / DROPS as u64)).await;
                    self.write(drop).await?;
                }
                return Ok(keep_alive);
            }
            Wire::DelayHead(ms) => sleep(Duration::from_millis(ms)).await,
            Wire::Normal | Wire::TruncateAt(_) | Wire::CloseDelimitedTruncated(_) => {}
        }
        let part = match reply.wire {
            Wire::TruncateAt(n) | Wire::CloseDelimitedTruncated(n) => &body[..n.min(body.len())],
            _ => body,
        };
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(part);
        self.write(&bytes).await?;
        Ok(keep_alive)
    }
}

/// The status of the answer to a request that cannot be parsed.
#[derive(Debug, PartialEq, Eq)]
struct Refused(u16);

/// Reads a head: the request, and the length of the body behind it.
fn parse_head(head: &str) -> Result<(Asked, usize), Refused> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or("").split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refused(400));
    };
    if !target.starts_with('/') || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(Refused(400));
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    let (mut length, mut keep_alive) = (0, version == "HTTP/1.1");
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Refused(400))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "accept-encoding" => request.accept_encoding = Some(value.to_owned()),
            "content-length" => length = value.parse().map_err(|_| Refused(400))?,
            "transfer-encoding" => return Err(Refused(501)),
            "connection" if value.eq_ignore_ascii_case("close") => keep_alive = false,
            "connection" if value.eq_ignore_ascii_case("keep-alive") => keep_alive = true,
            _ => {}
        }
    }
    Ok((Asked { request, keep_alive }, length))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

fn plain(status: u16, text: &str) -> Reply {
    let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
    Reply { status, headers, body: text.to_owned().into(), wire: Wire::Normal }
}

/// Answers the paths outside of the API, which switch faults and show the truth.
fn control(world: &mut World, request: &Request) -> Reply {
    let query = parse_query(&request.query);
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/") => plain(200, &landing(world)),
        ("GET" | "HEAD", "/truth") => {
            let after = query.get("after_ms").and_then(|t| t.parse().ok()).unwrap_or(world.setup().start_ms);
            let until = query.get("until_ms").and_then(|t| t.parse().ok()).unwrap_or(i64::MAX);
            let turn = query.get("turn_ms").and_then(|t| t.parse().ok()).unwrap_or(60_000);
            let requests: std::collections::BTreeMap<String, u64> =
                world.request_totals().iter().map(|((e, s), n)| (format!("{}/{s}", e.name()), *n)).collect();
            let (listed, deleted, merged) = world.truth().chats();
            let body = json!({
                "now_ms": world.now_ms(), "after_ms": after, "settled": world.settled(),
                "messages_ever": world.truth().messages(),
                "chats": {"listed": listed, "deleted": deleted, "merged": merged},
                "summary": world.truth().summary_within(after, until).to_json(),
                "conversations": world.truth().talk_within(after, until, turn).to_json(),
                "requests": requests, "requests_inside_a_pause": world.violations(),
            });
            let mut reply = plain(200, &format!("{body:#}\n"));
            reply.headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            reply
        }
        ("POST", "/quiet") => {
            world.quiet();
            plain(200, "No new messages from now on; what is open goes on to its end.\n")
        }
        (method @ ("POST" | "DELETE"), path) if path.starts_with("/faults/") => {
            let name = path.trim_start_matches("/faults/");
            if method == "DELETE" {
                let text = if world.switch_off(name) { "off\n" } else { "was not on\n" };
                return plain(200, text);
            }
            match Tuning::parse(&request.query).and_then(|tuning| world.switch_on(name, tuning)) {
                Ok(()) => plain(200, "on\n"),
                Err(why) if FaultKind::named(name).is_some() => plain(400, &format!("{why}\n")),
                Err(_) => plain(404, &format!("{}\n", FaultKind::unknown())),
            }
        }
        _ => plain(404, "nothing here; GET / tells what there is\n"),
    }
}

fn landing(world: &World) -> String {
    let mut text = format!(
        "A simulated Blooio. Nothing here is real: no phone, no person, no message.\n\n\
         API          {BASE_PATH}   (Authorization: Bearer {})\n\
         lines        {}\n\
         truth        GET /truth?after_ms=&until_ms=&turn_ms=\n\
         calm         POST /quiet\n\
         faults       POST /faults/NAME?value=&share=&line=&endpoint=&chats=   DELETE /faults/NAME\n\nFaults:\n",
        world.setup().key,
        world.lines().join(" "),
    );
    for (name, value, sentence) in faults() {
        let on = world.faults_on().iter().filter(|(kind, _)| kind.name() == name);
        let on: Vec<String> = on.map(|(_, t)| describe(t)).collect();
        let mark = if on.is_empty() { "   ".to_owned() } else { "ON ".to_owned() };
        let value = if value.is_empty() { String::new() } else { format!(" (value: {value})") };
        text.push_str(&format!("  {mark}{name:<20} {sentence}{value}{}\n", on.concat()));
    }
    text.push_str("\nScenarios (chosen at the start):\n");
    for scenario in scenario::all() {
        text.push_str(&format!("  {:<20} {}\n", scenario.name, scenario.sentence));
    }
    text
}

fn describe(tuning: &Tuning) -> String {
    let mut words = Vec::new();
    words.extend(tuning.value.map(|v| format!("value={v}")));
    words.extend(tuning.share.map(|s| format!("share={s}")));
    words.extend(tuning.line.clone().map(|l| format!("line={l}")));
    words.extend(tuning.endpoint.map(|e| format!("endpoint={}", e.name())));
    words.extend(tuning.chats.map(|chats| match chats {
        Chats::Nth(n) => format!("chats={n}"),
        Chats::Share(share) => format!("chats={share:?}"),
    }));
    format!(" [{}]", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_and_a_strange_one_refused() {
        let (asked, length) =
            parse_head("GET /v2/api/chats?limit=5 HTTP/1.1\r\nAuthorization: Bearer k").unwrap();
        assert_eq!((asked.request.query.as_str(), asked.keep_alive, length), ("limit=5", true, 0));
        assert!(!parse_head("GET / HTTP/1.1\r\nconnection: close").unwrap().0.keep_alive);
        assert_eq!(parse_head("GET HTTP/1.1").err(), Some(Refused(400)));
        assert_eq!(parse_head("POST / HTTP/1.1\r\ntransfer-encoding: chunked").err(), Some(Refused(501)));
    }
}
