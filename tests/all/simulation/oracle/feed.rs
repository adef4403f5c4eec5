//! I15: what the exporter says of its webhook feed is true, and the feed changes no count.

use blooio_exporter::domain::{Counter, Direction, Status, Unannounced};

use super::{Held, Oracle};
use crate::simulation::feed::Feed;

/// How long an event may still come after polling found what it tells of, with a margin, ms.
const JUDGED_AFTER: i64 = 17 * 60_000;
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
            let judged = one_process
                && held.counted_sent_at > starts + STARTING
                && held.last.sent_at > starts + STARTING;
            let ended_long_ago = held.ended_at > 0 && now - held.ended_at > JUDGED_AFTER;
            if is_there(held) && !feed.announced.contains(id) {
                most[0] += 1;
                let inbound = held.last.direction() == Direction::Inbound;
                let long_ago = if inbound { now - held.counted_at > JUDGED_AFTER } else { ended_long_ago };
                least[0] += u64::from(judged && long_ago);
            }
            if has_announced_end(held)
                && held.last.direction() == Direction::Outbound
                && !feed.ended.contains(id)
            {
                most[1] += 1;
                least[1] += u64::from(judged && ended_long_ago);
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
