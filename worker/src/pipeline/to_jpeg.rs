//! Pictures of any codec to JPEG pictures, bounded in rate and size before anything is encoded.
//!
//! ```text
//! units -> appsrc ! decoder --probe--> videoconvertscale ! capsfilter --probe--> jpegenc ! appsink -> newest JPEG
//!                              |                                         |
//!                              |                                         +-- stretches video levels to JPEG's
//!                              +-- drops the backlog and what is over the rate; sets the size on the caps
//! ```
//!
//! One thread runs the whole chain. The rate is limited in the probe, not by `videorate`, which would move the
//! pictures onto a grid of its own: the time of a picture is the key to when it was captured. `videoconvertscale`
//! does nothing to a picture that is I420 and of the right size already.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use rsm_shared::stream::spec::JpegParams;
use tokio::sync::watch;

use super::feed::Feed;
use super::hardware::Hardware;
use super::run::Running;
use super::{PipelineError, caps, decoder, elements, levels};
use crate::media::access_unit::AccessUnit;
use crate::media::parameters::VideoParameters;
use crate::media::rate::RateLimit;

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct JpegFrame {
    pub data: Bytes,
    /// PTS of the unit it came from.
    pub pts: Duration,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// From decoded to encoded: scaling and encoding.
    pub encode: Duration,
    /// Counts the frames of this pipeline; a gap means that the newest replaced one that nobody took.
    pub number: u64,
}

/// One decoder and encoder, for unchanged parameters.
#[derive(Debug)]
pub struct JpegPipeline {
    running: Running,
    feeder: JpegFeeder,
}

/// The input side, to be used beside the output side.
#[derive(Debug)]
pub struct JpegFeeder {
    feed: Feed,
    encoder: gst::Element,
    gate: Arc<Gate>,
}

/// The newest frame; `None` until there is one. Holds one frame, never a queue.
pub type NewestJpeg = watch::Receiver<Option<JpegFrame>>;

/// What the probe decides with; only the chain's own thread and [`JpegFeeder::push`] use it.
#[derive(Debug)]
struct Gate {
    state: Mutex<GateState>,
    max_width: u32,
}

#[derive(Debug)]
struct GateState {
    /// Decoded pictures before this time are not shown.
    show_from: Duration,
    rate: RateLimit,
    /// When the picture that is being encoded left the decoder.
    decoded_at: Instant,
}

impl JpegPipeline {
    /// Builds and starts a decoder and encoder for `video`.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(
        video: &VideoParameters,
        params: JpegParams,
        hardware: &Hardware,
    ) -> Result<(Self, NewestJpeg), PipelineError> {
        let (sender, receiver) = watch::channel(None);
        let feed = Feed::new(video, false);
        let state =
            GateState { show_from: Duration::ZERO, rate: RateLimit::new(params.max_fps), decoded_at: Instant::now() };
        let gate = Arc::new(Gate { state: Mutex::new(state), max_width: params.max_width });
        let encoder = elements::make("jpegenc")?;
        encoder.set_property("quality", quality(params.quality));
        let decoder = decoder::chain(hardware.decoder(video.codec), video.codec)?;
        let pipeline = build(&feed, decoder, &encoder, &gate, sender)?;
        let running = Running::start(pipeline).await?;
        Ok((Self { running, feeder: JpegFeeder { feed, encoder, gate } }, receiver))
    }

    /// The input, and a future that resolves when the pipeline fails.
    pub fn split(&mut self) -> (&JpegFeeder, impl Future<Output = PipelineError> + '_) {
        let Self { running, feeder } = self;
        (feeder, async { running.news().await.into() })
    }

    /// To Null.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl JpegFeeder {
    /// Hands over one unit; the first must be a key picture. `shown` is false for what is only needed to decode the
    /// pictures behind it.
    ///
    /// # Errors
    /// [`PipelineError`] when the decoder takes nothing any more.
    pub async fn push(&self, unit: &AccessUnit, shown: bool) -> Result<(), PipelineError> {
        if !shown {
            let mut gate = self.gate.lock();
            gate.show_from = gate.show_from.max(unit.pts + Duration::from_nanos(1));
        }
        self.feed.push(unit, unit.pts).await
    }

    /// Quality of the frames from now on, 1 to 100.
    pub fn set_quality(&self, value: u32) {
        self.encoder.set_property("quality", quality(value));
    }
}

impl Gate {
    fn lock(&self) -> std::sync::MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a decoded picture is scaled and encoded.
    fn admits(&self, pts: Option<gst::ClockTime>) -> bool {
        let mut state = self.lock();
        let Some(pts) = pts.map(Duration::from) else { return false };
        let admitted = pts >= state.show_from && state.rate.admit(pts);
        if admitted {
            state.decoded_at = Instant::now();
        }
        admitted
    }
}

fn quality(value: u32) -> i32 {
    // jpegenc takes 0 to 100.
    i32::try_from(value.clamp(1, 100)).unwrap_or(100)
}

fn build(
    feed: &Feed,
    decoder: Vec<gst::Element>,
    encoder: &gst::Element,
    gate: &Arc<Gate>,
    sender: watch::Sender<Option<JpegFrame>>,
) -> Result<gst::Pipeline, PipelineError> {
    let pipeline = gst::Pipeline::new();
    let scale = elements::make("videoconvertscale")?;
    let size = elements::make("capsfilter")?;
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .callbacks(callbacks(gate.clone(), sender))
        .build();
    let src: &gst::Element = feed.appsrc().upcast_ref();
    let decoded = decoder.last().and_then(|decoder| decoder.static_pad("src"));
    let decoded = decoded.ok_or_else(|| PipelineError::build("the decoder has no src pad"))?;
    let mut chain = vec![src.clone()];
    chain.extend(decoder);
    chain.extend([scale, size.clone(), encoder.clone(), sink.upcast()]);
    pipeline.add_many(&chain).map_err(PipelineError::build)?;
    gst::Element::link_many(&chain).map_err(PipelineError::build)?;
    watch_decoded(&decoded, gate.clone(), size.downgrade());
    let scaled = size.static_pad("src").ok_or_else(|| PipelineError::build("the capsfilter has no src pad"))?;
    levels::stretch_behind(&scaled);
    Ok(pipeline)
}

fn watch_decoded(pad: &gst::Pad, gate: Arc<Gate>, size: gst::glib::WeakRef<gst::Element>) {
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    // The probe goes with the pad; nothing removes it earlier.
    let _ = pad.add_probe(mask, move |_, info| match &info.data {
        Some(gst::PadProbeData::Buffer(buffer)) if !gate.admits(buffer.pts()) => gst::PadProbeReturn::Drop,
        Some(gst::PadProbeData::Event(event)) => {
            if let gst::EventView::Caps(caps) = event.view()
                && let (Some(size), Some(target)) = (size.upgrade(), target_size(caps.caps(), gate.max_width))
            {
                size.set_property("caps", caps::i420(target));
            }
            gst::PadProbeReturn::Ok
        }
        _ => gst::PadProbeReturn::Ok,
    });
}

fn target_size(decoded: &gst::CapsRef, max_width: u32) -> Option<(u32, u32)> {
    let structure = decoded.structure(0)?;
    let side = |name| structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
    let par = structure.get::<gst::Fraction>("pixel-aspect-ratio").unwrap_or(gst::Fraction::new(1, 1));
    let par = (u32::try_from(par.numer()).unwrap_or(1), u32::try_from(par.denom()).unwrap_or(1));
    Some(caps::jpeg_size((side("width")?, side("height")?), par, max_width))
}

fn callbacks(gate: Arc<Gate>, sender: watch::Sender<Option<JpegFrame>>) -> gst_app::AppSinkCallbacks {
    let mut number = 0;
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            // The same thread decoded it, so nothing moved in between.
            let encode = gate.lock().decoded_at.elapsed();
            let structure = sample.caps().and_then(|caps| caps.structure(0));
            let side = |name| structure.and_then(|s| s.get::<i32>(name).ok()).and_then(|side| u32::try_from(side).ok());
            let (width, height) = (side("width").unwrap_or_default(), side("height").unwrap_or_default());
            let Some(buffer) = sample.buffer_owned() else { return Ok(gst::FlowSuccess::Ok) };
            let pts = buffer.pts().map_or(Duration::ZERO, Duration::from);
            let data = buffer.into_mapped_buffer_readable().map_err(|_| gst::FlowError::Error)?;
            number += 1;
            let frame = JpegFrame { data: Bytes::from_owner(data), pts, width, height, encode, number };
            sender.send_replace(Some(frame));
            Ok(gst::FlowSuccess::Ok)
        })
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::parameters::VideoCodec;
    use crate::pipeline::test_clip::{Clip, Look};

    const PARAMS: JpegParams = JpegParams { max_fps: 5, max_width: 320, quality: 80 };

    async fn shown(look: Look, b_pictures: u32, backlog: usize) -> Vec<JpegFrame> {
        let units = Clip { width: 640, height: 360, fps: 25, pictures: 50, group: 50, b_pictures }.encode_as(look);
        let hardware = Hardware::software();
        let (mut pipeline, mut newest) = JpegPipeline::start(&units[0].video, PARAMS, &hardware).await.unwrap();
        let mut frames = Vec::new();
        {
            let (feeder, _failed) = pipeline.split();
            for (i, unit) in units.iter().enumerate() {
                feeder.push(unit, i >= backlog).await.unwrap();
                if i >= backlog {
                    // Slower than the chain, so that no frame is superseded.
                    let _ = tokio::time::timeout(Duration::from_millis(20), newest.changed()).await;
                    frames.extend(newest.borrow_and_update().clone());
                }
            }
        }
        pipeline.stop().await;
        frames.dedup_by_key(|frame| frame.number);
        frames
    }

    #[tokio::test]
    async fn frames_keep_the_rate_the_size_and_their_time() {
        for (codec, format, b_pictures) in [
            (VideoCodec::H264, "I420", 0),
            (VideoCodec::H264, "I420", 2),
            (VideoCodec::H265, "I420", 2),
            (VideoCodec::H265, "I420_10LE", 0),
            (VideoCodec::Jpeg, "Y42B", 0),
            (VideoCodec::Jpeg, "GRAY8", 0),
        ] {
            let frames = shown(Look { codec, format, ..Look::PLAIN }, b_pictures, 0).await;
            assert!((8..=11).contains(&frames.len()), "{codec:?} {format}: {}", frames.len());
            for frame in &frames {
                assert_eq!((frame.width, frame.height, &frame.data[..2]), (320, 180, &[0xff, 0xd8][..]));
                assert_eq!(frame.pts.as_millis() % 40, 0);
            }
            assert!(frames.windows(2).all(|pair| pair[1].pts > pair[0].pts));
        }
    }

    #[tokio::test]
    async fn the_backlog_is_decoded_and_not_shown() {
        let frames = shown(Look::PLAIN, 0, 40).await;
        assert!(frames.first().is_some_and(|frame| frame.pts >= Duration::from_millis(1600)), "{frames:?}");
        assert!(frames.len() <= 3);
    }

    /// Luma of a JPEG of 320x180 at those places.
    fn luma_of<const N: usize>(jpeg: &Bytes, places: [(usize, usize); N]) -> [u8; N] {
        let src = gst_app::AppSrc::builder().caps(&gst::Caps::new_empty_simple("image/jpeg")).build();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let decoder = gst::ElementFactory::make("jpegdec").build().unwrap();
        let pipeline = gst::Pipeline::new();
        let chain = [src.clone().upcast(), decoder, sink.clone().upcast()];
        pipeline.add_many(&chain).unwrap();
        gst::Element::link_many(&chain).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        src.push_buffer(gst::Buffer::from_slice(jpeg.clone())).unwrap();
        src.end_of_stream().unwrap();
        let sample = sink.pull_sample().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        let buffer = sample.buffer_owned().unwrap().into_mapped_buffer_readable().unwrap();
        // The width is a multiple of four: rows without padding, luma first.
        places.map(|(x, y)| buffer[y * 320 + x])
    }

    #[tokio::test]
    async fn black_is_black_and_white_is_white() {
        // The test picture has a white and a black field in its lowest quarter.
        let frames = shown(Look::PLAIN, 0, 0).await;
        let [white, black] = luma_of(&frames[0].data, [(80, 160), (200, 160)]);
        assert!(white >= 251 && black <= 4, "{white} and {black}");
    }
}
