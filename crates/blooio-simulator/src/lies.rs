//! Answers that are valid and wrong: lists that lack chats, rows that lack keys, totals and dates that are off.

use bytes::Bytes;
use serde_json::{Value, json};

use super::fault::FaultKind;
use super::message::{Message, Status, direction, extra};
use super::request::{Endpoint, Reply, bad, refused};
use super::setup::DateHeader;
use super::world::World;

/// Stands in a text where the body gets half an emoji, which no Rust string can hold.
pub(super) const LONE_SURROGATE: char = '\u{f8ff}';
/// Stands in a row where the body gets a number that no float can hold.
pub(super) const HUGE_NUMBER: &str = "\u{f8fe}";

const TIMES: [&str; 3] = ["last_message_time", "last_inbound_time", "last_outbound_time"];
const COUNTS: [&str; 3] = ["message_count", "inbound_count", "outbound_count"];

impl World {
    /// The `Date` of the next answer.
    pub(super) fn shown_date(&mut self) -> Option<i64> {
        let date = match self.setup.knobs.date {
            DateHeader::Exact => self.now,
            DateHeader::Skewed(by) => self.now + by,
            DateHeader::Absent => return None,
        };
        if self.faults.hits(FaultKind::DateAbsent, None, &mut self.telling) {
            return None;
        }
        let rng = &mut self.telling;
        let skew = self.faults.value_of(FaultKind::DateSkew, None, 3_600.0, rng).unwrap_or(0.0);
        let jump = self.faults.value_of(FaultKind::DateJumps, None, 3_600.0, rng).unwrap_or(0.0);
        let jump = if jump > 0.0 { (rng.f64() * 2.0 - 1.0) * jump } else { 0.0 };
        Some(date + ((skew + jump) * 1_000.0).clamp(-1e15, 1e15) as i64)
    }

    /// Rejects a page that a fault does not serve.
    pub(super) fn check_page(&mut self, endpoint: Endpoint, limit: i64, offset: i64) -> Result<(), Reply> {
        let (rng, on) = (&mut self.telling, &self.faults);
        let most = on.value_of(FaultKind::PageLimit, Some(endpoint), 100.0, rng);
        if most.is_some_and(|most| limit as f64 > most) {
            return Err(bad("limit is too large"));
        }
        let deepest = on.value_of(FaultKind::DeepOffset, Some(endpoint), 1_000.0, rng);
        if deepest.is_some_and(|deepest| offset as f64 > deepest) {
            return Err(bad("offset is too large"));
        }
        let row = on.value_of(FaultKind::ListPage, Some(endpoint), 200.0, rng).map(|row| row as i64);
        let rows = offset..offset.saturating_add(limit.clamp(1, self.setup.page_cap.max(1) as i64));
        if offset > 0 && row.is_some_and(|row| rows.contains(&row)) {
            return Err(refused(500, "Internal server error"));
        }
        Ok(())
    }

    /// The list of chats as (time, number) from the oldest on, where it differs from the truth.
    pub(super) fn misleading_list(&mut self) -> Option<Vec<(i64, u32)>> {
        if self.faults.hits(FaultKind::EmptyList, None, &mut self.telling) {
            return Some(Vec::new());
        }
        let lags = self.is_list_behind();
        if !self.faults.is_on(FaultKind::HiddenChats) && !lags {
            return None;
        }
        self.list_cut = self.draw_list_cut();
        let cut = self.list_cut;
        let shown = self.order.iter().filter(|(_, c)| !self.faults.concerns(FaultKind::HiddenChats, *c));
        let mut listed: Vec<(i64, u32)> =
            shown.filter_map(|(_, c)| Some((self.newest_at(*c, cut)?.time_sent, *c))).collect();
        listed.sort_unstable();
        Some(listed)
    }

    /// The newest moment that the replica behind the current list of chats has seen.
    pub(super) fn list_replica_time(&self) -> i64 {
        if self.is_list_behind() { self.list_cut } else { i64::MAX }
    }

    fn is_list_behind(&self) -> bool {
        self.setup.knobs.list_lag_ms > 0 || self.faults.is_on(FaultKind::OldList)
    }

    fn draw_list_cut(&mut self) -> i64 {
        let old = self.faults.value_of(FaultKind::OldList, None, 60.0, &mut self.telling);
        self.draw_cut(self.setup.knobs.list_lag_ms, old)
    }

    /// The newest moment that a replica has seen that lags by up to so many ms, and shows what is `old` by so many seconds.
    pub(super) fn draw_cut(&mut self, lag: i64, old: Option<f64>) -> i64 {
        let cut = if lag > 0 { self.now - self.telling.i64(0..=lag) } else { i64::MAX };
        old.map_or(cut, |seconds| cut.min(self.now - (seconds * 1_000.0) as i64))
    }

    fn newest_at(&self, c: u32, cut: i64) -> Option<&Message> {
        let visible = self.chats[c as usize].visible.iter().rev();
        visible.map(|n| &self.messages[*n as usize]).find(|m| m.visible_from <= cut)
    }

    /// A row of the list of chats, as a replica shows it that has seen nothing after `cut`.
    pub(super) fn listed_row(&mut self, c: u32, cut: i64) -> Value {
        let mut row = self.chat_row(c, false);
        if cut < i64::MAX {
            self.set_back(c, cut, &mut row);
        }
        self.bend_row(c, &mut row);
        row
    }

    /// Makes a row of the list older.
    fn set_back(&self, c: u32, cut: i64, row: &mut Value) {
        let visible = &self.chats[c as usize].visible;
        let numbers = visible.iter().copied().filter(|n| self.messages[*n as usize].visible_from <= cut);
        let old: Vec<u32> = numbers.collect();
        if old.len() == visible.len() {
            return;
        }
        let of = |n: &u32| &self.messages[*n as usize];
        let inbound = old.iter().filter(|n| of(n).inbound).count();
        let newest =
            |inbound: bool| old.iter().rev().map(of).find(|m| m.inbound == inbound).map(|m| m.time_sent);
        row["message_count"] = json!(old.len());
        if row.get("inbound_count").is_some() {
            row["inbound_count"] = json!(inbound);
        }
        row["outbound_count"] = json!(old.len() - inbound);
        row["last_message_time"] = json!(old.last().map(|n| of(n).time_sent));
        if row.get("last_inbound_time").is_some() {
            row["last_inbound_time"] = json!(newest(true));
        }
        row["last_outbound_time"] = json!(newest(false));
        row["last_message"] = json!(old.last().map(|n| self.last_message(*n)));
    }

    /// What a row of the list says of its newest message, without the text.
    fn last_message(&self, n: u32) -> Value {
        let m = &self.messages[n as usize];
        json!({"message_id": self.message_id(n), "direction": direction(m), "time_sent": m.time_sent})
    }

    /// Breaks a row of the list.
    fn bend_row(&mut self, c: u32, row: &mut Value) {
        let Value::Object(row) = row else { return };
        let mut hits = |kind| self.faults.hits(kind, Some(c), &mut self.telling);
        if hits(FaultKind::RenamedId)
            && let Some(id) = row.remove("id")
        {
            row.insert("chat_id".to_owned(), id);
        }
        if hits(FaultKind::NullId) {
            row.insert("id".to_owned(), Value::Null);
        }
        if hits(FaultKind::LastMessageText) {
            row.insert("last_message".to_owned(), json!("see you at the harbour"));
        }
        if hits(FaultKind::NoLastMessage) {
            row.remove("last_message");
        }
        for (kind, keys) in [(FaultKind::NoTimes, TIMES), (FaultKind::NoCounts, COUNTS)] {
            if hits(kind) {
                row.retain(|key, _| !keys.contains(&key.as_str()));
            }
        }
        if hits(FaultKind::OldLastMessage) {
            let old = self.chats[c as usize].visible.iter().rev().nth(1);
            row.insert("last_message".to_owned(), json!(old.map(|n| self.last_message(*n))));
        }
        let rng = &mut self.telling;
        if let Some(most) = self.faults.value_of_chat(FaultKind::CountsOff, c, 2.0, rng) {
            let by = rng.i64(-(most as i64).max(1)..=(most as i64).max(1));
            for key in COUNTS {
                if let Some(count) = row.get_mut(key).filter(|count| count.is_number()) {
                    *count = json!((count.as_i64().unwrap_or(0) + by).max(0));
                }
            }
        }
    }

    /// `pagination.total` as it is shown.
    pub(super) fn misleading_total(&mut self, endpoint: Endpoint, total: usize) -> usize {
        let (rng, on) = (&mut self.telling, &self.faults);
        if on.value_of(FaultKind::TotalsWild, Some(endpoint), 0.0, rng).is_some() {
            return rng.usize(0..=total * 100);
        }
        let mut shown = total as i64;
        if let Some(most) = on.value_of(FaultKind::TotalsOff, Some(endpoint), 2.0, rng) {
            let most = (most as i64).max(1);
            shown += rng.i64(-most..=most);
        }
        if let Some(cap) = on.value_of(FaultKind::TotalsCapped, Some(endpoint), 100.0, rng) {
            shown = shown.min(cap as i64);
        }
        usize::try_from(shown.max(0)).unwrap_or(0)
    }

    /// Whether a row of the message names its line.
    pub(super) fn shows_line(&self, m: &Message, status: Status) -> bool {
        let waits = matches!(status, Status::Pending | Status::Queued | Status::CancellationRequested);
        let assigned = m.inbound || !waits || !self.setup.knobs.late_lines;
        assigned && !m.has(extra::NO_LINE)
    }

    /// Writes into a body what JSON allows and Rust's strings and numbers do not.
    pub(super) fn with_odd_content(&self, body: Bytes) -> Bytes {
        let shares = &self.setup.shares;
        if shares.lone_surrogate == 0.0 && shares.huge_number == 0.0 {
            return body;
        }
        let Ok(text) = std::str::from_utf8(&body) else { return body };
        let text = text.replace(LONE_SURROGATE, "\\ud83d");
        Bytes::from(text.replace(&format!("\"{HUGE_NUMBER}\""), "1e400"))
    }
}
