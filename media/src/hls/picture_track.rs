//! Pictures of one rendition to parts and segments. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::parts::PartTarget;
use super::planner::Cut;
use super::segmenter::{Made, Sample, Segmenter};

use crate::access_unit::AccessUnit;
use crate::decoding_times::{DecodingTimes, seen_reorder};
use crate::mp4::VIDEO_TIMESCALE;

/// Media times in files begin here, so that no decoding time is negative. More than any reordering of a camera that
/// sends some pictures per second.
pub const FIRST_PTS: Duration = Duration::from_secs(2);
/// Pictures that are examined before the first is passed on, to see how far apart they are and whether their
/// presentation order differs: two of the longest usual steps of a pyramid of B pictures.
const LOOK_AHEAD: usize = 6;
/// Longest media time of those pictures: a slow camera's pictures are not worth the wait.
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// Ticks between pictures when only one was seen.
const USUAL_STEP: u64 = VIDEO_TIMESCALE as u64 / 25;

/// One run of continuous time of one rendition's pictures.
pub struct PictureTrack {
    /// Wanted length of a part, zero for none; and of a segment.
    wanted: (Duration, Duration),
    /// Set once the first pictures were examined.
    running: Option<Running>,
    /// At most [`LOOK_AHEAD`].
    held: Vec<(Arc<AccessUnit>, Option<Cut>)>,
    /// Decided already, by the source.
    part_target: Option<Option<PartTarget>>,
}

struct Running {
    times: DecodingTimes,
    segmenter: Segmenter,
}

impl PictureTrack {
    /// Pictures of the source: it decides how long parts are, near to `part` (zero for none) of a `segment`.
    pub fn source(part: Duration, segment: Duration) -> Self {
        Self { wanted: (part, segment), running: None, held: Vec::new(), part_target: None }
    }

    /// Pictures of another rendition, whose parts are as long as the source's.
    pub fn following(part_target: Option<PartTarget>) -> Self {
        let wanted = (Duration::ZERO, Duration::ZERO);
        Self { wanted, running: None, held: Vec::new(), part_target: Some(part_target) }
    }

    /// Longest part; `None` until it is decided, `Some(None)` when there are no parts.
    pub fn part_target(&self) -> Option<Option<PartTarget>> {
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

    /// Ends the run of time; returns the rest.
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
        let (part, segment) = self.wanted;
        let of_source = || PartTarget::for_pictures(part, from_ticks(step), segment);
        let part_ticks =
            self.part_target.get_or_insert_with(of_source).map(|target| part_ticks(target, VIDEO_TIMESCALE));
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
        self.segmenter.push(sample, cut)
    }
}

/// Ticks of a picture's track, rounded to the nearest.
fn ticks(pts: Duration) -> u64 {
    let nanos = (FIRST_PTS + pts).as_nanos();
    let ticks = (nanos * u128::from(VIDEO_TIMESCALE) + 500_000_000) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// The median of the distances between presentation times.
fn typical_step(shown_at: &[u64]) -> u64 {
    let mut sorted = shown_at.to_vec();
    sorted.sort_unstable();
    let mut steps: Vec<u64> = sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(USUAL_STEP)
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000) / u64::from(VIDEO_TIMESCALE))
}

/// The most ticks of a track that a part may last.
pub fn part_ticks(target: PartTarget, timescale: u32) -> u64 {
    u64::try_from(target.duration().as_nanos() * u128::from(timescale) / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_unit::tests::unit;
    use std::time::SystemTime;

    const SEGMENT: Duration = Duration::from_secs(2);

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
    fn looks_at_the_first_pictures_and_then_passes_them_on() {
        let mut track = PictureTrack::source(Duration::from_millis(200), SEGMENT);
        let mut made = Vec::new();
        for n in 0..30 {
            let begins = (n % 15 == 0).then(|| cut(10 + n / 15));
            made.extend(track.push(Arc::new(unit(n * 40, n % 15 == 0)), begins));
            assert_eq!(track.part_target().is_some(), n >= 5);
        }
        made.extend(track.finish());
        assert_eq!(track.part_target(), Some(Some(PartTarget::new(Duration::from_millis(210)))));
        assert_eq!(parts(&made), [18_000; 6]);
    }

    #[test]
    fn what_was_only_looked_at_is_not_lost_at_a_break() {
        let mut track = PictureTrack::source(Duration::ZERO, SEGMENT);
        assert!(track.push(Arc::new(unit(0, true)), Some(cut(1))).is_empty());
        let made = track.finish();
        assert!(matches!(&made[..], [Made::Segment(segment)] if segment.cut.sequence == 1));
        assert!(PictureTrack::following(None).finish().is_empty());
    }

    #[test]
    fn b_pictures_are_seen_though_the_camera_does_not_tell() {
        let mut track = PictureTrack::source(Duration::ZERO, SEGMENT);
        let mut made = Vec::new();
        for (n, ms) in [0, 120, 40, 80, 240, 160, 200].into_iter().enumerate() {
            let mut unit = unit(ms, n == 0);
            let video = crate::parameters::VideoParameters { reorder: None, ..(*unit.video).clone() };
            unit.video = Arc::new(video);
            made.extend(track.push(Arc::new(unit), (n == 0).then(|| cut(1))));
        }
        made.extend(track.finish());
        let Some(Made::Segment(segment)) = made.last() else { panic!("{made:?}") };
        assert_eq!((segment.start, segment.duration), (180_000, 7 * 3600));
    }
}
