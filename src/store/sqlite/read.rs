//! Restoring: everything of an account, and the totals of others.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::errors::{UNKNOWN_VALUES, damaged, explain};
use super::rows::{
    ChatRow, ConversationRow, CounterRow, DeviceRow, HistogramRow, LineRow, MessageRow, PlaceRow, TableRow,
    each,
};
use crate::domain::{Progress, Restored};
use crate::store::{StoreError, Totals};

/// The number of an account, and everything that is stored of it.
pub(super) fn account(
    connection: &Connection,
    path: &Path,
    name: &str,
) -> Result<(i64, Restored), StoreError> {
    let at = |error| explain(path, &error);
    let (account, progress) = connection
        .query_row("SELECT * FROM account WHERE name = ?1", [name], |row| {
            let progress = Progress {
                baseline: row.get("baseline")?,
                floor: row.get("floor")?,
                listed_at: row.get("listed_at")?,
                watermark: row.get("watermark")?,
                last_success: row.get("last_success")?,
                history: row.get("history")?,
                shown_at: row.get("shown_at")?,
            };
            Ok((row.get("id")?, progress))
        })
        .map_err(at)?;
    let restored = restored(connection, account, progress).map_err(at)?;
    Ok((account, restored.ok_or_else(|| damaged(path, UNKNOWN_VALUES))?))
}

/// Reads what a start with accounts of these names reads.
pub(super) fn all(connection: &Connection, path: &Path, names: &[&str]) -> Result<(), StoreError> {
    for name in names {
        let known =
            connection.query_row("SELECT 1 FROM account WHERE name = ?1", [name], |_| Ok(())).optional();
        if known.map_err(|error| explain(path, &error))?.is_some() {
            account(connection, path, name)?;
        }
    }
    totals_of_others(connection, path, names).map(drop)
}

pub(super) fn totals_of_others(
    connection: &Connection,
    path: &Path,
    names: &[&str],
) -> Result<Vec<Totals>, StoreError> {
    let at = |error| explain(path, &error);
    let mut statement = connection.prepare("SELECT id, name FROM account ORDER BY id").map_err(at)?;
    let accounts = statement.query_map([], |row| Ok((row.get("id")?, row.get("name")?))).map_err(at)?;
    let mut all = Vec::new();
    for account in accounts {
        let (id, name): (i64, String) = account.map_err(at)?;
        if !names.contains(&name.as_str()) {
            let found = totals(connection, id).map_err(at)?;
            all.push(found.ok_or_else(|| damaged(path, UNKNOWN_VALUES))?);
        }
    }
    Ok(all)
}

/// Everything of an account; `None` when a value is none that this version writes.
fn restored(connection: &Connection, account: i64, progress: Progress) -> rusqlite::Result<Option<Restored>> {
    let mut all = Restored { progress, ..Restored::default() };
    each(connection, "line", account, |row: LineRow| all.lines.push(row.restored()))?;
    all.lines.sort_unstable_by_key(|(line, _)| *line);
    each(connection, "device", account, |row: DeviceRow| all.devices.push(row.restored()))?;
    each(connection, "conversation", account, |row: ConversationRow| {
        let (chat, conversation) = row.restored();
        all.told.conversations.push((chat, Some(conversation)));
    })?;
    for (table, places) in [("waiting", &mut all.told.waiting), ("lost", &mut all.told.lost)] {
        each(connection, table, account, |row: PlaceRow| {
            let (id, place) = row.restored();
            places.push((id, Some(place)));
        })?;
    }
    let chats = collect(connection, "chat", account, ChatRow::restored)?;
    let messages = collect(connection, "message", account, MessageRow::restored)?;
    let (Some(chats), Some(messages), Some((counters, histograms))) =
        (chats, messages, totals(connection, account)?)
    else {
        return Ok(None);
    };
    Ok(Some(Restored { chats, messages, counters, histograms, ..all }))
}

/// The counters and histograms of an account; `None` when one is none that this version writes.
fn totals(connection: &Connection, account: i64) -> rusqlite::Result<Option<Totals>> {
    let counters = collect(connection, "counter", account, CounterRow::restored)?;
    let histograms = collect(connection, "histogram", account, HistogramRow::restored)?;
    Ok(counters.zip(histograms))
}

/// The rows of a table as values of the domain; `None` when one of them cannot be.
fn collect<R: TableRow, T>(
    connection: &Connection,
    table: &str,
    account: i64,
    restore: impl Fn(R) -> Option<T>,
) -> rusqlite::Result<Option<Vec<T>>> {
    let (mut values, mut whole) = (Vec::new(), true);
    each(connection, table, account, |row: R| match restore(row) {
        Some(value) => values.push(value),
        None => whole = false,
    })?;
    Ok(whole.then_some(values))
}
