//! Decides which pictures are whole and have all their references. Pure.
//!
//! Cameras drop packets even over TCP, when the network is slower than they are. Torn pictures are not shown, and
//! neither are pictures that refer to them.

use std::time::{Duration, Instant};

use rsm_media::parameters::VideoCodec;

/// A stream that shows no usable key frame for this long is given up: longer than the longest usual group of
/// pictures, 10 s.
pub const KEY_PATIENCE: Duration = Duration::from_secs(12);

/// The treatment of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Show,
    /// The unit holds no picture, only data beside pictures.
    Nothing,
    /// Torn, or with a lost reference.
    LeaveOut,
    /// None that can be shown came for [`KEY_PATIENCE`].
    GiveUp,
}

/// Follows one video stream.
#[derive(Debug, Default)]
pub struct Whole {
    begun: bool,
    /// Since when a key frame is waited for.
    waiting: Option<Instant>,
}

impl Whole {
    /// Another picture, before which packets were `lost` (or not), and whose first slice is at hand.
    pub fn judge(&mut self, codec: VideoCodec, is_key: bool, lost: bool, data: &[u8], arrived: Instant) -> Verdict {
        // The first packet of a session may be from the midst of a picture.
        let doubtful = lost || !std::mem::replace(&mut self.begun, true);
        let begins = begins_a_picture(codec, data);
        if begins.is_none() && !lost {
            return Verdict::Nothing;
        }
        // A JPEG picture is made from nothing else; the loss was its end, or that of the one before.
        let torn = doubtful && begins != Some(true) || lost && codec == VideoCodec::Jpeg;
        if is_key && !torn {
            self.waiting = None;
        } else if lost || torn {
            self.waiting.get_or_insert(arrived);
        }
        self.verdict(arrived)
    }

    /// Another picture that cannot be used, whatever is in it: its parameter sets are not known.
    pub fn unusable(&mut self, arrived: Instant) -> Verdict {
        self.begun = true;
        self.waiting.get_or_insert(arrived);
        self.verdict(arrived)
    }

    fn verdict(&self, arrived: Instant) -> Verdict {
        match self.waiting {
            None => Verdict::Show,
            Some(since) if arrived.saturating_duration_since(since) < KEY_PATIENCE => Verdict::LeaveOut,
            Some(_) => Verdict::GiveUp,
        }
    }
}

/// True when the first slice of a picture is its first one; `None` when there is no slice. H.264 has
/// `first_mb_in_slice` 0 in the first one (a single set bit, ITU-T H.264 section 7.3.3), H.265 has
/// `first_slice_segment_in_pic_flag` (H.265 section 7.3.6.1).
fn begins_a_picture(codec: VideoCodec, data: &[u8]) -> Option<bool> {
    let behind_header = nal_units(data).find_map(|unit| {
        let (is_slice, header) = match codec {
            VideoCodec::H264 => (matches!(unit.first()? & 0x1f, 1 | 2 | 5), 1),
            VideoCodec::H265 => (unit.first()? >> 1 & 0x3f < 32, 2),
            VideoCodec::Jpeg => return None,
        };
        is_slice.then(|| unit.get(header).copied().unwrap_or_default())
    });
    match codec {
        VideoCodec::Jpeg => Some(data.starts_with(&[0xff, 0xd8])),
        _ => behind_header.map(|byte| byte & 0x80 != 0),
    }
}

/// NAL units, each behind its length in four bytes; ends where one is not whole.
fn nal_units(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<4>()?;
        let (unit, behind) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        data = behind;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const H264: VideoCodec = VideoCodec::H264;

    fn unit(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
    }

    #[test]
    fn the_first_slice_is_recognised() {
        for (codec, data, want) in [
            (H264, unit(&[0x65, 0x88]), Some(true)),
            (H264, unit(&[0x41, 0x9a]), Some(true)),
            (H264, unit(&[0x65, 0x40]), Some(false)),
            (H264, [unit(&[9, 0x10]), unit(&[6, 0xff]), unit(&[0x65, 0x88])].concat(), Some(true)),
            (H264, unit(&[6, 0xff]), None),
            (H264, unit(&[0x65]), Some(false)),
            (VideoCodec::H265, unit(&[0x26, 1, 0xaf]), Some(true)),
            (VideoCodec::H265, unit(&[0x26, 1, 0x2f]), Some(false)),
            (VideoCodec::H265, unit(&[0x46, 1, 0xff]), None),
            (VideoCodec::Jpeg, vec![0xff, 0xd8, 0xff], Some(true)),
            (VideoCodec::Jpeg, vec![0], Some(false)),
        ] {
            assert_eq!(begins_a_picture(codec, &data), want, "{codec:?} {data:x?}");
        }
    }

    /// The treatment of pictures a second apart, given as key (`K`), other (`p`), torn (`k`), and none (`-`), with
    /// `!` before a picture that follows a loss.
    fn judged(codec: VideoCodec, pictures: &str) -> String {
        let (mut whole, begin) = (Whole::default(), Instant::now());
        let (first, later) = match codec {
            VideoCodec::Jpeg => (vec![0xff, 0xd8], vec![0]),
            _ => (unit(&[0x65, 0x88]), unit(&[0x65, 0x40])),
        };
        let none = unit(&[9, 0x10]);
        let mut lost = false;
        let mut seconds = 0;
        let mut verdicts = String::new();
        for picture in pictures.chars() {
            if picture == '!' {
                lost = true;
                continue;
            }
            let data = match picture {
                'k' => &later,
                '-' => &none,
                _ => &first,
            };
            let at = begin + Duration::from_secs(seconds);
            seconds += 1;
            verdicts.push(match whole.judge(codec, picture != 'p', std::mem::take(&mut lost), data, at) {
                Verdict::Show => '+',
                Verdict::Nothing => '0',
                Verdict::LeaveOut => '-',
                Verdict::GiveUp => 'x',
            });
        }
        verdicts
    }

    #[test]
    fn after_a_loss_pictures_wait_for_a_whole_key_frame() {
        for (pictures, want) in [
            ("Kppp", "++++"),
            ("ppK", "+++"),
            ("Kp!ppKp", "++--++"),
            ("Kp!Kp", "++++"),
            ("Kp!kpKp", "++--++"),
            ("kpKp", "--++"),
            // A unit that retina takes for a key frame because no part of it is of another kind.
            ("-Kp-p", "0++0+"),
            ("Kp!-pK", "++--+"),
            ("K!pppppppppppppp", "+------------xx"),
        ] {
            assert_eq!(judged(H264, pictures), want, "{pictures}");
        }
        assert_eq!(judged(VideoCodec::Jpeg, "KK!KKK"), "++-++");
        assert_eq!(judged(VideoCodec::Jpeg, &"!K".repeat(14)), "------------xx");
    }

    #[test]
    fn pictures_without_parameter_sets_are_waited_with_and_then_given_up() {
        let (mut whole, begin) = (Whole::default(), Instant::now());
        for seconds in 0..12 {
            assert_eq!(whole.unusable(begin + Duration::from_secs(seconds)), Verdict::LeaveOut);
        }
        assert_eq!(whole.unusable(begin + KEY_PATIENCE), Verdict::GiveUp);
        let key = unit(&[0x65, 0x88]);
        assert_eq!(whole.judge(H264, true, false, &key, begin + KEY_PATIENCE), Verdict::Show);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_and_nothing_is_shown_between_a_loss_and_a_key_frame(
            pictures in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 1..60),
        ) {
            let (mut whole, now) = (Whole::default(), Instant::now());
            let mut broken = false;
            for (is_key, lost, data) in pictures {
                broken = (broken || lost) && !is_key;
                let verdict = whole.judge(H264, is_key, lost, &data, now);
                prop_assert!(!(broken && verdict == Verdict::Show));
            }
        }
    }
}
