//! The gate before published frames: a process that was paused publishes nothing of streams that may run elsewhere by now.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rsm_control::worker::contact::Pulse;
use rsm_shared::bus::frames::{FramePublisher, Published};
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;

use super::boot_clock;
use crate::metrics::FrameLoss;
use crate::output::frames::FrameSink;

/// The pulse of this process, beaten by the keeper and read for every frame. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedPulse(Arc<Mutex<Pulse>>);

impl SharedPulse {
    /// Starts now; a worker that is silent for `dead` counts as dead.
    pub fn new(dead: Duration) -> Self {
        Self(Arc::new(Mutex::new(Pulse::new(dead, boot_clock::now()))))
    }

    /// See [`Pulse::beat`].
    pub fn beat(&self, next: u64) -> bool {
        self.0.lock().beat(boot_clock::now(), next)
    }

    /// See [`Pulse::answered`].
    pub fn answered(&self, number: u64) {
        self.0.lock().answered(number);
    }

    fn may_publish(&self) -> bool {
        self.0.lock().may_publish(boot_clock::now())
    }
}

/// Publishes frames to NATS while this process may.
pub struct GatedPublisher {
    publisher: FramePublisher,
    pulse: SharedPulse,
}

impl GatedPublisher {
    /// Publishes over a connection made for frames.
    pub fn new(publisher: FramePublisher, pulse: SharedPulse) -> Self {
        Self { publisher, pulse }
    }
}

impl FrameSink for GatedPublisher {
    fn publish<'a>(
        &'a self,
        zone: &'a Zone,
        slug: &'a Slug,
        width: Option<JpegWidth>,
        headers: FrameHeaders,
        jpeg: Bytes,
    ) -> BoxFuture<'a, Result<(), FrameLoss>> {
        Box::pin(async move {
            if !self.pulse.may_publish() {
                return Err(FrameLoss::Silenced);
            }
            match self.publisher.publish(zone, slug, width, &headers, jpeg).await {
                Published::Sent => Ok(()),
                Published::Dropped(reason) => Err(FrameLoss::Bus(reason)),
            }
        })
    }

    fn max_frame_bytes(&self) -> usize {
        self.publisher.max_frame_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::bus::connect::{Bus, Purpose};
    use rsm_shared::bus::frames::DropReason;
    use rsm_shared::config::Config;
    use rsm_shared::stream::fence::{Epoch, Fence};

    #[tokio::test]
    async fn a_frame_passes_only_while_the_process_may_publish() {
        let config = Config::load(None, &[("nats.urls", "nats://127.0.0.1:9".to_owned())]).unwrap();
        let publisher = FramePublisher::new(Bus::connect(&config.nats, Purpose::Frames, "test").await.unwrap());
        let headers = FrameHeaders {
            fence: Fence { epoch: Epoch(1), revision: 1 },
            seq: 1,
            captured_at_us: 0,
            published_at_us: 0,
            width: 1,
            height: 1,
        };
        let awake = SharedPulse::new(Duration::from_secs(3600));
        // Its last beat is always too long ago.
        let paused = SharedPulse::new(Duration::ZERO);
        for (pulse, loss) in [(awake, FrameLoss::Bus(DropReason::NotConnected)), (paused, FrameLoss::Silenced)] {
            let gated = GatedPublisher::new(publisher.clone(), pulse);
            let (zone, slug) = (Zone::default_zone(), Slug::parse("yard").unwrap());
            let published = gated.publish(&zone, &slug, None, headers, Bytes::from_static(b"jpeg")).await;
            assert_eq!(published, Err(loss));
        }
    }
}
