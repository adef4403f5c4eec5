//! The API's JSON as far as it is of use: no names, no attachments, no reactions, and no texts but for
//! `inspect --show`.
//!
//! Nothing in a v2 response is required (reference: every field is "optional"), so every field reads
//! whatever stands there: a value of the wrong type is as good as none, an unknown enum value is `other`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::reason;
use crate::domain::{ChatKind, Direction, Protocol, Reason, Status};

/// How a JSON scalar becomes a value. Whatever is not a scalar of the expected kind is `odd`.
pub(super) trait Scalar: Sized {
    fn from_text(text: &str) -> Self;
    fn from_number(number: f64) -> Self;
    fn from_integer(number: i64) -> Self {
        Self::from_number(number as f64)
    }
    fn from_bool(_: bool) -> Self {
        Self::odd()
    }
    fn null() -> Self;
    fn odd() -> Self;
}

/// A field that never fails its row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lenient<T>(pub(super) T);

impl<T: Scalar> Default for Lenient<T> {
    fn default() -> Self {
        Lenient(T::null())
    }
}

impl<'de, T: Scalar> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);

        impl<'de, T: Scalar> Visitor<'de> for Any<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_bool<E>(self, value: bool) -> Result<T, E> {
                Ok(T::from_bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<T, E> {
                Ok(T::from_integer(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<T, E> {
                Ok(i64::try_from(value).map_or_else(|_| T::odd(), T::from_integer))
            }
            fn visit_f64<E>(self, value: f64) -> Result<T, E> {
                Ok(T::from_number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<T, E> {
                Ok(T::from_text(value))
            }
            fn visit_unit<E>(self) -> Result<T, E> {
                Ok(T::null())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(T::odd())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(T::odd())
            }
        }

        deserializer.deserialize_any(Any(PhantomData)).map(Lenient)
    }
}

/// A short string, such as an id. Longer ones than any id could be are not held.
impl Scalar for Option<Box<str>> {
    fn from_text(text: &str) -> Self {
        (!text.is_empty() && text.len() <= 512).then(|| text.into())
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
shown!(Status, |text| Status::from_label(text).filter(|s| !matches!(s, Status::None | Status::Other)),
    none: Status::None, other: Status::Other);
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
    pub(super) chats: Option<Vec<R>>,
    #[serde(borrow, default)]
    pub(super) pagination: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
pub(super) struct MessagesBody<'a, R> {
    pub(super) messages: Option<Vec<R>>,
    #[serde(borrow, default)]
    pub(super) pagination: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
pub(super) struct NumbersBody<R> {
    pub(super) numbers: Option<Vec<R>>,
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
    pub(super) last_message: Option<LastMessage>,
}

#[derive(serde::Deserialize)]
pub(super) struct LastMessage {
    #[serde(default)]
    pub(super) message_id: Lenient<Option<Box<str>>>,
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
    pub(super) message_id: Option<String>,
    #[serde(default)]
    pub(super) text: Option<String>,
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
