//! Over a real socket.

use super::*;
use rsm_media::hls::parts::{Opening, Part, PartTarget};
use rsm_media::hls::window::{Listed, Window};
use rsm_shared::ops::listener;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;
use std::net::SocketAddr;
use std::time::SystemTime;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const FENCE: Fence = Fence { epoch: Epoch(7), revision: 3 };

struct Served {
    root: tempfile::TempDir,
    live: LiveIndex,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

fn serve() -> Served {
    let (root, live) = (tempfile::tempdir().unwrap(), LiveIndex::default());
    std::fs::create_dir_all(root.path().join("yard/7-3/source")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let routes = routes(root.path().to_owned(), live.clone());
    let serving = tokio::spawn(listener::serve(listener, routes, stop.clone()));
    Served { root, live, address, stop, serving }
}

impl Served {
    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.root.path().join("yard/7-3").join(name), content).unwrap();
    }

    async fn get(&self, file: &str) -> (u16, String, Vec<u8>) {
        ask(self.address, "GET", &format!("/hls/yard/7-3/{file}")).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

/// Status line, headers and body of one request.
async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String, Vec<u8>) {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

fn part(bytes: &'static [u8]) -> Part {
    Part { duration: Duration::from_millis(500), independent: true, bytes: vec![Bytes::from_static(bytes)] }
}

fn opening(sequence: u64) -> Opening {
    Opening { sequence, discontinuity: 0, init: 0, at: SystemTime::UNIX_EPOCH }
}

fn listed(sequence: u64, len: u64) -> Listed {
    let (duration, at) = (Duration::from_secs(1), SystemTime::UNIX_EPOCH);
    Listed { sequence, duration, len, discontinuity: 0, init: 0, at }
}

fn window() -> Window {
    Window::new(3, Duration::from_secs(1), Some(PartTarget::new(Duration::from_millis(500))))
}

#[tokio::test]
async fn files_are_served_whole_and_nothing_else_is() {
    let served = serve();
    std::fs::create_dir(served.root.path().join("yard/7-3/source/9.m4s")).unwrap();
    std::fs::write(served.root.path().join("secret"), "no").unwrap();
    served.write("source.m3u8", b"#EXTM3U\n");
    let segment: Vec<u8> = (0..3 * CHUNK + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
    served.write("source/42.m4s", &segment);

    let (status, head, body) = served.get("source/42.m4s").await;
    assert_eq!((status, body.len()), (200, segment.len()), "{head}");
    assert!(body == segment && head.contains("content-type: video/iso.segment"), "{head}");
    assert!(head.contains(&format!("content-length: {}", segment.len())), "{head}");
    let (status, head, body) = served.get("source.m3u8?_HLS_msn=x").await;
    assert_eq!((status, body.as_slice()), (200, &b"#EXTM3U\n"[..]), "there are no directives without a live stream");
    assert!(head.contains("application/vnd.apple.mpegurl") && head.contains("no-store"), "{head}");
    let (status, head, body) = ask(served.address, "HEAD", "/hls/yard/7-3/source/42.m4s").await;
    assert_eq!((status, body.len()), (200, 0));
    assert!(head.contains(&format!("content-length: {}", segment.len())), "{head}");
    for (method, path, want) in [
        ("GET", "/hls/yard/7-3/source/43.m4s", 404),
        ("GET", "/hls/yard/7-3/source/42.0.m4s", 404),
        ("GET", "/hls/yard/7-3/source/9.m4s", 404),
        ("GET", "/hls/yard/7-3/index.m3u8", 404),
        ("GET", "/hls/yard/7-3/", 404),
        ("GET", "/hls/yard/7-3/source/", 404),
        ("GET", "/hls/", 404),
        ("GET", "/hls/../secret", 404),
        ("GET", "/hls/yard/7-3/source/%2e%2e/source.m3u8", 404),
        ("POST", "/hls/yard/7-3/source.m3u8", 405),
        ("DELETE", "/hls/yard/7-3/source/42.m4s", 405),
    ] {
        assert_eq!(ask(served.address, method, path).await.0, want, "{method} {path}");
    }
    served.end().await;
}

#[tokio::test]
async fn what_is_live_comes_before_what_is_on_disk() {
    let served = serve();
    served.write("source.m3u8", b"old");
    served.write("index.m3u8", b"old");
    let stream = served.live.publish(&Slug::parse("yard").unwrap(), FENCE);
    assert_eq!(served.get("source.m3u8").await.0, 404, "nothing is listed yet");
    assert_eq!(served.get("index.m3u8").await.0, 404);
    let source = stream.rendition(Rendition::Source, window());
    source.change(|window| window.push(listed(5, 9)));
    stream.set_index(Some("#EXTM3U new".into()));
    assert_eq!(served.get("index.m3u8").await.2, b"#EXTM3U new");
    let (status, head, body) = served.get("source.m3u8").await;
    assert!(status == 200 && head.contains("no-store"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("\n7-3/source/5.m4s\n"));
    assert_eq!(served.get("audio.m3u8").await.0, 404);
    for (query, want) in [("_HLS_msn=5", 200), ("_HLS_part=0", 400), ("_HLS_msn=x", 400), ("_HLS_msn=8", 400)] {
        let (status, head, _) = served.get(&format!("source.m3u8?{query}")).await;
        assert_eq!(status, want, "{query}");
        assert!(want != 200 || head.contains("private, max-age=6"), "{head}");
    }
    drop((source, stream));
    assert_eq!(served.get("source.m3u8").await.2, b"old");
    served.end().await;
}

#[tokio::test]
async fn parts_come_from_memory_and_then_from_the_file() {
    let served = serve();
    let stream = served.live.publish(&Slug::parse("yard").unwrap(), FENCE);
    let source = stream.rendition(Rendition::Source, window());
    source.change(|window| {
        window.add_part(part(b"first"), opening(5));
        window.add_part(part(b"second"), opening(5));
    });
    let (status, head, body) = served.get("source/5.1.m4s").await;
    assert_eq!((status, body.as_slice()), (200, &b"second"[..]));
    assert!(head.contains("content-length: 6") && head.contains("private, max-age=6"), "{head}");
    served.write("source/5.m4s", b"firstsecond");
    source.change(|window| window.push(listed(5, 11)));
    assert_eq!(served.get("source/5.0.m4s").await.2, b"first");
    assert_eq!(served.get("source/5.1.m4s").await.2, b"second");
    assert_eq!(served.get("source/5.2.m4s").await.0, 404);
    served.write("source/5.m4s", b"short");
    assert_eq!(served.get("source/5.1.m4s").await.0, 404);
    served.end().await;
}

#[tokio::test]
async fn more_requests_than_files_may_be_open_wait_for_the_next_part_and_get_it() {
    let served = serve();
    let stream = served.live.publish(&Slug::parse("yard").unwrap(), FENCE);
    let source = stream.rendition(Rendition::Source, window());
    source.change(|window| window.push(listed(5, 9)));
    let count = MAX_OPEN + 20;
    let asked: Vec<_> = (0..count)
        .map(|_| tokio::spawn(ask(served.address, "GET", "/hls/yard/7-3/source.m3u8?_HLS_msn=6&_HLS_part=0")))
        .collect();
    while served.live.waiting() < count {
        tokio::task::yield_now().await;
    }
    source.change(|window| window.add_part(part(b"next"), opening(6)));
    for answer in asked {
        let (status, head, body) = answer.await.unwrap();
        assert_eq!(status, 200, "{head}");
        assert!(String::from_utf8(body).unwrap().contains("7-3/source/6.0.m4s"));
    }
    served.end().await;
}

#[tokio::test]
async fn a_connection_serves_one_waiting_request_after_the_other() {
    let served = serve();
    let stream = served.live.publish(&Slug::parse("yard").unwrap(), FENCE);
    let source = stream.rendition(Rendition::Source, window());
    source.change(|window| window.push(listed(5, 9)));
    let mut socket = tokio::net::TcpStream::connect(served.address).await.unwrap();
    for index in 0..3 {
        let request = format!("GET /hls/yard/7-3/source/6.{index}.m4s HTTP/1.1\r\nHost: x\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        while served.live.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        source.change(|window| window.add_part(part(b"next"), opening(6)));
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nnext") {
            assert!(socket.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    drop(socket);
    served.end().await;
}

#[tokio::test]
async fn whoever_hangs_up_gives_the_place_back() {
    let served = serve();
    let stream = served.live.publish(&Slug::parse("yard").unwrap(), FENCE);
    let source = stream.rendition(Rendition::Source, window());
    source.change(|window| window.push(listed(5, 9)));
    let mut socket = tokio::net::TcpStream::connect(served.address).await.unwrap();
    socket.write_all(b"GET /hls/yard/7-3/source.m3u8?_HLS_msn=6 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    while served.live.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    while served.live.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    served.end().await;
}
