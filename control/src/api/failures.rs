//! Commands that failed: each stream waits for a moment, and the log gets one line for many failures.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::slug::Slug;
use tracing::warn;

/// A stream whose command failed gets no further command for this long.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Shortest time between two log lines.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Streams whose last command failed: one entry for each at most, gone after [`RETRY_AFTER`].
#[derive(Debug, Default)]
pub struct Failures {
    not_before: HashMap<Slug, Instant>,
    /// Failures since the last log line.
    unlogged: u64,
    logged_at: Option<Instant>,
}

impl Failures {
    /// Records that a command about `slug` failed. One line every few seconds is enough, as most failures of a moment
    /// have one cause, whatever the number of streams.
    pub fn record(&mut self, slug: &Slug, text: &str, now: Instant) {
        self.not_before.insert(slug.clone(), now + RETRY_AFTER);
        self.unlogged += 1;
        if self.logged_at.is_none_or(|at| now.saturating_duration_since(at) >= LOG_EVERY) {
            warn!(stream = %slug, failures = self.unlogged, error = text, "a placement is not carried out, trying again");
            self.logged_at = Some(now);
            self.unlogged = 0;
        }
    }

    /// Returns whether a stream must wait before its next command.
    pub fn waits(&self, slug: &Slug) -> bool {
        self.not_before.contains_key(slug)
    }

    /// Forgets streams that have waited long enough, and returns them.
    pub fn take_over(&mut self, now: Instant) -> Vec<Slug> {
        self.not_before.extract_if(|_, until| *until <= now).map(|(slug, _)| slug).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_waits_for_a_moment_after_a_failure() {
        let (mut failures, start, slug) = (Failures::default(), Instant::now(), Slug::parse("yard").unwrap());
        failures.record(&slug, "no answer", start);
        assert!(failures.take_over(start + RETRY_AFTER / 2).is_empty());
        assert!(failures.waits(&slug) && !failures.waits(&Slug::parse("door").unwrap()));
        assert_eq!(failures.take_over(start + RETRY_AFTER), std::slice::from_ref(&slug));
        assert!(!failures.waits(&slug));
    }
}
