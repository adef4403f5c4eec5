//! The state in one SQLite file. Only this folder names the database.
//!
//! WAL with `synchronous=FULL`: a commit that returned survives a crash of the process and of the machine,
//! as far as the disk keeps its word. The exclusive lock is held for the life of the process.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

mod errors;
mod file;
mod migration;
mod read;
mod rows;
mod schema;
mod write;

use self::errors::{explain, io_error};
use self::schema::SCHEMA_VERSION;
use super::{AccountState, KEY_BYTES, State, Store, StoreError, Totals};
use crate::domain::Delta;
use crate::files::{self, beside};
use crate::lease::Grant;

/// The open state file. Each account writes through a handle of its own.
pub struct SqliteStore {
    shared: Arc<Shared>,
    account: i64,
    /// The baseline is in the file itself, where [`StateFile::baselines`] finds it, and not only in the log.
    is_shown: bool,
}

struct Shared {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// The state file, opened and locked until the last clone is gone.
#[derive(Clone)]
pub struct StateFile {
    shared: Arc<Shared>,
    key: [u8; KEY_BYTES],
}

impl StateFile {
    /// Opens the file, or creates it with mode 0600, and locks it for the life of the value. A file that is
    /// not ours, not whole, or of another version is left as it is.
    pub fn open(path: &Path, new_key: [u8; KEY_BYTES]) -> Result<StateFile, StoreError> {
        match files::open(path) {
            Ok(opened) => file::recognise(opened, path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => file::create(path, &new_key)?,
            Err(error) => return Err(io_error(path, &error)),
        }
        let at = |error| explain(path, &error);
        let connection = file::connect(path).map_err(at)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(at)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(at)?;
        connection.pragma_update(None, "cache_size", -1024).map_err(at)?;
        // The log is written over from its start every 256 pages (1 MiB); it need not be larger.
        connection.pragma_update(None, "wal_autocheckpoint", 256).map_err(at)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch("BEGIN IMMEDIATE").map_err(at)?;
        let (key, found) = file::check(&connection, path)?;
        connection.execute_batch("COMMIT").map_err(at)?;
        if found < SCHEMA_VERSION {
            tracing::info!(path = %crate::privacy::shown(path), from = found, to = SCHEMA_VERSION, "state file migrated");
        }
        let shared = Shared { path: path.to_owned(), connection: Mutex::new(connection) };
        Ok(StateFile { shared: Arc::new(shared), key })
    }

    /// Checks that the file can be opened and read for accounts of these names, or created. Everything that a start does
    /// with it is done, up to the migration, and then rolled back: the file is as it was. Returns whether another process
    /// has it in use; such a file was checked by that process.
    ///
    /// # Errors
    /// What [`StateFile::open`] would fail with.
    pub fn look_at(path: &Path, names: &[&str]) -> Result<bool, StoreError> {
        match files::open(path) {
            Ok(opened) => file::recognise(opened, path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return file::look_at_place(path).map(|()| false);
            }
            Err(error) => return Err(io_error(path, &error)),
        }
        match file::rehearse(path, names) {
            Err(StoreError::Locked(_)) => Ok(true),
            rehearsed => rehearsed.map(|()| false),
        }
    }

    /// The baseline of each account that has one, read from a file that another process may have open. Nothing is locked or
    /// changed. What is only in the write-ahead log so far is not seen.
    pub fn baselines(path: &Path) -> Result<BTreeMap<String, i64>, StoreError> {
        file::recognise(files::open(path).map_err(|error| io_error(path, &error))?, path)?;
        let at = |error| explain(path, &error);
        let encoded = utf8_percent_encode(&path.to_string_lossy(), NON_ALPHANUMERIC).to_string();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let address = format!("file:{encoded}?immutable=1");
        let connection = Connection::open_with_flags(address, flags).map_err(at)?;
        schema::version(&connection, path)?;
        let query = "SELECT name, baseline FROM account WHERE baseline > 0";
        let mut statement = connection.prepare(query).map_err(at)?;
        let rows = statement.query_map([], |row| Ok((row.get("name")?, row.get("baseline")?))).map_err(at)?;
        rows.collect::<Result<_, _>>().map_err(at)
    }
}

impl State for StateFile {
    fn key(&self) -> [u8; KEY_BYTES] {
        self.key
    }

    fn account(&self, name: &str, now: i64, _grant: Option<Grant>) -> Result<AccountState, StoreError> {
        let connection = self.shared.connection.lock();
        let at = |error| explain(&self.shared.path, &error);
        connection
            .execute("INSERT OR IGNORE INTO account (name, first_start) VALUES (?1, ?2)", params![name, now])
            .map_err(at)?;
        let (account, restored) = read::account(&connection, &self.shared.path, name)?;
        drop(connection);
        let store = SqliteStore { shared: Arc::clone(&self.shared), account, is_shown: false };
        Ok(AccountState { store: Box::new(store), restored })
    }

    fn totals_of_others(&self, names: &[&str]) -> Result<Vec<Totals>, StoreError> {
        read::totals_of_others(&self.shared.connection.lock(), &self.shared.path, names)
    }

    fn accounts(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.shared.connection.lock();
        let at = |error| explain(&self.shared.path, &error);
        let mut statement = connection.prepare("SELECT name FROM account ORDER BY id").map_err(at)?;
        let names = statement.query_map([], |row| row.get("name")).map_err(at)?;
        names.collect::<Result<_, _>>().map_err(at)
    }

    fn first_start(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let query = "SELECT first_start FROM account WHERE name = ?1";
        let found = self
            .shared
            .connection
            .lock()
            .query_row(query, params![name], |row| row.get("first_start"))
            .optional();
        found.map_err(|error| explain(&self.shared.path, &error))
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        let mut connection = self.shared.connection.lock();
        write::commit(&mut connection, self.account, delta)
            .map_err(|error| explain(&self.shared.path, &error))?;
        if !self.is_shown && delta.progress.baseline > 0 {
            self.is_shown = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).is_ok();
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        length(&self.shared.path) + length(&beside(&self.shared.path, "-wal"))
    }
}

#[cfg(test)]
mod tests;
