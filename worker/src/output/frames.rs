//! Where JPEG frames go. The one seam of the outputs: tests watch frames without a NATS server.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rsm_shared::bus::frames::{FramePublisher, Published};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;

/// Takes frames, or drops them within 250 ms.
pub trait FrameSink: Send + Sync + 'static {
    /// Publishes one frame.
    fn publish<'a>(
        &'a self,
        zone: &'a Zone,
        slug: &'a Slug,
        headers: FrameHeaders,
        jpeg: Bytes,
    ) -> BoxFuture<'a, Published>;

    /// Largest frame that can be taken now, bytes.
    fn max_frame_bytes(&self) -> usize;
}

impl FrameSink for FramePublisher {
    fn publish<'a>(
        &'a self,
        zone: &'a Zone,
        slug: &'a Slug,
        headers: FrameHeaders,
        jpeg: Bytes,
    ) -> BoxFuture<'a, Published> {
        Box::pin(async move { Self::publish(self, zone, slug, &headers, jpeg).await })
    }

    fn max_frame_bytes(&self) -> usize {
        Self::max_frame_bytes(self)
    }
}
