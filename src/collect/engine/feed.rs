//! What webhook events change: which chat is read now, and how often is polled. An event is a hint; it counts nothing, marks
//! nothing as changed and moves neither watermark nor floor.
//!
//! Events of a chat are waited for together for a moment: that a message was handed over and that it arrived are mostly
//! covered by one read. Such a read shows what is new behind the chat's row of the list, so it is compared with no row; when
//! the row comes that says no more than what is counted already, the chat is not read again for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::credit::Credit;
use super::{Engine, Note, Now, Recurring};
use crate::api::{ChatId, MessageRef};
use crate::collect::recheck;
use crate::domain::{Chat, ChatKey, Direction, MessageId, Status, Tracked, Unannounced};
use crate::feed::{Announced, Announces, EventKind, Hint, Trust};

/// How long events of a chat are gathered before it is read, at most: the page follows an event within three seconds.
const GATHER: Duration = Duration::from_millis(2_300);
/// How long a chat that a list named waits for its event, while the feed is trusted: one read does for both.
const EXPECTED: Duration = Duration::from_secs(5);
/// A hinted read reaches back to all open messages of a chat that has no more messages than this: they are on the same page.
const ONE_PAGE: u32 = 100;
/// Hinted chats that are looked at to see how soon one must be read.
const LOOKED_AT: usize = 16;
/// When a chat is read once more that did not show what was announced: a replica lags.
const ONCE_MORE: Duration = Duration::from_secs(10);
/// How long the list is given to show a chat that only an event named.
const SWEEP_AFTER: Duration = Duration::from_millis(500);
/// What the list costs of it: it shows everything at once, and goes before all else.
const SWEEP_COST: f64 = 4.0;
/// While the feed is trusted, sweeps are so many times rarer,
const STRETCH: u32 = 8;
/// but no rarer than this: a page is called stale when the newest complete sweep is five minutes old.
const LONGEST_SWEEP: Duration = Duration::from_secs(240);
/// A message sent so shortly after the start of the process may have been announced before it, ms.
const START_MARGIN: i64 = 5_000;

/// The state of a feed that is followed.
pub(super) struct Following {
    trust: Trust<MessageId>,
    trusted: bool,
    began: Duration,
    credit: Credit,
    /// The chats that hints name, by when they are to be read.
    hinted: BTreeMap<ChatKey, Duration>,
    order: BTreeSet<(Duration, ChatKey)>,
    /// What the newest event of such a chat announced.
    wanted: BTreeMap<ChatKey, (MessageId, Announces)>,
    /// Whether the last read that began was one of these.
    turn: bool,
    /// Counted messages that are newer than the row of the list of the chat in which they were read, with their times.
    pub(super) ahead: BTreeMap<ChatKey, Vec<(MessageId, i64)>>,
    /// A sweep is under way that began before a hint of an unknown chat.
    sweep_again: bool,
}

impl Following {
    fn put(&mut self, chat: ChatKey, at: Duration) {
        if let Some(before) = self.hinted.insert(chat, at) {
            self.order.remove(&(before, chat));
        }
        self.order.insert((at, chat));
    }

    fn remove(&mut self, chat: ChatKey) {
        if let Some(at) = self.hinted.remove(&chat) {
            self.order.remove(&(at, chat));
        }
    }
}

/// Which message an event of this kind is about: the way it went is part of a message's identity.
fn direction(kind: EventKind) -> Direction {
    match kind {
        EventKind::MessageReceived => Direction::Inbound,
        _ => Direction::Outbound,
    }
}

impl Engine {
    /// Follows no webhook feed from now on: polling alone.
    pub fn unfollow(&mut self, now: Now) {
        let trusted = self.feed.take().is_some_and(|feed| feed.trusted);
        self.health.feed_trusted = None;
        self.must_publish = true;
        if trusted {
            self.return_to_polling(now);
        }
    }

    /// Sweeps and re-checks that were put off for a trusted feed are due as they would be without one.
    fn return_to_polling(&mut self, now: Now) {
        if let Recurring::Due(at) = self.sweep {
            self.sweep = Recurring::Due(at.min(now.mono));
        }
        self.spread_rechecks(now);
    }

    /// What would be overdue is spread; what waits for longer now is left alone until then.
    fn spread_rechecks(&mut self, now: Now) {
        self.due = recheck::Due::default();
        let server = self.server_now(now.mono).unwrap_or_else(|| self.ledger.shown_at());
        self.restore_rechecks(server);
    }

    /// Follows a webhook feed from now on. It is trusted after a `window` without a fault.
    pub fn follow(&mut self, window: Duration, now: Now) {
        self.ledger.declare_feed();
        self.shown = self.ledger.snapshot(self.ledger.shown_at());
        self.health.feed_trusted = Some(false);
        self.must_publish = true;
        self.feed = Some(Box::new(Following {
            trust: Trust::new(window, now.mono),
            trusted: false,
            began: now.mono,
            credit: Credit::full(now.mono),
            hinted: BTreeMap::new(),
            order: BTreeSet::new(),
            wanted: BTreeMap::new(),
            turn: false,
            ahead: BTreeMap::new(),
            sweep_again: false,
        }));
    }

    /// Takes in what events announced.
    pub fn hint(&mut self, hints: Vec<Hint>, now: Now) {
        for Hint { chat, events } in hints {
            let chat = chat.and_then(|id| ChatId::parse(id.expose())).map(|id| self.hasher.chat(&id));
            for event in events {
                self.announced(chat, &event, now);
            }
        }
    }

    fn announced(&mut self, chat: Option<ChatKey>, event: &Announced, now: Now) {
        let Some(what) = event.kind.announces() else { return };
        let id = event.message.as_ref().and_then(|id| MessageRef::parse(id.expose()));
        let id = id.map(|id| self.hasher.message(direction(event.kind), &id));
        if let Some(id) = id {
            self.record_announced(id, what, event.arrived, now);
        }
        let tracked = id.and_then(|id| self.ledger.messages().get(id)).copied();
        if tracked.is_some_and(|tracked| is_known(&tracked, event.kind)) {
            return;
        }
        // An open message that lies behind what a read of news looks at is asked for by itself.
        if let Some((id, chat)) =
            id.zip(id.and_then(|id| self.ledger.messages().open(id)).map(|open| open.chat))
        {
            let sent_at = tracked.map_or(0, |tracked| tracked.sent_at);
            let server = self.server_now(now.mono).unwrap_or(0);
            let known = self.ledger.chats().get(chat).copied();
            if known.is_some_and(|known| sent_at <= self.news_since(chat, &known, server) + 1) {
                return self.recheck_now(chat, id, server, now.mono);
            }
            if what == Announces::End && self.is_feed_trusted() {
                // Should the read fail, the message is asked for as if there were no feed.
                let due = server + self.interval();
                self.ledger.reschedule(id, due);
                self.due.add(chat, due, true);
            }
            return self.read_soon(chat, Some((id, what)), now.mono);
        }
        match chat {
            Some(chat) if self.ledger.chats().get(chat).is_some() => {
                self.read_soon(chat, id.map(|id| (id, what)), now.mono);
            }
            _ => self.sweep_soon(now.mono),
        }
    }

    fn record_announced(&mut self, id: MessageId, what: Announces, arrived: i64, now: Now) {
        let age =
            Duration::from_millis(now.host.saturating_sub(arrived).clamp(0, i64::from(u32::MAX)) as u64);
        let arrived = now.mono.saturating_sub(age);
        let Some(feed) = &mut self.feed else { return };
        let late = feed.trust.announce(id, what, arrived);
        if !late.is_empty() {
            feed.credit.earn();
        }
        let arrived = self.server_now(arrived);
        for (_, api_time) in late {
            self.record_lag(api_time, arrived);
        }
        // What is held already, from before the start or from history, need not be looked for.
        if let Some(tracked) = self.ledger.messages().get(id).copied()
            && let Some(feed) = &mut self.feed
        {
            feed.trust.show(id, tracked.is_ended());
        }
    }

    fn record_lag(&mut self, api_time: Option<i64>, arrived: Option<i64>) {
        if let Some((api_time, arrived)) = api_time.zip(arrived) {
            self.ledger.record_lag((arrived - api_time) as f64 / 1000.0);
        }
    }

    /// Where a hinted read starts. It is a re-check of the open messages of the chat as well, where that costs no more.
    pub(super) fn news_since(&self, key: ChatKey, chat: &Chat, server: i64) -> i64 {
        let since = self.read_since(chat, false, server);
        if chat.listed.messages.is_none_or(|messages| messages > ONE_PAGE) {
            return since;
        }
        let open = self.ledger.messages().open_of(key).map(|(_, tracked, _)| tracked.sent_at);
        open.min().map_or(since, |oldest| since.min((oldest - 2).max(0)))
    }

    fn recheck_now(&mut self, chat: ChatKey, id: MessageId, server: i64, now: Duration) {
        let interval = self.options.interval;
        if self.feed.as_mut().is_some_and(|feed| feed.credit.spend(1.0, now, interval)) {
            self.ledger.reschedule(id, server);
            if !self.busy.contains(&chat) {
                self.due.add(chat, server, true);
            }
        }
    }

    fn read_soon(&mut self, chat: ChatKey, wanted: Option<(MessageId, Announces)>, now: Duration) {
        let interval = self.options.interval;
        let Some(feed) = &mut self.feed else { return };
        match feed.hinted.get(&chat) {
            Some(at) if *at <= now + GATHER => {}
            Some(_) => feed.put(chat, now + GATHER),
            None if feed.credit.spend(1.0, now, interval) => {
                feed.put(chat, now + GATHER);
                self.reads.remove(chat);
            }
            None => {}
        }
        if let Some(wanted) = wanted.filter(|_| feed.hinted.contains_key(&chat)) {
            feed.wanted.insert(chat, wanted);
        }
    }

    /// A list named the chat. While the feed is trusted, an event about what is new there is on its way.
    pub(super) fn wait_for_event(&mut self, chat: ChatKey, now: Duration) {
        if let Some(feed) = &mut self.feed
            && feed.trusted
            && !feed.hinted.contains_key(&chat)
        {
            feed.put(chat, now + EXPECTED);
        }
    }

    /// A hinted read of the chat ended. Where it did not show what was announced, the chat is read once more.
    pub(super) fn hinted_read_ended(&mut self, chat: ChatKey, now: Duration) {
        let interval = self.options.interval;
        let Some(feed) = &mut self.feed else { return };
        let Some((id, what)) = feed.wanted.remove(&chat) else { return };
        let is_shown = feed.trust.is_shown(id, what);
        if !is_shown && !feed.hinted.contains_key(&chat) && feed.credit.spend(1.0, now, interval) {
            feed.put(chat, now + ONCE_MORE);
        }
    }

    /// The list is asked for soon: an event named a chat that it has not shown yet.
    fn sweep_soon(&mut self, now: Duration) {
        let (at, interval) = (now + SWEEP_AFTER, self.options.interval);
        let Some(feed) = &mut self.feed else { return };
        let is_soon = match self.sweep {
            Recurring::Due(due) => due <= at,
            Recurring::Running => feed.sweep_again,
        };
        if is_soon || self.rejected_in_a_row > 0 || !feed.credit.spend(SWEEP_COST, now, interval) {
            return;
        }
        match self.sweep {
            Recurring::Due(_) => self.sweep = Recurring::Due(at),
            Recurring::Running => feed.sweep_again = true,
        }
    }

    /// When the sweep after one that began then is due.
    pub(super) fn next_sweep(&mut self, began: Duration, now: Duration) -> Recurring {
        let again = self.feed.as_mut().is_some_and(|feed| std::mem::take(&mut feed.sweep_again));
        match again {
            true => Recurring::Due(now + SWEEP_AFTER),
            false => Recurring::Due((began + self.sweep_interval()).max(now)),
        }
    }

    fn sweep_interval(&self) -> Duration {
        let interval = self.options.interval;
        match self.is_feed_trusted() {
            true => interval.saturating_mul(STRETCH).min(LONGEST_SWEEP).max(interval),
            false => interval,
        }
    }

    pub(super) fn is_feed_trusted(&self) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.trusted)
    }

    /// Whether re-checks of the message may be rare: what becomes of it will be announced, and was not.
    pub(super) fn is_left_to_the_feed(&self, id: MessageId, tracked: &Tracked) -> bool {
        // No event reports that a message was cancelled: until it is handed over, it is asked for as ever.
        let may_end_unannounced = tracked.status != Status::Sent;
        self.feed
            .as_ref()
            .is_some_and(|feed| feed.trusted && !may_end_unannounced && !feed.trust.awaits_end(id))
    }

    /// Whether the chat is about to be read because of a hint.
    pub(super) fn is_hinted(&self, chat: ChatKey) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.hinted.contains_key(&chat))
    }

    /// The chat is read now: what was announced of it is covered. Only a read of news is looked at when it ends.
    pub(super) fn begins_to_read(&mut self, chat: ChatKey, is_of_news: bool) {
        if let Some(feed) = &mut self.feed {
            feed.remove(chat);
            if !is_of_news {
                feed.wanted.remove(&chat);
            }
        }
    }

    /// Takes the hinted chat that is to be read now. While chats wait that lists named, every second read is theirs.
    pub(super) fn take_hinted(&mut self, now: Duration) -> Option<ChatKey> {
        let others = !self.reads.is_empty();
        loop {
            let chat = self.hinted_chats().next()?.1;
            let is_due = self.is_hint_due(now);
            let feed = self.feed.as_mut()?;
            if !is_due || others && std::mem::take(&mut feed.turn) {
                return None;
            }
            feed.remove(chat);
            if self.is_idle(chat, now) {
                if let Some(feed) = &mut self.feed {
                    feed.turn = true;
                }
                return Some(chat);
            }
            // It cannot be read now: polling goes on with it.
            if let Some(feed) = &mut self.feed {
                feed.wanted.remove(&chat);
            }
        }
    }

    /// When a hint, or the trust in the feed, next needs something.
    pub(super) fn feed_next(&self) -> Option<Duration> {
        let feed = self.feed.as_ref()?;
        self.next_hint().into_iter().chain(feed.trust.next()).min()
    }

    /// Whether a hinted read is due.
    pub(super) fn is_hint_due(&self, now: Duration) -> bool {
        self.next_hint().is_some_and(|at| at <= now)
    }

    /// When the next hinted chat must be read, so that each is read in time although requests are spaced.
    fn next_hint(&self) -> Option<Duration> {
        let spaced = self.spacing();
        let order = self.hinted_chats().take(LOOKED_AT).zip(0u32..);
        order.map(|((at, _), n)| at.saturating_sub(spaced * n)).min()
    }

    /// The chats that hints name and that are not under way, by when they are to be read. What is under way may have begun
    /// before the event: such a chat comes again when that has ended.
    fn hinted_chats(&self) -> impl Iterator<Item = (Duration, ChatKey)> {
        let order = self.feed.iter().flat_map(|feed| feed.order.iter().copied());
        order.filter(|(_, chat)| !self.busy.contains(chat))
    }

    fn spacing(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.options.budget.max(0.001))
    }

    /// Counts what was missed, and polls as the trust in the feed allows.
    pub(super) fn judge_feed(&mut self, now: Now) {
        let Some(feed) = &mut self.feed else { return };
        let missed = feed.trust.settle(now.mono);
        let trusted = feed.trust.is_trusted(now.mono);
        let changed = std::mem::replace(&mut feed.trusted, trusted) != trusted;
        self.ledger.record_missed(Unannounced::Message, missed.messages);
        self.ledger.record_missed(Unannounced::End, missed.ends);
        if !changed {
            return;
        }
        self.health.feed_trusted = Some(trusted);
        self.must_publish = true;
        self.notes.push(Note::Feed { trusted, missed: missed.messages + missed.ends });
        if trusted { self.spread_rechecks(now) } else { self.return_to_polling(now) }
    }

    /// A row of a message was applied: `before` is what was known of it, `delivered_at` what the API says.
    pub(super) fn found(
        &mut self,
        id: MessageId,
        before: Option<Tracked>,
        delivered_at: Option<i64>,
        now: Now,
    ) {
        let after = self.ledger.messages().get(id).copied();
        let Some(began) = self.feed.as_ref().map(|feed| feed.began) else { return };
        let Some(after) = after else { return };
        if let Some(feed) = &mut self.feed {
            feed.trust.show(id, after.is_ended());
        }
        // Of one that is dated ahead it cannot be told whether it was announced before the process started.
        let is_judged = self.server_now(began).zip(self.server_now(now.mono)).is_some_and(|(began, now)| {
            after.sent_at > began + START_MARGIN && after.sent_at <= now + START_MARGIN
        });
        if !is_judged || after.is_history() {
            return;
        }
        let before = before.filter(|before| !before.is_history());
        let inbound = after.direction() == Direction::Inbound;
        let is_there = |of: &Tracked| inbound || of.was_handed_over();
        if is_there(&after) && !before.as_ref().is_some_and(is_there) {
            self.compare(id, Announces::Message, inbound.then_some(after.sent_at), now);
        }
        if !inbound && has_announced_end(&after) && !before.as_ref().is_some_and(Tracked::is_ended) {
            let at = delivered_at.filter(|_| after.status == Status::Delivered);
            self.compare(id, Announces::End, at, now);
        }
    }

    fn compare(&mut self, id: MessageId, what: Announces, api_time: Option<i64>, now: Now) {
        let Some(feed) = &mut self.feed else { return };
        if let Some(arrived) = feed.trust.find(id, what, api_time, now.mono) {
            feed.credit.earn();
            let arrived = self.server_now(arrived);
            self.record_lag(api_time, arrived);
        }
    }

    /// The chat's open messages are not asked for while it is about to be read.
    pub(super) fn postpone_recheck(&mut self, chat: ChatKey, server: i64) {
        let urgent = self.ledger.messages().open_of(chat).any(|(_, open, _)| recheck::is_urgent(open.status));
        self.due.add(chat, server + GATHER.as_millis() as i64, urgent);
    }
}

/// Whether an event of this kind says nothing new of the message.
fn is_known(tracked: &Tracked, kind: EventKind) -> bool {
    match kind {
        EventKind::MessageReceived => true,
        EventKind::MessageSent => tracked.is_ended() || tracked.was_handed_over(),
        _ => tracked.is_ended(),
    }
}

/// Whether the message ended in a way that an event announces: there is none for cancelled ones. One that was given up keeps
/// the status of an open one.
fn has_announced_end(tracked: &Tracked) -> bool {
    tracked.is_ended() && matches!(tracked.status, Status::Delivered | Status::Failed)
}
