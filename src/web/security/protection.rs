//! What a reload may never weaken. Whoever can write a half file, or restore an old one, must not be able to open the
//! door of a running exporter; a restart is a decision.

use http::HeaderMap;
use http::header::{
    CONTENT_SECURITY_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    X_XSS_PROTECTION,
};

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
    let max_age = |headers: &HeaderMap| {
        let value = headers.get(STRICT_TRANSPORT_SECURITY)?.to_str().ok()?.to_ascii_lowercase();
        value
            .split(';')
            .find_map(|part| part.trim().strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok())
    };
    if before.keys().any(|name| !after.contains_key(name)) {
        return Some("a response header");
    }
    if max_age(before) > max_age(after) {
        return Some("Strict-Transport-Security");
    }
    // Which of two policies allows less is not decided here.
    [CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS, X_CONTENT_TYPE_OPTIONS, X_XSS_PROTECTION]
        .into_iter()
        .find(|name| before.get(name).is_some_and(|value| after.get(name) != Some(value)))
        .map(|_| "the value of a response header")
}
