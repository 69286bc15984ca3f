//! Which frame is the newest: the rule that keeps a stale owner's frames from viewers. Pure.

use rsm_shared::stream::fence::Fence;
use rsm_shared::wire::frame_headers::FrameHeaders;

/// What has been seen of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latest {
    /// Fence and number of the newest frame; `None` before the first.
    seen: Option<(Fence, u64)>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The newest so far.
    New,
    /// From a stale owner, or older than one already shown.
    Stale,
}

impl Latest {
    /// Judges a frame, and remembers it when it is the newest. A larger fence wins whatever its frame number: it
    /// counts from 1 again. Within a fence numbers must grow. `floor` is the fence of the current owner as far as is
    /// known: a process that has seen no frame yet must not begin with a stale owner's.
    pub fn admit(&mut self, headers: &FrameHeaders, floor: Option<Fence>) -> Verdict {
        let this = (headers.fence, headers.seq);
        if floor.is_some_and(|floor| headers.fence < floor) || self.seen.is_some_and(|seen| this <= seen) {
            return Verdict::Stale;
        }
        self.seen = Some(this);
        Verdict::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rsm_shared::stream::fence::Epoch;

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
        use Verdict::{New, Stale};
        let mut latest = Latest::default();
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
            assert_eq!(latest.admit(&headers(epoch, revision, seq), None), want, "{epoch}.{revision} {seq}");
        }
    }

    #[test]
    fn nobody_below_the_current_owner_is_shown() {
        use Verdict::{New, Stale};
        let fence = |epoch, revision| Fence { epoch: Epoch(epoch), revision };
        for (epoch, revision, floor, want) in [
            (4, 9, Some(fence(5, 1)), Stale),
            (5, 1, Some(fence(5, 2)), Stale),
            (5, 2, Some(fence(5, 2)), New),
            // A new owner's frames may be here before the news of it.
            (6, 1, Some(fence(5, 2)), New),
            (4, 9, None, New),
        ] {
            assert_eq!(Latest::default().admit(&headers(epoch, revision, 1), floor), want, "{epoch}.{revision}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_never_goes_back(frames in proptest::collection::vec((0_u64..4, 0_u64..4, 0_u64..6), 0..60)) {
            let mut latest = Latest::default();
            let mut shown = Vec::new();
            for (epoch, revision, seq) in frames {
                if latest.admit(&headers(epoch, revision, seq), None) == Verdict::New {
                    shown.push((epoch, revision, seq));
                }
            }
            prop_assert!(shown.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
