//! Every kind of camera, with every audio codec: its HLS as ffmpeg reads it, and the frames that viewers get.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::camera::Camera;
use crate::harness::system::System;
use crate::harness::viewer::JpegViewer;
use crate::harness::{eventually, within};

/// A camera and its expected media.
struct Kind {
    flags: &'static [&'static str],
    /// As status says it.
    codec: &'static str,
    /// As status says it; `None` is silence.
    audio: Option<&'static str>,
    /// Codec of the source in HLS, as ffprobe names it.
    hls: &'static str,
    height: u64,
}

const H264: Kind = Kind { flags: &[], codec: "h264", audio: None, hls: "h264", height: 180 };

/// B-frames, and several slices for each picture.
const REORDERED: &[&str] = &["--bframes", "2", "--slices", "3"];
const H265: &[&str] = &["--codec", "h265"];
const MJPEG: &[&str] = &["--codec", "mjpeg", "--height", "184"];

#[tokio::test]
async fn h264_of_every_kind_is_played_and_shown() {
    let reordered = Kind { flags: REORDERED, ..H264 };
    let reordered_sound =
        Kind { flags: &["--bframes", "2", "--slices", "3", "--audio", "pcma"], audio: Some("pcma"), ..H264 };
    let sdp = Kind { flags: &["--parameter-sets", "sdp", "--audio", "pcmu"], audio: Some("pcmu"), ..H264 };
    let sdp_silent = Kind { flags: &["--parameter-sets", "sdp"], ..H264 };
    let in_band = Kind { flags: &["--parameter-sets", "in-band", "--audio", "aac"], audio: Some("aac"), ..H264 };
    let in_band_silent = Kind { flags: &["--parameter-sets", "in-band"], ..H264 };
    let aac = Kind { flags: &["--audio", "aac"], audio: Some("aac"), ..H264 };
    all(&[H264, aac, reordered, reordered_sound, sdp, sdp_silent, in_band, in_band_silent]).await;
}

#[tokio::test]
async fn h265_and_jpeg_are_played_and_shown() {
    let h265 = Kind { flags: H265, codec: "h265", hls: "hevc", ..H264 };
    let h265_sound = Kind { flags: &["--codec", "h265", "--audio", "pcmu"], audio: Some("pcmu"), ..h265 };
    let jpeg = Kind { flags: MJPEG, codec: "jpeg", hls: "h264", height: 184, audio: None };
    let jpeg_sound =
        Kind { flags: &["--codec", "mjpeg", "--height", "184", "--audio", "pcma"], audio: Some("pcma"), ..jpeg };
    all(&[h265, h265_sound, jpeg, jpeg_sound]).await;
}

#[tokio::test]
async fn every_carrier_and_login_brings_the_same() {
    let system = System::start().await;
    let udp = Camera::start_as(&["--audio", "aac"]).await;
    let tls = Camera::start_as(&["--tls", "--audio", "pcma"]).await;
    let password = "p@:ss/%41?#[]&+ \u{fc}\"\\";
    let locked = Camera::start_with(0, &["--audio", "pcmu", "--auth", "digest"], Some(password)).await;
    let kind = |audio| Kind { audio: Some(audio), ..H264 };
    tokio::join!(
        check(&system, json!({ "url": udp.url(), "transport": "udp" }), kind("aac")),
        check(&system, json!({ "url": tls.url(), "tls_insecure": true }), kind("pcma")),
        check(&system, json!({ "url": locked.url(), "username": "admin", "password": password }), kind("pcmu")),
    );
    let log = system.log.text();
    assert!(!log.contains("p@:ss"), "a password is in the log:\n{log}");
}

#[tokio::test]
async fn the_pictures_of_a_jpeg_camera_are_passed_through() {
    let (camera, system) = (Camera::start_as(MJPEG).await, System::start().await);
    let (slug, _) = system.add(json!({ "url": camera.url() })).await;
    let mut viewer = JpegViewer::open(&system, &slug).await;
    let shown = viewer.next().await.expect("a frame");
    // The camera's pictures, as another client unpacks them. RFC 2435 leaves the headers to the receiver, so only the
    // data behind them must be the same.
    let dir = tempfile::tempdir().unwrap();
    let pattern = dir.path().join("%03d.jpg");
    let arguments = ["-rtsp_transport", "tcp", "-i", camera.url(), "-c", "copy", "-frames:v", "75"];
    let clip = ffmpeg(&arguments, pattern.to_str()).await;
    assert!(clip.status.success(), "{}", String::from_utf8_lossy(&clip.stderr));
    let scan = scan(&shown).to_vec();
    let sent = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| std::fs::read(entry.path()).unwrap());
    let sent: Vec<Vec<u8>> = sent.map(|jpeg| self::scan(&jpeg).to_vec()).collect();
    assert!(sent.len() >= 60, "the clip has 60 pictures, {} came", sent.len());
    assert!(sent.contains(&scan), "a frame of {} bytes is none of the camera's pictures", scan.len());
}

/// The entropy-coded bytes of a JPEG (ITU-T T.81 section B.1.1.5): from its only scan to the first end, as some clients
/// write a second one.
fn scan(jpeg: &[u8]) -> &[u8] {
    let start = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).expect("a scan");
    let length = usize::from(u16::from_be_bytes([jpeg[start + 2], jpeg[start + 3]]));
    let scan = &jpeg[start + 2 + length..];
    let end = scan.windows(2).position(|pair| pair == [0xff, 0xd9]).unwrap_or(scan.len());
    &scan[..end]
}

/// Cameras of all these kinds on one system.
async fn all(kinds: &[Kind]) {
    let system = System::start().await;
    let one = async |kind: &Kind| {
        let camera = Camera::start_as(kind.flags).await;
        check(&system, json!({ "url": camera.url() }), Kind { flags: kind.flags, ..*kind }).await;
    };
    futures_util::future::join_all(kinds.iter().map(one)).await;
}

/// Compares the media of `link` with `kind`, as HLS and as JPEG.
async fn check(system: &System, link: Value, kind: Kind) {
    let (slug, id) = system.add(link).await;
    let flags = kind.flags;
    let mut viewer = JpegViewer::open(system, &slug).await;
    let jpeg = viewer.next().await.expect("a frame");
    let picture = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg).expect("a JPEG");
    assert_eq!((picture.width(), u64::from(picture.height())), (320, kind.height), "{flags:?}");
    viewer.frame_number().await;

    system.json(&format!("/video/{slug}/")).await;
    let state = eventually(
        "the status of the video",
        async || system.status(&slug).await,
        |status| status["video"]["codec"] == kind.codec && status["audio"]["codec"] == json!(kind.audio),
    )
    .await;
    assert_eq!(state["video"]["height"], kind.height, "{flags:?}: {state}");
    let place = |name: &str| system.url(&format!("/video/play/{id}/{name}"));
    // Long enough that a whole window and the segments after it are read.
    let ready = async || system.get(&format!("/video/play/{id}/source.m3u8")).await.text().await.unwrap_or_default();
    eventually("three segments", ready, |text| text.matches("#EXTINF").count() >= 3).await;

    let source = probe(&place("source.m3u8"), flags).await;
    let pictures = stream(&source, "video").unwrap_or_else(|| panic!("{flags:?}: {source}"));
    assert_eq!(pictures["codec_name"], kind.hls, "{flags:?}");
    assert_eq!((pictures["width"].clone(), pictures["height"].clone()), (json!(320), json!(kind.height)), "{flags:?}");
    assert!(stream(&source, "audio").is_none(), "{flags:?}: {source}");
    plays(&place("source.m3u8"), flags).await;

    let sound = system.get(&format!("/video/play/{id}/audio.m3u8")).await.status();
    assert_eq!(sound.is_success(), kind.audio.is_some(), "{flags:?}: audio.m3u8 is answered {sound}");
    let whole = probe(&place(""), flags).await;
    assert!(stream(&whole, "video").is_some(), "{flags:?}: {whole}");
    assert_eq!(stream(&whole, "audio").is_some(), kind.audio.is_some(), "{flags:?}: {whole}");
    if kind.audio.is_some() {
        let audio = probe(&place("audio.m3u8"), flags).await;
        let audio = stream(&audio, "audio").unwrap_or_else(|| panic!("{flags:?}: {audio}"));
        assert_eq!(audio["codec_name"], "aac", "{flags:?}");
        plays(&place("audio.m3u8"), flags).await;
    }
    plays(&place(""), flags).await;
}

fn stream(probed: &Value, kind: &str) -> Option<Value> {
    probed["streams"].as_array()?.iter().find(|stream| stream["codec_type"] == kind).cloned()
}

/// Messages of this ffmpeg each time it reads any live playlist of fMP4 again: it reads the EXT-X-MAP again.
const OF_FFMPEG: [&str; 2] = ["Found duplicated MOOV Atom. Skipped it", "Last message repeated"];

/// Its message where the machine is so busy that it reads a window's time late; another test checks the list.
const OF_A_BUSY_MACHINE: &str = "expired from playlists";

/// Result of ffprobe, which must print no warning.
async fn probe(url: &str, flags: &[&str]) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "warning", "-show_streams", "-show_format", "-of", "json", url]);
    let output = finish(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    let known = |line: &str| OF_FFMPEG.iter().chain([&OF_A_BUSY_MACHINE]).any(|known| line.contains(known));
    let said: Vec<&str> = said.lines().filter(|line| !known(line)).collect();
    assert!(output.status.success() && said.is_empty(), "{flags:?}: ffprobe of {url} says: {said:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Pictures keep their times: at a guessed frame rate, two that are close would fall on one, and ffmpeg complains of it.
const KEEP_TIMES: [&str; 4] = ["-fps_mode", "passthrough", "-enc_time_base:v", "1:90000"];

/// Two seconds of it decode without an error.
async fn plays(url: &str, flags: &[&str]) {
    let output =
        ffmpeg(&[&["-xerror", "-i", url, "-t", "2"], &KEEP_TIMES[..], &["-f", "null"]].concat(), Some("-")).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{flags:?}: ffmpeg of {url} says: {said}");
}

async fn ffmpeg(arguments: &[&str], to: Option<&str>) -> Output {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]).args(arguments).args(to);
    finish(command).await
}

async fn finish(mut command: Command) -> Output {
    within("ffmpeg", command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap()
}
