//! Which certificates of cameras are trusted.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::error::SourceError;

/// TLS as a link wants it: with the certificates that this machine trusts, or with any when `insecure`.
///
/// # Errors
/// [`SourceError::Pipeline`] when the system's store cannot be read at all.
pub async fn config(insecure: bool) -> Result<Arc<ClientConfig>, SourceError> {
    static TRUSTING: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    static CHECKING: OnceCell<Arc<ClientConfig>> = OnceCell::const_new();
    let made = if insecure {
        TRUSTING.get_or_try_init(async || any()).await
    } else {
        CHECKING.get_or_try_init(async || with_roots(system_roots().await)).await
    };
    made.cloned().map_err(|error| {
        tracing::error!(repeats = true, %error, "TLS to cameras does not work");
        SourceError::Pipeline
    })
}

/// The system's store; hundreds of files, so it is read off the async threads, once.
async fn system_roots() -> RootCertStore {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.unwrap_or_default();
    if loaded.certs.is_empty() {
        tracing::warn!(repeats = true, "this machine trusts no certificate at all (is ca-certificates installed?)");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    roots
}

/// TLS that trusts `roots`.
pub(super) fn with_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(Arc::new(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth()))
}

fn any() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.clone()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// Trusts every peer. Signatures are not checked either: they would prove that the certificate is the camera's,
/// and any is taken. So certificates that no library reads do not matter.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
