//! The address of the Blooio API.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;

/// Where the Blooio API answers: scheme, host, port and path prefix, without a trailing slash.
///
/// Always https, except for loopback addresses, so that a key cannot leave the machine in clear. It holds no user name,
/// query or fragment and is therefore safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The public API, `https://api.blooio.com/v2/api`.
    pub fn public() -> Self {
        Self("https://api.blooio.com/v2/api".to_owned())
    }

    /// Whether there is no path. The API's paths are then right below the host, as behind a proxy that adds the rest.
    pub fn is_bare(&self) -> bool {
        self.0.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'))
    }

    /// The address as text; append a path that begins with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseUrl {
    /// What is wrong and what to write instead, without the text given: that could contain a password.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "is not an address; write it as https://api.blooio.com/v2/api";
        if text.contains('@') {
            return Err("must not contain a user name or password; the key belongs in BLOOIO_API_KEY");
        }
        if text.contains(['?', '#']) {
            return Err("must not contain a query or a fragment; leave out everything from `?` or `#`");
        }
        let uri: Uri = text.parse().map_err(|_| SHAPE)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(SHAPE) };
        let host = authority.host();
        let port = authority.as_str().strip_prefix(host).unwrap_or_default();
        let port_is_sound = port.is_empty() || authority.port_u16().is_some_and(|number| number > 0);
        let host_is_sound = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        if !port_is_sound || !host_is_sound {
            return Err(SHAPE);
        }
        match scheme {
            "https" => {}
            "http" if is_loopback(host) => {}
            "http" => return Err("must use https; plain http is allowed for loopback addresses only"),
            _ => return Err("must begin with https://"),
        }
        let path = uri.path().trim_end_matches('/');
        let segments_are_sound = path.split('/').skip(1).all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
        });
        if !segments_are_sound {
            return Err("has an unusual path; letters, digits and -._~ between single slashes are allowed");
        }
        Ok(Self(format!("{scheme}://{authority}{path}")))
    }
}

fn is_loopback(host: &str) -> bool {
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || inner.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || inner.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_lose_only_their_trailing_slash() {
        for (given, kept) in [
            ("https://api.blooio.com/v2/api", "https://api.blooio.com/v2/api"),
            ("https://api.blooio.com/v2/api//", "https://api.blooio.com/v2/api"),
            ("https://example.com", "https://example.com"),
            ("https://example.com:8443/", "https://example.com:8443"),
            ("HTTPS://example.com/x", "https://example.com/x"),
            ("http://127.0.0.1:12567/v2/api", "http://127.0.0.1:12567/v2/api"),
            ("http://127.8.9.1", "http://127.8.9.1"),
            ("http://[::1]:80/a", "http://[::1]:80/a"),
            ("http://LocalHost:1", "http://LocalHost:1"),
        ] {
            assert_eq!(given.parse::<BaseUrl>().unwrap().to_string(), kept, "{given}");
        }
        assert_eq!(BaseUrl::public().as_str().parse::<BaseUrl>().unwrap(), BaseUrl::public());
    }

    #[test]
    fn an_address_without_a_path_is_bare() {
        for (given, is_bare) in [
            ("https://api.blooio.com", true),
            ("https://api.blooio.com:8443/", true),
            ("http://[::1]:1", true),
            ("https://api.blooio.com/v2/api", false),
            ("https://example.com/x/", false),
        ] {
            assert_eq!(given.parse::<BaseUrl>().unwrap().is_bare(), is_bare, "{given}");
        }
    }

    #[test]
    fn anything_that_could_leak_or_mislead_is_refused() {
        for (given, why) in [
            ("http://api.blooio.com/v2/api", "must use https"),
            ("http://127.0.0.1.example.com", "must use https"),
            ("http://localhost.example.com", "must use https"),
            ("http://127.1", "must use https"),
            ("http://0.0.0.0", "must use https"),
            ("http://10.0.0.1", "must use https"),
            ("http://[::2]", "must use https"),
            ("http://[::ffff:127.0.0.1]", "must use https"),
            ("ftp://example.com", "must begin with https://"),
            ("https://user:pass@example.com", "user name"),
            ("https://example.com/a?b=c", "query"),
            ("https://example.com/#c", "query"),
            ("https://example.com/a/../b", "unusual path"),
            ("https://example.com//a", "unusual path"),
            ("https://example.com/%2e%2e", "unusual path"),
            ("https://example.com:0", "not an address"),
            ("https://example.com:99999", "not an address"),
            ("https://[::1", "not an address"),
            ("https://", "not an address"),
            ("example.com", "not an address"),
            ("/v2/api", "not an address"),
            ("", "not an address"),
            ("https://exa mple.com", "not an address"),
        ] {
            let error = given.parse::<BaseUrl>().unwrap_err();
            assert!(error.contains(why), "{given}: {error}");
        }
    }
}
