//! A full listing of the chats, page by page, over a list that moves while it is read. Pure.
//!
//! The list is sorted by the most recent message. A message pushes unread chats down, so that they are
//! seen twice, not missed; the chat that it lifts to the top is seen by the sweeps that go on meanwhile and
//! hand in what they see. A deletion pulls chats up, past the reader: pages overlap to notice that, and the
//! number of distinct chats is checked against the list's total.

use std::collections::BTreeSet;

use crate::domain::ChatKey;

/// Rows by which pages overlap.
pub const OVERLAP: usize = 10;
/// Times that a walk starts over because the list moved under it.
const RESTARTS: u8 = 4;
/// Times that it goes through the list to find as many chats as the total says.
const PASSES: u8 = 4;

/// How many rows to step on after a page with this many.
pub fn stride(returned: usize) -> u64 {
    (returned - OVERLAP.min(returned / 2)) as u64
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the page at [`Walk::offset`].
    Continue,
    /// The walk is over; whether it saw every chat there was at its start.
    Done {
        /// It did.
        complete: bool,
    },
}

/// A full listing under way.
#[derive(Debug, Default)]
pub struct Walk {
    started: Option<i64>,
    offset: u64,
    listed: BTreeSet<ChatKey>,
    tail: Vec<ChatKey>,
    total: Option<u64>,
    refused: u64,
    restarts: u8,
    passes: u8,
}

impl Walk {
    /// Rows to skip in the next request.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The server's time when the first page was asked for.
    pub fn started(&self) -> Option<i64> {
        self.started
    }

    /// Every chat seen.
    pub fn listed(&self) -> &BTreeSet<ChatKey> {
        &self.listed
    }

    /// Takes in chats that a sweep saw meanwhile.
    pub fn also(&mut self, keys: impl IntoIterator<Item = ChatKey>) {
        if self.started.is_some() {
            self.listed.extend(keys);
        }
    }

    /// Takes in a page: its usable chats, how many others it had, and what it says of the whole list.
    pub fn absorb(&mut self, keys: &[ChatKey], refused: usize, total: Option<u64>, asked_at: i64) -> Step {
        self.started.get_or_insert(asked_at);
        let returned = keys.len() + refused;
        let skipped = self.offset > 0 && !keys.is_empty() && !keys.iter().any(|key| self.tail.contains(key));
        let fell = total.zip(self.total).is_some_and(|(now, before)| now < before);
        self.total = total;
        self.listed.extend(keys);
        if skipped || fell {
            self.restarts += 1;
            self.rewind();
            return if self.restarts > RESTARTS { Step::Done { complete: false } } else { Step::Continue };
        }
        self.refused += refused as u64;
        let end = returned == 0 || total.is_some_and(|total| self.offset + returned as u64 >= total);
        if !end {
            self.offset += stride(returned);
            self.tail = keys[keys.len().saturating_sub(OVERLAP)..].to_vec();
            return Step::Continue;
        }
        if total.is_none_or(|total| self.listed.len() as u64 + self.refused >= total) {
            return Step::Done { complete: true };
        }
        self.passes += 1;
        self.rewind();
        if self.passes >= PASSES { Step::Done { complete: false } } else { Step::Continue }
    }

    fn rewind(&mut self) {
        self.offset = 0;
        self.tail.clear();
        self.refused = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(range: std::ops::Range<u128>) -> Vec<ChatKey> {
        range.map(ChatKey).collect()
    }

    #[test]
    fn pages_overlap_and_the_total_ends_it() {
        let mut walk = Walk::default();
        assert_eq!(walk.absorb(&keys(0..200), 0, Some(250), 7), Step::Continue);
        assert_eq!(walk.offset(), 190);
        assert_eq!(walk.absorb(&keys(190..250), 0, Some(250), 9), Step::Done { complete: true });
        assert_eq!((walk.started(), walk.listed().len()), (Some(7), 250));
    }

    #[test]
    fn a_short_page_is_not_the_end() {
        let mut walk = Walk::default();
        assert_eq!(walk.absorb(&keys(0..3), 0, Some(5), 1), Step::Continue);
        assert_eq!(walk.offset(), 2);
        assert_eq!(walk.absorb(&keys(2..5), 0, Some(5), 1), Step::Done { complete: true });
    }

    #[test]
    fn rows_that_slipped_past_start_it_over() {
        let mut walk = Walk::default();
        walk.absorb(&keys(0..200), 0, Some(400), 1);
        assert_eq!(walk.absorb(&keys(210..400), 0, Some(400), 1), Step::Continue);
        assert_eq!(walk.offset(), 0, "no row of the page before came again");
    }

    #[test]
    fn fewer_chats_than_the_total_says_are_never_a_complete_listing() {
        let mut walk = Walk::default();
        for _ in 0..3 {
            assert_eq!(walk.absorb(&keys(0..9), 0, Some(10), 1), Step::Continue);
            assert_eq!(walk.absorb(&[], 0, Some(10), 1), Step::Continue);
        }
        assert_eq!(walk.absorb(&keys(0..9), 0, Some(10), 1), Step::Continue);
        assert_eq!(walk.absorb(&[], 0, Some(10), 1), Step::Done { complete: false });
    }

    #[test]
    fn a_server_without_totals_is_read_to_an_empty_page() {
        let mut walk = Walk::default();
        assert_eq!(walk.absorb(&keys(0..4), 0, None, 1), Step::Continue);
        assert_eq!(walk.absorb(&keys(2..4), 0, None, 1), Step::Continue);
        assert_eq!(walk.absorb(&keys(3..4), 0, None, 1), Step::Continue);
        assert_eq!(walk.absorb(&[], 0, None, 1), Step::Done { complete: true });
    }
}
