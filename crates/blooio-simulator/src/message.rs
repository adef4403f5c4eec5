//! A message as the world keeps it, and the words that can be on it.
//!
//! Texts, ids and addresses are not stored: they are made from the message's number when someone asks.

/// The `status` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Null,
    Pending,
    Queued,
    Sent,
    Delivered,
    Failed,
    CancellationRequested,
    Cancelled,
    Received,
    /// Delivered, and opened by the contact.
    Read,
}

impl Status {
    /// As the API writes it.
    pub(super) fn shown(self) -> Option<&'static str> {
        Some(match self {
            Status::Null => return None,
            Status::Pending => "pending",
            Status::Queued => "queued",
            Status::Sent => "sent",
            Status::Delivered => "delivered",
            Status::Failed => "failed",
            Status::CancellationRequested => "cancellation_requested",
            Status::Cancelled => "cancelled",
            Status::Received => "received",
            Status::Read => "read",
        })
    }

    /// Whether an outbound message ends here.
    pub(super) fn ends(self) -> bool {
        matches!(self, Status::Delivered | Status::Read | Status::Failed | Status::Cancelled)
    }
}

/// The `protocol` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Null,
    Pending,
    Imessage,
    Sms,
    Rcs,
    NonImessage,
    Unknown,
    Odd,
}

impl Protocol {
    /// As the API writes it.
    pub(super) fn shown(self) -> Option<&'static str> {
        Some(match self {
            Protocol::Null => return None,
            Protocol::Pending => "pending",
            Protocol::Imessage => "imessage",
            Protocol::Sms => "sms",
            Protocol::Rcs => "rcs",
            Protocol::NonImessage => "non-imessage",
            Protocol::Unknown => "unknown",
            Protocol::Odd => "carrier-pigeon",
        })
    }

    /// As a metrics label calls it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Protocol::Odd => "other",
            other => other.shown().unwrap_or("none"),
        }
    }

    /// Whether it means that the message did not travel by iMessage.
    pub(super) fn fell_back(self) -> bool {
        matches!(self, Protocol::Sms | Protocol::Rcs | Protocol::NonImessage)
    }
}

/// Which way a message is going to travel. Decided at birth, shown later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Imessage,
    Sms,
    Rcs,
    /// Tried on iMessage, then the given protocol.
    Fallback(Protocol),
    /// The service of the message is never resolved.
    Unresolved,
}

/// How a message is going to end. Decided at birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Delivered,
    StaysSent,
    FailsInQueue,
    FailsAfterSending,
    Cancelled,
    CancelledTooLate,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Born,
    Queued,
    CancelAsked,
    Sent,
    RouteDecided,
    Done,
}

/// Something about one message that no schema would expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    No,
    /// `protocol` has an undocumented value.
    ProtocolName,
    /// The key `protocol` is missing.
    ProtocolMissing,
    /// While open, `status` has an undocumented value.
    StatusName,
    /// Delivered without a `time_delivered`.
    NoTimeDelivered,
    /// The row has no `message_id`.
    NoId,
    /// The row has no `direction`.
    NoDirection,
    /// The row has no `time_sent`.
    NoTime,
    /// The row is not an object.
    NotARow,
}

impl Odd {
    /// Whether such a row cannot be counted.
    pub(super) fn unusable(self) -> bool {
        matches!(self, Odd::NoId | Odd::NoDirection | Odd::NoTime | Odd::NotARow)
    }
}

/// Texts of the `error` field, each with the class that a reader should find for it.
pub(super) const ERRORS: &[(&str, &str)] = &[
    ("", "none"),
    ("Recipient is not registered with iMessage", "not_on_imessage"),
    ("Send failed: iMessage error 22", "not_on_imessage"),
    ("Recipient could not be reached", "unreachable"),
    ("Destination handset is unreachable", "unreachable"),
    ("Timed out while waiting for the message to be sent", "timeout"),
    ("The request timeout of the device was exceeded", "timeout"),
    ("Message was rejected by the carrier", "rejected"),
    ("Rate limit exceeded for this line", "rate_limited"),
    ("Too many requests: sending was rate limited", "rate_limited"),
    ("Device is offline", "device_offline"),
    ("Attachment is too large", "attachment"),
    ("Attachment could not be uploaded", "attachment"),
    ("Flux inverter misaligned", "other"),
];

/// The text that an unresolved message may carry.
pub(super) const UNRESOLVED_TEXT: &str = "Service was not resolved before tracking ended";

/// Things a message may have besides its text.
pub(super) mod extra {
    /// Flag of a message with one attachment.
    pub(crate) const ATTACHMENT: u16 = 1;
    /// It answers another message.
    pub(crate) const REPLY: u16 = 2;
    /// Someone reacted to it.
    pub(crate) const REACTION: u16 = 4;
    /// Flag of a message whose `text` is null.
    pub(crate) const NO_TEXT: u16 = 8;
    /// Flag of a message whose `internal_id` is null.
    pub(crate) const NO_LINE: u16 = 16;
    /// It uses the protocol names of the legacy era.
    pub(crate) const LEGACY: u16 = 32;
    /// Its delivery will be dated before its sending.
    pub(crate) const NEGATIVE: u16 = 64;
    /// It will show another status after its end.
    pub(crate) const REGRESSES: u16 = 128;
    /// Its end is `read` instead of `delivered`.
    pub(crate) const READ: u16 = 256;
    /// Half an emoji stands in its text and its error.
    pub(crate) const SURROGATE: u16 = 512;
    /// An undocumented field holds a number beyond every float.
    pub(crate) const HUGE: u16 = 1_024;
    /// It went to another line of the organisation.
    pub(crate) const BOTH_SIDES: u16 = 2_048;
}

/// One message. Its number is its place in the world's list.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) chat: u32,
    /// The copy on the other side of a message between two lines: it shares the id.
    pub(super) twin: Option<u32>,
    pub(super) line: u16,
    pub(super) inbound: bool,
    pub(super) extras: u16,
    pub(super) odd: Odd,
    pub(super) time_sent: i64,
    pub(super) visible_from: i64,
    pub(super) visible: bool,
    pub(super) ever_visible: bool,
    pub(super) deleted_at: Option<i64>,
    pub(super) time_delivered: Option<i64>,
    pub(super) status: Status,
    pub(super) protocol: Protocol,
    /// What a replica that lags behind still shows, and until when it may.
    pub(super) before: (Status, Protocol),
    pub(super) changed_at: i64,
    pub(super) route: Route,
    pub(super) fate: Fate,
    pub(super) phase: Phase,
    pub(super) error: u8,
    pub(super) end: Option<(Status, Protocol, i64)>,
    pub(super) handed_over_at: Option<i64>,
    pub(super) fell_back: Option<Protocol>,
}

impl Message {
    pub(super) fn has(&self, what: u16) -> bool {
        self.extras & what != 0
    }

    /// Sets status and protocol, and remembers what stood there before.
    pub(super) fn change(&mut self, at: i64, status: Status, protocol: Protocol) {
        self.before = (self.status, self.protocol);
        self.changed_at = at;
        self.status = status;
        self.protocol = if self.odd == Odd::ProtocolName { Protocol::Odd } else { protocol };
        if self.fell_back.is_none() && !self.inbound && self.shown_protocol().fell_back() {
            self.fell_back = Some(self.protocol);
        }
        if self.end.is_none() && !self.inbound && status.ends() {
            let end = if status == Status::Read { Status::Delivered } else { status };
            self.end = Some((end, self.shown_protocol(), at));
        }
    }

    /// The protocol a reader can know.
    pub(super) fn shown_protocol(&self) -> Protocol {
        if self.odd == Odd::ProtocolMissing { Protocol::Null } else { self.protocol }
    }

    /// The protocol before anything is decided.
    pub(super) fn undecided(&self) -> Protocol {
        if self.has(extra::LEGACY) { Protocol::Null } else { Protocol::Pending }
    }

    /// The protocol once it is decided.
    pub(super) fn decided(&self) -> Protocol {
        let legacy = self.has(extra::LEGACY);
        match self.route {
            Route::Imessage => Protocol::Imessage,
            Route::Unresolved if legacy => Protocol::Null,
            Route::Unresolved => Protocol::Unknown,
            Route::Sms | Route::Rcs | Route::Fallback(_) if legacy => Protocol::NonImessage,
            Route::Sms => Protocol::Sms,
            Route::Rcs => Protocol::Rcs,
            Route::Fallback(to) => to,
        }
    }
}

/// Message ids do not tell their order: consecutive numbers are spread over the whole range, and can be found again.
const SPREAD: u32 = 2_654_435_761;
const GATHER: u32 = inverse(SPREAD);

const fn inverse(odd: u32) -> u32 {
    let mut x: u32 = 1;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// The id of message number `n` in the world with this tag.
pub(super) fn id_of(tag: u32, n: u32) -> String {
    format!("msg_{tag:06x}{:08x}", n.wrapping_mul(SPREAD))
}

/// The number behind an id, if it can be one of this world's.
pub(super) fn number_of(tag: u32, id: &str) -> Option<u32> {
    let rest = id.strip_prefix("msg_")?;
    if rest.len() != 14 || !rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let (head, tail) = rest.split_at(6);
    if u32::from_str_radix(head, 16).ok()? != tag {
        return None;
    }
    Some(u32::from_str_radix(tail, 16).ok()?.wrapping_mul(GATHER))
}

/// The text of message number `n`.
pub(super) fn text_of(tag: u32, n: u32) -> String {
    format!("canary text {tag:06x}-{n}, see you at the harbour")
}

/// The address of the attachment of message number `n`.
pub(super) fn attachment_of(tag: u32, n: u32) -> String {
    format!("https://cdn.example/{}", attachment_name(tag, n))
}

/// The file name of the same.
pub(super) fn attachment_name(tag: u32, n: u32) -> String {
    format!("canary-attachment-{tag:06x}-{n}.heic")
}

/// The mark inside the error text of message number `n`, by which a leak can be found.
pub(super) fn error_mark(tag: u32, n: u32) -> String {
    format!("canary-error-{tag:06x}-{n}")
}

/// The `guid` of the message that number `n` answers.
pub(super) fn guid_of(tag: u32, n: u32) -> String {
    format!("CANARY-GUID-{tag:06X}-{n}")
}

/// The `direction` of a message, `inbound` or `outbound`.
pub(super) fn direction(m: &Message) -> &'static str {
    if m.inbound { "inbound" } else { "outbound" }
}

/// What `status` shows for a message that has this one.
pub(super) fn shown_status(m: &Message, status: Status) -> Option<&'static str> {
    let before_sending = matches!(status, Status::Pending | Status::Queued | Status::CancellationRequested);
    if m.odd == Odd::StatusName && before_sending { Some("teleporting") } else { status.shown() }
}
