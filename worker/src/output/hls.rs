//! HLS: while it is wanted, the encoded pictures of a stream as segments on disk and a playlist over them.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::spec::HlsParams;
use tokio_util::sync::CancellationToken;

pub use super::shelf::HlsReport;
use super::shelf::{Origin, Shelf};
use super::wish::Wish;
use crate::hls::disk::{DiskError, Lingering, SegmentDir};
use crate::hls::old::{Cut, Segment, Segmenter};
use crate::media::access_unit::AccessUnit;
use crate::media::hub::{Listen, StreamHub, Subscription};
use crate::media::keyless::PATIENCE;
use crate::media::queue::{MAX_BYTES, MAX_UNITS, Popped};
use crate::metrics::StreamSeries;
use crate::pipeline::PipelineError;
use crate::pipeline::to_cmaf::{CmafFeeder, CmafOutput, CmafPipeline};

/// Wait after a failure: doubled each time from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A muxer that was told to end has this long to hand out the rest.
const FINISH_DEADLINE: Duration = Duration::from_secs(2);

/// What the output of one stream needs.
pub struct HlsOutput {
    pub slug: String,
    pub fence: Fence,
    pub params: HlsParams,
    pub hub: Arc<StreamHub>,
    pub dir: SegmentDir,
    pub lingering: Lingering,
    pub metrics: StreamSeries,
    pub report: Arc<dyn HlsReport>,
    pub first_media_sequence: u64,
    pub first_discontinuity_sequence: u64,
}

/// Why HLS stops for a while.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("HLS cannot be muxed")]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the camera sends key pictures too rarely for HLS; set its key frame interval to 1 to 4 seconds")]
    NoKeyPicture,
}

/// Why a muxer is ended without a fault.
enum Break {
    /// Units are missing, or the next one, if there is one, is of other time or parameters.
    Timeline(Option<Arc<AccessUnit>>),
    /// Nobody wants HLS now, or the stream ends.
    Unwanted,
}

impl HlsOutput {
    /// Runs until the stream ends; leaves no playlist, and no file after the lingering.
    pub async fn run(self, mut wish: Wish) {
        let prefix = format!("{}/source", self.fence.dir_name());
        let numbers = (self.first_media_sequence, self.first_discontinuity_sequence);
        let mut shelf = Shelf::new(self.dir.clone(), self.report.clone(), self.params, prefix, numbers);
        self.serve(&mut shelf, &mut wish).await;
        self.report.error(None);
        self.dir.retire(&self.lingering).await;
    }

    async fn serve(&self, shelf: &mut Shelf, wish: &mut Wish) {
        let mut retry = RETRY.0;
        loop {
            tokio::select! {
                biased;
                wanted = wish.until_hls() => if !wanted { return },
                () = shelf.tidy() => continue,
            }
            let before = shelf.sequence();
            match self.produce(shelf, wish).await {
                Ok(()) => retry = RETRY.0,
                Err(fault) => {
                    self.withdraw_after(&fault, shelf).await;
                    // A failed write takes a number, too.
                    retry = if shelf.sequence() > before + 1 { RETRY.0 } else { retry };
                    wish.pause(retry).await;
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
    }

    /// One muxer after the other while HLS is wanted.
    async fn produce(&self, shelf: &mut Shelf, wish: &mut Wish) -> Result<(), Fault> {
        let subscription = self.hub.subscribe(Listen::Pictures);
        let mut next = None;
        loop {
            let first = tokio::select! {
                unit = subscription.next_key(next.take(), PATIENCE) => unit.ok_or(Fault::NoKeyPicture)?,
                () = wish.until_no_hls() => break,
            };
            match self.mux(first, &subscription, shelf, wish).await? {
                Break::Timeline(unit) => next = unit,
                Break::Unwanted => break,
            }
        }
        shelf.withdraw().await;
        Ok(())
    }

    /// One muxer, from a key picture to a break.
    async fn mux(
        &self,
        first: Arc<AccessUnit>,
        subscription: &Subscription,
        shelf: &mut Shelf,
        wish: &mut Wish,
    ) -> Result<Break, Fault> {
        let (mut pipeline, output) = CmafPipeline::start(&first.video).await?;
        let target = Duration::from_secs(u64::from(self.params.segment_seconds));
        let origin = Origin { init: 0, began: first.captured, video: first.video.clone() };
        let stop = CancellationToken::new();
        let writer = Writer { shelf, metrics: &self.metrics, origin, segmenter: Segmenter::new(target, true), output };
        let result = {
            let (feeder, failed) = pipeline.split();
            let feeding = async {
                let ended = tokio::select! {
                    fed = feed(feeder, first, subscription) => fed?,
                    () = wish.until_no_hls() => Break::Unwanted,
                    error = failed => return Err(error.into()),
                };
                if matches!(ended, Break::Timeline(_)) {
                    feeder.end();
                }
                Ok(ended)
            };
            both(feeding, writer.run(&stop), &stop).await
        };
        // The writer dropped its receiver, so the muxer's thread does not wait for room in it.
        pipeline.stop().await;
        result
    }

    async fn withdraw_after(&self, fault: &Fault, shelf: &mut Shelf) {
        self.report.error(Some(fault.to_string()));
        self.metrics.output_failed("hls");
        let detail = std::error::Error::source(fault).map(ToString::to_string);
        tracing::warn!(stream = %self.slug, error = %fault, detail, "HLS stops for a while");
        shelf.break_time();
        shelf.withdraw().await;
        if matches!(fault, Fault::Disk(_)) {
            shelf.make_room().await;
        }
    }
}

/// Runs both sides of a muxer. The writer is asked to stop and waited for, never dropped in the middle of a file.
async fn both(
    feeding: impl Future<Output = Result<Break, Fault>>,
    writing: impl Future<Output = Result<(), Fault>>,
    stop: &CancellationToken,
) -> Result<Break, Fault> {
    tokio::pin!(writing);
    let fed = tokio::select! {
        fed = feeding => fed,
        written = &mut writing => return written.and(Err(PipelineError::Ended.into())),
    };
    if matches!(fed, Ok(Break::Timeline(_))) {
        // What does not come in time is lost; a break is there anyway.
        tokio::select! {
            written = &mut writing => return written.and(fed),
            () = tokio::time::sleep(FINISH_DEADLINE) => {}
        }
    }
    stop.cancel();
    writing.await.and(fed)
}

/// From the muxer to the shelf.
struct Writer<'a> {
    shelf: &'a mut Shelf,
    metrics: &'a StreamSeries,
    origin: Origin,
    segmenter: Segmenter,
    output: CmafOutput,
}

impl Writer<'_> {
    /// Writes what the muxer makes until it ends, and the rest of it then; or until `stop`.
    async fn run(mut self, stop: &CancellationToken) -> Result<(), Fault> {
        loop {
            let output = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                output = self.output.recv() => output,
            };
            let Some(output) = output else {
                if let Some(rest) = self.segmenter.finish() {
                    self.write(rest).await?;
                }
                break;
            };
            for cut in self.segmenter.push(output) {
                match cut {
                    Cut::Init(parts) => self.origin.init = self.shelf.add_init(parts).await?,
                    Cut::Segment(segment) => self.write(segment).await?,
                }
            }
        }
        self.shelf.break_time();
        Ok(())
    }

    async fn write(&mut self, segment: Segment) -> Result<(), Fault> {
        let len = segment.len();
        self.shelf.add(&self.origin, segment).await?;
        self.metrics.hls_segment(len);
        Ok(())
    }
}

/// Feeds units until one does not belong to the same timeline.
async fn feed(feeder: &mut CmafFeeder, first: Arc<AccessUnit>, subscription: &Subscription) -> Result<Break, Fault> {
    let timeline = first.timeline;
    let (mut units, mut bytes) = (0, 0);
    let mut unit = first;
    loop {
        if unit.is_key {
            (units, bytes) = (0, 0);
        }
        (units, bytes) = (units + 1, bytes + unit.data.len());
        if units > MAX_UNITS || bytes > MAX_BYTES {
            // The muxer keeps a whole group; without this bound it would keep an endless one.
            return Err(Fault::NoKeyPicture);
        }
        feeder.push(&unit).await?;
        unit = match subscription.next().await {
            Popped::Unit(next) if next.timeline == timeline => next,
            Popped::Unit(next) => return Ok(Break::Timeline(Some(next))),
            Popped::Lost(_) => return Ok(Break::Timeline(None)),
        };
    }
}

#[cfg(test)]
mod tests;
