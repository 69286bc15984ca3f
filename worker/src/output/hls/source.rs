//! The source rendition and the sound, from a hub to their shelves; and where every other rendition's segments begin.

use std::sync::Arc;

use super::listening::Listening;
use super::shelf::Shelf;
use super::{Fault, HlsStream};
use crate::hls::pictures::PictureTrack;
use crate::hls::plan::{Cut, Planner};
use crate::hls::segmenter::Made;
use crate::media::access_unit::AccessUnit;
use crate::media::hub::Subscription;
use crate::media::parameters::{VideoCodec, VideoParameters};
use crate::media::queue::{MAX_BYTES, MAX_UNITS, Popped};
use crate::mp4::{self, VIDEO_TIMESCALE};
use rsm_shared::stream::rendition::Rendition;

/// Makes the source rendition. Lives as long as its stream.
pub(super) struct SourceMaker {
    stream: Arc<HlsStream>,
    planner: Planner,
    shelf: Shelf,
    pub listening: Listening,
    /// Of the timeline that is being made.
    pictures: Option<(u64, PictureTrack)>,
    /// Pictures and bytes since the newest key picture.
    group: (usize, usize),
    video: Option<Arc<VideoParameters>>,
    /// The multivariant playlist as it was told last.
    index: Option<String>,
    /// It names sound.
    offered_sound: bool,
}

impl SourceMaker {
    pub fn new(stream: Arc<HlsStream>, numbers: (u64, u64)) -> Self {
        let planner = Planner::new(stream.segment_target(), numbers.0, numbers.1);
        let (shelf, listening) = (Shelf::new(stream.clone(), Rendition::Source), Listening::new(stream.clone()));
        let maker = Self {
            stream,
            planner,
            shelf,
            listening,
            pictures: None,
            group: (0, 0),
            video: None,
            index: None,
            offered_sound: false,
        };
        maker.report_progress();
        maker
    }

    /// The number of the next segment.
    pub fn sequence(&self) -> u64 {
        self.planner.next().0
    }

    /// What comes next to be [taken](Self::take); `None` when only sound or a loss did. Safe to drop.
    pub async fn next(&mut self, subscription: &Subscription) -> Option<Arc<AccessUnit>> {
        tokio::select! {
            biased;
            popped = subscription.next() => match popped {
                Popped::Unit(unit) => Some(unit),
                // What is missing is made up for by showing the picture before it for longer.
                Popped::Lost(_) => None,
            },
            () = self.listening.encoded() => None,
        }
    }

    /// Takes what [came](Self::next). Not to be dropped half-way.
    pub async fn take(&mut self, came: Option<Arc<AccessUnit>>) -> Result<(), Fault> {
        let Some(unit) = came else {
            let reached = self.pictures.as_ref().map(|(timeline, _)| (*timeline, self.stream.plan.reached(*timeline)));
            return match reached {
                Some((timeline, Some(reached))) => self.hear_until(timeline, reached).await,
                _ => Ok(()),
            };
        };
        if self.pictures.as_ref().is_some_and(|(timeline, _)| *timeline != unit.timeline) {
            self.break_time().await?;
        }
        if !unit.is_picture() {
            if self.pictures.is_some() {
                self.listening.hear(unit).await;
            }
            return Ok(());
        }
        if self.pictures.is_none() && !unit.is_key {
            return Ok(());
        }
        if unit.video.codec == VideoCodec::Jpeg {
            return Err(Fault::AnotherCodec);
        }
        self.bound_group(&unit)?;
        let (timeline, pts) = (unit.timeline, unit.pts);
        let cut = if unit.is_key { self.planner.at_key(timeline, pts, unit.captured) } else { None };
        self.stream.plan.decided(timeline, pts, cut);
        if cut.is_some() {
            self.report_progress();
        }
        self.show(unit, cut).await?;
        let reached = self.stream.plan.reached(timeline).unwrap_or(pts);
        self.hear_until(timeline, reached).await
    }

    async fn hear_until(&mut self, timeline: u64, reached: std::time::Duration) -> Result<(), Fault> {
        self.listening.follow(timeline, reached).await?;
        let heard = self.listening.is_heard();
        let playable = self.shelf.look(|window| window.is_playable()).unwrap_or_default();
        if playable && heard != self.offered_sound { self.offer().await } else { Ok(()) }
    }

    /// A group without end would be kept whole.
    fn bound_group(&mut self, unit: &AccessUnit) -> Result<(), Fault> {
        if unit.is_key {
            self.group = (0, 0);
        }
        self.group = (self.group.0 + 1, self.group.1 + unit.data.len());
        if self.group.0 > MAX_UNITS || self.group.1 > MAX_BYTES { Err(Fault::NoKeyPicture) } else { Ok(()) }
    }

    async fn show(&mut self, unit: Arc<AccessUnit>, cut: Option<Cut>) -> Result<(), Fault> {
        let (timeline, video) = (unit.timeline, unit.video.clone());
        let known = self.shelf.look(|window| window.part_target());
        let (_, track) = self.pictures.get_or_insert_with(|| {
            let track = match known {
                Some(part_target) => PictureTrack::following(part_target),
                None => PictureTrack::source(self.stream.part_wanted(), self.stream.segment_target()),
            };
            (timeline, track)
        });
        let made = track.push(unit, cut);
        if let Some(part_target) = track.part_target() {
            if !self.video.as_ref().is_some_and(|known| Arc::ptr_eq(known, &video)) {
                self.shelf.open(mp4::init(&*video)?, VIDEO_TIMESCALE, part_target).await?;
                self.stream.plan.set_part_target(part_target);
                self.video = Some(video);
            }
            self.keep(made).await?;
        }
        Ok(())
    }

    async fn keep(&mut self, made: Vec<Made>) -> Result<(), Fault> {
        if self.shelf.keep(made).await? {
            self.offer().await?;
            let (listed, target_s) = self.shelf.look(|window| (window.len(), window.target_s())).unwrap_or_default();
            self.stream.report.listed(listed, target_s);
            self.stream.report.error(None);
        }
        Ok(())
    }

    /// Says in the multivariant playlist what there is.
    async fn offer(&mut self) -> Result<(), Fault> {
        let Some(video) = &self.video else { return Ok(()) };
        let audio = self.listening.offered();
        // Players take what they find in the beginning, so sound that is about to come is waited for, one segment long.
        let segments = self.shelf.look(|window| window.len()).unwrap_or_default();
        if audio.is_none() && self.index.is_none() && self.listening.is_coming() && segments < 2 {
            return Ok(());
        }
        self.offered_sound = audio.is_some();
        let bandwidth = self.shelf.look(|window| window.bandwidth()).unwrap_or_default();
        let text = super::offer::multivariant(&self.stream, video, bandwidth, audio).render();
        if self.index.as_ref() != Some(&text) {
            self.stream.dir.write_index(text.clone()).await?;
            self.stream.live.set_index(Some(text.clone()));
            self.stream.waiting.end();
            self.index = Some(text);
        }
        Ok(())
    }

    /// What comes next does not follow what was.
    async fn break_time(&mut self) -> Result<(), Fault> {
        if let Some((_, mut track)) = self.pictures.take() {
            let made = track.finish();
            // Nothing was listed of pictures that were only looked at.
            if track.part_target().is_some() && self.video.is_some() {
                self.keep(made).await?;
            }
        }
        self.listening.break_time().await?;
        self.planner.break_time();
        self.report_progress();
        self.video = None;
        Ok(())
    }

    /// Nothing is playable any more.
    pub async fn withdraw(&mut self) {
        self.stream.live.set_index(None);
        self.stream.dir.remove_index().await;
        self.index = None;
        self.offered_sound = false;
        self.pictures = None;
        self.video = None;
        let target_s = self.shelf.look(|window| window.target_s()).unwrap_or_default();
        self.shelf.withdraw().await;
        self.listening.withdraw().await;
        self.stream.report.listed(0, target_s);
        self.planner.begin_anew();
        self.stream.plan.begin_anew();
        self.report_progress();
    }

    /// Removes every segment that no playlist lists, now.
    pub async fn make_room(&mut self) {
        self.shelf.make_room().await;
        self.listening.make_room().await;
    }

    /// Waits until something unlisted is old enough to be [swept](Self::sweep); for ever when there is nothing. Safe to
    /// drop.
    pub async fn until_old(&self) {
        tokio::select! {
            () = self.shelf.until_old() => {}
            () = self.listening.until_old() => {}
        }
    }

    /// Removes what is unlisted and old. Not to be dropped half-way.
    pub async fn sweep(&mut self) {
        self.shelf.sweep().await;
        self.listening.sweep().await;
    }

    fn report_progress(&self) {
        let (media_sequence, discontinuity_sequence) = self.planner.next();
        self.stream.report.progress(media_sequence, discontinuity_sequence);
    }
}
