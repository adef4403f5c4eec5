//! The files that the exporter reads: how large they may be, and what a state file must be before it is opened.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub use exporter_web::files::{ReadError, is_private, open, read_bounded};

use crate::privacy::shown;

/// Largest configuration file that is read, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Longest key that is accepted, in bytes. Far above any real key.
pub const MAX_KEY_BYTES: u64 = 4096;

/// Looks at a state file before it is opened or created: it and the files that SQLite keeps beside it must be regular files
/// of the user that the process runs as, in a directory that can be written to. With `tighten`, permissions of others are
/// taken away; without, nothing is changed.
///
/// # Errors
/// One line, when that is not so.
pub fn check_state(path: &Path, tighten: bool) -> Result<(), String> {
    let user = rustix::process::geteuid().as_raw();
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let path = beside(path, suffix);
        let refuse = |why: &str| Err(format!("state file {}: {why}", shown(&path)));
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if is_link && !suffix.is_empty() {
            return refuse("is a symbolic link, which SQLite makes none of; remove it");
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(_) if is_link => {
                return refuse("is a symbolic link to a file that is not there; name the file itself");
            }
            Err(_) => continue,
        };
        let kind = metadata.file_type();
        if !kind.is_file() {
            let what = match kind {
                kind if kind.is_dir() => "a directory",
                kind if kind.is_fifo() => "a named pipe",
                kind if kind.is_socket() => "a socket",
                _ => "a device",
            };
            return refuse(&format!("is {what}; --state.path must name a regular file"));
        }
        if metadata.uid() != user {
            return refuse(&format!(
                "belongs to user {}, who could change what is counted; run the exporter as that user, or run `chown {user}` on it",
                metadata.uid()
            ));
        }
        // A user who may write to the directory can make this name a link to any other file.
        if metadata.mode() & 0o077 == 0 || !tighten || is_link || !is_database(&path) {
            continue;
        }
        if fs::set_permissions(&path, Permissions::from_mode(0o600)).is_err() {
            return refuse("can be read by other users; run `chmod 600` on it as its owner");
        }
        tracing::warn!(path = %shown(&path), "state file was accessible to other users; set to mode 0600");
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    check_directory(path, directory.unwrap_or(Path::new(".")))
}

/// Whether a file is one of SQLite's, by its first bytes. The permissions of any other are none of our business.
fn is_database(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = open(path).and_then(|mut file| file.read_exact(&mut start));
    // A database, its write-ahead log in either byte order, its index, and its rollback journal.
    read.is_ok()
        && matches!(
            &start,
            b"SQLi"
                | [0x37, 0x7f, 6, 0x82 | 0x83]
                | [0x18, 0xe2, 0x2d, 0]
                | [0, 0x2d, 0xe2, 0x18]
                | [0xd9, 0xd5, 5, 0xf9]
        )
}

/// The database makes files beside its own.
fn check_directory(path: &Path, directory: &Path) -> Result<(), String> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let needed = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, directory, needed, AtFlags::EACCESS).map_err(|error| {
        let error = io::Error::from(error);
        format!(
            "state file {}: its directory cannot be written to: {error}; change that, or --state.path",
            shown(path)
        )
    })
}

/// The file beside another one, whose name is longer by `suffix`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
