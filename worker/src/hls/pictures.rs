//! Pictures of one rendition to parts and segments. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::plan::Cut;
use super::segmenter::{Made, Sample, Segmenter};
use crate::media::access_unit::AccessUnit;
use crate::media::dts::{DecodingTimes, seen_reorder};
use crate::mp4::VIDEO_TIMESCALE;

/// Media times in files begin here, so that no decoding time is negative. More than any reordering of a camera that
/// sends some pictures per second.
pub const FIRST_PTS: Duration = Duration::from_secs(2);
/// Pictures that are looked at before the first is passed on, to see how far apart they are and whether their order of
/// showing differs: two of the longest usual steps of a pyramid of B pictures.
const LOOK_AHEAD: usize = 6;
/// And for how long of media time at most: a slow camera's pictures are not worth the wait.
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// Between pictures when only one was seen.
const USUAL_STEP: u64 = VIDEO_TIMESCALE as u64 / 25;
/// Shortest and longest part that a playlist may be told, whatever the rate of pictures: RFC 8216bis section 4.4.3.8
/// leaves it open; less is more requests than pictures, more is no low latency.
const PART_BOUNDS: (u64, u64) = (200, 2000);

/// One run of continuous time of one rendition's pictures.
pub struct PictureTrack {
    /// Length of a part that is asked for, milliseconds; 0 for none.
    part_ms: u32,
    /// Set once the first pictures were looked at.
    running: Option<Running>,
    /// At most [`LOOK_AHEAD`].
    held: Vec<(Arc<AccessUnit>, Option<Cut>)>,
    /// Decided already, by the source.
    part_target: Option<Option<Duration>>,
}

struct Running {
    times: DecodingTimes,
    segmenter: Segmenter,
}

impl PictureTrack {
    /// Pictures of the source: it decides how long parts are.
    pub fn source(part_ms: u32) -> Self {
        Self { part_ms, running: None, held: Vec::new(), part_target: None }
    }

    /// Pictures of another rendition, whose parts are as long as the source's.
    pub fn following(part_target: Option<Duration>) -> Self {
        Self { part_ms: 0, running: None, held: Vec::new(), part_target: Some(part_target) }
    }

    /// Longest part, milliseconds exactly; `None` until it is decided, `Some(None)` when there are no parts.
    pub fn part_target(&self) -> Option<Option<Duration>> {
        self.running.as_ref().and(self.part_target)
    }

    /// Takes the next picture; `cut` is the segment that it begins.
    pub fn push(&mut self, unit: Arc<AccessUnit>, cut: Option<Cut>) -> Vec<Made> {
        if let Some(running) = &mut self.running {
            return running.push(&unit, cut);
        }
        self.held.push((unit, cut));
        if self.has_seen_enough() { self.begin() } else { Vec::new() }
    }

    /// What is left at a break of time.
    pub fn finish(&mut self) -> Vec<Made> {
        let mut made = if self.running.is_none() { self.begin() } else { Vec::new() };
        made.extend(self.running.iter_mut().flat_map(|running| running.segmenter.finish()));
        made
    }

    fn has_seen_enough(&self) -> bool {
        let span = match (self.held.first(), self.held.last()) {
            (Some((first, _)), Some((last, _))) => last.pts.saturating_sub(first.pts),
            _ => Duration::ZERO,
        };
        self.held.len() >= LOOK_AHEAD || span >= LONGEST_LOOK
    }

    fn begin(&mut self) -> Vec<Made> {
        let held = std::mem::take(&mut self.held);
        let shown_at: Vec<u64> = held.iter().map(|(unit, _)| ticks(unit.pts)).collect();
        let step = typical_step(&shown_at);
        let declared = held.first().and_then(|(unit, _)| unit.video.reorder);
        let reorder = declared.unwrap_or_default().max(seen_reorder(&shown_at));
        let target = *self.part_target.get_or_insert_with(|| part_target(self.part_ms, step));
        let part_ticks = target.map(|target| target.as_millis() as u64 * u64::from(VIDEO_TIMESCALE) / 1000);
        let segmenter = Segmenter::new(part_ticks, u32::try_from(step).unwrap_or(u32::MAX));
        let running = self.running.insert(Running { times: DecodingTimes::new(reorder, step), segmenter });
        held.into_iter().flat_map(|(unit, cut)| running.push(&unit, cut)).collect()
    }
}

impl Running {
    fn push(&mut self, unit: &AccessUnit, cut: Option<Cut>) -> Vec<Made> {
        let pts = ticks(unit.pts);
        let dts = self.times.next(pts);
        let sample = Sample { dts, pts, duration: None, is_sync: unit.is_key, data: unit.data.clone() };
        self.segmenter.push(sample, cut.map(|cut| cut.sequence))
    }
}

/// Ticks of a picture's track, rounded to the nearest.
fn ticks(pts: Duration) -> u64 {
    let nanos = (FIRST_PTS + pts).as_nanos();
    let ticks = (nanos * u128::from(VIDEO_TIMESCALE) + 500_000_000) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The median of the distances between times of showing.
fn typical_step(shown_at: &[u64]) -> u64 {
    let mut sorted = shown_at.to_vec();
    sorted.sort_unstable();
    let mut steps: Vec<u64> = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(USUAL_STEP)
}

/// The whole number of pictures that comes nearest to what is asked for, so that parts are equally long: those of a
/// playlist must be at least 85 % of the target (RFC 8216bis section 4.4.3.8). Rounded up to a millisecond.
fn part_target(part_ms: u32, step: u64) -> Option<Duration> {
    if part_ms == 0 {
        return None;
    }
    let wanted = u64::from(part_ms) * u64::from(VIDEO_TIMESCALE) / 1000;
    let pictures = ((wanted + step / 2) / step).max(1);
    let ms = (pictures * step * 1000).div_ceil(u64::from(VIDEO_TIMESCALE)) + 1;
    Some(Duration::from_millis(ms.clamp(PART_BOUNDS.0, PART_BOUNDS.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::access_unit::tests::unit;
    use std::time::SystemTime;

    fn cut(sequence: u64) -> Cut {
        let (discontinuity, timeline) = (0, 1);
        Cut { sequence, discontinuity, timeline, pts: Duration::ZERO, at: SystemTime::UNIX_EPOCH }
    }

    fn parts(made: &[Made]) -> Vec<u64> {
        let part = |made: &Made| match made {
            Made::Part(part) => Some(part.duration),
            Made::Segment(_) => None,
        };
        made.iter().filter_map(part).collect()
    }

    #[test]
    fn parts_are_whole_numbers_of_pictures_near_to_what_is_asked_for() {
        for (fps, part_ms, want_ms) in [
            (30, 333, 335),
            (25, 333, 321),
            (15, 333, 335),
            (7, 333, 287),
            (2, 333, 501),
            (1, 200, 1001),
            (60, 200, 201),
        ] {
            let step = u64::from(VIDEO_TIMESCALE) / fps;
            assert_eq!(part_target(part_ms, step), Some(Duration::from_millis(want_ms)), "{fps} per second");
        }
        assert_eq!(part_target(0, 3000), None);
    }

    #[test]
    fn looks_at_the_first_pictures_and_then_passes_them_on() {
        let mut track = PictureTrack::source(200);
        let mut made = Vec::new();
        for n in 0..30 {
            let begins = (n % 15 == 0).then(|| cut(10 + n / 15));
            made.extend(track.push(Arc::new(unit(n * 40, n % 15 == 0)), begins));
            assert_eq!(track.part_target().is_some(), n >= 5);
        }
        made.extend(track.finish());
        assert_eq!(track.part_target(), Some(Some(Duration::from_millis(201))));
        assert_eq!(parts(&made), [18_000; 6]);
    }

    #[test]
    fn what_was_only_looked_at_is_not_lost_at_a_break() {
        let mut track = PictureTrack::source(0);
        assert!(track.push(Arc::new(unit(0, true)), Some(cut(1))).is_empty());
        let made = track.finish();
        assert!(matches!(&made[..], [Made::Segment(segment)] if segment.sequence == 1));
        assert!(PictureTrack::following(None).finish().is_empty());
    }

    #[test]
    fn b_pictures_are_seen_though_the_camera_does_not_tell() {
        let mut track = PictureTrack::source(0);
        let mut made = Vec::new();
        for (n, ms) in [0, 120, 40, 80, 240, 160, 200].into_iter().enumerate() {
            let mut unit = unit(ms, n == 0);
            let video = crate::media::parameters::VideoParameters { reorder: None, ..(*unit.video).clone() };
            unit.video = Arc::new(video);
            made.extend(track.push(Arc::new(unit), (n == 0).then(|| cut(1))));
        }
        made.extend(track.finish());
        let Some(Made::Segment(segment)) = made.last() else { panic!("{made:?}") };
        assert_eq!((segment.start, segment.duration), (180_000, 7 * 3600));
    }
}
