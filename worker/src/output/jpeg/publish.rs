//! The newest frame of each size to the sink.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use rsm_shared::bus::frames::DropReason;
use rsm_shared::wire::frame_headers::FrameHeaders;

use super::JpegOutput;
use super::size::{FrameNumbers, Size};
use crate::metrics::FrameLoss;
use crate::pipeline::to_jpeg::{JpegEncoder, JpegFrame, NewestJpeg};

/// Frames that NATS refuses for their size are encoded this much coarser, down to the least.
const QUALITY_STEP: u32 = 15;
pub(crate) const LEAST_QUALITY: u32 = 20;

/// The next coarser quality; `None` below the least.
pub(crate) fn coarser(quality: u32) -> Option<u32> {
    (quality > LEAST_QUALITY).then(|| quality.saturating_sub(QUALITY_STEP).max(LEAST_QUALITY))
}

impl JpegOutput {
    /// Sends the newest frame of one size that was not sent, again and again, until the size is not made any more. A
    /// slow NATS makes the rate fall, nothing else. Without an `encoder` the frames are the camera's own.
    pub(super) async fn publish_newest(
        &self,
        size: Size,
        mut newest: NewestJpeg,
        encoder: Option<JpegEncoder>,
        numbers: &FrameNumbers,
    ) {
        let (mut last, mut quality) = (0, size.params.quality);
        while newest.changed().await.is_ok() {
            let Some(frame) = newest.borrow_and_update().clone() else { continue };
            if encoder.is_some() {
                self.metrics.encoded(frame.encode);
            }
            self.metrics.dropped(FrameLoss::Superseded, frame.number.saturating_sub(last + 1));
            last = frame.number;
            let len = frame.data.len();
            let Some(captured) = frame.captured else {
                // Its age is unknown, and it must not count as new. A newer frame follows.
                self.metrics.dropped(FrameLoss::Unmatched, 1);
                continue;
            };
            let sent = self.send(size, frame, numbers, captured).await;
            if sent == Err(FrameLoss::Bus(DropReason::TooLarge))
                && let (Some(encoder), Some(next)) = (&encoder, coarser(quality))
            {
                quality = next;
                encoder.set_quality(quality);
                let width = size.params.max_width;
                tracing::info!(stream = %self.slug, width, quality, bytes = len, "frames are too large for NATS: coarser now");
            }
        }
    }

    /// Publishes one frame and counts the outcome.
    async fn send(
        &self,
        size: Size,
        frame: JpegFrame,
        numbers: &FrameNumbers,
        captured: SystemTime,
    ) -> Result<(), FrameLoss> {
        let (seq, len) = (numbers.next(size.width), frame.data.len());
        let sent = self.publish(size, frame, seq, captured).await;
        match sent {
            Ok(()) => {
                self.metrics.published(len);
                self.shown.store(true, Ordering::Relaxed);
                self.waiting.end();
            }
            Err(loss) => self.metrics.dropped(loss, 1),
        }
        sent
    }

    async fn publish(&self, size: Size, frame: JpegFrame, seq: u64, captured: SystemTime) -> Result<(), FrameLoss> {
        if frame.data.len() > self.frames.max_frame_bytes() {
            return Err(FrameLoss::Bus(DropReason::TooLarge));
        }
        let headers = FrameHeaders {
            fence: self.fence,
            seq,
            captured_at_us: unix_us(captured),
            published_at_us: unix_us(SystemTime::now()),
            width: frame.width,
            height: frame.height,
        };
        self.frames.publish(&self.zone, &self.slug, size.width, headers, frame.data).await
    }
}

fn unix_us(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
