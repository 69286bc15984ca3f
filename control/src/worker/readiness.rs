//! When a new owner has enough to show, so that an earlier owner may end.

use rsm_model::stream::demand::Demand;
use rsm_model::stream::state::StreamState;

/// Segments that the player of a viewer can go on with. A player that begins wants three (RFC 8216 section 6.3.3), but
/// one that is playing has those of the earlier owner.
const PLAYABLE: usize = 2;
/// Target duration from which on one segment is enough, seconds.
const LONG_S: u64 = 5;

/// The outputs of one owner that viewers can see.
#[derive(Clone, Copy, Debug)]
pub struct OutputProgress {
    /// A frame was published.
    pub frame: bool,
    /// Segments in the playlist.
    pub segments: usize,
    /// Target duration of the playlist, seconds.
    pub target_s: u64,
    /// HLS cannot be made, and waiting does not change that.
    pub hls_failed: bool,
}

/// Returns whether every wanted output has something to show, or never will, so that an earlier owner may end.
pub fn is_ready(state: StreamState, demand: Demand, shown: OutputProgress) -> bool {
    let playable = if shown.target_s >= LONG_S { 1 } else { PLAYABLE };
    state == StreamState::Running
        && (!demand.frames() || shown.frame)
        && (!demand.hls || shown.hls_failed || shown.segments >= playable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_model::stream::spec::JpegParams;

    #[test]
    fn an_owner_is_ready_when_all_that_is_wanted_can_be_seen() {
        let wanted = |jpeg: bool, hls| Demand {
            jpeg: jpeg.then_some(JpegParams { max_fps: 5, max_width: 640, quality: 80 }),
            hls,
            ..Demand::default()
        };
        for (demand, frame, segments, target_s, want) in [
            (wanted(false, false), false, 0, 2, true),
            (wanted(true, false), false, 6, 2, false),
            (wanted(true, false), true, 0, 2, true),
            (wanted(false, true), true, 1, 2, false),
            (wanted(false, true), false, 2, 2, true),
            (wanted(false, true), false, 1, 4, false),
            (wanted(false, true), false, 0, 5, false),
            (wanted(false, true), false, 1, 5, true),
            (wanted(true, true), true, 1, 2, false),
            (wanted(true, true), false, 2, 2, false),
            (wanted(true, true), true, 2, 2, true),
        ] {
            let shown = OutputProgress { frame, segments, target_s, hls_failed: false };
            assert_eq!(is_ready(StreamState::Running, demand, shown), want, "{demand:?} {shown:?}");
            assert!(!is_ready(StreamState::Reconnecting, demand, shown));
        }
    }

    #[test]
    fn hls_that_cannot_be_made_is_not_waited_for() {
        let jpeg = Some(JpegParams { max_fps: 5, max_width: 640, quality: 80 });
        for (jpeg, frame, want) in [(None, false, true), (jpeg, false, false), (jpeg, true, true)] {
            let shown = OutputProgress { frame, segments: 0, target_s: 0, hls_failed: true };
            assert_eq!(
                is_ready(StreamState::Running, Demand { jpeg, hls: true, ..Demand::default() }, shown),
                want,
                "{jpeg:?} {shown:?}"
            );
        }
    }
}
