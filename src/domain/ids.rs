//! Identities as the ledger holds them: keyed hashes, never the API's own ids.

use std::hash::{BuildHasherDefault, Hasher};

use super::vocabulary::vocabulary;

vocabulary! {
    /// Which way a message went.
    Direction {
        /// From a contact to the organisation.
        Inbound = 0 "inbound",
        /// From the organisation to a contact.
        Outbound = 1 "outbound",
    }
}

/// A message, as the first 16 bytes of a keyed hash of its `message_id`, the lowest bit of which says which way it
/// went: a message between two lines of the account has one id on both sides, and counts on both.
///
/// Packed to words of 8 bytes: millions of these stand beside times in ordered sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct MessageId(pub u128);

impl MessageId {
    /// The identity of a message with this hash that went this way.
    pub const fn new(hash: u128, direction: Direction) -> MessageId {
        MessageId(hash & !1 | direction.number() as u128)
    }

    /// Which way the message went.
    pub const fn direction(self) -> Direction {
        if self.0 & 1 == Direction::Outbound.number() as u128 {
            Direction::Outbound
        } else {
            Direction::Inbound
        }
    }

    /// The same for both directions, for where only the API's id is known.
    pub const fn undirected(self) -> MessageId {
        MessageId(self.0 & !1)
    }
}

/// A chat, as the first 16 bytes of a keyed hash of its id (a phone number, an e-mail address or `grp_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed(8))]
pub struct ChatKey(pub u128);

/// A line of the account: an index into its register of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// The `BuildHasher` of [`KeyedHasher`], for maps whose keys are keyed hashes.
pub type BuildKeyedHasher = BuildHasherDefault<KeyedHasher>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_key_counts_in_its_hash() {
        let whole = |key: u128| {
            let mut hasher = KeyedHasher::default();
            hasher.write_u128(key);
            hasher.finish()
        };
        let bytes = |key: u128| {
            let mut hasher = KeyedHasher::default();
            hasher.write(&key.to_le_bytes());
            hasher.finish()
        };
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..8 {
            let key = rng.u128(..);
            for bit in 0..128 {
                let other = key ^ (1 << bit);
                assert_ne!(whole(key), whole(other), "{bit}");
                assert_ne!(bytes(key), bytes(other), "{bit}");
            }
        }
    }

    #[test]
    fn both_sides_of_a_message_between_two_lines_are_told_apart_and_known_as_one() {
        for hash in [0, 1, u128::MAX - 1, u128::MAX] {
            let sides = Direction::ALL.iter().map(|direction| (*direction, MessageId::new(hash, *direction)));
            let sides: Vec<_> = sides.collect();
            assert!(sides.iter().all(|(direction, id)| id.direction() == *direction));
            assert_ne!(sides[0].1, sides[1].1);
            assert_eq!(sides[0].1.undirected(), sides[1].1.undirected());
            assert_eq!({ sides[0].1.undirected().0 } >> 1, hash >> 1, "nothing else is lost");
        }
    }
}
