//! The demanded sizes of a stream's frames. Pure.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::jpeg_width::JpegWidth;
use rsm_shared::stream::spec::JpegParams;

/// One size of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The step of the ladder; `None` for the stream's own.
    pub width: Option<JpegWidth>,
    pub params: JpegParams,
}

/// All demanded sizes: the stream's own size, and the seven steps of the ladder at most.
pub fn sizes(demand: &Demand) -> Vec<Size> {
    let own = demand.jpeg.map(|params| Size { width: None, params });
    let scaled = demand.scaled.into_iter().flat_map(|scaled| {
        let (max_fps, quality) = (scaled.max_fps, scaled.quality);
        let at = move |max_width| JpegParams { max_fps, max_width, quality };
        scaled.widths.iter().map(move |width| Size { width: Some(width), params: at(width.pixels()) })
    });
    own.into_iter().chain(scaled).collect()
}

/// Numbers of frames of each width, for the whole life of the claim, over all pipelines. One entry for each
/// width at most.
#[derive(Debug, Default)]
pub(super) struct FrameNumbers(Mutex<BTreeMap<Option<JpegWidth>, u64>>);

impl FrameNumbers {
    /// The number of the next frame of that width, from 1.
    pub fn next(&self, width: Option<JpegWidth>) -> u64 {
        let mut numbers = self.0.lock();
        let number = numbers.entry(width).or_default();
        *number += 1;
        *number
    }

    /// Frames of all widths.
    pub fn total(&self) -> u64 {
        self.0.lock().values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::demand::ScaledJpeg;

    #[test]
    fn only_what_is_wanted_is_a_size_each_with_its_own_bounds() {
        let jpeg = JpegParams { max_fps: 25, max_width: 1280, quality: 85 };
        let widths = JpegWidth::all().filter(|width| [320, 640].contains(&width.pixels())).collect();
        let scaled = ScaledJpeg { widths, max_fps: 5, quality: 70 };
        let wall = Demand { scaled: Some(scaled), ..Demand::default() };
        let both = Demand { jpeg: Some(jpeg), ..wall };
        let pixels = |demand| -> Vec<_> {
            let sizes = sizes(&demand).into_iter();
            sizes.map(|size| (size.width.map(JpegWidth::pixels), size.params.max_width, size.params.max_fps)).collect()
        };
        assert_eq!(pixels(both), [(None, 1280, 25), (Some(320), 320, 5), (Some(640), 640, 5)]);
        assert_eq!(pixels(wall), [(Some(320), 320, 5), (Some(640), 640, 5)]);
        assert_eq!(pixels(Demand { hls: true, ..Demand::default() }), []);
    }

    #[test]
    fn each_width_counts_for_itself() {
        let (numbers, tile) = (FrameNumbers::default(), JpegWidth::exactly(320));
        assert_eq!([None, tile, tile, None, None].map(|width| numbers.next(width)), [1, 1, 2, 2, 3]);
        assert_eq!(numbers.total(), 5);
    }
}
