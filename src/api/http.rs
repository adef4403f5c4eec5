//! Bytes over HTTP. The only file that names reqwest.

use std::future::Future;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::decode::BodyFault;
use super::error::Fault;
use crate::secret::Secret;

/// Largest body that is read, decoded. A page of 200 messages is a few hundred kilobytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// Time limit for a connection; the whole request has its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Servers commonly close idle connections after 5 s; a reused dead one costs an attempt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Time limit for reading a rejected key again.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A complete answer, whatever its status.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The `Date` header.
    pub date: Option<String>,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body, decoded.
    pub body: Vec<u8>,
}

/// Carries a GET to the API and its answer back. The seam at which tests put a world of their own.
pub trait Transport: Send + Sync + 'static {
    /// Gets `target` (path and query below the base URL). Errors are of the classes timeout, connection
    /// and body; every complete answer is a [`Reply`].
    fn get(&self, target: &str) -> impl Future<Output = Result<Reply, Fault>> + Send;

    /// Reads the key again; true when it is another one now.
    fn reload_key(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }
}

/// Where and how to send.
pub struct HttpOptions {
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

/// The real transport.
pub struct HttpTransport {
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
            .pool_max_idle_per_host(4);
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
            client,
            base_url: options.base_url,
            timeout: options.timeout,
            key: RwLock::new((options.key, header)),
            reload: Arc::from(options.reload),
        })
    }

    async fn exchange(&self, target: &str) -> Result<Reply, Fault> {
        let authorization = self.key.read().unwrap_or_else(|poisoned| poisoned.into_inner()).1.clone();
        let request =
            self.client.get(format!("{}{target}", self.base_url)).header(AUTHORIZATION, authorization);
        let mut response = request.send().await.map_err(|error| classify(&error, Fault::Connection))?;
        let header = |headers: &HeaderMap, name| -> Option<String> {
            headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned)
        };
        let mut reply = Reply {
            status: response.status().as_u16(),
            date: header(response.headers(), DATE),
            retry_after: header(response.headers(), RETRY_AFTER),
            body: Vec::new(),
        };
        if response.content_length().is_some_and(|length| length > MAX_BODY as u64) {
            return Err(Fault::Body(BodyFault::TooLarge));
        }
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if reply.body.len() + chunk.len() > MAX_BODY => {
                    return Err(Fault::Body(BodyFault::TooLarge));
                }
                Ok(Some(chunk)) => reply.body.extend_from_slice(&chunk),
                Ok(None) => return Ok(reply),
                // The status is known and says more than the missing rest of an error page.
                Err(_) if reply.status != 200 => return Ok(reply),
                Err(error) => return Err(classify(&error, Fault::Body(BodyFault::Truncated))),
            }
        }
    }
}

impl Transport for HttpTransport {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        // The client's own limit covers the same span; this one holds even if it does not.
        tokio::time::timeout(self.timeout, self.exchange(target)).await.unwrap_or(Err(Fault::Timeout))
    }

    async fn reload_key(&self) -> bool {
        let reload = Arc::clone(&self.reload);
        // The key file may lie on a mount that hangs: that must stop nothing but itself.
        let read = tokio::task::spawn_blocking(move || reload());
        let Ok(Ok(Some(key))) = tokio::time::timeout(RELOAD_TIMEOUT, read).await else { return false };
        let Some(header) = authorization(&key) else { return false };
        let mut held = self.key.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let changed = held.0 != key;
        *held = (key, header);
        changed
    }
}

fn authorization(key: &Secret) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {}", key.expose())).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn classify(error: &reqwest::Error, otherwise: Fault) -> Fault {
    if error.is_timeout() { Fault::Timeout } else { otherwise }
}
