//! Errors of SQLite and of the file system, as those of the store.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::StoreError;

/// What a file is damaged by, when it holds what no version wrote.
pub(super) const UNKNOWN_VALUES: &str = "unknown values";
/// What a file is damaged by, when it lacks what its version has.
pub(super) const MISSING_TABLES: &str = "a table or a column is missing";

pub(super) fn damaged(path: &Path, detail: &str) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), detail: detail.to_owned() }
}

pub(super) fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), detail: error.to_string() }
}

pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path.to_owned()),
        Some(ErrorCode::NotADatabase) => StoreError::Foreign(path.to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, "the database is malformed"),
        // Our statements are correct where the tables are.
        Some(ErrorCode::Unknown) => damaged(path, MISSING_TABLES),
        // A value is of another type or range than any that is written.
        None => damaged(path, UNKNOWN_VALUES),
        Some(_) => StoreError::Io { path: path.to_owned(), detail: error.to_string() },
    }
}
