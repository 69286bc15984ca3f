//! Faults of cameras, and the sentence that an operator reads.

use std::time::Duration;

use rsm_worker::source::error::SourceError;

use crate::bench::{RETRY, fault, open_link, opened};
use crate::scripted::ScriptedCamera;
use crate::scripted::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scripted::scene::{Act, Scene, SceneEnd, Step};

fn good() -> Scene {
    let mut rtp = Rtp::new(0, 96);
    let media = ScriptedClip::h264().steps(&mut rtp, (0..10).map(|n| n * 9000), Duration::ZERO);
    Scene { end: SceneEnd::Close, ..Scene::new(Offer::default().and(Section::h264()), media) }
}

fn offering(sections: &[Section]) -> Scene {
    Scene::new(Offer { sections: sections.to_vec(), ..Offer::default() }, vec![])
}

#[tokio::test]
async fn statuses() {
    for (status, want) in [
        (401, SourceError::CredentialsNeeded(401, RETRY)),
        (403, SourceError::CredentialsNeeded(403, RETRY)),
        (404, SourceError::NotFound(404)),
        (453, SourceError::Busy(453)),
        (461, SourceError::TransportRefused),
        (500, SourceError::Status(500)),
        (503, SourceError::Busy(503)),
    ] {
        for method in ["DESCRIBE", "SETUP", "PLAY"] {
            let scene = good().with(method, Act::Status(status, String::new()));
            assert_eq!(fault(scene).await, want, "{status} to {method}");
        }
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let raw = |text: &str| Act::Raw(text.as_bytes().to_vec());
    for (method, act, want) in [
        ("DESCRIBE", Act::Close, SourceError::Ended),
        ("DESCRIBE", Act::Reset, SourceError::Ended),
        ("SETUP", Act::Close, SourceError::Ended),
        ("PLAY", Act::Close, SourceError::Ended),
        ("DESCRIBE", raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), SourceError::NotRtsp),
        ("DESCRIBE", raw("\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n"), SourceError::NotRtsp),
        ("DESCRIBE", raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), SourceError::NotRtsp),
        ("DESCRIBE", raw("RTSP/1.0 200 OK\r\n\r\n"), SourceError::ProtocolAtOpen),
        ("DESCRIBE", raw("RTSP/1.0 200 OK\r\nCSeq: 77\r\n\r\n"), SourceError::ProtocolAtOpen),
        ("SETUP", raw("RTSP/1.0 200 OK\r\nCSeq: 2\r\n\r\n"), SourceError::ProtocolAtOpen),
    ] {
        let shown = format!("{method}: {act:?}");
        assert_eq!(fault(good().with(method, act)).await, want, "{shown}");
    }
}

#[tokio::test]
async fn what_is_no_rtsp_server_at_all() {
    let at_once = Scene { end_at_once: true, ..good() };
    assert_eq!(fault(at_once).await, SourceError::Ended);
    let banner = Scene { greeting: Some(b"220 mail.example ESMTP\r\n".to_vec()), ..good() };
    assert_eq!(fault(banner).await, SourceError::NotRtsp);
    let cut = Scene { greeting: Some(b"\x01\x02binary".to_vec()), end_at_once: true, ..good() };
    assert!(matches!(fault(cut).await, SourceError::NotRtsp | SourceError::Ended));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("rtsp://{}/x", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(open_link(&nobody, Duration::from_secs(5)).await.err(), Some(SourceError::Refused));
}

#[tokio::test]
async fn each_step_has_its_deadline() {
    let step = Duration::from_millis(300);
    for act in [Act::Silence, Act::Drip(Duration::from_secs(1))] {
        for method in ["DESCRIBE", "SETUP", "PLAY"] {
            let camera = ScriptedCamera::start(vec![good().with(method, act.clone())]).await;
            let error = open_link(&camera.url(""), step).await.err();
            assert_eq!(error, Some(SourceError::NoAnswer(step)), "{method} {act:?}");
        }
    }
}

#[tokio::test]
async fn descriptions_without_usable_video() {
    for (sections, want) in [
        (vec![Section::pcma()], vec![]),
        (vec![Section::of("video", "VP8/90000"), Section::aac()], vec!["vp8".to_owned()]),
        (vec![Section::of("application", "vnd.onvif.metadata/90000")], vec![]),
    ] {
        assert_eq!(fault(offering(&sections)).await, SourceError::NoVideo(want));
    }
    let empty = Scene { sdp: "this is none".into(), ..good() };
    assert_eq!(fault(empty).await, SourceError::ProtocolAtOpen);
}

#[tokio::test]
async fn media_that_breaks() {
    let mut rtp = Rtp::new(0, 96);
    let steps = ScriptedClip::h264().steps(&mut rtp, [0, 9000], Duration::ZERO);
    let garbage = |bytes: &[u8]| {
        let mut scene = good();
        scene.media = steps.clone();
        scene.media.push(Step::Send(bytes.to_vec()));
        scene
    };
    // Garbage where packets should be, an RTP header of no version, and a packet that is cut off.
    assert_eq!(fault(garbage(b"what is this?\r\n\r\n")).await, SourceError::ProtocolAtOpen);
    assert_eq!(fault(garbage(b"$\x00\x00\x0cnot RTP here")).await, SourceError::ProtocolAtOpen);
    assert!(matches!(fault(garbage(b"$\x00\x10\x00cut")).await, SourceError::Ended | SourceError::ProtocolAtOpen));
}

#[tokio::test]
async fn a_camera_that_reboots_is_reset_then_refused_then_fine() {
    let (camera, source) = opened(vec![good()]).await;
    assert!(source.is_ok());
    let link = camera.url("");
    drop(camera);
    let (units, error) = crate::bench::all(source.unwrap()).await;
    assert!(matches!(error, SourceError::Ended | SourceError::ProtocolAtOpen), "{error}, {}", units.len());
    assert_eq!(open_link(&link, Duration::from_secs(5)).await.err(), Some(SourceError::Refused));
}

/// Every kind of stream, with a byte or several changed, left out or doubled: whatever comes of it, the session ends
/// by itself and with a reason.
#[tokio::test]
async fn damaged_packets_of_every_kind_end_sessions_and_nothing_else() {
    let (mut random, mut ended) = (0x9e37_79b9_u64, 0);
    let mut below = move |bound: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % bound
    };
    for _ in 0..400 {
        let (h264, h265) = (ScriptedClip::h264(), ScriptedClip::h265());
        let (video, clip) = [(Section::h264(), &h264), (Section::h265(), &h265)][below(2)].clone();
        let (mut pictures, mut audio) = (Rtp::new(0, video.payload_type), Rtp::new(1, 97));
        let mut packets = Vec::new();
        for number in 0..10u32 {
            packets.extend(pictures.packets(&clip.pictures[number as usize], number * 9000, video.payload_type == 98));
            packets.push(audio.aac(&[7; 60], number * 1600));
            packets.push(audio.report(number * 1600, std::time::SystemTime::now()));
        }
        for _ in 0..=below(4) {
            let (packet, kind) = (below(packets.len()), below(4));
            // Behind the interleaved header, which only a broken TCP would change.
            let at = 4 + below(packets[packet].len() - 4);
            match kind {
                0 => packets[packet][at] ^= 1 << below(8),
                1 => packets[packet][at] = below(256) as u8,
                2 => drop(packets.remove(packet)),
                _ => packets.insert(packet, packets[packet].clone()),
            }
        }
        let media = packets.into_iter().map(Step::Send).collect();
        let offer = Offer::default().and(video).and(Section::aac());
        let error = fault(Scene { end: SceneEnd::Close, ..Scene::new(offer, media) }).await;
        let expected = [SourceError::Ended, SourceError::ProtocolAtOpen, SourceError::BadVideo];
        assert!(expected.contains(&error), "{error}");
        ended += usize::from(error == SourceError::Ended);
    }
    assert!(ended > 100, "most damage is lived with, {ended}");
}
