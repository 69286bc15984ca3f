//! Where the segments of a stream begin: decided once, at key frames of the source, and followed by the audio and by
//! every encoded rendition, so that a segment number means the same stretch of time in all of them.

use std::time::{Duration, SystemTime};

/// A segment this much shorter than asked for is long enough: groups of pictures jitter by some RTP ticks, and
/// waiting for one more group would double the segment. Less than half a picture at 25 per second, and an exception
/// per segment, so that sequence numbers do not outrun the clock.
const TOLERANCE: Duration = Duration::from_millis(20);
/// The first segment of all may be this short, so that players begin early.
const FIRST: Duration = Duration::from_millis(900);

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    pub sequence: u64,
    /// Its Discontinuity Sequence Number.
    pub discontinuity: u64,
    /// See [`AccessUnit::timeline`](crate::access_unit::AccessUnit::timeline).
    pub timeline: u64,
    /// Presentation time of its first picture.
    pub pts: Duration,
    /// When that picture was captured.
    pub at: SystemTime,
}

/// Decides at which key frames of the source segments begin.
#[derive(Debug)]
pub struct Planner {
    target: Duration,
    /// Number of the next segment.
    sequence: u64,
    /// Discontinuity Sequence Number of the next segment.
    discontinuity: u64,
    current: Option<Cut>,
    /// No segment was whole yet.
    first: bool,
}

impl Planner {
    /// Segments of at least `target`; numbers begin with those given.
    pub fn new(target: Duration, sequence: u64, discontinuity: u64) -> Self {
        Self { target, sequence, discontinuity, current: None, first: true }
    }

    /// The number that the next segment gets, and its Discontinuity Sequence Number.
    pub fn next(&self) -> (u64, u64) {
        (self.sequence, self.discontinuity)
    }

    /// Time breaks: the next key frame begins a segment. The Discontinuity Sequence Number grows by one per break that a
    /// playlist shows; a break without a segment before it shows nowhere.
    pub fn break_time(&mut self) {
        self.discontinuity += u64::from(self.current.take().is_some());
    }

    /// The last viewer left: the next viewer shall not wait for a whole segment.
    pub fn begin_anew(&mut self) {
        self.break_time();
        self.first = true;
    }

    /// The segment that begins with the key frame at `pts`, if one does.
    pub fn at_key(&mut self, timeline: u64, pts: Duration, captured: SystemTime) -> Option<Cut> {
        let at = match self.current {
            Some(current) if current.timeline == timeline => {
                let least = if self.first { FIRST.min(self.target) } else { self.target };
                let since = pts.saturating_sub(current.pts);
                if since + TOLERANCE < least {
                    return None;
                }
                self.first = false;
                // On one run of time the media's clock is steadier than when pictures are said to be captured.
                current.at + since
            }
            Some(_) => {
                self.break_time();
                captured
            }
            None => captured,
        };
        let cut = Cut { sequence: self.sequence, discontinuity: self.discontinuity, timeline, pts, at };
        self.sequence += 1;
        self.current = Some(cut);
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TARGET: Duration = Duration::from_secs(2);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Times of the cuts that key frames at these times make.
    fn cuts(keys_ms: &[u64]) -> Vec<u64> {
        let mut planner = Planner::new(TARGET, 7, 0);
        let cut = |at: &u64| planner.at_key(1, ms(*at), SystemTime::UNIX_EPOCH);
        keys_ms.iter().filter_map(cut).map(|cut| u64::try_from(cut.pts.as_millis()).unwrap()).collect()
    }

    #[test]
    fn cuts_at_the_first_key_frame_after_the_target_and_once_early() {
        for (keys, want) in [
            (&[0, 1000, 2000, 3000, 4000, 5000][..], &[0, 1000, 3000, 5000][..]),
            (&[0, 2000, 4000], &[0, 2000, 4000]),
            (&[0, 10_000, 20_000], &[0, 10_000, 20_000]),
            (&[0, 500, 1000, 1500, 2000, 2500, 3000], &[0, 1000, 3000]),
            (&[0, 1990, 3980], &[0, 1990, 3980]),
            (&[], &[]),
        ] {
            assert_eq!(cuts(keys), want, "{keys:?}");
        }
    }

    #[test]
    fn a_break_is_a_discontinuity_only_behind_a_segment() {
        let mut planner = Planner::new(TARGET, 7, 3);
        planner.break_time();
        assert_eq!(planner.next(), (7, 3));
        let captured = SystemTime::UNIX_EPOCH + ms(500);
        let first = planner.at_key(1, ms(0), captured).unwrap();
        assert_eq!((first.sequence, first.discontinuity, first.at), (7, 3, captured));
        let second = planner.at_key(1, ms(1000), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(second.at, captured + ms(1000));
        let other = planner.at_key(2, ms(1001), captured).unwrap();
        assert_eq!((other.sequence, other.discontinuity, other.at), (9, 4, captured));
        planner.begin_anew();
        assert_eq!(planner.next(), (10, 5));
    }

    proptest! {
        #[test]
        fn numbers_do_not_outrun_the_clock(steps in prop::collection::vec(20u64..5000, 1..300)) {
            let (mut planner, mut at) = (Planner::new(TARGET, 0, 0), 0);
            for step in &steps {
                planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH);
                at += step;
            }
            let (next, _) = planner.next();
            // The first two may come early.
            prop_assert!(next <= 2 + at / 1980);
        }
    }
}
