//! When a queue of start tickets needs a new consumer.
//!
//! A consumer can fail in two ways without an error: it hands out nothing though tickets and workers wait, or it has no
//! leader any more. In a cluster the second failure lasts: a nats-server before 2.9.11 that is restarted may not learn of
//! its copy of a consumer, and then the next node that goes takes the majority with it.

use std::time::{Duration, Instant};

use rsm_model::backoff::doubled;
use rsm_model::wire::ticket_queue::TicketQueue;

/// A queue with tickets and waiting workers that hands out nothing for this long is stuck. So is one that gives no answer:
/// a cluster elects a leader within 9 s.
const STUCK: Duration = Duration::from_secs(10);
/// The same bound while a ticket that was handed out may still come back.
const STUCK_UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// The pause between two new consumers doubles this often while they do not help, up to 80 s.
const MOST_DOUBLINGS: u32 = 3;

/// The progress of one queue since it last moved.
#[derive(Clone, Copy, Debug)]
pub struct QueueProgress {
    since: Instant,
    /// `None` while it gives no answer.
    seen: Option<TicketQueue>,
    /// New consumers since it last moved.
    remade: u32,
}

impl QueueProgress {
    /// Starts from the first observation; `None` when there was no answer.
    pub fn new(seen: Option<TicketQueue>, now: Instant) -> Self {
        Self { since: now, seen, remade: 0 }
    }

    /// Takes in a further observation. Returns why the queue needs a new consumer, once for each new one.
    pub fn observe(&mut self, seen: Option<TicketQueue>, now: Instant) -> Option<&'static str> {
        let (bound, why) = match (&self.seen, &seen) {
            (None, None) => (STUCK, "it has no leader"),
            (Some(before), Some(queue)) if queue.stands_still_since(before) => {
                let bound = if queue.unacknowledged > 0 { STUCK_UNACKNOWLEDGED } else { STUCK };
                (bound, "it handed out nothing")
            }
            _ => {
                // A new consumer that answers, and has moved nothing yet, is no success.
                let moved = seen.is_some_and(|queue| queue.waiting == 0 || queue.delivered > 0);
                *self = Self { since: now, seen, remade: if moved { 0 } else { self.remade } };
                return None;
            }
        };
        let pause = doubled(bound, self.remade.min(MOST_DOUBLINGS), Duration::MAX);
        if now.saturating_duration_since(self.since) < pause {
            return None;
        }
        self.since = now;
        self.remade += 1;
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Option<TicketQueue> = Some(TicketQueue { delivered: 7, waiting: 1, pulls: 2, unacknowledged: 0 });
    const MOVED: Option<TicketQueue> = Some(TicketQueue { delivered: 8, waiting: 1, pulls: 2, unacknowledged: 0 });
    const IN_FLIGHT: Option<TicketQueue> = Some(TicketQueue { delivered: 7, waiting: 1, pulls: 2, unacknowledged: 1 });
    const NO_ANSWER: Option<TicketQueue> = None;

    /// At which second a queue that was seen like `first`, and each second like `then`, gets new consumers.
    fn remade_at(first: Option<TicketQueue>, then: impl Fn(u64) -> Option<TicketQueue>) -> Vec<u64> {
        let start = Instant::now();
        let mut progress = QueueProgress::new(first, start);
        (1..=200).filter(|&s| progress.observe(then(s), start + Duration::from_secs(s)).is_some()).collect()
    }

    #[test]
    fn a_queue_without_a_leader_gets_a_new_consumer_and_more_of_them_ever_more_rarely() {
        assert_eq!(remade_at(NO_ANSWER, |_| NO_ANSWER), [10, 30, 70, 150]);
        assert_eq!(remade_at(STILL, |_| NO_ANSWER), [11, 31, 71, 151], "it once had a leader");
        assert!(remade_at(STILL, |s| if s < 10 { NO_ANSWER } else { MOVED }).iter().all(|at| *at >= 20), "an election");
    }

    #[test]
    fn a_queue_that_stands_still_gets_a_new_consumer() {
        assert_eq!(remade_at(STILL, |_| STILL), [10, 30, 70, 150]);
        assert_eq!(
            remade_at(IN_FLIGHT, |_| IN_FLIGHT),
            [60, 180],
            "what was handed out may come back, but not for ever"
        );
    }

    #[test]
    fn a_queue_that_moves_or_has_no_waiting_workers_is_left_alone() {
        for then in [
            |s: u64| Some(TicketQueue { delivered: s, waiting: 3, pulls: 1, unacknowledged: 0 }),
            |_| Some(TicketQueue { delivered: 7, waiting: 0, pulls: 1, unacknowledged: 0 }),
            |_| Some(TicketQueue { delivered: 7, waiting: 3, pulls: 0, unacknowledged: 0 }),
            |s| if s % 5 == 0 { NO_ANSWER } else { STILL },
        ] {
            assert_eq!(remade_at(STILL, then), Vec::<u64>::new());
        }
    }

    #[test]
    fn one_that_moved_again_is_looked_after_as_soon_as_at_first() {
        let seen =
            |s| if (15..20).contains(&s) { Some(TicketQueue { delivered: s, ..MOVED.unwrap() }) } else { NO_ANSWER };
        assert_eq!(remade_at(NO_ANSWER, seen)[..2], [10, 30]);
    }
}
