//! The multivariant playlist of a stream: the source, and every rendition that may be demanded. Pure.

use rsm_media::hls::multivariant::{AudioMedia, Multivariant, Variant};
use rsm_media::parameters::{VideoCodec, VideoParameters};
use rsm_shared::stream::rendition::Rendition;

use super::stream::HlsStream;
use crate::pipeline::form::form;

/// Least rate that encoded renditions declare: slow cameras are sometimes faster, and the declaration must hold then.
const LEAST_FPS: f64 = 1.0;

/// `video` is the source as it is made, with `bandwidth` peak and average bits per second.
pub(super) fn multivariant(
    stream: &HlsStream,
    video: &VideoParameters,
    (peak, average): (u64, u64),
    audio: Option<AudioMedia>,
) -> Multivariant {
    let fps = stream.report.fps().or(video.declared_fps);
    let source = Variant {
        rendition: Rendition::Source,
        codecs: video.rfc6381.clone(),
        width: video.width,
        height: video.height,
        frame_rate: fps,
        range: None,
        peak,
        average,
    };
    let also = (video.codec == VideoCodec::H265).then_some(Rendition::H264);
    let encoded = also.into_iter().chain(stream.params.renditions.iter()).filter_map(|rendition| {
        let form = form(video, fps, rendition)?;
        Some(Variant {
            rendition,
            codecs: form.rfc6381,
            width: form.width,
            height: form.height,
            frame_rate: fps.map(|fps| fps.max(LEAST_FPS)),
            range: None,
            peak: form.peak_bps,
            average: form.average_bps,
        })
    });
    Multivariant { variants: std::iter::once(source).chain(encoded).collect(), audio }
}
