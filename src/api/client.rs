//! Sends requests within the budget, sends failed ones again, decodes answers, and notes every attempt.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::budget::Budget;
use super::decode::{self, BodyFault, ChatRow, MessageRow, NumberRow, Page};
use super::endpoint::{ChatId, MessageRef, Request};
use super::error::{ApiError, Fault};
use super::http::{Reply, Transport};
use super::retry::{self, Verdict};
use crate::clock::Clock;
use crate::domain::{ApiEvent, Cause, Code};

/// Attempts of one request, where asking again can help.
const ATTEMPTS: u32 = 3;

/// The server's clock and ours are taken as one while they agree to this; `Date` has a grain of 1 s.
const CLOCKS_AGREE: i64 = 2_000;

/// How the client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests per second.
    pub budget: f64,
}

/// An answer, and when it was asked for.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What the API said.
    pub value: T,
    /// The server's time when the request was sent, unix ms; never later than the truth.
    pub asked_at: i64,
}

/// A client of one account.
pub struct Client<T> {
    transport: T,
    clock: Clock,
    epoch: Instant,
    state: Mutex<State>,
}

struct State {
    budget: Budget,
    limited_in_a_row: u32,
    /// Server clock minus local clock, ms; `None` until the first answer.
    offset: Option<i64>,
    events: Vec<ApiEvent>,
}

impl<T: Transport> Client<T> {
    /// A client that sends through `transport`.
    pub fn new(transport: T, clock: Clock, options: Options) -> Client<T> {
        let budget = Budget::new(options.budget);
        let state = State { budget, limited_in_a_row: 0, offset: None, events: Vec::new() };
        Client { transport, clock, epoch: Instant::now(), state: Mutex::new(state) }
    }

    /// The same client with another transport and other options. What it knows of the server (its clock, a pause that
    /// it asked for) and what is not drained yet stays.
    #[must_use]
    pub fn reconfigured(self, transport: T, options: Options) -> Client<T> {
        self.state().budget.set_rate(options.budget);
        Client { transport, ..self }
    }

    /// `GET /chats`: the first page. A 429 is reported and not waited out: for up to a quarter of an hour
    /// nobody would be told of it.
    pub async fn newest_chats(&self) -> Result<Answer<Page<ChatRow>>, ApiError> {
        self.ask(Request::ListChats { offset: 0 }, false, decode::chats).await
    }

    /// `GET /chats`: a page, most recent first.
    pub async fn list_chats(&self, offset: u64) -> Result<Answer<Page<ChatRow>>, ApiError> {
        self.ask(Request::ListChats { offset }, true, decode::chats).await
    }

    /// `GET /chats/{id}`: a page of one.
    pub async fn get_chat(&self, chat: ChatId) -> Result<Answer<Page<ChatRow>>, ApiError> {
        self.ask(Request::GetChat { chat }, true, decode::one_chat).await
    }

    /// `GET /chats/{id}/messages`: a page, oldest first; see [`Request::ListMessages`].
    pub async fn list_messages(
        &self,
        chat: ChatId,
        since: i64,
        until: Option<i64>,
        offset: u64,
    ) -> Result<Answer<Page<MessageRow>>, ApiError> {
        self.ask(Request::ListMessages { chat, since, until, offset }, true, decode::messages).await
    }

    /// All messages from `offset` on, with their texts, if `texts`: for a person who asks to see them, never
    /// for the collector.
    pub async fn list_messages_with_texts(
        &self,
        chat: ChatId,
        offset: u64,
        texts: bool,
    ) -> Result<Answer<(Page<MessageRow>, Vec<(MessageRef, String)>)>, ApiError> {
        let decode = if texts { decode::messages_with_texts } else { decode::messages_without_texts };
        self.ask(Request::ListMessages { chat, since: 0, until: None, offset }, true, decode).await
    }

    /// `GET /chats/{id}/messages/{id}`: a page of one.
    pub async fn get_message(
        &self,
        chat: ChatId,
        message: MessageRef,
    ) -> Result<Answer<Page<MessageRow>>, ApiError> {
        self.ask(Request::GetMessage { chat, message }, true, decode::one_message).await
    }

    /// `GET /chats/{id}/background`, once: here the failure is what one wants to know. Returns how it ended
    /// and the seconds of the round trip, without the wait for the budget.
    pub async fn probe(&self, chat: ChatId) -> (Result<(), ApiError>, f64) {
        self.attempt(&Request::GetBackground { chat }, &decode::background).await
    }

    /// `GET /me/numbers`.
    pub async fn list_numbers(&self) -> Result<Answer<Page<NumberRow>>, ApiError> {
        self.ask(Request::ListNumbers, true, decode::numbers).await
    }

    /// What the client did since the last call.
    pub fn drain_events(&self) -> Vec<ApiEvent> {
        std::mem::take(&mut self.state().events)
    }

    /// Server clock minus local clock in ms, 0 while they agree; `None` until the first answer.
    pub fn clock_offset(&self) -> Option<i64> {
        self.state().offset
    }

    /// The server's time, unix ms, as far as known.
    pub fn server_now(&self) -> i64 {
        self.clock.now() + self.state().offset.unwrap_or(0)
    }

    async fn ask<R>(
        &self,
        request: Request,
        waits: bool,
        decode: fn(&[u8]) -> Result<R, BodyFault>,
    ) -> Result<Answer<R>, ApiError> {
        let mut attempt = 1;
        loop {
            let asked = |body: &[u8]| decode(body);
            let outcome = self.attempt_at(&request, &asked).await;
            let error = match outcome {
                (Ok(answer), _) => return Ok(answer),
                (Err(error), _) => error,
            };
            if error.is_auth() && attempt == 1 && self.transport.reload_key() {
                attempt += 1;
                continue;
            }
            if !waits && matches!(error.fault, Fault::RateLimited { .. }) {
                return Err(error);
            }
            match retry::verdict(error.fault, attempt, ATTEMPTS) {
                Verdict::Again(delay) => tokio::time::sleep(delay).await,
                Verdict::Leave => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn attempt<R>(
        &self,
        request: &Request,
        decode: &(dyn Fn(&[u8]) -> Result<R, BodyFault> + Sync),
    ) -> (Result<R, ApiError>, f64) {
        let (result, seconds) = self.attempt_at(request, decode).await;
        (result.map(|answer| answer.value), seconds)
    }

    /// One attempt: waits for the budget, sends, decodes, notes.
    async fn attempt_at<R>(
        &self,
        request: &Request,
        decode: &(dyn Fn(&[u8]) -> Result<R, BodyFault> + Sync),
    ) -> (Result<Answer<R>, ApiError>, f64) {
        let endpoint = request.endpoint();
        self.wait().await;
        let local = self.clock.now();
        let sent = Instant::now();
        let reply = self.transport.get(&request.target()).await;
        let elapsed = sent.elapsed();
        let mut retry_after = None;
        let mut asked_at = local;
        let result = reply.and_then(|reply| {
            asked_at = self.note_date(&reply, local, elapsed);
            retry_after = reply.retry_after.as_deref().and_then(|value| {
                // A date is meant by the clock that wrote it: ours may be up to two seconds ahead of it and
                // still pass for the same.
                let now = reply.date.as_deref().and_then(|date| httpdate::parse_http_date(date).ok());
                let ours = || SystemTime::UNIX_EPOCH + Duration::from_millis(self.server_now().max(0) as u64);
                retry::parse_retry_after(value, now.unwrap_or_else(ours))
            });
            match reply.status {
                200 => decode(&reply.body).map_err(Fault::Body),
                429 => Err(Fault::RateLimited { coded: has_code(&reply.body) }),
                status => Err(Fault::Status(status)),
            }
        });
        let code = result.as_ref().map_or_else(|fault| fault.code(), |_| Code::Status(200));
        let seconds = elapsed.as_secs_f64();
        self.note(endpoint, code, seconds, result.as_ref().err().copied(), retry_after);
        let result = result.map(|value| Answer { value, asked_at }).map_err(|fault| ApiError {
            endpoint,
            fault,
            retry_after,
        });
        (result, seconds)
    }

    /// Waits until the budget allows a request and no pause is on.
    async fn wait(&self) {
        loop {
            let from = self.epoch.elapsed();
            let at = self.state().budget.reserve(from);
            self.wait_until(at, from, Cause::Budget).await;
            let from = self.epoch.elapsed();
            let Some(until) = self.state().budget.paused(from) else { return };
            self.wait_until(until, from, Cause::RetryAfter).await;
        }
    }

    async fn wait_until(&self, until: Duration, from: Duration, cause: Cause) {
        if until > from {
            sleep_until(self.epoch + until).await;
            let millis = (until - from).as_millis() as u64;
            self.state().events.push(ApiEvent::Waited { cause, millis });
        }
    }

    fn note(
        &self,
        endpoint: crate::domain::Endpoint,
        code: Code,
        seconds: f64,
        fault: Option<Fault>,
        asked_pause: Option<Duration>,
    ) {
        let now = self.epoch.elapsed();
        let mut state = self.state();
        state.events.push(ApiEvent::Attempted { endpoint, code, seconds });
        let pause = match fault {
            Some(Fault::RateLimited { coded }) => {
                state.limited_in_a_row += u32::from(!coded);
                retry::pause(coded, asked_pause, state.limited_in_a_row)
            }
            // Retry-After is defined for 503 too, and costs nothing to heed on any status.
            Some(_) => asked_pause.map_or(Duration::ZERO, |asked| asked.min(retry::LONGEST_PAUSE)),
            None => {
                state.limited_in_a_row = 0;
                Duration::ZERO
            }
        };
        if !pause.is_zero() {
            state.budget.pause(now + pause);
        }
    }

    /// Learns the server's clock from `Date`. Returns the server's time at sending, rather early than late.
    fn note_date(&self, reply: &Reply, local: i64, elapsed: Duration) -> i64 {
        let date = reply.date.as_deref().and_then(|date| httpdate::parse_http_date(date).ok());
        let since_epoch = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let mut state = self.state();
        let Some(since_epoch) = since_epoch else {
            return local + *state.offset.get_or_insert(0);
        };
        let date = since_epoch.as_millis() as i64;
        let skew = date - self.clock.now();
        let offset = if skew.abs() <= CLOCKS_AGREE { 0 } else { skew };
        state.offset = Some(offset);
        (local + offset).min(date - elapsed.as_millis() as i64)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
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
