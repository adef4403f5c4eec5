//! Leases: which replica holds an account, and for how long it may rely on that.

/// A replica: a random UUID of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(pub u128);

/// A lease that was taken. Every commit is fenced by it: the holder alone does not suffice, because the same replica can
/// take the lease again, and the epoch alone does not, because a database that went back in time can issue it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The replica that took the lease.
    pub holder: Holder,
    /// Incremented each time the lease is taken.
    pub epoch: i64,
}
