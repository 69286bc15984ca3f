//! Whether this worker may go on: what heartbeats met, and for how long nothing is known. Pure.

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

#[cfg(test)]
mod tests {
    use super::*;

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
