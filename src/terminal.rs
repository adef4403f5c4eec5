//! Text of others on the operator's terminal: nothing in it may act.
//!
//! A contact decides what a message says, and the API decides everything else. Control characters move the cursor, set
//! the clipboard or ring the bell; format characters turn the direction of writing, and with it the meaning of a line;
//! letters without a shape, and marks piled upon marks, hide or cover what stands beside them.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};

/// Longest cell of a table, in characters.
pub const MAX_CELL: usize = 200;

/// Most marks on one letter. Living scripts have three.
const MAX_MARKS: u32 = 4;

/// The text with everything escaped that is not visible: `\n`, `\u{1b}`, `\u{202e}`. Line breaks too, marks without a letter
/// before them, and those above the fourth on one letter.
pub fn printable(text: &str) -> String {
    if text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    // As if too many came before the first character: a mark there would belong to what stands before the text.
    let mut marks = MAX_MARKS;
    for c in text.chars() {
        marks = match is_mark(c) {
            true => marks + 1,
            false if c.is_whitespace() => MAX_MARKS,
            false => 0,
        };
        match c {
            // These are visible, whatever Rust's rules for literals say.
            '"' | '\'' => shown.push(c),
            c if is_visible(c) && marks <= MAX_MARKS => shown.push(c),
            '\\' | '\n' | '\r' | '\t' => shown.extend(c.escape_debug()),
            c => shown.extend(c.escape_unicode()),
        }
    }
    shown
}

/// Whether it is drawn upon the letter before it.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.escape_debug().len() > 1 && is_printable_after_letter(c)
}

/// Rust's own tables, which a literal goes by: with a letter in front, marks that belong to a letter stay as they are.
fn is_printable_after_letter(c: char) -> bool {
    ['x', c].iter().collect::<String>().escape_debug().skip(1).eq([c])
}

/// Whether a character has a shape of its own, or belongs to the shape of a letter.
fn is_visible(c: char) -> bool {
    // Fillers, joiners and selectors that the tables take for letters and marks. U+FE0F stays: it makes an emoji of a sign.
    let is_shapeless = matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{ffa0}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    match c.is_ascii() {
        true => c == ' ' || (c.is_ascii_graphic() && c != '\\'),
        false => !is_shapeless && is_printable_after_letter(c),
    }
}

/// The same for several lines, whose breaks are ours.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable_again).collect::<Vec<_>>().join("\n")
}

/// Like [`printable`], for text of which parts may have been made printable before: its backslashes stay.
pub fn printable_again(line: &str) -> String {
    line.split('\\').map(printable).collect::<Vec<_>>().join("\\")
}

/// A line of the log with everything escaped that is not visible. What the formatter escaped stays as it is.
pub fn printable_logfmt(line: &str) -> String {
    with_escapes(line, |shown, c| shown.extend(c.escape_unicode()))
}

/// One cell of a table: printable, and cut where it is too long.
pub fn cell(text: &str) -> String {
    let shown = printable(text);
    match shown.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

/// JSON text with everything escaped that is not visible. Within JSON such characters stand in strings only, in which an
/// escape means the same.
pub fn printable_json(json: &str) -> String {
    with_escapes(json, |shown, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    })
}

/// The text with `escape` in place of each character that is not visible. Line breaks are ours, and backslashes escapes.
fn with_escapes(text: &str, escape: impl Fn(&mut String, char)) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match matches!(c, '\n' | '\\') || is_visible(c) {
            true => shown.push(c),
            false => escape(&mut shown, c),
        }
    }
    shown
}

/// What to say when standard output cannot be written to; nothing when its reader has gone, as `head` has.
pub fn output_failure(error: &io::Error) -> Option<String> {
    let is_unread = error.kind() == ErrorKind::BrokenPipe;
    (!is_unread).then(|| format!("standard output cannot be written to: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_gets_through_and_everything_visible_does() {
        for (text, shown) in [
            (
                "Hi \"Ana\", it's 5 °C — 你好 नमस्ते e\u{301} 😀",
                "Hi \"Ana\", it's 5 °C — 你好 नमस्ते e\u{301} 😀",
            ),
            ("\u{1b}]52;c;aGk=\u{7}\r\n", "\\u{1b}]52;c;aGk=\\u{7}\\r\\n"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200b}\u{feff}", "a\\u{202e}b\\u{2066}c\\u{200b}\\u{feff}"),
            ("a\\u{1b}", "a\\\\u{1b}"),
            ("\u{2028}\u{e0041}", "\\u{2028}\\u{e0041}"),
            ("a\u{115f}b\u{3164}\u{ffa0}", "a\\u{115f}b\\u{3164}\\u{ffa0}"),
            ("\u{301}a \u{301}", "\\u{301}a \\u{301}"),
            ("e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}", "e\u{301}\u{302}\u{303}\u{304}\\u{305}\\u{306}"),
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\\u{1b}\nb\u{1b}"), "a\\u{1b}\nb\\u{1b}");
        assert_eq!(cell(&"é".repeat(300)).chars().count(), MAX_CELL + 1);
        assert_eq!(printable_json("\"\u{202e}\u{e0041}\u{9b}\"\n"), "\"\\u202e\\udb40\\udc41\\u009b\"\n");
    }
}
