//! The JSON of the API, written by hand from its published pages.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::chat::{Kind, background_id, background_url, contact_id};
use super::fault::FaultKind;
use super::lies::{HUGE_NUMBER, LONE_SURROGATE};
use super::message::{
    ERRORS, Message, Odd, Protocol, Status, UNRESOLVED_TEXT, attachment_name, attachment_of, direction,
    error_mark, extra, guid_of, number_of, shown_status, text_of,
};
use super::request::{Endpoint, iso};
use super::setup::{Bounds, LastActive, Order, Totals};
use super::world::World;

type Query = BTreeMap<String, String>;
type Row = Map<String, Value>;

/// The part of a list that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paging {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

/// Keys that a row may lose without becoming uncountable.
const CHAT_EXTRAS: &[&str] =
    &["contact", "type", "group_name", "background_url", "inbound_count", "last_inbound_time"];
const MESSAGE_EXTRAS: &[&str] = &["text", "attachments", "sender", "reactions", "external_id"];

impl World {
    /// The answer to `GET /chats`: a page of chats, the most recent first.
    pub(super) fn list_chats(&mut self, query: &Query, paging: Paging) -> Value {
        let oldest = query.get("sort").is_some_and(|s| s == "oldest");
        let q = query.get("q").map(|q| q.to_lowercase()).filter(|q| !q.is_empty());
        let ties = self.setup.knobs.unstable_ties;
        let (total, rows) = if let Some(listed) = self.misleading_list() {
            let rows = window(&listed, |r| r.0, !oldest, paging, ties, &mut self.telling);
            (listed.len(), rows.into_iter().map(|r| r.1).collect())
        } else if q.is_none() && !ties {
            let Paging { limit, offset } = paging;
            let rows: Vec<u32> = if oldest {
                self.order.iter().skip(offset).take(limit).map(|r| r.1).collect()
            } else {
                self.order.iter().rev().skip(offset).take(limit).map(|r| r.1).collect()
            };
            (self.order.len(), rows)
        } else {
            let matching = |c: u32| q.as_ref().is_none_or(|q| self.chats[c as usize].matches(q));
            let all: Vec<(i64, u32)> = self.order.iter().copied().filter(|&(_, c)| matching(c)).collect();
            let rows = window(&all, |r| r.0, !oldest, paging, ties, &mut self.telling);
            (all.len(), rows.into_iter().map(|r| r.1).collect())
        };
        let rows = self.misprint(rows);
        let cut = self.list_replica_time();
        let rows: Vec<Value> = rows.into_iter().map(|c| self.listed_row(c, cut)).collect();
        let pagination = self.pagination(Endpoint::ListChats, paging, total);
        // `json!` would copy the rows, here and below: simulated lives spend much of their time in lists.
        Value::Object(Row::from_iter([
            ("chats".to_owned(), Value::Array(rows)),
            ("pagination".to_owned(), pagination),
        ]))
    }

    /// The answer to `GET /chats/{chatId}/messages`: a page of messages.
    pub(super) fn list_messages(
        &mut self,
        c: u32,
        query: &Query,
        paging: Paging,
    ) -> Result<Value, &'static str> {
        let time = |name: &str| match query.get(name) {
            None => Ok(None),
            Some(text) => text.parse::<i64>().map(Some).map_err(|_| "since and until must be milliseconds"),
        };
        let (since, until) = (time("since")?, time("until")?);
        let ascending = match query.get("sort").map(String::as_str) {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(_) => return Err("sort must be asc or desc"),
        };
        let inbound = match query.get("direction").map(String::as_str) {
            None => None,
            Some("inbound") => Some(true),
            Some("outbound") => Some(false),
            Some(_) => return Err("direction must be inbound or outbound"),
        };
        let cut = self.replica_time(c);
        let widen = i64::from(self.setup.knobs.bounds == Bounds::Inclusive);
        let (all, chat) = (&self.messages, &self.chats[c as usize]);
        let time_of = |m: &u32| all[*m as usize].time_sent;
        let from =
            since.map_or(0, |s| chat.visible.partition_point(|m| time_of(m) <= s.saturating_sub(widen)));
        let to = until.map_or(chat.visible.len(), |u| {
            chat.visible.partition_point(|m| time_of(m) < u.saturating_add(widen))
        });
        let range = &chat.visible[from.min(to)..to];
        let emptied = self.faults.hits(FaultKind::EmptyMessages, Some(c), &mut self.telling);
        let by_arrival = self.setup.knobs.order == Order::Arrival;
        let mut kept: Vec<u32> = Vec::new();
        let range = if inbound.is_some() || cut < i64::MAX || emptied || by_arrival {
            let wanted =
                |m: &Message| !emptied && inbound.is_none_or(|i| m.inbound == i) && m.visible_from <= cut;
            kept.extend(range.iter().copied().filter(|m| wanted(&all[*m as usize])));
            if by_arrival {
                kept.sort_by_key(|m| all[*m as usize].visible_from);
            }
            kept.as_slice()
        } else {
            range
        };
        let ties = self.setup.knobs.unstable_ties;
        let sorted_by = |m: &u32| if by_arrival { all[*m as usize].visible_from } else { time_of(m) };
        let rows = window(range, sorted_by, !ascending, paging, ties, &mut self.telling);
        let (total, id) = (range.len(), chat.id.clone());
        let rows = self.misprint(rows);
        let rows: Vec<Value> = rows.into_iter().map(|n| self.list_row(n, cut)).collect();
        let pagination = self.pagination(Endpoint::ListMessages, paging, total);
        Ok(Value::Object(Row::from_iter([
            ("chat_id".to_owned(), Value::String(id)),
            ("messages".to_owned(), Value::Array(rows)),
            ("pagination".to_owned(), pagination),
        ])))
    }

    /// The answer to `GET /chats/{chatId}/messages/{messageId}`; `None` where there is no such message.
    pub(super) fn get_message(&mut self, c: u32, id: &str) -> Option<Value> {
        let mut n = number_of(self.tag, id)?;
        let cut = self.replica_time(c);
        let twin = self.messages.get(n as usize)?.twin;
        if let Some(twin) = twin.filter(|twin| self.messages[*twin as usize].chat == c) {
            n = twin;
        }
        let message = self.messages.get(n as usize)?;
        let fresh = self.setup.knobs.fresh_404_ms;
        let hidden = fresh > 0 && self.now - message.visible_from < self.telling.i64(0..=fresh);
        if message.chat != c || !message.visible || message.visible_from > cut || hidden {
            return None;
        }
        let mut row = self.message_row(n, cut);
        row.insert("chat_id".to_owned(), json!(self.chats[c as usize].id));
        row.insert("contact".to_owned(), self.contact(c));
        self.smudge(&mut row, MESSAGE_EXTRAS);
        Some(Value::Object(row))
    }

    /// One chat, as the list has it or, with `alone`, as GET /chats/{chatId} has it.
    pub(super) fn chat_row(&mut self, c: u32, alone: bool) -> Value {
        let (tag, chat) = (self.tag, &self.chats[c as usize]);
        let group = chat.kind == Kind::Group;
        let last = chat.visible.last().map(|&n| (n, &self.messages[n as usize]));
        let mut row = object(json!({
            "id": chat.id,
            "type": chat.kind.shown(),
            "is_group": group,
            "group_id": group.then_some(&chat.id),
            "group_name": chat.name.as_ref().filter(|_| group),
            "message_count": chat.visible.len(),
            "inbound_count": chat.inbound,
            "outbound_count": chat.visible.len() - chat.inbound as usize,
            "background_url": chat.background.then(|| background_url(tag, c)),
            "background_id": chat.background.then(|| background_id(tag, c)),
            "last_message_time": last.map(|(_, m)| m.time_sent),
            "last_inbound_time": chat.last_inbound,
            "last_outbound_time": chat.last_outbound,
        }));
        row.insert("contact".to_owned(), self.contact(c));
        let last_message = last.map(|(n, m)| {
            json!({
                "message_id": self.message_id(n),
                "text": (!m.has(extra::NO_TEXT)).then(|| text_of(tag, n)),
                "direction": direction(m),
                "time_sent": m.time_sent,
            })
        });
        row.insert("last_message".to_owned(), last_message.unwrap_or(Value::Null));
        if group {
            row.insert("member_count".to_owned(), json!(chat.members.len()));
        }
        if alone {
            let first = chat.visible.first().map(|&n| self.messages[n as usize].time_sent);
            row.insert("first_message_time".to_owned(), json!(first));
        }
        self.smudge(&mut row, CHAT_EXTRAS);
        Value::Object(row)
    }

    /// The answer to `GET /chats/{chatId}/background` of a device that answers.
    pub(super) fn background_row(&self, c: u32) -> Value {
        let (tag, chat) = (self.tag, &self.chats[c as usize]);
        json!({
            "chat_id": chat.id,
            "has_background": chat.background,
            "background_id": chat.background.then(|| background_id(tag, c)),
            "background_url": chat.background.then(|| background_url(tag, c)),
            "background_version": chat.background.then_some(1 + c % 3),
        })
    }

    /// The answer to `GET /me/numbers`: every line with its state.
    pub(super) fn numbers(&self) -> Value {
        let knobs = &self.setup.knobs;
        let mut rows = Vec::new();
        for (i, line) in self.lines.iter().enumerate() {
            if self.faults.of_line(FaultKind::VanishedLine, &line.number).is_some() {
                continue;
            }
            let away = self.device_away(i);
            let heartbeat = self.now - self.now.rem_euclid(5_000);
            let last = if away { line.frozen_at.unwrap_or(heartbeat) } else { heartbeat };
            let last = match knobs.last_active {
                LastActive::Iso => json!(iso(last)),
                LastActive::Millis => json!(last),
                LastActive::Seconds => json!(last / 1_000),
                LastActive::Null => Value::Null,
            };
            let plan = ["dedicated", "shared", "inbound"][i % 3];
            let mut row = object(json!({
                "phone_number": line.number, "is_active": !away, "last_active": last, "plan_kind": plan,
            }));
            if knobs.line_status_fields {
                row.insert("suspended".to_owned(), json!(false));
                row.insert("status".to_owned(), json!("active"));
            }
            rows.push(Value::Object(row));
        }
        if knobs.nameless_device {
            rows.push(
                json!({"phone_number": null, "is_active": false, "last_active": null, "plan_kind": null}),
            );
        }
        Value::Object(Row::from_iter([("numbers".to_owned(), Value::Array(rows))]))
    }

    /// The fields that both the list and the single reply have. A replica has nothing newer than `cut`.
    fn message_row(&self, n: u32, cut: i64) -> Row {
        let (tag, m) = (self.tag, &self.messages[n as usize]);
        let chat = &self.chats[m.chat as usize];
        let behind = m.changed_at > cut;
        let (status, protocol) = if behind { m.before } else { (m.status, m.protocol) };
        let sender = (m.inbound && chat.kind == Kind::Group)
            .then(|| chat.members.get(n as usize % chat.members.len()));
        let mut row = object(json!({
            "message_id": self.message_id(n),
            "direction": direction(m),
            "internal_id": self.shows_line(m, status).then(|| &self.lines[usize::from(m.line)].number),
            "text": (!m.has(extra::NO_TEXT)).then(|| marked(m, text_of(tag, n))),
            "attachments": [],
            "sender": sender.flatten(),
            "reactions": [],
            "time_sent": m.time_sent,
            "time_delivered": m.time_delivered.filter(|_| m.inbound || !behind),
            "status": shown_status(m, status),
            "protocol": protocol.shown(),
            "error": self.error_text(n, status, protocol),
        }));
        if m.has(extra::ATTACHMENT) {
            let attachment = json!([{"url": attachment_of(tag, n), "name": attachment_name(tag, n)}]);
            row.insert("attachments".to_owned(), attachment);
        }
        if m.has(extra::REACTION) {
            let by_us = m.inbound;
            let sender = if by_us { None } else { Some(chat.members.first().unwrap_or(&chat.id)) };
            let value = if n.is_multiple_of(2) { "love" } else { "\u{1f44d}" };
            let reaction = json!([{"reaction": value, "is_added": !n.is_multiple_of(7), "time_sent": m.time_sent + 5_000, "sender": sender}]);
            row.insert("reactions".to_owned(), reaction);
        }
        if m.has(extra::REPLY) {
            let parent =
                chat.visible.first().filter(|&&first| first != n).map(|&first| self.message_id(first));
            row.insert(
                "reply_to".to_owned(),
                json!({"message_id": parent, "guid": guid_of(tag, n), "part_index": 0}),
            );
        }
        if m.has(extra::HUGE) {
            row.insert("x_weight".to_owned(), json!(HUGE_NUMBER));
        }
        match m.odd {
            Odd::ProtocolMissing => row.remove("protocol"),
            Odd::NoId => row.remove("message_id"),
            Odd::NoDirection => row.remove("direction"),
            Odd::NoTime => row.remove("time_sent"),
            _ => None,
        };
        row
    }

    fn list_row(&mut self, n: u32, cut: i64) -> Value {
        let mut row = self.message_row(n, cut);
        let message = &self.messages[n as usize];
        if self.faults.hits(FaultKind::NullLines, Some(message.chat), &mut self.telling) {
            row.insert("internal_id".to_owned(), Value::Null);
        }
        if message.odd == Odd::NotARow {
            return if n.is_multiple_of(2) { Value::Null } else { json!("row lost") };
        }
        row.insert("external_id".to_owned(), json!(self.chats[message.chat as usize].id));
        self.smudge(&mut row, MESSAGE_EXTRAS);
        Value::Object(row)
    }

    fn error_text(&self, n: u32, status: Status, protocol: Protocol) -> Option<String> {
        let m = &self.messages[n as usize];
        if status == Status::Failed && m.error != 0 {
            let text = ERRORS.get(usize::from(m.error)).map_or("", |e| e.0);
            let to = &self.chats[m.chat as usize].id;
            return Some(marked(m, format!("{text} [to {to}, ref {}]", error_mark(self.tag, n))));
        }
        (self.setup.knobs.error_on_unresolved && protocol == Protocol::Unknown)
            .then(|| UNRESOLVED_TEXT.to_owned())
    }

    fn contact(&self, c: u32) -> Value {
        let chat = &self.chats[c as usize];
        if chat.kind == Kind::Group {
            return Value::Null;
        }
        json!({"contact_id": contact_id(self.tag, c), "name": chat.name, "identifier": chat.id})
    }

    fn pagination(&mut self, endpoint: Endpoint, paging: Paging, total: usize) -> Value {
        let Paging { limit, offset } = paging;
        let total = self.misleading_total(endpoint, total);
        match self.setup.knobs.totals {
            Totals::Absent => return json!({"limit": limit, "offset": offset}),
            Totals::Stale if self.telling.u8(0..5) == 0 => {
                let off = [-2, -1, 1, 2][self.telling.usize(0..4)];
                return json!({"limit": limit, "offset": offset, "total": (total as i64 + off).max(0)});
            }
            _ => {}
        }
        json!({"limit": limit, "offset": offset, "total": total})
    }

    /// The newest moment that the replica has received that answers about a chat's messages.
    fn replica_time(&mut self, chat: u32) -> i64 {
        let old = self.faults.value_of_chat(FaultKind::OldMessages, chat, 60.0, &mut self.telling);
        self.draw_cut(self.setup.knobs.replica_lag_ms, old)
    }

    /// Pages that are too short, or have a row twice.
    fn misprint(&mut self, mut rows: Vec<u32>) -> Vec<u32> {
        let (short, twice) = (self.setup.knobs.short_pages, self.setup.knobs.duplicate_rows);
        if rows.len() > 1 && short > 0.0 && self.telling.f64() < short {
            rows.truncate(self.telling.usize(1..rows.len()));
        }
        if !rows.is_empty() && twice > 0.0 && self.telling.f64() < twice {
            let at = self.telling.usize(0..rows.len());
            rows.insert(at, rows[at]);
        }
        rows
    }

    /// Undocumented fields, and fields that are missing.
    fn smudge(&mut self, row: &mut Row, extras: &[&str]) {
        let (more, fewer) = (self.setup.knobs.extra_fields, self.setup.knobs.dropped_keys);
        if more > 0.0 && self.telling.f64() < more {
            row.insert("formatted_text".to_owned(), json!({"runs": [{"bold": true}]}));
            row.insert("x_new_field".to_owned(), json!([1, "two", null]));
        }
        if fewer > 0.0 && self.telling.f64() < fewer {
            row.remove(extras[self.telling.usize(0..extras.len())]);
        }
    }
}

/// Adds the mark of half an emoji to a text, where the message has one.
fn marked(m: &Message, text: String) -> String {
    if m.has(extra::SURROGATE) { format!("{text} {LONE_SURROGATE}") } else { text }
}

fn object(value: Value) -> Row {
    match value {
        Value::Object(map) => map,
        _ => Row::new(),
    }
}

/// One page out of `all`, which is sorted upwards; rows with equal times are shuffled when ties are unstable.
fn window<T: Copy>(
    all: &[T],
    time: impl Fn(&T) -> i64,
    descending: bool,
    paging: Paging,
    unstable: bool,
    rng: &mut fastrand::Rng,
) -> Vec<T> {
    let n = all.len();
    let at = |p: usize| if descending { &all[n - 1 - p] } else { &all[p] };
    let first = paging.offset.min(n);
    let last = first.saturating_add(paging.limit).min(n);
    if !unstable || first == last {
        return (first..last).map(|p| *at(p)).collect();
    }
    let (mut low, mut high) = (first, last);
    while low > 0 && time(at(low - 1)) == time(at(low)) {
        low -= 1;
    }
    while high < n && time(at(high)) == time(at(high - 1)) {
        high += 1;
    }
    let mut rows: Vec<T> = (low..high).map(|p| *at(p)).collect();
    for tied in rows.chunk_by_mut(|a, b| time(a) == time(b)) {
        rng.shuffle(tied);
    }
    rows.drain(first - low..last - low).collect()
}
