//! The flags of `backfill`, and what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use clap::Args;

use super::names::is_label_name;
use super::{ApiFlags, Flags, LogFlags, RuleFlags, StateFlags};
use crate::privacy::looks_like_a_key;

/// Furthest that a range reaches back.
const LONGEST_RANGE: Duration = Duration::from_secs(5 * 366 * 86_400);

/// A moment as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// As it was written.
    pub given: String,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// So long before now.
    Ago(Duration),
    /// A moment in unix ms.
    At(i64),
}

impl Moment {
    /// The moment in unix ms, at `now`.
    pub fn at(&self, now: i64) -> i64 {
        match self.meaning {
            Meaning::Ago(ago) => now - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX / 4),
            Meaning::At(at) => at,
        }
    }
}

/// A time as RFC 3339 has it, in unix ms; UTC where it names no offset, midnight where it is a date.
fn parse_time(text: &str) -> Option<i64> {
    let midnight = if text.len() == 10 { format!("{text} 00:00:00") } else { String::new() };
    let utc = |text: &str| {
        let since = humantime::parse_rfc3339_weak(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    };
    let with_offset = || {
        let (time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        let sign = if offset.starts_with('-') { -1 } else { 1 };
        let (hours, minutes) = offset.strip_prefix(['+', '-'])?.split_once(':')?;
        let number = |text: &str| text.parse::<u8>().ok().map(i64::from).filter(|n| *n < 60);
        let minutes = number(hours).filter(|hours| *hours < 24)? * 60 + number(minutes)?;
        utc(time).filter(|_| time.len() > 10).map(|at| at - sign * minutes * 60_000)
    };
    utc(text).or_else(|| utc(&midnight)).or_else(with_offset)
}

fn parse_moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    let given = text.to_owned();
    if let Some(at) = parse_time(text) {
        return Ok(Moment { given, meaning: Meaning::At(at) });
    }
    // `M` is humantime's month.
    match humantime::parse_duration(text) {
        Ok(ago) if !text.contains('M') && !ago.is_zero() && ago <= LONGEST_RANGE => {
            Ok(Moment { given, meaning: Meaning::Ago(ago) })
        }
        Ok(_) if text.contains('M') => {
            Err("has the unit of a month; write 30d, or 2026-10-01T00:00:00Z".to_owned())
        }
        Ok(_) => Err("not a duration above zero and up to five years".to_owned()),
        Err(_) => {
            Err("neither a duration before now such as 30d, nor a time such as 2026-10-01T00:00:00Z"
                .to_owned())
        }
    }
}

fn parse_step(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "not a duration; write it as 1m".to_owned())
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not a label; write it as job=blooio")?;
    if !is_label_name(name) {
        return Err("not the name of a label; use letters, digits and underscores".to_owned());
    }
    if value.is_empty() || value.chars().count() > 128 || value.chars().any(char::is_control) {
        return Err(
            "not the value of a label; use 1 to 128 characters, none of them a control character".to_owned()
        );
    }
    if looks_like_a_key(value) {
        return Err("holds an API key, and stands in files; choose another value".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The flags of `backfill`.
#[derive(Debug, Clone, Args)]
pub struct BackfillArgs {
    /// Start of the history: a duration before now, or a time such as 2026-10-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub from: Moment,
    /// End of the history, not later than the first start of the exporter [default: the first start]
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub to: Option<Moment>,
    /// Directory for the files: one that is empty, does not exist, or holds a run that was interrupted
    #[arg(long, value_name = "PATH")]
    pub to_directory: PathBuf,
    /// Label of every series, repeatable; job and instance as Prometheus attaches them to scrapes
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub labels: Vec<(String, String)>,
    /// Time between two samples, 15s to 5m
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_step)]
    pub step: Duration,
    /// File with the metrics page of the exporter, to take the first start from; - for standard input
    #[arg(long, value_name = "PATH")]
    pub from_metrics: Option<PathBuf>,
    /// Name of an account to fill, repeatable [default: every account]
    #[arg(long = "account", value_name = "NAME")]
    pub accounts: Vec<String>,
    /// Leave chats out that cannot be read
    #[arg(long)]
    pub skip_unreadable: bool,
    /// Which API is asked.
    #[command(flatten)]
    pub api: ApiFlags,
    /// How messages are counted.
    #[command(flatten)]
    pub rules: RuleFlags,
    /// Requests per second, over all endpoints of one account [default: half of the exporter's]
    #[arg(long = "api.budget", value_name = "NUMBER", allow_negative_numbers = true)]
    pub api_budget: Option<String>,
    /// State of the exporter, to take the first start from; it is only read [env: BLOOIO_EXPORTER_STATE] [default: blooio-exporter.db]
    #[arg(long = "state.path", value_name = "PATH")]
    pub state_path: Option<PathBuf>,
    /// Flags of a shared state.
    #[command(flatten)]
    pub state: StateFlags,
    /// Level and format of the log.
    #[command(flatten)]
    pub log: LogFlags,
}

impl BackfillArgs {
    /// The flags of `serve` that say which accounts there are, and how they are read.
    pub fn flags(&self) -> Flags {
        Flags {
            api: self.api.clone(),
            rules: self.rules.clone(),
            api_budget: self.api_budget.clone(),
            state_path: self.state_path.clone(),
            state: self.state.clone(),
            log: self.log.clone(),
            ..Flags::default()
        }
    }

    /// The labels of every series. `taken` are those that the exporter sets itself.
    ///
    /// # Errors
    /// One line, when one is missing, comes twice or is taken.
    pub fn all_labels(&self, taken: &BTreeSet<&str>) -> Result<BTreeMap<String, String>, String> {
        let mut labels = BTreeMap::new();
        for (name, value) in &self.labels {
            if taken.contains(name.as_str()) {
                return Err(format!("--label: {name} is a label of the exporter's own; leave it out"));
            }
            if labels.insert(name.clone(), value.clone()).is_some() {
                return Err(format!("--label: {name} is given twice; leave one out"));
            }
        }
        match ["job", "instance"].iter().find(|name| !labels.contains_key(**name)) {
            Some(name) => Err(format!(
                "--label: {name} is missing, so that these series would be others than those that Prometheus scrapes; add \
                 --label {name}=VALUE as it stands on blooio_up in your Prometheus"
            )),
            None => Ok(labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_duration_before_now_or_a_time() {
        let now = 1_795_790_000_000;
        for (text, at) in [
            ("30d", now - 30 * 86_400_000),
            ("1h 30m", now - 5_400_000),
            ("2026-10-01T00:00:00Z", 1_790_812_800_000),
            ("2026-10-01 00:00:00", 1_790_812_800_000),
            ("2026-10-01", 1_790_812_800_000),
            ("2026-10-01T02:00:00+02:00", 1_790_812_800_000),
            ("2026-09-30T18:30:00.000-05:30", 1_790_812_800_000),
        ] {
            assert_eq!(parse_moment(text).unwrap().at(now), at, "{text}");
        }
        for text in [
            "",
            "0s",
            "yesterday",
            "30",
            "-1d",
            "1M",
            "99y",
            "1960-01-01T00:00:00Z",
            "2026-13-01",
            "2026-10-01+02:00",
            "2026-10-01T02:00:00+25:00",
        ] {
            assert!(parse_moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn steps_and_labels_have_their_limits() {
        assert_eq!(parse_step("1m"), Ok(Duration::from_secs(60)));
        assert!(parse_step("x").is_err());
        for (text, is_good) in [
            ("job=blooio", true),
            ("instance=10.0.0.1:12566", true),
            ("a_1=x=y", true),
            ("job", false),
            ("1job=x", false),
            ("__name__=x", false),
            ("jöb=x", false),
            ("job=", false),
            ("job=bl_live_x", false),
        ] {
            assert_eq!(parse_label(text).is_ok(), is_good, "{text}");
        }
    }
}
