//! Demand for one stream through this process: counters and deadlines, no queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rsm_shared::stream::demand::{Demand, ScaledJpeg};
use rsm_shared::stream::jpeg_width::{JpegWidth, JpegWidths};
use rsm_shared::stream::rendition::{Rendition, RenditionSet};
use rsm_shared::stream::spec::JpegParams;

/// Demand for one stream.
pub struct StreamDemand {
    begun: Instant,
    /// JPEG frames of the stream's own width, and of each step of the ladder.
    jpeg: [JpegDemand; 1 + JpegWidth::COUNT],
    /// HLS is wanted until then; milliseconds after `begun`.
    hls_until: AtomicU64,
    /// Each rendition that is encoded is wanted until then; milliseconds after `begun`.
    renditions_until: [AtomicU64; Rendition::ALL.len()],
    /// Something is wanted by others (relays, consumers on NATS) until then; milliseconds after `begun`.
    elsewhere_until: AtomicU64,
    /// When anything was wanted last; milliseconds after `begun`, 0 for never.
    last_wanted: AtomicU64,
}

/// Demand for JPEG frames of one width.
#[derive(Default)]
struct JpegDemand {
    /// Viewers that get them now.
    viewers: AtomicU32,
    /// Wanted until then, by snapshots; milliseconds after `begun`.
    until: AtomicU64,
}

impl JpegDemand {
    fn holds(&self, now: u64) -> bool {
        self.viewers.load(Ordering::Relaxed) > 0 || self.until.load(Ordering::Relaxed) > now
    }
}

impl Default for StreamDemand {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            jpeg: Default::default(),
            hls_until: AtomicU64::new(0),
            renditions_until: Default::default(),
            elsewhere_until: AtomicU64::new(0),
            last_wanted: AtomicU64::new(0),
        }
    }
}

impl StreamDemand {
    fn now(&self) -> u64 {
        // One more, so that 0 can mean "never".
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn jpeg(&self, width: Option<JpegWidth>) -> &JpegDemand {
        // Every step is below COUNT.
        &self.jpeg[width.map_or(0, |width| 1 + width.index())]
    }

    /// A viewer of JPEG frames in the stream's own width, or in that one, came; it counts until the guard is dropped.
    pub fn jpeg_viewer(self: &Arc<Self>, width: Option<JpegWidth>) -> JpegViewer {
        self.jpeg(width).viewers.fetch_add(1, Ordering::Relaxed);
        self.touch();
        JpegViewer(self.clone(), width)
    }

    /// JPEG of the stream's own width, or of that one, is wanted for `hold` from now.
    pub fn want_jpeg(&self, width: Option<JpegWidth>, hold: Duration) {
        let until = self.now() + u64::try_from(hold.as_millis()).unwrap_or(0);
        self.jpeg(width).until.fetch_max(until, Ordering::Relaxed);
        self.touch();
    }

    /// HLS is wanted for `hold` from now.
    pub fn want_hls(&self, hold: Duration) {
        self.hls_until.fetch_max(self.now() + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
    }

    /// That rendition of HLS is wanted for `hold` from now. Source and audio come with HLS in any case.
    pub fn want_rendition(&self, rendition: Rendition, hold: Duration) {
        self.want_hls(hold);
        if let Some(until) = self.rendition_until(rendition) {
            until.fetch_max(self.now() + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// True when that rendition is to be encoded now.
    pub fn wants(&self, rendition: Rendition) -> bool {
        self.wants_at(rendition, self.now())
    }

    fn wants_at(&self, rendition: Rendition, now: u64) -> bool {
        self.rendition_until(rendition).is_some_and(|until| until.load(Ordering::Relaxed) > now)
    }

    fn rendition_until(&self, rendition: Rendition) -> Option<&AtomicU64> {
        self.renditions_until.get(rendition as usize).filter(|_| rendition.is_encoded())
    }

    /// Other processes published demand for `hold` from now. Returns true when there was none before.
    pub fn wanted_elsewhere(&self, hold: Duration) -> bool {
        let now = self.now();
        let before =
            self.elsewhere_until.fetch_max(now + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
        before <= now
    }

    /// True when other processes want something now.
    pub fn elsewhere(&self) -> bool {
        self.elsewhere_until.load(Ordering::Relaxed) > self.now()
    }

    /// Forgets all demand with a deadline: the stream was stopped. Viewers end by themselves.
    pub fn clear(&self) {
        for demand in &self.jpeg {
            demand.until.store(0, Ordering::Relaxed);
        }
        self.hls_until.store(0, Ordering::Relaxed);
        for until in &self.renditions_until {
            until.store(0, Ordering::Relaxed);
        }
        self.elsewhere_until.store(0, Ordering::Relaxed);
    }

    fn touch(&self) {
        self.last_wanted.store(self.now(), Ordering::Relaxed);
    }

    /// Viewers of JPEG frames now, of whatever width.
    pub fn jpeg_viewers(&self) -> u32 {
        self.jpeg.iter().map(|demand| demand.viewers.load(Ordering::Relaxed)).sum()
    }

    /// Demand now, JPEG within `params`.
    pub fn current(&self, params: JpegParams) -> Demand {
        let now = self.now();
        let jpeg = self.jpeg(None).holds(now);
        let widths: JpegWidths = JpegWidth::all().filter(|width| self.jpeg(Some(*width)).holds(now)).collect();
        let scaled = ScaledJpeg { widths, max_fps: params.max_fps, quality: params.quality };
        let scaled = (!widths.is_empty()).then_some(scaled);
        let hls = self.hls_until.load(Ordering::Relaxed) > now;
        let renditions = if hls {
            Rendition::ALL.into_iter().filter(|rendition| self.wants_at(*rendition, now)).collect()
        } else {
            RenditionSet::NONE
        };
        let demand = Demand { jpeg: jpeg.then_some(params), scaled, hls, renditions };
        if demand.any() {
            self.touch();
        }
        demand
    }

    /// When anything was wanted last; `None` when nothing ever was.
    pub fn last_wanted(&self) -> Option<Instant> {
        match self.last_wanted.load(Ordering::Relaxed) {
            0 => None,
            // One more than the time, so that 0 can mean "never".
            last => Some(self.begun + Duration::from_millis(last - 1)),
        }
    }
}

/// Counts one JPEG viewer while it lives.
pub struct JpegViewer(Arc<StreamDemand>, Option<JpegWidth>);

impl Drop for JpegViewer {
    fn drop(&mut self) {
        self.0.touch();
        self.0.jpeg(self.1).viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: JpegParams = JpegParams { max_fps: 5, max_width: 640, quality: 80 };
    const HOLD: Duration = Duration::from_secs(60);

    #[test]
    fn a_rendition_is_wanted_by_those_who_fetch_it_only() {
        let stream = StreamDemand::default();
        for rendition in [Rendition::Source, Rendition::Audio] {
            stream.want_rendition(rendition, HOLD);
            assert!(!stream.wants(rendition));
        }
        let demand = stream.current(PARAMS);
        assert!(demand.hls && demand.renditions.is_empty(), "source and audio are there for all");
        stream.want_rendition(Rendition::P360, HOLD);
        stream.want_rendition(Rendition::H264, HOLD);
        let names: Vec<_> = stream.current(PARAMS).renditions.iter().map(Rendition::as_str).collect();
        assert_eq!(names, ["h264", "360p"]);
        assert!(stream.wants(Rendition::P360) && !stream.wants(Rendition::P720));
        stream.clear();
        assert!(!stream.current(PARAMS).any() && !stream.wants(Rendition::P360));
    }

    #[test]
    fn widths_are_wanted_each_for_itself() {
        let stream = StreamDemand::default();
        let step = |pixels| JpegWidth::exactly(pixels).unwrap();
        stream.want_jpeg(Some(step(320)), HOLD);
        stream.want_jpeg(Some(step(1920)), HOLD);
        stream.want_jpeg(Some(step(640)), Duration::ZERO);
        let demand = stream.current(PARAMS);
        let widths = [step(320), step(1920)].into_iter().collect();
        assert_eq!(demand.scaled, Some(ScaledJpeg { widths, max_fps: 5, quality: 80 }));
        assert!(demand.jpeg.is_none() && demand.any(), "frames of the stream's own width are not made for it");
        stream.want_jpeg(None, HOLD);
        assert_eq!(stream.current(PARAMS).jpeg, Some(PARAMS));
        stream.clear();
        assert!(!stream.current(PARAMS).any());
    }

    #[test]
    fn demand_for_a_rendition_ends_before_that_for_hls() {
        let stream = StreamDemand::default();
        stream.want_rendition(Rendition::P360, Duration::ZERO);
        stream.want_hls(HOLD);
        let demand = stream.current(PARAMS);
        assert!(demand.hls && demand.renditions.is_empty());
    }
}
