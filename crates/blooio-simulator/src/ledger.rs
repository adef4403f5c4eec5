//! What the families of conversations must say, worked out from whole conversations: the answer key for tests.

use std::collections::BTreeMap;

use super::chat::Kind;
use super::message::{Message, Protocol, Status};
use super::truth::{ByLine, ByLineAnd, Truth, add, line_of, reason_of};

/// Label values of a message's position in its conversation.
const POSITIONS: [&str; 5] = ["1", "2", "3", "4", "5plus"];

/// Which of our turns in a row a message belongs to, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub usize);

impl Position {
    /// The value of the label `position`.
    pub fn label(self) -> &'static str {
        POSITIONS[self.0.clamp(1, POSITIONS.len()) - 1]
    }
}

/// The families of conversations. Groups are in none of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Talk {
    /// Chats without an earlier message, by (line, author) of their first one.
    pub started: ByLineAnd,
    /// Of those that the organisation started, the ones with a message of the contact, by the line that started them.
    pub answered: ByLine,
    /// Outbound messages by (line, position).
    pub unanswered_messages: ByLineAnd,
    /// Chats whose newest message is the organisation's, by (line, position) of that message.
    pub unanswered_chats: ByLineAnd,
    /// Messages that left iMessage in a chat in which an earlier one was delivered by it, by line.
    pub lost_imessage: ByLine,
    /// From the organisation's newest message to the contact's next one, in seconds, by the line of the former.
    pub reply_delays: BTreeMap<String, Vec<f64>>,
}

/// One count of a family of conversations.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// When it was decided, in unix milliseconds.
    pub at_ms: i64,
    /// Its line, as a label.
    pub line: String,
    /// What the message is counted as.
    pub what: What,
}

/// What a count of conversations is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// A new chat, by the author of its first message (`us`, `them`).
    Started(&'static str),
    /// The contact's first message in a chat that the organisation started.
    Answered,
    /// A message of the organisation.
    Wrote(Position),
    /// The contact's message after one of the organisation, after so many seconds.
    Replied(f64),
    /// A message that left iMessage in a chat in which an earlier one was delivered by it.
    LostImessage,
    /// The newest message of the chat, which is the organisation's.
    Unanswered(Position),
}

impl Truth<'_> {
    /// The families of conversations over the messages that the API shows now and that were sent after `after_ms`
    /// (unix ms). Messages of the organisation that follow its previous one within `turn_ms` belong to one turn.
    pub fn talk(&self, after_ms: i64, turn_ms: i64) -> Talk {
        self.talk_within(after_ms, i64::MAX, turn_ms)
    }

    /// The same, of messages sent at or before `until_ms`.
    pub fn talk_within(&self, after_ms: i64, until_ms: i64, turn_ms: i64) -> Talk {
        let mut talk = Talk::default();
        for Told { line, what, .. } in self.told_within(after_ms, until_ms, turn_ms) {
            let with = |label: &str| (line.clone(), label.to_owned());
            match what {
                What::Started(by) => *talk.started.entry(with(by)).or_default() += 1,
                What::Answered => add(&mut talk.answered, &line),
                What::Wrote(position) => {
                    *talk.unanswered_messages.entry(with(position.label())).or_default() += 1;
                }
                What::Replied(seconds) => talk.reply_delays.entry(line).or_default().push(seconds),
                What::LostImessage => add(&mut talk.lost_imessage, &line),
                What::Unanswered(position) => {
                    *talk.unanswered_chats.entry(with(position.label())).or_default() += 1;
                }
            }
        }
        talk
    }

    /// The counts behind [`Truth::talk`], one by one.
    pub fn told(&self, after_ms: i64, turn_ms: i64) -> Vec<Told> {
        self.told_within(after_ms, i64::MAX, turn_ms)
    }

    /// The same, of messages sent at or before `until_ms`.
    pub fn told_within(&self, after_ms: i64, until_ms: i64, turn_ms: i64) -> Vec<Told> {
        let world = self.world;
        let mut told = Vec::new();
        for chat in world.chats.iter().filter(|chat| chat.kind != Kind::Group) {
            let all = chat.visible.iter().map(|n| &world.messages[*n as usize]);
            let mut messages: Vec<&Message> = all.filter(|m| !m.odd.unusable()).collect();
            messages.sort_by_key(|m| m.time_sent);
            let before = messages.len();
            messages.retain(|m| m.time_sent > after_ms);
            let is_new = messages.len() == before;
            messages.retain(|m| m.time_sent <= until_ms);
            if is_new {
                self.tell_start(&mut told, &messages);
            }
            self.tell_turns(&mut told, &messages, turn_ms);
            self.tell_lost(&mut told, &messages);
        }
        told
    }

    fn count(&self, told: &mut Vec<Told>, at_ms: i64, message: &Message, what: What) {
        told.push(Told { at_ms, line: line_of(self.world, message).to_owned(), what });
    }

    /// The chat has no earlier messages than these.
    fn tell_start(&self, told: &mut Vec<Told>, messages: &[&Message]) {
        let Some(first) = messages.first() else { return };
        let by = if first.inbound { "them" } else { "us" };
        self.count(told, first.time_sent, first, What::Started(by));
        if let Some(answer) = messages.iter().find(|m| m.inbound).filter(|_| !first.inbound) {
            self.count(told, answer.time_sent, first, What::Answered);
        }
    }

    fn tell_turns(&self, told: &mut Vec<Told>, messages: &[&Message], turn_ms: i64) {
        let streaks = || messages.chunk_by(|a, b| a.inbound == b.inbound);
        for streak in streaks().filter(|streak| !streak[0].inbound) {
            for (n, message) in streak.iter().enumerate() {
                let position = position(&streak[..=n], turn_ms);
                self.count(told, message.time_sent, message, What::Wrote(position));
            }
        }
        for pair in messages.windows(2).filter(|pair| !pair[0].inbound && pair[1].inbound) {
            let seconds = (pair[1].time_sent - pair[0].time_sent) as f64 / 1_000.0;
            self.count(told, pair[1].time_sent, pair[0], What::Replied(seconds));
        }
        if let Some(streak) = streaks().next_back().filter(|streak| !streak[0].inbound) {
            let newest = streak[streak.len() - 1];
            self.count(told, newest.time_sent, newest, What::Unanswered(position(streak, turn_ms)));
        }
    }

    fn tell_lost(&self, told: &mut Vec<Told>, messages: &[&Message]) {
        let by_imessage = |m: &&&Message| {
            m.end.is_some_and(|end| end.0 == Status::Delivered && end.1 == Protocol::Imessage)
        };
        let Some(since) = messages.iter().filter(by_imessage).map(|m| m.time_sent).min() else { return };
        for message in messages.iter().filter(|m| !m.inbound && m.time_sent > since) {
            let failed = message.end.filter(|end| end.0 == Status::Failed);
            let is_unknown = failed.is_some() && reason_of(message) == "not_on_imessage";
            if message.fell_back.is_some() || is_unknown {
                let left_at = failed.map(|end| end.2).or(message.handed_over_at);
                self.count(told, left_at.unwrap_or(message.time_sent), message, What::LostImessage);
            }
        }
    }
}

/// The position of the last of these messages, which all are the organisation's.
fn position(streak: &[&Message], turn_ms: i64) -> Position {
    let is_next = |pair: &&[&Message]| turn_ms == 0 || pair[1].time_sent - pair[0].time_sent > turn_ms;
    Position(1 + streak.windows(2).filter(is_next).count())
}

impl Talk {
    /// The same as JSON, for humans: keys joined with a slash, delays as their number and sum.
    pub fn to_json(&self) -> serde_json::Value {
        let pairs =
            |map: &ByLineAnd| map.iter().map(|((a, b), n)| (format!("{a}/{b}"), *n)).collect::<ByLine>();
        let delays: BTreeMap<&String, serde_json::Value> = self
            .reply_delays
            .iter()
            .map(|(line, all)| {
                let sum: f64 = all.iter().sum();
                (line, serde_json::json!({"count": all.len(), "sum_seconds": sum}))
            })
            .collect();
        serde_json::json!({
            "started": pairs(&self.started), "answered": self.answered,
            "unanswered_messages": pairs(&self.unanswered_messages),
            "unanswered_chats": pairs(&self.unanswered_chats),
            "lost_imessage": self.lost_imessage, "reply_delays": delays,
        })
    }
}
