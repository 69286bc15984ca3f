//! One look at one camera, as a session of its stream would see it.

use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::state::{AudioInfo, Reason, ReasonCode, StreamState, VideoInfo};
use rsm_shared::wire::messages::LookRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::media::access_unit::AccessUnit;
use crate::media::parameters::{AudioParameters, VideoParameters};
use crate::output::jpeg::publish::coarser;
use crate::pipeline::PipelineError;
use crate::pipeline::to_jpeg::{JpegFrame, JpegPipeline};
use crate::source::error::SourceError;
use crate::source::open::{OpenTiming, choose};
use crate::source::{Source, SourceUnit};
use crate::stream::engine::Engine;
use crate::stream::pacer::Try;

/// Sound is told of when it is heard this soon after the picture.
const SOUND: Duration = Duration::from_millis(300);
const UNREADABLE: &str = "The camera sends pictures, but this worker could not decode them. Set its encoder anew.";
const TOO_LARGE: &str = "The picture is too large for NATS. Ask for a smaller one.";

/// What was seen. With a picture the state is running.
pub struct Seen {
    pub state: StreamState,
    pub reason: Option<Reason>,
    pub video: Option<VideoInfo>,
    pub audio: Option<AudioInfo>,
    pub picture: Option<Bytes>,
}

/// A look, and what is open until it is ended.
#[derive(Default)]
pub struct Glance {
    source: Option<Source>,
    pipeline: Option<JpegPipeline>,
    video: Option<VideoInfo>,
    audio: Option<AudioInfo>,
}

/// Why there is no picture.
enum Fault {
    Source(SourceError),
    Pipeline(PipelineError),
    TooLarge,
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<PipelineError> for Fault {
    fn from(error: PipelineError) -> Self {
        Self::Pipeline(error)
    }
}

impl Seen {
    /// Nothing was.
    pub fn not(state: StreamState, reason: Reason) -> Self {
        Self { state, reason: Some(reason), video: None, audio: None, picture: None }
    }
}

impl Glance {
    /// Looks until `deadline`. To be ended whatever came of it.
    pub async fn at(
        &mut self,
        engine: &Engine,
        request: &LookRequest,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Seen {
        let began = Instant::now();
        let cancel = stop.child_token();
        // Opening is not dropped half-way, it is told to end.
        let alarm = cancel.clone();
        let watch = tokio::spawn(async move {
            tokio::time::sleep_until(deadline).await;
            alarm.cancel();
        });
        let looked = match self.open(engine, request, &cancel).await {
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
        if looked.is_ok() {
            self.listen().await;
        }
        let reason = |code, text: &str| Some(Reason { code, text: text.into() });
        let (state, reason, picture) = match looked {
            Ok(picture) => (StreamState::Running, None, Some(picture)),
            // Nothing is known of the camera then.
            Err(_) if stop.is_cancelled() => {
                (StreamState::Reconnecting, reason(ReasonCode::NoWorker, super::ENDING), None)
            }
            Err(Fault::Source(error)) => (error.state(), Some(told(&error)), None),
            Err(Fault::Pipeline(error)) => {
                tracing::warn!(repeats = true, camera = request.spec.url.host(), %error, "a look at a camera failed");
                (StreamState::Running, reason(ReasonCode::Pipeline, UNREADABLE), None)
            }
            Err(Fault::TooLarge) => (StreamState::Running, reason(ReasonCode::Pipeline, TOO_LARGE), None),
        };
        Seen { state, reason, video: self.video.take(), audio: self.audio.take(), picture }
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

    /// Opens a session as a stream would: with the other carrier when the first one does not suit the camera.
    async fn open(&mut self, engine: &Engine, request: &LookRequest, cancel: &CancellationToken) -> Result<(), Fault> {
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
    async fn picture(&mut self, engine: &Engine, request: &LookRequest) -> Result<Bytes, Fault> {
        let Self { source, pipeline, video, audio } = self;
        let source = source.as_mut().ok_or(SourceError::Ended)?;
        let patience = engine.timing.first_picture;
        let first = tokio::time::timeout(patience, async {
            loop {
                let unit = source.next().await?;
                hear(&unit, audio);
                if unit.sound.is_none() {
                    *video = Some(shape(&unit.video));
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
                    hear(&unit, audio);
                    if unit.sound.is_none() {
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
                    return Ok::<Bytes, Fault>(data);
                }
                quality = coarser(quality).ok_or(Fault::TooLarge)?;
                encoder.set_quality(quality);
            }
        };
        tokio::select! {
            picture = taking => picture,
            ended = feeding => ended,
            error = failed => Err(error.into()),
        }
    }

    /// For sound, a moment: a picture is enough.
    async fn listen(&mut self) {
        let Self { source: Some(source), audio, .. } = self else { return };
        let sound = async {
            while audio.is_none() {
                hear(&source.next().await?, audio);
            }
            Ok::<_, SourceError>(())
        };
        let _ = tokio::time::timeout(SOUND, sound).await;
    }
}

/// As a stream would say it, without a next try: there is none.
fn told(error: &SourceError) -> Reason {
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

fn hear(unit: &SourceUnit, audio: &mut Option<AudioInfo>) {
    if let Some(sound) = &unit.sound {
        let AudioParameters { codec, sample_rate, channels, .. } = &**sound;
        *audio = Some(AudioInfo { codec: codec.as_str().into(), sample_rate: *sample_rate, channels: *channels });
    }
}

fn shape(video: &VideoParameters) -> VideoInfo {
    VideoInfo {
        codec: video.codec.as_str().into(),
        rfc6381: video.rfc6381.clone(),
        width: video.width,
        height: video.height,
        fps: None,
        bitrate: None,
    }
}

/// In a time that begins with the first picture.
fn placed(unit: SourceUnit, begin: i64) -> AccessUnit {
    let pts = Duration::from_nanos(u64::try_from(unit.time_ns.saturating_sub(begin)).unwrap_or(0));
    let SourceUnit { data, is_key, arrived, captured, video, .. } = unit;
    AccessUnit { data, pts, is_key, arrived, captured, timeline: 1, video, sound: None }
}
