//! A request and a reply, and the formats in them.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::BASE_PATH;

/// How many of the newest requests are remembered one by one.
pub(super) const SEEN_MAX: usize = 10_000;

/// A request as it arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// The path as it was sent, still percent-encoded.
    pub path: String,
    /// What follows the question mark; empty without one.
    pub query: String,
    /// The header `Authorization`, where the request has one.
    pub authorization: Option<String>,
    /// The header `Accept-Encoding`, where the request has one.
    pub accept_encoding: Option<String>,
}

impl Request {
    /// A GET of `target` (path and query below the base path, such as `/chats?limit=5`) with a bearer key.
    pub fn get(target: &str, key: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method: "GET".to_owned(),
            path: format!("{BASE_PATH}{path}"),
            query: query.to_owned(),
            authorization: Some(format!("Bearer {key}")),
            accept_encoding: None,
        }
    }
}

/// How the socket behaves while it sends a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// The whole answer is sent at once.
    #[default]
    Normal,
    /// Nothing for so many milliseconds, then the reply.
    DelayHead(u64),
    /// The head at once, the body in drops over so many milliseconds.
    DelayBody(u64),
    /// The full `Content-Length`, but only so many bytes of the body; then the connection closes.
    TruncateAt(usize),
    /// No `Content-Length`; the body ends, after so many bytes, where the connection closes.
    CloseDelimitedTruncated(usize),
    /// The connection is reset instead of an answer.
    Reset,
    /// The connection stays open, and no answer is ever sent.
    Hang,
}

/// An answer, and how it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status of the answer.
    pub status: u16,
    /// Header names in lower case, without those about length and connection.
    pub headers: Vec<(String, String)>,
    /// The body, compressed if `content-encoding` says so.
    pub body: Bytes,
    /// How it is sent.
    pub wire: Wire,
}

impl Reply {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn json(status: u16, value: &Value) -> Reply {
        let headers = vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())];
        // Writing a value to memory cannot fail: its keys are strings.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Reply { status, headers, body: Bytes::from(body), wire: Wire::Normal }
    }

    pub(super) fn html(status: u16) -> Reply {
        let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
        let body =
            format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
        Reply { status, headers, body: Bytes::from(body), wire: Wire::Normal }
    }

    pub(super) fn with(mut self, name: &str, value: String) -> Reply {
        self.headers.push((name.to_owned(), value));
        self
    }
}

/// The documented object that describes an error.
pub(super) fn error_object(status: u16, message: &str) -> Value {
    json!({"error": "ApiError", "message": message, "status": status})
}

/// An error that the API itself answers.
pub(super) fn refused(status: u16, message: &str) -> Reply {
    Reply::json(status, &error_object(status, message))
}

/// Which call a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `GET /chats`: the list of chats.
    ListChats,
    /// `GET /chats/{chatId}`: one chat.
    GetChat,
    /// `GET /chats/{chatId}/messages`: the messages of a chat.
    ListMessages,
    /// `GET /chats/{chatId}/messages/{messageId}`: one message.
    GetMessage,
    /// `GET /chats/{chatId}/background`: a round trip to the device of a chat's line.
    GetBackground,
    /// `GET /me/numbers`: the lines of the key.
    ListNumbers,
    /// `GET /webhooks`: the organisation's webhooks.
    ListWebhooks,
    /// Anything else below the base path.
    Other,
}

impl Endpoint {
    /// Its name, such as `list_chats`.
    pub fn name(self) -> &'static str {
        match self {
            Endpoint::ListChats => "list_chats",
            Endpoint::GetChat => "get_chat",
            Endpoint::ListMessages => "list_messages",
            Endpoint::GetMessage => "get_message",
            Endpoint::GetBackground => "get_background",
            Endpoint::ListNumbers => "list_numbers",
            Endpoint::ListWebhooks => "list_webhooks",
            Endpoint::Other => "other",
        }
    }

    /// The endpoint of this name.
    pub fn named(name: &str) -> Option<Endpoint> {
        use Endpoint::{
            GetBackground, GetChat, GetMessage, ListChats, ListMessages, ListNumbers, ListWebhooks, Other,
        };
        let all =
            [ListChats, GetChat, ListMessages, GetMessage, GetBackground, ListNumbers, ListWebhooks, Other];
        all.into_iter().find(|e| e.name() == name)
    }
}

/// One request that was answered, or was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When, in unix milliseconds.
    pub at_ms: i64,
    /// The endpoint that was called.
    pub endpoint: Endpoint,
    /// The path and query as they were sent. They hold chat ids: for tests only.
    pub path: String,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
}

/// 400 with a reason.
pub(super) fn bad(reason: &str) -> Reply {
    refused(400, reason)
}

pub(super) fn parse_query(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decode(k), decode(v)))
        .collect()
}

/// An IMF-fixdate of unix milliseconds.
pub(super) fn http_date(ms: i64) -> String {
    let seconds = u64::try_from(ms.div_euclid(1_000)).unwrap_or(0).min(253_000_000_000);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// RFC 3339 text of unix milliseconds.
pub(super) fn iso(ms: i64) -> String {
    // humantime panics beyond the year 9999, and a fault may put any time into a row.
    let ms = u64::try_from(ms).unwrap_or(0).min(253_402_300_799_999);
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(ms)).to_string()
}
