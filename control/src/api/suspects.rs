//! Streams whose workers die right after they took them. Such a stream would be handed round the fleet and end every
//! worker. Among the streams of a worker that dies one is the reason, or none: they are tried in groups, which are split
//! when their worker dies again, and a stream that ends a worker alone is quarantined.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rsm_model::stream::slug::Slug;

/// A stream that was owned for less than this when its worker died may be the reason.
const YOUNG: Duration = Duration::from_secs(10);
/// Deaths of different workers that make a stream a suspect; of one worker, when there is no other to compare with.
const DEATHS: usize = 2;
/// Deaths of one worker that make a stream a suspect although others live: below this the worker is the likelier reason.
const DEATHS_OF_ONE: usize = 3;
/// Deaths count for this long.
const WINDOW: Duration = Duration::from_secs(600);
/// A suspect on trial is cleared once it was owned for longer than at any death, by this: heartbeats tell the time of
/// ownership and of death to about a second each.
const LONGER: Duration = Duration::from_secs(2);
/// A trial that no worker took up ends after this long.
const TRIAL_MAX: Duration = Duration::from_secs(30);
/// A group whose worker died is split into this many parts. The parts that end no worker are over within seconds; with
/// four parts the reason among forty streams is found in three deaths.
const PARTS: usize = 4;
/// A suspect that asked to start within this time waits for its turn.
const WAITS: Duration = Duration::from_secs(2);
/// A stream that ended a worker during its trial is quarantined: for the first time here, as it may have been chance,
/// then for the second.
const QUARANTINE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// Streams whose workers died: at most one entry for each placement, gone after `WINDOW`.
#[derive(Debug, Default)]
pub struct Suspects {
    marks: HashMap<Slug, Mark>,
    trial: Option<Trial>,
}

/// Suspects that run together. Some of them may be cleared or blamed already.
#[derive(Debug)]
struct Trial {
    members: HashSet<Slug>,
    /// Number of suspects at its begin.
    size: usize,
    /// Most suspects that it may have.
    most: usize,
    since: Instant,
}

#[derive(Debug, Default)]
struct Mark {
    /// At most [`DEATHS_OF_ONE`], the newest, each with the name of its worker.
    deaths: Vec<(Instant, String)>,
    suspect: bool,
    /// Longest ownership at a death: a trial must last longer.
    oldest: Duration,
    /// Most suspects that it may be tried together with, itself counted; 0 before its first trial, for a share of all.
    together: usize,
    quarantined_until: Option<Instant>,
    /// Number of its quarantines.
    quarantines: usize,
    /// Its last trial ended without a result: others go first until then.
    rests_until: Option<Instant>,
    /// When it was to start last, and was held back.
    asked: Option<Instant>,
}

/// Why a stream must not start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldBack {
    /// Other suspects are on trial.
    AwaitsTrial,
    /// It is quarantined for this long.
    Quarantined(Duration),
}

/// A worker that died.
#[derive(Clone, Copy, Debug)]
pub struct DeadWorker<'a> {
    /// Its name, or that of its process where only this is known.
    pub name: &'a str,
    /// No other worker is there: its deaths cannot be told from those of its streams.
    pub alone: bool,
}

impl Mark {
    /// Remaining time of the quarantine.
    fn quarantine_left(&self, now: Instant) -> Option<Duration> {
        self.quarantined_until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn on_death(&mut self, dead: DeadWorker<'_>, owned_for: Duration, now: Instant) {
        self.deaths.retain(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
        if self.deaths.len() >= DEATHS_OF_ONE {
            self.deaths.remove(0);
        }
        self.deaths.push((now, dead.name.to_owned()));
        self.oldest = self.oldest.max(owned_for);
        let workers: HashSet<&String> = self.deaths.iter().map(|(_, worker)| worker).collect();
        let bound = if dead.alone || workers.len() > 1 { DEATHS } else { DEATHS_OF_ONE };
        self.suspect |= self.deaths.len() >= bound;
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    fn waits(&self, now: Instant) -> bool {
        let asks = self.asked.is_some_and(|at| now.saturating_duration_since(at) < WAITS);
        self.suspect && asks && self.quarantine_left(now).is_none()
    }
}

impl Suspects {
    /// A worker died that had owned `streams` for these times. Returns those that are quarantined by that. While
    /// suspects are on trial the death is theirs, not that of streams which ran beside them.
    pub fn on_worker_death(
        &mut self,
        dead: DeadWorker<'_>,
        streams: impl Iterator<Item = (Slug, Duration)>,
        now: Instant,
    ) -> Vec<Slug> {
        let young: Vec<(Slug, Duration)> = streams.filter(|(_, owned_for)| *owned_for < YOUNG).collect();
        let tried: HashSet<&Slug> = self.trial.iter().flat_map(|trial| &trial.members).collect();
        let of_trial = young.iter().any(|(slug, _)| tried.contains(slug));
        let blamed: Vec<&(Slug, Duration)> =
            young.iter().filter(|(slug, _)| !of_trial || tried.contains(slug)).collect();
        let mut quarantined = Vec::new();
        for (slug, owned_for) in &blamed {
            let mark = self.marks.entry(slug.clone()).or_default();
            mark.on_death(dead, *owned_for, now);
            if let Some(trial) = self.trial.as_ref().filter(|_| of_trial) {
                mark.suspect = true;
                mark.together = trial.size.min(blamed.len()).div_ceil(PARTS);
                if trial.size == 1 {
                    let [first, further] = QUARANTINE;
                    mark.quarantined_until = Some(now + if mark.quarantines == 0 { first } else { further });
                    mark.quarantines += 1;
                    quarantined.push(slug.clone());
                }
            }
        }
        if let Some(trial) = self.trial.as_mut().filter(|_| of_trial) {
            for (slug, _) in &blamed {
                trial.members.remove(slug);
            }
            if trial.members.is_empty() {
                self.trial = None;
            }
        }
        quarantined
    }

    /// Why a stream that is to start must not, if so. A suspect that may start is on trial by that; those that ask at
    /// the same moment are tried with it, as many as is their bound.
    pub fn hold_back(&mut self, slug: &Slug, now: Instant) -> Option<HoldBack> {
        let suspects = self.marks.values().filter(|mark| mark.suspect).count();
        let mark = self.marks.get_mut(slug)?;
        if let Some(left) = mark.quarantine_left(now) {
            return Some(HoldBack::Quarantined(left));
        }
        if !mark.suspect {
            return None;
        }
        mark.asked = Some(now);
        if mark.together == 0 {
            mark.together = suspects.div_ceil(PARTS);
        }
        let (together, rests) = (mark.together, mark.rests(now));
        if let Some(trial) = &mut self.trial {
            if trial.members.contains(slug) {
                return None;
            }
            let joins = trial.since == now && trial.size < trial.most && together >= trial.most && !rests;
            if !joins {
                return Some(HoldBack::AwaitsTrial);
            }
            trial.size += 1;
            trial.members.insert(slug.clone());
            return None;
        }
        if self.another_goes_first(slug, together, rests, now) {
            return Some(HoldBack::AwaitsTrial);
        }
        self.trial = Some(Trial { members: HashSet::from([slug.clone()]), size: 1, most: together, since: now });
        None
    }

    /// Returns whether another suspect waits that goes before `slug`: one that was not tried just before, or is less
    /// suspect.
    fn another_goes_first(&self, slug: &Slug, together: usize, rests: bool, now: Instant) -> bool {
        self.marks.iter().any(|(other, mark)| {
            let first = (!mark.rests(now), mark.together) > (!rests, together);
            other != slug && mark.waits(now) && first
        })
    }

    /// Streams with a mark: time and the trials of others change what may be done with them.
    pub fn marked(&self) -> impl Iterator<Item = &Slug> {
        self.marks.keys()
    }

    /// Why a stream is held back, if it is. Unlike [`Self::hold_back`] this changes nothing.
    pub fn status(&self, slug: &Slug, now: Instant) -> Option<HoldBack> {
        let mark = self.marks.get(slug)?;
        let waits = mark.suspect && self.trial.as_ref().is_some_and(|trial| !trial.members.contains(slug));
        let left = mark.quarantine_left(now);
        left.map(HoldBack::Quarantined).or_else(|| waits.then_some(HoldBack::AwaitsTrial))
    }

    /// Clears suspects that have passed their trial, and ends one whose time is over. `owned_for` is the time for which
    /// a live worker has owned a stream.
    pub fn tick(&mut self, owned_for: impl Fn(&Slug) -> Option<Duration>, now: Instant) {
        if let Some(trial) = &mut self.trial {
            let over = now.saturating_duration_since(trial.since) >= TRIAL_MAX;
            // All of a group last as long as the one that must last longest: which of them ends a worker is not known.
            let oldest = trial.members.iter().filter_map(|slug| self.marks.get(slug)).map(|mark| mark.oldest).max();
            let bound = (oldest.unwrap_or_default() + LONGER).min(YOUNG);
            let marks = &mut self.marks;
            trial.members.retain(|slug| {
                if owned_for(slug).is_some_and(|age| age >= bound) {
                    marks.remove(slug);
                    return false;
                }
                if over && let Some(mark) = marks.get_mut(slug) {
                    mark.rests_until = Some(now + TRIAL_MAX);
                }
                !over
            });
            if trial.members.is_empty() {
                self.trial = None;
            }
        }
        self.marks.retain(|_, mark| {
            mark.quarantined_until.is_some_and(|until| until > now)
                || mark.deaths.iter().any(|(at, _)| now.saturating_duration_since(*at) < WINDOW)
        });
    }

    /// An operator changed or stopped the stream: it is a suspect no longer.
    pub fn clear(&mut self, slug: &Slug) {
        self.marks.remove(slug);
        if let Some(trial) = &mut self.trial {
            trial.members.remove(slug);
            if trial.members.is_empty() {
                self.trial = None;
            }
        }
    }
}

#[cfg(test)]
#[path = "suspects_tests.rs"]
mod tests;
