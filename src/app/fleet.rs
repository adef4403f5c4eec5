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
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use super::leases::{Event, Leases};
use super::receiver::Queues;
use super::state::{self, Opened};
use super::watched::{Held, Ready, Watched, feed, is_watched_alike, labels, options, prepare, transport};
use super::{Failure, failure};
use crate::api::HttpTransport;
use crate::clock::Clock;
use crate::config::{Account, Settings};
use crate::feed::trust;
use crate::lease::Grant;
use crate::logging;
use crate::metrics::{Registry, RetiredTotals, Slot};
use crate::secret::Secret;

/// All accounts that are watched.
pub(super) struct Fleet {
    opened: Opened,
    registry: Registry,
    settings: Settings,
    /// Every account of the configuration. Where replicas share them, this process watches those whose leases it holds.
    accounts: Vec<(Account, Secret)>,
    watched: BTreeMap<String, Watched>,
    loops: Loops,
    queues: Queues,
    leases: Option<Leases>,
    /// What is left of accounts that are not watched any more.
    retired: Vec<RetiredTotals>,
    /// What was counted of accounts before they were watched here, where replicas share them.
    before: RetiredTotals,
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
    /// Another replica may hold it; it is watched here once its lease is taken.
    Wait(Account, Secret),
}

impl Plan {
    fn name(&self) -> &str {
        match self {
            Plan::Keep(account) | Plan::Change(account, ..) | Plan::Wait(account, _) => &account.name,
            Plan::Add(ready) => &ready.account.name,
        }
    }
}

/// What becomes of each account, and what is left of those that are neither watched nor will be.
fn plan(
    opened: &Opened,
    watched: &[(Account, Secret)],
    accounts: Vec<(Account, Secret)>,
    queues: &Queues,
) -> Result<(Vec<Plan>, Vec<RetiredTotals>), Failure> {
    let names = accounts.iter().chain(watched).map(|(account, _)| &account.name);
    let retired = retired_totals(opened, names)?;
    let plan = |(account, key): (Account, Secret)| {
        let known = watched.iter().find(|(known, _)| known.name == account.name);
        if known.is_some_and(|(known, its)| *its == key && is_watched_alike(known, &account)) {
            return Ok(Plan::Keep(account));
        }
        let transport = transport(&account, key.clone())?;
        Ok(match known {
            Some(_) => Plan::Change(account, key, transport),
            None if opened.shared.is_some() => Plan::Wait(account, key),
            None => Plan::Add(Box::new(prepare(&*opened.state, account, key, transport, queues, None)?)),
        })
    };
    Ok((accounts.into_iter().map(plan).collect::<Result<_, Failure>>()?, retired))
}

/// All accounts ready, and nothing started.
pub(super) struct Prepared {
    opened: Opened,
    settings: Settings,
    accounts: Vec<(Account, Secret)>,
    ready: Vec<Ready>,
    retired: Vec<RetiredTotals>,
    queues: Queues,
}

impl Prepared {
    /// Opens the state, on a thread that may wait for it. The collectors follow the webhook feeds whose events wait in `queues`.
    pub(super) async fn open(
        settings: Settings,
        accounts: Vec<(Account, Secret)>,
        queues: Queues,
    ) -> Result<Prepared, Failure> {
        let opening = tokio::task::spawn_blocking(move || Prepared::new(settings, accounts, queues));
        opening.await.map_err(failure)?
    }

    fn new(
        settings: Settings,
        accounts: Vec<(Account, Secret)>,
        queues: Queues,
    ) -> Result<Prepared, Failure> {
        let opened = state::open(&settings)?;
        let mut ready = Vec::new();
        for (account, key) in &accounts {
            let transport = transport(account, key.clone())?;
            if opened.shared.is_none() {
                let (account, key) = (account.clone(), key.clone());
                ready.push(prepare(&*opened.state, account, key, transport, &queues, None)?);
            }
        }
        let retired = retired_totals(&opened, settings.accounts.iter().map(|account| &account.name))?;
        Ok(Prepared { opened, settings, accounts, ready, retired, queues })
    }

    /// The leases of the accounts, where replicas share them, and where what happens to them arrives.
    pub(super) fn leases(&self) -> Result<Option<(Leases, UnboundedReceiver<Event>)>, Failure> {
        let Some(database) = &self.opened.shared else { return Ok(None) };
        let names = self.settings.accounts.iter().map(|account| account.name.clone()).collect();
        Leases::new(database.clone(), &self.settings.web.listen, names).map(Some)
    }
}

impl Fleet {
    /// Starts to watch every account that is ready.
    pub(super) fn start(prepared: Prepared, registry: Registry, leases: Option<Leases>) -> Fleet {
        let Prepared { opened, settings, accounts, ready, retired, queues } = prepared;
        let watched = ready.into_iter().map(|ready| (ready.account.name.clone(), Watched::start(ready)));
        let fleet = Fleet {
            opened,
            registry,
            settings,
            accounts,
            watched: watched.collect(),
            loops: Loops::default(),
            queues,
            leases,
            retired,
            before: RetiredTotals::default(),
        };
        fleet.show();
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
        let (opened, all) = (self.opened.clone(), accounts.clone());
        let watched = self.watched.values().map(|watched| (watched.account.clone(), watched.key.clone()));
        let watched: Vec<_> = watched.collect();
        // A disk that hangs keeps this thread, and no worker.
        let queues = self.queues.clone();
        let planning = tokio::task::spawn_blocking(move || plan(&opened, &watched, accounts, &queues));
        let (plans, mut retired) = planning.await.map_err(failure)??;

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
                (_, Plan::Wait(account, key)) => {
                    self.record_waiting(&account, &key, &mut changes);
                    continue;
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
                    let (slot, held) = (watched.slot.clone(), watched.held.clone());
                    let Some(collector) = watched.stop().await else {
                        self.loops.lost.store(true, Ordering::Relaxed);
                        continue;
                    };
                    let collector = collector.reconfigured(transport, options(&account));
                    let collector = collector.following(feed(&account, &self.queues), trust::WINDOW);
                    Watched::start(Ready { account, key, slot, collector, held })
                }
                // What is kept or changed was watched when the plan was made, a moment ago.
                (None, _) => continue,
            };
            self.watched.insert(watched.account.name.clone(), watched);
        }
        let is_listed = |name: &String| all.iter().any(|(account, _)| account.name == *name);
        let waited = self.accounts.iter().map(|(account, _)| &account.name);
        changes.removed = waited.filter(|name| !is_listed(name)).cloned().collect();
        for (name, watched) in before {
            let (held, totals) = (watched.held.clone(), watched.totals());
            watched.stop().await;
            retired.push(totals);
            if let Some(Held { leases, grant }) = held {
                leases.release(&name, grant, false).await;
            }
        }
        if let Some(leases) = &self.leases {
            let names: Vec<String> = all.iter().map(|(account, _)| account.name.clone()).collect();
            leases.compete_for(&names);
            retired.append(&mut self.retired);
        }
        logging::set_level(settings.log.level);
        (self.settings, self.accounts, self.retired) = (settings, all, retired);
        self.show();
        Ok(changes)
    }

    /// What a new configuration changed of an account that is not watched here.
    fn record_waiting(&self, account: &Account, key: &Secret, changes: &mut Changes) {
        let name = account.name.clone();
        match self.accounts.iter().find(|(known, _)| known.name == account.name) {
            None => changes.added.push(name),
            Some((known, its)) if its != key || !is_watched_alike(known, account) => {
                changes.changed.push(name)
            }
            Some((known, _)) if known.lines != account.lines => changes.renamed.push(name),
            Some(_) => {}
        }
    }

    /// Follows what happened to a lease.
    pub(super) async fn follow(&mut self, event: Event) {
        match event {
            Event::Taken(account, grant) => self.take_over(&account, grant).await,
            Event::Lost(account, grant) => {
                if let Some(watched) = self.withdraw(&account, grant) {
                    watched.abort();
                }
            }
            Event::Surplus(account, grant) => {
                if let Some(watched) = self.withdraw(&account, grant) {
                    tracing::info!(account, "account is given up: other replicas have room for it");
                    watched.stop().await;
                }
                if let Some(leases) = self.leases.clone() {
                    leases.release(&account, grant, false).await;
                }
            }
        }
    }

    /// Restores an account whose lease was taken, and starts to watch it.
    async fn take_over(&mut self, name: &str, grant: Grant) {
        let Some(leases) = self.leases.clone() else { return };
        let known = self.accounts.iter().find(|(account, _)| account.name == name).cloned();
        let Some((account, key)) = known else { return leases.release(name, grant, false).await };
        let held = Held { leases: leases.clone(), grant };
        let (opened, queues) = (self.opened.clone(), self.queues.clone());
        // Restoring waits for the database, and must keep no worker.
        let preparing = tokio::task::spawn_blocking(move || {
            let transport = transport(&account, key.clone())?;
            prepare(&*opened.state, account, key, transport, &queues, Some(held))
        });
        match preparing.await.map_err(failure).and_then(|prepared| prepared) {
            Ok(ready) => {
                self.before.add(RetiredTotals::of(&ready.slot.view().snapshot));
                self.watched.insert(name.to_owned(), Watched::start(ready));
                self.show();
            }
            Err(error) => {
                tracing::error!(account = name, %error, "account not restored; it is left to other replicas");
                leases.release(name, grant, true).await;
            }
        }
    }

    /// Takes an account that is watched under this grant off the page.
    fn withdraw(&mut self, account: &str, grant: Grant) -> Option<Watched> {
        let is_held = |watched: &Watched| watched.held.as_ref().is_some_and(|held| held.grant == grant);
        if !self.watched.get(account).is_some_and(is_held) {
            return None;
        }
        let watched = self.watched.remove(account)?;
        let mut left = self.retired.pop().unwrap_or_default();
        left.add(watched.totals());
        self.retired.push(left);
        self.show();
        Some(watched)
    }

    /// Ends every loop, and gives the leases up.
    pub(super) async fn stop(self) {
        let stopping = self.watched.into_values().map(Watched::stop);
        futures_util::future::join_all(stopping).await;
        if let Some(leases) = self.leases {
            leases.leave().await;
        }
    }

    /// Puts the accounts into the registry, in the order of the configuration.
    fn show(&self) {
        let accounts = &self.settings.accounts;
        let slots: Vec<Slot> = accounts
            .iter()
            .filter_map(|account| self.watched.get(&account.name))
            .map(|watched| watched.slot.clone())
            .collect();
        let aliases = accounts.iter().map(|account| (account.name.clone(), account.lines.clone())).collect();
        let labels = accounts.iter().map(|account| (account.name.clone(), labels(account))).collect();
        let window = accounts.first().map_or(0.0, |account| account.collector.window.as_secs_f64());
        self.registry.change(|display| {
            (display.slots, display.aliases) = (slots, aliases);
            (display.retired, display.before) = (self.retired.clone(), self.before.clone());
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
            ("state.url", now.database == next.database),
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

/// What is left in the state of accounts that are none of `names`. Where replicas share the accounts, sums are of each process
/// alone, and begin with it.
fn retired_totals<'a>(
    opened: &Opened,
    names: impl Iterator<Item = &'a String>,
) -> Result<Vec<RetiredTotals>, Failure> {
    if opened.shared.is_some() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = names.map(String::as_str).collect();
    let others = opened.state.totals_of_others(&names).map_err(failure)?;
    Ok(others.into_iter().map(|(counters, histograms)| RetiredTotals { counters, histograms }).collect())
}
