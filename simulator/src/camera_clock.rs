//! The clock in a camera that stamps its packets: true, or jumping and running too fast on command.

use gstreamer as gst;

/// Maps running time to the camera's own idea of it, without a step except by [`CameraClock::jump`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CameraClock {
    /// Where the present rate began, in running time and in the camera's, in nanoseconds.
    since: i128,
    reading: i128,
    /// Rate error in millionths; positive runs too fast.
    ppm: i32,
}

impl CameraClock {
    /// The camera's time, in nanoseconds, at running time `pts`.
    fn read(&self, pts: gst::ClockTime) -> i128 {
        let elapsed = i128::from(pts.nseconds()) - self.since;
        self.reading + elapsed + elapsed * i128::from(self.ppm) / 1_000_000
    }

    /// Steps by so many nanoseconds.
    pub fn jump(&mut self, nanos: i64) {
        self.reading += i128::from(nanos);
    }

    /// From `pts` on runs `ppm` millionths too fast.
    pub fn drift(&mut self, pts: gst::ClockTime, ppm: i32) {
        self.reading = self.read(pts);
        self.since = i128::from(pts.nseconds());
        self.ppm = ppm;
    }

    /// The RTP timestamp at `pts` of a track that began with `start`; wraps as RFC 3550 section 5.1 has it.
    pub fn rtp(&self, pts: gst::ClockTime, clock_rate: u32, start: u32) -> u32 {
        let ticks = (self.read(pts) * i128::from(clock_rate)).div_euclid(1_000_000_000);
        start.wrapping_add(ticks.rem_euclid(1 << 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;

    fn at(seconds: u64) -> gst::ClockTime {
        gst::ClockTime::from_seconds(seconds)
    }

    #[test]
    fn a_true_clock_counts_ticks_from_its_start_and_wraps() {
        let clock = CameraClock::default();
        assert_eq!(clock.rtp(at(0), RATE, 5), 5);
        assert_eq!(clock.rtp(at(2), RATE, 5), 180_005);
        assert_eq!(clock.rtp(at(1), RATE, u32::MAX - 9), 89_990);
    }

    #[test]
    fn jumps_go_both_ways_and_also_below_zero() {
        let mut clock = CameraClock::default();
        clock.jump(3_000_000_000);
        assert_eq!(clock.rtp(at(1), RATE, 0), 360_000);
        clock.jump(-5_000_000_000);
        assert_eq!(clock.rtp(at(1), RATE, 0), 0_u32.wrapping_sub(90_000));
    }

    #[test]
    fn drift_begins_and_ends_without_a_step() {
        let mut clock = CameraClock::default();
        clock.drift(at(10), 1000);
        assert_eq!(clock.rtp(at(10), RATE, 0), 900_000);
        assert_eq!(clock.rtp(at(20), RATE, 0), 1_800_900);
        clock.drift(at(20), 0);
        assert_eq!(clock.rtp(at(30), RATE, 0), 2_700_900);
    }
}
