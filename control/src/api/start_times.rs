//! The time that starts take for viewers: from the wish for a stream to its first picture.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::slug::Slug;
use rsm_model::stream::state::StreamState;

/// Streams that are starting, and the moment when they began to: one entry for each registered stream at most.
#[derive(Debug, Default)]
pub struct StartTimes(HashMap<Slug, Instant>);

/// One observation of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StartObservation {
    /// The state that clients see.
    pub state: StreamState,
    /// A live worker owns it.
    pub owned: bool,
    /// An earlier process placed it, so its start was not observed.
    pub adopted: bool,
    /// It must not start now, because its workers died.
    pub held_back: bool,
}

impl StartTimes {
    /// Takes in an observation. Returns the time that the start took when it has just ended. StartTimes that the camera holds
    /// up do not count.
    pub fn observe(&mut self, slug: &Slug, seen: StartObservation, now: Instant) -> Option<Duration> {
        match seen.state {
            StreamState::Starting if !seen.held_back => {
                if !seen.owned && !seen.adopted && !self.0.contains_key(slug) {
                    self.0.insert(slug.clone(), now);
                }
                None
            }
            StreamState::Running => self.0.remove(slug).map(|since| now.saturating_duration_since(since)),
            _ => {
                self.0.remove(slug);
                None
            }
        }
    }

    /// Forgets streams that are not registered any more.
    pub fn retain(&mut self, registered: impl Fn(&Slug) -> bool) {
        self.0.retain(|slug, _| registered(slug));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StreamState::{AuthFailed, Idle, Reconnecting, Running, Starting};

    const WANTED: StartObservation =
        StartObservation { state: Starting, owned: false, adopted: false, held_back: false };

    fn runs(state: StreamState) -> StartObservation {
        StartObservation { state, owned: true, ..WANTED }
    }

    /// Observes a stream once in each second; the seconds that the last observation returns.
    fn took(observations: &[StartObservation]) -> Option<u64> {
        let (mut starts, begin, slug) = (StartTimes::default(), Instant::now(), Slug::parse("yard").unwrap());
        let mut last = None;
        for (second, observation) in (0..).zip(observations) {
            last = starts.observe(&slug, *observation, begin + Duration::from_secs(second));
        }
        last.map(|took| took.as_secs())
    }

    #[test]
    fn a_start_lasts_from_the_wish_to_the_picture() {
        let held_back = StartObservation { held_back: true, ..WANTED };
        let adopted = StartObservation { adopted: true, ..WANTED };
        for (what, observations, want) in [
            ("a start", vec![runs(Idle), WANTED, WANTED, runs(Starting), runs(Running)], Some(3)),
            ("reported once", vec![WANTED, runs(Running), runs(Running)], None),
            ("a failover", vec![runs(Running), WANTED, runs(Starting), runs(Running)], Some(2)),
            ("the camera's fault", vec![WANTED, runs(Reconnecting), runs(Starting), runs(Running)], None),
            ("wrong credentials", vec![WANTED, runs(AuthFailed), runs(Running)], None),
            ("a camera that comes back", vec![runs(Running), runs(Reconnecting), runs(Running)], None),
            ("no viewer wants it any more", vec![WANTED, runs(Idle), runs(Running)], None),
            ("found by a new API", vec![adopted, runs(Starting), runs(Running)], None),
            ("lost before it was found", vec![adopted, WANTED, runs(Running)], Some(1)),
            ("held back", vec![WANTED, held_back, WANTED, runs(Running)], Some(1)),
        ] {
            assert_eq!(took(&observations), want, "{what}");
        }
    }

    #[test]
    fn a_removed_stream_is_forgotten() {
        let (mut starts, now, slug) = (StartTimes::default(), Instant::now(), Slug::parse("yard").unwrap());
        starts.observe(&slug, WANTED, now);
        starts.retain(|_| false);
        assert_eq!(starts.observe(&slug, runs(Running), now), None);
    }
}
