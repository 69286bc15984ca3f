//! One thread that wakes for every picture and every piece of sound and offers it to all cameras.

use std::{thread, time::Duration};

use crate::{
    camera::{Camera, Item},
    feed::unix_now,
    programme::Programme,
};

/// Longest sleep: `jitter` may ask for an earlier waking than the next picture.
const NAP: Duration = Duration::from_millis(100);

/// Never returns. One wake-up for all cameras, unless jitter holds something back.
#[expect(clippy::disallowed_methods, reason = "a thread of its own that does nothing else")]
pub fn run(programme: &Programme, cameras: &[Camera]) -> ! {
    let schedule = programme.schedule;
    let mut pictures = Beat::new(schedule.frame_at(unix_now()), u64::from(schedule.frames()));
    let mut sounds = programme.sound.as_ref().map(|sound| (sound, Beat::new(sound.frame_at(unix_now()), sound.lap())));
    loop {
        let now = unix_now();
        let mut wake = now + NAP;
        while let Some(number) = pictures.next(schedule.frame_at(now)) {
            for camera in cameras {
                camera.offer(Item::Picture(number), schedule.due(number), programme);
            }
        }
        wake = wake.min(schedule.due(pictures.next));
        if let Some((sound, beat)) = &mut sounds {
            while let Some(number) = beat.next(sound.frame_at(now)) {
                for camera in cameras {
                    camera.offer(Item::Sound(number), sound.due(number), programme);
                }
            }
            wake = wake.min(sound.due(beat.next));
        }
        for release in cameras.iter().filter_map(|camera| camera.release(now, programme)) {
            wake = wake.min(release);
        }
        thread::sleep(wake.saturating_sub(unix_now()));
    }
}

/// Counts the frames that are due, and copes with clocks that step.
struct Beat {
    next: u64,
    /// Lateness, in frames, beyond which a frame is not sent.
    lap: u64,
}

impl Beat {
    fn new(current: u64, lap: u64) -> Self {
        Self { next: current + 1, lap }
    }

    /// The next number that is due, given the last one that is.
    fn next(&mut self, current: u64) -> Option<u64> {
        if current < self.next {
            // A wall clock that was set back by more than a lap must not stop the pictures until it catches up.
            if self.next - current > self.lap {
                self.next = current + 1;
            }
            return None;
        }
        // Late by a few: they are sent in a burst, or their successors could not be decoded. Late by a lap or more
        // (a suspended machine, a clock set forward): the present is all that counts.
        if current - self.next >= self.lap {
            self.next = current;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_sent_in_a_burst_and_a_clock_that_steps_is_followed() {
        let mut beat = Beat::new(100, 50);
        assert_eq!(beat.next(100), None);
        assert_eq!((beat.next(102), beat.next(102), beat.next(102)), (Some(101), Some(102), None));
        assert_eq!((beat.next(1000), beat.next(1000)), (Some(1000), None));
        assert_eq!((beat.next(10), beat.next(11)), (None, Some(11)));
    }
}
