//! Differences between video codecs: element names, caps, and which bytes are parameter sets.
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
    H265,
    Mjpeg,
}

/// H.264 profiles that cameras offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    Baseline,
    Main,
    High,
}

/// Settings of an encoder.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// Frames from one key frame to the next.
    pub gop: u32,
    pub bitrate_kbps: u32,
    /// Bidirectional pictures between two others.
    pub bframes: u32,
    /// Slices of each picture.
    pub slices: u32,
    /// H.264 only; `None` leaves it to the encoder.
    pub profile: Option<Profile>,
}

impl Codec {
    /// The encoder: closed GOPs of exactly `gop` frames, no key frame on scene cuts. `quality` is for JPEG, whose
    /// encoder knows no bit rate: 1 to 100.
    pub fn encoder(self, encoding: Encoding, quality: i32) -> Result<gst::Element, gst::glib::BoolError> {
        let Encoding { gop, bitrate_kbps, bframes, slices, .. } = encoding;
        match self {
            Self::H264 => gst::ElementFactory::make("x264enc")
                .property("bitrate", bitrate_kbps)
                .property("key-int-max", gop)
                .property("bframes", bframes)
                .property("b-adapt", false)
                .property("mb-tree", false)
                .property("rc-lookahead", 0_i32)
                .property("aud", false)
                .property_from_str("speed-preset", "superfast")
                .property("option-string", {
                    let slices = if slices > 1 { format!(":slices={slices}") } else { String::new() };
                    format!("scenecut=0:open-gop=0:keyint-min={gop}{slices}")
                })
                .build(),
            // The look-ahead must exceed the B-frames. Small coding tree units for slices, or a
            // small picture has too few rows of them.
            Self::H265 => gst::ElementFactory::make("x265enc")
                .property("bitrate", bitrate_kbps)
                .property("key-int-max", gop as i32)
                .property_from_str("speed-preset", "superfast")
                .property(
                    "option-string",
                    format!(
                        "scenecut=0:open-gop=0:min-keyint={gop}:bframes={bframes}:b-adapt=0:b-pyramid=0:cutree=0:\
                         rc-lookahead={}:vbv-maxrate={bitrate_kbps}:vbv-bufsize={bitrate_kbps}:repeat-headers=1:\
                         info=0:ctu={}:slices={slices}",
                        bframes + 1,
                        if slices > 1 { 16 } else { 32 }
                    ),
                )
                .build(),
            Self::Mjpeg => gst::ElementFactory::make("jpegenc").property("quality", quality).build(),
        }
    }

    /// The parser that puts parameter sets before every key frame and cuts whole access units.
    pub fn parser(self) -> Result<gst::Element, gst::glib::BoolError> {
        match self {
            Self::H264 => gst::ElementFactory::make("h264parse").property("config-interval", -1_i32).build(),
            Self::H265 => gst::ElementFactory::make("h265parse").property("config-interval", -1_i32).build(),
            Self::Mjpeg => gst::ElementFactory::make("identity").build(),
        }
    }

    /// Caps after the encoder and before the parser.
    pub fn encoded(self, profile: Option<Profile>) -> gst::Caps {
        let profile = profile.map(|profile| match profile {
            Profile::Baseline => "constrained-baseline",
            Profile::Main => "main",
            Profile::High => "high",
        });
        let name = match self {
            Self::H264 => "video/x-h264",
            Self::H265 => "video/x-h265",
            Self::Mjpeg => "image/jpeg",
        };
        gst::Caps::builder(name).field_if_some("profile", profile).build()
    }

    /// Caps after the parser: whole access units, as payloaders like them.
    pub fn parsed(self) -> gst::Caps {
        let stream =
            |name| gst::Caps::builder(name).field("stream-format", "byte-stream").field("alignment", "au").build();
        match self {
            Self::H264 => stream("video/x-h264"),
            Self::H265 => stream("video/x-h265"),
            Self::Mjpeg => gst::Caps::builder("image/jpeg").build(),
        }
    }

    /// The payloader. It adds no parameter sets of its own: the parser has put them before each key frame.
    pub fn payloader(self) -> Result<gst::Element, gst::glib::BoolError> {
        let (name, payload_type) = match self {
            Self::H264 => ("rtph264pay", 96_u32),
            Self::H265 => ("rtph265pay", 96),
            // RFC 3551 table 5.
            Self::Mjpeg => ("rtpjpegpay", 26),
        };
        gst::ElementFactory::make(name).property("pt", payload_type).build()
    }

    /// The caps fields by which the SDP tells the parameter sets (RFC 6184 section 8.1, RFC 7798 section 7.1).
    pub fn sdp_parameter_sets(self) -> &'static [&'static str] {
        match self {
            Self::H264 => &["sprop-parameter-sets"],
            Self::H265 => &["sprop-vps", "sprop-sps", "sprop-pps"],
            Self::Mjpeg => &[],
        }
    }

    /// Content of one RTP payload.
    pub fn content(self, payload: &[u8]) -> Content {
        let byte = |at: usize| payload.get(at).copied().unwrap_or_default();
        match self {
            // ITU-T H.264 table 7-1: 5 is an IDR slice, 7 an SPS, 8 a PPS. RFC 6184 section 5.8: 28 is a fragment,
            // whose second byte ends in the type.
            Self::H264 => match (byte(0) & 0x1f, byte(1) & 0x1f) {
                (7 | 8, _) => Content::ParameterSet,
                (5, _) | (28, 5) => Content::Key,
                _ => Content::Other,
            },
            // ITU-T H.265 table 7-1: 16 to 21 are random access pictures, 32 to 34 VPS, SPS and PPS. RFC 7798
            // section 4.4.3: 49 is a fragment, whose third byte ends in the type.
            Self::H265 => match (byte(0) >> 1 & 0x3f, byte(2) & 0x3f) {
                (32..=34, _) => Content::ParameterSet,
                (16..=21, _) | (49, 16..=21) => Content::Key,
                _ => Content::Other,
            },
            Self::Mjpeg => Content::Key,
        }
    }
}

/// Kinds of RTP payloads that the feed tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    ParameterSet,
    /// A piece of a picture with which decoding can begin.
    Key,
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_and_key_pictures_are_told_apart_whole_or_in_fragments() {
        for (codec, payload, content) in [
            (Codec::H264, &[0x67, 1, 2][..], Content::ParameterSet),
            (Codec::H264, &[0x68, 3], Content::ParameterSet),
            (Codec::H264, &[0x65, 9, 9], Content::Key),
            (Codec::H264, &[0x7c, 0x85, 9], Content::Key),
            (Codec::H264, &[0x7c, 0x81, 9], Content::Other),
            (Codec::H264, &[0x41, 7, 7], Content::Other),
            (Codec::H264, &[], Content::Other),
            (Codec::H265, &[0x40, 1, 0], Content::ParameterSet),
            (Codec::H265, &[0x44, 1], Content::ParameterSet),
            (Codec::H265, &[0x26, 1, 0], Content::Key),
            (Codec::H265, &[0x62, 1, 0x93], Content::Key),
            (Codec::H265, &[0x62, 1, 0x81], Content::Other),
            (Codec::H265, &[0x02, 1, 0], Content::Other),
            (Codec::Mjpeg, &[0; 8], Content::Key),
        ] {
            assert_eq!(codec.content(payload), content, "{codec:?} {payload:02x?}");
        }
    }
}
