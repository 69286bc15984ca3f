//! Encoded pictures for tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::elements;
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::{VideoCodec, VideoParameters};

/// The pictures that are encoded.
pub(crate) struct Clip {
    pub width: i32,
    pub height: i32,
    pub fps: i32,
    pub pictures: i32,
    /// Pictures from one key frame to the next.
    pub group: u32,
    pub b_pictures: u32,
}

/// The encoding, and the picture itself.
#[derive(Clone, Copy)]
pub(crate) struct ClipStyle {
    pub codec: VideoCodec,
    /// Raw format, such as `I420`.
    pub format: &'static str,
    /// Pattern of videotestsrc.
    pub pattern: &'static str,
}

impl ClipStyle {
    pub const PLAIN: Self = Self { codec: VideoCodec::H264, format: "I420", pattern: "smpte" };
}

impl Clip {
    /// Encodes it in H.264; blocks for some 100 ms.
    pub fn encode(&self) -> Vec<AccessUnit> {
        self.encode_as(ClipStyle::PLAIN)
    }

    /// Encodes it; blocks for some 100 ms.
    pub fn encode_as(&self, look: ClipStyle) -> Vec<AccessUnit> {
        elements::init().unwrap();
        let src = elements::make("videotestsrc").unwrap();
        src.set_property("num-buffers", self.pictures);
        src.set_property_from_str("pattern", look.pattern);
        let raw = gst::Caps::builder("video/x-raw")
            .field("format", look.format)
            .field("width", self.width)
            .field("height", self.height)
            .field("framerate", gst::Fraction::new(self.fps, 1))
            .build();
        let filter = elements::make("capsfilter").unwrap();
        filter.set_property("caps", raw);
        let packed = |media: &str, format: &str| {
            gst::Caps::builder(media).field("stream-format", format).field("alignment", "au").build()
        };
        let (encoder, parser, caps) = match look.codec {
            VideoCodec::H264 => (self.x264(), "h264parse", packed("video/x-h264", "avc")),
            VideoCodec::H265 => (self.x265(), "h265parse", packed("video/x-h265", "hvc1")),
            VideoCodec::Jpeg => {
                (elements::make("jpegenc").unwrap(), "jpegparse", gst::Caps::builder("image/jpeg").build())
            }
        };
        let sink = gst_app::AppSink::builder().caps(&caps).sync(false).build();
        let pipeline = gst::Pipeline::new();
        let chain = [src, filter, encoder, elements::make(parser).unwrap(), sink.clone().upcast()];
        pipeline.add_many(&chain).unwrap();
        gst::Element::link_many(&chain).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut units = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            units.push(unit(&sample, &units, look.codec));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(units.len(), self.pictures as usize, "pictures of the clip");
        units
    }

    fn x264(&self) -> gst::Element {
        let encoder = elements::make("x264enc").unwrap();
        encoder.set_property("key-int-max", self.group);
        encoder.set_property("bframes", self.b_pictures);
        encoder.set_property_from_str("speed-preset", "ultrafast");
        encoder.set_property("b-adapt", false);
        encoder.set_property_from_str("option-string", "scenecut=0");
        encoder
    }

    fn x265(&self) -> gst::Element {
        let encoder = elements::make("x265enc").unwrap();
        encoder.set_property("key-int-max", i32::try_from(self.group).unwrap());
        encoder.set_property_from_str("speed-preset", "ultrafast");
        let options = format!("scenecut=0:open-gop=0:b-adapt=0:bframes={}:log-level=none", self.b_pictures);
        encoder.set_property("option-string", options);
        encoder
    }
}

fn parameters(sample: &gst::Sample, codec: VideoCodec) -> VideoParameters {
    let caps = sample.caps().unwrap().structure(0).unwrap();
    let data = caps.get::<gst::Buffer>("codec_data").ok();
    let codec_data = data.map_or_else(Bytes::new, |data| Bytes::copy_from_slice(&data.map_readable().unwrap()));
    let side = |name| u32::try_from(caps.get::<i32>(name).unwrap()).unwrap();
    match codec {
        VideoCodec::H264 => VideoParameters::from_avcc(codec_data).unwrap(),
        _ => VideoParameters {
            codec,
            codec_data,
            rfc6381: String::new(),
            width: side("width"),
            height: side("height"),
            reorder: (codec == VideoCodec::Jpeg).then_some(0),
            declared_fps: None,
        },
    }
}

fn unit(sample: &gst::Sample, before: &[AccessUnit], codec: VideoCodec) -> AccessUnit {
    let first = before.first().map(|first| first.video.clone());
    let video = first.unwrap_or_else(|| Arc::new(parameters(sample, codec)));
    let buffer = sample.buffer().unwrap();
    // Encoders begin a thousand hours late, to leave room for DTS; the running time does not.
    let segment = sample.segment().unwrap().downcast_ref::<gst::ClockTime>().unwrap();
    let pts = Duration::from(segment.to_running_time(buffer.pts().unwrap()).unwrap());
    AccessUnit {
        data: Bytes::copy_from_slice(&buffer.map_readable().unwrap()),
        pts,
        is_key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        arrived: Instant::now(),
        captured: SystemTime::now(),
        timeline: 1,
        video,
        audio: None,
    }
}
