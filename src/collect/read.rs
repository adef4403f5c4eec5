//! A read of one chat's messages, as a state machine. Pure: pages come in, ranges to ask for come out.
//!
//! Pages are keyed by time, not by offset, so that what is added or deleted meanwhile cannot shift them. Where many
//! messages share one millisecond, or the server does not sort by time, offsets must do.

pub use super::pages::{Ids, OffsetPass, Range, Shown, ShownRow, Step};
use crate::domain::{Chat, ChatKey, LineId, Listing, MessageId};

/// Reads of a chat that may end in doubt before its rows are taken as they are: a replica catches up, a broken row may be
/// whole the next time, and neither must hold up the chat for ever.
const CONFIRMATIONS: u32 = 5;
/// Times in a row that one millisecond may fill a page: a server whose bounds belong to the range shows it twice.
const MOST_TIES: u8 = 3;
/// Reads in doubt after which a count that moves with every read is no longer waited for.
const MOST_DOUBTS: u32 = 2 * CONFIRMATIONS;
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
        /// How many messages a deep read lacks; `None` after a shallow one, which may have begun behind them.
        lacking: Option<i64>,
    },
    /// The list says that there are messages, and the chat shows none at all.
    Contradicted,
}

/// What stands for the newest message of a row of the list: its id where the row has one, and its time.
pub type Newest = (Option<MessageId>, i64);

/// What the reads of a chat left open, since one of them was last done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// How many of them in a row.
    pub times: u32,
    /// How many messages the newest one lacked, where it was deep.
    pub lacking: Option<i64>,
    /// The newest message of the row of the list that the newest one was behind, and how many in a row were behind that row.
    pub behind: Option<(Newest, u32)>,
    /// The newest one showed nothing at all.
    pub empty: bool,
}

impl Doubts {
    /// What they say of a read that showed something, or nothing. While a chat denied that it has messages, nothing was seen of
    /// what is wrong with the messages that it shows now: that has to be seen as often again.
    pub fn of(self, empty: bool) -> Doubts {
        if self.empty && !empty { Doubts::default() } else { Doubts { empty, ..self } }
    }

    /// With one more read, that ended in doubt.
    pub fn and(self, conclusion: Conclusion) -> Doubts {
        let (lacking, behind) = match conclusion {
            Conclusion::Doubtful { lacking } => (lacking, None),
            Conclusion::Behind { row } => (None, Some(row)),
            Conclusion::Done | Conclusion::Contradicted => (None, None),
        };
        let behind = behind.map(|row| match self.behind {
            Some((before, times)) if before == row => (row, times + 1),
            _ => (row, 1),
        });
        Doubts { times: self.times + 1, lacking, behind, empty: self.empty }
    }

    /// Whether they are many enough to take the rows as they are: what is wrong with them lasts.
    fn insist(self) -> bool {
        self.times >= CONFIRMATIONS
    }

    /// Whether as many were behind the row with this newest message: they did not reach it, or what they showed may hide
    /// messages. A row that changes starts from none, but not for ever: a list may name
    /// messages that its chat never shows.
    fn insist_on(self, newest: Newest) -> bool {
        let same = self.behind.is_some_and(|(row, times)| row == newest && times >= CONFIRMATIONS);
        same || self.times >= MOST_DOUBTS
    }
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
    counted: i64,
    /// Those of them that are newer than the row of the list.
    ahead: i64,
    /// The millisecond that filled a page last, and how often in a row.
    ties: (i64, u8),
    /// The chat shows nothing at all, from the beginning of time.
    is_empty: bool,
    /// Messages counted before it began that are newer than the row of the list.
    counted_ahead: i64,
    /// No list named it, an event did.
    hinted: bool,
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
            counted: 0,
            ahead: 0,
            ties: (0, 0),
            is_empty: false,
            counted_ahead: 0,
            hinted: false,
        }
    }

    /// Takes up a read that an error interrupted. It goes on where it was, towards the newest row of the list.
    #[must_use]
    pub fn resumed(self, chat: &Chat) -> Read {
        Read { target: chat.listed, ahead: 0, ..self }
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
        let fresh = self.note(page);
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

    fn note(&mut self, page: &Shown) -> usize {
        self.rejected |= page.rejected > 0;
        let mut fresh = 0;
        for row in &page.rows {
            fresh += usize::from(self.seen.insert(row.id));
            self.newest_at = self.newest_at.max(Some(row.sent_at));
            if row.line != LineId::NONE && self.newest_of_line.is_none_or(|(at, _)| row.sent_at >= at) {
                self.newest_of_line = Some((row.sent_at, row.line));
            }
            self.counted += i64::from(row.counted);
            self.ahead += i64::from(row.counted && row.sent_at > self.target.newest());
        }
        fresh
    }

    fn by_time(&mut self, page: &Shown, cursor: i64, fresh: usize) -> Step {
        let first_total = *self.first_total.get_or_insert(page.total.unwrap_or(0));
        // Exactly as many as there are: a total below what the page holds is not to be trusted.
        if page.is_empty() || page.total.is_some_and(|total| page.distinct() as u64 == total) {
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
            self.mode = Mode::Offset(OffsetPass::new(self.since, None));
            return Step::More;
        };
        if newest - 1 > cursor {
            self.mode = Mode::Time(newest - 1);
            return Step::More;
        }
        // The whole page is one millisecond: it is gone through by offset, then passed. If the boundary belongs to
        // the range, what comes after it starts one later.
        let inclusive = page.rows.iter().any(|row| row.sent_at <= cursor);
        if inclusive && fresh == 0 && self.ties.0 == newest {
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
    /// of the chat now, after the pages were counted.
    pub fn conclude(&self, chat: &mut Chat, drained: bool, doubts: Doubts, now: i64) -> Conclusion {
        if let Some((_, line)) = self.newest_of_line {
            chat.line = Some(line);
        }
        if doubts.insist() && self.is_empty && self.target.messages != Some(0) {
            return Conclusion::Contradicted;
        }
        let newest = self.sought();
        if !drained || !self.has_reached() && !doubts.insist_on(newest) {
            return Conclusion::Behind { row: newest };
        }
        // Where the count tallies, rows that cannot be used are those that earlier reads insisted on, and a total that says
        // more is wrong. Below a message dated ahead, one that came during the read may stand for one that was missed.
        let tallies = self.lacking(chat) == Some(0) && !self.is_masked();
        let hides = (self.rejected || self.incomplete) && !tallies;
        let is_doubted = hides && !doubts.insist_on(newest) || self.is_unproven(chat) && !doubts.insist();
        if is_doubted {
            if !self.rejected && !self.incomplete {
                // What is counted from here on is compared with what the list counts from here on. A message that this count
                // includes, and that only the next read shows, must not stand for one that comes meanwhile.
                let explained = self.target.messages.map(|listed| i64::from(listed) + self.beyond());
                chat.explained = match (chat.explained, explained) {
                    (Some(before), Some(now)) => Some(before.min(now)),
                    (before, now) => before.or(now),
                };
            }
            return Conclusion::Behind { row: newest };
        }
        chat.cursor = chat.cursor.max(self.target.newest().min(now));
        if let Some(lacking) = self.unexplained(chat, doubts) {
            // What is missing may be as old as what the chat was read for. The count is not taken for explained: a late
            // message that is found next would stand for another one that is not.
            chat.changed_since = Some(chat.changed_since.unwrap_or(self.listed_through));
            chat.deep = true;
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
            true => lacking > 0 && doubts.lacking != Some(lacking) && doubts.times < MOST_DOUBTS,
            // A message dated ahead stands for the newest: one that was deleted may hide the one that came.
            false => lacking != 0 || self.counted == 0 && self.is_masked(),
        };
        is_open.then_some(lacking)
    }

    /// The newest message of the list's row.
    fn sought(&self) -> Newest {
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
mod tests {
    use super::*;
    use crate::domain::{ChatKind, Direction};

    fn id(n: u128) -> MessageId {
        MessageId::new(n << 1, Direction::Inbound)
    }

    /// Messages in the order in which the server has them: number and time.
    type World = Vec<(u128, i64)>;

    fn shown(rows: &[(u128, i64)], total: Option<u64>) -> Shown {
        let row =
            |&(n, sent_at): &(u128, i64)| ShownRow { id: id(n), sent_at, line: LineId::NONE, counted: true };
        Shown { rows: rows.iter().map(row).collect(), rejected: 0, total }
    }

    fn chat(last: Option<(u128, i64)>, messages: Option<u32>) -> Chat {
        let listed = Listing {
            last_at: last.map(|(_, at)| at),
            last_id: last.map(|(n, _)| id(n)),
            messages,
            inbound: None,
            outbound: None,
            times: None,
        };
        Chat::new(ChatKind::Phone, listed, 0)
    }

    /// Reads a world with pages of three rows, and returns how many requests that took, how it ended, and the read.
    fn read(
        world: &World,
        inclusive: bool,
        mut answer: impl FnMut(usize, Shown) -> Shown,
    ) -> (usize, Step, Read) {
        let known = chat(world.iter().copied().max_by_key(|(_, at)| *at), Some(world.len() as u32));
        let mut read = Read::new(ChatKey(1), &known, true, 0, 10_000, 0);
        for requests in 1..200 {
            let range = read.next();
            let fits = |at: i64| if inclusive { at >= range.since } else { at > range.since };
            let matching: World = world
                .iter()
                .copied()
                .filter(|(_, at)| fits(*at) && range.until.is_none_or(|until| *at < until))
                .collect();
            let from = (range.offset as usize).min(matching.len());
            let page = &matching[from..(from + 3).min(matching.len())];
            let page = answer(requests, shown(page, Some(matching.len() as u64)));
            match read.absorb(&page) {
                Step::More => {}
                step => return (requests, step, read),
            }
        }
        panic!("the read did not end");
    }

    #[test]
    fn whatever_the_order_and_the_bounds_every_message_is_seen() {
        let plain: World = (1..=10).map(|n| (n, n as i64 * 10)).collect();
        let one: World = vec![(1, 10)];
        let ties: World = (1..=9).map(|n| (n, if n < 8 { 50 } else { 60 })).collect();
        let by_arrival: World = vec![(1, 10), (2, 20), (3, 30), (4, 40), (5, 15), (6, 50), (7, 60)];
        let newest_first: World = plain.iter().copied().rev().collect();
        for (name, world) in [
            ("nothing", World::new()),
            ("one", one),
            ("several pages", plain),
            ("more in a millisecond than a page holds", ties),
            ("a late message behind a page boundary", by_arrival),
            ("sort ignored", newest_first),
        ] {
            for inclusive in [false, true] {
                let (requests, step, read) = read(&world, inclusive, |_, page| page);
                assert_eq!(step, Step::Drained, "{name}");
                assert!(world.iter().all(|(n, _)| read.saw(id(*n))), "{name}, inclusive {inclusive}");
                assert!(requests <= 3 + 2 * world.len(), "{name}: {requests} requests");
            }
        }
    }

    #[test]
    fn a_chat_whose_page_says_it_all_takes_one_request() {
        let world: World = vec![(1, 10), (2, 20)];
        assert_eq!(read(&world, false, |_, page| page).0, 1);
    }

    #[test]
    fn totals_that_lag_or_lack_lose_nothing() {
        let world: World = (1..=10).map(|n| (n, n as i64 * 10)).collect();
        let no_total = |_, page: Shown| Shown { total: None, ..page };
        let low = |n: usize, page: Shown| Shown {
            total: page.total.map(|t| if n == 1 { t - 1 } else { t }),
            ..page
        };
        for answer in [&no_total as &dyn Fn(usize, Shown) -> Shown, &low] {
            let (_, step, read) = read(&world, false, answer);
            assert_eq!(step, Step::Drained);
            assert!(world.iter().all(|(n, _)| read.saw(id(*n))));
        }
    }

    #[test]
    fn where_neither_order_nor_total_can_be_relied_on_every_message_is_seen() {
        let by_arrival: World = vec![(1, 10), (2, 50), (3, 20), (4, 30), (5, 40), (6, 60), (7, 15)];
        for inclusive in [false, true] {
            let (_, step, read) = read(&by_arrival, inclusive, |_, page| Shown { total: None, ..page });
            assert_eq!(step, Step::Drained);
            assert!(by_arrival.iter().all(|(n, _)| read.saw(id(*n))), "inclusive {inclusive}");
        }
    }

    #[test]
    fn a_full_millisecond_is_gone_through_once_where_since_includes_it() {
        let ties: World = (1..=9).map(|n| (n, if n < 8 { 50 } else { 60 })).collect();
        let requests = |inclusive| read(&ties, inclusive, |_, page| page).0;
        // One more, which shows that the boundary belongs to the range.
        assert_eq!(requests(true), requests(false) + 1);
    }

    #[test]
    fn a_server_that_never_agrees_with_itself_ends_in_confusion() {
        let world: World = (1..=9).map(|n| (n, 50)).collect();
        let high = |_, page: Shown| Shown { total: page.total.map(|total| total + 7), ..page };
        let empty = |n: usize, page: Shown| {
            if n > 3 { high(n, shown(&[(n as u128 + 100, 50)], Some(9))) } else { page }
        };
        let (requests, step, _) = read(&world, false, empty);
        assert_eq!(step, Step::Confused);
        assert!(requests < 150, "{requests}");
    }

    fn concluded(read: &Read, chat: &mut Chat, times: u32) -> Conclusion {
        let doubts = Doubts { times, lacking: None, behind: Some((read.sought(), times)), empty: false };
        read.conclude(chat, true, doubts, 100_000)
    }

    /// A read of a chat whose messages share one millisecond, and of which each page shows none of one message.
    fn hiding(total: Option<u64>) -> Read {
        let world: World = (1..=9).map(|n| (n, 50)).collect();
        // In place of the message that is hidden, another one comes twice.
        let hide = |_, page: Shown| {
            let another =
                |row: &ShownRow| if row.id == id(7) { ShownRow { id: id(6), ..*row } } else { *row };
            Shown { rows: page.rows.iter().map(another).collect(), total: page.total.and(total), ..page }
        };
        let (requests, step, read) = read(&world, false, hide);
        assert_eq!(step, Step::Drained, "{total:?}");
        assert!(requests < 70 && !read.saw(id(7)), "{total:?}: {requests} requests");
        read
    }

    #[test]
    fn a_range_that_showed_fewer_messages_than_it_holds_is_read_again_unless_the_count_tallies() {
        for total in [None, Some(9)] {
            let read = hiding(total);
            let mut known = chat(Some((9, 50)), Some(9));
            (known.explained, known.audited_at) = (Some(8), Some(1));
            assert_eq!(
                concluded(&read, &mut known, 0),
                Conclusion::Behind { row: read.sought() },
                "{total:?}"
            );
            known.explained = Some(9);
            assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done, "{total:?}: the total is wrong");
        }
    }

    /// A read that did not reach the newest message of the list's row.
    fn behind(read: &Read) -> Conclusion {
        Conclusion::Behind { row: read.sought() }
    }

    fn absorbed(known: &Chat, deep: bool, rows: &[(u128, i64)]) -> Read {
        let mut read = Read::new(ChatKey(1), known, deep, 0, 50_000, 40_000);
        read.absorb(&shown(rows, Some(rows.len() as u64)));
        read
    }

    #[test]
    fn a_read_that_shows_what_the_list_names_settles_the_chat() {
        let mut known = chat(Some((2, 20)), Some(2));
        known.changed_since = Some(5);
        let read = absorbed(&known, true, &[(1, 10), (2, 20)]);
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
        assert_eq!((known.changed_since, known.cursor, known.explained), (None, 20, Some(2)));
        assert_eq!(known.audited_at, Some(50_000 - AUDIT_MARGIN));
    }

    #[test]
    fn a_page_with_rows_that_cannot_be_used_may_hide_messages() {
        for (explained, listed, done) in
            [(None, None, false), (Some(1), Some(2), false), (Some(2), Some(2), true)]
        {
            let mut known = chat(Some((2, 20)), listed);
            (known.explained, known.changed_since) = (explained, Some(5));
            let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
            read.absorb(&Shown { rejected: 1, ..shown(&[(1, 10), (2, 20)], Some(2)) });
            let expected = if done { Conclusion::Done } else { behind(&read) };
            assert_eq!(concluded(&read, &mut known, 0), expected, "{explained:?} of {listed:?}");
        }
    }

    #[test]
    fn a_row_without_times_says_that_there_are_messages_by_its_count_or_its_id() {
        for (last_id, messages, expects) in
            [(None, Some(3), true), (Some(id(2)), None, true), (None, Some(0), false), (None, None, false)]
        {
            let mut known = chat(None, messages);
            (known.listed.last_id, known.changed_since) = (last_id, Some(5));
            let mut read = Read::new(ChatKey(1), &known, true, 0, 50_000, 40_000);
            let step = read.absorb(&shown(&[], Some(0)));
            assert_eq!(
                step == Step::More,
                expects,
                "{last_id:?}, {messages:?}: whether it shows anything at all"
            );
        }
    }

    #[test]
    fn a_replica_that_lags_is_not_believed_until_it_insists() {
        let mut known = chat(Some((2, 20)), None);
        known.changed_since = Some(5);
        let read = absorbed(&known, false, &[(1, 10)]);
        assert_eq!(concluded(&read, &mut known, 0), behind(&read));
        assert_eq!(known.changed_since, Some(5));
        assert_eq!(concluded(&read, &mut known, CONFIRMATIONS), Conclusion::Done);
    }

    #[test]
    fn a_row_that_changes_while_it_is_doubted_is_doubted_from_the_start() {
        let mut known = chat(Some((2, 20)), None);
        let before = absorbed(&known, false, &[(1, 10)]);
        let mut doubts = Doubts::default();
        for _ in 0..CONFIRMATIONS {
            doubts = doubts.and(before.conclude(&mut known, true, doubts, 100_000));
        }
        assert_eq!(before.conclude(&mut known.clone(), true, doubts, 100_000), Conclusion::Done);
        known.listed = Listing { last_at: Some(30), last_id: Some(id(3)), ..known.listed };
        let after = absorbed(&known, false, &[(1, 10)]);
        let mut times = 0;
        while after.conclude(&mut known, true, doubts, 100_000) == behind(&after) {
            doubts = doubts.and(behind(&after));
            times += 1;
        }
        assert_eq!(times, CONFIRMATIONS, "as many reads as the row before had");
        // A list that names another message each time does not keep the chat waiting for ever.
        known.listed.last_id = Some(id(4));
        let named = absorbed(&known, false, &[(1, 10)]);
        assert_eq!(named.conclude(&mut known, true, doubts, 100_000), Conclusion::Done);
    }

    #[test]
    fn reads_that_showed_nothing_say_nothing_of_what_a_chat_shows_afterwards() {
        let doubts = Doubts { times: 4, lacking: Some(1), behind: Some(((None, 5), 4)), empty: false };
        let empty = doubts.of(true);
        assert_eq!(empty, Doubts { empty: true, ..doubts }, "they count as those before");
        assert_eq!(empty.of(true), empty);
        assert_eq!(empty.of(false), Doubts::default());
        assert_eq!(doubts.of(false), doubts);
    }

    #[test]
    fn below_a_message_dated_ahead_the_count_of_the_first_read_is_the_one_to_go_by() {
        let mut known = chat(Some((2, 60_000)), Some(2));
        let first = absorbed(&known, true, &[(1, 10), (2, 60_000)]);
        assert_eq!(concluded(&first, &mut known, 0), Conclusion::Behind { row: first.sought() });
        assert_eq!(known.explained, Some(2));
        // A message came that a replica hides, and the reads have been in doubt for long.
        known.listed.messages = Some(3);
        let last = absorbed(&known, true, &[(1, 10), (2, 60_000)]);
        assert_eq!(concluded(&last, &mut known, CONFIRMATIONS), Conclusion::Doubtful { lacking: Some(1) });
    }

    #[test]
    fn below_a_message_dated_ahead_what_the_first_count_includes_does_not_stand_for_what_comes_next() {
        let mut known = chat(Some((2, 60_000)), Some(3));
        let first = absorbed(&known, true, &[(1, 10), (2, 60_000)]);
        concluded(&first, &mut known, 0);
        // The third message, which a replica held back, is shown and counted, and the list says the same.
        known.explained = known.explained.map(|explained| explained + 1);
        let second = absorbed(&known, true, &[(1, 10), (2, 60_000), (3, 30)]);
        assert_eq!(concluded(&second, &mut known, 1), Conclusion::Behind { row: second.sought() });
        assert_eq!(known.explained, Some(3));
    }

    #[test]
    fn below_a_message_dated_ahead_a_change_without_a_new_message_is_doubted() {
        let mut known = chat(Some((2, 60_000)), Some(2));
        (known.explained, known.audited_at) = (Some(2), Some(1));
        // One was deleted and another one came: the count is the same.
        let nothing = Read { counted: 0, ..absorbed(&known, false, &[(2, 60_000)]) };
        assert_eq!(concluded(&nothing, &mut known, 0), Conclusion::Doubtful { lacking: None });
        let deep = Read { counted: 0, ..absorbed(&known, true, &[(2, 60_000)]) };
        assert_eq!(concluded(&deep, &mut known, 1), Conclusion::Done);
    }

    #[test]
    fn a_row_without_last_message_is_confirmed_by_its_time() {
        let mut known = chat(Some((2, 20)), None);
        known.listed.last_id = None;
        known.changed_since = Some(5);
        let read = absorbed(&known, false, &[(1, 10), (2, 20)]);
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
    }

    #[test]
    fn a_count_that_the_new_messages_do_not_explain_asks_for_a_deep_read() {
        let mut known = chat(Some((9, 20)), Some(7));
        (known.explained, known.changed_since) = (Some(5), Some(5));
        let read = absorbed(&known, false, &[(9, 20)]);
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Doubtful { lacking: None });
        assert!(known.deep && known.changed_since.is_some());
        assert_eq!(known.explained, Some(5), "what was not found is not explained");
    }

    #[test]
    fn what_two_deep_reads_lack_is_taken_as_gone() {
        let mut known = chat(Some((9, 20)), Some(7));
        (known.explained, known.changed_since) = (Some(5), Some(5));
        let read = absorbed(&known, true, &[(9, 20)]);
        let again = |lacking: Option<i64>, known: &mut Chat| {
            read.conclude(known, true, Doubts { times: 1, lacking, ..Doubts::default() }, 100_000)
        };
        assert_eq!(again(None, &mut known), Conclusion::Doubtful { lacking: Some(2) });
        assert_eq!((known.audited_at, known.changed_since, known.deep), (None, Some(5), true));
        // A message came to light meanwhile, but not both.
        known.explained = Some(6);
        assert_eq!(again(Some(2), &mut known), Conclusion::Doubtful { lacking: Some(1) });
        assert_eq!(again(Some(1), &mut known), Conclusion::Done);
        assert_eq!((known.changed_since, known.deep, known.explained), (None, false, Some(7)));
        assert!(known.audited_at.is_some());
        // Fewer than are known is no question to a deep read: some were deleted.
        let mut known = chat(Some((9, 20)), Some(3));
        known.explained = Some(5);
        assert_eq!(concluded(&absorbed(&known, true, &[(9, 20)]), &mut known, 0), Conclusion::Done);
        assert_eq!(known.explained, Some(3));
    }

    #[test]
    fn where_rows_have_no_times_the_newest_message_that_was_read_gives_it() {
        let mut known = chat(Some((2, 20)), Some(2));
        known.listed.last_at = None;
        known.changed_since = Some(5);
        let read = absorbed(&known, true, &[(1, 10), (2, 20)]);
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
        assert_eq!(known.listed.last_at, Some(20));
        // The same row again has that time, and another one has none.
        let row = Listing { last_at: None, ..known.listed };
        assert_eq!(row.completed_by(&known.listed), known.listed);
        let news = Listing { messages: Some(3), ..row };
        assert_eq!(news.completed_by(&known.listed).last_at, None);
    }

    #[test]
    fn a_chat_that_changed_during_its_read_waits_on_from_the_list_before() {
        let mut known = chat(Some((2, 20)), None);
        known.changed_since = Some(5);
        let read = absorbed(&known, false, &[(1, 10), (2, 20)]);
        known.listed.last_at = Some(30);
        assert_eq!(concluded(&read, &mut known, 0), Conclusion::Done);
        assert_eq!(known.changed_since, Some(40_000));
    }
}
