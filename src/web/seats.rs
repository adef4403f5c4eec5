//! How many connections there are, and which one has to go when one more comes.
//!
//! A scraper sends its head at once, takes its answer at once, and then waits for its next turn. Whoever takes his time
//! over any of that is cut first when seats are scarce, the longest first; so a crowd of such clients, of any size, costs
//! a scraper at worst a new connection. An answer that is being made is never cut for this.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long one that was asked to go may take before somebody else is looked for.
const RETRY: Duration = Duration::from_millis(10);
/// How long everyone may take to send a request before its seat can be needed for somebody else. In a storm of
/// connections, one that behaves gets this long after it was accepted.
const GRACE: Duration = Duration::from_millis(100);
/// A client that has not taken its answer for so long is slow. A network may make anyone wait for less.
const SLOW: Duration = Duration::from_secs(1);

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Doing {
    /// No request, or not yet all of one.
    Arriving,
    /// The answer is being made.
    Answering,
    /// It is being sent, and the client takes it.
    Sending,
    /// The client has stopped taking it.
    Stalled,
    /// Between two requests.
    Idle,
    /// It was asked to go.
    Leaving,
}

const ALL: [Doing; 6] =
    [Doing::Arriving, Doing::Answering, Doing::Sending, Doing::Stalled, Doing::Idle, Doing::Leaving];

/// The seats of all addresses together.
pub(super) struct Seats {
    permits: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<Seat>>>,
    number: AtomicU64,
    born: Instant,
}

/// The seat of one connection, and what it is at.
pub(super) struct Seat {
    doing: AtomicU8,
    /// Since when, in milliseconds since `born`.
    since: AtomicU64,
    born: Instant,
    /// Set when a request head is complete, until the stream has noticed.
    asked: AtomicBool,
    leave: Notify,
}

/// A seat that is free again when this is dropped.
pub(super) struct Taken {
    seats: Arc<Seats>,
    number: u64,
    pub(super) seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(count)),
            taken: Mutex::default(),
            number: AtomicU64::new(0),
            born: Instant::now(),
        })
    }

    /// A seat for one more, if need be in place of somebody else.
    pub(super) async fn take(self: &Arc<Self>) -> Taken {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                break permit;
            }
            self.clear_one();
            if let Ok(Ok(permit)) = timeout(RETRY, Arc::clone(&self.permits).acquire_owned()).await {
                break permit;
            }
        };
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat {
            doing: AtomicU8::new(Doing::Arriving as u8),
            since: AtomicU64::new(self.born.elapsed().as_millis() as u64),
            born: self.born,
            asked: AtomicBool::new(false),
            leave: Notify::new(),
        });
        self.lock().insert(number, Arc::clone(&seat));
        Taken { seats: Arc::clone(self), number, seat, _permit: permit }
    }

    /// Asks the first in turn to go. While that is one that has just come, nobody: a moment later it has asked, or its
    /// grace is over, and those who wait for their next turn are not cut for it.
    fn clear_one(&self) {
        let now = self.born.elapsed().as_millis() as u64;
        let taken = self.lock();
        let first = taken.values().filter_map(|seat| seat.turn(now).map(|turn| (turn, seat)));
        if let Some(((_, since), seat)) = first.min_by_key(|(turn, _)| *turn)
            && (seat.doing() != Doing::Arriving || now.saturating_sub(since) >= GRACE.as_millis() as u64)
        {
            tracing::debug!(doing = ?seat.doing(), "a connection is cut to make room for a newer one");
            seat.note(Doing::Leaving);
            seat.leave.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.number);
    }
}

impl Seat {
    /// Says what the connection is at from now on.
    pub(super) fn note(&self, doing: Doing) {
        self.since.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.doing.store(doing as u8, Ordering::Relaxed);
    }

    pub(super) fn doing(&self) -> Doing {
        ALL[usize::from(self.doing.load(Ordering::Relaxed)) % ALL.len()]
    }

    /// A request head is complete.
    pub(super) fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.note(Doing::Answering);
    }

    /// Whether that has happened since this was called last.
    pub(super) fn has_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Completes when the seat is needed for somebody else.
    pub(super) async fn needed(&self) {
        self.leave.notified().await;
    }

    /// The smaller, the sooner it has to go; `None` if it may stay.
    fn turn(&self, now: u64) -> Option<(u8, u64)> {
        let since = self.since.load(Ordering::Relaxed);
        let is_slow = now.saturating_sub(since) >= SLOW.as_millis() as u64;
        let class = match self.doing() {
            Doing::Arriving => 0,
            Doing::Stalled if is_slow => 1,
            Doing::Idle => 2,
            Doing::Stalled => 3,
            Doing::Answering | Doing::Sending | Doing::Leaving => return None,
        };
        Some((class, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_his_time_goes_first_and_an_answer_in_the_making_stays() {
        let seats = Seats::new(6);
        let mut taken = Vec::new();
        for (doing, age) in [
            (Doing::Answering, 9000),
            (Doing::Stalled, 10),
            (Doing::Idle, 9000),
            (Doing::Stalled, 2000),
            (Doing::Arriving, 10),
            (Doing::Arriving, 20),
        ] {
            let one = seats.take().await;
            one.seat.note(doing);
            taken.push((one, age));
        }
        let now = 10_000;
        for (one, age) in &taken {
            one.seat.since.store(now - age, Ordering::Relaxed);
        }
        let mut turns: Vec<_> =
            taken.iter().enumerate().filter_map(|(n, (one, _))| Some((one.seat.turn(now)?, n))).collect();
        turns.sort();
        let order: Vec<usize> = turns.into_iter().map(|(_, n)| n).collect();
        assert_eq!(order, [5, 4, 3, 2, 1]);
    }

    #[tokio::test]
    async fn one_more_gets_the_seat_of_one_that_leaves() {
        let seats = Seats::new(1);
        let first = seats.take().await;
        let holder = tokio::spawn(async move {
            first.seat.needed().await;
            first.seat.doing()
        });
        let second = seats.take().await;
        assert_eq!(holder.await.unwrap(), Doing::Leaving);
        assert_eq!(seats.lock().len(), 1);

        second.seat.ask();
        let none = timeout(Duration::from_millis(200), seats.take()).await;
        assert!(none.is_err(), "an answer was cut");
        drop(second);
        drop(seats.take().await);
        assert!(seats.lock().is_empty());
    }
}
