//! Pictures of any codec to H.264, from one hub to another. The second hub bounds its queues, as the first does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rsm_media::access_unit::AccessUnit;
use rsm_media::group_queue::Popped;
use rsm_media::keyless::PATIENCE;
use rsm_media::parameters::{VideoCodec, VideoParameters};
use rsm_shared::stream::rendition::Rendition;

use super::error::HlsError;
use super::stream::HlsStream;
use crate::hub::{StreamHub, Subscription};
use crate::pipeline::PipelineError;
use crate::pipeline::form::form;
use crate::pipeline::to_h264::{EncodedFrame, EncoderFeeder, EncoderPipeline};

/// Units in the pipeline whose arrival is remembered: those in its queues and those that an encoder holds, generously.
const MAX_IN_FLIGHT: usize = 256;

/// Encodes the pictures of one stream as `rendition`.
pub(super) struct Transcoder<'a> {
    pub stream: &'a HlsStream,
    pub rendition: Rendition,
    pub to: &'a StreamHub,
}

/// A picture on its way through a pipeline.
struct UnitInFlight {
    pts: Duration,
    arrived: Instant,
    captured: SystemTime,
}

impl Transcoder<'_> {
    /// Encodes `first`, a key frame, and the pictures after it, for ever; audio is passed on with the pictures. Does nothing
    /// while the source has no more lines than the rendition.
    pub async fn run(&self, subscription: Subscription, first: Arc<AccessUnit>) -> HlsError {
        let mut next = Some(first);
        loop {
            let Some(first) = subscription.next_key(next.take(), PATIENCE).await else { return HlsError::NoKeyFrame };
            if self.rendition == Rendition::Source && first.video.codec != VideoCodec::Jpeg {
                return HlsError::AnotherCodec;
            }
            match self.encode(first, &subscription).await {
                Ok(unit) => next = unit,
                Err(error) => {
                    self.stream.hardware.note_failure(&error);
                    return error.into();
                }
            }
            // A subscriber must not begin with pictures of an earlier pipeline.
            self.to.forget();
        }
    }

    /// Runs one pipeline, from a key frame to a break of time; returns the unit after the break.
    async fn encode(
        &self,
        first: Arc<AccessUnit>,
        subscription: &Subscription,
    ) -> Result<Option<Arc<AccessUnit>>, PipelineError> {
        let fps = self.stream.report.fps().or(first.video.declared_fps);
        let Some(form) = form(&first.video, fps, self.rendition) else {
            return Ok(until_another(subscription, first.timeline).await);
        };
        let (mut pipeline, mut pictures) =
            EncoderPipeline::start(&first.video, &form, fps, &self.stream.hardware).await?;
        let in_flight = parking_lot::Mutex::new(VecDeque::new());
        let timeline = first.timeline;
        let ended = {
            let (feeder, failed) = pipeline.split();
            let taking = async {
                let mut video: Option<Arc<VideoParameters>> = None;
                while let Some(picture) = pictures.recv().await {
                    let video = match &video {
                        Some(video) if video.codec_data == picture.codec_data => video.clone(),
                        _ => {
                            let new = VideoParameters::from_avcc(picture.codec_data.clone())
                                .map_err(|e| PipelineError::Build(e.to_string()))?;
                            // The encoder is configured to keep the order.
                            video
                                .insert(Arc::new(VideoParameters { reorder: Some(0), declared_fps: fps, ..new }))
                                .clone()
                        }
                    };
                    self.to.publish(unit(picture, &in_flight, timeline, video));
                }
                Err(PipelineError::Ended)
            };
            let feeding = feed(feeder, first, subscription, &in_flight, self.to);
            tokio::select! {
                next = feeding => next,
                error = failed => Err(error),
                taken = taking => taken,
            }
        };
        pipeline.stop().await;
        ended
    }
}

fn unit(
    picture: EncodedFrame,
    in_flight: &parking_lot::Mutex<VecDeque<UnitInFlight>>,
    timeline: u64,
    video: Arc<VideoParameters>,
) -> AccessUnit {
    let EncodedFrame { data, pts, is_key, .. } = picture;
    let mut in_flight = in_flight.lock();
    // Pictures leave in presentation order, so the ones before this one never come.
    while in_flight.front().is_some_and(|unit| unit.pts < pts) {
        in_flight.pop_front();
    }
    let (arrived, captured) = match in_flight.front() {
        Some(unit) if unit.pts == pts => (unit.arrived, unit.captured),
        _ => (Instant::now(), SystemTime::now()),
    };
    AccessUnit { data, pts, is_key, arrived, captured, timeline, video, audio: None }
}

/// Feeds pictures until one is of another timeline; audio bypasses the pipeline.
async fn feed(
    feeder: &EncoderFeeder,
    first: Arc<AccessUnit>,
    subscription: &Subscription,
    in_flight: &parking_lot::Mutex<VecDeque<UnitInFlight>>,
    to: &StreamHub,
) -> Result<Option<Arc<AccessUnit>>, PipelineError> {
    let timeline = first.timeline;
    let mut unit = first;
    loop {
        if unit.timeline != timeline {
            return Ok(Some(unit));
        }
        if unit.is_picture() {
            let mark = UnitInFlight { pts: unit.pts, arrived: unit.arrived, captured: unit.captured };
            remember(&mut in_flight.lock(), mark);
            feeder.push(&unit, true).await?;
        } else {
            to.publish((*unit).clone());
        }
        unit = loop {
            // A key frame follows a loss, and a decoder takes it without further ado.
            if let Popped::Unit(next) = subscription.next().await {
                break next;
            }
        };
    }
}

/// Inserts in presentation order, which differs from the order of arrival when there are B pictures.
fn remember(in_flight: &mut VecDeque<UnitInFlight>, mark: UnitInFlight) {
    let at = in_flight.iter().rposition(|other| other.pts <= mark.pts).map_or(0, |before| before + 1);
    in_flight.insert(at, mark);
    if in_flight.len() > MAX_IN_FLIGHT {
        in_flight.pop_front();
    }
}

async fn until_another(subscription: &Subscription, timeline: u64) -> Option<Arc<AccessUnit>> {
    loop {
        match subscription.next().await {
            Popped::Unit(unit) if unit.timeline != timeline => return Some(unit),
            Popped::Unit(_) | Popped::Lost(_) => {}
        }
    }
}
