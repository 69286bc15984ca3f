//! Fewer frames for a viewer that wants fewer: evenly, without drift. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// When the next frame is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePace {
    interval: Duration,
    next: Option<Instant>,
}

impl FramePace {
    /// At most that many frames per second; at least 1.
    pub fn new(fps: u32) -> Self {
        Self { interval: Duration::from_secs(1) / fps.max(1), next: None }
    }

    /// When the next frame may go; at once for an instant that has passed. A quarter of an interval early is in time:
    /// a source of the same rate wavers, and its frames need not wait for it.
    pub fn due(&self) -> Option<Instant> {
        self.next.and_then(|next| next.checked_sub(self.interval / 4))
    }

    /// A frame went at `now`. The next is due an interval after this one was, not after it went; after a pause it begins
    /// anew.
    pub fn sent(&mut self, now: Instant) {
        let after = self.next.unwrap_or(now) + self.interval;
        self.next = Some(if after < now { now + self.interval } else { after });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When frames go that come each `every` ms for `seconds`, and which: the newest at its time.
    fn run(fps: u32, every: f64, seconds: u64) -> Vec<(Duration, u64)> {
        let begin = Instant::now();
        let (mut pace, mut sent) = (FramePace::new(fps), Vec::<(Duration, u64)>::new());
        let came = |ms: u64| (ms as f64 / every) as u64;
        for ms in 0..seconds * 1000 {
            let now = begin + Duration::from_millis(ms);
            let newest = came(ms);
            let new = sent.last().is_none_or(|(_, last)| newest > *last);
            if new && pace.due().is_none_or(|due| due <= now) {
                pace.sent(now);
                sent.push((now - begin, newest));
            }
        }
        sent
    }

    #[test]
    fn every_third_of_thirty_is_ten() {
        let sent = run(10, 1000.0 / 30.0, 10);
        assert!((99..=101).contains(&sent.len()), "{}", sent.len());
        assert!(sent.windows(2).skip(1).all(|pair| pair[1].1 - pair[0].1 == 3), "{sent:?}");
    }

    #[test]
    fn a_source_as_slow_as_wanted_is_not_thinned() {
        assert_eq!(run(10, 100.0, 10).len(), 100);
        assert_eq!(run(30, 100.0, 10).len(), 100);
    }

    #[test]
    fn after_a_pause_nothing_is_made_up_for() {
        let begin = Instant::now();
        let mut pace = FramePace::new(10);
        pace.sent(begin);
        let later = begin + Duration::from_secs(60);
        pace.sent(later);
        assert_eq!(pace.due(), Some(later + Duration::from_millis(75)));
    }

    proptest! {
        #[test]
        fn never_more_than_wanted_and_nearly_all_that_can_be(fps in 1_u32..=30, every in 20.0..200.0_f64) {
            let sent = run(fps, every, 20);
            let can = (20_000.0 / every).min(f64::from(fps) * 20.0);
            prop_assert!(sent.len() <= fps as usize * 20 + 1, "{}", sent.len());
            prop_assert!(sent.len() as f64 >= can * 0.9 - 2.0, "{} of {can}", sent.len());
        }
    }
}
