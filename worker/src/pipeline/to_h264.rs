//! Pictures of any codec to H.264 for players with less bandwidth, and for those that cannot play the source's codec.
//!
//! ```text
//! units -> appsrc ! decoder --probe--> videoconvertscale ! capsfilter ! encoder ! capsfilter ! appsink -> pictures
//!                              |                                            ^
//!                              +-- drops the backlog and every second picture above 30 per second;
//!                                  asks for a key frame wherever the source has one
//! ```
//!
//! One thread runs the whole chain. Renditions have key frames where the source has them, so that their segments
//! begin at the same times. There are no B pictures: DTS is PTS.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::feed::Feed;
use super::form::kept_one_in;
pub use super::form::{EncodedForm, form};
use super::hardware::Hardware;
use super::run::Running;
use super::sink::{UnreadableSample, into_channel};
use super::{PipelineError, decoder, elements, encoder};
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::{VideoCodec, VideoParameters};

/// Encoded pictures waiting to be taken. Full, the chain's own thread waits, then the appsrc fills, then the hub
/// drops.
const MAX_WAITING: usize = 16;
/// Key frames on their way through the decoder: the 8 units of the appsrc, the 16 that it reorders at most, and
/// those that hardware holds. Beyond that the oldest are forgotten.
const MAX_KEYS: usize = 64;
/// Every picture of a JPEG camera is a key frame; the encoded stream has one in this time.
const KEY_INTERVAL: Duration = Duration::from_secs(1);

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct EncodedFrame {
    /// NAL units, each behind its length in four bytes.
    pub data: Bytes,
    /// PTS of the unit it came from; its DTS too.
    pub pts: Duration,
    pub is_key: bool,
    /// `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1), as the form declares it.
    pub codec_data: Bytes,
}

/// One decoder and encoder, for unchanged parameters.
#[derive(Debug)]
pub struct EncoderPipeline {
    /// Ends waits for room in the output. Dropped first: the pipeline's own thread is one that waits.
    _stopping: DropGuard,
    running: Running,
    feeder: EncoderFeeder,
}

/// The input side, to be used beside the output side.
#[derive(Debug)]
pub struct EncoderFeeder {
    feed: Feed,
    gate: Arc<Gate>,
}

impl EncoderPipeline {
    /// Builds and starts a decoder for `video` and an encoder for `form`. `fps` is the rate that the form was made with. The
    /// receiver ends after the last picture.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(
        video: &VideoParameters,
        form: &EncodedForm,
        fps: Option<f64>,
        hardware: &Hardware,
    ) -> Result<(Self, mpsc::Receiver<EncodedFrame>), PipelineError> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let stopping = CancellationToken::new();
        let keep = kept_one_in(video, (form.width, form.height), fps);
        let gate = Arc::new(Gate(Mutex::new(GateState::new(video.codec == VideoCodec::Jpeg, keep))));
        let rate = encoder::declared_rate(hardware.encoder(), fps.map(|fps| fps / f64::from(keep)));
        let feed = Feed::new(video, false);
        let declared = form.clone();
        // The newest codec data, as the caps have it and as the form declares it.
        let mut known: (Bytes, Bytes) = Default::default();
        let sink = into_channel(sender, &stopping, move |sample| {
            picture(sample, &declared, &mut known).map(Some).ok_or(UnreadableSample)
        });
        let (pipeline, ends) = build(video, form, hardware, &feed, sink)?;
        watch_decoded(&ends, gate.clone(), rate);
        let running = Running::start(pipeline).await?;
        let feeder = EncoderFeeder { feed, gate };
        Ok((Self { running, feeder, _stopping: stopping.drop_guard() }, receiver))
    }

    /// The input, and a future that resolves when the pipeline fails.
    pub fn split(&mut self) -> (&EncoderFeeder, impl Future<Output = PipelineError> + '_) {
        let Self { running, feeder, .. } = self;
        (feeder, running.failed())
    }

    /// Sets the pipeline to Null. Frames that were not received are dropped.
    pub async fn stop(self) {
        let Self { running, feeder: _, _stopping: stopping } = self;
        drop(stopping);
        running.stop().await;
    }
}

impl EncoderFeeder {
    /// Hands over one unit; the first must be a key frame. `shown` is false for a unit that is only needed to decode
    /// the pictures after it.
    ///
    /// # Errors
    /// [`PipelineError`] when the decoder takes nothing any more.
    pub async fn push(&self, unit: &AccessUnit, shown: bool) -> Result<(), PipelineError> {
        self.gate.0.lock().comes(unit.pts, unit.is_key, shown);
        self.feed.push(unit, unit.pts).await
    }

    /// Ends the input: the pipeline encodes the rest, then the output ends.
    pub fn end(&self) {
        self.feed.end();
    }
}

/// The state of the probe; only the chain's own thread and [`EncoderFeeder::push`] use it.
#[derive(Debug)]
struct Gate(Mutex<GateState>);

#[derive(Debug)]
struct GateState {
    /// Decoded pictures before this time are not shown.
    show_from: Duration,
    /// Times of the source's key frames that are on their way through the decoder; at most [`MAX_KEYS`].
    keys: VecDeque<Duration>,
    /// When the next key frame is due, for a source that has key frames only.
    next_key: Option<Duration>,
    /// The next picture that is let through becomes a key frame.
    key_due: bool,
    /// One of so many is let through, and how many were not since.
    keep: u32,
    left_out: u32,
}

/// The treatment of a decoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Drop,
    Encode,
    EncodeAsKey,
}

impl GateState {
    fn new(only_keys: bool, keep: u32) -> Self {
        let next_key = only_keys.then_some(Duration::ZERO);
        Self { show_from: Duration::ZERO, keys: VecDeque::new(), next_key, key_due: true, keep, left_out: 0 }
    }

    /// A unit goes into the decoder.
    fn comes(&mut self, pts: Duration, is_key: bool, shown: bool) {
        if !shown {
            self.show_from = self.show_from.max(pts + Duration::from_nanos(1));
        }
        if is_key && self.next_key.is_none() {
            if self.keys.len() >= MAX_KEYS {
                self.keys.pop_front();
            }
            self.keys.push_back(pts);
        }
    }

    /// A picture left the decoder; they do in the order of their times.
    fn decoded(&mut self, pts: Duration) -> Fate {
        while self.keys.front().is_some_and(|key| *key <= pts) {
            self.keys.pop_front();
            self.key_due = true;
        }
        if pts < self.show_from {
            return Fate::Drop;
        }
        if let Some(due) = self.next_key.filter(|due| pts >= *due) {
            // From the plan while pictures keep to it, from the picture after a gap.
            self.next_key = Some((due + KEY_INTERVAL).max(pts + KEY_INTERVAL / 2));
            self.key_due = true;
        }
        if std::mem::take(&mut self.key_due) {
            self.left_out = 0;
            return Fate::EncodeAsKey;
        }
        self.left_out += 1;
        if self.left_out < self.keep {
            return Fate::Drop;
        }
        self.left_out = 0;
        Fate::Encode
    }
}

/// Where pictures leave the decoder, and the encoder; and the element that sets their size between them.
struct Ends {
    decoded: gst::Pad,
    encoded: gst::Pad,
    size: gst::Element,
}

fn build(
    video: &VideoParameters,
    form: &EncodedForm,
    hardware: &Hardware,
    feed: &Feed,
    sink: gst_app::AppSink,
) -> Result<(gst::Pipeline, Ends), PipelineError> {
    let pipeline = gst::Pipeline::new();
    let encoder = encoder::make(hardware.encoder(), form)?;
    let mut chain: Vec<gst::Element> = vec![feed.appsrc().clone().upcast()];
    chain.extend(decoder::chain(hardware.decoder(video.codec), video.codec)?);
    let decoded = chain.last().and_then(|decoder| decoder.static_pad("src"));
    let decoded = decoded.ok_or_else(|| PipelineError::build("the decoder has no src pad"))?;
    let encoded = encoder.element.static_pad("src").ok_or_else(|| PipelineError::build("no src pad"))?;
    chain.push(elements::make("videoconvertscale")?);
    chain.extend(encoder.chain);
    chain.push(sink.upcast());
    pipeline.add_many(&chain).map_err(PipelineError::build)?;
    gst::Element::link_many(&chain).map_err(PipelineError::build)?;
    Ok((pipeline, Ends { decoded, encoded, size: encoder.size }))
}

fn watch_decoded(ends: &Ends, gate: Arc<Gate>, rate: gst::Fraction) {
    let (encoded, size) = (ends.encoded.downgrade(), ends.size.downgrade());
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    // The probe goes with the pad; nothing removes it earlier.
    let _ = ends.decoded.add_probe(mask, move |_, info| match &mut info.data {
        Some(gst::PadProbeData::Buffer(buffer)) => {
            let Some(pts) = buffer.pts() else { return gst::PadProbeReturn::Drop };
            match gate.0.lock().decoded(pts.into()) {
                Fate::Drop => return gst::PadProbeReturn::Drop,
                Fate::Encode => {}
                Fate::EncodeAsKey => {
                    if let Some(pad) = encoded.upgrade() {
                        // The first picture is one anyway; an encoder that refuses gives longer segments.
                        let _ = pad.send_event(next_is_key());
                    }
                }
            }
            gst::PadProbeReturn::Ok
        }
        Some(gst::PadProbeData::Event(event)) => {
            if let gst::EventView::Caps(caps) = event.view() {
                let mut caps = caps.caps_owned();
                caps.make_mut().set("framerate", rate);
                if let Some(size) = size.upgrade() {
                    keep_colours(&size, caps.make_mut());
                }
                *event = gst::event::Caps::new(&caps);
            }
            gst::PadProbeReturn::Ok
        }
        _ => gst::PadProbeReturn::Ok,
    });
}

/// Keeps the colours, and lets the encoder declare them. Left open, they are guessed from the lines of either side,
/// and small pictures are converted from BT.709 to BT.601: 8 % of a core for 1080p30, without a visible gain.
fn keep_colours(size: &gst::Element, decoded: &mut gst::CapsRef) {
    let Some(structure) = decoded.structure(0) else { return };
    let colours = structure.get::<String>("colorimetry").unwrap_or_else(|_| {
        // The guess that GStreamer makes, too.
        let lines = structure.get::<i32>("height").unwrap_or_default();
        if lines > 576 { "bt709" } else { "bt601" }.to_owned()
    });
    let mut wanted: gst::Caps = size.property("caps");
    wanted.make_mut().set("colorimetry", &colours);
    size.set_property("caps", wanted);
    decoded.set("colorimetry", colours);
}

/// The event of `gst_video_event_new_upstream_force_key_unit`, for the next picture that reaches the encoder: sent by
/// the thread that is about to bring it. A time in it is not understood by encoders that shift their clock.
fn next_is_key() -> gst::Event {
    let structure = gst::Structure::builder("GstForceKeyUnit")
        .field("running-time", gst::ClockTime::NONE)
        .field("all-headers", false)
        .field("count", 0u32)
        .build();
    gst::event::CustomUpstream::new(structure)
}

fn picture(sample: gst::Sample, form: &EncodedForm, known: &mut (Bytes, Bytes)) -> Option<EncodedFrame> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?.clone();
    let avcc = sample.caps()?.structure(0)?.get::<gst::Buffer>("codec_data").ok()?;
    let avcc = avcc.map_readable().ok()?;
    if known.0 != *avcc {
        *known = (Bytes::copy_from_slice(&avcc), encoder::declared(&avcc, form).ok()?);
    }
    let buffer = sample.buffer_owned()?;
    // Encoders shift their clock to leave room for DTS; the running time does not move.
    let pts = segment.to_running_time(buffer.pts()?)?;
    let is_key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
    drop(sample);
    let data = encoder::without_parameter_sets(Bytes::from_owner(buffer.into_mapped_buffer_readable().ok()?));
    Some(EncodedFrame { data, pts: pts.into(), is_key, codec_data: known.1.clone() })
}

#[cfg(test)]
mod tests;
