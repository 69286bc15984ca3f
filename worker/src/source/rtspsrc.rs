//! RTSP by GStreamer's `rtspsrc`: UDP, and what retina refuses. It sees the camera through a tunnel only.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rsm_shared::stream::spec::{StreamSpec, Transport};
use tokio::sync::mpsc;

use super::SourceUnit;
use super::answers::Stop;
use super::error::SourceError;
use super::open::{Failure, OpenTiming, log_detail};
use super::tunnel::{Over, Tunnel};
use crate::media::access_unit::MAX_UNIT_BYTES;
use crate::media::parameters::{AudioParameters, VideoParameters};
use crate::pipeline::from_rtsp::{RtspFault, RtspMedia, RtspPipeline, RtspProtocol, RtspTarget, RtspUnit};

/// DESCRIBE, SETUP, PLAY and the first key picture happen inside rtspsrc; together they get this many steps.
const STEPS: u32 = 4;
/// A picture that is older by the camera's clock was taken by a clock that is wrong.
const MAX_AGE: Duration = Duration::from_secs(5);

/// An open session.
pub struct RtspsrcSource {
    pipeline: RtspPipeline,
    units: mpsc::Receiver<RtspUnit>,
    /// Dropped after the pipeline, which sends its TEARDOWN through it.
    tunnel: Tunnel,
    /// The picture that showed that the session is open.
    first: Option<SourceUnit>,
    /// Of the newest picture.
    video: Option<Arc<VideoParameters>>,
    spec: StreamSpec,
    timing: OpenTiming,
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
        // Starting only begins to connect: it takes milliseconds, so it is not cut short.
        let (pipeline, units) = match RtspPipeline::start(&target).await {
            Ok(started) => started,
            Err(error) => {
                tracing::warn!(camera = spec.url.host(), %error, "rtspsrc does not start");
                return Some(Err(SourceError::Pipeline.into()));
            }
        };
        let mut source = Self { pipeline, units, tunnel, first: None, video: None, spec: spec.clone(), timing };
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

    /// The next picture, or the next frame of sound after the first picture. Safe to drop.
    pub async fn next(&mut self) -> Result<SourceUnit, SourceError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            let unit = self.receive().await?;
            if unit.data.len() > MAX_UNIT_BYTES {
                tracing::debug!(bytes = unit.data.len(), "a picture is too large and left out");
                continue;
            }
            let sound: Option<Arc<AudioParameters>> = match unit.media {
                RtspMedia::Picture(video) => {
                    self.video = Some(video);
                    None
                }
                RtspMedia::Sound(sound) => Some(sound),
                RtspMedia::Unreadable => return Err(SourceError::BadVideo),
            };
            let Some(video) = self.video.clone() else { continue };
            return Ok(SourceUnit {
                data: unit.data,
                time_ns: unit.time_ns,
                is_key: unit.is_key,
                arrived: unit.arrived,
                captured: credible(unit.camera_time, unit.arrived_wall),
                video,
                sound,
            });
        }
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
            // What the camera said is worth more than what GStreamer makes of it.
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
            Over::Stopped(Stop::Moved(..)) if self.video.is_some() => SourceError::Protocol,
            over => Failure::behind(SourceError::Ended, Some(over)).error,
        }
    }

    fn meaning(&self, fault: RtspFault) -> SourceError {
        let (seen, opening) = (self.tunnel.seen(), self.video.is_none());
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

/// The camera's time of a picture when it can be true, else when it arrived.
fn credible(camera: Option<SystemTime>, arrived: SystemTime) -> SystemTime {
    let from = arrived.checked_sub(MAX_AGE).unwrap_or(SystemTime::UNIX_EPOCH);
    camera.filter(|camera| (from..=arrived).contains(camera)).unwrap_or(arrived)
}
