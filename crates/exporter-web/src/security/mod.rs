//! Who may connect and ask: TLS, basic auth, response headers and a rate limit, from a file that may change at any time.
//!
//! The files are looked at once a second (see [`watch`]). What was read last without error stays in force until something
//! better can be read, and a reload never weakens protection (see [`protection`]): a file that is half written, or emptied
//! by mistake, would otherwise open the door. For that, restart.
//!
//! Every request is judged in this order: rate limit, client certificate, password, and then the host that it names. Paths are compared byte by
//! byte with the path that the router goes by, so what is excluded here is what is answered there.
//!
//! What does not belong here: what the pages show, and the limits that hold for every client alike (those are in
//! `connection`).

mod clients;
mod file;
mod host;
mod protection;
pub(super) mod rate;
pub(super) mod tls;
mod users;
mod verifier;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;

pub use clients::CertificateExpiry;
pub use file::{Rate, WebConfig};
pub use host::AllowedHosts;
use protection::{Protection, TlsProtection};
pub use rate::Bucket;
use tls::Tls;
use users::Users;
use verifier::{PasswordVerifier, Verdict};
pub use watch::Prepared;
use watch::Watched;

use super::slots::{ConnectionState, Network, Slot};

/// How long a client is kept waiting that is told that the server is busy: it must not be able to ask again at once.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The web configuration cannot be used: one line with file, line and what to change, and nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecurityError(String);

impl SecurityError {
    fn loses(path: &Path, what: &str) -> SecurityError {
        SecurityError(format!(
            "{}: would switch off {what}, which a reload may not; restart the exporter to do that",
            crate::privacy::shown(path)
        ))
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
    verifier: PasswordVerifier,
    hosts: AllowedHosts,
    /// Asks for a user and a password; names what they are for.
    challenge: HeaderValue,
    /// Held while one configuration replaces another; never while a file is read.
    installing: Mutex<()>,
    /// `None` where there is no file: nothing is asked for and nothing changes.
    watched: Option<Watched>,
}

/// What is in force at a time.
#[derive(Default)]
pub(super) struct Current {
    /// Of the files' content.
    digest: watch::Digest,
    /// Grows with each reload: connections made under an older one are closed after their next answer.
    generation: u64,
    /// Incremented when a reload changes how client certificates are verified.
    trust: u64,
    tls: Option<Tls>,
    users: Arc<Users>,
    bucket: Option<Arc<Bucket>>,
    protection: Protection,
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
    /// Whether the address that it connected to is one of loopback only.
    pub(super) loopback: bool,
}

impl Security {
    /// Plain HTTP, open to everyone who reaches the address. Listeners on loopback addresses answer to the names `hosts`.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn none(hosts: AllowedHosts) -> Result<Self, SecurityError> {
        Self::new(Current::default(), hosts, None)
    }

    /// Reads a web configuration file and everything that it names.
    ///
    /// # Errors
    /// When one of them cannot be read or used.
    pub fn open(path: &Path, hosts: AllowedHosts) -> Result<Self, SecurityError> {
        let loaded = watch::load(path);
        let watched = Watched::new(path, &loaded);
        Self::new(loaded.result?, hosts, Some(watched))
    }

    fn new(current: Current, hosts: AllowedHosts, watched: Option<Watched>) -> Result<Self, SecurityError> {
        Ok(Self {
            current: ArcSwap::from_pointee(current),
            verifier: PasswordVerifier::new()?,
            hosts,
            challenge: challenge("metrics"),
            installing: Mutex::default(),
            watched,
        })
    }

    /// The realm that a browser shows when it asks for a password; `metrics` without it. Characters that do not belong into a
    /// quoted string are left out.
    #[must_use]
    pub fn with_realm(mut self, realm: &str) -> Self {
        self.challenge = challenge(realm);
        self
    }

    /// Whether clients are asked for a password, or must have a certificate.
    pub fn authenticates(&self) -> bool {
        let current = self.current();
        !current.users.is_empty() || current.needs_certificate()
    }

    /// Whether TLS is served.
    pub fn encrypts(&self) -> bool {
        self.current().tls.is_some()
    }

    /// How reading the file went; `None` where there is no file.
    pub fn last_reload(&self) -> Option<WebReload> {
        self.watched.as_ref().map(|watched| **watched.reload.load())
    }

    /// The values in force that answers show.
    pub fn shown(&self) -> Vec<String> {
        self.current().shown()
    }

    /// When the certificates in force expire.
    pub fn certificates(&self) -> Vec<CertificateExpiry> {
        self.current().tls.as_ref().map(|tls| tls.expiries().to_vec()).unwrap_or_default()
    }

    /// What is in force. Takes no lock and looks at no file.
    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }
}

impl Current {
    fn new(config: WebConfig) -> Result<Self, SecurityError> {
        let lenient = !config.excluded_paths.is_empty();
        let clients = config.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let protection = Protection {
            tls: config.tls.as_ref().map(|tls| TlsProtection {
                min: tls.min,
                max: tls.max,
                cipher_suites: tls.cipher_suites.clone(),
                curves: tls.curves.clone(),
            }),
            clients: clients.map(|clients| (clients.required, clients.allowed_names.clone())),
            excluded_paths: config.excluded_paths,
            headers: config.headers.into_iter().collect(),
            rate: config.rate,
        };
        Ok(Self {
            tls: config.tls.as_ref().map(|tls| Tls::new(tls, lenient)).transpose()?,
            users: Arc::new(Users::new(config.users)),
            bucket: config.rate.map(|rate| Arc::new(Bucket::new(rate, Instant::now()))),
            protection,
            ..Self::default()
        })
    }

    /// Takes over from `old` what outlives a reload.
    fn follow(&mut self, old: &Self) {
        self.generation = old.generation + 1;
        self.trust = old.trust + u64::from(!old.verifies_like(self));
        if let (Some(old), Some(bucket)) = (&old.bucket, &mut self.bucket)
            && old.rate() == bucket.rate()
        {
            *bucket = Arc::clone(old);
        }
    }

    fn shown(&self) -> Vec<String> {
        let headers = self.protection.headers.values();
        headers.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
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
        self.protection.clients == other.protection.clients && authorities(self) == authorities(other)
    }

    fn needs_certificate(&self) -> bool {
        matches!(self.protection.clients, Some((true, _)))
    }

    /// Why a request is not answered, if so.
    async fn rejection(&self, security: &Security, peer: Peer, request: &Parts) -> Option<Response> {
        if let Some(bucket) = &self.bucket
            && !bucket.take(Instant::now())
        {
            let seconds = bucket.rate().interval.as_secs_f64().ceil() as u64;
            let refused = super::text(StatusCode::TOO_MANY_REQUESTS, "too many requests");
            return Some(with(refused, RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if self.protection.excluded_paths.iter().any(|path| path == request.uri.path()) {
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
        let slot = request.extensions.get::<Arc<Slot>>();
        let network = slot.map_or(Network::UNKNOWN, |slot| slot.network());
        let verdict = match users::credentials(&request.headers) {
            Some(credentials) => {
                let wait = |asked| slot.into_iter().for_each(|slot| slot.queue(asked));
                let verdict = security.verifier.judge(&self.users, credentials, network, wait).await;
                if verdict == Verdict::Busy {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                verdict
            }
            None => Verdict::Wrong,
        };
        slot.into_iter().for_each(|slot| slot.set(ConnectionState::Answering));
        match verdict {
            Verdict::Right => None,
            Verdict::Wrong => {
                let refused = super::text(StatusCode::UNAUTHORIZED, "user or password is missing or wrong");
                Some(with(refused, WWW_AUTHENTICATE, security.challenge.clone()))
            }
            Verdict::Busy => {
                let refused =
                    super::text(StatusCode::SERVICE_UNAVAILABLE, "too many passwords to be checked");
                Some(with(refused, RETRY_AFTER, HeaderValue::from_static("1")))
            }
        }
    }
}

fn challenge(realm: &str) -> HeaderValue {
    let plain = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\') || *c == ' ';
    let realm: String = realm.chars().filter(plain).collect();
    HeaderValue::from_str(&format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic realm=\"metrics\", charset=\"UTF-8\""))
}

fn with(mut response: Response, name: http::HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Stands before every route, and before the answer to what is no route.
pub(super) async fn guard(State(security): State<Arc<Security>>, request: Request, next: Next) -> Response {
    let current = security.current();
    let (request, body) = request.into_parts();
    let peer = request.extensions.get::<Peer>().copied().unwrap_or_default();
    let mut response = match current.rejection(&security, peer, &request).await {
        Some(rejected) => rejected,
        None if peer.loopback && !security.hosts.allow(&request) => super::text(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not served here; use the address, or allow the name with --web.allowed-host",
        ),
        None => next.run(Request::from_parts(request, body)).await,
    };
    let headers = response.headers_mut();
    headers.extend(current.protection.headers.clone());
    if peer.generation != current.generation {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
