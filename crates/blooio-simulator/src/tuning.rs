//! How a fault is narrowed down, and which faults are on.

use super::fault::{FaultKind, Setting};
use super::request::{Endpoint, parse_query};

/// How a fault is narrowed down. The default hits everything, always, with the value its sentence names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// What it means depends on the fault: seconds, a share, a factor.
    pub value: Option<f64>,
    /// Share of requests or rows that are hit (0 to 1); everything when absent. Faults whose value is a share take
    /// it for the value.
    pub share: Option<f64>,
    /// Only this line of the organisation. For faults of requests: only requests about chats of this line.
    pub line: Option<String>,
    /// Limits the fault to requests of this endpoint.
    pub endpoint: Option<Endpoint>,
    /// Only these chats: requests about them, or their rows.
    pub chats: Option<Chats>,
}

/// A choice of chats that does not change while the world runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Chats {
    /// The chat of this number, in the order of creation.
    Nth(u32),
    /// Each chat with this probability (0 to 1). A greater share contains every smaller one.
    Share(f64),
}

impl Chats {
    /// Whether the chat of this number is one of them.
    pub fn contains(self, chat: u32) -> bool {
        match self {
            Chats::Nth(n) => n == chat,
            Chats::Share(share) => {
                f64::from(chat.wrapping_add(1).wrapping_mul(2_654_435_761)) / 4_294_967_296.0 < share
            }
        }
    }

    /// Reads `3` (a number) or `0.25` (a share).
    pub fn parse(text: &str) -> Option<Chats> {
        if text.contains('.') {
            return text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Chats::Share);
        }
        text.parse().ok().map(Chats::Nth)
    }
}

impl Tuning {
    /// Only a share of the requests.
    pub fn share(share: f64) -> Tuning {
        Tuning { share: Some(share), ..Tuning::default() }
    }

    /// A tuning that sets the fault's value and limits nothing.
    pub fn value(value: f64) -> Tuning {
        Tuning { value: Some(value), ..Tuning::default() }
    }

    /// A tuning that limits the fault to this line.
    pub fn line(line: &str) -> Tuning {
        Tuning { line: Some(line.to_owned()), ..Tuning::default() }
    }

    /// A tuning that limits the fault to requests of this endpoint.
    pub fn endpoint(endpoint: Endpoint) -> Tuning {
        Tuning { endpoint: Some(endpoint), ..Tuning::default() }
    }

    /// A tuning that limits the fault to these chats.
    pub fn chats(chats: Chats) -> Tuning {
        Tuning { chats: Some(chats), ..Tuning::default() }
    }

    /// Reads `value=2&line=13105550101`, as in a query.
    ///
    /// # Errors
    /// When a setting is unknown or cannot be read.
    pub fn parse(query: &str) -> Result<Tuning, String> {
        let mut tuning = Tuning::default();
        for (key, text) in parse_query(query) {
            let number = || text.parse::<f64>().ok().filter(|value| value.is_finite());
            let is_read = match key.as_str() {
                "value" => {
                    tuning.value = number();
                    tuning.value.is_some()
                }
                "share" => {
                    tuning.share = number();
                    tuning.share.is_some()
                }
                "endpoint" => {
                    tuning.endpoint = Endpoint::named(&text);
                    tuning.endpoint.is_some()
                }
                "chats" => {
                    tuning.chats = Chats::parse(&text);
                    tuning.chats.is_some()
                }
                // In a query a plus means a blank, which is easily forgotten in a number.
                "line" => {
                    tuning.line = Some(format!("+{}", text.trim().trim_start_matches('+')));
                    true
                }
                _ => return Err("a fault has the settings value, share, line, endpoint and chats".to_owned()),
            };
            if !is_read {
                return Err(format!("cannot read {key}"));
            }
        }
        Ok(tuning)
    }

    /// Why a fault cannot be switched on with this tuning: a setting that it does not heed, or an impossible value.
    pub(super) fn check(&self, kind: FaultKind) -> Result<(), String> {
        let given = [
            (Setting::Value, self.value.is_some()),
            (Setting::Share, self.share.is_some()),
            (Setting::Line, self.line.is_some()),
            (Setting::Endpoint, self.endpoint.is_some()),
            (Setting::Chats, self.chats.is_some()),
        ];
        if let Some((setting, _)) = given.into_iter().find(|(setting, given)| *given && !kind.takes(*setting))
        {
            return Err(format!("the fault {} does not take the setting {:?}", kind.name(), setting.name()));
        }
        let below_zero = self.value.is_some_and(|value| value < 0.0 && kind != FaultKind::DateSkew);
        if below_zero || self.value.is_some_and(|value| !value.is_finite()) {
            return Err(format!("the value of the fault {} must be a number from 0 on", kind.name()));
        }
        if kind.value_is_share() && self.value.is_some_and(|value| value > 1.0) {
            return Err(format!("the value of the fault {} must lie between 0 and 1", kind.name()));
        }
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(format!("the share of the fault {} must lie between 0 and 1", kind.name()));
        }
        Ok(())
    }

    fn concerns_chat(&self, chat: Option<u32>) -> bool {
        self.chats.is_none_or(|chats| chat.is_some_and(|chat| chats.contains(chat)))
    }

    fn draws(&self, rng: &mut fastrand::Rng) -> bool {
        self.share.is_none_or(|share| rng.f64() < share)
    }
}

/// The faults that are on.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    on: Vec<(FaultKind, Tuning)>,
}

impl Faults {
    /// Switches one on; the same kind for the same line, endpoint and chats is replaced.
    pub(super) fn switch_on(&mut self, kind: FaultKind, tuning: Tuning) {
        let scope = |t: &Tuning| (t.line.clone(), t.endpoint, t.chats);
        self.on.retain(|(k, t)| *k != kind || scope(t) != scope(&tuning));
        self.on.push((kind, tuning));
        self.on.sort_by_key(|(k, _)| *k);
    }

    /// Switches every fault of the kind off, and says whether there was one.
    pub(super) fn switch_off(&mut self, kind: FaultKind) -> bool {
        let before = self.on.len();
        self.on.retain(|(k, _)| *k != kind);
        before != self.on.len()
    }

    /// What is on, in the order of the table.
    pub(super) fn on(&self) -> &[(FaultKind, Tuning)] {
        &self.on
    }

    /// The fault of a request, if one hits it. `chat` is the chat that the request is about.
    pub(super) fn of_request(
        &self,
        endpoint: Endpoint,
        line: Option<&str>,
        chat: Option<u32>,
        rng: &mut fastrand::Rng,
    ) -> Option<(FaultKind, Option<f64>)> {
        let hit = self.on.iter().filter(|(kind, _)| kind.hits_requests()).find(|(kind, t)| {
            (*kind != FaultKind::NotFound || chat.is_some())
                && t.endpoint.is_none_or(|e| e == endpoint)
                && t.line.as_deref().is_none_or(|l| Some(l) == line)
                && t.concerns_chat(chat)
                && t.draws(rng)
        });
        hit.map(|(kind, t)| (*kind, t.value))
    }

    /// Whether a fault of rows hits the row of this chat, or a fault of answers this answer.
    pub(super) fn hits(&self, kind: FaultKind, chat: Option<u32>, rng: &mut fastrand::Rng) -> bool {
        self.on.iter().any(|(k, t)| *k == kind && t.concerns_chat(chat) && t.draws(rng))
    }

    /// The value of a fault of pages or of `Date`, where it hits this answer; `default` where none was given.
    pub(super) fn value_of(
        &self,
        kind: FaultKind,
        endpoint: Option<Endpoint>,
        default: f64,
        rng: &mut fastrand::Rng,
    ) -> Option<f64> {
        self.value_where(kind, |t| t.endpoint.is_none() || t.endpoint == endpoint, default, rng)
    }

    /// The value of a fault of a chat, where it hits this answer; `default` where none was given.
    pub(super) fn value_of_chat(
        &self,
        kind: FaultKind,
        chat: u32,
        default: f64,
        rng: &mut fastrand::Rng,
    ) -> Option<f64> {
        self.value_where(kind, |t| t.concerns_chat(Some(chat)), default, rng)
    }

    fn value_where(
        &self,
        kind: FaultKind,
        concerns: impl Fn(&Tuning) -> bool,
        default: f64,
        rng: &mut fastrand::Rng,
    ) -> Option<f64> {
        let hit = self.on.iter().find(|(k, t)| *k == kind && concerns(t) && t.draws(rng));
        hit.map(|(_, t)| t.value.unwrap_or(default))
    }

    /// Whether the fault is on for this chat by choice of chats, whatever its share.
    pub(super) fn concerns(&self, kind: FaultKind, chat: u32) -> bool {
        self.on.iter().any(|(k, t)| *k == kind && t.concerns_chat(Some(chat)))
    }

    /// The tuning under which a fault of the world concerns this line, if it is on.
    pub(super) fn of_line(&self, kind: FaultKind, line: &str) -> Option<&Tuning> {
        let concerned = |t: &Tuning| t.line.as_deref().is_none_or(|l| l == line);
        self.on.iter().find(|(k, t)| *k == kind && concerned(t)).map(|(_, t)| t)
    }

    /// Whether this fault of the world is on for anything.
    pub(super) fn is_on(&self, kind: FaultKind) -> bool {
        self.on.iter().any(|(k, _)| *k == kind)
    }

    /// Whether this fault of the world is on for all lines.
    pub(super) fn is_everywhere(&self, kind: FaultKind) -> bool {
        self.on.iter().any(|(k, t)| *k == kind && t.line.is_none())
    }
}
