//! Basic auth: users, their passwords, and the effort of judging one, which does not reveal whether a user exists.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::file::PasswordHash;

/// What bcrypt looks at of a password, in bytes. Of a longer one the end would not count.
const MAX_PASSWORD: usize = 72;
/// Salt and digest of a hash that belongs to no known password.
const DECOY: &str = "k3zHFtpYlzMHzVpOsV8AaeAkF.kPh0mbNMwMgKAFZ4kAyxKTLKrWO";

/// Users and the hashes of their passwords.
#[derive(Default)]
pub(super) struct Users {
    by_name: BTreeMap<String, PasswordHash>,
    /// Highest cost of all hashes: what a wrong password costs, whichever user is named.
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
    pub(super) fn judge(&self, user: &[u8], password: &[u8]) -> bool {
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

    pub(super) fn hash(&self, user: &[u8]) -> Option<&PasswordHash> {
        self.by_name.get(std::str::from_utf8(user).ok()?)
    }
}

/// Does what verifying against a hash of that cost does.
fn effort(password: &[u8], cost: u32) {
    let _ = black_box(bcrypt::verify(password, &format!("$2b${cost:02}${DECOY}")));
}

/// A user's name and password as they were sent.
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// Whether bcrypt distinguishes this password from every other: to bcrypt one with a zero byte is a repetition of another
    /// one, and of a long one the end does not count.
    pub(super) fn are_unambiguous(&self) -> bool {
        self.password.len() <= MAX_PASSWORD && !self.password.contains(&0)
    }
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn users(listed: &[(&str, &str, u32)]) -> Users {
        let hash = |password: &str, cost| bcrypt::hash(password, cost).unwrap();
        let by_name = listed.iter().map(|(user, password, cost)| {
            ((*user).to_owned(), PasswordHash { text: hash(password, *cost), cost: *cost })
        });
        Users::new(by_name.collect())
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
