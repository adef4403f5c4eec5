//! Random numbers: the key of a new state, and the number that distinguishes this process from others.

use ring::rand::{SecureRandom, SystemRandom};

use super::Failure;
use crate::lease::Holder;
use crate::store::KEY_BYTES;

/// A key for a state that has none yet.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn key() -> Result<[u8; KEY_BYTES], Failure> {
    random("make the state's key from")
}

/// A holder of leases that no other process is.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn holder() -> Result<Holder, Failure> {
    random("identify this replica by").map(|bytes| Holder::new(u128::from_be_bytes(bytes)))
}

fn random<const N: usize>(purpose: &str) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Failure(format!("the system has no random numbers to {purpose}")))?;
    Ok(bytes)
}
