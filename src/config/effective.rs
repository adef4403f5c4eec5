//! The settings that apply, as `--config.check` lists them: one setting per line, under the name of its flag, with
//! where it comes from. Keys, passwords
//! and phone numbers are left out; files that hold them are named.

use std::fmt::{self, Display, Write as _};
use std::path::Path;
use std::time::Duration;

use super::sources::Sources;
use super::{Account, KeySource, Settings};
use crate::privacy::shown;

/// Width of the column of names.
const WIDTH: usize = 26;
/// Width of the column of values; longer ones push their source to the right.
const VALUE_WIDTH: usize = 30;

/// The lines of the list so far.
struct List<'a> {
    text: String,
    sources: &'a Sources,
    /// The account whose settings are listed; empty for those of the exporter.
    account: &'a str,
}

impl<'a> List<'a> {
    fn begin(&mut self, title: &str, account: &'a str) {
        self.account = account;
        let _ = writeln!(self.text, "{title}");
    }

    /// Adds a setting under the name of its flag.
    fn add(&mut self, name: &str, value: impl Display) {
        self.add_as(name, name, value);
    }

    /// Adds a setting whose line has another title than the name of its flag.
    fn add_as(&mut self, title: &str, name: &str, value: impl Display) {
        let (value, source) = (value.to_string(), self.sources.of(self.account, name));
        let _ = writeln!(self.text, "  {title:WIDTH$} {value:VALUE_WIDTH$} {source}");
    }

    /// Adds a setting that nothing but the configuration file can have.
    fn add_of_file(&mut self, name: &str, value: impl Display) {
        let value = value.to_string();
        let _ = writeln!(self.text, "  {name:WIDTH$} {value:VALUE_WIDTH$} the configuration file");
    }

    fn add_path(&mut self, name: &str, path: Option<&Path>) {
        if let Some(path) = path {
            self.add(name, shown(path));
        }
    }

    fn add_duration(&mut self, name: &str, duration: Duration) {
        self.add(name, humantime::format_duration(duration));
    }
}

impl Settings {
    /// Every setting with the value that applies and where it comes from: a list of lines, each with a line end. Without keys, passwords and contacts.
    pub fn effective(&self) -> String {
        let mut list = List { text: String::new(), sources: &self.sources, account: "" };
        for account in &self.accounts {
            list.begin(&format!("account {}", account.name), &account.name);
            account.list(&mut list);
        }
        list.begin("exporter", "");
        match &self.database {
            None => list.add("state.path", shown(&self.state_path)),
            Some(database) => {
                // Options of the connection may hold a password of something else.
                let url = database.url.split('?').next().unwrap_or_default();
                list.add("state.url", url);
                let password = database.password.as_ref().map_or("none".to_owned(), KeySource::to_string);
                list.add_as("state password", "state.password-file", password);
                list.add_path("state.ca-file", database.ca_file.as_deref());
                list.add_duration("state.lease-ttl", database.lease_ttl);
            }
        }
        let joined = |addresses: &[std::net::SocketAddr]| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        list.add("web.listen-address", joined(&self.web.listen));
        list.add("web.telemetry-path", &self.web.telemetry_path);
        list.add_path("web.config.file", self.web.config_file.as_deref());
        list.add("web.enable-lifecycle", self.web.enable_lifecycle);
        if !self.web.allowed_hosts.is_empty() {
            list.add("web.allowed-host", self.web.allowed_hosts.join(", "));
        }
        if let Some(receiver) = &self.receiver {
            list.add("webhook.listen-address", joined(&receiver.listen));
            let prefix = if receiver.path_prefix.is_empty() { "/" } else { &receiver.path_prefix };
            list.add("webhook.path-prefix", prefix);
            list.add_path("webhook.config.file", receiver.config_file.as_deref());
        }
        list.add("log.level", format!("{:?}", self.log.level).to_lowercase());
        list.add("log.format", format!("{:?}", self.log.format).to_lowercase());
        list.text
    }
}

impl Account {
    fn list(&self, list: &mut List<'_>) {
        list.add("blooio.base-url", &self.base_url);
        list.add_as("API key", "blooio.api-key-file", &self.key);
        for (name, duration) in [
            ("collector.interval", self.collector.interval),
            ("collector.full-interval", self.collector.full_interval),
            ("collector.window", self.collector.window),
            ("collector.lookback", self.collector.lookback),
            ("collector.retention", self.collector.retention),
            ("collector.audit-interval", self.collector.audit_interval),
            ("collector.horizon", self.collector.horizon),
            ("conversation.turn", self.conversation.turn),
            ("probe.interval", self.probe.interval),
        ] {
            list.add_duration(name, duration);
        }
        list.add("api.budget", format!("{} requests/s", self.api.budget));
        list.add_duration("api.timeout", self.api.timeout);
        if !self.lines.is_empty() {
            list.add_of_file("lines", self.lines.values().cloned().collect::<Vec<_>>().join(", "));
        }
        if !self.probe.chats.is_empty() {
            list.add_of_file("probe.chats", format!("{} (private)", self.probe.chats.len()));
        }
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
            list.add_of_file("labels", labels.collect::<Vec<_>>().join(", "));
        }
        if !self.line_labels.is_empty() {
            list.add_of_file("line_labels", format!("of {} lines", self.line_labels.len()));
        }
        if let Some(webhook) = &self.webhook {
            list.add_as("webhook token", "webhook.token-file", &webhook.token);
            let secrets = webhook.secrets.iter().map(ToString::to_string);
            list.add_as("webhook secrets", "webhook.secret-file", secrets.collect::<Vec<_>>().join(", "));
        }
    }
}

/// Where a secret comes from, never the secret.
impl Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(_) => f.write_str("from the environment"),
            Self::File(path) => write!(f, "from {}", shown(path)),
            Self::Credential(path) => write!(f, "from the credential {}", shown(path)),
        }
    }
}
