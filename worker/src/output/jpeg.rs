//! JPEG frames: while they are demanded, the newest picture of a stream goes to NATS; never a queue. A picture is decoded
//! once, and encoded once for each demanded size.

mod pass_through;
pub(crate) mod publish;
pub(super) mod size;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rsm_shared::backoff::Backoff;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;

use super::demand::OutputDemand;
use super::frames::FrameSink;
use crate::hub::{Listen, StreamHub, Subscription};
use crate::metrics::StreamSeries;
use crate::pipeline::PipelineError;
use crate::pipeline::hardware::Hardware;
use crate::pipeline::to_jpeg::{JpegEncoder, JpegFeeder, JpegPipeline};
use crate::stream_trace::{StreamTrace, Waiting};
use pass_through::{PassOutcome, Passing, as_it_is};
use rsm_media::access_unit::AccessUnit;
use rsm_media::group_queue::Popped;
use rsm_media::keyless::PATIENCE;
use rsm_media::parameters::VideoCodec;
use size::{FrameNumbers, Size};

/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A picture older than this is decoded for those behind it, but no longer worth scaling and encoding.
const LATE: Duration = Duration::from_secs(1);
/// A picture older than this is too late even for decoding: the pictures before the newest key frame are skipped.
const TOO_LATE: Duration = Duration::from_millis(2500);

/// The JPEG output of one stream.
pub struct JpegOutput {
    pub slug: Slug,
    pub zone: Zone,
    pub fence: Fence,
    pub hub: Arc<StreamHub>,
    pub frames: Arc<dyn FrameSink>,
    pub metrics: StreamSeries,
    pub hardware: Hardware,
    pub report: Arc<dyn JpegReport>,
    pub trace: StreamTrace,
    /// The span that ends with the first frame of a demand.
    pub waiting: Waiting,
    /// Set once a frame was published. Read by the heartbeat.
    pub shown: Arc<AtomicBool>,
}

/// Receives reports of the output while it runs.
pub trait JpegReport: Send + Sync {
    /// `so` is true when nothing can be shown, because pictures come and none of them is a key frame.
    fn keyless(&self, so: bool);
}

/// Why frames are begun anew without an error.
enum RunEnd {
    /// The next unit is of another timeline.
    Timeline(Arc<AccessUnit>),
    /// This picture cannot be passed through.
    Unfit(Arc<AccessUnit>),
    /// A decoder is needed now, or is needed no longer, for a camera that sends JPEG.
    Ways,
    /// Nothing is demanded.
    Demand,
}

/// One timeline of pictures.
#[derive(Clone, Copy)]
struct Run<'a> {
    first: &'a Arc<AccessUnit>,
    /// Size of its pictures, when they are frames without decoding.
    frame: Option<(u32, u32)>,
    subscription: &'a Subscription,
    numbers: &'a FrameNumbers,
}

impl Run<'_> {
    /// True when frames of that size take no encoder.
    fn passes(&self, size: &Size) -> bool {
        self.frame.is_some_and(|(width, _)| width <= size.params.max_width)
    }

    fn needs_decoder(&self, sizes: &[Size]) -> bool {
        sizes.iter().any(|size| !self.passes(size))
    }
}

/// One size that is being made.
struct SizeInWork {
    size: Size,
    /// `None` when pictures pass through.
    encoder: Option<JpegEncoder>,
}

/// The treatment of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Show,
    /// Only decoded, for those behind it.
    Decode,
    /// Left out, if a key frame waits behind it.
    Skip,
}

/// The lag of an output that is too slow must not grow: late pictures are not shown, later ones not even decoded. The
/// backlog is old by nature, and all of it is needed to get to the present. Where every picture is a key frame, none
/// is needed for others.
fn pace(age: Duration, backlog: bool, all_keys: bool) -> Pace {
    match (age, backlog) {
        (_, true) => Pace::Decode,
        (age, _) if age >= TOO_LATE || (all_keys && age >= LATE) => Pace::Skip,
        (age, _) if age >= LATE => Pace::Decode,
        _ => Pace::Show,
    }
}

impl JpegOutput {
    /// Runs until the stream ends; the pipeline is Null when it returns.
    pub async fn run(self, mut demand: OutputDemand) {
        let numbers = FrameNumbers::default();
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        while demand.until_frames().await {
            self.waiting.begin(self.trace.output("frames"));
            let before = numbers.total();
            let produced = self.produce(&mut demand, &numbers).await;
            self.report.keyless(false);
            match produced {
                Ok(()) => {
                    // The demand may have ended before the first frame.
                    self.waiting.end();
                    backoff.reset();
                }
                Err(error) => {
                    self.metrics.output_failed("jpeg");
                    self.waiting.fail("pipeline", &error);
                    tracing::warn!(repeats = true, stream = %self.slug, fence = %self.fence, %error, "JPEG output begins anew");
                    if numbers.total() > before {
                        backoff.reset();
                    }
                    demand.pause(backoff.pause(rand::random())).await;
                }
            }
        }
    }

    /// One timeline after the other while any frames are wanted.
    async fn produce(&self, demand: &mut OutputDemand, numbers: &FrameNumbers) -> Result<(), PipelineError> {
        let subscription = self.hub.subscribe(Listen::Video);
        let mut next = None;
        // Reported once; after that the output only waits.
        let mut patience = PATIENCE;
        // The timeline with a picture that could not be passed through: all of it is encoded.
        let mut encoded = None;
        loop {
            self.waiting.step("wait for key frame");
            let first = tokio::select! {
                unit = subscription.next_key(next.take(), patience) => unit,
                () = demand.until_no_frames() => return Ok(()),
            };
            self.report.keyless(first.is_none());
            let Some(first) = first else {
                patience = Duration::MAX;
                let seconds = PATIENCE.as_secs();
                tracing::warn!(repeats = true, stream = %self.slug, fence = %self.fence, seconds, "no frames yet: the camera sends pictures, but no key frame");
                continue;
            };
            let passes = encoded != Some(first.timeline);
            let frame = passes.then(|| as_it_is(&first, self.frames.max_frame_bytes())).flatten();
            let run = Run { first: &first, frame, subscription: &subscription, numbers };
            match self.show(run, demand).await? {
                RunEnd::Timeline(unit) => next = Some(unit),
                RunEnd::Unfit(unit) => {
                    encoded = Some(unit.timeline);
                    next = Some(unit);
                }
                RunEnd::Ways => {}
                RunEnd::Demand => return Ok(()),
            }
        }
    }

    /// One timeline, with a decoder if any size needs one.
    async fn show(&self, run: Run<'_>, demand: &mut OutputDemand) -> Result<RunEnd, PipelineError> {
        if !run.needs_decoder(&demand.sizes()) {
            return self.make(run, None, demand).await;
        }
        self.waiting.step("make pipeline");
        let mut pipeline = JpegPipeline::start(&run.first.video, &self.hardware).await?;
        self.waiting.step("code first frame");
        let ended = {
            let (feeder, failed) = pipeline.split();
            tokio::select! {
                ended = self.make(run, Some(feeder), demand) => ended,
                error = failed => Err(error),
            }
        };
        pipeline.stop().await;
        ended
    }

    /// Makes the sizes that are wanted. They come and go beside each other.
    async fn make(
        &self,
        run: Run<'_>,
        feeder: Option<&JpegFeeder>,
        demand: &mut OutputDemand,
    ) -> Result<RunEnd, PipelineError> {
        let (passing, mut making) = (Passing::default(), Vec::<SizeInWork>::new());
        let mut publishing = FuturesUnordered::new();
        let feeding = feed(feeder, &passing, self.frames.max_frame_bytes(), run);
        tokio::pin!(feeding);
        loop {
            let sizes = demand.sizes();
            if sizes.is_empty() {
                return Ok(RunEnd::Demand);
            }
            if run.needs_decoder(&sizes) != feeder.is_some() {
                return Ok(RunEnd::Ways);
            }
            for made in making.extract_if(.., |made| !sizes.contains(&made.size)) {
                match (made.encoder, feeder) {
                    (Some(encoder), Some(feeder)) => feeder.remove(&encoder).await,
                    _ => passing.remove(made.size),
                }
            }
            for size in sizes.iter().copied() {
                if making.iter().any(|made| made.size == size) {
                    continue;
                }
                let (encoder, newest) = match feeder.filter(|_| !run.passes(&size)) {
                    Some(feeder) => feeder.add(size.params).map(|(encoder, newest)| (Some(encoder), newest))?,
                    None => (None, passing.add(size)),
                };
                publishing.push(self.publish_newest(size, newest, encoder.clone(), run.numbers));
                making.push(SizeInWork { size, encoder });
            }
            // Frames that are ready are sent before more are made.
            loop {
                tokio::select! {
                    biased;
                    goes_on = demand.until_sizes_are_not(&sizes) => {
                        if !goes_on {
                            return Ok(RunEnd::Demand);
                        }
                        break;
                    }
                    // Ends with its size.
                    Some(()) = publishing.next() => {}
                    ended = &mut feeding => return ended,
                }
            }
        }
    }
}

/// Every unit of the timeline to the sizes that pass pictures through, and to the decoder.
async fn feed(
    feeder: Option<&JpegFeeder>,
    passing: &Passing,
    max_bytes: usize,
    run: Run<'_>,
) -> Result<RunEnd, PipelineError> {
    let (subscription, timeline) = (run.subscription, run.first.timeline);
    let all_keys = run.first.video.codec == VideoCodec::Jpeg;
    let mut unit = run.first.clone();
    // The key frame that the backlog begins with is shown: decoding the rest takes 6 ms for each picture of 1080p,
    // and a viewer waits. The pictures after it are shown from the end of the backlog on.
    let mut pace_now = Pace::Show;
    loop {
        if pace_now != Pace::Skip || !subscription.skip_to_newest_key() {
            match passing.offer(&unit, max_bytes) {
                PassOutcome::NotDue => {}
                // It is sent before the next one can replace it.
                PassOutcome::Shown => tokio::task::yield_now().await,
                PassOutcome::Unfit => return Ok(RunEnd::Unfit(unit)),
            }
            if let Some(feeder) = feeder {
                feeder.push(&unit, pace_now == Pace::Show).await?;
            }
        }
        unit = loop {
            // Behind a loss comes a key frame, which a decoder takes as it comes.
            if let Popped::Unit(next) = subscription.next().await {
                break next;
            }
        };
        if unit.timeline != timeline {
            return Ok(RunEnd::Timeline(unit));
        }
        let age = Instant::now().saturating_duration_since(unit.arrived);
        pace_now = pace(age, subscription.is_backlog(&unit), all_keys);
    }
}

#[cfg(test)]
mod tests;
