//! The rule that keeps a stale owner's frames from viewers: which frame of a stream is the newest.

use super::frame_headers::FrameHeaders;
use crate::stream::fence::{Epoch, Fence};

/// The newest frame of one stream that was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatestFrame {
    /// Fence and number of the newest frame; `None` before the first.
    seen: Option<(Fence, u64)>,
}

/// A stream's owners as the API published them. They may be a moment old: a frame of a larger epoch is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownOwners {
    /// The owner whose media counts; `None` while there is none.
    pub shown: Option<Fence>,
    /// Epoch of the newest placement.
    pub newest: Option<Epoch>,
}

/// The decision about one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameDecision {
    /// The newest so far.
    New,
    /// From a stale owner, or older than one already shown.
    Stale,
}

impl LatestFrame {
    /// Judges a frame, and remembers it when it is the newest. A larger fence wins whatever its frame number: it
    /// counts from 1 again. Within a fence numbers must grow. A frame of an earlier placement than the newest counts
    /// only while its owner is the one that is shown: others are dead or have to end, and frames that they sent before
    /// may come late, out of a buffer.
    pub fn admit(&mut self, headers: &FrameHeaders, known: KnownOwners) -> FrameDecision {
        let this = (headers.fence, headers.seq);
        let shown = known.shown == Some(headers.fence);
        let outdated = known.newest.is_some_and(|newest| headers.fence.epoch < newest) && !shown;
        let below = known.shown.is_some_and(|shown| headers.fence < shown);
        if outdated || below || self.seen.is_some_and(|seen| this <= seen) {
            return FrameDecision::Stale;
        }
        self.seen = Some(this);
        FrameDecision::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(epoch: u64, revision: u64, seq: u64) -> FrameHeaders {
        FrameHeaders {
            fence: Fence { epoch: Epoch(epoch), revision },
            seq,
            captured_at_us: 0,
            published_at_us: 0,
            width: 1,
            height: 1,
        }
    }

    #[test]
    fn frames_in_the_order_they_came() {
        use FrameDecision::{New, Stale};
        let mut latest = LatestFrame::default();
        for (epoch, revision, seq, want) in [
            (5, 1, 10, New),
            (5, 1, 10, Stale),
            (5, 1, 9, Stale),
            (5, 1, 11, New),
            (4, 9, 99, Stale),
            (5, 2, 1, New),
            (5, 1, 12, Stale),
            (6, 1, 1, New),
            (5, 2, 2, Stale),
            (6, 1, 3, New),
        ] {
            assert_eq!(
                latest.admit(&headers(epoch, revision, seq), KnownOwners::default()),
                want,
                "{epoch}.{revision} {seq}"
            );
        }
    }

    #[test]
    fn an_owner_that_is_not_shown_counts_only_when_it_is_of_the_newest_placement() {
        use FrameDecision::{New, Stale};
        let fence = |epoch, revision| Fence { epoch: Epoch(epoch), revision };
        for (epoch, revision, shown, newest, want) in [
            (4, 9, Some(fence(5, 1)), 5, Stale),
            (5, 1, Some(fence(5, 2)), 5, Stale),
            (5, 2, Some(fence(5, 2)), 5, New),
            // A new owner's frames may be here before the news of it.
            (6, 1, Some(fence(5, 2)), 5, New),
            // A hand-off: the earlier owner is shown, the next is on its way, one between them has failed.
            (5, 2, Some(fence(5, 2)), 7, New),
            (6, 1, Some(fence(5, 2)), 7, Stale),
            (7, 1, Some(fence(5, 2)), 7, New),
            // The owner was declared dead.
            (5, 2, None, 6, Stale),
            (6, 1, None, 6, New),
        ] {
            let known = KnownOwners { shown, newest: Some(Epoch(newest)) };
            let verdict = LatestFrame::default().admit(&headers(epoch, revision, 1), known);
            assert_eq!(verdict, want, "{epoch}.{revision} {known:?}");
        }
        assert_eq!(LatestFrame::default().admit(&headers(4, 9, 1), KnownOwners::default()), New);
    }

    proptest! {
        #[test]
        fn what_is_shown_never_goes_back(frames in proptest::collection::vec((0_u64..4, 0_u64..4, 0_u64..6), 0..60)) {
            let mut latest = LatestFrame::default();
            let mut shown = Vec::new();
            for (epoch, revision, seq) in frames {
                if latest.admit(&headers(epoch, revision, seq), KnownOwners::default()) == FrameDecision::New {
                    shown.push((epoch, revision, seq));
                }
            }
            prop_assert!(shown.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
