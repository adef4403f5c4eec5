//! The open messages and their status against the world, while traffic goes on: at the end of a life none is open.

use blooio_exporter::domain::{Direction, View};

use super::Oracle;
use crate::simulation::plug;

/// Age above which a receipt of an SMS or RCS is looked for rarely, ms: the contract promises no time.
const RARELY: i64 = 10 * 60_000;

impl Oracle {
    /// I16: what is open shows the status that the API shows, and what has ended is not open, but for what changed so
    /// recently that it need not have been asked for again. Nothing was broken for `settled_for` ms; what was asked for
    /// before that may have been denied, and counts as asked.
    pub(crate) fn compare_open_with_world(&mut self, view: &View, settled_for: i64) {
        self.compare_gauges(view);
        let millis = |duration: std::time::Duration| duration.as_millis() as i64;
        let (interval, full) =
            (millis(self.terms.options.interval), millis(self.terms.options.full_interval));
        let found = interval * 9 / 2 + full + 2 * self.reading();
        let slack = found + settled_for + 2 * self.terms.date_error.abs();
        let now = self.now();
        let world = std::sync::Arc::clone(&self.world);
        let world = world.lock().unwrap();
        for entry in world.truth().entries() {
            let is_readable = !entry.unusable && !self.is_broken_in(&world, entry.chat_number);
            let is_comparable = entry.direction == "outbound" && entry.visible && is_readable;
            let id = plug::message_id(&self.hasher, Direction::Outbound, &entry.id);
            let held = self.messages.get(&id).copied().filter(|held| held.open);
            let Some(held) = held.filter(|_| is_comparable) else { continue };
            let born = entry.time_sent_ms.min(entry.visible_from_ms);
            let changed = entry.changed_at_ms.max(entry.visible_from_ms).max(self.progress.baseline);
            let rarely = entry.protocol != "imessage" && now - born > RARELY;
            let truthful = if settled_for > 0 { changed.max(self.clear_since) } else { changed };
            let asked_by = truthful + (truthful - born) * 3 / 4 + slack;
            if rarely || now < asked_by {
                continue;
            }
            self.stats.open += 1;
            let shown = held.last.status.as_str();
            if shown != entry.status {
                let what = format!("open as {shown} since {} ms: {entry:?}", now - held.counted_at);
                self.violated("I16", what);
            }
        }
    }
}
