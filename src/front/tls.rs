//! TLS of our own, from a certificate and a key file. TLS 1.2 and 1.3, the library's own choice of suites (L-01).
use crate::error::{Code, Error, Result};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain with its key, ready to accept connections.
#[derive(Clone)]
pub struct Tls(pub(super) TlsAcceptor);

impl Tls {
    /// Fails with `config_invalid`, naming the file, where one cannot be read or the two do not fit.
    pub fn load(cert: &Path, key: &Path) -> Result<Self> {
        let wrong = |what: &str, path: &Path| {
            Error::new(Code::ConfigInvalid, format!("{what} {} cannot be used", path.display()))
                .next("Give a PEM file: the certificate with its chain, and its private key.")
        };
        let chain = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|_| wrong("the certificate", cert))?;
        if chain.is_empty() {
            return Err(wrong("the certificate", cert));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|_| wrong("the key", key))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| wrong("TLS with", cert))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|_| wrong("the key", key))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
