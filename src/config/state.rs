//! Where the state is: a file of this machine, or a database that replicas share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::ConfigError;
use super::key::KeySource;
use super::resolve::Resolution;
use crate::secret::Secret;

/// Shortest validity of a lease. Below it, a pause of the machine loses accounts.
const MIN_TTL: Duration = Duration::from_secs(3);
/// Longest validity of a lease: an account of a dead replica is without a holder for as long.
const MAX_TTL: Duration = Duration::from_secs(300);
/// Longest password, in bytes.
const MAX_PASSWORD_BYTES: usize = 1024;

/// The flags of a database that replicas share.
#[derive(Debug, Default, Clone, Args)]
pub struct StateFlags {
    /// PostgreSQL that replicas share the accounts through, as postgres://USER@HOST:PORT/DATABASE, in place of --state.path
    /// [env: BLOOIO_EXPORTER_STATE_URL]
    #[arg(id = "state_url", long = "state.url", value_name = "URL")]
    pub url: Option<String>,
    /// File that holds the password of the database; the password itself is read from PGPASSWORD, never from a flag
    /// [env: BLOOIO_EXPORTER_STATE_PASSWORD_FILE]
    #[arg(id = "state_password_file", long = "state.password-file", value_name = "PATH")]
    pub password_file: Option<PathBuf>,
    /// Authorities that the certificate of the database is verified against, in PEM [default: Mozilla's]
    #[arg(id = "state_ca_file", long = "state.ca-file", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
    /// How long a replica holds an account after its newest heartbeat [default: 15s]
    #[arg(id = "state_lease_ttl", long = "state.lease-ttl", value_name = "DURATION")]
    pub lease_ttl: Option<String>,
}

/// The flags of `state`.
#[derive(Debug, Clone, Args)]
pub struct StateArgs {
    /// Which operation on a state is run.
    #[command(subcommand)]
    pub command: StateCommand,
}

/// What is done with a state.
#[derive(Debug, Clone, Subcommand)]
pub enum StateCommand {
    /// Copies a state, from a file to PostgreSQL or back; neither may be in use
    Copy(CopyArgs),
}

/// The flags of `state copy`.
#[derive(Debug, Clone, Args)]
pub struct CopyArgs {
    /// The state to copy: the path of a file, or postgres://USER@HOST:PORT/DATABASE
    pub from: String,
    /// Where to: a file that does not exist, or a database without a state
    pub to: String,
    /// File that holds the password of the database; without it, PGPASSWORD is used
    #[arg(id = "state_password_file", long = "state.password-file", value_name = "PATH")]
    pub password_file: Option<PathBuf>,
    /// Authorities that the certificate of the database is verified against, in PEM [default: Mozilla's]
    #[arg(id = "state_ca_file", long = "state.ca-file", value_name = "PATH")]
    pub ca_file: Option<PathBuf>,
}

/// One of the two places of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// A file, by its path.
    File(PathBuf),
    /// A database, by its URL.
    Database(Database),
}

impl CopyArgs {
    /// Where the state is, and where it is to be.
    ///
    /// # Errors
    /// One line for the first that cannot be used.
    pub fn places(&self) -> Result<(StatePlace, StatePlace), ConfigError> {
        let place = |name: &str, text: &str| {
            if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
                return Ok(StatePlace::File(PathBuf::from(text)));
            }
            check(text).map_err(|why| ConfigError::new(format!("{name}: {why}")))?;
            let env = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
            let password = match (&self.password_file, env("PGPASSWORD")) {
                (Some(path), _) => Some(KeySource::of_file(path.clone(), None)),
                (None, Some(text)) => Some(of_environment(text)?),
                (None, None) => None,
            };
            let (url, ca_file) = (text.to_owned(), self.ca_file.clone());
            Ok(StatePlace::Database(Database { url, password, ca_file, lease_ttl: MAX_TTL }))
        };
        Ok((place("FROM", &self.from)?, place("TO", &self.to)?))
    }
}

/// A password that stands in the environment.
fn of_environment(text: String) -> Result<KeySource, ConfigError> {
    let text = zeroize::Zeroizing::new(text);
    let password = password_from_text(&text);
    password.map(KeySource::Environment).map_err(|why| ConfigError::new(format!("PGPASSWORD {why}")))
}

/// A database that replicas share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `--state.url`: `postgres://USER@HOST:PORT/DATABASE`. It holds no password.
    pub url: String,
    /// `--state.password-file` or `PGPASSWORD`. Default none: the server trusts the connection, or nothing works.
    pub(super) password: Option<KeySource>,
    /// `--state.ca-file`: authorities of the server's certificate. Default Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// `--state.lease-ttl`: validity of a lease. Default 15 s.
    pub lease_ttl: Duration,
}

impl Database {
    /// The password as it is now, if there is one.
    ///
    /// # Errors
    /// One line that names the file and what to do, as for [`KeySource::load`].
    pub fn password(&self) -> Result<Option<Secret>, ConfigError> {
        self.password.as_ref().map(|source| source.load_as("state password", password_from_text)).transpose()
    }
}

/// A password may hold spaces; a line end at its end is the editor's.
fn password_from_text(text: &str) -> Result<Secret, &'static str> {
    let password = text.strip_suffix('\n').unwrap_or(text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        Err("is empty; put the password of the database there")
    } else if password.len() > MAX_PASSWORD_BYTES {
        Err("is longer than 1 KiB, which no password is")
    } else if password.chars().any(|c| c.is_control() || c == '\u{fffd}') {
        Err("holds something other than one line of text; put the password alone there")
    } else {
        Ok(Secret::new(password.to_owned()))
    }
}

impl Resolution<'_> {
    /// The database that replicas share; `None` while the state is a file.
    pub(super) fn database(&self) -> Result<Option<Database>, ConfigError> {
        let (flags, section) = (&self.flags.state, self.file.state.as_ref());
        let in_file = section.and_then(|section| section.url.as_ref());
        let (place, url) = if let Some(url) = &flags.url {
            self.is_from_flag("state.url");
            ("--state.url".to_owned(), url.clone())
        } else if let Some(url) = self.env("BLOOIO_EXPORTER_STATE_URL") {
            self.is_from("state.url", "BLOOIO_EXPORTER_STATE_URL");
            ("BLOOIO_EXPORTER_STATE_URL".to_owned(), url)
        } else if let Some(url) = in_file {
            self.is_from_file("state.url", url);
            (self.place(url, "state.url"), url.value.clone())
        } else {
            return self.refuse_settings_of_no_database();
        };
        // It may hold a password, and is not repeated.
        let refuse = |why: &str| ConfigError::new(format!("{place}: {why}"));
        if flags.url.is_some() && self.flags.state_path.is_some() {
            return Err(refuse("is given together with --state.path; keep the database or the file"));
        }
        if let Some(path) = in_file.and(section.and_then(|section| section.path.as_ref())) {
            let path = self.place(path, "state.path");
            return Err(refuse(&format!("is given together with {path}; keep the database or the file")));
        }
        check(&url).map_err(refuse)?;
        let in_file = section.and_then(|section| section.ca_file.as_ref());
        let ca_file = self.path("state.ca-file", flags.ca_file.as_ref(), in_file);
        Ok(Some(Database { url, password: self.password()?, ca_file, lease_ttl: self.lease_ttl()? }))
    }

    fn password(&self) -> Result<Option<KeySource>, ConfigError> {
        const NAME: &str = "state.password-file";
        const VARIABLE: &str = "BLOOIO_EXPORTER_STATE_PASSWORD_FILE";
        let in_file = self.file.state.as_ref().and_then(|section| section.password_file.as_ref());
        let of_env = self.env(VARIABLE).filter(|_| self.flags.state.password_file.is_none());
        let path = match of_env {
            Some(path) => {
                self.is_from(NAME, VARIABLE);
                Some(PathBuf::from(path))
            }
            None => self.path(NAME, self.flags.state.password_file.as_ref(), in_file),
        };
        let credentials = self.env("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        match (path, self.env("PGPASSWORD")) {
            (Some(path), _) => Ok(Some(KeySource::of_file(path, credentials.as_deref()))),
            (None, Some(password)) => {
                self.is_from(NAME, "PGPASSWORD");
                of_environment(password).map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    fn lease_ttl(&self) -> Result<Duration, ConfigError> {
        let in_file = [self.file.state.as_ref().and_then(|section| section.lease_ttl.as_ref())];
        let default = Duration::from_secs(15);
        let flag = self.flags.state.lease_ttl.as_ref();
        let found = self.positive("state.lease-ttl", flag, &in_file, MIN_TTL, default)?;
        match found.value > MAX_TTL {
            true => Err(found.refuse("is longer than 5m; shorten it")),
            false => Ok(found.value),
        }
    }

    /// Settings of a database that is not named would be ignored in silence.
    fn refuse_settings_of_no_database(&self) -> Result<Option<Database>, ConfigError> {
        let (flags, section) = (&self.flags.state, self.file.state.as_ref());
        let given = [
            (flags.password_file.is_some(), "--state.password-file"),
            (flags.ca_file.is_some(), "--state.ca-file"),
            (flags.lease_ttl.is_some(), "--state.lease-ttl"),
            (section.is_some_and(|section| section.password_file.is_some()), "state.password_file"),
            (section.is_some_and(|section| section.ca_file.is_some()), "state.ca_file"),
            (section.is_some_and(|section| section.lease_ttl.is_some()), "state.lease_ttl"),
        ];
        match given.iter().find(|(is_given, _)| *is_given) {
            Some((_, name)) => Err(ConfigError::new(format!(
                "{name}: is of a database, and none is named; name one with --state.url, or remove it"
            ))),
            None => Ok(None),
        }
    }
}

/// What can be said of a URL without connecting. No text repeats any of it.
fn check(url: &str) -> Result<(), &'static str> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = rest else {
        return Err("is not a URL of PostgreSQL; write postgres://USER@HOST:PORT/DATABASE");
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let is_password = |option: &str| option.split('=').next().is_some_and(|name| name == "password");
    if user.contains(':') || query.split('&').any(is_password) {
        return Err(
            "holds a password, which every process of the machine could read; put it into a file and name that with \
             --state.password-file, or into PGPASSWORD",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_password_is_rejected_and_not_repeated() {
        for url in [
            "postgres://me:canary@db/x",
            "postgresql://me:canary@db",
            "postgres://me@db/x?application_name=y&password=canary",
            "mysql://me:canary@db/x",
        ] {
            let why = check(url).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
        for url in ["postgres://me@db:5432/x", "postgres://me@/x?host=%2Frun%2Fpostgresql", "postgresql://db"]
        {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn a_password_is_one_line() {
        assert_eq!(password_from_text("two words\r\n").unwrap().expose(), "two words");
        for text in ["", "\n", "one\ntwo", "canary\u{0}"] {
            let why = password_from_text(text).unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }
}
