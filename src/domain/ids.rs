//! Identities as the ledger holds them: keyed hashes, never the API's own ids.

use std::hash::{BuildHasherDefault, Hasher};

/// A message, as the first 16 bytes of a keyed hash of its `message_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

/// A chat, as the first 16 bytes of a keyed hash of its id (a phone number, an e-mail address or `grp_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChatKey(pub u128);

/// A line of the account: an index into its register of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub u16);

impl LineId {
    /// Messages whose `internal_id` is null.
    pub const NONE: LineId = LineId(0);
    /// Messages of lines past the cap, so that no input can grow the page without bound.
    pub const OVERFLOW: LineId = LineId(u16::MAX);
}

/// Hasher for keys that are keyed hashes already: their low bits are as good as any hash of them.
#[derive(Default)]
pub struct KeyedHasher(u64);

impl Hasher for KeyedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }
}

/// `BuildHasher` of [`KeyedHasher`].
pub type BuildKeyedHasher = BuildHasherDefault<KeyedHasher>;
