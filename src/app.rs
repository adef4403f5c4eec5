//! The only place where things are wired together and started.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::api::{ChatId, Client, HttpOptions, HttpTransport, MessageRef};
use crate::clock::Clock;
use crate::collect::{Collector, Keyring, Options, Recorder};
use crate::config::{self, Account, DemoArgs, InspectArgs, Settings, SimulateArgs};
use crate::domain::{Ledger, View};
use crate::inspect;
use crate::metrics::exposition::About;
use crate::metrics::{Board, Page, Syntax};
use crate::secret::Secret;
use crate::simulator;
use crate::store::sqlite::StateFile;
use crate::web::{self, Format, Landing, PageError, Site, WebOptions};

/// Why the program cannot start or go on: one line for the person who started it.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The failure that an error is to the person who started the program.
pub fn failure(error: impl fmt::Display) -> Failure {
    Failure(error.to_string())
}

/// Binds the addresses to listen on.
pub async fn bind(addresses: &[SocketAddr], flag: &str) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| {
            Failure(format!(
                "{flag}: cannot listen on {address}: {error}; stop what uses it or choose another"
            ))
        })?);
    }
    Ok(listeners)
}

/// Runs the exporter until `stop` completes.
///
/// # Errors
/// When a key cannot be read, the state cannot be opened, or an address cannot be listened on.
pub async fn serve(settings: Settings, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    if settings.web.config_file.is_some() {
        let why = "TLS and basic auth are not built in yet; put a reverse proxy in front";
        return Err(Failure(format!("--web.config.file: {why}")));
    }
    let started = Clock::System.now();
    let prepared = prepare(&settings, started)?;
    let listeners = bind(&settings.web.listen, "--web.listen-address").await?;
    for listener in &listeners {
        let address = listener.local_addr().map_err(failure)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "listening beyond loopback without TLS and authentication");
        }
        tracing::info!(%address, path = settings.web.telemetry_path, "listening");
    }
    let mut loops = Vec::new();
    for collector in prepared.collectors {
        loops.push(tokio::spawn(async move { collector.run().await }));
    }
    let site = Arc::new(Exporter {
        board: prepared.board,
        page: prepared.page,
        loops: loops.iter().map(tokio::task::JoinHandle::abort_handle).collect(),
    });
    let options = WebOptions { telemetry_path: settings.web.telemetry_path, ..WebOptions::default() };
    let served = web::run(listeners, site, options, async {
        stop.await;
        tracing::info!("stopping");
    })
    .await;
    for task in loops {
        task.abort();
        // Aborted is what it was asked to be; a panic has been reported by the hook.
        let _ = task.await;
    }
    served.map_err(failure)
}

/// Checks everything that can be checked without the network.
///
/// # Errors
/// What [`serve`] would fail with before it listens.
pub fn check(settings: &Settings) -> Result<(), Failure> {
    for account in &settings.accounts {
        account.key.load().map_err(failure)?;
    }
    Ok(())
}

struct Prepared {
    board: Board,
    page: Page,
    collectors: Vec<Collector<HttpTransport, crate::store::SqliteStore>>,
}

fn prepare(settings: &Settings, now: i64) -> Result<Prepared, Failure> {
    let mut keys = Vec::new();
    for account in &settings.accounts {
        keys.push(account.key.load().map_err(failure)?);
    }
    let state = StateFile::open(&settings.state_path, random_key()?).map_err(failure)?;
    let board = Board::default();
    let mut collectors = Vec::new();
    for (account, key) in settings.accounts.iter().zip(keys) {
        let options = options(account);
        let of_account = state.account(&account.name, now).map_err(failure)?;
        let ledger = Ledger::new(options.policy(), of_account.restored);
        let recorder = Recorder::new(&account.name, ledger, of_account.store, board.slot(), now);
        let client = Client::new(transport(account, key)?, Clock::System, api_options(account));
        let keyring = Keyring::new(&state.key(), &account.name);
        collectors.push(Collector::new(
            &account.name,
            client,
            recorder,
            keyring,
            options,
            of_account.first_start,
        ));
    }
    let window = settings.accounts.first().map_or(0.0, |account| account.collector.window.as_secs_f64());
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("BUILD_REVISION"),
        rustc: env!("BUILD_RUSTC"),
        window_seconds: window,
        configured_at: now as f64 / 1000.0,
    };
    let aliases = settings.accounts.iter().map(|account| (account.name.clone(), account.lines.clone()));
    let page = Page::new(board.clone(), about, aliases.collect::<BTreeMap<_, _>>());
    Ok(Prepared { board, page, collectors })
}

fn transport(account: &Account, key: Secret) -> Result<HttpTransport, Failure> {
    let source = account.key.clone();
    HttpTransport::new(HttpOptions {
        base_url: account.base_url.as_str().to_owned(),
        tls: account.base_url.as_str().starts_with("https:"),
        timeout: account.api.timeout,
        key,
        reload: Box::new(move || source.load().ok()),
    })
    .map_err(Failure)
}

fn api_options(account: &Account) -> crate::api::Options {
    crate::api::Options { budget: account.api.budget }
}

fn options(account: &Account) -> Options {
    let collector = &account.collector;
    Options {
        interval: collector.interval,
        full_interval: collector.full_interval,
        window: collector.window,
        lookback: collector.lookback,
        retention: collector.retention,
        audit_interval: collector.audit_interval,
        horizon: collector.horizon,
        probe_interval: account.probe.interval,
        probe_chats: account.probe.chats.clone(),
        budget: account.api.budget,
    }
}

fn random_key() -> Result<[u8; 32], Failure> {
    let mut key = [0; 32];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Failure("the system has no random numbers to make the state's key from".to_owned()))?;
    Ok(key)
}

/// What the web pages show.
struct Exporter {
    board: Board,
    page: Page,
    loops: Vec<AbortHandle>,
}

impl Site for Exporter {
    fn page(&self, format: Format) -> Result<Bytes, PageError> {
        let syntax = match format {
            Format::Text => Syntax::Text,
            Format::OpenMetrics => Syntax::OpenMetrics,
        };
        self.page.encode(syntax, Clock::System.now()).map_err(|error| PageError(error.to_string()))
    }

    fn ready(&self) -> Result<(), String> {
        for view in self.board.views() {
            if !view.health.swept {
                let trouble = view.health.trouble.as_deref().unwrap_or("its first sweep is under way");
                return Err(format!("account {}: {trouble}", view.account));
            }
        }
        Ok(())
    }

    fn healthy(&self) -> Result<(), String> {
        match self.loops.iter().any(AbortHandle::is_finished) {
            true => Err("a collector has stopped; restart the exporter".to_owned()),
            false => Ok(()),
        }
    }

    fn landing(&self) -> Landing {
        let accounts = self.board.views();
        let accounts =
            accounts.iter().map(|view| (view.account.clone(), condition(view, Clock::System.now())));
        Landing { version: env!("CARGO_PKG_VERSION").to_owned(), accounts: accounts.collect() }
    }
}

fn condition(view: &View, now: i64) -> String {
    let since = |millis: i64| humantime::format_duration(Duration::from_secs((millis / 1000).max(0) as u64));
    let last = match view.snapshot.last_success {
        0 => "no complete sweep yet".to_owned(),
        at => format!("last complete sweep {} ago", since(now + view.health.clock_offset - at)),
    };
    match &view.health.trouble {
        _ if view.health.up => format!("up, {last}"),
        Some(trouble) => format!("{trouble}; {last}"),
        None => last,
    }
}

/// Shows a chat, its newest messages and what its device answers.
///
/// # Errors
/// When the account, the chat or the message is not known, or the API cannot be asked.
pub async fn inspect(settings: &Settings, args: &InspectArgs) -> Result<(), Failure> {
    let names =
        || settings.accounts.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", ");
    let account = match (&args.account, settings.accounts.as_slice()) {
        (None, [account]) => account,
        (None, _) => return Err(Failure(format!("--account: name one of {}", names()))),
        (Some(name), accounts) => {
            let found = accounts.iter().find(|account| account.name == *name);
            found.ok_or_else(|| Failure(format!("--account: `{name}` is not one of {}", names())))?
        }
    };
    let bad = |what: &str| Failure(format!("{what}: cannot be an id; write it as the API shows it"));
    let subject = inspect::Subject {
        chat: ChatId::parse(&args.chat).ok_or_else(|| bad("CHAT"))?,
        message: match &args.message {
            Some(id) => Some(MessageRef::parse(id).ok_or_else(|| bad("MESSAGE"))?),
            None => None,
        },
        show: args.show,
    };
    let key = account.key.load().map_err(failure)?;
    let client = Client::new(transport(account, key)?, Clock::System, api_options(account));
    let report = inspect::look(&client, &subject).await.map_err(|error| {
        let missing = if subject.message.is_some() { "chat or message" } else { "chat" };
        match error.is_not_found() {
            true => Failure(format!("no such {missing} in account {}", account.name)),
            false => Failure(format!("{error}; {}", error.advice())),
        }
    })?;
    match args.json {
        true => say(&serde_json::to_string_pretty(&report).map_err(failure)?),
        false => say(report.table().trim_end()),
    }
    Ok(())
}

/// Runs the simulator alone until `stop` completes.
///
/// # Errors
/// When the scenario or a fault is unknown, or the address cannot be listened on.
pub async fn simulate(args: SimulateArgs, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let Some(scenario) = simulator::scenario(&args.scenario) else {
        let known: Vec<&str> = simulator::all().iter().map(|scenario| scenario.name).collect();
        return Err(Failure(format!(
            "--simulator.scenario: `{}` is not one of {}",
            args.scenario.escape_debug(),
            known.join(", ")
        )));
    };
    let mut setup = scenario.setup.clone();
    setup.pace *= args.pace;
    (setup.seed, setup.start_ms) = (args.seed, Clock::System.now());
    let mut world = scenario.world_from(setup);
    for fault in &args.faults {
        world
            .switch_on(fault, simulator::Tuning::default())
            .map_err(|why| Failure(format!("--simulator.fault: {why}")))?;
    }
    let listener = bind(&[args.listen], "--simulator.listen-address").await?.remove(0);
    let address = listener.local_addr().map_err(failure)?;
    let key = world.setup().key.clone();
    say(&format!(
        "A simulated Blooio API, scenario {}: {}\n\
         \n  base URL  http://{address}{}\
         \n  API key   {key}\
         \n  controls  http://{address}/ (scenarios, faults, the truth)\n\
         \nWatch it:\n\
         \n  BLOOIO_API_KEY={key} blooio-exporter --blooio.base-url http://{address}{}\n",
        scenario.name,
        scenario.sentence,
        simulator::BASE_PATH,
        simulator::BASE_PATH,
    ));
    let world = Arc::new(Mutex::new(world));
    simulator::serve(listener, world, Arc::new(|| Clock::System.now()), stop).await.map_err(failure)
}

/// Where this machine reaches what listens there: on every address means on loopback too, which plain http is for.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        listening => listening,
    }
}

/// Runs the simulator and an exporter that watches it, until `stop` completes.
///
/// # Errors
/// When an address cannot be listened on, or there is no room for a temporary state file.
pub async fn demo(args: DemoArgs, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("blooio-exporter-demo-").tempdir().map_err(failure)?;
    let scenario = simulator::scenario("demo").ok_or_else(|| failure("the demo has no scenario"))?;
    let world = scenario.world(args.seed, Clock::System.now());
    let key = world.setup().key.clone();
    let simulated = bind(&[args.simulator_listen], "--simulator.listen-address").await?.remove(0);
    let api = reachable(simulated.local_addr().map_err(failure)?);
    let settings = Settings {
        accounts: vec![Account {
            name: "default".to_owned(),
            base_url: format!("http://{api}{}", simulator::BASE_PATH).parse().map_err(failure)?,
            key: config::KeySource::Environment(Secret::new(key)),
            collector: config::Collector {
                interval: Duration::from_secs(2),
                full_interval: Duration::from_secs(30),
                ..config::Collector::default()
            },
            probe: config::Probe { interval: Duration::from_secs(10), chats: Vec::new() },
            api: config::Api { budget: 50.0, ..config::Api::default() },
            lines: BTreeMap::new(),
        }],
        state_path: folder.path().join("state.db"),
        web: config::Web { listen: args.listen.clone(), ..config::Web::default() },
        log: args.log.settings(),
    };
    let page = reachable(args.listen.first().copied().unwrap_or(api));
    say(&format!(
        "A simulated Blooio account, and the exporter that watches it. Nothing leaves this machine.\n\
         \n  metrics      http://{page}/metrics\
         \n  status       http://{page}/\
         \n  simulator    http://{api}/ (switch faults on and off)\n\
         \nWithin a minute, watch for\
         \n  blooio_inbound_messages_total, blooio_outbound_messages_total      received and accepted, by line\
         \n  blooio_outbound_{{sent,delivered,failed,cancelled}}_messages_total   what became of them\
         \n  blooio_outbound_fallback_messages_total                            what left iMessage for SMS or RCS\
         \n  blooio_outbound_open_messages, blooio_delivery_latency_seconds     what is still under way, and how long it took\
         \n  blooio_recent_messages                                             the delivery status mix of the last hour\
         \n  blooio_device_probe_success                                        one of the devices goes away and comes back\n\
         \nBreak something:   curl -X POST http://{api}/faults/http-503\
         \nMend it:           curl -X DELETE http://{api}/faults/http-503\
         \nStop:              Ctrl-C\n",
    ));
    let (stopped, stop_simulator) = tokio::sync::oneshot::channel::<()>();
    let world = Arc::new(Mutex::new(world));
    let simulator = tokio::spawn(async move {
        let stop = async {
            let _ = stop_simulator.await;
        };
        simulator::serve(simulated, world, Arc::new(|| Clock::System.now()), stop).await
    });
    let served = serve(settings, stop).await;
    let _ = stopped.send(());
    let _ = simulator.await;
    served
}

#[allow(clippy::print_stdout, reason = "what a command says to the person who typed it")]
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        let reached = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:7"), "127.0.0.1:7");
        assert_eq!(reached("[::]:7"), "[::1]:7");
        assert_eq!(reached("192.0.2.1:7"), "192.0.2.1:7");
    }
}
