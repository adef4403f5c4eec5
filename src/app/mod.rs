//! The only place where things are wired together and started.

mod backfill;
mod check;
mod copy;
mod demo;
mod fleet;
mod keys;
mod leases;
mod listen;
mod process;
mod random;
mod receiver;
mod reload;
mod state;
mod watched;

use std::fmt;
use std::future::Future;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

pub use backfill::backfill;
use bytes::Bytes;
pub use check::check;
pub use copy::copy_state;
pub use demo::{demo, simulate};
use fleet::{Fleet, Loops, Prepared};
use futures_util::future::BoxFuture;
use leases::Leases;
use listen::Bound;
pub use process::{Hangup, protect_memory, stop_signal};
use receiver::Receiving;
pub use reload::ReloadSource;
use reload::{Reloader, Requests};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{ApiError, ChatId, Client, MessageRef, Transport};
use crate::clock::Clock;
use crate::config::{self, Account, InspectArgs, PlanArgs, Settings};
use crate::domain::View;
use crate::inspect;
use crate::metrics::exposition::{self, About, Outside};
use crate::metrics::process::Usage;
use crate::metrics::{MetricsPage, Registry, Syntax};
use crate::plan;
use crate::privacy::quoted;
use crate::secret::Secret;
use crate::status::history::History;
use crate::status::{assess, reference, render};
use crate::terminal;
use crate::web::{self, Format, PageError, ReloadOutcome, Site, WebOptions};

/// Limits of what this module does.
pub mod limits {
    pub use super::process::STOP_LIMIT as STOP;
    pub use super::receiver::MAX_HINTS as HINTS;
    pub use super::reload::{MIN_INTERVAL as RELOAD_INTERVAL, READING_LIMIT as READING};
}

/// File descriptors that are not connections of the web server: listeners, the state, connections to the API, and a reserve.
const OTHER_DESCRIPTORS: usize = 40;
/// The flag that names the addresses of the pages.
const WEB_ADDRESS: &str = "--web.listen-address";
/// Connections that the web server gets even where there is no room for them.
const LEAST_CONNECTIONS: usize = 8;

/// Why the program cannot start or go on: one line for the person who started it. Empty when the output is closed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// Whether the program ends because the reader of its output has gone.
    pub fn is_quiet(&self) -> bool {
        self.0.is_empty()
    }
}

/// The failure that an error is to the person who started the program.
pub fn failure(error: impl fmt::Display) -> Failure {
    Failure(error.to_string())
}

/// Runs the exporter until `stop` completes. `announce`, whose failure ends it, is called once everything is ready and bound.
///
/// # Errors
/// When a key cannot be read, the state cannot be opened, or an address cannot be listened on.
pub async fn serve(
    settings: Settings,
    reload: ReloadSource,
    announce: impl FnOnce(&[TcpListener]) -> Result<(), Failure>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    settings.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let hangups = reload.signals()?;
    let Read { accounts, security, recognised, receiver_security } = read_files(&settings)?;
    let security = Arc::new(security);
    let queues = receiver::Queues::default();
    let (registry, interface) = (Registry::default(), settings.web.clone());
    // Before the state is opened: a start that fails here must not leave a new state behind.
    state::check_place(&settings)?;
    let pages = Bound::new(&interface.listen, WEB_ADDRESS)?;
    let receiving = Receiving::bind(&settings, receiver_security, recognised, queues.clone())?;
    let prepared = Prepared::open(settings, accounts, queues).await?;
    let (leases, events) = prepared.leases()?.unzip();
    let (listeners, receiving) = (pages.listen()?, receiving.listen()?);
    announce(&listeners)?;
    let mut fleet = Fleet::start(prepared, registry.clone(), leases.clone());
    log_listeners(&listeners, &security, &interface.telemetry_path)?;
    let (requests, asked) = Requests::new();
    let site = Arc::new(Exporter {
        page: MetricsPage::new(registry.clone(), ABOUT),
        registry: registry.clone(),
        telemetry_path: interface.telemetry_path.clone(),
        security: Arc::clone(&security),
        loops: fleet.loops(),
        history: History::default(),
        was_ready: AtomicBool::new(false),
        requests,
        receiver: receiving.handle(),
        leases: leases.clone(),
    });
    let options = web_options(&interface, receiving.connections());
    let (stopping, stopped) = watch::channel(false);
    let stop = async {
        stop.await;
        tracing::info!("stopping");
        stopping.send_replace(true);
        Ok(())
    };
    let told = || became_true(stopped.clone());
    let mut reloader = Reloader::new(&mut fleet, &registry, Arc::clone(&security), &reload, interface);
    (reloader.receiver, reloader.events) = (Some(receiving.handle()), events);
    let serving = async {
        let pages =
            web::run(listeners, Arc::clone(&site) as Arc<dyn Site>, options, Arc::clone(&security), told());
        tokio::try_join!(pages, receiving.run(told()), stop).map(|_| ())
    };
    let served = tokio::select! {
        served = serving => served.map_err(failure),
        () = site.history.keep(&registry, || Clock::System.now()) => Ok(()),
        () = reloader.run(hangups, asked) => Ok(()),
        () = leases::run(leases.as_ref()) => Ok(()),
    };
    fleet.stop().await;
    served
}

/// The limits of the web server, beside so many other connections.
fn web_options(interface: &config::Web, others: usize) -> WebOptions {
    WebOptions {
        lifecycle: interface.enable_lifecycle,
        telemetry_path: interface.telemetry_path.clone(),
        max_connections: max_connections(others),
        ..WebOptions::default()
    }
}

/// How many connections of the web interface there is room for beside `others`: each takes a file descriptor, of which the system may allow fewer.
fn max_connections(others: usize) -> usize {
    let most = WebOptions::default().max_connections;
    let Some(descriptors) = Usage::now().max_fds else { return most };
    most.min((descriptors as usize).saturating_sub(OTHER_DESCRIPTORS + others).max(LEAST_CONNECTIONS))
}

/// What the files that the settings name hold.
struct Read {
    /// The accounts with their keys.
    accounts: Vec<(Account, Secret)>,
    /// What the web configuration file of the pages asks for.
    security: web::Security,
    /// What webhooks are recognised by.
    recognised: Vec<receiver::Recognised>,
    /// The web configuration of the webhook receiver.
    receiver_security: Option<web::Security>,
}

fn read_files(settings: &Settings) -> Result<Read, Failure> {
    let accounts = keys::with_keys(settings)?;
    let security = security(settings)?;
    keys::refuse_keys_in_answers(&security.shown(), &accounts)?;
    let recognised = receiver::recognised(&accounts)?;
    let receiver_security = receiver::security(settings)?;
    Ok(Read { accounts, security, recognised, receiver_security })
}

async fn became_true(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_true| *is_true).await;
}

/// Logs where the pages are, and warns where everyone on the network can read them.
fn log_listeners(listeners: &[TcpListener], security: &web::Security, path: &str) -> Result<(), Failure> {
    for listener in listeners {
        let address = listener.local_addr().map_err(failure)?;
        if !address.ip().to_canonical().is_loopback() && !security.encrypts() && !security.authenticates() {
            tracing::warn!(%address, "listening beyond loopback without TLS and authentication");
        }
        tracing::info!(%address, path, tls = security.encrypts(), "listening");
    }
    Ok(())
}

/// What the web configuration file asks for.
fn security(settings: &Settings) -> Result<web::Security, Failure> {
    let hosts = web::AllowedHosts::new(&settings.web.allowed_hosts);
    let security = match &settings.web.config_file {
        Some(path) => web::Security::open(path, hosts)
            .map_err(|error| Failure(format!("--web.config.file: {error}")))?,
        None => web::Security::none(hosts).map_err(failure)?,
    };
    Ok(security.with_realm("blooio-exporter"))
}

/// What the page says about the program.
const ABOUT: About = About {
    version: env!("CARGO_PKG_VERSION"),
    revision: env!("BUILD_REVISION"),
    rustc: env!("BUILD_RUSTC"),
};

/// What the web pages show.
struct Exporter {
    registry: Registry,
    page: MetricsPage,
    telemetry_path: String,
    security: Arc<web::Security>,
    loops: Loops,
    history: History,
    was_ready: AtomicBool,
    requests: Requests,
    receiver: receiver::Handle,
    /// Where replicas share the accounts.
    leases: Option<Leases>,
}

impl Site for Exporter {
    fn page(&self, format: Format) -> Result<Bytes, PageError> {
        let syntax = match format {
            Format::Text => Syntax::Text,
            Format::OpenMetrics => Syntax::OpenMetrics,
        };
        let web_reload = self.security.last_reload().map(|reload| exposition::LastReload {
            successful: reload.successful,
            succeeded_at: reload.succeeded_at.duration_since(UNIX_EPOCH).map_or(0.0, |at| at.as_secs_f64()),
        });
        let now = Clock::System.now();
        let certificates = self.security.certificates().into_iter();
        let certificates = certificates
            .map(|c| exposition::Expiry { role: c.role, position: c.position, at: c.at })
            .collect();
        self.page
            .encode_with(
                syntax,
                now,
                Outside {
                    web_reload,
                    certificates,
                    received: self.receiver.received(),
                    leases: self.leases.as_ref().map(Leases::report),
                },
            )
            .map_err(|error| PageError(error.to_string()))
    }

    /// Ready once every account has tried its first sweep and one has been committed: an account with a problem is no
    /// reason to take the others out of service. Ready once is ready for good: an account that is added later does not
    /// take it back.
    fn ready(&self) -> Result<(), String> {
        // A replica without an account is ready as well: a rollout that waited for leases would wait for ever.
        if self.was_ready.load(Ordering::Relaxed) || self.leases.is_some() {
            return Ok(());
        }
        let views = self.registry.views();
        let waits = |view: &&Arc<View>| !view.health.swept && view.health.problem.is_none();
        let unready = views.iter().find(waits).or_else(|| {
            let any = views.iter().any(|view| view.health.swept);
            if any { None } else { views.first() }
        });
        if let Some(view) = unready {
            let problem = view.health.problem.as_deref().unwrap_or("its first sweep is under way");
            return Err(format!("account {}: {problem}", view.account));
        }
        self.was_ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn active(&self) -> Result<(), String> {
        match &self.leases {
            Some(leases) if !leases.holds_any() => Err("this replica holds no account".to_owned()),
            _ => Ok(()),
        }
    }

    fn healthy(&self) -> Result<(), String> {
        match self.loops.any_ended() {
            true => Err("a collector has stopped; restart the exporter".to_owned()),
            false => Ok(()),
        }
    }

    fn status(&self) -> String {
        let received = self.receiver.received();
        let mut status =
            assess::status(ABOUT.version, &self.registry, &self.history, Clock::System.now(), &received);
        status.holders =
            self.leases.as_ref().map(|leases| assess::holders(&leases.report())).unwrap_or_default();
        render::page(&status, &self.telemetry_path)
    }

    fn reference(&self) -> String {
        reference::page()
    }

    fn reload(&self) -> BoxFuture<'_, ReloadOutcome> {
        Box::pin(self.requests.reload())
    }
}

/// Shows a chat, its newest messages and what its device answers; or the newest chats of a line.
///
/// # Errors
/// When the account, the chat or the message is not known, or the API cannot be asked.
pub async fn inspect(settings: &Settings, args: &InspectArgs) -> Result<(), Failure> {
    let account = chosen(settings, args.account.as_deref())?;
    let bad = |what: &str| Failure(format!("{what}: cannot be an id; write it as the API shows it"));
    let chat = match &args.chat {
        Some(id) => Some(ChatId::parse(id).ok_or_else(|| bad("CHAT"))?),
        None => None,
    };
    let message = match &args.message {
        Some(id) => Some(MessageRef::parse(id).ok_or_else(|| bad("MESSAGE"))?),
        None => None,
    };
    let key = account.key.load().map_err(failure)?;
    let client = Client::new(watched::transport(account, key)?, Clock::System, watched::api_options(account));
    let chats = match chat {
        Some(chat) => vec![chat],
        None => chats_of(args.line.as_deref().unwrap_or_default(), account, &client).await?,
    };
    let mut reports = Vec::new();
    for chat in chats {
        let subject = inspect::Subject { chat, message: message.clone(), show: args.show };
        match inspect::look(&client, &subject).await {
            Ok(report) => reports.push(report),
            Err(error) if error.is_not_found() => return Err(missing(&client, &subject, &account.name).await),
            Err(error) => return Err(explained(&error)),
        }
    }
    match (args.json, reports.as_slice()) {
        // One chat that was named is an object; the chats of a line are a list.
        (true, [report]) if args.line.is_none() => say_json(report),
        (true, reports) => say_json(&reports),
        (false, reports) => {
            let tables: Vec<String> =
                reports.iter().map(|report| report.table().trim_end().to_owned()).collect();
            say(&terminal::printable_lines(&tables.join("\n\n\n")))
        }
    }
}

/// The account of this name, or the only one.
fn chosen<'a>(settings: &'a Settings, name: Option<&str>) -> Result<&'a Account, Failure> {
    let names =
        || settings.accounts.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, settings.accounts.as_slice()) {
        (None, [account]) => Ok(account),
        (None, _) => Err(Failure(format!("--account: name one of {}", names()))),
        (Some(name), accounts) => {
            let found = accounts.iter().find(|account| account.name == name);
            found.ok_or_else(|| Failure(format!("--account: {}is not one of {}", quoted(name), names())))
        }
    }
}

/// The newest chats of a line, by its alias or its number.
async fn chats_of<T: Transport>(
    line: &str,
    account: &Account,
    client: &Client<T>,
) -> Result<Vec<ChatId>, Failure> {
    let by_alias = account.lines.iter().find(|(_, alias)| alias.as_str() == line);
    let number = by_alias.map_or(line, |(number, _)| number.as_str());
    let chats = inspect::newest_of_line(client, number).await.map_err(|error| explained(&error))?;
    match chats.is_empty() {
        true => Err(Failure(format!(
            "--line: none of the {} most recent chats of account {} uses this line; check its name, or name a chat",
            inspect::SEARCHED,
            account.name
        ))),
        false => Ok(chats),
    }
}

/// Why there is no such chat.
async fn missing<T: Transport>(client: &Client<T>, subject: &inspect::Subject, account: &str) -> Failure {
    if inspect::is_line(client, &subject.chat).await {
        return Failure(format!(
            "CHAT is the number of a line of account {account}; name a contact or a group, or pass the line as --line"
        ));
    }
    let missing = if subject.message.is_some() { "chat or message" } else { "chat" };
    Failure(format!("no such {missing} in account {account}"))
}

fn explained(error: &ApiError) -> Failure {
    Failure(format!("{error}; {}", error.advice()))
}

fn say_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    say(&terminal::printable_json(&serde_json::to_string_pretty(value).map_err(failure)?))
}

/// Predicts what an account costs. It needs no key and no network.
///
/// # Errors
/// When a setting cannot be used.
pub fn plan(args: &PlanArgs) -> Result<(), Failure> {
    // The rules for settings are those of `serve`, which asks for a key as well.
    let env = |name: &str| (name == "BLOOIO_API_KEY").then(|| String::from("not-used-by-plan"));
    let settings = Settings::resolve(&args.flags(), &env, None).map_err(failure)?;
    let Some(account) = settings.accounts.first() else { return Ok(()) };
    let planned = plan::Account {
        chats: args.chats,
        messages_per_second: args.messages_per_second,
        lines: args.lines,
        sms_share: args.sms_share,
    };
    if planned.chats == 0 && planned.messages_per_second > 0.0 {
        return Err(failure("--chats: messages need a chat; write at least 1, or --messages-per-second 0"));
    }
    let prediction = plan::predict(&planned, &watched::options(account));
    match args.json {
        true => say(&serde_json::to_string_pretty(&prediction.json(args.replicas)).map_err(failure)?),
        false => say(&prediction.table(args.replicas)),
    }
}

/// Writes what a command says to the person who typed it.
///
/// # Errors
/// When standard output cannot be written to; quiet when its reader has gone, as `head` has.
fn say(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|error| Failure(terminal::output_failure(&error).unwrap_or_default()))
}
