//! The task of one claimed stream: camera sessions with waits between them, and the outputs beside them.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::ops::traces::Span;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::wire::trace_context::TraceContext;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::camera_log::CameraLog;
use super::engine::Engine;
use super::pacer::Try;
use super::retry::Retry;
use super::session::{SessionEnd, Sessions};
use super::status::StatusCell;
pub use super::status::StreamStatus;
use crate::hls::segment_dir::SegmentDir;
use crate::hub::StreamHub;
use crate::metrics::StreamSeries;
use crate::output::demand::OutputDemand;
use crate::output::hls::HlsOutput;
use crate::output::hls::plan::SegmentPlan;
use crate::output::hls::stream::HlsStream;
use crate::output::jpeg::JpegOutput;
use crate::source::carrier::{Carrier, choose};
use crate::stream_trace::{Opening, StreamTrace, Waiting};
use rsm_media::media_time::MediaTime;

/// One claimed stream.
pub struct StreamContext {
    pub slug: Slug,
    pub zone: Zone,
    pub fence: Fence,
    pub spec: StreamSpec,
    /// Above every number that an earlier owner used.
    pub first_media_sequence: u64,
    pub first_discontinuity_sequence: u64,
    /// The live demand of viewers.
    pub demand: watch::Receiver<Demand>,
    pub engine: Arc<Engine>,
    /// From the claim to the first picture.
    pub start: Span,
    pub trace: StreamTrace,
}

/// A stream that runs. Dropping the handle stops it without waiting.
pub struct StreamHandle {
    status: watch::Receiver<StreamStatus>,
    cancel: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Starts a stream on the current tokio runtime.
pub fn spawn(ctx: StreamContext) -> StreamHandle {
    let status = StatusCell::new(ctx.first_media_sequence, ctx.first_discontinuity_sequence);
    let cancel = CancellationToken::new();
    let receiver = status.subscribe();
    let task = tokio::spawn(run(ctx, status, cancel.clone()));
    StreamHandle { status: receiver, cancel, task: Some(task) }
}

impl StreamHandle {
    /// Its status, with every change.
    pub fn status(&self) -> watch::Receiver<StreamStatus> {
        self.status.clone()
    }

    /// True when its task is over; also when it ended by itself, by a fault in this program. Then it must be placed anew.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks it to end. Asking again changes nothing.
    pub fn stop(&self) {
        self.cancel.cancel();
    }

    /// Ends it and waits until it is gone: TEARDOWN sent, pipelines Null, playlists removed.
    pub async fn stopped(mut self) {
        self.stop();
        if let Some(task) = self.task.take() {
            // A panic in the task was already reported where it happened.
            let _ = task.await;
        }
    }
}

impl Drop for StreamHandle {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn run(ctx: StreamContext, status: StatusCell, cancel: CancellationToken) {
    // When this task panics, the outputs end with it.
    let _guard = cancel.clone().drop_guard();
    let metrics = ctx.engine.metrics.stream(&ctx.slug);
    let hub = Arc::new(StreamHub::default());
    let (jpeg, hls) = outputs(&ctx, &hub, &metrics, &status);
    // Tasks of their own: a decoder that works hard must not hold the camera up.
    let demand = OutputDemand { demand: ctx.demand, cancel: cancel.clone(), hls_always: ctx.spec.hls.always_on };
    let jpeg = tokio::spawn(jpeg.run(demand.clone()));
    let hls = tokio::spawn(hls.run(demand));
    let (engine, spec, time) = (ctx.engine, ctx.spec, MediaTime::default());
    let log = CameraLog::new(ctx.slug.clone(), ctx.fence);
    let sessions = Sessions { engine, spec, hub, status, metrics, log, time, timeline: 0 };
    tokio::join!(
        keep_open(sessions, (ctx.trace, ctx.start), &cancel),
        ends_with("jpeg", jpeg, &ctx.slug, &cancel),
        ends_with("hls", hls, &ctx.slug, &cancel),
    );
    tracing::info!(stream = %ctx.slug, fence = %ctx.fence, "a stream ended");
}

/// Ends the stream when one of its outputs has ended: it would report health and show nothing. It is placed anew.
async fn ends_with(output: &'static str, task: JoinHandle<()>, slug: &Slug, cancel: &CancellationToken) {
    // A panic in the task was already reported where it happened.
    let panicked = task.await.is_err();
    if !cancel.is_cancelled() {
        tracing::error!(stream = %slug, output, panicked, "an output ended before its stream, which ends now");
        cancel.cancel();
    }
}

/// Camera sessions one after the other until `cancel`.
async fn keep_open(mut sessions: Sessions, (trace, mut start): (StreamTrace, Span), cancel: &CancellationToken) {
    let engine = sessions.engine.clone();
    let mut retry = Retry::new(engine.clone(), sessions.spec.url.clone());
    let mut retina_refused = false;
    let mut which = Try::First;
    // The span of the session before, and why that ended.
    let mut before: (Option<TraceContext>, Option<&'static str>) = (None, None);
    loop {
        let mut span = trace.session(&start, before.0);
        if let Some(why) = before.1 {
            span.set("rsm.reason", why);
        }
        let opening = Opening::new(span, std::mem::take(&mut start));
        before.0 = opening.context();
        // A camera that is away takes no turn from those that are not.
        let reached = tokio::select! {
            () = cancel.cancelled() => return,
            reached = retry.reachable() => reached,
        };
        let ended = match reached {
            Err(error) => {
                opening.failed(&error.reason());
                SessionEnd { error, healthy: Duration::ZERO }
            }
            Ok(()) => {
                let turn = opening.part("wait for turn");
                let begun = tokio::select! {
                    () = cancel.cancelled() => return,
                    begun = engine.pacer.wait(which) => begun,
                };
                turn.end();
                which = Try::Again;
                let carrier = choose(sessions.spec.url.scheme(), sessions.spec.transport, retina_refused);
                let Some(ended) = sessions.run(carrier, begun, opening, cancel).await else { return };
                // Whichever carrier failed on the protocol, the other one has the next try.
                retina_refused = match carrier {
                    Carrier::Retina => ended.error.may_suit_rtspsrc(),
                    Carrier::Rtspsrc => retina_refused && !ended.healthy.is_zero(),
                };
                ended
            }
        };
        let (state, reason) = (ended.error.state(), ended.error.reason());
        before.1 = Some(reason.code.as_str());
        let wait = retry.ended(&ended.error, ended.healthy);
        sessions.metrics.restarted(reason.code);
        sessions.status.restarted();
        sessions.log.failed(state, &reason, wait);
        sessions.status.enter(state, Some(reason));
        tokio::select! {
            () = cancel.cancelled() => return,
            () = retry.wait(wait) => {}
        }
    }
}

fn outputs(
    ctx: &StreamContext,
    hub: &Arc<StreamHub>,
    metrics: &StreamSeries,
    status: &StatusCell,
) -> (JpegOutput, HlsOutput) {
    let engine = &ctx.engine;
    let jpeg = JpegOutput {
        slug: ctx.slug.clone(),
        zone: ctx.zone.clone(),
        fence: ctx.fence,
        hub: hub.clone(),
        frames: engine.frames.clone(),
        metrics: metrics.clone(),
        hardware: engine.hardware.clone(),
        report: Arc::new(status.clone()),
        trace: ctx.trace.clone(),
        waiting: Waiting::default(),
        shown: status.frame_shown(),
    };
    let stream = HlsStream {
        slug: ctx.slug.clone(),
        fence: ctx.fence,
        params: ctx.spec.hls,
        hub: hub.clone(),
        dir: SegmentDir::new(&engine.hls_root, &ctx.slug, ctx.fence, engine.disk.clone()),
        live: engine.live.publish(&ctx.slug, ctx.fence),
        hardware: engine.hardware.clone(),
        encoders: engine.encoders.clone(),
        metrics: metrics.clone(),
        report: Arc::new(status.clone()),
        plan: SegmentPlan::default(),
        trace: ctx.trace.clone(),
        waiting: Waiting::default(),
        encoded: StreamHub::default(),
    };
    let hls = HlsOutput {
        stream,
        lingering: engine.lingering.clone(),
        first_media_sequence: ctx.first_media_sequence,
        first_discontinuity_sequence: ctx.first_discontinuity_sequence,
    };
    (jpeg, hls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_output_that_ends_or_panics_ends_its_stream() {
        let slug = Slug::parse("door").unwrap();
        for panics in [false, true] {
            let cancel = CancellationToken::new();
            let task = tokio::spawn(async move { assert!(!panics, "meant") });
            ends_with("hls", task, &slug, &cancel).await;
            assert!(cancel.is_cancelled());
        }
    }

    #[tokio::test]
    async fn a_task_that_is_over_is_seen() {
        let (_sender, status) = watch::channel(StatusCell::new(0, 0).subscribe().borrow().clone());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move { panic!("meant: {:?}", ended.await) });
        let handle = StreamHandle { status, cancel: CancellationToken::new(), task: Some(task) };
        assert!(!handle.is_finished());
        end.send(()).unwrap();
        let seen = async {
            while !handle.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), seen).await.unwrap();
    }
}
