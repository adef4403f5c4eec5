//! Lines that decay next to healthy ones.

use super::setup::{Campaign, Conversations, Setup, Shares};

const HOUR: i64 = 3_600_000;

/// A healthy line, by the use that is made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// What it is used for.
    pub name: &'static str,
    /// What it sends and receives.
    pub conversations: Conversations,
}

/// A way in which a line decays: a fault that makes nothing fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// Name of the fault that makes a line decay this way.
    pub fault: &'static str,
    /// Its value, where it takes one.
    pub value: Option<f64>,
}

/// Every way in which a line can decay.
pub const DECAYS: [Decay; 5] = [
    Decay { fault: "shadow-limited", value: None },
    Decay { fault: "inbound-silent", value: None },
    Decay { fault: "replies", value: Some(0.1) },
    Decay { fault: "slow", value: Some(12.0) },
    Decay { fault: "imessage-share", value: Some(0.6) },
];

/// A line with some 80 messages a day in each direction.
pub fn steady() -> Conversations {
    Conversations { hours: (8, 20), ..Conversations::default() }
}

/// Healthy lines of different uses.
pub fn controls() -> Vec<Control> {
    let control = |name, conversations| Control { name, conversations };
    let opted_in =
        Campaign { first_ms: 10 * HOUR, every_ms: 168 * HOUR, over_ms: 2 * HOUR, messages: 200, new: 0.0 };
    vec![
        control("steady", steady()),
        control(
            "quiet",
            Conversations { started_per_day: 1.0, outbound_per_day: 4.0, inbound_per_day: 2.0, ..steady() },
        ),
        control(
            "support desk",
            Conversations {
                started_per_day: 0.0,
                outbound_per_day: 5.0,
                inbound_per_day: 100.0,
                inbound_new: 0.4,
                responses: 0.9,
                ..steady()
            },
        ),
        control("Android-heavy", Conversations { android: 0.5, ..steady() }),
        control(
            "campaign",
            Conversations { outbound_per_day: 20.0, campaign: Some(opted_in), replies: 0.3, ..steady() },
        ),
    ]
}

/// The line that decays in one of the ways, while it is well. It starts many conversations, as lines that decay do.
pub fn before() -> Conversations {
    Conversations { started_per_day: 18.0, outbound_per_day: 60.0, ..steady() }
}

/// A world of these lines.
pub fn setup(lines: Vec<Conversations>) -> Setup {
    Setup {
        lines: lines.len(),
        chats: lines.len() * 20,
        history_messages: 0,
        email_share: 0.0,
        group_share: 0.0,
        inbound_per_minute: 0.0,
        outbound_per_minute: 0.0,
        conversations: lines,
        shares: well(),
        ..Setup::default()
    }
}

/// What happens to the messages of healthy lines.
pub fn well() -> Shares {
    Shares {
        failed: 0.003,
        fallback: 0.003,
        unresolved: 0.0,
        no_line: 0.0,
        new_chat: 0.0,
        ..Shares::default()
    }
}
