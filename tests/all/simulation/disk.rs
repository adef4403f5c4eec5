//! The disk of a simulated life: it keeps what was committed, fails when told to, and dies at a commit.

use std::sync::{Arc, Mutex};

use blooio_exporter::domain::Delta;
use blooio_exporter::metrics::Slot;
use blooio_exporter::store::{MemoryStore, Store, StoreError};
use tokio::sync::Notify;

use super::oracle::Oracle;

/// Where in a commit the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Nothing of it is on the disk.
    BeforeCommit,
    /// All of it is on the disk, and nobody was told.
    BeforePublish,
}

/// What goes wrong with the commits of one process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Dies at this many commits from its start.
    pub(crate) death: Option<(u64, Death)>,
    /// Share of commits that fail without a trace on the disk.
    pub(crate) full: f64,
}

/// The store of one process.
pub(crate) struct Disk {
    store: MemoryStore,
    oracle: Arc<Mutex<Oracle>>,
    slot: Slot,
    died: Arc<Notify>,
    faults: Faults,
    rng: fastrand::Rng,
    commits: u64,
    dead: bool,
    traced: bool,
}

impl Disk {
    /// Writes to `store`, and says through `died` when the process is to be killed.
    pub(crate) fn new(
        store: &MemoryStore,
        oracle: &Arc<Mutex<Oracle>>,
        slot: &Slot,
        died: &Arc<Notify>,
        faults: Faults,
        rng: fastrand::Rng,
    ) -> Disk {
        Disk {
            store: store.clone(),
            oracle: Arc::clone(oracle),
            slot: slot.clone(),
            died: Arc::clone(died),
            faults,
            rng,
            commits: 0,
            dead: false,
            traced: std::env::var_os("BLOOIO_TRACE").is_some(),
        }
    }

    fn refused(&mut self) -> StoreError {
        StoreError::Io { path: "simulated".into(), detail: "No space left on device".into() }
    }
}

impl Store for Disk {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        self.commits += 1;
        let quiet = self.oracle.lock().unwrap().quiet;
        let dies = self.faults.death.filter(|(at, _)| *at == self.commits && !quiet).map(|(_, death)| death);
        self.oracle.lock().unwrap().published(&self.slot.view());
        self.dead |= dies == Some(Death::BeforeCommit);
        let full = self.rng.f64() < self.faults.full && !quiet;
        if self.traced {
            let (view, stores) = (self.slot.view(), &delta.progress);
            println!(
                "commit {}: {stores:?}; full {full}, dies {dies:?}; shown: up {}",
                self.commits, view.health.up
            );
        }
        if self.dead || full {
            if self.dead {
                self.died.notify_one();
            }
            self.oracle.lock().unwrap().not_committed(delta);
            return Err(self.refused());
        }
        self.store.commit(delta)?;
        self.oracle.lock().unwrap().committed(delta);
        if dies == Some(Death::BeforePublish) {
            self.dead = true;
            self.died.notify_one();
            return Err(self.refused());
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        0
    }
}
