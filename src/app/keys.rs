//! The keys of all accounts, and where none may stand.

use super::{Failure, failure};
use crate::config::{Account, Settings};
use crate::privacy::{looks_like_a_key, looks_random};
use crate::secret::Secret;

/// Every account with its key as it is now.
///
/// # Errors
/// When a key cannot be read, or stands where everyone would see it.
pub(super) fn with_keys(settings: &Settings) -> Result<Vec<(Account, Secret)>, Failure> {
    let with_key = |account: &Account| Ok((account.clone(), account.key.load().map_err(failure)?));
    let accounts: Vec<(Account, Secret)> =
        settings.accounts.iter().map(with_key).collect::<Result<_, Failure>>()?;
    let state = settings.state_path.to_string_lossy();
    refuse_keys(settings.shown().chain([("--state.path", &*state)]), &accounts)?;
    if let Some((setting, _)) = settings.shown().find(|(_, text)| looks_random(text)) {
        return Err(Failure(format!(
            "{setting}: holds a long random value, which may be a key, and is shown in pages and logs; choose a name"
        )));
    }
    for (n, (account, key)) in accounts.iter().enumerate() {
        let same = |(other, its): &&(Account, Secret)| its == key && other.base_url == account.base_url;
        if let Some((other, _)) = accounts[..n].iter().find(same) {
            return Err(Failure(format!(
                "accounts {} and {} have the same key, so that every message would be counted twice; remove one of them",
                other.name, account.name
            )));
        }
    }
    Ok(accounts)
}

/// Rejects an API key among the texts of a web configuration that answers show.
pub(super) fn refuse_keys_in_answers(
    shown: &[String],
    accounts: &[(Account, Secret)],
) -> Result<(), Failure> {
    refuse_keys(shown.iter().map(|text| ("--web.config.file", text.as_str())), accounts)
}

/// Rejects an API key among the texts, each with the name of its setting, that pages, logs or answers show.
fn refuse_keys<'a>(
    mut shown: impl Iterator<Item = (&'static str, &'a str)>,
    accounts: &[(Account, Secret)],
) -> Result<(), Failure> {
    let is_key = |text| looks_like_a_key(text) || accounts.iter().any(|(_, key)| contains(text, key));
    match shown.find(|(_, text)| is_key(text)) {
        Some((setting, _)) => Err(Failure(format!(
            "{setting}: holds an API key, and is shown in pages and logs; choose another value"
        ))),
        None => Ok(()),
    }
}

/// Whether a text contains a key. One that is shorter than any real key may be a part of a word.
fn contains(text: &str, key: &Secret) -> bool {
    key.expose().len() >= 8 && text.contains(key.expose())
}
