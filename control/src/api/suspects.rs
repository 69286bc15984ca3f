//! Streams whose workers die right after they took them. Such a stream would be handed round the fleet and end every
//! worker. It is tried alone, and quarantined when it ends a worker again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::slug::Slug;

/// A stream that was owned for less than this when its worker died may be the reason.
const YOUNG: Duration = Duration::from_secs(10);
/// Deaths that make a stream a suspect.
const DEATHS: usize = 2;
/// Deaths count for this long.
const WINDOW: Duration = Duration::from_secs(600);
/// A suspect that was owned for this long is cleared.
const TRIAL: Duration = Duration::from_secs(5);
/// A trial that no worker took up ends after this long.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// A stream that ended a worker during its trial is quarantined: for the first time here, as it may have been chance,
/// then for the second.
const QUARANTINE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// Streams whose workers died: at most one entry for each placement, gone after `WINDOW`.
#[derive(Debug, Default)]
pub struct Suspects {
    marks: HashMap<Slug, Mark>,
    trial: Option<(Slug, Instant)>,
}

#[derive(Debug, Default)]
struct Mark {
    /// At most [`DEATHS`], the newest.
    deaths: Vec<Instant>,
    quarantined_until: Option<Instant>,
    /// Number of its quarantines.
    quarantines: usize,
    /// Its last trial ended without a result: others go first until then.
    rests_until: Option<Instant>,
}

/// Why a stream must not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldBack {
    /// Another suspect is on trial.
    AwaitsTrial,
    /// It is quarantined for this long.
    Quarantined(Duration),
}

impl Mark {
    /// Remaining time of the quarantine.
    fn quarantine_left(&self, now: Instant) -> Option<Duration> {
        self.quarantined_until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

impl Suspects {
    /// A worker died that had owned `slug` for `owned_for`. Returns whether the stream is quarantined by that.
    pub fn on_worker_death(&mut self, slug: &Slug, owned_for: Duration, now: Instant) -> bool {
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
            let [first, further] = QUARANTINE;
            mark.quarantined_until = Some(now + if mark.quarantines == 0 { first } else { further });
            mark.quarantines += 1;
            self.trial = None;
        }
        on_trial
    }

    /// Why a stream that is to start must not, if so. A suspect that may start is on trial by that.
    pub fn hold_back(&mut self, slug: &Slug, now: Instant) -> Option<HoldBack> {
        let mark = self.marks.get(slug)?;
        if let Some(left) = mark.quarantine_left(now) {
            return Some(HoldBack::Quarantined(left));
        }
        if mark.deaths.len() < DEATHS {
            return None;
        }
        let rests = mark.rests_until.is_some_and(|until| until > now);
        match &self.trial {
            None if rests && self.another_waits(slug, now) => Some(HoldBack::AwaitsTrial),
            None => {
                self.trial = Some((slug.clone(), now));
                None
            }
            Some((of, _)) if of == slug => None,
            Some(_) => Some(HoldBack::AwaitsTrial),
        }
    }

    /// Returns whether there is a suspect besides `slug` that was not tried just before.
    fn another_waits(&self, slug: &Slug, now: Instant) -> bool {
        self.marks.iter().any(|(other, mark)| {
            let free =
                [mark.rests_until, mark.quarantined_until].iter().all(|until| until.is_none_or(|until| until <= now));
            other != slug && mark.deaths.len() >= DEATHS && free
        })
    }

    /// Streams with a mark: time and the trials of others change what may be done with them.
    pub fn marked(&self) -> impl Iterator<Item = &Slug> {
        self.marks.keys()
    }

    /// Why a stream is held back, if it is. Unlike [`Self::hold_back`] this changes nothing.
    pub fn status(&self, slug: &Slug, now: Instant) -> Option<HoldBack> {
        let mark = self.marks.get(slug)?;
        let waits = mark.deaths.len() >= DEATHS && self.trial.as_ref().is_some_and(|(of, _)| of != slug);
        let left = mark.quarantine_left(now);
        left.map(HoldBack::Quarantined).or_else(|| waits.then_some(HoldBack::AwaitsTrial))
    }

    /// Ends the trial when its time is over. `owned_for` is the time for which a live worker has owned a stream.
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
            mark.quarantined_until.is_some_and(|until| until > now)
                || mark.deaths.iter().any(|at| now.saturating_duration_since(*at) < WINDOW)
        });
    }

    /// An operator changed or stopped the stream: it is a suspect no longer.
    pub fn clear(&mut self, slug: &Slug) {
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
    fn a_stream_that_ended_two_workers_is_tried_alone_and_quarantined_at_the_third() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        let (bad, other) = (slug("bad"), slug("other"));
        assert!(!suspects.on_worker_death(&bad, YOUNG_ENOUGH, start));
        assert_eq!(suspects.hold_back(&bad, start), None, "once is an accident");
        for each in [&bad, &other] {
            suspects.on_worker_death(each, YOUNG_ENOUGH, start);
            suspects.on_worker_death(each, YOUNG_ENOUGH, start);
        }
        assert_eq!(suspects.hold_back(&bad, start), None, "on trial");
        assert_eq!(suspects.hold_back(&other, start), Some(HoldBack::AwaitsTrial));
        assert_eq!(suspects.status(&bad, start), None);
        assert!(suspects.on_worker_death(&bad, YOUNG_ENOUGH, start));
        assert_eq!(suspects.hold_back(&bad, start), Some(HoldBack::Quarantined(QUARANTINE[0])));
        assert_eq!(suspects.hold_back(&other, start), None, "its turn");
        suspects.tick(|_| Some(TRIAL), start);
        assert_eq!(suspects.status(&other, start), None, "cleared");
        let later = start + QUARANTINE[0];
        assert_eq!(suspects.hold_back(&bad, later), None, "another trial");
        assert!(suspects.on_worker_death(&bad, YOUNG_ENOUGH, later));
        assert_eq!(suspects.status(&bad, later), Some(HoldBack::Quarantined(QUARANTINE[1])));
        suspects.clear(&bad);
        assert_eq!(suspects.status(&bad, start), None);
    }

    #[test]
    fn a_stream_that_ran_for_a_while_is_no_suspect() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        for _ in 0..5 {
            suspects.on_worker_death(&slug("yard"), YOUNG, start);
        }
        assert_eq!(suspects.hold_back(&slug("yard"), start), None);
    }

    #[test]
    fn a_trial_that_no_worker_takes_up_does_not_keep_others_waiting() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        for each in ["a", "b"] {
            suspects.on_worker_death(&slug(each), YOUNG_ENOUGH, start);
            suspects.on_worker_death(&slug(each), YOUNG_ENOUGH, start);
        }
        assert_eq!(suspects.hold_back(&slug("a"), start), None);
        suspects.tick(|_| None, start + TRIAL_MAX);
        // In whatever order they ask, the one that was just tried is not the next.
        assert_eq!(suspects.hold_back(&slug("a"), start + TRIAL_MAX), Some(HoldBack::AwaitsTrial));
        assert_eq!(suspects.hold_back(&slug("b"), start + TRIAL_MAX), None);
    }

    #[test]
    fn marks_are_forgotten() {
        let (mut suspects, start) = (Suspects::default(), Instant::now());
        suspects.on_worker_death(&slug("yard"), YOUNG_ENOUGH, start);
        suspects.tick(|_| None, start + WINDOW);
        assert!(suspects.marks.is_empty());
    }
}
