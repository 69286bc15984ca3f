//! Playlists, parts and segments of this worker over HTTP, for APIs and relays that do not share its disk.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use salvo::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use salvo::http::{HeaderValue, Method};
use salvo::prelude::*;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::live::{LiveIndex, LiveReader, Refusal};
use rsm_media::hls::address::{Address, HlsFile};
use rsm_media::hls::parts::PartPlace;
use rsm_media::hls::query::Query;

/// Files and parts that are sent at a time; further requests are refused. The listener closes the connection of a reader
/// that takes nothing for a while. Requests that wait for the next part have a bound of their own
/// ([`super::live::MAX_WAITING`]).
const MAX_OPEN: usize = 256;
/// A disk that takes longer to open a file is as good as absent. Shorter than the 5 s that readers wait for an answer.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// Read from the disk at a time, bytes.
const CHUNK: u64 = 64 << 10;
/// Caches may keep the answer to a waiting request this long, target durations: it has an address of its own, but is
/// soon of no use.
const KEEP_TARGETS: u64 = 6;

/// `GET /hls/<slug>/<epoch>-<revision>/…`: the playlists and parts of streams in `live`, and the files under `root`.
pub fn routes(root: PathBuf, live: LiveIndex) -> Router {
    Router::with_path("hls/{**file}").goal(Hls { root, live, open: Arc::new(Semaphore::new(MAX_OPEN)) })
}

struct Hls {
    root: PathBuf,
    live: LiveIndex,
    open: Arc<Semaphore>,
}

/// The body of an answer.
enum HlsBody {
    Text(String),
    /// A part that is in memory.
    Memory(Vec<Bytes>, OwnedSemaphorePermit),
    /// That many bytes of a file from its current offset.
    File(File, u64, OwnedSemaphorePermit),
}

/// For how long caches may keep an answer.
enum CacheControl {
    /// Other content may come under the same address.
    No,
    Seconds(u64),
    /// It never changes.
    Always,
}

#[async_trait]
impl Handler for Hls {
    async fn handle(&self, request: &mut Request, _: &mut Depot, response: &mut Response, _: &mut FlowCtrl) {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            response.status_code(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return;
        }
        let Some(address) = request.uri().path().strip_prefix("/hls/").and_then(Address::parse) else {
            response.status_code(StatusCode::NOT_FOUND);
            return;
        };
        match self.find(&address, request.uri().query().unwrap_or_default()).await {
            Ok((content, keep)) => {
                let content_type = HeaderValue::from_static(address.file.content_type());
                response.headers_mut().insert(CONTENT_TYPE, content_type);
                send(response, content, keep, *request.method() == Method::GET);
            }
            Err(status) => {
                response.status_code(status);
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                }
            }
        }
    }
}

impl Hls {
    async fn find(&self, address: &Address, query: &str) -> Result<(HlsBody, CacheControl), StatusCode> {
        let live = self.live.find(&address.slug, address.fence);
        match (address.file, live) {
            (HlsFile::Multivariant, Some(live)) => {
                live.index().map(|text| (HlsBody::Text(text), CacheControl::No)).ok_or(StatusCode::NOT_FOUND)
            }
            (HlsFile::Playlist(rendition), Some(live)) => {
                let query = Query::parse(query).map_err(|_| StatusCode::BAD_REQUEST)?;
                let text = live.playlist(rendition, query).await.map_err(status)?;
                Ok((HlsBody::Text(text), if query.msn.is_some() { soon(&live) } else { CacheControl::No }))
            }
            (HlsFile::Part(rendition, sequence, index), Some(live)) => {
                let content = match live.part(rendition, sequence, index).await.map_err(status)? {
                    PartPlace::Memory(bytes) => HlsBody::Memory(bytes, self.turn()?),
                    PartPlace::Range { offset, len, .. } => self.open(address, Some((offset, len))).await?,
                };
                Ok((content, soon(&live)))
            }
            (HlsFile::Part(..), None) => Err(StatusCode::NOT_FOUND),
            (HlsFile::Multivariant | HlsFile::Playlist(_), None) => {
                Ok((self.open(address, None).await?, CacheControl::No))
            }
            (HlsFile::Init(..) | HlsFile::Segment(..), _) => {
                Ok((self.open(address, None).await?, CacheControl::Always))
            }
        }
    }

    fn turn(&self) -> Result<OwnedSemaphorePermit, StatusCode> {
        self.open.clone().try_acquire_owned().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The file of `address`; of a part, its range of it: offset and length.
    async fn open(&self, address: &Address, range: Option<(u64, u64)>) -> Result<HlsBody, StatusCode> {
        let (turn, path) = (self.turn()?, address.path());
        match tokio::time::timeout(OPEN_DEADLINE, open(&self.root.join(&path), range)).await {
            Ok(Ok((file, len))) => Ok(HlsBody::File(file, len, turn)),
            Ok(Err(e)) if gone(&e) => Err(StatusCode::NOT_FOUND),
            failed => {
                if let Ok(Err(e)) = failed {
                    tracing::error!(repeats = true, file = %path.display(), error = %e, "an HLS file cannot be read");
                }
                Err(StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }
}

fn soon(live: &LiveReader) -> CacheControl {
    CacheControl::Seconds(live.target_s() * KEEP_TARGETS)
}

fn status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::Absent => StatusCode::NOT_FOUND,
        Refusal::TooFar => StatusCode::BAD_REQUEST,
        Refusal::Late | Refusal::Crowded => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn send(response: &mut Response, content: HlsBody, keep: CacheControl, with_body: bool) {
    let len = match &content {
        HlsBody::Text(text) => text.len() as u64,
        HlsBody::Memory(bytes, _) => bytes.iter().map(|piece| piece.len() as u64).sum(),
        HlsBody::File(_, len, _) => *len,
    };
    let cache = match keep {
        CacheControl::No => HeaderValue::from_static("no-store"),
        // Digits and ASCII letters are a header value.
        CacheControl::Seconds(seconds) => HeaderValue::from_str(&format!("private, max-age={seconds}"))
            .unwrap_or_else(|_| HeaderValue::from_static("no-store")),
        CacheControl::Always => HeaderValue::from_static("private, max-age=3600, immutable"),
    };
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response.status_code(StatusCode::OK);
    match content {
        _ if !with_body => {}
        HlsBody::Text(text) => response.stream(pieces(vec![text.into()], None)),
        HlsBody::Memory(bytes, turn) => response.stream(pieces(bytes, Some(turn))),
        HlsBody::File(file, len, turn) => response.stream(chunks(file, len, turn)),
    }
}

fn gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

/// The file where it is to be read, and how many bytes. Files appear whole, so the length is that of the whole; one
/// that is shorter than the range in it says is not that file.
async fn open(path: &Path, range: Option<(u64, u64)>) -> std::io::Result<(File, u64)> {
    let mut file = File::open(path).await?;
    let facts = file.metadata().await?;
    if !facts.is_file() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let Some((offset, len)) = range else { return Ok((file, facts.len())) };
    if offset.checked_add(len).is_none_or(|end| end > facts.len()) {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    file.seek(SeekFrom::Start(offset)).await?;
    Ok((file, len))
}

fn pieces(bytes: Vec<Bytes>, turn: Option<OwnedSemaphorePermit>) -> impl Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::unfold((bytes.into_iter(), turn), |(mut bytes, turn)| async move {
        bytes.next().map(|piece| (Ok(piece), (bytes, turn)))
    })
}

/// The bytes of a file, [`CHUNK`] by [`CHUNK`]; a file that got shorter ends the connection, not the answer.
fn chunks(file: File, len: u64, turn: OwnedSemaphorePermit) -> impl Stream<Item = std::io::Result<Bytes>> {
    futures_util::stream::try_unfold((file, len, turn), |(mut file, left, turn)| async move {
        if left == 0 {
            return Ok(None);
        }
        let take = left.min(CHUNK);
        let mut chunk = BytesMut::with_capacity(usize::try_from(take).unwrap_or_default());
        let read = (&mut file).take(take).read_buf(&mut chunk).await?;
        match u64::try_from(read) {
            Ok(read) if read > 0 => Ok(Some((chunk.freeze(), (file, left - read, turn)))),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    })
}

#[cfg(test)]
mod tests;
