//! A store in memory, for tests: what was committed survives its owner, and it can be told to fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{AccountState, KEY_BYTES, State, Store, StoreError, Totals};
use crate::domain::{
    Chat, ChatKey, Conversation, Counter, Delta, Device, Histogram, HistogramKey, LineId, MessageId, Open,
    Place, Progress, Restored, Told, Tracked,
};
use crate::lease::Grant;

/// What has been committed.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    progress: Progress,
    lines: BTreeMap<LineId, String>,
    devices: BTreeMap<LineId, Device>,
    chats: BTreeMap<ChatKey, Chat>,
    messages: BTreeMap<MessageId, (Tracked, Option<Open>)>,
    conversations: BTreeMap<ChatKey, Conversation>,
    waiting: BTreeMap<MessageId, Place>,
    lost: BTreeMap<MessageId, Place>,
    counters: BTreeMap<Counter, u64>,
    histograms: BTreeMap<HistogramKey, Histogram>,
    commits: u64,
}

/// The store. Clones share what was committed.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Committed>>);

impl MemoryStore {
    /// What a process would find that starts now.
    pub fn restore(&self) -> Restored {
        let committed = self.committed().clone();
        let messages = committed.messages.into_iter();
        Restored {
            progress: committed.progress,
            lines: committed.lines.into_iter().collect(),
            devices: committed.devices.into_iter().collect(),
            chats: committed.chats.into_iter().collect(),
            messages: messages.map(|(id, (tracked, open))| (id, tracked, open)).collect(),
            told: Told {
                conversations: stored(committed.conversations),
                waiting: stored(committed.waiting),
                lost: stored(committed.lost),
            },
            counters: committed.counters.into_iter().collect(),
            histograms: committed.histograms.into_iter().collect(),
        }
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.committed().commits
    }

    fn committed(&self) -> MutexGuard<'_, Committed> {
        self.0.lock()
    }
}

fn stored<K, V>(map: BTreeMap<K, V>) -> Vec<(K, Option<V>)> {
    map.into_iter().map(|(key, value)| (key, Some(value))).collect()
}

fn apply<K: Ord + Copy, V: Copy>(map: &mut BTreeMap<K, V>, changes: &[(K, Option<V>)]) {
    for (key, value) in changes {
        match value {
            Some(value) => map.insert(*key, *value),
            None => map.remove(key),
        };
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, delta: &Delta) -> Result<(), StoreError> {
        let mut committed = self.committed();
        if delta.is_whole {
            *committed = Committed { commits: committed.commits, ..Committed::default() };
        }
        committed.commits += 1;
        committed.progress = delta.progress;
        committed.lines.extend(delta.lines.iter().cloned());
        committed.devices.extend(delta.devices.iter().copied());
        apply(&mut committed.chats, &delta.chats);
        apply(&mut committed.messages, &delta.messages);
        apply(&mut committed.conversations, &delta.told.conversations);
        apply(&mut committed.waiting, &delta.told.waiting);
        apply(&mut committed.lost, &delta.told.lost);
        committed.counters.extend(delta.counters.iter().copied());
        committed.histograms.extend(delta.histograms.iter().cloned());
        Ok(())
    }

    fn size(&self) -> u64 {
        0
    }
}

/// The stores of several accounts under one key. Clones share them.
#[derive(Clone)]
pub struct MemoryState {
    key: [u8; KEY_BYTES],
    accounts: Arc<Mutex<Vec<(String, MemoryStore)>>>,
}

impl MemoryState {
    /// A state without accounts.
    pub fn new(key: [u8; KEY_BYTES]) -> MemoryState {
        MemoryState { key, accounts: Arc::default() }
    }

    fn all(&self) -> MutexGuard<'_, Vec<(String, MemoryStore)>> {
        self.accounts.lock()
    }
}

impl State for MemoryState {
    fn key(&self) -> [u8; KEY_BYTES] {
        self.key
    }

    fn account(&self, name: &str, _now: i64, _grant: Option<Grant>) -> Result<AccountState, StoreError> {
        let mut accounts = self.all();
        let known = accounts.iter().find(|(known, _)| known == name).map(|(_, store)| store.clone());
        let store = known.unwrap_or_else(|| {
            let store = MemoryStore::default();
            accounts.push((name.to_owned(), store.clone()));
            store
        });
        Ok(AccountState { restored: store.restore(), store: Box::new(store) })
    }

    fn totals_of_others(&self, names: &[&str]) -> Result<Vec<Totals>, StoreError> {
        let accounts = self.all();
        let others = accounts.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        let restored = others.map(|(_, store)| store.restore());
        Ok(restored.map(|restored| (restored.counters, restored.histograms)).collect())
    }

    fn accounts(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.all().iter().map(|(name, _)| name.clone()).collect())
    }
}
