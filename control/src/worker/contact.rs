//! Whether this worker may go on: what heartbeats met, for how long nothing is known, and whether the process itself
//! stood still. Pure.

use std::time::{Duration, Instant};

/// After this many heartbeats without any answer the connection is made anew: it may look alive and be dead.
const SILENT_BEATS: u32 = 3;

/// What one heartbeat led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// The API answered.
    Api,
    /// Nobody listens, but JetStream answers: the API is away, and nobody else can hand our streams to another.
    ApiAbsent,
    /// Neither answers: we may be cut off, and our streams may run elsewhere by now.
    Unknown,
}

/// What to do after a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// Stop every pipeline: cut off for too long.
    pub stop_all: bool,
    /// Make the connection anew.
    pub reconnect: bool,
    /// Take new streams.
    pub pull: bool,
}

/// How contact with the API stands.
#[derive(Debug)]
pub struct Contact {
    hold: Duration,
    certain_at: Instant,
    silent_beats: u32,
    stopped: bool,
}

impl Contact {
    /// From `now` on; cut off for longer than `hold` means stopping.
    pub fn new(hold: Duration, now: Instant) -> Self {
        Self { hold, certain_at: now, silent_beats: 0, stopped: false }
    }

    /// Takes in what a heartbeat met at `now`.
    pub fn met(&mut self, met: Met, now: Instant) -> Advice {
        match met {
            Met::Api | Met::ApiAbsent => {
                self.certain_at = now;
                self.silent_beats = 0;
                self.stopped = false;
                Advice { pull: true, ..Advice::default() }
            }
            Met::Unknown => {
                self.silent_beats += 1;
                let over = now.saturating_duration_since(self.certain_at) > self.hold;
                let stop_all = over && !self.stopped;
                self.stopped |= stop_all;
                Advice { stop_all, reconnect: self.silent_beats.is_multiple_of(SILENT_BEATS), pull: false }
            }
        }
    }
}

/// Whether this process stood still for so long that its streams may run elsewhere by now: it was stopped, or its
/// machine slept. Then it shows nothing until the API has answered a heartbeat that it sent since. All times are of a
/// clock that goes on while the machine sleeps.
#[derive(Clone, Debug)]
pub struct Pulse {
    dead: Duration,
    last: Duration,
    /// The first heartbeat whose answer counts.
    silent_until: Option<u64>,
}

impl Pulse {
    /// From `now` on; a worker that is silent for `dead` is taken for dead.
    pub fn new(dead: Duration, now: Duration) -> Self {
        Self { dead, last: now, silent_until: None }
    }

    /// The beat at `now`, one each second; `next` is the number of the next heartbeat. Whether it found a pause.
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

    /// Whether something may be shown at `now`. Also right after a pause that no beat has found yet.
    pub fn may_show(&self, now: Duration) -> bool {
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
    fn after_a_pause_nothing_is_shown_until_a_heartbeat_from_after_it_was_answered() {
        let mut pulse = Pulse::new(DEAD, at(0));
        assert!(!pulse.beat(at(1), 1));
        assert!(pulse.may_show(at(1)));
        assert!(!pulse.may_show(at(10)), "before the first beat after the pause, too");
        assert!(pulse.beat(at(10), 2));
        assert!(!pulse.may_show(at(10)));
        pulse.answered(1);
        assert!(!pulse.may_show(at(10)), "an answer from before the pause");
        assert!(!pulse.beat(at(11), 3));
        assert!(!pulse.may_show(at(11)), "it goes on until the answer");
        pulse.answered(2);
        assert!(pulse.may_show(at(11)));
    }

    #[test]
    fn a_late_beat_is_no_pause_and_a_second_pause_is_one() {
        let mut pulse = Pulse::new(DEAD, at(0));
        assert!(!pulse.beat(at(4), 1));
        assert!(pulse.may_show(at(8)) && !pulse.may_show(at(9)));
        pulse.beat(at(20), 2);
        pulse.beat(at(30), 5);
        pulse.answered(4);
        assert!(!pulse.may_show(at(30)));
        pulse.answered(5);
        assert!(pulse.may_show(at(30)));
    }

    #[test]
    fn holds_for_a_while_then_stops_once() {
        let (start, hold) = (Instant::now(), Duration::from_secs(20));
        let at = |s| start + Duration::from_secs(s);
        let mut contact = Contact::new(hold, start);
        assert!(contact.met(Met::Api, at(1)).pull);
        for second in 2..=21 {
            let advice = contact.met(Met::Unknown, at(second));
            assert!(!advice.stop_all && !advice.pull, "at {second} s");
        }
        assert!(contact.met(Met::Unknown, at(22)).stop_all);
        assert!(!contact.met(Met::Unknown, at(23)).stop_all, "only once");
        assert!(contact.met(Met::Api, at(24)).pull);
        assert!(!contact.met(Met::Unknown, at(25)).stop_all, "begins anew");
    }

    #[test]
    fn an_absent_api_is_no_reason_to_stop() {
        let start = Instant::now();
        let mut contact = Contact::new(Duration::from_secs(20), start);
        for second in 1..1000 {
            let advice = contact.met(Met::ApiAbsent, start + Duration::from_secs(second));
            assert!(advice.pull && !advice.stop_all);
        }
    }

    #[test]
    fn every_third_silence_makes_the_connection_anew() {
        let now = Instant::now();
        let mut contact = Contact::new(Duration::from_secs(20), now);
        let reconnects: Vec<bool> = (0..6).map(|_| contact.met(Met::Unknown, now).reconnect).collect();
        assert_eq!(reconnects, [false, false, true, false, false, true]);
    }
}
