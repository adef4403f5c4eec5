//! What a page shows of a ledger.

use std::collections::BTreeMap;

use super::Ledger;
use crate::domain::view::{OpenGroup, Snapshot, TRAFFIC_STEPS, Traffic};
use crate::domain::{Direction, LineId, MessageId, Protocol, Status};

impl Ledger {
    /// What a page shows, as of `now`. Forgets what has left the window.
    pub fn snapshot(&mut self, now: i64) -> Snapshot {
        let since = now - self.policy.window;
        while let Some((sent_at, id)) = self.recent.first().copied()
            && sent_at <= since
        {
            self.recent.pop_first();
            if sent_at <= self.progress.floor {
                self.forget(id);
            }
        }
        let mut lines: BTreeMap<LineId, String> =
            self.lines().map(|(id, name)| (id, name.to_owned())).collect();
        for (line, name) in [(LineId::NONE, "none"), (LineId::OVERFLOW, "overflow")] {
            if self.has_series(line) {
                lines.insert(line, name.to_owned());
            }
        }
        let mut recent = BTreeMap::new();
        let mut open = BTreeMap::new();
        let mut open_history = BTreeMap::new();
        for line in lines.keys() {
            for protocol in Protocol::USUAL {
                for status in Status::ALL.iter().take(7) {
                    recent.insert((*line, Direction::Outbound, protocol, *status), 0);
                }
            }
            for status in Status::USUAL_OPEN {
                open.insert((*line, status), OpenGroup::default());
            }
            open_history.insert(*line, 0);
        }
        let mut traffic: BTreeMap<LineId, Traffic> =
            lines.keys().map(|line| (*line, Traffic::default())).collect();
        for (sent_at, id) in self.recent.range(..=(now, MessageId(u128::MAX))) {
            if let Some(tracked) = self.tracked.get(id) {
                let steps = traffic.entry(tracked.line).or_default();
                let passed = (sent_at - since - 1).max(0) * TRAFFIC_STEPS as i64 / self.policy.window.max(1);
                let at = (passed as usize).min(TRAFFIC_STEPS - 1);
                match tracked.direction() {
                    Direction::Inbound => steps.inbound[at] += 1,
                    Direction::Outbound => {
                        steps.outbound[at] += 1;
                        steps.failed[at] += u32::from(tracked.status == Status::Failed);
                    }
                }
                let key = (tracked.line, tracked.direction(), tracked.protocol, tracked.status);
                *recent.entry(key).or_insert(0) += 1;
            }
        }
        for id in self.open.keys() {
            if let Some(tracked) = self.tracked.get(id) {
                let group: &mut OpenGroup = open.entry((tracked.line, tracked.status)).or_default();
                group.oldest =
                    if group.count == 0 { tracked.sent_at } else { group.oldest.min(tracked.sent_at) };
                group.count += 1;
                *open_history.entry(tracked.line).or_insert(0) += u64::from(tracked.is_history());
            }
        }
        let mut active_chats = [0; 4];
        for chat in self.chats.values().filter(|chat| chat.listed.last_at > since) {
            active_chats[chat.kind as usize] += 1;
        }
        Snapshot {
            counters: self.totals.counters().collect(),
            histograms: self.totals.histograms().map(|(key, histogram)| (key, histogram.clone())).collect(),
            lines,
            recent,
            traffic,
            open,
            open_history,
            tracked: self.tracked.len() as u64,
            active_chats,
            watermark: self.progress.watermark,
            baseline: self.progress.baseline,
            last_success: self.progress.last_success,
        }
    }
}
