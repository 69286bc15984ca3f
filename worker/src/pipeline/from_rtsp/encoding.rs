//! The encodings that are taken of a camera's streams, and the elements for each.
//!
//! ```text
//! H264          rtph264depay ! h264parse ! appsink
//! H265          rtph265depay ! h265parse ! appsink
//! JPEG          rtpjpegdepay ! appsink
//! MPEG4-GENERIC rtpmp4gdepay ! aacparse ! appsink
//! PCMA, PCMU    rtppcmadepay, rtppcmudepay ! appsink
//! ```

use std::sync::Arc;

use bytes::Bytes;
use gstreamer as gst;

use rsm_media::parameters::{AudioCodec, AudioParameters, VideoParameters};

/// One encoding name of RTP that is taken (RFC 6184, 7798, 2435, 3640, 3551).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    H264,
    H265,
    Jpeg,
    Aac,
    Pcma,
    Pcmu,
}

impl Encoding {
    /// The encoding with this media and encoding name, as `application/x-rtp` caps have them; `None` for all that are not
    /// taken.
    pub fn of(media: &str, name: &str) -> Option<Self> {
        let all = [Self::H264, Self::H265, Self::Jpeg, Self::Aac, Self::Pcma, Self::Pcmu];
        all.into_iter().find(|encoding| {
            let known = match encoding {
                Self::H264 => ("video", "H264"),
                Self::H265 => ("video", "H265"),
                Self::Jpeg => ("video", "JPEG"),
                Self::Aac => ("audio", "MPEG4-GENERIC"),
                Self::Pcma => ("audio", "PCMA"),
                Self::Pcmu => ("audio", "PCMU"),
            };
            known.0 == media && known.1.eq_ignore_ascii_case(name)
        })
    }

    /// The encoding of `application/x-rtp` caps.
    pub fn of_caps(caps: &gst::CapsRef) -> Option<Self> {
        let (media, name) = names(caps)?;
        Self::of(&media, &name)
    }

    pub fn is_video(self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Jpeg)
    }

    /// The elements from RTP to whole pictures or frames.
    pub fn elements(self) -> &'static [&'static str] {
        match self {
            Self::H264 => &["rtph264depay", "h264parse"],
            Self::H265 => &["rtph265depay", "h265parse"],
            Self::Jpeg => &["rtpjpegdepay"],
            Self::Aac => &["rtpmp4gdepay", "aacparse"],
            Self::Pcma => &["rtppcmadepay"],
            Self::Pcmu => &["rtppcmudepay"],
        }
    }

    /// Caps of the output of these elements.
    pub fn caps(self) -> gst::Caps {
        let of = |name: &str| gst::Caps::builder(name);
        match self {
            Self::H264 => of("video/x-h264").field("stream-format", "avc").field("alignment", "au").build(),
            Self::H265 => of("video/x-h265").field("stream-format", "hvc1").field("alignment", "au").build(),
            Self::Jpeg => of("image/jpeg").build(),
            Self::Aac => of("audio/mpeg").field("mpegversion", 4i32).field("stream-format", "raw").build(),
            Self::Pcma => of("audio/x-alaw").build(),
            Self::Pcmu => of("audio/x-mulaw").build(),
        }
    }

    /// The parameters in the caps of a buffer; `None` while parameter sets are missing.
    pub fn read(self, caps: &gst::CapsRef) -> Option<RtspMedia> {
        let structure = caps.structure(0)?;
        let number = |name| structure.get::<i32>(name).ok().and_then(|number| u32::try_from(number).ok());
        let codec_data = || {
            let buffer = structure.get::<gst::Buffer>("codec_data").ok()?;
            Some(Bytes::copy_from_slice(buffer.map_readable().ok()?.as_slice()))
        };
        let audio = |codec, codec_data| {
            // Both are in the caps of every raw audio; one channel is G.711's default (RFC 3551 section 4.5.14).
            let channels = number("channels").and_then(|channels| u16::try_from(channels).ok()).unwrap_or(1);
            let audio = AudioParameters::credible(codec, codec_data, number("rate")?, channels)?;
            Some(RtspMedia::Audio(Arc::new(audio)))
        };
        let video = match self {
            Self::H264 => VideoParameters::from_avcc(codec_data()?),
            Self::H265 => VideoParameters::from_hvcc(codec_data()?),
            Self::Jpeg => VideoParameters::jpeg(number("width")?, number("height")?),
            Self::Aac => return audio(AudioCodec::Aac, codec_data()?),
            Self::Pcma => return audio(AudioCodec::Pcma, Bytes::new()),
            Self::Pcmu => return audio(AudioCodec::Pcmu, Bytes::new()),
        };
        Some(video.map_or(RtspMedia::Unreadable, |video| RtspMedia::Picture(Arc::new(video))))
    }
}

/// Media and encoding name of a stream on offer. Types of payload with a fixed number (RFC 3551 section 6) need no name
/// in the session description, and then have none in caps.
pub(super) fn names(caps: &gst::CapsRef) -> Option<(String, String)> {
    let structure = caps.structure(0)?;
    let field = |name| structure.get::<&str>(name).ok().filter(|text| !text.is_empty());
    let name = field("encoding-name").or_else(|| match structure.get::<i32>("payload").ok()? {
        0 => Some("PCMU"),
        8 => Some("PCMA"),
        26 => Some("JPEG"),
        _ => None,
    });
    Some((field("media").unwrap_or_default().to_owned(), name.unwrap_or_default().to_owned()))
}

/// The kind and the parameters of a unit. The same value for as long as the camera changes nothing.
#[derive(Clone, Debug)]
pub enum RtspMedia {
    Picture(Arc<VideoParameters>),
    Audio(Arc<AudioParameters>),
    /// A picture whose parameter sets are broken.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::elements;

    #[test]
    fn one_name_for_each() {
        for (media, name, want) in [
            ("video", "H264", Some(Encoding::H264)),
            ("video", "h265", Some(Encoding::H265)),
            ("video", "JPEG", Some(Encoding::Jpeg)),
            ("audio", "mpeg4-generic", Some(Encoding::Aac)),
            ("audio", "PCMA", Some(Encoding::Pcma)),
            ("audio", "PCMU", Some(Encoding::Pcmu)),
            ("audio", "H264", None),
            ("video", "MPEG4-GENERIC", None),
            ("audio", "OPUS", None),
            ("application", "VND.ONVIF.METADATA", None),
        ] {
            assert_eq!(Encoding::of(media, name), want, "{media} {name}");
        }
    }

    #[test]
    fn a_fixed_payload_type_is_a_name() {
        gst::init().unwrap();
        for (media, payload, want) in [
            ("video", 26, Some(Encoding::Jpeg)),
            ("audio", 0, Some(Encoding::Pcmu)),
            ("audio", 8, Some(Encoding::Pcma)),
            ("audio", 14, None),
        ] {
            let caps = gst::Caps::builder("application/x-rtp").field("media", media).field("payload", payload);
            assert_eq!(Encoding::of_caps(&caps.build()), want, "{payload}");
        }
    }

    #[test]
    fn caps_tell_audio_and_size() {
        elements::init().unwrap();
        let jpeg = gst::Caps::builder("image/jpeg").field("width", 640i32).field("height", 360i32).build();
        assert!(matches!(Encoding::Jpeg.read(&jpeg), Some(RtspMedia::Picture(video)) if video.width == 640));
        let alaw = gst::Caps::builder("audio/x-alaw").field("rate", 8000i32).field("channels", 1i32).build();
        let Some(RtspMedia::Audio(audio)) = Encoding::Pcma.read(&alaw) else { panic!("no audio") };
        assert_eq!((audio.codec, audio.sample_rate, audio.channels), (AudioCodec::Pcma, 8000, 1));
        let avc = gst::Caps::builder("video/x-h264").build();
        assert!(Encoding::H264.read(&avc).is_none());
        let broken = gst::Buffer::from_slice([1, 2, 3]);
        let avc = gst::Caps::builder("video/x-h264").field("codec_data", broken).build();
        assert!(matches!(Encoding::H264.read(&avc), Some(RtspMedia::Unreadable)));
    }
}
