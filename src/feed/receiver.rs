//! The webhook receiver: a delivery is judged, read, queued as hints, and answered. Nothing else happens before the answer.
//!
//! Checks run in this order: method, encoding and announced length, rate, raw bytes, signature. Only then is the body parsed.
//! A rejected client learns no detail. What an event means is decided by the collector, which reads the API: an event is a
//! hint and never counted as a message.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
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
/// Deliveries that are accepted at once before [`RATE`] limits them.
pub const BURST: u32 = 1000;
/// Between two looks at the files of secrets.
const LOOK: Duration = Duration::from_secs(1);

const LIMITS: BodyLimits = BodyLimits { bytes: MAX_BODY, time: BODY_TIME };

/// An account to which webhooks are sent.
pub struct Route {
    /// The name of the account.
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
    /// By account, across changes of tokens and secrets; an account that is removed and added again begins at 0.
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
        let mut counts = self.counts.lock();
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
        let counts = self.counts.lock();
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
    signature::HEADERS.iter().map(named).find(|values| !values.is_empty()).unwrap_or_default()
}

fn digest_of(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use bytes::Bytes;
    use ring::hmac;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";
    const SECRET: &str = "whsec_one";

    fn receiver(capacity: usize) -> Receiver {
        let secrets = || vec![Secret::new(SECRET.to_owned())];
        let route = Route {
            account: "a".to_owned(),
            token: Secret::new(TOKEN.to_owned()),
            secrets: Secrets::new(secrets(), Box::new(move || Ok(secrets()))),
            hints: Arc::new(Hints::new(capacity)),
        };
        Receiver::new("/in".to_owned(), Clock::System, vec![route])
    }

    fn signature(at: i64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={at},v1={hex}")
    }

    fn signed(body: &str) -> Request {
        let header = signature(Clock::System.now() / 1000, body);
        post(&[("x-blooio-signature", &header)], Body::from(body.to_owned()))
    }

    fn post(headers: &[(&str, &str)], body: Body) -> Request {
        let request = http::Request::post(format!("/in/{TOKEN}"));
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .body(body)
            .unwrap()
    }

    async fn status(receiver: &Receiver, request: Request) -> u16 {
        let outcome = receiver.take(request).await;
        receiver.answer(outcome).status().as_u16()
    }

    fn rejected(receiver: &Receiver) -> Vec<(&'static str, u64)> {
        let (of_accounts, strangers) = receiver.counts();
        let all = of_accounts[0].1.rejected.iter().chain(&strangers.rejected);
        all.filter(|(_, count)| *count > 0).copied().collect()
    }

    #[tokio::test]
    async fn a_signed_event_is_queued_and_answered_with_200_whatever_its_name() {
        let receiver = receiver(8);
        for body in [
            r#"{"event":"message.received","message_id":"m1","external_id":"+1"}"#,
            r#"{"event":"pigeon.released"}"#,
            r#"[{"event":"message.sent","message_id":"m2","external_id":"+1"},{"event":"message.read"}]"#,
            "[]",
        ] {
            assert_eq!(status(&receiver, signed(body)).await, 200, "{body}");
        }
        let body = r#"{"event":"message.failed","message_id":"m3","external_id":"+1"}"#;
        let header = signature(Clock::System.now() / 1000, body);
        let request = post(&[("blooio-signature", &header)], Body::from(body));
        assert_eq!(status(&receiver, request).await, 200, "the other name of the header");
        let (of_accounts, _) = receiver.counts();
        let events: Vec<_> =
            of_accounts[0].1.events.iter().filter(|(_, count)| *count > 0).copied().collect();
        let all = ["message.received", "message.sent", "message.failed", "message.read", "other"];
        assert_eq!(events, all.map(|event| (event, 1)));
        let queues = receiver.routes.load();
        assert_eq!(queues.values().next().unwrap().hints.take().len(), 1, "one chat");
        assert!(rejected(&receiver).is_empty());
    }

    #[tokio::test]
    async fn a_hint_that_cannot_be_queued_is_asked_for_again() {
        let receiver = receiver(1);
        let event =
            |n: u32| format!(r#"{{"event":"message.sent","message_id":"m{n}","external_id":"+{n}"}}"#);
        assert_eq!(status(&receiver, signed(&event(1))).await, 200);
        assert_eq!(status(&receiver, signed(&event(2))).await, 503);
        assert_eq!(rejected(&receiver), [("unavailable", 1)]);
        receiver.routes.load().values().for_each(|served| drop(served.hints.take()));
        assert_eq!(status(&receiver, signed(&event(2))).await, 200);
    }

    #[tokio::test]
    async fn every_rejection_has_its_status_and_its_counter() {
        let now = Clock::System.now() / 1000;
        let receiver = receiver(8);
        let broken =
            futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(io::Error::other("reset"))]);
        let endless =
            futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b' '; 64 * 1024])));
        let huge = "x".repeat(MAX_BODY + 1);
        let exact = format!("{}{{}}", " ".repeat(MAX_BODY - 2));
        let get = http::Request::get(format!("/in/{TOKEN}")).body(Body::empty()).unwrap();
        let at = |path: &str| http::Request::post(path).body(Body::from("{}")).unwrap();
        let stale = signature(now - 301, "{}");
        let early = signature(now + 302, "{}");
        let good = signature(now, "{}");
        let length = (MAX_BODY + 1).to_string();
        for (what, request, expected, reason) in [
            ("another method", get, 405, "method"),
            ("another path", at("/in/0123456789abcdeg"), 401, "signature"),
            ("no token", at("/in/"), 401, "signature"),
            ("no path", at("/"), 401, "signature"),
            ("another prefix", at(&format!("/out/{TOKEN}")), 401, "signature"),
            ("a token in a longer path", at(&format!("/in/{TOKEN}/")), 401, "signature"),
            ("an encoded token", at("/in/%30123456789abcdef"), 401, "signature"),
            ("no signature", post(&[], Body::from("{}")), 401, "signature"),
            ("of another body", post(&[("x-blooio-signature", &good)], Body::from("{ }")), 401, "signature"),
            (
                "two signatures",
                post(&[("x-blooio-signature", &good), ("x-blooio-signature", &good)], Body::from("{}")),
                401,
                "signature",
            ),
            ("too old", post(&[("x-blooio-signature", &stale)], Body::from("{}")), 401, "timestamp"),
            ("too early", post(&[("x-blooio-signature", &early)], Body::from("{}")), 401, "timestamp"),
            ("not JSON", signed("event=message.sent"), 400, "syntax"),
            ("neither object nor array", signed("7"), 400, "syntax"),
            ("compressed", post(&[("content-encoding", "gzip")], Body::from("{}")), 415, "syntax"),
            ("broken off", post(&[], Body::from_stream(broken)), 400, "syntax"),
            ("announced as too large", post(&[("content-length", &length)], Body::empty()), 413, "size"),
            ("too large", signed(&huge), 413, "size"),
            ("without end", post(&[], Body::from_stream(endless)), 413, "size"),
        ] {
            let before =
                rejected(&receiver).iter().filter(|(r, _)| *r == reason).map(|(_, n)| n).sum::<u64>();
            assert_eq!(status(&receiver, request).await, expected, "{what}");
            let after = rejected(&receiver).iter().filter(|(r, _)| *r == reason).map(|(_, n)| n).sum::<u64>();
            assert_eq!(after, before + 1, "{what}: {:?}", rejected(&receiver));
        }
        assert_eq!(status(&receiver, signed(&exact)).await, 200, "as large as may be");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let receiver = receiver(8);
        let request =
            post(&[], Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>()));
        assert_eq!(status(&receiver, request).await, 408);
        assert_eq!(rejected(&receiver), [("timeout", 1)]);
    }

    #[tokio::test]
    async fn a_flood_is_answered_with_429_and_strangers_cost_an_account_nothing() {
        let receiver = receiver(8);
        for _ in 0..3 * BURST {
            let stranger = http::Request::post("/in/stranger").body(Body::empty()).unwrap();
            assert_eq!(status(&receiver, stranger).await, 401);
        }
        assert_eq!(status(&receiver, signed("{}")).await, 200);
        let mut last = 0;
        for _ in 0..20 * BURST {
            last = status(&receiver, post(&[], Body::empty())).await;
            if last == 429 {
                break;
            }
        }
        assert_eq!(last, 429);
    }

    #[tokio::test]
    async fn counters_go_on_over_a_reload_and_end_with_their_account() {
        let receiver = receiver(8);
        assert_eq!(status(&receiver, signed("{}")).await, 200);
        let secrets = || vec![Secret::new(SECRET.to_owned())];
        let route = |account: &str, token: &str| Route {
            account: account.to_owned(),
            token: Secret::new(token.to_owned()),
            secrets: Secrets::new(secrets(), Box::new(move || Ok(secrets()))),
            hints: Arc::new(Hints::new(8)),
        };
        receiver.install(vec![route("a", "another-token-of-a"), route("b", TOKEN)]);
        assert_eq!(status(&receiver, signed("{}")).await, 200);
        let taken = |receiver: &Receiver| -> Vec<(String, u64)> {
            let (of_accounts, _) = receiver.counts();
            of_accounts.into_iter().map(|(a, r)| (a, r.events.iter().map(|(_, n)| n).sum())).collect()
        };
        assert_eq!(taken(&receiver), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        receiver.install(vec![route("b", "another-token-of-b")]);
        assert_eq!(status(&receiver, signed("{}")).await, 401);
        assert_eq!(taken(&receiver), [("b".to_owned(), 1)]);
    }
}
