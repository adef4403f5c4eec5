//! The file: private, locked, recognised, and what was committed is there again.

use super::*;
use crate::domain::{
    ChatKey, ChatKind, Code, Direction, Ledger, Listing, MessageId, Observation, Policy, Progress, Protocol,
    Restored, Told,
};

fn open(path: &Path) -> Result<StateFile, StoreError> {
    StateFile::open(path, [7; 32])
}

fn ledger(restored: Restored) -> Ledger {
    let policy = Policy {
        window: 1,
        horizon: 1,
        retention: 1,
        audit_interval: 1,
        interval: 1,
        full_interval: 1,
        lookback: 1,
        turn: 1,
    };
    Ledger::new(policy, restored)
}

#[test]
fn a_second_process_is_refused_and_the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Locked(_))));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(first);
    assert!(open(&path).is_ok());
}

#[test]
fn a_baseline_is_read_from_a_file_in_use_as_soon_as_it_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let file = open(&path).unwrap();
    for (name, baseline) in [("one", 5), ("two", 7)] {
        let mut store = file.account(name, 9, None).unwrap().store;
        store.commit(&Delta::default()).unwrap();
        assert_eq!(StateFile::baselines(&path).unwrap().get(name), None);
        let progress = Progress { baseline, ..Progress::default() };
        store.commit(&Delta { progress, ..Delta::default() }).unwrap();
        assert_eq!(StateFile::baselines(&path).unwrap().get(name), Some(&baseline));
    }
}

#[test]
fn foreign_and_damaged_files_are_refused_and_left_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    for content in [b"hello".to_vec(), vec![0; 5000], b"SQLite format 3\0".repeat(400)] {
        fs::write(&path, &content).unwrap();
        assert!(matches!(open(&path), Err(StoreError::Foreign(_))), "{:?}", open(&path).err());
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"").unwrap();
    assert!(matches!(open(&path), Err(StoreError::Damaged { .. })), "a file cut to nothing is not a new one");
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Foreign(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn another_schema_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(open(&path), Err(StoreError::Version { found: 99, .. })));
}

#[test]
fn what_was_committed_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let file = open(&path).unwrap();
    let mut state = file.account("default", 5, None).unwrap();
    let mut book = ledger(state.restored);
    book.begin(1000);
    let line = book.line(Some("+13105550101"));
    let observation = crate::domain::Observation {
        id: MessageId(42),
        direction: crate::domain::Direction::Outbound,
        line,
        sent_at: 2000,
        delivered_at: None,
        status: crate::domain::Status::Queued,
        protocol: crate::domain::Protocol::Pending,
        reason: crate::domain::Reason::None,
    };
    let listed = Listing {
        last_at: Some(2000),
        last_id: Some(MessageId(42)),
        messages: Some(1),
        inbound: Some(0),
        outbound: Some(1),
        times: Some(5),
    };
    book.record_listed(ChatKey(9), ChatKind::Group, listed);
    book.observe(ChatKey(9), &observation, 2000);
    book.record_probe(line, Code::Status(502), 0.5, 2000);
    book.record_lines(&[(line, (Some(false), Some(1999)))].into());
    book.record_listed(ChatKey(8), ChatKind::Phone, listed);
    let (first, second) = (MessageId::new(2, Direction::Outbound), MessageId::new(4, Direction::Outbound));
    let sms = Observation { id: second, sent_at: 2005, protocol: Protocol::Sms, ..observation };
    book.observe(ChatKey(8), &Observation { id: first, ..observation }, 2000);
    book.record_list(2002);
    book.mark_listed(ChatKey(8), 1, 2002);
    book.place_messages();
    book.observe(ChatKey(8), &sms, 2005);
    let told = book.delta();
    let Told { conversations, waiting, lost } = &told.told;
    assert_eq!((conversations.len(), waiting.len(), lost.len()), (1, 2, 1));
    state.store.commit(&told).unwrap();
    drop(state.store);
    drop(file);

    let file = open(&path).unwrap();
    let state = file.account("default", 77, None).unwrap();
    let mut again = ledger(state.restored);
    let (before, after) = (book.snapshot(2001), again.snapshot(2001));
    assert_eq!(before.counters, after.counters);
    assert_eq!(before.histograms, after.histograms);
    assert_eq!(before.lines, after.lines);
    assert_eq!(before.devices, after.devices);
    assert_eq!(after.devices[&line].answered, Some(false));
    assert_eq!(again.conversations().get(ChatKey(8)), book.conversations().get(ChatKey(8)));
    assert_eq!(before.unanswered, after.unanswered);
    assert_eq!(again.progress(), book.progress());
    assert_eq!(again.chats().get(ChatKey(9)), book.chats().get(ChatKey(9)));
    assert_eq!(again.messages().get(MessageId(42)), book.messages().get(MessageId(42)));
    assert_eq!(again.messages().open_count(), 3);
    assert!(again.delta().messages.is_empty());
}
