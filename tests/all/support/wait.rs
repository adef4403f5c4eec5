//! Waiting for what must happen.

use std::process::Child;
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen. Far beyond what a slow machine needs: it decides nothing.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Calls `look` until it gives something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LONGEST_WAIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen within {LONGEST_WAIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a program said, and how it ended. It is killed, and the test fails, when it does not end in time.
pub(crate) fn outcome(
    mut child: Child,
    patience: Duration,
    what: &dyn std::fmt::Debug,
) -> std::process::Output {
    let until = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("{what:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}
