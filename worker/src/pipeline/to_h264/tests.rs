use rsm_shared::stream::rendition::Rendition;

use super::*;
use crate::pipeline::test_clip::{Clip, ClipStyle};

const CLIP: Clip = Clip { width: 1280, height: 720, fps: 25, pictures: 75, group: 25, b_pictures: 0 };

async fn encoded(
    units: &[AccessUnit],
    rendition: Rendition,
    fps: Option<f64>,
    hardware: &Hardware,
    backlog: usize,
) -> (EncodedForm, Vec<EncodedFrame>) {
    let video = &units[0].video;
    let form = form(video, fps, rendition).unwrap();
    let (mut pipeline, mut receiver) = EncoderPipeline::start(video, &form, fps, hardware).await.unwrap();
    let mut pictures = Vec::new();
    {
        let (feeder, failed) = pipeline.split();
        let fed = async {
            for (i, unit) in units.iter().enumerate() {
                feeder.push(unit, i >= backlog).await.unwrap();
            }
            feeder.end();
        };
        let taken = async {
            while let Some(picture) = receiver.recv().await {
                pictures.push(picture);
            }
        };
        tokio::select! {
            done = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(fed, taken) }) => { done.unwrap(); }
            error = failed => panic!("{error}"),
        }
    }
    pipeline.stop().await;
    (form, pictures)
}

fn decoded(pictures: &[EncodedFrame]) -> VideoParameters {
    VideoParameters::from_avcc(pictures[0].codec_data.clone()).unwrap()
}

fn times(pictures: &[EncodedFrame]) -> Vec<Duration> {
    pictures.iter().map(|picture| picture.pts).collect()
}

fn keys(pictures: &[EncodedFrame]) -> Vec<u128> {
    pictures.iter().filter(|picture| picture.is_key).map(|picture| picture.pts.as_millis()).collect()
}

#[tokio::test]
async fn every_codec_becomes_what_was_declared_with_the_key_frames_of_the_source() {
    for (codec, format, b_pictures) in [
        (VideoCodec::H264, "I420", 0),
        (VideoCodec::H264, "I420", 2),
        (VideoCodec::H265, "I420", 2),
        (VideoCodec::H265, "I420_10LE", 0),
        (VideoCodec::Jpeg, "Y42B", 0),
        (VideoCodec::Jpeg, "I420", 0),
    ] {
        let units = Clip { b_pictures, ..CLIP }.encode_as(ClipStyle { codec, format, ..ClipStyle::PLAIN });
        let (form, pictures) = encoded(&units, Rendition::P360, Some(25.0), &Hardware::software(), 0).await;
        let video = decoded(&pictures);
        let shape = (video.width, video.height, video.rfc6381.as_str(), video.reorder);
        assert_eq!(shape, (640, 360, form.rfc6381.as_str(), Some(0)), "{codec:?} {format}");
        let mut want: Vec<_> = units.iter().map(|unit| unit.pts).collect();
        want.sort_unstable();
        assert_eq!(times(&pictures), want, "{codec:?} {format} {b_pictures}");
        assert_eq!(keys(&pictures), [0, 1000, 2000], "{codec:?} {format} {b_pictures}");
    }
}

#[tokio::test]
async fn what_is_fast_is_halved_and_keeps_its_key_frames() {
    let units = Clip { fps: 50, pictures: 100, group: 33, ..CLIP }.encode();
    let (_, pictures) = encoded(&units, Rendition::P360, Some(50.0), &Hardware::software(), 0).await;
    assert_eq!(keys(&pictures), [0, 660, 1320, 1980]);
    assert!((49..=53).contains(&pictures.len()), "{}", pictures.len());
    let (_, pictures) = encoded(&units, Rendition::H264, Some(50.0), &Hardware::software(), 0).await;
    assert_eq!(pictures.len(), 100);
}

#[tokio::test]
async fn the_backlog_is_decoded_and_not_encoded() {
    let units = CLIP.encode();
    let (_, pictures) = encoded(&units, Rendition::P360, None, &Hardware::software(), 40).await;
    assert_eq!((pictures.len(), keys(&pictures)), (35, vec![1600, 2000]));
}

#[tokio::test]
async fn the_declared_rate_holds_for_noise_whatever_rate_the_camera_tells() {
    let clip = Clip { fps: 30, pictures: 120, group: 30, width: 640, height: 480, ..CLIP };
    let units = clip.encode_as(ClipStyle { pattern: "snow", ..ClipStyle::PLAIN });
    for told in [Some(15.0), Some(30.0), None] {
        let (form, pictures) = encoded(&units, Rendition::P240, told, &Hardware::software(), 0).await;
        let second = Duration::from_secs(1);
        let bits_from = |from: Duration| -> u64 {
            let within = |picture: &&EncodedFrame| picture.pts >= from && picture.pts < from + second;
            pictures.iter().filter(within).map(|picture| picture.data.len() as u64 * 8).sum()
        };
        let worst = pictures.iter().map(|picture| bits_from(picture.pts)).max().unwrap();
        let average = pictures.iter().map(|picture| picture.data.len() as u64 * 8).sum::<u64>() / 4;
        println!("{told:?}: worst {worst}, average {average}, {form:?}");
        assert!(worst <= form.peak_bps * 5 / 4, "{told:?}: {worst} of {}", form.peak_bps);
        // It is bounded, not starved.
        assert!(average > form.average_bps / 2, "{told:?}: {average} of {}", form.average_bps);
    }
}

#[tokio::test]
async fn another_encoder_gives_the_same() {
    let mut config = rsm_shared::config::Config::load(None, &[]).unwrap();
    config.worker.h264_encoder = "openh264enc".into();
    elements::init().unwrap();
    let hardware = Hardware::find(&config.worker).unwrap();
    assert_eq!(hardware.encoder(), "openh264enc");
    let (form, pictures) = encoded(&CLIP.encode(), Rendition::P360, Some(25.0), &hardware, 0).await;
    assert_eq!((decoded(&pictures).rfc6381, pictures.len()), (form.rfc6381, 75));
    assert_eq!(keys(&pictures), [0, 1000, 2000]);
    // No parameter sets in the pictures.
    assert!(pictures.iter().all(|picture| !matches!(picture.data[4] & 0x1f, 7..=9)));
}

#[tokio::test]
async fn it_stops_while_nobody_takes_what_it_made() {
    let units = CLIP.encode();
    let video = &units[0].video;
    let form = form(video, None, Rendition::P360).unwrap();
    let (mut pipeline, receiver) = EncoderPipeline::start(video, &form, None, &Hardware::software()).await.unwrap();
    {
        let (feeder, _failed) = pipeline.split();
        // More than fits.
        let all = async {
            for unit in &units {
                feeder.push(unit, true).await.unwrap();
            }
        };
        tokio::pin!(all);
        while receiver.len() < MAX_WAITING {
            tokio::select! {
                () = &mut all => break,
                () = tokio::task::yield_now() => {}
            }
        }
    }
    assert_eq!(receiver.len(), MAX_WAITING);
    tokio::time::timeout(Duration::from_secs(2), pipeline.stop()).await.unwrap();
}

#[test]
fn a_key_frame_that_is_not_shown_is_made_up_for() {
    let ms = Duration::from_millis;
    let mut gate = GateState::new(false, 2);
    for (pts, is_key, shown) in [(0, true, false), (20, false, true), (40, true, true), (60, false, true)] {
        gate.comes(ms(pts), is_key, shown);
    }
    let fates: Vec<_> = [0, 20, 40, 60, 80].map(|pts| gate.decoded(ms(pts))).into();
    assert_eq!(fates, [Fate::Drop, Fate::EncodeAsKey, Fate::EncodeAsKey, Fate::Drop, Fate::Encode]);
    (0..1000).for_each(|i| gate.comes(ms(1000 + i), true, true));
    assert_eq!(gate.keys.len(), MAX_KEYS);
}
