//! Files whose content or place an attacker may have a say in: read within bounds, and looked at before they are opened.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Why a file was not read.
#[derive(Debug)]
pub enum ReadError {
    /// The system says why.
    Io(io::Error),
    /// It is a directory, pipe, socket or device.
    NotRegular,
    /// It is larger than the limit.
    TooLarge,
}

/// Reads a regular file of at most `limit` bytes, and the metadata of the file that was read. The type is looked
/// at before opening and again after it: to open a pipe could wait for a writer that never comes, and a device can be
/// endless. The memory is overwritten when the bytes are dropped.
///
/// # Errors
/// When the file is anything else.
pub fn read_bounded(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, Metadata), ReadError> {
    if !fs::metadata(path).map_err(ReadError::Io)?.is_file() {
        return Err(ReadError::NotRegular);
    }
    let file = open(path).map_err(ReadError::Io)?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::NotRegular);
    }
    // Room for the whole file from the start: a buffer that grows leaves copies of a key behind.
    let room = metadata.len().min(limit) as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    match bytes.len() as u64 > limit {
        true => Err(ReadError::TooLarge),
        false => Ok((bytes, metadata)),
    }
}

/// As [`read_bounded`], with the error as a clause to be put behind the file's name.
///
/// # Errors
/// When the file is anything else.
pub(crate) fn read_with_reason(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    match read_bounded(path, limit) {
        Ok((bytes, _)) => Ok(bytes),
        Err(ReadError::Io(error)) => Err(format!("cannot be read: {error}")),
        Err(ReadError::NotRegular) => Err("is not a regular file".to_owned()),
        Err(ReadError::TooLarge) => Err(format!("is larger than {} MiB; is it the right file?", limit >> 20)),
    }
}

/// Whether a key file is private enough: to its owner, or, where root owns it, to a group of this process, as files of a
/// mounted secret are.
pub fn is_private(metadata: &Metadata) -> bool {
    let (mode, owner, group) = (metadata.mode(), metadata.uid(), metadata.gid());
    let in_group = || {
        let own = rustix::process::getegid().as_raw();
        let others = rustix::process::getgroups().unwrap_or_default();
        group == own || others.iter().any(|other| other.as_raw() == group)
    };
    mode & 0o077 == 0 || (owner == 0 && mode & 0o037 == 0 && in_group())
}

/// Opens a file for reading without waiting: a pipe without a writer, or a file of the system that has nothing
/// to say yet, is an error then.
///
/// # Errors
/// What the system says.
pub fn open(path: &Path) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().read(true).custom_flags(nonblocking).open(path)
}
