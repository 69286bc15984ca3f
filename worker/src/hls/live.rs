//! The playlists and parts of the streams that this process makes now, for the requests that wait for them.
//!
//! ```text
//! LiveStream::rendition -> LiveRendition::change   in memory, one writer each: the task of the stream
//! LiveIndex::find       -> LiveReader              any number of requests
//! ```
//!
//! A rendition's window is the value of a `watch` channel: each change wakes the waiting requests once, and the end of the
//! sender ends all waiting. A lock is held for one read or change, two never at a time, none while waiting.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use rsm_media::hls::parts::PartPlace;
use rsm_media::hls::playlist::{RenditionReport, Setting};
use rsm_media::hls::query::Query;
use rsm_media::hls::window::{Answer, Window};

/// Requests of this process that wait at a time, a few kB each; further requests are refused. APIs and relays ask once
/// for all their viewers: enough for 200 streams of three playlists, and their parts, asked for by three of them.
pub const MAX_WAITING: usize = 4096;
/// A request waits this long, target durations (RFC 8216bis section 6.2.5.2).
const PATIENCE_TARGETS: u64 = 3;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such playlist or part, or not any more, or not yet and no playlist has announced it.
    Absent,
    /// The requested segment is so far ahead that the client must be wrong.
    TooFar,
    /// It did not come in time.
    Late,
    /// Too many requests wait.
    Crowded,
}

/// The streams of this process that HLS is made of. Clones share it.
#[derive(Clone, Debug)]
pub struct LiveIndex(Arc<Index>);

#[derive(Debug)]
struct Index {
    /// As many as this process owns streams, and for seconds one more of a stream that changes its owner.
    streams: RwLock<HashMap<(Slug, Fence), Arc<Stream>>>,
    /// A waiting request holds one of `places`.
    waiting: Arc<Semaphore>,
    places: usize,
}

impl Default for LiveIndex {
    fn default() -> Self {
        Self::with_places(MAX_WAITING)
    }
}

impl LiveIndex {
    fn with_places(places: usize) -> Self {
        Self(Arc::new(Index { streams: RwLock::default(), waiting: Arc::new(Semaphore::new(places)), places }))
    }

    /// Publishes a stream until the returned value is dropped. It replaces a stream of the same name and fence.
    pub fn publish(&self, slug: &Slug, fence: Fence) -> LiveStream {
        let stream = Arc::new(Stream::default());
        let key = (slug.clone(), fence);
        self.0.streams.write().insert(key.clone(), stream.clone());
        LiveStream { index: self.clone(), key, stream }
    }

    /// Requests that wait now.
    pub fn waiting(&self) -> usize {
        self.0.places - self.0.waiting.available_permits()
    }

    /// The stream, if this process makes HLS of it now.
    pub fn find(&self, slug: &Slug, fence: Fence) -> Option<LiveReader> {
        let streams = self.0.streams.read();
        let stream = streams.get(&(slug.clone(), fence))?.clone();
        Some(LiveReader { stream, waiting: self.0.waiting.clone(), dir: fence.dir_name() })
    }
}

#[derive(Default)]
struct Stream {
    index: Mutex<Option<String>>,
    /// One each at most.
    renditions: Mutex<Vec<(Rendition, watch::Receiver<Window>)>>,
    gone: CancellationToken,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// The renditions that are made now, to be read without this lock.
    fn windows(&self) -> Vec<(Rendition, watch::Receiver<Window>)> {
        self.renditions.lock().clone()
    }
}

/// A published stream. Dropping it withdraws it and ends the requests that wait for it.
#[derive(Debug)]
pub struct LiveStream {
    index: LiveIndex,
    key: (Slug, Fence),
    stream: Arc<Stream>,
}

impl LiveStream {
    /// Sets the multivariant playlist; `None` while the stream is not playable.
    pub fn set_index(&self, text: Option<String>) {
        *self.stream.index.lock() = text;
    }

    /// Publishes a rendition with its playlist until the returned value is dropped. It replaces a rendition of the same
    /// name.
    pub fn rendition(&self, rendition: Rendition, window: Window) -> LiveRendition {
        let (sender, receiver) = watch::channel(window);
        let mut renditions = self.stream.renditions.lock();
        renditions.retain(|(other, _)| *other != rendition);
        renditions.push((rendition, receiver));
        renditions.sort_by_key(|(rendition, _)| *rendition);
        LiveRendition { stream: self.stream.clone(), window: sender }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.stream.gone.cancel();
        let mut streams = self.index.0.streams.write();
        if streams.get(&self.key).is_some_and(|stream| Arc::ptr_eq(stream, &self.stream)) {
            streams.remove(&self.key);
        }
    }
}

/// A rendition that is published; dropped, it is gone.
#[derive(Debug)]
pub struct LiveRendition {
    stream: Arc<Stream>,
    window: watch::Sender<Window>,
}

impl LiveRendition {
    /// Changes the playlist and wakes all waiting requests once.
    pub fn change<T: Default>(&self, change: impl FnOnce(&mut Window) -> T) -> T {
        let mut result = T::default();
        self.window.send_modify(|window| result = change(window));
        result
    }

    /// Reads the playlist.
    pub fn read<T>(&self, read: impl FnOnce(&Window) -> T) -> T {
        read(&self.window.borrow())
    }
}

impl Drop for LiveRendition {
    /// The end of the sender wakes the waiting requests.
    fn drop(&mut self) {
        let own = self.window.subscribe();
        self.stream.renditions.lock().retain(|(_, window)| !window.same_channel(&own));
    }
}

/// The readers' view of a stream.
#[derive(Clone, Debug)]
pub struct LiveReader {
    stream: Arc<Stream>,
    waiting: Arc<Semaphore>,
    /// Name of the owner's directory, the prefix of URIs.
    dir: String,
}

impl LiveReader {
    /// The multivariant playlist, while the stream is playable.
    pub fn index(&self) -> Option<String> {
        self.stream.index.lock().clone()
    }

    /// The target duration of the stream, seconds: the longest of its renditions.
    pub fn target_s(&self) -> u64 {
        self.stream.windows().iter().map(|(_, window)| window.borrow().target_s()).max().unwrap_or(1)
    }

    /// The media playlist of `rendition` as soon as it lists the segment or part that `query` names.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn playlist(&self, rendition: Rendition, query: Query) -> Result<String, Refusal> {
        let mut window = self.window(rendition).ok_or(Refusal::Absent)?;
        if let Some(msn) = query.msn {
            let answer = |window: &Window| match window.answers(msn, query.part) {
                Answer::Wait => None,
                Answer::Ready if window.part_target().is_some() && !window.is_playable() => None,
                Answer::Ready => Some(Ok(())),
                Answer::TooFar => Some(Err(Refusal::TooFar)),
            };
            self.wait(&mut window, answer).await?;
        }
        if !window.borrow().is_playable() {
            return Err(Refusal::Absent);
        }
        // The other renditions first: two are never locked at a time.
        let others = self.others(rendition);
        let (target_s, prefix) = (self.target_s(), format!("{}/{}", self.dir, rendition.as_str()));
        Ok(window.borrow().render_live(&Setting { prefix: &prefix, target_s, others: &others, skip: query.skip }))
    }

    /// Where the bytes of a part are; of the next one, as soon as it is there.
    ///
    /// # Errors
    /// [`Refusal`], of which `TooFar` is not one.
    pub async fn part(&self, rendition: Rendition, sequence: u64, index: u64) -> Result<PartPlace, Refusal> {
        let mut window = self.window(rendition).ok_or(Refusal::Absent)?;
        let answer = |window: &Window| match window.part(sequence, index) {
            Some(place) => Some(Ok(place)),
            None if window.next_part() == Some((sequence, index)) => None,
            None => Some(Err(Refusal::Absent)),
        };
        self.wait(&mut window, answer).await
    }

    fn window(&self, rendition: Rendition) -> Option<watch::Receiver<Window>> {
        self.stream.windows().into_iter().find_map(|(other, window)| (other == rendition).then_some(window))
    }

    fn others(&self, rendition: Rendition) -> Vec<RenditionReport> {
        let windows = self.stream.windows();
        let others = windows.iter().filter(|(other, _)| *other != rendition);
        others
            .filter_map(|(rendition, window)| {
                let window = window.borrow();
                let (sequence, parts) = window.newest().filter(|_| window.is_playable())?;
                Some(RenditionReport { rendition: *rendition, sequence, parts })
            })
            .collect()
    }

    /// Waits until `answer` returns a value. Only a request that really waits takes a place among [`MAX_WAITING`].
    async fn wait<T>(
        &self,
        window: &mut watch::Receiver<Window>,
        answer: impl Fn(&Window) -> Option<Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        // Marked as seen before it is read: a later change wakes this request.
        if let Some(answer) = answer(&window.borrow_and_update()) {
            return answer;
        }
        let _place = self.waiting.try_acquire().map_err(|_| Refusal::Crowded)?;
        let patience = Duration::from_secs(self.target_s() * PATIENCE_TARGETS);
        let changes = async {
            loop {
                window.changed().await.map_err(|_| Refusal::Absent)?;
                if let Some(answer) = answer(&window.borrow_and_update()) {
                    return answer;
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stream.gone.cancelled() => Err(Refusal::Absent),
            answered = tokio::time::timeout(patience, changes) => answered.unwrap_or(Err(Refusal::Late)),
        }
    }
}

#[cfg(test)]
mod tests;
