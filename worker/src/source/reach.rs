//! Finds out whether a camera can be reached, without a session and without credentials.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsm_shared::stream::camera_link::CameraUrl;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::connect::meaning;
use super::error::SourceError;
use super::resolve::{AddressPolicy, resolve};
use super::tls;

/// The addresses of a name are looked up again after this time; a failed lookup is not repeated for as long.
const NAMES_HOLD: Duration = Duration::from_secs(15);
/// Deadline of a lookup.
const LOOKUP: Duration = Duration::from_secs(2);
/// Lookups at a time. A lookup that is late keeps a thread of the system for up to 30 s, so 60 threads are the most.
const MAX_LOOKUPS: usize = 4;
/// Names that are remembered.
const MAX_NAMES: usize = 1024;
/// Any RTSP server answers it (RFC 2326 section 10.1), also one that wants credentials, which it does not get.
const OPTIONS: &[u8] =
    concat!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: rsm/", env!("CARGO_PKG_VERSION"), "\r\n\r\n").as_bytes();

type CheckedAddresses = Result<Vec<IpAddr>, SourceError>;

/// Reaches cameras, for all streams of a process. Cheap to clone.
#[derive(Clone)]
pub struct ReachProbe {
    policy: AddressPolicy,
    /// Answers for names, with their time; at most [`MAX_NAMES`].
    names: Arc<Mutex<HashMap<String, (Instant, CheckedAddresses)>>>,
    lookups: Arc<Semaphore>,
}

impl ReachProbe {
    /// Only addresses that `policy` allows are connected to.
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy, names: Arc::default(), lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// A TCP connection to the camera of `url`, within `deadline` for each of its addresses.
    ///
    /// # Errors
    /// [`SourceError`] of the last address that was tried.
    pub async fn connect(&self, url: &CameraUrl, deadline: Duration) -> Result<TcpStream, SourceError> {
        let mut failure = SourceError::NameNotFound;
        for address in self.addresses(url).await? {
            let connecting = TcpStream::connect(SocketAddr::new(address, url.port()));
            failure = match tokio::time::timeout(deadline, connecting).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => meaning(&error),
                Err(_) => SourceError::NoAnswer(deadline),
            };
        }
        Err(failure)
    }

    /// True when the camera behind `stream` says anything within `deadline`; with TLS, when it shakes hands.
    /// Certificates do not matter, because nothing is told to the peer.
    pub async fn answers(url: &CameraUrl, mut stream: TcpStream, deadline: Duration) -> bool {
        let answer = async {
            if url.scheme() != "rtsps" {
                stream.write_all(OPTIONS).await.ok()?;
                let mut first = [0; 1];
                return (stream.read(&mut first).await.ok()? > 0).then_some(());
            }
            let name = ServerName::try_from(url.bare_host().to_owned()).ok()?;
            TlsConnector::from(tls::config(true).await.ok()?).connect(name, stream).await.ok()?;
            Some(())
        };
        tokio::time::timeout(deadline, answer).await.ok().flatten().is_some()
    }

    /// Checked addresses of the camera.
    async fn addresses(&self, url: &CameraUrl) -> CheckedAddresses {
        if url.bare_host().parse::<IpAddr>().is_ok() {
            return resolve(url, &self.policy, LOOKUP).await;
        }
        if let Some(found) = self.known(url.host()) {
            return found;
        }
        // While the name server is away lookups are slow, and probes of cameras by address must not stand behind them.
        let Ok(Ok(_permit)) = tokio::time::timeout(LOOKUP, self.lookups.acquire()).await else {
            return Err(SourceError::NameNotFound);
        };
        // Another probe may have found it meanwhile.
        if let Some(found) = self.known(url.host()) {
            return found;
        }
        let found = resolve(url, &self.policy, LOOKUP).await;
        let mut names = self.names.lock();
        if names.len() >= MAX_NAMES {
            names.retain(|_, (at, _)| at.elapsed() < NAMES_HOLD);
        }
        if names.len() < MAX_NAMES {
            names.insert(url.host().to_owned(), (Instant::now(), found.clone()));
        }
        found
    }

    fn known(&self, host: &str) -> Option<CheckedAddresses> {
        let names = self.names.lock();
        names.get(host).filter(|(at, _)| at.elapsed() < NAMES_HOLD).map(|(_, found)| found.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LONG: Duration = Duration::from_secs(30);

    fn link(host: &str, port: u16) -> CameraUrl {
        CameraUrl::parse(&format!("rtsp://{host}:{port}/")).unwrap().url
    }

    #[tokio::test]
    async fn only_allowed_addresses_are_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let denied = ReachProbe::new(AddressPolicy::new(|_| false));
            let error = denied.connect(&link(host, port), LONG).await.unwrap_err();
            assert_eq!(error, SourceError::AddressDenied, "{host}");
            let allowed = ReachProbe::new(AddressPolicy::new(|ip| ip.is_loopback()));
            assert!(allowed.connect(&link(host, port), LONG).await.is_ok(), "{host}");
        }
        drop(listener);
        let any = ReachProbe::new(AddressPolicy::any());
        assert_eq!(any.connect(&link("127.0.0.1", port), LONG).await.unwrap_err(), SourceError::Refused);
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_for_many_probes() {
        let asked = Arc::new(Mutex::new(0));
        let counted = asked.clone();
        // Denied addresses are checked once for each lookup.
        let probe = ReachProbe::new(AddressPolicy::new(move |_| {
            *counted.lock() += 1;
            false
        }));
        let url = link("localhost", 1);
        let first = probe.connect(&url, LONG).await.unwrap_err();
        let once = *asked.lock();
        for _ in 0..10 {
            assert_eq!(probe.connect(&url, LONG).await.unwrap_err(), first);
        }
        assert_eq!(*asked.lock(), once);
    }

    #[tokio::test]
    async fn a_camera_answers_or_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = link("127.0.0.1", listener.local_addr().unwrap().port());
        let probe = ReachProbe::new(AddressPolicy::any());
        for answers in [true, false] {
            let stream = probe.connect(&url, LONG).await.unwrap();
            let (mut camera, _) = listener.accept().await.unwrap();
            let asked = tokio::spawn({
                let url = url.clone();
                async move { ReachProbe::answers(&url, stream, LONG).await }
            });
            let mut request = vec![0; OPTIONS.len()];
            camera.read_exact(&mut request).await.unwrap();
            assert!(!String::from_utf8(request).unwrap().contains("Authorization"));
            if answers {
                camera.write_all(b"RTSP/1.0 401 Unauthorized\r\n\r\n").await.unwrap();
            }
            drop(camera);
            assert_eq!(asked.await.unwrap(), answers);
        }
    }
}
