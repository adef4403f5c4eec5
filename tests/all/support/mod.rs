//! What the tests share: starting the program, asking it, reading its page.

pub(crate) mod child;
pub(crate) mod harness;
#[allow(dead_code, reason = "shared with benches/load.rs")]
pub(crate) mod load;
