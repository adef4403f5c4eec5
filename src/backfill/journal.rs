//! The resume file: what was read so far, so that a run goes on where it stopped.
//!
//! One JSON object a line, behind a checksum: first the request, then a line for each chat that was read whole. A line that a
//! crash or a full disk cut short is dropped; its chat is read again. The newest line of a chat counts. Chats are keyed hashes
//! and nothing of their messages is kept but counts; the key is in the file, which is private and is removed at the end.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::buckets::{Buckets, Spread};
use crate::domain::ChatKey;
use crate::store::codec;

/// Its name in the directory.
pub const NAME: &str = "backfill.journal";
/// Version of its form.
const VERSION: u32 = 1;
/// Longest line that is read, in bytes: a chat that has something in every step of many series.
const LONGEST_LINE: u64 = 256 << 20;

/// What is filled, for one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRequest {
    /// The name of the account.
    pub name: String,
    /// Its baseline, unix ms.
    pub baseline: i64,
    /// Messages sent after this are left out, unix ms.
    pub to: i64,
    /// No sample is later, unix ms.
    pub latest: i64,
    /// Age at which an open message is given up, in ms.
    pub horizon: i64,
    /// Messages of ours that follow each other within this share a turn, in ms.
    pub turn: i64,
}

/// What a run was asked for. A run that goes on must be asked for the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Version of the form.
    pub version: u32,
    /// Key of the hashes, in hexadecimal.
    pub key: String,
    /// `--from` as it was given: a duration means the same start when the run goes on later.
    pub from_given: String,
    /// `--to` as it was given.
    pub to_given: Option<String>,
    /// Messages sent at or before this are left out, unix ms; a multiple of the step.
    pub from: i64,
    /// Length of a step, in ms.
    pub step: i64,
    /// The moment as of which ages are judged, unix ms.
    pub as_of: i64,
    /// Labels of every series.
    pub labels: BTreeMap<String, String>,
    /// The accounts to read, in the order of the configuration.
    pub accounts: Vec<AccountRequest>,
}

impl Request {
    /// The version that this program writes.
    pub const fn version() -> u32 {
        VERSION
    }
}

/// A line of the file, after the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is")]
pub enum Entry {
    /// A line of an account was seen for the first time. Lines are numbered in this order.
    #[serde(rename = "line")]
    Line {
        /// The account's place in the request.
        account: usize,
        /// The number; null for messages without one.
        name: Option<String>,
    },
    /// A chat was read.
    #[serde(rename = "chat")]
    Chat {
        /// The account's place in the request.
        account: usize,
        /// The chat, in hexadecimal.
        chat: String,
        /// A digest of the row that the list showed of it.
        row: u64,
        /// Messages of the chat that were counted.
        messages: u64,
        /// Rows that could not be used.
        rejected: u64,
        /// The server contradicted itself while the chat was read.
        doubtful: bool,
        /// The counts of the chat, by series and step.
        counted: Counted,
    },
}

/// [`Spread`] as it is written: step, sum in ms, and pairs of bucket and value.
type CountedSpread = (u32, u64, Vec<(u8, u64)>);

/// [`Buckets`] as they are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// By key: pairs of step and value.
    counters: BTreeMap<String, Vec<(u32, u64)>>,
    /// Observations by the key that the histogram has in the state.
    histograms: BTreeMap<String, Vec<CountedSpread>>,
}

impl From<&Buckets> for Counted {
    fn from(buckets: &Buckets) -> Counted {
        let mut counted = Counted::default();
        for ((counter, step), value) in &buckets.counters {
            counted.counters.entry(codec::counter_key(*counter)).or_default().push((*step, *value));
        }
        for ((key, step), spread) in &buckets.histograms {
            let counts = spread.counts.iter().map(|(bucket, value)| (*bucket, *value)).collect();
            let entry = counted.histograms.entry(codec::histogram_key(*key)).or_default();
            entry.push((*step, spread.sum, counts));
        }
        counted
    }
}

impl Counted {
    /// What was written; `None` for what no version wrote.
    pub fn buckets(&self) -> Option<Buckets> {
        let mut buckets = Buckets::default();
        for (key, steps) in &self.counters {
            let counter = codec::parse_counter(key)?;
            buckets.counters.extend(steps.iter().map(|(step, value)| ((counter, *step), *value)));
        }
        for (key, steps) in &self.histograms {
            let key = codec::parse_histogram(key)?;
            for (step, sum, counts) in steps {
                let spread = Spread { counts: counts.iter().copied().collect(), sum: *sum };
                buckets.histograms.insert((key, *step), spread);
            }
        }
        Some(buckets)
    }
}

/// A chat's key as text.
pub fn chat_text(chat: ChatKey) -> String {
    format!("{:032x}", { chat.0 })
}

/// The key of such a text.
pub fn parse_chat(text: &str) -> Option<ChatKey> {
    u128::from_str_radix(text, 16).ok().map(ChatKey)
}

/// Why a file cannot be taken up.
#[derive(Debug)]
pub enum Unusable {
    /// The system says why.
    Io(io::Error),
    /// It is not a resume file, or its first line is not whole.
    Foreign,
    /// Another process has it.
    Locked,
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        Unusable::Io(error)
    }
}

/// The open file. It is locked until it is dropped.
#[derive(Debug)]
pub struct Journal {
    file: File,
    end: u64,
}

impl Journal {
    /// Makes a new file, or takes one that is empty.
    ///
    /// # Errors
    /// When there is something in it already, or the system reports an error.
    pub fn create(path: &Path, request: &Request) -> Result<Journal, Unusable> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut journal = Journal { file, end: 0 };
        journal.lock()?;
        if journal.file.metadata()?.len() > 0 {
            return Err(Unusable::Foreign);
        }
        journal.write(request)?;
        journal.file.sync_all()?;
        Ok(journal)
    }

    /// Opens a file that is there, and hands every whole entry with its place to `take`.
    ///
    /// # Errors
    /// When it cannot be read, is none of ours, or is in use.
    pub fn open(path: &Path, mut take: impl FnMut(Entry, u64)) -> Result<(Journal, Request), Unusable> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut journal = Journal { file, end: 0 };
        journal.lock()?;
        let mut reader = BufReader::new(&journal.file);
        let (request, length) = next::<Request>(&mut reader)?.ok_or(Unusable::Foreign)?;
        if request.version != VERSION {
            return Err(Unusable::Foreign);
        }
        let mut end = length;
        while let Some((entry, length)) = next::<Entry>(&mut reader)? {
            take(entry, end);
            end += length;
        }
        drop(reader);
        // Whatever a crash left behind the last whole line.
        journal.file.set_len(end)?;
        journal.end = end;
        journal.file.seek(SeekFrom::Start(end))?;
        Ok((journal, request))
    }

    fn lock(&self) -> Result<(), Unusable> {
        use rustix::fs::{FlockOperation, flock};
        flock(&self.file, FlockOperation::NonBlockingLockExclusive).map_err(|_| Unusable::Locked)
    }

    /// Appends an entry, and returns its place.
    ///
    /// # Errors
    /// When the system reports an error. The file then ends with the entry before.
    pub fn append(&mut self, entry: &Entry) -> io::Result<u64> {
        let at = self.end;
        self.write(entry)?;
        Ok(at)
    }

    /// The entry at a place.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, at: u64) -> io::Result<Entry> {
        self.file.seek(SeekFrom::Start(at))?;
        let entry = next::<Entry>(&mut BufReader::new(&self.file));
        self.file.seek(SeekFrom::Start(self.end))?;
        let (entry, _) = entry?.ok_or_else(|| io::Error::other("the resume file is damaged"))?;
        Ok(entry)
    }

    fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec(value)?;
        let mut line = format!("{:08x} ", checksum(&json)).into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Not to be followed by another line.
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            return Err(error);
        }
        self.end += line.len() as u64;
        Ok(())
    }
}

/// The next whole line, and its length.
fn next<T: for<'a> Deserialize<'a>>(reader: &mut impl BufRead) -> io::Result<Option<(T, u64)>> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    let whole = line.strip_suffix(b"\n").filter(|line| line.len() > 9);
    let parsed = whole.and_then(|line| {
        let (sum, json) = (std::str::from_utf8(&line[..8]).ok()?, &line[9..]);
        (u32::from_str_radix(sum, 16).ok()? == checksum(json)).then(|| serde_json::from_slice(json).ok())?
    });
    Ok(parsed.map(|value| (value, line.len() as u64)))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Count, Counter, HistogramKey, LineId};

    fn request() -> Request {
        Request {
            version: VERSION,
            key: "00".to_owned(),
            from_given: "30d".to_owned(),
            to_given: None,
            from: 60_000,
            step: 60_000,
            as_of: 9,
            labels: BTreeMap::new(),
            accounts: Vec::new(),
        }
    }

    fn chat(n: u128) -> Entry {
        let mut buckets = Buckets::default();
        buckets.count(Count::One(Counter::Outbound { line: LineId(1) }), 3);
        buckets.count(Count::Took(HistogramKey::ReplyDelay { line: LineId(1) }, 70_000), 4);
        let (chat, counted) = (chat_text(ChatKey(n)), Counted::from(&buckets));
        assert_eq!(counted.buckets(), Some(buckets));
        Entry::Chat { account: 0, chat, row: u64::MAX, messages: 1, rejected: 0, doubtful: false, counted }
    }

    #[test]
    fn whatever_a_crash_leaves_behind_the_last_whole_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut journal = Journal::create(&path, &request()).unwrap();
        let line = Entry::Line { account: 0, name: Some("+1".to_owned()) };
        let places = [journal.append(&line).unwrap(), journal.append(&chat(7)).unwrap()];
        assert_eq!(journal.read(places[1]).unwrap(), chat(7));
        assert!(matches!(Journal::open(&path, |_, _| {}), Err(Unusable::Locked)));
        journal.append(&chat(8)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut found = Vec::new();
            let (mut journal, read) = Journal::open(&path, |entry, at| found.push((entry, at))).unwrap();
            assert_eq!(read, request());
            assert_eq!(found, [(line.clone(), places[0]), (chat(7), places[1])], "cut at {cut}");
            let at = journal.append(&chat(9)).unwrap();
            assert_eq!(journal.read(at).unwrap(), chat(9));
        }
        let mut flipped = whole.clone();
        flipped[places[1] as usize + 40] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let mut found = 0;
        Journal::open(&path, |_, _| found += 1).unwrap();
        assert_eq!(found, 1, "nothing behind a damaged line is believed");
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        for text in ["", "something else\n", "00000000 {}\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Journal::open(&path, |_, _| {}), Err(Unusable::Foreign)), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert!(matches!(Journal::create(&path, &request()), Err(Unusable::Foreign)));
    }
}
