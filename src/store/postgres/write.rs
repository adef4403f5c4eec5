//! Commits: one transaction each, fenced by the lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::future::try_join_all;
use tokio::time::timeout;

use super::driver::{Fault, Param, Session};
use super::read::Opened;
use super::rows::{self, Cells, Row};
use super::schema::{self, Column, NAMESPACE, PROGRESS, Table};
use super::{Database, Duration};
use crate::domain::Delta;
use crate::lease::{Grant, Sequence, Verdict};
use crate::store::{DatabaseProblem, Store, StoreError};

/// How long a size is shown again before it is read again.
const SIZE_AGE: Duration = Duration::from_secs(60);

/// Where the commits of one account go.
pub struct PostgresStore {
    database: Arc<Database>,
    name: String,
    grant: Grant,
    id: i64,
    sequence: Sequence,
    bytes: u64,
    measured_at: Instant,
}

/// A commit as it is sent: statements with their parameters.
struct Transaction {
    name: String,
    grant: Grant,
    id: i64,
    /// Numbers that the stored one must lie between.
    between: (i64, i64),
    number: i64,
    sequence: Sequence,
    is_whole: bool,
    progress: Vec<i64>,
    statements: Vec<(String, Vec<Param>)>,
    measures: bool,
}

impl PostgresStore {
    pub(super) fn new(database: Arc<Database>, name: String, grant: Grant, opened: &Opened) -> PostgresStore {
        PostgresStore {
            database,
            name,
            grant,
            id: opened.id,
            sequence: Sequence::after(opened.commit_seq),
            bytes: opened.bytes,
            measured_at: Instant::now(),
        }
    }
}

impl Store for PostgresStore {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        let measures = !self.sequence.is_in_doubt() && self.measured_at.elapsed() > SIZE_AGE;
        let (number, between) = self.sequence.send(delta.is_whole);
        let transaction = Transaction {
            name: self.name.clone(),
            grant: self.grant,
            id: self.id,
            between,
            number,
            sequence: self.sequence,
            is_whole: delta.is_whole,
            progress: progress(delta),
            statements: statements(self.id, delta),
            measures,
        };
        let written = self.database.run(|database| async move { database.commit(transaction).await });
        let bytes = written?;
        self.sequence.acknowledge();
        if let Some(bytes) = bytes {
            (self.bytes, self.measured_at) = (bytes, Instant::now());
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.bytes
    }
}

impl Database {
    async fn commit(&self, transaction: Transaction) -> Result<Option<u64>, StoreError> {
        let mut kept = self.commits.lock().await;
        let session = self.session(&mut kept).await?;
        let committing = timeout(self.timing.commit_limit(), self.commit_in(&session, transaction));
        let bytes = committing.await.unwrap_or_else(|_| Err(self.fault(Fault::lost("no answer in time"))))?;
        *kept = Some(session);
        Ok(bytes)
    }

    async fn commit_in(
        &self,
        session: &Session,
        transaction: Transaction,
    ) -> Result<Option<u64>, StoreError> {
        let at = |fault| self.fault(fault);
        session.batch(&self.begin()).await.map_err(at)?;
        if !self.fence(session, &transaction.name, transaction.grant).await.map_err(at)? {
            return Err(StoreError::Fenced { account: transaction.name });
        }
        if !advance(session, &transaction).await.map_err(at)? {
            return Err(self.out_of_sequence(session, transaction).await);
        }
        if transaction.is_whole {
            for table in schema::TABLES {
                let account = [Param::Int(transaction.id)];
                session.execute(&table.delete_all(), &account).await.map_err(at)?;
            }
        }
        let statements = transaction.statements.iter();
        let sent = statements.map(|(statement, params)| session.execute(statement, params));
        try_join_all(sent).await.map_err(at)?;
        let bytes = match transaction.measures {
            true => Some(self.bytes(session).await.map_err(at)?),
            false => None,
        };
        session.batch("COMMIT").await.map_err(at)?;
        Ok(bytes)
    }

    /// Why a commit was not the next one.
    async fn out_of_sequence(&self, session: &Session, transaction: Transaction) -> StoreError {
        let query = format!("SELECT commit_seq FROM {NAMESPACE}.account WHERE id = $1");
        let rows = match session.query(&query, &[Param::Int(transaction.id)], &[Column::Int]).await {
            Ok(rows) => rows,
            Err(fault) => return self.fault(fault),
        };
        let account = transaction.name;
        let stored = rows.into_iter().next().and_then(|row| Cells::new(row).int::<i64>());
        match stored.map(|stored| transaction.sequence.judge(stored)) {
            Some(Verdict::Lost) => {
                self.lost_commits.fetch_add(1, Ordering::Relaxed);
                StoreError::LostCommits { account }
            }
            Some(Verdict::Superseded) => StoreError::Fenced { account },
            None => self.error(DatabaseProblem::Damaged("the row of an account is missing")),
        }
    }
}

/// Writes the progress and the sequence number, where the stored one is one that this commit can follow.
async fn advance(session: &Session, transaction: &Transaction) -> Result<bool, Fault> {
    let columns: String =
        PROGRESS.iter().enumerate().map(|(n, name)| format!("{name} = ${}, ", n + 5)).collect();
    let update = format!(
        "UPDATE {NAMESPACE}.account SET {columns}commit_seq = $2 WHERE id = $1 AND commit_seq BETWEEN $3 AND $4"
    );
    let (least, most) = transaction.between;
    let mut params: Vec<Param> = [transaction.id, transaction.number, least, most].map(Param::Int).into();
    params.extend(transaction.progress.iter().copied().map(Param::Int));
    Ok(session.execute(&update, &params).await? == 1)
}

/// In the order of [`PROGRESS`].
fn progress(delta: &Delta) -> Vec<i64> {
    let progress = delta.progress;
    vec![
        progress.baseline,
        progress.floor,
        progress.listed_at,
        progress.watermark,
        progress.last_success,
        progress.shown_at,
        progress.history,
    ]
}

/// One statement per table and kind of change, at most.
fn statements(account: i64, delta: &Delta) -> Vec<(String, Vec<Param>)> {
    use schema::{CHAT, CONVERSATION, COUNTER, DEVICE, HISTOGRAM, LINE, LOST, MESSAGE, WAITING};
    let mut all = Vec::new();
    let told = &delta.told;
    let mut add = |table: &Table, column: Column, changes: Changes| {
        all.extend(changes.statements(account, table, column));
    };
    add(&LINE, Column::Int, Changes::all(&delta.lines, |id, name| rows::line_row(*id, name)));
    add(&DEVICE, Column::Int, Changes::all(&delta.devices, |line, device| rows::device_row(*line, device)));
    add(
        &CHAT,
        Column::Bytes,
        Changes::of(&delta.chats, |key| rows::hash(key.0), |key, chat| rows::chat_row(*key, chat)),
    );
    add(
        &MESSAGE,
        Column::Bytes,
        Changes::of(
            &delta.messages,
            |id| rows::hash(id.0),
            |id, (tracked, open)| rows::message_row(*id, tracked, open.as_ref()),
        ),
    );
    add(
        &CONVERSATION,
        Column::Bytes,
        Changes::of(
            &told.conversations,
            |chat| rows::hash(chat.0),
            |chat, conversation| rows::conversation_row(*chat, conversation),
        ),
    );
    for (table, places) in [(&WAITING, &told.waiting), (&LOST, &told.lost)] {
        add(
            table,
            Column::Bytes,
            Changes::of(places, |id| rows::hash(id.0), |id, place| rows::place_row(*id, place)),
        );
    }
    add(
        &COUNTER,
        Column::Text,
        Changes::all(&delta.counters, |counter, value| rows::counter_row(*counter, *value)),
    );
    add(
        &HISTOGRAM,
        Column::Text,
        Changes::all(&delta.histograms, |key, histogram| rows::histogram_row(*key, histogram)),
    );
    all
}

/// What changes in a table.
#[derive(Default)]
struct Changes {
    rows: Vec<Row>,
    deleted: Vec<rows::Row>,
}

impl Changes {
    /// Of values that are never deleted.
    fn all<K: Ord, V>(values: &[(K, V)], row: impl Fn(&K, &V) -> Row) -> Changes {
        // One statement can change a row only once; of a key that is given twice the last value holds.
        let last: BTreeMap<&K, &V> = values.iter().map(|(key, value)| (key, value)).collect();
        Changes { rows: last.into_iter().map(|(key, value)| row(key, value)).collect(), deleted: Vec::new() }
    }

    fn of<K: Ord, V>(
        values: &[(K, Option<V>)],
        key: impl Fn(&K) -> super::driver::Value,
        row: impl Fn(&K, &V) -> Row,
    ) -> Changes {
        let last: BTreeMap<&K, &Option<V>> = values.iter().map(|(key, value)| (key, value)).collect();
        let mut changes = Changes::default();
        for (id, value) in last {
            match value {
                Some(value) => changes.rows.push(row(id, value)),
                None => changes.deleted.push(vec![key(id)]),
            }
        }
        changes
    }

    fn statements(self, account: i64, table: &Table, key: Column) -> Vec<(String, Vec<Param>)> {
        let mut statements = Vec::new();
        if !self.deleted.is_empty() {
            let keys = self.deleted.into_iter().flatten();
            statements.push((table.delete(), vec![Param::Int(account), Param::array(key, keys)]));
        }
        if !self.rows.is_empty() {
            let mut columns: Vec<Vec<_>> = table.columns.iter().map(|_| Vec::new()).collect();
            for row in self.rows {
                for (column, value) in columns.iter_mut().zip(row) {
                    column.push(value);
                }
            }
            let arrays = columns
                .into_iter()
                .zip(table.types())
                .map(|(values, column)| Param::array(column, values.into_iter()));
            let params = std::iter::once(Param::Int(account)).chain(arrays).collect();
            statements.push((table.upsert(), params));
        }
        statements
    }
}
