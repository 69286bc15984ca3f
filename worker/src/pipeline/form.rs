//! Size and rate of encoded pictures, which playlists declare before the first picture is encoded. Pure.

use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal as _, RefNal};
use rsm_shared::stream::rendition::Rendition;

use super::caps;
use rsm_media::parameters::{VideoCodec, VideoParameters};

/// Pictures per second of a rendition at most, as good as.
const MAX_FPS: f64 = 30.0;
/// By this much a camera of 30 may exceed it by jitter and bad clocks, 3 pictures per second.
const FPS_SLACK: f64 = 0.1;
/// Average of 640x360 at 30 pictures per second, bits per second.
const BASE_BPS: f64 = 800_000.0;
const BASE_PIXELS_PER_S: f64 = 640.0 * 360.0 * MAX_FPS;
/// More pixels need fewer bits each: 2.6 Mbit/s for 720p30, 5.2 for 1080p30.
const BITS_GROWTH: f64 = 0.85;
/// Size of a burst, by time at the average rate. This is the buffer of the rate control; so no second has more than
/// `average * (1 + BURST_MS / 1000)`, which is declared as the peak.
pub(super) const BURST_MS: u64 = 500;
/// `profile_idc` and constraints of Main (ISO/IEC 14496-10 A.2.2), which everything plays.
pub(super) const MAIN: [u8; 2] = [77, 0x40];

/// The values that the multivariant playlist declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedForm {
    /// Pixels, square ones; both even.
    pub width: u32,
    pub height: u32,
    /// RFC 6381 section 3.3.
    pub rfc6381: String,
    /// Bits per second: of the worst second, and over time at most. Most scenes need far less.
    pub peak_bps: u64,
    pub average_bps: u64,
}

impl EncodedForm {
    /// `level_idc` of ISO/IEC 14496-10 A.3.
    pub(super) fn level(&self) -> u8 {
        let digits = self.rfc6381.get(self.rfc6381.len().saturating_sub(2)..);
        digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(51)
    }
}

/// The form of `rendition` of `video` at `fps` pictures per second. `None` when the source has not more lines than the
/// rendition, and for renditions that are not encoded: [`Rendition::Audio`], and [`Rendition::Source`] of codecs that
/// browsers play.
pub fn form(video: &VideoParameters, fps: Option<f64>, rendition: Rendition) -> Option<EncodedForm> {
    let source = source_size(video);
    let (width, height) = match rendition {
        Rendition::Audio => return None,
        Rendition::Source if video.codec != VideoCodec::Jpeg => return None,
        Rendition::Source | Rendition::H264 => source,
        scaled => {
            let lines = scaled.height().filter(|lines| *lines < source.1)?;
            let width = f64::from(source.0) * f64::from(lines) / f64::from(source.1);
            // To the nearest even number; sides are below 2^15.
            ((((width / 2.0).round() as u32) * 2).max(2), lines)
        }
    };
    // A camera that is slow at night is fast by day, and the declared values must hold.
    let fps = fps.unwrap_or(MAX_FPS).clamp(MAX_FPS, 240.0) / f64::from(kept_one_in(video, (width, height), fps));
    let fps = fps.max(MAX_FPS);
    let pixels_per_s = f64::from(width) * f64::from(height) * fps;
    let average = BASE_BPS * (pixels_per_s / BASE_PIXELS_PER_S).powf(BITS_GROWTH);
    // Rounded to something that reads well.
    let average_bps = ((average / 10_000.0).round() as u64).max(10) * 10_000;
    let peak_bps = average_bps + average_bps * BURST_MS / 1000;
    let [profile, constraints] = MAIN;
    let rfc6381 = format!("avc1.{profile:02x}{constraints:02x}{:02x}", level(width, height, fps, peak_bps));
    Some(EncodedForm { width, height, rfc6381, peak_bps, average_bps })
}

/// One picture of this many is encoded: rates above 30 per second are halved or divided further, where pictures are
/// scaled down anyway.
pub(super) fn kept_one_in(video: &VideoParameters, size: (u32, u32), fps: Option<f64>) -> u32 {
    if size.1 >= source_size(video).1 {
        return 1;
    }
    // At most 8.
    (fps.unwrap_or(MAX_FPS).min(240.0) / MAX_FPS - FPS_SLACK).ceil().max(1.0) as u32
}

/// The source's size with square pixels and even sides, none larger than it was.
fn source_size(video: &VideoParameters) -> (u32, u32) {
    caps::jpeg_size((video.width, video.height), pixel_aspect(video), u32::MAX)
}

/// Width over height of a pixel, as H.264 cameras with 4CIF or 960H say it. Other codecs are younger than such pixels;
/// a stream of theirs that has them gets borders instead of being distorted.
fn pixel_aspect(video: &VideoParameters) -> (u32, u32) {
    let ratio = || {
        let record = AvcDecoderConfigurationRecord::try_from(video.codec_data.as_ref()).ok()?;
        let sps = record.sequence_parameter_sets().next()?.ok()?;
        let sps = SeqParameterSet::from_bits(RefNal::new(sps, &[], true).rbsp_bits()).ok()?;
        let (width, height) = sps.vui_parameters?.aspect_ratio_info?.get()?;
        Some((u32::from(width), u32::from(height)))
    };
    if video.codec == VideoCodec::H264 { ratio().unwrap_or((1, 1)) } else { (1, 1) }
}

/// ISO/IEC 14496-10 table A-1: `level_idc`, macroblocks per second, per picture, kbit/s.
const LEVELS: [(u8, f64, u32, u64); 15] = [
    (10, 1485.0, 99, 64),
    (11, 3000.0, 396, 192),
    (12, 6000.0, 396, 384),
    (13, 11_880.0, 396, 768),
    (20, 11_880.0, 396, 2000),
    (21, 19_800.0, 792, 4000),
    (22, 20_250.0, 1620, 4000),
    (30, 40_500.0, 1620, 10_000),
    (31, 108_000.0, 3600, 14_000),
    (32, 216_000.0, 5120, 20_000),
    (40, 245_760.0, 8192, 20_000),
    (42, 522_240.0, 8704, 50_000),
    (50, 589_824.0, 22_080, 135_000),
    (51, 983_040.0, 36_864, 240_000),
    (52, 2_073_600.0, 36_864, 240_000),
];

fn level(width: u32, height: u32, fps: f64, peak_bps: u64) -> u8 {
    let (wide, high) = (width.div_ceil(16), height.div_ceil(16));
    let per_picture = wide * high;
    let per_second = f64::from(per_picture) * fps;
    // A.3.1: no side longer than the root of eight times the largest picture.
    let fits = |max: u32| per_picture <= max && wide.max(high).pow(2) <= 8 * max;
    let found = LEVELS.iter().find(|(_, rate, size, kbps)| {
        // Measured rates jitter.
        per_second <= rate * 1.01 && fits(*size) && peak_bps <= kbps * 1000
    });
    found.map_or(52, |(level, ..)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_units::parameters;
    use proptest::prelude::*;

    fn camera(codec: VideoCodec, width: u32, height: u32) -> VideoParameters {
        VideoParameters { codec, width, height, ..(*parameters()).clone() }
    }

    #[test]
    fn forms() {
        let full = camera(VideoCodec::H265, 1920, 1080);
        for (fps, rendition, want) in [
            (Some(25.0), Rendition::P360, Some((640, 360, "avc1.4d401e", 800_000))),
            (None, Rendition::P720, Some((1280, 720, "avc1.4d401f", 2_600_000))),
            (Some(60.0), Rendition::P720, Some((1280, 720, "avc1.4d401f", 2_600_000))),
            (Some(30.0), Rendition::H264, Some((1920, 1080, "avc1.4d4028", 5_180_000))),
            (Some(60.0), Rendition::H264, Some((1920, 1080, "avc1.4d402a", 9_330_000))),
            (Some(25.0), Rendition::P1080, None),
            (Some(25.0), Rendition::Source, None),
            (Some(25.0), Rendition::Audio, None),
        ] {
            let got = form(&full, fps, rendition);
            let got = got.as_ref().map(|f| (f.width, f.height, f.rfc6381.as_str(), f.average_bps));
            assert_eq!(got, want, "{fps:?} {rendition:?}");
        }
        let jpeg = form(&camera(VideoCodec::Jpeg, 641, 361), None, Rendition::Source).unwrap();
        assert_eq!((jpeg.width, jpeg.height), (640, 360));
        let upright = form(&camera(VideoCodec::H265, 1080, 1920), None, Rendition::P360).unwrap();
        assert_eq!((upright.width, upright.height), (202, 360));
    }

    #[test]
    fn what_is_faster_than_thirty_is_halved_where_it_is_scaled() {
        let full = camera(VideoCodec::H264, 1920, 1080);
        for (fps, want) in [(None, 1), (Some(15.0), 1), (Some(30.6), 1), (Some(50.0), 2), (Some(60.0), 2)] {
            assert_eq!(kept_one_in(&full, (640, 360), fps), want, "{fps:?}");
            assert_eq!(kept_one_in(&full, (1920, 1080), fps), 1);
        }
    }

    proptest! {
        #[test]
        fn every_form_is_even_and_has_a_level(
            width in 16u32..8192, height in 16u32..4320, fps in prop::option::of(0.1f64..240.0), jpeg in any::<bool>(),
        ) {
            let video = camera(if jpeg { VideoCodec::Jpeg } else { VideoCodec::H265 }, width, height);
            for form in Rendition::ALL.into_iter().filter_map(|rendition| form(&video, fps, rendition)) {
                prop_assert!(form.width % 2 == 0 && form.height % 2 == 0 && form.width >= 2);
                prop_assert!(form.height <= height && form.average_bps < form.peak_bps);
                prop_assert!(LEVELS.iter().any(|(level, ..)| *level == form.level()));
            }
        }
    }
}
