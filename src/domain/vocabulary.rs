//! The closed vocabularies that counters are kept by and that are not about messages themselves.

/// An endpoint of Blooio's v2 REST API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `GET /chats`
    ListChats,
    /// `GET /chats/{chatId}`
    GetChat,
    /// `GET /chats/{chatId}/messages`
    ListMessages,
    /// `GET /chats/{chatId}/messages/{messageId}`
    GetMessage,
    /// `GET /chats/{chatId}/background`
    GetBackground,
    /// `GET /me/numbers`
    ListNumbers,
}

impl Endpoint {
    /// Every endpoint in use.
    pub const ALL: [Endpoint; 6] = [
        Endpoint::ListChats,
        Endpoint::GetChat,
        Endpoint::ListMessages,
        Endpoint::GetMessage,
        Endpoint::GetBackground,
        Endpoint::ListNumbers,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Endpoint::ListChats => "list_chats",
            Endpoint::GetChat => "get_chat",
            Endpoint::ListMessages => "list_messages",
            Endpoint::GetMessage => "get_message",
            Endpoint::GetBackground => "get_background",
            Endpoint::ListNumbers => "list_numbers",
        }
    }
}

/// How one attempt of a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A complete, usable response with this HTTP status.
    Status(u16),
    /// No complete response within the time limit.
    Timeout,
    /// No connection, or the connection ended before the response did.
    Connection,
    /// A response whose body could not be used: not JSON, without the expected list, truncated, too large.
    Body,
    /// A status past the cap on distinct statuses.
    Overflow,
}

impl Code {
    /// The label value.
    pub fn label(self) -> String {
        match self {
            Code::Status(status) => status.to_string(),
            Code::Timeout => "timeout".into(),
            Code::Connection => "connection".into(),
            Code::Body => "body".into(),
            Code::Overflow => "overflow".into(),
        }
    }
}

/// Why a single item of a page could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Not an object, or a field of it of an impossible type.
    Malformed,
    /// No id, or one that cannot be used in a request.
    Id,
    /// A message that is neither `inbound` nor `outbound`.
    Direction,
    /// A message without a usable `time_sent`.
    TimeSent,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Refusal; 4] = [Refusal::Malformed, Refusal::Id, Refusal::Direction, Refusal::TimeSent];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::Id => "id",
            Refusal::Direction => "direction",
            Refusal::TimeSent => "time_sent",
        }
    }
}

/// A field with a documented enum, in which the API may show values that are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// A message's `status`.
    Status,
    /// A message's `protocol`.
    Protocol,
    /// A chat's `type`.
    ChatType,
}

impl Field {
    /// Every such field.
    pub const ALL: [Field; 3] = [Field::Status, Field::Protocol, Field::ChatType];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Field::Status => "status",
            Field::Protocol => "protocol",
            Field::ChatType => "chat_type",
        }
    }
}
