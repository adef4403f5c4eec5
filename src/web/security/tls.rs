//! TLS of the listener, and of the health check that asks it. Only this file of `web` names rustls.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme, SupportedProtocolVersion, version,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

use super::SecurityError;
#[cfg(test)]
use super::file;
use super::file::{Curve, Pem, TlsConfig, Version};
use crate::web::connection::OverTcp;

/// Largest file of certificates or keys that is read, in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// What is needed to speak TLS to a client.
pub(in crate::web) struct Tls {
    acceptor: TlsAcceptor,
    authorities: Vec<CertificateDer<'static>>,
}

impl Tls {
    /// Reads the files of `config`. With `lenient`, a client that must have a certificate may do without one for the
    /// handshake; whether it gets an answer is then decided per request. One it does send must be good all the same.
    ///
    /// # Errors
    /// One line that names the key and the file, when something cannot be read or does not fit together.
    pub(super) fn new(config: &TlsConfig, lenient: bool) -> Result<Self, SecurityError> {
        let provider = Arc::new(provider(config));
        let versions: Vec<&'static SupportedProtocolVersion> =
            [(Version::Tls12, &version::TLS12), (Version::Tls13, &version::TLS13)]
                .into_iter()
                .filter(|(version, _)| (config.min..=config.max).contains(version))
                .map(|(_, version)| version)
                .collect();
        let at = config.certificate.place();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| SecurityError(format!("{at}: {error}")))?;
        let mut authorities = Vec::new();
        let builder = match &config.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let at = clients.authorities.place();
                let mut roots = RootCertStore::empty();
                authorities = certificates(&clients.authorities)?;
                for certificate in &authorities {
                    roots.add(certificate.clone()).map_err(|error| {
                        SecurityError(format!("{at}: cannot be used to verify clients: {error}"))
                    })?;
                }
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if !clients.required || lenient {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| SecurityError(format!("{at}: {error}")))?;
                builder.with_client_cert_verifier(match &clients.allowed_names {
                    None => verifier,
                    Some(allowed) => Arc::new(Named { verifier, allowed: allowed.clone() }),
                })
            }
        };
        let key = PrivateKeyDer::from_pem_slice(&config.key.read()?)
            .map_err(|_| SecurityError(format!("{}: holds no private key in PEM", config.key.place())))?;
        let mut server = builder.with_single_cert(certificates(&config.certificate)?, key).map_err(
            |error| match error {
                Error::InconsistentKeys(_) => {
                    SecurityError(format!("{at}: the key is not that of this certificate"))
                }
                error => SecurityError(format!("{at}: certificate and key cannot be used: {error}")),
            },
        )?;
        // A resumed session is one whose certificate nobody looks at again. Scrapers keep their connections instead.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.ignore_client_order = config.server_order;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), authorities })
    }

    /// The certificates that those of clients must be signed by.
    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// Shakes hands. Also says whether the client has shown a certificate, which is then a good one.
    pub(in crate::web) async fn accept<S>(&self, stream: S) -> io::Result<(server::TlsStream<S>, bool)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor.accept(stream).await?;
        let verified = stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
        Ok((stream, verified))
    }
}

impl OverTcp for server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

fn provider(config: &TlsConfig) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !config.cipher_suites.is_empty() {
        let (older, mut chosen): (Vec<_>, Vec<_>) = provider
            .cipher_suites
            .into_iter()
            .partition(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_2);
        for name in &config.cipher_suites {
            chosen.extend(older.iter().find(|suite| suite.suite().as_str() == Some(name)));
        }
        provider.cipher_suites = chosen;
    }
    if !config.curves.is_empty() {
        provider.kx_groups = config
            .curves
            .iter()
            .map(|curve| match curve {
                Curve::X25519 => ring::kx_group::X25519,
                Curve::P256 => ring::kx_group::SECP256R1,
                Curve::P384 => ring::kx_group::SECP384R1,
            })
            .collect();
    }
    provider
}

impl Pem {
    fn place(&self) -> &str {
        match self {
            Self::Inline { place, .. } | Self::File { place, .. } => place,
        }
    }

    fn read(&self) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
        match self {
            Self::Inline { text, .. } => Ok(Zeroizing::new(text.clone().into_bytes())),
            Self::File { place, path } => {
                let mut bytes = Zeroizing::new(Vec::new());
                let unreadable =
                    |error: io::Error| SecurityError(format!("{place}: cannot be read: {error}"));
                if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
                    return Err(SecurityError(format!("{place}: is not a regular file")));
                }
                let file = File::open(path).map_err(unreadable)?;
                file.take(MAX_PEM_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
                Ok(bytes)
            }
        }
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let bytes = pem.read()?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(SecurityError(format!("{}: holds no certificate in PEM", pem.place()))),
    }
}

/// Lets in whom `verifier` lets in, if the certificate bears one of the allowed names.
#[derive(Debug)]
struct Named {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        match names(end_entity).iter().any(|name| self.allowed.contains(name)) {
            true => Ok(verified),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
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

/// Speaks TLS to whoever is there, believing any certificate. For asking a question of which question and answer are
/// no secret.
///
/// # Errors
/// When the other end does not agree to a handshake.
pub(in crate::web) async fn unverified<S>(stream: S, address: IpAddr) -> io::Result<client::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Whoever(provider)))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(address.into()), stream).await
}

#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn every_suite_of_the_file_is_one_that_is_spoken() {
        let known = ring::default_provider().cipher_suites;
        for name in file::CIPHER_SUITES {
            assert!(known.iter().any(|suite| suite.suite().as_str() == Some(name)), "{name}");
        }
        let older = known.iter().filter(|suite| suite.version().version == rustls::ProtocolVersion::TLSv1_2);
        assert_eq!(older.count(), file::CIPHER_SUITES.len());
    }

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
}
