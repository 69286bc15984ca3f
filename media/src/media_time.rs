//! From a camera's timestamps to a stream's own time. Pure.

use std::time::{Duration, Instant};

use super::pace::Pace;
use super::parameters::MAX_REORDER;

/// A larger step forward is a break: the camera's clock was set, or it slept. The largest gap that cameras show
/// without one is a key-frame-only stream at one picture per several seconds.
pub const MAX_FORWARD: Duration = Duration::from_secs(10);
/// A larger step back than pictures are reordered by is a break. Sixteen pictures (the most that
/// ISO/IEC 14496-10 A.3.1 allows) at 16 per second.
pub const MAX_BACKWARD: Duration = Duration::from_secs(1);
/// Smallest step between pictures in decoding order that is kept: one tick of RTP's 90 kHz clock (RFC 6184
/// section 8.2.1), rounded up.
const TICK: i64 = 11_112;
/// Pictures that come for longer than this under stamps that do not grow are placed by their arrival: cameras exist
/// that write nothing but zero.
pub const STANDSTILL: Duration = Duration::from_secs(1);
/// Nanoseconds.
const SECOND: i128 = 1_000_000_000;

/// A picture's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Since the first picture of the whole stream object; never grows by more than [`MAX_FORWARD`] within a
    /// timeline, and never shrinks unless pictures are reordered.
    pub pts: Duration,
    /// Time broke before this picture.
    pub discontinuity: bool,
}

/// The time of a stream, across camera sessions.
#[derive(Debug, Default)]
pub struct MediaTime {
    /// Offset added to the camera's time, nanoseconds.
    offset: i64,
    /// The largest placed time, nanoseconds.
    newest: i64,
    begun: bool,
    /// The next picture is of another camera session.
    restarted: bool,
    /// Where the present run of time began, and how it goes since.
    run: Option<(i64, Pace)>,
    still: Option<Still>,
    /// Time of the audio frame placed last in this run, nanoseconds.
    newest_audio: Option<i64>,
}

/// Watches a stream whose stamps may not grow.
#[derive(Clone, Copy, Debug)]
struct Still {
    /// When the last picture arrived whose stamp had grown.
    since: Instant,
    /// Pictures since.
    pictures: u32,
    /// When the last picture arrived.
    before: Instant,
}

impl Still {
    fn new(arrived: Instant) -> Self {
        Self { since: arrived, pictures: 0, before: arrived }
    }

    /// Another picture; gives the time since the one before when stamps stand still.
    fn picture(&mut self, grew: bool, arrived: Instant) -> Option<Duration> {
        if grew {
            *self = Self::new(arrived);
            return None;
        }
        self.pictures = self.pictures.saturating_add(1);
        let step = arrived.saturating_duration_since(std::mem::replace(&mut self.before, arrived));
        // Fewer may only be in another order than they are shown in.
        let stands = self.pictures > MAX_REORDER && arrived.saturating_duration_since(self.since) > STANDSTILL;
        stands.then_some(step)
    }
}

impl MediaTime {
    /// Another camera session begins: its pictures are placed after the earlier ones, whatever their time.
    pub fn restart(&mut self) {
        self.restarted = true;
    }

    /// Places the camera's time `source_ns` of a picture that `arrived` now; it may begin anywhere. `reorders` says
    /// whether the video may have pictures whose time lies before that of their predecessor.
    pub fn place(&mut self, source_ns: i64, arrived: Instant, reorders: bool) -> Placed {
        if !self.begun {
            self.begun = true;
            self.restarted = false;
            self.offset = 0i64.saturating_sub(source_ns);
            self.run = Some((0, Pace::new(arrived)));
            return Placed { pts: Duration::ZERO, discontinuity: false };
        }
        let mut at = source_ns.saturating_add(self.offset);
        let step = at.saturating_sub(self.newest);
        let jumped = step > nanos(MAX_FORWARD) || step < -nanos(MAX_BACKWARD) || at < 0;
        let still = self.still.get_or_insert(Still::new(arrived)).picture(step >= TICK, arrived);
        let drifted = match &mut self.run {
            Some((began, pace)) if !jumped => pace.drifted(at.saturating_sub(*began), arrived),
            _ => false,
        };
        let discontinuity = std::mem::take(&mut self.restarted) || jumped || drifted;
        if discontinuity {
            // Time goes on right after the newest picture; the real length of the break is not known.
            at = self.newest.saturating_add(TICK);
            self.offset = at.saturating_sub(source_ns);
            self.run = Some((at, Pace::new(arrived)));
            self.newest_audio = None;
            self.still = None;
        } else if let Some(step) = still {
            at = self.newest.saturating_add(nanos(step.min(MAX_FORWARD)).max(TICK));
            self.offset = at.saturating_sub(source_ns);
        } else if !reorders && step < TICK {
            // Doubled or jittering stamps of a camera without B pictures: DTS must grow.
            at = self.newest.saturating_add(TICK);
        }
        self.newest = self.newest.max(at);
        Placed { pts: Duration::from_nanos(at.unsigned_abs()), discontinuity }
    }

    /// Places a frame of audio at the camera's time `source_ns`, in the time that the pictures gave; `None` when that
    /// is not known, the audio is further than [`MAX_FORWARD`] from the newest picture, or not behind the audio before.
    pub fn place_audio(&mut self, source_ns: i64) -> Option<Duration> {
        if !self.begun || self.restarted {
            return None;
        }
        let at = source_ns.saturating_add(self.offset);
        let distance = at.saturating_sub(self.newest).saturating_abs();
        let grows = self.newest_audio.is_none_or(|newest| at > newest);
        if at < 0 || distance > nanos(MAX_FORWARD) || !grows {
            return None;
        }
        self.newest_audio = Some(at);
        Some(Duration::from_nanos(at.unsigned_abs()))
    }
}

/// RTP ticks as nanoseconds.
pub fn ticks_to_ns(ticks: i64, clock_rate: u32) -> i64 {
    let ns = i128::from(ticks) * SECOND / i128::from(clock_rate.max(1));
    i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX })
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    /// For cameras whose pictures arrive as fast as they are taken.
    struct Live {
        time: MediaTime,
        begin: Instant,
    }

    impl Live {
        fn new() -> Self {
            Self { time: MediaTime::default(), begin: Instant::now() }
        }

        fn place(&mut self, source_ns: i64, reorders: bool) -> Placed {
            self.time.place(source_ns, self.begin, reorders)
        }
    }

    #[test]
    fn steady_time_is_kept_exactly() {
        let mut time = Live::new();
        for i in 0..100 {
            let placed = time.place(5_000 * MS + i * 40 * MS, false);
            assert_eq!(placed, Placed { pts: Duration::from_millis(40 * i as u64), discontinuity: false });
        }
    }

    #[test]
    fn a_jump_is_a_break_and_time_goes_on_behind_it() {
        for jump in [11_000 * MS, -2_000 * MS, 3_600_000 * MS, i64::MAX / 2] {
            let mut time = Live::new();
            time.place(0, false);
            let before = time.place(5_000 * MS, false);
            let after = time.place(5_000 * MS + jump, false);
            assert!(after.discontinuity, "{jump}");
            assert!(after.pts > before.pts && after.pts < before.pts + Duration::from_millis(1));
            let next = time.place(5_000 * MS + jump + 40 * MS, false);
            assert_eq!((next.pts - after.pts, next.discontinuity), (Duration::from_millis(40), false));
        }
    }

    #[test]
    fn b_pictures_go_back_without_a_break() {
        let mut time = Live::new();
        let placed: Vec<_> = [0, 120, 40, 80, 240, 160, 200].map(|ms| time.place(ms * MS, true)).into();
        assert!(placed.iter().all(|p| !p.discontinuity));
        assert_eq!(placed[2].pts, Duration::from_millis(40));
    }

    #[test]
    fn doubled_stamps_are_pulled_apart() {
        let mut time = Live::new();
        let a = time.place(0, false).pts;
        let b = time.place(0, false).pts;
        let c = time.place(-MS, false).pts;
        assert!(a < b && b < c);
    }

    #[test]
    fn another_session_is_a_break_even_when_its_time_seems_to_go_on() {
        let mut time = Live::new();
        time.time.restart();
        assert!(!time.place(0, false).discontinuity);
        time.time.restart();
        let placed = time.place(40 * MS, false);
        assert!(placed.discontinuity && placed.pts < Duration::from_millis(1));
        assert!(!time.place(80 * MS, false).discontinuity);
    }

    #[test]
    fn a_clock_that_runs_fast_or_slow_is_set_right_by_breaks() {
        for ppm in [-20_000, 20_000] {
            let (mut time, begin) = (MediaTime::default(), Instant::now());
            let mut breaks = 0;
            for ms in (0..600_000i64).step_by(100) {
                let source = 7_000 * MS + ms * MS + ms * ppm;
                breaks += i32::from(time.place(source, begin + Duration::from_millis(ms as u64), false).discontinuity);
            }
            // Twelve seconds in ten minutes, two at a time.
            assert!((4..=6).contains(&breaks), "{ppm}: {breaks}");
        }
    }

    #[test]
    fn stamps_that_stand_still_are_replaced_by_arrival_until_they_move() {
        for reorders in [false, true] {
            let (mut time, begin) = (MediaTime::default(), Instant::now());
            let mut place =
                |source_ms: i64, ms: u64| time.place(source_ms * MS, begin + Duration::from_millis(ms), reorders);
            let placed: Vec<_> = (0..600).map(|n| place(7, n * 100)).collect();
            assert!(placed.iter().all(|placed| !placed.discontinuity));
            let late = Duration::from_secs(60) - placed[599].pts;
            assert!(late < Duration::from_millis(1900), "{late:?}");
            let moved = place(107, 60_000);
            assert!(!moved.discontinuity);
            assert_eq!(moved.pts - placed[599].pts, Duration::from_millis(100));
        }
    }

    #[test]
    fn audio_follows_the_pictures_and_grows() {
        let mut time = Live::new();
        assert_eq!(time.time.place_audio(0), None, "no picture yet");
        time.place(1000 * MS, false);
        let mut audio = |ms: i64| time.time.place_audio(ms * MS).map(|at| at.as_millis());
        assert_eq!([audio(1100), audio(1120), audio(1110), audio(1120)], [Some(100), Some(120), None, None]);
        assert_eq!([audio(900), audio(12_000), audio(1140)], [None, None, Some(140)]);
        time.time.restart();
        assert_eq!(time.time.place_audio(1160 * MS), None, "of which session?");
        time.place(0, false);
        assert!(time.time.place_audio(0).is_some(), "a break lets it begin anew");
    }

    #[test]
    fn rare_pictures_and_changing_rates_are_no_break() {
        let (mut time, begin) = (MediaTime::default(), Instant::now());
        let mut at = 0;
        for step in [40, 40, 9_000, 33, 5_000, 66, 1, 9_900, 9_900, 9_900, 40].repeat(20) {
            at += step;
            let placed = time.place(at * MS, begin + Duration::from_millis(at as u64), false);
            assert!(!placed.discontinuity, "at {at} ms");
        }
    }

    #[test]
    fn ticks_become_nanoseconds() {
        assert_eq!(ticks_to_ns(90_000, 90_000), 1_000_000_000);
        assert_eq!(ticks_to_ns(-45_000, 90_000), -500_000_000);
        assert_eq!(ticks_to_ns(i64::MAX, 1), i64::MAX);
        assert_eq!(ticks_to_ns(1, 0), 1_000_000_000);
    }

    proptest! {
        #[test]
        fn time_grows_whatever_a_camera_without_b_pictures_sends(stamps in prop::collection::vec(any::<i64>(), 1..50)) {
            let mut time = Live::new();
            let mut last = None;
            for stamp in stamps {
                let placed = time.place(stamp, false);
                prop_assert!(last.is_none_or(|last| placed.pts > last));
                prop_assert!(last.is_none_or(|last| placed.pts - last <= MAX_FORWARD));
                last = Some(placed.pts);
            }
        }
    }
}
