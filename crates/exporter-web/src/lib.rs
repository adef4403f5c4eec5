//! The web interface: the metrics page, health, and the status page.
//!
//! It only shows. What is shown comes from a [`Site`], which is asked for it per request and must answer from memory.
//! The one request that sets something in motion is `POST /-/reload`, and that something is not a request to Blooio. The
//! pages take no parameters and no bodies.
//!
//! What does not belong here: the encoding of metrics, the state of accounts, binding addresses.

mod connection;
pub mod files;
mod health;
pub mod limits;
mod negotiate;
pub mod paths;
mod plain;
pub mod privacy;
mod receive;
mod security;
mod slots;
mod tcp;
pub mod yaml;

use std::future::Future;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

pub use health::healthcheck;
pub use negotiate::Format;
pub use receive::{BodyLimits, Incomplete, announces_more, is_encoded, receive};
pub use security::{
    AllowedHosts, Bucket, CertificateExpiry, Prepared, Rate, Security, SecurityError, WebConfig, WebReload,
};

/// The fastest level. It packs a page of 1.3 MB into a tenth of its size within 2 ms; the next level takes twice that to
/// save another 3 %.
const GZIP_LEVEL: Compression = Compression::new(1);
/// From this size in bytes on, a page is compressed on a thread that may block; below, that takes under a millisecond.
const COMPRESS_ASIDE: usize = 128 * 1024;

/// The pages load nothing, send nothing and are part of no other page. Styles and the icon are inside the page.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                              form-action 'none'; frame-ancestors 'none'";

/// Where the pages get their content. Every method is called per request, at any time, from several threads; only
/// [`Site::reload`] may wait for something.
pub trait Site: Send + Sync + 'static {
    /// The metrics page in the given form.
    ///
    /// # Errors
    /// When the page cannot be encoded. The client gets a 500 with the error's text and nothing of the page.
    fn page(&self, format: Format) -> Result<Bytes, PageError>;

    /// Whether state is restored, every account has tried its first sweep, and one is committed.
    ///
    /// # Errors
    /// The reason why not, as one line anyone may read.
    fn ready(&self) -> Result<(), String>;

    /// Whether the process and its loops live. An upstream that is away is no reason against it.
    ///
    /// # Errors
    /// The reason why not, as one line anyone may read.
    fn healthy(&self) -> Result<(), String>;

    /// Whether this process is the one that works, where several share the work.
    ///
    /// # Errors
    /// The reason why not, as one line anyone may read.
    fn active(&self) -> Result<(), String> {
        Ok(())
    }

    /// The HTML of the landing page. It may use no script and nothing from elsewhere: see the content security policy.
    fn status(&self) -> String;

    /// The HTML of the page that says which metrics there are and what they mean, under the same policy.
    fn reference(&self) -> String;

    /// Reads the configuration again.
    fn reload(&self) -> BoxFuture<'_, ReloadOutcome>;
}

/// What became of a request to read the configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// It is in force; one line on what changed.
    Applied(String),
    /// The previous one stays in force. The reason may quote the configuration and is for the log alone.
    NotApplied,
    /// The last request was a moment ago.
    TooSoon,
}

/// The metrics page could not be encoded. The text is shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metrics page cannot be encoded: {0}")]
pub struct PageError(pub String);

/// The limits of the web interface. The defaults suit any number of scrapers an exporter has; tests shorten them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOptions {
    /// Whether `POST /-/reload` is answered. Default no.
    pub lifecycle: bool,
    /// Path of the metrics page; begins with `/` and is no other page's. Default `/metrics`.
    pub telemetry_path: String,
    /// Connections served at a time, over all addresses. When there are as many and one more comes, the one that behaves
    /// least like a scraper is evicted. Default 256.
    pub max_connections: usize,
    /// Most bytes of a request head; a longer one is answered with 431. Values below 8 KiB act as 8 KiB. Default 16 KiB.
    pub max_head_bytes: usize,
    /// From connecting, or from the first byte of a further request head, to the end of that head. Default 3 s.
    pub head_timeout: Duration,
    /// How long a connection may wait for its next request. Default 90 s, so that a scrape each minute finds its
    /// connection again.
    pub idle_timeout: Duration,
    /// How long a client may take for what it did not take at once of an answer. Default 10 s.
    pub write_timeout: Duration,
    /// Age at which a connection is closed after the answer that is under way. Default 5 min.
    pub max_age: Duration,
    /// How long that answer may take before the connection is cut. Default 10 s.
    pub close_grace: Duration,
    /// How long answers under way may take at shutdown before their connections are cut. Default 3 s.
    pub drain: Duration,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            lifecycle: false,
            telemetry_path: "/metrics".to_owned(),
            max_connections: 256,
            max_head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(90),
            write_timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(300),
            close_grace: Duration::from_secs(10),
            drain: Duration::from_secs(3),
        }
    }
}

/// Serves the pages of `site` on all `listeners`, as `security` says, until `shutdown` completes; then accepts nothing
/// more, lets answers under way end within `options.drain`, cuts what is left and returns. Dropping the future cuts
/// everything at once.
///
/// # Errors
/// When there is no listener, or when `options.telemetry_path` is not a path. A failing connection or accept is logged
/// and ends nothing.
pub async fn run(
    listeners: Vec<TcpListener>,
    site: Arc<dyn Site>,
    options: WebOptions,
    security: Arc<Security>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let path = &options.telemetry_path;
    // The router panics on a path that it cannot take.
    if let Err(why) = paths::check_telemetry_path(path) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the metrics page: `{path}` {why}")));
    }
    let router = router(site, path, options.lifecycle, &security);
    connection::serve(listeners, router, options, security, shutdown).await
}

/// Serves other routes than the pages under the same limits and with the same protection, as [`run`] does. Of `options`, what
/// the pages are is left aside.
///
/// # Errors
/// When there is no listener.
pub async fn serve_routes(
    listeners: Vec<TcpListener>,
    routes: Router,
    options: WebOptions,
    security: Arc<Security>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let routes = protected(routes, &security);
    connection::serve(listeners, routes, options, security, shutdown).await
}

/// Routes behind the rules of the web configuration, with the headers that every answer has.
fn protected(routes: Router, security: &Arc<Security>) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(security), security::guard)).layer(map_response(secured))
}

/// What the handlers share.
struct Pages {
    site: Arc<dyn Site>,
    /// The last page of each form, plain and compressed: a site that hands out the same page again need not pay again.
    /// Held while a page is compressed, so that those who ask for it meanwhile wait for that one.
    compressed: [Mutex<Option<(Bytes, Bytes)>>; 2],
}

fn router(site: Arc<dyn Site>, telemetry_path: &str, lifecycle: bool, security: &Arc<Security>) -> Router {
    let reload = if lifecycle { post(reload) } else { post(reload_disabled) };
    let pages = Pages { site, compressed: Default::default() };
    let routes = Router::new()
        .route(paths::STATUS, get(status_page))
        .route(paths::REFERENCE, get(reference))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/active", get(active))
        .route("/-/reload", reload)
        .route(telemetry_path, get(metrics))
        .fallback(async || text(StatusCode::NOT_FOUND, "there is nothing here; see /"))
        .method_not_allowed_fallback(async |asked: Uri| {
            let methods = if asked.path() == "/-/reload" { "POST is" } else { "GET and HEAD are" };
            text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods} understood here"))
        })
        .with_state(Arc::new(pages));
    protected(routes, security)
}

/// Adds the headers that every answer has. What the web configuration says of them stands.
async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_FRAME_OPTIONS, "deny"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A complete answer. The length is always said, so that a cut one cannot pass for a whole one.
fn answer(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// An answer of one line.
pub fn text(status: StatusCode, line: &str) -> Response {
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer(status, content_type, Bytes::from(format!("{line}\n")))
}

fn html(page: String) -> Response {
    answer(StatusCode::OK, HeaderValue::from_static("text/html; charset=utf-8"), page.into())
}

fn verdict(verdict: Result<(), String>, good: &str) -> Response {
    match verdict {
        Ok(()) => text(StatusCode::OK, good),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason),
    }
}

async fn healthy(State(pages): State<Arc<Pages>>) -> Response {
    verdict(pages.site.healthy(), "healthy")
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    verdict(pages.site.ready(), "ready")
}

async fn active(State(pages): State<Arc<Pages>>) -> Response {
    verdict(pages.site.active(), "active")
}

async fn reference(State(pages): State<Arc<Pages>>) -> Response {
    html(pages.site.reference())
}

async fn reload(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    // Browsers say where a request comes from. A page of another site has no business here; curl says nothing.
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let is_foreign_site = sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    // They leave that out on plain http, where the origin is what is left to go by.
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_foreign_origin =
        origins.any(|origin| origin.as_bytes().rsplit(|byte| *byte == b'/').next() != host);
    if is_foreign_site || is_foreign_origin {
        return text(StatusCode::FORBIDDEN, "a page of another site cannot ask for this");
    }
    match pages.site.reload().await {
        ReloadOutcome::Applied(changes) => text(StatusCode::OK, &changes),
        ReloadOutcome::NotApplied => text(StatusCode::INTERNAL_SERVER_ERROR, "not applied, see the log"),
        ReloadOutcome::TooSoon => {
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "the last reload was a moment ago");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

async fn reload_disabled() -> Response {
    text(
        StatusCode::FORBIDDEN,
        "the lifecycle endpoint is not enabled; send SIGHUP, or start with --web.enable-lifecycle",
    )
}

async fn status_page(State(pages): State<Arc<Pages>>) -> Response {
    html(pages.site.status())
}

async fn metrics(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Response {
    let format = negotiate::format(&headers);
    let page = match pages.site.page(format) {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(%error, "a scrape was answered with 500");
            return text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
        }
    };
    let compressed =
        if negotiate::takes_gzip(&headers) { pages.compressed(format, &page).await } else { None };
    let is_compressed = compressed.is_some();
    let mut response = answer(StatusCode::OK, format.content_type(), compressed.unwrap_or(page));
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if is_compressed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

impl Pages {
    /// The page compressed; `None` when that fails, and the page then goes out as it is.
    async fn compressed(&self, format: Format, page: &Bytes) -> Option<Bytes> {
        let mut kept = self.compressed[format as usize].lock().await;
        // The same memory is the same page, as the copy kept here keeps it from being used for another.
        if let Some((plain, compressed)) = &*kept
            && plain.as_ptr() == page.as_ptr()
            && plain.len() == page.len()
        {
            return Some(compressed.clone());
        }
        let compressed = if page.len() < COMPRESS_ASIDE {
            gzip(page).ok()?
        } else {
            let page = page.clone();
            tokio::task::spawn_blocking(move || gzip(&page)).await.ok()?.ok()?
        };
        *kept = Some((page.clone(), compressed.clone()));
        Some(compressed)
    }
}

fn gzip(page: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8 + 64), GZIP_LEVEL);
    encoder.write_all(page)?;
    Ok(encoder.finish()?.into())
}

#[cfg(test)]
mod tests;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
