//! All stores agree after every commit of ten thousand random sequences.
//!
//! A database is compared as often as a file: several sequences are under way at the same time, each in accounts of its own,
//! and the server does without what only a loss of power shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use blooio_exporter::store::State;

use super::kinds::{Kind, Postgres, without_database};
use super::server::{Pooler, Server};
use super::{content, content_of, open};

const SEQUENCES: u64 = 10_000;
/// One sequence in so many goes through the pooler as well, which differs only in how transactions reach the server.
const POOLED: u64 = 10;
/// More than there are cores: half of the time a sequence waits for the server, and the server for it.
const WORKERS: u64 = 4;

/// These settings decide when a commit reaches the disk and when old rows are removed. They do not change what a transaction
/// writes, what a later one reads, or how values are stored; the tests that crash a server have one of their own.
const SETTINGS: [&str; 6] = [
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "jit=off",
];

/// Memory, SQLite, PostgreSQL and PostgreSQL through the pooler, empty. The pooler's is the last.
fn stores<'a>(server: &'a Server, pooler: &Pooler) -> Vec<Box<dyn Kind + 'a>> {
    let direct = |database: &str| server.url("postgres", database);
    let mut kinds: Vec<Box<dyn Kind + 'a>> = Vec::new();
    kinds.extend(without_database().into_iter().map(|kind| kind as Box<dyn Kind + 'a>));
    kinds.push(Box::new(Postgres::new(server, "postgres", direct)));
    kinds.push(Box::new(Postgres::new(server, "postgres behind pgbouncer", |database| pooler.url(database))));
    kinds
}

/// Commits one random sequence to each store, and compares what they hold after each commit. Returns how many commits it had.
fn compare(sequence: u64, kinds: &mut [Box<dyn Kind + '_>], states: &[Box<dyn State>]) -> u64 {
    let mut rng = fastrand::Rng::with_seed(sequence);
    let name = format!("sequence {sequence}");
    let stores = if sequence.is_multiple_of(POOLED) { kinds.len() } else { kinds.len() - 1 };
    let mut stores: Vec<_> = kinds[..stores]
        .iter_mut()
        .zip(states)
        .map(|(kind, state)| {
            let account = open(&mut **kind, &**state, &name);
            (kind, state, account)
        })
        .collect();
    let commits = rng.u64(1..4);
    for commit in 0..commits {
        let delta = content::delta(&mut rng);
        let mut first = None;
        for (kind, state, account) in &mut stores {
            account.store.commit(&delta).unwrap();
            let found = content_of(&mut ***kind, &***state, &name);
            let expected = first.get_or_insert_with(|| found.clone());
            assert!(
                found == *expected,
                "{}: sequence {sequence}, commit {commit}: {:#?}",
                kind.name(),
                content::difference(expected, &found)
            );
        }
    }
    commits
}

#[test]
fn all_stores_agree_after_every_commit_of_ten_thousand_random_sequences() {
    let server = Server::start(&SETTINGS);
    let pooler = Pooler::start(&server, "");
    let began = Instant::now();
    let (next, commits) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut kinds = stores(&server, &pooler);
                let states: Vec<_> = kinds.iter_mut().map(|kind| kind.open()).collect();
                loop {
                    let sequence = next.fetch_add(1, Ordering::Relaxed);
                    if sequence >= SEQUENCES {
                        break;
                    }
                    commits.fetch_add(compare(sequence, &mut kinds, &states), Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{SEQUENCES} sequences, {} commits, in memory, SQLite and PostgreSQL, and {} of the sequences through pgbouncer, in {:.0?}",
        commits.into_inner(),
        SEQUENCES / POOLED,
        began.elapsed()
    );
}
