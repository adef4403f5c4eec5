//! Tests of the tests: each fault that the collector could have had is put in, and must be noticed.
//!
//! ```text
//! cargo test --features mutants --test all mutants -- --nocapture
//! ```

use blooio_exporter::mutant::{self, Mutant};

use crate::simulation::live;

/// Seeds within which a mutant must die.
const SEEDS: u64 = 300;

/// The first seed that notices the fault, and how it says so.
fn dies_at(mutant: Mutant) -> Option<(u64, String)> {
    mutant::put_in(Some(mutant));
    let death = (1..=SEEDS).find_map(|seed| Some((seed, live(seed).violations.told().first()?.to_string())));
    mutant::put_in(None);
    death
}

#[test]
fn every_mutant_dies() {
    let mutants = std::sync::Mutex::new(Mutant::ALL.into_iter());
    let survivors = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(mutant) = mutants.lock().unwrap().next() else { return };
                    match dies_at(mutant) {
                        Some((seed, why)) => println!("{mutant:?} died at seed {seed} by {why:.120}"),
                        None => survivors.lock().unwrap().push(mutant),
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    assert!(survivors.is_empty(), "survived {SEEDS} seeds: {survivors:?}");
}
