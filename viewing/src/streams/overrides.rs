//! Settings of a link's frames that differ from the configuration.

use rsm_shared::stream::spec::JpegParams;
use serde::{Deserialize, Serialize};

/// JPEG settings that differ from the configuration's. Stored as a JSON object of the members that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JpegOverrides {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_fps: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_width: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u32>,
}

impl JpegOverrides {
    /// The settings in force.
    pub fn over(self, defaults: JpegParams) -> JpegParams {
        JpegParams {
            max_fps: self.max_fps.unwrap_or(defaults.max_fps),
            max_width: self.max_width.unwrap_or(defaults.max_width),
            quality: self.quality.unwrap_or(defaults.quality),
        }
    }
}
