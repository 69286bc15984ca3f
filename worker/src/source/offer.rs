//! Which of the streams that a camera offers are taken. Pure.

use super::error::SourceError;
use rsm_media::parameters::{AudioCodec, VideoCodec};

/// A stream of the session description.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    /// `video`, `audio`, `application`, as in the description's `m=`.
    pub media: &'a str,
    /// Encoding name of the IANA media types, in lower case.
    pub encoding: &'a str,
}

/// The taken streams, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub video: (usize, VideoCodec),
    /// No more than one, and it is not missed when the camera refuses it.
    pub audio: Option<(usize, AudioCodec)>,
}

/// The first video and the first audio that browsers can be given: cameras name the main stream first.
///
/// # Errors
/// [`SourceError::NoVideo`] with the encodings that are offered instead.
pub fn take(offered: &[Offered]) -> Result<Taken, SourceError> {
    let first_video = offered.iter().enumerate().find_map(|(index, stream)| Some((index, video(stream)?)));
    let Some(video) = first_video else {
        let others = offered.iter().filter(|stream| stream.media == "video" || stream.media == "image");
        return Err(SourceError::NoVideo(others.map(|stream| stream.encoding.to_owned()).collect()));
    };
    let audio = offered.iter().enumerate().find_map(|(index, stream)| Some((index, audio(stream)?)));
    if audio.is_none()
        && let Some(unheard) = offered.iter().find(|stream| stream.media == "audio")
    {
        tracing::debug!(encoding = unheard.encoding, "the camera's audio is of a kind that is not taken");
    }
    Ok(Taken { video, audio })
}

fn video(stream: &Offered) -> Option<VideoCodec> {
    match (stream.media, stream.encoding) {
        ("video", "h264") => Some(VideoCodec::H264),
        ("video", "h265") => Some(VideoCodec::H265),
        ("video" | "image", "jpeg") => Some(VideoCodec::Jpeg),
        _ => None,
    }
}

fn audio(stream: &Offered) -> Option<AudioCodec> {
    match (stream.media, stream.encoding) {
        ("audio", "mpeg4-generic") => Some(AudioCodec::Aac),
        ("audio", "pcma") => Some(AudioCodec::Pcma),
        ("audio", "pcmu") => Some(AudioCodec::Pcmu),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(streams: &[(&str, &str)]) -> Result<Taken, SourceError> {
        take(&streams.iter().map(|(media, encoding)| Offered { media, encoding }).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_usable_video_and_audio() {
        use AudioCodec::{Aac, Pcma, Pcmu};
        use VideoCodec::{H264, H265, Jpeg};
        for (streams, video, audio) in [
            (&[("video", "h264")][..], (0, H264), None),
            (&[("audio", "pcmu"), ("video", "h265"), ("video", "h264")], (1, H265), Some((0, Pcmu))),
            (
                &[("video", "mp4v-es"), ("video", "jpeg"), ("audio", "opus"), ("audio", "pcma")],
                (1, Jpeg),
                Some((3, Pcma)),
            ),
            (&[("video", "h264"), ("audio", "mpeg4-generic"), ("audio", "pcma")], (0, H264), Some((1, Aac))),
            (&[("application", "vnd.onvif.metadata"), ("video", "h264"), ("audio", "g726-32")], (1, H264), None),
        ] {
            assert_eq!(taken(streams), Ok(Taken { video, audio }), "{streams:?}");
        }
    }

    #[test]
    fn no_video_names_what_there_is() {
        assert_eq!(taken(&[("audio", "pcma")]), Err(SourceError::NoVideo(vec![])));
        let offered = [("video", "av1"), ("video", "vp8"), ("audio", "pcma")];
        assert_eq!(taken(&offered), Err(SourceError::NoVideo(vec!["av1".into(), "vp8".into()])));
    }
}
