//! One encoded picture with its time, and what is known of the video it belongs to.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::sps::{Profile, SeqParameterSet};
use h264_reader::nal::{Nal as _, RefNal};

/// Largest access unit taken, in bytes. A 4K key frame at 50 Mbit/s is about 2 MB; what is larger than this is a
/// broken or hostile camera, and every bound in bytes downstream may be exceeded by one unit.
pub const MAX_UNIT_BYTES: usize = 8 * 1024 * 1024;

/// One H.264 picture.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// NAL units, each behind its length in four bytes; parameter sets are in [`VideoParameters::codec_data`].
    pub data: Bytes,
    /// Presentation time since the camera session's first picture.
    pub pts: Duration,
    /// Whether decoding can begin here (an IDR picture).
    pub is_key: bool,
    /// When its last packet reached this process.
    pub arrived: Instant,
    /// The same as a wall clock shows it.
    pub arrived_wall: SystemTime,
    /// The run of continuous time it belongs to. Grows whenever time or parameters break: an output that sees
    /// another number begins anew at the next key picture.
    pub timeline: u64,
    pub video: Arc<VideoParameters>,
}

/// What an H.264 sequence parameter set says.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoParameters {
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1).
    pub codec_data: Bytes,
    /// RFC 6381 section 3.3, such as `avc1.64001f`.
    pub rfc6381: String,
    /// Shown pixels, before the pixel aspect ratio.
    pub width: u32,
    pub height: u32,
    /// Whether pictures may be sent in another order than they are shown, so that DTS differs from PTS.
    pub reorders: bool,
    /// Pictures per second as the camera declares them; cameras are often wrong about it.
    pub declared_fps: Option<f64>,
}

/// The parameter sets are not usable.
#[derive(Debug, thiserror::Error)]
#[error("the H.264 parameter sets are not readable: {0}")]
pub struct BadParameters(String);

impl VideoParameters {
    /// Reads an `AVCDecoderConfigurationRecord`.
    ///
    /// # Errors
    /// [`BadParameters`] when it is truncated, has no sequence parameter set, or one that breaks the standard.
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
        if width == 0 || height == 0 {
            return Err(BadParameters("the picture is empty".into()));
        }
        let level = codec_data.get(3).copied().unwrap_or(sps.level_idc);
        let constraints = codec_data.get(2).copied().unwrap_or_default();
        Ok(Self {
            rfc6381: format!("avc1.{:02x}{constraints:02x}{level:02x}", sps.profile().profile_idc()),
            width,
            height,
            reorders: may_reorder(&sps),
            declared_fps: sps.fps().filter(|fps| fps.is_finite() && (0.1..=240.0).contains(fps)),
            codec_data,
        })
    }
}

/// ISO/IEC 14496-10: baseline has no B pictures (A.2.1), picture order count type 2 is output in decoding order
/// (8.2.1.3), and `max_num_reorder_frames` says so for the rest (E.2.1); unsaid, it must be assumed.
fn may_reorder(sps: &SeqParameterSet) -> bool {
    use h264_reader::nal::sps::PicOrderCntType;
    let baseline = matches!(sps.profile(), Profile::Baseline);
    let in_order = matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo);
    let declared = sps
        .vui_parameters
        .as_ref()
        .and_then(|vui| vui.bitstream_restrictions.as_ref())
        .map(|restrictions| restrictions.max_num_reorder_frames);
    !baseline && !in_order && declared != Some(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `avcC` of an x264 stream: 640x360, high profile, level 3.0, B-frames (`max_num_reorder_frames` 2).
    const HIGH_B: &str =
        "0164001effe1001a6764001eacd940a02ff970110000030001000003003c0f162d9601000668ebe3cb22c0fdf8f800";
    /// `avcC` of a baseline stream: 320x240, level 1.2.
    const BASELINE: &str = "0142c00cffe100186742c00cd90141fb0110000003001000000301e0f142a48001000568cb83cb20";

    fn hex(text: &str) -> Bytes {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect::<Vec<_>>().into()
    }

    /// Parameters for tests of other modules.
    pub(crate) fn parameters() -> Arc<VideoParameters> {
        Arc::new(VideoParameters::from_avcc(hex(BASELINE)).unwrap())
    }

    /// A unit of one byte for tests of other modules.
    pub(crate) fn unit(pts_ms: u64, is_key: bool) -> AccessUnit {
        AccessUnit {
            data: Bytes::from_static(&[0]),
            pts: Duration::from_millis(pts_ms),
            is_key,
            arrived: Instant::now(),
            arrived_wall: SystemTime::now(),
            timeline: 1,
            video: parameters(),
        }
    }

    #[test]
    fn reads_size_codec_and_reordering() {
        let high = VideoParameters::from_avcc(hex(HIGH_B)).unwrap();
        assert_eq!((high.width, high.height, high.rfc6381.as_str()), (640, 360, "avc1.64001e"));
        assert!(high.reorders);
        let baseline = VideoParameters::from_avcc(hex(BASELINE)).unwrap();
        assert_eq!((baseline.width, baseline.height, baseline.rfc6381.as_str()), (320, 240, "avc1.42c00c"));
        assert!(!baseline.reorders);
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
}
