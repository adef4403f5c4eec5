//! What requests are spent on, seen from the network: classes of work, and reads of single chats.

use std::collections::BTreeMap;

use blooio_exporter::simulator::{Setup, World};
use percent_encoding::percent_decode_str;

use super::case::Kind;
use super::oracle::Terms;

/// What a request is for, as far as the request itself tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// The top of the list of chats.
    Top,
    /// A deeper page of it.
    Deep,
    /// The list of lines.
    Lines,
    /// The organisation's own webhooks.
    Webhooks,
    /// The device of the line with this number.
    Probe(String),
    /// Messages of a chat.
    Messages,
    Message,
    Chat,
}

impl Work {
    /// What the request is for.
    pub(super) fn of(target: &str, world: &World) -> Work {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["chats"] => match parameter(query, "offset") {
                None | Some(0) => Work::Top,
                Some(_) => Work::Deep,
            },
            ["me", "numbers"] => Work::Lines,
            ["webhooks"] => Work::Webhooks,
            ["chats", id, "background"] => {
                let id = percent_decode_str(id).decode_utf8_lossy();
                Work::Probe(world.line_of_chat(&id).unwrap_or_default())
            }
            ["chats", _, "messages"] => Work::Messages,
            ["chats", _, "messages", _] => Work::Message,
            _ => Work::Chat,
        }
    }

    /// The label under which the collector counts such requests.
    pub(super) fn endpoint(&self) -> &'static str {
        match self {
            Work::Top | Work::Deep => "list_chats",
            Work::Lines => "list_numbers",
            Work::Webhooks => "list_webhooks",
            Work::Probe(_) => "get_background",
            Work::Messages => "list_messages",
            Work::Message => "get_message",
            Work::Chat => "get_chat",
        }
    }
}

fn parameter(query: &str, name: &str) -> Option<i64> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok())
}

/// I13: under any load, each class of work with something due gets a request in time.
pub(super) struct Workload {
    /// The longest time between two requests of a class, where the life promises one, ms.
    promised: BTreeMap<&'static str, i64>,
    newest: BTreeMap<Work, i64>,
}

/// Requests of the budget within which a class with due work is served.
const SERVED_WITHIN: f64 = 120.0;
/// How often the organisation's own webhooks are listed.
const WEBHOOKS: std::time::Duration = std::time::Duration::from_secs(300);

impl Workload {
    /// Nothing was asked yet.
    pub(super) fn new(terms: &Terms, world: &World, now: i64) -> Workload {
        let mut promised = BTreeMap::new();
        let probes = world.lines().into_iter().map(Work::Probe);
        let classes = [Work::Top, Work::Deep, Work::Lines, Work::Messages].into_iter().chain(probes);
        let newest = classes.map(|work| (work, now)).collect();
        if terms.kind == Kind::Overloaded {
            let options = &terms.options;
            let wait = (SERVED_WITHIN / options.budget * 1000.0) as i64;
            let every = |period: std::time::Duration| period.as_millis() as i64 + wait;
            promised.insert("top", every(options.interval));
            promised.insert("lines", every(options.probe_interval));
            promised.insert("probe", every(options.probe_interval));
            promised.insert("webhooks", every(WEBHOOKS));
            promised.insert("messages", wait);
            promised.insert("deep", every(options.full_interval * 2));
        }
        Workload { promised, newest }
    }

    /// Notes a request, and says which class waited too long for one. Once it is `quiet`, no message need be due.
    pub(super) fn note(&mut self, work: Work, now: i64, quiet: bool) -> Option<String> {
        if self.promised.is_empty() {
            return None;
        }
        let class = |work: &Work| match work {
            Work::Top => "top",
            Work::Lines => "lines",
            Work::Webhooks => "webhooks",
            Work::Probe(_) => "probe",
            Work::Messages if !quiet => "messages",
            Work::Deep => "deep",
            _ => "other",
        };
        self.newest.insert(work, now);
        let waited = self.newest.iter().find_map(|(work, at)| {
            let most = self.promised.get(class(work))?;
            (now - at > *most).then(|| (work.clone(), now - at))
        });
        let (work, since) = waited?;
        self.newest.insert(work.clone(), now);
        Some(format!("{work:?} had no request for {since} ms"))
    }
}

/// The chat whose list of messages a request asks for.
pub(super) fn chat_read_by(target: &str) -> Option<String> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let id = path.strip_prefix("/chats/")?.strip_suffix("/messages")?;
    Some(percent_decode_str(id).decode_utf8_lossy().into_owned())
}

/// I8: what one read of a chat may cost.
pub(super) struct Reads {
    page: usize,
    /// How many times more requests than full pages a list may need that repeats rows and cuts pages short.
    waste: usize,
    running: BTreeMap<String, Run>,
}

struct Run {
    /// Where it started.
    began: i64,
    since: i64,
    offset: i64,
    rows: usize,
    requests: usize,
    at: i64,
}

/// A read that pauses for longer than this, ms, is over: what follows is another one.
const PAUSE: i64 = 3_000;

impl Reads {
    /// No read is under way.
    pub(super) fn new(setup: &Setup) -> Reads {
        let knobs = &setup.knobs;
        let untidy = knobs.short_pages > 0.0 || knobs.duplicate_rows > 0.0 || knobs.unstable_ties;
        let waste = if untidy || knobs.replica_lag_ms > 0 { 8 } else { 3 };
        Reads { page: setup.page_cap.clamp(1, 200), waste, running: BTreeMap::new() }
    }

    /// Notes an answered request, and says when a read takes more of them than its rows can explain. A read goes
    /// forward; where it starts over, another one begins.
    pub(super) fn note(&mut self, target: &str, status: u16, world: &World) -> Option<String> {
        let (path, query) = target.split_once('?')?;
        let chat = chat_read_by(target)?;
        if status != 200 {
            return None;
        }
        let (since, offset) =
            (parameter(query, "since").unwrap_or(0), parameter(query, "offset").unwrap_or(0));
        let goes_on = self.running.get(path).is_some_and(|run| {
            let forward = since > run.since || since == run.since && offset > run.offset;
            // What came meanwhile may be read by itself, where events announce it.
            let grew = world.messages_after(&chat, run.began) > run.rows;
            forward && !grew && world.now_ms() - run.at < PAUSE
        });
        if !goes_on {
            let rows = world.messages_after(&chat, since);
            let run = Run { began: since, since, offset, rows, requests: 0, at: 0 };
            self.running.insert(path.to_owned(), run);
        }
        let run = self.running.get_mut(path)?;
        (run.since, run.offset, run.requests) = (since, offset, run.requests + 1);
        run.at = world.now_ms();
        let most = 8 + self.waste * run.rows.div_ceil(self.page);
        (run.requests > most).then(|| {
            let (requests, rows) = (std::mem::take(&mut run.requests), run.rows);
            format!("a read of {rows} rows took {requests} requests")
        })
    }
}
