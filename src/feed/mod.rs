//! Webhooks: announcements by Blooio that something changed. An event is a hint of what to read now; only what the REST API
//! then returns is counted.
//!
//! | file | holds |
//! |---|---|
//! | `event`, `hints` | what an event says, and the bounded hand-over to the collector |
//! | `signature`, `body` | what a delivery must be to be believed, and what of it is read; pure |
//! | `receiver` | the HTTP side: limits, checks, answers |
//! | `secrets` | signing secrets, read again while the exporter runs |
//! | `counts` | what was received and rejected |
//!
//! What does not belong here: what a hint changes (the collector decides that), settings, binding addresses.

pub mod body;
pub mod counts;
pub mod event;
pub mod hints;
pub mod receiver;
pub mod secrets;
pub mod signature;

pub use event::{Event, EventKind, PrivateId};
pub use hints::{Announced, Full, Hint, Hints};
