//! Which carrier takes a camera, and how long it may take.

use std::time::Duration;

use rsm_shared::stream::spec::Transport;

/// The RTSP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Interleaved TCP, with TLS or without, at a sixth of the cost.
    Retina,
    /// UDP, and cameras that retina refuses.
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

/// Which carrier is tried. `refused`: retina refused this camera the last time, by a fault of its own.
pub fn choose(scheme: &str, transport: Transport, refused: bool) -> Carrier {
    match (scheme, transport, refused) {
        ("rtsp" | "rtsps", Transport::Auto | Transport::Tcp, false) => Carrier::Retina,
        _ => Carrier::Rtspsrc,
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
            ("rtsps", Transport::Auto, false, Carrier::Retina),
            ("rtsps", Transport::Udp, false, Carrier::Rtspsrc),
            ("rtsps", Transport::Auto, true, Carrier::Rtspsrc),
        ] {
            assert_eq!(choose(scheme, transport, refused), want, "{scheme} {transport:?} {refused}");
        }
    }
}
