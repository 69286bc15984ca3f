//! Streams whose workers die right after they took them. Such a stream would be handed round the fleet and end every
//! worker. It is tried alone, and set aside when it ends a worker again. Pure but for the clock it is given.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_shared::stream::slug::Slug;

/// A stream that was owned for less than this when its worker died may be the reason.
const YOUNG: Duration = Duration::from_secs(10);
/// So many deaths make a suspect.
const DEATHS: usize = 2;
/// Within this time.
const WINDOW: Duration = Duration::from_secs(600);
/// A suspect that was owned for this long is cleared.
const TRIAL: Duration = Duration::from_secs(5);
/// A trial that nobody took up ends after this long.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// A stream that ended a worker while it was the only suspect on trial is set aside: for this long at first, as it may
/// have had bad luck, then longer.
const ASIDE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// Streams with a mark: at most one entry for each placement, gone after ten minutes.
#[derive(Debug, Default)]
pub struct Suspects {
    marks: HashMap<Slug, Mark>,
    trial: Option<(Slug, Instant)>,
}

#[derive(Debug, Default)]
struct Mark {
    /// At most [`DEATHS`], the newest.
    deaths: Vec<Instant>,
    aside_until: Option<Instant>,
    /// How often it was set aside.
    asides: usize,
    /// Its last trial came to nothing: others go first until then.
    rests_until: Option<Instant>,
}

/// Why a stream must not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// Another suspect is on trial.
    Waits,
    /// For this long.
    Aside(Duration),
}

impl Suspects {
    /// A worker died that had owned `slug` for `owned_for`. Whether the stream is set aside by that.
    pub fn died(&mut self, slug: &Slug, owned_for: Duration, now: Instant) -> bool {
        if owned_for >= YOUNG {
            return false;
        }
        let mark = self.marks.entry(slug.clone()).or_default();
        mark.deaths.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        if mark.deaths.len() >= DEATHS {
            mark.deaths.remove(0);
        }
        mark.deaths.push(now);
        let on_trial = self.trial.as_ref().is_some_and(|(of, _)| of == slug);
        if on_trial {
            let [first, further] = ASIDE;
            mark.aside_until = Some(now + if mark.asides == 0 { first } else { further });
            mark.asides += 1;
            self.trial = None;
        }
        on_trial
    }

    /// Whether a stream that wants to start must not. One that may is on trial by that.
    pub fn held_back(&mut self, slug: &Slug, now: Instant) -> Option<HeldBack> {
        let mark = self.marks.get(slug)?;
        if let Some(left) =
            mark.aside_until.and_then(|until| until.checked_duration_since(now)).filter(|d| !d.is_zero())
        {
            return Some(HeldBack::Aside(left));
        }
        if mark.deaths.len() < DEATHS {
            return None;
        }
        let rests = mark.rests_until.is_some_and(|until| until > now);
        match &self.trial {
            None if rests && self.another_waits(slug, now) => Some(HeldBack::Waits),
            None => {
                self.trial = Some((slug.clone(), now));
                None
            }
            Some((of, _)) if of == slug => None,
            Some(_) => Some(HeldBack::Waits),
        }
    }

    /// Whether a suspect that has not just been tried is there besides `slug`.
    fn another_waits(&self, slug: &Slug, now: Instant) -> bool {
        self.marks.iter().any(|(other, mark)| {
            let free = [mark.rests_until, mark.aside_until].iter().all(|until| until.is_none_or(|until| until <= now));
            other != slug && mark.deaths.len() >= DEATHS && free
        })
    }

    /// Whether a stream is held back, without a say in it.
    pub fn look(&self, slug: &Slug, now: Instant) -> Option<HeldBack> {
        let mark = self.marks.get(slug)?;
        let left = mark.aside_until.and_then(|until| until.checked_duration_since(now)).filter(|d| !d.is_zero());
        let waits = mark.deaths.len() >= DEATHS && self.trial.as_ref().is_some_and(|(of, _)| of != slug);
        left.map(HeldBack::Aside).or_else(|| waits.then_some(HeldBack::Waits))
    }

    /// Ends the trial when its time is over. `owned_for` says for how long a live worker has owned a stream.
    pub fn tick(&mut self, owned_for: impl Fn(&Slug) -> Option<Duration>, now: Instant) {
        if let Some((slug, since)) = &self.trial {
            if owned_for(slug).is_some_and(|age| age >= TRIAL) {
                self.marks.remove(slug);
                self.trial = None;
            } else if now.saturating_duration_since(*since) >= TRIAL_MAX {
                if let Some(mark) = self.marks.get_mut(slug) {
                    mark.rests_until = Some(now + TRIAL_MAX);
                }
                self.trial = None;
            }
        }
        self.marks.retain(|_, mark| {
            mark.aside_until.is_some_and(|until| until > now)
                || mark.deaths.iter().any(|at| now.saturating_duration_since(*at) < WINDOW)
        });
    }

    /// An operator changed or stopped the stream: it gets another chance.
    pub fn forgive(&mut self, slug: &Slug) {
        self.marks.remove(slug);
        if self.trial.as_ref().is_some_and(|(of, _)| of == slug) {
            self.trial = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(name: &str) -> Slug {
        Slug::parse(name).unwrap()
    }

    const YOUNG_ENOUGH: Duration = Duration::from_secs(1);

    #[test]
    fn a_stream_that_ended_two_workers_is_tried_alone_and_set_aside_at_the_third() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        let (bad, other) = (slug("bad"), slug("other"));
        assert!(!suspects.died(&bad, YOUNG_ENOUGH, start));
        assert_eq!(suspects.held_back(&bad, start), None, "once is an accident");
        for each in [&bad, &other] {
            suspects.died(each, YOUNG_ENOUGH, start);
            suspects.died(each, YOUNG_ENOUGH, start);
        }
        assert_eq!(suspects.held_back(&bad, start), None, "on trial");
        assert_eq!(suspects.held_back(&other, start), Some(HeldBack::Waits));
        assert_eq!(suspects.look(&bad, start), None);
        assert!(suspects.died(&bad, YOUNG_ENOUGH, start));
        assert_eq!(suspects.held_back(&bad, start), Some(HeldBack::Aside(ASIDE[0])));
        assert_eq!(suspects.held_back(&other, start), None, "its turn");
        suspects.tick(|_| Some(TRIAL), start);
        assert_eq!(suspects.look(&other, start), None, "cleared");
        let later = start + ASIDE[0];
        assert_eq!(suspects.held_back(&bad, later), None, "another trial");
        assert!(suspects.died(&bad, YOUNG_ENOUGH, later));
        assert_eq!(suspects.look(&bad, later), Some(HeldBack::Aside(ASIDE[1])));
        suspects.forgive(&bad);
        assert_eq!(suspects.look(&bad, start), None);
    }

    #[test]
    fn a_stream_that_ran_for_a_while_is_no_suspect() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        for _ in 0..5 {
            suspects.died(&slug("yard"), YOUNG, start);
        }
        assert_eq!(suspects.held_back(&slug("yard"), start), None);
    }

    #[test]
    fn a_trial_that_nobody_takes_up_does_not_keep_others_waiting() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        for each in ["a", "b"] {
            suspects.died(&slug(each), YOUNG_ENOUGH, start);
            suspects.died(&slug(each), YOUNG_ENOUGH, start);
        }
        assert_eq!(suspects.held_back(&slug("a"), start), None);
        suspects.tick(|_| None, start + TRIAL_MAX);
        // Whoever asks first: the one that was just tried is not the next.
        assert_eq!(suspects.held_back(&slug("a"), start + TRIAL_MAX), Some(HeldBack::Waits));
        assert_eq!(suspects.held_back(&slug("b"), start + TRIAL_MAX), None);
    }

    #[test]
    fn marks_are_forgotten() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        suspects.died(&slug("yard"), YOUNG_ENOUGH, start);
        suspects.tick(|_| None, start + WINDOW);
        assert!(suspects.marks.is_empty());
    }
}
