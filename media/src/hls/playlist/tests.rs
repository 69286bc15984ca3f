//! Playlists as text, and the rules of RFC 8216bis for all of them.

use super::super::parts::{Opening, Part};
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn at(sequence: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123 + sequence * 2000)
}

fn listed(sequence: u64, ms: u64, discontinuity: u64, init: u64) -> Listed {
    Listed { sequence, duration: Duration::from_millis(ms), len: 1000, discontinuity, init, at: at(sequence) }
}

fn with_parts(max: usize) -> Window {
    Window::new(max, Duration::from_secs(2), Some(PartTarget::new(Duration::from_millis(500))))
}

/// A part of a quarter of a segment.
fn add(window: &mut Window, sequence: u64, independent: bool) {
    let part = Part { duration: Duration::from_millis(500), independent, bytes: vec![Bytes::from(vec![0; 250])] };
    window.add_part(part, Opening { sequence, discontinuity: 0, init: 0, at: at(sequence) });
}

fn setting<'a>(others: &'a [RenditionReport], skip: bool) -> Setting<'a> {
    Setting { prefix: "12-3/source", target_s: 2, others, skip }
}

#[test]
fn a_playlist_with_a_break() {
    let mut window = Window::new(3, Duration::from_secs(2), None);
    assert!(window.push(listed(7, 2000, 4, 0)).is_empty());
    window.push(listed(8, 1966, 4, 0));
    window.push(listed(9, 2033, 5, 1));
    let text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"12-3/source/init-0.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34.123Z\n#EXTINF:2.00000,\n12-3/source/7.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:36.123Z\n#EXTINF:1.96600,\n12-3/source/8.m4s\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"12-3/source/init-1.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:38.123Z\n#EXTINF:2.03300,\n12-3/source/9.m4s\n";
    assert_eq!(window.render("12-3/source"), text);
    assert_eq!(window.render_live(&setting(&[], true)), text, "without parts all players get the same");
}

#[test]
fn a_playlist_with_parts() {
    let mut window = with_parts(3);
    (0..4).for_each(|i| add(&mut window, 7, i == 0));
    window.push(listed(7, 2000, 0, 0));
    window.push(Listed { len: 0, ..listed(8, 2000, 0, 0) });
    add(&mut window, 9, true);
    let report = |rendition, sequence, parts| RenditionReport { rendition, sequence, parts };
    let others = [report(Rendition::Audio, 9, 2), report(Rendition::P360, 8, 0)];
    let head = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=6,PART-HOLD-BACK=1.50000\n\
         #EXT-X-PART-INF:PART-TARGET=0.50000\n\
         #EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"12-3/source/init-0.mp4\"\n\
         #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34.123Z\n";
    let tail = "#EXTINF:2.00000,\n12-3/source/7.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:36.123Z\n#EXT-X-GAP\n#EXTINF:2.00000,\n12-3/source/8.m4s\n\
         #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:38.123Z\n\
         #EXT-X-PART:DURATION=0.50000,URI=\"12-3/source/9.0.m4s\",INDEPENDENT=YES\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"12-3/source/9.1.m4s\"\n\
         #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=9,LAST-PART=1\n\
         #EXT-X-RENDITION-REPORT:URI=\"360p.m3u8\",LAST-MSN=8\n";
    // The gap has no parts, so the parts before it are not listed either.
    assert_eq!(window.render_live(&setting(&others, false)), format!("{head}{tail}"));
    assert!(!window.render("12-3/source").contains("PART"), "files are not there for parts");
}

#[test]
fn parts_of_a_whole_segment_stand_before_it() {
    let mut window = with_parts(3);
    (0..4).for_each(|i| add(&mut window, 7, i == 0));
    window.push(listed(7, 2000, 0, 0));
    let text = window.render_live(&setting(&[], false));
    assert!(
        text.ends_with(
            "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:34.123Z\n\
             #EXT-X-PART:DURATION=0.50000,URI=\"12-3/source/7.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.50000,URI=\"12-3/source/7.1.m4s\"\n\
             #EXT-X-PART:DURATION=0.50000,URI=\"12-3/source/7.2.m4s\"\n\
             #EXT-X-PART:DURATION=0.50000,URI=\"12-3/source/7.3.m4s\"\n\
             #EXTINF:2.00000,\n12-3/source/7.m4s\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"12-3/source/8.0.m4s\"\n"
        ),
        "{text}"
    );
}

#[test]
fn an_update_leaves_out_what_is_older_than_the_skip_boundary() {
    let mut window = with_parts(12);
    (0..12).for_each(|i| drop(window.push(listed(i, 2000, u64::from(i > 4), u64::from(i > 4)))));
    let whole = window.render_live(&setting(&[], false));
    assert!(whole.contains("CAN-SKIP-UNTIL=12,"), "{whole}");
    let update = window.render_live(&setting(&[], true));
    assert!(update.contains("#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n#EXT-X-DISCONTINUITY\n"));
    assert!(!update.contains("/4.m4s") && update.contains("/5.m4s"), "{update}");
    assert!(update.contains("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "{update}");
    // All that was not skipped stands there as before.
    assert!(whole.ends_with(update.split_once("SKIPPED-SEGMENTS=5\n").unwrap().1));
}

#[test]
fn a_window_that_is_not_longer_than_the_skip_boundary_offers_no_updates() {
    let mut window = with_parts(6);
    (0..9).for_each(|i| drop(window.push(listed(i, 1000, 0, 0))));
    let update = window.render_live(&setting(&[], true));
    assert!(!update.contains("SKIP"), "{update}");
}

#[test]
fn the_target_duration_is_that_of_the_stream() {
    let mut window = with_parts(3);
    window.push(listed(7, 2000, 0, 0));
    let text = window.render_live(&Setting { target_s: 5, ..setting(&[], false) });
    assert!(text.contains("#EXT-X-TARGETDURATION:5\n") && text.contains(",HOLD-BACK=15,"), "{text}");
}

#[test]
fn dates() {
    for (seconds, want) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199, "2024-02-29T23:59:59.000Z"),
        (4_102_444_800, "2100-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(rfc3339_ms(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), want);
    }
}

/// Its number as its URI has it, and its duration; the newest may have none yet.
type ReadSegment = (u64, f64);
/// Its duration, and whether it is independent.
type ReadPart = (f64, bool);

/// A playlist as a player reads it.
#[derive(Debug, Default)]
struct Read {
    target: u64,
    sequence: u64,
    discontinuity: u64,
    skipped: u64,
    part_target: f64,
    segments: Vec<(Option<ReadSegment>, Vec<ReadPart>)>,
    breaks: u64,
    hint: Option<String>,
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.split_once(&format!("{name}="))?.1;
    Some(rest.split(',').next().unwrap_or(rest).trim_matches('"'))
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    let (mut parts, mut duration) = (Vec::new(), 0.0);
    for line in text.lines() {
        let value = line.split_once(':').map_or("", |(_, value)| value);
        match line.split(':').next().unwrap() {
            "#EXT-X-TARGETDURATION" => read.target = value.parse().unwrap(),
            "#EXT-X-MEDIA-SEQUENCE" => read.sequence = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => read.discontinuity = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY" => read.breaks += 1,
            "#EXT-X-SKIP" => read.skipped = attribute(value, "SKIPPED-SEGMENTS").unwrap().parse().unwrap(),
            "#EXT-X-PART-INF" => read.part_target = attribute(value, "PART-TARGET").unwrap().parse().unwrap(),
            "#EXT-X-SERVER-CONTROL" => {
                let seconds = |name| attribute(value, name).unwrap().parse::<f64>().unwrap();
                assert!(seconds(",HOLD-BACK") >= 3.0 * read.target as f64);
                read.part_target = seconds("PART-HOLD-BACK") / 3.0;
            }
            "#EXT-X-PART" => {
                let independent = line.ends_with(",INDEPENDENT=YES");
                parts.push((attribute(value, "DURATION").unwrap().parse().unwrap(), independent));
            }
            "#EXT-X-PRELOAD-HINT" => read.hint = attribute(value, "URI").map(Into::into),
            "#EXTINF" => duration = value.trim_end_matches(',').parse().unwrap(),
            uri if !uri.starts_with('#') => {
                let sequence = uri.strip_prefix("p/").unwrap().strip_suffix(".m4s").unwrap().parse().unwrap();
                read.segments.push((Some((sequence, duration)), std::mem::take(&mut parts)));
            }
            _ => {}
        }
    }
    if !parts.is_empty() {
        read.segments.push((None, parts));
    }
    read
}

/// A change of a window.
#[derive(Clone, Debug)]
enum Step {
    Part {
        ms: u64,
        independent: bool,
    },
    /// A segment of the parts so far, or of none.
    Close,
    Break,
    Hole,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = |ms: std::ops::Range<u64>| {
        (ms, prop::bool::weighted(0.3)).prop_map(|(ms, independent)| Step::Part { ms, independent })
    };
    let step = prop_oneof![
        20 => part(425..501),
        4 => part(0..560),
        6 => Just(Step::Close),
        1 => Just(Step::Break),
        1 => Just(Step::Hole),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..160)
}

proptest! {
    /// Rules of RFC 8216bis sections 4.4.3, 4.4.4.9, 4.4.5, 6.2.1 and 6.2.2.
    #[test]
    fn any_playlist_keeps_the_rules(steps in steps(), max in 1usize..12) {
        let mut window = with_parts(max);
        let (mut sequence, mut discontinuity, mut made, mut last) = (100u64, 3u64, Vec::<u64>::new(), None);
        for step in steps {
            match step {
                Step::Part { ms, independent } => {
                    let bytes = vec![Bytes::from(vec![0; ms as usize])];
                    let opening = Opening { sequence, discontinuity, init: 0, at: at(sequence) };
                    window.add_part(Part { duration: Duration::from_millis(ms), independent, bytes }, opening);
                    made.push(ms);
                }
                Step::Close => {
                    let ms = if made.is_empty() { 1966 } else { made.drain(..).sum() };
                    window.push(Listed { len: ms, ..listed(sequence, ms, discontinuity, 0) });
                    sequence += 1;
                }
                Step::Break => discontinuity += u64::from(made.is_empty()),
                Step::Hole => sequence += u64::from(made.is_empty()),
                Step::Clear => {
                    window.clear();
                    made.clear();
                    sequence += 1;
                }
            }
            if window.is_empty() {
                continue;
            }
            let setting = Setting { prefix: "p", target_s: 2, others: &[], skip: false };
            let text = window.render_live(&setting);
            let whole = read(&text);
            // Segments.
            for (i, (segment, _)) in whole.segments.iter().enumerate() {
                if let Some((number, duration)) = segment {
                    prop_assert_eq!(*number, whole.sequence + i as u64);
                    prop_assert!(duration.round() as u64 <= whole.target);
                }
            }
            prop_assert!(window.len() <= max * 4);
            // Parts.
            let tags: Vec<_> = whole.segments.iter().map(|(_, parts)| !parts.is_empty()).collect();
            let first = tags.iter().position(|tagged| *tagged).unwrap_or(tags.len());
            let closed = tags.len() - usize::from(whole.segments.last().is_some_and(|(segment, _)| segment.is_none()));
            prop_assert!(tags[first..].iter().all(|tagged| *tagged), "{}", text);
            for (i, (segment, parts)) in whole.segments.iter().enumerate() {
                for (j, (duration, independent)) in parts.iter().enumerate() {
                    prop_assert!(*duration > 0.0 && *duration <= whole.part_target, "{}", text);
                    let is_last = segment.is_some() && j + 1 == parts.len();
                    prop_assert!(*duration >= 0.85 * whole.part_target - 1e-5 || *independent || is_last, "{}", text);
                }
                if let (Some((_, duration)), false) = (segment, parts.is_empty()) {
                    let sum: f64 = parts.iter().map(|(duration, _)| duration).sum();
                    prop_assert!((sum - duration).abs() < 1e-3, "{}", text);
                    let after: f64 = whole.segments[i..closed].iter().map(|(s, _)| s.map_or(0.0, |s| s.1)).sum();
                    prop_assert!(after <= 3.0 * whole.target as f64 + 1e-3, "{}", text);
                }
            }
            // The hinted part comes next in the segment that is made, or is the first of a later one.
            let (newest, count) = window.newest().unwrap();
            let (sequence, index) = window.next_part().unwrap();
            prop_assert!((sequence, index) == (newest, count) || (sequence > newest && index == 0), "{}", text);
            prop_assert_eq!(&whole.hint, &Some(format!("p/{sequence}.{index}.m4s")));
            // Never back.
            if let Some((target, media, disc)) = last {
                prop_assert!(whole.target >= target && whole.sequence >= media && whole.discontinuity >= disc);
            }
            last = Some((whole.target, whole.sequence, whole.discontinuity));
            // An update together with the skipped segments is the whole playlist.
            let update = window.render_live(&Setting { skip: true, ..setting });
            let skipped = read(&update).skipped as usize;
            let kept: f64 = whole.segments[skipped..closed].iter().map(|(s, _)| s.map_or(0.0, |s| s.1)).sum();
            prop_assert!(skipped == 0 || kept >= 6.0 * whole.target as f64 - 1e-3);
            prop_assert_eq!(skipped + read(&update).segments.len(), whole.segments.len());
            let rest = update.split_once("#EXT-X-SKIP").map_or(update.as_str(), |(_, rest)| rest.split_once('\n').unwrap().1);
            prop_assert!(text.ends_with(rest));
        }
    }

    /// Rules of RFC 8216 sections 6.2.1 and 6.2.2 for two versions of a playlist.
    #[test]
    fn sequences_never_go_back(segments in prop::collection::vec((100u64..9000, prop::bool::weighted(0.2)), 1..80), max in 1usize..10) {
        let mut window = Window::new(max, Duration::from_secs(2), None);
        let (mut discontinuity, mut last) = (3, None);
        for (i, (ms, breaks)) in segments.into_iter().enumerate() {
            discontinuity += u64::from(breaks);
            window.push(listed(i as u64, ms, discontinuity, 0));
            let now = read(&window.render("p"));
            prop_assert!(now.target >= (ms + 500) / 1000);
            if let Some((target, media, disc)) = last {
                prop_assert!(now.target >= target && now.sequence >= media && now.discontinuity >= disc);
            }
            // The number of the last segment is the first one's plus the tags between them.
            prop_assert_eq!(now.discontinuity + now.breaks, discontinuity);
            last = Some((now.target, now.sequence, now.discontinuity));
        }
    }
}
