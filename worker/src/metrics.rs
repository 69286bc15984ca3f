//! What the media side counts. A stream's series are resolved once, and go when it ends.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};
use rsm_shared::bus::frames::DropReason;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::ReasonCode;

/// Encoding takes 2 ms (360p) to 40 ms (4K) on one core; beyond that the machine is overloaded.
const ENCODE_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1.0];

/// Why a frame did not reach NATS. A closed set: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameLoss {
    /// NATS did not take it.
    Bus(DropReason),
    /// A newer one was ready before this one could be sent.
    Superseded,
    /// Its unit is not known any more, so nobody can say when it was captured.
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

/// Every metric of the media side.
#[derive(Debug)]
pub struct StreamMetrics {
    restarts: IntCounterVec,
    ingest_bytes: IntCounterVec,
    ingest_units: IntCounterVec,
    frames: IntCounterVec,
    frame_bytes: IntCounterVec,
    frames_dropped: IntCounterVec,
    output_failures: IntCounterVec,
    encode_seconds: Histogram,
    segments: IntCounterVec,
    segment_bytes: IntCounterVec,
    disk_bytes: IntGauge,
}

/// One stream's series. The clones share them; they are removed from the registry when the last one is dropped.
#[derive(Clone, Debug)]
pub struct StreamSeries(Arc<Series>);

#[derive(Debug)]
struct Series {
    stream: String,
    all: Arc<StreamMetrics>,
    ingest_bytes: IntCounter,
    ingest_units: IntCounter,
    frames: IntCounter,
    frame_bytes: IntCounter,
    segments: IntCounter,
    segment_bytes: IntCounter,
}

impl StreamMetrics {
    /// Registers them all.
    ///
    /// # Errors
    /// When one of the names is already in `registry`.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let by_stream = |name, help| counters(registry, name, help, &["stream"]);
        let encode = HistogramOpts::new(
            "rsm_frame_encode_seconds",
            "Time from a decoded picture to its JPEG: scaling and encoding, without waiting for NATS",
        )
        .buckets(ENCODE_BUCKETS.to_vec());
        let disk_bytes = IntGauge::new(
            "rsm_hls_disk_bytes",
            "Bytes of HLS segments on this worker's disk, those of ended streams that still linger included",
        )?;
        Ok(Self {
            restarts: counters(
                registry,
                "rsm_stream_restarts_total",
                "Camera sessions that ended, or could not begin, and were tried again, by the reason they ended for",
                &["stream", "reason"],
            )?,
            ingest_bytes: by_stream(
                "rsm_ingest_bytes_total",
                "Encoded video taken from the camera, without RTP and RTSP overhead",
            )?,
            ingest_units: by_stream("rsm_ingest_access_units_total", "Encoded pictures taken from the camera")?,
            frames: by_stream("rsm_frames_published_total", "JPEG frames that NATS took")?,
            frame_bytes: by_stream("rsm_frame_bytes_total", "Bytes of the JPEG frames that NATS took")?,
            frames_dropped: counters(
                registry,
                "rsm_frames_dropped_total",
                "JPEG frames that were encoded and not sent: superseded by a newer one, without a known capture time (unmatched), after a pause of the process (silenced), NATS away (not_connected), \
                 NATS too slow (congested), or over its payload limit (too_large)",
                &["stream", "reason"],
            )?,
            output_failures: counters(
                registry,
                "rsm_output_failures_total",
                "Times that an output (jpeg, hls) failed and was begun anew, while the camera session ran on",
                &["stream", "output"],
            )?,
            encode_seconds: register(registry, Histogram::with_opts(encode)?)?,
            segments: by_stream("rsm_hls_segments_total", "HLS segments written")?,
            segment_bytes: by_stream("rsm_hls_segment_bytes_total", "Bytes of HLS segments written")?,
            disk_bytes: register(registry, disk_bytes)?,
        })
    }

    /// The series of a stream.
    pub fn stream(self: &Arc<Self>, slug: &Slug) -> StreamSeries {
        let label = [slug.as_str()];
        StreamSeries(Arc::new(Series {
            stream: slug.to_string(),
            ingest_bytes: self.ingest_bytes.with_label_values(&label),
            ingest_units: self.ingest_units.with_label_values(&label),
            frames: self.frames.with_label_values(&label),
            frame_bytes: self.frame_bytes.with_label_values(&label),
            segments: self.segments.with_label_values(&label),
            segment_bytes: self.segment_bytes.with_label_values(&label),
            all: self.clone(),
        }))
    }

    /// What [`crate::hls::disk::DiskUse::used`] says; called at scrape.
    pub fn set_disk_bytes(&self, bytes: u64) {
        self.disk_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
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
        self.0.all.restarts.with_label_values(&[&self.0.stream, reason.as_str()]).inc();
    }

    /// A frame was encoded.
    pub fn encoded(&self, took: Duration) {
        self.0.all.encode_seconds.observe(took.as_secs_f64());
    }

    /// A frame went to NATS.
    pub fn published(&self, bytes: usize) {
        self.0.frames.inc();
        self.0.frame_bytes.inc_by(bytes as u64);
    }

    /// So many frames did not.
    pub fn dropped(&self, loss: FrameLoss, frames: u64) {
        if frames > 0 {
            self.0.all.frames_dropped.with_label_values(&[self.0.stream.as_str(), loss.as_str()]).inc_by(frames);
        }
    }

    /// An output failed; `output` is `jpeg` or `hls`.
    pub fn output_failed(&self, output: &'static str) {
        self.0.all.output_failures.with_label_values(&[self.0.stream.as_str(), output]).inc();
    }

    /// A segment is on disk.
    pub fn hls_segment(&self, bytes: u64) {
        self.0.segments.inc();
        self.0.segment_bytes.inc_by(bytes);
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let all = &self.all;
        let by_stream =
            [&all.ingest_bytes, &all.ingest_units, &all.frames, &all.frame_bytes, &all.segments, &all.segment_bytes];
        for family in by_stream {
            // It is there: it was made with the series.
            let _ = family.remove_label_values(&[&self.stream]);
        }
        for family in [&all.restarts, &all.frames_dropped, &all.output_failures] {
            remove_all_of(family, &self.stream);
        }
    }
}

/// Removes every series of `stream` from a family with a second label.
fn remove_all_of(family: &IntCounterVec, stream: &str) {
    for metric in family.collect().iter().flat_map(|f| f.get_metric().to_vec()) {
        let labels: std::collections::HashMap<&str, &str> =
            metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        if labels.get("stream") == Some(&stream) {
            let _ = family.remove(&labels);
        }
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_leaves_no_series_behind() {
        let registry = Registry::new();
        let metrics = Arc::new(StreamMetrics::new(&registry).unwrap());
        let text = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let series = metrics.stream(&Slug::parse("door").unwrap());
        let other = metrics.stream(&Slug::parse("yard").unwrap());
        for series in [&series, &other] {
            series.ingested(10);
            series.restarted(ReasonCode::Stalled);
            series.dropped(FrameLoss::Superseded, 2);
            series.dropped(FrameLoss::Bus(DropReason::Congested), 1);
            series.output_failed("hls");
            series.published(5);
            series.hls_segment(7);
        }
        assert!(text().contains("rsm_frames_dropped_total{reason=\"superseded\",stream=\"door\"} 2"));
        drop(series);
        let after = text();
        assert!(!after.contains("door") && after.contains("stream=\"yard\""), "{after}");
    }
}
