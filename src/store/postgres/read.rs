//! Restoring: everything of an account, and the totals of others.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tokio::time::timeout;

use super::driver::{Fault, Param, Session};
use super::rows::{self, Cells, Row};
use super::schema::{self, Column, NAMESPACE, PROGRESS, Table};
use super::{Database, READ_LIMIT};
use crate::domain::{Progress, Restored, Told};
use crate::lease::Grant;
use crate::store::{DatabaseProblem, StoreError, Totals};

const UNKNOWN_VALUES: DatabaseProblem = DatabaseProblem::Damaged("unknown values");

/// An account as it was found.
pub(super) struct Opened {
    pub(super) id: i64,
    pub(super) commit_seq: i64,
    pub(super) bytes: u64,
    pub(super) restored: Restored,
}

/// Reads rows with `decode`; `None` when one holds what no version wrote.
fn decoded<T>(rows: Vec<Row>, decode: impl Fn(&mut Cells) -> Option<T>) -> Option<Vec<T>> {
    rows.into_iter().map(|row| decode(&mut Cells::new(row))).collect()
}

async fn rows_of(session: &Session, table: &Table, account: i64) -> Result<Vec<Row>, Fault> {
    session.query(&table.select(), &[Param::Int(account)], &table.types()).await
}

impl Database {
    /// Locks the lease row until the end of the transaction. False when the lease is not held under this grant any more.
    pub(super) async fn fence(&self, session: &Session, account: &str, grant: Grant) -> Result<bool, Fault> {
        let query = format!(
            "SELECT epoch FROM {NAMESPACE}.lease WHERE account = $1 AND holder = $2::text::uuid AND epoch = $3 FOR KEY SHARE"
        );
        let params =
            [Param::Text(account.to_owned()), Param::Text(grant.holder.to_string()), Param::Int(grant.epoch)];
        Ok(!session.query(&query, &params, &[Column::Int]).await?.is_empty())
    }

    pub(super) async fn open_account(
        &self,
        name: &str,
        now: i64,
        grant: Grant,
    ) -> Result<Opened, StoreError> {
        let mut kept = self.commits.lock().await;
        let session = self.session(&mut kept).await?;
        let opening = timeout(READ_LIMIT, self.open_account_in(&session, name, now, grant));
        let opened = opening.await.unwrap_or_else(|_| Err(self.fault(Fault::lost("no answer in time"))))?;
        *kept = Some(session);
        Ok(opened)
    }

    async fn open_account_in(
        &self,
        session: &Session,
        name: &str,
        now: i64,
        grant: Grant,
    ) -> Result<Opened, StoreError> {
        let at = |fault| self.fault(fault);
        session.batch(&self.begin()).await.map_err(at)?;
        if !self.fence(session, name, grant).await.map_err(at)? {
            return Err(StoreError::Fenced { account: name.to_owned() });
        }
        let insert = format!(
            "INSERT INTO {NAMESPACE}.account (name, first_start) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
        );
        session.execute(&insert, &[Param::Text(name.to_owned()), Param::Int(now)]).await.map_err(at)?;
        let progress = PROGRESS.join(", ");
        let query = format!("SELECT id, commit_seq, {progress} FROM {NAMESPACE}.account WHERE name = $1");
        let types = [Column::Int; 2 + PROGRESS.len()];
        let rows = session.query(&query, &[Param::Text(name.to_owned())], &types).await.map_err(at)?;
        let unknown = || self.error(UNKNOWN_VALUES);
        let mut cells = Cells::new(rows.into_iter().next().unwrap_or_default());
        let (id, commit_seq) = cells.int().zip(cells.int()).ok_or_else(unknown)?;
        let progress = progress_of(&mut cells).ok_or_else(unknown)?;
        let tables = schema::TABLES.map(|table| rows_of(session, table, id));
        let contents = try_join_all(tables).await.map_err(at)?;
        let restored = restored(progress, contents).ok_or_else(unknown)?;
        let bytes = self.bytes(session).await.map_err(at)?;
        session.batch("COMMIT").await.map_err(at)?;
        Ok(Opened { id, commit_seq, bytes, restored })
    }

    /// The size of all tables and indexes.
    pub(super) async fn bytes(&self, session: &Session) -> Result<u64, Fault> {
        let query = format!(
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
             WHERE relnamespace = to_regnamespace('{NAMESPACE}') AND relkind = 'r'"
        );
        let rows = session.query(&query, &[], &[Column::Int]).await?;
        Ok(rows.into_iter().next().and_then(|row| Cells::new(row).int()).unwrap_or(0))
    }

    pub(super) async fn totals_of_others(&self, names: Vec<String>) -> Result<Vec<Totals>, StoreError> {
        let mut kept = self.commits.lock().await;
        let session = self.session(&mut kept).await?;
        let reading = timeout(READ_LIMIT, self.totals_in(&session, names));
        let totals = reading.await.unwrap_or_else(|_| Err(self.fault(Fault::lost("no answer in time"))))?;
        *kept = Some(session);
        Ok(totals)
    }

    async fn totals_in(&self, session: &Session, names: Vec<String>) -> Result<Vec<Totals>, StoreError> {
        let names = || vec![Param::Texts(names.iter().cloned().map(Some).collect())];
        let of_others = |table: &Table| {
            let columns: Vec<String> = table.columns.iter().map(|(name, _)| format!("t.{name}")).collect();
            let query = format!(
                "SELECT a.id, {} FROM {NAMESPACE}.account a JOIN {NAMESPACE}.{} t ON t.account = a.id WHERE a.name <> ALL($1)",
                columns.join(", "),
                table.name
            );
            (query, [vec![Column::Int], table.types()].concat())
        };
        let ids = format!("SELECT id FROM {NAMESPACE}.account WHERE name <> ALL($1)");
        let (counters, histograms) = (of_others(&schema::COUNTER), of_others(&schema::HISTOGRAM));
        let at = |fault| self.fault(fault);
        session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(at)?;
        let ids = session.query(&ids, &names(), &[Column::Int]).await.map_err(at)?;
        let counters = session.query(&counters.0, &names(), &counters.1).await.map_err(at)?;
        let histograms = session.query(&histograms.0, &names(), &histograms.1).await.map_err(at)?;
        session.batch("COMMIT").await.map_err(at)?;
        grouped(ids, counters, histograms).ok_or_else(|| self.error(UNKNOWN_VALUES))
    }
}

/// The totals of each account, in the order of their numbers.
fn grouped(ids: Vec<Row>, counters: Vec<Row>, histograms: Vec<Row>) -> Option<Vec<Totals>> {
    let ids = decoded(ids, |cells| cells.int::<i64>())?;
    let mut totals: BTreeMap<i64, Totals> = ids.into_iter().map(|id| (id, Totals::default())).collect();
    for (id, counter) in decoded(counters, |cells| Some((cells.int()?, rows::counter(cells)?)))? {
        totals.entry(id).or_default().0.push(counter);
    }
    for (id, histogram) in decoded(histograms, |cells| Some((cells.int()?, rows::histogram(cells)?)))? {
        totals.entry(id).or_default().1.push(histogram);
    }
    Some(totals.into_values().collect())
}

/// In the order of [`PROGRESS`].
fn progress_of(cells: &mut Cells) -> Option<Progress> {
    Some(Progress {
        baseline: cells.int()?,
        floor: cells.int()?,
        listed_at: cells.int()?,
        watermark: cells.int()?,
        last_success: cells.int()?,
        shown_at: cells.int()?,
        history: cells.int()?,
    })
}

/// In the order of [`schema::TABLES`].
fn restored(progress: Progress, contents: Vec<Vec<Row>>) -> Option<Restored> {
    let mut contents = contents.into_iter();
    let mut next = || contents.next();
    Some(Restored {
        progress,
        lines: decoded(next()?, rows::line)?,
        devices: decoded(next()?, rows::device)?,
        chats: decoded(next()?, rows::chat)?,
        messages: decoded(next()?, rows::message)?,
        told: Told {
            conversations: decoded(next()?, rows::conversation)?,
            waiting: decoded(next()?, rows::place)?,
            lost: decoded(next()?, rows::place)?,
        },
        counters: decoded(next()?, rows::counter)?,
        histograms: decoded(next()?, rows::histogram)?,
    })
}
