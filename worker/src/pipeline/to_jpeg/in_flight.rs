//! When the pictures inside a decoder were captured.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use rsm_media::access_unit::AccessUnit;

/// Units that are remembered until they are decoded: the 8 of the appsrc, the 16 at most that a decoder reorders,
/// generously.
const MAX_IN_FLIGHT: usize = 256;

/// The units that will be shown, by their time.
#[derive(Debug, Default)]
pub(super) struct InFlight(VecDeque<(Duration, SystemTime)>);

impl InFlight {
    pub fn add(&mut self, unit: &AccessUnit) {
        if self.0.len() >= MAX_IN_FLIGHT {
            self.0.pop_front();
        }
        self.0.push_back((unit.pts, unit.captured));
    }

    /// When the unit of that time was captured. Pictures come out in the order of their times, so all earlier ones are
    /// done with.
    pub fn take(&mut self, pts: Duration) -> Option<SystemTime> {
        let captured = self.0.iter().find(|(at, _)| *at == pts).map(|(_, captured)| *captured);
        self.0.retain(|(at, _)| *at > pts);
        captured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_units::unit;

    #[test]
    fn a_picture_finds_when_it_was_captured_in_any_coding_order() {
        let mut in_flight = InFlight::default();
        let units: Vec<_> = [0, 120, 40, 80].map(|ms| unit(ms, ms == 0)).into();
        units.iter().for_each(|unit| in_flight.add(unit));
        for i in [0, 2, 3, 1] {
            assert_eq!(in_flight.take(units[i].pts), Some(units[i].captured));
        }
        assert_eq!(in_flight.take(Duration::ZERO), None);
        (0..5000).for_each(|ms| in_flight.add(&unit(ms, false)));
        assert_eq!(in_flight.0.len(), MAX_IN_FLIGHT);
    }
}
