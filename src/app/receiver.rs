//! The webhook receiver: from settings to what it runs with, at the start and at each reload.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::listen::Bound;
use super::{Failure, failure};
use crate::clock::Clock;
use crate::config::{Account, Settings, Webhook};
use crate::feed::Hints;
use crate::feed::receiver::{self, MAX_CONNECTIONS, Receiver, Route};
use crate::feed::secrets::Secrets;
use crate::metrics::exposition;
use crate::secret::Secret;
use crate::web::{AllowedHosts, Security, WebOptions};

/// The flag that names the addresses of the receiver.
pub(super) const ADDRESS: &str = "--webhook.listen-address";
/// Hints of one account that wait for its collector. When there are more, deliveries are answered with 503.
pub const MAX_HINTS: usize = 4096;

/// The hints of each account, handed to its collector and its route alike. They outlive reloads.
#[derive(Clone, Default)]
pub(super) struct Queues(Arc<Mutex<BTreeMap<String, Arc<Hints>>>>);

impl Queues {
    /// Those of an account.
    pub(super) fn of(&self, account: &str) -> Arc<Hints> {
        let mut queues = self.0.lock();
        Arc::clone(queues.entry(account.to_owned()).or_insert_with(|| Arc::new(Hints::new(MAX_HINTS))))
    }
}

/// What the webhooks of an account are recognised by, as the files say now.
pub(super) struct Recognised {
    account: String,
    webhook: Webhook,
    token: Secret,
    secrets: Vec<Secret>,
}

/// Reads the files of every account that has a webhook.
///
/// # Errors
/// When one cannot be read or used, or two accounts could not be told apart.
pub(super) fn recognised(accounts: &[(Account, Secret)]) -> Result<Vec<Recognised>, Failure> {
    let mut all: Vec<Recognised> = Vec::new();
    for (account, _) in accounts {
        let Some(webhook) = &account.webhook else { continue };
        let name = &account.name;
        let of_account = |error| Failure(format!("account {name}: {error}"));
        let token = webhook.token().map_err(of_account)?;
        let secrets = webhook.secrets().map_err(of_account)?;
        if let Some(other) = all.iter().find(|other| other.token == token) {
            return Err(Failure(format!(
                "accounts {} and {name} have the same webhook token, so that their deliveries could not be told apart; \
                 give each its own",
                other.account
            )));
        }
        if accounts.iter().any(|(_, key)| *key == token || secrets.contains(key)) {
            return Err(Failure(format!(
                "account {name}: an API key is used as webhook token or secret; use the webhook's own"
            )));
        }
        all.push(Recognised { account: name.clone(), webhook: webhook.clone(), token, secrets });
    }
    Ok(all)
}

fn routes(recognised: Vec<Recognised>, queues: &Queues) -> Vec<Route> {
    let route = |Recognised { account, webhook, token, secrets }| {
        let source = Box::new(move || webhook.secrets().map_err(|error| error.to_string()));
        let hints = queues.of(&account);
        Route { account, token, secrets: Secrets::new(secrets, source), hints }
    };
    recognised.into_iter().map(route).collect()
}

/// What the receiver's TLS file asks for. `None` while the receiver is off.
///
/// # Errors
/// When it cannot be used, or asks for what Blooio does not send.
pub(super) fn security(settings: &Settings) -> Result<Option<Security>, Failure> {
    let Some(receiver) = &settings.receiver else { return Ok(None) };
    let hosts = AllowedHosts::any();
    let security = match &receiver.config_file {
        Some(path) => Security::open(path, hosts),
        None => Security::none(hosts),
    };
    let security = security.map_err(|error| Failure(format!("--webhook.config.file: {error}")))?;
    match security.authenticates() {
        true => Err(failure(
            "--webhook.config.file: asks for passwords or client certificates, which Blooio does not send; remove \
             basic_auth_users and client_auth_type, deliveries are recognised by their signature",
        )),
        false => Ok(Some(security)),
    }
}

/// A receiver with its addresses, which are bound at first and listened on later; or none.
pub(super) struct Receiving<A = Bound> {
    open: Option<Open<A>>,
    queues: Queues,
}

struct Open<A> {
    addresses: A,
    path_prefix: String,
    receiver: Arc<Receiver>,
    security: Arc<Security>,
}

impl Receiving<Bound> {
    /// Binds the addresses of the receiver, if there is one.
    pub(super) fn bind(
        settings: &Settings,
        security: Option<Security>,
        recognised: Vec<Recognised>,
        queues: Queues,
    ) -> Result<Self, Failure> {
        let (Some(settings), Some(security)) = (&settings.receiver, security) else {
            return Ok(Self { open: None, queues });
        };
        let addresses = Bound::new(&settings.listen, ADDRESS)?;
        let routes = routes(recognised, &queues);
        let path_prefix = settings.path_prefix.clone();
        let receiver = Arc::new(Receiver::new(path_prefix.clone(), Clock::System, routes));
        let open = Open { addresses, path_prefix, receiver, security: Arc::new(security) };
        Ok(Self { open: Some(open), queues })
    }

    /// Connections are accepted from here on.
    pub(super) fn listen(self) -> Result<Receiving<Vec<TcpListener>>, Failure> {
        let Self { open, queues } = self;
        let Some(Open { addresses, path_prefix, receiver, security }) = open else {
            return Ok(Receiving { open: None, queues });
        };
        let addresses = addresses.listen()?;
        for listener in &addresses {
            let (address, tls) = (listener.local_addr().map_err(failure)?, security.encrypts());
            tracing::info!(%address, path = path_prefix, tls, "receiving webhooks");
        }
        Ok(Receiving { open: Some(Open { addresses, path_prefix, receiver, security }), queues })
    }
}

impl Receiving<Vec<TcpListener>> {
    /// The handle for pages and reloads.
    pub(super) fn handle(&self) -> Handle {
        Handle {
            receiver: self.open.as_ref().map(|open| Arc::clone(&open.receiver)),
            queues: self.queues.clone(),
        }
    }

    /// Connections that the receiver may have.
    pub(super) fn connections(&self) -> usize {
        if self.open.is_some() { MAX_CONNECTIONS } else { 0 }
    }

    /// Receives until `shutdown` completes; for ever where the receiver is off.
    ///
    /// # Errors
    /// When it cannot be served.
    pub(super) async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Some(Open { addresses: listeners, receiver, security, .. }) = self.open else {
            shutdown.await;
            return Ok(());
        };
        let options = WebOptions { max_connections: MAX_CONNECTIONS, ..WebOptions::default() };
        receiver::run(listeners, receiver, options, security, shutdown).await
    }
}

/// What the rest of the program needs of the receiver.
#[derive(Clone)]
pub(super) struct Handle {
    receiver: Option<Arc<Receiver>>,
    queues: Queues,
}

impl Handle {
    /// Receives for these accounts from now on.
    pub(super) fn install(&self, recognised: Vec<Recognised>) {
        if let Some(receiver) = &self.receiver {
            receiver.install(routes(recognised, &self.queues));
        }
    }

    /// What was received, for the page.
    pub(super) fn received(&self) -> Vec<exposition::Received> {
        let Some(receiver) = &self.receiver else { return Vec::new() };
        let (of_accounts, strangers) = receiver.counts();
        let shown = |account: String, received: crate::feed::counts::Received| exposition::Received {
            account,
            events: received.events,
            rejected: received.rejected,
            last_event: received.last_event.map(|at| at as f64 / 1000.0),
        };
        let strangers = crate::feed::counts::Received { events: Vec::new(), ..strangers };
        let of_accounts = of_accounts.into_iter().map(|(account, received)| shown(account, received));
        of_accounts.chain([shown(exposition::Received::NO_ACCOUNT.to_owned(), strangers)]).collect()
    }
}
