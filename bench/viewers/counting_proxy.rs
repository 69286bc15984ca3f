//! A proxy between the relay and a worker's files: passes everything on, and counts the relay's requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Longest request head that is understood, bytes.
const MAX_HEAD: usize = 16 << 10;

/// Reads by path, without the query.
type Reads = Arc<Mutex<BTreeMap<String, u64>>>;

pub struct CountingProxy {
    pub address: SocketAddr,
    reads: Reads,
    // Held for the tasks in it.
    _tasks: JoinSet<()>,
}

impl CountingProxy {
    /// In front of `server`, which need not be there yet.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (reads, mut tasks) = (Reads::default(), JoinSet::new());
        let counted = reads.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, server, counted.clone()));
            }
        });
        Self { address, reads, _tasks: tasks }
    }

    /// Reads so far.
    pub fn reads(&self) -> BTreeMap<String, u64> {
        self.reads.lock().clone()
    }
}

async fn pass(client: TcpStream, server: SocketAddr, reads: Reads) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            head.extend_from_slice(&buffer[..read]);
            count(&mut head, &reads);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

/// Takes the whole heads of requests, none of which has a body, out of `bytes`.
fn count(bytes: &mut Vec<u8>, reads: &Reads) {
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes.drain(..end + 4);
        if let Some(path) = head.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next()) {
            *reads.lock().entry(path.to_owned()).or_default() += 1;
        }
    }
    if bytes.len() > MAX_HEAD {
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_requests_however_they_are_cut() {
        let text = b"GET /hls/a/1.m4s HTTP/1.1\r\nHost: h\r\n\r\nGET /hls/a/index.m3u8?x=1 HTTP/1.1\r\n\r\n\
            GET /hls/a/1.m4s HTTP/1.1\r\n\r\n";
        for at in 0..text.len() {
            let (reads, mut bytes) = (Reads::default(), Vec::new());
            for part in [&text[..at], &text[at..]] {
                bytes.extend_from_slice(part);
                count(&mut bytes, &reads);
            }
            let seen: Vec<_> = reads.lock().clone().into_iter().collect();
            assert_eq!(seen, [("/hls/a/1.m4s".to_owned(), 2), ("/hls/a/index.m3u8".to_owned(), 1)], "cut at {at}");
        }
    }
}
