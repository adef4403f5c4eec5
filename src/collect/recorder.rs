//! The ledger of one account behind its commits: what is not committed is not shown.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::conditions::Conditions;
use crate::domain::view::{Health, Snapshot};
use crate::domain::{ApiEvent, Ledger, View};
use crate::metrics::Slot;
use crate::mutant::{self, Mutant};
use crate::store::{Store, StoreError};

/// Owns the ledger and its store.
pub struct Recorder<S> {
    account: String,
    ledger: Mutex<Ledger>,
    health: Mutex<Health>,
    committed: Mutex<(u64, Snapshot)>,
    store: Arc<Mutex<S>>,
    turn: tokio::sync::Mutex<()>,
    slot: Slot,
}

/// The commit failed; it has been logged, and is tried again with the next one.
#[derive(Debug, PartialEq, Eq)]
pub struct NotCommitted;

impl<S: Store> Recorder<S> {
    /// Takes up the ledger as restored, and shows it.
    pub fn new(account: &str, mut ledger: Ledger, store: S, slot: Slot, now: i64) -> Recorder<S> {
        let snapshot = ledger.snapshot(now);
        let health = Health { state_bytes: store.size(), state_writable: true, ..Health::default() };
        let recorder = Recorder {
            account: account.to_owned(),
            ledger: Mutex::new(ledger),
            health: Mutex::new(health),
            committed: Mutex::new((0, snapshot)),
            store: Arc::new(Mutex::new(store)),
            turn: tokio::sync::Mutex::new(()),
            slot,
        };
        recorder.publish();
        recorder
    }

    /// Looks at the ledger or changes it; what is changed is shown after the next commit.
    pub fn with<R>(&self, use_ledger: impl FnOnce(&mut Ledger) -> R) -> R {
        use_ledger(&mut lock(&self.ledger))
    }

    /// Changes what the account's health is; shown at the next publication.
    pub fn health<R>(&self, change: impl FnOnce(&mut Health) -> R) -> R {
        change(&mut lock(&self.health))
    }

    /// Writes everything that changed in one transaction, then shows it.
    ///
    /// The snapshot is taken together with the delta: other reads may change the ledger while the disk
    /// works, and what they change must not be shown before their own commit.
    pub async fn commit(
        &self,
        events: Vec<ApiEvent>,
        now: i64,
        conditions: &Conditions,
    ) -> Result<(), NotCommitted> {
        let _turn = self.turn.lock().await;
        let (delta, snapshot) = self.with(|ledger| {
            for event in events {
                ledger.note_api(event);
            }
            let snapshot = ledger.snapshot(now);
            (Arc::new(ledger.delta()), snapshot)
        });
        if mutant::is(Mutant::PublishBeforeCommit) {
            lock(&self.committed).1 = snapshot.clone();
            self.publish();
        }
        let started = Instant::now();
        let (store, written) = (Arc::clone(&self.store), Arc::clone(&delta));
        // Runs to its end even if this future is dropped: a commit is never left half done.
        let write = tokio::task::spawn_blocking(move || {
            let mut store = lock(&store);
            let result = store.commit(&written);
            (result, store.size())
        });
        let (result, size) = write.await.unwrap_or_else(|_| {
            let detail = String::from("the writer stopped");
            (Err(StoreError::Io { path: std::path::PathBuf::new(), detail }), 0)
        });
        let done = match result {
            Ok(()) => {
                self.with(|ledger| ledger.note_commit(started.elapsed().as_secs_f64()));
                lock(&self.committed).1 = snapshot;
                self.health(|health| (health.state_writable, health.state_bytes) = (true, size));
                conditions.commit_succeeded();
                Ok(())
            }
            Err(error) => {
                self.with(|ledger| ledger.restore_delta(&delta));
                self.health(|health| (health.state_writable, health.up) = (false, false));
                conditions.commit_failed(&error);
                Err(NotCommitted)
            }
        };
        self.publish();
        done
    }

    /// Whether a commit is under way, or about to be.
    pub fn is_committing(&self) -> bool {
        self.turn.try_lock().is_err()
    }

    /// Shows the newest committed state with the health of this moment.
    pub fn publish(&self) {
        let mut committed = lock(&self.committed);
        committed.0 += 1;
        self.slot.publish(View {
            account: self.account.clone(),
            version: committed.0,
            snapshot: committed.1.clone(),
            health: lock(&self.health).clone(),
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
