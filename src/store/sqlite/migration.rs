//! State files of released versions: how each becomes one of the present version, in one transaction.

use rusqlite::{Connection, named_params};

use super::schema::SINCE_VERSION_3;
use crate::domain::{Direction, MessageId, Tracked};

/// What a file of an earlier version lacks is added, one version at a time. The caller begins and ends the transaction.
pub(super) fn migrate(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    if found < 2 {
        from_version_1(connection)?;
    }
    if found < 3 {
        from_version_2(connection)?;
    }
    Ok(())
}

/// Version 2 (never released) had neither devices nor conversations, and counted how often a message was missing.
fn from_version_2(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SINCE_VERSION_3)?;
    connection.execute_batch("ALTER TABLE message DROP COLUMN missing_times")?;
    connection.pragma_update(None, "user_version", 3)
}

/// Version 1 (releases 0.1): messages were identified without their direction, and less was known of chats.
///
/// Nothing is lost: every count, cursor and id is carried over. What is new is empty.
fn from_version_1(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "ALTER TABLE account ADD COLUMN history INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE account ADD COLUMN shown_at INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE chat ADD COLUMN not_found INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE chat ADD COLUMN not_found_since INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE chat ADD COLUMN outage INTEGER;
         ALTER TABLE chat ADD COLUMN outage_since INTEGER;
         ALTER TABLE chat ADD COLUMN unshown INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE chat ADD COLUMN absent_since INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE chat ADD COLUMN times INTEGER;
         ALTER TABLE message RENAME TO message_1;
         CREATE TABLE message (
             account INTEGER, id BLOB, sent_at INTEGER NOT NULL, packed INTEGER NOT NULL, open_chat BLOB,
             missing_since INTEGER, missing_last INTEGER, missing_times INTEGER, seen_at INTEGER,
             PRIMARY KEY (account, id)) WITHOUT ROWID;",
    )?;
    {
        let mut read = connection
            .prepare("SELECT account, id, sent_at, packed, open_chat, missing_since FROM message_1")?;
        let mut write = connection.prepare(
            "INSERT INTO message (account, id, sent_at, packed, open_chat, missing_since)
             VALUES (:account, :id, :sent_at, :packed, :open_chat, :missing_since)",
        )?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let (sent_at, packed): (i64, i64) = (row.get("sent_at")?, row.get("packed")?);
            let hash = u128::from_be_bytes(row.get("id")?);
            // A value that no version wrote is left for the checks of every start.
            let direction = Tracked::unpack(sent_at, packed).map_or(Direction::Inbound, |m| m.direction());
            let id = MessageId::new(hash, direction).0.to_be_bytes();
            let (account, chat): (i64, Option<Vec<u8>>) = (row.get("account")?, row.get("open_chat")?);
            let missing_since: Option<i64> = row.get("missing_since")?;
            write.execute(named_params! {
                ":account": account,
                ":id": id,
                ":sent_at": sent_at,
                ":packed": packed,
                ":open_chat": chat,
                ":missing_since": missing_since,
            })?;
        }
    }
    connection.execute_batch("DROP TABLE message_1; PRAGMA user_version = 2;")
}
