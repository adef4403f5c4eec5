//! What really happened: the answer key that tests hold against what an exporter says. The API never shows it.

use std::collections::BTreeMap;

use super::chat::Standing;
use super::message::{ERRORS, Message, Status, direction, extra, shown_status};
use super::world::World;

/// The answer key of a world at the moment it was taken.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    pub(super) world: &'a World,
}

/// The first end of an outbound message; ends that are shown later do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// `delivered`, `failed` or `cancelled`.
    pub status: String,
    /// The protocol shown then, as a label.
    pub protocol: String,
    /// The class of the error text of a failed message: `none` where it has no text.
    pub reason: String,
    /// When, in unix milliseconds.
    pub at_ms: i64,
}

/// Everything about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The `message_id` that the API shows.
    pub id: String,
    /// The chat it is in now, or was in last.
    pub chat: String,
    /// The number of that chat, by which faults choose chats.
    pub chat_number: u32,
    /// The line as a label: its number, or `none` where `internal_id` is null.
    pub line: String,
    /// The `direction` that the API shows, `inbound` or `outbound`.
    pub direction: String,
    /// `time_sent` as shown, in unix milliseconds.
    pub time_sent_ms: i64,
    /// From when on the API shows it, in unix milliseconds.
    pub visible_from_ms: i64,
    /// Whether the API shows it now.
    pub visible: bool,
    /// Whether the API ever showed it. A late message is gone before it appears if its chat was deleted.
    pub ever_visible: bool,
    /// When it was deleted, in unix milliseconds.
    pub deleted_at_ms: Option<i64>,
    /// Whether its row lacks something without which it cannot be counted.
    pub unusable: bool,
    /// The status shown now, as a label.
    pub status: String,
    /// Since when it shows its status and its protocol, in unix milliseconds.
    pub changed_at_ms: i64,
    /// The protocol shown now, as a label.
    pub protocol: String,
    /// Its first end. Inbound messages have none.
    pub terminal: Option<Terminal>,
    /// `time_delivered` as shown, in unix milliseconds.
    pub time_delivered_ms: Option<i64>,
    /// When it was handed over, in unix milliseconds.
    pub handed_over_at_ms: Option<i64>,
    /// The first protocol other than iMessage that was shown for it, as a label.
    pub fell_back: Option<String>,
}

/// The little about a message that a comparison at every commit needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Whether it came from a contact.
    pub inbound: bool,
    /// The number of the chat it is in now, or was in last.
    pub chat_number: u32,
    /// `time_sent` as shown, in unix milliseconds.
    pub time_sent_ms: i64,
    /// From when on the API shows it, in unix milliseconds.
    pub visible_from_ms: i64,
    /// Whether the API shows it now.
    pub visible: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Whether its row lacks something without which it cannot be counted.
    pub unusable: bool,
}

/// A count by (line).
pub type ByLine = BTreeMap<String, u64>;
/// A count by (line, protocol) or (line, status).
pub type ByLineAnd = BTreeMap<(String, String), u64>;

/// What the contract's counters must say about the messages after a moment, once they were all read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Inbound messages by (line, protocol).
    pub inbound: ByLineAnd,
    /// Outbound messages by line.
    pub outbound: ByLine,
    /// Outbound messages that are at `sent` or ended `delivered`, by line. What failed after it was handed over is
    /// not among them, because a reader may never see it at `sent`; see `handed_over`.
    pub sent: ByLine,
    /// Outbound messages that were ever handed over, by line: the most that `sent` could be.
    pub handed_over: ByLine,
    /// Ended `delivered`, by (line, protocol).
    pub delivered: ByLineAnd,
    /// Ended `failed`, by (line, protocol, reason).
    pub failed: BTreeMap<(String, String, String), u64>,
    /// Ended `cancelled`, by line.
    pub cancelled: ByLine,
    /// Shown under sms, rcs or non-imessage, by line.
    pub fallback: ByLine,
    /// The same by (line, protocol).
    pub fallback_by_protocol: ByLineAnd,
    /// Without an end, by (line, status).
    pub open: ByLineAnd,
    /// Delivered messages with a `time_delivered`, by (line, protocol): their number, and the sum of
    /// `time_delivered - time_sent` in seconds, where a negative one counts as 0.
    pub latency: BTreeMap<(String, String), (u64, f64)>,
    /// Deliveries dated before their sending.
    pub negative_latency: u64,
    /// Rows that cannot be counted at all.
    pub unusable: u64,
}

impl World {
    /// The answer key, for tests.
    pub fn truth(&self) -> Truth<'_> {
        Truth::of(self)
    }
}

impl<'a> Truth<'a> {
    pub(super) fn of(world: &'a World) -> Truth<'a> {
        Truth { world }
    }

    /// Every message that ever existed, in the order of their creation.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let truth = Truth { world: self.world };
        (0..self.world.messages.len()).filter_map(move |n| truth.entry(n))
    }

    /// Message number `n` of the world, from 0; `None` past the last one.
    pub fn entry(&self, n: usize) -> Option<Entry> {
        let world = self.world;
        let m = world.messages.get(n)?;
        let chat = world.follow(m.chat).unwrap_or(m.chat);
        Some(Entry {
            id: world.message_id(n as u32),
            chat: world.chats[chat as usize].id.clone(),
            chat_number: chat,
            line: line_of(world, m).to_owned(),
            direction: direction(m).to_owned(),
            time_sent_ms: m.time_sent,
            visible_from_ms: m.visible_from,
            visible: m.visible,
            ever_visible: m.ever_visible,
            deleted_at_ms: m.deleted_at,
            unusable: m.odd.unusable(),
            status: status_label(m).to_owned(),
            changed_at_ms: m.changed_at,
            protocol: m.shown_protocol().label().to_owned(),
            terminal: m.end.map(|(status, protocol, at_ms)| Terminal {
                status: status.shown().unwrap_or("none").to_owned(),
                protocol: protocol.label().to_owned(),
                reason: reason_of(m).to_owned(),
                at_ms,
            }),
            time_delivered_ms: m.time_delivered,
            handed_over_at_ms: m.handed_over_at,
            fell_back: m.fell_back.map(|p| p.label().to_owned()),
        })
    }

    /// What a running comparison needs to know of message number `n`, without a single allocation.
    pub fn brief(&self, n: usize) -> Option<Brief> {
        let m = self.world.messages.get(n)?;
        let chat = self.world.follow(m.chat).unwrap_or(m.chat);
        Some(Brief {
            inbound: m.inbound,
            chat_number: chat,
            time_sent_ms: m.time_sent,
            visible_from_ms: m.visible_from,
            visible: m.visible,
            deleted: m.deleted_at.is_some(),
            unusable: m.odd.unusable(),
        })
    }

    /// The `message_id` of message number `n`.
    pub fn id(&self, n: usize) -> String {
        self.world.message_id(n as u32)
    }

    /// How many chats, by kind (`phone`, `email`, `group`), have a message that was sent after `after_ms`.
    pub fn active_chats(&self, after_ms: i64) -> BTreeMap<&'static str, u64> {
        let mut active = BTreeMap::new();
        for (_, c) in self.world.order.iter().filter(|(at, _)| *at > after_ms) {
            *active.entry(self.world.chats[*c as usize].kind.shown()).or_default() += 1;
        }
        active
    }

    /// The number of messages that ever existed.
    pub fn messages(&self) -> usize {
        self.world.messages.len()
    }

    /// Chats that the API lists now, and how many were deleted and merged away.
    pub fn chats(&self) -> (usize, usize, usize) {
        let gone =
            |wanted: fn(&Standing) -> bool| self.world.chats.iter().filter(|c| wanted(&c.standing)).count();
        let deleted = gone(|s| *s == Standing::Deleted);
        let merged = gone(|s| matches!(s, Standing::MergedInto(_)));
        (self.world.order.len(), deleted, merged)
    }

    /// The counters over the messages that the API shows now and that were sent after `after_ms` (unix ms).
    pub fn summary(&self, after_ms: i64) -> Summary {
        self.summary_within(after_ms, i64::MAX)
    }

    /// The same, of those sent at or before `until_ms`.
    pub fn summary_within(&self, after_ms: i64, until_ms: i64) -> Summary {
        let range = (after_ms.saturating_add(1))..=until_ms;
        let world = self.world;
        let mut sum = Summary::default();
        for m in world.messages.iter().filter(|m| m.visible && range.contains(&m.time_sent)) {
            if m.odd.unusable() {
                sum.unusable += 1;
                continue;
            }
            let line = line_of(world, m);
            let with = |label: &str| (line.to_owned(), label.to_owned());
            if m.inbound {
                *sum.inbound.entry(with(m.shown_protocol().label())).or_default() += 1;
                continue;
            }
            let end = m.end.map(|(status, protocol, _)| (status, protocol.label()));
            add(&mut sum.outbound, line);
            if m.handed_over_at.is_some() {
                add(&mut sum.handed_over, line);
            }
            if m.status == Status::Sent || end.is_some_and(|(status, _)| status == Status::Delivered) {
                add(&mut sum.sent, line);
            }
            if let Some(protocol) = m.fell_back {
                add(&mut sum.fallback, line);
                *sum.fallback_by_protocol.entry(with(protocol.label())).or_default() += 1;
            }
            match end {
                Some((Status::Delivered, protocol)) => {
                    *sum.delivered.entry(with(protocol)).or_default() += 1;
                    if let Some(delivered) = m.time_delivered {
                        let latency = delivered - m.time_sent;
                        let (count, seconds) = sum.latency.entry(with(protocol)).or_default();
                        *count += 1;
                        *seconds += latency.max(0) as f64 / 1_000.0;
                        sum.negative_latency += u64::from(latency < 0);
                    }
                }
                Some((Status::Failed, protocol)) => {
                    let key = (line.to_owned(), protocol.to_owned(), reason_of(m).to_owned());
                    *sum.failed.entry(key).or_default() += 1;
                }
                Some(_) => add(&mut sum.cancelled, line),
                None => *sum.open.entry(with(status_label(m))).or_default() += 1,
            }
        }
        sum
    }
}

impl Summary {
    /// The summary as JSON, for humans: keys joined with a slash.
    pub fn to_json(&self) -> serde_json::Value {
        let pairs =
            |map: &ByLineAnd| map.iter().map(|((a, b), n)| (format!("{a}/{b}"), *n)).collect::<ByLine>();
        let failed: ByLine = self.failed.iter().map(|((a, b, c), n)| (format!("{a}/{b}/{c}"), *n)).collect();
        let latency: BTreeMap<String, serde_json::Value> = self
            .latency
            .iter()
            .map(|((a, b), (n, s))| (format!("{a}/{b}"), serde_json::json!({"count": n, "sum_seconds": s})))
            .collect();
        serde_json::json!({
            "inbound": pairs(&self.inbound), "outbound": self.outbound, "sent": self.sent,
            "handed_over": self.handed_over, "delivered": pairs(&self.delivered), "failed": failed,
            "cancelled": self.cancelled, "fallback": self.fallback,
            "fallback_by_protocol": pairs(&self.fallback_by_protocol), "open": pairs(&self.open),
            "latency": latency, "negative_latency": self.negative_latency, "unusable": self.unusable,
        })
    }
}

pub(super) fn add(counts: &mut ByLine, line: &str) {
    *counts.entry(line.to_owned()).or_default() += 1;
}

pub(super) fn line_of<'a>(world: &'a World, m: &Message) -> &'a str {
    if m.has(extra::NO_LINE) { "none" } else { &world.lines[usize::from(m.line)].number }
}

fn status_label(m: &Message) -> &'static str {
    match shown_status(m, m.status) {
        None => "none",
        Some("teleporting" | "received") => "other",
        Some("read") => "delivered",
        Some(known) => known,
    }
}

/// The class of the error text that the message shows, or would show, as a failed one.
pub(super) fn reason_of(m: &Message) -> &'static str {
    ERRORS.get(usize::from(m.error)).map_or("none", |e| e.1)
}
