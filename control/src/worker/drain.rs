//! The end of a worker that was told to stop: it goes on for viewers until other workers have its streams.

use std::time::{Duration, Instant};

use rsm_model::wire::messages::Fleet;

use super::contact::BeatResult;

/// Heartbeats in a row without an API that listens, after which it counts as away: it moves nothing then.
const ABSENT_BEATS: u32 = 2;
/// Heartbeats in a row without any answer, after which the drain is over.
const SILENT_BEATS: u32 = 3;

/// Why a drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    /// Other workers have taken over all streams, or they were stopped.
    NothingLeft,
    /// The time for it is up.
    TimeUp,
    /// There is no other worker that could take a stream.
    Alone,
    /// The API, which moves streams, does not answer.
    NoApi,
}

impl DrainEnd {
    /// The reason in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NothingLeft => "nothing is left",
            Self::TimeUp => "the time for it is up",
            Self::Alone => "there is no other worker",
            Self::NoApi => "the API does not answer",
        }
    }
}

/// A drain under way.
#[derive(Debug)]
pub struct Drain {
    until: Instant,
    alone: bool,
    absent: u32,
    silent: u32,
}

impl Drain {
    /// Begins at `now` and lasts for `limit` at most. `fleet` is that of the last answer to a heartbeat, if there was one.
    pub fn new(limit: Duration, fleet: Option<Fleet>, now: Instant) -> Self {
        let alone = fleet.is_some_and(|fleet| fleet.others == 0);
        Self { until: now + limit, alone, absent: 0, silent: 0 }
    }

    /// Takes in the result of a heartbeat, and the fleet in its answer.
    pub fn on_beat(&mut self, result: BeatResult, fleet: Option<Fleet>) {
        if let Some(fleet) = fleet {
            self.alone = fleet.others == 0;
        }
        (self.absent, self.silent) = match result {
            BeatResult::Answered => (0, 0),
            BeatResult::ApiAbsent => (self.absent + 1, 0),
            BeatResult::Silence => (self.absent, self.silent + 1),
        };
    }

    /// The latest end.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Why to end now, if so; `idle` when no stream is owned or ending.
    pub fn end(&self, idle: bool, now: Instant) -> Option<DrainEnd> {
        if idle {
            Some(DrainEnd::NothingLeft)
        } else if now >= self.until {
            Some(DrainEnd::TimeUp)
        } else if self.alone {
            Some(DrainEnd::Alone)
        } else if self.absent >= ABSENT_BEATS || self.silent >= SILENT_BEATS {
            Some(DrainEnd::NoApi)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn others(others: u32) -> Option<Fleet> {
        Some(Fleet { others, ..Fleet::default() })
    }

    #[test]
    fn goes_on_while_others_may_take_over_and_not_longer_than_the_limit() {
        let now = Instant::now();
        let mut drain = Drain::new(LIMIT, others(2), now);
        for second in 0..20 {
            drain.on_beat(BeatResult::Answered, others(2));
            assert_eq!(drain.end(false, now + Duration::from_secs(second)), None);
        }
        assert_eq!(drain.end(true, now), Some(DrainEnd::NothingLeft));
        assert_eq!(drain.end(false, now + LIMIT), Some(DrainEnd::TimeUp));
    }

    #[test]
    fn does_not_wait_without_another_worker() {
        let now = Instant::now();
        assert_eq!(Drain::new(LIMIT, others(0), now).end(false, now), Some(DrainEnd::Alone));
        let mut drain = Drain::new(LIMIT, None, now);
        assert_eq!(drain.end(false, now), None, "not known yet");
        drain.on_beat(BeatResult::Answered, others(0));
        assert_eq!(drain.end(false, now), Some(DrainEnd::Alone));
    }

    #[test]
    fn streams_do_not_move_without_the_api() {
        let now = Instant::now();
        use BeatResult::{Answered, ApiAbsent, Silence};
        for (results, ends) in [
            (&[ApiAbsent][..], false),
            (&[ApiAbsent, ApiAbsent], true),
            (&[ApiAbsent, Answered, ApiAbsent], false),
            (&[Silence, Silence], false),
            (&[Silence, Silence, Silence], true),
            (&[Silence, Silence, Answered, Silence], false),
        ] {
            let mut drain = Drain::new(LIMIT, others(1), now);
            results.iter().for_each(|result| drain.on_beat(*result, None));
            assert_eq!(drain.end(false, now).is_some(), ends, "{results:?}");
        }
    }
}
