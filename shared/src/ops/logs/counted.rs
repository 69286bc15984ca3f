//! Counts repeated log events: of libraries, and of our own that request it. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::repeated::{Failed, Repeated};

/// Different things that are counted at a time; beyond it the one that was silent longest is forgotten.
const MAX_COUNTED: usize = 512;
/// An event that did not occur for this long is over: the next time is a first time.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Identity of an event: its place in the program, and its stream, zone, connection or the like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    pub place: usize,
    pub of: String,
}

/// All that is counted in this process.
#[derive(Debug, Default)]
pub(super) struct Counted {
    said: HashMap<Subject, (Repeated<String>, Instant)>,
}

impl Counted {
    /// Counts an event; `Some` with the count when it is to be logged now. `text` is the message about the subject.
    pub fn note(&mut self, subject: Subject, text: String, now: Instant) -> Option<Failed> {
        if self.said.get(&subject).is_some_and(|(_, last)| now.saturating_duration_since(*last) >= FORGOTTEN) {
            self.said.remove(&subject);
        }
        if self.said.len() >= MAX_COUNTED && !self.said.contains_key(&subject) {
            let oldest = self.said.iter().min_by_key(|(_, (_, last))| *last).map(|(subject, _)| subject.clone());
            oldest.map(|oldest| self.said.remove(&oldest));
        }
        let (repeated, last) = self.said.entry(subject).or_insert_with(|| (Repeated::default(), now));
        *last = now;
        repeated.failed(text, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(of: usize) -> Subject {
        Subject { place: 1, of: of.to_string() }
    }

    #[test]
    fn each_subject_is_counted_by_itself_and_forgotten_after_a_silence() {
        let (start, mut counted) = (Instant::now(), Counted::default());
        let mut times = |of, s: u64| {
            counted.note(subject(of), "text".into(), start + Duration::from_secs(s)).map(|failed| failed.times)
        };
        assert_eq!([times(1, 0), times(1, 1), times(2, 1)], [Some(1), None, Some(1)]);
        assert_eq!(times(1, 60), Some(3));
        assert_eq!(times(1, 660), Some(1));
    }

    #[test]
    fn a_flood_of_subjects_is_bounded() {
        let (start, mut counted) = (Instant::now(), Counted::default());
        for n in 0..2000 {
            assert!(counted.note(subject(n), "text".into(), start + Duration::from_millis(n as u64)).is_some());
        }
        assert_eq!(counted.said.len(), MAX_COUNTED);
        assert!(counted.note(subject(1999), "text".into(), start + Duration::from_secs(3)).is_none());
    }
}
