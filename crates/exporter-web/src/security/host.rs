//! Which host names a listener on a loopback address answers to.
//!
//! A web page in a browser on the same machine can have its own host name resolve to 127.0.0.1 (DNS rebinding) and then
//! read what is served there as if it were its own. Such a request still names the page's host.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::HOST;
use http::request::Parts;

/// Names beside addresses and `localhost`. Each is a host without a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    names: Vec<String>,
    any: bool,
}

impl AllowedHosts {
    /// Allows these names beside addresses and `localhost`.
    pub fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.to_ascii_lowercase()).collect(), any: false }
    }

    /// Allows every name: for what a browser has no use for, behind a proxy that passes its own name on.
    pub fn any() -> Self {
        Self { names: Vec::new(), any: true }
    }

    /// Whether the request names an address, `localhost`, an allowed name, or, as HTTP/1.0 may, no host at all.
    pub(super) fn allow(&self, request: &Parts) -> bool {
        if self.any {
            return true;
        }
        let headers: Vec<_> = request.headers.get_all(HOST).iter().collect();
        let named = match &headers[..] {
            [] => true,
            [one] => one.to_str().is_ok_and(|host| self.allows(host)),
            _ => false,
        };
        // The target of a request may name a host too; then both count.
        named && request.uri.authority().is_none_or(|authority| self.allows(authority.as_str()))
    }

    fn allows(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        if let Some(address) = name.strip_prefix('[') {
            return address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name == "localhost" || name.parse::<Ipv4Addr>().is_ok() || self.names.contains(&name)
    }
}

/// What names the host, in brackets if it is an IPv6 address; `None` when what follows is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = host.find(']').map_or(0, |at| at + 1);
    let Some(colon) = host[end..].find(':') else { return Some(host) };
    let (name, port) = host.split_at(end + colon);
    let port = &port[1..];
    let is_port = port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port.then_some(name)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allowed(target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        AllowedHosts::new(&["Metrics.example".to_owned()]).allow(&parts)
    }

    #[test]
    fn only_addresses_localhost_and_allowed_names_are_hosts() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:12566",
            "[::1]:12566",
            "192.0.2.1",
            "localhost",
            "LocalHost:1",
            "localhost.",
            "metrics.example:9",
            "METRICS.EXAMPLE",
            "[::1]",
            "localhost:",
        ] {
            assert!(allowed("/", &[host]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:12566",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil.example@127.0.0.1",
            "metrics.example.evil",
            "xmetrics.example",
            "",
            "x",
            "127.1",
            "[::1]evil.example",
            "[::1]:evil",
            "[127.0.0.1]",
            "[::1",
            "::1",
            "localhost:evil",
            "localhost:1:2",
            "localhost:+1",
            "127.0.0.1:99999",
            "0x7f000001",
        ] {
            assert!(!allowed("/", &[host]), "{host}");
        }
        assert!(allowed("/", &[]));
        assert!(!allowed("/", &["localhost", "localhost"]));
        assert!(
            allowed("http://localhost/", &["localhost"]) && !allowed("http://evil.example/", &["localhost"])
        );
        assert!(!allowed("http://localhost/", &["evil.example"]));
    }
}
