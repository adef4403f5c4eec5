//! The durable state of all accounts: opened and checked, restored, and written in one transaction per commit.
//!
//! Here belong tables, locks, schema versions and checks. Here do not belong: what the values mean. `sqlite/` is the
//! only folder that names SQLite, `postgres/driver.rs` the only one that names the driver of PostgreSQL.

pub mod codec;
mod error;
pub mod memory;
pub mod postgres;
pub mod sqlite;

pub use error::{DatabaseProblem, StoreError};
pub use memory::{MemoryState, MemoryStore};
pub use postgres::PostgresState;
pub use sqlite::SqliteStore;

use crate::domain::{Counter, Delta, Histogram, HistogramKey, Restored};
use crate::lease::Grant;

/// Bytes of the key that ids are hashed with.
pub const KEY_BYTES: usize = 32;

/// The oldest major version of PostgreSQL that is supported.
pub const OLDEST_POSTGRESQL: i64 = 13;

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

    /// When an account was registered, unix ms. `None` where that is not stored, and for an account that is not.
    fn first_start(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let _ = name;
        Ok(None)
    }
}

/// The stored state of one account.
pub struct AccountState {
    /// Where its commits go.
    pub store: Box<dyn Store>,
    /// What was stored of the account.
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
