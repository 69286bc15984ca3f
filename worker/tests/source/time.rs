//! Whatever a camera's stamps and clocks do, the session goes on.

use std::time::{Duration, SystemTime};

use rsm_worker::source::SourceUnit;

use crate::bench::units;
use crate::scripted::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scripted::scene::{Scene, SceneEnd, Step};

const MS: i64 = 1_000_000;

async fn stamped(stamps: &[u32]) -> Vec<SourceUnit> {
    let media = ScriptedClip::h264().steps(&mut Rtp::new(0, 96), stamps.iter().copied(), Duration::ZERO);
    units(Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(Section::h264()), media) }).await
}

#[tokio::test]
async fn stamps_may_wrap_jump_and_double() {
    const HOUR: u32 = 3600 * 90_000;
    for (stamps, steps_ms) in [
        (&[u32::MAX - 8999, 0, 9000, 18_000][..], &[100, 100, 100][..]),
        (&[0, 9000, 9000, 18_000], &[100, 0, 100]),
        (&[0, 9000, HOUR, HOUR + 9000], &[100, 3_599_900, 100]),
        (&[HOUR, HOUR + 9000, 0, 9000], &[100, -3_600_100, 100]),
        (&[0, 9000, 3000, 27_000], &[100, -66, 266]),
    ] {
        let units = stamped(stamps).await;
        let steps: Vec<_> = units.windows(2).map(|two| (two[1].time_ns - two[0].time_ns) / MS).collect();
        assert_eq!(steps, steps_ms, "{stamps:?}");
    }
}

/// Pictures and audio of one second, with reports by a clock that is ahead by `ahead` ms, at the times given.
async fn reported(ahead: i64, at: &[u32]) -> (Vec<SourceUnit>, Vec<SourceUnit>) {
    let (clip, mut pictures, mut audio) = (ScriptedClip::h264(), Rtp::new(0, 96), Rtp::new(1, 8));
    let now = SystemTime::now();
    let mut media = Vec::new();
    for tenth in 0..40u32 {
        // Audio's stamps begin an hour later than the pictures'.
        let (picture_stamp, audio_stamp) = (tenth * 9000, 3600 * 8000 + tenth * 800);
        if at.contains(&tenth) {
            let shown = now + Duration::from_millis(u64::from(tenth) * 100);
            let shown = match ahead < 0 {
                true => shown - Duration::from_millis(ahead.unsigned_abs()),
                false => shown + Duration::from_millis(ahead.unsigned_abs()),
            };
            // The report of the audio is half a second older than the other one.
            media.push(Step::Send(pictures.report(picture_stamp, shown)));
            media.push(Step::Send(audio.report(audio_stamp.wrapping_sub(4000), shown - Duration::from_millis(500))));
        }
        media.push(Step::Send(pictures.picture(&clip.pictures[tenth as usize % 10], picture_stamp, false)));
        media.push(Step::Send(audio.packet(audio_stamp, false, &[0; 80])));
    }
    let offer = Offer::default().and(Section::h264()).and(Section::pcma());
    let units = units(Scene { end: SceneEnd::Close, ..Scene::new(offer, media) }).await;
    units.into_iter().partition(|unit| unit.audio.is_none())
}

#[tokio::test]
async fn reports_join_audio_and_pictures() {
    let (pictures, audio) = reported(0, &[5, 20]).await;
    assert_eq!((pictures.len(), audio.len()), (40, 40));
    for (picture, audio) in pictures.iter().zip(&audio).skip(5) {
        assert!((picture.time_ns - audio.time_ns).abs() < MS, "{} {}", picture.time_ns, audio.time_ns);
    }
}

#[tokio::test]
async fn a_wrong_wall_clock_is_not_believed_and_a_credible_one_is() {
    // All pictures are sent at once, so the later ones were taken in the future of their arrival.
    let (pictures, _) = reported(-7_200_000, &[5, 20]).await;
    for unit in &pictures {
        let age = SystemTime::now().duration_since(unit.captured).unwrap();
        assert!(age < Duration::from_secs(60), "{age:?}");
    }
    let (pictures, _) = reported(-5500, &[5, 20]).await;
    let last = pictures.last().unwrap();
    let before = pictures[0].captured;
    assert!(last.captured < before, "taken some seconds before it arrived");
}
