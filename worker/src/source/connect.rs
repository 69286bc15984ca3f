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
    /// How, and whom the certificate must name.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Peer {
    /// The camera of `url` at `address`, which was checked and is what is connected to. Its certificate is held
    /// against the name in the link.
    ///
    /// # Errors
    /// [`SourceError::NameNotFound`] for a host that no certificate can name.
    pub fn new(url: &CameraUrl, address: IpAddr, tls: Option<Arc<ClientConfig>>) -> Result<Self, SourceError> {
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        let named = |config| {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| SourceError::NameNotFound)?;
            Ok((config, name))
        };
        Ok(Self { address: SocketAddr::new(address, url.port()), tls: tls.map(named).transpose()? })
    }

    /// What is connected to.
    pub fn address(&self) -> IpAddr {
        self.address.ip()
    }

    /// Connects, and shakes hands when there is TLS; `deadline` is for each.
    ///
    /// # Errors
    /// [`SourceError`] tells refused, unreachable, silent and untrusted cameras apart.
    pub async fn connect(&self, deadline: Duration) -> Result<Box<dyn Duplex>, SourceError> {
        let late = |_| SourceError::NoAnswer(deadline);
        let connected = tokio::time::timeout(deadline, TcpStream::connect(self.address)).await.map_err(late)?;
        let stream = connected.map_err(|error| meaning(&error))?;
        // Requests are small and each waits for its answer. Fails on a socket that is gone, which reading tells.
        let _ = stream.set_nodelay(true);
        let Some((config, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let handshake = TlsConnector::from(config.clone()).connect(name.clone(), stream);
        let shaken = tokio::time::timeout(deadline, handshake).await.map_err(late)?;
        Ok(Box::new(shaken.map_err(|error| tls_meaning(&error))?))
    }
}

fn meaning(error: &io::Error) -> SourceError {
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
