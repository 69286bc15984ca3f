//! Decoding times of pictures. Cameras send only presentation times. Pure.
//!
//! Pictures come in the order they are decoded. Decoding times must grow in that order; they are the sorted
//! presentation times, begun earlier by as many pictures as the presentation order may lag behind. So no picture waits here for a
//! later one, and a picture out of order by more than was thought gets a negative composition offset, which players
//! take (ISO/IEC 14496-12 section 8.6.1.3), instead of a break.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Gives decoding times. Ticks of any clock.
#[derive(Debug)]
pub struct DecodingTimes {
    /// Presentation times that no picture was given for decoding yet; at most the reordering, 16, and one.
    waiting: BinaryHeap<Reverse<u64>>,
    last: Option<u64>,
    reorder: u32,
    /// Ticks between pictures; places the decoding times before the first picture.
    step: u64,
}

impl DecodingTimes {
    /// For pictures about `step` ticks apart whose presentation order lags by up to `reorder` pictures.
    pub fn new(reorder: u32, step: u64) -> Self {
        Self { waiting: BinaryHeap::new(), last: None, reorder, step }
    }

    /// The decoding time of the next picture, which is shown at `pts`. Grows by at least one tick.
    pub fn next(&mut self, pts: u64) -> u64 {
        if self.last.is_none() {
            let before = |n: u32| pts.saturating_sub(u64::from(n) * self.step);
            self.waiting.extend((1..=self.reorder).map(|n| Reverse(before(n))));
        }
        self.waiting.push(Reverse(pts));
        let sorted = self.waiting.pop().map_or(pts, |Reverse(time)| time);
        let dts = self.last.map_or(sorted, |last| sorted.max(last + 1));
        self.last = Some(dts);
        dts
    }
}

/// The number of pictures by which the presentation order lags behind the order in which `shown_at` came: the most pictures that
/// come before another one and are shown after it.
pub fn seen_reorder(shown_at: &[u64]) -> u32 {
    let later = |(i, pts): (usize, &u64)| shown_at[..i].iter().filter(|earlier| *earlier > pts).count();
    let most = shown_at.iter().enumerate().map(later).max().unwrap_or_default();
    u32::try_from(most).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(reorder: u32, pts: &[u64]) -> Vec<u64> {
        let mut times = DecodingTimes::new(reorder, 10);
        pts.iter().map(|pts| times.next(*pts)).collect()
    }

    #[test]
    fn without_reordering_both_times_are_the_same() {
        assert_eq!(times(0, &[100, 110, 125, 130]), [100, 110, 125, 130]);
    }

    #[test]
    fn with_reordering_decoding_is_ahead_of_showing() {
        // I P b b P b b
        let pts = [100, 130, 110, 120, 160, 140, 150];
        assert_eq!(seen_reorder(&pts), 1);
        assert_eq!(times(1, &pts), [90, 100, 110, 120, 130, 140, 150]);
        // I P B b b
        let pyramid = [100, 140, 120, 110, 130, 180, 160, 150, 170];
        assert_eq!(seen_reorder(&pyramid), 2);
        assert_eq!(times(2, &pyramid), [80, 90, 100, 110, 120, 130, 140, 150, 160]);
    }

    #[test]
    fn doubled_and_unforeseen_times_still_grow() {
        assert_eq!(times(0, &[100, 100, 90, 130]), [100, 101, 102, 130]);
        assert_eq!(seen_reorder(&[]), 0);
    }

    proptest! {
        #[test]
        fn times_grow_and_no_picture_is_shown_before_it_is_decoded(group in 1usize..6, groups in 1u64..40, step in 1u64..5000) {
            // Groups of one picture ahead and some that are shown before it, in any order that was foreseen.
            let mut pts = vec![100_000];
            for n in 0..groups {
                let base = 100_000 + n * (group as u64) * step;
                pts.push(base + group as u64 * step);
                pts.extend((1..group as u64).map(|k| base + k * step));
            }
            let mut times = DecodingTimes::new(seen_reorder(&pts), step);
            let dts: Vec<_> = pts.iter().map(|pts| times.next(*pts)).collect();
            prop_assert!(dts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(dts.iter().zip(&pts).all(|(dts, pts)| dts <= pts));
        }

        #[test]
        fn any_times_grow(reorder in 0u32..17, pts in prop::collection::vec(0u64..1_000_000, 0..60)) {
            let mut times = DecodingTimes::new(reorder, 3000);
            let dts: Vec<_> = pts.iter().map(|pts| times.next(*pts)).collect();
            prop_assert!(dts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(times.waiting.len() <= reorder as usize);
        }
    }
}
