//! G.711 of cameras to AAC-LC, which HLS and browsers take.
//!
//! ```text
//! units -> appsrc ! alawdec | mulawdec ! audioconvert ! audioresample ! capsfilter ! avenc_aac ! appsink -> frames
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::feed::Feed;
use super::run::Running;
use super::sink::{UnreadableSample, into_channel};
use super::{PipelineError, caps, elements};
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::{AudioCodec, AudioParameters};

/// Frames waiting to be taken: four seconds. Full, the pipeline's own thread waits, then the appsrc fills, then the
/// hub drops.
const MAX_WAITING: usize = 64;
/// Hertz. G.711 has 8000; at that rate a frame of AAC would last 128 ms, too long beside parts of 333 ms.
const OUTPUT_RATE: u32 = 16_000;
/// Bits per second for each channel; speech of telephone bandwidth needs no more.
const BITRATE: i32 = 32_000;
/// Samples of a frame of AAC-LC (ISO/IEC 14496-3), and of the silence that avenc_aac puts before the first.
const FRAME_SAMPLES: u64 = 1024;

/// One frame of AAC.
#[derive(Clone, Debug)]
pub struct EncodedAudio {
    /// One raw frame, without ADTS.
    pub data: Bytes,
    /// Presentation time of its first sample; the encoder's delay is subtracted.
    pub pts: Duration,
    pub parameters: Arc<AudioParameters>,
}

/// One decoder and encoder, for unchanged parameters.
#[derive(Debug)]
pub struct AacPipeline {
    /// Ends waits for room in the output. Dropped first: the pipeline's own thread is one that waits.
    _stopping: DropGuard,
    running: Running,
    feeder: AacFeeder,
}

/// The input side, to be used beside the output side.
#[derive(Debug)]
pub struct AacFeeder {
    feed: Feed,
}

impl AacPipeline {
    /// Builds and starts a decoder and encoder for `audio`. The receiver ends after the last frame.
    ///
    /// # Errors
    /// [`PipelineError`] when `audio` is not G.711, or an element is missing or refuses to start.
    pub async fn start(audio: &AudioParameters) -> Result<(Self, mpsc::Receiver<EncodedAudio>), PipelineError> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let stopping = CancellationToken::new();
        let (decoder, media) = match audio.codec {
            AudioCodec::Pcma => ("alawdec", "audio/x-alaw"),
            AudioCodec::Pcmu => ("mulawdec", "audio/x-mulaw"),
            AudioCodec::Aac => return Err(PipelineError::build("AAC is not encoded again")),
        };
        let feed = Feed::of(&caps::g711(media, audio.sample_rate, audio.channels), false);
        let (channels, mut known) = (audio.channels, None);
        let sink = into_channel(sender, &stopping, move |sample| {
            encoded(sample, channels, &mut known).map_err(|()| UnreadableSample)
        });
        let pipeline = build(&feed, decoder, sink)?;
        let running = Running::start(pipeline).await?;
        Ok((Self { running, feeder: AacFeeder { feed }, _stopping: stopping.drop_guard() }, receiver))
    }

    /// The input, and a future that resolves when the pipeline fails.
    pub fn split(&mut self) -> (&AacFeeder, impl Future<Output = PipelineError> + '_) {
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

impl AacFeeder {
    /// Hands over one unit of audio.
    ///
    /// # Errors
    /// [`PipelineError`] when the decoder takes nothing any more.
    pub async fn push(&self, unit: &AccessUnit) -> Result<(), PipelineError> {
        self.feed.push(unit, unit.pts).await
    }

    /// Ends the input: the pipeline encodes the rest, then the output ends.
    pub fn end(&self) {
        self.feed.end();
    }
}

fn build(feed: &Feed, decoder: &str, sink: gst_app::AppSink) -> Result<gst::Pipeline, PipelineError> {
    let rate = elements::make("capsfilter")?;
    let raw = gst::Caps::builder("audio/x-raw").field("rate", i32::try_from(OUTPUT_RATE).unwrap_or(i32::MAX)).build();
    rate.set_property("caps", raw);
    let encoder = elements::make("avenc_aac")?;
    encoder.set_property("bitrate", BITRATE);
    let chain = [
        feed.appsrc().clone().upcast(),
        elements::make(decoder)?,
        elements::make("audioconvert")?,
        elements::make("audioresample")?,
        rate,
        encoder,
        sink.upcast(),
    ];
    let pipeline = gst::Pipeline::new();
    pipeline.add_many(&chain).map_err(PipelineError::build)?;
    gst::Element::link_many(&chain).map_err(PipelineError::build)?;
    Ok(pipeline)
}

/// `None` for the silence before the first sample.
fn encoded(
    sample: gst::Sample,
    channels: u16,
    known: &mut Option<Arc<AudioParameters>>,
) -> Result<Option<EncodedAudio>, ()> {
    let parameters = match known {
        Some(parameters) => parameters.clone(),
        None => {
            let caps = sample.caps().and_then(|caps| caps.structure(0)).ok_or(())?;
            let config = caps.get::<gst::Buffer>("codec_data").map_err(drop)?;
            let codec_data = Bytes::copy_from_slice(&config.map_readable().map_err(drop)?);
            let parameters = AudioParameters { codec: AudioCodec::Aac, codec_data, sample_rate: OUTPUT_RATE, channels };
            known.insert(Arc::new(parameters)).clone()
        }
    };
    let buffer = sample.buffer_owned().ok_or(())?;
    drop(sample);
    let delay = Duration::from_nanos(FRAME_SAMPLES * 1_000_000_000 / u64::from(OUTPUT_RATE));
    let pts = buffer.pts().map(Duration::from).and_then(|pts| pts.checked_sub(delay));
    let data = Bytes::from_owner(buffer.into_mapped_buffer_readable().map_err(drop)?);
    Ok(pts.map(|pts| EncodedAudio { data, pts, parameters }))
}

#[cfg(test)]
mod tests;
