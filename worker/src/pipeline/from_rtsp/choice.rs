//! Which of a camera's streams are set up.

use std::sync::Arc;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_sdp as gst_sdp;
use parking_lot::Mutex;

use super::encoding::{Encoding, names};

/// Most streams of a session description that are examined: the list is the camera's.
const MAX_STREAMS: usize = 16;

/// The streams that a camera offers, and the ones that are taken: the first video and the first audio of those that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Numbers of streams in the session description.
    pub video: Option<u32>,
    pub audio: Option<u32>,
    /// Codec names of the video streams on offer.
    pub offered: Vec<String>,
}

impl Choice {
    /// The choice among streams with these media and encoding names. Audio alone is not taken.
    fn of(streams: impl Iterator<Item = (String, String)>) -> Self {
        let mut choice = Self::default();
        for (number, (media, name)) in (0..).zip(streams.take(MAX_STREAMS)) {
            if media == "video" {
                choice.offered.push(name.to_ascii_lowercase());
            }
            match Encoding::of(&media, &name) {
                Some(encoding) if encoding.is_video() => _ = choice.video.get_or_insert(number),
                Some(_) => _ = choice.audio.get_or_insert(number),
                None => {}
            }
        }
        choice.audio = choice.audio.filter(|_| choice.video.is_some());
        choice
    }

    fn takes(&self, number: u32) -> bool {
        self.video == Some(number) || self.audio == Some(number)
    }
}

/// The choice of one session; empty before the camera has described its streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen(Arc<Mutex<Option<Choice>>>);

impl Chosen {
    pub fn get(&self) -> Option<Choice> {
        self.0.lock().clone()
    }

    /// True when stream `number` is the video.
    pub fn is_video(&self, number: u32) -> bool {
        self.get().is_some_and(|choice| choice.video == Some(number))
    }

    /// Chooses when `rtspsrc` has the description, and sets up nothing else.
    pub fn follow(&self, rtspsrc: &gst::Element) {
        let chosen = self.clone();
        rtspsrc.connect("on-sdp", false, move |values| {
            let description = values.get(1)?.get::<gst_sdp::SDPMessage>().ok()?;
            let choice = Choice::of(description.medias().map(stream));
            *chosen.0.lock() = Some(choice);
            None
        });
        let chosen = self.clone();
        rtspsrc.connect("select-stream", false, move |values| {
            let number = values.get(1)?.get::<u32>().ok()?;
            Some(chosen.get().is_some_and(|choice| choice.takes(number)).to_value())
        });
    }
}

/// Media and encoding name. The first format of a stream is the one that rtspsrc sets up.
fn stream(media: &gst_sdp::SDPMediaRef) -> (String, String) {
    let kind = media.media().unwrap_or_default().to_owned();
    let payload = media.format(0).and_then(|format| format.parse().ok());
    let caps = payload.and_then(|payload| media.caps_from_media(payload));
    let name = caps.and_then(|caps| names(&caps)).map(|(_, name)| name).unwrap_or_default();
    (kind, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(description: &str) -> (Option<u32>, Option<u32>, Vec<String>) {
        gst::init().unwrap();
        let text = format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{description}");
        let description = gst_sdp::SDPMessage::parse_buffer(text.as_bytes()).unwrap();
        let choice = Choice::of(description.medias().map(stream));
        (choice.video, choice.audio, choice.offered)
    }

    #[test]
    fn the_first_usable_video_and_audio() {
        let stream = |kind: &str, number: u32, name: &str| {
            format!("m={kind} 0 RTP/AVP {number}\r\na=rtpmap:{number} {name}\r\n")
        };
        let metadata = stream("application", 107, "vnd.onvif.metadata/90000");
        let opus = stream("audio", 98, "opus/48000/2");
        let (h264, h265) = (stream("video", 96, "H264/90000"), stream("video", 97, "H265/90000"));
        let old = stream("video", 99, "MP4V-ES/90000");
        let (fixed, jpeg) = ("m=audio 0 RTP/AVP 8\r\n", "m=video 0 RTP/AVP 26\r\n");
        for (description, video, audio, offered) in [
            (h264.clone(), Some(0), None, vec!["h264"]),
            (format!("{metadata}{opus}{fixed}{old}{h265}{h264}"), Some(4), Some(2), vec!["mp4v-es", "h265", "h264"]),
            (format!("{jpeg}{fixed}"), Some(0), Some(1), vec!["jpeg"]),
            (format!("{fixed}{old}"), None, None, vec!["mp4v-es"]),
            (fixed.to_owned(), None, None, vec![]),
            (h264.repeat(99), Some(0), None, vec!["h264"; MAX_STREAMS]),
        ] {
            let offered = offered.into_iter().map(str::to_owned).collect();
            assert_eq!(choose(&description), (video, audio, offered), "{description}");
        }
    }
}
