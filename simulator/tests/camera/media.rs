//! The cameras' media as ffmpeg reads them, which knows nothing of these cameras.

use std::process::{Command, Output, Stdio};

use rsm_simulator::clock_row;

use crate::process::CameraProcess;

/// 640x360, which every codec here can carry.
const MEDIUM: [&str; 12] =
    ["--width", "640", "--height", "360", "--fps", "15", "--clip-seconds", "2", "--gop", "15", "--bitrate-kbps", "600"];

fn start(options: &[&str]) -> CameraProcess {
    CameraProcess::start(&[&MEDIUM, options].concat())
}

/// Runs `program` for at most 30 s by its own clock.
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["30", program, "-v", "error"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("timeout of coreutils, and ffmpeg")
}

/// Codecs, and the size of the pictures, as ffprobe sees them.
fn probe(url: &str, transport: &str) -> Vec<String> {
    let entries = "stream=codec_name,width,height,sample_rate,channels";
    let options = ["-rtsp_transport", transport, "-show_entries", entries, "-of", "csv=p=0", url];
    let output = run("ffprobe", &options);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

/// The frame number in the first picture, decoded and scaled down to 360 lines.
fn first_number(url: &str) -> Option<u32> {
    let filters = "scale=640:360,format=gray";
    let options = ["-rtsp_transport", "tcp", "-i", url, "-an", "-frames:v", "1", "-vf", filters, "-f", "rawvideo", "-"];
    clock_row::decode(&run("ffmpeg", &options).stdout, 640, 360, 640)
}

#[test]
fn ffprobe_understands_every_codec_and_every_sound_over_tcp_and_udp() {
    for (options, streams) in [
        (&["--codec", "h264", "--audio", "none"][..], &["h264,640,360"][..]),
        (&["--codec", "h264", "--audio", "aac"], &["h264,640,360", "aac,16000,1"]),
        (&["--codec", "h265", "--audio", "pcma"], &["hevc,640,360", "pcm_alaw,8000,1"]),
        (&["--codec", "mjpeg", "--audio", "pcmu"], &["mjpeg,640,360", "pcm_mulaw,8000,1"]),
    ] {
        let camera = start(options);
        for transport in ["tcp", "udp"] {
            assert_eq!(probe(&camera.url, transport), streams, "{options:?} over {transport}");
        }
    }
}

#[test]
fn ffprobe_understands_b_frames_slices_and_parameter_sets_wherever_they_are() {
    for codec in ["h264", "h265"] {
        for sets in ["in-band", "sdp"] {
            let camera =
                start(&["--codec", codec, "--bframes", "2", "--slices", "4", "--parameter-sets", sets, "--no-rtcp"]);
            let name = if codec == "h264" { "h264" } else { "hevc" };
            assert_eq!(probe(&camera.url, "tcp"), [format!("{name},640,360")], "{sets}");
        }
    }
}

#[test]
fn tls_and_ipv6_and_each_way_of_authentication_work() {
    let camera = start(&["--tls", "--audio", "aac"]);
    assert!(camera.url.starts_with("rtsps://"), "{}", camera.url);
    assert_eq!(probe(&camera.url, "tcp"), ["h264,640,360", "aac,16000,1"]);
    let camera = start(&["--listen", "[::1]:0"]);
    assert!(camera.url.starts_with("rtsp://[::1]:"), "{}", camera.url);
    assert_eq!(probe(&camera.url, "tcp"), ["h264,640,360"]);
    for auth in ["basic", "digest"] {
        let camera = start(&["--username", "ann", "--password", "secret", "--auth", auth]);
        let url = camera.url.replace("://", "://ann:secret@");
        assert_eq!(probe(&url, "tcp"), ["h264,640,360"], "{auth}");
    }
}

#[test]
fn the_clock_row_is_read_from_every_codec_after_scaling_down() {
    for codec in ["h264", "h265", "mjpeg"] {
        // Little enough to hurt.
        let options = ["--codec", codec, "--width", "1920", "--height", "1080", "--fps", "10", "--gop", "10"];
        let bitrate = ["--bitrate-kbps", if codec == "mjpeg" { "4000" } else { "500" }];
        let camera = start(&[&options[..], &bitrate].concat());
        let number = first_number(&camera.url);
        assert!(number.is_some_and(|number| number < 20), "{codec}: {number:?}");
    }
}
