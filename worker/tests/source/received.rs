//! Units of good and of middling cameras.

use std::time::Duration;

use rsm_media::parameters::{AudioCodec, VideoCodec};
use rsm_worker::source::error::SourceError;

use crate::bench::{all, opened, units};
use crate::scripted::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scripted::scene::{Act, Scene, SceneEnd, Step};

/// Pictures of the clip with audio between them.
fn scene(video: Section, audio: Section, clip: &ScriptedClip) -> Scene {
    let mut pictures = Rtp::new(0, video.payload_type);
    let mut frames = Rtp::new(1, audio.payload_type);
    let is_aac = audio.rtpmap.starts_with("mpeg4");
    let mut media = Vec::new();
    for number in 0..10 {
        media.extend(clip.steps(&mut pictures, [number * 9000], Duration::ZERO));
        let frame = [number as u8; 80];
        media.push(Step::Send(match is_aac {
            true => frames.aac(&frame, number * 1600),
            false => frames.packet(number * 800, true, &frame),
        }));
    }
    Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(video).and(audio), media) }
}

#[tokio::test]
async fn every_codec_with_every_audio() {
    let (h264, h265) = (ScriptedClip::h264(), ScriptedClip::h265());
    for (video, clip, codec) in [(Section::h264(), &h264, VideoCodec::H264), (Section::h265(), &h265, VideoCodec::H265)]
    {
        for (audio, heard) in [(Section::aac(), AudioCodec::Aac), (Section::pcma(), AudioCodec::Pcma)] {
            // `steps` of one picture always takes the first one, a key frame.
            let units = units(scene(video.clone(), audio, clip)).await;
            let (pictures, audio): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| unit.audio.is_none());
            assert_eq!((pictures.len(), audio.len()), (10, 10), "{codec:?} {heard:?}");
            assert!(pictures.iter().all(|unit| unit.is_key && unit.video.codec == codec && unit.video.width == 128));
            assert!(pictures.iter().all(|unit| unit.video.height == 72 && unit.video.reorder == Some(0)));
            let last = &audio[9];
            let parameters = last.audio.as_ref().unwrap();
            assert_eq!((parameters.codec, parameters.channels), (heard, 1));
            let (rate, config) = if heard == AudioCodec::Aac { (16_000, 2) } else { (8000, 0) };
            assert_eq!((parameters.sample_rate, parameters.codec_data.len()), (rate, config));
            assert_eq!(last.data[..], [9; 80]);
        }
    }
}

#[tokio::test]
async fn jpeg_and_its_size() {
    let mut rtp = Rtp::new(0, 26);
    let media = (0..3).map(|n| Step::Send(rtp.jpeg(640, 360, n * 9000))).collect();
    let scene = Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(Section::jpeg()), media) };
    let units = units(scene).await;
    assert_eq!(units.len(), 3);
    let video = &units[0].video;
    assert_eq!((video.codec, video.width, video.height), (VideoCodec::Jpeg, 640, 360));
    assert!(units.iter().all(|unit| unit.is_key && unit.data.starts_with(&[0xff, 0xd8])));
}

#[tokio::test]
async fn audio_that_is_refused_or_unknown_is_not_missed() {
    let clip = ScriptedClip::h264();
    for (audio, act, connections) in [
        (Section::pcma(), Act::Status(461, String::new()), 1),
        (Section::pcma(), Act::Status(500, String::new()), 1),
        (Section::pcma(), Act::Close, 2),
        (Section::pcma(), Act::Raw(b"RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n".to_vec()), 2),
        (Section::of("audio", "opus/48000/2"), Act::Answer, 1),
    ] {
        let mut scene = scene(Section::h264(), Section::pcma(), &clip);
        scene.sdp = Offer::default().and(Section::h264()).and(audio).sdp();
        scene.media.retain(|step| matches!(step, Step::Send(bytes) if bytes[1] == 0));
        scene.setups.push(("track8", act.clone()));
        let (camera, source) = opened(vec![scene]).await;
        let (units, _) = all(source.unwrap()).await;
        assert_eq!(units.iter().filter(|unit| unit.audio.is_none()).count(), 10, "{act:?}");
        assert_eq!(camera.connections(), connections, "{act:?}");
    }
}

#[tokio::test]
async fn descriptions_of_every_shape() {
    let clip = ScriptedClip::h264();
    let section = |control: Option<&str>| Section { control: control.map(str::to_owned), ..Section::h264() };
    let offer = |section| Offer::default().and(section);
    let whole = |session: &str| Offer { session: session.into(), ..offer(section(Some("track96"))) };
    for (offer, base, setup) in [
        (offer(section(Some("track96"))), None, "/cam1/track96"),
        (offer(section(Some("track96"))), Some("rtsp://127.0.0.1/base"), "/base/track96"),
        (offer(section(Some("track96"))), Some("rtsp://127.0.0.1/base/"), "/base/track96"),
        (offer(section(Some("rtsp://127.0.0.1/else/where"))), Some("rtsp://127.0.0.1/base/"), "/else/where"),
        (offer(section(None)), None, "/cam1"),
        (whole("a=control:*\r\n"), Some("rtsp://127.0.0.1/base/"), "/base/track96"),
        (whole("a=control:rtsp://127.0.0.1/all\r\n"), None, "/cam1/track96"),
        (offer(section(Some("track96"))).and(section(Some("second"))), None, "/cam1/track96"),
        (offer(Section::of("video", "MP4V-ES/90000")).and(section(Some("second"))), None, "/cam1/second"),
    ] {
        let media = clip.steps(&mut Rtp::new(0, 96), (0..5).map(|n| n * 9000), Duration::ZERO);
        let mut scene = Scene { end: SceneEnd::Close, ..Scene::new(offer, media) };
        scene.content_base = base.map(str::to_owned);
        let shown = format!("{} {base:?}", scene.sdp);
        let (camera, source) = opened(vec![scene]).await;
        let (units, error) = all(source.unwrap()).await;
        assert_eq!((units.len(), error), (5, SourceError::Ended), "{shown}");
        let requests = camera.requests();
        let asked: Vec<_> = requests.iter().filter(|r| r.method == "SETUP").map(|r| r.uri.as_str()).collect();
        assert!(asked.len() == 1 && asked[0].ends_with(setup), "{shown}: {asked:?}");
    }
}

#[tokio::test]
async fn torn_pictures_and_what_was_made_from_them_are_left_out() {
    let clip = ScriptedClip::h264();
    let mut rtp = Rtp::new(0, 96);
    let mut media = Vec::new();
    for (number, units) in clip.pictures.iter().enumerate() {
        let mut packets = rtp.packets(units, number as u32 * 9000, false);
        match number {
            // Its last packet is missing.
            1 => drop(packets.pop()),
            // So is this key frame's second one, of several.
            5 => drop(packets.remove(3)),
            _ => {}
        }
        media.push(Step::Send(packets.concat()));
    }
    media.extend(clip.steps(&mut rtp, (10..20).map(|n| n * 9000), Duration::ZERO));
    let scene = Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(Section::h264()), media) };
    let units = units(scene).await;
    let numbers: Vec<_> = units.iter().map(|unit| (unit.time_ns - units[0].time_ns + 500) / 100_000_000).collect();
    assert_eq!(numbers, [0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    assert!(units[1].is_key);
}

#[tokio::test]
async fn a_picture_is_known_once_its_parameter_sets_come() {
    let (whole, bare) = (ScriptedClip::h264(), ScriptedClip::h264().bare());
    let mut rtp = Rtp::new(0, 96);
    let mut media = bare.steps(&mut rtp, (0..10).map(|n| n * 9000), Duration::ZERO);
    media.extend(whole.steps(&mut rtp, (10..20).map(|n| n * 9000), Duration::ZERO));
    let scene = Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(Section::h264_bare()), media) };
    let units = units(scene).await;
    assert_eq!((units.len(), units[0].is_key, units[0].video.width), (10, true, 128));
}

#[tokio::test]
async fn another_size_in_mid_stream_is_another_set_of_parameters() {
    let (mut rtp, mut media) = (Rtp::new(0, 26), Vec::new());
    for (number, width) in [640, 640, 320, 320].into_iter().enumerate() {
        media.push(Step::Send(rtp.jpeg(width, 360, number as u32 * 9000)));
    }
    let scene = Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(Section::jpeg()), media) };
    let widths: Vec<_> = units(scene).await.iter().map(|unit| unit.video.width).collect();
    assert_eq!(widths, [640, 640, 320, 320]);
    // 2048 pixels: a header that says zero.
    let media = vec![Step::Send(rtp.jpeg(2048, 360, 0))];
    let (_camera, source) = opened(vec![Scene::new(Offer::default().and(Section::jpeg()), media)]).await;
    let (_, error) = all(source.unwrap()).await;
    assert!(error == SourceError::BadVideo && error.may_suit_rtspsrc());
}
