use super::*;
use proptest::prelude::*;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1000 * MS;
const PICTURES: u32 = 90_000;
const AUDIO: u32 = 8000;

/// A camera that takes pictures each 40 ms and audio each 20 ms.
struct Camera {
    clock: CameraClock,
    begin: Instant,
    wall: SystemTime,
    /// First stamps, in ticks.
    first: (i64, i64),
    /// By how many parts in a million the stamps and the wall clock of the camera run fast.
    ppm: i64,
    /// Nanoseconds by which the camera's wall clock is ahead; `None` when it sends no reports.
    ahead: Option<i64>,
    /// Delay of pictures and audio, nanoseconds.
    delay: (i64, i64),
    /// Distance of each unit of audio from its true place beside the pictures, nanoseconds.
    off: Vec<i64>,
    /// Reported time from capture to arrival of each picture.
    late: Vec<i64>,
}

impl Camera {
    fn new() -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (clock, begin) = (CameraClock::default(), Instant::now());
        let (off, late) = (Vec::new(), Vec::new());
        Self { clock, begin, wall, first: (5000, 700), ppm: 0, ahead: Some(0), delay: (300 * MS, 50 * MS), off, late }
    }

    fn fast(&self, ns: i64) -> i64 {
        ns + ns / 1_000_000 * self.ppm
    }

    fn stamp(&self, track: Track, ns: i64) -> Stamp {
        let (first, rate) = match track {
            Track::Pictures => (self.first.0, PICTURES),
            Track::Audio => (self.first.1, AUDIO),
        };
        Stamp { ticks: first + self.fast(ns) * i64::from(rate) / SECOND, rate }
    }

    /// From `from` to `to`, nanoseconds since the session's begin, with reports each 5 s.
    fn run(&mut self, from: i64, to: i64) {
        for taken in (from..to).step_by(20 * MS as usize) {
            let ntp = self.ahead.map(|ahead| ntp_of(self.wall, self.fast(taken) + ahead));
            for track in [Track::Pictures, Track::Audio] {
                if track == Track::Pictures && taken % (40 * MS) != 0 {
                    continue;
                }
                let delay = if track == Track::Pictures { self.delay.0 } else { self.delay.1 };
                let stamp = self.stamp(track, taken);
                if let Some(ntp) = ntp.filter(|_| taken % (5 * SECOND) == 4 * SECOND) {
                    self.clock.reported(track, stamp, ntp);
                }
                let at = Duration::from_nanos((taken + delay) as u64);
                let told = self.clock.place(track, stamp, self.begin + at, self.wall + at);
                let Some(told) = told else { continue };
                let picture_then = ticks_to_ns(self.stamp(Track::Pictures, taken).ticks, PICTURES);
                match track {
                    Track::Audio => self.off.push(told.time_ns - picture_then),
                    Track::Pictures => {
                        assert_eq!(told.time_ns, picture_then, "pictures are never moved");
                        let late = (self.wall + at).duration_since(told.captured).unwrap();
                        self.late.push(late.as_nanos() as i64);
                    }
                }
            }
        }
    }

    fn last_off(&self) -> i64 {
        *self.off.last().unwrap()
    }

    fn last_late(&self) -> i64 {
        *self.late.last().unwrap()
    }
}

fn ntp_of(wall: SystemTime, ns: i64) -> u64 {
    let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as i128 + i128::from(ns);
    (((since_1970 + 2_208_988_800 * 1_000_000_000) << 32) / 1_000_000_000) as u64
}

#[test]
fn audio_is_placed_by_arrival_then_by_reports_and_captured_by_two_of_them() {
    let mut camera = Camera::new();
    camera.run(0, 4 * SECOND);
    // Pictures take a quarter of a second longer to arrive, so audio was placed too early.
    assert!((camera.last_off() + 250 * MS).abs() <= 40 * MS, "{}", camera.last_off());
    assert_eq!(camera.last_late(), 0, "nothing is known but arrival");
    camera.run(4 * SECOND, 5 * SECOND);
    assert!(camera.last_off().abs() < MS, "{}", camera.last_off());
    assert_eq!(camera.last_late(), 0, "one report shows no steady clock");
    camera.run(5 * SECOND, 10 * SECOND);
    assert!((camera.last_late() - 300 * MS).abs() < MS, "{}", camera.last_late());
}

#[test]
fn reports_before_the_first_audio_place_it_at_once() {
    let mut camera = Camera::new();
    for track in [Track::Pictures, Track::Audio] {
        camera.clock.reported(track, camera.stamp(track, 0), ntp_of(camera.wall, 0));
    }
    camera.run(0, SECOND);
    assert!(camera.off.iter().all(|off| off.abs() < MS), "{:?}", camera.off);
}

#[test]
fn a_wall_clock_that_is_wrong_still_joins_audio_and_pictures() {
    for (ahead, late) in [
        (-3600 * SECOND, 0),
        (7 * 24 * 3600 * SECOND, 0),
        (-6 * SECOND, 0),
        (-2 * SECOND, 2300 * MS),
        // Taken 200 ms after its arrival: at its arrival, then.
        (500 * MS, 0),
        (2 * SECOND, 0),
    ] {
        let mut camera = Camera { ahead: Some(ahead), ..Camera::new() };
        camera.run(0, 30 * SECOND);
        assert!(camera.last_off().abs() < MS, "{ahead}: {}", camera.last_off());
        assert!((camera.last_late() - late).abs() < MS, "{ahead}: {}", camera.last_late());
    }
}

#[test]
fn a_wall_clock_that_is_set_is_believed_again_once_it_is_steady() {
    let mut camera = Camera::new();
    camera.run(0, 10 * SECOND);
    camera.ahead = Some(-SECOND);
    camera.run(10 * SECOND, 15 * SECOND);
    assert_eq!(camera.last_late(), 0);
    assert!(camera.last_off().abs() < MS, "audio stays: {}", camera.last_off());
    camera.run(15 * SECOND, 20 * SECOND);
    assert!((camera.last_late() - 1300 * MS).abs() < MS, "{}", camera.last_late());
}

#[test]
fn reports_whose_streams_have_different_clocks_do_not_part_audio_from_pictures() {
    let mut camera = Camera { ahead: None, ..Camera::new() };
    camera.run(0, SECOND);
    for (track, ahead) in [(Track::Pictures, 0), (Track::Audio, 3600 * SECOND)] {
        let stamp = camera.stamp(track, SECOND);
        camera.clock.reported(track, stamp, ntp_of(camera.wall, ahead));
    }
    camera.run(SECOND, 2 * SECOND);
    assert!((camera.last_off() + 250 * MS).abs() <= 40 * MS, "{}", camera.last_off());
}

#[test]
fn stamps_that_jump_leave_audio_beside_the_pictures() {
    for (track, jump) in
        [(Track::Pictures, 3600), (Track::Pictures, -3600), (Track::Audio, 3600), (Track::Audio, -3600)]
    {
        let mut camera = Camera::new();
        camera.run(0, 10 * SECOND);
        match track {
            Track::Pictures => camera.first.0 += jump * i64::from(PICTURES),
            Track::Audio => camera.first.1 += jump * i64::from(AUDIO),
        }
        camera.run(10 * SECOND, 14 * SECOND);
        assert!(camera.last_off().abs() <= 300 * MS, "{track:?} {jump}: {}", camera.last_off());
        camera.run(14 * SECOND, 15 * SECOND);
        assert!(camera.last_off().abs() < MS, "{track:?} {jump}: {}", camera.last_off());
    }
}

#[test]
fn without_reports_a_drift_of_audio_is_followed() {
    let mut camera = Camera { ahead: None, delay: (50 * MS, 50 * MS), ..Camera::new() };
    camera.run(0, SECOND);
    // Audio's stamps lost a second, little by little; its arrival did not.
    for lost in 1..=100 {
        camera.first.1 -= i64::from(AUDIO) / 100;
        camera.run((lost * 10) * SECOND, (lost * 10 + 3) * SECOND);
    }
    assert!(camera.last_off().abs() <= 600 * MS, "{}", camera.last_off());
}

#[test]
fn audio_before_the_first_picture_has_no_place() {
    let mut clock = CameraClock::default();
    let stamp = Stamp { ticks: 0, rate: AUDIO };
    assert_eq!(clock.place(Track::Audio, stamp, Instant::now(), SystemTime::now()), None);
}

#[test]
fn reports_of_nothing_say_nothing() {
    let mut camera = Camera { ahead: None, ..Camera::new() };
    camera.run(0, SECOND);
    let before = camera.last_off();
    for track in [Track::Pictures, Track::Audio, Track::Pictures, Track::Audio] {
        camera.clock.reported(track, camera.stamp(track, SECOND), 0);
    }
    camera.run(SECOND, 2 * SECOND);
    assert!((camera.last_off() - before).abs() <= 40 * MS);
    assert_eq!(camera.last_late(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_stamps_begin_with_and_however_the_clock_drifts(
        pictures in 0i64..(1 << 33), audio in 0i64..(1 << 33), ppm in -200i64..200, ahead in -4000i64..100,
    ) {
        let mut camera = Camera { first: (pictures, audio), ppm, ahead: Some(ahead * MS), ..Camera::new() };
        camera.run(0, 60 * SECOND);
        prop_assert!(camera.last_off().abs() < MS, "{}", camera.last_off());
        let late = camera.last_late();
        let want = (300 - ahead) * MS - camera.fast(60 * SECOND) + 60 * SECOND;
        prop_assert!((late - want).abs() < 2 * MS, "{late} {want}");
    }

    #[test]
    fn no_stamps_and_reports_break_it(
        said in prop::collection::vec((any::<bool>(), any::<i64>(), any::<u64>(), 0u64..100_000, any::<bool>()), 1..100),
    ) {
        let (mut clock, begin, wall) = (CameraClock::default(), Instant::now(), SystemTime::now());
        for (pictures, ticks, ntp, ms, report) in said {
            let track = if pictures { Track::Pictures } else { Track::Audio };
            let stamp = Stamp { ticks, rate: if pictures { PICTURES } else { AUDIO } };
            if report {
                clock.reported(track, stamp, ntp);
                continue;
            }
            let at = Duration::from_millis(ms);
            if let Some(told) = clock.place(track, stamp, begin + at, wall + at) {
                prop_assert!(told.captured <= wall + at && told.captured + MAX_LATE >= wall + at);
            }
        }
    }
}
