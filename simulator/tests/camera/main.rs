//! The built `rsm-camera`, seen from outside: over RTSP and over its standard input and output.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails by a panic, and shows what it saw"
)]

mod media;
mod process;
mod quirks;
mod rtsp;

use std::time::Duration;

use process::CameraProcess;
use rtsp::{Heard, Viewer};

/// Two small cameras with a key frame every 200 ms.
const SMALL: [&str; 12] =
    ["--count", "2", "--width", "320", "--height", "180", "--clip-seconds", "2", "--gop", "5", "--bitrate-kbps", "300"];
/// Several GOPs: silence for so long is silence.
const PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn a_viewer_gets_pictures_and_is_counted_while_it_plays() {
    let mut camera = CameraProcess::start(&SMALL);
    let mut first = Viewer::play(camera.port, "cam1").expect("plays");
    let mut second = Viewer::play(camera.port, "cam1").expect("plays");
    assert_eq!(first.listen(PATIENCE), Heard::Picture);
    assert_eq!(second.listen(PATIENCE), Heard::Picture);
    let status = camera.command("status");
    assert_eq!(status["cameras"][0]["playing"], 2);
    assert_eq!(status["cameras"][0]["played_total"], 2);
    assert_eq!(status["connections"], 2);
    drop((first, second));
    camera.wait_until("nobody is left", |status| {
        status["connections"] == 0 && status["cameras"][0]["playing"] == 0 && status["cameras"][0]["media"] == false
    });
}

#[test]
fn a_frozen_camera_keeps_the_connection_and_goes_on_when_resumed() {
    let mut camera = CameraProcess::start(&SMALL);
    let mut viewer = Viewer::play(camera.port, "cam1").expect("plays");
    assert_eq!(viewer.listen(PATIENCE), Heard::Picture);
    assert_eq!(camera.command("freeze cam1")["ok"], true);
    assert_eq!(viewer.drain(PATIENCE), Heard::Silence);
    assert_eq!(camera.command("status")["cameras"][0]["fault"], "freeze");
    assert_eq!(camera.command("resume all")["ok"], true);
    assert_eq!(viewer.listen(PATIENCE), Heard::Picture);
}

#[test]
fn close_and_refuse_end_the_viewers_of_one_camera_only() {
    let mut camera = CameraProcess::start(&SMALL);
    let mut other = Viewer::play(camera.port, "cam2").expect("plays");
    let mut viewer = Viewer::play(camera.port, "cam1").expect("plays");
    assert_eq!(camera.command("close cam1")["closed"], 1);
    assert_eq!(viewer.drain(PATIENCE), Heard::End);
    let mut viewer = Viewer::play(camera.port, "cam1").expect("welcome again");
    assert_eq!(camera.command("refuse cam1")["closed"], 1);
    assert_eq!(viewer.drain(PATIENCE), Heard::End);
    assert_eq!(Viewer::play(camera.port, "cam1").err(), Some(503));
    assert_eq!(other.listen(PATIENCE), Heard::Picture);
    camera.command("resume cam1");
    assert!(Viewer::play(camera.port, "cam1").is_ok());
}

#[test]
fn strangers_and_unknown_paths_are_turned_away() {
    let camera = CameraProcess::start(&SMALL);
    assert_eq!(Viewer::play(camera.port, "cam3").err(), Some(404));
    let options: Vec<_> = SMALL.into_iter().chain(["--username", "ann", "--password", "secret"]).collect();
    let guarded = CameraProcess::start(&options);
    assert_eq!(Viewer::play(guarded.port, "cam1").err(), Some(401));
}

/// libgstrtspserver 1.22 used a client after it was freed when it hung up while data was being written; the camera
/// then died within some 10 to 500 such clients.
#[test]
fn clients_that_hang_up_at_once_do_not_kill_the_camera() {
    let mut camera = CameraProcess::start(&SMALL);
    for visit in 0..600 {
        let path = ["cam1", "cam2"][visit % 2];
        let visit = Viewer::play(camera.port, path);
        assert!(visit.is_ok(), "answered {:?}", visit.err());
    }
    camera.wait_until("nobody is left", |status| status["connections"] == 0);
}

#[test]
fn a_wrong_command_is_answered_and_the_end_of_input_ends_the_process() {
    let mut camera = CameraProcess::start(&SMALL);
    assert!(camera.command("dance")["error"].is_string());
    assert!(camera.command("freeze cam9")["error"].is_string());
    assert_eq!(camera.end().code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let camera = CameraProcess::start(&SMALL);
    let address = format!("127.0.0.1:{}", camera.port);
    let output = process::refused(&[&SMALL[..], &["--listen", &address]].concat());
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.lines().last().is_some_and(|line| line.contains("already in use")), "{stderr}");
}

#[test]
fn wrong_options_are_one_line_and_exit_code_64() {
    for options in [&["--fps", "0"][..], &["--gop", "7"], &["--dance"]] {
        let output = process::refused(options);
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{options:?}");
    }
}
