//! The state in one SQLite file. The only file that names the database.
//!
//! WAL with `synchronous=FULL`: a commit that returned survives a crash of the process and of the machine,
//! as far as the disk keeps its word. The exclusive lock is held for the life of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::codec::{counter_key, histogram_key, parse_counter, parse_histogram};
use super::{AccountState, KEY_BYTES, State, Store, StoreError, Totals};
use crate::domain::{
    Absence, Chat, ChatKey, ChatKind, Conversation, Delta, Device, Histogram, LineId, Listing, MessageId,
    Missing, Open, Outage, Place, Progress, Restored, Told, Tracked, Unreadable,
};
use crate::files::{self, beside};
use crate::lease::Grant;

/// "BLOO" on a phone's keypad, in the file's header: tells our files from other SQLite files.
const APPLICATION_ID: i64 = 0x0001_2566;
/// Raised with every change of the tables or of the histograms' buckets.
const SCHEMA_VERSION: i64 = 3;

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
const TABLES_OF_ACCOUNTS: [&str; 9] =
    ["line", "chat", "message", "counter", "histogram", "device", "conversation", "waiting", "lost"];

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
            Ok(file) => recognise(file, path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => create(path, &new_key)?,
            Err(error) => return Err(io_error(path, &error)),
        }
        let at = |error| explain(path, &error);
        let connection = connect(path).map_err(at)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(at)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(at)?;
        connection.pragma_update(None, "cache_size", -1024).map_err(at)?;
        // The log is written over from its start every 256 pages (1 MiB); it need not be larger.
        connection.pragma_update(None, "wal_autocheckpoint", 256).map_err(at)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch("BEGIN IMMEDIATE").map_err(at)?;
        let (key, found) = check(&connection, path)?;
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
            Ok(file) => recognise(file, path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => return look_at_place(path).map(|()| false),
            Err(error) => return Err(io_error(path, &error)),
        }
        match rehearse(path, names) {
            Err(StoreError::Locked(_)) => Ok(true),
            rehearsed => rehearsed.map(|()| false),
        }
    }

    /// The baseline of each account that has one, read from a file that another process may have open. Nothing is locked or
    /// changed. What is only in the write-ahead log so far is not seen.
    pub fn baselines(path: &Path) -> Result<BTreeMap<String, i64>, StoreError> {
        recognise(files::open(path).map_err(|error| io_error(path, &error))?, path)?;
        let at = |error| explain(path, &error);
        let encoded = utf8_percent_encode(&path.to_string_lossy(), NON_ALPHANUMERIC).to_string();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let address = format!("file:{encoded}?immutable=1");
        let connection = Connection::open_with_flags(address, flags).map_err(at)?;
        version(&connection, path)?;
        let query = "SELECT name, baseline FROM account WHERE baseline > 0";
        let mut statement = connection.prepare(query).map_err(at)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(at)?;
        rows.collect::<Result<_, _>>().map_err(at)
    }
}

impl State for StateFile {
    fn key(&self) -> [u8; KEY_BYTES] {
        self.key
    }

    fn account(&self, name: &str, now: i64, _grant: Option<Grant>) -> Result<AccountState, StoreError> {
        let connection = self.shared.lock();
        let at = |error| explain(&self.shared.path, &error);
        connection
            .execute("INSERT OR IGNORE INTO account (name, first_start) VALUES (?1, ?2)", params![name, now])
            .map_err(at)?;
        let (account, restored) = restore_account(&connection, &self.shared.path, name)?;
        drop(connection);
        let store = SqliteStore { shared: Arc::clone(&self.shared), account, is_shown: false };
        Ok(AccountState { store: Box::new(store), restored })
    }

    fn totals_of_others(&self, names: &[&str]) -> Result<Vec<Totals>, StoreError> {
        totals_of_others(&self.shared.lock(), &self.shared.path, names)
    }

    fn accounts(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.shared.lock();
        let at = |error| explain(&self.shared.path, &error);
        let mut statement = connection.prepare("SELECT name FROM account ORDER BY id").map_err(at)?;
        let names = statement.query_map([], |row| row.get(0)).map_err(at)?;
        names.collect::<Result<_, _>>().map_err(at)
    }

    fn first_start(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let query = "SELECT first_start FROM account WHERE name = ?1";
        let found =
            self.shared.lock().query_row(query, params![name], |row| row.get("first_start")).optional();
        found.map_err(|error| explain(&self.shared.path, &error))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        let mut connection = self.shared.lock();
        write(&mut connection, self.account, delta).map_err(|error| explain(&self.shared.path, &error))?;
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

/// Refuses a file that is not one of ours. Looked at before SQLite opens it, because opening can already
/// change a file.
fn recognise(mut file: File, path: &Path) -> Result<(), StoreError> {
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
fn look_at_place(path: &Path) -> Result<(), StoreError> {
    refuse_a_log_alone(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match fs::metadata(folder.unwrap_or(Path::new("."))) {
        Ok(folder) if folder.is_dir() => Ok(()),
        Ok(_) => Err(io_error(path, &ErrorKind::NotADirectory.into())),
        Err(error) => Err(io_error(path, &error)),
    }
}

/// Opens what is there. The name is that of a file, whatever else it would be to the database.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let connection = Connection::open_with_flags(whole, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

/// Reads everything that a start with accounts of these names reads, and writes nothing.
fn rehearse(path: &Path, names: &[&str]) -> Result<(), StoreError> {
    let at = |error| explain(path, &error);
    let has_log = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let connection = connect(path).map_err(at)?;
    // A log that a crash left is for the start to apply.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log).map_err(at)?;
    // Nothing of the transaction reaches the disk before its end, which is to take it back.
    connection.pragma_update(None, "cache_spill", false).map_err(at)?;
    connection.execute_batch("BEGIN IMMEDIATE").map_err(at)?;
    let checked = check(&connection, path).and_then(|_| restore_all(&connection, path, names));
    connection.execute_batch("ROLLBACK").map_err(at)?;
    checked
}

/// Refuses a place from which the file was taken away and its log was not: a new file would lose what is in the log.
fn refuse_a_log_alone(path: &Path) -> Result<(), StoreError> {
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
fn create(path: &Path, key: &[u8; KEY_BYTES]) -> Result<(), StoreError> {
    refuse_a_log_alone(path)?;
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
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(SINCE_VERSION_3)?;
    transaction.execute("INSERT INTO state_key (only, key) VALUES (1, ?1)", [key.as_slice()])?;
    transaction.commit()
}

fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), detail: error.to_string() }
}

/// Whether the file is ours and whole; one of an earlier version is migrated. Returns the key that ids are hashed with, and the
/// version that was found. The caller begins and ends the transaction.
fn check(connection: &Connection, path: &Path) -> Result<([u8; KEY_BYTES], i64), StoreError> {
    let at = |error| explain(path, &error);
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(at)?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    let found = version(connection, path)?;
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(path, &error.to_string()))?;
    if verdict != "ok" {
        return Err(damaged(path, "its integrity check failed"));
    }
    let key: Option<Vec<u8>> =
        connection.query_row("SELECT key FROM state_key", [], |row| row.get(0)).optional().map_err(at)?;
    let key = key.and_then(|key| key.try_into().ok()).ok_or_else(|| damaged(path, "its key is missing"))?;
    if found < SCHEMA_VERSION {
        super::migration::migrate(connection, found).map_err(at)?;
    }
    let (columns, whole) = (columns(connection).map_err(at)?, whole_columns().map_err(at)?);
    match whole.iter().all(|column| columns.contains(column)) {
        true => Ok((key, found)),
        false => Err(damaged(path, MISSING_TABLES)),
    }
}

/// The tables and their columns, in order.
fn columns(connection: &Connection) -> rusqlite::Result<BTreeSet<(String, i64, String)>> {
    let mut statement = connection.prepare(
        "SELECT t.name, c.cid, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'",
    )?;
    let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    columns.collect()
}

/// Those of a new file.
fn whole_columns() -> rusqlite::Result<BTreeSet<(String, i64, String)>> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch(SINCE_VERSION_3)?;
    columns(&connection)
}

/// What a file is damaged by, when it holds what no version wrote.
const UNKNOWN_VALUES: &str = "unknown values";
/// What a file is damaged by, when it lacks what its version has.
const MISSING_TABLES: &str = "a table or a column is missing";

fn damaged(path: &Path, detail: &str) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), detail: detail.to_owned() }
}

/// The version of the tables, if it is one that this program reads.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found = found.map_err(|error| explain(path, &error))?;
    match (1..=SCHEMA_VERSION).contains(&found) {
        true => Ok(found),
        false => Err(StoreError::Version { path: path.to_owned(), found, expected: SCHEMA_VERSION }),
    }
}

/// The number of an account, and everything that is held of it.
fn restore_account(connection: &Connection, path: &Path, name: &str) -> Result<(i64, Restored), StoreError> {
    let at = |error| explain(path, &error);
    let (account, progress) = connection
        .query_row(
            "SELECT id, baseline, floor, listed_at, watermark, last_success, history, shown_at FROM account WHERE name = ?1",
            [name],
            |row| {
                let progress = Progress {
                    baseline: row.get(1)?,
                    floor: row.get(2)?,
                    listed_at: row.get(3)?,
                    watermark: row.get(4)?,
                    last_success: row.get(5)?,
                    history: row.get(6)?,
                    shown_at: row.get(7)?,
                };
                Ok((row.get(0)?, progress))
            },
        )
        .map_err(at)?;
    let restored = restore(connection, account, progress).map_err(at)?;
    Ok((account, restored.ok_or_else(|| damaged(path, UNKNOWN_VALUES))?))
}

fn restore_all(connection: &Connection, path: &Path, names: &[&str]) -> Result<(), StoreError> {
    for name in names {
        let known =
            connection.query_row("SELECT 1 FROM account WHERE name = ?1", [name], |_| Ok(())).optional();
        if known.map_err(|error| explain(path, &error))?.is_some() {
            restore_account(connection, path, name)?;
        }
    }
    totals_of_others(connection, path, names).map(drop)
}

fn totals_of_others(connection: &Connection, path: &Path, names: &[&str]) -> Result<Vec<Totals>, StoreError> {
    let at = |error| explain(path, &error);
    let mut statement = connection.prepare("SELECT id, name FROM account ORDER BY id").map_err(at)?;
    let accounts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(at)?;
    let mut totals = Vec::new();
    for account in accounts {
        let (id, name): (i64, String) = account.map_err(at)?;
        if !names.contains(&name.as_str()) {
            let found = restore_totals(connection, id).map_err(at)?;
            totals.push(found.ok_or_else(|| damaged(path, UNKNOWN_VALUES))?);
        }
    }
    Ok(totals)
}

/// Everything of an account; `None` when a value is none that this version writes.
fn restore(connection: &Connection, account: i64, progress: Progress) -> rusqlite::Result<Option<Restored>> {
    let mut restored = Restored { progress, ..Restored::default() };
    let mut known = true;

    let mut statement = connection.prepare("SELECT id, name FROM line WHERE account = ?1 ORDER BY id")?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        restored.lines.push((LineId(row.get(0)?), row.get(1)?));
    }

    restored.devices = restore_devices(connection, account)?;
    restored.told = Told {
        conversations: restore_conversations(connection, account)?,
        waiting: restore_places(connection, account, "waiting")?,
        lost: restore_places(connection, account, "lost")?,
    };

    let mut statement = connection.prepare(
        "SELECT key, kind, last_at, last_id, messages, inbound, outbound, cursor, audited_at, absent,
                changed_since, deep, explained, line, not_found, not_found_since, outage, outage_since, unshown, absent_since,
                times
         FROM chat WHERE account = ?1",
    )?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        let last_id: Option<[u8; 16]> = row.get(3)?;
        let Some(kind) = ChatKind::from_number(row.get(1)?) else {
            known = false;
            continue;
        };
        let outage = match (row.get::<_, Option<u8>>(16)?, row.get::<_, Option<i64>>(17)?) {
            (Some(number), Some(since)) => {
                let Some(reason) = Unreadable::from_number(number) else {
                    known = false;
                    continue;
                };
                Some(Outage { reason, since })
            }
            _ => None,
        };
        let listed = Listing {
            last_at: Some(row.get(2)?).filter(|at| *at > 0),
            last_id: last_id.map(|id| MessageId(u128::from_be_bytes(id)).undirected()),
            messages: u32::try_from(row.get::<_, i64>(4)?).ok(),
            inbound: u32::try_from(row.get::<_, i64>(5)?).ok(),
            outbound: u32::try_from(row.get::<_, i64>(6)?).ok(),
            times: row.get(20)?,
        };
        let chat = Chat {
            kind,
            listed,
            cursor: row.get(7)?,
            audited_at: Some(row.get(8)?).filter(|at| *at > 0),
            absence: Absence {
                listings: row.get(9)?,
                since: row.get(19)?,
                not_found: row.get(14)?,
                not_found_since: row.get(15)?,
            },
            changed_since: row.get(10)?,
            deep: row.get(11)?,
            explained: Some(row.get(12)?).filter(|explained| *explained >= 0),
            line: row.get::<_, Option<u16>>(13)?.map(LineId),
            outage,
            unshown: row.get(18)?,
            listed_in: 0,
            shown_at: 0,
        };
        restored.chats.push((ChatKey(u128::from_be_bytes(row.get(0)?)), chat));
    }

    let mut statement = connection.prepare(
        "SELECT id, sent_at, packed, open_chat, missing_since, missing_last, seen_at
             FROM message WHERE account = ?1",
    )?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        let chat: Option<[u8; 16]> = row.get(3)?;
        let missing = match (row.get::<_, Option<i64>>(4)?, row.get::<_, Option<i64>>(5)?) {
            (Some(since), last) => Some(Missing { since, last: last.unwrap_or(since) }),
            _ => None,
        };
        let seen_at = row.get(6)?;
        let open = chat.map(|key| Open { missing, seen_at, ..Open::new(ChatKey(u128::from_be_bytes(key))) });
        match Tracked::unpack(row.get(1)?, row.get(2)?) {
            Some(tracked) => {
                restored.messages.push((MessageId(u128::from_be_bytes(row.get(0)?)), tracked, open));
            }
            None => known = false,
        }
    }

    match restore_totals(connection, account)? {
        Some((counters, histograms)) => (restored.counters, restored.histograms) = (counters, histograms),
        None => known = false,
    }
    Ok(known.then_some(restored))
}

fn restore_devices(connection: &Connection, account: i64) -> rusqlite::Result<Vec<(LineId, Device)>> {
    let mut statement = connection
        .prepare("SELECT line, probed_at, answered, active, last_active FROM device WHERE account = ?1")?;
    let devices = statement.query_map([account], |row| {
        let device = Device {
            probed_at: row.get(1)?,
            answered: row.get(2)?,
            active: row.get(3)?,
            last_active: row.get(4)?,
        };
        Ok((LineId(row.get(0)?), device))
    })?;
    devices.collect()
}

fn restore_conversations(
    connection: &Connection,
    account: i64,
) -> rusqlite::Result<Vec<(ChatKey, Option<Conversation>)>> {
    let mut statement = connection.prepare(
        "SELECT chat, newest, streak, ours_at, line, awaits, imessage_since FROM conversation WHERE account = ?1",
    )?;
    let conversations = statement.query_map([account], |row| {
        let conversation = Conversation {
            newest: row.get(1)?,
            streak: row.get(2)?,
            ours_at: row.get(3)?,
            line: LineId(row.get(4)?),
            awaits: row.get::<_, Option<u16>>(5)?.map(LineId),
            imessage_since: row.get(6)?,
        };
        Ok((ChatKey(u128::from_be_bytes(row.get(0)?)), Some(conversation)))
    })?;
    conversations.collect()
}

fn restore_places(
    connection: &Connection,
    account: i64,
    table: &str,
) -> rusqlite::Result<Vec<(MessageId, Option<Place>)>> {
    let mut statement =
        connection.prepare(&format!("SELECT id, chat, sent_at, line FROM {table} WHERE account = ?1"))?;
    let places = statement.query_map([account], |row| {
        let chat = ChatKey(u128::from_be_bytes(row.get(1)?));
        let place = Place { chat, sent_at: row.get(2)?, line: LineId(row.get(3)?) };
        Ok((MessageId(u128::from_be_bytes(row.get(0)?)), Some(place)))
    })?;
    places.collect()
}

/// The counters and histograms of an account; `None` when one is none that this version writes.
fn restore_totals(connection: &Connection, account: i64) -> rusqlite::Result<Option<Totals>> {
    let (mut counters, mut histograms) = Totals::default();
    let mut known = true;

    let mut statement = connection.prepare("SELECT key, value FROM counter WHERE account = ?1")?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        match parse_counter(row.get_ref(0)?.as_str()?) {
            Some(counter) => counters.push((counter, row.get::<_, i64>(1)? as u64)),
            None => known = false,
        }
    }

    let mut statement = connection.prepare("SELECT key, counts, sum FROM histogram WHERE account = ?1")?;
    let mut rows = statement.query([account])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(1)?.as_blob()?;
        let counts: Box<[u64]> =
            bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        match parse_histogram(row.get_ref(0)?.as_str()?) {
            Some(key) if counts.len() == key.bounds().len() + 1 => {
                histograms.push((key, Histogram { counts, sum: row.get(2)? }));
            }
            _ => known = false,
        }
    }
    Ok(known.then_some((counters, histograms)))
}

fn write(connection: &mut Connection, account: i64, delta: &Delta) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if delta.is_whole {
        for table in TABLES_OF_ACCOUNTS {
            transaction
                .prepare_cached(&format!("DELETE FROM {table} WHERE account = ?1"))?
                .execute([account])?;
        }
    }
    let progress = delta.progress;
    transaction
        .prepare_cached(
            "UPDATE account SET baseline = ?2, floor = ?3, listed_at = ?4, watermark = ?5, last_success = ?6,
             history = ?7, shown_at = ?8 WHERE id = ?1",
        )?
        .execute(params![
            account,
            progress.baseline,
            progress.floor,
            progress.listed_at,
            progress.watermark,
            progress.last_success,
            progress.history,
            progress.shown_at
        ])?;
    for (line, name) in &delta.lines {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO line (account, id, name) VALUES (?1, ?2, ?3)")?
            .execute(params![account, line.0, name])?;
    }
    for (line, device) in &delta.devices {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO device VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                account,
                line.0,
                device.probed_at,
                device.answered,
                device.active,
                device.last_active
            ])?;
    }
    for (key, chat) in &delta.chats {
        let key = key.0.to_be_bytes();
        match chat {
            Some(chat) => transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO chat VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
                     ?16, ?17, ?18, ?19, ?20, ?21, ?22)",
                )?
                .execute(params![
                    account,
                    key.as_slice(),
                    chat.kind.number(),
                    chat.listed.last_at.unwrap_or(0),
                    chat.listed.last_id.map(|id| id.0.to_be_bytes().to_vec()),
                    count(chat.listed.messages),
                    count(chat.listed.inbound),
                    count(chat.listed.outbound),
                    chat.cursor,
                    chat.audited_at.unwrap_or(0),
                    chat.absence.listings,
                    chat.changed_since,
                    chat.deep,
                    chat.explained.unwrap_or(-1),
                    chat.line.map(|line| line.0),
                    chat.absence.not_found,
                    chat.absence.not_found_since,
                    chat.outage.map(|outage| outage.reason.number()),
                    chat.outage.map(|outage| outage.since),
                    chat.unshown,
                    chat.absence.since,
                    chat.listed.times
                ])?,
            None => transaction
                .prepare_cached("DELETE FROM chat WHERE account = ?1 AND key = ?2")?
                .execute(params![account, key.as_slice()])?,
        };
    }
    for (id, held) in &delta.messages {
        let id = id.0.to_be_bytes();
        match held {
            Some((tracked, open)) => transaction
                .prepare_cached("INSERT OR REPLACE INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![
                    account,
                    id.as_slice(),
                    tracked.sent_at,
                    tracked.pack(),
                    open.map(|open| open.chat.0.to_be_bytes().to_vec()),
                    open.and_then(|open| open.missing).map(|missing| missing.since),
                    open.and_then(|open| open.missing).map(|missing| missing.last),
                    open.and_then(|open| open.seen_at)
                ])?,
            None => transaction
                .prepare_cached("DELETE FROM message WHERE account = ?1 AND id = ?2")?
                .execute(params![account, id.as_slice()])?,
        };
    }
    write_told(&transaction, account, &delta.told)?;
    for (counter, value) in &delta.counters {
        // Stored as the two's complement: SQLite has no unsigned integers.
        transaction
            .prepare_cached("INSERT OR REPLACE INTO counter VALUES (?1, ?2, ?3)")?
            .execute(params![account, counter_key(*counter), *value as i64])?;
    }
    for (key, histogram) in &delta.histograms {
        let counts: Vec<u8> = histogram.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
        transaction
            .prepare_cached("INSERT OR REPLACE INTO histogram VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![account, histogram_key(*key), counts, histogram.sum])?;
    }
    transaction.commit()
}

fn write_told(transaction: &Connection, account: i64, told: &Told) -> rusqlite::Result<()> {
    for (chat, conversation) in &told.conversations {
        let chat = chat.0.to_be_bytes();
        match conversation {
            Some(conversation) => transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO conversation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    account,
                    chat.as_slice(),
                    conversation.newest,
                    conversation.streak,
                    conversation.ours_at,
                    conversation.line.0,
                    conversation.awaits.map(|line| line.0),
                    conversation.imessage_since
                ])?,
            None => transaction
                .prepare_cached("DELETE FROM conversation WHERE account = ?1 AND chat = ?2")?
                .execute(params![account, chat.as_slice()])?,
        };
    }
    for (table, places) in [("waiting", &told.waiting), ("lost", &told.lost)] {
        for (id, place) in places {
            let id = id.0.to_be_bytes();
            match place {
                Some(place) => transaction
                    .prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4, ?5)"))?
                    .execute(params![
                        account,
                        id.as_slice(),
                        place.chat.0.to_be_bytes().as_slice(),
                        place.sent_at,
                        place.line.0
                    ])?,
                None => transaction
                    .prepare_cached(&format!("DELETE FROM {table} WHERE account = ?1 AND id = ?2"))?
                    .execute(params![account, id.as_slice()])?,
            };
        }
    }
    Ok(())
}

/// A count as it is stored: -1 where the API gives none.
fn count(count: Option<u32>) -> i64 {
    count.map_or(-1, i64::from)
}

fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path.to_owned()),
        Some(ErrorCode::NotADatabase) => StoreError::Foreign(path.to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, "the database is malformed"),
        // Our statements are correct where the tables are.
        Some(ErrorCode::Unknown) => damaged(path, MISSING_TABLES),
        // A value is of another type or range than any that is written.
        None => damaged(path, UNKNOWN_VALUES),
        Some(_) => StoreError::Io { path: path.to_owned(), detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Code, Direction, Ledger, Observation, Policy, Protocol};

    fn open(path: &Path) -> Result<StateFile, StoreError> {
        StateFile::open(path, [7; 32])
    }

    fn ledger(restored: Restored) -> Ledger {
        let policy = Policy {
            window: 1,
            horizon: 1,
            retention: 1,
            audit_interval: 1,
            interval: 1,
            full_interval: 1,
            lookback: 1,
            turn: 1,
        };
        Ledger::new(policy, restored)
    }

    #[test]
    fn a_second_process_is_refused_and_the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let first = open(&path).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Locked(_))));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        assert!(open(&path).is_ok());
    }

    #[test]
    fn a_baseline_is_read_from_a_file_in_use_as_soon_as_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let file = open(&path).unwrap();
        for (name, baseline) in [("one", 5), ("two", 7)] {
            let mut store = file.account(name, 9, None).unwrap().store;
            store.commit(&Delta::default()).unwrap();
            assert_eq!(StateFile::baselines(&path).unwrap().get(name), None);
            let progress = Progress { baseline, ..Progress::default() };
            store.commit(&Delta { progress, ..Delta::default() }).unwrap();
            assert_eq!(StateFile::baselines(&path).unwrap().get(name), Some(&baseline));
        }
    }

    #[test]
    fn foreign_and_damaged_files_are_refused_and_left_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        for content in [b"hello".to_vec(), vec![0; 5000], b"SQLite format 3\0".repeat(400)] {
            fs::write(&path, &content).unwrap();
            assert!(matches!(open(&path), Err(StoreError::Foreign(_))), "{:?}", open(&path).err());
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"").unwrap();
        assert!(
            matches!(open(&path), Err(StoreError::Damaged { .. })),
            "a file cut to nothing is not a new one"
        );
        fs::remove_file(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);").unwrap();
        drop(other);
        let before = fs::read(&path).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Foreign(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn another_schema_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        drop(open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        assert!(matches!(open(&path), Err(StoreError::Version { found: 99, .. })));
    }

    #[test]
    fn what_was_committed_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let file = open(&path).unwrap();
        let mut state = file.account("default", 5, None).unwrap();
        let mut book = ledger(state.restored);
        book.begin(1000);
        let line = book.line(Some("+13105550101"));
        let observation = crate::domain::Observation {
            id: MessageId(42),
            direction: crate::domain::Direction::Outbound,
            line,
            sent_at: 2000,
            delivered_at: None,
            status: crate::domain::Status::Queued,
            protocol: crate::domain::Protocol::Pending,
            reason: crate::domain::Reason::None,
        };
        let listed = Listing {
            last_at: Some(2000),
            last_id: Some(MessageId(42)),
            messages: Some(1),
            inbound: Some(0),
            outbound: Some(1),
            times: Some(5),
        };
        book.record_listed(ChatKey(9), ChatKind::Group, listed);
        book.observe(ChatKey(9), &observation, 2000);
        book.record_probe(line, Code::Status(502), 0.5, 2000);
        book.record_lines(&[(line, (Some(false), Some(1999)))].into());
        book.record_listed(ChatKey(8), ChatKind::Phone, listed);
        let (first, second) =
            (MessageId::new(2, Direction::Outbound), MessageId::new(4, Direction::Outbound));
        let sms = Observation { id: second, sent_at: 2005, protocol: Protocol::Sms, ..observation };
        book.observe(ChatKey(8), &Observation { id: first, ..observation }, 2000);
        book.record_list(2002);
        book.mark_listed(ChatKey(8), 1, 2002);
        book.place_messages();
        book.observe(ChatKey(8), &sms, 2005);
        let told = book.delta();
        let Told { conversations, waiting, lost } = &told.told;
        assert_eq!((conversations.len(), waiting.len(), lost.len()), (1, 2, 1));
        state.store.commit(&told).unwrap();
        drop(state.store);
        drop(file);

        let file = open(&path).unwrap();
        let state = file.account("default", 77, None).unwrap();
        let mut again = ledger(state.restored);
        let (before, after) = (book.snapshot(2001), again.snapshot(2001));
        assert_eq!(before.counters, after.counters);
        assert_eq!(before.histograms, after.histograms);
        assert_eq!(before.lines, after.lines);
        assert_eq!(before.devices, after.devices);
        assert_eq!(after.devices[&line].answered, Some(false));
        assert_eq!(again.conversations().get(ChatKey(8)), book.conversations().get(ChatKey(8)));
        assert_eq!(before.unanswered, after.unanswered);
        assert_eq!(again.progress(), book.progress());
        assert_eq!(again.chats().get(ChatKey(9)), book.chats().get(ChatKey(9)));
        assert_eq!(again.messages().get(MessageId(42)), book.messages().get(MessageId(42)));
        assert_eq!(again.messages().open_count(), 3);
        assert!(again.delta().messages.is_empty());
    }
}
