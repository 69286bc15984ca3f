//! One encoded rendition, while somebody watches it.

use std::sync::Arc;

use rsm_shared::stream::rendition::Rendition;

use super::shelf::Shelf;
use super::transcode::Transcoder;
use super::{Backoff, Fault, HlsStream};
use crate::hls::pictures::PictureTrack;
use crate::hls::plan::Cut;
use crate::hls::window::Window;
use crate::media::access_unit::AccessUnit;
use crate::media::hub::{Listen, StreamHub, Subscription};
use crate::media::keyless::PATIENCE;
use crate::media::parameters::{VideoCodec, VideoParameters};
use crate::media::queue::Popped;
use crate::mp4::{self, VIDEO_TIMESCALE};
use crate::output::wish::Wish;

/// Makes one rendition.
pub(super) struct RenditionMaker {
    stream: Arc<HlsStream>,
    rendition: Rendition,
    shelf: Shelf,
    pictures: Option<(u64, PictureTrack)>,
    video: Option<Arc<VideoParameters>>,
    /// The segment that was begun last. Parts of it may have been fetched, so no number is begun twice.
    newest: Option<u64>,
}

impl RenditionMaker {
    pub fn new(stream: Arc<HlsStream>, rendition: Rendition) -> Self {
        let shelf = Shelf::new(stream.clone(), rendition);
        Self { stream, rendition, shelf, pictures: None, video: None, newest: None }
    }

    /// Runs until the stream ends.
    pub async fn run(mut self, mut wish: Wish) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased;
                wanted = wish.until_rendition(self.rendition) => if !wanted { break },
                () = self.shelf.until_old() => {
                    self.shelf.sweep().await;
                    continue;
                }
            }
            let fault = self.produce(&mut wish).await;
            if self.shelf.look(Window::is_playable).unwrap_or_default() {
                backoff = Backoff::default();
            }
            self.withdraw().await;
            if let Err(fault) = fault {
                self.stream.metrics.output_failed(self.rendition.as_str());
                let (rendition, detail) = (self.rendition.as_str(), fault.detail());
                let stream = &self.stream.slug;
                tracing::warn!(repeats = true, %stream, output = rendition, error = %fault, detail, "a rendition stops for a while");
                wish.pause(backoff.next()).await;
            } else {
                backoff = Backoff::default();
            }
        }
        self.withdraw().await;
    }

    /// Encodes while it is wanted and the source is made, whose segments it follows.
    async fn produce(&mut self, wish: &mut Wish) -> Result<(), Fault> {
        let stream = self.stream.clone();
        let begun = async {
            let run = stream.plan.begun().await;
            source_of(&stream).await.map(|(from, first)| (run, from, first))
        };
        let (run, from, first) = tokio::select! {
            begun = begun => begun?,
            () = wish.until_no_rendition(self.rendition) => return Ok(()),
        };
        // Not before: the source of a JPEG camera needs a place itself, and this would wait for it with the last one.
        let Ok(_place) = stream.encoders.clone().try_acquire_owned() else { return Err(Fault::NoEncoder) };
        let made = StreamHub::default();
        let subscription = made.subscribe(Listen::Pictures);
        let transcoder = Transcoder { stream: &stream, rendition: self.rendition, to: &made };
        let transcoding = transcoder.run(from, first);
        let over = stream.plan.over(run);
        tokio::pin!(transcoding, over);
        loop {
            let unit = tokio::select! {
                () = wish.until_no_rendition(self.rendition) => return Ok(()),
                () = &mut over => return Ok(()),
                fault = &mut transcoding => return Err(fault),
                popped = subscription.next() => match popped {
                    Popped::Unit(unit) => unit,
                    Popped::Lost(_) => continue,
                },
            };
            let cut = tokio::select! {
                () = wish.until_no_rendition(self.rendition) => return Ok(()),
                () = &mut over => return Ok(()),
                fault = &mut transcoding => return Err(fault),
                cut = self.cut(&unit) => cut,
            };
            self.take(unit, cut).await?;
        }
    }

    /// The segment that a picture begins, once the source has decided. Safe to drop.
    async fn cut(&self, unit: &AccessUnit) -> Option<Cut> {
        if !unit.is_key {
            return None;
        }
        let plan = &self.stream.plan;
        let cut = plan.cut_at(unit.timeline, unit.pts).await;
        let begun = self.pictures.as_ref().is_some_and(|(timeline, _)| *timeline == unit.timeline);
        // It begins within the segment that is being made.
        let cut = cut.or_else(|| if begun { None } else { plan.current(unit.timeline, unit.pts) });
        let cut = cut.filter(|cut| self.newest.is_none_or(|newest| cut.sequence > newest));
        if cut.is_some() {
            // Decided with the source's first pictures.
            plan.part_target().await;
        }
        cut
    }

    /// Not to be dropped half-way.
    async fn take(&mut self, unit: Arc<AccessUnit>, cut: Option<Cut>) -> Result<(), Fault> {
        if self.pictures.as_ref().is_some_and(|(timeline, _)| *timeline != unit.timeline) {
            self.break_time().await?;
        }
        if self.pictures.is_none() {
            if cut.is_none() {
                return Ok(());
            }
            let part_target = self.stream.plan.part_target().await;
            self.pictures = Some((unit.timeline, PictureTrack::following(part_target)));
        }
        self.newest = cut.map(|cut| cut.sequence).or(self.newest);
        let video = unit.video.clone();
        let Some((_, track)) = &mut self.pictures else { return Ok(()) };
        let made = track.push(unit, cut);
        if let Some(part_target) = track.part_target() {
            if !self.video.as_ref().is_some_and(|known| Arc::ptr_eq(known, &video)) {
                self.shelf.open(mp4::init(&*video)?, VIDEO_TIMESCALE, part_target).await?;
                self.video = Some(video);
            }
            self.shelf.keep(made).await?;
        }
        Ok(())
    }

    async fn break_time(&mut self) -> Result<(), Fault> {
        if let Some((_, mut track)) = self.pictures.take() {
            let made = track.finish();
            if self.video.take().is_some() {
                self.shelf.keep(made).await?;
            }
        }
        Ok(())
    }

    async fn withdraw(&mut self) {
        self.pictures = None;
        self.video = None;
        self.shelf.withdraw().await;
    }
}

/// The pictures whose key pictures begin the source's segments, and the first of them.
async fn source_of(stream: &HlsStream) -> Result<(Subscription, Arc<AccessUnit>), Fault> {
    let mut subscription = stream.hub.subscribe(Listen::Pictures);
    let mut first = subscription.next_key(None, PATIENCE).await.ok_or(Fault::NoKeyPicture)?;
    if first.video.codec == VideoCodec::Jpeg {
        subscription = stream.encoded.subscribe(Listen::Pictures);
        first = subscription.next_key(None, PATIENCE).await.ok_or(Fault::NoKeyPicture)?;
    }
    Ok((subscription, first))
}
