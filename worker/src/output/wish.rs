//! What is wanted of an output, until its stream ends.

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::rendition::Rendition;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::jpeg::size::{Size, sizes};

/// The live wish of viewers, and the end of the stream, which ends every wish.
#[derive(Clone)]
pub struct Wish {
    pub demand: watch::Receiver<Demand>,
    pub cancel: CancellationToken,
    /// HLS is wanted whether somebody watches or not.
    pub hls_always: bool,
}

impl Wish {
    /// The sizes of JPEG frames that are wanted now.
    pub fn sizes(&self) -> Vec<Size> {
        sizes(&self.demand.borrow())
    }

    /// Until HLS is wanted; `false` when it never will be again.
    pub async fn until_hls(&mut self) -> bool {
        let always = self.hls_always;
        self.until(|demand| always || demand.hls).await
    }

    /// Until HLS is not wanted.
    pub async fn until_no_hls(&mut self) {
        let always = self.hls_always;
        self.until(|demand| !always && !demand.hls).await;
    }

    /// Until an encoded rendition of HLS is wanted; `false` when it never will be again. Without HLS none is: its
    /// segments begin where the source's do.
    pub async fn until_rendition(&mut self, rendition: Rendition) -> bool {
        let always = self.hls_always;
        self.until(|demand| (always || demand.hls) && demand.renditions.contains(rendition)).await
    }

    /// Until that rendition is not wanted.
    pub async fn until_no_rendition(&mut self, rendition: Rendition) {
        let always = self.hls_always;
        self.until(|demand| !(always || demand.hls) || !demand.renditions.contains(rendition)).await;
    }

    /// Until JPEG frames are wanted, of whatever size; `false` when they never will be again.
    pub async fn until_frames(&mut self) -> bool {
        self.until(Demand::frames).await
    }

    /// Until no JPEG frames are wanted, or the stream ends.
    pub async fn until_no_frames(&mut self) {
        self.until(|demand| !demand.frames()).await;
    }

    /// Until other sizes of JPEG frames are wanted, or none; `false` when the stream ends first.
    pub async fn until_sizes_are_not(&mut self, now: &[Size]) -> bool {
        self.until(|demand| sizes(demand) != now).await
    }

    /// Waits, or returns at the end of the stream.
    pub async fn pause(&self, wait: std::time::Duration) {
        // Either way the pause is over.
        let _ = tokio::time::timeout(wait, self.cancel.cancelled()).await;
    }

    async fn until(&mut self, wanted: impl FnMut(&Demand) -> bool) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            // Nobody left to wish is the end, too.
            found = self.demand.wait_for(wanted) => found.is_ok(),
        }
    }
}
