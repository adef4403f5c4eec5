//! Webhook events: which ones a world sends, when, and what goes wrong with them. Pure: it says what is delivered when, and is
//! given what was rejected.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::source::Happening;
use super::world::World;

/// After a delivery that was rejected, the next one follows after so many ms (DOC, v4 text); after the last one none does.
pub const RETRIES_MS: [i64; 5] = [30_000, 60_000, 120_000, 240_000, 480_000];

/// One delivery of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivery {
    /// When it arrives, unix ms.
    pub at: i64,
    /// How often it was rejected before.
    pub attempt: usize,
    /// `event` of its body.
    pub kind: &'static str,
    /// The `message_id` that the event names.
    pub message_id: String,
    /// `external_id`: the other side.
    pub external_id: String,
    /// The `group_id` of a chat that is a group, else none.
    pub group_id: Option<String>,
    /// The `is_group` that the event states.
    pub is_group: bool,
}

/// What goes wrong with events. Shares are from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFaults {
    /// Share that is never sent.
    pub lost: f64,
    /// Share whose first deliveries get lost on the way, so that a retry brings them.
    pub late: f64,
    /// Share that arrives twice.
    pub duplicated: f64,
    /// Share that arrives up to a minute later, behind what came after it.
    pub reordered: f64,
    /// Share that is sent once more, minutes later.
    pub replayed: f64,
    /// Share that is held back and arrives together with others, once a minute.
    pub burst: f64,
    /// False events per true one: about messages and chats that are not, or about the wrong ones.
    pub lying: f64,
    /// From when until when nothing is sent, unix ms.
    pub dead: Option<(i64, i64)>,
}

impl EventFaults {
    /// No fault: each event is sent once, in order and at once.
    pub const NONE: EventFaults = EventFaults {
        lost: 0.0,
        late: 0.0,
        duplicated: 0.0,
        reordered: 0.0,
        replayed: 0.0,
        burst: 0.0,
        lying: 0.0,
        dead: None,
    };
}

/// The events of a world, on their way.
#[derive(Clone, Debug)]
pub struct Events {
    faults: EventFaults,
    rng: fastrand::Rng,
    queue: BinaryHeap<Reverse<Delivery>>,
    lost: u64,
    kinds: BTreeMap<&'static str, u64>,
}

impl Events {
    /// The events of `world` from now on.
    pub fn of(world: &mut World, seed: u64, faults: EventFaults) -> Events {
        world.happenings.get_or_insert_default();
        let rng = fastrand::Rng::with_seed(seed ^ 0x0eb1_0eb1);
        Events { faults, rng, queue: BinaryHeap::new(), lost: 0, kinds: BTreeMap::new() }
    }

    /// What is delivered up to the world's time, in the order of arrival.
    pub fn take(&mut self, world: &mut World) -> Vec<Delivery> {
        for Happening { at, message, kind } in std::mem::take(world.happenings.get_or_insert_default()) {
            *self.kinds.entry(kind).or_default() += 1;
            let chat = world.messages[message as usize].chat;
            let chat = world.follow(chat).unwrap_or(chat);
            let event = self.about(world, chat, world.message_id(message), at, kind);
            self.send(event);
            if self.chance(self.faults.lying) {
                self.lie(world, at, kind);
            }
        }
        let mut delivered = Vec::new();
        while self.queue.peek().is_some_and(|next| next.0.at <= world.now)
            && let Some(Reverse(delivery)) = self.queue.pop()
        {
            delivered.push(delivery);
        }
        delivered
    }

    /// A delivery was not accepted: it is sent again, or is lost.
    pub fn refused(&mut self, delivery: Delivery) {
        match RETRIES_MS.get(delivery.attempt) {
            Some(wait) => {
                let (at, attempt) = (delivery.at + wait, delivery.attempt + 1);
                self.queue.push(Reverse(Delivery { at, attempt, ..delivery }));
            }
            None => self.lost += 1,
        }
    }

    /// How many events were never sent, or rejected for good.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many things happened, by the event that reports them.
    pub fn happened(&self) -> &BTreeMap<&'static str, u64> {
        &self.kinds
    }

    fn about(&self, world: &World, chat: u32, message_id: String, at: i64, kind: &'static str) -> Delivery {
        let id = &world.chats[chat as usize].id;
        let is_group = id.starts_with("grp_");
        Delivery {
            at,
            attempt: 0,
            kind,
            message_id,
            external_id: id.clone(),
            group_id: is_group.then(|| id.clone()),
            is_group,
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.rng.f64() < share
    }

    fn send(&mut self, event: Delivery) {
        let is_dead = self.faults.dead.is_some_and(|(from, to)| (from..to).contains(&event.at));
        if is_dead || self.chance(self.faults.lost) {
            self.lost += 1;
            return;
        }
        let mut at = event.at + self.rng.i64(100..1_500);
        let mut attempt = 0;
        if self.chance(self.faults.late) {
            attempt = self.rng.usize(1..=RETRIES_MS.len());
            at += RETRIES_MS[..attempt].iter().sum::<i64>();
        }
        if self.chance(self.faults.reordered) {
            at += self.rng.i64(0..60_000);
        }
        if self.chance(self.faults.burst) {
            at += 60_000 - at.rem_euclid(60_000);
        }
        if self.chance(self.faults.duplicated) {
            let again = at + self.rng.i64(0..2_000);
            self.queue.push(Reverse(Delivery { at: again, attempt, ..event.clone() }));
        }
        if self.chance(self.faults.replayed) {
            let again = at + self.rng.i64(60_000..1_200_000);
            self.queue.push(Reverse(Delivery { at: again, attempt: 0, ..event.clone() }));
        }
        self.queue.push(Reverse(Delivery { at, attempt, ..event }));
    }

    /// An event about something that did not happen. It never names a true message in a way that could be true one day.
    fn lie(&mut self, world: &World, at: i64, kind: &'static str) {
        let at = at + self.rng.i64(0..3_000);
        let chat = self.rng.u32(0..world.chats.len().max(1) as u32);
        let invented = format!("msg_invented{:016x}", self.rng.u64(..));
        let mut event = self.about(world, chat, invented, at, kind);
        if self.rng.u8(0..3) == 0 {
            (event.external_id, event.group_id) = (format!("+1999{:07}", self.rng.u32(0..10_000_000)), None);
            event.is_group = false;
        }
        self.queue.push(Reverse(event));
    }
}

impl World {
    /// Something happened to a message that an event reports, if anything listens.
    pub(super) fn happens(&mut self, message: u32, at: i64, kind: &'static str) {
        if let Some(happenings) = &mut self.happenings {
            happenings.push(Happening { at, message, kind });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Setup;

    fn delivered(faults: EventFaults, accept: bool) -> (Vec<Delivery>, Events) {
        let mut world = World::new(Setup::small(3));
        let start = world.now;
        let mut events = Events::of(&mut world, 3, faults);
        let mut all = Vec::new();
        for second in 0..14_400 {
            if second == 3_600 {
                world.quiet();
            }
            world.step(start + second * 1_000);
            for delivery in events.take(&mut world) {
                assert!(delivery.at <= world.now);
                if !accept {
                    events.refused(delivery.clone());
                }
                all.push(delivery);
            }
        }
        (all, events)
    }

    #[test]
    fn a_good_feed_tells_of_everything_once() {
        let (all, events) = delivered(EventFaults::NONE, true);
        let happened: u64 = events.happened().values().sum();
        assert!(happened > 100 && events.happened().len() >= 4, "{:?}", events.happened());
        assert_eq!((all.len() as u64, events.lost()), (happened, 0));
    }

    #[test]
    fn what_is_refused_comes_again_five_times_and_is_then_lost() {
        let (all, events) = delivered(EventFaults::NONE, false);
        let happened: u64 = events.happened().values().sum();
        assert_eq!(all.len() as u64, 6 * happened);
        assert_eq!(events.lost(), happened);
        assert_eq!(RETRIES_MS.iter().sum::<i64>(), 930_000);
    }

    #[test]
    fn every_fault_shows() {
        let happened = || delivered(EventFaults::NONE, true).0.len();
        let with = |faults: EventFaults| delivered(faults, true).0;
        assert!(with(EventFaults { lost: 0.5, ..EventFaults::NONE }).len() < happened() * 2 / 3);
        assert!(with(EventFaults { duplicated: 0.5, ..EventFaults::NONE }).len() > happened() * 4 / 3);
        assert!(with(EventFaults { replayed: 0.5, ..EventFaults::NONE }).len() > happened() * 4 / 3);
        assert!(with(EventFaults { late: 0.5, ..EventFaults::NONE }).iter().any(|event| event.attempt == 5));
        let lies = with(EventFaults { lying: 1.0, ..EventFaults::NONE });
        assert!(lies.iter().any(|event| event.external_id.starts_with("+1999")));
        assert!(lies.iter().filter(|event| event.message_id.contains("invented")).count() > 100);
        let burst = with(EventFaults { burst: 1.0, ..EventFaults::NONE });
        assert!(burst.iter().all(|event| event.at % 60_000 == 0));
        assert!(with(EventFaults { dead: Some((0, i64::MAX)), ..EventFaults::NONE }).is_empty());
    }
}
