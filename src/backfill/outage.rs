//! How long an API that does not answer is waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Failure;
use crate::api::ApiError;

/// Without a usable answer for so long, the run ends; it can be taken up later.
const LONGEST_OUTAGE: Duration = Duration::from_secs(15 * 60);
/// Longest wait between two requests during an outage.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The failures of an account's API since its last answer.
pub struct Outage {
    account: String,
    failures: u32,
    answered_at: Instant,
}

impl Outage {
    /// Begins with now in place of an answer.
    pub fn new(account: &str) -> Outage {
        Outage { account: account.to_owned(), failures: 0, answered_at: Instant::now() }
    }

    /// Records an answer of the API, which ends an outage.
    pub fn answered(&mut self) {
        (self.failures, self.answered_at) = (0, Instant::now());
    }

    /// Waits after a failure that may pass.
    ///
    /// # Errors
    /// When nothing was answered for too long.
    pub async fn bear(&mut self, error: &ApiError) -> Result<(), Failure> {
        let since = self.answered_at.elapsed();
        if since >= LONGEST_OUTAGE {
            return Err(Failure(format!(
                "account {}: no answer for {}: {error}; {}, then run the same command again to go on",
                self.account,
                humantime::format_duration(Duration::from_secs(since.as_secs())),
                error.advice()
            )));
        }
        if self.failures == 0 {
            tracing::warn!(account = self.account, error = %error, "API requests failing");
        }
        let wait = Duration::from_secs(1 << self.failures.min(6)).min(LONGEST_WAIT);
        self.failures += 1;
        sleep(wait).await;
        Ok(())
    }
}
