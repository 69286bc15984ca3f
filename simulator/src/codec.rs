//! What differs from one video codec to the next: element names, caps, and which bytes are parameter sets.
//!
//! A further codec is a further variant here and a further arm in each method; clip, feeder and server do not ask
//! which codec it is.

use clap::ValueEnum;
use gstreamer as gst;

/// Video codecs that the camera can serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    #[default]
    H264,
}

/// How an encoder is asked to work.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Frames from one key frame to the next.
    pub gop: u32,
    pub bitrate_kbps: u32,
}

/// The parts of one encoded picture, in the codec's own byte layout.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Parameter sets, each with its start code.
    pub parameter_sets: Vec<u8>,
    /// Whether decoding can begin with this picture.
    pub is_key: bool,
}

impl Codec {
    /// The encoder: no B-frames, closed GOPs of exactly `gop` frames, no key frame on scene cuts.
    pub fn encoder(self, encoding: Encoding) -> Result<gst::Element, gst::glib::BoolError> {
        match self {
            Self::H264 => gst::ElementFactory::make("x264enc")
                .property("bitrate", encoding.bitrate_kbps)
                .property("key-int-max", encoding.gop)
                .property("bframes", 0_u32)
                .property("b-adapt", false)
                .property("mb-tree", false)
                .property("rc-lookahead", 0_i32)
                .property("aud", false)
                .property_from_str("speed-preset", "superfast")
                .property("option-string", format!("scenecut=0:open-gop=0:keyint-min={}", encoding.gop))
                .build(),
        }
    }

    /// The parser that puts parameter sets before every key frame and cuts whole access units.
    pub fn parser(self) -> Result<gst::Element, gst::glib::BoolError> {
        match self {
            Self::H264 => gst::ElementFactory::make("h264parse").property("config-interval", -1_i32).build(),
        }
    }

    /// Caps between the parser and the clip, and again between the clip and the payloader.
    pub fn caps(self) -> gst::Caps {
        match self {
            Self::H264 => gst::Caps::builder("video/x-h264")
                .field("stream-format", "byte-stream")
                .field("alignment", "au")
                .build(),
        }
    }

    /// The launch line of one camera; [`crate::server`] finds the source by the name `clip`.
    ///
    /// No parser: the clip is parsed once, when it is made. No `config-interval` on the payloader either, since the
    /// parameter sets are in the clip already.
    pub fn launch_line(self) -> &'static str {
        match self {
            Self::H264 => "( appsrc name=clip ! rtph264pay name=pay0 pt=96 )",
        }
    }

    /// Takes one access unit apart.
    pub fn parts(self, access_unit: &[u8]) -> Parts {
        match self {
            Self::H264 => h264_parts(access_unit),
        }
    }
}

/// NAL unit types are from ITU-T H.264 table 7-1: 5 is an IDR slice, 7 an SPS, 8 a PPS.
fn h264_parts(access_unit: &[u8]) -> Parts {
    let mut parts = Parts::default();
    for nal in byte_stream_nals(access_unit) {
        match nal.first().map(|header| header & 0x1f) {
            Some(5) => parts.is_key = true,
            Some(7 | 8) => {
                parts.parameter_sets.extend([0, 0, 0, 1]);
                parts.parameter_sets.extend(nal);
            }
            _ => {}
        }
    }
    parts
}

/// The NAL units between the start codes of an Annex B byte stream, without trailing zero bytes.
fn byte_stream_nals(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> =
        stream.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]).map(|(at, _)| at).collect();
    (0..starts.len()).map(move |index| {
        let end = starts.get(index + 1).copied().unwrap_or(stream.len());
        let nal = &stream[starts[index] + 3..end];
        let zeros = nal.iter().rev().take_while(|byte| **byte == 0).count();
        &nal[..nal.len() - zeros]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_cut_out_of_an_idr_picture() {
        let unit = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 9, 9];
        let parts = Codec::H264.parts(&unit);
        assert!(parts.is_key);
        assert_eq!(parts.parameter_sets, [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3]);
    }

    #[test]
    fn a_predicted_picture_has_neither() {
        assert_eq!(Codec::H264.parts(&[0, 0, 0, 1, 0x41, 7, 7]), Parts::default());
        assert_eq!(Codec::H264.parts(&[]), Parts::default());
        assert_eq!(Codec::H264.parts(&[0, 0, 1]), Parts::default());
    }
}
