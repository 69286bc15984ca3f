//! Encoded pictures for tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::elements;
use crate::media::access_unit::AccessUnit;
use crate::media::parameters::VideoParameters;

/// What is encoded.
pub(crate) struct Clip {
    pub width: i32,
    pub height: i32,
    pub fps: i32,
    pub pictures: i32,
    /// Pictures from one key picture to the next.
    pub group: u32,
    pub b_pictures: u32,
}

impl Clip {
    /// Encodes it; blocks for some 100 ms.
    pub fn encode(&self) -> Vec<AccessUnit> {
        elements::init().unwrap();
        let src = elements::make("videotestsrc").unwrap();
        src.set_property("num-buffers", self.pictures);
        let raw = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", self.width)
            .field("height", self.height)
            .field("framerate", gst::Fraction::new(self.fps, 1))
            .build();
        let filter = elements::make("capsfilter").unwrap();
        filter.set_property("caps", raw);
        let encoder = elements::make("x264enc").unwrap();
        encoder.set_property("key-int-max", self.group);
        encoder.set_property("bframes", self.b_pictures);
        encoder.set_property_from_str("speed-preset", "ultrafast");
        encoder.set_property("b-adapt", false);
        encoder.set_property_from_str("option-string", "scenecut=0");
        let avc = gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au").build();
        let sink = gst_app::AppSink::builder().caps(&avc).sync(false).build();
        let pipeline = gst::Pipeline::new();
        let chain = [src, filter, encoder, elements::make("h264parse").unwrap(), sink.clone().upcast()];
        pipeline.add_many(&chain).unwrap();
        gst::Element::link_many(&chain).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let mut units = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            units.push(unit(&sample, &units));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        units
    }
}

fn unit(sample: &gst::Sample, before: &[AccessUnit]) -> AccessUnit {
    let video = before.first().map_or_else(
        || {
            let caps = sample.caps().unwrap().structure(0).unwrap();
            let data = caps.get::<gst::Buffer>("codec_data").unwrap();
            Arc::new(VideoParameters::from_avcc(Bytes::copy_from_slice(&data.map_readable().unwrap())).unwrap())
        },
        |first| first.video.clone(),
    );
    let buffer = sample.buffer().unwrap();
    let pts = Duration::from(buffer.pts().unwrap());
    AccessUnit {
        data: Bytes::copy_from_slice(&buffer.map_readable().unwrap()),
        // x264enc begins a thousand hours late, to leave room for DTS.
        pts: pts - before.first().map_or(pts, |_| Duration::from_secs(3_600_000)),
        is_key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        arrived: Instant::now(),
        captured: SystemTime::now(),
        timeline: 1,
        video,
        sound: None,
    }
}
