//! Opens the state: a file of this process, or a database that replicas share.

use std::sync::Arc;

use super::{Failure, failure, random};
use crate::config::{Database, Settings};
use crate::files;
use crate::lease::Timing;
use crate::store::postgres::Options;
use crate::store::sqlite::StateFile;
use crate::store::{PostgresState, State};

/// A state that was opened, in a file or in a database.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) state: Arc<dyn State>,
    /// The same as a database that replicas share; `None` for a file.
    pub(super) shared: Option<PostgresState>,
}

/// How the database is reached.
pub(super) fn options(database: &Database) -> Options {
    let source = database.clone();
    Options {
        url: database.url.clone(),
        ca_file: database.ca_file.clone(),
        password: Arc::new(move || source.password().map_err(|error| error.to_string())),
        timing: Timing { ttl: database.lease_ttl },
    }
}

/// Opens the state, or creates it.
///
/// # Errors
/// What is wrong with the file or the database.
pub(super) fn open(settings: &Settings) -> Result<Opened, Failure> {
    let Some(database) = &settings.database else {
        let file = StateFile::open(&settings.state_path, random::key()?).map_err(failure)?;
        return Ok(Opened { state: Arc::new(file), shared: None });
    };
    let shared = PostgresState::open(options(database), random::key()?).map_err(failure)?;
    Ok(Opened { state: Arc::new(shared.clone()), shared: Some(shared) })
}

/// Checks what can be checked without the network and without changing anything. Returns whether an exporter with this state
/// may be running: for a file, whether another process has it in use; a database is not asked, so that one may.
///
/// # Errors
/// What [`open`] would fail with.
pub(super) fn check(settings: &Settings) -> Result<bool, Failure> {
    match &settings.database {
        Some(database) => {
            database.password().map_err(failure)?;
            PostgresState::check_settings(options(database)).map_err(failure)?;
            Ok(true)
        }
        None => {
            files::check_state(&settings.state_path, false).map_err(failure)?;
            let names: Vec<&str> = settings.accounts.iter().map(|account| account.name.as_str()).collect();
            StateFile::look_at(&settings.state_path, &names).map_err(failure)
        }
    }
}

/// Checks that a file of the state may be where it is to be.
///
/// # Errors
/// What is wrong with the place.
pub(super) fn check_place(settings: &Settings) -> Result<(), Failure> {
    match settings.database {
        Some(_) => Ok(()),
        None => files::check_state(&settings.state_path, true).map_err(failure),
    }
}
