//! The directory that the files go to: what may be in it, and writing each file whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Failure, journal};
use crate::privacy::shown;

/// The name of the file that explains the others, and is written last.
const README: &str = "README.md";
/// The ending of the files with samples.
pub const ENDING: &str = "om";

/// What is in the directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or a run that ended before it wrote down what it was asked for; the directory may not exist yet.
    Nothing,
    /// A run that was not finished.
    Unfinished,
}

/// The directory that a backfill writes to.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at this path, which need not exist.
    pub fn new(path: &Path) -> Directory {
        Directory { path: path.to_owned() }
    }

    fn failure(&self, why: impl std::fmt::Display) -> Failure {
        Failure(format!("--to-directory: {} {why}", shown(&self.path)))
    }

    /// Looks at what is in it.
    ///
    /// # Errors
    /// When something else is in it than an unfinished run.
    pub fn look(&self) -> Result<Found, Failure> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(self.failure(format!("cannot be read: {error}; name a directory"))),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        // Killed, or out of space, before the first line was written.
        if fs::metadata(self.journal()).is_ok_and(|journal| journal.len() == 0) {
            names.retain(|name| name != journal::NAME);
        }
        let holds = |name: &str| names.iter().any(|found| found == name);
        if holds(journal::NAME) {
            return Ok(Found::Unfinished);
        }
        if names.is_empty() {
            return Ok(Found::Nothing);
        }
        let is_ours = |name: &String| name == README || name.ends_with(&format!(".{ENDING}"));
        Err(self.failure(match holds(README) && names.iter().all(is_ours) {
            true => "holds a backfill that is finished; import its files, or name another directory",
            false => "is not empty; name an empty directory, or one that does not exist",
        }))
    }

    /// Makes the directory where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self) -> Result<(), Failure> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(self.failure(format!("cannot be made: {error}; make it, or name another one")))
            }
            _ => Ok(()),
        }
    }

    /// Where the resume file is.
    pub fn journal(&self) -> PathBuf {
        self.path.join(journal::NAME)
    }

    /// Why the resume file cannot be used.
    pub fn journal_failure(&self, unusable: &journal::Unusable) -> Failure {
        self.failure(match unusable {
            journal::Unusable::Io(error) => {
                format!("cannot be used: {}: {error}; make it writable, or name another one", journal::NAME)
            }
            journal::Unusable::Foreign => format!(
                "holds a {} that this version did not write; remove the directory, or name another one",
                journal::NAME
            ),
            journal::Unusable::Locked => {
                String::from("is in use by another backfill; wait for its end, or name another one")
            }
        })
    }

    /// Writes a file, whole or not at all, and returns how many bytes it has.
    ///
    /// # Errors
    /// When the system reports an error.
    pub fn write(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let part = self.path.join(format!("{name}.part"));
        let written = (|| {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
            let mut writer = BufWriter::with_capacity(1 << 16, file);
            write(&mut writer)?;
            writer.flush()?;
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            let bytes = file.metadata()?.len();
            fs::rename(&part, self.path.join(name))?;
            Ok(bytes)
        })();
        written.map_err(|error: io::Error| {
            let _ = fs::remove_file(&part);
            let advice = "make room or change that, then run the same command again to go on";
            self.failure(format!("cannot be written to: {error}; {advice}"))
        })
    }

    /// Writes the file that explains the others, and removes the resume file.
    ///
    /// # Errors
    /// When the system reports an error.
    pub fn finish(&self, readme: &str) -> Result<(), Failure> {
        self.write(README, |file| file.write_all(readme.as_bytes()))?;
        fs::remove_file(self.journal())
            .map_err(|error| self.failure(format!("cannot be written to: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_directory_decides_whether_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let directory = Directory::new(&path);
        assert_eq!(directory.look().unwrap(), Found::Nothing);
        directory.make().unwrap();
        directory.make().unwrap();
        assert_eq!(directory.look().unwrap(), Found::Nothing);
        fs::write(directory.journal(), "").unwrap();
        assert_eq!(directory.look().unwrap(), Found::Nothing, "a resume file without a line is none");
        fs::remove_file(directory.journal()).unwrap();
        assert_eq!(directory.write("1970-01-01.om", |file| file.write_all(b"# EOF\n")).unwrap(), 6);
        assert!(directory.look().unwrap_err().0.contains("is not empty"));
        fs::write(directory.journal(), "").unwrap();
        assert!(directory.look().unwrap_err().0.contains("is not empty"));
        fs::write(directory.journal(), "x").unwrap();
        assert_eq!(directory.look().unwrap(), Found::Unfinished);
        directory.finish("read me").unwrap();
        assert!(directory.look().unwrap_err().0.contains("finished"));
        assert!(Directory::new(&path.join(README)).look().unwrap_err().0.contains("cannot be read"));
        assert!(Directory::new(&path.join("a/b")).make().unwrap_err().0.contains("cannot be made"));
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path());
        let full = directory.write("a.om", |_| Err(io::Error::from(ErrorKind::StorageFull)));
        assert!(full.unwrap_err().0.contains("make room"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
