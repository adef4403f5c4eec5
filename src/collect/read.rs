//! A read of one chat's messages, as a state machine. Pure: pages come in, ranges to ask for come out.
//!
//! Pages are keyed by time, not by offset, so that what is added or deleted meanwhile cannot shift them. Where many
//! messages share one millisecond, or the server does not sort by time, offsets must do.

mod doubts;

pub use doubts::{Conclusion, Doubts, Lacking, Newest};

use doubts::MOST_DOUBTS;

pub use super::pages::{Ids, OffsetPass, Range, Shown, ShownRow, Step};
use crate::domain::{Chat, ChatKey, LineId, Listing, MessageId, Unreadable};

/// Times in a row that one millisecond may fill a page: a server whose bounds belong to the range shows it twice.
const MOST_TIES: u8 = 3;
/// A deep read is dated back by this: a replica may lag, and `Date` has a grain of a second.
const AUDIT_MARGIN: i64 = 5_000;

#[derive(Debug)]
enum Mode {
    /// By time: everything after this.
    Time(i64),
    /// One millisecond that fills a page, by offset; then everything after this.
    Tie(OffsetPass, i64),
    /// All pages by offset instead of by time.
    Offset(OffsetPass),
    /// Nothing was found although the list says that there is something: whether the chat shows anything at all.
    Alive,
}

/// How far it has come that list and chat contradict each other.
enum Contradiction {
    /// A replica may lag: it is read again.
    Doubted,
    /// Enough reads agree that it is no lag.
    Lasting,
    /// It has lasted for so long that it is taken as it is.
    Accepted,
}

/// A read of one chat under way.
#[derive(Debug)]
pub struct Read {
    /// The chat that is read.
    pub chat: ChatKey,
    /// Back to the floor.
    pub deep: bool,
    /// Where it started: what was sent up to here is not looked at.
    pub since: i64,
    /// The server's time when it started.
    pub began_at: i64,
    /// The row of the list that it is to confirm.
    target: Listing,
    /// When the newest list before it was asked for.
    listed_through: i64,
    mode: Mode,
    seen: Ids,
    first_total: Option<u64>,
    rejected: bool,
    /// A range that was gone through by offset showed fewer messages than it holds.
    incomplete: bool,
    newest_at: Option<i64>,
    newest_of_line: Option<(i64, LineId)>,
    /// When the earliest and the newest of the messages were sent that it brought and that were not counted before.
    found: Option<(i64, i64)>,
    /// How many of them are newer than the row of the list.
    ahead: i64,
    /// The millisecond that filled a page last, and how often in a row.
    ties: (i64, u8),
    /// Rows of its largest page.
    largest: usize,
    /// The chat shows nothing at all, from the beginning of time.
    is_empty: bool,
    /// Messages counted before it began that are newer than the row of the list.
    counted_ahead: i64,
    /// No list named it, an event did.
    hinted: bool,
    /// It was interrupted, and the row changed meanwhile below a message dated ahead: to see that one proves nothing, and what
    /// changed the row may be where the read has passed, and be cancelled out by what it was to explain.
    is_overtaken: bool,
}

impl Read {
    /// A read of everything after `since`. `began_at` is the server's time, `listed_through` when the newest list was
    /// asked for.
    pub fn new(
        key: ChatKey,
        chat: &Chat,
        deep: bool,
        since: i64,
        began_at: i64,
        listed_through: i64,
    ) -> Read {
        Read {
            chat: key,
            deep,
            since,
            began_at,
            target: chat.listed,
            listed_through,
            mode: Mode::Time(since),
            seen: Ids::default(),
            first_total: None,
            rejected: false,
            incomplete: false,
            newest_at: None,
            newest_of_line: None,
            found: None,
            ahead: 0,
            ties: (0, 0),
            largest: 0,
            is_empty: false,
            counted_ahead: 0,
            hinted: false,
            is_overtaken: false,
        }
    }

    /// Takes up a read that an error interrupted. It goes on where it was, towards the newest row of the list.
    #[must_use]
    pub fn resumed(self, chat: &Chat) -> Read {
        let is_overtaken = chat.listed != self.target && chat.listed.newest() > self.began_at;
        Read { target: chat.listed, ahead: 0, is_overtaken: self.is_overtaken || is_overtaken, ..self }
    }

    /// The same read, of a chat of which so many messages are counted that are newer than the row of the list; `hinted` where
    /// no list names it.
    #[must_use]
    pub fn compared_with(self, counted_ahead: i64, hinted: bool) -> Read {
        Read { counted_ahead, hinted, ..self }
    }

    /// Whether no list names the chat.
    pub fn is_hinted(&self) -> bool {
        self.hinted
    }

    /// Whether it only looks for what is newer than the row of the list: there is no row to compare it with.
    pub fn is_of_news(&self) -> bool {
        self.hinted && !self.deep
    }

    /// The line of the newest message that it showed.
    pub fn newest_line(&self) -> Option<LineId> {
        self.newest_of_line.map(|(_, line)| line)
    }

    /// What to ask for next.
    pub fn next(&self) -> Range {
        match &self.mode {
            Mode::Time(since) => Range { since: *since, until: None, offset: 0 },
            Mode::Tie(pass, _) | Mode::Offset(pass) => pass.next(),
            Mode::Alive => Range { since: 0, until: None, offset: 0 },
        }
    }

    /// Takes the next page of the read and says what to ask for next.
    pub fn absorb(&mut self, page: &Shown) -> Step {
        let fresh = self.record(page);
        match &mut self.mode {
            Mode::Time(cursor) => {
                let cursor = *cursor;
                self.by_time(page, cursor, fresh)
            }
            Mode::Tie(pass, then) => match pass.absorb(page) {
                Step::Drained => {
                    self.incomplete |= pass.is_incomplete();
                    self.mode = Mode::Time(*then);
                    Step::More
                }
                step => step,
            },
            Mode::Offset(pass) => {
                let step = pass.absorb(page);
                self.incomplete |= step == Step::Drained && pass.is_incomplete();
                step
            }
            Mode::Alive => {
                self.is_empty = page.is_empty();
                if page.newest().is_some_and(|newest| newest > self.since) {
                    // Another replica does show something of the range: it is read from its beginning.
                    (self.mode, self.first_total) = (Mode::Time(self.since), None);
                    return Step::More;
                }
                Step::Drained
            }
        }
    }

    fn record(&mut self, page: &Shown) -> usize {
        self.rejected |= page.rejected > 0;
        let mut fresh = 0;
        for row in &page.rows {
            fresh += usize::from(self.seen.insert(row.id));
            self.newest_at = self.newest_at.max(Some(row.sent_at));
            if row.line != LineId::NONE && self.newest_of_line.is_none_or(|(at, _)| row.sent_at >= at) {
                self.newest_of_line = Some((row.sent_at, row.line));
            }
            if row.counted {
                let (earliest, newest) = self.found.unwrap_or((row.sent_at, row.sent_at));
                self.found = Some((earliest.min(row.sent_at), newest.max(row.sent_at)));
            }
            self.ahead += i64::from(row.counted && row.sent_at > self.target.newest());
        }
        fresh
    }

    fn by_time(&mut self, page: &Shown, cursor: i64, fresh: usize) -> Step {
        let first_total = *self.first_total.get_or_insert(page.total.unwrap_or(0));
        if page.is_empty() || self.is_last(page) {
            // Fewer in all than the first total said: the server may sort by arrival, and a late message may stand
            // behind a page boundary that time has passed.
            if (self.seen.len() as u64) < first_total && !self.rejected && cursor > self.since {
                self.mode = Mode::Offset(OffsetPass::new(self.since, None));
                return Step::More;
            }
            if self.seen.is_empty() && !self.rejected && self.expects_some() {
                self.mode = Mode::Alive;
                return Step::More;
            }
            return Step::Drained;
        }
        let Some(newest) = page.newest().filter(|_| page.is_ascending()) else {
            // By which time to go on, a page without a usable row does not say; what was passed, it does not doubt.
            let from = if page.rows.is_empty() { cursor } else { self.since };
            self.mode = Mode::Offset(OffsetPass::new(from, None));
            return Step::More;
        };
        if newest - 1 > cursor {
            self.mode = Mode::Time(newest - 1);
            return Step::More;
        }
        // The whole page is one millisecond: it is gone through by offset, then passed. If the boundary belongs to
        // the range, what comes after it starts one later.
        let inclusive = page.rows.iter().any(|row| row.sent_at <= cursor);
        if fresh == 0 && self.ties.0 == newest {
            // Gone through a moment ago, and shown again only because the boundary belongs to the range.
            self.mode = Mode::Time(newest + 1);
            return Step::More;
        }
        self.ties = match self.ties {
            (at, times) if at == newest => (at, times + 1),
            _ => (newest, 1),
        };
        if self.ties.1 > MOST_TIES {
            return Step::Confused;
        }
        let then = if inclusive && fresh == 0 { newest + 1 } else { newest };
        self.mode = Mode::Tie(OffsetPass::new(newest - 1, Some(newest + 1)), then);
        Step::More
    }

    /// Whether nothing comes after the page: it holds exactly as many as its total says. A total below what the page holds is not
    /// to be trusted; and one that is too low by what a full page leaves out looks right. The count of the row would tell;
    /// where it has none, only a page that is known not to be full ends the read.
    fn is_last(&mut self, page: &Shown) -> bool {
        let is_full = page.len() > 1 && page.len() >= self.largest;
        self.largest = self.largest.max(page.len());
        let tallies = page.total.is_some_and(|total| page.distinct() as u64 == total);
        tallies && (self.target.messages.is_some() || !is_full)
    }

    /// Whether it showed nothing at all.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Whether it showed rows that cannot be used: any message that it did not show may be one of them.
    pub fn has_rejected(&self) -> bool {
        self.rejected
    }

    /// Whether the read saw the message.
    pub fn saw(&self, id: MessageId) -> bool {
        self.seen.contains(&id)
    }

    /// Draws the conclusions of a read that was `drained`, after `doubts` of such reads, at `now`; `chat` is what is known
    /// of the chat now, after the pages were counted. What list and chat contradict each other in is taken as it is after
    /// `patience` (ms): then it is not a moment's fault but how the API is.
    pub fn conclude(
        &self,
        chat: &mut Chat,
        drained: bool,
        doubts: Doubts,
        now: i64,
        patience: i64,
    ) -> Conclusion {
        chat.line = self.newest_line().or(chat.line);
        let newest = self.sought();
        let denies = self.is_empty && self.target.messages != Some(0);
        if doubts.insist() && denies || !drained && doubts.insist_on(newest) {
            return Conclusion::Contradicted;
        }
        // Where the count tallies, rows that cannot be used are those that earlier reads insisted on, and a total that says
        // more is wrong. Below a message dated ahead, one that came during the read may stand for one that was missed.
        let tallies = self.lacking(chat) == Some(0) && !self.is_masked();
        let lacks = !self.has_reached() || self.rejected && !tallies;
        let accepts = match self.contradiction(chat, doubts, now, patience) {
            _ if !drained => return Conclusion::Behind { row: newest },
            _ if !lacks => false,
            Contradiction::Doubted => return Conclusion::Behind { row: newest },
            Contradiction::Lasting => return Conclusion::Contradicted,
            Contradiction::Accepted => true,
        };
        let hides = self.incomplete && !tallies;
        let is_doubted = hides && !doubts.insist_on(newest) || self.is_unproven(chat) && !doubts.insist();
        if is_doubted && !accepts {
            if !self.rejected && !self.incomplete {
                self.keep_count(chat);
            }
            return Conclusion::Behind { row: newest };
        }
        chat.cursor = chat.cursor.max(self.target.newest().min(now));
        if let Some(lacking) = self.unexplained(chat, doubts).filter(|_| !accepts) {
            // What is missing may be as old as what the chat was read for. The count is not taken for explained: a late
            // message that is found next would stand for another one that is not.
            chat.changed_since = Some(chat.changed_since.unwrap_or(self.listed_through));
            chat.deep = true;
            let lacking = Lacking { messages: lacking, began_at: self.began_at };
            return Conclusion::Doubtful { lacking: self.deep.then_some(lacking) };
        }
        let settled = chat.listed == self.target;
        chat.changed_since = match chat.changed_since {
            Some(since) if !settled => Some(since.max(self.listed_through)),
            _ => None,
        };
        if self.deep {
            chat.audited_at = chat.audited_at.max(Some(self.began_at - AUDIT_MARGIN));
            chat.unshown = false;
            chat.deep &= !settled;
        }
        if settled && self.target.last_at.is_none() {
            chat.listed.last_at = self.newest_at;
        }
        if let Some(listed) = self.target.messages {
            chat.explained = Some(i64::from(listed) + self.beyond());
        }
        Conclusion::Done
    }

    /// How far it has come that the list names what the chat does not show, or that the chat shows rows that cannot be used.
    fn contradiction(&self, chat: &Chat, doubts: Doubts, now: i64, patience: i64) -> Contradiction {
        // Once it is unreadable for this, another row of the list does not make it readable.
        let outage = chat.outage.filter(|outage| outage.reason == Unreadable::Rejected);
        let insists = doubts.insist_on(self.sought()) || outage.is_some() && doubts.insist();
        if !insists {
            Contradiction::Doubted
        } else if outage.is_none_or(|outage| now - outage.since < patience)
            || !self.has_reached() && !doubts.give_up(self.sought())
        {
            Contradiction::Lasting
        } else {
            Contradiction::Accepted
        }
    }

    /// What is counted from here on is compared with what the list counts from here on. A message that this count includes, and
    /// that only the next read shows, must not stand for one that comes meanwhile.
    fn keep_count(&self, chat: &mut Chat) {
        let explained = self.target.messages.map(|listed| i64::from(listed) + self.beyond());
        chat.explained = match (chat.explained, explained) {
            (Some(before), Some(now)) => Some(before.min(now)),
            (before, now) => before.or(now),
        };
    }

    /// How many more messages the list counts than were found; `None` where there is no count to go by.
    fn lacking(&self, chat: &Chat) -> Option<i64> {
        Some(i64::from(self.target.messages?) - (chat.explained? - self.beyond()))
    }

    /// Messages counted that are newer than the list's row.
    fn beyond(&self) -> i64 {
        self.counted_ahead + self.ahead
    }

    /// The same, where that is a reason to read again. A shallow read may have missed some, or some that were deleted; a deep
    /// one only what a replica holds back, or what was sent before the floor: once two in a row lack as many, there is nothing
    /// more to find.
    fn unexplained(&self, chat: &Chat, doubts: Doubts) -> Option<i64> {
        let lacking = self.lacking(chat)?;
        let is_open = match self.deep {
            true => {
                let is_new =
                    lacking > 0 && !doubts.lacking.is_some_and(|before| self.lacks_the_same(lacking, before));
                (is_new || self.is_overtaken) && doubts.times < MOST_DOUBTS
            }
            // A message dated ahead stands for the newest: one that was deleted may hide the one that came.
            false => lacking != 0 || self.is_overtaken || self.found.is_none() && self.is_masked(),
        };
        is_open.then_some(lacking)
    }

    /// Whether so many messages are the ones that the read before lacked. Below a message dated ahead, one that was there then and
    /// was found now stands for one that came meanwhile and was not.
    fn lacks_the_same(&self, lacking: i64, before: Lacking) -> bool {
        let is_news = |(earliest, newest)| earliest > before.began_at && newest <= self.began_at;
        lacking == before.messages && (!self.is_masked() || self.found.is_none_or(is_news))
    }

    /// The newest message of the list's row.
    pub fn sought(&self) -> Newest {
        (self.target.last_id, self.target.newest())
    }

    /// Whether the newest message of the list's row was seen. "The list is new, the messages are old" happens on replicas,
    /// and must not pass for read.
    pub fn has_reached(&self) -> bool {
        let target = self.target;
        !self.expects_some()
            || match target.last_id {
                Some(id) => [0, 1].iter().any(|bit| self.seen.contains(&MessageId(id.undirected().0 | bit))),
                None => self.newest_at.is_some_and(|at| at >= target.newest()),
            }
    }

    /// Whether the list says that there is a message where the read looked. A row without times may mean any.
    fn expects_some(&self) -> bool {
        let Listing { last_at, last_id, messages, .. } = self.target;
        last_at.map_or(last_id.is_some() || messages.is_some_and(|n| n > 0), |at| at > self.since)
    }

    /// Whether the row's newest message is dated ahead, so that seeing it proves nothing of those before it.
    fn is_masked(&self) -> bool {
        self.target.newest() > self.began_at
    }

    /// Whether nothing speaks for what was found: the newest message is dated ahead, and there is no count to go by yet.
    /// Rows that never have counts are believed after the first deep read: such a chat is read again and again.
    fn is_unproven(&self, chat: &Chat) -> bool {
        let is_first =
            chat.audited_at.is_none() || chat.explained.is_none() && self.target.messages.is_some();
        is_first && self.is_masked()
    }
}

#[cfg(test)]
mod tests;
