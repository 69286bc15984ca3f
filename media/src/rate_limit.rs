//! Limits the number of pictures per second. Pure.

use std::time::Duration;

/// Passes pictures at a limited rate, evenly, by their media time.
#[derive(Debug)]
pub struct RateLimit {
    interval: Duration,
    /// The next picture at or after this time goes through.
    due: Option<Duration>,
}

impl RateLimit {
    /// At most `max_fps` pictures per second; 0 counts as 1.
    pub fn new(max_fps: u32) -> Self {
        Self { interval: Duration::from_secs(1) / max_fps.max(1), due: None }
    }

    /// True when the picture at `pts` goes through. Times come in the order they are shown; a step back of more than
    /// an interval begins anew.
    pub fn admit(&mut self, pts: Duration) -> bool {
        // Cameras stamp with jitter: a picture up to a quarter of an interval early is the one that was meant.
        let slack = self.interval / 4;
        let due = match self.due {
            Some(due) if due <= pts + self.interval * 2 => due,
            _ => pts,
        };
        if pts + slack < due {
            self.due = Some(due);
            return false;
        }
        // From the plan while pictures keep to it, from the picture after a gap.
        self.due = Some((due + self.interval).max(pts + self.interval / 2));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(max_fps: u32, source_fps: f64, seconds: f64) -> usize {
        let mut rate = RateLimit::new(max_fps);
        (0..(source_fps * seconds) as u32)
            .filter(|i| rate.admit(Duration::from_secs_f64(f64::from(*i) / source_fps)))
            .count()
    }

    #[test]
    fn rates() {
        for (max, source, want) in [
            (10, 30.0, 100),
            (10, 25.0, 100),
            (30, 30.0, 300),
            (60, 25.0, 250),
            (1, 30.0, 10),
            (12, 12.5, 120),
            (5, 7.0, 50),
        ] {
            let got = count(max, source, 10.0);
            assert!(got.abs_diff(want) <= 3, "{max} of {source}: {got}, expected {want}");
        }
    }

    #[test]
    fn begins_anew_after_time_went_back() {
        let mut rate = RateLimit::new(10);
        assert!(rate.admit(Duration::from_secs(100)));
        assert!(rate.admit(Duration::from_secs(1)));
        assert!(!rate.admit(Duration::from_millis(1010)));
    }

    proptest! {
        #[test]
        fn never_much_faster_than_asked(max in 1u32..60, steps in prop::collection::vec(1u64..200, 10..300)) {
            let mut rate = RateLimit::new(max);
            let (mut at, mut passed) = (Duration::ZERO, 0u32);
            for step in steps {
                at += Duration::from_millis(step);
                passed += u32::from(rate.admit(at));
            }
            prop_assert!(f64::from(passed) <= at.as_secs_f64() * f64::from(max) * 1.02 + 3.0);
        }
    }
}
