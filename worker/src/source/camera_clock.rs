//! One time for the audio and the pictures of a camera session, and when the camera took them. Pure.
//!
//! Pictures have the time of their RTP stamps and are never moved. Audio, whose stamps begin elsewhere and tick
//! otherwise, is moved beside them: by arrival at first, by the camera's wall clock once both streams' RTCP sender
//! reports (RFC 3550 section 6.4.1) have given its time at one of their stamps.

use std::time::{Duration, Instant, SystemTime};

use super::in_a_row::InARow;
use rsm_media::media_time::ticks_to_ns;

/// Reports that would move audio further than this from where it arrives are wrong: cameras exist whose streams take
/// their wall clocks from different places.
pub const MAX_SKEW: Duration = Duration::from_secs(3);
/// Between reports of one camera; more than the jitter with which cameras write them, less than people notice
/// between lips and voice (125 ms, ITU-R BT.1359).
pub const LIPS: Duration = Duration::from_millis(60);
/// So many reports in a row that say the same before audio is moved again.
const REPORTS_IN_A_ROW: u32 = 3;
/// As [`LIPS`], where only arrival is known, which jitters with the network.
pub const ARRIVAL_LIPS: Duration = Duration::from_millis(500);
/// About two seconds of audio.
const ARRIVALS_IN_A_ROW: u32 = 100;
/// A stream whose stamps go ahead of its arrival by this much from one unit to the next, or back at all beyond
/// [`MAX_BACK`], has another time from there: its reports belong to the old one.
pub const MAX_AHEAD: Duration = Duration::from_secs(2);
/// As far as pictures are reordered.
pub const MAX_BACK: Duration = Duration::from_secs(1);
/// A unit that the camera's clock says was taken this long after it arrived was taken when it arrived. A time
/// further in the future shows that the clock is wrong.
pub const MAX_EARLY: Duration = Duration::from_millis(250);
/// A unit this old shows that the camera's clock is wrong: no session falls so far behind and stays open.
pub const MAX_LATE: Duration = Duration::from_secs(5);
/// Two reports of one stream that disagree by more are of a clock that was set, or of none.
pub const MAX_UNSTEADY: Duration = Duration::from_millis(100);

/// Which stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    Pictures,
    Audio,
}

/// A stamp with the clock rate of its stream.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// RTP ticks, without wrap-around.
    pub ticks: i64,
    /// Hertz.
    pub rate: u32,
}

/// Where and when a unit was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedStamp {
    /// Nanoseconds, one time for both streams.
    pub time_ns: i64,
    pub captured: SystemTime,
}

/// The clocks of one camera session.
#[derive(Debug, Default)]
pub struct CameraClock {
    pictures: Line,
    audio: Line,
    /// Offset added to the stamps of audio, nanoseconds; `None` before audio and pictures were there.
    shift: Option<Shift>,
    by_report: InARow,
    by_arrival: InARow,
}

#[derive(Clone, Copy, Debug)]
struct Shift {
    ns: i64,
    reported: bool,
}

/// The state of one stream.
#[derive(Debug, Default)]
struct Line {
    /// The newest unit: its stamp in nanoseconds, and when it arrived.
    newest: Option<(i64, Instant)>,
    /// The newest report: a stamp, and the camera's wall clock at that stamp, both in nanoseconds; the latter since
    /// 1900, of which only differences matter until a unit is told its time.
    report: Option<(i64, i128)>,
    /// The newest two reports agreed, and no unit since showed the clock to be wrong.
    steady: bool,
}

impl CameraClock {
    /// A sender report: at `stamp` the camera's wall clock showed `ntp`, in NTP's format (RFC 3550 section 4).
    pub fn reported(&mut self, track: Track, stamp: Stamp, ntp: u64) {
        self.line(track).reported(ticks_to_ns(stamp.ticks, stamp.rate), ntp);
        let Some(said) = self.credible_reports() else { return };
        match self.shift {
            Some(shift) if shift.reported => {
                let deviation = said.saturating_sub(shift.ns);
                if let Some(moved) = self.by_report.beyond(deviation, nanos(LIPS), REPORTS_IN_A_ROW) {
                    self.shift = Some(Shift { ns: shift.ns.saturating_add(moved), reported: true });
                }
            }
            // The first one of both: where audio was until now was a guess.
            _ => self.shift = Some(Shift { ns: said, reported: true }),
        }
    }

    /// A unit; `None` for audio that comes before any picture. `wall` is when it `arrived`.
    pub fn place(&mut self, track: Track, stamp: Stamp, arrived: Instant, wall: SystemTime) -> Option<PlacedStamp> {
        let ns = ticks_to_ns(stamp.ticks, stamp.rate);
        if self.line(track).moved(ns, arrived) {
            // Another time begins; where audio is in it is seen anew.
            self.shift = None;
            (self.by_report, self.by_arrival) = Default::default();
        }
        let captured = self.line(track).captured(ns, wall);
        if track == Track::Pictures {
            return Some(PlacedStamp { time_ns: ns, captured });
        }
        let said = self.said_by_arrival()?;
        let guessed = !self.shift.is_some_and(|shift| shift.reported);
        // Reports may come before the first audio does.
        if guessed && let Some(ns) = self.credible_reports() {
            self.shift = Some(Shift { ns, reported: true });
        }
        let shift = self.shift.get_or_insert(Shift { ns: said, reported: false });
        if !shift.reported
            && let Some(moved) =
                self.by_arrival.beyond(said.saturating_sub(shift.ns), nanos(ARRIVAL_LIPS), ARRIVALS_IN_A_ROW)
        {
            shift.ns = shift.ns.saturating_add(moved);
        }
        Some(PlacedStamp { time_ns: ns.saturating_add(shift.ns), captured })
    }

    fn line(&mut self, track: Track) -> &mut Line {
        match track {
            Track::Pictures => &mut self.pictures,
            Track::Audio => &mut self.audio,
        }
    }

    /// The shift with which the newest units of both streams were captured when they arrived.
    fn said_by_arrival(&self) -> Option<i64> {
        let ((picture, picture_at), (audio, audio_at)) = self.pictures.newest.zip(self.audio.newest)?;
        Some(picture.saturating_add(after(audio_at, picture_at)).saturating_sub(audio))
    }

    /// The shift by the reports, unless that is far from the shift by arrival.
    fn credible_reports(&self) -> Option<i64> {
        let (said, arrived) = self.said_by_reports().zip(self.said_by_arrival())?;
        (said.abs_diff(arrived) <= nanos(MAX_SKEW).unsigned_abs()).then_some(said)
    }

    /// The shift with which both streams were taken when the camera's wall clock says.
    fn said_by_reports(&self) -> Option<i64> {
        let ((picture, picture_wall), (audio, audio_wall)) = self.pictures.report.zip(self.audio.report)?;
        let shift = i128::from(picture) + (audio_wall - picture_wall) - i128::from(audio);
        i64::try_from(shift).ok()
    }
}

impl Line {
    fn reported(&mut self, ns: i64, ntp: u64) {
        // Cameras without a clock write zero.
        if ntp == 0 {
            (self.report, self.steady) = (None, false);
            return;
        }
        let wall = ntp_ns(ntp);
        self.steady = self.report.is_some_and(|(then, then_wall)| {
            let disagree = (wall - then_wall) - i128::from(ns.saturating_sub(then));
            disagree.unsigned_abs() <= MAX_UNSTEADY.as_nanos()
        });
        self.report = Some((ns, wall));
    }

    /// Notes a unit; `true` when its stream has another time from here.
    fn moved(&mut self, ns: i64, arrived: Instant) -> bool {
        let Some((then, then_arrived)) = self.newest.replace((ns, arrived)) else { return false };
        let step = ns.saturating_sub(then);
        let ahead = step.saturating_sub(after(arrived, then_arrived));
        let moved = ahead > nanos(MAX_AHEAD) || step < -nanos(MAX_BACK);
        if moved {
            (self.report, self.steady) = (None, false);
        }
        moved
    }

    fn captured(&mut self, ns: i64, wall: SystemTime) -> SystemTime {
        let Some((then, then_wall)) = self.report.filter(|_| self.steady) else { return wall };
        let since_1900 = then_wall + i128::from(ns.saturating_sub(then));
        let Some(taken) = system_time(since_1900) else { return wall };
        let credible = match wall.duration_since(taken) {
            Ok(late) => late <= MAX_LATE,
            Err(early) => early.duration() <= MAX_EARLY,
        };
        // Two reports that agree again are needed before it is believed again.
        self.steady = credible;
        if credible { taken.min(wall) } else { wall }
    }
}

/// Nanoseconds since 1900.
fn ntp_ns(ntp: u64) -> i128 {
    (i128::from(ntp) * 1_000_000_000) >> 32
}

/// `None` before 1970.
fn system_time(since_1900: i128) -> Option<SystemTime> {
    /// RFC 5905 figure 4.
    const TO_1970: i128 = 2_208_988_800 * 1_000_000_000;
    let since_1970 = u64::try_from(since_1900 - TO_1970).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(since_1970))
}

/// `b` is before `a` by so many nanoseconds; negative when it is behind.
fn after(a: Instant, b: Instant) -> i64 {
    nanos(a.saturating_duration_since(b)) - nanos(b.saturating_duration_since(a))
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
