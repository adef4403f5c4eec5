//! One suite for every store: open, commit, crash, reopen; and a comparison of all stores after every commit of random
//! sequences.

pub(crate) mod content;
mod differential;
mod figures;
pub(crate) mod kinds;
mod leases;
mod postgres;
pub(crate) mod server;

use blooio_exporter::domain::{ChatKey, Counter, Delta, LineId, MessageId, Place, Progress, Tracked};
use blooio_exporter::store::{AccountState, State};
use kinds::{Kind, all};

const FIRST_START: i64 = 1_791_000_000_000;

fn open(kind: &mut dyn Kind, state: &dyn State, name: &str) -> AccountState {
    let grant = kind.grant(name);
    state.account(name, FIRST_START, grant).unwrap_or_else(|error| panic!("{}: {error}", kind.name()))
}

fn content_of(kind: &mut dyn Kind, state: &dyn State, name: &str) -> String {
    content::text(&open(kind, state, name).restored)
}

fn progress(baseline: i64) -> Delta {
    Delta { progress: Progress { baseline, ..Progress::default() }, ..Delta::default() }
}

#[test]
fn an_account_is_empty_at_first_and_the_key_stays() {
    for mut kind in all() {
        let state = kind.open();
        let key = state.key();
        assert_ne!(key, [0; 32], "{}", kind.name());
        assert_eq!(content_of(&mut *kind, &*state, "new"), content::text(&Default::default()));
        assert_eq!(state.accounts().unwrap(), ["new"]);
        drop(state);
        let state = kind.open();
        assert_eq!(state.key(), key, "{}: the key of a store never changes", kind.name());
        assert_eq!(state.accounts().unwrap(), ["new"], "{}", kind.name());
    }
}

#[test]
fn a_commit_survives_a_stop_and_a_crash() {
    for mut kind in all() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..12 {
            let state = kind.open();
            let before = content_of(&mut *kind, &*state, "a");
            let mut account = open(&mut *kind, &*state, "a");
            let delta = content::delta(&mut rng);
            account.store.commit(&delta).unwrap();
            drop(account);
            let after = content_of(&mut *kind, &*state, "a");
            assert_ne!(before, after);
            match round % 2 {
                0 => drop(state),
                _ => kind.crash(state),
            }
            let state = kind.open();
            let found = content_of(&mut *kind, &*state, "a");
            assert_eq!(found, after, "{}: round {round}", kind.name());
        }
    }
}

#[test]
fn accounts_share_no_rows() {
    for mut kind in all() {
        let state = kind.open();
        let mut rng = fastrand::Rng::with_seed(5);
        let (one, other) = (content::delta(&mut rng), content::delta(&mut rng));
        open(&mut *kind, &*state, "one").store.commit(&one).unwrap();
        let before = content_of(&mut *kind, &*state, "one");
        open(&mut *kind, &*state, "other").store.commit(&other).unwrap();
        open(&mut *kind, &*state, "other").store.commit(&Delta { is_whole: true, ..one }).unwrap();
        open(&mut *kind, &*state, "other").store.commit(&Delta { is_whole: true, ..other }).unwrap();
        assert_eq!(content_of(&mut *kind, &*state, "one"), before, "{}", kind.name());
        assert_eq!(state.accounts().unwrap(), ["one", "other"], "{}", kind.name());
    }
}

#[test]
fn rows_are_replaced_deleted_and_given_twice() {
    for mut kind in all() {
        let state = kind.open();
        let mut account = open(&mut *kind, &*state, "a");
        let tracked = Tracked::unpack(7, 1 << 24).unwrap();
        let place = Place { chat: ChatKey(3), sent_at: 4, line: LineId(1) };
        let mut delta = progress(5);
        delta.lines = vec![(LineId(1), "first".to_owned()), (LineId(1), "second".to_owned())];
        delta.messages = vec![(MessageId(2), Some((tracked, None))), (MessageId(4), Some((tracked, None)))];
        delta.told.waiting = vec![(MessageId(2), Some(place))];
        delta.counters = vec![(Counter::Late, 1), (Counter::Late, 2)];
        account.store.commit(&delta).unwrap();
        let mut next = progress(5);
        next.messages = vec![(MessageId(2), None), (MessageId(99), None)];
        next.told.waiting = vec![(MessageId(2), None)];
        account.store.commit(&next).unwrap();
        let restored = open(&mut *kind, &*state, "a").restored;
        assert_eq!(restored.lines, [(LineId(1), "second".to_owned())], "{}", kind.name());
        assert_eq!(restored.messages, [(MessageId(4), tracked, None)], "{}", kind.name());
        assert_eq!(restored.counters, [(Counter::Late, 2)], "{}", kind.name());
        assert!(restored.told.waiting.is_empty());
    }
}

#[test]
fn a_whole_delta_replaces_everything_of_its_account() {
    for mut kind in all() {
        let state = kind.open();
        let mut rng = fastrand::Rng::with_seed(8);
        let mut account = open(&mut *kind, &*state, "a");
        for _ in 0..5 {
            account.store.commit(&content::delta(&mut rng)).unwrap();
        }
        account.store.commit(&Delta { is_whole: true, ..progress(9) }).unwrap();
        let restored = open(&mut *kind, &*state, "a").restored;
        let mut expected = blooio_exporter::domain::Restored::default();
        expected.progress.baseline = 9;
        assert_eq!(content::text(&restored), content::text(&expected), "{}", kind.name());
    }
}

#[test]
fn the_totals_of_other_accounts_are_found() {
    for mut kind in all() {
        let state = kind.open();
        let mut rng = fastrand::Rng::with_seed(9);
        let mut expected = Vec::new();
        for name in ["one", "empty", "two"] {
            let mut account = open(&mut *kind, &*state, name);
            if name != "empty" {
                account.store.commit(&content::delta(&mut rng)).unwrap();
            }
            let restored = open(&mut *kind, &*state, name).restored;
            expected.push(content::totals(&restored.counters, &restored.histograms));
        }
        let found = |names: &[&str]| -> Vec<Vec<String>> {
            let totals = state.totals_of_others(names).unwrap();
            totals.iter().map(|(counters, histograms)| content::totals(counters, histograms)).collect()
        };
        assert_eq!(found(&[]), expected, "{}", kind.name());
        assert_eq!(found(&["one", "unknown"]), expected[1..], "{}", kind.name());
        assert!(found(&["one", "empty", "two"]).is_empty(), "{}", kind.name());
    }
}

#[test]
fn a_large_commit_is_stored_and_its_size_is_known() {
    for mut kind in all() {
        let state = kind.open();
        let mut account = open(&mut *kind, &*state, "large");
        let tracked = Tracked::unpack(7, 1 << 24).unwrap();
        let messages = (0..20_000).map(|id| (MessageId(id * 2), Some((tracked, None)))).collect();
        account.store.commit(&Delta { messages, ..progress(1) }).unwrap();
        assert_eq!(open(&mut *kind, &*state, "large").restored.messages.len(), 20_000, "{}", kind.name());
        assert_eq!(account.store.size() > 100_000, kind.is_durable(), "{}", kind.name());
    }
}
