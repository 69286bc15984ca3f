//! State and handles that the tasks of one stream's HLS share.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::HlsParams;
use tokio::sync::Semaphore;

use super::plan::SegmentPlan;
use crate::hls::live::LiveStream;
use crate::hls::segment_dir::SegmentDir;
use crate::hub::StreamHub;
use crate::metrics::StreamSeries;
use crate::pipeline::hardware::Hardware;
use crate::stream_trace::{StreamTrace, Waiting};

/// Progress and failures of a stream's HLS. Read by the heartbeat.
pub trait HlsReport: Send + Sync + 'static {
    /// The numbers that the next segment gets.
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64);
    /// Segments that the source's playlist lists, 0 while there is none; and its target duration, seconds.
    fn listed(&self, segments: usize, target_s: u64);
    /// A sentence for people while HLS cannot be made; `None` when it can.
    fn error(&self, text: Option<String>);
    /// Pictures per second as measured.
    fn fps(&self) -> Option<f64>;
}

/// State and handles that all renditions of a stream share.
pub struct HlsStream {
    pub slug: Slug,
    pub fence: Fence,
    pub params: HlsParams,
    pub hub: Arc<StreamHub>,
    pub dir: SegmentDir,
    pub live: LiveStream,
    pub hardware: Hardware,
    /// Permits for video encoders, of the whole process.
    pub encoders: Arc<Semaphore>,
    pub metrics: StreamSeries,
    pub report: Arc<dyn HlsReport>,
    pub trace: StreamTrace,
    /// The span that ends with the first playlist.
    pub waiting: Waiting,
    /// Where segments begin.
    pub plan: SegmentPlan,
    /// H.264 made of the pictures of a JPEG camera.
    pub encoded: StreamHub,
}

impl HlsStream {
    pub(super) fn segment_target(&self) -> Duration {
        Duration::from_secs(u64::from(self.params.segment_seconds))
    }

    pub(super) fn part_wanted(&self) -> Duration {
        Duration::from_millis(u64::from(self.params.part_ms))
    }
}
