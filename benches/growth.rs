//! What one request costs the collector, by the size of what it holds: nothing between two requests may grow with it.
//!
//! ```text
//! cargo bench --bench growth
//! ```
//!
//! Every size runs in a process of its own, so that memory is that of one ledger. Times are CPU time, which other
//! processes do not disturb as much. A hold is what happens between two requests: the 99.9th percentile, and the longest
//! with what was asked for.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark fails by panicking, and says what it found"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use blooio_exporter::api::{Attempt, ChatId, MessageRef, PAGE_LIMIT, Request, Rows, decode};
use blooio_exporter::collect::engine::{Now, Timing};
use blooio_exporter::collect::{Engine, IdHasher, Options};
use blooio_exporter::domain::{
    Chat, ChatKey, ChatKind, Conversation, Delta, Direction, Held, Ledger, LineId, Listing, MessageId, Open,
    Progress, Restored, Told, Tracked,
};
use blooio_exporter::metrics::exposition::About;
use blooio_exporter::metrics::process::Usage;
use blooio_exporter::metrics::{MetricsPage, Registry, Slot, Syntax};
use blooio_exporter::store::State;
use blooio_exporter::store::Store;
use blooio_exporter::store::sqlite::StateFile;
use rustix::time::{ClockId, clock_gettime};

const NOW: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const KEY: [u8; 32] = [1; 32];
/// Chats whose messages are new: one page of the list.
const BUSY: usize = 200;
/// Of them, so many get a message between two sweeps.
const CHANGED: usize = 30;
/// Requests that are measured.
const ROUNDS: usize = 20_000;
/// Set for the process that measures one size.
const SIZE: &str = "BLOOIO_GROWTH_SIZE";

/// What a ledger holds.
#[derive(Clone, Copy)]
struct Size {
    chats: usize,
    tracked: usize,
    open: usize,
    recent: usize,
    conversations: usize,
}

/// The sizes of the table, then one each for the bytes of a chat, of an ended and an open message, and of a conversation.
const SIZES: [(&str, Size); 9] = [
    ("1k chats, 1k tracked, 100 open", size(1_000, 1_000, 100, 100)),
    ("100k, 100k, 30k", size(100_000, 100_000, 30_000, 10_000)),
    ("1M, 1k, 100", size(1_000_000, 1_000, 100, 100)),
    ("1k, 1M, 300k", size(1_000, 1_000_000, 300_000, 42_000)),
    ("1M, 1M, 300k", size(1_000_000, 1_000_000, 300_000, 42_000)),
    ("bytes of a chat", size(1_000_000, 0, 0, 0)),
    ("bytes of an ended message", Size { conversations: 0, ..size(1_000, 1_000_000, 0, 0) }),
    ("bytes of an open message", Size { conversations: 0, ..size(1_000, 300_000, 300_000, 0) }),
    ("bytes of a conversation", Size { conversations: 1_000_000, ..size(0, 0, 0, 0) }),
];

/// Every chat with messages has a conversation.
const fn size(chats: usize, tracked: usize, open: usize, recent: usize) -> Size {
    let conversations = if tracked < chats { tracked } else { chats };
    Size { chats, tracked, open, recent, conversations }
}

fn main() {
    if let Some(at) = std::env::var(SIZE).ok().and_then(|at| at.parse::<usize>().ok()) {
        let (name, size) = SIZES[at];
        return if name.starts_with("bytes") { bytes(name, size) } else { growth(name, size) };
    }
    for at in 0..SIZES.len() {
        let status = Command::new(std::env::current_exe().unwrap()).env(SIZE, at.to_string()).status();
        assert!(status.unwrap().success());
    }
}

fn figure(what: &str, measured: &str, target: &str) {
    println!("{what:<58} {measured:>26}   (target: {target})");
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn options() -> Options {
    Options {
        interval: Duration::from_secs(30),
        full_interval: Duration::from_secs(600),
        window: Duration::from_secs(3_600),
        lookback: Duration::from_secs(600),
        retention: Duration::from_secs(7 * 86_400),
        audit_interval: Duration::from_secs(86_400),
        horizon: Duration::from_secs(72 * 3_600),
        conversation_turn: Duration::from_secs(60),
        probe_interval: Duration::from_secs(300),
        probe_chats: Vec::new(),
        budget: 2.0,
    }
}

/// An account as a function of numbers: chat `n` has the id `+1n`, and message `n` is in chat `n % chats`.
struct Account {
    size: Size,
    hasher: IdHasher,
    /// Messages that each busy chat got since.
    fresh: Vec<(u32, i64)>,
}

impl Account {
    fn new(size: Size) -> Account {
        Account { size, hasher: IdHasher::new(&KEY, "default"), fresh: vec![(0, 0); BUSY.min(size.chats)] }
    }

    fn key(&self, chat: usize) -> ChatKey {
        self.hasher.chat(&ChatId::parse(&format!("+1{chat:010}")).unwrap())
    }

    /// Messages in a chat, and the time of the newest.
    fn newest(&self, chat: usize) -> (u32, i64) {
        match self.fresh.get(chat) {
            Some((count, at)) if *count > 0 => (*count, *at),
            // Spread over twenty days, so that two in five may still hold countable messages.
            _ => (0, NOW - DAY / 24 - (chat as i64 * 20 * DAY / self.size.chats as i64)),
        }
    }

    fn sent_at(&self, message: usize) -> i64 {
        let spread = |from: i64, over: i64, of: usize| NOW - from - message as i64 * over / of.max(1) as i64;
        match message {
            n if n < self.size.recent => spread(0, HOUR - MINUTE, self.size.recent),
            n if n < self.size.open => spread(HOUR, 70 * HOUR, self.size.open),
            _ => spread(HOUR, 7 * DAY, self.size.tracked),
        }
    }

    fn id(&self, message: usize) -> MessageId {
        self.hasher.message(Direction::Outbound, &MessageRef::parse(&format!("m{message}")).unwrap())
    }

    fn restored(&self) -> Restored {
        let Size { chats, tracked, open, .. } = self.size;
        let listed = |chat: usize| {
            let (count, at) = self.newest(chat);
            let (messages, inbound, outbound) = (Some(count), Some(count), Some(0));
            Listing { last_at: Some(at), last_id: None, messages, inbound, outbound, times: None }
        };
        let chat = |n: usize| {
            let chat = Chat::new(ChatKind::Phone, listed(n), NOW - 8 * DAY);
            let explained = Some(0);
            (
                self.key(n),
                Chat {
                    audited_at: Some(NOW - n as i64 * DAY / chats as i64),
                    explained,
                    line: Some(LineId(1)),
                    ..chat
                },
            )
        };
        // Outbound: `sent` by SMS when open, else delivered.
        let message = |n: usize| {
            let (status, protocol, flags) = if n < open { (2, 1, 1 + 8 + 16) } else { (3, 0, 1 + 4 + 8) };
            let packed = 1 << 24 | status << 16 | protocol << 8 | flags;
            let tracked = Tracked::unpack(self.sent_at(n), packed).unwrap();
            let open = (n < open).then(|| Open::new(self.key(n % chats)));
            (self.id(n), tracked, open)
        };
        let conversation = |n: usize| {
            let at = NOW - HOUR - n as i64 * 6 * DAY / self.size.conversations as i64;
            let conversation = Conversation {
                newest: at,
                streak: 1,
                ours_at: at,
                line: LineId(1),
                ..Conversation::default()
            };
            (self.key(n), Some(conversation))
        };
        Restored {
            progress: Progress {
                baseline: NOW - 30 * DAY,
                floor: NOW - 8 * DAY,
                listed_at: NOW,
                watermark: NOW,
                last_success: NOW,
                history: 72 * HOUR,
                shown_at: NOW,
            },
            lines: vec![(LineId(1), String::from("+13105550101"))],
            chats: (0..chats).map(chat).collect(),
            messages: (0..tracked).map(message).collect(),
            told: Told {
                conversations: (0..self.size.conversations).map(conversation).collect(),
                ..Told::default()
            },
            ..Restored::default()
        }
    }

    fn answer(&self, request: &Request) -> Rows {
        let rows = |name: &str, rows: Vec<String>, total: usize| {
            format!(r#"{{"{name}":[{}],"pagination":{{"total":{total}}}}}"#, rows.join(",")).into_bytes()
        };
        match request {
            Request::ListChats { offset, limit } => {
                let from = (*offset as usize).min(self.size.chats);
                let mut chats: Vec<usize> = (from..(from + *limit as usize).min(self.size.chats)).collect();
                chats.sort_by_key(|chat| -self.newest(*chat).1);
                let shown = chats.iter().map(|chat| self.chat_row(*chat)).collect();
                Rows::Chats(decode::chats(&rows("chats", shown, self.size.chats)).unwrap())
            }
            Request::ListMessages { chat, since, until, .. } => {
                let mut shown = self.messages(chat, *since, until.unwrap_or(i64::MAX));
                let total = shown.len();
                shown.truncate(PAGE_LIMIT as usize);
                Rows::Messages(decode::messages(&rows("messages", shown, total)).unwrap())
            }
            Request::GetMessage { message, .. } => {
                let n = message.expose()[1..].parse().unwrap();
                Rows::Messages(decode::one_message(self.message_row(n).as_bytes()).unwrap())
            }
            Request::ListNumbers => {
                Rows::Numbers(decode::numbers(br#"{"numbers":[{"phone_number":"+13105550101"}]}"#).unwrap())
            }
            Request::ListWebhooks => Rows::Webhooks(decode::webhooks(br#"{"webhooks":[]}"#).unwrap()),
            Request::GetChat { .. } | Request::GetBackground { .. } => Rows::Background,
        }
    }

    fn chat_row(&self, chat: usize) -> String {
        let (count, at) = self.newest(chat);
        format!(
            r#"{{"id":"+1{chat:010}","type":"phone","message_count":{count},"inbound_count":{count},"outbound_count":0,"last_message_time":{at}}}"#
        )
    }

    fn message_row(&self, n: usize) -> String {
        let at = self.sent_at(n);
        format!(
            r#"{{"message_id":"m{n}","direction":"outbound","internal_id":"+13105550101","time_sent":{at},"status":"sent","protocol":"sms"}}"#
        )
    }

    /// The open messages of the chat in this range, and its newest one.
    fn messages(&self, chat: &ChatId, since: i64, until: i64) -> Vec<String> {
        let chat: usize = chat.expose()[2..].parse().unwrap();
        let within = |at: i64| at > since && at < until;
        let open = (chat..self.size.open).step_by(self.size.chats);
        let mut open: Vec<usize> = open.filter(|n| within(self.sent_at(*n))).collect();
        open.sort_by_key(|n| self.sent_at(*n));
        let mut rows: Vec<String> = open.into_iter().map(|n| self.message_row(n)).collect();
        let (count, at) = self.newest(chat);
        if count > 0 && within(at) {
            rows.push(format!(
                r#"{{"message_id":"n{chat}-{count}","direction":"inbound","internal_id":"+13105550101","time_sent":{at},"protocol":"imessage"}}"#
            ));
        }
        rows
    }

    /// Some busy chats get a message.
    fn change(&mut self, round: usize, now: i64) {
        let busy = self.fresh.len();
        for n in 0..CHANGED.min(busy) {
            let (count, at) = &mut self.fresh[(round * CHANGED + n) % busy];
            (*count, *at) = (*count + 1, now - n as i64);
        }
    }
}

/// What one request took, before and after it.
struct Step {
    asked: Duration,
    answered: Duration,
    what: &'static str,
}

impl Step {
    fn longest(&self) -> Duration {
        self.asked.max(self.answered)
    }
}

/// The engine and its account, driven by hand.
struct Driver {
    account: Account,
    engine: Engine,
    mono: Duration,
    sweeps: usize,
}

impl Driver {
    fn new(account: Account, restored: Restored) -> Driver {
        let ledger = Ledger::new(options().policy(), restored);
        let engine = Engine::new("default", options(), account.hasher.clone(), ledger, 0);
        Driver { account, engine, mono: Duration::ZERO, sweeps: 0 }
    }

    fn now(&self) -> Now {
        Now { mono: self.mono, host: NOW + self.mono.as_millis() as i64 }
    }

    /// One request and what follows from it: how long the two took, and what was asked for.
    fn step(&mut self) -> Step {
        self.mono += Duration::from_millis(500);
        let now = self.now();
        let began = cpu();
        let next = self.engine.next(now);
        let asked = cpu() - began;
        let Some((ticket, request)) = next else {
            return Step { asked, answered: Duration::ZERO, what: "nothing" };
        };
        let what = request.endpoint().as_str();
        if matches!(request, Request::ListChats { offset: 0, .. }) {
            self.sweeps += 1;
            self.account.change(self.sweeps, now.host);
        }
        let sent = tokio::time::Instant::now();
        let result = Ok(self.account.answer(&request));
        let answer = Attempt { result, date: None, sent, received: sent, host: now.host, key_changed: false };
        let began = cpu();
        self.engine.absorb(ticket, answer, Timing { sent: self.mono, received: self.mono }, now);
        if let Some(commit) = self.engine.take_commit(now) {
            self.engine.committed(commit, Ok(0), 0.0, now);
        }
        drop(self.engine.take_view(now));
        self.engine.take_notes();
        Step { asked, answered: cpu() - began, what }
    }

    /// Until the first full listing is over, which shows the ids of all chats.
    fn list_everything(&mut self) {
        let pages = self.account.size.chats / 190 + 100;
        for _ in 0..2 * pages {
            self.step();
        }
    }
}

fn growth(name: &str, size: Size) {
    println!("{name}:");
    restart(size);
    let account = Account::new(size);
    let restored = account.restored();
    let mut driver = Driver::new(account, restored);
    driver.list_everything();
    let mut steps: Vec<Step> = (0..ROUNDS).map(|_| driver.step()).collect();
    let total: Duration = steps.iter().map(|step| step.asked + step.answered).sum();
    let each = total.as_secs_f64() * 1e3 / ROUNDS as f64;
    figure("  all work per request and commit", &format!("{each:.4} ms"), "0.1 ms");
    steps.sort_by_key(Step::longest);
    let (rare, longest) = (&steps[ROUNDS * 999 / 1_000], &steps[ROUNDS - 1]);
    let measured = format!("{:.2?}, {:.2?} ({})", rare.longest(), longest.longest(), longest.what);
    figure("  longest hold", &measured, "2 ms");
}

/// From the state file to the first page.
fn restart(size: Size) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = StateFile::open(&path, KEY).unwrap();
    let mut account = state.account("default", NOW, None).unwrap();
    let restored = Account::new(size).restored();
    let held = |(id, tracked, open): (MessageId, Tracked, Option<Open>)| -> (MessageId, Option<Held>) {
        (id, Some((tracked, open)))
    };
    let delta = Delta {
        progress: restored.progress,
        lines: restored.lines,
        chats: restored.chats.into_iter().map(|(key, chat)| (key, Some(chat))).collect(),
        messages: restored.messages.into_iter().map(held).collect(),
        ..Delta::default()
    };
    account.store.commit(&delta).unwrap();
    let bytes = account.store.size();
    drop((account, state, delta));
    let began = Instant::now();
    let state = StateFile::open(&path, KEY).unwrap();
    let account = state.account("default", NOW, None).unwrap();
    let ledger = Ledger::new(options().policy(), account.restored);
    let mut engine = Engine::new("default", options(), IdHasher::new(&KEY, "default"), ledger, 0);
    let (registry, slot) = (Registry::default(), Slot::default());
    registry.change(|display| display.slots = vec![slot.clone()]);
    slot.publish(engine.take_view(Now { mono: Duration::ZERO, host: NOW }).unwrap());
    let page = MetricsPage::new(registry, About { version: "", revision: "", rustc: "" });
    page.encode(Syntax::Text, NOW, None).unwrap();
    figure(
        "  start until the first page",
        &format!("{:.0?}", began.elapsed()),
        "as short as the state is small",
    );
    let rows = size.chats + size.tracked;
    let each = bytes as f64 / rows as f64;
    figure("  state file", &format!("{bytes} bytes, {each:.0} per row"), "none");
}

fn bytes(name: &str, size: Size) {
    let resident = || Usage::now().resident_bytes.unwrap();
    let account = Account::new(size);
    let before = resident();
    let mut driver = Driver::new(account, Account::new(size).restored());
    driver.list_everything();
    let counted =
        [size.tracked, size.chats, size.conversations].into_iter().find(|count| *count > 0).unwrap();
    // What was held only while it was restored is given back, or used again.
    let each = (resident() - before) / counted as f64;
    let target = match (size.open, size.tracked) {
        _ if size.chats == 0 => "none",
        (0, 0) => "130",
        (0, _) => "none",
        _ => "120",
    };
    figure(name, &format!("{each:.0} bytes"), target);
}
