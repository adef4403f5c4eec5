//! What may be private in a place where it does not belong, such as a key that was given as a path: errors leave it out.

use std::ffi::OsStr;
use std::path::Path;

/// Whether this may be a secret, a phone number or an e-mail address. Known are words, short values that are not a mixture,
/// and file names with one of the usual endings.
pub fn may_be_private(text: &str) -> bool {
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b"-.:/".contains(&b));
    let stem = match text.rsplit_once('.') {
        Some((stem, ending)) if is_known_ending(ending) && stem.len() <= 40 => stem,
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
        || !(stem.len() <= 12 && !is_jumble(stem)
            || is_word(stem)
            || is_address
            || is_file && stem.len() <= 24)
        || stem.len() > 64
}

/// Whether letters and digits, or the cases of letters, alternate as they do in a random value of at least six characters.
/// Words, names, sizes, times and addresses do not.
fn is_jumble(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|run| run.len() >= 6 && alternations(run) * 2 >= run.len())
        || text.len() >= 6 && is_mixed(text, text)
}

/// Whether a text holds letters of both cases, and a part of it a digit.
fn is_mixed(text: &str, part: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|b| is(&b));
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && part.bytes().any(|b| b.is_ascii_digit())
}

/// How often one of lower case, upper case and digits follows another.
fn alternations(run: &str) -> usize {
    let class = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase());
    run.as_bytes().windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count()
}

/// Whether a run of letters and digits in this is as long and as mixed as an API key. What it may catch besides are digests
/// and random names: they are no names for people either.
pub fn looks_random(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        let digits = |run: &str| {
            let bytes = run.as_bytes().windows(2);
            bytes.filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count()
        };
        run.len() >= 20 && (alternations(run) * 5 >= run.len() * 2 || digits(run) >= 6)
    })
}

/// Whether this may be a phone number: seven digits, and nothing but what people write between them.
pub fn looks_like_a_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    digits >= 7 && text.chars().all(|c| c.is_ascii_digit() || "+-(). ".contains(c))
}

/// Whether this holds what API keys begin with. The last is the end of some words too, and counts where one begins.
pub fn looks_like_a_key(text: &str) -> bool {
    let begins = |(at, _): (usize, &str)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    text.contains("bl_live") || text.contains("bl_test") || text.match_indices("blo_").any(begins)
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
    let unnumbered = part.trim_end_matches(|c: char| c.is_ascii_digit());
    is_mixed(part, unnumbered) || part.contains(['+', '=', '%']) || may_be_private(part)
}

/// Endings of the files that are named in settings.
const ENDINGS: [&str; 14] =
    ["yml", "yaml", "db", "key", "pem", "crt", "cer", "cert", "ca", "conf", "json", "txt", "token", "secret"];

/// Whether files end like this; there may be several: `webhook.secret2`.
fn is_known_ending(ending: &str) -> bool {
    ENDINGS.contains(&ending.trim_end_matches(|c: char| c.is_ascii_digit()))
}

fn has_known_ending(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| is_known_ending(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_are_told_from_names() {
        for random in [
            "team: 4f9AkQ0sZ7uVbN2xWq81",
            "c2a1f0e94b7d4e6fa3b95d08e17f6a2c",
            "/m/Zk3vT9qLw0XrB7nYc5Hd",
            "QmFzZTY0VGV4dEZvcktleXM",
        ] {
            assert!(looks_random(random), "{random}");
        }
        for name in [
            "",
            "sales",
            "blooio-exporter-7d9f8b6c5d-x2x4z",
            "SalesTeamNorthAmerica2",
            "internationalization",
            "3f2b8c1e-9a4d-4c6b-8e7f-1a2b3c4d5e6f",
            "eu-central-1.k8s.example.com",
            "+1 415 555 0123",
            "20261128143000000000",
        ] {
            assert!(!looks_random(name), "{name}");
        }
    }

    #[test]
    fn short_values_are_shown_unless_they_are_a_mixture() {
        for value in [
            "abc",
            "5 parsecs",
            "30x",
            "-1",
            "0.5",
            "1e9",
            "127.0.0.1:80",
            "Info",
            "eu-west-1",
            "2/s",
            "10 per s",
            "v2",
            "TLS13",
        ] {
            assert!(!may_be_private(value), "{value}");
        }
        for value in ["4f9AkQ0sZ7uV", "a1b2c3d4", "hT5fG9", "q8-R2v-x9A", "xK3p9Lm2Qz"] {
            assert!(may_be_private(value), "{value}");
        }
    }

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
