//! I15: what the exporter says of its webhook feed is true, and the feed changes no count.

use blooio_exporter::domain::{Counter, Direction, Status, Unannounced};

use super::{Held, Oracle};
use crate::simulation::feed::Feed;

/// How long an event may still come after polling found what it tells of, ms: as long as Blooio sends it again.
const GRACE: i64 = 16 * 60_000;
/// Commits and ticks come that much later than what they show, ms.
const MARGIN: i64 = 60_000;
/// Messages sent so shortly after the start need not be judged, ms.
const STARTING: i64 = 8_000;

fn has_announced_end(held: &Held) -> bool {
    let ends = matches!(held.last.status, Status::Delivered | Status::Failed);
    held.ended > 0 && ends && !held.last.is_given_up()
}

fn is_there(held: &Held) -> bool {
    held.last.direction() == Direction::Inbound || held.last.was_handed_over()
}

impl Oracle {
    /// At the end of a life: nothing counts as missed that was announced, and, where one process saw it all, nothing that was
    /// not announced is left out.
    pub(crate) fn judge_feed(&mut self, feed: &Feed, one_process: bool) {
        let now = self.now();
        let starts = self.starts.first().copied().unwrap_or(0);
        let counted = self.messages.iter().filter(|(_, held)| held.counted > 0 && !held.last.is_history());
        let (mut most, mut least) = ([0, 0], [0, 0]);
        for (id, held) in counted {
            let started = |sent_at: i64| one_process && sent_at > starts + STARTING;
            // One that is dated ahead says nothing of when it was announced.
            let dated_ahead = held.counted_sent_at > held.counted_at;
            let judged = started(held.counted_sent_at) && started(held.last.sent_at) && !dated_ahead;
            let heard =
                [feed.announced.get(id), feed.ended.get(id)].map(|at| at.copied().unwrap_or(i64::MAX));
            let inbound = held.last.direction() == Direction::Inbound;
            // A message of ours is found when it is known to be handed over: after it was counted, and before it ended.
            let found = match inbound {
                true => [(held.counted_at, held.counted_at), (i64::MAX, i64::MAX)],
                false => [(held.counted_at, held.ended_at), (held.ended_at, held.ended_at)],
            };
            for (at, is_there) in
                [is_there(held), !inbound && has_announced_end(held)].into_iter().enumerate()
            {
                let (first, last) = found[at];
                most[at] += u64::from(is_there && heard[at] > first.saturating_add(GRACE - MARGIN));
                let surely = judged && last > 0 && heard[at].min(now) > last.saturating_add(GRACE + MARGIN);
                least[at] += u64::from(is_there && surely);
            }
        }
        // What came and went between two commits is judged, and not to be seen from here.
        let unseen = self.unseen_in_all;
        for (at, kind) in Unannounced::ALL.iter().enumerate() {
            let missed = self.counters.get(&Counter::Missed { kind: *kind }).copied().unwrap_or(0);
            if missed < least[at] || missed > most[at] + unseen {
                let (least, most) = (least[at], most[at]);
                self.violated("I15", format!("{missed} missed of {kind:?}; messages say {least} to {most}"));
            }
        }
    }
}
