//! The slot that the viewers of one stream in one width share: the newest frame, and events of the stream. It is one place
//! to read and one thing to wait for, so that a wake-up costs little however many viewers there are.

use std::sync::Arc;

use tokio::sync::watch;

use super::frame::Frame;

/// Reason why all viewers of a stream are disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    Stopped,
    Removed,
}

/// Content of a slot.
#[derive(Clone, Default)]
pub struct Slot {
    /// The newest frame.
    pub frame: Option<Arc<Frame>>,
    /// Set once, when the stream is stopped or removed.
    pub end: Option<StreamEnd>,
    /// Set once, when the process begins to say goodbye.
    pub closing: bool,
    /// Grows when the stream's state or its reason changes.
    pub news: u64,
}

/// A reader of a slot. While there is any, the stream stays subscribed.
pub type Watching = watch::Receiver<Slot>;

/// The newest frame that `fits`, or why none will come; waits for either.
pub async fn newest(watching: &mut Watching, fits: impl Fn(&Frame) -> bool) -> Result<Arc<Frame>, Option<StreamEnd>> {
    let there = |slot: &Slot| slot.end.is_some() || slot.frame.as_ref().is_some_and(|frame| fits(frame));
    match watching.wait_for(there).await {
        Ok(slot) => match (&slot.frame, slot.end) {
            (_, Some(end)) => Err(Some(end)),
            (Some(frame), None) => Ok(frame.clone()),
            (None, None) => Err(None),
        },
        // The feed is gone.
        Err(_) => Err(None),
    }
}
