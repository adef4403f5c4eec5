//! What an answer changes: the one place where the failures of requests are handled.

use std::collections::BTreeMap;
use std::time::Duration;

use super::task::{Attempted, Task, Ticket};
use super::{Engine, Note, Now, Recurring};
use crate::api::endpoint::{PAGE_LIMIT, smaller_page};
use crate::api::retry::{self, Verdict};
use crate::api::{ATTEMPTS, ApiError, Attempt, Fault, NumberRow, Page, Rows};
use crate::collect::server_clock::{Adjustment, Sample};
use crate::collect::sweep::Sweep;
use crate::domain::{ApiEvent, ChatKey, Code, Endpoint, LineId, SweepResult};

/// Answers in a row that say that there is no list of lines, after which it is believed.
const NO_LINES: u32 = 3;
/// A smaller page is asked for at most this long before the full size is tried again: what rejected it may have ended.
const SMALLER_FOR: Duration = Duration::from_secs(600);
/// Longest wait for the next list while the key is rejected: a human has to act, or an outage answers like this, and counting
/// goes on within two minutes of the end of either.
pub const LONGEST_REJECTED: Duration = Duration::from_secs(90);

/// The times of an attempt, by the clock of this engine.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When it was sent.
    pub sent: Duration,
    /// When the attempt ended, since the engine's start.
    pub received: Duration,
}

impl Engine {
    /// Takes the answer to a request.
    pub fn absorb(&mut self, ticket: Ticket, attempt: Attempt, timing: Timing, now: Now) {
        let Some(Attempted { task, attempt: number }) = self.in_flight.end(ticket) else { return };
        let asked_at = self.learn_time(&attempt, timing);
        let (work, seconds) = (task.work(), attempt.seconds());
        let endpoint = match &task {
            Task::Lines => Endpoint::ListNumbers,
            Task::Webhooks => Endpoint::ListWebhooks,
            Task::Sweep(_) | Task::Listing => Endpoint::ListChats,
            Task::Probe { .. } => Endpoint::GetBackground,
            Task::Read { .. } => Endpoint::ListMessages,
            Task::Recheck(recheck) if recheck.asks_for_one() => Endpoint::GetMessage,
            Task::Recheck(_) => Endpoint::ListMessages,
            Task::Confirm(_) => Endpoint::GetChat,
        };
        let fault = attempt.result.as_ref().err().map(|error| error.fault);
        let code = fault.map_or(Code::Status(200), Fault::code);
        self.ledger.record_api(ApiEvent::Attempted { endpoint, work, code, seconds });
        if matches!(task, Task::Sweep(_)) {
            self.list_fails = attempt.result.is_err();
        }
        match attempt.result {
            Ok(rows) => {
                self.answers += 1;
                if let Some(chat) = task.messages_of() {
                    self.limited_chats.remove(&(chat, endpoint));
                }
                (self.limited_in_a_row, self.failures_in_a_row) = (0, 0);
                if matches!(task, Task::Sweep(_) | Task::Listing | Task::Read { .. }) {
                    self.accepted_limit = self.page_limit;
                }
                if endpoint != Endpoint::GetBackground {
                    self.notes.push(Note::Succeeded(endpoint));
                }
                self.succeeded(task, rows, asked_at, seconds, now);
            }
            Err(mut error) => {
                if task.messages_of().is_some_and(|chat| self.limits_one(chat, endpoint, &error)) {
                    error.fault = Fault::Status(429);
                }
                self.heed(&task, &error, now.mono);
                let again = attempt.key_changed && number == 1;
                match self.again(&task, &error, number, now.mono) {
                    _ if again => self.waiting.go_on(Attempted { task, attempt: number + 1 }),
                    Some(delay) => {
                        let attempted = Attempted { task, attempt: number + 1 };
                        self.waiting.delay(attempted, now.mono + delay);
                    }
                    None => {
                        if error.fault == Fault::Status(400) {
                            // Whatever was rejected, it was not the size of the page.
                            self.page_limit = self.accepted_limit;
                        }
                        self.failed(task, &error, seconds, now);
                    }
                }
            }
        }
    }

    /// Learns the server's time. Returns that at which the request was sent: rather early than late, because watermarks
    /// follow it.
    fn learn_time(&mut self, attempt: &Attempt, timing: Timing) -> Option<i64> {
        let Timing { sent, received } = timing;
        // No answer says nothing of the time, not even that the server has no `Date`; nor does an error without one, which
        // something in front of the server may have written.
        let answered = match &attempt.result {
            Ok(_) => true,
            Err(error) => {
                attempt.date.is_some()
                    && matches!(error.fault, Fault::Status(_) | Fault::RateLimited { .. } | Fault::Body(_))
            }
        };
        if !answered {
            return self.clock.cautious_at(sent);
        }
        match self.clock.record(Sample { date: attempt.date, sent, received, host: attempt.host }) {
            Some(Adjustment::Doubted(by)) => self.notes.push(Note::ClockDoubted(by)),
            Some(Adjustment::Moved(by)) => self.notes.push(Note::ClockMoved(by)),
            Some(Adjustment::Set) | None => {}
        }
        self.ledger.set_settled(self.clock.is_settled(received));
        let known = self.clock.cautious_at(sent)?;
        let elapsed = received.saturating_sub(sent).as_millis() as i64;
        let dated = attempt.date.map(|date| date - elapsed).filter(|dated| (known - dated).abs() < 5_000);
        Some(dated.map_or(known, |dated| known.min(dated)))
    }

    /// Whether a rate limit is only about this chat, or one kind of request to it: it answered like this before, and other requests
    /// were answered since. The first one cannot be told from a limit of the whole account.
    fn limits_one(&mut self, chat: ChatKey, endpoint: Endpoint, error: &ApiError) -> bool {
        let limited = (chat, endpoint);
        error.is_rate_limit()
            && self.limited_chats.insert(limited, self.answers).is_some_and(|before| before < self.answers)
    }

    /// A pause that the API asks for, and failures that say something of the whole API.
    fn heed(&mut self, task: &Task, error: &ApiError, now: Duration) {
        let is_limit = error.is_rate_limit();
        // A pause that a probe, the lines or the webhooks are answered with is theirs: the messages are told themselves when they
        // have to wait. Other statuses than 429 speak of what was asked for, and only the list stands for everything.
        let is_for_all = match error.endpoint {
            Endpoint::GetBackground | Endpoint::ListNumbers | Endpoint::ListWebhooks => false,
            Endpoint::ListChats => true,
            _ => is_limit,
        };
        if is_for_all {
            self.limited_in_a_row += u32::from(error.fault == Fault::RateLimited { coded: false });
            let pause = retry::pause_after(error, self.limited_in_a_row);
            if !pause.is_zero() {
                self.budget.pause(now + pause);
            }
        }
        let is_device = error.endpoint == Endpoint::GetBackground;
        // While the list is answered, what fails is a chat, however many do: each waits for itself, and the others are read.
        let is_of_chat = task.messages_of().is_some() && !self.list_fails;
        let is_general = error.fault.is_retryable() && !is_limit && !is_of_chat;
        if is_general && !is_device {
            self.failures_in_a_row += 1;
        }
    }

    /// After which delay the same request is sent again, if asking again can help.
    fn again(&mut self, task: &Task, error: &ApiError, number: u32, now: Duration) -> Option<Duration> {
        if matches!(task, Task::Probe { .. } | Task::Confirm(_) | Task::Webhooks) {
            return None;
        }
        let is_list = matches!(task, Task::Sweep(_) | Task::Listing | Task::Read { .. });
        if error.fault == Fault::Status(400) && is_list && self.lower_page_limit(now) {
            return Some(Duration::ZERO);
        }
        // A sweep that waits for a rate limit would be silent for up to 15 minutes; a failed one is shown. The lines have a
        // schedule of their own, and nothing else pauses for them. A chat that is read later leaves others the time to show that the limit is only its own.
        if error.is_rate_limit()
            && (matches!(task, Task::Sweep(_) | Task::Lines) || task.messages_of().is_some())
        {
            return None;
        }
        // While everything fails, asking three times each only delays finding out that it does not any more; and while more
        // hangs than there are slots, it only adds to what hangs.
        let is_vain = self.failures_in_a_row > 2 * ATTEMPTS || self.in_flight.stalled() >= self.parallel();
        let attempts = if is_vain { 1 } else { ATTEMPTS };
        match retry::verdict(error.fault, number, attempts) {
            Verdict::Again(delay) => Some(delay),
            Verdict::Leave => None,
        }
    }

    /// Whether there is a smaller page to ask for: the one that was answered last, or else the next size.
    fn lower_page_limit(&mut self, now: Duration) -> bool {
        let accepted = Some(self.accepted_limit).filter(|accepted| *accepted < self.page_limit);
        let Some(smaller) = accepted.or(smaller_page(self.page_limit)) else { return false };
        (self.page_limit, self.page_limit_since) = (smaller, now);
        self.notes.push(Note::PageLimit(smaller));
        true
    }

    /// Asks for pages of the full size again, from time to time.
    pub(super) fn raise_page_limit(&mut self, now: Duration) {
        if now.saturating_sub(self.page_limit_since) >= SMALLER_FOR {
            self.page_limit = PAGE_LIMIT;
        }
    }

    fn succeeded(&mut self, task: Task, rows: Rows, asked_at: Option<i64>, seconds: f64, now: Now) {
        match (task, rows) {
            (Task::Lines, Rows::Numbers(page)) => self.lines_answered(&page, now),
            (Task::Webhooks, Rows::Webhooks(page)) => self.webhooks_answered(page, now),
            (Task::Sweep(sweep), Rows::Chats(page)) => self.sweep_answered(sweep, &page, asked_at, now),
            (Task::Listing, Rows::Chats(page)) => self.listing_answered(&page, asked_at, now),
            (Task::Confirm(chat), Rows::Chats(page)) => self.confirm_answered(chat, &page, now),
            (Task::Read { read, work }, Rows::Messages(page)) => self.read_answered(read, work, &page, now),
            (Task::Recheck(recheck), Rows::Messages(page)) => self.recheck_answered(recheck, &page, now),
            (Task::Probe { line, chat }, Rows::Background) => {
                self.unfit_for_probes.remove(&chat);
                self.probe_ended(line, Code::Status(200), seconds, now);
                let number = self.ledger.line_name(line).to_owned();
                self.notes.push(Note::ProbeSucceeded(line, number));
            }
            // Rows are decoded by the request, which was made by the task.
            (task, _) => debug_assert!(false, "an answer of another kind than {task:?} asked for"),
        }
    }

    fn failed(&mut self, task: Task, error: &ApiError, seconds: f64, now: Now) {
        let is_about_one = error.is_not_found() || matches!(task, Task::Probe { .. } | Task::Webhooks);
        if !is_about_one || matches!(task, Task::Sweep(_) | Task::Listing) {
            self.notes.push(Note::Failed(*error));
        }
        match task {
            Task::Lines => self.lines_failed(error, now),
            Task::Webhooks => self.webhooks_failed(error, now),
            Task::Sweep(sweep) => self.sweep_failed(sweep, error, now),
            Task::Listing => self.listing_failed(error, now),
            Task::Confirm(chat) => self.confirm_failed(chat, error, now),
            Task::Read { read, work } => self.read_failed(read, work, error, now),
            Task::Recheck(recheck) => self.recheck_failed(&recheck, error, now),
            Task::Probe { line, chat } => self.probe_failed(line, chat, error, seconds, now),
        }
    }

    fn lines_answered(&mut self, page: &Page<NumberRow>, now: Now) {
        (self.lines_asked, self.lines_denied) = (true, 0);
        for rejection in &page.rejected {
            self.ledger.record_rejection(Endpoint::ListNumbers, *rejection);
        }
        let rows: Vec<(LineId, &NumberRow)> =
            page.rows.iter().map(|row| (self.ledger.line(Some(&row.number)), row)).collect();
        let known = rows.iter().filter(|(line, _)| *line != LineId::OVERFLOW);
        let listed = known.map(|(line, row)| (*line, (row.active, row.last_active))).collect();
        self.ledger.record_lines(&listed);
        self.lines = Recurring::Due(now.mono + self.options.lines_interval());
        self.must_publish = true;
    }

    fn lines_failed(&mut self, error: &ApiError, now: Now) {
        self.lines_asked = true;
        let mut again = self.options.interval;
        self.lines_denied = if error.is_not_found() { self.lines_denied.saturating_add(1) } else { 0 };
        if self.lines_denied == NO_LINES {
            self.ledger.record_lines(&BTreeMap::new());
            self.notes.push(Note::NoNumbers);
        }
        if self.lines_denied >= NO_LINES {
            again = again.max(self.options.lines_interval());
        }
        self.lines = Recurring::Due(now.mono + again);
    }

    fn probe_ended(&mut self, line: LineId, code: Code, seconds: f64, now: Now) {
        let server = self.server_now(now.mono).unwrap_or_else(|| self.ledger.shown_at());
        self.ledger.record_probe(line, code, seconds, server);
    }

    fn probe_failed(&mut self, line: LineId, chat: ChatKey, error: &ApiError, seconds: f64, now: Now) {
        let code = error.fault.code();
        self.probe_ended(line, code, seconds, now);
        let number = self.ledger.line_name(line).to_owned();
        self.notes.push(Note::ProbeFailed(line, number, *error));
        if matches!(code, Code::Status(400 | 404)) {
            // The chat may be gone: another one of the line serves.
            self.unfit_for_probes.insert(chat, now.mono);
            if self.probe_chat(line).is_some_and(|next| !self.unfit_for_probes.contains_key(&next)) {
                self.probes.insert(line, now.mono + self.options.interval.min(self.options.probe_interval));
            }
        }
    }

    /// The list could not be read. On its first page that is the end of the sweep; further down, what was listed is read.
    fn sweep_failed(&mut self, sweep: Sweep, error: &ApiError, now: Now) {
        let interval = self.options.interval;
        if error.is_auth() {
            let factor = 2u32.pow(self.rejected_in_a_row.min(8));
            self.rejected_in_a_row += 1;
            let longest = LONGEST_REJECTED.min(interval.saturating_mul(10)).max(interval);
            self.sweep = Recurring::Due(now.mono + interval.saturating_mul(factor).min(longest));
        } else {
            self.sweep = Recurring::Due((sweep.began + interval).max(now.mono));
        }
        if let Some(asked_at) = sweep.asked_at {
            self.sweeps.listed(asked_at, sweep.began, None);
            self.settle_sweeps(now);
            return;
        }
        let seconds = now.mono.saturating_sub(sweep.began).as_secs_f64();
        self.take_down(format!("{error}; {}", error.advice()));
        self.end_sweep(SweepResult::Failed, None, seconds, now);
    }

    /// A sweep ended: its result is committed and shown.
    pub(super) fn end_sweep(&mut self, result: SweepResult, covered: Option<i64>, seconds: f64, now: Now) {
        let server = self.server_now(now.mono).unwrap_or(0);
        self.ledger.record_sweep(result, covered, server, seconds);
        self.swept_at = now.mono;
        self.health.swept |= result != SweepResult::Failed;
        self.must_publish = true;
        self.refresh_health();
        self.notes.push(Note::Swept(result.as_str(), seconds, self.health.deferred));
        self.ledger.close_missing(server);
    }
}
