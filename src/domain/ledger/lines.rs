//! The names of lines, and how many there may be.

use super::Ledger;
use crate::domain::LineId;

/// Lines of one account past which further ones share `overflow`.
pub(super) const MAX_LINES: usize = 100;
/// Longest name of a line that becomes a label.
pub(super) const MAX_LINE_NAME: usize = 64;

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
