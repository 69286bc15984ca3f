//! One probe of one camera: it opens a session as its stream would, and takes one picture.

use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::state::{AudioInfo, Reason, ReasonCode, StreamState, VideoInfo};
use rsm_shared::wire::messages::ProbeRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::output::jpeg::publish::coarser;
use crate::pipeline::PipelineError;
use crate::pipeline::to_jpeg::{JpegFrame, JpegPipeline};
use crate::source::carrier::{OpenTiming, choose};
use crate::source::error::SourceError;
use crate::source::{Source, SourceUnit};
use crate::stream::engine::Engine;
use crate::stream::pacer::Try;
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::{AudioParameters, VideoParameters};

/// Audio is reported when it arrives this soon after the picture.
const AUDIO: Duration = Duration::from_millis(300);
/// The worker ends before the probe does.
pub(super) const ENDING: &str = "The worker that tested the camera is ending. Try again.";
const UNREADABLE: &str = "The camera sends pictures, but this worker could not decode them. Set its encoder anew.";
const TOO_LARGE: &str = "The picture is too large for NATS. Ask for a smaller one.";

/// The outcome of a probe. With a picture the state is running.
pub struct ProbeOutcome {
    pub state: StreamState,
    pub reason: Option<Reason>,
    pub video: Option<VideoInfo>,
    pub audio: Option<AudioInfo>,
    pub picture: Option<Bytes>,
}

/// A probe, with the session and the pipeline that are open until [`Self::end`].
#[derive(Default)]
pub struct CameraProbe {
    source: Option<Source>,
    pipeline: Option<JpegPipeline>,
    video: Option<VideoInfo>,
    audio: Option<AudioInfo>,
}

/// Why there is no picture.
enum ProbeError {
    Source(SourceError),
    Pipeline(PipelineError),
    TooLarge,
}

impl From<SourceError> for ProbeError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<PipelineError> for ProbeError {
    fn from(error: PipelineError) -> Self {
        Self::Pipeline(error)
    }
}

impl ProbeOutcome {
    /// This worker did not open the camera, because of `text`.
    pub fn refused(text: &str) -> Self {
        let reason = Reason { code: ReasonCode::NoWorker, text: text.into() };
        Self { state: StreamState::Reconnecting, reason: Some(reason), video: None, audio: None, picture: None }
    }
}

impl CameraProbe {
    /// Probes the camera until `deadline`. The caller must call [`Self::end`] afterwards, whatever the outcome is.
    pub async fn run(
        &mut self,
        engine: &Engine,
        request: &ProbeRequest,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> ProbeOutcome {
        let began = Instant::now();
        let cancel = stop.child_token();
        // Opening is not cancel safe, so it is asked to end.
        let alarm = cancel.clone();
        let watch = tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            alarm.cancel();
        });
        let probed = match self.open(engine, request, &cancel).await {
            Ok(()) => {
                let picture = self.picture(engine, request);
                tokio::select! {
                    picture = picture => picture,
                    () = cancel.cancelled() => Err(SourceError::Stalled(began.elapsed()).into()),
                }
            }
            Err(fault) => Err(fault),
        };
        watch.abort();
        if probed.is_ok() {
            self.wait_for_audio().await;
        }
        let reason = |code, text: &str| Some(Reason { code, text: text.into() });
        let (state, reason, picture) = match probed {
            Ok(picture) => (StreamState::Running, None, Some(picture)),
            // A stop says nothing about the camera.
            Err(_) if stop.is_cancelled() => (StreamState::Reconnecting, reason(ReasonCode::NoWorker, ENDING), None),
            Err(ProbeError::Source(error)) => (error.state(), Some(reason_of(&error)), None),
            Err(ProbeError::Pipeline(error)) => {
                tracing::warn!(repeats = true, camera = request.spec.url.host(), %error, "a camera probe failed");
                (StreamState::Running, reason(ReasonCode::Pipeline, UNREADABLE), None)
            }
            Err(ProbeError::TooLarge) => (StreamState::Running, reason(ReasonCode::Pipeline, TOO_LARGE), None),
        };
        ProbeOutcome { state, reason, video: self.video.take(), audio: self.audio.take(), picture }
    }

    /// Ends the session; pipelines are Null.
    pub async fn end(self) {
        let Self { source, pipeline, .. } = self;
        let stopping = async {
            if let Some(pipeline) = pipeline {
                pipeline.stop().await;
            }
        };
        let closing = async {
            if let Some(source) = source {
                source.close().await;
            }
        };
        tokio::join!(stopping, closing);
    }

    /// Opens a session as a stream would: with the other carrier when the first does not suit the camera.
    async fn open(
        &mut self,
        engine: &Engine,
        request: &ProbeRequest,
        cancel: &CancellationToken,
    ) -> Result<(), ProbeError> {
        let (began, spec) = (Instant::now(), &request.spec);
        let timing = OpenTiming { step: engine.timing.connect_timeout, auth_retry: engine.timing.auth_retry };
        let mut refused = false;
        loop {
            let start = tokio::select! {
                () = cancel.cancelled() => return Err(SourceError::NoAnswer(began.elapsed()).into()),
                start = engine.pacer.wait(if refused { Try::Again } else { Try::First }) => start,
            };
            let carrier = choose(spec.url.scheme(), spec.transport, refused);
            let opened = engine.opener.open(spec, carrier, timing, cancel).await;
            drop(start);
            match opened {
                Some(Ok(source)) => {
                    self.source = Some(source);
                    return Ok(());
                }
                Some(Err(error)) if !refused && error.may_suit_rtspsrc() => refused = true,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(SourceError::NoAnswer(began.elapsed()).into()),
            }
        }
    }

    /// The first picture that can be decoded, small enough to be sent.
    async fn picture(&mut self, engine: &Engine, request: &ProbeRequest) -> Result<Bytes, ProbeError> {
        let Self { source, pipeline, video, audio } = self;
        let source = source.as_mut().ok_or(SourceError::Ended)?;
        let patience = engine.timing.first_picture;
        let first = tokio::time::timeout(patience, async {
            loop {
                let unit = source.next().await?;
                note_audio(&unit, audio);
                if unit.audio.is_none() {
                    *video = Some(video_info(&unit.video));
                    if unit.is_key {
                        return Ok::<_, SourceError>(unit);
                    }
                }
            }
        });
        let first = first.await.map_err(|_| SourceError::Stalled(patience))??;
        let pipeline = pipeline.insert(JpegPipeline::start(&first.video, &engine.hardware).await?);
        let (feeder, failed) = pipeline.split();
        let (encoder, mut newest) = feeder.add(request.jpeg)?;
        let (mut quality, max_bytes) = (request.jpeg.quality, engine.frames.max_frame_bytes());
        let begin = first.time_ns;
        let feeding = async {
            let mut unit = first;
            loop {
                feeder.push(&placed(unit, begin), true).await?;
                unit = loop {
                    let unit = source.next().await?;
                    note_audio(&unit, audio);
                    if unit.audio.is_none() {
                        break unit;
                    }
                };
            }
        };
        let taking = async {
            loop {
                newest.changed().await.map_err(|_| PipelineError::Ended)?;
                let Some(JpegFrame { data, .. }) = newest.borrow_and_update().clone() else { continue };
                if data.len() <= max_bytes {
                    return Ok::<Bytes, ProbeError>(data);
                }
                quality = coarser(quality).ok_or(ProbeError::TooLarge)?;
                encoder.set_quality(quality);
            }
        };
        tokio::select! {
            picture = taking => picture,
            ended = feeding => ended,
            error = failed => Err(error.into()),
        }
    }

    /// Waits a moment for audio; a picture is enough.
    async fn wait_for_audio(&mut self) {
        let Self { source: Some(source), audio, .. } = self else { return };
        let waiting = async {
            while audio.is_none() {
                note_audio(&source.next().await?, audio);
            }
            Ok::<_, SourceError>(())
        };
        let _ = tokio::time::timeout(AUDIO, waiting).await;
    }
}

/// The reason that a stream would give, without a next try: a probe is not repeated.
fn reason_of(error: &SourceError) -> Reason {
    let text = match error {
        SourceError::Unauthorized(status, _) => {
            format!("The camera refused the user name or password ({status}). Correct them.")
        }
        SourceError::CredentialsNeeded(status, _) => {
            format!("The camera asks for a user name and password ({status}). Add them.")
        }
        other => other.to_string(),
    };
    Reason { code: error.code(), text }
}

/// Notes the parameters of an audio frame.
fn note_audio(unit: &SourceUnit, audio: &mut Option<AudioInfo>) {
    if let Some(parameters) = &unit.audio {
        let AudioParameters { codec, sample_rate, channels, .. } = &**parameters;
        *audio = Some(AudioInfo { codec: codec.as_str().into(), sample_rate: *sample_rate, channels: *channels });
    }
}

fn video_info(video: &VideoParameters) -> VideoInfo {
    VideoInfo {
        codec: video.codec.as_str().into(),
        rfc6381: video.rfc6381.clone(),
        width: video.width,
        height: video.height,
        fps: None,
        bitrate: None,
    }
}

/// Places a picture in a time that begins with the first picture.
fn placed(unit: SourceUnit, begin: i64) -> AccessUnit {
    let pts = Duration::from_nanos(u64::try_from(unit.time_ns.saturating_sub(begin)).unwrap_or(0));
    let SourceUnit { data, is_key, arrived, captured, video, .. } = unit;
    AccessUnit { data, pts, is_key, arrived, captured, timeline: 1, video, audio: None }
}
