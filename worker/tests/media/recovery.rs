//! Whole streams: each fault to a state and a reason, and back.

use std::time::Duration;

use rsm_shared::stream::state::StreamState;

use crate::bench::{Bench, DEADLINE};
use crate::scenes::ScriptedCamera;
use crate::scenes::media::{Offer, Rtp, ScriptedClip, Section};
use crate::scenes::scene::{Act, Scene, SceneEnd, Step};

const TENTH: Duration = Duration::from_millis(100);

/// Ten pictures per second at these tenths of seconds of the camera's time.
fn live(tenths: impl IntoIterator<Item = u32>) -> Vec<Step> {
    ScriptedClip::h264().steps(&mut Rtp::new(0, 96), tenths.into_iter().map(|n| n * 9000), TENTH)
}

fn scene(media: Vec<Step>, end: SceneEnd) -> Scene {
    Scene { end, ..Scene::new(Offer::default().and(Section::h264()), media) }
}

/// Runs long enough for every test.
fn fine() -> Scene {
    scene(live(0..600), SceneEnd::Silence)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_told_and_the_next_session_is_fine() {
    let raw = |bytes: &[u8]| Act::Raw(bytes.to_vec());
    for (name, first, state, code) in [
        ("closes at once", Scene { end_at_once: true, ..fine() }, StreamState::Reconnecting, "ended"),
        ("is busy", fine().with("DESCRIBE", Act::Status(453, String::new())), StreamState::Reconnecting, "busy"),
        (
            "has no such path",
            fine().with("DESCRIBE", Act::Status(404, String::new())),
            StreamState::Failed,
            "not_found",
        ),
        ("is no camera", fine().with("DESCRIBE", raw(b"HTTP/1.1 200 OK\r\n\r\n")), StreamState::Failed, "not_rtsp"),
        ("freezes", scene(live(0..2), SceneEnd::Silence), StreamState::Reconnecting, "stalled"),
        ("closes", scene(live(0..2), SceneEnd::Close), StreamState::Reconnecting, "ended"),
        ("is mute", scene(vec![], SceneEnd::Silence), StreamState::Reconnecting, "stalled"),
    ] {
        let camera = ScriptedCamera::start(vec![first, fine()]).await;
        let bench = Bench::new();
        let stream = bench.spawn_over(&camera.url(""), false, "tcp");
        let mut status = stream.status();
        let told = status.wait_for(|now| now.reason.is_some());
        let told = tokio::time::timeout(DEADLINE, told).await.unwrap().unwrap().clone();
        let reason = told.reason.unwrap();
        assert_eq!((told.state, reason.code.as_str()), (state, code), "a camera that {name}: {}", reason.text);
        let running = status.wait_for(|now| now.state == StreamState::Running);
        tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap();
        stream.stopped().await;
        bench.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_the_camera_s_time_is_a_discontinuity_of_one_session() {
    for (before, behind) in [(0, 36_000), (36_000, 0)] {
        let media = live((before..before + 30).chain(behind..behind + 600));
        let camera = ScriptedCamera::start(vec![scene(media, SceneEnd::Silence)]).await;
        let bench = Bench::new();
        let stream = bench.spawn_over(&camera.url(""), true, "tcp");
        bench.until("a discontinuity", || bench.read("source.m3u8").contains("#EXT-X-DISCONTINUITY\n")).await;
        assert_eq!((stream.status().borrow().restarts, camera.connections()), (0, 1));
        stream.stopped().await;
        bench.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_that_cannot_be_decoded_yet_are_no_silence() {
    // Three seconds without parameter sets, which is longer than this bench's patience with silence.
    let mut rtp = Rtp::new(0, 96);
    let mut media = ScriptedClip::h264().bare().steps(&mut rtp, (0..30).map(|n| n * 9000), TENTH);
    media.extend(ScriptedClip::h264().steps(&mut rtp, (30..600).map(|n| n * 9000), TENTH));
    let offer = Offer::default().and(Section::h264_bare());
    let camera = ScriptedCamera::start(vec![Scene::new(offer, media)]).await;
    let bench = Bench::new();
    let stream = bench.spawn_over(&camera.url(""), false, "tcp");
    bench.until("running", || stream.status().borrow().state == StreamState::Running).await;
    assert_eq!((stream.status().borrow().restarts, camera.connections()), (0, 1));
    stream.stopped().await;
    bench.close().await;
}
