//! `state copy`: exact in both directions, and refused while either state is in use.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use blooio_exporter::lease::{Grant, Holder};
use blooio_exporter::store::sqlite::StateFile;
use blooio_exporter::store::{PostgresState, State};

use crate::stores::content;
use crate::stores::kinds::{block, options, take};
use crate::stores::server::SHARED;
use crate::support::{outcome, program};

/// Copies, and returns whether that succeeded, and what was said.
fn copy(from: &str, to: &str) -> (bool, String) {
    let mut command = program();
    command.args(["state", "copy", from, to]).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = outcome(child, Duration::from_secs(60), &"state copy");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// Everything of the accounts, in their order.
fn everything(state: &dyn State, grant: impl Fn(&str) -> Option<Grant>) -> Vec<(String, String)> {
    let content = |name: String| {
        let text = content::text(&state.account(&name, 0, grant(&name)).unwrap().restored);
        let first_start = state.first_start(&name).unwrap();
        (name, format!("first start {first_start:?}\n{text}"))
    };
    state.accounts().unwrap().into_iter().map(content).collect()
}

fn file(path: &Path) -> StateFile {
    StateFile::open(path, [7; 32]).unwrap()
}

#[test]
fn a_state_is_copied_exactly_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (first, back) = (path("first.db"), path("back.db"));
    let url = SHARED.url("postgres", &SHARED.database());
    let state = file(Path::new(&first));
    let mut rng = fastrand::Rng::with_seed(15);
    for (name, first_start) in [("shop", 1_790_000_000_000), ("clinic", 1_780_000_000_000)] {
        let mut account = state.account(name, first_start, None).unwrap();
        (0..20).for_each(|_| account.store.commit(&content::delta(&mut rng)).unwrap());
    }
    let (before, key) = (everything(&state, |_| None), state.key());
    assert!(before[1].1.starts_with("first start Some(1780000000000)"), "{}", before[1].1);
    let (is_copied, said) = copy(&first, &url);
    assert!(!is_copied && said.contains("another process is using it"), "{said}");
    drop(state);

    let (is_copied, said) = copy(&first, &url);
    assert!(is_copied && said.contains("accounts: shop, clinic"), "{said}");
    let database = PostgresState::open(options(&url), [0; 32]).unwrap();
    assert_eq!(database.key(), key);
    let holder = Holder::new(5);
    let copied = everything(&database, |name| take(&database, holder, name));
    assert_eq!(copied, before);

    // This holder has not given its leases up.
    let (is_copied, said) = copy(&url, &back);
    assert!(!is_copied && said.contains("a replica uses it"), "{said}");
    assert!(!Path::new(&back).exists());
    block(database.leave(holder)).unwrap();
    drop(database);
    let (is_copied, said) = copy(&url, &back);
    assert!(is_copied, "{said}");
    let state = file(Path::new(&back));
    assert_eq!((everything(&state, |_| None), state.key()), (before, key));
}

#[test]
fn nothing_is_copied_over_a_state_or_from_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (one, other) = (path("one.db"), path("other.db"));
    for name in [&one, &other] {
        file(Path::new(name)).account("a", 0, None).unwrap();
    }
    let url = SHARED.url("postgres", &SHARED.database());
    assert!(copy(&one, &url).0);
    let before = std::fs::read(&other).unwrap();
    for (from, to, why) in [
        (&one, &other, "exists; name a file that does not"),
        (&one, &url, "has a state already"),
        (&path("nowhere.db"), &url, "does not exist"),
        (&one, &"postgres://me:canary@db/x".to_owned(), "holds a password"),
    ] {
        let (is_copied, said) = copy(from, to);
        assert!(!is_copied && said.contains(why) && !said.contains("canary"), "{said}");
    }
    assert_eq!(std::fs::read(&other).unwrap(), before);
}
