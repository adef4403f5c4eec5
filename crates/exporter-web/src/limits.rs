//! Every fixed limit of the web server. Those that a caller may set are in [`WebOptions`](super::WebOptions).

use std::time::Duration;

/// Requests whose passwords may wait for bcrypt at a time. Each costs 0.06 s at cost 10 and a second at 14.
pub const MAX_WAITING: usize = 256;
/// Networks of which it is known how often they have asked for a verdict.
pub const MAX_NETWORKS: usize = 4096;
/// Verdicts on passwords that are remembered, right and wrong ones each.
pub const MAX_REMEMBERED: usize = 128;
/// Highest cost of a bcrypt hash that is accepted: about a second of one core for each password not seen before.
pub const MAX_COST: u32 = 14;
/// Largest web configuration file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;
/// Largest file of certificates or keys that is read, in bytes.
pub const MAX_PEM_BYTES: u64 = 1 << 20;
/// Most certificates of one file that are read. Each is a series of the metrics page.
pub const MAX_CERTIFICATES: usize = 100;
/// A reading of the files that takes longer is reported. It is still the only one.
pub const SLOW_READING: Duration = Duration::from_secs(5);
