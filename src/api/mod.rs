//! The Blooio client: a request is data, becomes bytes on the wire, and comes back decoded.
//!
//! Here belong the v2 API's paths, JSON fields and oddities, how often a request may be sent and when it
//! is sent again. Here do not belong: what an answer means for the counts, and anything private: message
//! texts, names, attachments and reactions are not declared, so they are never held.
//!
//! The file `http.rs` is the only one that names reqwest. Facts about the API carry their source:
//! "reference" is Blooio's own documentation; what is inferred says so.

pub mod attempt;
pub mod budget;
pub mod client;
pub mod decode;
pub mod endpoint;
pub mod error;
pub mod http;
mod reason;
pub mod retry;
mod wire;

pub use attempt::{Attempt, Rows, attempt};
pub use client::{ATTEMPTS, Answer, Client, Options};
pub use decode::{ChatRow, MessageRow, NumberRow, Page};
pub use endpoint::{ChatId, MessageRef, PAGE_LIMIT, Request};
pub use error::{ApiError, ConnectionFault, Fault};
pub use http::{HttpOptions, HttpTransport, Reply, Transport};
