//! Names of the operator's own: accounts, aliases of lines, and labels. Each becomes the value of a label.

use std::collections::BTreeMap;

use super::ConfigError;
use super::file::{AccountSection, Text};
use super::resolve::{MAX_CHAT_BYTES, Resolution};
use crate::privacy::{looks_like_a_number, quoted};

/// Longest name of an account or alias of a line, in characters.
const MAX_NAME_CHARS: usize = 64;
/// Most labels that an account or a line can be given.
const MAX_LABELS: usize = 16;
/// Labels that cannot be given: the page or Prometheus sets them.
const TAKEN_LABELS: [&str; 5] = ["account", "line", "job", "instance", "le"];

/// Whether Prometheus takes this for the name of a label. Those that begin with two underscores are its own.
pub(super) fn is_label_name(name: &str) -> bool {
    let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|b| is_first(b) || b.is_ascii_digit())
        && !name.starts_with("__")
}

impl Resolution<'_> {
    /// A name that will be the value of a label.
    pub(super) fn name(&self, text: &Text, key: &str) -> Result<String, ConfigError> {
        let name = &text.value;
        let chars = name.chars().count();
        if chars == 0 || chars > MAX_NAME_CHARS || name.chars().any(char::is_control) || name.trim() != name {
            return Err(ConfigError::new(format!(
                "{}: {}cannot be a label; use 1 to 64 characters, no control characters, no space at the ends",
                self.place(text, key),
                quoted(name)
            )));
        }
        Ok(name.clone())
    }

    /// The aliases of the file, with the account's own added or in place of those for the same number.
    pub(super) fn lines(
        &self,
        own: Option<&AccountSection>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let shared = self.file.lines.iter().flatten();
        let own = own.and_then(|own| own.lines.as_ref()).into_iter().flatten();
        let merged: BTreeMap<&str, &Text> =
            shared.chain(own).map(|(number, alias)| (number.trim(), alias)).collect();
        let mut lines = BTreeMap::new();
        for (number, alias) in merged {
            let name = self.name(alias, "lines")?;
            if number.is_empty() || number.len() > MAX_CHAT_BYTES || number.chars().any(char::is_control) {
                return Err(ConfigError::new(format!(
                    "{}: the alias {}stands for something that is not a line; write \"+13105550101\": sales",
                    self.place(alias, "lines"),
                    quoted(&name)
                )));
            }
            // One series must not be taken for another: neither for that of a number, nor for those that stand for none.
            if matches!(name.as_str(), "none" | "other" | "overflow")
                || name.starts_with("api:")
                || looks_like_a_number(&name)
            {
                return Err(ConfigError::new(format!(
                    "{}: the alias {}could be taken for another line; choose a name",
                    self.place(alias, "lines"),
                    quoted(&name)
                )));
            }
            if lines.values().any(|taken| *taken == name) {
                return Err(ConfigError::new(format!(
                    "{}: {}stands for two lines; give each its own alias",
                    self.place(alias, "lines"),
                    quoted(&name)
                )));
            }
            lines.insert(number.to_owned(), name);
        }
        Ok(lines)
    }

    /// The labels of an account: those of the file, with the account's own added or in place of those of the same name.
    pub(super) fn labels(
        &self,
        own: Option<&AccountSection>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut labels = BTreeMap::new();
        for words in [self.file.labels.as_ref(), own.and_then(|own| own.labels.as_ref())] {
            self.add_labels(&mut labels, words.into_iter().flatten(), "labels")?;
        }
        Ok(labels)
    }

    /// The same for each line.
    pub(super) fn line_labels(
        &self,
        own: Option<&AccountSection>,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, ConfigError> {
        let mut lines: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for section in [self.file.line_labels.as_ref(), own.and_then(|own| own.line_labels.as_ref())] {
            for (number, words) in section.into_iter().flatten() {
                let labels = lines.entry(number.trim().to_owned()).or_default();
                self.add_labels(labels, words, "line_labels")?;
            }
        }
        Ok(lines)
    }

    fn add_labels<'t>(
        &self,
        labels: &mut BTreeMap<String, String>,
        words: impl IntoIterator<Item = (&'t String, &'t Text)>,
        key: &str,
    ) -> Result<(), ConfigError> {
        for (name, value) in words {
            let refuse =
                |why| Err(ConfigError::new(format!("{}: {}{why}", self.place(value, key), quoted(name))));
            if !is_label_name(name) || name.len() > MAX_NAME_CHARS {
                return refuse("is not the name of a label; use letters, digits and _, such as team");
            }
            if TAKEN_LABELS.contains(&name.as_str()) {
                return refuse("is a label that the page or Prometheus sets itself; choose another name");
            }
            labels.insert(name.clone(), self.name(value, key)?);
            if labels.len() > MAX_LABELS {
                return refuse("is one label too many; keep 16");
            }
        }
        Ok(())
    }
}
