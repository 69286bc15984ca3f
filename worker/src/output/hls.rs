//! HLS: while it is demanded, the encoded pictures and the audio of a stream as segments on disk, parts in memory, and
//! playlists over them.
//!
//! ```text
//! hub --+--> source_rendition -----> plan -----------+--> rendition_store (source)
//!       |        |                    |              |
//!       |        +--> audio_rendition +--------------+--> rendition_store (audio)
//!       |                             |              |
//!       +--> transcode --> encoded_rendition --------+--> rendition_store (360p ...)   one each, while it is watched
//! ```
//!
//! The path of a segment reads in one direction: `source_rendition` takes a picture from the hub and asks
//! [`rsm_media::hls::planner`] if a segment begins; `video_rendition` makes parts and segments of it with
//! [`rsm_media::hls::picture_track`]; `rendition_store` writes a segment to [`crate::hls::segment_dir`] and lists it in
//! [`crate::hls::live`], from where [`crate::hls::serve`] answers players.
//!
//! The pictures of a camera whose codec browsers play are not touched and take no pipeline. Those of a JPEG camera go
//! through a transcoder first, and everything else reads its output.

mod audio_encoder;
mod audio_rendition;
mod encoded_rendition;
mod error;
mod multivariant;
pub mod plan;
mod rendition_store;
mod source_rendition;
pub mod stream;
mod transcode;
mod video_rendition;

use std::sync::Arc;

use rsm_media::keyless::PATIENCE;
use rsm_media::parameters::VideoCodec;
use rsm_shared::stream::rendition::Rendition;
use tokio::task::JoinSet;

use self::encoded_rendition::EncodedRendition;
use self::error::HlsError;
use self::source_rendition::SourceRendition;
use self::stream::HlsStream;
use self::transcode::Transcoder;
use super::demand::OutputDemand;
use crate::hls::lingering::Lingering;
use crate::hub::Listen;

/// The HLS output of one stream.
pub struct HlsOutput {
    pub stream: HlsStream,
    pub lingering: Lingering,
    pub first_media_sequence: u64,
    pub first_discontinuity_sequence: u64,
}

impl HlsOutput {
    /// Runs until the stream ends; leaves no playlist, and no file after the lingering.
    pub async fn run(self, mut demand: OutputDemand) {
        let stream = Arc::new(self.stream);
        // One small task each: it waits until its rendition is demanded.
        let mut renditions = JoinSet::new();
        for rendition in Rendition::ALL.into_iter().filter(|rendition| rendition.is_encoded()) {
            if rendition == Rendition::H264 || stream.params.renditions.contains(rendition) {
                renditions.spawn(EncodedRendition::new(stream.clone(), rendition).run(demand.clone()));
            }
        }
        let numbers = (self.first_media_sequence, self.first_discontinuity_sequence);
        let mut source = SourceRendition::new(stream.clone(), numbers);
        serve(&stream, &mut source, &mut demand).await;
        source.withdraw().await;
        // The tasks end with the stream; a panic was reported where it happened.
        while renditions.join_next().await.is_some() {}
        stream.report.error(None);
        self.lingering.retire(stream.dir.clone()).await;
    }
}

async fn serve(stream: &HlsStream, source: &mut SourceRendition, demand: &mut OutputDemand) {
    let mut backoff = error::backoff();
    loop {
        tokio::select! {
            biased;
            wanted = demand.until_hls() => if !wanted { return },
            () = source.until_old() => {
                source.sweep().await;
                continue;
            }
        }
        let before = source.sequence();
        stream.waiting.begin(stream.trace.output("HLS"));
        match produce(stream, source, demand).await {
            Ok(()) => {
                // The demand may have ended before the first playlist.
                stream.waiting.end();
                source.withdraw().await;
                backoff.reset();
            }
            Err(error) => {
                withdraw_after(&error, stream, source).await;
                // A failed write takes a number, too.
                if source.sequence() > before + 2 {
                    backoff.reset();
                }
                demand.pause(backoff.pause(rand::random())).await;
            }
        }
    }
}

/// Makes the source rendition while HLS is demanded.
async fn produce(stream: &HlsStream, source: &mut SourceRendition, demand: &mut OutputDemand) -> Result<(), HlsError> {
    let subscription = stream.hub.subscribe(Listen::VideoAndAudio);
    stream.waiting.step("wait for key frame");
    let first = tokio::select! {
        first = subscription.next_key(None, PATIENCE) => first.ok_or(HlsError::NoKeyFrame)?,
        () = demand.until_no_hls() => return Ok(()),
    };
    stream.waiting.step("make first segment");
    if first.video.codec != VideoCodec::Jpeg {
        source.take(Some(first)).await?;
        loop {
            let unit = tokio::select! {
                unit = source.next(&subscription) => unit,
                () = demand.until_no_hls() => return Ok(()),
            };
            source.take(unit).await?;
        }
    }
    let Ok(_permit) = stream.encoders.clone().try_acquire_owned() else { return Err(HlsError::NoEncoder) };
    let transcoder = Transcoder { stream, rendition: Rendition::Source, to: &stream.encoded };
    let transcoding = transcoder.run(subscription, first);
    tokio::pin!(transcoding);
    let subscription = stream.encoded.subscribe(Listen::VideoAndAudio);
    let ended = loop {
        let unit = tokio::select! {
            unit = source.next(&subscription) => unit,
            error = &mut transcoding => break Err(error),
            () = demand.until_no_hls() => break Ok(()),
        };
        if let Err(error) = source.take(unit).await {
            break Err(error);
        }
    };
    stream.encoded.forget();
    ended
}

async fn withdraw_after(error: &HlsError, stream: &HlsStream, source: &mut SourceRendition) {
    stream.report.error(Some(error.to_string()));
    stream.waiting.fail("hls", error);
    stream.metrics.output_failed("hls");
    tracing::warn!(
        repeats = true,
        stream = %stream.slug,
        fence = %stream.fence,
        %error,
        detail = error.detail(),
        "the HLS output failed and is tried again"
    );
    source.withdraw().await;
    if matches!(error, HlsError::Disk(_)) {
        source.make_room().await;
    }
}

#[cfg(test)]
mod tests;
