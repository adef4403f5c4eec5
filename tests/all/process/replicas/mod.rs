//! Several replicas share the accounts through PostgreSQL behind pgbouncer in transaction mode. They are killed, stopped for
//! longer than their leases, cut off and restarted, and so is the database: every count ends as the truth, and no account is ever
//! on two pages.
//!
//! `BLOOIO_REPLICA_ROUNDS` sets the number of rounds. With the default seed, the first six rounds are one of each kind.

mod cluster;
mod copy;
mod watch;

use std::time::{Duration, Instant};

use cluster::{ACCOUNTS, Cluster};

/// Validity of a lease in these tests.
const TTL: Duration = Duration::from_secs(6);

/// What happens in a round.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    Pause,
    CutConnections,
    CrashDatabase,
    RollingRestart,
    Resize,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::Kill,
    Trouble::Pause,
    Trouble::CutConnections,
    Trouble::CrashDatabase,
    Trouble::RollingRestart,
    Trouble::Resize,
];

/// What was measured: how long accounts were on no page.
#[derive(Default)]
struct Measured {
    kills: Vec<Duration>,
    handovers: Vec<Duration>,
}

fn cause(trouble: Trouble, cluster: &mut Cluster, rng: &mut fastrand::Rng, measured: &mut Measured) {
    let holders: Vec<usize> =
        (0..cluster.replicas.len()).filter(|nth| !cluster.held_by(*nth).is_empty()).collect();
    let nth = holders[rng.usize(0..holders.len())];
    match trouble {
        Trouble::Kill => {
            let held = cluster.held_by(nth);
            cluster.remove(nth).kill();
            let began = Instant::now();
            cluster.wait_until_shown(&held);
            measured.kills.push(began.elapsed());
            cluster.add();
        }
        Trouble::Pause => {
            cluster.replicas[nth].signal("-STOP");
            std::thread::sleep(TTL + Duration::from_millis(rng.u64(500..3_000)));
            cluster.replicas[nth].signal("-CONT");
        }
        Trouble::CutConnections => cluster.cut_connections(),
        Trouble::CrashDatabase => {
            cluster.server.crash();
            std::thread::sleep(Duration::from_millis(rng.u64(0..9_000)));
            cluster.server.resume();
        }
        Trouble::RollingRestart => {
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
        Trouble::Resize => {
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

#[test]
fn whatever_happens_to_replicas_and_database_every_message_is_counted_once() {
    let rounds = std::env::var("BLOOIO_REPLICA_ROUNDS").map_or(8, |rounds| rounds.parse().unwrap());
    let mut cluster = Cluster::start(3);
    cluster.wait_until_all_shown();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut measured = Measured::default();
    for round in 0..rounds {
        let trouble = TROUBLES.get(round).copied().unwrap_or_else(|| TROUBLES[rng.usize(0..TROUBLES.len())]);
        cause(trouble, &mut cluster, &mut rng, &mut measured);
        cluster.wait_until_all_shown();
        std::thread::sleep(Duration::from_millis(rng.u64(0..1_000)));
    }
    let messages = cluster.settle();
    let watched = cluster.stop();
    println!(
        "{rounds} rounds, {messages} messages in {} accounts, {} pages: lost 0, doubled 0, on two pages 0, above the budget 0",
        ACCOUNTS.len(),
        watched.pages
    );
    let ttl = TTL.as_secs();
    let Measured { mut kills, mut handovers } = measured;
    for (what, values) in [("kill -9", &mut kills), ("SIGTERM", &mut handovers)] {
        println!(
            "takeover after {what} with leases of {ttl} s, {} times: p50 {:.1?}, p99 {:.1?}",
            values.len(),
            percentile(values, 0.5),
            percentile(values, 0.99)
        );
    }
}
