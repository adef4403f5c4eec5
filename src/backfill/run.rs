//! A run: what is asked for is compared with what an earlier run left, the accounts are read, and the files are written.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::buckets::Buckets;
use super::directory::{Directory, ENDING, Found};
use super::history::Rules;
use super::journal::{AccountRequest, Entry, Journal, Request};
use super::openmetrics::{Account, Writer};
use super::outage::Outage;
use super::progress::Progress;
use super::range::{Range, date, moment, whole_steps};
use super::reader::{Reader, Tally, Task, damaged};
use super::{Failure, readme};
use crate::api::{Client, Fault, Transport};
use crate::collect::IdHasher;
use crate::domain::View;
use crate::metrics::registry::Display;

/// Prometheus keeps the newest samples in its head block, to which nothing older can be added, for three hours.
pub const HEAD: i64 = 3 * 3_600_000;
/// Difference of two clocks from which on samples and messages are not of the same time, in ms.
const CLOCKS_DIFFER: i64 = 300_000;

/// One account to fill.
pub struct JobAccount<T> {
    /// The name of the account.
    pub name: String,
    /// The client of the account's API.
    pub client: Client<T>,
    /// Most requests per second to this account.
    pub budget: f64,
    /// Its baseline, unix ms.
    pub baseline: i64,
    /// Age at which an open message is given up, in ms.
    pub horizon: i64,
    /// Messages of ours that follow each other within this share a turn, in ms.
    pub turn: i64,
}

/// What is asked for.
pub struct Job<T> {
    /// Where the files go.
    pub directory: Directory,
    /// `--from` as it was given.
    pub from_given: String,
    /// `--to` as it was given.
    pub to_given: Option<String>,
    /// Messages sent at or before this are left out, unix ms.
    pub from: i64,
    /// Messages sent after this are left out, unix ms; none that is later than the baseline is read without it either.
    pub to: Option<i64>,
    /// Length of a step, in ms.
    pub step: i64,
    /// Labels of every series.
    pub labels: BTreeMap<String, String>,
    /// The accounts to read, in the order of the request.
    pub accounts: Vec<JobAccount<T>>,
    /// How lines are named in labels.
    pub display: Display,
    /// Whether chats that cannot be read are left out.
    pub skip_unreadable: bool,
    /// A random key that ids are hashed with in a new journal.
    pub key: [u8; 32],
    /// The host's clock, unix ms.
    pub now: i64,
}

/// What a finished backfill wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What is reported of each account, by name.
    pub accounts: Vec<(String, Tally)>,
    /// How many files with samples there are.
    pub files: u64,
    /// Size of these files together, in bytes.
    pub bytes: u64,
}

/// Reads what is asked for and writes the files.
///
/// # Errors
/// One line for the person who asked.
pub async fn run<T: Transport>(job: Job<T>) -> Result<Report, Failure> {
    let found = job.directory.look()?;
    check(&job)?;
    let (journal, request, latest) = match found {
        Found::Nothing => begin(&job).await?,
        Found::Unfinished => take_up(&job)?,
    };
    let Job { directory, accounts, labels, display, skip_unreadable, .. } = job;
    let key = key_of(&request.key).ok_or_else(damaged)?;
    let (journal, progress) = (Mutex::new(journal), Progress::new(accounts.iter().map(|a| a.budget)));
    let mut readers = Vec::new();
    for (n, (account, asked)) in accounts.into_iter().zip(&request.accounts).enumerate() {
        let range = Range::new(request.from, asked.to, asked.latest, request.step)
            .map_err(|error| Failure(format!("--from: the range {error}; name an earlier time")))?;
        let rules = Rules { horizon: asked.horizon, turn: asked.turn, as_of: request.as_of };
        let hasher = IdHasher::new(&key, &account.name);
        let task = Task { account: n, name: account.name, client: account.client, hasher, range, rules };
        readers.push(Reader::new(task, &journal, &progress));
    }
    resume(&mut readers, &journal, latest)?;
    tokio::select! {
        read = try_join_all(readers.iter_mut().map(Reader::run)) => drop(read?),
        () = progress.show() => {}
    }
    let names = request.accounts.iter().map(|account| account.name.clone());
    let tallies: Vec<(String, Tally)> = names.zip(readers.iter().map(Reader::tally)).collect();
    complain(&tallies, &readers, skip_unreadable)?;
    let read: Vec<(View, Range, Buckets)> = readers
        .into_iter()
        .zip(&request.accounts)
        .map(|(reader, account)| {
            let (lines, range, buckets) = reader.finish();
            (lines.view(&account.name), range, buckets)
        })
        .collect();
    let accounts = read.iter().map(|(view, range, buckets)| Account::new(view, *range, buckets));
    let mut writer = Writer::new(accounts.collect(), &display, &labels);
    let (mut files, mut bytes) = (0, 0);
    for day in writer.days() {
        bytes += directory.write(&format!("{}.{ENDING}", date(day)), |file| writer.day(day, file))?;
        files += 1;
        // A signal ends the run between two files.
        tokio::task::yield_now().await;
    }
    directory.finish(&readme::text(&request, &tallies))?;
    Ok(Report { accounts: tallies, files, bytes })
}

/// Fails where something could not be read, unless that is to be left out.
fn complain<T: Transport>(
    tallies: &[(String, Tally)],
    readers: &[Reader<'_, T>],
    skip_unreadable: bool,
) -> Result<(), Failure> {
    for ((name, tally), reader) in tallies.iter().zip(readers) {
        note(name, tally);
        if tally.hidden > 0 && !skip_unreadable {
            return Err(Failure(format!(
                "account {name}: {} rows of the list of chats cannot be used, and hide their chats; report it if it stays so, \
                 then run the same command again, or leave them out with --skip-unreadable",
                tally.hidden
            )));
        }
        if let Some(error) = reader.unreadable().filter(|_| !skip_unreadable) {
            return Err(Failure(format!(
                "account {name}: {} chats cannot be read, the first because: {error}; {}, then run the same command again, \
                 or leave them out with --skip-unreadable",
                tally.unreadable,
                error.advice()
            )));
        }
    }
    Ok(())
}

/// What can be judged before anything is asked.
fn check<T>(job: &Job<T>) -> Result<(), Failure> {
    for JobAccount { name, baseline, .. } in &job.accounts {
        let since = job.now - baseline;
        if since < HEAD {
            let wait = humantime::format_duration(Duration::from_secs(((HEAD - since) / 1_000 + 1) as u64));
            return Err(Failure(format!(
                "account {name}: first started less than 3 hours ago ({}), and Prometheus takes no older samples while its \
                 newest ones reach back to that; wait another {wait}",
                moment(*baseline)
            )));
        }
        if let Some(to) = job.to.filter(|to| to > baseline) {
            return Err(Failure(format!(
                "--to: {} overlaps with the counters of the running exporter, which begin at {} in account {name}; name an \
                 earlier time, or leave --to out",
                moment(to),
                moment(*baseline)
            )));
        }
        let to = job.to.unwrap_or(*baseline);
        if job.from >= to {
            return Err(Failure(format!(
                "--from: {} is not before the end of the range, which is {} in account {name}; name an earlier time",
                moment(job.from),
                moment(to)
            )));
        }
        Range::new(job.from, to, to, job.step).map_err(|error| {
            Failure(format!("--from: the range up to {} {error}; name an earlier time", moment(to)))
        })?;
    }
    Ok(())
}

type Begun = (Journal, Request, BTreeMap<(usize, String), u64>);

/// Begins a run in a directory that holds none.
async fn begin<T: Transport>(job: &Job<T>) -> Result<Begun, Failure> {
    let mut accounts = Vec::new();
    for account in &job.accounts {
        let ahead = clock_ahead(account).await?;
        let to = job.to.unwrap_or(account.baseline);
        // What the exporter showed first is dated by this machine's clock.
        let latest = account.baseline - ahead.max(0);
        let (name, baseline) = (account.name.clone(), account.baseline);
        accounts.push(AccountRequest {
            name,
            baseline,
            to,
            latest,
            horizon: account.horizon,
            turn: account.turn,
        });
    }
    let request = Request {
        version: Request::version(),
        key: job.key.iter().map(|byte| format!("{byte:02x}")).collect(),
        from_given: job.from_given.clone(),
        to_given: job.to_given.clone(),
        from: whole_steps(job.from, job.step),
        step: job.step,
        as_of: job.now,
        labels: job.labels.clone(),
        accounts,
    };
    job.directory.make()?;
    let path = job.directory.journal();
    let journal = Journal::create(&path, &request).map_err(|error| job.directory.journal_failure(&error))?;
    Ok((journal, request, BTreeMap::new()))
}

/// Whether a server answered that may answer otherwise soon. An address that does not answer, or not as the API does, may be
/// the wrong one: to wait for it would hide that.
fn is_of_a_server(fault: Fault) -> bool {
    fault.is_retryable() && matches!(fault, Fault::Status(_) | Fault::RateLimited { .. })
}

/// How far the server's clock is ahead of this machine's, in ms, as far as its `Date` shows.
async fn clock_ahead<T: Transport>(account: &JobAccount<T>) -> Result<i64, Failure> {
    let mut outage = Outage::new(&account.name);
    let answer = loop {
        match account.client.list_chats(0, 1).await {
            Ok(answer) => break answer,
            Err(error) if is_of_a_server(error.fault) => outage.bear(&error).await?,
            Err(error) => {
                return Err(Failure(format!("account {}: {error}; {}", account.name, error.advice())));
            }
        }
    };
    let ahead = answer.date.map_or(0, |date| date - account.client.server_now());
    if ahead.abs() > CLOCKS_DIFFER {
        let by = humantime::format_duration(Duration::from_secs(ahead.unsigned_abs() / 1_000));
        return Err(Failure(format!(
            "account {}: the clocks of the API and of this machine differ by {by}, so that messages and samples are not of the \
             same time; set this machine's clock",
            account.name
        )));
    }
    Ok(ahead)
}

/// Takes up what an earlier run left, if it was asked for the same.
fn take_up<T>(job: &Job<T>) -> Result<Begun, Failure> {
    let mut latest = BTreeMap::new();
    let mut lines = 0;
    let path = job.directory.journal();
    let (journal, request) = Journal::open(&path, |entry, place| match entry {
        Entry::Line { account, .. } => {
            lines += 1;
            latest.insert((account, format!("line {lines:09}")), place);
        }
        Entry::Chat { account, chat, .. } => drop(latest.insert((account, format!("then {chat}")), place)),
    })
    .map_err(|error| job.directory.journal_failure(&error))?;
    let asked: Vec<_> = job.accounts.iter().map(|a| (&a.name, a.baseline, a.horizon, a.turn)).collect();
    let before: Vec<_> = request.accounts.iter().map(|a| (&a.name, a.baseline, a.horizon, a.turn)).collect();
    let differs = [
        ("--from", request.from_given != job.from_given),
        ("--to", request.to_given != job.to_given),
        ("--step", request.step != job.step),
        ("--label", request.labels != job.labels),
        ("the accounts, their baselines or their settings", before != asked),
    ];
    if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
        return Err(Failure(format!(
            "--to-directory: holds a run that was not finished, and {what} differ from what that run was given; run the same \
             command again, or name another directory"
        )));
    }
    tracing::info!(chats = latest.len() as u64 - lines, "going on where the run before stopped");
    Ok((journal, request, latest))
}

/// Hands what an earlier run read to the readers: lines in their order first, then the newest entry of each chat.
fn resume<T: Transport>(
    readers: &mut [Reader<'_, T>],
    journal: &Mutex<Journal>,
    latest: BTreeMap<(usize, String), u64>,
) -> Result<(), Failure> {
    for ((account, _), place) in latest {
        let mut journal = journal.lock();
        let entry = journal.read(place).map_err(|_| damaged())?;
        drop(journal);
        readers.get_mut(account).ok_or_else(damaged)?.resume(entry, place)?;
    }
    Ok(())
}

/// Warns of what is missing.
fn note(account: &str, tally: &Tally) {
    for (count, what) in [
        (tally.rejected, "rows of messages could not be used and are in no counter"),
        (tally.hidden, "rows of the list of chats could not be used, and hide their chats"),
        (
            tally.doubtful,
            "chats gave answers that contradict each other or the list, and were taken as they were last",
        ),
        (tally.unreadable, "chats cannot be read"),
    ] {
        if count > 0 {
            tracing::warn!(account, count, "{what}");
        }
    }
}

fn key_of(hex: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (n, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(key)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Tally { chats, messages, requests, .. }) in &self.accounts {
            writeln!(f, "account {name}: {messages} messages of {chats} chats, {requests} requests")?;
        }
        write!(f, "{} files, {} bytes; README.md beside them says how to import them", self.files, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        assert_eq!(key_of(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(key_of(&"0f".repeat(31)), None);
        assert_eq!(key_of(&"é".repeat(32)), None);
    }
}
