//! Which class of work gets the next request: weighted fair queueing. Pure.
//!
//! Each request of a class costs it a price, the lower the higher its weight, and the class that has paid least is
//! served first. A class that had nothing to do is not owed anything for it, so it is served promptly and never in a
//! burst; one that always has something to do gets its weight's share of what the others leave, whatever they want.

use crate::domain::Work;

/// Weight of each class, by `Work::ALL`. With all of them busy a class gets its weight's share of the requests; the
/// first three ask for few of them, so that they are served at once.
const WEIGHTS: [u64; Work::ALL.len()] = [4, 8, 8, 8, 3, 2, 2, 1];

/// Divisible by every weight.
const PRICE: u64 = 24;

/// The classes and what they have paid.
#[derive(Clone, Debug, Default)]
pub struct FairQueue {
    /// The price level: what the class that was served last had paid.
    level: u64,
    paid: [u64; Work::ALL.len()],
}

impl FairQueue {
    /// The classes in the order in which they are to be asked for something to do.
    pub fn order(&self) -> [Work; Work::ALL.len()] {
        let mut order = [Work::Lines; Work::ALL.len()];
        order.copy_from_slice(Work::ALL);
        order.sort_by_key(|work| (self.start(*work), *work));
        order
    }

    /// The class gets a request.
    pub fn charge(&mut self, work: Work) {
        self.level = self.start(work);
        self.paid[usize::from(work.number())] = self.level + PRICE / weight(work);
    }

    fn start(&self, work: Work) -> u64 {
        self.paid[usize::from(work.number())].max(self.level)
    }
}

const fn weight(work: Work) -> u64 {
    WEIGHTS[work.number() as usize]
}

/// The share of the requests that a class gets at least while it has something to do.
pub fn least_share(work: Work) -> f64 {
    weight(work) as f64 / WEIGHTS.iter().sum::<u64>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(queue: &mut FairQueue, busy: &[Work]) -> Work {
        let next = queue.order().into_iter().find(|work| busy.contains(work)).unwrap();
        queue.charge(next);
        next
    }

    #[test]
    fn every_price_is_whole() {
        assert!(WEIGHTS.iter().all(|weight| PRICE.is_multiple_of(*weight)));
    }

    #[test]
    fn classes_that_are_always_busy_share_by_weight() {
        let mut queue = FairQueue::default();
        let mut served = [0; Work::ALL.len()];
        for _ in 0..3_600 {
            served[usize::from(serve(&mut queue, Work::ALL).number())] += 1;
        }
        for work in Work::ALL {
            let got = served[usize::from(work.number())] as f64 / 3_600.0;
            assert!((got - least_share(*work)).abs() < 0.01, "{work:?} got {got}");
        }
    }

    #[test]
    fn what_a_class_leaves_goes_to_the_others() {
        let mut queue = FairQueue::default();
        let busy = [Work::Read, Work::Audit];
        let reads = (0..1_000).filter(|_| serve(&mut queue, &busy) == Work::Read).count();
        assert_eq!(reads, 800);
    }

    #[test]
    fn a_class_that_was_idle_is_served_next_and_only_once() {
        let mut queue = FairQueue::default();
        for _ in 0..1_000 {
            serve(&mut queue, &[Work::Read, Work::Recheck]);
        }
        let busy = [Work::Sweep, Work::Read, Work::Recheck];
        let first: Vec<Work> = (0..6).map(|_| serve(&mut queue, &busy)).collect();
        assert!(first[..2].contains(&Work::Sweep), "{first:?}");
        assert!(
            first.iter().filter(|work| **work == Work::Sweep).count() <= 4,
            "no credit for idling: {first:?}"
        );
    }

    #[test]
    fn no_busy_class_waits_longer_than_its_share_allows() {
        let mut queue = FairQueue::default();
        let (mut since, mut longest) = (0, 0);
        for _ in 0..10_000 {
            since += 1;
            if serve(&mut queue, Work::ALL) == Work::Listing {
                longest = longest.max(since);
                since = 0;
            }
        }
        assert!(longest <= WEIGHTS.iter().sum::<u64>() + 8, "{longest}");
    }
}
