//! Wires the backfill together: settings, keys, clients, and where the baselines are read from.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Read as _;
use std::path::Path;

use super::{Failure, failure, keys, random, say, state, watched};
use crate::api::{Client, Options};
use crate::backfill::directory::Directory;
use crate::backfill::{self, Job, JobAccount, baseline, range};
use crate::clock::Clock;
use crate::collect::millis;
use crate::config::{Account, BackfillArgs, Settings};
use crate::domain::Group;
use crate::files::{self, ReadError};
use crate::metrics::registry::Display;
use crate::privacy::{quoted, shown};
use crate::store::PostgresState;
use crate::store::sqlite::StateFile;

/// Largest metrics page that is read, in bytes.
const MAX_PAGE: u64 = 64 << 20;

/// Writes the message history of accounts as OpenMetrics text.
///
/// # Errors
/// One line that says what is missing, or why it is too early.
pub async fn backfill(
    settings: &Settings,
    args: &BackfillArgs,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let labels = args.all_labels(&own_labels()).map_err(Failure)?;
    let step = range::step(args.step)
        .map_err(|why| Failure(format!("--step: {} {why}", humantime::format_duration(args.step))))?;
    let with_keys = keys::with_keys(settings)?;
    let chosen = chosen(settings, &args.accounts)?;
    let (baselines, source) = baselines(settings, args)?;
    let now = Clock::System.now();
    let mut accounts = Vec::new();
    for (account, key) in with_keys.into_iter().filter(|(account, _)| chosen.contains(&account.name)) {
        let baseline = baselines.get(&account.name).copied().ok_or_else(|| {
            Failure(format!(
                "account {}: {source} holds no first start of it; start the exporter with this account, and wait 3 hours",
                account.name
            ))
        })?;
        // The other half is the running exporter's.
        let budget = account.api.budget * if args.api_budget.is_some() { 1.0 } else { 0.5 };
        let client = Client::new(watched::transport(&account, key)?, Clock::System, Options { budget });
        accounts.push(JobAccount {
            name: account.name.clone(),
            client,
            budget,
            baseline,
            horizon: millis(account.collector.horizon),
            turn: millis(account.conversation.turn),
        });
    }
    let aliases = |account: &Account| (account.name.clone(), account.lines.clone());
    let mut display = Display::default();
    display.aliases = settings.accounts.iter().map(aliases).collect();
    let job = Job {
        directory: Directory::new(&args.to_directory),
        from_given: args.from.given.clone(),
        to_given: args.to.as_ref().map(|to| to.given.clone()),
        from: args.from.at(now),
        to: args.to.as_ref().map(|to| to.at(now)),
        step,
        labels,
        accounts,
        display,
        skip_unreadable: args.skip_unreadable,
        key: random::key()?,
        now,
    };
    let report = tokio::select! {
        biased;
        () = stop => Err(Failure(String::from("interrupted; run the same command again to go on"))),
        report = backfill::run(job) => report.map_err(failure),
    };
    say(&report?.to_string())
}

/// The labels that the families of history have.
fn own_labels() -> BTreeSet<&'static str> {
    let groups = [Group::Messages, Group::Conversations].into_iter();
    let families = groups.flat_map(|group| group.counters().chain(group.histograms()));
    families.flat_map(|family| family.labels.iter().copied()).chain(["le"]).collect()
}

/// The names of the accounts that are asked for.
fn chosen(settings: &Settings, names: &[String]) -> Result<BTreeSet<String>, Failure> {
    let all: Vec<&str> = settings.accounts.iter().map(|account| account.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !all.contains(&name.as_str())) {
        return Err(Failure(format!("--account: {}is not one of {}", quoted(unknown), all.join(", "))));
    }
    let chosen = names.iter().cloned().collect::<BTreeSet<_>>();
    Ok(if chosen.is_empty() { all.into_iter().map(str::to_owned).collect() } else { chosen })
}

/// The baseline of each account, and what it was read from.
fn baselines(settings: &Settings, args: &BackfillArgs) -> Result<(BTreeMap<String, i64>, String), Failure> {
    let Some(path) = &args.from_metrics else {
        if let Some(database) = &settings.database {
            let found = PostgresState::baselines(state::options(database)).map_err(|error| {
                Failure(format!("{error}; or name the exporter's metrics page with --from-metrics"))
            })?;
            return Ok((found, "the state database".to_owned()));
        }
        let path = &settings.state_path;
        if !path.exists() {
            return Err(Failure(format!(
                "state file {} does not exist; name that of the exporter with --state.path, or the exporter's metrics page with \
                 --from-metrics",
                shown(path)
            )));
        }
        let found = StateFile::baselines(path).map_err(|error| {
            Failure(format!("{error}; or name the exporter's metrics page with --from-metrics"))
        })?;
        return Ok((found, format!("state file {}", shown(path))));
    };
    let page = read_page(path)?;
    let found = baseline::on_page(&page);
    match found.is_empty() {
        true => Err(Failure(format!(
            "--from-metrics: {} holds no {}; save the metrics page of the exporter there",
            name_of(path),
            crate::metrics::catalogue::BASELINE.name
        ))),
        false => Ok((found, format!("--from-metrics: {}", name_of(path)))),
    }
}

fn name_of(path: &Path) -> String {
    if path == Path::new("-") { String::from("standard input") } else { shown(path) }
}

fn read_page(path: &Path) -> Result<String, Failure> {
    let refuse = |why: &str| Failure(format!("--from-metrics: {} {why}", name_of(path)));
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MAX_PAGE + 1).read_to_end(&mut bytes);
        read.map_err(|error| refuse(&format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_PAGE {
            return Err(refuse("is larger than 64 MiB; is it the metrics page?"));
        }
        bytes
    } else {
        let read = files::read_bounded(path, MAX_PAGE).map_err(|error| match error {
            ReadError::Io(error) => refuse(&format!("cannot be read: {error}")),
            ReadError::NotRegular => refuse("is not a regular file; save the metrics page in one"),
            ReadError::TooLarge => refuse("is larger than 64 MiB; is it the metrics page?"),
        });
        read?.0.to_vec()
    };
    String::from_utf8(bytes).map_err(|_| refuse("is not text; is it the metrics page?"))
}
