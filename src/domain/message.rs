//! A message as the ledger holds it. It has no text, no contact and no id that the API would recognise.

pub use super::ids::Direction;
use super::ids::{LineId, MessageId};
use super::vocabulary::vocabulary;

vocabulary! {
    /// By which service a message travels, as the API's `protocol` says.
    Protocol {
        /// iMessage, between devices of Apple.
        Imessage = 0 "imessage",
        /// Fell back to SMS.
        Sms = 1 "sms",
        /// Fell back to RCS.
        Rcs = 2 "rcs",
        /// Left iMessage, without saying for what (older servers).
        NonImessage = 3 "non-imessage",
        /// Accepted, service not resolved yet.
        Pending = 4 "pending",
        /// The carrier took it, the service was never resolved.
        Unknown = 5 "unknown",
        /// The API gives null or no field.
        None = 6 "none",
        /// A value outside the known ones.
        Other = 7 "other",
    }
}

impl Protocol {
    /// The protocols whose series exist from the start.
    pub const USUAL: [Protocol; 3] = [Protocol::Imessage, Protocol::Sms, Protocol::Rcs];

    /// Travels by another service instead of iMessage.
    pub const fn is_fallback(self) -> bool {
        matches!(self, Protocol::Sms | Protocol::Rcs | Protocol::NonImessage)
    }
}

vocabulary! {
    /// The `status` of a message.
    Status {
        /// Stored and being prepared.
        Pending = 0 "pending",
        /// Accepted, waiting to be handed over.
        Queued = 1 "queued",
        /// Handed over to Apple or the carrier. Not an end: a receipt may come, or never.
        Sent = 2 "sent",
        /// A receipt came. An end.
        Delivered = 3 "delivered",
        /// An end: the message did not arrive.
        Failed = 4 "failed",
        /// Asked to be cancelled while queued; best effort, so still open.
        CancellationRequested = 5 "cancellation_requested",
        /// An end that is not a failure.
        Cancelled = 6 "cancelled",
        /// The API gives null or no field.
        None = 7 "none",
        /// A value outside the known ones.
        Other = 8 "other",
    }
}

impl Status {
    /// The statuses of an open message whose series exist from the start.
    pub const USUAL_OPEN: [Status; 4] =
        [Status::Pending, Status::Queued, Status::Sent, Status::CancellationRequested];

    /// An end, after which the API promises no other.
    pub const fn is_end(self) -> bool {
        matches!(self, Status::Delivered | Status::Failed | Status::Cancelled)
    }

    /// Known to have been handed over to Apple or the carrier.
    pub const fn is_handed_over(self) -> bool {
        matches!(self, Status::Sent | Status::Delivered)
    }
}

vocabulary! {
    /// The class of a message's `error` text. The text itself is never kept.
    Reason {
        /// The recipient is not registered with iMessage.
        NotOnImessage = 0 "not_on_imessage",
        /// The recipient cannot be reached.
        Unreachable = 1 "unreachable",
        /// Something took too long.
        Timeout = 2 "timeout",
        /// Rejected: blocked, filtered, not allowed.
        Rejected = 3 "rejected",
        /// Too many messages were sent in too short a time.
        RateLimited = 4 "rate_limited",
        /// The line's device is away.
        DeviceOffline = 5 "device_offline",
        /// An attachment could not be sent.
        Attachment = 6 "attachment",
        /// Failed without a text.
        None = 7 "none",
        /// A text of no known class.
        Other = 8 "other",
    }
}

/// What one reading of the API says of one message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The hashed id of the message.
    pub id: MessageId,
    /// Whether it was received or sent.
    pub direction: Direction,
    /// The organisation's line, from `internal_id`.
    pub line: LineId,
    /// When it was sent (`time_sent`), unix ms.
    pub sent_at: i64,
    /// `time_delivered`, unix ms, where there is one.
    pub delivered_at: Option<i64>,
    /// Its `status` as the API shows it.
    pub status: Status,
    /// Its `protocol` as the API shows it.
    pub protocol: Protocol,
    /// Class of the error text; counted only when the message ended `failed`.
    pub reason: Reason,
}

impl Observation {
    /// Whether nothing more is expected of it. Inbound messages have arrived, whatever their status says.
    pub fn is_final(&self) -> bool {
        self.direction == Direction::Inbound || self.status.is_end()
    }
}

/// What the ledger remembers of a message: 16 bytes beside its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// `time_sent`, the latest shown: a server may rewrite it at hand-over.
    pub sent_at: i64,
    /// The line it was first seen on. Later readings do not move it: the conservation law holds per line.
    pub line: LineId,
    /// The last one seen; for an ended message the end that was counted.
    pub status: Status,
    /// The last one seen, up to the end.
    pub protocol: Protocol,
    flags: u8,
}

const OUTBOUND: u8 = 1;
const HISTORY: u8 = 2;
const ENDED: u8 = 4;
const SENT: u8 = 8;
const FALLBACK: u8 = 16;
const REGRESSED: u8 = 32;
const GIVEN_UP: u8 = 64;
const LEFT_IMESSAGE: u8 = 128;

impl Tracked {
    pub(super) fn new(observation: &Observation, history: bool) -> Tracked {
        let outbound = if observation.direction == Direction::Outbound { OUTBOUND } else { 0 };
        let history = if history { HISTORY } else { 0 };
        Tracked {
            sent_at: observation.sent_at,
            line: observation.line,
            status: observation.status,
            protocol: observation.protocol,
            flags: outbound | history,
        }
    }

    /// Which way it went.
    pub fn direction(&self) -> Direction {
        if self.flags & OUTBOUND != 0 { Direction::Outbound } else { Direction::Inbound }
    }

    /// Sent before the account's first start: shown in gauges, in no counter.
    pub fn is_history(&self) -> bool {
        self.flags & HISTORY != 0
    }

    /// Counted as ended, in whatever way.
    pub fn is_ended(&self) -> bool {
        self.flags & ENDED != 0
    }

    /// Known to have been handed over, at some time.
    pub fn was_handed_over(&self) -> bool {
        self.flags & SENT != 0
    }

    /// Ended by us: `unconfirmed`.
    pub fn is_given_up(&self) -> bool {
        self.flags & GIVEN_UP != 0
    }

    pub(super) fn end(&mut self) {
        self.flags |= ENDED;
    }

    pub(super) fn give_up(&mut self) {
        self.flags |= ENDED | GIVEN_UP;
    }

    /// Sets the flag and says whether it was unset: true exactly once.
    fn first(&mut self, flag: u8) -> bool {
        let first = self.flags & flag == 0;
        self.flags |= flag;
        first
    }

    pub(super) fn first_sent(&mut self) -> bool {
        self.first(SENT)
    }

    pub(super) fn first_fallback(&mut self) -> bool {
        self.first(FALLBACK)
    }

    pub(super) fn first_to_leave_imessage(&mut self) -> bool {
        self.first(LEFT_IMESSAGE)
    }

    pub(super) fn first_regression(&mut self) -> bool {
        self.first(REGRESSED)
    }

    /// Everything but the time, in one integer, for the store.
    pub fn pack(&self) -> i64 {
        i64::from(self.line.0) << 24
            | i64::from(self.status.number()) << 16
            | i64::from(self.protocol.number()) << 8
            | i64::from(self.flags)
    }

    /// The inverse of [`Tracked::pack`]; `None` for an integer that no version wrote.
    pub fn unpack(sent_at: i64, packed: i64) -> Option<Tracked> {
        let byte = |shift: u32| (packed >> shift) as u8;
        if packed >> 40 != 0 {
            return None;
        }
        Some(Tracked {
            sent_at,
            line: LineId((packed >> 24) as u16),
            status: Status::from_number(byte(16))?,
            protocol: Protocol::from_number(byte(8))?,
            flags: byte(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracked_message_survives_packing_and_stays_small() {
        let observation = Observation {
            id: MessageId(1),
            direction: Direction::Outbound,
            line: LineId(65535),
            sent_at: 1_791_208_761_220,
            delivered_at: None,
            status: Status::Other,
            protocol: Protocol::Other,
            reason: Reason::None,
        };
        let mut tracked = Tracked::new(&observation, true);
        tracked.first_sent();
        assert_eq!(Tracked::unpack(tracked.sent_at, tracked.pack()), Some(tracked));
        assert_eq!(size_of::<Tracked>(), 16);
        assert_eq!(Tracked::unpack(0, 0xff << 16), None, "a status that no version wrote");
    }

    #[test]
    fn nothing_more_is_expected_of_what_arrived_or_ended() {
        for (direction, status, is_final) in [
            (Direction::Inbound, Status::Queued, true),
            (Direction::Inbound, Status::Delivered, true),
            (Direction::Outbound, Status::Queued, false),
            (Direction::Outbound, Status::Sent, false),
            (Direction::Outbound, Status::CancellationRequested, false),
            (Direction::Outbound, Status::Delivered, true),
            (Direction::Outbound, Status::Failed, true),
            (Direction::Outbound, Status::Cancelled, true),
        ] {
            let observation = Observation {
                id: MessageId(1),
                direction,
                line: LineId(1),
                sent_at: 1,
                delivered_at: None,
                status,
                protocol: Protocol::Imessage,
                reason: Reason::None,
            };
            assert_eq!(observation.is_final(), is_final, "{direction:?}, {status:?}");
        }
    }

    #[test]
    fn each_thing_that_is_counted_once_is_news_once_whatever_else_happened() {
        let firsts: [fn(&mut Tracked) -> bool; 4] = [
            Tracked::first_sent,
            Tracked::first_fallback,
            Tracked::first_to_leave_imessage,
            Tracked::first_regression,
        ];
        let mut tracked = Tracked::unpack(1, 0).unwrap();
        for first in firsts {
            assert!(first(&mut tracked) && !first(&mut tracked));
            assert!(!tracked.is_ended() && !tracked.is_given_up() && !tracked.is_history());
        }
        tracked.end();
        tracked.give_up();
        assert!(tracked.is_ended() && tracked.is_given_up(), "what ended stays so");
        assert!(firsts.iter().all(|first| !first(&mut tracked)));
    }
}
