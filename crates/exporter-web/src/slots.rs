//! How many connections there are, and which one is evicted when one more comes.
//!
//! A scraper sends its head at once, takes its answer at once, and then waits for its next scrape. When all slots are in
//! use, the connection that behaves least like that is evicted, the longest-lasting first; so a crowd of such clients, of
//! any size, costs a scraper at worst a new connection. An answer that is being made is never evicted.
//!
//! Eviction looks at the connection's state and not at its address, with one exception: of the connections that wait for
//! their password to be verified, it takes one of the network that has asked most often. A scraper that waits for its first
//! verdict therefore keeps its slot, however many addresses a crowd comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long an evicted connection may take to end before another one is evicted.
const EVICTION_RETRY: Duration = Duration::from_millis(10);
/// How long a connection may take to send a request before its slot can be taken. In a storm of connections, one that
/// behaves gets this long after it was accepted.
const GRACE: Duration = Duration::from_millis(100);
/// A client that has not taken its answer for so long is slow. A network may make anyone wait for less.
const SLOW: Duration = Duration::from_secs(1);

/// The part of an address that one client cannot change at will: all of an IPv4 address, the first 64 bits of an IPv6
/// address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Network(IpAddr);

impl Network {
    /// Of a request that came over no connection.
    pub(super) const UNKNOWN: Self = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));

    /// The network of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        })
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ConnectionState {
    /// No request, or not yet all of its head.
    Arriving,
    /// The body of a request arrives.
    Receiving,
    /// The answer is being made.
    Answering,
    /// Its password waits to be verified.
    Queued,
    /// The answer is being sent, and the client takes it.
    Sending,
    /// The client has stopped taking it.
    Stalled,
    /// The connection waits for its next request.
    Idle,
    /// It was asked to go.
    Leaving,
}

const ALL: [ConnectionState; 8] = [
    ConnectionState::Arriving,
    ConnectionState::Receiving,
    ConnectionState::Answering,
    ConnectionState::Queued,
    ConnectionState::Sending,
    ConnectionState::Stalled,
    ConnectionState::Idle,
    ConnectionState::Leaving,
];

/// The slots of all listeners together.
pub(super) struct ConnectionSlots {
    permits: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<Slot>>>,
    number: AtomicU64,
    born: Instant,
}

/// The slot of one connection, and what that is doing.
pub(super) struct Slot {
    state: AtomicU8,
    /// Since when, in milliseconds since `born`.
    since: AtomicU64,
    born: Instant,
    network: Network,
    /// How often its network had asked for a verdict on a password when this one began to wait for one.
    asked_before: AtomicU64,
    /// Set when a request head is complete, until the stream has noticed.
    asked: AtomicBool,
    leave: Notify,
}

/// A slot that is free again when this is dropped.
pub(super) struct Taken {
    slots: Arc<ConnectionSlots>,
    number: u64,
    pub(super) slot: Arc<Slot>,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlots {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(count)),
            taken: Mutex::default(),
            number: AtomicU64::new(0),
            born: Instant::now(),
        })
    }

    /// A slot for one more connection, if need be in place of another one.
    pub(super) async fn take(self: &Arc<Self>, address: IpAddr) -> Taken {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                break permit;
            }
            self.evict_one();
            if let Ok(Ok(permit)) = timeout(EVICTION_RETRY, Arc::clone(&self.permits).acquire_owned()).await {
                break permit;
            }
        };
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let slot = Arc::new(Slot {
            state: AtomicU8::new(ConnectionState::Arriving as u8),
            since: AtomicU64::new(self.born.elapsed().as_millis() as u64),
            born: self.born,
            network: Network::of(address),
            asked_before: AtomicU64::new(0),
            asked: AtomicBool::new(false),
            leave: Notify::new(),
        });
        self.lock().insert(number, Arc::clone(&slot));
        Taken { slots: Arc::clone(self), number, slot, _permit: permit }
    }

    /// Evicts the connection whose turn comes first. While that is one that has just come, none: a moment later it has
    /// asked, or its grace is over, and connections that wait for their next scrape are not evicted for it.
    fn evict_one(&self) {
        let now = self.born.elapsed().as_millis() as u64;
        let taken = self.lock();
        let first = taken.values().filter_map(|slot| Some((slot.turn(now)?, slot)));
        if let Some(((rank, since), mut slot)) = first.min_by_key(|(turn, _)| *turn)
            && (!matches!(slot.state(), ConnectionState::Arriving | ConnectionState::Receiving)
                || now.saturating_sub(since) >= GRACE.as_millis() as u64)
        {
            if rank == Slot::QUEUED {
                slot = most_insistent(taken.values()).unwrap_or(slot);
            }
            tracing::debug!(state = ?slot.state(), "connection evicted to make room for a newer one");
            slot.set(ConnectionState::Leaving);
            slot.leave.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Slot>>> {
        self.taken.lock()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.slots.lock().remove(&self.number);
    }
}

impl Slot {
    /// Sets what the connection is doing from now on.
    pub(super) fn set(&self, state: ConnectionState) {
        self.since.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(super) fn state(&self) -> ConnectionState {
        ALL[usize::from(self.state.load(Ordering::Relaxed)) % ALL.len()]
    }

    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// Its password waits to be verified; its network has asked so often for that.
    pub(super) fn queue(&self, asked: u64) {
        self.asked_before.store(asked, Ordering::Relaxed);
        self.set(ConnectionState::Queued);
    }

    /// A request head is complete.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.set(ConnectionState::Answering);
    }

    /// Whether that has happened since this was called last.
    pub(super) fn has_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Completes when the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
    }

    /// First part of [`Self::turn`] of a connection whose password waits to be verified.
    const QUEUED: u8 = 2;

    /// The smaller, the sooner it is evicted; `None` if it may stay.
    fn turn(&self, now: u64) -> Option<(u8, u64)> {
        let since = self.since.load(Ordering::Relaxed);
        let is_slow = now.saturating_sub(since) >= SLOW.as_millis() as u64;
        match self.state() {
            ConnectionState::Arriving | ConnectionState::Receiving => Some((0, since)),
            ConnectionState::Stalled if is_slow => Some((1, since)),
            ConnectionState::Queued => Some((Self::QUEUED, since)),
            ConnectionState::Idle => Some((3, since)),
            ConnectionState::Stalled => Some((4, since)),
            ConnectionState::Answering | ConnectionState::Sending | ConnectionState::Leaving => None,
        }
    }
}

/// Of the connections whose password waits to be verified, one of the network that has asked most often: the middle one,
/// because the newest and the oldest are verified next.
fn most_insistent<'a>(slots: impl Iterator<Item = &'a Arc<Slot>> + Clone) -> Option<&'a Arc<Slot>> {
    let queued = || slots.clone().filter(|slot| slot.state() == ConnectionState::Queued);
    let mut asked: HashMap<Network, u64> = HashMap::new();
    for slot in queued() {
        let of_network = asked.entry(slot.network).or_default();
        *of_network = slot.asked_before.load(Ordering::Relaxed).max(*of_network);
    }
    let most = asked.values().max()?;
    let mut crowd: Vec<_> = queued().filter(|slot| asked.get(&slot.network) == Some(most)).collect();
    crowd.sort_by_key(|slot| slot.since.load(Ordering::Relaxed));
    crowd.get(crowd.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[tokio::test]
    async fn the_connection_least_like_a_scraper_goes_first_and_an_answer_in_the_making_stays() {
        let slots = ConnectionSlots::new(8);
        let mut taken = Vec::new();
        for (state, age, from) in [
            (ConnectionState::Answering, 9000, 1),
            (ConnectionState::Stalled, 10, 1),
            (ConnectionState::Idle, 9000, 1),
            (ConnectionState::Stalled, 2000, 1),
            (ConnectionState::Arriving, 10, 1),
            (ConnectionState::Arriving, 20, 1),
            (ConnectionState::Queued, 20, 2),
            (ConnectionState::Receiving, 15, 1),
        ] {
            let one = slots.take(address(from)).await;
            one.slot.set(state);
            taken.push((one, age));
        }
        let now = 10_000;
        for (one, age) in &taken {
            one.slot.since.store(now - age, Ordering::Relaxed);
        }
        let mut turns: Vec<_> =
            taken.iter().enumerate().filter_map(|(n, (one, _))| Some((one.slot.turn(now)?, n))).collect();
        turns.sort();
        let order: Vec<usize> = turns.into_iter().map(|(_, n)| n).collect();
        assert_eq!(order, [5, 7, 4, 3, 6, 2, 1]);
    }

    #[tokio::test]
    async fn of_those_whose_password_waits_one_goes_whose_network_asked_most_often() {
        let slots = ConnectionSlots::new(6);
        let mut taken = Vec::new();
        // The address, how often it had asked, and since when this connection waits.
        for (from, asked, since) in [(1, 7, 10), (1, 8, 20), (1, 9, 30), (2, 8, 5), (3, 1, 40), (3, 2, 50)] {
            let one = slots.take(address(from)).await;
            one.slot.queue(asked);
            one.slot.since.store(since, Ordering::Relaxed);
            taken.push(one);
        }
        let mut order = Vec::new();
        while let Some(slot) = most_insistent(taken.iter().map(|one| &one.slot)) {
            order.push(slot.since.load(Ordering::Relaxed));
            slot.set(ConnectionState::Leaving);
        }
        assert_eq!(order, [20, 30, 5, 10, 50, 40]);
    }

    #[tokio::test]
    async fn one_more_gets_the_slot_of_one_that_leaves() {
        let slots = ConnectionSlots::new(1);
        let first = slots.take(address(1)).await;
        let holder = tokio::spawn(async move {
            first.slot.evicted().await;
            first.slot.state()
        });
        let second = slots.take(address(1)).await;
        assert_eq!(holder.await.unwrap(), ConnectionState::Leaving);
        assert_eq!(slots.lock().len(), 1);

        second.slot.ask();
        let none = timeout(Duration::from_millis(200), slots.take(address(1))).await;
        assert!(none.is_err(), "an answer was cut");
        drop(second);
        drop(slots.take(address(1)).await);
        assert!(slots.lock().is_empty());
    }

    #[test]
    fn a_network_is_what_a_client_cannot_change_at_will() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.2"), network("192.0.2.1"));
    }
}
