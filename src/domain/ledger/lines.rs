//! The names of lines, and how many there may be.

use super::Ledger;
use crate::domain::LineId;

/// Lines of one account past which further ones share `overflow`.
pub const MAX_LINES: usize = 100;
/// Longest name of a line that becomes a label.
pub const MAX_LINE_NAME: usize = 64;

impl Ledger {
    /// The lines of the register, by id.
    pub fn lines(&self) -> impl Iterator<Item = (LineId, &str)> {
        self.lines.iter().enumerate().skip(1).map(|(at, name)| (LineId(at as u16), name.as_str()))
    }

    /// The name of a line, as it stands in the label.
    pub fn line_name(&self, line: LineId) -> &str {
        match line {
            LineId::OVERFLOW => "overflow",
            line => self.lines.get(usize::from(line.0)).map_or("none", String::as_str),
        }
    }

    /// The id of a line, registering it when it is new. Null is a line of its own; what cannot be a label,
    /// or comes past the cap, is `overflow`.
    pub fn line(&mut self, name: Option<&str>) -> LineId {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return self.special_line(LineId::NONE);
        };
        if let Some(id) = self.line_ids.get(name) {
            return *id;
        }
        let usable = name.len() <= MAX_LINE_NAME && name.chars().all(|c| !c.is_control());
        if !usable || self.lines.len() > MAX_LINES {
            return self.special_line(LineId::OVERFLOW);
        }
        let id = LineId(self.lines.len() as u16);
        self.lines.push(name.to_owned());
        self.line_ids.insert(name.to_owned(), id);
        self.changed.lines.push(id);
        self.declare_line(id);
        id
    }

    /// A line without a number. It is registered like any other, so that its series survive a restart.
    fn special_line(&mut self, line: LineId) -> LineId {
        if !self.has_series(line) {
            self.changed.lines.push(line);
            self.declare_line(line);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ledger::tests::ledger;

    #[test]
    fn a_name_that_can_be_a_label_has_a_line_of_its_own() {
        let (longest, too_long) = ("x".repeat(MAX_LINE_NAME), "x".repeat(MAX_LINE_NAME + 1));
        let mut ledger = ledger();
        for (name, line, shown) in [
            (None, LineId::NONE, "none"),
            (Some(""), LineId::NONE, "none"),
            (Some("+1"), LineId(1), "+1"),
            (Some("+1\n"), LineId::OVERFLOW, "overflow"),
            (Some(too_long.as_str()), LineId::OVERFLOW, "overflow"),
            (Some(longest.as_str()), LineId(2), longest.as_str()),
            (Some("+1"), LineId(1), "+1"),
        ] {
            assert_eq!(ledger.line(name), line, "{name:?}");
            assert_eq!(ledger.line_name(line), shown);
        }
        assert_eq!(ledger.lines().collect::<Vec<_>>(), [(LineId(1), "+1"), (LineId(2), longest.as_str())]);
        assert_eq!(ledger.line_name(LineId(3)), "none", "there is no such line");
    }

    #[test]
    fn each_line_is_stored_and_has_its_series_from_its_first_use() {
        let mut ledger = ledger();
        for (name, line, shown) in [
            (None, LineId::NONE, "none"),
            (Some("\0"), LineId::OVERFLOW, "overflow"),
            (Some("+1"), LineId(1), "+1"),
        ] {
            assert!(!ledger.has_series(line));
            for expected in [vec![(line, shown.to_owned())], vec![]] {
                ledger.line(name);
                assert!(ledger.has_series(line));
                assert_eq!(ledger.delta().lines, expected);
            }
        }
    }

    #[test]
    fn a_line_of_the_register_is_used_again_when_there_are_too_many() {
        let mut ledger = ledger();
        for n in 0..2 * MAX_LINES {
            ledger.line(Some(&n.to_string()));
        }
        assert_eq!(ledger.lines().count(), MAX_LINES);
        assert_eq!(ledger.line(Some("0")), LineId(1));
        assert_eq!(ledger.line(Some("99")), LineId(100));
        assert_eq!(ledger.line(Some("100")), LineId::OVERFLOW);
    }
}
