//! Which streams this process owns, which are ending, and which wait for an ending one. Pure: no I/O, no clock.
//!
//! Two placements of one stream never run at the same time here: many cameras serve one session only, and a stream's
//! metrics go when it ends. So a newer placement waits until all earlier ones of its stream have ended.

use std::collections::HashMap;

use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::slug::Slug;

/// The books of one worker process. `H` is the handle of a running stream, `N` all that is needed to start one. Bounded
/// by the slots of the worker: whatever runs, ends or waits here has one.
#[derive(Debug)]
pub struct Holding<H, N> {
    held: HashMap<Slug, Kept<H>>,
    /// Sessions of a stream that are ending; never 0.
    ending: HashMap<Slug, u32>,
    /// Newer placements of streams that are ending; one for each at most.
    next: HashMap<Slug, (Fence, N)>,
}

/// One owned stream.
#[derive(Debug)]
pub struct Kept<H> {
    pub fence: Fence,
    pub handle: H,
}

/// What to do about a claimed placement.
#[derive(Debug, PartialEq, Eq)]
pub enum Begin<H, N> {
    /// Start it, and give its handle to [`Holding::hold`].
    Now(N),
    /// It waits here for the end of what was before it; end this, if there is something to end.
    Waits(Option<H>),
    /// It, or a newer one, is here already.
    Ignored,
}

impl<H, N> Default for Holding<H, N> {
    fn default() -> Self {
        Self { held: HashMap::new(), ending: HashMap::new(), next: HashMap::new() }
    }
}

impl<H, N> Holding<H, N> {
    /// Takes in a placement that this process has claimed. The handle that [`Begin::Waits`] gives counts as ending
    /// from now on: say [`Self::ended`] once it has ended.
    pub fn start(&mut self, slug: &Slug, fence: Fence, next: N) -> Begin<H, N> {
        let known = self.held.get(slug).map(|held| held.fence).max(self.next.get(slug).map(|(fence, _)| *fence));
        if known.is_some_and(|known| known >= fence) {
            return Begin::Ignored;
        }
        let older = self.held.remove(slug).map(|held| held.handle);
        if older.is_some() {
            self.count_ending(slug);
        }
        if !self.ending.contains_key(slug) {
            return Begin::Now(next);
        }
        // One that waited is older than this, and never ran.
        self.next.insert(slug.clone(), (fence, next));
        Begin::Waits(older)
    }

    /// Books a stream that was just started, as [`Begin::Now`] or [`Self::ended`] asked for.
    pub fn hold(&mut self, slug: Slug, fence: Fence, handle: H) {
        self.held.insert(slug, Kept { fence, handle });
    }

    /// Gives up every placement of a stream up to `up_to`. What is returned counts as ending: say [`Self::ended`] once
    /// it has ended.
    pub fn let_go(&mut self, slug: &Slug, up_to: Epoch) -> Option<Kept<H>> {
        if self.next.get(slug).is_some_and(|(fence, _)| fence.epoch <= up_to) {
            self.next.remove(slug);
        }
        if self.held.get(slug).is_none_or(|held| held.fence.epoch > up_to) {
            return None;
        }
        self.count_ending(slug);
        self.held.remove(slug)
    }

    /// Gives up everything; what is returned counts as ending, as with [`Self::let_go`].
    pub fn let_all_go(&mut self) -> Vec<(Slug, Kept<H>)> {
        self.next.clear();
        let all: Vec<_> = self.held.drain().collect();
        all.iter().for_each(|(slug, _)| self.count_ending(slug));
        all
    }

    /// A session of the stream has ended. Gives the placement that waited for it, to be started and booked.
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
    pub fn get(&self, slug: &Slug) -> Option<&Kept<H>> {
        self.held.get(slug)
    }

    /// The same, to change its handle.
    pub fn get_mut(&mut self, slug: &Slug) -> Option<&mut Kept<H>> {
        self.held.get_mut(slug)
    }

    /// All that is owned: what a heartbeat tells. What ends or waits is not in it.
    pub fn inventory(&self) -> impl Iterator<Item = (&Slug, &Kept<H>)> {
        self.held.iter()
    }

    /// Streams owned.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is owned.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether nothing is owned, ends or waits.
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

    type Books = Holding<&'static str, &'static str>;

    fn slug() -> Slug {
        Slug::parse("yard").unwrap()
    }

    fn fence(epoch: u64) -> Fence {
        Fence { epoch: Epoch(epoch), revision: 1 }
    }

    fn holding(epoch: u64) -> Books {
        let mut books = Books::default();
        assert_eq!(books.start(&slug(), fence(epoch), "it"), Begin::Now("it"));
        books.hold(slug(), fence(epoch), "it");
        books
    }

    #[test]
    fn a_placement_that_is_here_already_or_is_older_is_ignored() {
        let mut books = holding(5);
        for epoch in [4, 5] {
            assert_eq!(books.start(&slug(), fence(epoch), "again"), Begin::Ignored);
        }
        assert_eq!(books.len(), 1);
    }

    #[test]
    fn a_newer_placement_starts_when_the_older_has_ended_and_not_before() {
        let mut books = holding(5);
        assert_eq!(books.start(&slug(), fence(6), "newer"), Begin::Waits(Some("it")));
        assert_eq!(books.start(&slug(), fence(6), "newer again"), Begin::Ignored);
        assert_eq!(books.start(&slug(), fence(7), "newest"), Begin::Waits(None));
        assert!(books.is_empty() && !books.is_idle());
        assert_eq!(books.ended(&slug()), Some((fence(7), "newest")));
        assert!(books.is_idle());
    }

    #[test]
    fn letting_go_takes_what_waits_too_and_leaves_what_is_newer() {
        let mut books = holding(5);
        assert!(books.let_go(&slug(), Epoch(4)).is_none());
        assert_eq!(books.let_go(&slug(), Epoch(5)).unwrap().handle, "it");
        assert_eq!(books.start(&slug(), fence(6), "next"), Begin::Waits(None));
        assert!(books.let_go(&slug(), Epoch(6)).is_none());
        assert_eq!(books.ended(&slug()), None);
        assert!(books.is_idle());
        assert_eq!(books.ended(&slug()), None, "nothing was ending");
    }

    proptest! {
        /// Whatever happens in whatever order, a stream never runs twice, and nothing is lost from the books.
        #[test]
        fn at_most_one_session_of_a_stream_runs(steps in proptest::collection::vec((0..4_u8, 1..12_u64), 0..80)) {
            let (mut books, slug) = (Holding::<u64, u64>::default(), slug());
            // Sessions that exist, by epoch, and whether they are ending.
            let mut sessions: Vec<(u64, bool)> = Vec::new();
            for (step, epoch) in steps {
                let mut started = None;
                match step {
                    0 => match books.start(&slug, fence(epoch), epoch) {
                        Begin::Now(next) => started = Some(next),
                        Begin::Waits(Some(older)) => sessions.iter_mut().find(|s| s.0 == older).unwrap().1 = true,
                        Begin::Waits(None) | Begin::Ignored => {}
                    },
                    1 => if let Some(gone) = books.let_go(&slug, Epoch(epoch)) {
                        sessions.iter_mut().find(|s| s.0 == gone.handle).unwrap().1 = true;
                    },
                    2 => for (_, gone) in books.let_all_go() {
                        sessions.iter_mut().find(|s| s.0 == gone.handle).unwrap().1 = true;
                    },
                    _ => if let Some(at) = sessions.iter().position(|session| session.1) {
                        sessions.remove(at);
                        started = books.ended(&slug).map(|(_, next)| next);
                    },
                }
                if let Some(next) = started {
                    prop_assert!(sessions.is_empty(), "{sessions:?} when {next} starts");
                    sessions.push((next, false));
                    books.hold(slug.clone(), fence(next), next);
                }
                let running: Vec<u64> = sessions.iter().filter(|s| !s.1).map(|s| s.0).collect();
                let booked: Vec<u64> = books.inventory().map(|(_, owned)| owned.handle).collect();
                prop_assert_eq!(running, booked);
            }
        }
    }
}
