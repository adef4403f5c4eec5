//! Client certificates: signed by an authority that has not expired itself, and with one of the allowed names.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::SecurityError;

/// Accepts certificates of clients that an authority within its validity has signed, if they bear one of the allowed
/// names.
///
/// The library verifies the dates of every certificate but those of the authorities, so authorities that are outside of
/// theirs are left out here, at the time of each handshake: one may expire long after it was read.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    authorities: Vec<Authority>,
    provider: Arc<CryptoProvider>,
    optional: bool,
    allowed: Option<Vec<String>>,
    /// Made of all authorities, for everything that does not depend on the time.
    whole: Arc<dyn ClientCertVerifier>,
    current: ArcSwap<InForce>,
}

#[derive(Debug)]
struct Authority {
    certificate: CertificateDer<'static>,
    /// Unix seconds; both are part of the validity.
    from: u64,
    to: u64,
}

/// The verifier of the authorities that are valid now.
#[derive(Debug)]
struct InForce {
    /// Which ones these are.
    valid: Vec<bool>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl ClientVerifier {
    /// # Errors
    /// One line that names the file, when its certificates cannot sign those of clients or all of them have expired.
    pub(super) fn new(
        certificates: &[CertificateDer<'static>],
        provider: Arc<CryptoProvider>,
        optional: bool,
        allowed: Option<Vec<String>>,
        place: &str,
    ) -> Result<Self, SecurityError> {
        let unusable = |why: &str| SecurityError(format!("{place}: cannot be used to verify clients: {why}"));
        let dated = |certificate: &CertificateDer<'static>| {
            let (from, to) = validity(certificate).ok_or_else(|| unusable("its dates cannot be read"))?;
            Ok(Authority { certificate: certificate.clone(), from, to })
        };
        let authorities = certificates.iter().map(dated).collect::<Result<Vec<_>, _>>()?;
        let whole = verifier(authorities.iter(), &provider, optional).map_err(|why| unusable(&why))?;
        let now = UnixTime::now();
        let valid: Vec<bool> = authorities.iter().map(|authority| authority.is_valid(now)).collect();
        if !valid.contains(&true) {
            return Err(unusable("every certificate in it has expired or is not valid yet; renew it"));
        }
        if valid.contains(&false) {
            tracing::warn!(
                file = place,
                "client authorities that have expired or are not valid yet are ignored"
            );
        }
        let this = Self {
            authorities,
            provider,
            optional,
            allowed,
            whole,
            current: ArcSwap::from_pointee(InForce { valid: Vec::new(), verifier: None }),
        };
        this.at(now);
        Ok(this)
    }

    /// What is in force at a time.
    fn at(&self, now: UnixTime) -> Arc<InForce> {
        let current = self.current.load_full();
        let valid: Vec<bool> = self.authorities.iter().map(|authority| authority.is_valid(now)).collect();
        if current.valid == valid {
            return current;
        }
        let usable = self.authorities.iter().zip(&valid).filter(|(_, valid)| **valid);
        let verifier = verifier(usable.map(|(authority, _)| authority), &self.provider, self.optional).ok();
        let new = Arc::new(InForce { valid, verifier });
        self.current.store(Arc::clone(&new));
        new
    }
}

impl Authority {
    fn is_valid(&self, now: UnixTime) -> bool {
        (self.from..=self.to).contains(&now.as_secs())
    }
}

fn verifier<'a>(
    authorities: impl Iterator<Item = &'a Authority>,
    provider: &Arc<CryptoProvider>,
    optional: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.certificate.clone()).map_err(|error| error.to_string())?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| error.to_string())?;
    Ok(verifier)
}

impl ClientCertVerifier for ClientVerifier {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let current = self.at(now);
        let Some(verifier) = &current.verifier else { return Err(CertificateError::UnknownIssuer.into()) };
        let verified = verifier.verify_client_cert(end_entity, intermediates, now)?;
        match &self.allowed {
            Some(allowed) if !names(end_entity).iter().any(|name| allowed.contains(name)) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(verified),
        }
    }

    fn offer_client_auth(&self) -> bool {
        self.whole.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.whole.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.whole.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.whole.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.whole.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole.supported_verify_schemes()
    }
}

/// First and last second at which a certificate is valid.
fn validity(certificate: &CertificateDer<'_>) -> Option<(u64, u64)> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    Some((validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()))
}

/// When a certificate of the web configuration expires.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CertificateExpiry {
    /// Whose certificate it is, `server` or `client_ca`.
    pub role: &'static str,
    /// Its position in its file, from 1.
    pub position: usize,
    /// When it expires, in unix seconds.
    pub at: f64,
}

/// When certificates expire; those whose dates cannot be read are left out.
pub(super) fn expiries(role: &'static str, certificates: &[CertificateDer<'_>]) -> Vec<CertificateExpiry> {
    let dated = certificates.iter().zip(1..).filter_map(|(certificate, position)| {
        let (_, to) = validity(certificate)?;
        Some(CertificateExpiry { role, position, at: to as f64 })
    });
    dated.collect()
}

/// The current time in unix seconds.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64())
}

/// Subject alternative names of the kinds that Go reads: DNS, e-mail, IP address, URI. None when they cannot be read.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate().get_extension() else {
        return Vec::new();
    };
    let text = |name: GeneralName| match name {
        GeneralName::DnsName(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::UniformResourceIdentifier(text) => Some(text.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            [a, b, c, d] => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
            bytes => {
                let bytes: [u8; 16] = bytes.try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical().to_string())
            }
        },
        _ => None,
    };
    names.into_iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd};
    use rustls::crypto::ring;

    use super::*;

    #[test]
    fn names_are_read_as_go_writes_them() {
        let mut params = CertificateParams::new(vec!["scraper.example".to_owned()]).unwrap();
        params.subject_alt_names.extend([
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::Rfc822Name("who@example.com".try_into().unwrap()),
            SanType::URI("spiffe://example/scraper".try_into().unwrap()),
        ]);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(
            names(certificate.der()),
            ["scraper.example", "10.0.0.1", "2001:db8::1", "who@example.com", "spiffe://example/scraper"]
        );
        assert!(names(&CertificateDer::from(b"no certificate".to_vec())).is_empty());
    }

    #[test]
    fn an_authority_is_trusted_within_its_dates_only() {
        let authority = |until: i32| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(until, 1, 1);
            params.distinguished_name.push(rcgen::DnType::CommonName, until.to_string());
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            (certificate, Issuer::new(params, key))
        };
        let (short, short_issuer) = authority(2050);
        let (long, long_issuer) = authority(2070);
        let signed = |issuer: &Issuer<'_, KeyPair>| {
            let params = CertificateParams::new(vec!["scraper".to_owned()]).unwrap();
            params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
        };
        let (of_short, of_long) = (signed(&short_issuer), signed(&long_issuer));
        let provider = Arc::new(ring::default_provider());
        let both = [short.clone(), long];
        let verifier = ClientVerifier::new(&both, Arc::clone(&provider), false, None, "ca.pem").unwrap();
        let in_year = |year: u64| UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_000));
        let accepted =
            |certificate, year| verifier.verify_client_cert(certificate, &[], in_year(year)).is_ok();
        assert!(accepted(&of_short, 2040) && accepted(&of_long, 2040));
        assert!(!accepted(&of_short, 2060) && accepted(&of_long, 2060));
        assert!(!accepted(&of_short, 2080) && !accepted(&of_long, 2080));
        assert!(accepted(&of_short, 2040), "a clock that was wrong and is right again");

        let (expired, _) = authority(2020);
        let one = |certificates: &[CertificateDer<'static>]| {
            ClientVerifier::new(certificates, Arc::clone(&provider), false, None, "ca.pem")
        };
        let error = one(std::slice::from_ref(&expired)).unwrap_err().to_string();
        assert!(error.starts_with("ca.pem: ") && error.contains("expired"), "{error}");
        assert!(one(&[expired, short]).is_ok());
    }
}
