//! The tables of a state file, and the version that they have.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use super::errors::explain;
use crate::store::StoreError;

/// "BLOO" on a phone's keypad, in the file's header: distinguishes our files from other SQLite files.
pub(super) const APPLICATION_ID: i64 = 0x0001_2566;
/// Raised with every change of the tables or of the histograms' buckets.
pub(super) const SCHEMA_VERSION: i64 = 3;

/// The tables of version 2 and later, as the present version has them.
const SCHEMA: &str = "
CREATE TABLE state_key (only INTEGER PRIMARY KEY CHECK (only = 1), key BLOB NOT NULL);
CREATE TABLE account (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, first_start INTEGER NOT NULL,
    baseline INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0, listed_at INTEGER NOT NULL DEFAULT 0,
    watermark INTEGER NOT NULL DEFAULT 0, last_success INTEGER NOT NULL DEFAULT 0,
    history INTEGER NOT NULL DEFAULT 0, shown_at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE line (account INTEGER, id INTEGER, name TEXT NOT NULL, PRIMARY KEY (account, id)) WITHOUT ROWID;
CREATE TABLE chat (
    account INTEGER, key BLOB, kind INTEGER NOT NULL, last_at INTEGER NOT NULL, last_id BLOB,
    messages INTEGER NOT NULL, inbound INTEGER NOT NULL, outbound INTEGER NOT NULL, cursor INTEGER NOT NULL,
    audited_at INTEGER NOT NULL, absent INTEGER NOT NULL, changed_since INTEGER, deep INTEGER NOT NULL,
    explained INTEGER NOT NULL, line INTEGER, not_found INTEGER NOT NULL DEFAULT 0,
    not_found_since INTEGER NOT NULL DEFAULT 0, outage INTEGER, outage_since INTEGER,
    unshown INTEGER NOT NULL DEFAULT 0, absent_since INTEGER NOT NULL DEFAULT 0, times INTEGER, PRIMARY KEY (account, key)) WITHOUT ROWID;
CREATE TABLE message (
    account INTEGER, id BLOB, sent_at INTEGER NOT NULL, packed INTEGER NOT NULL, open_chat BLOB,
    missing_since INTEGER, missing_last INTEGER, seen_at INTEGER, PRIMARY KEY (account, id)) WITHOUT ROWID;
CREATE TABLE counter (account INTEGER, key TEXT, value INTEGER NOT NULL, PRIMARY KEY (account, key)) WITHOUT ROWID;
CREATE TABLE histogram (
    account INTEGER, key TEXT, counts BLOB NOT NULL, sum REAL NOT NULL, PRIMARY KEY (account, key)) WITHOUT ROWID;
";

/// The tables that version 3 added.
pub(super) const SINCE_VERSION_3: &str = "
CREATE TABLE device (
    account INTEGER, line INTEGER, probed_at INTEGER, answered INTEGER, active INTEGER, last_active INTEGER,
    PRIMARY KEY (account, line)) WITHOUT ROWID;
CREATE TABLE conversation (
    account INTEGER, chat BLOB, newest INTEGER NOT NULL, streak INTEGER NOT NULL, ours_at INTEGER NOT NULL,
    line INTEGER NOT NULL, awaits INTEGER, imessage_since INTEGER, PRIMARY KEY (account, chat)) WITHOUT ROWID;
CREATE TABLE waiting (
    account INTEGER, id BLOB, chat BLOB NOT NULL, sent_at INTEGER NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (account, id)) WITHOUT ROWID;
CREATE TABLE lost (
    account INTEGER, id BLOB, chat BLOB NOT NULL, sent_at INTEGER NOT NULL, line INTEGER NOT NULL,
    PRIMARY KEY (account, id)) WITHOUT ROWID;
";

/// The tables whose rows belong to an account.
pub(super) const TABLES_OF_ACCOUNTS: [&str; 9] =
    ["line", "chat", "message", "counter", "histogram", "device", "conversation", "waiting", "lost"];

/// Makes the tables of a new file.
pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(SINCE_VERSION_3)
}

/// Whether every table and column of a new file is there.
pub(super) fn is_complete(connection: &Connection) -> rusqlite::Result<bool> {
    let new = Connection::open_in_memory()?;
    create_tables(&new)?;
    Ok(columns(&new)?.is_subset(&columns(connection)?))
}

/// The tables and their columns, in order.
fn columns(connection: &Connection) -> rusqlite::Result<BTreeSet<(String, i64, String)>> {
    let mut statement = connection.prepare(
        "SELECT t.name AS \"table\", c.cid AS position, c.name AS \"column\"
         FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'",
    )?;
    let columns =
        statement.query_map([], |row| Ok((row.get("table")?, row.get("position")?, row.get("column")?)))?;
    columns.collect()
}

/// The version of the tables, if it is one that this program reads.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get("user_version"));
    let found = found.map_err(|error| explain(path, &error))?;
    match (1..=SCHEMA_VERSION).contains(&found) {
        true => Ok(found),
        false => Err(StoreError::Version { path: path.to_owned(), found, expected: SCHEMA_VERSION }),
    }
}
