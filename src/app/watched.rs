//! One account that is watched: what it is made of, how its loop starts and ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::leases::Leases;
use super::receiver::Queues;
use super::{Failure, failure};
use crate::api::{HttpOptions, HttpTransport};
use crate::clock::Clock;
use crate::collect::{Collector, Ended, IdHasher, Options, Watch};
use crate::config::Account;
use crate::domain::Ledger;
use crate::feed::{Hints, trust};
use crate::lease::{Grant, LeaseCheck};
use crate::metrics::registry::Labels;
use crate::metrics::{RetiredTotals, Slot};
use crate::secret::Secret;
use crate::store::{State, Store};

pub(super) type AccountCollector = Collector<HttpTransport, Box<dyn Store>>;

/// The lease of an account, where replicas share the accounts.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) leases: Leases,
    pub(super) grant: Grant,
}

/// An account that is ready, and not started yet.
pub(super) struct Ready {
    pub(super) account: Account,
    pub(super) key: Secret,
    pub(super) slot: Slot,
    pub(super) collector: AccountCollector,
    pub(super) held: Option<Held>,
}

/// An account that is watched.
pub(super) struct Watched {
    pub(super) account: Account,
    pub(super) key: Secret,
    pub(super) slot: Slot,
    pub(super) held: Option<Held>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) running: JoinHandle<AccountCollector>,
}

impl Watched {
    pub(super) fn start(ready: Ready) -> Watched {
        let Ready { account, key, slot, mut collector, held } = ready;
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (name, lease) = (account.name.clone(), held.clone());
        let running = tokio::spawn(async move {
            let ended = collector.run(async { drop((&mut stopped).await) }).await;
            if let (Ended::Fenced, Some(Held { leases, grant })) = (ended, lease) {
                leases.record_fenced(&name, grant);
                // The fleet removes the account; until then the loop has not ended by itself.
                drop(stopped.await);
            }
            collector
        });
        Watched { account, key, slot, held, stop, running }
    }

    /// Ends the loop between two commits. `None` when it had ended by itself, which the panic hook has told.
    pub(super) async fn stop(self) -> Option<AccountCollector> {
        let _ = self.stop.send(());
        self.running.await.ok()
    }

    /// Ends the loop at once. A commit under way is decided by the fence.
    pub(super) fn abort(self) {
        self.running.abort();
    }

    /// What it has counted, as far as it was shown.
    pub(super) fn totals(&self) -> RetiredTotals {
        RetiredTotals::of(&self.slot.view().snapshot)
    }
}

/// Where the events of an account's webhook wait, if it has one.
pub(super) fn feed(account: &Account, queues: &Queues) -> Option<Arc<Hints>> {
    account.webhook.as_ref().map(|_| queues.of(&account.name))
}

/// Whether the collector of one account would do for the other. Names of lines concern the page, and how webhooks are
/// recognised concerns the receiver.
pub(super) fn is_watched_alike(one: &Account, other: &Account) -> bool {
    let unnamed = |account: &Account| Account { lines: BTreeMap::new(), webhook: None, ..account.clone() };
    unnamed(one) == unnamed(other) && one.webhook.is_some() == other.webhook.is_some()
}

/// Restores an account, which nothing watches yet. Commits are fenced by the lease, where there is one.
pub(super) fn prepare(
    state: &dyn State,
    account: Account,
    key: Secret,
    transport: HttpTransport,
    queues: &Queues,
    held: Option<Held>,
) -> Result<Ready, Failure> {
    let now = Clock::System.now();
    let lease = match &held {
        Some(Held { leases, grant }) => leases.check(&account.name, *grant),
        None => LeaseCheck::unlimited(),
    };
    let (options, slot) = (options(&account), Slot::under(lease.clone()));
    let grant = held.as_ref().map(|held| held.grant);
    let stored = state.account(&account.name, now, grant).map_err(failure)?;
    let ledger = Ledger::new(options.policy(), stored.restored);
    let hasher = IdHasher::new(&state.key(), &account.name);
    let watched = Watch { account: &account.name, clock: Clock::System, slot: slot.clone(), hasher, options };
    let collector = Collector::new(watched, transport, ledger, stored.store);
    let collector = collector.under(lease).following(feed(&account, queues), trust::WINDOW);
    Ok(Ready { account, key, slot, collector, held })
}

pub(super) fn transport(account: &Account, key: Secret) -> Result<HttpTransport, Failure> {
    let (source, name, said) = (account.key.clone(), account.name.clone(), Mutex::new(String::new()));
    HttpTransport::new(HttpOptions {
        account: account.name.clone(),
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
                        "the key was rejected, and a new one cannot be read"
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

pub(super) fn labels(account: &Account) -> Labels {
    Labels { of_account: account.labels.clone(), of_lines: account.line_labels.clone() }
}
