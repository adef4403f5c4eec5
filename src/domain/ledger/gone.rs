//! What is decided from absence: chats that are gone, open messages that are given up, and the floor.
//!
//! Each of these is irrevocable, so none of them rests on one kind of evidence.

use super::{Counter, Ledger, Missing, Status};
use crate::domain::chat::Absence;
use crate::domain::ids::{ChatKey, MessageId};

/// Complete listings in a row that must lack a chat before it can be gone.
const LISTINGS: u8 = 3;
/// Answers 404 of the chat itself that it takes besides.
const NOT_FOUND: u8 = 2;
/// The time over which these must be spread, at least.
const SPREAD: i64 = 600_000;
/// Absent chats above which their loss is an incident and not a deletion: at least so many, and so large a share.
const INCIDENT: (usize, f64) = (10, 0.05);
/// The time over which several answers must say that an open message is missing where it was seen, at least, before it can
/// be given up early.
const MISSES_SPREAD: i64 = 60_000;
/// A full listing is dated back by this: the replica that answered may lag.
const LISTING_MARGIN: i64 = 5_000;
/// Messages that one call forgets or gives up, at most: it must not hold up the next request.
const SLICE: usize = 1_000;

impl Ledger {
    /// A complete listing, which ended at `now`, did not show the chat. Where it `may_hide` it, because it had rows that cannot be
    /// used, such listings count as one.
    pub fn record_absent(&mut self, key: ChatKey, now: i64, may_hide: bool) {
        self.update_chat(key, |chat| {
            if chat.absence.listings == 0 {
                chat.absence.since = now;
            }
            let one_more = chat.absence.listings.saturating_add(1);
            chat.absence.listings = if may_hide { chat.absence.listings.max(1) } else { one_more };
        });
    }

    /// A complete full listing started at `started`.
    pub fn record_full_listing(&mut self, started: i64) {
        if started > self.progress.listed_at {
            self.progress.listed_at = started;
            self.changed.progress = true;
        }
    }

    /// Marks a chat as shown by the listing of this generation, by a list that was asked for at `asked_at`.
    pub fn mark_listed(&mut self, key: ChatKey, generation: u32, asked_at: i64) {
        self.chats.mark_listed(key, generation, asked_at);
    }

    /// The chat's own `GET` answered 404 at `now`.
    pub fn record_not_found(&mut self, key: ChatKey, now: i64) {
        self.update_chat(key, |chat| {
            if chat.absence.not_found == 0 {
                chat.absence.not_found_since = now;
            }
            chat.absence.not_found = chat.absence.not_found.saturating_add(1);
        });
    }

    /// The chat's own `GET` found it, or it showed messages: whatever the list says, it is there.
    pub fn record_found(&mut self, key: ChatKey) {
        self.update_chat(key, |chat| chat.absence.not_found = 0);
    }

    /// Whether the list lacked the chat often enough that it is worth a request of its own.
    pub fn is_gone_from_list(&self, key: ChatKey) -> bool {
        self.chats.get(key).is_some_and(|chat| chat.absence.listings >= LISTINGS)
    }

    /// Removes the chat if list and chat agree that it is gone. True when it was removed.
    pub fn remove_if_gone(&mut self, key: ChatKey, now: i64) -> bool {
        let policy = self.policy;
        let spread = SPREAD.min(policy.audit_interval).max(3 * policy.full_interval);
        let spread = if self.is_incident() { spread.max(policy.audit_interval) } else { spread };
        let Some(Absence { listings, not_found, not_found_since, .. }) = self.absence(key) else {
            return false;
        };
        let gone = listings >= LISTINGS && not_found >= NOT_FOUND && now - not_found_since >= spread;
        if gone {
            self.remove_chat(key, not_found_since, now);
        }
        gone
    }

    /// Removes a chat that was not listed since the process started at `started`, so that its id is not known and it cannot be
    /// asked itself. What it lacks in kinds of evidence it makes up for in time; until that start its own answers counted.
    /// Where listings `may_hide` it, it takes as long as where many chats are absent, and not for ever: it holds the floor.
    /// True when it was removed.
    pub fn remove_if_long_absent(&mut self, key: ChatKey, started: i64, now: i64, may_hide: bool) -> bool {
        let spread = match self.is_incident() || may_hide {
            true => self.policy.retention.max(self.policy.audit_interval),
            false => self.policy.audit_interval,
        };
        let Some(Absence { listings, since, .. }) = self.absence(key) else { return false };
        let gone = (listings >= LISTINGS || may_hide) && now - since.max(started) >= spread;
        if gone {
            self.remove_chat(key, since, now);
        }
        gone
    }

    fn absence(&self, key: ChatKey) -> Option<Absence> {
        self.chats.get(key).map(|chat| chat.absence)
    }

    /// Whether so many chats are absent, or all of them, that it is an incident and not a deletion.
    fn is_incident(&self) -> bool {
        let (least, share) = INCIDENT;
        let absent = self.chats.absent().len();
        absent == self.chats.len() || absent > least && absent as f64 > self.chats.len() as f64 * share
    }

    /// What was shown of a chat, since then, was shown of its messages.
    fn remove_chat(&mut self, key: ChatKey, since: i64, now: i64) {
        self.chats.remove(key);
        self.conversations.reconsider(key);
        self.changed.chats.insert(key);
        let open: Vec<MessageId> = self.messages.open_of(key).map(|(id, ..)| id).collect();
        for id in open {
            self.messages.set_missing(id, Missing { since, last: now });
            self.changed.messages.insert(id);
        }
    }

    /// The API says at `now` that an open message is not where it was seen: its own 404, or a complete read of its time
    /// without it. Not an end: this happens right after sending, and when chats are merged.
    pub fn record_missing(&mut self, id: MessageId, now: i64) {
        let Some(open) = self.messages.open(id) else { return };
        let since = open.missing.map_or(now, |missing| missing.since);
        self.messages.set_missing(id, Missing { since, last: now });
        self.changed.messages.insert(id);
    }

    /// The time before which every active chat that can be read has been read completely: the start of the oldest of
    /// their newest deep reads. `None` when one of them was never read deeply.
    fn audited_through(&self) -> Option<i64> {
        let listed = self.progress.listed_at - LISTING_MARGIN;
        match self.chats.oldest_audit() {
            None => Some(listed),
            Some(0) => None,
            Some(at) => Some(at.min(listed)),
        }
    }

    /// Raises the floor behind the audits. To be called after a complete full listing, while the clock is settled.
    ///
    /// A chat that cannot be read holds the floor for one further retention, and not for ever: then memory would grow
    /// with it. What that costs is in RELIABILITY.md.
    pub fn advance_floor(&mut self, now: i64) {
        if self.progress.baseline == 0 || !self.settled {
            return;
        }
        let Some(audited) = self.audited_through() else { return };
        let retention = self.policy.retention;
        let held = self.chats.oldest_unreadable_audit().map(|at| at.max(now - retention));
        let audited = held.map_or(audited, |held| audited.min(held));
        let floor = audited - retention;
        if floor > self.progress.floor {
            self.progress.floor = floor;
            self.changed.progress = true;
            self.chats.advance(super::bounds(self.policy, self.progress, now));
        }
    }

    /// Gives up open messages of which enough is known. To be called while the clock is settled.
    pub fn close_missing(&mut self, now: i64) {
        if !self.settled {
            return;
        }
        let policy = self.policy;
        let audited = self.audited_through();
        let proven = match self.chats.oldest_unreadable_audit() {
            None if self.chats.unread_count() == 0 => audited,
            // A message may have moved to a chat that has not been read yet.
            _ => None,
        };
        let spread = MISSES_SPREAD.max(2 * policy.interval);
        let given_up = self.messages.missing().take(SLICE).filter(|(id, missing)| {
            let evident =
                missing.last - missing.since >= spread && proven.is_some_and(|proven| proven > missing.since);
            let born_at = self.messages.born_at(*id).unwrap_or(now);
            let is_late = now - born_at >= policy.horizon + 2 * policy.audit_interval;
            evident || is_late && audited.is_some_and(|audited| audited > missing.since)
        });
        for id in given_up.map(|(id, _)| id).collect::<Vec<_>>() {
            self.give_up(id);
            self.forget_if_passed(id, now);
        }
    }

    /// Gives up messages of a chat that cannot be read, or that re-checks cannot ask for, long after the horizon: nothing
    /// says any more what became of them.
    pub fn close_unreadable(&mut self, chat: ChatKey, now: i64) {
        if !self.settled {
            return;
        }
        let limit = self.policy.horizon + self.policy.retention + 2 * self.policy.audit_interval;
        let open = self.messages.open_of(chat).map(|(id, ..)| id);
        let old = open.filter(|id| self.messages.born_at(*id).is_some_and(|born_at| now - born_at >= limit));
        for id in old.take(SLICE).collect::<Vec<_>>() {
            self.give_up(id);
            self.forget_if_passed(id, now);
        }
    }

    /// Forgets ended messages below the floor, some at a time.
    pub fn prune(&mut self, now: i64) {
        for id in self.messages.passed(self.progress.floor, SLICE) {
            self.forget_if_passed(id, now);
        }
    }

    /// Whether a line and protocol has never shown a receipt in so many messages that none is expected.
    pub fn never_shows_receipts(
        &self,
        line: crate::domain::LineId,
        protocol: crate::domain::Protocol,
    ) -> bool {
        const MANY: u64 = 2_000;
        self.totals.get(Counter::Delivered { line, protocol }) == 0
            && self.totals.get(Counter::Unconfirmed { line, protocol, status: Status::Sent }) >= MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::tests::{ACCEPTED, CHAT, HOUR, START, audited, ledger, listed, outbound};
    use crate::domain::{ChatKind, LineId, Policy, Protocol, Restored, Unreadable};

    const NOW: i64 = START + 100 * HOUR;
    const LINE: LineId = LineId::NONE;

    /// A ledger with these chats, all of them read, the first so many of which the newest listing lacked.
    fn with_chats(count: u128, absent: u128) -> Ledger {
        let mut ledger = ledger();
        audited(&mut ledger, 0..count, NOW, NOW);
        (0..absent).for_each(|n| ledger.record_absent(ChatKey(n), NOW, false));
        ledger
    }

    /// An open message, observed at `at` in `CHAT`.
    fn observed(ledger: &mut Ledger, at: i64) -> MessageId {
        let message = outbound(1, at, Status::Queued, Protocol::Pending);
        ledger.observe(CHAT, &message, at);
        message.id
    }

    #[test]
    fn a_chat_is_gone_some_time_after_the_first_answer_that_does_not_find_it() {
        let minute = 60_000;
        // (ms between audits, ms between full listings, ms from the first answer to when it may be gone)
        for (audit_interval, full_interval, spread) in [
            (24 * HOUR, 10 * minute, 30 * minute),
            (24 * HOUR, minute, 10 * minute),
            (5 * minute, minute, 5 * minute),
        ] {
            let mut ledger = with_chats(100, 1);
            let policy = Policy { audit_interval, full_interval, ..ledger.policy() };
            ledger.set_policy(policy, NOW);
            (0..2).for_each(|_| ledger.record_absent(ChatKey(0), NOW, false));
            ledger.record_not_found(ChatKey(0), NOW);
            ledger.record_not_found(ChatKey(0), NOW + spread - 1);
            assert!(!ledger.remove_if_gone(ChatKey(0), NOW + spread - 1), "{policy:?}");
            assert!(ledger.remove_if_gone(ChatKey(0), NOW + spread), "{policy:?}");
            assert!(!ledger.remove_if_gone(ChatKey(0), NOW + spread), "it is removed once");
        }
    }

    #[test]
    fn a_chat_that_shows_itself_must_be_lost_again_from_the_start() {
        let mut ledger = with_chats(100, 1);
        (0..2).for_each(|_| ledger.record_absent(ChatKey(0), NOW, false));
        ledger.record_not_found(ChatKey(0), NOW - HOUR);
        ledger.record_found(ChatKey(0));
        ledger.record_found(ChatKey(5_000));
        for (answered_at, gone) in [(NOW, false), (NOW + HOUR / 2 - 1, false), (NOW + HOUR / 2, true)] {
            ledger.record_not_found(ChatKey(0), answered_at);
            assert_eq!(ledger.remove_if_gone(ChatKey(0), answered_at), gone, "{answered_at}");
        }
    }

    #[test]
    fn the_loss_of_more_than_ten_chats_and_a_twentieth_or_of_all_is_an_incident() {
        for (absent, chats, incident) in [
            (10, 100, false),
            (11, 100, true),
            (11, 220, false),
            (12, 220, true),
            (2, 3, false),
            (3, 3, true),
        ] {
            let mut ledger = with_chats(chats, absent);
            (0..2).for_each(|_| ledger.record_absent(ChatKey(0), NOW, false));
            (0..2).for_each(|_| ledger.record_not_found(ChatKey(0), NOW));
            assert_eq!(ledger.remove_if_gone(ChatKey(0), NOW + HOUR), !incident, "{absent} of {chats}");
        }
    }

    #[test]
    fn a_chat_that_cannot_be_asked_is_gone_after_a_day_and_in_an_incident_after_the_retention() {
        // (chats that are absent, hours of retention, hours after the first listing without it)
        for (absent, retention, hours) in [(1, 168, 24), (50, 168, 168), (50, 1, 24)] {
            let mut ledger = with_chats(100, absent);
            ledger.set_policy(Policy { retention: retention * HOUR, ..ledger.policy() }, NOW);
            (1..3).for_each(|n| ledger.record_absent(ChatKey(0), NOW + n * HOUR, false));
            for (started, gone_at) in [(NOW - HOUR, NOW), (NOW + HOUR, NOW + HOUR)] {
                let gone_at = gone_at + hours * HOUR;
                assert!(!ledger.remove_if_long_absent(ChatKey(0), started, gone_at - 1, false), "{absent}");
            }
            assert!(ledger.remove_if_long_absent(ChatKey(0), START, NOW + hours * HOUR, false), "{absent}");
            assert!(
                !ledger.remove_if_long_absent(ChatKey(0), START, NOW + hours * HOUR, false),
                "it is removed once"
            );
        }
    }

    #[test]
    fn the_open_messages_of_a_removed_chat_are_missing_since_it_was() {
        let mut ledger = with_chats(100, 0);
        let id = observed(&mut ledger, START + 1);
        (0..3).for_each(|_| ledger.record_absent(CHAT, NOW, false));
        (0..2).for_each(|_| ledger.record_not_found(CHAT, NOW + 1));
        ledger.delta();
        assert!(ledger.remove_if_gone(CHAT, NOW + HOUR));
        let missing = Missing { since: NOW + 1, last: NOW + HOUR };
        assert_eq!(ledger.messages().open(id).map(|open| open.missing), Some(Some(missing)));
        let delta = ledger.delta();
        assert_eq!(delta.chats, [(CHAT, None)]);
        assert_eq!(delta.messages.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id]);
    }

    #[test]
    fn a_message_is_missing_from_the_first_to_the_newest_answer_without_it() {
        let mut ledger = ledger();
        let id = observed(&mut ledger, START + 1);
        for last in [NOW, NOW + 5] {
            ledger.delta();
            ledger.record_missing(id, last);
            let missing = Missing { since: NOW, last };
            assert_eq!(ledger.messages().open(id).map(|open| open.missing), Some(Some(missing)));
            assert!(ledger.is_changed());
        }
        ledger.delta();
        ledger.record_missing(MessageId(99), NOW);
        assert!(!ledger.is_changed(), "there is no such message");
    }

    #[test]
    fn only_a_listing_that_began_later_is_news() {
        let mut ledger = ledger();
        ledger.delta();
        for (started, news) in [(NOW, true), (NOW, false), (NOW - 1, false), (NOW + 1, true)] {
            ledger.record_full_listing(started);
            assert_eq!(ledger.is_changed(), news, "{started}");
            ledger.delta();
        }
        assert_eq!(ledger.progress().listed_at, NOW + 1);
    }

    #[test]
    fn the_floor_is_a_retention_behind_the_oldest_audit_and_the_listing() {
        let (listed_at, retention) = (START + 400 * HOUR, 168 * HOUR);
        // (audits of chats, ms from the listing to the time that is covered)
        let cases: [(&[i64], i64); 4] = [
            (&[], -5_000),
            (&[listed_at + HOUR], -5_000),
            (&[listed_at - 4_999], -5_000),
            (&[listed_at, listed_at - 5_001], -5_001),
        ];
        for (audits, covered) in cases {
            let mut ledger = ledger();
            for (key, at) in (0..).zip(audits) {
                audited(&mut ledger, key..key + 1, listed_at, *at);
            }
            ledger.record_full_listing(listed_at);
            ledger.delta();
            ledger.advance_floor(listed_at);
            assert_eq!(ledger.progress().floor, listed_at + covered - retention, "{audits:?}");
            assert!(ledger.is_changed());
            ledger.delta();
            ledger.advance_floor(listed_at);
            assert!(!ledger.is_changed(), "it stays where it is");
        }
    }

    #[test]
    fn a_chat_that_the_newest_listing_lacked_holds_the_floor_until_it_is_audited() {
        let (mut ledger, long) = (ledger(), 400 * HOUR);
        let (newest, listed_at) = (START + HOUR, START + long);
        audited(&mut ledger, 0..1, newest, newest + HOUR);
        audited(&mut ledger, 1..2, listed_at, listed_at);
        let rise = |ledger: &mut Ledger, absent: bool, at: i64| {
            if absent {
                ledger.record_absent(ChatKey(0), at, false);
            }
            audited(ledger, 1..2, at, at);
            ledger.record_full_listing(at);
            ledger.advance_floor(at);
            ledger.progress().floor
        };
        // All of its messages that a list shows may be below the floor, and still it is audited where no list shows it.
        audited(&mut ledger, 0..1, newest, listed_at);
        let floor = rise(&mut ledger, false, listed_at);
        assert!(floor > newest);
        assert_eq!(rise(&mut ledger, false, listed_at + long), floor + long);
        let audited_at = listed_at + long;
        audited(&mut ledger, 0..1, newest, audited_at);
        assert_eq!(rise(&mut ledger, true, listed_at + 2 * long), audited_at - 168 * HOUR);
        ledger.update_chat(ChatKey(0), |chat| chat.audited_at = Some(listed_at + 3 * long));
        assert_eq!(rise(&mut ledger, true, listed_at + 3 * long), floor + 3 * long);
    }

    #[test]
    fn there_is_no_floor_before_the_baseline_is_fixed() {
        let mut ledger = Ledger::new(ledger().policy(), Restored::default());
        ledger.record_full_listing(NOW + 400 * HOUR);
        ledger.advance_floor(NOW + 400 * HOUR);
        assert_eq!(ledger.progress().floor, 0);
    }

    #[test]
    fn an_open_message_is_given_up_when_it_was_missing_for_long_enough_and_is_nowhere_else() {
        let since = START + HOUR;
        // (ms between sweeps, ms between the two misses, ms from the first to the audits, whether a chat is read again)
        for (interval, apart, audit, unshown, given_up) in [
            (30_000, 59_999, HOUR, false, false),
            (30_000, 60_000, HOUR, false, true),
            (10_000, 59_999, HOUR, false, false),
            (10_000, 60_000, HOUR, false, true),
            (50_000, 99_999, HOUR, false, false),
            (50_000, 100_000, HOUR, false, true),
            (30_000, 60_000, 0, false, false),
            (30_000, 60_000, 1, false, true),
            (30_000, 60_000, HOUR, true, false),
        ] {
            let mut ledger = ledger();
            ledger.set_policy(Policy { interval, ..ledger.policy() }, since);
            let id = observed(&mut ledger, since);
            audited(&mut ledger, 1..3, since, since + audit);
            ledger.update_chat(ChatKey(1), |chat| chat.unshown = unshown);
            ledger.record_missing(id, since);
            ledger.record_missing(id, since + apart);
            let now = since + 2 * HOUR;
            ledger.record_full_listing(now);
            ledger.set_settled(false);
            ledger.close_missing(now);
            assert!(ledger.messages().is_open(id), "the clock is in doubt");
            ledger.set_settled(true);
            ledger.close_missing(now);
            let case = (interval, apart, audit, unshown);
            assert_eq!(!ledger.messages().is_open(id), given_up, "{case:?}");
            assert_eq!(ledger.verify(), Ok(()));
        }
    }

    #[test]
    fn a_missing_message_is_given_up_two_audits_after_the_horizon_behind_an_audit() {
        let (sent_at, late) = (START + 1, 120 * HOUR);
        // (its age, ms from the miss to the audit)
        for (age, audit, given_up) in
            [(late - 1, 1, false), (late, 1, true), (late, 0, false), (late + 1, 0, false)]
        {
            let mut ledger = ledger();
            let id = observed(&mut ledger, sent_at);
            ledger.record_missing(id, NOW);
            audited(&mut ledger, 1..2, NOW, NOW + audit);
            ledger.record_full_listing(NOW + HOUR);
            ledger.close_missing(sent_at + age);
            assert_eq!(!ledger.messages().is_open(id), given_up, "{age}, {audit}");
        }
    }

    #[test]
    fn a_message_of_an_unreadable_chat_is_given_up_a_retention_and_two_audits_after_the_horizon() {
        let (sent_at, limit) = (START + 1, (72 + 168 + 2 * 24) * HOUR);
        for (age, chat, is_settled, given_up) in [
            (limit - 1, CHAT, true, false),
            (limit, CHAT, true, true),
            (limit, CHAT, false, false),
            (limit, ChatKey(8), true, false),
        ] {
            let mut ledger = ledger();
            audited(&mut ledger, 7..9, NOW, NOW);
            let id = observed(&mut ledger, sent_at);
            ledger.set_settled(is_settled);
            ledger.record_unreadable(chat, Unreadable::ServerError, sent_at + age);
            assert_eq!(!ledger.messages().is_open(id), given_up, "{age}, {chat:?}, {is_settled}");
            let unconfirmed =
                Counter::Unconfirmed { line: LINE, protocol: Protocol::Pending, status: Status::Queued };
            assert_eq!(ledger.totals().get(unconfirmed), u64::from(given_up));
            assert_eq!(ledger.totals().get(ACCEPTED), 1);
        }
    }

    #[test]
    fn what_the_floor_passed_after_it_left_the_window_is_forgotten() {
        let mut ledger = ledger();
        let message = outbound(1, START + 1, Status::Delivered, Protocol::Imessage);
        ledger.observe(CHAT, &message, START + 1);
        ledger.snapshot(START + 2 * HOUR);
        let now = START + 400 * HOUR;
        ledger.record_full_listing(now);
        ledger.advance_floor(now);
        assert_eq!(ledger.messages().len(), 1);
        ledger.prune(now);
        assert_eq!(ledger.messages().len(), 0);
    }

    #[test]
    fn a_line_never_shows_receipts_when_thousands_of_messages_had_none() {
        let protocol = Protocol::Sms;
        for (delivered, unconfirmed, never) in [(0, 1_999, false), (0, 2_000, true), (1, 5_000, false)] {
            let counters = vec![
                (Counter::Delivered { line: LINE, protocol }, delivered),
                (Counter::Unconfirmed { line: LINE, protocol, status: Status::Sent }, unconfirmed),
            ];
            let ledger = Ledger::new(ledger().policy(), Restored { counters, ..Restored::default() });
            assert_eq!(ledger.never_shows_receipts(LINE, protocol), never, "{delivered}, {unconfirmed}");
            assert!(!ledger.never_shows_receipts(LINE, Protocol::Rcs));
        }
    }

    #[test]
    fn only_a_chat_that_list_after_list_lacks_is_worth_a_request_of_its_own() {
        let mut ledger = ledger();
        ledger.record_listed(CHAT, ChatKind::Phone, listed(NOW, 1));
        let gone = [0, 1, 2].map(|_| {
            ledger.record_absent(CHAT, NOW, false);
            ledger.is_gone_from_list(CHAT)
        });
        assert_eq!(gone, [false, false, true]);
        assert!(!ledger.is_gone_from_list(ChatKey(99)));
    }
}
