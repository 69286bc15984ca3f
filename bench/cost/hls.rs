//! HLS without decoding: many cameras through one `rsm up`, against one ffmpeg for each.

use std::time::Duration;

use serde_json::json;

use super::ffmpeg::{Container, Passthrough};
use super::meter::watch;
use super::ours;
use super::players::Players;
use super::report::{CostReport, Row};
use super::windows::Windows;
use crate::harness::camera::Camera;

/// Filling the playlists takes six segments of two seconds and the start.
const FILL: Duration = Duration::from_secs(120);
/// `hls_list_size` of ffmpeg and `hls.window_segments` of ours.
const SEGMENTS: usize = 6;
/// From full playlists to the first window: work that the start left behind ends in this time.
const SETTLE: Duration = Duration::from_secs(5);

/// 1080p30 cameras of 4 Mbit/s.
pub const LARGE: [&str; 12] = [
    "--width",
    "1920",
    "--height",
    "1080",
    "--fps",
    "30",
    "--gop",
    "30",
    "--bitrate-kbps",
    "4000",
    "--clip-seconds",
    "10",
];
/// 640x360 cameras of 15 pictures per second and 512 kbit/s.
pub const SMALL: [&str; 12] = [
    "--width",
    "640",
    "--height",
    "360",
    "--fps",
    "15",
    "--gop",
    "15",
    "--bitrate-kbps",
    "512",
    "--clip-seconds",
    "10",
];

/// Both sides at once, first with MPEG-TS on ffmpeg's side, then with fragmented MP4.
pub async fn twenty(report: &mut CostReport, windows: Windows) {
    const CAMERAS: usize = 20;
    let flags: Vec<_> = LARGE.into_iter().chain(["--count", "20"]).collect();
    let camera = Camera::start_with(0, &flags, None).await;
    let mut system = ours::start(CAMERAS).await;
    let links = ours::add(&system, &camera.urls, &json!({})).await;
    let players = Players::start(&system, &links);
    players.until(SEGMENTS, FILL).await;
    for (container, name) in [(Container::Ts, "TS"), (Container::FragmentedMp4, "fMP4")] {
        let theirs = Passthrough::start(&camera.urls, container);
        theirs.until(SEGMENTS, FILL).await;
        tokio::time::sleep(SETTLE).await;
        let (group, other) = (ours::group(&system), theirs.group());
        let (mut seen, mut seen_there) = (Vec::new(), Vec::new());
        for _ in 0..windows.count {
            let [here, there] = watch([&group, &other], windows.length).await;
            seen.push(here);
            seen_there.push(there);
        }
        let case = format!("hls20, 1080p30, beside {name}");
        let ours = Row::new(&case, "rsm, fMP4", CAMERAS, seen);
        report.pair(&ours, &Row::new(&case, &format!("ffmpeg, {name}"), CAMERAS, seen_there));
    }
    drop(players);
    system.stop().await;
    camera.kill().await;
}

/// Measures the cost of each further small camera.
pub async fn growth(report: &mut CostReport, windows: Windows) {
    for cameras in [0, 1, 50, 200] {
        let count = cameras.max(1).to_string();
        let flags: Vec<_> = SMALL.into_iter().chain(["--count", &count]).collect();
        let camera = Camera::start_with(0, &flags, None).await;
        let mut system = ours::start(cameras).await;
        let links = ours::add(&system, &camera.urls[..cameras], &json!({})).await;
        let players = Players::start(&system, &links);
        players.until(SEGMENTS, FILL).await;
        let theirs = (1..=50).contains(&cameras).then(|| Passthrough::start(&camera.urls, Container::Ts));
        if let Some(theirs) = &theirs {
            theirs.until(SEGMENTS, FILL).await;
        }
        tokio::time::sleep(SETTLE).await;
        let (group, other) = (ours::group(&system), theirs.as_ref().map(Passthrough::group).unwrap_or_default());
        let (mut seen, mut seen_there) = (Vec::new(), Vec::new());
        for _ in 0..windows.count {
            let [here, there] = watch([&group, &other], windows.length).await;
            seen.push(here);
            seen_there.push(there);
        }
        let case = format!("growth, {cameras} of 640x360");
        let ours = Row::new(&case, "rsm, fMP4", cameras, seen);
        match theirs {
            Some(_) => report.pair(&ours, &Row::new(&case, "ffmpeg, TS", cameras, seen_there)),
            None => report.alone(&ours),
        }
        drop((players, theirs));
        system.stop().await;
        camera.kill().await;
    }
}
