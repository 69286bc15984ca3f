//! Where the segments of a stream begin: decided once, at key pictures of the source, and followed by the sound and by
//! every encoded rendition, so that a segment number means the same stretch of time in all of them.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::window::PartTarget;

/// A segment this much shorter than asked for is long enough: groups of pictures jitter by some RTP ticks, and
/// waiting for one more group would double the segment. Less than half a picture at 25 per second, and an exception
/// per segment, so that sequence numbers do not outrun the clock.
const TOLERANCE: Duration = Duration::from_millis(20);
/// The first segment of all may be this short, so that players begin early.
const FIRST: Duration = Duration::from_millis(900);
/// Cuts that are remembered: more than a slow rendition may lag behind the source (the hub's queue holds 30 s).
const MAX_CUTS: usize = 64;

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    pub sequence: u64,
    /// Its Discontinuity Sequence Number.
    pub discontinuity: u64,
    /// See [`crate::media::access_unit::AccessUnit::timeline`].
    pub timeline: u64,
    /// Of its first picture.
    pub pts: Duration,
    /// When that was captured.
    pub at: SystemTime,
}

/// Decides. Pure.
#[derive(Debug)]
pub struct Planner {
    target: Duration,
    /// Of the next segment.
    sequence: u64,
    discontinuity: u64,
    current: Option<Cut>,
    /// No segment was whole yet.
    first: bool,
}

impl Planner {
    /// Segments of at least `target`; numbers begin with those given.
    pub fn new(target: Duration, sequence: u64, discontinuity: u64) -> Self {
        Self { target, sequence, discontinuity, current: None, first: true }
    }

    /// The number that the next segment gets, and its Discontinuity Sequence Number.
    pub fn next(&self) -> (u64, u64) {
        (self.sequence, self.discontinuity)
    }

    /// What comes next does not follow what was: its first key picture begins a segment. Numbers of discontinuities
    /// go up by one per break that a playlist shows: one without a segment before it shows nowhere.
    pub fn break_time(&mut self) {
        self.discontinuity += u64::from(self.current.take().is_some());
    }

    /// Nobody watches any more: whoever comes next shall not wait for a whole segment.
    pub fn begin_anew(&mut self) {
        self.break_time();
        self.first = true;
    }

    /// The segment that begins with the key picture at `pts`, if one does.
    pub fn at_key(&mut self, timeline: u64, pts: Duration, captured: SystemTime) -> Option<Cut> {
        let at = match self.current {
            Some(current) if current.timeline == timeline => {
                let least = if self.first { FIRST.min(self.target) } else { self.target };
                let since = pts.saturating_sub(current.pts);
                if since + TOLERANCE < least {
                    return None;
                }
                self.first = false;
                // On one run of time the media's clock is steadier than when pictures are said to be captured.
                current.at + since
            }
            Some(_) => {
                self.break_time();
                captured
            }
            None => captured,
        };
        let cut = Cut { sequence: self.sequence, discontinuity: self.discontinuity, timeline, pts, at };
        self.sequence += 1;
        self.current = Some(cut);
        Some(cut)
    }
}

/// What was decided so far, for those who follow. Clones share it.
#[derive(Clone, Debug)]
pub struct Plan(std::sync::Arc<watch::Sender<Decided>>);

#[derive(Debug, Default)]
struct Decided {
    /// At most [`MAX_CUTS`].
    cuts: VecDeque<Cut>,
    /// Every picture of the source up to here was looked at.
    until: Option<(u64, Duration)>,
    part_target: Option<Option<PartTarget>>,
    /// How often the source was begun anew.
    run: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self(std::sync::Arc::new(watch::Sender::new(Decided::default())))
    }
}

impl Plan {
    /// The source's picture at `pts` was looked at; it begins `cut`, if any.
    pub fn decided(&self, timeline: u64, pts: Duration, cut: Option<Cut>) {
        self.0.send_modify(|decided| {
            decided.until = decided.until.max(Some((timeline, pts)));
            if let Some(cut) = cut {
                decided.cuts.push_back(cut);
                if decided.cuts.len() > MAX_CUTS {
                    decided.cuts.pop_front();
                }
            }
        });
    }

    /// The source is made no more, and may be made anew in the same timeline, of pictures that it had already: what was
    /// decided holds no longer, and who follows waits for what is decided then.
    pub fn begin_anew(&self) {
        self.0.send_modify(|decided| {
            decided.cuts.clear();
            decided.until = None;
            decided.run += 1;
        });
    }

    /// Which run of the source it is, once its first picture was looked at.
    pub async fn begun(&self) -> u64 {
        let mut receiver = self.0.subscribe();
        // Its sender lives as long as this value; so in all that wait here.
        let begun = receiver.wait_for(|decided| decided.until.is_some()).await;
        begun.map_or(0, |decided| decided.run)
    }

    /// Until that run of the source is over.
    pub async fn over(&self, run: u64) {
        let _ = self.0.subscribe().wait_for(|decided| decided.run != run).await;
    }

    /// How long a part of every rendition may be; `None`: there are no parts.
    pub fn set_part_target(&self, target: Option<PartTarget>) {
        self.0.send_modify(|decided| decided.part_target = Some(target));
    }

    /// As [`Plan::set_part_target`] said, once it has.
    pub async fn part_target(&self) -> Option<PartTarget> {
        let mut receiver = self.0.subscribe();
        let target = receiver.wait_for(|decided| decided.part_target.is_some()).await;
        target.ok().and_then(|decided| decided.part_target.flatten())
    }

    /// As [`Plan::set_part_target`] said; `None` before it did.
    pub fn known_part_target(&self) -> Option<Option<PartTarget>> {
        self.0.borrow().part_target
    }

    /// The segment that begins at `pts`, a key picture of the source, once that is decided.
    pub async fn cut_at(&self, timeline: u64, pts: Duration) -> Option<Cut> {
        let mut receiver = self.0.subscribe();
        let decided = receiver.wait_for(|decided| decided.until.is_some_and(|until| until >= (timeline, pts))).await;
        decided.ok()?.cuts.iter().find(|cut| (cut.timeline, cut.pts) == (timeline, pts)).copied()
    }

    /// The first segment of that timeline that begins after `sequence` and not after `pts`.
    pub fn next_cut(&self, sequence: Option<u64>, timeline: u64, pts: Duration) -> Option<Cut> {
        let decided = self.0.borrow();
        let begun = |cut: &&Cut| cut.timeline == timeline && cut.pts <= pts;
        decided.cuts.iter().filter(begun).find(|cut| sequence.is_none_or(|before| cut.sequence > before)).copied()
    }

    /// The segment of that number.
    pub fn cut(&self, sequence: u64) -> Option<Cut> {
        self.0.borrow().cuts.iter().rev().find(|cut| cut.sequence == sequence).copied()
    }

    /// How far the source's pictures were looked at, in this timeline.
    pub fn reached(&self, timeline: u64) -> Option<Duration> {
        self.0.borrow().until.filter(|until| until.0 == timeline).map(|until| until.1)
    }

    /// The newest segment of that timeline that begins not after `pts`.
    pub fn current(&self, timeline: u64, pts: Duration) -> Option<Cut> {
        let decided = self.0.borrow();
        decided.cuts.iter().rev().find(|cut| cut.timeline == timeline && cut.pts <= pts).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TARGET: Duration = Duration::from_secs(2);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Times of the cuts that key pictures at these times make.
    fn cuts(keys_ms: &[u64]) -> Vec<u64> {
        let mut planner = Planner::new(TARGET, 7, 0);
        let cut = |at: &u64| planner.at_key(1, ms(*at), SystemTime::UNIX_EPOCH);
        keys_ms.iter().filter_map(cut).map(|cut| u64::try_from(cut.pts.as_millis()).unwrap()).collect()
    }

    #[test]
    fn cuts_at_the_first_key_picture_after_the_target_and_once_early() {
        for (keys, want) in [
            (&[0, 1000, 2000, 3000, 4000, 5000][..], &[0, 1000, 3000, 5000][..]),
            (&[0, 2000, 4000], &[0, 2000, 4000]),
            (&[0, 10_000, 20_000], &[0, 10_000, 20_000]),
            (&[0, 500, 1000, 1500, 2000, 2500, 3000], &[0, 1000, 3000]),
            (&[0, 1990, 3980], &[0, 1990, 3980]),
            (&[], &[]),
        ] {
            assert_eq!(cuts(keys), want, "{keys:?}");
        }
    }

    #[test]
    fn a_break_is_a_discontinuity_only_behind_a_segment() {
        let mut planner = Planner::new(TARGET, 7, 3);
        planner.break_time();
        assert_eq!(planner.next(), (7, 3));
        let captured = SystemTime::UNIX_EPOCH + ms(500);
        let first = planner.at_key(1, ms(0), captured).unwrap();
        assert_eq!((first.sequence, first.discontinuity, first.at), (7, 3, captured));
        let second = planner.at_key(1, ms(1000), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(second.at, captured + ms(1000));
        let other = planner.at_key(2, ms(1001), captured).unwrap();
        assert_eq!((other.sequence, other.discontinuity, other.at), (9, 4, captured));
        planner.begin_anew();
        assert_eq!(planner.next(), (10, 5));
    }

    #[tokio::test]
    async fn who_follows_waits_until_it_is_decided() {
        let plan = Plan::default();
        let mut planner = Planner::new(TARGET, 7, 0);
        let waiting = plan.cut_at(1, ms(1000));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        for at in [0, 1000, 2000] {
            plan.decided(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
        }
        assert_eq!(waiting.await.map(|cut| cut.sequence), Some(8));
        assert_eq!(plan.cut_at(1, ms(2000)).await, None);
        assert_eq!(plan.next_cut(Some(7), 1, ms(1500)).map(|cut| cut.sequence), Some(8));
        assert_eq!(plan.next_cut(Some(8), 1, ms(9000)), None);
        assert_eq!(plan.next_cut(None, 1, ms(500)).map(|cut| cut.sequence), Some(7));
        assert_eq!(plan.current(1, ms(1500)).map(|cut| cut.sequence), Some(8));
        assert_eq!(plan.current(2, ms(1500)), None);
    }

    #[tokio::test]
    async fn a_source_that_is_made_anew_decides_anew() {
        let (plan, mut planner) = (Plan::default(), Planner::new(TARGET, 7, 0));
        let mut decide = |at| plan.decided(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
        decide(0);
        decide(1000);
        let over = plan.over(plan.begun().await);
        tokio::pin!(over);
        assert!(futures_util::poll!(&mut over).is_pending());
        plan.begin_anew();
        over.await;
        assert_eq!((plan.cut(7), plan.current(1, ms(5000)), plan.reached(1)), (None, None, None));
        // The same key picture, which a hub hands over again.
        let waiting = plan.cut_at(1, ms(1000));
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        planner.begin_anew();
        plan.decided(1, ms(1000), planner.at_key(1, ms(1000), SystemTime::UNIX_EPOCH));
        assert_eq!(waiting.await.map(|cut| cut.sequence), Some(9));
    }

    proptest! {
        #[test]
        fn numbers_do_not_outrun_the_clock_and_cuts_are_remembered_up_to_a_bound(steps in prop::collection::vec(20u64..5000, 1..300)) {
            let (plan, mut planner, mut at) = (Plan::default(), Planner::new(TARGET, 0, 0), 0);
            for step in &steps {
                plan.decided(1, ms(at), planner.at_key(1, ms(at), SystemTime::UNIX_EPOCH));
                at += step;
            }
            let (next, _) = planner.next();
            // The first two may come early.
            prop_assert!(next <= 2 + at / 1980);
            prop_assert!(plan.0.borrow().cuts.len() <= MAX_CUTS);
        }
    }
}
