//! The pictures of a camera that sends JPEG, as they are: nothing is decoded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::stream::spec::JpegParams;

use super::{Break, JpegOutput, LATE};
use crate::media::access_unit::AccessUnit;
use crate::media::hub::Subscription;
use crate::media::parameters::VideoCodec;
use crate::media::queue::Popped;
use crate::media::rate::RateLimit;
use crate::pipeline::to_jpeg::JpegFrame;

impl JpegOutput {
    /// The frame that `unit` is already; `None` for other codecs, and when it is wider than wanted or larger than the
    /// sink takes.
    pub(super) fn as_it_is(&self, unit: &AccessUnit, params: JpegParams) -> Option<JpegFrame> {
        if unit.video.codec != VideoCodec::Jpeg || unit.data.len() > self.frames.max_frame_bytes() {
            return None;
        }
        let (width, height) = size(&unit.data)?;
        let fits = width <= params.max_width;
        let frame =
            JpegFrame { data: unit.data.clone(), pts: unit.pts, width, height, encode: Duration::ZERO, number: 0 };
        fits.then_some(frame)
    }

    /// From `first` on while the pictures fit; limited in rate by their own times.
    pub(super) async fn pass_through(
        &self,
        first: Arc<AccessUnit>,
        subscription: &Subscription,
        params: JpegParams,
        seq: &mut u64,
    ) -> Break {
        let timeline = first.timeline;
        let mut rate = RateLimit::new(params.max_fps);
        let mut unit = first;
        loop {
            if rate.admit(unit.pts) {
                let Some(frame) = self.as_it_is(&unit, params) else { return Break::Unfit(unit) };
                // A frame that NATS does not take is counted; a newer one follows.
                let _ = self.send(frame, seq, unit.captured).await;
            }
            unit = loop {
                if let Popped::Unit(next) = subscription.next().await {
                    break next;
                }
            };
            if unit.timeline != timeline {
                return Break::Timeline(unit);
            }
            if Instant::now().saturating_duration_since(unit.arrived) >= LATE {
                // Every picture is a key picture; nothing waits when it says no.
                subscription.skip_to_newest_key();
            }
        }
    }
}

/// Width and height in pixels, from the frame header (ITU-T T.81 B.2.2). `None` when there is none.
pub fn size(jpeg: &[u8]) -> Option<(u32, u32)> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    loop {
        // Markers may be filled with any number of 0xff before them (B.1.1.2).
        let marker = rest.iter().position(|byte| *byte != 0xff).filter(|at| *at > 0)?;
        let kind = *rest.get(marker)?;
        rest = rest.get(marker + 1..)?;
        match kind {
            // Without a length: TEM and RSTm.
            0x01 | 0xd0..=0xd7 => {}
            // End of image, or the scan begins: too late for a frame header.
            0xd9 | 0xda => return None,
            _ => {
                let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
                let segment = rest.get(..length)?;
                // SOF0 to SOF15; DHT, JPG and DAC are between them.
                if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
                    let side = |at: usize| Some(u32::from(u16::from_be_bytes(*segment.get(at..)?.first_chunk()?)));
                    let (height, width) = (side(3)?, side(5)?);
                    return (width > 0 && height > 0).then_some((width, height));
                }
                rest = rest.get(length.max(2)..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::test_clip::{Clip, Look};
    use proptest::prelude::*;

    const CLIP: Clip = Clip { width: 322, height: 242, fps: 25, pictures: 1, group: 1, b_pictures: 0 };

    #[test]
    fn reads_the_size_of_a_real_picture_and_of_no_part_of_its_head() {
        let unit = &CLIP.encode_as(Look { codec: VideoCodec::Jpeg, ..Look::PLAIN })[0];
        assert_eq!(size(&unit.data), Some((322, 242)));
        let filled: Vec<u8> = [&unit.data[..2], &[0xff, 0xff], &unit.data[2..]].concat();
        assert_eq!(size(&filled), Some((322, 242)));
        let frame_header = unit.data.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        assert!((0..frame_header + 9).all(|len| size(&unit.data[..len]).is_none()));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), jpeg in any::<bool>()) {
            let bytes = if jpeg { [&[0xff, 0xd8, 0xff][..], &bytes].concat() } else { bytes };
            let _ = size(&bytes);
        }
    }
}
