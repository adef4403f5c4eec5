//! Verifies passwords, one at a time, in an order that no crowd can turn against a client that waits its turn.
//!
//! A verdict is remembered, so that a scraper pays for bcrypt once. Every other turn is for the network that has asked least
//! often, because one that keeps asking has been told already that it is wrong, or does not wait for the answer; the other
//! turns go round all networks, so that a scraper that shares its address with a crowd is served as well. Within a network
//! the newest request is next, because a crowd that waits would keep a new scraper of the same address out for minutes;
//! when many requests come in at a time, the newest and the oldest take turns, because then the crowd gives up and comes
//! back, and a scraper is the one that stays. A verdict is remembered even if its client has disconnected; a request whose
//! client has disconnected before its turn costs nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use ring::hmac;
use tokio::sync::oneshot;

use super::SecurityError;
use super::users::{Credentials, Users};
use crate::limits::{MAX_NETWORKS, MAX_REMEMBERED, MAX_WAITING};
use crate::slots::Network;

/// What is said to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Too many others are waiting to be judged.
    Busy,
}

/// Requests of a network that may come in during a verification without the oldest ones having a turn. Of a crowd that
/// waits for its answers only one comes back at a time.
const FEW: usize = 4;

/// Identifies user, hash and password together, so that a changed hash is verified again.
type CacheKey = [u8; 32];

/// Verifies passwords one at a time, and remembers the verdicts.
pub(super) struct PasswordVerifier {
    /// Made at start: what is remembered means nothing outside this process.
    key: hmac::Key,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Wrong passwords are remembered apart from right ones, which a crowd that tries many therefore cannot evict.
    right: HashSet<CacheKey>,
    wrong: HashSet<CacheKey>,
    waiting: Vec<Ticket>,
    /// What networks have done since the queue was empty last.
    networks: HashMap<Network, Record>,
    turn: u64,
    /// Whether a thread is verifying what waits.
    working: bool,
}

/// What a network has done.
#[derive(Clone, Copy, Default)]
struct Record {
    /// How often it has asked for a verdict that was not remembered.
    asked: u64,
    /// Turns that it had.
    served: u64,
    /// The turn at which it was served last.
    last: u64,
}

/// A request that waits.
struct Ticket {
    network: Network,
    key: CacheKey,
    /// The turn during which it came in.
    came_in: u64,
    users: Arc<Users>,
    given: Credentials,
    answer: oneshot::Sender<Verdict>,
}

impl PasswordVerifier {
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new() -> Result<Self, SecurityError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
            .map_err(|_| SecurityError("the system has no random numbers".to_owned()))?;
        Ok(Self { key, shared: Arc::default() })
    }

    /// The verdict on credentials that came from `network`. When it has to be waited for, `wait` is called with how often
    /// the network has asked.
    pub(super) async fn judge(
        &self,
        users: &Arc<Users>,
        given: Credentials,
        network: Network,
        wait: impl FnOnce(u64),
    ) -> Verdict {
        if !given.are_unambiguous() {
            return Verdict::Wrong;
        }
        let key = self.tag(users, &given);
        let (answer, answered) = oneshot::channel();
        let asked = {
            let mut state = self.shared.lock();
            if let Some(known) = state.remembered(&key) {
                return known;
            }
            let (came_in, users) = (state.turn, Arc::clone(users));
            state.enqueue(Ticket { network, key, came_in, users, given, answer });
            if !state.working {
                state.working = true;
                let shared = Arc::clone(&self.shared);
                drop(tokio::task::spawn_blocking(move || shared.work()));
            }
            state.record(network).asked
        };
        wait(asked);
        answered.await.unwrap_or(Verdict::Busy)
    }

    /// Lengths are in front, so that no two triples make the same key.
    fn tag(&self, users: &Users, given: &Credentials) -> CacheKey {
        let hash = users.hash(&given.user).map_or("", |hash| hash.text.as_str());
        let mut context = hmac::Context::with_key(&self.key);
        for part in [&given.user, hash.as_bytes(), &given.password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// Verifies what waits until nothing does.
    fn work(&self) {
        loop {
            let Some(ticket) = self.lock().next() else { return };
            let verdict = match ticket.users.judge(&ticket.given.user, &ticket.given.password) {
                true => Verdict::Right,
                false => Verdict::Wrong,
            };
            let mut state = self.lock();
            state.remember(ticket.key, verdict);
            let _ = ticket.answer.send(verdict);
            // The same password may have been sent more than once.
            while let Some(same) = state.waiting.iter().position(|waiting| waiting.key == ticket.key) {
                let _ = state.waiting.remove(same).answer.send(verdict);
            }
        }
    }
}

impl State {
    fn remembered(&self, key: &CacheKey) -> Option<Verdict> {
        match (self.right.contains(key), self.wrong.contains(key)) {
            (true, _) => Some(Verdict::Right),
            (false, true) => Some(Verdict::Wrong),
            (false, false) => None,
        }
    }

    /// Remembers a verdict, if need be in place of any other of its kind.
    fn remember(&mut self, key: CacheKey, verdict: Verdict) {
        let verdicts = if verdict == Verdict::Right { &mut self.right } else { &mut self.wrong };
        if verdicts.len() >= MAX_REMEMBERED
            && let Some(evicted) = verdicts.iter().nth(fastrand::usize(..verdicts.len())).copied()
        {
            verdicts.remove(&evicted);
        }
        verdicts.insert(key);
    }

    fn record(&self, network: Network) -> Record {
        self.networks.get(&network).copied().unwrap_or_default()
    }

    /// Adds a ticket. When too many wait, the network that has asked most often loses one from the middle of its requests:
    /// the newest and the oldest are the next to be served. Its client is told that the server is busy.
    fn enqueue(&mut self, ticket: Ticket) {
        self.forget_the_gone();
        if self.networks.len() >= MAX_NETWORKS && !self.networks.contains_key(&ticket.network) {
            self.networks.clear();
        }
        self.networks.entry(ticket.network).or_default().asked += 1;
        if self.waiting.len() >= MAX_WAITING {
            let networks = self.waiting.iter().map(|waiting| waiting.network);
            let busiest = networks.max_by_key(|network| self.record(*network).asked);
            let of_it = (0..self.waiting.len()).filter(|at| Some(self.waiting[*at].network) == busiest);
            if let Some(at) = of_it.clone().nth(of_it.count() / 2) {
                self.waiting.remove(at);
            }
        }
        self.waiting.push(ticket);
    }

    fn forget_the_gone(&mut self) {
        self.waiting.retain(|waiting| !waiting.answer.is_closed());
    }

    /// The ticket whose turn it is; when there is none, no thread verifies.
    fn next(&mut self) -> Option<Ticket> {
        self.forget_the_gone();
        self.turn += 1;
        let networks = self.waiting.iter().map(|waiting| waiting.network);
        let first = match self.turn.is_multiple_of(2) {
            true => networks.rev().min_by_key(|network| self.record(*network).asked),
            false => networks.min_by_key(|network| self.record(*network).last),
        };
        let Some(network) = first else {
            self.working = false;
            self.networks.clear();
            return None;
        };
        let Record { served, last, .. } = self.record(network);
        let record = self.networks.entry(network).or_default();
        (record.served, record.last) = (served + 1, self.turn);
        let is_of_it = |ticket: &Ticket| ticket.network == network;
        let fresh = self.waiting.iter().filter(|ticket| is_of_it(ticket) && ticket.came_in >= last).count();
        let at = match served % 2 == 0 || fresh <= FEW {
            true => self.waiting.iter().rposition(is_of_it),
            false => self.waiting.iter().position(is_of_it),
        };
        at.map(|at| self.waiting.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::super::file::PasswordHash;
    use super::*;

    fn users(listed: &[(&str, &str, u32)]) -> Arc<Users> {
        let hash = |password: &str, cost| bcrypt::hash(password, cost).unwrap();
        let by_name: BTreeMap<_, _> = listed
            .iter()
            .map(|(user, password, cost)| {
                ((*user).to_owned(), PasswordHash { text: hash(password, *cost), cost: *cost })
            })
            .collect();
        Arc::new(Users::new(by_name))
    }

    fn given(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: Zeroizing::new(password.into()) }
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    async fn verdict(verifier: &PasswordVerifier, users: &Arc<Users>, user: &str, password: &str) -> Verdict {
        verifier.judge(users, given(user, password), network("192.0.2.1"), |_| ()).await
    }

    /// A ticket that waits, and the end at which its client waits.
    fn ticket(users: &Arc<Users>, from: &str, n: u8) -> (Ticket, oneshot::Receiver<Verdict>) {
        let (answer, answered) = oneshot::channel();
        let (network, users, given) = (network(from), Arc::clone(users), given("one", &n.to_string()));
        (Ticket { network, key: [n; 32], came_in: 0, users, given, answer }, answered)
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_is_right() {
        let users = users(&[("one", "secret", 4), ("two", "other", 5)]);
        let verifier = PasswordVerifier::new().unwrap();
        // The second round is answered from memory.
        for _ in 0..2 {
            assert_eq!(verdict(&verifier, &users, "one", "secret").await, Verdict::Right);
            assert_eq!(verdict(&verifier, &users, "two", "other").await, Verdict::Right);
            for (user, password) in [
                ("one", "other"),
                ("two", "secret"),
                ("three", "secret"),
                ("", ""),
                ("one", ""),
                ("One", "secret"),
            ] {
                assert_eq!(
                    verdict(&verifier, &users, user, password).await,
                    Verdict::Wrong,
                    "{user}:{password}"
                );
            }
        }
        assert_eq!(verifier.shared.lock().right.len(), 2);
    }

    #[tokio::test]
    async fn the_end_of_a_long_password_counts() {
        let long = "a".repeat(72);
        let users = users(&[("one", &format!("{long}SAME"), 4), ("two", &long, 4), ("three", "a", 4)]);
        let verifier = PasswordVerifier::new().unwrap();
        // bcrypt itself says yes to this one.
        assert!(users.judge(b"one", format!("{long}DIFF").as_bytes()));
        for end in ["DIFF", "SAME", "b"] {
            assert_eq!(verdict(&verifier, &users, "one", &format!("{long}{end}")).await, Verdict::Wrong);
        }
        assert_eq!(verdict(&verifier, &users, "two", &long).await, Verdict::Right);
        // And to this one, which repeats the password and its end.
        assert!(users.judge(b"three", b"a\0a"));
        assert_eq!(verdict(&verifier, &users, "three", "a\0a").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn what_is_remembered_is_not_ambiguous() {
        let users = users(&[("user", "a:b", 4)]);
        let verifier = PasswordVerifier::new().unwrap();
        assert_eq!(verdict(&verifier, &users, "user", "a:b").await, Verdict::Right);
        for (user, password) in [("user:a", "b"), ("usera", ":b"), ("use", "ra:b"), ("user", "a:b ")] {
            assert_eq!(verdict(&verifier, &users, user, password).await, Verdict::Wrong, "{user} {password}");
        }
        let tags: HashSet<_> = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("a", "b"), ("b", "a")]
            .map(|(user, password)| verifier.tag(&users, &given(user, password)))
            .into();
        assert_eq!(tags.len(), 6);
    }

    #[tokio::test]
    async fn a_changed_hash_is_judged_anew() {
        let verifier = PasswordVerifier::new().unwrap();
        let before = users(&[("one", "secret", 4)]);
        assert_eq!(verdict(&verifier, &before, "one", "secret").await, Verdict::Right);
        let after = users(&[("one", "changed", 4)]);
        assert_eq!(verdict(&verifier, &after, "one", "secret").await, Verdict::Wrong);
        assert_eq!(verdict(&verifier, &after, "one", "changed").await, Verdict::Right);
        assert_eq!(verdict(&verifier, &Arc::default(), "one", "secret").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_wrong_passwords_do_not_push_out_right_ones() {
        let users = users(&[("one", "secret", 4)]);
        let verifier = PasswordVerifier::new().unwrap();
        assert_eq!(verdict(&verifier, &users, "one", "secret").await, Verdict::Right);
        for n in 0..2 * MAX_REMEMBERED {
            assert_eq!(verdict(&verifier, &users, "one", &n.to_string()).await, Verdict::Wrong);
        }
        assert_eq!(verifier.shared.lock().wrong.len(), MAX_REMEMBERED);
        let tag = verifier.tag(&users, &given("one", "secret"));
        assert_eq!(verifier.shared.lock().remembered(&tag), Some(Verdict::Right));
    }

    #[test]
    fn networks_take_turns_and_within_one_the_newest_is_next() {
        let users = users(&[("one", "secret", 4)]);
        let mut state = State::default();
        let mut clients = Vec::new();
        for (from, n) in [
            ("192.0.2.1", 1),
            ("192.0.2.1", 2),
            ("192.0.2.1", 3),
            ("192.0.2.1", 4),
            ("192.0.2.9", 5),
            ("192.0.2.9", 6),
        ] {
            let (ticket, client) = ticket(&users, from, n);
            state.enqueue(ticket);
            clients.push(client);
        }
        // One whose client has gone has no turn.
        clients.remove(1);
        let order: Vec<u8> = std::iter::from_fn(|| state.next()).map(|ticket| ticket.key[0]).collect();
        assert_eq!(order, [4, 6, 3, 5, 1]);
        assert!(!state.working && state.waiting.is_empty());
    }

    #[test]
    fn where_many_come_in_at_a_time_the_one_that_stays_has_its_turn() {
        let users = users(&[("one", "secret", 4)]);
        let mut state = State::default();
        let mut clients = Vec::new();
        let mut order = Vec::new();
        for round in 0..4u8 {
            for n in 0..10 {
                let (mut ticket, client) = ticket(&users, "192.0.2.1", 10 * round + n);
                ticket.came_in = state.turn;
                state.enqueue(ticket);
                clients.push(client);
            }
            order.extend(state.next().map(|ticket| ticket.key[0]));
        }
        assert_eq!(order, [9, 0, 29, 1]);
    }

    #[test]
    fn a_network_that_asks_for_the_first_time_is_served_at_the_next_turn_but_one() {
        let users = users(&[("one", "secret", 4)]);
        let mut state = State::default();
        let mut clients = Vec::new();
        for round in 0..3 {
            for n in 0..80 {
                let (ticket, client) = ticket(&users, &format!("192.0.2.{n}"), round);
                state.enqueue(ticket);
                clients.push(client);
            }
            let (ticket, client) = ticket(&users, &format!("198.51.100.{round}"), 100 + round);
            state.enqueue(ticket);
            clients.push(client);
            let served: Vec<u8> = (0..2).filter_map(|_| state.next()).map(|ticket| ticket.key[0]).collect();
            assert!(served.contains(&(100 + round)), "round {round}: {served:?}");
        }
    }

    #[test]
    fn what_is_known_of_networks_is_bounded_and_forgotten_when_nobody_waits() {
        let users = users(&[("one", "secret", 4)]);
        let mut state = State::default();
        for n in 0..2 * MAX_NETWORKS {
            let (ticket, _) = ticket(&users, &format!("2001:db8:{:x}:{:x}::", n / 65_536, n % 65_536), 1);
            state.enqueue(ticket);
            assert!(state.networks.len() <= MAX_NETWORKS);
        }
        assert!(state.next().is_none() && state.networks.is_empty());
    }

    #[test]
    fn when_too_many_wait_the_busiest_network_loses_one() {
        let users = users(&[("one", "secret", 4)]);
        let mut state = State::default();
        let mut clients = Vec::new();
        for n in 0..MAX_WAITING + 10 {
            let from = if n % 64 == 5 { "192.0.2.9" } else { "192.0.2.1" };
            let (ticket, client) = ticket(&users, from, 1);
            state.enqueue(ticket);
            clients.push((from, client));
        }
        assert_eq!(state.waiting.len(), MAX_WAITING);
        let lost = clients.iter_mut().filter_map(|(from, client)| {
            matches!(client.try_recv(), Err(oneshot::error::TryRecvError::Closed)).then_some(*from)
        });
        assert_eq!(lost.collect::<Vec<_>>(), ["192.0.2.1"; 10]);
        let (first, last) = (&state.waiting[0], &state.waiting[MAX_WAITING - 1]);
        assert!(!first.answer.is_closed() && !last.answer.is_closed());
    }

    #[tokio::test]
    async fn a_verdict_is_remembered_although_its_client_has_gone() {
        let users = users(&[("one", "secret", 8)]);
        let verifier = Arc::new(PasswordVerifier::new().unwrap());
        let tag = verifier.tag(&users, &given("one", "secret"));
        let (judging, from) = (Arc::clone(&verifier), network("192.0.2.1"));
        let of_client = Arc::clone(&users);
        let client =
            tokio::spawn(
                async move { judging.judge(&of_client, given("one", "secret"), from, |_| ()).await },
            );
        // Its turn has begun when it does not wait any more.
        while !verifier.shared.lock().working || !verifier.shared.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        client.abort();
        for _ in 0..600 {
            if !verifier.shared.lock().working {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(verifier.shared.lock().remembered(&tag), Some(Verdict::Right));
    }
}
