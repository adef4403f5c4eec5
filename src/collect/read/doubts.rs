//! What reads of a chat left open: how one ended, and what several of them in a row say together. Pure.

use crate::domain::MessageId;

/// Reads of a chat that may end in doubt before its rows are taken as they are: a replica catches up, a broken row may be
/// whole the next time, and neither must hold up the chat for ever.
pub(super) const CONFIRMATIONS: u32 = 5;
/// Reads in doubt after which a count that moves with every read is no longer waited for.
pub(super) const MOST_DOUBTS: u32 = 2 * CONFIRMATIONS;

/// How a read of a chat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The read has everything; nothing more is asked for.
    Done,
    /// It was read, but is not yet what the list says: a replica lags, or a row is broken.
    Behind {
        /// The newest message of the row.
        row: Newest,
    },
    /// It was read, but the list counts other messages than were found: some came late, were deleted, or
    /// are held back by a replica. It is read again, deeply, when a replica has had time to catch up.
    Doubtful {
        /// What a deep read lacks; `None` after a shallow one, which may have begun behind it.
        lacking: Option<Lacking>,
    },
    /// The list says that there are messages, and the chat shows none at all, or not the newest one; or rows of it cannot be used;
    /// or what it shows never comes to an end. It counts as unreadable, and is read again until that has changed.
    Contradicted,
}

/// What a deep read did not find of what the row of the list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// How many messages it lacks.
    pub messages: i64,
    /// The server's time when the read began, unix ms.
    pub began_at: i64,
}

/// What stands for the newest message of a row of the list: its id where the row has one, and its time.
pub type Newest = (Option<MessageId>, i64);

/// What the reads of a chat left open, since one of them was last done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// How many of them in a row.
    pub times: u32,
    /// What the newest one lacked, where it was deep.
    pub lacking: Option<Lacking>,
    /// The newest message of the row of the list that the newest one was behind, and how many in a row were behind that row.
    pub behind: Option<(Newest, u32)>,
    /// How many in a row did not show the newest message of the row that they were to confirm, whichever row that was.
    pub unreached: u32,
    /// The newest one showed nothing at all.
    pub empty: bool,
}

impl Doubts {
    /// What they say of a read that showed something, or nothing. While a chat denied that it has messages, nothing was seen of
    /// what is wrong with the messages that it shows now: that has to be seen as often again.
    pub fn of(self, empty: bool) -> Doubts {
        if self.empty && !empty { Doubts::default() } else { Doubts { empty, ..self } }
    }

    /// With one more read, that ended in doubt. `reached` says whether it showed the newest message of the row.
    pub fn and(self, conclusion: Conclusion, reached: bool) -> Doubts {
        let times = self.times + 1;
        match conclusion {
            Conclusion::Behind { row } => Doubts { times, lacking: None, ..self.and_behind(row, reached) },
            Conclusion::Doubtful { lacking } => {
                Doubts { times, lacking, behind: None, unreached: 0, empty: self.empty }
            }
            Conclusion::Done | Conclusion::Contradicted => {
                Doubts { times, lacking: None, behind: None, ..self }
            }
        }
    }

    /// With one more read of a row whose chat contradicts the list.
    pub fn and_behind(self, row: Newest, reached: bool) -> Doubts {
        let times = self.behind(row);
        let unreached = if reached { 0 } else { self.unreached.saturating_add(1) };
        Doubts { behind: Some((row, times.saturating_add(1))), unreached, ..self }
    }

    /// How many in a row were behind the row with this newest message.
    fn behind(self, newest: Newest) -> u32 {
        self.behind.filter(|(row, _)| *row == newest).map_or(0, |(_, times)| times)
    }

    /// Whether as many did not show the newest message of this row, or so many none of the newest of rows that change, that none is
    /// waited for any more, once it has lasted. Rows that cannot be used may last for ever: one read of a chat that has some
    /// does not say that a message is not there which a list has only just named.
    pub(super) fn give_up(self, newest: Newest) -> bool {
        self.behind(newest) >= CONFIRMATIONS || self.unreached >= 3 * MOST_DOUBTS
    }

    /// Whether they are many enough to take the rows as they are: what is wrong with them lasts.
    pub fn insist(self) -> bool {
        self.times >= CONFIRMATIONS
    }

    /// Whether as many were behind the row with this newest message: they did not reach it, or what they showed may hide
    /// messages. A row that changes starts from none, but not for ever: a list may name
    /// messages that its chat never shows. What it names for the first time, a replica may still lack, however many reads there were.
    pub(super) fn insist_on(self, newest: Newest) -> bool {
        let same = self.behind(newest);
        same >= CONFIRMATIONS || self.times >= if same > 0 { MOST_DOUBTS } else { 3 * MOST_DOUBTS }
    }
}
