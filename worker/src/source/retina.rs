//! RTSP over interleaved TCP in plain tokio: retina, made for IP cameras. It has no deadlines, so each step gets one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use retina::client::{
    Credentials, Demuxed, Described, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions, Session,
    SessionGroup, SessionIdPolicy, SessionOptions, SetupOptions, TcpTransportOptions, Transport, UnknownRtcpSsrcPolicy,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef};
use rsm_shared::ops::traces;
use rsm_shared::stream::spec::StreamSpec;
use url::Url;

use super::carrier::OpenTiming;
use super::error::{Phase, SourceError, from_retina};
use super::failure::log_detail;
use super::offer::{self, Offered, Taken};
use super::received::Received;
use super::unit::SourceUnit;

/// For the TEARDOWN and its answer.
const TEARDOWN_DEADLINE: Duration = Duration::from_secs(1);
/// A session that breaks sooner after PLAY is one that retina does not understand; rtspsrc may.
const EARLY: Duration = Duration::from_secs(10);

/// An open session.
pub struct RetinaSource {
    session: Demuxed,
    teardown: Arc<SessionGroup>,
    received: Received,
    opened: Instant,
    spec: StreamSpec,
    auth_retry: Duration,
}

/// Why a session did not open.
struct Failed {
    error: SourceError,
    /// It was the audio, or asking for audio and pictures, that the camera did not bear.
    of_audio: bool,
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self { error, of_audio: false }
    }
}

impl RetinaSource {
    /// DESCRIBE, SETUP of the first usable video and audio, PLAY; `None` when `cancelled` comes first. A camera that
    /// breaks off when it is asked for audio is asked once more, for pictures only.
    pub async fn open(
        spec: &StreamSpec,
        url: Url,
        timing: OpenTiming,
        cancelled: impl Future<Output = ()>,
    ) -> Option<Result<Self, SourceError>> {
        // One group per session: awaiting it waits for this session's TEARDOWN and no other.
        let teardown = Arc::new(SessionGroup::default());
        let opening = async {
            match Self::steps(spec, url.clone(), timing, teardown.clone(), true).await {
                Err(Failed { of_audio: true, .. }) => {
                    tracing::debug!(camera = spec.url.host(), "the camera does not bear to be asked for its audio");
                    await_teardown(&teardown).await;
                    Self::steps(spec, url, timing, teardown.clone(), false).await
                }
                opened => opened,
            }
        };
        let opened = tokio::select! {
            () = cancelled => None,
            opened = opening => Some(opened.map_err(|failed| failed.error)),
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
        with_audio: bool,
    ) -> Result<Self, Failed> {
        let failed = |step, error: &retina::Error| failure(spec, timing.auth_retry, step, error, Phase::Opening);
        let late = |_| SourceError::NoAnswer(timing.step);
        // It connects, too.
        let step = traces::step("DESCRIBE");
        let describe = tokio::time::timeout(timing.step, Session::describe(url, options(spec, teardown.clone())));
        let mut session = describe.await.map_err(late)?.map_err(|e| failed("DESCRIBE", &e))?;
        step.end();
        let offered = choose(&session)?;
        let step = traces::step("SETUP");
        let setup = tokio::time::timeout(timing.step, session.setup(offered.video.0, setup_options()));
        setup.await.map_err(late)?.map_err(|e| failed("SETUP", &e))?;
        step.end();
        let mut taken = Taken { audio: None, ..offered };
        if let Some(audio) = offered.audio.filter(|_| with_audio) {
            let _step = traces::step("SETUP audio");
            let setup = tokio::time::timeout(timing.step, session.setup(audio.0, setup_options()));
            let of_audio = |error| Failed { error, of_audio: true };
            match setup.await.map_err(late).map_err(of_audio)? {
                Ok(()) => taken.audio = Some(audio),
                // An answer; the session goes on without.
                Err(error) if error.status_code().is_some() => drop(failed("SETUP of audio", &error)),
                Err(error) => return Err(of_audio(failed("SETUP of audio", &error))),
            }
        }
        let of_audio = |error| Failed { error, of_audio: taken.audio.is_some() };
        let step = traces::step("PLAY");
        let play = tokio::time::timeout(timing.step, session.play(play_options()));
        let playing = play.await.map_err(late).map_err(of_audio)?;
        let playing = playing.map_err(|e| of_audio(failed("PLAY", &e)))?;
        step.end();
        let session = playing.demuxed().map_err(|e| failed("PLAY", &e))?;
        let (received, opened) = (Received::new(taken), Instant::now());
        Ok(Self { session, teardown, received, opened, spec: spec.clone(), auth_retry: timing.auth_retry })
    }

    /// The next picture, or frame of audio.
    pub async fn next(&mut self) -> Result<SourceUnit, SourceError> {
        loop {
            let item = match self.session.next().await {
                Some(Ok(item)) => item,
                Some(Err(e)) => return Err(self.failure(&e)),
                None => return Err(SourceError::Ended),
            };
            let streams = self.session.streams();
            let unit = match item {
                CodecItem::VideoFrame(frame) => self.received.picture(&streams[frame.stream_id()], frame)?,
                CodecItem::AudioFrame(frame) => self.received.audio(&streams[frame.stream_id()], &frame),
                CodecItem::Rtcp(report) => {
                    self.received.report(&report);
                    None
                }
                _ => None,
            };
            if let Some(unit) = unit {
                return Ok(unit);
            }
        }
    }

    /// When the newest picture came that was left out because it cannot be decoded yet.
    pub fn left_out(&self) -> Option<Instant> {
        self.received.left_out()
    }

    /// Sends TEARDOWN and waits for the answer, within a second.
    pub async fn close(self) {
        let Self { session, teardown, .. } = self;
        drop(session);
        await_teardown(&teardown).await;
    }

    fn failure(&self, error: &retina::Error) -> SourceError {
        let phase = if self.opened.elapsed() < EARLY { Phase::Early } else { Phase::Running };
        failure(&self.spec, self.auth_retry, "media", error, phase)
    }
}

fn options(spec: &StreamSpec, teardown: Arc<SessionGroup>) -> SessionOptions {
    let given = spec.credentials.as_ref();
    let creds = given.map(|c| Credentials { username: c.username.clone(), password: c.password.expose().to_owned() });
    SessionOptions::default()
        .creds(creds)
        .user_agent(concat!("rsm/", env!("CARGO_PKG_VERSION")).to_owned())
        .session_group(teardown)
        // Some cameras give each stream an id of its own and mean the first.
        .session_id(SessionIdPolicy::UseFirst)
}

fn setup_options() -> SetupOptions {
    SetupOptions::default().transport(Transport::Tcp(TcpTransportOptions::default())).frame_format(FrameFormat::MP4)
}

/// The RTP-Info of cameras (RFC 2326 section 12.33), about the first packets, is often wrong, and nothing here needs
/// it: stamps are taken as they are, and whatever comes first is the first. Sender reports that come on a
/// stream's own channel are of that stream, whatever source they name.
fn play_options() -> PlayOptions {
    PlayOptions::default()
        .initial_timestamp(InitialTimestampPolicy::Ignore)
        .initial_seq(InitialSequenceNumberPolicy::Ignore)
        .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::ProcessPackets)
}

fn choose(session: &Session<Described>) -> Result<Taken, SourceError> {
    // Audio whose parameters retina cannot read would end the session at PLAY.
    let readable = |stream: &&retina::client::Stream| {
        stream.media() != "audio" || matches!(stream.parameters(), Some(ParametersRef::Audio(_)))
    };
    let offered: Vec<_> = session
        .streams()
        .iter()
        .map(|stream| {
            let encoding = if readable(&stream) { stream.encoding_name() } else { "unreadable" };
            Offered { media: stream.media(), encoding }
        })
        .collect();
    offer::take(&offered)
}

fn failure(spec: &StreamSpec, retry: Duration, step: &'static str, error: &retina::Error, phase: Phase) -> SourceError {
    let text = error.to_string();
    log_detail(spec, step, &text);
    from_retina(&text, error.status_code(), phase, spec.credentials.is_some(), retry)
}

async fn await_teardown(group: &SessionGroup) {
    // Past the deadline retina goes on in the background for 5 s at most (its own limit for an open connection);
    // its answer, good or bad, changes nothing.
    let _ = tokio::time::timeout(TEARDOWN_DEADLINE, group.await_teardown()).await;
}
