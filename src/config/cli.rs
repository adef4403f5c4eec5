//! What can be typed: commands and flags, as they stand in `--help`.
//!
//! Flags are kept as text; [`Settings::resolve`](super::Settings::resolve) gives them meaning, so that a value is judged
//! by the same rules and in the same words wherever it was written. The defaults quoted here are for the reader of
//! `--help`; a test holds them against the ones in force.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::{BackfillArgs, LogFormat, LogLevel, StateArgs, StateFlags, WebhookFlags};

/// Prometheus exporter for Blooio: counts every iMessage, RCS and SMS once.
#[derive(Debug, Parser)]
#[command(name = "blooio-exporter", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Box<Flags>,
}

impl Cli {
    /// The command that was asked for; without one, `serve` with the flags given.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.flags))
    }
}

/// What the program is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watches Blooio and serves the metrics (the default)
    Serve(Box<Flags>),
    /// Runs the simulator and an exporter that watches it, without key, network or set-up
    Demo(DemoArgs),
    /// Runs a simulated Blooio API
    Simulate(SimulateArgs),
    /// Shows a chat, its newest messages and what its device answers
    Inspect(InspectArgs),
    /// Exits with 0 when the running exporter is ready, else with 1
    Healthcheck(HealthcheckArgs),
    /// Predicts what an account costs: requests by class of work, freshness, memory, state and series
    Plan(PlanArgs),
    /// Writes the message history from before the first start as OpenMetrics text, to import into Prometheus
    Backfill(Box<BackfillArgs>),
    /// Copies the state between a file and PostgreSQL
    State(StateArgs),
}

/// The flags of `serve`. `None` or empty means that the flag was not given.
#[derive(Debug, Default, Clone, Args)]
pub struct Flags {
    /// Which API is asked.
    #[command(flatten)]
    pub api: ApiFlags,
    /// Check everything that can be checked without the network, then exit
    #[arg(long = "config.check")]
    pub config_check: bool,
    /// Time between the starts of two sweeps [default: 30s]
    #[arg(long = "collector.interval", value_name = "DURATION")]
    pub interval: Option<String>,
    /// Time between two full listings [default: 10m]
    #[arg(long = "collector.full-interval", value_name = "DURATION")]
    pub full_interval: Option<String>,
    /// Trailing window of the `recent` gauges [default: 1h]
    #[arg(long = "collector.window", value_name = "DURATION")]
    pub window: Option<String>,
    /// How far a normal read of a chat reaches behind its cursor [default: 10m]
    #[arg(long = "collector.lookback", value_name = "DURATION")]
    pub lookback: Option<String>,
    /// How late a message may appear and still be counted [default: 7d]
    #[arg(long = "collector.retention", value_name = "DURATION")]
    pub retention: Option<String>,
    /// Time between two deep reads of an active chat [default: 24h]
    #[arg(long = "collector.audit-interval", value_name = "DURATION")]
    pub audit_interval: Option<String>,
    /// How messages are counted.
    #[command(flatten)]
    pub rules: RuleFlags,
    /// Time between two device probes of a line; 0s switches probes off [default: 5m]
    #[arg(long = "probe.interval", value_name = "DURATION")]
    pub probe_interval: Option<String>,
    /// Requests per second, over all endpoints of one account [default: 2]
    #[arg(long = "api.budget", value_name = "NUMBER", allow_negative_numbers = true)]
    pub api_budget: Option<String>,
    /// The embedded store, created with mode 0600 [env: BLOOIO_EXPORTER_STATE] [default: blooio-exporter.db]
    #[arg(long = "state.path", value_name = "PATH")]
    pub state_path: Option<PathBuf>,
    /// Flags of a shared state.
    #[command(flatten)]
    pub state: StateFlags,
    /// Address to listen on, repeatable; `:12566` means all IPv4 addresses [default: 127.0.0.1:12566]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Path of the metrics page [default: /metrics]
    #[arg(long = "web.telemetry-path", value_name = "PATH")]
    pub telemetry_path: Option<String>,
    /// TLS and basic auth, in the exporter-toolkit's file format
    #[arg(long = "web.config.file", value_name = "PATH")]
    pub web_config_file: Option<PathBuf>,
    /// Answer POST /-/reload; SIGHUP reloads without it
    #[arg(long = "web.enable-lifecycle")]
    pub enable_lifecycle: bool,
    /// Host name that listeners on loopback addresses answer to, beside addresses and localhost; repeatable
    #[arg(long = "web.allowed-host", value_name = "NAME")]
    pub allowed_hosts: Vec<String>,
    /// Flags of the webhook receiver.
    #[command(flatten)]
    pub webhook: WebhookFlags,
    /// Level and format of the log.
    #[command(flatten)]
    pub log: LogFlags,
}

impl Flags {
    /// The configuration file to read: the flag, else `BLOOIO_EXPORTER_CONFIG`, else none.
    pub fn config_path(&self, env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let from_env = || env("BLOOIO_EXPORTER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.api.config_file.clone().or_else(from_env)
    }
}

/// The flags of every command that asks an API: which one, and how.
#[derive(Debug, Default, Clone, Args)]
pub struct ApiFlags {
    /// YAML configuration file [env: BLOOIO_EXPORTER_CONFIG]
    #[arg(long = "config.file", value_name = "PATH")]
    pub config_file: Option<PathBuf>,
    /// Where the Blooio API answers.
    #[arg(
        long = "blooio.base-url",
        value_name = "URL",
        help = "Blooio API; https, or plain http on a loopback address [env: BLOOIO_BASE_URL] \
                [default: https://api.blooio.com/v2/api]"
    )]
    pub base_url: Option<String>,
    /// File that holds the API key; the key itself is read from BLOOIO_API_KEY, never from a flag [env: BLOOIO_API_KEY_FILE]
    #[arg(long = "blooio.api-key-file", value_name = "PATH")]
    pub api_key_file: Option<PathBuf>,
    /// Time for one request, until its body is read [default: 30s]
    #[arg(long = "api.timeout", value_name = "DURATION")]
    pub api_timeout: Option<String>,
}

/// The flags of every command that counts messages.
#[derive(Debug, Default, Clone, Args)]
pub struct RuleFlags {
    /// Age at which an open message is given up as unconfirmed [default: 72h]
    #[arg(long = "collector.horizon", value_name = "DURATION")]
    pub horizon: Option<String>,
    /// Messages of ours that follow each other within this share a turn of their conversation; 0s: each is a turn of its own [default: 60s]
    #[arg(long = "conversation.turn", value_name = "DURATION")]
    pub conversation_turn: Option<String>,
}

/// The two flags every long-running command takes.
#[derive(Debug, Default, Clone, Args)]
pub struct LogFlags {
    /// Least severe level that is logged [default: info]
    #[arg(long = "log.level", value_name = "LEVEL", value_enum)]
    pub level: Option<LogLevel>,
    /// Form of a log line [default: logfmt]
    #[arg(long = "log.format", value_name = "FORMAT", value_enum)]
    pub format: Option<LogFormat>,
}

impl LogFlags {
    /// The log settings of a command that reads no configuration file: the flags, else the defaults.
    pub fn settings(&self) -> super::Log {
        let default = super::Log::default();
        super::Log {
            level: self.level.unwrap_or(default.level),
            format: self.format.unwrap_or(default.format),
        }
    }
}

/// The flags of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Address of the exporter's pages, repeatable
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:12566", value_parser = parse_listen_address)]
    pub listen: Vec<SocketAddr>,
    /// Address of the simulated API; port 0 takes a free one
    #[arg(long = "simulator.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = parse_listen_address)]
    pub simulator_listen: SocketAddr,
    /// Seed of the simulated world; the same seed plays the same messages
    #[arg(long = "simulator.seed", value_name = "NUMBER", default_value_t = 1, value_parser = parse_count::<0, { u64::MAX }>)]
    pub seed: u64,
    /// Level and format of the log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The flags of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// Address of the simulated API
    #[arg(long = "simulator.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:12567", value_parser = parse_listen_address)]
    pub listen: SocketAddr,
    /// Seed of the simulated world; the same seed plays the same messages
    #[arg(long = "simulator.seed", value_name = "NUMBER", default_value_t = 1, value_parser = parse_count::<0, { u64::MAX }>)]
    pub seed: u64,
    /// Name of the scenario to play
    #[arg(long = "simulator.scenario", value_name = "NAME", default_value = "steady")]
    pub scenario: String,
    /// How many times faster than usual statuses move
    #[arg(long = "simulator.pace", value_name = "NUMBER", default_value = "1", value_parser = parse_pace)]
    pub pace: f64,
    /// Name of a fault to start with, repeatable
    #[arg(long = "simulator.fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Where signed webhook events are sent, such as http://127.0.0.1:12568/webhooks/TOKEN
    #[arg(long = "simulator.webhook-url", value_name = "URL")]
    pub webhook_url: Option<String>,
    /// Name of what goes wrong with webhook events, repeatable
    #[arg(long = "simulator.webhook-fault", value_name = "NAME", requires = "webhook_url")]
    pub webhook_faults: Vec<String>,
    /// Level and format of the log.
    #[command(flatten)]
    pub log: LogFlags,
}

/// The flags of `inspect`.
#[derive(Clone, Args)]
pub struct InspectArgs {
    /// The chat: a phone number, an e-mail address, a group id, or a comma list of the first two
    #[arg(required_unless_present = "line")]
    pub chat: Option<String>,
    /// One message of it
    pub message: Option<String>,
    /// In place of a chat: the newest chats of this line, by its number or alias
    #[arg(long, value_name = "NAME", conflicts_with = "chat")]
    pub line: Option<String>,
    /// For programs: JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Show contacts, ids and texts, which are masked otherwise
    #[arg(long)]
    pub show: bool,
    /// Name of the account, where the configuration has several
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// Which API is asked.
    #[command(flatten)]
    pub api: ApiFlags,
}

impl InspectArgs {
    /// The flags of `serve` that say which account to ask, and how.
    pub fn flags(&self) -> Flags {
        Flags { api: self.api.clone(), ..Flags::default() }
    }
}

impl std::fmt::Debug for InspectArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InspectArgs")
            .field("json", &self.json)
            .field("show", &self.show)
            .finish_non_exhaustive()
    }
}

/// The flags of `healthcheck`.
#[derive(Debug, Clone, Args)]
pub struct HealthcheckArgs {
    /// Where the exporter listens; the first address is asked
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:12566", value_parser = parse_listen_address)]
    pub listen: Vec<SocketAddr>,
    /// Time for connection and answer together
    #[arg(long = "healthcheck.timeout", value_name = "DURATION", default_value = "3s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

impl HealthcheckArgs {
    /// The address to ask: the first one given, with "all addresses" replaced by loopback of the same family.
    pub fn target(&self) -> SocketAddr {
        let mut target =
            self.listen.first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 12566)));
        if target.ip().is_unspecified() {
            target.set_ip(match target.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        target
    }
}

/// The flags of `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// Chats of the account
    #[arg(long, value_name = "NUMBER", value_parser = parse_count::<0, MOST_CHATS>)]
    pub chats: u64,
    /// Messages per second in both directions, on average
    #[arg(long, value_name = "NUMBER", value_parser = parse_rate)]
    pub messages_per_second: f64,
    /// Lines of the account
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = parse_count::<1, 1_000>)]
    pub lines: u64,
    /// Messages that travel as SMS, as a share of all; most of these never show a receipt
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = parse_share)]
    pub sms_share: f64,
    /// Processes that share the account; one of them collects it
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = parse_count::<1, 1_000>)]
    pub replicas: u64,
    /// For programs: JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Requests per second, over all endpoints of one account [default: 2]
    #[arg(long = "api.budget", value_name = "NUMBER")]
    pub api_budget: Option<String>,
    /// Time between the starts of two sweeps [default: 30s]
    #[arg(long = "collector.interval", value_name = "DURATION")]
    pub interval: Option<String>,
    /// Time between two full listings [default: 10m]
    #[arg(long = "collector.full-interval", value_name = "DURATION")]
    pub full_interval: Option<String>,
    /// How late a message may appear and still be counted [default: 7d]
    #[arg(long = "collector.retention", value_name = "DURATION")]
    pub retention: Option<String>,
    /// Time between two deep reads of an active chat [default: 24h]
    #[arg(long = "collector.audit-interval", value_name = "DURATION")]
    pub audit_interval: Option<String>,
    /// Age at which an open message is given up as unconfirmed [default: 72h]
    #[arg(long = "collector.horizon", value_name = "DURATION")]
    pub horizon: Option<String>,
    /// Time between two device probes of a line; 0s switches probes off [default: 5m]
    #[arg(long = "probe.interval", value_name = "DURATION")]
    pub probe_interval: Option<String>,
}

/// Most chats that a plan is made for.
const MOST_CHATS: u64 = 10_000_000;

impl PlanArgs {
    /// The flags of `serve` that it plans for.
    pub fn flags(&self) -> Flags {
        Flags {
            api_budget: self.api_budget.clone(),
            interval: self.interval.clone(),
            full_interval: self.full_interval.clone(),
            retention: self.retention.clone(),
            audit_interval: self.audit_interval.clone(),
            rules: RuleFlags { horizon: self.horizon.clone(), ..RuleFlags::default() },
            probe_interval: self.probe_interval.clone(),
            ..Flags::default()
        }
    }
}

/// A whole number from `LEAST` to `MOST`.
fn parse_count<const LEAST: u64, const MOST: u64>(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(count) if (LEAST..=MOST).contains(&count) => Ok(count),
        _ => Err(format!("not a whole number from {LEAST} to {MOST}")),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("not a number from 0 to 100000".to_owned()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("not a share from 0 to 1".to_owned()),
    }
}

/// Reads an address to listen on: `127.0.0.1:12566`, `[::1]:12566`, `localhost:12566`, or `:12566` for all IPv4
/// addresses. The error says what is expected; it does not repeat the text given.
pub(super) fn parse_listen_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if text.starts_with(':') => format!("0.0.0.0{text}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| "not an address; write it as 127.0.0.1:12566 or [::1]:12566".to_owned())
}

fn parse_pace(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(pace) if pace.is_finite() && pace > 0.0 => Ok(pace),
        _ => Err("not a number above 0".to_owned()),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err("not a duration above zero; write it as 3s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::super::{Settings, Sources};
    use super::*;

    fn command(args: &[&str]) -> Command {
        Cli::try_parse_from([&["blooio-exporter"], args].concat()).unwrap().into_command()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        for args in [
            &["--collector.interval", "5s", "--web.listen-address=:1", "--web.listen-address=:2"][..],
            &["serve", "--collector.interval", "5s", "--web.listen-address=:1", "--web.listen-address=:2"],
        ] {
            let Command::Serve(flags) = command(args) else { panic!("expected serve") };
            assert_eq!(flags.interval.as_deref(), Some("5s"));
            assert_eq!(flags.listen, [":1", ":2"]);
        }
        assert!(matches!(command(&[]), Command::Serve(_)));
    }

    #[test]
    fn the_simulator_flags_have_their_defaults() {
        let Command::Simulate(args) = command(&["simulate"]) else { panic!("expected simulate") };
        assert_eq!(args.listen.to_string(), "127.0.0.1:12567");
        assert_eq!((args.seed, args.scenario.as_str(), args.pace), (1, "steady", 1.0));
        assert!(args.faults.is_empty());
        let Command::Simulate(args) = command(&[
            "simulate",
            "--simulator.fault",
            "a",
            "--simulator.fault",
            "b",
            "--simulator.pace",
            "60",
        ]) else {
            panic!("expected simulate")
        };
        assert_eq!(args.faults, ["a", "b"]);
        assert_eq!(args.pace, 60.0);
        let Command::Demo(args) = command(&["demo", "--log.level", "debug"]) else { panic!("expected demo") };
        assert_eq!(args.listen, ["127.0.0.1:12566".parse().unwrap()]);
        assert_eq!(args.simulator_listen.to_string(), "127.0.0.1:0");
        assert_eq!(args.log.settings().level, LogLevel::Debug);
    }

    #[test]
    fn a_plan_is_made_for_the_settings_given() {
        let Command::Plan(args) = command(&[
            "plan",
            "--chats=2000",
            "--messages-per-second=0.5",
            "--api.budget=4",
            "--collector.horizon=1h",
        ]) else {
            panic!("expected plan")
        };
        assert_eq!((args.chats, args.lines, args.replicas, args.json), (2_000, 3, 1, false));
        let flags = args.flags();
        assert_eq!((flags.api_budget.as_deref(), flags.rules.horizon.as_deref()), (Some("4"), Some("1h")));
        for bad in
            ["--messages-per-second=-1", "--messages-per-second=NaN", "--sms-share=1.1", "--replicas=0"]
        {
            let args = ["blooio-exporter", "plan", "--chats=1", "--messages-per-second=1", bad];
            assert!(Cli::try_parse_from(args).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_health_check_asks_loopback_when_the_exporter_listens_everywhere() {
        for (given, asked) in [
            ("0.0.0.0:12566", "127.0.0.1:12566"),
            (":80", "127.0.0.1:80"),
            ("[::]:9", "[::1]:9"),
            ("10.1.2.3:9", "10.1.2.3:9"),
        ] {
            let Command::Healthcheck(args) = command(&["healthcheck", "--web.listen-address", given]) else {
                panic!("expected healthcheck")
            };
            assert_eq!(args.target().to_string(), asked);
            assert_eq!(args.timeout, Duration::from_secs(3));
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for args in [
            &["--no.such-flag"][..],
            &["--log.level", "loud"],
            &["simulate", "--simulator.pace", "0"],
            &["healthcheck", "--healthcheck.timeout", "0s"],
            &["demo", "--web.listen-address", "here"],
            &["--log.level", "info", "demo"],
        ] {
            let error = Cli::try_parse_from([&["blooio-exporter"], args].concat()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
        let version = Cli::try_parse_from(["blooio-exporter", "--version"]).unwrap_err();
        assert_eq!((version.kind(), version.exit_code()), (ErrorKind::DisplayVersion, 0));
    }

    #[test]
    fn the_defaults_quoted_in_help_are_the_ones_in_force() {
        let mut given = vec!["blooio-exporter".to_owned()];
        for arg in Cli::command().get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            // Settings of a database are rejected where none is named: see below.
            let is_of_database =
                ["state.ca-file", "state.lease-ttl"].contains(&arg.get_long().unwrap_or_default());
            if let Some((_, rest)) = help.split_once("[default: ").filter(|_| !is_of_database) {
                given.push(format!("--{}", arg.get_long().unwrap()));
                given.push(rest.trim_end_matches(']').to_owned());
            }
        }
        assert!(given.len() > 2 * 15, "{given:?}");
        let env = |name: &str| (name == "BLOOIO_API_KEY").then(|| "k".to_owned());
        let quoted = Cli::try_parse_from(given).unwrap();
        let quoted = Settings::resolve(&quoted.flags, &env, None).unwrap();
        let in_force = Settings::resolve(&Flags::default(), &env, None).unwrap();
        let values = |settings: &Settings| {
            let sources = Sources::default();
            format!("{:?}", Settings { sources, ..settings.clone() })
        };
        assert_eq!(values(&quoted), values(&in_force));
        assert_eq!(in_force.accounts[0].name, "default");
        let url = "--state.url=postgres://me@db/x";
        let of_database = |more: &[&str]| {
            let cli = Cli::try_parse_from([&["blooio-exporter", url], more].concat()).unwrap();
            Settings::resolve(&cli.flags, &env, None).unwrap().database.unwrap()
        };
        assert_eq!(of_database(&["--state.lease-ttl=15s"]), of_database(&[]));
    }
}
