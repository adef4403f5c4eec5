//! What only a database that several processes share can do: fences, commits in doubt, lost commits, and its errors.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blooio_exporter::domain::{Counter, Delta, Progress};
use blooio_exporter::lease::{Grant, Holder, Timing};
use blooio_exporter::secret::Secret;
use blooio_exporter::store::postgres::Options;
use blooio_exporter::store::{PostgresState, State, StoreError};

use super::content;
use super::kinds::{block, fastrand_key, open, options, take};
use super::server::{Pooler, SHARED, Server};
use crate::process::security::{Authority, SERVER};

fn error(options: Options) -> String {
    PostgresState::open(options, fastrand_key()).err().expect("it was opened").to_string()
}

fn counted(value: u64) -> Delta {
    let progress = Progress { baseline: 1, ..Progress::default() };
    Delta { progress, counters: vec![(Counter::Late, value)], ..Delta::default() }
}

fn stored(state: &PostgresState, grant: Grant) -> u64 {
    let restored = state.account("a", 0, Some(grant)).unwrap().restored;
    restored.counters.iter().map(|(_, value)| *value).sum()
}

const ONE: u128 = 1;
const TWO: u128 = 2;

#[test]
fn a_holder_whose_lease_was_taken_writes_nothing() {
    let url = SHARED.url("postgres", &SHARED.database());
    let state = open(&url);
    let first = take(&state, Holder::new(ONE), "a").unwrap();
    let mut old = state.account("a", 0, Some(first)).unwrap().store;
    old.commit(&counted(1)).unwrap();
    assert_eq!(take(&state, Holder::new(TWO), "a"), None, "it has not expired");
    block(state.release("a".to_owned(), first)).unwrap();
    assert!(matches!(old.commit(&counted(2)), Err(StoreError::Fenced { .. })), "it was released");
    let second = take(&state, Holder::new(TWO), "a").unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    let mut new = state.account("a", 0, Some(second)).unwrap().store;
    new.commit(&counted(10)).unwrap();
    assert!(matches!(old.commit(&counted(3)), Err(StoreError::Fenced { .. })));
    assert!(matches!(state.account("a", 0, Some(first)), Err(StoreError::Fenced { .. })));
    assert!(matches!(state.account("a", 0, None), Err(StoreError::Fenced { .. })));
    // The same epoch under another holder, as a database that went back in time issues it.
    let forged = Grant { holder: first.holder, epoch: second.epoch };
    assert!(matches!(state.account("a", 0, Some(forged)), Err(StoreError::Fenced { .. })));
    assert_eq!(stored(&state, second), 10);
}

#[test]
fn an_open_commit_delays_a_take_and_no_renewal() {
    let database = SHARED.database();
    let state = open(&SHARED.url("postgres", &database));
    let first = take(&state, Holder::new(ONE), "a").unwrap();
    state.account("a", 0, Some(first)).unwrap().store.commit(&counted(1)).unwrap();
    let fence = format!(
        "BEGIN; SELECT epoch FROM blooio_exporter.lease WHERE account = 'a' AND holder = '{}' AND epoch = {} FOR KEY SHARE;
         UPDATE blooio_exporter.account SET commit_seq = commit_seq + 1 WHERE name = 'a'; SELECT pg_sleep(2); COMMIT",
        first.holder, first.epoch
    );
    let committing = std::thread::spawn({
        let database = database.clone();
        move || SHARED.sql(&database, &fence)
    });
    std::thread::sleep(Duration::from_millis(600));
    let began = Instant::now();
    let beat =
        block(state.beat(first.holder, String::new(), vec!["a".to_owned()], vec![("a".to_owned(), first)]));
    assert_eq!(beat.unwrap().renewed, [("a".to_owned(), first.epoch)]);
    assert!(began.elapsed() < Duration::from_millis(700), "a renewal waited for {:?}", began.elapsed());
    SHARED.sql(&database, "UPDATE blooio_exporter.lease SET expires = '-infinity'");
    let began = Instant::now();
    assert!(block(state.take("a".to_owned(), Holder::new(TWO), String::new())).unwrap().is_some());
    assert!(began.elapsed() > Duration::from_millis(500), "a take did not wait for the commit");
    committing.join().unwrap();
}

#[test]
fn a_commit_whose_answer_was_lost_is_sent_again() {
    let database = SHARED.database();
    let state = open(&SHARED.url("postgres", &database));
    let grant = take(&state, Holder::new(ONE), "a").unwrap();
    let mut store = state.account("a", 0, Some(grant)).unwrap().store;
    store.commit(&counted(1)).unwrap();
    // The commit waits for a table, and its connection is cut meanwhile.
    let cut = "BEGIN; LOCK TABLE blooio_exporter.counter; SELECT pg_sleep(3);
               SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'; COMMIT";
    let cutting = std::thread::spawn({
        let database = database.clone();
        move || SHARED.sql(&database, cut)
    });
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                  AND relation = 'blooio_exporter.counter'::regclass";
    while SHARED.sql(&database, locked) == "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let error = store.commit(&counted(2)).unwrap_err().to_string();
    assert!(error.contains("cannot be reached"), "{error}");
    cutting.join().unwrap();
    assert_eq!(stored(&state, grant), 1);
    store.commit(&counted(2)).unwrap();
    assert_eq!(stored(&state, grant), 2);
    assert_eq!(SHARED.sql(&database, "SELECT commit_seq FROM blooio_exporter.account"), "3");
}

#[test]
fn a_database_that_went_back_in_time_gets_everything_again() {
    let database = SHARED.database();
    let state = open(&SHARED.url("postgres", &database));
    let grant = take(&state, Holder::new(ONE), "a").unwrap();
    let mut store = state.account("a", 0, Some(grant)).unwrap().store;
    for value in 1..=3 {
        store.commit(&counted(value)).unwrap();
    }
    SHARED.sql(
        &database,
        "UPDATE blooio_exporter.account SET commit_seq = 1; UPDATE blooio_exporter.counter SET value = 1",
    );
    assert!(matches!(store.commit(&counted(4)), Err(StoreError::LostCommits { .. })));
    assert_eq!(stored(&state, grant), 1, "a part is never written over an older state");
    store.commit(&Delta { is_whole: true, ..counted(4) }).unwrap();
    store.commit(&counted(5)).unwrap();
    assert_eq!(stored(&state, grant), 5);
}

#[test]
fn a_server_that_crashes_keeps_what_it_acknowledged() {
    let mut server = Server::start(&[]);
    let url = server.url("postgres", "postgres");
    let state = open(&url);
    let grant = take(&state, Holder::new(ONE), "a").unwrap();
    let mut account = state.account("a", 0, Some(grant)).unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    account.store.commit(&content::delta(&mut rng)).unwrap();
    let before = content::text(&state.account("a", 0, Some(grant)).unwrap().restored);
    server.crash();
    let error = account.store.commit(&counted(1)).unwrap_err().to_string();
    assert!(error.contains("cannot be reached"), "{error}");
    server.resume();
    assert_eq!(content::text(&state.account("a", 0, Some(grant)).unwrap().restored), before);
    account.store.commit(&counted(1)).unwrap();
}

#[test]
fn replicas_that_start_together_create_the_tables_once() {
    let url = SHARED.url("postgres", &SHARED.database());
    let opening: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn({
                let url = url.clone();
                move || open(&url).key()
            })
        })
        .collect();
    let keys: Vec<_> = opening.into_iter().map(|opening| opening.join().unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn looking_changes_nothing() {
    let database = SHARED.database();
    let url = SHARED.url("postgres", &database);
    PostgresState::look_at(options(&url)).unwrap();
    assert_eq!(SHARED.sql(&database, "SELECT to_regnamespace('blooio_exporter') IS NULL"), "t");
    open(&url);
    PostgresState::look_at(options(&url)).unwrap();
}

#[test]
fn baselines_are_read_from_a_database_in_use() {
    let url = SHARED.url("postgres", &SHARED.database());
    let state = open(&url);
    let grant = take(&state, Holder::new(ONE), "a").unwrap();
    state.account("a", 0, Some(grant)).unwrap().store.commit(&counted(1)).unwrap();
    assert_eq!(PostgresState::baselines(options(&url)).unwrap(), [("a".to_owned(), 1)].into());
}

#[test]
fn each_problem_of_a_database_has_an_error_that_says_what_to_do() {
    let database = SHARED.database();
    let url = |user: &str| SHARED.url(user, &database);
    SHARED.sql(&database, "CREATE ROLE nobody LOGIN; CREATE ROLE full_role LOGIN CONNECTION LIMIT 0");
    let cases = [
        ("postgres://postgres@127.0.0.1:1/x".to_owned(), "cannot be reached"),
        (
            format!("postgres://postgres@/x?host={}&port=1", SHARED.socket().replace('/', "%2F")),
            "cannot be reached",
        ),
        (SHARED.url("postgres", "missing"), "does not exist"),
        (url("stranger"), "rejected the user"),
        (url("nobody"), "GRANT CREATE ON DATABASE"),
        (url("full_role"), "no free connection"),
    ];
    for (url, why) in cases {
        let error = error(options(&url));
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[test]
fn a_wrong_password_is_rejected_and_never_shown() {
    let server = Server::start(&[]);
    server.sql(
        "postgres",
        "CREATE ROLE exporter LOGIN PASSWORD 'right-canary'; GRANT CREATE ON DATABASE postgres TO exporter",
    );
    let rules = "local all postgres trust\nlocal all all scram-sha-256\n";
    fs::write(server.data().join("pg_hba.conf"), rules).unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()");
    let with = |password: Option<&'static str>| Options {
        password: Arc::new(move || Ok(password.map(|text| Secret::new(text.to_owned())))),
        ..options(&server.url("exporter", "postgres"))
    };
    for password in [Some("wrong-canary"), None] {
        let error = error(with(password));
        assert!(!error.contains("canary"), "{error}");
        assert!(error.contains("rejected the user") || error.contains("password"), "{error}");
    }
    PostgresState::open(with(Some("right-canary")), fastrand_key()).unwrap();
}

#[test]
fn over_the_network_the_certificate_of_the_server_is_verified() {
    let (authority, elsewhere) = (Authority::new("authority"), Authority::new("elsewhere"));
    let mut server = Server::start(&[]);
    let certify = |server: &Server, expired: bool| {
        let (certificate, key) = authority.sign("localhost", SERVER, expired);
        server.write("server.crt", &certificate);
        server.write("server.key", &key);
    };
    certify(&server, false);
    let port = server.listen("127.0.0.1,127.0.0.2");
    let folder = tempfile::tempdir().unwrap();
    let by = |authority: &Authority, host: &str| {
        let file = folder.path().join("ca.pem");
        fs::write(&file, &authority.pem).unwrap();
        Options { ca_file: Some(file), ..options(&format!("postgres://postgres@{host}:{port}/postgres")) }
    };
    let refused = error(by(&authority, "localhost"));
    assert!(refused.contains("TLS"), "a server without TLS: {refused}");
    server.restart_with("ssl=on");
    let state = PostgresState::open(by(&authority, "localhost"), fastrand_key()).unwrap();
    let over_tls = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE application_name = 'blooio-exporter'";
    assert_eq!(server.sql("postgres", over_tls), "t");
    drop(state);
    for (name, authority, host) in [
        ("an authority that did not sign it", &elsewhere, "localhost"),
        ("a name that is not in it", &authority, "127.0.0.2"),
    ] {
        let refused = error(by(authority, host));
        assert!(refused.contains("certificate"), "{name}: {refused}");
    }
    certify(&server, true);
    server.restart_with("log_connections=on");
    let refused = error(by(&authority, "localhost"));
    assert!(refused.contains("certificate") && refused.contains("expired"), "{refused}");
}

#[test]
fn tables_of_another_program_or_version_are_left_as_they_are() {
    let (theirs, later, damaged) = (SHARED.database(), SHARED.database(), SHARED.database());
    SHARED.sql(&theirs, "CREATE SCHEMA blooio_exporter; CREATE TABLE blooio_exporter.theirs (x int)");
    let error_of = |database: &str| error(options(&SHARED.url("postgres", database)));
    assert!(error_of(&theirs).contains("tables of another program"));
    SHARED.sql(
        &theirs,
        "CREATE TABLE blooio_exporter.state (x int); INSERT INTO blooio_exporter.state VALUES (1)",
    );
    assert!(error_of(&theirs).contains("tables of another program"));
    assert_eq!(
        SHARED.sql(&theirs, "SELECT count(*) FROM pg_tables WHERE schemaname = 'blooio_exporter'"),
        "2"
    );
    open(&SHARED.url("postgres", &later));
    SHARED.sql(&later, "UPDATE blooio_exporter.state SET version = 99");
    assert!(error_of(&later).contains("schema version 99"));
    let state = open(&SHARED.url("postgres", &damaged));
    let grant = take(&state, Holder::new(ONE), "a").unwrap();
    state.account("a", 0, Some(grant)).unwrap().store.commit(&counted(1)).unwrap();
    SHARED.sql(&damaged, "INSERT INTO blooio_exporter.counter VALUES (1, 'of no version', 1)");
    let error = state.account("a", 0, Some(grant)).err().unwrap().to_string();
    assert!(error.contains("damaged (unknown values)"), "{error}");
    SHARED.sql(&damaged, "DROP TABLE blooio_exporter.counter");
    let error = state.account("a", 0, Some(grant)).err().unwrap().to_string();
    assert!(error.contains("damaged (a table or a column is missing)"), "{error}");
}

#[test]
fn a_read_only_server_is_rejected() {
    let database = SHARED.database();
    SHARED.sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    assert!(error(options(&SHARED.url("postgres", &database))).contains("read-only or a standby"));
    // The first host that can be written to is used.
    let socket = SHARED.socket().replace('/', "%2F");
    let both = format!("postgres://postgres@/{}?host=%2Fnonexistent&host={socket}", SHARED.database());
    open(&both);
}

#[test]
fn a_standby_is_rejected() {
    let mut server = Server::start(&[]);
    server.crash();
    fs::write(server.data().join("standby.signal"), "").unwrap();
    server.resume();
    assert!(error(options(&server.url("postgres", "postgres"))).contains("read-only or a standby"));
}

#[test]
fn a_pooler_without_free_connections_is_named() {
    let server = Server::start(&[]);
    let pooler = Pooler::start(&server, "max_client_conn = 1");
    let url = pooler.url("postgres");
    let kept = open(&url);
    let error = error(options(&url));
    assert!(error.contains("no free connection"), "{error}");
    drop(kept);
}

#[test]
fn an_encoding_that_cannot_hold_every_name_is_rejected() {
    SHARED.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    assert!(error(options(&SHARED.url("postgres", "latin"))).contains("encoding LATIN1"));
}

#[test]
fn a_database_that_does_not_answer_costs_bounded_time() {
    let database = SHARED.database();
    let timing = Timing { ttl: Duration::from_secs(3) };
    let url = SHARED.url("postgres", &database);
    let state = PostgresState::open(Options { timing, ..options(&url) }, fastrand_key()).unwrap();
    let grant = take(&state, Holder::new(ONE), "a").unwrap();
    let mut store = state.account("a", 0, Some(grant)).unwrap().store;
    store.commit(&counted(1)).unwrap();
    let locking = std::thread::spawn({
        let database = database.clone();
        move || SHARED.sql(&database, "BEGIN; LOCK TABLE blooio_exporter.counter; SELECT pg_sleep(4); COMMIT")
    });
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    let error = store.commit(&counted(2)).unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}: {error}", began.elapsed());
    locking.join().unwrap();
    store.commit(&counted(3)).unwrap();
    assert_eq!(stored(&state, grant), 3);
}
