//! What the tests share: a simulated API, the program as a child process, requests to it, and its page.

mod http;
#[allow(dead_code, reason = "shared with benches/load.rs")]
pub(crate) mod load;
mod page;
mod process;
mod simulated;
mod wait;

use std::path::{Path, PathBuf};

pub(crate) use http::{Answer, ask, ask_within, get, post};
pub(crate) use page::Page;
pub(crate) use process::{Exporter, Process, command, program};
pub(crate) use simulated::{Simulated, wall_clock};
pub(crate) use wait::{LONGEST_WAIT, eventually, outcome};

/// A file of the repository.
pub(crate) fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
