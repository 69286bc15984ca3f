//! A repeated failure: logged at once, then counted, then logged at growing intervals, and logged when it is over.
//! Pure.

use std::time::{Duration, Instant};

/// From the first line to the second; doubled each time, up to [`LONGEST_GAP`]. A day of one failure is about thirty
/// lines.
const FIRST_GAP: Duration = Duration::from_secs(60);
const LONGEST_GAP: Duration = Duration::from_secs(3600);
/// A failure that returns sooner than this after it was well is the same failure: it comes and goes.
const SETTLED: Duration = Duration::from_secs(60);
/// Longest time until a relapse is logged, after the line that said that all is well.
const RELAPSE_GAP: Duration = Duration::from_secs(600);
/// Different causes of one failure that are logged at once; further ones are counted.
const MAX_KINDS: usize = 16;

/// One thing that fails again and again, or does not. `K` is the kind of cause.
#[derive(Clone, Debug)]
pub struct Repeated<K> {
    failing: Option<Failing<K>>,
}

#[derive(Clone, Debug)]
struct Failing<K> {
    since: Instant,
    times: u64,
    kinds: Vec<K>,
    next: Instant,
    gap: Duration,
    well_since: Option<Instant>,
    /// True when it was logged since it was last logged to be well.
    told: bool,
}

/// This failure is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Failures so far, with this one.
    pub times: u64,
    /// Since the first of them.
    pub lasting: Duration,
}

/// This end of a failure is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Since the first failure.
    pub away: Duration,
    pub failures: u64,
}

impl<K> Default for Repeated<K> {
    fn default() -> Self {
        Self { failing: None }
    }
}

impl<K: PartialEq> Repeated<K> {
    /// It failed. `None`: counted, and not to be logged now.
    pub fn failed(&mut self, kind: K, now: Instant) -> Option<Failed> {
        let settled = |well: Instant| now.saturating_duration_since(well) >= SETTLED;
        self.failing.take_if(|failing| failing.well_since.is_some_and(settled));
        let Some(failing) = &mut self.failing else {
            self.failing = Some(Failing {
                since: now,
                times: 1,
                kinds: vec![kind],
                next: now + FIRST_GAP,
                gap: FIRST_GAP,
                well_since: None,
                told: true,
            });
            return Some(Failed { times: 1, lasting: Duration::ZERO });
        };
        failing.times = failing.times.saturating_add(1);
        failing.well_since = None;
        let news = failing.kinds.len() < MAX_KINDS && !failing.kinds.contains(&kind);
        if news {
            failing.kinds.push(kind);
        } else if now >= failing.next {
            failing.gap = (failing.gap * 2).min(LONGEST_GAP);
            failing.next = now + failing.gap;
        } else {
            return None;
        }
        failing.told = true;
        Some(Failed { times: failing.times, lasting: now.saturating_duration_since(failing.since) })
    }

    /// It works. `None`: it did before, or its failure was not logged.
    pub fn well(&mut self, now: Instant) -> Option<Recovered> {
        let failing = self.failing.as_mut().filter(|failing| failing.well_since.is_none())?;
        failing.well_since = Some(now);
        failing.next = failing.next.min(now + RELAPSE_GAP);
        std::mem::take(&mut failing.told)
            .then(|| Recovered { away: now.saturating_duration_since(failing.since), failures: failing.times })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(start: Instant, s: u64) -> Instant {
        start + Duration::from_secs(s)
    }

    #[test]
    fn a_day_of_one_failure_is_a_few_lines_at_growing_distances() {
        let (start, mut it) = (Instant::now(), Repeated::default());
        let told: Vec<_> = (0..86_400).step_by(20).filter_map(|s| it.failed("away", at(start, s))).collect();
        let minutes: Vec<_> = told.iter().map(|failed| failed.lasting.as_secs() / 60).collect();
        assert_eq!(minutes[..8], [0, 1, 3, 7, 15, 31, 63, 123]);
        assert!(told.len() < 32, "{minutes:?}");
        assert_eq!(told[1], Failed { times: 4, lasting: Duration::from_secs(60) });
        let back = it.well(at(start, 86_400)).unwrap();
        assert_eq!(back, Recovered { away: Duration::from_secs(86_400), failures: 4320 });
        assert_eq!(it.well(at(start, 86_401)), None, "told once");
    }

    #[test]
    fn another_cause_is_told_at_once_and_old_ones_are_not_told_again() {
        let (start, mut it) = (Instant::now(), Repeated::default());
        let told = ["a", "b", "a", "b", "c", "a"].map(|kind| it.failed(kind, start).is_some());
        assert_eq!(told, [true, true, false, false, true, false]);
    }

    #[test]
    fn what_comes_and_goes_is_told_in_pairs_and_settles_after_a_minute() {
        let (start, mut it) = (Instant::now(), Repeated::default());
        assert!(it.failed((), at(start, 0)).is_some());
        assert!(it.well(at(start, 5)).is_some());
        assert_eq!(it.failed((), at(start, 10)), None);
        assert_eq!(it.well(at(start, 15)), None, "nobody was told that it failed again");
        assert_eq!(it.failed((), at(start, 70)).map(|failed| failed.times), Some(3));
        assert_eq!(it.well(at(start, 75)).map(|back| back.failures), Some(3));
        assert_eq!(it.failed((), at(start, 135)).map(|failed| failed.times), Some(1), "a new failure");
    }

    proptest! {
        #[test]
        fn lines_come_in_pairs_and_are_few(steps in prop::collection::vec((any::<bool>(), 0u8..4, 1u64..120), 1..2000)) {
            let (mut now, mut it) = (Instant::now(), Repeated::default());
            let (mut open, mut failures, mut quiet_since) = (false, 0u32, now);
            let mut kinds = std::collections::BTreeSet::new();
            for (fails, kind, wait) in steps {
                now += Duration::from_secs(wait);
                if fails {
                    failures += 1;
                    let told = it.failed(kind, now);
                    if let Some(told) = told {
                        if told.times == 1 {
                            kinds.clear();
                        }
                        // Failures between two lines: within the gap, unless the cause is new.
                        prop_assert!(told.times > 1 || !open || kinds.is_empty());
                        kinds.insert(kind);
                        open = true;
                        quiet_since = now;
                    } else {
                        prop_assert!(kinds.contains(&kind), "a new cause is told");
                        prop_assert!(now - quiet_since < LONGEST_GAP, "an hour of failure without a line");
                    }
                } else if it.well(now).is_some() {
                    prop_assert!(open, "nothing was told to be over");
                    open = false;
                } else {
                    prop_assert!(!open, "a told failure is told to be over");
                }
            }
            prop_assert!(failures < 2001);
        }
    }
}
