//! The webhook receiver: where it listens, and what the webhooks of an account are recognised by.
//!
//! Tokens and secrets are read from files only, under the rules for key files: never from a flag, the environment or the
//! configuration file itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::file::AccountSection;
use super::key::{KeySource, key_from_text};
use super::listen::overlaps;
use super::resolve::Resolution;
use super::{Account, ConfigError, Web};
use crate::paths;
use crate::privacy::{looks_like_a_key, quoted};
use crate::secret::Secret;

/// Where webhooks are received without `--webhook.path-prefix`.
const PREFIX: &str = "/webhooks";
/// Secrets of one account at a time: the current one, and while it is rotated the next.
const MAX_SECRETS: usize = 2;
/// Shortest and longest token, in characters. Sixteen random ones cannot be guessed.
const TOKEN_LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

/// The flags of the webhook receiver.
#[derive(Debug, Default, Clone, Args)]
pub struct WebhookFlags {
    /// Address on which Blooio's webhooks are received, repeatable; none: the receiver is off
    #[arg(id = "webhook_listen", long = "webhook.listen-address", value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Path below which webhooks are received; the account's token follows it [default: /webhooks]
    #[arg(id = "webhook_path_prefix", long = "webhook.path-prefix", value_name = "PATH")]
    pub path_prefix: Option<String>,
    /// TLS of the receiver, in the exporter-toolkit's file format
    #[arg(id = "webhook_config_file", long = "webhook.config.file", value_name = "PATH")]
    pub config_file: Option<PathBuf>,
    /// File that holds the random token that ends the path of the receiver
    #[arg(id = "webhook_token_file", long = "webhook.token-file", value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// File that holds the signing secret of the webhook; given twice while a secret is rotated
    #[arg(id = "webhook_secret_files", long = "webhook.secret-file", value_name = "PATH")]
    pub secret_files: Vec<PathBuf>,
}

/// Where webhooks are received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// `--webhook.listen-address`: where to listen, at least one address, none of them one of the metrics page.
    pub listen: Vec<SocketAddr>,
    /// `--webhook.path-prefix`: what is in front of `/<token>`; empty or begins with `/`. Default `/webhooks`.
    pub path_prefix: String,
    /// `--webhook.config.file`: TLS. Default none: plain http, for a proxy in front.
    pub config_file: Option<PathBuf>,
}

/// What the webhooks of an account are recognised by. Debug shows files, never what they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `--webhook.token-file`: the end of the path to which Blooio sends.
    pub(super) token: KeySource,
    /// `--webhook.secret-file`: what deliveries are signed with; one or two.
    pub(super) secrets: Vec<KeySource>,
}

impl Webhook {
    /// What is recognised by a token and a secret in these files.
    pub fn of_files(token: PathBuf, secret: PathBuf) -> Self {
        Self { token: KeySource::File(token), secrets: vec![KeySource::File(secret)] }
    }

    /// The token as it is now.
    ///
    /// # Errors
    /// One line that names the file and what to do, as for [`KeySource::load`]; besides when it holds no token.
    pub fn token(&self) -> Result<Secret, ConfigError> {
        self.token.load_as("webhook token", token_from_text)
    }

    /// The secrets as they are now.
    ///
    /// # Errors
    /// The same.
    pub fn secrets(&self) -> Result<Vec<Secret>, ConfigError> {
        let load = |(n, source): (usize, &KeySource)| {
            let what = if n == 0 { "webhook secret" } else { "second webhook secret" };
            source.load_as(what, secret_from_text)
        };
        self.secrets.iter().enumerate().map(load).collect()
    }
}

fn token_from_text(text: &str) -> Result<Secret, &'static str> {
    let token = text.trim();
    if looks_like_a_key(token) {
        return Err("holds an API key; put a random token there, as `openssl rand -hex 24` makes it");
    }
    if !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err("holds something other than a token; letters, digits, - and _ are allowed");
    }
    match TOKEN_LENGTHS.contains(&token.len()) {
        true => Ok(Secret::new(token.to_owned())),
        false => Err("does not hold 16 to 128 characters; put there what `openssl rand -hex 24` prints"),
    }
}

fn secret_from_text(text: &str) -> Result<Secret, &'static str> {
    if text.trim().is_empty() {
        return Err("is empty; put the webhook's signing secret there");
    }
    if looks_like_a_key(text) {
        return Err(
            "holds an API key; put the signing secret there that Blooio shows when a webhook is made",
        );
    }
    key_from_text(text)
}

impl Resolution<'_> {
    /// What the webhooks of an account are recognised by.
    pub(super) fn webhook(&self, own: Option<&AccountSection>) -> Result<Option<Webhook>, ConfigError> {
        let flags = &self.flags.webhook;
        let in_file = match own {
            Some(own) => own.webhook.as_ref().map(|section| (&section.token_file, &section.secret_files)),
            None => self.file.webhook.as_ref().map(|section| (&section.token_file, &section.secret_files)),
        };
        let (token, secrets) =
            in_file.map_or((None, None), |(token, secrets)| (token.as_ref(), secrets.as_ref()));
        // The flags are of the only account.
        let (token_flag, secret_flags) = match own {
            Some(_) => (None, &[][..]),
            None => (flags.token_file.as_ref(), &flags.secret_files[..]),
        };
        let token = self.path("webhook.token-file", token_flag, token);
        let secrets = self.paths("webhook.secret-file", secret_flags, secrets);
        let whose = match own {
            Some(own) => {
                format!("{}: account {}has", self.line(own.name.referenced.line()), quoted(&own.name.value))
            }
            None if flags.token_file.is_some() || !flags.secret_files.is_empty() => {
                "the webhook has".to_owned()
            }
            None => format!("{}: webhook has", self.line(0)),
        };
        let refuse = |what: &str| ConfigError::new(format!("{whose} {what}"));
        match (token, secrets.len()) {
            (None, 0) => Ok(None),
            (None, _) => Err(refuse(
                "secrets and no token; name the file of a random token with token_file or --webhook.token-file",
            )),
            (Some(_), 0) => Err(refuse(
                "a token and no secrets; name the file of its signing secret with secret_files or \
                 --webhook.secret-file",
            )),
            (Some(_), count) if count > MAX_SECRETS => {
                Err(refuse("more than two secrets; keep the current one, and the next while it is rotated"))
            }
            (Some(token), _) => {
                let credentials = self.env("CREDENTIALS_DIRECTORY").map(PathBuf::from);
                let source = |path| KeySource::of_file(path, credentials.as_deref());
                Ok(Some(Webhook { token: source(token), secrets: secrets.into_iter().map(source).collect() }))
            }
        }
    }

    /// Where webhooks are received, for these accounts and beside this web interface.
    pub(super) fn receiver(&self, web: &Web, accounts: &[Account]) -> Result<Option<Receiver>, ConfigError> {
        let section = self.file.webhook.as_ref();
        let flags = &self.flags.webhook;
        self.refuse_single()?;
        let listed = section.and_then(|section| section.listen_address.as_ref());
        let listen = self.addresses("webhook.listen-address", &flags.listen, listed)?;
        let has_webhook = accounts.iter().find(|account| account.webhook.is_some());
        if listen.is_empty() {
            return match has_webhook {
                None => Ok(None),
                Some(account) => Err(ConfigError::new(format!(
                    "account {}: has a webhook, but the receiver is off; name its address with \
                     --webhook.listen-address",
                    account.name
                ))),
            };
        }
        if has_webhook.is_none() {
            return Err(ConfigError::new(
                "--webhook.listen-address: no account has a webhook; name its files with --webhook.token-file and \
                 --webhook.secret-file, or in the section webhook of an account"
                    .to_owned(),
            ));
        }
        if let Some(address) =
            listen.iter().find(|address| web.listen.iter().any(|page| overlaps(page, address)))
        {
            return Err(ConfigError::new(format!(
                "--webhook.listen-address: `{address}` is where the metrics page is served, which must not be open to \
                 the internet; choose another port"
            )));
        }
        let in_file = [section.and_then(|section| section.path_prefix.as_ref())];
        let path_prefix = match self.text("webhook.path-prefix", flags.path_prefix.as_ref(), &in_file) {
            None => PREFIX.to_owned(),
            Some(found) => match found.text.trim() {
                "/" => String::new(),
                path => {
                    paths::check_plain(path).map(|()| path.to_owned()).map_err(|why| found.refuse(why))?
                }
            },
        };
        let in_file = section.and_then(|section| section.config_file.as_ref());
        let config_file = self.path("webhook.config.file", flags.config_file.as_ref(), in_file);
        Ok(Some(Receiver { listen, path_prefix, config_file }))
    }

    /// Rejects the token and the secrets of a single account beside a list of accounts.
    fn refuse_single(&self) -> Result<(), ConfigError> {
        let flags = &self.flags.webhook;
        let section = self.file.webhook.as_ref();
        let single = [
            (flags.token_file.is_some(), "--webhook.token-file"),
            (!flags.secret_files.is_empty(), "--webhook.secret-file"),
            (section.is_some_and(|section| section.token_file.is_some()), "webhook.token_file"),
            (section.is_some_and(|section| section.secret_files.is_some()), "webhook.secret_files"),
        ];
        match (&self.file.accounts, single.iter().find(|(given, _)| *given)) {
            (Some(listed), Some((_, name))) => Err(ConfigError::new(format!(
                "{name} is for a single account, but {} lists accounts; move it into the section webhook of each account",
                self.line(listed.referenced.line())
            ))),
            _ => Ok(()),
        }
    }
}
