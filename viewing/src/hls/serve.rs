//! Answers players from the worker that makes the stream, or from its disk; holds a playlist request until there is a
//! playlist, or until it has the part that the player waits for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use tokio::fs::File;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::disk::{Disk, RETRY_AFTER};
use super::fetch::{Miss, OwnerFiles};
use super::locate::{FileKind, MediaFile, Playlist};
use super::players::Players;
use super::playlist::PlaylistText;
use super::reload::Reload;
use super::remote::Remote;
use crate::http::problem::Problem;
use crate::http::request_trace;
use crate::relay::demand_desk::DemandDesk;
use crate::streams::{Stream, Streams, View};

/// A playlist request is held for the first segments for this long.
const HOLD: Duration = Duration::from_secs(10);
/// Interval at which a held request looks for the playlist; requests for the same playlist share one look.
const POLL: Duration = Duration::from_millis(100);
/// Requests held at a time, of all streams; more are told to come again.
const MAX_HELD: usize = 1024;
/// A request for a part whose worker fails is repeated after this pause, until another worker owns the stream.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Interval at which a request that waits for a part checks that the camera may still be watched.
const CHECK: Duration = Duration::from_secs(1);

/// Serves every stream's HLS. Cheap to clone.
#[derive(Clone)]
pub struct Hls {
    disk: Disk,
    wish_ttl: Duration,
    streams: Streams,
    remote: Remote,
    desk: DemandDesk,
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
    /// Serves objects that `remote` fetches, and the files under `root`, where workers write to this machine's disk;
    /// demand holds for `wish_ttl` after a playlist was fetched.
    pub fn new(root: Option<PathBuf>, wish_ttl: Duration, streams: Streams, desk: DemandDesk, remote: Remote) -> Self {
        let (disk, held) = (Disk::new(root), Arc::new(Semaphore::new(MAX_HELD)));
        Self { disk, wish_ttl, streams, remote, desk, held, players: Players::default() }
    }

    /// A player is about to play: registers demand for HLS. Returns true when there was demand already.
    pub fn want(&self, stream: &Stream) -> bool {
        self.desk.want_hls(stream, self.wish_ttl)
    }

    /// A playlist of the stream's current owner as it is now; waits for it up to 10 s.
    ///
    /// # Errors
    /// 409 when the stream is stopped, 404 when it is removed meanwhile or not offered in that rendition, 503 when there
    /// is nothing to play yet.
    pub async fn playlist(&self, stream: &Stream, which: Playlist) -> Result<PlaylistText, Problem> {
        self.check(stream)?;
        let deadline = Instant::now() + HOLD;
        self.want(stream);
        if let Playlist::Media(rendition) = which
            && is_new(stream, rendition)
        {
            // No request makes a worker encode a rendition that it does not offer.
            let index = self.held(stream, Playlist::Multivariant, deadline).await?;
            if !index.offers(rendition) {
                return Err(Problem::not_offered());
            }
        }
        self.watch(stream, which, Duration::ZERO);
        let text = self.held(stream, which, deadline).await?;
        self.watch(stream, which, text.patience());
        Ok(text)
    }

    /// A media playlist that has the segment or part of `reload`: waits for it as long as its worker does, and for the
    /// next owner when the stream moves meanwhile. The playlist of that owner is an answer as it is, and so is one that
    /// did not grow for three target durations.
    ///
    /// # Errors
    /// As [`Hls::playlist`]; 400 when that segment is too far ahead, 503 when it did not come.
    pub async fn reload(&self, stream: &Stream, rendition: Rendition, reload: Reload) -> Result<PlaylistText, Problem> {
        self.check(stream)?;
        let which = Playlist::Media(rendition);
        let mut views = stream.views();
        let view = views.borrow_and_update().clone();
        let owner = view.fence.zip(view.http.clone()).filter(|_| !is_new(stream, rendition));
        let Some((fence, http)) = owner else { return self.playlist(stream, which).await };
        let origin = OwnerFiles { http, slug: stream.slug.clone(), fence };
        let longest = stream.longest_wait();
        let deadline = Instant::now() + longest;
        self.watch(stream, which, longest);

        let another = until_another(&mut views, fence);
        let refused = self.refused(stream);
        tokio::pin!(another, refused);
        loop {
            let answer = self.remote.reload(origin.clone(), rendition, reload, longest);
            tokio::select! {
                biased;
                () = &mut another => break,
                problem = &mut refused => return Err(problem),
                answer = answer => match answer {
                    Ok(text) => {
                        note_target(stream, &text);
                        self.watch(stream, which, text.patience());
                        return Ok(text);
                    }
                    Err(Miss::TooFar) => return Err(Problem::bad_request("_HLS_msn is too far ahead of the playlist")),
                    // While the camera is away the playlist stays as it is, and is played again when it grows. A player
                    // may give up after a 503.
                    Err(Miss::NotYet | Miss::Full) => return self.playlist(stream, which).await,
                    Err(Miss::Absent) => break,
                    Err(Miss::Failed) => {}
                },
                () = sleep_until(deadline) => return Err(Problem::later(RETRY_AFTER, not_yet(stream))),
            }
            tokio::select! {
                () = &mut another => break,
                problem = &mut refused => return Err(problem),
                () = sleep(ASK_AGAIN) => {}
            }
        }
        self.held(stream, which, deadline).await
    }

    /// A media file of any owner of the stream: players fetch the last files of an owner that was replaced. Waits for a
    /// part that comes next.
    ///
    /// # Errors
    /// 409 when the stream is stopped, 404 when the file is not there, 503 when too many wait for parts.
    pub async fn media(&self, stream: &Stream, fence: Fence, file: MediaFile) -> Result<Media, Problem> {
        self.check(stream)?;
        let on_disk = !matches!(file.kind, FileKind::Part(..));
        if on_disk && let Some((file, len)) = self.disk.media(&stream.slug, fence, file).await? {
            return Ok(Media::File(file, len));
        }
        let http = stream.served_at(fence).ok_or_else(Problem::gone)?;
        let origin = OwnerFiles { http, slug: stream.slug.clone(), fence };
        match self.remote.media(origin, file, stream.longest_wait()).await {
            Ok(bytes) => Ok(Media::Fetched(bytes)),
            Err(Miss::Full) => Err(Problem::later(RETRY_AFTER, "too many players wait for parts")),
            Err(_) => Err(Problem::gone()),
        }
    }

    /// The stream is still registered and may be watched.
    fn check(&self, stream: &Stream) -> Result<(), Problem> {
        let offer = stream.offer();
        if self.streams.by_id(offer.id).is_none() {
            return Err(Problem::unknown_stream());
        }
        if offer.enabled { Ok(()) } else { Err(Problem::stopped()) }
    }

    /// Ends when the stream may no longer be watched.
    async fn refused(&self, stream: &Stream) -> Problem {
        loop {
            sleep(CHECK).await;
            if let Err(problem) = self.check(stream) {
                return problem;
            }
        }
    }

    /// A player plays this, and need not come again for `patience`: a camera's long groups of pictures may make that
    /// longer than demand holds.
    fn watch(&self, stream: &Stream, which: Playlist, patience: Duration) {
        let hold = self.wish_ttl.max(patience);
        match which {
            Playlist::Multivariant => drop(self.desk.want_hls(stream, hold)),
            Playlist::Media(rendition) => self.desk.want_rendition(stream, rendition, hold),
        }
    }

    /// Looks until there is a playlist, or `deadline`.
    async fn held(&self, stream: &Stream, which: Playlist, deadline: Instant) -> Result<PlaylistText, Problem> {
        // A worker that does not answer must not hold its players for longer than one that has nothing yet.
        let attempt = || async {
            let text = timeout_at(deadline, self.read_playlist(stream, which)).await.unwrap_or(Ok(None))?;
            Ok::<_, Problem>(text.inspect(|text| note_target(stream, text)))
        };
        if let Some(text) = attempt().await? {
            return Ok(text);
        }
        let Ok(_held) = self.held.try_acquire() else {
            return Err(Problem::later(RETRY_AFTER, "too many players wait for streams to start"));
        };
        let mut waiting = request_trace::begin_part("first playlist");
        while Instant::now() < deadline {
            sleep(POLL).await;
            self.check(stream)?;
            if let Some(text) = attempt().await? {
                return Ok(text);
            }
        }
        waiting.fail("no_playlist", not_yet(stream));
        Err(Problem::later(RETRY_AFTER, not_yet(stream)))
    }

    /// From the worker, which knows more than it writes to its disk; from the disk when it does not answer.
    async fn read_playlist(&self, stream: &Stream, which: Playlist) -> Result<Option<PlaylistText>, Problem> {
        let view = stream.view();
        let Some(fence) = view.fence else { return Ok(None) };
        if let Some(http) = view.http.clone() {
            match self.remote.playlist(OwnerFiles { http, slug: stream.slug.clone(), fence }, which).await {
                Ok(text) => return Ok(Some(text)),
                Err(Miss::Absent) => return Ok(None),
                Err(_) => {}
            }
        }
        self.disk.playlist(&stream.slug, fence, which).await
    }
}

/// True for a rendition that is encoded on demand and has none now.
fn is_new(stream: &Stream, rendition: Rendition) -> bool {
    rendition.is_encoded() && !stream.demand.wants(rendition)
}

fn note_target(stream: &Stream, text: &PlaylistText) {
    if let Some(target) = text.target() {
        stream.saw_target(target);
    }
}

/// Ends when it is no longer `fence` that owns the stream.
async fn until_another(views: &mut watch::Receiver<Arc<View>>, fence: Fence) {
    // The stream is there, so its view does not end.
    let _ = views.wait_for(|view| view.fence != Some(fence)).await;
}

fn not_yet(stream: &Stream) -> String {
    let view = stream.view();
    let why = view.hls_error.as_deref().or(view.reason.as_ref().map(|reason| reason.text.as_str()));
    match why {
        Some(why) => format!("there is no video yet: {why}"),
        None => "there is no video yet; the camera is being started".into(),
    }
}
