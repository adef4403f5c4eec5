//! Bytes over HTTP. The only file that names reqwest.

use std::error::Error;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use rustls::CertificateError;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::decode::{BodyFault, LARGE_BODY, NOT_TEXT};
use super::error::{ConnectionFault, Fault};
use crate::secret::Secret;

/// Largest body that is read, decompressed. A page of 200 messages is a few hundred kilobytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;
/// Most bytes that are read of the body of an error. Its status says what happened; the body can only add a code.
pub const MAX_ERROR_BODY: usize = 64 * 1024;
/// Name lookups of one account that run at a time. The system's resolver cannot be interrupted: one that hangs keeps its
/// thread, and without a bound each attempt would cost one more.
pub const MAX_LOOKUPS: usize = 2;

/// How long a large body waits for its turn before it is rejected as too large.
pub const TURN_LIMIT: Duration = Duration::from_secs(1);

/// Room for a large body, in bytes. More than it can take, and more than the largest piece of memory that the C library
/// keeps for itself when it is freed (32 MiB): what is not written to costs nothing, and all of it is given back at once.
const LARGE_ROOM: usize = 33 * 1024 * 1024;

/// Only one body larger than [`LARGE_BODY`] is read at a time in the whole process: memory is bounded for any number of
/// accounts whose API misbehaves.
static LARGE: Semaphore = Semaphore::const_new(1);

/// Time limit for a connection; the whole request has its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Servers commonly close idle connections after 5 s; a reused dead one costs an attempt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Time limit for reading a rejected key again.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A complete answer, whatever its status.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The header `Date` as it was sent, where there is one.
    pub date: Option<String>,
    /// The header `Retry-After` as it was sent, where there is one.
    pub retry_after: Option<String>,
    /// The body of the answer, decompressed.
    pub body: Vec<u8>,
}

/// Carries a GET to the API and its answer back. The seam at which tests put a world of their own.
pub trait Transport: Send + Sync + 'static {
    /// Gets `target` (path and query below the base URL). Errors are of the classes timeout, connection
    /// and body; every complete answer is a [`Reply`], and so is the beginning of one with another status than 200.
    fn get(&self, target: &str) -> impl Future<Output = Result<Reply, Fault>> + Send;

    /// Reads the key again; true when it is another one now.
    fn reload_key(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }
}

/// Where and how to send.
pub struct HttpOptions {
    /// Name of the account, for the log.
    pub account: String,
    /// Base URL without a trailing slash.
    pub base_url: String,
    /// Whether it is https: plain http needs no certificates.
    pub tls: bool,
    /// Limit of a whole request, until its body is read.
    pub timeout: Duration,
    /// The key to start with.
    pub key: Secret,
    /// Reads the key again.
    pub reload: Box<dyn Fn() -> Option<Secret> + Send + Sync>,
}

/// The transport over HTTP or HTTPS, with one connection pool per account.
pub struct HttpTransport {
    account: String,
    /// Set by the first answer, and by the first request without one: that one is logged at once, because a wrong address
    /// is the likeliest mistake of a first start. Retries follow, and the collector logs what lasts.
    is_tried: AtomicBool,
    client: reqwest::Client,
    base_url: String,
    timeout: Duration,
    key: RwLock<(Secret, HeaderValue)>,
    reload: Arc<dyn Fn() -> Option<Secret> + Send + Sync>,
}

impl HttpTransport {
    /// Builds the client: no redirects (they would carry the key elsewhere), no proxies from the
    /// environment, no retries of its own (they would escape the budget), Mozilla's roots built in (a
    /// minimal container has none).
    ///
    /// Fails with a sentence when TLS cannot be set up or the key cannot be a header.
    pub fn new(options: HttpOptions) -> Result<HttpTransport, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("blooio-exporter/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .gzip(true)
            .connect_timeout(CONNECT_TIMEOUT.min(options.timeout))
            .timeout(options.timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(4)
            .dns_resolver(Arc::new(BoundedResolver { slots: Arc::new(Semaphore::new(MAX_LOOKUPS)) }));
        let mut roots = Vec::new();
        if options.tls {
            for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
                let certificate = reqwest::Certificate::from_der(certificate);
                roots.push(certificate.map_err(|error| format!("TLS cannot be set up: {error}"))?);
            }
        }
        builder = builder.tls_certs_only(roots);
        let client = builder.build().map_err(|_| String::from("the HTTP client cannot be set up"))?;
        let header =
            authorization(&options.key).ok_or("the API key has characters that no header can carry")?;
        Ok(HttpTransport {
            account: options.account,
            is_tried: AtomicBool::new(false),
            client,
            base_url: options.base_url,
            timeout: options.timeout,
            key: RwLock::new((options.key, header)),
            reload: Arc::from(options.reload),
        })
    }

    async fn exchange(&self, target: &str) -> Result<Reply, Fault> {
        let authorization = self.key.read().1.clone();
        let request =
            self.client.get(format!("{}{target}", self.base_url)).header(AUTHORIZATION, authorization);
        let mut response = request.send().await.map_err(classify)?;
        let header = |headers: &HeaderMap, name| -> Option<String> {
            headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned)
        };
        Ok(Reply {
            status: response.status().as_u16(),
            date: header(response.headers(), DATE),
            retry_after: header(response.headers(), RETRY_AFTER),
            body: match response.status() {
                StatusCode::OK => body(&mut response).await?,
                _ => error_body(&mut response).await,
            },
        })
    }
}

/// The body of a 200, decompressed.
async fn body(response: &mut Response) -> Result<Vec<u8>, Fault> {
    const TOO_LARGE: Fault = Fault::Body(BodyFault::TooLarge);
    if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
        return Err(TOO_LARGE);
    }
    let (mut body, mut turn) = (Vec::new(), None::<SemaphorePermit<'static>>);
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                make_utf8(&mut body);
                return Ok(body);
            }
            Err(error) if error.is_timeout() => return Err(Fault::Timeout),
            Err(_) => return Err(Fault::Body(BodyFault::Truncated)),
        };
        let length = body.len() + chunk.len();
        if length > MAX_BODY {
            return Err(TOO_LARGE);
        }
        if length > LARGE_BODY && turn.is_none() {
            // Bounded: the request that has the turn may be one that nothing polls while this one is waited for.
            let Ok(Ok(permit)) = timeout(TURN_LIMIT, LARGE.acquire()).await else { return Err(TOO_LARGE) };
            turn = Some(permit);
            body.reserve_exact(LARGE_ROOM - body.len());
        }
        body.extend_from_slice(&chunk);
    }
}

/// Replaces what is not UTF-8 in place, byte by byte, as the decoder would in a copy.
fn make_utf8(body: &mut [u8]) {
    let mut start = 0;
    while let Err(error) = std::str::from_utf8(&body[start..]) {
        let at = start + error.valid_up_to();
        let end = error.error_len().map_or(body.len(), |length| at + length);
        body[at..end].fill(NOT_TEXT);
        start = end;
    }
}

/// The beginning of the body of any other status, which is known and says more than what is missing here.
async fn error_body(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MAX_ERROR_BODY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BODY - body.len())]);
    }
    body
}

/// The system's resolver with a bound on the lookups that run at a time.
struct BoundedResolver {
    slots: Arc<Semaphore>,
}

impl Resolve for BoundedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let slots = Arc::clone(&self.slots);
        Box::pin(async move {
            let slot = slots.acquire_owned().await?;
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs().map_err(|_| LookupFailed);
                // Held until here even when the request was given up: it is the thread that must not be multiplied.
                drop(slot);
                found
            });
            let addresses: Vec<_> = lookup.await??.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A host name could not be resolved. The system's reason is left out: it differs between systems and adds nothing.
#[derive(Debug, thiserror::Error)]
#[error("the host name could not be resolved")]
struct LookupFailed;

impl Transport for HttpTransport {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        // The client's own limit covers the same span; this one holds even if it does not.
        let exchanged = tokio::time::timeout(self.timeout, self.exchange(target)).await;
        let reply = exchanged.unwrap_or(Err(Fault::Timeout));
        if !self.is_tried.swap(true, Ordering::Relaxed)
            && let Err(fault) = reply
            && let Some(advice) = unreachable_advice(fault)
        {
            tracing::warn!(account = self.account, advice, "the Blooio API {fault}; retrying");
        }
        reply
    }

    async fn reload_key(&self) -> bool {
        let reload = Arc::clone(&self.reload);
        // The key file may lie on a mount that hangs: that must stop nothing but itself.
        let read = tokio::task::spawn_blocking(move || reload());
        let Ok(Ok(Some(key))) = tokio::time::timeout(RELOAD_TIMEOUT, read).await else { return false };
        let Some(header) = authorization(&key) else { return false };
        let mut held = self.key.write();
        let changed = held.0 != key;
        *held = (key, header);
        changed
    }
}

/// What to do about an API that gives no answer; `None` for one that does.
fn unreachable_advice(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Connection(fault) => Some(fault.advice()),
        Fault::Timeout => {
            Some("check --blooio.base-url and the network; raise --api.timeout if the API is merely slow")
        }
        Fault::Status(_) | Fault::RateLimited { .. } | Fault::Body(_) => None,
    }
}

fn authorization(key: &Secret) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {}", key.expose())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Why a request got no answer, without what the libraries' texts contain: URLs and addresses.
fn classify(error: reqwest::Error) -> Fault {
    if error.is_timeout() {
        return Fault::Timeout;
    }
    let error = error.without_url();
    let mut fault = ConnectionFault::Other;
    let mut next: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = next {
        if let Some(found) = connection_fault(error) {
            fault = found;
        }
        next = error.source();
    }
    Fault::Connection(fault)
}

/// The class of one link in a chain of errors; the last one that has a class is the cause.
fn connection_fault(error: &(dyn Error + 'static)) -> Option<ConnectionFault> {
    if error.is::<LookupFailed>() {
        return Some(ConnectionFault::NameResolution);
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_fault(error));
    }
    if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
        return Some(ConnectionFault::Closed);
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An error inside of an I/O error is no link of its own, and may hold another one.
    if let Some(fault) = error.get_ref().and_then(|inner| connection_fault(inner)) {
        return Some(fault);
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(ConnectionFault::Refused),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable => {
            Some(ConnectionFault::Unreachable)
        }
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some(ConnectionFault::Closed),
        _ => None,
    }
}

fn tls_fault(error: &rustls::Error) -> ConnectionFault {
    let rustls::Error::InvalidCertificate(error) = error else { return ConnectionFault::Tls };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ConnectionFault::CertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ConnectionFault::CertificateNotYetValid
        }
        CertificateError::UnknownIssuer => ConnectionFault::CertificateUnknown,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ConnectionFault::CertificateName
        }
        _ => ConnectionFault::CertificateOther,
    }
}
