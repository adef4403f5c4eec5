//! What a page shows of one account: an immutable value built from committed state.

use std::collections::BTreeMap;

use super::chat::ChatKind;
use super::conversation::Position;
use super::families::{Counter, HistogramKey};
use super::ids::LineId;
use super::message::{Direction, Protocol, Status};
use super::totals::Histogram;
use super::vocabulary::Unreadable;

/// Open messages of one line and status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenGroup {
    /// Messages of the group.
    pub count: u64,
    /// `time_sent` of the oldest, unix ms; meaningless when there is none.
    pub oldest: i64,
}

/// Into how many steps the trailing window is divided by [`Traffic`].
pub const TRAFFIC_STEPS: usize = 60;

/// Messages of one line over the trailing window, by `time_sent`, the oldest step first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Inbound messages per step of the window, the oldest first.
    pub inbound: [u32; TRAFFIC_STEPS],
    /// Outbound messages, whatever became of them.
    pub outbound: [u32; TRAFFIC_STEPS],
    /// Those of them that are known to have failed.
    pub failed: [u32; TRAFFIC_STEPS],
}

impl Default for Traffic {
    fn default() -> Traffic {
        let none = [0; TRAFFIC_STEPS];
        Traffic { inbound: none, outbound: none, failed: none }
    }
}

/// What was last learnt of a line's device. It survives a restart, so that a restart ends no alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// When it was last probed, whatever came of it, unix ms.
    pub probed_at: Option<i64>,
    /// Whether it answered the newest probe that says something of it.
    pub answered: Option<bool>,
    /// Whether the line is active (`is_active`), where the API says so.
    pub active: Option<bool>,
    /// When the line was last active (`last_active`), unix ms.
    pub last_active: Option<i64>,
}

/// What the ledger says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Every counter with its value, sorted by counter.
    pub counters: Vec<(Counter, u64)>,
    /// Every histogram with its content, sorted by key.
    pub histograms: Vec<(HistogramKey, Histogram)>,
    /// The name of each line that has series.
    pub lines: BTreeMap<LineId, String>,
    /// The delivery status mix of the trailing window.
    pub recent: BTreeMap<(LineId, Direction, Protocol, Status), u64>,
    /// The same over time.
    pub traffic: BTreeMap<LineId, Traffic>,
    /// Outbound messages without an end.
    pub open: BTreeMap<(LineId, Status), OpenGroup>,
    /// How many of them are history, by line.
    pub open_history: BTreeMap<LineId, u64>,
    /// Messages not handed over that are older than [`OVERDUE`](super::messages::OVERDUE), by line.
    pub overdue: BTreeMap<LineId, u64>,
    /// Chats whose newest message is ours, by its line and the position of its turn.
    pub unanswered: BTreeMap<(LineId, Position), u64>,
    /// What was last learnt of each line's device.
    pub devices: BTreeMap<LineId, Device>,
    /// Messages held in the state.
    pub tracked: u64,
    /// Chats with a message in the trailing window, by `ChatKind::ALL`.
    pub active_chats: [u64; ChatKind::ALL.len()],
    /// See `blooio_collection_watermark_timestamp_seconds`; unix ms, 0 before the first sweep.
    pub watermark: i64,
    /// Messages sent at or before this are history, unix ms; 0 before the first answer.
    pub baseline: i64,
    /// End of the newest complete sweep, unix ms; 0 before the first.
    pub last_success: i64,
    /// Start of the newest complete full listing, unix ms; 0 before the first.
    pub listed_at: i64,
    /// Messages sent at or before this are never counted any more, unix ms.
    pub floor: i64,
    /// Chats that are listed and cannot be read, by `Unreadable::ALL`.
    pub unreadable: [u64; Unreadable::ALL.len()],
    /// Since when the oldest of them cannot be read, unix ms.
    pub unreadable_since: Option<i64>,
}

/// Rows of the chat list that cannot be used: each hides a chat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectedRows {
    /// Rows that are not what is documented.
    pub malformed: u64,
    /// Rows whose id cannot stand in a request.
    pub identifier: u64,
}

impl RejectedRows {
    /// How many there are.
    pub fn count(self) -> u64 {
        self.malformed + self.identifier
    }

    /// The more of each.
    #[must_use]
    pub fn max(self, other: RejectedRows) -> RejectedRows {
        RejectedRows {
            malformed: self.malformed.max(other.malformed),
            identifier: self.identifier.max(other.identifier),
        }
    }
}

/// A receiver of webhooks that the organisation registered, as `GET /webhooks` shows it. Never its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// The `webhook_id` that the API shows.
    pub id: Box<str>,
    /// Failures of its deliveries (`failure_count`), where given.
    pub failures: Option<u64>,
    /// When it was last triggered (`last_triggered`), unix ms.
    pub last_triggered: Option<i64>,
    /// Whether it is active (`is_active`), where given.
    pub active: Option<bool>,
}

/// The collector's state at the moment, which is stored nowhere.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The newest sweep completed.
    pub up: bool,
    /// A sweep was committed since the process started.
    pub swept: bool,
    /// Why the newest sweep did not complete, in words for people.
    pub problem: Option<String>,
    /// Chats of the organisation, as the list's `total` says.
    pub chats: Option<u64>,
    /// Chats known to need reading that were left for later.
    pub deferred: u64,
    /// Requests per second, configured.
    pub budget: f64,
    /// Bytes of the state file.
    pub state_bytes: u64,
    /// The newest commit succeeded.
    pub state_writable: bool,
    /// Server clock minus local clock, ms, as used; `None` before the first answer that is believed.
    pub clock_offset: Option<i64>,
    /// Rows of the chat list that cannot be used: malformed ones, and ones whose id cannot stand in a request.
    pub rejected_rows: RejectedRows,
    /// The budget does not suffice, in one sentence.
    pub exhausted: Option<String>,
    /// Since when there are such rows, unix ms.
    pub rejected_since: Option<i64>,
    /// The organisation's webhooks, as last listed; empty where they cannot be.
    pub webhooks: Vec<Webhook>,
    /// Whether the webhook feed is trusted; `None` where there is none.
    pub feed_trusted: Option<bool>,
}

impl View {
    /// Chats that are listed and cannot be read, by reason; those that only an unusable row of the list names included.
    pub fn unreadable(&self) -> impl Iterator<Item = (Unreadable, u64)> + '_ {
        let rows = self.health.rejected_rows;
        Unreadable::ALL.iter().zip(self.snapshot.unreadable).map(move |(reason, chats)| {
            let rows = match reason {
                Unreadable::Rejected => rows.malformed,
                Unreadable::Identifier => rows.identifier,
                _ => 0,
            };
            (*reason, chats + rows)
        })
    }

    /// Since when the oldest of them cannot be read, unix ms.
    pub fn unreadable_since(&self) -> Option<i64> {
        self.snapshot.unreadable_since.into_iter().chain(self.health.rejected_since).min()
    }
}

/// One account at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The name of the account, as labels have it.
    pub account: String,
    /// Grows with every published view of the account.
    pub version: u64,
    /// The state as of the newest commit.
    pub snapshot: Snapshot,
    /// The collector's own condition.
    pub health: Health,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_that_only_an_unusable_row_names_cannot_be_read_either() {
        let rejected_rows = RejectedRows { malformed: 10, identifier: 20 };
        assert_eq!(rejected_rows.count(), 30);
        let mut view = View::default();
        view.snapshot.unreadable = [1, 2, 3, 4, 5, 6];
        view.health.rejected_rows = rejected_rows;
        let shown: Vec<u64> = view.unreadable().map(|(_, chats)| chats).collect();
        assert_eq!(shown, [1, 2, 3, 14, 25, 6]);
        assert_eq!(view.unreadable().map(|(reason, _)| reason).collect::<Vec<_>>(), Unreadable::ALL);
    }

    #[test]
    fn the_oldest_of_them_is_shown_whichever_kind_it_is() {
        for (chats, rows, oldest) in [
            (None, None, None),
            (Some(5), None, Some(5)),
            (None, Some(6), Some(6)),
            (Some(7), Some(6), Some(6)),
        ] {
            let mut view = View::default();
            (view.snapshot.unreadable_since, view.health.rejected_since) = (chats, rows);
            assert_eq!(view.unreadable_since(), oldest);
        }
    }

    #[test]
    fn two_answers_reject_at_least_as_many_rows_as_either() {
        let (one, other) =
            (RejectedRows { malformed: 1, identifier: 9 }, RejectedRows { malformed: 5, identifier: 2 });
        assert_eq!(one.max(other), RejectedRows { malformed: 5, identifier: 9 });
    }
}
