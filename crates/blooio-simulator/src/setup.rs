//! What a world is made from.
//!
//! [`Knobs`] holds one setting for each question that only a live key could answer, so that both readings can be
//! tested. The defaults are the readings nearest to the evidence.

pub use super::knobs::{
    Bounds, DateHeader, Era, ErrorBody, InboundDelivered, InboundStatus, Knobs, LastActive, LimitRule, Order,
    RateLimit, RetryAfter, Totals,
};

/// Everything a world is built from. Two worlds built from equal setups are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Seed of every random choice.
    pub seed: u64,
    /// Unix milliseconds at which the world begins; its history lies before.
    pub start_ms: i64,
    /// The bearer key that is accepted.
    pub key: String,
    /// Number of the organisation's own lines (at least 1).
    pub lines: usize,
    /// Number of conversations at the start.
    pub chats: usize,
    /// Share of conversations that are e-mail addresses (0 to 1).
    pub email_share: f64,
    /// Share of conversations that are groups (0 to 1).
    pub group_share: f64,
    /// Number of messages that lie before the start; every chat gets at least one.
    pub history_messages: usize,
    /// How far the history reaches back, in milliseconds. It is denser towards the start.
    pub history_ms: i64,
    /// Whether the history follows hours, days of the week and seasons instead, and its conversations begin all along.
    pub seasons: bool,
    /// Mean number of new inbound messages per minute.
    pub inbound_per_minute: f64,
    /// Mean number of new outbound messages per minute.
    pub outbound_per_minute: f64,
    /// What the lines send in conversations, and what comes back: line number n takes element n, and so on from the
    /// start. Without an element, inbound and outbound messages are two streams that do not depend on each other.
    pub conversations: Vec<Conversations>,
    /// How many times faster than plausible a message moves through its statuses.
    pub pace: f64,
    /// Most rows the server puts on one page, whatever was asked for (the API documents 200).
    pub page_cap: usize,
    /// How often what happens to a message.
    pub shares: Shares,
    /// What happens to the world as a whole, and how often.
    pub upheavals: Upheavals,
    /// How the API behaves where its documentation leaves it open.
    pub knobs: Knobs,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            seed: 1,
            start_ms: 1_791_208_800_000,
            key: "bl_live_SIMULATED".to_owned(),
            lines: 3,
            chats: 60,
            email_share: 0.15,
            group_share: 0.15,
            history_messages: 600,
            history_ms: 48 * 3_600_000,
            seasons: false,
            inbound_per_minute: 20.0,
            outbound_per_minute: 30.0,
            conversations: Vec::new(),
            pace: 1.0,
            page_cap: 200,
            shares: Shares::default(),
            upheavals: Upheavals::default(),
            knobs: Knobs::default(),
        }
    }
}

impl Setup {
    /// A world small and lively enough for thousands of seeds: 20 chats, 400 messages, pages of 5.
    pub fn small(seed: u64) -> Setup {
        Setup {
            seed,
            chats: 20,
            history_messages: 400,
            history_ms: 2 * 3_600_000,
            inbound_per_minute: 3.0,
            outbound_per_minute: 3.0,
            page_cap: 5,
            ..Setup::default()
        }
    }
}

/// What a line sends in conversations, and how its contacts answer. Whether a contact writes by iMessage or by SMS is
/// a property of the contact here, not of the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversations {
    /// Conversations that the organisation starts, per day.
    pub started_per_day: f64,
    /// Messages to contacts of earlier conversations, per day.
    pub outbound_per_day: f64,
    /// Messages that contacts write without being written to, per day.
    pub inbound_per_day: f64,
    /// Share of these that start a conversation.
    pub inbound_new: f64,
    /// Share of the first messages of the organisation that are answered.
    pub answered: f64,
    /// Share of its later messages that are answered.
    pub replies: f64,
    /// Median time from hand-over to the reply, in milliseconds. The times are distributed log-normally.
    pub reply_ms: i64,
    /// Standard deviation of the logarithm of that time.
    pub reply_spread: f64,
    /// Share of the contacts' messages that the organisation answers, a minute later in the median.
    pub responses: f64,
    /// After how many messages in a row without a reply the organisation stops writing to a contact.
    pub patience: usize,
    /// Share of the contacts who cannot be reached by iMessage.
    pub android: f64,
    /// First and last hour of the day (UTC) in which acts happen without a message before them; the rates per day are
    /// kept.
    pub hours: (i64, i64),
    /// Many messages in a short time, again and again.
    pub campaign: Option<Campaign>,
}

/// Many messages in a short time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Campaign {
    /// From the start of the world to the first one, in milliseconds.
    pub first_ms: i64,
    /// From one to the next, in milliseconds.
    pub every_ms: i64,
    /// How long one takes, in milliseconds.
    pub over_ms: i64,
    /// Messages that one campaign sends.
    pub messages: i64,
    /// Share of them that start a conversation.
    pub new: f64,
}

impl Default for Conversations {
    fn default() -> Self {
        Conversations {
            started_per_day: 8.0,
            outbound_per_day: 40.0,
            inbound_per_day: 30.0,
            inbound_new: 0.2,
            answered: 0.6,
            replies: 0.5,
            reply_ms: 300_000,
            reply_spread: 1.2,
            responses: 0.5,
            patience: 3,
            android: 0.1,
            hours: (0, 24),
            campaign: None,
        }
    }
}

/// How often what happens to a message. Each value is a share between 0 and 1 unless it says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Outbound messages that end `failed`.
    pub failed: f64,
    /// Outbound messages that are asked to be cancelled.
    pub cancelled: f64,
    /// Of those asked to be cancelled, the ones that are delivered all the same.
    pub cancelled_too_late: f64,
    /// Messages that travel as SMS from the beginning.
    pub sms: f64,
    /// Messages that travel as RCS from the beginning.
    pub rcs: f64,
    /// Outbound messages that are first tried on iMessage and then go another way.
    pub fallback: f64,
    /// Outbound messages whose service is never resolved (`unknown`).
    pub unresolved: f64,
    /// SMS that never get a receipt and stay at `sent`.
    pub sms_stay_sent: f64,
    /// iMessages to a phone that is off: the receipt comes after minutes or hours.
    pub long_tail: f64,
    /// Messages that become visible later than their `time_sent`.
    pub late: f64,
    /// Shortest and longest such delay, in milliseconds. Not touched by `pace`.
    pub late_ms: (i64, i64),
    /// Messages dated up to a day into the future.
    pub future: f64,
    /// Deliveries dated before their own `time_sent`.
    pub negative_latency: f64,
    /// Messages whose `internal_id` is null.
    pub no_line: f64,
    /// New traffic that opens a new conversation.
    pub new_chat: f64,
    /// Messages with an unknown protocol, an unknown status while open, or a missing key.
    pub odd: f64,
    /// Rows that cannot be used at all: no id, no direction, no time, or not an object.
    pub unusable: f64,
    /// Ended messages that show another status some minutes later.
    pub regress: f64,
    /// Messages dated years into the future.
    pub far_future: f64,
    /// Delivered messages that show the status `read`, without ever showing `delivered`.
    pub read: f64,
    /// Outbound messages to another line of the organisation: the inbound copy has the same id.
    pub both_sides: f64,
    /// Messages with half an emoji (a lone surrogate) in `text` and `error`.
    pub lone_surrogate: f64,
    /// Messages with a number in an undocumented field that no 64-bit float can hold.
    pub huge_number: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Shares {
            failed: 0.03,
            cancelled: 0.01,
            cancelled_too_late: 0.2,
            sms: 0.12,
            rcs: 0.05,
            fallback: 0.04,
            unresolved: 0.005,
            sms_stay_sent: 0.6,
            long_tail: 0.03,
            late: 0.02,
            late_ms: (500, 30_000),
            future: 0.0,
            negative_latency: 0.003,
            no_line: 0.02,
            new_chat: 0.01,
            odd: 0.0,
            unusable: 0.0,
            regress: 0.0,
            far_future: 0.0,
            read: 0.0,
            both_sides: 0.0,
            lone_surrogate: 0.0,
            huge_number: 0.0,
        }
    }
}

/// What happens to the world as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upheavals {
    /// Messages deleted per hour.
    pub message_deletes_per_hour: f64,
    /// Conversations deleted per hour, with all their messages.
    pub chat_deletes_per_hour: f64,
    /// Conversations that are merged into another one per hour.
    pub merges_per_hour: f64,
    /// Bursts per hour: many messages of one chat within one millisecond.
    pub bursts_per_hour: f64,
    /// Messages in one burst.
    pub burst_size: usize,
    /// Devices that go away, per hour.
    pub outages_per_hour: f64,
    /// How long such a device stays away, in milliseconds.
    pub outage_ms: i64,
    /// Inbound messages per minute in one group chat that never rests.
    pub group_chatter_per_minute: f64,
}
