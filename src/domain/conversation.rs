//! The conversation of one chat, as a fold over its messages in the order of their times.
//!
//! It holds who started it, whether the contact answered, and how often we have written since the contact last did. It
//! has no text, and of the contact nothing at all.

use super::ids::LineId;
use super::message::Direction;
use super::vocabulary::vocabulary;

vocabulary! {
    /// Who wrote a message.
    Author {
        /// The organisation whose messages are counted.
        Us = 0 "us",
        /// The contact on the other side.
        Them = 1 "them",
    }
}

vocabulary! {
    /// Which of our turns in a row it is, since the contact last wrote.
    Position {
        /// Our first turn since the contact last wrote.
        First = 1 "1",
        /// Our second turn since the contact last wrote.
        Second = 2 "2",
        /// Our third turn since the contact last wrote.
        Third = 3 "3",
        /// Our fourth turn since the contact last wrote.
        Fourth = 4 "4",
        /// Our fifth turn since the contact last wrote, or a later one.
        Later = 5 "5plus",
    }
}

impl Position {
    /// The position of our turn number `streak`, from 1.
    fn of(streak: u32) -> Position {
        match streak {
            0 | 1 => Position::First,
            2 => Position::Second,
            3 => Position::Third,
            4 => Position::Fourth,
            _ => Position::Later,
        }
    }
}

/// What of a message its conversation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which way it went.
    pub direction: Direction,
    /// When it was sent (`time_sent`), unix ms.
    pub sent_at: i64,
    /// The line that received or sent it.
    pub line: LineId,
}

/// What a message is to its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first message of a new chat.
    Started {
        /// The line of the first message.
        line: LineId,
        /// The author of the first message.
        by: Author,
    },
    /// The contact's first message in a chat that we started.
    Answered {
        /// The line that started it.
        line: LineId,
    },
    /// A message of ours.
    Wrote {
        /// The line that sent the message.
        line: LineId,
        /// Which of our turns in a row it belongs to.
        position: Position,
    },
    /// The contact wrote after we did.
    Replied {
        /// The line of our newest message.
        line: LineId,
        /// After how many ms.
        after: i64,
    },
}

/// The conversation of one chat, as far as its messages have their places in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// `time_sent` of the newest of them, unix ms; 0 before the first.
    pub newest: i64,
    /// Our turns since the contact last wrote; 0 when the newest message is the contact's.
    pub streak: u32,
    /// `time_sent` of our newest message, unix ms.
    pub ours_at: i64,
    /// The line that sent the newest message of ours.
    pub line: LineId,
    /// The line that started the chat, until the contact answers.
    pub awaits: Option<LineId>,
    /// `time_sent` of the earliest message that is known to be delivered by iMessage, unix ms.
    pub imessage_since: Option<i64>,
}

impl Conversation {
    /// Whether no message has its place yet.
    pub fn is_empty(&self) -> bool {
        self.newest == 0
    }

    /// Where the newest message is ours: its line, and the position of its turn.
    pub fn unanswered(&self) -> Option<(LineId, Position)> {
        (self.streak > 0).then(|| (self.line, Position::of(self.streak)))
    }

    /// Adds the next message in time. `is_new` when the chat is, and this is its first one; messages of ours that follow
    /// each other within `turn` ms share a turn.
    pub fn add(&mut self, message: Turn, is_new: bool, turn: i64) -> [Option<Event>; 2] {
        let Turn { direction, sent_at, line } = message;
        let by = if direction == Direction::Outbound { Author::Us } else { Author::Them };
        let started = is_new.then_some(Event::Started { line, by });
        self.newest = sent_at;
        if by == Author::Us {
            let continues = self.streak > 0 && turn > 0 && sent_at - self.ours_at <= turn;
            self.streak = if continues { self.streak } else { self.streak.saturating_add(1) };
            (self.ours_at, self.line) = (sent_at, line);
            if is_new {
                self.awaits = Some(line);
            }
            return [started, Some(Event::Wrote { line, position: Position::of(self.streak) })];
        }
        let after = sent_at - self.ours_at;
        let replied = (self.streak > 0).then_some(Event::Replied { line: self.line, after });
        self.streak = 0;
        [started.or(replied), self.awaits.take().map(|line| Event::Answered { line })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    /// What a new chat's messages (direction, minute) are, with turns of one minute.
    fn told(messages: &[(Direction, i64)]) -> Vec<Event> {
        let mut conversation = Conversation::default();
        let mut events = Vec::new();
        for (n, (direction, minute)) in messages.iter().enumerate() {
            let turn = Turn { direction: *direction, sent_at: 1 + minute * MINUTE, line: LineId(n as u16) };
            events.extend(conversation.add(turn, n == 0, MINUTE).into_iter().flatten());
        }
        events
    }

    #[test]
    fn a_chat_that_we_start_is_answered_once_on_the_line_that_started_it() {
        use Direction::{Inbound, Outbound};
        let line = LineId(0);
        let wrote = |n, position| Event::Wrote { line: LineId(n), position };
        assert_eq!(
            told(&[(Outbound, 0), (Outbound, 5), (Inbound, 6), (Inbound, 7), (Outbound, 8), (Inbound, 9)]),
            [
                Event::Started { line, by: Author::Us },
                wrote(0, Position::First),
                wrote(1, Position::Second),
                Event::Replied { line: LineId(1), after: MINUTE },
                Event::Answered { line },
                wrote(4, Position::First),
                Event::Replied { line: LineId(4), after: MINUTE },
            ]
        );
        let started = Event::Started { line, by: Author::Them };
        assert_eq!(told(&[(Inbound, 0), (Outbound, 1)]), [started, wrote(1, Position::First)]);
    }

    #[test]
    fn messages_within_a_turn_share_its_position_and_zero_makes_each_its_own() {
        for (turn, streak) in [(MINUTE, 1), (MINUTE - 1, 7), (0, 7)] {
            let mut conversation = Conversation::default();
            for n in 0..7 {
                let sent_at = 1 + n * MINUTE;
                let message = Turn { direction: Direction::Outbound, sent_at, line: LineId(1) };
                let [started, wrote] = conversation.add(message, false, turn);
                let position = if streak == 1 { Position::First } else { Position::of(n as u32 + 1) };
                assert_eq!((started, wrote), (None, Some(Event::Wrote { line: LineId(1), position })));
            }
            assert_eq!(conversation.streak, streak);
        }
        let mut conversation = Conversation { streak: 1, ours_at: 5, newest: 5, ..Conversation::default() };
        let same = Turn { direction: Direction::Outbound, sent_at: 5, line: LineId(1) };
        conversation.add(same, false, 0);
        assert_eq!(conversation.streak, 2, "the same millisecond");
        assert_eq!(Position::of(9), Position::Later);
    }

    #[test]
    fn our_turns_in_a_row_are_told_apart_up_to_the_fifth_and_end_with_an_answer() {
        let mut conversation = Conversation::default();
        assert!(conversation.is_empty());
        let mut says = |direction, minute: i64| {
            let turn = Turn { direction, sent_at: 1 + minute * MINUTE, line: LineId(1) };
            conversation.add(turn, false, 0);
            assert!(!conversation.is_empty());
            conversation.unanswered().map(|(_, position)| position.as_str())
        };
        for (n, position) in ["1", "2", "3", "4", "5plus", "5plus"].into_iter().enumerate() {
            assert_eq!(says(Direction::Outbound, n as i64), Some(position));
        }
        assert_eq!(says(Direction::Inbound, 7), None);
        assert_eq!(says(Direction::Outbound, 8), Some("1"));
    }
}
