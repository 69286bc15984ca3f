//! Segments and playlists of this worker over HTTP, for APIs and relays that do not share its disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use salvo::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use salvo::http::{HeaderValue, Method};
use salvo::prelude::*;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files that are open for readers at a time; more are told to come again. A reader that takes nothing for a while is
/// cut off by the listener.
const MAX_OPEN: usize = 256;
/// A disk that takes longer to open a file is as good as absent. Shorter than the 5 s that readers wait for an answer.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// Read from the disk at a time, bytes.
const CHUNK: u64 = 64 << 10;
/// Most digits of a number that fits 64 bits.
const MAX_DIGITS: usize = 20;

/// A file of an owner, by the tail of its address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Below the root of all segments. Every part of it is of a type that cannot hold `/` or `..`, or one of the names
    /// that the worker gives.
    path: PathBuf,
    content_type: &'static str,
    /// Whether another content may come under the same name.
    changes: bool,
}

impl Place {
    /// Reads `<slug>/<epoch>-<revision>/<file>`; `None` for anything but the files that the worker writes. Nothing is
    /// decoded: no name needs it.
    fn parse(tail: &str) -> Option<Self> {
        let mut parts = tail.splitn(3, '/');
        let slug = Slug::parse(parts.next()?).ok()?;
        let fence = Fence::from_dir_name(parts.next()?)?;
        let file = parts.next()?;
        let (content_type, changes) = match file {
            "index.m3u8" | "source.m3u8" => ("application/vnd.apple.mpegurl", true),
            media => (media_type(media.strip_prefix("source/")?)?, false),
        };
        let path = Path::new(slug.as_str()).join(fence.dir_name()).join(file);
        Some(Self { path, content_type, changes })
    }
}

/// What `<media sequence>.m4s` and `init-<number>.mp4` hold; `None` for other names.
fn media_type(name: &str) -> Option<&'static str> {
    let number = |text: &str| (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if name.strip_suffix(".m4s").is_some_and(number) {
        return Some("video/iso.segment");
    }
    let init = name.strip_prefix("init-").and_then(|rest| rest.strip_suffix(".mp4"));
    init.is_some_and(number).then_some("video/mp4")
}

/// `GET /hls/<slug>/<epoch>-<revision>/…` of the files under `root`.
pub fn routes(root: PathBuf) -> Router {
    Router::with_path("hls/{**file}").goal(Files { root, open: Arc::new(Semaphore::new(MAX_OPEN)) })
}

struct Files {
    root: PathBuf,
    open: Arc<Semaphore>,
}

#[async_trait]
impl Handler for Files {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            response.status_code(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return;
        }
        let place = request.uri().path().strip_prefix("/hls/").and_then(Place::parse);
        let Some(place) = place else {
            response.status_code(StatusCode::NOT_FOUND);
            return;
        };
        let Ok(permit) = self.open.clone().try_acquire_owned() else {
            response.status_code(StatusCode::SERVICE_UNAVAILABLE);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return;
        };
        match tokio::time::timeout(OPEN_DEADLINE, open(&self.root.join(&place.path))).await {
            Ok(Ok((file, len))) => {
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(place.content_type));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
                let cache = if place.changes { "no-store" } else { "private, max-age=3600, immutable" };
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
                response.status_code(StatusCode::OK);
                if *request.method() == Method::GET {
                    response.stream(chunks(file, len, permit));
                }
            }
            Ok(Err(e)) if gone(&e) => {
                response.status_code(StatusCode::NOT_FOUND);
            }
            failed => {
                if let Ok(Err(e)) = failed {
                    tracing::error!(file = %place.path.display(), "cannot read an HLS file: {e}");
                }
                response.status_code(StatusCode::SERVICE_UNAVAILABLE);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
        }
    }
}

fn gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// Files appear whole, so the length is that of the whole.
async fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let facts = file.metadata().await?;
    if facts.is_file() { Ok((file, facts.len())) } else { Err(std::io::ErrorKind::IsADirectory.into()) }
}

/// The bytes of a file, [`CHUNK`] by [`CHUNK`]; a file that got shorter ends the connection, not the answer.
fn chunks(file: File, len: u64, permit: OwnedSemaphorePermit) -> impl Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::try_unfold((file, len, permit), |(mut file, left, permit)| async move {
        if left == 0 {
            return Ok(None);
        }
        let take = left.min(CHUNK);
        let mut chunk = BytesMut::with_capacity(usize::try_from(take).unwrap_or_default());
        let read = (&mut file).take(take).read_buf(&mut chunk).await?;
        match u64::try_from(read) {
            Ok(read) if read > 0 => Ok(Some((chunk.freeze(), (file, left - read, permit)))),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rsm_shared::ops::listener;
    use tokio::io::AsyncWriteExt as _;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn only_the_files_that_a_worker_writes_have_a_place() {
        for (tail, content_type) in [
            ("yard-x1/7-3/index.m3u8", "application/vnd.apple.mpegurl"),
            ("yard-x1/7-3/source.m3u8", "application/vnd.apple.mpegurl"),
            ("yard-x1/7-3/source/42.m4s", "video/iso.segment"),
            ("yard-x1/7-3/source/init-0.mp4", "video/mp4"),
        ] {
            let place = Place::parse(tail).unwrap();
            assert_eq!((place.path.to_str(), place.content_type), (Some(tail), content_type));
        }
        for bad in [
            "",
            "yard",
            "yard/7-3",
            "yard/7-3/",
            "yard/7-3/source",
            "yard/7-3/source/",
            "yard/7-3/42.m4s",
            "yard/7-3/source/index.m3u8",
            "yard/7-3/source/source/42.m4s",
            "yard/7-3/source/../index.m3u8",
            "yard/7-3/source/..%2f..%2fx.m4s",
            "yard/7-3/source//etc/passwd",
            "yard/7-3/source/42.m4s.tmp",
            "yard/7-3/source/+4.m4s",
            "yard/7-3/source/111111111111111111111.m4s",
            "yard/07-3/index.m3u8",
            "yard/7/index.m3u8",
            "../7-3/index.m3u8",
            "YARD/7-3/index.m3u8",
            "yard/7-3/index.m3u8/",
            "/yard/7-3/index.m3u8",
        ] {
            assert_eq!(Place::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_path_stays_below_the_root(parts in proptest::collection::vec(proptest::sample::select(
            vec!["yard", "7-3", "source", "source/1.m4s", "init-2.mp4", "index.m3u8", "..", ".", "", "%2e%2e", "\0"]
        ), 1..6)) {
            if let Some(place) = Place::parse(&parts.join("/")) {
                prop_assert!(place.path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }

    /// Status line, headers and body of one request.
    async fn ask(address: std::net::SocketAddr, method: &str, path: &str) -> (u16, String, Vec<u8>) {
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

    #[tokio::test]
    async fn files_are_served_whole_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("yard/7-3/source");
        std::fs::create_dir_all(dir.join("9.m4s")).unwrap();
        std::fs::write(root.path().join("secret"), "no").unwrap();
        std::fs::write(root.path().join("yard/7-3/source.m3u8"), "#EXTM3U\n").unwrap();
        let segment: Vec<u8> = (0..3 * CHUNK + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        std::fs::write(dir.join("42.m4s"), &segment).unwrap();

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener::serve(listener, routes(root.path().to_owned()), stop.clone()));

        let (status, head, body) = ask(address, "GET", "/hls/yard/7-3/source/42.m4s").await;
        assert_eq!((status, body.len()), (200, segment.len()), "{head}");
        assert!(body == segment && head.contains("content-type: video/iso.segment"), "{head}");
        assert!(head.contains(&format!("content-length: {}", segment.len())), "{head}");
        let (status, head, body) = ask(address, "GET", "/hls/yard/7-3/source.m3u8").await;
        assert_eq!((status, body.as_slice()), (200, &b"#EXTM3U\n"[..]));
        assert!(head.contains("application/vnd.apple.mpegurl") && head.contains("no-store"), "{head}");
        let (status, head, body) = ask(address, "HEAD", "/hls/yard/7-3/source/42.m4s").await;
        assert_eq!((status, body.len()), (200, 0));
        assert!(head.contains(&format!("content-length: {}", segment.len())), "{head}");
        for (method, path, want) in [
            ("GET", "/hls/yard/7-3/source/43.m4s", 404),
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
            assert_eq!(ask(address, method, path).await.0, want, "{method} {path}");
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
    }
}
