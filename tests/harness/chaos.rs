//! A TCP proxy on loopback that stands for the network between one process and the server behind it.
//!
//! ```text
//!   client -> accept -> [ reader -> queue -> writer ] -> server      and the same the other way
//!                                              ^ waits in a black hole, and as long as a delay says
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// Largest piece that is read at once, bytes.
const PIECE: usize = 16 << 10;
/// Pieces under way in one direction of one connection: 4 MB. Then nothing more is read and the sender feels it, as
/// it would feel a full window.
const QUEUED: usize = 256;

/// Behaviour of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Pass,
    /// Connections are closed, and new ones as soon as they are there.
    Cut,
    /// Connections stay and are accepted, and nothing gets through in either direction, not even a connection's end.
    /// Waiting bytes get through when the network heals.
    BlackHole,
    /// Everything takes this much longer, each way.
    Delay(Duration),
    /// Bytes of the server take this much longer; the way to it does not.
    Late(Duration),
}

/// The proxy. Ends when dropped, with all its connections.
pub struct Chaos {
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Chaos {
    /// In front of `server`, on a port of loopback that the system picks.
    pub async fn before(server: SocketAddr) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), server).await
    }

    /// In front of `server`, listening at `address`.
    pub async fn at(address: SocketAddr, server: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, seen) = watch::channel(Mode::Pass);
        Self { address, mode, task: tokio::spawn(accept(listener, server, seen)) }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn heal(&self) {
        self.set(Mode::Pass);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mode: watch::Receiver<Mode>) {
    // Dropped with this task, and then they end too.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(carry(client, server, mode.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until both directions have ended or the network is cut.
async fn carry(client: TcpStream, server: SocketAddr, mode: watch::Receiver<Mode>) {
    let mut cut = mode.clone();
    let both = async {
        let _ = Way { mode: mode.clone(), down: false }.open().await;
        let Ok(server) = TcpStream::connect(server).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let (up, down) = (Way { mode: mode.clone(), down: false }, Way { mode, down: true });
        tokio::join!(pump(from_client, to_server, up), pump(from_server, to_client, down));
    };
    tokio::select! {
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
        () = both => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way) {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUED);
    let read = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            if queue.send((Instant::now(), piece[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((arrived, piece)) = queued.recv().await {
            let Some(delay) = way.open().await else { return };
            tokio::time::sleep_until(arrived + delay).await;
            // It may have closed during the delay.
            if way.open().await.is_none() || to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = way.open().await;
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// One direction of a connection.
struct Way {
    mode: watch::Receiver<Mode>,
    /// From the server to the client.
    down: bool,
}

impl Way {
    /// Waits until something gets through; how long it takes then. `None` when the proxy has ended.
    async fn open(&mut self) -> Option<Duration> {
        match *self.mode.wait_for(|mode| *mode != Mode::BlackHole).await.ok()? {
            Mode::Delay(delay) => Some(delay),
            Mode::Late(delay) if self.down => Some(delay),
            _ => Some(Duration::ZERO),
        }
    }
}
