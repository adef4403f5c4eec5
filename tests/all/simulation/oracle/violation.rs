//! Breaches of invariants, counted by kind.

use std::collections::BTreeMap;
use std::fmt;

/// How many breaches of a life are told in words. All are counted.
const TOLD: usize = 20;

/// What a breach means for the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// A message that had to be counted was not.
    Lost,
    /// A message or its end was counted twice.
    Doubled,
    /// The watermark, or `up`, promised what was not so.
    FalsePromise,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    /// What it means for the counts.
    pub(crate) harm: Harm,
    at_ms: i64,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:.3}: {}", self.invariant, self.at_ms as f64 / 1000.0, self.what)
    }
}

/// The breaches of one life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Violations {
    told: Vec<Violation>,
    /// How many messages were lost.
    pub(crate) lost: u64,
    /// How often something was counted twice.
    pub(crate) doubled: u64,
    /// How often the watermark or `up` was wrong.
    pub(crate) false_promises: u64,
    pub(crate) others: u64,
    /// All of them, by the invariant's name.
    pub(crate) by_invariant: BTreeMap<&'static str, u64>,
}

impl Violations {
    pub(crate) fn add(&mut self, invariant: &'static str, harm: Harm, at_ms: i64, what: String) {
        match harm {
            Harm::Lost => self.lost += 1,
            Harm::Doubled => self.doubled += 1,
            Harm::FalsePromise => self.false_promises += 1,
            Harm::Other => self.others += 1,
        }
        *self.by_invariant.entry(invariant).or_default() += 1;
        if self.told.len() < TOLD {
            self.told.push(Violation { invariant, harm, at_ms, what });
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lost + self.doubled + self.false_promises + self.others == 0
    }

    /// The first ones in full, up to a limit.
    pub(crate) fn told(&self) -> &[Violation] {
        &self.told
    }
}
