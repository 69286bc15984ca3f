//! Settings of a link's HLS that differ from the configuration. Stored as a JSON object of the members that differ.

use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::spec::HlsParams;
use serde::{Deserialize, Serialize};

/// HLS settings that differ from the configuration's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HlsOverrides {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_segments: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always_on: Option<bool>,
    /// None of them is a setting, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renditions: Option<RenditionSet>,
}

impl HlsOverrides {
    /// The settings in force.
    pub fn over(self, defaults: HlsParams) -> HlsParams {
        HlsParams {
            segment_seconds: self.segment_seconds.unwrap_or(defaults.segment_seconds),
            window_segments: self.window_segments.unwrap_or(defaults.window_segments),
            part_ms: self.part_ms.unwrap_or(defaults.part_ms),
            always_on: self.always_on.unwrap_or(defaults.always_on),
            renditions: self.renditions.unwrap_or(defaults.renditions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::rendition::Rendition;

    #[test]
    fn what_is_stored_reads_back_and_nothing_else_is_stored() {
        let none = HlsOverrides { renditions: Some(RenditionSet::NONE), ..HlsOverrides::default() };
        let some = HlsOverrides {
            part_ms: Some(0),
            always_on: Some(false),
            renditions: Some(RenditionSet::NONE.with(Rendition::P360)),
            ..HlsOverrides::default()
        };
        for (overrides, text) in [
            (HlsOverrides::default(), "{}"),
            (none, r#"{"renditions":[]}"#),
            (some, r#"{"part_ms":0,"always_on":false,"renditions":["360p"]}"#),
        ] {
            assert_eq!(serde_json::to_string(&overrides).unwrap(), text);
            assert_eq!(serde_json::from_str::<HlsOverrides>(text).unwrap(), overrides);
        }
    }

    #[test]
    fn each_setting_of_a_link_goes_before_the_configurations() {
        let defaults = HlsParams {
            segment_seconds: 2,
            window_segments: 6,
            part_ms: 333,
            always_on: true,
            renditions: RenditionSet::NONE.with(Rendition::P360),
        };
        assert_eq!(HlsOverrides::default().over(defaults), defaults);
        let own = HlsOverrides {
            segment_seconds: Some(4),
            window_segments: Some(9),
            part_ms: Some(0),
            always_on: Some(false),
            renditions: Some(RenditionSet::NONE),
        };
        let want = HlsParams {
            segment_seconds: 4,
            window_segments: 9,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        };
        assert_eq!(own.over(defaults), want);
    }
}
