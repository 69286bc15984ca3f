//! Parameters, times and pictures, as cameras send them.

use std::time::{Duration, Instant, SystemTime};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use mp4_atom::{Codec, Decode as _, Ftyp, Moov, Trak};
use rsm_media::decoding_times::{DecodingTimes, seen_reorder};
use rsm_media::jpeg::size;
use rsm_media::media_time::{MAX_BACKWARD, MAX_FORWARD, MediaTime};
use rsm_media::mp4::{Init, init};
use rsm_media::parameters::{AudioCodec, AudioParameters, MAX_REORDER, VideoParameters};
use rsm_worker::source::camera_clock::{CameraClock, MAX_LATE, Stamp, Track};

/// `AVCDecoderConfigurationRecord`.
pub fn avcc(data: &[u8]) {
    check(VideoParameters::from_avcc(Bytes::copy_from_slice(data)).ok(), "avc1.");
}

/// `HEVCDecoderConfigurationRecord`.
pub fn hvcc(data: &[u8]) {
    check(VideoParameters::from_hvcc(Bytes::copy_from_slice(data)).ok(), "hvc1.");
}

fn check(parameters: Option<VideoParameters>, codec: &str) {
    let Some(parameters) = parameters else { return };
    assert!(parameters.width > 0 && parameters.height > 0);
    assert!(parameters.reorder.is_none_or(|reorder| reorder <= MAX_REORDER));
    // It stands between quotes in playlists.
    assert!(parameters.rfc6381.starts_with(codec) && parameters.rfc6381.bytes().all(|b| b.is_ascii_graphic()));
    assert!(!parameters.rfc6381.contains(['"', ',']));
    if let Some(track) = track(&parameters) {
        let visual = match &track.mdia.minf.stbl.stsd.codecs[..] {
            [Codec::Avc1(entry)] => &entry.visual,
            [Codec::Hvc1(entry)] => &entry.visual,
            other => panic!("{other:?} is another codec"),
        };
        assert_eq!((u32::from(visual.width), u32::from(visual.height)), (parameters.width, parameters.height));
    }
}

/// The one track of an initialisation section, read back; `None` when it could not be made.
fn track(parameters: &impl Init) -> Option<Trak> {
    let bytes = init(parameters).ok()?;
    let mut rest = bytes.as_ref();
    Ftyp::decode(&mut rest).expect("ftyp is readable");
    let mut moov = Moov::decode(&mut rest).expect("moov is readable");
    assert!(rest.is_empty(), "nothing is behind it");
    assert_eq!(moov.trak.len(), 1);
    moov.trak.pop()
}

/// `AudioSpecificConfig`, behind the rate that the session description says.
pub fn aac(data: &[u8]) {
    let Some((head, config)) = data.split_first_chunk::<6>() else { return };
    let [a, b, c, d, e, f] = *head;
    let parameters = AudioParameters {
        codec: AudioCodec::Aac,
        codec_data: Bytes::copy_from_slice(config),
        sample_rate: u32::from_be_bytes([a, b, c, d]),
        channels: u16::from_be_bytes([e, f]),
    };
    let Some(track) = track(&parameters) else { return };
    assert_eq!(track.mdia.mdhd.timescale, parameters.sample_rate);
    let [Codec::Mp4a(entry)] = &track.mdia.minf.stbl.stsd.codecs[..] else { panic!("one entry is there") };
    let specific = entry.esds.es_desc.dec_config.dec_specific.as_ref();
    assert_eq!(specific.map(|specific| specific.raw.as_slice()), Some(config));
}

/// A JPEG file.
pub fn jpeg_size(data: &[u8]) {
    if let Some((width, height)) = size(data) {
        assert!((1..=65_535).contains(&width) && (1..=65_535).contains(&height));
        let known = (0..data.len()).find(|len| size(&data[..*len]).is_some()).unwrap_or(data.len());
        assert_eq!(size(&data[..known]), Some((width, height)), "what follows changes nothing");
    }
}

#[derive(Arbitrary, Debug)]
enum Tick {
    Picture { stamp: i64, near: bool, after_ms: u16 },
    Audio { stamp: i64, near: bool, after_ms: u16 },
    Report { audio: bool, stamp: i64, near: bool, ntp: u64, near_wall: bool },
    Restart,
}

/// Stamps and reports of a camera, to one time.
pub fn clocks(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((rates, reorders)) = <([u32; 2], bool)>::arbitrary(&mut input) else { return };
    let (mut clock, mut time) = (CameraClock::default(), MediaTime::default());
    let (mut arrived, mut wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let begun = arrived;
    let mut stamps = [0i64; 2];
    let (mut newest, mut before, mut pictures, mut newest_audio) = (Duration::ZERO, None, false, None);
    while let Ok(tick) = Tick::arbitrary(&mut input) {
        if input.is_empty() {
            break;
        }
        // Some are a little behind the one before, and some are anywhere.
        let mut stamp = |audio: bool, said: i64, near: bool| {
            let line = &mut stamps[usize::from(audio)];
            *line = if near { line.saturating_add(said % 90_000) } else { said };
            Stamp { ticks: *line, rate: rates[usize::from(audio)] }
        };
        match tick {
            Tick::Restart => {
                clock = CameraClock::default();
                time.restart();
                newest_audio = None;
            }
            Tick::Report { audio, stamp: said, near, ntp, near_wall } => {
                let since_1900 = 2_208_988_800 + 1_800_000_000 + (arrived - begun).as_secs();
                let ntp = if near_wall { since_1900 << 32 | ntp & 0xffff_ffff } else { ntp };
                clock.reported(if audio { Track::Audio } else { Track::Pictures }, stamp(audio, said, near), ntp);
            }
            Tick::Picture { stamp: said, near, after_ms } => {
                let step = Duration::from_millis(after_ms.into());
                (arrived, wall) = (arrived + step, wall + step);
                let told = clock.place(Track::Pictures, stamp(false, said, near), arrived, wall);
                let told = told.expect("a picture always has a place");
                credible(told.captured, wall);
                let placed = time.place(told.time_ns, arrived, reorders);
                assert!(placed.pts <= newest + MAX_FORWARD, "{placed:?} is far behind {newest:?}");
                if let Some(before) = before {
                    assert!(reorders || placed.pts > before, "{placed:?} is not behind {before:?}");
                    assert!(placed.pts + MAX_BACKWARD >= newest, "{placed:?} is far before {newest:?}");
                }
                if placed.discontinuity {
                    newest_audio = None;
                }
                (newest, before, pictures) = (newest.max(placed.pts), Some(placed.pts), true);
            }
            Tick::Audio { stamp: said, near, after_ms } => {
                let step = Duration::from_millis(after_ms.into());
                (arrived, wall) = (arrived + step, wall + step);
                let Some(told) = clock.place(Track::Audio, stamp(true, said, near), arrived, wall) else { continue };
                assert!(pictures, "audio has no place before any picture");
                credible(told.captured, wall);
                if let Some(pts) = time.place_audio(told.time_ns) {
                    assert!(pts.abs_diff(newest) <= MAX_FORWARD, "{pts:?} is far from {newest:?}");
                    assert!(newest_audio.is_none_or(|before| pts > before), "{pts:?} is not behind {newest_audio:?}");
                    newest_audio = Some(pts);
                }
            }
        }
    }
}

fn credible(captured: SystemTime, wall: SystemTime) {
    let late = wall.duration_since(captured).expect("nothing is captured after it arrived");
    assert!(late <= MAX_LATE);
}

/// Presentation times, to times of decoding.
pub fn decoding_times(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((reorder, step, shown_at)) = <(u32, u16, Vec<u32>)>::arbitrary(&mut input) else { return };
    let shown_at: Vec<_> = shown_at.into_iter().map(u64::from).collect();
    let reorder = reorder % (MAX_REORDER + 1);
    let mut times = DecodingTimes::new(reorder, step.into());
    let decoded_at: Vec<_> = shown_at.iter().map(|pts| times.next(*pts)).collect();
    assert!(decoded_at.is_sorted_by(|a, b| a < b), "{decoded_at:?} does not grow");
    if reorder == 0 && shown_at.is_sorted_by(|a, b| a < b) {
        assert_eq!(decoded_at, shown_at, "in order, both are the same");
    }
    assert!(seen_reorder(&shown_at) as usize <= shown_at.len());
}
