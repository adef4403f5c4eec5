//! One struct per table: its columns by name, and how each value of the domain becomes a row and is restored from it.

use rusqlite::{Connection, Row, Statement, params};

use crate::domain::{
    Absence, Chat, ChatKey, ChatKind, Conversation, Counter, Device, Histogram, HistogramKey, LineId,
    Listing, MessageId, Missing, Open, Outage, Place, Tracked, Unreadable,
};
use crate::store::codec::{counter_key, histogram_key, parse_counter, parse_histogram};

type Hash = [u8; 16];

/// A row of a table whose rows belong to an account.
pub(super) trait TableRow: Sized {
    /// The columns beside the account.
    const COLUMNS: &'static [&'static str];

    /// The row that a statement of [`each`] returned.
    fn read(row: &Row) -> rusqlite::Result<Self>;

    /// Executes a statement of [`replacing`].
    fn write(&self, statement: &mut Statement, account: i64) -> rusqlite::Result<()>;
}

/// Defines the struct of a table. The statements name the columns in the order of the fields, so that positions exist
/// in this macro alone, and no name is looked up per row: a file can hold a million.
macro_rules! table_row {
    ($(#[$doc:meta])* $name:ident { $($column:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        pub(super) struct $name { $($column: $type),* }

        impl TableRow for $name {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),*];

            fn read(row: &Row) -> rusqlite::Result<Self> {
                let mut position = 0..;
                // Fields are evaluated in the order in which they are written.
                Ok($name { $($column: row.get(position.next().unwrap_or(0))?),* })
            }

            fn write(&self, statement: &mut Statement, account: i64) -> rusqlite::Result<()> {
                statement.execute(params![account, $(self.$column),*]).map(drop)
            }
        }
    };
}

/// Hands out the rows of an account, one at a time.
pub(super) fn each<R: TableRow>(
    connection: &Connection,
    table: &str,
    account: i64,
    mut take: impl FnMut(R),
) -> rusqlite::Result<()> {
    let columns = R::COLUMNS.join(", ");
    let mut statement = connection.prepare(&format!("SELECT {columns} FROM {table} WHERE account = ?1"))?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        take(R::read(row)?);
    }
    Ok(())
}

/// The text of the statement that writes a row, in place of the one with the same key.
pub(super) fn replacing<R: TableRow>(table: &str) -> String {
    let columns = R::COLUMNS.join(", ");
    let values = ", ?".repeat(R::COLUMNS.len());
    format!("INSERT OR REPLACE INTO {table} (account, {columns}) VALUES (?{values})")
}

table_row! {
    /// A line of the account.
    LineRow { id: u16, name: String }
}

impl LineRow {
    pub(super) fn of(line: LineId, name: &str) -> LineRow {
        LineRow { id: line.0, name: name.to_owned() }
    }

    pub(super) fn restored(self) -> (LineId, String) {
        (LineId(self.id), self.name)
    }
}

table_row! {
    /// The newest device probe of a line.
    DeviceRow {
        line: u16,
        probed_at: Option<i64>,
        answered: Option<bool>,
        active: Option<bool>,
        last_active: Option<i64>,
    }
}

impl DeviceRow {
    pub(super) fn of(line: LineId, device: &Device) -> DeviceRow {
        let Device { probed_at, answered, active, last_active } = *device;
        DeviceRow { line: line.0, probed_at, answered, active, last_active }
    }

    pub(super) fn restored(self) -> (LineId, Device) {
        let DeviceRow { line, probed_at, answered, active, last_active } = self;
        (LineId(line), Device { probed_at, answered, active, last_active })
    }
}

table_row! {
    /// A chat: what the list says of it, how far it was read, and what stands in the way.
    ChatRow {
        key: Hash,
        kind: u8,
        last_at: i64,
        last_id: Option<Hash>,
        messages: i64,
        inbound: i64,
        outbound: i64,
        cursor: i64,
        audited_at: i64,
        absent: u8,
        changed_since: Option<i64>,
        deep: bool,
        explained: i64,
        line: Option<u16>,
        not_found: u8,
        not_found_since: i64,
        outage: Option<u8>,
        outage_since: Option<i64>,
        unshown: bool,
        absent_since: i64,
        times: Option<i64>,
    }
}

impl ChatRow {
    pub(super) fn of(key: ChatKey, chat: &Chat) -> ChatRow {
        ChatRow {
            key: key.0.to_be_bytes(),
            kind: chat.kind.number(),
            last_at: chat.listed.last_at.unwrap_or(0),
            last_id: chat.listed.last_id.map(|id| id.0.to_be_bytes()),
            messages: stored_count(chat.listed.messages),
            inbound: stored_count(chat.listed.inbound),
            outbound: stored_count(chat.listed.outbound),
            cursor: chat.cursor,
            audited_at: chat.audited_at.unwrap_or(0),
            absent: chat.absence.listings,
            changed_since: chat.changed_since,
            deep: chat.deep,
            explained: chat.explained.unwrap_or(-1),
            line: chat.line.map(|line| line.0),
            not_found: chat.absence.not_found,
            not_found_since: chat.absence.not_found_since,
            outage: chat.outage.map(|outage| outage.reason.number()),
            outage_since: chat.outage.map(|outage| outage.since),
            unshown: chat.unshown,
            absent_since: chat.absence.since,
            times: chat.listed.times,
        }
    }

    /// `None` when a value is none that this version writes.
    pub(super) fn restored(self) -> Option<(ChatKey, Chat)> {
        let outage = match (self.outage, self.outage_since) {
            (Some(number), Some(since)) => Some(Outage { reason: Unreadable::from_number(number)?, since }),
            _ => None,
        };
        let listed = Listing {
            last_at: Some(self.last_at).filter(|at| *at > 0),
            last_id: self.last_id.map(|id| MessageId(u128::from_be_bytes(id)).undirected()),
            messages: u32::try_from(self.messages).ok(),
            inbound: u32::try_from(self.inbound).ok(),
            outbound: u32::try_from(self.outbound).ok(),
            times: self.times,
        };
        let absence = Absence {
            listings: self.absent,
            since: self.absent_since,
            not_found: self.not_found,
            not_found_since: self.not_found_since,
        };
        let chat = Chat {
            kind: ChatKind::from_number(self.kind)?,
            listed,
            cursor: self.cursor,
            audited_at: Some(self.audited_at).filter(|at| *at > 0),
            absence,
            changed_since: self.changed_since,
            deep: self.deep,
            explained: Some(self.explained).filter(|explained| *explained >= 0),
            line: self.line.map(LineId),
            outage,
            unshown: self.unshown,
            listed_in: 0,
            shown_at: 0,
        };
        Some((ChatKey(u128::from_be_bytes(self.key)), chat))
    }
}

/// A count as it is stored: -1 where the API gives none.
fn stored_count(count: Option<u32>) -> i64 {
    count.map_or(-1, i64::from)
}

table_row! {
    /// A message that was counted, and what is open about it.
    MessageRow {
        id: Hash,
        sent_at: i64,
        packed: i64,
        open_chat: Option<Hash>,
        missing_since: Option<i64>,
        missing_last: Option<i64>,
        seen_at: Option<i64>,
    }
}

impl MessageRow {
    pub(super) fn of(id: MessageId, tracked: &Tracked, open: Option<&Open>) -> MessageRow {
        let missing = open.and_then(|open| open.missing);
        MessageRow {
            id: id.0.to_be_bytes(),
            sent_at: tracked.sent_at,
            packed: tracked.pack(),
            open_chat: open.map(|open| open.chat.0.to_be_bytes()),
            missing_since: missing.map(|missing| missing.since),
            missing_last: missing.map(|missing| missing.last),
            seen_at: open.and_then(|open| open.seen_at),
        }
    }

    /// `None` when a value is none that this version writes.
    pub(super) fn restored(self) -> Option<(MessageId, Tracked, Option<Open>)> {
        let tracked = Tracked::unpack(self.sent_at, self.packed)?;
        let missing =
            self.missing_since.map(|since| Missing { since, last: self.missing_last.unwrap_or(since) });
        let open = self.open_chat.map(|chat| Open {
            missing,
            seen_at: self.seen_at,
            ..Open::new(ChatKey(u128::from_be_bytes(chat)))
        });
        Some((MessageId(u128::from_be_bytes(self.id)), tracked, open))
    }
}

table_row! {
    /// What the next message of a conversation is compared with.
    ConversationRow {
        chat: Hash,
        newest: i64,
        streak: u32,
        ours_at: i64,
        line: u16,
        awaits: Option<u16>,
        imessage_since: Option<i64>,
    }
}

impl ConversationRow {
    pub(super) fn of(chat: ChatKey, conversation: &Conversation) -> ConversationRow {
        let Conversation { newest, streak, ours_at, line, awaits, imessage_since } = *conversation;
        let (line, awaits) = (line.0, awaits.map(|line| line.0));
        ConversationRow { chat: chat.0.to_be_bytes(), newest, streak, ours_at, line, awaits, imessage_since }
    }

    pub(super) fn restored(self) -> (ChatKey, Conversation) {
        let ConversationRow { chat, newest, streak, ours_at, line, awaits, imessage_since } = self;
        let (line, awaits) = (LineId(line), awaits.map(LineId));
        let conversation = Conversation { newest, streak, ours_at, line, awaits, imessage_since };
        (ChatKey(u128::from_be_bytes(chat)), conversation)
    }
}

table_row! {
    /// A message that waits for its place in a conversation, or lost it.
    PlaceRow { id: Hash, chat: Hash, sent_at: i64, line: u16 }
}

impl PlaceRow {
    pub(super) fn of(id: MessageId, place: &Place) -> PlaceRow {
        let Place { chat, sent_at, line } = *place;
        PlaceRow { id: id.0.to_be_bytes(), chat: chat.0.to_be_bytes(), sent_at, line: line.0 }
    }

    pub(super) fn restored(self) -> (MessageId, Place) {
        let chat = ChatKey(u128::from_be_bytes(self.chat));
        let place = Place { chat, sent_at: self.sent_at, line: LineId(self.line) };
        (MessageId(u128::from_be_bytes(self.id)), place)
    }
}

table_row! {
    /// A counter. The value is the two's complement: SQLite has no unsigned integers.
    CounterRow { key: String, value: i64 }
}

impl CounterRow {
    pub(super) fn of(counter: Counter, value: u64) -> CounterRow {
        CounterRow { key: counter_key(counter), value: value as i64 }
    }

    /// `None` when the key is none that this version writes.
    pub(super) fn restored(self) -> Option<(Counter, u64)> {
        Some((parse_counter(&self.key)?, self.value as u64))
    }
}

table_row! {
    /// A histogram: the counts of its buckets as little-endian numbers of eight bytes, and the sum.
    HistogramRow { key: String, counts: Vec<u8>, sum: f64 }
}

impl HistogramRow {
    pub(super) fn of(key: HistogramKey, histogram: &Histogram) -> HistogramRow {
        let counts = histogram.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        HistogramRow { key: histogram_key(key), counts, sum: histogram.sum }
    }

    /// `None` when the key or the number of buckets is none that this version writes.
    pub(super) fn restored(self) -> Option<(HistogramKey, Histogram)> {
        let key = parse_histogram(&self.key)?;
        let (chunks, _) = self.counts.as_chunks::<8>();
        let counts: Box<[u64]> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        (counts.len() == key.bounds().len() + 1).then_some((key, Histogram { counts, sum: self.sum }))
    }
}
