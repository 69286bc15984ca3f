//! One size of frames: the elements behind the decoder, which all sizes share.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use parking_lot::Mutex;
use rsm_shared::stream::spec::JpegParams;
use tokio::sync::watch;

use super::frame::{JpegFrame, NewestJpeg};
use crate::pipeline::{PipelineError, caps, elements};
use rsm_media::rate_limit::RateLimit;

/// A raw picture that all sizes are made of.
pub(super) struct Raw {
    pub buffer: gst::Buffer,
    pub caps: gst::Caps,
    pub segment: gst::Segment,
    pub captured: Option<SystemTime>,
    /// Time spent on the picture since decoding: scaling to the largest size.
    pub shared: Duration,
}

/// An encoder with a scaler before it. It has no thread: it works on that of its caller.
#[derive(Debug)]
pub(super) struct Branch {
    pub params: JpegParams,
    pub bin: gst::Bin,
    /// Pictures go in here. Of no element, so that it can come and go beside those of others.
    entry: gst::Pad,
    /// Frames come out here. Of no element either: a sink waits for its preroll when the pipeline pauses on its way to
    /// Null, and the picture that it holds up stands inside the sink that all sizes share, which could not pause then.
    exit: gst::Pad,
    size: gst::Element,
    encoder: gst::Element,
    state: Mutex<BranchState>,
    outlet: Arc<Outlet>,
}

#[derive(Debug)]
struct BranchState {
    rate: RateLimit,
    /// The newest caps at the entry.
    caps: Option<gst::Caps>,
    /// The present size of the frames, pixels.
    target: Option<(u32, u32)>,
}

/// Where encoded pictures come out.
#[derive(Debug)]
struct Outlet(Mutex<Now>);

/// State of the picture that is being encoded.
#[derive(Debug)]
struct Now {
    began: Instant,
    captured: Option<SystemTime>,
    /// Frames so far.
    number: u64,
    /// `None` once it is ended: elements live on while a message of theirs waits on the bus.
    newest: Option<watch::Sender<Option<JpegFrame>>>,
}

impl Branch {
    /// To be added to the pipeline of the decoder.
    pub fn new(params: JpegParams) -> Result<(Self, NewestJpeg), PipelineError> {
        let (newest, receiver) = watch::channel(None);
        let now = Now { began: Instant::now(), captured: None, number: 0, newest: Some(newest) };
        let outlet = Arc::new(Outlet(Mutex::new(now)));
        let (scale, size) = (elements::make("videoconvertscale")?, elements::make("capsfilter")?);
        let encoder = elements::make("jpegenc")?;
        encoder.set_property("quality", quality(params.quality));
        let bin = gst::Bin::new();
        let chain = [scale.clone(), size.clone(), encoder.clone()];
        bin.add_many(&chain).map_err(PipelineError::build)?;
        gst::Element::link_many(&chain).map_err(PipelineError::build)?;
        // Events from downstream, which request another format, are of no use here: the caps are fixed.
        let entry = gst::Pad::builder(gst::PadDirection::Src).event_function(|_, _, _| true).build();
        let scaler = scale.static_pad("sink").ok_or_else(|| PipelineError::build("the scaler has no sink pad"))?;
        entry.link(&scaler).map_err(PipelineError::build)?;
        let exit = outlet.clone().pad();
        let encoded = encoder.static_pad("src").ok_or_else(|| PipelineError::build("the encoder has no src pad"))?;
        encoded.link(&exit).map_err(PipelineError::build)?;
        for pad in [&exit, &entry] {
            pad.set_active(true).map_err(PipelineError::build)?;
        }
        let state = BranchState { rate: RateLimit::new(params.max_fps), caps: None, target: None };
        Ok((Self { params, bin, entry, exit, size, encoder, state: Mutex::new(state), outlet }, receiver))
    }

    /// True when the picture at `pts` is encoded in this size.
    pub fn admits(&self, pts: Duration) -> bool {
        self.state.lock().rate.admit(pts)
    }

    /// Quality of the frames from now on, 1 to 100.
    pub fn set_quality(&self, value: u32) {
        self.encoder.set_property("quality", quality(value));
    }

    /// Encodes one picture, after [`Self::aim`]. Returns once that is done.
    ///
    /// # Errors
    /// The error of an element; the errors of its shutdown count as success.
    pub fn encode(&self, raw: &Raw) -> Result<(), gst::FlowError> {
        {
            let mut now = self.outlet.0.lock();
            now.began = Instant::now().checked_sub(raw.shared).unwrap_or_else(Instant::now);
            now.captured = raw.captured;
        }
        match self.entry.push(raw.buffer.clone()) {
            Ok(_) | Err(gst::FlowError::Flushing | gst::FlowError::Eos) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sets the caps of the pictures, and `target` as the frames' size in pixels, when that changes.
    pub fn aim(&self, raw: &Raw, target: (u32, u32)) {
        let mut state = self.state.lock();
        if state.target != Some(target) {
            self.size.set_property("caps", caps::i420(target));
            state.target = Some(target);
        }
        if state.caps.as_ref() == Some(&raw.caps) {
            return;
        }
        // Refused ones end in the flow of the next picture.
        if state.caps.is_none() {
            self.entry.push_event(gst::event::StreamStart::new("pictures"));
        }
        let first = state.caps.replace(raw.caps.clone()).is_none();
        self.entry.push_event(gst::event::Caps::new(&raw.caps));
        if first {
            self.entry.push_event(gst::event::Segment::new(&raw.segment));
        }
    }

    /// True when both make the same frames of a picture.
    pub fn is_like(&self, other: &Self, raw: &Raw) -> bool {
        let at = |branch: &Self| (branch.state.lock().target, branch.encoder.property::<i32>("quality"));
        let shown = other.outlet.newest().is_some_and(|frame| Some(frame.pts) == raw.pts());
        shown && at(self) == at(other)
    }

    /// Takes the frame that `other` just made.
    pub fn take_from(&self, other: &Self) {
        if let Some(frame) = other.outlet.newest() {
            self.outlet.show(|number| JpegFrame { number, encode: Duration::ZERO, ..frame });
        }
    }

    /// Ends it; waits for a picture that is being encoded.
    pub fn end(&self) {
        // Going down does not fail.
        let _ = self.entry.set_active(false);
        let _ = self.bin.set_state(gst::State::Null);
        let _ = self.exit.set_active(false);
        self.unlink();
        self.outlet.0.lock().newest = None;
    }

    /// Separates both pads from the elements of the bin.
    ///
    /// A pad that is unlinked makes its element post a message, and the message is handled by the bin, to which the
    /// bus of its children keeps no reference (`bin_bus_handler` of `gstbin.c`, up to GStreamer 1.28 at least). The
    /// handler counts the change in the bin, so without this reference to the bin that is a write to freed memory:
    /// another thread may release the last one, for messages on the pipeline's bus hold references to the bin, too.
    fn unlink(&self) {
        if let Some(scaler) = self.entry.peer() {
            // Refused only where they are not linked any more.
            let _ = self.entry.unlink(&scaler);
        }
        if let Some(encoded) = self.exit.peer() {
            let _ = encoded.unlink(&self.exit);
        }
    }
}

/// Pads are unlinked while the bin is sure to be there, also when a size is dropped with its pipeline and was not ended.
impl Drop for Branch {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl Raw {
    fn pts(&self) -> Option<Duration> {
        self.buffer.pts().map(Duration::from)
    }
}

impl Outlet {
    /// Where the encoder puts its frames.
    fn pad(self: Arc<Self>) -> gst::Pad {
        gst::Pad::builder(gst::PadDirection::Sink)
            .event_function(|_, _, _| true)
            .chain_function(move |pad, _, buffer| self.take(pad, buffer).map(|()| gst::FlowSuccess::Ok))
            .build()
    }

    fn take(&self, pad: &gst::Pad, buffer: gst::Buffer) -> Result<(), gst::FlowError> {
        // The same thread handed the picture in, so nothing moved in between.
        let (encode, captured) = {
            let now = self.0.lock();
            (now.began.elapsed(), now.captured)
        };
        let caps = pad.current_caps();
        let structure = caps.as_ref().and_then(|caps| caps.structure(0));
        let side = |name| structure.and_then(|s| s.get::<i32>(name).ok()).and_then(|side| u32::try_from(side).ok());
        let (width, height) = (side("width").unwrap_or_default(), side("height").unwrap_or_default());
        let pts = buffer.pts().map_or(Duration::ZERO, Duration::from);
        let data = Bytes::from_owner(buffer.into_mapped_buffer_readable().map_err(|_| gst::FlowError::Error)?);
        self.show(|number| JpegFrame { data, pts, captured, width, height, encode, number });
        Ok(())
    }

    fn newest(&self) -> Option<JpegFrame> {
        self.0.lock().newest.as_ref().and_then(|newest| newest.borrow().clone())
    }

    fn show(&self, frame: impl FnOnce(u64) -> JpegFrame) {
        let mut now = self.0.lock();
        now.number += 1;
        let frame = frame(now.number);
        if let Some(newest) = &now.newest {
            newest.send_replace(Some(frame));
        }
    }
}

fn quality(value: u32) -> i32 {
    // jpegenc takes 0 to 100.
    i32::try_from(value.clamp(1, 100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use super::*;

    const PARAMS: JpegParams = JpegParams { max_fps: 5, max_width: 320, quality: 80 };
    /// Two milliseconds each.
    const ROUNDS: usize = 500;

    /// Counts the pads of `branch` that are unlinked, apart by whether its bin is still referenced then.
    fn count_unlinked(branch: &Branch) -> Arc<[AtomicU32; 2]> {
        let counts = Arc::<[AtomicU32; 2]>::default();
        for pad in [&branch.entry, &branch.exit] {
            let (bin, counts) = (branch.bin.downgrade(), counts.clone());
            pad.connect_unlinked(move |_, _| {
                counts[usize::from(bin.upgrade().is_some())].fetch_add(1, Ordering::SeqCst);
            });
        }
        counts
    }

    #[test]
    fn pads_are_unlinked_while_the_bin_is_referenced() {
        elements::init().unwrap();
        for ends in [true, false] {
            let (branch, _newest) = Branch::new(PARAMS).unwrap();
            let counts = count_unlinked(&branch);
            // A pad may outlive its branch: the thread that pushes holds one.
            let (entry, exit) = (branch.entry.clone(), branch.exit.clone());
            if ends {
                branch.end();
            }
            drop(branch);
            assert_eq!(entry.peer().or(exit.peer()), None, "ended: {ends}");
            let [without, with] = [0, 1].map(|i: usize| counts[i].load(Ordering::SeqCst));
            assert_eq!([without, with], [0, 2], "ended: {ends}");
        }
    }

    #[test]
    fn the_last_reference_to_the_bin_may_go_on_another_thread_at_any_time() {
        elements::init().unwrap();
        // Messages on the bus of a pipeline reference the bin in the same way, and are dropped on any thread.
        let (sender, bins) = mpsc::sync_channel::<gst::Bin>(ROUNDS);
        let other = std::thread::spawn(move || bins.into_iter().for_each(drop));
        let mut unlinked = Vec::new();
        for _ in 0..ROUNDS {
            let (branch, _newest) = Branch::new(PARAMS).unwrap();
            unlinked.push(count_unlinked(&branch));
            sender.send(branch.bin.clone()).unwrap();
            drop(branch);
        }
        drop(sender);
        other.join().unwrap();
        let without = unlinked.iter().filter(|counts| counts[0].load(Ordering::SeqCst) > 0).count();
        assert_eq!(without, 0, "of {ROUNDS} branches");
    }
}
