//! The viewers' demand for the outputs of a stream, until the stream ends.

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::rendition::Rendition;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::jpeg::size::{Size, sizes};

/// The live demand of viewers, and the end of the stream, which ends every demand.
#[derive(Clone)]
pub struct OutputDemand {
    pub demand: watch::Receiver<Demand>,
    pub cancel: CancellationToken,
    /// HLS is made without viewers, too.
    pub hls_always: bool,
}

impl OutputDemand {
    /// The sizes of JPEG frames that are demanded now.
    pub fn sizes(&self) -> Vec<Size> {
        sizes(&self.demand.borrow())
    }

    /// Waits until HLS is demanded; `false` when the stream ends first. Cancel safe, as all waits here.
    pub async fn until_hls(&mut self) -> bool {
        let always = self.hls_always;
        self.until(|demand| always || demand.hls).await
    }

    /// Waits until HLS is not demanded, or the stream ends.
    pub async fn until_no_hls(&mut self) {
        let always = self.hls_always;
        self.until(|demand| !always && !demand.hls).await;
    }

    /// Waits until an encoded rendition of HLS is demanded; `false` when the stream ends first. Without HLS no rendition
    /// is made: its segments begin where the source's do.
    pub async fn until_rendition(&mut self, rendition: Rendition) -> bool {
        let always = self.hls_always;
        self.until(|demand| (always || demand.hls) && demand.renditions.contains(rendition)).await
    }

    /// Waits until that rendition is not demanded, or the stream ends.
    pub async fn until_no_rendition(&mut self, rendition: Rendition) {
        let always = self.hls_always;
        self.until(|demand| !(always || demand.hls) || !demand.renditions.contains(rendition)).await;
    }

    /// Waits until JPEG frames of any size are demanded; `false` when the stream ends first.
    pub async fn until_frames(&mut self) -> bool {
        self.until(Demand::frames).await
    }

    /// Waits until no JPEG frames are demanded, or the stream ends.
    pub async fn until_no_frames(&mut self) {
        self.until(|demand| !demand.frames()).await;
    }

    /// Waits until other sizes of JPEG frames are demanded, or none; `false` when the stream ends first.
    pub async fn until_sizes_are_not(&mut self, now: &[Size]) -> bool {
        self.until(|demand| sizes(demand) != now).await
    }

    /// Waits for `wait`, or until the stream ends.
    pub async fn pause(&self, wait: std::time::Duration) {
        // Either way the pause is over.
        let _ = tokio::time::timeout(wait, self.cancel.cancelled()).await;
    }

    async fn until(&mut self, wanted: impl FnMut(&Demand) -> bool) -> bool {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => false,
            // The sender of the demand is gone: the stream ends, too.
            found = self.demand.wait_for(wanted) => found.is_ok(),
        }
    }
}
