//! RTSP over interleaved TCP in plain tokio: retina, made for IP cameras. It has no deadlines, so each step gets one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use retina::client::{
    Credentials, Demuxed, Described, PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions,
    TcpTransportOptions, Transport,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame};
use rsm_shared::stream::spec::StreamSpec;
use url::Url;

use super::SourceUnit;
use super::error::{SourceError, from_retina};
use super::open::{OpenTiming, log_detail};
use crate::media::access_unit::MAX_UNIT_BYTES;
use crate::media::media_time::ticks_to_ns;
use crate::media::parameters::VideoParameters;

/// For the TEARDOWN and its answer.
const TEARDOWN_DEADLINE: Duration = Duration::from_secs(1);
/// Damaged beginnings are passed over; a stream that never shows its parameter sets is not.
const MAX_UNITS_WITHOUT_PARAMETERS: u32 = 300;

/// An open session.
pub struct RetinaSource {
    session: Demuxed,
    teardown: Arc<SessionGroup>,
    stream: usize,
    video: Option<Arc<VideoParameters>>,
    without_parameters: u32,
    spec: StreamSpec,
    auth_retry: Duration,
}

impl RetinaSource {
    /// DESCRIBE, SETUP of the first H.264 stream, PLAY; `None` when `cancelled` comes first.
    pub async fn open(
        spec: &StreamSpec,
        url: Url,
        timing: OpenTiming,
        cancelled: impl Future<Output = ()>,
    ) -> Option<Result<Self, SourceError>> {
        // One group per session: awaiting it waits for this session's TEARDOWN and no other.
        let teardown = Arc::new(SessionGroup::default());
        let opened = tokio::select! {
            () = cancelled => None,
            opened = Self::steps(spec, url, timing, teardown.clone()) => Some(opened),
        };
        if !matches!(opened, Some(Ok(_))) {
            // The session was dropped on the way; let its TEARDOWN out.
            await_teardown(&teardown).await;
        }
        opened
    }

    async fn steps(
        spec: &StreamSpec,
        url: Url,
        timing: OpenTiming,
        teardown: Arc<SessionGroup>,
    ) -> Result<Self, SourceError> {
        let failed = |step, error: &retina::Error| failure(spec, timing.auth_retry, step, error, true);
        let late = |_| SourceError::NoAnswer(timing.step);
        let creds = spec
            .credentials
            .as_ref()
            .map(|c| Credentials { username: c.username.clone(), password: c.password.expose().to_owned() });
        let options = SessionOptions::default()
            .creds(creds)
            .user_agent(concat!("rsm/", env!("CARGO_PKG_VERSION")).to_owned())
            .session_group(teardown.clone());
        let describe = tokio::time::timeout(timing.step, Session::describe(url, options));
        let mut session = describe.await.map_err(late)?.map_err(|e| failed("DESCRIBE", &e))?;
        let stream = first_h264(&session)?;
        let setup = SetupOptions::default()
            .transport(Transport::Tcp(TcpTransportOptions::default()))
            .frame_format(FrameFormat::MP4);
        let setup = tokio::time::timeout(timing.step, session.setup(stream, setup));
        setup.await.map_err(late)?.map_err(|e| failed("SETUP", &e))?;
        let play = tokio::time::timeout(timing.step, session.play(PlayOptions::default()));
        let playing = play.await.map_err(late)?.map_err(|e| failed("PLAY", &e))?;
        let session = playing.demuxed().map_err(|e| failed("PLAY", &e))?;
        Ok(Self {
            session,
            teardown,
            stream,
            video: None,
            without_parameters: 0,
            spec: spec.clone(),
            auth_retry: timing.auth_retry,
        })
    }

    /// The next picture.
    pub async fn next(&mut self) -> Result<SourceUnit, SourceError> {
        loop {
            let frame = match self.session.next().await {
                Some(Ok(CodecItem::VideoFrame(frame))) => frame,
                Some(Ok(_)) => continue,
                Some(Err(e)) => return Err(failure(&self.spec, self.auth_retry, "media", &e, false)),
                None => return Err(SourceError::Ended),
            };
            if frame.has_new_parameters() || self.video.is_none() {
                self.video = self.parameters()?.or(self.video.take());
            }
            if frame.data().len() > MAX_UNIT_BYTES {
                tracing::debug!(bytes = frame.data().len(), "a picture is too large and left out");
                continue;
            }
            match &self.video {
                Some(video) => return Ok(unit(frame, video.clone())),
                None => self.without_parameters += 1,
            }
            if self.without_parameters > MAX_UNITS_WITHOUT_PARAMETERS {
                return Err(SourceError::BadVideo);
            }
        }
    }

    /// Sends TEARDOWN and waits for the answer, within a second.
    pub async fn close(self) {
        let Self { session, teardown, .. } = self;
        drop(session);
        await_teardown(&teardown).await;
    }

    fn parameters(&self) -> Result<Option<Arc<VideoParameters>>, SourceError> {
        let Some(ParametersRef::Video(parameters)) = self.session.streams()[self.stream].parameters() else {
            return Ok(None);
        };
        let new = VideoParameters::from_avcc(Bytes::copy_from_slice(parameters.extra_data())).map_err(|error| {
            tracing::debug!(camera = self.spec.url.host(), %error, "the video is not usable");
            SourceError::BadVideo
        })?;
        // Cameras repeat the same parameters with every key picture.
        Ok(Some(match &self.video {
            Some(old) if **old == new => old.clone(),
            _ => Arc::new(new),
        }))
    }
}

fn unit(frame: VideoFrame, video: Arc<VideoParameters>) -> SourceUnit {
    let timestamp = frame.timestamp();
    let received = *frame.end_ctx();
    SourceUnit {
        time_ns: ticks_to_ns(timestamp.elapsed(), timestamp.clock_rate().get()),
        is_key: frame.is_random_access_point(),
        arrived: received.received(),
        captured: received.received_wall().into(),
        data: frame.into_data().into(),
        video,
        sound: None,
    }
}

fn first_h264(session: &Session<Described>) -> Result<usize, SourceError> {
    let streams = session.streams();
    streams.iter().position(|s| s.media() == "video" && s.encoding_name() == "h264").ok_or_else(|| {
        SourceError::NoVideo(
            streams.iter().filter(|s| s.media() == "video").map(|s| s.encoding_name().to_owned()).collect(),
        )
    })
}

fn failure(
    spec: &StreamSpec,
    retry: Duration,
    step: &'static str,
    error: &retina::Error,
    opening: bool,
) -> SourceError {
    let text = error.to_string();
    log_detail(spec, step, &text);
    from_retina(&text, error.status_code(), opening, spec.credentials.is_some(), retry)
}

async fn await_teardown(group: &SessionGroup) {
    // Past the deadline retina goes on in the background for 5 s at most (its own limit for an open connection);
    // its answer, good or bad, changes nothing.
    let _ = tokio::time::timeout(TEARDOWN_DEADLINE, group.await_teardown()).await;
}
