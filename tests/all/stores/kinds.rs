//! The stores that the suite runs on: how each is opened, and how its process or its server crashes.

use std::fs;
use std::path::{Path, PathBuf};

use blooio_exporter::lease::Grant;
use blooio_exporter::store::sqlite::StateFile;
use blooio_exporter::store::{MemoryState, State};

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
