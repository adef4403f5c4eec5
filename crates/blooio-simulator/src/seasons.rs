//! A history of real proportions: business hours, quiet weekends, a busy end of the year, and conversations that begin all
//! along.

use super::setup::Setup;
use super::world::World;

/// How much is written in each hour of a working day (UTC), as a share of the busiest one.
const HOURS: [f64; 24] = [
    0.30, 0.22, 0.15, 0.09, 0.05, 0.04, 0.03, 0.03, 0.04, 0.06, 0.09, 0.15, 0.30, 0.52, 0.75, 0.92, 1.0,
    0.97, 0.93, 0.9, 0.85, 0.75, 0.58, 0.42,
];
/// The same of each day of the week, from Monday.
const DAYS: [f64; 7] = [0.92, 1.0, 0.98, 0.95, 0.88, 0.45, 0.30];
/// How much busier than the mean the busiest day of the year is, as a share.
const YEARLY: f64 = 0.35;
/// Day of the year on which that is: the end of November.
const BUSIEST: f64 = 331.0;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// How much is written at a moment (unix ms), as a share of the most.
pub(super) fn weight(at: i64) -> f64 {
    let day = at.div_euclid(DAY);
    let hour = HOURS[at.rem_euclid(DAY).div_euclid(HOUR) as usize];
    // The first of January 1970 was a Thursday.
    let weekday = DAYS[(day + 3).rem_euclid(7) as usize];
    let angle = (day as f64 % 365.2425 - BUSIEST) / 365.2425 * std::f64::consts::TAU;
    hour * weekday * (1.0 + YEARLY * angle.cos()) / (1.0 + YEARLY)
}

impl World {
    /// When the messages of the history were sent, and in which chat each is, in the order of time.
    pub(super) fn write_seasons(&mut self) {
        let Setup { start_ms, history_ms, history_messages, chats, .. } = self.setup;
        let reach = history_ms.max(1);
        let mut times = Vec::with_capacity(history_messages);
        while times.len() < history_messages {
            let at = start_ms - 1 - self.life.i64(0..reach);
            if self.life.f64() < weight(at) {
                times.push(at);
            }
        }
        times.sort_unstable();
        for (n, at) in times.into_iter().enumerate() {
            let begun = self.chats.len();
            let chat = if begun == 0 || begun * history_messages < (n + 1) * chats {
                self.add_chat()
            } else {
                // Most of what is written is written in the newer conversations.
                let back = self.life.f64();
                (begun - 1 - (back * back * begun as f64) as usize) as u32
            };
            self.write_past(chat, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn a_year_has_its_hours_days_and_seasons_and_is_the_same_each_time() {
        let start = 1_795_790_000_000;
        let world = |seed| scenario("year").unwrap().world(seed, start);
        let times = |world: &World| world.messages.iter().map(|m| m.time_sent).collect::<Vec<_>>();
        let year = world(5);
        assert_eq!(times(&year), times(&world(5)));
        assert_ne!(times(&year), times(&world(6)));
        let count =
            |wanted: &dyn Fn(i64) -> bool| times(&year).into_iter().filter(|at| wanted(*at)).count() as f64;
        let hour = |at: i64| at.rem_euclid(DAY) / HOUR;
        assert!(count(&|at| hour(at) == 16) > 8.0 * count(&|at| hour(at) == 6));
        let weekday = |at: i64| (at.div_euclid(DAY) + 3).rem_euclid(7);
        assert!(count(&|at| weekday(at) == 1) > 2.0 * count(&|at| weekday(at) == 6));
        let days_back = |at: i64| (start - at) / DAY;
        assert!(count(&|at| days_back(at) < 30) > 1.4 * count(&|at| (170..200).contains(&days_back(at))));
        assert!(times(&year).iter().any(|at| days_back(*at) > 360));
        let old = year.chats.iter().filter(|chat| {
            chat.visible.first().is_some_and(|m| days_back(year.messages[*m as usize].time_sent) > 180)
        });
        let share = old.count() as f64 / year.chats.len() as f64;
        assert!((0.3..0.6).contains(&share), "conversations begin all along: {share}");
    }

    #[test]
    fn the_truth_of_two_ranges_is_the_truth_of_both() {
        let start = 1_795_790_000_000;
        let year = scenario("year").unwrap().world(5, start);
        let (from, middle) = (start - 40 * DAY, start - 10 * DAY);
        let of = |after, until| year.truth().summary_within(after, until).outbound.values().sum::<u64>();
        assert_eq!(of(from, middle) + of(middle, i64::MAX), of(from, i64::MAX));
        assert_eq!(year.truth().summary_within(from, i64::MAX), year.truth().summary(from));
        assert_eq!(year.truth().talk_within(from, i64::MAX, 60_000), year.truth().talk(from, 60_000));
    }
}
