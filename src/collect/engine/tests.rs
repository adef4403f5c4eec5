//! The engine against a small server in memory, on a clock that the tests move: what is asked for, in which order, and what
//! follows from the answers. One request is under way at a time.

mod ahead;
mod wrong_once;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::api::{Attempt, ChatId, ChatRow, Fault, MessageRef, MessageRow, NumberRow, Page, Request, Rows};
use crate::domain::{
    ChatKind, Counter, Direction, Protocol, Reason, Rejection, Restored, Status, SweepResult, Work,
};
use crate::feed::{Announced, EventKind, Hint, PrivateId};

/// The server's time when the process starts, unix ms.
const START: i64 = 1_700_000_000_000;
const LINE: &str = "+13105550101";

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn minutes(minutes: u64) -> Duration {
    s(60 * minutes)
}

fn options() -> Options {
    Options {
        interval: s(30),
        full_interval: minutes(10),
        window: minutes(60),
        lookback: minutes(1),
        retention: minutes(60 * 24),
        audit_interval: minutes(60 * 4),
        horizon: minutes(60 * 72),
        conversation_turn: Duration::ZERO,
        probe_interval: Duration::ZERO,
        probe_chats: Vec::new(),
        budget: 10.0,
    }
}

/// A message as the server holds it.
#[derive(Clone, Debug)]
struct Message {
    id: String,
    direction: Direction,
    sent_at: i64,
    status: Status,
}

/// What was asked: when, for which kind of work, and what.
#[derive(Clone, Debug)]
struct Asked {
    at: Duration,
    work: Work,
    request: Request,
}

impl Asked {
    /// The chat of which messages were asked for, and after which time.
    fn messages(&self) -> Option<(&str, i64)> {
        match &self.request {
            Request::ListMessages { chat, since, .. } => Some((chat.expose(), *since)),
            _ => None,
        }
    }

    /// The rows of the list of chats that were skipped.
    fn chats(&self) -> Option<u64> {
        match self.request {
            Request::ListChats { offset, .. } => Some(offset),
            _ => None,
        }
    }
}

/// A fault in place of an answer, with how long the server asks to wait.
type Failure = (Fault, Option<Duration>);
const BROKEN: Failure = (Fault::Status(500), None);

/// An account with its server.
struct Stage {
    engine: Engine,
    now: Duration,
    chats: BTreeMap<String, Vec<Message>>,
    /// Chats that the list lacks.
    unlisted: BTreeSet<String>,
    /// Rows of a page, at most.
    cap: usize,
    /// How long an answer takes.
    latency: Duration,
    /// The grain of `Date`, ms.
    date_grain: i64,
    /// The rows of the list have times, and counts.
    has_times: bool,
    has_counts: bool,
    /// Chats that the total of the list counts and that there are not.
    excess: u64,
    /// Rows of the list of chats whose id cannot be used.
    unusable: usize,
    /// What every row of the list, and every chat's own, is bent by.
    bend: fn(&mut ChatRow),
    /// Messages are shown as they were then.
    frozen: Option<i64>,
    /// By how much the host's clock is off, ms.
    host_off: i64,
    /// Errors have no `Date`.
    undated: bool,
    /// The store takes nothing.
    is_full: bool,
    asked: Vec<Asked>,
    notes: Vec<Note>,
}

impl Stage {
    fn new(options: Options) -> Stage {
        let ledger = Ledger::new(options.policy(), Restored::default());
        Stage {
            engine: Engine::new("a", options, hasher(), ledger, 0),
            now: Duration::ZERO,
            chats: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            cap: 200,
            latency: Duration::ZERO,
            date_grain: 1,
            has_times: true,
            has_counts: true,
            excess: 0,
            unusable: 0,
            bend: |_| {},
            frozen: None,
            host_off: 0,
            undated: false,
            is_full: false,
            asked: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn time(&self) -> i64 {
        START + millis(self.now)
    }

    fn moment(&self) -> Now {
        Now { mono: self.now, host: self.time() }
    }

    /// A message is sent now, and its id.
    fn send(&mut self, chat: &str, direction: Direction, status: Status) -> String {
        self.send_at(chat, direction, status, self.time())
    }

    fn send_at(&mut self, chat: &str, direction: Direction, status: Status, sent_at: i64) -> String {
        let of_chat = self.chats.entry(chat.to_owned()).or_default();
        let id = format!("{chat}-{}", of_chat.len());
        of_chat.push(Message { id: id.clone(), direction, sent_at, status });
        id
    }

    fn receive(&mut self, chat: &str) -> String {
        self.send(chat, Direction::Inbound, Status::Delivered)
    }

    fn set_status(&mut self, id: &str, status: Status) {
        let messages = self.chats.values_mut().flatten();
        messages.filter(|message| message.id == id).for_each(|message| message.status = status);
    }

    /// An event about the message arrives.
    fn announce(&mut self, kind: EventKind, chat: &str, id: &str) {
        let event = Announced { kind, message: PrivateId::new(id), arrived: self.time() };
        self.engine.hint(vec![Hint { chat: PrivateId::new(chat), events: vec![event] }], self.moment());
    }

    fn key(&self, chat: &str) -> ChatKey {
        hasher().chat(&ChatId::parse(chat).unwrap())
    }

    fn count(&self, counter: fn(LineId) -> Counter) -> u64 {
        let counters = self.engine.ledger().totals().counters();
        let lines = self.engine.ledger().lines().map(|(line, _)| line).chain([LineId::NONE]);
        let wanted: BTreeSet<Counter> = lines.map(counter).collect();
        counters.filter(|(counter, _)| wanted.contains(counter)).map(|(_, value)| value).sum()
    }

    fn inbound(&self) -> u64 {
        self.count(|line| Counter::Inbound { line, protocol: Protocol::Imessage })
    }

    fn health(&mut self) -> Health {
        self.engine.must_publish = true;
        self.engine.take_view(self.moment()).unwrap().health
    }

    /// Requests from `since` on.
    fn asked_since(&self, since: Duration) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |asked| asked.at >= since)
    }

    /// Runs for so long, with a server that answers everything.
    fn run(&mut self, time: Duration) {
        self.run_with(time, |_, _| None);
    }

    /// Runs for so long. Where `act` gives a failure, that is the answer; it may change the world before it gives none.
    fn run_with(&mut self, time: Duration, mut act: impl FnMut(&mut Stage, &Asked) -> Option<Failure>) {
        let end = self.now + time;
        while self.now < end {
            while let Some((ticket, request)) = {
                let moment = self.moment();
                self.engine.next(moment)
            } {
                let work =
                    Work::ALL.iter().copied().find(|work| self.engine.in_flight.of(*work) > 0).unwrap();
                let asked = Asked { at: self.now, work, request };
                self.asked.push(asked.clone());
                let sent = self.now;
                let failure = act(self, &asked);
                let rows = self.answer(&asked.request);
                self.now += self.latency;
                let failed = |(fault, retry_after)| ApiError {
                    endpoint: asked.request.endpoint(),
                    fault,
                    retry_after,
                };
                let result = match failure {
                    Some(failure) => Err(failed(failure)),
                    None => rows.ok_or_else(|| failed((Fault::Status(404), None))),
                };
                let date = Some(self.time() / self.date_grain * self.date_grain);
                let attempt = Attempt {
                    date: date.filter(|_| result.is_ok() || !self.undated),
                    result,
                    sent: Instant::now(),
                    received: Instant::now(),
                    host: self.time() + self.host_off,
                    key_changed: false,
                };
                let timing = Timing { sent, received: self.now };
                self.engine.absorb(ticket, attempt, timing, self.moment());
            }
            if let Some(commit) = self.engine.take_commit(self.moment()) {
                self.engine.committed(commit, if self.is_full { Err(()) } else { Ok(0) }, 0.0, self.moment());
            }
            self.notes.extend(self.engine.take_notes());
            self.now = self.engine.wake(self.moment()).max(self.now + Duration::from_millis(1)).min(end);
        }
    }

    fn answer(&self, request: &Request) -> Option<Rows> {
        Some(match request {
            Request::ListNumbers => {
                let row = NumberRow { number: LINE.into(), active: Some(true), last_active: None };
                Rows::Numbers(page(vec![row], None))
            }
            Request::ListChats { offset, limit } => {
                let mut listed: Vec<_> =
                    self.chats.iter().filter(|(chat, _)| !self.unlisted.contains(*chat)).collect();
                listed.sort_by_key(|(chat, messages)| (-newest(messages).sent_at, *chat));
                let total = (listed.len() + self.unusable) as u64 + self.excess;
                let rows: Vec<ChatRow> =
                    listed.iter().map(|(chat, messages)| self.row(chat, messages)).collect();
                let rejected = vec![Rejection::Id; self.unusable];
                Rows::Chats(Page { rejected, ..page(self.cut(rows, *offset, *limit), Some(total)) })
            }
            Request::GetChat { chat } => {
                let messages = self.chats.get(chat.expose())?;
                Rows::Chats(page(vec![self.row(chat.expose(), messages)], None))
            }
            Request::ListMessages { chat, since, until, offset, limit } => {
                let until = until.unwrap_or(i64::MAX).min(self.frozen.unwrap_or(i64::MAX));
                let fits = |at: i64| at > *since && at < until;
                let mut rows: Vec<MessageRow> =
                    self.chats.get(chat.expose())?.iter().filter(|m| fits(m.sent_at)).map(message).collect();
                rows.sort_by_key(|row| row.sent_at);
                let total = rows.len() as u64;
                Rows::Messages(page(self.cut(rows, *offset, *limit), Some(total)))
            }
            Request::GetMessage { chat, message: id } => {
                let found = self.chats.get(chat.expose())?.iter().find(|m| m.id == id.expose())?;
                Rows::Messages(page(vec![message(found)], None))
            }
            Request::GetBackground { .. } => Rows::Background,
            Request::ListWebhooks => return None,
        })
    }

    fn cut<T>(&self, rows: Vec<T>, offset: u64, limit: u32) -> Vec<T> {
        rows.into_iter().skip(offset as usize).take(self.cap.min(limit as usize)).collect()
    }

    fn row(&self, chat: &str, messages: &[Message]) -> ChatRow {
        let count = |wanted: Option<Direction>| {
            let counted =
                messages.iter().filter(|m| wanted.is_none_or(|wanted| m.direction == wanted)).count();
            if self.has_counts { counted as i64 } else { -1 }
        };
        let last = newest(messages);
        let mut row = ChatRow {
            id: ChatId::parse(chat).unwrap(),
            kind: ChatKind::Phone,
            last_at: if self.has_times { last.sent_at } else { 0 },
            last_message: MessageRef::parse(&last.id),
            messages: count(None),
            inbound: count(Some(Direction::Inbound)),
            outbound: count(Some(Direction::Outbound)),
            last_inbound_at: None,
            last_outbound_at: None,
        };
        (self.bend)(&mut row);
        row
    }
}

fn hasher() -> IdHasher {
    IdHasher::new(&[7; 32], "a")
}

fn newest(messages: &[Message]) -> &Message {
    messages.iter().max_by_key(|message| message.sent_at).unwrap()
}

fn message(of: &Message) -> MessageRow {
    MessageRow {
        id: MessageRef::parse(&of.id).unwrap(),
        direction: of.direction,
        line: Some(LINE.into()),
        sent_at: of.sent_at,
        delivered_at: (of.status == Status::Delivered).then_some(of.sent_at + 1_000),
        status: of.status,
        protocol: Protocol::Imessage,
        reason: Reason::Other,
    }
}

fn page<T>(rows: Vec<T>, total: Option<u64>) -> Page<T> {
    Page { rows, rejected: Vec::new(), unknown: Vec::new(), total }
}

#[test]
fn the_page_shows_what_its_commit_held_and_not_what_came_meanwhile() {
    let mut engine = Stage::new(options()).engine;
    let now = Now { mono: Duration::ZERO, host: 0 };
    let failed = Counter::Sweeps { result: SweepResult::Failed };
    let shown = |engine: &mut Engine| {
        let view = engine.take_view(now).unwrap();
        view.snapshot.counters.iter().find(|(counter, _)| *counter == failed).map(|(_, value)| *value)
    };
    engine.ledger.record_sweep(SweepResult::Failed, None, 0, 0.0);
    let first = engine.take_commit(now).unwrap();
    engine.ledger.record_sweep(SweepResult::Failed, None, 0, 0.0);
    assert!(engine.take_commit(now).is_none(), "one at a time");
    engine.committed(first, Ok(1), 0.0, now);
    assert_eq!(shown(&mut engine), Some(1));
    let second = engine.take_commit(now).unwrap();
    engine.committed(second, Ok(1), 0.0, now);
    assert_eq!(shown(&mut engine), Some(2));
}

#[test]
fn no_message_is_read_before_the_lines_were_asked_for() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    let mut lines = 0;
    stage.run_with(s(20), |_, asked| {
        lines += u32::from(asked.request == Request::ListNumbers);
        assert!(lines == 3 || asked.messages().is_none(), "{asked:?}");
        (asked.request == Request::ListNumbers && lines < 3).then_some(BROKEN)
    });
    assert_eq!((lines, stage.inbound()), (3, 0), "what was there at the start is history");
    assert!(stage.asked.iter().any(|asked| asked.messages().is_some()));
}

#[test]
fn a_pause_that_another_request_caused_does_not_look_healthy() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.run(minutes(2));
    assert!(stage.health().up);
    stage.receive("+1");
    let limited = (Fault::RateLimited { coded: false }, Some(minutes(10)));
    stage.run_with(minutes(2), |_, asked| asked.messages().map(|_| limited));
    let health = stage.health();
    assert!(!health.up && health.problem.unwrap().contains("pause"));
    stage.run(minutes(10));
    assert!(stage.health().up);
}

#[test]
fn while_messages_are_shown_as_they_were_long_ago_nothing_looks_healthy_and_then_all_count() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.receive("+2");
    stage.run(minutes(2));
    assert!(stage.health().up);
    let frozen = stage.time();
    stage.frozen = Some(frozen);
    stage.run(s(1));
    stage.receive("+1");
    stage.receive("+2");
    stage.run(minutes(4));
    for minute in 4..60 {
        stage.run(minutes(1));
        let health = stage.health();
        assert!(!health.up && health.deferred == 2, "after {minute} minutes");
        assert_eq!(stage.engine.ledger().chats().outages().0.iter().sum::<u64>(), 2);
        assert!(stage.engine.ledger().progress().watermark <= frozen + 1_000);
    }
    stage.frozen = None;
    stage.run(minutes(2));
    assert!(stage.health().up);
    assert_eq!((stage.inbound(), stage.engine.ledger().chats().outages().0.iter().sum::<u64>()), (2, 0));
    // What lasts longer than the time between two audits is how the API is.
    stage.frozen = Some(stage.time());
    stage.run(s(1));
    stage.receive("+1");
    stage.run(minutes(3 * 60));
    assert!(!stage.health().up);
    stage.run(minutes(2 * 60));
    assert!(stage.health().up);
}

#[test]
fn a_pause_that_the_lines_a_probe_or_the_webhooks_are_answered_with_holds_up_nothing_else() {
    for fault in [Fault::RateLimited { coded: false }, Fault::Status(503)] {
        let mut stage = Stage::new(Options { probe_interval: minutes(1), ..options() });
        stage.receive("+1");
        for minute in 1..20 {
            stage.run_with(minutes(1), |_, asked| {
                use Request::{GetBackground, ListNumbers, ListWebhooks};
                let is_aside = matches!(asked.request, ListNumbers | ListWebhooks | GetBackground { .. });
                is_aside.then_some((fault, Some(minutes(10))))
            });
            assert_eq!(stage.inbound(), minute - 1, "{fault:?}");
            stage.receive("+1");
        }
        assert!(stage.asked.iter().any(|asked| asked.work == Work::Probe));
    }
}

#[test]
fn a_pause_that_one_chat_is_answered_with_is_its_own_unless_it_is_a_rate_limit() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.receive("+2");
    stage.run(minutes(2));
    stage.receive("+1");
    stage.receive("+2");
    let outage = (Fault::Status(503), Some(minutes(10)));
    stage.run_with(minutes(2), |_, asked| asked.messages().filter(|(chat, _)| *chat == "+1").map(|_| outage));
    assert_eq!(stage.inbound(), 1);
    // The list stands for everything.
    let began = stage.now;
    stage.run_with(minutes(5), |_, asked| asked.chats().map(|_| outage));
    let asked: Vec<_> = stage.asked_since(began).filter(|asked| asked.at > began + s(31)).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_rejected_key_is_tried_again_before_two_minutes_are_over_however_long_it_was_rejected() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.run(minutes(2));
    let began = stage.now;
    stage.run_with(minutes(60), |_, _| Some((Fault::Status(401), None)));
    let tries: Vec<Duration> =
        stage.asked_since(began).filter(|asked| asked.chats().is_some()).map(|asked| asked.at).collect();
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= s(91)), "{tries:?}");
    assert!(tries.len() < 60, "{}", tries.len());
    stage.receive("+1");
    stage.run(minutes(2));
    assert!(stage.health().up && stage.inbound() == 1);
}

#[test]
fn an_error_without_a_date_does_not_say_that_the_clock_of_the_host_is_right() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    (stage.host_off, stage.undated) = (-7 * 86_400_000, true);
    stage.run_with(s(20), |_, _| Some((Fault::Status(503), None)));
    stage.host_off = 0;
    stage.run(minutes(10));
    let baseline = stage.engine.ledger().progress().baseline;
    assert!((baseline - START).abs() <= 1_000, "{}", baseline - START);
    assert_eq!(stage.inbound(), 0, "history");
}

#[test]
fn what_is_read_and_cannot_be_stored_does_not_look_healthy() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.is_full = true;
    let stays_down = |stage: &mut Stage| {
        for _ in 0..90 {
            stage.run(s(1));
            assert!(!stage.health().up, "what was read is not on this page");
        }
    };
    stays_down(&mut stage);
    stage.is_full = false;
    stage.run(minutes(1));
    assert!(stage.health().up);
    stage.is_full = true;
    stage.receive("+1");
    stage.run(s(31));
    stays_down(&mut stage);
}

/// A healthy account that gets many chats, with lists of small pages. Between any two of them a chat is asked for, and that brings
/// such a pause, for so long.
fn interrupted(pause: Duration, how_long: Duration) -> Stage {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.run(minutes(2));
    assert!(stage.health().up);
    stage.cap = 2;
    let limited = (Fault::RateLimited { coded: false }, Some(pause));
    for n in 0..30 {
        stage.receive(&format!("+2{n}"));
    }
    stage.run_with(how_long, |_, asked| asked.chats().is_none().then_some(limited));
    stage
}

#[test]
fn a_list_that_takes_for_ever_does_not_look_healthy() {
    let health = interrupted(minutes(1), s(200)).health();
    assert!(!health.up && health.problem.unwrap().contains("read to its end"));
}

#[test]
fn a_list_that_a_long_pause_interrupts_has_failed_at_once() {
    let mut stage = interrupted(minutes(10), minutes(1));
    let health = stage.health();
    assert!(!health.up && health.problem.unwrap().contains("pause"));
    stage.run(minutes(14));
    assert!(stage.health().up && stage.inbound() == 30, "{}", stage.inbound());
}

#[test]
fn a_server_that_rejects_the_size_of_pages_is_asked_for_smaller_ones() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.run_with(minutes(2), |_, asked| match asked.request {
        Request::ListChats { limit, .. } | Request::ListMessages { limit, .. } if limit > 60 => {
            Some((Fault::Status(400), None))
        }
        _ => None,
    });
    assert!(stage.health().up);
}

/// An account with so many chats, listed in full and read.
fn settled(chats: usize) -> Stage {
    let mut stage = Stage::new(options());
    for n in 0..chats {
        stage.send_at(&format!("+1{n}"), Direction::Inbound, Status::Delivered, START - 1_000 - n as i64);
    }
    stage.run(minutes(9));
    assert!(stage.health().up && stage.engine.ledger().progress().listed_at > START - 10_000);
    stage
}

#[test]
fn a_full_listing_is_dated_at_its_first_page() {
    let mut stage = settled(500);
    stage.run(minutes(3));
    let second_page = stage.asked_since(minutes(9)).find(|asked| asked.chats() > Some(0)).unwrap().at;
    let listed_at = stage.engine.ledger().progress().listed_at - START;
    assert!(listed_at > millis(minutes(9)) && listed_at < millis(second_page), "{listed_at} {second_page:?}");
}

#[test]
fn a_page_of_the_full_listing_that_cannot_be_read_is_asked_for_again() {
    let mut stage = settled(500);
    let mut failures = 0;
    stage.run_with(minutes(4), |_, asked| {
        let fails = asked.chats() > Some(0) && failures < 4;
        failures += u32::from(fails);
        fails.then_some(BROKEN)
    });
    assert_eq!(failures, 4);
    assert!(stage.engine.ledger().progress().listed_at > START + millis(minutes(9)), "it went on");
}

#[test]
fn a_listing_that_is_not_complete_says_nothing_of_the_chats_that_it_lacks() {
    let mut stage = settled(300);
    let key = stage.key("+17");
    let absences = |stage: &Stage| stage.engine.ledger().chats().get(key).unwrap().absence.listings;
    stage.unlisted.insert("+17".to_owned());
    stage.excess = 50;
    stage.run(minutes(25));
    assert_eq!(absences(&stage), 0, "its total says that it lacks others as well");
    stage.excess = 0;
    stage.run(minutes(25));
    assert!(absences(&stage) > 0);
}

#[test]
fn a_chat_that_a_row_without_an_id_may_stand_for_is_not_gone_after_a_restart() {
    let mut stage = Stage::new(options());
    for chat in ["+1", "+2", "+3"] {
        stage.receive(chat);
    }
    stage.run(minutes(2));
    // As after a restart, the chat cannot be asked itself.
    stage.engine.ids = IdMap::default();
    stage.unlisted.insert("+1".into());
    for (unusable, hours, is_there) in [(1, 10, true), (0, 5, false)] {
        stage.unusable = unusable;
        stage.run(minutes(60 * hours));
        let chats = stage.engine.ledger().chats();
        assert_eq!(chats.get(stage.key("+1")).is_some(), is_there, "{unusable}");
        assert!(chats.get(stage.key("+2")).is_some());
    }
}

#[test]
fn a_chat_that_changes_with_every_list_is_audited_in_its_turn() {
    // One request in 20 s: between the sweeps there is room for one read, and then the chat has changed again.
    let options = Options { budget: 0.05, audit_interval: minutes(60), ..options() };
    let mut stage = Stage::new(options);
    for _ in 0..360 {
        stage.receive("+1");
        stage.run(s(20));
    }
    let audited_at = stage.engine.ledger().chats().get(stage.key("+1")).unwrap().audited_at.unwrap();
    assert!(audited_at > START + millis(minutes(60)), "{} s", (audited_at - START) / 1_000);
}

#[test]
fn the_watermark_is_the_time_at_which_the_list_was_asked_for_and_not_that_of_its_answer() {
    let mut stage = Stage::new(options());
    stage.latency = s(2);
    stage.receive("+1");
    stage.run(minutes(3));
    let sweeps: Vec<i64> =
        stage.asked.iter().filter(|a| a.work == Work::Sweep).map(|a| millis(a.at)).collect();
    let watermark = stage.engine.ledger().progress().watermark - START;
    assert!(sweeps.contains(&watermark), "{watermark} {sweeps:?}");
}

#[test]
fn a_chat_that_is_listed_has_not_left_the_list_although_several_lists_have_the_same_date() {
    let mut stage = Stage::new(Options { interval: Duration::from_millis(150), ..options() });
    stage.date_grain = 1_000;
    stage.receive("+1");
    stage.run(minutes(1));
    for _ in 0..200 {
        stage.run(Duration::from_millis(50));
        let chat = stage.engine.ledger().chats().get(stage.key("+1")).unwrap();
        assert!(!stage.engine.lists.lack(chat.listed.newest(), chat.shown_at));
    }
}

#[test]
fn where_rows_have_no_times_a_sweep_goes_on_below_what_another_list_showed_as_news() {
    let mut stage = Stage::new(options());
    (stage.cap, stage.has_times) = (6, false);
    for n in 0..30 {
        stage.send_at(&format!("+1{n}"), Direction::Inbound, Status::Delivered, START - 1_000 - n);
    }
    stage.run(minutes(9));
    // A page of the full listing shows news above a chat that changed, and goes no further. What it shows cannot be read
    // yet, so that its time is not known.
    let mut listed = None;
    stage.run_with(minutes(3), |stage, asked| {
        if asked.work == Work::Listing && asked.chats() == Some(0) && listed.is_none() {
            listed = Some(stage.now);
            stage.receive("+129");
            for n in 10..18 {
                stage.now += Duration::from_millis(1);
                stage.receive(&format!("+1{n}"));
            }
        }
        let is_below = asked.work == Work::Listing && asked.chats() > Some(0);
        let is_other = asked.messages().is_some_and(|(chat, _)| chat != "+129");
        (is_below || is_other).then_some(BROKEN)
    });
    assert!(listed.is_some());
    assert_eq!(stage.inbound(), 1);
    stage.run(minutes(3));
    assert_eq!(stage.inbound(), 9);
}

#[test]
fn a_row_without_counts_below_a_message_dated_ahead_is_never_taken_as_unchanged() {
    let mut stage = Stage::new(options());
    stage.has_counts = false;
    stage.receive("+1");
    stage.run(minutes(2));
    stage.send_at("+1", Direction::Inbound, Status::Delivered, START + millis(minutes(600)));
    stage.run(minutes(2));
    for counted in 2..5 {
        stage.receive("+1");
        stage.run(minutes(2));
        assert_eq!(stage.inbound(), counted);
    }
}

#[test]
fn a_read_that_an_error_interrupts_goes_on_where_it_was() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.run(minutes(2));
    stage.cap = 10;
    for n in 0..45 {
        stage.send_at(
            "+1",
            Direction::Inbound,
            Status::Delivered,
            START + millis(minutes(2)) - 4_500 + n * 100,
        );
    }
    let mut pages = 0;
    stage.run_with(minutes(1), |_, asked| {
        pages += u32::from(asked.messages().is_some());
        (asked.messages().is_some() && pages > 3).then_some(BROKEN)
    });
    let reached = stage.asked.iter().filter_map(Asked::messages).next_back().unwrap().1;
    let again = stage.now;
    assert!(reached > stage.asked_since(minutes(2)).find_map(Asked::messages).unwrap().1);
    stage.run(minutes(5));
    assert_eq!(stage.asked_since(again).find_map(Asked::messages).unwrap().1, reached);
    assert_eq!(stage.inbound(), 45);
}

#[test]
fn a_shallow_read_that_was_interrupted_does_not_pass_for_the_audit_that_is_due_by_then() {
    let mut stage = Stage::new(Options { audit_interval: minutes(30), ..options() });
    for _ in 0..2 {
        stage.receive("+1");
        stage.run(minutes(10));
    }
    stage.receive("+1");
    stage.run_with(minutes(30), |_, asked| asked.messages().map(|_| BROKEN));
    let first_since = |after| stage.asked_since(after).find_map(Asked::messages).unwrap().1;
    assert!(first_since(minutes(20)) > START, "it starts at the cursor");
    assert!(first_since(minutes(40)) <= START, "the audit starts at the floor");
}

#[test]
fn what_a_page_of_a_recheck_does_not_reach_is_not_missing() {
    let mut stage = Stage::new(options());
    stage.receive("+1");
    stage.run(minutes(2));
    stage.cap = 5;
    let open: Vec<String> = (0..12)
        .map(|n| {
            let at = START + millis(minutes(2)) - 12_000 + n * 1_000;
            stage.send_at("+1", Direction::Outbound, Status::Sent, at)
        })
        .collect();
    stage.run_with(minutes(10), |stage, asked| {
        // Each page of a re-check is followed by one that fails.
        let is_first = asked.messages().is_some_and(|(_, since)| since < START + millis(minutes(2)) - 11_500);
        (stage.now > minutes(3) && asked.work == Work::Recheck && !is_first).then_some(BROKEN)
    });
    let messages = stage.engine.ledger().messages();
    assert_eq!(messages.open_count(), open.len());
    assert_eq!(messages.missing().count(), 0);
}

#[test]
fn when_one_chat_can_be_read_again_others_that_failed_for_the_same_reason_are_read_at_once() {
    let mut stage = settled(6);
    // They begin to fail one after the other, so that their waits end at different times.
    for n in 0..6 {
        stage.receive(&format!("+1{n}"));
        stage.run_with(s(40), |_, asked| asked.messages().map(|_| BROKEN));
    }
    stage.run_with(minutes(9), |_, asked| asked.messages().map(|_| BROKEN));
    let recovered = stage.now;
    stage.run(minutes(3));
    let mut reads: BTreeMap<&str, Duration> = BTreeMap::new();
    for asked in stage.asked_since(recovered) {
        if let Some((chat, _)) = asked.messages() {
            reads.entry(chat).or_insert(asked.at);
        }
    }
    let (first, last) = (reads.values().min().unwrap(), reads.values().max().unwrap());
    assert_eq!((reads.len(), stage.inbound()), (6, 6));
    assert!(*last - *first < s(3), "{reads:?}");
}

#[test]
fn a_chat_that_shows_messages_is_there_whatever_its_own_path_says() {
    let mut stage = Stage::new(Options { full_interval: minutes(2), ..options() });
    stage.receive("+1");
    stage.send("+2", Direction::Outbound, Status::Sent);
    stage.run(minutes(5));
    stage.unlisted.insert("+2".to_owned());
    let mut denied = 0;
    // Its message is young enough to be asked for more often than the chat itself.
    stage.run_with(minutes(18), |_, asked| {
        let is_own_path = matches!(asked.request, Request::GetChat { .. });
        denied += usize::from(is_own_path);
        is_own_path.then_some((Fault::Status(404), None))
    });
    assert!(denied >= 2, "{denied}");
    assert!(stage.engine.ledger().chats().get(stage.key("+2")).is_some());
}

#[test]
fn a_message_of_a_chat_that_cannot_be_asked_is_given_up_long_after_the_horizon() {
    let hour = minutes(60);
    let times = Options { horizon: hour, retention: hour, audit_interval: hour, ..options() };
    let mut stage = Stage::new(times);
    stage.receive("+1");
    stage.send("+2", Direction::Outbound, Status::Sent);
    stage.run(minutes(5));
    let broken = |_: &mut Stage, asked: &Asked| {
        let is_about = asked.messages().is_some_and(|(chat, _)| chat == "+2");
        (is_about || matches!(asked.request, Request::GetMessage { .. })).then_some(BROKEN)
    };
    stage.run_with(3 * hour, broken);
    assert_eq!(stage.engine.ledger().messages().open_count(), 1);
    stage.run_with(2 * hour, broken);
    assert_eq!(stage.engine.ledger().messages().open_count(), 0);
}

#[test]
fn open_messages_of_a_chat_that_is_not_listed_yet_are_asked_for_once_it_is() {
    let mut stage = Stage::new(options());
    let sent_at = START - 60_000;
    stage.send_at("+1", Direction::Outbound, Status::Sent, sent_at);
    let (key, row) = (stage.key("+1"), hasher().listing(&stage.row("+1", &stage.chats["+1"])));
    // As the store held it.
    let mut ledger = Ledger::new(options().policy(), Restored::default());
    ledger.begin(START - 3_600_000);
    ledger.record_listed(key, ChatKind::Phone, row);
    ledger.update_chat(key, |chat| (chat.audited_at, chat.explained) = (Some(START - 1_000), Some(1)));
    let line = ledger.line(Some(LINE));
    let open = hasher().observation(&message(&stage.chats["+1"][0]), line);
    ledger.observe(key, &open, START - 50_000);
    stage.engine = Engine::new("a", options(), hasher(), ledger, 0);
    stage.set_status("+1-0", Status::Delivered);
    stage.receive("+2");
    stage.unlisted.insert("+1".to_owned());
    stage.run(minutes(15));
    assert_eq!(stage.engine.ledger().messages().open_count(), 1);
    stage.unlisted.clear();
    stage.run(minutes(15));
    assert_eq!(stage.engine.ledger().messages().open_count(), 0);
}

impl Stage {
    /// Messages come to a chat of their own for so long, and all are announced.
    fn converse(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.run(s(10));
            let id = self.receive("+11");
            self.announce(EventKind::MessageReceived, "+11", &id);
        }
    }
}

/// An account that follows a feed, which announced everything for long enough that it is trusted.
fn trusted() -> Stage {
    let mut stage = settled(3);
    let now = stage.moment();
    stage.engine.follow(minutes(5), now);
    stage.converse(minutes(7));
    assert_eq!(stage.health().feed_trusted, Some(true));
    stage
}

#[test]
fn a_feed_that_announces_nothing_more_loses_its_trust() {
    let mut stage = trusted();
    stage.receive("+12");
    stage.run(minutes(5));
    assert_eq!(stage.health().feed_trusted, Some(false));
    let (counted, now) = (stage.inbound(), stage.now);
    stage.receive("+12");
    stage.run(minutes(2));
    assert_eq!(stage.inbound(), counted + 1, "the list is asked for as before");
    assert!(stage.asked_since(now).filter(|asked| asked.work == Work::Sweep).count() >= 4);
}

#[test]
fn while_the_feed_is_trusted_sweeps_are_rarer_and_no_rarer_than_four_minutes() {
    let mut stage = trusted();
    let now = stage.now;
    stage.converse(minutes(20));
    assert_eq!(stage.health().feed_trusted, Some(true));
    let sweeps: Vec<Duration> =
        stage.asked_since(now).filter(|a| a.work == Work::Sweep).map(|asked| asked.at).collect();
    assert!((4..=7).contains(&sweeps.len()), "in 20 minutes: {sweeps:?}");
    assert!(sweeps.windows(2).all(|pair| pair[1] - pair[0] <= minutes(4)));
}

#[test]
fn what_no_event_announces_is_asked_for_as_without_a_feed() {
    let mut stage = trusted();
    let id = stage.send("+12", Direction::Outbound, Status::Queued);
    stage.converse(minutes(5));
    stage.set_status(&id, Status::Cancelled);
    stage.converse(minutes(15));
    assert_eq!(stage.health().feed_trusted, Some(true));
    assert_eq!(stage.count(|line| Counter::Cancelled { line }), 1);
}

#[test]
fn an_end_that_was_announced_and_not_shown_yet_is_asked_for() {
    let mut stage = trusted();
    let id = stage.send("+12", Direction::Outbound, Status::Sent);
    stage.announce(EventKind::MessageSent, "+12", &id);
    stage.converse(minutes(1));
    stage.announce(EventKind::MessageDelivered, "+12", &id);
    stage.converse(minutes(3));
    stage.set_status(&id, Status::Delivered);
    stage.converse(minutes(15));
    assert_eq!(stage.health().feed_trusted, Some(true));
    assert_eq!(stage.count(|line| Counter::Delivered { line, protocol: Protocol::Imessage }), 1);
}
