//! Which renditions a stream has, for its multivariant playlist. Pure.

use rsm_shared::stream::rendition::Rendition;

use super::HlsStream;
use crate::hls::multivariant::{AudioRendition, Multivariant, Variant};
use crate::media::parameters::{VideoCodec, VideoParameters};
use crate::pipeline::form::form;

/// Slower cameras are sometimes faster: what lower renditions declare must hold then, too.
const LEAST_FPS: f64 = 1.0;

/// `video` is the source as it is made, with `bandwidth` peak and average bits per second.
pub(super) fn multivariant(
    stream: &HlsStream,
    video: &VideoParameters,
    (peak, average): (u64, u64),
    audio: Option<AudioRendition>,
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
