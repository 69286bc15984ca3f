//! The files of streams that ended: they stay for a while, then they are removed.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::segment_dir::SegmentDir;

/// The files of a stream that ended stay this long for players in the middle of a fetch, and for a hand-off.
const LINGER: Duration = Duration::from_secs(10);

/// Removes directories some time after their stream ended; at the end of the process at once.
#[derive(Clone, Debug, Default)]
pub struct Lingering {
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Lingering {
    /// Removes every directory that still lingers, now.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until none lingers; a few seconds, when no stream ends any more.
    pub async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Removes the remaining files of a stream after `LINGER`. Every playlist must have been removed before. One waiting task
    /// per ended stream.
    pub async fn retire(&self, dir: SegmentDir) {
        if !dir.exists().await {
            return;
        }
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            // Either way it is time.
            let _ = tokio::time::timeout(LINGER, closing.cancelled()).await;
            dir.remove().await;
        });
    }
}
