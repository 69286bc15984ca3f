//! Pictures of any codec to JPEG pictures, decoded once, bounded in rate and size before anything is encoded.
//!
//! ```text
//! units -> appsrc ! decoder --probe--> videoconvertscale ! capsfilter --probe--> appsink
//!                              |                                         |          |
//!                              |                                         |          +-- for each size whose turn it is:
//!                              |                                         |              videoconvertscale ! capsfilter
//!                              |                                         |              ! jpegenc -> newest
//!                              |                                         +-- stretches video levels to JPEG's
//!                              +-- drops the backlog and what is over all rates; sets the largest size on the caps
//! ```
//!
//! One thread runs it all: the sizes have no threads, the appsink hands them the picture one after the other. They come
//! and go while the decoder runs on. The rate is limited in the probe, not by `videorate`, which would move the pictures
//! onto a grid of its own: the time of a picture is the key to when it was captured. `videoconvertscale` does nothing to
//! a picture that is I420 and of the right size already, so a single size costs no more than a chain would.

mod branch;
mod frame;
mod gate;
mod in_flight;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use rsm_shared::stream::spec::JpegParams;
use std::sync::{Arc, Weak};

use super::feed::Feed;
use super::hardware::Hardware;
use super::run::Running;
use super::{PipelineError, caps, decoder, elements, levels};
use branch::Branch;
pub use frame::{JpegFrame, NewestJpeg};
use gate::{Gate, Verdict};
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::VideoParameters;

/// One decoder, and the sizes that are made of its pictures.
#[derive(Debug)]
pub struct JpegPipeline {
    running: Running,
    feeder: JpegFeeder,
}

/// The input side, and the sizes, to be used beside the output side.
#[derive(Debug)]
pub struct JpegFeeder {
    feed: Feed,
    pipeline: gst::glib::WeakRef<gst::Pipeline>,
    gate: Arc<Gate>,
}

/// One size that is being made.
#[derive(Clone, Debug)]
pub struct JpegEncoder(Weak<Branch>);

impl JpegPipeline {
    /// Builds and starts a decoder for `video`. Nothing is encoded before a size is added.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start.
    pub async fn start(video: &VideoParameters, hardware: &Hardware) -> Result<Self, PipelineError> {
        let (feed, gate) = (Feed::new(video, false), Arc::<Gate>::default());
        let decoder = decoder::chain(hardware.decoder(video.codec), video.codec)?;
        let pipeline = build(&feed, decoder, &gate)?;
        let weak = pipeline.downgrade();
        let running = Running::start(pipeline).await?;
        Ok(Self { running, feeder: JpegFeeder { feed, pipeline: weak, gate } })
    }

    /// The input and the sizes, and a future that resolves when the pipeline fails.
    pub fn split(&mut self) -> (&JpegFeeder, impl Future<Output = PipelineError> + '_) {
        let Self { running, feeder } = self;
        (feeder, async { running.news().await.into() })
    }

    /// To Null, with all sizes.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

impl JpegFeeder {
    /// Hands over one unit; the first must be a key frame. `shown` is false for a unit that is only needed to decode
    /// the pictures behind it. Cancel safe: then it was not handed over.
    ///
    /// # Errors
    /// [`PipelineError`] when the decoder takes nothing any more.
    pub async fn push(&self, unit: &AccessUnit, shown: bool) -> Result<(), PipelineError> {
        self.gate.feeds(unit, shown);
        self.feed.push(unit, unit.pts).await
    }

    /// From the next picture on frames are made with these bounds, too; at most eight at a time. The others go on.
    ///
    /// # Errors
    /// [`PipelineError`] when an element is missing or refuses to start, or the pipeline is gone.
    pub fn add(&self, params: JpegParams) -> Result<(JpegEncoder, NewestJpeg), PipelineError> {
        let pipeline = self.pipeline.upgrade().ok_or(PipelineError::Ended)?;
        let (branch, newest) = Branch::new(params)?;
        pipeline.add(&branch.bin).map_err(PipelineError::build)?;
        // Starts no thread and waits for none, so it is done here.
        branch.bin.sync_state_with_parent().map_err(PipelineError::build)?;
        let branch = Arc::new(branch);
        let encoder = JpegEncoder(Arc::downgrade(&branch));
        self.gate.add(branch)?;
        Ok((encoder, newest))
    }

    /// Ends one size; the others go on. Waits for the picture that it is encoding.
    pub async fn remove(&self, encoder: &JpegEncoder) {
        let (Some(branch), Some(pipeline)) = (encoder.0.upgrade(), self.pipeline.upgrade()) else { return };
        self.gate.remove(&branch);
        let ended = tokio::task::spawn_blocking(move || {
            branch.end();
            // It is in there: it was added.
            let _ = pipeline.remove(&branch.bin);
        });
        // Fails only when the runtime ends.
        let _ = ended.await;
    }
}

impl JpegEncoder {
    /// Quality of the frames from now on, 1 to 100.
    pub fn set_quality(&self, value: u32) {
        if let Some(branch) = self.0.upgrade() {
            branch.set_quality(value);
        }
    }
}

fn build(feed: &Feed, decoder: Vec<gst::Element>, gate: &Arc<Gate>) -> Result<gst::Pipeline, PipelineError> {
    let pipeline = gst::Pipeline::new();
    let scale = elements::make("videoconvertscale")?;
    let size = elements::make("capsfilter")?;
    let shown = gate.clone();
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        shown.show(&sample).map(|()| gst::FlowSuccess::Ok)
    });
    let sink = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .callbacks(callbacks.build())
        .build();
    let src: &gst::Element = feed.appsrc().upcast_ref();
    let decoded = decoder.last().and_then(|decoder| decoder.static_pad("src"));
    let decoded = decoded.ok_or_else(|| PipelineError::build("the decoder has no src pad"))?;
    let taken = sink.static_pad("sink").ok_or_else(|| PipelineError::build("the appsink has no sink pad"))?;
    let mut chain = vec![src.clone()];
    chain.extend(decoder);
    chain.extend([scale, size.clone(), sink.upcast()]);
    pipeline.add_many(&chain).map_err(PipelineError::build)?;
    gst::Element::link_many(&chain).map_err(PipelineError::build)?;
    watch_decoded(&decoded, gate.clone(), size.downgrade());
    take_as_they_are(&taken);
    let scaled = size.static_pad("src").ok_or_else(|| PipelineError::build("the capsfilter has no src pad"))?;
    levels::stretch_behind(&scaled);
    Ok(pipeline)
}

fn watch_decoded(pad: &gst::Pad, gate: Arc<Gate>, size: gst::glib::WeakRef<gst::Element>) {
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    // On the chain's own thread, where no picture is between the scaler and the capsfilter.
    let resize = move |to: (u32, u32)| {
        if let Some(size) = size.upgrade() {
            size.set_property("caps", caps::i420(to));
        }
    };
    // The probe goes with the pad; nothing removes it earlier.
    let _ = pad.add_probe(mask, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => match gate.judge(buffer.pts()) {
                Verdict::LeaveOut => return gst::PadProbeReturn::Drop,
                Verdict::Show => {}
                Verdict::ShowAt(size) => resize(size),
            },
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Caps(caps) = event.view()
                    && let Some(size) = gate.decoded(caps.caps())
                {
                    resize(size);
                }
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

/// Answers for the appsink as the elements behind it do: pictures need not be copied into rows without padding.
fn take_as_they_are(pad: &gst::Pad) {
    // The probe goes with the pad; nothing removes it earlier.
    let _ = pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Query(query)) = &mut info.data
            && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
        {
            allocation.add_allocation_meta::<gst_video::VideoMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests;
