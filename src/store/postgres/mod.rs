//! The state in PostgreSQL, shared by replicas.
//!
//! Every commit is one transaction that begins by locking the lease row of its account in a mode that blocks a take and not
//! a renewal. Deltas hold absolute values, so that a writer whose lease is gone would restore old counts: it finds no row,
//! and writes nothing.
//!
//! Transactions set their own limits, because a pooler in transaction mode keeps no settings of a session.

mod driver;
mod leases;
mod read;
mod rows;
mod schema;
mod tls;
mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use driver::{Fault, Param, Session, Target};
use schema::{Column, NAMESPACE, PROGRAM, SCHEMA_VERSION};
use tls::Tls;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;

use super::{AccountState, DatabaseProblem, KEY_BYTES, State, StoreError, Totals};
use crate::lease::{Grant, Timing};
use crate::secret::Secret;
pub use write::PostgresStore;

/// Reads the password, each time a connection is made: it may have been replaced.
pub type Password = Arc<dyn Fn() -> Result<Option<Secret>, String> + Send + Sync>;

/// How to reach a database.
#[derive(Clone)]
pub struct Options {
    /// `postgres://USER@HOST:PORT/DATABASE`, without a password.
    pub url: String,
    /// Authorities that the server's certificate is verified against; `None` for Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// The password, if there is one.
    pub password: Password,
    /// How long a lease is valid, and how often it is renewed.
    pub timing: Timing,
}

/// Versions before this one are rejected, times 10,000: they get no fixes any more.
const OLDEST: i64 = super::OLDEST_POSTGRESQL * 10_000;
/// Identifies the lock under which tables are created and migrated.
const MIGRATION_LOCK: i64 = 0x0062_6c6f_6f69_6f00;
/// Time limit for opening and for reading everything of an account.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// An open database. Clones share its connections: one for commits, one for leases.
#[derive(Clone)]
pub struct PostgresState {
    database: Arc<Database>,
    key: [u8; KEY_BYTES],
}

struct Database {
    target: Target,
    password: Password,
    timing: Timing,
    worker: Worker,
    commits: Mutex<Option<Session>>,
    leases: Mutex<Option<Session>>,
    /// How often acknowledged commits were found lost.
    lost_commits: AtomicU64,
}

/// A thread with a runtime of its own: commits are written from threads that block, and must not depend on the runtime
/// that waits for them.
struct Worker {
    handle: Handle,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Worker {
    fn start() -> std::io::Result<Worker> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("state-database".to_owned())
            .spawn(move || drop(runtime.block_on(stopped)))?;
        Ok(Worker { handle, _stop: stop })
    }

    /// Runs to the end, and waits for it.
    fn block<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, result) = mpsc::channel();
        self.handle.spawn(async move { drop(done.send(work.await)) });
        result.recv().ok()
    }
}

impl Database {
    fn error(&self, problem: DatabaseProblem) -> StoreError {
        StoreError::Database { place: self.target.place(), problem }
    }

    fn fault(&self, fault: Fault) -> StoreError {
        self.error(problem(fault))
    }

    /// A connection to a server that can be written to and is supported.
    async fn connect(&self) -> Result<Session, StoreError> {
        let password = (self.password)().map_err(|why| self.error(DatabaseProblem::Setting(why)))?;
        let mut last = self.error(DatabaseProblem::Unreachable("no host".to_owned()));
        for nth in 0..self.target.host_count() {
            let session = match self.target.connect(nth, password.as_ref()).await {
                Ok(session) => session,
                Err(fault) => {
                    last = self.fault(fault);
                    continue;
                }
            };
            match self.examine(&session).await {
                Ok(()) => return Ok(session),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn examine(&self, session: &Session) -> Result<(), StoreError> {
        let query = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                            current_setting('server_version_num')::bigint, current_setting('server_encoding')";
        let rows = session.query(query, &[], &[Column::Bool, Column::Int, Column::Text]).await;
        let rows = rows.map_err(|fault| self.fault(fault))?;
        let mut cells = rows::Cells::new(rows.into_iter().next().unwrap_or_default());
        let found = (cells.maybe_bool().flatten(), cells.int(), cells.text());
        let (Some(is_standby), Some(version), Some(encoding)) = found else {
            return Err(self.error(DatabaseProblem::Failed("did not describe itself".to_owned())));
        };
        judge(is_standby, version, encoding).map_err(|problem| self.error(problem))
    }

    /// Takes a connection out of its place, or makes one. It is put back only after success: dropping it ends its
    /// transaction, whatever state that was in.
    async fn session(&self, kept: &mut Option<Session>) -> Result<Session, StoreError> {
        match kept.take().filter(|session| !session.is_closed()) {
            Some(session) => Ok(session),
            None => self.connect().await,
        }
    }

    /// The beginning of every transaction. One that is abandoned ends before a lease does.
    fn begin(&self) -> String {
        let limit = self.timing.statement_limit().as_millis();
        format!(
            "BEGIN; SET LOCAL statement_timeout = {limit}; SET LOCAL lock_timeout = {limit}; \
             SET LOCAL idle_in_transaction_session_timeout = {limit}"
        )
    }
}

/// Whether a server can hold the state.
fn judge(is_standby: bool, version: i64, encoding: String) -> Result<(), DatabaseProblem> {
    if version < OLDEST {
        return Err(DatabaseProblem::Unsupported(version));
    }
    if is_standby {
        return Err(DatabaseProblem::Standby);
    }
    match encoding.as_str() {
        "UTF8" => Ok(()),
        _ => Err(DatabaseProblem::Encoding(encoding)),
    }
}

/// What a fault is to the operator.
fn problem(fault: Fault) -> DatabaseProblem {
    let Fault { code, detail, in_tls } = fault;
    let Some(code) = code else {
        return if in_tls { DatabaseProblem::Tls(detail) } else { DatabaseProblem::Unreachable(detail) };
    };
    match code.as_str() {
        // Both say that no rule of pg_hba.conf matches a connection without TLS; the second is older than version 14.
        "28000" if detail.contains("no encryption") || detail.contains("SSL off") => {
            DatabaseProblem::TlsRequired(detail)
        }
        "28P01" | "28000" => DatabaseProblem::Authentication(detail),
        "3D000" => DatabaseProblem::NoDatabase,
        "42501" => DatabaseProblem::Privileges(detail),
        "25006" => DatabaseProblem::Standby,
        "53300" => DatabaseProblem::NoConnections(detail),
        "42P01" | "42703" | "3F000" => DatabaseProblem::Damaged("a table or a column is missing"),
        // pgbouncer has one code for everything.
        "08P01" if detail.contains("no more connections") || detail.contains("query_wait_timeout") => {
            DatabaseProblem::NoConnections(detail)
        }
        "08P01" if detail.contains("password") || detail.contains("auth") => {
            DatabaseProblem::Authentication(detail)
        }
        code if code.starts_with("57P") || code.starts_with("08") => DatabaseProblem::Unreachable(detail),
        _ => DatabaseProblem::Failed(detail),
    }
}

impl PostgresState {
    /// Connects, and creates or migrates the tables. `new_key` becomes the key that ids are hashed with where there are no
    /// tables yet. Tables that are not ours or of a later version are left as they are.
    ///
    /// # Errors
    /// What is wrong with the URL, the server or the tables.
    pub fn open(options: Options, new_key: [u8; KEY_BYTES]) -> Result<PostgresState, StoreError> {
        let database = Database::new(options)?;
        let key = database.prepare(new_key, true)?;
        Ok(PostgresState { database, key })
    }

    /// Whether the state can be opened or created. Nothing is changed.
    ///
    /// # Errors
    /// What [`PostgresState::open`] would fail with.
    pub fn look_at(options: Options) -> Result<(), StoreError> {
        let database = Database::new(options)?;
        database.prepare([0; KEY_BYTES], false)?;
        Ok(())
    }

    /// The baseline of each account that has one. Nothing is locked or changed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn baselines(options: Options) -> Result<BTreeMap<String, i64>, StoreError> {
        let database = Database::new(options)?;
        let query = format!("SELECT name, baseline FROM {NAMESPACE}.account WHERE baseline > 0");
        let rows = database.read(query, vec![], vec![Column::Text, Column::Int])?;
        let baselines = rows.into_iter().map(|row| {
            let mut cells = rows::Cells::new(row);
            Some((cells.text()?, cells.int()?))
        });
        baselines
            .collect::<Option<_>>()
            .ok_or_else(|| database.error(DatabaseProblem::Damaged("unknown values")))
    }

    /// Whether the settings can be used. Nothing is connected to.
    ///
    /// # Errors
    /// What is wrong with the URL or the file of authorities.
    pub fn check_settings(options: Options) -> Result<(), StoreError> {
        Database::new(options).map(drop)
    }

    /// How often acknowledged commits were found lost, since this value was opened.
    pub fn lost_commits(&self) -> u64 {
        self.database.lost_commits.load(Ordering::Relaxed)
    }

    /// How long leases are valid.
    pub fn timing(&self) -> Timing {
        self.database.timing
    }

    /// Where the state is, as errors name it.
    pub fn place(&self) -> String {
        self.database.target.place()
    }
}

impl Database {
    fn new(options: Options) -> Result<Arc<Database>, StoreError> {
        let setting = |why: String| StoreError::Database {
            place: "--state.url".to_owned(),
            problem: DatabaseProblem::Setting(why),
        };
        let tls = Tls::new(options.ca_file.as_deref()).map_err(setting)?;
        let target = Target::new(&options.url, tls, options.ca_file.is_some());
        let target = target.map_err(|why| setting(why.to_owned()))?;
        let worker =
            Worker::start().map_err(|error| setting(format!("no thread for the database: {error}")))?;
        Ok(Arc::new(Database {
            target,
            password: options.password,
            timing: options.timing,
            worker,
            commits: Mutex::default(),
            leases: Mutex::default(),
            lost_commits: AtomicU64::new(0),
        }))
    }

    /// Runs work of this database on its thread.
    fn run<T: Send + 'static, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Database>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let ended = self.worker.block(work(Arc::clone(self)));
        ended.unwrap_or_else(|| Err(self.error(DatabaseProblem::Failed("its thread ended".to_owned()))))
    }

    /// Runs one query outside any transaction.
    fn read(
        self: &Arc<Self>,
        query: String,
        params: Vec<Param>,
        types: Vec<Column>,
    ) -> Result<Vec<rows::Row>, StoreError> {
        self.run(|database| async move {
            let mut kept = database.commits.lock().await;
            let session = database.session(&mut kept).await?;
            let reading = timeout(READ_LIMIT, session.query(&query, &params, &types));
            let rows = reading.await.unwrap_or_else(|_| Err(Fault::lost("no answer in time")));
            let rows = rows.map_err(|fault| database.fault(fault))?;
            *kept = Some(session);
            Ok(rows)
        })
    }

    /// Creates what is missing, under a lock that ends with the transaction. Returns the key. With `keep` false, everything
    /// is rolled back.
    fn prepare(
        self: &Arc<Self>,
        new_key: [u8; KEY_BYTES],
        keep: bool,
    ) -> Result<[u8; KEY_BYTES], StoreError> {
        self.run(|database| async move {
            let mut kept = database.commits.lock().await;
            let session = database.session(&mut kept).await?;
            let preparing = timeout(READ_LIMIT, database.prepare_in(&session, new_key));
            let key =
                preparing.await.unwrap_or_else(|_| Err(database.fault(Fault::lost("no answer in time"))))?;
            let end = session.batch(if keep { "COMMIT" } else { "ROLLBACK" }).await;
            end.map_err(|fault| database.fault(fault))?;
            *kept = Some(session);
            Ok(key)
        })
    }

    async fn prepare_in(
        &self,
        session: &Session,
        new_key: [u8; KEY_BYTES],
    ) -> Result<[u8; KEY_BYTES], StoreError> {
        let at = |fault| self.fault(fault);
        session.batch(&self.begin()).await.map_err(at)?;
        let lock = [Param::Int(MIGRATION_LOCK)];
        session.query("SELECT pg_advisory_xact_lock($1)::text", &lock, &[Column::Text]).await.map_err(at)?;
        let query = "SELECT to_regnamespace($1) IS NOT NULL, to_regclass($1 || '.state') IS NOT NULL,
                            EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1)";
        let name = [Param::Text(NAMESPACE.to_owned())];
        let rows = session.query(query, &name, &[Column::Bool; 3]).await.map_err(at)?;
        let mut cells = rows::Cells::new(rows.into_iter().next().unwrap_or_default());
        let mut next = || cells.maybe_bool().flatten().unwrap_or(false);
        let (has_schema, has_state, has_tables) = (next(), next(), next());
        if !has_state {
            if has_tables {
                return Err(self.error(DatabaseProblem::Foreign));
            }
            if !has_schema {
                session.batch(&format!("CREATE SCHEMA {NAMESPACE}")).await.map_err(at)?;
            }
            session.batch(&schema::create()).await.map_err(at)?;
            let insert = format!("INSERT INTO {NAMESPACE}.state (program, version, key) VALUES ($1, $2, $3)");
            let state =
                [Param::Text(PROGRAM.to_owned()), Param::Int(SCHEMA_VERSION), Param::Bytes(new_key.to_vec())];
            session.execute(&insert, &state).await.map_err(at)?;
        }
        self.recognise(session).await
    }

    /// The key, when the tables are ours and of this version.
    async fn recognise(&self, session: &Session) -> Result<[u8; KEY_BYTES], StoreError> {
        // Through JSON, so that columns that are missing, as in a table of another program, are NULL and no error.
        let query = format!(
            "SELECT j->>'program', (j->>'version')::bigint, decode(substr(j->>'key', 3), 'hex')
             FROM {NAMESPACE}.state AS s, to_jsonb(s) AS j"
        );
        let rows = session.query(&query, &[], &[Column::Text, Column::Int, Column::Bytes]).await;
        let rows = rows.map_err(|fault| self.fault(fault))?;
        let mut cells = rows::Cells::new(rows.into_iter().next().unwrap_or_default());
        if cells.text().as_deref() != Some(PROGRAM) {
            return Err(self.error(DatabaseProblem::Foreign));
        }
        let expected = SCHEMA_VERSION;
        match cells.int() {
            Some(found) if found == expected => {}
            Some(found) => return Err(self.error(DatabaseProblem::Version { found, expected })),
            None => return Err(self.error(DatabaseProblem::Damaged("its version is missing"))),
        }
        let key = cells.bytes().flatten().and_then(|key| key.try_into().ok());
        key.ok_or_else(|| self.error(DatabaseProblem::Damaged("its key is missing")))
    }
}

impl State for PostgresState {
    fn key(&self) -> [u8; KEY_BYTES] {
        self.key
    }

    fn account(&self, name: &str, now: i64, grant: Option<Grant>) -> Result<AccountState, StoreError> {
        let name = name.to_owned();
        let Some(grant) = grant else { return Err(StoreError::Fenced { account: name }) };
        let opened = self.database.run({
            let name = name.clone();
            move |database| async move { database.open_account(&name, now, grant).await }
        })?;
        let store = PostgresStore::new(Arc::clone(&self.database), name, grant, &opened);
        Ok(AccountState { store: Box::new(store), restored: opened.restored })
    }

    fn totals_of_others(&self, names: &[&str]) -> Result<Vec<Totals>, StoreError> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.database.run(|database| async move { database.totals_of_others(names).await })
    }

    fn accounts(&self) -> Result<Vec<String>, StoreError> {
        let query = format!("SELECT name FROM {NAMESPACE}.account ORDER BY id");
        let rows = self.database.read(query, vec![], vec![Column::Text])?;
        let names: Option<Vec<String>> = rows.into_iter().map(|row| rows::Cells::new(row).text()).collect();
        names.ok_or_else(|| self.database.error(DatabaseProblem::Damaged("unknown values")))
    }

    fn first_start(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let query = format!("SELECT first_start FROM {NAMESPACE}.account WHERE name = $1");
        let rows = self.database.read(query, vec![Param::Text(name.to_owned())], vec![Column::Int])?;
        Ok(rows.into_iter().next().and_then(|row| rows::Cells::new(row).int()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Options {
        Options {
            url: url.to_owned(),
            ca_file: None,
            password: Arc::new(|| Ok(None)),
            timing: Timing::default(),
        }
    }

    #[test]
    fn urls_that_cannot_be_used_are_rejected_without_being_shown() {
        for (url, why) in [
            ("mysql://host/canary", "is not a URL of PostgreSQL"),
            ("postgres://host:canary/db", "is not a URL of PostgreSQL"),
            ("postgres://user:canary@host/db", "holds a password"),
            ("postgres://host/db?password=canary", "holds a password"),
            ("postgres://host/db?sslmode=canary", "sets an option of TLS"),
            ("postgres:///canary", "names no host"),
        ] {
            let error = PostgresState::open(options(url), [0; KEY_BYTES]).err().unwrap().to_string();
            assert!(error.contains(why) && !error.contains("canary"), "{url}: {error}");
        }
    }

    #[test]
    fn servers_are_judged_by_version_role_and_encoding() {
        let judged = |standby, version, encoding: &str| judge(standby, version, encoding.to_owned());
        assert_eq!(judged(false, 150_012, "UTF8"), Ok(()));
        assert_eq!(judged(false, 120_099, "UTF8"), Err(DatabaseProblem::Unsupported(120_099)));
        assert_eq!(judged(true, 150_000, "UTF8"), Err(DatabaseProblem::Standby));
        assert_eq!(judged(false, 130_000, "LATIN1"), Err(DatabaseProblem::Encoding("LATIN1".to_owned())));
        let shown = DatabaseProblem::Unsupported(120_099).to_string();
        assert!(shown.contains("PostgreSQL 12") && shown.contains("13"), "{shown}");
    }

    #[test]
    fn the_statements_are_those_of_the_descriptions() {
        assert_eq!(
            schema::COUNTER.upsert(),
            "INSERT INTO blooio_exporter.counter (account, key, value) SELECT $1, * FROM unnest($2::text[], $3::bigint[]) AS u \
             ON CONFLICT (account, key) DO UPDATE SET value = EXCLUDED.value"
        );
        assert_eq!(
            schema::LINE.delete(),
            "DELETE FROM blooio_exporter.line WHERE account = $1 AND id = ANY($2)"
        );
    }
}
