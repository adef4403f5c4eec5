//! A listing of all chats, page by page between other work. Pure.
//!
//! Rows shift while the list is read: pages overlap, so that a skip shows, and a listing that lost its place steps back a
//! little instead of starting over. Totals are hints: they lag, are capped, or are off by a few.

use crate::domain::ChatKey;

/// Rows of which pages overlap.
pub const OVERLAP: usize = 10;
/// Passes over the list that a listing may take to see as many chats as there are.
const PASSES: u8 = 4;
/// Passes after which it may be a few short of the total.
const PASSES_UNTIL_SHORT: u8 = 2;
/// Times that it may step back within a pass.
const STEPS_BACK: u32 = 20;

/// How far to move on after a page with so many rows.
pub fn stride(returned: usize) -> u64 {
    (returned - OVERLAP.min(returned / 2)) as u64
}

/// A total may be off by this.
pub fn tolerance(total: u64) -> u64 {
    (total / 1_000).max(2)
}

/// What a page of the list showed.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Its usable rows, and whether this listing saw each for the first time.
    pub chats: Vec<(ChatKey, bool)>,
    /// Rows that were not usable.
    pub rejected: usize,
    /// How many chats the answer says there are (`pagination.total`).
    pub total: Option<u64>,
    /// How many rows were asked for.
    pub limit: usize,
    /// The server's time when it was asked for, unix ms.
    pub asked_at: i64,
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Ask for the page at [`FullListing::offset`].
    More,
    /// The listing is over.
    Done {
        /// Whether it saw every chat there was at its start.
        complete: bool,
    },
}

/// A full listing under way.
#[derive(Debug, Default)]
pub struct FullListing {
    started: Option<i64>,
    offset: u64,
    distinct: u64,
    largest: usize,
    pages: u64,
    tail: Vec<ChatKey>,
    totals: Vec<u64>,
    rejected: u64,
    steps_back: u32,
    passes: u8,
    /// The first and last row of the page before: a server that ignores `offset` shows them again.
    ends: Option<(ChatKey, ChatKey)>,
}

impl FullListing {
    /// Rows to skip in the next request.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The server's time when the first page was asked for.
    pub fn started(&self) -> Option<i64> {
        self.started
    }

    /// How many rows of this pass could not be used.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Takes chats that a sweep saw meanwhile, for the first time in this listing.
    pub fn also(&mut self, fresh: usize) {
        if self.started.is_some() {
            self.distinct += fresh as u64;
        }
    }

    /// Takes the next page of the listing and says whether more is needed.
    pub fn absorb(&mut self, page: &Listed) -> Progress {
        self.started.get_or_insert(page.asked_at);
        self.pages += 1;
        self.distinct += page.chats.iter().filter(|(_, fresh)| *fresh).count() as u64;
        let returned = page.chats.len() + page.rejected;
        let skipped = self.offset > 0
            && !page.chats.is_empty()
            && !page.chats.iter().any(|(key, _)| self.tail.contains(key));
        let fell = self.totals.last().zip(page.total).map_or(0, |(before, now)| before.saturating_sub(now));
        self.totals.extend(page.total);
        let ends = page.chats.first().zip(page.chats.last()).map(|(first, last)| (first.0, last.0));
        let repeats = self.offset > 0 && ends.is_some() && ends == self.ends;
        self.ends = ends;
        if repeats {
            return Progress::Done { complete: false };
        }
        if skipped {
            return self.step_back(fell, returned);
        }
        self.rejected += page.rejected as u64;
        // A full page is never the last one: totals are capped on some servers.
        let is_full = returned >= page.limit || (self.pages > 1 && returned >= self.largest);
        self.largest = self.largest.max(returned);
        let reached = page.total.is_some_and(|total| self.offset + returned as u64 >= total);
        if returned == 0 || (reached && !is_full) {
            return self.end_pass();
        }
        self.offset += stride(returned);
        self.tail =
            page.chats[page.chats.len().saturating_sub(OVERLAP)..].iter().map(|(key, _)| *key).collect();
        Progress::More
    }

    /// Rows moved up past the place: it is looked for further up.
    fn step_back(&mut self, fell: u64, returned: usize) -> Progress {
        self.steps_back += 1;
        if self.steps_back > STEPS_BACK {
            return Progress::Done { complete: false };
        }
        let by = fell + 2 * stride(returned.max(self.largest)).max(1);
        self.offset = self.offset.saturating_sub(by);
        self.tail.clear();
        // Without a tail to compare with, the next page stands for itself.
        self.offset = self.offset.saturating_sub(OVERLAP as u64);
        self.resume_anywhere();
        Progress::More
    }

    fn resume_anywhere(&mut self) {
        if self.offset == 0 {
            self.rejected = 0;
        }
    }

    fn end_pass(&mut self) -> Progress {
        self.passes += 1;
        self.totals.sort_unstable();
        let total = self.totals.get(self.totals.len() / 2).copied().unwrap_or(0);
        let seen = self.distinct + self.rejected;
        let short = if self.passes >= PASSES_UNTIL_SHORT { tolerance(total) } else { 0 };
        if seen + short >= total {
            return Progress::Done { complete: true };
        }
        if self.passes >= PASSES {
            return Progress::Done { complete: false };
        }
        (self.offset, self.rejected, self.pages) = (0, 0, 0);
        self.tail.clear();
        self.totals.clear();
        Progress::More
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A listing of a server that shows chats `0..count` in pages of `cap`, with the totals that `total` gives.
    struct Server {
        seen: BTreeSet<u128>,
        requests: usize,
    }

    impl Server {
        fn list(
            cap: usize,
            mut rows: impl FnMut(usize) -> Vec<u128>,
            mut total: impl FnMut(usize, usize) -> Option<u64>,
        ) -> (Progress, Server) {
            let (mut listing, mut server) =
                (FullListing::default(), Server { seen: BTreeSet::new(), requests: 0 });
            loop {
                server.requests += 1;
                assert!(server.requests < 2_000, "the listing did not end");
                let rows = rows(server.requests);
                let from = (listing.offset() as usize).min(rows.len());
                let page = &rows[from..(from + cap).min(rows.len())];
                let page = Listed {
                    chats: page.iter().map(|n| (ChatKey(*n), server.seen.insert(*n))).collect(),
                    rejected: 0,
                    total: total(server.requests, rows.len()),
                    limit: 200,
                    asked_at: server.requests as i64,
                };
                if let Progress::Done { complete } = listing.absorb(&page) {
                    return (Progress::Done { complete }, server);
                }
            }
        }
    }

    const COMPLETE: Progress = Progress::Done { complete: true };

    fn all(count: usize) -> impl FnMut(usize) -> Vec<u128> {
        move |_| (0..count as u128).collect()
    }

    #[test]
    fn a_small_account_takes_one_request_and_a_large_one_as_many_as_it_has_pages() {
        let (end, server) = Server::list(200, all(20), |_, n| Some(n as u64));
        assert_eq!((end, server.requests), (COMPLETE, 1));
        let (end, server) = Server::list(200, all(2_000), |_, n| Some(n as u64));
        assert_eq!((end, server.seen.len()), (COMPLETE, 2_000));
        assert!(server.requests <= 12, "{}", server.requests);
    }

    #[test]
    fn odd_totals_neither_end_a_listing_early_nor_keep_it_from_ending() {
        for count in [3, 199, 200, 401, 2_000] {
            for (name, total) in [
                ("none", &(|_, _| None) as &dyn Fn(usize, usize) -> Option<u64>),
                ("capped", &|_, n| Some(n.min(200) as u64)),
                ("two more now and then", &|at, n| Some(n as u64 + if at % 5 == 0 { 2 } else { 0 })),
                ("two fewer now and then", &|at, n| {
                    Some((n as u64).saturating_sub(if at % 5 == 0 { 2 } else { 0 }))
                }),
                ("always one more", &|_, n| Some(n as u64 + 1)),
            ] {
                let (end, server) = Server::list(200, all(count), total);
                assert_eq!((end, server.seen.len()), (COMPLETE, count), "{name} at {count}");
                assert!(server.requests <= 4 * (count / 190 + 3), "{name} at {count}: {}", server.requests);
            }
        }
    }

    #[test]
    fn a_list_far_shorter_than_its_total_is_never_complete() {
        let (end, _) = Server::list(200, all(500), |_, _| Some(600));
        assert_eq!(end, Progress::Done { complete: false });
        // Two totals in five are far too low, and say nothing beside the others.
        let (end, _) = Server::list(200, all(700), |at, _| Some(if at % 5 < 2 { 100 } else { 900 }));
        assert_eq!(end, Progress::Done { complete: false });
    }

    #[test]
    fn a_single_page_that_is_two_short_of_its_total_is_read_twice() {
        let (end, server) = Server::list(200, all(3), |_, _| Some(5));
        assert_eq!((end, server.requests), (COMPLETE, 6), "each time to two empty pages");
    }

    #[test]
    fn rows_that_cannot_be_used_are_among_those_that_the_total_counts() {
        let mut listing = FullListing::default();
        let chats = vec![(ChatKey(1), true), (ChatKey(2), true)];
        let page = Listed { chats, rejected: 3, total: Some(5), limit: 200, asked_at: 1 };
        assert_eq!(listing.absorb(&page), COMPLETE);
        assert_eq!(listing.rejected(), 3);
    }

    #[test]
    fn a_server_that_ignores_the_offset_is_not_asked_for_ever() {
        let mut listing = FullListing::default();
        let page =
            Listed { chats: (0..200).map(|n| (ChatKey(n), true)).collect(), limit: 200, ..Listed::default() };
        assert_eq!(listing.absorb(&page), Progress::More);
        assert_eq!(listing.absorb(&page), Progress::Done { complete: false });
    }

    #[test]
    fn rows_that_move_up_are_found_by_stepping_back() {
        // Thirty chats at the top are deleted after the third page: what follows moves up past the place.
        let rows =
            |at: usize| if at <= 3 { (0..1_000).collect() } else { (30..1_000).collect::<Vec<u128>>() };
        let (end, server) = Server::list(200, rows, |_, n| Some(n as u64));
        assert_eq!((end, server.seen.len()), (COMPLETE, 1_000));
        assert!(server.requests < 14, "{}", server.requests);
    }

    #[test]
    fn rows_that_move_down_only_come_twice() {
        let rows = |at: usize| (0..at as u128).map(|n| 5_000 + n).chain(0..600).collect::<Vec<u128>>();
        let (end, server) = Server::list(200, rows, |_, n| Some(n as u64));
        assert_eq!(end, COMPLETE);
        assert!((0..600).all(|n| server.seen.contains(&n)));
    }

    /// A page of these chats, all of them seen for the first time.
    fn page(chats: std::ops::Range<u128>, rejected: usize, total: Option<u64>) -> Listed {
        let chats = chats.map(|n| (ChatKey(n), true)).collect();
        Listed { chats, rejected, total, limit: 200, asked_at: 70 }
    }

    #[test]
    fn it_knows_when_it_began_and_what_it_could_not_use() {
        let mut listing = FullListing::default();
        assert_eq!((listing.started(), listing.rejected()), (None, 0));
        assert_eq!(listing.absorb(&page(0..198, 2, None)), Progress::More);
        assert_eq!((listing.started(), listing.rejected(), listing.offset()), (Some(70), 2, 190));
        listing.absorb(&page(190..389, 1, None));
        assert_eq!((listing.started(), listing.rejected(), listing.offset()), (Some(70), 3, 380));
    }

    #[test]
    fn chats_that_a_sweep_saw_meanwhile_count() {
        for (before, meanwhile, end) in [(0, 50, COMPLETE), (0, 49, Progress::More), (50, 0, Progress::More)]
        {
            let mut listing = FullListing::default();
            listing.also(before);
            listing.absorb(&page(0..200, 0, Some(250)));
            listing.also(meanwhile);
            let rest = (190..250).map(|n| (ChatKey(n), false)).collect();
            let rest = Listed { chats: rest, ..page(0..0, 0, Some(250)) };
            assert_eq!(listing.absorb(&rest), end, "{before} before and {meanwhile} meanwhile");
        }
    }

    #[test]
    fn a_total_that_is_capped_does_not_end_it_where_the_server_caps_pages_too() {
        let mut listing = FullListing::default();
        for from in [0, 40, 80, 120] {
            assert_eq!(listing.absorb(&page(from..from + 50, 0, Some(100))), Progress::More);
        }
        assert_eq!(listing.absorb(&page(160..170, 0, Some(100))), COMPLETE);
    }

    #[test]
    fn a_skip_steps_back_by_two_pages_and_by_what_the_total_fell() {
        // The page's total before and at the step, rows of the page, and where it goes on.
        for (totals, rows, offset) in [
            ((None, None), 5_000..5_200, 560),
            ((Some(2_000), Some(1_990)), 5_000..5_200, 550),
            ((Some(2_000), Some(1_990)), 950..1_150, 1_140),
        ] {
            let mut listing = FullListing::default();
            for n in 0..5 {
                let rejected = u128::from(n == 0);
                let rows = n * 190 + rejected..n * 190 + 200;
                listing.absorb(&page(rows, rejected as usize, totals.0));
            }
            let before = listing.offset();
            listing.absorb(&page(rows, 0, totals.1));
            assert_eq!((before, listing.offset(), listing.rejected()), (950, offset, 1), "{totals:?}");
        }
        let mut listing = FullListing::default();
        listing.absorb(&page(0..198, 2, None));
        listing.absorb(&page(5_000..5_200, 0, None));
        assert_eq!((listing.offset(), listing.rejected()), (0, 0), "from the top nothing is known of rows");
    }

    #[test]
    fn a_list_that_is_another_one_each_time_is_given_up() {
        let mut listing = FullListing::default();
        let ended = (1..100).find(|n| {
            let page = page(n * 1_000..n * 1_000 + 200, 0, None);
            listing.absorb(&page) == Progress::Done { complete: false }
        });
        assert_eq!(ended, Some(42), "every other page is a step back, of which 20 are taken");
    }

    #[test]
    fn two_missing_chats_are_borne_after_two_passes_and_three_never() {
        for (count, total, end, passes) in [
            (500, 500, true, 1),
            (500, 502, true, 2),
            (500, 503, false, 4),
            (5_000, 5_005, true, 2),
            (5_000, 5_006, false, 4),
        ] {
            let mut tops = 0;
            let rows: Vec<u128> = (0..count).collect();
            let mut listing = FullListing::default();
            let mut seen = BTreeSet::new();
            let progress = loop {
                let from = (listing.offset() as usize).min(rows.len());
                tops += usize::from(from == 0);
                let chats = rows[from..(from + 200).min(rows.len())].iter();
                let chats = chats.map(|n| (ChatKey(*n), seen.insert(*n))).collect();
                match listing.absorb(&Listed { chats, ..page(0..0, 0, Some(total)) }) {
                    Progress::More => {}
                    done => break done,
                }
            };
            assert_eq!((progress, tops), (Progress::Done { complete: end }, passes), "{total} of {count}");
        }
    }

    #[test]
    fn the_same_page_at_the_start_of_another_pass_is_no_repetition() {
        // A chat comes twice: as many rows as the total says, and one chat fewer.
        let rows = |fresh: bool| vec![(ChatKey(1), fresh), (ChatKey(2), fresh), (ChatKey(2), false)];
        let mut listing = FullListing::default();
        assert_eq!(listing.absorb(&Listed { chats: rows(true), ..page(0..0, 0, Some(3)) }), Progress::More);
        assert_eq!(listing.offset(), 0);
        assert_eq!(listing.absorb(&Listed { chats: rows(false), ..page(0..0, 0, Some(3)) }), COMPLETE);
    }
}
