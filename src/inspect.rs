//! What an operator looks at when an alert names a line: one chat, its newest messages, and its device.
//!
//! It reads past the state and the collector, straight from the API, and writes nothing. Contacts, ids and
//! texts are masked unless the operator asks to see them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::api::{ApiError, ChatId, ChatRow, Client, MessageRef, MessageRow, Page, Transport};
use crate::clock::rfc3339;
use crate::domain::{Direction, Reason, Status};
use crate::terminal::cell;

/// Newest messages that are shown.
const NEWEST: usize = 20;
/// Chats of a line that are shown.
const OF_A_LINE: usize = 3;
/// Most recent chats of the account that are searched for those of a line: each costs a request or two.
pub const SEARCHED: u32 = 20;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The id of the chat to show.
    pub chat: ChatId,
    /// One message of it, to be looked at by itself.
    pub message: Option<MessageRef>,
    /// Whether contacts, ids and texts are shown.
    pub show: bool,
}

/// What the API said about a chat, its messages and its device.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The chat, as `GET /chats/{id}` says.
    pub chat: Chat,
    /// The message that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// The newest messages, newest first.
    pub messages: Vec<Message>,
    /// Rows of the API's answers that cannot be shown, because they have no usable id, time or direction.
    pub rejected_rows: usize,
    /// What the line's device answered.
    pub device: Device,
}

/// A chat as the report shows it.
#[derive(Debug, Serialize)]
pub struct Chat {
    /// Its id, masked or not.
    pub id: String,
    /// `phone`, `email`, `group` or `other`.
    pub kind: &'static str,
    /// How many messages it has (`message_count`), where given.
    pub messages: Option<i64>,
    /// When its newest message was sent (`last_message_time`), RFC 3339.
    pub last_message: Option<String>,
}

/// A message as the report shows it.
#[derive(Debug, Serialize)]
pub struct Message {
    /// When it was sent (`time_sent`), RFC 3339.
    pub sent: String,
    /// Whether it was received or sent.
    pub direction: &'static str,
    /// The organisation's line; `none` where the API does not say.
    pub line: String,
    /// Its `status` as the page's labels have it.
    pub status: &'static str,
    /// Its `protocol` as the page's labels have it.
    pub protocol: &'static str,
    /// `time_delivered - time_sent` of a delivered outbound message, seconds.
    pub latency_seconds: Option<f64>,
    /// Age of an outbound message without an end, seconds.
    pub open_seconds: Option<f64>,
    /// Class of its error text, where it has one.
    pub reason: Option<&'static str>,
    /// Its id, masked or not.
    pub id: String,
    /// Its text, only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How a probe of the line's device ended.
#[derive(Debug, Serialize)]
pub struct Device {
    /// Whether the device answered.
    pub answered: bool,
    /// HTTP status, or `timeout`, `connection`, `body`.
    pub code: String,
    /// Duration of the round trip, seconds.
    pub seconds: f64,
    /// What it means, when it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
}

/// Asks the API.
///
/// # Errors
/// When the chat or the message cannot be read; a device that does not answer is part of the report.
pub async fn look<T: Transport>(client: &Client<T>, subject: &Subject) -> Result<Report, ApiError> {
    let chat_page = client.get_chat(subject.chat.clone()).await?.value;
    let (list, texts) = newest(client, subject).await?;
    let message_page = match &subject.message {
        Some(id) => Some(client.get_message(subject.chat.clone(), id.clone()).await?.value),
        None => None,
    };
    let rejected_of_message = message_page.as_ref().map_or(0, |page| page.rejected.len());
    let rejected_rows = chat_page.rejected.len() + list.rejected.len() + rejected_of_message;
    let message = message_page.and_then(|page| page.rows.into_iter().next());
    let (probed, seconds) = client.probe(subject.chat.clone()).await;
    let now = client.server_now();
    let message_of = |row: &MessageRow| self::message(row, &texts, subject.show, now);
    Ok(Report {
        chat: chat(&subject.chat, chat_page.rows.first(), subject.show),
        message: message.as_ref().map(message_of),
        rejected_rows,
        messages: list.rows.iter().rev().take(NEWEST).map(message_of).collect(),
        device: Device {
            answered: probed.is_ok(),
            code: probed.as_ref().err().map_or_else(|| "200".to_owned(), |error| error.fault.code().label()),
            seconds,
            meaning: probed.err().map(|error| error.advice()),
        },
    })
}

/// The newest chats of a line, by its number: of the account's most recent chats, those whose newest message used it.
///
/// # Errors
/// When the chats cannot be listed or read.
pub async fn newest_of_line<T: Transport>(client: &Client<T>, line: &str) -> Result<Vec<ChatId>, ApiError> {
    let listed = client.list_chats(0, SEARCHED).await?.value;
    let mut found = Vec::new();
    for row in listed.rows {
        if found.len() == OF_A_LINE {
            break;
        }
        let subject = Subject { chat: row.id.clone(), message: None, show: false };
        match newest(client, &subject).await {
            Ok((page, _)) if page.rows.last().is_some_and(|row| row.line.as_deref() == Some(line)) => {
                found.push(row.id)
            }
            Ok(_) => {}
            // It was deleted since it was listed.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Whether this is the number of a line of the account, and no contact. A server that lists no lines has none.
pub async fn is_line<T: Transport>(client: &Client<T>, contact: &ChatId) -> bool {
    let listed = client.list_numbers().await;
    listed.is_ok_and(|listed| listed.value.rows.iter().any(|row| *row.number == *contact.expose()))
}

type Texts = BTreeMap<MessageRef, String>;

/// The newest messages, oldest first: the end of the list, which follows from its total.
async fn newest<T: Transport>(
    client: &Client<T>,
    subject: &Subject,
) -> Result<(Page<MessageRow>, Texts), ApiError> {
    let ask = |offset| client.list_messages_with_texts(subject.chat.clone(), offset, subject.show);
    let mut answer = ask(0).await?;
    let (listed, total) = (answer.value.0.len() as u64, answer.value.0.total);
    if let Some(total) = total.filter(|total| *total > listed) {
        answer = ask(total.saturating_sub(NEWEST as u64)).await?;
    }
    let (page, texts) = answer.value;
    Ok((page, texts.into_iter().collect()))
}

fn chat(id: &ChatId, row: Option<&ChatRow>, show: bool) -> Chat {
    Chat {
        id: masked(id.expose(), show),
        kind: row.map_or("other", |row| row.kind.as_str()),
        messages: row.map(|row| row.messages).filter(|count| *count >= 0),
        last_message: row.map(|row| row.last_at).filter(|at| *at > 0).map(rfc3339),
    }
}

fn message(row: &MessageRow, texts: &Texts, show: bool, now: i64) -> Message {
    let outbound = row.direction == Direction::Outbound;
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let delivered = row.delivered_at.filter(|_| outbound && row.status == Status::Delivered);
    Message {
        sent: rfc3339(row.sent_at),
        direction: row.direction.as_str(),
        line: row.line.as_deref().unwrap_or("none").to_owned(),
        status: row.status.as_str(),
        protocol: row.protocol.as_str(),
        latency_seconds: delivered.map(|at| seconds(at - row.sent_at)),
        open_seconds: (outbound && !row.status.is_end()).then(|| seconds((now - row.sent_at).max(0))),
        reason: (row.reason != Reason::None).then(|| row.reason.as_str()),
        id: masked(row.id.expose(), show),
        text: texts.get(&row.id).filter(|_| show).cloned(),
    }
}

/// An id of which only enough is left to distinguish two.
fn masked(id: &str, show: bool) -> String {
    let characters: Vec<char> = id.chars().collect();
    match characters.as_slice() {
        _ if show => id.to_owned(),
        [.., a, b] if characters.len() > 6 => format!("…{a}{b}"),
        _ => "…".to_owned(),
    }
}

impl Report {
    /// The report for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let Chat { id, kind, messages, last_message } = &self.chat;
        let count = messages.map_or_else(|| "an unknown number of".to_owned(), |count| count.to_string());
        let last = last_message.as_deref().unwrap_or("unknown");
        let id = cell(id);
        let _ = writeln!(text, "chat    {id} ({kind}), {count} messages, the last one sent {last}");
        let Device { answered, code, seconds, meaning } = &self.device;
        let how = if *answered { "answered" } else { "did not answer" };
        let _ = write!(text, "device  {how}: {code} after {seconds:.1} s");
        let _ = match meaning {
            Some(meaning) => writeln!(text, " ({meaning})"),
            None => writeln!(text),
        };
        if let Some(message) = &self.message {
            let _ = writeln!(text, "\nthe message\n{}", rows([message]));
        }
        let _ = write!(text, "\nthe newest messages\n{}", rows(&self.messages));
        if self.rejected_rows > 0 {
            let count = self.rejected_rows;
            let _ = writeln!(text, "\nnot shown: {count} rows without a usable id, time or direction");
        }
        text
    }
}

/// Messages in columns. What others decided over is made printable and cut.
fn rows<'a>(messages: impl IntoIterator<Item = &'a Message>) -> String {
    let head =
        ["sent", "direction", "line", "status", "protocol", "latency", "open for", "error", "id", "text"];
    let mut table = vec![head.map(str::to_owned)];
    let seconds = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1} s"));
    for message in messages {
        table.push([
            message.sent.clone(),
            message.direction.to_owned(),
            cell(&message.line),
            message.status.to_owned(),
            message.protocol.to_owned(),
            seconds(message.latency_seconds),
            seconds(message.open_seconds),
            message.reason.unwrap_or_default().to_owned(),
            cell(&message.id),
            message.text.as_deref().map(cell).unwrap_or_default(),
        ]);
    }
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &table {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_masked_unless_asked_for() {
        assert_eq!(masked("+14155550123", false), "…23");
        assert_eq!(masked("ana@example.com", false), "…om");
        assert_eq!(masked("short", false), "…");
        assert_eq!(masked("+14155550123", true), "+14155550123");
    }
}
