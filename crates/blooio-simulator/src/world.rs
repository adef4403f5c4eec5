//! The world: lines, chats, messages, and a queue of what is going to happen.
//!
//! It has no clock. [`World::step`] is told the time and lets everything happen that is due, in order, so that one
//! long step and many short ones end in the same world. What a step costs depends on what happens in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::chat::{Chat, Kind, Standing};
use super::fault::FaultKind;
use super::message::{Message, Phase};
use super::request::{Endpoint, SEEN_MAX, Seen};
use super::setup::Setup;
use super::source::Happening;
use super::source::Source;
use super::tuning::{Faults, Tuning};
use super::{chat, message};

/// Something that is going to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A message takes its next turn.
    Turn(u32),
    /// A late message becomes visible.
    Show(u32),
    /// An ended message shows another status.
    Regress(u32),
    /// A source of traffic or upheaval is due.
    Source(Source),
    /// The device of a line comes back.
    DeviceBack(u16),
    /// The contact replies to a message.
    Reply(u32),
    /// The organisation answers in a chat.
    Respond(u32),
    /// One message of a campaign of a line.
    Campaign(u16),
}

/// One of the organisation's own numbers, and the device behind it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: String,
    /// Until when the device is away, if it went away by itself.
    pub(super) away_until: Option<i64>,
    /// The newest sign of life that was recorded before it went away.
    pub(super) frozen_at: Option<i64>,
    /// Messages that wait for the device.
    pub(super) parked: Vec<u32>,
    pub(super) chats: Vec<u32>,
}

/// The number of a line, by its place.
pub(super) fn line_number(line: usize) -> String {
    format!("+1310555{:04}", 101 + line)
}

/// A simulated organisation and the server that answers for it.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) setup: Setup,
    /// Part of every canary, so that two worlds cannot be mistaken for one another.
    pub(super) tag: u32,
    pub(super) now: i64,
    /// Messages that came between two pages of a list so far.
    pub(super) interjections: i64,
    /// Random numbers of the traffic: who writes, when and to whom.
    pub(super) life: fastrand::Rng,
    /// Decides how it is told; kept apart so that reading does not change what happens.
    pub(super) telling: fastrand::Rng,
    pub(super) lines: Vec<Line>,
    pub(super) chats: Vec<Chat>,
    pub(super) messages: Vec<Message>,
    pub(super) chat_by_id: HashMap<String, u32>,
    pub(super) group_by_people: HashMap<String, u32>,
    /// Chats with something to show, by the time of their newest message.
    pub(super) order: BTreeSet<(i64, u32)>,
    queue: BinaryHeap<Reverse<(i64, u64, Event)>>,
    pushed: u64,
    pub(super) faults: Faults,
    pub(super) quiet: bool,
    /// Messages that will change or appear.
    pub(super) moving: usize,
    pub(super) seen: Vec<Seen>,
    pub(super) seen_totals: BTreeMap<(Endpoint, u16), u64>,
    pub(super) violations: u64,
    /// The newest moment that the replica behind the newest list of chats has seen.
    pub(super) list_cut: i64,
    pub(super) back_at: i64,
    pub(super) tokens: (f64, i64),
    /// What happened and is to be told; absent where nobody listens.
    pub(super) happenings: Option<Vec<Happening>>,
}

impl World {
    /// A world with its history, standing at the start of the setup.
    pub fn new(setup: Setup) -> World {
        let mut life = fastrand::Rng::with_seed(setup.seed);
        let telling = life.fork();
        let tag = life.u32(..) & 0x00ff_ffff;
        let lines = (0..setup.lines.max(1)).map(|i| Line {
            number: line_number(i),
            away_until: None,
            frozen_at: None,
            parked: Vec::new(),
            chats: Vec::new(),
        });
        let tokens = setup.knobs.rate_limit.map_or(0.0, |limit| limit.burst);
        let mut world = World {
            lines: lines.collect(),
            tag,
            now: setup.start_ms,
            interjections: 0,
            life,
            telling,
            chats: Vec::with_capacity(setup.chats),
            messages: Vec::with_capacity(setup.history_messages),
            chat_by_id: HashMap::with_capacity(setup.chats),
            group_by_people: HashMap::new(),
            order: BTreeSet::new(),
            queue: BinaryHeap::new(),
            pushed: 0,
            faults: Faults::default(),
            quiet: false,
            moving: 0,
            seen: Vec::new(),
            seen_totals: BTreeMap::new(),
            violations: 0,
            list_cut: i64::MAX,
            back_at: i64::MIN,
            tokens: (tokens, setup.start_ms),
            happenings: None,
            setup,
        };
        world.write_history();
        world.start_sources();
        world
    }

    /// Lets everything happen that is due at `now_ms` (unix milliseconds). Time that runs backwards is ignored.
    pub fn step(&mut self, now_ms: i64) {
        while let Some(Reverse((at, _, _))) = self.queue.peek() {
            if *at > now_ms {
                break;
            }
            let Some(Reverse((at, _, event))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            match event {
                Event::Turn(n) => self.take_turns(n, at, at),
                Event::Show(n) => {
                    self.moving = self.moving.saturating_sub(1);
                    self.show(n, at);
                }
                Event::Regress(n) => self.regress(n, at),
                Event::Source(source) => self.spring(source, at),
                Event::DeviceBack(line) => self.device_back(line, at),
                Event::Reply(n) => self.reply(n, at),
                Event::Respond(chat) => self.respond_in(chat, at),
                Event::Campaign(line) => self.campaign_message(line, at),
            }
        }
        self.now = self.now.max(now_ms);
    }

    /// Stops new messages, deletions and merges. What is open goes on to its end.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Whether no message will appear or change any more. Messages that stay at `sent` for good count as settled.
    /// A world with traffic is never settled before [`World::quiet`].
    pub fn settled(&self) -> bool {
        (self.quiet || !self.has_sources()) && self.moving == 0
    }

    /// Switches a fault on by name. An unknown name is an error that names the fault, and so is a tuning that the
    /// fault does not heed.
    pub fn switch_on(&mut self, name: &str, tuning: Tuning) -> Result<(), String> {
        let kind = FaultKind::named(name).ok_or_else(FaultKind::unknown)?;
        tuning.check(kind)?;
        if tuning.line.as_ref().is_some_and(|line| !self.lines.iter().any(|l| l.number == *line)) {
            return Err("no such line".to_owned());
        }
        if kind == FaultKind::DeviceDown {
            for i in 0..self.lines.len() {
                if tuning.line.as_ref().is_none_or(|l| *l == self.lines[i].number) {
                    self.freeze(i);
                }
            }
        }
        self.faults.switch_on(kind, tuning);
        self.release(self.now);
        Ok(())
    }

    /// Switches a fault off by name, for every line and endpoint, and says whether it was on.
    pub fn switch_off(&mut self, name: &str) -> bool {
        let was_on = FaultKind::named(name).is_some_and(|kind| self.faults.switch_off(kind));
        self.release(self.now);
        was_on
    }

    /// The faults that are on.
    pub fn faults_on(&self) -> &[(FaultKind, Tuning)] {
        self.faults.on()
    }

    /// Whether a fault concerns a chat now, by the chat's number.
    pub fn is_hit(&self, name: &str, chat: u32) -> bool {
        FaultKind::named(name).is_some_and(|kind| self.faults.concerns(kind, chat))
    }

    /// The organisation's own numbers. They are not private.
    pub fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|l| l.number.clone()).collect()
    }

    /// The ids of all chats that can be listed now, most recent first.
    pub fn chat_ids(&self) -> Vec<String> {
        self.order.iter().rev().map(|&(_, n)| self.chats[n as usize].id.clone()).collect()
    }

    /// The number of the line that a chat belongs to.
    pub fn line_of_chat(&self, id: &str) -> Option<String> {
        let chat = &self.chats[*self.chat_by_id.get(id)? as usize];
        Some(self.lines[usize::from(chat.line)].number.clone())
    }

    /// How many messages of a chat the API shows that were sent at `since` or later (unix milliseconds).
    pub fn messages_after(&self, id: &str, since: i64) -> usize {
        let Some(chat) = self.chat_by_id.get(id) else { return 0 };
        let visible = &self.chats[*chat as usize].visible;
        visible.len() - visible.partition_point(|m| self.messages[*m as usize].time_sent < since)
    }

    /// The setup it was built from.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The server's time: the newest time it was told, in unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now
    }

    /// The newest requests (10,000 at most), oldest first.
    pub fn requests(&self) -> &[Seen] {
        let surplus = self.seen.len().saturating_sub(SEEN_MAX);
        &self.seen[surplus..]
    }

    /// How many requests there were in all, by endpoint and status. Status 0 stands for no answer at all.
    pub fn request_totals(&self) -> &BTreeMap<(Endpoint, u16), u64> {
        &self.seen_totals
    }

    /// How many requests came before the end of a pause that a 429 had asked for.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Everything that must never be seen outside: numbers, addresses, names, texts, ids and links of the
    /// organisation's contacts, for as long as the world exists. Its own line numbers are not among them.
    pub fn private_values(&self) -> Vec<String> {
        let tag = self.tag;
        let mut values = Vec::with_capacity(self.chats.len() * 4 + self.messages.len() * 4);
        for (n, chat) in (0u32..).zip(&self.chats) {
            values.push(chat.id.clone());
            values.push(chat::contact_id(tag, n));
            values.extend(chat.members.iter().cloned());
            values.extend(chat.name.clone());
            if chat.background {
                values.push(chat::background_url(tag, n));
                values.push(chat::background_id(tag, n));
            }
        }
        for (n, message) in (0u32..).zip(&self.messages) {
            values.push(self.message_id(n));
            if !message.has(message::extra::NO_TEXT) {
                values.push(message::text_of(tag, n));
            }
            if message.has(message::extra::ATTACHMENT) {
                values.push(message::attachment_of(tag, n));
                values.push(message::attachment_name(tag, n));
            }
            if message.error != 0 {
                values.push(message::error_mark(tag, n));
            }
            if message.has(message::extra::REPLY) {
                values.push(message::guid_of(tag, n));
            }
        }
        values
    }

    pub(super) fn push(&mut self, at: i64, event: Event) {
        self.pushed += 1;
        self.queue.push(Reverse((at, self.pushed, event)));
    }

    /// Adds a chat, without messages and therefore not listed yet.
    pub(super) fn add_chat(&mut self) -> u32 {
        let n = self.chats.len() as u32;
        let draw = self.life.f64();
        let kind = if draw < self.setup.email_share {
            Kind::Email
        } else if draw < self.setup.email_share + self.setup.group_share {
            Kind::Group
        } else {
            Kind::Phone
        };
        let line = (n as usize % self.lines.len()) as u16;
        let mut chat = Chat::new(self.tag, n, kind, line);
        self.lines[usize::from(line)].chats.push(n);
        let knobs = &self.setup.knobs;
        if kind == Kind::Email && knobs.awkward_ids > 0.0 && self.life.f64() < knobs.awkward_ids {
            chat.id = chat::awkward_id(self.tag, n);
        }
        if knobs.reused_ids > 0.0 && self.life.f64() < knobs.reused_ids {
            self.take_over(&mut chat);
        }
        self.chat_by_id.insert(chat.id.clone(), n);
        if let Some(people) = chat.people() {
            self.group_by_people.insert(people, n);
        }
        self.chats.push(chat);
        n
    }

    /// Gives a new chat the id of a deleted one, if there is one whose id is free.
    fn take_over(&self, chat: &mut Chat) {
        let free = |(n, old): &(u32, &Chat)| {
            old.standing == Standing::Deleted && self.chat_by_id.get(&old.id) == Some(n)
        };
        if let Some((_, old)) = (0u32..).zip(&self.chats).find(free) {
            (chat.id, chat.kind, chat.members) = (old.id.clone(), old.kind, old.members.clone());
        }
    }

    /// The `message_id` of a message. The copy on the other side of a message between two lines shares it.
    pub(super) fn message_id(&self, n: u32) -> String {
        let message = &self.messages[n as usize];
        let original = message.twin.filter(|_| message.has(message::extra::BOTH_SIDES)).unwrap_or(n);
        message::id_of(self.tag, original)
    }

    /// The chat that stands for this one today, if it was not deleted.
    pub(super) fn follow(&self, mut chat: u32) -> Option<u32> {
        loop {
            match self.chats[chat as usize].standing {
                Standing::Alive => return Some(chat),
                Standing::Deleted => return None,
                Standing::MergedInto(next) => chat = next,
            }
        }
    }

    /// Makes a message visible in its chat; it is gone at once if the chat is.
    pub(super) fn show(&mut self, n: u32, at: i64) {
        let i = n as usize;
        if self.messages[i].deleted_at.is_some() {
            return;
        }
        let Some(chat) = self.follow(self.messages[i].chat) else {
            self.messages[i].deleted_at = Some(at);
            self.stop(n);
            return;
        };
        self.messages[i].chat = chat;
        (self.messages[i].visible, self.messages[i].ever_visible) = (true, true);
        self.insert(n);
        if self.messages[i].inbound {
            self.happens(n, at, "message.received");
        }
    }

    /// Puts a visible message into the lists.
    pub(super) fn insert(&mut self, n: u32) {
        let message = &self.messages[n as usize];
        let (time, inbound, c) = (message.time_sent, message.inbound, message.chat);
        let all = &self.messages;
        let chat = &mut self.chats[c as usize];
        let place = match chat.visible.last() {
            Some(&last) if (all[last as usize].time_sent, last) < (time, n) => chat.visible.len(),
            None => 0,
            _ => chat.visible.partition_point(|&m| (all[m as usize].time_sent, m) < (time, n)),
        };
        chat.visible.insert(place, n);
        if inbound {
            chat.inbound += 1;
            chat.last_inbound = chat.last_inbound.max(Some(time));
        } else {
            chat.last_outbound = chat.last_outbound.max(Some(time));
        }
        self.relist(c);
    }

    /// Takes a visible message out of the lists.
    pub(super) fn remove(&mut self, n: u32) {
        let (time, inbound, c) = {
            let m = &self.messages[n as usize];
            (m.time_sent, m.inbound, m.chat)
        };
        let all = &self.messages;
        let chat = &mut self.chats[c as usize];
        let place = chat.visible.partition_point(|&m| (all[m as usize].time_sent, m) < (time, n));
        if chat.visible.get(place) != Some(&n) {
            return;
        }
        chat.visible.remove(place);
        let newest = |inbound: bool| {
            let found = chat.visible.iter().rev().find(|&&m| all[m as usize].inbound == inbound);
            found.map(|&m| all[m as usize].time_sent)
        };
        let newest = newest(inbound);
        if inbound {
            chat.inbound -= 1;
            chat.last_inbound = newest;
        } else {
            chat.last_outbound = newest;
        }
        self.relist(c);
    }

    /// Moves a chat to its place in the list of chats.
    pub(super) fn relist(&mut self, c: u32) {
        let chat = &mut self.chats[c as usize];
        let alive = chat.standing == Standing::Alive;
        let newest = chat.visible.last().filter(|_| alive).map(|&m| self.messages[m as usize].time_sent);
        if newest == chat.listed_at {
            return;
        }
        if let Some(old) = chat.listed_at {
            self.order.remove(&(old, c));
        }
        if let Some(new) = newest {
            self.order.insert((new, c));
        }
        chat.listed_at = newest;
    }

    /// A message that is no longer visible no longer changes.
    pub(super) fn stop(&mut self, n: u32) {
        let message = &mut self.messages[n as usize];
        if message.phase != Phase::Done {
            message.phase = Phase::Done;
            self.moving = self.moving.saturating_sub(1);
        }
    }

    /// Whether the line's device is away.
    pub(super) fn device_away(&self, line: usize) -> bool {
        let line = &self.lines[line];
        line.away_until.is_some() || self.faults.of_line(FaultKind::DeviceDown, &line.number).is_some()
    }

    /// Whether messages of the line cannot be handed over now.
    pub(super) fn blocked(&self, line: usize) -> bool {
        self.device_away(line) || self.faults.of_line(FaultKind::Stuck, &self.lines[line].number).is_some()
    }

    /// Records the last sign of life of a device that goes away.
    pub(super) fn freeze(&mut self, line: usize) {
        if !self.device_away(line) {
            self.lines[line].frozen_at = Some(self.now - self.now.rem_euclid(5_000));
        }
    }

    /// Lets the messages of lines that work again go on, one after the other.
    pub(super) fn release(&mut self, at: i64) {
        for i in 0..self.lines.len() {
            if self.lines[i].parked.is_empty() || self.blocked(i) {
                continue;
            }
            let parked = std::mem::take(&mut self.lines[i].parked);
            for (k, n) in (0i64..).zip(parked) {
                let pause = self.life.i64(20..200) + k * 40;
                let due = at + self.scaled(pause, i);
                self.push(due, Event::Turn(n));
            }
        }
    }

    fn device_back(&mut self, line: u16, at: i64) {
        self.lines[line as usize].away_until = None;
        self.release(at);
    }
}
