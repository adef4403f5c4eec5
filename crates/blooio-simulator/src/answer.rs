//! One request in, one reply out. No sockets here: a test can be the network.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;

use super::BASE_PATH;
use super::chat::{Standing, people_key};
use super::fault::FaultKind;
use super::page::Paging;
use super::request::{
    Endpoint, Reply, Request, SEEN_MAX, Seen, Wire, bad, error_object, http_date, parse_query, refused,
};
use super::setup::{ErrorBody, LimitRule, RetryAfter};
use super::world::World;

impl World {
    /// Answers a request at `now_ms` (unix milliseconds), after stepping there.
    pub fn respond(&mut self, now_ms: i64, request: &Request) -> Reply {
        self.step(now_ms);
        let rest = request.path.strip_prefix(BASE_PATH).unwrap_or("");
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        let endpoint = match parts.as_slice() {
            ["chats"] => Endpoint::ListChats,
            ["chats", _] => Endpoint::GetChat,
            ["chats", _, "messages"] => Endpoint::ListMessages,
            ["chats", _, "messages", _] => Endpoint::GetMessage,
            ["chats", _, "background"] => Endpoint::GetBackground,
            ["me", "numbers"] => Endpoint::ListNumbers,
            ["webhooks"] => Endpoint::ListWebhooks,
            _ => Endpoint::Other,
        };
        let mut reply = self.answer(endpoint, &parts, request);
        if let Some(date) = self.shown_date() {
            reply.headers.push(("date".to_owned(), http_date(date)));
        }
        self.note(endpoint, request, &reply);
        reply
    }

    fn answer(&mut self, endpoint: Endpoint, parts: &[&str], request: &Request) -> Reply {
        let chat = match parts {
            ["chats", id, ..] => Some(self.find_chat(id)),
            _ => None,
        };
        if let Some(reply) = self.throttle() {
            return reply;
        }
        let line = match chat {
            Some(Ok(c)) => Some(self.lines[usize::from(self.chats[c as usize].line)].number.clone()),
            _ => None,
        };
        let about = chat.as_ref().and_then(|found| found.as_ref().ok()).copied();
        match self.faults.of_request(endpoint, line.as_deref(), about, &mut self.telling) {
            Some((kind, value)) => {
                let value = value.map(|v| v.clamp(0.0, 1e6));
                if let Some(reply) = self.broken(kind, value) {
                    return reply;
                }
                let whole = self.served(endpoint, parts, chat, request);
                bent(whole, kind, value)
            }
            None => self.served(endpoint, parts, chat, request),
        }
    }

    /// The answer of an API in good health.
    fn served(
        &mut self,
        endpoint: Endpoint,
        parts: &[&str],
        chat: Option<Result<u32, Reply>>,
        request: &Request,
    ) -> Reply {
        let key = request.authorization.as_deref().and_then(|a| a.strip_prefix("Bearer "));
        match key.map(str::trim) {
            None | Some("") => return refused(401, "Missing API key or ID token"),
            Some(key) if key != self.setup.key => return refused(401, "Invalid API key"),
            Some(_) => {}
        }
        if request.method != "GET" && endpoint != Endpoint::Other {
            return refused(405, "Method not allowed");
        }
        let query = parse_query(&request.query);
        let body = match (endpoint, chat) {
            (_, Some(Err(reply))) => return reply,
            (Endpoint::ListChats, _) => self.paging(&query, endpoint).map(|p| self.list_chats(&query, p)),
            (Endpoint::GetChat, Some(Ok(c))) => Ok(self.chat_row(c, true)),
            (Endpoint::ListMessages, Some(Ok(c))) => {
                self.paging(&query, endpoint).and_then(|p| self.list_messages(c, &query, p).map_err(bad))
            }
            (Endpoint::GetMessage, Some(Ok(c))) => {
                let id = percent_decode_str(parts.last().unwrap_or(&"")).decode_utf8_lossy().into_owned();
                if !id.starts_with("msg_") || id.len() > 128 {
                    return bad("Invalid message id");
                }
                self.get_message(c, &id).ok_or_else(|| refused(404, "Message not found"))
            }
            (Endpoint::GetBackground, Some(Ok(c))) => return self.background(c),
            (Endpoint::ListNumbers, _) if self.faults.is_on(FaultKind::NoNumbers) => {
                return refused(404, "Not found");
            }
            (Endpoint::ListNumbers, _) => Ok(self.numbers()),
            (Endpoint::ListWebhooks, _) => Ok(self.webhooks()),
            _ => return refused(404, "Not found"),
        };
        match body {
            Ok(value) => {
                let mut reply = Reply::json(200, &value);
                reply.body = self.with_odd_content(reply.body);
                compressed(reply, request)
            }
            Err(reply) => reply,
        }
    }

    /// A background, which only the device can supply.
    fn background(&mut self, c: u32) -> Reply {
        let line = usize::from(self.chats[c as usize].line);
        let inactive = self.faults.of_line(FaultKind::NoActiveDevice, &self.lines[line].number);
        let share = inactive.map_or(0.0, |t| t.share.unwrap_or(1.0));
        if share > 0.0 && self.telling.f64() < share {
            return self.upset(503, "No active number available");
        }
        if self.device_away(line) {
            return self.upset(502, "Temporary communication error with device");
        }
        let mut reply = Reply::json(200, &self.background_row(c));
        let (least, most) = self.setup.knobs.background_ms;
        if most > 0 {
            reply.wire = Wire::DelayHead(self.telling.u64(least..=most.max(least)));
        }
        reply
    }

    /// An error of the servers in front, in the form that the knob asks for.
    fn upset(&self, status: u16, message: &str) -> Reply {
        match self.setup.knobs.error_body {
            ErrorBody::Json => refused(status, message),
            ErrorBody::Html => Reply::html(status),
            ErrorBody::Empty => Reply { status, headers: Vec::new(), body: Bytes::new(), wire: Wire::Normal },
        }
    }

    /// The answer of a fault that replaces the reply; `None` for one that only bends it.
    fn broken(&mut self, kind: FaultKind, value: Option<f64>) -> Option<Reply> {
        let pause = value.unwrap_or(10.0).round() as i64;
        Some(match kind {
            FaultKind::RateLimitSeconds => self.too_many(RetryAfter::Seconds, pause),
            FaultKind::RateLimitDate => self.too_many(RetryAfter::Date, pause),
            FaultKind::RateLimitBare => self.too_many(RetryAfter::Absent, 0),
            FaultKind::RateLimitCode => Reply::json(
                429,
                &json!({
                    "error": "ApiError", "message": "Daily new conversation cap reached", "status": 429,
                    "code": "new_conversation_limit_reached", "plan_id": "plan_simulated", "cap": 5, "current": 5
                }),
            ),
            FaultKind::Http500 => self.upset(500, "Internal server error"),
            FaultKind::Http502 => self.upset(502, "Bad gateway"),
            FaultKind::Http503 => self.upset(503, "Service unavailable"),
            FaultKind::Unauthorized => refused(401, "Invalid API key"),
            FaultKind::Forbidden => refused(403, "This key may not do that"),
            FaultKind::NotFound => refused(404, "Not found"),
            FaultKind::Html200 => Reply::html(200),
            FaultKind::Empty200 => Reply { body: Bytes::new(), ..Reply::json(200, &Value::Null) },
            FaultKind::ErrorObject200 => Reply::json(200, &error_object(500, "Internal server error")),
            FaultKind::Reset => Reply { wire: Wire::Reset, ..self.upset(500, "") },
            FaultKind::Hang => Reply { wire: Wire::Hang, ..self.upset(500, "") },
            _ => return None,
        })
    }

    /// The organisation's webhooks: one, whose receiver fails once a minute while that fault is on.
    fn webhooks(&self) -> Value {
        let fails = self.faults.is_on(FaultKind::WebhookFails);
        let minutes = (self.now - self.setup.start_ms).max(0) / 60_000;
        serde_json::json!({"webhooks": [{
            "webhook_id": "wh_31b", "webhook_url": "https://hooks.example/blooio?key=simulated", "webhook_type": "all",
            "scope": "organization", "api_key_name": null, "integration_name": null, "created_at": self.setup.start_ms,
            "deprecated_at": null, "valid_until": -1, "last_triggered": self.now,
            "failure_count": if fails { 1 + minutes } else { 0 }, "is_active": true,
        }]})
    }

    /// 429, and from when on requests are welcome again.
    fn too_many(&mut self, retry_after: RetryAfter, pause: i64) -> Reply {
        let reply = refused(429, "Too many requests");
        match retry_after {
            RetryAfter::Absent => reply,
            RetryAfter::Seconds => {
                self.back_at = self.now + pause * 1_000;
                reply.with("retry-after", pause.to_string())
            }
            RetryAfter::Date => {
                let at = (self.now + pause * 1_000).div_euclid(1_000) * 1_000 + 1_000;
                self.back_at = at;
                reply.with("retry-after", http_date(at))
            }
        }
    }

    /// The server's own budget, and the pause it asked for.
    fn throttle(&mut self) -> Option<Reply> {
        if self.now < self.back_at {
            self.violations += 1;
            let kinds = [FaultKind::RateLimitSeconds, FaultKind::RateLimitDate];
            if self.setup.knobs.rate_limit.is_some() || kinds.iter().any(|k| self.faults.is_on(*k)) {
                let left = (self.back_at - self.now + 999) / 1_000;
                return Some(refused(429, "Too many requests").with("retry-after", left.to_string()));
            }
        }
        let limit = self.setup.knobs.rate_limit?;
        let (left, since) = self.tokens;
        let left = (left + (self.now - since) as f64 / 1_000.0 * limit.per_second).min(limit.burst);
        if left >= 1.0 {
            self.tokens = (left - 1.0, self.now);
            return None;
        }
        self.tokens = (left, self.now);
        Some(self.too_many(limit.retry_after, limit.pause_seconds))
    }

    /// The chat that a path segment names, or the reply that says why there is none.
    fn find_chat(&self, segment: &str) -> Result<u32, Reply> {
        if segment.contains('+') && !self.setup.knobs.raw_plus {
            return Err(bad("Invalid chat id"));
        }
        let id = percent_decode_str(segment).decode_utf8().map_err(|_| bad("Invalid chat id"))?;
        let known = |c: &&u32| {
            let chat = &self.chats[**c as usize];
            chat.standing == Standing::Alive && !chat.visible.is_empty()
        };
        let found = if id.contains(',') {
            let people: Vec<String> = id.split(',').map(|p| p.trim().to_owned()).collect();
            if !people.iter().all(|p| is_person(p)) {
                return Err(bad("Invalid chat id"));
            }
            self.group_by_people.get(&people_key(people))
        } else {
            let group = id.strip_prefix("grp_").is_some_and(|g| g.bytes().all(|b| b.is_ascii_alphanumeric()));
            if !group && !is_person(&id) {
                return Err(bad("Invalid chat id"));
            }
            self.chat_by_id.get(id.as_ref())
        };
        found.filter(known).copied().ok_or_else(|| refused(404, "Chat not found"))
    }

    /// `limit` and `offset` as the rules have them.
    fn paging(&mut self, query: &BTreeMap<String, String>, endpoint: Endpoint) -> Result<Paging, Reply> {
        let knobs = self.setup.knobs.clone();
        let rule = if endpoint == Endpoint::ListChats { knobs.chats_limit } else { knobs.messages_limit };
        let number = |name: &str, default: i64| match query.get(name) {
            None => Ok(default),
            Some(text) => text.parse::<i64>().map_err(|_| bad("Invalid pagination")),
        };
        let (limit, offset) = (number("limit", 50)?, number("offset", 0)?);
        self.check_page(endpoint, limit, offset)?;
        if rule == LimitRule::Refuse && (!(1..=200).contains(&limit) || offset < 0) {
            return Err(bad("limit must be between 1 and 200"));
        }
        let limit = (limit.clamp(1, 200) as usize).min(self.setup.page_cap.max(1));
        let offset = usize::try_from(offset.max(0)).unwrap_or(0);
        let shift = knobs.shift;
        if offset > 0 && shift > 0.0 && self.telling.f64() < shift {
            self.interject(self.now);
        }
        Ok(Paging { limit, offset })
    }

    fn note(&mut self, endpoint: Endpoint, request: &Request, reply: &Reply) {
        let status = if matches!(reply.wire, Wire::Reset | Wire::Hang) { 0 } else { reply.status };
        *self.seen_totals.entry((endpoint, status)).or_default() += 1;
        let sign = if request.query.is_empty() { "" } else { "?" };
        let path = format!("{}{sign}{}", request.path, request.query);
        self.seen.push(Seen { at_ms: self.now, endpoint, path, status });
        if self.seen.len() >= SEEN_MAX + SEEN_MAX / 4 {
            self.seen.drain(..self.seen.len() - SEEN_MAX);
        }
    }
}

fn is_person(id: &str) -> bool {
    let phone = id
        .strip_prefix('+')
        .is_some_and(|digits| (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()));
    let email = id.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
    phone || email
}

/// What a fault makes of a reply that was right.
fn bent(mut reply: Reply, kind: FaultKind, value: Option<f64>) -> Reply {
    let ms = (value.unwrap_or(5.0) * 1_000.0) as u64;
    let half = reply.body.len() / 2;
    match kind {
        FaultKind::TruncatedJson => reply.body.truncate(half),
        FaultKind::TruncatedClose => reply.wire = Wire::TruncateAt(half),
        FaultKind::TruncatedNoLength => reply.wire = Wire::CloseDelimitedTruncated(half),
        FaultKind::SlowHead => reply.wire = Wire::DelayHead(ms),
        FaultKind::SlowBody => reply.wire = Wire::DelayBody(ms),
        _ => {}
    }
    reply
}

fn compressed(mut reply: Reply, request: &Request) -> Reply {
    let wanted = request.accept_encoding.as_deref().is_some_and(|a| {
        a.split(',').any(|e| matches!(e.split(';').next().map(str::trim), Some("gzip" | "*")))
    });
    if wanted {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        if let Ok(bytes) = encoder.write_all(&reply.body).and_then(|()| encoder.finish()) {
            reply.body = Bytes::from(bytes);
            return reply.with("content-encoding", "gzip".to_owned());
        }
    }
    reply
}
