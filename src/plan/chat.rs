//! What one chat asks of the collector: a life of it, drawn at random and driven by the scheduler's own rules.
//!
//! As long as the budget suffices, chats do not influence each other, so that an account is the sum of its chats.

use std::time::Duration;

use crate::collect::recheck::{self, Candidate, Facts};
use crate::collect::{Options, millis};
use crate::domain::{MessageId, Protocol, Status};

/// Outbound messages, as a share of all.
pub const OUTBOUND_SHARE: f64 = 0.6;
/// SMS that never get a receipt, as a share of outbound SMS.
pub const SILENT_SHARE: f64 = 0.9;
/// iMessages whose receipt takes long, because the phone is off, as a share of outbound iMessages.
const SLOW_SHARE: f64 = 0.03;
/// Longest time until a message is handed over, until its receipt, and until a slow receipt, ms.
const HANDED_OVER_WITHIN: f64 = 4_000.0;
const RECEIPT_WITHIN: f64 = 8_000.0;
const SLOW_RECEIPT_WITHIN: f64 = 7_200_000.0;
/// Messages within the horizon above which re-checks grow in proportion: each of them covers a full page.
const MOST_MESSAGES: f64 = 4_000.0;
/// Shortest interval that is played: what shorter ones cost differs little, and is bounded by the budget.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Most audits of one life that are played; more cost in proportion.
const MOST_AUDITS: u32 = 1_000;
/// Messages that are drawn for one kind of chat, so that chance is small; and most lives that are drawn for it.
const ENOUGH_MESSAGES: f64 = 400.0;
const MOST_LIVES: f64 = 200.0;

/// What a chat costs per second, on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Re-checks of open messages, in requests per second.
    pub rechecks: f64,
    /// Deep reads that nothing else asked for, and those that took the place of a read.
    pub audits: f64,
    /// Of the audits, those that took the place of a read.
    pub audits_as_reads: f64,
    /// Open messages at a time.
    pub open: f64,
}

/// What a chat that gets `rate` messages per second costs.
pub fn cost(rate: f64, sms_share: f64, options: &Options, rng: &mut fastrand::Rng) -> Cost {
    let exact = options.audit_interval;
    let options = &Options {
        interval: options.interval.max(SHORTEST_INTERVAL),
        horizon: options.horizon.max(SHORTEST_INTERVAL),
        audit_interval: exact.max(SHORTEST_INTERVAL).max(options.horizon / MOST_AUDITS),
        ..options.clone()
    };
    let more_audits = options.audit_interval.as_secs_f64() / exact.as_secs_f64();
    let horizon = options.horizon.as_secs_f64();
    let factor = (rate * horizon / MOST_MESSAGES).max(1.0);
    let drawn = rate / factor;
    let measured = options.horizon.max(options.audit_interval);
    let lives = (ENOUGH_MESSAGES / (drawn * measured.as_secs_f64())).ceil().clamp(1.0, MOST_LIVES);
    let mut sum = Cost::default();
    for _ in 0..lives as usize {
        let mut life = Life::new(drawn, sms_share, options, rng);
        let from = millis(options.horizon);
        let until = from.saturating_add(millis(measured));
        let cost = life.run(from, until);
        sum.rechecks += cost.rechecks * factor / lives;
        sum.audits += cost.audits * more_audits / lives;
        sum.audits_as_reads += cost.audits_as_reads / lives;
        sum.open += cost.open * factor / lives;
    }
    sum
}

/// An outbound message without an end, as far as the collector has seen it.
struct Open {
    id: MessageId,
    sent_at: i64,
    handed_over_at: i64,
    ends_at: i64,
    protocol: Protocol,
    status: Status,
    /// When it is due; `None` before it was seen.
    due: Option<i64>,
}

struct Life<'a> {
    options: &'a Options,
    rng: &'a mut fastrand::Rng,
    rate_per_ms: f64,
    sms_share: f64,
    open: Vec<Open>,
    drawn: u128,
    newest: i64,
    cursor: i64,
    audited_at: i64,
    next_message: i64,
    next_read: i64,
    next_recheck: i64,
    next_audit: i64,
}

impl<'a> Life<'a> {
    fn new(rate: f64, sms_share: f64, options: &'a Options, rng: &'a mut fastrand::Rng) -> Life<'a> {
        let audited_at = -(rng.f64() * millis(options.audit_interval) as f64) as i64;
        let mut life = Life {
            options,
            rng,
            rate_per_ms: rate / 1_000.0,
            sms_share,
            open: Vec::new(),
            drawn: 0,
            newest: i64::MIN / 4,
            cursor: 0,
            audited_at,
            next_message: 0,
            next_read: i64::MAX,
            next_recheck: i64::MAX,
            next_audit: audited_at + millis(options.audit_interval),
        };
        life.next_message = life.pause();
        life
    }

    fn pause(&mut self) -> i64 {
        (-(1.0 - self.rng.f64()).ln() / self.rate_per_ms).min(1e15) as i64 + 1
    }

    /// Lives until `until`, and counts what happens after `from`.
    fn run(&mut self, from: i64, until: i64) -> Cost {
        let (mut cost, mut now, mut open_ms) = (Cost::default(), 0, 0.0);
        loop {
            let next = self.next_message.min(self.next_read).min(self.next_recheck).min(self.next_audit);
            let (begins, ends) = (now.max(from), next.min(until));
            open_ms += self.open.len() as f64 * (ends - begins).max(0) as f64;
            if next >= until {
                break;
            }
            now = next;
            let counts = f64::from(u8::from(now >= from));
            if now == self.next_message {
                self.arrive(now);
            } else if now == self.next_read {
                let deep = now - self.audited_at >= millis(self.options.audit_interval);
                self.read(now, deep);
                cost.audits += counts * f64::from(u8::from(deep));
                cost.audits_as_reads += counts * f64::from(u8::from(deep));
            } else if now == self.next_recheck {
                cost.rechecks += counts * f64::from(u8::from(self.recheck(now)));
            } else if self.is_countable(now) {
                self.read(now, true);
                cost.audits += counts;
            } else {
                self.next_audit = i64::MAX;
            }
        }
        let seconds = (until - from).max(1) as f64 / 1_000.0;
        cost.rechecks /= seconds;
        cost.audits /= seconds;
        cost.audits_as_reads /= seconds;
        cost.open = open_ms / 1_000.0 / seconds;
        cost
    }

    fn arrive(&mut self, now: i64) {
        self.newest = now;
        self.next_message = now + self.pause();
        let interval = millis(self.options.interval).max(1);
        // The next sweep, at a fixed phase: any is as good as another.
        self.next_read = self.next_read.min((now / interval + 1).saturating_mul(interval));
        if self.rng.f64() < OUTBOUND_SHARE {
            self.drawn += 1;
            let is_sms = self.rng.f64() < self.sms_share;
            let handed_over_at = now + (self.rng.f64() * HANDED_OVER_WITHIN) as i64;
            let share = self.rng.f64();
            let within = match (is_sms, self.rng.f64()) {
                (true, silent) if silent < SILENT_SHARE => f64::INFINITY,
                (false, slow) if slow < SLOW_SHARE => SLOW_RECEIPT_WITHIN,
                _ => RECEIPT_WITHIN,
            };
            let ends_at = match within.is_finite() {
                true => handed_over_at + (within * share) as i64,
                false => i64::MAX,
            };
            let protocol = if is_sms { Protocol::Sms } else { Protocol::Imessage };
            let (id, status) = (MessageId(self.drawn), Status::Queued);
            self.open.push(Open { id, sent_at: now, handed_over_at, ends_at, protocol, status, due: None });
        }
    }

    /// Whether the floor, which follows the oldest audit at the end of each full listing, lies below the newest message.
    fn is_countable(&self, now: i64) -> bool {
        let Options { retention, audit_interval, full_interval, .. } = self.options;
        self.newest > now - millis(*retention + *audit_interval + *full_interval)
    }

    fn read(&mut self, now: i64, deep: bool) {
        let since = if deep { i64::MIN } else { self.cursor - millis(self.options.lookback) };
        self.cursor = self.newest;
        self.next_read = i64::MAX;
        if deep {
            self.audited_at = now;
        }
        self.next_audit = self.audited_at + millis(self.options.audit_interval);
        self.observe(now, since, i64::MAX);
    }

    /// Whether anything was asked for: a message that is due may have been read meanwhile.
    fn recheck(&mut self, now: i64) -> bool {
        let seen = self.open.iter().filter_map(|open| Some((open, open.due?)));
        let candidates: Vec<Candidate> = seen
            .map(|(open, due)| {
                let urgent = recheck::is_urgent(open.status);
                Candidate { id: open.id, sent_at: open.sent_at, due, urgent }
            })
            .collect();
        let chosen = recheck::choose(&candidates, now);
        let (Some((_, first)), Some((_, last))) = (chosen.first(), chosen.last()) else { return false };
        self.observe(now, *first, *last);
        true
    }

    /// The API shows what was sent from `first` to `last`.
    fn observe(&mut self, now: i64, first: i64, last: i64) {
        let (interval, horizon) = (millis(self.options.interval), millis(self.options.horizon));
        self.open.retain_mut(|open| {
            if open.sent_at < first || open.sent_at > last {
                return true;
            }
            let age = now - open.sent_at;
            if open.ends_at <= now || age >= horizon {
                return false;
            }
            open.status = if now < open.handed_over_at { Status::Queued } else { Status::Sent };
            let (status, protocol) = (open.status, open.protocol);
            let facts = Facts { age, status, protocol, is_silent: false, is_announced: false };
            open.due = Some(now + recheck::wait(&facts, interval, horizon));
            true
        });
        self.next_recheck = self.open.iter().filter_map(|open| open.due).min().unwrap_or(i64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::options;

    #[test]
    fn a_lonely_text_message_costs_what_its_schedule_says() {
        let options = options();
        // So few messages that seldom two of them are open in one chat.
        let rate = 1.0 / options.horizon.as_secs_f64();
        let mut rng = fastrand::Rng::with_seed(1);
        let cost = cost(rate, 1.0, &options, &mut rng);
        let silent = rate * OUTBOUND_SHARE * SILENT_SHARE;
        let (mut age, mut asked) = (0, 0.0);
        while age < millis(options.horizon) {
            let facts = Facts {
                age,
                status: Status::Sent,
                protocol: Protocol::Sms,
                is_silent: false,
                is_announced: false,
            };
            age += recheck::wait(&facts, millis(options.interval), millis(options.horizon));
            asked += 1.0;
        }
        let each = cost.rechecks / silent;
        assert!((asked - 3.0..asked + 1.0).contains(&each), "{each} of at most {asked} requests");
        let open = silent * options.horizon.as_secs_f64();
        assert!((cost.open / open - 1.0).abs() < 0.3, "{} open, expected {open}", cost.open);
    }

    #[test]
    fn messages_of_one_chat_share_their_rechecks() {
        let options = options();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut per_message = |rate: f64| cost(rate, 0.3, &options, &mut rng).rechecks / rate;
        let (seldom, often) = (per_message(1e-5), per_message(1e-2));
        assert!(often < seldom / 2.0, "{often} against {seldom}");
    }

    #[test]
    fn a_chat_is_audited_once_per_interval() {
        let options = Options { audit_interval: Duration::from_secs(3_600), ..options() };
        let mut rng = fastrand::Rng::with_seed(1);
        let cost = cost(1e-3, 0.3, &options, &mut rng);
        assert!((0.95..=1.01).contains(&(cost.audits * 3_600.0)), "{}", cost.audits * 3_600.0);
    }
}
