//! The page: names, help and labels of every family, and how views become text.
//!
//! Here belongs everything that a reader of `/metrics` sees. Here does not belong: counting. Nothing reads
//! a metric back to decide something.

pub mod board;
pub mod catalogue;
pub mod exposition;
mod page;
pub mod process;
pub mod reference;
mod writer;

pub use board::{Board, RetiredTotals, Slot};
pub use page::Page;
pub use writer::Syntax;
