//! The live wish of viewers for a stream's outputs.

use serde::{Deserialize, Serialize};

use super::rendition::RenditionSet;
use super::spec::JpegParams;

/// Which outputs are wanted now. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// JPEG frames, at most this fast, wide and fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jpeg: Option<JpegParams>,
    /// HLS segments.
    #[serde(default)]
    pub hls: bool,
    /// Renditions of the HLS that are encoded only while somebody watches them. Nothing without `hls`.
    #[serde(default, skip_serializing_if = "RenditionSet::is_empty")]
    pub renditions: RenditionSet,
}

impl Demand {
    /// Whether anything is wanted.
    pub fn any(&self) -> bool {
        self.jpeg.is_some() || self.hls
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
        Self { jpeg, hls: self.hls || other.hls, renditions: self.renditions.union(other.renditions) }
    }
}
