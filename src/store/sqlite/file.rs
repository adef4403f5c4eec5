//! The file itself: recognised before it is opened, locked, checked and migrated, or created whole under another name.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::errors::{MISSING_TABLES, damaged, explain, io_error};
use super::schema::{self, APPLICATION_ID, SCHEMA_VERSION};
use super::{migration, read};
use crate::files::beside;
use crate::store::{KEY_BYTES, StoreError};

/// Rejects a file that is not one of ours. Looked at before SQLite opens it, because opening can already
/// change a file.
pub(super) fn recognise(mut file: File, path: &Path) -> Result<(), StoreError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let mut header = Vec::new();
    file.by_ref().take(100).read_to_end(&mut header).map_err(|error| io_error(path, &error))?;
    if header.len() < 100 && MAGIC.starts_with(&header[..header.len().min(MAGIC.len())]) {
        let detail = "it is empty or cut short".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), detail });
    }
    if header.len() < 100 || !header.starts_with(MAGIC) {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let application = u32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    if i64::from(application) != APPLICATION_ID {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    Ok(())
}

/// Whether a file could be made here.
pub(super) fn look_at_place(path: &Path) -> Result<(), StoreError> {
    reject_a_log_alone(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match fs::metadata(folder.unwrap_or(Path::new("."))) {
        Ok(folder) if folder.is_dir() => Ok(()),
        Ok(_) => Err(io_error(path, &ErrorKind::NotADirectory.into())),
        Err(error) => Err(io_error(path, &error)),
    }
}

/// Opens what is there. The name is that of a file, whatever else it would be to the database.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection = Connection::open_with_flags(whole, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

/// Reads everything that a start with accounts of these names reads, and writes nothing.
pub(super) fn rehearse(path: &Path, names: &[&str]) -> Result<(), StoreError> {
    let at = |error| explain(path, &error);
    let has_log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let connection = connect(path).map_err(at)?;
    // A log that a crash left is for the start to apply.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log).map_err(at)?;
    // Nothing of the transaction reaches the disk before its end, which is to take it back.
    connection.pragma_update(None, "cache_spill", false).map_err(at)?;
    connection.execute_batch("BEGIN IMMEDIATE").map_err(at)?;
    let checked = check(&connection, path).and_then(|_| read::all(&connection, path, names));
    connection.execute_batch("ROLLBACK").map_err(at)?;
    checked
}

/// Rejects a place from which the file was taken away and its log was not: a new file would lose what is in the log.
fn reject_a_log_alone(path: &Path) -> Result<(), StoreError> {
    match beside(path, "-wal").exists() {
        true => {
            let detail = "its write-ahead log is there, the file itself is not".to_owned();
            Err(StoreError::Damaged { path: path.to_owned(), detail })
        }
        false => Ok(()),
    }
}

/// Creates the file under another name and links it into place when it is complete: a file at `path` is
/// never half made, and never replaces another.
pub(super) fn create(path: &Path, key: &[u8; KEY_BYTES]) -> Result<(), StoreError> {
    reject_a_log_alone(path)?;
    let draft = beside(path, &format!(".new-{}", std::process::id()));
    let io = |error: std::io::Error| io_error(path, &error);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(io)?;
    let filled = fill(&draft, key).map_err(|error| explain(path, &error));
    let linked = filled.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(StoreError::Locked(path.to_owned())),
        linked => linked.map_err(io),
    });
    fs::remove_file(&draft).map_err(io)?;
    linked
}

fn fill(draft: &Path, key: &[u8; KEY_BYTES]) -> rusqlite::Result<()> {
    let connection = Connection::open(draft)?;
    let transaction = connection.unchecked_transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    schema::create_tables(&transaction)?;
    transaction.execute("INSERT INTO state_key (only, key) VALUES (1, ?1)", [key.as_slice()])?;
    transaction.commit()
}

/// Whether the file is ours and whole; one of an earlier version is migrated. Returns the key that ids are hashed with, and the
/// version that was found. The caller begins and ends the transaction.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<([u8; KEY_BYTES], i64), StoreError> {
    let at = |error| explain(path, &error);
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get("application_id")).map_err(at)?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let found = schema::version(connection, path)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get("quick_check"))
        .map_err(|error| damaged(path, &error.to_string()))?;
    if verdict != "ok" {
        return Err(damaged(path, "its integrity check failed"));
    }
    let key: Option<Vec<u8>> =
        connection.query_row("SELECT key FROM state_key", [], |row| row.get("key")).optional().map_err(at)?;
    let key = key.and_then(|key| key.try_into().ok()).ok_or_else(|| damaged(path, "its key is missing"))?;
    if found < SCHEMA_VERSION {
        migration::migrate(connection, found).map_err(at)?;
    }
    match schema::is_complete(connection).map_err(at)? {
        true => Ok((key, found)),
        false => Err(damaged(path, MISSING_TABLES)),
    }
}
