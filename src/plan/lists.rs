//! How many pages the lists of chats take: counted by the state machines that read them.

use std::time::Duration;

use super::Traffic;
use crate::api::PAGE_LIMIT;
use crate::collect::full_listing::{FullListing, Listed, Progress};
use crate::collect::sweep::{Sweep, SweepPage};
use crate::collect::{Options, millis};
use crate::domain::ChatKey;
use crate::domain::view::RejectedRows;

/// A moment later than any duration that can be configured.
const NOW: i64 = 1_800_000_000_000;
/// Age of the newest message of a chat that has got none for a long time, seconds.
const LONG_AGO: f64 = 1e9;

/// Chats of the longest list that is played; longer ones take pages in proportion.
const MOST_PLAYED: u64 = 100_000;

/// Pages of one full listing.
pub(super) fn full_listing_pages(chats: u64) -> u64 {
    if chats > MOST_PLAYED {
        return full_listing_pages(MOST_PLAYED) * chats / MOST_PLAYED;
    }
    let mut listing = FullListing::default();
    for pages in 1.. {
        let from = listing.offset().min(chats);
        let rows = from..(from + u64::from(PAGE_LIMIT)).min(chats);
        let chats_of_page = rows.map(|n| (ChatKey(n.into()), true)).collect();
        let page = Listed {
            chats: chats_of_page,
            rejected: 0,
            total: Some(chats),
            limit: PAGE_LIMIT as usize,
            asked_at: NOW,
        };
        if matches!(listing.absorb(&page), Progress::Done { .. }) {
            return pages;
        }
    }
    1
}

/// Chats that change within an interval in the longest sweep that is played.
const MOST_CHANGED: f64 = 5_000.0;

/// Pages of one sweep: as far down as chats changed lately.
pub(super) fn sweep_pages(chats: u64, traffic: &Traffic, options: &Options) -> u64 {
    let factor = traffic.changed_within(options.interval.as_secs_f64()) / MOST_CHANGED;
    if factor > 1.0 {
        let fewer = (chats as f64 / factor) as u64;
        return (sweep_pages(fewer, &traffic.fewer_chats(factor), options) as f64 * factor) as u64;
    }
    let interval = millis(options.interval);
    let mut sweep = Sweep::new(Duration::ZERO, NOW - interval, interval, chats as usize);
    let mut page = SweepPage { asked_at: NOW, total: Some(chats), ..SweepPage::default() };
    for pages in 1.. {
        let from = sweep.offset().min(chats);
        let ranks = from..(from + u64::from(PAGE_LIMIT)).min(chats);
        page.rows = ranks
            .map(|rank| {
                let age = (age_at(traffic, rank as f64 + 0.5) * 1_000.0) as i64;
                let key = ChatKey(rank.into());
                // A row that is shown twice is news once.
                (key, NOW - age, age < interval && !sweep.listed.contains(&key))
            })
            .collect();
        page.rejected = RejectedRows::default();
        if !sweep.absorb(&page) {
            return pages;
        }
    }
    1
}

/// Age, in seconds, of the newest message of the chat at this place of the list.
fn age_at(traffic: &Traffic, rank: f64) -> f64 {
    let (mut low, mut high) = (0.0, LONG_AGO);
    if traffic.changed_within(high) < rank {
        return high;
    }
    while high - low > 1e-3 * high {
        let age = (low + high) / 2.0;
        if traffic.changed_within(age) < rank { low = age } else { high = age }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::full_listing::stride;
    use crate::plan::tests::options;
    use crate::plan::{Account, Traffic};

    #[test]
    fn a_listing_takes_as_many_pages_as_its_stride_needs() {
        assert_eq!(full_listing_pages(20), 1);
        let pages = full_listing_pages(100_000);
        let least = 100_000 / stride(PAGE_LIMIT as usize);
        assert!((least..=least + 2).contains(&pages), "{pages} pages, at least {least}");
    }

    #[test]
    fn a_sweep_takes_one_page_until_more_chats_change_than_it_holds() {
        let pages = |messages_per_second: f64| {
            let account = Account { chats: 5_000, messages_per_second, lines: 1, sms_share: 0.0 };
            sweep_pages(account.chats, &Traffic::of(&account), &options())
        };
        assert_eq!((pages(0.0), pages(1.0)), (1, 1));
        assert!(pages(20.0) > 4, "{}", pages(20.0));
    }

    #[test]
    fn longer_lists_take_pages_in_proportion() {
        let pages = |chats: u64, messages_per_second: f64| {
            let account = Account { chats, messages_per_second, lines: 1, sms_share: 0.0 };
            (full_listing_pages(chats), sweep_pages(chats, &Traffic::of(&account), &options()))
        };
        let ratio = |a: u64, b: u64| a as f64 / b as f64;
        let (small, large) = (pages(90_000, 150.0), pages(900_000, 1_500.0));
        for (small, large) in [(small.0, large.0), (small.1, large.1)] {
            assert!((9.5..10.5).contains(&ratio(large, small)), "{small} {large}");
        }
    }
}
