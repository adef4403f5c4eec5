//! How many reads a feed of webhook events may cause. Pure.

use std::time::Duration;

/// Reads that hints may cause before one of them has proved true.
const CREDIT: f64 = 100.0;

/// What a feed may still cost: what it announces and the API shows pays for itself, what it invents does not.
#[derive(Debug)]
pub(super) struct Credit {
    left: f64,
    at: Duration,
}

impl Credit {
    pub(super) fn full(at: Duration) -> Credit {
        Credit { left: CREDIT, at }
    }

    pub(super) fn spend(&mut self, cost: f64, now: Duration, interval: Duration) -> bool {
        let earned = now.saturating_sub(self.at).as_secs_f64() / interval.as_secs_f64().max(1e-3);
        self.left = (self.left + earned).min(CREDIT);
        self.at = now;
        if self.left < cost {
            return false;
        }
        self.left -= cost;
        true
    }

    pub(super) fn earn(&mut self) {
        self.left = (self.left + 1.5).min(CREDIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_that_invents_things_is_soon_out_of_credit_and_one_that_is_right_never() {
        let interval = Duration::from_secs(30);
        let spent = |earns: bool| {
            let mut credit = Credit::full(Duration::ZERO);
            (0..36_000u64)
                .filter(|tenth| {
                    let granted = credit.spend(1.0, Duration::from_millis(tenth * 100), interval);
                    if granted && earns {
                        credit.earn();
                    }
                    granted
                })
                .count()
        };
        assert_eq!(spent(true), 36_000);
        assert!(spent(false) <= 100 + 120, "{}", spent(false));
    }

    /// How many reads of very many are granted at this second.
    fn granted(credit: &mut Credit, second: u64) -> usize {
        let now = Duration::from_secs(second);
        (0..1_000).filter(|_| credit.spend(1.0, now, Duration::from_secs(30))).count()
    }

    #[test]
    fn a_feed_of_which_nothing_proved_true_causes_a_hundred_reads_and_then_one_per_interval() {
        let mut credit = Credit::full(Duration::ZERO);
        let all = [0, 30, 90, 36_000].map(|second| granted(&mut credit, second));
        assert_eq!(all, [100, 1, 2, 100], "a quiet feed earns no more than it began with");
    }

    #[test]
    fn two_announcements_that_prove_true_pay_for_three_reads() {
        let mut credit = Credit::full(Duration::ZERO);
        granted(&mut credit, 0);
        credit.earn();
        credit.earn();
        assert_eq!(granted(&mut credit, 0), 3);
    }
}
