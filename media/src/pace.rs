//! Compares the rate of a camera's clock with the rate of ours. Pure.
//!
//! A camera whose clock runs fast or slow would carry playlists away from the wall clock, an hour in a month at a
//! thousand parts in a million. The network delays pictures, for seconds at times, but never hastens them: the least
//! delayed picture of some seconds shows how far the camera's time is from ours.

use std::time::{Duration, Instant};

/// Largest distance of a camera's time from ours; beyond it a break sets the time right.
pub const MAX_DRIFT: Duration = Duration::from_secs(2);
/// The least delay is taken over stretches this long, longer than a network holds pictures back.
const STRETCH: Duration = Duration::from_secs(10);

/// Watches one run of continuous time.
#[derive(Debug)]
pub struct Pace {
    begin: Instant,
    /// The least delay of the first stretch, nanoseconds, against the run's first picture.
    first: Option<i64>,
    stretch_began: Instant,
    least: i64,
}

impl Pace {
    /// A run begins with the picture that `arrived`.
    pub fn new(arrived: Instant) -> Self {
        Self { begin: arrived, first: None, stretch_began: arrived, least: 0 }
    }

    /// A picture that `arrived`, `since_begin` nanoseconds behind the run's first one in the camera's time; gives
    /// whether the camera's time has gone too far from ours.
    pub fn drifted(&mut self, since_begin: i64, arrived: Instant) -> bool {
        let elapsed = i64::try_from(arrived.saturating_duration_since(self.begin).as_nanos()).unwrap_or(i64::MAX);
        let delay = elapsed.saturating_sub(since_begin);
        if arrived.saturating_duration_since(self.stretch_began) < STRETCH {
            self.least = self.least.min(delay);
            return false;
        }
        let least = std::mem::replace(&mut self.least, delay);
        self.stretch_began = arrived;
        let first = *self.first.get_or_insert(least);
        u128::from(least.abs_diff(first)) > MAX_DRIFT.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    /// Seconds until it is seen, of a camera with 10 pictures per second whose time is `ppm` too fast and whose
    /// pictures take `delay` milliseconds to arrive.
    fn seen(ppm: i64, seconds: i64, delay: impl Fn(i64) -> i64) -> Option<i64> {
        let begin = Instant::now();
        let at = |ms: i64| begin + Duration::from_millis((ms + delay(ms)) as u64);
        let mut pace = Pace::new(at(0));
        (100..seconds * 1000).step_by(100).find(|ms| pace.drifted(ms * MS + ms * ppm, at(*ms))).map(|ms| ms / 1000)
    }

    #[test]
    fn drift_is_seen_on_both_sides_once_it_is_beyond_the_bound() {
        for (ppm, from, to) in [(1000, 2000, 2030), (-1000, 2000, 2030), (200_000, 10, 40), (-200_000, 10, 40)] {
            let seen = seen(ppm, 3000, |_| 50).unwrap();
            assert!((from..=to).contains(&seen), "{ppm}: {seen}");
        }
    }

    #[test]
    fn what_the_network_does_is_no_drift() {
        // Held back for eight seconds, then all at once.
        assert_eq!(seen(0, 600, |ms| (38_000 - ms).clamp(0, 8000) * i64::from(ms > 30_000)), None);
        // A first group that was kept back for the viewer: it arrives all at once.
        assert_eq!(seen(0, 600, |ms| (8000 - ms).max(0)), None);
        // A step that stays is one: a queue that is never made up.
        assert!(seen(0, 600, |ms| if ms > 30_000 { 3000 } else { 0 }).is_some());
    }

    proptest! {
        #[test]
        fn a_good_clock_is_never_blamed(ppm in -100i64..100, jitter in prop::collection::vec(0i64..1500, 100)) {
            prop_assert_eq!(seen(ppm, 1800, |ms| jitter[(ms / 100) as usize % jitter.len()]), None);
        }
    }
}
