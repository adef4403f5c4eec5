//! The webhook feed: what Blooio announces without being asked.
//!
//! An event is a hint, never a source of truth: it says which chat to read now, and only what the REST API then returns is
//! counted. Here belong what an event is, the hand-over to the collector, and how far the feed is trusted. Here does not
//! belong: what is asked for because of a hint (`collect`).
//!
//! | file | holds |
//! |---|---|
//! | `event` | an event, as far as it is used |
//! | `trust` | how far the feed is trusted, and what it missed |
//! | `hints` | the bounded hand-over between the receiver and the collector |

pub mod event;
pub mod hints;
pub mod trust;

pub use event::{Announces, Event, EventKind, PrivateId};
pub use hints::{Announced, Full, Hint, Hints};
pub use trust::Trust;
