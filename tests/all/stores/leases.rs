//! The SQL of leases does what the table in memory does.

use blooio_exporter::lease::{Grant, Holder, LeaseRow, Table};
use blooio_exporter::store::PostgresState;

use super::kinds::{block, fastrand_key, options};
use super::server::SHARED;

/// Expiry is a matter of the database's clock, which no test can set: in one kind of run every lease expires after each
/// step, in the other none ever does. Returns how many leases were taken.
fn compare(expires: bool, seed: u64) -> usize {
    let database = SHARED.database();
    let state = PostgresState::open(options(&SHARED.url("postgres", &database)), fastrand_key()).unwrap();
    let mut table = Table::default();
    let mut rng = fastrand::Rng::with_seed(seed);
    let holders = [1, 2, 3].map(Holder::new);
    let accounts: Vec<String> = ["a", "b"].map(str::to_owned).into();
    let mut grants: Vec<(String, Grant)> = Vec::new();
    for step in 0..150 {
        let now = (step * 10, if expires { 1 } else { 1_000_000 });
        let holder = holders[rng.usize(..3)];
        let account = accounts[rng.usize(..2)].clone();
        match rng.u8(..10) {
            0..4 => {
                let held: Vec<_> = grants.iter().filter(|_| rng.bool()).cloned().collect();
                let found =
                    block(state.beat(holder, "x".to_owned(), accounts.clone(), held.clone())).unwrap();
                let expected = table.beat(holder, &accounts, &held, now);
                let mut found_renewed = found.renewed.clone();
                found_renewed.sort();
                found_renewed.dedup();
                let mut renewed = expected.renewed.clone();
                renewed.sort();
                renewed.dedup();
                assert_eq!(found_renewed, renewed, "step {step}");
                let plain = |rows: &[LeaseRow]| {
                    let mut rows = rows.to_vec();
                    rows.sort_by(|a, b| a.account.cmp(&b.account));
                    // The end of the step comes after the renewal.
                    rows.iter_mut().for_each(|row| row.has_expired |= expires);
                    rows
                };
                assert_eq!(plain(&found.rows), plain(&expected.rows), "step {step}");
            }
            4..7 => {
                let found = block(state.take(account.clone(), holder, "y".to_owned())).unwrap();
                let expected = table.take(&account, holder, "y", now);
                assert_eq!(found, expected, "step {step}");
                grants.extend(found.map(|grant| (account, grant)));
            }
            7..9 if !grants.is_empty() => {
                let (account, grant) = grants[rng.usize(..grants.len())].clone();
                block(state.release(account.clone(), grant)).unwrap();
                table.release(&account, grant);
            }
            _ => {
                block(state.leave(holder)).unwrap();
                table.leave(holder);
            }
        }
        if expires {
            SHARED.sql(&database, "UPDATE blooio_exporter.lease SET expires = '-infinity'");
        }
    }
    grants.len()
}

#[test]
fn the_sql_of_leases_does_what_the_table_does() {
    assert!(compare(false, 1) + compare(false, 2) > 4, "hardly a lease was taken");
}

#[test]
fn the_sql_of_leases_that_expire_does_what_the_table_does() {
    assert!(compare(true, 3) > 20, "hardly a lease was taken");
}
