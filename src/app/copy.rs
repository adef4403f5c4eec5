//! Copies a state between a file and a database, account by account.
//!
//! Both are locked meanwhile: a file by its lock, a database by a heartbeat and the lease of every account.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Failure, failure, random, say, state};
use crate::clock::Clock;
use crate::config::{CopyArgs, StatePlace};
use crate::domain::Delta;
use crate::files::beside;
use crate::lease::{Grant, Holder};
use crate::privacy::shown;
use crate::store::sqlite::StateFile;
use crate::store::{KEY_BYTES, PostgresState, State};

/// A state that nothing else uses.
struct Locked {
    state: Arc<dyn State>,
    database: Option<(PostgresState, Holder)>,
    grants: BTreeMap<String, Grant>,
}

/// Copies everything of a state to a place where there is none.
///
/// # Errors
/// When either is in use, the target has a state, or one of them fails.
pub async fn copy_state(args: &CopyArgs, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let (from, to) = args.places().map_err(failure)?;
    if let StatePlace::File(path) = &from
        && !path.exists()
    {
        return Err(Failure(format!(
            "FROM: state file {} does not exist; name the state file of the exporter",
            shown(path)
        )));
    }
    if let StatePlace::File(path) = &to
        && path.exists()
    {
        return Err(Failure(format!("TO: {} exists; name a file that does not", shown(path))));
    }
    tokio::select! {
        biased;
        () = stop => Err(failure("interrupted; what was copied so far cannot be used: remove it, and run the same command again")),
        copied = copy(from, to) => say(&copied?),
    }
}

async fn copy(from: StatePlace, to: StatePlace) -> Result<String, Failure> {
    let mut source = Locked::open(from, "FROM", random::key()?).await?;
    let names = source.state.accounts().map_err(failure)?;
    if names.is_empty() {
        return Err(failure("FROM: holds no account; there is nothing to copy"));
    }
    source.take(&names).await?;
    // A file gets its name once it is complete.
    let (to, complete) = match to {
        StatePlace::File(path) => (StatePlace::File(incomplete(&path)), Some(path)),
        database => (database, None),
    };
    let mut target = Locked::open(to, "TO", source.state.key()).await?;
    if !target.state.accounts().map_err(failure)?.is_empty() || target.state.key() != source.state.key() {
        return Err(failure(
            "TO: has a state already, which was left as it is; name another place, or remove that state first",
        ));
    }
    target.take(&names).await?;
    let (reading, writing) = (source.handles(), target.handles());
    let copying = tokio::task::spawn_blocking(move || copy_accounts(&names, &reading, &writing));
    let copied = copying.await.map_err(failure)?;
    source.release().await;
    target.release().await;
    let copied = copied?;
    if let Some(path) = complete {
        std::fs::rename(incomplete(&path), &path)
            .map_err(|error| Failure(format!("TO: {}: {error}", shown(&path))))?;
    }
    Ok(copied)
}

fn incomplete(path: &Path) -> PathBuf {
    beside(path, ".incomplete")
}

type Handles = (Arc<dyn State>, BTreeMap<String, Grant>);

fn copy_accounts(names: &[String], from: &Handles, to: &Handles) -> Result<String, Failure> {
    let mut messages = 0;
    for name in names {
        let first_start = from.0.first_start(name).map_err(failure)?.unwrap_or_else(|| Clock::System.now());
        let open = |(state, grants): &Handles| {
            state.account(name, first_start, grants.get(name).copied()).map_err(failure)
        };
        let (stored, mut target) = (open(from)?.restored, open(to)?.store);
        messages += stored.messages.len();
        target.commit(&Delta::from(stored)).map_err(failure)?;
    }
    Ok(format!("copied; accounts: {}; messages held: {messages}", names.join(", ")))
}

impl Locked {
    async fn open(place: StatePlace, name: &str, key: [u8; KEY_BYTES]) -> Result<Locked, Failure> {
        let refuse = |error: &dyn Display| Failure(format!("{name}: {error}"));
        let database = match place {
            StatePlace::File(path) => {
                let file = StateFile::open(&path, key).map_err(|error| refuse(&error))?;
                return Ok(Locked { state: Arc::new(file), database: None, grants: BTreeMap::new() });
            }
            StatePlace::Database(database) => database,
        };
        let opening = move || PostgresState::open(state::options(&database), key);
        let opened = tokio::task::spawn_blocking(opening).await.map_err(failure)?;
        let database = opened.map_err(|error| refuse(&error))?;
        if database.is_in_use().await.map_err(|error| refuse(&error))? {
            return Err(refuse(
                &"a replica uses it; stop all replicas, and wait until their leases have expired",
            ));
        }
        let holder = random::holder()?;
        let state = Arc::new(database.clone());
        Ok(Locked { state, database: Some((database, holder)), grants: BTreeMap::new() })
    }

    /// Takes the leases of all accounts, where there are leases.
    async fn take(&mut self, names: &[String]) -> Result<(), Failure> {
        let Some((database, holder)) = &self.database else { return Ok(()) };
        let address = "state copy".to_owned();
        database.beat(*holder, address.clone(), names.to_vec(), Vec::new()).await.map_err(failure)?;
        for name in names {
            let grant = database.take(name.clone(), *holder, address.clone()).await.map_err(failure)?;
            let grant = grant
                .ok_or_else(|| Failure(format!("account {name}: a replica holds it; stop all replicas")))?;
            self.grants.insert(name.clone(), grant);
        }
        Ok(())
    }

    fn handles(&self) -> Handles {
        (Arc::clone(&self.state), self.grants.clone())
    }

    async fn release(self) {
        if let Some((database, holder)) = &self.database {
            // What cannot be released expires.
            let _ = database.leave(*holder).await;
        }
    }
}
