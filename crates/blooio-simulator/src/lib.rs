//! A Blooio v2 REST API that never existed, with contacts, devices and faults of its own.
//!
//! The room stands alone. It shares no type with the client it is used against and writes its JSON by hand from the
//! published pages: a field name that the client gets wrong must show, and would not if both sides used one struct.
//!
//! | file | what lives there |
//! |---|---|
//! | `setup` | what a world is made from: sizes, rates, shares, and one knob per open question about the real API |
//! | `scenario`, `decay` | named setups, one sentence each; lines that decay next to healthy ones |
//! | `seasons` | a history with business hours, weekends and seasons |
//! | `message`, `chat` | what is stored, and how a message may move |
//! | `world`, `traffic`, `conversation`, `upheaval` | the world: it has no clock and moves only by [`World::step`] |
//! | `answer`, `page` | one request in, one reply out, no I/O |
//! | `lies` | lists, rows and dates that are valid and wrong |
//! | `fault`, `tuning` | what can be broken while it runs, by name, and for which requests, chats and lines |
//! | `truth`, `ledger` | what really happened: the answer key for tests, which the API never shows |
//! | `http` | real sockets around it, and the control paths for humans |
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
mod ledger;
mod lies;
mod message;
mod page;
pub mod scenario;
mod seasons;
pub mod setup;
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

pub use answer::{Endpoint, Reply, Request, Seen, Wire};
pub use deliveries::{
    Answers, DELIVERY_FAULTS, Manner, SECRET as WEBHOOK_SECRET, Target, deliver, switch_on,
};
pub use events::{Delivery, EventFaults, Events};
pub use fault::{FaultKind, faults};
pub use http::{Clock, serve};
pub use ledger::{Position, Talk, Told, What};
pub use scenario::{Scenario, all, scenario};
pub use setup::{Campaign, Conversations, Knobs, Setup, Shares, Upheavals};
pub use truth::{Brief, Entry, Summary, Terminal, Truth};
pub use tuning::{Chats, Setting, Tuning};
pub use world::World;

/// The path under which the API answers; everything outside it belongs to the control paths.
pub const BASE_PATH: &str = "/v2/api";

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
