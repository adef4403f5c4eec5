//! The configuration file: its shape, and errors that name the line.
//!
//! Every leaf is text with its place. Judging the text is left to the resolution in the parent module, so that a value
//! is treated alike whether it came from a flag or from the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use exporter_web::yaml;

use super::ConfigError;

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
    yaml::parse(path, text).map_err(ConfigError::new)
}
