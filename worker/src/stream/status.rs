//! The current status of a stream, for heartbeats and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use rsm_shared::stream::state::{AudioInfo, Reason, ReasonCode, StreamState, VideoInfo};
use tokio::sync::watch;

use super::meter::Measured;
use crate::output::hls::stream::HlsReport;
use crate::output::jpeg::JpegReport;
use rsm_media::parameters::{AudioParameters, VideoParameters};

/// Instants are counted from here, to fit an atomic.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Reason for a camera with intra refresh, or with a group of pictures without end.
const KEYLESS: &str = "the camera sends pictures, but no key frame: set a key frame interval of 1 to 4 s in it";
/// No picture yet.
const NEVER: u64 = u64::MAX;

/// Sent on a real change only. Numbers that change all the time are read from the shared counters behind
/// [`Self::last_media_age`] and the like.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    pub state: StreamState,
    /// Why it is not running, or why it runs and has nothing to show; `None` while all is well, or was never tried.
    pub reason: Option<Reason>,
    /// When it came into this state.
    pub since: SystemTime,
    pub video: Option<VideoInfo>,
    pub audio: Option<AudioInfo>,
    /// Camera sessions that ended.
    pub restarts: u32,
    /// Why HLS cannot be made now.
    pub hls_error: Option<String>,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Live {
    /// Milliseconds since [`ORIGIN`].
    last_media_ms: AtomicU64,
    media_sequence: AtomicU64,
    discontinuity_sequence: AtomicU64,
    frame_shown: Arc<AtomicBool>,
    segments_listed: AtomicUsize,
    target_s: AtomicU64,
}

impl StreamStatus {
    /// Since the last picture came from the camera; `None` before the first.
    pub fn last_media_age(&self) -> Option<Duration> {
        let at = self.live.last_media_ms.load(Ordering::Relaxed);
        (at != NEVER).then(|| ORIGIN.elapsed().saturating_sub(Duration::from_millis(at)))
    }

    /// The number that the next HLS segment gets: where another owner goes on.
    pub fn media_sequence(&self) -> u64 {
        self.live.media_sequence.load(Ordering::Relaxed)
    }

    /// The Discontinuity Sequence Number of the next segment; another owner begins above it.
    pub fn discontinuity_sequence(&self) -> u64 {
        self.live.discontinuity_sequence.load(Ordering::Relaxed)
    }

    /// True when a frame was published.
    pub fn frame_shown(&self) -> bool {
        self.live.frame_shown.load(Ordering::Relaxed)
    }

    /// Segments that the playlist lists now.
    pub fn segments_listed(&self) -> usize {
        self.live.segments_listed.load(Ordering::Relaxed)
    }

    /// Target duration of the playlist, seconds; 0 before there is one.
    pub fn target_s(&self) -> u64 {
        self.live.target_s.load(Ordering::Relaxed)
    }
}

/// The writing side. Clones write the same status.
#[derive(Clone, Debug)]
pub(super) struct StatusCell {
    sender: Arc<watch::Sender<StreamStatus>>,
    live: Arc<Live>,
}

impl StatusCell {
    pub fn new(first_media_sequence: u64, first_discontinuity_sequence: u64) -> Self {
        LazyLock::force(&ORIGIN);
        let live = Arc::new(Live {
            last_media_ms: AtomicU64::new(NEVER),
            media_sequence: AtomicU64::new(first_media_sequence),
            discontinuity_sequence: AtomicU64::new(first_discontinuity_sequence),
            frame_shown: Arc::default(),
            segments_listed: AtomicUsize::new(0),
            target_s: AtomicU64::new(0),
        });
        let status = StreamStatus {
            state: StreamState::Starting,
            reason: None,
            since: SystemTime::now(),
            video: None,
            audio: None,
            restarts: 0,
            hls_error: None,
            live: live.clone(),
        };
        Self { sender: Arc::new(watch::Sender::new(status)), live }
    }

    pub fn subscribe(&self) -> watch::Receiver<StreamStatus> {
        self.sender.subscribe()
    }

    /// To be set once a frame was published.
    pub fn frame_shown(&self) -> Arc<AtomicBool> {
        self.live.frame_shown.clone()
    }

    /// A picture came.
    pub fn media(&self, at: Instant) {
        let ms = at.saturating_duration_since(*ORIGIN).as_millis();
        self.live.last_media_ms.store(u64::try_from(ms).unwrap_or(NEVER - 1), Ordering::Relaxed);
    }

    pub fn enter(&self, state: StreamState, reason: Option<Reason>) {
        self.sender.send_if_modified(|status| {
            let changed = status.state != state || status.reason != reason;
            if status.state != state {
                status.since = SystemTime::now();
            }
            status.state = state;
            status.reason = reason;
            changed
        });
    }

    pub fn restarted(&self) {
        self.sender.send_modify(|status| status.restarts = status.restarts.saturating_add(1));
    }

    /// Sets the picture's parameters; measured values stay until they are measured anew.
    pub fn video(&self, video: &VideoParameters) {
        self.sender.send_if_modified(|status| {
            let old = status.video.as_ref();
            let new = VideoInfo {
                codec: video.codec.as_str().into(),
                rfc6381: video.rfc6381.clone(),
                width: video.width,
                height: video.height,
                fps: old.and_then(|old| old.fps),
                bitrate: old.and_then(|old| old.bitrate),
            };
            let changed = old != Some(&new);
            status.video = Some(new);
            changed
        });
    }

    /// Sets the audio parameters; `None` without audio.
    pub fn audio(&self, audio: Option<&AudioParameters>) {
        self.sender.send_if_modified(|status| {
            let new = audio.map(|audio| AudioInfo {
                codec: audio.codec.as_str().into(),
                sample_rate: audio.sample_rate,
                channels: audio.channels,
            });
            let changed = status.audio != new;
            status.audio = new;
            changed
        });
    }

    pub fn measured(&self, measured: Measured) {
        self.sender.send_if_modified(|status| {
            let Some(video) = &mut status.video else { return false };
            (video.fps, video.bitrate) = (Some(measured.fps), Some(measured.bitrate));
            true
        });
    }
}

impl JpegReport for StatusCell {
    fn keyless(&self, so: bool) {
        self.sender.send_if_modified(|status| {
            // Another state has a reason of its own.
            let reason = so.then(|| Reason { code: ReasonCode::Unsupported, text: KEYLESS.into() });
            let changed = status.state == StreamState::Running && status.reason != reason;
            if changed {
                status.reason = reason;
            }
            changed
        });
    }
}

impl HlsReport for StatusCell {
    fn progress(&self, media_sequence: u64, discontinuity_sequence: u64) {
        self.live.media_sequence.store(media_sequence, Ordering::Relaxed);
        self.live.discontinuity_sequence.store(discontinuity_sequence, Ordering::Relaxed);
    }

    fn listed(&self, segments: usize, target_s: u64) {
        self.live.target_s.store(target_s, Ordering::Relaxed);
        self.live.segments_listed.store(segments, Ordering::Relaxed);
    }

    fn error(&self, text: Option<String>) {
        self.sender.send_if_modified(|status| {
            let changed = status.hls_error != text;
            status.hls_error = text;
            changed
        });
    }

    fn fps(&self) -> Option<f64> {
        self.sender.borrow().video.as_ref().and_then(|video| video.fps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_without_key_frames_is_told_while_it_runs_and_not_beyond() {
        let cell = StatusCell::new(0, 0);
        let status = cell.subscribe();
        let code = || status.borrow().reason.as_ref().map(|reason| reason.code);
        cell.keyless(true);
        assert_eq!(code(), None);
        cell.enter(StreamState::Running, None);
        cell.keyless(true);
        assert_eq!(code(), Some(ReasonCode::Unsupported));
        cell.keyless(false);
        assert_eq!(code(), None);
        let lost = Reason { code: ReasonCode::Stalled, text: "no picture".into() };
        cell.enter(StreamState::Reconnecting, Some(lost));
        cell.keyless(false);
        assert_eq!(code(), Some(ReasonCode::Stalled));
    }
}
