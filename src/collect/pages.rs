//! Ranges to ask for, pages as far as paging depends on them, and a pass over a range by offset. Pure.

use std::collections::HashSet;

use crate::domain::ids::BuildKeyedHasher;
use crate::domain::{LineId, MessageId};

/// A set of message ids.
pub type Ids = HashSet<MessageId, BuildKeyedHasher>;

/// Pages that a pass by offset may take beyond three times what its total says.
const SPARE_PAGES: u64 = 60;
/// A total is believed up to so many times the pages that brought something new: enough for every pass that may be repeated.
const BORNE_OUT: u64 = 8;
/// Pages that count as a total where there is none, however many more of them bring something new.
pub const MOST_PAGES: u64 = 2_000;
/// Passes in a row that must bring nothing new before a range that holds more is left. Ties come in another order each time,
/// so that one pass may well skip what the next one shows; the read ends in doubt then.
const FRUITLESS: u32 = 6;
/// Times in a row that the same page may come again before a pass ends with it.
const REPEATS: u32 = 2;
/// Messages of a range up to which a pass is repeated as often: a long one costs too much.
const SHORT_PASS: u64 = 400;

/// Messages to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Sent after this, unix ms.
    pub since: i64,
    /// Sent before this, unix ms.
    pub until: Option<i64>,
    /// Rows of the list to skip.
    pub offset: u64,
}

/// What a page showed, as far as paging depends on it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Its usable rows, in its order.
    pub rows: Vec<ShownRow>,
    /// How many rows were not usable.
    pub rejected: usize,
    /// The total of the range, where the API gives one.
    pub total: Option<u64>,
}

/// What a pass by offset needs of a usable row.
#[derive(Clone, Copy, Debug)]
pub struct ShownRow {
    /// The hashed id of the message.
    pub id: MessageId,
    /// When it was sent (`time_sent`), unix ms.
    pub sent_at: i64,
    /// The line that received or sent it.
    pub line: LineId,
    /// It was counted now.
    pub counted: bool,
}

impl Shown {
    /// How many rows it had.
    pub fn len(&self) -> usize {
        self.rows.len() + self.rejected
    }

    /// Whether it had none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn distinct(&self) -> usize {
        self.rows.iter().map(|row| row.id).collect::<Ids>().len() + self.rejected
    }

    pub(super) fn is_ascending(&self) -> bool {
        self.rows.is_sorted_by_key(|row| row.sent_at)
    }

    /// Time of the newest usable row.
    pub fn newest(&self) -> Option<i64> {
        self.rows.iter().map(|row| row.sent_at).max()
    }
}

/// What follows from a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to ask for.
    More,
    /// Nothing can have been missed.
    Drained,
    /// The server contradicts itself: some of it may have been missed.
    Confused,
}

/// A pass over a range by offset, to an empty page, and repeated until it holds as many messages as its total says: ties
/// come in no fixed order, and totals lag.
#[derive(Debug)]
pub struct OffsetPass {
    range: Range,
    distinct: Ids,
    rejected: usize,
    rejected_in_pass: usize,
    grew: bool,
    /// Passes in a row that brought nothing new.
    fruitless: u32,
    /// The largest total of the range so far.
    total: Option<u64>,
    /// The offset at which the newest pass ended: so many messages were in the range. Stands in for a missing total.
    ended_at: Option<u64>,
    pages: u64,
    /// Pages that brought something new.
    fruitful: u64,
    most_pages: u64,
    /// The first and last row of the page before, and how often in a row they came again: a server that ignores `offset` shows the
    /// same page for ever.
    ends: Option<(MessageId, MessageId)>,
    repeated: u32,
}

impl OffsetPass {
    /// A pass over everything between two times.
    pub fn new(since: i64, until: Option<i64>) -> OffsetPass {
        OffsetPass {
            range: Range { since, until, offset: 0 },
            distinct: Ids::default(),
            rejected: 0,
            rejected_in_pass: 0,
            grew: false,
            fruitless: 0,
            total: None,
            ended_at: None,
            pages: 0,
            fruitful: 0,
            most_pages: SPARE_PAGES,
            ends: None,
            repeated: 0,
        }
    }

    /// What to ask for next.
    pub fn next(&self) -> Range {
        self.range
    }

    /// Takes the next page of the pass and says what to ask for next.
    pub fn absorb(&mut self, page: &Shown) -> Step {
        self.pages += 1;
        self.total = self.total.max(page.total);
        let before = self.distinct.len();
        self.distinct.extend(page.rows.iter().map(|row| row.id));
        let grew = self.distinct.len() > before;
        self.grew |= grew;
        self.fruitful += u64::from(grew);
        let pages = match page.total {
            // A total may be any number.
            Some(total) => total.div_ceil(page.len().max(1) as u64).min(BORNE_OUT * self.fruitful),
            None => self.fruitful.min(MOST_PAGES),
        };
        self.most_pages = self.most_pages.max(SPARE_PAGES + 3 * pages);
        self.rejected_in_pass += page.rejected;
        self.rejected = self.rejected.max(self.rejected_in_pass);
        // A total can lag behind, and a low one is met before everything was seen: the pass goes on to where nothing more is
        // shown.
        let is_past = self.total.is_some_and(|total| self.range.offset >= total);
        let ends = page.rows.first().zip(page.rows.last()).map(|(first, last)| (first.id, last.id));
        self.repeated = if ends.is_some() && ends == self.ends && !grew { self.repeated + 1 } else { 0 };
        self.ends = ends;
        let is_end = page.is_empty() || !grew && (is_past || self.repeated >= REPEATS);
        if page.is_empty() {
            self.ended_at = Some(self.range.offset);
        }
        // A row that comes twice takes the place of none.
        self.range.offset += page.distinct() as u64;
        self.fruitless = if self.grew { 0 } else { self.fruitless + u32::from(is_end) };
        // Whole passes that brought nothing new: the total is wrong, or there is none.
        let complete = self.total.is_some_and(|total| self.shown() >= total);
        let enough = if self.is_incomplete() { FRUITLESS } else { 1 };
        if is_end && (complete || self.fruitless >= enough) {
            return Step::Drained;
        }
        if self.pages >= self.most_pages {
            return Step::Confused;
        }
        if is_end {
            (self.ends, self.repeated) = (None, 0);
            (self.range.offset, self.rejected_in_pass, self.grew) = (0, 0, false);
        }
        Step::More
    }

    /// Whether fewer messages were shown than the range holds, as far as that can be told. A long range is not repeated for
    /// it.
    pub(super) fn is_incomplete(&self) -> bool {
        self.total.or(self.ended_at).is_some_and(|held| self.shown() < held && held <= SHORT_PASS)
    }

    fn shown(&self) -> u64 {
        (self.distinct.len() + self.rejected) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Direction, LineId, MessageId};

    fn shown(ids: std::ops::Range<u128>, total: Option<u64>) -> Shown {
        let id = |n| MessageId::new(n << 1, Direction::Inbound);
        let row = |n| ShownRow { id: id(n), sent_at: 50, line: LineId::NONE, counted: true };
        Shown { rows: ids.map(row).collect(), rejected: 0, total }
    }

    /// Passes of a page and an empty one, each page with the messages from one number to before another; how many pages until it ended, and how.
    fn passes(total: Option<u64>, pages: &[(u128, u128)]) -> (usize, Step) {
        let mut pass = OffsetPass::new(0, None);
        let mut asked = 0;
        for (from, to) in pages.iter().cycle() {
            for page in [shown(*from..*to, total), shown(0..0, total)] {
                asked += 1;
                match pass.absorb(&page) {
                    Step::More => {}
                    step => return (asked, step),
                }
            }
        }
        unreachable!("the pages repeat");
    }

    #[test]
    fn a_pass_is_repeated_while_fewer_messages_were_shown_than_the_total_says() {
        assert_eq!(passes(Some(3), &[(0, 3)]), (2, Step::Drained));
        // The first two show the same two of three, the third one shows the third.
        assert_eq!(passes(Some(3), &[(0, 2), (0, 2), (1, 3)]), (6, Step::Drained));
        let (asked, step) = passes(Some(3), &[(0, 2)]);
        assert_eq!((asked, step), (2 + 2 * FRUITLESS as usize, Step::Drained), "the total is wrong");
        assert_eq!(
            passes(None, &[(0, 3)]),
            (4, Step::Drained),
            "without a total, until one brings nothing new"
        );
    }

    #[test]
    fn a_long_range_is_gone_through_twice_at_most() {
        // A server that shows the same ten of a thousand messages at every offset, and no page without any.
        let mut pass = OffsetPass::new(0, None);
        let page = shown(0..10, Some(1_000));
        let mut asked = 1;
        let end = loop {
            match pass.absorb(&page) {
                Step::More => asked += 1,
                step => break step,
            }
        };
        assert_eq!((asked, end), (6, Step::Drained));
        // And one that shows other rows at every offset, for ever, and claims that there are more.
        let (mut pass, mut asked) = (OffsetPass::new(0, None), 1);
        let end = loop {
            match pass.absorb(&shown(asked % 3..asked % 3 + 5, Some(1_000_000_000_000))) {
                Step::More => asked += 1,
                step => break step,
            }
        };
        // Three of its pages brought something.
        assert_eq!((asked as u64, end), (SPARE_PAGES + 3 * 3 * BORNE_OUT, Step::Confused));
    }

    #[test]
    fn rows_that_cannot_be_used_are_shown_as_well() {
        let page = |ids, rejected| Shown { rejected, ..shown(ids, Some(6)) };
        let two_of_five = page(0..3, 2);
        assert_eq!((two_of_five.len(), two_of_five.distinct(), two_of_five.is_empty()), (5, 5, false));
        let mut pass = OffsetPass::new(0, None);
        pass.absorb(&page(0..2, 1));
        assert_eq!(pass.shown(), 3);
        let mut pass = OffsetPass::new(0, None);
        assert_eq!(pass.absorb(&page(0..2, 1)), Step::More);
        assert_eq!(pass.absorb(&page(2..4, 1)), Step::More);
        assert_eq!(pass.absorb(&page(0..0, 0)), Step::Drained);
    }

    #[test]
    fn a_pass_goes_on_where_the_page_ended() {
        let mut pass = OffsetPass::new(7, Some(99));
        assert_eq!(pass.next(), Range { since: 7, until: Some(99), offset: 0 });
        pass.absorb(&Shown { rejected: 1, ..shown(0..3, Some(9)) });
        assert_eq!(pass.next(), Range { since: 7, until: Some(99), offset: 4 });
        pass.absorb(&shown(3..5, Some(9)));
        assert_eq!(pass.next().offset, 6);
        // An empty page ends a pass; what is missing may be shown by the next one.
        assert_eq!(pass.absorb(&shown(0..0, Some(9))), Step::More);
        assert_eq!(pass.next().offset, 0);
    }

    #[test]
    fn a_range_that_grows_with_every_page_is_given_up() {
        // Three times the pages that the total is worth, and 60; without a total, three times as many as there may be.
        for (total, pages) in [(Some(3_000), 960), (None, 6_060)] {
            let mut pass = OffsetPass::new(0, None);
            let asked = (1..).find(|n| pass.absorb(&shown(n * 10..n * 10 + 10, total)) != Step::More);
            assert_eq!(asked, Some(pages));
        }
    }

    #[test]
    fn a_long_range_without_a_total_takes_as_many_pages_as_it_needs() {
        let mut pass = OffsetPass::new(0, None);
        let page = |at: u64| shown(u128::from(at)..u128::from(at.min(490) + 10).min(500), None);
        let mut asked = 1;
        let end = loop {
            match pass.absorb(&page(pass.next().offset)) {
                Step::More => asked += 1,
                step => break step,
            }
        };
        assert_eq!((asked, end), (102, Step::Drained), "twice, each time to an empty page");
    }

    #[test]
    fn a_row_that_comes_twice_takes_the_place_of_none() {
        let mut pass = OffsetPass::new(0, None);
        let mut page = shown(0..5, None);
        page.rows.push(page.rows[1]);
        pass.absorb(&page);
        assert_eq!(pass.next().offset, 5);
        pass.absorb(&shown(0..0, None));
        assert!(!pass.is_incomplete());
        // A sixth one came meanwhile, and the newest pass shows how many there are.
        for rows in [shown(0..5, None), shown(4..5, None), shown(0..0, None)] {
            pass.absorb(&rows);
        }
        assert!(pass.is_incomplete(), "one was shown twice in place of another");
    }

    #[test]
    fn a_range_is_incomplete_while_it_is_short_and_showed_less_than_it_holds() {
        for (seen, total, incomplete) in [
            (3, Some(3), false),
            (2, Some(3), true),
            (4, Some(3), false),
            (2, None, false),
            (399, Some(400), true),
            (400, Some(401), false),
        ] {
            let mut pass = OffsetPass::new(0, None);
            pass.absorb(&shown(0..seen, total));
            assert_eq!(pass.is_incomplete(), incomplete, "{seen} of {total:?}");
        }
    }
}
