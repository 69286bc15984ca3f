//! Which decoded pictures are scaled and encoded, and in which sizes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use gstreamer as gst;
use parking_lot::Mutex;

use super::branch::{Branch, Raw};
use super::in_flight::InFlight;
use crate::pipeline::{PipelineError, caps};
use rsm_media::access_unit::AccessUnit;

/// Sizes at a time: the stream's own and the seven steps of the ladder.
const MAX_SIZES: usize = 8;

/// Beside the chain's own thread only its feeder, and callers that add or remove a size, lock it, for moments.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<GateState>);

#[derive(Debug, Default)]
struct GateState {
    /// Decoded pictures before this time are not shown.
    show_from: Duration,
    in_flight: InFlight,
    /// At most [`MAX_SIZES`].
    branches: Vec<Arc<Branch>>,
    decoded: Option<Shape>,
    /// The size that decoded pictures are scaled to for all: the largest one that is wanted.
    common: Option<(u32, u32)>,
    /// On its way from the decoder to the sizes, all on one thread.
    picture: Option<Picture>,
}

/// Properties of decoded pictures.
#[derive(Clone, Copy, Debug)]
struct Shape {
    size: (u32, u32),
    /// Width over height of a pixel.
    par: (u32, u32),
}

#[derive(Debug)]
struct Picture {
    decoded_at: Instant,
    captured: Option<SystemTime>,
    shape: Option<Shape>,
    wanted_by: Vec<Arc<Branch>>,
}

/// Decision about a decoded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    LeaveOut,
    Show,
    /// From now on scaled to this size first.
    ShowAt((u32, u32)),
}

impl Gate {
    /// A unit goes to the decoder.
    pub fn feeds(&self, unit: &AccessUnit, shown: bool) {
        let mut state = self.0.lock();
        if shown {
            state.in_flight.add(unit);
        } else {
            state.show_from = state.show_from.max(unit.pts + Duration::from_nanos(1));
        }
    }

    pub fn add(&self, branch: Arc<Branch>) -> Result<(), PipelineError> {
        let mut state = self.0.lock();
        if state.branches.len() >= MAX_SIZES {
            return Err(PipelineError::build("too many sizes of frames"));
        }
        state.branches.push(branch);
        Ok(())
    }

    pub fn remove(&self, branch: &Arc<Branch>) {
        self.0.lock().branches.retain(|other| !Arc::ptr_eq(other, branch));
    }

    /// Takes the decoder's caps; returns the size that its pictures are scaled to, if that is new.
    pub fn decoded(&self, caps: &gst::CapsRef) -> Option<(u32, u32)> {
        let mut state = self.0.lock();
        state.decoded = Shape::of(caps);
        state.resize()
    }

    /// A picture came out of the decoder.
    pub fn judge(&self, pts: Option<gst::ClockTime>) -> Verdict {
        let mut state = self.0.lock();
        let Some(pts) = pts.map(Duration::from) else { return Verdict::LeaveOut };
        let captured = state.in_flight.take(pts);
        if pts < state.show_from {
            return Verdict::LeaveOut;
        }
        let wanted_by: Vec<_> = state.branches.iter().filter(|branch| branch.admits(pts)).cloned().collect();
        if wanted_by.is_empty() {
            return Verdict::LeaveOut;
        }
        let resized = state.resize();
        state.picture = Some(Picture { decoded_at: Instant::now(), captured, shape: state.decoded, wanted_by });
        resized.map_or(Verdict::Show, Verdict::ShowAt)
    }

    /// Encodes the picture that was judged last, scaled to the common size, in each size whose turn it is.
    pub fn show(&self, scaled: &gst::Sample) -> Result<(), gst::FlowError> {
        let Some(picture) = self.0.lock().picture.take() else { return Ok(()) };
        let (Some(buffer), Some(caps), Some(segment)) = (scaled.buffer_owned(), scaled.caps_owned(), scaled.segment())
        else {
            return Ok(());
        };
        let Some(shape) = picture.shape.or_else(|| Shape::of(&caps)) else { return Err(gst::FlowError::NotNegotiated) };
        let (captured, shared, segment) = (picture.captured, picture.decoded_at.elapsed(), segment.clone());
        let raw = Raw { buffer, caps, segment, captured, shared };
        for (i, branch) in picture.wanted_by.iter().enumerate() {
            let target = shape.scaled(branch.params.max_width);
            // Widths that are not below the picture's own come to the same.
            branch.aim(&raw, target);
            match picture.wanted_by[..i].iter().find(|other| branch.is_like(other, &raw)) {
                Some(twin) => branch.take_from(twin),
                None => branch.encode(&raw)?,
            }
        }
        Ok(())
    }
}

impl GateState {
    fn resize(&mut self) -> Option<(u32, u32)> {
        let largest = self.branches.iter().map(|branch| branch.params.max_width).max()?;
        let common = self.decoded?.scaled(largest);
        (self.common.replace(common) != Some(common)).then_some(common)
    }
}

impl Shape {
    fn of(caps: &gst::CapsRef) -> Option<Self> {
        let structure = caps.structure(0)?;
        let side = |name| structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
        let par = structure.get::<gst::Fraction>("pixel-aspect-ratio").unwrap_or(gst::Fraction::new(1, 1));
        let par = (u32::try_from(par.numer()).unwrap_or(1), u32::try_from(par.denom()).unwrap_or(1));
        Some(Self { size: (side("width")?, side("height")?), par })
    }

    fn scaled(self, max_width: u32) -> (u32, u32) {
        caps::jpeg_size(self.size, self.par, max_width)
    }
}
