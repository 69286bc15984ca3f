//! Fragments of the muxer to segments of a playlist. Pure.

use std::time::Duration;

use bytes::Bytes;

use crate::pipeline::to_cmaf::{MuxKind, MuxOutput};

/// A segment this much shorter than asked for is long enough: groups of pictures jitter by some RTP ticks, and
/// waiting for one more group would double the segment. Less than half a picture at 25 per second, and an exception
/// per segment, so that sequence numbers do not outrun the clock.
const TOLERANCE: Duration = Duration::from_millis(20);
/// At a break of time a rest shorter than this part of the target is not worth a file and a request.
const MIN_REST_PART: u32 = 2;

/// A whole media segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The bytes, in order.
    pub parts: Vec<Bytes>,
    /// Since the first picture of the pipeline.
    pub start: Duration,
    /// Exact, from media time.
    pub duration: Duration,
}

impl Segment {
    /// Size in bytes.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What comes out.
#[derive(Clone, Debug)]
pub enum Cut {
    /// The initialisation section of all segments behind it.
    Init(Vec<Bytes>),
    Segment(Segment),
}

/// Collects what one muxer makes.
#[derive(Debug)]
pub struct Segmenter {
    target: Duration,
    /// The muxer sends whole fragments, so that a segment may close without waiting for the next one. Not so once it
    /// is asked for chunks (parts of LL-HLS), which do not say which of them is the last.
    whole_fragments: bool,
    open: Option<Segment>,
}

impl Segmenter {
    /// Segments of at least `target`, each beginning with a key picture.
    pub fn new(target: Duration, whole_fragments: bool) -> Self {
        Self { target, whole_fragments, open: None }
    }

    /// Takes the muxer's next output. At most two cuts come of it.
    pub fn push(&mut self, output: MuxOutput) -> Vec<Cut> {
        let mut cuts = Vec::new();
        match output.kind {
            MuxKind::Init => {
                cuts.extend(self.open.take().map(Cut::Segment));
                cuts.push(Cut::Init(output.parts));
                return cuts;
            }
            MuxKind::Fragment if self.is_full() => cuts.extend(self.open.take().map(Cut::Segment)),
            MuxKind::Fragment | MuxKind::Chunk => {}
        }
        let MuxOutput { parts, start, duration, .. } = output;
        match &mut self.open {
            Some(open) => {
                open.parts.extend(parts);
                open.duration += duration;
            }
            // A chunk without its fragment cannot be played on its own.
            None if output.kind == MuxKind::Chunk => return cuts,
            None => self.open = Some(Segment { parts, start, duration }),
        }
        if self.whole_fragments && self.is_full() {
            cuts.extend(self.open.take().map(Cut::Segment));
        }
        cuts
    }

    /// What is left at a break of time, when it is worth a segment.
    pub fn finish(&mut self) -> Option<Segment> {
        self.open.take().filter(|rest| rest.duration >= self.target / MIN_REST_PART)
    }

    fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.duration + TOLERANCE >= self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn output(kind: MuxKind, start_ms: u64, ms: u64) -> MuxOutput {
        let (start, duration) = (Duration::from_millis(start_ms), Duration::from_millis(ms));
        MuxOutput { kind, parts: vec![Bytes::from_static(b"x")], start, duration }
    }

    /// Durations of the segments that groups of these lengths make.
    fn cut(target_ms: u64, groups_ms: &[u64]) -> (Vec<u64>, Option<u64>) {
        let mut segmenter = Segmenter::new(Duration::from_millis(target_ms), true);
        assert!(matches!(segmenter.push(output(MuxKind::Init, 0, 0))[..], [Cut::Init(_)]));
        let (mut at, mut segments) = (0, vec![]);
        for group in groups_ms {
            for cut in segmenter.push(output(MuxKind::Fragment, at, *group)) {
                let Cut::Segment(segment) = cut else { panic!("{cut:?}") };
                segments.push(segment.duration.as_millis() as u64);
            }
            at += group;
        }
        (segments, segmenter.finish().map(|rest| rest.duration.as_millis() as u64))
    }

    #[test]
    fn cuts_at_the_first_key_picture_after_the_target() {
        for (groups, segments, rest) in [
            (&[2000, 2000, 2000][..], &[2000, 2000, 2000][..], None),
            (&[1000; 5], &[2000, 2000], Some(1000)),
            (&[1500, 1500, 1500], &[3000], Some(1500)),
            (&[8000, 500], &[8000], None),
            (&[1990, 1990], &[1990, 1990], None),
            (&[40; 100], &[2000, 2000], None),
            (&[900], &[], None),
            (&[], &[], None),
        ] {
            assert_eq!(cut(2000, groups), (segments.to_vec(), rest), "{groups:?}");
        }
    }

    #[test]
    fn chunks_are_parts_of_a_segment_that_closes_at_the_next_fragment() {
        let mut segmenter = Segmenter::new(Duration::from_secs(2), false);
        assert!(segmenter.push(output(MuxKind::Chunk, 0, 200)).is_empty());
        for i in 0..10 {
            let kind = if i == 0 { MuxKind::Fragment } else { MuxKind::Chunk };
            assert!(segmenter.push(output(kind, i * 200, 200)).is_empty());
        }
        let cuts = segmenter.push(output(MuxKind::Fragment, 2000, 200));
        assert!(matches!(&cuts[..], [Cut::Segment(s)] if s.duration == Duration::from_secs(2) && s.parts.len() == 10));
    }

    #[test]
    fn a_new_init_closes_what_is_open() {
        let mut segmenter = Segmenter::new(Duration::from_secs(2), true);
        segmenter.push(output(MuxKind::Fragment, 0, 500));
        assert!(matches!(segmenter.push(output(MuxKind::Init, 0, 0))[..], [Cut::Segment(_), Cut::Init(_)]));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_segment_is_short(groups in prop::collection::vec(20u64..5000, 0..60), target in 1000u64..10_000) {
            let (segments, rest) = cut(target, &groups);
            let whole: u64 = groups.iter().sum();
            let made: u64 = segments.iter().sum();
            prop_assert!(segments.iter().all(|ms| ms + 20 >= target && *ms < target + 5000));
            prop_assert!(made <= whole && whole - made < target);
            prop_assert!(rest.is_none_or(|rest| made + rest == whole && rest * 2 >= target));
        }
    }
}
