//! Caps of the pads, and the size of a JPEG.

use gstreamer as gst;

use rsm_media::parameters::{VideoCodec, VideoParameters};

/// Smallest side of a JPEG, pixels.
const MIN_SIDE: u32 = 2;

/// Pictures as [`rsm_media::access_unit::AccessUnit`] holds them.
pub(super) fn pictures(video: &VideoParameters) -> gst::Caps {
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let packed = |media: &str, format: &str| {
        gst::Caps::builder(media)
            .field("stream-format", format)
            .field("alignment", "au")
            .field("codec_data", gst::Buffer::from_slice(video.codec_data.clone()))
    };
    let caps = match video.codec {
        VideoCodec::H264 => packed("video/x-h264", "avc"),
        VideoCodec::H265 => packed("video/x-h265", "hvc1"),
        VideoCodec::Jpeg => gst::Caps::builder("image/jpeg").field("parsed", true),
    };
    caps.field("width", side(video.width)).field("height", side(video.height)).build()
}

/// H.264 as segments hold it: of profile main, or a profile that it includes.
pub(super) fn avc() -> gst::Caps {
    gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("profile", gst::List::new(["main", "constrained-baseline", "baseline"]))
        .build()
}

/// Samples of G.711 (ITU-T G.711), one byte each.
pub(super) fn g711(media: &str, sample_rate: u32, channels: u16) -> gst::Caps {
    gst::Caps::builder(media)
        .field("rate", i32::try_from(sample_rate).unwrap_or(i32::MAX))
        .field("channels", i32::from(channels))
        .build()
}

/// The format that the software encoders take without conversion, with square pixels.
pub(super) fn i420(size: (u32, u32)) -> gst::Caps {
    raw(Some("I420"), size)
}

/// Raw pictures with square pixels.
pub(super) fn raw(format: Option<&str>, (width, height): (u32, u32)) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field_if_some("format", format)
        .field("width", i32::try_from(width).unwrap_or(i32::MAX))
        .field("height", i32::try_from(height).unwrap_or(i32::MAX))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

/// Size of the JPEG of a decoded picture: square pixels, both sides even (4:2:0), at most `max_width` wide, never
/// larger than the picture on either side. `par` is the pixel aspect ratio, width over height.
pub fn jpeg_size(source: (u32, u32), par: (u32, u32), max_width: u32) -> (u32, u32) {
    let (width, height) = (f64::from(source.0.max(1)), f64::from(source.1.max(1)));
    let par = if par.0 == 0 || par.1 == 0 { 1.0 } else { f64::from(par.0) / f64::from(par.1) };
    // Square the pixels by shrinking the longer side, which enlarges nothing.
    let (width, height) = if par >= 1.0 { (width, height / par) } else { (width * par, height) };
    let scale = (f64::from(max_width) / width).min(1.0);
    (even(width * scale), even(height * scale))
}

fn even(side: f64) -> u32 {
    // Sides are below 2^15 (GStreamer's own limit), so the cast is exact.
    // A quarter of a pixel pair forgives rounding and never reaches a side above the given one.
    let pairs = (side / 2.0 + 0.25).floor().clamp(1.0, 16_383.0) as u32;
    (pairs * 2).max(MIN_SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (source, par, max_width, want) in [
            ((1920, 1080), (1, 1), 1280, (1280, 720)),
            ((1920, 1080), (1, 1), 4000, (1920, 1080)),
            ((1920, 1080), (1, 1), 1919, (1918, 1078)),
            ((704, 480), (40, 33), 1280, (704, 396)),
            ((704, 576), (12, 11), 352, (352, 264)),
            ((352, 480), (2, 1), 352, (352, 240)),
            ((720, 480), (8, 9), 1280, (640, 480)),
            ((641, 361), (1, 1), 3840, (640, 360)),
            ((1, 1), (0, 0), 64, (2, 2)),
        ] {
            assert_eq!(jpeg_size(source, par, max_width), want, "{source:?} {par:?} {max_width}");
        }
    }

    proptest! {
        #[test]
        fn even_bounded_and_in_proportion(w in 16u32..8192, h in 16u32..8192, max in 64u32..3840) {
            let (width, height) = jpeg_size((w, h), (1, 1), max);
            prop_assert!(width % 2 == 0 && height % 2 == 0 && width >= 2 && height >= 2);
            prop_assert!(width <= max.min(w) && height <= h);
            let expected = f64::from(height) * f64::from(w) / f64::from(h);
            prop_assert!((f64::from(width) - expected).abs() <= 2.0 + 2.0 * f64::from(w) / f64::from(h));
        }
    }
}
