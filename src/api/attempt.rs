//! One attempt of a request: sent once, decoded, and measured. What follows from it is decided elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::decode::{self, BodyFault, ChatRow, MessageRow, NumberRow, Page};
use super::endpoint::Request;
use super::error::{ApiError, Fault};
use super::http::Transport;
use super::retry;
use crate::clock::Clock;
use crate::domain::Webhook;

/// What a usable answer holds.
#[derive(Clone, Debug)]
pub enum Rows {
    /// A page of chats; of one, for a chat that was asked for by its id.
    Chats(Page<ChatRow>),
    /// A page of messages; of one, for a message that was asked for by its id.
    Messages(Page<MessageRow>),
    /// The lines of the key.
    Numbers(Page<NumberRow>),
    /// The webhooks of the organisation.
    Webhooks(Page<Webhook>),
    /// The device of the chat's line answered.
    Background,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Attempt<R = Rows> {
    /// What the API answered, or why there is no usable answer.
    pub result: Result<R, ApiError>,
    /// The answer's `Date`, unix ms.
    pub date: Option<i64>,
    /// When it was sent.
    pub sent: Instant,
    /// When the answer was complete, or the attempt had failed.
    pub received: Instant,
    /// The host's clock then, unix ms.
    pub host: i64,
    /// The key was rejected, and there is another one now.
    pub key_changed: bool,
}

impl<R> Attempt<R> {
    /// Seconds from sending until the body was read.
    pub fn seconds(&self) -> f64 {
        (self.received - self.sent).as_secs_f64()
    }
}

/// Sends a request once and decodes the answer as its endpoint documents it.
pub async fn attempt<T: Transport>(transport: &T, clock: Clock, request: &Request) -> Attempt {
    attempt_as(transport, clock, request, |body| decode_rows(request, body)).await
}

/// The same, decoded as the caller says.
pub async fn attempt_as<T: Transport, R>(
    transport: &T,
    clock: Clock,
    request: &Request,
    decode: impl Fn(&[u8]) -> Result<R, BodyFault>,
) -> Attempt<R> {
    let endpoint = request.endpoint();
    let sent = Instant::now();
    let reply = transport.get(&request.target()).await;
    let (received, host) = (Instant::now(), clock.now());
    let (mut date, mut retry_after) = (None, None);
    let result = reply.and_then(|reply| {
        let dated = reply.date.as_deref().and_then(|date| httpdate::parse_http_date(date).ok());
        date = dated.and_then(unix_millis);
        retry_after = reply.retry_after.as_deref().and_then(|value| {
            // A date is relative to the clock that wrote it.
            let ours = || UNIX_EPOCH + Duration::from_millis(host.max(0) as u64);
            retry::parse_retry_after(value, dated.unwrap_or_else(ours))
        });
        match reply.status {
            200 => decode(&reply.body).map_err(Fault::Body),
            429 => Err(Fault::RateLimited { coded: has_code(&reply.body) }),
            status => Err(Fault::Status(status)),
        }
    });
    let result = result.map_err(|fault| ApiError { endpoint, fault, retry_after });
    let rejected = matches!(&result, Err(error) if error.is_auth());
    let key_changed = rejected && transport.reload_key().await;
    Attempt { result, date, sent, received, host, key_changed }
}

fn decode_rows(request: &Request, body: &[u8]) -> Result<Rows, BodyFault> {
    match request {
        Request::ListChats { .. } => decode::chats(body).map(Rows::Chats),
        Request::GetChat { .. } => decode::one_chat(body).map(Rows::Chats),
        Request::ListMessages { .. } => decode::messages(body).map(Rows::Messages),
        Request::GetMessage { .. } => decode::one_message(body).map(Rows::Messages),
        Request::GetBackground { .. } => decode::background(body).map(|()| Rows::Background),
        Request::ListNumbers => decode::numbers(body).map(Rows::Numbers),
        Request::ListWebhooks => decode::webhooks(body).map(Rows::Webhooks),
    }
}

fn unix_millis(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Whether an error body names a machine-readable cause. Those of 429 are all about sending (reference).
fn has_code(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Coded {
        #[serde(default)]
        code: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Coded>(body).is_ok_and(|body| body.code.is_some())
}
