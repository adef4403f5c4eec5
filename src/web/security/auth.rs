//! Basic auth: who may ask, at a cost that does not tell who exists and that nobody can make us pay without bound.

use std::collections::{BTreeMap, HashSet};
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::hmac;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::SecurityError;
use super::file::PasswordHash;

/// What bcrypt looks at of a password, in bytes. Of a longer one the end would not count.
const MAX_PASSWORD: usize = 72;
/// Passwords that may wait for bcrypt at a time. Each costs 0.06 s at cost 10 and a second at 14.
const MAX_WAITING: usize = 32;
/// Judged passwords that are remembered, right and wrong ones each.
const MAX_REMEMBERED: usize = 128;
/// Salt and digest of a hash that belongs to no known password.
const DECOY: &str = "k3zHFtpYlzMHzVpOsV8AaeAkF.kPh0mbNMwMgKAFZ4kAyxKTLKrWO";

/// Users and the hashes of their passwords.
#[derive(Default)]
pub(super) struct Users {
    by_name: BTreeMap<String, PasswordHash>,
    /// Highest cost of all hashes: what a wrong password costs, whoever's it is.
    highest: u32,
}

impl Users {
    pub(super) fn new(by_name: BTreeMap<String, PasswordHash>) -> Self {
        let highest = by_name.values().map(|hash| hash.cost).max().unwrap_or_default();
        Self { by_name, highest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether the password is that of the user. A wrong one takes the same effort for every user, known or not.
    fn judge(&self, user: &[u8], password: &[u8]) -> bool {
        let hash = self.hash(user);
        // An error would be of the hash, which was checked when the file was read.
        let right = hash.is_some_and(|hash| bcrypt::verify(password, &hash.text).unwrap_or(false));
        if !right {
            self.decoys(hash).for_each(|cost| effort(password, cost));
        }
        right
    }

    /// Costs of what is computed for nothing after a wrong password, so that all users come to the highest cost:
    /// 2^c and 2^c + 2^(c+1) + … + 2^(h-1) make 2^h.
    fn decoys(&self, hash: Option<&PasswordHash>) -> Range<u32> {
        hash.map_or(self.highest..self.highest + 1, |hash| hash.cost..self.highest)
    }

    fn hash(&self, user: &[u8]) -> Option<&PasswordHash> {
        self.by_name.get(std::str::from_utf8(user).ok()?)
    }
}

/// Does what verifying against a hash of that cost does.
fn effort(password: &[u8], cost: u32) {
    let _ = black_box(bcrypt::verify(password, &format!("$2b${cost:02}${DECOY}")));
}

/// A user's name and password as they were sent.
pub(super) struct Credentials {
    user: Vec<u8>,
    password: Zeroizing<Vec<u8>>,
}

/// What a request brings along; `None` when that is nothing, or nothing that can be read in one way only.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(Credentials {
        user: decoded[..colon].to_vec(),
        password: Zeroizing::new(decoded[colon + 1..].to_vec()),
    })
}

/// What is said to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    Wrong,
    /// Too many others are waiting to be judged.
    Busy,
}

/// Judges passwords one at a time, and remembers what it found.
pub(super) struct Gate {
    /// Made at start: what is remembered means nothing outside this process.
    key: hmac::Key,
    /// By user, hash and password together, so that a changed hash is judged anew. Wrong ones have a room of their own:
    /// whoever tries many does not push out those who are right.
    right: Mutex<HashSet<[u8; 32]>>,
    wrong: Mutex<HashSet<[u8; 32]>>,
    line: Semaphore,
    one: Arc<Semaphore>,
}

impl Gate {
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn new() -> Result<Self, SecurityError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
            .map_err(|_| SecurityError("the system has no random numbers".to_owned()))?;
        Ok(Self {
            key,
            right: Mutex::default(),
            wrong: Mutex::default(),
            line: Semaphore::new(MAX_WAITING),
            one: Arc::new(Semaphore::new(1)),
        })
    }

    pub(super) async fn judge(&self, users: &Arc<Users>, given: Credentials) -> Verdict {
        // A password with a zero byte is another one's repetition to bcrypt.
        if given.password.len() > MAX_PASSWORD || given.password.contains(&0) {
            return Verdict::Wrong;
        }
        let tag = self.tag(users, &given);
        if let Some(known) = self.remembered(&tag) {
            return known;
        }
        let Ok(_place) = self.line.try_acquire() else { return Verdict::Busy };
        // Never closed.
        let Ok(permit) = Arc::clone(&self.one).acquire_owned().await else { return Verdict::Busy };
        // Others with the same password may have stood in the line before us.
        if let Some(known) = self.remembered(&tag) {
            return known;
        }
        let users = Arc::clone(users);
        let judged = tokio::task::spawn_blocking(move || {
            let right = users.judge(&given.user, &given.password);
            // Held until here even when the client has gone away: it is the work that must not be done twice at a time.
            drop(permit);
            right
        });
        let Ok(right) = judged.await else { return Verdict::Busy };
        let room = if right { &self.right } else { &self.wrong };
        remember(&mut room.lock().unwrap_or_else(PoisonError::into_inner), tag);
        if right { Verdict::Right } else { Verdict::Wrong }
    }

    /// Lengths are in front, so that no two triples make the same tag.
    fn tag(&self, users: &Users, given: &Credentials) -> [u8; 32] {
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

    fn remembered(&self, tag: &[u8; 32]) -> Option<Verdict> {
        let holds =
            |room: &Mutex<HashSet<_>>| room.lock().unwrap_or_else(PoisonError::into_inner).contains(tag);
        if holds(&self.right) { Some(Verdict::Right) } else { holds(&self.wrong).then_some(Verdict::Wrong) }
    }
}

/// Puts one in; when there is no room, any other makes place.
fn remember(room: &mut HashSet<[u8; 32]>, tag: [u8; 32]) {
    if room.len() >= MAX_REMEMBERED
        && let Some(unlucky) = room.iter().nth(fastrand::usize(..room.len())).copied()
    {
        room.remove(&unlucky);
    }
    room.insert(tag);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn users(listed: &[(&str, &str, u32)]) -> Arc<Users> {
        let hash = |password: &str, cost| bcrypt::hash(password, cost).unwrap();
        let by_name = listed.iter().map(|(user, password, cost)| {
            ((*user).to_owned(), PasswordHash { text: hash(password, *cost), cost: *cost })
        });
        Arc::new(Users::new(by_name.collect()))
    }

    fn given(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: Zeroizing::new(password.into()) }
    }

    async fn verdict(gate: &Gate, users: &Arc<Users>, user: &str, password: &str) -> Verdict {
        gate.judge(users, given(user, password)).await
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_is_right() {
        let users = users(&[("one", "secret", 4), ("two", "other", 5)]);
        let gate = Gate::new().unwrap();
        // The second round is answered from memory.
        for _ in 0..2 {
            assert_eq!(verdict(&gate, &users, "one", "secret").await, Verdict::Right);
            assert_eq!(verdict(&gate, &users, "two", "other").await, Verdict::Right);
            for (user, password) in [
                ("one", "other"),
                ("two", "secret"),
                ("three", "secret"),
                ("", ""),
                ("one", ""),
                ("One", "secret"),
            ] {
                assert_eq!(verdict(&gate, &users, user, password).await, Verdict::Wrong, "{user}:{password}");
            }
        }
        assert_eq!(gate.right.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn the_end_of_a_long_password_counts() {
        let long = "a".repeat(72);
        let users = users(&[("one", &format!("{long}SAME"), 4), ("two", &long, 4), ("three", "a", 4)]);
        let gate = Gate::new().unwrap();
        // bcrypt itself says yes to this one.
        assert!(users.judge(b"one", format!("{long}DIFF").as_bytes()));
        for end in ["DIFF", "SAME", "b"] {
            assert_eq!(verdict(&gate, &users, "one", &format!("{long}{end}")).await, Verdict::Wrong);
        }
        assert_eq!(verdict(&gate, &users, "two", &long).await, Verdict::Right);
        // And to this one, which repeats the password and its end.
        assert!(users.judge(b"three", b"a\0a"));
        assert_eq!(verdict(&gate, &users, "three", "a\0a").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn what_is_remembered_is_not_ambiguous() {
        let users = users(&[("user", "a:b", 4)]);
        let gate = Gate::new().unwrap();
        assert_eq!(verdict(&gate, &users, "user", "a:b").await, Verdict::Right);
        for (user, password) in [("user:a", "b"), ("usera", ":b"), ("use", "ra:b"), ("user", "a:b ")] {
            assert_eq!(verdict(&gate, &users, user, password).await, Verdict::Wrong, "{user} {password}");
        }
        let tags: HashSet<_> = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", ""), ("a", "b"), ("b", "a")]
            .map(|(user, password)| gate.tag(&users, &given(user, password)))
            .into();
        assert_eq!(tags.len(), 6);
    }

    #[tokio::test]
    async fn a_changed_hash_is_judged_anew() {
        let gate = Gate::new().unwrap();
        let before = users(&[("one", "secret", 4)]);
        assert_eq!(verdict(&gate, &before, "one", "secret").await, Verdict::Right);
        let after = users(&[("one", "changed", 4)]);
        assert_eq!(verdict(&gate, &after, "one", "secret").await, Verdict::Wrong);
        assert_eq!(verdict(&gate, &after, "one", "changed").await, Verdict::Right);
        assert_eq!(verdict(&gate, &Arc::default(), "one", "secret").await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn memory_is_bounded_and_wrong_passwords_do_not_push_out_right_ones() {
        let users = users(&[("one", "secret", 4)]);
        let gate = Gate::new().unwrap();
        assert_eq!(verdict(&gate, &users, "one", "secret").await, Verdict::Right);
        for n in 0..2 * MAX_REMEMBERED {
            assert_eq!(verdict(&gate, &users, "one", &n.to_string()).await, Verdict::Wrong);
        }
        assert_eq!(gate.wrong.lock().unwrap().len(), MAX_REMEMBERED);
        assert_eq!(gate.remembered(&gate.tag(&users, &given("one", "secret"))), Some(Verdict::Right));
    }

    #[tokio::test]
    async fn the_line_is_bounded_and_who_is_remembered_need_not_stand_in_it() {
        let users = users(&[("one", "secret", 4)]);
        let gate = Arc::new(Gate::new().unwrap());
        assert_eq!(verdict(&gate, &users, "one", "secret").await, Verdict::Right);
        let held = Arc::clone(&gate.one).acquire_owned().await.unwrap();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|n| {
                let (gate, users) = (Arc::clone(&gate), Arc::clone(&users));
                tokio::spawn(async move { verdict(&gate, &users, "one", &n.to_string()).await })
            })
            .collect();
        while gate.line.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(verdict(&gate, &users, "one", "yet another").await, Verdict::Busy);
        assert_eq!(verdict(&gate, &users, "one", "secret").await, Verdict::Right);
        drop(held);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Verdict::Wrong);
        }
    }

    #[test]
    fn a_wrong_password_costs_the_same_for_every_user() {
        // Counted, not timed: each cost is twice the work of the one before.
        let users = users(&[("one", "secret", 4), ("two", "secret", 5), ("three", "secret", 7)]);
        for user in ["one", "two", "three", "nobody"] {
            let hash = users.hash(user.as_bytes());
            let own = hash.map_or(0, |hash| 1u64 << hash.cost);
            let spent = own + users.decoys(hash).map(|cost| 1u64 << cost).sum::<u64>();
            assert_eq!(spent, 1 << 7, "{user}");
        }
        // And a decoy is a hash that bcrypt works on, at the cost it names.
        for cost in [4, 6] {
            let text = format!("$2b${cost:02}${DECOY}");
            assert_eq!(text.parse::<bcrypt::HashParts>().unwrap().get_cost(), cost);
            assert!(!bcrypt::verify("secret", &text).unwrap());
        }
    }

    #[test]
    fn credentials_are_read_in_one_way_only() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            credentials(&headers).map(|c| (String::from_utf8(c.user).unwrap(), c.password.to_vec()))
        };
        let some = |user: &str, password: &str| Some((user.to_owned(), password.as_bytes().to_vec()));
        assert_eq!(read(&["Basic b25lOnNlY3JldA=="]), some("one", "secret"));
        assert_eq!(read(&["bAsIc b25lOnNlY3JldA=="]), some("one", "secret"));
        assert_eq!(read(&[&format!("Basic {}", STANDARD.encode("user:a:b"))]), some("user", "a:b"));
        assert_eq!(read(&[&format!("Basic {}", STANDARD.encode(":"))]), some("", ""));
        for values in [
            &[][..],
            &["Basic"],
            &["Basic !"],
            &["Bearer b25lOnNlY3JldA=="],
            &["Basic b25l"],
            &["b25lOnNlY3JldA=="],
            &["Basic b25lOnNlY3JldA==", "Basic b25lOnNlY3JldA=="],
        ] {
            assert_eq!(read(values), None, "{values:?}");
        }
    }
}
