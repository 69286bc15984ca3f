//! Tests of listing, keeping and answering.

use super::*;
use crate::hls::parts::{MAX_OPEN_BYTES, MAX_PARTS};
use bytes::Bytes;

fn at(sequence: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + sequence * 2)
}

fn listed(sequence: u64, ms: u64, len: u64) -> Listed {
    let duration = Duration::from_millis(ms);
    Listed { sequence, duration, len, discontinuity: 0, init: 0, at: at(sequence) }
}

fn opening(sequence: u64) -> Opening {
    Opening { sequence, discontinuity: 0, init: 0, at: at(sequence) }
}

fn part(ms: u64, len: usize) -> Part {
    Part { duration: Duration::from_millis(ms), independent: false, bytes: vec![Bytes::from(vec![0; len])] }
}

fn key(ms: u64, len: usize) -> Part {
    Part { independent: true, ..part(ms, len) }
}

/// Segments of 2 s with parts of 500 ms.
fn with_parts(max: usize) -> Window {
    Window::new(max, Duration::from_secs(2), Some(PartTarget::new(Duration::from_millis(500))))
}

/// Parts of that many milliseconds, of as many bytes each, the first one independent.
fn add(window: &mut Window, sequence: u64, parts: &[u64]) {
    for (i, ms) in parts.iter().enumerate() {
        window.add_part(Part { independent: i == 0, ..part(*ms, *ms as usize) }, opening(sequence));
    }
}

fn segment(window: &mut Window, sequence: u64) -> Vec<Listed> {
    add(window, sequence, &[500; 4]);
    window.push(listed(sequence, 2000, 2000))
}

fn tagged(window: &Window) -> Vec<u64> {
    window.closed.iter().filter(|closed| closed.tagged).map(|closed| closed.sequence).collect()
}

#[test]
fn the_target_duration_is_that_of_the_longest_segment() {
    let mut window = Window::new(3, Duration::from_secs(2), None);
    assert_eq!(window.target_s(), 2);
    for (sequence, ms, want) in [(0, 2000, 2), (1, 4800, 5), (2, 1000, 5)] {
        window.push(listed(sequence, ms, 1));
        assert_eq!(window.target_s(), want, "{ms}");
    }
}

#[test]
fn the_oldest_goes_when_three_target_durations_are_left_without_it() {
    let mut window = Window::new(3, Duration::from_secs(2), None);
    let mut gone =
        |sequence, ms| window.push(listed(sequence, ms, 1)).into_iter().map(|s| s.sequence).collect::<Vec<_>>();
    (0..3).for_each(|i| assert!(gone(i, 2000).is_empty()));
    assert_eq!(gone(3, 2000), [0]);
    assert!(gone(4, 1500).is_empty(), "5.5 s would be left");
    assert_eq!(gone(5, 2000), [1]);
    assert_eq!((6..40).map(|i| gone(i, 100).len()).sum::<usize>(), 34 + 4 - 3 * MAX_STRETCH, "but not without end");
}

#[test]
fn is_shortened_from_the_oldest_down_to_the_least() {
    let mut window = Window::new(6, Duration::from_secs(2), None);
    (0..5).for_each(|i| drop(window.push(listed(i, 2000, 1))));
    let gone: Vec<_> = std::iter::from_fn(|| window.shorten(3)).map(|segment| segment.sequence).collect();
    assert_eq!(gone, [0, 1]);
    assert_eq!(window.len(), 3);
}

#[test]
fn numbers_without_a_hole_are_all_that_is_listed() {
    let mut window = with_parts(6);
    segment(&mut window, 7);
    segment(&mut window, 8);
    add(&mut window, 10, &[500]);
    assert_eq!(window.newest(), Some((8, 4)), "a part that does not follow is not listed");
    let gone: Vec<_> = window.push(listed(10, 2000, 9)).iter().map(|s| s.sequence).collect();
    assert_eq!((gone, window.len()), (vec![7, 8], 1));
    assert!(window.part(8, 3).is_some(), "for those who have the older playlist");
}

#[test]
fn is_playable_with_a_whole_segment_only() {
    let mut window = with_parts(3);
    add(&mut window, 7, &[500, 500]);
    assert!(!window.is_playable());
    window.push(listed(7, 1000, 0));
    assert!(!window.is_playable(), "a gap cannot be played");
    segment(&mut window, 8);
    assert!(window.is_playable());
    window.clear();
    assert!(!window.is_playable());
}

#[test]
fn a_short_part_waits_for_the_next_or_the_end() {
    let mut window = with_parts(3);
    window.add_part(key(100, 1), opening(7));
    assert_eq!(window.newest(), Some((7, 1)), "an independent one may be short");
    window.add_part(part(300, 2), opening(7));
    assert_eq!(window.newest(), Some((7, 1)));
    assert_eq!(window.next_part(), Some((7, 1)));
    window.add_part(key(150, 3), opening(7));
    assert!(matches!(window.part(7, 1), Some(PartPlace::Memory(bytes)) if bytes.len() == 2));
    let marks = &window.open.as_ref().unwrap().marks;
    assert!(marks[1].independent && marks[1].duration == Duration::from_millis(450));
    window.add_part(part(425, 4), opening(7));
    window.add_part(part(10, 5), opening(7));
    assert_eq!(window.newest(), Some((7, 3)));
    window.push(listed(7, 985, 15));
    assert_eq!(window.newest(), Some((7, 4)));
    assert_eq!(window.part(7, 3), Some(PartPlace::Range { sequence: 7, offset: 10, len: 5 }));
    assert_eq!(tagged(&window), [7]);
}

#[test]
fn a_part_that_is_too_long_ends_the_parts_of_its_segment_and_those_before() {
    for parts in [&[500, 501][..], &[500, 300, 400, 500], &[500, 500, 0, 600]] {
        let mut window = with_parts(3);
        segment(&mut window, 6);
        add(&mut window, 7, parts);
        let before = window.newest().unwrap();
        add(&mut window, 7, &[500, 500]);
        assert_eq!(window.newest(), Some(before), "{parts:?}");
        assert_eq!(window.next_part(), Some((8, 0)));
        window.push(listed(7, 2000, 2000));
        assert_eq!(tagged(&window), [0u64; 0], "{parts:?}: a segment has all of its parts listed or none");
        assert!(window.part(7, 0).is_some() && window.part(6, 3).is_some());
        segment(&mut window, 8);
        assert_eq!(tagged(&window), [8]);
    }
}

#[test]
fn parts_that_are_not_the_file_are_not_listed() {
    for len in [1999, 2001] {
        let mut window = with_parts(3);
        add(&mut window, 7, &[500; 4]);
        window.push(listed(7, 2000, len));
        assert_eq!(tagged(&window), [0u64; 0], "{len}");
        assert_eq!(window.part(7, 3).is_some(), len > 2000, "{len}");
    }
}

#[test]
fn nothing_is_listed_of_a_segment_that_turns_out_to_be_a_gap() {
    let mut window = with_parts(3);
    segment(&mut window, 6);
    window.add_part(part(0, 0), opening(7));
    window.push(listed(7, 2000, 0));
    assert_eq!((tagged(&window), window.part(7, 0)), (vec![], None));
}

#[test]
fn what_is_kept_of_a_segment_that_is_made_has_a_bound() {
    let mut window = with_parts(3);
    (0..MAX_PARTS + 9).for_each(|_| window.add_part(part(500, 1), opening(7)));
    assert_eq!(window.newest(), Some((7, MAX_PARTS as u64)));
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    let big = Part { duration: Duration::from_millis(500), independent: true, bytes: vec![megabyte; 3] };
    (0..9).for_each(|_| window.add_part(big.clone(), opening(8)));
    assert_eq!(window.newest(), Some((8, MAX_OPEN_BYTES / big.len())), "and a stale segment is dropped for it");
    assert_eq!(window.part(7, 0), None);
}

#[test]
fn parts_are_listed_near_the_end_and_can_be_had_for_longer() {
    let mut window = with_parts(3);
    for sequence in 0..20 {
        segment(&mut window, sequence);
    }
    assert_eq!(tagged(&window), [17, 18, 19]);
    add(&mut window, 20, &[500]);
    assert_eq!(tagged(&window), [18, 19]);
    window.clear();
    assert_eq!(tagged(&window), [0u64; 0]);
    assert_eq!(window.part(20, 0), None);
    assert!((12..20).all(|sequence| window.part(sequence, 3).is_some()));
    assert_eq!(window.part(11, 0), None);
    assert_eq!(window.part(19, 4), None);
    assert_eq!(window.part(19, u64::MAX), None);
}

#[test]
fn what_is_known_of_parts_has_a_bound_when_segments_are_tiny() {
    let mut window = Window::new(60, Duration::from_secs(10), Some(PartTarget::new(Duration::from_secs(1))));
    (0..500).for_each(|sequence| drop(window.push(listed(sequence, 10, 1))));
    assert_eq!(window.closed.len(), MAX_CLOSED);
}

#[test]
fn what_was_said_with_the_first_part_stays() {
    let mut window = with_parts(3);
    window.add_part(key(500, 500), Opening { discontinuity: 4, init: 2, ..opening(7) });
    window.push(Listed { at: at(9), ..listed(7, 500, 500) });
    let first = window.listed.front().unwrap();
    assert_eq!((first.discontinuity, first.init, first.at), (4, 2, at(7)));
}

#[test]
fn blocking_requests() {
    use Answer::{Ready, TooFar, Wait};
    let mut window = with_parts(6);
    assert_eq!(window.answers(1 << 40, None), Wait, "nothing is known yet");
    (10..13).for_each(|sequence| drop(segment(&mut window, sequence)));
    for (msn, part, want) in [
        (0, None, Ready),
        (0, Some(99), Ready),
        (12, None, Ready),
        (12, Some(3), Ready),
        (12, Some(4), Wait),
        (11, Some(4), Ready),
        (13, None, Wait),
        (13, Some(0), Wait),
        (13, Some(6), Wait),
        (13, Some(7), TooFar),
        (14, None, Wait),
        (15, None, TooFar),
        (u64::MAX, Some(u64::MAX), TooFar),
        (13, Some(u64::MAX), TooFar),
    ] {
        assert_eq!(window.answers(msn, part), want, "{msn} {part:?}");
    }
    add(&mut window, 13, &[500, 500]);
    for (msn, part, want) in [
        (12, Some(4), Ready),
        (13, None, Wait),
        (13, Some(1), Ready),
        (13, Some(2), Wait),
        (13, Some(8), Wait),
        (13, Some(9), TooFar),
        (14, Some(0), Wait),
        (15, None, TooFar),
    ] {
        assert_eq!(window.answers(msn, part), want, "{msn} {part:?}");
    }
    window.push(listed(13, 2000, 2000));
    assert_eq!(window.answers(13, None), Ready);
    assert_eq!(window.answers(13, Some(2)), Wait, "it had two parts: the next is the first of 14");
    add(&mut window, 14, &[500]);
    assert_eq!(window.answers(13, Some(2)), Ready);
}

#[test]
fn without_parts_nobody_waits_and_parts_are_not_kept() {
    let mut window = Window::new(3, Duration::from_secs(2), None);
    add(&mut window, 7, &[500]);
    assert_eq!((window.newest(), window.next_part(), window.part(7, 0)), (None, None, None));
    segment(&mut window, 7);
    assert_eq!(window.answers(99, Some(3)), Answer::Ready);
    assert!(window.closed.is_empty());
}

#[test]
fn bandwidth_is_of_what_was_made() {
    let mut window = Window::new(9, Duration::from_secs(2), None);
    assert_eq!(window.bandwidth(), (0, 0));
    for (sequence, ms, len) in [(0, 2000, 1000), (1, 2000, 0), (2, 1000, 2000), (3, 0, 7)] {
        window.push(listed(sequence, ms, len));
    }
    assert_eq!(window.bandwidth(), (16_000, 8_019));
}

#[test]
fn a_part_target_is_filled_by_whole_pictures() {
    let ms = Duration::from_millis;
    for (wanted, fps, segment_ms, want) in [
        (333, 30.0, 2000, Some(350)),
        (333, 25.0, 2000, Some(378)),
        (333, 5.0, 2000, Some(420)),
        (200, 12.5, 2000, Some(252)),
        (333, 1.0, 2000, None),
        (333, 1.0, 4000, Some(1050)),
        (1000, 30.0, 2000, None),
        (0, 30.0, 2000, None),
    ] {
        let frame = Duration::from_secs_f64(1.0 / fps);
        let target = PartTarget::for_pictures(ms(wanted), frame, ms(segment_ms));
        assert_eq!(target.map(|target| target.duration().as_millis()), want, "{wanted} ms of {fps} pictures a second");
    }
    assert_eq!(PartTarget::for_pictures(ms(333), Duration::ZERO, ms(2000)), None);
    assert_eq!(PartTarget::new(Duration::from_nanos(333_333_333)).duration(), Duration::from_micros(333_340));
}
