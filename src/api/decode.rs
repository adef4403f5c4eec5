//! Bytes to rows: tolerant at the edge, strict inside. What cannot be used is returned as rejected.

use std::borrow::Cow;

use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::endpoint::{ChatId, MessageRef};
pub use super::wire::MAX_ROWS;
use super::wire::{self, TOO_MANY_ROWS};
use crate::domain::{ChatKind, Direction, Field, Protocol, Reason, Rejection, Status, Webhook};

/// Earliest time that is taken for one: March 1973. What is earlier is given in seconds, or stands for none; as a time of the
/// distant past it would pass for history.
const EARLIEST: i64 = 100_000_000_000;
/// Latest time that is taken for one: the year 5138. Anything later is not a time in unix ms.
const LATEST: i64 = 100_000_000_000_000;

/// Of bodies larger than this, in bytes, only one is decoded at a time in the whole process: memory is bounded for any
/// number of accounts whose API misbehaves. Pages are a few hundred kilobytes.
pub const LARGE_BODY: usize = 1024 * 1024;

/// Stands for a byte that is not UTF-8: JSON strings can hold it, and no id may.
pub(super) const NOT_TEXT: u8 = 0x7f;
/// Deepest nesting of a body larger than [`LARGE_BODY`].
pub const MAX_NESTING: usize = 1000;

/// Held while a large body is decoded.
static LARGE: Mutex<()> = Mutex::new(());

/// Why a 200's body could not be used. It says where, never what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not JSON, or JSON of another shape.
    #[error("a body that is not the documented JSON (line {line}, column {column})")]
    NotJson {
        /// Line of the body, from 1.
        line: usize,
        /// Column of that line, from 1.
        column: usize,
    },
    /// JSON without the list or the object that the endpoint answers with.
    #[error("a body without `{0}`")]
    Missing(&'static str),
    /// Larger than the cap, decoded.
    #[error("a body larger than 8 MiB")]
    TooLarge,
    /// It lists several times more rows than a page may have.
    #[error("a list of more than {MAX_ROWS} rows")]
    TooManyRows,
    /// It ended before it was complete.
    #[error("a body that ended early")]
    Truncated,
}

impl BodyFault {
    /// The value of the field `cause` in a log line.
    pub const fn as_str(self) -> &'static str {
        match self {
            BodyFault::NotJson { .. } => "body_not_json",
            BodyFault::Missing(_) => "body_incomplete",
            BodyFault::TooLarge => "body_too_large",
            BodyFault::TooManyRows => "body_too_many_rows",
            BodyFault::Truncated => "body_truncated",
        }
    }
}

/// A page of a list: its usable rows, and what became of the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page<T> {
    /// The usable rows, in the page's order.
    pub rows: Vec<T>,
    /// One entry for each row that could not be used.
    pub rejected: Vec<Rejection>,
    /// Values outside the known enums.
    pub unknown: Vec<Field>,
    /// `pagination.total`, where the API gives it.
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// How many rows the page had, usable or not.
    pub fn len(&self) -> usize {
        self.rows.len() + self.rejected.len()
    }

    /// Whether it had none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A chat of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRow {
    /// The chat's id: a contact or a group id.
    pub id: ChatId,
    /// The chat's `type`, with unknown values as other.
    pub kind: ChatKind,
    /// `last_message_time`, unix ms; 0 where there is none.
    pub last_at: i64,
    /// The id of its newest message (`last_message.message_id`), where given.
    pub last_message: Option<MessageRef>,
    /// `message_count`, -1 where there is none.
    pub messages: i64,
    /// `inbound_count`, -1 where there is none.
    pub inbound: i64,
    /// `outbound_count`, -1 where there is none.
    pub outbound: i64,
    /// When a contact last wrote (`last_inbound_time`), unix ms.
    pub last_inbound_at: Option<i64>,
    /// When we last wrote (`last_outbound_time`), unix ms.
    pub last_outbound_at: Option<i64>,
}

/// A message as the API shows it, without its text.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    /// The message's id, unique together with its direction.
    pub id: MessageRef,
    /// Whether it was received or sent.
    pub direction: Direction,
    /// `internal_id`: the organisation's line, null where the API does not say.
    pub line: Option<Box<str>>,
    /// When it was sent (`time_sent`), unix ms.
    pub sent_at: i64,
    /// When it was delivered (`time_delivered`), unix ms; `None` while it was not.
    pub delivered_at: Option<i64>,
    /// Its `status`, with unknown values as other.
    pub status: Status,
    /// Its `protocol`, with unknown values as other.
    pub protocol: Protocol,
    /// The class of its `error` text.
    pub reason: Reason,
}

/// A line of the key.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberRow {
    /// `phone_number`: one of the organisation's own.
    pub number: Box<str>,
    /// Whether the line is active (`is_active`), where the API says so.
    pub active: Option<bool>,
    /// When the line was last active (`last_active`), unix ms, where the API says so.
    pub last_active: Option<i64>,
}

/// A body as text, and the turn to decode it.
struct Text<'a> {
    text: Cow<'a, str>,
    turn: Option<MutexGuard<'static, ()>>,
}

impl<'a> Text<'a> {
    /// What is not UTF-8 becomes U+007F, byte by byte: JSON can hold it, and no id may.
    fn new(body: &'a [u8]) -> Self {
        let turn = (body.len() > LARGE_BODY).then(|| LARGE.lock());
        let text = match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(without_invalid_bytes(body)),
        };
        Text { text, turn }
    }

    fn parse<'b, T: Deserialize<'b>>(&'b self) -> Result<T, BodyFault> {
        // The parser remembers every open bracket; only in a large body is that worth a limit.
        if self.turn.is_some() && nesting(self.text.as_bytes()) > MAX_NESTING {
            return Err(BodyFault::NotJson { line: 1, column: 1 });
        }
        serde_json::from_str(&self.text).map_err(|error| {
            match error.is_data() && error.to_string().starts_with(TOO_MANY_ROWS) {
                true => BodyFault::TooManyRows,
                false => BodyFault::NotJson { line: error.line(), column: error.column() },
            }
        })
    }

    /// A list with the decoder of its rows: as a whole, or row by row when one of them is broken.
    fn list<'b, All, Each, W>(
        &'b self,
        all: impl Fn(All) -> Option<Rows<W>>,
        each: impl Fn(Each) -> Option<Rows<W>>,
        name: &'static str,
    ) -> Result<Rows<W>, BodyFault>
    where
        All: Deserialize<'b>,
        Each: Deserialize<'b>,
    {
        let rows = match self.parse::<All>() {
            Ok(body) => all(body),
            Err(BodyFault::TooManyRows) => return Err(BodyFault::TooManyRows),
            Err(_) => each(self.parse::<Each>()?),
        };
        rows.ok_or(BodyFault::Missing(name))
    }
}

/// How deep lists and objects of a JSON text are nested.
fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn without_invalid_bytes(body: &[u8]) -> String {
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| text.push(NOT_TEXT as char));
    }
    text
}

/// Decodes an answer to `GET /chats`; rows that cannot be used are counted.
pub fn chats(body: &[u8]) -> Result<Page<ChatRow>, BodyFault> {
    let text = Text::new(body);
    let rows = text.list(
        |body: wire::ChatsBody<'_, wire::Chat>| Rows::all(body.chats, body.pagination),
        |body: wire::ChatsBody<'_, &RawValue>| Rows::each(body.chats, body.pagination),
        "chats",
    );
    Ok(rows?.page(chat))
}

/// Decodes an answer to `GET /chats/{id}/messages`; rows that cannot be used are counted.
pub fn messages(body: &[u8]) -> Result<Page<MessageRow>, BodyFault> {
    message_page(&Text::new(body))
}

fn message_page(text: &Text<'_>) -> Result<Page<MessageRow>, BodyFault> {
    let rows = text.list(
        |body: wire::MessagesBody<'_, wire::Message>| Rows::all(body.messages, body.pagination),
        |body: wire::MessagesBody<'_, &RawValue>| Rows::each(body.messages, body.pagination),
        "messages",
    );
    Ok(rows?.page(message))
}

/// A page of messages and, apart from it, texts by id.
type WithTexts = (Page<MessageRow>, Vec<(MessageRef, String)>);

/// Decodes `GET /chats/{id}/messages` for a person who asked to see the texts. The only place that reads them.
pub fn messages_with_texts(body: &[u8]) -> Result<WithTexts, BodyFault> {
    let text = Text::new(body);
    let page = message_page(&text)?;
    let rows: wire::MessagesBody<'_, &RawValue> = text.parse()?;
    let rows = rows.messages.map(|rows| rows.0).unwrap_or_default().into_iter();
    let texts = rows.filter_map(|row| {
        let row: wire::Text = serde_json::from_str(row.get()).ok()?;
        Some((MessageRef::parse(&row.message_id.0?)?, row.text.0.0?))
    });
    Ok((page, texts.collect()))
}

/// The same without reading the texts.
pub fn messages_without_texts(body: &[u8]) -> Result<WithTexts, BodyFault> {
    Ok((messages(body)?, Vec::new()))
}

/// Decodes an answer to `GET /me/numbers`; rows that cannot be used are counted.
pub fn numbers(body: &[u8]) -> Result<Page<NumberRow>, BodyFault> {
    let text = Text::new(body);
    let rows = text.list(
        |body: wire::NumbersBody<wire::Number>| Rows::all(body.numbers, None),
        |body: wire::NumbersBody<&RawValue>| Rows::each(body.numbers, None),
        "numbers",
    );
    Ok(rows?.page(number))
}

/// Decodes `GET /webhooks`. Of a webhook, its URL and names are not read.
pub fn webhooks(body: &[u8]) -> Result<Page<Webhook>, BodyFault> {
    let text = Text::new(body);
    let rows = text.list(
        |body: wire::WebhooksBody<wire::Webhook>| Rows::all(body.webhooks, None),
        |body: wire::WebhooksBody<&RawValue>| Rows::each(body.webhooks, None),
        "webhooks",
    );
    Ok(rows?.page(webhook))
}

/// Decodes `GET /chats/{id}`: a page of one row.
pub fn one_chat(body: &[u8]) -> Result<Page<ChatRow>, BodyFault> {
    let text = Text::new(body);
    let row: wire::Chat = text.parse()?;
    if row.id.0.is_none() {
        return Err(BodyFault::Missing("id"));
    }
    Ok(Rows { rows: vec![Some(row)], total: None }.page(chat))
}

/// Decodes `GET /chats/{id}/messages/{id}`: a page of one row.
pub fn one_message(body: &[u8]) -> Result<Page<MessageRow>, BodyFault> {
    let text = Text::new(body);
    let row: wire::Message = text.parse()?;
    if row.message_id.0.is_none() {
        return Err(BodyFault::Missing("message_id"));
    }
    Ok(Rows { rows: vec![Some(row)], total: None }.page(message))
}

/// Checks `GET /chats/{id}/background`: that it answered is all that is asked of it.
pub fn background(body: &[u8]) -> Result<(), BodyFault> {
    let text = Text::new(body);
    let body: wire::Background = text.parse()?;
    match (body.chat_id, body.has_background) {
        (None, None) => Err(BodyFault::Missing("has_background")),
        _ => Ok(()),
    }
}

/// The rows of a body; `None` for one that could not be read.
struct Rows<W> {
    rows: Vec<Option<W>>,
    total: Option<u64>,
}

impl<'a, W: Deserialize<'a>> Rows<W> {
    /// Of a body that could be read as a whole: the usual case, one pass.
    fn all(rows: Option<wire::Rows<W>>, pagination: Option<&RawValue>) -> Option<Rows<W>> {
        Some(Rows { rows: rows?.0.into_iter().map(Some).collect(), total: total(pagination) })
    }

    /// Row by row, because at least one of them is broken.
    fn each(rows: Option<wire::Rows<&'a RawValue>>, pagination: Option<&RawValue>) -> Option<Rows<W>> {
        let rows = rows?.0.into_iter().map(|row| serde_json::from_str(row.get()).ok()).collect();
        Some(Rows { rows, total: total(pagination) })
    }

    fn page<T>(self, usable: impl Fn(W, &mut Vec<Field>) -> Result<T, Rejection>) -> Page<T> {
        let mut page = Page {
            rows: Vec::with_capacity(self.rows.len()),
            rejected: Vec::new(),
            unknown: Vec::new(),
            total: self.total,
        };
        for row in self.rows {
            match row.ok_or(Rejection::Malformed).and_then(|row| usable(row, &mut page.unknown)) {
                Ok(row) => page.rows.push(row),
                Err(rejection) => page.rejected.push(rejection),
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
    millis.filter(|millis| (EARLIEST..LATEST).contains(millis))
}

fn chat(row: wire::Chat, unknown: &mut Vec<Field>) -> Result<ChatRow, Rejection> {
    let id = row.id.0.as_deref().and_then(ChatId::parse).ok_or(Rejection::Id)?;
    if row.kind.0.unknown {
        unknown.push(Field::ChatType);
    }
    let by_flag = row.is_group.0.filter(|is_group| *is_group).map(|_| ChatKind::Group);
    Ok(ChatRow {
        kind: row.kind.0.value.or(by_flag).unwrap_or_else(|| kind_of(&id)),
        id,
        last_at: time(row.last_message_time.0).unwrap_or(0),
        last_message: row.last_message.0.0.as_deref().and_then(MessageRef::parse),
        messages: row.message_count.0.unwrap_or(-1),
        inbound: row.inbound_count.0.unwrap_or(-1),
        outbound: row.outbound_count.0.unwrap_or(-1),
        last_inbound_at: time(row.last_inbound_time.0),
        last_outbound_at: time(row.last_outbound_time.0),
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

fn message(row: wire::Message, unknown: &mut Vec<Field>) -> Result<MessageRow, Rejection> {
    let id = row.message_id.0.as_deref().and_then(MessageRef::parse).ok_or(Rejection::Id)?;
    let direction = row.direction.0.value.ok_or(Rejection::Direction)?;
    let sent_at = time(row.time_sent.0).ok_or(Rejection::TimeSent)?;
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

fn number(row: wire::Number, _: &mut Vec<Field>) -> Result<NumberRow, Rejection> {
    // A device without a number bound to it has a null here (inferred): there is no line to show.
    let number = row.phone_number.0.ok_or(Rejection::Id)?;
    Ok(NumberRow { number, active: row.is_active.0, last_active: time(row.last_active.0.0) })
}

/// The id of a webhook is a label value: one that is longer, or of other characters than the API's own, is none.
fn webhook(row: wire::Webhook, _: &mut Vec<Field>) -> Result<Webhook, Rejection> {
    let is_plain = |id: &str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let id = row.webhook_id.0.filter(|id| is_plain(id)).ok_or(Rejection::Id)?;
    Ok(Webhook {
        id,
        failures: row.failure_count.0.and_then(|count| u64::try_from(count).ok()),
        last_triggered: time(row.last_triggered.0.0),
        active: row.is_active.0,
    })
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
        let count = |rejection| page.rejected.iter().filter(|r| **r == rejection).count();
        assert_eq!(count(Rejection::Malformed), 2);
        assert_eq!(count(Rejection::Direction), 1);
        assert_eq!(count(Rejection::Id), 2);
        assert_eq!(count(Rejection::TimeSent), 2);
    }

    #[test]
    fn the_content_of_a_field_never_rejects_its_row() {
        let surrogates = r#""\ud83d half an emoji: Message blocked by carrier""#;
        let long = format!("\"Message blocked by carrier {}\"", r"\ud83d\ude00".repeat(1000));
        for (error, reason) in [
            (surrogates, Reason::Rejected),
            (long.as_str(), Reason::Rejected),
            ("1e400", Reason::Other),
            ("[[{}]]", Reason::Other),
            ("null", Reason::None),
        ] {
            let body = format!(
                r#"{{"messages": [{{"message_id": "m", "direction": "outbound", "time_sent": 1791208761220, "status": "failed",
                "time_delivered": 1e400, "internal_id": "\udc00", "text": "\ud800", "error": {error}}}]}}"#
            );
            let page = messages(body.as_bytes()).unwrap();
            assert_eq!(page.rejected, [], "{error}");
            assert_eq!((page.rows[0].status, page.rows[0].reason), (Status::Failed, reason), "{error}");
            assert_eq!((page.rows[0].delivered_at, page.rows[0].line.as_deref()), (None, None));
        }
        let body = b"{\"messages\": [{\"message_id\": \"m\", \"direction\": \"inbound\", \"time_sent\": 1791208761220,
            \"text\": \"\xff\xfe\", \"error\": \"\xe9 spam\"}, {\"message_id\": \"\xff\"}]}";
        let page = messages(body).unwrap();
        assert_eq!((page.rows[0].reason, &page.rejected[..]), (Reason::Rejected, &[Rejection::Id][..]));
        for last in ["\"a string\"", "17", "[]", "{\"message_id\": 1e400}", "{\"message_id\": \"\\ud83d\"}"] {
            let body =
                format!(r#"{{"chats": [{{"id": "+1", "message_count": 1e999, "last_message": {last}}}]}}"#);
            let page = chats(body.as_bytes()).unwrap();
            assert_eq!((page.rows[0].last_message.clone(), page.rows[0].messages), (None, -1), "{last}");
        }
    }

    #[test]
    fn a_time_in_seconds_is_none() {
        for (time, is_time) in [
            (-5, false),
            (0, false),
            (1_791_208_761, false),
            (EARLIEST - 1, false),
            (EARLIEST, true),
            (1_791_208_761_220, true),
            (LATEST - 1, true),
            (LATEST, false),
        ] {
            let body = format!(
                r#"{{"messages": [{{"message_id": "m", "direction": "inbound", "time_sent": {time}}}]}}"#
            );
            let page = messages(body.as_bytes()).unwrap();
            let expected = if is_time { vec![] } else { vec![Rejection::TimeSent] };
            assert_eq!(page.rejected, expected, "{time}");
        }
    }

    #[test]
    fn read_counts_as_delivered_and_is_a_known_status() {
        let page = messages(
            br#"{"messages": [{"message_id": "m", "direction": "outbound", "time_sent": 1791208761220, "status": "read"}]}"#,
        );
        let page = page.unwrap();
        assert_eq!((page.rows[0].status, &page.unknown[..]), (Status::Delivered, &[][..]));
    }

    #[test]
    fn a_list_ends_the_decoding_at_its_first_row_too_many() {
        let body = |rows: usize| format!("{{\"chats\": [{}]}}", vec!["{}"; rows].join(","));
        assert_eq!(chats(body(MAX_ROWS).as_bytes()).unwrap().len(), MAX_ROWS);
        assert_eq!(chats(body(MAX_ROWS + 1).as_bytes()), Err(BodyFault::TooManyRows));
        // Neither what is no JSON further on nor a broken row before leads to a second look.
        let broken = body(MAX_ROWS + 1).replacen("{}", "17", 1) + "nonsense";
        assert_eq!(chats(broken.as_bytes()), Err(BodyFault::TooManyRows));
    }

    #[test]
    fn texts_are_read_as_tolerantly_as_rows() {
        let body = br#"{"messages": [
            {"message_id": "m1", "direction": "inbound", "time_sent": 1791208761220, "text": "a\ud83db"},
            {"message_id": 17, "text": "lost"}, 17,
            {"message_id": "m2", "direction": "inbound", "time_sent": 1791208761220, "text": 1e400}]}"#;
        let (page, texts) = messages_with_texts(body).unwrap();
        assert_eq!((page.rows.len(), page.rejected.len(), texts.len()), (2, 2, 1));
        assert!(texts[0].1.starts_with('a') && texts[0].1.ends_with('b'), "{:?}", texts[0].1);
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
            {"message_id": "m", "direction": "inbound", "time_sent": 1791208761220, "status": null, "protocol": "whatsapp",
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
    fn a_webhook_is_its_id_and_three_values_and_never_its_url() {
        let body = br#"{"webhooks": [
            {"webhook_id": "wh_31b", "webhook_url": "https://hooks.example/?key=canary", "webhook_type": "all",
             "valid_until": -1, "last_triggered": 1791208763000, "failure_count": 7, "is_active": true},
            {"webhook_id": "wh_2", "last_triggered": null, "failure_count": "many"},
            {"webhook_id": "https://hooks.example/canary", "failure_count": 1},
            {"webhook_id": "wh 4"}, {"webhook_id": null}, {"failure_count": -1, "webhook_id": "wh_5"}, 7]}"#;
        let page = webhooks(body).unwrap();
        let rows: Vec<_> =
            page.rows.iter().map(|w| (&*w.id, w.failures, w.last_triggered, w.active)).collect();
        assert_eq!(
            rows,
            [
                ("wh_31b", Some(7), Some(1_791_208_763_000), Some(true)),
                ("wh_2", None, None, None),
                ("wh_5", None, None, None)
            ]
        );
        assert_eq!(page.rejected.len(), 4);
        assert!(!format!("{page:?}").contains("canary"));
        assert!(webhooks(b"{}").is_err());
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
        assert_eq!(page.rejected, [Rejection::Id]);
    }
}
