//! Tasks: what each request under way was sent for.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::collect::read::Read;
use crate::collect::recheck::Recheck;
use crate::collect::sweep::Sweep;
use crate::domain::{ChatKey, LineId, Work};

/// Stands for a request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Work that asks for one request at a time.
#[derive(Debug)]
pub(super) enum Task {
    /// The lines of the key.
    Lines,
    /// The organisation's own webhooks.
    Webhooks,
    /// The chats with the newest messages.
    Sweep(Sweep),
    /// A probe of a line's device, with a chat of it.
    Probe {
        /// The line whose device is probed.
        line: LineId,
        /// The chat that the probe goes through.
        chat: ChatKey,
    },
    /// A read of a chat.
    Read {
        /// How far it is.
        read: Box<Read>,
        /// What it is for: `read`, `first_read` or `audit`.
        work: Work,
    },
    /// A re-check of open messages.
    Recheck(Recheck),
    /// A page of the full listing, which the engine holds.
    Listing,
    /// Whether a chat that the list lacks is really gone.
    Confirm(ChatKey),
}

impl Task {
    /// The class of work that pays for it.
    pub(super) fn work(&self) -> Work {
        match self {
            Task::Lines | Task::Webhooks => Work::Lines,
            Task::Sweep(_) => Work::Sweep,
            Task::Probe { .. } => Work::Probe,
            Task::Read { work, .. } => *work,
            Task::Recheck(_) => Work::Recheck,
            Task::Listing => Work::Listing,
            Task::Confirm(_) => Work::Audit,
        }
    }

    /// The chat of which messages are asked for.
    pub(super) fn messages_of(&self) -> Option<ChatKey> {
        match self {
            Task::Read { read, .. } => Some(read.chat),
            Task::Recheck(recheck) => Some(recheck.chat),
            _ => None,
        }
    }
}

/// A task and how often its newest request was sent.
#[derive(Debug)]
pub(super) struct Attempted {
    pub(super) task: Task,
    pub(super) attempt: u32,
}

/// A request under way for longer has stalled: others are sent as if it was not there.
pub(super) const STALLED: Duration = Duration::from_secs(1);

/// How many requests there are of each class, in the order of `Work::ALL`.
type ByWork = [usize; Work::ALL.len()];

/// Adds up what competes for the common slots: sweeps and probes have slots of their own.
fn common(of_work: &ByWork) -> usize {
    let own = |work: &&Work| matches!(work, Work::Sweep | Work::Probe);
    Work::ALL.iter().filter(|work| !own(work)).map(|work| of_work[usize::from(work.number())]).sum()
}

#[derive(Debug, Default)]
pub(super) struct InFlight {
    next: u64,
    tasks: BTreeMap<Ticket, Attempted>,
    of_work: ByWork,
    stalled: ByWork,
    /// Those that have not stalled, with when they were sent, the oldest first. Some were answered.
    fresh: VecDeque<(Duration, Ticket)>,
}

impl InFlight {
    /// A request of the task is sent.
    pub(super) fn begin(&mut self, attempted: Attempted, now: Duration) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.of_work[usize::from(attempted.task.work().number())] += 1;
        self.tasks.insert(ticket, attempted);
        self.fresh.push_back((now, ticket));
        ticket
    }

    /// The request was answered.
    pub(super) fn end(&mut self, ticket: Ticket) -> Option<Attempted> {
        let attempted = self.tasks.remove(&ticket)?;
        let work = usize::from(attempted.task.work().number());
        self.of_work[work] -= 1;
        // Tickets are in the order of sending.
        if self.fresh.front().is_none_or(|(_, oldest)| ticket < *oldest) {
            self.stalled[work] -= 1;
        }
        while self.fresh.front().is_some_and(|(_, oldest)| !self.tasks.contains_key(oldest)) {
            self.fresh.pop_front();
        }
        Some(attempted)
    }

    /// Notes which requests have stalled by now.
    pub(super) fn age(&mut self, now: Duration) {
        while let Some((sent, ticket)) = self.fresh.front().copied()
            && sent + STALLED <= now
        {
            self.fresh.pop_front();
            if let Some(attempted) = self.tasks.get(&ticket) {
                self.stalled[usize::from(attempted.task.work().number())] += 1;
            }
        }
    }

    /// When the next request stalls.
    pub(super) fn next_stall(&self) -> Option<Duration> {
        self.fresh.front().map(|(sent, _)| *sent + STALLED)
    }

    /// How many requests of a class are under way.
    pub(super) fn of(&self, work: Work) -> usize {
        self.of_work[usize::from(work.number())]
    }

    /// How many of them have not stalled.
    pub(super) fn fresh_of(&self, work: Work) -> usize {
        self.of(work) - self.stalled[usize::from(work.number())]
    }

    /// How many requests are under way that compete for the common slots.
    pub(super) fn common(&self) -> usize {
        common(&self.of_work)
    }

    /// How many of them have stalled.
    pub(super) fn stalled(&self) -> usize {
        common(&self.stalled)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Task> + use<> {
        (self.of_work, self.stalled) = Default::default();
        self.fresh.clear();
        std::mem::take(&mut self.tasks).into_values().map(|attempted| attempted.task)
    }
}

/// Tasks that go on with another request when their class gets one, or are tried again after a delay.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    ready: [VecDeque<Attempted>; Work::ALL.len()],
    delayed: BTreeMap<(Duration, u64), Attempted>,
    delays: u64,
}

impl Waiting {
    /// The task goes on as soon as its class gets a request.
    pub(super) fn go_on(&mut self, attempted: Attempted) {
        self.ready[usize::from(attempted.task.work().number())].push_back(attempted);
    }

    /// The task goes on at `at`.
    pub(super) fn delay(&mut self, attempted: Attempted, at: Duration) {
        self.delays += 1;
        self.delayed.insert((at, self.delays), attempted);
    }

    /// Makes ready what was delayed until now.
    pub(super) fn wake(&mut self, now: Duration) {
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let attempted = entry.remove();
            self.go_on(attempted);
        }
    }

    /// Takes a task of the class that is ready.
    pub(super) fn take(&mut self, work: Work) -> Option<Attempted> {
        self.ready[usize::from(work.number())].pop_front()
    }

    /// Takes a task out for which `which` is true, ready or delayed.
    pub(super) fn take_out(&mut self, which: impl Fn(&Task) -> bool) -> Option<Task> {
        for ready in &mut self.ready {
            if let Some(place) = ready.iter().position(|attempted| which(&attempted.task)) {
                return ready.remove(place).map(|attempted| attempted.task);
            }
        }
        let (at, _) = self.delayed.iter().find(|(_, attempted)| which(&attempted.task))?;
        let at = *at;
        self.delayed.remove(&at).map(|attempted| attempted.task)
    }

    /// Whether a task of the class is ready.
    pub(super) fn is_ready(&self, work: Work) -> bool {
        !self.ready[usize::from(work.number())].is_empty()
    }

    /// Whether a task of the class is ready or delayed.
    pub(super) fn holds(&self, work: Work) -> bool {
        self.is_ready(work) || self.delayed.values().any(|attempted| attempted.task.work() == work)
    }

    /// When the next delay ends.
    pub(super) fn next(&self) -> Option<Duration> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Task> + use<> {
        let ready = std::mem::take(&mut self.ready).into_iter().flatten();
        ready.chain(std::mem::take(&mut self.delayed).into_values()).map(|attempted| attempted.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASKS: [fn() -> Task; 3] = [|| Task::Lines, || Task::Listing, || Task::Confirm(ChatKey(1))];

    #[test]
    fn what_has_stalled_is_told_from_the_rest_in_whatever_order_they_are_answered() {
        let after = |seconds: u64| STALLED * u32::try_from(seconds).unwrap();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for stalled in 0..=TASKS.len() {
                let mut in_flight = InFlight::default();
                let sent = TASKS
                    .iter()
                    .zip(1..)
                    .map(|(task, at)| in_flight.begin(Attempted { task: task(), attempt: 1 }, after(at)));
                let tickets: Vec<Ticket> = sent.collect();
                in_flight.age(after(1 + stalled as u64));
                assert_eq!((in_flight.common(), in_flight.stalled()), (3, stalled));
                let mut left: Vec<usize> = vec![0, 1, 2];
                for nth in order {
                    in_flight.end(tickets[nth]).unwrap();
                    left.retain(|other| *other != nth);
                    let of_them = left.iter().filter(|nth| **nth < stalled).count();
                    assert_eq!((in_flight.common(), in_flight.stalled()), (left.len(), of_them), "{order:?}");
                }
                assert_eq!((in_flight.next_stall(), in_flight.fresh_of(Work::Lines)), (None, 0));
            }
        }
    }

    #[test]
    fn sweeps_and_probes_have_slots_of_their_own() {
        let mut in_flight = InFlight::default();
        let probe = Task::Probe { line: LineId::NONE, chat: ChatKey(1) };
        in_flight.begin(Attempted { task: probe, attempt: 1 }, Duration::ZERO);
        in_flight.age(STALLED);
        assert_eq!((in_flight.of(Work::Probe), in_flight.fresh_of(Work::Probe)), (1, 0));
        assert_eq!((in_flight.common(), in_flight.stalled()), (0, 0));
        assert_eq!(in_flight.drain().count(), 1);
        assert_eq!(in_flight.of(Work::Probe), 0);
    }
}
