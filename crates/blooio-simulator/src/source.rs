//! What makes messages appear, and how often.

use super::setup::Setup;

/// Something that keeps happening at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Inbound,
    Outbound,
    Burst,
    MessageDelete,
    ChatDelete,
    Merge,
    Outage,
    GroupChatter,
    /// A conversation of this line.
    Line(u16, Act),
}

pub(super) const SOURCES: [Source; 8] = [
    Source::Inbound,
    Source::Outbound,
    Source::Burst,
    Source::MessageDelete,
    Source::ChatDelete,
    Source::Merge,
    Source::Outage,
    Source::GroupChatter,
];

impl Source {
    /// How often it happens, per millisecond.
    pub(super) fn rate(self, setup: &Setup) -> f64 {
        let up = &setup.upheavals;
        match self {
            Source::Inbound => setup.inbound_per_minute / 60_000.0,
            Source::Outbound => setup.outbound_per_minute / 60_000.0,
            Source::Burst => up.bursts_per_hour / 3_600_000.0,
            Source::MessageDelete => up.message_deletes_per_hour / 3_600_000.0,
            Source::ChatDelete => up.chat_deletes_per_hour / 3_600_000.0,
            Source::Merge => up.merges_per_hour / 3_600_000.0,
            Source::Outage => up.outages_per_hour / 3_600_000.0,
            Source::GroupChatter => up.group_chatter_per_minute / 60_000.0,
            Source::Line(line, act) => act.rate(setup, line),
        }
    }
}

pub(super) fn chance(rng: &mut fastrand::Rng, share: f64) -> bool {
    share > 0.0 && rng.f64() < share
}

/// Something that happened to a message, that an event reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) at: i64,
    pub(super) message: u32,
    pub(super) kind: &'static str,
}

/// What happens on a line without a message before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// The organisation starts a conversation.
    Start,
    /// The organisation writes to a contact of an earlier one.
    Write,
    /// A contact writes a message.
    Hear,
    /// A campaign begins to send.
    Campaign,
}
