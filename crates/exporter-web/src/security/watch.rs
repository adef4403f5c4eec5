//! When the web configuration file and the files that it names are read again, and what of them is taken.
//!
//! Reading happens on a thread of its own, one reading at a time, and nothing waits for it: on a mount that hangs, the
//! configuration in force stays in force. A changed file is taken only when two readings, one after the other, found the
//! same bytes, so that a file is never taken while it is being written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use ring::digest;
use tokio::time::{sleep, timeout};

use super::{Current, Security, SecurityError, WebConfig, WebReload, protection};
use crate::files;
use crate::limits::{MAX_FILE_BYTES, SLOW_READING};
use crate::privacy::shown;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// Between the two readings of a reload that was asked for.
const SETTLE: Duration = Duration::from_millis(100);

pub(super) struct Watched {
    pub(super) path: PathBuf,
    pub(super) reload: ArcSwap<WebReload>,
    /// Held by readings, which may hang; nothing that answers a request waits for it.
    state: Mutex<WatchState>,
    /// What the newest reading failed with, so that it is logged once.
    complaint: Mutex<Option<SecurityError>>,
}

#[derive(Default)]
struct WatchState {
    stamps: Vec<Stamp>,
    /// Digest of a changed content that was read once.
    pending: Option<Digest>,
}

/// A web configuration that was read and may be taken.
pub struct Prepared {
    current: Current,
}

impl Prepared {
    /// The values that answers would show.
    pub fn shown(&self) -> Vec<String> {
        self.current.shown()
    }
}

pub(super) type Digest = [u8; 32];

/// A reading of all files.
pub(super) struct Loaded {
    stamps: Vec<Stamp>,
    digest: Digest,
    pub(super) result: Result<Current, SecurityError>,
}

impl Watched {
    pub(super) fn new(path: &Path, loaded: &Loaded) -> Self {
        Self {
            path: path.to_owned(),
            reload: ArcSwap::from_pointee(WebReload { successful: true, succeeded_at: SystemTime::now() }),
            state: Mutex::new(WatchState { stamps: loaded.stamps.clone(), pending: None }),
            complaint: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock()
    }

    fn succeeded(&self) {
        self.reload.store(Arc::new(WebReload { successful: true, succeeded_at: SystemTime::now() }));
        *self.complaint.lock() = None;
    }

    fn failed(&self, error: &SecurityError) {
        let before = **self.reload.load();
        self.reload.store(Arc::new(WebReload { successful: false, ..before }));
        let mut complaint = self.complaint.lock();
        if complaint.as_ref() != Some(error) {
            tracing::error!(%error, "web configuration not applied; the previous one stays in force");
            *complaint = Some(error.clone());
        }
    }
}

impl Security {
    /// Looks at the files once a second, for ever.
    pub(crate) async fn watch(self: &Arc<Self>) {
        let Some(watched) = &self.watched else { return std::future::pending().await };
        loop {
            sleep(LOOK).await;
            let this = Arc::clone(self);
            let mut look = pin!(tokio::task::spawn_blocking(move || this.look()));
            if timeout(SLOW_READING, look.as_mut()).await.is_err() {
                watched.failed(&SecurityError(format!(
                    "web configuration file {}: reading it, or a file that it names, takes longer than {} s; does a \
                     mount hang?",
                    shown(&watched.path),
                    SLOW_READING.as_secs()
                )));
                // Never a second reading beside one that hangs.
                let _ = look.await;
            }
        }
    }

    /// Reads the files again if they have changed or the newest reading failed, and takes them when the reading before
    /// found the same.
    fn look(&self) {
        let Some(watched) = &self.watched else { return };
        let mut state = watched.lock();
        let is_settled = state.pending.is_none() && watched.reload.load().successful;
        if is_settled && !state.stamps.iter().any(Stamp::is_stale) {
            return;
        }
        let loaded = load(&watched.path);
        state.stamps = loaded.stamps;
        if loaded.digest == self.current.load().digest {
            state.pending = None;
            watched.succeeded();
        } else if state.pending != Some(loaded.digest) {
            state.pending = Some(loaded.digest);
        } else {
            state.pending = None;
            match loaded.result.and_then(|new| self.judge(new)) {
                Ok(prepared) => self.install(prepared),
                Err(error) => watched.failed(&error),
            }
        }
    }

    /// Reads the files as they are now, for [`Security::install`]. `None` where there is no file. Blocks on the disk.
    ///
    /// # Errors
    /// When they cannot be used, would take protection away, or change while they are read.
    pub fn prepare(&self) -> Result<Option<Prepared>, SecurityError> {
        let Some(watched) = &self.watched else { return Ok(None) };
        let first = load(&watched.path);
        std::thread::sleep(SETTLE);
        let second = load(&watched.path);
        let result = match first.digest == second.digest {
            true => second.result.and_then(|new| self.judge(new)),
            false => Err(SecurityError(format!(
                "web configuration file {}: it, or a file that it names, is being written; try again",
                shown(&watched.path)
            ))),
        };
        result.map(Some).inspect_err(|error| watched.failed(error))
    }

    /// Puts in force what was read. A weaker protection than the one in force by now is left alone; the next look at the
    /// files reports it.
    pub fn install(&self, prepared: Prepared) {
        let Some(watched) = &self.watched else { return };
        let mut new = prepared.current;
        let _one = self.installing.lock();
        let old = self.current.load_full();
        if protection::lost(&old, &new).is_some() {
            return;
        }
        if old.digest != new.digest {
            new.follow(&old);
            self.current.store(Arc::new(new));
            tracing::info!(path = %shown(&watched.path), "web configuration applied");
        }
        watched.succeeded();
    }

    fn judge(&self, new: Current) -> Result<Prepared, SecurityError> {
        let path = self.watched.as_ref().map(|watched| watched.path.as_path()).unwrap_or(Path::new(""));
        match protection::lost(&self.current.load(), &new) {
            Some(lost) => Err(SecurityError::loses(path, lost)),
            None => Ok(Prepared { current: new }),
        }
    }
}

/// What distinguishes one content of a file from another without reading it.
#[derive(Clone, PartialEq)]
struct Stamp {
    path: PathBuf,
    /// Device, inode, size, and times of change in seconds and nanoseconds; `None` where there is no file.
    seen: Option<[i64; 7]>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let seen = fs::metadata(path).ok().map(|found| {
            [
                found.dev() as i64,
                found.ino() as i64,
                found.size() as i64,
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            ]
        });
        Self { path: path.to_owned(), seen }
    }

    fn is_stale(&self) -> bool {
        *self != Self::of(&self.path)
    }
}

/// Reads everything, each file once. Each stamp is taken before its file is read: a change in between is seen the next
/// time.
pub(super) fn load(path: &Path) -> Loaded {
    let mut stamps = vec![Stamp::of(path)];
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut add = |part: &[u8]| {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    let read = files::read_with_reason(path, MAX_FILE_BYTES)
        .and_then(|bytes| {
            String::from_utf8(bytes.to_vec())
                .map_err(|_| "is not UTF-8 text; is it the right file?".to_owned())
        })
        .map_err(|why| SecurityError(format!("web configuration file {}: {why}", shown(path))));
    let result = read.and_then(|text| {
        add(text.as_bytes());
        let mut config = WebConfig::parse(path, &text)?;
        stamps.extend(config.files().iter().map(|path| Stamp::of(path)));
        config.load()?;
        config.pems().for_each(|pem| add(pem.bytes()));
        Current::new(config)
    });
    if let Err(error) = &result {
        add(error.0.as_bytes());
    }
    let mut found = [0; 32];
    found.copy_from_slice(digest.finish().as_ref());
    let result = result.map(|current| Current { digest: found, ..current });
    Loaded { stamps, digest: found, result }
}
