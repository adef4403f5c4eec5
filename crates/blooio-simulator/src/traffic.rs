//! What happens in the world: messages are born and move, chats merge and vanish, devices go away.

use super::chat::Standing;
use super::conversation::Act;
use super::fault::FaultKind;
use super::message::{ERRORS, Fate, Message, Odd, Phase, Protocol, Route, Status, extra};
use super::setup::{Era, InboundDelivered, InboundStatus, Setup};
use super::world::{Event, World};

/// Something that keeps happening at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Inbound,
    Outbound,
    Burst,
    MessageDelete,
    ChatDelete,
    Merge,
    Outage,
    GroupChatter,
    /// A conversation of this line.
    Line(u16, Act),
}

const SOURCES: [Source; 8] = [
    Source::Inbound,
    Source::Outbound,
    Source::Burst,
    Source::MessageDelete,
    Source::ChatDelete,
    Source::Merge,
    Source::Outage,
    Source::GroupChatter,
];

impl Source {
    /// How often it happens, per millisecond.
    fn rate(self, setup: &Setup) -> f64 {
        let up = &setup.upheavals;
        match self {
            Source::Inbound => setup.inbound_per_minute / 60_000.0,
            Source::Outbound => setup.outbound_per_minute / 60_000.0,
            Source::Burst => up.bursts_per_hour / 3_600_000.0,
            Source::MessageDelete => up.message_deletes_per_hour / 3_600_000.0,
            Source::ChatDelete => up.chat_deletes_per_hour / 3_600_000.0,
            Source::Merge => up.merges_per_hour / 3_600_000.0,
            Source::Outage => up.outages_per_hour / 3_600_000.0,
            Source::GroupChatter => up.group_chatter_per_minute / 60_000.0,
            Source::Line(line, act) => act.rate(setup, line),
        }
    }
}

pub(super) fn chance(rng: &mut fastrand::Rng, share: f64) -> bool {
    share > 0.0 && rng.f64() < share
}

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
        if is_silent(FaultKind::Silent) || inbound && is_silent(FaultKind::InboundSilent) {
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

        let few = rng.u8(..) & rng.u8(..) & rng.u8(..);
        let mut extras = u16::from(few) & (extra::ATTACHMENT | extra::REPLY | extra::REACTION);
        if extras & extra::ATTACHMENT != 0 && rng.bool() {
            extras |= extra::NO_TEXT;
        }
        for (share, what) in [
            (shares.no_line, extra::NO_LINE),
            (shares.negative_latency, extra::NEGATIVE),
            (shares.regress, extra::REGRESSES),
            (shares.read, extra::READ),
            (shares.lone_surrogate, extra::SURROGATE),
            (shares.huge_number, extra::HUGE),
        ] {
            if chance(rng, share) {
                extras |= what;
            }
        }
        if knobs.era == Era::Legacy || knobs.era == Era::Mixed && rng.bool() {
            extras |= extra::LEGACY;
        }
        let odd = if chance(rng, shares.unusable) {
            [Odd::NoId, Odd::NoDirection, Odd::NoTime, Odd::NotARow][rng.usize(0..4)]
        } else if chance(rng, shares.odd) {
            [Odd::ProtocolName, Odd::ProtocolMissing, Odd::StatusName, Odd::NoTimeDelivered][rng.usize(0..4)]
        } else {
            Odd::No
        };

        let draw = rng.f64();
        let falls_back = match all_fallback {
            Some(share) => chance(rng, share),
            None => draw < shares.fallback,
        };
        let route = if !inbound && falls_back {
            Route::Fallback(if rng.u8(0..4) == 0 { Protocol::Rcs } else { Protocol::Sms })
        } else if !inbound && draw < shares.fallback + shares.unresolved {
            Route::Unresolved
        } else if let Some(is_android) = contact {
            if is_android { Route::Sms } else { Route::Imessage }
        } else if draw < shares.fallback + shares.unresolved + shares.sms {
            Route::Sms
        } else if draw < shares.fallback + shares.unresolved + shares.sms + shares.rcs {
            Route::Rcs
        } else {
            Route::Imessage
        };
        let route = match imessage_share {
            Some(share) if !inbound && route == Route::Imessage && !chance(rng, share) => {
                Route::Fallback(Protocol::Sms)
            }
            _ => route,
        };
        let draw = rng.f64();
        let fails = match all_fail {
            Some(share) => chance(rng, share),
            None => draw < shares.failed,
        };
        let by_sms = matches!(route, Route::Sms | Route::Fallback(Protocol::Sms));
        let fate = if fails {
            if rng.bool() { Fate::FailsInQueue } else { Fate::FailsAfterSending }
        } else if draw >= shares.failed && draw < shares.failed + shares.cancelled {
            if chance(rng, shares.cancelled_too_late) { Fate::CancelledTooLate } else { Fate::Cancelled }
        } else if route == Route::Unresolved || by_sms && chance(rng, shares.sms_stay_sent) {
            Fate::StaysSent
        } else {
            Fate::Delivered
        };
        let error = if fails { rng.usize(0..ERRORS.len()) as u8 } else { 0 };

        let mut time_sent = at;
        let mut visible_from = at;
        if chance(rng, shares.late) {
            let (least, most) = shares.late_ms;
            visible_from = at + rng.i64(least..=most.max(least));
        } else if chance(rng, shares.future) {
            time_sent = at + rng.i64(60_000..86_400_000);
        } else if chance(rng, shares.far_future) {
            time_sent = at + rng.i64(400..4_000) * 86_400_000;
        }
        if knobs.time_grain_ms > 1 {
            time_sent -= time_sent.rem_euclid(knobs.time_grain_ms);
        }
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
            let status = match knobs.inbound_status {
                InboundStatus::Null => Status::Null,
                InboundStatus::Delivered => Status::Delivered,
                InboundStatus::Received => Status::Received,
                InboundStatus::Mixed => [Status::Null, Status::Delivered, Status::Received][rng.usize(0..3)],
            };
            message.time_delivered = match knobs.inbound_delivered {
                InboundDelivered::Null => None,
                InboundDelivered::Same => Some(time_sent),
                InboundDelivered::Later => Some(time_sent + rng.i64(1_000..3_000)),
            };
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

    /// A plausible delay, made shorter by the pace and longer by a fault.
    pub(super) fn scaled(&self, ms: i64, line: usize) -> i64 {
        let slow = self.faults.of_line(FaultKind::Slow, &self.lines[line].number);
        let factor = slow.map_or(1.0, |t| t.value.unwrap_or(10.0));
        ((ms as f64 * factor / self.setup.pace.max(1e-6)).min(1e13) as i64).max(1)
    }

    fn delay(&mut self, range: std::ops::Range<i64>, line: usize) -> i64 {
        let ms = self.life.i64(range);
        self.scaled(ms, line)
    }

    /// Lets a message move from `at` on as far as `until`, and plans its next turn.
    pub(super) fn take_turns(&mut self, n: u32, mut at: i64, until: i64) {
        if self.messages[n as usize].phase == Phase::Done {
            return;
        }
        while let Some(wait) = self.turn(n, at) {
            at += wait;
            if at > until {
                self.push(at, Event::Turn(n));
                return;
            }
        }
    }

    /// One turn of an outbound message; says after how many milliseconds the next one comes.
    fn turn(&mut self, n: u32, at: i64) -> Option<i64> {
        let i = n as usize;
        let (phase, fate, line) =
            (self.messages[i].phase, self.messages[i].fate, usize::from(self.messages[i].line));
        match (phase, fate) {
            (Phase::Born, _) => {
                let protocol = self.messages[i].undecided();
                self.messages[i].change(at, Status::Queued, protocol);
                self.messages[i].phase = Phase::Queued;
                Some(match fate {
                    Fate::Cancelled | Fate::CancelledTooLate => self.delay(200..1_500, line),
                    Fate::FailsInQueue => self.delay(1_000..20_000, line),
                    _ => self.delay(500..4_000, line),
                })
            }
            (Phase::Queued, Fate::Cancelled | Fate::CancelledTooLate) => {
                let protocol = self.messages[i].undecided();
                self.messages[i].change(at, Status::CancellationRequested, protocol);
                self.messages[i].phase = Phase::CancelAsked;
                Some(self.delay(200..3_000, line))
            }
            (Phase::CancelAsked, Fate::Cancelled) => {
                let protocol = self.messages[i].undecided();
                self.end(n, at, Status::Cancelled, protocol)
            }
            (Phase::Queued | Phase::CancelAsked, _) if self.blocked(line) => {
                self.lines[line].parked.push(n);
                None
            }
            (Phase::Queued, Fate::FailsInQueue) => {
                let message = &self.messages[i];
                let legacy = message.has(extra::LEGACY);
                let protocol = if legacy { message.decided() } else { message.undecided() };
                self.end(n, at, Status::Failed, protocol)
            }
            (Phase::Queued | Phase::CancelAsked, _) => self.hand_over(n, at),
            (Phase::Sent, _) if matches!(self.messages[i].route, Route::Fallback(_) | Route::Unresolved) => {
                let protocol = self.messages[i].decided();
                self.messages[i].change(at, Status::Sent, protocol);
                self.messages[i].phase = Phase::RouteDecided;
                self.wait_for_end(n)
            }
            (Phase::Sent | Phase::RouteDecided, Fate::FailsAfterSending) => {
                let protocol = self.messages[i].protocol;
                self.end(n, at, Status::Failed, protocol)
            }
            (Phase::Sent | Phase::RouteDecided, _) => {
                let protocol = self.messages[i].protocol;
                self.end(n, at, Status::Delivered, protocol)
            }
            (Phase::Done, _) => None,
        }
    }

    /// The device gives the message to Apple or to the carrier.
    fn hand_over(&mut self, n: u32, at: i64) -> Option<i64> {
        let i = n as usize;
        let line = usize::from(self.messages[i].line);
        if self.setup.knobs.rewrite_time_sent {
            let visible = self.messages[i].visible;
            if visible {
                self.remove(n);
            }
            self.messages[i].time_sent = at - at.rem_euclid(self.setup.knobs.time_grain_ms.max(1));
            if visible {
                self.insert(n);
            }
        }
        let is_on = |kind| self.faults.of_line(kind, &self.lines[line].number).is_some();
        let no_receipts = is_on(FaultKind::NoReceipts) || is_on(FaultKind::ShadowLimited);
        self.expect_reply(n, at);
        let coin = self.life.bool();
        let message = &mut self.messages[i];
        let protocol = match message.route {
            Route::Fallback(_) if coin => Protocol::Imessage,
            Route::Fallback(_) | Route::Unresolved => message.undecided(),
            _ => message.decided(),
        };
        message.change(at, Status::Sent, protocol);
        message.phase = Phase::Sent;
        message.handed_over_at = Some(at);
        let route = message.route;
        if no_receipts && matches!(message.fate, Fate::Delivered | Fate::CancelledTooLate) {
            message.fate = Fate::StaysSent;
        }
        self.happens(n, at, "message.sent");
        match route {
            Route::Fallback(_) | Route::Unresolved => Some(self.delay(5_000..60_000, line)),
            _ => self.wait_for_end(n),
        }
    }

    /// How long a message that was handed over waits for its end.
    fn wait_for_end(&mut self, n: u32) -> Option<i64> {
        let message = &self.messages[n as usize];
        let (line, route) = (usize::from(message.line), message.route);
        match message.fate {
            Fate::StaysSent => {
                self.stop(n);
                None
            }
            Fate::FailsAfterSending => Some(self.delay(2_000..60_000, line)),
            _ if route == Route::Imessage => {
                if chance(&mut self.life, self.setup.shares.long_tail) {
                    Some(self.delay(300_000..7_200_000, line))
                } else {
                    Some(self.delay(300..5_000, line))
                }
            }
            _ => Some(self.delay(800..12_000, line)),
        }
    }

    fn end(&mut self, n: u32, at: i64, status: Status, protocol: Protocol) -> Option<i64> {
        let before = self.life.i64(1..2_000);
        let message = &mut self.messages[n as usize];
        let read = status == Status::Delivered && message.has(extra::READ);
        message.change(at, if read { Status::Read } else { status }, protocol);
        if status == Status::Delivered && message.odd != Odd::NoTimeDelivered {
            let negative = message.has(extra::NEGATIVE);
            message.time_delivered = Some(if negative { message.time_sent - before } else { at });
        }
        match status {
            Status::Failed => self.happens(n, at, "message.failed"),
            Status::Delivered => self.happens(n, at, "message.delivered"),
            _ => {}
        }
        if read {
            self.happens(n, at, "message.read");
        }
        self.stop(n);
        if self.messages[n as usize].has(extra::REGRESSES) {
            self.moving += 1;
            let wait = self.delay(600_000..1_200_000, usize::from(self.messages[n as usize].line));
            self.push(at + wait, Event::Regress(n));
        }
        None
    }

    /// An ended message shows another status, as a stale replica or a late receipt would have it.
    pub(super) fn regress(&mut self, n: u32, at: i64) {
        self.moving = self.moving.saturating_sub(1);
        let message = &mut self.messages[n as usize];
        let arrived = matches!(message.status, Status::Delivered | Status::Read);
        let next = if arrived { Status::Sent } else { Status::Delivered };
        let protocol = message.protocol;
        message.change(at, next, protocol);
    }
}
