//! Buffers in at one end of a chain of elements, buffers out at the other: how clips are encoded and payloaded.
//!
//! ```text
//!   producer thread -> appsrc ! element ! ... ! appsink -> Load
//! ```

use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

/// Longest wait for the next buffer. Encoding is many times faster than this on any machine that can serve.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);
/// Buffers that may wait at the end of the chain.
const DONE_QUEUE: u32 = 16;

/// Buffers that left the last element.
pub struct Load {
    /// The last caps, which know the most: payloaders learn the parameter sets from the first buffer.
    pub caps: gst::Caps,
    pub buffers: Vec<gst::Buffer>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConveyorError {
    #[error("a GStreamer element is missing or refuses its settings")]
    Element(#[from] gst::glib::BoolError),
    #[error("the pipeline does not start")]
    Start(#[from] gst::StateChangeError),
    #[error("the pipeline failed: {0}")]
    Failed(String),
    #[error("nothing came out")]
    Nothing,
}

/// Passes `goods`, times and bytes, through `elements` and returns when the last buffer is out.
///
/// `queue_bytes` bounds the bytes that wait before the first element.
///
/// # Errors
/// An element is missing, refuses its input, or outputs nothing for a minute.
pub fn run(
    input: &gst::Caps,
    queue_bytes: u64,
    goods: impl Iterator<Item = (gst::ClockTime, Vec<u8>)> + Send,
    elements: &[gst::Element],
    output: Option<&gst::Caps>,
) -> Result<Load, ConveyorError> {
    let source = AppSrc::builder().caps(input).format(gst::Format::Time).block(true).build();
    // Bounded by bytes, because GStreamer before 1.20 knew no other bound and the default of 200 kB is one picture.
    source.set_max_bytes(queue_bytes);
    let sink = AppSink::builder().sync(false).max_buffers(DONE_QUEUE).build();
    sink.set_caps(output);

    let pipeline = gst::Pipeline::new();
    let chain = || std::iter::once(source.upcast_ref()).chain(elements).chain([sink.upcast_ref()]);
    let result = pipeline
        .add_many(chain())
        .and_then(|()| gst::Element::link_many(chain()))
        .map_err(ConveyorError::from)
        .and_then(|()| collect(&pipeline, &source, &sink, goods));
    // On every way out, or the encoder's threads outlive the error.
    pipeline.set_state(gst::State::Null)?;
    result
}

fn collect(
    pipeline: &gst::Pipeline,
    source: &AppSrc,
    sink: &AppSink,
    goods: impl Iterator<Item = (gst::ClockTime, Vec<u8>)> + Send,
) -> Result<Load, ConveyorError> {
    pipeline.set_state(gst::State::Playing)?;
    let (caps, buffers) = thread::scope(|scope| {
        scope.spawn(|| push(source, goods));
        let (mut caps, mut buffers) = (None, Vec::new());
        while let Some(sample) = sink.try_pull_sample(PATIENCE) {
            caps = sample.caps_owned().or(caps);
            buffers.extend(sample.buffer_owned());
        }
        // A producer that waits for room in a dead pipeline is woken by this.
        pipeline.set_state(gst::State::Null).map(|_| (caps, buffers))
    })?;
    let failure = pipeline.bus().and_then(|bus| bus.pop_filtered(&[gst::MessageType::Error]));
    match failure.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Error(error)) => Err(ConveyorError::Failed(error.error().to_string())),
        _ => Ok(Load { caps: caps.ok_or(ConveyorError::Nothing)?, buffers }),
    }
}

/// Pushes everything, then the end. Stops early when the pipeline does.
fn push(source: &AppSrc, goods: impl Iterator<Item = (gst::ClockTime, Vec<u8>)>) {
    for (pts, bytes) in goods {
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        if let Some(header) = buffer.get_mut() {
            header.set_pts(pts);
        }
        if source.push_buffer(buffer).is_err() {
            return;
        }
    }
    // An error here means that the pipeline is gone already; its own message tells why.
    let _ = source.end_of_stream();
}
