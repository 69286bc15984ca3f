//! Audio to parts and segments that begin where those of the pictures begin. Pure.
//!
//! Cameras' audio starts late, stops, and drifts against the pictures. A player that waits for audio shows no picture,
//! so gaps are filled with silence, and overlapping frames are dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::cuts::Cuts;
use super::parts::PartTarget;
use super::picture_track::{FIRST_PTS, part_ticks};
use super::segmenter::{Made, Sample, Segmenter};
use crate::parameters::AudioParameters;

/// Samples of an AAC frame (ISO/IEC 14496-3 section 4.5.1.1).
const FRAME: u64 = 1024;
/// Longest gap that is filled, frames: 30 s at 48 kHz. After a longer gap the track begins anew.
const MAX_SILENCE: u64 = 1500;
/// AAC-LC frames that decode to silence: mono and stereo (single channel and channel pair elements without
/// coefficients, ISO/IEC 14496-3 section 4.4.2).
const SILENCE: [&[u8]; 2] =
    [&[0x00, 0xc8, 0x00, 0x80, 0x23, 0x80], &[0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80]];
/// Audio object type of AAC-LC (ISO/IEC 14496-3 table 1.17).
const AAC_LC: u8 = 2;

/// One run of continuous time of a stream's audio, as AAC.
pub struct AudioTrack {
    parameters: Arc<AudioParameters>,
    timeline: u64,
    segmenter: Segmenter,
    /// Where the next frame belongs, ticks of the track; `None` before the first.
    next: Option<u64>,
    /// Number of the segment that is being made.
    sequence: Option<u64>,
    /// The newest segment of an earlier track. Parts of it may have been fetched, so this one begins behind it.
    earlier: Option<u64>,
}

/// The audio was away for longer than is filled, or segments went by: it must begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLongAGap;

impl AudioTrack {
    /// Audio with these parameters, in the pictures' `timeline`, in parts of at most `part_target`. It begins behind
    /// segment `earlier`, if that is given.
    pub fn new(
        parameters: Arc<AudioParameters>,
        timeline: u64,
        part_target: Option<PartTarget>,
        earlier: Option<u64>,
    ) -> Self {
        let part_ticks = part_target.map(|target| part_ticks(target, parameters.sample_rate));
        let segmenter = Segmenter::new(part_ticks, u32::try_from(FRAME).unwrap_or(u32::MAX));
        Self { parameters, timeline, segmenter, next: None, sequence: None, earlier }
    }

    /// The parameters of its frames.
    pub fn parameters(&self) -> &Arc<AudioParameters> {
        &self.parameters
    }

    /// The newest segment that it, or an earlier track, has begun.
    pub fn newest(&self) -> Option<u64> {
        self.sequence.or(self.earlier)
    }

    /// Takes one frame at `pts`, which the pictures have reached.
    ///
    /// # Errors
    /// [`TooLongAGap`]; nothing of it can be used any more.
    pub fn push(&mut self, pts: Duration, data: Bytes, cuts: &Cuts) -> Result<Vec<Made>, TooLongAGap> {
        let mut made = Vec::new();
        let at = ticks(FIRST_PTS + pts, self.parameters.sample_rate);
        let next = match self.next {
            Some(next) => next,
            None => {
                // Frames before the first segment are not played.
                let cut = cuts.current(self.timeline, pts);
                let cut = cut.filter(|cut| self.earlier.is_none_or(|earlier| cut.sequence > earlier));
                let Some(cut) = cut else { return Ok(made) };
                ticks(FIRST_PTS + cut.pts, self.parameters.sample_rate)
            }
        };
        self.next = Some(next);
        if at + FRAME * 3 / 2 < next {
            return Ok(made);
        }
        if at > next + FRAME * 3 / 2 {
            self.silence_until(at - FRAME / 2, cuts, &mut made)?;
        }
        self.add(data, cuts, &mut made)?;
        Ok(made)
    }

    /// The pictures have come to `pts` and the audio has not: fills up to there.
    ///
    /// # Errors
    /// [`TooLongAGap`].
    pub fn fill(&mut self, pts: Duration, cuts: &Cuts) -> Result<Vec<Made>, TooLongAGap> {
        let mut made = Vec::new();
        if self.next.is_some() {
            self.silence_until(ticks(FIRST_PTS + pts, self.parameters.sample_rate), cuts, &mut made)?;
        }
        Ok(made)
    }

    /// Ends the run of time; returns the rest.
    pub fn finish(&mut self) -> Vec<Made> {
        self.segmenter.finish()
    }

    fn silence_until(&mut self, until: u64, cuts: &Cuts, made: &mut Vec<Made>) -> Result<(), TooLongAGap> {
        let next = self.next.unwrap_or(until);
        let frames = until.saturating_sub(next) / FRAME;
        if frames == 0 {
            return Ok(());
        }
        let silence = silence(&self.parameters).filter(|_| frames <= MAX_SILENCE).ok_or(TooLongAGap)?;
        (0..frames).try_for_each(|_| self.add(Bytes::from_static(silence), cuts, made))
    }

    /// The next frame goes where the one before it ended.
    fn add(&mut self, data: Bytes, cuts: &Cuts, made: &mut Vec<Made>) -> Result<(), TooLongAGap> {
        let Some(at) = self.next else { return Ok(()) };
        // The frame that is nearest to where the pictures' segment begins.
        let reached = duration(at + FRAME / 2, self.parameters.sample_rate).saturating_sub(FIRST_PTS);
        let cut = cuts.next(self.sequence, self.timeline, reached);
        let begins = match (self.sequence, cut) {
            // It goes on within the segment in which it began.
            (None, _) => cuts.current(self.timeline, reached),
            (Some(before), Some(cut)) if cut.sequence != before + 1 => return Err(TooLongAGap),
            (Some(_), cut) => cut,
        };
        self.sequence = begins.map(|cut| cut.sequence).or(self.sequence);
        self.next = Some(at + FRAME);
        let length = u32::try_from(FRAME).ok();
        made.extend(self.segmenter.push(Sample { dts: at, pts: at, duration: length, is_sync: true, data }, begins));
        Ok(())
    }
}

/// A silent frame for audio of these parameters; `None` for kinds of AAC whose silence is not known here.
fn silence(parameters: &AudioParameters) -> Option<&'static [u8]> {
    let object_type = parameters.codec_data.first()? >> 3;
    let channels = usize::from(parameters.channels);
    (object_type == AAC_LC).then(|| SILENCE.get(channels.checked_sub(1)?).copied()).flatten()
}

/// Rounded to the nearest.
fn ticks(time: Duration, rate: u32) -> u64 {
    u64::try_from((time.as_nanos() * u128::from(rate) + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
}

fn duration(ticks: u64, rate: u32) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::planner::Planner;
    use crate::parameters::AudioCodec;
    use proptest::prelude::*;
    use std::time::SystemTime;

    /// AAC-LC, 16 kHz, mono: a frame lasts 64 ms.
    fn parameters(channels: u16, object_type: u8) -> Arc<AudioParameters> {
        let codec_data = Bytes::from(vec![object_type << 3 | 4, 0x08]);
        Arc::new(AudioParameters { codec: AudioCodec::Aac, codec_data, sample_rate: 16_000, channels })
    }

    /// Segments of 2 s from 0 on.
    fn plan(segments: u64) -> Cuts {
        let (mut plan, mut planner) = (Cuts::default(), Planner::new(Duration::from_secs(2), 50, 0));
        for n in 0..segments {
            let pts = Duration::from_secs(2 * n);
            plan.add(1, pts, planner.at_key(1, pts, SystemTime::UNIX_EPOCH));
        }
        plan
    }

    fn frame() -> Bytes {
        Bytes::from_static(b"frame")
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn segments(made: &[Made]) -> Vec<(u64, u64, usize)> {
        let segment = |made: &Made| match made {
            Made::Segment(s) => {
                let bytes = s.bytes.concat();
                let heard = bytes.windows(5).filter(|five| *five == b"frame").count();
                Some((s.cut.sequence, s.duration / FRAME, heard))
            }
            Made::Part(_) => None,
        };
        made.iter().filter_map(segment).collect()
    }

    #[test]
    fn segments_begin_where_those_of_the_pictures_begin() {
        let (plan, mut made) = (plan(4), Vec::new());
        let mut track = AudioTrack::new(parameters(1, AAC_LC), 1, None, None);
        for n in 0..94 {
            made.extend(track.push(ms(n * 64), frame(), &plan).unwrap());
        }
        made.extend(track.finish());
        // 2 s are 31.25 frames: each begins with the frame that is nearest.
        assert_eq!(segments(&made), [(50, 31, 31), (51, 31, 31), (52, 32, 32)]);
    }

    #[test]
    fn late_audio_gaps_and_the_end_are_filled_with_silence() {
        let (plan, mut made) = (plan(4), Vec::new());
        let mut track = AudioTrack::new(parameters(2, AAC_LC), 1, None, None);
        for at in [640, 704, 3200, 3264] {
            made.extend(track.push(ms(at), frame(), &plan).unwrap());
        }
        made.extend(track.fill(ms(5000), &plan).unwrap());
        made.extend(track.finish());
        let seen = segments(&made);
        assert_eq!(seen.iter().map(|s| s.2).collect::<Vec<_>>(), [2, 2, 0]);
        assert!((77..=78).contains(&seen.iter().map(|s| s.1).sum::<u64>()), "{seen:?}");
    }

    #[test]
    fn overlapping_audio_is_left_out_and_audio_before_the_first_picture_too() {
        let plan = plan(1);
        let mut track = AudioTrack::new(parameters(1, AAC_LC), 1, None, None);
        let other = &mut AudioTrack::new(parameters(1, AAC_LC), 2, None, None);
        assert!(other.push(ms(0), frame(), &plan).unwrap().is_empty() && other.finish().is_empty());
        for at in [0, 64, 128, 0, 0, 0] {
            track.push(ms(at), frame(), &plan).unwrap();
        }
        assert_eq!(segments(&track.finish()), [(50, 3, 3)]);
    }

    #[test]
    fn what_cannot_be_filled_begins_anew() {
        let plan = plan(4);
        for parameters in [parameters(6, AAC_LC), parameters(1, 5)] {
            let mut track = AudioTrack::new(parameters, 1, None, None);
            track.push(ms(0), frame(), &plan).unwrap();
            assert_eq!(track.push(ms(5000), frame(), &plan).unwrap_err(), TooLongAGap);
        }
        let mut track = AudioTrack::new(parameters(1, AAC_LC), 1, None, None);
        track.push(ms(0), frame(), &plan).unwrap();
        assert_eq!(track.push(ms(600_000), frame(), &plan).unwrap_err(), TooLongAGap);
    }

    #[test]
    fn a_track_after_another_begins_no_segment_a_second_time() {
        let (plan, mut made) = (plan(3), Vec::new());
        let mut track = AudioTrack::new(parameters(6, AAC_LC), 1, None, None);
        track.push(ms(2000), frame(), &plan).unwrap();
        assert_eq!((track.push(ms(2500), frame(), &plan).unwrap_err(), track.newest()), (TooLongAGap, Some(51)));
        let mut track = AudioTrack::new(parameters(1, AAC_LC), 1, None, track.newest());
        for n in 0..40 {
            made.extend(track.push(ms(2200 + n * 64), frame(), &plan).unwrap());
        }
        made.extend(track.finish());
        assert_eq!(segments(&made).iter().map(|s| s.0).collect::<Vec<_>>(), [52]);
        assert_eq!(track.newest(), Some(52));
    }

    proptest! {
        #[test]
        fn audio_is_continuous_whatever_comes(steps in prop::collection::vec(0u64..700, 1..60)) {
            let plan = plan(30);
            let (mut at, mut made) = (0, Vec::new());
            let mut track = AudioTrack::new(parameters(1, AAC_LC), 1, None, None);
            for step in &steps {
                made.extend(track.push(ms(at), frame(), &plan).unwrap());
                at += step;
            }
            made.extend(track.finish());
            let seen = segments(&made);
            prop_assert!(seen.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
            let frames: u64 = seen.iter().map(|s| s.1).sum();
            let last = at - steps[steps.len() - 1];
            // As long as the time that went by, to a frame or two; audio that comes too fast is left out.
            prop_assert!((frames * 64).abs_diff(last + 64) <= 64 * 2, "{frames} frames for {last} ms");
        }
    }
}
