//! The pictures of one rendition, from access units to its store. The source and every encoded rendition have one.

use std::sync::Arc;

use rsm_media::access_unit::AccessUnit;
use rsm_media::hls::parts::PartTarget;
use rsm_media::hls::picture_track::PictureTrack;
use rsm_media::hls::planner::Cut;
use rsm_media::hls::window::Window;
use rsm_media::mp4::{self, VIDEO_TIMESCALE};
use rsm_media::parameters::VideoParameters;
use rsm_shared::stream::rendition::Rendition;

use super::error::HlsError;
use super::rendition_store::RenditionStore;
use super::stream::HlsStream;

/// Makes the segments of one rendition.
pub(super) struct VideoRendition {
    store: RenditionStore,
    /// The timeline that is being made, and its track.
    track: Option<(u64, PictureTrack)>,
    /// The parameters that the store was opened with last.
    video: Option<Arc<VideoParameters>>,
}

impl VideoRendition {
    pub fn new(stream: Arc<HlsStream>, rendition: Rendition) -> Self {
        Self { store: RenditionStore::new(stream, rendition), track: None, video: None }
    }

    /// The timeline that is being made.
    pub fn timeline(&self) -> Option<u64> {
        self.track.as_ref().map(|(timeline, _)| *timeline)
    }

    /// The parameters of the pictures in the store; `None` while it has none of this timeline.
    pub fn video(&self) -> Option<&Arc<VideoParameters>> {
        self.video.as_ref()
    }

    /// Reads the playlist; `None` when there is none.
    pub fn read<T>(&self, read: impl FnOnce(&Window) -> T) -> Option<T> {
        self.store.read(read)
    }

    /// Takes the next picture, which begins `cut`, if any. `begin` makes the track of a new timeline; `opened` is called
    /// with the part target each time the store was opened. `true` when a segment was written. Not cancel safe.
    pub async fn push(
        &mut self,
        unit: Arc<AccessUnit>,
        cut: Option<Cut>,
        begin: impl FnOnce() -> PictureTrack,
        opened: impl FnOnce(Option<PartTarget>),
    ) -> Result<bool, HlsError> {
        let (timeline, video) = (unit.timeline, unit.video.clone());
        let (_, track) = self.track.get_or_insert_with(|| (timeline, begin()));
        let made = track.push(unit, cut);
        let Some(part_target) = track.part_target() else { return Ok(false) };
        if !self.video.as_ref().is_some_and(|known| Arc::ptr_eq(known, &video)) {
            self.store.open(mp4::init(&*video)?, VIDEO_TIMESCALE, part_target).await?;
            opened(part_target);
            self.video = Some(video);
        }
        Ok(self.store.add(made).await?)
    }

    /// Ends the timeline: the rest of its track goes to a last segment. `true` when one was written. Not cancel safe.
    pub async fn finish(&mut self) -> Result<bool, HlsError> {
        let Some((_, mut track)) = self.track.take() else { return Ok(false) };
        let made = track.finish();
        // Without parameters no picture was listed: all were still being examined.
        if self.video.is_none() {
            return Ok(false);
        }
        Ok(self.store.add(made).await?)
    }

    /// The next picture opens the store again: its parameters may be others.
    pub fn forget_parameters(&mut self) {
        self.video = None;
    }

    /// Takes the playlist away; the files stay for a window's time.
    pub async fn withdraw(&mut self) {
        self.track = None;
        self.video = None;
        self.store.withdraw().await;
    }

    /// Removes every segment that no playlist lists, now.
    pub async fn make_room(&mut self) {
        self.store.make_room().await;
    }

    /// See [`RenditionStore::until_old`].
    pub async fn until_old(&self) {
        self.store.until_old().await;
    }

    /// See [`RenditionStore::sweep`].
    pub async fn sweep(&mut self) {
        self.store.sweep().await;
    }
}
