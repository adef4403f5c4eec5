//! What may be private in a place where it does not belong, such as a key that was given as a path: errors leave it out.

use std::ffi::OsStr;
use std::path::Path;

/// Whether this may be a secret, a phone number or an e-mail address. Known are short values, words, and file names with
/// one of the usual endings.
pub fn may_be_private(text: &str) -> bool {
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

/// Whether a word in this begins like an API key.
pub fn looks_like_a_key(text: &str) -> bool {
    ["bl_live", "bl_test", "blo_"].iter().any(|start| {
        text.match_indices(start)
            .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// A value as an error may show it, with a space behind it, or nothing where it may be private: errors end up in logs.
pub fn quoted(text: &str) -> String {
    match text {
        "" => "an empty value ".to_owned(),
        text if may_be_private(text) => String::new(),
        text => format!("`{}` ", text.escape_debug()),
    }
}

/// A key of a configuration file as an error may show it, with a space in front. Only what resembles a known one is repeated: a slip in the indentation can put a key or
/// a phone number in its place.
pub fn key_shown(key: &str, known: &[&str]) -> String {
    let is_plain = key.bytes().all(|b| b.is_ascii_alphabetic() || b"_-".contains(&b));
    let is_short = key.len() <= 12;
    let is_like = known.iter().any(|known| strsim::normalized_damerau_levenshtein(known, key) > 0.5);
    let is_a_slip = is_plain && (is_short || is_like);
    if is_a_slip { format!(" `{key}`") } else { String::new() }
}

/// A path as an error may show it. When a part of it may be a secret or a phone number in the wrong place, only parts that
/// are words and names of files with an ordinary ending are shown: a key may contain slashes, so that its parts are short.
pub fn shown(path: &Path) -> String {
    if !path.iter().any(|part| is_odd(&part.to_string_lossy())) {
        return path.to_string_lossy().escape_debug().to_string();
    }
    let is_word = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b"-._/".contains(&b));
    let part = |part: &OsStr| {
        let part = part.to_string_lossy();
        let is_shown = !is_odd(&part) && (is_word(&part) || has_known_ending(&part));
        if is_shown { part.into_owned() } else { "…".to_owned() }
    };
    let parts: Vec<String> = path.iter().map(part).collect();
    parts.join("/").replacen("//", "/", 1)
}

/// Whether a part of a path may be private, or a part of something private.
fn is_odd(part: &str) -> bool {
    let is_mixed = part.bytes().any(|b| b.is_ascii_uppercase())
        && part.bytes().any(|b| b.is_ascii_lowercase())
        && part.trim_end_matches(|c: char| c.is_ascii_digit()).bytes().any(|b| b.is_ascii_digit());
    is_mixed || part.contains(['+', '=', '%']) || may_be_private(part)
}

/// Endings of the files that are named in settings.
const ENDINGS: [&str; 13] =
    ["yml", "yaml", "db", "key", "pem", "crt", "cer", "cert", "ca", "conf", "json", "txt", "token"];

fn has_known_ending(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_unless_a_key_may_be_in_it() {
        for path in [
            "state.db",
            "./state.db",
            "/var/lib/blooio-exporter/state.db",
            "/",
            "/srv/shop1/web.yml",
            "../x/",
        ] {
            assert_eq!(shown(Path::new(path)), path);
        }
        for (path, seen) in [
            ("/srv/bl_live_4f9AkQ0sZ7/state.db", "/srv/…/state.db"),
            ("4f9AkQ0sZ7uV", "…"),
            ("aB3d/fG7hJ2/x9/kL9mN.pem", "…/…/…/…"),
            ("./q8+/v=/cert.pem", "./…/…/cert.pem"),
            ("/home/+14155550123", "/home/…"),
            ("/tmp/.tmpkC4Y0K/key", "/tmp/…/key"),
        ] {
            assert_eq!(shown(Path::new(path)), seen, "{path}");
        }
    }
}
