//! The settings that apply, as `--config.check` lists them: one setting per line, under the name of its flag. Keys, passwords
//! and phone numbers are left out; files that hold them are named.

use std::fmt::{self, Display, Write as _};
use std::path::Path;
use std::time::Duration;

use super::{Account, KeySource, Settings};
use crate::privacy::shown;

/// Width of the column of names.
const WIDTH: usize = 26;

/// The lines of the list so far.
struct List(String);

impl List {
    fn add(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.0, "  {name:WIDTH$} {value}");
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
    /// Every setting with the value that applies: a list of lines, each with a line end. Without keys, passwords and contacts.
    pub fn effective(&self) -> String {
        let mut list = List(String::new());
        for account in &self.accounts {
            let _ = writeln!(list.0, "account {}", account.name);
            account.list(&mut list);
        }
        let _ = writeln!(list.0, "exporter");
        match &self.database {
            None => list.add("state.path", shown(&self.state_path)),
            Some(database) => {
                // Options of the connection may hold a password of something else.
                let url = database.url.split('?').next().unwrap_or_default();
                list.add("state.url", url);
                let password = database.password.as_ref().map_or("none".to_owned(), KeySource::to_string);
                list.add("state password", password);
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
        list.0
    }
}

impl Account {
    fn list(&self, list: &mut List) {
        list.add("blooio.base-url", &self.base_url);
        list.add("API key", &self.key);
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
            list.add("lines", self.lines.values().cloned().collect::<Vec<_>>().join(", "));
        }
        if !self.probe.chats.is_empty() {
            list.add("probe.chats", format!("{} (private)", self.probe.chats.len()));
        }
        if !self.labels.is_empty() {
            let labels = self.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
            list.add("labels", labels.collect::<Vec<_>>().join(", "));
        }
        if !self.line_labels.is_empty() {
            list.add("line_labels", format!("of {} lines", self.line_labels.len()));
        }
        if let Some(webhook) = &self.webhook {
            list.add("webhook token", &webhook.token);
            let secrets = webhook.secrets.iter().map(ToString::to_string);
            list.add("webhook secrets", secrets.collect::<Vec<_>>().join(", "));
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
