//! Bytes to rows: tolerant at the edge, strict inside. What cannot be used is returned as refused.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::endpoint::{ChatId, MessageRef};
use super::wire;
use crate::domain::{ChatKind, Direction, Field, Protocol, Reason, Refusal, Status};

/// Latest time that is taken for one: the year 5138. Anything later is not a time in unix ms.
const LATEST: i64 = 100_000_000_000_000;

/// Why a 200's body could not be used. It says where, never what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Not JSON, or JSON of another shape.
    NotJson {
        /// Line of the body, from 1.
        line: usize,
        /// Column of that line, from 1.
        column: usize,
    },
    /// JSON without the list or the object that the endpoint answers with.
    Missing(&'static str),
    /// Larger than the cap, decoded.
    TooLarge,
    /// It ended before it was complete.
    Truncated,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyFault::NotJson { line, column } => {
                write!(f, "a body that is not the documented JSON (line {line}, column {column})")
            }
            BodyFault::Missing(what) => write!(f, "a body without `{what}`"),
            BodyFault::TooLarge => f.write_str("a body larger than 8 MiB"),
            BodyFault::Truncated => f.write_str("a body that ended early"),
        }
    }
}

/// A page of a list: its usable rows, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page<T> {
    /// The usable rows, in the page's order.
    pub rows: Vec<T>,
    /// One entry for each row that could not be used.
    pub refused: Vec<Refusal>,
    /// Values outside the known enums.
    pub unknown: Vec<Field>,
    /// `pagination.total`, where the API gives it.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// How many rows the page had, usable or not.
    pub fn len(&self) -> usize {
        self.rows.len() + self.refused.len()
    }

    /// Whether it had none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A chat of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRow {
    /// Its id.
    pub id: ChatId,
    /// Its `type`.
    pub kind: ChatKind,
    /// `last_message_time`, unix ms; 0 where there is none.
    pub last_at: i64,
    /// `last_message.message_id`.
    pub last_message: Option<MessageRef>,
    /// `message_count`, -1 where there is none.
    pub messages: i64,
    /// `inbound_count`, -1 where there is none.
    pub inbound: i64,
    /// `outbound_count`, -1 where there is none.
    pub outbound: i64,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageRef,
    /// Which way.
    pub direction: Direction,
    /// `internal_id`: the organisation's line, null where the API does not say.
    pub line: Option<Box<str>>,
    /// `time_sent`, unix ms.
    pub sent_at: i64,
    /// `time_delivered`, unix ms.
    pub delivered_at: Option<i64>,
    /// As shown.
    pub status: Status,
    /// As shown.
    pub protocol: Protocol,
    /// Class of `error`.
    pub reason: Reason,
}

/// A line of the key.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberRow {
    /// `phone_number`: one of the organisation's own.
    pub number: Box<str>,
    /// `is_active`.
    pub active: Option<bool>,
    /// `last_active`, unix ms.
    pub last_active: Option<i64>,
}

/// Decodes `GET /chats`.
pub fn chats(body: &[u8]) -> Result<Page<ChatRow>, BodyFault> {
    let rows = match serde_json::from_slice::<wire::ChatsBody<'_, wire::Chat>>(body) {
        Ok(body) => Rows::all(body.chats, body.pagination),
        Err(_) => {
            let body: wire::ChatsBody<'_, &RawValue> = parse(body)?;
            Rows::each(body.chats, body.pagination)
        }
    };
    rows.ok_or(BodyFault::Missing("chats")).map(|rows| rows.page(chat))
}

/// Decodes `GET /chats/{id}/messages`.
pub fn messages(body: &[u8]) -> Result<Page<MessageRow>, BodyFault> {
    let rows = match serde_json::from_slice::<wire::MessagesBody<'_, wire::Message>>(body) {
        Ok(body) => Rows::all(body.messages, body.pagination),
        Err(_) => {
            let body: wire::MessagesBody<'_, &RawValue> = parse(body)?;
            Rows::each(body.messages, body.pagination)
        }
    };
    rows.ok_or(BodyFault::Missing("messages")).map(|rows| rows.page(message))
}

/// A page of messages and, apart from it, texts by id.
type WithTexts = (Page<MessageRow>, Vec<(MessageRef, String)>);

/// Decodes `GET /chats/{id}/messages` for a person who asked to see the texts. The only place that reads them.
pub fn messages_with_texts(body: &[u8]) -> Result<WithTexts, BodyFault> {
    let rows: wire::MessagesBody<'_, wire::Text> = parse(body)?;
    let rows = rows.messages.unwrap_or_default().into_iter();
    let texts = rows.filter_map(|row| Some((MessageRef::parse(&row.message_id?)?, row.text?)));
    Ok((messages(body)?, texts.collect()))
}

/// The same without reading the texts.
pub fn messages_without_texts(body: &[u8]) -> Result<WithTexts, BodyFault> {
    Ok((messages(body)?, Vec::new()))
}

/// Decodes `GET /me/numbers`.
pub fn numbers(body: &[u8]) -> Result<Page<NumberRow>, BodyFault> {
    let rows = match serde_json::from_slice::<wire::NumbersBody<wire::Number>>(body) {
        Ok(body) => Rows::all(body.numbers, None),
        Err(_) => Rows::each(parse::<wire::NumbersBody<&RawValue>>(body)?.numbers, None),
    };
    rows.ok_or(BodyFault::Missing("numbers")).map(|rows| rows.page(number))
}

/// Decodes `GET /chats/{id}`: a page of one row.
pub fn one_chat(body: &[u8]) -> Result<Page<ChatRow>, BodyFault> {
    let row: wire::Chat = parse(body)?;
    if row.id.0.is_none() {
        return Err(BodyFault::Missing("id"));
    }
    Ok(Rows { rows: vec![Some(row)], total: None }.page(chat))
}

/// Decodes `GET /chats/{id}/messages/{id}`: a page of one row.
pub fn one_message(body: &[u8]) -> Result<Page<MessageRow>, BodyFault> {
    let row: wire::Message = parse(body)?;
    if row.message_id.0.is_none() {
        return Err(BodyFault::Missing("message_id"));
    }
    Ok(Rows { rows: vec![Some(row)], total: None }.page(message))
}

/// Checks `GET /chats/{id}/background`: that it answered is all that is asked of it.
pub fn background(body: &[u8]) -> Result<(), BodyFault> {
    let body: wire::Background = parse(body)?;
    match (body.chat_id, body.has_background) {
        (None, None) => Err(BodyFault::Missing("has_background")),
        _ => Ok(()),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyFault> {
    serde_json::from_slice(body)
        .map_err(|error| BodyFault::NotJson { line: error.line(), column: error.column() })
}

/// The rows of a body; `None` for one that could not be read.
struct Rows<W> {
    rows: Vec<Option<W>>,
    total: Option<u64>,
}

impl<'a, W: Deserialize<'a>> Rows<W> {
    /// Of a body that could be read as a whole: the usual case, one pass.
    fn all(rows: Option<Vec<W>>, pagination: Option<&RawValue>) -> Option<Rows<W>> {
        Some(Rows { rows: rows?.into_iter().map(Some).collect(), total: total(pagination) })
    }

    /// Row by row, because at least one of them is broken.
    fn each(rows: Option<Vec<&'a RawValue>>, pagination: Option<&RawValue>) -> Option<Rows<W>> {
        let rows = rows?.into_iter().map(|row| serde_json::from_str(row.get()).ok()).collect();
        Some(Rows { rows, total: total(pagination) })
    }

    fn page<T>(self, usable: impl Fn(W, &mut Vec<Field>) -> Result<T, Refusal>) -> Page<T> {
        let mut page = Page {
            rows: Vec::with_capacity(self.rows.len()),
            refused: Vec::new(),
            unknown: Vec::new(),
            total: self.total,
        };
        for row in self.rows {
            match row.ok_or(Refusal::Malformed).and_then(|row| usable(row, &mut page.unknown)) {
                Ok(row) => page.rows.push(row),
                Err(refusal) => page.refused.push(refusal),
            }
        }
        page
    }
}

fn total(pagination: Option<&RawValue>) -> Option<u64> {
    let pagination: wire::Pagination = serde_json::from_str(pagination?.get()).ok()?;
    u64::try_from(pagination.total.0?).ok()
}

fn time(millis: Option<i64>) -> Option<i64> {
    millis.filter(|millis| (1..LATEST).contains(millis))
}

fn chat(row: wire::Chat, unknown: &mut Vec<Field>) -> Result<ChatRow, Refusal> {
    let id = row.id.0.as_deref().and_then(ChatId::parse).ok_or(Refusal::Id)?;
    if row.kind.0.unknown {
        unknown.push(Field::ChatType);
    }
    let by_flag = row.is_group.0.filter(|is_group| *is_group).map(|_| ChatKind::Group);
    Ok(ChatRow {
        kind: row.kind.0.value.or(by_flag).unwrap_or_else(|| kind_of(&id)),
        id,
        last_at: time(row.last_message_time.0).unwrap_or(0),
        last_message: row.last_message.and_then(|last| MessageRef::parse(last.message_id.0.as_deref()?)),
        messages: row.message_count.0.unwrap_or(-1),
        inbound: row.inbound_count.0.unwrap_or(-1),
        outbound: row.outbound_count.0.unwrap_or(-1),
    })
}

/// What an id looks like, for servers that leave `type` out.
fn kind_of(id: &ChatId) -> ChatKind {
    let id = id.expose();
    match id {
        _ if id.starts_with("grp_") || id.contains(',') => ChatKind::Group,
        _ if id.contains('@') => ChatKind::Email,
        _ if id.starts_with('+') => ChatKind::Phone,
        _ => ChatKind::Other,
    }
}

fn message(row: wire::Message, unknown: &mut Vec<Field>) -> Result<MessageRow, Refusal> {
    let id = row.message_id.0.as_deref().and_then(MessageRef::parse).ok_or(Refusal::Id)?;
    let direction = row.direction.0.value.ok_or(Refusal::Direction)?;
    let sent_at = time(row.time_sent.0).ok_or(Refusal::TimeSent)?;
    if row.status.0.unknown {
        unknown.push(Field::Status);
    }
    if row.protocol.0.unknown {
        unknown.push(Field::Protocol);
    }
    Ok(MessageRow {
        id,
        direction,
        line: row.internal_id.0,
        sent_at,
        delivered_at: time(row.time_delivered.0),
        status: row.status.0.value,
        protocol: row.protocol.0.value,
        reason: row.error.0,
    })
}

fn number(row: wire::Number, _: &mut Vec<Field>) -> Result<NumberRow, Refusal> {
    // A device without a number bound to it has a null here (inferred): there is no line to show.
    let number = row.phone_number.0.ok_or(Refusal::Id)?;
    Ok(NumberRow { number, active: row.is_active.0, last_active: time(row.last_active.0.0) })
}

/// The class of an error text. No text of the real API is published; the phrases are those of the stacks
/// that send iMessages and of carriers (inferred), and what matches none is `other`.
pub fn reason(text: &str) -> Reason {
    let text: String = text.chars().take(300).collect::<String>().to_lowercase();
    let any = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if text.trim().is_empty() {
        Reason::None
    } else if any(&["attachment", "file too large", "media ", "unsupported media", "file size"]) {
        Reason::Attachment
    } else if any(&["error 22", "ids target"])
        || (text.contains("imessage")
            && any(&["not registered", "not on ", "isn't on", "not available", "not enabled", "no imessage"]))
        || any(&["not registered", "not an imessage", "not imessage"])
    {
        Reason::NotOnImessage
    } else if any(&["rate limit", "rate-limit", "too many", "throttl", "limit reached", "limit exceeded"]) {
        Reason::RateLimited
    } else if any(&["device", "mac "])
        && any(&[
            "offline",
            "unavailable",
            "not connected",
            "disconnect",
            "asleep",
            "not responding",
            "unreachable",
        ])
        || any(&["no active number", "no active device"])
    {
        Reason::DeviceOffline
    } else if any(&["timed out", "timeout", "time out", "took too long", "deadline"]) {
        Reason::Timeout
    } else if any(&[
        "reject",
        "block",
        "spam",
        "filter",
        "denied",
        "forbidden",
        "not allowed",
        "refused",
        "opted out",
        "restrict",
    ]) {
        Reason::Rejected
    } else if any(&[
        "unreachable",
        "not reachable",
        "be reached",
        "undeliver",
        "invalid number",
        "landline",
        "unknown handset",
        "does not exist",
        "no longer in service",
    ]) {
        Reason::Unreachable
    } else {
        Reason::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_row_never_loses_its_page() {
        let body = br#"{"messages": [
            {"message_id": "m1", "direction": "outbound", "time_sent": 1791208761220, "status": "sent"},
            17, null, [[]],
            {"message_id": "m2", "direction": "sideways", "time_sent": 1791208761220},
            {"message_id": "..", "direction": "inbound", "time_sent": 1791208761220},
            {"message_id": "m3", "direction": "inbound", "time_sent": 1e400},
            {"message_id": "m4", "direction": "inbound", "time_sent": null},
            {"message_id": "m5", "direction": "inbound", "time_sent": 1791208761220.5, "status": ["x"]}
        ], "pagination": {"total": "9"}}"#;
        let page = messages(body).unwrap();
        let ids: Vec<&str> = page.rows.iter().map(|row| row.id.expose()).collect();
        assert_eq!(ids, ["m1", "m5"]);
        assert_eq!(page.len(), 9);
        assert_eq!(page.total, Some(9));
        assert_eq!(page.unknown, [Field::Status]);
        assert_eq!(page.rows[1].status, Status::Other);
        assert_eq!(page.rows[1].sent_at, 1_791_208_761_220);
        let count = |refusal| page.refused.iter().filter(|r| **r == refusal).count();
        assert_eq!(count(Refusal::Malformed), 3);
        assert_eq!(count(Refusal::Direction), 1);
        assert_eq!(count(Refusal::Id), 2);
        assert_eq!(count(Refusal::TimeSent), 1);
    }

    #[test]
    fn a_200_without_its_list_is_a_fault_and_never_an_empty_account() {
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "{\"chats\": null}",
            "<html>",
            "{\"error\": \"ApiError\"}",
            "{\"chats\": {}}",
        ] {
            assert!(chats(body.as_bytes()).is_err(), "{body}");
        }
        assert!(chats(b"{\"chats\": []}").unwrap().is_empty());
        assert!(chats(b"{\"chats\": []} trailing").is_err());
        assert_eq!(background(b"{\"error\": \"ApiError\"}"), Err(BodyFault::Missing("has_background")));
        assert_eq!(background(b"{\"chat_id\": \"x\"}"), Ok(()));
    }

    #[test]
    fn null_missing_and_unknown_values_are_normal() {
        let body = br#"{"messages": [
            {"message_id": "m", "direction": "inbound", "time_sent": 1, "status": null, "protocol": "whatsapp",
             "text": {"deep": [[[1e999]]]}, "internal_id": null}], "pagination": null}"#;
        let page = messages(body).unwrap();
        let row = &page.rows[0];
        assert_eq!((row.status, row.protocol), (Status::None, Protocol::Other));
        assert_eq!(page.unknown, [Field::Protocol]);
        assert_eq!((row.line.as_deref(), page.total), (None, None));
        let page =
            chats(br#"{"chats": [{"id": "grp_1", "type": "channel"}, {"id": "a@example.com"}]}"#).unwrap();
        assert_eq!(page.rows[0].kind, ChatKind::Other);
        assert_eq!(page.rows[1].kind, ChatKind::Email);
        assert_eq!(page.rows[1].messages, -1);
    }

    #[test]
    fn four_encodings_of_last_active_are_read() {
        let body = br#"{"numbers": [
            {"phone_number": "+1", "is_active": true, "last_active": "2026-10-05T19:59:55.000Z"},
            {"phone_number": "+2", "is_active": false, "last_active": 1791230395000},
            {"phone_number": "+3", "last_active": 1791230395},
            {"phone_number": "+4", "last_active": null},
            {"phone_number": null}]}"#;
        let page = numbers(body).unwrap();
        let times: Vec<Option<i64>> = page.rows.iter().map(|row| row.last_active).collect();
        assert_eq!(times, [Some(1_791_230_395_000), Some(1_791_230_395_000), Some(1_791_230_395_000), None]);
        assert_eq!(page.refused, [Refusal::Id]);
    }

    #[test]
    fn error_texts_become_classes() {
        for (text, class) in [
            ("", Reason::None),
            ("Recipient is not registered with iMessage (error 22)", Reason::NotOnImessage),
            ("Recipient could not be reached", Reason::Unreachable),
            ("Timed out while sending", Reason::Timeout),
            ("Message blocked by carrier", Reason::Rejected),
            ("Too many messages to +15551234567", Reason::RateLimited),
            ("Device is offline", Reason::DeviceOffline),
            ("Attachment exceeds 100 MB", Reason::Attachment),
            ("Flux capacitor", Reason::Other),
        ] {
            assert_eq!(reason(text), class, "{text}");
        }
    }
}
