//! Who may connect and ask: TLS, basic auth, response headers and a rate limit, from a file that may change at any time.
//!
//! A change is noticed within a second, when somebody connects or asks. What was read last without error stays in force
//! until something better can be read, and protection is never taken away by a reload: a file that is half written, or
//! emptied by mistake, would otherwise open the door. For that, restart.
//!
//! Every request is judged in this order: rate limit, then client certificate, then password. Paths are compared byte by
//! byte with the path that the router goes by, so what is excluded here is what is answered there.
//!
//! What does not belong here: what the pages show, and the limits that hold for every client alike (those are in
//! `connection`).

mod auth;
mod file;
mod rate;
pub(super) mod tls;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use auth::{Gate, Users, Verdict};
pub use file::WebConfig;
use rate::Bucket;
use tls::Tls;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);
/// A look that takes longer (a network file system that hangs) is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Largest web configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The web configuration cannot be used: one line with file, line and what to change, and nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecurityError(String);

impl SecurityError {
    fn loses(path: &Path, what: &str) -> SecurityError {
        SecurityError(format!("{}: would switch off {what}; restart the exporter to do that", path.display()))
    }
}

/// How reading the web configuration went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebReload {
    /// Whether the newest reading succeeded.
    pub successful: bool,
    /// When one last did.
    pub succeeded_at: SystemTime,
}

/// The web configuration in force, and how to replace it.
pub struct Security {
    current: ArcSwap<Current>,
    gate: Gate,
    /// `None` where there is no file: nothing is asked for and nothing changes.
    watched: Option<Watched>,
}

struct Watched {
    path: PathBuf,
    /// When the files were last looked at, in milliseconds since `born`.
    looked: AtomicU64,
    born: Instant,
    state: Mutex<WatchState>,
}

struct WatchState {
    stamps: Vec<Stamp>,
    reload: WebReload,
    /// What the newest reading failed with, so that it is logged once.
    complaint: Option<SecurityError>,
}

/// What is in force at a time.
#[derive(Default)]
pub(super) struct Current {
    /// Grows with each reload: connections made under an older one are closed after their next answer.
    generation: u64,
    /// Grows with each reload that verifies clients otherwise than before.
    trust: u64,
    tls: Option<Tls>,
    /// Whether clients must have a certificate, and which names it must bear; `None` when they are not asked for any.
    clients: Option<(bool, Option<Vec<String>>)>,
    users: Arc<Users>,
    excluded_paths: Vec<String>,
    headers: HeaderMap,
    bucket: Option<Arc<Bucket>>,
}

/// What is known of the other end of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    /// Of the configuration that it was accepted under.
    pub(super) generation: u64,
    /// Under what its certificate was verified.
    pub(super) trust: u64,
    /// Whether it showed a certificate that is good.
    pub(super) verified: bool,
}

impl Security {
    /// Plain HTTP, open to whoever reaches the address.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn none() -> Result<Self, SecurityError> {
        Ok(Self { current: ArcSwap::default(), gate: Gate::new()?, watched: None })
    }

    /// Reads a web configuration file and everything that it names.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub fn open(path: &Path) -> Result<Self, SecurityError> {
        let (stamps, loaded) = load(path);
        let state = WatchState {
            stamps,
            reload: WebReload { successful: true, succeeded_at: SystemTime::now() },
            complaint: None,
        };
        Ok(Self {
            current: ArcSwap::from_pointee(loaded?),
            gate: Gate::new()?,
            watched: Some(Watched {
                path: path.to_owned(),
                looked: AtomicU64::new(0),
                born: Instant::now(),
                state: Mutex::new(state),
            }),
        })
    }

    /// Whether clients are asked for a password, or must have a certificate.
    pub fn authenticates(&self) -> bool {
        let current = self.current.load();
        !current.users.is_empty() || current.needs_certificate()
    }

    /// Whether TLS is spoken.
    pub fn encrypts(&self) -> bool {
        self.current.load().tls.is_some()
    }

    /// How reading the file went; `None` where there is no file.
    pub fn last_reload(&self) -> Option<WebReload> {
        self.watched.as_ref().map(|watched| watched.lock().reload)
    }

    /// Reads the files again now, changed or not. Blocks on the disk.
    ///
    /// # Errors
    /// When they cannot be used, or would take protection away. What was in force stays so.
    pub fn reload(&self) -> Result<(), SecurityError> {
        match &self.watched {
            Some(watched) => self.replace(watched, &mut watched.lock()),
            None => Ok(()),
        }
    }

    /// Whether the files could be taken as they are now. Changes nothing. Blocks on the disk.
    ///
    /// # Errors
    /// What [`Security::reload`] would fail with.
    pub fn judge(&self) -> Result<(), SecurityError> {
        let Some(watched) = &self.watched else { return Ok(()) };
        let new = load(&watched.path).1?;
        self.current
            .load()
            .lost_in(&new)
            .map_or(Ok(()), |lost| Err(SecurityError::loses(&watched.path, lost)))
    }

    fn replace(&self, watched: &Watched, state: &mut WatchState) -> Result<(), SecurityError> {
        let (stamps, loaded) = load(&watched.path);
        state.stamps = stamps;
        let old = self.current.load_full();
        let replaced = loaded.and_then(|mut new| match old.lost_in(&new) {
            Some(lost) => Err(SecurityError::loses(&watched.path, lost)),
            None => {
                new.generation = old.generation + 1;
                new.trust = old.trust + u64::from(!old.verifies_like(&new));
                if let (Some(old), Some(bucket)) = (&old.bucket, &mut new.bucket)
                    && old.rate() == bucket.rate()
                {
                    *bucket = Arc::clone(old);
                }
                Ok(new)
            }
        });
        state.reload.successful = replaced.is_ok();
        match replaced {
            Ok(new) => {
                self.current.store(Arc::new(new));
                state.reload.succeeded_at = SystemTime::now();
                state.complaint = None;
                tracing::info!(path = %watched.path.display(), "web configuration read again");
                Ok(())
            }
            Err(error) => {
                if state.complaint.as_ref() != Some(&error) {
                    tracing::error!(%error, "web configuration cannot be used; the one before stays in force");
                }
                state.complaint = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Reads the files again if they have changed, or if the last reading failed.
    fn look(&self) {
        let Some(watched) = &self.watched else { return };
        let mut state = watched.lock();
        if !state.reload.successful || state.stamps.iter().any(Stamp::is_stale) {
            // Logged and shown as a metric; there is nobody here to tell.
            let _ = self.replace(watched, &mut state);
        }
    }

    /// What is in force, after a look at the files where the last one is old.
    pub(super) async fn fresh(self: &Arc<Self>) -> Arc<Current> {
        if self.watched.as_ref().is_some_and(Watched::is_due) {
            let this = Arc::clone(self);
            let _ = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(move || this.look())).await;
        }
        self.current.load_full()
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look. Says so to one caller only; the others go on with what is in force.
    fn is_due(&self) -> bool {
        let now = self.born.elapsed().as_millis() as u64;
        let looked = self.looked.load(Ordering::Relaxed);
        now.saturating_sub(looked) >= LOOK.as_millis() as u64
            && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What tells one content of a file from another without reading it.
#[derive(PartialEq)]
struct Stamp {
    path: PathBuf,
    /// Device, inode, size, and times of change in seconds and nanoseconds; `None` where there is no file.
    seen: Option<[i64; 7]>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let seen = fs::metadata(path).ok().map(|found| {
            [
                found.dev() as i64,
                found.ino() as i64,
                found.size() as i64,
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            ]
        });
        Self { path: path.to_owned(), seen }
    }

    fn is_stale(&self) -> bool {
        *self != Self::of(&self.path)
    }
}

/// Reads everything. Each stamp is taken before its file is read: a change in between is seen the next time.
fn load(path: &Path) -> (Vec<Stamp>, Result<Current, SecurityError>) {
    let mut stamps = vec![Stamp::of(path)];
    let config = match read(path).and_then(|text| WebConfig::parse(path, &text)) {
        Ok(config) => config,
        Err(error) => return (stamps, Err(error)),
    };
    stamps.extend(config.files().iter().map(|path| Stamp::of(path)));
    (stamps, Current::new(config))
}

fn read(path: &Path) -> Result<String, SecurityError> {
    let refuse = |why: String| SecurityError(format!("web configuration file {}: {why}", path.display()));
    let unreadable = |error: std::io::Error| refuse(format!("cannot be read: {error}"));
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(refuse("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refuse("is larger than 1 MiB; is it the right file?".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text; is it the right file?".to_owned()))
}

impl Current {
    fn new(config: WebConfig) -> Result<Self, SecurityError> {
        let lenient = !config.excluded_paths.is_empty();
        let clients = config.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        Ok(Self {
            generation: 0,
            trust: 0,
            clients: clients.map(|clients| (clients.required, clients.allowed_names.clone())),
            tls: config.tls.as_ref().map(|tls| Tls::new(tls, lenient)).transpose()?,
            users: Arc::new(Users::new(config.users)),
            excluded_paths: config.excluded_paths,
            headers: config.headers.into_iter().collect(),
            bucket: config.rate.map(|rate| Arc::new(Bucket::new(rate, Instant::now()))),
        })
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn trust(&self) -> u64 {
        self.trust
    }

    fn verifies_like(&self, other: &Self) -> bool {
        fn authorities(current: &Current) -> Option<&[impl PartialEq]> {
            current.tls.as_ref().map(Tls::authorities)
        }
        self.clients == other.clients && authorities(self) == authorities(other)
    }

    fn needs_certificate(&self) -> bool {
        matches!(self.clients, Some((true, _)))
    }

    /// What `new` no longer protects with.
    fn lost_in(&self, new: &Current) -> Option<&'static str> {
        let named = |current: &Current| matches!(current.clients, Some((_, Some(_))));
        let protects = |current: &Current| current.needs_certificate() || !current.users.is_empty();
        let opens =
            protects(self) && new.excluded_paths.iter().any(|path| !self.excluded_paths.contains(path));
        [
            (opens, "the protection of a path (auth_excluded_paths)"),
            (self.tls.is_some() && new.tls.is_none(), "TLS"),
            (self.needs_certificate() && !new.needs_certificate(), "client certificates"),
            (named(self) && !named(new), "client_allowed_sans"),
            (!self.users.is_empty() && new.users.is_empty(), "basic auth"),
        ]
        .into_iter()
        .find_map(|(is_lost, what)| is_lost.then_some(what))
    }

    /// Why a request is not answered, if so.
    async fn refusal(&self, gate: &Gate, peer: Peer, request: &Parts) -> Option<Response> {
        if let Some(bucket) = &self.bucket
            && !bucket.take(Instant::now())
        {
            let seconds = bucket.rate().interval.as_secs_f64().ceil() as u64;
            let refused = super::text(StatusCode::TOO_MANY_REQUESTS, "too many requests");
            return Some(with(refused, RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if self.excluded_paths.iter().any(|path| path == request.uri.path()) {
            return None;
        }
        // The certificate itself was verified by the handshake, under the configuration of then: one that a newer
        // configuration would not accept does not outlive it.
        if self.needs_certificate() && !(peer.verified && peer.trust == self.trust) {
            return Some(super::text(StatusCode::UNAUTHORIZED, "a client certificate is needed"));
        }
        if self.users.is_empty() {
            return None;
        }
        let verdict = match auth::credentials(&request.headers) {
            Some(credentials) => gate.judge(&self.users, credentials).await,
            None => Verdict::Wrong,
        };
        match verdict {
            Verdict::Right => None,
            Verdict::Wrong => {
                let challenge =
                    HeaderValue::from_static("Basic realm=\"blooio-exporter\", charset=\"UTF-8\"");
                let refused = super::text(StatusCode::UNAUTHORIZED, "user or password is missing or wrong");
                Some(with(refused, WWW_AUTHENTICATE, challenge))
            }
            Verdict::Busy => {
                let refused =
                    super::text(StatusCode::SERVICE_UNAVAILABLE, "too many passwords to be checked");
                Some(with(refused, RETRY_AFTER, HeaderValue::from_static("1")))
            }
        }
    }
}

fn with(mut response: Response, name: http::HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Stands before every route, and before the answer to what is no route.
pub(super) async fn guard(State(security): State<Arc<Security>>, request: Request, next: Next) -> Response {
    let current = security.fresh().await;
    let (request, body) = request.into_parts();
    let peer = request.extensions.get::<Peer>().copied().unwrap_or_default();
    let mut response = match current.refusal(&security.gate, peer, &request).await {
        Some(refused) => refused,
        None => next.run(Request::from_parts(request, body)).await,
    };
    let headers = response.headers_mut();
    headers.extend(current.headers.clone());
    if peer.generation != current.generation {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
