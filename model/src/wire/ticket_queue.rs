//! The state of one queue of start tickets: one zone and one priority.

/// Counters of the queue's consumer, as nats-server reports them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TicketQueue {
    /// The last sequence number that was handed to a worker: a ticket with a larger one is still queued.
    pub delivered: u64,
    /// Tickets that wait to be handed out.
    pub waiting: u64,
    /// Pulls of workers that wait for a ticket.
    pub pulls: usize,
    /// Tickets that were handed out and are not acknowledged yet.
    pub unacknowledged: usize,
}

impl TicketQueue {
    /// Returns whether the queue has handed out nothing since `earlier`, though tickets and workers waited then and
    /// wait now. If two observations 10 s apart say so, and nothing is unacknowledged that could come back, the
    /// consumer is stuck and has to be made anew.
    pub fn stands_still_since(&self, earlier: &Self) -> bool {
        let waits = |queue: &Self| queue.waiting > 0 && queue.pulls > 0;
        waits(earlier) && waits(self) && self.delivered == earlier.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_stands_still_only_while_both_sides_wait() {
        let stuck = TicketQueue { delivered: 7, waiting: 2, pulls: 1, unacknowledged: 0 };
        assert!(stuck.stands_still_since(&stuck));
        for other in [
            TicketQueue { delivered: 8, ..stuck },
            TicketQueue { waiting: 0, ..stuck },
            TicketQueue { pulls: 0, ..stuck },
        ] {
            assert!(!other.stands_still_since(&stuck), "{other:?}");
            assert!(!stuck.stands_still_since(&other), "{other:?}");
        }
    }
}
