//! The head of an output's pipeline: an appsrc that never holds more than its bound and never blocks a task.

use std::sync::Arc;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use tokio::sync::Notify;

use super::caps;
use super::error::{FEED_DEADLINE, PipelineError};
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::VideoParameters;

/// Most bytes waiting inside an appsrc; one unit more may be there. The rest waits in the hub's queue, which knows
/// how to drop.
const MAX_WAITING_BYTES: u64 = 4 * 1024 * 1024;
/// Most units waiting inside an appsrc, where a newer one cannot overtake them. Enough for the pipeline's thread not
/// to run dry before [`LOOK_AGAIN`] at 400 pictures per second.
const MAX_WAITING_UNITS: u64 = 8;
/// The wake-up comes from `need-data`, which fires when the queue is empty; looking again covers all between.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Feeds one pipeline.
#[derive(Debug)]
pub(super) struct Feed {
    appsrc: gst_app::AppSrc,
    room: Arc<Notify>,
    with_dts: bool,
}

impl Feed {
    /// An appsrc for the pictures of `video`. Not live: nothing here waits for a clock, pictures go through as they come.
    /// `with_dts` sets the decoding time to the presentation time, which is right without reordering.
    pub fn new(video: &VideoParameters, with_dts: bool) -> Self {
        Self::of(&caps::pictures(video), with_dts)
    }

    /// An appsrc with these caps.
    pub fn of(caps: &gst::Caps, with_dts: bool) -> Self {
        let room = Arc::new(Notify::new());
        let wake = room.clone();
        let appsrc = gst_app::AppSrc::builder()
            .caps(caps)
            .format(gst::Format::Time)
            .stream_type(gst_app::AppStreamType::Stream)
            .is_live(false)
            .block(false)
            .max_bytes(MAX_WAITING_BYTES)
            .callbacks(gst_app::AppSrcCallbacks::builder().need_data(move |_, _| wake.notify_one()).build())
            .build();
        Self { appsrc, room, with_dts }
    }

    pub fn appsrc(&self) -> &gst_app::AppSrc {
        &self.appsrc
    }

    /// Hands over one unit at the pipeline's own time `pts`, once there is room.
    ///
    /// # Errors
    /// When the pipeline takes nothing any more.
    pub async fn push(&self, unit: &AccessUnit, pts: Duration) -> Result<(), PipelineError> {
        let has_room = async {
            while self.appsrc.current_level_bytes() >= MAX_WAITING_BYTES
                // In GStreamer since 1.20, older than the muxer's first release.
                || self.appsrc.property::<u64>("current-level-buffers") >= MAX_WAITING_UNITS
            {
                // Either way the level is read again.
                let _ = tokio::time::timeout(LOOK_AGAIN, self.room.notified()).await;
            }
        };
        tokio::time::timeout(FEED_DEADLINE, has_room).await.map_err(|_| PipelineError::Stuck)?;
        let mut buffer = gst::Buffer::from_slice(unit.data.clone());
        if let Some(buffer) = buffer.get_mut() {
            let pts = gst::ClockTime::try_from(pts).ok();
            buffer.set_pts(pts);
            if self.with_dts {
                buffer.set_dts(pts);
            }
            if unit.is_picture() && !unit.is_key {
                buffer.set_flags(gst::BufferFlags::DELTA_UNIT);
            }
        }
        self.appsrc.push_buffer(buffer).map(drop).map_err(|_| PipelineError::Ended)
    }

    /// Ends the input: the pipeline finishes the units that it has.
    pub fn end(&self) {
        // Refused only when the pipeline is already stopping.
        let _ = self.appsrc.end_of_stream();
    }
}
