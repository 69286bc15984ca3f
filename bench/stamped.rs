//! JPEG pictures of an exact size that carry the time of their sending, for measurements with many viewers.

use std::time::SystemTime;

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

/// Pixels, unless another width is asked for.
pub const WIDTH: u32 = 640;
/// Different pictures, shown in turn, so that motion can be seen.
const LOOKS: u32 = 8;
const QUALITY: u8 = 60;
/// In the comment that follows the start of the image: marker, length, name, number, time.
const NAME: [u8; 4] = *b"RSMT";
const STAMP: usize = 2 + 2 + NAME.len() + 8 + 8;
/// Bytes that hold the stamp, from the beginning of the picture on.
pub const HEAD: usize = 2 + STAMP;
/// Longest segment of a JPEG, with its length of two bytes (ITU-T T.81 B.1.1.4).
const LONGEST: usize = 0xffff;

/// Pictures of one size in bytes.
pub struct StampedPictures {
    looks: Vec<Vec<u8>>,
    /// Pixels.
    pub width: u32,
    pub height: u32,
}

/// The stamp that a picture carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStamp {
    /// Counts the pictures of a stream.
    pub number: u64,
    /// Microseconds since 1970.
    pub sent_us: u64,
}

impl StampedPictures {
    /// All of exactly `bytes` bytes, `width` pixels wide, 16 by 9.
    ///
    /// # Panics
    /// When a picture of that size in pixels needs more.
    pub fn of(bytes: usize, width: u32) -> Self {
        let height = width * 9 / 16;
        Self { looks: (0..LOOKS).map(|look| padded(&plain(look, width, height), bytes)).collect(), width, height }
    }

    /// The picture of this number, sent now, behind `before`.
    pub fn write(&self, number: u64, before: &[u8]) -> Vec<u8> {
        let look = &self.looks[(number % u64::from(LOOKS)) as usize];
        let mut whole = Vec::with_capacity(before.len() + look.len());
        whole.extend_from_slice(before);
        whole.extend_from_slice(look);
        let stamp = &mut whole[before.len() + HEAD - 16..];
        stamp[..8].copy_from_slice(&number.to_be_bytes());
        stamp[8..16].copy_from_slice(&now_us().to_be_bytes());
        whole
    }
}

impl FrameStamp {
    /// Reads it from the first [`HEAD`] bytes of a picture; `None` when that has none.
    pub fn read(head: &[u8]) -> Option<Self> {
        let rest = head.get(..HEAD)?.strip_prefix(&[0xff, 0xd8, 0xff, 0xfe])?.get(2..)?.strip_prefix(&NAME)?;
        let (number, sent) = (rest.first_chunk::<8>()?, rest.get(8..)?.first_chunk::<8>()?);
        Some(Self { number: u64::from_be_bytes(*number), sent_us: u64::from_be_bytes(*sent) })
    }
}

/// Microseconds since 1970, by the clock that all processes of a machine share.
pub fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// A sloping ground with a bar that stands elsewhere in each look.
fn plain(look: u32, width: u32, height: u32) -> Vec<u8> {
    let bar = look * width / LOOKS..(look + 1) * width / LOOKS;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        if bar.contains(&x) { Rgb([240, 200, 60]) } else { Rgb([(x / 4) as u8, (y / 2) as u8, 90]) }
    });
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&picture).expect("a JPEG");
    jpeg
}

/// With room for the stamp in front, and comments behind it that fill it up.
fn padded(jpeg: &[u8], bytes: usize) -> Vec<u8> {
    let mut filler = bytes.checked_sub(jpeg.len() + STAMP).unwrap_or_else(|| {
        panic!("a picture needs {} bytes, not {bytes}", jpeg.len() + STAMP);
    });
    let mut whole = Vec::with_capacity(bytes);
    whole.extend_from_slice(&jpeg[..2]);
    comment(&mut whole, STAMP);
    whole[6..6 + NAME.len()].copy_from_slice(&NAME);
    while filler > 0 {
        // The rest must hold a marker and a length of its own.
        let this = match filler {
            0..=3 => panic!("{bytes} bytes are {filler} too many for a picture of {} bytes", jpeg.len() + STAMP),
            4..=LONGEST => filler,
            _ => LONGEST.min(filler - 4),
        };
        comment(&mut whole, this);
        filler -= this;
    }
    whole.extend_from_slice(&jpeg[2..]);
    assert_eq!(whole.len(), bytes);
    whole
}

/// A comment segment of `len` bytes, its marker and length among them.
fn comment(to: &mut Vec<u8>, len: usize) {
    to.extend_from_slice(&[0xff, 0xfe]);
    to.extend_from_slice(&u16::try_from(len - 2).unwrap_or(u16::MAX).to_be_bytes());
    to.resize(to.len() + len - 4, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_every_size_are_whole_and_say_their_number() {
        // Sizes around whole comments too: the rest must hold a comment of its own.
        for bytes in [12_000, 20_000, 65_536, 131_100, 150_000].into_iter().chain(69_000..69_010) {
            let pictures = StampedPictures::of(bytes, 160);
            let begun = now_us();
            let jpeg = pictures.write(11, &[]);
            assert_eq!(jpeg.len(), bytes);
            let stamp = FrameStamp::read(&jpeg).unwrap();
            assert_eq!(stamp.number, 11);
            assert!((begun..=now_us()).contains(&stamp.sent_us));
            let decoded = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).unwrap();
            assert_eq!((decoded.width(), decoded.height()), (160, 90));
            assert_eq!(pictures.write(11, b"before")[6..16], jpeg[..10]);
        }
    }

    #[test]
    fn other_pictures_have_no_stamp() {
        let jpeg = StampedPictures::of(20_000, WIDTH).write(3, &[]);
        assert_eq!(FrameStamp::read(&plain(0, 64, 36)), None);
        assert!((0..HEAD).all(|len| FrameStamp::read(&jpeg[..len]).is_none()));
    }
}
