//! The segments of a stream that have begun, for the renditions that follow the source.

use std::collections::VecDeque;
use std::time::Duration;

use super::planner::Cut;

/// Cuts that are remembered: more than a slow rendition may lag behind the source, whose queue holds 30 s.
const MAX_CUTS: usize = 64;

/// The newest cuts of the source, and how far its pictures were examined.
#[derive(Debug, Default)]
pub struct Cuts {
    /// At most [`MAX_CUTS`].
    cuts: VecDeque<Cut>,
    /// Timeline and presentation time up to which every picture of the source was examined.
    until: Option<(u64, Duration)>,
}

impl Cuts {
    /// The source's picture at `pts` was examined; it begins `cut`, if any.
    pub fn add(&mut self, timeline: u64, pts: Duration, cut: Option<Cut>) {
        self.until = self.until.max(Some((timeline, pts)));
        if let Some(cut) = cut {
            self.cuts.push_back(cut);
            if self.cuts.len() > MAX_CUTS {
                self.cuts.pop_front();
            }
        }
    }

    /// Forgets everything: the source begins anew, maybe in the same timeline, with pictures that it had already.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// True when a picture of the source was examined.
    pub fn is_begun(&self) -> bool {
        self.until.is_some()
    }

    /// True when the source's picture at `pts` was examined.
    pub fn covers(&self, timeline: u64, pts: Duration) -> bool {
        self.until.is_some_and(|until| until >= (timeline, pts))
    }

    /// Up to which presentation time the source's pictures of this timeline were examined.
    pub fn reached(&self, timeline: u64) -> Option<Duration> {
        self.until.filter(|until| until.0 == timeline).map(|until| until.1)
    }

    /// The segment that begins with the key frame at `pts`.
    pub fn at(&self, timeline: u64, pts: Duration) -> Option<Cut> {
        self.cuts.iter().find(|cut| (cut.timeline, cut.pts) == (timeline, pts)).copied()
    }

    /// The first segment of that timeline whose number is greater than `sequence`, if that is given, and that begins at
    /// `pts` or before.
    pub fn next(&self, sequence: Option<u64>, timeline: u64, pts: Duration) -> Option<Cut> {
        let begun = |cut: &&Cut| cut.timeline == timeline && cut.pts <= pts;
        self.cuts.iter().filter(begun).find(|cut| sequence.is_none_or(|before| cut.sequence > before)).copied()
    }

    /// The newest segment of that timeline that begins at `pts` or before.
    pub fn current(&self, timeline: u64, pts: Duration) -> Option<Cut> {
        self.cuts.iter().rev().find(|cut| cut.timeline == timeline && cut.pts <= pts).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::planner::Planner;
    use proptest::prelude::*;
    use std::time::SystemTime;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn cuts_are_found_by_number_and_by_time() {
        let (mut cuts, mut planner) = (Cuts::default(), Planner::new(ms(2000), 7, 0));
        assert!(!cuts.is_begun() && !cuts.covers(1, ms(0)));
        for at in [0, 1000, 2000] {
            cuts.add(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
        }
        let number = |cut: Option<Cut>| cut.map(|cut| cut.sequence);
        assert_eq!([number(cuts.at(1, ms(1000))), number(cuts.at(1, ms(2000)))], [Some(8), None]);
        assert_eq!(number(cuts.next(Some(7), 1, ms(1500))), Some(8));
        assert_eq!(number(cuts.next(Some(8), 1, ms(9000))), None);
        assert_eq!(number(cuts.next(None, 1, ms(500))), Some(7));
        assert_eq!([number(cuts.current(1, ms(1500))), number(cuts.current(2, ms(1500)))], [Some(8), None]);
        assert_eq!([cuts.reached(1), cuts.reached(2)], [Some(ms(2000)), None]);
        assert!(cuts.covers(1, ms(2000)) && !cuts.covers(1, ms(2001)) && !cuts.covers(2, ms(0)));
        cuts.clear();
        assert_eq!((number(cuts.current(1, ms(5000))), cuts.reached(1)), (None, None));
    }

    proptest! {
        #[test]
        fn cuts_are_remembered_up_to_a_bound(steps in prop::collection::vec(20u64..5000, 1..300)) {
            let (mut cuts, mut planner, mut at) = (Cuts::default(), Planner::new(ms(2000), 0, 0), 0);
            for step in &steps {
                cuts.add(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
                at += step;
            }
            prop_assert!(cuts.cuts.len() <= MAX_CUTS);
        }
    }
}
