//! The ledger's inputs and outputs besides observations: `Policy`, `Progress`, `Restored`, `Delta`.

use crate::domain::messages::Open;
use crate::domain::{
    Chat, ChatKey, Counter, Device, Held, Histogram, HistogramKey, LineId, MessageId, Told, Tracked,
};

/// The rules' parameters, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Trailing window of the `recent` gauges.
    pub window: i64,
    /// Age after which an open message is given up.
    pub horizon: i64,
    /// How late a message may appear and still be counted.
    pub retention: i64,
    /// Between two deep reads of an active chat.
    pub audit_interval: i64,
    /// Time between two sweeps, in ms.
    pub interval: i64,
    /// Between two full listings.
    pub full_interval: i64,
    /// How late a message may appear and still take its place in its conversation.
    pub lookback: i64,
    /// Messages of ours that follow each other within this share a turn; 0: each is a turn of its own.
    pub turn: i64,
}

impl Policy {
    /// How far back a first read looks for messages that only gauges show.
    pub fn history(&self) -> i64 {
        self.window.max(self.horizon)
    }
}

/// How far the account has come. Nothing in it ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages sent at or before this are history. 0 until the first answer gives the server's time.
    pub baseline: i64,
    /// Ids with `sent_at` at or before this are never counted any more.
    pub floor: i64,
    /// When the newest complete full listing started.
    pub listed_at: i64,
    /// Every message that the API shows with `time_sent` at or before this is counted.
    pub watermark: i64,
    /// End of the newest complete sweep.
    pub last_success: i64,
    /// The server's time of the newest commit, ms: gauges of the trailing window are as of it.
    pub shown_at: i64,
    /// How far back, in ms before the first read of each chat, messages were held that only gauges show.
    pub history: i64,
}

/// What one observation was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The message is new, and was counted.
    Counted,
    /// The message had been seen before.
    Known,
    /// From before the baseline: in no counter.
    History,
    /// Below the floor: counted long ago, or too late to be.
    Passed,
}

/// What a commit must store: whole values, to be written over older ones.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    /// Whether it holds everything of the account: what is stored and not in it must be deleted.
    pub is_whole: bool,
    /// Where the account stands.
    pub progress: Progress,
    /// Lines that were added to the register.
    pub lines: Vec<(LineId, String)>,
    /// Devices of which something new was learnt.
    pub devices: Vec<(LineId, Device)>,
    /// Chats that changed; `None` for deleted ones.
    pub chats: Vec<(ChatKey, Option<Chat>)>,
    /// Messages that changed, with what is open about them; `None` for those no longer held.
    pub messages: Vec<(MessageId, Option<Held>)>,
    /// What changed of the conversations.
    pub told: Told,
    /// Counters that changed, with their new values.
    pub counters: Vec<(Counter, u64)>,
    /// Histograms that changed, with their new contents.
    pub histograms: Vec<(HistogramKey, Histogram)>,
}

/// What the store held.
#[derive(Default)]
pub struct Restored {
    /// How far the collection of the account has come.
    pub progress: Progress,
    /// The register of lines.
    pub lines: Vec<(LineId, String)>,
    /// What was last learnt of each line's device.
    pub devices: Vec<(LineId, Device)>,
    /// Every chat of the account.
    pub chats: Vec<(ChatKey, Chat)>,
    /// Every message that is held, with what is open about it.
    pub messages: Vec<(MessageId, Tracked, Option<Open>)>,
    /// Every conversation, and every message that waits for its place.
    pub told: Told,
    /// Every counter with its value.
    pub counters: Vec<(Counter, u64)>,
    /// Every histogram with its content.
    pub histograms: Vec<(HistogramKey, Histogram)>,
}

impl From<Restored> for Delta {
    /// The delta that stores the same, in place of whatever is stored.
    fn from(restored: Restored) -> Delta {
        let messages = restored.messages.into_iter();
        Delta {
            is_whole: true,
            progress: restored.progress,
            lines: restored.lines,
            devices: restored.devices,
            chats: restored.chats.into_iter().map(|(key, chat)| (key, Some(chat))).collect(),
            messages: messages.map(|(id, tracked, open)| (id, Some((tracked, open)))).collect(),
            told: restored.told,
            counters: restored.counters,
            histograms: restored.histograms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::tests::{CHAT, START, ledger, outbound};
    use crate::domain::{ChatKind, Listing, Protocol, Status};

    #[test]
    fn a_first_read_looks_back_as_far_as_any_gauge_shows() {
        for (window, horizon) in [(5, 9), (9, 5), (9, 9)] {
            assert_eq!(Policy { window, horizon, ..Policy::default() }.history(), 9);
        }
    }

    #[test]
    fn the_delta_of_what_a_store_held_stores_all_of_it_in_place_of_anything_else() {
        let mut ledger = ledger();
        ledger.line(Some("+1"));
        ledger.record_listed(CHAT, ChatKind::Phone, Listing::UNLIKE_ANY);
        ledger.observe(CHAT, &outbound(1, START + 1, Status::Queued, Protocol::Sms), START + 1);
        ledger.observe(CHAT, &outbound(2, START + 2, Status::Delivered, Protocol::Sms), START + 2);
        ledger.record_lost_commits();
        let whole = ledger.delta();
        let some = |(id, held): &(MessageId, Option<Held>)| held.map(|(tracked, open)| (*id, tracked, open));
        let restored = Restored {
            progress: whole.progress,
            lines: whole.lines.clone(),
            devices: vec![(LineId(1), Device { probed_at: Some(5), ..Device::default() })],
            chats: whole.chats.iter().filter_map(|(key, chat)| Some((*key, (*chat)?))).collect(),
            messages: whole.messages.iter().filter_map(some).collect(),
            told: whole.told.clone(),
            counters: whole.counters.clone(),
            histograms: whole.histograms.clone(),
        };
        assert_eq!((restored.chats.len(), restored.messages.len()), (1, 2));
        let devices = restored.devices.clone();
        let delta = Delta::from(restored);
        assert!(delta.is_whole);
        assert_eq!((delta.progress, delta.lines, delta.devices), (whole.progress, whole.lines, devices));
        assert_eq!((delta.chats, delta.messages, delta.told), (whole.chats, whole.messages, whole.told));
        assert_eq!((delta.counters, delta.histograms), (whole.counters, whole.histograms));
    }
}
