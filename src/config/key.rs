//! Where the API key of an account comes from, and what a key may look like.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::ConfigError;
use crate::files::{self, MAX_KEY_BYTES, ReadError};
use crate::secret::Secret;

/// Name of the key among the credentials that systemd hands over.
pub(super) const CREDENTIAL_NAME: &str = "blooio-api-key";

/// Where the API key of an account comes from. Debug shows the place, never the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// From `BLOOIO_API_KEY`, read once at start.
    Environment(Secret),
    /// From a file that only its owner can read, or that root owns and a group of this process can read. Every [`KeySource::load`] reads it again, so a key can be replaced
    /// while the exporter runs.
    File(PathBuf),
    /// From a file below systemd's `$CREDENTIALS_DIRECTORY`. systemd guards that directory; the mode of the file is its
    /// business, not ours.
    Credential(PathBuf),
}

impl KeySource {
    /// The source for a file, told apart by whether it lies below the credentials directory.
    pub(super) fn of_file(path: PathBuf, credentials: Option<&Path>) -> Self {
        let is_plain = !path.components().any(|part| part == Component::ParentDir);
        match credentials {
            Some(directory) if is_plain && path.starts_with(directory) => Self::Credential(path),
            _ => Self::File(path),
        }
    }

    /// The key as it is now. Call it again when the API answers 401: a file may hold a new one.
    ///
    /// # Errors
    /// One line that names the file and what to do, when the file cannot be read, can be read by others than its owner,
    /// is empty, longer than 4 KiB, or holds anything but visible ASCII around which white space is trimmed.
    pub fn load(&self) -> Result<Secret, ConfigError> {
        self.load_as("API key", key_from_text)
    }

    /// The same for another kind of secret: `what` names it in errors, and `judge` turns the file's text into it, or says
    /// what is wrong without repeating any of it.
    pub(super) fn load_as(
        &self,
        what: &str,
        judge: impl FnOnce(&str) -> Result<Secret, &'static str>,
    ) -> Result<Secret, ConfigError> {
        match self {
            Self::Environment(secret) => Ok(secret.clone()),
            Self::File(path) => read(path, true, what, judge),
            Self::Credential(path) => read(path, false, what, judge),
        }
    }
}

/// Turns text into a key, or says what is wrong with it without repeating any of it.
pub(super) fn key_from_text(text: &str) -> Result<Secret, &'static str> {
    let key = text.trim();
    if key.is_empty() {
        Err("is empty; put the API key there")
    } else if is_assignment(key) {
        Err("holds a line of an environment file, as in NAME=value; put the value alone there")
    } else if key.len() as u64 > MAX_KEY_BYTES {
        Err("is longer than 4 KiB, which no API key is")
    } else if key.starts_with(['"', '\'']) || key.ends_with(['"', '\'']) {
        Err("is in quotes, which are no part of a key; remove them")
    } else if !key.bytes().all(|b| b.is_ascii_graphic()) {
        Err("holds something other than one key; only visible ASCII without spaces is allowed")
    } else {
        Ok(Secret::new(key.to_owned()))
    }
}

/// Whether a text is a variable with its value, as in a shell script or an environment file. A key may end with the `=` of
/// its encoding.
fn is_assignment(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text).trim_start();
    let Some((name, value)) = text.split_once('=') else { return false };
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !value.trim_matches('=').is_empty()
}

fn read(
    path: &Path,
    owner_only: bool,
    what: &str,
    judge: impl FnOnce(&str) -> Result<Secret, &'static str>,
) -> Result<Secret, ConfigError> {
    let shown = crate::privacy::shown(path);
    let noun = what.rsplit(' ').next().unwrap_or(what);
    let refuse = |why: &str| ConfigError::new(format!("{what} file {shown}: {why}"));
    let (bytes, metadata) = files::read_bounded(path, MAX_KEY_BYTES).map_err(|error| match error {
        ReadError::Io(error) => refuse(&format!("cannot be read: {error}")),
        ReadError::NotRegular => {
            refuse(&format!("is not a regular file; name the file that holds the {noun}"))
        }
        ReadError::TooLarge => refuse(&format!("is longer than 4 KiB, which no {what} is")),
    })?;
    // Of the file that was read, not of its name, which could by now mean another file.
    if owner_only && !files::is_private(&metadata) {
        return Err(refuse(&format!(
            "mode {:04o} lets group or others at the {noun}; run `chmod 600 {shown}`",
            metadata.mode() & 0o7777
        )));
    }
    let text = std::str::from_utf8(&bytes).unwrap_or("\u{fffd}");
    judge(text).map_err(refuse)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file_with(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_private_file_is_read_trimmed_and_anew_each_time() {
        let (_directory, path) = file_with(b"  blo_one\n", 0o600);
        let source = KeySource::of_file(path.clone(), None);
        assert_eq!(source.load().unwrap().expose(), "blo_one");
        fs::write(&path, "blo_two").unwrap();
        assert_eq!(source.load().unwrap().expose(), "blo_two");
    }

    #[test]
    fn a_key_may_hold_a_sign_of_equality() {
        for key in ["bl_live_abc=", "QUJD==", "bl_live_a=b", "=A"] {
            assert_eq!(key_from_text(key).unwrap().expose(), key);
        }
    }

    #[test]
    fn a_file_others_can_read_is_refused_with_the_command_to_type() {
        for mode in [0o650, 0o604, 0o620, 0o660, 0o644] {
            let (_directory, path) = file_with(b"blo_canary", mode);
            let error = KeySource::File(path.clone()).load().unwrap_err().to_string();
            let shown = crate::privacy::shown(&path);
            assert_eq!(
                error,
                format!(
                    "API key file {shown}: mode {mode:04o} lets group or others at the key; run `chmod 600 {shown}`"
                )
            );
        }
    }

    #[test]
    fn a_systemd_credential_is_taken_as_it_is() {
        let (directory, path) = file_with(b"blo_one", 0o444);
        let source = KeySource::of_file(path, Some(directory.path()));
        assert!(matches!(source, KeySource::Credential(_)));
        assert_eq!(source.load().unwrap().expose(), "blo_one");
        let outside = directory.path().join("../elsewhere");
        assert!(matches!(KeySource::of_file(outside, Some(directory.path())), KeySource::File(_)));
    }

    #[test]
    fn what_cannot_be_a_key_is_refused_without_being_shown() {
        let long = vec![b'a'; MAX_KEY_BYTES as usize + 1];
        for (content, why) in [
            (&b" \n"[..], "is empty; put the API key there"),
            (&long, "is longer than 4 KiB, which no API key is"),
            (b"canary canary", "only visible ASCII without spaces is allowed"),
            ("canary\u{e9}".as_bytes(), "only visible ASCII"),
            (b"canary\xff", "only visible ASCII"),
            (b"canary\x00", "only visible ASCII"),
            (b"BLOOIO_API_KEY=canary\n", "put the value alone there"),
            (b"export BLOOIO_API_KEY=\"canary\"\n", "put the value alone there"),
            (b"A_1=canary==", "put the value alone there"),
        ] {
            let (_directory, path) = file_with(content, 0o600);
            let error = KeySource::File(path).load().unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("canary"), "{error}");
        }
        let error = KeySource::File("/nonexistent/key".into()).load().unwrap_err().to_string();
        assert_eq!(
            error,
            "API key file /nonexistent/key: cannot be read: No such file or directory (os error 2)"
        );
        let error = KeySource::File("/".into()).load().unwrap_err().to_string();
        assert_eq!(error, "API key file /: is not a regular file; name the file that holds the key");
    }
}
