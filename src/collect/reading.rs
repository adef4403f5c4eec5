//! What the collector asks for by id: a chat's messages, open messages, a device, the lines.

use std::collections::HashSet;

use super::agenda::{ReadEnd, recheck_after};
use super::collector::Collector;
use super::millis;
use crate::api::{ApiError, ChatId, Fault, MessageRow, PAGE_LIMIT, Page, Transport};
use crate::domain::ids::BuildKeyedHasher;
use crate::domain::{Chat, ChatKey, Code, Endpoint, LineId, MessageId, Observation, Outcome};
use crate::mutant::{self, Mutant};
use crate::store::Store;

/// Most pages in one go over the messages of a single millisecond.
const TIE_PAGES: u32 = 60;
/// Times that a chat is read again because it does not show what the list says of it. After that the list
/// is taken to be wrong: some servers name a last message that was deleted.
const CONFIRMATIONS: u32 = 5;
/// The grain of `Date`, and what a replica may lag behind: an audit is dated back by this.
const AUDIT_MARGIN: i64 = 5_000;

type Ids = HashSet<MessageId, BuildKeyedHasher>;

/// What one read of a chat has seen so far. One that an error interrupts is kept, and goes on where it was:
/// over a long history, on a server that refuses every tenth request, none would ever end otherwise.
pub(super) struct Read {
    chat: ChatKey,
    /// It reaches back to the floor.
    deep: bool,
    /// Where it began, unix ms.
    since: i64,
    /// Everything up to here was read.
    cursor: i64,
    /// The server's time when it began: it vouches for what was there to be seen then.
    began_at: i64,
    /// Boundary of the list row that caused the read: messages after it were not part of it.
    listed_at: i64,
    seen: Ids,
    /// Newly counted ones that the list row did not know yet.
    ahead: i64,
    newest: Option<(i64, LineId)>,
    refused: bool,
}

impl Read {
    fn new(chat: ChatKey, deep: bool, since: i64, began_at: i64, listed_at: i64) -> Read {
        Read {
            chat,
            deep,
            since,
            cursor: since,
            began_at,
            listed_at,
            seen: Ids::default(),
            ahead: 0,
            newest: None,
            refused: false,
        }
    }
}

/// What one page held.
struct Taken {
    distinct: usize,
    fresh: usize,
    oldest: i64,
    newest: i64,
    ascending: bool,
}

impl<T: Transport, S: Store> Collector<T, S> {
    /// Reads what is new in a chat, or everything above the floor when `audit` or the chat asks for it.
    ///
    /// Pages are keyed by time, not by offset, so that what is added or deleted meanwhile cannot shift
    /// them. Every page is applied, and all but the last committed, before the next is asked for.
    pub(super) async fn read(&self, key: ChatKey, audit: bool, failures: u32) -> ReadEnd {
        let Some(chat) = self.recorder.with(|ledger| ledger.chats().get(&key).copied()) else {
            return ReadEnd::Done;
        };
        let Some(id) = self.directory().chats.get(&key).cloned() else { return ReadEnd::Failed };
        let mut read = self.begin_read(key, &chat, audit || chat.deep);
        if mutant::is(Mutant::CursorBeforeData) {
            self.recorder.with(|ledger| ledger.update_chat(key, |chat| chat.changed_since = None));
        }
        let drained = match self.read_range(&id, &mut read).await {
            Ok(drained) => drained,
            Err(error) => {
                self.unfinished().insert(key, read);
                return self.read_failed(key, &error).await;
            }
        };
        let end = self.finish(&chat, read, drained, failures);
        let _ = self.commit().await;
        end
    }

    /// Takes up a read that was interrupted, or begins one.
    fn begin_read(&self, key: ChatKey, chat: &Chat, deep: bool) -> Read {
        let interrupted = self.unfinished().remove(&key).filter(|read| read.deep || !deep);
        match interrupted {
            Some(read) => Read { listed_at: chat.listed.last_at, ahead: 0, ..read },
            None => {
                let now = self.client.server_now();
                Read::new(key, deep, self.since(chat, deep, now), now, chat.listed.last_at)
            }
        }
    }

    /// Where a read starts. The boundary itself is read again: whether `since` includes it is not documented.
    fn since(&self, chat: &Chat, deep: bool, now: i64) -> i64 {
        let floor = self.recorder.with(|ledger| ledger.progress().floor);
        let since = if !deep {
            floor.max(chat.cursor - millis(self.options.lookback))
        } else if chat.audited_at == 0 {
            floor.min(now - self.options.history())
        } else {
            floor
        };
        (since - 1).max(0)
    }

    /// Reads everything after the read's cursor. True when nothing can have been missed.
    async fn read_range(&self, id: &ChatId, read: &mut Read) -> Result<bool, ApiError> {
        loop {
            let cursor = read.cursor;
            let answer = self.client.list_messages(id.clone(), cursor, None, 0).await?;
            let page = answer.value;
            self.conditions.succeeded(Endpoint::ListMessages);
            let taken = self.take_in_messages(Endpoint::ListMessages, read, &page);
            // Exactly as many as there are: a total below what the page holds is not to be trusted.
            let is_short = mutant::is(Mutant::ShortPageIsEnd) && page.len() < PAGE_LIMIT as usize;
            if page.is_empty() || is_short || page.total.is_some_and(|total| taken.distinct as u64 == total) {
                return Ok(true);
            }
            if !taken.ascending || page.rows.is_empty() {
                // The server ignored `sort`, or nothing on the page tells a time: offsets must do.
                return self.read_by_offset(id, cursor, None, read).await;
            }
            // A commit that fails is made up for by the next one, whole: cursor and messages stay together.
            let _ = self.commit().await;
            let inclusive = taken.oldest <= cursor;
            if taken.newest - 1 > cursor {
                read.cursor = taken.newest - 1;
            } else {
                // The whole page is one millisecond: go through it by itself, then step past it.
                let tie = taken.newest;
                let skips = mutant::is(Mutant::NoTieDrain);
                if !skips && !self.read_by_offset(id, tie - 1, Some(tie + 1), read).await? {
                    return Ok(false);
                }
                read.cursor = if inclusive && taken.fresh == 0 { tie + 1 } else { tie };
            }
        }
    }

    /// Reads a range by offset, again until it holds as many as its total says: ties come in no fixed order.
    async fn read_by_offset(
        &self,
        id: &ChatId,
        since: i64,
        until: Option<i64>,
        read: &mut Read,
    ) -> Result<bool, ApiError> {
        let (mut offset, mut distinct, mut refused, mut grew) = (0, Ids::default(), 0, false);
        let (mut refused_in_pass, mut agreed) = (0, 0);
        for _ in 0..TIE_PAGES {
            let answer = self.client.list_messages(id.clone(), since, until, offset).await?;
            let page = answer.value;
            self.take_in_messages(Endpoint::ListMessages, read, &page);
            let before = distinct.len();
            distinct.extend(page.rows.iter().map(|row| self.keyring.message(&row.id)));
            grew |= distinct.len() > before;
            refused_in_pass += page.refused.len();
            refused = refused.max(refused_in_pass);
            offset += page.len() as u64;
            // Totals can lag behind, and a low one would be met before everything was seen: twice then.
            let complete = page.total.is_some_and(|total| (distinct.len() + refused) as u64 >= total);
            agreed = if complete { agreed + 1 } else { 0 };
            if agreed == 2 {
                return Ok(true);
            }
            if page.is_empty() && !grew {
                // A whole pass brought nothing new: the total is wrong, or there is none.
                return Ok(true);
            }
            if page.is_empty() || page.total.is_some_and(|total| offset >= total) {
                (offset, refused_in_pass, grew) = (0, 0, false);
            }
        }
        Ok(false)
    }

    /// Draws the conclusions of a read.
    fn finish(&self, chat: &Chat, read: Read, drained: bool, failures: u32) -> ReadEnd {
        let Read { deep, since, began_at, .. } = read;
        let listed = chat.listed;
        // "The list is new, the messages are old" happens on replicas, and must not pass for read.
        let confirmed = match listed.last_id {
            Some(id) => read.seen.contains(&id) || listed.last_at <= since,
            None => listed.last_at <= since || read.newest.is_some_and(|(at, _)| at >= listed.last_at),
        };
        // The list counts messages that even a deep read did not find: a replica holds them back.
        let explained = self.recorder.with(|ledger| Some(ledger.chats().get(&read.chat)?.explained));
        let missing = explained.is_some_and(|known| known >= 0 && known - read.ahead < listed.messages);
        // A first read has no count to go by, and a message dated ahead proves nothing of those before it.
        let unproven = explained == Some(-1) && listed.last_at > began_at;
        // A broken row may be whole the next time.
        let doubted = !confirmed || read.refused || (deep && missing) || unproven;
        let trusted = !doubted || failures >= CONFIRMATIONS;
        let now = self.client.server_now();
        let doubtful = self.recorder.with(|ledger| {
            let mut suspicious = false;
            ledger.update_chat(read.chat, |now_known| {
                if let Some((_, line)) = read.newest {
                    now_known.line = Some(line);
                }
                if !drained || !trusted {
                    return;
                }
                now_known.cursor = now_known.cursor.max(listed.last_at.min(now));
                let settled = now_known.listed == listed;
                if settled {
                    now_known.changed_since = None;
                }
                if deep {
                    now_known.audited_at = now_known.audited_at.max(began_at - AUDIT_MARGIN);
                    now_known.deep &= !settled;
                }
                if listed.messages >= 0 {
                    // More or fewer than the new messages explain: some came late, below the lookback.
                    let explained = now_known.explained - read.ahead;
                    suspicious = !deep && now_known.explained >= 0 && explained != listed.messages;
                    now_known.explained = listed.messages + read.ahead;
                }
            });
            if suspicious {
                ledger.mark_changed(read.chat, true);
            }
            suspicious
        });
        match drained && trusted {
            true if doubtful => ReadEnd::Doubtful,
            true => ReadEnd::Done,
            false => ReadEnd::Behind,
        }
    }

    /// Hands a page of messages to the ledger.
    fn take_in_messages(&self, endpoint: Endpoint, read: &mut Read, page: &Page<MessageRow>) -> Taken {
        let now = self.client.server_now();
        let (interval, horizon) = (self.interval(), millis(self.options.horizon));
        let mut directory = self.directory();
        let mut taken = Taken {
            distinct: page.refused.len(),
            fresh: 0,
            oldest: i64::MAX,
            newest: i64::MIN,
            ascending: true,
        };
        read.refused |= !page.refused.is_empty();
        self.recorder.with(|ledger| {
            for refusal in &page.refused {
                ledger.note_refusal(endpoint, *refusal);
            }
            for field in &page.unknown {
                ledger.note_unknown(*field, 1);
            }
            let mut counted = 0;
            let mut on_page = Ids::with_capacity_and_hasher(page.rows.len(), BuildKeyedHasher::default());
            for row in &page.rows {
                let line = ledger.line(row.line.as_deref());
                let observation = Observation {
                    id: self.keyring.message(&row.id),
                    direction: row.direction,
                    line,
                    sent_at: row.sent_at,
                    delivered_at: row.delivered_at,
                    status: row.status,
                    protocol: row.protocol,
                    reason: row.reason,
                };
                let outcome = ledger.observe(read.chat, &observation, now);
                if outcome == Outcome::Counted {
                    counted += 1;
                    read.ahead += i64::from(row.sent_at > read.listed_at);
                }
                if ledger.open().contains_key(&observation.id) {
                    directory.messages.insert(observation.id, row.id.clone());
                    let wait = recheck_after((now - row.sent_at).max(0), interval, horizon);
                    ledger.reschedule(observation.id, now + wait);
                } else {
                    directory.messages.remove(&observation.id);
                }
                taken.distinct += usize::from(on_page.insert(observation.id));
                taken.fresh += usize::from(read.seen.insert(observation.id));
                taken.ascending &= row.sent_at >= taken.newest;
                taken.oldest = taken.oldest.min(row.sent_at);
                taken.newest = taken.newest.max(row.sent_at);
                if line != LineId::NONE && read.newest.is_none_or(|(at, _)| row.sent_at >= at) {
                    read.newest = Some((row.sent_at, line));
                }
            }
            if counted > 0 {
                ledger.update_chat(read.chat, |chat| {
                    chat.explained += if chat.explained >= 0 { counted } else { 0 };
                });
            }
        });
        taken
    }

    async fn read_failed(&self, key: ChatKey, error: &ApiError) -> ReadEnd {
        if error.is_not_found() && self.is_gone(key).await {
            let _ = self.commit().await;
            return ReadEnd::Done;
        }
        if !error.is_not_found() {
            self.conditions.failed(error);
        }
        match error.fault {
            Fault::RateLimited { .. } => ReadEnd::Paused,
            _ => ReadEnd::Failed,
        }
    }

    /// Looks at a chat on its own, because something of it answered 404. One that is gone itself has
    /// nothing to read; should it be listed again, it counts as changed.
    async fn is_gone(&self, key: ChatKey) -> bool {
        let Some(id) = self.directory().chats.get(&key).cloned() else { return true };
        match self.client.get_chat(id).await {
            Ok(answer) => {
                self.conditions.succeeded(Endpoint::GetChat);
                self.take_in(Endpoint::GetChat, &answer.value);
                false
            }
            Err(error) if error.is_not_found() => {
                self.recorder.with(|ledger| {
                    ledger.update_chat(key, |chat| {
                        chat.changed_since = None;
                        chat.deep = true;
                        chat.listed.messages = i64::MIN;
                    });
                });
                true
            }
            Err(error) => {
                self.conditions.failed(&error);
                false
            }
        }
    }

    /// Asks for open messages of one chat: one of them by its id, several by a single page of the list.
    pub(super) async fn recheck(&self, key: ChatKey, ids: Vec<MessageId>) {
        let now = self.client.server_now();
        let Some(chat) = self.directory().chats.get(&key).cloned() else { return };
        let mut read = Read::new(key, false, 0, now, i64::MAX);
        let single = match ids.as_slice() {
            [id] => self.directory().messages.get(id).cloned(),
            _ => None,
        };
        let (result, endpoint, range) = match single {
            Some(message) => {
                let answer = self.client.get_message(chat, message).await;
                (answer.map(|answer| answer.value), Endpoint::GetMessage, None)
            }
            None => {
                let sent_at =
                    |id: &MessageId| self.recorder.with(|ledger| Some(ledger.tracked(*id)?.sent_at));
                let times: Vec<i64> = ids.iter().filter_map(sent_at).collect();
                let (Some(oldest), Some(newest)) = (times.iter().min(), times.iter().max()) else { return };
                let (since, until) = ((oldest - 1).max(0), newest + 1);
                let answer = self.client.list_messages(chat.clone(), since, Some(until), 0).await;
                let range = Some((chat, *oldest, until));
                (answer.map(|answer| answer.value), Endpoint::ListMessages, range)
            }
        };
        let page = match result {
            Ok(page) => page,
            Err(error) if error.is_not_found() => {
                self.recorder.with(|ledger| {
                    for id in &ids {
                        ledger.note_missing(*id, now);
                    }
                });
                self.postpone(&ids, &read.seen, i64::MAX);
                self.is_gone(key).await;
                let _ = self.commit().await;
                return;
            }
            Err(error) => {
                self.conditions.failed(&error);
                self.postpone(&ids, &read.seen, i64::MIN);
                return;
            }
        };
        self.conditions.succeeded(endpoint);
        let taken = self.take_in_messages(endpoint, &mut read, &page);
        let complete = page.is_empty() || page.total.is_some_and(|total| taken.distinct as u64 == total);
        let covered = match range {
            None => i64::MAX,
            Some((_, _, until)) if complete => until,
            // The page's last millisecond may go on behind it.
            Some((_, oldest, _)) if taken.newest > oldest => taken.newest - 1,
            // The page did not get past the oldest one's millisecond: that is gone through by itself.
            Some((chat, oldest, _)) => {
                match self.read_by_offset(&chat, oldest - 1, Some(oldest + 1), &mut read).await {
                    Ok(true) => oldest,
                    Ok(false) => i64::MIN,
                    Err(error) => {
                        self.conditions.failed(&error);
                        i64::MIN
                    }
                }
            }
        };
        self.recorder.with(|ledger| {
            for id in ids.iter().filter(|id| !read.seen.contains(id)) {
                if ledger.tracked(*id).is_some_and(|tracked| tracked.sent_at <= covered) {
                    ledger.note_missing(*id, now);
                }
            }
        });
        self.postpone(&ids, &read.seen, covered);
        let _ = self.commit().await;
    }

    /// Says when the open messages that were asked for but not seen are asked for again: by their age, or
    /// soon when the answer did not reach to them.
    fn postpone(&self, ids: &[MessageId], seen: &Ids, covered: i64) {
        let (now, interval, horizon) =
            (self.client.server_now(), self.interval(), millis(self.options.horizon));
        self.recorder.with(|ledger| {
            for id in ids.iter().filter(|id| !seen.contains(id)) {
                let Some(sent_at) = ledger.tracked(*id).map(|tracked| tracked.sent_at) else { continue };
                let wait = match covered {
                    i64::MIN => interval,
                    covered if sent_at <= covered => recheck_after((now - sent_at).max(0), interval, horizon),
                    _ => 0,
                };
                ledger.reschedule(*id, now + wait);
            }
        });
    }

    /// Probes the device of a line. False when the chat is not there any more, so that another must be taken.
    pub(super) async fn probe(&self, line: LineId, key: ChatKey) -> bool {
        let Some(chat) = self.directory().chats.get(&key).cloned() else { return false };
        let (result, seconds) = self.client.probe(chat).await;
        let fault = result.as_ref().err().map(|error| error.fault);
        let code = fault.map_or(Code::Status(200), |fault| fault.code());
        let number = self.recorder.with(|ledger| ledger.line_name(line).to_owned());
        match &result {
            Ok(()) => self.conditions.probe_succeeded(line, &number),
            Err(error) => self.conditions.probe_failed(line, &number, error),
        }
        self.recorder.with(|ledger| ledger.note_probe(line, code, seconds));
        // A refused key, a missing chat or a rate limit says nothing of the device.
        let silent = matches!(code, Code::Status(400 | 401 | 403 | 404 | 429));
        if !silent {
            self.recorder.health(|health| health.probes.insert(line, result.is_ok()));
        }
        let _ = self.commit().await;
        !matches!(code, Code::Status(400 | 404))
    }

    /// Asks for the lines. False when the server does not know the endpoint.
    pub(super) async fn ask_numbers(&self) -> bool {
        let page = match self.client.list_numbers().await {
            Ok(answer) => answer.value,
            Err(error) if error.is_not_found() => {
                self.recorder.health(|health| {
                    health.active.clear();
                    health.last_active.clear();
                });
                tracing::info!("this server has no GET /me/numbers: blooio_line_active stays empty");
                return false;
            }
            Err(error) => {
                self.conditions.failed(&error);
                return true;
            }
        };
        self.conditions.succeeded(Endpoint::ListNumbers);
        let rows = self.recorder.with(|ledger| {
            for refusal in &page.refused {
                ledger.note_refusal(Endpoint::ListNumbers, *refusal);
            }
            let rows = page.rows.iter().map(|row| (ledger.line(Some(&row.number)), row));
            rows.filter(|(line, _)| *line != LineId::OVERFLOW).collect::<Vec<_>>()
        });
        let active = rows.iter().filter_map(|(line, row)| Some((*line, row.active?)));
        let last_active = rows.iter().filter_map(|(line, row)| Some((*line, row.last_active?)));
        self.recorder.health(|health| {
            health.active = active.collect();
            health.last_active = last_active.collect();
        });
        let _ = self.commit().await;
        true
    }
}
