//! RTSP by GStreamer's `rtspsrc`: UDP, and cameras that retina refuses. It sees the camera through a tunnel only.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rsm_shared::ops::traces;
use rsm_shared::stream::spec::{StreamSpec, Transport};
use tokio::sync::mpsc;

use super::answers::Stop;
use super::camera_clock::{CameraClock, Stamp, Track};
use super::carrier::OpenTiming;
use super::error::SourceError;
use super::failure::{Failure, log_detail};
use super::tunnel::{Over, Tunnel};
use super::unit::SourceUnit;
use super::whole::{Verdict, Whole};
use crate::pipeline::from_rtsp::{RtspFault, RtspMedia, RtspPipeline, RtspProtocol, RtspTarget, RtspUnit};
use rsm_media::access_unit::MAX_UNIT_BYTES;
use rsm_media::parameters::{AudioParameters, VideoParameters};

/// DESCRIBE, SETUP, PLAY and the first key frame happen inside rtspsrc; together they get this many steps.
const STEPS: u32 = 4;
/// Ticks of the pipeline's time.
const NANOS: u32 = 1_000_000_000;

/// An open session.
pub struct RtspsrcSource {
    pipeline: RtspPipeline,
    units: mpsc::Receiver<RtspUnit>,
    /// Dropped after the pipeline, which sends its TEARDOWN through it.
    tunnel: Tunnel,
    /// The picture that showed that the session is open.
    first: Option<SourceUnit>,
    newest: Option<Newest>,
    clock: CameraClock,
    whole: Whole,
    left_out: Option<Instant>,
    spec: StreamSpec,
    timing: OpenTiming,
}

/// Values that audio takes from the newest picture.
struct Newest {
    video: Arc<VideoParameters>,
    time_ns: i64,
    captured: SystemTime,
}

impl RtspsrcSource {
    /// Opens the session and waits for the first picture; `None` when `cancelled` comes first.
    pub(super) async fn open(
        spec: &StreamSpec,
        transport: Transport,
        tunnel: Tunnel,
        timing: OpenTiming,
        cancelled: impl Future<Output = ()>,
    ) -> Option<Result<Self, Failure>> {
        let target = RtspTarget {
            location: tunnel.url().as_str(),
            user: spec.credentials.as_ref().map(|c| (c.username.as_str(), c.password.expose())),
            protocol: match transport {
                Transport::Udp => RtspProtocol::Udp,
                Transport::Tcp | Transport::Auto => RtspProtocol::Tcp,
            },
            timeout: timing.step,
        };
        // All of it, to the first picture.
        let _step = traces::step("rtspsrc");
        // Starting only begins to connect: it takes milliseconds, so it is not cut short.
        let (pipeline, units) = match RtspPipeline::start(&target).await {
            Ok(started) => started,
            Err(error) => {
                tracing::warn!(repeats = true, camera = spec.url.host(), %error, "rtspsrc does not start");
                return Some(Err(SourceError::Pipeline.into()));
            }
        };
        let mut source = Self {
            pipeline,
            units,
            tunnel,
            first: None,
            newest: None,
            clock: CameraClock::default(),
            whole: Whole::default(),
            left_out: None,
            spec: spec.clone(),
            timing,
        };
        let deadline = timing.step * STEPS;
        let received = tokio::select! {
            () = cancelled => None,
            received = tokio::time::timeout(deadline, source.next()) => Some(received),
        };
        let error = match received {
            Some(Ok(Ok(unit))) => {
                source.first = Some(unit);
                return Some(Ok(source));
            }
            Some(Ok(Err(error))) => Some(error),
            Some(Err(_)) => Some(SourceError::NoAnswer(deadline)),
            None => None,
        };
        let seen = source.tunnel.seen();
        source.close().await;
        error.map(|error| Err(Failure::behind(error, seen.over)))
    }

    /// See [`super::Source::left_out`].
    pub fn left_out(&self) -> Option<Instant> {
        self.left_out
    }

    /// The next picture, or the next frame of audio after the first picture. Cancel safe.
    pub async fn next(&mut self) -> Result<SourceUnit, SourceError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            let unit = self.receive().await?;
            match unit.media {
                RtspMedia::Picture(ref video) => {
                    let video = video.clone();
                    if !self.shows(&unit, &video)? {
                        continue;
                    }
                    if let Some(unit) = self.picture(unit, video) {
                        return Ok(unit);
                    }
                }
                RtspMedia::Audio(_) if unit.data.len() > MAX_UNIT_BYTES => {}
                RtspMedia::Audio(ref audio) => {
                    let audio = audio.clone();
                    if let Some(unit) = self.audio(unit, audio) {
                        return Ok(unit);
                    }
                }
                RtspMedia::Unreadable => return Err(SourceError::BadVideo),
            }
        }
    }

    /// True when a picture is whole, and made from whole ones.
    fn shows(&mut self, unit: &RtspUnit, video: &VideoParameters) -> Result<bool, SourceError> {
        let verdict = if unit.data.len() > MAX_UNIT_BYTES {
            tracing::debug!(bytes = unit.data.len(), "a picture is too large and left out");
            self.whole.unusable(unit.arrived)
        } else {
            self.whole.judge(video.codec, unit.is_key, unit.lost, &unit.data, unit.arrived)
        };
        match verdict {
            Verdict::Show => return Ok(true),
            Verdict::Nothing => {}
            Verdict::LeaveOut => self.left_out = Some(unit.arrived),
            Verdict::GiveUp => return Err(SourceError::Damaged),
        }
        Ok(false)
    }

    fn picture(&mut self, unit: RtspUnit, video: Arc<VideoParameters>) -> Option<SourceUnit> {
        let stamp = |ticks| Stamp { ticks, rate: NANOS };
        if let Some(report) = unit.report {
            self.clock.reported(Track::Pictures, stamp(report.running_ns), report.ntp);
        }
        let told = self.clock.place(Track::Pictures, stamp(unit.time_ns), unit.arrived, unit.arrived_wall)?;
        self.newest = Some(Newest { video: video.clone(), time_ns: told.time_ns, captured: told.captured });
        Some(SourceUnit {
            data: unit.data,
            time_ns: told.time_ns,
            is_key: unit.is_key,
            arrived: unit.arrived,
            captured: told.captured,
            video,
            audio: None,
        })
    }

    /// rtspsrc has given audio the time of the pictures. `None` before the first one.
    fn audio(&self, unit: RtspUnit, audio: Arc<AudioParameters>) -> Option<SourceUnit> {
        let newest = self.newest.as_ref()?;
        let since = Duration::from_nanos(unit.time_ns.abs_diff(newest.time_ns));
        let captured = if unit.time_ns < newest.time_ns {
            newest.captured.checked_sub(since)
        } else {
            newest.captured.checked_add(since)
        };
        Some(SourceUnit {
            data: unit.data,
            time_ns: unit.time_ns,
            is_key: false,
            arrived: unit.arrived,
            captured: captured.unwrap_or(unit.arrived_wall),
            video: newest.video.clone(),
            audio: Some(audio),
        })
    }

    /// TEARDOWN, and the pipeline to Null.
    pub async fn close(self) {
        let Self { pipeline, units, tunnel, .. } = self;
        // Its threads may wait for room.
        drop(units);
        pipeline.stop().await;
        drop(tunnel);
    }

    async fn receive(&mut self) -> Result<RtspUnit, SourceError> {
        tokio::select! {
            biased;
            unit = self.units.recv() => unit.ok_or(SourceError::Ended),
            // The camera's own answer is more exact than GStreamer's report of it.
            over = self.tunnel.over() => Err(self.over(over)),
            (fault, text) = self.pipeline.failed() => {
                log_detail(&self.spec, "rtspsrc", &text);
                Err(self.meaning(fault))
            }
        }
    }

    fn over(&self, over: Over) -> SourceError {
        match over {
            // In the middle of a session it is asked nothing that it could answer so.
            Over::Stopped(Stop::Moved(..)) if self.newest.is_some() => SourceError::Protocol,
            over => Failure::behind(SourceError::Ended, Some(over)).error,
        }
    }

    fn meaning(&self, fault: RtspFault) -> SourceError {
        let (seen, opening) = (self.tunnel.seen(), self.newest.is_none());
        match (fault, seen.status) {
            (RtspFault::NoVideo(offered), _) => SourceError::NoVideo(offered),
            (_, Some(status @ 300..)) if opening => {
                SourceError::from_status(status, self.spec.credentials.is_some(), self.timing.auth_retry)
            }
            (RtspFault::NoDatagrams, _) => SourceError::NoDatagrams(self.timing.step),
            (RtspFault::Ended, _) => SourceError::Ended,
            (_, _) if seen.ended => SourceError::Ended,
            (RtspFault::Silent, _) => SourceError::NoAnswer(self.timing.step),
            (RtspFault::Other, _) if opening => SourceError::ProtocolAtOpen,
            (RtspFault::Other, _) => SourceError::Protocol,
        }
    }
}
