//! The lines of an account, by the ledger's own rules: which names are lines, how many there may be, and which series each has
//! from the start. Pure.

use std::collections::BTreeMap;

use crate::domain::{Ledger, LineId, Policy, Restored, View};

/// Names whose line is kept at hand. There are at most a hundred lines; what is not a line is looked up each time.
const MOST_KNOWN: usize = 200;

/// The lines seen so far.
pub struct Lines {
    ledger: Ledger,
    known: BTreeMap<Option<String>, LineId>,
}

impl Default for Lines {
    fn default() -> Lines {
        // No message is ever observed: nothing follows from the policy.
        Lines { ledger: Ledger::new(Policy::default(), Restored::default()), known: BTreeMap::new() }
    }
}

impl Lines {
    /// The line of a name, and whether it is new.
    pub fn line(&mut self, name: Option<&str>) -> (LineId, bool) {
        let name = name.map(str::to_owned);
        if let Some(line) = self.known.get(&name) {
            return (*line, false);
        }
        let series = |ledger: &Ledger| ledger.totals().counters().count();
        let before = series(&self.ledger);
        let line = self.ledger.line(name.as_deref());
        let is_new = series(&self.ledger) > before;
        if self.known.len() < MOST_KNOWN {
            self.known.insert(name, line);
        }
        (line, is_new)
    }

    /// The account as a page shows it before anything is counted.
    pub fn view(mut self, account: &str) -> View {
        View { account: account.to_owned(), snapshot: self.ledger.snapshot(0), ..View::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_new_once_and_numbered_in_the_order_of_appearance() {
        let mut lines = Lines::default();
        assert_eq!(lines.line(Some("+1")), (LineId(1), true));
        assert_eq!(lines.line(None), (LineId::NONE, true));
        assert_eq!(lines.line(Some("")), (LineId::NONE, false));
        assert_eq!(lines.line(Some("+2")), (LineId(2), true));
        assert_eq!(lines.line(Some("+1")), (LineId(1), false));
        assert_eq!(lines.line(Some("a\nb")), (LineId::OVERFLOW, true));
        assert_eq!(lines.line(Some("c\nd")), (LineId::OVERFLOW, false));
        let names: Vec<String> = lines.view("a").snapshot.lines.into_values().collect();
        assert_eq!(names, ["none", "+1", "+2", "overflow"]);
    }
}
