//! Parameters of the video and the audio of a stream, as decoders and playlists need them.

use bytes::Bytes;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::{Profile, SeqParameterSet};
use h264_reader::nal::{Nal as _, RefNal};

use super::hvcc;

/// Video codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    H264,
    H265,
    /// Every picture a JPEG file of its own.
    Jpeg,
}

impl VideoCodec {
    /// As clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Jpeg => "jpeg",
        }
    }
}

/// Audio codecs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    Aac,
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
}

impl AudioCodec {
    /// As clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
        }
    }
}

/// Parameters of an audio stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioParameters {
    pub codec: AudioCodec,
    /// `AudioSpecificConfig` (ISO/IEC 14496-3 section 1.6.2.1) of AAC; empty for the others.
    pub codec_data: Bytes,
    /// Hertz.
    pub sample_rate: u32,
    pub channels: u16,
}

impl AudioParameters {
    /// Parameters with a credible rate and channel count; `None` for values that AAC does not have (ISO/IEC 14496-3 tables
    /// 1.18 and 1.19). Audio of one sample per second would grow without bound when it is resampled.
    pub fn credible(codec: AudioCodec, codec_data: Bytes, sample_rate: u32, channels: u16) -> Option<Self> {
        let credible = (7_350..=96_000).contains(&sample_rate) && (1..=8).contains(&channels);
        credible.then_some(Self { codec, codec_data, sample_rate, channels })
    }
}

/// Parameters of a video stream.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoParameters {
    pub codec: VideoCodec,
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1) of H.264, `HEVCDecoderConfigurationRecord`
    /// (section 8.3.3.1) of H.265; empty for JPEG.
    pub codec_data: Bytes,
    /// RFC 6381 section 3.3, such as `avc1.64001f` or `hvc1.1.6.L93.B0`; empty for JPEG.
    pub rfc6381: String,
    /// Shown pixels, before the pixel aspect ratio.
    pub width: u32,
    pub height: u32,
    /// Most pictures by which decoding order is ahead of presentation order; 0 when both are the same and DTS is PTS. At
    /// most [`MAX_REORDER`]. `None`: the camera does not declare it, as most; it must be observed.
    pub reorder: Option<u32>,
    /// Pictures per second as the camera declares them; cameras are often wrong about it.
    pub declared_fps: Option<f64>,
}

/// The parameter sets are not usable.
#[derive(Debug, thiserror::Error)]
#[error("the video's parameters are not readable: {0}")]
pub struct BadParameters(String);

impl VideoParameters {
    /// Reads an `AVCDecoderConfigurationRecord`.
    ///
    /// # Errors
    /// [`BadParameters`] when it is truncated, has no sequence parameter set, one that breaks the standard, or one of
    /// pictures larger than [`MAX_PIXELS`].
    pub fn from_avcc(codec_data: Bytes) -> Result<Self, BadParameters> {
        let record = AvcDecoderConfigurationRecord::try_from(codec_data.as_ref())
            .map_err(|e| BadParameters(format!("{e:?}")))?;
        let sps = record
            .sequence_parameter_sets()
            .next()
            .ok_or_else(|| BadParameters("no sequence parameter set".into()))?
            .map_err(|e| BadParameters(format!("{e:?}")))?;
        let sps = SeqParameterSet::from_bits(RefNal::new(sps, &[], true).rbsp_bits())
            .map_err(|e| BadParameters(format!("{e:?}")))?;
        let (width, height) = sps.pixel_dimensions().map_err(|e| BadParameters(format!("{e:?}")))?;
        bounded(width, height)?;
        let level = codec_data.get(3).copied().unwrap_or(sps.level_idc);
        let constraints = codec_data.get(2).copied().unwrap_or_default();
        Ok(Self {
            codec: VideoCodec::H264,
            rfc6381: format!("avc1.{:02x}{constraints:02x}{level:02x}", sps.profile().profile_idc()),
            width,
            height,
            reorder: reorder(&sps),
            declared_fps: sps.fps().and_then(credible_fps),
            codec_data,
        })
    }

    /// Reads an `HEVCDecoderConfigurationRecord`.
    ///
    /// # Errors
    /// [`BadParameters`] when it is truncated, has no sequence parameter set, one whose beginning breaks the standard,
    /// or one of pictures larger than [`MAX_PIXELS`].
    pub fn from_hvcc(codec_data: Bytes) -> Result<Self, BadParameters> {
        let hvcc = hvcc::read(&codec_data).map_err(BadParameters)?;
        bounded(hvcc.width, hvcc.height)?;
        Ok(Self {
            codec: VideoCodec::H265,
            rfc6381: hvcc.rfc6381,
            width: hvcc.width,
            height: hvcc.height,
            reorder: Some(hvcc.reorder.min(MAX_REORDER)),
            declared_fps: hvcc.fps.and_then(credible_fps),
            codec_data,
        })
    }

    /// Parameters of a stream of JPEG files.
    ///
    /// # Errors
    /// [`BadParameters`] when the picture is empty: RTP's JPEG header (RFC 2435 section 3.1.5) ends at 2040 pixels,
    /// and says 0 for more.
    pub fn jpeg(width: u32, height: u32) -> Result<Self, BadParameters> {
        if width == 0 || height == 0 {
            return Err(BadParameters("the picture is empty, or larger than its header can say".into()));
        }
        Ok(Self {
            codec: VideoCodec::Jpeg,
            codec_data: Bytes::new(),
            rfc6381: String::new(),
            width,
            height,
            reorder: Some(0),
            declared_fps: None,
        })
    }
}

/// Largest picture: that of level 6.2, of H.264 (ISO/IEC 14496-10 table A-1) and of H.265 (H.265 table A.8), 8192x4352
/// for example. A larger claim would make a decoder take memory.
pub const MAX_PIXELS: u64 = 35_651_584;
/// Longest side, the root of eight times as much (A.3.1), down to whole macroblocks.
const MAX_SIDE: u32 = 16_880;

fn bounded(width: u32, height: u32) -> Result<(), BadParameters> {
    if width == 0 || height == 0 {
        return Err(BadParameters("the picture is empty".into()));
    }
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(BadParameters(format!("a picture of {width}x{height} is too large")));
    }
    Ok(())
}

/// The rate if a camera can have it.
pub fn credible_fps(fps: f64) -> Option<f64> {
    (0.1..=240.0).contains(&fps).then_some(fps)
}

/// Most pictures that wait to be shown: ISO/IEC 14496-10 A.3.1.
pub const MAX_REORDER: u32 = 16;

/// ISO/IEC 14496-10: baseline has no B pictures (A.2.1), picture order count type 2 is output in decoding order
/// (8.2.1.3), and `max_num_reorder_frames` says so for the rest (E.2.1).
fn reorder(sps: &SeqParameterSet) -> Option<u32> {
    use h264_reader::nal::sps::PicOrderCntType;
    if matches!(sps.profile(), Profile::Baseline) || matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return Some(0);
    }
    let restrictions = sps.vui_parameters.as_ref()?.bitstream_restrictions.as_ref()?;
    Some(restrictions.max_num_reorder_frames.min(MAX_REORDER))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// `avcC` of an x264 stream: 640x360, high profile, level 3.0, B-frames (`max_num_reorder_frames` 2).
    const HIGH_B: &str =
        "0164001effe1001a6764001eacd940a02ff970110000030001000003003c0f162d9601000668ebe3cb22c0fdf8f800";
    /// `avcC` of a baseline stream: 320x240, level 1.2.
    const BASELINE: &str = "0142c00cffe100186742c00cd90141fb0110000003001000000301e0f142a48001000568cb83cb20";

    /// `hvcC` of an x265 stream: 1920x1080 cut from 1088 lines, main profile, level 4, B-frames (two reordered).
    const HEVC_B: &str = "01016000000090000000000078f000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003\
        0078959409a10001002a420101016000000300900000030000030078a003c08010e596565924caf0168080000003008000000c84a2000100\
        074401c172b46240";

    fn hex(text: &str) -> Bytes {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect::<Vec<_>>().into()
    }

    /// Parameters for tests of other modules.
    pub(crate) fn parameters() -> Arc<VideoParameters> {
        Arc::new(VideoParameters::from_avcc(hex(BASELINE)).unwrap())
    }

    /// Audio for tests of other modules.
    pub(crate) fn audio() -> Arc<AudioParameters> {
        let codec_data = Bytes::new();
        Arc::new(AudioParameters { codec: AudioCodec::Pcma, codec_data, sample_rate: 8000, channels: 1 })
    }

    #[test]
    fn reads_size_codec_and_reordering() {
        let high = VideoParameters::from_avcc(hex(HIGH_B)).unwrap();
        assert_eq!((high.width, high.height, high.rfc6381.as_str()), (640, 360, "avc1.64001e"));
        assert_eq!(high.reorder, Some(2));
        let baseline = VideoParameters::from_avcc(hex(BASELINE)).unwrap();
        assert_eq!((baseline.width, baseline.height, baseline.rfc6381.as_str()), (320, 240, "avc1.42c00c"));
        assert_eq!(baseline.reorder, Some(0));
    }

    #[test]
    fn refuses_truncated_records_without_panic() {
        let whole = hex(HIGH_B);
        for len in 0..whole.len() {
            let _ = VideoParameters::from_avcc(whole.slice(..len));
        }
        assert!(VideoParameters::from_avcc(Bytes::new()).is_err());
        assert!(VideoParameters::from_avcc(whole.slice(..12)).is_err());
    }

    #[test]
    fn reads_h265_and_jpeg() {
        let hevc = VideoParameters::from_hvcc(hex(HEVC_B)).unwrap();
        assert_eq!((hevc.width, hevc.height, hevc.rfc6381.as_str()), (1920, 1080, "hvc1.1.6.L120.90"));
        assert_eq!((hevc.codec, hevc.reorder, hevc.declared_fps), (VideoCodec::H265, Some(2), None));
        let jpeg = VideoParameters::jpeg(1920, 1080).unwrap();
        assert_eq!((jpeg.codec, jpeg.width, jpeg.height, jpeg.reorder), (VideoCodec::Jpeg, 1920, 1080, Some(0)));
        assert!(VideoParameters::jpeg(0, 8).is_err() && VideoParameters::jpeg(8, 0).is_err());
    }

    #[test]
    fn pictures_and_audio_have_the_bounds_of_their_codecs() {
        for (width, height, fits) in [
            (8192, 4352, true),
            (16_880, 2112, true),
            (16_896, 16, false),
            (8192, 8192, false),
            (u32::MAX, u32::MAX, false),
            (0, 8, false),
        ] {
            assert_eq!(bounded(width, height).is_ok(), fits, "{width}x{height}");
        }
        for (rate, channels, credible) in
            [(8000, 1, true), (96_000, 2, true), (0, 1, false), (1, 1, false), (u32::MAX, 1, false), (8000, 9, false)]
        {
            let read = AudioParameters::credible(AudioCodec::Pcma, Bytes::new(), rate, channels);
            assert_eq!(read.is_some(), credible, "{rate} {channels}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_cut_or_damaged_is_refused_or_has_a_size(
            hevc: bool, cut in 0usize..140, at in 0usize..140, byte: u8,
        ) {
            let mut record = hex(if hevc { HEVC_B } else { HIGH_B }).to_vec();
            record.truncate(record.len().saturating_sub(cut));
            if let Some(damaged) = record.get_mut(at) {
                *damaged = byte;
            }
            let read = if hevc { VideoParameters::from_hvcc } else { VideoParameters::from_avcc };
            if let Ok(parameters) = read(record.into()) {
                prop_assert!(bounded(parameters.width, parameters.height).is_ok());
                prop_assert!(parameters.reorder.is_none_or(|reorder| reorder <= MAX_REORDER));
            }
        }

        #[test]
        fn a_record_of_any_bytes_harms_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = VideoParameters::from_hvcc(bytes.into());
        }
    }
}
