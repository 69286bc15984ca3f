//! One camera session: from the first RTSP request to the reason it ended for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::ops::traces;
use rsm_shared::stream::spec::StreamSpec;
use rsm_shared::stream::state::StreamState;
use tokio_util::sync::CancellationToken;

use super::camera_log::CameraLog;
use super::engine::Engine;
use super::meter::Meter;
use super::pacer::Start;
use super::status::StatusCell;
use crate::hub::StreamHub;
use crate::metrics::StreamSeries;
use crate::source::carrier::{Carrier, OpenTiming};
use crate::source::error::SourceError;
use crate::source::{Source, SourceUnit};
use crate::stream_trace::Opening;
use rsm_media::access_unit::AccessUnit;
use rsm_media::media_time::MediaTime;
use rsm_media::parameters::VideoParameters;

/// State and handles that all sessions of one stream share.
pub(super) struct Sessions {
    pub engine: Arc<Engine>,
    pub spec: StreamSpec,
    pub hub: Arc<StreamHub>,
    pub status: StatusCell,
    pub metrics: StreamSeries,
    pub log: CameraLog,
    pub time: MediaTime,
    /// See [`AccessUnit::timeline`].
    pub timeline: u64,
}

/// The end of a session.
pub(super) struct SessionEnd {
    pub error: SourceError,
    /// From the first picture to the end.
    pub healthy: Duration,
}

impl Sessions {
    /// Runs one session until it ends by itself, or until `cancel`, which gives `None`.
    /// `start` is returned as soon as the session is open, or is known not to open.
    pub async fn run(
        &mut self,
        carrier: Carrier,
        start: Start,
        mut opening: Opening,
        cancel: &CancellationToken,
    ) -> Option<SessionEnd> {
        let timing = OpenTiming { step: self.engine.timing.connect_timeout, auth_retry: self.engine.timing.auth_retry };
        let open = self.engine.opener.open(&self.spec, carrier, timing, cancel);
        let opened = traces::inside(opening.context(), open).await;
        drop(start);
        let mut source = match opened? {
            Ok(source) => source,
            Err(error) => {
                opening.failed(&error.reason());
                return Some(SessionEnd { error, healthy: Duration::ZERO });
            }
        };
        opening.opened();
        let ended = tokio::select! {
            () = cancel.cancelled() => None,
            ended = self.pump(&mut source, opening) => Some(ended),
        };
        // The pictures of this session are no longer current; no output may begin with them.
        self.hub.forget();
        source.close().await;
        ended
    }

    /// From the source to the hub until the source ends or falls silent.
    async fn pump(&mut self, source: &mut Source, opening: Opening) -> SessionEnd {
        let stall = self.engine.timing.stall_timeout;
        let mut first = None;
        let mut opening = Some(opening);
        let mut meter = Meter::default();
        let mut video: Option<Arc<VideoParameters>> = None;
        self.time.restart();
        self.timeline += 1;
        // Audio alone does not keep a session: viewers want pictures.
        let mut patience = self.engine.timing.first_picture;
        let mut silent_at = tokio::time::Instant::now() + patience;
        // The audio of an earlier session may be gone.
        self.status.audio(None);
        let error = loop {
            let unit = match tokio::time::timeout_at(silent_at, source.next()).await {
                Ok(Ok(unit)) => unit,
                Ok(Err(error)) => break error,
                Err(_) => match source.left_out() {
                    // Pictures come, only none that can be shown; the source knows when to give up.
                    Some(at) if at.elapsed() < stall => {
                        silent_at = tokio::time::Instant::from_std(at) + stall;
                        continue;
                    }
                    _ => break SourceError::Stalled(patience),
                },
            };
            self.metrics.ingested(unit.data.len());
            if let Some(audio) = &unit.audio {
                self.status.audio(Some(audio));
                self.publish_audio(unit);
                continue;
            }
            patience = stall;
            silent_at = tokio::time::Instant::now() + stall;
            self.status.media(unit.arrived);
            if first.is_none() {
                first = Some(Instant::now());
                self.status.video(&unit.video);
                self.status.enter(StreamState::Running, None);
                self.log.well();
            }
            if opening.as_mut().is_some_and(|opening| opening.picture(unit.is_key)) {
                opening = None;
            }
            if let Some(measured) = meter.count(unit.arrived, unit.data.len()) {
                self.status.measured(measured);
            }
            if video.as_ref().is_some_and(|video| !Arc::ptr_eq(video, &unit.video)) {
                self.status.video(&unit.video);
                self.begin_timeline();
            }
            video = Some(unit.video.clone());
            self.publish(unit);
        };
        if let Some(opening) = opening {
            opening.failed(&error.reason());
        }
        SessionEnd { error, healthy: first.map_or(Duration::ZERO, |first| first.elapsed()) }
    }

    fn publish(&mut self, unit: SourceUnit) {
        let SourceUnit { data, time_ns, is_key, arrived, captured, video, .. } = unit;
        let placed = self.time.place(time_ns, arrived, video.reorder != Some(0));
        if placed.discontinuity {
            self.begin_timeline();
        }
        let (pts, timeline) = (placed.pts, self.timeline);
        self.hub.publish(AccessUnit { data, pts, is_key, arrived, captured, timeline, video, audio: None });
    }

    /// Audio follows the pictures' time; frames that cannot be placed in it are dropped.
    fn publish_audio(&mut self, unit: SourceUnit) {
        let SourceUnit { data, time_ns, arrived, captured, video, audio, .. } = unit;
        let Some(pts) = self.time.place_audio(time_ns) else { return };
        let timeline = self.timeline;
        self.hub.publish(AccessUnit { data, pts, is_key: false, arrived, captured, timeline, video, audio });
    }

    fn begin_timeline(&mut self) {
        self.timeline += 1;
        self.hub.forget();
    }
}
