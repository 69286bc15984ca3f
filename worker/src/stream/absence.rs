//! Decides when a probe shows that a camera has come back, and when that ends the pause before the next try. Pure.

use std::time::{Duration, Instant};

use rsm_shared::backoff::doubled;

use crate::source::error::SourceError;

/// A session with pictures for this long shows that the camera worked before its connection was lost.
const WORKED: Duration = Duration::from_secs(5);
/// A session with pictures for this long forgets early tries that came to nothing.
const FORGETS: Duration = Duration::from_secs(10);
/// Early tries in a row without such a session; further ones are ever farther apart.
const FREE: u32 = 3;

/// The farthest step that a probe of a camera reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Its address or port cannot be connected to.
    Closed,
    /// Its port is open.
    Open,
    /// Its RTSP server answers.
    Answers,
}

/// A result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub level: Level,
    /// The probe went no further; otherwise the level may still rise.
    pub settled: bool,
}

/// A camera that is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    level: Level,
    /// The port was seen closed, and not only the connection lost.
    pub closed: bool,
    /// Its return is an answer, not an open port: it was connected to and said nothing.
    pub silent: bool,
}

impl Absence {
    /// The absence of a camera whose session ended with `error` after pictures for `healthy`; `None` when it was
    /// reached and refused, which no probe changes: credentials are never tried early.
    pub fn after(error: &SourceError, healthy: Duration) -> Option<Self> {
        let (level, closed, silent) = match error {
            SourceError::Refused | SourceError::Unreachable => (Level::Closed, true, false),
            SourceError::Ended if healthy >= WORKED => (Level::Closed, false, false),
            // Its port may be open all the time: only one that was seen closed is seen to come back.
            SourceError::Ended => (Level::Open, false, false),
            SourceError::NoAnswer(_) | SourceError::Stalled(_) | SourceError::NoKeepAlive => (Level::Open, false, true),
            _ => return None,
        };
        Some(Self { level, closed, silent })
    }

    /// Another result of a probe; true when the camera has come back: once for each time that it went.
    pub fn sighted(&mut self, seen: Sighting) -> bool {
        let rises = seen.level > self.level;
        if rises || seen.settled {
            self.level = seen.level;
        }
        self.closed |= seen.level == Level::Closed;
        rises
    }

    /// True when the newest result, or the failure before, says that the port is not open.
    pub fn is_closed(&self) -> bool {
        self.level == Level::Closed
    }
}

/// Tries that begin before their pause is over, for one stream.
#[derive(Debug, Default)]
pub struct EarlyTries {
    /// Since the last session of [`FORGETS`].
    fruitless: u32,
    newest: Option<Instant>,
}

impl EarlyTries {
    /// A session with pictures for `healthy` has ended.
    pub fn ended(&mut self, healthy: Duration) {
        if healthy >= FORGETS {
            *self = Self::default();
        }
    }

    /// True when a try may begin early at `now`, which is then counted: the first `FREE` whenever the camera comes
    /// back, each further one after twice the time, from `least` to `longest`.
    pub fn allow(&mut self, now: Instant, least: Duration, longest: Duration) -> bool {
        let apart = match self.fruitless.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(further) => doubled(least, further, longest),
        };
        if self.newest.is_some_and(|newest| now.saturating_duration_since(newest) < apart) {
            return false;
        }
        self.fruitless = self.fruitless.saturating_add(1);
        self.newest = Some(now);
        true
    }

    /// True while early tries are not held back.
    pub fn are_free(&self) -> bool {
        self.fruitless <= FREE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Duration = Duration::ZERO;
    const STEP: Duration = Duration::from_secs(5);

    /// Results of probes as letters: `c` closed, `o` open, `-` open and not yet settled, `a` an answer.
    fn returns(error: SourceError, healthy: Duration, seen: &str) -> Option<String> {
        let mut absence = Absence::after(&error, healthy)?;
        let sighted = seen.chars().map(|letter| {
            let level = match letter {
                'c' => Level::Closed,
                'a' => Level::Answers,
                _ => Level::Open,
            };
            if absence.sighted(Sighting { level, settled: letter != '-' }) { '!' } else { '.' }
        });
        Some(sighted.collect())
    }

    #[test]
    fn a_camera_returns_once_for_each_time_that_it_went() {
        for (error, healthy, seen, want) in [
            (SourceError::Refused, NONE, "ccoooccoo", "..!....!."),
            (SourceError::Unreachable, NONE, "o", "!"),
            (SourceError::Ended, WORKED, "oo", "!."),
            (SourceError::Ended, WORKED, "cco", "..!"),
            // It closes every session: its open port is no news.
            (SourceError::Ended, NONE, "oooo", "...."),
            (SourceError::Ended, NONE, "oco", "..!"),
            (SourceError::Stalled(STEP), STEP, "-o-o-a-a", ".....!.."),
            (SourceError::NoAnswer(STEP), NONE, "-a-a-o-a", ".!.....!"),
            // Its host went as well.
            (SourceError::NoAnswer(STEP), NONE, "cc-a", "..!!"),
            (SourceError::NoKeepAlive, STEP, "-a", ".!"),
        ] {
            assert_eq!(returns(error.clone(), healthy, seen).as_deref(), Some(want), "{error:?} {seen}");
        }
    }

    #[test]
    fn an_answer_that_refuses_is_no_absence() {
        for error in [
            SourceError::Unauthorized(401, STEP),
            SourceError::Unauthorized(403, STEP),
            SourceError::CredentialsNeeded(401, STEP),
            SourceError::NotFound(404),
            SourceError::Busy(453),
            SourceError::Status(500),
            SourceError::NotRtsp,
            SourceError::NoVideo(vec![]),
            SourceError::BadVideo,
            SourceError::Tls,
            SourceError::TransportRefused,
            SourceError::ProtocolAtOpen,
            SourceError::AddressDenied,
            SourceError::NameNotFound,
            SourceError::Pipeline,
        ] {
            assert_eq!(Absence::after(&error, Duration::from_secs(100)), None, "{error:?}");
        }
    }

    #[test]
    fn early_tries_that_come_to_nothing_are_ever_farther_apart() {
        let (least, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        let begin = Instant::now();
        let mut early = EarlyTries::default();
        // The camera comes back ten times a second.
        let tries: Vec<u64> =
            (0..3000).filter(|n| early.allow(begin + Duration::from_millis(n * 100), least, longest)).collect();
        assert_eq!(tries, [0, 1, 2, 12, 32, 72, 152, 312, 632, 1232, 1832, 2432]);
        assert!(!early.are_free());
        early.ended(FORGETS);
        assert!(early.are_free() && early.allow(begin, least, longest));
    }

    proptest! {
        #[test]
        fn without_a_rise_nothing_returns(seen in "[coa]{0,40}") {
            let all = returns(SourceError::Refused, NONE, &seen).unwrap();
            let mut before = 'c';
            for (letter, returned) in seen.chars().zip(all.chars()) {
                let order = |letter| "coa".find(letter).unwrap();
                prop_assert_eq!(returned == '!', order(letter) > order(before));
                before = letter;
            }
        }
    }
}
