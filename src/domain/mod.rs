//! The core: what a message, a line and a chat are, and how messages are counted once and ended once.
//!
//! Here belong rules ("delivered never becomes queued again", "given up after the horizon") and the
//! durable totals. Here do not belong: I/O, a clock, async, serialisation, JSON fields, or how a page is written.
//! Everything takes `now` and facts as arguments, depends on `std` alone, and cannot fail.
//!
//! Times are unix milliseconds of the server's clock (`i64`) unless a name says otherwise.

pub mod chat;
pub mod chats;
pub mod conversation;
pub mod conversations;
pub mod counts;
pub mod families;
pub mod ids;
pub mod ledger;
pub mod message;
pub mod messages;
pub mod tally;
pub mod totals;
pub mod view;
pub mod vocabulary;

pub use chat::{Absence, Chat, ChatKind, Listing, Outage};
pub use chats::Chats;
pub use conversation::{Author, Conversation, Position};
pub use conversations::{Conversations, Place, Told};
pub use counts::{Count, End};
pub use families::{Counter, Family, Group, HistogramKey, Kind, LabelValue};
pub use ids::{ChatKey, LineId, MessageId};
pub use ledger::{Delta, Ledger, Outcome, Policy, Progress, Restored};
pub use message::{Direction, Observation, Protocol, Reason, Status, Tracked};
pub use messages::{Held, Messages, Missing, Open};
pub use tally::{ApiEvent, Cause, SweepResult, Unannounced};
pub use totals::{Histogram, Totals};
pub use view::{Device, View, Webhook};
pub use vocabulary::{Code, Endpoint, Field, Rejection, Unreadable, Work};
