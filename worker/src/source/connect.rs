//! The connection to a camera: an address that was checked, with or without TLS, within a deadline.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::camera_link::CameraUrl;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::error::SourceError;

/// Bytes to and from a camera.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Whom to connect to.
#[derive(Clone)]
pub struct Peer {
    address: SocketAddr,
    /// TLS configuration, and the name that the certificate must have.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Peer {
    /// The camera of `url` at `address`, which was checked. Its certificate is held
    /// against the name in the link.
    ///
    /// # Errors
    /// [`SourceError::NameNotFound`] for a host that no certificate can name.
    pub fn new(url: &CameraUrl, address: IpAddr, tls: Option<Arc<ClientConfig>>) -> Result<Self, SourceError> {
        let host = url.bare_host();
        let named = |config| {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| SourceError::NameNotFound)?;
            Ok((config, name))
        };
        Ok(Self { address: SocketAddr::new(address, url.port()), tls: tls.map(named).transpose()? })
    }

    /// The address that is connected to.
    pub fn address(&self) -> IpAddr {
        self.address.ip()
    }

    /// Connects, and shakes hands when there is TLS; `deadline` is for each.
    ///
    /// # Errors
    /// [`SourceError`] distinguishes refused, unreachable, silent and untrusted cameras.
    pub async fn connect(&self, deadline: Duration) -> Result<Box<dyn Duplex>, SourceError> {
        let late = |_| SourceError::NoAnswer(deadline);
        let connected = tokio::time::timeout(deadline, TcpStream::connect(self.address)).await.map_err(late)?;
        let stream = connected.map_err(|error| meaning(&error))?;
        // Requests are small and each waits for its answer. Fails on a socket that is gone, which reading reports.
        let _ = stream.set_nodelay(true);
        let Some((config, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let handshake = TlsConnector::from(config.clone()).connect(name.clone(), stream);
        let shaken = tokio::time::timeout(deadline, handshake).await.map_err(late)?;
        Ok(Box::new(shaken.map_err(|error| tls_meaning(&error))?))
    }
}

pub(super) fn meaning(error: &io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SourceError::Refused,
        io::ErrorKind::ConnectionReset => SourceError::Ended,
        // No route, no network, a firewall that says so, and the kernel's own time limit.
        _ => SourceError::Unreachable,
    }
}

fn tls_meaning(error: &io::Error) -> SourceError {
    use tokio_rustls::rustls::Error;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => SourceError::Tls,
        _ => SourceError::TlsHandshake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tls::with_roots;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

    /// A server with a certificate for `camera.test`, and a configuration that trusts it.
    async fn camera() -> (u16, Arc<ClientConfig>) {
        let made = rcgen::generate_simple_self_signed(["camera.test".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The client decides about the certificate.
                let _ = TlsAcceptor::from(Arc::new(server.clone())).accept(stream).await;
            }
        });
        (port, with_roots(roots).unwrap())
    }

    #[tokio::test]
    async fn a_certificate_is_held_against_the_name_and_not_the_address() {
        let (port, trusting) = camera().await;
        let untrusting = with_roots(RootCertStore::empty()).unwrap();
        for (host, config, want) in [
            ("camera.test", &trusting, None),
            ("other.test", &trusting, Some(SourceError::Tls)),
            ("127.0.0.1", &trusting, Some(SourceError::Tls)),
            ("camera.test", &untrusting, Some(SourceError::Tls)),
        ] {
            let url = CameraUrl::parse(&format!("rtsps://{host}:{port}/")).unwrap().url;
            let peer = Peer::new(&url, "127.0.0.1".parse().unwrap(), Some(config.clone())).unwrap();
            assert_eq!(peer.connect(Duration::from_secs(10)).await.err(), want, "{host}");
        }
    }
}
