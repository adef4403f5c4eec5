//! A value that must never be seen: it cannot be printed, formatted or serialised.
//!
//! What belongs here is the one type below. Where a key comes from is the business of [`crate::config`], what it opens
//! is the business of the Blooio client.

use std::fmt;

use zeroize::Zeroizing;

/// A key or password. Its text is reached only through [`Secret::expose`], so that every use can be found by name.
///
/// The memory is overwritten when the last copy is dropped. That is best effort: what a TLS or HTTP library copied into
/// its own buffers is out of reach.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the string given is overwritten together with this value.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Hand it to the place that needs it and keep no copy.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_text() {
        let secret = Secret::new("blo_canary".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(format!("{:#?}", Some(&secret)), "Some(\n    [redacted],\n)");
        assert_eq!(secret.expose(), "blo_canary");
    }

    #[test]
    fn a_changed_key_is_noticed() {
        assert_eq!(Secret::new("a".to_owned()), Secret::new("a".to_owned()));
        assert_ne!(Secret::new("a".to_owned()), Secret::new("b".to_owned()));
    }
}
