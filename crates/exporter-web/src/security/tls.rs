//! TLS of the listener, and of the health check that asks it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme, SupportedProtocolVersion,
    version,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::SecurityError;
use super::clients::{self, CertificateExpiry, ClientVerifier};
#[cfg(test)]
use super::file;
use super::file::{Curve, Pem, TlsConfig, Version};
use crate::limits::MAX_CERTIFICATES;
use crate::tcp::OverTcp;

/// What is needed to speak TLS to a client.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    authorities: Vec<CertificateDer<'static>>,
    expiries: Vec<CertificateExpiry>,
}

impl Tls {
    /// With `lenient`, a client that must have a certificate may do without one for the handshake; whether it gets an
    /// answer is then decided per request. One it does send must be good all the same.
    ///
    /// # Errors
    /// One line that names the key and the file, when something does not fit together or has expired.
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
        let chain = certificates(&config.certificate)?;
        let mut expiries = clients::expiries("server", &chain);
        if expiries.first().is_some_and(|first| first.at <= clients::now()) {
            tracing::warn!(certificate = at, "the server's certificate has expired");
        }
        let mut authorities = Vec::new();
        let builder = match &config.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                authorities = certificates(&clients.authorities)?;
                expiries.extend(clients::expiries("client_ca", &authorities));
                let optional = !clients.required || lenient;
                let place = clients.authorities.place();
                let names = clients.allowed_names.clone();
                builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(
                    &authorities,
                    provider,
                    optional,
                    names,
                    place,
                )?))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(config.key.bytes())
            .map_err(|_| SecurityError(format!("{}: holds no private key in PEM", config.key.place())))?;
        let mut server = builder.with_single_cert(chain, key).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                SecurityError(format!("{at}: the key is not that of this certificate"))
            }
            error => SecurityError(format!("{at}: certificate and key cannot be used: {error}")),
        })?;
        // Resumption skips certificate verification. Scrapers keep their connections instead.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.ignore_client_order = config.server_order;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), authorities, expiries })
    }

    /// The certificates that those of clients must be signed by.
    pub(super) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    /// When its certificates expire, those of client authorities included.
    pub(super) fn expiries(&self) -> &[CertificateExpiry] {
        &self.expiries
    }

    /// Shakes hands. Also says whether the client has shown a certificate, which is then a good one.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<(server::TlsStream<S>, bool)>
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

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let read: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem.bytes()).take(MAX_CERTIFICATES + 1).collect();
    match read {
        Ok(certificates) if certificates.len() > MAX_CERTIFICATES => {
            Err(SecurityError(format!("{}: holds more than {MAX_CERTIFICATES} certificates", pem.place())))
        }
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(SecurityError(format!("{}: holds no certificate in PEM", pem.place()))),
    }
}

/// Speaks TLS without verifying the certificate of the other end. For a question of which neither question nor answer is
/// a secret.
///
/// # Errors
/// When the other end does not agree to a handshake.
pub(crate) async fn unverified<S>(stream: S, address: IpAddr) -> io::Result<client::TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAnyServerCert(provider)))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(address.into()), stream).await
}

#[derive(Debug)]
struct AcceptAnyServerCert(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyServerCert {
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
}
