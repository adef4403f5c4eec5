//! Addresses to listen on.

use std::net::SocketAddr;

use super::file::Texts;
use super::resolve::{Found, Resolution};
use super::{ConfigError, cli};

impl Resolution<'_> {
    /// Addresses to listen on: of the flags, else of the file.
    pub(super) fn addresses(
        &self,
        name: &str,
        flags: &[String],
        listed: Option<&Texts>,
    ) -> Result<Vec<SocketAddr>, ConfigError> {
        let mut addresses = Vec::new();
        for (place, text) in self.list(name, flags, listed) {
            let text = text.clone();
            let found = Found { place, text, is_default: false, value: () };
            let address = cli::parse_listen_address(found.text.trim())
                .map_err(|why| found.refuse(format!("is {why}")))?;
            if address.port() != 0 && addresses.contains(&address) {
                return Err(found.refuse("is given twice; keep one"));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }
}

/// Whether a listener on one address takes, or could take, connections to the other one.
pub(super) fn overlaps(one: &SocketAddr, other: &SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_overlaps_with_all_addresses_of_its_port() {
        for (one, other, verdict) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let [one, other] = [one, other].map(|text| text.parse().unwrap());
            assert_eq!((overlaps(&one, &other), overlaps(&other, &one)), (verdict, verdict), "{one} {other}");
        }
    }
}
