//! From what was written to what is meant: precedence, parsing and checks, in one pass and without I/O.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{AccountSection, ConfigFile, Text};
use super::key::{CREDENTIAL_NAME, KeySource, key_from_text};
use super::sources::Recorder;
use super::{
    Account, Api, BaseUrl, CollectorSettings, ConfigError, Conversation, Flags, Log, Probe, Settings,
};
use crate::privacy::{quoted, shown};

/// Longest duration that is accepted anywhere: a year. It keeps every sum of instants and durations in range.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);
/// Shortest duration that is accepted where zero is not. Shorter ones ask for more than any budget allows.
const MIN_DURATION: Duration = Duration::from_millis(10);
/// Shortest time for one request.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// Fewest requests per second that can be asked for: one in 100 s.
const MIN_BUDGET: f64 = 0.01;
/// Most requests per second that can be asked for.
const MAX_BUDGET: f64 = 100.0;
/// Longest contact id, in bytes.
pub(super) const MAX_CHAT_BYTES: usize = 256;

/// A value, the text it was read from and where that text stands, so that later checks can name them.
pub(super) struct Found<T> {
    pub(super) place: String,
    pub(super) text: String,
    pub(super) is_default: bool,
    pub(super) value: T,
}

impl<T> Found<T> {
    pub(super) fn refuse(&self, why: impl fmt::Display) -> ConfigError {
        let whose = if self.is_default { "(the default) " } else { "" };
        ConfigError::new(format!("{}: {}{whose}{why}", self.place, quoted(&self.text)))
    }
}

/// What is being resolved. Settings are named as their flag without the dashes; the key in the file is the same with
/// `_` for `-`.
pub(super) struct Resolution<'a> {
    pub(super) flags: &'a Flags,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
    pub(super) path: &'a Path,
    pub(super) file: &'a ConfigFile,
    pub(super) recorder: Recorder,
}

impl Resolution<'_> {
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        let accounts = self.accounts()?;
        self.recorder.begin("");
        let web = self.web()?;
        let receiver = self.receiver(&web, &accounts)?;
        Ok(Settings {
            accounts,
            state_path: self.state_path()?,
            database: self.database()?,
            web,
            receiver,
            log: self.log()?,
            file_is_blank: false,
            sources: self.recorder.sources(),
        })
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.trim().is_empty())
    }

    /// `path:line: key`, the way an error names a place in the file.
    pub(super) fn place(&self, text: &Text, name: &str) -> String {
        format!("{}: {}", self.line(text.referenced.line()), name.replace('-', "_"))
    }

    pub(super) fn line(&self, line: u64) -> String {
        match line {
            0 => shown(self.path),
            line => format!("{}:{line}", shown(self.path)),
        }
    }

    /// A path from the file, seen from the directory the file is in.
    pub(super) fn beside_file(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The text of a setting and where it stands: flag, else the first of the file's candidates.
    pub(super) fn text(
        &self,
        name: &str,
        flag: Option<&String>,
        file: &[Option<&Text>],
    ) -> Option<Found<()>> {
        if let Some(text) = flag {
            self.is_from_flag(name);
            return Some(Found {
                place: format!("--{name}"),
                text: text.clone(),
                is_default: false,
                value: (),
            });
        }
        let text = file.iter().flatten().next()?;
        self.is_from_file(name, text);
        Some(Found { place: self.place(text, name), text: text.value.clone(), is_default: false, value: () })
    }

    fn duration(
        &self,
        name: &str,
        flag: Option<&String>,
        file: &[Option<&Text>],
        default: Duration,
    ) -> Result<Found<Duration>, ConfigError> {
        let Some(found) = self.text(name, flag, file) else {
            let text = humantime::format_duration(default).to_string();
            return Ok(Found { place: format!("--{name}"), text, is_default: true, value: default });
        };
        let unit = found.text.trim().trim_start_matches(|c: char| !c.is_alphabetic());
        if unit.starts_with('M') {
            return Err(found.refuse("has the unit of a month; write 1m for a minute, or 30days"));
        }
        let value = humantime::parse_duration(found.text.trim())
            .map_err(|_| found.refuse("is not a duration; write it as 30s or 1h 30m"))?;
        if value > MAX_DURATION {
            return Err(found.refuse("is longer than a year; shorten it"));
        }
        Ok(Found { place: found.place, text: found.text, is_default: false, value })
    }

    /// A duration of at least `least`.
    pub(super) fn positive(
        &self,
        name: &str,
        flag: Option<&String>,
        file: &[Option<&Text>],
        least: Duration,
        default: Duration,
    ) -> Result<Found<Duration>, ConfigError> {
        let found = self.duration(name, flag, file, default)?;
        if found.value.is_zero() {
            return Err(found.refuse("must be longer than zero"));
        }
        if found.value < least {
            let least = humantime::format_duration(least);
            return Err(found.refuse(format!("is shorter than {least}; lengthen it")));
        }
        Ok(found)
    }

    fn accounts(&self) -> Result<Vec<Account>, ConfigError> {
        let Some(listed) = &self.file.accounts else {
            return Ok(vec![self.account(None)?]);
        };
        let start = self.line(listed.referenced.line());
        if listed.value.is_empty() {
            return Err(ConfigError::new(format!(
                "{start}: accounts is empty; add an account, or remove the key and set BLOOIO_API_KEY"
            )));
        }
        let single = [
            (self.env("BLOOIO_API_KEY").is_some(), "BLOOIO_API_KEY"),
            (self.flags.api.api_key_file.is_some(), "--blooio.api-key-file"),
            (self.env("BLOOIO_API_KEY_FILE").is_some(), "BLOOIO_API_KEY_FILE"),
            (self.file.blooio.as_ref().is_some_and(|b| b.api_key_file.is_some()), "blooio.api_key_file"),
        ];
        if let Some((_, name)) = single.iter().find(|(given, _)| *given) {
            return Err(ConfigError::new(format!(
                "{name} is for a single account, but {start} lists accounts; remove {name} and give each account \
                 its api_key_file"
            )));
        }
        let mut accounts: Vec<Account> = Vec::new();
        for section in &listed.value {
            let account = self.account(Some(section))?;
            if accounts.iter().any(|other| other.name == account.name) {
                return Err(ConfigError::new(format!(
                    "{}: {}is the name of two accounts; give each its own",
                    self.place(&section.name, "accounts.name"),
                    quoted(&account.name)
                )));
            }
            accounts.push(account);
        }
        Ok(accounts)
    }

    fn account(&self, own: Option<&AccountSection>) -> Result<Account, ConfigError> {
        let name = match own {
            None => "default".to_owned(),
            Some(own) => self.name(&own.name, "accounts.name")?,
        };
        self.recorder.begin(&name);
        Ok(Account {
            base_url: self.base_url(own)?,
            key: self.key(own)?,
            collector: self.collector(own)?,
            conversation: self.conversation(own)?,
            probe: self.probe(own)?,
            api: self.api(own)?,
            webhook: self.webhook(own)?,
            lines: self.lines(own)?,
            labels: self.labels(own)?,
            line_labels: self.line_labels(own)?,
            name,
        })
    }

    fn base_url(&self, own: Option<&AccountSection>) -> Result<BaseUrl, ConfigError> {
        const NAME: &str = "blooio.base-url";
        let env = self.env("BLOOIO_BASE_URL");
        let own = own.and_then(|own| own.base_url.as_ref()).map(|text| (text, "accounts.base_url"));
        let shared = self.file.blooio.as_ref().and_then(|b| b.base_url.as_ref()).map(|text| (text, NAME));
        let (place, text) = if let Some(text) = &self.flags.api.base_url {
            self.is_from_flag(NAME);
            (format!("--{NAME}"), text)
        } else if let Some(text) = &env {
            self.is_from(NAME, "BLOOIO_BASE_URL");
            ("BLOOIO_BASE_URL".to_owned(), text)
        } else if let Some((text, name)) = own.or(shared) {
            self.is_from_file(NAME, text);
            (self.place(text, name), &text.value)
        } else {
            return Ok(BaseUrl::public());
        };
        text.trim().parse().map_err(|why| ConfigError::new(format!("{place}: {}{why}", quoted(text))))
    }

    fn key(&self, own: Option<&AccountSection>) -> Result<KeySource, ConfigError> {
        const NAME: &str = "blooio.api-key-file";
        let credentials = self.env("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let of_file = |path: PathBuf| KeySource::of_file(path, credentials.as_deref());
        if let Some(own) = own {
            let file = own.api_key_file.as_ref().ok_or_else(|| {
                ConfigError::new(format!(
                    "{}: account {}has no api_key_file; name the file that holds its API key",
                    self.line(own.name.referenced.line()),
                    quoted(&own.name.value)
                ))
            })?;
            self.is_from_file(NAME, file);
            return Ok(of_file(self.beside_file(&file.value)));
        }
        if let Some(path) = &self.flags.api.api_key_file {
            self.is_from_flag(NAME);
            return Ok(of_file(path.clone()));
        }
        match (self.env("BLOOIO_API_KEY"), self.env("BLOOIO_API_KEY_FILE")) {
            (Some(_), Some(_)) => {
                return Err(ConfigError::new(
                    "BLOOIO_API_KEY and BLOOIO_API_KEY_FILE are both set; keep one of them".to_owned(),
                ));
            }
            (Some(key), None) => {
                self.is_from(NAME, "BLOOIO_API_KEY");
                let key = zeroize::Zeroizing::new(key);
                return key_from_text(&key)
                    .map(KeySource::Environment)
                    .map_err(|why| ConfigError::new(format!("BLOOIO_API_KEY {why}")));
            }
            (None, Some(path)) => {
                self.is_from(NAME, "BLOOIO_API_KEY_FILE");
                return Ok(of_file(path.into()));
            }
            (None, None) => {}
        }
        if let Some(path) = self.file.blooio.as_ref().and_then(|b| b.api_key_file.as_ref()) {
            self.is_from_file(NAME, path);
            return Ok(of_file(self.beside_file(&path.value)));
        }
        match credentials {
            Some(directory) => {
                self.is_from(NAME, "CREDENTIALS_DIRECTORY");
                Ok(KeySource::Credential(directory.join(CREDENTIAL_NAME)))
            }
            None => Err(ConfigError::new(
                "no API key: set BLOOIO_API_KEY, or name a file that holds it with --blooio.api-key-file"
                    .to_owned(),
            )),
        }
    }

    fn collector(&self, own: Option<&AccountSection>) -> Result<CollectorSettings, ConfigError> {
        let flags = self.flags;
        let default = CollectorSettings::default();
        let own = own.and_then(|own| own.collector.as_ref());
        let shared = self.file.collector.as_ref();
        macro_rules! read {
            ($field:ident, $name:literal) => {
                read!($field, $name, flags)
            };
            ($field:ident, $name:literal, $flags:expr) => {{
                let file = [own.and_then(|c| c.$field.as_ref()), shared.and_then(|c| c.$field.as_ref())];
                self.positive($name, $flags.$field.as_ref(), &file, MIN_DURATION, default.$field)?
            }};
        }
        if let Some(window) = own.and_then(|own| own.window.as_ref()) {
            // `blooio_recent_window_seconds` has no account.
            return Err(ConfigError::new(format!(
                "{}: the window is one for all accounts; set it in the section collector beside accounts",
                self.place(window, "collector.window")
            )));
        }
        let interval = read!(interval, "collector.interval");
        let full_interval = read!(full_interval, "collector.full-interval");
        let window = read!(window, "collector.window");
        let lookback = read!(lookback, "collector.lookback");
        let retention = read!(retention, "collector.retention");
        let audit_interval = read!(audit_interval, "collector.audit-interval");
        let horizon = read!(horizon, "collector.horizon", flags.rules);

        Ok(CollectorSettings {
            interval: interval.value,
            full_interval: full_interval.value,
            window: window.value,
            lookback: lookback.value,
            retention: retention.value,
            audit_interval: audit_interval.value,
            horizon: horizon.value,
        })
    }

    fn conversation(&self, own: Option<&AccountSection>) -> Result<Conversation, ConfigError> {
        let own = own.and_then(|own| own.conversation.as_ref());
        let sections = [own, self.file.conversation.as_ref()];
        let turns = sections.map(|section| section.and_then(|section| section.turn.as_ref()));
        let default = Conversation::default().turn;
        let turn =
            self.duration("conversation.turn", self.flags.rules.conversation_turn.as_ref(), &turns, default)?;
        Ok(Conversation { turn: turn.value })
    }

    fn probe(&self, own: Option<&AccountSection>) -> Result<Probe, ConfigError> {
        let own = own.and_then(|own| own.probe.as_ref());
        let shared = self.file.probe.as_ref();
        let intervals = [own.and_then(|p| p.interval.as_ref()), shared.and_then(|p| p.interval.as_ref())];
        let interval = self.duration(
            "probe.interval",
            self.flags.probe_interval.as_ref(),
            &intervals,
            Probe::default().interval,
        )?;
        let chats = own.and_then(|p| p.chats.as_ref()).or(shared.and_then(|p| p.chats.as_ref()));
        let mut probe = Probe { interval: interval.value, chats: Vec::new() };
        for chat in chats.into_iter().flatten() {
            let id = chat.value.trim();
            let is_sound = !matches!(id, "" | "." | "..")
                && id.len() <= MAX_CHAT_BYTES
                && !id.chars().any(char::is_control);
            if !is_sound {
                // A contact is private: the line says where it is, not what it is.
                return Err(ConfigError::new(format!(
                    "{}: the entry on this line cannot be a chat; write a phone number, an e-mail address or a \
                     group id",
                    self.place(chat, "probe.chats")
                )));
            }
            if !probe.chats.iter().any(|known| known == id) {
                probe.chats.push(id.to_owned());
            }
        }
        Ok(probe)
    }

    fn api(&self, own: Option<&AccountSection>) -> Result<Api, ConfigError> {
        let default = Api::default();
        let own = own.and_then(|own| own.api.as_ref());
        let shared = self.file.api.as_ref();
        let budgets = [own.and_then(|a| a.budget.as_ref()), shared.and_then(|a| a.budget.as_ref())];
        let budget = match self.text("api.budget", self.flags.api_budget.as_ref(), &budgets) {
            None => default.budget,
            Some(found) => match found.text.trim().parse::<f64>() {
                Ok(budget) if (MIN_BUDGET..=MAX_BUDGET).contains(&budget) => budget,
                _ => {
                    return Err(found.refuse(
                        "is not a budget; write requests per second from 0.01 to 100, such as 2 or 0.5",
                    ));
                }
            },
        };
        let timeouts = [own.and_then(|a| a.timeout.as_ref()), shared.and_then(|a| a.timeout.as_ref())];
        let timeout = self.positive(
            "api.timeout",
            self.flags.api.api_timeout.as_ref(),
            &timeouts,
            MIN_TIMEOUT,
            default.timeout,
        )?;
        Ok(Api { budget, timeout: timeout.value })
    }

    fn state_path(&self) -> Result<PathBuf, ConfigError> {
        const NAME: &str = "state.path";
        let in_file = self.file.state.as_ref().and_then(|s| s.path.as_ref());
        let (place, path) = if let Some(path) = &self.flags.state_path {
            self.is_from_flag(NAME);
            (format!("--{NAME}"), path.clone())
        } else if let Some(path) = self.env("BLOOIO_EXPORTER_STATE") {
            self.is_from(NAME, "BLOOIO_EXPORTER_STATE");
            ("BLOOIO_EXPORTER_STATE".to_owned(), path.into())
        } else if let Some(path) = in_file {
            self.is_from_file(NAME, path);
            (self.place(path, NAME), self.beside_file(&path.value))
        } else {
            return Ok(PathBuf::from("blooio-exporter.db"));
        };
        // To the database these are not names of files.
        let name = path.to_string_lossy();
        if name.is_empty() || name.ends_with(":memory:") || name.starts_with("file:") || name.ends_with('/') {
            return Err(ConfigError::new(format!(
                "{place}: names no file; the state has to survive a restart, so write the path of a file"
            )));
        }
        Ok(path)
    }

    fn log(&self) -> Result<Log, ConfigError> {
        let section = self.file.log.as_ref();
        let level = self.choice("log.level", self.flags.log.level, section.and_then(|l| l.level.as_ref()))?;
        let format =
            self.choice("log.format", self.flags.log.format, section.and_then(|l| l.format.as_ref()))?;
        Ok(Log { level, format })
    }

    fn choice<T: clap::ValueEnum + Default>(
        &self,
        name: &str,
        flag: Option<T>,
        file: Option<&Text>,
    ) -> Result<T, ConfigError> {
        if let Some(flag) = flag {
            self.is_from_flag(name);
            return Ok(flag);
        }
        let Some(found) = self.text(name, None, &[file]) else {
            return Ok(T::default());
        };
        T::from_str(&found.text, false).map_err(|_| {
            let choices = T::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
            let choices: Vec<_> = choices.map(|choice| choice.get_name().to_owned()).collect();
            found.refuse(format!("is not one of {}", choices.join(", ")))
        })
    }
}
