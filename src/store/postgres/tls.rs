//! TLS to the database: rustls with ring, the name verified.

use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
pub(super) use tokio_rustls::client::TlsStream;

use crate::privacy::shown;

/// Largest file of authorities that is read, in bytes.
const MAX_AUTHORITIES: u64 = 1 << 20;

/// Verifies the server against a set of authorities.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// With the authorities of a PEM file, or with Mozilla's.
    ///
    /// # Errors
    /// One line that names the file.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => {
                roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
            }
            Some(path) => {
                for certificate in read(path)? {
                    roots.add(certificate).map_err(|_| {
                        refuse(path, "holds a certificate that cannot be used as an authority")
                    })?;
                }
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls(Arc::new(config)))
    }

    /// The handshake with the server of this name.
    pub(super) fn handshake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        host: &str,
        socket: S,
    ) -> Pin<Box<dyn Future<Output = io::Result<TlsStream<S>>> + Send>> {
        let (connector, name) = (TlsConnector::from(Arc::clone(&self.0)), host.to_owned());
        Box::pin(async move {
            let name = ServerName::try_from(name).map_err(|_| {
                io::Error::new(ErrorKind::InvalidInput, "the host is no name that a certificate can have")
            })?;
            connector.connect(name, socket).await
        })
    }
}

fn refuse(path: &Path, why: &str) -> String {
    format!("--state.ca-file {}: {why}", shown(path))
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error: io::Error| refuse(path, &format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_AUTHORITIES).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|_| refuse(path, "is not a PEM file of certificates"))?;
    match certificates.is_empty() {
        true => Err(refuse(
            path,
            "holds no certificate; name the PEM file of the authority that signed the server's",
        )),
        false => Ok(certificates),
    }
}
