//! Several replicas share the accounts through PostgreSQL behind pgbouncer in transaction mode. They are killed, stopped for
//! longer than their leases, cut off and restarted, and so is the database: every count ends as the truth, and no account is ever
//! on two pages.
//!
//! `BLOOIO_REPLICA_ROUNDS` sets the number of rounds. Each six in a row are one of each kind, in some order. Debian's Prometheus
//! scrapes the replicas with the configuration of the example.

mod cluster;
mod copy;
mod example;
pub(crate) mod problems;
mod watch;

use std::time::{Duration, Instant};

use cluster::{ACCOUNTS, Cluster};

use crate::support::eventually;

/// Validity of a lease in these tests.
const TTL: Duration = Duration::from_secs(6);

/// What happens in a round.
#[derive(Clone, Copy, Debug)]
enum Disruption {
    Kill,
    Pause,
    CutConnections,
    CrashDatabase,
    RollingRestart,
    Resize,
}

const DISRUPTIONS: [Disruption; 6] = [
    Disruption::Kill,
    Disruption::Pause,
    Disruption::CutConnections,
    Disruption::CrashDatabase,
    Disruption::RollingRestart,
    Disruption::Resize,
];

/// What was measured: how long accounts were on no page.
#[derive(Default)]
struct Measured {
    kills: Vec<Duration>,
    handovers: Vec<Duration>,
}

fn disrupt(disruption: Disruption, cluster: &mut Cluster, rng: &mut fastrand::Rng, measured: &mut Measured) {
    let holders = eventually("a replica shows an account", || {
        let all = 0..cluster.replicas.len();
        let holders: Vec<usize> = all.filter(|nth| !cluster.held_by(*nth).is_empty()).collect();
        (!holders.is_empty()).then_some(holders)
    });
    let nth = holders[rng.usize(0..holders.len())];
    match disruption {
        Disruption::Kill => {
            let held = cluster.held_by(nth);
            cluster.remove(nth).kill();
            let began = Instant::now();
            cluster.wait_until_shown(&held);
            measured.kills.push(began.elapsed());
            cluster.add();
        }
        Disruption::Pause => {
            cluster.replicas[nth].signal("-STOP");
            std::thread::sleep(TTL + Duration::from_millis(rng.u64(500..3_000)));
            cluster.replicas[nth].signal("-CONT");
        }
        Disruption::CutConnections => cluster.cut_connections(),
        Disruption::CrashDatabase => {
            cluster.server.crash();
            std::thread::sleep(Duration::from_millis(rng.u64(0..9_000)));
            cluster.server.resume();
        }
        Disruption::RollingRestart => {
            for _ in 0..cluster.replicas.len() {
                let held = cluster.held_by(0);
                let replica = cluster.remove(0);
                let began = Instant::now();
                replica.stop();
                cluster.wait_until_shown(&held);
                if !held.is_empty() {
                    measured.handovers.push(began.elapsed());
                }
                cluster.add();
            }
        }
        Disruption::Resize => {
            cluster.add();
            cluster.wait_until_all_shown();
            let nth = rng.usize(0..cluster.replicas.len());
            cluster.remove(nth).stop();
        }
    }
}

fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(at).copied().unwrap_or_default()
}

/// Clusters that go through their rounds at the same time: most of a round is waiting.
const CLUSTERS: usize = 3;

/// Lets a cluster go through so many rounds. Returns how many messages and pages there were, and what was measured.
fn live(rounds: usize, seed: u64) -> (u64, u64, Measured) {
    let mut cluster = Cluster::start(3, 71 + 10 * seed);
    cluster.wait_until_all_shown();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut measured = Measured::default();
    let mut left = Vec::new();
    for _ in 0..rounds {
        if left.is_empty() {
            left = DISRUPTIONS.to_vec();
            rng.shuffle(&mut left);
        }
        disrupt(left.pop().unwrap(), &mut cluster, &mut rng, &mut measured);
        cluster.wait_until_all_shown();
        std::thread::sleep(Duration::from_millis(rng.u64(0..1_000)));
    }
    let messages = cluster.settle();
    cluster.assert_scraped();
    (messages, cluster.stop().pages, measured)
}

#[test]
fn whatever_happens_to_replicas_and_database_every_message_is_counted_once() {
    let rounds: usize = std::env::var("BLOOIO_REPLICA_ROUNDS").map_or(150, |rounds| rounds.parse().unwrap());
    let ended: Vec<_> = std::thread::scope(|scope| {
        let seeds = 1..=CLUSTERS as u64;
        let lives: Vec<_> =
            seeds.map(|seed| scope.spawn(move || live(rounds.div_ceil(CLUSTERS), seed))).collect();
        lives.into_iter().map(|life| life.join().unwrap()).collect()
    });
    let (mut messages, mut pages, mut all) = (0, 0, Measured::default());
    for (of_cluster, looked_at, measured) in ended {
        (messages, pages) = (messages + of_cluster, pages + looked_at);
        all.kills.extend(measured.kills);
        all.handovers.extend(measured.handovers);
    }
    println!(
        "{rounds} rounds, {messages} messages in {} accounts, {pages} pages: lost 0, doubled 0, on two pages 0, above the budget 0, \
         increase() in Prometheus as on the pages",
        CLUSTERS * ACCOUNTS.len()
    );
    let ttl = TTL.as_secs();
    for (what, values) in [("kill -9", &mut all.kills), ("SIGTERM", &mut all.handovers)] {
        println!(
            "takeover after {what} with leases of {ttl} s, {} times: p50 {:.1?}, p99 {:.1?}",
            values.len(),
            percentile(values, 0.5),
            percentile(values, 0.99)
        );
    }
}
