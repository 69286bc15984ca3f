//! JPEG frames: while they are wanted, the newest picture of a stream to NATS; never a queue.

#[doc(hidden)] // Public for fuzzing only.
pub mod pass_through;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rsm_shared::bus::frames::DropReason;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::wire::frame_headers::FrameHeaders;

use super::frames::FrameSink;
use super::wish::Wish;
use crate::media::access_unit::AccessUnit;
use crate::media::hub::{Listen, StreamHub, Subscription};
use crate::media::keyless::PATIENCE;
use crate::media::queue::Popped;
use crate::metrics::{FrameLoss, StreamSeries};
use crate::pipeline::PipelineError;
use crate::pipeline::hardware::Hardware;
use crate::pipeline::to_jpeg::{JpegFeeder, JpegFrame, JpegPipeline, NewestJpeg};

/// Wait after a failure: doubled each time from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Units whose arrival is remembered until their frame is sent: the 8 of the appsrc, the 16 at most that a decoder
/// reorders, and what comes while NATS takes a frame, generously.
const MAX_IN_FLIGHT: usize = 256;
/// A picture older than this is decoded for those behind it, but no longer worth scaling and encoding.
const LATE: Duration = Duration::from_secs(1);
/// From here on decoding alone does not catch up: what waits before the newest key picture is left out.
const TOO_LATE: Duration = Duration::from_millis(2500);
/// Frames that NATS refuses for their size are encoded this much coarser, down to the least.
const QUALITY_STEP: u32 = 15;
const LEAST_QUALITY: u32 = 20;

/// What the output of one stream needs.
pub struct JpegOutput {
    pub slug: Slug,
    pub zone: Zone,
    pub fence: Fence,
    pub hub: Arc<StreamHub>,
    pub frames: Arc<dyn FrameSink>,
    pub metrics: StreamSeries,
    pub hardware: Hardware,
    pub report: Arc<dyn JpegReport>,
    /// Set once a frame was published. Read by the heartbeat.
    pub shown: Arc<AtomicBool>,
}

/// What is told of the output while it runs.
pub trait JpegReport: Send + Sync {
    /// Whether nothing can be shown, because pictures come and none of them is a key picture.
    fn keyless(&self, so: bool);
}

/// Why a decoder, or passing pictures through, is ended without a fault.
enum Break {
    /// The next unit is of another timeline.
    Timeline(Arc<AccessUnit>),
    /// This picture cannot be passed through.
    Unfit(Arc<AccessUnit>),
    /// Other parameters are wanted, or none.
    Demand,
}

/// What becomes of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Show,
    /// Only decoded, for those behind it.
    Decode,
    /// Left out, if a key picture waits behind it.
    Skip,
}

/// The lag of an output that is too slow must not grow: late pictures are not shown, later ones not even decoded. The
/// backlog is old by nature, and all of it is needed to get to the present.
fn pace(age: Duration, backlog: bool) -> Pace {
    match (age, backlog) {
        (_, true) => Pace::Decode,
        (age, _) if age >= TOO_LATE => Pace::Skip,
        (age, _) if age >= LATE => Pace::Decode,
        _ => Pace::Show,
    }
}

/// When the units in the pipeline that will be shown were captured, by their time.
#[derive(Default)]
struct InFlight(Mutex<VecDeque<(Duration, SystemTime)>>);

impl JpegOutput {
    /// Runs until the stream ends; the pipeline is Null when it returns.
    pub async fn run(self, mut wish: Wish) {
        // One number per frame for the whole life of the claim, over all pipelines.
        let mut seq = 0;
        let mut retry = RETRY.0;
        while wish.until_jpeg().await {
            let Some(params) = wish.jpeg() else { continue };
            let before = seq;
            let produced = self.produce(params, &mut wish, &mut seq).await;
            self.report.keyless(false);
            match produced {
                Ok(()) => retry = RETRY.0,
                Err(error) => {
                    self.metrics.output_failed("jpeg");
                    tracing::warn!(stream = %self.slug, %error, "JPEG output begins anew");
                    retry = if seq > before { RETRY.0 } else { retry };
                    wish.pause(retry).await;
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
    }

    /// One decoder after the other while these parameters are wanted.
    async fn produce(&self, params: JpegParams, wish: &mut Wish, seq: &mut u64) -> Result<(), PipelineError> {
        let subscription = self.hub.subscribe(Listen::Pictures);
        let mut next = None;
        // Told once; after that there is nothing to do but to wait on.
        let mut patience = PATIENCE;
        // The timeline with a picture that could not be passed through: all of it is encoded.
        let mut encoded = None;
        loop {
            let first = tokio::select! {
                unit = subscription.next_key(next.take(), patience) => unit,
                () = wish.until_jpeg_is_not(params) => return Ok(()),
            };
            self.report.keyless(first.is_none());
            let Some(first) = first else {
                patience = Duration::MAX;
                let seconds = PATIENCE.as_secs();
                tracing::warn!(stream = %self.slug, seconds, "no frames yet: the camera sends pictures, but no key picture");
                continue;
            };
            let passes = encoded != Some(first.timeline) && self.as_it_is(&first, params).is_some();
            let ended = if passes {
                tokio::select! {
                    ended = self.pass_through(first, &subscription, params, seq) => ended,
                    () = wish.until_jpeg_is_not(params) => Break::Demand,
                }
            } else {
                self.encode(first, &subscription, params, wish, seq).await?
            };
            match ended {
                Break::Timeline(unit) => next = Some(unit),
                Break::Unfit(unit) => {
                    encoded = Some(unit.timeline);
                    next = Some(unit);
                }
                Break::Demand => return Ok(()),
            }
        }
    }

    /// One decoder, from `first` on.
    async fn encode(
        &self,
        first: Arc<AccessUnit>,
        subscription: &Subscription,
        params: JpegParams,
        wish: &mut Wish,
        seq: &mut u64,
    ) -> Result<Break, PipelineError> {
        let (mut pipeline, newest) = JpegPipeline::start(&first.video, params, &self.hardware).await?;
        let in_flight = InFlight::default();
        let ended = {
            let (feeder, failed) = pipeline.split();
            tokio::select! {
                ended = feed(feeder, first, subscription, &in_flight) => ended.map(Break::Timeline),
                error = failed => Err(error),
                () = wish.until_jpeg_is_not(params) => Ok(Break::Demand),
                () = self.publish_newest(newest, params, feeder, &in_flight, seq) => Err(PipelineError::Ended),
            }
        };
        pipeline.stop().await;
        ended
    }

    /// Sends the newest frame that was not sent, again and again. A slow NATS makes the rate fall, nothing else.
    async fn publish_newest(
        &self,
        mut newest: NewestJpeg,
        params: JpegParams,
        feeder: &JpegFeeder,
        in_flight: &InFlight,
        seq: &mut u64,
    ) {
        let (mut last, mut quality) = (0, params.quality);
        while newest.changed().await.is_ok() {
            let Some(frame) = newest.borrow_and_update().clone() else { continue };
            self.metrics.encoded(frame.encode);
            self.metrics.dropped(FrameLoss::Superseded, frame.number.saturating_sub(last + 1));
            last = frame.number;
            let len = frame.data.len();
            let Some(captured) = in_flight.take(frame.pts) else {
                // Nobody knows how old it is, and calling it new would be a lie. A newer one follows.
                self.metrics.dropped(FrameLoss::Unmatched, 1);
                continue;
            };
            let sent = self.send(frame, seq, captured).await;
            if sent == Err(FrameLoss::Bus(DropReason::TooLarge)) && quality > LEAST_QUALITY {
                quality = quality.saturating_sub(QUALITY_STEP).max(LEAST_QUALITY);
                feeder.set_quality(quality);
                tracing::info!(stream = %self.slug, quality, bytes = len, "frames are too large for NATS: coarser now");
            }
        }
    }

    /// Publishes one frame, and counts what became of it.
    async fn send(&self, frame: JpegFrame, seq: &mut u64, captured: SystemTime) -> Result<(), FrameLoss> {
        *seq += 1;
        let len = frame.data.len();
        let sent = self.publish(frame, *seq, captured).await;
        match sent {
            Ok(()) => {
                self.metrics.published(len);
                self.shown.store(true, Ordering::Relaxed);
            }
            Err(loss) => self.metrics.dropped(loss, 1),
        }
        sent
    }

    async fn publish(&self, frame: JpegFrame, seq: u64, captured: SystemTime) -> Result<(), FrameLoss> {
        if frame.data.len() > self.frames.max_frame_bytes() {
            return Err(FrameLoss::Bus(DropReason::TooLarge));
        }
        let headers = FrameHeaders {
            fence: self.fence,
            seq,
            captured_at_us: unix_us(captured),
            published_at_us: unix_us(SystemTime::now()),
            width: frame.width,
            height: frame.height,
        };
        self.frames.publish(&self.zone, &self.slug, None, headers, frame.data).await
    }
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Duration, SystemTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, unit: &AccessUnit) {
        let mut units = self.lock();
        if units.len() >= MAX_IN_FLIGHT {
            units.pop_front();
        }
        units.push_back((unit.pts, unit.captured));
    }

    /// When the unit of that time arrived. Pictures come out in the order of their times, so all earlier ones are
    /// done with.
    fn take(&self, pts: Duration) -> Option<SystemTime> {
        let mut units = self.lock();
        let arrived = units.iter().find(|(at, _)| *at == pts).map(|(_, arrived)| *arrived);
        units.retain(|(at, _)| *at > pts);
        arrived
    }
}

async fn feed(
    feeder: &JpegFeeder,
    first: Arc<AccessUnit>,
    subscription: &Subscription,
    in_flight: &InFlight,
) -> Result<Arc<AccessUnit>, PipelineError> {
    let timeline = first.timeline;
    let mut unit = first;
    // The key picture that the backlog begins with is shown: decoding the rest takes 6 ms for each picture of 1080p,
    // and somebody waits. What follows it is shown from where the backlog ends.
    let mut pace_now = Pace::Show;
    loop {
        if pace_now != Pace::Skip || !subscription.skip_to_newest_key() {
            let shown = pace_now == Pace::Show;
            if shown {
                in_flight.add(&unit);
            }
            feeder.push(&unit, shown).await?;
        }
        unit = loop {
            // Behind a loss comes a key picture, which a decoder takes as it comes.
            if let Popped::Unit(next) = subscription.next().await {
                break next;
            }
        };
        if unit.timeline != timeline {
            return Ok(unit);
        }
        pace_now = pace(Instant::now().saturating_duration_since(unit.arrived), subscription.is_backlog(&unit));
    }
}

fn unix_us(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
