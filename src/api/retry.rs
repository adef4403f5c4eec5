//! When a failed request is sent again. Pure: facts and `now` are arguments.

use std::time::{Duration, SystemTime};

use super::error::{ApiError, Fault};

/// Longest pause that a server can impose. Beyond it the number is taken for a mistake.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Pause after a 429 that names none.
pub const DEFAULT_PAUSE: Duration = Duration::from_secs(5);
/// The longest one after several in a row: counting goes on within two minutes of the end of whatever caused them.
pub const LONGEST_DEFAULT_PAUSE: Duration = Duration::from_secs(60);

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again after this delay.
    Again(Duration),
    /// Leave it; the caller's own schedule decides.
    Leave,
}

/// Decides over one more attempt. `attempt` counts from 1, of `attempts` that the caller allows.
pub fn verdict(fault: Fault, attempt: u32, attempts: u32) -> Verdict {
    if attempt >= attempts || !fault.is_retryable() {
        return Verdict::Leave;
    }
    match fault {
        // A cause about sending does not go away by asking again.
        Fault::RateLimited { coded: true } => Verdict::Leave,
        // The pause of all requests is the delay.
        Fault::RateLimited { coded: false } => Verdict::Again(Duration::ZERO),
        // A connection that idled too long dies on its next use; a fresh one is worth an immediate try.
        Fault::Connection(_) if attempt == 1 => Verdict::Again(Duration::ZERO),
        _ => Verdict::Again(Duration::from_secs(1 << (2 * (attempt - 1)).min(6))),
    }
}

/// How long all requests of the account pause after a failure. `in_a_row` counts the 429s since the last answer.
/// Retry-After is defined for 503 too, and costs nothing to heed on any status.
pub fn pause_after(error: &ApiError, in_a_row: u32) -> Duration {
    match error.fault {
        Fault::RateLimited { coded } => pause(coded, error.retry_after, in_a_row),
        _ => error.retry_after.map_or(Duration::ZERO, |asked| asked.min(LONGEST_PAUSE)),
    }
}

/// How long all requests of the account pause after a 429. `in_a_row` counts the 429s since the last answer.
/// A cause about sending pauses reading only when the server says for how long.
pub fn pause(coded: bool, retry_after: Option<Duration>, in_a_row: u32) -> Duration {
    match retry_after {
        Some(asked) => asked.min(LONGEST_PAUSE),
        None if coded => Duration::ZERO,
        None => (DEFAULT_PAUSE * 2u32.pow(in_a_row.saturating_sub(1).min(4))).min(LONGEST_DEFAULT_PAUSE),
    }
}

/// Reads `Retry-After`: seconds, or an HTTP date. Absurd values (negative, not a number, in the past) are
/// as good as none.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).ok()?
    };
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::super::error::ConnectionFault;
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_absurd_values_are_none() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").unwrap();
        let seconds = |value| parse_retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("5"), Some(5));
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("Sat, 21 Nov 2026 10:01:00 GMT"), Some(60));
        assert_eq!(seconds("999999999999999999999999"), Some(u64::MAX));
        for absurd in ["", "0", "-1", "soon", "1.5", "Sat, 21 Nov 2026 09:00:00 GMT", "NaN"] {
            assert_eq!(seconds(absurd), None, "{absurd}");
        }
        assert_eq!(pause(false, Some(Duration::from_secs(u64::MAX)), 1), LONGEST_PAUSE);
    }

    #[test]
    fn pauses_without_a_hint_grow_and_stay_bounded() {
        let pauses: Vec<u64> = (1..10).map(|n| pause(false, None, n).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
        assert_eq!(pause(true, None, 3), Duration::ZERO);
    }

    #[test]
    fn only_what_may_succeed_later_is_sent_again() {
        let again = |fault| matches!(verdict(fault, 1, 3), Verdict::Again(_));
        assert!(
            again(Fault::Status(503))
                && again(Fault::Timeout)
                && again(Fault::Connection(ConnectionFault::Closed))
        );
        assert!(!again(Fault::Status(401)) && !again(Fault::Status(404)) && !again(Fault::Status(302)));
        assert!(!again(Fault::RateLimited { coded: true }));
        assert_eq!(verdict(Fault::Timeout, 3, 3), Verdict::Leave);
    }
}
