//! Who wants what of one stream through this process: counters and deadlines, no queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::spec::JpegParams;

use crate::streams::Stream;

/// The wishes for one stream.
pub struct Wishes {
    begun: Instant,
    /// Viewers that get JPEG frames now.
    jpeg_viewers: AtomicU32,
    /// JPEG is wanted until then, by snapshots; milliseconds after `begun`.
    jpeg_until: AtomicU64,
    /// HLS is wanted until then; milliseconds after `begun`.
    hls_until: AtomicU64,
    /// Something is wanted by others (relays, consumers on NATS) until then; milliseconds after `begun`.
    elsewhere_until: AtomicU64,
    /// When anything was wanted last; milliseconds after `begun`, 0 for never.
    last_wanted: AtomicU64,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            jpeg_viewers: AtomicU32::new(0),
            jpeg_until: AtomicU64::new(0),
            hls_until: AtomicU64::new(0),
            elsewhere_until: AtomicU64::new(0),
            last_wanted: AtomicU64::new(0),
        }
    }
}

impl Wishes {
    fn now(&self) -> u64 {
        // One more, so that 0 can mean "never".
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// A JPEG viewer came; it counts until the guard is dropped.
    pub fn jpeg_viewer(self: &Wishes, stream: &Arc<Stream>) -> JpegViewer {
        self.jpeg_viewers.fetch_add(1, Ordering::Relaxed);
        self.touch();
        JpegViewer(stream.clone())
    }

    /// JPEG is wanted for `hold` from now.
    pub fn want_jpeg(&self, hold: Duration) {
        self.jpeg_until.fetch_max(self.now() + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
    }

    /// HLS is wanted for `hold` from now.
    pub fn want_hls(&self, hold: Duration) {
        self.hls_until.fetch_max(self.now() + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
    }

    /// Others said on NATS that they want something for `hold` from now; whether they did not before.
    pub fn wanted_elsewhere(&self, hold: Duration) -> bool {
        let now = self.now();
        let before =
            self.elsewhere_until.fetch_max(now + u64::try_from(hold.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.touch();
        before <= now
    }

    /// Whether others want something now.
    pub fn elsewhere(&self) -> bool {
        self.elsewhere_until.load(Ordering::Relaxed) > self.now()
    }

    /// Forgets every wish with a deadline: the stream was stopped. Viewers end by themselves.
    pub fn clear(&self) {
        self.jpeg_until.store(0, Ordering::Relaxed);
        self.hls_until.store(0, Ordering::Relaxed);
        self.elsewhere_until.store(0, Ordering::Relaxed);
    }

    fn touch(&self) {
        self.last_wanted.store(self.now(), Ordering::Relaxed);
    }

    /// JPEG viewers now.
    pub fn jpeg_viewers(&self) -> u32 {
        self.jpeg_viewers.load(Ordering::Relaxed)
    }

    /// What is wanted now, JPEG within `params`.
    pub fn demand(&self, params: JpegParams) -> Demand {
        let now = self.now();
        let jpeg = self.jpeg_viewers() > 0 || self.jpeg_until.load(Ordering::Relaxed) > now;
        let demand = Demand {
            jpeg: jpeg.then_some(params),
            hls: self.hls_until.load(Ordering::Relaxed) > now,
            ..Demand::default()
        };
        if demand.any() {
            self.touch();
        }
        demand
    }

    /// How long nothing has been wanted; `None` when nothing ever was.
    pub fn unwanted_for(&self) -> Option<Duration> {
        match self.last_wanted.load(Ordering::Relaxed) {
            0 => None,
            last => Some(Duration::from_millis(self.now().saturating_sub(last))),
        }
    }
}

/// Counts one JPEG viewer while it lives.
pub struct JpegViewer(Arc<Stream>);

impl Drop for JpegViewer {
    fn drop(&mut self) {
        self.0.wishes.touch();
        self.0.wishes.jpeg_viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
