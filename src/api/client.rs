//! A client for commands that end: it paces its requests and sends failed ones again by itself. The collector
//! has a scheduler for that, and uses [`attempt`](super::attempt) alone.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::attempt::{Attempt, attempt_as};
use super::budget::Budget;
use super::decode::{self, BodyFault, ChatRow, MessageRow, NumberRow, Page};
use super::endpoint::{ChatId, MessageRef, PAGE_LIMIT, Request};
use super::error::{ApiError, Fault};
use super::http::Transport;
use super::retry::{self, Verdict};
use crate::clock::Clock;

/// Attempts of one request, where asking again can help.
pub const ATTEMPTS: u32 = 3;

/// How the client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most requests per second, evenly spaced.
    pub budget: f64,
}

/// A decoded answer with the server's time.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// What the API said.
    pub value: T,
    /// The answer's `Date`, unix ms.
    pub date: Option<i64>,
}

/// When requests may be sent.
struct Pace {
    budget: Budget,
    /// 429s since the last answer.
    limited_in_a_row: u32,
}

/// A client of one account.
pub struct Client<T> {
    transport: T,
    clock: Clock,
    epoch: Instant,
    pace: Mutex<Pace>,
    requests: AtomicU64,
}

impl<T: Transport> Client<T> {
    /// A client that sends through `transport`.
    pub fn new(transport: T, clock: Clock, options: Options) -> Client<T> {
        let pace = Mutex::new(Pace { budget: Budget::new(options.budget), limited_in_a_row: 0 });
        Client { transport, clock, epoch: Instant::now(), pace, requests: AtomicU64::new(0) }
    }

    /// How many requests were sent.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// `GET /chats`: a page of the chats, the one with the newest message first.
    pub async fn list_chats(&self, offset: u64, limit: u32) -> Result<Answer<Page<ChatRow>>, ApiError> {
        self.ask(Request::ListChats { offset, limit }, decode::chats).await
    }

    /// `GET /chats/{id}/messages`: a page of the messages sent after `since`, the oldest first.
    pub async fn list_messages(
        &self,
        chat: ChatId,
        since: i64,
        until: Option<i64>,
        offset: u64,
        limit: u32,
    ) -> Result<Answer<Page<MessageRow>>, ApiError> {
        self.ask(Request::ListMessages { chat, since, until, offset, limit }, decode::messages).await
    }

    /// `GET /chats/{id}`: a page of one.
    pub async fn get_chat(&self, chat: ChatId) -> Result<Answer<Page<ChatRow>>, ApiError> {
        self.ask(Request::GetChat { chat }, decode::one_chat).await
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
        let request = Request::ListMessages { chat, since: 0, until: None, offset, limit: PAGE_LIMIT };
        self.ask(request, decode).await
    }

    /// `GET /chats/{id}/messages/{id}`: a page of one.
    pub async fn get_message(
        &self,
        chat: ChatId,
        message: MessageRef,
    ) -> Result<Answer<Page<MessageRow>>, ApiError> {
        self.ask(Request::GetMessage { chat, message }, decode::one_message).await
    }

    /// `GET /me/numbers`: the organisation's own lines.
    pub async fn list_numbers(&self) -> Result<Answer<Page<NumberRow>>, ApiError> {
        self.ask(Request::ListNumbers, decode::numbers).await
    }

    /// `GET /chats/{id}/background`, once: the failure itself is the answer. Returns how it ended
    /// and the seconds of the round trip, without the wait for the budget.
    pub async fn probe(&self, chat: ChatId) -> (Result<(), ApiError>, f64) {
        let attempt = self.attempt(&Request::GetBackground { chat }, decode::background).await;
        let seconds = attempt.seconds();
        (attempt.result, seconds)
    }

    /// The host's time, unix ms.
    pub fn server_now(&self) -> i64 {
        self.clock.now()
    }

    async fn ask<R>(
        &self,
        request: Request,
        decode: fn(&[u8]) -> Result<R, BodyFault>,
    ) -> Result<Answer<R>, ApiError> {
        let mut attempts = 1;
        loop {
            let attempt = self.attempt(&request, decode).await;
            let error = match attempt.result {
                Ok(value) => return Ok(Answer { value, date: attempt.date }),
                Err(error) => error,
            };
            match retry::verdict(error.fault, attempts, ATTEMPTS) {
                _ if attempt.key_changed && attempts == 1 => {}
                Verdict::Again(delay) => sleep(delay).await,
                Verdict::Leave => return Err(error),
            }
            attempts += 1;
        }
    }

    /// One attempt, when the budget allows it and no pause is on.
    async fn attempt<R>(&self, request: &Request, decode: fn(&[u8]) -> Result<R, BodyFault>) -> Attempt<R> {
        let mut pace = self.pace.lock().await;
        let now = self.epoch.elapsed();
        let at = pace.budget.next().max(pace.budget.paused(now).unwrap_or(now));
        sleep(at.saturating_sub(now)).await;
        pace.budget.reserve(self.epoch.elapsed());
        self.requests.fetch_add(1, Ordering::Relaxed);
        let attempt = attempt_as(&self.transport, self.clock, request, decode).await;
        match &attempt.result {
            Ok(_) => pace.limited_in_a_row = 0,
            Err(error) => {
                pace.limited_in_a_row +=
                    u32::from(matches!(error.fault, Fault::RateLimited { coded: false }));
                let pause = retry::pause_after(error, pace.limited_in_a_row);
                pace.budget.pause(self.epoch.elapsed() + pause);
            }
        }
        attempt
    }
}
