//! Where viewers and players say what they want, and who is woken by it.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::spec::JpegParams;
use tokio::sync::Notify;

use crate::streams::{Stream, Streams};
use crate::wishes::JpegViewer;

/// Whether anything is wanted does not depend on the size of the JPEG.
const ANY_SIZE: JpegParams = JpegParams { max_fps: 1, max_width: 64, quality: 1 };

/// Registers wishes. The first wish for a stream wakes whoever starts streams in this process, so that a cold one
/// starts at once; every change wakes the task that tells workers. Cheap to clone.
#[derive(Clone)]
pub struct WishDesk {
    streams: Streams,
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
    /// For the streams of `streams`.
    pub fn new(streams: Streams) -> Self {
        Self { streams, changed: Arc::new(Notify::new()) }
    }

    /// Wakes when wishes have changed.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// A viewer of frames in the stream's own width, or in that one, came.
    pub fn jpeg_viewer(&self, stream: &Arc<Stream>, width: Option<JpegWidth>) -> ViewerWish {
        let viewer = self.telling(stream, || stream.wishes.jpeg_viewer(stream, width));
        ViewerWish { viewer: Some(viewer), changed: self.changed.clone() }
    }

    /// Somebody wants a frame of the stream's own width, or of that one, within `hold`.
    pub fn want_jpeg(&self, stream: &Stream, width: Option<JpegWidth>, hold: Duration) {
        self.telling(stream, || stream.wishes.want_jpeg(width, hold));
    }

    /// Somebody wants HLS for `hold` from now. Whether HLS was wanted already.
    pub fn want_hls(&self, stream: &Stream, hold: Duration) -> bool {
        let before = stream.wishes.demand(ANY_SIZE).hls;
        self.telling(stream, || stream.wishes.want_hls(hold));
        before
    }

    /// Somebody wants that rendition of HLS for `hold` from now.
    pub fn want_rendition(&self, stream: &Stream, rendition: Rendition, hold: Duration) {
        self.telling(stream, || stream.wishes.want_rendition(rendition, hold));
    }

    fn telling<T>(&self, stream: &Stream, wish: impl FnOnce() -> T) -> T {
        let before = stream.wishes.demand(ANY_SIZE);
        let done = wish();
        if before != stream.wishes.demand(ANY_SIZE) {
            self.changed.notify_one();
        }
        if !before.any() {
            self.streams.wake.notify_one();
        }
        done
    }
}
