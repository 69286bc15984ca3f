//! One encoded rendition, while it is watched.

use std::sync::Arc;

use rsm_media::access_unit::AccessUnit;
use rsm_media::group_queue::Popped;
use rsm_media::hls::picture_track::PictureTrack;
use rsm_media::hls::planner::Cut;
use rsm_media::hls::window::Window;
use rsm_media::keyless::PATIENCE;
use rsm_media::parameters::VideoCodec;
use rsm_shared::stream::rendition::Rendition;

use super::error::{self, HlsError};
use super::stream::HlsStream;
use super::transcode::Transcoder;
use super::video_rendition::VideoRendition;
use crate::hub::{Listen, StreamHub, Subscription};
use crate::output::demand::OutputDemand;

/// Makes one encoded rendition.
pub(super) struct EncodedRendition {
    stream: Arc<HlsStream>,
    rendition: Rendition,
    video: VideoRendition,
    /// The segment that was begun last. Parts of it may have been fetched, so no number is begun twice.
    newest: Option<u64>,
}

impl EncodedRendition {
    pub fn new(stream: Arc<HlsStream>, rendition: Rendition) -> Self {
        let video = VideoRendition::new(stream.clone(), rendition);
        Self { stream, rendition, video, newest: None }
    }

    /// Runs until the stream ends.
    pub async fn run(mut self, mut demand: OutputDemand) {
        let mut backoff = error::backoff();
        loop {
            tokio::select! {
                biased;
                wanted = demand.until_rendition(self.rendition) => if !wanted { break },
                () = self.video.until_old() => {
                    self.video.sweep().await;
                    continue;
                }
            }
            let produced = self.produce(&mut demand).await;
            if self.video.read(Window::is_playable).unwrap_or_default() {
                backoff.reset();
            }
            self.video.withdraw().await;
            if let Err(error) = produced {
                self.stream.metrics.output_failed(self.rendition.as_str());
                let (output, detail) = (self.rendition.as_str(), error.detail());
                let stream = &self.stream.slug;
                tracing::warn!(repeats = true, %stream, output, %error, detail, "an HLS rendition failed and is tried again");
                demand.pause(backoff.pause(rand::random())).await;
            } else {
                backoff.reset();
            }
        }
        self.video.withdraw().await;
    }

    /// Encodes while it is demanded and the source, whose segments it follows, is made.
    async fn produce(&mut self, demand: &mut OutputDemand) -> Result<(), HlsError> {
        let stream = self.stream.clone();
        let begun = async {
            let run = stream.plan.begun().await;
            source_of(&stream).await.map(|(from, first)| (run, from, first))
        };
        let (run, from, first) = tokio::select! {
            begun = begun => begun?,
            () = demand.until_no_rendition(self.rendition) => return Ok(()),
        };
        // Not earlier: the source of a JPEG camera needs a permit itself, and this would wait for it with the last one.
        let Ok(_permit) = stream.encoders.clone().try_acquire_owned() else { return Err(HlsError::NoEncoder) };
        let made = StreamHub::default();
        let subscription = made.subscribe(Listen::Video);
        let transcoder = Transcoder { stream: &stream, rendition: self.rendition, to: &made };
        let transcoding = transcoder.run(from, first);
        let over = stream.plan.over(run);
        tokio::pin!(transcoding, over);
        loop {
            let unit = tokio::select! {
                () = demand.until_no_rendition(self.rendition) => return Ok(()),
                () = &mut over => return Ok(()),
                error = &mut transcoding => return Err(error),
                popped = subscription.next() => match popped {
                    Popped::Unit(unit) => unit,
                    Popped::Lost(_) => continue,
                },
            };
            let cut = tokio::select! {
                () = demand.until_no_rendition(self.rendition) => return Ok(()),
                () = &mut over => return Ok(()),
                error = &mut transcoding => return Err(error),
                cut = self.cut(&unit) => cut,
            };
            self.take(unit, cut).await?;
        }
    }

    /// The segment that a picture begins, once the source has decided. Cancel safe.
    async fn cut(&self, unit: &AccessUnit) -> Option<Cut> {
        if !unit.is_key {
            return None;
        }
        let plan = &self.stream.plan;
        let cut = plan.cut_at(unit.timeline, unit.pts).await;
        let begun = self.video.timeline() == Some(unit.timeline);
        // The first picture may lie within the segment that is being made.
        let cut = cut.or_else(|| if begun { None } else { plan.read(|cuts| cuts.current(unit.timeline, unit.pts)) });
        let cut = cut.filter(|cut| self.newest.is_none_or(|newest| cut.sequence > newest));
        if cut.is_some() {
            // Decided with the source's first pictures.
            plan.part_target().await;
        }
        cut
    }

    /// Not cancel safe.
    async fn take(&mut self, unit: Arc<AccessUnit>, cut: Option<Cut>) -> Result<(), HlsError> {
        if self.video.timeline().is_some_and(|timeline| timeline != unit.timeline) {
            self.video.finish().await?;
            self.video.forget_parameters();
        }
        let part_target = match self.video.timeline() {
            // Its track has it.
            Some(_) => None,
            None if cut.is_none() => return Ok(()),
            None => self.stream.plan.part_target().await,
        };
        self.newest = cut.map(|cut| cut.sequence).or(self.newest);
        self.video.push(unit, cut, || PictureTrack::following(part_target), |_| ()).await?;
        Ok(())
    }
}

/// The pictures whose key frames begin the source's segments, and the first of them.
async fn source_of(stream: &HlsStream) -> Result<(Subscription, Arc<AccessUnit>), HlsError> {
    let mut subscription = stream.hub.subscribe(Listen::Video);
    let mut first = subscription.next_key(None, PATIENCE).await.ok_or(HlsError::NoKeyFrame)?;
    if first.video.codec == VideoCodec::Jpeg {
        subscription = stream.encoded.subscribe(Listen::Video);
        first = subscription.next_key(None, PATIENCE).await.ok_or(HlsError::NoKeyFrame)?;
    }
    Ok((subscription, first))
}
