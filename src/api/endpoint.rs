//! Requests as data, and the ids that may stand in their paths.

use std::fmt;
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::domain::Endpoint;

/// Rows asked for per page: the most that the API gives (reference: "between 1 and 200").
pub const PAGE_LIMIT: u32 = 200;

/// Page sizes below the largest, for servers that reject it.
const SMALLER_PAGES: [u32; 3] = [100, 50, 25];

/// The page size to try after one that was rejected.
pub fn smaller_page(limit: u32) -> Option<u32> {
    SMALLER_PAGES.into_iter().find(|smaller| *smaller < limit)
}

/// Longest id that is put into a path. The API's own are far shorter; comma lists of a group fit.
pub const MAX_ID: usize = 256;

/// Everything but the characters that RFC 3986 leaves unreserved. `+` must become `%2B`: raw, some servers
/// read it as a space.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whether an id can stand as one path segment and mean what it says. Percent-encoded, `/` and `%` can: both are legal in
/// e-mail addresses. `.` and `..` cannot, because their encoded forms are path segments with a meaning, too.
fn is_usable(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id != "." && id != ".." && !id.chars().any(char::is_control)
}

macro_rules! private_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes an id that is safe to put into a path; `None` for any other.
            pub fn parse(id: &str) -> Option<$name> {
                is_usable(id).then(|| $name(id.into()))
            }

            /// The id itself, to be hashed. Not for logs, labels or files.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(private)"))
            }
        }
    };
}

private_id! {
    /// A chat's id: a phone number in E.164, an e-mail address, `grp_…`, or a comma list of the first two
    /// (reference, "Path parameters"). It names a person, so it cannot be printed.
    ChatId
}

private_id! {
    /// A message's id, `msg_…`. Held only while a message is open, and never printed.
    MessageRef
}

/// A request to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A page of the chats, most recent message first.
    ListChats {
        /// Rows of the list to skip.
        offset: u64,
        /// Most rows of the answer.
        limit: u32,
    },
    /// One chat by its id.
    GetChat {
        /// The id of the chat.
        chat: ChatId,
    },
    /// A page of a chat's messages, oldest first.
    ListMessages {
        /// The id of the chat whose messages are listed.
        chat: ChatId,
        /// Sent after this, unix ms. Whether the boundary itself belongs to it is not documented.
        since: i64,
        /// Sent before this, unix ms.
        until: Option<i64>,
        /// Rows of the list to skip.
        offset: u64,
        /// Most rows of the answer.
        limit: u32,
    },
    /// One message of a chat by its id.
    GetMessage {
        /// The id of the chat that the message is in.
        chat: ChatId,
        /// The id of the message.
        message: MessageRef,
    },
    /// The background of a chat: answered only by a round trip to the line's device.
    GetBackground {
        /// The id of the chat whose line's device is probed.
        chat: ChatId,
    },
    /// The lines of the key.
    ListNumbers,
    /// The webhooks of the organisation.
    ListWebhooks,
}

impl Request {
    /// Which endpoint it goes to.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Request::ListChats { .. } => Endpoint::ListChats,
            Request::GetChat { .. } => Endpoint::GetChat,
            Request::ListMessages { .. } => Endpoint::ListMessages,
            Request::GetMessage { .. } => Endpoint::GetMessage,
            Request::GetBackground { .. } => Endpoint::GetBackground,
            Request::ListNumbers => Endpoint::ListNumbers,
            Request::ListWebhooks => Endpoint::ListWebhooks,
        }
    }

    /// Path and query below the base URL.
    pub fn target(&self) -> String {
        let segment = |id: &str| utf8_percent_encode(id, SEGMENT).to_string();
        match self {
            Request::ListChats { offset, limit } => {
                format!("/chats?sort=recent&limit={limit}&offset={offset}")
            }
            Request::GetChat { chat } => format!("/chats/{}", segment(&chat.0)),
            Request::ListMessages { chat, since, until, offset, limit } => {
                let chat = segment(&chat.0);
                let mut target = format!("/chats/{chat}/messages?sort=asc&limit={limit}&since={since}");
                if let Some(until) = until {
                    let _ = write!(target, "&until={until}");
                }
                if *offset > 0 {
                    let _ = write!(target, "&offset={offset}");
                }
                target
            }
            Request::GetMessage { chat, message } => {
                format!("/chats/{}/messages/{}", segment(&chat.0), segment(&message.0))
            }
            Request::GetBackground { chat } => format!("/chats/{}/background", segment(&chat.0)),
            Request::ListNumbers => String::from("/me/numbers"),
            Request::ListWebhooks => String::from("/webhooks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_chat_id_becomes_one_segment() {
        for (id, segment) in [
            ("+15551234567", "%2B15551234567"),
            ("ana@example.com", "ana%40example.com"),
            ("grp_a1B2", "grp_a1B2"),
            ("+15551234567,bo@example.com", "%2B15551234567%2Cbo%40example.com"),
            ("?x=1#y", "%3Fx%3D1%23y"),
            ("a/../b", "a%2F..%2Fb"),
            ("%2e%2e", "%252e%252e"),
            ("50%@example.com", "50%25%40example.com"),
            ("customer/support=x@example.com", "customer%2Fsupport%3Dx%40example.com"),
            ("a b\\c", "a%20b%5Cc"),
        ] {
            let chat = ChatId::parse(id).unwrap();
            assert_eq!(Request::GetChat { chat }.target(), format!("/chats/{segment}"));
        }
    }

    #[test]
    fn ids_that_would_name_something_else_are_refused() {
        let long = "1".repeat(10_000);
        for id in ["", ".", "..", "a\nb", "\u{0}", "\u{7f}", "\u{9b}", long.as_str()] {
            assert_eq!(ChatId::parse(id), None, "{id:.20}");
        }
    }

    #[test]
    fn an_id_cannot_be_printed() {
        let chat = ChatId::parse("+15551234567").unwrap();
        assert_eq!(format!("{:?}", Request::GetChat { chat }), "GetChat { chat: ChatId(private) }");
    }
}
