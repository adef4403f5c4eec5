//! Snapshots: the gauges and totals of a ledger that a page shows.

use std::collections::BTreeMap;

use super::Ledger;
use crate::domain::view::{OpenGroup, Snapshot, Traffic};
use crate::domain::{Direction, LineId, Position, Protocol, Status};

/// The statuses whose series of the recent mix exist from the start.
const USUAL_STATUSES: usize = 7;

impl Ledger {
    /// What a page shows, as of `now`. What it costs depends on how many series there are, not on how many messages.
    pub fn snapshot(&mut self, now: i64) -> Snapshot {
        self.advance_clock(now);
        let lines = self.line_names();
        let mut recent = BTreeMap::new();
        let mut open = BTreeMap::new();
        let mut open_history = BTreeMap::new();
        let mut overdue = BTreeMap::new();
        let mut unanswered = BTreeMap::new();
        for line in lines.keys() {
            for protocol in Protocol::USUAL {
                for status in Status::ALL.iter().take(USUAL_STATUSES) {
                    recent.insert((*line, Direction::Outbound, protocol, *status), 0);
                }
            }
            for status in Status::USUAL_OPEN {
                open.insert((*line, status), OpenGroup::default());
            }
            open_history.insert(*line, 0);
            overdue.insert(*line, 0);
            unanswered.extend(Position::ALL.iter().map(|position| ((*line, *position), 0)));
        }
        recent.extend(self.messages.mix().iter().map(|(key, count)| (*key, *count)));
        open.extend(self.messages.open_groups());
        open_history.extend(self.messages.open_history().iter().map(|(line, count)| (*line, *count)));
        unanswered.extend(self.conversations.unanswered().iter().map(|(key, count)| (*key, *count)));
        overdue.extend(self.messages.overdue().iter().map(|(line, count)| (*line, *count)));
        let mut traffic: BTreeMap<LineId, Traffic> =
            lines.keys().map(|line| (*line, Traffic::default())).collect();
        self.messages.traffic(&mut traffic);
        let (unreadable, unreadable_since) = self.chats.outages();
        Snapshot {
            counters: self.totals.counters().collect(),
            histograms: self.totals.histograms().map(|(key, histogram)| (key, histogram.clone())).collect(),
            lines,
            recent,
            traffic,
            open,
            open_history,
            overdue,
            unanswered,
            devices: self.devices.clone(),
            tracked: self.messages.len() as u64,
            active_chats: self.chats.active_by_kind(),
            watermark: self.progress.watermark,
            baseline: self.progress.baseline,
            last_success: self.progress.last_success,
            listed_at: self.progress.listed_at,
            floor: self.progress.floor,
            unreadable,
            unreadable_since,
        }
    }

    /// The name of each line that has series.
    fn line_names(&self) -> BTreeMap<LineId, String> {
        let mut lines: BTreeMap<LineId, String> =
            self.lines().map(|(id, name)| (id, name.to_owned())).collect();
        for (line, name) in [(LineId::NONE, "none"), (LineId::OVERFLOW, "overflow")] {
            if self.has_series(line) {
                lines.insert(line, name.to_owned());
            }
        }
        lines
    }
}
