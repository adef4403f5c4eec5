//! What can be broken while the world runs.
//!
//! A fault is switched on by name and stays until it is switched off. Faults of the API hit requests or rows; faults
//! of the world change what happens to messages and lines. How a fault is narrowed down is in `tuning`.

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each kind is described by its sentence")]
pub enum FaultKind {
    RateLimitSeconds,
    RateLimitDate,
    RateLimitBare,
    RateLimitCode,
    Http500,
    Http502,
    Http503,
    Unauthorized,
    Forbidden,
    Html200,
    Empty200,
    ErrorObject200,
    TruncatedJson,
    TruncatedClose,
    TruncatedNoLength,
    Reset,
    SlowHead,
    SlowBody,
    Hang,
    NotFound,
    PageLimit,
    DeepOffset,
    ListPage,
    EmptyList,
    HiddenChats,
    OldList,
    EmptyMessages,
    OldMessages,
    RenamedId,
    NullId,
    LastMessageText,
    NoLastMessage,
    NoTimes,
    NoCounts,
    CountsOff,
    OldLastMessage,
    NullLines,
    TotalsOff,
    TotalsWild,
    TotalsCapped,
    DateSkew,
    DateJumps,
    DateAbsent,
    NoNumbers,
    WebhookFails,
    VanishedLine,
    DeviceDown,
    NoActiveDevice,
    AllFail,
    AllFallback,
    ImessageShare,
    Slow,
    NoReceipts,
    ShadowLimited,
    Stuck,
    Silent,
    InboundSilent,
    OutboundSilent,
    Replies,
}

use FaultKind as F;

/// What narrows a fault of requests down.
const REQUEST: &[Setting] = &[Setting::Share, Setting::Line, Setting::Endpoint, Setting::Chats];
const PAGES: &[Setting] = &[Setting::Share, Setting::Endpoint];
const TOTALS: &[Setting] = PAGES;
const ROWS: &[Setting] = &[Setting::Share, Setting::Chats];
const SHARE: &[Setting] = &[Setting::Share];
const CHATS: &[Setting] = &[Setting::Chats];
const SHARE_AND_CHATS: &[Setting] = ROWS;
const LINE: &[Setting] = &[Setting::Line];
const SHARE_AND_LINE: &[Setting] = &[Setting::Share, Setting::Line];
const NOTHING: &[Setting] = &[];

/// The settings of a [`Tuning`], by which a fault says what it heeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each setting is a field of Tuning")]
pub enum Setting {
    Value,
    Share,
    Line,
    Endpoint,
    Chats,
}

impl Setting {
    pub(super) fn name(self) -> &'static str {
        match self {
            Setting::Value => "value",
            Setting::Share => "share",
            Setting::Line => "line",
            Setting::Endpoint => "endpoint",
            Setting::Chats => "chats",
        }
    }
}

/// One kind of fault: its name, what `value` means for it (empty when it takes none), what narrows it down, and
/// what it does.
struct Row {
    kind: FaultKind,
    name: &'static str,
    value: &'static str,
    takes: &'static [Setting],
    sentence: &'static str,
}

const fn row(
    kind: FaultKind,
    name: &'static str,
    value: &'static str,
    takes: &'static [Setting],
    sentence: &'static str,
) -> Row {
    Row { kind, name, value, takes, sentence }
}

/// Every kind of fault with its name and what it does.
const TABLE: &[Row] = &[
    row(
        F::RateLimitSeconds,
        "rate-limit-seconds",
        "seconds, default 10",
        REQUEST,
        "Answers 429 with Retry-After as a number.",
    ),
    row(
        F::RateLimitDate,
        "rate-limit-date",
        "seconds, default 10",
        REQUEST,
        "Answers 429 with Retry-After as a date.",
    ),
    row(F::RateLimitBare, "rate-limit-bare", "", REQUEST, "Answers 429 and does not say when to come back."),
    row(
        F::RateLimitCode,
        "rate-limit-code",
        "",
        REQUEST,
        "Answers 429 with a code that is about sending and says nothing about reading.",
    ),
    row(F::Http500, "http-500", "", REQUEST, "Answers 500."),
    row(F::Http502, "http-502", "", REQUEST, "Answers 502."),
    row(F::Http503, "http-503", "", REQUEST, "Answers 503."),
    row(
        F::Unauthorized,
        "unauthorized",
        "",
        REQUEST,
        "Answers 401 although the key is right, as if it had been revoked.",
    ),
    row(F::Forbidden, "forbidden", "", REQUEST, "Answers 403."),
    row(F::Html200, "html-200", "", REQUEST, "Answers 200 with an HTML page, as a captive proxy does."),
    row(F::Empty200, "empty-200", "", REQUEST, "Answers 200 with an empty body."),
    row(
        F::ErrorObject200,
        "error-object-200",
        "",
        REQUEST,
        "Answers 200 with the object that describes an error.",
    ),
    row(
        F::TruncatedJson,
        "truncated-json",
        "",
        REQUEST,
        "Answers 200 with a complete body that holds half of the JSON.",
    ),
    row(
        F::TruncatedClose,
        "truncated-close",
        "",
        REQUEST,
        "Announces the full length, sends half of it and closes the connection.",
    ),
    row(
        F::TruncatedNoLength,
        "truncated-no-length",
        "",
        REQUEST,
        "Announces no length, sends half of the body and closes the connection.",
    ),
    row(F::Reset, "reset", "", REQUEST, "Resets the connection instead of answering."),
    row(
        F::SlowHead,
        "slow-head",
        "seconds, default 5",
        REQUEST,
        "Waits before it sends the head of the answer.",
    ),
    row(
        F::SlowBody,
        "slow-body",
        "seconds, default 5",
        REQUEST,
        "Sends the head at once and the body in drops over this time.",
    ),
    row(F::Hang, "hang", "", REQUEST, "Never answers and keeps the connection open."),
    row(
        F::NotFound,
        "not-found",
        "",
        REQUEST,
        "Answers 404 below a chat although the chat is there and still listed.",
    ),
    row(
        F::PageLimit,
        "page-limit",
        "rows, default 100",
        PAGES,
        "Answers 400 to a limit above this, as after a change of the documented maximum.",
    ),
    row(F::DeepOffset, "deep-offset", "rows, default 1000", PAGES, "Answers 400 to an offset above this."),
    row(
        F::ListPage,
        "list-page",
        "row, default 200",
        PAGES,
        "Answers 500 to a page behind the first one that would hold this row of the list.",
    ),
    row(F::EmptyList, "empty-list", "", SHARE, "Answers a valid list of chats without a single chat."),
    row(
        F::HiddenChats,
        "hidden-chats",
        "",
        CHATS,
        "Leaves the chats out of the list, and out of its total; their own paths still answer.",
    ),
    row(
        F::OldList,
        "old-list",
        "seconds, default 60",
        NOTHING,
        "Shows the list of chats as it was so many seconds before; their messages are of now.",
    ),
    row(
        F::EmptyMessages,
        "empty-messages",
        "",
        SHARE_AND_CHATS,
        "Answers a valid list of messages without a single message.",
    ),
    row(
        F::OldMessages,
        "old-messages",
        "seconds, default 60",
        CHATS,
        "Shows messages as they were so many seconds before; the list of chats is of now.",
    ),
    row(F::RenamedId, "renamed-id", "", ROWS, "Rows of the chat list carry `chat_id` instead of `id`."),
    row(F::NullId, "null-id", "", ROWS, "Rows of the chat list carry a null `id`."),
    row(
        F::LastMessageText,
        "last-message-text",
        "",
        ROWS,
        "Rows of the chat list carry `last_message` as a string.",
    ),
    row(F::NoLastMessage, "no-last-message", "", ROWS, "Rows of the chat list carry no `last_message`."),
    row(F::NoTimes, "no-times", "", ROWS, "Rows of the chat list carry none of the three times."),
    row(F::NoCounts, "no-counts", "", ROWS, "Rows of the chat list carry none of the three counts."),
    row(
        F::CountsOff,
        "counts-off",
        "messages, default 2",
        ROWS,
        "Rows of the chat list carry counts that are off by up to so many messages.",
    ),
    row(
        F::OldLastMessage,
        "old-last-message",
        "",
        ROWS,
        "Rows of the chat list carry the newest message but one as `last_message`; their times are right.",
    ),
    row(F::NullLines, "null-lines", "", ROWS, "Rows of messages carry a null `internal_id`."),
    row(
        F::TotalsOff,
        "totals-off",
        "rows, default 2",
        TOTALS,
        "`pagination.total` is off by up to so many rows.",
    ),
    row(
        F::TotalsWild,
        "totals-wild",
        "",
        TOTALS,
        "`pagination.total` is any number between 0 and a hundred times the truth.",
    ),
    row(
        F::TotalsCapped,
        "totals-capped",
        "rows, default 100",
        TOTALS,
        "`pagination.total` never exceeds this.",
    ),
    row(
        F::DateSkew,
        "date-skew",
        "seconds, default 3600, may be negative",
        SHARE,
        "The `Date` header is ahead by this much.",
    ),
    row(
        F::DateJumps,
        "date-jumps",
        "seconds, default 3600",
        SHARE,
        "Each `Date` header is off by another amount, up to this in both directions.",
    ),
    row(F::DateAbsent, "date-absent", "", SHARE, "Answers carry no `Date` header."),
    row(
        F::WebhookFails,
        "webhook-fails",
        "",
        NOTHING,
        "A receiver of the organisation's own fails once a minute, as GET /webhooks shows.",
    ),
    row(
        F::NoNumbers,
        "no-numbers",
        "",
        NOTHING,
        "Answers 404 on /me/numbers, as an API without this path would.",
    ),
    row(F::VanishedLine, "vanished-line", "", LINE, "Leaves the line (or all lines) out of /me/numbers."),
    row(
        F::DeviceDown,
        "device-down",
        "",
        LINE,
        "The line's device is away: backgrounds answer 502, its messages stay queued, last_active freezes.",
    ),
    row(F::NoActiveDevice, "no-active-device", "", SHARE_AND_LINE, "Backgrounds answer 503."),
    row(F::AllFail, "all-fail", "share, default 1", SHARE_AND_LINE, "New outbound messages end failed."),
    row(
        F::AllFallback,
        "all-fallback",
        "share, default 1",
        SHARE_AND_LINE,
        "New outbound messages fall back from iMessage.",
    ),
    row(
        F::ImessageShare,
        "imessage-share",
        "share, default 0.5",
        LINE,
        "Of the outbound messages that would go by iMessage only this share does; the others fall back to SMS.",
    ),
    row(F::Slow, "slow", "factor, default 10", LINE, "Everything a message does takes so many times longer."),
    row(F::NoReceipts, "no-receipts", "", LINE, "What is handed over stays at sent: no receipt ever comes."),
    row(
        F::ShadowLimited,
        "shadow-limited",
        "",
        LINE,
        "What is handed over reaches no contact: no receipt comes, and no reply. Nothing fails.",
    ),
    row(F::Stuck, "stuck", "", LINE, "Messages of the line stay queued although its device seems well."),
    row(F::Silent, "silent", "", LINE, "No new messages of the line, in either direction."),
    row(F::InboundSilent, "inbound-silent", "", LINE, "Contacts of the line write nothing."),
    row(F::OutboundSilent, "outbound-silent", "", LINE, "The organisation writes nothing on the line."),
    row(
        F::Replies,
        "replies",
        "factor, default 0.1",
        LINE,
        "So many times as many messages are replied to, in worlds with conversations.",
    ),
];

/// Every fault: its name, what its `value` means (empty when it has none), and one sentence.
pub fn faults() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABLE.iter().map(|row| (row.name, row.value, row.sentence))
}

impl FaultKind {
    /// The fault of this name.
    pub fn named(name: &str) -> Option<FaultKind> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.kind)
    }

    /// What to say to a name that is none. It is not repeated: a key can stand in its place.
    pub(super) fn unknown() -> String {
        let known: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
        format!("there is no such fault; known are {}", known.join(", "))
    }

    /// The name it is switched on by.
    pub fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// Whether it replaces or bends the whole answer to a request.
    pub(super) fn hits_requests(self) -> bool {
        self < FaultKind::PageLimit
    }

    /// Whether a setting narrows it down. [`Setting::Value`] counts where its description names a value.
    pub fn takes(self, setting: Setting) -> bool {
        self.row().is_some_and(|row| match setting {
            Setting::Value => !row.value.is_empty(),
            other => row.takes.contains(&other),
        })
    }

    /// Whether its value is a share, from 0 to 1.
    pub(super) fn value_is_share(self) -> bool {
        self.row().is_some_and(|row| row.value.starts_with("share"))
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.kind == self)
    }
}
