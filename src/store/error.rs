//! Why the state could not be opened, read or written. No text holds a password or a stored value.

use std::fmt;
use std::path::PathBuf;

use crate::privacy::shown;

/// Why the state could not be opened, read or written.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it.
    Locked(PathBuf),
    /// Not a state file of this program.
    Foreign(PathBuf),
    /// Written by another version of the schema.
    Version {
        /// The file with the other version.
        path: PathBuf,
        /// The version that it has.
        found: i64,
        /// The version that this program writes.
        expected: i64,
    },
    /// It is ours, but not whole.
    Damaged {
        /// The file that is damaged.
        path: PathBuf,
        /// What was found, without any content.
        detail: String,
    },
    /// Reading or writing failed.
    Io {
        /// The file that cannot be read or written.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// A database that replicas share failed.
    Database {
        /// Hosts and name of the database.
        place: String,
        /// What happened in the database.
        problem: DatabaseProblem,
    },
    /// The lease under which the account was opened is not held any more: another replica may be counting it.
    Fenced {
        /// The account that the error is about.
        account: String,
    },
    /// The database lost commits that it had acknowledged: everything of the account must be committed again.
    LostCommits {
        /// The account that the error is about.
        account: String,
    },
}

/// What is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseProblem {
    /// A setting cannot be used.
    Setting(String),
    /// It cannot be reached, or the connection was lost.
    Unreachable(String),
    /// No TLS connection was made, or the server's certificate was rejected.
    Tls(String),
    /// It rejects connections without TLS.
    TlsRequired(String),
    /// It rejected user or password.
    Authentication(String),
    /// There is no database of that name.
    NoDatabase,
    /// The user lacks a privilege.
    Privileges(String),
    /// It is a standby, or read-only for another reason.
    Standby,
    /// The server is older than any that is supported. Its version, times 10,000.
    Unsupported(i64),
    /// Its encoding is not UTF8.
    Encoding(String),
    /// The tables of our schema are those of another program.
    Foreign,
    /// It has no connection left.
    NoConnections(String),
    /// The tables are of another version of the schema.
    Version {
        /// The version that they have.
        found: i64,
        /// The version that this program writes.
        expected: i64,
    },
    /// The tables are ours, but not whole.
    Damaged(&'static str),
    /// A problem without a class of its own, in the database's words.
    Failed(String),
}

impl fmt::Display for DatabaseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(why) => f.write_str(why),
            Self::Unreachable(detail) => {
                write!(f, "cannot be reached ({detail}); check host, port and network, and that PostgreSQL runs")
            }
            Self::Tls(detail) => write!(
                f,
                "no TLS connection ({detail}); the server needs `ssl = on` and a valid certificate, --state.url the name that is in \
                 the certificate, and --state.ca-file its authority unless a public one signed it"
            ),
            Self::TlsRequired(detail) => write!(
                f,
                "rejects connections without TLS ({detail}); name the authority of its certificate with --state.ca-file, which \
                 enables TLS on loopback addresses"
            ),
            Self::Authentication(detail) => write!(
                f,
                "rejected the user or its password ({detail}); check the user in --state.url, --state.password-file or \
                 PGPASSWORD, and pg_hba.conf"
            ),
            Self::NoDatabase => f.write_str("does not exist; create it, or name another in --state.url"),
            Self::Privileges(detail) => write!(
                f,
                "the user lacks a privilege ({detail}); let it create the schema blooio_exporter with `GRANT CREATE ON DATABASE`, \
                 or create that schema for it with `CREATE SCHEMA blooio_exporter AUTHORIZATION`"
            ),
            Self::Standby => {
                f.write_str("is read-only or a standby; name the primary in --state.url, or all hosts separated by commas")
            }
            Self::Unsupported(version) => write!(
                f,
                "runs PostgreSQL {}, and the oldest supported version is {}; upgrade it",
                version / 10_000,
                super::OLDEST_POSTGRESQL
            ),
            Self::Encoding(encoding) => {
                write!(f, "has the encoding {encoding}; create a database with the encoding UTF8")
            }
            Self::Foreign => f.write_str(
                "its schema blooio_exporter holds tables of another program; they were left untouched, name another database",
            ),
            Self::NoConnections(detail) => write!(
                f,
                "has no free connection ({detail}); raise max_connections or the pooler's limits: each replica needs two"
            ),
            Self::Version { found, expected } => write!(
                f,
                "has schema version {found}, this program reads {expected}; it was left untouched, run the version that wrote it"
            ),
            Self::Damaged(detail) => {
                write!(f, "damaged ({detail}); it was left untouched, restore a backup or name another database")
            }
            Self::Failed(detail) => write!(f, "{detail}; see the log of PostgreSQL"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Locked(path) => write!(
                f,
                "state file {}: another process is using it; stop that one, or give this one its own --state.path",
                shown(path)
            ),
            StoreError::Foreign(path) => write!(
                f,
                "state file {}: not a state file of blooio-exporter; it was left untouched, choose another --state.path",
                shown(path)
            ),
            StoreError::Version { path, found, expected } => write!(
                f,
                "state file {}: has schema version {found}, this program reads {expected}; \
                 it was left untouched, run the version that wrote it or choose another --state.path",
                shown(path)
            ),
            StoreError::Damaged { path, detail } => write!(
                f,
                "state file {}: damaged ({detail}); it was left untouched, restore a copy or move it away \
                 (counters then start at 0)",
                shown(path)
            ),
            StoreError::Io { path, detail } => {
                write!(f, "state file {}: {detail}; check the disk, its space and permissions", shown(path))
            }
            StoreError::Database { place, problem } => write!(f, "state database {place}: {problem}"),
            StoreError::Fenced { account } => write!(
                f,
                "account {account}: another replica holds its lease; nothing was written, and this replica competes for it again"
            ),
            StoreError::LostCommits { account } => write!(
                f,
                "account {account}: the state database lost commits that it had acknowledged, as after a failover; everything is \
                 committed again"
            ),
        }
    }
}

impl std::error::Error for StoreError {}
