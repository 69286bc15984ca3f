//! The pictures of a camera that sends JPEG, as they are: nothing is decoded.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::size::Size;
use crate::pipeline::to_jpeg::{JpegFrame, NewestJpeg};
use rsm_media::access_unit::AccessUnit;
use rsm_media::jpeg;
use rsm_media::parameters::VideoCodec;
use rsm_media::rate_limit::RateLimit;

/// The size of the frame that `unit` is already, pixels; `None` for other codecs, and when it is larger than
/// `max_bytes`.
pub(super) fn as_it_is(unit: &AccessUnit, max_bytes: usize) -> Option<(u32, u32)> {
    if unit.video.codec != VideoCodec::Jpeg || unit.data.len() > max_bytes {
        return None;
    }
    jpeg::size(&unit.data)
}

/// The sizes that the camera's own pictures are shown in: those that they are not wider than. Eight at most.
#[derive(Default)]
pub(super) struct Passing(Mutex<Vec<PassedSize>>);

struct PassedSize {
    size: Size,
    /// Goes by the pictures' own times.
    rate: RateLimit,
    number: u64,
    newest: watch::Sender<Option<JpegFrame>>,
}

/// The outcome for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassOutcome {
    /// It is not due in any size.
    NotDue,
    Shown,
    /// It is too large for one whose turn it is.
    Unfit,
}

impl Passing {
    pub fn add(&self, size: Size) -> NewestJpeg {
        let (newest, receiver) = watch::channel(None);
        self.0.lock().push(PassedSize { size, rate: RateLimit::new(size.params.max_fps), number: 0, newest });
        receiver
    }

    pub fn remove(&self, size: Size) {
        self.0.lock().retain(|pass| pass.size != size);
    }

    /// Shows a picture in all sizes whose turn it is.
    pub fn offer(&self, unit: &AccessUnit, max_bytes: usize) -> PassOutcome {
        let mut passing = self.0.lock();
        let due: Vec<_> = passing.iter_mut().filter_map(|pass| pass.rate.admit(unit.pts).then_some(pass)).collect();
        if due.is_empty() {
            return PassOutcome::NotDue;
        }
        let Some((width, height)) = as_it_is(unit, max_bytes) else { return PassOutcome::Unfit };
        if due.iter().any(|pass| width > pass.size.params.max_width) {
            return PassOutcome::Unfit;
        }
        for pass in due {
            pass.number += 1;
            let (data, captured, number) = (unit.data.clone(), Some(unit.captured), pass.number);
            let frame = JpegFrame { data, pts: unit.pts, captured, width, height, encode: Duration::ZERO, number };
            pass.newest.send_replace(Some(frame));
        }
        PassOutcome::Shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::test_clip::{Clip, ClipStyle};

    const CLIP: Clip = Clip { width: 322, height: 242, fps: 25, pictures: 1, group: 1, b_pictures: 0 };

    #[test]
    fn reads_the_size_of_a_real_picture_and_of_no_part_of_its_head() {
        let unit = &CLIP.encode_as(ClipStyle { codec: VideoCodec::Jpeg, ..ClipStyle::PLAIN })[0];
        assert_eq!(jpeg::size(&unit.data), Some((322, 242)));
        let filled: Vec<u8> = [&unit.data[..2], &[0xff, 0xff], &unit.data[2..]].concat();
        assert_eq!(jpeg::size(&filled), Some((322, 242)));
        let frame_header = unit.data.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        assert!((0..frame_header + 9).all(|len| jpeg::size(&unit.data[..len]).is_none()));
    }
}
