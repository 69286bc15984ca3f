//! Where JPEG frames go. The one seam of the outputs: tests watch frames without a NATS server.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::frame_headers::FrameHeaders;

use crate::metrics::FrameLoss;

/// Takes frames, or drops them within 250 ms.
pub trait FrameSink: Send + Sync + 'static {
    /// Publishes one frame: of the stream's own width, or of a step of the ladder.
    ///
    /// # Errors
    /// Why it was dropped.
    fn publish<'a>(
        &'a self,
        zone: &'a Zone,
        slug: &'a Slug,
        width: Option<JpegWidth>,
        headers: FrameHeaders,
        jpeg: Bytes,
    ) -> BoxFuture<'a, Result<(), FrameLoss>>;

    /// Largest frame that can be taken now, bytes.
    fn max_frame_bytes(&self) -> usize;
}
