//! The pictures of a camera that sends JPEG, as they are: nothing is decoded.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::size::Size;
use crate::media::access_unit::AccessUnit;
use crate::media::parameters::VideoCodec;
use crate::media::rate::RateLimit;
use crate::pipeline::to_jpeg::{JpegFrame, NewestJpeg};

/// The size of the frame that `unit` is already, pixels; `None` for other codecs, and when it is larger than
/// `max_bytes`.
pub(super) fn as_it_is(unit: &AccessUnit, max_bytes: usize) -> Option<(u32, u32)> {
    if unit.video.codec != VideoCodec::Jpeg || unit.data.len() > max_bytes {
        return None;
    }
    size(&unit.data)
}

/// The sizes that the camera's own pictures are shown in: those that they are not wider than. Eight at most.
#[derive(Default)]
pub(super) struct Passing(Mutex<Vec<Pass>>);

struct Pass {
    size: Size,
    /// Goes by the pictures' own times.
    rate: RateLimit,
    number: u64,
    newest: watch::Sender<Option<JpegFrame>>,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nobody's turn.
    NotDue,
    Shown,
    /// It is too large for one whose turn it is.
    Unfit,
}

impl Passing {
    pub fn add(&self, size: Size) -> NewestJpeg {
        let (newest, receiver) = watch::channel(None);
        self.0.lock().push(Pass { size, rate: RateLimit::new(size.params.max_fps), number: 0, newest });
        receiver
    }

    pub fn remove(&self, size: Size) {
        self.0.lock().retain(|pass| pass.size != size);
    }

    /// Shows a picture in all sizes whose turn it is.
    pub fn offer(&self, unit: &AccessUnit, max_bytes: usize) -> Passed {
        let mut passing = self.0.lock();
        let due: Vec<_> = passing.iter_mut().filter_map(|pass| pass.rate.admit(unit.pts).then_some(pass)).collect();
        if due.is_empty() {
            return Passed::NotDue;
        }
        let Some((width, height)) = as_it_is(unit, max_bytes) else { return Passed::Unfit };
        if due.iter().any(|pass| width > pass.size.params.max_width) {
            return Passed::Unfit;
        }
        for pass in due {
            pass.number += 1;
            let (data, captured, number) = (unit.data.clone(), Some(unit.captured), pass.number);
            let frame = JpegFrame { data, pts: unit.pts, captured, width, height, encode: Duration::ZERO, number };
            pass.newest.send_replace(Some(frame));
        }
        Passed::Shown
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
