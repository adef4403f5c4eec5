//! The durable state of all accounts: opened and checked, restored, and written in one transaction per commit.
//!
//! Here belong tables, locks, schema versions and checks. Here do not belong: what the values mean. `sqlite.rs` is the
//! only file that names SQLite.

pub mod codec;
pub mod memory;
mod migration;
pub mod sqlite;

use std::fmt;
use std::path::PathBuf;

pub use memory::{MemoryState, MemoryStore};
pub use sqlite::SqliteStore;

use crate::domain::{Counter, Delta, Histogram, HistogramKey, Restored};
use crate::lease::Grant;
use crate::privacy::shown;

/// Bytes of the key that ids are hashed with.
pub const KEY_BYTES: usize = 32;

/// Every counter and every histogram of an account.
pub type Totals = (Vec<(Counter, u64)>, Vec<(HistogramKey, Histogram)>);

/// An open store with the state of all accounts.
pub trait State: Send + Sync {
    /// The key that ids are hashed with. It is random, and created with the store.
    fn key(&self) -> [u8; KEY_BYTES];

    /// The stored state of an account, which is registered when it is new. Commits are fenced by `grant`; a store that one
    /// process locks as a whole needs none.
    fn account(&self, name: &str, now: i64, grant: Option<Grant>) -> Result<AccountState, StoreError>;

    /// The totals of every stored account that is none of `names`, in the order in which the accounts were registered.
    fn totals_of_others(&self, names: &[&str]) -> Result<Vec<Totals>, StoreError>;

    /// The names of all stored accounts, in the order in which they were registered.
    fn accounts(&self) -> Result<Vec<String>, StoreError>;
}

/// The stored state of one account.
pub struct AccountState {
    /// Where its commits go.
    pub store: Box<dyn Store>,
    /// Its content.
    pub restored: Restored,
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        (**self).commit(delta)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }
}

/// Where commits of one account go.
pub trait Store: Send + 'static {
    /// Writes the delta durably, whole or not at all.
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError>;

    /// Bytes of the state on disk.
    fn size(&self) -> u64;
}

/// Why the state could not be opened, read or written.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it.
    Locked(PathBuf),
    /// Not a state file of this program.
    Foreign(PathBuf),
    /// Written by another version of the schema.
    Version {
        /// Which file.
        path: PathBuf,
        /// The version that it has.
        found: i64,
        /// The version that this program writes.
        expected: i64,
    },
    /// It is ours, but not whole.
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found, without any content.
        detail: String,
    },
    /// Reading or writing failed.
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked(path) => write!(
                f,
                "state file {}: another process is using it; stop that one, or give this one its own --state.path",
                shown(path)
            ),
            StoreError::Foreign(path) => write!(
                f,
                "state file {}: not a state file of blooio-exporter; it was left untouched, choose another --state.path",
                shown(path)
            ),
            StoreError::Version { path, found, expected } => write!(
                f,
                "state file {}: has schema version {found}, this program reads {expected}; \
                 it was left untouched, run the version that wrote it or choose another --state.path",
                shown(path)
            ),
            StoreError::Damaged { path, detail } => write!(
                f,
                "state file {}: damaged ({detail}); it was left untouched, restore a copy or move it away \
                 (counters then start at 0)",
                shown(path)
            ),
            StoreError::Io { path, detail } => {
                write!(f, "state file {}: {detail}; check the disk, its space and permissions", shown(path))
            }
        }
    }
}

impl std::error::Error for StoreError {}
