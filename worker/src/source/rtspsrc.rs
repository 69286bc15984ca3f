//! RTSP by GStreamer's `rtspsrc`: TLS, UDP, and what retina refuses.

use std::sync::Arc;

use bytes::Bytes;
use rsm_shared::stream::spec::{StreamSpec, Transport};
use tokio::sync::mpsc;
use url::Url;

use super::SourceUnit;
use super::error::SourceError;
use super::open::{OpenTiming, log_detail};
use crate::media::access_unit::MAX_UNIT_BYTES;
use crate::media::parameters::VideoParameters;
use crate::pipeline::from_rtsp::{RtspFault, RtspPipeline, RtspProtocols, RtspTarget, RtspUnit};

/// Connecting, DESCRIBE, SETUP and PLAY happen inside rtspsrc; together they get this many steps.
const STEPS: u32 = 4;

/// An open session.
pub struct RtspsrcSource {
    pipeline: RtspPipeline,
    units: mpsc::Receiver<RtspUnit>,
    /// The one that showed that the session is open.
    first: Option<RtspUnit>,
    video: Option<Arc<VideoParameters>>,
    spec: StreamSpec,
    timing: OpenTiming,
}

impl RtspsrcSource {
    /// Opens the session and waits for the first picture; `None` when `cancelled` comes first.
    pub async fn open(
        spec: &StreamSpec,
        url: &Url,
        timing: OpenTiming,
        cancelled: impl Future<Output = ()>,
    ) -> Option<Result<Self, SourceError>> {
        let target = RtspTarget {
            location: url.as_str(),
            user: spec.credentials.as_ref().map(|c| (c.username.as_str(), c.password.expose())),
            protocols: match (spec.url.scheme(), spec.transport) {
                (_, Transport::Udp) => RtspProtocols::Udp,
                ("rtsps", _) | (_, Transport::Tcp) => RtspProtocols::Tcp,
                (_, Transport::Auto) => RtspProtocols::Any,
            },
            timeout: timing.step,
        };
        // Starting only begins to connect: it takes milliseconds, so it is not cut short.
        let (pipeline, units) = match RtspPipeline::start(&target).await {
            Ok(started) => started,
            Err(error) => {
                tracing::warn!(camera = spec.url.host(), %error, "rtspsrc does not start");
                return Some(Err(SourceError::Pipeline));
            }
        };
        let mut source = Self { pipeline, units, first: None, video: None, spec: spec.clone(), timing };
        let deadline = timing.step * STEPS;
        let received = tokio::select! {
            () = cancelled => None,
            received = tokio::time::timeout(deadline, source.receive()) => Some(received),
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
        source.close().await;
        error.map(Err)
    }

    /// The next picture.
    pub async fn next(&mut self) -> Result<SourceUnit, SourceError> {
        loop {
            let unit = match self.first.take() {
                Some(unit) => unit,
                None => self.receive().await?,
            };
            if unit.data.len() > MAX_UNIT_BYTES {
                tracing::debug!(bytes = unit.data.len(), "a picture is too large and left out");
                continue;
            }
            let video = self.parameters(unit.codec_data)?;
            return Ok(SourceUnit {
                data: unit.data,
                time_ns: unit.time_ns,
                is_key: unit.is_key,
                arrived: unit.arrived,
                captured: unit.arrived_wall,
                video,
                sound: None,
            });
        }
    }

    /// TEARDOWN, and the pipeline to Null.
    pub async fn close(self) {
        let Self { pipeline, units, .. } = self;
        // Its thread may wait for room.
        drop(units);
        pipeline.stop().await;
    }

    async fn receive(&mut self) -> Result<RtspUnit, SourceError> {
        tokio::select! {
            biased;
            unit = self.units.recv() => unit.ok_or(SourceError::Ended),
            (fault, text) = self.pipeline.failed() => {
                log_detail(&self.spec, "rtspsrc", &text);
                Err(self.meaning(fault))
            }
        }
    }

    fn meaning(&self, fault: RtspFault) -> SourceError {
        let tried = self.spec.credentials.is_some();
        let status = |status| SourceError::from_status(status, tried, self.timing.auth_retry);
        match fault {
            RtspFault::Unauthorized => status(401),
            RtspFault::NotFound => status(404),
            RtspFault::Status(code) => status(code),
            RtspFault::Connect => SourceError::Unreachable,
            RtspFault::Tls => SourceError::Tls,
            RtspFault::NoVideo(offered) => SourceError::NoVideo(offered),
            RtspFault::Ended => SourceError::Ended,
            RtspFault::Other => SourceError::Protocol,
        }
    }

    fn parameters(&mut self, codec_data: Bytes) -> Result<Arc<VideoParameters>, SourceError> {
        match &self.video {
            Some(video) if video.codec_data == codec_data => Ok(video.clone()),
            _ => {
                let video = Arc::new(VideoParameters::from_avcc(codec_data).map_err(|_| SourceError::BadVideo)?);
                self.video = Some(video.clone());
                Ok(video)
            }
        }
    }
}
