//! The state of a stream and its reason, in words for people and codes for machines.

use serde::{Deserialize, Serialize};

/// State of a stream as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// It may run and has no viewers.
    Idle,
    /// Wanted; no media yet.
    Starting,
    /// Media flows.
    Running,
    /// Media flowed, or was tried for, and is tried for again.
    Reconnecting,
    /// The camera refused the credentials; tried again rarely, at once when they change.
    AuthFailed,
    /// It cannot run until a person changes something. It is still tried again, at the slowest pace.
    Failed,
    /// Switched off by an operator.
    Stopped,
    /// A state of a newer version, which this one does not know. It stands in messages only: clients see `starting`.
    #[serde(other)]
    Unknown,
}

impl StreamState {
    /// Every state that clients see, for label sets and documentation.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Starting, Self::Running, Self::Reconnecting, Self::AuthFailed, Self::Failed, Self::Stopped];

    /// The name that stands in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Reconnecting => "reconnecting",
            Self::AuthFailed => "auth_failed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// Why a camera session ended or cannot begin. A closed set: it is a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// The host name has no address.
    NameNotFound,
    /// No route, or no answer in time.
    Unreachable,
    /// The host refused the connection.
    Refused,
    /// 401 or 403.
    AuthFailed,
    /// 404: no such path on the camera.
    NotFound,
    /// 453 or 503: the camera serves no further session.
    Busy,
    /// The peer is not an RTSP server.
    NotRtsp,
    /// The camera offers no video that can be used.
    Unsupported,
    /// The connection is open but no media came for the stall timeout.
    Stalled,
    /// The camera closed the session.
    Ended,
    /// The camera broke the protocol, or answered with another error.
    Protocol,
    /// A GStreamer pipeline failed.
    Pipeline,
    /// No live worker has a free slot.
    NoWorker,
    /// Its workers died right after starting it.
    Quarantined,
    /// A code of a newer version, which this one does not know; the sentence says what it is.
    #[serde(other)]
    Unknown,
}

impl ReasonCode {
    /// The name that stands in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NameNotFound => "name_not_found",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::AuthFailed => "auth_failed",
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::NotRtsp => "not_rtsp",
            Self::Unsupported => "unsupported",
            Self::Stalled => "stalled",
            Self::Ended => "ended",
            Self::Protocol => "protocol",
            Self::Pipeline => "pipeline",
            Self::NoWorker => "no_worker",
            Self::Quarantined => "quarantined",
            Self::Unknown => "unknown",
        }
    }
}

/// A code and a sentence that tells a person what to do. Never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: ReasonCode,
    pub text: String,
}

/// The properties of a stream's video.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// `h264`, `h265` or `jpeg`.
    pub codec: String,
    /// RFC 6381 string for the playlist's CODECS, such as `avc1.64001f`.
    pub rfc6381: String,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// Pictures per second as seen over the last seconds; `None` until measured.
    pub fps: Option<f64>,
    /// Bits per second as seen over the last seconds; `None` until measured.
    pub bitrate: Option<u64>,
}

/// The properties of a stream's audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioInfo {
    /// As the camera sends it: `aac`, `pcma` or `pcmu`.
    pub codec: String,
    /// Hertz.
    pub sample_rate: u32,
    pub channels: u16,
}
