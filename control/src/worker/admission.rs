//! Whether this worker takes further streams now, and how eagerly. Pure.
//!
//! The queue hands its tickets to whoever waits longest, not to whoever has most room. So a worker with more streams
//! than others, or less processor time, steps back a little, and one without memory altogether.

use std::time::Duration;

use rsm_shared::wire::messages::{Fleet, Load, Priority};

/// Streams that may be starting at a time before further ones are left to others.
pub const MAX_STARTING: usize = 8;
/// A worker is fuller than others when its used share is larger by more than this.
const UNEVEN: f32 = 0.05;

/// For how long a stream without a picture counts as starting: cameras that do not answer must not keep others from
/// being started for long, least of all those that somebody waits for.
pub fn counts_as_starting(priority: Priority) -> Duration {
    match priority {
        Priority::Hi => Duration::from_secs(1),
        Priority::Lo => Duration::from_secs(5),
    }
}

/// From which shares on a machine is taken for busy; 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub memory: f32,
    pub cpu: f32,
}

/// How a worker stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The last heartbeat met the API, or a NATS without it: what is claimed now is known to be ours.
    pub contact: bool,
    /// About to end.
    pub draining: bool,
    pub limits: Limits,
    pub load: Load,
    /// Streams that are starting, as [`Priority::Hi`] and as [`Priority::Lo`] tickets count them.
    pub starting: [usize; 2],
    /// What the last heartbeat was answered; `None` while the API does not answer.
    pub fleet: Option<Fleet>,
}

/// Slots of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub capacity: u32,
    pub free: u32,
}

/// How to ask the queue for a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Not now.
    Wait,
    /// Wait at the queue.
    Park,
    /// Others have more room: let them go first, then ask shortly.
    StepBack,
}

impl Room {
    /// Share of the slots that is taken, 0 to 1.
    pub fn used(self) -> f32 {
        let used = self.capacity.saturating_sub(self.free);
        (f64::from(used) / f64::from(self.capacity.max(1))) as f32
    }
}

impl Standing {
    /// Of a worker that has just begun, and met nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self { contact: false, draining: false, limits, load: Load::default(), starting: [0; 2], fleet: None }
    }

    /// Streams that it would take now, if they were offered.
    pub fn room(&self, room: Room) -> u32 {
        if self.draining || self.load.memory > self.limits.memory { 0 } else { room.free }
    }

    /// How to ask for a ticket of that priority.
    pub fn pull(&self, priority: Priority, room: Room) -> Pull {
        // The last free slot is kept for tickets that somebody waits for, unless it is the only one there is.
        let (spare, starting) = match priority {
            Priority::Hi => (0, self.starting[0]),
            Priority::Lo => (u32::from(room.capacity > 1), self.starting[1]),
        };
        if !self.contact || self.room(room) <= spare || starting >= MAX_STARTING {
            return Pull::Wait;
        }
        let Some(fleet) = self.fleet.filter(|fleet| fleet.others > 0 && fleet.room > 0) else { return Pull::Park };
        // When everybody is busy somebody has to take it all the same.
        if self.load.cpu > self.limits.cpu && fleet.least_cpu <= self.limits.cpu {
            return Pull::StepBack;
        }
        // A deep queue is emptied the sooner the more pull from it.
        let deep = fleet.queued > fleet.others.saturating_add(1).saturating_mul(2);
        if !deep && room.used() > fleet.least_used + UNEVEN { Pull::StepBack } else { Pull::Park }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Room = Room { capacity: 10, free: 5 };

    fn standing() -> Standing {
        let fleet = Fleet { others: 2, room: 20, least_used: 0.5, least_cpu: 0.1, queued: 1 };
        Standing { contact: true, fleet: Some(fleet), ..Standing::new(Limits { memory: 0.9, cpu: 0.8 }) }
    }

    fn with(change: impl FnOnce(&mut Standing)) -> Standing {
        let mut standing = standing();
        change(&mut standing);
        standing
    }

    fn fleet(change: impl FnOnce(&mut Fleet)) -> Standing {
        with(|s| change(s.fleet.as_mut().unwrap()))
    }

    #[test]
    fn takes_nothing_while_draining_or_without_memory_and_asks_for_nothing_without_contact() {
        for (standing, room, pull) in [
            (standing(), 5, Pull::Park),
            (with(|s| s.draining = true), 0, Pull::Wait),
            (with(|s| s.load.memory = 0.91), 0, Pull::Wait),
            (with(|s| s.load.memory = 0.9), 5, Pull::Park),
            (with(|s| s.contact = false), 5, Pull::Wait),
            (Standing::new(Limits { memory: 1.0, cpu: 1.0 }), 5, Pull::Wait),
        ] {
            assert_eq!((standing.room(HALF), standing.pull(Priority::Hi, HALF)), (room, pull), "{standing:?}");
        }
    }

    #[test]
    fn keeps_the_last_slot_for_those_who_wait() {
        let room = |free| Room { capacity: 10, free };
        let even = fleet(|f| f.least_used = 1.0);
        for (free, hi, lo) in [(0, Pull::Wait, Pull::Wait), (1, Pull::Park, Pull::Wait), (2, Pull::Park, Pull::Park)] {
            assert_eq!(even.pull(Priority::Hi, room(free)), hi, "{free}");
            assert_eq!(even.pull(Priority::Lo, room(free)), lo, "{free}");
        }
    }

    #[test]
    fn the_only_slot_of_a_worker_is_for_everybody() {
        for (free, want) in [(0, Pull::Wait), (1, Pull::Park)] {
            let room = Room { capacity: 1, free };
            assert_eq!(standing().pull(Priority::Lo, room), want, "{free}");
            assert_eq!(standing().pull(Priority::Hi, room), want, "{free}");
        }
    }

    #[test]
    fn few_start_at_a_time() {
        let standing = with(|s| s.starting = [MAX_STARTING - 1, MAX_STARTING]);
        assert_eq!(standing.pull(Priority::Hi, HALF), Pull::Park);
        assert_eq!(standing.pull(Priority::Lo, HALF), Pull::Wait);
        let standing = with(|s| s.starting = [MAX_STARTING; 2]);
        assert_eq!(standing.pull(Priority::Hi, HALF), Pull::Wait);
    }

    #[test]
    fn a_busy_machine_lets_idle_ones_with_room_go_first() {
        let busy = |change: fn(&mut Standing)| {
            with(|s| {
                s.load.cpu = 0.81;
                change(s);
            })
        };
        for (standing, want) in [
            (busy(|_| {}), Pull::StepBack),
            (busy(|s| s.fleet.as_mut().unwrap().least_cpu = 0.9), Pull::Park),
            (busy(|s| s.load.cpu = 0.8), Pull::Park),
            (busy(|s| s.fleet.as_mut().unwrap().room = 0), Pull::Park),
            (busy(|s| s.fleet = Some(Fleet::default())), Pull::Park),
            (busy(|s| s.fleet = None), Pull::Park),
        ] {
            assert_eq!(standing.pull(Priority::Hi, HALF), want, "{standing:?}");
        }
    }

    #[test]
    fn the_fuller_worker_steps_back_unless_the_queue_is_deep() {
        for (standing, want) in [
            (standing(), Pull::Park),
            (fleet(|f| f.least_used = 0.46), Pull::Park),
            (fleet(|f| f.least_used = 0.44), Pull::StepBack),
            (fleet(|f| (f.least_used, f.queued) = (0.0, 6)), Pull::StepBack),
            (fleet(|f| (f.least_used, f.queued) = (0.0, 7)), Pull::Park),
            (fleet(|f| (f.least_used, f.room) = (0.0, 0)), Pull::Park),
            (fleet(|f| (f.least_used, f.others) = (0.0, 0)), Pull::Park),
            (with(|s| s.fleet = None), Pull::Park),
        ] {
            assert_eq!(standing.pull(Priority::Lo, HALF), want, "{standing:?}");
        }
        assert!((Room { capacity: 0, free: 0 }).used().abs() < f32::EPSILON);
    }
}
