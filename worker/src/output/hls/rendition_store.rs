//! The segments of one rendition of one owner of a stream: on disk, listed, or waiting to be removed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rsm_media::hls::parts::{Opening, Part, PartTarget};
use rsm_media::hls::picture_track::FIRST_PTS;
use rsm_media::hls::planner::Cut;
use rsm_media::hls::segmenter::{Made, MadePart, MadeSegment};
use rsm_media::hls::window::{Listed, Window};
use rsm_shared::stream::rendition::Rendition;
use tokio::time::Instant;

use super::stream::HlsStream;
use crate::hls::disk::DiskError;
use crate::hls::live::LiveRendition;
use crate::hls::segment_dir::RenditionDir;

/// A playlist is not made shorter than this to stay within the budget: players begin three segments before the end
/// (RFC 8216 section 6.3.3).
const LEAST_LISTED: usize = 3;

/// A segment that no playlist lists any more, until it is removed.
struct Unlisted {
    until: Instant,
    sequence: u64,
    len: u64,
    init: u64,
}

/// Writes, lists and removes the segments of one rendition.
pub(super) struct RenditionStore {
    stream: Arc<HlsStream>,
    files: RenditionDir,
    /// While there is a playlist.
    live: Option<LiveRendition>,
    /// Ticks per second of the track.
    timescale: u32,
    /// Oldest first. Kept for a window's time, for players that have an older playlist; so at most as many as two windows
    /// list.
    unlisted: VecDeque<Unlisted>,
    /// The newest initialisation section.
    init: Option<Bytes>,
    next_init: u64,
}

impl RenditionStore {
    /// Empty, without a playlist.
    pub fn new(stream: Arc<HlsStream>, rendition: Rendition) -> Self {
        let files = stream.dir.rendition(rendition);
        Self { stream, files, live: None, timescale: 1, unlisted: VecDeque::new(), init: None, next_init: 0 }
    }

    /// Makes an empty playlist, unless there is one. The segments that follow have `timescale` ticks per second and need
    /// the initialisation section `init`.
    pub async fn open(
        &mut self,
        init: Bytes,
        timescale: u32,
        part_target: Option<PartTarget>,
    ) -> Result<(), DiskError> {
        self.timescale = timescale;
        if self.init.as_ref() != Some(&init) {
            self.files.write_init(self.next_init, init.clone()).await?;
            self.next_init += 1;
            self.init = Some(init);
        }
        if self.live.is_none() {
            let segments = self.stream.params.window_segments as usize;
            let window = Window::new(segments, self.stream.segment_target(), part_target);
            self.live = Some(self.stream.live.rendition(self.files.rendition(), window));
        }
        Ok(())
    }

    /// Reads the playlist; `None` when there is none.
    pub fn read<T>(&self, read: impl FnOnce(&Window) -> T) -> Option<T> {
        self.live.as_ref().map(|live| live.read(read))
    }

    /// Writes and lists parts and segments; `true` when a segment was among them. Not cancel safe.
    pub async fn add(&mut self, made: Vec<Made>) -> Result<bool, DiskError> {
        let mut whole = false;
        // The last part is listed together with its segment: otherwise a part that never comes would be announced after it.
        let mut last: Option<MadePart> = None;
        for made in made {
            match made {
                Made::Part(part) => {
                    if let Some((part, opening)) = last.replace(part).map(|part| self.part(part)) {
                        self.change(|window| window.add_part(part, opening));
                    }
                }
                Made::Segment(segment) => {
                    whole = true;
                    let last = last.take().map(|part| self.part(part));
                    self.add_segment(last, segment).await?;
                }
            }
        }
        if let Some((part, opening)) = last.map(|part| self.part(part)) {
            self.change(|window| window.add_part(part, opening));
        }
        Ok(whole)
    }

    fn change<T: Default>(&self, change: impl FnOnce(&mut Window) -> T) -> T {
        self.live.as_ref().map(|live| live.change(change)).unwrap_or_default()
    }

    /// A part as the playlist takes it.
    fn part(&self, made: MadePart) -> (Part, Opening) {
        let opening = Opening {
            sequence: made.cut.sequence,
            discontinuity: made.cut.discontinuity,
            init: self.next_init.saturating_sub(1),
            at: made.cut.at + self.after(&made.cut, made.segment_start),
        };
        let duration = self.duration(made.duration);
        (Part { duration, independent: made.independent, bytes: made.bytes }, opening)
    }

    async fn add_segment(&mut self, last: Option<(Part, Opening)>, made: MadeSegment) -> Result<(), DiskError> {
        self.sweep().await;
        let cut = made.cut;
        let len = made.bytes.iter().map(|bytes| bytes.len() as u64).sum();
        self.write_within_budget(cut.sequence, made.bytes).await?;
        self.stream.metrics.hls_segment(len);
        let listed = Listed {
            sequence: cut.sequence,
            duration: self.duration(made.duration),
            len,
            discontinuity: cut.discontinuity,
            init: self.next_init.saturating_sub(1),
            at: cut.at + self.after(&cut, made.start),
        };
        let gone = self.change(|window| {
            if let Some((part, opening)) = last {
                window.add_part(part, opening);
            }
            window.push(listed)
        });
        self.unlist(gone);
        self.write_playlist().await
    }

    async fn write_playlist(&mut self) -> Result<(), DiskError> {
        let prefix = format!("{}/{}", self.stream.fence.dir_name(), self.files.rendition().as_str());
        match self.read(|window| window.render(&prefix)) {
            Some(text) => self.files.write_playlist(text).await,
            None => Ok(()),
        }
    }

    /// Over the budget, a shorter playlist is better than none.
    async fn write_within_budget(&mut self, sequence: u64, bytes: Vec<Bytes>) -> Result<(), DiskError> {
        loop {
            match self.files.write_segment(sequence, bytes.clone()).await {
                Err(DiskError::Budget(_)) if self.give_way().await? => {}
                done => return done,
            }
        }
    }

    /// Removes the unlisted segments, or else the oldest listed one. `false` when there is neither; so not more often in a
    /// row than a window is long.
    async fn give_way(&mut self) -> Result<bool, DiskError> {
        if self.unlisted.is_empty() {
            let oldest = self.change(|window| window.shorten(LEAST_LISTED));
            let Some(oldest) = oldest else { return Ok(false) };
            self.unlist(vec![oldest]);
            // Before its file goes.
            self.write_playlist().await?;
        }
        self.stream.metrics.hls_evicted(self.unlisted.len());
        self.make_room().await;
        Ok(true)
    }

    /// Takes the playlist away; the files stay for a window's time.
    pub async fn withdraw(&mut self) {
        let gone = self.live.take().map(|live| live.change(Window::clear));
        self.unlist(gone.unwrap_or_default());
        self.files.remove_playlist().await;
    }

    /// Removes every segment that no playlist lists, now.
    pub async fn make_room(&mut self) {
        self.unlisted.iter_mut().for_each(|unlisted| unlisted.until = Instant::now());
        self.sweep().await;
    }

    /// Waits until the oldest unlisted segment is old enough for [`Self::sweep`]; for ever when there is none. Cancel safe.
    pub async fn until_old(&self) {
        match self.unlisted.front().map(|unlisted| unlisted.until) {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    fn unlist(&mut self, gone: Vec<Listed>) {
        let until = Instant::now() + self.stream.segment_target() * self.stream.params.window_segments;
        // A gap has no file.
        let gone = gone.into_iter().filter(|segment| segment.len > 0);
        self.unlisted.extend(gone.map(|s| Unlisted { until, sequence: s.sequence, len: s.len, init: s.init }));
    }

    /// Removes the unlisted segments that are old enough, and the init files that no later segment needs. Not cancel safe:
    /// files that were about to be removed would stay, and count, until the stream ends.
    pub async fn sweep(&mut self) {
        let now = Instant::now();
        let listed = self.read(Window::first_init).flatten();
        let (mut gone, mut inits) = (Vec::new(), Vec::new());
        while let Some(unlisted) = self.unlisted.pop_front_if(|unlisted| unlisted.until <= now) {
            gone.push((unlisted.sequence, unlisted.len));
            let next_init = self.unlisted.front().map_or(listed, |next| Some(next.init));
            if next_init != Some(unlisted.init) && unlisted.init + 1 < self.next_init {
                inits.push(unlisted.init);
            }
        }
        if !gone.is_empty() {
            self.files.remove_segments(gone).await;
        }
        if !inits.is_empty() {
            self.files.remove_inits(inits).await;
        }
    }

    fn duration(&self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.timescale);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The delay of the rendition's first picture in its segment: that picture may lie within the segment.
    fn after(&self, cut: &Cut, start: u64) -> Duration {
        self.duration(start).saturating_sub(FIRST_PTS + cut.pts)
    }
}
