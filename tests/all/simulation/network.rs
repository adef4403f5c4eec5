//! The network of a simulated life: carries requests to the world without sockets, and watches how the collector
//! spends them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::api::decode::BodyFault;
use blooio_exporter::api::{ConnectionFault, Fault, Reply, Transport};
use blooio_exporter::clock::Clock;
use blooio_exporter::simulator::setup::Totals;
use blooio_exporter::simulator::{Request, Wire, World};
use tokio::time::{Instant, sleep};

use super::oracle::Oracle;
use super::work::{Reads, Work, Workload, chat_read_by};

/// Longest pause that is heeded, as docs/limits.md says it.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// What the network remembers of one process.
struct Manners {
    last_sent: Option<Instant>,
    welcome_at: Option<Instant>,
    reads: Reads,
    /// Requests that were answered, and how many had been when each chat answered with a rate limit last.
    answered: u64,
    limited: HashMap<(String, bool), u64>,
    workload: Workload,
}

/// A transport into a world.
#[derive(Clone)]
pub(crate) struct Network {
    world: Arc<Mutex<World>>,
    oracle: Arc<Mutex<Oracle>>,
    clock: Clock,
    spacing: Duration,
    rng: Arc<Mutex<fastrand::Rng>>,
    manners: Arc<Mutex<Manners>>,
    broken_rows: f64,
    timeout: Duration,
    traced: bool,
}

impl Network {
    /// The network of one process: no pause asked of an earlier one applies to it. `clock` is the world's, and the client waits for an
    /// answer until `timeout`.
    pub(crate) fn new(
        world: &Arc<Mutex<World>>,
        oracle: &Arc<Mutex<Oracle>>,
        clock: Clock,
        rng: &Arc<Mutex<fastrand::Rng>>,
        timeout: Duration,
    ) -> Network {
        let terms = oracle.lock().unwrap().terms.clone();
        let (reads, workload) = {
            let world = world.lock().unwrap();
            (Reads::new(world.setup()), Workload::new(&terms, &world, clock.now()))
        };
        let manners = Manners {
            last_sent: None,
            welcome_at: None,
            answered: 0,
            limited: HashMap::new(),
            reads,
            workload,
        };
        Network {
            world: Arc::clone(world),
            oracle: Arc::clone(oracle),
            clock,
            spacing: Duration::from_secs_f64(1.0 / terms.options.budget),
            rng: Arc::clone(rng),
            manners: Arc::new(Mutex::new(manners)),
            broken_rows: 0.0,
            timeout,
            traced: std::env::var_os("BLOOIO_TRACE").is_some(),
        }
    }

    /// The same, where this share of the pages of messages holds a row without an id.
    pub(crate) fn breaking(self, share: f64) -> Network {
        Network { broken_rows: share, ..self }
    }

    /// Takes the id from one row of a page of messages, now and then. The next answer has it again.
    fn break_row(&self, target: &str, body: &mut [u8]) {
        let is_list = target.contains("/messages?");
        if self.broken_rows == 0.0 || !is_list || self.oracle.lock().unwrap().quiet {
            return;
        }
        let mut rng = self.rng.lock().unwrap();
        let text = String::from_utf8_lossy(body).into_owned();
        let rows: Vec<usize> = text.match_indices("\"message_id\"").map(|(at, _)| at).collect();
        let broken =
            (rng.f64() < self.broken_rows && !rows.is_empty()).then(|| rows[rng.usize(0..rows.len())]);
        if let Some(at) = broken {
            body[at + 1..at + 11].copy_from_slice(b"another_id");
        }
        let id_at = |at: usize| text[at..].split('"').nth(3).unwrap_or_default();
        let (broken, whole): (Vec<usize>, Vec<usize>) = rows.iter().partition(|at| Some(**at) == broken);
        self.oracle.lock().unwrap().record_rows(broken.into_iter().map(id_at), whole.into_iter().map(id_at));
    }

    /// I11: evenly spaced, and none inside a pause that the client has been told of.
    fn check_manners(&self, target: &str) {
        let now = Instant::now();
        let mut breaches = Vec::new();
        let mut manners = self.manners.lock().unwrap();
        // Timers have a grain of 1 ms.
        let grain = Duration::from_millis(2);
        if let Some(last) = manners.last_sent
            && now - last + grain < self.spacing
        {
            breaches.push(("I11", format!("two requests within {:?}", now - last)));
        }
        if let Some(welcome_at) = manners.welcome_at
            && now + grain < welcome_at
        {
            breaches.push(("I11", format!("a request {:?} before the end of Retry-After", welcome_at - now)));
        }
        manners.last_sent = Some(now);
        let work = Work::of(target, &self.world.lock().unwrap());
        let quiet = self.oracle.lock().unwrap().quiet;
        if let Some(breach) = manners.workload.note(work.clone(), self.clock.now(), quiet) {
            breaches.push(("I13", breach));
        }
        drop(manners);
        let mut oracle = self.oracle.lock().unwrap();
        oracle.stats.requests += 1;
        *oracle.asked.entry(work.endpoint()).or_default() += 1;
        if work == Work::Top {
            oracle.listed_before_at = oracle.listed_at;
            oracle.listed_at = self.clock.now();
        }
        for (invariant, breach) in breaches {
            oracle.violated(invariant, breach);
        }
    }

    /// Whether a rate limit is one of the chat alone, as RELIABILITY.md says: the chat answered like this before, and other
    /// requests were answered since.
    fn limits_one(&self, target: &str, reply: &Reply) -> bool {
        let chat = target.strip_prefix("/chats/").and_then(|rest| rest.split_once("/messages"));
        // A single message and a list of them may have limits of their own.
        let chat = chat.map(|(chat, rest)| (chat.to_owned(), rest.starts_with('/')));
        let mut manners = self.manners.lock().unwrap();
        let answered = manners.answered;
        // An answer that says nothing is none.
        let is_answer = || {
            let body = serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap_or_default();
            ["chats", "messages", "message_id", "numbers", "webhooks", "id", "chat_id"]
                .iter()
                .any(|key| body.get(key).is_some())
        };
        match (chat, reply.status) {
            (Some(chat), 429) => {
                manners.limited.insert(chat, answered).is_some_and(|before| before < answered)
            }
            (chat, 200) if !manners.limited.is_empty() && is_answer() => {
                manners.answered += 1;
                if let Some(chat) = chat {
                    manners.limited.remove(&chat);
                }
                false
            }
            _ => false,
        }
    }

    fn record_pause(&self, target: &str, reply: &Reply) {
        if self.limits_one(target, reply) {
            return;
        }
        let Some(value) = &reply.retry_after else { return };
        // A probe, the lines and the webhooks pause for themselves.
        let is_aside = ["/me/", "/webhooks"].iter().any(|path| target.starts_with(path))
            || target.ends_with("/background");
        if is_aside || reply.status != 429 && !target.starts_with("/chats?") {
            return;
        }
        let seconds = match value.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let (Ok(until), Some(Ok(date))) =
                    (httpdate::parse_http_date(value), reply.date.as_deref().map(httpdate::parse_http_date))
                else {
                    return;
                };
                until.duration_since(date).unwrap_or_default()
            }
        };
        let until = |pause: Duration| self.clock.now() + pause.as_millis() as i64;
        let mut oracle = self.oracle.lock().unwrap();
        oracle.limited_until = oracle.limited_until.max(until(seconds));
        let seconds = seconds.min(LONGEST_PAUSE);
        oracle.paused_until = oracle.paused_until.max(until(seconds));
        drop(oracle);
        let mut manners = self.manners.lock().unwrap();
        manners.welcome_at = manners.welcome_at.max(Some(Instant::now() + seconds));
    }

    /// I8: a read of a chat costs as many requests as its rows fill pages, and a few more.
    fn check_read(&self, target: &str, status: u16) {
        let breach = {
            let world = self.world.lock().unwrap();
            self.manners.lock().unwrap().reads.note(target, status, &world)
        };
        if let Some(breach) = breach {
            self.oracle.lock().unwrap().violated("I8", breach);
        }
    }

    /// Remembers when each chat was read, where that decides what its rows can hide.
    fn record_read(&self, target: &str, status: u16) {
        let mut oracle = self.oracle.lock().unwrap();
        if let Some(chat) = chat_read_by(target).filter(|_| oracle.terms.may_mask && status == 200) {
            oracle.reads.entry(chat).or_default().push(self.clock.now());
        }
    }

    /// A page of the list that was cut short, with a total that agrees with it by chance, hides chats from its reader:
    /// nothing is promised of what was asked for with it.
    fn doubt_list(&self, target: &str, body: &[u8]) {
        let world = self.world.lock().unwrap();
        let is_untidy = world.setup().knobs.short_pages > 0.0 && world.setup().knobs.totals == Totals::Stale;
        if !is_untidy || !target.starts_with("/chats?") {
            return;
        }
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return };
        let Some(total) = body["pagination"]["total"].as_u64() else { return };
        let shown = body["chats"].as_array().map_or(0, Vec::len) as u64
            + body["pagination"]["offset"].as_u64().unwrap_or(0);
        if shown >= total && total < world.truth().chats().0 as u64 {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.listed_at = oracle.listed_before_at;
        }
    }
}

impl Transport for Network {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        self.check_manners(target);
        let (there, back) = {
            let mut rng = self.rng.lock().unwrap();
            (Duration::from_millis(rng.u64(2..30)), Duration::from_millis(rng.u64(2..30)))
        };
        sleep(there).await;
        let reply = {
            let mut world = self.world.lock().unwrap();
            let request = Request::get(target, &world.setup().key.clone());
            let now = self.clock.now();
            let reply = world.respond(now, &request);
            if self.traced {
                println!("{now} {target} {} {:?}{}", reply.status, reply.wire, outline(target, &reply.body));
            }
            reply
        };
        self.check_read(target, reply.status);
        self.doubt_list(target, &reply.body);
        self.record_read(target, reply.status);
        sleep(back).await;
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let mut answer = Reply {
            status: reply.status,
            date: header("date"),
            retry_after: header("retry-after"),
            body: reply.body.to_vec(),
        };
        match reply.wire {
            Wire::Normal => {}
            Wire::DelayHead(ms) | Wire::DelayBody(ms) if Duration::from_millis(ms) < self.timeout => {
                sleep(Duration::from_millis(ms)).await;
            }
            Wire::DelayHead(_) | Wire::DelayBody(_) | Wire::Hang => {
                sleep(self.timeout).await;
                return Err(Fault::Timeout);
            }
            Wire::TruncateAt(_) if answer.status == 200 => return Err(Fault::Body(BodyFault::Truncated)),
            Wire::TruncateAt(bytes) | Wire::CloseDelimitedTruncated(bytes) => answer.body.truncate(bytes),
            Wire::Reset => return Err(Fault::Connection(ConnectionFault::Closed)),
        }
        if answer.status == 200 {
            self.break_row(target, &mut answer.body);
        }
        self.record_pause(target, &answer);
        Ok(answer)
    }
}

/// The rows of a list, and its total, for a reader of a trace.
fn outline(target: &str, body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    let end = |text: &serde_json::Value| {
        let text = text.as_str().unwrap_or("none");
        text[text.len().saturating_sub(4)..].to_owned()
    };
    let rows: Vec<String> = if let Some(rows) = body["messages"].as_array() {
        rows.iter().map(|row| format!("{}@{}", end(&row["message_id"]), row["time_sent"])).collect()
    } else if let Some(rows) = body["chats"].as_array().filter(|_| target.starts_with("/chats?")) {
        let row = |row: &serde_json::Value| {
            let field = |name: &str| row[name].to_string();
            let counts = ["message_count", "last_message_time"].map(field).join(" ");
            format!("{} {} {counts}", end(&row["id"]), end(&row["last_message"]["message_id"]))
        };
        rows.iter().map(row).collect()
    } else {
        return String::new();
    };
    format!(" [{}] of {}", rows.join(", "), body["pagination"]["total"])
}
