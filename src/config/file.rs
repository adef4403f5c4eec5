//! The configuration file: its shape, and errors that name the line.
//!
//! Every leaf is text with its place. Judging the text is left to the resolution in the parent module, so that a value
//! is treated alike whether it came from a flag or from the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, Location, Spanned};

use super::ConfigError;
use crate::privacy::{key_shown, may_be_private, shown};

/// A value and the line it stands on.
pub(super) type Text = Spanned<String>;

/// A list of values, or one that stands alone.
#[derive(Debug)]
pub(super) struct Texts(pub(super) Vec<Text>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore)
    }
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut listed: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = listed.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }

    /// Where it stands is not known here.
    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(vec![Spanned::new(text.to_owned(), Location::UNKNOWN, Location::UNKNOWN)]))
    }
}

/// Values by the names of labels.
pub(super) type Words = BTreeMap<String, Text>;

/// The whole file. A section that is missing or empty says nothing, and the defaults apply.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    pub(super) blooio: Option<BlooioSection>,
    pub(super) collector: Option<CollectorSection>,
    pub(super) conversation: Option<ConversationSection>,
    pub(super) probe: Option<ProbeSection>,
    pub(super) api: Option<ApiSection>,
    pub(super) state: Option<StateSection>,
    pub(super) web: Option<WebSection>,
    pub(super) webhook: Option<WebhookSection>,
    pub(super) log: Option<LogSection>,
    pub(super) lines: Option<BTreeMap<String, Text>>,
    pub(super) labels: Option<Words>,
    pub(super) line_labels: Option<BTreeMap<String, Words>>,
    pub(super) accounts: Option<Spanned<Vec<AccountSection>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BlooioSection {
    pub(super) base_url: Option<Text>,
    pub(super) api_key_file: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CollectorSection {
    pub(super) interval: Option<Text>,
    pub(super) full_interval: Option<Text>,
    pub(super) window: Option<Text>,
    pub(super) lookback: Option<Text>,
    pub(super) retention: Option<Text>,
    pub(super) audit_interval: Option<Text>,
    pub(super) horizon: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConversationSection {
    pub(super) turn: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProbeSection {
    pub(super) interval: Option<Text>,
    pub(super) chats: Option<Vec<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiSection {
    pub(super) budget: Option<Text>,
    pub(super) timeout: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StateSection {
    pub(super) path: Option<Text>,
    pub(super) url: Option<Text>,
    pub(super) password_file: Option<Text>,
    pub(super) ca_file: Option<Text>,
    pub(super) lease_ttl: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebSection {
    pub(super) listen_address: Option<Texts>,
    pub(super) telemetry_path: Option<Text>,
    pub(super) config_file: Option<Text>,
    pub(super) enable_lifecycle: Option<Text>,
    pub(super) allowed_host: Option<Texts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebhookSection {
    pub(super) listen_address: Option<Texts>,
    pub(super) path_prefix: Option<Text>,
    pub(super) config_file: Option<Text>,
    pub(super) token_file: Option<Text>,
    pub(super) secret_files: Option<Texts>,
}

/// The webhook of one of several accounts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountWebhookSection {
    pub(super) token_file: Option<Text>,
    pub(super) secret_files: Option<Texts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogSection {
    pub(super) level: Option<Text>,
    pub(super) format: Option<Text>,
}

/// One account. What it leaves out, it takes from the sections beside `accounts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountSection {
    pub(super) name: Text,
    pub(super) api_key_file: Option<Text>,
    pub(super) base_url: Option<Text>,
    pub(super) collector: Option<CollectorSection>,
    pub(super) conversation: Option<ConversationSection>,
    pub(super) probe: Option<ProbeSection>,
    pub(super) api: Option<ApiSection>,
    pub(super) webhook: Option<AccountWebhookSection>,
    pub(super) lines: Option<BTreeMap<String, Text>>,
    pub(super) labels: Option<Words>,
    pub(super) line_labels: Option<BTreeMap<String, Words>>,
}

/// Whether a file says nothing.
pub(super) fn is_blank(text: &str) -> bool {
    text.lines().all(|line| matches!(line.trim().chars().next(), None | Some('#')))
}

/// Reads the file's text. `path` is only for the error, which is one line: path, line number, what is wrong.
pub(super) fn parse(path: &Path, text: &str) -> Result<ConfigFile, ConfigError> {
    // A file of comments is what a commented-out example looks like; it means the defaults.
    if is_blank(text) {
        return Ok(ConfigFile::default());
    }
    serde_saphyr::from_str(text).map_err(|error| refusal(path, &error))
}

fn refusal(path: &Path, error: &Error) -> ConfigError {
    let error = error.without_snippet();
    let line = error.location().map(|place| format!("{}:", place.line())).unwrap_or_default();
    let what = match error {
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
            _ => SHAPE.to_owned(),
        },
        // The parser's own words may quote a value.
        _ => SHAPE.to_owned(),
    };
    ConfigError::new(format!("{}:{line} {what}", shown(path)))
}

/// What is said where nothing better is known.
const SHAPE: &str = "this is not what the configuration has here; check indentation, lists and quotes";

/// Whether a key can only be the name of a setting.
fn is_a_name(key: &str) -> bool {
    key.len() <= 20 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !may_be_private(key)
}
