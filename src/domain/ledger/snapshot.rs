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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::tests::{CHAT, HOUR, START, audited, ledger, outbound};
    use crate::domain::view::Device;
    use crate::domain::{MessageId, Observation, SweepResult, Unreadable};

    #[test]
    fn every_line_shows_its_gauges_before_anything_is_in_them() {
        let mut ledger = ledger();
        let line = ledger.line(Some("+1"));
        let shown = ledger.snapshot(START);
        assert_eq!(shown.lines, BTreeMap::from([(line, "+1".to_owned())]));
        let statuses: Vec<Status> = Status::ALL[..USUAL_STATUSES].to_vec();
        assert!(statuses.contains(&Status::Cancelled) && !statuses.contains(&Status::None));
        let mix = Protocol::USUAL.iter().flat_map(|protocol| statuses.iter().map(move |s| (*protocol, *s)));
        let mix = mix.map(|(protocol, status)| ((line, Direction::Outbound, protocol, status), 0));
        assert_eq!(shown.recent, mix.collect());
        let open = Status::USUAL_OPEN.map(|status| ((line, status), OpenGroup::default()));
        assert_eq!(shown.open, BTreeMap::from(open));
        assert_eq!((&shown.open_history, &shown.overdue), (&[(line, 0)].into(), &[(line, 0)].into()));
        assert_eq!(shown.unanswered, Position::ALL.iter().map(|position| ((line, *position), 0)).collect());
        assert_eq!(shown.traffic, BTreeMap::from([(line, Traffic::default())]));
        assert_eq!(shown.tracked, 0);
    }

    #[test]
    fn messages_without_a_line_and_of_too_many_are_shown_where_there_were_some() {
        let mut ledger = ledger();
        ledger.line(None);
        let named = |ledger: &mut Ledger| ledger.snapshot(START).lines.into_iter().collect::<Vec<_>>();
        assert_eq!(named(&mut ledger), [(LineId::NONE, "none".to_owned())]);
        ledger.line(Some("\0"));
        let both = [(LineId::NONE, "none".to_owned()), (LineId::OVERFLOW, "overflow".to_owned())];
        assert_eq!(named(&mut ledger), both);
    }

    #[test]
    fn a_snapshot_has_what_the_ledger_holds_as_of_now() {
        let mut ledger = ledger();
        let line = ledger.line(Some("+1"));
        let now = START + 3 * HOUR;
        for (id, sent_at, status) in [
            (1, START - HOUR, Status::Queued),
            (2, now - 30 * 60_000, Status::Queued),
            (3, now - 20 * 60_000, Status::Sent),
            (4, START + 1, Status::Delivered),
        ] {
            let message = outbound(id, sent_at, status, Protocol::Rcs);
            ledger.observe(CHAT, &Observation { line, ..message }, now);
        }
        audited(&mut ledger, 7..9, now - 1, now);
        ledger.record_unreadable(CHAT, Unreadable::Forbidden, now - 5);
        ledger.record_lines(&BTreeMap::from([(line, (Some(true), None))]));
        ledger.record_sweep(SweepResult::Complete, Some(START + HOUR), START + 2 * HOUR, 1.0);
        ledger.record_full_listing(START + 9);
        let shown = ledger.snapshot(now);
        let recent = |status| shown.recent[&(line, Direction::Outbound, Protocol::Rcs, status)];
        assert_eq!([Status::Queued, Status::Sent, Status::Delivered].map(recent), [1, 1, 0]);
        assert_eq!(shown.open[&(line, Status::Queued)], OpenGroup { count: 2, oldest: START - HOUR });
        assert_eq!((shown.open_history[&line], shown.overdue[&line], shown.tracked), (1, 2, 4));
        assert_eq!(shown.traffic[&line].outbound.iter().sum::<u32>(), 2);
        assert_eq!(shown.devices, [(line, Device { active: Some(true), ..Device::default() })].into());
        assert_eq!(shown.active_chats.iter().sum::<u64>(), 2);
        assert_eq!((shown.watermark, shown.last_success), (START + HOUR, START + 2 * HOUR));
        assert_eq!((shown.baseline, shown.floor, shown.listed_at), (START, START, START + 9));
        assert_eq!((shown.unreadable.iter().sum::<u64>(), shown.unreadable_since), (1, Some(now - 5)));
        assert_eq!(shown.counters, ledger.totals().counters().collect::<Vec<_>>());
        assert_eq!(shown.histograms.len(), ledger.totals().histograms().count());
        assert!(ledger.messages().is_open(MessageId(1)));
    }
}
