//! Stands between an RTSP client and a camera when the client cannot be trusted with the network.
//!
//! ```text
//! rtspsrc or retina <-> loopback <-> Tunnel <-> TCP or TLS <-> camera
//! ```
//!
//! rtspsrc follows redirections by itself, looks names up by itself, sends reports to whatever address a camera names,
//! and reports failures as sentences. Behind a tunnel it knows no other address than the loopback's: the address
//! that was checked is the one that is connected to, a redirection never reaches it, and the camera's answer is known
//! by its number. And retina, which has no TLS, gets it here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::answers::{Answers, Stop};
use super::connect::{Duplex, Peer};
use super::error::SourceError;

/// Clients connect again when a camera ends the connection after asking for a password, or in the middle of a session
/// over UDP. More often, the session has ended.
const MAX_CONNECTIONS: usize = 8;
/// Most bytes read at once, each way.
const CHUNK: usize = 64 * 1024;
/// A client that has gone may leave a TEARDOWN behind; its answer is waited for that long.
const LINGER: Duration = Duration::from_secs(1);

/// Observations of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelState {
    /// The status of the newest answer.
    pub status: Option<u16>,
    /// The camera ended a connection.
    pub ended: bool,
    /// Nothing passes any more.
    pub over: Option<Over>,
}

/// Why nothing passes any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    Stopped(Stop),
    /// The camera was not reached again.
    Failed(SourceError),
}

/// A way to one camera for one session. Dropped, it is closed.
pub struct Tunnel {
    /// In the link's place.
    url: Url,
    seen: watch::Receiver<TunnelState>,
    task: AbortOnDropHandle<()>,
}

impl Tunnel {
    /// Connects to the camera and waits for a client at [`Self::url`]. `link` gives path and query, `connect` is the
    /// deadline of each step of connecting.
    ///
    /// # Errors
    /// [`SourceError`] when the camera cannot be connected to.
    pub async fn open(peer: Peer, link: &Url, connect: Duration) -> Result<Self, SourceError> {
        let camera = peer.connect(connect).await?;
        let local = |error: io::Error| {
            tracing::error!(repeats = true, %error, "no port on the loopback for a camera");
            SourceError::Pipeline
        };
        // An address of the camera's family: rtspsrc takes the one of its datagrams from it.
        let loopback = match peer.address() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        let listener = TcpListener::bind((loopback, 0)).await.map_err(local)?;
        let address = listener.local_addr().map_err(local)?;
        // The scheme of the link may be another, which the url crate does not change in place.
        let path = &link[url::Position::BeforePath..url::Position::AfterQuery];
        let url = Url::parse(&format!("rtsp://{address}{path}")).map_err(|_| SourceError::Pipeline)?;
        let (teller, seen) = watch::channel(TunnelState::default());
        let task = AbortOnDropHandle::new(tokio::spawn(run(listener, camera, peer, connect, teller)));
        Ok(Self { url, seen, task })
    }

    /// Where the client connects to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The observations until now.
    pub fn seen(&self) -> TunnelState {
        self.seen.borrow().clone()
    }

    /// Resolves when nothing passes any more. Cancel safe.
    pub async fn over(&mut self) -> Over {
        let ended = || Over::Failed(SourceError::Ended);
        match self.seen.wait_for(|seen| seen.over.is_some()).await {
            Ok(seen) => seen.over.clone().unwrap_or_else(ended),
            Err(_) => ended(),
        }
    }

    /// Lets the client's one connection go on without an owner. It ends when either side ends it.
    pub fn detach(self) {
        drop(self.task.detach());
    }
}

/// Serves one client after another, until `teller` has no receiver and the connection is over.
async fn run(
    listener: TcpListener,
    first: Box<dyn Duplex>,
    peer: Peer,
    connect: Duration,
    teller: watch::Sender<TunnelState>,
) {
    let mut camera = Some(first);
    // It is reported before the client can see that its connection has ended.
    let end = |over: Over| teller.send_modify(|seen| _ = seen.over.get_or_insert(over));
    for _ in 0..MAX_CONNECTIONS {
        // The owner's deadline ends this wait.
        let Ok((mut client, _)) = listener.accept().await else { break };
        let connected = match camera.take() {
            Some(camera) => Ok(camera),
            None => peer.connect(connect).await,
        };
        let passed = match connected {
            Ok(mut camera) => pass(&mut client, &mut *camera, peer.address(), &teller).await,
            Err(error) => Err(Over::Failed(error)),
        };
        if let Err(over) = passed {
            end(over);
            break;
        }
        if teller.is_closed() {
            return;
        }
    }
    end(Over::Failed(SourceError::Ended));
    // The port stays taken as long as the client may try it again with its credentials.
    teller.closed().await;
}

/// Passes bytes both ways until one side ends.
async fn pass(
    client: &mut TcpStream,
    camera: &mut dyn Duplex,
    address: IpAddr,
    teller: &watch::Sender<TunnelState>,
) -> Result<(), Over> {
    // Fails on a socket that is gone, which reading reports.
    let _ = client.set_nodelay(true);
    let mut answers = Answers::new(address);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_camera, mut to_camera) = tokio::io::split(camera);
    let up = async {
        let copied = tokio::io::copy(&mut from_client, &mut to_camera).await;
        // However it ended, nothing more goes up; the camera may have an answer left.
        let _ = to_camera.shutdown().await;
        if copied.is_ok() {
            tokio::time::sleep(LINGER).await;
        }
    };
    let down = async {
        let (mut chunk, mut out) = (vec![0; CHUNK], Vec::with_capacity(CHUNK));
        let mut status = None;
        loop {
            let read = from_camera.read(&mut chunk).await.unwrap_or(0);
            if read == 0 {
                teller.send_modify(|seen| seen.ended = true);
                // It ends all the same when the client has gone.
                let _ = to_client.shutdown().await;
                return Ok(());
            }
            out.clear();
            let taken = answers.take(&chunk[..read], &mut out);
            if answers.status() != status {
                status = answers.status();
                teller.send_modify(|seen| seen.status = status);
            }
            taken.map_err(Over::Stopped)?;
            if to_client.write_all(&out).await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::select! {
        () = up => Ok(()),
        passed = down => passed,
    }
}
