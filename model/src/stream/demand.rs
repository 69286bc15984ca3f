//! The live demand of viewers for a stream's outputs.

use serde::{Deserialize, Serialize};

use super::jpeg_width::JpegWidths;
use super::rendition::RenditionSet;
use super::spec::JpegParams;

/// Which outputs are wanted now. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// JPEG frames, at most this fast, wide and fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jpeg: Option<JpegParams>,
    /// JPEG frames of other widths, each encoded once for all viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<ScaledJpeg>,
    /// HLS segments.
    #[serde(default)]
    pub hls: bool,
    /// Renditions of the HLS that are encoded only while a viewer watches them. They have no effect without `hls`.
    #[serde(default, skip_serializing_if = "RenditionSet::is_empty")]
    pub renditions: RenditionSet,
}

/// JPEG frames of several widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaledJpeg {
    /// Never empty in a wish.
    pub widths: JpegWidths,
    /// Frames per second at most.
    pub max_fps: u32,
    /// 1 to 100.
    pub quality: u32,
}

impl Demand {
    /// Returns whether anything is wanted.
    pub fn any(&self) -> bool {
        self.frames() || self.hls
    }

    /// Returns whether JPEG frames are wanted, of whatever width.
    pub fn frames(&self) -> bool {
        self.jpeg.is_some() || self.scaled.is_some_and(|scaled| !scaled.widths.is_empty())
    }

    /// Both wishes met: the larger of each bound.
    pub fn or(self, other: Self) -> Self {
        let jpeg = match (self.jpeg, other.jpeg) {
            (Some(a), Some(b)) => Some(JpegParams {
                max_fps: a.max_fps.max(b.max_fps),
                max_width: a.max_width.max(b.max_width),
                quality: a.quality.max(b.quality),
            }),
            (a, b) => a.or(b),
        };
        let scaled = match (self.scaled, other.scaled) {
            (Some(a), Some(b)) => Some(ScaledJpeg {
                widths: a.widths.union(b.widths),
                max_fps: a.max_fps.max(b.max_fps),
                quality: a.quality.max(b.quality),
            }),
            (a, b) => a.or(b),
        };
        Self { jpeg, scaled, hls: self.hls || other.hls, renditions: self.renditions.union(other.renditions) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::jpeg_width::JpegWidth;

    #[test]
    fn wishes_of_two_relays_are_both_met() {
        let widths = |pixels| JpegWidths::NONE.with(JpegWidth::exactly(pixels).unwrap());
        let wall =
            Demand { scaled: Some(ScaledJpeg { widths: widths(320), max_fps: 5, quality: 80 }), ..Demand::default() };
        let phone =
            Demand { scaled: Some(ScaledJpeg { widths: widths(640), max_fps: 10, quality: 60 }), ..Demand::default() };
        let both = wall.or(phone);
        let scaled = ScaledJpeg { widths: widths(320).union(widths(640)), max_fps: 10, quality: 80 };
        assert_eq!(both, Demand { scaled: Some(scaled), ..Demand::default() });
        assert!(both.any() && both.frames() && both.jpeg.is_none());
        assert!(!Demand { hls: true, ..Demand::default() }.frames());
    }

    #[test]
    fn what_older_readers_and_writers_know_is_as_it_was() {
        let read: Demand = serde_json::from_str(r#"{"jpeg":{"max_fps":5,"max_width":640,"quality":80}}"#).unwrap();
        assert!(read.jpeg.is_some() && read.scaled.is_none());
        assert_eq!(serde_json::to_string(&Demand { hls: true, ..Demand::default() }).unwrap(), r#"{"hls":true}"#);
    }
}
