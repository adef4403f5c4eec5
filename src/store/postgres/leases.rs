//! Leases and heartbeats, over a connection of their own: a commit that takes long must not delay a renewal.

use std::sync::Arc;

use tokio::time::timeout;

use super::driver::{Fault, Param, Session};
use super::rows::Cells;
use super::schema::{Column, NAMESPACE};
use super::{Database, PostgresState};
use crate::lease::{Beat, Grant, Holder, LeaseRow};
use crate::store::{DatabaseProblem, StoreError};

const MALFORMED: DatabaseProblem = DatabaseProblem::Damaged("a lease holds unknown values");

impl PostgresState {
    /// Records in the database that this replica is alive, renews the leases that it holds, and reads those of all `accounts`.
    ///
    /// # Errors
    /// When the database does not answer in time. Renewals may then have been written.
    pub async fn beat(
        &self,
        holder: Holder,
        address: String,
        accounts: Vec<String>,
        held: Vec<(String, Grant)>,
    ) -> Result<Beat, StoreError> {
        self.on_lease_connection(move |database, session| {
            Box::pin(async move {
                database.beat_in(&session, holder, address, accounts, held).await.map(|beat| (session, beat))
            })
        })
        .await
    }

    /// Reads how many replicas are alive and the leases of all `accounts`. Nothing is written.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn look(&self, accounts: Vec<String>) -> Result<Beat, StoreError> {
        self.on_lease_connection(move |database, session| {
            Box::pin(async move { database.look_in(&session, accounts).await.map(|beat| (session, beat)) })
        })
        .await
    }

    /// Whether a replica is alive, or holds an account.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn is_in_use(&self) -> Result<bool, StoreError> {
        self.on_lease_connection(move |database, session| {
            Box::pin(async move {
                let query = format!(
                    "SELECT EXISTS (SELECT FROM {NAMESPACE}.replica WHERE expires > now())
                         OR EXISTS (SELECT FROM {NAMESPACE}.lease WHERE expires > now())"
                );
                let rows = session.query(&query, &[], &[Column::Bool]).await;
                let rows = rows.map_err(|fault| database.fault(fault))?;
                let is_used = rows.into_iter().next().and_then(|row| Cells::new(row).maybe_bool()?);
                Ok((session, is_used.ok_or_else(|| database.error(MALFORMED))?))
            })
        })
        .await
    }

    /// Takes the lease of an account, if it has expired by the database's clock. Waits for a commit that is under way under
    /// the expired lease.
    ///
    /// # Errors
    /// When the database does not answer in time. The lease may then have been taken; it expires like any other.
    pub async fn take(
        &self,
        account: String,
        holder: Holder,
        address: String,
    ) -> Result<Option<Grant>, StoreError> {
        self.on_lease_connection(move |database, session| {
            Box::pin(async move {
                let epoch = database.take_on(&session, account, holder, address).await?;
                Ok((session, epoch.map(|epoch| Grant { holder, epoch })))
            })
        })
        .await
    }

    /// Gives a lease up, so that another replica can take it at once. The row stays: its epoch must never be issued again.
    ///
    /// # Errors
    /// When the database does not answer in time. The lease expires then.
    pub async fn release(&self, account: String, grant: Grant) -> Result<(), StoreError> {
        self.on_lease_connection(move |database, session| {
            Box::pin(async move {
                let update = format!(
                    "UPDATE {NAMESPACE}.lease SET holder = NULL, expires = '-infinity', address = ''
                     WHERE account = $1 AND holder = $2::text::uuid AND epoch = $3"
                );
                let params =
                    [Param::Text(account), Param::Text(grant.holder.to_string()), Param::Int(grant.epoch)];
                session.execute(&update, &params).await.map_err(|fault| database.fault(fault))?;
                Ok((session, ()))
            })
        })
        .await
    }

    /// Gives up all leases of a replica that stops, and ends its heartbeat: the others share its accounts at once. A lease that
    /// was taken without an answer is among them.
    ///
    /// # Errors
    /// When the database does not answer in time. Leases and heartbeat expire then.
    pub async fn leave(&self, holder: Holder) -> Result<(), StoreError> {
        self.on_lease_connection(move |database, session| {
            Box::pin(async move {
                let release = format!(
                    "UPDATE {NAMESPACE}.lease SET holder = NULL, expires = '-infinity', address = ''
                     WHERE holder = $1::text::uuid"
                );
                let delete = format!("DELETE FROM {NAMESPACE}.replica WHERE id = $1::text::uuid");
                for statement in [release, delete] {
                    let params = [Param::Text(holder.to_string())];
                    session.execute(&statement, &params).await.map_err(|fault| database.fault(fault))?;
                }
                Ok((session, ()))
            })
        })
        .await
    }

    async fn on_lease_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Database>, Session) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        let limit = database.timing.lease_limit();
        let ended = self.database.worker.handle.spawn(async move {
            let mut kept = database.leases.lock().await;
            let working = async {
                let session = database.session(&mut kept).await?;
                work(Arc::clone(&database), session).await
            };
            let result = timeout(limit, working).await;
            let (session, value) =
                result.unwrap_or_else(|_| Err(database.fault(Fault::lost("no answer in time"))))?;
            *kept = Some(session);
            Ok(value)
        });
        ended.await.unwrap_or_else(|_| {
            Err(self.database.error(DatabaseProblem::Failed("its thread ended".to_owned())))
        })
    }
}

type Work<T> = std::pin::Pin<Box<dyn Future<Output = Result<(Session, T), StoreError>> + Send>>;

impl Database {
    async fn beat_in(
        &self,
        session: &Session,
        holder: Holder,
        address: String,
        accounts: Vec<String>,
        held: Vec<(String, Grant)>,
    ) -> Result<Beat, StoreError> {
        let at = |fault| self.fault(fault);
        let ttl = self.timing.ttl.as_millis();
        let expires = format!("clock_timestamp() + interval '{ttl} milliseconds'");
        session.batch(&self.begin()).await.map_err(at)?;
        let alive = format!(
            "INSERT INTO {NAMESPACE}.replica (id, expires, address) VALUES ($1::text::uuid, {expires}, $2)
             ON CONFLICT (id) DO UPDATE SET expires = EXCLUDED.expires, address = EXCLUDED.address"
        );
        let id = Param::Text(holder.to_string());
        session.execute(&alive, &[id, Param::Text(address)]).await.map_err(at)?;
        let forget = format!("DELETE FROM {NAMESPACE}.replica WHERE expires < now() - interval '1 day'");
        session.execute(&forget, &[]).await.map_err(at)?;
        let names = || Param::Texts(accounts.iter().cloned().map(Some).collect());
        let register = format!(
            "INSERT INTO {NAMESPACE}.lease (account) SELECT n FROM unnest($1::text[]) AS n ON CONFLICT (account) DO NOTHING"
        );
        session.execute(&register, &[names()]).await.map_err(at)?;
        let renew = format!(
            "UPDATE {NAMESPACE}.lease AS l SET expires = {expires}
             FROM unnest($2::text[], $3::bigint[]) AS h (account, epoch)
             WHERE l.account = h.account AND l.epoch = h.epoch AND l.holder = $1::text::uuid RETURNING l.account, l.epoch"
        );
        let params = [
            Param::Text(holder.to_string()),
            Param::Texts(held.iter().map(|(account, _)| Some(account.clone())).collect()),
            Param::Ints(held.iter().map(|(_, grant)| Some(grant.epoch)).collect()),
        ];
        let renewed = session.query(&renew, &params, &[Column::Text, Column::Int]).await.map_err(at)?;
        let (live, rows) = self.leases(session, accounts.clone()).await.map_err(at)?;
        session.batch("COMMIT").await.map_err(at)?;
        beat(renewed, live, rows).ok_or_else(|| self.error(MALFORMED))
    }

    async fn look_in(&self, session: &Session, accounts: Vec<String>) -> Result<Beat, StoreError> {
        let at = |fault| self.fault(fault);
        session.batch(&self.begin()).await.map_err(at)?;
        let (live, rows) = self.leases(session, accounts).await.map_err(at)?;
        session.batch("COMMIT").await.map_err(at)?;
        beat(Rows::new(), live, rows).ok_or_else(|| self.error(MALFORMED))
    }

    /// How many replicas are alive, and the leases of these accounts.
    async fn leases(&self, session: &Session, accounts: Vec<String>) -> Result<(Rows, Rows), Fault> {
        let live = format!("SELECT count(*) FROM {NAMESPACE}.replica WHERE expires > now()");
        let live = session.query(&live, &[], &[Column::Int]).await?;
        let rows = format!(
            "SELECT account, holder::text, epoch, expires <= now(), address FROM {NAMESPACE}.lease WHERE account = ANY($1)"
        );
        let names = Param::Texts(accounts.into_iter().map(Some).collect());
        let types = [Column::Text, Column::Text, Column::Int, Column::Bool, Column::Text];
        Ok((live, session.query(&rows, &[names], &types).await?))
    }

    async fn take_on(
        &self,
        session: &Session,
        account: String,
        holder: Holder,
        address: String,
    ) -> Result<Option<i64>, StoreError> {
        let at = |fault| self.fault(fault);
        let ttl = self.timing.ttl.as_millis();
        let update = format!(
            "UPDATE {NAMESPACE}.lease SET holder = $2::text::uuid, epoch = epoch + 1, address = $3,
                    expires = clock_timestamp() + interval '{ttl} milliseconds'
             WHERE account = $1 AND expires <= now() RETURNING epoch"
        );
        let params = [Param::Text(account), Param::Text(holder.to_string()), Param::Text(address)];
        session.batch(&self.begin()).await.map_err(at)?;
        let rows = session.query(&update, &params, &[Column::Int]).await.map_err(at)?;
        session.batch("COMMIT").await.map_err(at)?;
        match rows.into_iter().next() {
            None => Ok(None),
            Some(row) => Cells::new(row).int().map(Some).ok_or_else(|| self.error(MALFORMED)),
        }
    }
}

type Rows = Vec<Vec<super::driver::Value>>;

fn beat(renewed: Rows, live: Rows, rows: Rows) -> Option<Beat> {
    let renewed = renewed.into_iter().map(|row| {
        let mut cells = Cells::new(row);
        Some((cells.text()?, cells.int()?))
    });
    let rows = rows.into_iter().map(|row| {
        let mut cells = Cells::new(row);
        Some(LeaseRow {
            account: cells.text()?,
            holder: cells.maybe_text()?,
            epoch: cells.int()?,
            has_expired: cells.maybe_bool()??,
            address: cells.text()?,
        })
    });
    Some(Beat {
        renewed: renewed.collect::<Option<_>>()?,
        live: Cells::new(live.into_iter().next()?).int()?,
        rows: rows.collect::<Option<_>>()?,
    })
}
