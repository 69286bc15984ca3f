//! Measures for how long pictures have come without a key frame among them: intra refresh, or a group without end. Pure.

use std::time::{Duration, Instant};

/// An output that waits for a key frame while pictures come reports that after this long: longer than the longest
/// usual group of pictures, 10 s.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// After a silence this long the camera has begun a session anew, and so does the count.
const SILENCE: Duration = Duration::from_secs(5);

/// Measures one wait for a key frame.
#[derive(Debug, Default)]
pub struct Keyless {
    /// Arrival of the first and of the last picture since the last silence.
    span: Option<(Instant, Instant)>,
}

impl Keyless {
    /// Counts a picture that is no key frame; returns for how long such pictures have come.
    pub fn picture(&mut self, at: Instant) -> Duration {
        let first = match self.span {
            Some((first, last)) if at.saturating_duration_since(last) < SILENCE => first,
            _ => at,
        };
        self.span = Some((first, at));
        at.saturating_duration_since(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_time_of_pictures_and_not_of_silence() {
        let (mut keyless, begin) = (Keyless::default(), Instant::now());
        let mut seconds = |s| keyless.picture(begin + Duration::from_secs(s)).as_secs();
        assert_eq!([seconds(0), seconds(4), seconds(8)], [0, 4, 8]);
        assert_eq!([seconds(60), seconds(61)], [0, 1]);
    }
}
