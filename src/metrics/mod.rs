//! The page: names, help and labels of every family, and how views become text.
//!
//! Here belongs everything that a reader of `/metrics` sees. Here does not belong: counting. Nothing reads
//! a metric back to decide something.

pub mod catalogue;
pub mod exposition;
mod page;
pub mod process;
pub mod reference;
pub mod registry;
mod writer;

pub use page::MetricsPage;
pub use registry::{Registry, RetiredTotals, Slot};
pub use writer::Syntax;
