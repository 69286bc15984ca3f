//! Answers players from the files on the disk, or from their worker; holds a playlist request until there is one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::fence::Fence;
use tokio::fs::File;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::disk::Disk;
use super::fetch::{Origin, Remote};
use super::locate::{MediaFile, Playlist};
use super::viewers::Players;
use crate::problem::Problem;
use crate::relay::wishes::WishDesk;
use crate::streams::{Stream, Streams};

/// How long a playlist request is held for the first segments.
const HOLD: Duration = Duration::from_secs(10);
/// How often each of those held looks meanwhile; looks at one playlist are shared.
const LOOK: Duration = Duration::from_millis(100);
/// Requests held at a time, of all streams; more are told to come again.
const MAX_HELD: usize = 1024;
/// When to try again, seconds.
pub(super) const RETRY_AFTER: u64 = 2;

/// Serves every stream's HLS. Cheap to clone.
#[derive(Clone)]
pub struct Hls {
    disk: Disk,
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
    /// Of the files under `root`, where workers write to this machine's disk, and those that `remote` fetches; a wish
    /// holds for `wish_ttl` after a playlist was fetched.
    pub fn new(root: Option<PathBuf>, wish_ttl: Duration, streams: Streams, desk: WishDesk, remote: Remote) -> Self {
        let (disk, held) = (Disk::new(root), Arc::new(Semaphore::new(MAX_HELD)));
        Self { disk, wish_ttl, streams, remote, desk, held, players: Players::default() }
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
        if let Some((file, len)) = self.disk.media(&stream.slug, fence, file).await? {
            return Ok(Media::File(file, len));
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
        match (self.disk.playlist(&stream.slug, fence, which).await?, &view.http) {
            (Some(text), _) => Ok(Some(text.to_string())),
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

fn not_yet(stream: &Stream) -> String {
    let view = stream.view();
    let why = view.hls_error.as_deref().or(view.reason.as_ref().map(|reason| reason.text.as_str()));
    match why {
        Some(why) => format!("there is no video yet: {why}"),
        None => "there is no video yet; the camera is being started".into(),
    }
}
