//! One thread that wakes for every picture and offers it to all cameras.

use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{camera::Camera, clip::Clip};

/// Never returns. One wake-up per picture, however many cameras there are.
pub fn run(clip: &Clip, cameras: &[Camera]) -> ! {
    let schedule = clip.schedule;
    let mut next = schedule.frame_at(unix_now()) + 1;
    loop {
        let now = unix_now();
        let current = schedule.frame_at(now);
        if current < next {
            // A wall clock that was set back by more than a lap must not stop the pictures until it catches up.
            if next - current > u64::from(schedule.frames()) {
                next = current + 1;
            }
            thread::sleep(schedule.due(next).saturating_sub(now));
            continue;
        }
        // Late by a few pictures: they are sent in a burst, or their successors could not be decoded. Late by a lap
        // or more (a suspended machine, a clock set forward): the present is all that counts.
        if current - next >= u64::from(schedule.frames()) {
            next = current;
        }
        for camera in cameras {
            camera.offer(next, clip);
        }
        next += 1;
    }
}

/// Zero before 1970, which stops no test camera.
fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
