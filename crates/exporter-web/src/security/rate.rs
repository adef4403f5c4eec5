//! How many requests are answered: a bucket of tokens that fills with time.

use std::time::Instant;

use parking_lot::Mutex;

use super::file::Rate;

/// A bucket, full at first.
pub struct Bucket {
    rate: Rate,
    /// What is in it, and when that was.
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// A bucket that is full at `now`, so that a burst is let through at once.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, level: Mutex::new((f64::from(rate.burst), now)) }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token, if there is one.
    pub fn take(&self, now: Instant) -> bool {
        let mut level = self.level.lock();
        let (tokens, since) = *level;
        let gained = now.saturating_duration_since(since).as_secs_f64() / self.rate.interval.as_secs_f64();
        let tokens = (tokens + gained).min(f64::from(self.rate.burst));
        let taken = tokens >= 1.0;
        *level = (if taken { tokens - 1.0 } else { tokens }, now.max(since));
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_and_then_one_each_interval() {
        let start = Instant::now();
        let bucket = Bucket::new(Rate { interval: Duration::from_secs(1), burst: 3 }, start);
        let at = |millis| start + Duration::from_millis(millis);
        let taken: Vec<bool> = [0, 0, 0, 0, 900, 1000, 1000, 1999, 2000].map(|m| bucket.take(at(m))).into();
        assert_eq!(taken, [true, true, true, false, false, true, false, false, true]);
        // An hour later there is a burst in it, and no more.
        let later = (0..5).filter(|_| bucket.take(at(3_600_000))).count();
        assert_eq!(later, 3);
    }
}
