//! Playlists and media files from the workers that make them, through caches. Many players that ask for one object make
//! one request; that also holds for those that wait for a part that is not there yet.

use std::hash::Hash;
use std::time::Duration;

use bytes::Bytes;
use moka::future::{Cache, CacheBuilder};
use moka::policy::EvictionPolicy;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;

use super::fetch::{FetchCounts, Fetcher, Miss, OwnerFiles, Wait};
use super::locate::{FileKind, MediaFile, Playlist};
use super::playlist::PlaylistText;
use super::reload::Reload;
use super::shared_fetches::SharedFetches;

/// Largest media file, bytes: 10 s at 12 Mbit/s.
const MAX_MEDIA: usize = 16 << 20;
/// Largest playlist, bytes: 60 segments take 10,000.
const MAX_PLAYLIST: usize = 256 << 10;
/// A playlist that is asked for as it is now is shared for this long.
const PLAYLIST_AGE: Duration = Duration::from_millis(100);
/// Playlists kept: one for each rendition that is played.
const MAX_PLAYLISTS: u64 = 4096;
/// A playlist that was waited for answers all requests that wait for the same part, also later ones. A player that is
/// that late soon asks for the next part.
const RELOAD_AGE: Duration = Duration::from_secs(2);
/// Memory for them, bytes.
const MAX_RELOADS: u64 = 16 << 20;
/// A media file that was not fetched for this long is dropped: live segments are fetched within seconds of each other.
const MEDIA_IDLE: Duration = Duration::from_secs(60);
/// Bytes that an entry of a cache counts besides its content.
const OVERHEAD: usize = 256;

/// Names are never written twice with another content.
type MediaKey = (Slug, Fence, MediaFile);
type Fetched<T> = Result<T, Miss>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    fetcher: Fetcher,
    media: SharedFetches<MediaKey, Fetched<Bytes>>,
    /// Misses are cached too, so that a thousand waiting players make one request.
    playlists: SharedFetches<(OwnerFiles, Playlist), Fetched<PlaylistText>>,
    reloads: SharedFetches<(OwnerFiles, Rendition, Reload), Fetched<PlaylistText>>,
}

impl Remote {
    /// With `cache_bytes` for media files.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(cache_bytes: u64, counts: FetchCounts) -> reqwest::Result<Self> {
        let hits = counts.0.with_label_values(&["hit"]);
        let media = newest(cache_bytes).time_to_idle(MEDIA_IDLE).weigher(|_, file| weight(file, Bytes::len)).build();
        let playlists = newest(MAX_PLAYLISTS).time_to_live(PLAYLIST_AGE).build();
        let reloads = newest(MAX_RELOADS)
            .time_to_live(RELOAD_AGE)
            .weigher(|_, playlist| weight(playlist, |text: &PlaylistText| text.as_str().len()))
            .build();
        Ok(Self {
            fetcher: Fetcher::new(counts)?,
            media: SharedFetches::new(media, Result::is_ok, hits.clone()),
            playlists: SharedFetches::new(playlists, |_| true, hits.clone()),
            reloads: SharedFetches::new(reloads, Result::is_ok, hits),
        })
    }

    /// A playlist of an owner as it was at most 100 ms ago.
    ///
    /// # Errors
    /// The reason why there is none.
    pub async fn playlist(&self, origin: OwnerFiles, which: Playlist) -> Fetched<PlaylistText> {
        let key = (origin.clone(), which);
        self.playlists.get(key, || self.clone().text(origin, which.file_name(), Wait::Brief)).await.unwrap_or(FAILED)
    }

    /// A media playlist of an owner that has the segment or part of `reload`; waits until it has.
    ///
    /// # Errors
    /// The reason why there is none.
    pub async fn reload(
        &self,
        origin: OwnerFiles,
        rendition: Rendition,
        reload: Reload,
        longest: Duration,
    ) -> Fetched<PlaylistText> {
        let key = (origin.clone(), rendition, reload);
        let ask = || {
            let path = format!("{}?{reload}", Playlist::Media(rendition).file_name());
            self.clone().text(origin, path, Wait::Long(longest))
        };
        self.reloads.get(key, ask).await.unwrap_or(FAILED)
    }

    /// A media file of an owner; waits up to `longest` for a part that is not there yet.
    ///
    /// # Errors
    /// The reason why there is none.
    pub async fn media(&self, origin: OwnerFiles, file: MediaFile, longest: Duration) -> Fetched<Bytes> {
        let key = (origin.slug.clone(), origin.fence, file);
        let ask = || {
            let fetcher = self.fetcher.clone();
            let wait = if let FileKind::Part(..) = file.kind { Wait::Long(longest) } else { Wait::Brief };
            async move { fetcher.fetch(&origin, &file.to_string(), MAX_MEDIA, wait).await }
        };
        self.media.get(key, ask).await.unwrap_or(Err(Miss::Failed))
    }

    async fn text(self, origin: OwnerFiles, path: String, wait: Wait) -> Fetched<PlaylistText> {
        let body = self.fetcher.fetch(&origin, &path, MAX_PLAYLIST, wait).await?;
        PlaylistText::read(body).ok_or(Miss::Failed)
    }
}

const FAILED: Fetched<PlaylistText> = Err(Miss::Failed);

/// A cache that prefers new entries, because those are fetched next. The default policy counts how often a key was asked
/// for, and takes no new one into a full cache.
fn newest<K, V>(capacity: u64) -> CacheBuilder<K, V, Cache<K, V>>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru())
}

fn weight<T>(fetched: &Fetched<T>, len: fn(&T) -> usize) -> u32 {
    u32::try_from(fetched.as_ref().map_or(0, len) + OVERHEAD).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use prometheus::IntCounterVec;
    use rsm_shared::stream::fence::Epoch;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    const WAIT: Duration = Duration::from_secs(10);

    fn remote(cache_bytes: u64) -> Remote {
        let opts = prometheus::Opts::new("fetches", "fetches");
        let counts = FetchCounts(IntCounterVec::new(opts, &["outcome"]).unwrap());
        Remote::new(cache_bytes, counts).unwrap()
    }

    fn origin(http: &str) -> OwnerFiles {
        let fence = Fence { epoch: Epoch(7), revision: 3 };
        OwnerFiles { http: http.into(), slug: Slug::parse("yard").unwrap(), fence }
    }

    fn segment(n: u64) -> MediaFile {
        MediaFile { rendition: Rendition::Source, kind: FileKind::Segment(n) }
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
        let remote = remote(5 * (LEN as u64 + 1000));
        for _ in 0..10 {
            for n in 0..5 {
                assert!(remote.media(origin(&http), segment(n), WAIT).await.is_ok());
                remote.media.kept().run_pending_tasks().await;
            }
        }
        assert_eq!((asked.load(Ordering::Relaxed), remote.media.kept().entry_count()), (5, 5), "it is full");
        for n in 5..20 {
            for _ in 0..2 {
                assert!(remote.media(origin(&http), segment(n), WAIT).await.is_ok());
                remote.media.kept().run_pending_tasks().await;
            }
            assert_eq!(asked.load(Ordering::Relaxed), usize::try_from(n).unwrap() + 1, "each new one is fetched once");
        }
        assert_eq!(remote.media.kept().entry_count(), 5);
    }

    #[tokio::test]
    async fn a_worker_that_hangs_holds_up_nobody_who_plays_from_another() {
        let hung = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hung_http = hung.local_addr().unwrap().to_string();
        let (http, _) = worker(10).await;
        let remote = remote(1 << 20);
        for n in 0..200 {
            let (remote, origin) = (remote.clone(), origin(&hung_http));
            tokio::spawn(async move { remote.media(origin, segment(n), WAIT).await });
        }
        // It takes connections, and answers nothing; all of the others have asked by then.
        let _first = hung.accept().await.unwrap();
        let well = remote.media(origin(&http), segment(1000), WAIT).await;
        assert_eq!(well.map(|bytes| bytes.len()), Ok(10));
    }

    #[tokio::test]
    async fn those_who_wait_for_parts_take_no_turn_from_those_who_fetch_segments() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap().to_string();
        let remote = remote(1 << 20);
        let many = u32::try_from(super::super::turns::BRIEF.of_one * 3).unwrap();
        let mut open = Vec::new();
        for n in 0..many {
            let (remote, origin) = (remote.clone(), origin(&http));
            let part = MediaFile { rendition: Rendition::Source, kind: FileKind::Part(1, n) };
            tokio::spawn(async move { remote.media(origin, part, WAIT).await });
            open.push(listener.accept().await.unwrap());
        }
        let (asked, _) = tokio::join!(listener.accept(), async {
            let fetch = remote.media(origin(&http), segment(1), WAIT);
            tokio::time::timeout(Duration::from_millis(1), fetch).await
        });
        asked.unwrap();
    }
}
