//! One camera: its fault, and the pipeline it feeds while somebody watches.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app::{AppSrc, AppSrcCallbacks};

use crate::{clip::Clip, command::Fault};

/// Pictures that may wait before the payloader. Half a second at 60 fps; a pipeline further behind skips to the next
/// key frame.
const QUEUE: u64 = 30;
/// Least room for [`QUEUE`] pictures by bytes, appsrc's other bound. One 1080p key frame at 50 Mbit/s has about 1 MB.
const QUEUE_BYTES: u64 = 16 << 20;
/// Distance between the stamps and the pipeline's running time beyond which the stamps are set anew. Wall clock
/// slewing stays far below; a step of the wall clock and a paused pipeline do not.
const MAX_DRIFT: gst::ClockTime = gst::ClockTime::from_mseconds(100);

#[derive(Default)]
pub struct Camera {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fault: Fault,
    feed: Option<Feed>,
    frames_sent: u64,
    frames_dropped: u64,
}

/// The pipeline of the clients that are there now.
struct Feed {
    source: AppSrc,
    playing: bool,
    /// The last picture sent; `None` makes the next one wait for a key frame.
    last: Option<Sent>,
}

#[derive(Clone, Copy)]
struct Sent {
    due: Duration,
    pts: gst::ClockTime,
}

/// What `status` tells about one camera.
pub struct Snapshot {
    pub fault: Fault,
    pub media: bool,
    pub frames_sent: u64,
    pub frames_dropped: u64,
}

impl Camera {
    fn state(&self) -> MutexGuard<'_, State> {
        // Plain data without invariants between its fields: still true after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        Snapshot {
            fault: state.fault,
            media: state.feed.is_some(),
            frames_sent: state.frames_sent,
            frames_dropped: state.frames_dropped,
        }
    }

    pub fn fault(&self) -> Fault {
        self.state().fault
    }

    pub fn set_fault(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        // After a freeze the pictures between are missing, so the next one must be a key frame.
        if let Some(feed) = &mut state.feed {
            feed.last = None;
        }
    }

    /// Takes over the source of a new pipeline.
    ///
    /// At once it gets the parameter sets: the server answers DESCRIBE when the payloader has seen data, and so it
    /// needs no picture for that. Pictures follow after PLAY, from a key frame on and each when it is due; anything
    /// pushed earlier would reach the client late.
    pub fn attach(&self, source: AppSrc, clip: &Clip) {
        source.set_caps(Some(&clip.codec.caps()));
        source.set_format(gst::Format::Time);
        source.set_is_live(true);
        source.set_max_bytes(QUEUE_BYTES);
        source.set_property("max-buffers", QUEUE);
        source.set_property_from_str("leaky-type", "upstream");
        let mut primer = Some(clip.parameter_sets(gst::ClockTime::ZERO));
        source.set_callbacks(
            AppSrcCallbacks::builder()
                .need_data(move |source, _| {
                    if let Some(buffer) = primer.take() {
                        // A pipeline that is being torn down refuses, and then nobody waits for the answer.
                        let _ = source.push_buffer(buffer);
                    }
                })
                .build(),
        );
        self.state().feed = Some(Feed { source, playing: false, last: None });
    }

    /// Forgets `source`, unless a newer pipeline has taken its place.
    pub fn detach(&self, source: &AppSrc) {
        let mut state = self.state();
        if state.feed.as_ref().is_some_and(|feed| feed.source == *source) {
            state.feed = None;
        }
    }

    /// Told whenever a client begins or stops playing.
    pub fn set_playing(&self, playing: bool) {
        if let Some(feed) = &mut self.state().feed {
            if !playing {
                feed.last = None;
            }
            feed.playing = playing;
        }
    }

    /// Offers picture `number` (see [`rsm_simulator::schedule`]), which is due now.
    pub fn offer(&self, number: u64, clip: &Clip) {
        let mut state = self.state();
        let State { fault, feed, frames_sent, frames_dropped } = &mut *state;
        let Some(feed) = feed.as_mut().filter(|feed| feed.playing && *fault == Fault::None) else {
            return;
        };
        let index = clip.schedule.clip_frame(number);
        let due = clip.schedule.due(number);
        if feed.last.is_none() && !clip.is_key(index) {
            return;
        }
        // Read before pushing: a leaky appsrc drops without telling.
        let full = feed.source.property::<u64>("current-level-buffers") >= QUEUE;
        let Some(pts) = feed.stamp(due, clip.is_key(index)).filter(|_| !full) else {
            feed.last = None;
            *frames_dropped += 1;
            return;
        };
        match feed.source.push_buffer(clip.frame(index, pts)) {
            Ok(_) => {
                feed.last = Some(Sent { due, pts });
                *frames_sent += 1;
            }
            // The pipeline is on its way down and will be detached.
            Err(_) => feed.last = None,
        }
    }
}

impl Feed {
    /// The running time for a picture due at `due` (unix time): as far after the last picture as the schedule says,
    /// so that the feeder's jitter does not reach the RTP time stamps.
    fn stamp(&self, due: Duration, is_key: bool) -> Option<gst::ClockTime> {
        let now = self.source.current_running_time()?;
        let Some(last) = self.last else { return Some(now) };
        let step = due.checked_sub(last.due)?;
        let steady = last.pts + gst::ClockTime::from_nseconds(step.as_nanos() as u64);
        let drift = steady.max(now) - steady.min(now);
        Some(if is_key && drift > MAX_DRIFT { now.max(last.pts + gst::ClockTime::MSECOND) } else { steady })
    }
}
