//! Playlists and media files from workers whose disk this process does not share: over HTTP, through a cache. Many
//! players that ask for one object make one request.
//!
//! ```text
//! http://<owner>/hls/<slug>/<epoch>-<revision>/{index.m3u8, source.m3u8, source/<file>}
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use prometheus::IntCounterVec;
use reqwest::{Client, StatusCode, Url};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use salvo::http::uri::Authority;
use tokio::time::timeout;
use tracing::debug;

use super::locate::{MediaFile, Playlist};
use super::turns::Turns;

/// One request, from its turn to its last byte. Longer than a worker waits for its disk, so that its answer comes.
const DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest media file, bytes: 10 s at 12 Mbit/s.
const MAX_MEDIA: usize = 16 << 20;
/// Largest playlist, bytes: 60 segments take 10,000.
const MAX_PLAYLIST: usize = 256 << 10;
/// Connections kept open to one worker.
const MAX_IDLE: usize = 8;
/// A playlist is not served when it is older.
const PLAYLIST_AGE: Duration = Duration::from_millis(200);
/// Playlists kept: one of each kind for every stream that anybody plays.
const MAX_PLAYLISTS: u64 = 4096;
/// A media file that nobody fetched for this long is forgotten: live segments are fetched within seconds of each other.
const MEDIA_IDLE: Duration = Duration::from_secs(60);
/// What an entry of the cache weighs besides its bytes.
const OVERHEAD: usize = 256;

/// Where an owner's files are, and whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `host:port`
    pub http: &'a str,
    pub slug: &'a Slug,
    pub fence: Fence,
}

/// Fetches, by outcome.
#[derive(Clone)]
pub struct FetchCounts(pub IntCounterVec);

impl FetchCounts {
    fn count(&self, outcome: &'static str) {
        self.0.with_label_values(&[outcome]).inc();
    }
}

/// What became of one request to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Miss {
    /// The worker has no such file.
    Absent,
    /// It does not answer, or not as it should.
    Failed,
}

/// Names are never written twice with another content.
type MediaKey = (Slug, Fence, String);
/// Where it was fetched from belongs to it: an owner that moved is asked at its new address.
type PlaylistKey = (Slug, Fence, Playlist, String);

/// Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    client: Client,
    turns: Turns,
    media: Cache<MediaKey, Bytes>,
    /// Also that there is none, so that a thousand players who wait ask once.
    playlists: Cache<PlaylistKey, Option<Arc<str>>>,
    counts: FetchCounts,
}

impl Remote {
    /// With a cache of `cache_bytes`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(cache_bytes: u64, counts: FetchCounts) -> reqwest::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .build()?;
        let weigh =
            |key: &MediaKey, file: &Bytes| u32::try_from(file.len() + key.2.len() + OVERHEAD).unwrap_or(u32::MAX);
        // The newest is what is fetched next. The default policy counts how often a key was asked for, and takes no new
        // one into a full cache.
        let media = Cache::builder()
            .max_capacity(cache_bytes)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(MEDIA_IDLE)
            .weigher(weigh)
            .build();
        let playlists = Cache::builder()
            .max_capacity(MAX_PLAYLISTS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(PLAYLIST_AGE)
            .build();
        Ok(Self { client, turns: Turns::new(), media, playlists, counts })
    }

    /// A playlist of an owner, at most 200 ms old; `None` when it is not there, or its worker does not answer.
    pub async fn playlist(&self, origin: Origin<'_>, which: Playlist) -> Option<Arc<str>> {
        let key = (origin.slug.clone(), origin.fence, which, origin.http.to_owned());
        let entry = self
            .playlists
            .entry(key)
            .or_insert_with(async {
                let fetched = self.fetch(origin, which.file_name(), MAX_PLAYLIST).await;
                let text = fetched.and_then(|body| String::from_utf8(body.into()).map_err(|_| Miss::Failed));
                self.note(text.as_ref().map(|_| ()).map_err(|miss| *miss));
                text.ok().map(Arc::from)
            })
            .await;
        if !entry.is_fresh() {
            self.counts.count("hit");
        }
        entry.into_value()
    }

    /// A media file of an owner; `None` when it is not there, or its worker does not answer.
    pub async fn media(&self, origin: Origin<'_>, file: &MediaFile) -> Option<Bytes> {
        let key = (origin.slug.clone(), origin.fence, file.name().to_owned());
        let path = format!("source/{}", file.name());
        let found = self.media.entry(key).or_try_insert_with(async {
            let fetched = self.fetch(origin, &path, MAX_MEDIA).await;
            self.note(fetched.as_ref().map(|_| ()).map_err(|miss| *miss));
            fetched
        });
        let entry = found.await.ok()?;
        if !entry.is_fresh() {
            self.counts.count("hit");
        }
        Some(entry.into_value())
    }

    fn note(&self, fetched: Result<(), Miss>) {
        self.counts.count(match fetched {
            Ok(()) => "miss",
            Err(Miss::Absent) => "absent",
            Err(Miss::Failed) => "error",
        });
    }

    async fn fetch(&self, origin: Origin<'_>, path: &str, max: usize) -> Result<Bytes, Miss> {
        let fetched = async {
            let url = address(origin, path).ok_or(Miss::Failed)?;
            let _turn = self.turns.take(origin.http).await.ok_or(Miss::Failed)?;
            timeout(DEADLINE, self.get(url, max)).await.unwrap_or(Err(Miss::Failed))
        };
        fetched.await.inspect_err(|miss| {
            debug!(stream = %origin.slug, owner = %origin.fence, worker = origin.http, "{path} cannot be fetched: {miss:?}");
        })
    }

    async fn get(&self, url: Url, max: usize) -> Result<Bytes, Miss> {
        let failed = |e: reqwest::Error| {
            debug!("{e}");
            Miss::Failed
        };
        let mut answer = self.client.get(url).send().await.map_err(failed)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(Miss::Absent),
            _ => return Err(Miss::Failed),
        }
        let announced = answer.content_length().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        let mut body = BytesMut::with_capacity(announced.min(max));
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > max {
                return Err(Miss::Failed);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// `None` when the address that a worker gave is more than host and port.
fn address(origin: Origin<'_>, path: &str) -> Option<Url> {
    let authority: Authority = origin.http.parse().ok()?;
    authority.port_u16().filter(|_| !origin.http.contains('@'))?;
    format!("http://{authority}/hls/{}/{}/{path}", origin.slug, origin.fence.dir_name()).parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use rsm_shared::stream::fence::Epoch;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[test]
    fn a_worker_is_a_host_and_a_port() {
        let slug = Slug::parse("yard").unwrap();
        let of = |http| {
            let origin = Origin { http, slug: &slug, fence: Fence { epoch: Epoch(7), revision: 3 } };
            address(origin, "source/1.m4s").map(String::from)
        };
        assert_eq!(of("10.0.0.1:9000").unwrap(), "http://10.0.0.1:9000/hls/yard/7-3/source/1.m4s");
        assert_eq!(of("[::1]:9000").unwrap(), "http://[::1]:9000/hls/yard/7-3/source/1.m4s");
        for bad in
            ["", "host", "host:port", "user@host:1", "host:1/path", "host:1?x", "host:1#", "http://host:1", "a b:1"]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
    fn remote(cache_bytes: u64) -> Remote {
        let opts = prometheus::Opts::new("fetches", "fetches");
        let counts = FetchCounts(IntCounterVec::new(opts, &["outcome"]).unwrap());
        Remote::new(cache_bytes, counts).unwrap()
    }

    fn segment(n: usize) -> MediaFile {
        MediaFile::parse(&format!("{n}.m4s")).unwrap()
    }

    /// A worker whose every segment is of `len` bytes; counts the requests.
    async fn worker(len: usize) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http, asked) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    socket.read_buf(&mut request).await.unwrap();
                }
                count.fetch_add(1, Ordering::Relaxed);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
                socket.write_all(head.as_bytes()).await.unwrap();
                socket.write_all(&vec![0; len]).await.unwrap();
            }
        });
        (http, asked)
    }

    #[tokio::test]
    async fn a_new_segment_is_kept_when_the_cache_is_full_of_others_that_were_fetched_often() {
        const LEN: usize = 100_000;
        let (http, asked) = worker(LEN).await;
        let slug = Slug::parse("yard").unwrap();
        let origin = Origin { http: &http, slug: &slug, fence: Fence { epoch: Epoch(7), revision: 3 } };
        let remote = remote(5 * (LEN as u64 + 1000));
        for _ in 0..10 {
            for n in 0..5 {
                assert!(remote.media(origin, &segment(n)).await.is_some());
                remote.media.run_pending_tasks().await;
            }
        }
        assert_eq!((asked.load(Ordering::Relaxed), remote.media.entry_count()), (5, 5), "it is full");
        for n in 5..20 {
            for _ in 0..2 {
                assert!(remote.media(origin, &segment(n)).await.is_some());
                remote.media.run_pending_tasks().await;
            }
            assert_eq!(asked.load(Ordering::Relaxed), n + 1, "each new one is fetched once");
        }
        assert_eq!(remote.media.entry_count(), 5);
    }

    #[tokio::test]
    async fn a_worker_that_hangs_holds_up_nobody_who_plays_from_another() {
        let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hung_http = hung.local_addr().unwrap().to_string();
        let (http, _) = worker(10).await;
        let slug = Slug::parse("yard").unwrap();
        let fence = Fence { epoch: Epoch(7), revision: 3 };
        let remote = remote(1 << 20);
        for n in 0..200 {
            let (remote, slug, http) = (remote.clone(), slug.clone(), hung_http.clone());
            tokio::spawn(async move { remote.media(Origin { http: &http, slug: &slug, fence }, &segment(n)).await });
        }
        // It takes connections, and answers nothing; all of the others have asked by then.
        let _first = hung.accept().await.unwrap();
        let well = remote.media(Origin { http: &http, slug: &slug, fence }, &segment(1000)).await;
        assert_eq!(well.map(|bytes| bytes.len()), Some(10));
    }
}
