//! H.264 access units to fragmented MP4, without touching a pixel.
//!
//! ```text
//! units -> appsrc ! [h264timestamper] ! isofmp4mux ! appsink -> MuxOutput
//! ```
//!
//! Without reordering DTS = PTS is set on every buffer, which the muxer demands; with it `h264timestamper` works the
//! DTS out (0.4 % of a core). The muxer is asked for the shortest fragments, so it emits one per group of pictures as
//! soon as the next one begins; how many make a segment is decided in [`crate::hls::segmenter`], not here.

use std::time::Duration;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::mpsc;

use super::feed::Feed;
use super::run::{BusNews, Running};
use super::{PipelineError, elements};
use crate::media::access_unit::AccessUnit;
use crate::media::parameters::VideoParameters;

/// Fragments waiting to be taken. Full, the muxer's own thread waits, then the appsrc fills, then the hub drops.
const MAX_WAITING: usize = 16;
/// Shorter than any group of pictures but those of cameras that send key pictures only.
const FRAGMENT_DURATION: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// RTP's clock for video (RFC 6184 section 8.2.1), so that no duration is rounded. Unset, the muxer takes 10 kHz and
/// every segment ends a fraction of a picture short.
const TIMESCALE: u32 = 90_000;
/// Times begin here, so that no DTS before the first PTS is negative. More than any reordering.
const FIRST_PTS: Duration = Duration::from_secs(1);

/// What the muxer made.
#[derive(Clone, Debug)]
pub struct MuxOutput {
    pub kind: MuxKind,
    /// The bytes, in order; shared with the units they came from.
    pub parts: Vec<Bytes>,
    /// Presentation time of the first picture, since the first picture of this pipeline.
    pub start: Duration,
    /// Media time up to the next fragment or chunk; zero for [`MuxKind::Init`].
    pub duration: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxKind {
    /// `ftyp` and `moov`.
    Init,
    /// `moof` and `mdat` that begin with a key picture.
    Fragment,
    /// `moof` and `mdat` that go on with the fragment before.
    Chunk,
}

/// One muxer, for one run of continuous time and unchanged parameters.
#[derive(Debug)]
pub struct CmafPipeline {
    running: Running,
    feeder: CmafFeeder,
}

/// The input side, to be used beside the output side.
#[derive(Debug)]
pub struct CmafFeeder {
    feed: Feed,
    /// PTS of the first unit.
    base: Option<Duration>,
}

/// The output side. `None` once the muxer has finished.
pub type CmafOutput = mpsc::Receiver<MuxOutput>;

impl CmafPipeline {
    /// Builds and starts a muxer for `video`.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(video: &VideoParameters) -> Result<(Self, CmafOutput), PipelineError> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let feed = Feed::new(video, video.reorder == Some(0));
        let pipeline = build(&feed, video.reorder != Some(0), sender)?;
        let running = Running::start(pipeline).await?;
        Ok((Self { running, feeder: CmafFeeder { feed, base: None } }, receiver))
    }

    /// The input, and a future that resolves when the pipeline fails.
    pub fn split(&mut self) -> (&mut CmafFeeder, impl Future<Output = PipelineError> + '_) {
        let Self { running, feeder } = self;
        (feeder, async {
            loop {
                match running.news().await {
                    // The output tells its end itself, once all of it is taken.
                    BusNews::Eos => std::future::pending().await,
                    news => return news.into(),
                }
            }
        })
    }

    /// To Null. The receiver must be dropped first: the muxer's thread may wait for room in it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl CmafFeeder {
    /// Hands over one unit; the first must be a key picture.
    ///
    /// # Errors
    /// [`PipelineError`] when the muxer takes nothing any more.
    pub async fn push(&mut self, unit: &AccessUnit) -> Result<(), PipelineError> {
        let base = *self.base.get_or_insert(unit.pts);
        // Leading pictures of an open group are before its key picture; the muxer places them by PTS.
        let pts = (FIRST_PTS + unit.pts).saturating_sub(base);
        self.feed.push(unit, pts).await
    }

    /// No more units: what is left comes out, then the output ends.
    pub fn end(&self) {
        self.feed.end();
    }
}

fn build(feed: &Feed, reorders: bool, sender: mpsc::Sender<MuxOutput>) -> Result<gst::Pipeline, PipelineError> {
    let pipeline = gst::Pipeline::new();
    let mux = elements::make("isofmp4mux")?;
    mux.set_property("fragment-duration", FRAGMENT_DURATION.nseconds());
    mux.set_property("send-force-keyunit", false);
    // A player begins anywhere, so an edit list that shifts the first picture says nothing to it.
    mux.set_property_from_str("write-edts-mode", "never");
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .buffer_list(true)
        .enable_last_sample(false)
        .callbacks(callbacks(sender))
        .build();
    let src: &gst::Element = feed.appsrc().upcast_ref();
    let mut chain = vec![src.clone()];
    if reorders {
        chain.push(elements::make("h264timestamper")?);
    }
    chain.extend([mux.clone(), sink.upcast()]);
    pipeline.add_many(&chain).map_err(PipelineError::build)?;
    gst::Element::link_many(&chain).map_err(PipelineError::build)?;
    // Linking made the muxer's only sink pad.
    mux.sink_pads().iter().for_each(|pad| pad.set_property("trak-timescale", TIMESCALE));
    Ok(pipeline)
}

fn callbacks(sender: mpsc::Sender<MuxOutput>) -> gst_app::AppSinkCallbacks {
    // Dropped at the end of stream, which ends the receiver.
    let sender = std::sync::Arc::new(std::sync::Mutex::new(Some(sender)));
    let at_end = sender.clone();
    // The muxer's own clock begins a thousand hours late; times are told from its first fragment on.
    let mut began = None;
    let current = move || sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let Some(sender) = current() else { return Err(gst::FlowError::Eos) };
            for output in outputs(&sample, &mut began)? {
                // This is the muxer's own thread; waiting here is how it is slowed down.
                sender.blocking_send(output).map_err(|_| gst::FlowError::Eos)?;
            }
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| drop(at_end.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()))
        .build()
}

/// A sample is a list: the init header first, when there is one, then a fragment's header and its pictures.
fn outputs(sample: &gst::Sample, began: &mut Option<gst::ClockTime>) -> Result<Vec<MuxOutput>, gst::FlowError> {
    let mut outputs: Vec<MuxOutput> = Vec::with_capacity(2);
    let single = sample.buffer_owned();
    let list = sample.buffer_list_owned();
    let buffers = list.iter().flat_map(|list| list.iter_owned()).chain(single);
    for buffer in buffers {
        let flags = buffer.flags();
        let kind = match (flags.contains(gst::BufferFlags::HEADER), flags) {
            (false, _) => None,
            (true, flags) if flags.contains(gst::BufferFlags::DISCONT) => Some(MuxKind::Init),
            (true, flags) if flags.contains(gst::BufferFlags::DELTA_UNIT) => Some(MuxKind::Chunk),
            (true, _) => Some(MuxKind::Fragment),
        };
        let start = buffer.pts().map_or(Duration::ZERO, |pts| pts.saturating_sub(*began.get_or_insert(pts)).into());
        let duration = buffer.duration().map_or(Duration::ZERO, Duration::from);
        let bytes = Bytes::from_owner(buffer.into_mapped_buffer_readable().map_err(|_| gst::FlowError::Error)?);
        match (kind, outputs.last_mut()) {
            (Some(kind), _) => outputs.push(MuxOutput { kind, parts: vec![bytes], start, duration }),
            (None, Some(output)) => output.parts.push(bytes),
            // The muxer always sends a header first.
            (None, None) => return Err(gst::FlowError::Error),
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::test_clip::Clip;

    async fn mux(b_pictures: u32) -> (Vec<AccessUnit>, Vec<MuxOutput>) {
        let units = Clip { width: 320, height: 240, fps: 25, pictures: 100, group: 25, b_pictures }.encode();
        let (mut pipeline, mut receiver) = CmafPipeline::start(&units[0].video).await.unwrap();
        {
            let (feeder, _failed) = pipeline.split();
            for unit in &units {
                feeder.push(unit).await.unwrap();
            }
            feeder.end();
        }
        let mut outputs = Vec::new();
        let all = async {
            while let Some(output) = receiver.recv().await {
                outputs.push(output);
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
        pipeline.stop().await;
        (units, outputs)
    }

    #[tokio::test]
    async fn every_group_becomes_one_fragment_of_exact_duration() {
        for b_pictures in [0, 2] {
            let (units, outputs) = mux(b_pictures).await;
            assert_eq!(units[0].video.reorder.is_none_or(|n| n > 0), b_pictures > 0);
            let kinds: Vec<_> = outputs.iter().map(|output| output.kind).collect();
            assert_eq!(
                kinds,
                [MuxKind::Init, MuxKind::Fragment, MuxKind::Fragment, MuxKind::Fragment, MuxKind::Fragment]
            );
            for (i, output) in outputs[1..].iter().enumerate() {
                let (start, duration) = (output.start.as_millis(), output.duration.as_millis());
                // The last picture's duration is a guess of the muxer.
                assert!(
                    start.abs_diff(i as u128 * 1000) <= 1 && (duration.abs_diff(1000) <= 1 || i == 3),
                    "{start} {duration}"
                );
            }
            let media: usize = outputs[1..].iter().flat_map(|output| &output.parts[1..]).map(Bytes::len).sum();
            assert_eq!(media, units.iter().map(|unit| unit.data.len()).sum::<usize>());
        }
    }
}
