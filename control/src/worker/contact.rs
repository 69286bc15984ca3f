//! Contact with the API decides if this worker may go on: the results of its heartbeats, the time without certainty,
//! and pauses of the process itself.

use std::time::{Duration, Instant};

/// After this many heartbeats without any answer the connection is made anew: it may look alive and be dead.
const SILENT_BEATS: u32 = 3;

/// The result of one heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatResult {
    /// The API answered.
    Answered,
    /// No API listens, but JetStream answers: the API is away, and nothing else can hand this worker's streams to
    /// another.
    ApiAbsent,
    /// Neither answers: this worker may be cut off, and its streams may run elsewhere by now.
    Silence,
}

/// The actions that follow from a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactAdvice {
    /// Stop every pipeline: cut off for too long.
    pub stop_all: bool,
    /// Make the connection anew.
    pub reconnect: bool,
    /// Take new streams.
    pub pull: bool,
}

/// The contact with the API.
#[derive(Debug)]
pub struct Contact {
    hold: Duration,
    certain_at: Instant,
    silent_beats: u32,
    stopped: bool,
}

impl Contact {
    /// Starts with contact at `now`; the worker stops its streams once it is cut off for longer than `hold`.
    pub fn new(hold: Duration, now: Instant) -> Self {
        Self { hold, certain_at: now, silent_beats: 0, stopped: false }
    }

    /// Takes in the result of a heartbeat at `now`.
    pub fn on_beat(&mut self, result: BeatResult, now: Instant) -> ContactAdvice {
        match result {
            BeatResult::Answered | BeatResult::ApiAbsent => {
                self.certain_at = now;
                self.silent_beats = 0;
                self.stopped = false;
                ContactAdvice { pull: true, ..ContactAdvice::default() }
            }
            BeatResult::Silence => {
                self.silent_beats += 1;
                let over = now.saturating_duration_since(self.certain_at) > self.hold;
                let stop_all = over && !self.stopped;
                self.stopped |= stop_all;
                ContactAdvice { stop_all, reconnect: self.silent_beats.is_multiple_of(SILENT_BEATS), pull: false }
            }
        }
    }
}

/// Notices that this process was paused for so long that its streams may run elsewhere by now: it was stopped, or its
/// machine slept. Then it publishes nothing until the API has answered a heartbeat that it sent since. All times are
/// of a clock that goes on while the machine sleeps.
#[derive(Clone, Debug)]
pub struct Pulse {
    dead: Duration,
    last: Duration,
    /// The first heartbeat whose answer counts.
    silent_until: Option<u64>,
}

impl Pulse {
    /// Starts at `now`; a worker that is silent for `dead` counts as dead.
    pub fn new(dead: Duration, now: Duration) -> Self {
        Self { dead, last: now, silent_until: None }
    }

    /// The beat at `now`, one each second; `next` is the number of the next heartbeat. Returns whether it found a
    /// pause.
    pub fn beat(&mut self, now: Duration, next: u64) -> bool {
        let paused = now.saturating_sub(self.last) > self.dead;
        self.last = now;
        if paused {
            self.silent_until = Some(next);
        }
        paused
    }

    /// The API has answered the heartbeat of that number.
    pub fn answered(&mut self, number: u64) {
        self.silent_until = self.silent_until.filter(|until| number < *until);
    }

    /// Returns whether frames may be published at `now`. It also notices a pause that no beat has found yet.
    pub fn may_publish(&self, now: Duration) -> bool {
        self.silent_until.is_none() && now.saturating_sub(self.last) <= self.dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Duration = Duration::from_secs(4);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn after_a_pause_nothing_is_published_until_a_heartbeat_from_after_it_was_answered() {
        let mut pulse = Pulse::new(DEAD, at(0));
        assert!(!pulse.beat(at(1), 1));
        assert!(pulse.may_publish(at(1)));
        assert!(!pulse.may_publish(at(10)), "before the first beat after the pause, too");
        assert!(pulse.beat(at(10), 2));
        assert!(!pulse.may_publish(at(10)));
        pulse.answered(1);
        assert!(!pulse.may_publish(at(10)), "an answer from before the pause");
        assert!(!pulse.beat(at(11), 3));
        assert!(!pulse.may_publish(at(11)), "it goes on until the answer");
        pulse.answered(2);
        assert!(pulse.may_publish(at(11)));
    }

    #[test]
    fn a_late_beat_is_no_pause_and_a_second_pause_is_one() {
        let mut pulse = Pulse::new(DEAD, at(0));
        assert!(!pulse.beat(at(4), 1));
        assert!(pulse.may_publish(at(8)) && !pulse.may_publish(at(9)));
        pulse.beat(at(20), 2);
        pulse.beat(at(30), 5);
        pulse.answered(4);
        assert!(!pulse.may_publish(at(30)));
        pulse.answered(5);
        assert!(pulse.may_publish(at(30)));
    }

    #[test]
    fn holds_for_a_while_then_stops_once() {
        let (start, hold) = (Instant::now(), Duration::from_secs(20));
        let at = |s| start + Duration::from_secs(s);
        let mut contact = Contact::new(hold, start);
        assert!(contact.on_beat(BeatResult::Answered, at(1)).pull);
        for second in 2..=21 {
            let advice = contact.on_beat(BeatResult::Silence, at(second));
            assert!(!advice.stop_all && !advice.pull, "at {second} s");
        }
        assert!(contact.on_beat(BeatResult::Silence, at(22)).stop_all);
        assert!(!contact.on_beat(BeatResult::Silence, at(23)).stop_all, "only once");
        assert!(contact.on_beat(BeatResult::Answered, at(24)).pull);
        assert!(!contact.on_beat(BeatResult::Silence, at(25)).stop_all, "begins anew");
    }

    #[test]
    fn an_absent_api_is_no_reason_to_stop() {
        let start = Instant::now();
        let mut contact = Contact::new(Duration::from_secs(20), start);
        for second in 1..1000 {
            let advice = contact.on_beat(BeatResult::ApiAbsent, start + Duration::from_secs(second));
            assert!(advice.pull && !advice.stop_all);
        }
    }

    #[test]
    fn every_third_silence_makes_the_connection_anew() {
        let now = Instant::now();
        let mut contact = Contact::new(Duration::from_secs(20), now);
        let reconnects: Vec<bool> = (0..6).map(|_| contact.on_beat(BeatResult::Silence, now).reconnect).collect();
        assert_eq!(reconnects, [false, false, true, false, false, true]);
    }
}
