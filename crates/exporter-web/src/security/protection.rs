//! What a reload may never weaken. A half-written file, or an old one that is restored, must not open the
//! door of a running exporter; a restart is a decision.

use http::header::{
    CONTENT_SECURITY_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    X_XSS_PROTECTION,
};
use http::{HeaderMap, HeaderValue};

use super::Current;
use super::file::{Curve, Rate, Version};

/// The part of a web configuration that only protects.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Protection {
    /// TLS: oldest and newest version, cipher suites and curves where they are restricted.
    pub(super) tls: Option<TlsProtection>,
    /// Whether clients must have a certificate, and which names it must bear; `None` when they are not asked for any.
    pub(super) clients: Option<(bool, Option<Vec<String>>)>,
    pub(super) excluded_paths: Vec<String>,
    pub(super) headers: HeaderMap,
    pub(super) rate: Option<Rate>,
}

#[derive(Clone, PartialEq)]
pub(super) struct TlsProtection {
    pub(super) min: Version,
    pub(super) max: Version,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curves: Vec<Curve>,
}

/// What `new` would no longer protect with, as the key of the file that says so.
pub(super) fn lost(old: &Current, new: &Current) -> Option<&'static str> {
    let protects = |current: &Current| current.needs_certificate() || !current.users.is_empty();
    let (before, after) = (&old.protection, &new.protection);
    let opens =
        protects(old) && after.excluded_paths.iter().any(|path| !before.excluded_paths.contains(path));
    let named = |protection: &Protection| matches!(protection.clients, Some((_, Some(_))));
    [
        (opens, "the protection of a path (auth_excluded_paths)"),
        (before.tls.is_some() && after.tls.is_none(), "TLS"),
        (old.needs_certificate() && !new.needs_certificate(), "client certificates"),
        (before.clients.is_some() && after.clients.is_none(), "client certificates"),
        (named(before) && !named(after), "client_allowed_sans"),
        (!old.users.is_empty() && new.users.is_empty(), "basic auth"),
        (limits_less(before.rate, after.rate), "a part of rate_limit"),
    ]
    .into_iter()
    .find_map(|(is_lost, what)| is_lost.then_some(what))
    .or_else(|| lost_tls(before.tls.as_ref()?, after.tls.as_ref()?))
    .or_else(|| lost_header(&before.headers, &after.headers))
}

fn lost_tls(before: &TlsProtection, after: &TlsProtection) -> Option<&'static str> {
    fn widens<T: PartialEq>(before: &[T], after: &[T]) -> bool {
        !before.is_empty() && (after.is_empty() || after.iter().any(|one| !before.contains(one)))
    }
    [
        (after.min < before.min, "min_version"),
        (after.max < before.max, "max_version"),
        (widens(&before.cipher_suites, &after.cipher_suites), "the restriction of cipher_suites"),
        (widens(&before.curves, &after.curves), "the restriction of curve_preferences"),
    ]
    .into_iter()
    .find_map(|(is_lost, what)| is_lost.then_some(what))
}

fn limits_less(before: Option<Rate>, after: Option<Rate>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => after.interval < before.interval || after.burst > before.burst,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn lost_header(before: &HeaderMap, after: &HeaderMap) -> Option<&'static str> {
    if before.keys().any(|name| !after.contains_key(name)) {
        return Some("a response header");
    }
    if demands_less(before.get(STRICT_TRANSPORT_SECURITY), after.get(STRICT_TRANSPORT_SECURITY)) {
        return Some("Strict-Transport-Security");
    }
    // Which of two policies allows less is not decided here.
    [CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS, X_CONTENT_TYPE_OPTIONS, X_XSS_PROTECTION]
        .into_iter()
        .find(|name| before.get(name).is_some_and(|value| after.get(name) != Some(value)))
        .map(|_| "the value of a response header")
}

/// Whether browsers are asked for less: for TLS on fewer hosts, for a shorter time, or in a way that they may not understand.
fn demands_less(before: Option<&HeaderValue>, after: Option<&HeaderValue>) -> bool {
    let Some(before) = before.filter(|before| after != Some(before)) else { return false };
    let Some(after) = after.and_then(Transport::parse) else { return true };
    Transport::parse(before).is_some_and(|before| {
        after.max_age < before.max_age || !before.others.iter().all(|other| after.others.contains(other))
    })
}

/// A value of Strict-Transport-Security, as RFC 6797 section 6.1 has it.
struct Transport {
    max_age: u64,
    /// All other directives, in lower case.
    others: Vec<String>,
}

impl Transport {
    /// `None` where the age is missing, is no number or is given twice: what a browser makes of that is not known.
    fn parse(value: &HeaderValue) -> Option<Self> {
        let value = value.to_str().ok()?.to_ascii_lowercase();
        let directives = value.split(';').map(str::trim).filter(|directive| !directive.is_empty());
        let (ages, others): (Vec<&str>, Vec<&str>) = directives.partition(|directive| {
            directive.split('=').next().is_some_and(|name| name.trim_end() == "max-age")
        });
        let [age] = ages[..] else { return None };
        let (_, seconds) = age.split_once('=')?;
        let seconds = seconds.trim();
        let seconds = seconds.strip_prefix('"').and_then(|s| s.strip_suffix('"')).unwrap_or(seconds);
        let is_number = seconds.bytes().all(|b| b.is_ascii_digit());
        let max_age = seconds.parse().ok().filter(|_| is_number)?;
        Some(Self { max_age, others: others.into_iter().map(str::to_owned).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_hsts_that_demands_less_is_told_from_one_that_demands_as_much() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let less = |before: &str, after: &str| demands_less(Some(&value(before)), Some(&value(after)));
        for (before, after) in [
            ("max-age=100", "max-age=99"),
            ("max-age=100", "max-age=100; max-age=0"),
            ("max-age=100", "max-age=0; max-age=100"),
            ("max-age=100", "max-age=+100"),
            ("max-age=100", "max-age=\"100"),
            ("max-age=100", "max-age"),
            ("max-age=100", "includeSubDomains"),
            ("max-age=100", "x-max-age=100"),
            ("max-age=100", ""),
            ("max-age=100; includeSubDomains", "max-age=100"),
            ("max-age=100; includeSubDomains; preload", "max-age=200; includeSubDomains"),
            ("max-age=100; includeSubDomains; preload", "max-age=200; preload"),
            ("max-age=100; includeSubDomains", "max-age=200; include SubDomains"),
        ] {
            assert!(less(before, after), "{before} / {after}");
        }
        for (before, after) in [
            ("max-age=100", "max-age=100"),
            ("max-age=100", "max-age=101"),
            ("max-age=100", "includesubdomains ;MAX-AGE = \"100\""),
            ("max-age=100; includeSubDomains", "INCLUDESUBDOMAINS; max-age=100; preload;"),
            ("nonsense", "max-age=0"),
            ("nonsense", "nonsense"),
        ] {
            assert!(!less(before, after), "{before} / {after}");
        }
        assert!(demands_less(Some(&value("max-age=1")), None));
        assert!(!demands_less(None, Some(&value("max-age=0"))));
    }
}
