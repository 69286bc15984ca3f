//! Pictures of widths that no worker encodes: scaled here, once for all requests for the same picture.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader, Limits};
use moka::future::Cache;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::slug::Slug;
use salvo::http::StatusCode;
use tokio::sync::Semaphore;

use super::frame::Frame;
use crate::http::problem::Problem;

/// Time that a request waits for its turn.
const WAIT: Duration = Duration::from_secs(10);
/// Pictures scaled at a time: each keeps a core busy for some 20 ms.
const SCALERS: usize = 2;
/// When to try again, seconds.
const RETRY_AFTER: u64 = 2;
/// JPEG quality of a scaled picture.
const QUALITY: u8 = 85;
/// Largest picture scaled, pixels each way, and the memory it may take, bytes.
const MAX_SIDE: u32 = 8192;
const MAX_MEMORY: u64 = 256 << 20;
/// Scaled pictures are kept for this long, and no more than this, bytes.
const KEPT: Duration = Duration::from_secs(2);
const MAX_KEPT: u64 = 16 << 20;

/// Identity of a scaled picture: stream, width of the subscription, fence, frame number, width in pixels.
type SnapshotKey = (Slug, Option<JpegWidth>, Fence, u64, u32);

/// Scaled pictures and the permits to scale.
pub struct Snapshots {
    scalers: Arc<Semaphore>,
    /// Requests for a picture that is being scaled wait for it.
    kept: Cache<SnapshotKey, Bytes>,
}

impl Default for Snapshots {
    fn default() -> Self {
        let weigh = |_: &SnapshotKey, jpeg: &Bytes| u32::try_from(jpeg.len()).unwrap_or(u32::MAX);
        let kept = Cache::builder().max_capacity(MAX_KEPT).weigher(weigh).time_to_live(KEPT).build();
        Self { scalers: Arc::new(Semaphore::new(SCALERS)), kept }
    }
}

impl Snapshots {
    /// A frame of a stream, that came in width `source`, scaled to exactly `width` pixels.
    ///
    /// # Errors
    /// 503 when too many others are being scaled, 502 when the picture is none.
    pub async fn scaled(
        &self,
        slug: &Slug,
        source: Option<JpegWidth>,
        frame: &Frame,
        width: u32,
    ) -> Result<Bytes, Problem> {
        let key = (slug.clone(), source, frame.headers.fence, frame.headers.seq, width);
        let scaled = self.kept.try_get_with(key, self.scale(frame.jpeg.clone(), width)).await;
        scaled.map_err(|problem: Arc<Problem>| (*problem).clone())
    }

    async fn scale(&self, jpeg: Bytes, width: u32) -> Result<Bytes, Problem> {
        let crowded = || Problem::later(RETRY_AFTER, "too many pictures are being scaled");
        let turn = self.scalers.clone().acquire_owned();
        let permit = tokio::time::timeout(WAIT, turn).await.map_err(|_| crowded())?.map_err(|_| crowded())?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            scale(&jpeg, width)
        });
        match work.await {
            Ok(Ok(jpeg)) => Ok(jpeg.into()),
            Ok(Err(e)) => {
                tracing::warn!(repeats = true, error = %e, "a frame cannot be scaled");
                Err(Problem::new(StatusCode::BAD_GATEWAY, "the camera's picture cannot be scaled; ask for it unscaled"))
            }
            Err(_) => Err(Problem::internal()),
        }
    }
}

fn scale(jpeg: &[u8], width: u32) -> Result<Vec<u8>, image::ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
    reader.limits(limits);
    let picture = reader.decode()?;
    // The height follows; only the width bounds it.
    let small = picture.resize(width, MAX_SIDE, FilterType::Triangle);
    let mut out = Vec::new();
    small.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use rsm_shared::stream::fence::Epoch;
    use rsm_shared::wire::frame_headers::FrameHeaders;

    use super::*;

    #[test]
    fn a_picture_is_scaled_to_its_width() {
        let mut jpeg = Vec::new();
        image::RgbImage::new(320, 180).write_with_encoder(JpegEncoder::new(&mut jpeg)).unwrap();
        let small = image::load_from_memory(&scale(&jpeg, 160).unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (160, 90));
        assert!(scale(b"no jpeg", 160).is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_hundred_who_ask_at_once_cost_one_scaling() {
        let mut jpeg = Vec::new();
        image::RgbImage::new(320, 180).write_with_encoder(JpegEncoder::new(&mut jpeg)).unwrap();
        let headers = FrameHeaders {
            fence: Fence { epoch: Epoch(1), revision: 1 },
            seq: 1,
            captured_at_us: 0,
            published_at_us: 0,
            width: 320,
            height: 180,
        };
        let (frame, slug) = (Arc::new(Frame::new(jpeg.into(), headers, 1)), Slug::parse("yard").unwrap());
        let snapshots = Arc::new(Snapshots::default());
        let mut asking = tokio::task::JoinSet::new();
        for asker in 0..100 {
            let (snapshots, frame, slug) = (snapshots.clone(), frame.clone(), slug.clone());
            asking.spawn(async move {
                let scaled = snapshots.scaled(&slug, None, &frame, 160);
                // Some requests are given up, the first one among them.
                let patience = Duration::from_micros(if asker % 10 == 0 { 100 } else { 60_000_000 });
                tokio::time::timeout(patience, scaled).await.ok().map(Result::unwrap)
            });
        }
        let got: Vec<Bytes> = asking.join_all().await.into_iter().flatten().collect();
        assert!(got.len() >= 90);
        assert!(got.iter().all(|jpeg| jpeg.as_ptr() == got[0].as_ptr()), "all got the same memory");
        let other = snapshots.scaled(&slug, None, &frame, 100).await.unwrap();
        assert_ne!(other, got[0], "another width is another picture");
    }
}
