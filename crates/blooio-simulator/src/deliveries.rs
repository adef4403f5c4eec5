//! Webhook deliveries over real sockets: signs the events of a world as Blooio does, and sends them to a URL.
//!
//! Here belong signatures, the clock that they name, secrets, and how fast a body is sent. Which events there are, when they
//! are due and when they are sent again is in `events`.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::hmac;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::events::{Delivery, EventFaults, Events};
use super::http::Clock;
use super::world::World;

/// What a simulated webhook signs with.
pub const SECRET: &str = "whsec_simulated_0123456789abcdef";
/// How long a receiver has to answer (DOC, v4 text).
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Deliveries under way at a time.
const PARALLEL: usize = 32;
const TICK: Duration = Duration::from_millis(100);

/// Where deliveries go: plain HTTP, as the receiver is beside the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
    path: String,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the URL, when it is none of plain HTTP with a port.
    pub fn parse(url: &str) -> Result<Target, &'static str> {
        let why = "is not the URL of a receiver; write it as http://127.0.0.1:12568/webhooks/TOKEN";
        let rest = url.strip_prefix("http://").ok_or(why)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = authority.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        match port.and_then(|port| port.parse::<u16>().ok()) {
            Some(_) if is_plain => Ok(Target { authority: authority.to_owned(), path: path.to_owned() }),
            _ => Err(why),
        }
    }
}

/// How deliveries are made; may be changed while they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Manner {
    /// What they are signed with; a rotation replaces it.
    pub secret: String,
    /// Seconds by which the sender's clock is ahead.
    pub clock_ahead: i64,
    /// Share that is signed with another secret, from 0 to 1.
    pub wrong_secret: f64,
    /// Share whose body is sent byte by byte, from 0 to 1.
    pub slow: f64,
    /// Whether the receiver cannot be reached: every attempt fails.
    pub unreachable: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { secret: SECRET.to_owned(), clock_ahead: 0, wrong_secret: 0.0, slow: 0.0, unreachable: false }
    }
}

/// Names of what may go wrong with deliveries, each with what it makes go wrong.
pub const DELIVERY_FAULTS: [(&str, &str); 11] = [
    ("lost", "half of the events are never sent"),
    ("late", "the first deliveries of half of the events fail"),
    ("duplicated", "half of the events arrive twice"),
    ("reordered", "half of the events arrive up to a minute late"),
    ("replayed", "half of the events are sent again minutes later"),
    ("burst", "events arrive together, once a minute"),
    ("lying", "as many false events as true ones"),
    ("wrong-secret", "half of the deliveries are signed with another secret"),
    ("wrong-clock", "the sender's clock is ten minutes ahead"),
    ("slow", "half of the bodies are sent byte by byte"),
    ("unreachable", "no delivery reaches the receiver"),
];

/// Switches a fault of [`DELIVERY_FAULTS`] on.
///
/// # Errors
/// The names that there are, when this is none of them.
pub fn switch_on(name: &str, events: &mut EventFaults, manner: &mut Manner) -> Result<(), String> {
    match name {
        "lost" => events.lost = 0.5,
        "late" => events.late = 0.5,
        "duplicated" => events.duplicated = 0.5,
        "reordered" => events.reordered = 0.5,
        "replayed" => events.replayed = 0.5,
        "burst" => events.burst = 1.0,
        "lying" => events.lying = 1.0,
        "wrong-secret" => manner.wrong_secret = 0.5,
        "wrong-clock" => manner.clock_ahead = 600,
        "unreachable" => manner.unreachable = true,
        "slow" => manner.slow = 0.5,
        _ => {
            let names: Vec<&str> = DELIVERY_FAULTS.iter().map(|(name, _)| *name).collect();
            return Err(format!("is not one of {}", names.join(", ")));
        }
    }
    Ok(())
}

/// What became of deliveries so far, by the status of the answer; 0 where there was none.
pub type Answers = Arc<Mutex<std::collections::BTreeMap<u16, u64>>>;

/// Sends the events of a world to `target` until `shutdown` completes. The server of the world steps it.
pub async fn deliver(
    world: Arc<Mutex<World>>,
    target: Target,
    (faults, manner): (EventFaults, Arc<Mutex<Manner>>),
    clock: Clock,
    answers: Answers,
    shutdown: impl Future<Output = ()>,
) {
    let seed = lock(&world).setup().seed;
    let mut events = Events::of(&mut lock(&world), seed, faults);
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x51_6e_ed);
    let (ended, mut outcomes) = mpsc::channel::<(Delivery, u16)>(PARALLEL);
    let slots = Arc::new(tokio::sync::Semaphore::new(PARALLEL));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            Some((delivery, status)) = outcomes.recv() => {
                *lock(&answers).entry(status).or_default() += 1;
                if !(200..300).contains(&status) {
                    events.refused(delivery);
                }
            }
            _ = ticks.tick() => {
                let due = events.take(&mut lock(&world));
                for delivery in due {
                    let manner = lock(&manner).clone();
                    let request = Signed::of(&delivery, &target, &manner, clock() / 1_000, &mut rng);
                    let (target, slots, ended) = (target.clone(), Arc::clone(&slots), ended.clone());
                    tokio::spawn(async move {
                        let _one = slots.acquire().await;
                        let sent = timeout(ANSWER_LIMIT, request.send(&target)).await;
                        let status = sent.ok().and_then(Result::ok).unwrap_or(0);
                        let _ = ended.send((delivery, status)).await;
                    });
                }
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request, ready to be sent.
struct Signed {
    head: String,
    body: String,
    slow: bool,
    unreachable: bool,
}

impl Signed {
    fn of(
        delivery: &Delivery,
        target: &Target,
        manner: &Manner,
        now: i64,
        rng: &mut fastrand::Rng,
    ) -> Signed {
        let body = body_of(delivery);
        let is_wrong = rng.f64() < manner.wrong_secret;
        let secret = if is_wrong { "whsec_of_another" } else { manner.secret.as_str() };
        let at = now + manner.clock_ahead;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             X-Blooio-Event: {}\r\nX-Blooio-Message-Id: {}\r\nX-Blooio-Signature: t={at},v1={}\r\n\
             Connection: close\r\n\r\n",
            target.path,
            target.authority,
            body.len(),
            delivery.kind,
            delivery.message_id,
            sign(secret, at, &body),
        );
        Signed { head, body, slow: rng.f64() < manner.slow, unreachable: manner.unreachable }
    }

    /// Sends it; the status of the answer.
    async fn send(&self, target: &Target) -> io::Result<u16> {
        if self.unreachable {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut stream = TcpStream::connect(target.authority.as_str()).await?;
        stream.write_all(self.head.as_bytes()).await?;
        if self.slow {
            for byte in self.body.as_bytes() {
                sleep(Duration::from_millis(100)).await;
                stream.write_all(std::slice::from_ref(byte)).await?;
            }
        } else {
            stream.write_all(self.body.as_bytes()).await?;
        }
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::other("no answer of HTTP"))
    }
}

/// A body as Blooio's are (DOC), with a text that no receiver needs.
fn body_of(delivery: &Delivery) -> String {
    json!({
        "event": delivery.kind, "message_id": delivery.message_id, "external_id": delivery.external_id,
        "status": delivery.kind.trim_start_matches("message."), "protocol": "imessage", "timestamp": delivery.at,
        "text": "a simulated text", "attachments": [], "is_group": delivery.is_group, "group_id": delivery.group_id,
    })
    .to_string()
}

/// HMAC-SHA256 of the time, a dot and the body, in hexadecimal digits.
fn sign(secret: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_is_what_is_signed() {
        let body =
            r#"{"event":"message.received","message_id":"m_123","text":"Hi there!","sender":"+15555550123"}"#;
        let expected = "a031050aeb41a7ef072aefefdece109e8ca7db26d85348b8b64a911dac4e2987";
        assert_eq!(sign("whsec_example_secret", 1_700_000_000, body), expected);
    }

    #[test]
    fn a_target_is_plain_http_with_a_port() {
        let target = Target::parse("http://127.0.0.1:9/webhooks/t").unwrap();
        assert_eq!((target.authority.as_str(), target.path.as_str()), ("127.0.0.1:9", "/webhooks/t"));
        for url in ["https://a:1/", "http://a/", "http://:1/", "http://a:x/", "http://a:1/b c", "a:1", ""] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn every_fault_that_is_listed_changes_something() {
        for (name, _) in DELIVERY_FAULTS {
            let (mut events, mut manner) = (EventFaults::NONE, Manner::default());
            switch_on(name, &mut events, &mut manner).unwrap();
            assert!(events != EventFaults::NONE || manner != Manner::default(), "{name}");
        }
        let error = switch_on("nothing", &mut EventFaults::NONE.clone(), &mut Manner::default());
        assert!(error.unwrap_err().contains("wrong-clock"));
    }
}
