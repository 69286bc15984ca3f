//! Samples of one track to parts and segments. Pure.
//!
//! A segment is cut where the caller says, at a key frame of the stream's plan; a part wherever the next sample would
//! make it longer than a part may be. Every part is a fragment of its own, and a segment is its parts.

use bytes::Bytes;

use super::planner::Cut;
use crate::mp4::{FragmentSample, fragment_header};

/// A picture or a frame of audio. Times are ticks of the track.
#[derive(Clone, Debug)]
pub struct Sample {
    pub dts: u64,
    pub pts: u64,
    /// `None`: up to the decoding time of the next one.
    pub duration: Option<u32>,
    /// Decoding can begin here.
    pub is_sync: bool,
    pub data: Bytes,
}

/// A part of a segment that is being made.
#[derive(Clone, Debug)]
pub struct MadePart {
    /// The segment that it is a part of.
    pub cut: Cut,
    /// Presentation time of the segment's first sample.
    pub segment_start: u64,
    /// Ticks.
    pub duration: u64,
    /// Decoding can begin at one of its samples.
    pub independent: bool,
    /// The bytes, in order; shared with the access units.
    pub bytes: Vec<Bytes>,
}

/// A whole segment.
#[derive(Clone, Debug)]
pub struct MadeSegment {
    pub cut: Cut,
    /// Presentation time of the first sample.
    pub start: u64,
    /// Ticks.
    pub duration: u64,
    /// The bytes, in order.
    pub bytes: Vec<Bytes>,
}

/// A part or a segment that the segmenter made.
#[derive(Clone, Debug)]
pub enum Made {
    Part(MadePart),
    Segment(MadeSegment),
}

/// Makes the segments of one track, over one run of continuous time.
#[derive(Debug)]
pub struct Segmenter {
    /// Longest part, ticks; `None`: one fragment is a segment.
    part_target: Option<u64>,
    /// Counts fragments.
    number: u32,
    open: Option<Open>,
    /// Waits for its successor to know how long it is.
    last: Option<Sample>,
    last_duration: u32,
}

/// A segment that is being made.
#[derive(Debug)]
struct Open {
    cut: Cut,
    start: u64,
    duration: u64,
    bytes: Vec<Bytes>,
    fragment: Vec<(FragmentSample, Bytes)>,
    fragment_dts: u64,
    fragment_duration: u64,
    /// A sample was longer than a part may be: the rest of this segment has no parts.
    partless: bool,
}

impl Segmenter {
    /// Parts of at most `part_target` ticks, or none; a sample without a successor is taken to last `step` ticks until
    /// another one was seen.
    pub fn new(part_target: Option<u64>, step: u32) -> Self {
        Self { part_target, number: 0, open: None, last: None, last_duration: step.max(1) }
    }

    /// Takes the next sample. `begins` is the segment that it begins; samples before the first segment are left out.
    pub fn push(&mut self, sample: Sample, begins: Option<Cut>) -> Vec<Made> {
        let mut made = Vec::new();
        if let Some(last) = self.last.take() {
            let duration = last.duration.unwrap_or_else(|| ticks_between(last.dts, sample.dts));
            self.add(last, duration, &mut made);
        }
        if let Some(cut) = begins {
            self.close(&mut made);
            self.open = Some(Open::new(cut, sample.pts));
        }
        let expected = sample.duration.unwrap_or(self.last_duration);
        self.close_part_before(expected, &mut made);
        match sample.duration {
            Some(duration) => {
                self.add(sample, duration, &mut made);
                // The next one is as long.
                self.close_part_before(duration, &mut made);
            }
            None => self.last = Some(sample),
        }
        made
    }

    /// Ends the run of time; returns the rest. The last sample is as long as the one before it.
    pub fn finish(&mut self) -> Vec<Made> {
        let mut made = Vec::new();
        if let Some(last) = self.last.take() {
            let duration = last.duration.unwrap_or(self.last_duration);
            self.add(last, duration, &mut made);
        }
        self.close(&mut made);
        made
    }

    fn add(&mut self, sample: Sample, duration: u32, made: &mut Vec<Made>) {
        self.last_duration = duration;
        self.close_part_before(duration, made);
        let Some(open) = &mut self.open else { return };
        if open.fragment.is_empty() {
            open.fragment_dts = sample.dts;
        }
        let composition = i64::try_from(sample.pts).unwrap_or(0) - i64::try_from(sample.dts).unwrap_or(0);
        let described = FragmentSample {
            duration,
            size: u32::try_from(sample.data.len()).unwrap_or(u32::MAX),
            is_sync: sample.is_sync,
            composition: i32::try_from(composition).unwrap_or(0),
        };
        open.fragment_duration += u64::from(duration);
        open.fragment.push((described, sample.data));
    }

    /// Closes the part unless a sample of `duration` still fits.
    fn close_part_before(&mut self, duration: u32, made: &mut Vec<Made>) {
        let Some(target) = self.part_target else { return };
        if self.open.as_ref().is_some_and(|open| open.fragment_duration + u64::from(duration) > target) {
            self.close_part(made);
        }
    }

    fn close_part(&mut self, made: &mut Vec<Made>) {
        let Some(open) = self.open.as_mut().filter(|open| !open.fragment.is_empty()) else { return };
        self.number = self.number.wrapping_add(1);
        let (samples, data): (Vec<_>, Vec<_>) = open.fragment.drain(..).unzip();
        let mut bytes = Vec::with_capacity(1 + data.len());
        bytes.push(fragment_header(self.number, open.fragment_dts, &samples));
        bytes.extend(data);
        let duration = std::mem::take(&mut open.fragment_duration);
        open.duration += duration;
        open.bytes.extend(bytes.iter().cloned());
        open.partless |= self.part_target.is_none_or(|target| duration > target);
        if !open.partless {
            let independent = samples.iter().any(|sample| sample.is_sync);
            let (cut, segment_start) = (open.cut, open.start);
            made.push(Made::Part(MadePart { cut, segment_start, duration, independent, bytes }));
        }
    }

    fn close(&mut self, made: &mut Vec<Made>) {
        self.close_part(made);
        let Some(open) = self.open.take().filter(|open| !open.bytes.is_empty()) else { return };
        let Open { cut, start, duration, bytes, .. } = open;
        made.push(Made::Segment(MadeSegment { cut, start, duration, bytes }));
    }
}

impl Open {
    fn new(cut: Cut, start: u64) -> Self {
        Self {
            cut,
            start,
            duration: 0,
            bytes: Vec::new(),
            fragment: Vec::new(),
            fragment_dts: 0,
            fragment_duration: 0,
            partless: false,
        }
    }
}

/// At least one tick: a sample without length confuses players.
fn ticks_between(from: u64, to: u64) -> u32 {
    u32::try_from(to.saturating_sub(from).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mp4_atom::{Atom as _, Decode as _, DecodeMaybe as _, Header, Moof};
    use proptest::prelude::*;
    use std::time::{Duration, SystemTime};

    fn cut(sequence: u64) -> Cut {
        let (discontinuity, timeline) = (0, 1);
        Cut { sequence, discontinuity, timeline, pts: Duration::ZERO, at: SystemTime::UNIX_EPOCH }
    }

    fn sample(dts: u64, is_sync: bool) -> Sample {
        Sample { dts, pts: dts, duration: None, is_sync, data: Bytes::from(vec![7; 10]) }
    }

    /// Key frames every `group` pictures `step` ticks apart, each beginning a segment.
    fn made(part_target: Option<u64>, step: u64, group: u64, pictures: u64) -> Vec<Made> {
        let mut segmenter = Segmenter::new(part_target, u32::try_from(step).unwrap());
        let mut made = Vec::new();
        for n in 0..pictures {
            let begins = (n % group == 0).then(|| cut(100 + n / group));
            made.extend(segmenter.push(sample(n * step, begins.is_some()), begins));
        }
        made.extend(segmenter.finish());
        made
    }

    fn parts(made: &[Made]) -> Vec<(u64, u64, bool)> {
        let part = |made: &Made| match made {
            Made::Part(part) => Some((part.cut.sequence, part.duration, part.independent)),
            Made::Segment(_) => None,
        };
        made.iter().filter_map(part).collect()
    }

    fn segments(made: &[Made]) -> Vec<&MadeSegment> {
        let segments = made.iter().filter_map(|made| match made {
            Made::Segment(segment) => Some(segment),
            Made::Part(_) => None,
        });
        segments.collect()
    }

    /// Decoding time and durations of each fragment of a segment.
    fn fragments(segment: &MadeSegment) -> Vec<(u64, Vec<u32>)> {
        let bytes = segment.bytes.concat();
        let (mut rest, mut fragments) = (bytes.as_slice(), Vec::new());
        while let Some(moof) = Moof::decode_maybe(&mut rest).unwrap() {
            let traf = &moof.traf[0];
            let trun = &traf.trun[0];
            let mdat = Header::decode(&mut rest).unwrap();
            assert_eq!(mdat.kind, mp4_atom::Mdat::KIND);
            let size = mdat.size.unwrap();
            let said: u32 = trun.samples.iter().map(|sample| sample.size.unwrap()).sum();
            assert_eq!(size, said as usize);
            rest = &rest[size..];
            let durations = trun.samples.iter().map(|sample| sample.duration.unwrap()).collect();
            fragments.push((traf.tfdt.as_ref().unwrap().base_media_decode_time, durations));
        }
        assert!(rest.is_empty());
        fragments
    }

    #[test]
    fn a_segment_ends_where_the_next_begins() {
        let made = made(None, 3000, 4, 10);
        assert!(parts(&made).is_empty());
        let segments = segments(&made);
        let seen: Vec<_> = segments.iter().map(|s| (s.cut.sequence, s.start, s.duration)).collect();
        assert_eq!(seen, [(100, 0, 12_000), (101, 12_000, 12_000), (102, 24_000, 6000)]);
        assert_eq!(fragments(segments[1]), [(12_000, vec![3000; 4])]);
    }

    #[test]
    fn parts_are_as_long_as_they_may_be_and_make_up_their_segment() {
        let made = made(Some(10_000), 3000, 8, 16);
        let seen = parts(&made);
        let first = [(100, 9000, true), (100, 9000, false), (100, 6000, false)];
        assert_eq!(seen[..3], first);
        assert_eq!(seen.len(), 6);
        let segments = segments(&made);
        assert_eq!(fragments(segments[0]), [(0, vec![3000; 3]), (9000, vec![3000; 3]), (18_000, vec![3000; 2])]);
        // A part comes before the segment that it is of.
        assert!(matches!(made[2], Made::Part(_)) && matches!(made[3], Made::Segment(_)));
    }

    #[test]
    fn audio_of_known_length_does_not_wait_for_its_successor() {
        let mut segmenter = Segmenter::new(Some(3000), 1024);
        let frame = |n: u64| Sample { duration: Some(1024), ..sample(n * 1024, true) };
        assert!(segmenter.push(frame(0), Some(cut(5))).is_empty());
        let made = segmenter.push(frame(1), None);
        assert_eq!(parts(&made), [(5, 2048, true)]);
    }

    #[test]
    fn what_comes_before_the_first_segment_is_left_out() {
        let mut segmenter = Segmenter::new(None, 3000);
        assert!(segmenter.push(sample(0, false), None).is_empty());
        assert!(segmenter.push(sample(3000, true), Some(cut(9))).is_empty());
        let made = segmenter.finish();
        assert_eq!(segments(&made)[0].start, 3000);
        assert!(segmenter.finish().is_empty());
    }

    #[test]
    fn a_sample_longer_than_a_part_may_be_is_told_with_its_segment_only() {
        let mut segmenter = Segmenter::new(Some(10_000), 3000);
        let mut made = segmenter.push(sample(0, true), Some(cut(1)));
        for dts in [3000, 6000, 60_000, 63_000, 66_000, 69_000] {
            made.extend(segmenter.push(sample(dts, false), None));
        }
        made.extend(segmenter.push(sample(72_000, true), Some(cut(2))));
        assert_eq!(parts(&made), [(1, 6000, true)]);
        assert_eq!(segments(&made)[0].duration, 72_000);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_part_is_too_long(
            steps in prop::collection::vec(1u64..6000, 2..200), group in 1usize..40, target in prop::option::of(2000u64..30_000)
        ) {
            let mut segmenter = Segmenter::new(target, 3000);
            let (mut dts, mut made) = (1000, Vec::new());
            for (n, step) in steps.iter().enumerate() {
                let begins = (n % group == 0).then(|| cut((n / group) as u64));
                made.extend(segmenter.push(sample(dts, begins.is_some()), begins));
                dts += step;
            }
            made.extend(segmenter.finish());
            let whole: u64 = steps[..steps.len() - 1].iter().sum();
            let segments = segments(&made);
            let duration: u64 = segments.iter().map(|s| s.duration).sum();
            // The last sample is as long as the one before it.
            prop_assert_eq!(duration, whole + steps[steps.len() - 2]);
            prop_assert!(parts(&made).iter().all(|(_, duration, _)| target.is_some_and(|target| *duration <= target)));
            let fragments: Vec<_> = segments.iter().flat_map(|s| fragments(s)).collect();
            let samples: usize = fragments.iter().map(|(_, durations)| durations.len()).sum();
            prop_assert_eq!(samples, steps.len());
            let mut at = 1000;
            for (dts, durations) in fragments {
                prop_assert_eq!(dts, at);
                at += durations.iter().map(|d| u64::from(*d)).sum::<u64>();
            }
        }
    }
}
