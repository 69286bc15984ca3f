//! The source rendition and the audio, from a hub to their stores; and where every other rendition's segments begin.

use std::sync::Arc;
use std::time::Duration;

use rsm_media::access_unit::AccessUnit;
use rsm_media::group_queue::{MAX_BYTES, MAX_UNITS, Popped};
use rsm_media::hls::picture_track::PictureTrack;
use rsm_media::hls::planner::{Cut, Planner};
use rsm_media::hls::window::Window;
use rsm_media::parameters::VideoCodec;
use rsm_shared::stream::rendition::Rendition;

use super::audio_rendition::AudioRendition;
use super::error::HlsError;
use super::multivariant::multivariant;
use super::stream::HlsStream;
use super::video_rendition::VideoRendition;
use crate::hub::Subscription;

/// Makes the source rendition. Lives as long as its stream.
pub(super) struct SourceRendition {
    stream: Arc<HlsStream>,
    planner: Planner,
    video: VideoRendition,
    audio: AudioRendition,
    /// Pictures and bytes since the newest key frame.
    group: (usize, usize),
    /// The multivariant playlist as it was written last.
    index: Option<String>,
    /// True when that names the audio.
    offered_audio: bool,
}

impl SourceRendition {
    /// `numbers` are the media sequence number and the Discontinuity Sequence Number of the first segment.
    pub fn new(stream: Arc<HlsStream>, numbers: (u64, u64)) -> Self {
        let rendition = Self {
            planner: Planner::new(stream.segment_target(), numbers.0, numbers.1),
            video: VideoRendition::new(stream.clone(), Rendition::Source),
            audio: AudioRendition::new(stream.clone()),
            stream,
            group: (0, 0),
            index: None,
            offered_audio: false,
        };
        rendition.report_progress();
        rendition
    }

    /// The number of the next segment.
    pub fn sequence(&self) -> u64 {
        self.planner.next().0
    }

    /// The next unit, for [`Self::take`]; `None` when an encoded audio frame or a loss came instead. Cancel safe.
    pub async fn next(&mut self, subscription: &Subscription) -> Option<Arc<AccessUnit>> {
        tokio::select! {
            biased;
            popped = subscription.next() => match popped {
                Popped::Unit(unit) => Some(unit),
                // The picture before the loss is shown for longer.
                Popped::Lost(_) => None,
            },
            () = self.audio.encoded() => None,
        }
    }

    /// Takes the result of [`Self::next`]. Not cancel safe.
    pub async fn take(&mut self, came: Option<Arc<AccessUnit>>) -> Result<(), HlsError> {
        let Some(unit) = came else {
            let timeline = self.video.timeline();
            let reached = timeline.and_then(|timeline| Some((timeline, self.reached(timeline)?)));
            return match reached {
                Some((timeline, reached)) => self.add_audio(timeline, reached).await,
                None => Ok(()),
            };
        };
        if self.video.timeline().is_some_and(|timeline| timeline != unit.timeline) {
            self.break_time().await?;
        }
        if !unit.is_picture() {
            if self.video.timeline().is_some() {
                self.audio.take(unit).await;
            }
            return Ok(());
        }
        if self.video.timeline().is_none() && !unit.is_key {
            return Ok(());
        }
        if unit.video.codec == VideoCodec::Jpeg {
            return Err(HlsError::AnotherCodec);
        }
        self.bound_group(&unit)?;
        let (timeline, pts) = (unit.timeline, unit.pts);
        let cut = if unit.is_key { self.planner.at_key(timeline, pts, unit.captured) } else { None };
        self.stream.plan.decided(timeline, pts, cut);
        if cut.is_some() {
            self.report_progress();
        }
        self.add_picture(unit, cut).await?;
        self.add_audio(timeline, self.reached(timeline).unwrap_or(pts)).await
    }

    fn reached(&self, timeline: u64) -> Option<Duration> {
        self.stream.plan.read(|cuts| cuts.reached(timeline))
    }

    /// A group without end would be kept whole.
    fn bound_group(&mut self, unit: &AccessUnit) -> Result<(), HlsError> {
        if unit.is_key {
            self.group = (0, 0);
        }
        self.group = (self.group.0 + 1, self.group.1 + unit.data.len());
        if self.group.0 > MAX_UNITS || self.group.1 > MAX_BYTES { Err(HlsError::NoKeyFrame) } else { Ok(()) }
    }

    async fn add_picture(&mut self, unit: Arc<AccessUnit>, cut: Option<Cut>) -> Result<(), HlsError> {
        let stream = &self.stream;
        let known = self.video.read(Window::part_target);
        let begin = || match known {
            Some(part_target) => PictureTrack::following(part_target),
            None => PictureTrack::source(stream.part_wanted(), stream.segment_target()),
        };
        if self.video.push(unit, cut, begin, |part_target| stream.plan.set_part_target(part_target)).await? {
            self.offer_segment().await?;
        }
        Ok(())
    }

    /// The pictures of `timeline` have reached that time: audio up to there goes to its segments.
    async fn add_audio(&mut self, timeline: u64, reached: Duration) -> Result<(), HlsError> {
        self.audio.follow(timeline, reached).await?;
        let playable = self.video.read(Window::is_playable).unwrap_or_default();
        if playable && self.audio.is_listed() != self.offered_audio { self.offer().await } else { Ok(()) }
    }

    /// Another segment is listed.
    async fn offer_segment(&mut self) -> Result<(), HlsError> {
        self.offer().await?;
        let (listed, target_s) = self.video.read(|window| (window.len(), window.target_s())).unwrap_or_default();
        self.stream.report.listed(listed, target_s);
        self.stream.report.error(None);
        Ok(())
    }

    /// Writes the multivariant playlist when its text has changed.
    async fn offer(&mut self) -> Result<(), HlsError> {
        let Some(video) = self.video.video() else { return Ok(()) };
        let audio = self.audio.offered();
        // Players keep to the renditions of the first playlist, so audio that is about to come is waited for, one segment long.
        let segments = self.video.read(Window::len).unwrap_or_default();
        if audio.is_none() && self.index.is_none() && self.audio.is_coming() && segments < 2 {
            return Ok(());
        }
        self.offered_audio = audio.is_some();
        let bandwidth = self.video.read(Window::bandwidth).unwrap_or_default();
        let text = multivariant(&self.stream, video, bandwidth, audio).render();
        if self.index.as_ref() != Some(&text) {
            self.stream.dir.write_index(text.clone()).await?;
            self.stream.live.set_index(Some(text.clone()));
            self.stream.waiting.end();
            self.index = Some(text);
        }
        Ok(())
    }

    /// Time breaks: the next unit is of another timeline.
    async fn break_time(&mut self) -> Result<(), HlsError> {
        if self.video.finish().await? {
            self.offer_segment().await?;
        }
        self.video.forget_parameters();
        self.audio.break_time().await?;
        self.planner.break_time();
        self.report_progress();
        Ok(())
    }

    /// Takes all playlists away.
    pub async fn withdraw(&mut self) {
        self.stream.live.set_index(None);
        self.stream.dir.remove_index().await;
        self.index = None;
        self.offered_audio = false;
        let target_s = self.video.read(Window::target_s).unwrap_or_default();
        self.video.withdraw().await;
        self.audio.withdraw().await;
        self.stream.report.listed(0, target_s);
        self.planner.begin_anew();
        self.stream.plan.begin_anew();
        self.report_progress();
    }

    /// Removes every segment that no playlist lists, now.
    pub async fn make_room(&mut self) {
        self.video.make_room().await;
        self.audio.make_room().await;
    }

    /// Waits until an unlisted segment is old enough for [`Self::sweep`]; for ever when there is none. Cancel safe.
    pub async fn until_old(&self) {
        tokio::select! {
            () = self.video.until_old() => {}
            () = self.audio.until_old() => {}
        }
    }

    /// Removes old unlisted segments. Not cancel safe.
    pub async fn sweep(&mut self) {
        self.video.sweep().await;
        self.audio.sweep().await;
    }

    fn report_progress(&self) {
        let (media_sequence, discontinuity_sequence) = self.planner.next();
        self.stream.report.progress(media_sequence, discontinuity_sequence);
    }
}
