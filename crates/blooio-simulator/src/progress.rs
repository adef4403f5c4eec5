//! How a message moves on: from its acceptance to its end.

use super::fault::FaultKind;
use super::message::{Fate, Odd, Phase, Protocol, Route, Status, extra};
use super::source::chance;
use super::world::{Event, World};

impl World {
    /// A plausible delay, made shorter by the pace and longer by a fault.
    pub(super) fn scaled(&self, ms: i64, line: usize) -> i64 {
        let slow = self.faults.of_line(FaultKind::Slow, &self.lines[line].number);
        let factor = slow.map_or(1.0, |t| t.value.unwrap_or(10.0));
        ((ms as f64 * factor / self.setup.pace.max(1e-6)).min(1e13) as i64).max(1)
    }

    pub(super) fn delay(&mut self, range: std::ops::Range<i64>, line: usize) -> i64 {
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
