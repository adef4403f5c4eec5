//! The part of a web configuration file that is about TLS.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::SecurityError;
use super::{Reading, Text};
use crate::files;
use crate::limits::MAX_PEM_BYTES;
use crate::privacy::shown;

/// Suites of TLS 1.2 that are supported, by the names Go has for them.
pub(in crate::security) const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
/// Suites of TLS 1.3 as Go names them. Go does not let them be chosen; nor do we.
const CIPHER_SUITES_1_3: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    cert: Option<Text>,
    key: Option<Text>,
    client_ca: Option<Text>,
    cert_file: Option<Text>,
    key_file: Option<Text>,
    client_auth_type: Option<Text>,
    client_ca_file: Option<Text>,
    client_allowed_sans: Option<Vec<Text>>,
    min_version: Option<Text>,
    max_version: Option<Text>,
    cipher_suites: Option<Vec<Text>>,
    prefer_server_cipher_suites: Option<Text>,
    curve_preferences: Option<Vec<Text>>,
}

pub(in crate::security) struct TlsConfig {
    pub(in crate::security) certificate: Pem,
    pub(in crate::security) key: Pem,
    /// Certificates that sign those of clients, and whether a client must have one. `None`: clients are not asked.
    pub(in crate::security) clients: Option<ClientConfig>,
    pub(in crate::security) min: Version,
    pub(in crate::security) max: Version,
    /// Names out of [`CIPHER_SUITES`], in order of preference. Empty: all that are supported.
    pub(in crate::security) cipher_suites: Vec<String>,
    pub(in crate::security) server_order: bool,
    /// In order of preference. Empty: all that are supported.
    pub(in crate::security) curves: Vec<Curve>,
}

pub(in crate::security) struct ClientConfig {
    pub(in crate::security) authorities: Pem,
    pub(in crate::security) required: bool,
    /// `None`: any certificate that the authorities signed will do.
    pub(in crate::security) allowed_names: Option<Vec<String>>,
}

/// PEM text, and the file that it is read from, if any.
pub(in crate::security) struct Pem {
    /// How an error names it.
    place: String,
    pub(super) path: Option<PathBuf>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Pem {
    pub(in crate::security) fn place(&self) -> &str {
        &self.place
    }

    /// Empty until [`WebConfig::load`] has read the file.
    pub(in crate::security) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn load(&mut self) -> Result<(), SecurityError> {
        if let Some(path) = &self.path {
            let read = files::read_with_reason(path, MAX_PEM_BYTES);
            self.bytes = read.map_err(|why| SecurityError(format!("{}: {why}", self.place)))?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::security) enum Version {
    Tls12,
    Tls13,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::security) enum Curve {
    X25519,
    P256,
    P384,
}

impl Reading<'_> {
    pub(super) fn tls(&self, section: TlsSection) -> Result<Option<TlsConfig>, SecurityError> {
        let TlsSection {
            cert, key, client_ca, cert_file, key_file, client_auth_type, client_ca_file, ..
        } = &section;
        let is_empty = [cert, key, client_ca, cert_file, key_file, client_auth_type, client_ca_file]
            .iter()
            .all(|text| text.is_none())
            && section.client_allowed_sans.is_none()
            && section.min_version.is_none()
            && section.max_version.is_none()
            && section.cipher_suites.is_none()
            && section.prefer_server_cipher_suites.is_none()
            && section.curve_preferences.is_none();
        if is_empty {
            return Ok(None);
        }
        let certificate = self.pem(cert.as_ref(), cert_file.as_ref(), "cert")?;
        let key = self.pem(key.as_ref(), key_file.as_ref(), "key")?;
        let missing = |key: &str| self.whole(&format!("tls_server_config: add {key}_file, or {key}"));
        let certificate = certificate.ok_or_else(|| missing("cert"))?;
        let key = key.ok_or_else(|| missing("key"))?;
        let clients = self.clients(&section)?;
        let min = self.version(section.min_version.as_ref(), "min_version", Version::Tls12)?;
        let max = self.version(section.max_version.as_ref(), "max_version", Version::Tls13)?;
        if min > max {
            return Err(self.whole("min_version is above max_version; exchange them"));
        }
        let server_order = match &section.prefer_server_cipher_suites {
            Some(text) => self.truth(text, "prefer_server_cipher_suites")?,
            None => true,
        };
        Ok(Some(TlsConfig {
            certificate,
            key,
            clients,
            min,
            max,
            cipher_suites: self.cipher_suites(section.cipher_suites.unwrap_or_default(), min)?,
            server_order,
            curves: self.curves(section.curve_preferences.unwrap_or_default())?,
        }))
    }

    fn pem(
        &self,
        inline: Option<&Text>,
        file: Option<&Text>,
        key: &str,
    ) -> Result<Option<Pem>, SecurityError> {
        let blank = |text: &&Text| !text.value.trim().is_empty();
        match (inline.filter(blank), file.filter(blank)) {
            (Some(text), Some(_)) => Err(self.refuse(text, format!("give {key} or {key}_file, not both"))),
            (Some(text), None) => Ok(Some(Pem {
                place: format!("{}: {key}", self.place(text)),
                path: None,
                bytes: Zeroizing::new(text.value.clone().into_bytes()),
            })),
            (None, Some(text)) => {
                let path = self.path.parent().unwrap_or(Path::new("")).join(&text.value);
                Ok(Some(Pem {
                    place: format!("{}: {key}_file {}", self.place(text), shown(&path)),
                    path: Some(path),
                    bytes: Zeroizing::default(),
                }))
            }
            (None, None) => Ok(None),
        }
    }

    fn clients(&self, section: &TlsSection) -> Result<Option<ClientConfig>, SecurityError> {
        let authorities =
            self.pem(section.client_ca.as_ref(), section.client_ca_file.as_ref(), "client_ca")?;
        let required = match section.client_auth_type.as_ref().map(|text| (text, text.value.as_str())) {
            None | Some((_, "" | "NoClientCert")) => None,
            Some((_, "VerifyClientCertIfGiven")) => Some(false),
            Some((_, "RequireAndVerifyClientCert")) => Some(true),
            Some((text, "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert")) => {
                return Err(self.refuse(
                    text,
                    "client_auth_type: this one accepts certificates without verification and is not \
                     supported; write RequireAndVerifyClientCert",
                ));
            }
            Some((text, _)) => {
                return Err(self.refuse(
                    text,
                    "client_auth_type: not one of NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert",
                ));
            }
        };
        if let Some(sans) = &section.client_allowed_sans {
            let Some(first) = sans.first() else {
                return Err(
                    self.whole("client_allowed_sans is an empty list, which rejects every client; remove it")
                );
            };
            if required != Some(true) {
                return Err(self.refuse(
                    first,
                    "client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert",
                ));
            }
        }
        let allowed_names = section
            .client_allowed_sans
            .as_ref()
            .map(|sans| sans.iter().map(|san| san.value.clone()).collect());
        match (required, authorities) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.whole(
                "client_ca has no effect without client_auth_type; write RequireAndVerifyClientCert, or remove it",
            )),
            (Some(_), None) => {
                Err(self.whole("client_auth_type needs client_ca_file, or client_ca, to verify certificates with"))
            }
            (Some(required), Some(authorities)) => {
                Ok(Some(ClientConfig { authorities, required, allowed_names }))
            }
        }
    }

    fn version(&self, text: Option<&Text>, key: &str, default: Version) -> Result<Version, SecurityError> {
        let Some(text) = text else { return Ok(default) };
        match text.value.as_str() {
            "TLS12" => Ok(Version::Tls12),
            "TLS13" => Ok(Version::Tls13),
            "TLS10" | "TLS11" => Err(self
                .refuse(text, format!("{key}: versions older than TLS 1.2 are not supported; write TLS12"))),
            _ => Err(self.refuse(text, format!("{key}: not one of TLS12, TLS13"))),
        }
    }

    fn cipher_suites(&self, listed: Vec<Text>, min: Version) -> Result<Vec<String>, SecurityError> {
        for text in &listed {
            let name = text.value.as_str();
            if CIPHER_SUITES_1_3.contains(&name) {
                return Err(self.refuse(
                    text,
                    "cipher_suites: those of TLS 1.3 cannot be chosen, they are always on; remove it from the list",
                ));
            }
            if !CIPHER_SUITES.contains(&name) {
                let known = CIPHER_SUITES.join(", ");
                return Err(self.refuse(text, format!("cipher_suites: not supported; choose from: {known}")));
            }
            if min == Version::Tls13 {
                return Err(self.refuse(
                    text,
                    "cipher_suites are those of TLS 1.2, which min_version: TLS13 shuts out; remove one of the two",
                ));
            }
        }
        Ok(listed.into_iter().map(|text| text.value).collect())
    }

    fn curves(&self, listed: Vec<Text>) -> Result<Vec<Curve>, SecurityError> {
        let mut curves = Vec::new();
        for text in listed {
            curves.push(match text.value.as_str() {
                "X25519" => Curve::X25519,
                "CurveP256" => Curve::P256,
                "CurveP384" => Curve::P384,
                _ => {
                    let why = "curve_preferences: not supported; choose from: X25519, CurveP256, CurveP384";
                    return Err(self.refuse(&text, why));
                }
            });
        }
        Ok(curves)
    }
}
