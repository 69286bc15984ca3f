//! Pauses between attempts that fail: they double, have a bound, and differ at random, so that processes which lost the
//! same server or camera together do not come back in one instant. Pure: the caller brings the random number.

use std::time::Duration;

/// Pauses after failures in a row.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    /// Failures in a row; saturates.
    failures: u32,
}

impl Backoff {
    /// Steps from `first`, doubled by each failure, to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The next pause, in the upper half of the step: equal jitter. `random` is from 0 to 1.
    pub fn pause(&mut self, random: f64) -> Duration {
        let step = doubled(self.first, self.failures, self.longest);
        self.failures = self.failures.saturating_add(1);
        jittered(step, random)
    }

    /// Begins with the first step again, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `first`, doubled `times` times, and `longest` at most.
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

/// A pause in the upper half of `step`; `random` is from 0 to 1.
pub fn jittered(step: Duration, random: f64) -> Duration {
    step / 2 + (step / 2).mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn pauses_double_to_the_longest_and_begin_again_after_a_reset() {
        let mut backoff = Backoff::new(FIRST, LONGEST);
        let mut seconds = |count: usize| (0..count).map(|_| backoff.pause(1.0).as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds(7), [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.pause(1.0), FIRST);
    }

    proptest! {
        #[test]
        fn every_pause_is_in_the_upper_half_of_its_step(failures in any::<u32>(), random in -1.0_f64..2.0) {
            let step = doubled(FIRST, failures, LONGEST);
            prop_assert!((FIRST..=LONGEST).contains(&step));
            let pause = jittered(step, random);
            prop_assert!(step / 2 <= pause && pause <= step);
        }
    }
}
