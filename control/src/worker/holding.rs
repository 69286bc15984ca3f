//! The streams that this process owns, those that are ending, and those that wait for an ending one.
//!
//! Two placements of one stream never run at the same time here: many cameras serve one session only, and a stream's
//! metrics go when it ends. So a newer placement waits until all earlier ones of its stream have ended.

use std::collections::HashMap;

use rsm_model::stream::fence::{Epoch, Fence};
use rsm_model::stream::slug::Slug;

/// The streams of one worker process. `H` is the handle of a running stream, `N` all that is needed to start one.
/// Bounded by the slots of the worker: every stream that runs, ends or waits here has one.
#[derive(Debug)]
pub struct Holding<H, N> {
    held: HashMap<Slug, OwnedStream<H>>,
    /// Sessions of a stream that are ending; never 0.
    ending: HashMap<Slug, u32>,
    /// Newer placements of streams that are ending; one for each at most.
    next: HashMap<Slug, (Fence, N)>,
}

/// One owned stream.
#[derive(Debug)]
pub struct OwnedStream<H> {
    pub fence: Fence,
    pub handle: H,
}

/// The action for a claimed placement.
#[derive(Debug, PartialEq, Eq)]
pub enum StartDecision<H, N> {
    /// Start it, and give its handle to [`Holding::hold`].
    Start(N),
    /// It waits here until the earlier placement has ended; end that one, if it still runs.
    Wait(Option<H>),
    /// It, or a newer one, is here already.
    Ignore,
}

impl<H, N> Default for Holding<H, N> {
    fn default() -> Self {
        Self { held: HashMap::new(), ending: HashMap::new(), next: HashMap::new() }
    }
}

impl<H, N> Holding<H, N> {
    /// Takes in a placement that this process has claimed. The handle in [`StartDecision::Wait`] counts as ending from
    /// now on: call [`Self::ended`] once it has ended.
    pub fn start(&mut self, slug: &Slug, fence: Fence, next: N) -> StartDecision<H, N> {
        let known = self.held.get(slug).map(|held| held.fence).max(self.next.get(slug).map(|(fence, _)| *fence));
        if known.is_some_and(|known| known >= fence) {
            return StartDecision::Ignore;
        }
        let older = self.held.remove(slug).map(|held| held.handle);
        if older.is_some() {
            self.count_ending(slug);
        }
        if !self.ending.contains_key(slug) {
            return StartDecision::Start(next);
        }
        // A placement that waited is older than this one, and never ran.
        self.next.insert(slug.clone(), (fence, next));
        StartDecision::Wait(older)
    }

    /// Records a stream that was just started, as [`StartDecision::Start`] or [`Self::ended`] asked for.
    pub fn hold(&mut self, slug: Slug, fence: Fence, handle: H) {
        self.held.insert(slug, OwnedStream { fence, handle });
    }

    /// Releases every placement of a stream up to `up_to`. The returned stream counts as ending: call [`Self::ended`]
    /// once it has ended.
    pub fn release(&mut self, slug: &Slug, up_to: Epoch) -> Option<OwnedStream<H>> {
        if self.next.get(slug).is_some_and(|(fence, _)| fence.epoch <= up_to) {
            self.next.remove(slug);
        }
        if self.held.get(slug).is_none_or(|held| held.fence.epoch > up_to) {
            return None;
        }
        self.count_ending(slug);
        self.held.remove(slug)
    }

    /// Releases everything; the returned streams count as ending, as with [`Self::release`].
    pub fn release_all(&mut self) -> Vec<(Slug, OwnedStream<H>)> {
        self.next.clear();
        let all: Vec<_> = self.held.drain().collect();
        all.iter().for_each(|(slug, _)| self.count_ending(slug));
        all
    }

    /// A session of the stream has ended. Returns the placement that waited for it, to be started and held.
    pub fn ended(&mut self, slug: &Slug) -> Option<(Fence, N)> {
        let left = self.ending.get_mut(slug)?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.ending.remove(slug);
        self.next.remove(slug)
    }

    /// One owned stream.
    pub fn get(&self, slug: &Slug) -> Option<&OwnedStream<H>> {
        self.held.get(slug)
    }

    /// The same, to change its handle.
    pub fn get_mut(&mut self, slug: &Slug) -> Option<&mut OwnedStream<H>> {
        self.held.get_mut(slug)
    }

    /// All owned streams, as heartbeats list them. Streams that end or wait are not in it.
    pub fn inventory(&self) -> impl Iterator<Item = (&Slug, &OwnedStream<H>)> {
        self.held.iter()
    }

    /// Streams owned.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns whether none is owned.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns whether nothing is owned, ends or waits.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.ending.is_empty() && self.next.is_empty()
    }

    fn count_ending(&mut self, slug: &Slug) {
        *self.ending.entry(slug.clone()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type TestHolding = Holding<&'static str, &'static str>;

    fn slug() -> Slug {
        Slug::parse("yard").unwrap()
    }

    fn fence(epoch: u64) -> Fence {
        Fence { epoch: Epoch(epoch), revision: 1 }
    }

    fn holding(epoch: u64) -> TestHolding {
        let mut holding = TestHolding::default();
        assert_eq!(holding.start(&slug(), fence(epoch), "it"), StartDecision::Start("it"));
        holding.hold(slug(), fence(epoch), "it");
        holding
    }

    #[test]
    fn a_placement_that_is_here_already_or_is_older_is_ignored() {
        let mut holding = holding(5);
        for epoch in [4, 5] {
            assert_eq!(holding.start(&slug(), fence(epoch), "again"), StartDecision::Ignore);
        }
        assert_eq!(holding.len(), 1);
    }

    #[test]
    fn a_newer_placement_starts_when_the_older_has_ended_and_not_before() {
        let mut holding = holding(5);
        assert_eq!(holding.start(&slug(), fence(6), "newer"), StartDecision::Wait(Some("it")));
        assert_eq!(holding.start(&slug(), fence(6), "newer again"), StartDecision::Ignore);
        assert_eq!(holding.start(&slug(), fence(7), "newest"), StartDecision::Wait(None));
        assert!(holding.is_empty() && !holding.is_idle());
        assert_eq!(holding.ended(&slug()), Some((fence(7), "newest")));
        assert!(holding.is_idle());
    }

    #[test]
    fn a_release_takes_waiting_placements_too_and_leaves_newer_ones() {
        let mut holding = holding(5);
        assert!(holding.release(&slug(), Epoch(4)).is_none());
        assert_eq!(holding.release(&slug(), Epoch(5)).unwrap().handle, "it");
        assert_eq!(holding.start(&slug(), fence(6), "next"), StartDecision::Wait(None));
        assert!(holding.release(&slug(), Epoch(6)).is_none());
        assert_eq!(holding.ended(&slug()), None);
        assert!(holding.is_idle());
        assert_eq!(holding.ended(&slug()), None, "nothing was ending");
    }

    proptest! {
        /// In any order of events a stream never runs twice, and no session is forgotten.
        #[test]
        fn at_most_one_session_of_a_stream_runs(steps in proptest::collection::vec((0..4_u8, 1..12_u64), 0..80)) {
            let (mut holding, slug) = (Holding::<u64, u64>::default(), slug());
            // Sessions that exist, by epoch, and whether they are ending.
            let mut sessions: Vec<(u64, bool)> = Vec::new();
            for (step, epoch) in steps {
                let mut started = None;
                match step {
                    0 => match holding.start(&slug, fence(epoch), epoch) {
                        StartDecision::Start(next) => started = Some(next),
                        StartDecision::Wait(Some(older)) => sessions.iter_mut().find(|s| s.0 == older).unwrap().1 = true,
                        StartDecision::Wait(None) | StartDecision::Ignore => {}
                    },
                    1 => if let Some(gone) = holding.release(&slug, Epoch(epoch)) {
                        sessions.iter_mut().find(|s| s.0 == gone.handle).unwrap().1 = true;
                    },
                    2 => for (_, gone) in holding.release_all() {
                        sessions.iter_mut().find(|s| s.0 == gone.handle).unwrap().1 = true;
                    },
                    _ => if let Some(at) = sessions.iter().position(|session| session.1) {
                        sessions.remove(at);
                        started = holding.ended(&slug).map(|(_, next)| next);
                    },
                }
                if let Some(next) = started {
                    prop_assert!(sessions.is_empty(), "{sessions:?} when {next} starts");
                    sessions.push((next, false));
                    holding.hold(slug.clone(), fence(next), next);
                }
                let running: Vec<u64> = sessions.iter().filter(|s| !s.1).map(|s| s.0).collect();
                let held: Vec<u64> = holding.inventory().map(|(_, owned)| owned.handle).collect();
                prop_assert_eq!(running, held);
            }
        }
    }
}
