//! Rows of the tables: how each value of the domain is written and read.

use super::driver::Value;
use crate::domain::{
    Absence, Chat, ChatKey, ChatKind, Conversation, Counter, Device, Histogram, HistogramKey, LineId,
    Listing, MessageId, Missing, Open, Outage, Place, Tracked, Unreadable,
};
use crate::store::codec::{counter_key, histogram_key, parse_counter, parse_histogram};

/// A row, in the order of its table's columns.
pub(super) type Row = Vec<Value>;

fn int(value: impl Into<i64>) -> Value {
    Value::Int(Some(value.into()))
}

fn maybe(value: Option<impl Into<i64>>) -> Value {
    Value::Int(value.map(Into::into))
}

pub(super) fn hash(value: u128) -> Value {
    Value::Bytes(Some(value.to_be_bytes().to_vec()))
}

/// PostgreSQL rejects NUL in text.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\0', "\\0")
}

/// The inverse of [`escaped`]; `None` for what it never returns.
fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.push(match chars.next()? {
                '\\' => '\\',
                '0' => '\0',
                _ => return None,
            }),
            char => plain.push(char),
        }
    }
    Some(plain)
}

/// Takes the values of a row one after the other. `None` when a value is of another type or range than any that is written.
pub(super) struct Cells(std::vec::IntoIter<Value>);

impl Cells {
    pub(super) fn new(row: Row) -> Cells {
        Cells(row.into_iter())
    }

    pub(super) fn maybe_int<T: TryFrom<i64>>(&mut self) -> Option<Option<T>> {
        match self.0.next()? {
            Value::Int(None) => Some(None),
            Value::Int(Some(value)) => Some(Some(T::try_from(value).ok()?)),
            _ => None,
        }
    }

    pub(super) fn int<T: TryFrom<i64>>(&mut self) -> Option<T> {
        self.maybe_int()?
    }

    pub(super) fn bytes(&mut self) -> Option<Option<Vec<u8>>> {
        match self.0.next()? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn maybe_hash(&mut self) -> Option<Option<u128>> {
        match self.bytes()? {
            None => Some(None),
            Some(bytes) => Some(Some(u128::from_be_bytes(bytes.try_into().ok()?))),
        }
    }

    fn hash(&mut self) -> Option<u128> {
        self.maybe_hash()?
    }

    pub(super) fn maybe_text(&mut self) -> Option<Option<String>> {
        match self.0.next()? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn text(&mut self) -> Option<String> {
        self.maybe_text()?
    }

    fn float(&mut self) -> Option<f64> {
        match self.0.next()? {
            Value::Float(float) => float,
            _ => None,
        }
    }

    pub(super) fn maybe_bool(&mut self) -> Option<Option<bool>> {
        match self.0.next()? {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    fn bool(&mut self) -> Option<bool> {
        self.maybe_bool()?
    }
}

pub(super) fn line_row(line: LineId, name: &str) -> Row {
    vec![int(line.0), Value::Text(Some(escaped(name)))]
}

pub(super) fn line(cells: &mut Cells) -> Option<(LineId, String)> {
    Some((LineId(cells.int()?), unescaped(&cells.text()?)?))
}

pub(super) fn device_row(line: LineId, device: &Device) -> Row {
    vec![
        int(line.0),
        maybe(device.probed_at),
        Value::Bool(device.answered),
        Value::Bool(device.active),
        maybe(device.last_active),
    ]
}

pub(super) fn device(cells: &mut Cells) -> Option<(LineId, Device)> {
    let line = LineId(cells.int()?);
    let device = Device {
        probed_at: cells.maybe_int()?,
        answered: cells.maybe_bool()?,
        active: cells.maybe_bool()?,
        last_active: cells.maybe_int()?,
    };
    Some((line, device))
}

pub(super) fn chat_row(key: ChatKey, chat: &Chat) -> Row {
    let (listed, absence) = (chat.listed, chat.absence);
    vec![
        hash(key.0),
        int(chat.kind.number()),
        maybe(listed.last_at),
        Value::Bytes(listed.last_id.map(|id| id.0.to_be_bytes().to_vec())),
        maybe(listed.messages),
        maybe(listed.inbound),
        maybe(listed.outbound),
        maybe(listed.times),
        int(chat.cursor),
        maybe(chat.audited_at),
        maybe(chat.changed_since),
        Value::Bool(Some(chat.deep)),
        maybe(chat.explained),
        maybe(chat.line.map(|line| line.0)),
        maybe(chat.outage.map(|outage| outage.reason.number())),
        maybe(chat.outage.map(|outage| outage.since)),
        int(absence.listings),
        int(absence.since),
        int(absence.not_found),
        int(absence.not_found_since),
        Value::Bool(Some(chat.unshown)),
    ]
}

pub(super) fn chat(cells: &mut Cells) -> Option<(ChatKey, Chat)> {
    let key = ChatKey(cells.hash()?);
    let kind = ChatKind::from_number(cells.int()?)?;
    let listed = Listing {
        last_at: cells.maybe_int()?,
        last_id: cells.maybe_hash()?.map(|id| MessageId(id).undirected()),
        messages: cells.maybe_int()?,
        inbound: cells.maybe_int()?,
        outbound: cells.maybe_int()?,
        times: cells.maybe_int()?,
    };
    let cursor = cells.int()?;
    let (audited_at, changed_since) = (cells.maybe_int()?, cells.maybe_int()?);
    let (deep, explained) = (cells.bool()?, cells.maybe_int()?);
    let line = cells.maybe_int()?.map(LineId);
    let outage = match (cells.maybe_int()?, cells.maybe_int()?) {
        (Some(reason), Some(since)) => Some(Outage { reason: Unreadable::from_number(reason)?, since }),
        _ => None,
    };
    let absence = Absence {
        listings: cells.int()?,
        since: cells.int()?,
        not_found: cells.int()?,
        not_found_since: cells.int()?,
    };
    let unshown = cells.bool()?;
    let chat = Chat {
        audited_at,
        changed_since,
        deep,
        explained,
        line,
        outage,
        absence,
        unshown,
        ..Chat::new(kind, listed, cursor)
    };
    Some((key, Chat { listed_in: 0, shown_at: 0, ..chat }))
}

pub(super) fn message_row(id: MessageId, tracked: &Tracked, open: Option<&Open>) -> Row {
    let missing = open.and_then(|open| open.missing);
    vec![
        hash(id.0),
        int(tracked.sent_at),
        int(tracked.pack()),
        Value::Bytes(open.map(|open| open.chat.0.to_be_bytes().to_vec())),
        maybe(open.and_then(|open| open.seen_at)),
        maybe(missing.map(|missing| missing.since)),
        maybe(missing.map(|missing| missing.last)),
    ]
}

pub(super) fn message(cells: &mut Cells) -> Option<(MessageId, Tracked, Option<Open>)> {
    let id = MessageId(cells.hash()?);
    let tracked = Tracked::unpack(cells.int()?, cells.int()?)?;
    let chat = cells.maybe_hash()?;
    let seen_at = cells.maybe_int()?;
    let missing = match (cells.maybe_int()?, cells.maybe_int()?) {
        (Some(since), Some(last)) => Some(Missing { since, last }),
        _ => None,
    };
    Some((id, tracked, chat.map(|chat| Open { seen_at, missing, ..Open::new(ChatKey(chat)) })))
}

pub(super) fn conversation_row(chat: ChatKey, conversation: &Conversation) -> Row {
    vec![
        hash(chat.0),
        int(conversation.newest),
        int(conversation.streak),
        int(conversation.ours_at),
        int(conversation.line.0),
        maybe(conversation.awaits.map(|line| line.0)),
        maybe(conversation.imessage_since),
    ]
}

pub(super) fn conversation(cells: &mut Cells) -> Option<(ChatKey, Option<Conversation>)> {
    let chat = ChatKey(cells.hash()?);
    let conversation = Conversation {
        newest: cells.int()?,
        streak: cells.int()?,
        ours_at: cells.int()?,
        line: LineId(cells.int()?),
        awaits: cells.maybe_int()?.map(LineId),
        imessage_since: cells.maybe_int()?,
    };
    Some((chat, Some(conversation)))
}

pub(super) fn place_row(id: MessageId, place: &Place) -> Row {
    vec![hash(id.0), hash(place.chat.0), int(place.sent_at), int(place.line.0)]
}

pub(super) fn place(cells: &mut Cells) -> Option<(MessageId, Option<Place>)> {
    let id = MessageId(cells.hash()?);
    let place = Place { chat: ChatKey(cells.hash()?), sent_at: cells.int()?, line: LineId(cells.int()?) };
    Some((id, Some(place)))
}

pub(super) fn counter_row(counter: Counter, value: u64) -> Row {
    vec![Value::Text(Some(counter_key(counter))), int(value.cast_signed())]
}

pub(super) fn counter(cells: &mut Cells) -> Option<(Counter, u64)> {
    Some((parse_counter(&cells.text()?)?, cells.int::<i64>()?.cast_unsigned()))
}

pub(super) fn histogram_row(key: HistogramKey, histogram: &Histogram) -> Row {
    let counts = histogram.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
    vec![Value::Text(Some(histogram_key(key))), Value::Bytes(Some(counts)), Value::Float(Some(histogram.sum))]
}

pub(super) fn histogram(cells: &mut Cells) -> Option<(HistogramKey, Histogram)> {
    let key = parse_histogram(&cells.text()?)?;
    let bytes = cells.bytes()??;
    let counts: Box<[u64]> =
        bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
    let is_whole = counts.len() == key.bounds().len() + 1 && counts.len() * 8 == bytes.len();
    Some((key, Histogram { counts, sum: cells.float()? })).filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_nul_and_backslashes_survives_escaping() {
        for text in ["", "a\0b", "\\0", "\\\\\0\\", "ü🦀"] {
            assert!(!escaped(text).contains('\0'));
            assert_eq!(unescaped(&escaped(text)).as_deref(), Some(text));
        }
        assert_eq!(unescaped("a\\"), None);
        assert_eq!(unescaped("\\x"), None);
    }
}
