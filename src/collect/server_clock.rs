//! The server's time, from `Date` and our monotonic clock. Pure.
//!
//! No single answer moves it far: floors, watermarks and the baseline follow it, and none of them can be taken back. An
//! answer that contradicts what is known must be confirmed by others, over some time when the contradiction is large.

use std::time::Duration;

/// Deviation up to which an answer agrees with what is known, ms: `Date` has a grain of a second, and answers take time.
const AGREES: i64 = 2_000;
/// Deviation above which it takes minutes, and not only several answers, to believe it, ms.
const LARGE: i64 = 300_000;
/// Answers that a small deviation takes.
const SMALL_ANSWERS: u32 = 3;
/// Answers that a large deviation takes, and the time over which they must agree.
const LARGE_ANSWERS: (u32, Duration) = (5, Duration::from_secs(180));
/// The same at the start, when the host's clock and the server's contradict each other and neither is known to be right.
const FIRST_ANSWERS: (u32, Duration) = (3, Duration::from_secs(60));
/// After a large jump nothing irrevocable is decided for this long.
const UNSETTLED: Duration = Duration::from_secs(600);

/// What an answer says about the time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its `Date`, unix ms, if it had a usable one.
    pub date: Option<i64>,
    /// When the request was sent, by our monotonic clock.
    pub sent: Duration,
    /// When the answer had arrived, by our monotonic clock.
    pub received: Duration,
    /// The host's clock at that moment, unix ms.
    pub host: i64,
}

/// What a sample changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// The time is known now.
    Set,
    /// The server's clock moved by so many ms, and that was confirmed.
    Moved(i64),
    /// The answer contradicts what is known by so many ms: the next ones decide.
    Doubted(i64),
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    offset: i64,
    since: Duration,
    answers: u32,
}

/// The server's clock as far as known. Offsets are unix ms minus ms of our monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct ServerClock {
    offset: Option<i64>,
    candidate: Option<Candidate>,
    jumped: Option<Duration>,
    /// By how much small steps moved it in all, and when the newest one did: none of them is small any more when together they
    /// are large.
    crept: (i64, Duration),
}

/// The offsets that a sample allows: `Date` is cut to the second, and was written between sending and receiving.
struct Range {
    low: i64,
    high: i64,
}

impl Range {
    fn of(date: i64, sample: &Sample) -> Range {
        Range { low: date - millis(sample.received), high: date + 999 - millis(sample.sent) }
    }

    /// How far an offset lies outside; negative when the server is behind it.
    fn deviation(&self, offset: i64) -> i64 {
        if offset < self.low {
            self.low - offset
        } else if offset > self.high {
            self.high - offset
        } else {
            0
        }
    }
}

impl ServerClock {
    /// Learns from an answer.
    pub fn record(&mut self, sample: Sample) -> Option<Adjustment> {
        let host = sample.host - millis(sample.received);
        let Some(date) = sample.date else {
            // Without `Date` the host's clock is all there is.
            return match self.offset {
                Some(_) => None,
                None => self.set(host),
            };
        };
        let range = Range::of(date, &sample);
        let deviation = range.deviation(self.offset.unwrap_or(host));
        if deviation.abs() <= AGREES {
            self.candidate = None;
            return if self.offset.is_none() { self.set(host) } else { None };
        }
        if self.offset.is_none() && deviation.abs() <= LARGE {
            return self.set(range.low);
        }
        self.doubt(&range, deviation, sample.received)
    }

    fn set(&mut self, offset: i64) -> Option<Adjustment> {
        self.offset = Some(offset);
        self.candidate = None;
        Some(Adjustment::Set)
    }

    fn doubt(&mut self, range: &Range, deviation: i64, at: Duration) -> Option<Adjustment> {
        let candidate = match self.candidate {
            Some(known) if range.deviation(known.offset).abs() <= AGREES => {
                Candidate { answers: known.answers + 1, ..known }
            }
            _ => Candidate { offset: range.low, since: at, answers: 1 },
        };
        self.candidate = Some(candidate);
        let (by, when) = self.crept;
        let crept = if at.saturating_sub(when) < UNSETTLED { by } else { 0 };
        let is_large = deviation.abs() > LARGE || (crept + deviation).abs() > LARGE;
        let (answers, time) = match (self.offset, is_large) {
            (None, _) => FIRST_ANSWERS,
            (_, true) => LARGE_ANSWERS,
            (_, false) => (SMALL_ANSWERS, Duration::ZERO),
        };
        if candidate.answers < answers || at.saturating_sub(candidate.since) < time {
            return Some(Adjustment::Doubted(deviation));
        }
        let Some(before) = self.offset else { return self.set(candidate.offset) };
        (self.offset, self.candidate) = (Some(candidate.offset), None);
        let moved = candidate.offset - before;
        self.crept = (if is_large { 0 } else { crept + moved }, at);
        if is_large {
            self.jumped = Some(at);
        }
        Some(Adjustment::Moved(moved))
    }

    /// The server's time at a moment of our monotonic clock, unix ms; `None` before it is known.
    pub fn at(&self, moment: Duration) -> Option<i64> {
        self.offset.map(|offset| offset + millis(moment))
    }

    /// The same, or what a doubted answer claims if that is earlier: for values that must not run ahead of the truth.
    pub fn cautious_at(&self, moment: Duration) -> Option<i64> {
        let known = self.at(moment)?;
        Some(self.candidate.map_or(known, |candidate| known.min(candidate.offset + millis(moment))))
    }

    /// Whether the clock has been steady for long enough to decide by it what cannot be taken back.
    pub fn is_settled(&self, now: Duration) -> bool {
        self.offset.is_some()
            && self.candidate.is_none()
            && self.jumped.is_none_or(|at| now.saturating_sub(at) >= UNSETTLED)
    }

    /// Server's clock minus the host's, ms, as used.
    pub fn offset_from(&self, host: i64, now: Duration) -> Option<i64> {
        self.at(now).map(|server| server - host)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_800_000_000_000;
    const DAY: i64 = 86_400_000;

    /// An answer at so many seconds, by a host whose clock is correct, from a server that is ahead by so many ms.
    fn answer(clock: &mut ServerClock, second: u64, ahead: i64) -> Option<Adjustment> {
        let at = Duration::from_secs(second);
        let truth = START + millis(at);
        let date = (truth + ahead).div_euclid(1_000) * 1_000;
        let sent = at.saturating_sub(Duration::from_millis(50));
        clock.record(Sample { date: Some(date), sent, received: at, host: truth })
    }

    fn ahead(clock: &ServerClock, second: u64) -> Option<i64> {
        let at = Duration::from_secs(second);
        clock.at(at).map(|time| time - START - millis(at))
    }

    #[test]
    fn clocks_that_agree_are_one() {
        let mut clock = ServerClock::default();
        assert_eq!(answer(&mut clock, 1, 400), Some(Adjustment::Set));
        assert_eq!(ahead(&clock, 1), Some(0));
        assert_eq!(answer(&mut clock, 2, 1_500), None);
        assert!(clock.is_settled(Duration::from_secs(2)));
    }

    #[test]
    fn the_server_is_believed_over_a_host_that_is_minutes_off() {
        let mut clock = ServerClock::default();
        assert_eq!(answer(&mut clock, 1, -240_000), Some(Adjustment::Set));
        assert!((ahead(&clock, 1).unwrap() + 240_000).abs() <= 1_000);
    }

    #[test]
    fn a_server_that_is_days_off_at_the_start_must_insist() {
        let mut clock = ServerClock::default();
        for second in [1, 30, 50] {
            assert!(matches!(answer(&mut clock, second, 30 * DAY), Some(Adjustment::Doubted(_))));
            assert_eq!(clock.at(Duration::from_secs(second)), None);
        }
        assert_eq!(answer(&mut clock, 61, 30 * DAY), Some(Adjustment::Set));
        let mut clock = ServerClock::default();
        answer(&mut clock, 1, 30 * DAY);
        assert_eq!(answer(&mut clock, 12, 0), Some(Adjustment::Set), "a lie that ends is forgotten");
        assert_eq!(ahead(&clock, 12), Some(0));
    }

    #[test]
    fn a_large_jump_takes_minutes_and_unsettles() {
        let mut clock = ServerClock::default();
        answer(&mut clock, 1, 0);
        for second in (10..180).step_by(10) {
            answer(&mut clock, second, 30 * DAY);
            assert_eq!(ahead(&clock, second), Some(0), "not yet at {second} s");
            assert!(!clock.is_settled(Duration::from_secs(second)));
        }
        let moved = answer(&mut clock, 190, 30 * DAY);
        assert!(matches!(moved, Some(Adjustment::Moved(by)) if (by - 30 * DAY).abs() <= 1_000), "{moved:?}");
        assert!(!clock.is_settled(Duration::from_secs(700)));
        assert!(clock.is_settled(Duration::from_secs(791)));
    }

    #[test]
    fn answers_that_contradict_each_other_move_nothing() {
        let mut clock = ServerClock::default();
        answer(&mut clock, 1, 0);
        for second in 2..600 {
            answer(&mut clock, second, if second % 3 == 0 { DAY } else { 2 * DAY });
        }
        assert_eq!(ahead(&clock, 600), Some(0));
    }

    #[test]
    fn while_a_step_back_is_doubted_the_earlier_time_counts() {
        let mut clock = ServerClock::default();
        answer(&mut clock, 1, 0);
        answer(&mut clock, 2, -DAY);
        let at = Duration::from_secs(2);
        assert!(clock.cautious_at(at).unwrap() <= START + 2_000 - DAY + 1_000);
        assert_eq!(clock.at(at), Some(START + 2_000));
        answer(&mut clock, 3, DAY);
        assert_eq!(clock.cautious_at(at), clock.at(at));
    }

    #[test]
    fn small_steps_that_are_large_together_take_minutes() {
        for step in [1, -1] {
            let mut clock = ServerClock::default();
            answer(&mut clock, 1, 0);
            for second in 2..100 {
                answer(&mut clock, second, step * 280_000 * (second as i64 / 4));
                let moved = ahead(&clock, second).unwrap().abs();
                assert!(moved <= LARGE + AGREES, "{moved} ms after {second} s");
            }
            let there = step * 280_000 * 24;
            for second in (100..320).step_by(10) {
                answer(&mut clock, second, there);
            }
            assert!((ahead(&clock, 310).unwrap() - there).abs() <= 1_000, "what lasts is believed");
        }
        // Each after the one before has lasted, they stand for themselves.
        let mut clock = ServerClock::default();
        answer(&mut clock, 1, 0);
        for step in 1..5 {
            for n in 0..3 {
                answer(&mut clock, step * 700 + n, 280_000 * step as i64);
            }
            assert!((ahead(&clock, step * 700 + 3).unwrap() - 280_000 * step as i64).abs() <= 1_000);
        }
    }

    #[test]
    fn a_small_step_takes_three_answers() {
        let mut clock = ServerClock::default();
        answer(&mut clock, 1, 0);
        answer(&mut clock, 2, 30_000);
        answer(&mut clock, 3, 30_000);
        assert_eq!(ahead(&clock, 3), Some(0));
        assert!(matches!(answer(&mut clock, 4, 30_000), Some(Adjustment::Moved(_))));
        assert!(clock.is_settled(Duration::from_secs(4)));
    }

    #[test]
    fn without_a_date_the_host_is_believed_until_there_is_one() {
        let mut clock = ServerClock::default();
        let at = Duration::from_secs(1);
        let sample = Sample { date: None, sent: at, received: at, host: START };
        assert_eq!(clock.record(sample), Some(Adjustment::Set));
        assert_eq!(clock.at(at), Some(START));
        assert_eq!(clock.record(Sample { host: START + DAY, ..sample }), None);
    }

    /// An answer that took half a second and arrived at `arrived` ms, when the host's clock was correct.
    fn sample(arrived: u64, date: i64) -> Sample {
        let received = Duration::from_millis(arrived);
        let sent = received.saturating_sub(Duration::from_millis(500));
        Sample { date: Some(START + date), sent, received, host: START + millis(received) }
    }

    /// A clock that agrees with the host's.
    fn known() -> ServerClock {
        let mut clock = ServerClock::default();
        assert_eq!(clock.record(sample(500, 0)), Some(Adjustment::Set));
        clock
    }

    #[test]
    fn a_date_agrees_up_to_two_seconds_from_the_time_that_its_answer_took() {
        // Sent at 10.5 s and arrived at 11 s, by a server that cuts the time to the second.
        for (date, doubted) in [
            (13_000, None),
            (13_001, Some(2_001)),
            (11_000, None),
            (10_000, None),
            (7_501, None),
            (7_500, Some(-2_001)),
        ] {
            let adjustment = known().record(sample(11_000, date));
            assert_eq!(adjustment, doubted.map(Adjustment::Doubted), "{date}");
        }
    }

    #[test]
    fn the_first_date_is_believed_up_to_five_minutes_from_the_host() {
        // (date, adjustment, ms from the host's clock)
        for (date, adjustment, ahead) in [
            (3_000, Adjustment::Set, Some(0)),
            (3_001, Adjustment::Set, Some(2_001)),
            (301_000, Adjustment::Set, Some(300_000)),
            (301_001, Adjustment::Doubted(300_001), None),
            (-300_499, Adjustment::Set, Some(-301_499)),
            (-300_500, Adjustment::Doubted(-300_001), None),
        ] {
            let mut clock = ServerClock::default();
            assert_eq!(clock.record(sample(1_000, date)), Some(adjustment), "{date}");
            assert_eq!(clock.at(Duration::ZERO).map(|at| at - START), ahead, "{date}");
        }
    }

    /// Whether the last of answers at these ms, with dates so far ahead, moves a clock that is known.
    fn moves(answers: &[(u64, i64)]) -> Option<i64> {
        let mut clock = known();
        let adjustments = answers.iter().map(|(at, ahead)| clock.record(sample(*at, *at as i64 + ahead)));
        match adjustments.last() {
            Some(Some(Adjustment::Moved(by))) => Some(by),
            _ => None,
        }
    }

    #[test]
    fn up_to_five_minutes_take_three_answers_and_more_takes_five_over_three_minutes() {
        let small = |ahead| [(1_000, ahead), (1_001, ahead), (1_002, ahead)];
        assert_eq!(moves(&small(300_000)), Some(300_000));
        assert_eq!(moves(&small(300_001)), None);
        assert_eq!(moves(&small(30_000)[..2]), None);
        let large = |last| [1_000, 2_000, 3_000, 4_000, last].map(|at| (at, DAY));
        assert_eq!(moves(&large(181_000)), Some(DAY));
        assert_eq!(moves(&large(180_999)), None, "not over three minutes");
        assert_eq!(moves(&[(1_000, DAY), (2_000, DAY), (3_000, DAY), (182_000, DAY)]), None, "four answers");
    }

    #[test]
    fn small_steps_within_ten_minutes_are_judged_by_their_sum() {
        // The first step is confirmed at 1,002 ms. (the next step, when it is confirmed, by how much the clock moves then)
        for (first, second, last, by) in [
            (30_000, 30_000, 1_005, Some(30_000)),
            (200_000, 100_000, 1_005, Some(100_000)),
            (200_000, 200_000, 601_001, None),
            (200_000, 200_000, 601_002, Some(200_000)),
        ] {
            let answers = [
                (1_000, first),
                (1_001, first),
                (1_002, first),
                (last - 2, first + second),
                (last - 1, first + second),
                (last, first + second),
            ];
            assert_eq!(moves(&answers[..3]), Some(first));
            assert_eq!(moves(&answers), by, "{first} and {second} at {last}");
        }
    }

    #[test]
    fn an_answer_that_contradicts_the_ones_before_starts_a_count_of_its_own() {
        for (last, by) in [(32_000, Some(30_000)), (32_001, None), (26_501, Some(30_000)), (26_500, None)] {
            assert_eq!(moves(&[(1_000, 30_000), (1_001, 30_000), (1_002, last)]), by, "{last}");
        }
        // The second kind needs three answers of its own.
        let answers = [(1_000, 30_000), (1_001, 30_000), (1_002, 90_000), (1_003, 90_000), (1_004, 90_000)];
        assert_eq!(moves(&answers[..4]), None);
        assert_eq!(moves(&answers), Some(90_000));
    }

    #[test]
    fn at_the_start_three_answers_over_a_minute_outweigh_the_host() {
        for (answers, set) in [
            (&[1_000, 31_000, 61_000][..], true),
            (&[1_000, 31_000, 60_999], false),
            (&[1_000, 61_000], false),
            (&[1_000, 1_001, 1_002, 61_000], true),
        ] {
            let mut clock = ServerClock::default();
            for at in answers {
                clock.record(sample(*at, *at as i64 + DAY));
            }
            let expected = set.then_some(START + DAY);
            assert_eq!(clock.at(Duration::ZERO), expected, "{answers:?}");
        }
    }

    #[test]
    fn nothing_irrevocable_is_decided_until_ten_minutes_after_a_large_jump() {
        let mut clock = known();
        for second in [1, 2, 3, 4, 181] {
            clock.record(sample(second * 1_000, second as i64 * 1_000 + DAY));
        }
        let settled = [780_999, 781_000].map(|at| clock.is_settled(Duration::from_millis(at)));
        assert_eq!(settled, [false, true]);
        assert!(!ServerClock::default().is_settled(Duration::from_secs(1)), "no time is known");
    }

    #[test]
    fn the_time_while_a_large_step_is_doubted_is_the_earlier_one_at_any_moment() {
        let at = Duration::from_secs(60);
        for (ahead, cautious) in [(DAY, 60_000), (-DAY, 60_000 - DAY)] {
            let mut clock = known();
            clock.record(sample(1_000, 1_000 + ahead));
            assert_eq!(clock.at(at), Some(START + 60_000));
            assert_eq!(clock.cautious_at(at), Some(START + cautious));
        }
        assert_eq!(ServerClock::default().cautious_at(at), None);
    }

    #[test]
    fn the_servers_clock_is_compared_with_the_hosts() {
        let mut clock = ServerClock::default();
        let now = Duration::from_secs(90);
        assert_eq!(clock.offset_from(START, now), None);
        clock.record(sample(1_000, 1_000 + 7_000));
        assert_eq!(clock.offset_from(START + 90_000, now), Some(7_000));
        assert_eq!(clock.offset_from(START + 97_500, now), Some(-500));
    }

    #[test]
    fn a_moment_beyond_all_time_is_far_ahead() {
        assert!(known().at(Duration::MAX) > Some(START + 1_000_000 * DAY));
    }
}
