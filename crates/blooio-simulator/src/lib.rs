//! A Blooio v2 REST API that never existed, with contacts, devices and faults of its own.
//!
//! It shares no type with the client it is used against and writes its JSON by hand from the published pages: a field name that
//! the client gets wrong must show, and would not if both sides used one struct. README.md says what is where.
//!
//! The same seed, the same steps and the same requests give the same bytes.

mod answer;
mod chat;
mod conversation;
pub mod decay;
mod deliveries;
pub mod events;
mod fault;
pub mod http;
mod knobs;
mod ledger;
mod lies;
mod message;
mod page;
mod progress;
mod qualities;
mod request;
pub mod scenario;
mod seasons;
pub mod setup;
mod source;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_conversations;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_lies;
#[cfg(test)]
mod tests_sockets;
#[cfg(test)]
mod tests_truth;
mod traffic;
pub mod truth;
mod tuning;
mod upheaval;
mod world;

pub use deliveries::{
    Answers, DELIVERY_FAULTS, Manner, SECRET as WEBHOOK_SECRET, Target, deliver, switch_on,
};
pub use events::{Delivery, EventFaults, Events};
pub use fault::{FaultKind, Setting, faults};
pub use http::{Clock, serve};
pub use knobs::{RateLimit, RetryAfter};
pub use ledger::{Position, Talk, Told, What};
pub use request::{Endpoint, Reply, Request, Seen, Wire};
pub use scenario::{Scenario, all, scenario};
pub use setup::{Campaign, Conversations, Knobs, Setup, Shares, Upheavals};
pub use truth::{Brief, Entry, Summary, Terminal, Truth};
pub use tuning::{Chats, Tuning};
pub use world::World;

/// The path under which the API answers; everything outside it belongs to the control paths.
pub const BASE_PATH: &str = "/v2/api";

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
