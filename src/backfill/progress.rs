//! How far a run is: a bar on a terminal, a log line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// Between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(250);
/// Between two log lines.
const LOG: Duration = Duration::from_secs(30);
/// Characters of the bar itself.
const WIDTH: u64 = 20;
/// Moves to the beginning of the terminal's line and clears it.
const CLEAR: &str = "\r\u{1b}[K";

/// How far one account is.
#[derive(Debug)]
struct Account {
    budget: f64,
    expected: AtomicU64,
    chats: AtomicU64,
    requests: AtomicU64,
    requests_before: AtomicU64,
}

/// How far a run is.
#[derive(Debug)]
pub struct Progress {
    accounts: Vec<Account>,
    messages: AtomicU64,
}

/// The figures that a line of progress shows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Figures {
    chats: u64,
    expected: u64,
    messages: u64,
    requests_left: u64,
    seconds_left: u64,
}

impl Progress {
    /// The beginning of a run over accounts with these budgets.
    pub fn new(budgets: impl IntoIterator<Item = f64>) -> Progress {
        let account = |budget| Account {
            budget,
            expected: AtomicU64::new(0),
            chats: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            requests_before: AtomicU64::new(0),
        };
        Progress { accounts: budgets.into_iter().map(account).collect(), messages: AtomicU64::new(0) }
    }

    /// So many more chats of an account are to be read.
    pub fn expect(&self, account: usize, chats: u64) {
        let account = &self.accounts[account];
        account.expected.fetch_add(chats, Ordering::Relaxed);
        account.requests_before.store(account.requests.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// A chat was read, or given up.
    pub fn chat(&self, account: usize) {
        self.accounts[account].chats.fetch_add(1, Ordering::Relaxed);
    }

    /// So many messages are counted of a chat, in place of so many before.
    pub fn messages(&self, before: u64, now: u64) {
        self.messages.fetch_add(now, Ordering::Relaxed);
        self.messages.fetch_sub(before, Ordering::Relaxed);
    }

    /// So many requests of an account were sent so far.
    pub fn answered(&self, account: usize, requests: u64) {
        self.accounts[account].requests.store(requests, Ordering::Relaxed);
    }

    fn figures(&self) -> Figures {
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let messages = of(&self.messages);
        let mut figures = Figures { chats: 0, expected: 0, messages, requests_left: 0, seconds_left: 0 };
        for account in &self.accounts {
            let (chats, expected) = (of(&account.chats), of(&account.expected));
            let requests = of(&account.requests).saturating_sub(of(&account.requests_before));
            let each = (requests as f64 / chats.max(1) as f64).max(1.0);
            let left = (expected.saturating_sub(chats) as f64 * each).ceil();
            figures.chats += chats;
            figures.expected += expected;
            figures.requests_left += left as u64;
            // Accounts are read at the same time.
            figures.seconds_left = figures.seconds_left.max((left / account.budget).ceil() as u64);
        }
        figures
    }

    /// Shows it until it is dropped.
    pub async fn show(&self) {
        let is_terminal = io::stderr().is_terminal();
        let _cleared = Cleared(is_terminal);
        loop {
            sleep(if is_terminal { REDRAW } else { LOG }).await;
            let figures = self.figures();
            if is_terminal {
                // The log goes to the same place and may have left something on the line.
                let _ = write!(io::stderr(), "{CLEAR}{}", figures.bar());
                let _ = io::stderr().flush();
            } else {
                let Figures { chats, expected, messages, requests_left, seconds_left } = figures;
                tracing::info!(chats, expected, messages, requests_left, seconds_left, "reading history");
            }
        }
    }
}

/// Takes the bar off the terminal when it is dropped.
struct Cleared(bool);

impl Drop for Cleared {
    fn drop(&mut self) {
        if self.0 {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

impl Figures {
    fn bar(&self) -> String {
        if self.expected == 0 {
            return String::from("listing chats");
        }
        let full = (self.chats.min(self.expected) * WIDTH / self.expected) as usize;
        let mut bar = format!("[{}{}] ", "#".repeat(full), "-".repeat(WIDTH as usize - full));
        let left = humantime::format_duration(Duration::from_secs(self.seconds_left));
        let _ = write!(
            bar,
            "{}/{} chats, {} messages, {} requests, {left} left",
            self.chats, self.expected, self.messages, self.requests_left
        );
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_each_chat_took_and_the_slower_account_decides() {
        let progress = Progress::new([1.0, 0.5]);
        assert_eq!(progress.figures().bar(), "listing chats");
        progress.answered(0, 10);
        progress.expect(0, 100);
        progress.expect(1, 10);
        for _ in 0..50 {
            progress.chat(0);
        }
        progress.answered(0, 110);
        progress.messages(0, 900);
        progress.messages(100, 120);
        let figures = progress.figures();
        assert_eq!((figures.chats, figures.expected, figures.messages), (50, 110, 920));
        assert_eq!((figures.requests_left, figures.seconds_left), (110, 100));
        let bar = "[#########-----------] 50/110 chats, 920 messages, 110 requests, 1m 40s left";
        assert_eq!(figures.bar(), bar);
    }
}
