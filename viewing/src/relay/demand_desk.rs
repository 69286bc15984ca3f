//! Registers the demand of viewers and players, and wakes the tasks that act on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::stream::state::StreamState;
use tokio::sync::Notify;

use crate::http::request_trace;
use crate::streams::stream_demand::JpegViewer;
use crate::streams::{Stream, Streams};

/// The existence of demand does not depend on the size of the JPEG.
const ANY_SIZE: JpegParams = JpegParams { max_fps: 1, max_width: 64, quality: 1 };

/// Registers demand. The first demand for a stream wakes the reconciler of this process, if it has one, so that a cold
/// stream starts at once; every change wakes the task that publishes demand to workers. Cheap to clone.
#[derive(Clone)]
pub struct DemandDesk {
    streams: Streams,
    changed: Arc<Notify>,
}

/// Demand of one JPEG viewer; it ends when dropped.
pub struct ViewerDemand {
    viewer: Option<JpegViewer>,
    changed: Arc<Notify>,
}

impl Drop for ViewerDemand {
    fn drop(&mut self) {
        self.viewer.take();
        self.changed.notify_one();
    }
}

impl DemandDesk {
    /// For the streams of `streams`.
    pub fn new(streams: Streams) -> Self {
        Self { streams, changed: Arc::new(Notify::new()) }
    }

    /// Wakes when demand has changed.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// A viewer of frames in the stream's own width, or in that one, came.
    pub fn jpeg_viewer(&self, stream: &Arc<Stream>, width: Option<JpegWidth>) -> ViewerDemand {
        let viewer = self.register(stream, Demand::frames, || stream.demand.jpeg_viewer(width));
        ViewerDemand { viewer: Some(viewer), changed: self.changed.clone() }
    }

    /// A request wants a frame of the stream's own width, or of `width`, within `hold`.
    pub fn want_jpeg(&self, stream: &Stream, width: Option<JpegWidth>, hold: Duration) {
        self.register(stream, Demand::frames, || stream.demand.want_jpeg(width, hold));
    }

    /// A player wants HLS for `hold` from now. Returns true when there was demand for HLS already.
    pub fn want_hls(&self, stream: &Stream, hold: Duration) -> bool {
        let before = stream.demand.current(ANY_SIZE).hls;
        self.register(stream, |demand| demand.hls, || stream.demand.want_hls(hold));
        before
    }

    /// A player wants that rendition of HLS for `hold` from now.
    pub fn want_rendition(&self, stream: &Stream, rendition: Rendition, hold: Duration) {
        self.register(stream, |demand| demand.hls, || stream.demand.want_rendition(rendition, hold));
    }

    /// The request that this task answers is about to want frames, in a task of its own.
    pub fn announce_frames(&self, stream: &Stream) {
        trace(stream, &stream.demand.current(ANY_SIZE), Demand::frames);
    }

    /// Adds demand and wakes the tasks that act on it. `made` returns true when the output that is wanted is made
    /// already.
    fn register<T>(&self, stream: &Stream, made: impl Fn(&Demand) -> bool, add: impl FnOnce() -> T) -> T {
        let before = stream.demand.current(ANY_SIZE);
        trace(stream, &before, made);
        let added = add();
        if before != stream.demand.current(ANY_SIZE) {
            self.changed.notify_one();
        }
        if !before.any() {
            self.streams.wake.note(&stream.slug);
        }
        added
    }
}

/// A request that waits for an output that is not made yet has a span, and so a part in the trace of the start.
fn trace(stream: &Stream, before: &Demand, made: impl Fn(&Demand) -> bool) {
    if made(before) && stream.view().state == StreamState::Running {
        return;
    }
    if let Some(request) = request_trace::span_context() {
        let first = stream.start.wanted(request, !before.any(), Instant::now());
        request_trace::relate_to_stream(stream.slug.as_str(), first);
    }
}
