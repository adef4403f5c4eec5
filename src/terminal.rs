//! Text of others on the operator's terminal: nothing in it may act.
//!
//! A contact decides what a message says, and the API decides everything else. Control characters move the cursor, set
//! the clipboard or ring the bell; format characters turn the direction of writing, and with it the meaning of a line.

use std::fmt::Write as _;

/// Longest cell of a table, in characters.
pub const MAX_CELL: usize = 200;

/// The text with everything escaped that is not visible: `\n`, `\u{1b}`, `\u{202e}`. Line breaks too.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // These are visible, whatever Rust's rules for literals say.
            '"' | '\'' => shown.push(c),
            c if c.is_ascii() => shown.extend(c.escape_debug()),
            // With a letter in front, marks that belong to a letter stay as they are.
            c => shown.extend(['x', c].iter().collect::<String>().escape_debug().skip(1)),
        }
    }
    shown
}

/// The same for several lines, whose breaks are ours.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable_again).collect::<Vec<_>>().join("\n")
}

/// Like [`printable`], for text of which parts may have been made printable before: its backslashes stay.
pub fn printable_again(line: &str) -> String {
    line.split('\\').map(printable).collect::<Vec<_>>().join("\\")
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
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n'
            || c.is_ascii_graphic()
            || c == ' '
            || printable(c.encode_utf8(&mut [0; 4])).chars().eq([c])
        {
            shown.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
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
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\\u{1b}\nb\u{1b}"), "a\\u{1b}\nb\\u{1b}");
        assert_eq!(cell(&"é".repeat(300)).chars().count(), MAX_CELL + 1);
        assert_eq!(printable_json("\"\u{202e}\u{e0041}\u{9b}\"\n"), "\"\\u202e\\udb40\\udc41\\u009b\"\n");
    }
}
