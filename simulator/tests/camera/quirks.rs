//! Faults and quirks on command, judged by the RTP packets themselves.

use std::time::Duration;

use crate::{
    SMALL,
    process::CameraProcess,
    rtsp::{Heard, Rtp, Viewer},
};

/// Ticks between two pictures of 25 a second.
const STEP: i64 = 3600;

fn start(options: &[&str]) -> CameraProcess {
    CameraProcess::start(&[&SMALL, options].concat())
}

fn play(camera: &CameraProcess) -> Viewer {
    Viewer::play(camera.port, "cam1").expect("plays")
}

/// The ticks from one picture to the next.
struct Steps {
    viewer: Viewer,
    last: u32,
}

impl Steps {
    fn of(camera: &CameraProcess) -> Self {
        let mut viewer = play(camera);
        let last = viewer.picture()[0].timestamp;
        Self { viewer, last }
    }

    fn next(&mut self) -> i64 {
        let before = self.last;
        self.last = self.viewer.picture()[0].timestamp;
        i64::from(self.last.wrapping_sub(before).cast_signed())
    }

    /// Until one is seen that is `wanted`; fails after so many others.
    fn until(&mut self, wanted: impl Fn(i64) -> bool) {
        let mut others = Vec::new();
        while others.len() < 100 {
            match self.next() {
                step if wanted(step) => return,
                other => others.push(other),
            }
        }
        panic!("only {others:?}");
    }
}

fn bytes(picture: &[Rtp]) -> usize {
    picture.iter().map(|packet| packet.payload.len()).sum()
}

/// RFC 6184: the SPS of an H.264 picture.
fn sps(picture: &[Rtp]) -> Option<Vec<u8>> {
    picture.iter().find(|packet| packet.payload[0] & 0x1f == 7).map(|packet| packet.payload.clone())
}

fn is_key(picture: &[Rtp]) -> bool {
    picture.iter().any(|packet| matches!(packet.payload[0] & 0x1f, 5) || packet.payload[..2] == [0x7c, 0x85])
}

#[test]
fn timestamps_jump_both_ways_and_go_on_steadily() {
    let mut camera = start(&[]);
    let mut steps = Steps::of(&camera);
    steps.until(|step| step == STEP);
    for seconds in [30, -45] {
        camera.command(&format!("jump cam1 {seconds}"));
        steps.until(|step| step.abs_diff(seconds * 90_000 + STEP) <= 1);
        steps.until(|step| step == STEP);
    }
    assert_eq!(camera.command("status")["cameras"][0]["quirks"]["jumped_s"], -15.0);
}

#[test]
fn timestamps_drift_until_resumed() {
    let mut camera = start(&[]);
    let mut steps = Steps::of(&camera);
    camera.command("drift cam1 100000");
    steps.until(|step| step.abs_diff(STEP * 11 / 10) <= 1);
    camera.command("resume cam1");
    steps.until(|step| step == STEP);
}

#[test]
fn timestamps_begin_where_told_and_wrap() {
    let camera = start(&["--rtp-start", "4294967295"]);
    let mut viewer = play(&camera);
    let first = viewer.picture()[0].timestamp;
    assert!(first < 90_000 * 10, "{first}");
}

#[test]
fn jitter_delays_pictures_and_leaves_their_stamps_alone() {
    let mut camera = start(&[]);
    let mut steps = Steps::of(&camera);
    camera.command("jitter cam1 300");
    for _ in 0..25 {
        assert_eq!(steps.next(), STEP);
    }
}

#[test]
fn fewer_pictures_a_second_keep_the_first_of_each_group_and_their_stamps() {
    let mut camera = start(&[]);
    let mut steps = Steps::of(&camera);
    camera.command("fps cam1 10");
    // Two of each group of five.
    steps.until(|step| step == 4 * STEP);
    steps.until(|step| step == STEP);
    steps.until(|step| step == 4 * STEP);
}

#[test]
fn a_resized_camera_sends_new_parameter_sets_and_goes_back() {
    let mut camera = start(&["--second", "640x360"]);
    let mut viewer = play(&camera);
    let mut next_sps = |unlike: &[u8]| loop {
        match sps(&viewer.picture()) {
            Some(set) if set != unlike => return set,
            _ => {}
        }
    };
    let first = next_sps(&[]);
    camera.command("resize cam1");
    let second = next_sps(&first);
    camera.command("resize cam1");
    assert_eq!(next_sps(&second), first);
}

#[test]
fn a_camera_without_a_second_clip_says_so() {
    assert!(start(&[]).command("resize cam1")["error"].is_string());
}

#[test]
fn sound_stops_while_pictures_go_on_and_comes_back() {
    let mut camera = start(&["--audio", "pcma"]);
    let mut viewer = Viewer::play_tracks(camera.port, "cam1", 2).expect("plays");
    assert_eq!(viewer.rtp(2).payload.len(), 320);
    camera.command("mute cam1");
    // Audio that was on its way, then a second of pictures alone.
    let mut pictures = 0;
    while pictures < 25 {
        match viewer.channel() {
            0 => pictures += 1,
            2 => pictures = 0,
            _ => {}
        }
    }
    camera.command("unmute cam1");
    assert_eq!(viewer.rtp(2).payload.len(), 320);
}

#[test]
fn half_a_picture_is_half_its_bytes() {
    let mut camera = start(&[]);
    let mut viewer = play(&camera);
    let mut lap = |pictures: usize| -> usize { (0..pictures).map(|_| bytes(&viewer.picture())).sum() };
    let whole = lap(50);
    camera.command("half cam1");
    lap(10);
    let half = lap(50);
    assert!(half.abs_diff(whole / 2) < whole / 20, "{half} of {whole} bytes");
}

#[test]
fn parameter_sets_are_where_they_were_asked_for() {
    for (options, in_sdp, in_band) in [
        (&["--parameter-sets", "both"][..], true, true),
        (&["--parameter-sets", "in-band"], false, true),
        (&["--parameter-sets", "sdp"], true, false),
    ] {
        let mut camera = start(options);
        let mut viewer = play(&camera);
        assert_eq!(viewer.sdp.contains("sprop-parameter-sets="), in_sdp, "{options:?}: {}", viewer.sdp);
        let first = viewer.picture();
        assert!(is_key(&first));
        assert_eq!(sps(&first).is_some(), in_band, "{options:?}");
        camera.command("noparams cam1");
        drop(viewer);
        let first = play(&camera).picture();
        assert!(is_key(&first) && sps(&first).is_none(), "{options:?}");
    }
}

#[test]
fn a_camera_answers_what_it_is_told_until_resumed() {
    let mut camera = start(&[]);
    for status in [401, 404, 453, 500, 503] {
        camera.command(&format!("answer cam1 {status}"));
        assert_eq!(Viewer::play(camera.port, "cam1").err(), Some(status));
    }
    assert!(Viewer::play(camera.port, "cam2").is_ok());
    camera.command("resume cam1");
    assert!(Viewer::play(camera.port, "cam1").is_ok());
}

#[test]
fn a_rebooted_camera_turns_everybody_away_and_comes_back_by_itself() {
    let mut camera = start(&[]);
    let mut viewer = play(&camera);
    assert_eq!(camera.command("reboot cam1 1")["closed"], 1);
    assert_eq!(Viewer::play(camera.port, "cam1").err(), Some(503));
    assert_eq!(viewer.drain(Duration::from_secs(1)), Heard::End);
    camera.wait_until("it is back", |status| status["cameras"][0]["fault"] == "none");
    assert!(is_key(&play(&camera).picture()));
}

#[test]
fn sender_reports_come_unless_they_are_switched_off() {
    let camera = start(&[]);
    let mut viewer = play(&camera);
    while viewer.channel() != 1 {}
    let camera = start(&["--no-rtcp"]);
    let mut viewer = play(&camera);
    // Longer than any interval between reports: RFC 3550 section 6.2 has 5 s, halved at first and then random.
    assert!((0..8 * 25).all(|_| viewer.channel() == 0));
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody_else() {
    let mut camera = start(&["--codec", "mjpeg", "--width", "640", "--height", "360", "--bitrate-kbps", "40000"]);
    let stuck = play(&camera);
    let mut viewer = play(&camera);
    let mut seen = 0;
    loop {
        viewer.picture();
        seen += 1;
        if seen % 25 == 0 && camera.command("status")["cameras"][0]["frames_dropped"].as_u64() > Some(0) {
            break;
        }
        assert!(seen < 1500, "the other one's buffers never fill");
    }
    for _ in 0..50 {
        viewer.picture();
    }
    drop(stuck);
}
