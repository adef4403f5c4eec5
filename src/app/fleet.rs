//! The accounts that are watched: how they start, change, and come and go while the exporter runs.
//!
//! A new configuration is taken as a whole or not at all: everything that can fail (keys, clients, the state) is made
//! ready before anything that runs is touched.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

use super::receiver::Queues;
use super::{Failure, failure};
use crate::api::{HttpOptions, HttpTransport};
use crate::clock::Clock;
use crate::collect::{Collector, IdHasher, Options, Watch};
use crate::config::{Account, Settings};
use crate::domain::Ledger;
use crate::feed::{Hints, trust};
use crate::logging;
use crate::metrics::board::Labels;
use crate::metrics::{Board, Past, Slot};
use crate::privacy::{looks_like_a_key, looks_random};
use crate::secret::Secret;
use crate::store::sqlite::StateFile;
use crate::store::{State, Store};

type AccountCollector = Collector<HttpTransport, Box<dyn Store>>;

/// All accounts that are watched.
pub(super) struct Fleet {
    state: StateFile,
    board: Board,
    settings: Settings,
    watched: BTreeMap<String, Watched>,
    loops: Loops,
    queues: Queues,
}

/// The loops of all accounts, for those who ask whether they run.
#[derive(Clone, Default)]
pub(super) struct Loops {
    running: Arc<Mutex<Vec<AbortHandle>>>,
    /// One had ended by itself before it was to be changed: its account is watched again after a restart only.
    lost: Arc<AtomicBool>,
}

impl Loops {
    /// Whether one has ended without being stopped.
    pub(super) fn any_ended(&self) -> bool {
        self.lost.load(Ordering::Relaxed) || self.lock().iter().any(AbortHandle::is_finished)
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Vec<AbortHandle>> {
        self.running.lock()
    }
}

/// An account that is ready, and not started yet.
struct Ready {
    account: Account,
    key: Secret,
    slot: Slot,
    collector: AccountCollector,
}

/// An account that is watched.
struct Watched {
    account: Account,
    key: Secret,
    slot: Slot,
    stop: oneshot::Sender<()>,
    running: JoinHandle<AccountCollector>,
}

impl Watched {
    fn start(ready: Ready) -> Watched {
        let Ready { account, key, slot, mut collector } = ready;
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            collector.run(async { drop(stopped.await) }).await;
            collector
        });
        Watched { account, key, slot, stop, running }
    }

    /// Ends the loop between two commits. `None` when it had ended by itself, which the panic hook has told.
    async fn stop(self) -> Option<AccountCollector> {
        let _ = self.stop.send(());
        self.running.await.ok()
    }
}

/// What a new configuration changed: the names of the accounts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    added: Vec<String>,
    changed: Vec<String>,
    /// Those of which only lines got other names.
    renamed: Vec<String>,
    removed: Vec<String>,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("lines renamed", &self.renamed),
            ("removed", &self.removed),
        ];
        let mut said = kinds.iter().filter(|(_, names)| !names.is_empty()).peekable();
        if said.peek().is_none() {
            return f.write_str("no account changed");
        }
        for (at, (what, names)) in said.enumerate() {
            write!(f, "{}{what}: {}", if at == 0 { "" } else { "; " }, names.join(", "))?;
        }
        Ok(())
    }
}

/// What becomes of an account of the new configuration.
enum Plan {
    Keep(Account),
    Change(Account, Secret, HttpTransport),
    Add(Box<Ready>),
}

impl Plan {
    fn name(&self) -> &str {
        match self {
            Plan::Keep(account) | Plan::Change(account, ..) => &account.name,
            Plan::Add(ready) => &ready.account.name,
        }
    }
}

/// What becomes of each account, and what is left of those that are neither watched nor will be.
fn plan(
    state: &StateFile,
    watched: &[(Account, Secret)],
    accounts: Vec<(Account, Secret)>,
    queues: &Queues,
) -> Result<(Vec<Plan>, Vec<Past>), Failure> {
    let names = accounts.iter().chain(watched).map(|(account, _)| &account.name);
    let past = past(state, names)?;
    let plan = |(account, key): (Account, Secret)| {
        let known = watched.iter().find(|(known, _)| known.name == account.name);
        if known.is_some_and(|(known, its)| *its == key && is_watched_alike(known, &account)) {
            return Ok(Plan::Keep(account));
        }
        let transport = transport(&account, key.clone())?;
        Ok(match known {
            Some(_) => Plan::Change(account, key, transport),
            None => Plan::Add(Box::new(prepare(state, account, key, transport, queues)?)),
        })
    };
    Ok((accounts.into_iter().map(plan).collect::<Result<_, Failure>>()?, past))
}

/// All accounts ready, and nothing started.
pub(super) struct Prepared {
    state: StateFile,
    settings: Settings,
    ready: Vec<Ready>,
    past: Vec<Past>,
    queues: Queues,
}

impl Prepared {
    /// Opens the state. The collectors follow the webhook feeds whose events wait in `queues`.
    pub(super) fn new(
        settings: Settings,
        accounts: Vec<(Account, Secret)>,
        queues: Queues,
    ) -> Result<Prepared, Failure> {
        let state = StateFile::open(&settings.state_path, random_key()?).map_err(failure)?;
        let mut ready = Vec::new();
        for (account, key) in accounts {
            let transport = transport(&account, key.clone())?;
            ready.push(prepare(&state, account, key, transport, &queues)?);
        }
        let past = past(&state, settings.accounts.iter().map(|account| &account.name))?;
        Ok(Prepared { state, settings, ready, past, queues })
    }

    /// The settings that it was prepared for.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Fleet {
    /// Starts to watch every account.
    pub(super) fn start(prepared: Prepared, board: Board) -> Fleet {
        let Prepared { state, settings, ready, past, queues } = prepared;
        let watched = ready.into_iter().map(|ready| (ready.account.name.clone(), Watched::start(ready)));
        let fleet =
            Fleet { state, board, settings, watched: watched.collect(), loops: Loops::default(), queues };
        fleet.show(past);
        fleet
    }

    /// The loops of all accounts, now and later.
    pub(super) fn loops(&self) -> Loops {
        self.loops.clone()
    }

    /// Goes over to other settings, whose accounts come with their keys, as a whole or not at all.
    pub(super) async fn apply(
        &mut self,
        settings: Settings,
        accounts: Vec<(Account, Secret)>,
    ) -> Result<Changes, Failure> {
        self.refuse_what_needs_a_restart(&settings)?;
        let state = self.state.clone();
        let watched = self.watched.values().map(|watched| (watched.account.clone(), watched.key.clone()));
        let watched: Vec<_> = watched.collect();
        // A disk that hangs keeps this thread, and no worker.
        let queues = self.queues.clone();
        let planning = tokio::task::spawn_blocking(move || plan(&state, &watched, accounts, &queues));
        let (plans, mut past) = planning.await.map_err(failure)??;

        // Nothing fails from here on.
        self.loops.lock().clear();
        let mut before = std::mem::take(&mut self.watched);
        let mut changes = Changes::default();
        for plan in plans {
            let watched = match (before.remove(plan.name()), plan) {
                (_, Plan::Add(ready)) => {
                    changes.added.push(ready.account.name.clone());
                    Watched::start(*ready)
                }
                (Some(watched), Plan::Keep(account)) => {
                    if watched.account.lines != account.lines {
                        changes.renamed.push(account.name.clone());
                    }
                    Watched { account, ..watched }
                }
                (Some(watched), Plan::Change(account, key, transport)) => {
                    changes.changed.push(account.name.clone());
                    if watched.account.base_url != account.base_url {
                        let (account, note) =
                            (&account.name, "counts go on: it must show the same organisation");
                        tracing::warn!(account, note, "the base URL of a known account changed");
                    }
                    let slot = watched.slot.clone();
                    let Some(collector) = watched.stop().await else {
                        self.loops.lost.store(true, Ordering::Relaxed);
                        continue;
                    };
                    let collector = collector.reconfigured(transport, options(&account));
                    let collector = collector.following(feed(&account, &self.queues), trust::WINDOW);
                    Watched::start(Ready { account, key, slot, collector })
                }
                // What is kept or changed was watched when the plan was made, a moment ago.
                (None, _) => continue,
            };
            self.watched.insert(watched.account.name.clone(), watched);
        }
        for (name, watched) in before {
            changes.removed.push(name);
            let slot = watched.slot.clone();
            watched.stop().await;
            let last = slot.view();
            past.push(Past {
                counters: last.snapshot.counters.clone(),
                histograms: last.snapshot.histograms.clone(),
            });
        }
        logging::set_level(settings.log.level);
        self.settings = settings;
        self.show(past);
        Ok(changes)
    }

    /// Ends every loop.
    pub(super) async fn stop(self) {
        for watched in self.watched.into_values() {
            watched.stop().await;
        }
    }

    /// Puts the accounts on the board, in the order of the configuration.
    fn show(&self, past: Vec<Past>) {
        let accounts = &self.settings.accounts;
        let slots: Vec<Slot> = accounts
            .iter()
            .filter_map(|account| self.watched.get(&account.name))
            .map(|watched| watched.slot.clone())
            .collect();
        let aliases = accounts.iter().map(|account| (account.name.clone(), account.lines.clone())).collect();
        let labels = accounts.iter().map(|account| (account.name.clone(), labels(account))).collect();
        let window = accounts.first().map_or(0.0, |account| account.collector.window.as_secs_f64());
        self.board.change(|display| {
            (display.slots, display.aliases, display.past) = (slots, aliases, past);
            display.labels = labels;
            display.window_seconds = window;
            (display.configured, display.configured_at) = (true, Clock::System.now() as f64 / 1000.0);
        });
        *self.loops.lock() = self.watched.values().map(|watched| watched.running.abort_handle()).collect();
    }

    /// What is bound or opened at the start stays as it is until the end.
    fn refuse_what_needs_a_restart(&self, settings: &Settings) -> Result<(), Failure> {
        let (now, next) = (&self.settings, settings);
        if next.file_is_blank && !now.file_is_blank {
            let why = "is empty; was it being written? Replace it by renaming a complete file over it";
            return Err(Failure(format!("the configuration file {why}")));
        }
        let fixed = [
            ("state.path", now.state_path == next.state_path),
            ("web.listen_address", now.web.listen == next.web.listen),
            ("web.telemetry_path", now.web.telemetry_path == next.web.telemetry_path),
            ("web.config_file", now.web.config_file == next.web.config_file),
            ("webhook.listen_address", listens(now) == listens(next)),
            ("webhook.path_prefix", now.receiver == next.receiver),
            ("log.format", now.log.format == next.log.format),
        ];
        match fixed.iter().find(|(_, is_same)| !is_same) {
            None => Ok(()),
            Some((name, _)) => Err(Failure(format!(
                "{name} cannot change while the exporter runs; restart it, or change it back"
            ))),
        }
    }
}

/// Where the webhook receiver listens.
fn listens(settings: &Settings) -> Option<&[SocketAddr]> {
    settings.receiver.as_ref().map(|receiver| receiver.listen.as_slice())
}

/// Every account with its key as it is now.
///
/// # Errors
/// When a key cannot be read, or stands where everyone would see it.
pub(super) fn with_keys(settings: &Settings) -> Result<Vec<(Account, Secret)>, Failure> {
    let with_key = |account: &Account| Ok((account.clone(), account.key.load().map_err(failure)?));
    let accounts: Vec<(Account, Secret)> =
        settings.accounts.iter().map(with_key).collect::<Result<_, Failure>>()?;
    let state = settings.state_path.to_string_lossy();
    refuse_keys(settings.shown().chain([("--state.path", &*state)]), &accounts)?;
    if let Some((setting, _)) = settings.shown().find(|(_, text)| looks_random(text)) {
        return Err(Failure(format!(
            "{setting}: holds a long random value, which may be a key, and is shown in pages and logs; choose a name"
        )));
    }
    for (n, (account, key)) in accounts.iter().enumerate() {
        let same = |(other, its): &&(Account, Secret)| its == key && other.base_url == account.base_url;
        if let Some((other, _)) = accounts[..n].iter().find(same) {
            return Err(Failure(format!(
                "accounts {} and {} have the same key, so that every message would be counted twice; remove one of them",
                other.name, account.name
            )));
        }
    }
    Ok(accounts)
}

/// Refuses an API key among the texts of a web configuration that answers show.
pub(super) fn refuse_keys_in_answers(
    shown: &[String],
    accounts: &[(Account, Secret)],
) -> Result<(), Failure> {
    refuse_keys(shown.iter().map(|text| ("--web.config.file", text.as_str())), accounts)
}

/// Refuses an API key among the texts, each with the name of its setting, that pages, logs or answers show.
fn refuse_keys<'a>(
    mut shown: impl Iterator<Item = (&'static str, &'a str)>,
    accounts: &[(Account, Secret)],
) -> Result<(), Failure> {
    let is_key = |text| looks_like_a_key(text) || accounts.iter().any(|(_, key)| contains(text, key));
    match shown.find(|(_, text)| is_key(text)) {
        Some((setting, _)) => Err(Failure(format!(
            "{setting}: holds an API key, and is shown in pages and logs; choose another value"
        ))),
        None => Ok(()),
    }
}

/// Whether a text contains a key. One that is shorter than any real key may be a part of a word.
fn contains(text: &str, key: &Secret) -> bool {
    key.expose().len() >= 8 && text.contains(key.expose())
}

/// Where the events of an account's webhook wait, if it has one.
fn feed(account: &Account, queues: &Queues) -> Option<Arc<Hints>> {
    account.webhook.as_ref().map(|_| queues.of(&account.name))
}

/// Whether the collector of one account would do for the other. Names of lines concern the page, and how webhooks are
/// recognised concerns the receiver.
fn is_watched_alike(one: &Account, other: &Account) -> bool {
    let unnamed = |account: &Account| Account { lines: BTreeMap::new(), webhook: None, ..account.clone() };
    unnamed(one) == unnamed(other) && one.webhook.is_some() == other.webhook.is_some()
}

/// What is left in the state of accounts that are none of `names`.
fn past<'a>(state: &StateFile, names: impl Iterator<Item = &'a String>) -> Result<Vec<Past>, Failure> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    let others = state.totals_of_others(&names).map_err(failure)?;
    Ok(others.into_iter().map(|(counters, histograms)| Past { counters, histograms }).collect())
}

fn prepare(
    state: &StateFile,
    account: Account,
    key: Secret,
    transport: HttpTransport,
    queues: &Queues,
) -> Result<Ready, Failure> {
    let now = Clock::System.now();
    let (options, slot) = (options(&account), Slot::default());
    let held = state.account(&account.name, now, None).map_err(failure)?;
    let ledger = Ledger::new(options.policy(), held.restored);
    let hasher = IdHasher::new(&state.key(), &account.name);
    let watched = Watch { account: &account.name, clock: Clock::System, slot: slot.clone(), hasher, options };
    let collector = Collector::new(watched, transport, ledger, held.store);
    let collector = collector.following(feed(&account, queues), trust::WINDOW);
    Ok(Ready { account, key, slot, collector })
}

pub(super) fn transport(account: &Account, key: Secret) -> Result<HttpTransport, Failure> {
    let (source, name, said) = (account.key.clone(), account.name.clone(), Mutex::new(String::new()));
    HttpTransport::new(HttpOptions {
        base_url: account.base_url.as_str().to_owned(),
        tls: account.base_url.as_str().starts_with("https:"),
        timeout: account.api.timeout,
        key,
        reload: Box::new(move || match source.load() {
            Ok(key) => Some(key),
            Err(error) => {
                let (error, mut said) = (error.to_string(), said.lock());
                // At every 401, and told once.
                if *said != error {
                    tracing::warn!(
                        account = name,
                        error,
                        "the key was refused, and a new one cannot be read"
                    );
                    *said = error;
                }
                None
            }
        }),
    })
    .map_err(Failure)
}

pub(super) fn api_options(account: &Account) -> crate::api::Options {
    crate::api::Options { budget: account.api.budget }
}

pub(super) fn options(account: &Account) -> Options {
    let collector = &account.collector;
    Options {
        interval: collector.interval,
        full_interval: collector.full_interval,
        window: collector.window,
        lookback: collector.lookback,
        retention: collector.retention,
        audit_interval: collector.audit_interval,
        horizon: collector.horizon,
        conversation_turn: account.conversation.turn,
        probe_interval: account.probe.interval,
        probe_chats: account.probe.chats.clone(),
        budget: account.api.budget,
    }
}

pub(super) fn random_key() -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Failure("the system has no random numbers to make the state's key from".to_owned()))?;
    Ok(key)
}

fn labels(account: &Account) -> Labels {
    Labels { of_account: account.labels.clone(), of_lines: account.line_labels.clone() }
}
