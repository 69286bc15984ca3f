//! State and handles that all streams of a process share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::hls::disk::DiskUse;
use crate::hls::lingering::Lingering;
use crate::hls::live::LiveIndex;
use crate::metrics::WorkerMetrics;
use crate::output::frames::FrameSink;
use crate::pipeline::hardware::Hardware;
use crate::source::opener::Opener;
use crate::stream::camera_watch::CameraWatch;
use crate::stream::pacer::StartPacer;

/// Longest group of pictures that a camera is waited for before its first picture, and some more.
pub const FIRST_PICTURE: Duration = Duration::from_secs(12);

/// Deadlines and waits; given by the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Without a picture for this long a session is over.
    pub stall_timeout: Duration,
    /// And without a first one: some cameras send nothing before their next key frame, and those of long groups let
    /// ten seconds go by.
    pub first_picture: Duration,
    /// For each RTSP step.
    pub connect_timeout: Duration,
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// After the camera refused the credentials.
    pub auth_retry: Duration,
    /// A session this long forgets earlier failures.
    pub healthy_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            stall_timeout: Duration::from_secs(5),
            first_picture: FIRST_PICTURE,
            connect_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            auth_retry: Duration::from_secs(300),
            healthy_after: Duration::from_secs(60),
        }
    }
}

/// Shared by all streams of the process. A struct of handles: it does nothing itself.
pub struct Engine {
    pub frames: Arc<dyn FrameSink>,
    pub hls_root: PathBuf,
    pub timing: Timing,
    pub pacer: StartPacer,
    pub metrics: Arc<WorkerMetrics>,
    /// The decoders and encoders of this machine.
    pub hardware: Hardware,
    /// Opens the sessions of all streams.
    pub opener: Arc<dyn Opener>,
    /// Watches for the return of cameras that are away.
    pub watch: CameraWatch,
    /// Segments of all streams.
    pub disk: DiskUse,
    /// Directories of streams that ended; closed at the end of the process, after the last stream stopped.
    pub lingering: Lingering,
    /// Playlists and parts of the streams that are made now.
    pub live: LiveIndex,
    /// Places for encoders of pictures.
    pub encoders: Arc<Semaphore>,
}
