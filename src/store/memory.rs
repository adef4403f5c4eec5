//! A store in memory, for tests: what was committed survives its owner, and it can be told to fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Store, StoreError};
use crate::domain::{
    Chat, ChatKey, Conversation, Counter, Delta, Device, Histogram, HistogramKey, LineId, MessageId, Open,
    Place, Progress, Restored, Told, Tracked,
};

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
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
