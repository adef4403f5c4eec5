//! The durable state: one embedded file, one writer, one transaction per commit.
//!
//! Here belong tables, the file's lock, its schema version and its checks. Here do not belong: what the
//! values mean. `sqlite.rs` is the only file that names the database.

pub mod codec;
pub mod memory;
mod migration;
pub mod sqlite;

use std::fmt;
use std::path::PathBuf;

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

use crate::domain::Delta;
use crate::privacy::shown;

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
