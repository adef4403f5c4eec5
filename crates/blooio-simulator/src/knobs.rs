//! One knob for each open question about the real API.

/// By what a list of messages is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By `time_sent`, which `since` and `until` filter by.
    #[default]
    Sent,
    /// By the time of arrival, although `since` and `until` filter by `time_sent`.
    Arrival,
}

/// Which protocol names the API uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// `non-imessage` for everything that left iMessage, null while undecided.
    Legacy,
    /// `pending` while undecided, `unknown` where it was never decided.
    #[default]
    Current,
    /// Each message belongs to one of the two.
    Mixed,
}

/// What the `status` of an inbound message shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InboundStatus {
    /// It is null in the answer.
    #[default]
    Null,
    /// It is `delivered` in the answer.
    Delivered,
    /// `received`, which the enum of the documentation does not have.
    Received,
    /// Any of the three, message by message.
    Mixed,
}

/// What the `time_delivered` of an inbound message shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InboundDelivered {
    /// It is null in the answer.
    #[default]
    Null,
    /// The same as `time_sent`.
    Same,
    /// One to three seconds after `time_sent`.
    Later,
}

/// Whether `since` and `until` include the millisecond they name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bounds {
    /// Only messages strictly after / before.
    #[default]
    Exclusive,
    /// Messages of that very millisecond too.
    Inclusive,
}

/// What happens to a `limit` outside 1 to 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitRule {
    /// It is silently brought into the range.
    Clamp,
    /// The request is answered with 400.
    Refuse,
}

/// How `last_active` of a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastActive {
    /// It is text as in RFC 3339.
    #[default]
    Iso,
    /// A number of milliseconds.
    Millis,
    /// A number of seconds.
    Seconds,
    /// It is null in the answer.
    Null,
}

/// How far `pagination.total` can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Totals {
    /// The total is the number of rows that there are.
    #[default]
    Exact,
    /// One reply in five is off by one or two, either way.
    Stale,
    /// The key is missing.
    Absent,
}

/// What an error answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorBody {
    /// Errors carry the documented JSON object.
    #[default]
    Json,
    /// A proxy's HTML page.
    Html,
    /// Errors have an empty body.
    Empty,
}

/// What the `Date` header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateHeader {
    /// The time of the reply.
    #[default]
    Exact,
    /// The header is missing.
    Absent,
    /// The time of the reply plus this many milliseconds.
    Skewed(i64),
}

/// How a rate limit says when to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// A number of seconds.
    Seconds,
    /// The wait is given as an HTTP date.
    Date,
    /// It does not say when.
    Absent,
}

/// The server's own request budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests per second that are answered in the long run.
    pub per_second: f64,
    /// Requests that may come at once.
    pub burst: f64,
    /// Pause that is asked for, in seconds.
    pub pause_seconds: i64,
    /// How the pause is announced.
    pub retry_after: RetryAfter,
}

/// One setting for each thing that the documentation leaves open.
#[derive(Clone, Debug, PartialEq)]
pub struct Knobs {
    /// Protocol names in use.
    pub era: Era,
    /// `status` of inbound messages.
    pub inbound_status: InboundStatus,
    /// `time_delivered` of inbound messages.
    pub inbound_delivered: InboundDelivered,
    /// Meaning of `since` and `until`.
    pub bounds: Bounds,
    /// Whether `time_sent` is rewritten when the message is handed over.
    pub rewrite_time_sent: bool,
    /// `limit` out of range on GET /chats.
    pub chats_limit: LimitRule,
    /// `limit` out of range on GET /chats/{id}/messages.
    pub messages_limit: LimitRule,
    /// Whether an unresolved message carries an `error` although it did not fail.
    pub error_on_unresolved: bool,
    /// How `last_active` is written.
    pub last_active: LastActive,
    /// Whether lines carry `suspended` and `status`.
    pub line_status_fields: bool,
    /// Whether /me/numbers has one more row, of a device without a number.
    pub nameless_device: bool,
    /// What `pagination.total` says of a list.
    pub totals: Totals,
    /// Share of requests with an `offset` before which a message arrives, so that the list shifts between pages.
    pub shift: f64,
    /// Whether rows with equal times come in another order in every reply.
    pub unstable_ties: bool,
    /// Share of pages that hold fewer rows than asked for although more follow.
    pub short_pages: f64,
    /// Share of pages on which one row stands twice.
    pub duplicate_rows: f64,
    /// Longest lag in milliseconds of the replica that answers for messages; each request draws its own.
    pub replica_lag_ms: i64,
    /// Longest time in milliseconds during which a new message answers 404 when asked for by id.
    pub fresh_404_ms: i64,
    /// Whether a `+` that was not percent-encoded is understood; else it answers 400.
    pub raw_plus: bool,
    /// Shortest and longest time in milliseconds that a device needs to answer for a background.
    pub background_ms: (u64, u64),
    /// The body of answers with an error status.
    pub error_body: ErrorBody,
    /// What the header `Date` of answers says.
    pub date: DateHeader,
    /// The server's own request budget, if it has one.
    pub rate_limit: Option<RateLimit>,
    /// Share of rows with an undocumented field.
    pub extra_fields: f64,
    /// Share of rows from which one key that is not needed for counting is missing.
    pub dropped_keys: f64,
    /// By what lists of messages are sorted.
    pub order: Order,
    /// Whether `internal_id` is null until the message is handed over.
    pub late_lines: bool,
    /// Longest lag in milliseconds of the replica that answers for the list of chats; each request draws its own.
    pub list_lag_ms: i64,
    /// Grain of `time_sent` in milliseconds: messages of one grain have the same time, in all chats.
    pub time_grain_ms: i64,
    /// Share of the conversations by e-mail whose address holds `/`, `%` and a space.
    pub awkward_ids: f64,
    /// Share of new conversations that take the id of a deleted one.
    pub reused_ids: f64,
    /// Whether two messages of a chat that differ in direction or line never have the same time, so that their order
    /// can be told.
    pub ordered: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs {
            era: Era::Current,
            inbound_status: InboundStatus::Null,
            inbound_delivered: InboundDelivered::Null,
            bounds: Bounds::Exclusive,
            rewrite_time_sent: false,
            chats_limit: LimitRule::Clamp,
            messages_limit: LimitRule::Refuse,
            error_on_unresolved: false,
            last_active: LastActive::Iso,
            line_status_fields: false,
            nameless_device: false,
            totals: Totals::Exact,
            shift: 0.0,
            unstable_ties: false,
            short_pages: 0.0,
            duplicate_rows: 0.0,
            replica_lag_ms: 0,
            fresh_404_ms: 0,
            raw_plus: true,
            background_ms: (0, 0),
            error_body: ErrorBody::Json,
            date: DateHeader::Exact,
            rate_limit: None,
            extra_fields: 0.0,
            dropped_keys: 0.0,
            order: Order::Sent,
            late_lines: false,
            list_lag_ms: 0,
            time_grain_ms: 1,
            awkward_ids: 0.0,
            reused_ids: 0.0,
            ordered: false,
        }
    }
}
