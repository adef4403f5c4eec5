//! The stores that the suite runs on: how each is opened, and how its process or its server crashes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blooio_exporter::lease::{Grant, Holder, Timing};
use blooio_exporter::store::postgres::{Options, PostgresState};
use blooio_exporter::store::sqlite::StateFile;
use blooio_exporter::store::{MemoryState, State, StoreError};

use super::server::{SHARED, SHARED_POOLER, Server};

/// A store under test.
pub(crate) trait Kind {
    /// What failures name.
    fn name(&self) -> &'static str;

    /// Opens it as a process that starts.
    fn open(&mut self) -> Box<dyn State>;

    /// A grant under which an account can be opened, where one is needed.
    fn grant(&mut self, account: &str) -> Option<Grant>;

    /// Whether the content is on a disk.
    fn is_durable(&self) -> bool;

    /// Ends the process that has it open, without any clean-up.
    fn crash(&mut self, state: Box<dyn State>);
}

/// Every store, empty.
pub(crate) fn all() -> Vec<Box<dyn Kind>> {
    let mut kinds = without_database();
    let direct = |database: &str| SHARED.url("postgres", database);
    kinds.push(Box::new(Postgres::new(&SHARED, "postgres", direct)));
    let pooled = |database: &str| SHARED_POOLER.url(database);
    kinds.push(Box::new(Postgres::new(&SHARED, "postgres behind pgbouncer", pooled)));
    kinds
}

/// The stores that one process has alone.
pub(crate) fn without_database() -> Vec<Box<dyn Kind>> {
    vec![Box::new(Memory(MemoryState::new([9; 32]))), Box::new(Sqlite::new())]
}

struct Memory(MemoryState);

impl Kind for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(&mut self) -> Box<dyn State> {
        Box::new(self.0.clone())
    }

    fn grant(&mut self, _account: &str) -> Option<Grant> {
        None
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn crash(&mut self, _state: Box<dyn State>) {}
}

struct Sqlite {
    folder: tempfile::TempDir,
    path: PathBuf,
    crashes: u32,
}

impl Sqlite {
    fn new() -> Sqlite {
        // In memory where possible: thousands of commits are compared, and none of these tests is about the disk.
        let shared = Path::new("/dev/shm");
        let folder =
            if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap();
        let path = folder.path().join("state.db");
        Sqlite { folder, path, crashes: 0 }
    }
}

impl Kind for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn open(&mut self) -> Box<dyn State> {
        Box::new(StateFile::open(&self.path, fastrand_key()).unwrap())
    }

    fn grant(&mut self, _account: &str) -> Option<Grant> {
        None
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn crash(&mut self, state: Box<dyn State>) {
        // The files as a killed process leaves them: the write-ahead log is not merged.
        self.crashes += 1;
        let copy = self.folder.path().join(format!("crashed-{}.db", self.crashes));
        let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
        fs::copy(&self.path, &copy).unwrap();
        fs::copy(log(&self.path), log(&copy)).unwrap();
        drop(state);
        self.path = copy;
    }
}

/// A key for a new store; an existing one must keep its own.
pub(crate) fn fastrand_key() -> [u8; 32] {
    let mut key = [0; 32];
    fastrand::fill(&mut key);
    key
}

/// How tests open a database.
pub(crate) fn options(url: &str) -> Options {
    Options { url: url.to_owned(), ca_file: None, password: Arc::new(|| Ok(None)), timing: Timing::default() }
}

/// Opens the database of a URL.
pub(crate) fn open(url: &str) -> PostgresState {
    PostgresState::open(options(url), fastrand_key()).unwrap()
}

/// Waits for one of the store's asynchronous functions.
pub(crate) fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Registers an account and takes its lease.
pub(crate) fn take(state: &PostgresState, holder: Holder, account: &str) -> Option<Grant> {
    block(async {
        let accounts = vec![account.to_owned()];
        state.beat(holder, "test".to_owned(), accounts, Vec::new()).await.unwrap();
        state.take(account.to_owned(), holder, "test".to_owned()).await.unwrap()
    })
}

/// A database of a server, reached directly or through a pooler.
pub(crate) struct Postgres<'a> {
    server: &'a Server,
    name: &'static str,
    database: String,
    url: String,
    state: Option<PostgresState>,
    holder: Holder,
    grants: BTreeMap<String, Grant>,
}

impl<'a> Postgres<'a> {
    /// In a new database of `server`, reached by what `url` makes of its name.
    pub(crate) fn new(server: &'a Server, name: &'static str, url: impl Fn(&str) -> String) -> Postgres<'a> {
        let database = server.database();
        let (url, holder) = (url(&database), Holder::new(fastrand::u128(..)));
        Postgres { server, name, database, url, state: None, holder, grants: BTreeMap::new() }
    }
}

impl Kind for Postgres<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn open(&mut self) -> Box<dyn State> {
        // A pooler hands out a connection that the server has closed, and notices that only then: once for each.
        let mut attempts =
            std::iter::repeat_with(|| PostgresState::open(options(&self.url), fastrand_key())).take(5);
        let state = attempts.find(|state| !matches!(state, Err(StoreError::Database { .. })));
        let state = state.unwrap_or_else(|| PostgresState::open(options(&self.url), fastrand_key()));
        let state = state.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        self.state = Some(state.clone());
        Box::new(state)
    }

    fn grant(&mut self, account: &str) -> Option<Grant> {
        if let Some(grant) = self.grants.get(account) {
            return Some(*grant);
        }
        let grant = take(self.state.as_ref()?, self.holder, account)?;
        self.grants.insert(account.to_owned(), grant);
        Some(grant)
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn crash(&mut self, state: Box<dyn State>) {
        // The server notices that its client is gone in the middle of everything.
        let database = &self.database;
        let terminate = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'"
        );
        self.server.sql("postgres", &terminate);
        self.state = None;
        drop(state);
    }
}
