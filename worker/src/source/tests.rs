//! Shared by the tests of this module.

use rsm_shared::stream::camera_link::CameraUrl;
use rsm_shared::stream::rendition::RenditionSet;
use rsm_shared::stream::spec::{HlsParams, StreamSpec, Transport};

/// A stream of `link`.
pub(super) fn spec(link: &str) -> StreamSpec {
    StreamSpec {
        url: CameraUrl::parse(link).unwrap().url,
        credentials: None,
        transport: Transport::Auto,
        tls_insecure: false,
        exclusive: false,
        hls: HlsParams {
            segment_seconds: 1,
            window_segments: 6,
            part_ms: 0,
            always_on: false,
            renditions: RenditionSet::NONE,
        },
    }
}
