//! The webhook receiver: a delivery is judged, read, queued as hints, and answered. Nothing else happens before the answer.
//!
//! Checks run in this order: method, encoding and announced length, rate, raw bytes, signature. Only then is the body parsed.
//! A rejected client learns no detail. What an event means is decided by the collector, which reads the API: an event is a
//! hint and never counted as a message.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ring::digest;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::body;
use super::counts::{Counts, Reason, Received};
use super::hints::Hints;
use super::secrets::Secrets;
use super::signature::{self, Untrusted};
use crate::clock::Clock;
use crate::secret::Secret;
use crate::web::{self, BodyLimits, Bucket, Incomplete, Rate, Security, WebOptions};

/// Largest body, in bytes. Blooio's are a few kilobytes.
pub const MAX_BODY: usize = 256 * 1024;
/// From the end of a request's head to the end of its body.
pub const BODY_TIME: Duration = Duration::from_secs(5);
/// Connections at a time. Each may hold a body of [`MAX_BODY`].
pub const MAX_CONNECTIONS: usize = 64;
/// Deliveries to one account per second, on average and at once: several times what a busy account causes.
pub const RATE: u32 = 200;
/// See [`RATE`].
pub const BURST: u32 = 1000;
/// Between two looks at the files of secrets.
const LOOK: Duration = Duration::from_secs(1);

const LIMITS: BodyLimits = BodyLimits { bytes: MAX_BODY, time: BODY_TIME };

/// An account to which webhooks are sent.
pub struct Route {
    /// Its name.
    pub account: String,
    /// The end of its path.
    pub token: Secret,
    /// What deliveries are signed with.
    pub secrets: Secrets,
    /// Where its hints go.
    pub hints: Arc<Hints>,
}

struct Served {
    account: String,
    secrets: Secrets,
    hints: Arc<Hints>,
    bucket: Bucket,
    counts: Arc<Counts>,
}

type Digest = [u8; 32];

/// Receives webhooks for all accounts that have one.
pub struct Receiver {
    prefix: String,
    clock: Clock,
    /// By the digest of their token: how long a look-up takes says nothing about any token.
    routes: ArcSwap<HashMap<Digest, Arc<Served>>>,
    /// By account; an account that comes back continues.
    counts: Mutex<BTreeMap<String, Arc<Counts>>>,
    /// Of deliveries to no account.
    strangers: Counts,
}

impl Receiver {
    /// Receives at `prefix`, a slash and the token of an account.
    pub fn new(prefix: String, clock: Clock, routes: Vec<Route>) -> Self {
        let receiver = Self {
            prefix,
            clock,
            routes: ArcSwap::default(),
            counts: Mutex::default(),
            strangers: Counts::default(),
        };
        receiver.install(routes);
        receiver
    }

    /// Receives for these accounts from now on. Counters go on.
    pub fn install(&self, routes: Vec<Route>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = routes.iter().map(|route| route.account.clone()).collect();
        let rate = Rate { interval: Duration::from_secs(1) / RATE, burst: BURST };
        let served = routes.into_iter().map(|route| {
            let Route { account, token, secrets, hints } = route;
            let counts = Arc::clone(counts.entry(account.clone()).or_default());
            let bucket = Bucket::new(rate, Instant::now());
            (digest_of(token.expose()), Arc::new(Served { account, secrets, hints, bucket, counts }))
        });
        let served = served.collect();
        counts.retain(|account, _| names.contains(account));
        self.routes.store(Arc::new(served));
    }

    /// The counters of each account, and of deliveries to none.
    pub fn counts(&self) -> (Vec<(String, Received)>, Received) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_accounts = counts.iter().map(|(account, counts)| (account.clone(), counts.now()));
        (of_accounts.collect(), self.strangers.now())
    }

    /// The account that a path is of.
    fn find(&self, path: &str) -> Option<Arc<Served>> {
        let token = path.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
        self.routes.load().get(&digest_of(token)).cloned()
    }

    /// Judges a delivery and queues its hints.
    async fn take(&self, request: Request) -> Result<(), (Option<Arc<Served>>, Reason, StatusCode)> {
        let (head, body) = request.into_parts();
        let served = self.find(head.uri.path());
        if head.method != Method::POST {
            return Err((served, Reason::Method, StatusCode::METHOD_NOT_ALLOWED));
        }
        let Some(served) = served else {
            return Err((None, Reason::Signature, StatusCode::UNAUTHORIZED));
        };
        let outcome = self.take_for(&served, &head, body).await;
        outcome.map_err(|(reason, status)| (Some(served), reason, status))
    }

    async fn take_for(
        &self,
        served: &Served,
        head: &Parts,
        body: axum::body::Body,
    ) -> Result<(), (Reason, StatusCode)> {
        if web::is_encoded(&head.headers) {
            return Err((Reason::Syntax, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if web::announces_more(&head.headers, MAX_BODY) {
            return Err((Reason::Size, StatusCode::PAYLOAD_TOO_LARGE));
        }
        if !served.bucket.take(Instant::now()) {
            return Err((Reason::Rate, StatusCode::TOO_MANY_REQUESTS));
        }
        let body = web::receive(head, body, LIMITS).await.map_err(|incomplete| match incomplete {
            Incomplete::TooLarge => (Reason::Size, StatusCode::PAYLOAD_TOO_LARGE),
            Incomplete::TooSlow => (Reason::Timeout, StatusCode::REQUEST_TIMEOUT),
            Incomplete::Broken => (Reason::Syntax, StatusCode::BAD_REQUEST),
        })?;
        let now = self.clock.now();
        let verdict = signature::verify(
            &signatures(&head.headers),
            &body,
            now.div_euclid(1000),
            &served.secrets.current(),
        );
        verdict.map_err(|untrusted| match untrusted {
            Untrusted::Signature => (Reason::Signature, StatusCode::UNAUTHORIZED),
            Untrusted::Timestamp => (Reason::Timestamp, StatusCode::UNAUTHORIZED),
        })?;
        let events = body::events(&body).map_err(|_| (Reason::Syntax, StatusCode::BAD_REQUEST))?;
        for event in events {
            let kind = event.kind;
            let queued = served.hints.offer(event, now);
            queued.map_err(|_| (Reason::Unavailable, StatusCode::SERVICE_UNAVAILABLE))?;
            served.counts.took(kind, now);
        }
        Ok(())
    }

    fn answer(&self, outcome: Result<(), (Option<Arc<Served>>, Reason, StatusCode)>) -> Response {
        let (served, reason, status) = match outcome {
            Ok(()) => return web::text(StatusCode::OK, "queued"),
            Err(rejected) => rejected,
        };
        match served {
            Some(served) => {
                if served.counts.rejected(reason) {
                    let (account, reason, advice) = (&served.account, reason.label(), reason.advice());
                    tracing::warn!(
                        account,
                        reason,
                        advice,
                        "webhook delivery rejected; further ones are only counted"
                    );
                }
            }
            None => {
                self.strangers.rejected(reason);
            }
        }
        let mut response = web::text(status, status.canonical_reason().unwrap_or("rejected"));
        let mut set =
            |name: HeaderName, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        match status {
            StatusCode::METHOD_NOT_ALLOWED => set(ALLOW, "POST"),
            StatusCode::TOO_MANY_REQUESTS => set(RETRY_AFTER, "1"),
            StatusCode::SERVICE_UNAVAILABLE => set(RETRY_AFTER, "30"),
            // Of these, the body may not have been read to its end.
            _ => set(CONNECTION, "close"),
        };
        response
    }

    /// Looks at the files of secrets once a second, for ever. One that hangs holds up the looks, and nothing else.
    async fn watch(&self) {
        loop {
            sleep(LOOK).await;
            let routes = self.routes.load_full();
            let looked = tokio::task::spawn_blocking(move || {
                routes.values().for_each(|served| served.secrets.look(&served.account));
            });
            let _ = looked.await;
        }
    }
}

/// Serves a receiver on all `listeners` until `shutdown` completes, within the limits of `options`.
///
/// # Errors
/// When there is no listener.
pub async fn run(
    listeners: Vec<TcpListener>,
    receiver: Arc<Receiver>,
    options: WebOptions,
    security: Arc<Security>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let routes = Router::new().fallback(deliver).with_state(Arc::clone(&receiver));
    tokio::select! {
        served = web::serve_routes(listeners, routes, options, security, shutdown) => served,
        () = receiver.watch() => Ok(()),
    }
}

async fn deliver(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let outcome = receiver.take(request).await;
    receiver.answer(outcome)
}

/// The values of the signature's header, under the first of its names that is there.
fn signatures(headers: &HeaderMap) -> Vec<&[u8]> {
    let named = |name: &&str| headers.get_all(*name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
    signature::HEADERS.iter().map(|name| named(&name)).find(|values| !values.is_empty()).unwrap_or_default()
}

fn digest_of(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}
