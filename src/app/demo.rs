//! `demo` and `simulate`: the commands that start the simulator.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;

use super::listen::bind;
use super::{Failure, ReloadSource, failure, say, serve};
use crate::clock::Clock;
use crate::config::{self, Account, DemoArgs, Settings, SimulateArgs};
use crate::privacy::{quoted, shown};
use crate::secret::Secret;
use crate::simulator::{self, World};

/// Runs the simulator alone until `stop` completes.
///
/// # Errors
/// When the scenario or a fault is unknown, or the address cannot be listened on.
pub async fn simulate(args: SimulateArgs, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let Some(scenario) = simulator::scenario(&args.scenario) else {
        let known: Vec<&str> = simulator::all().iter().map(|scenario| scenario.name).collect();
        return Err(Failure(format!(
            "--simulator.scenario: {}is not one of {}",
            quoted(&args.scenario),
            known.join(", ")
        )));
    };
    let mut setup = scenario.setup.clone();
    setup.pace *= args.pace;
    (setup.seed, setup.start_ms) = (args.seed, Clock::System.now());
    let mut world = scenario.world_from(setup);
    for fault in &args.faults {
        let (name, query) = fault.split_once('?').unwrap_or((fault, ""));
        simulator::Tuning::parse(query)
            .and_then(|tuning| world.switch_on(name, tuning))
            .map_err(|why| Failure(format!("--simulator.fault: {why}")))?;
    }
    let listener = bind(&[args.listen], "--simulator.listen-address")?.remove(0);
    let address = reachable(listener.local_addr().map_err(failure)?);
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
    ))?;
    let world = Arc::new(Mutex::new(world));
    let clock: simulator::Clock = Arc::new(|| Clock::System.now());
    let feeding = feed(feed_of(&args)?, Arc::clone(&world), Arc::clone(&clock));
    tokio::select! {
        served = simulator::serve(listener, world, clock, stop) => served.map_err(failure),
        () = feeding => Ok(()),
    }
}

/// Where the simulator sends events, and in what manner.
type Feed = (simulator::Target, simulator::EventFaults, simulator::Manner);

fn feed_of(args: &SimulateArgs) -> Result<Option<Feed>, Failure> {
    let Some(url) = &args.webhook_url else { return Ok(None) };
    let target = simulator::Target::parse(url)
        .map_err(|why| Failure(format!("--simulator.webhook-url: {}{why}", quoted(url))))?;
    let (mut faults, mut manner) = (simulator::EventFaults::NONE, simulator::Manner::default());
    for name in &args.webhook_faults {
        simulator::switch_on(name, &mut faults, &mut manner)
            .map_err(|why| Failure(format!("--simulator.webhook-fault: {}{why}", quoted(name))))?;
    }
    say(&format!(
        "Webhook events go to the receiver, signed with the secret\n\n  {}\n",
        simulator::WEBHOOK_SECRET
    ))?;
    Ok(Some((target, faults, manner)))
}

/// Sends the events of a world, for ever.
async fn feed(feed: Option<Feed>, world: Arc<Mutex<World>>, clock: simulator::Clock) {
    let Some((target, faults, manner)) = feed else { return std::future::pending().await };
    let (manner, answers) = (Arc::new(Mutex::new(manner)), simulator::Answers::default());
    simulator::deliver(world, target, (faults, manner), clock, answers, std::future::pending()).await;
}

/// Where this machine reaches what listens there: on every address means on loopback too, which plain http is for.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        listening => listening,
    }
}

/// What the demo says when it runs: where to look, and what for.
fn announcement(page: SocketAddr, api: SocketAddr) -> String {
    format!(
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
         \n  blooio_device_probe_success                                        one of the devices goes away and comes back\
         \n  blooio_webhook_events_total                                        events by webhook: what to read at once\n\
         \nBreak something:   curl -X POST http://{api}/faults/http-503\
         \nUndo:              curl -X DELETE http://{api}/faults/http-503\
         \nStop:              Ctrl-C\n",
    )
}

/// Runs the simulator and an exporter that watches it, until `stop` completes.
///
/// # Errors
/// When an address cannot be listened on, or there is no room for a temporary state file.
pub async fn demo(args: DemoArgs, stop: impl Future<Output = ()>) -> Result<(), Failure> {
    let folder = temporary_folder()?;
    let scenario = simulator::scenario("demo").ok_or_else(|| failure("the demo has no scenario"))?;
    let world = scenario.world(args.seed, Clock::System.now());
    let key = world.setup().key.clone();
    let simulated = bind(&[args.simulator_listen], "--simulator.listen-address")?.remove(0);
    let api = reachable(simulated.local_addr().map_err(failure)?);
    let hooks = free_address(args.simulator_listen).map_err(failure)?;
    let (token, webhook) = demo_webhook(folder.path()).map_err(failure)?;
    let target = simulator::Target::parse(&format!("http://{hooks}/webhooks/{token}")).map_err(failure)?;
    let settings = Settings {
        accounts: vec![Account {
            name: "default".to_owned(),
            base_url: format!("http://{api}{}", simulator::BASE_PATH).parse().map_err(failure)?,
            key: config::KeySource::Environment(Secret::new(key)),
            collector: config::CollectorSettings {
                interval: Duration::from_secs(2),
                full_interval: Duration::from_secs(30),
                ..config::CollectorSettings::default()
            },
            conversation: config::Conversation::default(),
            probe: config::Probe { interval: Duration::from_secs(10), chats: Vec::new() },
            api: config::Api { budget: 50.0, ..config::Api::default() },
            webhook: Some(webhook),
            lines: BTreeMap::new(),
            labels: BTreeMap::new(),
            line_labels: BTreeMap::new(),
        }],
        state_path: folder.path().join("state.db"),
        database: None,
        web: config::Web { listen: args.listen.clone(), ..config::Web::default() },
        receiver: Some(webhook_receiver(hooks)),
        log: args.log.settings(),
        file_is_blank: false,
        sources: config::Sources::default(),
    };
    let (stopped, stop_simulator) = tokio::sync::oneshot::channel::<()>();
    let world = Arc::new(Mutex::new(world));
    let simulator = tokio::spawn(async move {
        let stop = async move { drop(stop_simulator.await) };
        let clock: simulator::Clock = Arc::new(|| Clock::System.now());
        let good = (target, simulator::EventFaults::NONE, simulator::Manner::default());
        tokio::select! {
            served = simulator::serve(simulated, Arc::clone(&world), Arc::clone(&clock), stop) => served,
            () = feed(Some(good), world, clock) => Ok(()),
        }
    });
    let announce = |listeners: &[TcpListener]| {
        let listening = listeners.first().and_then(|listener| listener.local_addr().ok());
        let page = reachable(listening.unwrap_or(api));
        say(&announcement(page, api))
    };
    let served = serve(settings, ReloadSource::Never, announce, stop).await;
    let _ = stopped.send(());
    let _ = simulator.await;
    served
}

/// Receives the simulator's events in the clear: both ends are on this machine.
fn webhook_receiver(address: SocketAddr) -> config::Receiver {
    config::Receiver { listen: vec![address], path_prefix: "/webhooks".to_owned(), config_file: None }
}

/// A folder for the state of a demo, which is removed when the value is dropped.
fn temporary_folder() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new().prefix("blooio-exporter-demo-").tempdir().map_err(|error| {
        let temporary = shown(&std::env::temp_dir());
        // The library's text repeats a path with a random end; the system's is enough.
        let error = io::Error::from(error.kind());
        Failure(format!(
            "the demo keeps its state in the temporary directory, and {temporary} cannot be used: {error}; set TMPDIR to a \
             directory that can be written to"
        ))
    })
}

/// A token and a secret of a demo, in files as those of an operator.
fn demo_webhook(folder: &Path) -> io::Result<(String, config::Webhook)> {
    let token: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes()).map(|()| path)
    };
    let files = (write("webhook.token", &token)?, write("webhook.secret", simulator::WEBHOOK_SECRET)?);
    Ok((token, config::Webhook::of_files(files.0, files.1)))
}

/// An address on the host of another one, with a port that was free a moment ago.
fn free_address(beside: SocketAddr) -> io::Result<SocketAddr> {
    std::net::TcpListener::bind((reachable(beside).ip(), 0))?.local_addr()
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
