//! How long starts take, as those who wait for a picture feel it. Pure but for the clock it is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::StreamState;

/// Streams that are starting, and since when: one entry for each registered stream at most.
#[derive(Debug, Default)]
pub struct Starts(HashMap<Slug, Instant>);

/// What is seen of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// As clients see it.
    pub state: StreamState,
    /// A live worker owns it; during a hand-off the earlier one.
    pub owned: bool,
    /// It was placed by an earlier process, whose start this one has not seen.
    pub adopted: bool,
    /// It must not start now, because its workers died.
    pub held_back: bool,
}

impl Starts {
    /// Takes in what is seen; how long the start took, when it has just come to its end. What the camera holds up counts
    /// for nothing.
    pub fn look(&mut self, slug: &Slug, seen: Look, now: Instant) -> Option<Duration> {
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

    const WANTED: Look = Look { state: Starting, owned: false, adopted: false, held_back: false };

    fn runs(state: StreamState) -> Look {
        Look { state, owned: true, ..WANTED }
    }

    /// What is seen at each second, and what the last look says.
    fn told(looks: &[Look]) -> Option<u64> {
        let (mut starts, begin, slug) = (Starts::default(), Instant::now(), Slug::parse("yard").unwrap());
        let mut last = None;
        for (second, look) in (0..).zip(looks) {
            last = starts.look(&slug, *look, begin + Duration::from_secs(second));
        }
        last.map(|took| took.as_secs())
    }

    #[test]
    fn a_start_lasts_from_the_wish_to_the_picture() {
        let held_back = Look { held_back: true, ..WANTED };
        let adopted = Look { adopted: true, ..WANTED };
        for (what, looks, want) in [
            ("a start", vec![runs(Idle), WANTED, WANTED, runs(Starting), runs(Running)], Some(3)),
            ("told once", vec![WANTED, runs(Running), runs(Running)], None),
            ("a failover", vec![runs(Running), WANTED, runs(Starting), runs(Running)], Some(2)),
            ("the camera's fault", vec![WANTED, runs(Reconnecting), runs(Starting), runs(Running)], None),
            ("wrong credentials", vec![WANTED, runs(AuthFailed), runs(Running)], None),
            ("a camera that comes back", vec![runs(Running), runs(Reconnecting), runs(Running)], None),
            ("nobody wants it any more", vec![WANTED, runs(Idle), runs(Running)], None),
            ("found by a new API", vec![adopted, runs(Starting), runs(Running)], None),
            ("lost before it was found", vec![adopted, WANTED, runs(Running)], Some(1)),
            ("held back", vec![WANTED, held_back, WANTED, runs(Running)], Some(1)),
        ] {
            assert_eq!(told(&looks), want, "{what}");
        }
    }

    #[test]
    fn a_removed_stream_is_forgotten() {
        let (mut starts, now, slug) = (Starts::default(), Instant::now(), Slug::parse("yard").unwrap());
        starts.look(&slug, WANTED, now);
        starts.retain(|_| false);
        assert_eq!(starts.look(&slug, runs(Running), now), None);
    }
}
