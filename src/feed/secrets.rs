//! The signing secrets of an account, read again while the exporter runs.
//!
//! Changed secrets are taken when two readings, one after the other, found the same: a file is never taken while it is being
//! written. What cannot be read changes nothing: a missing file must not stop the feed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::secret::Secret;

/// Reads the secrets as they are now, on a thread that may block. The error is one line for the log, without any secret.
pub type Source = Box<dyn Fn() -> Result<Vec<Secret>, String> + Send + Sync>;

/// The secrets in force, and how to read them again.
pub struct Secrets {
    source: Source,
    current: ArcSwap<Vec<Secret>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A changed content that was read once.
    pending: Option<Vec<Secret>>,
    /// What the newest reading failed with, so that it is logged once.
    complaint: Option<String>,
}

impl Secrets {
    /// These secrets, which `source` gave.
    pub fn new(secrets: Vec<Secret>, source: Source) -> Self {
        Self { source, current: ArcSwap::from_pointee(secrets), state: Mutex::default() }
    }

    /// The secrets in force. Takes no lock and looks at no file.
    pub(super) fn current(&self) -> Arc<Vec<Secret>> {
        self.current.load_full()
    }

    /// Reads them again. Blocks on the disk.
    pub(super) fn look(&self, account: &str) {
        let read = (self.source)();
        let mut state = self.lock();
        let state = &mut *state;
        match read {
            Err(error) => {
                state.pending = None;
                if state.complaint.as_ref() != Some(&error) {
                    tracing::warn!(
                        account,
                        error,
                        "webhook secrets cannot be read; the previous ones stay in force"
                    );
                    state.complaint = Some(error);
                }
            }
            Ok(secrets) => {
                if state.complaint.take().is_some() {
                    tracing::info!(account, "webhook secrets can be read again");
                }
                if secrets == **self.current.load() {
                    state.pending = None;
                } else if state.pending.as_ref() == Some(&secrets) {
                    state.pending = None;
                    tracing::info!(account, secrets = secrets.len(), "webhook secrets replaced");
                    self.current.store(Arc::new(secrets));
                } else {
                    state.pending = Some(secrets);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_when_two_readings_agree_and_a_failure_changes_nothing() {
        let file: Arc<Mutex<Result<&str, &str>>> = Arc::new(Mutex::new(Ok("old")));
        let read = Arc::clone(&file);
        let of = |text: &str| vec![Secret::new(text.to_owned())];
        let source = move || match *read.lock() {
            Ok(text) => Ok(vec![Secret::new(text.to_owned())]),
            Err(why) => Err(why.to_owned()),
        };
        let secrets = Secrets::new(of("old"), Box::new(source));
        for (content, in_force) in [
            (Ok("old"), "old"),
            (Ok("ne"), "old"),
            (Ok("new"), "old"),
            (Err("gone"), "old"),
            (Ok("new"), "old"),
            (Ok("new"), "new"),
            (Err("gone"), "new"),
            (Ok("old"), "new"),
            (Ok("new"), "new"),
            (Ok("old"), "new"),
            (Ok("old"), "old"),
        ] {
            *file.lock() = content;
            secrets.look("a");
            assert!(*secrets.current() == of(in_force), "{content:?}");
        }
    }
}
