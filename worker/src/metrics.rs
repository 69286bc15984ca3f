//! The metrics of a worker, in one table. A stream's series are resolved once, counted without a lock, and go when it ends.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use rsm_shared::bus::frames::DropReason;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::ReasonCode;

/// Encoding takes 2 ms (360p) to 40 ms (4K) on one core; beyond that the machine is overloaded.
const ENCODE_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0];

rsm_shared::metrics_table! {
    /// The metrics of a worker, beside those of every role. A label `stream` has as many values as the worker owns streams,
    /// `worker.capacity` at most.
    pub struct WorkerTable {
        /// Streams that this worker owns.
        pub claims: IntGauge = "rsm_claims",
        /// Streams that this worker runs at most. Raise worker.capacity, or add a worker, when rsm_claims stays near it.
        pub capacity: IntGauge = "rsm_worker_capacity",
        /// Share of this worker's capacity that is in use, 0 to 1. Workers of one zone differ for a while only; when they
        /// stay uneven, look at control.rebalance.
        pub load_ratio: Gauge = "rsm_worker_load_ratio",
        /// 1 while this worker lets others take over what it runs, because it was told to end.
        pub draining: IntGauge = "rsm_worker_draining",
        /// Camera sessions that ended, or could not begin, and were tried again, by the reason they ended for. One camera
        /// often: look at it and its network. Many at once: look at the network that they share.
        pub restarts: IntCounterVec = "rsm_stream_restarts_total" by ["stream", "reason"],
        /// Encoded video taken from the camera, without the overhead of RTP and RTSP. A rate of 0 while the stream runs:
        /// the camera is silent.
        pub ingest_bytes: IntCounterVec = "rsm_ingest_bytes_total" by ["stream"],
        /// Encoded pictures taken from the camera. A rate below the camera's own: pictures are lost on the way here.
        pub ingest_units: IntCounterVec = "rsm_ingest_access_units_total" by ["stream"],
        /// JPEG frames that NATS took.
        pub frames: IntCounterVec = "rsm_frames_published_total" by ["stream"],
        /// Bytes of the JPEG frames that NATS took. When NATS is the narrow place, lower mjpeg.max_width or mjpeg.quality.
        pub frame_bytes: IntCounterVec = "rsm_frame_bytes_total" by ["stream"],
        /// JPEG frames that were encoded and not sent: superseded by a newer one, without a known capture time (unmatched),
        /// after a pause of the process (silenced), NATS away (not_connected), NATS too slow (congested: give it more
        /// bandwidth, or send smaller frames), or over its payload limit (too_large: raise max_payload of NATS).
        pub frames_dropped: IntCounterVec = "rsm_frames_dropped_total" by ["stream", "reason"],
        /// Times that an output (jpeg, hls, or a rendition of it) failed and was begun anew, while the camera session ran
        /// on. The log has the cause.
        pub output_failures: IntCounterVec = "rsm_output_failures_total" by ["stream", "output"],
        /// Time from a decoded picture to its JPEG: scaling and encoding, without waiting for NATS. When the upper end
        /// grows, the processor is overloaded: lower worker.capacity.
        pub encode_seconds: Histogram = "rsm_frame_encode_seconds" in ENCODE_BUCKETS,
        /// HLS segments written. A rate of 0 while somebody plays: the status of the stream says why.
        pub segments: IntCounterVec = "rsm_hls_segments_total" by ["stream"],
        /// Bytes of HLS segments written.
        pub segment_bytes: IntCounterVec = "rsm_hls_segment_bytes_total" by ["stream"],
        /// Bytes of HLS segments on this worker's disk, those of ended streams that still linger included.
        pub disk_bytes: IntGauge = "rsm_hls_disk_bytes",
        /// What rsm_hls_disk_bytes may come to (hls.disk_budget_mb). Raise it, if the disk has the room, when segments are
        /// evicted.
        pub disk_budget_bytes: IntGauge = "rsm_hls_disk_budget_bytes",
        /// Segments that were removed before their time because of the disk budget: players that are behind miss them.
        /// Raise hls.disk_budget_mb, or shorten what is kept.
        pub segments_evicted: IntCounter = "rsm_hls_segments_evicted_total",
    }
}

/// Why a frame did not reach NATS. A closed set: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameLoss {
    /// NATS did not take it.
    Bus(DropReason),
    /// A newer one was ready before this one could be sent.
    Superseded,
    /// Its unit was forgotten, so its capture time is unknown.
    Unmatched,
    /// This process stood still, and does not know yet whether the stream is still its own.
    Silenced,
}

impl FrameLoss {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bus(reason) => reason.as_str(),
            Self::Superseded => "superseded",
            Self::Unmatched => "unmatched",
            Self::Silenced => "silenced",
        }
    }
}

/// Every metric of a worker.
pub struct WorkerMetrics(WorkerTable);

/// One stream's series. The clones share them; they are removed from the registry when the last one is dropped.
#[derive(Clone)]
pub struct StreamSeries(Arc<Series>);

struct Series {
    stream: String,
    all: Arc<WorkerMetrics>,
    ingest_bytes: IntCounter,
    ingest_units: IntCounter,
    frames: IntCounter,
    frame_bytes: IntCounter,
    segments: IntCounter,
    segment_bytes: IntCounter,
    restarts: Seldom,
    dropped: Seldom,
    output_failures: Seldom,
}

/// One stream's counters in a family with a second label, each made when it first counts: most never do. The label is
/// one of a closed set. The lock is this stream's own; readers of the metrics do not take it.
#[derive(Default)]
struct Seldom(Mutex<Vec<(&'static str, IntCounter)>>);

impl WorkerMetrics {
    /// Registers them all.
    ///
    /// # Errors
    /// When one of the names is already in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        WorkerTable::registered(registry).map(Self)
    }

    /// The series of a stream.
    pub fn stream(self: &Arc<Self>, slug: &Slug) -> StreamSeries {
        let of = |family: &IntCounterVec| family.with_label_values(&[slug.as_str()]);
        let t = &self.0;
        StreamSeries(Arc::new(Series {
            stream: slug.to_string(),
            ingest_bytes: of(&t.ingest_bytes),
            ingest_units: of(&t.ingest_units),
            frames: of(&t.frames),
            frame_bytes: of(&t.frame_bytes),
            segments: of(&t.segments),
            segment_bytes: of(&t.segment_bytes),
            restarts: Seldom::default(),
            dropped: Seldom::default(),
            output_failures: Seldom::default(),
            all: self.clone(),
        }))
    }

    /// Sets the limits of this worker: streams, and bytes of HLS.
    pub fn set_bounds(&self, capacity: u32, disk_budget: u64) {
        self.0.capacity.set(i64::from(capacity));
        self.0.disk_budget_bytes.set(gauge(disk_budget));
    }

    /// So many streams are owned.
    pub fn set_claims(&self, streams: usize) {
        self.0.claims.set(gauge(streams as u64));
    }

    /// The share of the capacity that is in use.
    pub fn set_load(&self, ratio: f32) {
        self.0.load_ratio.set(f64::from(ratio));
    }

    /// From now on others are to take over.
    pub fn set_draining(&self) {
        self.0.draining.set(1);
    }

    /// Sets the bytes that HLS takes; see [`crate::hls::disk::DiskUse::used`].
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.0.disk_bytes.set(gauge(bytes));
    }
}

impl StreamSeries {
    /// A picture came from the camera.
    pub fn ingested(&self, bytes: usize) {
        self.0.ingest_bytes.inc_by(bytes as u64);
        self.0.ingest_units.inc();
    }

    /// A camera session ended.
    pub fn restarted(&self, reason: ReasonCode) {
        self.0.restarts.add(&self.table().restarts, &self.0.stream, reason.as_str(), 1);
    }

    /// A frame was encoded.
    pub fn encoded(&self, took: Duration) {
        self.table().encode_seconds.observe(took.as_secs_f64());
    }

    /// A frame went to NATS.
    pub fn published(&self, bytes: usize) {
        self.0.frames.inc();
        self.0.frame_bytes.inc_by(bytes as u64);
    }

    /// So many frames did not.
    pub fn dropped(&self, loss: FrameLoss, frames: u64) {
        if frames > 0 {
            self.0.dropped.add(&self.table().frames_dropped, &self.0.stream, loss.as_str(), frames);
        }
    }

    /// An output failed; `output` is `jpeg`, `hls` or the name of a rendition.
    pub fn output_failed(&self, output: &'static str) {
        self.0.output_failures.add(&self.table().output_failures, &self.0.stream, output, 1);
    }

    /// A segment is on disk.
    pub fn hls_segment(&self, bytes: u64) {
        self.0.segments.inc();
        self.0.segment_bytes.inc_by(bytes);
    }

    /// So many segments leave the disk before their time, because of its budget.
    pub fn hls_evicted(&self, segments: usize) {
        self.table().segments_evicted.inc_by(segments as u64);
    }

    fn table(&self) -> &WorkerTable {
        &self.0.all.0
    }
}

impl Seldom {
    fn add(&self, family: &IntCounterVec, stream: &str, label: &'static str, count: u64) {
        let mut seen = self.0.lock();
        if let Some((_, counter)) = seen.iter().find(|(name, _)| *name == label) {
            counter.inc_by(count);
        } else {
            let counter = family.with_label_values(&[stream, label]);
            counter.inc_by(count);
            seen.push((label, counter));
        }
    }

    fn remove(&mut self, family: &IntCounterVec, stream: &str) {
        for (label, _) in self.0.get_mut().drain(..) {
            // It is there: it has counted.
            let _ = family.remove_label_values(&[stream, label]);
        }
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let t = &self.all.0;
        let by_stream = [&t.ingest_bytes, &t.ingest_units, &t.frames, &t.frame_bytes, &t.segments, &t.segment_bytes];
        for family in by_stream {
            // It is there: it was made with the series.
            let _ = family.remove_label_values(&[&self.stream]);
        }
        self.restarts.remove(&t.restarts, &self.stream);
        self.dropped.remove(&t.frames_dropped, &self.stream);
        self.output_failures.remove(&t.output_failures, &self.stream);
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_leaves_no_series_behind() {
        let registry = Registry::new();
        let metrics = Arc::new(WorkerMetrics::new(&registry).unwrap());
        let text = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let series = metrics.stream(&Slug::parse("door").unwrap());
        let other = metrics.stream(&Slug::parse("yard").unwrap());
        for series in [&series, &other] {
            series.ingested(10);
            series.restarted(ReasonCode::Stalled);
            series.restarted(ReasonCode::Stalled);
            series.restarted(ReasonCode::Refused);
            series.dropped(FrameLoss::Superseded, 2);
            series.dropped(FrameLoss::Superseded, 0);
            series.dropped(FrameLoss::Bus(DropReason::Congested), 1);
            series.output_failed("hls");
            series.published(5);
            series.hls_segment(7);
            series.hls_evicted(1);
        }
        let before = text();
        assert!(before.contains("rsm_frames_dropped_total{reason=\"superseded\",stream=\"door\"} 2"), "{before}");
        assert!(before.contains("rsm_stream_restarts_total{reason=\"stalled\",stream=\"door\"} 2"), "{before}");
        drop(series);
        let after = text();
        assert!(!after.contains("door") && after.contains("stream=\"yard\""), "{after}");
        assert!(after.contains("rsm_hls_segments_evicted_total 2"), "what is no stream's own stays: {after}");
    }

    #[test]
    fn a_stream_that_comes_back_counts_from_nothing() {
        let registry = Registry::new();
        let metrics = Arc::new(WorkerMetrics::new(&registry).unwrap());
        let slug = Slug::parse("door").unwrap();
        metrics.stream(&slug).dropped(FrameLoss::Silenced, 5);
        let again = metrics.stream(&slug);
        again.dropped(FrameLoss::Silenced, 1);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains("rsm_frames_dropped_total{reason=\"silenced\",stream=\"door\"} 1"), "{text}");
    }
}
