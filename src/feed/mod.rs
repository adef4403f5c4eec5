//! The webhook feed: what Blooio announces without being asked.
//!
//! An event is a hint, never a source of truth: it says which chat to read now, and only what the REST API then returns is
//! counted. Here belong receiving events, what an event is, the hand-over to the collector, and how far the feed is trusted.
//! Here does not belong: what is asked for because of a hint (`collect`), settings, binding addresses.
//!
//! | file | holds |
//! |---|---|
//! | `event` | an event, as far as it is used |
//! | `trust` | how far the feed is trusted, and what it missed |
//! | `hints` | the bounded hand-over between the receiver and the collector |
//! | `signature`, `body` | what a delivery must be to be believed, and what of it is read; pure |
//! | `receiver` | the HTTP side: limits, checks, answers |
//! | `secrets` | signing secrets, read again while the exporter runs |
//! | `counts` | what was received and rejected |

pub mod body;
pub mod counts;
pub mod event;
pub mod hints;
pub mod receiver;
pub mod secrets;
pub mod signature;
pub mod trust;

pub use event::{Announces, Event, EventKind, PrivateId};
pub use hints::{Announced, Full, Hint, Hints};
pub use trust::Trust;
