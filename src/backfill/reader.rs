//! Reads the history of one account: which chats there are, and the messages of each.
//!
//! A chat counts only when it was read whole, and one line of the journal then holds all of it. When every chat was read, the
//! list is read again: chats whose row has changed since are read again in the place of what was read before, and what was
//! read of a chat that two lists in a row lack is taken back. A chat whose answers lack the newest message that the list names
//! is read again at once: a replica may lag. So a message that moves to another chat while this goes on, as
//! when two chats are merged, is counted once.

mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use parking_lot::Mutex;
use ring::digest;

use super::Failure;
use super::buckets::Buckets;
use super::history::{History, Rules};
use super::journal::{self, Counted, Entry, Journal};
use super::lines::Lines;
use super::outage::Outage;
use super::progress::Progress;
use super::range::Range;
use crate::api::{ApiError, ChatId, Client, Fault, MessageRow, PAGE_LIMIT, Page, Transport};
use crate::collect::IdHasher;
use crate::collect::full_listing::{FullListing, Listed, Progress as Listing};
use crate::collect::read::{Read, Shown, ShownRow, Step};
use crate::domain::{Chat, ChatKey, ChatKind, Listing as Row, MessageId, Observation};

/// Times that the list is read and what it shows as changed is read again, at most: in a busy account some chats always are.
const PASSES: u32 = 3;
/// Times that a chat is tried, with answers to other requests in between, before it counts as unreadable in this pass.
const TRIES: u32 = 3;
/// Times that a chat with unusable rows, or whose answers contradict each other, is read before it is taken as it is.
const READS: u32 = 3;
/// Messages of one chat that are held at a time, about.
const SLICE: usize = 20_000;

/// A chat of the list.
struct ListedChat {
    id: ChatId,
    kind: ChatKind,
    row: Row,
}

/// A chat that waits to be read.
struct Waiting {
    key: ChatKey,
    tries: u32,
    /// Answers at the time of the newest failure.
    answers: u64,
}

/// What is known of a chat that was read.
#[derive(Clone, Copy)]
struct Done {
    row: u64,
    place: u64,
    messages: u64,
    rejected: u64,
    doubtful: bool,
}

/// What a read of a chat gave.
#[derive(Default)]
struct ChatRead {
    buckets: Buckets,
    messages: u64,
    rejected: u64,
    doubtful: bool,
}

/// What is reported of an account that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Chats that hold messages of the range, or may have.
    pub chats: u64,
    /// Messages that were counted in this account.
    pub messages: u64,
    /// Rows of messages that could not be used.
    pub rejected: u64,
    /// Rows of the list of chats that could not be used: each hides a chat.
    pub hidden: u64,
    /// Chats whose answers contradicted each other each time.
    pub doubtful: u64,
    /// Chats that could not be read.
    pub unreadable: u64,
    /// Requests that were sent for this account.
    pub requests: u64,
}

/// What is read, and how.
pub struct Task<T> {
    /// The account's place in the request.
    pub account: usize,
    /// The name of the account.
    pub name: String,
    /// The client of the account's API.
    pub client: Client<T>,
    /// Hashes the ids of chats and messages.
    pub hasher: IdHasher,
    /// The time range to read.
    pub range: Range,
    /// The rules by which messages are counted.
    pub rules: Rules,
}

/// Reads the history of one account, chat by chat.
pub struct Reader<'a, T> {
    task: Task<T>,
    journal: &'a Mutex<Journal>,
    progress: &'a Progress,
    lines: Lines,
    buckets: Buckets,
    done: BTreeMap<ChatKey, Done>,
    unreadable: BTreeMap<ChatKey, ApiError>,
    hidden: u64,
    page_limit: u32,
    answers: u64,
    outage: Outage,
}

impl<'a, T: Transport> Reader<'a, T> {
    /// A reader that has read nothing yet.
    pub fn new(task: Task<T>, journal: &'a Mutex<Journal>, progress: &'a Progress) -> Reader<'a, T> {
        let outage = Outage::new(&task.name);
        Reader {
            task,
            outage,
            journal,
            progress,
            lines: Lines::default(),
            buckets: Buckets::default(),
            done: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            hidden: 0,
            page_limit: PAGE_LIMIT,
            answers: 0,
        }
    }

    /// Takes up an entry of the journal that an earlier run wrote at `place`: every line, and the newest entry of each chat.
    ///
    /// # Errors
    /// When the entry is none that this version writes.
    pub fn resume(&mut self, entry: Entry, place: u64) -> Result<(), Failure> {
        match entry {
            Entry::Line { name, .. } => drop(self.lines.line(name.as_deref())),
            Entry::Chat { chat, row, messages, rejected, doubtful, counted, .. } => {
                let key = journal::parse_chat(&chat).ok_or_else(damaged)?;
                self.buckets.add(&counted.buckets().ok_or_else(damaged)?);
                self.progress.messages(0, messages);
                self.done.insert(key, Done { row, place, messages, rejected, doubtful });
            }
        }
        Ok(())
    }

    /// Reads everything that was not read yet.
    ///
    /// # Errors
    /// When the API cannot be asked, or the journal cannot be written.
    pub async fn run(&mut self) -> Result<(), Failure> {
        self.outage.answered();
        for _ in 0..PASSES {
            let (listed, complete) = self.list_twice_if_any_is_gone().await?;
            if listed.is_empty() && self.done.values().any(|done| done.messages > 0) {
                return Err(Failure(format!(
                    "account {}: the list of chats is empty, and was not before; run the same command again to go on",
                    self.task.name
                )));
            }
            let stale = |(key, chat): &(&ChatKey, &ListedChat)| {
                let done = self.done.get(key).map(|done| done.row);
                let may_hold = Chat::new(chat.kind, chat.row, 0).may_hold_after(self.task.range.from);
                match done {
                    Some(row) => row != digest_of(&chat.row),
                    None => may_hold,
                }
            };
            let keys: Vec<ChatKey> = listed.iter().filter(stale).map(|(key, _)| *key).collect();
            self.unreadable.retain(|key, _| keys.contains(key));
            // A list that is empty, or lacks something, may be whole the next time.
            if keys.is_empty() && complete && self.hidden == 0 && !listed.is_empty() {
                return Ok(());
            }
            self.progress.expect(self.task.account, keys.len() as u64);
            self.read_all(&listed, keys).await?;
        }
        Ok(())
    }

    /// The list of chats, and whether it is complete. What was read of chats that are not in it any more is taken back.
    async fn list_twice_if_any_is_gone(&mut self) -> Result<(BTreeMap<ChatKey, ListedChat>, bool), Failure> {
        let (mut listed, complete) = self.list().await?;
        let lacks = |listed: &BTreeMap<ChatKey, ListedChat>, key: &ChatKey| !listed.contains_key(key);
        let holds_some = |done: &Done| done.messages > 0;
        let is_gone = |(key, done): &(&ChatKey, &Done)| holds_some(done) && lacks(&listed, key);
        if !complete || !self.done.iter().any(|entry| is_gone(&entry)) {
            return Ok((listed, complete));
        }
        let (again, complete) = self.list().await?;
        listed.extend(again);
        let gone: Vec<ChatKey> = self
            .done
            .iter()
            .filter(|(key, done)| complete && !listed.is_empty() && holds_some(done) && lacks(&listed, key))
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            self.record(key, 0, &ChatRead::default())?;
        }
        Ok((listed, complete))
    }

    /// The list of chats, and whether it is complete.
    async fn list(&mut self) -> Result<(BTreeMap<ChatKey, ListedChat>, bool), Failure> {
        let mut listing = FullListing::default();
        let mut chats = BTreeMap::new();
        loop {
            let page = self.chats_page(listing.offset()).await?;
            let mut rows = Vec::with_capacity(page.rows.len());
            for row in &page.rows {
                let key = self.task.hasher.chat(&row.id);
                let chat =
                    ListedChat { id: row.id.clone(), kind: row.kind, row: self.task.hasher.listing(row) };
                rows.push((key, chats.insert(key, chat).is_none()));
            }
            let page = Listed {
                chats: rows,
                rejected: page.rejected.len(),
                total: page.total,
                limit: self.page_limit as usize,
                asked_at: self.task.rules.as_of,
            };
            if let Listing::Done { complete } = listing.absorb(&page) {
                self.hidden = listing.rejected();
                return Ok((chats, complete));
            }
        }
    }

    async fn read_all(
        &mut self,
        listed: &BTreeMap<ChatKey, ListedChat>,
        keys: Vec<ChatKey>,
    ) -> Result<(), Failure> {
        let waiting = keys.into_iter().map(|key| Waiting { key, tries: 0, answers: 0 });
        let mut queue: VecDeque<Waiting> = waiting.collect();
        while let Some(mut waiting) = queue.pop_front() {
            let Some(chat) = listed.get(&waiting.key) else { continue };
            match self.read_chat(waiting.key, chat).await? {
                Ok(read) => {
                    self.unreadable.remove(&waiting.key);
                    self.record(waiting.key, digest_of(&chat.row), &read)?;
                }
                Err(error) if is_of_the_api(error.fault) => {
                    self.bear(&error).await?;
                    // While nothing at all is answered, that says nothing of this chat.
                    waiting.tries += u32::from(self.answers > waiting.answers);
                    waiting.answers = self.answers;
                    match waiting.tries < TRIES {
                        true => queue.push_back(waiting),
                        false => drop(self.unreadable.insert(waiting.key, error)),
                    }
                    continue;
                }
                Err(error) => drop(self.unreadable.insert(waiting.key, error)),
            }
            self.progress.chat(self.task.account);
        }
        Ok(())
    }

    /// Reads a chat, again where its rows or answers give reason to.
    async fn read_chat(
        &mut self,
        key: ChatKey,
        chat: &ListedChat,
    ) -> Result<Result<ChatRead, ApiError>, Failure> {
        for _ in 1..READS {
            match self.read_once(key, chat).await? {
                Ok(read) if read.doubtful || read.rejected > 0 => {}
                ended => return Ok(ended),
            }
        }
        self.read_once(key, chat).await
    }

    async fn read_once(
        &mut self,
        key: ChatKey,
        chat: &ListedChat,
    ) -> Result<Result<ChatRead, ApiError>, Failure> {
        let mut whole = ChatRead::default();
        let mut since = self.task.range.from;
        let mut history: Option<History> = None;
        loop {
            let slice = match self.read_slice(key, chat, since).await? {
                Ok(slice) => slice,
                Err(error) => return Ok(Err(error)),
            };
            whole.rejected += slice.rejected;
            whole.doubtful |= slice.doubtful;
            let history = history.get_or_insert_with(|| {
                // The chat has no other messages than those after the start.
                let is_new = chat.row.messages.zip(slice.total).is_some_and(|(all, n)| n >= u64::from(all));
                History::new(self.task.range, self.task.rules, chat.kind, is_new)
            });
            let cut = slice.cut.unwrap_or(i64::MAX);
            let messages = slice.messages.into_values().filter(|message| message.sent_at <= cut);
            whole.messages += history.tell(messages.collect(), &mut whole.buckets);
            match slice.cut {
                Some(cut) if cut < self.task.range.to => since = cut,
                _ => return Ok(Ok(whole)),
            }
        }
    }

    /// Reads the messages after `since` until there are no more, none more belongs to the range, or enough are held.
    async fn read_slice(
        &mut self,
        key: ChatKey,
        chat: &ListedChat,
        since: i64,
    ) -> Result<Result<Slice, ApiError>, Failure> {
        let known = Chat::new(chat.kind, chat.row, 0);
        let mut read = Read::new(key, &known, true, since, self.task.rules.as_of, 0);
        let mut slice = Slice::default();
        loop {
            let ask = read.next();
            // By time, everything up to here was seen.
            let is_by_time = ask.until.is_none() && ask.offset == 0 && ask.since > since;
            if is_by_time && (ask.since >= self.task.range.to || slice.messages.len() >= SLICE) {
                slice.cut = Some(ask.since);
                return Ok(Ok(slice));
            }
            let page = match self.messages_page(chat, ask.since, ask.until, ask.offset).await {
                Ok(page) => page,
                Err(error) if error.fault == Fault::Status(401) => return Err(self.refused(&error)),
                Err(error) => return Ok(Err(error)),
            };
            if ask.since == since && ask.until.is_none() && ask.offset == 0 {
                slice.total = page.total;
            }
            slice.rejected += page.rejected.len() as u64;
            let shown = self.take(&page, &mut slice.messages)?;
            match read.absorb(&shown) {
                Step::More => {}
                step => {
                    slice.doubtful = step == Step::Confused || !read.has_reached();
                    // Everything was seen: the count itself is better than a total, unless some rows cannot be told apart.
                    if slice.rejected == 0 {
                        slice.total = Some(slice.messages.len() as u64);
                    }
                    return Ok(Ok(slice));
                }
            }
        }
    }

    /// Takes the rows of a page, each message once, as it was shown last.
    fn take(
        &mut self,
        page: &Page<MessageRow>,
        messages: &mut BTreeMap<MessageId, Observation>,
    ) -> Result<Shown, Failure> {
        let mut rows = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            let (line, is_new) = self.lines.line(row.line.as_deref());
            if is_new {
                self.append(&Entry::Line {
                    account: self.task.account,
                    name: row.line.as_deref().map(str::to_owned),
                })?;
            }
            let mut seen = self.task.hasher.observation(row, line);
            rows.push(ShownRow { id: seen.id, sent_at: seen.sent_at, line, counted: false });
            // A server may rewrite `time_sent`, to a later time only.
            let before = messages.get(&seen.id).map_or(i64::MIN, |known| known.sent_at);
            seen.sent_at = seen.sent_at.max(before);
            messages.insert(seen.id, seen);
        }
        Ok(Shown { rows, rejected: page.rejected.len(), total: page.total })
    }

    /// A chat was read: it takes the place of what was read of it before.
    fn record(&mut self, key: ChatKey, row: u64, read: &ChatRead) -> Result<(), Failure> {
        let ChatRead { buckets, messages, rejected, doubtful } = read;
        let (messages, rejected, doubtful) = (*messages, *rejected, *doubtful);
        let place = self.append(&Entry::Chat {
            account: self.task.account,
            chat: journal::chat_text(key),
            row,
            messages,
            rejected,
            doubtful,
            counted: Counted::from(buckets),
        })?;
        let before = self.done.insert(key, Done { row, place, messages, rejected, doubtful });
        if let Some(before) = before {
            let mut journal = self.journal.lock();
            let entry = journal.read(before.place);
            drop(journal);
            self.buckets.take_back(&counted_in(entry)?);
        }
        self.buckets.add(buckets);
        self.progress.messages(before.map_or(0, |before| before.messages), messages);
        Ok(())
    }

    fn append(&self, entry: &Entry) -> Result<u64, Failure> {
        let mut journal = self.journal.lock();
        journal.append(entry).map_err(|error| {
            let advice = "make room, then run the same command again to go on";
            Failure(format!("--to-directory: {} cannot be written: {error}; {advice}", journal::NAME))
        })
    }

    /// What is reported of the account.
    pub fn tally(&self) -> Tally {
        let done = || self.done.values();
        Tally {
            chats: self.done.len() as u64,
            messages: done().map(|done| done.messages).sum(),
            rejected: done().map(|done| done.rejected).sum(),
            hidden: self.hidden,
            doubtful: done().filter(|done| done.doubtful).count() as u64,
            unreadable: self.unreadable.len() as u64,
            requests: self.task.client.requests(),
        }
    }

    /// Why a chat could not be read, if any could not.
    pub fn unreadable(&self) -> Option<&ApiError> {
        self.unreadable.values().next()
    }

    /// The lines, the range and the counts.
    pub fn finish(self) -> (Lines, Range, Buckets) {
        (self.lines, self.task.range, self.buckets)
    }
}

/// A part of a chat's messages.
#[derive(Default)]
struct Slice {
    messages: BTreeMap<MessageId, Observation>,
    /// Messages in all after the beginning of the part, where that is known.
    total: Option<u64>,
    rejected: u64,
    doubtful: bool,
    /// Up to where everything was seen; `None` when there are no more.
    cut: Option<i64>,
}

/// Whether a failure may be one of the whole API and not of the chat alone.
fn is_of_the_api(fault: Fault) -> bool {
    fault.is_retryable() && !matches!(fault, Fault::Body(_))
}

pub(super) fn damaged() -> Failure {
    let advice = "remove the directory and begin again";
    Failure(format!("--to-directory: {} is damaged; {advice}", journal::NAME))
}

fn counted_in(entry: io::Result<Entry>) -> Result<Buckets, Failure> {
    match entry {
        Ok(Entry::Chat { counted, .. }) => counted.buckets().ok_or_else(damaged),
        _ => Err(damaged()),
    }
}

/// A digest of what the list says of a chat, by which a row that changed is known. Never 0.
fn digest_of(row: &Row) -> u64 {
    let digest = digest::digest(&digest::SHA256, format!("{row:?}").as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.as_ref()[..8]);
    u64::from_be_bytes(bytes) | 1
}
