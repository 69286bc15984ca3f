//! Which carrier takes a camera, and opening it.

use std::time::Duration;

use rsm_shared::stream::spec::{StreamSpec, Transport};

use super::error::SourceError;
pub use super::resolve::AddressPolicy;
use super::resolve::resolve;
use super::retina::RetinaSource;
use super::rtspsrc::RtspsrcSource;
use super::{Source, redact};

/// Who speaks RTSP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Interleaved TCP at a sixth of the cost; see ARCHITECTURE.md for the figures.
    Retina,
    /// TLS, UDP, and what retina refuses.
    Rtspsrc,
}

/// Deadlines of opening.
#[derive(Clone, Copy, Debug)]
pub struct OpenTiming {
    /// For each step: looking the name up, connecting and DESCRIBE, SETUP, PLAY.
    pub step: Duration,
    /// When the next try with refused credentials is; stands in the sentence for people.
    pub auth_retry: Duration,
}

/// Which carrier is tried. `refused` is what retina said of this camera the last time, if it was the carrier's fault.
pub fn choose(scheme: &str, transport: Transport, refused: bool) -> Carrier {
    match (scheme, transport, refused) {
        ("rtsp", Transport::Auto | Transport::Tcp, false) => Carrier::Retina,
        _ => Carrier::Rtspsrc,
    }
}

/// Opens a camera session; `None` when `cancelled` comes first. Not to be dropped half-way: a camera that is not told
/// keeps its session for a minute, and cameras have few of them.
///
/// # Errors
/// [`SourceError`]. Nothing is left open then, or after `cancelled`: a TEARDOWN is sent if a session was set up.
pub async fn open(
    spec: &StreamSpec,
    carrier: Carrier,
    policy: &AddressPolicy,
    timing: OpenTiming,
    cancelled: impl Future<Output = ()> + Unpin,
) -> Option<Result<Source, SourceError>> {
    let mut cancelled = cancelled;
    let resolved = tokio::select! {
        () = &mut cancelled => return None,
        resolved = resolve(&spec.url, policy, timing.step) => resolved,
    };
    let pinned = match resolved {
        Ok((_, pinned)) => pinned,
        Err(error) => return Some(Err(error)),
    };
    match carrier {
        Carrier::Retina => {
            RetinaSource::open(spec, pinned, timing, cancelled).await.map(|opened| opened.map(Source::Retina))
        }
        Carrier::Rtspsrc => {
            // A certificate names a host, so with TLS the name stays.
            let url = if spec.url.scheme() == "rtsps" { spec.url.as_url().clone() } else { pinned };
            RtspsrcSource::open(spec, &url, timing, cancelled).await.map(|opened| opened.map(Source::Rtspsrc))
        }
    }
}

/// Logs what a library said, for whoever looks into a camera; never shown to a viewer.
pub(super) fn log_detail(spec: &StreamSpec, step: &'static str, text: &str) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let detail = redact::redact(text, spec.credentials.as_ref());
        tracing::debug!(camera = spec.url.host(), step, detail, "the camera session failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers() {
        for (scheme, transport, refused, want) in [
            ("rtsp", Transport::Auto, false, Carrier::Retina),
            ("rtsp", Transport::Tcp, false, Carrier::Retina),
            ("rtsp", Transport::Udp, false, Carrier::Rtspsrc),
            ("rtsp", Transport::Auto, true, Carrier::Rtspsrc),
            ("rtsp", Transport::Tcp, true, Carrier::Rtspsrc),
            ("rtsps", Transport::Auto, false, Carrier::Rtspsrc),
        ] {
            assert_eq!(choose(scheme, transport, refused), want, "{scheme} {transport:?} {refused}");
        }
    }
}
