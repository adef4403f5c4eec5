//! The web configuration file: the format that Prometheus exporters share, read without I/O.
//!
//! Everything in it has an effect here or is rejected by name with its line. No error repeats a value: hashes and keys
//! stand in this file.

mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bcrypt::HashParts;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_saphyr::Spanned;

#[cfg(test)]
pub(super) use self::tls::CIPHER_SUITES;
use self::tls::TlsSection;
pub(super) use self::tls::{Curve, Pem, TlsConfig, Version};
use super::SecurityError;
use crate::limits::MAX_COST;
use crate::privacy::{looks_like_a_key, shown};
use crate::yaml;

/// A value and the line it stands on.
type Text = Spanned<String>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WebFile {
    tls_server_config: Option<TlsSection>,
    http_server_config: Option<HttpSection>,
    basic_auth_users: Option<BTreeMap<String, Text>>,
    rate_limit: Option<RateSection>,
    auth_excluded_paths: Option<Vec<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpSection {
    http2: Option<Text>,
    headers: Option<HeaderSection>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HeaderSection {
    #[serde(rename = "Content-Security-Policy")]
    content_security_policy: Option<Text>,
    #[serde(rename = "X-Frame-Options")]
    x_frame_options: Option<Text>,
    #[serde(rename = "X-Content-Type-Options")]
    x_content_type_options: Option<Text>,
    #[serde(rename = "X-XSS-Protection")]
    x_xss_protection: Option<Text>,
    #[serde(rename = "Strict-Transport-Security")]
    strict_transport_security: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RateSection {
    interval: Option<Text>,
    burst: Option<Text>,
}

/// What a web configuration file asks for, checked as far as that goes without opening the files that it names.
#[derive(Default)]
pub struct WebConfig {
    pub(super) tls: Option<TlsConfig>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// bcrypt hashes by user name. Empty: no passwords are asked for.
    pub(super) users: BTreeMap<String, PasswordHash>,
    pub(super) rate: Option<Rate>,
    /// Paths that ask for neither password nor client certificate.
    pub(super) excluded_paths: Vec<String>,
}

/// Shows nothing of what is inside: there are keys and hashes.
impl std::fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebConfig").finish_non_exhaustive()
    }
}

/// A hash that bcrypt can check.
pub(super) struct PasswordHash {
    pub(super) text: String,
    pub(super) cost: u32,
}

/// One request per `interval` on average, and `burst` at once.
#[derive(Clone, Copy, PartialEq)]
pub struct Rate {
    /// Between two requests, on average.
    pub interval: Duration,
    /// Requests at once, after a pause.
    pub burst: u32,
}

impl WebConfig {
    /// Reads the text of a web configuration file. `path` is for errors, and is what relative paths in it are beside.
    /// No file is opened.
    ///
    /// # Errors
    /// One line with path, line and what to change. It repeats no value.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SecurityError> {
        let reading = Reading { path };
        let stated: String =
            text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
        let states_nothing = stated.trim_start_matches("---").trim() == "{}";
        let config = if stated.is_empty() {
            Self::default()
        } else {
            let file: WebFile = yaml::parse(path, text).map_err(SecurityError)?;
            reading.config(file)?
        };
        // A file that was emptied by mistake must not open every page at the next restart.
        if config.protects_nothing() && !states_nothing {
            return Err(reading.whole(
                "protects nothing: it is empty, or its sections are; if that is intended, write {} and nothing else",
            ));
        }
        let is_empty =
            [("tls_server_config", config.tls.is_none()), ("basic_auth_users", config.users.is_empty())];
        let has = |key: &str| text.lines().any(|line| line.trim_start_matches(['"', '\'']).starts_with(key));
        if let Some((key, _)) = is_empty.iter().find(|(key, is_empty)| *is_empty && has(key)) {
            return Err(reading.whole(&format!("{key} is empty and protects nothing; fill it, or remove it")));
        }
        Ok(config)
    }

    fn protects_nothing(&self) -> bool {
        self.tls.is_none() && self.users.is_empty() && self.rate.is_none() && self.headers.is_empty()
    }

    /// The files that it names.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.pems().filter_map(|pem| pem.path.clone()).collect()
    }

    /// Reads the files that it names.
    pub(super) fn load(&mut self) -> Result<(), SecurityError> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let clients = tls.clients.iter_mut().map(|clients| &mut clients.authorities);
        [&mut tls.certificate, &mut tls.key].into_iter().chain(clients).try_for_each(Pem::load)
    }

    /// Certificates and keys, in a fixed order.
    pub(super) fn pems(&self) -> impl Iterator<Item = &Pem> {
        self.tls.iter().flat_map(|tls| {
            [&tls.certificate, &tls.key].into_iter().chain(tls.clients.iter().map(|c| &c.authorities))
        })
    }
}

struct Reading<'a> {
    path: &'a Path,
}

impl Reading<'_> {
    /// The error for a value. What is wrong with it is said in terms of its key; the value itself is not.
    fn refuse(&self, text: &Text, why: impl std::fmt::Display) -> SecurityError {
        SecurityError(format!("{}: {why}", self.place(text)))
    }

    fn place(&self, text: &Text) -> String {
        format!("{}:{}", shown(self.path), text.referenced.line())
    }

    fn whole(&self, why: &str) -> SecurityError {
        SecurityError(format!("{}: {why}", shown(self.path)))
    }

    fn config(&self, file: WebFile) -> Result<WebConfig, SecurityError> {
        let http = file.http_server_config.unwrap_or_default();
        if let Some(text) = &http.http2
            && self.truth(text, "http2")?
        {
            return Err(
                self.refuse(text, "http2: HTTP/2 is not supported; leave the key out or set it to false")
            );
        }
        let config = WebConfig {
            tls: file.tls_server_config.map(|section| self.tls(section)).transpose()?.flatten(),
            headers: self.headers(http.headers.unwrap_or_default())?,
            users: self.users(file.basic_auth_users.unwrap_or_default())?,
            rate: self.rate(file.rate_limit.unwrap_or_default())?,
            excluded_paths: self.excluded(file.auth_excluded_paths.unwrap_or_default())?,
        };
        let asks = !config.users.is_empty()
            || config
                .tls
                .as_ref()
                .and_then(|tls| tls.clients.as_ref())
                .is_some_and(|clients| clients.required);
        if !config.excluded_paths.is_empty() && !asks {
            return Err(self.whole(
                "auth_excluded_paths has nothing to be excluded from; add basic_auth_users or client certificates",
            ));
        }
        Ok(config)
    }

    fn truth(&self, text: &Text, key: &str) -> Result<bool, SecurityError> {
        match text.value.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(self.refuse(text, format!("{key}: write true or false"))),
        }
    }

    fn headers(&self, section: HeaderSection) -> Result<Vec<(HeaderName, HeaderValue)>, SecurityError> {
        use http::header as names;
        let only: [(HeaderName, Option<Text>, &[&str]); 5] = [
            (names::CONTENT_SECURITY_POLICY, section.content_security_policy, &[]),
            (names::X_FRAME_OPTIONS, section.x_frame_options, &["deny", "sameorigin"]),
            (names::X_CONTENT_TYPE_OPTIONS, section.x_content_type_options, &["nosniff"]),
            (names::X_XSS_PROTECTION, section.x_xss_protection, &[]),
            (names::STRICT_TRANSPORT_SECURITY, section.strict_transport_security, &[]),
        ];
        let mut headers = Vec::new();
        for (name, text, choices) in only {
            let Some(text) = text.filter(|text| !text.value.is_empty()) else { continue };
            if !choices.is_empty() && !choices.contains(&text.value.as_str()) {
                return Err(self.refuse(&text, format!("{name}: write {}", choices.join(" or "))));
            }
            if looks_like_a_key(&text.value) {
                return Err(
                    self.refuse(&text, format!("{name}: holds an API key, and is shown to every client"))
                );
            }
            let value = HeaderValue::from_str(&text.value)
                .map_err(|_| self.refuse(&text, format!("{name}: holds what no header can")))?;
            headers.push((name, value));
        }
        Ok(headers)
    }

    fn users(&self, listed: BTreeMap<String, Text>) -> Result<BTreeMap<String, PasswordHash>, SecurityError> {
        let mut users = BTreeMap::new();
        for (user, text) in listed {
            if user.contains(':') {
                return Err(
                    self.refuse(&text, "basic_auth_users: no browser can send a user name with a colon")
                );
            }
            let hash = text.value.as_str();
            let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version));
            let parts = HashParts::from_str(hash).ok().filter(|_| known);
            let Some(cost) = parts.map(|parts| parts.get_cost()).filter(|cost| (4..=31).contains(cost))
            else {
                return Err(self.refuse(
                    &text,
                    "basic_auth_users: not a bcrypt hash of version 2y, 2b or 2a; make one with `htpasswd -nBC 10 \"\"`",
                ));
            };
            if cost > MAX_COST {
                return Err(self.refuse(
                    &text,
                    format!("basic_auth_users: cost {cost} would keep a core busy for too long; {MAX_COST} is the most"),
                ));
            }
            users.insert(user, PasswordHash { text: text.value, cost });
        }
        Ok(users)
    }

    fn rate(&self, section: RateSection) -> Result<Option<Rate>, SecurityError> {
        let interval = match &section.interval {
            None => Duration::ZERO,
            Some(text) if text.value.trim() == "0" => Duration::ZERO,
            Some(text) => humantime::parse_duration(text.value.trim()).map_err(|_| {
                self.refuse(text, "rate_limit: interval is not a duration; write 1s or 500ms")
            })?,
        };
        let burst = match &section.burst {
            None => 0,
            Some(text) => text
                .value
                .trim()
                .parse::<u32>()
                .map_err(|_| self.refuse(text, "rate_limit: burst is not a whole number of requests"))?,
        };
        match (interval.is_zero(), burst) {
            (true, 0) => Ok(None),
            // An interval of 0 is how the format switches the limit off.
            (true, _) if section.interval.is_some() => Ok(None),
            (true, _) => Err(self.whole("rate_limit: burst has no effect without interval; add it")),
            (false, 0) => Err(self.whole("rate_limit: a burst of 0 lets no request in; write at least 1")),
            (false, burst) => Ok(Some(Rate { interval, burst })),
        }
    }

    fn excluded(&self, listed: Vec<Text>) -> Result<Vec<String>, SecurityError> {
        for text in &listed {
            let path = text.value.as_str();
            let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b));
            let is_path = path == "/"
                || path
                    .strip_prefix('/')
                    .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
            if !is_plain || !is_path {
                return Err(self.refuse(
                    text,
                    "auth_excluded_paths: not a whole path; write one as it is asked for, such as /-/ready",
                ));
            }
        }
        Ok(listed.into_iter().map(|text| text.value).collect())
    }
}

#[cfg(test)]
mod tests;
