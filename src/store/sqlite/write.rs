//! Commits: one transaction each.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Transaction, named_params};

use super::rows::{
    ChatRow, ConversationRow, CounterRow, DeviceRow, HistogramRow, LineRow, MessageRow, PlaceRow, TableRow,
    replacing,
};
use super::schema::TABLES_OF_ACCOUNTS;
use crate::domain::{Delta, Progress};

/// Writes the delta of an account, whole or not at all.
pub(super) fn commit(connection: &mut Connection, account: i64, delta: &Delta) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if delta.is_whole {
        for table in TABLES_OF_ACCOUNTS {
            let statement = format!("DELETE FROM {table} WHERE account = ?1");
            transaction.prepare_cached(&statement)?.execute([account])?;
        }
    }
    update_progress(&transaction, account, &delta.progress)?;
    let table = |name| Table { transaction: &transaction, name, account };
    table("line").replace(delta.lines.iter().map(|(line, name)| LineRow::of(*line, name)))?;
    table("device").replace(delta.devices.iter().map(|(line, device)| DeviceRow::of(*line, device)))?;

    let of_chats = delta.chats.iter().filter_map(|(key, chat)| Some(ChatRow::of(*key, chat.as_ref()?)));
    table("chat").replace(of_chats)?;
    let without_chat = delta.chats.iter().filter(|(_, chat)| chat.is_none());
    table("chat").delete("key", without_chat.map(|(key, _)| key.0.to_be_bytes()))?;

    let of_messages = delta.messages.iter().filter_map(|(id, held)| {
        held.as_ref().map(|(tracked, open)| MessageRow::of(*id, tracked, open.as_ref()))
    });
    table("message").replace(of_messages)?;
    let without_message = delta.messages.iter().filter(|(_, held)| held.is_none());
    table("message").delete("id", without_message.map(|(id, _)| id.0.to_be_bytes()))?;

    let conversations = &delta.told.conversations;
    let of_conversations =
        conversations.iter().filter_map(|(chat, held)| Some(ConversationRow::of(*chat, held.as_ref()?)));
    table("conversation").replace(of_conversations)?;
    let without_conversation = conversations.iter().filter(|(_, held)| held.is_none());
    table("conversation").delete("chat", without_conversation.map(|(chat, _)| chat.0.to_be_bytes()))?;

    for (name, places) in [("waiting", &delta.told.waiting), ("lost", &delta.told.lost)] {
        let of_places = places.iter().filter_map(|(id, place)| Some(PlaceRow::of(*id, place.as_ref()?)));
        table(name).replace(of_places)?;
        let without_place = places.iter().filter(|(_, place)| place.is_none());
        table(name).delete("id", without_place.map(|(id, _)| id.0.to_be_bytes()))?;
    }

    table("counter").replace(delta.counters.iter().map(|(key, value)| CounterRow::of(*key, *value)))?;
    table("histogram").replace(delta.histograms.iter().map(|(key, held)| HistogramRow::of(*key, held)))?;
    transaction.commit()
}

fn update_progress(transaction: &Connection, account: i64, progress: &Progress) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "UPDATE account SET baseline = :baseline, floor = :floor, listed_at = :listed_at, watermark = :watermark,
                last_success = :last_success, history = :history, shown_at = :shown_at
         WHERE id = :id",
    )?;
    statement.execute(named_params! {
        ":id": account,
        ":baseline": progress.baseline,
        ":floor": progress.floor,
        ":listed_at": progress.listed_at,
        ":watermark": progress.watermark,
        ":last_success": progress.last_success,
        ":history": progress.history,
        ":shown_at": progress.shown_at,
    })?;
    Ok(())
}

/// A table as far as it belongs to an account.
struct Table<'a> {
    transaction: &'a Transaction<'a>,
    name: &'static str,
    account: i64,
}

impl Table<'_> {
    /// Writes rows in place of those with the same keys.
    fn replace<R: TableRow>(&self, rows: impl Iterator<Item = R>) -> rusqlite::Result<()> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut statement = self.transaction.prepare_cached(&replacing::<R>(self.name))?;
        rows.try_for_each(|row| row.write(&mut statement, self.account))
    }

    /// Deletes the rows with these keys.
    fn delete(&self, column: &str, keys: impl Iterator<Item = impl ToSql>) -> rusqlite::Result<()> {
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return Ok(());
        }
        let statement = format!("DELETE FROM {} WHERE account = ?1 AND {column} = ?2", self.name);
        let mut statement = self.transaction.prepare_cached(&statement)?;
        keys.try_for_each(|key| statement.execute((self.account, key)).map(drop))
    }
}
