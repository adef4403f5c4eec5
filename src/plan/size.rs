//! What an account takes of memory, of the disk and of Prometheus.

use super::Account;
use crate::collect::Options;
use crate::domain::{Ledger, Restored, View};
use crate::metrics::exposition::About;
use crate::metrics::{MetricsPage, Registry, Slot, Syntax};

/// Resident memory of a process with an empty state, and memory per chat, per message with an end, and each
/// open one, bytes. `cargo bench --bench growth` measures the memory of each; the empty process is an estimate.
const IDLE: f64 = 9.0 * 1024.0 * 1024.0;
const CHAT: f64 = 420.0;
const ENDED: f64 = 90.0;
const OPEN: f64 = 270.0;
/// The same in the state file, of which the empty one is an estimate.
const STATE_IDLE: f64 = 100.0 * 1024.0;
const STATE_CHAT: f64 = 135.0;
const STATE_MESSAGE: f64 = 98.0;

/// Predicted sizes of what the exporter holds for an account.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Size {
    /// Messages held: open ones, and those that must not be counted again.
    pub tracked_messages: f64,
    /// Resident memory of the process, bytes.
    pub memory_bytes: f64,
    /// The state file, bytes.
    pub state_bytes: f64,
    /// Series on the page.
    pub series: u64,
}

impl Size {
    pub(super) fn of(account: &Account, options: &Options, open: f64) -> Size {
        let held = options.horizon.max(options.retention + options.audit_interval).as_secs_f64();
        let tracked = (account.messages_per_second * held).max(open);
        let chats = account.chats as f64;
        Size {
            tracked_messages: tracked,
            memory_bytes: IDLE + chats * CHAT + (tracked - open) * ENDED + open * OPEN,
            state_bytes: STATE_IDLE + chats * STATE_CHAT + tracked * STATE_MESSAGE,
            series: series(account.lines, options),
        }
    }
}

/// Series of a page with so many lines, before anything unusual is counted: those of the page itself.
fn series(lines: u64, options: &Options) -> u64 {
    let mut ledger = Ledger::new(options.policy(), Restored::default());
    for line in 0..lines {
        ledger.line(Some(&format!("+1{line:010}")));
    }
    let (registry, slot) = (Registry::default(), Slot::default());
    registry.change(|display| display.slots = vec![slot.clone()]);
    slot.publish(View { snapshot: ledger.snapshot(0), ..View::default() });
    let page = MetricsPage::new(registry, About { version: "", revision: "", rustc: "" });
    let Ok(text) = page.encode(Syntax::Text, 0, None) else { return 0 };
    String::from_utf8_lossy(&text).lines().filter(|line| !line.starts_with('#')).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::options;

    #[test]
    fn every_line_adds_the_same_series_up_to_the_limit_of_lines() {
        let of = |lines| series(lines, &options());
        let each = of(2) - of(1);
        assert!(each > 50, "{each}");
        assert_eq!(of(10), of(1) + 9 * each);
        assert!(of(1_000) < 110 * (each + 1), "lines are bounded");
    }
}
