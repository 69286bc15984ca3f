//! Where viewers and players say what they want, and who is woken by it.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::spec::JpegParams;
use tokio::sync::Notify;

use crate::directory::{Directory, Entry, JpegViewer};

/// Whether anything is wanted does not depend on the size of the JPEG.
const ANY_SIZE: JpegParams = JpegParams { max_fps: 1, max_width: 64, quality: 1 };

/// Registers wishes in the directory. The first wish for a stream wakes the reconciler, so that a cold stream starts
/// at once; every change wakes the task that tells workers. Cheap to clone.
#[derive(Clone)]
pub struct WishDesk {
    directory: Directory,
    changed: Arc<Notify>,
}

/// A JPEG viewer's wish; it ends when dropped.
pub struct ViewerWish {
    viewer: Option<JpegViewer>,
    changed: Arc<Notify>,
}

impl Drop for ViewerWish {
    fn drop(&mut self) {
        self.viewer.take();
        self.changed.notify_one();
    }
}

impl WishDesk {
    /// For the streams of `directory`.
    pub fn new(directory: Directory) -> Self {
        Self { directory, changed: Arc::new(Notify::new()) }
    }

    /// Wakes when wishes have changed.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// A viewer of frames came.
    pub fn jpeg_viewer(&self, entry: &Arc<Entry>) -> ViewerWish {
        let viewer = self.telling(entry, || entry.wishes.jpeg_viewer(entry));
        ViewerWish { viewer: Some(viewer), changed: self.changed.clone() }
    }

    /// Somebody wants a frame within `hold`.
    pub fn want_jpeg(&self, entry: &Entry, hold: Duration) {
        self.telling(entry, || entry.wishes.want_jpeg(hold));
    }

    /// Somebody wants HLS for `hold` from now. Whether HLS was wanted already.
    pub fn want_hls(&self, entry: &Entry, hold: Duration) -> bool {
        let before = entry.wishes.demand(ANY_SIZE).hls;
        self.telling(entry, || entry.wishes.want_hls(hold));
        before
    }

    fn telling<T>(&self, entry: &Entry, wish: impl FnOnce() -> T) -> T {
        let before = entry.wishes.demand(ANY_SIZE);
        let done = wish();
        if before != entry.wishes.demand(ANY_SIZE) {
            self.changed.notify_one();
        }
        if !before.any() {
            self.directory.wake.notify_one();
        }
        done
    }
}
