//! Bodies of webhook deliveries, after their signature was verified.
//!
//! Five fields are read: `event`, `message_id`, `external_id`, `group_id` and `is_group`. Texts, names, attachments and
//! everything else are skipped by the parser and never held. A body is an object, or an array of them (OBS). Fields may be
//! absent, null, of another type or given twice; what cannot be used is absent.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::event::{Event, EventKind, MAX_ID};

/// Most events of one body that are read. Blooio sends one; an array was seen for shared contacts.
pub const MAX_EVENTS: usize = 64;

/// The body is not JSON, or neither an object nor an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEvents;

/// The events of a body, at most [`MAX_EVENTS`]; elements of an array that are no objects are skipped.
///
/// # Errors
/// When the body is not JSON, or neither an object nor an array.
pub fn events(body: &[u8]) -> Result<Vec<Event>, NotEvents> {
    let events = serde_json::from_slice::<Events>(body).map_err(|_| NotEvents)?;
    Ok(events.0)
}

struct Events(Vec<Event>);

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore)
    }
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Events;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event or a list of events")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Events, A::Error> {
        Ok(Events(vec![event(map)?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut listed: A) -> Result<Events, A::Error> {
        let mut events = Vec::new();
        while let Some(element) = listed.next_element::<Value>()? {
            if let Value::Event(event) = element
                && events.len() < MAX_EVENTS
            {
                events.push(*event);
            }
        }
        Ok(Events(events))
    }
}

/// Reads an object's five fields and skips the others. Of a field that is given twice, the last one counts.
fn event<'de, A: MapAccess<'de>>(mut map: A) -> Result<Event, A::Error> {
    let (mut kind, mut message_id, mut external_id, mut group_id) = (EventKind::Other, None, None, None);
    let mut is_group = false;
    while let Some(key) = map.next_key()? {
        match key {
            Key::Event => {
                kind = map
                    .next_value::<Value>()?
                    .text()
                    .map_or(EventKind::Other, |text| EventKind::parse(&text));
            }
            Key::MessageId => message_id = map.next_value::<Value>()?.text(),
            Key::ExternalId => external_id = map.next_value::<Value>()?.text(),
            Key::GroupId => group_id = map.next_value::<Value>()?.text(),
            Key::IsGroup => is_group = matches!(map.next_value()?, Value::Truth(true)),
            Key::Other => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(Event::new(kind, message_id.as_deref(), external_id.as_deref(), group_id.as_deref(), is_group))
}

/// The key of a field.
enum Key {
    Event,
    MessageId,
    ExternalId,
    GroupId,
    IsGroup,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AnyKey)
    }
}

struct AnyKey;

impl Visitor<'_> for AnyKey {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "event" => Key::Event,
            "message_id" => Key::MessageId,
            "external_id" => Key::ExternalId,
            "group_id" => Key::GroupId,
            "is_group" => Key::IsGroup,
            _ => Key::Other,
        })
    }
}

/// A value as far as it is of use: a short text, a truth value, or an object of an array.
enum Value {
    Text(String),
    Truth(bool),
    Event(Box<Event>),
    Other,
}

impl Value {
    fn text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            Value::Truth(_) | Value::Event(_) | Value::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        // What is longer is no id of the API's.
        let is_id = !text.is_empty() && text.len() <= MAX_ID;
        Ok(if is_id { Value::Text(text.to_owned()) } else { Value::Other })
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Truth(truth))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut listed: A) -> Result<Value, A::Error> {
        while listed.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        Ok(Value::Event(Box::new(event(map)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Vec<Event> {
        events(body.as_bytes()).unwrap()
    }

    #[test]
    fn five_fields_are_read_and_the_others_skipped() {
        let body = r#"{"event":"message.read","message_id":"msg_k80","external_id":"+14155550123","status":"read",
            "protocol":"imessage","timestamp":1791205100000,"read_at":1791205099000,"internal_id":"+13105550101",
            "is_group":true,"group_id":"grp_1","text":"hi","attachments":[{"url":"https://x.example/a"}],"sender":null}"#;
        let [event] = read(body).try_into().unwrap();
        assert_eq!(event.kind, EventKind::MessageRead);
        let ids = [&event.message, &event.external, &event.group].map(|id| id.as_ref().unwrap().expose());
        assert_eq!(ids, ["msg_k80", "+14155550123", "grp_1"]);
        assert!(event.is_group);
        let shown = format!("{event:?}");
        assert!(
            !shown.contains("msg_k80") && !shown.contains("+1415") && !shown.contains("grp_1"),
            "{shown}"
        );
    }

    #[test]
    fn what_cannot_be_used_is_absent() {
        let long = "x".repeat(MAX_ID + 1);
        for body in [
            "{}".to_owned(),
            r#"{"event":null,"message_id":null,"external_id":null,"group_id":null,"is_group":null}"#.to_owned(),
            r#"{"event":7,"message_id":7,"external_id":-7,"group_id":1.5,"is_group":"true"}"#.to_owned(),
            r#"{"event":["message.read"],"message_id":{"id":"a"},"external_id":[],"group_id":true,"is_group":1}"#.to_owned(),
            r#"{"event":"","message_id":"","external_id":"","group_id":"","is_group":false}"#.to_owned(),
            r#"{"event":"message.read","message_id":"a","event":0,"message_id":0}"#.to_owned(),
            format!(r#"{{"event":"{long}","message_id":"{long}","external_id":"{long}","group_id":"{long}"}}"#),
        ] {
            let [event] = read(&body).try_into().unwrap();
            assert_eq!(event.kind, EventKind::Other, "{body}");
            assert_eq!((event.message, event.external, event.group), (None, None, None), "{body}");
            assert!(!event.is_group, "{body}");
        }
    }

    #[test]
    fn an_array_holds_several_events_and_what_is_none_is_skipped() {
        let body = r#"[{"event":"message.sent","message_id":"a"},null,7,"x",[{"event":"message.sent"}],{"message_id":"b"}]"#;
        let ids: Vec<_> =
            read(body).into_iter().map(|event| event.message.unwrap().expose().to_owned()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(read("[]").is_empty());
        let many = format!("[{}{{}}]", "{},".repeat(10_000));
        assert_eq!(read(&many).len(), MAX_EVENTS);
    }

    #[test]
    fn what_is_not_json_is_rejected() {
        let deep = "[".repeat(100_000);
        for body in [
            "",
            " ",
            "null",
            "7",
            "\"x\"",
            "{",
            "[",
            "{}{}",
            "{} x",
            "\u{feff}{}",
            "event=message.sent",
            &deep,
        ] {
            assert_eq!(events(body.as_bytes()).unwrap_err(), NotEvents, "{body:.20}");
        }
        assert_eq!(events(b"{\"event\":\"\xff\"}").unwrap_err(), NotEvents);
    }
}
