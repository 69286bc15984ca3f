//! Contact with the API decides which streams this worker may go on with: the results of its heartbeats, the time
//! without certainty, and pauses of the process itself.
//!
//! Silence alone ends few streams. A pipeline that has been replaced costs a second session at the camera and nothing
//! else, for its fence keeps its media from viewers; one that was ended for nothing costs the picture.

use std::time::{Duration, Instant};

/// After this many heartbeats without any answer the connection is made anew: it may look alive and be dead.
const SILENT_BEATS: u32 = 3;
/// After this long without contact every stream ends. Outages of NATS are repaired within it; a worker that was
/// forgotten behind a dead link does not keep its cameras busy for days.
pub const SILENCE_BOUND: Duration = Duration::from_secs(3600);

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

/// The streams that end because of silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilenceEnds {
    /// None: all go on.
    #[default]
    Nothing,
    /// Streams of cameras that serve one session only: another worker cannot open them before.
    Exclusive,
    /// Every stream.
    All,
}

/// The actions that follow from a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContactAdvice {
    /// Streams to end now; each kind is named once in a silence.
    pub ends: SilenceEnds,
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
    ended: SilenceEnds,
}

impl Contact {
    /// Starts with contact at `now`; the worker ends streams of exclusive cameras once it is cut off for longer
    /// than `hold`, and all once it is for longer than [`SILENCE_BOUND`].
    pub fn new(hold: Duration, now: Instant) -> Self {
        Self { hold, certain_at: now, silent_beats: 0, ended: SilenceEnds::Nothing }
    }

    /// Takes in the result of a heartbeat at `now`.
    pub fn on_beat(&mut self, result: BeatResult, now: Instant) -> ContactAdvice {
        match result {
            BeatResult::Answered | BeatResult::ApiAbsent => {
                self.certain_at = now;
                self.silent_beats = 0;
                self.ended = SilenceEnds::Nothing;
                ContactAdvice { pull: true, ..ContactAdvice::default() }
            }
            BeatResult::Silence => {
                self.silent_beats += 1;
                let silent = now.saturating_duration_since(self.certain_at);
                let due = match silent {
                    silent if silent > SILENCE_BOUND => SilenceEnds::All,
                    silent if silent > self.hold => SilenceEnds::Exclusive,
                    _ => SilenceEnds::Nothing,
                };
                let ends = if due > self.ended { due } else { SilenceEnds::Nothing };
                self.ended = self.ended.max(due);
                ContactAdvice { ends, reconnect: self.silent_beats.is_multiple_of(SILENT_BEATS), pull: false }
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
    fn silence_ends_exclusive_streams_after_a_while_and_the_others_after_an_hour() {
        use SilenceEnds::{All, Exclusive, Nothing};
        let (start, hold) = (Instant::now(), Duration::from_secs(20));
        let mut contact = Contact::new(hold, start);
        let mut beat = |result, second| contact.on_beat(result, start + Duration::from_secs(second));
        assert!(beat(BeatResult::Answered, 1).pull);
        for (second, ends) in [
            (2, Nothing),
            (21, Nothing),
            (22, Exclusive),
            (23, Nothing),
            (301, Nothing),
            (3601, Nothing),
            (3602, All),
            (3603, Nothing),
        ] {
            let advice = beat(BeatResult::Silence, second);
            assert_eq!((advice.ends, advice.pull), (ends, false), "at {second} s");
        }
        assert!(beat(BeatResult::Answered, 3604).pull);
        assert_eq!(beat(BeatResult::Silence, 3605).ends, Nothing, "begins anew");
        assert_eq!(beat(BeatResult::Silence, 9000).ends, All, "a machine that slept");
    }

    #[test]
    fn an_absent_api_is_no_reason_to_stop() {
        let start = Instant::now();
        let mut contact = Contact::new(Duration::from_secs(20), start);
        for second in 1..1000 {
            let advice = contact.on_beat(BeatResult::ApiAbsent, start + Duration::from_secs(second));
            assert!(advice.pull && advice.ends == SilenceEnds::Nothing);
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
