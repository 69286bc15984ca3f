//! Answers players from the files on the disk, or from their worker; holds a playlist request until there is one.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::fence::Fence;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::fetch::{Origin, Remote};
use super::locate::{self, MediaFile, Playlist};
use super::viewers::Players;
use crate::problem::Problem;
use crate::relay::wishes::WishDesk;
use crate::streams::{Stream, Streams};

/// How long a playlist request is held for the first segments.
const HOLD: Duration = Duration::from_secs(10);
/// How often the disk is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// Requests held at a time, of all streams; more are told to come again.
const MAX_HELD: usize = 1024;
/// A disk that takes longer for one file is as good as absent.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Longest playlist read, bytes: 60 segments take 10,000.
const MAX_PLAYLIST: u64 = 256 << 10;
/// When to try again, seconds.
const RETRY_AFTER: u64 = 2;

/// Serves every stream's HLS. Cheap to clone.
#[derive(Clone)]
pub struct Hls {
    root: PathBuf,
    wish_ttl: Duration,
    streams: Streams,
    remote: Remote,
    desk: WishDesk,
    held: Arc<Semaphore>,
    pub players: Players,
}

/// A media file.
pub enum Media {
    /// Open for reading, and how long it is in bytes.
    File(File, u64),
    /// Fetched from its worker.
    Fetched(Bytes),
}

impl Hls {
    /// Of the files under `root` and those that `remote` fetches; a wish holds for `wish_ttl` after a playlist was
    /// fetched.
    pub fn new(root: PathBuf, wish_ttl: Duration, streams: Streams, desk: WishDesk, remote: Remote) -> Self {
        let held = Arc::new(Semaphore::new(MAX_HELD));
        Self { root, wish_ttl, streams, remote, desk, held, players: Players::default() }
    }

    /// Somebody is about to play: HLS is wanted. Whether it was already.
    pub fn want(&self, stream: &Stream) -> bool {
        self.desk.want_hls(stream, self.wish_ttl)
    }

    /// A playlist of the stream's current owner; waits for it up to 10 s.
    ///
    /// # Errors
    /// 409 when the stream is stopped, 404 when it is removed meanwhile, 503 when there is nothing to play yet.
    pub async fn playlist(&self, stream: &Stream, which: Playlist) -> Result<String, Problem> {
        self.check(stream)?;
        self.want(stream);
        let deadline = Instant::now() + HOLD;
        // A worker that does not answer must not hold its players for longer than one that has nothing yet.
        let look = || timeout_at(deadline, self.read_playlist(stream, which));
        if let Some(text) = look().await.unwrap_or(Ok(None))? {
            // Players come again once in a target duration, which a camera's long groups of pictures may make longer
            // than the configured hold.
            self.desk.want_hls(stream, self.wish_ttl.max(patience(&text)));
            return Ok(text);
        }
        let Ok(_held) = self.held.try_acquire() else {
            return Err(Problem::later(RETRY_AFTER, "too many players wait for streams to start"));
        };
        while Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            self.check(stream)?;
            if let Some(text) = look().await.unwrap_or(Ok(None))? {
                self.want(stream);
                return Ok(text);
            }
        }
        Err(Problem::later(RETRY_AFTER, not_yet(stream)))
    }

    /// A media file of any owner of the stream: players fetch the last ones of an owner that was replaced.
    ///
    /// # Errors
    /// 409 when the stream is stopped, 404 when the file is not there.
    pub async fn media(&self, stream: &Stream, fence: Fence, file: &MediaFile) -> Result<Media, Problem> {
        self.check(stream)?;
        let path = locate::media(&self.root, &stream.slug, fence, file);
        let open = async {
            let file = File::open(path).await?;
            let len = file.metadata().await?.len();
            Ok(Media::File(file, len))
        };
        if let Some(media) = within(open).await? {
            return Ok(media);
        }
        let http = stream.served_at(fence).ok_or_else(Problem::gone)?;
        let fetched = self.remote.media(Origin { http: &http, slug: &stream.slug, fence }, file).await;
        fetched.map(Media::Fetched).ok_or_else(Problem::gone)
    }

    /// The stream is still registered and may be watched.
    fn check(&self, stream: &Stream) -> Result<(), Problem> {
        let offer = stream.offer();
        if self.streams.by_id(offer.id).is_none() {
            return Err(Problem::unknown_stream());
        }
        if offer.enabled { Ok(()) } else { Err(Problem::stopped()) }
    }

    async fn read_playlist(&self, stream: &Stream, which: Playlist) -> Result<Option<String>, Problem> {
        let view = stream.view();
        let Some(fence) = view.fence else { return Ok(None) };
        let path = locate::playlist(&self.root, &stream.slug, fence, which);
        let on_disk = within(async {
            let mut text = String::new();
            File::open(path).await?.take(MAX_PLAYLIST).read_to_string(&mut text).await?;
            Ok(text)
        });
        match (on_disk.await?, &view.http) {
            (Some(text), _) => Ok(Some(text)),
            (None, None) => Ok(None),
            (None, Some(http)) => {
                let origin = Origin { http, slug: &stream.slug, fence };
                Ok(self.remote.playlist(origin, which).await.map(|text| text.to_string()))
            }
        }
    }
}

/// How long a player of this playlist may stay away before it is taken for gone: three target durations, 90 s at
/// most; zero when it names none.
pub fn patience(playlist: &str) -> Duration {
    let target = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:"));
    let seconds = target.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    Duration::from_secs(seconds.saturating_mul(3).min(90))
}

/// What was read within the deadline; `None` when there is no such file.
async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> Result<Option<T>, Problem> {
    match tokio::time::timeout(READ_DEADLINE, work).await {
        Ok(Ok(value)) => Ok(Some(value)),
        Ok(Err(e)) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Ok(Err(e)) => {
            tracing::error!("cannot read an HLS file: {e}");
            Err(Problem::internal())
        }
        Err(_) => Err(Problem::later(RETRY_AFTER, "the disk for HLS segments does not answer in time")),
    }
}

fn not_yet(stream: &Stream) -> String {
    let view = stream.view();
    let why = view.hls_error.as_deref().or(view.reason.as_ref().map(|reason| reason.text.as_str()));
    match why {
        Some(why) => format!("there is no video yet: {why}"),
        None => "there is no video yet; the camera is being started".into(),
    }
}
