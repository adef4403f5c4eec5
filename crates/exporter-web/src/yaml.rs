//! Configuration files in YAML, with errors of one line that repeat no value: a key may stand in any of them.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::Error;

use crate::privacy::{key_shown, may_be_private, shown};

/// Reads the text of a file.
///
/// # Errors
/// The path, the line, and what to change.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map(|place| format!("{}:", place.line())).unwrap_or_default();
        format!("{}:{line} {}", shown(path), reason(error))
    })
}

fn reason(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let mut known = expected.clone();
            known.sort_unstable();
            format!("unknown key{}; known here: {}", key_shown(field, &known), known.join(", "))
        }
        Error::DuplicateMappingKey { key: Some(key), .. } if is_a_name(key) => {
            format!("the key `{key}` is given twice; keep one")
        }
        // In a section of names it may be a phone number.
        Error::DuplicateMappingKey { .. } => "a key is given twice; keep one".to_owned(),
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing; add it"),
        Error::MultipleDocuments { .. } => {
            "the file has a second document; remove everything from its `---`".to_owned()
        }
        Error::Unexpected { expected, .. } => match *expected {
            "sequence start" => "a list is expected here, such as [a, b]".to_owned(),
            "mapping start" => "keys are expected here, such as {key: value}".to_owned(),
            "string scalar" => "one value is expected here, and no list or section".to_owned(),
            _ => MISPLACED.to_owned(),
        },
        // The parser's own words may quote a value.
        _ => MISPLACED.to_owned(),
    }
}

/// For what has no reason of its own.
const MISPLACED: &str = "this is not valid here; check indentation, lists and quotes";

/// Whether a key can only be the name of a setting.
fn is_a_name(key: &str) -> bool {
    key.len() <= 20 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !may_be_private(key)
}
