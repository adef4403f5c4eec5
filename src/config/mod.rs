//! What the exporter is told: the command line, the environment and the configuration file, resolved into one struct
//! per concern.
//!
//! Precedence is flag, environment, configuration file, default. That holds for an account's own overrides too: a flag
//! beats them. [`Settings::resolve`] is pure; only [`Settings::load`] and [`KeySource::load`] touch the world.
//!
//! Relative paths written in the configuration file are relative to the directory of that file; those given by flag or
//! environment are relative to the working directory.
//!
//! What does not belong here: opening the store, binding addresses, anything that needs the network.

mod backfill;
mod base_url;
mod cli;
mod effective;
mod file;
mod given;
mod key;
mod listen;
mod names;
mod resolve;
mod sources;
mod state;
mod usage;
mod web;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use backfill::{BackfillArgs, Moment};
pub use base_url::BaseUrl;
pub use cli::{
    ApiFlags, Cli, Command, DemoArgs, Flags, HealthcheckArgs, InspectArgs, LogFlags, PlanArgs, RuleFlags,
    SimulateArgs,
};
use file::ConfigFile;
pub use key::KeySource;
use resolve::Resolution;
use sources::Recorder;
pub use sources::Sources;
pub use state::{CopyArgs, Database, StateArgs, StateCommand, StateFlags, StatePlace};
pub use webhook::{Receiver, Webhook, WebhookFlags};

use crate::files::{self, ReadError};

/// Why the exporter cannot start as it was told: one line that names the setting, what was given and what to change.
/// It never contains a key or a contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(line: String) -> Self {
        Self(line)
    }
}

/// The settings of `serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The accounts to watch, at least one, with distinct names. Without `accounts` in the configuration file there is
    /// exactly one, called `default`.
    pub accounts: Vec<Account>,
    /// `--state.path`: file of the embedded store. Default `blooio-exporter.db` in the working directory.
    pub state_path: PathBuf,
    /// `--state.url`: the database that replicas share the accounts through, in place of the file. Default none.
    pub database: Option<Database>,
    /// Settings of the metrics page and of all other pages.
    pub web: Web,
    /// Where webhooks are received; `None` while the receiver is off.
    pub receiver: Option<Receiver>,
    /// Level and format of the log.
    pub log: Log,
    /// Whether the configuration file that was named says nothing.
    pub file_is_blank: bool,
    /// Where each setting comes from.
    pub sources: Sources,
}

/// One Blooio account and how it is watched. Debug shows neither key nor phone numbers.
#[derive(Clone, PartialEq)]
pub struct Account {
    /// `accounts[].name`: value of the label `account`; 1 to 64 characters, none of them a control character.
    /// Default `default`.
    pub name: String,
    /// `--blooio.base-url`: where its API answers. Default [`BaseUrl::public`].
    pub base_url: BaseUrl,
    /// `BLOOIO_API_KEY` or `--blooio.api-key-file`: where its key is. There is no default; without one nothing starts.
    pub key: KeySource,
    /// When it is read.
    pub collector: CollectorSettings,
    /// How conversations are told.
    pub conversation: Conversation,
    /// How its lines' devices are probed.
    pub probe: Probe,
    /// How its API is called.
    pub api: Api,
    /// `webhook`: what its webhooks are recognised by. Default none: none are received for it.
    pub webhook: Option<Webhook>,
    /// `lines`: aliases by line number, to be shown in place of the number. Default none: lines go by their numbers.
    /// No alias stands for two numbers.
    pub lines: BTreeMap<String, String>,
    /// `labels`: labels of `blooio_account_info` beside `account`. Default none.
    pub labels: BTreeMap<String, String>,
    /// `line_labels`: labels of `blooio_line_info` beside `account` and `line`, by line number. Default none.
    pub line_labels: BTreeMap<String, BTreeMap<String, String>>,
}

impl Account {
    fn warnings(&self) -> Vec<String> {
        let CollectorSettings {
            interval,
            full_interval,
            window,
            lookback,
            retention,
            audit_interval,
            horizon,
        } = self.collector;
        let long = |duration: Duration| humantime::format_duration(duration);
        [
            (full_interval < interval, "collector.full-interval", full_interval, "is shorter than collector.interval: chats are listed in full more often than new messages are looked for"),
            (window > retention, "collector.window", window, "is longer than collector.retention: the recent gauges lack the oldest messages"),
            (lookback > retention, "collector.lookback", lookback, "is longer than collector.retention: what is read again is not counted"),
            (audit_interval > retention, "collector.audit-interval", audit_interval, "is longer than collector.retention: messages that appear late can be missed"),
            (horizon > retention, "collector.horizon", horizon, "is longer than collector.retention: messages are awaited for longer than they are kept"),
            (horizon < Duration::from_secs(600), "collector.horizon", horizon, "is shorter than 10m: messages are counted as unconfirmed before their receipts can arrive"),
        ]
        .into_iter()
        .filter(|(holds, ..)| *holds)
        .map(|(_, setting, value, why)| format!("account {}: {setting} {} {why}", self.name, long(value)))
        .chain(self.base_url.is_bare().then(|| self.bare_url()))
        .chain(self.unmatched())
        .collect()
    }

    /// A proxy may add the path; without one, every request is answered with 404.
    fn bare_url(&self) -> String {
        format!(
            "account {}: blooio.base-url {} has no path, and that of Blooio's API is /v2/api; write {}/v2/api, unless a \
             proxy adds it",
            self.name, self.base_url, self.base_url
        )
    }

    /// Names of lines and chats that the API does not write like this, so that they match nothing.
    fn unmatched(&self) -> Vec<String> {
        let is_number = |text: &str| {
            let digits = text.strip_prefix('+').unwrap_or_default();
            (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        };
        let is_chat = |text: &str| is_number(text) || text.contains('@') || text.starts_with("grp_");
        // The numbers themselves are private.
        let lines = self.lines.iter().filter(|(number, _)| !is_number(number)).map(|(_, alias)| {
            format!(
                "account {}: lines: the number of the alias {alias} is not written like +13105550101, so it matches no line",
                self.name
            )
        });
        let chats = self.probe.chats.iter().enumerate().filter(|(_, chat)| !is_chat(chat)).map(|(n, _)| {
            format!(
                "account {}: probe.chats: entry {} is no number like +13105550101, no e-mail address and no group id, so it matches no chat",
                self.name,
                n + 1
            )
        });
        lines.chain(chats).collect()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("base_url", &self.base_url)
            .field("key", &self.key)
            .field("collector", &self.collector)
            .field("conversation", &self.conversation)
            .field("probe", &self.probe)
            .field("api", &self.api)
            .field("webhook", &self.webhook)
            .field("lines", &self.lines.values().collect::<Vec<_>>())
            .field("labels", &self.labels)
            .field("line_labels", &self.line_labels.values().collect::<Vec<_>>())
            .finish()
    }
}

/// When and how far back an account is read. All durations are above zero and at most a year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorSettings {
    /// `--collector.interval`: between the starts of two sweeps. Default 30 s.
    pub interval: Duration,
    /// `--collector.full-interval`: between two full listings. Default 10 min.
    pub full_interval: Duration,
    /// `--collector.window`: trailing window of the `recent` gauges. Default 1 h.
    pub window: Duration,
    /// `--collector.lookback`: how far a normal read of a chat reaches behind its cursor.
    /// Default 10 min.
    pub lookback: Duration,
    /// `--collector.retention`: how late a message may appear and still be counted. Default 7 days.
    pub retention: Duration,
    /// `--collector.audit-interval`: between two deep reads of an active chat. Default 24 h.
    pub audit_interval: Duration,
    /// `--collector.horizon`: age at which an open message is given up as unconfirmed. Default 72 h.
    pub horizon: Duration,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            interval: Duration::from_secs(30),
            full_interval: Duration::from_secs(10 * MINUTE),
            window: Duration::from_secs(HOUR),
            lookback: Duration::from_secs(10 * MINUTE),
            retention: Duration::from_secs(7 * 24 * HOUR),
            audit_interval: Duration::from_secs(24 * HOUR),
            horizon: Duration::from_secs(72 * HOUR),
        }
    }
}

/// How conversations are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `--conversation.turn`: messages of ours that follow each other within this share a turn; zero: each is a turn of
    /// its own. Default 60 s.
    pub turn: Duration,
}

impl Default for Conversation {
    fn default() -> Self {
        Self { turn: Duration::from_secs(60) }
    }
}

/// Device probes. Debug shows how many chats there are, not which.
#[derive(Clone, PartialEq, Eq)]
pub struct Probe {
    /// `--probe.interval`: between two probes of a line; zero switches probes off. Default 5 min.
    pub interval: Duration,
    /// `probe.chats`: contact ids to probe with. Private: they must reach neither log nor metrics. Default none: the
    /// most recent chat of each line.
    pub chats: Vec<String>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { interval: Duration::from_secs(300), chats: Vec::new() }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("interval", &self.interval).field("chats", &self.chats.len()).finish()
    }
}

/// How an account's API is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// `--api.budget`: requests per second over all endpoints; above 0, at most 100. Default 2.
    pub budget: f64,
    /// `--api.timeout`: one request, until its body is read; above zero. Default 30 s.
    pub timeout: Duration,
}

impl Default for Api {
    fn default() -> Self {
        Self { budget: 2.0, timeout: Duration::from_secs(30) }
    }
}

/// Settings of the web interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// `--web.listen-address`: where to listen; at least one. Default `127.0.0.1:12566`.
    pub listen: Vec<SocketAddr>,
    /// `--web.telemetry-path`: path of the metrics page; begins with `/` and is no other page's. Default `/metrics`.
    pub telemetry_path: String,
    /// `--web.config.file`: TLS and basic auth. Default none: plain http, open to everyone who reaches the address.
    pub config_file: Option<PathBuf>,
    /// `--web.enable-lifecycle`: whether `POST /-/reload` is answered. Default no.
    pub enable_lifecycle: bool,
    /// `--web.allowed-host`: host names that listeners on loopback addresses answer to, beside addresses and `localhost`.
    pub allowed_hosts: Vec<String>,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 12566))],
            telemetry_path: "/metrics".to_owned(),
            config_file: None,
            enable_lifecycle: false,
            allowed_hosts: Vec::new(),
        }
    }
}

/// Level and format of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Log {
    /// `--log.level`: least severe level that is logged. Default `info`.
    pub level: LogLevel,
    /// `--log.format`: form of a line. Default `logfmt`.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// Every step, for finding out why something happens.
    Debug,
    /// Events that an operator acts on or looks for later.
    #[default]
    Info,
    /// What needs a look.
    Warn,
    /// Failures alone, of this process or of the API.
    Error,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// logfmt: `key=value` pairs on one line.
    #[default]
    Logfmt,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Reads environment and configuration file and resolves them together with the flags.
    ///
    /// # Errors
    /// What [`Settings::resolve`] rejects, and a configuration file that cannot be read, is larger than 1 MiB or is not
    /// UTF-8.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        // A variable that is not UTF-8 must not pass for one that is absent; the mark makes its value invalid instead.
        let env = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        match flags.config_path(&env) {
            None => Self::resolve(flags, &env, None),
            Some(path) => {
                let text = read_config(&path)?;
                Self::resolve(flags, &env, Some((&path, &text)))
            }
        }
    }

    /// Settings that can be used and seldom make sense: one sentence each, with what follows from them.
    pub fn warnings(&self) -> Vec<String> {
        self.accounts.iter().flat_map(Account::warnings).collect()
    }

    /// The texts of the settings that pages and logs show, each with the name of its setting.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let of_accounts = self.accounts.iter().flat_map(|account| {
            let aliases = account.lines.values().map(|alias| ("lines", alias.as_str()));
            let of_lines = account.line_labels.values().flatten();
            let labels = account.labels.iter().chain(of_lines);
            let labels =
                labels.flat_map(|(name, value)| [("labels", name.as_str()), ("labels", value.as_str())]);
            [("accounts.name", account.name.as_str()), ("blooio.base-url", account.base_url.as_str())]
                .into_iter()
                .chain(aliases)
                .chain(labels)
        });
        let hosts = self.web.allowed_hosts.iter().map(|name| ("--web.allowed-host", name.as_str()));
        of_accounts.chain(hosts).chain([("--web.telemetry-path", self.web.telemetry_path.as_str())])
    }

    /// Resolves flags, environment and configuration file (its path and text) into settings. Pure: `env` looks a
    /// variable up, and no file is opened; an empty variable counts as absent.
    ///
    /// # Errors
    /// One line for the first thing found that is malformed, contradictory or missing.
    pub fn resolve(
        flags: &Flags,
        env: &dyn Fn(&str) -> Option<String>,
        file: Option<(&Path, &str)>,
    ) -> Result<Self, ConfigError> {
        let parsed = match file {
            Some((path, text)) => file::parse(path, text)?,
            None => ConfigFile::default(),
        };
        let (path, text) = file.unwrap_or((Path::new(""), "-"));
        let settings =
            Resolution { flags, env, path, file: &parsed, recorder: Recorder::default() }.settings()?;
        Ok(Settings { file_is_blank: file::is_blank(text), ..settings })
    }
}

fn read_config(path: &Path) -> Result<String, ConfigError> {
    let refuse =
        |why: &str| ConfigError::new(format!("--config.file: {} {why}", crate::privacy::shown(path)));
    let (bytes, _) = files::read_bounded(path, files::MAX_CONFIG_BYTES).map_err(|error| match error {
        ReadError::Io(error) => refuse(&format!("cannot be read: {error}")),
        ReadError::NotRegular => refuse("is not a regular file; is it the right one?"),
        ReadError::TooLarge => refuse("is larger than 1 MiB; is it the right file?"),
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| refuse("is not UTF-8 text; is it the right file?"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
