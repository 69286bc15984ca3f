//! How long a worker that was told to end goes on for the viewers of its streams. Pure.

use std::time::{Duration, Instant};

use rsm_shared::wire::messages::Fleet;

use super::contact::Met;

/// So many heartbeats in a row that nobody listened to: the API is away, and moves nothing.
const ABSENT_BEATS: u32 = 2;
/// So many heartbeats in a row without any answer.
const SILENT_BEATS: u32 = 3;

/// Why a drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Others have taken over what there was, or it was stopped.
    NothingLeft,
    /// The time for it is up.
    TimeUp,
    /// There is no other worker that could take anything.
    Alone,
    /// The API, which moves streams, does not answer.
    NoApi,
}

impl Over {
    /// For the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NothingLeft => "nothing is left",
            Self::TimeUp => "the time for it is up",
            Self::Alone => "there is no other worker",
            Self::NoApi => "the API does not answer",
        }
    }
}

/// A worker that goes on until others have taken its streams over.
#[derive(Debug)]
pub struct Drain {
    until: Instant,
    alone: bool,
    absent: u32,
    silent: u32,
}

impl Drain {
    /// From `now` on, for `limit` at most. `fleet` is what the last heartbeat was answered, if it was.
    pub fn new(limit: Duration, fleet: Option<Fleet>, now: Instant) -> Self {
        let alone = fleet.is_some_and(|fleet| fleet.others == 0);
        Self { until: now + limit, alone, absent: 0, silent: 0 }
    }

    /// Takes in what a heartbeat met, and the answer's fleet.
    pub fn met(&mut self, met: Met, fleet: Option<Fleet>) {
        if let Some(fleet) = fleet {
            self.alone = fleet.others == 0;
        }
        (self.absent, self.silent) = match met {
            Met::Api => (0, 0),
            Met::ApiAbsent => (self.absent + 1, 0),
            Met::Unknown => (self.absent, self.silent + 1),
        };
    }

    /// When it is over at the latest.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Whether to end now; `idle` when nothing is owned and nothing is ending.
    pub fn over(&self, idle: bool, now: Instant) -> Option<Over> {
        if idle {
            Some(Over::NothingLeft)
        } else if now >= self.until {
            Some(Over::TimeUp)
        } else if self.alone {
            Some(Over::Alone)
        } else if self.absent >= ABSENT_BEATS || self.silent >= SILENT_BEATS {
            Some(Over::NoApi)
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
            drain.met(Met::Api, others(2));
            assert_eq!(drain.over(false, now + Duration::from_secs(second)), None);
        }
        assert_eq!(drain.over(true, now), Some(Over::NothingLeft));
        assert_eq!(drain.over(false, now + LIMIT), Some(Over::TimeUp));
    }

    #[test]
    fn does_not_wait_for_nobody() {
        let now = Instant::now();
        assert_eq!(Drain::new(LIMIT, others(0), now).over(false, now), Some(Over::Alone));
        let mut drain = Drain::new(LIMIT, None, now);
        assert_eq!(drain.over(false, now), None, "not known yet");
        drain.met(Met::Api, others(0));
        assert_eq!(drain.over(false, now), Some(Over::Alone));
    }

    #[test]
    fn nobody_moves_streams_without_the_api() {
        let now = Instant::now();
        use Met::{Api, ApiAbsent, Unknown};
        for (met, over) in [
            (&[ApiAbsent][..], false),
            (&[ApiAbsent, ApiAbsent], true),
            (&[ApiAbsent, Api, ApiAbsent], false),
            (&[Unknown, Unknown], false),
            (&[Unknown, Unknown, Unknown], true),
            (&[Unknown, Unknown, Api, Unknown], false),
        ] {
            let mut drain = Drain::new(LIMIT, others(1), now);
            met.iter().for_each(|met| drain.met(*met, None));
            assert_eq!(drain.over(false, now).is_some(), over, "{met:?}");
        }
    }
}
