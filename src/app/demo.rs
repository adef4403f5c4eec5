//! The commands that know the simulator.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;

use super::{Failure, Reload, bind, failure, say, serve};
use crate::clock::Clock;
use crate::config::{self, Account, DemoArgs, Settings, SimulateArgs};
use crate::privacy::quoted;
use crate::secret::Secret;
use crate::simulator;

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
    let listener = bind(&[args.listen], "--simulator.listen-address").await?.remove(0);
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
            conversation: config::Conversation::default(),
            probe: config::Probe { interval: Duration::from_secs(10), chats: Vec::new() },
            api: config::Api { budget: 50.0, ..config::Api::default() },
            webhook: None,
            lines: BTreeMap::new(),
            labels: BTreeMap::new(),
            line_labels: BTreeMap::new(),
        }],
        state_path: folder.path().join("state.db"),
        web: config::Web { listen: args.listen.clone(), ..config::Web::default() },
        receiver: None,
        log: args.log.settings(),
        file_is_blank: false,
    };
    let (stopped, stop_simulator) = tokio::sync::oneshot::channel::<()>();
    let world = Arc::new(Mutex::new(world));
    let simulator = tokio::spawn(async move {
        let stop = async {
            let _ = stop_simulator.await;
        };
        simulator::serve(simulated, world, Arc::new(|| Clock::System.now()), stop).await
    });
    let announce = |listeners: &[TcpListener]| {
        let listening = listeners.first().and_then(|listener| listener.local_addr().ok());
        let page = reachable(listening.unwrap_or(api));
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
        ))
    };
    let served = serve(settings, Reload::Never, announce, stop).await;
    let _ = stopped.send(());
    let _ = simulator.await;
    served
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
