//! What may be private in a place where it does not belong, such as a key that was given as a path: errors leave it out.

use std::ffi::OsStr;
use std::path::Path;

/// Whether this may be a secret, a phone number or an e-mail address. Known are short values, words, and file names with
/// one of the usual endings.
pub fn may_be_private(text: &str) -> bool {
    const ENDINGS: [&str; 9] = ["yml", "yaml", "db", "key", "pem", "crt", "conf", "json", "txt"];
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b"-.:/".contains(&b));
    let stem = match text.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.contains(&ending) && stem.len() <= 40 => stem,
        _ => text,
    };
    let is_file = stem.len() < text.len();
    let is_plain =
        |part: &str| part.len() <= 12 && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_address = ["https://", "http://", "ftp://"].iter().any(|scheme| {
        text.strip_prefix(scheme).is_some_and(|rest| rest.split(['/', ':', '.', '-', '[', ']']).all(is_plain))
    });
    looks_like_a_number(text)
        || text.contains(['@', '?', '#'])
        || ["bl_", "blo_", "_live", "_test"].iter().any(|part| text.contains(part))
        || !(stem.len() <= 12 || is_word(stem) || is_address || is_file && stem.len() <= 24)
        || stem.len() > 64
}

/// Whether this may be a phone number: seven digits, and nothing but what people write between them.
pub fn looks_like_a_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    digits >= 7 && text.chars().all(|c| c.is_ascii_digit() || "+-(). ".contains(c))
}

/// A path as an error may show it. A part that may be a secret or a phone number in the wrong place is left out.
pub fn shown(path: &Path) -> String {
    let part = |part: &OsStr| {
        let part = part.to_string_lossy();
        if may_be_private(&part) { "…".to_owned() } else { part.escape_debug().to_string() }
    };
    let parts: Vec<String> = path.iter().map(part).collect();
    parts.join("/").replacen("//", "/", 1)
}
