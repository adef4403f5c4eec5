//! Reading the configuration again while the exporter runs: who may ask, how often, and what becomes of it.
//!
//! The configuration and the web configuration are read once each, and then taken together or not at all. Reading happens
//! on a thread of its own, one reading at a time, with a bound on the wait: a mount that hangs keeps nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::fleet::{Changes, Fleet};
use super::leases::Event;
use super::receiver::{self, Handle, Recognised};
use super::{Failure, failure, keys};
use crate::config::{Account, Flags, Settings};
use crate::metrics::Registry;
use crate::secret::Secret;
use crate::web::{self, ReloadOutcome};

/// Between two reloads that were asked for over HTTP.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// A reading that takes longer has failed, and so has every further one until it ends.
pub const READING_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may wait for the outcome.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// Where a configuration is read again from.
pub enum ReloadSource {
    /// Nowhere: what was given at the start holds until the end.
    Never,
    /// From these flags, the environment and the configuration file, on SIGHUP and on `POST /-/reload`.
    From(Box<Flags>),
}

impl ReloadSource {
    /// The signals that ask for it. From here on they end nothing.
    pub(super) fn signals(&self) -> Result<Option<Signal>, Failure> {
        match self {
            ReloadSource::Never => Ok(None),
            ReloadSource::From(_) => match signal(SignalKind::hangup()) {
                Ok(hangups) => Ok(Some(hangups)),
                Err(error) => Err(Failure(format!("signals cannot be received: {error}"))),
            },
        }
    }
}

/// Passes requests on to the [`Reloader`], one a second at most.
pub(super) struct Requests {
    ask: mpsc::Sender<oneshot::Sender<ReloadOutcome>>,
    last: Mutex<Option<Instant>>,
}

/// The receiving end of [`Requests`], each with where its outcome is sent.
pub(super) type Asked = mpsc::Receiver<oneshot::Sender<ReloadOutcome>>;

impl Requests {
    pub(super) fn new() -> (Self, Asked) {
        let (ask, asked) = mpsc::channel(1);
        (Self { ask, last: Mutex::default() }, asked)
    }

    pub(super) async fn reload(&self) -> ReloadOutcome {
        {
            let mut last = self.last.lock();
            if last.is_some_and(|last| last.elapsed() < MIN_INTERVAL) {
                return ReloadOutcome::TooSoon;
            }
            *last = Some(Instant::now());
        }
        let (answer, answered) = oneshot::channel();
        if self.ask.try_send(answer).is_err() {
            return ReloadOutcome::TooSoon;
        }
        timeout(ANSWER_LIMIT, answered).await.ok().and_then(Result::ok).unwrap_or(ReloadOutcome::NotApplied)
    }
}

/// Applies a new configuration to everything that runs.
pub(super) struct Reloader<'a> {
    fleet: &'a mut Fleet,
    registry: &'a Registry,
    security: Arc<web::Security>,
    reload: &'a ReloadSource,
    /// Of the start. What it opens to others stays as it is until the end.
    web: crate::config::Web,
    /// The webhook receiver, which follows the accounts.
    pub(super) receiver: Option<Handle>,
    /// What happens to leases, where replicas share the accounts.
    pub(super) events: Option<UnboundedReceiver<Event>>,
    /// Free while no reading is under way.
    reading: Arc<Semaphore>,
    /// What was logged last, so that repetitions that a client asked for are not.
    said: String,
}

impl<'a> Reloader<'a> {
    pub(super) fn new(
        fleet: &'a mut Fleet,
        registry: &'a Registry,
        security: Arc<web::Security>,
        reload: &'a ReloadSource,
        web: crate::config::Web,
    ) -> Self {
        Self {
            fleet,
            registry,
            security,
            reload,
            web,
            receiver: None,
            events: None,
            reading: Arc::new(Semaphore::new(1)),
            said: String::new(),
        }
    }

    /// Reads the configuration again for every request and every signal, and follows leases, one after the other, for ever.
    pub(super) async fn run(&mut self, mut hangups: Option<Signal>, mut asked: Asked) {
        loop {
            let hung_up = async {
                match &mut hangups {
                    Some(hangups) => hangups.recv().await,
                    None => std::future::pending().await,
                }
            };
            let happened = async {
                match &mut self.events {
                    Some(events) => events.recv().await,
                    None => std::future::pending().await,
                }
            };
            let request = tokio::select! {
                Some(event) = happened => {
                    self.fleet.follow(event).await;
                    continue;
                }
                _ = hung_up => None,
                Some(request) = asked.recv() => Some(request),
            };
            let outcome = self.apply_and_report(request.is_none()).await;
            if let Some(request) = request {
                // The client may have disconnected since.
                let _ = request.send(outcome);
            }
        }
    }

    async fn apply_and_report(&mut self, by_signal: bool) -> ReloadOutcome {
        let outcome = self.apply().await;
        let text = match &outcome {
            Ok(changes) => changes.to_string(),
            Err(error) => error.to_string(),
        };
        let is_repeated = !by_signal && text == self.said;
        match (&outcome, is_repeated) {
            (Ok(changes), false) => tracing::info!(%changes, "configuration read again"),
            (Err(error), false) => {
                tracing::error!(%error, "configuration not applied; the previous one stays in force");
            }
            (_, true) => {}
        }
        self.said = text;
        match outcome {
            Ok(changes) => ReloadOutcome::Applied(format!("configuration read again; {changes}")),
            Err(_) => {
                if !matches!(self.reload, ReloadSource::Never) {
                    self.registry.change(|display| display.configured = false);
                }
                ReloadOutcome::NotApplied
            }
        }
    }

    async fn apply(&mut self) -> Result<Changes, Failure> {
        let ReloadSource::From(flags) = self.reload else {
            return Err(failure("there is no configuration to read again here"));
        };
        let (settings, accounts, web, recognised) = self.read(flags.as_ref().clone()).await?;
        for (name, is_same) in [
            ("web.enable_lifecycle", settings.web.enable_lifecycle == self.web.enable_lifecycle),
            ("web.allowed_host", settings.web.allowed_hosts == self.web.allowed_hosts),
        ] {
            if !is_same {
                return Err(Failure(format!(
                    "{name} cannot change while the exporter runs; restart it, or change it back"
                )));
            }
        }
        let changes = self.fleet.apply(settings, accounts).await?;
        if let Some(receiver) = &self.receiver {
            receiver.install(recognised);
        }
        // Nothing fails from here on: what was read together is taken together.
        if let Some(web) = web {
            self.security.install(web);
        }
        Ok(changes)
    }

    /// Everything that the flags, the environment and the files say now.
    async fn read(&self, flags: Flags) -> Result<Read, Failure> {
        let Ok(permit) = Arc::clone(&self.reading).try_acquire_owned() else {
            return Err(failure("the previous reading has not ended; does a mount hang?"));
        };
        let security = Arc::clone(&self.security);
        let reading = tokio::task::spawn_blocking(move || {
            let _one = permit;
            let settings = Settings::load(&flags).map_err(failure)?;
            let accounts = keys::with_keys(&settings)?;
            let web = security.prepare().map_err(|error| Failure(format!("--web.config.file: {error}")))?;
            let shown = web.as_ref().map(web::Prepared::shown).unwrap_or_default();
            keys::refuse_keys_in_answers(&shown, &accounts)?;
            let recognised = receiver::recognised(&accounts)?;
            Ok((settings, accounts, web, recognised))
        });
        match timeout(READING_LIMIT, reading).await {
            Ok(read) => read.map_err(failure)?,
            Err(_) => Err(Failure(format!(
                "reading the files takes longer than {} s; does a mount hang?",
                READING_LIMIT.as_secs()
            ))),
        }
    }
}

type Read = (Settings, Vec<(Account, Secret)>, Option<web::Prepared>, Vec<Recognised>);
