//! Streams against a real RTSP server, `rsm-camera` of this workspace, and against scripted ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod bench;
mod camera;
mod camera_probe;
mod mute_camera;
mod opening;
mod recovery;
// The tests of sources use the rest of it.
#[allow(dead_code, reason = "the other test programs use the rest")]
#[path = "../scripted/mod.rs"]
mod scenes;
mod scripted;

use std::time::Duration;

use rsm_shared::stream::state::StreamState;

use bench::{Bench, open_files};
use camera::CameraProcess;
use mute_camera::MuteCamera;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_becomes_frames_and_segments_and_survives_a_lost_connection() {
    let mut camera = CameraProcess::start(&[]);
    let bench = Bench::new();
    let stream = bench.spawn(&camera.url(""), true);

    bench.until("running", || stream.status().borrow().state == StreamState::Running).await;
    bench.until("frames", || bench.sink.count() >= 5).await;
    bench.until("a playlist", || bench.read("index.m3u8").contains("CODECS=\"avc1.")).await;
    let (headers, jpeg) = bench.sink.last().unwrap();
    assert_eq!((headers.width, headers.height, &jpeg[..2]), (320, 180, &[0xff, 0xd8][..]));
    let latency = Duration::from_micros(headers.published_at_us - headers.captured_at_us);
    assert!(latency < Duration::from_secs(1), "{latency:?}");
    bench.until("what viewers see", || stream.status().borrow().segments_listed() >= 3).await;
    assert!(stream.status().borrow().frame_shown());

    camera.command("close cam1");
    bench.until("a restart", || stream.status().borrow().restarts == 1).await;
    bench.until("running again", || stream.status().borrow().state == StreamState::Running).await;
    bench.until("a discontinuity", || bench.read("source.m3u8").contains("#EXT-X-DISCONTINUITY\n")).await;
    assert!(bench.sink.grew_always());

    stream.stopped().await;
    assert_eq!(bench.read("index.m3u8"), "");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_of_a_running_stream_sees_a_current_picture_at_once() {
    let camera = CameraProcess::start(&["--gop", "50"]);
    let bench = Bench::new();
    let stream = bench.spawn(&camera.url(""), false);
    bench.until("running", || stream.status().borrow().video.as_ref().is_some_and(|video| video.fps.is_some())).await;
    assert_eq!(bench.sink.count(), 0);
    bench.want(true, false);
    bench.until("a frame", || bench.sink.count() > 0).await;
    let (headers, _) = bench.sink.first().unwrap();
    // Not a replay of the group of pictures, which is two seconds long.
    let age = Duration::from_micros(headers.published_at_us - headers.captured_at_us);
    assert!(age < Duration::from_millis(700), "{age:?}");
    stream.stopped().await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_without_being_shown() {
    let camera = CameraProcess::start(&["--username", "admin"]);
    let bench = Bench::new();
    for transport in ["tcp", "udp"] {
        let stream = bench.spawn_over(&camera.url("admin:not-the-one@"), true, transport);
        bench.until("a refusal", || stream.status().borrow().state == StreamState::AuthFailed).await;
        let shown = format!("{:?}", stream.status().borrow().clone());
        assert!(shown.contains("refused the user name or password") && !shown.contains("not-the-one"), "{shown}");
        stream.stopped().await;
    }
    let stream = bench.spawn_over(&camera.url("admin:right%2Fone@"), true, "tcp");
    bench.until("running", || stream.status().borrow().state == StreamState::Running).await;
    stream.stopped().await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_camera_is_noticed_and_comes_back() {
    let mut camera = CameraProcess::start(&[]);
    let bench = Bench::new();
    let stream = bench.spawn(&camera.url(""), true);
    bench.until("running", || stream.status().borrow().state == StreamState::Running).await;
    camera.command("freeze cam1");
    let stalled = || stream.status().borrow().reason.as_ref().is_some_and(|reason| reason.code.as_str() == "stalled");
    bench.until("a stall", stalled).await;
    camera.command("resume cam1");
    bench.until("running again", || stream.status().borrow().state == StreamState::Running).await;
    stream.stopped().await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_stopped_while_it_opens_gives_its_session_back() {
    let camera = MuteCamera::start();
    let bench = Bench::new();
    let stream = bench.spawn_over(&camera.url(), false, "tcp");
    bench.until("PLAY", || camera.was_asked("PLAY")).await;
    assert!(!stream.is_finished());
    stream.stopped().await;
    assert!(camera.was_asked("TEARDOWN"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_over_after_starts_and_stops() {
    let camera = CameraProcess::start(&[]);
    let bench = Bench::new();
    let mut before = None;
    for cycle in 0..4 {
        let stream = bench.spawn(&camera.url(""), true);
        let frames = bench.sink.count();
        bench.until("frames", || bench.sink.count() > frames).await;
        stream.stopped().await;
        // Files that GStreamer and tokio open once stay; other tests of this process open files of their own.
        bench.until("closed sockets", || before.is_none_or(|before| open_files() <= before + 20)).await;
        if cycle == 0 {
            before = Some(open_files());
        }
    }
    bench.close().await;
}
