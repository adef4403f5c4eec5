//! The order of commits of one holder.

/// Counts the commits of an account, across its holders. The database stores the number of the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The number of the newest commit that was acknowledged.
    acknowledged: i64,
    /// The highest number that was sent. Above `acknowledged`, a commit is in doubt: it may have been written, or still be
    /// on its way. The next one takes a number of its own, so that one that arrives late finds a higher number and fails.
    sent: i64,
}

/// Why a commit was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The database lost commits that it had acknowledged: everything must be committed again.
    Lost,
    /// A commit of another holder, or a later one, is stored.
    Superseded,
}

impl Sequence {
    /// Continues after what is stored.
    pub fn after(stored: i64) -> Sequence {
        Sequence { acknowledged: stored, sent: stored }
    }

    /// The number of the next commit, and between which numbers the stored one must lie for it to be written. One that
    /// holds everything may follow any earlier one.
    pub fn send(&mut self, is_whole: bool) -> (i64, (i64, i64)) {
        let least = if is_whole { 0 } else { self.acknowledged };
        let between = (least, self.sent);
        self.sent = self.sent.saturating_add(1);
        (self.sent, between)
    }

    /// The commit that was sent last was written.
    pub fn acknowledge(&mut self) {
        self.acknowledged = self.sent;
    }

    /// Why the commit that was sent last was not written, when this number is stored.
    pub fn judge(&self, stored: i64) -> Verdict {
        match stored < self.acknowledged {
            true => Verdict::Lost,
            false => Verdict::Superseded,
        }
    }

    /// Whether it is unknown if a commit was written.
    pub fn is_in_doubt(&self) -> bool {
        self.sent != self.acknowledged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the database does with a commit.
    fn write(stored: &mut i64, (number, (least, most)): (i64, (i64, i64))) -> bool {
        let is_next = (least..=most).contains(stored);
        if is_next {
            *stored = number;
        }
        is_next
    }

    #[test]
    fn commits_follow_each_other() {
        let (mut sequence, mut stored) = (Sequence::after(7), 7);
        for number in 8..12 {
            assert!(write(&mut stored, sequence.send(false)));
            sequence.acknowledge();
            assert_eq!((stored, sequence.is_in_doubt()), (number, false));
        }
    }

    #[test]
    fn a_commit_in_doubt_is_sent_again_whether_it_was_written_or_not() {
        for was_written in [false, true] {
            let (mut sequence, mut stored) = (Sequence::after(7), 7);
            let first = sequence.send(false);
            assert!(!was_written || write(&mut stored, first));
            assert!(sequence.is_in_doubt());
            assert!(write(&mut stored, sequence.send(false)));
            sequence.acknowledge();
            assert!(!sequence.is_in_doubt());
            assert!(write(&mut stored, sequence.send(false)));
        }
    }

    #[test]
    fn a_commit_that_arrives_late_is_not_written_over_a_later_one() {
        let (mut sequence, mut stored) = (Sequence::after(7), 7);
        let late = sequence.send(false);
        assert!(write(&mut stored, sequence.send(false)));
        sequence.acknowledge();
        assert!(!write(&mut stored, late));
    }

    #[test]
    fn lost_commits_are_noticed_and_everything_may_be_written_over_them() {
        let (mut sequence, mut stored) = (Sequence::after(7), 7);
        for _ in 0..3 {
            assert!(write(&mut stored, sequence.send(false)));
            sequence.acknowledge();
        }
        stored = 8;
        assert!(!write(&mut stored, sequence.send(false)));
        assert_eq!(sequence.judge(stored), Verdict::Lost);
        assert!(write(&mut stored, sequence.send(true)));
        sequence.acknowledge();
        assert!(write(&mut stored, sequence.send(false)));
        assert_eq!(sequence.judge(99), Verdict::Superseded);
    }
}
