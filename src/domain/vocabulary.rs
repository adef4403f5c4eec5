//! The closed vocabularies: enums whose values are label values, words of the state file and, for some, numbers in it.

/// Declares a closed vocabulary: an enum with a label value and a stable number for each variant.
///
/// Label values are part of the metric contract. Numbers are part of the state file: they never change, and a
/// retired one is never used again.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident = $number:literal $label:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $number),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The value that labels have for it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $label),+ }
            }

            /// The value with this label, if there is one.
            pub fn from_label(label: &str) -> Option<$name> {
                match label { $($label => Some($name::$variant),)+ _ => None }
            }

            /// The number that stands for the value in the state file.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The value that a number of the state file stands for; `None` for a number that no version wrote.
            pub fn from_number(number: u8) -> Option<$name> {
                match number { $($number => Some($name::$variant),)+ _ => None }
            }
        }
    };
}
pub(super) use vocabulary;

vocabulary! {
    /// An endpoint of Blooio's v2 REST API.
    Endpoint {
        /// `GET /chats`: the list of chats.
        ListChats = 0 "list_chats",
        /// `GET /chats/{chatId}`: one chat.
        GetChat = 1 "get_chat",
        /// `GET /chats/{chatId}/messages`: the messages of a chat.
        ListMessages = 2 "list_messages",
        /// `GET /chats/{chatId}/messages/{messageId}`: one message.
        GetMessage = 3 "get_message",
        /// `GET /chats/{chatId}/background`: a probe of the device.
        GetBackground = 4 "get_background",
        /// `GET /me/numbers`: the lines of the key.
        ListNumbers = 5 "list_numbers",
        /// `GET /webhooks`: the organisation's webhooks.
        ListWebhooks = 6 "list_webhooks",
    }
}

vocabulary! {
    /// What a request is for: the classes among which the scheduler divides the budget.
    ///
    /// The order decides between classes that are owed the same: the most urgent comes first.
    Work {
        /// `GET /me/numbers`: which lines there are, so that their series exist before their first message. `GET /webhooks`,
        /// as rarely, shares the class.
        Lines = 0 "lines",
        /// The first pages of the chat list: which chats changed.
        Sweep = 1 "sweep",
        /// A probe of a line's device.
        Probe = 2 "probe",
        /// Reads of chats that changed.
        Read = 3 "read",
        /// Re-reads of open messages.
        Recheck = 4 "recheck",
        /// First reads of chats whose older messages only gauges show.
        FirstRead = 5 "first_read",
        /// Deep reads of active chats, behind which the floor rises.
        Audit = 6 "audit",
        /// Pages of the listing of all chats.
        Listing = 7 "listing",
    }
}

vocabulary! {
    /// Why a single item of a page could not be used.
    Rejection {
        /// Not an object, or a field of it of an impossible type.
        Malformed = 0 "malformed",
        /// No id, or one that cannot be used in a request.
        Id = 1 "id",
        /// A message that is neither `inbound` nor `outbound`.
        Direction = 2 "direction",
        /// A message without a usable `time_sent`.
        TimeSent = 3 "time_sent",
    }
}

vocabulary! {
    /// A field with a documented enum, in which the API may show values that are not in it.
    Field {
        /// An unknown `status` of a message.
        Status = 0 "status",
        /// An unknown `protocol` of a message.
        Protocol = 1 "protocol",
        /// An unknown `type` of a chat.
        ChatType = 2 "chat_type",
    }
}

vocabulary! {
    /// Why a chat that the API lists cannot be read.
    Unreadable {
        /// Its messages answer 404 while it is listed.
        NotFound = 0 "not_found",
        /// The key may not read it.
        Forbidden = 1 "forbidden",
        /// The server fails, or does not answer in time.
        ServerError = 2 "server_error",
        /// Its row of the list, or the answer for its messages, is not what is documented, or the two contradict each other.
        Rejected = 3 "rejected",
        /// Its id cannot stand in a request.
        Identifier = 4 "identifier",
        /// A reason that has no class of its own.
        Other = 5 "other",
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
    /// The value that labels have for it.
    pub fn label(self) -> String {
        match self {
            Code::Status(status) => status.to_string(),
            Code::Timeout => "timeout".into(),
            Code::Connection => "connection".into(),
            Code::Body => "body".into(),
            Code::Overflow => "overflow".into(),
        }
    }

    /// The code with this label, if there is one.
    pub fn from_label(label: &str) -> Option<Code> {
        Some(match label {
            "timeout" => Code::Timeout,
            "connection" => Code::Connection,
            "body" => Code::Body,
            "overflow" => Code::Overflow,
            status => Code::Status(status.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_again_by_its_label() {
        let codes = [Code::Status(200), Code::Timeout, Code::Connection, Code::Body, Code::Overflow];
        let labels = codes.map(Code::label);
        assert_eq!(labels, ["200", "timeout", "connection", "body", "overflow"]);
        assert_eq!(labels.map(|label| Code::from_label(&label)), codes.map(Some));
        assert_eq!(Code::from_label("no code"), None);
    }

    #[test]
    fn every_value_is_found_again_by_its_label_and_its_number() {
        for work in Work::ALL {
            assert_eq!(Work::from_label(work.as_str()), Some(*work));
            assert_eq!(Work::from_number(work.number()), Some(*work));
        }
        assert_eq!((Work::from_label("leisure"), Work::from_number(200)), (None, None));
    }
}
