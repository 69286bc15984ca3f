//! The time at which each frame of the looped clip is sent: pure arithmetic on unix time.
//!
//! Frames are numbered from the unix epoch; frame `n` is due at `n / fps` seconds of unix time. A clip lasts whole
//! seconds, so its frame `n mod frames` is due whenever unix time modulo the clip's length equals its place in the
//! clip. That is what makes the burnt-in clock true on every lap, and equal on every camera of every machine whose
//! clock is set.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The lap of one clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    fps: u32,
    seconds: u32,
}

impl Schedule {
    /// `None` unless both the rate (frames per second) and the clip's length (seconds) are positive.
    pub fn new(fps: u32, seconds: u32) -> Option<Self> {
        (fps > 0 && seconds > 0).then_some(Self { fps, seconds })
    }

    /// Frames per second.
    pub fn fps(&self) -> u32 {
        self.fps
    }

    /// Frames in one lap.
    pub fn frames(&self) -> u32 {
        self.fps * self.seconds
    }

    /// The last frame due at or before `unix`, counted from the epoch.
    pub fn frame_at(&self, unix: Duration) -> u64 {
        (unix.as_nanos() * u128::from(self.fps) / NANOS_PER_SECOND) as u64
    }

    /// The unix time at which frame `number` is due, rounded up to a nanosecond so that
    /// `frame_at(due(n)) == n`.
    pub fn due(&self, number: u64) -> Duration {
        let fps = u128::from(self.fps);
        let nanos = (u128::from(number) * NANOS_PER_SECOND).div_ceil(fps);
        Duration::new((nanos / NANOS_PER_SECOND) as u64, (nanos % NANOS_PER_SECOND) as u32)
    }

    /// The place in the clip of frame `number`, which [`crate::clock_row::decode`] reads from its picture.
    pub fn clip_frame(&self, number: u64) -> u32 {
        (number % u64::from(self.frames())) as u32
    }

    /// The clock burnt into clip frame `k`: unix time modulo the clip's length.
    pub fn clock(&self, clip_frame: u32) -> Duration {
        self.due(u64::from(clip_frame))
    }

    /// Time since clip frame `k` was last due before `unix`: the age of a picture seen at `unix`. Ages of a whole clip
    /// or more cannot be told from younger ones.
    pub fn age(&self, clip_frame: u32, unix: Duration) -> Duration {
        let lap = u128::from(self.seconds) * NANOS_PER_SECOND;
        let now = unix.as_nanos() % lap;
        let age = (now + lap - self.clock(clip_frame).as_nanos() % lap) % lap;
        Duration::from_nanos(age as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(fps: u32, seconds: u32) -> Schedule {
        Schedule::new(fps, seconds).expect("positive")
    }

    #[test]
    fn clip_frame_zero_is_due_when_unix_time_is_a_multiple_of_the_clip() {
        let lap = schedule(25, 10);
        let number = lap.frame_at(Duration::from_secs(1_700_000_000));
        assert_eq!(lap.clip_frame(number), 0);
        assert_eq!(lap.clip_frame(number - 1), 249);
        assert_eq!(lap.clip_frame(lap.frame_at(Duration::from_millis(1_700_000_003_480))), 87);
    }

    #[test]
    fn a_frame_begins_exactly_when_it_is_due() {
        for fps in [1, 7, 15, 24, 25, 30, 60] {
            let lap = schedule(fps, 10);
            for number in (42_000_000_000..42_000_000_200).chain(0..3) {
                let due = lap.due(number);
                assert_eq!(lap.frame_at(due), number);
                if number > 0 {
                    assert_eq!(lap.frame_at(due - Duration::from_nanos(1)), number - 1);
                }
            }
        }
    }

    #[test]
    fn age_is_the_time_since_the_frame_was_due_also_across_the_end_of_the_lap() {
        let lap = schedule(25, 10);
        assert_eq!(lap.age(0, Duration::from_secs(50)), Duration::ZERO);
        assert_eq!(lap.age(249, Duration::from_secs(50)), Duration::from_millis(40));
        assert_eq!(lap.age(25, Duration::from_millis(51_250)), Duration::from_millis(250));
    }

    #[test]
    fn a_schedule_without_frames_is_refused() {
        assert_eq!(Schedule::new(0, 10), None);
        assert_eq!(Schedule::new(25, 0), None);
    }
}
