//! What happens in the world: messages are born and move, chats merge and vanish, devices go away.

use super::chat::Standing;
use super::fault::FaultKind;
use super::message::{Message, Phase, Protocol, Status};
use super::qualities::{self, Pulls};
use super::source::{SOURCES, Source, chance};
use super::world::{Event, World};

impl World {
    /// Writes what lies before the start. Everything due by then has already happened; what is still open goes on.
    pub(super) fn write_history(&mut self) {
        if self.setup.seasons {
            self.write_seasons();
        } else {
            self.write_newest_first();
        }
        for c in 0..self.chats.len() as u32 {
            self.recount(c);
        }
    }

    fn write_newest_first(&mut self) {
        let (start, reach) = (self.setup.start_ms, self.setup.history_ms.max(1) as f64);
        for _ in 0..self.setup.chats {
            self.add_chat();
        }
        for k in 0..self.setup.history_messages.max(self.setup.chats) {
            let chat = if k < self.chats.len() { k as u32 } else { self.pick_chat() };
            let back = self.life.f64();
            self.write_past(chat, start - 1 - (back * back * reach) as i64);
        }
    }

    /// Writes a message that was sent before the start.
    pub(super) fn write_past(&mut self, chat: u32, at: i64) {
        let start = self.setup.start_ms;
        let inbound = self.setup.inbound_per_minute + 1e-9;
        let inbound = inbound / (inbound + self.setup.outbound_per_minute + 1e-9);
        let inbound = chance(&mut self.life, inbound);
        let n = self.birth(chat, at, inbound);
        self.take_turns(n, at, start);
        let message = &mut self.messages[n as usize];
        if message.visible_from > start {
            let due = message.visible_from;
            self.moving += 1;
            self.push(due, Event::Show(n));
        } else {
            (message.visible, message.ever_visible) = (true, true);
            self.chats[chat as usize].visible.push(n);
        }
    }

    /// Brings a chat's order and counts in line with the messages it holds.
    pub(super) fn recount(&mut self, c: u32) {
        let all = &self.messages;
        let chat = &mut self.chats[c as usize];
        chat.visible.sort_unstable_by_key(|&m| (all[m as usize].time_sent, m));
        let (mut inbound, mut last_in, mut last_out) = (0, None, None);
        for &m in &chat.visible {
            let message = &all[m as usize];
            if message.inbound {
                inbound += 1;
                last_in = Some(message.time_sent);
            } else {
                last_out = Some(message.time_sent);
            }
        }
        (chat.inbound, chat.last_inbound, chat.last_outbound) = (inbound, last_in, last_out);
        self.relist(c);
    }

    pub(super) fn has_sources(&self) -> bool {
        SOURCES.iter().any(|source| source.rate(&self.setup) > 0.0) || !self.setup.conversations.is_empty()
    }

    pub(super) fn start_sources(&mut self) {
        for source in SOURCES {
            self.arm(source, self.setup.start_ms);
        }
        self.start_conversations();
    }

    pub(super) fn arm(&mut self, source: Source, at: i64) {
        let rate = source.rate(&self.setup);
        if rate > 0.0 {
            let wait = -(1.0 - self.life.f64()).ln() / rate;
            self.push(at + (wait.min(1e15) as i64).max(1), Event::Source(source));
        }
    }

    /// One occurrence of a source.
    pub(super) fn spring(&mut self, source: Source, at: i64) {
        if self.quiet {
            return;
        }
        self.arm(source, at);
        let silent = self.faults.is_everywhere(FaultKind::Silent);
        match source {
            Source::Inbound | Source::Outbound if !silent => {
                let chat = if chance(&mut self.life, self.setup.shares.new_chat) {
                    self.add_chat()
                } else {
                    self.pick_chat()
                };
                self.arrive(chat, at, source == Source::Inbound);
            }
            Source::Burst if !silent => {
                let chat = self.pick_chat();
                for _ in 0..self.setup.upheavals.burst_size {
                    let inbound = self.life.bool();
                    self.arrive(chat, at, inbound);
                }
            }
            Source::MessageDelete => self.delete_message(at),
            Source::ChatDelete => self.delete_chat(at),
            Source::Merge => self.merge(),
            Source::Outage => {
                let line = self.life.usize(0..self.lines.len());
                if self.lines[line].away_until.is_none() {
                    self.freeze(line);
                    let until = at + self.setup.upheavals.outage_ms.max(1);
                    self.lines[line].away_until = Some(until);
                    self.push(until, Event::DeviceBack(line as u16));
                }
            }
            Source::GroupChatter if !silent => {
                let group = self.busy_group();
                self.arrive(group, at, true);
            }
            Source::Line(line, act) if !silent => self.act(line, act, at),
            Source::Inbound | Source::Outbound | Source::Burst | Source::GroupChatter | Source::Line(..) => {}
        }
    }

    /// A chat that is alive; some are much busier than others.
    pub(super) fn pick_chat(&mut self) -> u32 {
        for _ in 0..8 {
            let u = self.life.f64();
            let n = (u * u * self.chats.len() as f64) as u32;
            if self.chats.get(n as usize).is_some_and(|c| c.standing == Standing::Alive) {
                return n;
            }
        }
        match self.chats.iter().position(|c| c.standing == Standing::Alive) {
            Some(n) => n as u32,
            None => self.add_chat(),
        }
    }

    /// A new message comes into being.
    pub(super) fn arrive(&mut self, chat: u32, at: i64, inbound: bool) {
        let number = &self.lines[usize::from(self.chats[chat as usize].line)].number;
        let is_silent = |kind| self.faults.of_line(kind, number).is_some();
        let one_way = if inbound { FaultKind::InboundSilent } else { FaultKind::OutboundSilent };
        if is_silent(FaultKind::Silent) || is_silent(one_way) {
            return;
        }
        let n = self.birth(chat, at, inbound);
        self.appear(n, at);
        if !inbound {
            let line = usize::from(self.messages[n as usize].line);
            let due = at + self.delay(50..300, line);
            self.push(due, Event::Turn(n));
            if chance(&mut self.life, self.setup.shares.both_sides) {
                self.copy_to_other_side(n, at);
            }
        }
    }

    /// Shows a message now, or when its time has come.
    pub(super) fn appear(&mut self, n: u32, at: i64) {
        let visible_from = self.messages[n as usize].visible_from;
        if visible_from > at {
            self.moving += 1;
            self.push(visible_from, Event::Show(n));
        } else {
            self.show(n, at);
        }
    }

    /// Draws a message and its destiny. It is not visible yet.
    pub(super) fn birth(&mut self, chat: u32, at: i64, inbound: bool) -> u32 {
        let n = self.messages.len() as u32;
        let line = self.chats[chat as usize].line;
        let number = &self.lines[usize::from(line)].number;
        let share_of = |kind| self.faults.of_line(kind, number).map(|t| t.value.or(t.share).unwrap_or(1.0));
        let (all_fail, all_fallback) = (share_of(FaultKind::AllFail), share_of(FaultKind::AllFallback));
        let imessage_share =
            self.faults.of_line(FaultKind::ImessageShare, number).map(|t| t.value.unwrap_or(0.5));
        let contact = self.conversations_of(line).map(|habits| habits.is_android(chat));
        let (rng, shares, knobs) = (&mut self.life, &self.setup.shares, &self.setup.knobs);

        let extras = qualities::extras(rng, shares, knobs);
        let odd = qualities::odd(rng, shares);
        let pulls = Pulls { all_fallback, imessage_share, is_android: contact };
        let route = qualities::route(rng, shares, inbound, pulls);
        let (fate, error) = qualities::fate(rng, shares, route, all_fail);
        let (time_sent, visible_from) = qualities::times(rng, shares, knobs, at);
        let mut message = Message {
            chat,
            twin: None,
            line,
            inbound,
            extras,
            odd,
            time_sent,
            visible_from,
            visible: false,
            ever_visible: false,
            deleted_at: None,
            time_delivered: None,
            status: Status::Pending,
            protocol: Protocol::Null,
            before: (Status::Pending, Protocol::Null),
            changed_at: at,
            route,
            fate,
            phase: Phase::Born,
            error,
            end: None,
            handed_over_at: None,
            fell_back: None,
        };
        if inbound {
            let (status, delivered) = qualities::inbound(rng, knobs, time_sent);
            message.time_delivered = delivered;
            let protocol = message.decided();
            message.change(at, status, protocol);
            message.phase = Phase::Done;
        } else {
            let protocol = message.undecided();
            message.change(at, Status::Pending, protocol);
            self.moving += 1;
        }
        message.before = (message.status, message.protocol);
        self.set_apart(&mut message);
        self.chats[chat as usize].newest = Some(n);
        self.messages.push(message);
        n
    }
}
