//! The jobs that an element can have, and the elements that may do each.

use rsm_shared::config::WorkerConfig;

use super::encoder;
use rsm_media::parameters::VideoCodec;

/// A task that an element is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Decode(VideoCodec),
    EncodeH264,
}

/// The result of the trial of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    NotThere,
    Fails(String),
    Works,
}

impl Job {
    pub const ALL: [Self; 4] = [
        Self::Decode(VideoCodec::H264),
        Self::Decode(VideoCodec::H265),
        Self::Decode(VideoCodec::Jpeg),
        Self::EncodeH264,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode(VideoCodec::H264) => "h264_decoder",
            Self::Decode(VideoCodec::H265) => "h265_decoder",
            Self::Decode(VideoCodec::Jpeg) => "jpeg_decoder",
            Self::EncodeH264 => "h264_encoder",
        }
    }

    /// The best first. The last that [`super::elements::init`] asks for is always there.
    pub fn candidates(self) -> &'static [&'static str] {
        match self {
            Self::Decode(VideoCodec::H264) => {
                &["vah264dec", "vaapih264dec", "v4l2slh264dec", "v4l2h264dec", "nvh264dec", "avdec_h264"]
            }
            Self::Decode(VideoCodec::H265) => {
                &["vah265dec", "vaapih265dec", "v4l2slh265dec", "v4l2h265dec", "nvh265dec", "avdec_h265"]
            }
            Self::Decode(VideoCodec::Jpeg) => &["vajpegdec", "vaapijpegdec", "v4l2jpegdec", "nvjpegdec", "jpegdec"],
            Self::EncodeH264 => &encoder::KNOWN,
        }
    }

    /// The element in software, which needs no trial: [`super::elements::init`] found it, and it depends on no device.
    pub fn software(self) -> &'static str {
        match self {
            Self::Decode(VideoCodec::H264) => "avdec_h264",
            Self::Decode(VideoCodec::H265) => "avdec_h265",
            Self::Decode(VideoCodec::Jpeg) => "jpegdec",
            Self::EncodeH264 => "x264enc",
        }
    }

    pub fn wanted(self, config: &WorkerConfig) -> &str {
        match self {
            Self::Decode(VideoCodec::H264) => &config.h264_decoder,
            Self::Decode(VideoCodec::H265) => &config.h265_decoder,
            Self::Decode(VideoCodec::Jpeg) => "auto",
            Self::EncodeH264 => &config.h264_encoder,
        }
    }
}
