//! Admission of further streams to this worker, and its eagerness to take them.
//!
//! The queue hands its tickets to the worker that waits longest, not to the one with most room. So a worker with more
//! streams than others, or less processor time, steps back a little, and one without memory altogether.

use std::time::Duration;

use rsm_model::wire::messages::{Fleet, Load, Priority};

/// Streams that may be starting at a time; further ones are left to other workers.
pub const MAX_STARTING: usize = 8;
/// A worker is fuller than the emptiest one when its used share is larger by more than this many streams. Half a stream: with
/// as many streams the shares are equal but for rounding, and the next larger difference is a whole stream.
const UNEVEN_STREAMS: f32 = 0.5;

/// The time for which a stream without a picture counts as starting. Cameras that do not answer must not delay other
/// starts for long, least of all those that a viewer waits for.
pub fn counts_as_starting(priority: Priority) -> Duration {
    match priority {
        Priority::Hi => Duration::from_secs(1),
        Priority::Lo => Duration::from_secs(5),
    }
}

/// Shares above which a machine counts as busy; 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadLimits {
    pub memory: f32,
    pub cpu: f32,
}

/// All that admission depends on, but the slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkerStanding {
    /// The last heartbeat reached the API, or a NATS without it: a claim made now is certain to be this worker's.
    pub contact: bool,
    /// About to end.
    pub draining: bool,
    pub limits: LoadLimits,
    pub load: Load,
    /// Streams that are starting, counted for [`Priority::Hi`] and for [`Priority::Lo`] tickets.
    pub starting: [usize; 2],
    /// The fleet in the last answer to a heartbeat; `None` while the API does not answer.
    pub fleet: Option<Fleet>,
}

/// Slots of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCount {
    pub capacity: u32,
    pub free: u32,
}

/// The way to ask the queue for a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullDecision {
    /// Do not ask now.
    Wait,
    /// Ask, and wait at the queue.
    Park,
    /// Others have more room: wait for them first, then ask for a short time.
    StepBack,
}

impl SlotCount {
    /// Share of the slots that is taken, 0 to 1.
    pub fn used(self) -> f32 {
        let used = self.capacity.saturating_sub(self.free);
        (f64::from(used) / f64::from(self.capacity.max(1))) as f32
    }
}

impl WorkerStanding {
    /// A worker that has just begun, and has had no contact yet.
    pub fn new(limits: LoadLimits) -> Self {
        Self { contact: false, draining: false, limits, load: Load::default(), starting: [0; 2], fleet: None }
    }

    /// Streams that the worker would take now, if they were offered.
    pub fn room(&self, room: SlotCount) -> u32 {
        if self.draining || self.load.memory > self.limits.memory { 0 } else { room.free }
    }

    /// The way to ask for a ticket of that priority.
    pub fn pull(&self, priority: Priority, room: SlotCount) -> PullDecision {
        // The last free slot is kept for tickets that a viewer waits for, unless the worker has only one.
        let (spare, starting) = match priority {
            Priority::Hi => (0, self.starting[0]),
            Priority::Lo => (u32::from(room.capacity > 1), self.starting[1]),
        };
        if !self.contact || self.room(room) <= spare || starting >= MAX_STARTING {
            return PullDecision::Wait;
        }
        let Some(fleet) = self.fleet.filter(|fleet| fleet.others > 0 && fleet.room > 0) else {
            return PullDecision::Park;
        };
        // When all workers are busy one of them has to take it all the same.
        if self.load.cpu > self.limits.cpu && fleet.least_cpu <= self.limits.cpu {
            return PullDecision::StepBack;
        }
        // A deep queue is emptied the sooner the more pull from it.
        let deep = fleet.queued > fleet.others.saturating_add(1).saturating_mul(2);
        let uneven = UNEVEN_STREAMS / room.capacity.max(1) as f32;
        if !deep && room.used() > fleet.least_used + uneven { PullDecision::StepBack } else { PullDecision::Park }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: SlotCount = SlotCount { capacity: 10, free: 5 };

    fn standing() -> WorkerStanding {
        let fleet = Fleet { others: 2, room: 20, least_used: 0.5, least_cpu: 0.1, queued: 1 };
        WorkerStanding {
            contact: true,
            fleet: Some(fleet),
            ..WorkerStanding::new(LoadLimits { memory: 0.9, cpu: 0.8 })
        }
    }

    fn with(change: impl FnOnce(&mut WorkerStanding)) -> WorkerStanding {
        let mut standing = standing();
        change(&mut standing);
        standing
    }

    fn fleet(change: impl FnOnce(&mut Fleet)) -> WorkerStanding {
        with(|s| change(s.fleet.as_mut().unwrap()))
    }

    #[test]
    fn takes_nothing_while_draining_or_without_memory_and_asks_for_nothing_without_contact() {
        for (standing, room, pull) in [
            (standing(), 5, PullDecision::Park),
            (with(|s| s.draining = true), 0, PullDecision::Wait),
            (with(|s| s.load.memory = 0.91), 0, PullDecision::Wait),
            (with(|s| s.load.memory = 0.9), 5, PullDecision::Park),
            (with(|s| s.contact = false), 5, PullDecision::Wait),
            (WorkerStanding::new(LoadLimits { memory: 1.0, cpu: 1.0 }), 5, PullDecision::Wait),
        ] {
            assert_eq!((standing.room(HALF), standing.pull(Priority::Hi, HALF)), (room, pull), "{standing:?}");
        }
    }

    #[test]
    fn keeps_the_last_slot_for_streams_with_viewers() {
        let room = |free| SlotCount { capacity: 10, free };
        let even = fleet(|f| f.least_used = 1.0);
        for (free, hi, lo) in [
            (0, PullDecision::Wait, PullDecision::Wait),
            (1, PullDecision::Park, PullDecision::Wait),
            (2, PullDecision::Park, PullDecision::Park),
        ] {
            assert_eq!(even.pull(Priority::Hi, room(free)), hi, "{free}");
            assert_eq!(even.pull(Priority::Lo, room(free)), lo, "{free}");
        }
    }

    #[test]
    fn the_only_slot_of_a_worker_is_for_every_stream() {
        for (free, want) in [(0, PullDecision::Wait), (1, PullDecision::Park)] {
            let room = SlotCount { capacity: 1, free };
            assert_eq!(standing().pull(Priority::Lo, room), want, "{free}");
            assert_eq!(standing().pull(Priority::Hi, room), want, "{free}");
        }
    }

    #[test]
    fn few_start_at_a_time() {
        let standing = with(|s| s.starting = [MAX_STARTING - 1, MAX_STARTING]);
        assert_eq!(standing.pull(Priority::Hi, HALF), PullDecision::Park);
        assert_eq!(standing.pull(Priority::Lo, HALF), PullDecision::Wait);
        let standing = with(|s| s.starting = [MAX_STARTING; 2]);
        assert_eq!(standing.pull(Priority::Hi, HALF), PullDecision::Wait);
    }

    #[test]
    fn a_busy_machine_lets_idle_ones_with_room_go_first() {
        let busy = |change: fn(&mut WorkerStanding)| {
            with(|s| {
                s.load.cpu = 0.81;
                change(s);
            })
        };
        for (standing, want) in [
            (busy(|_| {}), PullDecision::StepBack),
            (busy(|s| s.fleet.as_mut().unwrap().least_cpu = 0.9), PullDecision::Park),
            (busy(|s| s.load.cpu = 0.8), PullDecision::Park),
            (busy(|s| s.fleet.as_mut().unwrap().room = 0), PullDecision::Park),
            (busy(|s| s.fleet = Some(Fleet::default())), PullDecision::Park),
            (busy(|s| s.fleet = None), PullDecision::Park),
        ] {
            assert_eq!(standing.pull(Priority::Hi, HALF), want, "{standing:?}");
        }
    }

    #[test]
    fn the_fuller_worker_steps_back_unless_the_queue_is_deep() {
        for (standing, want) in [
            (standing(), PullDecision::Park),
            (fleet(|f| f.least_used = 0.46), PullDecision::Park),
            (fleet(|f| f.least_used = 0.44), PullDecision::StepBack),
            (fleet(|f| (f.least_used, f.queued) = (0.0, 6)), PullDecision::StepBack),
            (fleet(|f| (f.least_used, f.queued) = (0.0, 7)), PullDecision::Park),
            (fleet(|f| (f.least_used, f.room) = (0.0, 0)), PullDecision::Park),
            (fleet(|f| (f.least_used, f.others) = (0.0, 0)), PullDecision::Park),
            (with(|s| s.fleet = None), PullDecision::Park),
        ] {
            assert_eq!(standing.pull(Priority::Lo, HALF), want, "{standing:?}");
        }
        assert!((SlotCount { capacity: 0, free: 0 }).used().abs() < f32::EPSILON);
        // Slots are 200, so one stream is a share of 0.005.
        let least = fleet(|f| f.least_used = 3.0 / 200.0);
        for (free, want) in [(198, PullDecision::Park), (197, PullDecision::Park), (196, PullDecision::StepBack)] {
            assert_eq!(least.pull(Priority::Lo, SlotCount { capacity: 200, free }), want, "{free}");
        }
    }
}
