//! Sweeps: lists of the chats with the newest messages, and when what they named has been read. Pure.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::full_listing::{OVERLAP, stride, tolerance};
use crate::domain::view::RejectedRows;
use crate::domain::{ChatKey, SweepResult};

/// Intervals after which a sweep whose chats are not all read is partial.
pub const LONGEST: u32 = 10;
/// How often the pages are gone through when rows changed places meanwhile.
const PASSES: u32 = 3;
/// Recently active chats that a list may lack before it is doubted however often: so many, and this share.
const MISSING: (usize, f64) = (3, 0.1);

/// A page of the list, as far as a sweep depends on it.
#[derive(Clone, Debug, Default)]
pub struct SweepPage {
    /// Its usable rows: the chat, the time of its newest message or 0 where that is not known, and whether it must be read
    /// because of this row.
    pub rows: Vec<(ChatKey, i64, bool)>,
    /// Rows that were not usable.
    pub rejected: RejectedRows,
    /// How many chats the answer says there are (`pagination.total`).
    pub total: Option<u64>,
    /// How many rows were asked for.
    pub limit: usize,
    /// The server's time when it was asked for, unix ms.
    pub asked_at: i64,
    /// Nothing that was sent before this counts (the baseline), unix ms.
    pub counts_from: i64,
}

/// A list under way.
#[derive(Debug)]
pub struct Sweep {
    /// When the sweep began, since the engine's start.
    pub began: Duration,
    /// The server's time when its first page was asked for.
    pub asked_at: Option<i64>,
    /// The chats that it showed.
    pub listed: BTreeSet<ChatKey>,
    /// Rows that were not usable.
    pub rejected: RejectedRows,
    /// Time of the oldest row: what is newer must have been shown. The start of time when the list was read to its end.
    oldest: i64,
    /// A page was empty although the total says that there are other rows than were shown: so many more or fewer.
    broken_off: u64,
    offset: u64,
    pages: u32,
    /// The first page is read again, after others.
    again: bool,
    /// How far down the pages reached, in rows. As many must have been shown.
    places: u64,
    /// Rows that came twice in one page.
    doubles: u64,
    /// How often the pages were gone through.
    passes: u32,
    /// Chats that are known.
    known: u64,
    /// The first and last row of the page before: a server that ignores `offset` shows them again and again.
    ends: Option<(ChatKey, ChatKey)>,
    /// How often in a row it did. Once may be because as many rows moved to the top meanwhile.
    repeated: u32,
    /// Rows newer than this may stand above one that the sweep before did not show.
    recent: i64,
}

impl Sweep {
    /// A sweep that begins now. `listed_through` is when the newest sweep before asked for its list; `known` how many chats
    /// are known.
    pub fn new(began: Duration, listed_through: i64, interval: i64, known: usize) -> Sweep {
        Sweep {
            began,
            asked_at: None,
            listed: BTreeSet::new(),
            rejected: RejectedRows::default(),
            oldest: i64::MAX,
            broken_off: 0,
            offset: 0,
            pages: 0,
            again: false,
            places: 0,
            doubles: 0,
            passes: 0,
            known: known as u64,
            ends: None,
            repeated: 0,
            recent: listed_through - 2 * interval,
        }
    }

    /// Time of the oldest row that was shown; `None` when the list was read to its end.
    pub fn oldest(&self) -> Option<i64> {
        (self.oldest > i64::MIN).then_some(self.oldest)
    }

    /// Rows to skip in the next request.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes a page. True when there is more to ask for.
    ///
    /// Changed chats are at the top. Only where they reach down to the page's end may there be more on the next one;
    /// and where the page's end is as recent as the sweep before, because rows that are dated ahead, or were seen in
    /// time, may stand above one that was not. Chats without a message since the baseline hold nothing that counts: at the
    /// first start all are new, and nothing else would end the sweep. Where fewer rows were shown than there are places down to
    /// the last one, some changed places between two answers, and the pages are gone through again. Anything missed here is
    /// caught by the full listing.
    pub fn absorb(&mut self, page: &SweepPage) -> bool {
        self.asked_at.get_or_insert(page.asked_at);
        self.rejected.malformed += page.rejected.malformed;
        self.rejected.identifier += page.rejected.identifier;
        let rows: BTreeSet<ChatKey> = page.rows.iter().map(|(key, ..)| *key).collect();
        self.doubles += (page.rows.len() - rows.len()) as u64;
        self.listed.extend(rows);
        let returned = page.rows.len() + page.rejected.count() as usize;
        // The lowest row of which the time is known.
        let last = page.rows.iter().rev().map(|(_, newest, _)| *newest).find(|newest| *newest != 0);
        // By what was shown and not by its place: rows come twice, and push others off their page. A total below what is
        // known lags.
        let shown = self.listed.len() as u64 + self.rejected.count();
        // A full page may be followed by others, whatever a capped total says.
        let is_full = page.limit > 0 && returned >= page.limit;
        let is_all = page.total.is_some_and(|total| shown >= total.max(self.known));
        let end = returned == 0 || is_all && !is_full;
        self.oldest = self.oldest.min(if end { i64::MIN } else { last.unwrap_or(i64::MAX) });
        if returned == 0 {
            self.broken_off = self.broken_off.max(page.total.map_or(0, |total| total.abs_diff(shown)));
        }
        let ends = page.rows.first().zip(page.rows.last()).map(|(first, last)| (first.0, last.0));
        let repeats = ends.is_some() && ends == self.ends;
        self.ends = ends;
        self.repeated = if repeats { self.repeated + 1 } else { 0 };
        let tail = page.rows.len().saturating_sub(OVERLAP);
        let reaches_down = page.rows[tail..].iter().any(|(.., changed)| *changed);
        let may_hold_more = last.is_none_or(|newest| newest >= page.counts_from);
        let reaches_down = reaches_down && may_hold_more;
        let may_go_on = reaches_down || may_hold_more && last.is_some_and(|newest| newest > self.recent);
        self.places = self.places.max((self.offset + returned as u64).saturating_sub(self.doubles));
        self.offset += stride(returned);
        let more = !end && self.repeated < 2;
        self.pages += 1;
        if self.again {
            self.again = !more || reaches_down || !self.is_torn() || self.passes >= PASSES;
            return more && (reaches_down || !self.again);
        }
        if more && may_go_on {
            return true;
        }
        // A chat that got a message while further pages were read moved from a page not read yet to the first one.
        self.again = self.pages > 1;
        if self.again {
            self.passes += 1;
            (self.offset, self.ends) = (0, None);
        }
        self.again
    }

    /// Whether fewer rows were shown than there are places down to the last one: rows changed places between two answers, by
    /// an order that is not stable or because one answer was older than another, and some may have been shown by none.
    pub fn is_torn(&self) -> bool {
        self.oldest > i64::MIN && self.listed.len() as u64 + self.rejected.count() < self.places
    }

    /// Whether the list lacks a recently active chat that it should have shown, but for those that were `lacked_before`. A single
    /// list proves nothing; several in a row may be right, and then the chat is asked itself.
    pub fn lacks_any(
        &self,
        active: impl Iterator<Item = (i64, ChatKey)>,
        lacked_before: impl Fn(i64, ChatKey) -> bool,
    ) -> bool {
        self.expected(active).any(|(newest, key)| !self.listed.contains(&key) && !lacked_before(newest, key))
    }

    /// The chats that the list should have shown, of those that are known to be active, the most recent first.
    fn expected(&self, active: impl Iterator<Item = (i64, ChatKey)>) -> impl Iterator<Item = (i64, ChatKey)> {
        active.take_while(|(newest, _)| *newest > self.oldest).take(2 * self.listed.len() + 50)
    }

    /// Whether the list was torn, or lacks so many recently active chats that it cannot be the whole truth. `active` are the
    /// chats that are known to be active, the most recent first; `known` is how many chats are known at all.
    pub fn is_doubtful(&self, active: impl Iterator<Item = (i64, ChatKey)>, known: usize) -> bool {
        if self.listed.is_empty() {
            return known > 0 || self.broken_off > tolerance(self.broken_off);
        }
        if self.is_torn() {
            return true;
        }
        let (mut count, mut missing) = (0, 0);
        for (_, key) in self.expected(active) {
            count += 1;
            missing += usize::from(!self.listed.contains(&key));
        }
        let (least, share) = MISSING;
        // A few may have been deleted; that does not explain a page that should have shown more.
        self.broken_off > 0 && missing > 0 || missing > least && missing as f64 > count as f64 * share
    }
}

/// A sweep whose list was read.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    asked_at: i64,
    began: Duration,
    /// Nothing speaks against the list being the whole truth.
    sound: bool,
}

/// A sweep that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whether everything that was listed was read, a part of it, or nothing.
    pub result: SweepResult,
    /// When its list was asked for.
    pub asked_at: i64,
    /// Everything sent up to here is counted, as far as this sweep shows.
    pub covered: Option<i64>,
    /// When the sweep began, since the engine's start.
    pub began: Duration,
}

/// What is left to read of what the lists named.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unread {
    /// The oldest `changed_since` of the chats that can be read.
    pub readable: Option<i64>,
    /// The same of all chats.
    pub any: Option<i64>,
}

/// Lists in a row that must lack a chat before they count as evidence that it is gone: it may have moved to a page that was
/// read already.
const LISTS: usize = 3;

/// How far down the newest lists went.
#[derive(Debug, Default)]
pub struct Lists {
    /// When each was asked for, and the time of the oldest chat where older ones were not looked at. The newest is last.
    newest: VecDeque<(i64, Option<i64>)>,
}

impl Lists {
    /// A list was read that can be believed.
    pub fn ended(&mut self, asked_at: i64, oldest: Option<i64>) {
        if self.newest.len() == LISTS {
            self.newest.pop_front();
        }
        self.newest.push_back((asked_at, oldest));
    }

    /// Whether all of them should have shown a chat with this `newest` message, and did not: no list showed it after
    /// `shown_at`.
    pub fn lack(&self, newest: i64, shown_at: i64) -> bool {
        self.lacked(newest, shown_at) >= LISTS
    }

    /// Whether enough of them did, before the one that is looked at now.
    pub fn lacked_before(&self, newest: i64, shown_at: i64) -> bool {
        self.lacked(newest, shown_at) >= LISTS - 1
    }

    /// How many of them in a row, the newest first, should have shown it and did not.
    fn lacked(&self, newest: i64, shown_at: i64) -> usize {
        let lacks = |&&(asked_at, oldest): &&(i64, Option<i64>)| {
            asked_at > shown_at && oldest.is_none_or(|oldest| newest > oldest)
        };
        self.newest.iter().rev().take_while(lacks).count()
    }
}

/// The sweeps whose lists were read and whose chats are not all read yet. They overlap: a list is asked for every
/// interval, whether or not the one before is done.
#[derive(Debug, Default)]
pub struct Sweeps {
    outstanding: VecDeque<Outstanding>,
    /// When the newest list was asked for, as far as its place among the others goes.
    ordered_through: i64,
    listed_through: i64,
}

impl Sweeps {
    /// Continues from what is known to be counted, unix ms.
    pub fn new(watermark: i64) -> Sweeps {
        Sweeps { outstanding: VecDeque::new(), ordered_through: watermark, listed_through: watermark }
    }

    /// When the newest list was asked for that can be trusted to have named every change before it. After the server's clock
    /// went back that is earlier than what was believed before: what is sent now bears such times again.
    pub fn listed_through(&self) -> i64 {
        self.listed_through
    }

    /// Times are strictly in order, whatever the clock does: what a list named is told apart by them.
    pub fn ordered(&self, asked_at: i64) -> i64 {
        asked_at.max(self.ordered_through + 1)
    }

    /// A list was read to its end that was asked for at `asked_at`, in order. It shows every change up to `through`, by what the
    /// clock says now; `None` when it cannot have been the whole truth.
    pub fn listed(&mut self, asked_at: i64, began: Duration, through: Option<i64>) {
        if let Some(through) = through {
            self.ordered_through = self.ordered_through.max(asked_at);
            self.listed_through = through.min(asked_at);
        }
        self.outstanding.push_back(Outstanding { asked_at, began, sound: through.is_some() });
    }

    /// The oldest sweep that is not done, by when it began.
    pub fn oldest(&self) -> Option<Duration> {
        self.outstanding.front().map(|sweep| sweep.began)
    }

    /// Takes the next sweep that ended: everything that it named is read, or what is left cannot be read, or it took too
    /// long.
    pub fn settle(&mut self, unread: Unread, now: Duration, interval: Duration) -> Option<Settled> {
        let sweep = *self.outstanding.front()?;
        let waits = unread.readable.is_some_and(|since| since < sweep.asked_at);
        let is_late = now.saturating_sub(sweep.began) >= interval.saturating_mul(LONGEST);
        if waits && !is_late {
            return None;
        }
        self.outstanding.pop_front();
        let done = unread.any.is_none_or(|since| since >= sweep.asked_at);
        let result = if done && sweep.sound { SweepResult::Complete } else { SweepResult::Partial };
        let covered = unread.any.map_or(sweep.asked_at, |since| since.min(sweep.asked_at));
        Some(Settled {
            result,
            asked_at: sweep.asked_at,
            covered: sweep.sound.then_some(covered),
            began: sweep.began,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn rows(range: std::ops::Range<u128>, newest: i64, changed: bool) -> Vec<(ChatKey, i64, bool)> {
        range.map(|n| (ChatKey(n), newest, changed)).collect()
    }

    #[test]
    fn a_sweep_goes_down_as_far_as_chats_changed_or_are_recent() {
        let page =
            |rows: Vec<_>| SweepPage { rows, total: Some(1_000), asked_at: 9_000, ..SweepPage::default() };
        for (name, rows, more) in [
            ("nothing changed", rows(0..200, 500, false), false),
            ("everything changed", rows(0..200, 500, true), true),
            ("the end is as recent as the sweep before", rows(0..200, 5_000, false), true),
            ("no times at all", rows(0..200, 0, true), true),
            ("no times, and nothing changed", rows(0..200, 0, false), false),
            (
                "one of no time below recent ones",
                [rows(0..199, 5_000, false), rows(199..200, 0, false)].concat(),
                true,
            ),
        ] {
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 1_000);
            assert_eq!(sweep.absorb(&page(rows)), more, "{name}");
        }
    }

    #[test]
    fn a_total_below_what_is_known_ends_no_sweep() {
        let page = |total| SweepPage { rows: rows(0..200, 5_000, true), total, ..SweepPage::default() };
        for (total, known, more) in [(200, 1_000, true), (200, 200, false), (1_000, 200, true)] {
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, known);
            assert_eq!(sweep.absorb(&page(Some(total))), more, "{total} of {known}");
        }
    }

    #[test]
    fn behind_a_full_page_there_may_be_others_although_its_total_counts_no_more_rows() {
        // (rows that were asked for, whether there is more to ask for)
        for (limit, more) in [(200, true), (201, false)] {
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 200);
            let rows = rows(0..200, 5_000, true);
            let page = SweepPage { rows, total: Some(200), limit, ..SweepPage::default() };
            assert_eq!(sweep.absorb(&page), more, "200 rows of {limit}");
        }
    }

    #[test]
    fn a_list_that_showed_as_many_chats_as_there_are_is_not_torn_although_one_came_twice() {
        for (total, torn) in [(8, false), (9, true)] {
            let mut sweep = Sweep::new(Duration::ZERO, 0, 0, 0);
            // The second page begins with the fourth row of the first. Row 1 comes on both.
            for page in [[0, 1, 2, 3, 4, 5], [3, 4, 5, 1, 6, 7]] {
                let rows = page.map(|key| (ChatKey(key), 500, true)).to_vec();
                sweep.absorb(&SweepPage { rows, total: Some(total), ..SweepPage::default() });
            }
            assert_eq!((sweep.listed.len(), sweep.is_torn()), (8, torn), "{total}");
        }
    }

    #[test]
    fn lists_of_the_same_millisecond_are_told_apart() {
        let mut sweeps = Sweeps::new(100);
        // (asked at, in order, what it shows through)
        for (asked_at, ordered, through) in [(100, 101, 100), (101, 102, 101), (50, 103, 50), (900, 900, 900)]
        {
            let at = sweeps.ordered(asked_at);
            assert_eq!(at, ordered);
            sweeps.listed(at, Duration::ZERO, Some(asked_at));
            assert_eq!(sweeps.listed_through(), through, "what is sent after the clock went back is news");
        }
    }

    /// What pages of six rows at offsets 0, 3 and 6 show of a list in which these rows stand behind each other, and then the
    /// first page again.
    fn shown(pages: &[&[u128]]) -> (usize, bool) {
        let mut sweep = Sweep::new(Duration::ZERO, 0, 0, 100);
        for (n, page) in pages.iter().enumerate() {
            let rows = page.iter().map(|key| (ChatKey(*key), 5_000 - *key as i64 / 10, false)).collect();
            if !sweep.absorb(&SweepPage {
                rows,
                total: Some(100),
                counts_from: 4_999,
                ..SweepPage::default()
            }) {
                return (n + 1, sweep.is_doubtful(std::iter::empty(), 100));
            }
        }
        (pages.len(), sweep.is_doubtful(std::iter::empty(), 100))
    }

    #[test]
    fn rows_that_changed_places_while_pages_were_read_make_the_pages_be_read_again() {
        let first: &[u128] = &[0, 2, 3, 4, 5, 1];
        for (name, pages, read, torn) in [
            ("nothing moved", vec![first, &[4, 5, 1, 20, 30, 40], first], 3, false),
            (
                "a chat moved to the top",
                vec![first, &[3, 4, 5, 1, 20, 30], &[6, 0, 2, 3, 4, 5], first],
                3,
                false,
            ),
            (
                "two changed places, and the second pass shows both",
                vec![first, &[3, 4, 5, 1, 20, 30], first, &[6, 5, 1, 20, 30, 40], first],
                5,
                false,
            ),
            (
                "they change places all the time",
                vec![
                    first,
                    &[3, 4, 5, 1, 20, 30],
                    first,
                    &[3, 4, 5, 1, 20, 30],
                    first,
                    &[3, 4, 5, 1, 20, 30],
                    first,
                    first,
                ],
                7,
                true,
            ),
            (
                "a row that comes twice in one page hides none",
                vec![&[0, 2, 3, 4, 4, 1], &[4, 4, 1, 20, 30, 40], &[0, 2, 3, 4, 4, 1]],
                3,
                false,
            ),
        ] {
            assert_eq!(shown(&pages), (read, torn), "{name}");
        }
    }

    #[test]
    fn behind_a_first_page_that_changed_again_a_sweep_ends_where_it_shows_what_had_changed_places() {
        // Row 10 was on none of the first two pages. (the second page of the second pass, where the sweep goes on)
        for (last, goes_on) in [([4, 5, 1, 10, 20, 30], None), ([3, 4, 5, 1, 20, 30], Some(6))] {
            let first = [0, 2, 3, 4, 5, 1];
            let mut sweep = Sweep::new(Duration::ZERO, 0, 0, 100);
            let mut absorb = |page: [u128; 6], changed| {
                let rows = page.map(|key| (ChatKey(key), 5_000 - key as i64, changed)).to_vec();
                let counts_from = 4_990;
                let more =
                    sweep.absorb(&SweepPage { rows, total: Some(100), counts_from, ..SweepPage::default() });
                more.then(|| sweep.offset())
            };
            assert_eq!(absorb(first, false), Some(3));
            assert_eq!(absorb([3, 4, 5, 1, 20, 30], false), Some(0));
            assert_eq!(absorb(first, true), Some(3));
            assert_eq!(absorb(last, false), goes_on, "{last:?}");
        }
    }

    #[test]
    fn a_list_that_breaks_off_against_its_own_total_may_lack_nothing() {
        // (how many there are by the page that comes empty, how often one comes, doubted)
        for (total, empty_pages, doubted) in [(90, 0, false), (90, 1, true), (90, 2, true), (50, 1, false)] {
            let mut sweep = Sweep::new(Duration::ZERO, 0, 1_000, 0);
            let page = |rows, total| SweepPage { rows, total: Some(total), ..SweepPage::default() };
            assert!(sweep.absorb(&page(rows(0..50, 500, true), 90)));
            for _ in 0..empty_pages {
                sweep.absorb(&page(Vec::new(), total));
            }
            let active = |count: u128| (0..count).map(|n| (600, ChatKey(n)));
            let lacks_one = sweep.is_doubtful(active(51), 90);
            assert_eq!(lacks_one, doubted, "one was active: {empty_pages} empty pages of {total}");
            assert!(!sweep.is_doubtful(active(50), 90));
        }
    }

    #[test]
    fn a_chat_has_left_the_list_when_three_in_a_row_lack_it() {
        let mut lists = Lists::default();
        for (asked_at, lacked_before) in [(1_000, false), (2_000, false), (3_000, true)] {
            assert!(!lists.lack(900, 500));
            assert_eq!(lists.lacked_before(900, 500), lacked_before);
            lists.ended(asked_at, Some(600));
        }
        assert!(lists.lack(900, 500));
        assert!(!lists.lack(900, 1_000), "the oldest of them showed it");
        assert!(!lists.lack(600, 500), "they did not reach down to it");
        assert!(
            !lists.lack(3_100, 3_200),
            "it moved to the top, and what was asked before could not show it there"
        );
        lists.ended(4_000, None);
        assert!(lists.lack(900, 1_000), "the newest three");
    }

    #[test]
    fn after_several_pages_the_first_one_is_read_again() {
        let page =
            |rows: Vec<_>| SweepPage { rows, total: Some(400), asked_at: 9_000, ..SweepPage::default() };
        let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 400);
        assert!(sweep.absorb(&page(rows(0..200, 5_000, true))));
        assert!(sweep.absorb(&page(rows(190..400, 500, false))));
        assert_eq!(sweep.offset(), 0);
        assert!(!sweep.absorb(&page(rows(0..200, 5_000, false))));
    }

    #[test]
    fn from_the_first_page_that_is_read_again_a_sweep_goes_on_only_behind_chats_that_changed() {
        // (how many chats there are, whether those on the first page changed meanwhile, whether there is more to ask for)
        for (total, changed, more) in
            [(1_000, false, false), (1_000, true, true), (400, true, false), (400, false, false)]
        {
            let page = |rows: Vec<_>| SweepPage { rows, total: Some(total), ..SweepPage::default() };
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 0);
            sweep.absorb(&page(rows(0..200, 5_000, true)));
            assert!(sweep.absorb(&page(rows(190..400, 500, false))));
            assert_eq!(sweep.offset(), 0);
            assert_eq!(sweep.absorb(&page(rows(0..200, 5_000, changed))), more, "{total}, {changed}");
        }
    }

    #[test]
    fn a_sweep_goes_down_to_two_intervals_before_the_sweep_before() {
        for (newest, more) in [(2_000, false), (2_001, true)] {
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 1_000);
            let page = SweepPage { rows: rows(0..200, newest, false), ..SweepPage::default() };
            assert_eq!(sweep.absorb(&page), more, "{newest}");
        }
    }

    #[test]
    fn only_rows_that_the_next_page_shows_again_lead_down_to_it() {
        for (changed, more) in [(189, false), (190, true), (199, true)] {
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 1_000);
            let mut page = SweepPage { rows: rows(0..200, 500, false), ..SweepPage::default() };
            page.rows[changed].2 = true;
            assert_eq!(sweep.absorb(&page), more, "row {changed}");
        }
    }

    #[test]
    fn what_a_sweep_saw_adds_up_over_its_pages() {
        let page = |rows, newest, malformed, identifier, asked_at| SweepPage {
            rows: self::rows(rows, newest, true),
            rejected: RejectedRows { malformed, identifier },
            total: None,
            limit: 200,
            asked_at,
            counts_from: 0,
        };
        let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 0);
        let mut seen = |page: &SweepPage| {
            sweep.absorb(page);
            let RejectedRows { malformed, identifier } = sweep.rejected;
            (sweep.offset(), sweep.oldest(), sweep.listed.len(), (malformed, identifier), sweep.asked_at)
        };
        assert_eq!(seen(&page(0..197, 5_000, 1, 2, 70)), (190, Some(5_000), 197, (1, 2), Some(70)));
        assert_eq!(seen(&page(187..357, 3_000, 3, 4, 80)), (357, Some(3_000), 357, (4, 6), Some(70)));
        // Rows of which no time is known, or that moved up meanwhile, lie no further down.
        assert_eq!(seen(&page(357..377, 0, 0, 0, 90)), (367, Some(3_000), 377, (4, 6), Some(70)));
        assert_eq!(seen(&page(0..20, 6_000, 0, 0, 90)), (377, Some(3_000), 377, (4, 6), Some(70)));
        assert_eq!(seen(&page(0..0, 0, 0, 0, 90)).1, None, "the list was read to its end");
    }

    #[test]
    fn a_page_without_a_usable_row_is_not_the_end_of_the_list() {
        let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 0);
        let rejected = RejectedRows { malformed: 2, identifier: 2 };
        sweep.absorb(&SweepPage { rejected, ..SweepPage::default() });
        assert!(sweep.oldest().is_some());
        assert_eq!(sweep.offset(), 2);
    }

    #[test]
    fn rows_that_cannot_be_used_are_among_those_that_the_total_counts() {
        for (total, oldest) in [(8, None), (9, Some(500))] {
            let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 0);
            let rejected = RejectedRows { malformed: 1, identifier: 2 };
            let rows = rows(0..5, 500, false);
            let page =
                SweepPage { rows, rejected, total: Some(total), asked_at: 9_000, ..SweepPage::default() };
            sweep.absorb(&page);
            assert_eq!(sweep.oldest(), oldest, "{total}");
            assert!(!sweep.is_torn(), "{total}: those rows have places as well");
        }
    }

    #[test]
    fn a_server_that_ignores_the_offset_is_not_asked_for_ever() {
        let mut sweep = Sweep::new(Duration::ZERO, 4_000, 1_000, 1_000);
        let page = |from| SweepPage { rows: rows(from..from + 200, 5_000, true), ..SweepPage::default() };
        // A page that comes twice may have moved down by its own length meanwhile; a third time, it is the server.
        let offsets = [0, 0, 190, 190, 190].map(|from| {
            assert!(sweep.absorb(&page(from)));
            sweep.offset()
        });
        assert_eq!(offsets, [190, 380, 570, 760, 0], "the first page is read again");
    }

    #[test]
    fn a_list_that_lacks_what_was_active_a_moment_ago_is_doubted() {
        let listed = |count: u128| {
            let mut sweep = Sweep::new(Duration::ZERO, 0, 1_000, 0);
            sweep.absorb(&SweepPage {
                rows: rows(0..count, 500, false),
                total: Some(count as u64),
                ..SweepPage::default()
            });
            sweep
        };
        let active = |count: u128| (0..count).map(|n| (600, ChatKey(n)));
        // (chats listed, chats active, doubted): more than three must be missing, and more than a tenth.
        for (count, expected, doubted) in [
            (100, 100, false),
            (98, 100, false),
            (90, 100, false),
            (89, 100, true),
            (50, 100, true),
            (17, 20, false),
            (16, 20, true),
            (36, 40, false),
        ] {
            assert_eq!(listed(count).is_doubtful(active(expected), 100), doubted, "{count} of {expected}");
        }
        assert!(listed(0).is_doubtful(active(0), 5), "an empty list, while chats are known");
        assert!(!listed(0).is_doubtful(active(0), 0));
    }

    #[test]
    fn a_list_need_show_only_what_is_newer_than_its_oldest_row() {
        for (newest, doubted) in [(499, false), (500, false), (501, true)] {
            let mut sweep = Sweep::new(Duration::ZERO, 0, 1_000, 0);
            sweep.absorb(&SweepPage { rows: rows(0..10, 500, false), ..SweepPage::default() });
            let active = (0..20).map(|n| (newest, ChatKey(n)));
            assert_eq!(sweep.is_doubtful(active, 20), doubted, "{newest}");
        }
    }

    #[test]
    fn a_list_is_compared_with_no_more_chats_than_twice_what_it_shows_and_fifty() {
        let mut sweep = Sweep::new(Duration::ZERO, 0, 1_000, 0);
        sweep.absorb(&SweepPage { rows: rows(0..100, 500, false), ..SweepPage::default() });
        let mut compared = 0;
        let active = (0..10_000).map(|n| (600, ChatKey(n))).inspect(|_| compared += 1);
        assert!(sweep.is_doubtful(active, 10_000));
        assert_eq!(compared, 250);
    }

    fn settled(
        sweeps: &mut Sweeps,
        readable: Option<i64>,
        any: Option<i64>,
        second: u64,
    ) -> Vec<(SweepResult, i64)> {
        let unread = Unread { readable, any };
        std::iter::from_fn(|| sweeps.settle(unread, Duration::from_secs(second), INTERVAL))
            .map(|settled| (settled.result, settled.covered.unwrap_or(0)))
            .collect()
    }

    #[test]
    fn a_first_sweep_ends_with_the_chats_that_have_messages_since_the_baseline() {
        let rows = |times: &[i64]| times.iter().map(|at| (ChatKey(*at as u128), *at, true)).collect();
        let page = |times: &[i64], total| SweepPage {
            rows: rows(times),
            total: Some(total),
            asked_at: 1_000,
            counts_from: 900,
            ..SweepPage::default()
        };
        // (rows of the first page, whether the next one is asked for)
        for (first, goes_on) in [
            (&[990, 980, 970][..], true),
            (&[990, 980, 900], true),
            (&[990, 980, 899], false),
            (&[700, 600, 500], false),
            // Of a row without a time nothing is known.
            (&[990, 980, 0], true),
            (&[0, 0, 0], true),
        ] {
            let mut sweep = Sweep::new(Duration::ZERO, 0, 30_000, 0);
            assert_eq!(sweep.absorb(&page(first, 100_000)), goes_on, "{first:?}");
        }
    }

    #[test]
    fn a_sweep_is_complete_when_everything_it_named_is_read_though_later_ones_began() {
        use SweepResult::{Complete, Partial};
        let mut sweeps = Sweeps::new(100);
        sweeps.listed(1_000, Duration::ZERO, Some(1_000));
        sweeps.listed(2_000, Duration::from_secs(30), Some(2_000));
        // A chat that changed after the list at 100 was asked for.
        assert_eq!(settled(&mut sweeps, Some(100), Some(100), 40), []);
        // One that changed after the list at 1,000.
        assert_eq!(settled(&mut sweeps, Some(1_000), Some(1_000), 50), [(Complete, 1_000)]);
        assert_eq!(settled(&mut sweeps, None, None, 60), [(Complete, 2_000)]);
        // One that cannot be read holds the rest.
        sweeps.listed(3_000, Duration::from_secs(90), Some(3_000));
        assert_eq!(settled(&mut sweeps, None, Some(2_000), 91), [(Partial, 2_000)]);
        // A list that is doubted proves nothing.
        sweeps.listed(4_000, Duration::from_secs(120), None);
        assert_eq!(settled(&mut sweeps, None, None, 121), [(Partial, 0)]);
        assert_eq!(sweeps.listed_through(), 3_000);
        // One that takes too long is partial.
        sweeps.listed(5_000, Duration::from_secs(150), Some(5_000));
        assert_eq!(settled(&mut sweeps, Some(3_000), Some(3_000), 449), []);
        assert_eq!(settled(&mut sweeps, Some(3_000), Some(3_000), 450), [(Partial, 3_000)]);
    }

    #[test]
    fn a_chat_that_changed_after_a_list_was_asked_for_is_none_of_what_it_named() {
        // (since when the chat may hold what is not counted, result)
        for (since, result) in [
            (999, None),
            (1_000, Some((SweepResult::Complete, Some(1_000)))),
            (1_001, Some((SweepResult::Complete, Some(1_000)))),
        ] {
            let mut sweeps = Sweeps::new(100);
            assert_eq!(sweeps.oldest(), None);
            sweeps.listed(1_000, Duration::from_secs(7), Some(1_000));
            sweeps.listed(2_000, Duration::from_secs(37), Some(2_000));
            assert_eq!(sweeps.oldest(), Some(Duration::from_secs(7)));
            let unread = Unread { readable: Some(since), any: Some(since) };
            let settled = sweeps.settle(unread, Duration::from_secs(8), INTERVAL);
            assert_eq!(settled.map(|settled| (settled.result, settled.covered)), result, "{since}");
            let Some(settled) = settled else { continue };
            assert_eq!((settled.asked_at, settled.began), (1_000, Duration::from_secs(7)));
            assert_eq!(sweeps.oldest(), Some(Duration::from_secs(37)));
        }
    }
}
