//! The clip: drawn and encoded once at start, held in memory, shared by all cameras.
//!
//! ```text
//!   painter thread -> appsrc ! encoder ! parser ! appsink -> Clip
//! ```

use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use rsm_simulator::schedule::Schedule;

use crate::{
    codec::{Codec, Encoding},
    picture::{Painter, Size},
};

/// Raw pictures that may wait before the encoder; at 3840x2160 one takes 12 MiB.
const RAW_QUEUE: u64 = 4;
/// Longest wait for the next encoded picture. Encoding is many times faster than this on any machine that can serve.
const ENCODER_PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// What a clip is made of.
#[derive(Clone, Copy, Debug)]
pub struct ClipSpec {
    pub codec: Codec,
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    pub schedule: Schedule,
    pub encoding: Encoding,
}

/// An encoded loop. Frame 0 is a key frame; every `gop`-th one is.
pub struct Clip {
    pub codec: Codec,
    pub schedule: Schedule,
    frames: Vec<Frame>,
    parameter_sets: gst::Buffer,
}

struct Frame {
    data: gst::Buffer,
    is_key: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    #[error("an encoder element is missing or refuses its settings (gstreamer1.0-plugins-ugly installed?)")]
    Element(#[from] gst::glib::BoolError),
    #[error("the encoder pipeline does not start")]
    Start(#[from] gst::StateChangeError),
    #[error("the encoder failed: {0}")]
    Encoder(String),
    #[error("the encoder made {made} of {wanted} pictures")]
    Incomplete { made: usize, wanted: u32 },
    #[error("picture {frame} is a key frame where none belongs, or the other way round")]
    KeyFrame { frame: usize },
    #[error("the first picture carries no parameter sets")]
    NoParameterSets,
}

impl Clip {
    /// Draws and encodes. Takes about 1 s of two cores for 250 pictures of 1280x720.
    pub fn make(spec: ClipSpec) -> Result<Self, ClipError> {
        let pipeline = gst::Pipeline::new();
        let result = encode(&pipeline, spec);
        // On every way out, or the encoder's threads outlive the error.
        pipeline.set_state(gst::State::Null)?;
        let units = result?;

        if units.len() != spec.schedule.frames() as usize {
            return Err(ClipError::Incomplete { made: units.len(), wanted: spec.schedule.frames() });
        }
        let parameter_sets = spec.codec.parts(&units[0]).parameter_sets;
        if parameter_sets.is_empty() {
            return Err(ClipError::NoParameterSets);
        }
        let mut frames = Vec::with_capacity(units.len());
        for (index, unit) in units.into_iter().enumerate() {
            let parts = spec.codec.parts(&unit);
            let key_belongs = index % spec.encoding.gop as usize == 0;
            if parts.is_key != key_belongs || parts.is_key == parts.parameter_sets.is_empty() {
                return Err(ClipError::KeyFrame { frame: index });
            }
            frames.push(Frame { data: gst::Buffer::from_slice(unit), is_key: parts.is_key });
        }
        Ok(Self {
            codec: spec.codec,
            schedule: spec.schedule,
            frames,
            parameter_sets: gst::Buffer::from_slice(parameter_sets),
        })
    }

    /// Encoded size of one lap in bytes.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.data.size()).sum()
    }

    /// Whether decoding can begin at clip frame `index`.
    pub fn is_key(&self, index: u32) -> bool {
        self.frames[index as usize].is_key
    }

    /// Clip frame `index` stamped with `pts` (running time). Its bytes are shared with the clip, not copied.
    pub fn frame(&self, index: u32, pts: gst::ClockTime) -> gst::Buffer {
        stamped(&self.frames[index as usize].data, pts)
    }

    /// The parameter sets alone, as an access unit without a picture.
    pub fn parameter_sets(&self, pts: gst::ClockTime) -> gst::Buffer {
        stamped(&self.parameter_sets, pts)
    }
}

/// A second handle to the same memory, with its own time.
fn stamped(data: &gst::Buffer, pts: gst::ClockTime) -> gst::Buffer {
    let mut buffer = data.copy();
    let header = buffer.make_mut();
    header.set_pts(pts);
    header.set_dts(pts);
    buffer
}

/// Runs the pipeline until the last picture is out.
fn encode(pipeline: &gst::Pipeline, spec: ClipSpec) -> Result<Vec<Vec<u8>>, ClipError> {
    let Size { width, height } = spec.size;
    let raw = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", width as i32)
        .field("height", height as i32)
        .field("framerate", gst::Fraction::new(spec.fps as i32, 1))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .field("interlace-mode", "progressive")
        .field("colorimetry", "bt601")
        .build();
    let source = AppSrc::builder().caps(&raw).format(gst::Format::Time).block(true).build();
    // Bounded by bytes, because GStreamer before 1.20 knew no other bound and the default of 200 kB is one picture.
    source.set_max_bytes(RAW_QUEUE * spec.size.bytes() as u64);
    let sink = AppSink::builder().caps(&spec.codec.caps()).sync(false).max_buffers(16).build();
    let (encoder, parser) = (spec.codec.encoder(spec.encoding)?, spec.codec.parser()?);
    let chain = [source.upcast_ref(), &encoder, &parser, sink.upcast_ref()];
    pipeline.add_many(chain)?;
    gst::Element::link_many(chain)?;
    pipeline.set_state(gst::State::Playing)?;

    let units = thread::scope(|scope| {
        scope.spawn(|| paint(&source, spec));
        let mut units = Vec::with_capacity(spec.schedule.frames() as usize);
        while let Some(sample) = sink.try_pull_sample(ENCODER_PATIENCE) {
            if let Some(Ok(map)) = sample.buffer().map(|buffer| buffer.map_readable()) {
                units.push(map.to_vec());
            }
        }
        // A painter that waits for room in a dead pipeline is woken by this.
        pipeline.set_state(gst::State::Null).map(|_| units)
    });

    let failure = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    match failure.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(ClipError::Encoder(error.error().to_string())),
        _ => Ok(units?),
    }
}

/// Draws every picture of the lap into `source`, then ends it. Stops early when the pipeline does.
fn paint(source: &AppSrc, spec: ClipSpec) {
    let mut painter = Painter::new(spec.size, spec.fps, spec.schedule);
    for index in 0..spec.schedule.frames() {
        let mut picture = gst::Buffer::from_mut_slice(painter.draw(index));
        if let Some(header) = picture.get_mut() {
            let pts = spec.schedule.clock(index);
            header.set_pts(gst::ClockTime::from_nseconds(pts.as_nanos() as u64));
            header.set_duration(gst::ClockTime::SECOND / u64::from(spec.fps));
        }
        if source.push_buffer(picture).is_err() {
            return;
        }
    }
    // An error here means that the pipeline is gone already; its own message tells why.
    let _ = source.end_of_stream();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_stand_exactly_at_the_gop_and_nowhere_else() {
        gst::init().expect("GStreamer");
        let schedule = Schedule::new(15, 4).expect("positive");
        let clip = Clip::make(ClipSpec {
            codec: Codec::H264,
            size: Size { width: 320, height: 180 },
            fps: 15,
            schedule,
            encoding: Encoding { gop: 20, bitrate_kbps: 300 },
        })
        .expect("clip");
        let keys: Vec<u32> = (0..schedule.frames()).filter(|index| clip.is_key(*index)).collect();
        assert_eq!(keys, [0, 20, 40]);
        let kbps = clip.bytes() * 8 / 4 / 1000;
        assert!((150..=450).contains(&kbps), "{kbps} kbit/s for 300 asked");
    }

    #[test]
    fn a_stamped_frame_shares_the_memory_of_the_clip() {
        gst::init().expect("GStreamer");
        let data = gst::Buffer::from_slice(vec![1_u8; 100]);
        let first = stamped(&data, gst::ClockTime::SECOND);
        let address = |buffer: &gst::Buffer| buffer.map_readable().expect("readable").as_ptr();
        assert_eq!(address(&first), address(&data));
        assert_eq!(first.pts(), Some(gst::ClockTime::SECOND));
        assert_eq!(data.pts(), None);
    }
}
