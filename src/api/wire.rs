//! The API's JSON as far as it is of use: no names, no attachments, no reactions, and no texts but for
//! `inspect --show`.
//!
//! Nothing in a v2 response is required (reference: every field is "optional"), so every field reads
//! whatever stands there: a value of the wrong type is as good as none, an unknown enum value is `other`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::endpoint::PAGE_LIMIT;
use super::reason::reason;
use crate::domain::{ChatKind, Direction, Protocol, Reason, Status};

/// Most rows of one answer that are read. A page has at most [`PAGE_LIMIT`] of them; an answer with several times as many
/// does not heed the limit, and is rejected as a whole rather than cut in silence.
pub const MAX_ROWS: usize = 4 * PAGE_LIMIT as usize;
/// Message of the error that a list with more rows ends with.
pub(super) const TOO_MANY_ROWS: &str = "too many rows";

/// Longest text of a field that is looked at, in bytes as written. Ids and enum values are far shorter, and the class of
/// an error text is decided by its beginning.
const MAX_TEXT: usize = 4096;

/// How a JSON value becomes a value of ours. Whatever is not of the expected kind is `odd`.
pub(super) trait Scalar: Sized {
    fn from_text(text: &str) -> Self;
    fn from_number(number: f64) -> Self;
    fn from_integer(number: i64) -> Self {
        Self::from_number(number as f64)
    }
    fn from_bool(_: bool) -> Self {
        Self::odd()
    }
    /// `json` is an object.
    fn from_object(_: &str) -> Self {
        Self::odd()
    }
    fn null() -> Self;
    fn odd() -> Self;
}

/// A field that never fails its row: its content is interpreted apart from the row's syntax, so that half an emoji (a
/// lone surrogate) or a number that no type can hold is an odd value and not a broken row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lenient<T>(pub(super) T);

impl<T: Scalar> Default for Lenient<T> {
    fn default() -> Self {
        Lenient(T::null())
    }
}

impl<'de, T: Scalar> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Lenient(interpret(<&'de RawValue>::deserialize(deserializer)?.get())))
    }
}

fn interpret<T: Scalar>(json: &str) -> T {
    match json.as_bytes().first() {
        Some(b'"') => T::from_text(&text(json)),
        Some(b'n') => T::null(),
        Some(b't') => T::from_bool(true),
        Some(b'f') => T::from_bool(false),
        Some(b'{') => T::from_object(json),
        Some(b'-' | b'0'..=b'9') => match (json.parse::<i64>(), json.parse::<f64>()) {
            (Ok(number), _) => T::from_integer(number),
            (Err(_), Ok(number)) if number.is_finite() => T::from_number(number),
            _ => T::odd(),
        },
        _ => T::odd(),
    }
}

/// The text of a JSON string, cut after [`MAX_TEXT`]. What is not a character becomes U+FFFD.
fn text(json: &str) -> Cow<'_, str> {
    let mut inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    if inner.len() > MAX_TEXT {
        inner = &inner[..inner.floor_char_boundary(MAX_TEXT)];
        // An escape may have been cut in two; the longest is a pair of surrogates.
        if let Some(last) = inner.rfind('\\').filter(|at| inner.len() - at < 12) {
            inner = inner[..last].trim_end_matches('\\');
        }
    }
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let quoted = format!("\"{inner}\"");
    let bytes = serde_json::from_str::<Bytes>(&quoted).map(|bytes| bytes.0).unwrap_or_default();
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The bytes of a JSON string. Unlike a `String`, they may hold lone surrogates.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Read)
    }
}

/// The rows of a list, at most [`MAX_ROWS`]: reading stops with an error at one more, so that millions of tiny rows
/// cannot become millions of values.
pub(super) struct Rows<R>(pub(super) Vec<R>);

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Rows<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<R>(PhantomData<R>);

        impl<'de, R: Deserialize<'de>> Visitor<'de> for Read<R> {
            type Value = Rows<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows<R>, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = seq.next_element()? {
                    if rows.len() == MAX_ROWS {
                        return Err(A::Error::custom(TOO_MANY_ROWS));
                    }
                    rows.push(row);
                }
                Ok(Rows(rows))
            }
        }

        deserializer.deserialize_seq(Read(PhantomData))
    }
}

/// A short string, such as an id. Longer ones than any id could be are not held, nor those with something that is not a
/// character: written back, they would name something else.
impl Scalar for Option<Box<str>> {
    fn from_text(text: &str) -> Self {
        (!text.is_empty() && text.len() <= 512 && !text.contains('\u{fffd}')).then(|| text.into())
    }
    fn from_number(_: f64) -> Self {
        None
    }
    fn null() -> Self {
        None
    }
    fn odd() -> Self {
        None
    }
}

/// A count, or a time in unix ms: an integer, also written as a float or in a string.
impl Scalar for Option<i64> {
    fn from_text(text: &str) -> Self {
        text.trim().parse().ok()
    }
    fn from_number(number: f64) -> Self {
        (number.is_finite() && number.abs() < 9e15).then_some(number as i64)
    }
    fn from_integer(number: i64) -> Self {
        Some(number)
    }
    fn null() -> Self {
        None
    }
    fn odd() -> Self {
        None
    }
}

impl Scalar for Option<bool> {
    fn from_text(text: &str) -> Self {
        text.parse().ok()
    }
    fn from_number(number: f64) -> Self {
        Some(number != 0.0)
    }
    fn from_bool(value: bool) -> Self {
        Some(value)
    }
    fn null() -> Self {
        None
    }
    fn odd() -> Self {
        None
    }
}

/// `last_active` of a line: unix ms, unix seconds, RFC 3339 or null; all four have been seen or documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Option<i64>);

impl Scalar for Moment {
    fn from_text(text: &str) -> Self {
        let time = humantime::parse_rfc3339_weak(text.trim()).ok();
        let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Moment(since.and_then(|since| i64::try_from(since.as_millis()).ok()))
    }
    fn from_number(number: f64) -> Self {
        // Below 10^11 a number can only be seconds: as milliseconds it would lie before April 1973.
        let millis = if number.abs() < 1e11 { number * 1000.0 } else { number };
        Moment(Option::<i64>::from_number(millis).filter(|millis| *millis > 0))
    }
    fn null() -> Self {
        Moment(None)
    }
    fn odd() -> Self {
        Moment(None)
    }
}

/// A value of a documented enum; `unknown` when the API shows one that is not in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<T> {
    pub(super) value: T,
    pub(super) unknown: bool,
}

macro_rules! shown {
    ($type:ty, $read:expr, none: $none:expr, other: $other:expr) => {
        impl Scalar for Shown<$type> {
            fn from_text(text: &str) -> Self {
                match $read(text) {
                    Some(value) => Shown { value, unknown: false },
                    None => Self::odd(),
                }
            }
            fn from_number(_: f64) -> Self {
                Self::odd()
            }
            fn null() -> Self {
                Shown { value: $none, unknown: false }
            }
            fn odd() -> Self {
                Shown { value: $other, unknown: true }
            }
        }
    };
}

// `none` and `other` are our own words: a server that says them says something unknown.
// `read` is more than delivered; what is counted is that it arrived.
shown!(Status, |text| match text {
    "read" => Some(Status::Delivered),
    text => Status::from_label(text).filter(|status| !matches!(status, Status::None | Status::Other)),
}, none: Status::None, other: Status::Other);
shown!(Protocol, |text| Protocol::from_label(text).filter(|p| !matches!(p, Protocol::None | Protocol::Other)),
    none: Protocol::None, other: Protocol::Other);
shown!(Option<Direction>, |text| match text {
    "inbound" => Some(Some(Direction::Inbound)),
    "outbound" => Some(Some(Direction::Outbound)),
    _ => None,
}, none: None, other: None);
shown!(Option<ChatKind>, |text| match text {
    "phone" => Some(Some(ChatKind::Phone)),
    "email" => Some(Some(ChatKind::Email)),
    "group" => Some(Some(ChatKind::Group)),
    _ => None,
}, none: None, other: Some(ChatKind::Other));

/// The class of an error text, without the text.
impl Scalar for Reason {
    fn from_text(text: &str) -> Self {
        reason(text)
    }
    fn from_number(_: f64) -> Self {
        Reason::Other
    }
    fn null() -> Self {
        Reason::None
    }
    fn odd() -> Self {
        Reason::Other
    }
}

#[derive(serde::Deserialize)]
pub(super) struct ChatsBody<'a, R> {
    pub(super) chats: Option<Rows<R>>,
    #[serde(borrow, default)]
    pub(super) pagination: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
pub(super) struct MessagesBody<'a, R> {
    pub(super) messages: Option<Rows<R>>,
    #[serde(borrow, default)]
    pub(super) pagination: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
pub(super) struct NumbersBody<R> {
    pub(super) numbers: Option<Rows<R>>,
}

#[derive(Default, serde::Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    pub(super) total: Lenient<Option<i64>>,
}

#[derive(serde::Deserialize)]
pub(super) struct Chat {
    #[serde(default)]
    pub(super) id: Lenient<Option<Box<str>>>,
    #[serde(default, rename = "type")]
    pub(super) kind: Lenient<Shown<Option<ChatKind>>>,
    #[serde(default)]
    pub(super) is_group: Lenient<Option<bool>>,
    #[serde(default)]
    pub(super) message_count: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) inbound_count: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) outbound_count: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) last_message_time: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) last_inbound_time: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) last_outbound_time: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) last_message: Lenient<LastMessage>,
}

/// The id of a chat's last message; `None` where there is none, or something other than a message.
pub(super) struct LastMessage(pub(super) Option<Box<str>>);

impl Scalar for LastMessage {
    fn from_text(_: &str) -> Self {
        Self::odd()
    }
    fn from_number(_: f64) -> Self {
        Self::odd()
    }
    fn from_object(json: &str) -> Self {
        #[derive(serde::Deserialize)]
        struct Fields {
            #[serde(default)]
            message_id: Lenient<Option<Box<str>>>,
        }
        LastMessage(serde_json::from_str::<Fields>(json).ok().and_then(|fields| fields.message_id.0))
    }
    fn null() -> Self {
        LastMessage(None)
    }
    fn odd() -> Self {
        LastMessage(None)
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub(super) message_id: Lenient<Option<Box<str>>>,
    #[serde(default)]
    pub(super) direction: Lenient<Shown<Option<Direction>>>,
    #[serde(default)]
    pub(super) internal_id: Lenient<Option<Box<str>>>,
    #[serde(default)]
    pub(super) time_sent: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) time_delivered: Lenient<Option<i64>>,
    #[serde(default)]
    pub(super) status: Lenient<Shown<Status>>,
    #[serde(default)]
    pub(super) protocol: Lenient<Shown<Protocol>>,
    #[serde(default)]
    pub(super) error: Lenient<Reason>,
}

/// A message's text, for `inspect --show` alone.
#[derive(serde::Deserialize)]
pub(super) struct Text {
    #[serde(default)]
    pub(super) message_id: Lenient<Option<Box<str>>>,
    #[serde(default)]
    pub(super) text: Lenient<Excerpt>,
}

/// The beginning of a text, as far as a terminal shows it.
pub(super) struct Excerpt(pub(super) Option<String>);

impl Scalar for Excerpt {
    fn from_text(text: &str) -> Self {
        Excerpt(Some(text.to_owned()))
    }
    fn from_number(_: f64) -> Self {
        Self::odd()
    }
    fn null() -> Self {
        Excerpt(None)
    }
    fn odd() -> Self {
        Excerpt(None)
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Number {
    #[serde(default)]
    pub(super) phone_number: Lenient<Option<Box<str>>>,
    #[serde(default)]
    pub(super) is_active: Lenient<Option<bool>>,
    #[serde(default = "no_moment")]
    pub(super) last_active: Lenient<Moment>,
}

#[derive(serde::Deserialize)]
pub(super) struct WebhooksBody<R> {
    pub(super) webhooks: Option<Rows<R>>,
}

#[derive(serde::Deserialize)]
pub(super) struct Webhook {
    #[serde(default)]
    pub(super) webhook_id: Lenient<Option<Box<str>>>,
    #[serde(default)]
    pub(super) failure_count: Lenient<Option<i64>>,
    #[serde(default = "no_moment")]
    pub(super) last_triggered: Lenient<Moment>,
    #[serde(default)]
    pub(super) is_active: Lenient<Option<bool>>,
}

fn no_moment() -> Lenient<Moment> {
    Lenient(Moment(None))
}

/// What any usable background reply has at least one of (reference, GET background).
#[derive(serde::Deserialize)]
pub(super) struct Background {
    #[serde(default)]
    pub(super) chat_id: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) has_background: Option<IgnoredAny>,
}
