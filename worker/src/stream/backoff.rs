//! When the next camera session is tried. Pure.

use std::time::Duration;

use rsm_shared::backoff::Backoff;
use rsm_shared::stream::state::StreamState;

use super::engine::Timing;

/// The pauses of one stream between camera sessions.
#[derive(Debug)]
pub struct SessionBackoff {
    timing: Timing,
    /// Counts the sessions in a row that failed or were short.
    backoff: Backoff,
}

impl SessionBackoff {
    /// No session has failed yet.
    pub fn new(timing: Timing) -> Self {
        // The pause is in the upper half of its step, and never below the least.
        let (first, longest) = (timing.backoff_min.saturating_mul(2), timing.backoff_max.max(timing.backoff_min));
        Self { timing, backoff: Backoff::new(first, longest) }
    }

    /// The camera has come back after it could not be reached: failures of that time say nothing about it now.
    pub fn returned(&mut self) {
        self.backoff.reset();
    }

    /// The wait before the next try, after a session that left the stream in `state` and had media for `healthy`.
    /// `random` is from 0 to 1: cameras that went away together must not come back in one instant.
    pub fn after(&mut self, state: StreamState, healthy: Duration, random: f64) -> Duration {
        if healthy >= self.timing.healthy_after {
            self.backoff.reset();
        }
        let pause = self.backoff.pause(random);
        if state == StreamState::AuthFailed {
            // Cameras lock accounts for half an hour after a handful of wrong passwords.
            return self.timing.auth_retry.mul_f64(1.0 + random.clamp(0.0, 1.0) / 10.0);
        }
        pause.max(self.timing.backoff_min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(healthy: &[u64], random: f64) -> Vec<f64> {
        let mut backoff = SessionBackoff::new(Timing::default());
        let wait = |s| backoff.after(StreamState::Reconnecting, Duration::from_secs(s), random).as_secs_f64();
        healthy.iter().copied().map(wait).collect()
    }

    #[test]
    fn doubles_up_to_a_minute_and_resets_after_a_minute_of_health() {
        assert_eq!(seconds(&[0; 8], 1.0), [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        assert_eq!(seconds(&[0; 8], 0.0), [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(seconds(&[0, 0, 59, 60, 0], 0.0), [1.0, 2.0, 4.0, 1.0, 2.0]);
    }

    #[test]
    fn wrong_credentials_wait_minutes() {
        let mut backoff = SessionBackoff::new(Timing::default());
        for _ in 0..3 {
            let wait = backoff.after(StreamState::AuthFailed, Duration::ZERO, 0.5);
            assert!((300.0..=330.0).contains(&wait.as_secs_f64()));
        }
    }

    proptest! {
        #[test]
        fn always_within_its_bounds(healthy in prop::collection::vec(0u64..200, 1..100), random in 0.0f64..=1.0) {
            for wait in seconds(&healthy, random) {
                prop_assert!((1.0..=60.0).contains(&wait));
            }
        }
    }
}
