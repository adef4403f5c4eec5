//! A small API on a real socket that does exactly what a test scripts: no randomness, no world behind it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;

/// The account's first line.
pub(super) const LINE: &str = "+13105550101";

/// Unix milliseconds of this machine.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// One message. Fields that a test bends are JSON text.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) inbound: bool,
    pub(super) line: String,
    pub(super) sent_at: i64,
    pub(super) delivered_at: Option<i64>,
    pub(super) status: &'static str,
    /// JSON text of `error`.
    pub(super) error: String,
    /// Further fields of the row as JSON text, with a leading comma.
    pub(super) more: String,
    /// Whether lists and single requests show it.
    pub(super) visible: bool,
}

impl Message {
    fn row(&self) -> String {
        let direction = if self.inbound { "inbound" } else { "outbound" };
        let delivered = self.delivered_at.map_or("null".to_owned(), |at| at.to_string());
        format!(
            r#"{{"message_id":"{}","direction":"{direction}","internal_id":{},"text":"hello","attachments":[],
            "time_sent":{},"time_delivered":{delivered},"status":"{}","protocol":"imessage","error":{}{}}}"#,
            self.id, self.line, self.sent_at, self.status, self.error, self.more
        )
    }
}

/// One chat with its messages in the order of their arrival.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) id: String,
    pub(super) listed: bool,
    pub(super) messages: Vec<Message>,
}

impl Chat {
    fn last_at(&self) -> i64 {
        self.visible().map(|message| message.sent_at).max().unwrap_or(0)
    }

    fn visible(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| message.visible)
    }
}

/// What the server holds, and how it misleads. Tests change it while it serves.
pub(super) struct State {
    pub(super) chats: Vec<Chat>,
    /// Milliseconds by which `Date` is ahead.
    pub(super) date_ahead: i64,
    /// Status of `/chats`, if it fails.
    pub(super) list_status: Option<u16>,
    /// Seconds of the `Retry-After` of `/chats` while it fails.
    pub(super) list_pause: Option<u32>,
    /// Status of `/chats` for offsets from `deep_from` on, if deeper pages fail.
    pub(super) deep_status: Option<u16>,
    /// The lowest offset that counts as deep.
    pub(super) deep_from: i64,
    /// Status of everything below a chat of this id prefix, if it fails; an empty prefix is every chat.
    pub(super) below: Option<(String, u16)>,
    /// Largest `limit` that is not answered with 400.
    pub(super) limit: i64,
    /// What is added to `pagination.total`, request by request.
    pub(super) total: fn(u64, i64) -> i64,
    /// Rows of the chat list as they are shown.
    pub(super) chat_row: fn(&Chat) -> String,
    /// Whether lists of messages are sorted by arrival instead of by time.
    pub(super) by_arrival: bool,
    /// Whether the list of chats is shown as empty.
    pub(super) empty: bool,
    /// Chats that the list leaves out although requests for them are answered.
    pub(super) left_out: fn(&Chat) -> bool,
    /// Whether answers have a `Date`.
    pub(super) dated: bool,
    /// Whether connections are closed in place of an answer.
    pub(super) resets: bool,
    /// Messages are shown as they were then, by time sent, while the list of chats goes on.
    pub(super) frozen: Option<i64>,
    /// Times sent from this one on, in milliseconds, are shown in seconds.
    pub(super) seconds_from: Option<i64>,
    /// Status of probes, lines and webhooks, and the seconds of their `Retry-After`.
    pub(super) aside: Option<(u16, u32)>,
    /// Requests with this in their target are answered after a while.
    pub(super) delay: Option<(&'static str, Duration)>,
    /// All requests, in the order in which they were answered.
    pub(super) log: Vec<Asked>,
}

/// A request that was answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) status: u16,
}

impl Asked {
    /// The offset, where it asked for a page of the list of chats.
    pub(super) fn list_offset(&self) -> Option<i64> {
        let query = self.target.strip_prefix("/chats?")?;
        Ask { parts: Vec::new(), query: query.to_owned() }.number("offset")
    }
}

/// A row of the chat list as the API documents it.
pub(super) fn plain_row(chat: &Chat) -> String {
    row_with(chat, "id", &last_message(chat))
}

/// The row with its id under another key, and with this `last_message`.
pub(super) fn row_with(chat: &Chat, id_key: &str, last_message: &str) -> String {
    let count = chat.visible().count();
    let inbound = chat.visible().filter(|message| message.inbound).count();
    format!(
        r#"{{"{id_key}":{},"type":"phone","contact":null,"message_count":{count},"inbound_count":{inbound},
        "outbound_count":{},"last_message_time":{}{last_message}}}"#,
        serde_json::to_string(&chat.id).unwrap(),
        count - inbound,
        chat.last_at()
    )
}

fn last_message(chat: &Chat) -> String {
    let last = chat.visible().max_by_key(|message| message.sent_at);
    last.map_or(String::new(), |message| format!(r#","last_message":{{"message_id":"{}"}}"#, message.id))
}

/// The server. It serves until the test process ends.
pub(super) struct Api {
    pub(super) address: SocketAddr,
    state: Mutex<State>,
    answers: AtomicU64,
    messages: AtomicU64,
}

/// A request below the base URL.
struct Ask {
    parts: Vec<String>,
    query: String,
}

impl Ask {
    fn number(&self, name: &str) -> Option<i64> {
        let value = self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok())
    }
}

impl Api {
    /// A server with so many chats, each with one old delivered message.
    pub(super) fn start(chats: usize) -> Arc<Api> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = Arc::new(Api {
            address: listener.local_addr().unwrap(),
            state: Mutex::new(State {
                chats: Vec::new(),
                date_ahead: 0,
                list_status: None,
                list_pause: None,
                deep_status: None,
                deep_from: 1,
                below: None,
                limit: 200,
                total: |_, total| total,
                chat_row: plain_row,
                by_arrival: false,
                empty: false,
                left_out: |_| false,
                dated: true,
                resets: false,
                frozen: None,
                seconds_from: None,
                aside: None,
                delay: None,
                log: Vec::new(),
            }),
            answers: AtomicU64::new(0),
            messages: AtomicU64::new(0),
        });
        for n in 0..chats {
            let chat = api.add_chat(&format!("+1415555{n:04}"));
            let old = now() - 3_600_000 - n as i64;
            api.push(chat, |message| (message.sent_at, message.delivered_at) = (old, Some(old)));
        }
        let served = Arc::clone(&api);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let api = Arc::clone(&served);
                std::thread::spawn(move || while api.serve(&stream).is_some() {});
            }
        });
        api
    }

    /// Changes or reads what the server holds.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap())
    }

    /// Adds a chat without messages; gives its place.
    pub(super) fn add_chat(&self, id: &str) -> usize {
        self.with(|state| {
            state.chats.push(Chat { id: id.to_owned(), listed: true, messages: Vec::new() });
            state.chats.len() - 1
        })
    }

    /// Adds a delivered outbound message of this moment, bent by the test; gives its place in the chat.
    pub(super) fn push(&self, chat: usize, bend: impl FnOnce(&mut Message)) -> usize {
        let n = self.messages.fetch_add(1, Ordering::Relaxed);
        let mut message = Message {
            id: format!("msg_{n:08}"),
            inbound: false,
            line: format!("\"{LINE}\""),
            sent_at: now(),
            delivered_at: Some(now()),
            status: "delivered",
            error: "null".into(),
            more: String::new(),
            visible: true,
        };
        bend(&mut message);
        self.with(|state| {
            state.chats[chat].messages.push(message);
            state.chats[chat].messages.len() - 1
        })
    }

    /// Adds a message that waits for its receipt.
    pub(super) fn push_open(&self, chat: usize) -> usize {
        self.push(chat, |message| (message.status, message.delivered_at) = ("sent", None))
    }

    /// Marks the message as delivered, as a receipt does.
    pub(super) fn deliver(&self, chat: usize, message: usize) {
        self.with(|state| {
            let message = &mut state.chats[chat].messages[message];
            (message.status, message.delivered_at) = ("delivered", Some(now()));
        });
    }

    /// How many requests had this in their target.
    pub(super) fn asked(&self, part: &str) -> usize {
        self.with(|state| state.log.iter().filter(|asked| asked.target.contains(part)).count())
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> usize {
        self.with(|state| state.log.len())
    }

    /// The requests after the first so many.
    pub(super) fn log_from(&self, place: usize) -> Vec<Asked> {
        self.with(|state| state.log[place..].to_vec())
    }

    /// How many pages of the list below the first one were asked for after so many requests.
    pub(super) fn deep_pages_from(&self, place: usize) -> usize {
        let is_deep = |asked: &&Asked| asked.list_offset().is_some_and(|offset| offset > 0);
        self.with(|state| state.log[place..].iter().filter(is_deep).count())
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let target = head.split(' ').nth(1)?;
        let (status, body) = self.answer(target);
        let (ahead, dated, resets) = self.with(|state| (state.date_ahead, state.dated, state.resets));
        let pause = self.with(|state| state.pause(target));
        if resets {
            return None;
        }
        let date = UNIX_EPOCH + Duration::from_millis((now() + ahead).max(0) as u64);
        let date = format!("Date: {}\r\n", httpdate::fmt_http_date(date));
        let date = if dated { date } else { String::new() };
        let length = body.len();
        let pause = pause.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
        let answer =
            format!("HTTP/1.1 {status} Status\r\n{date}{pause}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).ok()
    }

    fn answer(&self, target: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let parts = path.split('/').skip(1).map(decode).collect();
        let ask = Ask { parts, query: query.to_owned() };
        let count = self.answers.fetch_add(1, Ordering::Relaxed);
        let delay = self.with(|state| state.delay.filter(|(part, _)| target.contains(part)));
        std::thread::sleep(delay.map_or(Duration::ZERO, |(_, delay)| delay));
        self.with(|state| {
            let aside = state.aside.filter(|_| is_aside(target));
            let (status, body) = aside.map_or_else(|| state.answer(&ask, count), |(status, _)| error(status));
            state.log.push(Asked { target: target.to_owned(), status });
            (status, body)
        })
    }
}

/// Whether a target is none of those that messages are found with.
fn is_aside(target: &str) -> bool {
    target.ends_with("/background") || target.starts_with("/me/") || target.starts_with("/webhooks")
}

fn error(status: u16) -> (u16, String) {
    (status, format!(r#"{{"error":"ApiError","message":"scripted","status":{status}}}"#))
}

impl State {
    /// The seconds for which an answer asks to pause.
    fn pause(&self, target: &str) -> Option<u32> {
        if is_aside(target) {
            return self.aside.map(|(_, seconds)| seconds);
        }
        self.list_pause.filter(|_| target.starts_with("/chats?") && self.list_status.is_some())
    }

    fn answer(&self, ask: &Ask, count: u64) -> (u16, String) {
        let parts: Vec<&str> = ask.parts.iter().map(String::as_str).collect();
        if let ["chats", id, _rest @ ..] = parts.as_slice()
            && let Some((prefix, status)) = &self.below
            && id.starts_with(prefix)
        {
            return error(*status);
        }
        match parts.as_slice() {
            ["chats"] => self.list_chats(ask, count),
            ["me", "numbers"] => (
                200,
                format!(r#"{{"numbers":[{{"phone_number":"{LINE}","is_active":true,"last_active":null}}]}}"#),
            ),
            ["chats", id, rest @ ..] => match self.chats.iter().find(|chat| chat.id == **id && chat.listed) {
                Some(chat) => self.below_chat(chat, rest, ask, count),
                None => error(404),
            },
            _ => error(404),
        }
    }

    fn below_chat(&self, chat: &Chat, rest: &[&str], ask: &Ask, count: u64) -> (u16, String) {
        match rest {
            [] => (200, plain_row(chat)),
            ["messages"] => self.list_messages(chat, ask, count),
            ["messages", id] => match chat.visible().find(|message| message.id == **id) {
                Some(message) => (200, message.row()),
                None => error(404),
            },
            ["background"] => (200, r#"{"has_background":false}"#.to_owned()),
            _ => error(404),
        }
    }

    fn list_chats(&self, ask: &Ask, count: u64) -> (u16, String) {
        let offset = ask.number("offset").unwrap_or(0);
        let failing = self.list_status.or(self.deep_status.filter(|_| offset >= self.deep_from));
        if let Some(status) = failing {
            return error(status);
        }
        let mut listed: Vec<&Chat> = self.chats.iter().filter(|chat| chat.listed && !self.empty).collect();
        listed.retain(|chat| chat.visible().next().is_some() && !(self.left_out)(chat));
        listed.sort_by_key(|chat| std::cmp::Reverse(chat.last_at()));
        let rows = listed.iter().map(|chat| (self.chat_row)(chat)).collect();
        self.page("chats", rows, ask, count)
    }

    fn list_messages(&self, chat: &Chat, ask: &Ask, count: u64) -> (u16, String) {
        let (since, until) = (ask.number("since").unwrap_or(0), ask.number("until").unwrap_or(i64::MAX));
        let until = until.min(self.frozen.unwrap_or(i64::MAX));
        let within = |message: &&Message| message.sent_at > since && message.sent_at < until;
        let mut messages: Vec<&Message> = chat.visible().filter(within).collect();
        if !self.by_arrival {
            messages.sort_by_key(|message| message.sent_at);
        }
        if !ask.query.contains("sort=asc") {
            messages.reverse();
        }
        let in_seconds = |message: &Message| self.seconds_from.is_some_and(|from| message.sent_at >= from);
        let row = |message: &Message| match in_seconds(message) {
            true => Message { sent_at: message.sent_at / 1_000, ..message.clone() }.row(),
            false => message.row(),
        };
        let rows = messages.into_iter().map(row).collect();
        self.page("messages", rows, ask, count)
    }

    fn page(&self, name: &str, rows: Vec<String>, ask: &Ask, count: u64) -> (u16, String) {
        let (limit, offset) = (ask.number("limit").unwrap_or(50), ask.number("offset").unwrap_or(0));
        if limit > self.limit {
            return error(400);
        }
        let total = (self.total)(count, rows.len() as i64).max(0);
        let page: Vec<String> = rows.into_iter().skip(offset as usize).take(limit as usize).collect();
        let pagination = format!(r#"{{"limit":{limit},"offset":{offset},"total":{total}}}"#);
        (200, format!(r#"{{"{name}":[{}],"pagination":{pagination}}}"#, page.join(",")))
    }
}
