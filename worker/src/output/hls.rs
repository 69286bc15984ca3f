//! HLS: while it is wanted, the encoded pictures and the sound of a stream as segments on disk, parts in memory, and
//! playlists over them.
//!
//! ```text
//! hub --+--> source maker --> plan ------+---> shelf (source)
//!       |        |                       |
//!       |        +--> listening ---------+---> shelf (audio)
//!       |                                |
//!       +--> transcoder --> rendition maker -> shelf (360p ...)      one each, while somebody watches it
//! ```
//!
//! The pictures of a camera whose codec browsers play are not touched and take no pipeline. Those of a JPEG camera go
//! through a transcoder first, and everything else reads what that makes.

mod aac;
mod listening;
mod offer;
mod rendition;
mod shelf;
mod source;
mod transcode;

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::HlsParams;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::rendition::RenditionMaker;
use self::source::SourceMaker;
use self::transcode::Transcoder;
use super::wish::Wish;
use crate::hls::disk::{DiskError, Lingering};
use crate::hls::live::LiveStream;
use crate::hls::plan::Plan;
use crate::hls::segment_dir::SegmentDir;
use crate::media::hub::{Listen, StreamHub};
use crate::media::keyless::PATIENCE;
use crate::media::parameters::VideoCodec;
use crate::metrics::StreamSeries;
use crate::mp4::BadTrack;
use crate::pipeline::PipelineError;
use crate::pipeline::hardware::Hardware;
use crate::stream::trace::{StreamTrace, Waiting};

/// Wait after a failure: doubled each time from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How far HLS has come, and what ails it. Read by the heartbeat.
pub trait HlsReport: Send + Sync + 'static {
    /// The numbers that the next segment gets.
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64);
    /// Segments that the source's playlist lists, 0 while there is none; and its target duration, seconds.
    fn listed(&self, segments: usize, target_s: u64);
    /// A sentence for people while HLS cannot be made; `None` when it can.
    fn error(&self, text: Option<String>);
    /// Pictures per second as measured.
    fn fps(&self) -> Option<f64>;
}

/// What the output of one stream needs.
pub struct HlsOutput {
    pub stream: HlsStream,
    pub lingering: Lingering,
    pub first_media_sequence: u64,
    pub first_discontinuity_sequence: u64,
}

/// What all renditions of a stream share.
pub struct HlsStream {
    pub slug: Slug,
    pub fence: Fence,
    pub params: HlsParams,
    pub hub: Arc<StreamHub>,
    pub dir: SegmentDir,
    pub live: LiveStream,
    pub hardware: Hardware,
    /// Places for encoders of pictures, of the whole process.
    pub encoders: Arc<Semaphore>,
    pub metrics: StreamSeries,
    pub report: Arc<dyn HlsReport>,
    pub trace: StreamTrace,
    /// For the first playlist of a wish.
    pub waiting: Waiting,
    /// Where segments begin.
    pub plan: Plan,
    /// Pictures of a JPEG camera, encoded.
    pub encoded: StreamHub,
}

/// Why HLS stops for a while.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("HLS cannot be encoded")]
    Pipeline(#[from] PipelineError),
    #[error("HLS cannot be made of this camera's stream")]
    Track(#[from] BadTrack),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the camera sends key pictures too rarely for HLS; set its key frame interval to 1 to 4 seconds")]
    NoKeyPicture,
    #[error("the camera sends another codec than before; HLS begins anew")]
    AnotherCodec,
    #[error("this worker encodes as many streams as it may (worker.max_encoders)")]
    NoEncoder,
}

impl Fault {
    /// What is behind it, for the log: a sentence for viewers does not say it.
    fn detail(&self) -> Option<String> {
        std::error::Error::source(self).map(ToString::to_string)
    }
}

/// How long to wait after a fault.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(RETRY.0)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(RETRY.1);
        wait
    }
}

impl HlsStream {
    fn segment_target(&self) -> Duration {
        Duration::from_secs(u64::from(self.params.segment_seconds))
    }

    fn part_wanted(&self) -> Duration {
        Duration::from_millis(u64::from(self.params.part_ms))
    }
}

impl HlsOutput {
    /// Runs until the stream ends; leaves no playlist, and no file after the lingering.
    pub async fn run(self, mut wish: Wish) {
        let stream = Arc::new(self.stream);
        // One small task each: it waits until somebody wants its rendition.
        let mut renditions = JoinSet::new();
        for rendition in Rendition::ALL.into_iter().filter(|rendition| rendition.is_encoded()) {
            if rendition == Rendition::H264 || stream.params.renditions.contains(rendition) {
                renditions.spawn(RenditionMaker::new(stream.clone(), rendition).run(wish.clone()));
            }
        }
        let numbers = (self.first_media_sequence, self.first_discontinuity_sequence);
        let mut source = SourceMaker::new(stream.clone(), numbers);
        serve(&stream, &mut source, &mut wish).await;
        source.withdraw().await;
        // The end of the stream is theirs, too; a panic was told where it happened.
        while renditions.join_next().await.is_some() {}
        stream.report.error(None);
        stream.dir.clone().retire(&self.lingering).await;
    }
}

async fn serve(stream: &HlsStream, source: &mut SourceMaker, wish: &mut Wish) {
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            biased;
            wanted = wish.until_hls() => if !wanted { return },
            () = source.until_old() => {
                source.sweep().await;
                continue;
            }
        }
        let before = source.sequence();
        stream.waiting.begin(stream.trace.output("HLS"));
        match produce(stream, source, wish).await {
            Ok(()) => {
                // Before its first playlist, nobody wants it any more.
                stream.waiting.end();
                source.withdraw().await;
                backoff = Backoff::default();
            }
            Err(fault) => {
                withdraw_after(&fault, stream, source).await;
                // A failed write takes a number, too.
                if source.sequence() > before + 2 {
                    backoff = Backoff::default();
                }
                wish.pause(backoff.next()).await;
            }
        }
    }
}

/// Makes the source rendition while HLS is wanted.
async fn produce(stream: &HlsStream, source: &mut SourceMaker, wish: &mut Wish) -> Result<(), Fault> {
    let subscription = stream.hub.subscribe(Listen::PicturesAndSound);
    stream.waiting.step("wait for key picture");
    let first = tokio::select! {
        first = subscription.next_key(None, PATIENCE) => first.ok_or(Fault::NoKeyPicture)?,
        () = wish.until_no_hls() => return Ok(()),
    };
    stream.waiting.step("make first segment");
    if first.video.codec != VideoCodec::Jpeg {
        source.take(Some(first)).await?;
        loop {
            let unit = tokio::select! {
                unit = source.next(&subscription) => unit,
                () = wish.until_no_hls() => return Ok(()),
            };
            source.take(unit).await?;
        }
    }
    let Ok(_place) = stream.encoders.clone().try_acquire_owned() else { return Err(Fault::NoEncoder) };
    let transcoder = Transcoder { stream, rendition: Rendition::Source, to: &stream.encoded };
    let transcoding = transcoder.run(subscription, first);
    tokio::pin!(transcoding);
    let subscription = stream.encoded.subscribe(Listen::PicturesAndSound);
    let ended = loop {
        let unit = tokio::select! {
            unit = source.next(&subscription) => unit,
            fault = &mut transcoding => break Err(fault),
            () = wish.until_no_hls() => break Ok(()),
        };
        if let Err(fault) = source.take(unit).await {
            break Err(fault);
        }
    };
    stream.encoded.forget();
    ended
}

async fn withdraw_after(fault: &Fault, stream: &HlsStream, source: &mut SourceMaker) {
    stream.report.error(Some(fault.to_string()));
    stream.waiting.fail("hls", fault);
    stream.metrics.output_failed("hls");
    tracing::warn!(
        repeats = true,
        stream = %stream.slug,
        fence = %stream.fence,
        error = %fault,
        detail = fault.detail(),
        "HLS stops for a while"
    );
    source.withdraw().await;
    if matches!(fault, Fault::Disk(_)) {
        source.make_room().await;
    }
}

#[cfg(test)]
mod tests;
