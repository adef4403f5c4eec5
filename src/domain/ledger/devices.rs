//! Devices behind the lines: the results of probes, and what the list of numbers says.

use std::collections::BTreeMap;

use super::Ledger;
use crate::domain::view::Device;
use crate::domain::{Code, Counter, HistogramKey, LineId};

impl Ledger {
    /// Counts a device probe that ended at `now`.
    pub fn record_probe(&mut self, line: LineId, code: Code, seconds: f64, now: i64) {
        let code = self.bounded(code, |code| Counter::Probes { line, code });
        self.totals.add(Counter::Probes { line, code }, 1);
        self.totals.observe(HistogramKey::ProbeDuration, seconds);
        // A rejected key, a missing chat or a rate limit says nothing of the device.
        let is_silent = matches!(code, Code::Status(400 | 401 | 403 | 404 | 429));
        self.learn(line, |device| {
            device.probed_at = device.probed_at.max(Some(now));
            if !is_silent {
                device.answered = Some(code == Code::Status(200));
            }
        });
    }

    /// Probes are switched off: what they showed says nothing any more.
    pub fn forget_probes(&mut self) {
        for line in self.devices.keys().copied().collect::<Vec<_>>() {
            self.learn(line, |device| (device.probed_at, device.answered) = (None, None));
        }
    }

    /// Takes what the list of lines says: `is_active` and `last_active` of each line that it names.
    pub fn record_lines(&mut self, listed: &BTreeMap<LineId, (Option<bool>, Option<i64>)>) {
        let known: Vec<LineId> = self.devices.keys().chain(listed.keys()).copied().collect();
        for line in known {
            let (active, last_active) = listed.get(&line).copied().unwrap_or_default();
            self.learn(line, |device| (device.active, device.last_active) = (active, last_active));
        }
    }

    fn learn(&mut self, line: LineId, change: impl FnOnce(&mut Device)) {
        let device = self.devices.entry(line).or_default();
        let before = *device;
        change(device);
        if *device != before {
            self.changed.devices.insert(line);
        }
    }
}
