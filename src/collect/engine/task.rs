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

#[derive(Debug, Default)]
pub(super) struct InFlight {
    next: u64,
    tasks: BTreeMap<Ticket, Attempted>,
    of_work: [usize; Work::ALL.len()],
}

impl InFlight {
    /// A request of the task is sent.
    pub(super) fn begin(&mut self, attempted: Attempted) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.of_work[usize::from(attempted.task.work().number())] += 1;
        self.tasks.insert(ticket, attempted);
        ticket
    }

    /// The request was answered.
    pub(super) fn end(&mut self, ticket: Ticket) -> Option<Attempted> {
        let attempted = self.tasks.remove(&ticket)?;
        self.of_work[usize::from(attempted.task.work().number())] -= 1;
        Some(attempted)
    }

    /// How many requests of a class are under way.
    pub(super) fn of(&self, work: Work) -> usize {
        self.of_work[usize::from(work.number())]
    }

    /// How many requests are under way that compete for the common slots: sweeps and probes have slots of their own.
    pub(super) fn common(&self) -> usize {
        self.tasks.len() - self.of(Work::Sweep) - self.of(Work::Probe)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Task> + use<> {
        self.of_work = [0; Work::ALL.len()];
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
