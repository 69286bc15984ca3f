//! Requests of players, and the input of playlists and segments.

use std::collections::HashMap;
use std::path::Component;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use mp4_atom::{Atom as _, Decode as _, DecodeMaybe as _, Header, Mdat, Moof};
use rsm_media::hls::address::{Address, HlsFile};
use rsm_media::hls::audio_track::AudioTrack;
use rsm_media::hls::cuts::Cuts;
use rsm_media::hls::parts::{Opening, Part, PartTarget};
use rsm_media::hls::planner::{Cut, Planner};
use rsm_media::hls::playlist::{RenditionReport, Setting};
use rsm_media::hls::query::Query;
use rsm_media::hls::segmenter::{Made, Sample, Segmenter};
use rsm_media::hls::window::{Answer, Listed, Window};
use rsm_media::parameters::{AudioCodec, AudioParameters};
use rsm_shared::stream::rendition::Rendition;
use rsm_viewing::hls::locate::{FileKind, MediaFile};

/// Least share of its target that a part lasts which is neither independent nor its segment's last (RFC 8216bis
/// section 4.4.4.9).
const LEAST_SHARE: f64 = 0.85;
/// Error of rounding to five places, seconds.
const ROUNDED: f64 = 0.000_011;
/// Steps of one history of audio: each may make 1500 frames.
const MAX_AUDIO_STEPS: usize = 16;

/// The tail of an address: the worker and its clients read the same in it.
pub fn address(data: &[u8]) {
    let tail = String::from_utf8_lossy(data);
    if let Some(address) = Address::parse(&tail) {
        let path = address.path();
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{} leads away", path.display());
        assert!((3..=4).contains(&path.components().count()));
        if !matches!(address.file, HlsFile::Part(..)) {
            assert_eq!(path.to_str(), Some(tail.as_ref()), "one thing has one spelling");
        }
    }
    let name = tail.rsplit('/').next().unwrap_or_default();
    let here = Address::parse(&format!("yard/7-3/source/{name}")).map(|address| address.file);
    let there = MediaFile::parse(Rendition::Source, name);
    let same = match (here, there.map(|file| file.kind)) {
        (Some(HlsFile::Init(_, a)), Some(FileKind::Init(b)))
        | (Some(HlsFile::Segment(_, a)), Some(FileKind::Segment(b))) => a == b,
        (Some(HlsFile::Part(_, a, part)), Some(FileKind::Part(b, other))) => (a, part) == (b, u64::from(other)),
        // A part has no such number: only the worker reads it.
        (Some(HlsFile::Part(_, _, part)), None) => part > u64::from(u32::MAX),
        (here, there) => here.is_none() && there.is_none(),
    };
    assert!(same, "{here:?} is not {there:?}");
    if let Some(file) = there {
        assert_eq!(file.to_string(), format!("source/{name}"));
    }
}

/// The delivery directives of a request.
pub fn query(data: &[u8]) {
    let Ok(query) = Query::parse(&String::from_utf8_lossy(data)) else { return };
    assert!(query.msn.is_some() || query.part.is_none());
    let number = |name: &str, value: Option<u64>| value.map(|value| format!("{name}={value}"));
    let skip = query.skip.then(|| "_HLS_skip=YES".to_owned());
    let all = [number("_HLS_msn", query.msn), number("_HLS_part", query.part), skip];
    let written: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!(Query::parse(&written.join("&")), Ok(query));
}

#[derive(Arbitrary, Debug)]
struct Taken {
    step: u32,
    composition: i32,
    duration: Option<u32>,
    is_sync: bool,
    begins: bool,
    len: u8,
}

/// Samples of any times, to segments and parts.
pub fn segments(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((part_target, step, begin)) = <(Option<u32>, u32, u32)>::arbitrary(&mut input) else { return };
    let part_target = part_target.map(u64::from);
    let mut segmenter = Segmenter::new(part_target, step);
    let (mut checks, mut dts, mut sequence, mut bytes) = (Checks::new(part_target), u64::from(begin), 0, None::<usize>);
    while let Ok(taken) = Taken::arbitrary(&mut input) {
        if input.is_empty() {
            break;
        }
        dts += u64::from(taken.step);
        sequence += u64::from(taken.begins);
        let len = usize::from(taken.len);
        bytes = bytes.or(taken.begins.then_some(0)).map(|bytes| bytes + len);
        let sample = Sample {
            dts,
            pts: dts.saturating_add_signed(taken.composition.into()),
            duration: taken.duration,
            is_sync: taken.is_sync,
            data: Bytes::from(vec![taken.len; len]),
        };
        checks.all(segmenter.push(sample, taken.begins.then(|| cut(sequence))));
    }
    checks.all(segmenter.finish());
    assert!(segmenter.finish().is_empty());
    assert_eq!(checks.media, bytes.unwrap_or(0), "no sample is lost");
}

fn cut(sequence: u64) -> Cut {
    Cut { sequence, discontinuity: 0, timeline: 1, pts: Duration::ZERO, at: SystemTime::UNIX_EPOCH }
}

/// Rules for the output of a segmenter.
struct Checks {
    part_target: Option<u64>,
    /// Parts of the segment that is being made.
    parts: Option<(u64, Vec<u8>)>,
    sequence: Option<u64>,
    /// Bytes of samples in whole segments.
    media: usize,
    /// Where the next fragment begins, when samples are to have no holes between them.
    next: Option<u64>,
    without_holes: bool,
}

impl Checks {
    fn new(part_target: Option<u64>) -> Self {
        Self { part_target, parts: None, sequence: None, media: 0, next: None, without_holes: false }
    }

    fn all(&mut self, made: Vec<Made>) {
        for made in made {
            match made {
                Made::Part(part) => {
                    assert!(self.part_target.is_some_and(|target| part.duration <= target), "a part is too long");
                    assert!(self.sequence.is_none_or(|whole| part.cut.sequence > whole));
                    let (sequence, bytes) = self.parts.get_or_insert((part.cut.sequence, Vec::new()));
                    assert_eq!(*sequence, part.cut.sequence);
                    bytes.extend(part.bytes.concat());
                }
                Made::Segment(segment) => {
                    assert!(
                        self.sequence.replace(segment.cut.sequence).is_none_or(|before| segment.cut.sequence > before)
                    );
                    let bytes = segment.bytes.concat();
                    if let Some((sequence, parts)) = self.parts.take() {
                        assert_eq!(sequence, segment.cut.sequence);
                        assert!(bytes.starts_with(&parts), "a segment is its parts");
                    }
                    assert_eq!(self.fragments(&bytes), segment.duration);
                }
            }
        }
    }

    /// Reads a segment back; gives its duration.
    fn fragments(&mut self, mut rest: &[u8]) -> u64 {
        let mut whole = 0;
        while !rest.is_empty() {
            let begin = rest.len();
            let moof = Moof::decode_maybe(&mut rest).expect("moof is readable").expect("moof is whole");
            let head = begin - rest.len();
            let mdat = Header::decode(&mut rest).expect("mdat has a head");
            assert_eq!(mdat.kind, Mdat::KIND);
            let [traf] = &moof.traf[..] else { panic!("one track is there") };
            let [trun] = &traf.trun[..] else { panic!("one run is there") };
            assert_eq!(trun.data_offset, i32::try_from(begin - rest.len()).ok(), "samples begin behind the heads");
            assert!(head < begin);
            let samples: Vec<_> = trun.samples.iter().collect();
            assert!(!samples.is_empty());
            let size: usize = samples.iter().map(|sample| sample.size.expect("it has a size") as usize).sum();
            assert_eq!(mdat.size, Some(size));
            let duration: u64 = samples.iter().map(|sample| u64::from(sample.duration.expect("it lasts"))).sum();
            let dts = traf.tfdt.as_ref().expect("it has a time").base_media_decode_time;
            if self.without_holes {
                assert!(self.next.is_none_or(|next| next == dts), "{dts} is not {:?}", self.next);
                self.next = Some(dts + duration);
            }
            whole += duration;
            self.media += size;
            rest = rest.get(size..).expect("mdat is whole");
        }
        whole
    }
}

#[derive(Arbitrary, Debug)]
enum AudioStep {
    /// The pictures go on by so many milliseconds; a key frame or not.
    Pictures {
        ms: u16,
        key: bool,
    },
    /// A frame so many microseconds from where the pictures are.
    Frame {
        from_pictures_us: i32,
        len: u8,
    },
    Fill,
}

/// Audio frames beside pictures, to segments.
pub fn audio_track(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((rate, channels, config, part_ms)) = <(u32, u8, [u8; 2], Option<u16>)>::arbitrary(&mut input) else {
        return;
    };
    let parameters = AudioParameters {
        codec: AudioCodec::Aac,
        codec_data: Bytes::copy_from_slice(&config),
        // Most are rates of real audio.
        sample_rate: if rate % 4 == 0 { rate } else { [8000, 16_000, 44_100, 48_000][rate as usize / 4 % 4] },
        channels: u16::from(channels),
    };
    let part_target = part_ms.map(|ms| PartTarget::new(Duration::from_millis(ms.into())));
    let mut track = AudioTrack::new(Arc::new(parameters.clone()), 1, part_target, None);
    let ticks = part_target.map(|target| {
        let ticks = target.duration().as_nanos() * u128::from(parameters.sample_rate) / 1_000_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    });
    let mut checks = Checks { without_holes: true, ..Checks::new(ticks) };
    let (mut cuts, mut planner, mut at) = (Cuts::default(), Planner::new(Duration::from_secs(2), 7, 0), Duration::ZERO);
    for _ in 0..MAX_AUDIO_STEPS {
        let Ok(step) = AudioStep::arbitrary(&mut input) else { break };
        if input.is_empty() {
            break;
        }
        let made = match step {
            AudioStep::Pictures { ms, key } => {
                at += Duration::from_millis(ms.into());
                let cut = key.then(|| planner.at_key(1, at, SystemTime::UNIX_EPOCH)).flatten();
                cuts.add(1, at, cut);
                Ok(Vec::new())
            }
            AudioStep::Frame { from_pictures_us, len } => {
                let distance = Duration::from_micros(from_pictures_us.unsigned_abs().into());
                let pts = if from_pictures_us < 0 { at.saturating_sub(distance) } else { at + distance };
                track.push(pts, Bytes::from(vec![len; usize::from(len)]), &cuts)
            }
            AudioStep::Fill => track.fill(at, &cuts),
        };
        let Ok(made) = made else { return };
        checks.all(made);
    }
    checks.all(track.finish());
}

#[derive(Arbitrary, Debug)]
enum WindowStep {
    Part {
        ms: u16,
        independent: bool,
        len: u8,
    },
    /// The segment is whole: as long as its parts, or not.
    End {
        ms: Option<u16>,
        len: Option<u8>,
        broken_time: bool,
        new_init: bool,
    },
    /// Numbers are left out.
    Hole(u8),
    Shorten(u8),
    Clear,
}

/// The contents of a media playlist, after any steps in any order.
pub fn window(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((max, target_s, part_ms, begin)) = <(u8, u8, Option<u16>, u32)>::arbitrary(&mut input) else { return };
    let max = usize::from(max % 16);
    let part_target = part_ms.map(|ms| PartTarget::new(Duration::from_millis(ms.into())));
    let mut window = Window::new(max, Duration::from_secs(u64::from(target_s % 11)), part_target);
    let mut making = Making { sequence: begin.into(), discontinuity: 0, init: 0, lasts: Duration::ZERO, len: 0 };
    let mut seen = Seen::default();
    while let Ok(step) = WindowStep::arbitrary(&mut input) {
        if input.is_empty() {
            break;
        }
        match step {
            WindowStep::Part { ms, independent, len } => {
                let bytes = vec![Bytes::from(vec![0; len.into()])];
                let duration = Duration::from_millis(ms.into());
                making.lasts += duration;
                making.len += u64::from(len);
                let Making { sequence, discontinuity, init, .. } = making;
                let opening = Opening { sequence, discontinuity, init, at: making.at() };
                window.add_part(Part { duration, independent, bytes }, opening);
            }
            WindowStep::End { ms, len, broken_time, new_init } => {
                let listed = Listed {
                    sequence: making.sequence,
                    duration: ms.map_or(making.lasts, |ms| Duration::from_millis(ms.into())),
                    len: len.map_or(making.len, u64::from),
                    discontinuity: making.discontinuity,
                    init: making.init,
                    at: making.at(),
                };
                window.push(listed);
                making.next(1);
                making.discontinuity += u64::from(broken_time);
                making.init += u64::from(new_init);
            }
            WindowStep::Hole(numbers) => making.next(numbers.into()),
            WindowStep::Shorten(least) => drop(window.shorten(least.into())),
            WindowStep::Clear => {
                drop(window.clear());
                // No number is used twice.
                making.next(1);
            }
        }
        assert!(window.len() <= max.max(1) * 4, "{} segments are listed", window.len());
        seen.look(&window);
    }
}

/// The segment that is being made.
struct Making {
    sequence: u64,
    discontinuity: u64,
    init: u64,
    lasts: Duration,
    len: u64,
}

impl Making {
    fn at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.sequence)
    }

    fn next(&mut self, numbers: u64) {
        if numbers > 0 {
            self.sequence += numbers;
            (self.lasts, self.len) = (Duration::ZERO, 0);
        }
    }
}

/// The state that players have read before.
#[derive(Default)]
struct Seen {
    media_sequence: u64,
    target_s: u64,
    /// The line of every part that was listed, by its URI.
    parts: HashMap<String, String>,
}

impl Seen {
    fn look(&mut self, window: &Window) {
        let others = [RenditionReport { rendition: Rendition::P360, sequence: 7, parts: 0 }];
        for skip in [false, true] {
            let setting = Setting { prefix: "7-3/source", target_s: 1, others: &others, skip };
            self.read(window, &window.render_live(&setting));
        }
        self.read(window, &window.render("7-3/source"));
        if let Some((sequence, part)) = window.next_part() {
            assert_eq!(window.answers(sequence, Some(part)), Answer::Wait, "the part that is hinted at comes");
        }
        if let Some((sequence, parts)) = window.newest().filter(|_| window.part_target().is_some())
            && let Some(last) = parts.checked_sub(1)
        {
            assert_eq!(window.answers(sequence, Some(last)), Answer::Ready, "what is listed is there");
            assert!(window.part(sequence, last).is_some());
        }
        for (msn, part) in [(0, None), (u64::MAX, None), (u64::MAX, Some(u64::MAX)), (self.media_sequence, Some(9))] {
            let _ = window.answers(msn, part);
        }
        let _ = window.bandwidth();
    }

    fn read(&mut self, window: &Window, text: &str) {
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = |name: &str| value(name).and_then(|value| value.parse::<u64>().ok());
        let target_s = number("#EXT-X-TARGETDURATION").expect("there is a target duration");
        assert!(target_s >= self.target_s, "the target duration only grows");
        self.target_s = target_s;
        let first = number("#EXT-X-MEDIA-SEQUENCE").expect("there is a media sequence");
        if !window.is_empty() {
            assert!(first >= self.media_sequence, "{first} is before {}", self.media_sequence);
            self.media_sequence = first;
        }
        let skipped = value("#EXT-X-SKIP").and_then(|skip| skip.strip_prefix("SKIPPED-SEGMENTS=")?.parse::<u64>().ok());
        let part_target =
            value("#EXT-X-PART-INF").and_then(|inf| inf.strip_prefix("PART-TARGET=")?.parse::<f64>().ok());
        let (mut sequence, mut parts) = (first + skipped.unwrap_or(0), Vec::new());
        for line in text.lines() {
            if let Some(duration) = line.strip_prefix("#EXTINF:").and_then(|rest| rest.strip_suffix(',')) {
                let duration: f64 = duration.parse().expect("a duration is a number");
                assert!(duration.round() <= target_s as f64, "{duration} s is longer than {target_s} s");
            } else if line.starts_with("#EXT-X-PART:") {
                self.part(window, sequence, parts.len(), line);
                parts.push(line);
            } else if !line.starts_with('#') {
                assert_eq!(line, format!("7-3/source/{sequence}.m4s"), "numbers have no hole");
                fits(&parts, part_target, true);
                parts.clear();
                sequence += 1;
            }
        }
        assert_eq!(sequence, first + window.len() as u64, "every segment is listed or left out");
        fits(&parts, part_target, false);
    }

    fn part(&mut self, window: &Window, sequence: u64, index: usize, line: &str) {
        let uri = format!("7-3/source/{sequence}.{index}.m4s");
        assert!(line.contains(&format!(",URI=\"{uri}\"")), "{line} is not {uri}");
        assert!(window.part(sequence, index as u64).is_some(), "{uri} is listed and cannot be had");
        let said = self.parts.entry(uri).or_insert_with(|| line.to_owned());
        assert_eq!(said, line, "lines only come and go");
    }
}

/// The parts of one segment last as long as RFC 8216bis section 4.4.4.9 has it.
fn fits(lines: &[&str], part_target: Option<f64>, is_whole: bool) {
    for (index, line) in lines.iter().enumerate() {
        let target = part_target.expect("parts have a target");
        let duration = line.strip_prefix("#EXT-X-PART:DURATION=").and_then(|rest| rest.split(',').next()?.parse().ok());
        let duration: f64 = duration.expect("a part has a duration");
        assert!(duration <= target + ROUNDED, "{line} is longer than {target}");
        let may_be_short = line.ends_with(",INDEPENDENT=YES") || (is_whole && index + 1 == lines.len());
        assert!(may_be_short || duration + ROUNDED >= target * LEAST_SHARE, "{line} is too short for {target}");
    }
}
